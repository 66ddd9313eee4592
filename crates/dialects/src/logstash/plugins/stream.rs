//! Outputs `lumberjack`, `tcp` and `udp`: defaults of `logstash-output-lumberjack` 3.1, `-tcp` 7.0,
//! `-udp` 3.2.

use super::super::known::{PluginTable, honoured, no_effect, refused, stronger};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::Translator;
use super::listen::{server_tls, versions};
use super::outputs::codec;
use serde_json::{Map, Value as Json, json};

const PEM: &str = "give certificate and key as PEM: ssl_certificate and ssl_key";

pub(crate) const LUMBERJACK: PluginTable = PluginTable {
    name: "lumberjack",
    note: "An event counts as delivered when the receiver acknowledged it; version 1 of the protocol is spoken.",
    options: &[&[
        honoured("hosts", ""),
        honoured("port", ""),
        honoured("ssl_certificate", ""),
        honoured("flush_size", "1024"),
        honoured("window_size", ""),
        no_effect("idle_flush_time", "1", "events go at once"),
        honoured("codec", "plain"),
    ]],
};

pub(crate) const TCP: PluginTable = PluginTable {
    name: "tcp",
    note: "An event counts as delivered when the system has taken all of it: TCP tells no more.",
    options: &[&[
        honoured("host", ""),
        honoured("port", ""),
        honoured("mode", "client"),
        honoured("reconnect_interval", "10"),
        honoured("codec", "json"),
        honoured("ssl_enabled", "false"),
        honoured("ssl_enable", "false"),
        honoured("ssl_certificate", ""),
        honoured("ssl_cert", ""),
        honoured("ssl_key", ""),
        honoured("ssl_key_passphrase", ""),
        honoured("ssl_certificate_authorities", "[]"),
        honoured("ssl_cacert", ""),
        honoured("ssl_client_authentication", "none"),
        honoured("ssl_verification_mode", "full"),
        honoured("ssl_verify", "false"),
        honoured("ssl_supported_protocols", ""),
        no_effect("ssl_cipher_suites", "", "the safe suites of TLS 1.2 and 1.3"),
        refused("ssl_keystore_path", "", PEM),
        refused("ssl_keystore_password", "", PEM),
        refused("ssl_keystore_type", "", PEM),
        refused("ssl_truststore_path", "", PEM),
        refused("ssl_truststore_password", "", PEM),
        refused("ssl_truststore_type", "", PEM),
    ]],
};

pub(crate) const UDP: PluginTable = PluginTable {
    name: "udp",
    note: "A datagram that is too large goes to the dead letters.",
    options: &[&[
        honoured("host", ""),
        honoured("port", ""),
        stronger("retry_count", "0", "what the system does not take is tried again for ever"),
        no_effect("retry_backoff_ms", "100", "pauses grow from 0.05 to 30 s"),
        honoured("codec", "json"),
    ]],
};

