//! `logpond up`: files in, search out, in one command.

use crate::{Failure, default_data_dir, host, pond};
use filters::FilterConfig;
use pipeline::inputs::{InputConfig, file, generate, journal};
use pipeline::outputs::{OutputConfig, store};
use pipeline::plan::{Api, FilterStep, InputPart, OutputPart, Pipeline, Plan, Step};
use pipeline::run::Running;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files to follow, or patterns such as 'app/**/*.log'. Without any: what /var/log holds.
    files: Vec<String>,
    /// Where everything that must survive is kept.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the API and the page are.
    #[arg(long, default_value = "127.0.0.1:9200")]
    listen: String,
    /// Make up a lively set of logs in place of reading some.
    #[arg(long)]
    demo: bool,
    /// Leave the systemd journal alone.
    #[arg(long)]
    no_journal: bool,
}

const SYSTEM_LOGS: [&str; 10] = [
    "/var/log/**/*.log",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/secure",
    "/var/log/maillog",
    "/var/log/cron",
    "/var/log/dmesg",
    "/var/log/auth.log",
    "/var/log/**/access_log",
    "/var/log/**/error_log",
];

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let paths = if arguments.files.is_empty() && !arguments.demo {
        SYSTEM_LOGS.map(str::to_owned).to_vec()
    } else {
        arguments.files.clone()
    };
    let follow_journal =
        arguments.files.is_empty() && !arguments.demo && !arguments.no_journal && host::has_journal();
    let plan = plan(&arguments, &paths, follow_journal);
    let data_dir = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    pond::run(&plan, &data_dir, false, None, |address, running| {
        if let Some(address) = address {
            eprintln!("logpond is up: http://{address}  (Ctrl+C ends it; nothing is lost)");
            eprintln!("  search:  logpond search 'status >= 500' --last 15m{}", other_address(address));
            eprintln!("  or:      curl -s '{address}/_search?q=level:error&sort=@timestamp:desc&pretty'");
        }
        eprintln!("  kept in: {}", data_dir.display());
        say_what_is_read(running, &paths, follow_journal, arguments.demo);
    })
}

fn other_address(address: &str) -> String {
    if address == "127.0.0.1:9200" { String::new() } else { format!(" --at {address}") }
}

fn plan(arguments: &Arguments, paths: &[String], follow_journal: bool) -> Plan {
    let mut inputs = BTreeMap::new();
    let mut add =
        |name: &str, input| inputs.insert(name.to_owned(), InputPart { input, filters: Vec::new() });
    if !paths.is_empty() {
        add("files", InputConfig::File(file::Config { paths: paths.to_vec(), ..file::Config::default() }));
    }
    if follow_journal {
        add("journal", InputConfig::Journal(journal::Config::default()));
    }
    if arguments.demo {
        let demo =
            generate::Config { format: generate::Format::Mixed, rate: 20, ..generate::Config::default() };
        add("demo", InputConfig::Generate(demo));
    }
    let recognise = FilterStep::from(FilterConfig::Auto(Default::default()));
    let output = OutputPart { output: OutputConfig::Store(store::Config::default()), when: None };
    let pipeline = Pipeline {
        inputs,
        filters: vec![Step::Filter(Box::new(recognise))],
        outputs: BTreeMap::from([("store".to_owned(), output)]),
        ..Pipeline::default()
    };
    Plan {
        api: Some(Api { listen: arguments.listen.clone(), ..Api::default() }),
        pipelines: BTreeMap::from([("main".to_owned(), pipeline)]),
        ..Plan::default()
    }
}

/// Names what is followed, and what may not be read, once the first look was taken.
fn say_what_is_read(running: &Running, paths: &[String], follow_journal: bool, demo: bool) {
    let registry = running.registry().clone();
    let paths = paths.to_vec();
    let stop = running.stopping();
    std::thread::spawn(move || {
        // The first look takes a moment; the inputs go on meanwhile.
        if stop.wait(std::time::Duration::from_millis(400)) {
            return;
        }
        let files = registry.statuses();
        for file in files.iter().take(20) {
            eprintln!("  follows: {}", file.path);
        }
        if files.len() > 20 {
            eprintln!("  follows: {} more files", files.len() - 20);
        }
        if follow_journal {
            eprintln!("  follows: the systemd journal");
        }
        for file in registry.unreadable() {
            eprintln!("  may not read: {}: {}", file.path, file.reason);
        }
        if files.is_empty() && !demo && !paths.is_empty() {
            eprintln!("  nothing to read yet: waiting for {}", paths.join(", "));
            eprintln!("  to see it at work: logpond up --demo");
        }
    });
}
