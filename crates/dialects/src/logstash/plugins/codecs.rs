//! Codecs of inputs: what a payload or a line is. What a codec does is done by filters, which run
//! before those of the pipeline.

use super::inputs::plain_step;
#[cfg(test)]
use crate::logstash::known::PluginTable;
use crate::logstash::known::{Known, honoured, near, no_effect, refused};
use crate::logstash::options::Options;
use crate::logstash::parse::unknown;
use crate::logstash::translate::{Ecs, Translator, literal, native_step};
use crate::logstash::tree::Plugin;
use filters::charset::Charset;
use pipeline::inputs::multiline::MultilineConfig;
use pipeline::plan::{FilterStep, Step};
use serde_json::{Map, Value as Json, json};

pub(crate) fn codec_options(t: &mut Translator<'_>, plugin: &Plugin, known: &[&'static Known]) -> Options {
    Options::new(t, plugin, format!("codec {:?}", plugin.name), known)
}

const CHARSET: Known = near(
    "charset",
    "UTF-8",
    "what should be UTF-8 and is not is kept as it is; UTF-16 is read where a payload is one event",
);
const PLAIN: &[Known] =
    &[CHARSET, honoured("format", ""), honoured("delimiter", "\\n"), honoured("ecs_compatibility", "")];
pub(crate) const JSON: &[Known] = &[
    CHARSET,
    honoured("target", ""),
    honoured("delimiter", "\\n"),
    no_effect("decode_size_limit_bytes", "", "line_bytes_max of the input holds"),
    honoured("ecs_compatibility", ""),
];
/// Of the codec `csv`: the filter of this name does the same.
const CSV: &[Known] = &[
    CHARSET,
    honoured("columns", "[]"),
    honoured("separator", ","),
    honoured("quote_char", "\""),
    honoured("autogenerate_column_names", "true"),
    honoured("autodetect_column_names", "false"),
    honoured("skip_empty_columns", "false"),
    honoured("convert", "{}"),
    honoured("target", ""),
    no_effect("include_headers", "false", "it is about writing"),
    honoured("ecs_compatibility", ""),
];
const MARKED: &str = "a group that reaches it goes on, and has no tag that says so";
pub(crate) const MULTILINE: &[Known] = &[
    honoured("pattern", ""),
    honoured("what", ""),
    honoured("negate", "false"),
    near("max_lines", "500", MARKED),
    near("max_bytes", "10 MiB", MARKED),
    near(
        "auto_flush_interval",
        "",
        "the last lines of a file or a connection wait so long for more; without it, 5 seconds",
    ),
    honoured("multiline_tag", "multiline"),
    honoured("patterns_dir", "[]"),
    honoured("delimiter", "\\n"),
    no_effect("streaming_input", "false", "bytes that come as a stream are read as one"),
    CHARSET,
    honoured("ecs_compatibility", ""),
];

pub(crate) const MSGPACK: &[Known] =
    &[honoured("format", ""), honoured("target", ""), honoured("ecs_compatibility", "")];
pub(crate) const BULK: &[Known] = &[
    honoured("target", ""),
    refused("charset", "UTF-8", "bytes are taken as UTF-8"),
    honoured("ecs_compatibility", ""),
];

/// Every codec of inputs; names of the same one are parted by commas.
#[cfg(test)]
pub(crate) const TABLES: &[PluginTable] = &[
    PluginTable { name: "plain, line", note: "", options: &[PLAIN] },
    PluginTable { name: "json, json_lines", note: "", options: &[JSON] },
    PluginTable { name: "csv", note: "", options: &[CSV] },
    PluginTable {
        name: "multiline",
        note: "Of the inputs `exec`, `file`, `http`, `stdin`, `tcp` and `udp`. Of `exec`, `http` and `udp` the lines of one output, body or datagram are joined, and none waits for the next.",
        options: &[MULTILINE],
    },
    PluginTable { name: "msgpack", note: "Of the inputs `exec`, `http` and `udp`.", options: &[MSGPACK] },
    PluginTable { name: "es_bulk", note: "Of the inputs `exec`, `http` and `udp`.", options: &[BULK] },
];

/// Where the text of JSON is until it is read; what Filebeat writes has a "@metadata" of its own.
const ORIGINAL: &str = "@event_original";

