//! What is held between requests: scrolls, and points in time.
//!
//! Both are a snapshot of indices. A scroll also knows its search and where its last page ended;
//! pages end with the sequence as the last key, so that none is seen twice and none is left out.
//! Nothing of it survives a restart, as with Elasticsearch.

use super::EsError;
use super::search::Wanted;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Snapshot;

/// As Elasticsearch's `search.max_open_scroll_context`.
const HELD_MAX: usize = 500;
/// As Elasticsearch's `search.max_keep_alive`.
const KEEP_MAX: Duration = Duration::from_secs(24 * 3600);

/// A snapshot of indices, and what goes on in it.
pub(crate) struct Held {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The indices that were asked for.
    pub(crate) indices: String,
    /// The search of a scroll, which begins where the last page ended.
    pub(crate) scroll: Option<Box<Wanted>>,
    keep: Duration,
    until: Instant,
}

impl Held {
    pub(crate) fn new(snapshot: Arc<Snapshot>, indices: String, keep: Duration) -> Self {
        Self { snapshot, indices, scroll: None, keep, until: Instant::now() + keep }
    }
}

/// All that is held, by its ids.
#[derive(Clone, Default)]
pub(crate) struct Holds(Arc<Mutex<HashMap<String, Held>>>);

impl Holds {
    /// What is not over yet.
    fn open(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        held.retain(|_, held| held.until > now);
        held
    }

    /// Lets go of what is over.
    pub(crate) fn sweep(&self) {
        drop(self.open());
    }

    pub(crate) fn insert(&self, id: &str, held: Held) -> Result<(), EsError> {
        let mut all = self.open();
        if all.len() >= HELD_MAX {
            return Err(EsError::new(
                429,
                "es_rejected_execution_exception",
                format!(
                    "Trying to create too many scroll contexts. Must be less than or equal to: [{HELD_MAX}]; clear those that are done"
                ),
            ));
        }
        all.insert(id.to_owned(), held);
        Ok(())
    }

    /// Looks at what is held, and keeps it for longer: as long as said, or as long as before.
    pub(crate) fn with<T>(
        &self,
        id: &str,
        keep: Option<Duration>,
        look: impl FnOnce(&mut Held) -> T,
    ) -> Result<T, EsError> {
        let mut all = self.open();
        let held = all.get_mut(id).ok_or_else(|| missing(id))?;
        held.keep = keep.unwrap_or(held.keep);
        held.until = Instant::now() + held.keep;
        Ok(look(held))
    }

    /// Lets go; says of how many.
    pub(crate) fn remove(&self, ids: &[String], is_scroll: bool) -> usize {
        let mut all = self.open();
        let before = all.len();
        let is_all = ids.iter().any(|id| id == "_all");
        all.retain(|id, held| held.scroll.is_some() != is_scroll || !(is_all || ids.contains(id)));
        before - all.len()
    }
}

fn missing(id: &str) -> EsError {
    let id: String = id.chars().take(60).collect();
    EsError::new(
        404,
        "search_context_missing_exception",
        format!("No search context found for id [{id}]: it was not kept for so long, or cleared"),
    )
}

/// How long something is kept: `1m`, at most a day.
pub(crate) fn read_keep(text: &str) -> Result<Duration, EsError> {
    let keep = super::search::read_time(text)?;
    if keep > KEEP_MAX {
        return Err(EsError::argument(format!(
            "Keep alive for request ({text}) is too large. It must be less than (24h)"
        )));
    }
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps() {
        assert_eq!(read_keep("1m").unwrap(), Duration::from_secs(60));
        assert!(read_keep("2d").is_err());
        assert!(read_keep("soon").is_err());
    }
}
