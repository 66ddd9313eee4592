//! Who sent what was pushed to us: the fields that all events of a sender have in common.

use super::InputContext;
use event::{Batch, Common, CommonValue, Origin};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Senders whose fields are kept.
const PEERS_MAX: usize = 10_000;

/// The senders, and the position of the next event. What was pushed cannot be read again, so its
/// positions are those of one run of the program.
pub(crate) struct Peers {
    origin: Origin,
    known: HashMap<SocketAddr, Arc<Common>>,
    position: u64,
}

impl Peers {
    /// None so far, of an input.
    pub(crate) fn new(context: &InputContext) -> Self {
        // It is not kept: the next start hears other senders.
        let origin = context.registry.create(&context.name, String::new(), 0);
        context.registry.remove(origin);
        Self { origin, known: HashMap::new(), position: 0 }
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
        let origin = self.origin;
        let common = self.known.entry(peer).or_insert_with(|| {
            Common::new(
                origin,
                [
                    ("source.ip", CommonValue::Str(peer.ip().to_canonical().to_string())),
                    ("source.port", CommonValue::Int(i64::from(peer.port()))),
                ],
            )
        });
        if !batch.runs().last().is_some_and(|last| Arc::ptr_eq(&last.common, common)) {
            batch.begin_run(common.clone(), self.position);
        }
        self.position = push(self.position, batch);
        batch.end_run(self.position, 0);
    }
}