/// Where lines can be joined: what holds one back must be able to hold back its acknowledgment, and
/// lines of several senders must not be joined.
const NO_MULTILINE: &str =
    " (lines are joined by the inputs exec, file, http, stdin, tcp and udp, or before they are sent)";

/// A codec as an input has it.
pub(super) struct Codec<'c> {
    /// The input, for messages.
    pub(super) what: &'c str,
    pub(super) name: &'c str,
    pub(super) plugin: &'c Plugin,
    pub(super) ecs: Ecs,
    /// Whether the input tells lines apart before the codec sees them.
    pub(super) has_lines: bool,
}

/// The filters that do what the codec of a payload does.
pub(crate) fn decode(t: &mut Translator<'_>, options: &Options, default: &str, ecs: Ecs) -> Vec<Step> {
    let (name, plugin) = options.codec(t, default);
    let has_lines = name == "line" || name == "json_lines";
    Codec { what: &options.what, name: &name, plugin: &plugin, ecs, has_lines }.decode(t)
}

impl Codec<'_> {
    /// The filters that do what it does.
    pub(super) fn decode(&self, t: &mut Translator<'_>) -> Vec<Step> {
        let own = match self.name {
            "plain" | "line" => PLAIN,
            "json" | "json_lines" => JSON,
            "csv" => CSV,
            other => {
                let message = format!(
                    "the codec {other:?} is not supported for {}; there are plain, line, json, json_lines and csv{}",
                    self.what,
                    if other == "multiline" { NO_MULTILINE } else { "" }
                );
                t.wrong(self.plugin.place, message);
                return Vec::new();
            }
        };
        let own = codec_options(t, self.plugin, &own.iter().collect::<Vec<_>>());
        let mut filters: Vec<Step> = self.charset(t, &own).into_iter().collect();
        match self.name {
            "csv" => {
                filters.extend(self.original());
                filters.extend(super::filters::csv::decode(t, &own));
            }
            "json" | "json_lines" => {
                let target = own.text(t, "target").map(|target| t.reference(&target, own.place("target")));
                // The text is kept aside, since what it holds may have an "event" of its own.
                let keeps = self.ecs == Ecs::Schema && self.name == "json";
                if keeps {
                    filters.push(plain_step(json!({"mutate": {"copy": {"message": ORIGINAL}}})));
                }
                filters.push(json_line(target.as_deref()));
                if keeps {
                    // What came with an original of its own keeps that.
                    let step = native_step(json!({"rename": {"fields": {ORIGINAL: "event.original"}}}));
                    let when = Some("!exists(.event.original)".to_owned());
                    filters.push(Step::Filter(Box::new(FilterStep { when, ..step })));
                    filters.push(plain_step(json!({"remove": {"fields": [ORIGINAL]}})));
                }
            }
            _ => filters.extend(self.original()),
        }
        filters
    }

    /// The same for an input that can join lines, and has options for that.
    pub(super) fn decode_lines(&self, t: &mut Translator<'_>, config: &mut Map<String, Json>) -> Vec<Step> {
        if self.name != "multiline" {
            return self.decode(t);
        }
        let own = codec_options(t, self.plugin, &MULTILINE.iter().collect::<Vec<_>>());
        if let Some(multiline) = multiline(t, &own) {
            config.insert("multiline".into(), multiline);
        }
        if own.text(t, "delimiter").is_some_and(|delimiter| delimiter != "\n" && delimiter != "\\n") {
            t.wrong(own.place("delimiter"), "lines end with a line feed; another delimiter is not supported");
        }
        let mut filters: Vec<Step> = self.charset(t, &own).into_iter().collect();
        let tag = own.text(t, "multiline_tag").unwrap_or_else(|| "multiline".to_owned());
        if !tag.is_empty() {
            let mut step = native_step(json!({"mutate": {}}));
            step.when = Some("contains(.message, \"\\n\")".to_owned());
            step.on_success.add_tag = vec![literal(&tag)];
            filters.push(Step::Filter(Box::new(step)));
        }
        filters.extend(self.original());
        filters
    }

    /// Keeps the text, with the names of the schema.
    fn original(&self) -> Option<Step> {
        (self.ecs == Ecs::Schema)
            .then(|| plain_step(json!({"mutate": {"copy": {"message": "event.original"}}})))
    }

    /// Makes UTF-8 of the text.
    fn charset(&self, t: &mut Translator<'_>, own: &Options) -> Option<Step> {
        let found = charset_of(t, own)?;
        if self.has_lines && !found.has_lines() {
            let message = format!(
                "lines are told apart before they are converted, and in {} they cannot be; convert them with iconv before",
                found.name()
            );
            t.wrong(own.place("charset"), message);
            return None;
        }
        (found != Charset::Utf8).then(|| plain_step(json!({"charset": {"from": found.name()}})))
    }
}

