//! Taking up a changed config: who asks for it, how it is read, what came of it.
//!
//! A config is compared by what it means, not by its bytes: reading it again covers every file that
//! it was made of, those that patterns match and those that hold secrets included, and a changed
//! comment changes nothing. What is being written just now is not taken: two readings, a moment
//! apart, must be the same.

use pipeline::plan::{Plan, Reload};
use pipeline::run::{Changes, Running};
use pipeline::stop::Stop;
use pipeline::wake::Wake;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Two readings must be the same over such a time.
const SETTLE: Duration = Duration::from_millis(150);
/// It is never looked more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// So often a config may differ from one reading to the next before the last one is taken.
const READINGS_MAX: usize = 40;

/// A config as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// The plan, or what is wrong, each with its place.
    pub(crate) plan: Result<Plan, Vec<String>>,
    /// What should be known of the plan.
    pub(crate) warnings: Vec<String>,
}

/// Reads the config anew.
pub(crate) type Reread = Box<dyn Fn() -> Reading>;

/// How the reloads went since the program was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reloads {
    /// How often a config was taken up.
    pub(crate) successes: u64,
    /// How often one was not.
    pub(crate) failures: u64,
    /// The last one.
    pub(crate) last: Option<Outcome>,
    /// The last one that succeeded, RFC 3339.
    pub(crate) last_success: Option<String>,
    /// The last one that failed, RFC 3339.
    pub(crate) last_failure: Option<String>,
    /// What was wrong with it.
    pub(crate) last_problems: Vec<String>,
    /// By pipeline, how often it was replaced.
    #[serde(default)]
    pub(crate) pipelines: BTreeMap<String, Replaced>,
}

/// How often a pipeline was replaced by a changed one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    /// How often.
    pub(crate) successes: u64,
    /// When last, RFC 3339.
    pub(crate) last_success: String,
}

/// How a reload went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// When it ended, RFC 3339.
    pub(crate) time: String,
    /// Whether the config was taken up. Else all runs on as it was.
    pub(crate) ok: bool,
    /// How long it took, the reading included.
    pub(crate) took_seconds: f64,
    /// The pipelines that it touched.
    #[serde(flatten)]
    pub(crate) changes: Changes,
    /// What is wrong with the config, each with its place.
    pub(crate) problems: Vec<String>,
    /// What should be known of it.
    pub(crate) warnings: Vec<String>,
}

/// Where one asks for a reload, from any thread.
pub(crate) struct Asks {
    wake: Wake,
    waiting: Mutex<Waiting>,
    past: Mutex<Reloads>,
    /// How often it is looked for changes, if it is.
    automatic: Mutex<Option<Reload>>,
    /// Whether there is a config that can be read anew.
    is_possible: bool,
}

#[derive(Default)]
struct Waiting {
    is_asked: bool,
    answers: Vec<Sender<Outcome>>,
}

