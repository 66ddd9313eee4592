//! Events, and the flat batches in which they move.
//!
//! A [`Batch`] owns flat memory and its events are spans in it, so an event costs no
//! allocation of its own. Nothing is parsed before something asks; untouched text is
//! written out by copying it. This crate knows nobody: it does no I/O, starts no thread
//! and reads no clock.

mod ack;
mod batch;
mod common;
mod event;
mod family;
pub mod json;
mod names;
mod path;
mod record;
mod scan;
pub mod time;
mod value;

pub use ack::{Acks, Share};
pub use batch::{Batch, EVENTS_MAX, Run, View};
pub use common::{Common, CommonValue, Origin};
pub use event::{Event, SetError};
pub use json::JsonError;
pub use names::NameId;
pub use path::{Path, PathError};
pub use record::RecordError;
pub use value::{New, Span, Value};

/// How deep objects and arrays may lie within each other; what lies deeper is refused as JSON.
pub const DEPTH_MAX: usize = 64;
/// How many fields an event may have; what lies beyond stays raw text and the event is marked.
pub const FIELDS_MAX: usize = 1_000;
/// How many others one event may become; an id tells them apart by 16 bits.
pub const COPIES_MAX: usize = u16::MAX as usize;
