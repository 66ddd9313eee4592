//! `logpond check`, `logpond plan` and `logpond translate`: what a config means, without running
//! it.

use crate::Failure;
use pipeline::plan::Plan;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which config: files of our own format or of another product's, or what the command line of
/// Logstash names.
#[derive(clap::Args)]
pub(crate) struct ConfigArguments {
    /// The config file; several are one
    #[arg(short, long = "config")]
    config: Vec<PathBuf>,
    /// The same
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Logstash: a file, a folder or a pattern of files
    #[arg(short = 'f', long = "path.config", value_name = "PATH", help_heading = "As Logstash's")]
    path_config: Option<String>,
    /// Logstash: the config itself
    #[arg(short = 'e', long = "config.string", value_name = "CONFIG", help_heading = "As Logstash's")]
    config_string: Option<String>,
    /// Logstash: the folder of logstash.yml and pipelines.yml
    #[arg(long = "path.settings", value_name = "FOLDER", help_heading = "As Logstash's")]
    path_settings: Option<String>,
    /// Logstash: the data directory
    #[arg(long = "path.data", value_name = "FOLDER", help_heading = "As Logstash's")]
    path_data: Option<String>,
    /// Logstash: how many threads filter
    #[arg(short = 'w', long = "pipeline.workers", value_name = "COUNT", help_heading = "As Logstash's")]
    workers: Option<String>,
    /// Logstash: events of a batch; it changes nothing here
    #[arg(short = 'b', long = "pipeline.batch.size", value_name = "COUNT", help_heading = "As Logstash's")]
    batch_size: Option<String>,
    /// Logstash: notice changes of the config; not yet, and it is said
    #[arg(short = 'r', long = "config.reload.automatic", help_heading = "As Logstash's")]
    reload: bool,
}

impl ConfigArguments {
    fn is_logstash(&self) -> bool {
        self.path_config.is_some() || self.config_string.is_some() || self.path_settings.is_some()
    }

    /// What the command line of Logstash says.
    fn logstash(&self) -> dialects::LogstashArguments {
        let settings = [
            ("path.data", self.path_data.clone()),
            ("pipeline.workers", self.workers.clone()),
            ("pipeline.batch.size", self.batch_size.clone()),
            ("config.reload.automatic", self.reload.then(|| "true".to_owned())),
        ];
        let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        dialects::LogstashArguments {
            path_config: self.path_config.clone(),
            config_string: self.config_string.clone(),
            path_settings: self.path_settings.clone(),
            settings: settings.collect(),
        }
    }

    /// Reads what was named.
    fn translated(&self) -> Result<Result<dialects::Translated, Vec<dialects::Problem>>, Failure> {
        let files: Vec<PathBuf> = self.config.iter().chain(&self.files).cloned().collect();
        let logstash = self.logstash();
        match (self.is_logstash(), files.is_empty()) {
            (true, false) => Err("name the config either with -c, or with -f, -e and --path.settings".into()),
            (true, true) => Ok(dialects::read_logstash(&logstash)),
            (false, true) => Err("a config is missing: give a file, -c FILE, or -f as with Logstash".into()),
            (false, false) if !logstash.settings.is_empty() => {
                Err("-w, -b, -r and --path.data belong to -f, -e and --path.settings".into())
            }
            (false, false) => Ok(dialects::read(&sources(&files)?)),
        }
    }

    /// Reads the config. Problems are printed; then the plan, or how the program ends.
    pub(crate) fn read(&self) -> Result<Result<Plan, ExitCode>, Failure> {
        Ok(printed(self.translated()?))
    }
}

/// Reads files of a config. Problems are printed; then the plan, or how the program ends.
pub(crate) fn read(files: &[PathBuf]) -> Result<Result<Plan, ExitCode>, Failure> {
    Ok(printed(dialects::read(&sources(files)?)))
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print problems, warnings and the plan as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print the plan as a config in our own format.
    #[arg(long)]
    yaml: bool,
}

#[derive(clap::Args)]
pub(crate) struct TranslateArguments {
    #[command(flatten)]
    config: ConfigArguments,
}

fn printed(translated: Result<dialects::Translated, Vec<dialects::Problem>>) -> Result<Plan, ExitCode> {
    match translated {
        Ok(translated) => {
            for warning in &translated.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(translated.plan)
        }
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            eprintln!("logpond: {} in the config; nothing was started", counted(problems.len(), "problem"));
            Err(ExitCode::FAILURE)
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
        let (told, code) = match arguments.config.translated()? {
            Ok(read) => (
                json!({"ok": true, "problems": [], "warnings": read.warnings, "plan": read.plan}),
                ExitCode::SUCCESS,
            ),
            Err(problems) => (json!({"ok": false, "problems": problems, "warnings": []}), ExitCode::FAILURE),
        };
        println!("{told:#}");
        return Ok(code);
    }
    match arguments.config.read()? {
        Ok(plan) => {
            print!("{}", dialects::explain(&plan));
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}

pub(crate) fn plan(arguments: PlanArguments) -> Result<ExitCode, Failure> {
    match arguments.config.read()? {
        Ok(plan) => {
            print!("{}", if arguments.yaml { dialects::print(&plan) } else { dialects::draw(&plan) });
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}

/// Prints the config in our own format, which means the same.
pub(crate) fn translate(arguments: TranslateArguments) -> Result<ExitCode, Failure> {
    match arguments.config.read()? {
        Ok(plan) => {
            print!("{}", dialects::print(&plan));
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}
