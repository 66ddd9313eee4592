//! Output `blackhole`: takes events and forgets them. For measuring what stands before it.

use super::{Delivery, Output, OutputError, Refused};
use serde::{Deserialize, Serialize};

/// Options of the output `blackhole`: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// The output.
pub struct Blackhole;

impl Output for Blackhole {
    fn write(&mut self, _: &Delivery<'_>, _: &mut Vec<Refused>) -> Result<(), OutputError> {
        Ok(())
    }
}
