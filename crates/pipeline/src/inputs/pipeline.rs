//! Input `pipeline`: what other pipelines of this program send to an address.

use super::{ConfigError, Input, InputError, Next};
use crate::run::bus::{Bus, Receiver, Taken};
use crate::stop::Stop;
use event::Batch;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Options of the input `pipeline`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address, by which outputs `pipeline` find it.
    pub address: String,
}

/// How often it is looked whether all senders are gone; they tell it, too.
const LOOK: Duration = Duration::from_secs(1);

/// The input.
pub struct PipelineInput(Receiver);

impl Config {
    /// Checks the options.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.address.is_empty() {
            return Err(ConfigError { option: "address", message: "the address is missing".to_owned() });
        }
        Ok(())
    }

    /// The input that these options describe.
    pub fn build(&self, bus: &Bus) -> Result<PipelineInput, ConfigError> {
        self.check()?;
        Ok(PipelineInput(bus.receiver(&self.address)))
    }
}

impl Input for PipelineInput {
    /// Ends when all senders have, not before: what they read drains through here.
    fn next(&mut self, batch: &mut Batch, _stop: &Stop) -> Result<Next, InputError> {
        loop {
            match self.0.take(LOOK) {
                Taken::Batch(taken) => {
                    *batch = *taken;
                    return Ok(Next::Filled);
                }
                Taken::Nothing => {}
                Taken::Over => return Ok(Next::Ended),
            }
        }
    }

    fn is_handed_on(&self) -> bool {
        true
    }
}
