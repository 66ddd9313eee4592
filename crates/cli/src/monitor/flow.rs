//! Rates over windows of time, from counters that are looked at now and then.
//!
//! The windows are those of Logstash's flow metrics. A point is kept as long as no other is near it,
//! where what counts as near grows with its age: about 200 points reach over a day, and a window is
//! up to a twentieth longer than its name says.

use serde_json::{Map, Value};
use std::collections::VecDeque;

/// The windows and their seconds.
const WINDOWS: [(&str, f64); 6] = [
    ("current", 10.0),
    ("last_1_minute", 60.0),
    ("last_5_minutes", 300.0),
    ("last_15_minutes", 900.0),
    ("last_1_hour", 3_600.0),
    ("last_24_hours", 86_400.0),
];
/// Points are never nearer to each other, in seconds.
const NEAR: f64 = 5.0;
/// Of their age, points may be so near to each other.
const NEAR_SHARE: f64 = 1.0 / 20.0;

/// Counters at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point<C> {
    /// Seconds since they began to count.
    pub(super) at: f64,
    pub(super) counters: C,
}

/// Counters as they were.
#[derive(Debug)]
pub(super) struct History<C> {
    first: Point<C>,
    points: VecDeque<Point<C>>,
}

impl<C> History<C> {
    /// Of counters that began there.
    pub(super) fn new(first: Point<C>) -> Self {
        Self { first, points: VecDeque::new() }
    }

    /// Whether counters of now would be kept.
    pub(super) fn wants(&self, at: f64) -> bool {
        at - self.points.back().map_or(self.first.at, |last| last.at) >= NEAR
    }

    /// Keeps them, and lets go of older ones that are not needed any more.
    pub(super) fn keep(&mut self, point: Point<C>) {
        let now = point.at;
        self.points.push_back(point);
        let longest = WINDOWS.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
        // Of those that are older than the longest window one is its beginning.
        while self.points.get(1).is_some_and(|next| now - next.at >= longest) {
            self.points.pop_front();
        }
        let mut before = f64::NEG_INFINITY;
        let nexts: Vec<f64> = self.points.iter().skip(1).map(|point| point.at).collect();
        let mut nexts = nexts.into_iter();
        self.points.retain(|point| {
            let near = ((now - point.at) * NEAR_SHARE).max(NEAR);
            let is_needed = nexts.next().is_none_or(|next| next - before > near);
            if is_needed {
                before = point.at;
            }
            is_needed
        });
    }

    /// How much one counter grew for each of another, over each window that has passed and from the
    /// beginning; nothing where the other did not grow.
    pub(super) fn rates(&self, now: &Point<C>, counts: impl Fn(&Point<C>) -> (f64, f64)) -> Value {
        let (count, per) = counts(now);
        let since = |then: &Point<C>| {
            let (count_then, per_then) = counts(then);
            let grown = per - per_then;
            (grown > 0.0).then(|| Value::from(limited((count - count_then) / grown)))
        };
        let mut rates = Map::new();
        for (name, seconds) in WINDOWS {
            let then = self.points.iter().rev().find(|point| now.at - point.at >= seconds);
            let then = match then {
                None if name == "current" => Some(self.points.front().unwrap_or(&self.first)),
                other => other,
            };
            if let Some(rate) = then.and_then(since) {
                rates.insert(name.to_owned(), rate);
            }
        }
        if let Some(rate) = since(&self.first) {
            rates.insert("lifetime".to_owned(), rate);
        }
        Value::Object(rates)
    }
}

/// With four digits that count, as Logstash shows rates, and none behind the point that the number
/// does not need.
fn limited(rate: f64) -> f64 {
    if rate == 0.0 || !rate.is_finite() {
        return 0.0;
    }
    let digits = 3 - rate.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits.clamp(0, 12));
    (rate * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn point(at: f64, count: f64) -> Point<f64> {
        Point { at, counters: count }
    }

    fn per_second(point: &Point<f64>) -> (f64, f64) {
        (point.counters, point.at)
    }

    #[test]
    fn windows_come_as_time_passes() {
        let mut history = History::new(point(0.0, 0.0));
        assert_eq!(history.rates(&point(0.0, 0.0), per_second), json!({}));
        assert_eq!(history.rates(&point(2.0, 10.0), per_second), json!({"current": 5.0, "lifetime": 5.0}));
        // Ten a second for a minute, then none.
        for at in (5..=60).step_by(5) {
            history.keep(point(f64::from(at), f64::from(at) * 10.0));
        }
        assert_eq!(
            history.rates(&point(70.0, 600.0), per_second),
            json!({"current": 0.0, "last_1_minute": 8.333, "lifetime": 8.571})
        );
        assert_eq!(history.rates(&point(70.0, 600.0), |_| (1.0, 1.0)), json!({}));
    }

    #[test]
    fn few_points_reach_over_a_day() {
        let mut history = History::new(point(0.0, 0.0));
        for at in (5..200_000).step_by(5) {
            assert!(history.wants(f64::from(at)) && !history.wants(f64::from(at) - 1.0));
            history.keep(point(f64::from(at), 0.0));
        }
        assert!(history.points.len() < 250, "{}", history.points.len());
        let now = 200_000.0;
        for (name, seconds) in WINDOWS {
            let age = history.points.iter().rev().map(|point| now - point.at).find(|age| *age >= seconds);
            let age = age.unwrap_or_else(|| panic!("nothing for {name}"));
            assert!(age <= seconds * 1.11 + 2.0 * NEAR, "{name}: {age}");
        }
    }

    #[test]
    fn four_digits() {
        for (rate, expected) in [
            (0.0, 0.0),
            (0.97434, 0.9743),
            (24.634, 24.63),
            (9.7523, 9.752),
            (12_345.6, 12_346.0),
            (-0.000_123_45, -0.000_123_5),
            (f64::NAN, 0.0),
        ] {
            assert_eq!(limited(rate), expected, "{rate}");
        }
    }
}
