//! Outputs: defaults of `logstash-output-elasticsearch` 12.0, `-kafka` 11.6, `-file` 4.3,
//! `-stdout` 3.1.

use super::super::known::{Known, PluginTable, honoured, near, no_effect, refused, stronger};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::{Ecs, Translator};
use super::kafka::{CLUSTER, cluster};
use super::listen::versions;
use super::post;
use super::stream;
use serde_json::{Map, Value as Json, json};

const OWN: &str = "logpond's own client needs no such setting";
const TEMPLATE: &str = "logpond installs no template; put it there once with curl";
const ILM: &str = "logpond makes no aliases and policies; name a data stream or an index";
const PEM: &str =
    "give the certificates as PEM files: ssl_certificate_authorities, ssl_certificate and ssl_key";
const SCRIPT: &str = "scripts are not supported; let an ingest pipeline do it";
const ROUNDS: &str = "logpond asks each server by its bulk requests";
const CLOUD: &str = "write the address into hosts, and the user into user and password";

pub(crate) const TABLES: &[PluginTable] = &[
    PluginTable {
        name: "elasticsearch",
        note: "Without document_id the id is made of the event's origin and position: nothing is stored twice.",
        options: &[&[
            honoured("hosts", "[//127.0.0.1]"),
            honoured("index", "logstash-%{+yyyy.MM.dd}"),
            honoured("data_stream", "auto"),
            honoured("data_stream_type", "logs"),
            honoured("data_stream_dataset", "generic"),
            honoured("data_stream_namespace", "default"),
            honoured("data_stream_auto_routing", "true"),
            honoured("data_stream_sync_fields", "true"),
            honoured("action", "index"),
            stronger("document_id", "", "without one an event keeps the id that it has everywhere"),
            honoured("routing", ""),
            honoured("pipeline", ""),
            honoured("doc_as_upsert", "false"),
            honoured("user", ""),
            honoured("password", ""),
            honoured("api_key", ""),
            honoured("path", ""),
            honoured("ssl_enabled", ""),
            honoured("ssl", ""),
            honoured("ssl_certificate_authorities", ""),
            honoured("cacert", ""),
            honoured("ssl_verification_mode", "full"),
            honoured("ssl_certificate_verification", "true"),
            honoured("ssl_certificate", ""),
            honoured("ssl_key", ""),
            honoured("timeout", "60"),
            honoured("retry_max_interval", "64"),
            no_effect("retry_initial_interval", "2", "pauses begin with 0.1 s"),
            honoured("compression_level", "1"),
            honoured("http_compression", ""),
            honoured("custom_headers", "{}"),
            honoured("parameters", "{}"),
            honoured("ecs_compatibility", ""),
            near("retry_on_conflict", "1", "the server repeats an update three times"),
            no_effect("manage_template", "true", TEMPLATE),
            refused("template", "", TEMPLATE),
            no_effect("template_name", "logstash", TEMPLATE),
            no_effect("template_overwrite", "false", TEMPLATE),
            no_effect("template_api", "auto", TEMPLATE),
            near("ilm_enabled", "auto", ILM),
            refused("ilm_rollover_alias", "", ILM),
            no_effect("ilm_pattern", "{now/d}-000001", ILM),
            no_effect("ilm_policy", "logstash-policy", ILM),
            stronger(
                "dlq_on_failed_indexname_interpolation",
                "true",
                "an event without the field of its index always goes to the dead letters",
            ),
            stronger(
                "dlq_custom_codes",
                "[]",
                "whatever the server refuses for good goes to the dead letters",
            ),
            no_effect("silence_errors_in_log", "[]", "refusals are counted, not logged one by one"),
            no_effect("validate_after_inactivity", "10000", OWN),
            no_effect("pool_max", "1000", OWN),
            no_effect("pool_max_per_route", "100", OWN),
            no_effect("resurrect_delay", "5", "a host that fails is tried again after 0.25 to 30 s"),
            no_effect("sniffing_delay", "5", ROUNDS),
            no_effect("sniffing_path", "", ROUNDS),
            refused("sniffing", "false", "name all hosts"),
            no_effect("healthcheck_path", "", ROUNDS),
            refused("bulk_path", "", "path stands before _bulk"),
            refused("proxy", "", "a proxy is not supported"),
            refused("cloud_id", "", CLOUD),
            refused("cloud_auth", "", CLOUD),
            refused("ca_trusted_fingerprint", "", PEM),
            refused("keystore", "", PEM),
            refused("keystore_password", "", PEM),
            refused("truststore", "", PEM),
            refused("truststore_password", "", PEM),
            refused("ssl_keystore_path", "", PEM),
            refused("ssl_keystore_password", "", PEM),
            refused("ssl_keystore_type", "", PEM),
            refused("ssl_truststore_path", "", PEM),
            refused("ssl_truststore_password", "", PEM),
            refused("ssl_truststore_type", "", PEM),
            honoured("ssl_supported_protocols", ""),
            no_effect("ssl_cipher_suites", "", "those of rustls"),
            no_effect("document_type", "_doc", "Elasticsearch has no types any more"),
            refused("parent", "", "give it as a field of the mapping's join"),
            refused("join_field", "", "set the field with mutate"),
            refused("version", "", "versions from outside are not supported"),
            refused("version_type", "", "versions from outside are not supported"),
            refused("upsert", "", "doc_as_upsert takes the event itself"),
            refused("script", "", SCRIPT),
            no_effect("script_type", "inline", SCRIPT),
            no_effect("script_lang", "painless", SCRIPT),
            no_effect("script_var_name", "event", SCRIPT),
            refused("scripted_upsert", "false", SCRIPT),
            no_effect("codec", "plain", "documents are JSON"),
        ]],
    },
    PluginTable {
        name: "file",
        note: "An event counts as delivered when the disk has it.",
        options: &[&[
            honoured("path", ""),
            honoured("codec", "json_lines"),
            near(
                "filename_failure",
                "_filepath_failures",
                "an event that would leave the folder before the first field goes to the dead letters",
            ),
            no_effect("create_if_deleted", "true", "a file that is gone is made again"),
            no_effect("flush_interval", "2", "what is written is on the disk before it counts"),
            no_effect(
                "stale_cleanup_interval",
                "10",
                "the files that were used longest ago are closed first",
            ),
            refused("gzip", "false", "let logrotate compress files that are complete"),
            refused("write_behavior", "append", "files are appended to"),
            refused("dir_mode", "-1", "the umask decides"),
            refused("file_mode", "-1", "the umask decides"),
        ]],
    },
    PluginTable {
        name: "kafka",
        note: "An event counts as delivered by the broker's answer alone; it is tried again for ever.",
        options: &[
            CLUSTER,
            &[
                honoured("topic_id", ""),
                honoured("message_key", ""),
                honoured("message_headers", "{}"),
                honoured("codec", "plain"),
                stronger("acks", "1", "without it all replicas in sync must have an event"),
                honoured("compression_type", "none"),
                honoured("partitioner", "default"),
                honoured("batch_size", "16384"),
                honoured("linger_ms", "0"),
                honoured("buffer_memory", "33554432"),
                honoured("max_request_size", "1048576"),
                honoured("request_timeout_ms", "40000"),
                stronger("retries", "", "it is tried again until the broker has it"),
                no_effect("metadata_fetch_timeout_ms", "60000", "it is waited for as long as it takes"),
                refused(
                    "key_serializer",
                    "org.apache.kafka.common.serialization.StringSerializer",
                    "keys are text",
                ),
                refused(
                    "value_serializer",
                    "org.apache.kafka.common.serialization.StringSerializer",
                    "values are what the codec writes",
                ),
            ],
        ],
    },
    post::HTTP,
    stream::LUMBERJACK,
    PluginTable { name: "null", note: "", options: &[&[no_effect("codec", "plain", "nothing is written")]] },
    post::PIPELINE,
    post::REDIS,
    PluginTable { name: "stdout", note: "", options: &[&[honoured("codec", "rubydebug")]] },
    stream::TCP,
    stream::UDP,
];

