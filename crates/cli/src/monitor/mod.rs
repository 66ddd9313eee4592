//! What the monitoring API says of this program, in Logstash's terms.
//!
//! What a Java machine has and this program has not is answered with what comes nearest and is true:
//! the heap is the memory of events under way and its limit, what lies beside it is the rest of the
//! process, and no garbage was ever collected. docs/operate.md lists these.

mod flow;
mod health;
mod machine;
mod pipelines;

use crate::reload::Asks;
use crate::{Failure, log, process};
use disk::{Disk, DiskError};
use flow::{History, Point};
use machine::Machine;
use pipeline::plan::{Monitoring, Plan};
use pipeline::run::stats::{Passed, PipelineStats, Stats};
use pipeline::run::{Running, RunningPipeline};
use pipelines::{Counters, Facts};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use web::monitoring::{HotThread, Members, Monitored, MonitoringOptions};
use web::{Server, TlsFiles, User};

/// Where the program's id is kept in the data directory, as Logstash does.
const ID_FILE: &str = "uuid";
/// The kernel gives a new random UUID to each who reads it (random(4)).
const RANDOM_UUID: &str = "/proc/sys/kernel/random/uuid";

/// What the monitoring API answers from.
pub(crate) struct Monitor {
    running: Weak<Mutex<Running>>,
    asks: Arc<Asks>,
    host: String,
    name: String,
    id: String,
    /// Another one at each start.
    ephemeral_id: String,
    began: Instant,
    /// The same, in milliseconds UTC.
    began_millis: i64,
    data_dir: PathBuf,
    when_full: &'static str,
    past: Mutex<Past>,
}

/// What is only known by looking again and again.
struct Past {
    node: History<Passed>,
    /// By the pipeline and when it was started.
    pipelines: BTreeMap<(String, i64), History<Counters>>,
    threads_peak: u64,
    descriptors_peak: u64,
    heap_peak: u64,
    /// When it was looked at the processors' time last, what it was, and what share was used before.
    cpu: (Instant, f64, u64),
    /// Reloads that were taken up when it was looked last.
    reloads: u64,
}

/// All that runs, at one moment.
struct Look {
    stats: Stats,
    facts: Vec<Facts>,
    machine: Machine,
}

impl Monitor {
    /// Of a plan that runs.
    pub(crate) fn new(
        plan: &Plan,
        running: &Arc<Mutex<Running>>,
        asks: Arc<Asks>,
        disk: &dyn Disk,
        data_dir: &Path,
        host: &str,
    ) -> Result<Self, DiskError> {
        let name = plan.monitoring.as_ref().and_then(|own| own.name.clone());
        let letters = plan.dead_letters.clone().unwrap_or_default();
        let first = Point { at: 0.0, counters: Passed::default() };
        let cpu = process::Process::now().cpu_seconds;
        Ok(Self {
            running: Arc::downgrade(running),
            asks,
            host: host.to_owned(),
            name: name.unwrap_or_else(|| host.to_owned()),
            id: id_of(disk)?,
            ephemeral_id: random_id(),
            began: Instant::now(),
            began_millis: pipeline::run::now() / 1_000_000,
            data_dir: data_dir.to_owned(),
            when_full: match letters.when_full {
                pipeline::plan::WhenFull::DropOldest => "drop_older",
                pipeline::plan::WhenFull::DropNewest => "drop_newer",
            },
            past: Mutex::new(Past {
                node: History::new(first),
                pipelines: BTreeMap::new(),
                threads_peak: 0,
                descriptors_peak: 0,
                heap_peak: 0,
                cpu: (Instant::now(), cpu, 0),
                reloads: 0,
            }),
        })
    }

