//! What `top` shows: two looks at a pond, and what happened between them.

use crate::reload::Reloads;
use crate::status::PondStats;
use pipeline::registry::Standing;
use pipeline::run::Spent;
use pipeline::run::dead_letters::Summary;
use pipeline::run::ledger::{LedgerView, Said};
use pipeline::run::stats::{InputStats, MemoryStats, OutputState, OutputStats, PipelineStats, QueueStats};
use serde::Serialize;

/// All that `top` shows; `--json` prints it. Names stay as they are, new ones may come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct View {
    /// When this was, RFC 3339.
    pub(super) time: String,
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) uptime_seconds: f64,
    /// The time between the two looks, over which rates and percentages are.
    pub(super) interval_seconds: f64,
    /// What holds up the rest, if anything does.
    pub(super) bottleneck: Option<Bottleneck>,
    pub(super) process: ProcessView,
    pub(super) memory: MemoryStats,
    pub(super) dead_letters: Summary,
    /// How changed configs were taken up.
    pub(super) reloads: Reloads,
    pub(super) pipelines: Vec<PipelineView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Bottleneck {
    pub(super) pipeline: String,
    /// Such as `outputs.es`, `filters`, `queue`.
    pub(super) part: String,
    pub(super) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct ProcessView {
    /// Of one processor: 200 is two of them.
    pub(super) cpu_percent: f64,
    pub(super) cpu_seconds: f64,
    pub(super) rss_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PipelineView {
    pub(super) name: String,
    pub(super) inputs: Vec<InputView>,
    pub(super) workers: WorkersView,
    pub(super) filters: Vec<FilterView>,
    pub(super) queue: Option<QueueView>,
    pub(super) outputs: Vec<OutputView>,
    pub(super) ledger: LedgerView,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct InputView {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) events_per_second: f64,
    pub(super) bytes_per_second: f64,
    #[serde(flatten)]
    pub(super) standing: Standing,
    pub(super) reading: bool,
    /// How much of the time it waited for whoever is behind it.
    pub(super) blocked_percent: f64,
    pub(super) trouble: Option<Said>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct WorkersView {
    pub(super) threads: usize,
    pub(super) busy_percent: f64,
    pub(super) blocked_percent: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct FilterView {
    pub(super) at: String,
    pub(super) kind: String,
    /// Of the time that all filters took, by samples.
    pub(super) share_percent: f64,
    pub(super) ns_per_event: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct QueueView {
    #[serde(flatten)]
    pub(super) stats: QueueStats,
    /// Of the limit of bytes or that of events, whichever is nearer.
    pub(super) fill_percent: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OutputView {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) state: OutputState,
    pub(super) delivered: u64,
    pub(super) events_per_second: f64,
    pub(super) in_flight: i64,
    pub(super) dead: u64,
    pub(super) dead_per_second: f64,
    pub(super) retries: u64,
    pub(super) behind_bytes: Option<u64>,
    pub(super) oldest_seconds: Option<f64>,
    pub(super) busy_percent: f64,
    pub(super) trouble: Option<Said>,
    pub(super) last_trouble: Option<Said>,
    pub(super) last_refusal: Option<Said>,
}

/// From there on a part is busy, or waited for.
const BUSY: f64 = 80.0;
const BLOCKED: f64 = 25.0;
const FULL: f64 = 95.0;

impl View {
    /// What happened between two looks at the same pond.
    pub(super) fn new(before: &PondStats, now: &PondStats) -> Self {
        // A pond that was started anew counts from the beginning.
        let none =
            PondStats { time_ns: now.time_ns - (now.uptime_seconds * 1e9) as i64, ..PondStats::default() };
        let before =
            if before.pid == now.pid && before.uptime_seconds <= now.uptime_seconds { before } else { &none };
        let seconds = ((now.uptime_seconds - before.uptime_seconds).max(1e-3)).max(1e-3);
        let pipeline = |own: &PipelineStats| {
            let then = before.stats.pipelines.iter().find(|then| then.name == own.name);
            pipeline_view(then, own, seconds)
        };
        let mut view = Self {
            time: event::time::rfc3339(now.time_ns),
            version: now.version.clone(),
            pid: now.pid,
            uptime_seconds: now.uptime_seconds,
            interval_seconds: seconds,
            bottleneck: None,
            process: ProcessView {
                cpu_percent: (now.process.cpu_seconds - before.process.cpu_seconds).max(0.0) / seconds
                    * 100.0,
                cpu_seconds: now.process.cpu_seconds,
                rss_bytes: now.process.rss_bytes,
            },
            memory: now.stats.memory,
            dead_letters: now.stats.dead_letters,
            reloads: now.reloads.clone(),
            pipelines: now.stats.pipelines.iter().map(pipeline).collect(),
        };
        view.bottleneck = view.pipelines.iter().find_map(bottleneck);
        view
    }
}

fn pipeline_view(before: Option<&PipelineStats>, now: &PipelineStats, seconds: f64) -> PipelineView {
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
    let input = |own: &InputStats| {
        let then = before.and_then(|then| then.inputs.iter().find(|then| then.name == own.name));
        let shares = Shares::between(then.map(|then| &then.spent), &own.spent);
        InputView {
            name: own.name.clone(),
            kind: own.kind.clone(),
            events: own.events,
            bytes: own.bytes,
            events_per_second: rate(own.events, then.map_or(0, |then| then.events)),
            bytes_per_second: rate(own.bytes, then.map_or(0, |then| then.bytes)),
            standing: own.standing,
            reading: own.reading,
            // A thread that has ended waits for nobody.
            blocked_percent: if own.reading { shares.blocked } else { 0.0 },
            trouble: own.trouble.clone(),
        }
    };
    let output = |own: &OutputStats| {
        let then = before.and_then(|then| then.outputs.iter().find(|then| then.name == own.name));
        OutputView {
            name: own.name.clone(),
            kind: own.kind.clone(),
            state: own.state,
            delivered: own.delivered,
            events_per_second: rate(own.delivered, then.map_or(0, |then| then.delivered)),
            in_flight: own.in_flight,
            dead: own.dead,
            dead_per_second: rate(own.dead, then.map_or(0, |then| then.dead)),
            retries: own.retries,
            behind_bytes: own.behind_bytes,
            oldest_seconds: own.oldest_seconds,
            busy_percent: Shares::between(then.map(|then| &then.spent), &own.spent).work,
            trouble: own.trouble.clone(),
            last_trouble: own.last_trouble.clone(),
            last_refusal: own.last_refusal.clone(),
        }
    };
    let workers = Shares::between(before.map(|then| &then.workers.spent), &now.workers.spent);
    PipelineView {
        name: now.name.clone(),
        inputs: now.inputs.iter().map(input).collect(),
        workers: WorkersView {
            threads: now.workers.threads,
            busy_percent: workers.work,
            blocked_percent: workers.blocked,
        },
        filters: filters_view(before, now),
        queue: now.queue.as_ref().map(|stats| {
            let part =
                |used: u64, limit: u64| if limit == 0 { 0.0 } else { used as f64 / limit as f64 * 100.0 };
            let fill = part(stats.bytes, stats.bytes_max).max(part(stats.events, stats.events_max));
            QueueView { stats: stats.clone(), fill_percent: fill }
        }),
        outputs: now.outputs.iter().map(output).collect(),
        ledger: now.ledger.clone(),
    }
}

fn filters_view(before: Option<&PipelineStats>, now: &PipelineStats) -> Vec<FilterView> {
    let taken: Vec<(u64, u64)> = now
        .filters
        .iter()
        .enumerate()
        .map(|(n, own)| {
            let then = before.and_then(|then| then.filters.get(n)).filter(|then| then.at == own.at);
            let (ns, samples) = then.map_or((0, 0), |then| (then.sampled_ns, then.samples));
            (own.sampled_ns.saturating_sub(ns), own.samples.saturating_sub(samples))
        })
        .collect();
    let all: u64 = taken.iter().map(|(ns, _)| ns).sum();
    let view = |(own, (ns, samples)): (&pipeline::run::stats::FilterStats, &(u64, u64))| FilterView {
        at: own.at.clone(),
        kind: own.kind.clone(),
        share_percent: if all == 0 { 0.0 } else { *ns as f64 / all as f64 * 100.0 },
        ns_per_event: (*samples > 0).then(|| *ns as f64 / *samples as f64),
    };
    now.filters.iter().zip(&taken).map(view).collect()
}

/// What part of the time threads spent on something, in percent.
#[derive(Debug, Default, PartialEq)]
struct Shares {
    work: f64,
    blocked: f64,
}

impl Shares {
    fn between(before: Option<&Spent>, now: &Spent) -> Self {
        let then = before.copied().unwrap_or_default();
        let took = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let work = took(now.work_ns, then.work_ns);
        let blocked = took(now.blocked_ns, then.blocked_ns);
        let all = work + blocked + took(now.idle_ns, then.idle_ns) + took(now.paused_ns, then.paused_ns);
        if all == 0.0 {
            return Self::default();
        }
        Self { work: work / all * 100.0, blocked: blocked / all * 100.0 }
    }
}

/// Looks from the end for who holds up the others.
fn bottleneck(pipeline: &PipelineView) -> Option<Bottleneck> {
    let named =
        |part: String, reason: String| Some(Bottleneck { pipeline: pipeline.name.clone(), part, reason });
    let output = |output: &OutputView| format!("outputs.{}", output.name);
    let stuck = pipeline.outputs.iter().filter(|output| output.in_flight > 0).find_map(|output| {
        (output.state == OutputState::Waiting).then_some((output, output.trouble.as_ref()?))
    });
    if let Some((stuck, trouble)) = stuck {
        return named(output(stuck), format!("cannot deliver: {}", trouble.text));
    }
    let slowest = pipeline.outputs.iter().max_by_key(|output| output.in_flight);
    if let (Some(queue), Some(slowest)) =
        (pipeline.queue.as_ref().filter(|queue| queue.fill_percent >= FULL), slowest)
    {
        let reason = format!("the queue is full ({:.0} %), and this output is the last", queue.fill_percent);
        return named(output(slowest), reason);
    }
    let busiest = pipeline.outputs.iter().max_by(|a, b| a.busy_percent.total_cmp(&b.busy_percent));
    if pipeline.workers.blocked_percent >= BLOCKED {
        return match (&pipeline.queue, busiest) {
            (None, Some(busiest)) => named(
                output(busiest),
                format!("the filters wait for it {:.0} % of the time", pipeline.workers.blocked_percent),
            ),
            _ => named(
                "queue".to_owned(),
                format!(
                    "the filters wait for its disk {:.0} % of the time",
                    pipeline.workers.blocked_percent
                ),
            ),
        };
    }
    if pipeline.workers.busy_percent >= BUSY {
        let costly = pipeline.filters.iter().max_by(|a, b| a.share_percent.total_cmp(&b.share_percent));
        let who = costly.filter(|filter| filter.share_percent > 0.0).map_or_else(String::new, |filter| {
            format!("; {} ({}) takes {:.0} % of that", filter.at, filter.kind, filter.share_percent)
        });
        return named(
            "filters".to_owned(),
            format!("their threads are busy {:.0} % of the time{who}", pipeline.workers.busy_percent),
        );
    }
    let held = pipeline.inputs.iter().any(|input| input.blocked_percent >= BLOCKED);
    if let Some(busiest) =
        busiest.filter(|output| output.busy_percent >= BUSY && (held || output.in_flight > 0))
    {
        return named(output(busiest), format!("it is busy {:.0} % of the time", busiest.busy_percent));
    }
    let behind = pipeline.inputs.iter().filter(|input| input.reading && input.is_behind());
    let behind = behind.max_by_key(|input| input.standing.bytes_behind);
    behind.and_then(|input| match &input.trouble {
        Some(trouble) => named(format!("inputs.{}", input.name), format!("cannot read: {}", trouble.text)),
        None => named(format!("inputs.{}", input.name), "it reads as fast as it can".to_owned()),
    })
}

impl InputView {
    /// Whether more waits to be read than what is just being written.
    fn is_behind(&self) -> bool {
        self.standing.seconds_behind > 1 || self.standing.events_behind.unwrap_or(0) > 1_000
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spent(work_ms: u64, blocked_ms: u64, idle_ms: u64) -> Value {
        json!({
            "work_ns": work_ms * 1_000_000, "blocked_ns": blocked_ms * 1_000_000,
            "idle_ns": idle_ms * 1_000_000, "paused_ns": 0,
        })
    }

    /// A pond at some second of its life.
    pub(in super::super) fn stats(at: u64) -> Value {
        let summary = json!({"letters": 3, "bytes": 900, "bytes_max": 1 << 30});
        let standing = json!({"files": 1_000, "files_behind": 2, "bytes_behind": 5_000_000,
            "seconds_behind": 0, "unreadable": 0});
        let mut input = json!({"name": "nginx", "kind": "file", "events": 1_000 * at, "bytes": 200_000 * at,
            "reading": true, "trouble": null, "spent": spent(1_000 * at, 0, 0)});
        for (name, value) in standing.as_object().expect("an object") {
            input[name] = value.clone();
        }
        let ledger_output = json!({"name": "es", "carried": 0, "pushed": 0, "replayed": 0, "delivered": 900 * at,
            "dead": 3, "elsewhere": 0, "in_flight": 100 * at - 3, "retries": 0, "trouble": null, "balanced": true});
        let output = json!({"name": "es", "kind": "elasticsearch", "state": "ok", "delivered": 900 * at,
            "in_flight": 100 * at - 3, "dead": 3, "retries": 7, "behind_bytes": 20_000 * at,
            "oldest_seconds": 12.0, "trouble": null, "last_trouble": null,
            "last_refusal": {"text": "mapper_parsing_exception", "since": "2026-11-21T10:00:00Z"},
            "spent": spent(500 * at, 0, 500 * at)});
        json!({
            "version": "0.1.0", "pid": 7, "time_ns": 1_795_268_730_000_000_000_i64 + at as i64 * 1_000_000_000,
            "uptime_seconds": at as f64, "process": {"cpu_seconds": at as f64 * 0.5, "rss_bytes": 50 << 20},
            "memory": {"used_bytes": 1 << 20, "limit_bytes": 64 << 20}, "dead_letters": summary,
            "pipelines": [{
                "name": "main",
                "ledger": {"pipeline": "main", "read": 1_000 * at, "bytes": 200_000 * at, "made": 0, "dropped": 0,
                    "merged": 0, "returned": 0, "open": 0, "failed": 0, "outputs": [ledger_output]},
                "inputs": [input],
                "workers": {"threads": 2, "spent": spent(400 * at, 0, 1_600 * at)},
                "filters": [
                    {"at": "filters.0", "kind": "grok", "sampled_ns": 3_000 * at, "samples": at},
                    {"at": "filters.1", "kind": "set", "sampled_ns": 1_000 * at, "samples": at},
                ],
                "queue": {"events": 100 * at, "bytes": 20_000 * at, "bytes_max": 1_000_000, "events_max": 0,
                    "oldest_seconds": 12.0},
                "outputs": [output],
            }],
        })
    }

    pub(in super::super) fn view(change: impl Fn(&mut Value)) -> View {
        let read = |at| {
            let mut stats = stats(at);
            change(&mut stats["pipelines"][0]);
            serde_json::from_value::<PondStats>(stats).unwrap()
        };
        View::new(&read(10), &read(12))
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let view = view(|_| ());
        let pipeline = &view.pipelines[0];
        assert_eq!((view.interval_seconds, view.process.cpu_percent), (2.0, 50.0));
        let input = &pipeline.inputs[0];
        assert_eq!((input.events_per_second, input.bytes_per_second), (1_000.0, 200_000.0));
        assert_eq!((pipeline.workers.busy_percent, pipeline.outputs[0].busy_percent), (20.0, 50.0));
        assert_eq!(
            (pipeline.filters[0].share_percent, pipeline.filters[0].ns_per_event),
            (75.0, Some(3_000.0))
        );
        assert_eq!(pipeline.outputs[0].events_per_second, 900.0);
        assert_eq!(view.bottleneck, None);
    }

    #[test]
    fn a_pond_that_was_started_anew_counts_from_the_beginning() {
        let read = |at, pid| {
            let mut stats = stats(at);
            stats["pid"] = json!(pid);
            serde_json::from_value::<PondStats>(stats).unwrap()
        };
        let view = View::new(&read(1_000, 1), &read(5, 2));
        assert_eq!((view.interval_seconds, view.pipelines[0].inputs[0].events_per_second), (5.0, 1_000.0));
    }

    #[test]
    fn who_holds_up_the_others_is_named() {
        #[track_caller]
        fn check(change: impl Fn(&mut Value), part: &str, reason: &str) {
            let found = view(change).bottleneck.unwrap();
            assert!(found.part == part && found.reason.contains(reason), "{found:?}");
        }
        let trouble = json!({"text": "connection refused", "since": "2026-11-21T10:00:00Z"});
        check(
            |p| (p["outputs"][0]["state"], p["outputs"][0]["trouble"]) = (json!("waiting"), trouble.clone()),
            "outputs.es",
            "cannot deliver: connection refused",
        );
        check(|p| p["queue"]["bytes_max"] = json!(240_000), "outputs.es", "the queue is full");
        check(|p| p["queue"]["events_max"] = json!(1_200), "outputs.es", "the queue is full");
        let times = |n: u64, work, blocked| spent(work * n, blocked * n, (1_000 - work - blocked) * n);
        let second = |p: &Value| p["ledger"]["read"].as_u64().unwrap() / 1_000;
        check(|p| p["workers"]["spent"] = times(second(p), 100, 400), "queue", "wait for its disk 40 %");
        check(
            |p| {
                p["queue"] = Value::Null;
                p["workers"]["spent"] = times(second(p), 100, 400);
            },
            "outputs.es",
            "the filters wait for it 40 %",
        );
        check(
            |p| p["workers"]["spent"] = times(second(p), 900, 0),
            "filters",
            "busy 90 % of the time; filters.0 (grok) takes 75 %",
        );
        check(|p| p["outputs"][0]["spent"] = times(second(p), 950, 0), "outputs.es", "busy 95 %");
        check(|p| p["inputs"][0]["seconds_behind"] = json!(5), "inputs.nginx", "as fast as it can");
        check(|p| p["inputs"][0]["events_behind"] = json!(50_000), "inputs.nginx", "as fast as it can");
    }
}
