//! Taps: events as they pass a point of a running pipeline, for whoever looks.
//!
//! A tap is lossy by design. It never holds up the pipeline: what is over its rate, or what
//! the looker is too slow for, is counted and left out. While nobody looks, a batch pays one
//! relaxed load at each point.

use super::chain::Watch;
use event::{Batch, Event};
use expr::Look;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::mpsc;

/// Events that wait for the looker.
const WAITING_MAX: usize = 1_024;
/// And their bytes; one event may be larger.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Who looks at once.
const TAPS_MAX: usize = 16;
/// The tokens that gather while nothing passes, as a part of a second's.
const BURST_PARTS: f64 = 10.0;

/// Where in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    /// Behind an input, by its number.
    Input(usize),
    /// Before a filter: its chain, its number in it.
    StepIn(usize, usize),
    /// Behind a filter.
    StepOut(usize, usize),
    /// Before an output, by its number.
    Output(usize),
    /// What an output refused.
    Refused(usize),
}

/// A point that can be tapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The pipeline.
    pub pipeline: String,
    /// Its name: `inputs.NAME`, `filters.0:in`, `filters.0:out`, `outputs.NAME`,
    /// `outputs.NAME:refused`. Filters are counted as in the config, `filters.2.then.0`.
    pub point: String,
    /// What stands there: the kind of the input, filter or output.
    pub kind: String,
    #[serde(skip)]
    spot: Option<Spot>,
}

impl Point {
    pub(super) fn new(pipeline: &str, point: String, kind: &str, spot: Spot) -> Self {
        Self { pipeline: pipeline.to_owned(), point, kind: kind.to_owned(), spot: Some(spot) }
    }

    /// Whether a word means this point: its name (`filters[0]` and `filters.0` are one), its
    /// part's name or a filter's kind, each with or without `PIPELINE/` before it and `:in`,
    /// `:out` or `:refused` behind it. Without, a filter is tapped behind itself, and of an
    /// output what it is given, or, with `refused`, what it refused.
    fn is_meant(&self, word: &str, refused: bool) -> bool {
        let word = match word.split_once('/') {
            Some((pipeline, rest)) if pipeline == self.pipeline => rest,
            _ => word,
        };
        let word = word.replace('[', ".").replace(']', "");
        let (name, side) =
            word.rsplit_once(':').map_or((word.as_str(), None), |(name, side)| (name, Some(side)));
        let (own, own_side) =
            self.point.rsplit_once(':').map_or((self.point.as_str(), None), |(own, side)| (own, Some(side)));
        let is_output = own.starts_with("outputs.");
        let wanted = match side {
            Some(side) => Some(side),
            None if is_output => refused.then_some("refused"),
            None if own_side.is_some() => Some("out"),
            None => None,
        };
        let is_filter = matches!(self.spot, Some(Spot::StepIn(..) | Spot::StepOut(..)));
        let is_part = !is_filter && own.split_once('.').is_some_and(|(_, part)| part == name);
        own_side == wanted && (own == name || is_part || is_filter && self.kind == name)
    }
}

/// Whether an event is wanted.
pub type Select = Box<dyn Fn(&dyn Look) -> bool + Send + Sync>;

/// What is asked of a tap.
pub struct TapOrder {
    /// Points, as [`Point::point`] or shorter; none: all outputs.
    pub points: Vec<String>,
    /// What outputs refused, in place of what they are given.
    pub refused: bool,
    /// Which events.
    pub select: Option<Select>,
    /// Events per second at most.
    pub rate: u32,
}

/// Why there is no tap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TapError {
    /// No point is called so.
    #[error("no point is called {word:?}; there are {known}")]
    NoPoint {
        /// The word.
        word: String,
        /// The points.
        known: String,
    },
    /// Too many look.
    #[error("{TAPS_MAX} taps are open already; end one")]
    TooMany,
}

/// All taps of a program.
#[derive(Default)]
pub struct Taps {
    /// How many there are.
    open: AtomicUsize,
    all: Mutex<Vec<Arc<Tap>>>,
}

struct Tap {
    wanted: HashSet<(String, Spot)>,
    names: Vec<Point>,
    select: Option<Select>,
    /// The share of each point, or those where events come first would leave nothing to the others.
    rate: f64,
    tokens: Vec<Mutex<(f64, Instant)>>,
    waiting: mpsc::Sender<String>,
    waiting_bytes: AtomicUsize,
    seen: AtomicU64,
    left_out: AtomicU64,
    /// A point that it looks at is gone, or another now.
    is_over: AtomicBool,
}

/// The looker's end of a tap; dropped, it ends the tap.
pub struct Tapping {
    taps: Arc<Taps>,
    tap: Arc<Tap>,
    shown: mpsc::Receiver<String>,
}

