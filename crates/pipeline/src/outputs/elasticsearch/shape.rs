//! An event becomes an action: which index, which id, which document.

use super::flow::{Action, Body, Flow};
use super::{Config, DataStream};
use event::{Path, Value, View};
use expr::{IndexName, Template};
use std::borrow::Cow;
use std::time::Instant;
use wire::bulk::{Kind, Line};
use xxhash_rust::xxh3::Xxh3;

/// Longer ids are refused by Elasticsearch, and the whole request with them.
const ID_BYTES_MAX: usize = 512;
/// How often the server itself repeats an update that met another writer.
const RETRY_ON_CONFLICT: u32 = 3;

/// How events become actions, compiled.
pub(super) struct Shape {
    place: Place,
    action: Which,
    id: Id,
    routing: Option<Template>,
    pipeline: Option<Template>,
    upsert: bool,
    document_bytes_max: usize,
    texts: Texts,
}

/// The texts of an action line, whose memory is used again.
#[derive(Default)]
struct Texts {
    index: Vec<u8>,
    id: Vec<u8>,
    routing: Vec<u8>,
    pipeline: Vec<u8>,
    action: Vec<u8>,
}

enum Place {
    Index(IndexName),
    Stream(Box<Stream>),
}

/// A data stream: `type-dataset-namespace`.
struct Stream {
    /// The parts by the options.
    names: [IndexName; 3],
    /// The fields that say them for an event.
    paths: [Path; 3],
    whole: Path,
    auto_routing: bool,
    sync_fields: bool,
    /// The parts for an event, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: [usize; 3],
}

enum Which {
    Always(Kind),
    Template(Template),
}

enum Id {
    Server,
    Event,
    Template(Template),
}

impl Shape {
    /// Compiles the options; an error names the option.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let template = |option: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(Template::parse).transpose();
            parsed.map_err(|error| format!("option \"{option}\": {error}"))
        };
        let place = match &config.data_stream {
            Some(stream) => Place::Stream(Box::new(Stream::new(stream)?)),
            None => {
                let name = IndexName::parse(&config.index, config.index_fallback.as_deref());
                Place::Index(name.map_err(|error| format!("option \"index\": {error}"))?)
            }
        };
        let id = match config.id.as_deref() {
            None => Id::Server,
            Some("event") => Id::Event,
            Some(text) => {
                Id::Template(Template::parse(text).map_err(|error| format!("option \"id\": {error}"))?)
            }
        };
        let action = match template("action", &config.action)? {
            None if config.data_stream.is_some() || matches!(id, Id::Event) => Which::Always(Kind::Create),
            None => Which::Always(Kind::Index),
            Some(template) if template.is_constant() => {
                let word = config.action.as_deref().unwrap_or_default();
                Which::Always(kind_of(word).map_err(|reason| format!("option \"action\": {reason}"))?)
            }
            Some(template) => Which::Template(template),
        };
        if let Which::Always(kind) = action {
            if config.data_stream.is_some() && kind != Kind::Create {
                return Err("option \"action\": a data stream takes \"create\" only".to_owned());
            }
            if matches!(kind, Kind::Update | Kind::Delete) && !matches!(id, Id::Template(_)) {
                let name = kind.name();
                return Err(format!("option \"action\": {name:?} needs the option \"id\", a template"));
            }
        }
        Ok(Self {
            place,
            action,
            id,
            routing: template("routing", &config.routing)?,
            pipeline: template("pipeline", &config.pipeline)?,
            upsert: config.upsert,
            document_bytes_max: usize::try_from(config.document_bytes_max.0).unwrap_or(usize::MAX),
            texts: Texts::default(),
        })
    }

    /// Whether the ids are those of the events, so that whatever has one already is this event.
    pub(super) fn has_event_ids(&self) -> bool {
        matches!(self.id, Id::Event)
    }

    /// Puts the action for an event on its way; an error says why the event cannot go.
    pub(super) fn put(
        &mut self,
        event: &View<'_>,
        sequence: u64,
        now: Instant,
        flow: &mut Flow,
    ) -> Result<(), String> {
        let texts = &mut self.texts;
        let kind = match &self.action {
            Which::Always(kind) => *kind,
            Which::Template(template) => {
                let word = rendered("action", template, event, &mut texts.action)?;
                kind_of(&String::from_utf8_lossy(word))?
            }
        };
        texts.index.clear();
        let sync = match &mut self.place {
            Place::Index(name) => {
                name.render(event, &mut texts.index).map_err(|error| error.to_string())?;
                None
            }
            Place::Stream(stream) => {
                stream.render(event, &mut texts.index)?;
                stream.sync_fields.then_some(&**stream)
            }
        };
        let (id, key) = match &self.id {
            Id::Server if matches!(kind, Kind::Update | Kind::Delete) => {
                return Err(format!("the action {:?} needs an id", kind.name()));
            }
            Id::Server => (None, None),
            Id::Event => {
                texts.id.clear();
                write_hex(event.id(), &mut texts.id);
                (Some(texts.id.as_slice()), None)
            }
            Id::Template(template) => {
                let id = rendered("id", template, event, &mut texts.id)?;
                if id.is_empty() || id.len() > ID_BYTES_MAX {
                    return Err(format!("an id has 1 to {ID_BYTES_MAX} bytes, this one has {}", id.len()));
                }
                let key = key_of(&texts.index, id);
                (Some(id), Some(key))
            }
        };
        let routing = match &self.routing {
            Some(template) => Some(rendered("routing", template, event, &mut texts.routing)?),
            None => None,
        };
        let pipeline = match &self.pipeline {
            Some(template) => Some(rendered("pipeline", template, event, &mut texts.pipeline)?),
            None => None,
        };
        let retry_on_conflict = if kind == Kind::Update { RETRY_ON_CONFLICT } else { 0 };
        let line = Line { kind, index: &texts.index, id, routing, pipeline, retry_on_conflict };
        let (upsert, limit) = (self.upsert, self.document_bytes_max);
        flow.add(key, now, |body| {
            let from = body.text.len();
            line.write(&mut body.text);
            let range = write_document(kind, upsert, event, sync, body);
            if range.len() > limit {
                return Err(format!(
                    "the document has {} bytes, more than \"document_bytes_max\" ({limit})",
                    range.len()
                ));
            }
            let whole = from..body.text.len();
            body.actions.push(Action { sequence, kind, key, whole, event: range, renames: 0 });
            Ok(())
        })
    }
}

