//! Filters: defaults of `logstash-filter-grok` 4.4, `-date` 3.1, `-json` 3.2, `-kv` 4.7,
//! `-drop` 3.0, `-mutate` 3.5, `-csv` 3.1.

use super::super::known::{PluginTable, honoured, near, no_effect, refused};
use super::super::options::Options;
use super::super::parse::unknown;
use super::super::translate::{Ecs, Translator};
use super::super::tree::{Value, ValueKind};
use expr::logstash::field_names;
use pipeline::plan::{FilterStep, IfStep, Step};
use serde_json::{Map, Value as Json, json};

const LIMIT: &str = "a pattern that takes too long is given up after a million tries, which are milliseconds";

pub(crate) const TABLES: &[PluginTable] = &[
    PluginTable {
        name: "grok",
        note: "Patterns have the names from before ECS.",
        options: &[&[
            honoured("match", "{}"),
            honoured("patterns_dir", "[]"),
            honoured("patterns_files_glob", "*"),
            honoured("pattern_definitions", "{}"),
            honoured("overwrite", "[]"),
            honoured("target", ""),
            honoured("break_on_match", "true"),
            honoured("tag_on_failure", "[\"_grokparsefailure\"]"),
            near(
                "ecs_compatibility",
                "disabled",
                "the patterns have the names from before ECS, such as clientip and response",
            ),
            refused("named_captures_only", "true", "give each pattern a name: %{WORD:name}"),
            refused("keep_empty_captures", "false", "a capture that is empty sets nothing"),
            no_effect("timeout_millis", "30000", LIMIT),
            no_effect("timeout_scope", "pattern", LIMIT),
            no_effect("tag_on_timeout", "_groktimeout", LIMIT),
        ]],
    },
    PluginTable {
        name: "mutate",
        note: "All of it, in the plugin's fixed order.",
        options: &[&[
            honoured("coerce", "{}"),
            honoured("rename", "{}"),
            honoured("update", "{}"),
            honoured("replace", "{}"),
            honoured("convert", "{}"),
            honoured("gsub", "[]"),
            honoured("uppercase", "[]"),
            honoured("capitalize", "[]"),
            honoured("lowercase", "[]"),
            honoured("strip", "[]"),
            honoured("split", "{}"),
            honoured("join", "{}"),
            honoured("merge", "{}"),
            honoured("copy", "{}"),
            honoured("tag_on_failure", "_mutate_error"),
        ]],
    },
    PluginTable {
        name: "csv",
        note: "",
        options: &[&[
            honoured("source", "message"),
            honoured("separator", ","),
            honoured("quote_char", "\""),
            honoured("columns", "[]"),
            honoured("autogenerate_column_names", "true"),
            honoured("skip_header", "false"),
            honoured("skip_empty_columns", "false"),
            honoured("convert", "{}"),
            honoured("target", ""),
            refused(
                "autodetect_column_names",
                "false",
                "name the columns; with several workers the first line cannot be known",
            ),
            refused("skip_empty_rows", "false", "drop empty lines with an if before"),
            no_effect("tag_on_failure", "[\"_csvparsefailure\"]", "the tag is always _csvparsefailure"),
            no_effect("ecs_compatibility", "", "it names nothing here"),
        ]],
    },
    PluginTable {
        name: "date",
        note: "A text without a zone is in UTC unless timezone says otherwise; Logstash takes the machine's.",
        options: &[&[
            honoured("match", "[]"),
            honoured("target", "@timestamp"),
            honoured("timezone", ""),
            near("locale", "", "names of months and days are read in English"),
            honoured("tag_on_failure", "[\"_dateparsefailure\"]"),
        ]],
    },
    PluginTable {
        name: "json",
        note: "",
        options: &[&[
            honoured("source", ""),
            honoured("target", ""),
            honoured("skip_on_invalid_json", "false"),
            honoured("tag_on_failure", "[\"_jsonparsefailure\"]"),
            no_effect("ecs_compatibility", "", "it names nothing here"),
        ]],
    },
    PluginTable {
        name: "kv",
        note: "",
        options: &[&[
            honoured("source", "message"),
            honoured("target", ""),
            honoured("field_split", " "),
            honoured("value_split", "="),
            honoured("prefix", ""),
            no_effect(
                "tag_on_failure",
                "[\"_kv_filter_error\"]",
                "there is no text on which it fails; one without pairs gets no tag",
            ),
            refused("field_split_pattern", "", "field_split takes characters"),
            refused("value_split_pattern", "", "value_split takes one character"),
            refused("include_keys", "[]", "remove the others with mutate's remove_field"),
            refused("exclude_keys", "[]", "remove them with mutate's remove_field"),
            refused("default_keys", "{}", "set them before with mutate's replace"),
            refused("allow_duplicate_values", "true", "of a key that comes twice the last value stays"),
            refused("allow_empty_values", "false", "an empty value is set as an empty text"),
            no_effect("include_brackets", "true", "only quotes are taken off"),
            refused("recursive", "false", "use a second kv with this one's field as source"),
            refused("remove_char_key", "", "mutate's gsub on the field before"),
            refused("remove_char_value", "", "mutate's gsub on the fields"),
            refused("trim_key", "", "mutate's gsub on the field before"),
            refused("trim_value", "", "mutate's strip on the fields"),
            refused("transform_key", "", "mutate's rename"),
            refused("transform_value", "", "mutate's lowercase, uppercase and capitalize"),
            refused(
                "whitespace",
                "lenient",
                "blanks around the sign between key and value are not taken off",
            ),
            no_effect("timeout_millis", "30000", "it takes no longer than the text is long"),
            no_effect("tag_on_timeout", "_kv_filter_timeout", "it takes no longer than the text is long"),
            no_effect("ecs_compatibility", "", "it names nothing here"),
        ]],
    },
    PluginTable {
        name: "drop",
        note: "",
        options: &[&[refused("percentage", "100", "all or none; let an if decide")]],
    },
];