impl Taps {
    /// Opens a tap at points of these.
    pub(super) fn open(self: &Arc<Self>, order: TapOrder, known: &[Point]) -> Result<Tapping, TapError> {
        let mut names: Vec<Point> = Vec::new();
        let words = if order.points.is_empty() { vec![String::new()] } else { order.points };
        for word in words {
            let meant = |point: &&Point| match word.as_str() {
                "" => matches!(
                    (point.spot, order.refused),
                    (Some(Spot::Output(_)), false) | (Some(Spot::Refused(_)), true)
                ),
                word => point.is_meant(word, order.refused),
            };
            let found: Vec<&Point> = known.iter().filter(meant).collect();
            names.extend(
                found
                    .iter()
                    .filter(|point| !names.contains(point))
                    .map(|&point| point.clone())
                    .collect::<Vec<_>>(),
            );
            if found.is_empty() {
                let mut known: Vec<&str> = known.iter().map(|point| point.point.as_str()).collect();
                known.dedup();
                return Err(TapError::NoPoint { word, known: known.join(", ") });
            }
        }
        let wanted = names.iter().filter_map(|point| Some((point.pipeline.clone(), point.spot?))).collect();
        let (waiting, shown) = mpsc::channel(WAITING_MAX);
        let tap = Arc::new(Tap {
            wanted,
            select: order.select,
            rate: f64::from(order.rate.max(1)) / names.len() as f64,
            tokens: names.iter().map(|_| Mutex::new((1.0, Instant::now()))).collect(),
            names,
            waiting,
            waiting_bytes: AtomicUsize::new(0),
            seen: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TAPS_MAX {
            return Err(TapError::TooMany);
        }
        all.push(tap.clone());
        self.open.store(all.len(), Relaxed);
        Ok(Tapping { taps: self.clone(), tap, shown })
    }

    /// A pipeline has these points from now on. Whoever looks at one that is gone, or stands elsewhere,
    /// sees nothing more.
    pub(super) fn moved(&self, pipeline: &str, points: &[Point]) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|tap| {
            let mut own = tap.names.iter().filter(|point| point.pipeline == pipeline);
            let stays = own.all(|point| points.contains(point));
            tap.is_over.store(!stays, Relaxed);
            stays
        });
        self.open.store(all.len(), Relaxed);
    }

    /// Whether anybody looks.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// The taps that look at one of these spots.
    fn at(&self, pipeline: &str, is_wanted: impl Fn(Spot) -> bool) -> Vec<Arc<Tap>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let looks =
            |tap: &&Arc<Tap>| tap.wanted.iter().any(|(own, spot)| own == pipeline && is_wanted(*spot));
        all.iter().filter(looks).cloned().collect()
    }

    /// Shows the events of a batch that have this bit.
    pub(super) fn show(&self, pipeline: &str, spot: Spot, batch: &Batch, bit: u64) {
        for tap in self.at(pipeline, |own| own == spot) {
            let Some(point) = tap.point(pipeline, spot) else { continue };
            for event in batch.events().filter(|event| event.outputs() & bit != 0) {
                tap.offer(point, &event, "", |out| event.write_json(out));
            }
        }
    }

    /// Shows an event that is JSON already, with the reason for which it was refused.
    pub(super) fn show_refused(&self, pipeline: &str, output: usize, event: &str, reason: &str) {
        let spot = Spot::Refused(output);
        let taps = self.at(pipeline, |own| own == spot);
        if taps.is_empty() {
            return;
        }
        let mut batch = Batch::new();
        let common = event::Common::new(event::Origin::default(), Vec::<(&str, event::CommonValue)>::new());
        batch.begin_run(common, 0);
        if batch.push_json(event.as_bytes(), 0).is_err() {
            return;
        }
        let more = format!("\"reason\":{},", serde_json::Value::from(reason));
        for tap in taps {
            let Some(point) = tap.point(pipeline, spot) else { continue };
            tap.offer(point, &batch.view(0), &more, |out| out.extend_from_slice(event.as_bytes()));
        }
    }

    /// Looks at the filters of a pipeline, if anybody does.
    pub(super) fn watch(&self, pipeline: &str) -> Option<Watcher> {
        if !self.is_open() {
            return None;
        }
        let taps = self.at(pipeline, |spot| matches!(spot, Spot::StepIn(..) | Spot::StepOut(..)));
        (!taps.is_empty()).then(|| Watcher { taps, pipeline: pipeline.to_owned(), chain: 0 })
    }
}

/// Shows events before and behind filters.
pub(super) struct Watcher {
    taps: Vec<Arc<Tap>>,
    pipeline: String,
    /// Which chain runs.
    chain: usize,
}

