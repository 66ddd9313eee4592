//! Inputs: defaults of `logstash-input-file` 4.4, `-kafka` 11.6, `-stdin` 3.4, `-generator` 3.1.

use super::super::known::{PluginTable, honoured, near, no_effect, refused, stronger};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::{Ecs, Translator, literal, native_step, version_step};
use super::codecs::{Codec, decode};
use super::kafka::{CLUSTER, cluster};
use super::listen;
use super::push;
use pipeline::plan::{FilterStep, Step};
use serde_json::{Map, Value as Json, json};

const SYSTEM: &str = "the registry in the data directory keeps the positions";
const OWN: &str = "logpond's own client needs no such setting";
const REGISTRY: &str = "the schema registry is not supported; let the producer write JSON";

pub(crate) const TABLES: &[PluginTable] = &[
    push::EXEC,
    PluginTable {
        name: "beats",
        note: "Filebeat keeps what is not acknowledged, and a window is acknowledged when it is safe.",
        options: listen::BEATS,
    },
    PluginTable { name: "elastic_agent", note: "The same as beats.", options: listen::BEATS },
    PluginTable {
        name: "file",
        note: "A file is known by its content, so no rotation sends a line twice or skips one. With `mode => read` files whose names end with .gz or .gzip are unpacked.",
        options: &[&[
            honoured("path", ""),
            honoured("start_position", "end"),
            honoured("exclude", ""),
            honoured("codec", "plain"),
            honoured("delimiter", "\\n"),
            honoured("ignore_older", ""),
            honoured("close_older", "1 hour"),
            honoured("stat_interval", "1 second"),
            honoured("max_open_files", "4095"),
            honoured("ecs_compatibility", ""),
            honoured("mode", "tail"),
            stronger(
                "sincedb_path",
                "",
                "positions are kept in the data directory, and survive a crash; /dev/null reads from start_position at every start only with a new data directory",
            ),
            no_effect("sincedb_write_interval", "15 seconds", SYSTEM),
            no_effect("sincedb_clean_after", "2 weeks", SYSTEM),
            no_effect("discover_interval", "15", "inotify tells of new files at once"),
            no_effect("file_chunk_size", "32768", "files take turns by themselves"),
            no_effect("file_chunk_count", "4611686018427387903", "files take turns by themselves"),
            no_effect("file_sort_by", "last_modified", "files take turns"),
            no_effect("file_sort_direction", "asc", "files take turns"),
            near(
                "check_archive_validity",
                "false",
                "a damaged file is always told, and read as far as it goes; it is not looked through before",
            ),
            refused(
                "exit_after_read",
                "false",
                "logpond run --until-idle ends once everything was delivered",
            ),
            near(
                "file_completed_action",
                "delete",
                "files are not deleted, let logrotate do it; logpond ledger says what was read",
            ),
            near("file_completed_log_path", "", "no list is written; logpond ledger says what was read"),
        ]],
    },
    PluginTable {
        name: "generator",
        note: "Lines for trials.",
        options: &[&[
            honoured("count", "0"),
            honoured("message", "Hello world!"),
            honoured("lines", ""),
            honoured("codec", "plain"),
            honoured("ecs_compatibility", ""),
            no_effect("threads", "1", "one thread makes them fast enough"),
        ]],
    },
    push::HEARTBEAT,
    push::HTTP,
    PluginTable {
        name: "kafka",
        note: "What is not safe yet is not committed, whatever enable_auto_commit says.",
        options: &[
            CLUSTER,
            &[
                honoured("topics", "[\"logstash\"]"),
                near(
                    "topics_pattern",
                    "",
                    "the whole name must match, and the syntax is that of Rust's regex",
                ),
                honoured("group_id", "logstash"),
                honoured("group_instance_id", ""),
                honoured("client_rack", ""),
                honoured("auto_offset_reset", "latest"),
                stronger(
                    "enable_auto_commit",
                    "true",
                    "an offset is committed when everything before it is delivered or on disk",
                ),
                honoured("auto_commit_interval_ms", "5000"),
                honoured("decorate_events", "none"),
                honoured("codec", "plain"),
                honoured("isolation_level", "read_uncommitted"),
                honoured("partition_assignment_strategy", ""),
                honoured("session_timeout_ms", "10000"),
                honoured("heartbeat_interval_ms", "3000"),
                honoured("fetch_min_bytes", "1"),
                honoured("fetch_max_bytes", "52428800"),
                honoured("fetch_max_wait_ms", "500"),
                honoured("max_partition_fetch_bytes", "1048576"),
                honoured("ecs_compatibility", ""),
                no_effect(
                    "consumer_threads",
                    "1",
                    "one member reads all its partitions; start logpond on more machines to share them",
                ),
                no_effect("poll_timeout_ms", "100", OWN),
                no_effect("max_poll_records", "500", OWN),
                no_effect(
                    "max_poll_interval_ms",
                    "300000",
                    "a member keeps its place however long an output takes",
                ),
                no_effect("request_timeout_ms", "40000", OWN),
                no_effect("check_crcs", "true", "checksums are always compared"),
                no_effect(
                    "exclude_internal_topics",
                    "true",
                    "internal topics are read only when they are named",
                ),
                no_effect("auto_create_topics", "true", "a topic that does not exist is waited for"),
                near("group_protocol", "classic", "logpond takes the newer protocol where brokers have it"),
                refused(
                    "key_deserializer_class",
                    "org.apache.kafka.common.serialization.StringDeserializer",
                    "keys are text",
                ),
                refused(
                    "value_deserializer_class",
                    "org.apache.kafka.common.serialization.StringDeserializer",
                    "values are read by the codec",
                ),
                refused("schema_registry_url", "", REGISTRY),
                refused("schema_registry_key", "", REGISTRY),
                refused("schema_registry_secret", "", REGISTRY),
                refused("schema_registry_proxy", "", REGISTRY),
                refused("schema_registry_validation", "auto", REGISTRY),
                refused("schema_registry_ssl_keystore_location", "", REGISTRY),
                refused("schema_registry_ssl_keystore_password", "", REGISTRY),
                refused("schema_registry_ssl_keystore_type", "jks", REGISTRY),
                refused("schema_registry_ssl_truststore_location", "", REGISTRY),
                refused("schema_registry_ssl_truststore_password", "", REGISTRY),
                refused("schema_registry_ssl_truststore_type", "jks", REGISTRY),
            ],
        ],
    },
    push::PIPELINE,
    push::REDIS,
    PluginTable {
        name: "stdin",
        note: "What was not delivered at a crash cannot be read again.",
        options: &[&[honoured("codec", "line"), honoured("ecs_compatibility", "")]],
    },
    PluginTable {
        name: "tcp",
        note: "Nothing is acknowledged: what was read and is not in the queue at a crash is lost.",
        options: listen::TCP,
    },
    push::SYSLOG,
    push::UDP,
];

