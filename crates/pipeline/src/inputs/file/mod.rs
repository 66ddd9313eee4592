//! Input `file`: follows growing files and delivers their lines.
//!
//! A file is known by device, inode and content (`identity.rs`), not by its path: a rename
//! during rotation must not send old lines again, and an inode that is used again must not
//! hide new ones. The position of an event is the offset of its line; it is saved when the
//! batch is acknowledged, so a crash repeats the last lines and never skips one. inotify only
//! wakes us up; what is true is what `stat` and `read` say. Files that are packed are not followed but
//! read once (`packed.rs`).

mod follow;
mod glob;
mod identity;
pub(in crate::inputs) mod lines;
mod notify;
mod packed;
mod siblings;
mod watch;

use super::multiline::MultilineConfig;
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use crate::units::{Bytes, Time};
use event::{Batch, EVENTS_MAX, Origin};
use follow::Followed;
use lines::{End, Splitter};
use queue::Positions;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use watch::Watch;

/// Options of the input `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Files to follow; `*`, `?`, `[a-z]`, `{a,b}` and `**` match as in a shell.
    pub paths: Vec<String>,
    /// Files among them that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Where to begin in a file that is seen for the first time.
    pub start_at: StartAt,
    /// Files that were not written to for longer are left alone when they are seen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_older: Option<Time>,
    /// A file that was quiet for so long is closed until it grows again.
    pub close_inactive: Time,
    /// How long a file that was renamed or removed is still read after its last line.
    pub rotate_wait: Time,
    /// How often patterns are looked up again; a tenth as often while inotify tells of every
    /// folder.
    pub scan_interval: Time,
    /// Bytes of a line that are kept; the rest is cut, and the event marked `truncated`.
    pub line_bytes_max: Bytes,
    /// Files that are open at most.
    pub open_files_max: usize,
    /// Whether files whose names end with `.gz` or `.gzip` are unpacked; else they are read as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gzip: bool,
    /// Joins lines to one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<MultilineConfig>,
}

/// Where to begin in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// With its first line.
    #[default]
    Beginning,
    /// With the next line that is written.
    End,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            exclude: Vec::new(),
            start_at: StartAt::Beginning,
            ignore_older: None,
            close_inactive: Time(Duration::from_secs(300)),
            rotate_wait: Time(Duration::from_secs(5)),
            scan_interval: Time(Duration::from_secs(1)),
            line_bytes_max: Bytes(1 << 20),
            open_files_max: 0,
            gzip: false,
            multiline: None,
        }
    }
}

/// The input.
pub struct FileInput {
    watch: Watch,
    splitter: Splitter,
    group_wait: Duration,
    /// Where the round of the files goes on.
    turn: usize,
}

/// The longest sleep between two looks.
const LOOK_MAX: Duration = Duration::from_millis(1_000);

impl Config {
    /// The input that these options describe.
    pub fn build(&self, context: InputContext) -> Result<FileInput, ConfigError> {
        self.build_with(context, true)
    }

    /// `inotify`: whether the kernel is asked to say what changes; all works without, but later.
    fn build_with(&self, context: InputContext, inotify: bool) -> Result<FileInput, ConfigError> {
        if self.paths.is_empty() {
            let message = "at least one file or pattern is needed".to_owned();
            return Err(ConfigError { option: "paths", message });
        }
        let multiline = self.multiline.as_ref().map(MultilineConfig::build).transpose()?;
        let line_bytes_max = (self.line_bytes_max.0 as usize).max(1);
        let group_wait = self.multiline.as_ref().map_or(Duration::ZERO, |multiline| multiline.timeout.0);
        Ok(FileInput {
            watch: Watch::new(self.clone(), context, inotify)?,
            splitter: Splitter { line_bytes_max, multiline },
            group_wait,
            turn: 0,
        })
    }
}

impl Input for FileInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            if stop.is_set() {
                self.watch.remember();
                return Ok(Next::Stopped);
            }
            let now = Instant::now();
            if self.fill(batch, now)? {
                return Ok(Next::Filled);
            }
            let wait = self.watch.pause(now).min(LOOK_MAX);
            match self.watch.inotify() {
                Some(inotify) => stop.wait_with(&[inotify.as_fd()], wait),
                None => stop.wait(wait),
            };
            self.watch.woken();
        }
    }
}

impl FileInput {
    /// Fills the batch with what can be read now, without waiting; says whether there was any.
    fn fill(&mut self, batch: &mut Batch, now: Instant) -> Result<bool, InputError> {
        self.watch.look(now)?;
        batch.reset(crate::run::now());
        let ranges = self.read_round(batch, now);
        if ranges.is_empty() {
            return Ok(false);
        }
        batch.acks.push(self.watch.registry().begin(ranges));
        Ok(true)
    }

    /// Reads from each file whose turn it is, until the batch is full.
    fn read_round(&mut self, batch: &mut Batch, now: Instant) -> Vec<Positions> {
        let mut ranges = Vec::new();
        let batch_bytes = self.watch.batch_bytes();
        // Half of the room at most: files that grow do not wait until all that is packed is read.
        ranges.extend(self.watch.packed().read(batch, batch_bytes / 2, &self.splitter));
        let count = self.watch.awake().len();
        for step in 0..count {
            let turn = (self.turn + step) % count;
            let room = batch_bytes.saturating_sub(batch.bytes().len());
            if batch.len() >= EVENTS_MAX || room < 512 {
                self.turn = turn;
                return ranges;
            }
            if let Some(range) = self.read_file(self.watch.awake()[turn], batch, room, now) {
                ranges.push(range);
            }
        }
        self.turn = 0;
        ranges
    }

    fn read_file(&mut self, index: usize, batch: &mut Batch, room: usize, now: Instant) -> Option<Positions> {
        if !self.watch.is_due(index, now) {
            return None;
        }
        let group_wait = self.group_wait;
        let rotate_wait = self.watch.rotate_wait();
        if !self.watch.make_open(index, now) {
            return None;
        }
        let file: &mut Followed = &mut self.watch.files_mut()[index];
        let before = batch.bytes().len();
        let position = file.offset();
        let room = file.want(room, &self.splitter);
        let read = file.read(batch, room, now)?;
        if let Some(to) = read.hole {
            batch.begin_run(file.common(), position);
            file.pass_hole(to, now);
            batch.end_run(to, file.mark());
            let Origin { id, generation } = file.origin();
            return Some(Positions { origin: id, generation, from: position, to, mark: file.mark() });
        }
        let end = if read.at_end && file.is_final(now, rotate_wait) {
            End::Final
        } else if read.at_end && file.is_quiet(now, group_wait) {
            End::Quiet
        } else {
            End::Open
        };
        let to = batch.bytes().len();
        let from = file.pass_over(batch, before);
        batch.begin_run(file.common(), position);
        let events = batch.len();
        let split = self.splitter.split(batch, from, to, position + (from - before) as u64, end);
        let used = from - before + split.used;
        let produced = batch.len() > events;
        file.advance(batch, before, used, split.skipping, now);
        if !produced {
            batch.bytes_mut().truncate(before);
        } else if batch.bytes().len() == to {
            // Else something of the events was written behind what was read.
            batch.bytes_mut().truncate(before + used);
        }
        if used == 0 {
            file.held(read.bytes, now);
        }
        let (to, mark) = (position + used as u64, file.mark());
        batch.end_run(to, mark);
        let Origin { id, generation } = file.origin();
        if end == End::Final {
            file.finish();
        }
        (used > 0).then_some(Positions { origin: id, generation, from: position, to, mark })
    }
}

#[cfg(test)]
mod tests;
