//! The plan: what a configuration means, whatever dialect it was written in.
//!
//! Printed as YAML it is our own config format. A plan is data: nothing in it is open or
//! running, and two plans can be compared part by part for a reload.

use crate::inputs::InputConfig;
use crate::outputs::OutputConfig;
use crate::units::{Bytes, Time};
pub use filters::Secret;
use filters::{FilterConfig, on_success};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// All that a program runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Where everything that must survive is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Memory for events that are under way and for the store's buffers. Inputs wait at the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Bytes>,
    /// Where the HTTP API listens; none without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// The monitoring API, which answers as Logstash's does; none without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// The embedded search store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreOptions>,
    /// How much is kept of what outputs refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetterOptions>,
    /// Whether a changed config is taken up by itself; without, only when it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// The pipelines by name.
    pub pipelines: BTreeMap<String, Pipeline>,
}

/// How it is looked whether the config changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// How often.
    pub interval: Time,
}

impl Default for Reload {
    fn default() -> Self {
        // As Logstash does.
        Self { interval: Time(std::time::Duration::from_secs(3)) }
    }
}

/// One way from inputs to outputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pipeline {
    /// Where events come from, by name.
    pub inputs: BTreeMap<String, InputPart>,
    /// What changes them, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Step>,
    /// How many threads filter; none: one per core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// The durable queue before the outputs; none: as design says, there is one when there is
    /// more than one output, the store, or an input that is pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueuePart>,
    /// Where events go, by name.
    pub outputs: BTreeMap<String, OutputPart>,
}

/// An input, with the filters that are for its events alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputPart {
    /// What it reads.
    #[serde(flatten)]
    pub input: InputConfig,
    /// Filters for its events alone, before the pipeline's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Step>,
}

/// An output, and the events that it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputPart {
    /// Where it writes.
    #[serde(flatten)]
    pub output: OutputConfig,
    /// A condition; none: every event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// A step of a chain of filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// `if` … `then` … `else`.
    If(IfStep),
    /// A filter.
    Filter(Box<FilterStep>),
}

/// `if` … `then` … `else`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IfStep {
    /// The condition.
    #[serde(rename = "if")]
    pub condition: String,
    /// The steps when it is true.
    #[serde(default)]
    pub then: Vec<Step>,
    /// The steps when it is not.
    #[serde(default, rename = "else", skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<Step>,
}

/// A filter with what every filter has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterStep {
    /// What it does.
    #[serde(flatten)]
    pub filter: FilterConfig,
    /// What the monitoring API calls it; none: where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Only for events of this condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Tags added when it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_on_failure: Vec<String>,
    /// What is done to the event when it succeeded.
    #[serde(default, skip_serializing_if = "on_success::Config::is_empty")]
    pub on_success: on_success::Config,
}

impl From<FilterConfig> for FilterStep {
    /// The filter alone.
    fn from(filter: FilterConfig) -> Self {
        Self {
            filter,
            id: None,
            when: None,
            tag_on_failure: Vec::new(),
            on_success: on_success::Config::default(),
        }
    }
}

/// What a part is, such as `file`: the name under which its options stand in a config.
pub fn kind_of(part: &impl Serialize) -> String {
    let named = serde_json::to_value(part).ok();
    named.and_then(|named| Some(named.as_object()?.keys().next()?.clone())).unwrap_or_default()
}

/// Whether there is a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QueuePart {
    /// The word `none`: the outputs acknowledge to the inputs directly.
    Word(NoQueue),
    /// With these options.
    With(QueueOptions),
}

/// The word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoQueue {
    /// No queue.
    None,
}

/// Options of the durable queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueOptions {
    /// Bytes on disk at most; at the limit the inputs wait.
    pub bytes_max: Bytes,
    /// Events at most; 0: no limit.
    pub events_max: u64,
    /// Size of a segment file.
    pub segment_bytes: Bytes,
    /// When an append is confirmed.
    pub durability: Durability,
    /// How long an append waits for others to share its sync.
    pub group_time: Time,
    /// Whether the program, when it is asked to end, waits until the queue is empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            bytes_max: Bytes(4 << 30),
            events_max: 0,
            segment_bytes: Bytes(64 << 20),
            durability: Durability::Fsync,
            group_time: Time(std::time::Duration::from_millis(10)),
            drain: false,
        }
    }
}

