//! A [`View`] as lines of text, as wide as there is room.

use super::view::{InputView, OutputView, PipelineView, View};
use crate::reload::Reloads;
use pipeline::run::stats::OutputState;
use std::cmp::Ordering;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// By what inputs and outputs are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Sort {
    /// By name.
    #[default]
    Name,
    /// The most events a second first.
    Rate,
    /// Those that are furthest behind first.
    Behind,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Sort::Name => Sort::Rate,
            Sort::Rate => Sort::Behind,
            Sort::Behind => Sort::Name,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Rate => "rate",
            Sort::Behind => "behind",
        }
    }
}

/// How a line, or a part of one, looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Look {
    #[default]
    Plain,
    Head,
    Dim,
    Good,
    Warn,
    Bad,
}

/// A line: parts of text, each with its look.
pub(super) type Line = Vec<(Look, String)>;

/// The line as text without looks.
pub(super) fn plain(line: &Line) -> String {
    let text: String = line.iter().map(|(_, text)| text.as_str()).collect();
    text.trim_end().to_owned()
}

/// All lines of a view.
pub(super) fn lines(view: &View, sort: Sort, width: usize) -> Vec<Line> {
    let mut out = vec![head(view)];
    out.push(match &view.bottleneck {
        Some(found) => {
            let part = match view.pipelines.len() {
                1 => found.part.clone(),
                _ => format!("{}/{}", found.pipeline, found.part),
            };
            vec![(Look::Warn, format!("bottleneck: {part}: {}", clean(&found.reason)))]
        }
        None => vec![(Look::Good, "bottleneck: none".to_owned())],
    });
    out.extend(reloaded(&view.reloads));
    for pipeline in &view.pipelines {
        out.push(Vec::new());
        draw_pipeline(pipeline, sort, width, &mut out);
    }
    out.iter_mut().for_each(|line| cut_line(line, width));
    out
}

fn head(view: &View) -> Line {
    let letters = view.dead_letters.letters;
    let memory = format!("{} of {}", bytes(view.memory.used_bytes), bytes(view.memory.limit_bytes));
    vec![
        (Look::Head, format!("logpond {}", view.version)),
        (Look::Dim, format!("  pid {}  up {}  ", view.pid, age(view.uptime_seconds))),
        (
            Look::Plain,
            format!("cpu {:.0} %  rss {}", view.process.cpu_percent, bytes(view.process.rss_bytes)),
        ),
        (Look::Plain, format!("  memory {memory}  ")),
        (if letters > 0 { Look::Bad } else { Look::Plain }, format!("dead letters {}", count(letters))),
    ]
}

/// How the last reload went, if there was one.
fn reloaded(reloads: &Reloads) -> Option<Line> {
    let last = reloads.last.as_ref()?;
    let time = second(&last.time);
    let line = match (last.ok, last.problems.first()) {
        (true, _) => (Look::Dim, format!("config: taken up at {time}")),
        (false, first) => {
            // The place in the file follows on lines of its own.
            let first = first.and_then(|first| first.lines().next());
            let first = first.map_or(String::new(), |first| format!(": {}", clean(first)));
            (Look::Bad, format!("config: not taken up at {time}{first}"))
        }
    };
    Some(vec![line])
}

