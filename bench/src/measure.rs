//! Running a program to its end and reading what it cost.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a run cost, as the operating system counted it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) rss_kib: u64,
    /// Allocations of the whole process, when it counts them.
    pub(crate) allocations: Option<u64>,
}

/// Runs a command under `/usr/bin/time`-like accounting: `/proc` is read while it runs, since
/// a child's own figures are gone once it is reaped.
pub(crate) fn run(command: Command) -> io::Result<Cost> {
    run_until(command, || false)
}

/// The same for a program that does not end by itself: it is asked to (SIGTERM) as soon as it has
/// done enough.
pub(crate) fn run_until(mut command: Command, mut enough: impl FnMut() -> bool) -> io::Result<Cost> {
    let begin = Instant::now();
    let before = children_cpu();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut stderr = child.stderr.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said);
        said
    });
    let (mut rss_kib, mut wall) = (0, None);
    let status = loop {
        rss_kib = peak_rss(Path::new(&status_file)).unwrap_or(rss_kib);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if wall.is_none() && enough() {
            wall = Some(begin.elapsed());
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::TERM,
            )?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = reader.join().unwrap_or_default();
    if !status.success() {
        return Err(io::Error::other(format!("it ended with {status}: {said}")));
    }
    let allocations =
        said.rsplit("allocations=").next().and_then(|rest| rest.lines().next()?.trim().parse().ok());
    Ok(Cost {
        cpu: children_cpu() - before,
        wall: wall.unwrap_or_else(|| begin.elapsed()),
        rss_kib,
        allocations,
    })
}

/// User and system time of all children that were reaped.
fn children_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Behind the name: the state is the first, cutime and cstime are the 14th and 15th.
    let tick = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let ticks = tick(13) + tick(14);
    Duration::from_millis(ticks * 10)
}

/// The greatest resident memory so far.
pub(crate) fn peak_rss(status: &Path) -> Option<u64> {
    field(status, "VmHWM:")
}

/// The resident memory of now.
pub(crate) fn rss(status: &Path) -> Option<u64> {
    field(status, "VmRSS:")
}

fn field(status: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// User and system time of a running process.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let tick = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((tick(11) + tick(12)) * 10)
}
