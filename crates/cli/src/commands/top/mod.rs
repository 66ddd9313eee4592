//! `logpond top`: the running pond at work.
//!
//! Drawn by hand: a table, a few colors and six keys need the terminal's size, its raw mode and a
//! dozen control sequences. A library for whole applications would be thirty more crates.

mod draw;
mod terminal;
mod view;

use crate::http;
use crate::place::Place;
use crate::status::PondStats;
use crate::{Failure, http::Refusal};
use draw::{Line, Look, Sort};
use pipeline::units::Time;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use terminal::{Key, Terminal};
use tokio::signal::unix::{Signal, SignalKind, signal};
use view::View;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Between two looks.
    #[arg(short, long, default_value = "1s", value_parser = |text: &str| Time::parse(text))]
    interval: Time,
    /// By what inputs and outputs are ordered.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Print one look as a table, and end. So it is, too, when the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Print one look as a JSON object, and end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// How wide a table is that is no screen.
const TABLE_WIDTH: usize = 160;

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (data_dir, _) = arguments.place.find()?;
    let interval = arguments.interval.0.max(INTERVAL_MIN);
    let is_screen = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if arguments.json || arguments.once || !is_screen {
        let before = look(&data_dir)?;
        std::thread::sleep(interval);
        let view = View::new(&before, &look(&data_dir)?);
        let mut out = std::io::stdout().lock();
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&view)?)?;
        } else {
            let width = terminal::size_of(std::io::stdout()).map_or(TABLE_WIDTH, |(width, _)| width);
            for line in draw::lines(&view, arguments.sort, width) {
                writeln!(out, "{}", draw::plain(&line))?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let first = look(&data_dir)?;
    Screen::new(&data_dir, interval, arguments.sort, first)?.run()?;
    Ok(ExitCode::SUCCESS)
}

fn look(data_dir: &Path) -> Result<PondStats, Failure> {
    let stats = http::ask_here(data_dir, "GET", "/_logpond/stats", None)?;
    serde_json::from_value(stats)
        .map_err(|error| format!("the pond that runs is of another version: {error}").into())
}

/// What is on the screen.
struct Screen<'a> {
    data_dir: &'a Path,
    interval: Duration,
    sort: Sort,
    paused: bool,
    help: bool,
    /// Lines above the screen.
    above: usize,
    last: PondStats,
    view: View,
    /// Why the last look failed.
    lost: Option<String>,
    /// Other requests to end.
    runtime: tokio::runtime::Runtime,
    signals: Vec<Signal>,
}

impl<'a> Screen<'a> {
    fn new(data_dir: &'a Path, interval: Duration, sort: Sort, first: PondStats) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _context = runtime.enter();
            [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(signal)
        };
        let signals = signals.into_iter().collect::<Result<_, _>>()?;
        // Until there is a second look, rates are those since the start.
        let view = View::new(&PondStats::default(), &first);
        Ok(Self {
            data_dir,
            interval,
            sort,
            paused: false,
            help: false,
            above: 0,
            last: first,
            view,
            lost: None,
            runtime,
            signals,
        })
    }

    fn run(mut self) -> Result<(), Failure> {
        let terminal = Terminal::open()?;
        let mut next = Instant::now() + self.interval;
        loop {
            let (width, height) = terminal.size();
            terminal.draw(&self.lines(width, height))?;
            // Looking often at the clock, a new size of the terminal is seen soon.
            let wait = next.saturating_duration_since(Instant::now()).min(Duration::from_millis(250));
            for key in terminal.keys(wait)? {
                if !self.press(key) {
                    return Ok(());
                }
            }
            if self.is_asked_to_end() {
                return Ok(());
            }
            if Instant::now() >= next {
                next = Instant::now() + self.interval;
                if !self.paused {
                    self.refresh()?;
                }
            }
        }
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        match look(self.data_dir) {
            Ok(now) => {
                self.view = View::new(&self.last, &now);
                self.last = now;
                self.lost = None;
            }
            Err(error) => {
                self.lost = Some(match error.downcast_ref::<Refusal>() {
                    Some(Refusal::Nothing(_)) => "nothing runs here any more; waiting for it".to_owned(),
                    _ => error.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Does what a key says; whether to go on.
    fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Char('q') | Key::End => return false,
            Key::Char('p' | ' ') => self.paused = !self.paused,
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char('h' | '?') => self.help = !self.help,
            Key::Up | Key::Char('k') => self.above = self.above.saturating_sub(1),
            Key::Down | Key::Char('j') => self.above += 1,
            Key::Char(_) => {}
        }
        true
    }

    fn is_asked_to_end(&mut self) -> bool {
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            for signal in signals {
                if tokio::time::timeout(Duration::ZERO, signal.recv()).await.is_ok() {
                    return true;
                }
            }
            false
        })
    }

    fn lines(&mut self, width: usize, height: usize) -> Vec<Line> {
        let mut lines = if self.help { help(width) } else { draw::lines(&self.view, self.sort, width) };
        let room = height.saturating_sub(1);
        self.above = self.above.min(lines.len().saturating_sub(room));
        let hidden = lines.len().saturating_sub(self.above + room);
        lines.drain(..self.above);
        lines.truncate(room);
        lines.resize(room, Line::new());
        lines.push(self.footer(hidden, width));
        lines
    }

    fn footer(&self, hidden: usize, width: usize) -> Line {
        let mut text = match &self.lost {
            Some(why) => why.clone(),
            None if self.paused => "paused".to_owned(),
            None => self.view.time.split('.').next().unwrap_or_default().to_owned(),
        };
        text.push_str(&format!("  by {}  q end  p pause  s sort  h help", self.sort.word()));
        if hidden > 0 {
            text.push_str(&format!("  {hidden} more lines: down"));
        }
        let look = if self.lost.is_some() { Look::Bad } else { Look::Dim };
        vec![(look, draw::cut(&text, width))]
    }
}

fn help(width: usize) -> Vec<Line> {
    let lines = [
        "q, Esc       end",
        "p, space     stop and go on",
        "s            sort by name, rate, how far behind",
        "up, down     scroll",
        "h            this",
        "",
        "behind       what an input has not read: bytes and for how long, or events of Kafka",
        "blocked      how much of the time it waited for whoever is behind it",
        "share        what part of the filters' time a filter takes, by one event of each batch",
        "in flight    events that were read and are not safe at the output yet",
        "waiting      the output cannot deliver and tries again; nothing is lost",
        "refused      the output refused an event within a minute: logpond dead-letters list",
        "busy         how much of the time the output had something to do",
    ];
    lines.iter().map(|line| vec![(Look::Plain, draw::cut(line, width))]).collect()
}
