//! The filters of a plan, compiled: a flat list in which `if` is a jump.
//!
//! Where a filter makes events of one (clone, split), these go on behind the filter that made them,
//! once the event itself has gone through the chain. They belong behind it in the order in which
//! Logstash has them; the batch is [put in order](event::Batch::arrange) when all are through.

use super::early::{self, Early};
use crate::plan::{FilterStep, Step};
use event::{Batch, Common, Event};
use expr::Condition;
use filters::on_success::{OnSuccess, add_tags};
use filters::{BuildError, Filter, Provider};
use std::sync::Arc;
use std::time::Duration;

/// Why a chain cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {message}")]
pub struct ChainError {
    /// Which step, such as `filters[2].then[0].grok`.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// A compiled chain. Each worker has its own.
#[derive(Default)]
pub struct Chain {
    steps: Vec<Compiled>,
    filters: Vec<Named>,
    /// Events that filters made, and the step at which each goes on.
    made: Vec<(usize, usize)>,
    pause: Duration,
    /// The first steps, as far as they can be taken once for an origin.
    early: Vec<Early>,
    /// The step behind them.
    behind_early: usize,
    /// Whether they were taken for the batch that is under way.
    begun: bool,
    /// What became of what origins have in common.
    origins: Vec<(Arc<Common>, Option<Arc<Common>>)>,
}

/// Of so many origins it is known what they have in common behind the first steps.
const ORIGINS_MAX: usize = 256;

/// A filter of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which step, such as `filters[2].then[0]`.
    pub at: String,
    /// What it does, such as `grok`.
    pub kind: String,
    /// What the config calls it.
    pub id: Option<String>,
}

/// Sees events before and behind the filters of a chain, which are counted from 0.
pub trait Watch {
    /// Whether it wants to see what events hold before and behind the first filters, and not only
    /// that they pass.
    fn looks(&self) -> bool {
        true
    }
    /// The next event of the batch is at its beginning.
    fn next_event(&mut self) {}
    /// An event comes to a chain: the one of the input of this number, or, behind these, that of
    /// the pipeline.
    fn enter(&mut self, _chain: usize) {}
    /// An event comes to a filter.
    fn before(&mut self, _filter: usize, _event: &Event<'_>) {}
    /// A filter is done with an event, or has dropped it.
    fn after(&mut self, _filter: usize, _event: &Event<'_>) {}
}

/// Nobody looks.
pub struct Unwatched;

impl Watch for Unwatched {
    fn looks(&self) -> bool {
        false
    }
}

/// Two that look; the second is nearer to the filters, and sees nothing of what the first takes.
pub struct Both<'w, A, B>(pub &'w mut A, pub &'w mut B);

impl<A: Watch, B: Watch> Watch for Both<'_, A, B> {
    fn looks(&self) -> bool {
        self.0.looks() || self.1.looks()
    }

    fn next_event(&mut self) {
        self.0.next_event();
        self.1.next_event();
    }

    fn enter(&mut self, chain: usize) {
        self.0.enter(chain);
        self.1.enter(chain);
    }

    fn before(&mut self, filter: usize, event: &Event<'_>) {
        self.0.before(filter, event);
        self.1.before(filter, event);
    }

    fn after(&mut self, filter: usize, event: &Event<'_>) {
        self.1.after(filter, event);
        self.0.after(filter, event);
    }
}

enum Compiled {
    Filter {
        filter: Box<Filter>,
        tags: Vec<String>,
        on_success: Option<Box<OnSuccess>>,
        number: usize,
    },
    /// `to` is where it goes on when the condition is false, `past` when it cannot be said.
    JumpUnless {
        condition: Condition,
        to: usize,
        past: usize,
    },
    Jump {
        to: usize,
    },
}

impl Chain {
    /// Compiles steps; `at` names the list in errors.
    pub fn build(steps: &[Step], at: &str, provider: &dyn Provider) -> Result<Self, ChainError> {
        let mut chain = Self::default();
        chain.add(steps, at, provider)?;
        for step in steps {
            let Step::Filter(step) = step else { break };
            let Some(early) = Early::of(step) else { break };
            chain.early.push(early);
            // With a condition it is a jump and a filter.
            chain.behind_early += 1 + usize::from(step.when.is_some());
        }
        Ok(chain)
    }