/// Writes the document of an action and the ends of the line around it; says where the event is.
fn write_document(
    kind: Kind,
    upsert: bool,
    event: &View<'_>,
    sync: Option<&Stream>,
    body: &mut Body,
) -> std::ops::Range<usize> {
    if kind == Kind::Delete {
        let from = body.aside.len();
        event.write_json(&mut body.aside);
        return from..body.aside.len();
    }
    let text = &mut body.text;
    if kind == Kind::Update {
        text.extend_from_slice(b"{\"doc\":");
    }
    let from = text.len();
    match sync {
        Some(stream) => stream.write_event(event, text),
        None => event.write_json(text),
    }
    let to = text.len();
    if kind == Kind::Update {
        text.extend_from_slice(if upsert { b",\"doc_as_upsert\":true}" } else { b"}" });
    }
    text.push(b'\n');
    from..to
}

impl Stream {
    fn new(config: &DataStream) -> Result<Self, String> {
        let options =
            [("type", &config.kind), ("dataset", &config.dataset), ("namespace", &config.namespace)];
        let name = |(option, text): (&str, &str)| {
            IndexName::parse(text, None)
                .map_err(|error| format!("option \"data_stream\": its {option}: {error}"))
        };
        let [kind, dataset, namespace] = options.map(|(option, text)| name((option, text)));
        Ok(Self {
            names: [kind?, dataset?, namespace?],
            paths: options.map(|(option, _)| Path::of(["data_stream", option])),
            whole: Path::of(["data_stream"]),
            auto_routing: config.auto_routing,
            sync_fields: config.sync_fields,
            text: Vec::new(),
            ends: [0; 3],
        })
    }

    /// Appends the name of the stream, and keeps its parts for the document.
    fn render(&mut self, event: &View<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        self.text.clear();
        for (n, (name, path)) in self.names.iter_mut().zip(&self.paths).enumerate() {
            let own = if self.auto_routing { event.get(path) } else { None };
            match own {
                Some(Value::Str(text)) if !text.is_empty() => {
                    let from = self.text.len();
                    self.text.extend_from_slice(&text);
                    expr::check_index_name(&mut self.text, from)
                        .map_err(|error| format!("{}: {error}", path.dotted()))?;
                }
                _ => name.render(event, &mut self.text).map_err(|error| error.to_string())?,
            }
            self.ends[n] = self.text.len();
        }
        let [kind, dataset, namespace] = self.parts();
        for (part, end) in [(kind, &b"-"[..]), (dataset, b"-"), (namespace, b"")] {
            out.extend_from_slice(part);
            out.extend_from_slice(end);
        }
        Ok(())
    }

