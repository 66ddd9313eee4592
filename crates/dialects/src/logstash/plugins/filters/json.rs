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
        no_effect(
            "skip_on_invalid_json",
            "false",
            "it silences a warning that is not written; the tag is set all the same, as there",
        ),
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
    finished(t, options, step, Some(exists(&source)), "_jsonparsefailure").into_iter().collect()
}
