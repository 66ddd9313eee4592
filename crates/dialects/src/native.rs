//! Our own format: the plan as YAML.

use crate::tree::{self, Kind, Node, Place};
use crate::{Problem, Source, Translated};
use filters::FilterConfig;
use pipeline::outputs::OutputConfig;
use pipeline::plan::{FilterStep, IfStep, InputPart, OutputPart, Pipeline, Plan, QueuePart, Step};
use pipeline::run::chain::{Chain, condition_of};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const INPUTS: [&str; 4] = ["file", "generate", "journal", "stdin"];
const OUTPUTS: [&str; 4] = ["blackhole", "console", "file", "store"];
const FILTERS: [&str; 8] = ["auto", "convert", "drop", "json", "kv", "remove", "rename", "set"];
const PIPELINE: [&str; 5] = ["inputs", "filters", "workers", "queue", "outputs"];
const TOP: [&str; 5] = ["data_dir", "memory_limit", "api", "store", "pipelines"];

pub(crate) fn read(sources: &[Source]) -> Result<Translated, Vec<Problem>> {
    let mut reader = Reader { problems: Vec::new(), warnings: Vec::new(), plan: Plan::default() };
    for source in sources {
        match tree::read(source) {
            Ok(root) => reader.file(source, &root),
            Err(problem) => reader.problems.push(problem),
        }
    }
    if reader.plan.pipelines.is_empty() && reader.problems.is_empty() {
        let empty = Source { name: "-".into(), text: String::new() };
        let source = sources.first().unwrap_or(&empty);
        reader
            .problems
            .push(source.problem(START, "there is nothing to run: \"inputs\" and \"outputs\" are missing"));
    }
    if reader.problems.is_empty() {
        Ok(Translated { plan: reader.plan, warnings: reader.warnings })
    } else {
        Err(reader.problems)
    }
}

const START: Place = Place { line: 1, column: 1 };

struct Reader {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    plan: Plan,
}

impl Reader {
    fn file(&mut self, source: &Source, root: &Node) {
        if !matches!(root.kind, Kind::Map(_)) {
            self.problems.push(source.problem(root.place, "expected \"inputs\", \"outputs\" and so on"));
            return;
        }
        let is_short = root.members().iter().any(|(name, ..)| PIPELINE.contains(&name.as_str()));
        for (name, place, node) in root.members() {
            match name.as_str() {
                "data_dir" => self.plan.data_dir = self.typed(source, node, "data_dir"),
                "memory_limit" => self.plan.memory_limit = self.typed(source, node, "memory_limit"),
                "api" => self.plan.api = self.typed(source, node, "api"),
                "store" => self.plan.store = self.typed(source, node, "store"),
                "pipelines" => {
                    for (name, place, node) in node.members() {
                        self.pipeline(source, name, *place, node);
                    }
                }
                name if PIPELINE.contains(&name) => {}
                other => {
                    let known: Vec<&str> = TOP.iter().chain(&PIPELINE).copied().collect();
                    self.unknown(source, *place, other, "at the top", &known);
                }
            }
        }
        if let Some(api) = &self.plan.api
            && !is_loopback(&api.listen)
        {
            let place = root.get("api").map_or(START, |node| node.find_key("listen").unwrap_or(node.place));
            let message = format!(
                "{:?} can be reached from other machines, and the API has neither TLS nor users yet: listen on 127.0.0.1",
                api.listen
            );
            self.problems.push(source.problem(place, message));
        }
        if is_short {
            self.pipeline(source, "main", root.place, root);
        }
    }

