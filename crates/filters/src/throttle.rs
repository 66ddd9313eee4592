//! Filter `throttle`: counts events by a key, and finds those before or behind a number of them.
//!
//! It succeeds on events that are too early or too many, and has nothing to do on the others. Time
//! is the events' own: a period begins with the first event of a key, and events that come late
//! count for the period in which they happened. The counters are memory alone: after a restart
//! they begin anew.

use crate::place::template;
use crate::{BuildError, Outcome};
use event::Event;
use expr::Template;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Options of the filter `throttle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A template: events are counted together that make the same text of it.
    pub key: String,
    /// Events are too early before this one of their period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_count: Option<u64>,
    /// Events are too many behind this one of their period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_count: Option<u64>,
    /// How many seconds a period takes, as a template; what is no number is 60.
    pub period: String,
    /// How many seconds behind the newest event a counter is forgotten.
    pub max_age: u64,
    /// How many counters there are at most; beyond, those of the keys not seen for longest go.
    pub max_counters: usize,
    /// Whether events that are too early or too many end here.
    pub drop: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: String::new(),
            before_count: None,
            after_count: None,
            period: "60".into(),
            max_age: 3600,
            max_counters: 100_000,
            drop: false,
        }
    }
}

/// The filter.
pub struct Throttle {
    key: Template,
    period: Template,
    before: u64,
    after: u64,
    max_age: i64,
    max_counters: usize,
    drop: bool,
    keys: HashMap<Box<[u8]>, Slots>,
    /// How many there are in all keys together.
    counters: usize,
    /// The latest time of an event.
    latest: i64,
    /// When old keys were looked for, in nanoseconds.
    swept: i64,
    text: Vec<u8>,
}

/// The periods of a key.
struct Slots {
    /// The time of the first event, from which periods are counted.
    created: i64,
    /// The latest time of an event.
    latest: i64,
    /// The beginnings of periods, and the events in them.
    counts: Vec<(i64, u64)>,
}

const PERIOD_SECONDS: i64 = 60;
/// How often old keys are looked for, as Logstash does.
const SWEEP_NS: i64 = 5_000_000_000;
/// A longer key is kept as its hash, so that counters are all of a size.
const KEY_BYTES_MAX: usize = 64;

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Throttle, BuildError> {
        let wrong = |option, message: &str| Err(BuildError { option, message: message.to_owned() });
        if self.key.is_empty() {
            return wrong("key", "needs a template, such as %{host.name}");
        }
        if self.before_count.is_none() && self.after_count.is_none() {
            return wrong("after_count", "needs a number, or before_count does");
        }
        if self.max_counters == 0 {
            return wrong("max_counters", "is at least 1");
        }
        Ok(Throttle {
            key: template("key", &self.key)?,
            period: template("period", &self.period)?,
            before: self.before_count.unwrap_or(0),
            after: self.after_count.unwrap_or(u64::MAX),
            max_age: i64::try_from(self.max_age).unwrap_or(i64::MAX),
            max_counters: self.max_counters,
            drop: self.drop,
            keys: HashMap::new(),
            counters: 0,
            latest: i64::MIN,
            swept: i64::MIN,
            text: Vec::new(),
        })
    }
}

impl Throttle {
    /// Applies it; `now` is the clock reading of the batch. It tells only when old counters are
    /// looked for.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        if now.saturating_sub(self.swept) >= SWEEP_NS {
            self.swept = now;
            self.sweep();
        }
        self.text.clear();
        let _ = self.period.render(event, now, &mut self.text);
        let period = std::str::from_utf8(&self.text).ok().and_then(|text| text.trim().parse().ok());
        let period = period.filter(|seconds| *seconds > 0).unwrap_or(PERIOD_SECONDS);
        self.text.clear();
        let _ = self.key.render(event, now, &mut self.text);
        if self.text.len() > KEY_BYTES_MAX {
            let hash = Sha256::digest(&self.text);
            self.text.clear();
            self.text.extend_from_slice(&hash);
        }
        let count = self.count(event.time().div_euclid(1_000_000_000), period);
        if count >= self.before && count <= self.after {
            return Outcome::IDLE;
        }
        Outcome { drop: self.drop, ..Outcome::OK }
    }

    /// Counts an event of the key in `text`; returns how many there are in its period now.
    fn count(&mut self, time: i64, period: i64) -> u64 {
        self.latest = self.latest.max(time);
        if !self.keys.contains_key(&*self.text) {
            let slots = Slots { created: time, latest: time, counts: Vec::new() };
            self.keys.insert(self.text.as_slice().into(), slots);
        }
        let Some(slots) = self.keys.get_mut(&*self.text) else { return 1 };
        slots.latest = slots.latest.max(time);
        let slot = time - (time - slots.created).rem_euclid(period);
        let count = match slots.counts.iter_mut().find(|(own, _)| *own == slot) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                slots.counts.push((slot, 1));
                self.counters += 1;
                1
            }
        };
        let newest = slots.counts.iter().map(|(slot, _)| *slot).max().unwrap_or(slot);
        let before = slots.counts.len();
        slots.counts.retain(|(slot, _)| *slot >= newest.saturating_sub(self.max_age));
        self.counters -= before - slots.counts.len();
        if self.counters > self.max_counters {
            self.forget();
        }
        count
    }

    /// Forgets the keys whose events are all too old.
    fn sweep(&mut self) {
        let forgotten = self.latest.saturating_sub(self.max_age);
        self.keys.retain(|_, slots| slots.latest >= forgotten);
        self.counters = self.keys.values().map(|slots| slots.counts.len()).sum();
    }

    /// Makes room: old keys go, then those not seen for longest, until a tenth is free.
    fn forget(&mut self) {
        self.sweep();
        let room = self.max_counters - self.max_counters / 10;
        if self.counters <= room {
            return;
        }
        let mut times: Vec<(i64, usize)> =
            self.keys.values().map(|slots| (slots.latest, slots.counts.len())).collect();
        times.sort_unstable();
        let mut left = self.counters;
        let mut newest_gone = i64::MIN;
        for (latest, counters) in times {
            if left <= room {
                break;
            }
            left -= counters;
            newest_gone = latest;
        }
        self.keys.retain(|_, slots| slots.latest > newest_gone);
        self.counters = self.keys.values().map(|slots| slots.counts.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{apply_built, build_with, mistake};
    use proptest::prelude::*;

    /// Which events are found, of those at these seconds and with these keys.
    #[track_caller]
    fn check(options: &str, events: &[(i64, &str)], expected: &str) {
        let mut filter = build_with(&format!(r#"{{"throttle":{{"key":"%{{k}}",{options}}}}}"#), &[]);
        let found: String = events
            .iter()
            .map(|(second, key)| {
                let time = event_time(*second);
                let event = format!(r#"{{"@timestamp":"{time}","k":"{key}","p":5}}"#);
                let (_, outcome, _) = apply_built(&mut filter, &event);
                assert!(outcome.ok);
                match (outcome.idle, outcome.drop) {
                    (true, false) => '.',
                    (false, false) => 'x',
                    (false, true) => 'd',
                    (true, true) => '?',
                }
            })
            .collect();
        assert_eq!(found, expected);
    }

    fn event_time(second: i64) -> String {
        chrono::DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap().to_rfc3339()
    }

    #[test]
    fn before_and_after() {
        let at = |seconds: std::ops::Range<i64>| seconds.map(|second| (second, "a")).collect::<Vec<_>>();
        // The examples of Logstash's documentation.
        check(
            r#""before_count":3,"after_count":5,"period":"10","max_age":20"#,
            &at(0..17),
            "xx...xxxxxxx...xx".get(..17).unwrap(),
        );
        check(r#""after_count":1,"period":"10","max_age":20"#, &at(0..12), ".xxxxxxxxx.x");
        check(r#""before_count":3"#, &at(0..5), "xx...");
        check(r#""after_count":2,"drop":true"#, &at(0..4), "..dd");
        check(r#""after_count":0"#, &at(0..2), "xx");
    }

    #[test]
    fn periods() {
        // Keys are counted apart; a period begins with the first event of its key.
        check(
            r#""after_count":1,"period":"10""#,
            &[(0, "a"), (5, "b"), (9, "a"), (10, "a"), (14, "b"), (15, "b")],
            "..x.x.",
        );
        // The period may be the event's; what is no number is a minute.
        check(r#""after_count":1,"period":"%{p}""#, &[(0, "a"), (4, "a"), (5, "a")], ".x.");
        check(r#""after_count":1,"period":"%{none}""#, &[(0, "a"), (59, "a"), (60, "a")], ".x.");
        // Late events count where they belong, also before the first.
        check(
            r#""after_count":1,"period":"10""#,
            &[(0, "a"), (20, "a"), (5, "a"), (-5, "a"), (-1, "a")],
            "..x.x",
        );
        // Behind max_age nothing is known any more.
        check(
            r#""after_count":1,"period":"10","max_age":15"#,
            &[(0, "a"), (30, "a"), (5, "a"), (5, "a")],
            "....",
        );
        check(
            r#""after_count":1,"period":"100","max_age":15"#,
            &[(0, "a"), (30, "b"), (5, "a"), (6, "a")],
            "..xx",
        );
    }

    #[test]
    fn counters_are_bounded() {
        let mut filter = build_with(r#"{"throttle":{"key":"%{k}","after_count":1,"max_counters":100}}"#, &[]);
        for n in 0..1000 {
            apply_built(
                &mut filter,
                &format!(r#"{{"@timestamp":"{}","k":"{n}{}"}}"#, event_time(n), "long".repeat(30)),
            );
            let crate::Filter::Throttle(throttle) = &filter else { unreachable!("it is one") };
            assert!(throttle.counters <= 100 && throttle.keys.len() <= 100);
            assert!(throttle.keys.keys().all(|key| key.len() <= KEY_BYTES_MAX));
        }
        // The newest are still known.
        let again = format!(r#"{{"@timestamp":"{}","k":"999{}"}}"#, event_time(999), "long".repeat(30));
        assert!(!apply_built(&mut filter, &again).1.idle);
    }

    #[test]
    fn old_keys_are_forgotten() {
        let config = Config { key: "x".into(), after_count: Some(1), max_age: 15, ..Config::default() };
        let mut filter = config.build().unwrap();
        let mut count = |key: &str, time| {
            filter.text = key.into();
            let count = filter.count(time, 100);
            filter.sweep();
            (count, filter.keys.len())
        };
        assert_eq!(count("a", 0), (1, 1));
        assert_eq!(count("b", 15), (1, 2));
        assert_eq!(count("b", 16), (2, 1));
        // A key that was forgotten begins anew.
        assert_eq!(count("a", 20), (1, 2));
        assert_eq!(count("a", 119), (2, 1));
        assert_eq!(count("a", 120), (1, 1));
    }

    #[test]
    fn mistakes() {
        mistake(r#"{"throttle":{"after_count":1}}"#, "option \"key\": needs");
        mistake(r#"{"throttle":{"key":"x"}}"#, "option \"after_count\": needs");
        mistake(r#"{"throttle":{"key":"%{","after_count":1}}"#, "option \"key\"");
        mistake(r#"{"throttle":{"key":"x","after_count":1,"max_counters":0}}"#, "option \"max_counters\"");
    }

    proptest! {
        /// Where nothing is forgotten, the events of a period are counted one by one.
        #[test]
        fn counts(times in prop::collection::vec(0i64..1000, 1..100), period in 1i64..50) {
            let config = Config { key: "x".into(), after_count: Some(1), ..Config::default() };
            let mut filter = config.build().unwrap();
            let mut seen = HashMap::new();
            for time in &times {
                let slot = (time - times[0]).div_euclid(period);
                let expected = seen.entry(slot).and_modify(|count| *count += 1).or_insert(1);
                prop_assert_eq!(filter.count(*time, period), *expected);
            }
            prop_assert_eq!(filter.counters, seen.len());
        }
    }
}
