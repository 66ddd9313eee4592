//! Documents on their way to the thread that indexes them. tantivy lets 10,000 batches wait there;
//! here they have a limit in bytes.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tantivy::TantivyDocument;
use tantivy::schema::document::Document;

/// So many bytes may wait, about.
const BYTES_MAX: usize = 8 << 20;
/// A thread that died takes nothing any more; whoever waits for it finds out when it goes on.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much waits.
#[derive(Default)]
pub(crate) struct Waiting {
    bytes: Mutex<usize>,
    less: Condvar,
}

/// Room that something takes as long as it waits.
pub(crate) struct Room {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Waiting {
    /// Waits until there is room for so much more, or nothing waits.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Room {
        let held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |held: &mut usize| *held > 0 && *held + bytes > BYTES_MAX;
        let (mut held, _) =
            self.less.wait_timeout_while(held, PATIENCE, is_full).unwrap_or_else(PoisonError::into_inner);
        *held += bytes;
        Room { waiting: self.clone(), bytes }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *self.waiting.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.waiting.less.notify_one();
    }
}

/// A document for the writer. The last of those that are handed over together has their room, which
/// ends when it is taken up.
pub(crate) struct Entry {
    pub(crate) document: TantivyDocument,
    pub(crate) room: Option<Room>,
}

impl Document for Entry {
    type Value<'a> = <TantivyDocument as Document>::Value<'a>;
    type FieldsValuesIter<'a> = <TantivyDocument as Document>::FieldsValuesIter<'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        self.document.iter_fields_and_values()
    }

    fn into_tantivy_document(self) -> TantivyDocument {
        self.document
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn who_finds_no_room_waits_for_it() {
        let waiting = Arc::new(Waiting::default());
        // More than there ever is: nothing else waits.
        let all = waiting.take(BYTES_MAX + 1);
        let (sender, receiver) = channel();
        let thread = std::thread::spawn({
            let waiting = waiting.clone();
            move || sender.send(waiting.take(1)).unwrap()
        });
        assert!(receiver.try_recv().is_err());
        drop(all);
        let one = receiver.recv().unwrap();
        thread.join().unwrap();
        drop((waiting.take(BYTES_MAX - 1), one));
        assert_eq!(*waiting.bytes.lock().unwrap(), 0);
    }
}