    fn pipeline(&mut self, source: &Source, name: &str, place: Place, node: &Node) {
        if self.plan.pipelines.contains_key(name) {
            self.problems.push(source.problem(place, format!("there is a pipeline {name:?} already")));
            return;
        }
        let before = self.problems.len();
        let mut pipeline = Pipeline::default();
        for (key, place, part) in node.members() {
            match key.as_str() {
                "inputs" => {
                    for (name, _, node) in part.members() {
                        if let Some(part) = self.input(source, name, node) {
                            pipeline.inputs.insert(name.clone(), part);
                        }
                    }
                }
                "outputs" => {
                    for (name, _, node) in part.members() {
                        if let Some(part) = self.output(source, name, node) {
                            pipeline.outputs.insert(name.clone(), part);
                        }
                    }
                }
                "filters" => pipeline.filters = self.steps(source, part),
                "workers" => pipeline.workers = self.typed(source, part, "workers"),
                "queue" => pipeline.queue = self.queue(source, part),
                other if TOP.contains(&other) => {}
                other => self.unknown(source, *place, other, "of a pipeline", &PIPELINE),
            }
        }
        for (what, is_empty) in
            [("inputs", pipeline.inputs.is_empty()), ("outputs", pipeline.outputs.is_empty())]
        {
            if is_empty && self.problems.len() == before {
                let place = node.get(what).map_or(place, |node| node.place);
                self.problems.push(source.problem(place, format!("the pipeline {name:?} has no {what}")));
            }
        }
        let queue = node.get("queue").map_or(place, |node| node.place);
        if pipeline.outputs.len() > 63 {
            self.problems.push(source.problem(place, "a pipeline has at most 63 outputs"));
        }
        if matches!(pipeline.queue, Some(QueuePart::Word(_))) {
            if pipeline.has_store() {
                self.problems.push(
                    source.problem(queue, "the store is always behind a queue; take out \"queue: none\""),
                );
            } else if pipeline.outputs.len() > 1 {
                let message = "without a queue the slowest output sets the pace of all";
                self.warnings.push(source.problem(queue, message));
            }
        }
        self.plan.pipelines.insert(name.to_owned(), pipeline);
    }

    fn queue(&mut self, source: &Source, node: &Node) -> Option<QueuePart> {
        match &node.kind {
            Kind::Scalar(_) => match serde_json::from_value(node.value()) {
                Ok(word) => Some(QueuePart::Word(word)),
                Err(_) => {
                    self.problems
                        .push(source.problem(node.place, "\"queue\" takes options, or the word none"));
                    None
                }
            },
            _ => self.typed(source, node, "queue").map(QueuePart::With),
        }
    }

