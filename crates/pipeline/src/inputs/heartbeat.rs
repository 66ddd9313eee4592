//! Input `heartbeat`: an event now and then, that says that all between here and where it arrives works.

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use crate::units::Time;
use event::{Batch, Common, CommonValue, New, Path};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Options of the input `heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often.
    pub interval: Time,
    /// How many altogether; 0: without end.
    pub count: u64,
    /// The message.
    pub message: String,
    /// What `event.sequence` holds.
    pub sequence: Sequence,
}

/// What the field `event.sequence` holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequence {
    /// There is none.
    None,
    /// How many there were before, since the program began.
    #[default]
    Count,
    /// Seconds since 1970, UTC.
    Epoch,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Time(Duration::from_secs(60)),
            count: 0,
            message: "ok".to_owned(),
            sequence: Sequence::Count,
        }
    }
}

/// The input.
pub struct HeartbeatInput {
    config: Config,
    common: Arc<Common>,
    sequence: Path,
    made: u64,
    /// When the next one is due; none: at once.
    due: Option<Instant>,
}

impl Config {
    /// Checks the options.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.interval.0.is_zero() {
            return Err(ConfigError { option: "interval", message: "longer than nothing".to_owned() });
        }
        Ok(())
    }

    /// The input that these options describe.
    pub fn build(&self, context: InputContext) -> Result<HeartbeatInput, ConfigError> {
        self.check()?;
        let origin = context.registry.create(&context.name, String::new(), 0);
        // It is not kept: a beat that was missed is not made later.
        context.registry.remove(origin);
        let common = Common::new(origin, [("host.name", CommonValue::Str(context.host))]);
        let sequence = Path::of(["event", "sequence"]);
        Ok(HeartbeatInput { config: self.clone(), common, sequence, made: 0, due: None })
    }
}

impl Input for HeartbeatInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        if self.config.count > 0 && self.made >= self.config.count {
            return Ok(Next::Ended);
        }
        let mut now = Instant::now();
        let due = self.due.unwrap_or(now);
        while now < due {
            if stop.wait(due - now) {
                return Ok(Next::Stopped);
            }
            now = Instant::now();
        }
        if stop.is_set() {
            return Ok(Next::Stopped);
        }
        // Beats that were missed while the pipeline took none are not made all at once.
        let late = (now - due).as_nanos() / self.config.interval.0.as_nanos();
        self.due = Some(due + self.config.interval.0.saturating_mul(u32::try_from(late).unwrap_or(0) + 1));
        batch.reset(crate::run::now());
        batch.begin_run(self.common.clone(), self.made);
        let seconds = batch.now().div_euclid(1_000_000_000);
        let mut event = batch.push_empty(self.made);
        // Both fit into an event that is empty.
        let _ = event.set(&Path::of(["message"]), New::from(self.config.message.as_str()));
        let _ = match self.config.sequence {
            Sequence::None => Ok(()),
            Sequence::Count => event.set(&self.sequence, New::Int(self.made as i64)),
            Sequence::Epoch => event.set(&self.sequence, New::Int(seconds)),
        };
        drop(event);
        self.made += 1;
        batch.end_run(self.made, 0);
        Ok(Next::Filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(options: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(options).unwrap();
        let context = InputContext::of_test();
        let mut input = config.build(context).unwrap();
        let (mut batch, stop) = (Batch::new(), Stop::new());
        let mut found = Vec::new();
        while input.next(&mut batch, &stop).unwrap() == Next::Filled {
            let mut out = Vec::new();
            batch.view(0).write_json(&mut out);
            let text = String::from_utf8(out).unwrap();
            found.push(text.split_once(r#""host":{"name":"h"},"#).unwrap().1.to_owned());
        }
        found
    }

    #[test]
    fn beats_are_numbered_and_end() {
        let start = Instant::now();
        assert_eq!(
            beats(r#"{"interval":"20ms","count":3,"message":"up"}"#),
            [0, 1, 2].map(|n| format!(r#""message":"up","event":{{"sequence":{n}}}}}"#))
        );
        assert!(start.elapsed() >= Duration::from_millis(40));
        assert_eq!(beats(r#"{"interval":"1ms","count":1,"sequence":"none"}"#), [r#""message":"ok"}"#]);
        let epoch = beats(r#"{"interval":"1ms","count":1,"sequence":"epoch"}"#).remove(0);
        let seconds =
            epoch.split_once(r#"sequence":"#).unwrap().1.trim_end_matches('}').parse::<i64>().unwrap();
        assert!((crate::run::now() / 1_000_000_000 - seconds).abs() < 60, "{epoch}");
    }

    #[test]
    fn it_ends_when_it_is_asked_to() {
        let config = Config { interval: Time(Duration::from_secs(3600)), ..Config::default() };
        let context = InputContext::of_test();
        let mut input = config.build(context).unwrap();
        let (mut batch, stop) = (Batch::new(), Stop::new());
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
        stop.set();
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Stopped);
    }
}
