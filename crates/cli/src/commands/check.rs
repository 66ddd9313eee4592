//! `logpond check` and `logpond plan`: what a config means, without running it.

use crate::Failure;
use pipeline::plan::Plan;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The config file; several are one.
    #[arg(short, long = "config", required = true)]
    config: Vec<PathBuf>,
    /// Print problems, warnings and the plan as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct PlanArguments {
    /// The config file; several are one.
    #[arg(short, long = "config", required = true)]
    config: Vec<PathBuf>,
    /// Print the plan as a config in our own format.
    #[arg(long)]
    yaml: bool,
}

/// Reads config files. Problems are printed; then the plan, or how the program ends.
pub(crate) fn read(files: &[PathBuf]) -> Result<Result<Plan, ExitCode>, Failure> {
    match dialects::read(&sources(files)?) {
        Ok(translated) => {
            for warning in &translated.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(Ok(translated.plan))
        }
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            eprintln!("logpond: {} in the config; nothing was started", counted(problems.len(), "problem"));
            Ok(Err(ExitCode::FAILURE))
        }
    }
}

fn sources(files: &[PathBuf]) -> Result<Vec<dialects::Source>, Failure> {
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Ok(dialects::Source { name: file.display().to_string(), text })
    };
    files.iter().map(read).collect()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    if arguments.json {
        let (told, code) = match dialects::read(&sources(&arguments.config)?) {
            Ok(read) => (
                json!({"ok": true, "problems": [], "warnings": read.warnings, "plan": read.plan}),
                ExitCode::SUCCESS,
            ),
            Err(problems) => (json!({"ok": false, "problems": problems, "warnings": []}), ExitCode::FAILURE),
        };
        println!("{told:#}");
        return Ok(code);
    }
    match read(&arguments.config)? {
        Ok(plan) => {
            print!("{}", dialects::explain(&plan));
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}

pub(crate) fn plan(arguments: PlanArguments) -> Result<ExitCode, Failure> {
    match read(&arguments.config)? {
        Ok(plan) => {
            print!("{}", if arguments.yaml { dialects::print(&plan) } else { dialects::draw(&plan) });
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}