    /// Whether a filter in it remembers events, so that one worker must see all of them.
    pub fn remembers(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Compiled::Filter { filter, .. } if filter.remembers()))
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn add(&mut self, steps: &[Step], at: &str, provider: &dyn Provider) -> Result<(), ChainError> {
        for (n, step) in steps.iter().enumerate() {
            let at = format!("{at}[{n}]");
            match step {
                Step::Filter(step) => self.add_filter(step, &at, provider)?,
                Step::If(step) => {
                    let gate = self.gate(&step.condition, &at)?;
                    self.add(&step.then, &format!("{at}.then"), provider)?;
                    if step.otherwise.is_empty() {
                        self.land(gate);
                        continue;
                    }
                    let over = self.steps.len();
                    self.steps.push(Compiled::Jump { to: 0 });
                    self.land(gate);
                    self.add(&step.otherwise, &format!("{at}.else"), provider)?;
                    self.land(over);
                    self.pass(gate);
                }
            }
        }
        Ok(())
    }

    fn add_filter(&mut self, step: &FilterStep, at: &str, provider: &dyn Provider) -> Result<(), ChainError> {
        let gate = step.when.as_ref().map(|when| self.gate(when, at)).transpose()?;
        let wrong = |error: BuildError| ChainError { at: at.to_owned(), message: error.to_string() };
        let filter = Box::new(step.filter.build_with(provider).map_err(wrong)?);
        let on_success = if step.on_success.is_empty() {
            None
        } else {
            Some(Box::new(step.on_success.build().map_err(wrong)?))
        };
        let number = self.filters.len();
        let kind = crate::plan::kind_of(&step.filter);
        self.filters.push(Named { at: at.to_owned(), kind, id: step.id.clone() });
        self.steps.push(Compiled::Filter { filter, tags: step.tag_on_failure.clone(), on_success, number });
        if let Some(gate) = gate {
            self.land(gate);
        }
        Ok(())
    }

    /// A jump whose target is set by [`land`](Self::land).
    fn gate(&mut self, condition: &str, at: &str) -> Result<usize, ChainError> {
        let condition = condition_of(condition, at)?;
        self.steps.push(Compiled::JumpUnless { condition, to: 0, past: 0 });
        Ok(self.steps.len() - 1)
    }

    fn land(&mut self, gate: usize) {
        let target = self.steps.len();
        match &mut self.steps[gate] {
            Compiled::JumpUnless { to, past, .. } => (*to, *past) = (target, target),
            Compiled::Jump { to } => *to = target,
            Compiled::Filter { .. } => unreachable!("only jumps land"),
        }
    }

    /// Says that both branches of a gate end here.
    fn pass(&mut self, gate: usize) {
        let target = self.steps.len();
        if let Compiled::JumpUnless { past, .. } = &mut self.steps[gate] {
            *past = target;
        }
    }

    /// Its filters, in order.
    pub fn filters(&self) -> &[Named] {
        &self.filters
    }