/// The input of the plan and the filters that make its events those of Logstash.
pub(crate) fn translate(t: &mut Translator<'_>, name: &str, options: &Options) -> Option<(Json, Vec<Step>)> {
    match name {
        "beats" | "elastic_agent" => Some(listen::beats(t, options)),
        "file" => file(t, options),
        "generator" => generator(t, options),
        "kafka" => Some(kafka(t, options)),
        "tcp" => Some(listen::tcp(t, options)),
        "exec" | "heartbeat" | "http" | "pipeline" | "redis" | "syslog" | "udp" => {
            push::translate(t, name, options)
        }
        _ => {
            let ecs = t.ecs_of(options);
            let mut filters = host(ecs);
            let (codec, plugin) = options.codec(t, "line");
            let mut config = Map::new();
            let codec = Codec { what: &options.what, name: &codec, plugin: &plugin, ecs, has_lines: true };
            filters.extend(codec.decode_lines(t, &mut config));
            Some((json!({"stdin": config}), filters))
        }
    }
}

/// What every input does to its events: type, tags, fields.
pub(crate) fn common(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut steps = vec![version_step()];
    if let Some(kind) = options.text(t, "type") {
        let step = native_step(json!({"set": {"fields": {"type": literal(&kind)}}}));
        steps.push(Step::Filter(Box::new(FilterStep { when: Some("!exists(.type)".to_owned()), ..step })));
    }
    let mut step = native_step(json!({"mutate": {}}));
    let tags = options.list(t, "tags").unwrap_or_default();
    step.on_success.add_tag = tags.iter().map(|tag| literal(tag)).collect();
    step.on_success.add_field = options.fields(t, "add_field");
    if !step.on_success.is_empty() {
        steps.push(Step::Filter(Box::new(step)));
    }
    steps
}

