//! Filter `split`: defaults of `logstash-filter-split` 3.1.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "split",
    note: "One event becomes 65,535 others at most; one that would become more stays, and is tagged.",
    options: &[&[
        honoured("field", "message"),
        honoured("terminator", "\\n"),
        honoured("target", "the field"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.field(t, "field");
    native.text(t, "terminator");
    native.field(t, "target");
    let step = t.step(native.named("split"), options);
    finished(t, options, step, None, "_split_type_failure").into_iter().collect()
}