fn draw_pipeline(pipeline: &PipelineView, sort: Sort, width: usize, out: &mut Vec<Line>) {
    let workers = &pipeline.workers;
    let mut line = vec![
        (Look::Head, format!("pipeline {}", clean(&pipeline.name))),
        (
            Look::Plain,
            format!(
                "  {} filter threads busy {:.0} %, blocked {:.0} %",
                workers.threads, workers.busy_percent, workers.blocked_percent
            ),
        ),
    ];
    let failed = pipeline.ledger.failed;
    if failed > 0 {
        line.push((Look::Warn, format!("  filter failures {}", count(failed))));
    }
    out.push(line);
    draw_queue(pipeline, out);
    let mut inputs: Vec<&InputView> = pipeline.inputs.iter().collect();
    inputs.sort_by(|a, b| match sort {
        Sort::Name => Ordering::Equal,
        Sort::Rate => b.events_per_second.total_cmp(&a.events_per_second),
        Sort::Behind => (b.standing.bytes_behind, b.standing.events_behind)
            .cmp(&(a.standing.bytes_behind, a.standing.events_behind)),
    });
    input_table(&inputs).draw(width, out);
    if !pipeline.filters.is_empty() {
        filter_table(pipeline).draw(width, out);
    }
    let mut outputs: Vec<&OutputView> = pipeline.outputs.iter().collect();
    outputs.sort_by(|a, b| match sort {
        Sort::Name => Ordering::Equal,
        Sort::Rate => b.events_per_second.total_cmp(&a.events_per_second),
        Sort::Behind => b.in_flight.cmp(&a.in_flight),
    });
    output_table(&outputs).draw(width, out);
    for input in inputs {
        if let Some(trouble) = &input.trouble {
            out.push(vec![(
                Look::Bad,
                format!(
                    "  {}: cannot read since {}: {}",
                    clean(&input.name),
                    second(&trouble.since),
                    clean(&trouble.text)
                ),
            )]);
        }
    }
    for output in outputs {
        let name = clean(&output.name);
        let mut say = |look, what: &str, said: &pipeline::run::ledger::Said| {
            out.push(vec![(
                look,
                format!("  {name}: {what} {}: {}", second(&said.since), clean(&said.text)),
            )]);
        };
        match (&output.trouble, &output.last_trouble) {
            (Some(trouble), _) => say(Look::Bad, "cannot deliver since", trouble),
            (None, Some(trouble)) => say(Look::Dim, "delivers again; trouble of", trouble),
            (None, None) => {}
        }
        if let Some(refusal) = &output.last_refusal {
            say(Look::Warn, "last refusal", refusal);
        }
    }
}

fn draw_queue(pipeline: &PipelineView, out: &mut Vec<Line>) {
    let Some(queue) = &pipeline.queue else {
        out.push(vec![(Look::Dim, "no queue".to_owned())]);
        return;
    };
    let stats = &queue.stats;
    let oldest =
        stats.oldest_seconds.map_or_else(String::new, |seconds| format!(", the oldest for {}", age(seconds)));
    let look = match queue.fill_percent {
        full if full >= 95.0 => Look::Bad,
        filling if filling >= 50.0 => Look::Warn,
        _ => Look::Plain,
    };
    let limit =
        if stats.events_max > 0 { format!(" or {} events", count(stats.events_max)) } else { String::new() };
    out.push(vec![
        (Look::Plain, format!("queue {} events wait{oldest}; ", count(stats.events))),
        (look, format!("{:.0} % full", queue.fill_percent)),
        (Look::Dim, format!(" ({} of {}{limit})", bytes(stats.bytes), bytes(stats.bytes_max))),
    ]);
}

fn input_table(inputs: &[&InputView]) -> Table {
    let columns = [
        ("input", 0),
        ("kind", 5),
        ("events/s", 1),
        ("bytes/s", 3),
        ("events", 4),
        ("behind", 2),
        ("files", 6),
        ("blocked", 7),
    ];
    let rows = inputs.iter().map(|input| {
        let standing = &input.standing;
        let behind = match standing.events_behind {
            Some(events) => format!("{} events", count(events)),
            None if standing.bytes_behind > 0 => {
                format!("{} {}", bytes(standing.bytes_behind), age(standing.seconds_behind as f64))
            }
            None => "0".to_owned(),
        };
        let files = match (standing.files, standing.unreadable) {
            (0, 0) => "-".to_owned(),
            (files, 0) => files.to_string(),
            (files, unreadable) => format!("{files}, {unreadable} closed"),
        };
        let name = if input.reading { clean(&input.name) } else { format!("{} (ended)", clean(&input.name)) };
        let look = if input.trouble.is_some() { Look::Bad } else { Look::Plain };
        let cells = vec![
            name,
            input.kind.clone(),
            rate(input.events_per_second),
            bytes(input.bytes_per_second as u64),
            count(input.events),
            behind,
            files,
            format!("{:.0} %", input.blocked_percent),
        ];
        (look, cells)
    });
    Table { columns: columns.into(), rows: rows.collect() }
}

fn filter_table(pipeline: &PipelineView) -> Table {
    let columns = [("filter", 0), ("kind", 1), ("share", 2), ("per event", 3)];
    let rows = pipeline.filters.iter().map(|filter| {
        let time = filter.ns_per_event.map_or_else(|| "-".to_owned(), |ns| format!("{:.2} µs", ns / 1e3));
        (
            Look::Plain,
            vec![filter.at.clone(), filter.kind.clone(), format!("{:.0} %", filter.share_percent), time],
        )
    });
    Table { columns: columns.into(), rows: rows.collect() }
}

