//! Input `udp`: datagrams. Nobody can ask who sends them to wait, so what the pipeline does not take in
//! time is lost, and counted.

use super::decode::{Codec, Decoder, set};
use super::multiline::MultilineConfig;
use super::peers::{PeerFields, Peers};
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::datagrams::{Bind, DATAGRAM_BYTES_MAX, Datagrams};
use crate::net::sockets::Held;
use crate::stop::Stop;
use crate::units::Bytes;
use crate::wake::Wake;
use event::{Batch, New, Path};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Options of the input `udp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses as `HOST:PORT` or `[ADDRESS]:PORT`.
    pub listen: Vec<String>,
    /// What a datagram is.
    pub codec: Codec,
    /// How lines of a datagram are joined to one event; none: each is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<MultilineConfig>,
    /// The field below which the members of an object go; none: they are fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is behind so many bytes of a datagram is cut off, and the event tagged `_truncated`.
    pub datagram_bytes_max: Bytes,
    /// How many threads take datagrams off each socket; more than one may change their order.
    pub threads: usize,
    /// So many datagrams may wait for the pipeline.
    pub waiting_max: usize,
    /// And so many bytes of them.
    pub waiting_bytes: Bytes,
    /// The size of the system's buffer of each socket; none: as the system has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_buffer: Option<Bytes>,
    /// Groups to join.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub multicast: Vec<IpAddr>,
    /// The field that gets the address of who sent it; empty: none does.
    pub ip_field: String,
    /// The field that gets its port; empty: none does.
    pub port_field: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            codec: Codec::Raw,
            multiline: None,
            target: None,
            datagram_bytes_max: Bytes(DATAGRAM_BYTES_MAX as u64),
            threads: 1,
            waiting_max: 100_000,
            waiting_bytes: Bytes(16 << 20),
            receive_buffer: None,
            multicast: Vec::new(),
            ip_field: "source.ip".to_owned(),
            port_field: "source.port".to_owned(),
        }
    }
}

/// The tag of an event whose datagram was cut.
pub(super) const CUT: &str = "[\"_truncated\"]";
/// How long to wait for datagrams before it is looked what the system lost.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// The input.
pub struct UdpInput {
    datagrams: Datagrams,
    codec: Codec,
    decoder: Decoder,
    peers: Peers,
    tags: Path,
    batch_bytes: usize,
}

impl Config {
    fn bind(&self) -> Bind {
        Bind {
            listen: self.listen.clone(),
            datagram_bytes_max: self.datagram_bytes_max.0 as usize,
            threads: self.threads,
            waiting_max: self.waiting_max,
            waiting_bytes: self.waiting_bytes.0 as usize,
            receive_buffer: self.receive_buffer.map(|bytes| bytes.0 as usize),
            multicast: self.multicast.clone(),
        }
    }

    fn peer_fields(&self) -> PeerFields<'_> {
        PeerFields { ip: &self.ip_field, port: &self.port_field }
    }

    /// Checks the options without looking at the machine.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.bind().check().map_err(|(option, message)| ConfigError { option, message })?;
        self.decoder()?;
        self.peer_fields().check()
    }

    fn decoder(&self) -> Result<Decoder, ConfigError> {
        Decoder::new(self.codec, self.multiline.as_ref(), self.target.as_deref())
    }

    /// The input that these options describe; it listens at once.
    pub fn build(&self, context: InputContext) -> Result<UdpInput, ConfigError> {
        self.check()?;
        let wrong = |(option, message)| ConfigError { option, message };
        let wake = Wake::new().map_err(|error| wrong(("listen", error.to_string())))?;
        Ok(UdpInput {
            datagrams: self.bind().bind(&context.name, &context.sockets, Arc::new(wake)).map_err(wrong)?,
            codec: self.codec,
            decoder: self.decoder()?,
            peers: Peers::new(&context, self.peer_fields()),
            tags: Path::of(["tags"]),
            batch_bytes: context.batch_bytes,
        })
    }
}

impl Input for UdpInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        self.datagrams.start(stop).map_err(|error| InputError::Other(error.to_string()))?;
        loop {
            let is_last = stop.is_set();
            if is_last {
                self.datagrams.finish();
            }
            batch.reset(crate::run::now());
            let Self { datagrams, codec, decoder, peers, tags, batch_bytes } = self;
            datagrams.take(*batch_bytes, |peer, bytes, is_cut| {
                peers.push(peer, batch, |position, batch| {
                    decoder.push(*codec, bytes, position, batch, &mut |event| {
                        if is_cut {
                            set(event, tags, New::Json(CUT));
                        }
                    })
                });
            });
            if !batch.is_empty() {
                return Ok(Next::Filled);
            }
            if is_last {
                return Ok(Next::Stopped);
            }
            stop.wait_with(&[self.datagrams.as_fd()], LOOK);
        }
    }

    fn sockets(&self) -> Vec<Held> {
        self.datagrams.sockets()
    }

    fn lost(&self) -> Arc<AtomicU64> {
        self.datagrams.lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn events_say_who_sent_them() {
        let config: Config =
            serde_json::from_str(r#"{"listen": ["127.0.0.1:0"], "codec": "json", "datagram_bytes_max": 9}"#)
                .unwrap();
        let context = InputContext::of_test();
        let mut input = config.build(context).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in [r#"{"a":1}"#, "01234567890"] {
            sender.send_to(text.as_bytes(), input.datagrams.addresses()[0]).unwrap();
        }
        let stop = Stop::new();
        stop.set();
        let mut batch = Batch::new();
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
        let found: Vec<String> = batch
            .events()
            .map(|event| {
                let mut out = Vec::new();
                event.write_json(&mut out);
                let text = String::from_utf8(out).unwrap();
                text.split_once(r#""source""#).unwrap().1.to_owned()
            })
            .collect();
        let port = sender.local_addr().unwrap().port();
        let source = format!(r#":{{"ip":"127.0.0.1","port":{port}}}"#);
        assert_eq!(
            found,
            [
                format!(r#"{source},"a":1}}"#),
                format!(r#"{source},"message":"012345678","tags":["_truncated"]}}"#)
            ]
        );
        assert_eq!(batch.runs().len(), 1);
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Stopped);
    }
}
