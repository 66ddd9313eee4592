//! Dead letters: events that an output refused for good, kept with the reason.
//!
//! They lie in a queue of their own, one record of JSON per letter, so that they survive
//! what the queue survives. The oldest go when they take more than [`BYTES_MAX`].

use disk::Disk;
use queue::{Header, Options, Queue, QueueError, Retention};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// The folder in the data directory.
pub const FOLDER: &str = "dead-letters";
/// How much is kept.
pub const BYTES_MAX: u64 = 1 << 30;
/// The codec number of a letter's record.
pub const CODEC: u8 = 2;

/// One dead letter.
#[derive(Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The pipeline.
    pub pipeline: String,
    /// The output that refused it.
    pub output: String,
    /// Why.
    pub reason: String,
    /// When, RFC 3339.
    pub time: String,
    /// The event.
    pub event: Box<RawValue>,
}

impl Letter {
    /// A letter about an event that is given as JSON.
    pub fn new(pipeline: &str, output: &str, reason: &str, now: i64, event: &str) -> Self {
        let mut time = Vec::new();
        event::time::write_rfc3339(now, &mut time);
        Self {
            pipeline: pipeline.to_owned(),
            output: output.to_owned(),
            reason: reason.to_owned(),
            time: String::from_utf8_lossy(&time).into_owned(),
            event: RawValue::from_string(event.to_owned()).unwrap_or_default(),
        }
    }
}

/// Where dead letters are put.
#[derive(Clone)]
pub struct DeadLetters(Arc<Queue>);

impl DeadLetters {
    /// Opens them; what was damaged is set aside and reported by the queue.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, QueueError> {
        let (queue, recovery) = Queue::open(disk, Path::new(FOLDER), options())?;
        if !recovery.is_clean() {
            tracing::warn!(?recovery, "dead letters were damaged");
        }
        Ok(Self(queue))
    }

    /// Keeps letters; returns when the disk has them.
    pub fn put(&self, letters: &[Letter], now: i64) -> Result<(), QueueError> {
        let (confirmed, wait) = mpsc::channel();
        for letter in letters {
            let body = serde_json::to_vec(letter).expect("a letter is JSON");
            let header = Header {
                events: 1,
                time_min: now,
                time_max: now,
                outputs: 1,
                codec: CODEC,
                positions: Vec::new(),
            };
            let confirmed = confirmed.clone();
            self.0.append(&header, &body, Box::new(move |result| drop(confirmed.send(result))))?;
        }
        drop(confirmed);
        wait.iter().collect()
    }

    /// Stops the queue below.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The options of the queue that holds them.
pub fn options() -> Options {
    Options {
        segment_bytes_max: 16 << 20,
        bytes_max: u64::MAX,
        retention: Some(Retention { age: Duration::MAX, bytes: BYTES_MAX }),
        ..Options::default()
    }
}
