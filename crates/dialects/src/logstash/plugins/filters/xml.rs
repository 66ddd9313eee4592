//! Filter `xml`: defaults of `logstash-filter-xml` 4.2.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;
use serde_json::Map;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "xml",
    note: "",
    options: &[&[
        honoured("source", ""),
        honoured("target", ""),
        honoured("xpath", "{}"),
        honoured("store_xml", "true"),
        honoured("force_array", "true"),
        honoured("force_content", "false"),
        honoured("suppress_empty", "true"),
        honoured("namespaces", "{}"),
        honoured("remove_namespaces", "false"),
        honoured("parse_options", ""),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut native = Native::new(options);
    native.field(t, "source");
    native.field(t, "target");
    let mut xpath = Map::new();
    for (expression, field) in options.pairs(t, "xpath") {
        let text = field.text().unwrap_or_default();
        xpath.insert(expression, t.reference(&text, field.place).into());
    }
    native.set("xpath", xpath);
    native.hash(t, "namespaces");
    for name in ["store_xml", "force_array", "force_content", "suppress_empty", "remove_namespaces"] {
        native.flag(t, name);
    }
    if let Some(word) = options.text(t, "parse_options") {
        match word.as_str() {
            "strict" => native.set("strict", true),
            _ => t.wrong(
                options.place("parse_options"),
                unknown("value", &word, " of \"parse_options\"", &["strict"]),
            ),
        }
    }
    let step = t.step(native.named("xml"), options);
    finished(t, options, step, None, "_xmlparsefailure").into_iter().collect()
}
