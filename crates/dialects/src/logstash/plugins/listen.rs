//! Inputs that are connected to: `logstash-input-beats` 7.0 (and `elastic_agent`, which is the same),
//! `-tcp` 7.0; what they have in common is where to listen, and TLS.

use super::super::known::{Known, honoured, near, no_effect, refused, stronger};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::{Ecs, Translator, native_step};
use super::codecs::{Codec, decode};
use super::inputs::plain_step;
use super::stream::client_tls;
use pipeline::plan::{FilterStep, Step};
use serde_json::{Map, Value as Json, json};

const SUITES: &str = "the safe suites of TLS 1.2 and 1.3 are offered, whatever is listed";
const PEM: &str = "give certificate and key as PEM: ssl_certificate and ssl_key";
const THREADS: &str = "two threads serve all connections";

/// Where to listen, and TLS.
const LISTEN: &[Known] = &[
    honoured("host", "0.0.0.0"),
    honoured("port", ""),
    honoured("ecs_compatibility", ""),
    honoured("ssl_enabled", "false"),
    honoured("ssl_certificate", ""),
    honoured("ssl_certificate_authorities", "[]"),
    honoured("ssl_client_authentication", ""),
    honoured("ssl_handshake_timeout", "10000"),
    honoured("ssl_key", ""),
    honoured("ssl_key_passphrase", ""),
    honoured("ssl_supported_protocols", "[\"TLSv1.2\", \"TLSv1.3\"]"),
    near("ssl_cipher_suites", "", SUITES),
    refused("ssl_keystore_path", "", PEM),
    refused("ssl_keystore_password", "", PEM),
    refused("ssl_keystore_type", "", PEM),
    refused("ssl_truststore_path", "", "give the certificates as PEM: ssl_certificate_authorities"),
    refused("ssl_truststore_password", "", "give the certificates as PEM: ssl_certificate_authorities"),
    refused("ssl_truststore_type", "", "give the certificates as PEM: ssl_certificate_authorities"),
];

/// Those of `beats` alone.
const BEATS_ALONE: &[Known] = &[
    stronger(
        "codec",
        "plain",
        "a window is acknowledged when its events are delivered or on disk; what Filebeat sends again after a crash comes twice",
    ),
    honoured("client_inactivity_timeout", "60"),
    near(
        "enrich",
        "[\"codec_metadata\", \"source_metadata\"]",
        "what stands in clients' certificates does not get into events",
    ),
    honoured("include_codec_tag", "true"),
    honoured("add_hostname", "false"),
    no_effect("executor_threads", "", THREADS),
    no_effect("event_loop_threads", "0", THREADS),
    honoured("ssl", "false"),
    honoured("ssl_verify_mode", "none"),
    refused("ssl_peer_metadata", "false", "what stands in clients' certificates does not get into events"),
    honoured("tls_min_version", ""),
    honoured("tls_max_version", ""),
    near("cipher_suites", "", SUITES),
];

/// Those of `tcp` alone.
const TCP_ALONE: &[Known] = &[
    honoured("codec", "line"),
    honoured("mode", "server"),
    honoured("proxy_protocol", "false"),
    no_effect("tcp_keep_alive", "false", "the system always asks silent peers whether they are still there"),
    near(
        "dns_reverse_lookup_enabled",
        "true",
        "names of addresses are not looked up: the address stands in their place",
    ),
    honoured("ssl_enable", "false"),
    honoured("ssl_cert", ""),
    honoured("ssl_verify", "true"),
    honoured("ssl_verification_mode", "full"),
    refused(
        "ssl_extra_chain_certs",
        "[]",
        "put these certificates into the file of ssl_certificate, behind the first",
    ),
];

pub(super) const BEATS: &[&[Known]] = &[LISTEN, BEATS_ALONE];
pub(super) const TCP: &[&[Known]] = &[LISTEN, TCP_ALONE];

