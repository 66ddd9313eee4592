//! Filter `urldecode`: defaults of `logstash-filter-urldecode` 3.0.

use super::super::codecs::charset_of;
use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "urldecode",
    note: "",
    options: &[&[
        honoured("field", "message"),
        honoured("all_fields", "false"),
        honoured("charset", "UTF-8"),
        honoured("tag_on_failure", "[\"_urldecodefailure\"]"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.field(t, "field");
    native.flag(t, "all_fields");
    if let Some(charset) = charset_of(t, options) {
        native.set("charset", charset.name());
    }
    let step = t.step(native.named("urldecode"), options);
    finished(t, options, step, None, "_urldecodefailure").into_iter().collect()
}
