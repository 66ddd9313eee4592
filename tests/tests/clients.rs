//! The official clients of Elasticsearch, versions 7 and 8, against the store's API.
//!
//! The programs are in `tests/clients/`; their packages come from the registries into `clients/`
//! of the cache (`$LOGPOND_CACHE`, `~/.cache/logpond`), the first time that a test needs them.

use crate::pond::Pond;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A folder of the cache, which is there.
fn cache(name: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/logpond");
    let root = std::env::var_os("LOGPOND_CACHE").map_or_else(home, PathBuf::from);
    let folder = root.join("clients").join(name);
    fs::create_dir_all(&folder).expect("room");
    folder
}

/// Runs a command to its end; what it said, or why it failed.
#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pond and its address as clients want it.
fn pond() -> (Pond, String) {
    let mut pond = Pond::new();
    // A file of its own: without one it follows those of the machine.
    pond.append("none.log", "");
    pond.up(&["none.log"]);
    let url = format!("http://{}", pond.address());
    (pond, url)
}

#[test]
fn clients_in_python() {
    let (_pond, url) = pond();
    for major in [7, 8] {
        let folder = cache(&format!("python-{major}"));
        if !folder.join("elasticsearch").exists() {
            let wanted = format!("elasticsearch>={major},<{}", major + 1);
            done(
                Command::new("python3")
                    .args(["-m", "pip", "install", "-q", "--target"])
                    .arg(&folder)
                    .arg(wanted),
            );
        }
        let program = sources().join("client.py");
        // Points in time are asked for where there is a second word: real servers without x-pack have none.
        let said = done(Command::new("python3").arg(program).args([&url, "pit"]).env("PYTHONPATH", folder));
        assert_eq!(said.trim(), "ok", "version {major}");
    }
}

#[test]
fn clients_in_javascript() {
    let (_pond, url) = pond();
    let folder = cache("js");
    if !folder.join("node_modules/es8").exists() {
        fs::write(folder.join("package.json"), "{\"private\": true}").expect("room");
        let packages = ["es7@npm:@elastic/elasticsearch@7.17", "es8@npm:@elastic/elasticsearch@8"];
        done(Command::new("npm").args(["install", "--silent"]).args(packages).current_dir(&folder));
    }
    for package in ["es7", "es8"] {
        let program = sources().join("client.mjs");
        let package = folder.join("node_modules").join(package);
        let said = done(Command::new("node").arg(program).arg(package).arg(&url));
        assert_eq!(said.trim(), "ok");
    }
}

#[test]
fn clients_in_go() {
    let (_pond, url) = pond();
    let folder = cache("go");
    for file in ["main.go", "go.mod", "go.sum"] {
        fs::copy(sources().join("go").join(file), folder.join(file)).expect("room");
    }
    done(Command::new("go").args(["build", "-o", "client", "."]).current_dir(&folder));
    let said = done(Command::new(folder.join("client")).arg(&url));
    assert_eq!(said.trim(), "ok");
}

/// Where Debian has rsyslog's output to Elasticsearch (the package rsyslog-elasticsearch).
const OMELASTICSEARCH: &str = "/usr/lib/x86_64-linux-gnu/rsyslog/omelasticsearch.so";

#[test]
fn rsyslog_writes_to_the_store() {
    const LINES: usize = 300;
    if !Path::new(OMELASTICSEARCH).exists() {
        println!("passed over: no {OMELASTICSEARCH}");
        return;
    }
    let (mut pond, _) = pond();
    let lines: String = (0..LINES).map(|n| format!("line {n} of \"a log\"\n")).collect();
    pond.append("in.log", &lines);
    let folder = pond.folder.path().display().to_string();
    let (host, port) = pond.address().split_once(':').expect("HOST:PORT");
    let config = format!(
        r#"global(workDirectory="{folder}")
module(load="imfile" mode="polling" pollingInterval="1")
module(load="omelasticsearch")
template(name="event" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
  property(outname="tag" name="syslogtag" format="jsonf")
}}
input(type="imfile" file="{folder}/in.log" tag="test" addMetadata="off")
action(type="omelasticsearch" server="{host}" serverport="{port}" searchIndex="rsyslog" searchType="_doc"
       template="event" bulkmode="on" errorFile="{folder}/refused.log")
"#
    );
    fs::write(pond.path("rsyslog.conf"), config).expect("room");
    let mut rsyslog = Command::new("rsyslogd")
        .args(["-n", "-i", "NONE", "-f"])
        .arg(pond.path("rsyslog.conf"))
        .spawn()
        .expect("rsyslogd starts");
    pond.wait_for("all lines", |pond| {
        let path = "/rsyslog/_count?q=tag:test&ignore_unavailable=true";
        let found = crate::http::request(pond.address(), "GET", path, "", "", crate::pond::PATIENCE).ok()?;
        let found: serde_json::Value = serde_json::from_slice(&found.body).ok()?;
        (found["count"] == LINES).then_some(())
    });
    rsyslog.kill().expect("it runs");
    rsyslog.wait().expect("its end");
    assert!(!pond.path("refused.log").exists());
}
