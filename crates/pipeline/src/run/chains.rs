//! What happens to the events of a pipeline between inputs and outputs: the filters of each input and
//! of all, and which outputs an event is for.

use super::StartError;
use super::chain::{Chain, Watch, condition_of};
use super::provide::Provide;
use super::taps::{Point, Spot};
use crate::plan::{Pipeline, kind_of};
use event::Batch;
use expr::Condition;
use std::time::Duration;

/// The chains of a worker: one per input with filters of its own, and the pipeline's.
pub(super) struct Chains {
    own: Vec<Chain>,
    all: Chain,
}

impl Chains {
    pub(super) fn build(name: &str, plan: &Pipeline, provide: &Provide) -> Result<Self, StartError> {
        let wrong = |source| StartError::Chain { pipeline: name.to_owned(), source };
        let own = plan
            .inputs
            .iter()
            .map(|(input, part)| Chain::build(&part.filters, &format!("inputs.{input}.filters"), provide));
        let own = own.collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { own, all: Chain::build(&plan.filters, "filters", provide).map_err(wrong)? })
    }

    /// Whether a filter remembers events, so that one worker must see all of them.
    pub(super) fn remember(&self) -> bool {
        self.all().any(Chain::remembers)
    }

    /// All chains: those of the inputs, in order, and the pipeline's.
    pub(super) fn all(&self) -> impl Iterator<Item = &Chain> {
        self.own.iter().chain([&self.all])
    }

    /// Takes a batch of this input through its chain and the pipeline's; says how often a filter or a
    /// condition failed.
    pub(super) fn run(&mut self, input: usize, batch: &mut Batch, now: i64, watch: &mut impl Watch) -> u64 {
        let last = self.own.len();
        let own = &mut self.own[input];
        let all = &mut self.all;
        if own.is_empty() && all.is_empty() {
            return 0;
        }
        let mut failed = 0;
        own.begin(batch, true, watch);
        all.begin(batch, own.is_empty(), watch);
        batch.each(|event| {
            watch.next_event();
            watch.enter(input);
            failed += own.run(event, now, watch);
            // What the input's filters made goes through the pipeline's as well.
            let mut next = Some(event.index());
            while let Some(index) = next {
                event.turn_to(index);
                next = event.next_copy();
                if !event.is_dropped() {
                    watch.enter(last);
                    failed += all.run(event, now, watch);
                }
            }
        });
        batch.arrange();
        failed
    }

    /// How long filters want the batch to wait.
    pub(super) fn take_pause(&mut self) -> Duration {
        self.own.iter_mut().chain([&mut self.all]).map(Chain::take_pause).sum()
    }
}

/// The points of a pipeline that can be tapped, in the order in which events come to them.
pub(super) fn points_of(name: &str, plan: &Pipeline, chains: &Chains) -> Vec<Point> {
    let mut points = Vec::new();
    let filters = |number: usize, chain: &Chain, points: &mut Vec<Point>| {
        for (step, filter) in chain.filters().iter().enumerate() {
            let at = filter.at.replace('[', ".").replace(']', "");
            for (side, spot) in [("in", Spot::StepIn(number, step)), ("out", Spot::StepOut(number, step))] {
                points.push(Point::new(name, format!("{at}:{side}"), &filter.kind, spot));
            }
        }
    };
    for (number, (input, part)) in plan.inputs.iter().enumerate() {
        points.push(Point::new(name, format!("inputs.{input}"), &kind_of(&part.input), Spot::Input(number)));
        filters(number, &chains.own[number], &mut points);
    }
    filters(chains.own.len(), &chains.all, &mut points);
    for (number, (output, part)) in plan.outputs.iter().enumerate() {
        let kind = kind_of(&part.output);
        points.push(Point::new(name, format!("outputs.{output}"), &kind, Spot::Output(number)));
        points.push(Point::new(name, format!("outputs.{output}:refused"), &kind, Spot::Refused(number)));
    }
    points
}

/// Which outputs an event is for: their conditions, and their bits.
#[derive(Clone)]
pub(super) struct Routes(Vec<(Option<Condition>, u32)>);

impl Routes {
    pub(super) fn build(name: &str, plan: &Pipeline) -> Result<Self, StartError> {
        if plan.outputs.len() > 63 {
            return Err(StartError::Plan(format!("pipeline {name:?} has more than 63 outputs")));
        }
        let compiled = plan.outputs.iter().map(|(output, part)| {
            let when = part.when.as_ref();
            let when = when.map(|when| condition_of(when, &format!("outputs.{output}.when"))).transpose();
            when.map(|when| (when, 0))
        });
        let compiled = compiled.collect::<Result<_, _>>();
        compiled.map(Self).map_err(|source| StartError::Chain { pipeline: name.to_owned(), source })
    }

    /// With these bits.
    pub(super) fn with(mut self, slots: &[u32]) -> Self {
        self.0.iter_mut().zip(slots).for_each(|((_, own), slot)| *own = *slot);
        self
    }

    /// Sets the bits of the outputs that each event is for; where none has a condition they stay
    /// as they are, which is all.
    pub(super) fn run(&self, batch: &mut Batch, now: i64) {
        if self.0.iter().all(|(condition, _)| condition.is_none()) {
            return;
        }
        batch.each(|event| {
            let mut outputs = 0;
            for (condition, slot) in &self.0 {
                if condition.as_ref().is_none_or(|condition| condition.matches(event, now)) {
                    outputs |= 1 << slot;
                }
            }
            event.set_outputs(outputs);
        });
    }
}
