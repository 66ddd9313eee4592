//! `logpond reload`: the running pond takes up its changed config.

use crate::access::Access;
use crate::place::Place;
use crate::reload::Outcome;
use crate::{Failure, http};
use hyper::Method;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The address of the pond's API, in place of its folder.
    #[arg(long, visible_alias = "url", conflicts_with_all = ["data_dir", "config"])]
    at: Option<String>,
    #[command(flatten)]
    access: Access,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

const PATH: &str = "/_logpond/reload";

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let answer = match &arguments.at {
        Some(address) => arguments.access.ask(address, Method::POST, PATH, None)?,
        None => http::ask_here(&arguments.place.folder()?, "POST", PATH, None)?,
    };
    let outcome: Outcome = serde_json::from_value(answer.clone())?;
    if arguments.json {
        println!("{answer:#}");
    } else {
        print!("{}", told(&outcome));
    }
    Ok(if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(outcome: &Outcome) -> String {
    let mut out: String = outcome.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    out.extend(outcome.problems.iter().map(|problem| format!("error: {problem}\n")));
    if !outcome.ok {
        return out + "the config is not taken up; all runs on as it was\n";
    }
    let changes = &outcome.changes;
    if changes.is_empty() {
        return out + "nothing changed\n";
    }
    for (what, names) in
        [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)]
    {
        out.extend(names.iter().map(|name| format!("{what}: {name}\n")));
    }
    out + &format!("taken up in {:.1} s\n", outcome.took_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::run::Changes;

    #[test]
    fn outcomes() {
        let changes =
            Changes { added: vec!["b".to_owned()], changed: vec!["a".to_owned()], ..Changes::default() };
        let taken = Outcome { ok: true, took_seconds: 0.25, changes, ..Outcome::default() };
        assert_eq!(told(&taken), "added: b\nchanged: a\ntaken up in 0.2 s\n");
        assert_eq!(told(&Outcome { ok: true, ..Outcome::default() }), "nothing changed\n");
        let refused = Outcome { problems: vec!["pond.yml:3:1: bad".to_owned()], ..Outcome::default() };
        assert_eq!(
            told(&refused),
            "error: pond.yml:3:1: bad\nthe config is not taken up; all runs on as it was\n"
        );
    }
}