/// The output of the plan.
pub(crate) fn translate(t: &mut Translator<'_>, name: &str, options: &Options) -> Option<Json> {
    match name {
        "elasticsearch" => elasticsearch(t, options),
        "file" => {
            let path = options.needed(t, "path")?;
            let path = t.template(&path, options.place("path"));
            Some(json!({"file": {"path": path, "codec": codec(t, options, "json_lines")?}}))
        }
        "kafka" => kafka(t, options),
        "http" => post::http(t, options),
        "pipeline" => post::pipeline(t, options),
        "redis" => post::redis(t, options),
        "lumberjack" => stream::lumberjack(t, options),
        "tcp" => stream::tcp(t, options),
        "udp" => stream::udp(t, options),
        "null" => Some(json!({"blackhole": {}})),
        _ => Some(json!({"console": {"codec": codec(t, options, "rubydebug")?}})),
    }
}

/// What `plain` writes when it has no format: the time, the host and the message.
const PLAIN_FORMAT: &str = "%{@timestamp} %{host} %{message}";

pub(crate) const CODEC: &[Known] = &[
    honoured("format", ""),
    refused("charset", "UTF-8", "texts are written as UTF-8"),
    refused("metadata", "false", "@metadata is not written"),
    honoured("delimiter", "\\n"),
    no_effect("ecs_compatibility", "", "it names nothing here"),
    honoured("columns", "[]"),
    honoured("separator", ","),
    honoured("quote_char", "\""),
    refused("include_headers", "false", "write the line with the names into the file once"),
    no_effect("autodetect_column_names", "false", "it is about reading"),
    no_effect("autogenerate_column_names", "true", "it is about reading"),
    no_effect("skip_empty_columns", "false", "it is about reading"),
    no_effect("convert", "{}", "it is about reading"),
    no_effect("target", "", "it is about reading"),
    no_effect("decode_size_limit_bytes", "", "it is about reading"),
];

