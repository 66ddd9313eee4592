//! Where events come from.

pub mod beats;
pub mod decode;
pub mod exec;
pub mod file;
pub mod generate;
pub mod heartbeat;
pub mod http;
pub mod journal;
pub mod kafka;
pub mod kafka_lag;
pub mod multiline;
mod peers;
pub mod pipeline;
pub mod redis;
mod schedule;
pub mod stdin;
pub mod syslog;
pub mod tcp;
pub mod udp;

use crate::net::sockets::{Held, Sockets};
use crate::registry::Registry;
use crate::run::bus::Bus;
use crate::stop::Stop;
use event::{Batch, Origin};
use queue::Positions;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What became of a call of [`Input::next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The batch holds events.
    Filled,
    /// The request to stop was made.
    Stopped,
    /// Nothing will ever come again (standard input was closed, the count is reached).
    Ended,
}

/// A source of batches that has a thread of its own.
///
/// `next` is called again only after the batch before was taken: not being called *is* the
/// back-pressure. Nothing that is unacknowledged may be lost when it is never called again.
///
/// When a changed config is taken up, an input is built while the one whose place it takes still
/// reads, and perhaps dropped again without a call: it must not read, join, look at positions
/// or take from a socket that was offered before the first `next`, which is called when the other one has ended.
pub trait Input: Send {
    /// Waits, until `stop`, for something to read and fills the empty `batch` with it, the
    /// acknowledgment included. The batch was reset with a clock reading from before the wait;
    /// whoever waited long resets it again with a new one.
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError>;

    /// Counts what came and was lost because who sends it cannot be asked to wait. Asked for once,
    /// before the first `next`; an input that makes others wait loses nothing.
    fn lost(&self) -> Arc<AtomicU64> {
        Arc::default()
    }

    /// The sockets at which it listens: an input that takes its place goes on with them. Asked for
    /// once, before the first `next`.
    fn sockets(&self) -> Vec<Held> {
        Vec::new()
    }

    /// Whether its events come from another pipeline, which has taken the memory for them and keeps
    /// their positions: then this one waits for no memory, and says nothing of where they stood.
    fn is_handed_on(&self) -> bool {
        false
    }
}

/// Why an input could not read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Reading failed; it is tried again after a pause.
    #[error("cannot read {path}: {source}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The registry could not be read or written.
    #[error("cannot keep positions: {0}")]
    Registry(#[from] disk::DiskError),
    /// Something else that may pass.
    #[error("{0}")]
    Other(String),
}

/// Why an input cannot be built from its options.
#[derive(Debug, thiserror::Error)]
#[error("option {option:?}: {message}")]
pub struct ConfigError {
    /// The option.
    pub option: &'static str,
    /// What is wrong with it and what to do.
    pub message: String,
}

/// What inputs are built with.
#[derive(Clone)]
pub struct InputContext {
    /// The input's name in the plan.
    pub name: String,
    /// The positions.
    pub registry: Arc<Registry>,
    /// This machine's name, for `host.name`.
    pub host: String,
    /// How many bytes a batch should hold at most, a single long line excepted.
    pub batch_bytes: usize,
    /// Sockets of inputs that end when this one begins.
    pub sockets: Arc<Sockets>,
}

#[cfg(test)]
impl InputContext {
    /// What an input is tried with.
    fn of_test() -> Self {
        let (registry, _) = Registry::open(Arc::new(disk::SimDisk::new())).unwrap();
        let (name, host) = ("in".to_owned(), "h".to_owned());
        Self { name, registry, host, batch_bytes: 1 << 20, sockets: Arc::default() }
    }
}

/// Positions of an origin whose content nobody looks at again.
fn range(origin: Origin, from: u64, to: u64) -> Positions {
    Positions { origin: origin.id, generation: origin.generation, from, to, mark: 0 }
}

/// Every input there is, by the name that it has in a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputConfig {
    /// Takes events from Beats and others that speak the Lumberjack protocol.
    Beats(Box<beats::Config>),
    /// Runs a command now and then.
    Exec(exec::Config),
    /// Follows files.
    File(file::Config),
    /// Makes up lines, numbered.
    Generate(generate::Config),
    /// Makes an event now and then.
    Heartbeat(heartbeat::Config),
    /// Takes what is posted.
    Http(Box<http::Config>),
    /// Follows the systemd journal.
    Journal(journal::Config),
    /// Reads topics of Kafka.
    Kafka(Box<kafka::Config>),
    /// Measures how far groups of Kafka are behind.
    KafkaLag(Box<kafka_lag::Config>),
    /// Takes what other pipelines send.
    Pipeline(pipeline::Config),
    /// Reads lists, channels and streams of Redis.
    Redis(Box<redis::Config>),
    /// Reads standard input.
    Stdin(stdin::Config),
    /// Takes lines and messages over TCP.
    Tcp(Box<tcp::Config>),
    /// Takes messages of syslog.
    Syslog(Box<syslog::Config>),
    /// Takes datagrams.
    Udp(udp::Config),
}

impl InputConfig {
    /// The input that these options describe.
    pub fn build(&self, context: InputContext, bus: &Bus) -> Result<Box<dyn Input>, ConfigError> {
        Ok(match self {
            InputConfig::Beats(config) => Box::new(config.build(context)?),
            InputConfig::Exec(config) => Box::new(config.build(context)?),
            InputConfig::File(config) => Box::new(config.build(context)?),
            InputConfig::Generate(config) => Box::new(config.build(context)?),
            InputConfig::Heartbeat(config) => Box::new(config.build(context)?),
            InputConfig::Http(config) => Box::new(config.build(context)?),
            InputConfig::Journal(config) => Box::new(config.build(context)?),
            InputConfig::Kafka(config) => Box::new(config.build(context)?),
            InputConfig::KafkaLag(config) => Box::new(config.build(context)?),
            InputConfig::Pipeline(config) => Box::new(config.build(bus)?),
            InputConfig::Redis(config) => Box::new(config.build(context)?),
            InputConfig::Stdin(config) => Box::new(config.build(context)?),
            InputConfig::Tcp(config) => Box::new(config.build(context)?),
            InputConfig::Syslog(config) => Box::new(config.build(context)?),
            InputConfig::Udp(config) => Box::new(config.build(context)?),
        })
    }

    /// Checks the options without looking at files.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            InputConfig::Beats(config) => config.check(),
            InputConfig::Exec(config) => config.check(),
            InputConfig::Heartbeat(config) => config.check(),
            InputConfig::Http(config) => config.check(),
            InputConfig::Kafka(config) => config.check(),
            InputConfig::KafkaLag(config) => config.check(),
            InputConfig::Pipeline(config) => config.check(),
            InputConfig::Redis(config) => config.check(),
            InputConfig::Syslog(config) => config.check(),
            InputConfig::Tcp(config) => config.check(),
            InputConfig::Udp(config) => config.check(),
            InputConfig::File(_)
            | InputConfig::Generate(_)
            | InputConfig::Journal(_)
            | InputConfig::Stdin(_) => Ok(()),
        }
    }

    /// Whether somebody pushes what it reads, who would have to wait, or keep it, while an output is
    /// down: such events belong into a queue.
    pub fn is_push(&self) -> bool {
        matches!(
            self,
            InputConfig::Beats(_)
                | InputConfig::Http(_)
                | InputConfig::Syslog(_)
                | InputConfig::Tcp(_)
                | InputConfig::Udp(_)
        )
    }
}
