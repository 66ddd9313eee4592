//! How long each filter takes, by one event of each batch. To take the time of every event would
//! cost more than most filters do.

use super::chain::{Chain, Named, Watch};
use event::Event;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The times of a pipeline's filters, taken by all its workers.
pub(super) struct FilterTimes {
    filters: Vec<FilterTime>,
    /// Where the filters of each chain begin.
    begins: Vec<usize>,
}

pub(super) struct FilterTime {
    pub(super) filter: Named,
    /// Nanoseconds that the sampled events took.
    pub(super) ns: AtomicU64,
    /// How many they are.
    pub(super) events: AtomicU64,
}

/// Takes the times of one event of a batch.
pub(super) struct Timer<'t> {
    times: &'t FilterTimes,
    /// Events until the one that is sampled, itself included.
    until: u64,
    begin: usize,
    began: Option<Instant>,
}

impl FilterTimes {
    pub(super) fn new<'c>(chains: impl Iterator<Item = &'c Chain>) -> Self {
        let (mut filters, mut begins) = (Vec::new(), Vec::new());
        for chain in chains {
            begins.push(filters.len());
            filters.extend(chain.filters().iter().map(|filter| FilterTime {
                filter: filter.clone(),
                ns: AtomicU64::new(0),
                events: AtomicU64::new(0),
            }));
        }
        Self { filters, begins }
    }

    pub(super) fn all(&self) -> &[FilterTime] {
        &self.filters
    }

    /// Takes the times of the event of this number in a batch.
    pub(super) fn timer(&self, sampled: u64) -> Timer<'_> {
        Timer { times: self, until: sampled + 1, begin: 0, began: None }
    }
}

impl Watch for Timer<'_> {
    fn next_event(&mut self) {
        self.until = self.until.wrapping_sub(1);
    }

    fn enter(&mut self, chain: usize) {
        self.begin = self.times.begins[chain];
    }

    fn before(&mut self, _: usize, _: &Event<'_>) {
        if self.until == 0 {
            self.began = Some(Instant::now());
        }
    }

    fn after(&mut self, filter: usize, _: &Event<'_>) {
        let Some(began) = self.began.take() else { return };
        let own = &self.times.filters[self.begin + filter];
        own.ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
        own.events.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{FilterStep, Step};
    use event::{Batch, Common, CommonValue, Origin};

    #[test]
    fn one_event_of_a_batch_is_timed() {
        let step = |kind: &str| {
            let step: FilterStep = serde_json::from_str(&format!("{{\"{kind}\":{{}}}}")).unwrap();
            Step::Filter(Box::new(step))
        };
        let mut first = Chain::build(&[step("json")], "inputs.i.filters", &filters::Nothing).unwrap();
        let mut second =
            Chain::build(&[step("json"), step("drop"), step("kv")], "filters", &filters::Nothing).unwrap();
        let times = FilterTimes::new([&first, &second].into_iter());
        let mut batch = Batch::new();
        batch.begin_run(Common::new(Origin::default(), Vec::<(&str, CommonValue)>::new()), 0);
        (0..5).for_each(|n| batch.push_json(b"{\"message\":\"{}\"}", n).unwrap());
        let mut timer = times.timer(3);
        batch.each(|event| {
            timer.next_event();
            timer.enter(0);
            first.run(event, 0, &mut timer);
            timer.enter(1);
            second.run(event, 0, &mut timer);
        });
        let taken: Vec<_> = times
            .all()
            .iter()
            .map(|time| (time.filter.at.as_str(), time.filter.kind.as_str(), time.events.load(Relaxed)))
            .collect();
        let expected = [
            ("inputs.i.filters[0]", "json", 1),
            ("filters[0]", "json", 1),
            ("filters[1]", "drop", 1),
            ("filters[2]", "kv", 0),
        ];
        assert_eq!(taken, expected);
    }
}
