//! A pipeline tried on samples: its filters and routes, without inputs that read and outputs that
//! write.

use super::StartError;
use super::chain::Unwatched;
use super::chains::{Chains, Routes};
use super::provide::Provide;
use crate::inputs::InputConfig;
use crate::inputs::decode::{Codec, Decoder};
use crate::inputs::multiline::{Joined, Joiner, MultilineConfig};
use crate::plan::Pipeline;
use event::{Batch, Common, CommonValue, Origin};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::sync::Arc;

/// A pipeline that can be tried. What filters remember they remember from one try to the next.
pub struct Trial {
    chains: Chains,
    routes: Routes,
    inputs: Vec<Entrance>,
    outputs: Vec<String>,
    host: String,
}

/// What an input makes of what it reads.
struct Entrance {
    name: String,
    codec: Codec,
    decoder: Decoder,
    joiner: Option<Joiner>,
}

/// What became of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// The document.
    pub document: Json,
    /// The names of the outputs that it is for.
    pub outputs: Vec<String>,
}

impl Trial {
    /// Builds the filters and the conditions of a pipeline; `host` is the machine that events come
    /// from.
    pub fn new(name: &str, plan: &Pipeline, host: &str) -> Result<Self, StartError> {
        let chains = Chains::build(name, plan, &Provide::default())?;
        let slots: Vec<u32> = (0..).take(plan.outputs.len()).collect();
        let routes = Routes::build(name, plan)?.with(&slots);
        let entrance = |name: &String, input: &InputConfig| {
            let wrong = |source| StartError::Plan(format!("input {name:?}: {source}"));
            let multiline = option::<MultilineConfig>(input, "multiline");
            let codec = option(input, "codec").unwrap_or_default();
            let target = option::<String>(input, "target");
            let joiner = multiline.as_ref().map(MultilineConfig::build).transpose().map_err(wrong)?;
            Ok(Entrance {
                name: name.clone(),
                // What was joined is not to be told apart again.
                codec: if multiline.is_some() && codec == Codec::Lines { Codec::Raw } else { codec },
                decoder: Decoder::new(codec, None, target.as_deref()).map_err(wrong)?,
                joiner: joiner.map(|rule| Joiner::new(Arc::new(rule))),
            })
        };
        let inputs = plan.inputs.iter().map(|(name, part)| entrance(name, &part.input));
        Ok(Self {
            chains,
            routes,
            inputs: inputs.collect::<Result<_, StartError>>()?,
            outputs: plan.outputs.keys().cloned().collect(),
            host: host.to_owned(),
        })
    }

    /// The number of an input.
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    /// The names of the inputs, in order of their numbers.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str())
    }

    /// What becomes of lines, as if this input had read each, at `now` in nanoseconds since 1970.
    /// Lines are joined as the input joins them; the last of them wait for more unless `is_last`.
    pub fn lines(&mut self, input: usize, lines: &[&str], is_last: bool, now: i64) -> Vec<Passed> {
        let mut batch = self.batch(now);
        let Entrance { codec, decoder, joiner, .. } = &mut self.inputs[input];
        let mut position = 0;
        let mut push = |text: &[u8]| {
            position = decoder.push(*codec, text, position, &mut batch, &mut |_| {});
        };
        match joiner {
            None => lines.iter().for_each(|line| push(line.as_bytes())),
            Some(joiner) => {
                let mut joined = Joined::default();
                lines.iter().for_each(|line| joiner.push(line.as_bytes(), false, &mut joined));
                if is_last {
                    joiner.end(&mut joined);
                }
                joined.events.iter().for_each(|(place, _)| push(&joined.bytes[place.clone()]));
            }
        }
        self.pass(input, batch)
    }

    /// What becomes of an event, as if this input had made it. An error says why it is none.
    pub fn event(&mut self, input: usize, event: &Json, now: i64) -> Result<Vec<Passed>, String> {
        let mut batch = self.batch(now);
        batch.push_json(event.to_string().as_bytes(), 0).map_err(|error| error.to_string())?;
        Ok(self.pass(input, batch))
    }

    fn batch(&self, now: i64) -> Batch {
        let mut batch = Batch::new();
        batch.reset(now);
        let host = ("host.name", CommonValue::Str(self.host.clone()));
        batch.begin_run(Common::new(Origin::default(), [host]), 0);
        batch
    }

    fn pass(&mut self, input: usize, mut batch: Batch) -> Vec<Passed> {
        let now = batch.now();
        self.chains.run(input, &mut batch, now, &mut Unwatched);
        self.routes.run(&mut batch, now);
        // Nobody waits here.
        self.chains.take_pause();
        let passed = batch.events().map(|event| {
            let mut text = Vec::new();
            event.write_json(&mut text);
            let of_event =
                self.outputs.iter().enumerate().filter(|(slot, _)| event.outputs() >> slot & 1 == 1);
            Passed {
                // What an event writes is JSON.
                document: serde_json::from_slice(&text).unwrap_or_default(),
                outputs: of_event.map(|(_, name)| name.clone()).collect(),
            }
        });
        passed.collect()
    }
}

