//! The plans of `tests/scenarios` on real servers, from the files to the documents.

use crate::http;
use crate::pond::{PATIENCE, Pond, binary};
use crate::services::{Server, elasticsearch, kafka, kafka_tls_three, kcat, unique, victorialogs};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

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
    let ask = |path: &str, body: &str| {
        let answer =
            http::request(server.address(), "POST", path, "application/json", body, PATIENCE).ok()?;
        serde_json::from_slice::<Value>(&answer.body).ok()
    };
    ask(&format!("/{index}/_refresh"), "")?;
    let query = json!({"size": 10_000, "track_total_hits": true, "sort": [{"@timestamp": "asc"}]});
    let found = ask(&format!("/{index}/_search"), &query.to_string())?;
    let hits = found["hits"]["hits"].as_array()?;
    assert!(hits.len() <= wanted, "{} documents, more than {wanted}", hits.len());
    (hits.len() == wanted).then(|| hits.iter().map(|hit| hit["_source"].clone()).collect())
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
