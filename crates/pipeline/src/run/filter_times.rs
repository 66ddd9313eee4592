//! What passes each filter, and how long it takes, by one event of each batch. To take the time of
//! every event would cost more than most filters do.
//!
//! A worker counts in memory of its own and adds that to what all share once per batch.

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
    pub(super) samples: AtomicU64,
    /// Events that came to it.
    pub(super) came: AtomicU64,
    /// Events that went on behind it, those that it made included.
    pub(super) went: AtomicU64,
    /// Nanoseconds that those that came took, if all of a batch took as long as the sampled one.
    pub(super) spent_ns: AtomicU64,
}

/// What a worker counted, and did not add yet.
pub(super) struct Counts(Vec<Count>);

#[derive(Clone, Default)]
struct Count {
    came: u64,
    went: u64,
    sampled_ns: u64,
    samples: u64,
    /// Events whose time is not known yet: the sampled event did not come this way.
    untimed: u64,
}

/// Counts the events of a batch and takes the times of one of them.
pub(super) struct Timer<'t> {
    times: &'t FilterTimes,
    counts: &'t mut [Count],
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
                samples: AtomicU64::new(0),
                came: AtomicU64::new(0),
                went: AtomicU64::new(0),
                spent_ns: AtomicU64::new(0),
            }));
        }
        Self { filters, begins }
    }

    pub(super) fn all(&self) -> &[FilterTime] {
        &self.filters
    }

    /// Where a worker counts.
    pub(super) fn counts(&self) -> Counts {
        Counts(vec![Count::default(); self.filters.len()])
    }

    /// Takes the times of the event of this number in a batch.
    pub(super) fn timer<'t>(&'t self, counts: &'t mut Counts, sampled: u64) -> Timer<'t> {
        Timer { times: self, counts: &mut counts.0, until: sampled + 1, begin: 0, began: None }
    }

    /// Adds what a worker counted of a batch.
    pub(super) fn add(&self, counts: &mut Counts) {
        for (own, count) in self.filters.iter().zip(&mut counts.0) {
            if count.came == 0 {
                continue;
            }
            count.untimed += count.came;
            own.came.fetch_add(count.came, Relaxed);
            own.went.fetch_add(count.went, Relaxed);
            if count.samples > 0 {
                own.ns.fetch_add(count.sampled_ns, Relaxed);
                own.samples.fetch_add(count.samples, Relaxed);
                let each = count.sampled_ns / count.samples;
                own.spent_ns.fetch_add(each * std::mem::take(&mut count.untimed), Relaxed);
            }
            *count = Count { untimed: count.untimed, ..Count::default() };
        }
    }
}

impl Watch for Timer<'_> {
    fn looks(&self) -> bool {
        false
    }

    fn next_event(&mut self) {
        self.until = self.until.wrapping_sub(1);
    }

    fn enter(&mut self, chain: usize) {
        self.begin = self.times.begins[chain];
    }

    fn before(&mut self, filter: usize, _: &Event<'_>) {
        self.counts[self.begin + filter].came += 1;
        if self.until == 0 {
            self.began = Some(Instant::now());
        }
    }

    fn after(&mut self, filter: usize, event: &Event<'_>) {
        let own = &mut self.counts[self.begin + filter];
        own.went += u64::from(!event.is_dropped());
        if let Some(began) = self.began.take() {
            own.sampled_ns += began.elapsed().as_nanos() as u64;
            own.samples += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{FilterStep, Step};
    use event::{Batch, Common, Origin};

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
        batch.begin_run(Common::none(Origin::default()), 0);
        (0..5).for_each(|n| batch.push_json(b"{\"message\":\"{}\"}", n).unwrap());
        let mut counts = times.counts();
        let mut timer = times.timer(&mut counts, 3);
        batch.each(|event| {
            timer.next_event();
            timer.enter(0);
            first.run(event, 0, &mut timer);
            timer.enter(1);
            second.run(event, 0, &mut timer);
        });
        times.add(&mut counts);
        let taken: Vec<_> = times
            .all()
            .iter()
            .map(|time| {
                let [samples, came, went] =
                    [&time.samples, &time.came, &time.went].map(|count| count.load(Relaxed));
                (time.filter.at.as_str(), time.filter.kind.as_str(), samples, came, went)
            })
            .collect();
        let expected = [
            ("inputs.i.filters[0]", "json", 1, 5, 5),
            ("filters[0]", "json", 1, 5, 5),
            ("filters[1]", "drop", 1, 5, 0),
            ("filters[2]", "kv", 0, 0, 0),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn the_time_of_all_follows_from_the_samples() {
        let step: FilterStep = serde_json::from_str("{\"json\":{}}").unwrap();
        let chain = Chain::build(&[Step::Filter(Box::new(step))], "filters", &filters::Nothing).unwrap();
        let times = FilterTimes::new([&chain].into_iter());
        let mut counts = times.counts();
        let mut batch = |came, samples, sampled_ns| {
            counts.0[0] = Count { came, went: came, sampled_ns, samples, untimed: counts.0[0].untimed };
            times.add(&mut counts);
            let own = &times.all()[0];
            (own.came.load(Relaxed), own.spent_ns.load(Relaxed))
        };
        assert_eq!(batch(10, 1, 7), (10, 70));
        // The sampled event went another way: what these took is added with the next sample.
        assert_eq!(batch(5, 0, 0), (15, 70));
        assert_eq!(batch(5, 2, 20), (20, 170));
    }
}
