//! What the pond says of itself, and what it can be asked to do: how it stands, events as they
//! pass, and the dead letters. The same routes are on the API, behind its guard, and on the
//! control socket in the data directory.

use crate::es::context::Context;
use crate::es::{self, EsError};
use crate::es::{Answer, Arguments, answer, answer_raw, read_json};
use crate::kql;
use crate::passing::Passing;
use crate::server::{LettersAsk, Status, TapAsk, TapStream, Told};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use expr::Condition;
use hyper::body::Frame;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

type Shared = Arc<dyn Status>;

/// What is asked for fits into so much.
const BODY_MAX: usize = 256 << 10;
/// Events per second of a tap that does not say how many.
const RATE: u64 = 100;
/// Letters of one answer that does not say how many, and at most.
const LETTERS: u64 = 100;
const LETTERS_MAX: u64 = 10_000;
/// How often a tap says what it left out, and a replay how far it is.
const TICK: Duration = Duration::from_secs(1);
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// The routes, without who may use them.
pub(crate) fn routes(status: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/_logpond/ledger", get(ledger))
        .route("/_logpond/stats", get(stats))
        .route("/_logpond/reload", post(reload))
        .route("/_logpond/tap", get(points).post(tap))
        .route("/_logpond/dead-letters", get(letters))
        .route("/_logpond/dead-letters/replay", post(replay))
        .route("/_logpond/dead-letters/drop", post(drop_letters))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(status)
}

/// The routes for whoever may open the socket.
pub(crate) fn alone(status: Shared) -> Router {
    routes(status).fallback(es::unknown).method_not_allowed_fallback(es::wrong_method)
}