impl Watcher {
    fn show(&self, spot: Spot, event: &Event<'_>) {
        let more = if event.is_dropped() { "\"dropped\":true," } else { "" };
        for tap in &self.taps {
            let Some(point) = tap.point(&self.pipeline, spot) else { continue };
            tap.offer(point, event, more, |out| event.write_json(out));
        }
    }
}

impl Watch for Watcher {
    fn enter(&mut self, chain: usize) {
        self.chain = chain;
    }
    fn before(&mut self, step: usize, event: &Event<'_>) {
        self.show(Spot::StepIn(self.chain, step), event);
    }
    fn after(&mut self, step: usize, event: &Event<'_>) {
        self.show(Spot::StepOut(self.chain, step), event);
    }
}

impl Tap {
    /// The number of a point among those that it looks at.
    fn point(&self, pipeline: &str, spot: Spot) -> Option<usize> {
        self.names.iter().position(|point| point.spot == Some(spot) && point.pipeline == pipeline)
    }

    /// Shows an event if it is wanted, and if there is room for it.
    fn offer(&self, point: usize, event: &dyn Look, more: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.select.as_ref().is_some_and(|select| !select(event)) {
            return;
        }
        self.seen.fetch_add(1, Relaxed);
        if !self.may_show(point) || self.waiting_bytes.load(Relaxed) > WAITING_BYTES_MAX {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let mut head = String::new();
        let point = &self.names[point];
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let _ = write!(
            head,
            "{{\"pipeline\":{},\"point\":{},{more}\"event\":",
            text(&point.pipeline),
            text(&point.point)
        );
        let mut line = head.into_bytes();
        write(&mut line);
        line.push(b'}');
        let line = String::from_utf8_lossy(&line).into_owned();
        let bytes = line.len();
        self.waiting_bytes.fetch_add(bytes, Relaxed);
        if self.waiting.try_send(line).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Relaxed);
            self.left_out.fetch_add(1, Relaxed);
        }
    }

    fn may_show(&self, point: usize) -> bool {
        let now = Instant::now();
        let mut tokens = self.tokens[point].lock().unwrap_or_else(PoisonError::into_inner);
        let (left, then) = *tokens;
        let gathered = left + now.saturating_duration_since(then).as_secs_f64() * self.rate;
        let left = gathered.min((self.rate / BURST_PARTS).max(1.0));
        let may = left >= 1.0;
        *tokens = (if may { left - 1.0 } else { left }, now);
        may
    }
}

impl Tapping {
    /// The next event, as one line of JSON: `pipeline`, `point`, `event`, and where they apply
    /// `dropped` and `reason`.
    pub fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<String>> {
        let polled = self.shown.poll_recv(task);
        if let Poll::Ready(Some(line)) = &polled {
            self.tap.waiting_bytes.fetch_sub(line.len(), Relaxed);
        }
        polled
    }

    /// How many events were wanted so far, and how many of them were left out.
    pub fn counts(&self) -> (u64, u64) {
        (self.tap.seen.load(Relaxed), self.tap.left_out.load(Relaxed))
    }

    /// Whether it will see nothing more, since a changed config lacks one of its points.
    pub fn is_over(&self) -> bool {
        self.tap.is_over.load(Relaxed)
    }

    /// The points that it looks at.
    pub fn points(&self) -> &[Point] {
        &self.tap.names
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        let mut all = self.taps.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|tap| !Arc::ptr_eq(tap, &self.tap));
        self.taps.open.store(all.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Common, Origin};
    use expr::Condition;

    fn points() -> Vec<Point> {
        [
            ("inputs.nginx", "file", Spot::Input(0)),
            ("filters.0:in", "grok", Spot::StepIn(0, 0)),
            ("filters.0:out", "grok", Spot::StepOut(0, 0)),
            ("filters.1.then.0:in", "set", Spot::StepIn(0, 1)),
            ("filters.1.then.0:out", "set", Spot::StepOut(0, 1)),
            ("outputs.es", "elasticsearch", Spot::Output(0)),
            ("outputs.es:refused", "elasticsearch", Spot::Refused(0)),
        ]
        .map(|(name, kind, spot)| Point::new("main", name.to_owned(), kind, spot))
        .into()
    }

    fn order(points: &[&str], refused: bool, rate: u32) -> TapOrder {
        TapOrder { points: points.iter().map(|&p| p.to_owned()).collect(), refused, select: None, rate }
    }

    fn batch(events: u64) -> Batch {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        (0..events).for_each(|n| batch.push_json(format!("{{\"n\":{n}}}").as_bytes(), n).unwrap());
        batch
    }

