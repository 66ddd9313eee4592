//! How long somebody waits: for the first line, and for an answer.

use crate::corpus;
use crate::pond::Pond;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Events in the store while searches are timed.
const EVENTS: u64 = 1_000_000;
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

/// Searches of 15 minutes among a million events, newest first, with a histogram.
pub(crate) fn search(folder: &Path) -> io::Result<()> {
    let work = tempfile::tempdir_in(folder)?;
    let log = work.path().join("access.log");
    corpus::access(&log, EVENTS)?;
    let pond = Pond::start(work.path(), &log)?;
    let until = Instant::now() + Duration::from_secs(300);
    while pond.count() != Some(EVENTS) {
        if Instant::now() > until {
            return Err(io::Error::other("the store did not get all events in time"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut random = fastrand::Rng::with_seed(7);
    // The corpus begins at midnight and has a thousand lines a second.
    let window = |minute: usize, rest: &str| {
        format!(
            "{{\"size\":50,\"sort\":[{{\"@timestamp\":\"desc\"}}],{rest}\"query\":{{\"bool\":{{\"filter\":[{{\"range\":{{\"@timestamp\":{{\"gte\":\"2026-11-21T00:{minute:02}:00Z\",\"lt\":\"2026-11-21T00:{:02}:00Z\"}}}}}},{{\"range\":{{\"status\":{{\"gte\":500}}}}}}]}}}}}}",
            minute + 15
        )
    };
    let histogram = "\"aggs\":{\"over_time\":{\"date_histogram\":{\"field\":\"@timestamp\",\"fixed_interval\":\"10s\"}}},";
    for (name, rest) in [("search: 15 minutes of 1M", ""), ("search: with histogram", histogram)] {
        let mut times = Vec::new();
        for _ in 0..SEARCHES {
            let body = window(random.usize(0..2), rest);
            let begun = Instant::now();
            let answer = pond.request("/logs-*/_search", &body);
            let found = answer.and_then(|answer| answer["hits"]["total"]["value"].as_u64());
            if found.is_none_or(|found| found == 0) {
                return Err(io::Error::other("a search found nothing"));
            }
            times.push(begun.elapsed());
        }
        print(name, &mut times, Duration::from_millis(100));
    }
    Ok(())
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
