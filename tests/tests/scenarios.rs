//! The plans of `tests/scenarios` on real servers, from the files to the documents.

use crate::front::Front;
use crate::http;
use crate::pond::{PATIENCE, Pond, binary, free_port};
use crate::services::{Server, elasticsearch, filebeat, kafka, kafka_tls_three, kcat, unique, victorialogs};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A pond that runs a plan of the folder.
struct Running {
    pond: Pond,
}

impl Running {
    fn start(plan: &str, environment: &[(&str, &str)]) -> Self {
        let mut pond = Pond::new();
        let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(plan);
        let mut command = Command::new(binary());
        command.arg("run").arg("-c").arg(plan).arg("--data-dir").arg(pond.data());
        command.envs(environment.iter().copied());
        pond.start(command);
        Self { pond }
    }

    /// Waits for what is to come, then stops it; there must be no dead letters.
    fn until<T>(mut self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let found = self.pond.wait_for(what, |_| look());
        assert!(self.pond.stop().success(), "{}", self.pond.said());
        assert_eq!(self.pond.dead_letters(), [""; 0]);
        found
    }
}

/// The sources of all documents that match, when there are so many.
fn documents(server: &Server, index: &str, wanted: usize) -> Option<Vec<Value>> {
    let found = all_documents(server, index)?;
    assert!(found.len() <= wanted, "{} documents, more than {wanted}", found.len());
    (found.len() == wanted).then_some(found)
}

/// The sources of all documents, 10,000 at most.
fn all_documents(server: &Server, index: &str) -> Option<Vec<Value>> {
    let ask = |path: &str, body: &str| {
        let answer =
            http::request(server.address(), "POST", path, "application/json", body, PATIENCE).ok()?;
        serde_json::from_slice::<Value>(&answer.body).ok()
    };
    ask(&format!("/{index}/_refresh"), "")?;
    let query = json!({"size": 10_000, "track_total_hits": true, "sort": [{"@timestamp": "asc"}]});
    let found = ask(&format!("/{index}/_search"), &query.to_string())?;
    let hits = found["hits"]["hits"].as_array()?;
    Some(hits.iter().map(|hit| hit["_source"].clone()).collect())
}

#[test]
fn files_of_a_shop_go_over_kafka_to_elasticsearch() {
    let topic = unique("shop-logs");
    let index = unique("shop");
    kafka().create_topic(&topic, 4);
    let logs = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(logs.path().join("shop")).expect("a directory");
    std::fs::create_dir_all(logs.path().join("nginx")).expect("a directory");
    let shop = "2026-11-20 10:00:00 INFO order 1 paid\n\
        2026-11-20 10:00:01 ERROR order 2\njava.lang.IllegalStateException: no stock\n\tat shop.Order.pay(Order.java:17)\n\
        2026-11-20 10:00:02 DEBUG cache warm\n\
        2026-11-20 10:00:03 INFO GET /healthz\n\
        2026-11-20 10:00:04 INFO order 3 paid\n";
    let access = |n: usize| {
        format!(
            "10.0.0.{} - ann [20/Nov/2026:11:{:02}:00 +0100] \"GET /item/{n} HTTP/1.1\" 200 {n} \"-\" \"curl/8\"\n",
            n % 250,
            n % 60
        )
    };
    let nginx: String = (0..500).map(access).collect();
    std::fs::write(logs.path().join("shop/a.log"), shop).expect("a file");
    std::fs::write(logs.path().join("shop/b.log"), "{\"level\":\"warn\",\"order\":4}\n").expect("a file");
    std::fs::write(logs.path().join("nginx/access.log"), nginx).expect("a file");
    let folder = logs.path().display().to_string();
    let environment = [
        ("LOG_DIR", folder.as_str()),
        ("KAFKA", kafka().bootstrap()),
        ("ES", elasticsearch().address()),
        ("SHOP_LOGS", &topic),
        ("SHOP_INDEX", &index),
    ];
    let shipper = Running::start("shop-ship.yaml", &environment);
    let indexer = Running::start("shop-index.yaml", &environment);
    let found = indexer.until("504 documents", || documents(elasticsearch(), &format!("{index}-*"), 504));
    let of = |part: &str| {
        let found =
            found.iter().find(|document| document["message"].as_str().is_some_and(|m| m.contains(part)));
        found.unwrap_or_else(|| panic!("no document with {part:?}"))
    };
    let trace = of("IllegalStateException");
    assert!(trace["message"].as_str().unwrap().ends_with("Order.java:17)"), "{trace}");
    assert_eq!(trace["tags"], json!(["shop", "_not_access_log"]));
    assert_eq!((&trace["env"], &trace["kind"]), (&json!("staging"), &json!("plain")));
    assert_eq!(of("\"order\":4")["app"], json!({"level": "warn", "order": 4}));
    let request = of("/item/77 ");
    assert_eq!(request["@timestamp"], "2026-11-20T10:17:00.000Z");
    assert_eq!(request["request"], "/item/77");
    assert_eq!(request["kafka"]["topic"], topic.as_str());
    assert!(!found.iter().any(|document| document.to_string().contains("healthz")));
    let days = elasticsearch().get(&format!("/_cat/indices/{index}-2026.11.20?format=json"));
    assert_eq!(days[0]["docs.count"], "500", "{days}");
    drop(shipper);
}

