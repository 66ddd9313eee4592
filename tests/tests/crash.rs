//! kill -9 at random moments: nothing lost, nothing twice.

use crate::pond::{Pond, access_lines};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Writes lines while the pond is killed again and again; the file is rotated by rename.
#[test]
fn kill_minus_nine_while_lines_come_and_files_rotate() {
    const LINES: u64 = 60_000;
    const KILLS: usize = 6;
    let mut pond = Pond::new();
    let folder = pond.folder.path().to_owned();
    let done = Arc::new(AtomicBool::new(false));
    pond.append("access.log", "");
    let writer = std::thread::spawn({
        let done = done.clone();
        move || {
            for (n, from) in (0..LINES).step_by(600).enumerate() {
                let log = folder.join("access.log");
                let mut file = fs::OpenOptions::new().append(true).create(true).open(&log).expect("a file");
                std::io::Write::write_all(&mut file, access_lines(from..from + 600).as_bytes())
                    .expect("room");
                if n % 3 == 2 {
                    fs::rename(&log, folder.join(format!("access.log.{n}"))).expect("a rename");
                }
                std::thread::sleep(Duration::from_millis(30));
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    for _ in 0..KILLS {
        pond.up(&["access.log", "access.log.*"]);
        std::thread::sleep(Duration::from_millis(fastrand::u64(50..700)));
        pond.kill();
    }
    writer.join().expect("the writer");
    assert!(done.load(Ordering::SeqCst));
    pond.up(&["access.log", "access.log.*"]);
    pond.wait_count(LINES);
    let found = pond.get("/_search?size=0&q=status:500").expect("an answer");
    assert!(found["hits"]["total"]["value"].as_u64().expect("a number") >= 6_000, "{found:#}");
    assert!(pond.stop().success());
}
