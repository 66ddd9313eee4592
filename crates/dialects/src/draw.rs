//! The plan as a picture for a terminal.
//!
//! ```text
//! ┌ web ─────────────┐    ┌ filters ┐    ┌ queue ────┐    ┌ store ─────────────┐
//! │ /var/log/web.log │─┬─▶│ auto    │───▶│ disk 4GiB │─┬─▶│ the store          │
//! └──────────────────┘ │  └─────────┘    └───────────┘ │  └────────────────────┘
//! ```

use crate::explain::{filter_name, input_words, output_words};
use pipeline::plan::{Durability, Pipeline, Plan, Step};

/// A plan as a picture, pipeline by pipeline.
pub fn draw(plan: &Plan) -> String {
    let mut out = String::new();
    for (name, pipeline) in &plan.pipelines {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(name);
        out.push('\n');
        for line in draw_pipeline(pipeline) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// Rows of a box with one line of text.
const BOX_ROWS: usize = 3;
/// Longer texts are cut: a picture must fit a terminal.
const TEXT_CHARS_MAX: usize = 36;
const STEPS_MAX: usize = 12;

/// A column of boxes below each other.
struct Column {
    rows: Vec<String>,
    /// The rows in which a box has its line to the neighbours.
    doors: Vec<usize>,
    width: usize,
}

fn draw_pipeline(pipeline: &Pipeline) -> Vec<String> {
    let inputs = pipeline.inputs.iter().map(|(name, part)| {
        let mut lines = vec![input_words(&part.input)];
        list_steps(&part.filters, "▸ ", &mut lines);
        (name.clone(), lines)
    });
    let outputs = pipeline.outputs.iter().map(|(name, part)| {
        let when = part.when.iter().map(|when| format!("when {when}"));
        (name.clone(), std::iter::once(output_words(&part.output)).chain(when).collect())
    });
    let mut columns = vec![Column::of(inputs)];
    if !pipeline.filters.is_empty() {
        let mut lines = Vec::new();
        list_steps(&pipeline.filters, "", &mut lines);
        columns.push(Column::of([("filters".to_owned(), lines)]));
    }
    if let Some(options) = pipeline.queue_options() {
        let place = match options.durability {
            Durability::Fsync => "disk",
            Durability::Os => "disk, not synced",
            Durability::Memory => "not kept",
        };
        columns.push(Column::of([("queue".to_owned(), vec![format!("{place}, {}", options.bytes_max)])]));
    }
    columns.push(Column::of(outputs));
    join(&columns)
}

fn list_steps(steps: &[Step], indent: &str, lines: &mut Vec<String>) {
    for step in steps {
        if lines.len() >= STEPS_MAX {
            if lines.last().is_none_or(|last| last != "…") {
                lines.push("…".to_owned());
            }
            return;
        }
        match step {
            Step::Filter(step) => {
                let when = step.when.as_ref().map_or_else(String::new, |when| format!(" when {when}"));
                lines.push(format!("{indent}{}{when}", filter_name(step)));
            }
            Step::If(step) => {
                lines.push(format!("{indent}if {}", step.condition));
                list_steps(&step.then, &format!("{indent}  "), lines);
                if !step.otherwise.is_empty() {
                    lines.push(format!("{indent}else"));
                    list_steps(&step.otherwise, &format!("{indent}  "), lines);
                }
            }
        }
    }
}

fn cut(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text;
    }
    text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
}

impl Column {
    fn of(boxes: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let boxes: Vec<(String, Vec<String>)> = boxes
            .into_iter()
            .map(|(name, lines)| (cut(&name), lines.iter().map(|line| cut(line)).collect()))
            .collect();
        let inner = boxes
            .iter()
            .flat_map(|(name, lines)| {
                lines.iter().map(|line| line.chars().count()).chain([name.chars().count()])
            })
            .max()
            .unwrap_or(0);
        let (mut rows, mut doors) = (Vec::new(), Vec::new());
        for (name, lines) in &boxes {
            doors.push(rows.len() + 1);
            rows.push(format!("┌ {name} {}┐", "─".repeat(inner - name.chars().count())));
            rows.extend(lines.iter().map(|line| format!("│ {line:<inner$} │")));
            if lines.is_empty() {
                rows.push(format!("│ {:<inner$} │", ""));
            }
            rows.push(format!("└{}┘", "─".repeat(inner + 2)));
        }
        Self { rows, doors, width: inner + 4 }
    }
}

/// The columns beside each other, with the lines between them. One column of each pair of
/// neighbours has one box alone, or the pipeline has only inputs and outputs: then every
/// input reaches every output over the same line.
fn join(columns: &[Column]) -> Vec<String> {
    let height = columns.iter().map(|column| column.rows.len()).max().unwrap_or(0).max(BOX_ROWS);
    let mut out = vec![String::new(); height];
    for (n, column) in columns.iter().enumerate() {
        for (row, line) in out.iter_mut().enumerate() {
            match column.rows.get(row) {
                Some(text) => line.push_str(text),
                None => line.push_str(&" ".repeat(column.width)),
            }
            if let Some(next) = columns.get(n + 1) {
                line.push_str(&wire(row, &column.doors, &next.doors));
            }
        }
    }
    out
}

/// The piece of wire in a row between boxes with doors on its left and on its right.
fn wire(row: usize, left: &[usize], right: &[usize]) -> String {
    let last = left.iter().chain(right).max().copied().unwrap_or(0);
    let first = left.iter().chain(right).min().copied().unwrap_or(0);
    let (from_left, to_right) = (left.contains(&row), right.contains(&row));
    let (up, down) = (row > first && row <= last, row >= first && row < last);
    let middle = match (from_left, to_right, up, down) {
        (true, true, false, false) => '─',
        (true, true, false, true) => '┬',
        (true, true, true, false) => '┴',
        (true, true, true, true) => '┼',
        (true, false, true, true) => '┤',
        (true, false, _, false) => '┘',
        (true, false, false, true) => '┐',
        (false, true, true, true) => '├',
        (false, true, _, false) => '└',
        (false, true, false, true) => '┌',
        (false, false, true, true) => '│',
        _ => ' ',
    };
    format!("{}{middle}{}", if from_left { '─' } else { ' ' }, if to_right { "─▶" } else { "  " })
}
