//! Inputs that others push to, and the small ones: defaults of `logstash-input-udp` 3.5, `-syslog` 3.7,
//! `-http` 4.1, `-heartbeat` 3.1, `-exec` 3.6, `-redis` 3.7.

use super::super::known::{PluginTable, honoured, near, no_effect, refused, stronger};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::{Ecs, Translator, native_step};
use super::super::tree::{Plugin, Value, ValueKind};
use super::codecs::{self, Codec, codec_options, decode};
use super::inputs::{host, plain_step};
use super::listen::server_tls;
use pipeline::plan::{FilterStep, Step};
use serde_json::{Map, Value as Json, json};

const THREADS: &str = "one thread takes what comes; filters run on all cores";
const STORES: &str = "certificates and keys are PEM files: openssl pkcs12 -in FILE -nodes converts them";
const RUSTLS: &str = "those of rustls, which leaves the weak ones out";

pub(crate) const EXEC: PluginTable = PluginTable {
    name: "exec",
    note: "A command that takes longer than an hour is killed. [@metadata][duration] counts nanoseconds.",
    options: &[&[
        honoured("command", ""),
        honoured("interval", ""),
        near(
            "schedule",
            "",
            "cron's syntax with seconds and zones; the words of rufus-scheduler (every, in) are not known",
        ),
        honoured("codec", "plain"),
        honoured("ecs_compatibility", ""),
    ]],
};

pub(crate) const HEARTBEAT: PluginTable = PluginTable {
    name: "heartbeat",
    note: "",
    options: &[&[
        honoured("interval", "60"),
        honoured("count", "-1"),
        honoured("message", "ok"),
        honoured("sequence", "none"),
        no_effect("threads", "1", THREADS),
        honoured("codec", "plain"),
        honoured("ecs_compatibility", ""),
    ]],
};

pub(crate) const HTTP: PluginTable = PluginTable {
    name: "http",
    note: "A request is answered when its events are delivered or on disk; 429 says that as much waits as may.",
    options: &[&[
        honoured("host", "0.0.0.0"),
        honoured("port", "8080"),
        honoured("user", ""),
        honoured("password", ""),
        honoured("additional_codecs", "{\"application/json\"=>\"json\"}"),
        honoured("codec", "plain"),
        honoured("response_code", "200"),
        honoured("response_headers", "{\"Content-Type\"=>\"text/plain\"}"),
        honoured("remote_host_target_field", ""),
        honoured("request_headers_target_field", ""),
        honoured("max_content_length", "104857600"),
        honoured("max_pending_requests", "200"),
        no_effect("threads", "", THREADS),
        honoured("ecs_compatibility", ""),
        honoured("ssl_enabled", "false"),
        honoured("ssl", "false"),
        honoured("ssl_certificate", ""),
        honoured("ssl_key", ""),
        honoured("ssl_key_passphrase", ""),
        honoured("ssl_certificate_authorities", "[]"),
        honoured("ssl_client_authentication", "none"),
        honoured("ssl_verify_mode", "none"),
        honoured("verify_mode", "none"),
        honoured("ssl_handshake_timeout", "10000"),
        honoured("ssl_supported_protocols", ""),
        no_effect("ssl_cipher_suites", "", RUSTLS),
        no_effect("cipher_suites", "", RUSTLS),
        honoured("tls_min_version", ""),
        honoured("tls_max_version", ""),
        refused("keystore", "", STORES),
        refused("keystore_password", "", STORES),
        refused("ssl_keystore_path", "", STORES),
        refused("ssl_keystore_password", "", STORES),
        refused("ssl_keystore_type", "", STORES),
        refused("ssl_truststore_path", "", STORES),
        refused("ssl_truststore_password", "", STORES),
        refused("ssl_truststore_type", "", STORES),
    ]],
};

pub(crate) const PIPELINE: PluginTable = PluginTable {
    name: "pipeline",
    note: "",
    options: &[&[honoured("address", ""), no_effect("codec", "plain", "events are handed on as they are")]],
};

