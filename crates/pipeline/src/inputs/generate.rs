//! Input `generate`: lines that are made up, numbered, the same for the same seed.

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use event::{Batch, Common, CommonValue, EVENTS_MAX, Origin, Span};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Options of the input `generate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The format of the lines.
    pub format: Format,
    /// Lines a second; 0: as many as are taken.
    pub rate: u64,
    /// How many lines altogether; 0: without end.
    pub count: u64,
    /// Other seeds give other lines.
    pub seed: u64,
    /// These lines in turn, in place of a format.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// A format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `2026-11-21T02:45:04.000Z INFO …`
    #[default]
    Plain,
    /// A JSON object.
    Json,
    /// Apache's combined format.
    Apache,
    /// RFC 3164.
    Syslog,
    /// `key=value`.
    Logfmt,
    /// All of them in turn.
    Mixed,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Plain, rate: 0, count: 0, seed: 1, lines: Vec::new() }
    }
}

/// The input.
pub struct GenerateInput {
    config: Config,
    context: InputContext,
    origin: Origin,
    common: Arc<Common>,
    next: u64,
    begun: Option<(Instant, u64)>,
}

impl Config {
    /// The input that these options describe. It goes on behind the last acknowledged line.
    pub fn build(&self, context: InputContext) -> Result<GenerateInput, ConfigError> {
        let meta = serde_json::json!({ "generate": self }).to_string();
        let known = context.registry.known(&context.name).into_iter().find(|known| known.meta == meta);
        let (origin, next) = match known {
            Some(known) => (known.origin, known.watermark),
            None => (context.registry.create(&context.name, meta, 0), 0),
        };
        context
            .registry
            .flush()
            .map_err(|error| ConfigError { option: "generate", message: error.to_string() })?;
        let fields =
            [("host.name", CommonValue::Str(context.host.clone())), ("log.offset", CommonValue::Position)];
        let common = Common::new(origin, fields);
        Ok(GenerateInput { config: self.clone(), context, origin, common, next, begun: None })
    }
}

impl Input for GenerateInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        if let Some((from, _)) = self.context.registry.rewound(self.origin) {
            self.next = from;
        }
        let mut room = EVENTS_MAX as u64;
        if self.config.count > 0 {
            if self.next >= self.config.count {
                return self.wait_for_the_last(stop);
            }
            room = room.min(self.config.count - self.next);
        }
        let Some(room) = self.allowed(room, stop) else { return Ok(Next::Stopped) };
        batch.reset(crate::run::now());
        batch.begin_run(self.common.clone(), self.next);
        for n in self.next..self.next + room {
            let from = batch.bytes().len();
            let now = batch.now();
            match self.config.lines.get(n as usize % self.config.lines.len().max(1)) {
                Some(own) => batch.bytes_mut().extend_from_slice(own.as_bytes()),
                None => line(self.config.format, self.config.seed, n, now, batch.bytes_mut()),
            }
            let span = Span::new(from, batch.bytes().len());
            batch.push_line(span, n);
        }
        let range = super::range(self.origin, self.next, self.next + room);
        self.next += room;
        batch.end_run(self.next, 0);
        batch.acks.push(self.context.registry.begin(vec![range]));
        Ok(Next::Filled)
    }
}

impl GenerateInput {
    /// How many lines the rate allows now; waits for at least one.
    fn allowed(&mut self, room: u64, stop: &Stop) -> Option<u64> {
        if self.config.rate == 0 {
            return (!stop.is_set()).then_some(room);
        }
        let (begun, first) = *self.begun.get_or_insert((Instant::now(), self.next));
        loop {
            let due = first + (begun.elapsed().as_secs_f64() * self.config.rate as f64) as u64 + 1;
            if due > self.next {
                return Some(room.min(due - self.next));
            }
            let pause = Duration::from_secs_f64(1.0 / self.config.rate as f64).max(Duration::from_millis(2));
            if stop.wait(pause) {
                return None;
            }
        }
    }

    /// The input has only ended when nothing can come back.
    fn wait_for_the_last(&mut self, stop: &Stop) -> Result<Next, InputError> {
        while self.context.registry.watermark(self.origin) < self.config.count {
            if stop.wait(Duration::from_millis(5)) {
                return Ok(Next::Stopped);
            }
            if let Some((from, _)) = self.context.registry.rewound(self.origin) {
                self.next = from;
                return Err(InputError::Other("lines came back and are made again".to_owned()));
            }
        }
        Ok(Next::Ended)
    }
}

const LEVELS: [&str; 8] = ["info", "info", "info", "info", "debug", "info", "warn", "error"];
const PATHS: [&str; 6] = ["/", "/cart", "/checkout", "/api/items", "/api/login", "/health"];
const SAID: [&str; 6] = [
    "request finished",
    "cache refreshed",
    "user logged in",
    "connection closed",
    "retrying upstream",
    "job done",
];

/// Writes line number `n`.
fn line(format: Format, seed: u64, n: u64, now: i64, out: &mut Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let level = LEVELS[random.usize(..8)];
    let (path, said) = (PATHS[random.usize(..6)], SAID[random.usize(..6)]);
    let took = random.u16(1..900);
    let status = [200, 200, 200, 304, 404, 500][random.usize(..6)];
    let format = match format {
        Format::Mixed => {
            [Format::Plain, Format::Json, Format::Apache, Format::Syslog, Format::Logfmt][(n % 5) as usize]
        }
        other => other,
    };
    let time = |out: &mut Vec<u8>| event::time::write_rfc3339(now, out);
    let result = match format {
        Format::Plain | Format::Mixed => {
            time(out);
            write!(out, " {} {said} seq={n} took={took}ms", level.to_uppercase())
        }
        Format::Json => {
            out.extend_from_slice(b"{\"@timestamp\":\"");
            time(out);
            write!(out, "\",\"level\":\"{level}\",\"message\":\"{said}\",\"seq\":{n},\"took_ms\":{took}}}")
        }
        Format::Logfmt => {
            out.extend_from_slice(b"time=");
            time(out);
            write!(out, " level={level} msg=\"{said}\" seq={n} took_ms={took}")
        }
        Format::Apache => write!(out, "10.0.0.{} - - [", random.u8(..)).and_then(|()| {
            clf_time(now, out);
            write!(out, "] \"GET {path}?seq={n} HTTP/1.1\" {status} {took} \"-\" \"curl/8.5.0\"")
        }),
        Format::Syslog => write!(out, "<{}>", 8 + random.u8(..8)).and_then(|()| {
            syslog_time(now, out);
            write!(out, " web1 app[{}]: {said} seq={n}", random.u16(1..))
        }),
    };
    result.expect("writing to memory");
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn civil(now: i64) -> (i64, u32, u32, i64) {
    let seconds = now.div_euclid(1_000_000_000);
    let (year, month, day) = event::time::civil_from_days(seconds.div_euclid(86_400));
    (year, month, day, seconds.rem_euclid(86_400))
}

fn clf_time(now: i64, out: &mut Vec<u8>) {
    let (year, month, day, second) = civil(now);
    let month = MONTHS[month as usize - 1];
    write!(
        out,
        "{day:02}/{month}/{year}:{:02}:{:02}:{:02} +0000",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
    .expect("writing to memory");
}

fn syslog_time(now: i64, out: &mut Vec<u8>) {
    let (_, month, day, second) = civil(now);
    let month = MONTHS[month as usize - 1];
    write!(out, "{month} {day:2} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
        .expect("writing to memory");
}
