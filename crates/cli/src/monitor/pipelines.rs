//! Pipelines in Logstash's terms: what passed, how fast, through which plugins, and what waits.

use super::flow::{History, Point};
use super::machine;
use crate::reload::Reloads;
use pipeline::plan::Pipeline;
use pipeline::run::queue_folder;
use pipeline::run::stats::{FilterStats, OutputStats, Passed, PipelineStats};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What is known of a pipeline by its plan.
pub(super) struct Facts {
    /// Of what it is to do.
    pub(super) hash: String,
    /// The size of a segment of the queue, and how many events it may hold.
    page_bytes: u64,
    events_max: u64,
}

impl Facts {
    pub(super) fn of(plan: &Pipeline) -> Self {
        let text = serde_json::to_string(plan).unwrap_or_default();
        let queue = plan.queue_options().unwrap_or_default();
        Self {
            hash: super::hex(&Sha256::digest(text.as_bytes())),
            page_bytes: queue.segment_bytes.0,
            events_max: queue.events_max,
        }
    }
}

/// What is counted of a pipeline; the plugins in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counters {
    passed: Passed,
    queue_events: u64,
    queue_bytes: u64,
    /// Events of each input.
    inputs: Vec<u64>,
    /// Time and events of each filter.
    filters: Vec<(u64, u64)>,
    /// Time and events of each output.
    outputs: Vec<(u64, u64)>,
}

/// Filters that are one for who looks: what a plugin was translated into has one id.
struct OneFilter {
    id: String,
    kind: String,
    came: u64,
    went: u64,
    spent_ns: u64,
}

fn filters(own: &PipelineStats) -> Vec<OneFilter> {
    let mut all: Vec<OneFilter> = Vec::new();
    let mut before: Option<&FilterStats> = None;
    for filter in &own.filters {
        let is_same = filter.id.is_some() && before.is_some_and(|before| before.id == filter.id);
        before = Some(filter);
        match all.last_mut().filter(|_| is_same) {
            Some(one) => {
                one.went = (one.went + filter.went).saturating_sub(filter.came);
                one.spent_ns += filter.spent_ns;
                if filter.came > one.came {
                    one.went += filter.came - one.came;
                    one.came = filter.came;
                }
            }
            None => all.push(OneFilter {
                id: filter.id.clone().unwrap_or_else(|| filter.at.clone()),
                kind: filter.kind.clone(),
                came: filter.came,
                went: filter.went,
                spent_ns: filter.spent_ns,
            }),
        }
    }
    all
}

/// The time that an output took, in nanoseconds, and the events that came to it.
fn work_of(output: &OutputStats) -> (u64, u64) {
    (output.spent.work_ns + output.spent.paused_ns, output.delivered + output.dead)
}

/// The counters of now.
pub(super) fn point(own: &PipelineStats) -> Point<Counters> {
    let counters = Counters {
        passed: own.passed,
        queue_events: own.queue.as_ref().map_or(0, |queue| queue.events),
        queue_bytes: own.queue.as_ref().map_or(0, |queue| queue.bytes),
        inputs: own.inputs.iter().map(|input| input.events).collect(),
        filters: filters(own).iter().map(|filter| (filter.spent_ns, filter.came)).collect(),
        outputs: own.outputs.iter().map(work_of).collect(),
    };
    Point { at: own.uptime_seconds, counters }
}

/// A history that begins with the pipeline: with what was in the queue then, as far as is known.
pub(super) fn begin(own: &PipelineStats) -> History<Counters> {
    let Point { counters, .. } = point(own);
    let first = Counters {
        queue_events: counters.queue_events,
        queue_bytes: counters.queue_bytes,
        inputs: vec![0; counters.inputs.len()],
        filters: vec![(0, 0); counters.filters.len()],
        outputs: vec![(0, 0); counters.outputs.len()],
        ..Counters::default()
    };
    History::new(Point { at: 0.0, counters: first })
}

/// `events`
pub(super) fn events(passed: &Passed) -> Value {
    json!({
        "in": passed.read,
        "filtered": passed.filtered,
        "out": passed.out,
        "duration_in_millis": millis(passed.work_ns),
        "queue_push_duration_in_millis": millis(passed.blocked_ns),
    })
}

