//! Filter `throttle`: defaults of `logstash-filter-throttle` 4.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured, near};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "throttle",
    note: "The counters are lost at a restart. A pipeline with this filter has one worker.",
    options: &[&[
        honoured("key", ""),
        honoured("before_count", "-1"),
        honoured("after_count", "-1"),
        honoured("period", "60"),
        honoured("max_age", "3600"),
        near("max_counters", "100000", "counters of the keys not seen for longest make room at once"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    if options.needed(t, "key").is_none() {
        return Vec::new();
    }
    let mut native = Native::new(options);
    native.template(t, "key");
    native.template(t, "period");
    native.number(t, "max_age");
    let mut bounds = 0;
    for name in ["before_count", "after_count"] {
        // -1 is no bound.
        if options.text(t, name).as_deref() != Some("-1") && options.has(name) {
            native.number(t, name);
            bounds += 1;
        }
    }
    if bounds == 0 {
        t.warn(
            options.place,
            format!("{} has neither before_count nor after_count, and does nothing", options.what),
        );
        return Vec::new();
    }
    match options.text(t, "max_counters").as_deref() {
        Some("-1") => {
            t.wrong(options.place("max_counters"), "\"max_counters\" needs a bound of 1 or more here")
        }
        _ => native.number(t, "max_counters"),
    }
    let step = t.step(native.named("throttle"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
