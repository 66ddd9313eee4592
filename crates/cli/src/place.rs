//! Where the pond is that a command is about.

use crate::{Failure, commands, default_data_dir};
use pipeline::plan::Plan;
use std::path::PathBuf;

/// The options by which a pond's folder is named.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// Where the pond is kept.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// The config file that it runs, which may say where it is kept; several are one.
    #[arg(short, long = "config", global = true)]
    config: Vec<PathBuf>,
}

impl Place {
    /// The folder.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        // A config that has a problem just now is no reason not to find the pond that runs it.
        match self.find() {
            Err(_) if self.data_dir.is_some() => Ok(self.data_dir.clone().unwrap_or_default()),
            found => found.map(|(folder, _)| folder),
        }
    }

    /// The folder, and the plan if a config was named.
    pub(crate) fn find(&self) -> Result<(PathBuf, Option<Plan>), Failure> {
        let plan = match self.config.as_slice() {
            [] => None,
            files => match commands::check::read(files)? {
                Ok(plan) => Some(plan),
                Err(_) => return Err("the config has problems; name the folder with --data-dir".into()),
            },
        };
        let named = plan.as_ref().and_then(|plan| plan.data_dir.clone());
        Ok((named.or_else(|| self.data_dir.clone()).unwrap_or_else(default_data_dir), plan))
    }
}