pub(crate) const REDIS: PluginTable = PluginTable {
    name: "redis",
    note: "What is taken from a list waits in Redis until it is safe (Redis 6.2).",
    options: &[&[
        honoured("host", "127.0.0.1"),
        honoured("port", "6379"),
        refused("path", "", "a Unix socket is not used; let Redis listen on 127.0.0.1"),
        honoured("ssl", "false"),
        honoured("db", "0"),
        honoured("password", ""),
        honoured("timeout", "5"),
        honoured("data_type", ""),
        honoured("key", ""),
        honoured("batch_count", "125"),
        no_effect("threads", "1", THREADS),
        refused("command_map", "{}", "commands have the names that Redis gives them"),
        near("codec", "json", "json and plain are read"),
        honoured("ecs_compatibility", ""),
    ]],
};

pub(crate) const SYSLOG: PluginTable = PluginTable {
    name: "syslog",
    note: "Messages are taken apart by the same grok and date as there, in UTC without a timezone. The native input knows more forms.",
    options: &[&[
        honoured("host", "0.0.0.0"),
        honoured("port", "514"),
        honoured("proxy_protocol", "false"),
        honoured("use_labels", "true"),
        honoured("facility_labels", ""),
        honoured("severity_labels", ""),
        honoured("grok_pattern", "<%{POSINT:priority}>%{SYSLOGLINE}"),
        honoured("syslog_field", "message"),
        honoured("timezone", ""),
        honoured("locale", ""),
        honoured("service_type", "system"),
        near("codec", "plain", "a message is text; other codecs are not read here"),
        honoured("ecs_compatibility", ""),
    ]],
};

pub(crate) const UDP: PluginTable = PluginTable {
    name: "udp",
    note: "What is lost because nobody had room for it is counted, and told in the log.",
    options: &[&[
        honoured("host", "0.0.0.0"),
        honoured("port", ""),
        honoured("buffer_size", "65536"),
        honoured("receive_buffer_bytes", ""),
        stronger("queue_size", "2000", "as many datagrams wait, 10000 at least"),
        no_effect("workers", "2", THREADS),
        honoured("source_ip_fieldname", ""),
        honoured("codec", "plain"),
        honoured("ecs_compatibility", ""),
    ]],
};

/// The input of the plan and the filters behind it; the name is one of the tables above.
pub(crate) fn translate(t: &mut Translator<'_>, name: &str, options: &Options) -> Option<(Json, Vec<Step>)> {
    match name {
        "exec" => exec(t, options),
        "heartbeat" => Some(heartbeat(t, options)),
        "http" => Some(http(t, options)),
        "pipeline" => Some((json!({"pipeline": {"address": options.needed(t, "address")?}}), Vec::new())),
        "redis" => redis(t, options),
        "syslog" => Some(syslog(t, options)),
        _ => udp(t, options),
    }
}

/// The codec of a payload, which goes into `config`, and the filters that do the rest of it.
pub(crate) fn payload(
    t: &mut Translator<'_>,
    options: &Options,
    default: &str,
    ecs: Ecs,
    (config, filters): (&mut Map<String, Json>, &mut Vec<Step>),
) {
    let (name, plugin) = options.codec(t, default);
    let codec = match payload_of(t, &name, &plugin, &options.what, ecs, filters) {
        Some(codec) => codec,
        None => {
            let has_lines = ["line", "json_lines", "multiline"].contains(&name.as_str());
            let codec = Codec { what: &options.what, name: &name, plugin: &plugin, ecs, has_lines };
            filters.extend(codec.decode_lines(t, config));
            if has_lines { "lines" } else { "raw" }
        }
    };
    if ["json", "ndjson", "msgpack", "es_bulk"].contains(&codec)
        && let Some(target) = own_option(&plugin, "target")
        && let Some(text) = target.text()
    {
        config.insert("target".into(), t.reference(&text, target.place).into());
    }
    config.insert("codec".into(), codec.into());
}

/// An option of a codec.
fn own_option<'p>(plugin: &'p Plugin, name: &str) -> Option<&'p Value> {
    plugin.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
}

