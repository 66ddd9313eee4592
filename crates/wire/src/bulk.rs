//! Elasticsearch's `_bulk`: a body of one JSON object a line, an action and then its
//! document, and an answer with an item for each action.
//!
//! A server reads bodies (`decode`) and writes answers (`encode_response`); a shipper writes
//! bodies by [`Line`] and reads answers by [`Answer`].

mod answer;
mod line;

pub use answer::{Answer, AnswerError, Outcome, Verdict, judge, read_error};
pub use line::Line;

use serde_json::{Map, Value, json};
use std::fmt;

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stored, in place of one with the same id.
    Index,
    /// Stored, unless there is one with the same id.
    Create,
    /// Changed.
    Update,
    /// Removed.
    Delete,
}

impl Kind {
    /// The word in the action line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Index => "index",
            Kind::Create => "create",
            Kind::Update => "update",
            Kind::Delete => "delete",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Kind::Index, Kind::Create, Kind::Update, Kind::Delete].into_iter().find(|kind| kind.name() == name)
    }
}

/// One action with its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action<'a> {
    /// What is to be done.
    pub kind: Kind,
    /// Where and with which id.
    pub target: Target,
    /// The document, as it is written; none to remove one.
    pub source: Option<&'a [u8]>,
}

/// The options of an action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The index; none: that of the request.
    pub index: Option<String>,
    /// The id; none: one is made.
    pub id: Option<String>,
    /// What decides about the shard.
    pub routing: Option<String>,
    /// The ingest pipeline that the document goes through.
    pub pipeline: Option<String>,
    /// Whether the index must be an alias.
    pub require_alias: bool,
    /// Whether the action depends on the version that is stored (`version`, `if_seq_no` …).
    pub versioned: bool,
}

/// Why a body is not a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BulkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Malformed action/metadata line [{}], {}", self.line, self.reason)
    }
}
impl std::error::Error for BulkError {}

/// Reads a body. Its last line may lack its end, and lines may end as on Windows. Documents
/// are not looked into.
pub fn decode(body: &[u8]) -> Result<Vec<Action<'_>>, BulkError> {
    let mut actions = Vec::new();
    let mut lines = Lines { rest: body, line: 0 };
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let at = lines.line;
        let wrong = |reason: String| BulkError { line: at, reason };
        let action: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        let mut members = action.into_iter();
        let (Some((name, options)), None) = (members.next(), members.next()) else {
            return Err(wrong("expected one of [create, delete, index, update]".to_owned()));
        };
        let kind = Kind::of(&name).ok_or_else(|| {
            wrong(format!("expected one of [create, delete, index, update] but found [{name}]"))
        })?;
        let target = read_target(options).map_err(wrong)?;
        let source = match kind {
            Kind::Delete => None,
            _ => match lines.next() {
                Some(source) if !source.is_empty() => Some(source),
                _ => return Err(BulkError { line: at + 1, reason: "the document is missing".to_owned() }),
            },
        };
        actions.push(Action { kind, target, source });
    }
    Ok(actions)
}

struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(line.trim_ascii())
    }
}

fn read_target(options: Value) -> Result<Target, String> {
    let Value::Object(options) = options else { return Err("expected an object of options".to_owned()) };
    let mut target = Target::default();
    for (name, value) in options {
        let text = || match &value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
            _ => Err(format!("[{name}] takes a text")),
        };
        match name.as_str() {
            "_index" => target.index = text()?,
            "_id" => target.id = text()?,
            "routing" | "_routing" => target.routing = text()?,
            "pipeline" => target.pipeline = text()?.filter(|name| name != "_none"),
            "require_alias" => target.require_alias = value == true || value == "true",
            "version" | "_version" | "if_seq_no" | "if_primary_term" => target.versioned |= !value.is_null(),
            "_type" | "version_type" | "_version_type" | "retry_on_conflict" | "_source" => {}
            _ => {
                return Err(format!(
                    "unknown parameter [{name}]; there are _index, _id, routing, pipeline, require_alias, if_seq_no, if_primary_term, version"
                ));
            }
        }
    }
    Ok(target)
}

