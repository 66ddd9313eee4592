//! Which names fields have that a filter makes.

use serde::{Deserialize, Serialize};

/// Which names fields have that a filter makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// Those of the Elastic Common Schema (<https://www.elastic.co/guide/en/ecs/current/>).
    #[default]
    Ecs,
    /// Those that Logstash's filters had before it.
    Legacy,
}