fn millis(ns: u64) -> u64 {
    ns / 1_000_000
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// `flow` of what passed through whatever has these counters.
fn flow<C>(
    history: &History<C>,
    now: &Point<C>,
    workers: usize,
    passed: impl Fn(&C) -> Passed,
) -> Map<String, Value> {
    let mut flow = Map::new();
    let workers = workers.max(1) as f64;
    let mut rate = |name: &str, count: fn(Passed) -> f64, scale: f64| {
        let rates = history.rates(now, |point| (count(passed(&point.counters)) * scale, point.at));
        flow.insert(name.to_owned(), rates);
    };
    rate("input_throughput", |passed| passed.read as f64, 1.0);
    rate("filter_throughput", |passed| passed.filtered as f64, 1.0);
    rate("output_throughput", |passed| passed.out as f64, 1.0);
    rate("queue_backpressure", |passed| seconds(passed.blocked_ns), 1.0);
    rate("worker_concurrency", |passed| seconds(passed.work_ns), 1.0);
    rate("worker_utilization", |passed| seconds(passed.work_ns), 100.0 / workers);
    flow
}

/// `flow` of the whole program.
pub(super) fn flow_of_node(history: &History<Passed>, now: &Point<Passed>, workers: usize) -> Value {
    Value::Object(flow(history, now, workers, |passed| *passed))
}

/// How much of the time the filters' threads of a pipeline work, in percent.
pub(super) fn utilization(own: &PipelineStats, history: &History<Counters>) -> Value {
    let flow = flow(history, &point(own), own.workers.threads, |counters| counters.passed);
    flow.get("worker_utilization").cloned().unwrap_or_default()
}

/// `events`, `flow` and `plugins` of a pipeline.
pub(super) fn stats(own: &PipelineStats, history: &History<Counters>) -> Map<String, Value> {
    let now = point(own);
    let mut flow = flow(history, &now, own.workers.threads, |counters| counters.passed);
    if own.queue.is_some() {
        let growth = |count: fn(&Counters) -> u64| {
            history.rates(&now, |point| (count(&point.counters) as f64, point.at))
        };
        flow.insert("queue_persisted_growth_bytes".to_owned(), growth(|counters| counters.queue_bytes));
        flow.insert("queue_persisted_growth_events".to_owned(), growth(|counters| counters.queue_events));
    }
    let mut shown = Map::new();
    shown.insert("events".to_owned(), events(&own.passed));
    shown.insert("flow".to_owned(), Value::Object(flow));
    shown.insert(
        "plugins".to_owned(),
        json!({
            "inputs": inputs(own, history, &now),
            // Reading and writing is done in the inputs and outputs, and counted there.
            "codecs": [],
            "filters": filters_shown(own, history, &now),
            "outputs": outputs(own, history, &now),
        }),
    );
    shown
}

fn inputs(own: &PipelineStats, history: &History<Counters>, now: &Point<Counters>) -> Vec<Value> {
    let shown = own.inputs.iter().enumerate().map(|(number, input)| {
        let throughput = history.rates(now, |point| (at(&point.counters.inputs, number) as f64, point.at));
        json!({
            "id": input.name,
            "name": input.kind,
            "events": {
                "out": input.events,
                "queue_push_duration_in_millis": millis(input.spent.blocked_ns),
            },
            "flow": {"throughput": throughput},
        })
    });
    shown.collect()
}

fn at<T: Copy + Default>(all: &[T], number: usize) -> T {
    all.get(number).copied().unwrap_or_default()
}

/// The two rates of a plugin that works on events, by its time and its events.
fn worker_flow(
    history: &History<Counters>,
    now: &Point<Counters>,
    workers: usize,
    of: impl Fn(&Counters) -> (u64, u64),
) -> Value {
    let percent = 100.0 / workers.max(1) as f64;
    json!({
        "worker_utilization": history.rates(now, |point| (seconds(of(&point.counters).0) * percent, point.at)),
        "worker_millis_per_event": history.rates(now, |point| {
            let (ns, events) = of(&point.counters);
            (ns as f64 / 1e6, events as f64)
        }),
    })
}

fn filters_shown(own: &PipelineStats, history: &History<Counters>, now: &Point<Counters>) -> Vec<Value> {
    let shown = filters(own).into_iter().enumerate().map(|(number, filter)| {
        let of = |counters: &Counters| at(&counters.filters, number);
        json!({
            "id": filter.id,
            "name": filter.kind,
            "events": {
                "in": filter.came,
                "out": filter.went,
                "duration_in_millis": millis(filter.spent_ns),
            },
            "flow": worker_flow(history, now, own.workers.threads, of),
        })
    });
    shown.collect()
}

fn outputs(own: &PipelineStats, history: &History<Counters>, now: &Point<Counters>) -> Vec<Value> {
    let shown = own.outputs.iter().enumerate().map(|(number, output)| {
        // Each has a thread of its own.
        let of = |counters: &Counters| at(&counters.outputs, number);
        let (ns, came) = work_of(output);
        let mut shown = json!({
            "id": output.name,
            "name": output.kind,
            "events": {
                "in": came,
                "out": output.delivered,
                "duration_in_millis": millis(ns),
            },
            "flow": worker_flow(history, now, 1, of),
        });
        if output.kind == "elasticsearch" {
            shown["documents"] =
                json!({"successes": output.delivered, "non_retryable_failures": output.dead});
        }
        shown
    });
    shown.collect()
}

/// `reloads` of a pipeline. A config that was not taken up counts as a failure of each.
pub(super) fn reloads(past: &Reloads, pipeline: &str) -> Value {
    let own = past.pipelines.get(pipeline);
    let error = (past.failures > 0)
        .then(|| json!({"message": past.last_problems.join("; "), "backtrace": past.last_problems}));
    json!({
        "successes": own.map_or(0, |own| own.successes),
        "last_success_timestamp": own.map(|own| &own.last_success),
        "failures": past.failures,
        "last_failure_timestamp": past.last_failure,
        "last_error": error,
    })
}

/// `queue` of a pipeline.
pub(super) fn queue(own: &PipelineStats, facts: &Facts, data_dir: &Path) -> Value {
    let Some(queue) = &own.queue else {
        let waiting = own.ledger.open.max(0);
        return json!({
            "type": "memory", "events_count": waiting, "queue_size_in_bytes": 0, "max_queue_size_in_bytes": 0,
        });
    };
    let folder = data_dir.join(queue_folder(&own.name));
    let (free, storage) = machine::disk_of(&folder);
    json!({
        "type": "persisted",
        "events": queue.events,
        "events_count": queue.events,
        "queue_size_in_bytes": queue.bytes,
        "max_queue_size_in_bytes": queue.bytes_max,
        "capacity": {
            "queue_size_in_bytes": queue.bytes,
            "max_queue_size_in_bytes": queue.bytes_max,
            "page_capacity_in_bytes": facts.page_bytes,
            "max_unread_events": facts.events_max,
        },
        "data": {"path": folder.display().to_string(), "free_space_in_bytes": free, "storage_type": storage},
    })
}

/// Why an output refused the last event that was refused, in the words that Logstash has for none.
pub(super) fn last_refusal(own: &PipelineStats) -> String {
    let refusals = own.outputs.iter().filter_map(|output| output.last_refusal.as_ref());
    let last = refusals.max_by(|one, other| one.since.cmp(&other.since));
    last.map_or_else(|| "no errors".to_owned(), |said| said.text.clone())
}

/// The plugins as vertices of the graph, with what they counted.
pub(super) fn vertices(own: &PipelineStats, pipeline_id: &str) -> Value {
    let inputs = own.inputs.iter().map(|input| {
        json!({
            "id": input.name, "pipeline_ephemeral_id": pipeline_id, "events_out": input.events,
            "queue_push_duration_in_millis": millis(input.spent.blocked_ns),
        })
    });
    let filters = filters(own).into_iter().map(|filter| {
        json!({
            "id": filter.id, "pipeline_ephemeral_id": pipeline_id, "events_in": filter.came,
            "events_out": filter.went, "duration_in_millis": millis(filter.spent_ns),
        })
    });
    let outputs = own.outputs.iter().map(|output| {
        let (ns, came) = work_of(output);
        json!({
            "id": output.name, "pipeline_ephemeral_id": pipeline_id, "events_in": came,
            "events_out": output.delivered, "duration_in_millis": millis(ns),
        })
    });
    inputs.chain(filters).chain(outputs).collect()
}

/// The way of events: inputs, queue, filters one behind the other, outputs. Conditions are not drawn.
pub(super) fn graph(own: &PipelineStats, hash: &str) -> Value {
    const QUEUE: &str = "__QUEUE__";
    let mut vertices = Vec::new();
    let mut edges = Vec::new();
    let plugin = |id: &str, kind: &str, name: &str, is_named: bool| {
        json!({
            "id": id, "explicit_id": is_named, "type": "plugin", "plugin_type": kind, "config_name": name,
            "meta": null,
        })
    };
    let mut edge = |from: &str, to: &str| {
        let id = super::hex(&Sha256::digest(format!("{from}\n{to}").as_bytes()));
        edges.push(json!({"id": id, "from": from, "to": to, "type": "plain"}));
    };
    for input in &own.inputs {
        vertices.push(plugin(&input.name, "input", &input.kind, true));
        edge(&input.name, QUEUE);
    }
    vertices.push(json!({"id": QUEUE, "explicit_id": false, "type": "queue", "meta": null}));
    let mut last = QUEUE.to_owned();
    for filter in filters(own) {
        let is_named = own.filters.iter().any(|step| step.id.as_ref() == Some(&filter.id));
        vertices.push(plugin(&filter.id, "filter", &filter.kind, is_named));
        edge(&last, &filter.id);
        last = filter.id;
    }
    for output in &own.outputs {
        vertices.push(plugin(&output.name, "output", &output.kind, true));
        edge(&last, &output.name);
    }
    json!({
        "hash": hash, "type": "lir", "version": "0.0.0",
        "graph": {"vertices": vertices, "edges": edges},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_one_id_are_one() {
        #[track_caller]
        fn check(steps: &[(Option<&str>, u64, u64)], expected: &[(&str, u64, u64)]) {
            let steps: Vec<Value> = steps
                .iter()
                .enumerate()
                .map(|(number, (id, came, went))| {
                    json!({"at": format!("filters.{number}"), "kind": "mutate", "id": id, "came": came,
                        "went": went, "spent_ns": 1, "sampled_ns": 0, "samples": 0})
                })
                .collect();
            let spent = json!({"idle_ns": 0, "work_ns": 0, "blocked_ns": 0, "paused_ns": 0});
            let own: PipelineStats = serde_json::from_value(json!({
                "name": "main", "inputs": [], "outputs": [], "queue": null, "filters": steps,
                "workers": {"threads": 1, "spent": spent},
                "ledger": {"pipeline": "main", "read": 0, "bytes": 0, "made": 0, "dropped": 0, "merged": 0,
                    "returned": 0, "open": 0, "failed": 0, "outputs": []},
            }))
            .expect("stats");
            let found = filters(&own);
            let found: Vec<_> = found.iter().map(|own| (own.id.as_str(), own.came, own.went)).collect();
            assert_eq!(found, expected);
        }
        check(&[(None, 9, 9), (None, 9, 8)], &[("filters.0", 9, 9), ("filters.1", 9, 8)]);
        check(&[(Some("a"), 9, 9), (Some("b"), 9, 3)], &[("a", 9, 9), ("b", 9, 3)]);
        // The second step is for some of the events alone.
        check(&[(Some("a"), 9, 9), (Some("a"), 4, 4)], &[("a", 9, 9)]);
        // It makes events of these, or drops them.
        check(&[(Some("a"), 9, 9), (Some("a"), 4, 12)], &[("a", 9, 17)]);
        check(&[(Some("a"), 9, 5), (Some("a"), 5, 1)], &[("a", 9, 1)]);
        // The first step is for some of the events alone.
        check(&[(Some("a"), 4, 4), (Some("a"), 9, 9)], &[("a", 9, 9)]);
    }
}