/// Writes an action and its document, which must be one line.
pub fn encode(action: &Action<'_>, out: &mut Vec<u8>) {
    let target = &action.target;
    let mut options = Map::new();
    let texts = [
        ("_index", &target.index),
        ("_id", &target.id),
        ("routing", &target.routing),
        ("pipeline", &target.pipeline),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            options.insert(name.to_owned(), text.as_str().into());
        }
    }
    if target.require_alias {
        options.insert("require_alias".to_owned(), true.into());
    }
    out.extend_from_slice(json!({ (action.kind.name()): options }).to_string().as_bytes());
    out.push(b'\n');
    if let Some(source) = action.source {
        out.extend_from_slice(source);
        out.push(b'\n');
    }
}

/// The answer to a bulk request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// How long it took.
    pub took_ms: u64,
    /// What became of each action, in the order of the request.
    pub items: Vec<Item>,
}

/// What became of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What was to be done.
    pub kind: Kind,
    /// The index.
    pub index: String,
    /// The id, if it has one.
    pub id: Option<String>,
    /// As of HTTP: 200 and 201 are good, 429 may be tried again.
    pub status: u16,
    /// `created`, `updated`, `deleted` or `not_found`; the reason where it failed.
    pub outcome: Result<Done, Refusal>,
}

/// An action that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// `created`, `updated`, `deleted` or `not_found`.
    pub result: String,
    /// Its sequence.
    pub sequence: u64,
}

/// Why an action was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Such as `mapper_parsing_exception`.
    pub kind: String,
    /// What is wrong.
    pub reason: String,
}

impl Response {
    /// Whether any action was refused.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.outcome.is_err())
    }

    /// The answer as JSON.
    pub fn to_json(&self) -> Value {
        let items: Vec<Value> =
            self.items.iter().map(|item| json!({ (item.kind.name()): item.to_json() })).collect();
        json!({ "took": self.took_ms, "errors": self.has_errors(), "items": items })
    }
}

impl Item {
    /// The item as JSON, without its kind.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("_index".to_owned(), self.index.as_str().into());
        object.insert("_type".to_owned(), "_doc".into());
        object.insert("_id".to_owned(), self.id.as_deref().map_or(Value::Null, Value::from));
        match &self.outcome {
            Ok(done) => {
                object.insert("_version".to_owned(), if done.result == "updated" { 2 } else { 1 }.into());
                object.insert("result".to_owned(), done.result.as_str().into());
                object.insert("_shards".to_owned(), json!({ "total": 1, "successful": 1, "failed": 0 }));
                object.insert("_seq_no".to_owned(), done.sequence.into());
                object.insert("_primary_term".to_owned(), 1.into());
                object.insert("status".to_owned(), self.status.into());
            }
            Err(refusal) => {
                object.insert("status".to_owned(), self.status.into());
                object.insert("error".to_owned(), json!({ "type": refusal.kind, "reason": refusal.reason }));
            }
        }
        Value::Object(object)
    }
}

/// Writes an answer.
pub fn encode_response(response: &Response, out: &mut Vec<u8>) {
    out.extend_from_slice(response.to_json().to_string().as_bytes());
}

/// Reads an answer. A reason that lies deeper (`caused_by`) is added to the one above.
pub fn decode_response(body: &[u8]) -> Result<Response, BulkError> {
    let wrong = |reason: String| BulkError { line: 1, reason };
    let body: Value = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    let Some(list) = body["items"].as_array() else {
        return Err(wrong("an answer to _bulk has [items]".to_owned()));
    };
    let items = list.iter().map(|entry| read_item(entry).ok_or_else(|| wrong(format!("bad item {entry}"))));
    Ok(Response { took_ms: body["took"].as_u64().unwrap_or(0), items: items.collect::<Result<_, _>>()? })
}

