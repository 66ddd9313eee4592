//! What the pages say of the format holds.

use crate::{Source, de};
use pipeline::{inputs, net, outputs, plan};

const CONFIG: &str = include_str!("../../../../docs/config.md");
const README: &str = include_str!("../../../../README.md");

#[test]
fn every_component_and_option_is_described() {
    let components = [
        de::names_of::<inputs::InputConfig>(),
        de::names_of::<outputs::OutputConfig>(),
        de::names_of::<filters::FilterConfig>(),
    ];
    let options = [
        de::names_of::<inputs::file::Config>(),
        de::names_of::<inputs::file::MultilineConfig>(),
        de::names_of::<inputs::generate::Config>(),
        de::names_of::<inputs::journal::Config>(),
        de::names_of::<inputs::kafka::Config>(),
        de::names_of::<inputs::kafka::GroupProtocol>(),
        de::names_of::<inputs::kafka::Assignment>(),
        de::names_of::<inputs::kafka::OffsetReset>(),
        de::names_of::<inputs::kafka::Isolation>(),
        de::names_of::<inputs::kafka::Codec>(),
        de::names_of::<inputs::kafka::Timestamp>(),
        de::names_of::<inputs::kafka::Metadata>(),
        de::names_of::<inputs::kafka_lag::Config>(),
        de::names_of::<inputs::stdin::Config>(),
        de::names_of::<outputs::blackhole::Config>(),
        de::names_of::<outputs::console::Config>(),
        de::names_of::<outputs::elasticsearch::Config>(),
        de::names_of::<outputs::elasticsearch::DataStream>(),
        de::names_of::<outputs::elasticsearch::Auth>(),
        de::names_of::<outputs::file::Config>(),
        de::names_of::<outputs::kafka::Config>(),
        de::names_of::<outputs::kafka::Acks>(),
        de::names_of::<outputs::kafka::Compression>(),
        de::names_of::<outputs::kafka::Denied>(),
        de::names_of::<outputs::kafka::Partitioner>(),
        de::names_of::<net::kafka::SaslConfig>(),
        de::names_of::<net::kafka::SaslMechanism>(),
        de::names_of::<net::tls::TlsConfig>(),
        de::names_of::<net::tls::Verification>(),
        de::names_of::<outputs::store::Config>(),
        de::names_of::<filters::auto::Config>(),
        de::names_of::<filters::convert::Config>(),
        de::names_of::<filters::csv::Config>(),
        de::names_of::<filters::date::Config>(),
        de::names_of::<filters::drop::Config>(),
        de::names_of::<filters::grok::Config>(),
        de::names_of::<filters::json::Config>(),
        de::names_of::<filters::kv::Config>(),
        de::names_of::<filters::mutate::Config>(),
        de::names_of::<filters::mutate::Type>(),
        de::names_of::<filters::mutate::Conversion>(),
        de::names_of::<filters::mutate::Substitution>(),
        de::names_of::<filters::on_success::Config>(),
        de::names_of::<filters::remove::Config>(),
        de::names_of::<filters::rename::Config>(),
        de::names_of::<filters::set::Config>(),
        de::names_of::<plan::QueueOptions>(),
    ];
    for name in components.into_iter().flatten() {
        assert!(
            CONFIG.contains(&format!("`{name}`")) || CONFIG.contains(&format!("### {name}\n")),
            "docs/config.md says nothing of {name}"
        );
    }
    assert!(options.iter().flat_map(|names| names.iter()).count() > 30);
    for name in options.into_iter().flatten().chain(de::names_of::<plan::Pipeline>()) {
        assert!(CONFIG.contains(&format!("`{name}`")), "docs/config.md says nothing of the option {name}");
    }
    for group in ["api", "store"] {
        let names: &[&str] =
            if group == "api" { de::names_of::<plan::Api>() } else { de::names_of::<plan::StoreOptions>() };
        for name in names {
            assert!(CONFIG.contains(&format!("`{group}.{name}")), "docs/config.md lacks {group}.{name}");
        }
    }
}

#[test]
fn the_examples_are_configs() {
    let mut found = 0;
    for (page, text) in [("docs/config.md", CONFIG), ("README.md", README)] {
        for block in text.split("```yaml\n").skip(1) {
            let text = block.split("```").next().unwrap_or_default().to_owned();
            let source = Source { name: page.to_owned(), text };
            if let Err(problems) = crate::read(&[source]) {
                panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
            }
            found += 1;
        }
    }
    assert!(found >= 2);
}