    /// Looks at the counters if it is time to; called about once a second.
    pub(crate) fn look_now_and_then(&self, running: &Running) {
        let at = self.began.elapsed().as_secs_f64();
        let reloads = self.asks.past().successes;
        {
            let mut past = self.past();
            let is_due = past.node.wants(at) || past.pipelines.is_empty();
            if !is_due && past.reloads == reloads {
                return;
            }
            past.reloads = reloads;
        }
        let stats = running.stats();
        let machine = Machine::now();
        let mut past = self.past();
        past.note(&machine, &stats);
        past.note_cpu();
        past.node.keep(Point { at, counters: stats.passed });
        let key = |own: &PipelineStats| (own.name.clone(), own.began_ns);
        past.pipelines.retain(|name, _| stats.pipelines.iter().any(|own| key(own) == *name));
        for own in &stats.pipelines {
            let history = past.pipelines.entry(key(own)).or_insert_with(|| pipelines::begin(own));
            if history.wants(own.uptime_seconds) {
                history.keep(pipelines::point(own));
            }
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Look {
        let (stats, facts) = self
            .running
            .upgrade()
            .map(|running| {
                let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                let facts = running.pipelines().iter().map(|own: &RunningPipeline| Facts::of(own.plan()));
                (running.stats(), facts.collect())
            })
            .unwrap_or_default();
        let machine = Machine::now();
        self.past().note(&machine, &stats);
        Look { stats, facts, machine }
    }

    /// Another one each time a pipeline is started.
    fn pipeline_id(&self, own: &PipelineStats) -> String {
        uuid_of(&[self.ephemeral_id.as_bytes(), own.name.as_bytes(), &own.began_ns.to_le_bytes()])
    }

    fn dead_letter_path(&self) -> String {
        self.data_dir.join(pipeline::run::dead_letters::FOLDER).display().to_string()
    }

    /// `/_node/stats`, `pipelines`.
    fn pipelines(&self, look: &Look, with_vertices: bool) -> Members {
        let past = self.past();
        let reloads = self.asks.past();
        let letters = &look.stats.dead_letters;
        let mut all = Members::new();
        for (own, facts) in look.stats.pipelines.iter().zip(&look.facts) {
            let id = self.pipeline_id(own);
            let history = past.pipelines.get(&(own.name.clone(), own.began_ns));
            let begun = pipelines::begin(own);
            let mut shown = pipelines::stats(own, history.unwrap_or(&begun));
            shown.insert("reloads".to_owned(), pipelines::reloads(&reloads, &own.name));
            shown.insert("queue".to_owned(), pipelines::queue(own, facts, &self.data_dir));
            shown.insert(
                "dead_letter_queue".to_owned(),
                json!({
                    "queue_size_in_bytes": letters.bytes,
                    "max_queue_size_in_bytes": letters.bytes_max,
                    "last_error": pipelines::last_refusal(own),
                    "storage_policy": self.when_full,
                }),
            );
            shown.insert("hash".to_owned(), facts.hash.as_str().into());
            shown.insert("ephemeral_id".to_owned(), id.as_str().into());
            if with_vertices {
                shown.insert("vertices".to_owned(), pipelines::vertices(own, &id));
            }
            all.insert(own.name.clone(), Value::Object(shown));
        }
        all
    }

    fn jvm(&self, look: &Look) -> Value {
        let memory = look.stats.memory;
        let percent = (memory.used_bytes * 100).checked_div(memory.limit_bytes).unwrap_or(0);
        let beside = look.machine.rss_bytes.saturating_sub(memory.used_bytes);
        let past = self.past();
        let pool = |used: u64, peak: u64, max: u64| {
            json!({
                "used_in_bytes": used, "peak_used_in_bytes": peak, "committed_in_bytes": used,
                "max_in_bytes": max, "peak_max_in_bytes": max,
            })
        };
        let collector = json!({"collection_count": 0, "collection_time_in_millis": 0});
        json!({
            "threads": {"count": look.machine.threads, "peak_count": past.threads_peak},
            "mem": {
                "heap_used_percent": percent,
                "heap_committed_in_bytes": memory.used_bytes,
                "heap_max_in_bytes": memory.limit_bytes,
                "heap_used_in_bytes": memory.used_bytes,
                "non_heap_used_in_bytes": beside,
                "non_heap_committed_in_bytes": beside,
                "pools": {
                    "young": pool(0, 0, 0),
                    "survivor": pool(0, 0, 0),
                    "old": pool(memory.used_bytes, past.heap_peak, memory.limit_bytes),
                },
            },
            "gc": {"collectors": {"young": collector, "old": collector}},
            "uptime_in_millis": self.began.elapsed().as_millis() as u64,
        })
    }

    fn process(&self, look: &Look) -> Value {
        let cpu = process::Process::now().cpu_seconds;
        let past = self.past();
        json!({
            "open_file_descriptors": look.machine.descriptors,
            "peak_open_file_descriptors": past.descriptors_peak,
            "max_file_descriptors": machine::descriptors_max(),
            "mem": {"total_virtual_in_bytes": look.machine.virtual_bytes},
            "cpu": {
                "total_in_millis": (cpu * 1000.0) as u64,
                "percent": past.cpu.2,
                "load_average": machine::load_average(),
            },
        })
    }

    fn health_of(&self, look: &Look) -> health::Report {
        let past = self.past();
        let pipelines = look.stats.pipelines.iter().map(|own| {
            let history = past.pipelines.get(&(own.name.clone(), own.began_ns));
            (own, history.map_or(Value::Null, |history| pipelines::utilization(own, history)))
        });
        health::report(pipelines)
    }
}

impl Past {
    fn note(&mut self, machine: &Machine, stats: &Stats) {
        self.threads_peak = self.threads_peak.max(machine.threads);
        self.descriptors_peak = self.descriptors_peak.max(machine.descriptors);
        self.heap_peak = self.heap_peak.max(stats.memory.used_bytes);
    }

    /// The share of all processors since the look before.
    fn note_cpu(&mut self) {
        let (then, before, _) = self.cpu;
        let (now, cpu) = (Instant::now(), process::Process::now().cpu_seconds);
        let available = cores() as f64 * now.duration_since(then).as_secs_f64();
        if available > 0.0 {
            self.cpu = (now, cpu, ((cpu - before) / available * 100.0).clamp(0.0, 100.0) as u64);
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The program's id, which it keeps.
fn id_of(disk: &dyn Disk) -> Result<String, DiskError> {
    let path = Path::new(ID_FILE);
    if disk.exists(path) {
        let text = disk.read(path)?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        if text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Ok(text);
        }
    }
    let id = random_id();
    disk.write_atomic(path, id.as_bytes())?;
    Ok(id)
}

fn random_id() -> String {
    match std::fs::read_to_string(RANDOM_UUID) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => uuid_of(&[&pipeline::run::now().to_le_bytes(), &std::process::id().to_le_bytes()]),
    }
}

/// A UUID of version 8 (RFC 9562), which may be made in any way, of what is named.
fn uuid_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn members(value: Value) -> Members {
    match value {
        Value::Object(members) => members,
        _ => Members::new(),
    }
}

impl Monitored for Monitor {
    fn head(&self) -> Members {
        let look = self.look();
        let workers = look.stats.pipelines.first().map_or_else(cores, |own| own.workers.threads);
        members(json!({
            "host": self.host,
            "id": self.id,
            "name": self.name,
            "ephemeral_id": self.ephemeral_id,
            "status": self.health_of(&look).status.word(),
            "snapshot": false,
            "pipeline": {"workers": workers, "batch_size": 0, "batch_delay": 0},
        }))
    }

    fn build(&self) -> Members {
        members(json!({
            "build_sha": concat!("logpond-", env!("CARGO_PKG_VERSION")),
            "build_snapshot": false,
        }))
    }

    fn node(&self, with_graph: bool) -> Members {
        let look = self.look();
        let (automatic, interval) = self.asks.looks();
        let mut pipelines = Members::new();
        for (own, facts) in look.stats.pipelines.iter().zip(&look.facts) {
            let mut shown = members(json!({
                "ephemeral_id": self.pipeline_id(own),
                "hash": facts.hash,
                "workers": own.workers.threads,
                // Batches are as large as what was read together, and nobody waits for more.
                "batch_size": 0,
                "batch_delay": 0,
                "config_reload_automatic": automatic,
                "config_reload_interval": interval.as_nanos() as u64,
                "dead_letter_queue_enabled": true,
                "dead_letter_queue_path": self.dead_letter_path(),
            }));
            if with_graph {
                shown.insert("graph".to_owned(), pipelines::graph(own, &facts.hash));
            }
            pipelines.insert(own.name.clone(), Value::Object(shown));
        }
        let memory = look.stats.memory;
        let version = env!("CARGO_PKG_VERSION");
        members(json!({
            "pipelines": pipelines,
            "os": {
                "name": "Linux",
                "arch": java_arch(),
                "version": rustix::system::uname().release().to_string_lossy(),
                "available_processors": cores(),
            },
            "jvm": {
                "pid": std::process::id(),
                "version": version,
                "vm_version": version,
                "vm_vendor": "logpond",
                "vm_name": "logpond, without Java",
                "start_time_in_millis": self.began_millis,
                "mem": {
                    "heap_init_in_bytes": 0,
                    "heap_max_in_bytes": memory.limit_bytes,
                    "non_heap_init_in_bytes": 0,
                    "non_heap_max_in_bytes": 0,
                },
                "gc_collectors": [],
            },
        }))
    }

    fn stats(&self, with_vertices: bool) -> Members {
        let look = self.look();
        let at = self.began.elapsed().as_secs_f64();
        let now = Point { at, counters: look.stats.passed };
        let reloads = self.asks.past();
        let workers: usize = look.stats.pipelines.iter().map(|own| own.workers.threads).sum();
        let flow = pipelines::flow_of_node(&self.past().node, &now, workers);
        let waiting: u64 =
            look.stats.pipelines.iter().filter_map(|own| own.queue.as_ref()).map(|own| own.events).sum();
        let cgroup = machine::cgroup();
        members(json!({
            "jvm": self.jvm(&look),
            "process": self.process(&look),
            "events": pipelines::events(&look.stats.passed),
            "flow": flow,
            "pipelines": self.pipelines(&look, with_vertices),
            "reloads": {"successes": reloads.successes, "failures": reloads.failures},
            "os": cgroup.map_or_else(|| json!({}), |cgroup| json!({"cgroup": cgroup})),
            "queue": {"events_count": waiting},
        }))
    }

    fn more_stats(&self) -> Members {
        // Databases of addresses are files that somebody else brings up to date.
        members(json!({"geoip_download_manager": {}}))
    }

    fn health(&self) -> Members {
        members(self.health_of(&self.look()).shown())
    }

    fn plugins(&self) -> Members {
        let plugins: Vec<Value> = dialects::logstash_plugins()
            .into_iter()
            .map(|name| json!({"name": name, "version": env!("CARGO_PKG_VERSION")}))
            .collect();
        members(json!({"total": plugins.len(), "plugins": plugins}))
    }

    fn threads(&self) -> Vec<HotThread> {
        machine::threads(self.began.elapsed().as_secs_f64())
    }

    fn loggers(&self) -> Members {
        let levels = log::levels().map(log::Levels::shown).unwrap_or_default();
        levels.into_iter().map(|(name, level)| (name.to_owned(), level.into())).collect()
    }

    fn set_loggers(&self, levels: &[(String, String)]) -> Result<(), String> {
        log::levels().map_or_else(|| Err("there is no log".to_owned()), |own| own.set(levels))
    }

    fn reset_loggers(&self) {
        if let Some(levels) = log::levels() {
            levels.reset();
        }
    }

    fn time(&self) -> String {
        event::time::rfc3339(pipeline::run::now())
    }
}

/// The processor in Java's words.
fn java_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

/// Starts the monitoring API.
pub(crate) async fn serve(options: &Monitoring, monitor: Arc<Monitor>) -> Result<Server, Failure> {
    let options = MonitoringOptions {
        host: options.listen.host.clone(),
        ports: options.listen.first..=options.listen.last,
        tls: options.tls.as_ref().map(|tls| TlsFiles { cert: tls.cert.clone(), key: tls.key.clone() }),
        users: options
            .users
            .iter()
            .map(|(name, password)| User { name: name.clone(), password: password.expose().to_owned() })
            .collect(),
    };
    let server = web::monitoring::start(&options, monitor).await?;
    tracing::info!(address = server.address, "the monitoring API answers as Logstash's does");
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = disk::RealDisk::open(folder.path()).expect("a disk");
        let id = id_of(&disk).expect("an id");
        assert_eq!(id.len(), 36);
        assert_eq!(id_of(&disk).expect("an id"), id);
        std::fs::write(folder.path().join(ID_FILE), "nonsense").expect("a file");
        assert_ne!(id_of(&disk).expect("an id"), id);
        // Logstash's own is taken on.
        let theirs = "690de5cc-deb1-48d9-ba02-d4ec1b22e62a";
        std::fs::write(folder.path().join(ID_FILE), theirs).expect("a file");
        assert_eq!(id_of(&disk).expect("an id"), theirs);
        assert_ne!(random_id(), random_id());
        assert_eq!(uuid_of(&[b"a"]), "ca978112-ca1b-8dca-bac2-31b39a23dc4d");
    }
}
