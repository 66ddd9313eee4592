//! Filter `kv`: defaults of `logstash-filter-kv` 4.7.

use super::{LIMIT, Native, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "kv",
    note: "",
    options: &[&[
        honoured("source", "message"),
        honoured("target", ""),
        honoured("prefix", ""),
        honoured("field_split", " "),
        honoured("field_split_pattern", ""),
        honoured("value_split", "="),
        honoured("value_split_pattern", ""),
        honoured("include_keys", "[]"),
        honoured("exclude_keys", "[]"),
        honoured("default_keys", "{}"),
        honoured("allow_duplicate_values", "true"),
        honoured("allow_empty_values", "false"),
        honoured("include_brackets", "true"),
        honoured("recursive", "false"),
        honoured("trim_key", ""),
        honoured("trim_value", ""),
        honoured("remove_char_key", ""),
        honoured("remove_char_value", ""),
        honoured("transform_key", ""),
        honoured("transform_value", ""),
        honoured("whitespace", "lenient"),
        honoured("tag_on_failure", "[\"_kv_filter_error\"]"),
        no_effect("timeout_millis", "30000", LIMIT),
        no_effect("tag_on_timeout", "_kv_filter_timeout", LIMIT),
        no_effect("ecs_compatibility", "disabled", "it names nothing here"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    const CASES: [&str; 3] = ["lowercase", "uppercase", "capitalize"];
    let mut native = Native::new(options);
    native.set("syntax", "logstash");
    native.field(t, "source");
    native.field(t, "target");
    native.template(t, "prefix");
    // These are regular expressions, or classes of them.
    for name in [
        "field_split",
        "field_split_pattern",
        "value_split",
        "value_split_pattern",
        "trim_key",
        "trim_value",
        "remove_char_key",
        "remove_char_value",
    ] {
        native.text(t, name);
    }
    native.templates(t, "include_keys");
    native.templates(t, "exclude_keys");
    native.hash(t, "default_keys");
    for name in ["allow_duplicate_values", "allow_empty_values", "include_brackets", "recursive"] {
        native.flag(t, name);
    }
    native.word(t, "transform_key", &CASES);
    native.word(t, "transform_value", &CASES);
    native.word(t, "whitespace", &["lenient", "strict"]);
    let step = t.step(native.named("kv"), options);
    finished(t, options, step, None, "_kv_filter_error").into_iter().collect()
}