/// The steps of a filter, with what is done on success and on failure.
pub(crate) fn translate(t: &mut Translator<'_>, name: &str, options: &Options) -> Vec<Step> {
    match name {
        "grok" => grok(t, options),
        "mutate" => mutate(t, options),
        "csv" => csv(t, options),
        "date" => date(t, options),
        "json" => json_filter(t, options),
        "kv" => kv(t, options),
        _ => {
            let step = t.step(json!({"drop": {}}), options);
            finished(t, options, step, None, "").into_iter().collect()
        }
    }
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

fn target(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let text = options.text(t, "target")?;
    Some(t.reference(&text, options.place("target")).into())
}

fn grok(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let pairs = options.pairs(t, "match");
    if pairs.is_empty() && !options.has("match") {
        t.wrong(options.place, format!("{} needs the option \"match\"", options.what));
    }
    if t.ecs_of(options) == Ecs::Schema && !options.has("ecs_compatibility") {
        t.warn(
            options.place,
            "grok's patterns have the names from before ECS, such as clientip and response",
        );
    }
    let mut definitions = Map::new();
    for folder in options.list(t, "patterns_dir").unwrap_or_default() {
        let glob = options.text(t, "patterns_files_glob").unwrap_or_else(|| "*".to_owned());
        pattern_files(t, &folder, &glob, options, &mut definitions);
    }
    for (name, value) in options.pairs(t, "pattern_definitions") {
        definitions.insert(name, value.text().unwrap_or_default().into());
    }
    let overwrite = options.list(t, "overwrite").unwrap_or_default();
    let overwrite: Vec<String> =
        overwrite.iter().map(|field| t.reference(field, options.place("overwrite"))).collect();
    let breaks = options.bool(t, "break_on_match").unwrap_or(true);
    let target = target(t, options);
    let mut groks: Vec<(String, Json)> = Vec::new();
    for (field, patterns) in &pairs {
        let texts: Vec<String> = match &patterns.kind {
            ValueKind::List(items) => items.iter().filter_map(Value::text).collect(),
            _ => patterns.text().into_iter().collect(),
        };
        let source = t.reference(field, patterns.place);
        // Without a break every pattern is tried, each by a filter of its own.
        let lists: Vec<Vec<String>> =
            if breaks { vec![texts] } else { texts.into_iter().map(|text| vec![text]).collect() };
        for patterns in lists {
            let mut grok = json!({"source": source, "patterns": patterns, "append": true});
            if !overwrite.is_empty() {
                grok["overwrite"] = overwrite.clone().into();
            }
            if !definitions.is_empty() {
                grok["definitions"] = definitions.clone().into();
            }
            if let Some(target) = &target {
                grok["target"] = target.clone();
            }
            groks.push((field.clone(), json!({"grok": grok})));
        }
    }
    match groks.as_slice() {
        [] => Vec::new(),
        [(_, one)] => {
            let step = t.step(one.clone(), options);
            finished(t, options, step, None, "_grokparsefailure").into_iter().collect()
        }
        _ => several_groks(t, options, groks, breaks),
    }
}

/// A mark for what is known between the steps of one filter; codecs leave it out.
const MATCHED: &str = "@metadata.grok_matched";

/// Several fields or patterns of one filter: it succeeded when one of them matched.
fn several_groks(
    t: &mut Translator<'_>,
    options: &Options,
    groks: Vec<(String, Json)>,
    breaks: bool,
) -> Vec<Step> {
    let mut steps = vec![plain(t, json!({"remove": {"fields": [MATCHED]}}), options)];
    for (_, grok) in groks {
        let step = t.step(grok, options).map(|mut step| {
            step.on_success.add_field.insert(MATCHED.to_owned(), Json::Bool(true));
            if breaks {
                step.when = Some(format!("!exists(.{MATCHED})"));
            }
            Step::Filter(Box::new(step))
        });
        steps.push(step);
    }
    // What every filter has, once: done when the mark is there.
    let done = t.step(json!({"remove": {"fields": [MATCHED]}}), options);
    let done = finished(t, options, done, None, "");
    let tags = options.list(t, "tag_on_failure").unwrap_or_else(|| vec!["_grokparsefailure".to_owned()]);
    let failed = t.step(json!({"mutate": {}}), options).map(|mut step| {
        step.on_success.add_tag = tags;
        Step::Filter(Box::new(step))
    });
    let condition = format!("exists(.{MATCHED})");
    let then = done.into_iter().collect();
    steps.push(Some(Step::If(IfStep { condition, then, otherwise: failed.into_iter().collect() })));
    steps.into_iter().flatten().collect()
}

fn plain(t: &mut Translator<'_>, filter: Json, options: &Options) -> Option<Step> {
    t.step(filter, options).map(|step| Step::Filter(Box::new(step)))
}

/// The patterns of a folder: `NAME regex`, a line each; `#` begins a comment.
fn pattern_files(
    t: &mut Translator<'_>,
    folder: &str,
    glob: &str,
    options: &Options,
    definitions: &mut Map<String, Json>,
) {
    let place = options.place("patterns_dir");
    let files = t.world.files(&format!("{}/{glob}", folder.trim_end_matches('/')));
    if files.is_empty() {
        t.wrong(place, format!("no file of patterns matches {folder}/{glob}"));
    }
    for file in files {
        match t.world.file(&file) {
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

fn mutate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let mut config = Map::new();
    for name in ["coerce", "update", "replace", "split", "join"] {
        let fields = options.fields(t, name);
        if !fields.is_empty() {
            config.insert(name.into(), fields.into());
        }
    }
    for name in ["rename", "copy", "merge"] {
        let mut fields = Map::new();
        for (key, value) in options.pairs(t, name) {
            let new = match &value.kind {
                ValueKind::List(items) => items
                    .iter()
                    .map(|item| Json::from(t.reference(&item.text().unwrap_or_default(), item.place)))
                    .collect(),
                _ => t.reference(&value.text().unwrap_or_default(), value.place).into(),
            };
            fields.insert(t.reference(&key, value.place), new);
        }
        if !fields.is_empty() {
            config.insert(name.into(), fields.into());
        }
    }
    for name in ["uppercase", "capitalize", "lowercase", "strip"] {
        let fields = options.references(t, name);
        if !fields.is_empty() {
            config.insert(name.into(), fields.into());
        }
    }
    let conversions: Vec<Json> =
        options.pairs(t, "convert").iter().filter_map(|(field, to)| conversion(t, field, to)).collect();
    if !conversions.is_empty() {
        config.insert("convert".into(), conversions.into());
    }
    let gsub = substitutions(t, options);
    if !gsub.is_empty() {
        config.insert("gsub".into(), gsub.into());
    }
    let step = t.step(json!({"mutate": config}), options);
    finished(t, options, step, None, "_mutate_error").into_iter().collect()
}

fn conversion(t: &mut Translator<'_>, field: &str, to: &Value) -> Option<Json> {
    const TYPES: [&str; 6] = ["integer", "float", "integer_eu", "float_eu", "string", "boolean"];
    let word = to.text().unwrap_or_default();
    if !TYPES.contains(&word.as_str()) {
        t.wrong(to.place, unknown("type", &word, " of \"convert\"", &TYPES));
        return None;
    }
    Some(json!({"field": t.reference(field, to.place), "to": word}))
}

fn substitutions(t: &mut Translator<'_>, options: &Options) -> Vec<Json> {
    let texts = options.list(t, "gsub").unwrap_or_default();
    let place = options.place("gsub");
    if !texts.len().is_multiple_of(3) {
        let message = format!(
            "\"gsub\" takes three texts each: field, regular expression, what stands for it; there are {}",
            texts.len()
        );
        t.wrong(place, message);
        return Vec::new();
    }
    let mut out = Vec::new();
    for three in texts.chunks(3) {
        if three[1].contains("%{") {
            t.wrong(place, "a field within the regular expression of \"gsub\" is not supported");
        }
        let (field, with) = (t.reference(&three[0], place), t.template(&three[2], place));
        out.push(json!({"field": field, "regex": three[1], "with": with}));
    }
    out
}

fn csv(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let source = options.text(t, "source").unwrap_or_else(|| "message".to_owned());
    let mut config = json!({"source": t.reference(&source, options.place("source"))});
    for (name, own) in [("separator", "separator"), ("quote_char", "quote")] {
        if let Some(text) = options.text(t, name) {
            if text.chars().count() != 1 {
                t.wrong(
                    options.place(name),
                    format!("{name:?} takes one character here (a tab is written as itself)"),
                );
                return Vec::new();
            }
            config[own] = text.into();
        }
    }
    config["columns"] = options.references(t, "columns").into();
    for name in ["autogenerate_column_names", "skip_header", "skip_empty_columns"] {
        if let Some(flag) = options.bool(t, name) {
            config[name] = flag.into();
        }
    }
    let mut convert = Map::new();
    for (column, to) in options.pairs(t, "convert") {
        const TYPES: [&str; 3] = ["integer", "float", "boolean"];
        match to.text() {
            Some(word) if TYPES.contains(&word.as_str()) => {
                convert.insert(t.reference(&column, to.place), word.into());
            }
            Some(word) if word.starts_with("date") => {
                t.wrong(to.place, "csv does not read times; use the filter date behind it");
            }
            word => t.wrong(to.place, unknown("type", &word.unwrap_or_default(), " of \"convert\"", &TYPES)),
        }
    }
    if !convert.is_empty() {
        config["convert"] = convert.into();
    }
    if let Some(target) = target(t, options) {
        config["target"] = target;
    }
    let step = t.step(json!({"csv": config}), options);
    finished(t, options, step, Some(exists(&source)), "_csvparsefailure").into_iter().collect()
}

fn date(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let texts = options.list(t, "match").unwrap_or_default();
    let place = options.place("match");
    let Some((field, formats)) = texts.split_first().filter(|(_, formats)| !formats.is_empty()) else {
        t.wrong(place, format!("{} needs \"match\" with a field and at least one format", options.what));
        return Vec::new();
    };
    if let Some(format) = formats.iter().find(|format| *format == "TAI64N") {
        t.wrong(place, format!("the format {format} is not supported"));
        return Vec::new();
    }
    let mut config = json!({"source": t.reference(field, place), "formats": formats});
    if let Some(target) = target(t, options) {
        config["target"] = target;
    }
    if let Some(zone) = options.text(t, "timezone") {
        if zone.contains("%{") {
            t.wrong(options.place("timezone"), "a zone out of a field is not supported");
        }
        config["timezone"] = zone.into();
    }
    let step = t.step(json!({"date": config}), options);
    // A field that is missing is neither a success nor a failure.
    finished(t, options, step, Some(exists(field)), "_dateparsefailure").into_iter().collect()
}

fn json_filter(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let Some(source) = options.needed(t, "source") else { return Vec::new() };
    let mut config = json!({"source": t.reference(&source, options.place("source"))});
    if let Some(target) = target(t, options) {
        config["target"] = target;
    }
    let step = t.step(json!({"json": config}), options);
    let skips = options.bool(t, "skip_on_invalid_json").unwrap_or(false);
    let tag = if skips { "" } else { "_jsonparsefailure" };
    let step = finished(t, options, step, Some(exists(&source)), tag);
    step.into_iter().map(|step| if skips { without_tags(step) } else { step }).collect()
}

fn without_tags(mut step: Step) -> Step {
    if let Step::Filter(step) = &mut step {
        step.tag_on_failure.clear();
    }
    step
}

fn kv(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let source = options.text(t, "source").unwrap_or_else(|| "message".to_owned());
    let mut config = json!({"source": t.reference(&source, options.place("source"))});
    if let Some(target) = target(t, options) {
        config["target"] = target;
    }
    for name in ["field_split", "prefix"] {
        if let Some(text) = options.text(t, name) {
            config[name] = class_chars(&text).into();
        }
    }
    if let Some(text) = options.text(t, "value_split") {
        let chars = class_chars(&text);
        if chars.chars().count() != 1 {
            t.wrong(options.place("value_split"), "\"value_split\" takes one character here");
            return Vec::new();
        }
        config["value_split"] = chars.into();
    }
    let step = t.step(json!({"kv": config}), options);
    let step = finished(t, options, step, Some(exists(&source)), "");
    step.into_iter().map(without_tags).collect()
}

/// Logstash puts these texts into a class of a regular expression: `\t` is a tab there, and any
/// other character behind a backslash is itself.
fn class_chars(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next)) => {
                chars.next();
                out.push(match next {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    's' => ' ',
                    other => other,
                });
            }
            _ => out.push(c),
        }
    }
    out
}
