//! From what a configuration says to the plan, which is what it means.
//!
//! Each dialect is read into a tree that keeps line and column; after the translation nothing
//! in the program knows which dialect it was. Our own format is the plan as YAML.

mod explain;
mod native;
mod tree;
mod write;

pub use explain::{draw, explain};
pub use write::print;

use pipeline::plan::Plan;
use std::fmt;

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
}

/// Something about a place in a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
    /// The line's text.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.text.is_empty() {
            let before: String =
                self.text.chars().take(self.column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
            write!(f, "\n  {}\n  {before}^", self.text)?;
        }
        Ok(())
    }
}

/// Reads config files, which together are one plan. All problems are told, not only the first.
pub fn read(sources: &[Source]) -> Result<Translated, Vec<Problem>> {
    native::read(sources)
}