    /// How long filters want what comes of the batch to wait, since they were asked last.
    pub fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.pause)
    }

    /// Takes the first steps for all events of a batch at once where that is the same: this chain is
    /// the first that they come to, nobody looked into them yet, and nobody watches. They come to
    /// [`run`](Self::run) then.
    pub fn begin(&mut self, batch: &mut Batch, is_first: bool, watch: &impl Watch) {
        self.begun = false;
        if !is_first || self.early.is_empty() || watch.looks() || !batch.is_untouched() {
            return;
        }
        let all: Option<Vec<_>> = batch.runs().iter().map(|run| self.behind(&run.common)).collect();
        if let Some(all) = all {
            batch.replace_commons(all);
            self.begun = true;
        }
    }

    fn behind(&mut self, common: &Arc<Common>) -> Option<Arc<Common>> {
        if let Some((_, known)) = self.origins.iter().find(|(own, _)| Arc::ptr_eq(own, common)) {
            return known.clone();
        }
        if self.origins.len() >= ORIGINS_MAX {
            self.origins.clear();
        }
        let behind = early::behind(common, &self.early);
        self.origins.push((common.clone(), behind.clone()));
        behind
    }

    /// Takes an event through the chain, and the events that filters make of it; `event` is the
    /// first one again then. Returns how many filters and conditions failed on them.
    pub fn run(&mut self, event: &mut Event<'_>, now: i64, watch: &mut impl Watch) -> u64 {
        let first = event.index();
        let mut from = 0;
        if self.begun {
            from = self.behind_early;
            for filter in 0..self.early.len() {
                watch.before(filter, event);
                watch.after(filter, event);
            }
        }
        let mut failed = self.run_from(from, event, now, watch);
        while let Some((copy, step)) = self.made.pop() {
            event.turn_to(copy);
            failed += self.run_from(step, event, now, watch);
        }
        event.turn_to(first);
        failed
    }

    /// Takes an event through the steps from this one on.
    fn run_from(&mut self, mut at: usize, event: &mut Event<'_>, now: i64, watch: &mut impl Watch) -> u64 {
        let mut failed = 0;
        while let Some(step) = self.steps.get_mut(at) {
            at += 1;
            match step {
                Compiled::Filter { filter, tags, on_success, number } => {
                    watch.before(*number, event);
                    let outcome = filter.apply(event, now);
                    self.pause += outcome.pause;
                    let follows = on_success.as_deref().filter(|_| outcome.ok && !outcome.idle);
                    if let Some(on_success) = follows.filter(|_| outcome.made == 0) {
                        failed += u64::from(!on_success.apply(event, now).ok);
                    }
                    if !outcome.ok {
                        failed += 1;
                        if !outcome.idle {
                            add_tags(event, tags);
                        }
                        if let Some(reason) = outcome.reason {
                            tracing::debug!(
                                position = event.position(),
                                reason,
                                "a filter gave up on an event"
                            );
                        }
                    }
                    if outcome.drop {
                        event.drop_event();
                    }
                    watch.after(*number, event);
                    if outcome.made > 0 {
                        // The last one is taken first, so it is put there last.
                        let original = event.index();
                        let copies = event.batch_len() - outcome.made..event.batch_len();
                        for copy in copies.clone() {
                            event.turn_to(copy);
                            failed += follows.map_or(0, |follows| u64::from(!follows.apply(event, now).ok));
                            watch.after(*number, event);
                        }
                        event.turn_to(original);
                        self.made.extend(copies.rev().map(|copy| (copy, at)));
                    }
                    if outcome.drop {
                        break;
                    }
                }
                Compiled::JumpUnless { condition, to, past } => match condition.test(event, now) {
                    Some(true) => {}
                    Some(false) => at = *to,
                    None => {
                        failed += 1;
                        at = *past;
                        tracing::debug!(
                            position = event.position(),
                            "a condition compares what cannot be compared on an event"
                        );
                    }
                },
                Compiled::Jump { to } => at = *to,
            }
        }
        failed
    }
}

