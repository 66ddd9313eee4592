//! The scenarios of `tests/es_api`, against the store's own API and against the real servers:
//! what those answer is right.
//!
//! `tests/es_api/README.md` says how a scenario is written.

use crate::http::{self, Answer};
use crate::pond::{PATIENCE, Pond};
use crate::services::{elasticsearch, opensearch, unique};
use regex::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Who is asked, by the names that scenarios use.
const WHO: [&str; 3] = ["logpond", "elasticsearch", "opensearch"];

#[test]
fn es_api_of_the_store() {
    let mut pond = Pond::new();
    // A file of its own: without one it follows those of the machine.
    pond.append("none.log", "");
    pond.up(&["none.log"]);
    run_all("logpond", pond.address());
}

#[test]
fn es_api_of_elasticsearch() {
    run_all("elasticsearch", elasticsearch().address());
}

#[test]
fn es_api_of_opensearch() {
    run_all("opensearch", opensearch().address());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("es_api")
}

/// The scenarios by their names: all of them, or those that `ES_API` names.
fn scenarios() -> Vec<(String, Value)> {
    let only = std::env::var("ES_API").unwrap_or_default();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let named = paths.into_iter().map(|path| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a scenario");
        (name.clone(), yaml(&text).unwrap_or_else(|why| panic!("{name}: {why}")))
    });
    named.filter(|(name, _)| only.is_empty() || only.split(',').any(|only| only == name)).collect()
}

/// Runs all scenarios and tells of everything that was not as expected, not only of the first.
fn run_all(who: &str, address: &str) {
    let (mut wrong, mut asked) = (String::new(), 0);
    for (name, scenario) in scenarios() {
        let steps = scenario["steps"].as_array().unwrap_or_else(|| panic!("{name} has no steps"));
        let mut kept = BTreeMap::from([("me".to_owned(), unique("es-api"))]);
        for (n, step) in steps.iter().enumerate() {
            let step = Step::read(step).unwrap_or_else(|why| panic!("{name}, step {}: {why}", n + 1));
            if step.is_for(who) {
                asked += 1;
                if let Err(why) = step.run(address, &mut kept) {
                    let request = with_kept(step.request, &kept);
                    writeln!(wrong, "{name}, step {}: {request}: {why}", n + 1).expect("room");
                }
            }
        }
    }
    assert!(asked > 0, "no step was for {who}");
    assert!(wrong.is_empty(), "{who}, of {asked} steps:\n{wrong}");
}

/// One request and what its answer must be.
struct Step<'s> {
    request: &'s str,
    body: &'s Value,
    checks: &'s Map<String, Value>,
}

const CHECKS: [&str; 9] = ["status", "is", "length", "has", "lacks", "text", "headers", "keep", "not"];

impl<'s> Step<'s> {
    fn read(step: &'s Value) -> Result<Self, String> {
        let checks = step.as_object().ok_or("not a map")?;
        let (request, body) = checks.iter().next().ok_or("empty")?;
        if request.split(' ').count() != 2 {
            return Err(format!("its first name must be METHOD /path, not {request:?}"));
        }
        for (name, value) in checks.iter().skip(1) {
            let is_known = CHECKS.contains(&name.as_str());
            let who = value.as_object().into_iter().flat_map(Map::keys);
            if !is_known || (name == "not" && who.clone().any(|who| !WHO.contains(&who.as_str()))) {
                return Err(format!("there is no {name}: {value}"));
            }
        }
        Ok(Self { request, body, checks })
    }

    /// Whether this server is asked: `not` says who is not, and why.
    fn is_for(&self, who: &str) -> bool {
        self.checks.get("not").is_none_or(|not| not.get(who).is_none())
    }

