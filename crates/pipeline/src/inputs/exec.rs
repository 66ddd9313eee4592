//! Input `exec`: runs a command now and then; what it prints is an event.

use super::decode::{Codec, Decoder, set};
use super::multiline::MultilineConfig;
use super::schedule::Schedule;
use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::stop::Stop;
use crate::units::{Bytes, Time};
use event::{Batch, Common, CommonValue, New, Path};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Options of the input `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the shell (`sh -c`) is given.
    pub command: String,
    /// How often, from start to start; the first time at once. Either this or `schedule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Time>,
    /// When, as cron has it, with a time zone behind it; without one, this machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// A command that takes longer is killed, with all that it started.
    pub timeout: Time,
    /// What it prints beyond this is cut off, and the event tagged `_truncated`.
    pub output_bytes_max: Bytes,
    /// What it prints.
    pub codec: Codec,
    /// How lines that it prints are joined to one event; none: each is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiline: Option<MultilineConfig>,
    /// The field below which the members of an object go; none: they are fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            command: String::new(),
            interval: None,
            schedule: None,
            timeout: Time(Duration::from_secs(60)),
            output_bytes_max: Bytes(1 << 20),
            codec: Codec::Raw,
            multiline: None,
            target: None,
        }
    }
}

/// Of what it says on standard error, so much is told in the log.
const WORDS_MAX: usize = 400;
/// How often it is looked whether a command ended that prints nothing any more.
const LOOK: Duration = Duration::from_millis(20);

/// The input.
pub struct ExecInput {
    config: Config,
    when: When,
    decoder: Decoder,
    common: Arc<Common>,
    paths: Paths,
    position: u64,
}

enum When {
    Every { interval: Duration, due: Option<Instant> },
    At { schedule: Schedule, due: Option<i64> },
}

struct Paths {
    command: Path,
    exit_code: Path,
    signal: Path,
    duration: Path,
    tags: Path,
}

impl Config {
    /// Checks the options.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.when()?;
        self.decoder().map(drop)
    }

    fn when(&self) -> Result<When, ConfigError> {
        let wrong = |option, message: &str| Err(ConfigError { option, message: message.to_owned() });
        if self.command.trim().is_empty() {
            return wrong("command", "the command is missing");
        }
        if self.timeout.0.is_zero() {
            return wrong("timeout", "longer than nothing");
        }
        if self.output_bytes_max.0 == 0 {
            return wrong("output_bytes_max", "more than 0");
        }
        match (self.interval, &self.schedule) {
            (Some(interval), None) if interval.0.is_zero() => wrong("interval", "longer than nothing"),
            (Some(interval), None) => Ok(When::Every { interval: interval.0, due: None }),
            (None, Some(text)) => match Schedule::parse(text) {
                Ok(schedule) => Ok(When::At { schedule, due: None }),
                Err(message) => Err(ConfigError { option: "schedule", message }),
            },
            _ => wrong("interval", "either \"interval\" or \"schedule\" says when"),
        }
    }

    fn decoder(&self) -> Result<Decoder, ConfigError> {
        Decoder::new(self.codec, self.multiline.as_ref(), self.target.as_deref())
    }

    /// The input that these options describe.
    pub fn build(&self, context: InputContext) -> Result<ExecInput, ConfigError> {
        let (when, decoder) = (self.when()?, self.decoder()?);
        let origin = context.registry.create(&context.name, String::new(), 0);
        // It is not kept: what a command printed cannot be read again.
        context.registry.remove(origin);
        Ok(ExecInput {
            config: self.clone(),
            when,
            decoder,
            common: Common::new(origin, [("host.name", CommonValue::Str(context.host))]),
            paths: Paths {
                command: Path::of(["process", "command_line"]),
                exit_code: Path::of(["process", "exit_code"]),
                signal: Path::of(["process", "exit_signal"]),
                duration: Path::of(["event", "duration"]),
                tags: Path::of(["tags"]),
            },
            position: 0,
        })
    }
}

impl Input for ExecInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            if !self.when.wait(stop) {
                return Ok(Next::Stopped);
            }
            let begun = Instant::now();
            let run = Run::start(&self.config).map_err(|error| {
                InputError::Other(format!("cannot run {:?}: {error}", self.config.command))
            })?;
            let Some(done) = run.finish(&self.config, begun, stop) else { return Ok(Next::Stopped) };
            self.tell(&done);
            self.push(&done, begun.elapsed(), batch);
            // With some codecs nothing printed is no event.
            if !batch.is_empty() {
                return Ok(Next::Filled);
            }
        }
    }
}

