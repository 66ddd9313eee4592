//! The monitoring API, asked as those ask who watch Logstash.
//!
//! `monitoring/shapes.json` has the shape of each answer, written from Logstash's documentation, the
//! fixtures of its specs, and those of Metricbeat, Telegraf and the exporters for Prometheus. A member
//! is there unless its name ends with `?`; `*` is any name; nothing else may be there.

use crate::http;
use crate::pond::{PATIENCE, Pond, certificate, free_port};
use crate::receiver::{Receiver, Reply};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const SHAPES: &str = include_str!("../monitoring/shapes.json");

/// Where a value is not of a shape, if it is not.
fn differs(value: &Value, shape: &Value, at: &str) -> Option<String> {
    let wrong = |expected: &str| Some(format!("{at}: {value} is no {expected}"));
    match (shape, value) {
        (Value::String(kind), value) => {
            let is_so = match kind.as_str() {
                "number" => value.is_number(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                other => panic!("no such kind: {other}"),
            };
            if is_so { None } else { wrong(kind) }
        }
        (Value::Array(shapes), Value::Array(items)) => match shapes.first() {
            Some(shape) => {
                items.iter().enumerate().find_map(|(n, item)| differs(item, shape, &format!("{at}[{n}]")))
            }
            None if items.is_empty() => None,
            None => wrong("empty list"),
        },
        (Value::Object(shape), value) if shape.contains_key("|") => {
            let shapes = shape["|"].as_array().expect("shapes");
            match shapes.iter().all(|shape| differs(value, shape, at).is_some()) {
                true => wrong("value of any of its shapes"),
                false => None,
            }
        }
        (Value::Object(shape), Value::Object(members)) => {
            let known = |name: &String| {
                shape.get(name).or_else(|| shape.get(&format!("{name}?"))).or_else(|| shape.get("*"))
            };
            let missing = shape.keys().find(|name| {
                let is_free = name.ends_with('?') || *name == "*";
                !is_free && !members.contains_key(*name)
            });
            if let Some(name) = missing {
                return Some(format!("{at}.{name} is missing"));
            }
            members.iter().find_map(|(name, value)| match known(name) {
                Some(shape) => differs(value, shape, &format!("{at}.{name}")),
                None => Some(format!("{at}.{name} is not known there")),
            })
        }
        (Value::Array(_), _) => wrong("list"),
        _ => wrong("object"),
    }
}

#[test]
fn shapes_tell_what_differs() {
    let shape = json!({"a": "number", "b?": ["string"], "c": {"*": {"|": ["null", "boolean"]}}});
    for (value, expected) in [
        (json!({"a": 1, "c": {}}), None),
        (json!({"a": 1, "b": ["x"], "c": {"x": null, "y": true}}), None),
        (json!({"a": "1", "c": {}}), Some(".a: \"1\" is no number")),
        (json!({"a": 1}), Some(".c is missing")),
        (json!({"a": 1, "c": {}, "d": 1}), Some(".d is not known there")),
        (json!({"a": 1, "b": ["x", 2], "c": {}}), Some(".b[1]: 2 is no string")),
        (json!({"a": 1, "c": {"x": 1}}), Some(".c.x: 1 is no value of any of its shapes")),
    ] {
        assert_eq!(differs(&value, &shape, "").as_deref(), expected);
    }
}

/// A pond that runs a config of Logstash, with a monitoring API.
struct Watched {
    pond: Pond,
    /// Where it answers.
    address: String,
}

impl Watched {
    fn start(settings: &str, config: &str, arguments: &[&str]) -> Self {
        let pond = Pond::new();
        let config = config.replace("DIR", &pond.folder.path().display().to_string());
        fs::write(pond.path("a.conf"), config).expect("a config");
        fs::write(pond.path("logstash.yml"), settings).expect("settings");
        let mut own = Self { pond, address: String::new() };
        let mut all = vec!["run", "-f", "a.conf", "--path.settings", ".", "--path.data", "data"];
        all.extend(arguments);
        let command = own.pond.command(&all);
        own.pond.start(command);
        own.address = own.pond.wait_for("the monitoring API", |pond| {
            let said = pond.said();
            let line = said.lines().find(|line| line.contains("the monitoring API answers"))?.to_owned();
            Some(line.split_once("address=")?.1.trim_matches('"').to_owned())
        });
        own
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "")
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = http::request(&self.address, method, path, "application/json", body, PATIENCE);
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.pond.said()));
        let text = || Value::from(String::from_utf8_lossy(&answer.body).into_owned());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_else(|_| text()))
    }

    /// Waits until the statistics are so.
    fn wait(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let address = self.address.clone();
        self.pond.wait_for(what, |_| {
            let answer = http::request(&address, "GET", "/_node/stats", "", "", PATIENCE).ok()?;
            let stats: Value = serde_json::from_slice(&answer.body).ok()?;
            is_so(&stats).then_some(stats)
        })
    }
}

