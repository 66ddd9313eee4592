//! Where events go.

pub mod blackhole;
pub mod console;
pub mod elasticsearch;
mod encode;
pub mod file;
mod held;
pub mod http;
pub mod kafka;
pub mod loki;
pub mod lumberjack;
pub mod pipeline;
pub mod post;
pub mod redis;
mod requests;
pub mod store;
pub mod tcp;
#[cfg(test)]
mod testing;
mod turns;
pub mod udp;

use event::Batch;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that a write may wait for room: so soon the program ends when it is asked to.
pub const WRITE_WAIT_MAX: Duration = Duration::from_millis(250);

/// A place that batches are written to, from a thread of its own.
///
/// `write` is called with one batch at a time, in order; what it returns decides about the
/// acknowledgment. The loop around it retries what may pass, for ever, with growing pauses.
pub trait Output: Send {
    /// Delivers the events of the batch that are for this output (`bit`). When it returns
    /// `Ok`, every one of them is either delivered, as safely as the output promises, or
    /// named in `refused` with the reason: it goes to the dead letters and is not tried again.
    /// On an error the whole batch is given again, and after [`OutputError::Lost`] all from
    /// what was settled last. It may send while it returns, and say with `settled` what arrived;
    /// it waits no longer than [`WRITE_WAIT_MAX`].
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError>;

    /// Delivers documents that came through the API, in the form of [`store::docs`]. Only the
    /// output `store` is ever given any.
    fn write_docs(&mut self, _docs: &[u8], _sequence: u64) -> Result<(), OutputError> {
        Ok(())
    }

    /// The sequence below which everything written is as safe as the output promises; only
    /// that is acknowledged. Called after every write, and again and again while batches
    /// wait to be acknowledged; `idle` says that nothing else is to be done. An output that
    /// hears of a refusal only after `write` names it in `refused`, before its sequence is
    /// settled, and only once.
    fn settled(&mut self, _idle: bool, _refused: &mut Vec<Letter>) -> Result<u64, OutputError> {
        Ok(u64::MAX)
    }
}

/// An event that an output refuses for good after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its sequence, as it was given.
    pub sequence: u64,
    /// Why.
    pub reason: String,
    /// The event, as JSON.
    pub event: String,
}

/// What an output is given.
pub struct Delivery<'a> {
    /// The events, of which only those for this output count.
    pub batch: &'a Batch,
    /// The output's bit among the events' outputs.
    pub bit: u64,
    /// The sequence of the first event when the batch comes from a queue.
    pub sequence: u64,
}

impl<'a> Delivery<'a> {
    /// The events for this output, with their sequence in the queue.
    pub fn events(&self) -> impl Iterator<Item = (u64, event::View<'a>)> {
        let (bit, sequence) = (self.bit, self.sequence);
        self.batch
            .events()
            .enumerate()
            .map(move |(n, event)| (sequence + n as u64, event))
            .filter(move |(_, event)| event.outputs() & bit != 0)
    }
}

/// An event that an output refuses for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its number among the events of the batch that go on.
    pub sequence: u64,
    /// Why.
    pub reason: String,
}

/// Why an output did not take a batch, for now.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// As much is on its way as may be, or it is not known yet where to. The output waited for
    /// that a little; it is asked what is settled, and then given the same batch again, of which
    /// it knows what it took.
    #[error("as much is on its way as may be")]
    Full,
    /// A server did not take it.
    #[error("{0}")]
    Server(String),
    /// What was written since it was last settled may be gone: all of it is given again.
    #[error("{0}")]
    Lost(String),
    /// The store could not take it.
    #[error("the store: {0}")]
    Store(String),
}

pub use encode::{Codec, Csv};

/// Every output there is, by the name that it has in a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputConfig {
    /// Takes events and forgets them.
    Blackhole(blackhole::Config),
    /// Writes to standard output.
    Console(console::Config),
    /// Elasticsearch, OpenSearch, and whoever else takes `_bulk`.
    Elasticsearch(Box<elasticsearch::Config>),
    /// Writes files.
    File(file::Config),
    /// Any server that takes events by HTTP requests.
    Http(Box<http::Config>),
    /// Writes to topics of Kafka.
    Kafka(Box<kafka::Config>),
    /// Grafana Loki, and whoever else takes its pushes.
    Loki(Box<loki::Config>),
    /// Whoever takes events from Beats.
    Lumberjack(Box<lumberjack::Config>),
    /// Other pipelines of this program.
    Pipeline(pipeline::Config),
    /// Lists, channels and streams of Redis.
    Redis(Box<redis::Config>),
    /// The embedded search store.
    Store(store::Config),
    /// Streams of bytes, to a server or to all who connect.
    Tcp(Box<tcp::Config>),
    /// Datagrams.
    Udp(udp::Config),
}

impl OutputConfig {
    /// What is wrong with the options, if anything, without connecting or opening anything that
    /// is not named in them. The first word in quotes is the option.
    pub fn check(&self) -> Result<(), String> {
        match self {
            OutputConfig::Blackhole(_) => Ok(()),
            OutputConfig::Console(config) => config.build().map(drop),
            OutputConfig::Elasticsearch(config) => config.check(),
            OutputConfig::File(config) => config.build().map(drop),
            OutputConfig::Http(config) => config.check(),
            OutputConfig::Kafka(config) => config.build().map(drop),
            OutputConfig::Loki(config) => config.check(),
            OutputConfig::Lumberjack(config) => config.check(),
            OutputConfig::Pipeline(config) => config.check(),
            OutputConfig::Redis(config) => config.check(),
            OutputConfig::Store(config) => config.check(),
            OutputConfig::Tcp(config) => config.check(),
            OutputConfig::Udp(config) => config.check(),
        }
    }

    /// The output that these options describe.
    pub fn build(&self, world: &crate::run::World) -> Result<Box<dyn Output>, String> {
        Ok(match self {
            OutputConfig::Blackhole(_) => Box::new(blackhole::Blackhole),
            OutputConfig::Console(config) => Box::new(config.build()?),
            OutputConfig::Elasticsearch(config) => Box::new(config.build()?),
            OutputConfig::File(config) => Box::new(config.build()?),
            OutputConfig::Http(config) => Box::new(config.build()?),
            OutputConfig::Kafka(config) => Box::new(config.build()?),
            OutputConfig::Loki(config) => Box::new(config.build()?),
            OutputConfig::Lumberjack(config) => Box::new(config.build()?),
            OutputConfig::Pipeline(config) => Box::new(config.build(&world.bus)?),
            OutputConfig::Redis(config) => Box::new(config.build()?),
            OutputConfig::Store(config) => {
                let store = world.store.as_ref().ok_or("there is no store in this program")?;
                Box::new(config.build(store)?)
            }
            OutputConfig::Tcp(config) => Box::new(config.build()?),
            OutputConfig::Udp(config) => Box::new(config.build()?),
        })
    }
}