fn output_table(outputs: &[&OutputView]) -> Table {
    let columns = [
        ("output", 0),
        ("kind", 6),
        ("state", 1),
        ("events/s", 2),
        ("delivered", 4),
        ("in flight", 3),
        ("oldest", 7),
        ("dead", 5),
        ("retries", 8),
        ("busy", 9),
    ];
    let rows = outputs.iter().map(|output| {
        let (look, state) = match output.state {
            OutputState::Ok => (Look::Plain, "ok"),
            OutputState::Waiting => (Look::Bad, "waiting"),
            OutputState::Refused => (Look::Warn, "refused"),
        };
        let cells = vec![
            clean(&output.name),
            output.kind.clone(),
            state.to_owned(),
            rate(output.events_per_second),
            count(output.delivered),
            count(output.in_flight.max(0) as u64),
            output.oldest_seconds.map_or_else(|| "-".to_owned(), age),
            count(output.dead),
            count(output.retries),
            format!("{:.0} %", output.busy_percent),
        ];
        (look, cells)
    });
    Table { columns: columns.into(), rows: rows.collect() }
}

/// Rows under titles. Where there is no room, the last column by rank goes first; the first
/// column, a name, gets shorter before.
struct Table {
    /// Titles and ranks.
    columns: Vec<(&'static str, u32)>,
    rows: Vec<(Look, Vec<String>)>,
}

const NAME_MIN: usize = 10;
const GAP: usize = 2;

impl Table {
    fn draw(&self, width: usize, out: &mut Vec<Line>) {
        let natural = |column: usize| {
            let cells = self.rows.iter().map(|(_, cells)| cells[column].width());
            cells.max().unwrap_or(0).max(self.columns[column].0.width())
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(natural).collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let total: usize = shown.iter().map(|&column| widths[column] + GAP).sum();
            let over = (total - GAP).saturating_sub(width);
            if over == 0 {
                break;
            }
            if widths[0] > NAME_MIN {
                widths[0] = widths[0].saturating_sub(over).max(NAME_MIN);
                continue;
            }
            let last = shown
                .iter()
                .copied()
                .filter(|&column| column > 0)
                .max_by_key(|&column| self.columns[column].1);
            let Some(last) = last else { break };
            shown.retain(|&column| column != last);
        }
        let draw = |look: Look, cells: &dyn Fn(usize) -> String| -> Line {
            let mut text = String::new();
            for &column in &shown {
                let cell = cut(&cells(column), widths[column]);
                let pad = " ".repeat(widths[column].saturating_sub(cell.width()));
                // Names and words stand to the left, numbers to the right.
                let is_word = column == 0 || matches!(self.columns[column].0, "kind" | "state");
                text.push_str(&if is_word { cell + &pad } else { pad + &cell });
                text.push_str("  ");
            }
            vec![(look, text)]
        };
        out.push(draw(Look::Dim, &|column| self.columns[column].0.to_owned()));
        for (look, cells) in &self.rows {
            out.push(draw(*look, &|column| cells[column].clone()));
        }
    }
}

/// The text, or its beginning and `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

fn cut_line(line: &mut Line, width: usize) {
    let mut left = width;
    for (_, text) in line.iter_mut() {
        if text.trim_end().width() > left {
            *text = cut(text, left);
        }
        left = left.saturating_sub(text.width());
    }
}

/// Control characters of a name or an error must not reach the terminal as such.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A time without its fraction.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => time.to_owned(),
    }
}

/// `950`, `12.3k`, `4.56M`.
fn count(number: u64) -> String {
    let scaled = |unit: f64| number as f64 / unit;
    match number {
        0..=99_999 => number.to_string(),
        100_000..=9_999_999 => format!("{:.0}k", scaled(1e3)),
        10_000_000..=9_999_999_999 => format!("{:.1}M", scaled(1e6)),
        _ => format!("{:.1}G", scaled(1e9)),
    }
}

fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 10.0 {
        format!("{per_second:.1}")
    } else {
        count(per_second.round() as u64)
    }
}

/// `999 B`, `1.2 kB`, `64 MB`.
fn bytes(number: u64) -> String {
    let mut scaled = number as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if scaled < 1_000.0 {
            let digits = usize::from(scaled < 10.0 && unit != "B");
            return format!("{scaled:.digits$} {unit}");
        }
        scaled /= 1_000.0;
    }
    format!("{scaled:.1} TB")
}

