//! Filter `sleep`: slows events down.
//!
//! The filter says how long to wait, and does not wait itself: a worker waits for all events of a
//! batch together, before it hands the batch on. Other workers go on with their batches meanwhile,
//! and inputs wait when the memory for events is full. When the program is to end, nobody waits.

use crate::place::{rendered, template};
use crate::{BuildError, Outcome};
use event::Event;
use expr::Template;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Options of the filter `sleep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds, as a template; with `replay` by how much faster than they happened events go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Of how many events one is waited for, in each worker. Without effect with `replay`.
    pub every: u64,
    /// Whether to wait as long as lies between the times of this event and the one before.
    pub replay: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { time: None, every: 1, replay: false }
    }
}

/// The filter.
pub struct Sleep {
    time: Template,
    every: u64,
    count: u64,
    /// Whether it replays, and the time of the event before.
    replay: Option<Option<i64>>,
}

/// Nobody waits longer for one event.
const WAIT_SECONDS_MAX: f64 = 7.0 * 86_400.0;

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Sleep, BuildError> {
        let time = match &self.time {
            Some(time) => time.as_str(),
            None if self.replay => "1",
            None => {
                let message = "needs a number of seconds".to_owned();
                return Err(BuildError { option: "time", message });
            }
        };
        let time = template("time", time)?;
        Ok(Sleep { time, every: self.every, count: 0, replay: self.replay.then_some(None) })
    }
}

impl Sleep {
    /// Whether it must see all events, one behind the other.
    pub fn remembers(&self) -> bool {
        self.replay.is_some()
    }

    /// Applies it; `now` is the clock reading of the batch.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        let number = crate::mutate::float(&String::from_utf8_lossy(&rendered(&self.time, event, now)));
        let seconds = match &mut self.replay {
            Some(before) => match before.replace(event.time()) {
                Some(before) => (event.time() - before) as f64 / 1e9 / number,
                None => 0.0,
            },
            None => {
                self.count += 1;
                if self.count < self.every {
                    return Outcome::OK;
                }
                self.count = 0;
                number
            }
        };
        // Backwards, or by a speed of nothing: not at all.
        let is_time = seconds.is_finite() && seconds > 0.0;
        let pause = Duration::from_secs_f64(if is_time { seconds.min(WAIT_SECONDS_MAX) } else { 0.0 });
        Outcome { pause, ..Outcome::OK }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply_built, build_with, mistake};

    #[track_caller]
    fn check(config: &str, events: &[(&str, u64)]) {
        let mut filter = build_with(config, &[]);
        for (event, millis) in events {
            let (_, outcome, _) = apply_built(&mut filter, event);
            assert_eq!((outcome.pause.as_millis(), outcome.ok), (u128::from(*millis), true), "{event}");
        }
    }

    #[test]
    fn pauses() {
        check(r#"{"sleep":{"time":"0.5"}}"#, &[("{}", 500), ("{}", 500)]);
        check(r#"{"sleep":{"time":"2","every":3}}"#, &[("{}", 0), ("{}", 0), ("{}", 2000), ("{}", 0)]);
        check(r#"{"sleep":{"time":"%{t}"}}"#, &[(r#"{"t":1.5}"#, 1500), (r#"{"t":"x"}"#, 0), ("{}", 0)]);
        check(r#"{"sleep":{"time":"-1"}}"#, &[("{}", 0)]);
        check(r#"{"sleep":{"time":"1e300"}}"#, &[("{}", 7 * 86_400_000)]);
        mistake(r#"{"sleep":{}}"#, "option \"time\": needs");
    }

    #[test]
    fn replays() {
        let at = |second: &str| format!(r#"{{"@timestamp":"2026-11-21T02:45:{second}Z"}}"#);
        let (one, two, three) = (at("01.0"), at("03.5"), at("02.0"));
        let events: [(&str, u64); 3] = [(&one, 0), (&two, 2500), (&three, 0)];
        check(r#"{"sleep":{"replay":true}}"#, &events);
        check(r#"{"sleep":{"replay":true,"time":"2"}}"#, &[(&one, 0), (&two, 1250), (&three, 0)]);
        check(r#"{"sleep":{"replay":true,"time":"0"}}"#, &[(&one, 0), (&two, 0)]);
        assert!(build_with(r#"{"sleep":{"replay":true}}"#, &[]).remembers());
        assert!(!build_with(r#"{"sleep":{"time":"1"}}"#, &[]).remembers());
    }
}
