//! Taking up a changed plan while the old one runs.
//!
//! 1. The new plan is compared with what runs, by the names of its pipelines. Pipelines that send
//!    events to each other are one: when one of them changed, all of them are replaced.
//! 2. All that is new is built. Until then everything runs on, and when anything is wrong with it,
//!    nothing has happened.
//! 3. What changed ends, and what takes its place begins, with what the old one left: the queue,
//!    inputs that are the same, and batches that found no room.
//!
//! Rejected: starting the new pipeline beside the old one. Both would read the same files, listen at
//! the same ports and share a consumer group for a while, and each input would have to know of it.
//! The price is a pause of the pipelines that changed, of as long as their inputs need to say goodbye.

use super::pipeline::{Built, Remains, RunningPipeline, Threads};
use super::{Running, StartError, bus};
use crate::inputs::InputConfig;
use crate::outputs::OutputConfig;
use crate::plan::{Pipeline, Plan, QueuePart};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The pipelines that a reload touched, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that were replaced.
    pub changed: Vec<String>,
    /// Those that are gone; what lies in their queues is still delivered.
    pub removed: Vec<String>,
}

impl Changes {
    /// Whether everything runs on as it was.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// What goes from the first half of a reload, in which nothing happens, to the second.
struct Turn {
    /// In the order in which events go through them.
    ending: Vec<(String, Threads)>,
    beginning: Vec<Built>,
    /// Of these, those without inputs that only empty their queues.
    leaving: BTreeSet<String>,
    changes: Changes,
}

impl Running {
    /// Goes over to another plan. On an error nothing has happened, unless the error says otherwise:
    /// only the disk or the system's limits can still refuse then.
    ///
    /// The lock is held while parts are built, and not while others end.
    pub fn reload(running: &Mutex<Running>, plan: &Plan) -> Result<Changes, StartError> {
        let turn = lock(running).turn_to(plan)?;
        let Turn { ending, beginning, leaving, changes } = turn;
        let mut remains: BTreeMap<String, Remains> = BTreeMap::new();
        for (name, threads) in ending {
            let next = beginning.iter().find(|next| next.name == name);
            remains.insert(name, threads.retire(next));
        }
        let mut own = lock(running);
        let result = own.begin(beginning, remains, &leaving, plan);
        own.lead_documents();
        result.map(|()| changes)
    }

    /// Compares, builds, and takes the threads of what is to end.
    fn turn_to(&mut self, plan: &Plan) -> Result<Turn, StartError> {
        self.check_fixed(plan)?;
        let plan = &self.with_queues(plan);
        let order = super::check_order(plan)?;
        let changed = self.changed(plan);
        let is_running = |name: &String| self.pipelines.iter().any(|own| own.name() == name);
        let mut changes = Changes::default();
        for name in &changed {
            match (plan.pipelines.contains_key(name), is_running(name)) {
                (true, true) => changes.changed.push(name.clone()),
                (true, false) => changes.added.push(name.clone()),
                (false, _) => changes.removed.push(name.clone()),
            }
        }
        let mut leaving = BTreeSet::new();
        // Addresses are of one run of the pipelines that they join.
        self.world.bus = bus::Bus::default();
        for own in self.pipelines.iter().filter(|own| changed.contains(own.name())) {
            self.sockets.offer(&own.sockets_without(plan.pipelines.get(own.name())));
        }
        let build = || -> Result<_, StartError> {
            let mut beginning = Vec::new();
            for name in order.into_iter().filter(|name| changed.contains(*name)) {
                let Some(next) = plan.pipelines.get(name) else { continue };
                let before = self.pipelines.iter().find(|own| own.name() == name);
                before.map_or(Ok(()), |before| check_queue_stays(before, next))?;
                beginning.push(Built::new(name, next, &self.parts(), before)?);
            }
            for name in &changes.removed {
                let Some(before) = self.pipelines.iter().find(|own| own.name() == name) else { continue };
                if let Some(rest) = without_inputs(&before.plan) {
                    beginning.push(Built::new(name, &rest, &self.parts(), Some(before))?);
                    leaving.insert(name.clone());
                }
            }
            Ok(beginning)
        };
        let built = build();
        self.sockets.clear();
        let beginning = built?;
        // The new bits and counts begin with what is confirmed: documents from outside wait meanwhile.
        if self.pipelines.iter().any(|own| changed.contains(own.name()) && own.target().is_some()) {
            self.door.lead_to(None);
        }
        let ending = self
            .pipelines
            .iter_mut()
            .filter(|own| changed.contains(own.name()))
            .map(|own| (own.name().to_owned(), own.take_threads()));
        Ok(Turn { ending: ending.collect(), beginning, leaving, changes })
    }