pub(crate) fn codec(t: &mut Translator<'_>, options: &Options, default: &str) -> Option<Json> {
    let (name, plugin) = options.codec(t, default);
    let own = Options::new(t, &plugin, format!("codec {name:?}"), &CODEC.iter().collect::<Vec<_>>());
    match name.as_str() {
        "json" | "json_lines" => Some("json".into()),
        "rubydebug" => Some("rubydebug".into()),
        "dots" => Some("dots".into()),
        "msgpack" => {
            if own.has("format") {
                let message = "the codec \"msgpack\" writes the whole event: leave \"format\" out";
                t.wrong(own.place("format"), message);
            }
            Some("msgpack".into())
        }
        "csv" => {
            let mut csv = Map::new();
            let columns = own.references(t, "columns");
            if !columns.is_empty() {
                csv.insert("columns".into(), columns.into());
            }
            for (name, key) in [("separator", "separator"), ("quote_char", "quote")] {
                if let Some(text) = own.text(t, name) {
                    csv.insert(key.into(), text.replace("\\t", "\t").into());
                }
            }
            Some(json!({ "csv": csv }))
        }
        "plain" | "line" => {
            let format = own.text(t, "format").unwrap_or_else(|| PLAIN_FORMAT.to_owned());
            Some(json!({"text": t.template(&format, own.place("format"))}))
        }
        other => {
            let known = ["csv", "dots", "json", "json_lines", "line", "msgpack", "plain", "rubydebug"];
            t.wrong(plugin.place, unknown("codec", other, &format!(" for {}", options.what), &known));
            None
        }
    }
}

fn elasticsearch(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let mut config = Map::new();
    let ssl = options.bool(t, "ssl_enabled").or(options.bool(t, "ssl"));
    let hosts = options.list(t, "hosts").unwrap_or_else(|| vec!["127.0.0.1".to_owned()]);
    let path = options.text(t, "path").unwrap_or_default();
    let endpoints: Vec<String> = hosts.iter().map(|host| endpoint(host, ssl, &path)).collect();
    if ssl == Some(true) && endpoints.iter().any(|endpoint| endpoint.starts_with("http://")) {
        t.wrong(options.place("hosts"), "ssl is on, but a host begins with http://");
    }
    let is_tls = endpoints.iter().any(|endpoint| endpoint.starts_with("https://"));
    config.insert("endpoints".into(), endpoints.into());
    // An explicit user comes before one in an address, as it does in the plan.
    match (options.text(t, "user"), options.text(t, "password"), options.text(t, "api_key")) {
        (Some(_), _, Some(_)) => t.wrong(options.place("api_key"), "either user and password, or api_key"),
        (Some(user), password, None) => {
            let basic = json!({"user": user, "password": password.unwrap_or_default()});
            config.insert("auth".into(), json!({"basic": basic}));
        }
        (None, Some(_), _) => t.wrong(options.place("password"), "a password without a user"),
        (None, None, Some(key)) => drop(config.insert("auth".into(), json!({"api_key": key}))),
        (None, None, None) => {}
    }
    let tls = tls(t, options);
    if is_tls && !tls.is_empty() {
        config.insert("tls".into(), tls.into());
    }
    place(t, options, &mut config);
    let id = match options.text(t, "document_id") {
        Some(id) => t.template(&id, options.place("document_id")),
        None => "event".to_owned(),
    };
    config.insert("id".into(), id.into());
    for name in ["routing", "pipeline"] {
        if let Some(text) = options.text(t, name) {
            config.insert(name.into(), t.template(&text, options.place(name)).into());
        }
    }
    if options.bool(t, "doc_as_upsert") == Some(true) {
        config.insert("upsert".into(), true.into());
    }
    let level = options.number(t, "compression_level");
    let level = level.or(options.bool(t, "http_compression").map(u64::from));
    if let Some(level) = level {
        config.insert("gzip_level".into(), level.into());
    }
    for (name, own) in [("timeout", "request_timeout"), ("retry_max_interval", "retry_pause_max")] {
        if let Some(time) = options.seconds(t, name) {
            config.insert(own.into(), time.into());
        }
    }
    for (name, own) in [("custom_headers", "headers"), ("parameters", "query")] {
        let pairs = options.pairs(t, name);
        if !pairs.is_empty() {
            let pairs =
                pairs.into_iter().map(|(key, value)| (key, Json::from(value.text().unwrap_or_default())));
            config.insert(own.into(), Json::Object(pairs.collect()));
        }
    }
    Some(json!({"elasticsearch": config}))
}