/// When an append to the queue is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// After the disk has it: it survives a power cut.
    #[default]
    Fsync,
    /// After the operating system has it: it survives kill -9.
    Os,
    /// At once: it survives nothing.
    Memory,
}

/// Options of the dead letters, which all pipelines share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterOptions {
    /// Bytes on disk at most.
    pub bytes_max: Bytes,
    /// Letters that are older go, a tenth of the time later at most; none: they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_max: Option<Time>,
    /// What becomes of letters when there is no room for more.
    pub when_full: WhenFull,
}

impl Default for DeadLetterOptions {
    fn default() -> Self {
        Self { bytes_max: Bytes(1 << 30), age_max: None, when_full: WhenFull::DropOldest }
    }
}

/// Which dead letters go when there is no room for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest, 16 MiB of them at once or a quarter of all.
    #[default]
    DropOldest,
    /// Those that would come.
    DropNewest,
}

/// Options of the HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Address and port. What is not loopback needs `tls` and `users`.
    pub listen: String,
    /// Certificate and key, as PEM files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Users and their passwords.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Secret>,
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9200".to_owned(), tls: None, users: BTreeMap::new() }
    }
}

/// Options of the monitoring API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Monitoring {
    /// Address and port, or a range of ports of which the first free one is taken.
    pub listen: ListenRange,
    /// What this program is called there; none: the machine's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Certificate and key, as PEM files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Users and their passwords; none: everybody who reaches the address may ask.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Secret>,
}

impl Default for Monitoring {
    fn default() -> Self {
        // As Logstash does.
        let listen = ListenRange { host: "127.0.0.1".to_owned(), first: 9600, last: 9700 };
        Self { listen, name: None, tls: None, users: BTreeMap::new() }
    }
}

/// An address with ports of which the first free one is taken: `127.0.0.1:9600-9700`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenRange {
    /// The address or its name; IPv6 without brackets.
    pub host: String,
    /// The port that is tried first; 0 is any free one.
    pub first: u16,
    /// The port that is tried last.
    pub last: u16,
}

impl TryFrom<String> for ListenRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address with a port or ports, such as 127.0.0.1:9600-9700");
        let (host, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.is_empty() || (bare.is_none() && host.contains(':')) {
            return Err(wrong());
        }
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(wrong());
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), first, last })
    }
}

impl From<ListenRange> for String {
    fn from(range: ListenRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for ListenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.first)?,
            false => write!(f, "{}:{}", self.host, self.first)?,
        }
        if self.last > self.first { write!(f, "-{}", self.last) } else { Ok(()) }
    }
}

/// Certificate and key of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// Options of the embedded store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// Indices whose newest event is older go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_age: Option<Time>,
    /// The oldest indices go while all together are larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports() {
        for (text, expected) in [
            ("127.0.0.1:9600", Some(("127.0.0.1", 9600, 9600))),
            ("127.0.0.1:9600-9700", Some(("127.0.0.1", 9600, 9700))),
            ("[::1]:9600-9601", Some(("::1", 9600, 9601))),
            ("logs.example:0", Some(("logs.example", 0, 0))),
            ("::1:9600", None),
            (":9600", None),
            ("127.0.0.1", None),
            ("127.0.0.1:9700-9600", None),
            ("127.0.0.1:70000", None),
            ("127.0.0.1:-1", None),
            ("127.0.0.1:1-2-3", None),
        ] {
            let found = ListenRange::try_from(text.to_owned());
            assert_eq!(
                found.as_ref().ok().map(|own| (own.host.as_str(), own.first, own.last)),
                expected,
                "{text}"
            );
            if let Ok(range) = found {
                assert_eq!(range.to_string(), text);
            }
        }
    }
}
