//! Looking into a running pond, and acting on its dead letters: `top`, `tap`, `dead-letters`.

use crate::http;
use crate::pond::{PATIENCE, Pond, binary};
use crate::terminal::Terminal;
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A pond with this config, in which DIR is its directory.
fn pond_of(config: &str) -> Pond {
    let pond = Pond::new();
    configure(&pond, config);
    pond
}

fn configure(pond: &Pond, config: &str) {
    let config = config.replace("DIR", pond.folder.path().to_str().expect("UTF-8"));
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
}

/// Starts it, and waits until it answers at its socket.
fn start(pond: &mut Pond) {
    let data = pond.data();
    let command = pond.command(&["run", "-c", "logpond.yaml", "--data-dir", data.to_str().expect("UTF-8")]);
    pond.start(command);
    pond.wait_for("the control socket", |pond| pond.said().contains("running").then_some(()));
}

/// Runs a command about the pond.
fn ask(pond: &Pond, arguments: &[&str]) -> Output {
    let mut command = pond.command(arguments);
    command.arg("--data-dir").arg(pond.data()).output().expect("the binary starts")
}

/// What a command about the pond prints; it must succeed.
#[track_caller]
fn told(pond: &Pond, arguments: &[&str]) -> String {
    let output = ask(pond, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn letters(pond: &Pond, more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["dead-letters", "list", "--json", "--limit", "0"];
    arguments.extend(more);
    told(pond, &arguments).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn stats(pond: &Pond) -> Value {
    serde_json::from_str(&told(pond, &["top", "--json", "--interval", "100ms"])).expect("JSON")
}

fn wait_letters(pond: &mut Pond, wanted: u64) {
    pond.wait_for(&format!("{wanted} dead letters"), |pond| {
        let found: Value =
            serde_json::from_str(&told(pond, &["dead-letters", "list", "--stats", "--json"])).ok()?;
        let letters = found["summary"]["letters"].as_u64()?;
        assert!(letters <= wanted, "{letters} letters, more than {wanted}");
        (letters == wanted).then_some(())
    });
}

#[test]
fn letters_are_replayed_once_their_cause_is_gone() {
    let mut store = Pond::new();
    store.up(&[]);
    let address = store.address().to_owned();
    let ask_store = |method: &str, path: &str, body: &str| {
        let answer =
            http::request(&address, method, path, "application/json", body, PATIENCE).expect("an answer");
        serde_json::from_slice::<Value>(&answer.body).expect("JSON")
    };
    let count = || {
        ask_store("POST", "/idx/_refresh", "");
        ask_store("GET", "/idx/_count", "")["count"].as_u64().unwrap_or(0)
    };
    assert_eq!(ask_store("PUT", "/idx/_doc/first?refresh=true", "{\"n\":1}")["result"], "created");

    let mut pond = pond_of(&format!(
        "inputs: {{i: {{file: {{paths: ['DIR/in.log']}}}}}}\nfilters: [{{json: {{}}}}]\noutputs: {{es: {{elasticsearch: {{endpoints: ['http://{address}'], index: idx, id: event}}}}}}\n"
    ));
    for n in 0..40 {
        let value = if n < 20 { format!("{n}") } else { format!("\"word {n}\"") };
        pond.append("in.log", &format!("{{\"n\":{value},\"message\":\"line {n}\"}}\n"));
    }
    start(&mut pond);
    wait_letters(&mut pond, 20);

    // What is told agrees, whoever tells it.
    let view = pond.wait_for("an empty pipeline", |pond| {
        let view = stats(pond);
        (view["pipelines"][0]["ledger"]["outputs"][0]["in_flight"] == 0).then_some(view)
    });
    let pipeline = &view["pipelines"][0];
    let (output, ledger) = (&pipeline["outputs"][0], &pipeline["ledger"]["outputs"][0]);
    assert_eq!((&output["delivered"], &output["dead"]), (&json!(20), &json!(20)), "{view:#}");
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"], &ledger["balanced"]),
        (&json!(20), &json!(20), &json!(true))
    );
    assert_eq!((&pipeline["ledger"]["read"], &pipeline["inputs"][0]["events"]), (&json!(40), &json!(40)));
    assert_eq!((&output["state"], &view["dead_letters"]["letters"]), (&json!("refused"), &json!(20)));
    assert!(output["last_refusal"]["text"].as_str().expect("a reason").contains("n"), "{output:#}");
    let table = told(&pond, &["top", "--once"]);
    assert!(table.contains("dead letters 20") && table.contains("refused"), "{table}");

    // Which letters can be said in several ways.
    assert_eq!(letters(&pond, &[]).len(), 20);
    let one = letters(&pond, &["--where", ".event.n == \"word 23\" && .output == \"es\""]);
    assert_eq!((one.len(), &one[0]["event"]["message"]), (1, &json!("line 23")));
    assert!(letters(&pond, &["--output", "other"]).is_empty());
    let counted = told(&pond, &["dead-letters", "list", "--stats"]);
    assert!(counted.contains("es: ") && counted.contains("20"), "{counted}");
    let wrong = ask(&pond, &["dead-letters", "list", "--where", "n > 5"]);
    assert!(
        !wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains(".event.status"),
        "{wrong:?}"
    );

    // The cause is still there: each is a dead letter again.
    let again: Value =
        serde_json::from_str(&told(&pond, &["dead-letters", "replay", "--limit", "3", "--json"]))
            .expect("JSON");
    assert_eq!((&again["replayed"], &again["found"]), (&json!(3), &json!(3)));
    wait_letters(&mut pond, 20);

    assert_eq!(count(), 21);
    ask_store("DELETE", "/idx", "");
    let done = told(&pond, &["dead-letters", "replay", "--where", ".event.n == \"word 30\""]);
    assert_eq!(done, "1 of 1 dead letters replayed\n");
    wait_letters(&mut pond, 19);
    assert_eq!(told(&pond, &["dead-letters", "replay"]), "19 of 19 dead letters replayed\n");
    assert_eq!(count(), 20);
    assert!(letters(&pond, &[]).is_empty());
    let view = stats(&pond);
    let ledger = &view["pipelines"][0]["ledger"]["outputs"][0];
    assert_eq!(
        (&ledger["delivered"], &ledger["dead"], &ledger["replayed"], &ledger["balanced"]),
        (&json!(40), &json!(23), &json!(23), &json!(true)),
        "{ledger:#}"
    );
    assert!(pond.stop().success());
}

/// Numbered lines that an output with this file refuses, since they have no site.
const REFUSING: &str = "inputs: {i: {file: {paths: ['DIR/in.log']}}}\nqueue: {}\noutputs: {f: {file: {path: 'DIR/out/%{site}.log', codec: raw}}}\n";
const TAKING: &str = "inputs: {i: {file: {paths: ['DIR/in.log']}}}\nqueue: {}\noutputs: {f: {file: {path: 'DIR/out/all.log', codec: raw}}}\n";

/// A pond that stands with so many dead letters.
fn refused(count: u64) -> Pond {
    let mut pond = pond_of(REFUSING);
    let lines: String = (0..count).map(|n| format!("line {n:06}\n")).collect();
    pond.append("in.log", &lines);
    start(&mut pond);
    wait_letters(&mut pond, count);
    assert!(pond.stop().success());
    pond
}

/// How often each line came out.
fn written(pond: &Pond) -> BTreeMap<String, u64> {
    let mut lines = BTreeMap::new();
    let text = std::fs::read_to_string(pond.path("out/all.log")).unwrap_or_default();
    text.lines().for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
    lines
}

#[test]
fn a_replay_that_is_killed_loses_nothing() {
    const LINES: u64 = 12_000;
    let mut pond = refused(LINES);
    configure(&pond, TAKING);
    let mut kills = 0;
    for pause in [0, 15, 40, 80] {
        start(&mut pond);
        let replay = pond
            .command(&["dead-letters", "replay", "--data-dir"])
            .arg(pond.data())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        std::thread::sleep(Duration::from_millis(pause));
        pond.kill();
        let output = replay.wait_with_output().expect("it ends");
        kills += u64::from(!output.status.success());
        let left = letters(&pond, &[]).len() as u64;
        assert!(left <= LINES, "{left} letters");
    }
    assert!(kills > 0, "no replay was cut off");
    start(&mut pond);
    told(&pond, &["dead-letters", "replay"]);
    wait_letters(&mut pond, 0);
    let lines = pond.wait_for("all lines", |pond| {
        let lines = written(pond);
        (lines.len() as u64 == LINES && stats(pond)["pipelines"][0]["queue"]["events"] == 0).then_some(lines)
    });
    let twice: u64 = lines.values().map(|count| count - 1).sum();
    // What was in the queue and not noted as gone: some batches for each kill, and of each kill
    // what the file output had not acknowledged.
    assert!(twice <= (kills + 4) * 5_000, "{twice} lines stand there again after {kills} kills");
    assert!(pond.stop().success());
}

#[test]
fn letters_of_a_pond_that_does_not_run() {
    let mut pond = refused(30);
    assert_eq!(letters(&pond, &[]).len(), 30);
    configure(&pond, TAKING);
    let lost = ask(&pond, &["dead-letters", "replay"]);
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(
        !lost.status.success() && said.contains("logpond run -c FILE") && said.contains("-c FILE to run"),
        "{said}"
    );
    let done = told(&pond, &["dead-letters", "replay", "-c", "logpond.yaml", "--limit", "10"]);
    assert_eq!(done, "10 of 10 dead letters replayed\n");
    let lines = written(&pond);
    assert_eq!((lines.len(), lines.values().sum::<u64>()), (10, 10));
    assert_eq!(lines.keys().next().map(String::as_str), Some("line 000000"));

    let unsure = ask(&pond, &["dead-letters", "drop", "--where", "contains(.event.message, \"0001\")"]);
    let said = String::from_utf8_lossy(&unsure.stderr).into_owned();
    assert!(!unsure.status.success() && said.contains("--yes") && said.contains("10 dead letters"), "{said}");
    let some = ["dead-letters", "drop", "--yes", "--where", "contains(.event.message, \"0001\")"];
    assert_eq!(told(&pond, &some), "10 dead letters dropped\n");
    assert_eq!(letters(&pond, &[]).len(), 10);
    start(&mut pond);
    assert_eq!(told(&pond, &["dead-letters", "drop", "--yes", "--limit", "4"]), "4 dead letters dropped\n");
    assert_eq!(told(&pond, &["dead-letters", "replay"]), "6 of 6 dead letters replayed\n");
    pond.wait_for("the lines", |pond| (written(pond).len() == 16).then_some(()));
    assert_eq!(told(&pond, &["dead-letters", "drop"]), "there are no such dead letters\n");
    assert!(pond.stop().success());
}

#[test]
fn a_tap_shows_events_where_they_pass() {
    let mut pond = pond_of(
        "inputs: {made: {generate: {rate: 5000}}}\nfilters:\n  - set: {fields: {step: one}}\n  - if: starts_with(.message, \"none\")\n    then: [{drop: {}}]\n  - set: {fields: {step: two}}\noutputs: {hole: {blackhole: {}}, f: {file: {path: 'DIR/%{nothing}.log', codec: raw}, when: 'ends_with(.message, \"77ms\")'}}\n",
    );
    start(&mut pond);
    let points = told(&pond, &["tap", "--list"]);
    let names: Vec<&str> = points.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected = [
        "inputs.made",
        "filters.0:in",
        "filters.0:out",
        "filters.1.then.0:in",
        "filters.1.then.0:out",
        "filters.2:in",
        "filters.2:out",
        "outputs.f",
        "outputs.f:refused",
        "outputs.hole",
        "outputs.hole:refused",
    ];
    assert_eq!(names, expected);

    let tap = |more: &[&str]| {
        let mut arguments = vec!["tap", "--format", "json"];
        arguments.extend(more);
        let output = ask(&pond, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let events: Vec<Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        (events, said)
    };
    let (events, said) = tap(&["hole", "--rate", "20", "--limit", "15"]);
    assert_eq!(events.len(), 15, "{said}");
    assert!(events.iter().all(|event| event["point"] == "outputs.hole" && event["event"]["step"] == "two"));
    let left_out: u64 = said
        .rsplit_once(" shown, ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .expect("a count");
    assert!(left_out > 500, "{said}");
    let (events, _) =
        tap(&["inputs.made", "filters[0]:in", "filters.0", "filters.2", "--rate", "400", "--limit", "200"]);
    let steps: BTreeMap<&str, &str> = events
        .iter()
        .filter_map(|event| {
            Some((event["point"].as_str()?, event["event"]["step"].as_str().unwrap_or("none")))
        })
        .collect();
    let expected = [
        ("filters.0:in", "none"),
        ("filters.0:out", "one"),
        ("filters.2:out", "two"),
        ("inputs.made", "none"),
    ];
    assert_eq!(steps, BTreeMap::from(expected));
    // What is asked for is picked out of everything, not out of what the rate lets through.
    for by in [["--query", "message: *77ms"], ["--where", "ends_with(.message, \"77ms\")"]] {
        let (events, said) = tap(&["made", by[0], by[1], "--rate", "1000", "--limit", "20"]);
        assert!(events.len() == 20 && said.contains(" 0 left out"), "{said}");
        let ends =
            |event: &Value| event["event"]["message"].as_str().is_some_and(|text| text.ends_with("77ms"));
        assert!(events.iter().all(ends), "{events:?}");
    }
    let (events, _) = tap(&["f", "--refused", "--limit", "3"]);
    let is_refused = |event: &Value| {
        event["point"] == "outputs.f:refused"
            && event["reason"].as_str().is_some_and(|why| why.contains("nothing"))
    };
    assert!(events.len() == 3 && events.iter().all(is_refused), "{events:?}");

    let lost = ask(&pond, &["tap", "nowhere"]);
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(!lost.status.success() && said.contains("there are inputs.made, filters.0:in"), "{said}");
    let lines = told(&pond, &["tap", "--limit", "2"]);
    assert!(lines.lines().count() == 2 && lines.contains("outputs."), "{lines}");
    // A tap that is open does not hold up the end.
    let mut command = pond.command(&["tap", "made", "--data-dir"]);
    let open = command.arg(pond.data()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut open = Ended(open);
    let mut first = [0];
    open.0.stdout.take().expect("a pipe").read_exact(&mut first).expect("an event");
    let began = Instant::now();
    assert!(pond.stop().success());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    open.0.wait().expect("it ends");
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn top_draws_and_ends_by_a_key() {
    let mut pond = pond_of("inputs: {made: {generate: {rate: 500}}}\noutputs: {hole: {blackhole: {}}}\n");
    start(&mut pond);
    let terminal = Terminal::new();
    let master = &terminal.master;
    let size = Winsize { ws_col: 60, ws_row: 16, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("a size");
    let before = terminal.modes();
    let mut top = Ended(
        Command::new(binary())
            .args(["top", "--interval", "100ms", "--data-dir"])
            .arg(pond.data())
            .stdin(terminal.open())
            .stdout(terminal.open())
            .spawn()
            .expect("the binary starts"),
    );
    let seen = Arc::new(Mutex::new(String::new()));
    let (reader, all) = (master.try_clone().expect("a descriptor"), seen.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = rustix::io::read(&reader, &mut buffer) {
            all.lock().expect("a lock").push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    let wait = |what: &str, text: &str| {
        let until = Instant::now() + PATIENCE;
        while !seen.lock().expect("a lock").contains(text) {
            let drawn = seen.lock().expect("a lock");
            let last = drawn.chars().skip(drawn.chars().count().saturating_sub(2_000));
            assert!(Instant::now() < until, "no {what}; it drew {:?}", last.collect::<String>());
            drop(drawn);
            std::thread::sleep(Duration::from_millis(20));
        }
        seen.lock().expect("a lock").clear();
    };
    let press = |key: &[u8]| assert_eq!(rustix::io::write(master, key), Ok(key.len()));
    wait("the other screen", "\x1b[?1049h");
    wait("an output", "hole");
    wait("a footer", "by name  q end");
    press(b"s");
    wait("another order", "by rate");
    press(b"p");
    wait("a pause", "paused");
    press(b"p?");
    wait("help", "stop and go on");
    press(b"?");
    let narrow = Winsize { ws_col: 30, ..size };
    tcsetwinsize(master, narrow).expect("a size");
    wait("less room", "bottleneck: none");
    // The pond goes and comes again; whoever looks stays.
    pond.kill();
    wait("the loss", "nothing runs here");
    start(&mut pond);
    wait("the pond again", "by rate");
    press(b"q");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = top.0.try_wait().expect("a child") {
            break status;
        }
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success());
    wait("the first screen", "\x1b[?1049l");
    let after = terminal.modes();
    assert_eq!((before.local_modes, before.input_modes), (after.local_modes, after.input_modes));
    assert!(pond.stop().success());
}

#[test]
fn the_socket_is_its_owners_and_survives_a_kill() {
    let mut pond = pond_of("inputs: {made: {generate: {rate: 100}}}\noutputs: {hole: {blackhole: {}}}\n");
    let none = ask(&pond, &["top", "--once"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        !none.status.success() && said.contains("nothing runs in") && said.contains("logpond run -c"),
        "{said}"
    );
    start(&mut pond);
    let socket = pond.data().join("control.sock");
    let meta = std::fs::metadata(&socket).expect("a socket");
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    pond.kill();
    assert!(socket.exists());
    assert!(!ask(&pond, &["tap"]).status.success());
    assert_eq!(told(&pond, &["dead-letters", "list"]), "");
    start(&mut pond);
    assert_eq!(stats(&pond)["pipelines"][0]["inputs"][0]["name"], "made");
    // The config says where it is, too.
    let mut config = std::fs::read_to_string(pond.path("logpond.yaml")).expect("a config");
    config.push_str(&format!("data_dir: {}\n", pond.data().display()));
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    let output = pond.command(&["top", "--once", "-c", "logpond.yaml"]).output().expect("the binary starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("pipeline main"), "{output:?}");
    assert!(pond.stop().success());
    assert!(!socket.exists());
}
