//! `logpond ledger`: what became of every event.

use crate::Failure;
use crate::access::Access;
use hyper::Method;
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The address of the pond.
    #[arg(long, default_value = "127.0.0.1:9200")]
    at: String,
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let ledger = arguments.access.ask(&arguments.at, Method::GET, "/_logpond/ledger", None)?;
    if arguments.json {
        println!("{ledger:#}");
    } else {
        print!("{}", table(&ledger));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(ledger: &Value) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for pipeline in list(&ledger["pipelines"]) {
        let _ = writeln!(
            out,
            "pipeline {}: read {} ({} MB), dropped by rule {}, given back {}, filter failures {}",
            pipeline["pipeline"].as_str().unwrap_or("?"),
            pipeline["read"],
            pipeline["bytes"].as_u64().unwrap_or(0) / 1_000_000,
            pipeline["dropped"],
            pipeline["returned"],
            pipeline["failed"],
        );
        let _ = writeln!(
            out,
            "  {:<16} {:>12} {:>12} {:>10} {:>10} {:>10} {:>9}",
            "output", "delivered", "carried over", "dead", "elsewhere", "in flight", "sum"
        );
        for output in list(&pipeline["outputs"]) {
            let _ = writeln!(
                out,
                "  {:<16} {:>12} {:>12} {:>10} {:>10} {:>10} {:>9}",
                output["name"].as_str().unwrap_or("?"),
                output["delivered"].to_string(),
                output["carried"].to_string(),
                output["dead"].to_string(),
                output["elsewhere"].to_string(),
                output["in_flight"].to_string(),
                if output["balanced"] == true { "holds" } else { "moving" },
            );
            if let Some(trouble) = output["trouble"].as_str() {
                let _ = writeln!(out, "    cannot deliver: {trouble}");
            }
        }
    }
    let files = list(&ledger["files"]);
    if !files.is_empty() {
        let _ = writeln!(out, "{:>14} {:>14} {:>12} {:>8}  file", "read", "safe", "behind", "seconds");
        for file in files {
            let _ = writeln!(
                out,
                "{:>14} {:>14} {:>12} {:>8}  {}",
                file["read"].to_string(),
                file["safe"].to_string(),
                file["behind"].to_string(),
                file["seconds_behind"].to_string(),
                file["path"].as_str().unwrap_or("?"),
            );
        }
    }
    out
}