pub(crate) fn plain_step(filter: Json) -> Step {
    Step::Filter(Box::new(native_step(filter)))
}

/// The name of the machine, where Logstash puts it.
pub(crate) fn host(ecs: Ecs) -> Vec<Step> {
    match ecs {
        Ecs::Disabled => vec![plain_step(json!({"rename": {"fields": {"host.name": "host"}}}))],
        Ecs::Schema => Vec::new(),
    }
}

fn file(t: &mut Translator<'_>, options: &Options) -> Option<(Json, Vec<Step>)> {
    let paths = options.list(t, "path").unwrap_or_default();
    if paths.is_empty() {
        t.wrong(options.place, format!("{} needs the option \"path\"", options.what));
    }
    for path in &paths {
        if !path.starts_with('/') {
            t.wrong(options.place("path"), format!("the path {path:?} must begin with /"));
        }
    }
    let exclude = options.list(t, "exclude").unwrap_or_default();
    for (option, patterns) in [("path", &paths), ("exclude", &exclude)] {
        for pattern in patterns {
            if let Err(error) = globset::GlobBuilder::new(pattern).literal_separator(true).build() {
                t.wrong(options.place(option), format!("not a pattern of files: {}", error.kind()));
            }
        }
    }
    let mode = options.text(t, "mode").unwrap_or_else(|| "tail".to_owned());
    let is_read = match mode.as_str() {
        "tail" => false,
        "read" => {
            if !options.has("file_completed_action") {
                let message = "mode => \"read\" deletes files that were read unless file_completed_action says otherwise; logpond never deletes them";
                t.warn(options.place("mode"), message);
            }
            true
        }
        other => {
            let message = unknown("mode", other, "", &["tail", "read"]);
            t.wrong(options.place("mode"), message);
            false
        }
    };
    let start = options.text(t, "start_position").unwrap_or_else(|| "end".to_owned());
    if !["beginning", "end"].contains(&start.as_str()) {
        let message = unknown("start_position", &start, "", &["beginning", "end"]);
        t.wrong(options.place("start_position"), message);
    }
    if options.text(t, "delimiter").is_some_and(|delimiter| delimiter != "\\n" && delimiter != "\n") {
        t.wrong(options.place("delimiter"), "lines end with a line feed; another delimiter is not supported");
    }
    let mut config = Map::new();
    config.insert("paths".into(), paths.into());
    config
        .insert("start_at".into(), if is_read || start == "beginning" { "beginning" } else { "end" }.into());
    if is_read {
        // As there, by the names alone, and in this mode alone.
        config.insert("gzip".into(), true.into());
    }
    if !exclude.is_empty() {
        // They are about the file's own name, whatever its folder.
        config.insert("exclude".into(), exclude.iter().map(|name| format!("**/{name}")).collect());
    }
    let times = [
        ("ignore_older", "ignore_older"),
        ("close_older", "close_inactive"),
        ("stat_interval", "scan_interval"),
    ];
    for (name, own) in times {
        if let Some(time) = options.seconds(t, name) {
            config.insert(own.into(), time.into());
        }
    }
    if !options.has("close_older") {
        config.insert("close_inactive".into(), "1h".into());
    }
    if let Some(count) = options.number(t, "max_open_files") {
        config.insert("open_files_max".into(), count.into());
    }
    let ecs = t.ecs_of(options);
    let mut filters = match ecs {
        Ecs::Disabled => vec![
            plain_step(json!({"rename": {"fields": {"host.name": "host", "log.file.path": "path"}}})),
            plain_step(json!({"remove": {"fields": ["log"]}})),
        ],
        Ecs::Schema => vec![plain_step(json!({"remove": {"fields": ["log.offset"]}}))],
    };
    let (codec, plugin) = options.codec(t, "plain");
    let codec = Codec { what: &options.what, name: &codec, plugin: &plugin, ecs, has_lines: true };
    filters.extend(codec.decode_lines(t, &mut config));
    Some((json!({"file": config}), filters))
}