/// Where to listen, as an option of ours.
fn listen(t: &mut Translator<'_>, options: &Options, config: &mut Map<String, Json>) {
    let host = options.text(t, "host").unwrap_or_else(|| "0.0.0.0".to_owned());
    options.needed(t, "port");
    let Some(port) = options.number(t, "port") else { return };
    if !(1..=65_535).contains(&port) {
        t.wrong(options.place("port"), format!("option \"port\" of {}: {port} is no port", options.what));
    }
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    config.insert("listen".into(), json!([address]));
}

/// Whom to connect to, with `mode => client`, and TLS towards it.
fn connect(t: &mut Translator<'_>, options: &Options, config: &mut Map<String, Json>) {
    let Some(host) = options.needed(t, "host") else { return };
    options.needed(t, "port");
    let Some(port) = options.number(t, "port") else { return };
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    config.insert("hosts".into(), json!([address]));
    if let Some(tls) = client_tls(t, options, true) {
        config.insert("hosts_tls".into(), tls);
    }
}

/// The first of these options that is set, the newest spelling first.
fn first<'n>(options: &Options, names: &[&'n str]) -> Option<&'n str> {
    names.iter().copied().find(|name| options.has(name))
}

/// Whether clients are asked for a certificate: `none`, `optional` or `required`. Older options have
/// other words for it.
fn asks(t: &mut Translator<'_>, options: &Options, default: &str) -> String {
    let newer = "ssl_client_authentication";
    if let Some(word) = options.text(t, newer) {
        let known = ["none", "optional", "required"];
        if !known.contains(&word.as_str()) {
            t.wrong(
                options.place(newer),
                unknown("value", &word, " of \"ssl_client_authentication\"", &known),
            );
            return "none".to_owned();
        }
        return word;
    }
    let Some(name) = first(options, &["ssl_verify_mode", "verify_mode"]) else { return default.to_owned() };
    let known = [("none", "none"), ("peer", "optional"), ("force_peer", "required")];
    let word = options.text(t, name).unwrap_or_default();
    match known.iter().find(|(own, _)| *own == word) {
        Some((_, newer)) => (*newer).to_owned(),
        None => {
            let message = unknown("value", &word, &format!(" of {name:?}"), &known.map(|(own, _)| own));
            t.wrong(options.place(name), message);
            "none".to_owned()
        }
    }
}

/// TLS towards those who connect, if it is asked for, with whatever spelling a plugin has for its
/// options. `asks_by_default`: whether clients are asked for a certificate when nothing is said.
pub(super) fn server_tls(t: &mut Translator<'_>, options: &Options, asks_by_default: &str) -> Option<Json> {
    let switch = first(options, &["ssl_enabled", "ssl", "ssl_enable"])?;
    if options.bool(t, switch) != Some(true) {
        return None;
    }
    let mut tls = Map::new();
    for (names, own) in [(&["ssl_certificate", "ssl_cert"][..], "cert"), (&["ssl_key"], "key")] {
        match first(options, names).and_then(|name| options.text(t, name)) {
            Some(file) => drop(tls.insert(own.into(), file.into())),
            None => t.wrong(
                options.place,
                format!("{} needs the option {:?} with {switch}", options.what, names[0]),
            ),
        }
    }
    if let Some(passphrase) = options.text(t, "ssl_key_passphrase") {
        tls.insert("key_passphrase".into(), passphrase.into());
    }
    let authorities = first(options, &["ssl_certificate_authorities", "ssl_cacert"]);
    let authorities = authorities.and_then(|name| options.list(t, name)).unwrap_or_default();
    match asks(t, options, asks_by_default) {
        none if none == "none" => {}
        _ if authorities.is_empty() => {
            let message = format!(
                "{} asks clients for certificates: it needs ssl_certificate_authorities, or ssl_client_authentication => \"none\"",
                options.what
            );
            t.wrong(options.place, message);
        }
        asks => {
            tls.insert("client_auth".into(), asks.into());
            tls.insert("ca".into(), authorities.into());
        }
    }
    if let Some(time) = options.millis(t, "ssl_handshake_timeout") {
        tls.insert("handshake_timeout".into(), time.into());
    }
    versions(t, options, &mut tls);
    Some(tls.into())
}