    #[test]
    fn words_mean_points() {
        #[track_caller]
        fn check(words: &[&str], refused: bool, expected: &str) {
            let taps = Arc::new(Taps::default());
            let tapping = taps.open(order(words, refused, 1), &points());
            let names = match &tapping {
                Ok(tapping) => {
                    tapping.points().iter().map(|p| p.point.as_str()).collect::<Vec<_>>().join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert!(names == expected || !expected.is_empty() && names.starts_with(expected), "{names}");
        }
        check(&[], false, "outputs.es");
        check(&[], true, "outputs.es:refused");
        check(&["nginx"], false, "inputs.nginx");
        check(&["es", "outputs.es"], false, "outputs.es");
        check(&["main/inputs.nginx", "es"], false, "inputs.nginx outputs.es");
        check(&["es"], true, "outputs.es:refused");
        check(&["grok"], false, "filters.0:out");
        check(&["filters[0]:in"], false, "filters.0:in");
        check(&["filters.1.then.0"], false, "filters.1.then.0:out");
        check(&["filters[1].then[0]:out"], false, "filters.1.then.0:out");
        check(&["outputs.es:refused"], false, "outputs.es:refused");
        check(&["nope"], false, "no point is called \"nope\"; there are inputs.nginx,");
        check(&["other/es"], false, "no point is called");
    }

    #[test]
    fn what_is_over_the_rate_is_counted() {
        let taps = Arc::new(Taps::default());
        assert!(!taps.is_open());
        let mut tapping = taps.open(order(&["es"], false, 20), &points()).unwrap();
        assert!(taps.is_open());
        // Another bit, another spot, another pipeline: nothing of it is seen.
        taps.show("main", Spot::Output(0), &batch(5), 0);
        taps.show("main", Spot::Input(0), &batch(5), 1);
        taps.show("other", Spot::Output(0), &batch(5), 1);
        assert_eq!(tapping.counts(), (0, 0));
        taps.show("main", Spot::Output(0), &batch(5_000), 1);
        let (seen, left_out) = tapping.counts();
        let shown = std::iter::from_fn(|| tapping.shown.try_recv().ok()).collect::<Vec<_>>();
        assert_eq!((seen, left_out + shown.len() as u64), (5_000, 5_000));
        assert!((1..100).contains(&shown.len()), "{}", shown.len());
        let first: serde_json::Value = serde_json::from_str(&shown[0]).unwrap();
        assert_eq!((&first["point"], &first["event"]["n"]), (&"outputs.es".into(), &0.into()));
        drop(tapping);
        assert!(!taps.is_open());
    }

    #[test]
    fn every_point_has_its_share() {
        let taps = Arc::new(Taps::default());
        let mut tapping = taps.open(order(&["nginx", "es"], false, 20), &points()).unwrap();
        taps.show("main", Spot::Input(0), &batch(1_000), 1);
        taps.show("main", Spot::Output(0), &batch(1_000), 1);
        let shown = std::iter::from_fn(|| tapping.shown.try_recv().ok()).collect::<Vec<_>>();
        assert!(
            ["inputs.nginx", "outputs.es"].iter().all(|point| shown.iter().any(|line| line.contains(point)))
        );
    }

    #[test]
    fn a_looker_that_does_not_look_holds_up_nobody() {
        let taps = Arc::new(Taps::default());
        let tapping = taps.open(order(&["es"], false, u32::MAX), &points()).unwrap();
        taps.show("main", Spot::Output(0), &batch(WAITING_MAX as u64 * 2), 1);
        assert_eq!(tapping.counts(), (WAITING_MAX as u64 * 2, WAITING_MAX as u64));
    }

    #[test]
    fn only_what_is_wanted_is_seen() {
        let taps = Arc::new(Taps::default());
        let condition = Condition::parse(".n >= 8").unwrap();
        let select: Select = Box::new(move |event| condition.matches(&event, 0));
        let order = TapOrder { select: Some(select), ..order(&["es"], true, u32::MAX) };
        let mut tapping = taps.open(order, &points()).unwrap();
        taps.show_refused("main", 0, r#"{"n":9}"#, "not \"so\"");
        taps.show_refused("main", 0, r#"{"n":1}"#, "x");
        taps.show_refused("main", 0, "null", "no event");
        assert_eq!(tapping.counts(), (1, 0));
        let line = tapping.shown.try_recv().unwrap();
        assert_eq!(
            line,
            r#"{"pipeline":"main","point":"outputs.es:refused","reason":"not \"so\"","event":{"n":9}}"#
        );
    }

    #[test]
    fn there_is_an_end_to_lookers() {
        let taps = Arc::new(Taps::default());
        let all: Vec<_> =
            (0..TAPS_MAX).map(|_| taps.open(order(&[], false, 1), &points()).unwrap()).collect();
        assert_eq!(taps.open(order(&[], false, 1), &points()).err(), Some(TapError::TooMany));
        drop(all);
        assert!(taps.open(order(&[], false, 1), &points()).is_ok());
    }
}
