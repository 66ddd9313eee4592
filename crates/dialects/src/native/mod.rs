//! Our own format: the plan as YAML.
//!
//! The levels of the plan are read by hand, because serde would lose the places where the
//! plan's types are flattened into each other; a component's own options go through `de.rs`.
//! Several files are one plan: what has a name may stand in any of them, once.

mod check;
mod part;

use crate::de;
use crate::expand::{Machine, World, expand};
use crate::problem::Files;
use crate::tree::{self, Entry, Kind, Node, Place};
use crate::{Problem, Source, Translated};
use pipeline::plan::{Pipeline, Plan, QueuePart};
use serde::de::DeserializeOwned;
use std::collections::HashMap;

const PIPELINE: [&str; 5] = ["inputs", "filters", "workers", "queue", "outputs"];
const TOP: [&str; 13] = [
    "data_dir",
    "memory_limit",
    "api",
    "monitoring",
    "store",
    "dead_letters",
    "reload",
    "pipelines",
    "inputs",
    "filters",
    "workers",
    "queue",
    "outputs",
];
/// The pipeline of a file that does not name any.
const MAIN: &str = "main";
const START: Place = Place { file: 0, line: 1, column: 1 };

pub(crate) fn read(sources: &[Source]) -> Result<Translated, Vec<Problem>> {
    read_in(sources, &Machine)
}

fn read_in(sources: &[Source], world: &dyn World) -> Result<Translated, Vec<Problem>> {
    let mut files = Files { sources, secrets: Vec::new() };
    let mut problems = Vec::new();
    let mut roots = Vec::new();
    for file in 0..sources.len() as u32 {
        match tree::read(&mut files, file, &|text| expand(text, world)) {
            Ok(root) => roots.push(root),
            Err(problem) => problems.push(problem),
        }
    }
    let mut reader = Reader {
        files,
        problems: Vec::new(),
        warnings: Vec::new(),
        plan: Plan::default(),
        places: HashMap::new(),
    };
    for root in &roots {
        reader.file(root);
    }
    // What is missing may stand in the file that could not be read.
    if problems.is_empty() {
        reader.check();
    }
    let Reader { problems: more, mut warnings, plan, files, .. } = reader;
    let number = |problem: &Problem| files.sources.iter().position(|source| source.name == problem.file);
    problems.extend(more);
    problems.sort_by_key(|problem| (number(problem), problem.line, problem.column));
    problems.dedup();
    warnings.sort_by_key(|problem| (number(problem), problem.line, problem.column));
    if problems.is_empty() { Ok(Translated { plan, warnings, keystore: None }) } else { Err(problems) }
}

struct Reader<'s> {
    files: Files<'s>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    plan: Plan,
    /// Where each part stands, by its path. A path is taken once.
    places: HashMap<String, Place>,
}