#[test]
fn files_of_hosts_go_over_kafka_with_tls_to_victorialogs() {
    let topic = unique("host-logs");
    let brokers = kafka_tls_three();
    brokers.create_topic(&topic, 3);
    let logs = tempfile::tempdir().expect("a directory");
    let marker = unique("marker");
    let text: String = (0..400).map(|n| format!("{marker} line {n}\n\n")).collect();
    std::fs::write(logs.path().join("app.log"), text).expect("a file");
    let (cert, key) = brokers.user("app");
    let paths = [logs.path().to_owned(), brokers.ca(), cert, key].map(|path| path.display().to_string());
    let environment = [
        ("LOG_DIR", paths[0].as_str()),
        ("CA_FILE", &paths[1]),
        ("CERT_FILE", &paths[2]),
        ("KEY_FILE", &paths[3]),
        ("KAFKA_TLS", brokers.tls()),
        ("KAFKA", brokers.bootstrap()),
        ("HOST_LOGS", &topic),
        ("VLOGS", victorialogs().address()),
    ];
    let shipper = Running::start("hosts-ship.yaml", &environment);
    let indexer = Running::start("hosts-index.yaml", &environment);
    let query = format!("/select/logsql/query?query=component:billing%20{marker}");
    let found = indexer.until("400 lines", || {
        let answer = victorialogs().request("GET", &query, "text/plain", "");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        (text.lines().count() >= 400).then_some(text)
    });
    assert_eq!(found.lines().count(), 400);
    let line = found.lines().find(|line| line.contains("line 399\"")).expect("the last line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["host_ip"], &line["component"]), (&json!("10.20.0.5"), &json!("billing")));
    assert!(
        line["_stream"].as_str().is_some_and(|stream| stream.contains("component=\"billing\"")),
        "{line}"
    );
    drop(shipper);
}

#[test]
fn what_agents_of_a_cluster_wrote_goes_to_data_streams() {
    let [app, gw, events, group] = ["app-logs", "gw-logs", "event-logs", "group"].map(unique);
    let dataset = unique("edge").replace('-', "_");
    let line = |kind: &str, n: usize| {
        format!(
            "{{\"@timestamp\":{}.25,\"log\":\"{kind} {n}\",\"stream\":\"stdout\",\"cluster\":\"edge-1\"}}\n",
            1_790_000_000 + n
        )
    };
    for (topic, kind, count) in [(&app, "app", 600), (&gw, "gw", 30), (&events, "event", 20)] {
        kafka().create_topic(topic, 2);
        let lines: String = (0..count).map(|n| line(kind, n)).collect();
        let output = kcat(&["-b", kafka().bootstrap(), "-P", "-t", topic, "-z", "lz4"], &lines);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let environment = [
        ("KAFKA", kafka().bootstrap()),
        ("ES", elasticsearch().address()),
        ("APP_LOGS", &app),
        ("GW_LOGS", &gw),
        ("EVENT_LOGS", &events),
        ("GROUP", &group),
        ("DATASET", &dataset),
    ];
    let indexer = Running::start("cluster-index.yaml", &environment);
    let stream = |name: &str| format!("logs-{dataset}.{name}-default");
    let (found, _) = indexer.until("650 documents", || {
        documents(elasticsearch(), &stream("app"), 600).zip(documents(elasticsearch(), &stream("rest"), 50))
    });
    assert_eq!(found[599]["log"], "app 599");
    assert_eq!(found[599]["@timestamp"], "2026-09-21T14:23:19.250Z");
    assert_eq!(found[599]["kafka"]["topic"], app.as_str());
    assert_eq!(
        found[599]["data_stream"],
        json!({"type": "logs", "dataset": format!("{dataset}.app"), "namespace": "default"})
    );
    assert!(found.iter().all(|document| document.get("message").is_none()));
}

// Configs of Logstash, as their users write them.

/// A folder with files of `tests/scenarios/logstash`, in which words are replaced.
fn copied(files: &[&str], words: &[(&str, &str)]) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for file in files {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/logstash").join(file);
        let mut text = std::fs::read_to_string(from).expect("a file of the scenario");
        for (word, new) in words {
            assert!(text.contains(word), "{file} has no {word}");
            text = text.replace(word, new);
        }
        let to = to.path().join(file);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("room");
        std::fs::write(to, text).expect("room");
    }
    to
}

/// Which names plugins give to fields: those from before ECS, and those of it.
const NAMES: [&str; 2] = ["disabled", "v8"];

/// Runs a config as Logstash would be called.
fn logstash(folder: &Path, file: &str, names: &str, environment: &[(&str, &str)]) -> Running {
    let mut pond = Pond::new();
    let settings = format!("pipeline.ecs_compatibility: {names}\n");
    std::fs::write(folder.join("logstash.yml"), settings).expect("room");
    let mut command = Command::new(binary());
    command.arg("run").arg("-f").arg(folder.join(file)).arg("--path.settings").arg(folder);
    command.arg("--data-dir").arg(pond.data()).envs(environment.iter().copied());
    pond.start(command);
    Running { pond }
}

fn sorted(documents: Vec<Value>) -> Vec<String> {
    // As text, whose members are in order.
    let text = |mut document: Value| {
        document.sort_all_objects();
        document.to_string()
    };
    let mut all: Vec<String> = documents.into_iter().map(text).collect();
    all.sort();
    all
}

#[track_caller]
fn assert_same(found: Vec<Value>, expected: Vec<Value>) {
    let (found, expected) = (sorted(found), sorted(expected));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn logstash_indexes_what_filebeat_wrote_to_kafka() {
    const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:123.0) Gecko/20100101 Firefox/123.0";
    let topic = unique("shop-logs");
    kafka().create_topic(&topic, 2);
    let written = include_str!("../scenarios/logstash/shop-logs.jsonl");
    let output = kcat(&["-b", kafka().bootstrap(), "-P", "-t", &topic], written);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let environment = [("KAFKA", kafka().bootstrap()), ("ES", elasticsearch().address())];
    for names in NAMES {
        let index = unique("shop");
        let config = copied(
            &["shop-index.conf"],
            &[("shop-logs", &topic), ("\"shop-%", &format!("\"{index}-%")), ("logstash-shop", &index)],
        );
        let indexer = logstash(config.path(), "shop-index.conf", names, &environment);
        let found = indexer.until("9 documents", || documents(elasticsearch(), &format!("{index}-*"), 9));

        let access = match names {
            // There is an "agent" already, an object, which grok leaves alone.
            "disabled" => json!({
                "clientip": "203.0.113.7", "ident": "-", "auth": "-", "verb": "GET", "request": "/",
                "httpversion": "1.1", "response": "200", "bytes": "612", "referrer": "\"-\"",
            }),
            _ => json!({
                "source": {"address": "203.0.113.7"},
                "url": {"original": "/"},
                "http": {"request": {"method": "GET"}, "version": "1.1", "response": {"status_code": 200, "body": {"bytes": 612}}},
                "user_agent": {"original": AGENT},
            }),
        };
        let expected = written.lines().map(|line| {
            let mut document: Value = serde_json::from_str(line).expect("JSON");
            document.as_object_mut().expect("an object").remove("@metadata");
            document["@version"] = "1".into();
            if names == "v8" {
                document["event"] = json!({"original": line});
            }
            if document["message"].as_str().is_some_and(|message| message.starts_with("203.0.113.7 ")) {
                document["@timestamp"] = "2024-03-01T11:00:00.000Z".into();
                document["timestamp"] = "01/Mar/2024:11:00:00 +0000".into();
                for (name, value) in access.as_object().expect("an object") {
                    document[name] = value.clone();
                }
            } else {
                document["tags"] = json!(["shop", "_not_access_log", "plain"]);
            }
            document
        });
        assert_same(found, expected.collect());
        let day = |day: &str| elasticsearch().get(&format!("/_cat/indices/{index}-{day}?format=json"));
        assert_eq!(day("2024.03.01")[0]["docs.count"], "1");
        assert_eq!(day("2026.11.21")[0]["docs.count"], "8");
    }
}

#[test]
fn filebeat_reaches_kafka_by_the_pipeline_of_logstash() {
    const LINES: usize = 4_000;
    let topic = unique("shop-parsed");
    kafka().create_topic(&topic, 3);
    let port = free_port();
    let config = copied(
        &["beats-to-kafka.conf"],
        &[("port => 5044", &format!("port => {port}")), ("shop-parsed", &topic)],
    );
    std::fs::write(config.path().join("logstash.yml"), "pipeline.ecs_compatibility: disabled\n")
        .expect("room");
    let logs = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(logs.path().join("shop")).expect("room");
    let write = |name: &str, numbers: Range<usize>| {
        let line = |n: usize| {
            format!(
                "10.0.0.{} - ann [20/Nov/2026:11:{:02}:00 +0100] \"GET /item/{n} HTTP/1.1\" 200 {n} \"-\" \"curl/8\"\n",
                n % 250,
                n % 60
            )
        };
        let text: String = numbers.map(line).collect();
        std::fs::write(logs.path().join("shop").join(name), text).expect("room");
    };
    write("a.log", 0..LINES / 2);
    let own = tempfile::tempdir().expect("a directory");
    let shipper = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/filebeat/filebeat-logstash.yml");
    let mut shipper = filebeat(own.path(), &shipper);
    shipper.env("LOG_DIR", logs.path()).env("LOGSTASH", format!("127.0.0.1:{port}"));
    let mut pond = Pond::new();
    let start = |pond: &mut Pond| {
        let mut command = Command::new(binary());
        command.arg("run").arg("-f").arg(config.path().join("beats-to-kafka.conf"));
        command.arg("--path.settings").arg(config.path()).arg("--data-dir").arg(pond.data());
        pond.start({
            command.env("KAFKA", kafka().bootstrap());
            command
        });
    };
    start(&mut pond);
    let mut shipper = Ended(shipper.spawn().expect("Filebeat starts"));
    // Each request's path, and how often its event came.
    let came = || {
        let output =
            kcat(&["-b", kafka().bootstrap(), "-C", "-t", &topic, "-o", "beginning", "-e", "-q"], "");
        let mut came: BTreeMap<String, Value> = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let event: Value = serde_json::from_str(line).expect("JSON");
            let line = event["message"].as_str().expect("the line").to_owned();
            came.insert(line, event);
        }
        came
    };
    pond.wait_for("some lines", |_| (!came().is_empty()).then_some(()));
    // What it accepted and what it did not comes, whoever is killed.
    pond.kill();
    write("b.log", LINES / 2..LINES);
    start(&mut pond);
    let came = pond.wait_for("all lines", |_| Some(came()).filter(|came| came.len() >= LINES));
    assert_eq!(came.len(), LINES);
    let (line, event) = came.iter().find(|(line, _)| line.contains("/item/77 ")).expect("one of the lines");
    assert_eq!(event["message"], line.as_str());
    assert_eq!(event["log"]["file"]["path"], logs.path().join("shop/a.log").display().to_string());
    assert_eq!(
        (&event["agent"]["type"], &event["agent"]["version"], &event["@version"]),
        (&json!("filebeat"), &json!("7.17.29"), &json!("1"))
    );
    // No tag "shop" is on events of this Filebeat's config: the filters leave them alone.
    assert_eq!(
        (&event["tags"], &event["response"]),
        (&json!(["beats_input_codec_plain_applied"]), &Value::Null)
    );
    assert!(pond.stop().success(), "{}", pond.said());
    shipper.0.kill().expect("our own child");
}

