//! Filter `uuid`: defaults of `logstash-filter-uuid` 3.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "uuid",
    note: "",
    options: &[&[honoured("target", ""), honoured("overwrite", "false")]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.field(t, "target");
    native.flag(t, "overwrite");
    let step = t.step(native.named("uuid"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
