//! `logpond check` and `logpond plan`: what a config means, without running it.

use crate::Failure;
use pipeline::plan::Plan;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The config file; several are one.
    #[arg(short, long = "config", required = true)]
    config: Vec<PathBuf>,
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
    let mut sources = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        sources.push(dialects::Source { name: file.display().to_string(), text });
    }
    match dialects::read(&sources) {
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

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
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
