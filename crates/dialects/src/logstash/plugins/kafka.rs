//! What Kafka's input and output have in common: who we are, and TLS.
//!
//! Defaults: `logstash-integration-kafka` 11.6.

use super::super::known::{Known, honoured, near, no_effect, refused};
use super::super::options::Options;
use super::super::translate::Translator;
use serde_json::{Map, Value as Json, json};

const PEM: &str = "give the certificates as PEM, and ssl_truststore_type => \"PEM\"";
const KERBEROS: &str = "log in with PLAIN, SCRAM or a token";
const OWN: &str = "logpond's own client needs no such setting";

pub(super) const CLUSTER: &[Known] = &[
    honoured("bootstrap_servers", "localhost:9092"),
    honoured("client_id", "logstash"),
    honoured("security_protocol", "PLAINTEXT"),
    honoured("sasl_mechanism", "GSSAPI"),
    near("sasl_jaas_config", "", "its username and password are taken"),
    refused("jaas_path", "", "put the line into sasl_jaas_config"),
    refused("kerberos_config", "", KERBEROS),
    refused("sasl_kerberos_service_name", "", KERBEROS),
    refused("sasl_client_callback_handler_class", "", KERBEROS),
    refused("sasl_iam_jar_paths", "", KERBEROS),
    refused(
        "sasl_oauthbearer_token_endpoint_url",
        "",
        "let another program write the token to a file, and use logpond's own option sasl.token_file",
    ),
    refused("sasl_oauthbearer_scope_claim_name", "scope", KERBEROS),
    no_effect("sasl_login_connect_timeout_ms", "", OWN),
    no_effect("sasl_login_read_timeout_ms", "", OWN),
    no_effect("sasl_login_retry_backoff_ms", "", OWN),
    no_effect("sasl_login_retry_backoff_max_ms", "", OWN),
    refused("sasl_login_callback_handler_class", "", KERBEROS),
    honoured("ssl_truststore_location", ""),
    refused("ssl_truststore_password", "", PEM),
    honoured("ssl_truststore_type", "jks"),
    honoured("ssl_keystore_location", ""),
    refused("ssl_keystore_password", "", PEM),
    honoured("ssl_keystore_type", "jks"),
    honoured("ssl_key_password", ""),
    honoured("ssl_endpoint_identification_algorithm", "https"),
    no_effect("client_dns_lookup", "default", "every address of a name is tried"),
    no_effect("connections_max_idle_ms", "540000", OWN),
    no_effect("metadata_max_age_ms", "300000", OWN),
    no_effect("receive_buffer_bytes", "32768", OWN),
    no_effect("send_buffer_bytes", "131072", OWN),
    no_effect("reconnect_backoff_ms", "50", OWN),
    no_effect("retry_backoff_ms", "100", OWN),
];

/// Puts the options of a cluster into those of a component of ours.
pub(super) fn cluster(t: &mut Translator<'_>, options: &Options, out: &mut Map<String, Json>) {
    let servers = options.text(t, "bootstrap_servers").unwrap_or_else(|| "localhost:9092".to_owned());
    let brokers: Vec<&str> = servers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
    out.insert("brokers".into(), brokers.into());
    out.insert(
        "client_id".into(),
        options.text(t, "client_id").unwrap_or_else(|| "logstash".to_owned()).into(),
    );
    let protocol = options.text(t, "security_protocol").unwrap_or_else(|| "PLAINTEXT".to_owned());
    if !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&protocol.as_str()) {
        t.wrong(options.place("security_protocol"), format!("unknown protocol {protocol:?}"));
    }
    if protocol.ends_with("SSL") {
        out.insert("tls".into(), tls(t, options));
    }
    if protocol.starts_with("SASL") {
        out.insert("sasl".into(), sasl(t, options));
    }
}

fn tls(t: &mut Translator<'_>, options: &Options) -> Json {
    let mut tls = Map::new();
    for (store, kind) in
        [("ssl_truststore_location", "ssl_truststore_type"), ("ssl_keystore_location", "ssl_keystore_type")]
    {
        let Some(file) = options.text(t, store) else { continue };
        if !options.text(t, kind).is_some_and(|kind| kind.eq_ignore_ascii_case("PEM")) {
            t.wrong(
                options.place(store),
                format!(
                    "option {store:?} of {} is a keystore of Java, which is not read: {PEM}",
                    options.what
                ),
            );
        }
        if store == "ssl_truststore_location" {
            tls.insert("ca".into(), file.into());
        } else {
            tls.insert("cert".into(), file.clone().into());
            tls.insert("key".into(), file.into());
        }
    }
    if let Some(password) = options.text(t, "ssl_key_password") {
        tls.insert("key_passphrase".into(), password.into());
    }
    if options.has("ssl_endpoint_identification_algorithm") {
        let value = options.value("ssl_endpoint_identification_algorithm").and_then(|value| value.text());
        if value.is_some_and(|value| value.is_empty()) {
            tls.insert("verification".into(), "certificate".into());
        }
    }
    Json::Object(tls)
}

fn sasl(t: &mut Translator<'_>, options: &Options) -> Json {
    let mechanism = options.text(t, "sasl_mechanism").unwrap_or_else(|| "GSSAPI".to_owned());
    if !["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&mechanism.as_str()) {
        let place = options.place("sasl_mechanism");
        t.wrong(place, format!("option \"sasl_mechanism\" of {}: {mechanism} is not supported here; there are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", options.what));
        return Json::Null;
    }
    let config = options.needed(t, "sasl_jaas_config").unwrap_or_default();
    let (Some(user), Some(password)) = (jaas(&config, "username"), jaas(&config, "password")) else {
        if options.has("sasl_jaas_config") {
            t.wrong(options.place("sasl_jaas_config"), "expected … required username=\"…\" password=\"…\";");
        }
        return Json::Null;
    };
    json!({"mechanism": mechanism, "user": user, "password": password})
}

/// A value out of `org.apache…LoginModule required username="u" password="p";`.
fn jaas(config: &str, name: &str) -> Option<String> {
    let (_, behind) = config.split_once(&format!("{name}="))?;
    let behind = behind.trim_start_matches('\\');
    let quote = behind.chars().next().filter(|c| "\"'".contains(*c));
    let inner = quote.map_or(behind, |quote| &behind[quote.len_utf8()..]);
    let end = match quote {
        Some(quote) => inner.find(quote)?,
        None => inner.find([' ', ';']).unwrap_or(inner.len()),
    };
    Some(inner[..end].trim_end_matches('\\').to_owned())
}

#[cfg(test)]
mod tests {
    use super::jaas;

    #[test]
    fn name_and_password_of_a_line_of_jaas() {
        #[track_caller]
        fn check(config: &str, user: Option<&str>, password: Option<&str>) {
            assert_eq!(jaas(config, "username").as_deref(), user);
            assert_eq!(jaas(config, "password").as_deref(), password);
        }
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        check(&format!("{module} username=\"u\" password=\"p w;\";"), Some("u"), Some("p w;"));
        check(&format!("{module} username='u' password='p';"), Some("u"), Some("p"));
        check(&format!("{module} username=\\\"u\\\" password=\\\"p\\\";"), Some("u"), Some("p"));
        check(&format!("{module} username=u password=p;"), Some("u"), Some("p"));
        check(module, None, None);
    }
}
