//! `logpond test`: what a config makes of samples, without reading or writing anything else; and
//! whether that is what was expected.

use super::check::ConfigArguments;
use crate::{Failure, host};
use dialects::{Case, Expected, Source};
use event::{Batch, Common, Origin, Path};
use pipeline::plan::Plan;
use pipeline::run::chain::condition_of;
use pipeline::run::trial::{Passed, Trial};
use serde_json::{Value as Json, json};
use std::io::{BufRead, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Files of cases: samples, and what is expected of them; see docs/test.md
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "lines", conflicts_with = "lines")]
    cases: Vec<PathBuf>,
    /// Print what becomes of each line of a file, or of standard input (-)
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// The pipeline that takes the lines, if there are several
    #[arg(long, requires = "lines")]
    pipeline: Option<String>,
    /// The input that the lines come from, if there are several
    #[arg(long, requires = "lines")]
    input: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// So many lines are tried at once.
const LINES_AT_ONCE: usize = 1_000;

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let plan = match arguments.config.read()? {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    match &arguments.lines {
        Some(file) => {
            let (mut trial, input) = trial(&plan, arguments.pipeline.as_deref(), arguments.input.as_deref())?;
            show(file, &mut trial, input, arguments.json)?;
            Ok(ExitCode::SUCCESS)
        }
        None => check(&plan, &arguments.cases, arguments.json),
    }
}

/// The pipeline and the input of these names, or the only ones.
fn trial(plan: &Plan, pipeline: Option<&str>, input: Option<&str>) -> Result<(Trial, usize), String> {
    let names = || plan.pipelines.keys().map(String::as_str);
    let name = only("pipeline", pipeline, &names().collect::<Vec<_>>())?;
    let trial = Trial::new(name, &plan.pipelines[name], &host::name()).map_err(|error| error.to_string())?;
    let inputs: Vec<String> = trial.inputs().map(str::to_owned).collect();
    let name = only("input", input, &inputs.iter().map(String::as_str).collect::<Vec<_>>())?;
    let number = trial.input(name).unwrap_or_default();
    Ok((trial, number))
}

fn only<'n>(what: &str, asked: Option<&str>, names: &[&'n str]) -> Result<&'n str, String> {
    let list = || names.join(", ");
    match (asked, names) {
        (Some(asked), _) => names
            .iter()
            .find(|name| **name == asked)
            .copied()
            .ok_or_else(|| format!("there is no {what} {asked:?}; there are {}", list())),
        (None, [one]) => Ok(one),
        (None, []) => Err(format!("the config has no {what}")),
        (None, _) => Err(format!("say which {what} is meant; there are {}", list())),
    }
}

