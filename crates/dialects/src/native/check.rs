//! What is wrong with a plan although each option is right.

use super::part::hidden_below;
use super::{Reader, START, join};
use crate::problem::nearest;
use crate::tree::{Node, Place};
use globset::GlobBuilder;
use pipeline::inputs::{ConfigError, InputConfig, file};
use pipeline::net::kafka::properties::{self, Finding};
use pipeline::outputs::OutputConfig;
use pipeline::plan::{Durability, QueuePart};
use pipeline::run::bus;

/// An event says with one bit each which outputs it is for; the last is the pipeline's own.
const OUTPUTS_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 100;

impl Reader<'_> {
    /// Names are part of paths in the data directory and of cursors.
    pub(super) fn check_name(&mut self, what: &str, name: &str, place: Place, path: &str) {
        let is_good = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
        if !is_good {
            let message = format!(
                "{name:?} cannot name {what}: letters, digits, \"_\", \"-\" and \".\" can, {NAME_BYTES_MAX} bytes at most, the first no \".\""
            );
            self.wrong(place, path, message);
        }
    }

    pub(super) fn check_api(&mut self, node: &Node) {
        let Some(api) = &self.plan.api else { return };
        if is_loopback(&api.listen) || (api.tls.is_some() && !api.users.is_empty()) {
            return;
        }
        let place = node.get("listen").map_or(node.place, |listen| listen.place);
        let missing = match (api.tls.is_some(), api.users.is_empty()) {
            (false, true) => "\"tls\" and \"users\" are",
            (false, false) => "\"tls\" is",
            (true, _) => "\"users\" is",
        };
        let message = format!(
            "{:?} can be reached from other machines, but {missing} missing: give them, or listen on 127.0.0.1",
            api.listen
        );
        self.wrong(place, "api.listen", hidden_below(node, message));
    }

    pub(super) fn check_input(&mut self, input: &InputConfig, options: &Node, path: &str) {
        match input {
            InputConfig::Beats(config) => self.check_built("beats", config.check(), options, path),
            InputConfig::Exec(config) => self.check_built("exec", config.check(), options, path),
            InputConfig::File(config) => self.check_file_input(config, options, path),
            InputConfig::Heartbeat(config) => self.check_built("heartbeat", config.check(), options, path),
            InputConfig::Http(config) => self.check_built("http", config.check(), options, path),
            InputConfig::Kafka(config) => {
                if self.check_properties(config.findings(), options, path) {
                    self.check_built("kafka", config.check(), options, path);
                }
            }
            InputConfig::KafkaLag(config) => self.check_built("kafka_lag", config.check(), options, path),
            InputConfig::Pipeline(config) => self.check_built("pipeline", config.check(), options, path),
            InputConfig::Redis(config) => self.check_built("redis", config.check(), options, path),
            InputConfig::Tcp(config) => self.check_built("tcp", config.check(), options, path),
            InputConfig::Syslog(config) => self.check_built("syslog", config.check(), options, path),
            InputConfig::Udp(config) => self.check_built("udp", config.check(), options, path),
            InputConfig::Generate(_) | InputConfig::Journal(_) | InputConfig::Stdin(_) => {}
        }
    }

    fn check_built(&mut self, kind: &str, built: Result<(), ConfigError>, options: &Node, path: &str) {
        let Err(error) = built else { return };
        let place = options.get(error.option).unwrap_or(options).place;
        let message = hidden_below(options, format!("input {kind:?}: {error}"));
        self.wrong(place, &join(path, error.option), message);
    }

    /// Properties of other Kafka clients; false when nothing can run with them.
    fn check_properties(&mut self, findings: Vec<Finding>, options: &Node, path: &str) -> bool {
        let mut is_good = true;
        for Finding { property, is_wrong, message } in findings {
            let node = options.get("properties").unwrap_or(options);
            let node = node.get(&property).unwrap_or(node);
            let hint = match nearest(&property, &properties::names()) {
                Some(known) if is_wrong && known != property => format!("; did you mean {known:?}?"),
                _ => String::new(),
            };
            let message = hidden_below(options, format!("property {property:?}: {message}{hint}"));
            let path = join(path, &format!("properties.{property}"));
            if is_wrong {
                self.wrong(node.place, &path, message);
            } else {
                self.warn(node.place, &path, message);
            }
            is_good &= !is_wrong;
        }
        is_good
    }

    fn check_file_input(&mut self, config: &file::Config, options: &Node, path: &str) {
        if config.paths.is_empty() {
            let place = options.get("paths").unwrap_or(options).place;
            self.wrong(place, &join(path, "paths"), "input \"file\" needs at least one path in \"paths\"");
        }
        for (option, patterns) in [("paths", &config.paths), ("exclude", &config.exclude)] {
            for pattern in patterns {
                let built = GlobBuilder::new(pattern).literal_separator(true).build();
                let Err(error) = built else { continue };
                let place = options.find(pattern).unwrap_or(options.place);
                let message =
                    format!("option {option:?} of input \"file\": not a pattern of files: {}", error.kind());
                self.wrong(place, &join(path, option), message);
            }
        }
        let Some(multiline) = &config.multiline else { return };
        if let Err(error) = regex::bytes::Regex::new(&multiline.pattern) {
            let node = options.get("multiline").unwrap_or(options);
            let node = node.get("pattern").unwrap_or(node);
            // The last line of the error says what is wrong, those before it draw it.
            let reason = error.to_string().lines().last().unwrap_or_default().to_owned();
            let reason = reason.strip_prefix("error: ").unwrap_or(&reason).to_owned();
            let message =
                format!("option \"multiline.pattern\" of input \"file\": not a regular expression: {reason}");
            self.wrong(node.place, &join(path, "multiline.pattern"), hidden_below(node, message));
        }
    }

    pub(super) fn check_output(&mut self, output: &OutputConfig, kind: &str, options: &Node, path: &str) {
        if let OutputConfig::Kafka(config) = output
            && !self.check_properties(config.findings(), options, path)
        {
            return;
        }
        if let Err(message) = output.check() {
            let option = message.split('"').nth(1).unwrap_or_default();
            let place = options.get(option).unwrap_or(options).place;
            let message = hidden_below(options, format!("output {kind:?}: {message}"));
            self.wrong(place, path, message);
        }
    }

    /// What is to be said of the whole.
    pub(super) fn check(&mut self) {
        if self.plan.pipelines.is_empty() && self.problems.is_empty() {
            self.wrong(START, "", "there is nothing to run: \"inputs\" and \"outputs\" are missing");
        }
        if let Err(misled) = bus::order(&self.plan) {
            let part = misled.part.map_or(String::new(), |(what, name)| format!(".{what}.{name}"));
            let path = format!("pipelines.{}{part}", misled.pipeline);
            let place = self.places.get(&path).copied().unwrap_or(START);
            self.wrong(place, &path, misled.message);
        }
        let mut stdin: Option<Place> = None;
        for (name, pipeline) in self.plan.pipelines.clone() {
            let path = format!("pipelines.{name}");
            let place = self.places.get(&path).copied().unwrap_or(START);
            for what in ["inputs", "outputs"] {
                let part = format!("{path}.{what}");
                // A part that could not be read is there, too.
                let below = format!("{part}.");
                if !self.places.keys().any(|path| path.starts_with(&below)) {
                    let place = self.places.get(&part).copied().unwrap_or(place);
                    let message = format!("the pipeline {name:?} has no {what}");
                    self.wrong(place, &part, message);
                }
            }
            for (input, part) in &pipeline.inputs {
                if !matches!(part.input, InputConfig::Stdin(_)) {
                    continue;
                }
                let path = format!("{path}.inputs.{input}");
                let place = self.places.get(&path).copied().unwrap_or(place);
                if let Some(first) = stdin {
                    let message = format!(
                        "standard input can be read by one input only; the other is at {}",
                        self.files.at(first)
                    );
                    self.wrong(place, &path, message);
                }
                stdin = Some(place);
            }
            self.check_queue(&path, &pipeline, place);
        }
    }

    fn check_queue(&mut self, path: &str, pipeline: &pipeline::plan::Pipeline, place: Place) {
        let place_of = |reader: &Self, path: &str| reader.places.get(path).copied().unwrap_or(place);
        if pipeline.outputs.len() > OUTPUTS_MAX {
            let path = format!("{path}.outputs");
            let message = format!(
                "a pipeline has at most {OUTPUTS_MAX} outputs, this one has {}",
                pipeline.outputs.len()
            );
            self.wrong(place_of(self, &path), &path, message);
        }
        let path = format!("{path}.queue");
        let place = place_of(self, &path);
        match &pipeline.queue {
            Some(QueuePart::Word(_)) if pipeline.has_store() => {
                self.wrong(place, &path, "the store is always behind a queue; take out \"queue: none\"");
            }
            Some(QueuePart::Word(_)) if pipeline.outputs.len() > 1 => {
                self.warn(place, &path, "without a queue the slowest output sets the pace of all");
            }
            Some(QueuePart::With(options)) if options.durability == Durability::Memory => {
                self.warn(
                    place,
                    &path,
                    "with durability: memory what is in the queue does not survive a crash",
                );
            }
            _ => {}
        }
    }
}

pub(super) fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
