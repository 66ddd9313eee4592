//! Filter `date`: defaults of `logstash-filter-date` 3.1.

use super::{Native, exists, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "date",
    note: "A text without a zone is in that of the machine, unless timezone says otherwise. Names of months and days are read in English, or with locale in one of ten other languages.",
    options: &[&[
        honoured("match", "[]"),
        honoured("target", "@timestamp"),
        honoured("timezone", "that of the machine"),
        honoured("locale", "that of the machine"),
        honoured("tag_on_failure", "[\"_dateparsefailure\"]"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let texts = options.list(t, "match").unwrap_or_default();
    let place = options.place("match");
    let Some((field, formats)) = texts.split_first().filter(|(_, formats)| !formats.is_empty()) else {
        t.wrong(place, format!("{} needs \"match\" with a field and at least one format", options.what));
        return Vec::new();
    };
    let mut native = Native::new(options);
    native.set("source", t.reference(field, place));
    native.set("formats", formats);
    native.field(t, "target");
    native.set("timezone", "local");
    native.template(t, "timezone");
    native.text(t, "locale");
    native.set("missing_year", "current");
    let step = t.step(native.named("date"), options);
    // A field that is missing is neither a success nor a failure.
    finished(t, options, step, Some(exists(field)), "_dateparsefailure").into_iter().collect()
}
