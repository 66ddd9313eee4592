//! `up`: files in, search out.

use crate::pond::{Pond, access_lines, certificate, free_port};
use std::fs;
use std::process::Command;

#[test]
fn lines_of_a_file_can_be_searched() {
    let mut pond = Pond::new();
    pond.append("access.log", &access_lines(0..1_000));
    pond.up(&["access.log"]);
    pond.wait_count(1_000);
    let found = pond.get("/logs-*/_search?q=status:500&size=3&sort=@timestamp:desc").expect("an answer");
    assert_eq!(found["hits"]["total"]["value"], 100, "{found:#}");
    let source = &found["hits"]["hits"][0]["_source"];
    assert_eq!(source["status"], 500, "{source:#}");
    assert!(source["@timestamp"].as_str().expect("a time").starts_with("2026-11-21T02:"), "{source:#}");
    assert!(source["log"]["file"]["path"].as_str().expect("a path").ends_with("access.log"), "{source:#}");
    pond.append("access.log", &access_lines(1_000..1_500));
    pond.wait_count(1_500);
    pond.check_ledger(1_500);
    assert!(pond.stop().success());
}

#[test]
fn a_restart_neither_loses_nor_repeats() {
    let mut pond = Pond::new();
    pond.append("a.log", &access_lines(0..500));
    pond.up(&["a.log"]);
    pond.wait_count(500);
    assert!(pond.stop().success());
    pond.append("a.log", &access_lines(500..800));
    pond.up(&["a.log"]);
    pond.wait_count(800);
    pond.check_ledger(300);
    assert!(pond.stop().success());
}

#[test]
fn search_and_ledger_read_the_running_pond() {
    let mut pond = Pond::new();
    pond.append("a.log", &access_lines(0..100));
    pond.up(&["a.log"]);
    pond.wait_count(100);
    let at = pond.address().to_owned();
    let text = |command: &mut Command| {
        String::from_utf8(command.output().expect("the binary runs").stdout).expect("UTF-8")
    };
    let found = text(&mut pond.command(&["search", "status >= 500", "--at", &at, "--json"]));
    assert_eq!(found.lines().count(), 10, "{found}");
    let ledger = text(&mut pond.command(&["ledger", "--at", &at]));
    assert!(ledger.contains("delivered") && ledger.contains("a.log"), "{ledger}");
}

#[test]
fn a_pond_with_users_and_certificates_is_asked_too() {
    let mut pond = Pond::new();
    let [cert, key] = certificate(&pond.path(""));
    let port = free_port();
    pond.append("a.log", &access_lines(0..100));
    let api =
        format!("{{listen: '127.0.0.1:{port}', tls: {{cert: {cert}, key: {key}}}, users: {{ann: s3cret}}}}");
    let config = format!(
        "api: {api}\ninputs: {{f: {{file: {{paths: [a.log]}}}}}}\nfilters: [auto]\noutputs: {{s: store}}\n"
    );
    fs::write(pond.path("pond.yml"), config).expect("a config");
    let command = pond.command(&["run", "-c", "pond.yml"]);
    pond.start(command);
    let secure = format!("https://localhost:{port}");
    pond.wait_for("where it is", |pond| {
        pond.said().contains(&format!("https://127.0.0.1:{port}")).then_some(())
    });

    let ask = |pond: &Pond, command: &str, at: &str, more: &[&str]| {
        let mut command = pond.command(&[command, "--at", at, "--json"]);
        let output = command.args(more).env("LOGPOND_PASSWORD", "s3cret").output().expect("the binary runs");
        (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let known = ["--ca", &cert, "--user", "ann"];
    pond.wait_for("events", |pond| {
        let (found, said) = ask(pond, "search", &secure, &known);
        assert!(said.is_empty(), "{said}");
        (found.lines().count() == 100).then_some(())
    });
    // Who names a certificate means TLS.
    assert!(ask(&pond, "ledger", &format!("localhost:{port}"), &known).0.contains("delivered"));
    for (more, expected) in [
        (&["--ca", &cert][..], "--user"),
        (&["--user", "ann"], "certificate"),
        (&["--insecure", "--user", "bob"], "--user"),
    ] {
        let (out, said) = ask(&pond, "ledger", &secure, more);
        assert!(out.is_empty() && said.contains(expected), "{more:?}: {said}");
    }
    let (_, said) = ask(&pond, "ledger", &format!("localhost:{}", free_port()), &[]);
    assert!(said.contains("no pond answers at") && said.contains("logpond up FILE"), "{said}");
}
