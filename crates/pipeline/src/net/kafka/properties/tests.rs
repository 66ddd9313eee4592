use super::*;
use crate::net::kafka::SaslMechanism;
use crate::net::tls::Verification;
use crate::outputs::kafka::{Acks, Compression, Partitioner};
use crate::units::{Bytes, Time};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn output(pairs: &[(&str, &str)]) -> (output::Config, Vec<Finding>) {
    properties(pairs).over_output(&output::Config::default())
}

fn input(pairs: &[(&str, &str)]) -> (input::Config, Vec<Finding>) {
    properties(pairs).over_input(&input::Config::default())
}

#[test]
fn what_a_fluent_bit_of_kubernetes_says() {
    let (config, findings) = output(&[
        ("batch.size", "65536"),
        ("compression.level", "6"),
        ("compression.type", "lz4"),
        ("linger.ms", "0"),
        ("log.connection.close", "false"),
        ("message.max.bytes", "2.097152e+06"),
        ("request.required.acks", "1"),
    ]);
    assert_eq!(config.batch_bytes, Bytes(65_536));
    assert_eq!((config.compression, config.compression_level), (Compression::Lz4, Some(6)));
    assert_eq!(config.linger, Time(Duration::ZERO));
    assert_eq!(config.request_bytes_max, Bytes(2_097_152));
    assert_eq!((config.acks, config.idempotent), (Acks::Leader, false));
    let said: Vec<(&str, bool)> =
        findings.iter().map(|finding| (finding.property.as_str(), finding.is_wrong)).collect();
    assert_eq!(said, [("log.connection.close", false)]);
}

#[test]
fn what_a_java_consumer_says() {
    let (config, findings) = input(&[
        ("bootstrap.servers", "a:9093, b:9093"),
        ("group.id", "g"),
        ("auto.offset.reset", "latest"),
        (
            "partition.assignment.strategy",
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor,range",
        ),
        ("isolation.level", "read_committed"),
        ("max.poll.interval.ms", "300000"),
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        (
            "sasl.jaas.config",
            r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p\"w";"#,
        ),
        ("ssl.truststore.location", "/etc/ca.pem"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.endpoint.identification.algorithm", ""),
    ]);
    assert_eq!(findings, []);
    assert_eq!(config.brokers, ["a:9093", "b:9093"]);
    assert_eq!(config.group, "g");
    assert_eq!(config.auto_offset_reset, input::OffsetReset::Latest);
    assert_eq!(config.assignment, [input::Assignment::CooperativeSticky, input::Assignment::Range]);
    assert_eq!(config.rebalance_timeout, Time(Duration::from_secs(300)));
    let sasl = config.sasl.unwrap();
    assert_eq!((sasl.mechanism, sasl.user.as_str()), (SaslMechanism::ScramSha512, "u"));
    assert_eq!(sasl.password.unwrap().expose(), "p\"w");
    let tls = config.tls.unwrap();
    assert_eq!(tls.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(tls.verification, Verification::Certificate);
}

#[test]
fn name_and_password_of_a_line_of_jaas() {
    for (words, password) in [
        (r#"username="u" password="p w;";"#, "p w;"),
        (r#"username="u" password="p\"w";"#, "p\"w"),
        ("username='u' password='p';", "p"),
        ("username = u password=p;", "p"),
    ] {
        let config = format!("org.apache.kafka.common.security.plain.PlainLoginModule required {words}");
        let pairs = [("security.protocol", "SASL_SSL"), ("sasl.jaas.config", config.as_str())];
        let (cluster, findings) = properties(&pairs).cluster();
        assert_eq!(findings, []);
        let sasl = cluster.sasl.unwrap();
        assert_eq!((sasl.user.as_str(), sasl.password.unwrap().expose()), ("u", password), "{words}");
        assert!(cluster.tls.is_some());
    }
    let (_, findings) = properties(&[("linger.ms", "1")]).cluster();
    assert!(findings[0].is_wrong);
}

#[test]
fn what_is_wrong_is_named() {
    for (pairs, name, words) in [
        (&[("linger.ms", "soon")][..], "linger.ms", "no number of milliseconds"),
        (&[("acks", "2")], "acks", "there are all, -1, 1, 0"),
        (&[("partitioner", "fnv1a")], "partitioner", "unknown value"),
        (&[("transactional.id", "t")], "transactional.id", "no transactions"),
        (&[("lingerms", "1")], "lingerms", "neither librdkafka nor Java"),
        (&[("ssl.ca.location", "/ca.pem")], "security.protocol", "it is missing"),
        (&[("sasl.username", "u")], "security.protocol", "it is missing"),
        (
            &[("ssl.keystore.location", "/k.jks"), ("security.protocol", "SSL")],
            "ssl.keystore.location",
            "only a file of PEM",
        ),
        (&[("sasl.mechanism", "GSSAPI")], "sasl.mechanism", "there are PLAIN"),
        (
            &[("sasl.jaas.config", "com.sun.Krb5LoginModule required;")],
            "sasl.jaas.config",
            "only PlainLoginModule",
        ),
        (
            &[("sasl.jaas.config", "a.PlainLoginModule required username=\"u;")],
            "sasl.jaas.config",
            "username=\"…\" is missing",
        ),
    ] {
        let (_, findings) = output(pairs);
        let found = findings.iter().find(|finding| finding.is_wrong);
        let found = found.unwrap_or_else(|| panic!("{pairs:?} is not found wrong"));
        assert!(found.property == name && found.message.contains(words), "{pairs:?}: {found:?}");
    }
}

#[test]
fn what_has_no_effect_is_said() {
    for (pairs, words) in [
        (&[("retries", "3")][..], "until it succeeds"),
        (&[("delivery.timeout.ms", "120000")], "no time drops an event"),
        (&[("group.id", "g")], "for an input"),
    ] {
        let (config, findings) = output(pairs);
        assert_eq!(config, output::Config::default());
        assert!(!findings[0].is_wrong && findings[0].message.contains(words), "{findings:?}");
    }
    assert!(input(&[("linger.ms", "1")]).1[0].message.contains("for an output"));
    // What is switched off is not missed.
    assert_eq!(output(&[("transactional.id", "")]).1, []);
}

#[test]
fn partitioners_of_both_clients() {
    for (value, expected) in [
        ("murmur2_random", Partitioner::Murmur2Random),
        ("consistent", Partitioner::Consistent),
        ("org.apache.kafka.clients.producer.RoundRobinPartitioner", Partitioner::RoundRobin),
    ] {
        assert_eq!(output(&[("partitioner", value)]).0.partitioner, expected);
    }
}

#[test]
fn secrets_are_not_shown() {
    let all =
        properties(&[("sasl.password", "geheim"), ("sasl.jaas.config", "x geheim"), ("linger.ms", "1")]);
    let shown = format!("{all:?} {}", serde_json::to_string(&all).unwrap());
    assert!(!shown.contains("geheim") && shown.contains("linger.ms"), "{shown}");
}

#[test]
fn each_name_stands_once_and_the_page_is_the_table() {
    for side in [
        OUTPUT.iter().flat_map(|row| row.names).collect::<Vec<_>>(),
        INPUT.iter().flat_map(|row| row.names).collect(),
    ] {
        let all: Vec<_> = side.into_iter().chain(COMMON.iter().flat_map(|row| row.names)).collect();
        let once: HashSet<_> = all.iter().collect();
        assert_eq!(all.len(), once.len());
    }
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kafka-properties.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/kafka-properties.md is stale: run this test with UPDATE_DOCS=1");
}
