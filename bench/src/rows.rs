//! The table: a calibration row first, then each path through the program.

use crate::corpus;
use crate::latency;
use crate::measure::{self, Cost, cpu_of};
use crate::sink::Sink;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Lines for warming up, whose cost is taken off.
const WARM: u64 = 100_000;
/// Lines for counting allocations.
const PART: u64 = 400_000;

struct Row {
    name: &'static str,
    corpus: &'static str,
    lines: u64,
    config: &'static str,
    budget: f64,
}

const ROWS: [Row; 11] = [
    Row {
        name: "file → blackhole",
        corpus: "plain",
        lines: 4_000_000,
        config: "queue: none\noutputs: {o: {blackhole: {}}}",
        budget: 0.15,
    },
    Row {
        name: "file → file raw",
        corpus: "plain",
        lines: 4_000_000,
        config: "queue: none\noutputs: {o: {file: {path: OUT, codec: raw}}}",
        budget: 0.25,
    },
    Row {
        name: "file → JSON envelope",
        corpus: "plain",
        lines: 4_000_000,
        config: "queue: none\noutputs: {o: {file: {path: OUT}}}",
        budget: 0.4,
    },
    Row {
        name: "JSON + a field → JSON",
        corpus: "json",
        lines: 2_000_000,
        config: "queue: none\nfilters: [{json: {remove_source: true}}, {set: {fields: {added: yes it is}}}]\noutputs: {o: {file: {path: OUT}}}",
        budget: 0.6,
    },
    Row {
        name: "access log → JSON",
        corpus: "access",
        lines: 2_000_000,
        config: "queue: none\nfilters: [auto]\noutputs: {o: {file: {path: OUT}}}",
        budget: 1.0,
    },
    Row {
        name: "access log by grok → JSON",
        corpus: "access",
        lines: 2_000_000,
        config: "queue: none\nfilters: [{grok: {patterns: ['%{COMBINEDAPACHELOG}']}}]\noutputs: {o: {file: {path: OUT}}}",
        budget: 1.0,
    },
    Row {
        name: "file → bulk",
        corpus: "plain",
        lines: 2_000_000,
        config: "queue: none\noutputs: {o: {elasticsearch: {endpoints: [SINK], gzip_level: 0}}}",
        budget: 0.9,
    },
    Row {
        name: "file → bulk, gzip",
        corpus: "plain",
        lines: 2_000_000,
        config: "queue: none\noutputs: {o: {elasticsearch: {endpoints: [SINK], gzip_level: 1}}}",
        budget: 2.5,
    },
    Row {
        name: "file → queue → blackhole",
        corpus: "plain",
        lines: 4_000_000,
        config: "queue: {}\noutputs: {o: {blackhole: {}}}",
        budget: 0.45,
    },
    Row {
        name: "file → queue → JSON",
        corpus: "plain",
        lines: 4_000_000,
        config: "queue: {}\noutputs: {o: {file: {path: OUT}}}",
        budget: 0.7,
    },
    Row {
        name: "file → queue → store",
        corpus: "access",
        lines: 600_000,
        config: "queue: {}\nfilters: [auto]\noutputs: {o: {store: {}}}",
        budget: 33.0,
    },
];

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match table(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table(arguments: &[String]) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted =
        |name: &str| arguments.is_empty() || arguments.iter().any(|word| name.contains(word.as_str()));
    eprintln!("making the lines …");
    for (name, make) in [
        ("plain", corpus::plain as fn(&Path, u64) -> io::Result<()>),
        ("json", corpus::json),
        ("access", corpus::access),
    ] {
        let most =
            ROWS.iter().filter(|row| row.corpus == name && wanted(row.name)).map(|row| row.lines).max();
        if let Some(most) = most {
            make(&folder.path().join(name), most)?;
            make(&folder.path().join(format!("{name}-warm")), WARM)?;
            make(&folder.path().join(format!("{name}-part")), PART)?;
        }
    }
    println!(
        "{:<26} {:>7} {:>10} {:>8} {:>8} {:>12} {:>9} {:>9} {:>8}",
        "", "workers", "µs CPU/ev", "× base", "budget", "events/s", "RSS MiB", "alloc/ev", "lost"
    );
    let mut base = 0.0;
    if let Some(file) =
        ["plain", "access", "json"].iter().map(|name| folder.path().join(name)).find(|path| path.exists())
    {
        let (lines, cost) = calibrate(&file)?;
        base = cost.cpu.as_secs_f64() * 1e6 / lines as f64;
        println!(
            "{:<26} {:>7} {:>10.3} {:>8.1} {:>8} {:>12.0}",
            "read, split, CRC32C",
            1,
            base,
            1.0,
            "",
            lines as f64 / cost.wall.as_secs_f64()
        );
    }
    let plain = folder.path().join("plain");
    if plain.exists() {
        // The first time the memory for a file is wanted is dearer than all later ones.
        write_again(&plain, &folder.path().join("copy"))?;
        let (lines, cost) = write_again(&plain, &folder.path().join("copy"))?;
        let cpu = cost.cpu.as_secs_f64() * 1e6 / lines as f64;
        println!(
            "{:<26} {:>7} {cpu:>10.3} {:>8.1} {:>8} {:>12.0}",
            "read and write, as cp",
            1,
            cpu / base,
            "",
            lines as f64 / cost.wall.as_secs_f64()
        );
    }
    for row in ROWS.iter().filter(|row| wanted(row.name)) {
        for workers in [1, 2] {
            measure_row(row, workers, folder.path(), base)?;
        }
    }
    if wanted("rsyslog") {
        rsyslog(folder.path(), base)?;
    }
    if wanted("start") {
        latency::start(folder.path())?;
    }
    if wanted("search") {
        latency::search(folder.path())?;
    }
    if wanted("idle") {
        idle(folder.path())?;
    }
    Ok(())
}

