//! `logpond tap`: events as they pass a point of the running pond.

use crate::Failure;
use crate::http::{self, Ended};
use crate::place::Place;
use pipeline::run::taps::Point;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Points, as --list prints them, or the name of an input or output, or what a filter is, such
    /// as grok. A filter is looked at behind itself, or with ':in' before. None: all outputs.
    points: Vec<String>,
    /// What outputs refused, with the reason, in place of what they are given.
    #[arg(long)]
    refused: bool,
    /// Only what this search finds, as "logpond search" has it, such as 'status >= 500'.
    #[arg(short, long, value_name = "KQL")]
    query: Option<String>,
    /// Only events for which this condition of the config is true, such as '.status >= 500'.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// End after so many events.
    #[arg(short = 'n', long)]
    limit: Option<u64>,
    /// Events a second at most; what is left out is counted.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How events are printed.
    #[arg(long, value_enum, default_value_t = Format::Line)]
    format: Format,
    /// Print the points that there are.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    place: Place,
}

/// How events are printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Time, point and message.
    Line,
    /// All fields, one a line.
    Pretty,
    /// JSON, one event a line.
    Json,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (data_dir, _) = arguments.place.find()?;
    if arguments.list {
        let found = http::ask_here(&data_dir, "GET", "/_logpond/tap", None)?;
        let points: Vec<Point> = serde_json::from_value(found["points"].clone())?;
        list(&points, arguments.format);
        return Ok(ExitCode::SUCCESS);
    }
    let body = json!({
        "points": arguments.points,
        "refused": arguments.refused,
        "query": arguments.query,
        "where": arguments.condition,
        "limit": arguments.limit,
        "rate": arguments.rate,
    });
    let (format, color) = (arguments.format, std::io::stdout().is_terminal());
    let mut out = std::io::stdout().lock();
    let (mut seen, mut left_out, mut shown) = (0, 0, 0_u64);
    let ended = http::lines_here(&data_dir, "/_logpond/tap", &body, |line| {
        let event: Value = serde_json::from_str(line)?;
        if let Some(count) = event["seen"].as_u64() {
            let more = event["left_out"].as_u64().unwrap_or(0);
            if color && more > left_out {
                eprintln!("… {} more, left out", more - left_out);
            }
            (seen, left_out) = (count, more);
            return Ok(true);
        }
        shown += 1;
        let text = match format {
            Format::Json => line.to_owned(),
            Format::Line => line_of(&event, color),
            Format::Pretty => pretty(&event, color),
        };
        // A reader that closed the pipe has seen enough.
        Ok(writeln!(out, "{text}").and_then(|()| out.flush()).is_ok())
    })?;
    drop(out);
    if seen > 0 || ended != Ended::Done {
        eprintln!("logpond: {shown} shown, {left_out} left out");
    }
    if ended == Ended::Broken {
        return Err("the pond ended".into());
    }
    Ok(ExitCode::SUCCESS)
}

fn list(points: &[Point], format: Format) {
    let several = points.first().is_some_and(|first| points.iter().any(|p| p.pipeline != first.pipeline));
    for point in points {
        match format {
            Format::Json => println!("{}", json!(point)),
            _ if several => println!("{:<36} {}", format!("{}/{}", point.pipeline, point.point), point.kind),
            _ => println!("{:<36} {}", point.point, point.kind),
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Control characters of a log must not reach the terminal as such.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect()
}

fn line_of(tapped: &Value, color: bool) -> String {
    let event = &tapped["event"];
    let (dim, end) = if color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    let message = match &event["message"] {
        Value::Null => event.to_string(),
        message => text_of(message),
    };
    format!(
        "{dim}{} {}{end}{} {}",
        text_of(&event["@timestamp"]),
        clean(&text_of(&tapped["point"])),
        note(tapped),
        clean(&message)
    )
}

/// That it was dropped, or why it was refused.
fn note(tapped: &Value) -> String {
    if tapped["dropped"] == true {
        return " (dropped)".to_owned();
    }
    tapped["reason"].as_str().map_or_else(String::new, |reason| format!(" (refused: {})", clean(reason)))
}

fn pretty(tapped: &Value, color: bool) -> String {
    use std::fmt::Write;
    let (name, end) = if color { ("\x1b[36m", "\x1b[0m") } else { ("", "") };
    let mut out = format!("── {}{}", clean(&text_of(&tapped["point"])), note(tapped));
    let mut fields = Vec::new();
    flatten("", &tapped["event"], &mut fields);
    let wide = fields.iter().map(|(field, _)| field.chars().count()).max().unwrap_or(0).min(32);
    for (field, value) in fields {
        let _ = write!(out, "\n  {name}{:<wide$}{end}  {}", clean(&field), clean(&value));
    }
    out
}

/// The fields of an event by their dotted names.
fn flatten(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, out);
            }
        }
        other => out.push((prefix.to_owned(), text_of(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_as_they_are_printed() {
        let tapped = json!({
            "pipeline": "main", "point": "outputs.es:refused", "reason": "no\u{1b}[2J",
            "event": {"@timestamp": "2026-11-21T10:00:00Z", "message": "a\u{7}b", "http": {"status": 5, "ok": true}, "n": {}},
        });
        assert_eq!(
            line_of(&tapped, false),
            "2026-11-21T10:00:00Z outputs.es:refused (refused: no\u{FFFD}[2J) a\u{FFFD}b"
        );
        let expected = "── outputs.es:refused (refused: no\u{FFFD}[2J)\n  @timestamp   2026-11-21T10:00:00Z\n  message      a\u{FFFD}b\n  http.status  5\n  http.ok      true\n  n            {}";
        assert_eq!(pretty(&tapped, false), expected);
        let bare = json!({"point": "filters.0:out", "dropped": true, "event": {"@timestamp": "t", "x": 1}});
        assert_eq!(line_of(&bare, false), "t filters.0:out (dropped) {\"@timestamp\":\"t\",\"x\":1}");
    }
}
