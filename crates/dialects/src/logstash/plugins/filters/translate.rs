//! Filter `translate`: defaults of `logstash-filter-translate` 3.4.

use super::{Native, READ_ONCE, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::{Ecs, Translator};
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "translate",
    note: "",
    options: &[&[
        honoured("source", ""),
        honoured("field", ""),
        honoured("target", "translation; the source with ECS"),
        honoured("destination", ""),
        honoured("dictionary", "{}"),
        honoured("dictionary_path", ""),
        honoured("exact", "true"),
        honoured("regex", "false"),
        honoured("fallback", ""),
        honoured("override", "false; true in place"),
        honoured("iterate_on", ""),
        no_effect("refresh_interval", "300", READ_ONCE),
        no_effect("refresh_behaviour", "merge", READ_ONCE),
        no_effect("yaml_dictionary_code_point_limit", "134217728", "a dictionary is as large as memory is"),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    // The names from before 3.3 mean the same.
    let source = if options.has("field") { "field" } else { "source" };
    let target = if options.has("destination") { "destination" } else { "target" };
    for (old, new) in [("field", "source"), ("destination", "target")] {
        if options.has(old) && options.has(new) {
            t.wrong(
                options.place(old),
                format!("{old:?} is the old name of {new:?}; only one of them may stand"),
            );
            return Vec::new();
        }
    }
    if options.needed(t, source).is_none() {
        return Vec::new();
    }
    let mode = t.ecs_of(options);
    let mut native = Native::new(options);
    native.field_as(t, source, "source");
    native.field_as(t, target, "target");
    if mode == Ecs::Disabled && !options.has(target) {
        native.set("target", "translation");
    }
    native.hash(t, "dictionary");
    native.text(t, "dictionary_path");
    native.template(t, "fallback");
    native.field(t, "iterate_on");
    for name in ["exact", "regex", "override"] {
        native.flag(t, name);
    }
    let step = t.step(native.named("translate"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
