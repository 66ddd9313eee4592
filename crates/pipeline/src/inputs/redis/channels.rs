//! Channels, and patterns of channels: who is not there when something is published misses it.

use super::ask::{Asker, Round};
use super::decode::Decoder;
use super::{BLOCK, Config, Kind};
use event::Batch;
use std::time::{Duration, Instant};
use wire::redis::Value;

/// After so long without a word it is asked whether the server is still there.
const QUIET: Duration = Duration::from_secs(15);
/// And so long later it is not.
const DEAD: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Channels {
    keys: Vec<String>,
    command: &'static str,
    count: usize,
    /// When something came.
    heard: Instant,
    asked: Option<Instant>,
    was_connected: bool,
    /// Why the connection is gone, when that is to be said after what came before.
    failed: Option<String>,
}

impl Channels {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            keys: config.keys.clone(),
            command: if config.kind == Kind::Pattern { "PSUBSCRIBE" } else { "SUBSCRIBE" },
            count: config.count,
            heard: Instant::now(),
            asked: None,
            was_connected: false,
            failed: None,
        }
    }

    pub(super) fn set_up(&mut self, asker: &mut Asker) -> Result<(), String> {
        if self.was_connected {
            tracing::warn!(
                channels = self.keys.join(", "),
                "what was published while the connection was lost is lost"
            );
        }
        self.was_connected = true;
        (self.heard, self.asked) = (Instant::now(), None);
        let mut round = Round::default();
        let command = [self.command].into_iter().chain(self.keys.iter().map(String::as_str));
        round.add(&command.collect::<Vec<_>>());
        asker.send(&round)
    }

    pub(super) fn disconnected(&mut self) {
        self.asked = None;
    }

    /// Takes what was published.
    pub(super) fn read(
        &mut self,
        asker: &mut Asker,
        decoder: &mut Decoder,
        batch: &mut Batch,
    ) -> Result<(), String> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let now = Instant::now();
        let count = self.count;
        let mut has_any = false;
        let listened = asker.listen(now + BLOCK, |value| {
            has_any = true;
            if let Value::Error(error) = value {
                return Err(format!("it answers {:?}", String::from_utf8_lossy(error)));
            }
            let parts = value.elements().unwrap_or_default();
            let text = |n: usize| parts.get(n).and_then(Value::bytes).unwrap_or_default();
            match text(0) {
                b"message" => decoder.push(&String::from_utf8_lossy(text(1)), None, text(2), batch),
                b"pmessage" => {
                    decoder.push(&String::from_utf8_lossy(text(1)), Some(text(2)), text(3), batch);
                }
                // That we are subscribed, and that the server is there.
                _ => {}
            }
            Ok(batch.len() < count)
        });
        match listened {
            // What came before goes on: nobody sends it again.
            Err(error) if !batch.is_empty() => self.failed = Some(error),
            other => other?,
        }
        if has_any {
            (self.heard, self.asked) = (now, None);
        } else if self.asked.is_some_and(|asked| asked + DEAD <= now) {
            return Err(asker.lose("it does not answer any more"));
        } else if self.asked.is_none() && self.heard + QUIET <= now {
            let mut round = Round::default();
            round.add(&["PING"]);
            asker.send(&round)?;
            self.asked = Some(now);
        }
        Ok(())
    }
}
