//! The official clients of Elasticsearch, versions 7 and 8, against the store's API.
//!
//! The programs are in `tests/clients/`; their packages come from the registries into `clients/`
//! of the cache (`$LOGPOND_CACHE`, `~/.cache/logpond`), the first time that a test needs them.

use crate::pond::Pond;
use crate::services::{filebeat, go};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A folder of the cache with what was installed into it, which is done once and wholly or not at all.
fn installed(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/logpond");
    let root = std::env::var_os("LOGPOND_CACHE").map_or_else(home, PathBuf::from).join("clients");
    let folder = root.join(name);
    if !folder.exists() {
        fs::create_dir_all(&root).expect("room");
        let new = tempfile::Builder::new().prefix("new").tempdir_in(&root).expect("room");
        install(new.path());
        let moved = fs::rename(new.keep(), &folder);
        assert!(moved.is_ok() || folder.exists(), "{}: {moved:?}", folder.display());
    }
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
    for version in ["7.17.13", "8.19.3"] {
        let folder = installed(&format!("python-{version}"), |folder| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "--target"]);
            done(pip.arg(folder).arg(format!("elasticsearch=={version}")));
        });
        let program = sources().join("client.py");
        // Points in time are asked for where there is a second word: real servers without x-pack have none.
        let said = done(Command::new("python3").arg(program).args([&url, "pit"]).env("PYTHONPATH", folder));
        assert_eq!(said.trim(), "ok", "version {version}");
    }
}

#[test]
fn clients_in_javascript() {
    let (_pond, url) = pond();
    let folder = installed("js-7.17.14-8.19.2", |folder| {
        fs::write(folder.join("package.json"), "{\"private\": true}").expect("room");
        let packages = ["es7@npm:@elastic/elasticsearch@7.17.14", "es8@npm:@elastic/elasticsearch@8.19.2"];
        done(Command::new("npm").args(["install", "--silent"]).args(packages).current_dir(folder));
    });
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
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["main.go", "go.mod", "go.sum"] {
        fs::copy(sources().join("go").join(file), folder.path().join(file)).expect("room");
    }
    done(Command::new(go()).args(["build", "-o", "client", "."]).current_dir(folder.path()));
    let said = done(Command::new(folder.path().join("client")).arg(&url));
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

#[test]
fn filebeat_writes_to_the_store() {
    const LINES: u64 = 2_000;
    let (mut pond, _) = pond();
    let logs = tempfile::tempdir().expect("a folder");
    fs::create_dir(logs.path().join("shop")).expect("room");
    let lines: String = (0..LINES).map(|n| format!("line {n} of the shop\n")).collect();
    fs::write(logs.path().join("shop/a.log"), lines).expect("room");
    let own = tempfile::tempdir().expect("a folder");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/filebeat/filebeat-elasticsearch.yml");
    let mut shipper = filebeat(own.path(), &config);
    shipper.env("LOG_DIR", logs.path()).env("ES", pond.address());
    let mut shipper = shipper.spawn().expect("Filebeat starts");
    pond.wait_for("all lines", |pond| {
        let found = pond.get("/shop-*/_count")?["count"].as_u64()?;
        assert!(found <= LINES, "{found} documents");
        (found == LINES).then_some(())
    });
    shipper.kill().expect("it runs");
    shipper.wait().expect("its end");
    let found = pond.get("/shop-*/_search?q=message:1234&size=2").expect("an answer");
    assert_eq!(found["hits"]["total"]["value"], 1, "{found}");
    let document = &found["hits"]["hits"][0]["_source"];
    assert_eq!(document["message"], "line 1234 of the shop");
    assert_eq!(document["agent"]["version"], "7.17.29");
    // It brought its template, whose types hold.
    let types = pond.get("/shop-*/_mapping/field/log.offset").expect("an answer");
    assert!(types.to_string().contains("\"long\""), "{types}");
}