/// `7s`, `3m12s`, `5h03m`, `2d04h`.
fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::view;
    use super::*;
    use serde_json::json;

    fn text(view: &View, sort: Sort, width: usize) -> String {
        lines(view, sort, width).iter().map(|line| plain(line) + "\n").collect()
    }

    #[test]
    fn a_pond_as_a_table() {
        let expected = "\
logpond 0.1.0  pid 7  up 12s  cpu 50 %  rss 52 MB  memory 1.0 MB of 67 MB  dead letters 3
bottleneck: none

pipeline main  2 filter threads busy 20 %, blocked 0 %
queue 1200 events wait, the oldest for 12s; 24 % full (240 kB of 1.0 MB)
input  kind  events/s  bytes/s  events     behind  files  blocked
nginx  file      1000   200 kB   12000  5.0 MB 0s   1000      0 %
filter     kind  share  per event
filters.0  grok   75 %    3.00 µs
filters.1  set    25 %    1.00 µs
output  kind           state  events/s  delivered  in flight  oldest  dead  retries  busy
es      elasticsearch  ok          900      10800       1197     12s     3        7  50 %
  es: last refusal 2026-11-21T10:00:00Z: mapper_parsing_exception
";
        assert_eq!(text(&view(|_| ()), Sort::Name, 120), expected);
    }

    #[test]
    fn how_the_last_reload_went() {
        let line = |last: serde_json::Value| {
            let reloads = json!({"successes": 1, "failures": 1, "last": last, "last_success": null,
                "last_failure": null, "last_problems": []});
            reloaded(&serde_json::from_value(reloads).unwrap()).map(|line| plain(&line))
        };
        let outcome = |ok: bool, problems: &[&str]| {
            json!({"time": "2026-11-21T10:00:00.5Z", "ok": ok, "took_seconds": 0.5, "added": [], "changed": [],
                "removed": [], "problems": problems, "warnings": []})
        };
        assert_eq!(line(json!(null)), None);
        assert_eq!(line(outcome(true, &[])).as_deref(), Some("config: taken up at 2026-11-21T10:00:00Z"));
        assert_eq!(
            line(outcome(false, &["a.yml:1:2: bad", "b"])).as_deref(),
            Some("config: not taken up at 2026-11-21T10:00:00Z: a.yml:1:2: bad")
        );
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let long = view(|pipeline| {
            pipeline["inputs"][0]["name"] = json!("日本語のとても長い入力の名前".repeat(5));
            pipeline["outputs"][0]["name"] = json!("an-output-with-a-very-long-name".repeat(4));
            pipeline["outputs"][0]["trouble"] =
                json!({"text": "no\u{1b}[2Jroute ".repeat(40), "since": "2026-11-21T10:00:00.5Z"});
        });
        for width in 0..200 {
            for line in lines(&long, Sort::Rate, width) {
                let text = plain(&line);
                assert!(text.width() <= width, "{width}: {text:?}");
                assert!(!text.contains('\u{1b}'), "{text:?}");
            }
        }
        let narrow = text(&long, Sort::Name, 40);
        assert!(
            narrow.contains("an-outpu") && narrow.contains("events/s") && !narrow.contains("retries"),
            "{narrow}"
        );
    }

    #[test]
    fn the_order_is_as_asked() {
        let several = view(|pipeline| {
            let mut other = pipeline["inputs"][0].clone();
            other["name"] = json!("zeta");
            other["bytes_behind"] = json!(9_000_000);
            other["events"] = json!(other["events"].as_u64().unwrap_or(0) * 2);
            pipeline["inputs"].as_array_mut().expect("a list").push(other);
        });
        for (sort, first) in [(Sort::Name, "nginx"), (Sort::Rate, "zeta"), (Sort::Behind, "zeta")] {
            let text = text(&several, sort, 100);
            let row = text.lines().skip_while(|line| !line.starts_with("input")).nth(1).unwrap_or_default();
            assert!(row.starts_with(first), "{sort:?}: {row}");
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [count(0), count(99_999), count(1_234_567), count(12_345_678)],
            ["0", "99999", "1235k", "12.3M"]
        );
        assert_eq!(
            [bytes(0), bytes(999), bytes(1_234), bytes(64 << 20)],
            ["0 B", "999 B", "1.2 kB", "67 MB"]
        );
        assert_eq!([age(0.4), age(192.0), age(18_180.0), age(187_200.0)], ["0s", "3m12s", "5h03m", "2d04h"]);
        assert_eq!([rate(0.0), rate(0.25), rate(1_500.4)], ["0", "0.2", "1500"]);
    }
}
