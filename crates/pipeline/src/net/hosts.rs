//! Which of several hosts is asked next: in turn, those that failed left alone for a while.
//!
//! Time comes in as an argument, so that the tests need not wait.

use std::time::{Duration, Instant};

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The hosts, by their number.
#[derive(Debug)]
pub(crate) struct Hosts {
    states: Vec<State>,
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// How often it failed in a row.
    failures: u32,
    /// It is not asked before.
    resume: Option<Instant>,
}

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// This host.
    Host(usize),
    /// Nobody before then.
    Wait(Instant),
}

impl Hosts {
    /// So many hosts, of which nothing bad is known.
    pub(crate) fn new(count: usize) -> Self {
        Self { states: vec![State::default(); count], next: 0 }
    }

    /// The next host in turn. One that failed and whose pause is over is tried by one request
    /// only: it is left alone again until that one is back.
    pub(crate) fn pick(&mut self, now: Instant) -> Pick {
        let count = self.states.len();
        for number in (0..count).map(|step| (self.next + step) % count) {
            let state = &mut self.states[number];
            match state.resume {
                Some(resume) if resume > now => continue,
                Some(_) => state.resume = Some(now + pause(state.failures)),
                None => {}
            }
            self.next = (number + 1) % count;
            return Pick::Host(number);
        }
        let earliest = self.states.iter().filter_map(|state| state.resume).min();
        Pick::Wait(earliest.unwrap_or(now))
    }

    /// A host could not be reached, or is not fit; `spread` is between 0 and 1.
    pub(crate) fn failed(&mut self, number: usize, now: Instant, spread: f64) {
        let state = &mut self.states[number];
        let pause = pause(state.failures);
        state.failures += 1;
        state.resume = Some(now + pause.mul_f64(0.5 + spread / 2.0));
    }

    /// A host answered.
    pub(crate) fn answered(&mut self, number: usize) {
        self.states[number] = State::default();
    }

    /// When the first of the hosts that failed may be asked again.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.states.iter().filter_map(|state| state.resume).min()
    }

    /// Whether no host is known to answer.
    pub(crate) fn are_all_gone(&self) -> bool {
        self.states.iter().all(|state| state.resume.is_some())
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_take_turns_and_the_dead_are_left_alone() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut hosts = Hosts::new(3);
        let turns: Vec<_> = (0..4).map(|_| hosts.pick(start)).collect();
        assert_eq!(turns, [0, 1, 2, 0].map(Pick::Host));
        hosts.failed(1, start, 1.0);
        let turns: Vec<_> = (0..3).map(|_| hosts.pick(at(10))).collect();
        assert_eq!(turns, [2, 0, 2].map(Pick::Host));
        assert!(!hosts.are_all_gone());
        // The pause is over: one request tries it.
        let turns: Vec<_> = (0..4).map(|_| hosts.pick(at(250))).collect();
        assert_eq!(turns, [0, 1, 2, 0].map(Pick::Host));
        hosts.answered(1);
        assert_eq!(hosts.pick(at(250)), Pick::Host(1));
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let start = Instant::now();
        let mut hosts = Hosts::new(1);
        let mut last = Duration::ZERO;
        for failure in 0..12 {
            hosts.failed(0, start, 1.0);
            assert!(hosts.are_all_gone());
            let Pick::Wait(until) = hosts.pick(start) else { panic!("failure {failure}") };
            assert!(until - start > last || until - start == PAUSE_MAX, "failure {failure}");
            last = until - start;
        }
        assert_eq!(last, PAUSE_MAX);
    }
}
