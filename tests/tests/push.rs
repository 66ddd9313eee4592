//! Inputs that others push to, from real senders, and across kill -9.

use crate::http;
use crate::pond::{PATIENCE, Pond, free_port};
use serde_json::Value;
use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Starts a plan and waits until something listens at the port.
fn run(pond: &mut Pond, config: &str, port: u16) {
    fs::write(pond.path("logpond.yaml"), config).expect("a config");
    let command = pond.command(&["run", "-c", "logpond.yaml", "--data-dir", "data"]);
    pond.start(command);
    pond.wait_for("the input", |_| TcpStream::connect(("127.0.0.1", port)).ok());
}

/// The events in a file of JSON lines; the last line may be torn.
fn events(pond: &Pond, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(pond.path(name)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What was answered 200 is in the output, however often the program is killed.
#[test]
fn what_was_answered_survives_kill_minus_nine() {
    const KILLS: usize = 5;
    const SENDERS: u64 = 4;
    let mut pond = Pond::new();
    let port = free_port();
    let config = format!(
        "inputs: {{web: {{http: {{listen: [\"127.0.0.1:{port}\"]}}}}}}\noutputs: {{out: {{file: {{path: {:?}}}}}}}\n",
        pond.path("out.ndjson")
    );
    let answered: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (next, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (answered, next, is_over) = (answered.clone(), next.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let first = next.fetch_add(10, Ordering::SeqCst);
                    let body: Vec<Value> =
                        (first..first + 10).map(|n| serde_json::json!({ "n": n })).collect();
                    let body = serde_json::to_string(&body).expect("JSON");
                    let address = format!("127.0.0.1:{port}");
                    let sent = http::request(&address, "POST", "/", "application/json", &body, PATIENCE);
                    match sent {
                        Ok(answer) if answer.status == 200 => {
                            answered.lock().expect("a lock").extend(first..first + 10);
                        }
                        _ => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            })
        })
        .collect();
    for _ in 0..KILLS {
        run(&mut pond, &config, port);
        let before = answered.lock().expect("a lock").len();
        pond.wait_for("some answers", |_| {
            (answered.lock().expect("a lock").len() > before + 50).then_some(())
        });
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..200)));
        pond.kill();
    }
    is_over.store(true, Ordering::SeqCst);
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    run(&mut pond, &config, port);
    let answered = answered.lock().expect("a lock").clone();
    assert!(answered.len() >= KILLS * 50, "{}", answered.len());
    let mut missing = Vec::new();
    pond.wait_for("all that was answered", |pond| {
        let there: std::collections::HashSet<u64> =
            events(pond, "out.ndjson").iter().filter_map(|event| event["n"].as_u64()).collect();
        missing = answered.iter().copied().filter(|n| !there.contains(n)).collect();
        missing.is_empty().then_some(())
    });
    let status = pond.stop();
    assert!(status.success(), "{status}: {}", pond.said());
}

/// Whoever sees that the program listens may ask it to end, and it ends in order.
#[test]
fn a_program_that_just_began_to_listen_ends_when_asked() {
    for _ in 0..20 {
        let mut pond = Pond::new();
        let port = free_port();
        let config = format!(
            "inputs: {{web: {{http: {{listen: [\"127.0.0.1:{port}\"]}}}}}}\noutputs: {{out: {{blackhole: {{}}}}}}\n"
        );
        run(&mut pond, &config, port);
        let status = pond.stop();
        assert!(status.success(), "{status}: {}", pond.said());
    }
}

/// util-linux's `logger` by both protocols and in both formats, and Logstash's config of the same.
#[test]
fn logger_is_understood() {
    let is_there =
        Command::new("logger").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_there, "logger is missing: install bsdutils (Debian) or util-linux");
    let mut pond = Pond::new();
    let (own, foreign) = (free_port(), free_port());
    let out = pond.path("own.ndjson");
    let config = format!(
        "inputs: {{net: {{syslog: {{listen: [\"127.0.0.1:{own}\"]}}}}}}\noutputs: {{out: {{file: {{path: {out:?}}}}}}}\n"
    );
    run(&mut pond, &config, own);
    log(own);
    let found = pond.wait_for("all messages", |pond| {
        let found = events(pond, "own.ndjson");
        (found.len() >= 4).then_some(found)
    });
    for event in &found {
        assert_eq!(event["process"]["name"], "probe", "{event}");
        assert_eq!(event["log"]["syslog"]["facility"]["name"], "local3", "{event}");
        assert_eq!(event["log"]["syslog"]["severity"]["name"], "warning", "{event}");
        assert_eq!(event["source"]["ip"], "127.0.0.1", "{event}");
        assert!(event["host"]["hostname"].as_str().is_some_and(|name| !name.is_empty()), "{event}");
        assert!(event["tags"].is_null(), "{event}");
    }
    let mut said: Vec<&str> = found.iter().filter_map(|event| event["message"].as_str()).collect();
    said.sort_unstable();
    assert_eq!(said, ["tcp new", "tcp old", "udp new", "udp old"]);
    let old = found.iter().find(|event| event["message"] == "udp old").expect("it is there");
    assert_eq!(old["process"]["pid"], 4711, "{old}");
    assert!(pond.stop().success());

    let mut pond = Pond::new();
    let out = pond.path("foreign.ndjson");
    let config = format!(
        "input {{ syslog {{ host => \"127.0.0.1\" port => {foreign} }} }}\noutput {{ file {{ path => {:?} codec => json_lines }} }}\n",
        out.display().to_string()
    );
    fs::write(pond.path("a.conf"), config).expect("a config");
    let command = pond.command(&["run", "-c", "a.conf", "--data-dir", "data"]);
    pond.start(command);
    pond.wait_for("the input", |_| TcpStream::connect(("127.0.0.1", foreign)).ok());
    log(foreign);
    let found = pond.wait_for("all messages", |pond| {
        let found = events(pond, "foreign.ndjson");
        (found.len() >= 4).then_some(found)
    });
    let old = found.iter().find(|event| event["message"] == "udp old\n" || event["message"] == "udp old");
    let old = old.unwrap_or_else(|| panic!("{found:#?}"));
    for (name, value) in [
        ("priority", Value::from(156)),
        ("facility", 19.into()),
        ("severity", 4.into()),
        ("facility_label", "local3".into()),
        ("severity_label", "Warning".into()),
        ("program", "probe".into()),
        ("pid", "4711".into()),
        ("host", "127.0.0.1".into()),
    ] {
        assert_eq!(old[name], value, "{name}: {old:#}");
    }
    // What follows RFC 5424 is no syslog for that input.
    let new =
        found.iter().find(|event| event["message"].as_str().is_some_and(|text| text.contains("udp new")));
    let new = new.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(new["tags"][0], "_grokparsefailure_sysloginput", "{new:#}");
    assert_eq!(new["priority"], 13, "{new:#}");
    assert!(pond.stop().success());
}

