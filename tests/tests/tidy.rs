//! The walls of the architecture: each test is about what is absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// The text of every source of a crate, comments and tests' modules at the end left out.
fn code_of(name: &str) -> BTreeMap<PathBuf, String> {
    let mut found = Vec::new();
    sources(&root().join("crates").join(name).join("src"), &mut found);
    let strip = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        (path.clone(), lines.collect::<Vec<_>>().join("\n"))
    };
    found.into_iter().map(strip).collect()
}

#[track_caller]
fn absent(crates: &[&str], words: &[&str], why: &str) {
    for name in crates {
        for (path, code) in code_of(name) {
            for word in words {
                assert!(!code.contains(word), "{} holds {word:?}, but {why}", path.display());
            }
        }
    }
}

#[test]
fn tidy_pure_crates_do_no_io() {
    absent(
        &["event", "wire", "expr", "filters", "keystore"],
        &[
            "std::fs",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "ToSocketAddrs",
            "std::thread",
            "SystemTime",
            "Instant::now",
            "tokio",
            "std::env",
            "Utc::now",
            "Local::now",
        ],
        "these crates do no I/O, start no thread and read no clock",
    );
}

#[test]
fn tidy_only_the_edges_know_the_runtime() {
    absent(
        &["event", "wire", "expr", "filters", "keystore", "disk", "queue", "store", "dialects"],
        &["tokio::", "async fn"],
        "they are called, not awaited",
    );
}

#[test]
fn tidy_only_disk_renames_and_syncs() {
    absent(
        &["event", "wire", "expr", "filters", "keystore", "queue", "store", "dialects", "web", "cli"],
        &["fs::rename", "sync_all", "sync_data", "fdatasync", "fsync("],
        "files that must survive a power cut are the business of the crate disk",
    );
}

#[test]
fn tidy_the_queue_never_decodes_a_batch() {
    absent(&["queue", "disk"], &["event::", "serde"], "the queue never decodes a batch");
}

#[test]
fn tidy_only_web_knows_the_search_language_of_elasticsearch() {
    absent(
        &["store", "pipeline", "queue"],
        &["\"query_string\"", "\"minimum_should_match\"", "\"match_phrase\""],
        "the store has its own query type",
    );
}

#[test]
fn tidy_who_depends_on_whom() {
    let allowed: &[(&str, &[&str])] = &[
        ("event", &[]),
        ("wire", &["event"]),
        ("expr", &["event"]),
        ("filters", &["event", "expr"]),
        ("keystore", &[]),
        ("disk", &[]),
        ("queue", &["disk"]),
        ("store", &["event", "disk"]),
        ("pipeline", &["event", "wire", "expr", "filters", "disk", "queue", "store"]),
        ("dialects", &["event", "expr", "filters", "keystore", "pipeline"]),
        ("web", &["event", "wire", "disk", "store", "expr"]),
        (
            "cli",
            &[
                "event", "wire", "expr", "filters", "keystore", "disk", "queue", "store", "pipeline",
                "dialects", "web",
            ],
        ),
    ];
    let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in allowed {
        let manifest =
            fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).expect("a manifest");
        let manifest = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in manifest.lines() {
            let Some(dependency) = line.split(['.', ' ']).next().filter(|first| names.contains(first)) else {
                continue;
            };
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn tidy_no_folder_says_nothing() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    for path in found {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(
            !["util", "utils", "common_utils", "helper", "helpers", "misc", "manager"].contains(&name),
            "{} says nothing about what it holds",
            path.display()
        );
    }
}
