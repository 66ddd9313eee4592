//! The filters of a plan, compiled: a flat list in which `if` is a jump.

use crate::plan::{FilterStep, Step};
use event::{Event, New, Path};
use expr::Condition;
use filters::Filter;

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
}

/// A filter of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which step, such as `filters[2].then[0]`.
    pub at: String,
    /// What it does, such as `grok`.
    pub kind: String,
}

/// Sees events before and behind the filters of a chain, which are counted from 0.
pub trait Watch {
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

enum Compiled {
    Filter { filter: Filter, tags: Vec<String>, number: usize },
    JumpUnless { condition: Condition, to: usize },
    Jump { to: usize },
}

impl Chain {
    /// Compiles steps; `at` names the list in errors.
    pub fn build(steps: &[Step], at: &str) -> Result<Self, ChainError> {
        let mut chain = Self::default();
        chain.add(steps, at)?;
        Ok(chain)
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn add(&mut self, steps: &[Step], at: &str) -> Result<(), ChainError> {
        for (n, step) in steps.iter().enumerate() {
            let at = format!("{at}[{n}]");
            match step {
                Step::Filter(step) => self.add_filter(step, &at)?,
                Step::If(step) => {
                    let gate = self.gate(&step.condition, &at)?;
                    self.add(&step.then, &format!("{at}.then"))?;
                    if step.otherwise.is_empty() {
                        self.land(gate);
                        continue;
                    }
                    let over = self.steps.len();
                    self.steps.push(Compiled::Jump { to: 0 });
                    self.land(gate);
                    self.add(&step.otherwise, &format!("{at}.else"))?;
                    self.land(over);
                }
            }
        }
        Ok(())
    }

    fn add_filter(&mut self, step: &FilterStep, at: &str) -> Result<(), ChainError> {
        let gate = step.when.as_ref().map(|when| self.gate(when, at)).transpose()?;
        let filter = step
            .filter
            .build()
            .map_err(|error| ChainError { at: at.to_owned(), message: error.to_string() })?;
        let number = self.filters.len();
        self.filters.push(Named { at: at.to_owned(), kind: crate::plan::kind_of(&step.filter) });
        self.steps.push(Compiled::Filter { filter, tags: step.tag_on_failure.clone(), number });
        if let Some(gate) = gate {
            self.land(gate);
        }
        Ok(())
    }

    /// A jump whose target is set by [`land`](Self::land).
    fn gate(&mut self, condition: &str, at: &str) -> Result<usize, ChainError> {
        let condition = condition_of(condition, at)?;
        self.steps.push(Compiled::JumpUnless { condition, to: 0 });
        Ok(self.steps.len() - 1)
    }

    fn land(&mut self, gate: usize) {
        let target = self.steps.len();
        match &mut self.steps[gate] {
            Compiled::JumpUnless { to, .. } | Compiled::Jump { to } => *to = target,
            Compiled::Filter { .. } => unreachable!("only jumps land"),
        }
    }

    /// Its filters, in order.
    pub fn filters(&self) -> &[Named] {
        &self.filters
    }

    /// Takes an event through the chain; returns how many filters failed on it.
    pub fn run(&mut self, event: &mut Event<'_>, now: i64, watch: &mut impl Watch) -> u64 {
        let mut failed = 0;
        let mut at = 0;
        while let Some(step) = self.steps.get_mut(at) {
            at += 1;
            match step {
                Compiled::Filter { filter, tags, number } => {
                    watch.before(*number, event);
                    let outcome = filter.apply(event, now);
                    if !outcome.ok {
                        failed += 1;
                        add_tags(event, tags);
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
                    if outcome.drop {
                        break;
                    }
                }
                Compiled::JumpUnless { condition, to } => {
                    if !condition.matches(event, now) {
                        at = *to;
                    }
                }
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

fn add_tags(event: &mut Event<'_>, tags: &[String]) {
    if tags.is_empty() {
        return;
    }
    let path = Path::of(["tags"]);
    let mut all: Vec<serde_json::Value> = match event.get(&path) {
        Some(event::Value::Json(text)) => serde_json::from_str(&text).unwrap_or_default(),
        Some(event::Value::Str(text)) => vec![String::from_utf8_lossy(&text).into_owned().into()],
        _ => Vec::new(),
    };
    for tag in tags {
        if !all.iter().any(|own| own == tag) {
            all.push(tag.clone().into());
        }
    }
    let text = serde_json::Value::from(all).to_string();
    // An event that has no room for a tag keeps what it has.
    let _ = event.set(&path, New::Json(&text));
}
