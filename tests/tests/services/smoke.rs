//! Each server starts, answers as its product does, and goes when it should.

use super::server::script;
use super::{
    Kafka, Options, Server, elasticsearch, kafka, kafka_4, kafka_tls_three, kcat, opensearch, redis, unique,
    victorialogs,
};
use crate::pond::PATIENCE;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[track_caller]
fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < until, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Options of kcat for a protocol and what belongs to it.
fn via(settings: &[(&str, &str)]) -> Vec<String> {
    settings.iter().flat_map(|(key, value)| ["-X".to_owned(), format!("{key}={value}")]).collect()
}

/// Writes lines to a topic and reads them back with another kcat.
#[track_caller]
fn there_and_back(bootstrap: &str, settings: &[(&str, &str)], topic: &str) {
    let settings = via(settings);
    let run = |arguments: &[&str], input: &str| {
        let mut all = vec!["-b", bootstrap, "-t", topic];
        all.extend(settings.iter().map(String::as_str));
        all.extend(arguments);
        let output = kcat(&all, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kcat {all:?}: {said}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    run(&["-P", "-p", "0", "-z", "gzip"], "one\ntwo\nthree\n");
    let found = run(&["-C", "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o %s\n"], "");
    assert_eq!(found, "0 one\n1 two\n2 three\n");
}

/// kcat must not get in, and must say why.
#[track_caller]
fn refused(bootstrap: &str, settings: &[(&str, &str)], reason: &str) {
    let settings = via(settings);
    let mut all = vec!["-b", bootstrap, "-L", "-m", "10"];
    all.extend(settings.iter().map(String::as_str));
    let output = kcat(&all, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(reason), "{said}");
}

fn sasl<'a>(protocol: &'a str, mechanism: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("security.protocol", protocol),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "app"),
        ("sasl.password", password),
    ]
}

#[test]
fn kafka_describes_a_topic_that_was_created() {
    let topic = unique("described");
    kafka().create_topic(&topic, 3);
    let said = kafka().tool("topics", &["--describe", "--topic", &topic]);
    assert!(said.contains("PartitionCount: 3") && said.contains("ReplicationFactor: 1"), "{said}");
    there_and_back(kafka().bootstrap(), &[], &topic);
}

#[test]
fn kafka_lets_its_users_in_by_every_mechanism_and_nobody_else() {
    let ca = kafka().ca();
    let trust = ("ssl.ca.location", ca.to_str().expect("UTF-8"));
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        let topic = unique("sasl");
        kafka().create_topic(&topic, 1);
        there_and_back(kafka().sasl(), &sasl("sasl_plaintext", mechanism, "app-secret"), &topic);
    }
    let topic = unique("sasl-tls");
    kafka().create_topic(&topic, 1);
    let settings = [&sasl("sasl_ssl", "SCRAM-SHA-512", "app-secret")[..], &[trust]].concat();
    there_and_back(kafka().sasl_tls(), &settings, &topic);
    refused(kafka().sasl(), &sasl("sasl_plaintext", "SCRAM-SHA-512", "wrong"), "Authentication failed");
    refused(kafka().sasl(), &sasl("sasl_plaintext", "PLAIN", "wrong"), "Authentication failed");
}

#[test]
fn kafka_speaks_tls_without_a_client_certificate_where_it_may() {
    let topic = unique("tls");
    kafka().create_topic(&topic, 1);
    let ca = kafka().ca();
    let settings = [("security.protocol", "ssl"), ("ssl.ca.location", ca.to_str().expect("UTF-8"))];
    there_and_back(kafka().tls(), &settings, &topic);
}

#[test]
fn kafka_answers_jmx() {
    // The handshake of JRMP: magic, version 2, stream protocol; 0x4e acknowledges it.
    // https://docs.oracle.com/javase/8/docs/platform/rmi/spec/rmi-protocol3.html
    let mut stream = TcpStream::connect(kafka().jmx()).expect("the port of JMX");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(b"JRMI\x00\x02\x4b").expect("a socket");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, [0x4e]);
}

