//! What the tests of outputs share.

use event::{Batch, Common, Origin};

/// A batch of these JSON objects, for the output whose bit is the lowest.
#[track_caller]
pub(crate) fn batch<T: AsRef<[u8]>>(events: impl IntoIterator<Item = T>) -> Batch {
    let mut batch = Batch::new();
    batch.begin_run(Common::none(Origin::default()), 0);
    for (n, event) in events.into_iter().enumerate() {
        batch.push_json(event.as_ref(), n as u64).unwrap();
    }
    batch.each(|event| event.set_outputs(1));
    batch
}
