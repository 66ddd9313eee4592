//! What the pond says of itself, and what it can be asked to do.

use crate::commands::run::metrics;
use crate::reload::{Asks, Reloads};
use crate::{letters, process};
use pipeline::registry::Registry;
use pipeline::run::dead_letters::DeadLetters;
use pipeline::run::replay::ReplayOrder;
use pipeline::run::stats::Stats;
use pipeline::run::taps::{TapOrder, Tapping};
use pipeline::run::{Running, RunningPipeline};
use pipeline::stop::Stop;
use process::Process;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use web::es::EsError;
use web::{LettersAsk, TapAsk, TapStream, Told};

/// How the whole program stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PondStats {
    /// The program's version.
    pub(crate) version: String,
    /// The process.
    pub(crate) pid: u32,
    /// When this was, in nanoseconds UTC.
    pub(crate) time_ns: i64,
    /// How long it has run.
    pub(crate) uptime_seconds: f64,
    /// What it takes of the machine.
    pub(crate) process: Process,
    /// How changed configs were taken up.
    #[serde(default)]
    pub(crate) reloads: Reloads,
    /// Its parts.
    #[serde(flatten)]
    pub(crate) stats: Stats,
}

/// The pond, for whoever asks it.
pub(crate) struct Status {
    running: Weak<Mutex<Running>>,
    registry: Arc<Registry>,
    letters: DeadLetters,
    /// Whoever is answered for long is to come to an end.
    ending: Stop,
    began: Instant,
    asks: Arc<Asks>,
}

impl Status {
    pub(crate) fn new(running: &Arc<Mutex<Running>>, asks: Arc<Asks>) -> Self {
        let own = running.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            running: Arc::downgrade(running),
            registry: own.registry().clone(),
            letters: own.dead_letters().clone(),
            ending: Stop::new(),
            began: Instant::now(),
            asks,
        }
    }

    /// Ends the answers that go on and on.
    pub(crate) fn end(&self) {
        self.ending.set();
    }

    fn look<T>(&self, look: impl FnOnce(&Running) -> T) -> Option<T> {
        let running = self.running.upgrade()?;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        Some(look(&running))
    }
}

/// How long somebody who asked for a reload is kept waiting.
const RELOAD_WAIT: Duration = Duration::from_secs(120);

fn ends() -> EsError {
    EsError::new(503, "unavailable", "the pond is just ending; ask again when it runs")
}

impl web::Status for Status {
    fn metrics(&self) -> String {
        self.look(metrics).unwrap_or_default()
    }

    fn ledger(&self) -> Value {
        let pipelines =
            self.look(|running| running.pipelines().iter().map(RunningPipeline::ledger).collect::<Vec<_>>());
        json!({
            "pipelines": pipelines.unwrap_or_default(),
            "files": self.registry.statuses(),
            "unreadable": self.registry.unreadable(),
        })
    }

    fn stats(&self) -> Value {
        let stats = PondStats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            time_ns: pipeline::run::now(),
            uptime_seconds: self.began.elapsed().as_secs_f64(),
            process: Process::now(),
            reloads: self.asks.past(),
            stats: self.look(Running::stats).unwrap_or_default(),
        };
        serde_json::to_value(stats).unwrap_or_default()
    }

    fn reload(&self) -> Result<Value, EsError> {
        let hear = self.asks.ask_and_hear().ok_or_else(|| {
            EsError::argument(
                "this pond was started without a config file: there is nothing to read anew".to_owned(),
            )
        })?;
        let outcome = hear.recv_timeout(RELOAD_WAIT).map_err(|_| ends())?;
        serde_json::to_value(outcome).map_err(|error| EsError::new(500, "internal_error", error.to_string()))
    }

    fn points(&self) -> Value {
        serde_json::to_value(self.look(Running::points).unwrap_or_default()).unwrap_or_default()
    }

    fn tap(&self, ask: TapAsk) -> Result<Box<dyn TapStream>, EsError> {
        let TapAsk { points, refused, select, rate } = ask;
        let order = TapOrder { points, refused, select, rate };
        let tapping = self.look(|running| running.tap(order)).ok_or_else(ends)?;
        let tapping = tapping.map_err(|error| EsError::argument(error.to_string()))?;
        Ok(Box::new(Stream { tapping, ending: self.ending.clone() }))
    }

    fn check_letters(&self, ask: &LettersAsk) -> Result<(), EsError> {
        letters::select(ask).map(drop)
    }

    fn letters(&self, ask: &LettersAsk) -> Result<Box<RawValue>, EsError> {
        let page = letters::page(&self.letters, ask)?;
        to_raw_value(&page).map_err(|error| EsError::new(500, "internal_error", error.to_string()))
    }

    fn letter_counts(&self, ask: &LettersAsk) -> Result<Value, EsError> {
        letters::counts(&self.letters, ask)
    }

    fn replay(&self, ask: &LettersAsk, told: Told<'_>) -> Result<Value, EsError> {
        let order = ReplayOrder { select: letters::select(ask)?, limit: ask.limit };
        // The replay itself holds nothing that the end of the program waits for.
        let replayer = self.look(Running::replayer).ok_or_else(ends)?;
        letters::replay(&replayer, &order, told)
    }

    fn drop_letters(&self, ask: &LettersAsk, told: Told<'_>) -> Result<Value, EsError> {
        letters::drop_some(&self.letters, ask, told)
    }
}

struct Stream {
    tapping: Tapping,
    ending: Stop,
}

impl TapStream for Stream {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<String>> {
        self.tapping.poll_next(task)
    }

    fn counts(&self) -> (u64, u64) {
        self.tapping.counts()
    }

    fn is_over(&self) -> bool {
        self.ending.is_set() || self.tapping.is_over()
    }
}