/// A bare loop that reads the file, splits it and takes its checksum.
fn calibrate(path: &Path) -> io::Result<(u64, Cost)> {
    let mut best: Option<(u64, Cost)> = None;
    for _ in 0..3 {
        let begun = Instant::now();
        let before = cpu_of(std::process::id());
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 256 << 10];
        let (mut lines, mut sum) = (0, 0);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
            sum = crc32c::crc32c_append(sum, &buffer[..read]);
        }
        std::hint::black_box(sum);
        let cost =
            Cost { cpu: cpu_of(std::process::id()) - before, wall: begun.elapsed(), ..Cost::default() };
        if best.is_none_or(|(_, best)| cost.cpu < best.cpu) {
            best = Some((lines, cost));
        }
    }
    best.ok_or_else(|| io::Error::other("nothing was measured"))
}

/// What the system takes for reading a file and writing it elsewhere, whoever does it.
fn write_again(from: &Path, to: &Path) -> io::Result<(u64, Cost)> {
    let lines = count_lines(from)?;
    let (begun, before) = (Instant::now(), cpu_of(std::process::id()));
    let (mut source, mut copy) = (File::open(from)?, File::create(to)?);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        copy.write_all(&buffer[..read])?;
    }
    let cost = Cost { cpu: cpu_of(std::process::id()) - before, wall: begun.elapsed(), ..Cost::default() };
    fs::remove_file(to)?;
    Ok((lines, cost))
}

fn measure_row(row: &Row, workers: u32, folder: &Path, base: f64) -> io::Result<()> {
    let (warm_corpus, part_corpus) = (format!("{}-warm", row.corpus), format!("{}-part", row.corpus));
    let warm = run_pipeline(row, workers, folder, &warm_corpus, false)?;
    let (cost, arrived) = run_pipeline(row, workers, folder, row.corpus, false)?;
    let lines = (row.lines - WARM) as f64;
    let cpu = cost.cpu.saturating_sub(warm.0.cpu).as_secs_f64() * 1e6 / lines;
    let wall = cost.wall.saturating_sub(warm.0.wall).as_secs_f64().max(0.001);
    // Counting costs time, so it has runs of its own.
    let counted =
        |corpus: &str| run_pipeline(row, workers, folder, corpus, true).map(|(cost, _)| cost.allocations);
    let allocations = match (counted(&part_corpus)?, counted(&warm_corpus)?) {
        (Some(all), Some(warm)) => format!("{:.4}", all.saturating_sub(warm) as f64 / (PART - WARM) as f64),
        _ => "?".to_owned(),
    };
    let lost = arrived.map_or_else(String::new, |arrived| row.lines.saturating_sub(arrived).to_string());
    println!(
        "{:<26} {workers:>7} {cpu:>10.3} {:>8.1} {:>8.2} {:>12.0} {:>9.0} {allocations:>9} {lost:>8}",
        row.name,
        if base > 0.0 { cpu / base } else { 0.0 },
        row.budget,
        lines / wall,
        cost.rss_kib as f64 / 1024.0,
    );
    Ok(())
}

/// Runs a config over a file until all of it is delivered; the events that arrived, where they
/// can be counted.
fn run_pipeline(
    row: &Row,
    workers: u32,
    folder: &Path,
    corpus: &str,
    counting: bool,
) -> io::Result<(Cost, Option<u64>)> {
    let work = tempfile::tempdir_in(folder)?;
    let out = work.path().join("out");
    let config = work.path().join("logpond.yaml");
    let sink = if row.config.contains("SINK") { Some(Sink::start()?) } else { None };
    let address = sink.as_ref().map_or("", Sink::address);
    let text = format!(
        "workers: {workers}\ninputs: {{i: {{file: {{paths: [{}]}}}}}}\n{}\n",
        folder.join(corpus).display(),
        row.config.replace("OUT", &out.display().to_string()).replace("SINK", &format!("'{address}'"))
    );
    fs::write(&config, text)?;
    let own = std::env::current_exe()?;
    let mut command = if counting {
        let mut command = Command::new(own);
        command.arg("logpond");
        command
    } else {
        Command::new(own.with_file_name("logpond"))
    };
    command.args(["--log-level", "error", "run", "--until-idle", "-c"]).arg(&config);
    command.arg("--data-dir").arg(work.path().join("data"));
    let cost = measure::run(command)?;
    let arrived = match sink {
        Some(sink) => sink.events(),
        None if out.exists() => Some(count_lines(&out)?),
        None => None,
    };
    Ok((cost, arrived))
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut lines = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
}