#[test]
fn three_brokers_verify_certificates_and_want_one() {
    let cluster = kafka_tls_three();
    let (ca, (certificate, key)) = (cluster.ca(), cluster.user("app"));
    let brokers: Vec<_> = cluster.tls().split(',').collect();
    assert_eq!(brokers.len(), 3, "{brokers:?}");
    for broker in brokers {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", broker, "-verify_hostname", "localhost", "-verify_return_error"])
            .arg("-CAfile")
            .arg(&ca)
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    }

    let topic = unique("replicated");
    cluster.create_topic(&topic, 3);
    let said = cluster.tool("topics", &["--describe", "--topic", &topic]);
    assert!(said.contains("ReplicationFactor: 3") && said.contains("min.insync.replicas=2"), "{said}");

    let trust = [("security.protocol", "ssl"), ("ssl.ca.location", ca.to_str().expect("UTF-8"))];
    let with = |name| {
        let (certificate, key) = cluster.user(name);
        [certificate, key].map(|path| path.to_str().expect("UTF-8").to_owned())
    };
    let [certificate, key] = with("app");
    let settings =
        [&trust[..], &[("ssl.certificate.location", &certificate), ("ssl.key.location", &key)]].concat();
    there_and_back(cluster.tls(), &settings, &topic);

    let [certificate, key] = with("stranger");
    let settings =
        [&trust[..], &[("ssl.certificate.location", &certificate), ("ssl.key.location", &key)]].concat();
    refused(cluster.tls(), &settings, "SSL");
    refused(cluster.tls(), &trust, "SSL");
}

#[test]
fn kafka_4_has_its_users_and_takes_records() {
    let topic = unique("four");
    kafka_4().create_topic(&topic, 2);
    let said = kafka_4().tool("configs", &["--describe", "--entity-type", "users", "--entity-name", "app"]);
    assert!(said.contains("SCRAM-SHA-512") && said.contains("SCRAM-SHA-256"), "{said}");
    // librdkafka before 2.6.1 cannot do SCRAM with Kafka 4 (confluentinc/librdkafka#4895).
    there_and_back(kafka_4().sasl(), &sasl("sasl_plaintext", "PLAIN", "app-secret"), &topic);
}

#[test]
fn a_broker_of_ones_own_can_be_broken_and_mended() {
    let own = Kafka::start(Options::default()).expect("a broker");
    let topic = unique("kept");
    own.create_topic(&topic, 1);
    there_and_back(own.bootstrap(), &[], &topic);
    let down = || TcpStream::connect(own.bootstrap()).is_err();
    let kept = || {
        let arguments = ["-b", own.bootstrap(), "-C", "-t", &topic, "-o", "beginning", "-e", "-q"];
        assert_eq!(String::from_utf8_lossy(&kcat(&arguments, "").stdout), "one\ntwo\nthree\n");
    };

    own.kill_broker(0);
    assert!(down());
    own.start_broker(0);
    kept();

    own.pause_broker(0);
    assert!(!down(), "a hanging broker has its port open");
    refused(own.bootstrap(), &[("socket.timeout.ms", "1000")], "Timed out");
    own.resume_broker(0);
    kept();

    own.stop_broker(0);
    assert!(down());
}

