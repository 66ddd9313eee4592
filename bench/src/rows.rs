//! The table: a calibration row first, then each path through the program.

use crate::corpus;
use crate::latency;
use crate::measure::{self, Cost, cpu_of};
use crate::peers;
use crate::service::{Broker, SearchServer, new_name};
use crate::sink::Sink;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
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
    /// What follows the input: our own format, or, where it begins with `filter`, Logstash's.
    config: &'static str,
    budget: f64,
}

const ROWS: [Row; 19] = [
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
        budget: 0.5,
    },
    Row {
        name: "file → bulk, gzip",
        corpus: "plain",
        lines: 2_000_000,
        config: "queue: none\noutputs: {o: {elasticsearch: {endpoints: [SINK], gzip_level: 1}}}",
        budget: 2.5,
    },
    Row {
        name: "file → Kafka raw",
        corpus: "access",
        lines: 2_000_000,
        config: "queue: none\noutputs: {o: {kafka: {brokers: [BROKER], topic: TOPIC, codec: raw}}}",
        budget: 0.2,
    },
    Row {
        name: "file → Kafka JSON",
        corpus: "access",
        lines: 2_000_000,
        config: "queue: none\noutputs: {o: {kafka: {brokers: [BROKER], topic: TOPIC}}}",
        budget: 0.4,
    },
    Row {
        name: "file → Kafka JSON, lz4",
        corpus: "access",
        lines: 2_000_000,
        config: "queue: none\noutputs: {o: {kafka: {brokers: [BROKER], topic: TOPIC, compression: lz4}}}",
        budget: 0.9,
    },
    Row {
        name: "Kafka → JSON → bulk",
        corpus: "message",
        lines: 1_000_000,
        config: "inputs: {i: {kafka: {brokers: [BROKER], topics: [LOADED], group: TOPIC}}}\nqueue: none\nfilters: [{json: {remove_source: true}}, {date: {source: time, formats: [ISO8601]}}]\noutputs: {o: {elasticsearch: {endpoints: [SINK], gzip_level: 0}}}",
        budget: 0.9,
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
    Row {
        name: "Logstash: grok, date",
        corpus: "access",
        lines: 1_000_000,
        config: "filter { grok { match => { 'message' => '%{COMBINEDAPACHELOG}' } } DATE }",
        budget: 1.5,
    },
    Row {
        name: "Logstash: grok, persisted",
        corpus: "access",
        lines: 1_000_000,
        config: "filter { grok { match => { 'message' => '%{COMBINEDAPACHELOG}' } } DATE } # PERSISTED",
        budget: 1.8,
    },
    Row {
        name: "Logstash: 200 groks, date",
        corpus: "access",
        lines: 200_000,
        config: "filter { grok { match => { 'message' => [PATTERNS, '%{COMBINEDAPACHELOG}'] } } DATE }",
        budget: 30.0,
    },
    Row {
        name: "Logstash: gsub, json, date",
        corpus: "agent",
        lines: 1_000_000,
        config: "filter { mutate { gsub => ['message', '@timestamp', '_@timestamp'] } json { source => 'message' } date { match => ['_@timestamp', 'UNIX'] remove_field => '_@timestamp' remove_tag => '_timestampparsefailure' } mutate { remove_field => ['event', 'message'] } }",
        budget: 2.0,
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
        ("message", corpus::message),
        ("agent", corpus::agent),
    ] {
        let counts: BTreeSet<u64> =
            ROWS.iter().filter(|row| row.corpus == name && wanted(row.name)).map(|row| row.lines).collect();
        for count in &counts {
            make(&folder.path().join(lines_of(name, *count)), *count)?;
        }
        if !counts.is_empty() {
            make(&folder.path().join(format!("{name}-warm")), WARM)?;
            make(&folder.path().join(format!("{name}-part")), PART)?;
        }
        if peers::wants(name, &wanted) {
            make(&folder.path().join(format!("{name}-peers")), peers::LINES)?;
        }
    }
    println!(
        "{:<26} {:>7} {:>10} {:>8} {:>8} {:>12} {:>9} {:>9} {:>8}",
        "", "workers", "µs CPU/ev", "× base", "budget", "events/s", "RSS MiB", "alloc/ev", "lost"
    );
    let mut base = 0.0;
    if let Some(file) = [
        "plain-part",
        "access-part",
        "json-part",
        "message-part",
        "agent-part",
        "plain-peers",
        "access-peers",
        "message-peers",
    ]
    .iter()
    .map(|name| folder.path().join(name))
    .find(|path| path.exists())
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
    let plain = folder.path().join("plain-part");
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
    let place = Place {
        folder: folder.path(),
        broker: OnceCell::new(),
        search_server: OnceCell::new(),
        loaded: RefCell::default(),
    };
    for row in ROWS.iter().filter(|row| wanted(row.name)) {
        for workers in [1, 2] {
            measure_row(row, workers, &place, base)?;
        }
    }
    peers::measure(&place, base, &wanted)?;
    if wanted("start") {
        latency::start(folder.path())?;
    }
    if wanted("search") {
        latency::search(folder.path(), 1_000_000)?;
    }
    // It takes minutes, so it must be asked for.
    if arguments.iter().any(|word| word == "10M") {
        latency::search(folder.path(), 10_000_000)?;
    }
    if wanted("idle") {
        idle(folder.path())?;
    }
    Ok(())
}