/// `HOST:PORT`, brackets around an address of IPv6.
fn address(host: &str, port: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A port that must be there.
fn port(t: &mut Translator<'_>, options: &Options) -> Option<String> {
    options.needed(t, "port")?;
    let port = options.number(t, "port")?;
    if !(1..=65_535).contains(&port) {
        t.wrong(options.place("port"), format!("option \"port\" of {}: {port} is no port", options.what));
    }
    Some(port.to_string())
}

pub(crate) fn lumberjack(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    if !options.has("hosts") {
        t.wrong(options.place, format!("{} needs the option \"hosts\"", options.what));
    }
    let port = port(t, options)?;
    let hosts: Vec<String> = options.list(t, "hosts")?.iter().map(|host| address(host, &port)).collect();
    let events = options.number(t, "window_size").or(options.number(t, "flush_size")).unwrap_or(1024);
    // Names are not checked there either: it connects to addresses.
    let tls = json!({"ca": options.needed(t, "ssl_certificate")?, "verification": "certificate"});
    let config = json!({
        "hosts": hosts, "version": "1", "codec": codec(t, options, "plain")?,
        "window_events": events.clamp(1, 100_000), "tls": tls,
    });
    Some(json!({ "lumberjack": config }))
}

/// What the codec writes behind each event.
fn delimiter(t: &mut Translator<'_>, options: &Options, default: &str) -> String {
    let (name, plugin) = options.codec(t, default);
    if !["csv", "line", "json_lines"].contains(&name.as_str()) {
        return String::new();
    }
    let own = plugin.attributes.iter().find(|attribute| attribute.name == "delimiter");
    // Without config.support_escapes a backslash stays one, and everybody means the control.
    own.and_then(|own| own.value.text()).map_or_else(
        || "\n".to_owned(),
        |text| text.replace("\\n", "\n").replace("\\r", "\r").replace("\\0", "\0"),
    )
}

pub(crate) fn tcp(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let host = options.needed(t, "host")?;
    let address = address(&host, &port(t, options)?);
    let mut config = Map::new();
    config.insert("codec".into(), codec(t, options, "json")?);
    config.insert("delimiter".into(), delimiter(t, options, "json").into());
    let mode = options.text(t, "mode").unwrap_or_else(|| "client".to_owned());
    match mode.as_str() {
        "client" => {
            config.insert("hosts".into(), json!([address]));
            let pause = options.seconds(t, "reconnect_interval").unwrap_or_else(|| "10s".to_owned());
            config.insert("retry_pause".into(), pause.into());
            if let Some(tls) = client_tls(t, options, false) {
                config.insert("tls".into(), tls);
            }
        }
        "server" => {
            config.insert("listen".into(), json!([address]));
            config.insert("nobody".into(), "forget".into());
            if let Some(tls) = server_tls(t, options, "none") {
                config.insert("listen_tls".into(), tls);
            }
        }
        other => {
            t.wrong(options.place("mode"), unknown("value", other, " of \"mode\"", &["client", "server"]));
            return None;
        }
    }
    Some(json!({ "tcp": config }))
}

/// TLS towards a server, if it is asked for: the newer names, and the older ones, which check no
/// host's name, and nothing at all when `ssl_verify` (by default `is_checked`) is false.
pub(super) fn client_tls(t: &mut Translator<'_>, options: &Options, is_checked: bool) -> Option<Json> {
    let is_on = options.bool(t, "ssl_enabled").or(options.bool(t, "ssl_enable")).unwrap_or(false);
    if !is_on {
        return None;
    }
    let mut tls = Map::new();
    let authorities =
        ["ssl_certificate_authorities", "ssl_cacert"].into_iter().find(|name| options.has(name));
    match authorities.and_then(|name| options.list(t, name)).as_deref() {
        None | Some([]) => {}
        Some([one]) => drop(tls.insert("ca".into(), one.clone().into())),
        Some(_) => {
            let message = "one file of certificates is taken; put all of them into it, one behind the other";
            t.wrong(options.place("ssl_certificate_authorities"), message);
        }
    }
    for (names, own) in [
        (&["ssl_certificate", "ssl_cert"][..], "cert"),
        (&["ssl_key"], "key"),
        (&["ssl_key_passphrase"], "key_passphrase"),
    ] {
        let name = names.iter().find(|name| options.has(name));
        if let Some(file) = name.and_then(|name| options.text(t, name)) {
            tls.insert(own.into(), file.into());
        }
    }
    let mode = match options.text(t, "ssl_verification_mode") {
        Some(mode) => mode,
        None if !options.has("ssl_enable") => "full".to_owned(),
        None if options.bool(t, "ssl_verify").unwrap_or(is_checked) => "certificate".to_owned(),
        None => "none".to_owned(),
    };
    let known = ["full", "certificate", "none"];
    if !known.contains(&mode.as_str()) {
        let message = unknown("value", &mode, " of \"ssl_verification_mode\"", &known);
        t.wrong(options.place("ssl_verification_mode"), message);
        return None;
    }
    tls.insert("verification".into(), mode.into());
    versions(t, options, &mut tls);
    Some(tls.into())
}

pub(crate) fn udp(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let host = options.needed(t, "host")?;
    let port = options.needed(t, "port")?;
    let config = json!({
        "host": host, "port": t.template(&port, options.place("port")),
        "codec": codec(t, options, "json")?, "delimiter": delimiter(t, options, "json"),
    });
    Some(json!({ "udp": config }))
}

#[cfg(test)]
mod tests {
    use crate::Source;
    use serde_json::{Value as Json, json};

    /// The one output that a config has.
    fn read(output: &str) -> Json {
        let text = format!("input {{ stdin {{ }} }} output {{ {output} }}");
        let read = crate::read(&[Source { name: "a.conf".to_owned(), text }]).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let pipeline = read.plan.pipelines.values().next().unwrap();
        serde_json::to_value(&pipeline.outputs.values().next().unwrap().output).unwrap()
    }

    #[track_caller]
    fn wrong(output: &str, expected: &str) {
        let text = format!("input {{ stdin {{ }} }} output {{ {output} }}");
        let problems = crate::read(&[Source { name: "a.conf".to_owned(), text }]).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|problem| problem.contains(expected)), "{all:#?}");
    }

    #[test]
    fn lumberjack() {
        let output = read(
            "lumberjack { hosts => ['a', '::1'] port => 5043 ssl_certificate => '/c.pem' codec => json flush_size => 5 }",
        );
        let own = &output["lumberjack"];
        assert_eq!(own["hosts"], json!(["a:5043", "[::1]:5043"]));
        assert_eq!((&own["version"], &own["window_events"]), (&json!("1"), &json!(5)));
        assert_eq!(own["tls"]["ca"], "/c.pem");
        assert_eq!(own["tls"]["verification"], "certificate");
        wrong("lumberjack { hosts => 'a' ssl_certificate => '/c' }", "needs the option \"port\"");
        wrong("lumberjack { hosts => 'a' port => 1 }", "needs the option \"ssl_certificate\"");
    }

    #[test]
    fn tcp() {
        let own = |output: &str| read(output)["tcp"].clone();
        let client = own("tcp { host => 'a' port => 1 }");
        assert_eq!(client["hosts"], json!(["a:1"]));
        assert_eq!((&client["delimiter"], &client["retry_pause"]), (&json!(""), &json!("10s")));
        let client = own(
            "tcp { host => 'a' port => 1 codec => json_lines reconnect_interval => 2 ssl_enable => true ssl_verify => true ssl_cacert => '/ca' }",
        );
        assert_eq!(client["delimiter"], "\n");
        assert_eq!(client["tls"]["ca"], "/ca");
        assert_eq!(client["tls"]["verification"], "certificate");
        let client =
            own("tcp { host => 'a' port => 1 ssl_enabled => true ssl_certificate_authorities => '/ca' }");
        assert_eq!(client["tls"]["verification"], "full");
        assert_eq!(client["tls"].get("max_version"), None);
        let client =
            own("tcp { host => 'a' port => 1 ssl_enabled => true ssl_supported_protocols => ['TLSv1.2'] }");
        assert_eq!(
            (&client["tls"]["min_version"], &client["tls"]["max_version"]),
            (&json!("1.2"), &json!("1.2"))
        );
        let server = own(
            "tcp { host => '0.0.0.0' port => 1 mode => server codec => line { format => '%{message}' delimiter => '\\0' } ssl_enabled => true ssl_certificate => '/c' ssl_key => '/k' }",
        );
        assert_eq!(server["listen"], json!(["0.0.0.0:1"]));
        assert_eq!((&server["nobody"], &server["delimiter"]), (&json!("forget"), &json!("\0")));
        assert_eq!(server["listen_tls"]["cert"], "/c");
        let older = own(
            "tcp { host => 'a' port => 1 mode => server ssl_enable => true ssl_cert => '/c' ssl_key => '/k' }",
        );
        assert_eq!((&older["listen_tls"]["cert"], &older["listen_tls"]["key"]), (&json!("/c"), &json!("/k")));
        wrong("tcp { host => 'a' port => 1 mode => both }", "\"mode\"");
        wrong("tcp { host => 'a' port => 70000 }", "is no port");
    }

    #[test]
    fn udp() {
        let output = read("udp { host => 'a' port => '%{port}' codec => line { format => '%{message}' } }");
        assert_eq!(output["udp"]["port"], "%{port}");
        assert_eq!(output["udp"]["delimiter"], "\n");
        assert_eq!(output["udp"]["codec"], json!({"text": "%{message}"}));
    }
}