    /// Starts what is new, and shows it in place of the old.
    fn begin(
        &mut self,
        beginning: Vec<Built>,
        mut remains: BTreeMap<String, Remains>,
        leaving: &BTreeSet<String>,
        plan: &Plan,
    ) -> Result<(), StartError> {
        let mut failed = None;
        let mut begun: Vec<RunningPipeline> = Vec::new();
        for built in beginning {
            let name = built.name.clone();
            self.taps.moved(&name, built.points());
            match built.start(&self.parts(), remains.remove(&name).unwrap_or_default()) {
                Ok(mut pipeline) => {
                    if leaving.contains(&name) {
                        pipeline.leave();
                    }
                    begun.push(pipeline);
                }
                Err(error) => {
                    tracing::error!(pipeline = name, %error, "the pipeline ended and its successor did not begin");
                    failed = Some(error);
                }
            }
        }
        for pipeline in &mut begun {
            if let Err(error) = pipeline.start_inputs() {
                failed = Some(error);
            }
        }
        let wanted: BTreeSet<&String> = plan.pipelines.values().flat_map(|own| own.inputs.keys()).collect();
        for input in self.pipelines.iter().flat_map(|own| own.plan.inputs.keys()) {
            if !wanted.contains(input) {
                self.registry.input_is_gone(input);
            }
        }
        let mut old: BTreeMap<String, RunningPipeline> =
            std::mem::take(&mut self.pipelines).into_iter().map(|own| (own.name().to_owned(), own)).collect();
        let mut ended = Vec::new();
        for pipeline in begun {
            ended.extend(old.insert(pipeline.name().to_owned(), pipeline));
        }
        for (name, remains) in remains {
            self.taps.moved(&name, &[]);
            ended.extend(old.remove(&name));
            remains.end();
        }
        ended.extend(old.extract_if(.., |_, own| !own.has_threads()).map(|(_, own)| own));
        ended.iter().for_each(|own| self.passed += own.passed());
        // As they are started and ended: who sends comes first.
        let order = bus::order(plan).unwrap_or_default();
        self.pipelines.extend(order.into_iter().filter_map(|name| old.remove(name)));
        self.pipelines.extend(old.into_values());
        failed.map_or(Ok(()), Err)
    }

    /// Lets go of outputs and pipelines that the plan lacks and that have delivered everything.
    pub fn let_go(&mut self) {
        let before = self.pipelines.len();
        let is_over = |own: &mut RunningPipeline| own.let_go();
        for mut pipeline in self.pipelines.extract_if(.., is_over) {
            pipeline.finish(&mut None);
            self.passed += pipeline.passed();
            tracing::info!(pipeline = pipeline.name(), "the pipeline that is gone delivered all");
        }
        if self.pipelines.len() != before {
            self.lead_documents();
        }
    }