/// An option of an input that has one of this name.
fn option<T: DeserializeOwned>(input: &InputConfig, name: &str) -> Option<T> {
    let config = serde_json::to_value(input).ok()?;
    let (_, options) = config.as_object()?.iter().next()?;
    serde_json::from_value(options.get(name)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trial(plan: Json) -> Trial {
        Trial::new("main", &serde_json::from_value(plan).unwrap(), "h").unwrap()
    }

    #[track_caller]
    fn check(passed: Vec<Passed>, expected: &[(Json, &[&str])]) {
        let found: Vec<_> = passed
            .into_iter()
            .map(|Passed { mut document, outputs }| {
                document.as_object_mut().unwrap().shift_remove("@timestamp");
                (document, outputs)
            })
            .collect();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected: Vec<_> =
            expected.iter().map(|(document, names)| (document.clone(), owned(names))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn samples_go_the_way_of_events() {
        let mut trial = trial(json!({
            "inputs": {
                "a": {"stdin": {}, "filters": [{"set": {"fields": {"own": 1}}}]},
                "b": {"udp": {"listen": ["127.0.0.1:1"], "codec": "json"}},
                "c": {"stdin": {"multiline": {"pattern": "^ ", "match": "after"}}},
                "d": {"exec": {"command": "a", "interval": "1s", "codec": "lines", "multiline": {"pattern": "^ ", "match": "after"}}},
                "e": {"udp": {"listen": ["127.0.0.1:1"], "codec": "json", "target": "x"}}
            },
            "filters": [{"if": ".message == \"no\"", "then": [{"drop": {}}]}],
            "outputs": {"all": {"blackhole": {}}, "some": {"blackhole": {}, "when": ".n == 1"}}
        }));
        assert_eq!(trial.inputs().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
        assert_eq!((trial.input("b"), trial.input("f")), (Some(1), None));
        let host = json!({"name": "h"});
        check(
            trial.lines(0, &["x", "no"], true, 0),
            &[(json!({"message": "x", "host": host, "own": 1}), &["all"])],
        );
        check(
            trial.lines(1, &[r#"[{"n":1},{"n":2}]"#], true, 0),
            &[(json!({"n": 1, "host": host}), &["all", "some"]), (json!({"n": 2, "host": host}), &["all"])],
        );
        check(trial.lines(2, &["1", " 2"], false, 0), &[]);
        check(
            trial.lines(2, &[" 3", "4"], true, 0),
            &[
                (json!({"message": "1\n 2\n 3", "host": host}), &["all"]),
                (json!({"message": "4", "host": host}), &["all"]),
            ],
        );
        check(trial.lines(4, &[r#"{"n":1}"#], true, 0), &[(json!({"x": {"n": 1}, "host": host}), &["all"])]);
        check(
            trial.lines(3, &["1", " 2"], true, 0),
            &[(json!({"message": "1\n 2", "host": host}), &["all"])],
        );
        check(
            trial.event(2, &json!({"n": 1, "host": {"name": "other"}}), 0).unwrap(),
            &[(json!({"n": 1, "host": {"name": "other"}}), &["all", "some"])],
        );
        assert!(trial.event(0, &json!([1]), 0).is_err());
    }

    #[test]
    fn what_cannot_be_built() {
        let plan = json!({
            "inputs": {"a": {"stdin": {"multiline": {"pattern": "(", "match": "after"}}}},
            "outputs": {"o": {"blackhole": {}}}
        });
        let error = Trial::new("main", &serde_json::from_value(plan).unwrap(), "h").err().unwrap();
        assert!(error.to_string().contains("multiline.pattern"), "{error}");
    }
}