/// The codec of this name, where no filter is needed to read what it is.
fn payload_of(
    t: &mut Translator<'_>,
    name: &str,
    plugin: &Plugin,
    what: &str,
    ecs: Ecs,
    filters: &mut Vec<Step>,
) -> Option<&'static str> {
    match name {
        "json" | "json_lines" => {
            if own_option(plugin, "charset").is_some() {
                return None;
            }
            codec_options(t, plugin, &codecs::JSON.iter().collect::<Vec<_>>());
            Some(if name == "json" { "json" } else { "ndjson" })
        }
        "msgpack" => {
            let own = codec_options(t, plugin, &codecs::MSGPACK.iter().collect::<Vec<_>>());
            if let Some(format) = own.text(t, "format") {
                let message = t.template(&format, own.place("format"));
                let step = native_step(json!({"set": {"fields": {"message": message}}}));
                let when = Some("!exists(.message)".to_owned());
                filters.push(Step::Filter(Box::new(FilterStep { when, ..step })));
            }
            Some("msgpack")
        }
        "es_bulk" => {
            codec_options(t, plugin, &codecs::BULK.iter().collect::<Vec<_>>());
            if ecs == Ecs::Disabled {
                let names = ["action", "_index", "_id", "_type", "routing"];
                let moves = names.map(|name| {
                    (format!("@metadata.codec.es_bulk.{name}"), format!("@metadata.{name}").into())
                });
                let moves: Map<String, Json> = moves.into_iter().collect();
                filters.push(plain_step(json!({"rename": {"fields": moves}})));
            }
            Some("es_bulk")
        }
        "plain" | "line" | "csv" | "multiline" => None,
        other => {
            let known = ["plain", "line", "csv", "json", "json_lines", "msgpack", "es_bulk", "multiline"];
            t.wrong(plugin.place, unknown("codec", other, &format!(" for {what}"), &known));
            Some("raw")
        }
    }
}

/// `host` and `port` as one address.
fn address(t: &mut Translator<'_>, options: &Options, port: Option<u64>) -> Option<String> {
    let host = options.text(t, "host").unwrap_or_else(|| "0.0.0.0".to_owned());
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let Some(port) = options.number(t, "port").or(port) else {
        t.wrong(options.place, format!("{} needs the option \"port\"", options.what));
        return None;
    };
    if port > 65_535 {
        t.wrong(options.place("port"), "a port is between 1 and 65535");
    }
    Some(format!("{host}:{port}"))
}

/// A field that an option names, else the one that the names of the plugin's mode have.
fn field(t: &mut Translator<'_>, options: &Options, option: &str, ecs: Ecs, names: [&str; 2]) -> String {
    match options.text(t, option) {
        Some(text) => t.reference(&text, options.place(option)),
        None => names[usize::from(ecs == Ecs::Schema)].to_owned(),
    }
}

fn udp(t: &mut Translator<'_>, options: &Options) -> Option<(Json, Vec<Step>)> {
    let ecs = t.ecs_of(options);
    let (mut config, mut filters) = (Map::new(), Vec::new());
    payload(t, options, "plain", ecs, (&mut config, &mut filters));
    config.insert("listen".into(), json!([address(t, options, None)?]));
    let ip_field = field(t, options, "source_ip_fieldname", ecs, ["host", "host.ip"]);
    config.insert("ip_field".into(), ip_field.into());
    config.insert("port_field".into(), "".into());
    if let Some(size) = options.number(t, "buffer_size") {
        config.insert("datagram_bytes_max".into(), size.clamp(1, 65_535).into());
    }
    if let Some(size) = options.number(t, "receive_buffer_bytes") {
        config.insert("receive_buffer".into(), size.into());
    }
    if let Some(count) = options.number(t, "queue_size") {
        config.insert("waiting_max".into(), count.max(10_000).into());
    }
    Some((json!({"udp": config}), filters))
}

fn heartbeat(t: &mut Translator<'_>, options: &Options) -> (Json, Vec<Step>) {
    let ecs = t.ecs_of(options);
    let mut filters = host(ecs);
    let interval = options.seconds(t, "interval").unwrap_or_else(|| "60s".to_owned());
    let message = options.text(t, "message").unwrap_or_else(|| "ok".to_owned());
    let names = ["none", "epoch", "sequence"];
    let mut sequence = options.text(t, "sequence").unwrap_or_else(|| "none".to_owned());
    if !names.contains(&sequence.as_str()) {
        t.wrong(options.place("sequence"), unknown("value", &sequence, " of \"sequence\"", &names));
    }
    let is_selector = ["epoch", "sequence"].contains(&message.as_str());
    if is_selector && sequence == "none" && ecs == Ecs::Disabled {
        sequence.clone_from(&message);
    }
    if is_selector {
        filters.push(plain_step(json!({"remove": {"fields": ["message"]}})));
    }
    let own = match sequence.as_str() {
        "epoch" => "epoch",
        "sequence" => "count",
        _ => "none",
    };
    if own != "none" && ecs == Ecs::Disabled {
        filters.push(plain_step(json!({"rename": {"fields": {"event.sequence": "clock"}}})));
        filters.push(plain_step(json!({"remove": {"fields": ["event"]}})));
    }
    // -1, and 0 as well, is without end.
    let count = match options.text(t, "count").as_deref() {
        None | Some("-1") => 0,
        Some(_) => options.number(t, "count").unwrap_or(0),
    };
    let (codec, plugin) = options.codec(t, "plain");
    if codec != "plain" {
        t.wrong(plugin.place, "a heartbeat is a plain text: leave the codec out");
    }
    (
        json!({"heartbeat": {"interval": interval, "message": message, "count": count, "sequence": own}}),
        filters,
    )
}

