//! What goes wrong outside: a clear message each, and nothing lost.

use crate::pond::{Pond, access_lines};
use std::fs;

/// Runs a command to its end and returns whether it succeeded and what it said.
fn ends(pond: &Pond, arguments: &[&str]) -> (bool, String) {
    let output = pond.command(arguments).output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_second_instance_is_told_who_was_first() {
    let mut pond = Pond::new();
    pond.append("a.log", "one\n");
    pond.up(&["a.log"]);
    let data = pond.data();
    let (ok, said) =
        ends(&pond, &["up", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap(), "a.log"]);
    assert!(!ok && said.contains("another"), "{said}");
    pond.wait_count(1);
}

#[test]
fn a_data_directory_that_cannot_be_written() {
    let pond = Pond::new();
    pond.append("file", "");
    let (ok, said) = ends(&pond, &["up", "--listen", "127.0.0.1:0", "--data-dir", "file/data", "a.log"]);
    assert!(!ok && said.contains("file/data") && said.contains("--data-dir"), "{said}");
}

#[test]
fn a_file_that_is_missing_is_waited_for() {
    let mut pond = Pond::new();
    pond.up(&["later.log"]);
    pond.wait_for("word of what it waits for", |pond| {
        let said = pond.said();
        (said.contains("nothing to read yet") && said.contains("later.log")).then_some(())
    });
    pond.append("later.log", &access_lines(0..10));
    pond.wait_count(10);
}

#[test]
fn a_bad_option_names_its_place() {
    let pond = Pond::new();
    pond.append("bad.yaml", "inputs:\n  a:\n    file:\n      pathes: [x]\noutputs:\n  b: {blackhole: {}}\n");
    let (ok, said) = ends(&pond, &["check", "-c", "bad.yaml"]);
    assert!(!ok && said.contains("bad.yaml:4:7") && said.contains("\"paths\""), "{said}");
    let (ok, said) = ends(&pond, &["check", "--json", "-c", "bad.yaml"]);
    let told: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(!ok && told["problems"][0]["line"] == 4 && told["problems"][0]["column"] == 7, "{said}");
    let (ok, said) = ends(&pond, &["run", "-c", "bad.yaml"]);
    assert!(!ok && said.contains("bad.yaml:4:7"), "{said}");
    let (ok, said) = ends(&pond, &["up", "--nonsense"]);
    assert!(!ok && said.contains("--nonsense"), "{said}");
}

#[test]
fn a_damaged_segment_of_the_queue_is_set_aside() {
    let mut pond = Pond::new();
    pond.append("a.log", &access_lines(0..1_000));
    pond.up(&["a.log"]);
    pond.wait_count(1_000);
    pond.kill();
    let folder = pond.data().join("queue/main");
    let mut hurt = 0;
    for entry in fs::read_dir(&folder).expect("a queue") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("a file");
        if bytes.len() > 4_096 {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].fill(0xAA);
            fs::write(&path, bytes).expect("room");
            hurt += 1;
        }
    }
    assert!(hurt > 0, "there was a segment to damage");
    let data = pond.data();
    let (_, said) = ends(&pond, &["queue", "check", "--data-dir", data.to_str().unwrap()]);
    assert!(said.contains("damaged"), "{said}");
    pond.append("a.log", &access_lines(1_000..1_100));
    pond.up(&["a.log"]);
    pond.wait_for("the new lines", |pond| {
        let found = pond.get("/_search?size=1&q=path:%22/item/1099%22")?;
        (found["hits"]["total"]["value"] == 1).then_some(())
    });
}

/// A small disk of its own at this path, where we may mount one.
pub(crate) fn small_disk(path: &std::path::Path, options: &str) -> Option<Unmount> {
    fs::create_dir_all(path).expect("a folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs", path.to_str().expect("UTF-8")])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // The crates' own tests on the simulated disk cover what can be seen without.
        eprintln!("no right to mount: skipped");
    }
    mounted.then(|| Unmount(path.to_owned()))
}

#[test]
fn a_full_disk_makes_inputs_wait_and_nothing_is_lost() {
    let mut pond = Pond::new();
    let data = pond.data();
    let Some(_unmount) = small_disk(&data, "size=48m") else { return };
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![1; 40 << 20]).expect("room for ballast");
    pond.append("a.log", &access_lines(0..100_000));
    pond.up(&["a.log"]);
    pond.wait_for("a word about the full disk", |pond| {
        let said = pond.said();
        (said.contains("full") || said.contains("No space")).then_some(())
    });
    fs::remove_file(&ballast).expect("the ballast");
    pond.wait_count(100_000);
    pond.check_ledger(100_000);
    assert!(pond.stop().success());
}

#[test]
fn a_data_directory_on_a_read_only_disk() {
    let pond = Pond::new();
    let data = pond.data();
    let Some(_unmount) = small_disk(&data, "ro,size=1m") else { return };
    pond.append("a.log", "one\n");
    let (ok, said) =
        ends(&pond, &["up", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap(), "a.log"]);
    assert!(!ok && said.contains("data") && said.contains("--data-dir"), "{said}");
}

#[test]
fn a_queue_that_was_removed_costs_nothing_new() {
    let mut pond = Pond::new();
    pond.append("a.log", &access_lines(0..1_000));
    pond.up(&["a.log"]);
    pond.wait_count(1_000);
    assert!(pond.stop().success());
    fs::remove_dir_all(pond.data().join("queue")).expect("a queue");
    pond.append("a.log", &access_lines(1_000..1_200));
    pond.up(&["a.log"]);
    // The store has seen greater sequences than the new queue would begin with.
    pond.wait_count(1_200);
}

#[test]
fn memory_stays_within_its_limit_while_an_output_is_slow() {
    let pond = Pond::new();
    const LINES: u64 = 400_000;
    pond.append("a.log", &access_lines(0..LINES));
    pond.append(
        "c.yaml",
        "memory_limit: 32MiB\ninputs: {a: {file: {paths: [a.log]}}}\nqueue: none\noutputs: {o: {console: {codec: raw}}}\n",
    );
    // Without the limit there would be 40 MB of events behind the pipe, and as much again
    // where they are kept; the system ends a program that takes more than 160 MB.
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -d 160000; exec \"$0\" run --until-idle -c c.yaml --data-dir data"])
        .arg(crate::pond::binary())
        .current_dir(pond.folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a shell");
    let mut out = std::io::BufReader::with_capacity(4_096, child.stdout.take().expect("a pipe"));
    let status = format!("/proc/{}/status", child.id());
    let (mut lines, mut peak) = (0, 0);
    let mut line = Vec::new();
    while std::io::BufRead::read_until(&mut out, b'\n', &mut line).expect("a pipe") > 0 {
        line.clear();
        lines += 1;
        if lines % 10_000 == 0 {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let now = text
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
            peak = now.unwrap_or(peak);
        }
    }
    assert!(child.wait().expect("a child").success());
    assert_eq!(lines, LINES);
    assert!((1..=64 << 10).contains(&peak), "{peak} KiB at most");
}

pub(crate) struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
