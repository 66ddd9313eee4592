//! Kills at random moments, counted: what was written against what the store holds.

use crate::corpus::access_line;
use crate::many_files;
use crate::pond::Pond;
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many repeated lines are shown.
const REPEATED_MAX: u32 = 20;

struct Setup {
    lines: u64,
    kills: u32,
    /// Lines a second that are written.
    rate: u64,
    rotate: Duration,
}

fn number(arguments: &[String], name: &str, default: u64) -> u64 {
    let at = arguments.iter().position(|own| own == name);
    at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
}

/// `kill-loop [--lines N] [--kills N] [--rate N]`
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let number = |name: &str, default: u64| number(arguments, name, default);
    let setup = Setup {
        lines: number("--lines", 2_000_000),
        kills: number("--kills", 20) as u32,
        rate: number("--rate", 60_000),
        rotate: Duration::from_millis(50),
    };
    match kill_loop(&setup) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kill-loop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `soak [HOURS] [--files N]`: a million files, then the kill loop again and again, for hours.
pub(crate) fn soak(arguments: &[String]) -> ExitCode {
    let files = number(arguments, "--files", 1_000_000);
    match if files > 0 { many_files::run(files) } else { Ok(true) } {
        Ok(true) => {}
        Ok(false) => return ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            return ExitCode::FAILURE;
        }
    }
    let hours: f64 = arguments.first().and_then(|hours| hours.parse().ok()).unwrap_or(1.0);
    let until = Instant::now() + Duration::from_secs_f64(hours * 3600.0);
    let mut rounds = 0;
    while Instant::now() < until {
        rounds += 1;
        println!("round {rounds}");
        if run(arguments) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn kill_loop(setup: &Setup) -> io::Result<bool> {
    let mut folder = tempfile::tempdir()?;
    let log = folder.path().join("access.log");
    fs::write(&log, "")?;
    let written = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (log, written, ended) = (log.clone(), written.clone(), ended.clone());
        let (lines, rate, rotate) = (setup.lines, setup.rate, setup.rotate);
        move || {
            let result = write_lines(&log, lines, rate, rotate, &written);
            ended.store(true, Ordering::SeqCst);
            result
        }
    });
    let mut random = fastrand::Rng::new();
    let begun = Instant::now();
    let whole = Duration::from_secs_f64(setup.lines as f64 / setup.rate as f64);
    for kill in 0..setup.kills {
        let mut pond = Pond::start(folder.path(), &folder.path().join("access.log"))?;
        let rest = whole.saturating_sub(begun.elapsed()) / (setup.kills - kill).max(1);
        std::thread::sleep(rest.mul_f64(random.f64() * 2.0).max(Duration::from_millis(random.u64(20..400))));
        pond.kill();
        println!(
            "kill {:>2}: {:>9} of {} lines written",
            kill + 1,
            written.load(Ordering::SeqCst),
            setup.lines
        );
    }
    let pond = Pond::start(folder.path(), &folder.path().join("access.log"))?;
    writer.join().map_err(|_| io::Error::other("the writer panicked"))??;
    let expected = setup.lines;
    let mut count = 0;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(30) {
        let now = pond.count().unwrap_or(count);
        if now != count {
            count = now;
            since = Instant::now();
        }
        if count >= expected && since.elapsed() > Duration::from_secs(3) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let seen = numbers(&pond, setup.lines)?;
    let lost = (0..setup.lines).filter(|n| !seen.contains_key(n)).count() as u64;
    let twice: u64 = seen.values().map(|times| times - 1).sum();
    println!();
    println!("lines written         {:>10}", setup.lines);
    // The writer waits between copytruncate's copy and its cut, so there is no such line.
    println!("nobody could read     {:>10}", 0);
    println!("in the store (_count) {:>10}", count);
    println!("lost                  {:>10}", lost);
    println!("twice                 {:>10}", twice);
    println!("kills                 {:>10}", setup.kills);
    if lost + twice > 0 {
        folder.disable_cleanup(true);
        println!("kept: {}", folder.path().display());
    }
    Ok(lost == 0 && twice == 0)
}

/// Writes numbered lines, and rotates: mostly by rename, now and then by copytruncate.
fn write_lines(log: &Path, lines: u64, rate: u64, rotate: Duration, written: &AtomicU64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let begun = Instant::now();
    let mut rotated = Instant::now();
    let mut rotation = 0_u64;
    let mut file = OpenOptions::new().append(true).create(true).open(log)?;
    let mut chunk = String::new();
    let mut n = 0;
    while n < lines {
        let due = ((begun.elapsed().as_secs_f64() * rate as f64) as u64 + 1).min(lines);
        chunk.clear();
        let to = due.min(n + 2_000);
        for line in n..to {
            chunk.push_str(&access_line(&mut random, line));
            chunk.push('\n');
        }
        file.write_all(chunk.as_bytes())?;
        n = to;
        written.store(n, Ordering::SeqCst);
        if rotated.elapsed() >= rotate {
            rotated = Instant::now();
            rotation += 1;
            let old = log.with_file_name(format!("access.log.{rotation:06}"));
            if rotation.is_multiple_of(10) {
                // The writer waits meanwhile, so nothing is written between copy and cut.
                fs::copy(log, &old)?;
                file.set_len(0)?;
            } else {
                fs::rename(log, &old)?;
                file = OpenOptions::new().append(true).create(true).open(log)?;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// How often each line is in the store, page by page.
fn numbers(pond: &Pond, lines: u64) -> io::Result<HashMap<u64, u64>> {
    let mut seen: HashMap<u64, u64> = HashMap::with_capacity(lines as usize);
    let (mut after, mut repeated) = (-1_i64, 0);
    loop {
        let body = format!(
            "{{\"size\":10000,\"sort\":[\"_seq_no\"],\"search_after\":[{after}],\"_source\":[\"path\",\"log.*\"]}}"
        );
        let answer =
            pond.request("/logs-*/_search", &body).ok_or_else(|| io::Error::other("a search failed"))?;
        let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
        let Some(last) = hits.last() else { return Ok(seen) };
        after = last["sort"][0].as_i64().unwrap_or(i64::MAX);
        for hit in &hits {
            let path = hit["_source"]["path"].as_str().unwrap_or_default();
            let number = path.rsplit('/').next().and_then(|rest| rest.split('?').next()?.parse().ok());
            let times = seen.entry(number.unwrap_or(u64::MAX)).or_default();
            *times += 1;
            if *times > 1 && repeated < REPEATED_MAX {
                repeated += 1;
                println!("again: {} {} {}", hit["_id"], hit["_source"]["log"], path);
            }
        }
    }
}
