//! Events into real Kafka, read back with kcat.

use crate::pond::Pond;
use crate::services::{Kafka, Options, kafka, kafka_4, kafka_tls_three, kcat, unique};
use std::collections::HashMap;
use std::ops::Range;

fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("line {n:07} of a log\n")).collect()
}

/// A pond whose file `in.log` goes to Kafka; `options` stand beside the brokers.
fn to_kafka(brokers: &str, options: &str) -> Pond {
    let pond = Pond::new();
    let brokers: Vec<String> = brokers.split(',').map(|broker| format!("'{broker}'")).collect();
    let config = format!(
        "inputs: {{i: {{file: {{paths: ['{}']}}}}}}\noutputs: {{k: {{kafka: {{brokers: [{}], {options}}}}}}}\n",
        pond.path("in.log").display(),
        brokers.join(", "),
    );
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    pond
}

fn run(pond: &mut Pond, more: &[&str]) {
    let mut command = std::process::Command::new(crate::pond::binary());
    command.arg("run").args(more).arg("-c").arg(pond.path("logpond.yaml"));
    command.arg("--data-dir").arg(pond.data());
    pond.start(command);
}

/// Runs until all is delivered.
fn deliver(pond: &mut Pond) {
    run(pond, &["--until-idle"]);
    pond.wait_end();
}

