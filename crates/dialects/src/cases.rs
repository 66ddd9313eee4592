//! Files of cases: samples, and what a pipeline is expected to make of them.

use crate::de;
use crate::problem::Files;
use crate::tree::{self, Kind};
use crate::{Problem, Source};
use pipeline::run::chain::condition_of;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Samples, and what is expected to become of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The pipeline; none: the only one.
    #[serde(default)]
    pub pipeline: Option<String>,
    /// The input that the samples come from; none: the only one.
    #[serde(default)]
    pub input: Option<String>,
    /// When they are read, as `2026-11-21T12:00:00Z`; none: now.
    #[serde(default)]
    pub at: Option<String>,
    /// What is read: lines, or messages of any length.
    #[serde(default)]
    pub lines: Vec<String>,
    /// Or events, as the input would make them.
    #[serde(default)]
    pub events: Vec<Map<String, Json>>,
    /// The documents that come out, in order.
    pub expect: Vec<Expected>,
    /// Where the case stands: file and line.
    #[serde(skip)]
    pub place: String,
}

/// What is expected of a document.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expected {
    /// Fields with these values: names such as `url.path`, or objects with some of their members.
    pub fields: Map<String, Json>,
    /// Fields that are not there.
    pub absent: Vec<String>,
    /// The whole document; `@timestamp` may be left out.
    pub document: Option<Map<String, Json>>,
    /// Conditions that are true of it, such as `.took > 0.5`.
    pub meets: Vec<String>,
    /// The outputs that it is for.
    pub outputs: Option<Vec<String>>,
}

/// Reads a file of cases: a list of them, as YAML. All problems are told.
pub fn read_cases(source: &Source) -> Result<Vec<Case>, Vec<Problem>> {
    let sources = std::slice::from_ref(source);
    let mut files = Files { sources, secrets: Vec::new() };
    // Nothing is filled in here.
    let root = tree::read(&mut files, 0, &|_| Ok(None)).map_err(|problem| vec![problem])?;
    let Kind::List(items) = &root.kind else {
        let message = "a file of cases is a list: \"- name: …\", \"lines: […]\", \"expect: […]\"";
        return Err(vec![files.problem(root.place, "", message)]);
    };
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for item in items {
        match de::read::<Case>(item) {
            Ok(mut case) => {
                case.place = format!("{}:{}", source.name, item.place.line);
                if let Err(message) = case.check() {
                    problems.push(files.problem(item.place, "", message));
                }
                cases.push(case);
            }
            Err(errors) => problems.extend(errors.iter().map(|error| {
                files.problem(error.place.unwrap_or(item.place), &error.path(), error.message("a case"))
            })),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

impl Case {
    /// When the samples are read, in nanoseconds since 1970; none: now. An error says that it is no
    /// time, which none is that was read from a file.
    pub fn time(&self) -> Result<Option<i64>, String> {
        let Some(at) = &self.at else { return Ok(None) };
        let wrong = || format!("\"at\": {at:?} is no time such as 2026-11-21T12:00:00Z");
        event::time::parse_rfc3339(at.as_bytes()).map(Some).ok_or_else(wrong)
    }

    fn check(&self) -> Result<(), String> {
        if self.lines.is_empty() == self.events.is_empty() {
            return Err("a case has either \"lines\" or \"events\"".to_owned());
        }
        self.time()?;
        for condition in self.expect.iter().flat_map(|expected| &expected.meets) {
            condition_of(condition, "meets").map_err(|error| error.to_string())?;
        }
        for name in self.expect.iter().flat_map(|expected| &expected.absent) {
            event::Path::parse(name).map_err(|error| format!("\"absent\": {name:?}: {error}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Case>, String> {
        let source = Source { name: "c.yaml".to_owned(), text: text.to_owned() };
        read_cases(&source)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn cases() {
        let text = "\
# What the access log becomes.
- name: a line
  lines: ['${HOME} costs $5']
  expect:
  - fields: {status: 200, url: {path: /}}
    absent: [message]
    outputs: [es]
- name: dropped
  pipeline: main
  input: web
  at: 2026-11-21T12:00:00Z
  events: [{message: x}]
  expect: []
";
        let cases = read(text).unwrap();
        assert_eq!(cases[0].lines, ["${HOME} costs $5"]);
        assert_eq!(cases[0].place, "c.yaml:2");
        assert_eq!(cases[0].expect[0].fields["url"]["path"], "/");
        assert_eq!(cases[0].expect[0].outputs.as_deref(), Some(&["es".to_owned()][..]));
        assert_eq!((cases[1].place.as_str(), cases[1].expect.len()), ("c.yaml:8", 0));
    }

    #[test]
    fn what_is_no_case() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("a: 1", "c.yaml:1:1: a file of cases is a list");
        check("- name: a\n  expect: []", "either \"lines\" or \"events\"");
        check("- name: a\n  lines: [x]", "\"expect\"");
        check("- name: a\n  line: x\n  lines: [x]\n  expect: []", "c.yaml:2:3: unknown option \"line\"");
        check("- name: a\n  lines: [x]\n  at: noon\n  expect: []", "\"noon\" is no time");
        check("- name: a\n  lines: [x]\n  expect: [{meets: ['.a >']}]", "meets");
        check("- name: a\n  lines: [x]\n  expect: [{absent: ['']}]", "\"absent\"");
    }
}