impl Asks {
    pub(crate) fn new(is_possible: bool) -> io::Result<Arc<Self>> {
        let (waiting, past, automatic) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { wake: Wake::new()?, waiting, past, automatic, is_possible }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a reload; several that ask meanwhile get the same one.
    pub(crate) fn ask(&self) {
        self.waiting().is_asked = true;
        self.wake.wake();
    }

    /// Asks for a reload, and where its outcome can be heard; none when nothing can be read anew.
    pub(crate) fn ask_and_hear(&self) -> Option<Receiver<Outcome>> {
        let (tell, hear) = channel();
        self.is_possible.then(|| {
            self.waiting().answers.push(tell);
            self.ask();
            hear
        })
    }

    /// How the reloads went so far.
    pub(crate) fn past(&self) -> Reloads {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is looked for changes, and how often it is or would be.
    pub(crate) fn looks(&self) -> (bool, Duration) {
        let automatic = self.automatic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (automatic.is_some(), automatic.unwrap_or_default().interval.0)
    }

    fn set_automatic(&self, automatic: Option<&Reload>) {
        *self.automatic.lock().unwrap_or_else(PoisonError::into_inner) = automatic.cloned();
    }

    fn take(&self) -> Waiting {
        self.wake.clear();
        std::mem::take(&mut *self.waiting())
    }

    fn note(&self, outcome: &Outcome) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.ok {
            past.successes += 1;
            past.last_success = Some(outcome.time.clone());
            for name in &outcome.changes.changed {
                let own = past.pipelines.entry(name.clone()).or_default();
                own.successes += 1;
                own.last_success.clone_from(&outcome.time);
            }
        } else {
            past.failures += 1;
            past.last_failure = Some(outcome.time.clone());
            past.last_problems.clone_from(&outcome.problems);
        }
        past.last = Some(outcome.clone());
    }
}

impl AsFd for Asks {
    /// Readable when somebody asked.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Does what is asked, and looks by itself where the config says so. Lives in the main thread.
pub(crate) struct Reloader {
    reread: Reread,
    asks: Arc<Asks>,
    /// What was read last: taken up, or refused and told.
    known: Reading,
    /// How the plan that runs wants to be looked after.
    automatic: Option<Reload>,
    looked: Instant,
}

impl Reloader {
    pub(crate) fn new(reread: Reread, asks: Arc<Asks>, plan: &Plan) -> Self {
        let known = reread();
        // What changed between the first reading and now is seen at the next look.
        let known =
            if known.plan.as_ref() == Ok(plan) { known } else { Reading { plan: Ok(plan.clone()), ..known } };
        asks.set_automatic(plan.reload.as_ref());
        Self { known, reread, asks, automatic: plan.reload.clone(), looked: Instant::now() }
    }

    /// How long nothing needs to be done.
    pub(crate) fn pause(&self, at_most: Duration) -> Duration {
        self.interval()
            .map_or(at_most, |interval| at_most.min(interval.saturating_sub(self.looked.elapsed())))
    }

    /// How often it is looked for changes, if it is.
    fn interval(&self) -> Option<Duration> {
        self.automatic.as_ref().map(|automatic| automatic.interval.0.max(INTERVAL_MIN))
    }

    /// Does what is asked for by now.
    pub(crate) fn turn(&mut self, running: &Mutex<Running>, stop: &Stop) {
        let Waiting { is_asked, answers } = self.asks.take();
        let is_due = self.interval().is_some_and(|interval| self.looked.elapsed() >= interval);
        if !is_asked && !is_due {
            return;
        }
        let began = Instant::now();
        self.looked = began;
        let mut reading = (self.reread)();
        if !is_asked && reading == self.known {
            return;
        }
        for _ in 0..READINGS_MAX {
            if stop.wait(SETTLE) {
                return;
            }
            let again = (self.reread)();
            if again == reading {
                break;
            }
            reading = again;
        }
        // It may be as before again.
        if !is_asked && reading == self.known {
            return;
        }
        let outcome = self.take_up(reading, running, began);
        self.looked = Instant::now();
        self.asks.note(&outcome);
        for answer in answers {
            // Who asked may have hung up.
            let _ = answer.send(outcome.clone());
        }
    }

    fn take_up(&mut self, reading: Reading, running: &Mutex<Running>, began: Instant) -> Outcome {
        let result = match &reading.plan {
            Ok(plan) => Running::reload(running, plan).map_err(|error| vec![error.to_string()]),
            Err(problems) => Err(problems.clone()),
        };
        let mut outcome = Outcome {
            time: event::time::rfc3339(pipeline::run::now()),
            ok: result.is_ok(),
            took_seconds: began.elapsed().as_secs_f64(),
            warnings: reading.warnings.clone(),
            ..Outcome::default()
        };
        match result {
            Ok(changes) => {
                self.automatic = reading.plan.as_ref().ok().and_then(|plan| plan.reload.clone());
                self.asks.set_automatic(self.automatic.as_ref());
                for warning in &reading.warnings {
                    tracing::warn!("the config: {warning}");
                }
                let list = |names: &[String]| names.join(", ");
                tracing::info!(
                    added = list(&changes.added),
                    changed = list(&changes.changed),
                    removed = list(&changes.removed),
                    seconds = outcome.took_seconds,
                    "the config was taken up"
                );
                outcome.changes = changes;
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("the config: {problem}");
                }
                tracing::error!(
                    problems = problems.len(),
                    "the config is not taken up; all runs on as it was"
                );
                outcome.problems = problems;
            }
        }
        self.known = reading;
        outcome
    }
}
