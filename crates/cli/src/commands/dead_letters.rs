//! `logpond dead-letters`: events that an output refused, with the reason; seen, sent again, or
//! removed. A pond that runs is asked; of one that does not, the data directory is opened.

use crate::http::{self, Ended};
use crate::letters::Page;
use crate::place::Place;
use crate::{Failure, letters, pond};
use disk::{Disk, DiskError, Lock, RealDisk};
use pipeline::plan::{DeadLetterOptions, Plan};
use pipeline::run::dead_letters::{Count, DeadLetters, Letter};
use pipeline::run::replay::{Progress, ReplayOrder};
use pipeline::units::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use web::LettersAsk;
use web::es::EsError;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print them, oldest first
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// All of them, as JSON, one a line
    #[command(hide = true)]
    Show,
    /// Send them to the outputs that refused them again, and remove those that are safe
    Replay(ReplayArguments),
    /// Remove them
    Drop(DropArguments),
}

#[derive(clap::Args)]
struct Which {
    /// Those of this output.
    #[arg(long)]
    output: Option<String>,
    /// Those for which this is true, such as '.event.status >= 500' or 'contains(.reason, "mapping")'.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
}

#[derive(clap::Args)]
struct ListArguments {
    #[command(flatten)]
    which: Which,
    /// How many at most; 0 is all.
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: u64,
    /// Print them whole, as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// Print how many there are by output and reason.
    #[arg(long)]
    stats: bool,
}