/// A program that ends with its handle.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn logstash_takes_a_csv_file_over_kafka_to_elasticsearch() {
    let topic = unique("plays");
    kafka().create_topic(&topic, 3);
    let config = copied(&["plays.csv"], &[]);
    let folder = config.path().display().to_string();
    let environment =
        [("KAFKA", kafka().bootstrap()), ("ES", elasticsearch().address()), ("DATA_DIR", folder.as_str())];
    let produce = copied(&["plays-produce.conf"], &[("\"plays\"", &format!("\"{topic}\""))]);
    let producer = logstash(produce.path(), "plays-produce.conf", "disabled", &environment);
    let plays = include_str!("../scenarios/logstash/plays.csv");
    for names in NAMES {
        let index = unique("plays");
        let consume = copied(
            &["plays-consume.conf"],
            &[
                ("[\"plays\"]", &format!("[\"{topic}\"]")),
                ("plays-readers", &index),
                ("index => \"plays\"", &format!("index => \"{index}\"")),
            ],
        );
        let consumer = logstash(consume.path(), "plays-consume.conf", names, &environment);
        let found = consumer.until("2,000 documents", || documents(elasticsearch(), &index, 2_000));
        let expected = plays.lines().map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let mut document = json!({
                "@timestamp": cells[3].replace(' ', "T") + ".000Z",
                "@version": "1",
                "message": line,
                "event_id": cells[0],
                "customer_id": cells[1],
                "track_id": cells[2],
                "played_at": cells[3],
                "mobile": cells[4] == "true",
                "listening_zip": cells[5],
            });
            if names == "v8" {
                document["event"] = json!({"original": line});
            }
            document
        });
        assert_same(found, expected.collect());
    }
    drop(producer);
}

