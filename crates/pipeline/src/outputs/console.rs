//! Output `console`: writes events to standard output.

use super::encode::{Codec, Encoder};
use super::{Delivery, Output, OutputError, Refused};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// Options of the output `console`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How an event is written: `json`, `pretty`, `raw` or `{text: TEMPLATE}`.
    pub codec: Codec,
}

/// The output.
pub struct Console {
    encoder: Encoder,
    text: Vec<u8>,
}

impl Config {
    /// The output that these options describe.
    pub fn build(&self) -> Result<Console, String> {
        Ok(Console { encoder: self.codec.build()?, text: Vec::new() })
    }
}

impl Output for Console {
    fn write(&mut self, delivery: &Delivery<'_>, _: &mut Vec<Refused>) -> Result<(), OutputError> {
        self.text.clear();
        for (_, event) in delivery.events() {
            self.encoder.write(&event, delivery.batch.now(), &mut self.text);
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.text)
            .and_then(|()| out.flush())
            .map_err(|source| OutputError::Write { path: "standard output".into(), source })
    }
}