    fn parts(&self) -> [&[u8]; 3] {
        let [kind, dataset, namespace] = self.ends;
        [&self.text[..kind], &self.text[kind..dataset], &self.text[dataset..namespace]]
    }

    /// Writes the event with the fields `data_stream.*` as they were used.
    fn write_event(&self, event: &View<'_>, out: &mut Vec<u8>) {
        let is_same = |(path, part): (&Path, &[u8])| matches!(event.get(path), Some(Value::Str(text)) if *text == *part);
        if self.paths.iter().zip(self.parts()).all(is_same) {
            event.write_json(out);
            return;
        }
        let from = out.len();
        let has_none =
            event.get(&self.whole).is_none() && self.paths.iter().all(|path| event.get(path).is_none());
        if !has_none {
            // The event says something else: its own members are taken out, which is slow and rare.
            let mut own = Vec::new();
            event.write_json(&mut own);
            if let Ok(mut object) = serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&own) {
                object.retain(|name, _| name != "data_stream" && !name.starts_with("data_stream."));
                self.write_fields(out);
                let rest = serde_json::Value::Object(object).to_string();
                out.push(if rest == "{}" { b'}' } else { b',' });
                out.extend_from_slice(rest.as_bytes().get(1..).unwrap_or_default());
                return;
            }
            out.truncate(from);
        }
        self.write_fields(out);
        // The event has its time at least, so it begins with a member.
        let at = out.len();
        event.write_json(out);
        out[at] = b',';
    }

    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"data_stream\":{");
        for (n, (name, part)) in ["type", "dataset", "namespace"].into_iter().zip(self.parts()).enumerate() {
            out.extend_from_slice(if n > 0 { b",\"" } else { b"\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            event::json::write_str(part, out);
        }
        out.push(b'}');
    }
}

fn kind_of(word: &str) -> Result<Kind, String> {
    let kinds = [Kind::Index, Kind::Create, Kind::Update, Kind::Delete];
    kinds
        .into_iter()
        .find(|kind| kind.name() == word)
        .ok_or_else(|| format!("{word:?} is no action; there are index, create, update, delete"))
}

fn rendered<'t>(
    option: &str,
    template: &Template,
    event: &View<'_>,
    out: &'t mut Vec<u8>,
) -> Result<&'t [u8], String> {
    out.clear();
    let moment = event.time();
    template.render_at(event, moment, out).map_err(|missing| format!("option {option:?}: {missing}"))?;
    if let Cow::Owned(text) = String::from_utf8_lossy(out) {
        *out = text.into_bytes();
    }
    Ok(out)
}

fn key_of(index: &[u8], id: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(index);
    hash.update(&[0]);
    hash.update(id);
    hash.digest128()
}

