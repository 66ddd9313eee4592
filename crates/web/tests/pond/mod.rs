//! A pond for tests: a store in a folder, and a queue that hands on at once.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use store::{Doc, Store};
use web::es::EsError;
use web::{Boxed, Ingest, IngestDoc, IngestError, LettersAsk, Status, TapAsk, TapStream, Told};

pub(crate) struct Direct {
    store: Arc<Store>,
    next: Mutex<u64>,
    /// Answer that there is no room.
    pub(crate) full: Mutex<bool>,
}

impl Direct {
    fn append_now(&self, docs: Vec<IngestDoc>) -> Result<u64, IngestError> {
        if *self.full.lock().unwrap() {
            return Err(IngestError::Busy("the queue is full".to_owned()));
        }
        let mut next = self.next.lock().unwrap();
        let first = *next;
        for doc in docs {
            let result = match &doc.source {
                None => self.store.delete(&doc.index, &doc.id, *next),
                Some(source) => self.store.append(&Doc {
                    index: &doc.index,
                    id: doc.id.as_str().into(),
                    sequence: *next,
                    time: 1_795_268_730_500_000_000,
                    source,
                    replaces: doc.replaces,
                }),
            };
            result.unwrap();
            *next += 1;
        }
        Ok(first)
    }
}

impl Ingest for Direct {
    fn append(&self, docs: Vec<IngestDoc>) -> Boxed<Result<u64, IngestError>> {
        let result = self.append_now(docs);
        Box::pin(async move { result })
    }

    fn settle(&self) -> Boxed<()> {
        Box::pin(async {})
    }
}

pub(crate) struct Quiet;

impl Status for Quiet {
    fn metrics(&self) -> String {
        "logpond_up 1\n".to_owned()
    }

    fn ledger(&self) -> serde_json::Value {
        serde_json::json!({ "outputs": {} })
    }

    fn reload(&self) -> Result<serde_json::Value, EsError> {
        Ok(serde_json::json!({ "ok": true }))
    }

    fn stats(&self) -> serde_json::Value {
        serde_json::json!({ "pipelines": [] })
    }

    fn points(&self) -> serde_json::Value {
        serde_json::json!([])
    }

    /// A tap of three events.
    fn tap(&self, ask: TapAsk) -> Result<Box<dyn TapStream>, EsError> {
        match ask.points.as_slice() {
            [] => Ok(Box::new(Three(0))),
            other => Err(EsError::argument(format!("no point is called {other:?}"))),
        }
    }

    fn check_letters(&self, ask: &LettersAsk) -> Result<(), EsError> {
        match &ask.condition {
            Some(text) => Err(EsError::parsing(format!("{text} is no condition"))),
            None => Ok(()),
        }
    }

    fn letters(&self, ask: &LettersAsk) -> Result<Box<serde_json::value::RawValue>, EsError> {
        let page = serde_json::json!({ "letters": [], "asked": [ask.from, ask.limit] });
        Ok(serde_json::value::to_raw_value(&page).unwrap())
    }

    fn letter_counts(&self, _: &LettersAsk) -> Result<serde_json::Value, EsError> {
        Ok(serde_json::json!({ "counts": [] }))
    }

    fn replay(&self, _: &LettersAsk, told: Told<'_>) -> Result<serde_json::Value, EsError> {
        told(serde_json::json!({ "replayed": 1 }));
        Ok(serde_json::json!({ "replayed": 2 }))
    }

    fn drop_letters(&self, _: &LettersAsk, _: Told<'_>) -> Result<serde_json::Value, EsError> {
        Err(EsError::new(409, "conflict", "somebody else drops"))
    }
}

struct Three(u64);

impl TapStream for Three {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<String>> {
        self.0 += 1;
        Poll::Ready((self.0 <= 3).then(|| format!("{{\"n\":{}}}", self.0)))
    }

    fn counts(&self) -> (u64, u64) {
        (7, 4)
    }

    fn is_over(&self) -> bool {
        false
    }
}

pub(crate) struct Pond {
    pub(crate) store: Arc<Store>,
    pub(crate) ingest: Arc<Direct>,
    _folder: tempfile::TempDir,
}

pub(crate) fn open() -> Pond {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(disk::RealDisk::open(folder.path()).unwrap());
    let options = store::Options { writer_bytes: 16 << 20, ..store::Options::default() };
    let store = Store::open(disk, options).unwrap();
    let ingest = Arc::new(Direct { store: store.clone(), next: Mutex::new(0), full: Mutex::new(false) });
    Pond { store, ingest, _folder: folder }
}