impl ExecInput {
    fn tell(&self, done: &Done) {
        let command = &self.config.command;
        let said = String::from_utf8_lossy(&done.said).trim().to_owned();
        match done.status {
            None => tracing::warn!(command, said, "a command took too long and was killed"),
            Some(status) if !status.success() => tracing::warn!(command, %status, said, "a command failed"),
            Some(_) => {}
        }
    }

    fn push(&mut self, done: &Done, took: Duration, batch: &mut Batch) {
        let Self { config, decoder, common, paths, position, .. } = self;
        batch.reset(crate::run::now());
        batch.begin_run(common.clone(), *position);
        *position = decoder.push(config.codec, &done.printed, *position, batch, &mut |event| {
            set(event, &paths.command, New::from(config.command.as_str()));
            match done.status.map(|status| (status.code(), status.signal())) {
                Some((Some(code), _)) => set(event, &paths.exit_code, New::Int(i64::from(code))),
                Some((None, Some(signal))) => set(event, &paths.signal, New::Int(i64::from(signal))),
                _ => {}
            }
            set(event, &paths.duration, New::Int(took.as_nanos() as i64));
            let tags = match (done.status.is_none(), done.is_cut) {
                (true, true) => "[\"_timeout\",\"_truncated\"]",
                (true, false) => "[\"_timeout\"]",
                (false, true) => "[\"_truncated\"]",
                (false, false) => return,
            };
            set(event, &paths.tags, New::Json(tags));
        });
        batch.end_run(*position, 0);
    }
}

impl When {
    /// Waits until it is due; false when it is to stop before. Times that passed meanwhile are passed over.
    fn wait(&mut self, stop: &Stop) -> bool {
        match self {
            When::Every { interval, due } => {
                while let Some(left) = due.and_then(|due| due.checked_duration_since(Instant::now())) {
                    if left.is_zero() {
                        break;
                    }
                    if stop.wait(left) {
                        return false;
                    }
                }
                *due = Instant::now().checked_add(*interval);
            }
            When::At { schedule, due } => loop {
                // The clock may be set while we wait.
                let now = crate::run::now();
                let Some(next) = due.or_else(|| schedule.after(now)) else {
                    return !stop.wait(Duration::MAX);
                };
                if now >= next {
                    *due = None;
                    break;
                }
                *due = Some(next);
                let left = Duration::from_nanos((next - now) as u64).min(Duration::from_secs(60));
                if stop.wait(left) {
                    return false;
                }
            },
        }
        !stop.is_set()
    }
}

/// A command that runs; it is killed when this goes.
struct Run {
    child: Child,
    /// Standard output and standard error, until they are closed.
    outputs: [Option<OwnedFd>; 2],
}

/// What became of a command.
struct Done {
    printed: Vec<u8>,
    is_cut: bool,
    said: Vec<u8>,
    /// None: it took too long.
    status: Option<ExitStatus>,
}

