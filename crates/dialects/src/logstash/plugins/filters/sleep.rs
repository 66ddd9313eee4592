//! Filter `sleep`: defaults of `logstash-filter-sleep` 3.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured, near};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "sleep",
    note: "A worker waits for all events of a batch together, before it hands the batch on; at the end of the program nobody waits. With replay there is one worker.",
    options: &[&[
        honoured("time", ""),
        near("every", "1", "each worker counts its own events"),
        honoured("replay", "false"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.template(t, "time");
    native.number(t, "every");
    native.flag(t, "replay");
    let step = t.step(native.named("sleep"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
