//! The command line: what a person types, and what they read.

mod access;
mod cluster;
mod commands;
mod host;
mod http;
mod letters;
mod log;
mod memory;
mod monitor;
mod place;
mod pond;
mod process;
mod reload;
mod signals;
mod status;
mod tls;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads logs where they are, keeps them safe, and makes them searchable.
#[derive(Parser)]
#[command(name = "logpond", version, about, max_term_width = 100)]
struct Arguments {
    /// The program's own log as JSON.
    #[arg(long, global = true)]
    log_json: bool,
    /// How much the program says of itself: error, warn, info, debug.
    #[arg(long, global = true, env = "LOGPOND_LOG", default_value = "info", hide_env = true)]
    log_level: tracing::Level,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Follow files, store their lines and answer searches
    Up(commands::up::Arguments),
    /// Run a config file
    Run(commands::run::Arguments),
    /// Take up the changed config of the running pond
    Reload(commands::reload::Arguments),
    /// Read a config file and say what it means, without running it
    Check(commands::check::Arguments),
    /// Draw a config file
    Plan(commands::check::PlanArguments),
    /// Print a config of another product as one of our own
    Translate(commands::check::TranslateArguments),
    /// Try a config on samples, and compare what comes out with what is expected
    Test(commands::test::Arguments),
    /// Show the page over a cluster of Elasticsearch or OpenSearch
    Ui(commands::ui::Arguments),
    /// Search the running pond
    Search(commands::search::Arguments),
    /// What became of every event, in the running pond
    Ledger(commands::ledger::Arguments),
    /// Look into the durable queue of a pond that is not running
    Queue(commands::queue::Arguments),
    /// Watch the running pond at work
    Top(commands::top::Arguments),
    /// Print events as they pass a point of the running pond
    Tap(commands::tap::Arguments),
    /// Events that an output refused: list, replay or drop them
    DeadLetters(commands::dead_letters::Arguments),
    /// The keystore of Logstash, from which ${NAME} in its configs is filled in
    Keystore(commands::keystore::Arguments),
    /// The topics of a Kafka cluster
    Topics(commands::topics::Arguments),
    /// How far consumer groups of Kafka are behind
    Lag(commands::lag::Arguments),
}

/// Where a pond is kept when nobody says.
fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/logpond");
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state =
        state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from(".")).join("logpond")
}

/// Why a command failed; printed as it is.
type Failure = Box<dyn std::error::Error>;

/// Runs the program and returns how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    memory::give_buffers_back();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    log::start(arguments.log_level, arguments.log_json);
    let result = match arguments.command {
        Command::Up(arguments) => commands::up::run(arguments),
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Reload(arguments) => commands::reload::run(arguments),
        Command::Check(arguments) => commands::check::run(arguments),
        Command::Plan(arguments) => commands::check::plan(arguments),
        Command::Translate(arguments) => commands::check::translate(arguments),
        Command::Test(arguments) => commands::test::run(arguments),
        Command::Ui(arguments) => commands::ui::run(arguments),
        Command::Search(arguments) => commands::search::run(arguments),
        Command::Ledger(arguments) => commands::ledger::run(arguments),
        Command::Queue(arguments) => commands::queue::run(arguments),
        Command::Top(arguments) => commands::top::run(arguments),
        Command::Tap(arguments) => commands::tap::run(arguments),
        Command::DeadLetters(arguments) => commands::dead_letters::run(arguments),
        Command::Keystore(arguments) => commands::keystore::run(arguments),
        Command::Topics(arguments) => commands::topics::run(arguments),
        Command::Lag(arguments) => commands::lag::run(arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("logpond: {error}");
            ExitCode::FAILURE
        }
    }
}