/// As the store writes the ids of its documents: 32 digits.
fn write_hex(id: u128, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..32).rev().map(|place| DIGITS[(id >> (place * 4)) as usize & 15]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Batch, Common, Origin};

    /// The body for an event with these options (YAML as JSON).
    fn body(options: &str, event: &str) -> Result<String, String> {
        let config: Config = serde_json::from_str(options).unwrap();
        let mut shape = Shape::new(&config)?;
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(event.as_bytes(), 0).unwrap();
        let (mut flow, now) = (Flow::new(), Instant::now());
        shape.put(&batch.view(0), 0, now, &mut flow)?;
        flow.seal(now);
        let sent = flow.send(now).unwrap();
        let action = &sent.body.actions[0];
        let own: serde_json::Value = serde_json::from_slice(sent.body.event(action)).unwrap();
        assert!(own.is_object());
        assert_eq!(action.whole, 0..sent.body.text.len());
        Ok(String::from_utf8(sent.body.text.clone()).unwrap())
    }

    const TIME: &str = "\"@timestamp\":\"2026-11-21T02:45:04.000Z\"";

    #[track_caller]
    fn check(options: &str, event: &str, line: &str, document: &str) {
        let event = format!("{{{TIME},{event}}}");
        let expected = format!("{line}\n{}", document.replace("TIME", TIME));
        assert_eq!(body(options, &event).unwrap(), expected);
    }

    #[test]
    fn actions() {
        check("{}", r#""a":1"#, r#"{"index":{"_index":"logs-2026.11.21"}}"#, "{TIME,\"a\":1}\n");
        check(
            r#"{"index":"l-{{ a.b }}","id":"%{[a][c]}","routing":"r-%{a.b}","pipeline":"p"}"#,
            r#""a":{"b":"X","c":7}"#,
            r#"{"index":{"_index":"l-x","_id":"7","routing":"r-X","pipeline":"p"}}"#,
            "{TIME,\"a\":{\"b\":\"X\",\"c\":7}}\n",
        );
        check(
            r#"{"index":"i","action":"update","id":"%{n}","upsert":true}"#,
            r#""n":1"#,
            r#"{"update":{"_index":"i","_id":"1","retry_on_conflict":3}}"#,
            "{\"doc\":{TIME,\"n\":1},\"doc_as_upsert\":true}\n",
        );
        check(
            r#"{"index":"i","action":"%{op}","id":"%{n}"}"#,
            r#""n":1,"op":"delete""#,
            r#"{"delete":{"_index":"i","_id":"1"}}"#,
            "",
        );
    }

    #[test]
    fn ids_of_events() {
        let text = body(r#"{"index":"i","id":"event"}"#, "{\"a\":1}").unwrap();
        let id = text.split("\"_id\":\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(text.starts_with("{\"create\""));
        let mut hex = Vec::new();
        write_hex(0x0123_abcd, &mut hex);
        assert_eq!(hex, format!("{:032x}", 0x0123_abcd).into_bytes());
    }

    #[test]
    fn data_streams() {
        let line = r#"{"create":{"_index":"logs-generic-default"}}"#;
        let fields = r#""data_stream":{"type":"logs","dataset":"generic","namespace":"default"}"#;
        check(r#"{"data_stream":{}}"#, r#""a":1"#, line, &format!("{{{fields},TIME,\"a\":1}}\n"));
        check(r#"{"data_stream":{}}"#, fields, line, &format!("{{TIME,{fields}}}\n"));
        check(r#"{"data_stream":{"sync_fields":false}}"#, r#""a":1"#, line, "{TIME,\"a\":1}\n");
        let line = r#"{"create":{"_index":"logs-web-default"}}"#;
        let fields = r#""data_stream":{"type":"logs","dataset":"web","namespace":"default"}"#;
        let own = r#""data_stream":{"dataset":"Web"}"#;
        check(r#"{"data_stream":{}}"#, own, line, &format!("{{{fields},TIME}}\n"));
        check(
            r#"{"data_stream":{}}"#,
            r#""data_stream.dataset":"web""#,
            line,
            &format!("{{{fields},TIME}}\n"),
        );
        check(
            r#"{"data_stream":{"auto_routing":false,"dataset":"%{app}","namespace":"n"}}"#,
            r#""app":"x","data_stream":{"dataset":"web"}"#,
            r#"{"create":{"_index":"logs-x-n"}}"#,
            r#"{"data_stream":{"type":"logs","dataset":"x","namespace":"n"},TIME,"app":"x"}
"#,
        );
    }

    #[test]
    fn events_that_cannot_go() {
        for (options, event, expected) in [
            (r#"{"index":"%{no}"}"#, "{}", "no field \"no\""),
            (r#"{"id":"%{no}"}"#, "{}", "option \"id\": the event has no field \"no\""),
            (r#"{"id":"%{e}"}"#, r#"{"e":""}"#, "an id has 1 to 512 bytes"),
            (r#"{"routing":"%{no}"}"#, "{}", "option \"routing\""),
            (r#"{"action":"%{op}"}"#, r#"{"op":"drop"}"#, "\"drop\" is no action"),
            (r#"{"action":"%{op}"}"#, r#"{"op":"update"}"#, "needs an id"),
            (
                r#"{"document_bytes_max":20}"#,
                r#"{"a":"0123456789"}"#,
                "more than \"document_bytes_max\" (20)",
            ),
            (
                r#"{"data_stream":{}}"#,
                r#"{"data_stream":{"dataset":"a,b"}}"#,
                "data_stream.dataset: \"a,b\" cannot",
            ),
        ] {
            let error = body(options, event).unwrap_err();
            assert!(error.contains(expected), "{options}: {error}");
        }
    }

    #[test]
    fn options_that_do_not_fit() {
        for (options, expected) in [
            (r#"{"index":"a b"}"#, "option \"index\""),
            (r#"{"index":"%{a"}"#, "option \"index\""),
            (r#"{"action":"drop"}"#, "option \"action\""),
            (r#"{"action":"delete"}"#, "needs the option \"id\""),
            (r#"{"action":"update","id":"event"}"#, "needs the option \"id\""),
            (r#"{"action":"index","data_stream":{}}"#, "takes \"create\" only"),
            (r#"{"data_stream":{"dataset":"a b"}}"#, "its dataset"),
            (r#"{"pipeline":"%{"}"#, "option \"pipeline\""),
        ] {
            let error = body(options, "{}").unwrap_err();
            assert!(error.contains(expected), "{options}: {error}");
        }
    }
}