/// The values of a topic, in the order of each partition.
fn values(brokers: &str, topic: &str, options: &[&str]) -> String {
    let mut all = vec!["-b", brokers, "-t", topic, "-C", "-o", "beginning", "-e", "-q"];
    all.extend(options);
    let output = kcat(&all, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// How many records a topic has by now.
fn records(brokers: &str, topic: &str, partitions: usize) -> u64 {
    let ends: Vec<String> = (0..partitions).map(|n| format!("{topic}:{n}:-1")).collect();
    let wanted: Vec<&str> = ends.iter().flat_map(|end| ["-t", end]).collect();
    let output = kcat(&[&["-b", brokers, "-Q"], &wanted[..]].concat(), "");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn every_compression_and_acknowledgment_arrives() {
    let all = [("none", "all"), ("gzip", "leader"), ("snappy", "all"), ("lz4", "none"), ("zstd", "all")];
    let clusters =
        all.map(|case| (kafka(), case)).into_iter().chain([(kafka_4(), all[1]), (kafka_4(), all[4])]);
    for (kafka, (compression, acks)) in clusters {
        let topic = unique("compressed");
        kafka.create_topic(&topic, 1);
        let options = format!("topic: {topic}, codec: raw, compression: {compression}, acks: {acks}");
        let mut pond = to_kafka(kafka.bootstrap(), &options);
        pond.append("in.log", &lines(0..5_000));
        deliver(&mut pond);
        assert!(values(kafka.bootstrap(), &topic, &[]) == lines(0..5_000), "{compression}, acks {acks}");
    }
}

#[test]
fn keys_headers_partitions_and_topics_come_from_the_event() {
    let kafka = kafka();
    let topic = unique("shaped");
    let options = format!(
        "topic: '{topic}-%{{kind}}', key: '%{{user}}', headers: {{h: 'x-%{{user}}', none: '%{{nothing}}'}}, codec: {{text: '%{{message}}'}}"
    );
    let mut pond = to_kafka(kafka.bootstrap(), &options);
    let config = std::fs::read_to_string(pond.path("logpond.yaml")).expect("a file");
    std::fs::write(pond.path("logpond.yaml"), format!("{config}filters: [{{json: {{}}}}]\n"))
        .expect("a file");
    pond.append(
        "in.log",
        "{\"kind\":\"a\",\"user\":\"u1\",\"message\":\"one\"}\n{\"kind\":\"b\",\"message\":\"two\"}\n{\"user\":\"u3\",\"message\":\"three\"}\n{\"kind\":\"a b\",\"message\":\"four\"}\n",
    );
    deliver(&mut pond);
    let shown = |kind: &str| values(kafka.bootstrap(), &format!("{topic}-{kind}"), &["-f", "%k|%h|%s\n"]);
    assert_eq!(shown("a"), "u1|h=x-u1|one\n");
    assert_eq!(shown("b"), "||two\n");
    let dead = pond.dead_letters();
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert!(dead[0].contains("kind") && dead[0].contains("three"), "{dead:?}");
    assert!(dead[1].contains("is no name of a topic") && dead[1].contains("four"), "{dead:?}");
}

#[test]
fn a_broker_is_killed_and_every_line_comes_once_and_in_order() {
    let kafka = Kafka::start(Options::default()).expect("a broker");
    kafka.create_topic("t", 1);
    let mut pond = to_kafka(kafka.bootstrap(), "topic: t, codec: raw, batch_bytes: 4KiB");
    run(&mut pond, &[]);
    for round in 0..2 {
        let begin = round * 40_000;
        pond.append("in.log", &lines(begin..begin + 20_000));
        kafka.kill_broker(0);
        pond.append("in.log", &lines(begin + 20_000..begin + 40_000));
        pond.wait_for("word of the trouble", |pond| pond.said().contains("cannot deliver").then_some(()));
        kafka.start_broker(0);
    }
    let found = pond.wait_for("80,000 lines", |_| {
        Some(values(kafka.bootstrap(), "t", &[])).filter(|found| found.lines().count() >= 80_000)
    });
    assert!(found == lines(0..80_000));
    assert!(pond.stop().success());
}

#[test]
fn logpond_is_killed_and_no_line_is_missing() {
    let kafka = kafka();
    let topic = unique("killed");
    kafka.create_topic(&topic, 3);
    let mut pond = to_kafka(kafka.bootstrap(), &format!("topic: {topic}, codec: raw, batch_bytes: 2KiB"));
    let mut random = fastrand::Rng::new();
    for round in 0..8 {
        run(&mut pond, &[]);
        let before = records(kafka.bootstrap(), &topic, 3);
        pond.append("in.log", &lines(round * 5_000..(round + 1) * 5_000));
        // Killed at some moment after it has got further.
        pond.wait_for("records", |_| (records(kafka.bootstrap(), &topic, 3) > before).then_some(()));
        std::thread::sleep(std::time::Duration::from_millis(random.u64(0..60)));
        pond.kill();
    }
    deliver(&mut pond);
    let mut seen: HashMap<String, u32> = HashMap::new();
    for line in values(kafka.bootstrap(), &topic, &[]).lines() {
        *seen.entry(line.to_owned()).or_default() += 1;
    }
    let missing = lines(0..40_000).lines().filter(|line| !seen.contains_key(*line)).count();
    assert_eq!((missing, seen.len()), (0, 40_000));
}

#[test]
fn three_brokers_with_certificates_of_both_sides_and_one_away() {
    let kafka = kafka_tls_three();
    let topic = unique("tls");
    kafka.create_topic(&topic, 6);
    let (cert, key) = kafka.user("app");
    let tls = format!("ca: '{}', cert: '{}', key: '{}'", kafka.ca().display(), cert.display(), key.display());
    let mut pond = to_kafka(kafka.tls(), &format!("topic: {topic}, codec: raw, tls: {{{tls}}}"));
    pond.append("in.log", &lines(0..20_000));
    deliver(&mut pond);
    let mut found: Vec<String> = values(kafka.bootstrap(), &topic, &[]).lines().map(str::to_owned).collect();
    found.sort();
    assert!(found.join("\n") + "\n" == lines(0..20_000));
}

#[test]
fn who_may_not_come_in_is_told_why() {
    let kafka = kafka_tls_three();
    let (stranger, stranger_key) = kafka.user("stranger");
    let first = |list: &str| list.split(',').next().unwrap_or_default().to_owned();
    let ca = kafka.ca().display().to_string();
    let cert =
        format!("tls: {{ca: '{ca}', cert: '{}', key: '{}'}}", stranger.display(), stranger_key.display());
    for (address, options, expected) in [
        (first(kafka.tls()), "tls: {}".to_owned(), "tls.ca"),
        (first(kafka.tls()), cert, "tls.cert"),
        (first(kafka.tls()), String::new(), "does it want TLS?"),
        (
            first(kafka.sasl()),
            "sasl: {mechanism: SCRAM-SHA-512, user: app, password: wrong}".to_owned(),
            "uthentication failed",
        ),
    ] {
        let mut pond = to_kafka(&address, &format!("topic: t, {options}"));
        pond.append("in.log", &lines(0..1));
        run(&mut pond, &[]);
        pond.wait_for(expected, |pond| pond.said().contains(expected).then_some(()));
        pond.stop();
    }
}

#[test]
fn names_and_passwords_are_understood() {
    let kafka = kafka_tls_three();
    let topic = unique("sasl");
    kafka.create_topic(&topic, 1);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let sasl = format!("sasl: {{mechanism: {mechanism}, user: app, password: app-secret}}");
        let mut pond =
            to_kafka(kafka.sasl(), &format!("topic: {topic}, codec: {{text: {mechanism}}}, {sasl}"));
        pond.append("in.log", &lines(0..1));
        deliver(&mut pond);
    }
    assert_eq!(values(kafka.bootstrap(), &topic, &[]), "PLAIN\nSCRAM-SHA-256\nSCRAM-SHA-512\n");
}

#[test]
fn what_a_topic_does_not_take_goes_to_the_dead_letters() {
    let kafka = kafka();
    let topic = unique("small");
    let settings = ["--create", "--topic", &topic, "--config", "max.message.bytes=2000"];
    kafka.tool("topics", &settings);
    let mut pond = to_kafka(kafka.bootstrap(), &format!("topic: {topic}, codec: raw"));
    let large = "x".repeat(5_000);
    pond.append("in.log", &format!("{}{large}\n{}", lines(0..300), lines(300..600)));
    deliver(&mut pond);
    assert!(values(kafka.bootstrap(), &topic, &[]) == lines(0..600));
    let dead = pond.dead_letters();
    assert_eq!(dead.len(), 1);
    assert!(dead[0].contains(&large) && dead[0].contains(&topic), "{}", &dead[0][..200]);
}