fn exec(t: &mut Translator<'_>, options: &Options) -> Option<(Json, Vec<Step>)> {
    let ecs = t.ecs_of(options);
    let command = options.needed(t, "command")?;
    let mut filters = Vec::new();
    if ecs == Ecs::Disabled {
        filters.push(plain_step(json!({"rename": {"fields": {
            "host.name": "host", "process.command_line": "command",
            "process.exit_code": "@metadata.exit_status", "event.duration": "@metadata.duration"
        }}})));
        filters.push(plain_step(json!({"remove": {"fields": ["process", "event"]}})));
    } else {
        filters.push(plain_step(json!({"rename": {"fields": {
            "event.duration": "@metadata.input.exec.process.elapsed_time"
        }}})));
    }
    let mut config = Map::new();
    config.insert("command".into(), command.into());
    config.insert("timeout".into(), "1h".into());
    payload(t, options, "plain", ecs, (&mut config, &mut filters));
    match (options.seconds(t, "interval"), options.text(t, "schedule")) {
        (Some(interval), None) => drop(config.insert("interval".into(), interval.into())),
        (None, Some(schedule)) => drop(config.insert("schedule".into(), schedule.into())),
        _ => t.wrong(options.place, format!("{} needs either \"interval\" or \"schedule\"", options.what)),
    }
    Some((json!({"exec": config}), filters))
}

fn http(t: &mut Translator<'_>, options: &Options) -> (Json, Vec<Step>) {
    let ecs = t.ecs_of(options);
    let (mut config, mut filters) = (Map::new(), Vec::new());
    payload(t, options, "plain", ecs, (&mut config, &mut filters));
    let headers = field(
        t,
        options,
        "request_headers_target_field",
        ecs,
        ["headers", "@metadata.input.http.request.headers"],
    );
    if ecs == Ecs::Schema {
        let copies: Map<String, Json> =
            ECS_HEADERS.iter().map(|(header, own)| (format!("{headers}.{header}"), (*own).into())).collect();
        filters.push(plain_step(json!({"mutate": {"copy": copies}})));
    }
    config.insert("listen".into(), json!([address(t, options, Some(8080)).unwrap_or_default()]));
    let own = codecs(t, options, ecs, &mut filters);
    let (_, plugin) = options.codec(t, "plain");
    if let Some(format) =
        own_option(&plugin, "format").filter(|_| plugin.name == "msgpack" && !own.is_empty())
    {
        let message = "it would hold for bodies of every type: leave them out with additional_codecs => {}";
        t.wrong(format.place, message);
    }
    config.insert("codecs".into(), own.into());
    config.insert("headers_field".into(), headers.into());
    let ip_field = field(t, options, "remote_host_target_field", ecs, ["host", "host.ip"]);
    config.insert("ip_field".into(), ip_field.into());
    config.insert("port_field".into(), "".into());
    match (options.text(t, "user"), options.text(t, "password")) {
        (Some(user), Some(password)) => drop(config.insert("users".into(), json!({ user: password }))),
        (None, None) => {}
        _ => t.wrong(options.place("user"), "\"user\" and \"password\" belong together"),
    }
    let size = options.number(t, "max_content_length").unwrap_or(100 << 20);
    config.insert("body_bytes_max".into(), size.into());
    config.insert("pending_bytes".into(), size.max(32 << 20).into());
    config.insert("pending_max".into(), options.number(t, "max_pending_requests").unwrap_or(200).into());
    config.insert("response_code".into(), options.number(t, "response_code").unwrap_or(200).into());
    let reply: Map<String, Json> = options
        .pairs(t, "response_headers")
        .into_iter()
        .map(|(name, value)| (name, value.text().unwrap_or_default().into()))
        .collect();
    if !reply.is_empty() {
        config.insert("response_headers".into(), reply.into());
    }
    if let Some(tls) = server_tls(t, options, "none") {
        config.insert("tls".into(), tls);
    }
    (json!({"http": config}), filters)
}

