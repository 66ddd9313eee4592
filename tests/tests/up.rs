//! `up`: files in, search out.

use crate::pond::{Pond, access_lines};
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
    let at = pond.wait_for("the address", |pond| {
        let said = pond.said();
        Some(
            said[said.find("http://")? + 7..]
                .split(|c: char| c.is_whitespace() || c == '/')
                .next()?
                .to_owned(),
        )
    });
    let text = |command: &mut Command| {
        String::from_utf8(command.output().expect("the binary runs").stdout).expect("UTF-8")
    };
    let found = text(&mut pond.command(&["search", "status >= 500", "--at", &at, "--json"]));
    assert_eq!(found.lines().count(), 10, "{found}");
    let ledger = text(&mut pond.command(&["ledger", "--at", &at]));
    assert!(ledger.contains("delivered") && ledger.contains("a.log"), "{ledger}");
}