/// Says four things.
fn log(port: u16) {
    for (protocol, flag) in [("udp", "--udp"), ("tcp", "--tcp")] {
        for (form, rfc) in [("old", "--rfc3164"), ("new", "--rfc5424")] {
            let status = Command::new("logger")
                .args(["--server", "127.0.0.1", "--port", &port.to_string(), flag, rfc])
                .args(["--priority", "local3.warning", "--tag", "probe", "--id=4711"])
                .arg(format!("{protocol} {form}"))
                .status();
            assert!(status.expect("logger runs").success());
        }
    }
}

/// Datagrams, commands and heartbeats come together in one pipeline.
#[test]
fn small_inputs() {
    let mut pond = Pond::new();
    let (port, web) = (free_port(), free_port());
    let out = pond.path("out.ndjson");
    let config = format!(
        "inputs:\n  \
           beat: {{heartbeat: {{interval: 50ms, count: 3}}}}\n  \
           load: {{exec: {{command: \"echo hello; exit 2\", interval: 1h}}}}\n  \
           data: {{udp: {{listen: [\"127.0.0.1:{port}\"], codec: json}}}}\n  \
           web: {{http: {{listen: [\"127.0.0.1:{web}\"]}}}}\n\
         outputs: {{out: {{file: {{path: {out:?}}}}}}}\n"
    );
    run(&mut pond, &config, web);
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sender.send_to(br#"[{"n":1},{"n":2}]"#, ("127.0.0.1", port)).expect("it is sent");
    let found = pond.wait_for("all events", |pond| {
        let found = events(pond, "out.ndjson");
        (found.len() >= 6).then_some(found)
    });
    let count = |is: &dyn Fn(&Value) -> bool| found.iter().filter(|event| is(event)).count();
    assert_eq!(count(&|event| event["event"]["sequence"].is_u64()), 3, "{found:#?}");
    assert_eq!(count(&|event| event["message"] == "hello\n" && event["process"]["exit_code"] == 2), 1);
    assert_eq!(count(&|event| event["n"].is_u64() && event["source"]["ip"] == "127.0.0.1"), 2);
    assert!(pond.stop().success());
}

/// Events go by two addresses, and the program ends when all that was read has arrived.
#[test]
fn pipelines_send_to_each_other() {
    const LINES: usize = 5_000;
    let mut pond = Pond::new();
    let (errors, all) = (pond.path("errors.ndjson"), pond.path("all.ndjson"));
    let config = format!(
        "pipelines:\n  \
           z:\n    \
             inputs: {{lines: {{generate: {{format: json, count: {LINES}}}}}}}\n    \
             filters: [{{json: {{}}}}]\n    \
             outputs:\n      \
               errors: {{pipeline: {{send_to: [errors]}}, when: '.level == \"error\"'}}\n      \
               all: {{pipeline: {{send_to: [all]}}}}\n  \
           b:\n    \
             inputs: {{z: {{pipeline: {{address: all}}}}}}\n    \
             outputs: {{out: {{file: {{path: {all:?}}}}}}}\n  \
           a:\n    \
             inputs: {{z: {{pipeline: {{address: errors}}}}}}\n    \
             queue: {{}}\n    \
             outputs: {{out: {{file: {{path: {errors:?}}}}}}}\n"
    );
    fs::write(pond.path("logpond.yaml"), config).expect("a config");
    let command = pond.command(&["run", "-c", "logpond.yaml", "--data-dir", "data"]);
    pond.start(command);
    pond.wait_end();
    let (errors, all) = (events(&pond, "errors.ndjson"), events(&pond, "all.ndjson"));
    assert_eq!(all.len(), LINES);
    let wanted = all.iter().filter(|event| event["level"] == "error").count();
    assert!(wanted > 0);
    assert_eq!(errors.len(), wanted);
}
