//! What Kafka's input and output have in common: who we are, and TLS.
//!
//! Defaults: `logstash-integration-kafka` 11.6.

use super::super::known::{Known, honoured, near, no_effect, refused};
use super::super::options::Options;
use super::super::translate::Translator;
use pipeline::net::kafka::{ClusterConfig, Properties, SaslMechanism};
use pipeline::plan::Secret;
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

/// Options that are properties of Kafka's clients, whose names have dots.
const PROPERTIES: [&str; 11] = [
    "bootstrap_servers",
    "client_id",
    "security_protocol",
    "sasl_mechanism",
    "sasl_jaas_config",
    "ssl_truststore_location",
    "ssl_truststore_type",
    "ssl_keystore_location",
    "ssl_keystore_type",
    "ssl_key_password",
    "ssl_endpoint_identification_algorithm",
];

/// Puts the options of a cluster into those of a component of ours.
pub(super) fn cluster(t: &mut Translator<'_>, options: &Options, out: &mut Map<String, Json>) {
    let protocol = options.text(t, "security_protocol").unwrap_or_else(|| "PLAINTEXT".to_owned());
    let (has_sasl, has_tls) = (protocol.starts_with("SASL"), protocol.ends_with("SSL"));
    if has_sasl {
        options.needed(t, "sasl_jaas_config");
    }
    let defaults = [
        ("bootstrap_servers", "localhost:9092"),
        ("client_id", "logstash"),
        ("security_protocol", "PLAINTEXT"),
        ("sasl_mechanism", "GSSAPI"),
    ];
    let mut said = Vec::new();
    for name in PROPERTIES {
        // What the protocol has no use for is passed over there.
        if name.starts_with("sasl_") && !has_sasl || name.starts_with("ssl_") && !has_tls {
            continue;
        }
        let default = || defaults.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        let Some(mut value) = options.text(t, name).or_else(default) else { continue };
        // Without config.support_escapes the backslashes before the quotes stay, and everybody means the
        // quotes.
        if name == "sasl_jaas_config" && value.contains("=\\\"") {
            value = value.replace("\\\"", "\"");
        }
        said.push((name.replace('_', "."), value));
    }
    let (cluster, findings) = said.into_iter().collect::<Properties>().cluster();
    for finding in findings {
        let name = finding.property.replace('.', "_");
        let message = format!("option {name:?} of {}: {}", options.what, finding.message);
        if finding.is_wrong {
            t.wrong(options.place(&name), message);
        } else {
            t.warn(options.place(&name), message);
        }
    }
    let ClusterConfig { brokers, client_id, tls, sasl } = cluster;
    out.insert("brokers".into(), brokers.into());
    out.insert("client_id".into(), client_id.into());
    if let Some(tls) = tls {
        let passphrase = tls.key_passphrase.as_ref().map(Secret::expose);
        let mut own =
            json!({"ca": tls.ca, "cert": tls.cert, "key": tls.key, "verification": tls.verification});
        if let Some(passphrase) = passphrase {
            own["key_passphrase"] = passphrase.into();
        }
        out.insert("tls".into(), own);
    }
    if let Some(sasl) = sasl {
        if sasl.mechanism == SaslMechanism::OauthBearer {
            let message = "option \"sasl_mechanism\": a token is read from a file: use logpond's own option sasl.token_file";
            t.wrong(options.place("sasl_mechanism"), message);
        }
        let password = sasl.password.as_ref().map(Secret::expose);
        out.insert(
            "sasl".into(),
            json!({"mechanism": sasl.mechanism, "user": sasl.user, "password": password}),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::Source;
    use pipeline::inputs::InputConfig;
    use pipeline::net::tls::Verification;

    fn read(options: &str) -> Result<pipeline::inputs::kafka::Config, String> {
        let text = format!("input {{ kafka {{ {options} }} }} output {{ null {{ }} }}");
        let read = crate::read(&[Source { name: "a.conf".to_owned(), text }])
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        match read.plan.pipelines.into_values().next().unwrap().inputs.into_values().next().unwrap().input {
            InputConfig::Kafka(config) => Ok(*config),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_we_are_and_tls() {
        let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipeline/tests-data/ca.pem");
        let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p w";"#;
        let config = read(&format!(
            "bootstrap_servers => 'a:1, b:2' security_protocol => SASL_SSL sasl_mechanism => 'SCRAM-SHA-512' \
             sasl_jaas_config => '{jaas}' ssl_truststore_location => '{ca}' ssl_truststore_type => PEM \
             ssl_endpoint_identification_algorithm => ''"
        ))
        .unwrap();
        assert_eq!(config.brokers, ["a:1", "b:2"]);
        assert_eq!(config.client_id.as_deref(), Some("logstash"));
        let (tls, sasl) = (config.tls.unwrap(), config.sasl.unwrap());
        assert_eq!((tls.ca.unwrap().to_str(), tls.verification), (Some(ca), Verification::Certificate));
        assert_eq!((sasl.user.as_str(), sasl.password.unwrap().expose()), ("u", "p w"));
        // Quotes that the config need not escape, and what the protocol has no use for.
        let escaped = jaas.replace('"', "\\\"");
        let config = read(&format!(
            "security_protocol => SASL_PLAINTEXT sasl_mechanism => PLAIN sasl_jaas_config => \"{escaped}\" \
             ssl_truststore_location => '/ca.jks'"
        ))
        .unwrap();
        assert_eq!((config.sasl.unwrap().password.unwrap().expose(), config.tls), ("p w", None));
        assert_eq!(read("").unwrap().brokers, ["localhost:9092"]);
    }

    #[test]
    fn what_cannot_be() {
        let jaas = "sasl_jaas_config => \"a.PlainLoginModule required username='u' password='p';\"";
        for (options, expected) in [
            ("security_protocol => SSH".to_owned(), "option \"security_protocol\" of input \"kafka\""),
            ("security_protocol => SASL_SSL".to_owned(), "needs the option \"sasl_jaas_config\""),
            (format!("security_protocol => SASL_SSL {jaas}"), "option \"sasl_mechanism\" of input \"kafka\""),
            (
                format!("security_protocol => SASL_SSL sasl_mechanism => OAUTHBEARER {jaas}"),
                "use logpond's own option sasl.token_file",
            ),
            (
                "security_protocol => SASL_SSL sasl_mechanism => PLAIN sasl_jaas_config => 'x'".to_owned(),
                "only PlainLoginModule and ScramLoginModule",
            ),
        ] {
            let error = read(&options).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