const CONFIG: &str = r#"
input { file { id => "lines" path => "DIR/in.log" start_position => beginning } }
filter {
  grok { id => "words" match => { "message" => "%{WORD:verb} %{INT:number:int}" } }
  if [verb] == "drop" { drop { id => "gone" } }
  mutate { add_field => { "a" => "b" } rename => { "verb" => "word" } }
}
output { http { id => "there" url => "http://ADDRESS/" http_method => post } }
"#;

/// A pond whose output takes nothing before it is let.
fn queued(settings: &str) -> (Watched, Receiver, Arc<AtomicBool>) {
    let takes: Arc<AtomicBool> = Arc::default();
    let gate = takes.clone();
    let receiver = Receiver::start(move |_, _| match gate.load(SeqCst) {
        true => Reply::Status(200, String::new()),
        false => Reply::Status(503, String::new()),
    });
    let settings =
        format!("pipeline.ecs_compatibility: disabled\nqueue.type: persisted\nnode.name: n1\n{settings}");
    let config = CONFIG.replace("ADDRESS", receiver.address());
    let watched = Watched::start(&settings, &config, &["-w", "1"]);
    let lines: String =
        (0..100).map(|n| format!("{} {n}\n", if n % 4 == 0 { "drop" } else { "keep" })).collect();
    watched.pond.append("in.log", &lines);
    (watched, receiver, takes)
}