/// The versions of TLS. Those before 1.2 are not spoken.
pub(super) fn versions(t: &mut Translator<'_>, options: &Options, tls: &mut Map<String, Json>) {
    let mut ends = [
        options.text(t, "tls_min_version").map(|version| ("tls_min_version", version)),
        options.text(t, "tls_max_version").map(|version| ("tls_max_version", version)),
    ];
    if let Some(listed) = options.list(t, "ssl_supported_protocols").filter(|listed| !listed.is_empty()) {
        let numbers = listed.iter().map(|name| name.strip_prefix("TLSv").unwrap_or(name).to_owned());
        let name = "ssl_supported_protocols";
        ends = [numbers.clone().min().map(|least| (name, least)), numbers.max().map(|most| (name, most))];
    }
    for (end, own) in ends.into_iter().zip(["min_version", "max_version"]) {
        let Some((name, version)) = end else { continue };
        match version.as_str() {
            "1.2" | "1.3" => drop(tls.insert(own.into(), version.into())),
            "1" | "1.0" | "1.1" if own == "min_version" => {
                t.warn(
                    options.place(name),
                    format!("option {name:?} of {}: TLS 1.2 is the least that is spoken", options.what),
                );
            }
            other => {
                let message = format!(
                    "option {name:?} of {}: TLS {other} is not spoken; there are 1.2 and 1.3",
                    options.what
                );
                t.wrong(options.place(name), message);
            }
        }
    }
}

fn step(filter: Json, when: &str) -> FilterStep {
    FilterStep { when: Some(when.to_owned()), ..native_step(filter) }
}

/// Adds a tag to the events that meet a condition.
fn tagged(when: &str, tag: &str) -> Step {
    let mut step = step(json!({"mutate": {}}), when);
    step.on_success.add_tag = vec![tag.to_owned()];
    Step::Filter(Box::new(step))
}

pub(super) fn beats(t: &mut Translator<'_>, options: &Options) -> (Json, Vec<Step>) {
    let mut config = Map::new();
    listen(t, options, &mut config);
    if let Some(tls) = server_tls(t, options, "none") {
        config.insert("tls".into(), tls);
    }
    if let Some(time) = options.seconds(t, "client_inactivity_timeout") {
        config.insert("idle_timeout".into(), time.into());
    }
    let (mut has_source, mut has_codec) = (true, true);
    if let Some(words) = options.list(t, "enrich") {
        let has = |word: &str| words.iter().any(|own| own == word || own == "all");
        (has_source, has_codec) = (has("source_metadata"), has("codec_metadata"));
        let known = ["none", "all", "source_metadata", "codec_metadata", "ssl_peer_metadata"];
        for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
            let message = unknown("value", word, " of \"enrich\"", &known);
            t.wrong(options.place("enrich"), message);
        }
    }
    has_codec &= options.bool(t, "include_codec_tag").unwrap_or(true);
    let ecs = t.ecs_of(options);
    match (has_source, ecs) {
        (false, _) => drop(config.insert("peer_ip".into(), "".into())),
        (true, Ecs::Disabled) => drop(config.insert("peer_ip".into(), "@metadata.ip_address".into())),
        // It is the default.
        (true, Ecs::Schema) => {}
    }
    let mut filters = Vec::new();
    if options.bool(t, "add_hostname") == Some(true) {
        let name = if ecs == Ecs::Disabled { "host" } else { "@metadata.input.beats.host.name" };
        let copy = json!({"mutate": {"copy": {"beat.hostname": name}}});
        filters.push(Step::Filter(Box::new(step(copy, &format!("!exists(.{name})")))));
    }
    let (codec, _) = options.codec(t, "plain");
    if has_codec {
        filters.push(tagged("exists(.message)", &format!("beats_input_codec_{codec}_applied")));
        filters.push(tagged("!exists(.message)", "beats_input_raw_event"));
    }
    let begin = filters.len();
    filters.extend(decode(t, options, "plain", ecs));
    for filter in &mut filters[begin..] {
        // What has no message has nothing for a codec that can fail.
        if let Step::Filter(filter) = filter
            && !filter.tag_on_failure.is_empty()
        {
            filter.when = Some("exists(.message)".to_owned());
        }
    }
    (json!({"beats": config}), filters)
}