fn index_and_find(server: &Server, version: &str) {
    assert_eq!(server.get("/")["version"]["number"], version);
    let index = unique("smoke");
    let made = server.put(
        &format!("/{index}"),
        &json!({"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"level": {"type": "keyword"}}}}),
    );
    assert_eq!(made["acknowledged"], true, "{made}");
    let bulk = concat!(
        "{\"index\":{\"_id\":\"1\"}}\n{\"level\":\"error\",\"message\":\"the disk is full\"}\n",
        "{\"index\":{\"_id\":\"2\"}}\n{\"level\":\"info\",\"message\":\"all is well\"}\n",
    );
    let answer =
        server.request("POST", &format!("/{index}/_bulk?refresh=true"), "application/x-ndjson", bulk);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(answer.status == 200 && text.contains("\"errors\":false"), "{text}");
    let found = server.get(&format!("/{index}/_search?q=message:disk+AND+level:error"));
    assert_eq!(found["hits"]["total"]["value"], 1, "{found}");
    assert_eq!(found["hits"]["hits"][0]["_id"], "1", "{found}");
}

/// A stream made by use, which wants `create` and a time.
fn data_stream(server: &Server) {
    let stream = unique("stream");
    let template = json!({
        "index_patterns": [&stream], "priority": 500, "data_stream": {},
        "template": {"settings": {"number_of_replicas": 0}},
    });
    server.put(&format!("/_index_template/{stream}"), &template);
    let bulk = |lines: &str| {
        let path = format!("/{stream}/_bulk?refresh=true");
        String::from_utf8(server.request("POST", &path, "application/x-ndjson", lines).body).expect("UTF-8")
    };
    let made = bulk("{\"create\":{}}\n{\"@timestamp\":\"2026-11-21T00:00:00Z\",\"message\":\"a\"}\n");
    assert!(made.contains("\"errors\":false"), "{made}");
    let refused = bulk("{\"create\":{}}\n{\"message\":\"b\"}\n");
    assert!(refused.contains("\"status\":400"), "{refused}");
    let refused = bulk("{\"index\":{}}\n{\"@timestamp\":\"2026-11-21T00:00:00Z\"}\n");
    assert!(refused.contains("\"status\":400"), "{refused}");
    assert_eq!(server.get(&format!("/_data_stream/{stream}"))["data_streams"][0]["generation"], 1);
    assert_eq!(server.get(&format!("/{stream}/_count"))["count"], 1);
}

#[test]
fn elasticsearch_indexes_and_finds() {
    index_and_find(elasticsearch(), "7.10.2");
    data_stream(elasticsearch());
}

#[test]
fn opensearch_indexes_and_finds() {
    index_and_find(opensearch(), "2.19.6");
    data_stream(opensearch());
}

#[test]
fn victorialogs_takes_json_lines_and_finds_them() {
    let server = victorialogs();
    let stream = unique("smoke");
    let line = json!({"_msg": "the disk is full", "_time": 0, "app": stream});
    let path = "/insert/jsonline?_stream_fields=app";
    let answer = server.request("POST", path, "application/stream+json", &format!("{line}\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let query = format!("/select/logsql/query?query=app:%3D{stream}+disk");
    wait_until("the line in VictoriaLogs", || {
        let answer = server.request("GET", &query, "text/plain", "");
        String::from_utf8_lossy(&answer.body).contains("\"_msg\":\"the disk is full\"")
    });
}

fn ping(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[test]
fn redis_answers() {
    assert_eq!(ping(redis().address()).expect("an answer"), "+PONG\r\n");
}

#[test]
fn a_server_ends_when_its_starter_is_killed() {
    // Its stdin is a pipe whose only writer is a process that we can kill in place of ourselves.
    let mut starter = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().expect("sleep");
    let pipe = starter.stdout.take().expect("a pipe");
    let mut supervisor =
        script().args(["run", "redis"]).stdin(pipe).stdout(Stdio::piped()).spawn().expect("a script");
    let mut said = BufReader::new(supervisor.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut told = |key: &str| {
        said.find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).expect("its words")
    };
    let (folder, address) = (told("dir"), told("address"));
    wait_until("redis", || ping(&address).is_ok_and(|answer| answer == "+PONG\r\n"));

    starter.kill().expect("our own child");
    starter.wait().expect("our own child");
    supervisor.wait().expect("our own child");
    assert!(TcpStream::connect(&address).is_err(), "the server is gone");
    assert!(!std::path::Path::new(&folder).exists(), "its directory is gone");
}

#[test]
fn an_own_server_ends_with_its_handle() {
    let own = Server::start("redis", &[]).expect("redis");
    let (address, folder) = (own.address().to_owned(), own.file(""));
    assert!(folder.exists());
    assert_eq!(ping(&address).expect("an answer"), "+PONG\r\n");
    drop(own);
    assert!(TcpStream::connect(&address).is_err() && !folder.exists());
}

#[test]
fn what_cannot_be_started_is_told() {
    let told = |settings: &[String]| Server::start("redis", settings).err().expect("a refusal");
    assert!(told(&["heap".to_owned()]).contains("unknown setting heap"));
    let nameless = Server::start("etcd", &[]).err().expect("a refusal");
    assert!(nameless.contains("there is no service etcd") && nameless.contains("victorialogs"), "{nameless}");
}
