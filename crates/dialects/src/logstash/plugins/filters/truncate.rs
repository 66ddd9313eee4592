//! Filter `truncate`: defaults of `logstash-filter-truncate` 1.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "truncate",
    note: "",
    options: &[&[honoured("fields", "all"), honoured("length_bytes", "")]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.fields(t, "fields");
    native.number(t, "length_bytes");
    let step = t.step(native.named("truncate"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
