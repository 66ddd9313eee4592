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

/// Searches among so many events: what it took to store them, then how long answers take. Whole-range
/// questions wait for a quiet store, those for the newest events as well.
pub(crate) fn search(folder: &Path, events: u64) -> io::Result<()> {
    let work = tempfile::tempdir_in(folder)?;
    let log = work.path().join("access.log");
    corpus::access(&log, events)?;
    let raw = fs::metadata(&log)?.len();
    let begun = Instant::now();
    let pond = Pond::start(work.path(), &log)?;
    // The corpus begins at midnight and has a thousand lines a second.
    let window = |minute: u64, more: &str, rest: &str| {
        let at = |minute: u64| format!("2026-11-21T{:02}:{:02}:00Z", minute / 60, minute % 60);
        format!(
            r#"{{"size":50,"sort":[{{"@timestamp":"desc"}}],{rest}"query":{{"bool":{{"filter":[{{"range":{{"@timestamp":{{"gte":"{}","lt":"{}"}}}}}}{more}]}}}}}}"#,
            at(minute),
            at(minute + 15)
        )
    };
    let while_written = window(0, "", "");
    let mut times = Vec::new();
    let until = Instant::now() + Duration::from_secs(900);
    while pond.count() != Some(events) {
        if Instant::now() > until {
            return Err(io::Error::other("the store did not get all events in time"));
        }
        std::thread::sleep(Duration::from_millis(200));
        let asked = Instant::now();
        pond.request("/logs-*/_search", &while_written);
        times.push(asked.elapsed());
    }
    let took = begun.elapsed();
    let of = |bytes: u64| bytes as f64 / raw as f64;
    println!(
        "{:<26} {:.0} events/s, {:.2} x the raw size on disk, RSS {} MiB at most",
        format!("store: {}", short(events)),
        events as f64 / took.as_secs_f64(),
        of(pond.stored_bytes()),
        pond.peak_rss().unwrap_or(0) >> 10,
    );
    print("search: while it is written", &mut times, Duration::from_millis(150));
    let minutes = events / 60_000;
    let mut random = fastrand::Rng::with_seed(7);
    let histogram = |interval: &str| {
        format!(
            r#""aggs":{{"over_time":{{"date_histogram":{{"field":"@timestamp","fixed_interval":"{interval}"}}}}}},"#
        )
    };
    let errors = r#",{"range":{"status":{"gte":500}}}"#;
    let near = histogram("10s");
    let whole =
        |rest: &str| format!(r#"{{"size":0,"track_total_hits":true,{rest}"query":{{"match_all":{{}}}}}}"#);
    let phrase = r#"{"size":50,"sort":[{"@timestamp":"desc"}],"query":{"match_phrase":{"message":"compatible Googlebot 2.1"}}}"#;
    let term = r#"{"size":50,"sort":[{"@timestamp":"desc"}],"query":{"term":{"status":404}}}"#;
    let terms = r#""aggs":{"top":{"terms":{"field":"path","size":10}}},"#;
    let asked: [(&str, Duration, &mut dyn FnMut() -> String); 7] = [
        ("search: 15 minutes", Duration::from_millis(150), &mut || {
            window(random.u64(..minutes.saturating_sub(14)), errors, "")
        }),
        ("search: with histogram", Duration::from_millis(150), &mut || {
            window(fastrand::u64(..minutes.saturating_sub(14)), "", &near)
        }),
        ("search: whole histogram", Duration::from_millis(300), &mut || whole(&histogram("1m"))),
        ("search: term", Duration::from_millis(300), &mut || term.to_owned()),
        ("search: phrase", Duration::from_millis(800), &mut || phrase.to_owned()),
        ("search: terms of 5 values", Duration::from_millis(300), &mut || {
            whole(r#""aggs":{"top":{"terms":{"field":"status","size":10}}},"#)
        }),
        ("search: terms of all paths", Duration::from_millis(800), &mut || whole(terms)),
    ];
    for (name, budget, body) in asked {
        let mut times = Vec::new();
        for _ in 0..SEARCHES {
            let body = body();
            let begun = Instant::now();
            let answer = pond.request("/logs-*/_search", &body);
            times.push(begun.elapsed());
            let found = answer.as_ref().and_then(|answer| answer["hits"]["total"]["value"].as_u64());
            if found.is_none_or(|found| found == 0) {
                return Err(io::Error::other(format!("{name} found nothing: {answer:?}")));
            }
        }
        print(name, &mut times, budget);
    }
    Ok(())
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
