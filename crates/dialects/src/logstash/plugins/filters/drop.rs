//! Filter `drop`: defaults of `logstash-filter-drop` 3.0.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable =
    PluginTable { name: "drop", note: "", options: &[&[honoured("percentage", "100")]] };

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    if let Some(text) = options.text(t, "percentage") {
        match text.parse::<f64>() {
            Ok(percentage) => native.set("percentage", percentage),
            Err(_) => t.wrong(options.place("percentage"), "\"percentage\" takes a number from 0 to 100"),
        }
    }
    let step = t.step(native.named("drop"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
