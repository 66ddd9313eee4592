//! Outputs `http` and `redis`: defaults of `logstash-output-http` 5.7, `-redis` 5.2.

use super::super::known::{PluginTable, honoured, near, no_effect, refused, stronger};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::Translator;
use super::outputs::{codec, tls};
use serde_json::{Map, Value as Json, json};

const OWN: &str = "logpond's own client needs no such setting";
const PEM: &str = "give the certificates as PEM files";

pub(crate) const HTTP: PluginTable = PluginTable {
    name: "http",
    note: "What is not answered well is tried again for ever; what the server refuses for good goes to the dead letters.",
    options: &[&[
        honoured("url", ""),
        honoured("http_method", ""),
        honoured("format", "json"),
        honoured("message", ""),
        refused("mapping", "", "shape the event with mutate before the output"),
        honoured("headers", "{}"),
        honoured("content_type", ""),
        honoured("http_compression", "false"),
        honoured("pool_max", "50"),
        no_effect("pool_max_per_route", "25", OWN),
        honoured("user", ""),
        honoured("password", ""),
        honoured("connect_timeout", "10"),
        honoured("request_timeout", "60"),
        no_effect("socket_timeout", "10", "request_timeout holds"),
        no_effect("keepalive", "true", OWN),
        no_effect("automatic_retries", "1", "it is tried again until the server has it"),
        no_effect("retry_non_idempotent", "false", "it is tried again until the server has it"),
        stronger("retry_failed", "true", "what fails is always tried again"),
        stronger(
            "retryable_codes",
            "[429, 500, 502, 503, 504]",
            "every status but success and refusal is tried again",
        ),
        honoured("ignorable_codes", ""),
        no_effect("cookies", "true", "cookies are not kept"),
        near("follow_redirects", "true", "redirects are not followed: write the address where they lead"),
        no_effect("validate_after_inactivity", "200", OWN),
        refused("proxy", "", "a proxy is not supported"),
        honoured("ssl_certificate_authorities", ""),
        honoured("cacert", ""),
        honoured("ssl_certificate", ""),
        honoured("client_cert", ""),
        honoured("ssl_key", ""),
        honoured("client_key", ""),
        honoured("ssl_verification_mode", "full"),
        honoured("ssl_certificate_verification", "true"),
        no_effect("ssl_enabled", "", "the address says it"),
        honoured("ssl_supported_protocols", ""),
        no_effect("ssl_cipher_suites", "", "those of rustls"),
        refused("keystore", "", PEM),
        refused("keystore_password", "", PEM),
        refused("keystore_type", "JKS", PEM),
        refused("truststore", "", PEM),
        refused("truststore_password", "", PEM),
        refused("truststore_type", "JKS", PEM),
        refused("ssl_keystore_path", "", PEM),
        refused("ssl_keystore_password", "", PEM),
        refused("ssl_keystore_type", "", PEM),
        refused("ssl_truststore_path", "", PEM),
        refused("ssl_truststore_password", "", PEM),
        refused("ssl_truststore_type", "", PEM),
        no_effect("codec", "plain", "format says what is sent"),
    ]],
};

pub(crate) const PIPELINE: PluginTable = PluginTable {
    name: "pipeline",
    note: "An event counts as delivered when the pipelines that get it have it delivered or on disk.",
    options: &[&[
        honoured("send_to", ""),
        stronger(
            "ensure_delivery",
            "true",
            "what is sent is always delivered; an address without an input is an error",
        ),
        no_effect("codec", "plain", "events are handed on as they are"),
    ]],
};

pub(crate) const REDIS: PluginTable = PluginTable {
    name: "redis",
    note: "An event counts as delivered when Redis answered.",
    options: &[&[
        honoured("host", "[\"127.0.0.1\"]"),
        honoured("port", "6379"),
        honoured("shuffle_hosts", "true"),
        honoured("db", "0"),
        honoured("timeout", "5"),
        honoured("password", ""),
        honoured("key", ""),
        honoured("data_type", ""),
        honoured("batch", "false"),
        honoured("batch_events", "50"),
        no_effect("batch_timeout", "5", "events go at once"),
        no_effect("reconnect_interval", "1", "pauses grow from 0.25 to 30 s"),
        honoured("congestion_threshold", "0"),
        honoured("congestion_interval", "1"),
        honoured("codec", "json"),
        honoured("ssl_enabled", "false"),
        honoured("ssl_certificate_authorities", ""),
        honoured("ssl_certificate", ""),
        honoured("ssl_key", ""),
        honoured("ssl_verification_mode", "full"),
        honoured("ssl_key_passphrase", ""),
        honoured("ssl_supported_protocols", ""),
        no_effect("ssl_cipher_suites", "", "those of rustls"),
    ]],
};

