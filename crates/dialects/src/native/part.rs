//! Inputs, filters and outputs: the one key that names the component, and what every one of
//! its kind has beside it.

use super::{Reader, join};
use crate::de;
use crate::tree::{Entry, Kind, Node, Place};
use expr::Condition;
use filters::{FilterConfig, on_success};
use pipeline::inputs::InputConfig;
use pipeline::outputs::OutputConfig;
use pipeline::plan::{FilterStep, IfStep, InputPart, OutputPart, Step};
use pipeline::run::Provide;
use serde::de::DeserializeOwned;

impl Reader<'_> {
    pub(super) fn input(&mut self, entry: &Entry, path: &str) -> Option<InputPart> {
        let of = format!("input {:?}", entry.name);
        let found = self.component::<InputConfig>(&entry.value, path, &of, &["filters"]);
        let filters = match entry.value.get("filters") {
            Some(node) => self.steps(node, &format!("{path}.filters")),
            None => Vec::new(),
        };
        let (kind, options, path) = found?;
        let input = self.options::<InputConfig>(&kind, &options, &path, "input")?;
        self.check_input(&input, &options, &path);
        Some(InputPart { input, filters })
    }

    pub(super) fn output(&mut self, entry: &Entry, path: &str) -> Option<OutputPart> {
        let of = format!("output {:?}", entry.name);
        let found = self.component::<OutputConfig>(&entry.value, path, &of, &["when"]);
        let when = self.when(&entry.value, path);
        let (kind, options, path) = found?;
        let output = self.options::<OutputConfig>(&kind, &options, &path, "output")?;
        self.check_output(&output, &kind, &options, &path);
        Some(OutputPart { output, when })
    }

    pub(super) fn steps(&mut self, node: &Node, path: &str) -> Vec<Step> {
        match &node.kind {
            Kind::List(items) => {
                let steps = items.iter().enumerate();
                steps.filter_map(|(n, item)| self.step(item, &format!("{path}[{n}]"))).collect()
            }
            Kind::Null => Vec::new(),
            _ => {
                self.wrong(node.place, path, "filters are a list: each begins with \"- \"");
                Vec::new()
            }
        }
    }

    fn step(&mut self, node: &Node, path: &str) -> Option<Step> {
        if node.get("if").is_some() {
            return self.if_step(node, path);
        }
        let common = ["id", "when", "tag_on_failure", "on_success"];
        let found = self.component::<FilterConfig>(node, path, "a filter", &common);
        let id = node.get("id").and_then(|node| self.typed(node, &format!("{path}.id"), "\"id\""));
        let when = self.when(node, path);
        let tag_on_failure = node
            .get("tag_on_failure")
            .and_then(|node| self.typed(node, &format!("{path}.tag_on_failure"), "\"tag_on_failure\""));
        let on_success = self.on_success(node, path);
        let (kind, options, path) = found?;
        let filter = self.options::<FilterConfig>(&kind, &options, &path, "filter")?;
        if let Err(error) = filter.build_with(&Provide::default()) {
            let place = place_of(&options, error.option, &error.message);
            let message = format!("option {:?} of filter {kind:?}: {}", error.option, error.message);
            self.wrong(place, &join(&path, error.option), hidden_below(&options, message));
        }
        Some(Step::Filter(Box::new(FilterStep {
            filter,
            id,
            when,
            tag_on_failure: tag_on_failure.unwrap_or_default(),
            on_success,
        })))
    }

    fn on_success(&mut self, step: &Node, path: &str) -> on_success::Config {
        let Some(node) = step.get("on_success") else { return on_success::Config::default() };
        let path = format!("{path}.on_success");
        let config: on_success::Config = self.typed(node, &path, "\"on_success\"").unwrap_or_default();
        if let Err(error) = config.build() {
            let place = place_of(node, error.option, &error.message);
            let message = format!("option {:?} of \"on_success\": {}", error.option, error.message);
            self.wrong(place, &join(&path, error.option), hidden_below(node, message));
        }
        config
    }

    fn if_step(&mut self, node: &Node, path: &str) -> Option<Step> {
        const MEMBERS: [&str; 3] = ["if", "then", "else"];
        let mut condition = None;
        let mut branches = [Vec::new(), Vec::new()];
        for entry in node.members() {
            let path = format!("{path}.{}", entry.name);
            match entry.name.as_str() {
                "if" => condition = self.condition(&entry.value, &path),
                "then" => branches[0] = self.steps(&entry.value, &path),
                "else" => branches[1] = self.steps(&entry.value, &path),
                _ => self.unknown(entry, &path, " of an if", &MEMBERS),
            }
        }
        let [then, otherwise] = branches;
        Some(Step::If(IfStep { condition: condition?, then, otherwise }))
    }

    /// Which component of the enum `T` a part is, its options and their path. A component
    /// without options may be written as a word.
    fn component<T: DeserializeOwned>(
        &mut self,
        node: &Node,
        path: &str,
        of: &str,
        common: &[&str],
    ) -> Option<(String, Node, String)> {
        let known = de::names_of::<T>();
        if let Kind::Str(word) = &node.kind {
            if known.contains(&word.as_str()) {
                return Some((word.clone(), Node::empty_map(node.place), format!("{path}.{word}")));
            }
            let what = if node.hidden.is_some() { "***" } else { word };
            self.wrong(node.place, path, de::unknown("word", what, &format!(" for {of}"), known));
            return None;
        }
        let names: Vec<&str> = known.iter().chain(common).copied().collect();
        let before = self.problems.len();
        let mut found: Option<&Entry> = None;
        for entry in self.members(node, path, &format!("{of} as one of {}", known.join(", "))) {
            match found {
                _ if common.contains(&entry.name.as_str()) => {}
                _ if !known.contains(&entry.name.as_str()) => {
                    self.unknown(entry, path, &format!(" of {of}"), &names);
                }
                None => found = Some(entry),
                Some(first) => {
                    let message = format!("{of} is {:?} already; {:?} is a second", first.name, entry.name);
                    self.wrong(entry.place, path, message);
                }
            }
        }
        if found.is_none() && self.problems.len() == before {
            self.wrong(node.place, path, format!("{of} needs one of {}", known.join(", ")));
        }
        let entry = found?;
        Some((entry.name.clone(), entry.value.clone(), format!("{path}.{}", entry.name)))
    }

    fn options<T: DeserializeOwned>(
        &mut self,
        kind: &str,
        options: &Node,
        path: &str,
        what: &str,
    ) -> Option<T> {
        let owner = format!("{what} {kind:?}");
        de::read_component(kind, options).map_err(|errors| self.complain(errors, options, path, &owner)).ok()
    }

    fn when(&mut self, part: &Node, path: &str) -> Option<String> {
        let node = part.get("when")?;
        self.condition(node, &format!("{path}.when"))
    }

    fn condition(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = match &node.kind {
            Kind::Str(text) => text.clone(),
            Kind::Bool(value) => value.to_string(),
            _ => {
                self.wrong(node.place, path, "a condition is text, such as '.status >= 500'");
                return None;
            }
        };
        if let Err(error) = Condition::parse(&text) {
            if node.hidden.is_some() {
                self.wrong(node.place, path, "not a condition, with what ${...} stands for");
                return None;
            }
            match self.inside(node.place, &text, error.at) {
                Some(place) => self.wrong(place, path, format!("not a condition: {}", error.reason)),
                None => self.wrong(node.place, path, error.to_string()),
            }
            return None;
        }
        Some(text)
    }

    /// The place of a byte of a scalar, where the file has that line of it word by word.
    pub(super) fn inside(&self, place: Place, text: &str, at: usize) -> Option<Place> {
        let before = text.get(..at)?;
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let line = text[begin..].lines().next().unwrap_or_default();
        let written = (0..64).find_map(|n| {
            let place = Place { line: place.line + n, ..place };
            let skip = if n == 0 { place.column as usize - 1 } else { 0 };
            let row = self.files.line(place);
            let from = row.char_indices().nth(skip).map_or(row.len(), |(from, _)| from);
            let found = from + row[from..].find(line)?;
            Some(Place { column: row[..found].chars().count() as u32 + 1, ..place })
        })?;
        let column = written.column + text[begin..at].chars().count() as u32;
        Some(Place { column, ..written })
    }
}

/// Where an option that a filter complains of stands; the message may name a value in it.
fn place_of(options: &Node, option: &str, message: &str) -> Place {
    let Some(node) = options.get(option) else { return options.place };
    message.split('"').skip(1).step_by(2).find_map(|word| node.find(word)).unwrap_or(node.place)
}

/// A message without the texts below a node that must not be shown.
pub(super) fn hidden_below(node: &Node, message: String) -> String {
    let message = match &node.hidden {
        Some(hidden) => de::masked(&message, hidden),
        None => message,
    };
    match &node.kind {
        Kind::List(items) => items.iter().fold(message, |message, item| hidden_below(item, message)),
        Kind::Map(members) => {
            members.iter().fold(message, |message, entry| hidden_below(&entry.value, message))
        }
        _ => message,
    }
}
