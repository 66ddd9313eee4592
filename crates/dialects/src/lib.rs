//! From what a configuration says to the plan, which is what it means.
//!
//! Each dialect is read into a tree that keeps line and column (`tree.rs`); the options of
//! a component are read from that tree through serde (`de.rs`), so that every complaint has
//! its place. After the translation nothing in the program knows which dialect it was. Our
//! own format is the plan as YAML.

mod cases;
mod de;
mod draw;
mod expand;
mod explain;
mod hidden;
mod logstash;
mod native;
mod problem;
mod recognise;
mod tree;
mod write;

pub use cases::{Case, Expected, read_cases};
pub use draw::draw;
pub use explain::explain;
pub use hidden::UsedKeystore;
pub use logstash::{
    Arguments as LogstashArguments, keystore_file as logstash_keystore, plugin_names as logstash_plugins,
    read_arguments as read_logstash,
};
pub use problem::Problem;
pub use recognise::{Dialect, recognise};
pub use write::print;

use pipeline::plan::Plan;

/// A config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// What configs mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The plan.
    pub plan: Plan,
    /// What should be known of it.
    pub warnings: Vec<Problem>,
    /// The keystore that was asked, when one was.
    pub keystore: Option<UsedKeystore>,
}

impl Translated {
    /// The plan in words, without what came from a keystore.
    pub fn explain(&self) -> String {
        self.without_secrets(explain)
    }

    /// The plan as a drawing, without what came from a keystore.
    pub fn draw(&self) -> String {
        self.without_secrets(draw)
    }

    /// The plan as a config in our own format, without what came from a keystore.
    pub fn print(&self) -> String {
        let Some(keystore) = &self.keystore else { return print(&self.plan) };
        let mut value = serde_json::to_value(&self.plan).unwrap_or_default();
        keystore.hide_in_json(&mut value);
        write::print_json(value)
    }

    fn without_secrets(&self, show: fn(&Plan) -> String) -> String {
        match &self.keystore {
            Some(keystore) => keystore.hide_in_text(&show(&keystore.hide_in_plan(&self.plan))),
            None => show(&self.plan),
        }
    }
}

/// Reads config files, which together are one plan. All problems are told, not only the
/// first, in the order of the files and their lines.
///
/// `${VAR}` and `${file:PATH}` are looked up in the environment and on the disk while reading;
/// what they stood for is never part of a problem.
pub fn read(sources: &[Source]) -> Result<Translated, Vec<Problem>> {
    if !sources.is_empty() && sources.iter().all(|source| recognise(source) == Dialect::Logstash) {
        return logstash::read(sources);
    }
    let foreign: Vec<Problem> = sources
        .iter()
        .filter_map(|source| match recognise(source) {
            Dialect::Native => None,
            other => Some(Problem::of_file(source, match other {
                Dialect::Logstash => "this looks like a config of Logstash, and others beside it do not; files of one plan are of one kind".to_owned(),
                other => format!("this looks like a config of {other}; only logpond's own format and Logstash's are read, see docs/config.md"),
            })),
        })
        .collect();
    if !foreign.is_empty() {
        return Err(foreign);
    }
    native::read(sources)
}