fn generator(t: &mut Translator<'_>, options: &Options) -> Option<(Json, Vec<Step>)> {
    let lines = match options.list(t, "lines") {
        Some(lines) if !lines.is_empty() => lines,
        _ => vec![options.text(t, "message").unwrap_or_else(|| "Hello world!".to_owned())],
    };
    if lines == ["stdin"] {
        t.wrong(options.place("message"), "a line of standard input is not taken; write the message here");
    }
    let rounds = options.number(t, "count").unwrap_or(0);
    let count = rounds.saturating_mul(lines.len() as u64);
    let ecs = t.ecs_of(options);
    let mut filters = host(ecs);
    // With several lines Logstash numbers the rounds.
    let sequence = if ecs == Ecs::Disabled { "sequence" } else { "event.sequence" };
    if lines.len() == 1 {
        filters.push(plain_step(json!({"rename": {"fields": {"log.offset": sequence}}})));
    }
    filters.push(plain_step(json!({"remove": {"fields": ["log"]}})));
    filters.extend(decode(t, options, "plain", ecs));
    Some((json!({"generate": {"lines": lines, "count": count}}), filters))
}

fn kafka(t: &mut Translator<'_>, options: &Options) -> (Json, Vec<Step>) {
    let mut config = Map::new();
    cluster(t, options, &mut config);
    let pattern = options.text(t, "topics_pattern");
    match (&pattern, options.list(t, "topics")) {
        (Some(pattern), _) => {
            config.insert("topics_pattern".into(), pattern.clone().into());
        }
        (None, topics) => {
            config.insert("topics".into(), topics.unwrap_or_else(|| vec!["logstash".to_owned()]).into());
        }
    }
    let group = options.text(t, "group_id").unwrap_or_else(|| "logstash".to_owned());
    config.insert("group".into(), group.clone().into());
    for (name, own) in [("group_instance_id", "group_instance_id"), ("client_rack", "rack")] {
        if let Some(text) = options.text(t, name) {
            config.insert(own.into(), text.into());
        }
    }
    word(
        t,
        options,
        "auto_offset_reset",
        &[("latest", "latest"), ("earliest", "earliest"), ("none", "none")],
        "auto_offset_reset",
        Some("latest"),
        &mut config,
    );
    word(
        t,
        options,
        "isolation_level",
        &[("read_uncommitted", "read_uncommitted"), ("read_committed", "read_committed")],
        "isolation",
        Some("read_uncommitted"),
        &mut config,
    );
    let strategies = [
        ("range", "range"),
        ("round_robin", "round_robin"),
        ("sticky", "sticky"),
        ("cooperative_sticky", "cooperative_sticky"),
        ("org.apache.kafka.clients.consumer.RangeAssignor", "range"),
        ("org.apache.kafka.clients.consumer.RoundRobinAssignor", "round_robin"),
        ("org.apache.kafka.clients.consumer.StickyAssignor", "sticky"),
        ("org.apache.kafka.clients.consumer.CooperativeStickyAssignor", "cooperative_sticky"),
    ];
    word(t, options, "partition_assignment_strategy", &strategies, "assignment", None, &mut config);
    if let Some(strategy) = config.remove("assignment") {
        config.insert("assignment".into(), json!([strategy]));
    }
    let times = [
        ("auto_commit_interval_ms", "commit_interval", None),
        ("session_timeout_ms", "session_timeout", Some("10000ms")),
        ("heartbeat_interval_ms", "heartbeat_interval", Some("3000ms")),
        ("fetch_max_wait_ms", "fetch_wait_max", None),
    ];
    for (name, own, default) in times {
        if let Some(time) = options.millis(t, name).or_else(|| default.map(str::to_owned)) {
            config.insert(own.into(), time.into());
        }
    }
    let sizes = [
        ("fetch_min_bytes", "fetch_min_bytes"),
        ("fetch_max_bytes", "fetch_bytes_max"),
        ("max_partition_fetch_bytes", "partition_bytes_max"),
    ];
    for (name, own) in sizes {
        if let Some(size) = options.number(t, name) {
            config.insert(own.into(), size.into());
        }
    }
    if options.text(t, "auto_commit_interval_ms").is_none() {
        config.insert("commit_interval".into(), "5000ms".into());
    }
    // The time of an event is when Logstash reads it, unless the codec finds one.
    config.insert("timestamp".into(), "read".into());
    let mut filters = decorate(t, options, &group, &mut config);
    let (codec, plugin) = options.codec(t, "plain");
    let is_plain_json =
        codec == "json" && plugin.attributes.iter().all(|attribute| attribute.name == "ecs_compatibility");
    // Only these make a difference: the path and the host have no place in Kafka.
    let ecs =
        if t.ecs.is_some() || options.has("ecs_compatibility") { t.ecs_of(options) } else { Ecs::Disabled };
    if is_plain_json && ecs == Ecs::Disabled {
        config.insert("codec".into(), "json".into());
    } else {
        filters.extend(decode(t, options, "plain", ecs));
    }
    (json!({"kafka": config}), filters)
}

