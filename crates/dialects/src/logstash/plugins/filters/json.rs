//! Filter `json`: defaults of `logstash-filter-json` 3.2.

use super::{Native, exists, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "json",
    note: "",
    options: &[&[
        honoured("source", ""),
        honoured("target", ""),
        honoured("skip_on_invalid_json", "false"),
        honoured("tag_on_failure", "[\"_jsonparsefailure\"]"),
        no_effect("ecs_compatibility", "disabled", "it names nothing here"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let Some(source) = options.needed(t, "source") else { return Vec::new() };
    let mut native = Native::new(options);
    native.field(t, "source");
    native.field(t, "target");
    native.set("remove_source", false);
    let step = t.step(native.named("json"), options);
    let skips = options.bool(t, "skip_on_invalid_json").unwrap_or(false);
    let mut step = finished(t, options, step, Some(exists(&source)), "_jsonparsefailure");
    if let Some(Step::Filter(step)) = &mut step
        && skips
    {
        step.tag_on_failure.clear();
    }
    step.into_iter().collect()
}