/// The option `charset`.
pub(super) fn charset_of(t: &mut Translator<'_>, options: &Options) -> Option<Charset> {
    let name = options.text(t, "charset")?;
    Charset::parse(&name).map_err(|message| t.wrong(options.place("charset"), message)).ok()
}

/// A line that is a JSON object; what is none stays, with the tag of Logstash's codec.
fn json_line(target: Option<&str>) -> Step {
    let mut config = json!({"json": {"source": "message", "remove_source": true}});
    if let (Some(target), Some(options)) = (target, config["json"].as_object_mut()) {
        options.insert("target".into(), target.into());
    }
    let step = native_step(config);
    Step::Filter(Box::new(FilterStep { tag_on_failure: vec!["_jsonparsefailure".to_owned()], ..step }))
}

/// How lines are joined.
fn multiline(t: &mut Translator<'_>, options: &Options) -> Option<Json> {
    let pattern = options.needed(t, "pattern")?;
    let what = options.needed(t, "what")?;
    let mut definitions = Map::new();
    for folder in options.list(t, "patterns_dir").unwrap_or_default() {
        super::filters::grok::pattern_files(t, &folder, "*", options, &mut definitions);
    }
    let side = match what.as_str() {
        "previous" => "after",
        "next" => "before",
        other => {
            let message = unknown("value", other, " of \"what\"", &["previous", "next"]);
            t.wrong(options.place("what"), message);
            return None;
        }
    };
    let mut config =
        json!({"pattern": pattern, "match": side, "negate": options.bool(t, "negate").unwrap_or(false)});
    if !definitions.is_empty() {
        config["definitions"] = definitions.into();
    }
    let values = [
        ("max_lines", options.number(t, "max_lines").map(Json::from)),
        ("max_bytes", options.bytes(t, "max_bytes").map(Json::from)),
        ("timeout", options.seconds(t, "auto_flush_interval").map(Json::from)),
    ];
    for (name, value) in values {
        if let Some(value) = value {
            config[name] = value;
        }
    }
    match serde_json::from_value::<MultilineConfig>(config.clone()).map(|own| own.check()) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => t.wrong(options.place("pattern"), error.message),
        Err(error) => t.wrong(options.place, error.to_string()),
    }
    Some(config)
}

#[cfg(test)]
mod tests {
    use crate::Source;
    use serde_json::{Value as Json, json};

    fn read(input: &str) -> Result<(Json, String), String> {
        let text = format!("input {{ {input} }} output {{ null {{ }} }}");
        let source = Source { name: "a.conf".to_owned(), text };
        let words =
            |problems: Vec<crate::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let read = crate::read(&[source]).map_err(|problems| words(problems).join("\n"))?;
        let pipeline = read.plan.pipelines.values().next().unwrap();
        let part = pipeline.inputs.values().next().unwrap();
        let filters = serde_json::to_string(&part.filters).unwrap();
        Ok((serde_json::to_value(&part.input).unwrap(), filters))
    }

    #[test]
    fn lines_are_joined() {
        #[track_caller]
        fn check(input: &str, expected: Json) {
            let codec = "codec => multiline { pattern => '^%{TIMESTAMP_ISO8601} ' negate => true what => previous auto_flush_interval => 2 }";
            let (found, filters) = read(&format!("{input} {codec} ecs_compatibility => v8 }}")).unwrap();
            let kind = input.split(' ').next().unwrap();
            assert_eq!(found[kind]["multiline"], expected);
            let place = |text: &str| filters.find(text).unwrap_or_else(|| panic!("{text}: {filters}"));
            assert!(place("[\"multiline\"]") < place("event.original"), "{filters}");
        }
        let rule = json!({
            "pattern": "^%{TIMESTAMP_ISO8601} ", "negate": true, "match": "after",
            "max_lines": 500, "max_bytes": "10MiB", "timeout": "2s"
        });
        for input in [
            "stdin {",
            "file { path => '/a'",
            "tcp { port => 1",
            "udp { port => 1",
            "http {",
            "exec { command => 'a' interval => 1",
        ] {
            check(input, rule.clone());
        }
        let (_, filters) = read(
            "stdin { codec => multiline { pattern => ' ' what => next multiline_tag => '' charset => 'CP1252' } }",
        )
        .unwrap();
        assert!(filters.contains("windows-1252") && !filters.contains("add_tag"), "{filters}");
    }

