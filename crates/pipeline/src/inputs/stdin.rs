//! Input `stdin`: the lines of standard input. They have no position to come back to.

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use event::{Batch, Common, CommonValue, Span};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::sync::Arc;

/// Options of the input `stdin`: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// The input.
pub struct StdinInput {
    context: InputContext,
    common: Arc<Common>,
    rest: Vec<u8>,
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
        Ok(StdinInput { context, common, rest: Vec::new(), position: 0, ended: false })
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
            if !self.ended && self.wait(stop) {
                self.fill()?;
            }
            let end = match memchr::memrchr(b'\n', &self.rest) {
                Some(end) => end + 1,
                None if self.ended => self.rest.len(),
                None => continue,
            };
            if end == 0 {
                continue;
            }
            batch.reset(crate::run::now());
            self.take(batch, end);
            return Ok(Next::Filled);
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
            Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => {
                return Err(InputError::Read { path: "standard input".into(), source: error.into() });
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: &mut Batch, end: usize) {
        let bytes = batch.bytes_mut();
        bytes.extend_from_slice(&self.rest[..end]);
        self.rest.drain(..end);
        batch.begin_run(self.common.clone(), self.position);
        super::file::lines::push_lines(batch, 0, end, self.position);
        self.position += end as u64;
        batch.end_run(self.position, 0);
        debug_assert!(Span::new(0, end).len() == end);
    }
}
