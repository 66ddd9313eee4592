//! Configs of Logstash, run by the program.

use crate::pond::binary;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env("SITE", "north")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const CONFIG: &str = r##"
input { stdin { type => "web" add_field => { "site" => "${SITE}" } } }
filter {
  grok { match => { "message" => "%{WORD:verb} %{INT:status:int}( %{GREEDYDATA:rest})?" } }
  if "_grokparsefailure" in [tags] {
    mutate { replace => { "verb" => "none" } }
  } else if [status] >= 500 {
    mutate { add_tag => ["bad", "%{verb}"] remove_field => "rest" }
  } else {
    drop { }
  }
  mutate { remove_field => ["host", "[@metadata]"] gsub => ["message", "\d", "#"] }
}
output {
  if "bad" in [tags] { file { path => "FOLDER/%{site}-%{verb}.log" codec => line { format => "%{verb} %{status} %{tags} %{message}" } } }
  else { file { path => "FOLDER/rest.log" codec => json_lines } }
}
"##;

#[test]
fn a_config_runs_and_its_translation_does_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let out = |name: &str| fs::read_to_string(at.join("out").join(name)).unwrap_or_default();
    let lines = "GET 503 a\nPUT 200\nGET 500\n???\n";
    fs::create_dir(at.join("out")).expect("a folder");
    fs::write(at.join("a.conf"), CONFIG.replace("FOLDER", &at.join("out").display().to_string()))
        .expect("a config");

    let found = run(at, &["translate", "a.conf"], "");
    assert!(found.status.success(), "{}", text(&found.stderr));
    fs::write(at.join("plan.yaml"), &found.stdout).expect("a config");

    let ways: [&[&str]; 2] = [
        &["run", "-f", "a.conf", "--path.data", "one", "-w", "1", "--until-idle"],
        &["run", "-c", "plan.yaml", "--data-dir", "two", "--until-idle"],
    ];
    for way in ways {
        let found = run(at, way, lines);
        assert!(found.status.success(), "{}", text(&found.stderr));
        assert_eq!(out("north-GET.log"), "GET 503 bad,GET GET ### a\nGET 500 bad,GET GET ###\n");
        let rest: serde_json::Value = serde_json::from_str(&out("rest.log")).expect("a line of JSON");
        assert_eq!(
            rest,
            serde_json::json!({"@timestamp": rest["@timestamp"], "message": "???", "@version": "1", "type": "web",
                "site": "north", "tags": ["_grokparsefailure"], "verb": "none"})
        );
        fs::remove_dir_all(at.join("out")).expect("the folder goes");
        fs::create_dir(at.join("out")).expect("a folder");
    }
}

#[test]
fn the_letters_of_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let found = run(at, &["run", "-t", "-e", "filter { mutate { } }"], "");
    assert!(
        found.status.success() && text(&found.stdout).ends_with("Configuration OK\n"),
        "{}",
        text(&found.stderr)
    );
    let config =
        "input { generator { message => 'hi' count => 2 } } output { stdout { codec => rubydebug } }";
    let found = run(at, &["run", "-e", config, "--path.data", "d", "--until-idle"], "");
    let said = text(&found.stdout);
    assert_eq!(said.matches("\"message\" => \"hi\"").count(), 2, "{said}{}", text(&found.stderr));
    assert!(said.contains("\"sequence\" => 1"), "{said}");
    let found = run(at, &["check", "-e", "filter { grko { } }"], "");
    assert!(!found.status.success());
    let said = text(&found.stderr);
    assert!(said.contains("config.string:1:10: unknown filter \"grko\"; did you mean \"grok\"?"), "{said}");
    let found = run(at, &["check"], "");
    assert!(text(&found.stderr).contains("a config is missing"), "{}", text(&found.stderr));
}