    #[test]
    fn character_sets() {
        #[track_caller]
        fn check(input: &str, expected: Option<&str>) {
            let (_, filters) = read(input).unwrap();
            let found = filters.find("\"from\":\"").map(|at| filters[at + 8..].split('"').next().unwrap());
            assert_eq!(found, expected, "{filters}");
        }
        check("stdin { codec => plain { charset => 'UTF-8' } }", None);
        check("stdin { codec => line { charset => 'ISO-8859-15' } }", Some("ISO-8859-15"));
        check("udp { port => 1 codec => json { charset => 'Shift_JIS' } }", Some("Shift_JIS"));
        check("udp { port => 1 codec => plain { charset => 'UTF-16LE' } }", Some("UTF-16LE"));
        check("tcp { port => 1 codec => json { charset => 'CP949' } }", Some("EUC-KR"));
        check("kafka { codec => json { charset => 'ISO-8859-1' } }", Some("ISO-8859-1"));
        check(
            "exec { command => 'a' interval => 1 codec => csv { charset => 'CP1251' } }",
            Some("windows-1251"),
        );
    }

    #[test]
    fn what_cannot_be() {
        #[track_caller]
        fn check(codec: &str, expected: &str) {
            let error = read(&format!("tcp {{ port => 1 codec => {codec} }}")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        check("plain { charset => 'UTF-16LE' }", "in UTF-16LE they cannot be");
        check("plain { charset => 'IBM437' }", "\"IBM437\" is not known");
        check("multiline { pattern => '%{NOSUCH}' what => previous }", "NOSUCH");
        check("multiline { pattern => '(' what => previous }", "(");
        check("multiline { pattern => 'a' what => both }", "\"both\"");
        check("multiline { what => next }", "\"pattern\"");
        check("multiline { pattern => 'a' what => next delimiter => ';' }", "another delimiter");
        check("rot13", "is not supported");
        for input in ["kafka {", "beats { port => 1", "generator {", "redis { data_type => list key => 'a'"] {
            let codec = "codec => multiline { pattern => ' ' what => previous }";
            let error = read(&format!("{input} {codec} }}")).unwrap_err();
            assert!(error.contains("lines are joined by the inputs exec, file"), "{error}");
        }
        for (input, expected) in [
            (
                "http { additional_codecs => { 'a/b' => multiline { pattern => ' ' what => next } } }",
                "the codec multiline cannot",
            ),
            ("http { additional_codecs => { 'a/b' => csv { } } }", "the codec csv cannot"),
            (
                "http { additional_codecs => { 'a/b' => json { target => 'a' } } }",
                "the codec json with target",
            ),
            ("http { codec => msgpack { format => 'a' } }", "additional_codecs => {}"),
        ] {
            let error = read(input).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn objects_below_a_target() {
        for (input, codec, own) in [
            ("udp { port => 1", "msgpack { target => '[a][b]' format => '%{x}' }", "msgpack"),
            ("http {", "json { target => '[a][b]' }", "json"),
            ("exec { command => 'a' interval => 1", "es_bulk { target => '[a][b]' }", "es_bulk"),
        ] {
            let (found, filters) = read(&format!("{input} codec => {codec} }}")).unwrap();
            let kind = input.split(' ').next().unwrap();
            assert_eq!((&found[kind]["target"], &found[kind]["codec"]), (&json!("a.b"), &json!(own)));
            let formats = filters.contains(r#""message":"%{x}""#) && filters.contains("!exists(.message)");
            assert_eq!(formats, own == "msgpack", "{filters}");
        }
        let (found, filters) = read("http { additional_codecs => { 'a/b' => 'es_bulk' } }").unwrap();
        assert_eq!(found["http"]["codecs"], json!({"a/b": "es_bulk"}));
        assert!(filters.contains("@metadata._index"), "{filters}");
    }
}
