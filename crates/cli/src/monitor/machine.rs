//! What the system says of this process, its threads, its control group and its disks.

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use web::monitoring::HotThread;

/// What the system says of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Machine {
    /// Memory that is mapped.
    pub(super) virtual_bytes: u64,
    /// Memory in RAM.
    pub(super) rss_bytes: u64,
    /// Threads.
    pub(super) threads: u64,
    /// File descriptors that are open.
    pub(super) descriptors: u64,
}

impl Machine {
    /// As it is now.
    pub(super) fn now() -> Self {
        let status = read("/proc/self/status");
        // One of them is that of the folder itself.
        let descriptors =
            fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
        Self {
            virtual_bytes: number(&status, "VmSize:") * 1024,
            rss_bytes: number(&status, "VmRSS:") * 1024,
            threads: number(&status, "Threads:"),
            descriptors: descriptors as u64,
        }
    }
}

/// How many file descriptors may be open.
pub(super) fn descriptors_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The number of a line of `/proc/PID/status` (proc_pid_status(5)), which is in kB for memory.
fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The load of the machine over one, five and fifteen minutes (proc_loadavg(5)).
pub(super) fn load_average() -> Value {
    let text = read("/proc/loadavg");
    let mut loads = text.split(' ').map(|load| load.parse::<f64>().unwrap_or(0.0));
    let mut next = || loads.next().unwrap_or(0.0);
    json!({"1m": next(), "5m": next(), "15m": next()})
}

/// The threads of this process with their share of the time since it began, the busiest first.
pub(super) fn threads(uptime_seconds: f64) -> Vec<HotThread> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    // One that ends meanwhile has no file any more.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let mut threads: Vec<HotThread> =
        stats.filter_map(|stat| thread(&stat, clock_ticks_per_second(), uptime_seconds)).collect();
    threads.sort_by(|one, other| other.cpu_percent.total_cmp(&one.cpu_percent).then(one.id.cmp(&other.id)));
    threads
}

/// A line of `/proc/PID/task/TID/stat` (proc_pid_stat(5)). The name, in brackets, may hold anything.
fn thread(stat: &str, ticks_per_second: u64, uptime_seconds: f64) -> Option<HotThread> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    // The third field and those behind it.
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = (ticks(14)? + ticks(15)?) as f64 / ticks_per_second.max(1) as f64;
    let percent = if uptime_seconds > 0.0 { seconds / uptime_seconds * 100.0 } else { 0.0 };
    let state = match *fields.first()? {
        "R" => "runnable",
        "D" => "blocked",
        "S" | "I" => "waiting",
        "T" | "t" => "suspended",
        _ => "terminated",
    };
    Some(HotThread {
        name: name.to_owned(),
        id: id.parse().ok()?,
        cpu_percent: (percent * 100.0).floor() / 100.0,
        state,
    })
}

/// The disk on which a folder lies: its free bytes for us, and the kind of its file system.
pub(super) fn disk_of(folder: &Path) -> (u64, String) {
    let free = rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    (free, file_system(&read("/proc/self/mountinfo"), &folder).unwrap_or_default())
}

/// By `/proc/self/mountinfo` (proc_pid_mountinfo(5)); of mounts at the same place the last one counts.
fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mut found: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (own, rest) = line.split_once(" - ")?;
        let place = own.split(' ').nth(4)?.replace("\\040", " ");
        let depth = Path::new(&place).components().count();
        if folder.starts_with(&place) && found.is_none_or(|(deepest, _)| depth >= deepest) {
            found = Some((depth, rest.split(' ').next()?));
        }
    }
    found.map(|(_, kind)| kind.to_owned())
}

