//! How long somebody waits: for the first line, and for an answer.

use crate::corpus;
use crate::pond::Pond;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each question is asked.
const SEARCHES: usize = 200;
const SEARCH: &str = "/logs-*/_search";
/// How long it may take until all events are stored.
const FILL_MAX: Duration = Duration::from_secs(900);

/// From the start of the program to the first line that it read.
pub(crate) fn start(folder: &Path) -> io::Result<()> {
    let work = tempfile::tempdir_in(folder)?;
    let (log, config) = (work.path().join("a.log"), work.path().join("logpond.yaml"));
    fs::write(&log, "a line\n")?;
    let text = format!(
        "inputs: {{i: {{file: {{paths: [{}]}}}}}}\nqueue: none\noutputs: {{o: {{console: {{codec: raw}}}}}}\n",
        log.display()
    );
    fs::write(&config, text)?;
    let mut times = Vec::new();
    for n in 0..20 {
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe()?.with_file_name("logpond"))
            .args(["run", "-c"])
            .arg(&config)
            .arg("--data-dir")
            .arg(work.path().join(format!("data{n}")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut first = [0];
        child.stdout.take().expect("a pipe").read_exact(&mut first)?;
        times.push(begun.elapsed());
        child.kill()?;
        child.wait()?;
    }
    print("start to first line", &mut times, Duration::from_millis(100));
    Ok(())
}

/// Searches among so many events, while these are stored and then, when the store is quiet.
pub(crate) fn search(folder: &Path, events: u64) -> io::Result<()> {
    let work = tempfile::tempdir_in(folder)?;
    let log = work.path().join("access.log");
    corpus::access(&log, events)?;
    let pond = Pond::start(work.path(), &log)?;
    let raw = fs::metadata(&log)?.len();
    fill(&pond, events, raw)?;
    // The corpus has a thousand lines a second.
    let minutes = events / 60_000;
    let mut random = fastrand::Rng::with_seed(7);
    let mut minute = || random.u64(..minutes.saturating_sub(14));
    let near = histogram("10s");
    let errors = r#",{"range":{"status":{"gte":500}}}"#;
    let minutes_of_errors: Vec<String> = (0..SEARCHES).map(|_| window(minute(), errors, "")).collect();
    let minutes_with_histogram: Vec<String> = (0..SEARCHES).map(|_| window(minute(), "", &near)).collect();
    ask(&pond, "15 minutes", 150, &minutes_of_errors)?;
    ask(&pond, "with histogram", 150, &minutes_with_histogram)?;
    for (name, budget_ms, body) in [
        ("whole histogram", 300, whole(&histogram("1m"))),
        ("term", 300, newest(r#"{"term":{"status":404}}"#)),
        ("phrase", 800, newest(r#"{"match_phrase":{"message":"compatible Googlebot 2.1"}}"#)),
        ("terms of 5 values", 300, whole(&terms("status"))),
        ("terms of all paths", 800, whole(&terms("path"))),
    ] {
        ask(&pond, name, budget_ms, &vec![body; SEARCHES])?;
    }
    println!(
        "{:<26} {:.2} x the raw size on disk, RSS {} MiB at most",
        "store: at the end",
        pond.stored_bytes() as f64 / raw as f64,
        pond.peak_rss().unwrap_or(0) >> 10,
    );
    Ok(())
}

/// Waits until the store has so many events of so many bytes, and says what that took. What is merged
/// just then stands there twice.
fn fill(pond: &Pond, events: u64, raw: u64) -> io::Result<()> {
    let begun = Instant::now();
    let (first_minutes, mut times) = (window(0, "", ""), Vec::new());
    while pond.count() != Some(events) {
        if begun.elapsed() > FILL_MAX {
            return Err(io::Error::other("the store did not get all events in time"));
        }
        std::thread::sleep(Duration::from_millis(200));
        let asked = Instant::now();
        pond.request(SEARCH, &first_minutes);
        times.push(asked.elapsed());
    }
    println!(
        "{:<26} {:.0} events/s, {:.2} x the raw size on disk, RSS {} MiB at most",
        format!("store: {}", short(events)),
        events as f64 / begun.elapsed().as_secs_f64(),
        pond.stored_bytes() as f64 / raw as f64,
        pond.peak_rss().unwrap_or(0) >> 10,
    );
    print("search: while it is written", &mut times, Duration::from_millis(150));
    Ok(())
}

/// Asks one question after the other, each of which must find something.
fn ask(pond: &Pond, name: &str, budget_ms: u64, questions: &[String]) -> io::Result<()> {
    let mut times = Vec::new();
    for question in questions {
        let begun = Instant::now();
        let answer = pond.request(SEARCH, question);
        times.push(begun.elapsed());
        let found = answer.as_ref().and_then(|answer| answer["hits"]["total"]["value"].as_u64());
        if found.is_none_or(|found| found == 0) {
            return Err(io::Error::other(format!("{name} found nothing: {answer:?}")));
        }
    }
    print(&format!("search: {name}"), &mut times, Duration::from_millis(budget_ms));
    Ok(())
}

/// The newest events of 15 minutes from a minute of the corpus on, which begins at midnight.
fn window(minute: u64, more: &str, rest: &str) -> String {
    let at = |minute: u64| format!("2026-11-21T{:02}:{:02}:00Z", minute / 60, minute % 60);
    let (from, to) = (at(minute), at(minute + 15));
    let range = format!(r#"{{"range":{{"@timestamp":{{"gte":"{from}","lt":"{to}"}}}}}}"#);
    format!(
        r#"{{"size":50,"sort":[{{"@timestamp":"desc"}}],{rest}"query":{{"bool":{{"filter":[{range}{more}]}}}}}}"#
    )
}

/// The newest events of all that match.
fn newest(query: &str) -> String {
    format!(r#"{{"size":50,"sort":[{{"@timestamp":"desc"}}],"query":{query}}}"#)
}

/// An aggregation over all events.
fn whole(aggs: &str) -> String {
    format!(r#"{{"size":0,"track_total_hits":true,{aggs}"query":{{"match_all":{{}}}}}}"#)
}

fn histogram(interval: &str) -> String {
    format!(
        r#""aggs":{{"over_time":{{"date_histogram":{{"field":"@timestamp","fixed_interval":"{interval}"}}}}}},"#
    )
}

fn terms(field: &str) -> String {
    format!(r#""aggs":{{"top":{{"terms":{{"field":"{field}","size":10}}}}}},"#)
}

/// A number of events as people say it: `1M`.
fn short(events: u64) -> String {
    format!("{}M", events / 1_000_000)
}

fn print(name: &str, times: &mut [Duration], budget: Duration) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "{name:<26} median {:>7.1} ms, p95 {:>7.1} ms (budget {} ms)",
        at(0.5),
        at(0.95),
        budget.as_millis()
    );
}
