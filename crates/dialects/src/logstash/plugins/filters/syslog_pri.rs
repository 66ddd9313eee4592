//! Filter `syslog_pri`: defaults of `logstash-filter-syslog_pri` 3.2.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "syslog_pri",
    note: "",
    options: &[&[
        honoured("syslog_pri_field_name", "syslog_pri; [log][syslog][priority] with ECS"),
        honoured("use_labels", "true"),
        honoured("facility_labels", "those of RFC 3164"),
        honoured("severity_labels", "those of RFC 3164"),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.field_as(t, "syslog_pri_field_name", "source");
    native.names(t);
    native.flag(t, "use_labels");
    native.texts(t, "facility_labels");
    native.texts(t, "severity_labels");
    let step = t.step(native.named("syslog_pri"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