/// The options that a data stream does not go with.
const CLASSIC: [&str; 10] = [
    "index",
    "document_id",
    "action",
    "doc_as_upsert",
    "routing",
    "ilm_enabled",
    "ilm_rollover_alias",
    "template",
    "template_name",
    "manage_template",
];

/// Which index or data stream.
fn place(t: &mut Translator<'_>, options: &Options, config: &mut Map<String, Json>) {
    let word = options.text(t, "data_stream").unwrap_or_else(|| "auto".to_owned());
    let is_classic = CLASSIC.iter().any(|name| options.has(name));
    let is_stream = match word.as_str() {
        "true" => true,
        "false" => false,
        "auto" => !is_classic && t.ecs_of(options) == Ecs::Schema,
        other => {
            let message = unknown("value", other, " of \"data_stream\"", &["auto", "true", "false"]);
            t.wrong(options.place("data_stream"), message);
            return;
        }
    };
    const PARTS: [(&str, &str); 3] = [
        ("data_stream_type", "type"),
        ("data_stream_dataset", "dataset"),
        ("data_stream_namespace", "namespace"),
    ];
    const FLAGS: [(&str, &str); 2] =
        [("data_stream_auto_routing", "auto_routing"), ("data_stream_sync_fields", "sync_fields")];
    if is_stream {
        let mut stream = Map::new();
        for (name, own) in PARTS {
            if let Some(text) = options.text(t, name) {
                stream.insert(own.into(), t.template(&text, options.place(name)).into());
            }
        }
        for (name, own) in FLAGS {
            if let Some(flag) = options.bool(t, name) {
                stream.insert(own.into(), flag.into());
            }
        }
        if options.has("index") {
            t.wrong(
                options.place("index"),
                "\"index\" and a data stream do not go together; take one of them away",
            );
        }
        config.insert("data_stream".into(), stream.into());
        if let Some(action) = options.text(t, "action").filter(|action| action != "create") {
            t.wrong(
                options.place("action"),
                format!("a data stream takes the action \"create\" only, not {action:?}"),
            );
        }
        return;
    }
    for (name, _) in PARTS.into_iter().chain(FLAGS) {
        if options.has(name) {
            t.warn(options.place(name), format!("{name:?} means nothing without data_stream => true"));
        }
    }
    let index = options.text(t, "index").unwrap_or_else(|| {
        let prefix = if t.ecs_of(options) == Ecs::Schema { "ecs-" } else { "" };
        format!("{prefix}logstash-%{{+yyyy.MM.dd}}")
    });
    config.insert("index".into(), t.template(&index, options.place("index")).into());
    if let Some(action) = options.text(t, "action") {
        config.insert("action".into(), t.template(&action, options.place("action")).into());
    }
}