impl Reader<'_> {
    fn wrong(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.problems.push(self.files.problem(place, path, message));
    }

    fn warn(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.warnings.push(self.files.problem(place, path, message));
    }

    /// Takes a path for what stands at a place, unless something else has it.
    fn take(&mut self, path: &str, place: Place) -> bool {
        match self.places.get(path) {
            None => {
                self.places.insert(path.to_owned(), place);
                true
            }
            Some(first) => {
                let name = path.rsplit('.').next().unwrap_or(path);
                let message = format!("{name:?} is there already, at {}", self.files.at(*first));
                self.wrong(place, path, message);
                false
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, path: &str, of: &str, known: &[&str]) {
        let message = de::unknown("option", &entry.name, of, known);
        self.wrong(entry.place, &join(path, &entry.name), message);
    }

    /// The members of a map; a complaint about anything else that is not empty.
    fn members<'n>(&mut self, node: &'n Node, path: &str, what: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(members) => members,
            Kind::Null => &[],
            _ => {
                self.wrong(node.place, path, format!("expected {what}"));
                &[]
            }
        }
    }

    /// A value, or complaints about `owner`'s options.
    fn typed<T: DeserializeOwned>(&mut self, node: &Node, path: &str, owner: &str) -> Option<T> {
        de::read(node).map_err(|errors| self.complain(errors, node, path, owner)).ok()
    }

    fn complain(&mut self, errors: Vec<de::Error>, node: &Node, path: &str, owner: &str) {
        for error in errors {
            let place = error.place.unwrap_or(node.place);
            self.wrong(place, &join(path, &error.path()), error.message(owner));
        }
    }

    fn file(&mut self, root: &Node) {
        let members = self.members(root, "", "\"inputs\", \"outputs\" and so on, each with a colon");
        for Entry { name, place, value } in members {
            let name = name.as_str();
            if PIPELINE.contains(&name) {
                let main = format!("pipelines.{MAIN}");
                self.places.entry(main.clone()).or_insert(root.place);
                self.pipeline_member(MAIN, &main, name, *place, value);
                continue;
            }
            if name == "pipelines" {
                for entry in self.members(value, name, "pipelines by their names") {
                    self.pipeline(entry);
                }
                continue;
            }
            if !TOP.contains(&name) {
                let entry = Entry { name: name.to_owned(), place: *place, value: value.clone() };
                self.unknown(&entry, "", " at the top", &TOP);
                continue;
            }
            if !self.take(name, *place) {
                continue;
            }
            let owner = format!("{name:?}");
            match name {
                "data_dir" => self.plan.data_dir = self.typed(value, name, &owner),
                "memory_limit" => self.plan.memory_limit = self.typed(value, name, &owner),
                "reload" => self.plan.reload = self.typed(value, name, &owner),
                "api" => {
                    self.plan.api = self.typed(value, name, &owner);
                    self.check_api(value);
                }
                "monitoring" => self.plan.monitoring = self.typed(value, name, &owner),
                "store" => self.plan.store = self.typed(value, name, &owner),
                _ => self.plan.dead_letters = self.typed(value, name, &owner),
            }
        }
    }

    fn pipeline(&mut self, entry: &Entry) {
        let path = format!("pipelines.{}", entry.name);
        self.check_name("a pipeline", &entry.name, entry.place, &path);
        self.places.entry(path.clone()).or_insert(entry.place);
        self.plan.pipelines.entry(entry.name.clone()).or_default();
        for member in self.members(&entry.value, &path, "\"inputs\", \"outputs\" and so on") {
            if PIPELINE.contains(&member.name.as_str()) {
                self.pipeline_member(&entry.name, &path, &member.name, member.place, &member.value);
            } else {
                self.unknown(member, &path, &format!(" of pipeline {:?}", entry.name), &PIPELINE);
            }
        }
    }

    fn pipeline_member(&mut self, pipeline: &str, path: &str, name: &str, place: Place, node: &Node) {
        let path = format!("{path}.{name}");
        self.plan.pipelines.entry(pipeline.to_owned()).or_default();
        if name == "inputs" || name == "outputs" {
            self.places.entry(path.clone()).or_insert(place);
            for entry in self.members(node, &path, &format!("{name} by their names")) {
                self.part(pipeline, &path, name == "inputs", entry);
            }
            return;
        }
        if !self.take(&path, place) {
            return;
        }
        match name {
            "filters" => {
                let filters = self.steps(node, &path);
                self.of(pipeline).filters = filters;
            }
            "workers" => {
                let workers = self.typed(node, &path, "\"workers\"");
                if workers == Some(0) {
                    self.wrong(node.place, &path, "\"workers\" is at least 1");
                }
                self.of(pipeline).workers = workers;
            }
            _ => {
                let queue = self.queue(node, &path);
                self.of(pipeline).queue = queue;
            }
        }
    }

    fn part(&mut self, pipeline: &str, path: &str, is_input: bool, entry: &Entry) {
        let path = format!("{path}.{}", entry.name);
        if !self.take(&path, entry.place) {
            return;
        }
        self.check_name(if is_input { "an input" } else { "an output" }, &entry.name, entry.place, &path);
        if is_input {
            if let Some(part) = self.input(entry, &path) {
                self.of(pipeline).inputs.insert(entry.name.clone(), part);
            }
        } else if let Some(part) = self.output(entry, &path) {
            self.of(pipeline).outputs.insert(entry.name.clone(), part);
        }
    }

    fn of(&mut self, pipeline: &str) -> &mut Pipeline {
        self.plan.pipelines.entry(pipeline.to_owned()).or_default()
    }

    fn queue(&mut self, node: &Node, path: &str) -> Option<QueuePart> {
        if let Kind::Map(_) = node.kind {
            return self.typed(node, path, "\"queue\"").map(QueuePart::With);
        }
        let word = de::read(node).ok().map(QueuePart::Word);
        if word.is_none() {
            self.wrong(
                node.place,
                path,
                "\"queue\" takes options, such as {bytes_max: 4GiB}, or the word none",
            );
        }
        word
    }
}

fn join(path: &str, name: &str) -> String {
    match (path, name) {
        (path, "") => path.to_owned(),
        ("", name) => name.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;
