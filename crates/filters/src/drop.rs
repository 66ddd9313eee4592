//! Filter `drop`: ends the event, by rule; with `when` or inside `if`.

use serde::{Deserialize, Serialize};

/// Options of the filter `drop`: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