#[derive(clap::Args)]
struct ReplayArguments {
    #[command(flatten)]
    which: Which,
    /// How many at most, the oldest first.
    #[arg(short = 'n', long)]
    limit: Option<u64>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct DropArguments {
    #[command(flatten)]
    which: Which,
    /// How many at most, the oldest first.
    #[arg(short = 'n', long)]
    limit: Option<u64>,
    /// Do not ask whether to.
    #[arg(long)]
    yes: bool,
}

impl Which {
    fn ask(self, limit: Option<u64>) -> LettersAsk {
        LettersAsk { output: self.output, condition: self.condition, limit, ..LettersAsk::default() }
    }
}

/// Letters at one time.
const PAGE: u64 = 1_000;

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (data_dir, plan) = arguments.place.find()?;
    match arguments.action {
        Action::List(list) => {
            let source = Source::open(&data_dir)?;
            let limit = if list.limit == 0 { u64::MAX } else { list.limit };
            let ask = list.which.ask(None);
            if list.stats { stats(&source, &ask, list.json) } else { print(&source, &ask, limit, list.json) }
        }
        Action::Show => print(&Source::open(&data_dir)?, &LettersAsk::default(), u64::MAX, true),
        Action::Replay(replay) => {
            let ask = replay.which.ask(replay.limit);
            let done = if http::runs_here(&data_dir)? {
                replay_there(&data_dir, &ask)?
            } else {
                replay_here(plan, &data_dir, &ask)?
            };
            if replay.json {
                println!("{}", json!(done));
            } else {
                tell(&done);
            }
            let is_all = done.skipped.is_empty() && done.failed == 0;
            Ok(if is_all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Action::Drop(drop) => {
            let ask = drop.which.ask(drop.limit);
            drop_letters(&Source::open(&data_dir)?, ask, drop.yes)
        }
    }
}

/// Where letters are got from.
enum Source {
    /// The pond that runs in this data directory.
    Running(PathBuf),
    /// The data directory itself, which nobody else may use meanwhile.
    Stopped(DeadLetters, #[expect(dead_code, reason = "held, not read")] Lock),
}

impl Source {
    fn open(data_dir: &Path) -> Result<Self, Failure> {
        if http::runs_here(data_dir)? {
            return Ok(Self::Running(data_dir.to_owned()));
        }
        if !data_dir.is_dir() {
            return Err(format!(
                "there is no pond in {}; name its folder with --data-dir",
                data_dir.display()
            )
            .into());
        }
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(data_dir)?);
        let lock = disk.lock("lock").map_err(|error| -> Failure {
            match error {
                DiskError::Locked { .. } => format!(
                    "{error}\nand it does not answer at its control socket; try again, or stop it first"
                )
                .into(),
                other => other.into(),
            }
        })?;
        // Whatever the plan's limits are, nothing goes because somebody looks.
        let all = DeadLetterOptions { bytes_max: Bytes(u64::MAX), ..DeadLetterOptions::default() };
        Ok(Self::Stopped(DeadLetters::open(disk, &all)?, lock))
    }

    fn page(&self, ask: &LettersAsk) -> Result<Page, Failure> {
        match self {
            Self::Running(data_dir) => {
                Ok(serde_json::from_str(&http::text_here(data_dir, &address(ask, false))?)?)
            }
            Self::Stopped(letters, _) => letters::page(letters, ask).map_err(reason),
        }
    }

    fn counts(&self, ask: &LettersAsk) -> Result<Value, Failure> {
        match self {
            Self::Running(data_dir) => http::ask_here(data_dir, "GET", &address(ask, true), None),
            Self::Stopped(letters, _) => letters::counts(letters, ask).map_err(reason),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Stopped(letters, _) = self {
            letters.stop();
        }
    }
}

fn reason(error: EsError) -> Failure {
    error.reason.into()
}

fn address(ask: &LettersAsk, stats: bool) -> String {
    use std::fmt::Write;
    let mut path = format!("/_logpond/dead-letters?from={}", ask.from);
    let mut add = |name: &str, value: &str| {
        let _ = write!(path, "&{name}={}", http::escaped(value));
    };
    if stats {
        add("stats", "true");
    }
    if let Some(output) = &ask.output {
        add("output", output);
    }
    if let Some(condition) = &ask.condition {
        add("where", condition);
    }
    if let Some(to) = ask.to {
        add("to", &to.to_string());
    }
    if let Some(limit) = ask.limit {
        add("size", &limit.to_string());
    }
    path
}

fn stats(source: &Source, ask: &LettersAsk, as_json: bool) -> Result<ExitCode, Failure> {
    let found = source.counts(ask)?;
    if as_json {
        println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    let counts: Vec<Count> = serde_json::from_value(found["counts"].clone())?;
    if counts.is_empty() {
        println!("there are no dead letters");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:>9}  {:<20}  {:<20}  output: reason", "letters", "first", "last");
    for Count { output, reason, letters, first, last, .. } in counts {
        println!("{letters:>9}  {:<20}  {:<20}  {output}: {}", second(&first), second(&last), clean(&reason));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(source: &Source, ask: &LettersAsk, limit: u64, as_json: bool) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    let (mut ask, mut left) = (ask.clone(), limit);
    loop {
        ask.limit = Some(left.min(PAGE));
        let page = source.page(&ask)?;
        // What comes while this is printed is not printed, or there might be no end.
        ask.to = ask.to.or(Some(page.end));
        left -= page.letters.len() as u64;
        for letter in &page.letters {
            let line = if as_json { letter.get().to_owned() } else { line_of(letter.get())? };
            if writeln!(out, "{line}").is_err() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        match page.next {
            Some(next) if left > 0 => ask.from = next,
            next => {
                if limit < u64::MAX && next.is_some() {
                    eprintln!("logpond: there are more; see them with --limit 0, count them with --stats");
                } else if left == limit && !as_json {
                    eprintln!("logpond: there are no such dead letters");
                }
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

fn line_of(letter: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Numbered {
        number: u64,
    }
    let Numbered { number } = serde_json::from_str(letter)?;
    let Letter { output, reason, time, event, .. } = serde_json::from_str(letter)?;
    Ok(format!(
        "{number:>6}  {}  {output}: {}\n        {}",
        second(&time),
        clean(&reason),
        clean(event.get())
    ))
}

/// A time without what is below the second.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => time.to_owned(),
    }
}

/// Control characters of a log must not reach the terminal as such.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

fn body_of(ask: &LettersAsk) -> Value {
    json!({ "output": ask.output, "where": ask.condition, "from": ask.from, "to": ask.to, "limit": ask.limit })
}

/// Asks for something long, shows how far it is, and returns what it came to.
fn follow(
    data_dir: &Path,
    path: &str,
    ask: &LettersAsk,
    mut show: impl FnMut(&Value),
) -> Result<Value, Failure> {
    let mut last = Value::Null;
    let ended = http::lines_here(data_dir, path, &body_of(ask), |line| {
        last = serde_json::from_str(line)?;
        if last["done"] != true {
            show(&last);
        }
        Ok(true)
    })?;
    if let Some(error) = last["error"].as_str() {
        return Err(error.into());
    }
    match ended {
        Ended::Done if last["done"] == true => Ok(last),
        Ended::Interrupted => {
            eprintln!("logpond: interrupted; what is on its way is still counted there");
            Ok(last)
        }
        _ => Err(
            "the pond ended meanwhile; what was not safe is still a dead letter: start it, and do it again"
                .into(),
        ),
    }
}

fn replay_there(data_dir: &Path, ask: &LettersAsk) -> Result<Progress, Failure> {
    let mut line = StatusLine::default();
    let show = |value: &Value| {
        if let Ok(progress) = serde_json::from_value::<Progress>(value.clone()) {
            line.show(&words_of(&progress));
        }
    };
    let done = follow(data_dir, "/_logpond/dead-letters/replay", ask, show)?;
    if done.is_null() { Ok(Progress::default()) } else { Ok(serde_json::from_value(done)?) }
}

/// Nothing runs: the outputs of the plan do, until everything is delivered.
fn replay_here(plan: Option<Plan>, data_dir: &Path, ask: &LettersAsk) -> Result<Progress, Failure> {
    let Some(mut plan) = plan else {
        return Err(format!(
            "nothing runs in {}, and only its config says where the letters go: start it with \"logpond run -c FILE\", or name the config here with -c FILE to run its outputs for as long as this takes",
            data_dir.display()
        )
        .into());
    };
    for pipeline in plan.pipelines.values_mut() {
        pipeline.inputs.clear();
    }
    plan.api = None;
    let order = ReplayOrder { select: letters::select(ask).map_err(reason)?, limit: ask.limit };
    let mut done = Err("nothing was replayed".into());
    let mut line = StatusLine::default();
    pond::run(&plan, data_dir, false, None, |_, running| {
        let mut told = |progress: &Progress| {
            line.show(&words_of(progress));
            true
        };
        done = running.replayer().run(&order, &mut told).map_err(Failure::from);
        line.show("delivering what is in the queue");
    })?;
    done
}

fn words_of(progress: &Progress) -> String {
    let waits = progress.waits_for.as_ref().map_or_else(String::new, |why| format!("; waits for {why}"));
    format!("{} of {} replayed{waits}", progress.replayed, progress.found)
}

fn tell(done: &Progress) {
    println!("{} of {} dead letters replayed", done.replayed, done.found);
    if done.failed > 0 {
        println!("{} could not be sent now and are still dead letters", done.failed);
    }
    for (reason, count) in &done.skipped {
        println!("{count} cannot be replayed: {reason}");
    }
}

fn drop_letters(source: &Source, mut ask: LettersAsk, yes: bool) -> Result<ExitCode, Failure> {
    let found = source.counts(&LettersAsk { limit: None, ..ask.clone() })?;
    // Only what was counted is dropped.
    ask.to = found["end"].as_u64();
    let counts: Vec<Count> = serde_json::from_value(found["counts"].clone())?;
    let all: u64 = counts.iter().map(|count| count.letters).sum();
    let count = all.min(ask.limit.unwrap_or(u64::MAX));
    if count == 0 {
        println!("there are no such dead letters");
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !confirmed(&counts, count, all)? {
        println!("nothing was dropped");
        return Ok(ExitCode::FAILURE);
    }
    let mut line = StatusLine::default();
    let mut show = |value: &Value| line.show(&format!("{} of {count} dropped", value["dropped"]));
    let done = match source {
        Source::Running(data_dir) => follow(data_dir, "/_logpond/dead-letters/drop", &ask, show)?,
        Source::Stopped(letters, _) => {
            let mut told = |value: Value| {
                show(&value);
                true
            };
            letters::drop_some(letters, &ask, &mut told).map_err(reason)?
        }
    };
    println!("{} dead letters dropped", done["dropped"].as_u64().unwrap_or(0));
    Ok(ExitCode::SUCCESS)
}

/// Shows what would go and asks whether it shall.
fn confirmed(counts: &[Count], count: u64, all: u64) -> Result<bool, Failure> {
    for Count { output, reason, letters, .. } in counts {
        eprintln!("{letters:>9}  {output}: {}", clean(reason));
    }
    let oldest = if count < all { format!("the oldest {count} of ") } else { String::new() };
    if !std::io::stdin().is_terminal() {
        return Err(format!("{oldest}{all} dead letters would be dropped for good; say so with --yes").into());
    }
    eprint!("drop {oldest}{all} dead letters for good? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A line on a terminal that says how far something is, in place of the one before.
#[derive(Default)]
struct StatusLine {
    shown: bool,
}

impl StatusLine {
    fn show(&mut self, text: &str) {
        if std::io::stderr().is_terminal() {
            self.shown = true;
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", clean(text));
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