#[test]
fn logstash_takes_what_agents_of_a_cluster_wrote_to_a_data_stream() {
    let kinds = ["app", "gw", "event"];
    let topics = kinds.map(|kind| unique(&format!("{kind}-logs")));
    let dataset = unique("edge-k8s-logs").replace('-', "_");
    let brokers = kafka_tls_three();
    let (certificate, key) = brokers.user("app");
    let front = Front::start(&certificate, &key, elasticsearch().address(), "Basic ZWxhc3RpYzpzZWNyZXQ=");
    let url = format!("https://{}", front.address());
    let environment = [("KAFKA", kafka().bootstrap()), ("ES_URL", url.as_str()), ("ES_PASSWORD", "secret")];
    let line = |kind: &str, n: usize| json!({"@timestamp": 1_790_000_000.25 + n as f64, "log": format!("{kind} {n}"), "stream": "stdout", "event": {"was": "there"}, "cluster": "edge-1"});
    let mut running = Vec::new();
    for (kind, topic) in kinds.iter().zip(&topics) {
        let file = format!("{kind}-logs.conf");
        let name = format!("{kind}-logs");
        // By default Logstash reads what comes after it began: so it begins first.
        let config = copied(
            &[&file],
            &[
                (&name, topic),
                ("edge-k8s-logs", &dataset),
                (
                    "topics =>",
                    &format!("group_id => \"{topic}\" auto_offset_reset => \"earliest\" topics =>"),
                ),
            ],
        );
        kafka().create_topic(topic, 1);
        let lines: String = (0..200).map(|n| format!("{}\n", line(kind, n))).collect();
        let output = kcat(&["-b", kafka().bootstrap(), "-P", "-t", topic, "-z", "lz4"], &lines);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        running.push((logstash(config.path(), &file, "v8", &environment), config));
    }
    let stream = format!("logs-{dataset}-default");
    let (first, _config) = running.remove(0);
    let found = first.until("600 documents", || documents(elasticsearch(), &stream, 600));
    assert!(front.passed() > 0);
    let mut expected = Vec::new();
    for (kind, topic) in kinds.iter().zip(&topics) {
        expected.extend((0..200).map(|n| {
            let seconds = 20 + n;
            json!({
                "@timestamp": format!("2026-09-21T14:{:02}:{:02}.250Z", 13 + seconds / 60, seconds % 60),
                "@version": "1",
                "kafka_topic": topic,
                "log": format!("{kind} {n}"),
                "stream": "stdout",
                "cluster": "edge-1",
                "data_stream": {"type": "logs", "dataset": dataset, "namespace": "default"},
            })
        }));
    }
    assert_same(found, expected);
}