pub(super) fn tcp(t: &mut Translator<'_>, options: &Options) -> (Json, Vec<Step>) {
    let mut config = Map::new();
    match options.text(t, "mode").as_deref() {
        None | Some("server") => listen(t, options, &mut config),
        Some("client") => connect(t, options, &mut config),
        Some(other) => {
            t.wrong(options.place("mode"), unknown("value", other, " of \"mode\"", &["server", "client"]));
        }
    }
    let is_client = config.contains_key("hosts");
    // As there: who turns TLS on asks clients for certificates.
    let asks = if options.bool(t, "ssl_verify") == Some(false) { "none" } else { "required" };
    if !is_client && let Some(tls) = server_tls(t, options, asks) {
        config.insert("tls".into(), tls);
    }
    if options.bool(t, "proxy_protocol") == Some(true) {
        config.insert("proxy_protocol".into(), true.into());
    }
    let ecs = t.ecs_of(options);
    let own = "@metadata.input.tcp";
    let mut filters = match ecs {
        Ecs::Schema => vec![
            plain_step(json!({"mutate": {"copy": {"source.ip": format!("{own}.source.name")}}})),
            plain_step(json!({"rename": {"fields": {
                "source.ip": format!("{own}.source.ip"),
                "source.port": format!("{own}.source.port"),
                "destination.ip": format!("{own}.proxy.ip"),
                "destination.port": format!("{own}.proxy.port"),
            }}})),
        ],
        Ecs::Disabled => vec![
            plain_step(json!({"mutate": {"copy": {"source.ip": "@metadata.ip_address"}}})),
            plain_step(json!({"rename": {"fields": {
                "source.ip": "host",
                "source.port": "port",
                "destination.ip": "proxy_host",
                "destination.port": "proxy_port",
            }}})),
        ],
    };
    filters.push(plain_step(json!({"remove": {"fields": ["source", "destination"]}})));
    let (codec, plugin) = options.codec(t, "line");
    if let Some(delimiter) = plugin.attributes.iter().find(|attribute| attribute.name == "delimiter")
        && let Some(text) = delimiter.value.text()
    {
        // Without config.support_escapes a backslash stays one, and everybody means the control.
        config.insert(
            "delimiter".into(),
            text.replace("\\n", "\n").replace("\\r", "\r").replace("\\0", "\0").into(),
        );
    }
    // A stream has lines, whichever of the two is written.
    let codec = if codec == "json" { "json_lines" } else { codec.as_str() };
    let codec = Codec { what: &options.what, name: codec, plugin: &plugin, ecs, has_lines: true };
    filters.extend(codec.decode_lines(t, &mut config));
    (json!({"tcp": config}), filters)
}

#[cfg(test)]
mod tests {
    use crate::Source;
    use serde_json::{Value as Json, json};

    /// The options of the one input that a config has, and the filters that it has of its own.
    fn read(input: &str) -> (Json, String) {
        let text = format!("input {{ {input} }} output {{ null {{ }} }}");
        let source = Source { name: "a.conf".to_owned(), text };
        let read = crate::read(&[source]).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let pipeline = read.plan.pipelines.values().next().unwrap();
        let part = pipeline.inputs.values().next().unwrap();
        let filters = serde_json::to_string(&part.filters).unwrap();
        (serde_json::to_value(&part.input).unwrap(), filters)
    }