    /// What runs on as it was started, whatever the plan says.
    fn check_fixed(&self, plan: &Plan) -> Result<(), StartError> {
        let fixed = [
            ("data_dir", self.fixed.data_dir == plan.data_dir),
            ("memory_limit", self.fixed.memory_limit == plan.memory_limit),
            ("api", self.fixed.api == plan.api),
            ("monitoring", self.fixed.monitoring == plan.monitoring),
            ("store", self.fixed.store == plan.store),
            ("dead_letters", self.fixed.dead_letters == plan.dead_letters),
        ];
        if let Some((name, _)) = fixed.into_iter().find(|(_, is_same)| !is_same) {
            let message = format!("{name:?} is not changed while the program runs: restart it");
            return Err(StartError::Plan(message));
        }
        // The store passes over what it has by the sequences of one queue.
        let running = self.pipelines.iter().find_map(|own| store_of(own.name(), &own.plan));
        let wanted = plan.pipelines.iter().find_map(|(name, own)| store_of(name, own));
        if running != wanted {
            return Err(StartError::Plan(
                "the output \"store\" comes, goes and gets another name or pipeline only by a restart"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The plan, with the queues that run where it says nothing of them: a queue that was there because
    /// of the outputs does not go when one of these does.
    fn with_queues(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        for own in &self.pipelines {
            if let Some(new) = plan.pipelines.get_mut(own.name()) {
                keep_queue(&own.plan, new);
            }
        }
        plan
    }

    /// The pipelines that are not what the plan says, and those that are tied to them.
    fn changed(&self, plan: &Plan) -> BTreeSet<String> {
        let running: BTreeMap<&str, &RunningPipeline> =
            self.pipelines.iter().map(|own| (own.name(), own)).collect();
        let mut changed = BTreeSet::new();
        for (name, own) in &running {
            let is_same = plan.pipelines.get(*name).is_some_and(|new| *new == own.plan && !own.is_leaving);
            let is_gone = own.is_leaving && !plan.pipelines.contains_key(*name);
            if !is_same && !is_gone {
                changed.insert((*name).to_owned());
            }
        }
        changed.extend(plan.pipelines.keys().filter(|name| !running.contains_key(name.as_str())).cloned());
        let plans = running.iter().map(|(name, own)| (*name, &own.plan));
        let plans: Vec<(&str, &Pipeline)> =
            plans.chain(plan.pipelines.iter().map(|(name, plan)| (name.as_str(), plan))).collect();
        tie(&plans, &mut changed);
        changed
    }
}

/// Adds the pipelines that share an address with one that is in the set, and so on.
fn tie(plans: &[(&str, &Pipeline)], changed: &mut BTreeSet<String>) {
    let addresses = |plan: &Pipeline| {
        let mut all = BTreeSet::new();
        for part in plan.inputs.values() {
            if let InputConfig::Pipeline(config) = &part.input {
                all.insert(config.address.clone());
            }
        }
        for part in plan.outputs.values() {
            if let OutputConfig::Pipeline(config) = &part.output {
                all.extend(config.send_to.iter().cloned());
            }
        }
        all
    };
    let plans: Vec<(&str, BTreeSet<String>)> =
        plans.iter().map(|(name, plan)| (*name, addresses(plan))).collect();
    let mut reached = BTreeSet::new();
    loop {
        let before = (changed.len(), reached.len());
        for (name, addresses) in &plans {
            if changed.contains(*name) || !addresses.is_disjoint(&reached) {
                changed.insert((*name).to_owned());
                reached.extend(addresses.iter().cloned());
            }
        }
        if before == (changed.len(), reached.len()) {
            return;
        }
    }
}

/// Writes the queue as it runs, where it means the same or nothing is said of it.
fn keep_queue(own: &Pipeline, new: &mut Pipeline) {
    let Some(options) = own.queue_options() else { return };
    match new.queue_options() {
        None if new.queue.is_none() => new.queue = Some(QueuePart::With(options)),
        Some(wanted) if wanted == options => {
            let written = std::mem::replace(&mut new.queue, own.queue.clone());
            if new.queue_options().is_none() {
                new.queue = written.or(Some(QueuePart::With(options)));
            }
        }
        _ => {}
    }
}

/// A queue that holds events is not taken away: nobody would deliver them.
fn check_queue_stays(before: &RunningPipeline, next: &Pipeline) -> Result<(), StartError> {
    let waiting = before
        .queue()
        .map_or(0, |queue| queue.stats().readers.iter().map(|reader| reader.lag_events).max().unwrap_or(0));
    if waiting == 0 || next.queue_options().is_some() {
        return Ok(());
    }
    Err(StartError::Plan(format!(
        "pipeline {:?} would have no queue any more, and {waiting} events are in it: stop what sends to it until they are delivered",
        before.name()
    )))
}

/// The pipeline and the output that write to the store, if this one does.
fn store_of<'p>(name: &'p str, plan: &'p Pipeline) -> Option<(&'p str, &'p String)> {
    let mut outputs = plan.outputs.iter();
    let found = outputs.find(|(_, part)| matches!(part.output, OutputConfig::Store(_)));
    found.map(|(output, _)| (name, output))
}

/// The plan of a pipeline that is gone, for what lies in its queue; none when there is no queue.
fn without_inputs(plan: &Pipeline) -> Option<Pipeline> {
    let queue = plan.queue_options()?;
    let mut rest = Pipeline {
        queue: Some(QueuePart::With(queue)),
        workers: Some(1),
        outputs: plan.outputs.clone(),
        ..Pipeline::default()
    };
    // Whom these sent to may be gone as well.
    rest.outputs.retain(|_, part| !matches!(part.output, OutputConfig::Pipeline(_)));
    (!rest.outputs.is_empty()).then_some(rest)
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::World;
    use super::*;
    use crate::stop::Stop;
    use disk::RealDisk;
    use serde_json::json;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn plan(pipelines: serde_json::Value) -> Plan {
        serde_json::from_value(json!({ "pipelines": pipelines })).unwrap()
    }

    fn start(folder: &Path, plan: &Plan) -> Mutex<Running> {
        let disk = Arc::new(RealDisk::open(folder.join("data")).unwrap());
        let world = World { disk, store: None, host: "h".to_owned(), bus: bus::Bus::default() };
        Mutex::new(Running::start(plan, &world, Stop::new()).unwrap())
    }

    fn end(running: Mutex<Running>) {
        running.into_inner().unwrap().wait();
    }

    #[track_caller]
    fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !is_there() {
            assert!(Instant::now() < until, "no {what} in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn pipelines_that_share_an_address_are_tied() {
        let sends = |to: &[&str]| json!({"inputs": {"i": {"stdin": {}}}, "outputs": {"o": {"pipeline": {"send_to": to}}}});
        let takes = |at: &str| json!({"inputs": {"i": {"pipeline": {"address": at}}}, "outputs": {"o": {"blackhole": {}}}});
        let plan = plan(
            json!({"a": sends(&["x", "y"]), "b": takes("x"), "c": takes("y"), "d": takes("z"), "e": sends(&["z"])}),
        );
        let plans: Vec<(&str, &Pipeline)> =
            plan.pipelines.iter().map(|(name, own)| (name.as_str(), own)).collect();
        for (changed, expected) in [("b", "a b c"), ("e", "d e"), ("", "")] {
            let mut changed: BTreeSet<String> = changed.split_whitespace().map(str::to_owned).collect();
            tie(&plans, &mut changed);
            assert_eq!(changed.into_iter().collect::<Vec<_>>().join(" "), expected);
        }
    }

    #[test]
    fn queues_that_mean_the_same_are_the_same() {
        #[track_caller]
        fn check(own: &str, new: &str, expected: &str) {
            let pipeline = |text: &str| -> Pipeline {
                let (outputs, queue) = text.split_once(' ').unwrap();
                let outputs: serde_json::Value = outputs
                    .split('+')
                    .map(|name| (name.to_owned(), json!({"blackhole": {}})))
                    .collect::<serde_json::Map<_, _>>()
                    .into();
                let queue: serde_json::Value = serde_json::from_str(queue).unwrap();
                serde_json::from_value(
                    json!({"inputs": {"i": {"stdin": {}}}, "outputs": outputs, "queue": queue}),
                )
                .unwrap()
            };
            let (own, mut new) = (pipeline(own), pipeline(new));
            keep_queue(&own, &mut new);
            assert_eq!(new, pipeline(expected));
        }
        let explicit = serde_json::to_string(&QueuePart::With(crate::plan::QueueOptions::default())).unwrap();
        check("a+b null", "a+b null", "a+b null");
        check("a+b null", "a null", &format!("a {explicit}"));
        check(&format!("a {explicit}"), "a null", &format!("a {explicit}"));
        check(&format!("a {explicit}"), "a+b null", &format!("a+b {explicit}"));
        check("a+b null", "a {}", &format!("a {explicit}"));
        check("a+b null", "a \"none\"", "a \"none\"");
        check("a+b null", "a+b {\"events_max\":5}", "a+b {\"events_max\":5}");
        check("a null", "a null", "a null");
        check("a null", "a+b null", "a+b null");
    }

    #[test]
    fn an_input_that_is_the_same_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let numbers: Vec<String> = (0..1_000).map(|n: u32| n.to_string()).collect();
        let with = |generation: u64, queue: serde_json::Value| {
            plan(json!({"p": {
                "inputs": {"g": {"generate": {"lines": numbers, "rate": 4_000}}},
                "filters": [{"set": {"fields": {"generation": generation}}}],
                "queue": queue,
                "outputs": {"f": {"file": {"path": out, "codec": {"text": "%{generation} %{message}"}}}},
            }}))
        };
        for queue in [json!("none"), json!({})] {
            let _ = std::fs::remove_file(&out);
            let running = start(folder.path(), &with(0, queue.clone()));
            let lines = || {
                std::fs::read_to_string(&out)
                    .unwrap_or_default()
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            for generation in 1..4 {
                let before = lines().len();
                wait_for("lines", || lines().len() > before);
                let changes = Running::reload(&running, &with(generation, queue.clone())).unwrap();
                assert_eq!(changes, Changes { changed: vec!["p".to_owned()], ..Changes::default() });
            }
            assert!(Running::reload(&running, &with(3, queue.clone())).unwrap().is_empty());
            wait_for("the last plan", || lines().iter().any(|line| line.starts_with("3 ")));
            running.lock().unwrap().stop();
            end(running);
            let found = lines();
            let parts = |line: &String| -> (u32, u32) {
                let (generation, n) = line.split_once(' ').unwrap();
                (generation.parse().unwrap(), n.parse().unwrap())
            };
            let found: Vec<(u32, u32)> = found.iter().map(parts).collect();
            assert!(found.is_sorted_by_key(|(generation, _)| *generation) && found[0].0 == 0, "{queue}");
            // One that was started again would repeat what was not acknowledged yet.
            assert!(found.windows(2).all(|two| two[1].1 == (two[0].1 + 1) % 1_000), "{queue}");
        }
    }

    #[test]
    fn what_cannot_be_built_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let good = json!({"inputs": {"g": {"generate": {"rate": 10}}}, "outputs": {"b": {"blackhole": {}}}});
        let running = start(folder.path(), &plan(json!({"p": good})));
        #[track_caller]
        fn refuses(running: &Mutex<Running>, plan: &Plan, reason: &str) {
            let error = Running::reload(running, plan).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            let own = running.lock().unwrap();
            assert!(own.pipelines().len() == 1 && own.pipelines()[0].is_reading(0), "{reason}");
        }
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut bad = good.clone();
        bad["inputs"]["t"] = json!({"tcp": {"listen": [taken.local_addr().unwrap().to_string()]}});
        refuses(&running, &plan(json!({"p": bad})), "another program, or another input, listens there");
        refuses(&running, &plan(json!({"p": good, "q": bad})), "listens there");
        let mut bad = good.clone();
        bad["outputs"]["s"] = json!({"store": {}});
        refuses(&running, &plan(json!({"p": bad})), "only by a restart");
        let mut other = plan(json!({"p": good}));
        other.data_dir = Some("/elsewhere".into());
        refuses(&running, &other, "\"data_dir\" is not changed while the program runs");
        running.lock().unwrap().stop();
        end(running);
    }

    #[test]
    fn what_finds_no_room_waits_for_the_next_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let with = |output: serde_json::Value| {
            plan(json!({"p": {
                "inputs": {"g": {"generate": {"lines": ["x".repeat(1_000)], "count": 40_000}}},
                "queue": {"bytes_max": 1 << 20, "segment_bytes": 128 << 10},
                "outputs": {"o": output},
            }}))
        };
        let down = json!({"http": {"url": "http://127.0.0.1:1/"}});
        let running = start(folder.path(), &with(down.clone()));
        let read = || running.lock().unwrap().pipelines()[0].ledger().read;
        let mut last = 0;
        wait_for("a full queue", || {
            std::thread::sleep(Duration::from_millis(300));
            std::mem::replace(&mut last, read()) == last && last > 0
        });
        assert!(last < 40_000, "the input waits");
        // Another output that is down holds up nothing, and nothing is lost on the way.
        let begun = Instant::now();
        Running::reload(&running, &with(json!({"http": {"url": "http://127.0.0.1:1/other"}}))).unwrap();
        Running::reload(&running, &with(json!({"file": {"path": out, "codec": {"text": "%{message}"}}})))
            .unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
        wait_for("all lines", || {
            // As the program does now and then: the queue keeps what the registry lacks.
            running.lock().unwrap().pipelines()[0].registry_saved();
            lines() >= 40_000
        });
        let ledger = running.lock().unwrap().pipelines()[0].ledger();
        assert!(ledger.outputs[0].balanced, "{ledger:?}");
        end(running);
        assert_eq!(lines(), 40_000);
    }
}
