//! The Lumberjack protocol, versions 1 and 2, which Beats and Logstash speak: both directions, and
//! what each side has to remember.
//!
//! ```text
//! frame   = version type body          version: "1" or "2"; numbers are big-endian
//! W       = count u32                  so many events follow, and are acknowledged by their last number
//! D       = sequence u32, pairs u32, (length u32 bytes, length u32 bytes)*      an event of version 1
//! J       = sequence u32, length u32, JSON                                      an event of version 2
//! C       = length u32, frames in zlib (RFC 1950)
//! A       = sequence u32               all of the window up to this number is safe
//! ```
//! Sources: PROTOCOL.md of `logstash-forwarder` (version 1), and what `go-lumber` and
//! `logstash-input-beats` do. An acknowledgment of a number in the middle of a window moves what a
//! sender need not send again; one of 0 says only that the receiver lives.

mod frame;
mod sender;
mod session;

pub use frame::{
    Decoded, Frame, FrameError, HEADER_BYTES_MAX, InflateLimits, Pairs, Version, compress, decode, encode,
    inflate,
};
pub use sender::{AckError, Windows, write_window};
pub use session::{Acks, Piece, Received, Window};
