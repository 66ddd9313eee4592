//! Input `stdin`: the lines of standard input. They have no position to come back to.

use super::file::lines::{End, Splitter};
use super::multiline::MultilineConfig;
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use event::{Batch, Common, CommonValue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Options of the input `stdin`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How lines are joined to one event; none: each is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<MultilineConfig>,
}

/// The input.
pub struct StdinInput {
    context: InputContext,
    common: Arc<Common>,
    splitter: Splitter,
    /// How long lines wait for others that may belong to them.
    patience: Option<Duration>,
    /// What was read and is no event yet, and when the last of it came.
    rest: Vec<u8>,
    last_read: Instant,
    position: u64,
    ended: bool,
}

impl Config {
    /// The input that these options describe.
    pub fn build(&self, context: InputContext) -> Result<StdinInput, ConfigError> {
        let origin = context.registry.create(&context.name, String::new(), 0);
        let common = Common::new(origin, [("host.name", CommonValue::Str(context.host.clone()))]);
        // It is not kept: the next start reads another stream.
        context.registry.remove(origin);
        let multiline = self.multiline.as_ref().map(MultilineConfig::build).transpose()?;
        Ok(StdinInput {
            context,
            common,
            splitter: Splitter { line_bytes_max: usize::MAX, multiline },
            patience: self.multiline.as_ref().map(|multiline| multiline.timeout.0),
            rest: Vec::new(),
            last_read: Instant::now(),
            position: 0,
            ended: false,
        })
    }
}

impl Input for StdinInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            if self.ended && self.rest.is_empty() {
                return Ok(Next::Ended);
            }
            if stop.is_set() {
                return Ok(Next::Stopped);
            }
            let has_more = !self.ended && self.wait(stop);
            if has_more {
                self.fill()?;
            }
            let end = match self.patience {
                _ if self.ended => End::Final,
                Some(patience) if self.last_read.elapsed() >= patience => End::Quiet,
                _ if !has_more => continue,
                _ => End::Open,
            };
            let length = match memchr::memrchr(b'\n', &self.rest) {
                _ if self.ended => self.rest.len(),
                Some(end) => end + 1,
                None => continue,
            };
            batch.reset(crate::run::now());
            self.take(batch, length, end);
            if !batch.is_empty() {
                return Ok(Next::Filled);
            }
        }
    }
}

impl StdinInput {
    fn wait(&self, stop: &Stop) -> bool {
        let input = std::io::stdin();
        let mut fds = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        let at_most = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        !stop.is_set() && poll(&mut fds, Some(&at_most)).is_ok_and(|ready| ready > 0)
    }

    fn fill(&mut self) -> Result<(), InputError> {
        self.rest.reserve(self.context.batch_bytes);
        let read = rustix::io::read(std::io::stdin().as_fd(), rustix::buffer::spare_capacity(&mut self.rest));
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => self.last_read = Instant::now(),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => {
                return Err(InputError::Read { path: "standard input".into(), source: error.into() });
            }
        }
        Ok(())
    }

    /// Makes events of the whole lines at the beginning.
    fn take(&mut self, batch: &mut Batch, length: usize, end: End) {
        batch.bytes_mut().extend_from_slice(&self.rest[..length]);
        batch.begin_run(self.common.clone(), self.position);
        let used = self.splitter.split(batch, 0, length, self.position, end).used;
        self.rest.drain(..used);
        self.position += used as u64;
        batch.end_run(self.position, 0);
    }
}