async fn metrics(State(status): State<Shared>) -> Response {
    let text = status.metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn ledger(State(status): State<Shared>, arguments: Arguments) -> Response {
    answer(status.ledger(), &arguments)
}

async fn stats(State(status): State<Shared>, arguments: Arguments) -> Response {
    answer(status.stats(), &arguments)
}

/// The pond takes up its changed config; answered when it has, or has not.
async fn reload(State(status): State<Shared>, arguments: Arguments) -> Answer {
    Ok(answer(blocking(move || status.reload()).await?, &arguments))
}

async fn points(State(status): State<Shared>, arguments: Arguments) -> Response {
    answer(json!({ "points": status.points() }), &arguments)
}

/// Letters, oldest first: `output`, `where`, `from` (a number), `to`, `size`; with `stats` their
/// counts by output and reason in place of themselves.
async fn letters(State(status): State<Shared>, arguments: Arguments) -> Answer {
    arguments.only(&["output", "where", "from", "to", "size", "stats"])?;
    let number = |name: &str| arguments.number(name).map(|number| number.map(|number| number as u64));
    let ask = LettersAsk {
        output: arguments.get("output").map(str::to_owned),
        condition: arguments.get("where").map(str::to_owned),
        from: number("from")?.unwrap_or(0),
        to: number("to")?,
        limit: Some(number("size")?.unwrap_or(LETTERS).min(LETTERS_MAX)),
    };
    if arguments.flag("stats") {
        return Ok(answer(blocking(move || status.letter_counts(&ask)).await?, &arguments));
    }
    answer_raw(&blocking(move || status.letters(&ask)).await?, &arguments)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EsError> + Send + 'static,
) -> Result<T, EsError> {
    let panicked = |_| Err(EsError::new(500, "internal_error", "it panicked; the log says more"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(panicked)
}

/// A body's members, of which all must be known.
fn members(body: &Bytes, known: &[&str]) -> Result<Value, EsError> {
    let body = read_json(body)?;
    let Some(object) = body.as_object() else {
        return Err(EsError::parsing("the body must be a JSON object"));
    };
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(EsError::unknown("the member", name, known)),
        None => Ok(body),
    }
}

fn text(body: &Value, name: &str) -> Result<Option<String>, EsError> {
    match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(EsError::argument(format!("[{name}] must be text, not {other}"))),
    }
}

fn number(body: &Value, name: &str) -> Result<Option<u64>, EsError> {
    match &body[name] {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .map(Some)
            .ok_or_else(|| EsError::argument(format!("[{name}] must be a whole number, not {value}"))),
    }
}

fn order_of(body: &Bytes) -> Result<LettersAsk, EsError> {
    let body = members(body, &["output", "where", "from", "to", "limit"])?;
    Ok(LettersAsk {
        output: text(&body, "output")?,
        condition: text(&body, "where")?,
        from: number(&body, "from")?.unwrap_or(0),
        to: number(&body, "to")?,
        limit: number(&body, "limit")?,
    })
}

/// Replays letters: `output`, `where`, `limit`. The answer is a line of JSON now and then with
/// how far it is; the last one says `done` or `error`. Whoever hangs up ends it.
async fn replay(State(status): State<Shared>, body: Bytes) -> Answer {
    let ask = order_of(&body)?;
    status.check_letters(&ask)?;
    Ok(progress(move |told| status.replay(&ask, told)))
}

/// Removes letters: `output`, `where`, `from`, `to`, `limit`. The answer is as that of `replay`.
async fn drop_letters(State(status): State<Shared>, body: Bytes) -> Answer {
    let ask = order_of(&body)?;
    status.check_letters(&ask)?;
    Ok(progress(move |told| status.drop_letters(&ask, told)))
}

/// Does something long and tells of it, line by line.
fn progress(work: impl FnOnce(Told<'_>) -> Result<Value, EsError> + Send + 'static) -> Response {
    let (tell, mut lines) = mpsc::channel::<String>(8);
    tokio::task::spawn_blocking(move || {
        let mut last: Option<Instant> = None;
        let mut told = |value: Value| {
            if last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
                return !tell.is_closed();
            }
            last = Some(Instant::now());
            tell.blocking_send(value.to_string()).is_ok()
        };
        let last = match work(&mut told) {
            Ok(mut value) => {
                value["done"] = true.into();
                value
            }
            Err(error) => json!({ "error": error.reason, "status": error.status }),
        };
        let _ = tell.blocking_send(last.to_string());
    });
    lines_of(move |task| lines.poll_recv(task))
}

/// Events as they pass: `points`, `refused`, `query` (KQL), `where` (a condition), `rate` (events
/// per second), `limit`. Each line is an event with its point; each second one says how many were
/// `seen` and `left_out`.
async fn tap(State(status): State<Shared>, body: Bytes) -> Answer {
    let body = members(&body, &["points", "refused", "query", "where", "rate", "limit"])?;
    let points = match &body["points"] {
        Value::Null => Vec::new(),
        Value::Array(points) => points.iter().filter_map(|point| Some(point.as_str()?.to_owned())).collect(),
        other => return Err(EsError::argument(format!("[points] must be a list of texts, not {other}"))),
    };
    let rate = number(&body, "rate")?.unwrap_or(RATE).clamp(1, u64::from(u32::MAX)) as u32;
    let ask = TapAsk { points, refused: body["refused"] == true, select: select(&body)?, rate };
    let stream = status.tap(ask)?;
    let mut line = TapLines::new(stream, number(&body, "limit")?);
    Ok(lines_of(move |task| line.poll(task)))
}

fn select(body: &Value) -> Result<Option<crate::server::Select>, EsError> {
    let condition = text(body, "where")?.filter(|text| !text.trim().is_empty());
    let condition = condition
        .map(|text| Condition::parse(&text).map_err(|error| EsError::parsing(format!("[where]: {error}"))))
        .transpose()?;
    let query = text(body, "query")?.filter(|text| !text.trim().is_empty());
    let passing = query
        .map(|text| {
            let query = kql::parse(&text, &Context::at(es::dates::now()))?;
            Passing::new(&query).map_err(|reason| EsError::parsing(format!("[query]: {reason}")))
        })
        .transpose()?;
    if condition.is_none() && passing.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(move |event| {
        condition.as_ref().is_none_or(|condition| condition.matches(&event, 0))
            && passing.as_ref().is_none_or(|passing| passing.takes(event))
    })))
}

/// The lines of a tap's answer.
struct TapLines {
    stream: Box<dyn TapStream>,
    left: Option<u64>,
    tick: Interval,
    ended: bool,
}

impl TapLines {
    fn new(stream: Box<dyn TapStream>, limit: Option<u64>) -> Self {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { stream, left: limit, tick, ended: false }
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Option<String>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.left != Some(0) {
            match self.stream.poll_next(task) {
                Poll::Ready(Some(line)) => {
                    self.left = self.left.map(|left| left - 1);
                    return Poll::Ready(Some(line));
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending if self.tick.poll_tick(task).is_pending() => return Poll::Pending,
                Poll::Pending => self.ended = self.stream.is_over(),
            }
        } else {
            self.ended = true;
        }
        let (seen, left_out) = self.stream.counts();
        Poll::Ready(Some(json!({ "seen": seen, "left_out": left_out }).to_string()))
    }
}

/// A body of lines that come by and by.
fn lines_of(next: impl FnMut(&mut Task<'_>) -> Poll<Option<String>> + Send + 'static) -> Response {
    let body = Body::new(Lines(Box::new(next)));
    ([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}

type NextLine = Box<dyn FnMut(&mut Task<'_>) -> Poll<Option<String>> + Send>;

struct Lines(NextLine);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        (self.0)(task).map(|line| {
            line.map(|mut line| {
                line.push('\n');
                Ok(Frame::data(Bytes::from(line)))
            })
        })
    }
}