    fn run(&self, address: &str, kept: &mut BTreeMap<String, String>) -> Result<(), String> {
        let answer = self.ask(address, kept);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let mut wrong = Vec::new();
        let status = self.checks.get("status").cloned().unwrap_or(json!(200));
        if status != answer.status
            && !status.as_array().is_some_and(|any| any.contains(&json!(answer.status)))
        {
            wrong.push(format!("status {} in place of {status}", answer.status));
        }
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        let checks = self.checks.iter().skip(1);
        for (check, wanted) in checks {
            let wanted = filled(wanted, kept);
            match check.as_str() {
                "text" => {
                    let wanted = wanted.as_str().ok_or("[text] is a regular expression")?;
                    let found = Regex::new(wanted).map_err(|error| error.to_string())?.is_match(&text);
                    wrong.extend((!found).then(|| format!("no {wanted:?} in it")));
                }
                "headers" => wrong.extend(headers_wrong(&answer.head, &wanted)),
                "is" | "length" => {
                    for (path, wanted) in wanted.as_object().ok_or("a map of paths")? {
                        let found = at(&json, path);
                        let found = match (check.as_str(), found) {
                            (_, None) => {
                                wrong.push(format!("no {path}"));
                                continue;
                            }
                            ("length", Some(Value::Array(list))) => json!(list.len()),
                            ("length", Some(Value::Object(map))) => json!(map.len()),
                            (_, Some(found)) => found.clone(),
                        };
                        if !is_same(&found, wanted) {
                            wrong.push(format!("{path} is {found}, not {wanted}"));
                        }
                    }
                }
                "has" | "lacks" => {
                    for path in wanted.as_array().ok_or("a list of paths")? {
                        let path = path.as_str().ok_or("a path is text")?;
                        if at(&json, path).is_some() != (check == "has") {
                            wrong.push(format!("it {} {path}", if check == "has" { "lacks" } else { "has" }));
                        }
                    }
                }
                "keep" => {
                    for (name, path) in wanted.as_object().ok_or("a map of paths")? {
                        let found = path.as_str().and_then(|path| at(&json, path));
                        match found {
                            Some(Value::String(text)) => kept.insert(name.clone(), text.clone()),
                            Some(found) => kept.insert(name.clone(), found.to_string()),
                            None => return Err(format!("nothing to keep as {name}: {text}")),
                        };
                    }
                }
                _ => {}
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let shown: String = text.chars().take(1_500).collect();
        Err(format!("{}\n    {}", wrong.join("; "), shown.trim_end()))
    }

    fn ask(&self, address: &str, kept: &BTreeMap<String, String>) -> Answer {
        let request = with_kept(self.request, kept);
        let (method, path) = request.split_once(' ').expect("checked when it was read");
        let body = match filled(self.body, kept) {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Array(lines) => lines.iter().map(|line| line_of(line) + "\n").collect(),
            json => json.to_string(),
        };
        let kind = if self.body.is_array() { "application/x-ndjson" } else { "application/json" };
        let mut headers = vec![("content-type".to_owned(), kind.to_owned())];
        if let Some(Value::Object(own)) = self.checks.get("headers").and_then(|headers| headers.get("sent")) {
            for (name, value) in own {
                headers.retain(|(other, _)| other != name);
                headers.push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
            }
        }
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        http::exchange(address, method, path, &headers, &body, PATIENCE)
            .unwrap_or_else(|error| panic!("{method} {path} at {address}: {error}"))
    }
}

/// A line of NDJSON: text stands for itself, so that it can be damaged.
fn line_of(line: &Value) -> String {
    line.as_str().map_or_else(|| line.to_string(), str::to_owned)
}

fn headers_wrong(head: &str, wanted: &Value) -> Vec<String> {
    let of = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim()
    };
    let answered = wanted.get("answered").and_then(Value::as_object).into_iter().flatten();
    let wrong = answered.filter(|(name, wanted)| !is_same(&of(name).into(), wanted));
    wrong.map(|(name, wanted)| format!("the header {name} is {:?}, not {wanted}", of(name))).collect()
}

/// Text with `$name` replaced by what was kept under the name.
fn with_kept(text: &str, kept: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in kept.iter().rev() {
        text = text.replace(&format!("${name}"), value);
    }
    text
}

fn filled(value: &Value, kept: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => with_kept(text, kept).into(),
        Value::Array(list) => list.iter().map(|value| filled(value, kept)).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (with_kept(name, kept), filled(value, kept))).collect()
        }
        other => other.clone(),
    }
}

/// What is at a path of names and numbers, between dots; `\.` is a dot of a name.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let path = path.replace("\\.", "\u{1}");
    path.split('.').filter(|name| !name.is_empty()).try_fold(value, |value, name| {
        let name = name.replace('\u{1}', ".");
        match value {
            Value::Array(list) => list.get(name.parse::<usize>().ok()?),
            value => value.get(&name),
        }
    })
}

/// Numbers are the same by their value, and `/…/` is a regular expression.
fn is_same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= a.abs().max(1.0) * 1e-6
        }
        (found, Value::String(text)) if text.len() > 2 && text.starts_with('/') && text.ends_with('/') => {
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            Regex::new(&text[1..text.len() - 1]).is_ok_and(|regex| regex.is_match(&found))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        (found, wanted) => found == wanted,
    }
}

/// YAML as JSON: maps, lists and scalars of the core schema, without anchors.
fn yaml(text: &str) -> Result<Value, String> {
    let mut open: Vec<(Value, Option<String>)> = Vec::new();
    let mut root = Value::Null;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let done = match event {
            Event::Scalar(text, style, ..) => match (open.last_mut(), style) {
                (Some((Value::Object(_), name @ None)), _) => {
                    *name = Some(text.into_owned());
                    continue;
                }
                (_, ScalarStyle::Plain) if text.is_empty() || text == "~" => Value::Null,
                // What is JSON is meant as JSON: numbers, true, false, null.
                (_, ScalarStyle::Plain) => {
                    serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref()))
                }
                _ => Value::from(text.as_ref()),
            },
            Event::SequenceStart(..) => {
                open.push((json!([]), None));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((json!({}), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().ok_or("an end without a beginning")?.0,
            Event::Alias(_) => return Err(format!("line {}: no aliases", span.start.line())),
            _ => continue,
        };
        match open.last_mut() {
            Some((Value::Array(list), _)) => list.push(done),
            Some((Value::Object(map), name)) => {
                let name = name.take().ok_or("a key must be text")?;
                if map.insert(name.clone(), done).is_some() {
                    return Err(format!("line {}: {name} twice", span.start.line()));
                }
            }
            _ => root = done,
        }
    }
    Ok(root)
}

#[test]
fn es_api_scenarios_can_be_read() {
    let text = "steps:\n  - GET /a: {b: [1, 'x', null, \"1\"]}\n    is: {a\\.b.0: \"/^x/\"}\n";
    let read = yaml(text).expect("YAML");
    assert_eq!(read, json!({"steps": [{"GET /a": {"b": [1, "x", null, "1"]}, "is": {"a\\.b.0": "/^x/"}}]}));
    assert!(yaml("a: 1\na: 2").is_err());
    assert!(Step::read(&read["steps"][0]).is_ok());
    assert!(Step::read(&json!({"GET /": null, "isnt": {}})).is_err());
    assert!(Step::read(&json!({"GET /": null, "not": {"nobody": "?"}})).is_err());
    let found = json!({"a.b": ["xy"], "n": 2.0});
    assert!(is_same(at(&found, "a\\.b.0").expect("a text"), &json!("/^x/")));
    assert!(!is_same(at(&found, "a\\.b.0").expect("a text"), &json!("/^y/")));
    assert!(is_same(&found["n"], &json!(2)));
    assert!(at(&found, "a\\.b.1").is_none());
}
