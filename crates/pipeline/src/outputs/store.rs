//! Output `store`: the embedded search store, always behind a queue.
//!
//! What the store holds only softly is not acknowledged: after a crash the queue gives it
//! again, and each index passes over what it has.

use super::{Delivery, Letter, Output, OutputError, Refused};
use expr::Template;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use store::{Doc, Store, StoreError};

/// Options of the output `store`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The index; fields and times may stand in it.
    pub index: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { index: "logs-%Y.%m.%d".to_owned() }
    }
}

/// The output.
pub struct StoreOutput {
    store: Arc<Store>,
    index: Template,
    source: Vec<u8>,
    name: Vec<u8>,
}

/// An event that claims to be of later than this is filed under its arrival.
const AHEAD_MAX: i64 = 86_400 * 1_000_000_000;

impl Config {
    /// What is wrong with the options, if anything.
    pub fn check(&self) -> Result<(), String> {
        self.template().map(drop)
    }

    fn template(&self) -> Result<Template, String> {
        Template::parse(&self.index).map_err(|error| format!("option \"index\": {error}"))
    }

    /// The output that these options describe.
    pub fn build(&self, store: &Arc<Store>) -> Result<StoreOutput, String> {
        let index = self.template()?;
        Ok(StoreOutput { store: store.clone(), index, source: Vec::new(), name: Vec::new() })
    }
}

impl Output for StoreOutput {
    fn write(&mut self, delivery: &Delivery<'_>, refused: &mut Vec<Refused>) -> Result<(), OutputError> {
        let arrived = delivery.batch.now();
        let mut end = delivery.sequence;
        for (sequence, event) in delivery.events() {
            self.source.clear();
            event.write_json(&mut self.source);
            self.name.clear();
            let filed = if event.time() > arrived.saturating_add(AHEAD_MAX) { arrived } else { event.time() };
            if let Err(missing) = self.index.render_at(&event, filed, &mut self.name) {
                refused.push(Refused { sequence, reason: missing.to_string() });
                continue;
            }
            let name = String::from_utf8_lossy(&self.name).to_lowercase();
            let doc = Doc {
                index: &name,
                id: Cow::Owned(format!("{:032x}", event.id())),
                sequence,
                time: event.time(),
                source: &self.source,
                replaces: false,
            };
            match self.store.append(&doc) {
                Ok(()) => {}
                Err(error @ (StoreError::Name(..) | StoreError::Mapping(_))) => {
                    refused.push(Refused { sequence, reason: error.to_string() });
                }
                Err(error) => return Err(self.failed(&error)),
            }
            end = end.max(sequence + 1);
        }
        let (kept, _) = delivery.batch.kept_and_dropped();
        self.store.passed((delivery.sequence + kept as u64).max(end));
        self.tick()
    }

    fn write_docs(&mut self, docs: &[u8], sequence: u64) -> Result<(), OutputError> {
        let mut at = sequence;
        for doc in docs::Reader::new(docs) {
            let result = match doc.source {
                Some(source) => self.store.append(&Doc {
                    index: doc.index,
                    id: Cow::Borrowed(doc.id),
                    sequence: at,
                    time: doc.time,
                    source,
                    replaces: doc.replaces,
                }),
                None => self.store.delete(doc.index, doc.id, at),
            };
            match result {
                // They were checked before they were let in: what changed since is told by the log.
                Err(error @ (StoreError::Name(..) | StoreError::Mapping(_))) => {
                    tracing::warn!(index = doc.index, id = doc.id, %error, "a document was refused");
                }
                other => other.map_err(|error| self.failed(&error))?,
            }
            at += 1;
        }
        self.store.passed(at);
        self.tick()
    }

    fn settled(&mut self, _: bool, _: &mut Vec<Letter>) -> Result<u64, OutputError> {
        self.tick()?;
        Ok(self.store.synced_sequence())
    }
}

impl StoreOutput {
    fn tick(&self) -> Result<(), OutputError> {
        self.store.tick().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &StoreError) -> OutputError {
        if let StoreError::Lost(_) = error {
            self.store.begin_again();
            return OutputError::Lost(format!("the store: {error}"));
        }
        OutputError::Store(error.to_string())
    }
}

/// Documents from the API as a record of the queue.
///
/// ```text
/// per document: u8 kind (0 index, 1 replace, 2 delete)  i64 time  u16 index  u16 id  u32 source  and their bytes
/// ```
pub mod docs {
    /// A document from the API.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PushedDoc<'a> {
        /// The index.
        pub index: &'a str,
        /// The id.
        pub id: &'a str,
        /// When it came, in nanoseconds UTC.
        pub time: i64,
        /// The JSON object; none: the document of this id is removed.
        pub source: Option<&'a [u8]>,
        /// Whether a document of the same id is replaced.
        pub replaces: bool,
    }

    /// Adds a document to a record.
    pub fn write(doc: &PushedDoc<'_>, out: &mut Vec<u8>) {
        let source = doc.source.unwrap_or_default();
        out.push(if doc.source.is_none() { 2 } else { u8::from(doc.replaces) });
        out.extend_from_slice(&doc.time.to_le_bytes());
        out.extend_from_slice(&(doc.index.len() as u16).to_le_bytes());
        out.extend_from_slice(&(doc.id.len() as u16).to_le_bytes());
        out.extend_from_slice(&(source.len() as u32).to_le_bytes());
        out.extend_from_slice(doc.index.as_bytes());
        out.extend_from_slice(doc.id.as_bytes());
        out.extend_from_slice(source);
    }

    /// Reads the documents of a record; ends early where it is damaged.
    pub struct Reader<'a>(&'a [u8]);

    impl<'a> Reader<'a> {
        /// The documents of a record.
        pub fn new(record: &'a [u8]) -> Self {
            Self(record)
        }

        fn read(&mut self) -> Option<PushedDoc<'a>> {
            let (kind, rest) = self.0.split_first()?;
            let (time, rest) = rest.split_first_chunk::<8>()?;
            let (index, rest) = rest.split_first_chunk::<2>()?;
            let (id, rest) = rest.split_first_chunk::<2>()?;
            let (source, rest) = rest.split_first_chunk::<4>()?;
            let (index, rest) = rest.split_at_checked(u16::from_le_bytes(*index).into())?;
            let (id, rest) = rest.split_at_checked(u16::from_le_bytes(*id).into())?;
            let (source, rest) = rest.split_at_checked(u32::from_le_bytes(*source) as usize)?;
            self.0 = rest;
            Some(PushedDoc {
                index: std::str::from_utf8(index).ok()?,
                id: std::str::from_utf8(id).ok()?,
                time: i64::from_le_bytes(*time),
                source: (*kind != 2).then_some(source),
                replaces: *kind == 1,
            })
        }
    }

    impl<'a> Iterator for Reader<'a> {
        type Item = PushedDoc<'a>;
        fn next(&mut self) -> Option<PushedDoc<'a>> {
            self.read()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn there_and_back() {
            let docs = [
                PushedDoc { index: "a", id: "1", time: 5, source: Some(b"{}"), replaces: true },
                PushedDoc { index: "b", id: "", time: -5, source: Some(b"{\"x\":1}"), replaces: false },
                PushedDoc { index: "a", id: "1", time: 6, source: None, replaces: false },
            ];
            let mut record = Vec::new();
            docs.iter().for_each(|doc| write(doc, &mut record));
            assert_eq!(Reader::new(&record).collect::<Vec<_>>(), docs);
            assert_eq!(Reader::new(&record[..record.len() - 1]).count(), 2);
        }
    }
}
