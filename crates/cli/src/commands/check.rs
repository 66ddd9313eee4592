//! `logpond check`, `logpond plan` and `logpond translate`: what a config means, without running
//! it.

use crate::Failure;
use crate::reload::Reading;
use pipeline::plan::Plan;
use pipeline::units::Time;
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
    /// Logstash: what this program is called in the monitoring API
    #[arg(short = 'n', long = "node.name", value_name = "NAME", help_heading = "As Logstash's")]
    node_name: Option<String>,
    /// Logstash: whether there is the monitoring API
    #[arg(long = "api.enabled", alias = "http.enabled", value_name = "BOOL", help_heading = "As Logstash's")]
    api_enabled: Option<String>,
    /// Logstash: the address of the monitoring API
    #[arg(long = "api.http.host", alias = "http.host", value_name = "HOST", help_heading = "As Logstash's")]
    api_host: Option<String>,
    /// Logstash: the port of the monitoring API, or ports of which the first free one is taken
    #[arg(long = "api.http.port", alias = "http.port", value_name = "PORTS", help_heading = "As Logstash's")]
    api_port: Option<String>,
    /// Logstash: take up changes of the config by itself; for every config
    #[arg(short = 'r', long = "config.reload.automatic", help_heading = "As Logstash's")]
    reload: bool,
    /// Logstash: how often to look for changes then, such as 3s; for every config
    #[arg(long = "config.reload.interval", value_name = "TIME", help_heading = "As Logstash's")]
    reload_interval: Option<String>,
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
            ("node.name", self.node_name.clone()),
            ("api.enabled", self.api_enabled.clone()),
            ("api.http.host", self.api_host.clone()),
            ("api.http.port", self.api_port.clone()),
            ("config.reload.automatic", self.reload.then(|| "true".to_owned())),
            ("config.reload.interval", self.reload_interval.clone()),
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
            (false, false)
                if logstash.settings.iter().any(|(name, _)| !name.starts_with("config.reload.")) =>
            {
                Err("-w, -b, -n, --api and --path.data belong to -f, -e and --path.settings".into())
            }
            (false, false) => {
                let mut read = dialects::read(&sources(&files)?);
                if let Ok(read) = &mut read {
                    self.say_reload(&mut read.plan)?;
                }
                Ok(read)
            }
        }
    }

    /// What the command line says of reloads comes before what a file says.
    fn say_reload(&self, plan: &mut Plan) -> Result<(), Failure> {
        let interval = self.reload_interval.as_deref().map(Time::parse).transpose()?;
        if self.reload || plan.reload.is_some() {
            let own = plan.reload.get_or_insert_default();
            own.interval = interval.unwrap_or(own.interval);
        }
        Ok(())
    }

    /// Reads the config as it is now.
    pub(crate) fn reading(&self) -> Reading {
        let words = |problems: &[dialects::Problem]| problems.iter().map(ToString::to_string).collect();
        match self.translated() {
            Ok(Ok(read)) => Reading { plan: Ok(read.plan), warnings: words(&read.warnings) },
            Ok(Err(problems)) => Reading { plan: Err(words(&problems)), warnings: Vec::new() },
            Err(failure) => Reading { plan: Err(vec![failure.to_string()]), warnings: Vec::new() },
        }
    }

    /// Reads the config. Problems are printed; then the plan, or how the program ends.
    pub(crate) fn read(&self) -> Result<Result<Plan, ExitCode>, Failure> {
        Ok(printed(self.translated()?).map(|read| read.plan))
    }

    /// The same for who prints the plan.
    fn read_to_show(&self) -> Result<Result<dialects::Translated, ExitCode>, Failure> {
        Ok(printed(self.translated()?))
    }
}

/// Reads files of a config. Problems are printed; then the plan, or how the program ends.
pub(crate) fn read(files: &[PathBuf]) -> Result<Result<Plan, ExitCode>, Failure> {
    Ok(printed(dialects::read(&sources(files)?)).map(|read| read.plan))
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

fn printed(
    translated: Result<dialects::Translated, Vec<dialects::Problem>>,
) -> Result<dialects::Translated, ExitCode> {
    match translated {
        Ok(translated) => {
            for warning in &translated.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(translated)
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
            Ok(read) => {
                let mut told =
                    json!({"ok": true, "problems": [], "warnings": read.warnings, "plan": read.plan});
                if let Some(keystore) = &read.keystore {
                    keystore.hide_in_json(&mut told);
                    let names: Vec<&String> = keystore.names.keys().collect();
                    told["keystore"] = json!({"file": keystore.file, "names": names});
                }
                (told, ExitCode::SUCCESS)
            }
            Err(problems) => (json!({"ok": false, "problems": problems, "warnings": []}), ExitCode::FAILURE),
        };
        println!("{told:#}");
        return Ok(code);
    }
    match arguments.config.read_to_show()? {
        Ok(read) => {
            print!("{}", read.explain());
            if let Some(keystore) = &read.keystore {
                let names: Vec<&str> = keystore.names.keys().map(String::as_str).collect();
                println!("keystore     {} gives {}", keystore.file, names.join(", "));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}

pub(crate) fn plan(arguments: PlanArguments) -> Result<ExitCode, Failure> {
    match arguments.config.read_to_show()? {
        Ok(read) => {
            print!("{}", if arguments.yaml { read.print() } else { read.draw() });
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}

/// Prints the config in our own format, which means the same.
pub(crate) fn translate(arguments: TranslateArguments) -> Result<ExitCode, Failure> {
    match arguments.config.read_to_show()? {
        Ok(read) => {
            print!("{}", read.print());
            Ok(ExitCode::SUCCESS)
        }
        Err(code) => Ok(code),
    }
}
