//! Filter `clone`: defaults of `logstash-filter-clone` 4.2.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "clone",
    note: "",
    options: &[&[honoured("clones", ""), honoured("ecs_compatibility", "disabled")]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    if !options.has("clones") {
        t.wrong(options.place, format!("{} needs the option \"clones\"", options.what));
        return Vec::new();
    }
    let mut native = Native::new(options);
    native.texts(t, "clones");
    native.names(t);
    let step = t.step(native.named("clone"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