/// `decorate_events`: what is known of a record goes to `[@metadata][kafka]`, or away.
fn decorate(
    t: &mut Translator<'_>,
    options: &Options,
    group: &str,
    config: &mut Map<String, Json>,
) -> Vec<Step> {
    let word = options.text(t, "decorate_events").unwrap_or_else(|| "none".to_owned());
    let metadata: &[&str] = match word.as_str() {
        "none" | "false" => {
            config.insert("metadata".into(), json!([]));
            return vec![plain_step(json!({"remove": {"fields": ["kafka"]}}))];
        }
        "basic" | "true" => &["key", "timestamp"],
        "extended" => &["key", "timestamp", "headers"],
        other => {
            let message = unknown("value", other, " of \"decorate_events\"", &["none", "basic", "extended"]);
            t.wrong(options.place("decorate_events"), message);
            &[]
        }
    };
    config.insert("metadata".into(), metadata.into());
    vec![
        plain_step(json!({"rename": {"fields": {"kafka": "@metadata.kafka"}}})),
        plain_step(json!({"set": {"fields": {"@metadata.kafka.consumer_group": literal(group)}}})),
    ]
}

/// An option that is one of some words.
fn word(
    t: &mut Translator<'_>,
    options: &Options,
    name: &str,
    words: &[(&str, &str)],
    own: &str,
    default: Option<&str>,
    config: &mut Map<String, Json>,
) {
    match options.text(t, name) {
        None => {
            if let Some(default) = default {
                config.insert(own.into(), default.into());
            }
        }
        Some(text) => match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => drop(config.insert(own.into(), (*value).into())),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let message = unknown("value", &text, &format!(" of {name:?}"), &known);
                t.wrong(options.place(name), message);
            }
        },
    }
}
