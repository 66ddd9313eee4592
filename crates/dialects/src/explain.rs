//! The plan in words and as a picture.

use pipeline::inputs::InputConfig;
use pipeline::outputs::OutputConfig;
use pipeline::plan::{Durability, Pipeline, Plan, Step};
use std::fmt::Write;

/// What a plan does, to be read by a person.
pub fn explain(plan: &Plan) -> String {
    let mut out = String::new();
    for (name, pipeline) in &plan.pipelines {
        let _ = writeln!(out, "pipeline {name}");
        for (name, part) in &pipeline.inputs {
            let _ = writeln!(out, "  reads      {name}: {}", input(&part.input));
        }
        let count = steps(&pipeline.filters);
        let _ = writeln!(out, "  shapes     with {count} {}", if count == 1 { "filter" } else { "filters" });
        let _ = writeln!(out, "  keeps      {}", queue(pipeline));
        for (name, part) in &pipeline.outputs {
            let when = part.when.as_ref().map(|when| format!(", when {when}")).unwrap_or_default();
            let _ = writeln!(out, "  delivers   {name}: {}{when}", output(&part.output));
        }
    }
    if let Some(api) = &plan.api {
        let _ = writeln!(out, "answers      http://{}", api.listen);
    }
    let _ = writeln!(out, "every event is delivered at least once, or kept in the dead letters");
    out
}

/// A plan as a picture.
pub fn draw(plan: &Plan) -> String {
    let mut out = String::new();
    for (name, pipeline) in &plan.pipelines {
        let inputs: Vec<String> =
            pipeline.inputs.iter().map(|(name, part)| format!("{name}: {}", input(&part.input))).collect();
        let outputs: Vec<String> = pipeline
            .outputs
            .iter()
            .map(|(name, part)| match &part.when {
                Some(when) => format!("{name}: {} ({when})", output(&part.output)),
                None => format!("{name}: {}", output(&part.output)),
            })
            .collect();
        let _ = writeln!(out, "{name}");
        let width = inputs.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let middle = format!(
            " ─▶ {} filters ─▶ {} ─▶ ",
            steps(&pipeline.filters),
            if pipeline.queue_options().is_some() { "queue" } else { "(no queue)" }
        );
        let gap = " ".repeat(middle.chars().count());
        for row in 0..inputs.len().max(outputs.len()) {
            let left = inputs.get(row).map_or("", String::as_str);
            let right = outputs.get(row).map_or("", String::as_str);
            let way = if row == 0 { middle.as_str() } else { gap.as_str() };
            let join = if row == 0 || left.is_empty() { "" } else { " ┘" };
            let way = if join.is_empty() {
                way.to_owned()
            } else {
                format!("{join}{}", way.chars().skip(2).collect::<String>())
            };
            let fork = if row > 0 && !right.is_empty() {
                format!("{}└▶ ", way.chars().take(gap.chars().count() - 3).collect::<String>())
            } else {
                way
            };
            let _ = writeln!(out, "  {left:<width$}{}{right}", fork);
        }
    }
    out
}

fn steps(list: &[Step]) -> usize {
    list.iter()
        .map(|step| match step {
            Step::Filter(_) => 1,
            Step::If(step) => steps(&step.then) + steps(&step.otherwise),
        })
        .sum()
}

fn input(config: &InputConfig) -> String {
    match config {
        InputConfig::File(config) => config.paths.join(", "),
        InputConfig::Generate(config) => format!("made up lines, {:?}", config.format).to_lowercase(),
        InputConfig::Journal(_) => "the systemd journal".to_owned(),
        InputConfig::Stdin(_) => "standard input".to_owned(),
    }
}

fn output(config: &OutputConfig) -> String {
    match config {
        OutputConfig::Blackhole(_) => "nowhere".to_owned(),
        OutputConfig::Console(_) => "standard output".to_owned(),
        OutputConfig::File(config) => config.path.clone(),
        OutputConfig::Store(config) => format!("the store, index {}", config.index),
    }
}

fn queue(pipeline: &Pipeline) -> String {
    match pipeline.queue_options() {
        None => "nothing: the outputs acknowledge to the inputs".to_owned(),
        Some(options) => {
            let safe = match options.durability {
                Durability::Fsync => "safe from power cuts",
                Durability::Os => "safe from kill -9",
                Durability::Memory => "safe from nothing",
            };
            format!("a queue of at most {}, {safe}", options.bytes_max)
        }
    }
}
