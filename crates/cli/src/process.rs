//! What this process takes of the machine.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs;

/// What a process takes of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Time on a processor since it began, of all threads.
    pub(crate) cpu_seconds: f64,
    /// Memory that it has in RAM.
    pub(crate) rss_bytes: u64,
}

impl Process {
    /// This process now.
    pub(crate) fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            rss_bytes: rss_of(&status).unwrap_or(0),
        }
    }
}

/// `VmRSS:     1234 kB` of `/proc/PID/status` (proc_pid_status(5)).
fn rss_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_something() {
        let process = Process::now();
        assert!(process.cpu_seconds > 0.0 && process.rss_bytes > 1 << 20, "{process:?}");
        assert_eq!(rss_of("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(rss_of("VmRSS: many"), None);
    }
}