/// Prints what becomes of the lines of a file.
fn show(file: &FilePath, trial: &mut Trial, input: usize, as_json: bool) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    let reader: Box<dyn BufRead> = if file == FilePath::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::io::BufReader::new(std::fs::File::open(file).map_err(cannot)?))
    };
    let mut out = std::io::stdout().lock();
    let mut lines = reader.split(b'\n');
    loop {
        let chunk: Result<Vec<Vec<u8>>, _> = lines.by_ref().take(LINES_AT_ONCE).collect();
        let chunk = chunk.map_err(cannot)?;
        let texts: Vec<_> = chunk.iter().map(|line| String::from_utf8_lossy(line)).collect();
        let texts: Vec<&str> = texts.iter().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        let is_last = texts.len() < LINES_AT_ONCE;
        for Passed { document, outputs } in trial.lines(input, &texts, is_last, pipeline::run::now()) {
            if as_json {
                writeln!(out, "{}", json!({"document": document, "outputs": outputs}))?;
            } else {
                let to = if outputs.is_empty() { "no output".to_owned() } else { outputs.join(", ") };
                writeln!(out, "→ {to}\n{document:#}")?;
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// What came of a case.
struct Tried {
    case: Case,
    /// What is not as expected.
    differences: Vec<String>,
    found: Vec<Passed>,
}

fn check(plan: &Plan, files: &[PathBuf], as_json: bool) -> Result<ExitCode, Failure> {
    let (mut cases, mut has_problems) = (Vec::new(), false);
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        match dialects::read_cases(&Source { name: file.display().to_string(), text }) {
            Ok(found) => cases.extend(found),
            Err(problems) => {
                has_problems = true;
                problems.iter().for_each(|problem| eprintln!("error: {problem}"));
            }
        }
    }
    if has_problems {
        return Ok(ExitCode::FAILURE);
    }
    let tried: Vec<Tried> = cases.into_iter().map(|case| attempt(plan, case)).collect();
    let failed = tried.iter().filter(|tried| !tried.differences.is_empty()).count();
    if as_json {
        let cases: Vec<Json> = tried.iter().map(Tried::json).collect();
        println!("{:#}", json!({"cases": cases, "failed": failed}));
    } else {
        tried.iter().for_each(Tried::print);
        println!("{} cases, {failed} failed", tried.len());
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn attempt(plan: &Plan, case: Case) -> Tried {
    match found(plan, &case) {
        Ok(found) => Tried { differences: differences(&case.expect, &found), case, found },
        Err(message) => Tried { case, differences: vec![message], found: Vec::new() },
    }
}

fn found(plan: &Plan, case: &Case) -> Result<Vec<Passed>, String> {
    let (mut trial, input) = trial(plan, case.pipeline.as_deref(), case.input.as_deref())?;
    let now = case.time()?.unwrap_or_else(pipeline::run::now);
    let lines: Vec<&str> = case.lines.iter().map(String::as_str).collect();
    let mut found = trial.lines(input, &lines, true, now);
    for event in &case.events {
        found.extend(trial.event(input, &Json::Object(event.clone()), now)?);
    }
    Ok(found)
}

impl Tried {
    fn json(&self) -> Json {
        let found = self.found.iter();
        let found: Vec<Json> =
            found.map(|passed| json!({"document": passed.document, "outputs": passed.outputs})).collect();
        json!({
            "name": self.case.name,
            "place": self.case.place,
            "ok": self.differences.is_empty(),
            "differences": self.differences,
            "found": found
        })
    }

    fn print(&self) {
        if self.differences.is_empty() {
            println!("ok    {}", self.case.name);
            return;
        }
        println!("FAIL  {} ({})", self.case.name, self.case.place);
        for difference in &self.differences {
            println!("      {difference}");
        }
        for (number, passed) in self.found.iter().enumerate() {
            println!("      document {}: {} → {}", number + 1, passed.document, passed.outputs.join(", "));
        }
    }
}

fn differences(expected: &[Expected], found: &[Passed]) -> Vec<String> {
    let mut out = Vec::new();
    if expected.len() != found.len() {
        let were = if expected.len() == 1 { "document was" } else { "documents were" };
        out.push(format!("{} {were} expected, {} came out", expected.len(), found.len()));
    }
    for (number, (expected, passed)) in expected.iter().zip(found).enumerate() {
        let mut own = Vec::new();
        for (name, value) in &expected.fields {
            compare(name, value, member(&passed.document, name), &mut own);
        }
        for name in &expected.absent {
            if let Some(value) = member(&passed.document, name) {
                own.push(format!("{name} is {value}, and should not be there"));
            }
        }
        if let Some(document) = &expected.document {
            whole(document, &passed.document, &mut own);
        }
        for condition in &expected.meets {
            if !meets(&passed.document, condition) {
                own.push(format!("it does not meet {condition}"));
            }
        }
        if let Some(outputs) = &expected.outputs
            && (outputs.len() != passed.outputs.len()
                || outputs.iter().any(|output| !passed.outputs.contains(output)))
        {
            let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            own.push(format!("it is for the outputs {}, expected {}", list(&passed.outputs), list(outputs)));
        }
        out.extend(own.iter().map(|difference| format!("document {}: {difference}", number + 1)));
    }
    out
}

/// The field of a name: a member of this name, or the way of a path.
fn member<'d>(document: &'d Json, name: &str) -> Option<&'d Json> {
    if let Some(value) = document.get(name) {
        return Some(value);
    }
    let path = Path::parse(name).ok()?;
    path.names().try_fold(document, |value, name| match value {
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

/// An object may have more members than are expected; everything else is equal.
fn compare(name: &str, expected: &Json, found: Option<&Json>, out: &mut Vec<String>) {
    match (expected, found) {
        (_, None) => out.push(format!("{name} is missing, expected {expected}")),
        (Json::Object(members), Some(Json::Object(own))) => {
            for (inner, value) in members {
                compare(&format!("{name}.{inner}"), value, own.get(inner), out);
            }
        }
        (expected, Some(found)) if expected != found => {
            out.push(format!("{name} is {found}, expected {expected}"));
        }
        _ => {}
    }
}

/// The whole document; the time of the event counts only where it is expected.
fn whole(expected: &serde_json::Map<String, Json>, found: &Json, out: &mut Vec<String>) {
    let own = found.as_object().into_iter().flatten();
    for (name, value) in own {
        match expected.get(name) {
            Some(expected) if expected != value => {
                out.push(format!("{name} is {value}, expected {expected}"));
            }
            None if name != "@timestamp" => out.push(format!("{name} is {value}, and was not expected")),
            _ => {}
        }
    }
    for (name, value) in expected.iter().filter(|(name, _)| found.get(name.as_str()).is_none()) {
        out.push(format!("{name} is missing, expected {value}"));
    }
}

fn meets(document: &Json, condition: &str) -> bool {
    let Ok(condition) = condition_of(condition, "meets") else { return false };
    let mut batch = Batch::new();
    batch.begin_run(Common::none(Origin::default()), 0);
    batch.push_json(document.to_string().as_bytes(), 0).is_ok()
        && condition.matches(&batch.event_mut(0), pipeline::run::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        #[track_caller]
        fn check(expected: Json, told: &[&str]) {
            let expected: Vec<Expected> = serde_json::from_value(expected).unwrap();
            let document = json!({
                "@timestamp": "2026-11-21T12:00:00.000Z", "status": 200, "url": {"path": "/", "query": "a"}, "tags": ["x"]
            });
            let found = [Passed { document, outputs: vec!["es".to_owned()] }];
            assert_eq!(differences(&expected, &found), told);
        }
        check(
            json!([{"fields": {"status": 200, "url": {"path": "/"}, "url.query": "a", "tags": ["x"]}}]),
            &[],
        );
        check(json!([{"fields": {"tags.0": "x"}, "absent": ["message"], "meets": [".status < 300"]}]), &[]);
        check(json!([{"outputs": ["es"]}]), &[]);
        check(json!([]), &["0 documents were expected, 1 came out"]);
        check(
            json!([{"fields": {"status": 404}}, {}]),
            &["2 documents were expected, 1 came out", "document 1: status is 200, expected 404"],
        );
        check(
            json!([{"fields": {"url": {"path": "/x"}, "no": 1}}]),
            &["document 1: url.path is \"/\", expected \"/x\"", "document 1: no is missing, expected 1"],
        );
        check(json!([{"absent": ["url.path"]}]), &["document 1: url.path is \"/\", and should not be there"]);
        check(json!([{"meets": [".status > 300"]}]), &["document 1: it does not meet .status > 300"]);
        check(json!([{"outputs": []}]), &["document 1: it is for the outputs es, expected none"]);
        check(json!([{"document": {"status": 200, "url": {"path": "/", "query": "a"}, "tags": ["x"]}}]), &[]);
        check(
            json!([{"document": {"status": 1, "url": {"path": "/", "query": "a"}, "new": 1}}]),
            &[
                "document 1: status is 200, expected 1",
                "document 1: tags is [\"x\"], and was not expected",
                "document 1: new is missing, expected 1",
            ],
        );
    }

    #[test]
    fn names_are_needed_where_there_are_several() {
        assert_eq!(only("input", None, &["a"]), Ok("a"));
        assert_eq!(only("input", Some("b"), &["a", "b"]), Ok("b"));
        assert_eq!(only("input", None, &["a", "b"]), Err("say which input is meant; there are a, b".into()));
        assert_eq!(only("input", Some("c"), &["a"]), Err("there is no input \"c\"; there are a".into()));
        assert!(only("input", None, &[]).is_err());
    }
}
