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
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pond and its address as clients want it.
fn pond() -> (Pond, String) {
    let mut pond = Pond::new();
    pond.up(&[]);
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
            done(Command::new("python3").args(["-m", "pip", "install", "-q", "--target"]).arg(&folder).arg(wanted));
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