/// What the control group of this process used and may use of the processors; nothing without one.
pub(super) fn cgroup() -> Option<Value> {
    cgroup_in(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup"))
}

/// By `/proc/PID/cgroup` (cgroups(7)), version 1 or 2, in the terms of version 1, which are Logstash's.
fn cgroup_in(root: &Path, text: &str) -> Option<Value> {
    let groups = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let groups: Vec<(&str, &str)> = groups.collect();
    let of = |wanted: &str| {
        groups.iter().find(|(names, _)| names.split(',').any(|name| name == wanted)).map(|(_, path)| *path)
    };
    // In a container the path is that of outside, and its own group is at the root.
    let file = |folder: &str, path: &str, name: &str| {
        let folder = root.join(folder);
        fs::read_to_string(folder.join(path.trim_start_matches('/')).join(name))
            .or_else(|_| fs::read_to_string(folder.join(name)))
            .ok()
    };
    let stat = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse::<u64>().ok())
    };
    let whole = |text: Option<String>| text.and_then(|text| text.trim().parse::<i64>().ok());
    if let (Some(usage_path), Some(path)) = (of("cpuacct"), of("cpu")) {
        let folder = |one: &str, both: &str| match root.join(one).exists() {
            true => one.to_owned(),
            false => both.to_owned(),
        };
        let (accounts, cpu) = (folder("cpuacct", "cpu,cpuacct"), folder("cpu", "cpu,cpuacct"));
        let stats = file(&cpu, path, "cpu.stat").unwrap_or_default();
        return Some(json!({
            "cpuacct": {
                "control_group": usage_path,
                "usage_nanos": whole(file(&accounts, usage_path, "cpuacct.usage"))?,
            },
            "cpu": {
                "control_group": path,
                "cfs_period_micros": whole(file(&cpu, path, "cpu.cfs_period_us")).unwrap_or(0),
                "cfs_quota_micros": whole(file(&cpu, path, "cpu.cfs_quota_us")).unwrap_or(-1),
                "stat": {
                    "number_of_elapsed_periods": stat(&stats, "nr_periods").unwrap_or(0),
                    "number_of_times_throttled": stat(&stats, "nr_throttled").unwrap_or(0),
                    "time_throttled_nanos": stat(&stats, "throttled_time").unwrap_or(0),
                },
            },
        }));
    }
    let path = of("")?;
    let stats = file("", path, "cpu.stat")?;
    let max = file("", path, "cpu.max").unwrap_or_default();
    let (quota, period) = max.trim().split_once(' ').unwrap_or(("max", "100000"));
    Some(json!({
        "cpuacct": {"control_group": path, "usage_nanos": stat(&stats, "usage_usec")? * 1000},
        "cpu": {
            "control_group": path,
            "cfs_period_micros": period.parse::<i64>().unwrap_or(0),
            // As version 1 says that there is none.
            "cfs_quota_micros": quota.parse::<i64>().unwrap_or(-1),
            "stat": {
                "number_of_elapsed_periods": stat(&stats, "nr_periods").unwrap_or(0),
                "number_of_times_throttled": stat(&stats, "nr_throttled").unwrap_or(0),
                "time_throttled_nanos": stat(&stats, "throttled_usec").unwrap_or(0) * 1000,
            },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        let machine = Machine::now();
        assert!(machine.virtual_bytes >= machine.rss_bytes && machine.rss_bytes > 1 << 20, "{machine:?}");
        assert!(machine.threads >= 1 && machine.descriptors >= 3 && descriptors_max() >= machine.descriptors);
        assert!(threads(1.0).len() as u64 >= 1);
        let (free, kind) = disk_of(Path::new("/"));
        assert!(free > 0 && !kind.is_empty(), "{free} {kind}");
    }

    #[test]
    fn lines_of_threads() {
        let line = |name: &str, state: &str| {
            format!("42 ({name}) {state} 1 1 1 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 9 0 1 1 1\n")
        };
        let hot = |text: &str| thread(text, 100, 10.0);
        let expected = HotThread { name: "work:0".into(), id: 42, cpu_percent: 20.0, state: "runnable" };
        assert_eq!(hot(&line("work:0", "R")), Some(expected));
        let odd = hot(&line("a) b (c", "S")).map(|thread| (thread.name, thread.state));
        assert_eq!(odd, Some(("a) b (c".to_owned(), "waiting")));
        for wrong in ["", "42", "42 (x) R", "x (y) R 1 1 1 0 -1 4194304 1 0 0 0 150 50"] {
            assert_eq!(hot(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn mounts() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /da rw shared:1 - xfs /dev/b rw\n\
                      3 1 0:1 / /data rw - btrfs /dev/c rw\n4 1 0:1 / /a\\040b rw - tmpfs none rw\n";
        for (folder, expected) in
            [("/data/queue", "btrfs"), ("/dat", "ext4"), ("/da", "xfs"), ("/a b/c", "tmpfs")]
        {
            assert_eq!(file_system(mounts, Path::new(folder)).as_deref(), Some(expected), "{folder}");
        }
        assert_eq!(file_system("", Path::new("/")), None);
        assert_eq!(file_system("nonsense", Path::new("/")), None);
    }

    #[test]
    fn control_groups_of_both_versions() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        put("own/cpu.stat", "usage_usec 7\nnr_periods 3\nnr_throttled 2\nthrottled_usec 5\n");
        put("own/cpu.max", "200000 100000\n");
        let found = cgroup_in(folder.path(), "0::/own\n");
        let expected = json!({
            "cpuacct": {"control_group": "/own", "usage_nanos": 7_000},
            "cpu": {"control_group": "/own", "cfs_period_micros": 100_000, "cfs_quota_micros": 200_000, "stat": {
                "number_of_elapsed_periods": 3, "number_of_times_throttled": 2, "time_throttled_nanos": 5_000}},
        });
        assert_eq!(found, Some(expected));
        put("cpu,cpuacct/elastic1/cpuacct.usage", "378\n");
        put("cpu,cpuacct/elastic1/cpu.cfs_period_us", "1000000\n");
        put("cpu,cpuacct/elastic1/cpu.cfs_quota_us", "-1\n");
        put("cpu,cpuacct/elastic1/cpu.stat", "nr_periods 4\nnr_throttled 1\nthrottled_time 9\n");
        let found = cgroup_in(folder.path(), "4:cpu,cpuacct:/elastic1\n3:memory:/x\n0::/\n");
        let expected = json!({
            "cpuacct": {"control_group": "/elastic1", "usage_nanos": 378},
            "cpu": {"control_group": "/elastic1", "cfs_period_micros": 1_000_000, "cfs_quota_micros": -1, "stat": {
                "number_of_elapsed_periods": 4, "number_of_times_throttled": 1, "time_throttled_nanos": 9}},
        });
        assert_eq!(found, Some(expected));
        assert_eq!(cgroup_in(folder.path(), "0::/nowhere\n"), None);
        assert_eq!(cgroup_in(folder.path(), "nonsense"), None);
    }
}
