//! `logpond search`: reads the running pond.

use crate::Failure;
use crate::access::Access;
use hyper::Method;
use pipeline::units::Time;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to look for, such as 'status >= 500', 'level: error and "out of memory"', or nothing.
    #[arg(default_value = "")]
    query: String,
    /// Only the last 15m, 2h, 7d ….
    #[arg(long, value_parser = |text: &str| Time::parse(text))]
    last: Option<Time>,
    /// How many events at most, the newest.
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: usize,
    /// Go on with events as they come.
    #[arg(short, long)]
    follow: bool,
    /// Print whole events as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// The indices to look in.
    #[arg(long, default_value = "logs-*")]
    index: String,
    /// The address of the pond.
    #[arg(long, default_value = "127.0.0.1:9200")]
    at: String,
    #[command(flatten)]
    access: Access,
}

/// How often `--follow` looks for new events.
const LOOK: Duration = Duration::from_millis(700);

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut body = json!({
        "kql": arguments.query,
        "index": arguments.index,
        "size": arguments.limit.min(10_000),
        "order": "desc",
    });
    if let Some(Time(last)) = arguments.last {
        body["last_ms"] = json!(u64::try_from(last.as_millis()).unwrap_or(u64::MAX));
    }
    let ask =
        |body: &Value| arguments.access.ask(&arguments.at, Method::POST, "/_logpond/search", Some(body));
    let answer = ask(&body)?;
    let mut hits = hits_of(&answer);
    hits.reverse();
    print_hits(&hits, arguments.json);
    if !arguments.follow {
        let total = answer["hits"]["total"]["value"].as_u64().unwrap_or(0);
        if std::io::stdout().is_terminal() && total > hits.len() as u64 {
            eprintln!("{} of {total} events, the newest; more with -n", hits.len());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut after = hits.last().map_or_else(|| json!([pipeline::run::now(), 0]), |hit| hit["sort"].clone());
    loop {
        std::thread::sleep(LOOK);
        body["order"] = json!("asc");
        body["size"] = json!(1_000);
        body["search_after"] = after.clone();
        let hits = hits_of(&ask(&body)?);
        if let Some(last) = hits.last() {
            after = last["sort"].clone();
        }
        print_hits(&hits, arguments.json);
    }
}

fn hits_of(answer: &Value) -> Vec<Value> {
    answer["hits"]["hits"].as_array().cloned().unwrap_or_default()
}

fn print_hits(hits: &[Value], as_json: bool) {
    use std::io::Write;
    let color = std::io::stdout().is_terminal();
    let mut out = std::io::stdout().lock();
    for hit in hits {
        let source = &hit["_source"];
        let line = if as_json { source.to_string() } else { line_of(source, color) };
        if writeln!(out, "{line}").is_err() {
            std::process::exit(0);
        }
    }
}

fn line_of(source: &Value, color: bool) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
    };
    let level = text(&source["level"]);
    let paint = match level.as_str() {
        _ if !color => ("", ""),
        "error" | "fatal" | "critical" => ("\x1b[31m", "\x1b[0m"),
        "warn" | "warning" => ("\x1b[33m", "\x1b[0m"),
        _ => ("", ""),
    };
    let path = text(&source["log"]["file"]["path"]);
    let name = path.rsplit('/').next().unwrap_or_default();
    let level = if level.is_empty() { String::new() } else { format!(" {level}") };
    // Control characters of a log must not reach the terminal as such.
    let message: String = text(&source["message"])
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c })
        .collect();
    format!("{} {name}{}{level}{} {message}", text(&source["@timestamp"]), paint.0, paint.1)
}