/// An address with what Logstash adds to it: the port 9200, the scheme of `ssl`, the path.
fn endpoint(host: &str, ssl: Option<bool>, path: &str) -> String {
    let (scheme, rest) = match host.split_once("://") {
        Some((scheme, rest)) => (scheme.to_owned(), rest),
        None => {
            let scheme = if ssl == Some(true) { "https" } else { "http" };
            (scheme.to_owned(), host.trim_start_matches("//"))
        }
    };
    let (authority, own_path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let name = authority.rsplit_once('@').map_or(authority, |(_, name)| name);
    let behind_brackets = name.rsplit_once(']').map_or(name, |(_, port)| port);
    let port = if behind_brackets.contains(':') { "" } else { ":9200" };
    let path = if path.is_empty() { own_path.trim_end_matches('/') } else { path.trim_matches('/') };
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{authority}{port}{slash}{path}")
}

pub(crate) fn tls(t: &mut Translator<'_>, options: &Options) -> Map<String, Json> {
    let mut tls = Map::new();
    let authorities = options.list(t, "ssl_certificate_authorities").or(options.list(t, "cacert"));
    match authorities.as_deref() {
        None | Some([]) => {}
        Some([one]) => drop(tls.insert("ca".into(), one.clone().into())),
        Some(_) => {
            let place = options.place("ssl_certificate_authorities");
            t.wrong(
                place,
                "one file of certificates is taken; put all of them into it, one behind the other",
            );
        }
    }
    let files = [("ssl_certificate", "cert"), ("ssl_key", "key"), ("ssl_key_passphrase", "key_passphrase")];
    for (name, own) in files {
        if let Some(file) = options.text(t, name) {
            tls.insert(own.into(), file.into());
        }
    }
    let mode = options.text(t, "ssl_verification_mode");
    let verified = options.bool(t, "ssl_certificate_verification").unwrap_or(true);
    match mode.as_deref() {
        None if verified => {}
        Some("full") => {}
        None | Some("none") => drop(tls.insert("verification".into(), "none".into())),
        Some(other) => {
            let message = unknown("value", other, " of \"ssl_verification_mode\"", &["full", "none"]);
            t.wrong(options.place("ssl_verification_mode"), message);
        }
    }
    versions(t, options, &mut tls);
    tls
}

fn kafka(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let mut config = Map::new();
    cluster(t, options, &mut config);
    let topic = options.needed(t, "topic_id")?;
    config.insert("topic".into(), t.template(&topic, options.place("topic_id")).into());
    if let Some(key) = options.text(t, "message_key") {
        config.insert("key".into(), t.template(&key, options.place("message_key")).into());
    }
    let headers = options.pairs(t, "message_headers");
    if !headers.is_empty() {
        let mut out = Map::new();
        for (name, value) in headers {
            out.insert(name, t.template(&value.text().unwrap_or_default(), value.place).into());
        }
        config.insert("headers".into(), out.into());
    }
    config.insert("codec".into(), codec(t, options, "plain")?);
    if let Some(acks) = options.text(t, "acks") {
        let own = match acks.as_str() {
            "0" => "none",
            "1" => "leader",
            "all" | "-1" => "all",
            other => {
                t.wrong(options.place("acks"), unknown("value", other, " of \"acks\"", &["0", "1", "all"]));
                "all"
            }
        };
        config.insert("acks".into(), own.into());
        if own != "all" {
            config.insert("idempotent".into(), false.into());
        }
    }
    if let Some(kind) = options.text(t, "compression_type") {
        let known = ["none", "gzip", "snappy", "lz4", "zstd"];
        if !known.contains(&kind.as_str()) {
            t.wrong(
                options.place("compression_type"),
                unknown("value", &kind, " of \"compression_type\"", &known),
            );
        } else {
            config.insert("compression".into(), kind.into());
        }
    }
    if let Some(partitioner) = options.text(t, "partitioner") {
        let own = match partitioner.as_str() {
            "default" => "murmur2",
            "round_robin" | "org.apache.kafka.clients.producer.RoundRobinPartitioner" => "round_robin",
            "uniform_sticky" | "org.apache.kafka.clients.producer.UniformStickyPartitioner" => "sticky",
            other => {
                let known = ["default", "round_robin", "uniform_sticky"];
                t.wrong(options.place("partitioner"), unknown("value", other, " of \"partitioner\"", &known));
                "murmur2"
            }
        };
        config.insert("partitioner".into(), own.into());
    }
    let sizes = [
        ("batch_size", "batch_bytes"),
        ("buffer_memory", "memory_bytes_max"),
        ("max_request_size", "request_bytes_max"),
    ];
    for (name, own) in sizes {
        if let Some(size) = options.number(t, name) {
            config.insert(own.into(), size.into());
        }
    }
    for (name, own) in [("linger_ms", "linger"), ("request_timeout_ms", "request_timeout")] {
        if let Some(time) = options.millis(t, name) {
            config.insert(own.into(), time.into());
        }
    }
    Some(json!({"kafka": config}))
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn endpoints() {
        #[track_caller]
        fn check(host: &str, ssl: Option<bool>, path: &str, expected: &str) {
            assert_eq!(endpoint(host, ssl, path), expected);
        }
        check("localhost:9200", None, "", "http://localhost:9200");
        check("localhost", None, "", "http://localhost:9200");
        check("//127.0.0.1", None, "", "http://127.0.0.1:9200");
        check("es", Some(true), "", "https://es:9200");
        check("https://es", None, "", "https://es:9200");
        check("https://u:p@es:443/a/", None, "", "https://u:p@es:443/a");
        check("http://u:p@es", None, "b/", "http://u:p@es:9200/b");
        check("http://[::1]", None, "", "http://[::1]:9200");
        check("http://[::1]:9201", None, "", "http://[::1]:9201");
    }
}
