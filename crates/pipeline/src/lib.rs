//! From inputs through filters and the queue to outputs.

pub mod inputs;
pub mod net;
pub mod outputs;
pub mod plan;
pub mod registry;
pub mod run;
pub mod stop;
pub mod units;
pub mod wake;