/// The file with so many lines of a kind. No such name begins with another one, or the longer file
/// would pass for a rotated copy of the shorter, which has the same beginning.
fn lines_of(corpus: &str, count: u64) -> String {
    format!("{count}-{corpus}")
}

/// How long the bare loop goes on: the clock of the CPU ticks every ten milliseconds.
const CALIBRATION: Duration = Duration::from_secs(1);

/// A bare loop that reads the file, splits it and takes its checksum, again and again.
fn calibrate(path: &Path) -> io::Result<(u64, Cost)> {
    let (begun, before) = (Instant::now(), cpu_of(std::process::id()));
    let mut buffer = vec![0; 256 << 10];
    let (mut lines, mut sum) = (0, 0);
    while begun.elapsed() < CALIBRATION {
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
            sum = crc32c::crc32c_append(sum, &buffer[..read]);
        }
    }
    std::hint::black_box(sum);
    let cpu = cpu_of(std::process::id()) - before;
    Ok((lines, Cost { cpu, wall: begun.elapsed(), ..Cost::default() }))
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

/// Where rows find their lines.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    /// Started for the first row that wants it.
    broker: OnceCell<Broker>,
    search_server: OnceCell<SearchServer>,
    /// The topics that hold the lines of files.
    loaded: RefCell<BTreeMap<String, String>>,
}

fn once<T>(cell: &OnceCell<T>, start: fn() -> io::Result<T>) -> io::Result<&T> {
    match cell.get() {
        Some(started) => Ok(started),
        None => {
            let started = start()?;
            Ok(cell.get_or_init(|| started))
        }
    }
}

impl Place<'_> {
    pub(crate) fn broker(&self) -> io::Result<&Broker> {
        once(&self.broker, Broker::start)
    }

    pub(crate) fn search_server(&self) -> io::Result<&SearchServer> {
        once(&self.search_server, SearchServer::start)
    }

    /// The topic that holds the lines of a file.
    pub(crate) fn loaded(&self, corpus: &str) -> io::Result<String> {
        if let Some(topic) = self.loaded.borrow().get(corpus) {
            return Ok(topic.clone());
        }
        let topic = self.broker()?.load(&self.folder.join(corpus))?;
        self.loaded.borrow_mut().insert(corpus.to_owned(), topic.clone());
        Ok(topic)
    }
}