#[test]
fn logstash_keeps_the_orders_that_it_accepted_in_its_queue() {
    const KILLS: usize = 4;
    let (tcp, post, api, index) = (free_port(), free_port(), free_port(), unique("orders"));
    let files = ["orders/logstash.yml", "orders/pipelines.yml"];
    let config = copied(&files, &[]);
    let orders = copied(
        &["orders/orders.conf"],
        &[("5140", &tcp.to_string()), ("8088", &post.to_string()), ("\"orders\"", &format!("\"{index}\""))],
    );
    let (settings, folder) =
        (config.path().join("orders"), orders.path().join("orders").display().to_string());
    let mut pond = Pond::new();
    let data = pond.data().display().to_string();
    let run = |pond: &mut Pond| {
        let mut command = Command::new(binary());
        command.arg("run").arg("--path.settings").arg(&settings).arg("--data-dir").arg(pond.data());
        // Others may have the port of the file.
        command.arg("--api.http.port").arg(api.to_string());
        command.envs([("CONF_DIR", folder.as_str()), ("DATA_DIR", &data), ("ES", elasticsearch().address())]);
        pond.start(command);
    };
    let address = format!("127.0.0.1:{post}");
    // One who sends until told to end, and knows what was accepted.
    let ended = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let sender = std::thread::spawn({
        let (ended, accepted, address) = (ended.clone(), accepted.clone(), address.clone());
        move || {
            for n in 0.. {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let order = format!("{{\"order\":{n}}}");
                let answer = http::request(&address, "POST", "/", "application/json", &order, PATIENCE);
                match answer {
                    Ok(answer) if answer.status == 200 => accepted.lock().expect("a lock").push(n),
                    _ => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }
    });
    let count = || accepted.lock().expect("a lock").len();
    for _ in 0..KILLS {
        let before = count();
        run(&mut pond);
        pond.wait_for("more orders", |_| (count() > before + 20).then_some(()));
        pond.kill();
    }
    run(&mut pond);
    let before = count();
    pond.wait_for("more orders", |_| (count() > before + 20).then_some(()));
    ended.store(true, Ordering::SeqCst);
    sender.join().expect("the sender");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", tcp)).expect("the input tcp");
    stream.write_all(b"{\"order\":-1}\n{\"order\":-2}\n").expect("who reads");
    drop(stream);
    let accepted = std::mem::take(&mut *accepted.lock().expect("a lock"));
    let found = pond.wait_for("all orders", |_| {
        let found = all_documents(elasticsearch(), &index)?;
        let numbers: BTreeSet<i64> = found.iter().filter_map(|document| document["order"].as_i64()).collect();
        (accepted.iter().chain(&[-1, -2]).all(|n| numbers.contains(n))).then_some(found)
    });
    let numbers: BTreeSet<i64> = found.iter().filter_map(|document| document["order"].as_i64()).collect();
    println!("{} orders accepted, {} stored, {} documents", accepted.len(), numbers.len(), found.len());
    for document in &found {
        assert_eq!(
            (&document["host"], &document["received_by"]),
            (&json!("127.0.0.1"), &json!("127.0.0.1")),
            "{document}"
        );
        let is_posted = document["order"].as_i64().is_some_and(|n| n >= 0);
        assert_eq!(document["headers"]["http_host"] == address.as_str(), is_posted, "{document}");
        assert_eq!(document["@version"], "1");
    }
    assert!(pond.stop().success(), "{}", pond.said());
}