/// rsyslog reads the same file and writes its lines to another, when it is installed.
fn rsyslog(folder: &Path, base: f64) -> io::Result<()> {
    let Some(program) =
        ["/usr/sbin/rsyslogd", "/sbin/rsyslogd"].map(PathBuf::from).into_iter().find(|path| path.exists())
    else {
        println!("{:<26} (rsyslogd is not installed)", "rsyslog: file → file");
        return Ok(());
    };
    let lines = 1_000_000;
    let work = tempfile::tempdir_in(folder)?;
    let source = work.path().join("in.log");
    corpus::plain(&source, lines)?;
    let (config, out) = (work.path().join("rsyslog.conf"), work.path().join("out"));
    let text = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imfile\" mode=\"inotify\")\ntemplate(name=\"raw\" type=\"string\" string=\"%msg%\\n\")\nruleset(name=\"r\") {{ action(type=\"omfile\" file=\"{1}\" template=\"raw\" ioBufferSize=\"64k\") }}\ninput(type=\"imfile\" file=\"{2}\" tag=\"b\" ruleset=\"r\")\n",
        work.path().display(),
        out.display(),
        source.display()
    );
    fs::write(&config, text)?;
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["-n", "-f"])
        .arg(&config)
        .arg("-i")
        .arg(work.path().join("pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut arrived = 0;
    while begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
        arrived = if out.exists() { count_lines(&out)? } else { 0 };
        if arrived >= lines {
            break;
        }
    }
    let (cpu, wall) = (cpu_of(child.id()).as_secs_f64() * 1e6 / lines as f64, begun.elapsed().as_secs_f64());
    let rss = measure::rss(Path::new(&format!("/proc/{}/status", child.id()))).unwrap_or(0);
    let _ = child.kill();
    let _ = child.wait();
    println!(
        "{:<26} {:>7} {cpu:>10.3} {:>8.1} {:>8} {:>12.0} {:>9.0} {:>9} {:>8}",
        "rsyslog: file → file",
        "",
        if base > 0.0 { cpu / base } else { 0.0 },
        "",
        lines as f64 / wall,
        rss as f64 / 1024.0,
        "",
        lines - arrived.min(lines)
    );
    Ok(())
}

/// What a pond costs when nothing happens.
fn idle(folder: &Path) -> io::Result<()> {
    let logpond = std::env::current_exe()?.with_file_name("logpond");
    let work = tempfile::tempdir_in(folder)?;
    let many = work.path().join("many");
    fs::create_dir(&many)?;
    for n in 0..10_000 {
        fs::write(many.join(format!("{n}.log")), format!("line of file {n}\n"))?;
    }
    let config = work.path().join("logpond.yaml");
    fs::write(
        &config,
        format!(
            "inputs: {{i: {{file: {{paths: ['{}/none.log']}}}}}}\noutputs: {{o: {{blackhole: {{}}}}}}\n",
            work.path().display()
        ),
    )?;
    let data = |name: &str| work.path().join(name).display().to_string();
    let cases = [
        (
            "idle: run",
            vec!["run".to_owned(), "-c".into(), config.display().to_string(), "--data-dir".into(), data("a")],
        ),
        (
            "idle: up",
            vec![
                "up".into(),
                "--no-journal".into(),
                "--listen".into(),
                "127.0.0.1:0".into(),
                "--data-dir".into(),
                data("b"),
                data("none.log"),
            ],
        ),
        (
            "idle: up, 10,000 files",
            vec![
                "up".into(),
                "--no-journal".into(),
                "--listen".into(),
                "127.0.0.1:0".into(),
                "--data-dir".into(),
                data("c"),
                format!("{}/*.log", many.display()),
            ],
        ),
    ];
    for (name, arguments) in cases {
        let mut child = Command::new(&logpond)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_secs(25));
        let before = cpu_of(child.id());
        std::thread::sleep(Duration::from_secs(10));
        let used = (cpu_of(child.id()) - before).as_secs_f64() / 10.0 * 100.0;
        let rss = measure::rss(Path::new(&format!("/proc/{}/status", child.id()))).unwrap_or(0);
        let _ = child.kill();
        let _ = child.wait();
        println!("{name:<26} {used:>6.2} % of a core, RSS {:>4.0} MiB", rss as f64 / 1024.0);
    }
    Ok(())
}