fn read_item(entry: &Value) -> Option<Item> {
    let (name, item) = entry.as_object()?.iter().next()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = u16::try_from(item["status"].as_u64()?).ok()?;
    let outcome = match item.get("error") {
        None | Some(Value::Null) => {
            Ok(Done { result: text(&item["result"]), sequence: item["_seq_no"].as_u64().unwrap_or(0) })
        }
        // Before version 2 the error was a text, and some proxies still answer so.
        Some(Value::String(reason)) => Err(Refusal { kind: String::new(), reason: reason.clone() }),
        Some(error) => {
            let mut reason = text(&error["reason"]);
            if let Some(cause) = error["caused_by"]["reason"].as_str() {
                reason.push_str(": ");
                reason.push_str(cause);
            }
            Err(Refusal { kind: text(&error["type"]), reason })
        }
    };
    let id = item["_id"].as_str().map(str::to_owned);
    Some(Item { kind: Kind::of(name)?, index: text(&item["_index"]), id, status, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies() {
        let body = b"{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"_type\":\"_doc\"}}\r\n{\"x\":1}\r\n\n{\"delete\":{\"_id\":2}}\n{\"create\":{\"pipeline\":\"p\",\"routing\":\"r\"}}\n{}";
        let actions = decode(body).unwrap();
        let kinds: Vec<_> = actions.iter().map(|action| (action.kind, action.source)).collect();
        assert_eq!(
            kinds,
            [(Kind::Index, Some(&b"{\"x\":1}"[..])), (Kind::Delete, None), (Kind::Create, Some(&b"{}"[..]))]
        );
        assert_eq!(actions[1].target.id.as_deref(), Some("2"));
        assert_eq!(actions[2].target.pipeline.as_deref(), Some("p"));
    }

    #[test]
    fn bad_bodies_name_the_line() {
        for (bad, line) in [
            ("{\"index\":{}}", 2),
            ("x", 1),
            ("{\"delete\":{}}\n{\"nope\":{}}", 2),
            ("{}\n{}", 1),
            ("{\"index\":{\"foo\":1}}\n{}", 1),
            ("{\"index\":[]}\n{}", 1),
            ("{\"index\":{\"_id\":{}}}\n{}", 1),
            ("\n\n{\"index\":{}}\n\n{}", 4),
        ] {
            assert_eq!(decode(bad.as_bytes()).unwrap_err().line, line, "{bad}");
        }
    }

    #[test]
    fn responses() {
        let body = br#"{"took":3,"errors":true,"items":[{"index":{"_index":"a","_type":"_doc","_id":"1","_version":1,"result":"created","_seq_no":7,"status":201}},{"create":{"_index":"a","_id":"2","status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse","caused_by":{"type":"x","reason":"bad number"}}}}]}"#;
        let response = decode_response(body).unwrap();
        assert!(response.has_errors());
        assert_eq!(response.items[0].outcome, Ok(Done { result: "created".into(), sequence: 7 }));
        assert_eq!(
            response.items[1].outcome,
            Err(Refusal {
                kind: "mapper_parsing_exception".into(),
                reason: "failed to parse: bad number".into()
            })
        );
        for bad in ["", "{}", "[]", r#"{"items":[{}]}"#, r#"{"items":[{"index":{"status":99999999}}]}"#] {
            assert!(decode_response(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![Kind::Index, Kind::Create, Kind::Update, Kind::Delete])
    }

    proptest! {
        #[test]
        fn there_and_back(items in prop::collection::vec((any::<Option<String>>(), kind(), any::<i32>(), any::<bool>()), 0..5)) {
            let sources: Vec<String> = items.iter().map(|(_, _, n, _)| format!("{{\"n\":{n}}}")).collect();
            let actions: Vec<Action> = items.iter().zip(&sources).map(|((id, kind, _, flag), source)| Action {
                kind: *kind,
                target: Target { index: Some("a".into()), id: id.clone(), routing: id.clone(), require_alias: *flag, ..Target::default() },
                source: (*kind != Kind::Delete).then_some(source.as_bytes()),
            }).collect();
            let mut body = Vec::new();
            actions.iter().for_each(|action| encode(action, &mut body));
            prop_assert_eq!(decode(&body).unwrap(), actions);
        }

        #[test]
        fn responses_there_and_back(took_ms: u32, items in prop::collection::vec((kind(), any::<String>(), any::<Option<String>>(), any::<u16>(), any::<bool>()), 0..5)) {
            let items = items.into_iter().map(|(kind, index, id, status, good)| {
                let outcome = if good {
                    Ok(Done { result: index.clone(), sequence: u64::from(status) })
                } else {
                    Err(Refusal { kind: index.clone(), reason: "because".to_owned() })
                };
                Item { kind, index, id, status, outcome }
            });
            let response = Response { took_ms: took_ms.into(), items: items.collect() };
            let mut body = Vec::new();
            encode_response(&response, &mut body);
            prop_assert_eq!(decode_response(&body).unwrap(), response);
        }

        #[test]
        fn any_bytes(body: Vec<u8>) {
            let _ = decode(&body);
            let _ = decode_response(&body);
        }

        #[test]
        fn nearly_bodies(body in "(\\{\"(index|create|delete|no)\":\\{(\"_id\":[0-9]*)?\\}\\}|\\{\\}|\n|\r\n|x){0,9}") {
            let _ = decode(body.as_bytes());
        }
    }
}
