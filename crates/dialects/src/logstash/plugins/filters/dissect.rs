//! Filter `dissect`: defaults of `logstash-filter-dissect` 1.2.

use super::finished;
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;
use serde_json::{Map, json};

pub(super) const TABLE: PluginTable = PluginTable {
    name: "dissect",
    note: "A pattern that does not match changes nothing; of several, the others do, and each that does is a success.",
    options: &[&[
        honoured("mapping", "{}"),
        honoured("convert_datatype", "{}"),
        honoured("tag_on_failure", "[\"_dissectfailure\"]"),
    ]],
};

/// Each mapping is a step of its own, and so are the conversions behind them: as there, every mapping
/// that fits is a success with all that follows on one, whatever becomes of the others, each that does
/// not fit adds its tags at once, and the conversions come last and are neither.
pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut filters = Vec::new();
    for (field, pattern) in options.pairs(t, "mapping") {
        match pattern.text() {
            // An empty pattern is none.
            Some(text) if text.is_empty() => {}
            Some(text) => {
                let mapping = json!({"field": t.reference(&field, pattern.place), "pattern": text});
                filters.push(json!({"dissect": {"mapping": [mapping]}}));
            }
            None => t.wrong(pattern.place, format!("\"mapping\" takes texts, found {}", pattern.what())),
        }
    }
    let mut steps: Vec<Step> = Vec::new();
    for filter in filters {
        let step = t.step(filter, options);
        steps.extend(finished(t, options, step, None, "_dissectfailure"));
    }
    let mut conversions = Map::new();
    for (field, to) in options.pairs(t, "convert_datatype") {
        const TYPES: [&str; 2] = ["int", "float"];
        let word = to.text().unwrap_or_default();
        if TYPES.contains(&word.as_str()) {
            conversions.insert(t.reference(&field, to.place), word.into());
        } else {
            t.wrong(to.place, unknown("type", &word, " of \"convert_datatype\"", &TYPES));
        }
    }
    if !conversions.is_empty()
        && let Some(step) = t.step(json!({"dissect": {"convert_datatype": conversions}}), options)
    {
        steps.push(Step::Filter(Box::new(step)));
    }
    steps
}