    /// The one key that names a component, and its options; the others are common options.
    fn component<'n>(
        &mut self,
        source: &Source,
        node: &'n Node,
        what: &str,
        known: &[&str],
        common: &[&str],
    ) -> Option<(&'n str, &'n Node)> {
        let mut found = None;
        for (name, place, inner) in node.members() {
            if known.contains(&name.as_str()) {
                if found.is_some() {
                    self.problems.push(
                        source.problem(*place, format!("{what} is one thing only; {name:?} is a second")),
                    );
                    return None;
                }
                found = Some((name.as_str(), inner));
            } else if !common.contains(&name.as_str()) {
                let all: Vec<&str> = known.iter().chain(common).copied().collect();
                self.unknown(source, *place, name, &format!("of {what}"), &all);
                return None;
            }
        }
        if found.is_none() {
            self.problems
                .push(source.problem(node.place, format!("{what} needs one of {}", known.join(", "))));
        }
        found
    }

    fn input(&mut self, source: &Source, name: &str, node: &Node) -> Option<InputPart> {
        let (kind, options) =
            self.component(source, node, &format!("input {name:?}"), &INPUTS, &["filters"])?;
        let input = self.tagged(source, kind, options, "input")?;
        if let pipeline::inputs::InputConfig::File(config) = &input
            && config.paths.is_empty()
        {
            self.problems
                .push(source.problem(options.place, "input \"file\" needs at least one path in \"paths\""));
        }
        let filters = node.get("filters").map(|node| self.steps(source, node)).unwrap_or_default();
        Some(InputPart { input, filters })
    }

    fn output(&mut self, source: &Source, name: &str, node: &Node) -> Option<OutputPart> {
        let (kind, options) =
            self.component(source, node, &format!("output {name:?}"), &OUTPUTS, &["when"])?;
        let output: OutputConfig = self.tagged(source, kind, options, "output")?;
        let built = match &output {
            OutputConfig::File(config) => config.build().err(),
            OutputConfig::Console(config) => config.build().err(),
            OutputConfig::Blackhole(_) | OutputConfig::Store(_) => None,
        };
        if let Some(message) = built {
            self.problems.push(source.problem(options.place, format!("output {kind:?}: {message}")));
        }
        Some(OutputPart { output, when: self.condition(source, node.get("when")) })
    }

    fn condition(&mut self, source: &Source, node: Option<&Node>) -> Option<String> {
        let node = node?;
        let Kind::Scalar(Value::String(text)) = &node.kind else {
            self.problems.push(source.problem(node.place, "a condition is a text, such as '.status >= 500'"));
            return None;
        };
        if let Err(error) = condition_of(text, "") {
            self.problems.push(source.problem(node.place, error.message));
        }
        Some(text.clone())
    }

    fn steps(&mut self, source: &Source, node: &Node) -> Vec<Step> {
        let Kind::List(items) = &node.kind else {
            self.problems
                .push(source.problem(node.place, "\"filters\" takes a list: each line begins with -"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.step(source, item)).collect()
    }

    fn step(&mut self, source: &Source, node: &Node) -> Option<Step> {
        if node.get("if").is_some() {
            for (name, place, _) in node.members() {
                if !["if", "then", "else"].contains(&name.as_str()) {
                    self.unknown(source, *place, name, "of if", &["if", "then", "else"]);
                }
            }
            let condition = self.condition(source, node.get("if"))?;
            let mut branch =
                |name: &str| node.get(name).map(|node| self.steps(source, node)).unwrap_or_default();
            return Some(Step::If(IfStep { condition, then: branch("then"), otherwise: branch("else") }));
        }
        // A filter without options may be written as a word.
        if let Kind::Scalar(Value::String(word)) = &node.kind
            && FILTERS.contains(&word.as_str())
        {
            let filter: FilterConfig =
                serde_json::from_value(serde_json::json!({ (word.as_str()): {} })).ok()?;
            return Some(Step::Filter(Box::new(FilterStep {
                filter,
                when: None,
                tag_on_failure: Vec::new(),
            })));
        }
        let (kind, options) =
            self.component(source, node, "a filter", &FILTERS, &["when", "tag_on_failure", "if"])?;
        let filter: FilterConfig = self.tagged(source, kind, options, "filter")?;
        let tag_on_failure =
            node.get("tag_on_failure").and_then(|node| self.typed(source, node, "tag_on_failure"));
        let when = self.condition(source, node.get("when"));
        let step = Step::Filter(Box::new(FilterStep {
            filter,
            when,
            tag_on_failure: tag_on_failure.unwrap_or_default(),
        }));
        if let Err(error) = Chain::build(std::slice::from_ref(&step), "filter") {
            self.problems.push(source.problem(options.place, format!("filter {kind:?}: {}", error.message)));
        }
        Some(step)
    }

    /// A component's options, by the name that the component has in its enum.
    fn tagged<T: DeserializeOwned>(
        &mut self,
        source: &Source,
        kind: &str,
        options: &Node,
        what: &str,
    ) -> Option<T> {
        let mut value = options.value();
        if value.is_null() {
            value = Value::Object(Map::new());
        }
        match serde_json::from_value(Value::Object(Map::from_iter([(kind.to_owned(), value)]))) {
            Ok(config) => Some(config),
            Err(error) => {
                self.options_problem(source, options, &format!("of {what} {kind:?}"), &error);
                None
            }
        }
    }

    fn typed<T: DeserializeOwned>(&mut self, source: &Source, node: &Node, what: &str) -> Option<T> {
        match serde_json::from_value(node.value()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.options_problem(source, node, &format!("of {what:?}"), &error);
                None
            }
        }
    }

    /// Finds the place of what serde did not take.
    fn options_problem(&mut self, source: &Source, node: &Node, of: &str, error: &serde_json::Error) {
        let text = error.to_string();
        let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        if let Some(unknown) = text.starts_with("unknown field").then(|| quoted.first()).flatten() {
            let place = node.find_key(unknown).unwrap_or(node.place);
            self.unknown(source, place, unknown, of, &quoted[1..]);
            return;
        }
        // "invalid type: string "x", expected …": the value tells the place.
        let value = text.split('"').nth(1).or_else(|| quoted.first().copied());
        let place = value.and_then(|value| node.find_scalar(value)).unwrap_or(node.place);
        self.problems.push(source.problem(place, format!("an option {of}: {text}")));
    }

    fn unknown(&mut self, source: &Source, place: Place, name: &str, of: &str, known: &[&str]) {
        let nearest = known.iter().map(|own| (distance(name, own), *own)).min();
        let hint = match nearest {
            Some((distance, own)) if distance <= 2.max(name.len() / 3) => format!("did you mean {own:?}? "),
            _ => String::new(),
        };
        let message = format!("unknown option {name:?} {of}; {hint}(there are {})", known.join(", "));
        self.problems.push(source.problem(place, message));
    }
}

fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// How many letters must change to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// Names that configs use are those of the enums.
#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Translated, Vec<Problem>> {
        read(&[Source { name: "c.yaml".into(), text: text.into() }])
    }

    #[track_caller]
    fn bad(yaml: &str, expected: &[&str]) {
        let problems = text(yaml).unwrap_err();
        let told: Vec<String> = problems
            .iter()
            .map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
        }
    }

    const WHOLE: &str = r#"