impl Run {
    fn start(config: &Config) -> std::io::Result<Self> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&config.command).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        let run = Self { child, outputs };
        for output in run.outputs.iter().flatten() {
            rustix::io::ioctl_fionbio(output, true)?;
        }
        Ok(run)
    }

    /// Reads what it prints until it ended, or took too long; `None` when the program is to stop.
    fn finish(mut self, config: &Config, begun: Instant, stop: &Stop) -> Option<Done> {
        let deadline = begun.checked_add(config.timeout.0);
        let limit = config.output_bytes_max.0 as usize;
        let mut done = Done { printed: Vec::new(), is_cut: false, said: Vec::new(), status: None };
        loop {
            let left =
                deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Some(done);
            }
            let waited_for: Vec<_> = self.outputs.iter().flatten().map(AsFd::as_fd).collect();
            if waited_for.is_empty()
                && let Ok(Some(status)) = self.child.try_wait()
            {
                done.status = Some(status);
                return Some(done);
            }
            let at_most = if waited_for.is_empty() { left.min(LOOK) } else { left };
            if stop.wait_with(&waited_for, at_most) {
                return None;
            }
            let [printed, said] = &mut self.outputs;
            done.is_cut |= read(printed, &mut done.printed, limit);
            read(said, &mut done.said, WORDS_MAX);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // All that it started is of its group, unless it left it.
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads what there is, and lets go of what is closed. Says whether there was more than may be kept.
fn read(output: &mut Option<OwnedFd>, kept: &mut Vec<u8>, limit: usize) -> bool {
    let mut is_cut = false;
    let mut some = [0; 16 << 10];
    while let Some(fd) = output {
        match rustix::io::read(&*fd, &mut some) {
            Ok(0) => *output = None,
            Ok(length) => {
                let room = length.min(limit.saturating_sub(kept.len()));
                kept.extend_from_slice(&some[..room]);
                is_cut |= room < length;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(_) => *output = None,
        }
    }
    is_cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(options: &str) -> ExecInput {
        let config: Config = serde_json::from_str(options).unwrap();
        let context = InputContext::of_test();
        config.build(context).unwrap()
    }

    /// The events of one run, without the time that it took.
    fn events(options: &str) -> Vec<String> {
        let mut batch = Batch::new();
        assert_eq!(input(options).next(&mut batch, &Stop::new()).unwrap(), Next::Filled);
        let json = |event: event::View<'_>| {
            let mut out = Vec::new();
            event.write_json(&mut out);
            let mut json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let object = json.as_object_mut().unwrap();
            assert_eq!(object.shift_remove("host").unwrap()["name"], "h");
            object.shift_remove("@timestamp");
            assert!(object.shift_remove("event").unwrap()["duration"].as_i64().unwrap() > 0);
            json.to_string()
        };
        batch.events().map(json).collect()
    }

    #[test]
    fn what_commands_print() {
        let check = |command: &str, more: &str, expected: &[&str]| {
            assert_eq!(events(&format!(r#"{{"command":"{command}","interval":"1h"{more}}}"#)), expected);
        };
        check(
            "printf 'a\\\\nb\\\\n'; exit 3",
            "",
            &[r#"{"message":"a\nb\n","process":{"command_line":"printf 'a\\nb\\n'; exit 3","exit_code":3}}"#],
        );
        check(
            "echo 1234567",
            r#","output_bytes_max":3"#,
            &[
                r#"{"message":"123","process":{"command_line":"echo 1234567","exit_code":0},"tags":["_truncated"]}"#,
            ],
        );
        check(
            "echo a; echo b",
            r#","codec":"lines""#,
            &[
                r#"{"message":"a","process":{"command_line":"echo a; echo b","exit_code":0}}"#,
                r#"{"message":"b","process":{"command_line":"echo a; echo b","exit_code":0}}"#,
            ],
        );
        check(
            "echo a; echo ' b'; echo c",
            r#","codec":"lines","multiline":{"pattern":"^ ","match":"after"}"#,
            &[
                r#"{"message":"a\n b","process":{"command_line":"echo a; echo ' b'; echo c","exit_code":0}}"#,
                r#"{"message":"c","process":{"command_line":"echo a; echo ' b'; echo c","exit_code":0}}"#,
            ],
        );
        check(
            "echo x; sleep 100 & sleep 100",
            r#","timeout":"200ms""#,
            &[
                r#"{"message":"x\n","process":{"command_line":"echo x; sleep 100 & sleep 100"},"tags":["_timeout"]}"#,
            ],
        );
        check(
            "kill -9 $$",
            "",
            &[r#"{"message":"","process":{"command_line":"kill -9 $$","exit_signal":9}}"#],
        );
    }

    #[test]
    fn it_runs_again_when_it_is_due() {
        let mut input = input(r#"{"command":"echo a","interval":"50ms"}"#);
        let (mut batch, stop, start) = (Batch::new(), Stop::new(), Instant::now());
        for _ in 0..3 {
            assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Filled);
        }
        assert!(start.elapsed() >= Duration::from_millis(100));
        stop.set();
        assert_eq!(input.next(&mut batch, &stop).unwrap(), Next::Stopped);
    }

    #[test]
    fn a_command_does_not_hold_up_the_end() {
        let mut input = input(r#"{"command":"sleep 100","schedule":"* * * * * *"}"#);
        let (stop, start) = (Stop::new(), Instant::now());
        let stopping = std::thread::spawn({
            let stop = stop.clone();
            move || {
                std::thread::sleep(Duration::from_millis(1500));
                stop.set();
            }
        });
        assert_eq!(input.next(&mut Batch::new(), &stop).unwrap(), Next::Stopped);
        assert!(start.elapsed() < Duration::from_secs(60));
        stopping.join().unwrap();
    }

    #[test]
    fn mistakes() {
        for (options, option) in [
            ("{}", "command"),
            (r#"{"command":"a"}"#, "interval"),
            (r#"{"command":"a","interval":"1s","schedule":"* * * * *"}"#, "interval"),
            (r#"{"command":"a","schedule":"* * *"}"#, "schedule"),
            (r#"{"command":"a","interval":"1s","timeout":0}"#, "timeout"),
            (r#"{"command":"a","interval":"1s","multiline":{"pattern":"a","match":"after"}}"#, "multiline"),
            (
                r#"{"command":"a","interval":"1s","codec":"lines","multiline":{"pattern":"(","match":"after"}}"#,
                "multiline.pattern",
            ),
        ] {
            let config: Config = serde_json::from_str(options).unwrap();
            assert_eq!(config.check().unwrap_err().option, option, "{options}");
        }
    }
}