/// What ECS calls headers.
const ECS_HEADERS: &[(&str, &str)] = &[
    ("http_version", "http.version"),
    ("http_user_agent", "user_agent.original"),
    ("http_host", "url.domain"),
    ("request_method", "http.method"),
    ("request_path", "url.path"),
    ("content_length", "http.request.body.bytes"),
    ("content_type", "http.request.mime_type"),
];

/// `additional_codecs`; a codec that needs options of the input or filters cannot be had for one type.
fn codecs(t: &mut Translator<'_>, options: &Options, ecs: Ecs, filters: &mut Vec<Step>) -> Map<String, Json> {
    let mut out = Map::new();
    if !options.has("additional_codecs") {
        out.insert("application/json".to_owned(), "json".into());
        return out;
    }
    for (kind, value) in options.pairs(t, "additional_codecs") {
        let (name, plugin) = match (&value.kind, value.text()) {
            (ValueKind::Plugin(plugin), _) => (plugin.name.clone(), plugin.clone()),
            (_, name) => {
                let name = name.unwrap_or_default();
                (name.clone(), Plugin { name, place: value.place, attributes: Vec::new() })
            }
        };
        let alone = ["target", "format"].into_iter().find(|option| own_option(&plugin, option).is_some());
        let codec = match name.as_str() {
            _ if alone.is_some() => None,
            "plain" => Some("raw"),
            "line" => Some("lines"),
            _ => payload_of(t, &name, &plugin, &options.what, ecs, filters),
        };
        if codec.is_none() {
            let with = alone.map(|option| format!(" with {option}")).unwrap_or_default();
            let message = format!(
                "the codec {name}{with} cannot be had for one type of bodies; give it as \"codec\" of an input of its own"
            );
            t.wrong(plugin.place, message);
        }
        out.insert(kind, codec.unwrap_or("raw").into());
    }
    out
}

/// The same steps as Logstash's plugin takes: grok, date, and the numbers of the priority.
fn syslog(t: &mut Translator<'_>, options: &Options) -> (Json, Vec<Step>) {
    let ecs = t.ecs_of(options);
    let is_ecs = ecs == Ecs::Schema;
    let source = match options.text(t, "syslog_field") {
        Some(text) => t.reference(&text, options.place("syslog_field")),
        None => "message".to_owned(),
    };
    let (codec, plugin) = options.codec(t, "plain");
    if codec != "plain" {
        t.wrong(plugin.place, "the codec of a syslog message is plain; use the filters behind it");
    }
    let priority = if is_ecs { "log.syslog.priority" } else { "priority" };
    let pattern = match options.text(t, "grok_pattern") {
        Some(pattern) => pattern,
        None if is_ecs => "<%{POSINT:[log][syslog][priority]:int}>%{SYSLOGLINE}".to_owned(),
        None => "<%{POSINT:priority:int}>%{SYSLOGLINE}".to_owned(),
    };
    let mut filters = Vec::new();
    if is_ecs {
        filters.push(plain_step(json!({"mutate": {"copy": {"message": "event.original"}}})));
    }
    let grok =
        json!({"grok": {"source": source, "patterns": [pattern], "append": true, "overwrite": ["message"]}});
    let Some(grok) = t.step(grok, options) else { return (json!({"syslog": {}}), filters) };
    const FAILED: &str = "_grokparsefailure_sysloginput";
    filters.push(Step::Filter(Box::new(FilterStep { tag_on_failure: vec![FAILED.to_owned()], ..grok })));
    if is_ecs {
        // The patterns have the names from before ECS.
        filters.push(plain_step(json!({"rename": {"fields": {
            "logsource": "host.hostname", "program": "process.name", "pid": "process.pid"
        }}})));
        let service = options.text(t, "service_type").unwrap_or_else(|| "system".to_owned());
        let service = super::super::translate::literal(&service);
        filters.push(plain_step(json!({"set": {"fields": {"service.type": service}}})));
    }
    let timezone = options.text(t, "timezone").unwrap_or_else(|| "UTC".to_owned());
    let mut date = json!({
        "source": "timestamp", "formats": ["MMM  d HH:mm:ss", "MMM dd HH:mm:ss", "ISO8601"], "timezone": timezone
    });
    if let Some(locale) = options.text(t, "locale") {
        date["locale"] = locale.into();
    }
    filters.push(plain_step(json!({"rename": {"fields": {"timestamp8601": "timestamp"}}})));
    if let Some(date) = t.step(json!({ "date": date }), options) {
        let step = FilterStep { tag_on_failure: vec!["_dateparsefailure".to_owned()], ..date };
        let when = Some("exists(.timestamp)".to_owned());
        filters.push(Step::Filter(Box::new(FilterStep { when, ..step })));
    }
    let lacks = Some(format!("!exists(.{priority})"));
    let unknown_priority = native_step(json!({"mutate": {"update": {}, "replace": {priority: "13"}}}));
    filters.push(Step::Filter(Box::new(FilterStep { when: lacks, ..unknown_priority })));
    filters.push(plain_step(json!({"convert": {"fields": {priority: "int"}}})));
    let mut pri = json!({
        "source": priority, "names": if is_ecs { "ecs" } else { "legacy" },
        "use_labels": options.bool(t, "use_labels").unwrap_or(true),
        "facility_labels": FACILITIES, "severity_labels": SEVERITIES,
    });
    for name in ["facility_labels", "severity_labels"] {
        if let Some(labels) = options.list(t, name) {
            pri[name] = labels.into();
        }
    }
    filters.push(plain_step(json!({ "syslog_pri": pri })));
    if !is_ecs {
        filters.push(plain_step(json!({"rename": {"fields": {
            "syslog_facility_code": "facility", "syslog_severity_code": "severity",
            "syslog_facility": "facility_label", "syslog_severity": "severity_label"
        }}})));
    }
    let config = json!({
        "listen": [address(t, options, Some(514)).unwrap_or_default()],
        "parse": false,
        "proxy_protocol": options.bool(t, "proxy_protocol").unwrap_or(false),
        "ip_field": if is_ecs { "host.ip" } else { "host" },
        "port_field": "",
    });
    (json!({ "syslog": config }), filters)
}