fn measure_row(row: &Row, workers: u32, folder: &Place<'_>, base: f64) -> io::Result<()> {
    let (warm_corpus, part_corpus) = (format!("{}-warm", row.corpus), format!("{}-part", row.corpus));
    let warm = run_pipeline(row, workers, folder, &warm_corpus, false)?;
    let (cost, arrived) = run_pipeline(row, workers, folder, &lines_of(row.corpus, row.lines), false)?;
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
    // Below zero: so many came twice.
    let lost = arrived.map_or_else(String::new, |arrived| (row.lines as i64 - arrived as i64).to_string());
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

/// Runs a config over a file, or over the topic that holds its lines, until all of it is delivered;
/// the events that arrived, where they can be counted.
fn run_pipeline(
    row: &Row,
    workers: u32,
    place: &Place<'_>,
    corpus: &str,
    counting: bool,
) -> io::Result<(Cost, Option<u64>)> {
    let work = tempfile::tempdir_in(place.folder)?;
    let source = place.folder.join(corpus);
    let out = work.path().join("out");
    let config = work.path().join("logpond.yaml");
    let sink = if row.config.contains("SINK") { Some(Sink::start()?) } else { None };
    if row.config.starts_with("filter") {
        let lines = place.folder.join(corpus);
        let cost = measure::run(logstash(row.config, workers, &lines, work.path(), counting)?)?;
        return Ok((cost, Some(count_lines(&out)?)));
    }
    let mut text = row.config.replace("OUT", &out.display().to_string());
    if let Some(sink) = &sink {
        text = text.replace("SINK", &format!("'{}'", sink.address()));
    }
    let reads_topic = text.contains("LOADED");
    if reads_topic {
        text = text.replace("LOADED", &place.loaded(corpus)?);
    } else {
        text = format!("inputs: {{i: {{file: {{paths: ['{}']}}}}}}\n{text}", source.display());
    }
    let topic = new_name();
    if text.contains("BROKER") {
        let broker = place.broker()?;
        text = text.replace("BROKER", &format!("'{}'", broker.bootstrap())).replace("TOPIC", &topic);
        if !reads_topic {
            broker.topic(&topic)?;
        }
    }
    fs::write(&config, format!("workers: {workers}\n{text}\n"))?;
    let mut command = program(counting)?;
    command.args(["run", "-c"]).arg(&config);
    command.arg("--data-dir").arg(work.path().join("data"));
    let cost = match &sink {
        // A topic has no end: it is enough when all lines came.
        Some(sink) if reads_topic => {
            let lines = count_lines(&source)?;
            measure::run_until(command, || sink.events().is_none_or(|came| came >= lines))?
        }
        _ => {
            command.arg("--until-idle");
            measure::run(command)?
        }
    };
    let arrived = match sink {
        Some(sink) => sink.events(),
        None if row.config.contains("TOPIC") => Some(place.broker()?.records(&topic)?),
        None if out.exists() => Some(count_lines(&out)?),
        None => None,
    };
    Ok((cost, arrived))
}

/// The program, or ourselves as it when allocations are counted.
fn program(counting: bool) -> io::Result<Command> {
    let own = std::env::current_exe()?;
    let mut command = if counting {
        let mut command = Command::new(own);
        command.arg("logpond");
        command
    } else {
        Command::new(own.with_file_name("logpond"))
    };
    command.args(["--log-level", "error"]);
    Ok(command)
}

/// Runs filters of Logstash over the lines of a file, into the file `out` of a folder.
fn logstash(filter: &str, workers: u32, lines: &Path, folder: &Path, counting: bool) -> io::Result<Command> {
    // Patterns that read half a line and find it is another one.
    let patterns: Vec<String> =
        (1..200).map(|n| format!("'%{{IPORHOST:a}} %{{USER:b}} %{{USER:c}} number {n}'")).collect();
    let date = "date { match => ['timestamp', 'dd/MMM/yyyy:HH:mm:ss Z'] remove_field => 'timestamp' } mutate { remove_field => 'message' }";
    let filter = filter.replace("PATTERNS", &patterns.join(", ")).replace("DATE", date);
    let text = format!(
        "input {{ file {{ path => '{}' start_position => beginning }} }}\n{filter}\noutput {{ file {{ path => '{}' codec => json_lines }} }}\n",
        lines.display(),
        folder.join("out").display(),
    );
    fs::write(folder.join("bench.conf"), &text)?;
    let kind = if text.contains("PERSISTED") { "persisted" } else { "memory" };
    fs::write(folder.join("logstash.yml"), format!("queue.type: {kind}\n"))?;
    let mut command = program(counting)?;
    command.args(["run", "--until-idle", "-w", &workers.to_string(), "--path.settings"]).arg(folder);
    command.arg("-f").arg(folder.join("bench.conf")).arg("--path.data").arg(folder.join("data"));
    Ok(command)
}

pub(crate) fn count_lines(path: &Path) -> io::Result<u64> {
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
