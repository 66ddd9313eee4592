//! Input `journal`: the systemd journal, through `journalctl -o export --follow`.
//!
//! The journal's own cursor is the position: positions are numbers of entries, and the
//! registry keeps the cursor of the last entry that was acknowledged beside them.

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use event::{Batch, Common, CommonValue, EVENTS_MAX, New, Origin, Path};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Options of the input `journal`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Only these units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// The journal's folder, in place of the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// The input.
pub struct JournalInput {
    config: Config,
    context: InputContext,
    origin: Origin,
    common: Arc<Common>,
    child: Option<(Child, ChildStdout)>,
    pending: Vec<u8>,
    next: u64,
    /// Cursors of entries that were read, by the position behind them.
    cursors: VecDeque<(u64, String)>,
    cursor: Option<String>,
}

/// An entry larger than this is passed over in parts that are no entry.
const ENTRY_BYTES_MAX: usize = 16 << 20;
const CHUNK: usize = 64 << 10;

impl Config {
    /// The input that these options describe. It goes on behind the last acknowledged entry.
    pub fn build(&self, context: InputContext) -> Result<JournalInput, ConfigError> {
        let known = context.registry.known(&context.name).into_iter().next();
        let (origin, next, cursor) = match known {
            Some(known) => (known.origin, known.watermark, (!known.meta.is_empty()).then_some(known.meta)),
            None => (context.registry.create(&context.name, String::new(), 0), 0, None),
        };
        context
            .registry
            .flush()
            .map_err(|error| ConfigError { option: "journal", message: error.to_string() })?;
        let common = Common::new(origin, [("host.name", CommonValue::Str(context.host.clone()))]);
        Ok(JournalInput {
            config: self.clone(),
            context,
            origin,
            common,
            child: None,
            pending: Vec::new(),
            next,
            cursors: VecDeque::new(),
            cursor,
        })
    }
}

impl Input for JournalInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            self.remember();
            if stop.is_set() {
                self.end();
                return Ok(Next::Stopped);
            }
            if self.context.registry.rewound(self.origin).is_some() {
                // The cursor of the watermark is the one that was remembered last.
                self.end();
                self.next = self.context.registry.watermark(self.origin);
                self.cursors.clear();
            }
            self.fill(stop)?;
            batch.reset(crate::run::now());
            if self.take(batch) {
                return Ok(Next::Filled);
            }
        }
    }
}

impl JournalInput {
    /// Keeps the cursor of what is acknowledged.
    fn remember(&mut self) {
        let safe = self.context.registry.watermark(self.origin);
        while let Some((_, cursor)) = self.cursors.pop_front_if(|(position, _)| *position <= safe) {
            self.context.registry.set_meta(self.origin, cursor.clone());
            self.cursor = Some(cursor);
        }
    }

    fn start(&self) -> Result<(Child, ChildStdout), InputError> {
        let mut command = Command::new("journalctl");
        command.args(["-o", "export", "--follow", "--no-pager", "--quiet"]);
        match &self.cursor {
            Some(cursor) => command.arg(format!("--after-cursor={cursor}")),
            None => command.arg("--no-tail"),
        };
        for unit in &self.config.units {
            command.arg(format!("--unit={unit}"));
        }
        if let Some(directory) = &self.config.directory {
            command.arg(format!("--directory={directory}"));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|source| InputError::Read { path: "journalctl".into(), source })?;
        let output =
            child.stdout.take().ok_or_else(|| InputError::Other("journalctl gave no output".to_owned()))?;
        Ok((child, output))
    }