const FACILITIES: [&str; 24] = [
    "kernel",
    "user-level",
    "mail",
    "system",
    "security/authorization",
    "syslogd",
    "line printer",
    "network news",
    "UUCP",
    "clock",
    "security/authorization",
    "FTP",
    "NTP",
    "log audit",
    "log alert",
    "clock",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
const SEVERITIES: [&str; 8] =
    ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"];

fn redis(t: &mut Translator<'_>, options: &Options) -> Option<(Json, Vec<Step>)> {
    let host = options.text(t, "host").unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = options.number(t, "port").unwrap_or(6379);
    let scheme = if options.bool(t, "ssl") == Some(true) { "rediss://" } else { "" };
    let kind = options.needed(t, "data_type")?;
    let own = match kind.as_str() {
        "list" => "list",
        "channel" => "channel",
        "pattern_channel" => "pattern",
        other => {
            let known = ["list", "channel", "pattern_channel"];
            t.wrong(options.place("data_type"), unknown("value", other, " of \"data_type\"", &known));
            "list"
        }
    };
    let mut config = json!({
        "hosts": [format!("{scheme}{host}:{port}")], "type": own, "keys": [options.needed(t, "key")?],
        "count": options.number(t, "batch_count").unwrap_or(125).clamp(1, 10_000),
        "db": options.number(t, "db").unwrap_or(0),
    });
    if let Some(password) = options.text(t, "password") {
        config["password"] = password.into();
    }
    if let Some(time) = options.seconds(t, "timeout") {
        config["connect_timeout"] = time.into();
    }
    let ecs = t.ecs_of(options);
    let mut filters = host_and_key();
    let (codec, plugin) = options.codec(t, "json");
    config["codec"] = match codec.as_str() {
        "json" if plugin.attributes.is_empty() => "json".into(),
        _ => {
            filters.extend(decode(t, options, "json", ecs));
            "raw".into()
        }
    };
    Some((json!({ "redis": config }), filters))
}

/// Logstash says neither which machine read an event nor from where.
fn host_and_key() -> Vec<Step> {
    let step = native_step(json!({"remove": {"fields": ["redis.key"]}}));
    vec![Step::Filter(Box::new(step))]
}