#[test]
fn every_route_answers_in_the_documented_shape() {
    let (mut watched, _receiver, takes) = queued("queue.max_bytes: 8mb\nqueue.page_capacity: 1mb\n");
    // The output has tried, and waits.
    let stats = watched.wait("events in the queue", |stats| {
        stats["queue"]["events_count"] == 75 && stats["status"] == "yellow"
    });
    let main = &stats["pipelines"]["main"];
    assert_eq!(main["queue"]["type"], "persisted");
    assert_eq!(main["queue"]["events_count"], 75);
    assert_eq!(main["queue"]["capacity"]["max_queue_size_in_bytes"], 8 << 20);
    assert_eq!(main["queue"]["capacity"]["page_capacity_in_bytes"], 1 << 20);
    assert!(main["queue"]["queue_size_in_bytes"].as_u64().is_some_and(|bytes| bytes > 75 * 10), "{main:#}");
    assert!(main["queue"]["data"]["free_space_in_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!((&main["events"]["in"], &main["events"]["filtered"]), (&json!(100), &json!(100)));
    assert_eq!(main["events"]["out"], 0);
    assert_eq!(stats["events"]["in"], 100);
    let filters = main["plugins"]["filters"].as_array().expect("filters");
    let filter =
        |id: &str| filters.iter().find(|own| own["id"] == id).unwrap_or_else(|| panic!("{filters:#?}"));
    let counts = |id: &str| (filter(id)["events"]["in"].as_u64(), filter(id)["events"]["out"].as_u64());
    assert_eq!(counts("words"), (Some(100), Some(100)));
    assert_eq!(counts("gone"), (Some(25), Some(0)));
    assert_eq!(filter("words")["name"], "grok");
    assert_eq!(main["plugins"]["inputs"][0]["id"], "lines");
    assert_eq!(main["plugins"]["inputs"][0]["events"]["out"], 100);
    assert!(main["flow"]["input_throughput"]["lifetime"].as_f64().is_some_and(|rate| rate > 0.0), "{main:#}");

    let shapes: Value = serde_json::from_str(SHAPES).expect("shapes");
    for (route, shape) in shapes.as_object().expect("shapes") {
        let (status, answer) = watched.get(route);
        assert_eq!(status, 200, "{route}: {answer:#}");
        if let Some(difference) = differs(&answer, shape, "") {
            panic!("{route}{difference}\n{answer:#}");
        }
    }

    let root = watched.get("/").1;
    assert_eq!((&root["name"], &root["http_address"]), (&json!("n1"), &json!(watched.address)));
    let uuid = fs::read_to_string(watched.pond.data().join("uuid")).expect("its id");
    assert_eq!(root["id"], uuid);
    let health = watched.get("/_health_report").1;
    let own = &health["indicators"]["pipelines"]["indicators"]["main"];
    assert_eq!(
        (&health["status"], &own["details"]["status"]["state"]),
        (&json!("yellow"), &json!("RUNNING"))
    );
    assert!(
        own["diagnosis"][0]["cause"].as_str().is_some_and(|cause| cause.contains("\"there\"")),
        "{own:#}"
    );
    let pipelines = watched.get("/_node/pipelines").1;
    assert_eq!(pipelines["pipelines"]["main"]["workers"], 1);
    assert_eq!(pipelines["pipelines"]["main"]["config_reload_interval"], 3_000_000_000_u64);

    for (path, status) in [
        ("/_node/stats/pipelines/other", 404),
        ("/_node/pipelines/other", 404),
        ("/_node/nothing", 404),
        ("/nothing", 404),
        ("/?wait_for_status=purple&timeout=1s", 400),
        ("/?wait_for_status=green&timeout=10ms", 503),
        ("/?wait_for_status=yellow&timeout=10s", 200),
    ] {
        let (found, answer) = watched.get(path);
        assert_eq!(found, status, "{path}");
        if found != 200 {
            assert_eq!(
                (&answer["status"], &answer["path"]),
                (&json!(status), &json!(path.split('?').next()))
            );
            assert!(answer["error"]["message"].is_string(), "{answer}");
        }
    }
    let text = watched.get("/_node/hot_threads?human=true&ignore_idle_threads=false&threads=100").1;
    assert!(text.as_str().is_some_and(|text| text.contains("thread name: 'work:0'")), "{text}");
    let pretty = http::request(&watched.address, "GET", "/?pretty", "", "", PATIENCE).expect("an answer");
    assert!(String::from_utf8_lossy(&pretty.body).starts_with("{\n  \"host\""));

    takes.store(true, SeqCst);
    let stats = watched.wait("an empty queue", |stats| stats["events"]["out"] == 75);
    let output = &stats["pipelines"]["main"]["plugins"]["outputs"][0];
    assert_eq!((&output["id"], &output["events"]["out"]), (&json!("there"), &json!(75)));
    let green = watched.get("/?wait_for_status=green&timeout=60s");
    assert_eq!((green.0, &green.1["status"]), (200, &json!("green")));
}

#[test]
fn levels_of_the_log_change_while_it_runs() {
    let watched = Watched::start("", "input { heartbeat { } } output { null { } }", &[]);
    let levels = || watched.get("/_node/logging").1["loggers"].clone();
    assert_eq!(levels()["pipeline"], "INFO");
    let (status, answer) = watched.ask("PUT", "/_node/logging", r#"{"logger.pipeline": "DEBUG"}"#);
    assert_eq!((status, &answer["acknowledged"]), (200, &json!(true)));
    assert_eq!((&levels()["pipeline"], &levels()["web"]), (&json!("DEBUG"), &json!("INFO")));
    let (status, answer) = watched.ask("PUT", "/_node/logging", r#"{"logger.nothing": "DEBUG"}"#);
    assert_eq!(status, 400, "{answer}");
    assert_eq!(watched.ask("PUT", "/_node/logging/reset", "").0, 200);
    assert_eq!(levels()["pipeline"], "INFO");
}

#[test]
fn reloads_are_counted_and_counts_go_on() {
    let config = |more: &str| {
        format!(
            "input {{ file {{ path => \"DIR/in.log\" start_position => beginning }} }} filter {{ {more} }} output {{ file {{ path => \"DIR/out.log\" }} }}"
        )
    };
    let settings = "config.reload.automatic: true\nconfig.reload.interval: 200ms\n";
    let mut watched = Watched::start(settings, &config(""), &[]);
    watched.pond.append("in.log", "a\nb\nc\n");
    let before = watched.wait("three events", |stats| stats["events"]["out"] == 3);
    assert_eq!(before["reloads"], json!({"successes": 0, "failures": 0}));
    let ids = |stats: &Value| {
        let main = &stats["pipelines"]["main"];
        (main["hash"].clone(), main["ephemeral_id"].clone())
    };
    let folder = watched.pond.folder.path().display().to_string();
    let write =
        |pond: &Pond, text: &str| fs::write(pond.path("a.conf"), text.replace("DIR", &folder)).expect("room");

    write(&watched.pond, &config("mutate { id => \"new\" add_tag => [\"x\"] }"));
    let after = watched.wait("a reload", |stats| stats["reloads"]["successes"] == 1);
    let (old, new) = (ids(&before), ids(&after));
    assert!(old.0 != new.0 && old.1 != new.1, "{old:?} {new:?}");
    let reloads = &after["pipelines"]["main"]["reloads"];
    assert_eq!((&reloads["successes"], &reloads["last_error"]), (&json!(1), &Value::Null));
    assert!(reloads["last_success_timestamp"].is_string(), "{reloads}");
    // The pipeline begins to count anew, the whole does not.
    assert_eq!(after["events"]["in"], 3);
    watched.pond.append("in.log", "d\n");
    let after = watched.wait("another event", |stats| stats["events"]["out"] == 4);
    assert_eq!(after["pipelines"]["main"]["events"]["in"], 1);
    let filters = after["pipelines"]["main"]["plugins"]["filters"].as_array().expect("filters");
    let new_one = filters.iter().find(|own| own["id"] == "new").unwrap_or_else(|| panic!("{filters:#?}"));
    assert_eq!(new_one["events"]["in"], 1);

    write(&watched.pond, &config("grko { }"));
    let after = watched.wait("a failure", |stats| stats["reloads"]["failures"] == 1);
    let reloads = &after["pipelines"]["main"]["reloads"];
    let message = reloads["last_error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("grko") && reloads["last_failure_timestamp"].is_string(), "{reloads}");
    assert_eq!(ids(&after), new, "all runs on");

    // What the API itself is to be is not changed while it runs.
    write(&watched.pond, &config(""));
    fs::write(watched.pond.path("logstash.yml"), format!("{settings}api.enabled: false\n")).expect("room");
    let after = watched.wait("another failure", |stats| stats["reloads"]["failures"].as_u64() >= Some(2));
    let error = &after["pipelines"]["main"]["reloads"]["last_error"]["message"];
    assert!(error.as_str().is_some_and(|error| error.contains("\"monitoring\" is not changed")), "{error}");
}

#[test]
fn the_first_free_port_is_taken_and_none_is_an_error() {
    // Two ports beside each other that nobody has.
    let (first, taken) = (0..100)
        .find_map(|_| {
            let port = free_port();
            let taken = TcpListener::bind(("127.0.0.1", port)).ok()?;
            let next = TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
            drop(next);
            Some((port, taken))
        })
        .expect("two ports");
    let config = "input { heartbeat { } } output { null { } }";
    let range = format!("{first}-{}", first + 1);
    let watched = Watched::start(&format!("api.http.port: {range}\n"), config, &[]);
    assert_eq!(watched.address, format!("127.0.0.1:{}", first + 1));
    // The command line comes first, and one port is no range.
    for ports in [first.to_string(), range] {
        let mut other = Pond::new();
        fs::write(other.path("a.conf"), config).expect("a config");
        let output = other
            .command(&["run", "-f", "a.conf", "--path.data", "data", "--api.http.port", &ports])
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains(&format!("cannot listen on 127.0.0.1:{ports}")) && said.contains("taken"),
            "{said}"
        );
        other.kill();
    }
    drop(taken);
    // Without it no port is needed.
    let other = Pond::new();
    let config = "input { generator { count => 1 } } output { null { } }";
    fs::write(other.path("a.conf"), config).expect("a config");
    let single = (first + 1).to_string();
    let arguments =
        ["run", "-f", "a.conf", "--path.data", "data", "--api.enabled", "false", "--api.http.port", &single];
    let output = other.command(&arguments).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn users_and_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, key] = certificate(folder.path());
    let auth = "api.auth.type: basic\napi.auth.basic.username: ann\napi.auth.basic.password: Pa55-words\n";
    let config = "input { heartbeat { } } output { null { } }";

    let watched = Watched::start(auth, config, &[]);
    let with = |header: &str| {
        let headers = [("authorization", header)];
        http::exchange(&watched.address, "GET", "/_node", &headers, "", PATIENCE).expect("an answer")
    };
    let (right, wrong) = ("Basic YW5uOlBhNTUtd29yZHM=", "Basic YW5uOm90aGVy");
    assert_eq!(with(right).status, 200);
    let refused = with(wrong);
    assert_eq!(refused.status, 401);
    assert!(refused.head.contains("www-authenticate: basic realm=\"logstash-api\""), "{}", refused.head);
    assert_eq!(watched.get("/").0, 401);

    let tls = format!("{auth}api.ssl.enabled: true\napi.ssl.certificate: {cert}\napi.ssl.key: {key}\n");
    let watched = Watched::start(&tls, config, &[]);
    // What is secured both ways may be reached from everywhere.
    let port = watched.address.strip_prefix("0.0.0.0:").unwrap_or_else(|| panic!("{}", watched.address));
    let url = format!("https://localhost:{port}/_node/stats/events");
    let output = Command::new("curl")
        .args(["-s", "--max-time", "20", "--cacert", &cert, "-u", "ann:Pa55-words", &url])
        .output()
        .expect("curl");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(answer["events"]["in"].as_u64().map(|_| ()), Some(()), "{output:?}\n{}", watched.pond.said());
    assert_eq!(answer["http_address"], format!("0.0.0.0:{port}"));
    let plain = http::request(&format!("127.0.0.1:{port}"), "GET", "/", "", "", Duration::from_secs(5));
    assert!(plain.is_err(), "without TLS there is no answer: {plain:?}");
}

#[test]
fn a_native_plan_is_watched_too() {
    let mut pond = Pond::new();
    let port = free_port();
    let config = format!(
        "monitoring: {{listen: '127.0.0.1:{port}', name: native}}\ninputs: {{g: {{generate: {{rate: 10}}}}}}\nfilters: [{{set: {{fields: {{a: 1}}}}, id: one}}]\noutputs: {{b: blackhole}}\n"
    );
    fs::write(pond.path("pond.yml"), config).expect("a config");
    let command = pond.command(&["run", "-c", "pond.yml", "--data-dir", "data"]);
    pond.start(command);
    let address = format!("127.0.0.1:{port}");
    let stats = pond.wait_for("events", |_| {
        let answer = http::request(&address, "GET", "/_node/stats", "", "", PATIENCE).ok()?;
        let stats: Value = serde_json::from_slice(&answer.body).ok()?;
        (stats["events"]["out"].as_u64()? > 0).then_some(stats)
    });
    assert_eq!(stats["name"], "native");
    let main = &stats["pipelines"]["main"];
    assert_eq!(main["plugins"]["filters"][0]["id"], "one");
    assert_eq!(main["queue"]["type"], "memory");
}
