//! A million files of which few are written to: what they cost, and whether each line comes.

use crate::measure;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// So many files are written to.
const ACTIVE: u64 = 10_000;
/// Files in a folder.
const FOLDER: u64 = 10_000;
/// Lines that are written while it is measured.
const LINES: u64 = 200_000;
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The program, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn status(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/status", self.0.id()))
    }

    fn cpu(&self) -> Duration {
        measure::cpu_of(self.0.id())
    }
}

/// Says whether every line came, once.
pub(crate) fn run(files: u64) -> io::Result<bool> {
    // Files in memory where there is room: the disk is not what is measured.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let logs = folder.path().join("logs");
    let path = |n: u64| logs.join(format!("{:04}/app-{n:07}.log", n / FOLDER));
    println!("making {files} files …");
    for n in 0..files {
        if n.is_multiple_of(FOLDER) {
            fs::create_dir_all(path(n).parent().unwrap_or(&logs))?;
        }
        fs::write(path(n), format!("first line of {n}\n"))?;
    }
    let out = folder.path().join("out");
    let config = folder.path().join("logpond.yaml");
    fs::write(
        &config,
        format!(
            "inputs: {{i: {{file: {{paths: ['{}/**/*.log']}}}}}}\noutputs: {{o: {{file: {{path: '{}', codec: raw}}}}}}\n",
            logs.display(),
            out.display()
        ),
    )?;
    let begun = Instant::now();
    let child = Command::new(std::env::current_exe()?.with_file_name("logpond"))
        .args(["--log-level", "error", "run", "-c"])
        .arg(&config)
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let running = Running(child);
    wait_for(&out, files)?;
    let (first, cpu) = (begun.elapsed(), running.cpu());
    println!(
        "each read once         {:>10.1} s, {:.0} µs of CPU per file",
        first.as_secs_f64(),
        per(cpu, files)
    );
    let before = running.cpu();
    std::thread::sleep(Duration::from_secs(60));
    let idle = (running.cpu() - before).as_secs_f64() / 60.0 * 100.0;
    let rss = measure::rss(&running.status()).unwrap_or(0);
    println!(
        "nothing happens        {idle:>10.1} % of a core, RSS {} MiB, {} bytes per file",
        rss >> 10,
        (rss << 10) / files.max(1)
    );
    let (before, begun) = (running.cpu(), Instant::now());
    let active = ACTIVE.min(files);
    for n in 0..LINES {
        let mut file = OpenOptions::new().append(true).open(path(n % active * (files / active)))?;
        writeln!(file, "line {n}")?;
        if n.is_multiple_of(100) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let written = begun.elapsed();
    let wait = Instant::now();
    wait_for(&out, files + LINES)?;
    println!(
        "{active} files are written {:>10.1} s, {:.0} µs of CPU per line; the last came {:.1} s after it was written",
        written.as_secs_f64(),
        per(running.cpu() - before, LINES),
        wait.elapsed().as_secs_f64()
    );
    drop(running);
    let mut seen = HashSet::new();
    let mut twice = 0_u64;
    for line in BufReader::new(File::open(&out)?).lines() {
        twice += u64::from(!seen.insert(line?));
    }
    let lost = (files + LINES).saturating_sub(seen.len() as u64);
    println!("lost                   {lost:>10}\ntwice                  {twice:>10}");
    Ok(lost == 0 && twice == 0)
}

fn per(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// Waits until so many lines came.
fn wait_for(out: &Path, lines: u64) -> io::Result<()> {
    let begun = Instant::now();
    let mut counted = Counted::default();
    while counted.lines < lines {
        if begun.elapsed() > LONGEST_WAIT {
            return Err(io::Error::other(format!(
                "{} of {lines} lines came in {LONGEST_WAIT:?}",
                counted.lines
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
        counted.go_on(out)?;
    }
    Ok(())
}

/// The lines of a file that grows.
#[derive(Default)]
struct Counted {
    bytes: u64,
    lines: u64,
}

impl Counted {
    fn go_on(&mut self, path: &Path) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let Ok(mut file) = File::open(path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.bytes))?;
        let mut fresh = Vec::new();
        self.bytes += file.read_to_end(&mut fresh)? as u64;
        self.lines += memchr::memchr_iter(b'\n', &fresh).count() as u64;
        Ok(())
    }
}
