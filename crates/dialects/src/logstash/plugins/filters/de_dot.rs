//! Filter `de_dot`: defaults of `logstash-filter-de_dot` 1.1.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "de_dot",
    note: "",
    options: &[&[
        honoured("fields", "[]"),
        honoured("separator", "_"),
        honoured("nested", "false"),
        honoured("recursive", "false"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.texts(t, "fields");
    native.text(t, "separator");
    native.flag(t, "nested");
    native.flag(t, "recursive");
    let step = t.step(native.named("de_dot"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