pub(crate) fn http(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let mut config = Map::new();
    let url = options.needed(t, "url")?;
    config.insert("url".into(), t.template(&url, options.place("url")).into());
    let method = options.needed(t, "http_method")?;
    if ["put", "post", "patch"].contains(&method.as_str()) {
        config.insert("method".into(), method.to_uppercase().into());
    } else {
        t.wrong(
            options.place("http_method"),
            unknown("value", &method, " of \"http_method\"", &["put", "post", "patch"]),
        );
    }
    let format = options.text(t, "format").unwrap_or_else(|| "json".to_owned());
    let (framing, kind) = match format.as_str() {
        "json" => ("single", "application/json"),
        "json_batch" => ("json_array", "application/json"),
        "message" => {
            let message = options.needed(t, "message")?;
            config.insert("codec".into(), json!({"text": t.template(&message, options.place("message"))}));
            ("single", "text/plain")
        }
        "form" => {
            t.wrong(options.place("format"), "forms are not written; json, json_batch and message are");
            ("single", "application/json")
        }
        other => {
            let known = ["json", "json_batch", "form", "message"];
            t.wrong(options.place("format"), unknown("value", other, " of \"format\"", &known));
            ("single", "application/json")
        }
    };
    config.insert("framing".into(), framing.into());
    let kind = options.text(t, "content_type").unwrap_or_else(|| kind.to_owned());
    config.insert("content_type".into(), kind.into());
    let headers = options.fields_of_texts(t, "headers");
    if !headers.is_empty() {
        config.insert("headers".into(), headers.into());
    }
    if options.bool(t, "http_compression") == Some(true) {
        config.insert("compression".into(), "gzip".into());
    }
    if let Some(count) = options.number(t, "pool_max") {
        config.insert("in_flight_max".into(), count.clamp(1, 64).into());
    }
    match (options.text(t, "user"), options.text(t, "password")) {
        (Some(user), password) => {
            let basic = json!({"user": user, "password": password.unwrap_or_default()});
            config.insert("auth".into(), json!({ "basic": basic }));
        }
        (None, Some(_)) => t.wrong(options.place("password"), "a password without a user"),
        (None, None) => {}
    }
    for name in ["connect_timeout", "request_timeout"] {
        if let Some(time) = options.seconds(t, name) {
            config.insert(name.into(), time.into());
        }
    }
    let mut success = vec![Json::from("200-299")];
    success.extend(options.list(t, "ignorable_codes").unwrap_or_default().into_iter().map(Json::from));
    config.insert("success".into(), success.into());
    let mut own = tls(t, options);
    for (name, key) in [("client_cert", "cert"), ("client_key", "key")] {
        if let Some(file) = options.text(t, name) {
            own.insert(key.into(), file.into());
        }
    }
    if !own.is_empty() && url.starts_with("https://") {
        config.insert("tls".into(), own.into());
    }
    Some(json!({ "http": config }))
}

pub(crate) fn pipeline(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    if !options.has("send_to") {
        t.wrong(options.place, format!("{} needs the option \"send_to\"", options.what));
    }
    Some(json!({"pipeline": {"send_to": options.list(t, "send_to")?}}))
}

pub(crate) fn redis(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let port = options.number(t, "port").unwrap_or(6379);
    let is_tls = options.bool(t, "ssl_enabled") == Some(true);
    let scheme = if is_tls { "rediss://" } else { "" };
    let hosts = options.list(t, "host").unwrap_or_else(|| vec!["127.0.0.1".to_owned()]);
    let hosts: Vec<String> =
        hosts
            .iter()
            .map(|host| {
                if host.contains(':') { format!("{scheme}{host}") } else { format!("{scheme}{host}:{port}") }
            })
            .collect();
    let kind = options.needed(t, "data_type")?;
    if !["list", "channel"].contains(&kind.as_str()) {
        t.wrong(
            options.place("data_type"),
            unknown("value", &kind, " of \"data_type\"", &["list", "channel"]),
        );
        return None;
    }
    let key = options.needed(t, "key")?;
    let mut config = json!({
        "hosts": hosts, "type": kind, "key": t.template(&key, options.place("key")),
        "db": options.number(t, "db").unwrap_or(0), "codec": codec(t, options, "json")?,
    });
    if options.bool(t, "batch") == Some(true) {
        config["batch_events"] = options.number(t, "batch_events").unwrap_or(50).into();
    }
    if let Some(count) = options.number(t, "congestion_threshold") {
        config["congestion_threshold"] = count.into();
    }
    for (name, own) in [("congestion_interval", "congestion_interval"), ("timeout", "connect_timeout")] {
        if let Some(time) = options.seconds(t, name) {
            config[own] = time.into();
        }
    }
    if let Some(password) = options.text(t, "password") {
        config["password"] = password.into();
    }
    let own = tls(t, options);
    if is_tls && !own.is_empty() {
        config["tls"] = own.into();
    }
    Some(json!({ "redis": config }))
}
