//! From a pipeline to another of the same program: addresses, and the batches that wait there.
//!
//! A sender gives a batch with its acknowledgment, which is done when the receiving pipeline has it
//! delivered or on disk; so what is read is safe end to end, and a receiver that is slow holds up its
//! senders. Receivers end when all their senders are gone: pipelines are started, and ended, in the
//! order in which events go through them, and there are no circles.

use crate::inputs::InputConfig;
use crate::outputs::OutputConfig;
use crate::plan::Plan;
use event::Batch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many batches wait at an address.
const WAITING_MAX: usize = 2;

/// The addresses of a program.
#[derive(Clone, Default)]
pub struct Bus(Arc<Mutex<BTreeMap<String, Arc<Address>>>>);

#[derive(Default)]
struct Address {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    senders: usize,
    /// Nobody takes anything any more.
    is_closed: bool,
}

impl Address {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus {
    fn address(&self, name: &str) -> Arc<Address> {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.entry(name.to_owned()).or_default().clone()
    }

    /// The end of an address that gives.
    pub(crate) fn sender(&self, name: &str) -> Sender {
        let address = self.address(name);
        address.state().senders += 1;
        Sender(address)
    }

    /// The end of an address that takes.
    pub(crate) fn receiver(&self, name: &str) -> Receiver {
        Receiver(self.address(name))
    }
}

/// See [`Bus::sender`].
pub(crate) struct Sender(Arc<Address>);

impl Sender {
    /// Waits for room; false when there is none in time.
    pub(crate) fn wait_for_room(&self, at_most: Duration) -> bool {
        let state = self.0.state();
        let is_full = |state: &mut State| state.waiting.len() >= WAITING_MAX && !state.is_closed;
        let waited = self.0.changed.wait_timeout_while(state, at_most, is_full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !is_full(&mut state)
    }

    /// Gives a batch. Where nobody takes it any more it is let go, undone.
    pub(crate) fn give(&self, batch: Batch) {
        let mut state = self.0.state();
        if state.is_closed {
            return;
        }
        state.waiting.push_back(batch);
        self.0.changed.notify_all();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state().senders -= 1;
        self.0.changed.notify_all();
    }
}

/// See [`Bus::receiver`].
pub(crate) struct Receiver(Arc<Address>);

/// What [`Receiver::take`] found.
pub(crate) enum Taken {
    /// A batch.
    Batch(Box<Batch>),
    /// None came in time.
    Nothing,
    /// There is none, and all senders are gone.
    Over,
}

impl Receiver {
    /// Takes the next batch, waiting for one.
    pub(crate) fn take(&self, at_most: Duration) -> Taken {
        let state = self.0.state();
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.senders > 0;
        let waited = self.0.changed.wait_timeout_while(state, at_most, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.waiting.pop_front() {
            Some(batch) => {
                self.0.changed.notify_all();
                Taken::Batch(Box::new(batch))
            }
            None if state.senders == 0 => Taken::Over,
            None => Taken::Nothing,
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        // Let go outside of the lock: who hears of it may ask for it.
        let waiting = std::mem::take(&mut state.waiting);
        self.0.changed.notify_all();
        drop(state);
        drop(waiting);
    }
}

/// What is wrong with the ways between pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misled {
    /// The pipeline.
    pub pipeline: String,
    /// `inputs` or `outputs`, and the name of the part.
    pub part: Option<(&'static str, String)>,
    /// What is wrong.
    pub message: String,
}

/// The pipelines, those that send before those that they send to, else by name.
pub fn order(plan: &Plan) -> Result<Vec<&String>, Misled> {
    let mut receivers: BTreeMap<&str, &String> = BTreeMap::new();
    for (name, pipeline) in &plan.pipelines {
        for (input, part) in &pipeline.inputs {
            let InputConfig::Pipeline(config) = &part.input else { continue };
            if let Some(other) = receivers.insert(&config.address, name) {
                let message =
                    format!("the address {:?} is that of an input of {other:?} as well", config.address);
                return Err(Misled {
                    pipeline: name.clone(),
                    part: Some(("inputs", input.clone())),
                    message,
                });
            }
        }
    }
    let mut before: BTreeMap<&String, BTreeSet<&String>> =
        plan.pipelines.keys().map(|name| (name, BTreeSet::new())).collect();
    for (name, pipeline) in &plan.pipelines {
        for (output, part) in &pipeline.outputs {
            let OutputConfig::Pipeline(config) = &part.output else { continue };
            for address in &config.send_to {
                let Some(receiver) = receivers.get(address.as_str()) else {
                    let message = format!("no input \"pipeline\" has the address {address:?}");
                    return Err(Misled {
                        pipeline: name.clone(),
                        part: Some(("outputs", output.clone())),
                        message,
                    });
                };
                before.entry(receiver).or_default().insert(name);
            }
        }
    }
    let mut order: Vec<&String> = Vec::new();
    while !before.is_empty() {
        let free = before.iter().find(|(_, senders)| senders.is_empty()).map(|(name, _)| *name);
        let Some(free) = free else {
            let pipeline = before.keys().next().map(|name| (*name).clone()).unwrap_or_default();
            let names: Vec<&str> = before.keys().map(|name| name.as_str()).collect();
            let message = format!("events would go in a circle: {}", names.join(", "));
            return Err(Misled { pipeline, part: None, message });
        };
        before.remove(free);
        for senders in before.values_mut() {
            senders.remove(free);
        }
        order.push(free);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Share;
    use std::sync::mpsc::channel;

    fn plan(text: &str) -> Plan {
        let part = |(name, from, to): (&str, &str, &str)| {
            let inputs = if from.is_empty() {
                serde_json::json!({"i": {"stdin": {}}})
            } else {
                serde_json::json!({"i": {"pipeline": {"address": from}}})
            };
            let send_to: Vec<&str> = to.split('+').filter(|to| !to.is_empty()).collect();
            let outputs = if send_to.is_empty() {
                serde_json::json!({"o": {"blackhole": {}}})
            } else {
                serde_json::json!({"o": {"pipeline": {"send_to": send_to}}})
            };
            (name.to_owned(), serde_json::json!({"inputs": inputs, "outputs": outputs}))
        };
        let pipelines: serde_json::Map<String, serde_json::Value> = text
            .split_whitespace()
            .map(|text| {
                let mut parts = text.split(':');
                let mut next = || parts.next().unwrap_or_default();
                part((next(), next(), next()))
            })
            .collect();
        serde_json::from_value(serde_json::json!({ "pipelines": pipelines })).unwrap()
    }

    #[test]
    fn who_sends_comes_first() {
        #[track_caller]
        fn check(text: &str, expected: Result<&[&str], &str>) {
            let plan = plan(text);
            match (order(&plan), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.message.contains(expected), "{found:?}"),
                (found, _) => panic!("{found:?}"),
            }
        }
        check("a b", Ok(&["a", "b"]));
        check("a:x b::x", Ok(&["b", "a"]));
        check("a:x:y b:y c::x+y", Ok(&["c", "a", "b"]));
        check("a::x", Err("no input \"pipeline\" has the address \"x\""));
        check("a:x b:x", Err("is that of an input of \"a\" as well"));
        check("a:x:y b:y:x", Err("in a circle: a, b"));
        check("a:x:x", Err("in a circle: a"));
    }

    #[test]
    fn batches_wait_and_ends_are_told() {
        let bus = Bus::default();
        let (sender, receiver) = (bus.sender("a"), bus.receiver("a"));
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Nothing));
        for _ in 0..WAITING_MAX {
            assert!(sender.wait_for_room(Duration::ZERO));
            sender.give(Batch::new());
        }
        assert!(!sender.wait_for_room(Duration::from_millis(10)));
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Batch(_)));
        assert!(sender.wait_for_room(Duration::ZERO));
        drop(sender);
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Batch(_)));
        assert!(matches!(receiver.take(Duration::from_secs(60)), Taken::Over));
    }

    #[test]
    fn what_nobody_takes_is_undone() {
        let bus = Bus::default();
        let (sender, receiver) = (bus.sender("a"), bus.receiver("a"));
        let (told, hears) = channel();
        for early in [true, false] {
            let told = told.clone();
            let mut batch = Batch::new();
            batch.acks.push(Share::new(move |done| told.send((early, done)).unwrap()));
            if !early {
                assert!(matches!(receiver.take(Duration::ZERO), Taken::Batch(_)));
                assert_eq!(hears.recv().unwrap(), (true, false));
            }
            sender.give(batch);
        }
        drop(receiver);
        assert_eq!(hears.recv().unwrap(), (false, false));
        assert!(sender.wait_for_room(Duration::ZERO), "nothing waits there any more");
    }
}