    fn fill(&mut self, stop: &Stop) -> Result<(), InputError> {
        if self.child.is_none() {
            self.pending.clear();
            self.child = Some(self.start()?);
        }
        let Some((_, output)) = &self.child else { return Ok(()) };
        if stop.wait_with(&[output.as_fd()], Duration::from_millis(500)) {
            return Ok(());
        }
        let ready = rustix::event::PollFlags::IN | rustix::event::PollFlags::HUP;
        let mut fds = [rustix::event::PollFd::new(output, ready)];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if !rustix::event::poll(&mut fds, Some(&none)).is_ok_and(|count| count > 0) {
            return Ok(());
        }
        self.pending.reserve(CHUNK);
        match rustix::io::read(output, rustix::buffer::spare_capacity(&mut self.pending)) {
            Ok(0) => {
                self.end();
                Err(InputError::Other("journalctl ended; it is started again".to_owned()))
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(InputError::Read { path: "journalctl".into(), source: error.into() }),
        }
    }

    /// Makes events of the whole entries; says whether there were any.
    fn take(&mut self, batch: &mut Batch) -> bool {
        let mut used = 0;
        let first = self.next;
        batch.begin_run(self.common.clone(), first);
        while batch.len() < EVENTS_MAX {
            match parse_entry(&self.pending[used..]) {
                Parsed::Entry { fields, len } => {
                    used += len;
                    if let Some(cursor) = push_entry(batch, &fields, self.next) {
                        self.next += 1;
                        self.cursors.push_back((self.next, cursor));
                    }
                }
                Parsed::Partial if self.pending.len() - used > ENTRY_BYTES_MAX => used = self.pending.len(),
                Parsed::Partial => break,
            }
        }
        self.pending.drain(..used);
        batch.end_run(self.next, 0);
        if self.next > first {
            batch.acks.push(self.context.registry.begin(vec![super::range(self.origin, first, self.next)]));
        }
        self.next > first
    }

    fn end(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for JournalInput {
    fn drop(&mut self) {
        self.end();
    }
}

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

enum Parsed<'a> {
    Entry { fields: Fields<'a>, len: usize },
    Partial,
}

/// Reads one entry of the journal export format: `NAME=value` lines, or `NAME`, a newline, a
/// little-endian 64-bit length and as many bytes, for values that are not text; an empty
/// line ends the entry. Source: systemd's JOURNAL_EXPORT_FORMATS.
fn parse_entry(bytes: &[u8]) -> Parsed<'_> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let Some(end) = memchr::memchr(b'\n', &bytes[at..]).map(|n| at + n) else { return Parsed::Partial };
        let line = &bytes[at..end];
        at = end + 1;
        if line.is_empty() {
            return Parsed::Entry { fields, len: at };
        }
        match memchr::memchr(b'=', line) {
            Some(split) => fields.push((&line[..split], &line[split + 1..])),
            None => {
                let Some(length) = bytes.get(at..at + 8) else { return Parsed::Partial };
                let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
                let Some(end) = usize::try_from(length).ok().and_then(|length| (at + 8).checked_add(length))
                else {
                    return Parsed::Entry { fields, len: bytes.len() };
                };
                if bytes.len() <= end {
                    return Parsed::Partial;
                }
                fields.push((line, &bytes[at + 8..end]));
                at = end + 1;
            }
        }
    }
}

const LEVELS: [&str; 8] = ["emergency", "alert", "critical", "error", "warn", "notice", "info", "debug"];

/// Makes an event of an entry and returns the entry's cursor; nothing for one without a cursor.
fn push_entry(batch: &mut Batch, fields: &Fields<'_>, position: u64) -> Option<String> {
    let get = |name: &[u8]| fields.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
    let cursor = String::from_utf8_lossy(get(b"__CURSOR")?).into_owned();
    let number = |name: &[u8]| std::str::from_utf8(get(name)?).ok()?.parse::<i64>().ok();
    let mut event = batch.push_empty(position);
    if let Some(time) = number(b"__REALTIME_TIMESTAMP").and_then(|time| time.checked_mul(1_000)) {
        event.set_time(time);
    }
    // A handful of fields always fits.
    let mut set = |path: &str, value: New<'_>| {
        let _ = event.set(&Path::of(path.split('.')), value);
    };
    set("message", New::Str(get(b"MESSAGE").unwrap_or_default()));
    if let Some(level) = number(b"PRIORITY").and_then(|level| LEVELS.get(usize::try_from(level).ok()?)) {
        set("level", New::from(*level));
    }
    if let Some(name) = get(b"SYSLOG_IDENTIFIER").or_else(|| get(b"_COMM")) {
        set("process.name", New::Str(name));
    }
    if let Some(pid) = number(b"_PID").or_else(|| number(b"SYSLOG_PID")) {
        set("process.pid", New::Int(pid));
    }
    if let Some(unit) = get(b"_SYSTEMD_UNIT").or_else(|| get(b"UNIT")) {
        set("systemd.unit", New::Str(unit));
    }
    Some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_export_format() {
        let mut text =
            b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1700000000000001\nPRIORITY=3\nMESSAGE\n".to_vec();
        text.extend_from_slice(&5_u64.to_le_bytes());
        text.extend_from_slice(b"a\nb\xffc\n_PID=7\nSYSLOG_IDENTIFIER=cron\n_SYSTEMD_UNIT=cron.service\n\n");
        let whole = text.len();
        text.extend_from_slice(b"__CURSOR=s=1;i=3\nMESSAGE=next\n");
        for cut in 0..whole {
            assert!(matches!(parse_entry(&text[..cut]), Parsed::Partial), "cut at {cut}");
        }
        let Parsed::Entry { fields, len } = parse_entry(&text) else { panic!("an entry") };
        assert_eq!(len, whole);
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        assert_eq!(push_entry(&mut batch, &fields, 0).as_deref(), Some("s=1;i=2"));
        let mut json = Vec::new();
        batch.view(0).write_json(&mut json);
        assert_eq!(
            String::from_utf8_lossy(&json),
            "{\"@timestamp\":\"2023-11-14T22:13:20.000001Z\",\"message\":\"a\\nb\u{FFFD}c\",\"level\":\"error\",\"process\":{\"name\":\"cron\",\"pid\":7},\"systemd\":{\"unit\":\"cron.service\"}}"
        );
    }
}
