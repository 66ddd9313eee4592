//! What the pages say of the format holds.

use crate::{Source, de};
use pipeline::{inputs, net, outputs, plan};
use std::fs;
use std::path::Path;

const README: &str = include_str!("../../../../README.md");

/// A page below `docs`.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn describes<'n>(name: &str, words: impl IntoIterator<Item = &'n &'static str>) {
    let text = page(name);
    for word in words {
        assert!(text.contains(&format!("`{word}`")), "docs/{name} says nothing of {word}");
    }
}

#[test]
fn every_option_of_an_input_is_on_its_page() {
    let of = |name: &str, options: &[&[&'static str]]| {
        describes(&format!("inputs/{name}.md"), options.iter().copied().flatten());
    };
    of(
        "beats",
        &[
            de::names_of::<inputs::beats::Config>(),
            de::names_of::<net::listen::ServerTls>(),
            de::names_of::<net::listen::ClientAuth>(),
            de::names_of::<net::listen::TlsVersion>(),
        ],
    );
    of("exec", &[de::names_of::<inputs::exec::Config>(), de::names_of::<inputs::decode::Codec>()]);
    of(
        "file",
        &[de::names_of::<inputs::file::Config>(), de::names_of::<inputs::multiline::MultilineConfig>()],
    );
    of("generate", &[de::names_of::<inputs::generate::Config>()]);
    of(
        "heartbeat",
        &[de::names_of::<inputs::heartbeat::Config>(), de::names_of::<inputs::heartbeat::Sequence>()],
    );
    of(
        "http",
        &[
            de::names_of::<inputs::http::Config>(),
            de::names_of::<inputs::decode::Codec>(),
            de::names_of::<net::listen::ServerTls>(),
            de::names_of::<net::listen::ClientAuth>(),
        ],
    );
    of("journal", &[de::names_of::<inputs::journal::Config>()]);
    of(
        "kafka",
        &[
            de::names_of::<inputs::kafka::Config>(),
            de::names_of::<inputs::kafka::GroupProtocol>(),
            de::names_of::<inputs::kafka::Assignment>(),
            de::names_of::<inputs::kafka::OffsetReset>(),
            de::names_of::<inputs::kafka::Isolation>(),
            de::names_of::<inputs::kafka::Codec>(),
            de::names_of::<inputs::kafka::Timestamp>(),
            de::names_of::<inputs::kafka::Metadata>(),
        ],
    );
    of("kafka_lag", &[de::names_of::<inputs::kafka_lag::Config>()]);
    of("pipeline", &[de::names_of::<inputs::pipeline::Config>()]);
    of(
        "redis",
        &[
            de::names_of::<inputs::redis::Config>(),
            de::names_of::<inputs::redis::Kind>(),
            de::names_of::<inputs::redis::Pop>(),
            de::names_of::<net::redis::Protocol>(),
        ],
    );
    of("stdin", &[de::names_of::<inputs::stdin::Config>()]);
    of(
        "tcp",
        &[
            de::names_of::<inputs::tcp::Config>(),
            de::names_of::<inputs::tcp::Framing>(),
            de::names_of::<inputs::tcp::Codec>(),
        ],
    );
    of("syslog", &[de::names_of::<inputs::syslog::Config>(), de::names_of::<inputs::syslog::Protocol>()]);
    of("udp", &[de::names_of::<inputs::udp::Config>(), de::names_of::<inputs::decode::Codec>()]);
    for name in de::names_of::<inputs::InputConfig>() {
        assert!(page("config.md").contains(&format!("[`{name}`](inputs/{name}.md)")), "{name}");
    }
}

#[test]
fn every_option_of_an_output_is_on_its_page() {
    let of = |name: &str, options: &[&[&'static str]]| {
        describes(&format!("outputs/{name}.md"), options.iter().copied().flatten());
    };
    of("blackhole", &[de::names_of::<outputs::blackhole::Config>()]);
    of("console", &[de::names_of::<outputs::console::Config>()]);
    of(
        "elasticsearch",
        &[
            de::names_of::<outputs::elasticsearch::Config>(),
            de::names_of::<outputs::elasticsearch::DataStream>(),
            de::names_of::<outputs::elasticsearch::Auth>(),
            de::names_of::<outputs::elasticsearch::Basic>(),
            de::names_of::<net::tls::TlsConfig>(),
            de::names_of::<net::tls::Verification>(),
        ],
    );
    of("file", &[de::names_of::<outputs::file::Config>()]);
    of(
        "http",
        &[
            de::names_of::<outputs::http::Config>(),
            de::names_of::<outputs::http::Method>(),
            de::names_of::<outputs::http::Framing>(),
            de::names_of::<outputs::post::Auth>(),
            de::names_of::<outputs::post::Basic>(),
            de::names_of::<outputs::post::ApiKey>(),
            de::names_of::<outputs::post::Compression>(),
        ],
    );
    of("loki", &[de::names_of::<outputs::loki::Config>(), de::names_of::<outputs::loki::Encoding>()]);
    of(
        "kafka",
        &[
            de::names_of::<outputs::kafka::Config>(),
            de::names_of::<outputs::kafka::Acks>(),
            de::names_of::<outputs::kafka::Compression>(),
            de::names_of::<outputs::kafka::Denied>(),
            de::names_of::<outputs::kafka::Partitioner>(),
            de::names_of::<net::kafka::SaslConfig>(),
            de::names_of::<net::kafka::SaslMechanism>(),
            de::names_of::<net::tls::TlsConfig>(),
            de::names_of::<net::tls::Verification>(),
        ],
    );
    of(
        "lumberjack",
        &[de::names_of::<outputs::lumberjack::Config>(), de::names_of::<outputs::lumberjack::Version>()],
    );
    of("pipeline", &[de::names_of::<outputs::pipeline::Config>()]);
    of(
        "redis",
        &[
            de::names_of::<outputs::redis::Config>(),
            de::names_of::<outputs::redis::Kind>(),
            de::names_of::<outputs::redis::Push>(),
            de::names_of::<outputs::redis::Fields>(),
        ],
    );
    of("store", &[de::names_of::<outputs::store::Config>()]);
    of(
        "tcp",
        &[
            de::names_of::<outputs::tcp::Config>(),
            de::names_of::<outputs::tcp::Framing>(),
            de::names_of::<outputs::tcp::Nobody>(),
        ],
    );
    of("udp", &[de::names_of::<outputs::udp::Config>()]);
    for name in de::names_of::<outputs::OutputConfig>() {
        assert!(page("config.md").contains(&format!("[`{name}`](outputs/{name}.md)")), "{name}");
    }
}

#[test]
fn everything_else_is_on_the_first_page() {
    let words = [
        de::names_of::<filters::FilterConfig>(),
        de::names_of::<filters::auto::Config>(),
        de::names_of::<filters::bytes::Config>(),
        de::names_of::<filters::bytes::Prefixes>(),
        de::names_of::<filters::cidr::Config>(),
        de::names_of::<filters::charset::Config>(),
        de::names_of::<filters::clone::Config>(),
        de::names_of::<filters::convert::Config>(),
        de::names_of::<filters::csv::Config>(),
        de::names_of::<filters::date::Config>(),
        de::names_of::<filters::date::MissingYear>(),
        de::names_of::<filters::de_dot::Config>(),
        de::names_of::<filters::dissect::Config>(),
        de::names_of::<filters::dissect::Mapping>(),
        de::names_of::<filters::dissect::Type>(),
        de::names_of::<filters::drop::Config>(),
        de::names_of::<filters::fingerprint::Config>(),
        de::names_of::<filters::fingerprint::Method>(),
        de::names_of::<filters::geoip::Config>(),
        de::names_of::<filters::grok::Config>(),
        de::names_of::<filters::grok::Match>(),
        de::names_of::<filters::json::Config>(),
        de::names_of::<filters::kv::Config>(),
        de::names_of::<filters::kv::Syntax>(),
        de::names_of::<filters::kv::Case>(),
        de::names_of::<filters::kv::Whitespace>(),
        de::names_of::<filters::mutate::Config>(),
        de::names_of::<filters::mutate::Type>(),
        de::names_of::<filters::mutate::Conversion>(),
        de::names_of::<filters::mutate::Substitution>(),
        de::names_of::<filters::on_success::Config>(),
        de::names_of::<filters::prune::Config>(),
        de::names_of::<filters::remove::Config>(),
        de::names_of::<filters::rename::Config>(),
        de::names_of::<filters::set::Config>(),
        de::names_of::<filters::sleep::Config>(),
        de::names_of::<filters::split::Config>(),
        de::names_of::<filters::syslog::Config>(),
        de::names_of::<filters::syslog_pri::Config>(),
        de::names_of::<filters::Names>(),
        de::names_of::<filters::throttle::Config>(),
        de::names_of::<filters::translate::Config>(),
        de::names_of::<filters::truncate::Config>(),
        de::names_of::<filters::urldecode::Config>(),
        de::names_of::<filters::useragent::Config>(),
        de::names_of::<filters::uuid::Config>(),
        de::names_of::<filters::xml::Config>(),
        de::names_of::<plan::QueueOptions>(),
        de::names_of::<plan::Pipeline>(),
    ];
    describes("config.md", words.into_iter().flatten());
    for (group, names) in [
        ("api", de::names_of::<plan::Api>()),
        ("store", de::names_of::<plan::StoreOptions>()),
        ("dead_letters", de::names_of::<plan::DeadLetterOptions>()),
    ] {
        for name in names {
            assert!(
                page("config.md").contains(&format!("`{group}.{name}")),
                "docs/config.md lacks {group}.{name}"
            );
        }
    }
}

#[test]
fn the_examples_are_configs() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let below = ["", "inputs", "outputs"].map(|folder| fs::read_dir(docs.join(folder)).unwrap());
    let files = below.into_iter().flatten().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let texts = pages.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()));
    let mut found = 0;
    for (page, text) in texts.chain([("README.md".to_owned(), README.to_owned())]) {
        for block in text.split("```yaml\n").skip(1) {
            let text = block.split("```").next().unwrap_or_default().to_owned();
            let source = Source { name: page.clone(), text };
            // A list is a file of cases.
            let read = match source.text.starts_with("- ") {
                true => crate::read_cases(&source).map(|_| ()),
                false => crate::read(&[source]).map(|_| ()),
            };
            if let Err(problems) = read {
                panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
            }
            found += 1;
        }
    }
    assert!(found >= 10);
}
