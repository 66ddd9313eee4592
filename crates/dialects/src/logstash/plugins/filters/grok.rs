//! Filter `grok`: defaults of `logstash-filter-grok` 4.4.

use super::{LIMIT, Native, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use crate::logstash::tree::{Value, ValueKind};
use pipeline::plan::Step;
use serde_json::{Map, Value as Json, json};

pub(super) const TABLE: PluginTable = PluginTable {
    name: "grok",
    note: "",
    options: &[&[
        honoured("match", "{}"),
        honoured("patterns_dir", "[]"),
        honoured("patterns_files_glob", "*"),
        honoured("pattern_definitions", "{}"),
        honoured("overwrite", "[]"),
        honoured("target", ""),
        honoured("break_on_match", "true"),
        honoured("named_captures_only", "true"),
        honoured("keep_empty_captures", "false"),
        honoured("tag_on_failure", "[\"_grokparsefailure\"]"),
        honoured("tag_on_timeout", "_groktimeout"),
        no_effect("timeout_millis", "30000", LIMIT),
        no_effect("timeout_scope", "pattern", LIMIT),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let pairs = options.pairs(t, "match");
    if pairs.is_empty() && !options.has("match") {
        t.wrong(options.place, format!("{} needs the option \"match\"", options.what));
    }
    let mut fields = Vec::new();
    for (field, patterns) in &pairs {
        let texts: Vec<String> = match &patterns.kind {
            ValueKind::List(items) => items.iter().filter_map(Value::text).collect(),
            _ => patterns.text().into_iter().collect(),
        };
        if !texts.is_empty() {
            fields.push(json!({"source": t.reference(field, patterns.place), "patterns": texts}));
        }
    }
    let mut fields = fields.into_iter();
    let Some(Json::Object(first)) = fields.next() else { return Vec::new() };
    let mut native = Native::new(options);
    native.map = first;
    let more: Vec<Json> = fields.collect();
    if !more.is_empty() {
        native.set("more", more);
    }
    if options.bool(t, "break_on_match") == Some(false) {
        native.set("every", true);
    }
    let mut definitions = Map::new();
    for folder in options.list(t, "patterns_dir").unwrap_or_default() {
        let glob = options.text(t, "patterns_files_glob").unwrap_or_else(|| "*".to_owned());
        pattern_files(t, &folder, &glob, options, &mut definitions);
    }
    for (name, value) in options.pairs(t, "pattern_definitions") {
        definitions.insert(name, value.text().unwrap_or_default().into());
    }
    if !definitions.is_empty() {
        native.set("definitions", definitions);
    }
    native.names(t);
    native.field(t, "target");
    native.set("append", true);
    native.fields(t, "overwrite");
    native.flag(t, "named_captures_only");
    native.flag(t, "keep_empty_captures");
    let slow = options.text(t, "tag_on_timeout").unwrap_or_else(|| "_groktimeout".to_owned());
    native.set("tag_on_timeout", slow);
    let step = t.step(native.named("grok"), options);
    finished(t, options, step, None, "_grokparsefailure").into_iter().collect()
}

/// The patterns of a folder: `NAME regex`, a line each; `#` begins a comment.
pub(crate) fn pattern_files(
    t: &mut Translator<'_>,
    folder: &str,
    glob: &str,
    options: &Options,
    definitions: &mut Map<String, Json>,
) {
    let place = options.place("patterns_dir");
    let files = t.vault.world().files(&format!("{}/{glob}", folder.trim_end_matches('/')));
    if files.is_empty() {
        t.wrong(place, format!("no file of patterns matches {folder}/{glob}"));
    }
    for file in files {
        match t.vault.world().file(&file) {
            Ok(text) => {
                for line in
                    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
                {
                    if let Some((name, regex)) = line.split_once([' ', '\t']) {
                        definitions.insert(name.to_owned(), regex.trim().into());
                    }
                }
            }
            Err(message) => t.wrong(place, message),
        }
    }
}
