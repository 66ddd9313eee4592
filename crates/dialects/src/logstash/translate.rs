//! From what a config says to a pipeline of the plan.

use super::known::Known;
use super::options::Options;
use super::parse::unknown;
use super::plugins;
use super::tree::{Branch, Config, Item, Plugin, Section, SectionKind, Value, ValueKind};
use super::vault::Vault;
use crate::Problem;
use crate::de::masked;
use crate::problem::Files;
use crate::tree::Place;
use expr::logstash::{Expression, Quoting};
use pipeline::inputs::InputConfig;
use pipeline::outputs::OutputConfig;
use pipeline::plan::{DeadLetterOptions, FilterStep, IfStep, InputPart, OutputPart, Pipeline, Step};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Which names plugins give to fields: `pipeline.ecs_compatibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ecs {
    /// Those from before the Elastic Common Schema.
    Disabled,
    /// Those of the schema, in its version 1 or 8, which do not differ here.
    Schema,
}

/// What one pipeline is made of.
pub(crate) struct Translator<'s> {
    pub(crate) files: &'s Files<'s>,
    pub(crate) vault: &'s Vault<'s>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) pipeline: Pipeline,
    /// None: not said.
    pub(crate) ecs: Option<Ecs>,
    /// What the settings say of the dead letters, which all pipelines share.
    pub(crate) dead_letters: Option<DeadLetterOptions>,
    ecs_told: bool,
    counts: BTreeMap<String, usize>,
    hidden: Vec<String>,
}

/// Too many complaints help nobody.
const PROBLEMS_MAX: usize = 100;
/// An event says with one bit each which outputs it is for; the last is the pipeline's own.
const OUTPUTS_MAX: usize = 63;

impl<'s> Translator<'s> {
    pub(crate) fn new(files: &'s Files<'s>, vault: &'s Vault<'s>) -> Self {
        Self {
            files,
            vault,
            problems: Vec::new(),
            warnings: Vec::new(),
            pipeline: Pipeline::default(),
            ecs: None,
            dead_letters: None,
            ecs_told: false,
            counts: BTreeMap::new(),
            hidden: Vec::new(),
        }
    }

    pub(crate) fn wrong(&mut self, place: Place, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            let message = self.without_secrets(message.into());
            self.problems.push(self.files.problem(place, "", message));
        }
    }

    pub(crate) fn warn(&mut self, place: Place, message: impl Into<String>) {
        let message = self.without_secrets(message.into());
        self.warnings.push(self.files.problem(place, "", message));
    }

    fn without_secrets(&self, message: String) -> String {
        self.hidden.iter().fold(message, |message, hidden| masked(&message, hidden))
    }

    /// Adds what a file says to the pipeline.
    pub(crate) fn add(&mut self, config: &mut Config) {
        for section in &mut config.sections {
            self.expand_items(&mut section.items);
        }
        for section in &config.sections {
            self.section(section);
        }
    }

    fn section(&mut self, section: &Section) {
        match section.kind {
            SectionKind::Input => {
                for item in &section.items {
                    match item {
                        Item::Plugin(plugin) => self.input(plugin),
                        Item::Branch(branch) => {
                            let place = branch.arms.first().map_or(section.place, |arm| arm.place);
                            self.wrong(place, "an \"if\" around inputs means nothing: there is no event yet");
                        }
                    }
                }
            }
            SectionKind::Filter => {
                let steps = self.steps(&section.items);
                self.pipeline.filters.extend(steps);
            }
            SectionKind::Output => self.outputs(&section.items, None),
        }
    }

    fn steps(&mut self, items: &[Item]) -> Vec<Step> {
        let mut steps = Vec::new();
        for item in items {
            match item {
                Item::Plugin(plugin) => steps.extend(self.filter(plugin)),
                Item::Branch(branch) => steps.extend(self.branch(branch)),
            }
        }
        steps
    }

    fn branch(&mut self, branch: &Branch) -> Vec<Step> {
        let mut otherwise = branch.otherwise.as_deref().map(|items| self.steps(items)).unwrap_or_default();
        for arm in branch.arms.iter().rev() {
            let then = self.steps(&arm.items);
            let condition = self.condition(&arm.condition, arm.place);
            otherwise = vec![Step::If(IfStep { condition, then, otherwise })];
        }
        // An if around nothing, and whose condition cannot fail, is nothing.
        otherwise
    }

    /// A condition in the words of the plan.
    fn condition(&mut self, condition: &Expression, place: Place) -> String {
        let text = format!("logstash({condition})");
        if let Err(error) = expr::Condition::parse(&text) {
            self.wrong(place, error.reason);
        }
        text
    }

    fn outputs(&mut self, items: &[Item], when: Option<&Expression>) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.output(plugin, when),
                Item::Branch(branch) => {
                    let mut before = when.cloned();
                    for arm in &branch.arms {
                        self.condition(&arm.condition, arm.place);
                        self.outputs(&arm.items, Some(&both(before.clone(), arm.condition.clone())));
                        before = Some(both(before, arm.condition.clone().negated()));
                    }
                    if let Some(items) = &branch.otherwise {
                        self.outputs(items, before.as_ref());
                    }
                }
            }
        }
    }

    fn input(&mut self, plugin: &Plugin) {
        let before = self.problems.len();
        let Some(options) = self.options(SectionKind::Input, plugin) else { return };
        let Some((config, mut filters)) = plugins::inputs::translate(self, &plugin.name, &options) else {
            return;
        };
        filters.extend(plugins::inputs::common(self, &options));
        let name = self.part_name(&options, &plugin.name);
        let Some(input) = self.read_native::<InputConfig>(&plugin.name, config, &options) else { return };
        if self.problems.len() == before
            && let Err(error) = input.check()
        {
            self.wrong(options.place, format!("{}: {error}", options.what));
        }
        self.pipeline.inputs.insert(name, InputPart { input, filters });
    }

    fn filter(&mut self, plugin: &Plugin) -> Vec<Step> {
        let Some(options) = self.options(SectionKind::Filter, plugin) else { return Vec::new() };
        let mut steps = plugins::filters::translate(self, &plugin.name, &options);
        if let Some(id) = options.value("id").and_then(Value::text) {
            name_steps(&mut steps, &id);
        }
        steps
    }

    fn output(&mut self, plugin: &Plugin, when: Option<&Expression>) {
        let before = self.problems.len();
        let Some(options) = self.options(SectionKind::Output, plugin) else { return };
        let Some(config) = plugins::outputs::translate(self, &plugin.name, &options) else { return };
        let name = self.part_name(&options, &plugin.name);
        let Some(output) = self.read_native::<OutputConfig>(&plugin.name, config, &options) else { return };
        if self.problems.len() == before
            && let Err(message) = output.check()
        {
            self.wrong(options.place, format!("{}: {message}", options.what));
        }
        let when = when.map(|when| format!("logstash({when})"));
        self.pipeline.outputs.insert(name, OutputPart { output, when });
    }

    /// The options of a plugin that can be translated; a complaint about any other.
    fn options(&mut self, kind: SectionKind, plugin: &Plugin) -> Option<Options> {
        let word = kind.word();
        let Some(table) = plugins::find(kind, &plugin.name) else {
            let message = match plugins::elsewhere(kind, &plugin.name) {
                Some(way) => format!("the {word} {:?} is not supported yet: {way}", plugin.name),
                None => {
                    let names = plugins::names(kind);
                    let mut message = unknown(word, &plugin.name, "", &names);
                    if !message.contains("did you mean") {
                        message += "; Logstash does not bring it along either";
                    }
                    message
                }
            };
            self.wrong(plugin.place, message);
            return None;
        };
        let known: Vec<&'static Known> = table.all().chain(plugins::common(kind)).collect();
        Some(Options::new(self, plugin, format!("{word} {:?}", plugin.name), &known))
    }

    /// The name of a part: its `id`, or the plugin's name, and a number when that is taken.
    fn part_name(&mut self, options: &Options, plugin: &str) -> String {
        let id = options.value("id").and_then(Value::text).unwrap_or_else(|| plugin.to_owned());
        let is_good = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let name: String = id.chars().map(|c| if is_good(c) { c } else { '_' }).take(90).collect();
        let name = name.trim_start_matches('.').to_owned();
        let name = if name.is_empty() { plugin.to_owned() } else { name };
        let key = format!("{} {name}", options.what.split(' ').next().unwrap_or_default());
        let count = self.counts.entry(key).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}-{count}") }
    }

    /// A component of the plan from its options as JSON; the options are ours, so only values of
    /// the user can be wrong.
    fn read_native<T: serde::de::DeserializeOwned>(
        &mut self,
        plugin: &str,
        config: Json,
        options: &Options,
    ) -> Option<T> {
        match serde_json::from_value(config) {
            Ok(config) => Some(config),
            Err(error) => {
                self.wrong(options.place, format!("{plugin}: {error}"));
                None
            }
        }
    }

    /// A step of the plan; a complaint where the filter cannot be built.
    pub(crate) fn step(&mut self, filter: Json, options: &Options) -> Option<FilterStep> {
        let filter: filters::FilterConfig = self.read_native("filter", filter, options)?;
        if let Err(error) = filter.build_with(&pipeline::run::Provide::default()) {
            // Most options of ours have the names that they have there.
            let place = options.place(error.option);
            self.wrong(place, format!("{}: {}", options.what, error.message));
            return None;
        }
        Some(FilterStep::from(filter))
    }

    /// What is wrong with a pipeline although each part of it is right.
    pub(crate) fn check_whole(&mut self, place: Place, id: &str) {
        if !id.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) || id.starts_with('.') {
            self.wrong(
                place,
                format!("{id:?} cannot name a pipeline: letters, digits, \"_\", \"-\" and \".\" can"),
            );
        }
        let (inputs, outputs) = (self.pipeline.inputs.len(), self.pipeline.outputs.len());
        if inputs == 0 {
            self.wrong(place, format!("the pipeline {id:?} has no inputs"));
        }
        if outputs == 0 {
            self.wrong(place, format!("the pipeline {id:?} has no outputs"));
        }
        if outputs > OUTPUTS_MAX {
            self.wrong(
                place,
                format!("a pipeline has at most {OUTPUTS_MAX} outputs, this one has {outputs}"),
            );
        }
        let stdins = self.pipeline.inputs.values().filter(|part| matches!(part.input, InputConfig::Stdin(_)));
        if stdins.count() > 1 {
            self.wrong(place, "standard input can be read by one input only");
        }
    }

    /// Which names a plugin gives to fields.
    pub(crate) fn ecs_of(&mut self, options: &Options) -> Ecs {
        if let Some(word) = options.text(self, "ecs_compatibility") {
            match word.as_str() {
                "disabled" => return Ecs::Disabled,
                "v1" | "v8" => return Ecs::Schema,
                other => {
                    let message =
                        unknown("value", other, " of \"ecs_compatibility\"", &["disabled", "v1", "v8"]);
                    self.wrong(options.place("ecs_compatibility"), message);
                }
            }
        }
        match self.ecs {
            Some(ecs) => ecs,
            None => {
                if !std::mem::replace(&mut self.ecs_told, true) {
                    self.warn(
                        options.place,
                        "\"pipeline.ecs_compatibility\" is not set: fields have the names from before ECS, as in Logstash 7; Logstash 8 and 9 would take v8 (set it, or ecs_compatibility => disabled here, to say which is meant)",
                    );
                }
                Ecs::Disabled
            }
        }
    }

    /// Fills in variables.
    fn expand_items(&mut self, items: &mut [Item]) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.expand_plugin(plugin),
                Item::Branch(branch) => {
                    for arm in &mut branch.arms {
                        let place = arm.place;
                        let _ = arm.condition.map_texts(&mut |text| {
                            if let Some(new) = self.expanded(text, place) {
                                *text = new;
                            }
                            Ok::<(), ()>(())
                        });
                        self.expand_items(&mut arm.items);
                    }
                    self.expand_items(branch.otherwise.as_deref_mut().unwrap_or_default());
                }
            }
        }
    }

    fn expand_plugin(&mut self, plugin: &mut Plugin) {
        for attribute in &mut plugin.attributes {
            self.expand_value(&mut attribute.value);
        }
    }

    fn expand_value(&mut self, value: &mut Value) {
        match &mut value.kind {
            ValueKind::Text(text) | ValueKind::Word(text) => {
                if let Some(new) = self.expanded(text, value.place) {
                    value.hidden = Some(new.clone());
                    value.kind = ValueKind::Text(new);
                }
            }
            ValueKind::List(items) => items.iter_mut().for_each(|item| self.expand_value(item)),
            ValueKind::Hash(entries) => entries.iter_mut().for_each(|(_, value)| self.expand_value(value)),
            ValueKind::Plugin(plugin) => self.expand_plugin(plugin),
            ValueKind::Int(_) | ValueKind::Float(_) => {}
        }
    }

    /// A text with its variables filled in, if there are any.
    fn expanded(&mut self, text: &str, place: Place) -> Option<String> {
        match super::variables::expand(text, self.vault) {
            Ok(None) => None,
            Ok(Some(new)) => {
                self.hidden.extend(new.foreign);
                Some(new.text)
            }
            Err(message) => {
                self.wrong(place, message);
                None
            }
        }
    }
}

/// All that one plugin became has its id.
fn name_steps(steps: &mut [Step], id: &str) {
    for step in steps {
        match step {
            Step::Filter(step) => step.id = Some(id.to_owned()),
            Step::If(step) => {
                name_steps(&mut step.then, id);
                name_steps(&mut step.otherwise, id);
            }
        }
    }
}

fn both(one: Option<Expression>, other: Expression) -> Expression {
    match one {
        Some(one) => one.and(other),
        None => other,
    }
}

/// A text in our own notation of templates, in which nothing of it stands for something else.
pub(crate) fn literal(text: &str) -> String {
    text.replace('%', "%%").replace("{{", "%{'{{'}")
}

/// A step of a filter whose options are known to be right.
pub(crate) fn native_step(filter: Json) -> FilterStep {
    match serde_json::from_value::<filters::FilterConfig>(filter) {
        Ok(filter) => FilterStep::from(filter),
        Err(_) => FilterStep::from(filters::FilterConfig::Mutate(Box::default())),
    }
}

/// `@version` is "1" unless somebody said otherwise.
pub(crate) fn version_step() -> Step {
    let step = native_step(json!({"set": {"fields": {"@version": "1"}}}));
    Step::Filter(Box::new(FilterStep { when: Some("!exists(.@version)".to_owned()), ..step }))
}

/// How texts are quoted.
pub(crate) fn quoting(support_escapes: bool) -> Quoting {
    if support_escapes { Quoting::Escapes } else { Quoting::Plain }
}
