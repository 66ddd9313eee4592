//! `logpond dead-letters`: events that an output refused, with the reason.

use crate::{Failure, default_data_dir};
use disk::{Disk, RealDisk};
use pipeline::run::dead_letters::{FOLDER, Letter};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Where the pond is kept.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(clap::Subcommand, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// How many there are, by output and reason
    Ls,
    /// All of them, as JSON, one a line
    Show,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let data_dir = arguments.data_dir.unwrap_or_else(default_data_dir);
    if !data_dir.is_dir() {
        return Err(
            format!("there is no pond in {}; name its folder with --data-dir", data_dir.display()).into()
        );
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&data_dir)?);
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    queue::dump(&*disk, Path::new(FOLDER), |record| match arguments.action {
        Action::Show => println!("{}", String::from_utf8_lossy(record.body)),
        Action::Ls => {
            if let Ok(letter) = serde_json::from_slice::<Letter>(record.body) {
                *counts.entry((letter.output, letter.reason)).or_default() += 1;
            }
        }
    })?;
    if arguments.action == Action::Ls {
        if counts.is_empty() {
            println!("there are no dead letters");
        }
        for ((output, reason), count) in counts {
            println!("{count:>8}  {output}: {reason}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
