//! Filter `cidr`: defaults of `logstash-filter-cidr` 3.1.

use super::{Native, READ_ONCE, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "cidr",
    note: "",
    options: &[&[
        honoured("address", ""),
        honoured("network", "[]"),
        honoured("network_path", ""),
        no_effect("refresh_interval", "600", READ_ONCE),
        honoured("separator", "\\n"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.templates(t, "address");
    native.templates(t, "network");
    native.text(t, "network_path");
    native.text(t, "separator");
    let step = t.step(native.named("cidr"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
