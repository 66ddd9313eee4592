//! Filter `csv`: defaults of `logstash-filter-csv` 3.1.

use super::{Native, exists, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;
use serde_json::Map;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "csv",
    note: "Columns of the types date and date_time are read as ISO 8601 and in UTC; other forms stay text.",
    options: &[&[
        honoured("source", "message"),
        honoured("separator", ","),
        honoured("quote_char", "\""),
        honoured("columns", "[]"),
        honoured("autogenerate_column_names", "true"),
        honoured("autodetect_column_names", "false"),
        honoured("skip_header", "false"),
        honoured("skip_empty_columns", "false"),
        honoured("skip_empty_rows", "false"),
        honoured("convert", "{}"),
        honoured("target", ""),
        honoured("tag_on_failure", "[\"_csvparsefailure\"]"),
        no_effect("ecs_compatibility", "disabled", "it names nothing here"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let source = options.text(t, "source").unwrap_or_else(|| "message".to_owned());
    let mut native = Native::new(options);
    native.field(t, "source");
    for name in ["skip_header", "skip_empty_rows"] {
        native.flag(t, name);
    }
    columns(t, options, &mut native);
    let step = t.step(native.named("csv"), options);
    finished(t, options, step, Some(exists(&source)), "_csvparsefailure").into_iter().collect()
}

/// What the codec of this name does: the same, and the line itself goes.
pub(crate) fn decode(t: &mut Translator<'_>, options: &Options) -> Option<Step> {
    let mut native = Native::new(options);
    columns(t, options, &mut native);
    let mut step = t.step(native.named("csv"), options)?;
    step.when = Some(exists("message"));
    step.tag_on_failure = vec!["_csvparsefailure".to_owned()];
    // The line is no field, unless a column has its name.
    if !options.list(t, "columns").unwrap_or_default().iter().any(|column| column == "message") {
        step.on_success.remove_field = vec!["message".to_owned()];
    }
    Some(Step::Filter(Box::new(step)))
}

/// What the filter and the codec have in common.
fn columns(t: &mut Translator<'_>, options: &Options, native: &mut Native<'_>) {
    const TYPES: [&str; 5] = ["integer", "float", "boolean", "date", "date_time"];
    native.text(t, "separator");
    native.character(t, "quote_char", "quote");
    native.fields(t, "columns");
    for name in ["autogenerate_column_names", "autodetect_column_names", "skip_empty_columns"] {
        native.flag(t, name);
    }
    let mut convert = Map::new();
    for (column, to) in options.pairs(t, "convert") {
        let word = to.text().unwrap_or_default();
        if TYPES.contains(&word.as_str()) {
            convert.insert(t.reference(&column, to.place), word.into());
        } else {
            t.wrong(to.place, unknown("type", &word, " of \"convert\"", &TYPES));
        }
    }
    if !convert.is_empty() {
        native.set("convert", convert);
    }
    native.field(t, "target");
}
