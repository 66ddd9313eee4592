//! Filter `bytes`: defaults of `logstash-filter-bytes` 1.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "bytes",
    note: "",
    options: &[&[
        honoured("source", "message"),
        honoured("target", ""),
        honoured("prefix_system", "binary"),
        honoured("digit_group_separator", " "),
        honoured("decimal_separator", "."),
        honoured("tag_on_failure", "[\"_bytesparsefailure\"]"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.field(t, "source");
    native.field(t, "target");
    native.word(t, "prefix_system", &["binary", "metric"]);
    native.character(t, "digit_group_separator", "digit_group_separator");
    native.character(t, "decimal_separator", "decimal_separator");
    let step = t.step(native.named("bytes"), options);
    finished(t, options, step, None, "_bytesparsefailure").into_iter().collect()
}
