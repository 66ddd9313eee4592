//! Who sent what was pushed to us: the fields that all events of a sender have in common.

use super::{ConfigError, InputContext};
use event::{Batch, Common, CommonValue, Origin};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Senders whose fields are kept.
const PEERS_MAX: usize = 10_000;

/// Which fields tell who sent an event; empty: none does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerFields<'f> {
    pub(crate) ip: &'f str,
    pub(crate) port: &'f str,
}

impl PeerFields<'_> {
    /// Checks the names; an error names the option.
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        for (option, field) in [("ip_field", self.ip), ("port_field", self.port)] {
            let is_good = field.split('.').all(|name| !name.is_empty() && !name.starts_with('@'));
            if !field.is_empty() && !is_good {
                return Err(ConfigError {
                    option,
                    message: format!("{field:?} is no path, such as source.ip"),
                });
            }
        }
        Ok(())
    }
}

/// The senders, and the position of the next event. What was pushed cannot be read again, so its
/// positions are those of one run of the program.
pub(crate) struct Peers {
    origin: Origin,
    fields: [String; 2],
    known: HashMap<SocketAddr, Arc<Common>>,
    position: u64,
}

impl Peers {
    /// None so far, of an input.
    pub(crate) fn new(context: &InputContext, fields: PeerFields<'_>) -> Self {
        // It is not kept: the next start hears other senders.
        let origin = context.registry.create(&context.name, String::new(), 0);
        context.registry.remove(origin);
        let fields = [fields.ip, fields.port].map(str::to_owned);
        Self { origin, fields, known: HashMap::new(), position: 0 }
    }

    /// Adds events of a sender to the batch: `push` is told the position of the first, and returns
    /// that behind the last.
    pub(crate) fn push(
        &mut self,
        peer: SocketAddr,
        batch: &mut Batch,
        push: impl FnOnce(u64, &mut Batch) -> u64,
    ) {
        if self.known.len() >= PEERS_MAX && !self.known.contains_key(&peer) {
            self.known.clear();
        }
        let (origin, fields) = (self.origin, &self.fields);
        let common = self.known.entry(peer).or_insert_with(|| {
            let values = [
                CommonValue::Str(peer.ip().to_canonical().to_string()),
                CommonValue::Int(i64::from(peer.port())),
            ];
            Common::new(origin, fields.iter().zip(values).filter(|(field, _)| !field.is_empty()))
        });
        if !batch.runs().last().is_some_and(|last| Arc::ptr_eq(&last.common, common)) {
            batch.begin_run(common.clone(), self.position);
        }
        self.position = push(self.position, batch);
        batch.end_run(self.position, 0);
    }
}