/// Compiles the condition of a step or an output.
pub fn condition_of(text: &str, at: &str) -> Result<Condition, ChainError> {
    Condition::parse(text).map_err(|error| ChainError { at: at.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Origin;

    #[track_caller]
    fn check(steps: &str, before: &str, after: &str, failed: u64) {
        let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
        let mut chain = Chain::build(&steps, "filters", &filters::Nothing).unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(before.as_bytes(), 0).unwrap();
        assert_eq!(chain.run(&mut batch.event_mut(0), 0, &mut Unwatched), failed);
        let mut out = Vec::new();
        batch.view(0).write_json(&mut out);
        let mut found: serde_json::Value = serde_json::from_slice(&out).unwrap();
        found.as_object_mut().unwrap().shift_remove("@timestamp");
        assert_eq!(found, serde_json::from_str::<serde_json::Value>(after).unwrap());
    }

    /// Checks what becomes of one event, in order.
    #[track_caller]
    fn family(steps: &str, before: &str, after: &[&str]) {
        let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
        let mut chain = Chain::build(&steps, "filters", &filters::Nothing).unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(before.as_bytes(), 0).unwrap();
        batch.push_json(b"{\"last\":true}", 1).unwrap();
        chain.run(&mut batch.event_mut(0), 0, &mut Unwatched);
        batch.arrange();
        let text = |event: event::View<'_>| {
            let mut out = Vec::new();
            event.write_json(&mut out);
            String::from_utf8(out).unwrap().replace("\"@timestamp\":\"1970-01-01T00:00:00.000Z\",", "")
        };
        let found: Vec<String> = batch.events().map(text).collect();
        let expected: Vec<&str> = after.iter().copied().chain([r#"{"last":true}"#]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_filters_make_goes_on_behind_them() {
        let clone =
            |names: &str, more: &str| format!(r#"{{"clone":{{"clones":{names},"names":"legacy"}}{more}}}"#);
        let append = |text: &str| format!(r#"{{"mutate":{{"update":{{"type":"%{{type}}{text}"}}}}}}"#);
        family(
            &format!("[{},{}]", clone(r#"["a","b"]"#, ""), append("!")),
            r#"{"type":"o"}"#,
            &[r#"{"type":"o!"}"#, r#"{"type":"a!"}"#, r#"{"type":"b!"}"#],
        );
        // What is made of a copy stands behind that.
        family(
            &format!("[{},{},{}]", clone(r#"["a"]"#, ""), clone(r#"["x","y"]"#, ""), append("!")),
            r#"{"type":"o"}"#,
            &[
                r#"{"type":"o!"}"#,
                r#"{"type":"x!"}"#,
                r#"{"type":"y!"}"#,
                r#"{"type":"a!"}"#,
                r#"{"type":"x!"}"#,
                r#"{"type":"y!"}"#,
            ],
        );
        // What is done on success is done to the copies alone.
        family(
            &format!(
                "[{}]",
                clone(r#"["a"]"#, r#","on_success":{"add_tag":["t"],"add_field":{"of":"%{type}"}}"#)
            ),
            r#"{"type":"o"}"#,
            &[r#"{"type":"o"}"#, r#"{"type":"a","of":"a","tags":["t"]}"#],
        );
        // Each goes the ways that its own fields say.
        let drop = r#"{"if":".type == \"a\"","then":[{"drop":{}}]}"#;
        family(
            &format!("[{},{drop},{}]", clone(r#"["a","b"]"#, ""), append("!")),
            r#"{"type":"o"}"#,
            &[r#"{"type":"o!"}"#, r#"{"type":"b!"}"#],
        );
        // Of an event that is split only the parts are left; they may be split again.
        let split = |at: &str| format!(r#"{{"split":{{"field":"type","terminator":"{at}"}}}}"#);
        family(
            &format!("[{},{},{}]", split(";"), split(","), append("!")),
            r#"{"type":"1,2;3;4,5"}"#,
            &[
                r#"{"type":"1!"}"#,
                r#"{"type":"2!"}"#,
                r#"{"type":"3!"}"#,
                r#"{"type":"4!"}"#,
                r#"{"type":"5!"}"#,
            ],
        );
    }

    #[test]
    fn pauses_add_up() {
        let steps: Vec<Step> =
            serde_json::from_str(r#"[{"sleep":{"time":"0.25"}},{"sleep":{"time":"%{t}"}}]"#).unwrap();
        let mut chain = Chain::build(&steps, "filters", &filters::Nothing).unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(b"{\"t\":1}", 0).unwrap();
        batch.push_json(b"{\"t\":2}", 0).unwrap();
        batch.each(|event| assert_eq!(chain.run(event, 0, &mut Unwatched), 0));
        assert_eq!(chain.take_pause(), Duration::from_millis(3500));
        assert_eq!(chain.take_pause(), Duration::ZERO);
    }

    #[test]
    fn what_is_done_on_success_is_not_done_on_failure() {
        let steps = r#"[{"json": {}, "tag_on_failure": ["bad"],
            "on_success": {"remove_field": ["message"], "add_tag": ["good"], "remove_tag": ["bad"]}}]"#;
        check(steps, r#"{"message":"{\"a\":1}"}"#, r#"{"a":1,"tags":["good"]}"#, 0);
        check(steps, r#"{"message":"{"}"#, r#"{"message":"{","tags":["bad"]}"#, 1);
    }

    #[test]
    fn a_condition_that_cannot_be_said_takes_no_branch() {
        let steps = r#"[{"if": "logstash([n] > 5)", "then": [{"set": {"fields": {"b": "then"}}}],
            "else": [{"set": {"fields": {"b": "else"}}}]}, {"set": {"fields": {"end": true}}}]"#;
        check(steps, r#"{"n":6}"#, r#"{"n":6,"b":"then","end":true}"#, 0);
        check(steps, r#"{"n":5}"#, r#"{"n":5,"b":"else","end":true}"#, 0);
        check(steps, r#"{"n":"6"}"#, r#"{"n":"6","end":true}"#, 1);
        // Conditions of our own are true or false.
        let own = steps.replace("logstash([n] > 5)", ".n > 5");
        check(&own, r#"{"n":"6"}"#, r#"{"n":"6","b":"else","end":true}"#, 0);
    }
}
