//! Filters, a file each, with what is known of the plugin and its translation.

mod bytes;
mod cidr;
mod clone;
pub(super) mod csv;
mod date;
mod de_dot;
mod dissect;
mod drop;
mod fingerprint;
mod geoip;
pub(crate) mod grok;
mod json;
mod kv;
mod mutate;
mod native;
mod prune;
mod sleep;
mod split;
mod syslog_pri;
mod throttle;
mod translate;
mod truncate;
mod urldecode;
mod useragent;
mod uuid;
mod xml;

use super::super::known::PluginTable;
use super::super::options::Options;
use super::super::translate::Translator;
use expr::logstash::field_names;
use native::Native;
use pipeline::plan::{FilterStep, Step};

const LIMIT: &str = "a pattern that takes too long is given up after a million tries, which are milliseconds";
const READ_ONCE: &str = "the file is read when the program starts";

pub(crate) const TABLES: &[PluginTable] = &[
    bytes::TABLE,
    cidr::TABLE,
    clone::TABLE,
    csv::TABLE,
    date::TABLE,
    de_dot::TABLE,
    dissect::TABLE,
    drop::TABLE,
    fingerprint::TABLE,
    geoip::TABLE,
    grok::TABLE,
    json::TABLE,
    kv::TABLE,
    mutate::TABLE,
    prune::TABLE,
    sleep::TABLE,
    split::TABLE,
    syslog_pri::TABLE,
    throttle::TABLE,
    translate::TABLE,
    truncate::TABLE,
    urldecode::TABLE,
    useragent::TABLE,
    uuid::TABLE,
    xml::TABLE,
];

/// The steps of a filter, with what is done on success and on failure.
pub(crate) fn translate(t: &mut Translator<'_>, name: &str, options: &Options) -> Vec<Step> {
    let translate = match name {
        "bytes" => bytes::translate,
        "cidr" => cidr::translate,
        "clone" => clone::translate,
        "csv" => csv::translate,
        "date" => date::translate,
        "de_dot" => de_dot::translate,
        "dissect" => dissect::translate,
        "drop" => drop::translate,
        "fingerprint" => fingerprint::translate,
        "geoip" => geoip::translate,
        "grok" => grok::translate,
        "json" => json::translate,
        "kv" => kv::translate,
        "mutate" => mutate::translate,
        "prune" => prune::translate,
        "sleep" => sleep::translate,
        "split" => split::translate,
        "syslog_pri" => syslog_pri::translate,
        "throttle" => throttle::translate,
        "translate" => translate::translate,
        "truncate" => truncate::translate,
        "urldecode" => urldecode::translate,
        "useragent" => useragent::translate,
        "uuid" => uuid::translate,
        "xml" => xml::translate,
        // No other name has a table.
        _ => return Vec::new(),
    };
    translate(t, options)
}

/// A step with the options that all filters have; `when` is a condition of our own.
fn finished(
    t: &mut Translator<'_>,
    options: &Options,
    step: Option<FilterStep>,
    when: Option<String>,
    tag: &str,
) -> Option<Step> {
    let mut step = step?;
    step.when = when;
    step.tag_on_failure = match options.list(t, "tag_on_failure") {
        Some(tags) => tags,
        None if tag.is_empty() => Vec::new(),
        None => vec![tag.to_owned()],
    };
    let on_success = &mut step.on_success;
    on_success.add_field = options.fields(t, "add_field");
    on_success.remove_field = options.references(t, "remove_field");
    for (name, tags) in [("add_tag", &mut on_success.add_tag), ("remove_tag", &mut on_success.remove_tag)] {
        let place = options.place(name);
        *tags = options.list(t, name).unwrap_or_default().iter().map(|tag| t.template(tag, place)).collect();
    }
    if let Err(error) = step.on_success.build() {
        t.wrong(options.place(error.option), format!("{}: {}", options.what, error.message));
    }
    Some(Step::Filter(Box::new(step)))
}

/// A field as a path of VRL, for the conditions of steps.
fn exists(reference: &str) -> String {
    let names = field_names(reference).unwrap_or_default();
    let quoted: Vec<String> =
        names.iter().map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("exists(.{})", quoted.join("."))
}