    #[track_caller]
    fn wrong(input: &str, expected: &str) {
        let text = format!("input {{ {input} }} output {{ null {{ }} }}");
        let problems = crate::read(&[Source { name: "a.conf".to_owned(), text }]).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|problem| problem.contains(expected)), "{all:#?}");
    }

    #[test]
    fn beats_listen_as_in_logstash() {
        let (input, filters) = read("beats { port => 5044 ecs_compatibility => v8 }");
        assert_eq!(input["beats"]["listen"], json!(["0.0.0.0:5044"]));
        assert_eq!(input["beats"]["peer_ip"], "@metadata.input.beats.host.ip");
        assert!(filters.contains("beats_input_codec_plain_applied"), "{filters}");
        assert!(filters.contains("event.original"), "{filters}");
        let (input, filters) = read(
            "elastic_agent { port => 5044 host => '::1' ecs_compatibility => disabled include_codec_tag => false client_inactivity_timeout => 5 }",
        );
        assert_eq!(input["beats"]["listen"], json!(["[::1]:5044"]));
        assert_eq!(input["beats"]["peer_ip"], "@metadata.ip_address");
        assert_eq!(input["beats"]["idle_timeout"], "5s");
        assert!(!filters.contains("beats_input") && !filters.contains("event.original"), "{filters}");
        let (input, _) = read("beats { port => 5044 enrich => none }");
        assert_eq!(input["beats"]["peer_ip"], "");
    }

    #[test]
    fn tls_of_servers() {
        let old = "beats { port => 1 ssl => true ssl_certificate => '/c' ssl_key => '/k' ssl_key_passphrase => 'p' ssl_verify_mode => force_peer ssl_certificate_authorities => '/ca' tls_min_version => 1.2 }";
        let new = "beats { port => 1 ssl_enabled => true ssl_certificate => '/c' ssl_key => '/k' ssl_key_passphrase => 'p' ssl_client_authentication => required ssl_certificate_authorities => ['/ca'] ssl_supported_protocols => ['TLSv1.2', 'TLSv1.3'] }";
        assert_eq!(read(old).0, read(new).0);
        let tls = &read(new).0["beats"]["tls"];
        assert_eq!((&tls["ca"], tls["key_passphrase"].is_string()), (&json!(["/ca"]), true));
        assert_eq!((&tls["client_auth"], &tls["min_version"]), (&json!("required"), &json!("1.2")));
        let tls = "ssl_enabled => true ssl_certificate => '/c' ssl_key => '/k'";
        wrong(&format!("tcp {{ port => 1 {tls} }}"), "it needs ssl_certificate_authorities, or");
        wrong(
            &format!("beats {{ port => 1 {tls} ssl_supported_protocols => 'TLSv1.4' }}"),
            "TLS 1.4 is not spoken",
        );
        wrong(
            "beats { port => 1 ssl_enabled => true }",
            "needs the option \"ssl_certificate\" with ssl_enabled",
        );
        wrong("beats { }", "needs the option \"port\"");
    }

    #[test]
    fn tcp_takes_lines() {
        let (input, filters) = read(
            "tcp { port => 5140 codec => line { delimiter => '\\0' } proxy_protocol => true ecs_compatibility => disabled }",
        );
        assert_eq!(input["tcp"]["delimiter"], "\0");
        assert_eq!(input["tcp"]["proxy_protocol"], true);
        assert!(filters.contains("proxy_host"), "{filters}");
        let (_, filters) = read("tcp { port => 5140 codec => json ecs_compatibility => v8 }");
        assert!(
            filters.contains("@metadata.input.tcp.source.ip") && filters.contains("\"json\""),
            "{filters}"
        );
        let (input, _) = read(
            "tcp { mode => client host => 'a' port => 1 ssl_enabled => true ssl_certificate_authorities => '/ca' }",
        );
        assert_eq!(input["tcp"]["hosts"], json!(["a:1"]));
        assert_eq!(input["tcp"]["hosts_tls"]["ca"], "/ca");
        let (input, _) = read(
            "tcp { mode => client host => 'a' port => 1 ssl_enabled => true ssl_supported_protocols => 'TLSv1.3' }",
        );
        assert_eq!(input["tcp"]["hosts_tls"]["min_version"], "1.3");
        wrong("tcp { port => 1 mode => client }", "needs the option \"host\"");
        wrong("tcp { port => 1 mode => both }", "\"mode\"");
        wrong("tcp { port => 1 codec => rot13 }", "is not supported for");
    }
}