data_dir: /var/lib/logpond
memory_limit: 128MiB
api: {listen: "127.0.0.1:9200"}
store: {retention_age: 30d}
inputs:
  web:
    file: {paths: ["/var/log/nginx/*.log"], exclude: ["*.gz"]}
    filters: [auto]
filters:
  - json: {target: body}
    when: exists(.message)
    tag_on_failure: [nojson]
  - if: .status >= 500
    then: [{set: {fields: {level: error}}}]
    else: [{drop: {}, when: '.path == "/health"'}]
queue: {bytes_max: 1GiB}
outputs:
  store: {store: {}}
  bad: {file: {path: "/var/log/bad.log", codec: raw}, when: .status >= 500}
"#;

    #[test]
    fn a_plan_printed_is_the_same_plan() {
        let first = text(WHOLE).unwrap();
        assert!(first.warnings.is_empty());
        let printed = crate::print(&first.plan);
        let again = text(&printed).unwrap_or_else(|problems| panic!("{printed}\n{problems:#?}"));
        assert_eq!(again.plan, first.plan, "{printed}");
        assert!(crate::draw(&first.plan).contains("store"));
        assert!(crate::explain(&first.plan).contains("/var/log/nginx/*.log"));
    }

    #[test]
    fn problems_have_their_place() {
        bad(
            "inputs:\n  a:\n    file:\n      pathes: [x]\noutputs:\n  b: {blackhole: {}}\n",
            &["c.yaml:4:7: unknown option \"pathes\" of input \"file\"; did you mean \"paths\"?"],
        );
        bad(
            "inputs: {a: {fil: {}}}\noutputs: {b: {blackhole: {}}}",
            &["c.yaml:1:14: unknown option \"fil\" of input \"a\"; did you mean \"file\"?"],
        );
        bad(
            "inputs: {a: {stdin: {}}}\noutputs: {b: {blackhole: {}}}\nfilters: [{drop: {}, when: '.a ='}]",
            &["c.yaml:3:28: not a condition"],
        );
        bad(
            "inputs: {a: {generate: {rate: fast}}}\noutputs: {b: {blackhole: {}}}",
            &["c.yaml:1:31: an option of input \"generate\": invalid type"],
        );
        bad("inputs: {a: {stdin: {}}}", &["c.yaml:1:1: the pipeline \"main\" has no outputs"]);
        bad("a: 1\na: 2", &["c.yaml:2:1: \"a\" stands here a second time"]);
        bad("inputs: [", &["c.yaml:"]);
        bad("", &["c.yaml:1:1: there is nothing to run"]);
        bad(
            "queue: none\ninputs: {a: {stdin: {}}}\noutputs: {b: {store: {}}}",
            &["c.yaml:1:8: the store is always behind a queue"],
        );
        bad(
            "api: {listen: '0.0.0.0:9200'}\ninputs: {a: {stdin: {}}}\noutputs: {b: {blackhole: {}}}",
            &["c.yaml:1:7: \"0.0.0.0:9200\" can be reached"],
        );
        bad("x: ${NO_SUCH_VARIABLE_HERE}", &["c.yaml:1:4: the environment has no NO_SUCH_VARIABLE_HERE"]);
    }

    #[test]
    fn the_lists_of_names_are_whole() {
        for name in FILTERS {
            let options =
                if ["remove", "set", "rename", "convert"].contains(&name) { "{fields: {}}" } else { "{}" };
            let options = if name == "remove" { "{fields: []}" } else { options };
            text(&format!("inputs: {{a: {{stdin: {{}}}}}}\noutputs: {{b: {{blackhole: {{}}}}}}\nfilters: [{{{name}: {options}}}]")).unwrap();
        }
        let problem = serde_json::from_str::<FilterConfig>(r#"{"nothing":{}}"#).unwrap_err().to_string();
        assert_eq!(problem.matches('`').count() / 2, FILTERS.len() + 1, "{problem}");
        let problem = serde_json::from_str::<OutputConfig>(r#"{"nothing":{}}"#).unwrap_err().to_string();
        assert_eq!(problem.matches('`').count() / 2, OUTPUTS.len() + 1, "{problem}");
        let problem = serde_json::from_str::<pipeline::inputs::InputConfig>(r#"{"nothing":{}}"#)
            .unwrap_err()
            .to_string();
        assert_eq!(problem.matches('`').count() / 2, INPUTS.len() + 1, "{problem}");
    }

    #[test]
    fn numbers_of_letters() {
        assert_eq!(distance("pathes", "paths"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
