//! Elasticsearch's `_bulk` body: one JSON object a line, an action and then its document.

use serde::{Deserialize, Serialize};
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The index; none: that of the request.
    #[serde(rename = "_index", default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The id; none: one is made.
    #[serde(rename = "_id", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
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

/// Reads a body. Its last line may lack its end.
pub fn decode(body: &[u8]) -> Result<Vec<Action<'_>>, BulkError> {
    let mut actions = Vec::new();
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    while let Some((n, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let wrong = |reason: &str| BulkError { line: n + 1, reason: reason.to_owned() };
        let action: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
        let mut members = action.into_iter();
        let (Some((name, target)), None) = (members.next(), members.next()) else {
            return Err(wrong("expected one of [create, delete, index, update]"));
        };
        let kind = match name.as_str() {
            "index" => Kind::Index,
            "create" => Kind::Create,
            "update" => Kind::Update,
            "delete" => Kind::Delete,
            other => {
                return Err(wrong(&format!(
                    "expected one of [create, delete, index, update] but found [{other}]"
                )));
            }
        };
        let target: Target = serde_json::from_value(target).map_err(|error| wrong(&error.to_string()))?;
        let source = match kind {
            Kind::Delete => None,
            _ => match lines.next() {
                Some((_, source)) if !source.is_empty() => Some(source),
                _ => return Err(BulkError { line: n + 2, reason: "the document is missing".to_owned() }),
            },
        };
        actions.push(Action { kind, target, source });
    }
    Ok(actions)
}

/// Writes an action and its document, which must be one line.
pub fn encode(action: &Action<'_>, out: &mut Vec<u8>) {
    let target = serde_json::to_value(&action.target).unwrap_or_default();
    let line = serde_json::json!({ (action.kind.name()): target });
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
    if let Some(source) = action.source {
        out.extend_from_slice(source);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies() {
        let body = b"{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"_type\":\"_doc\"}}\r\n{\"x\":1}\r\n\n{\"delete\":{\"_id\":\"2\"}}\n{\"create\":{}}\n{}";
        let actions = decode(body).unwrap();
        let kinds: Vec<_> = actions.iter().map(|action| (action.kind, action.source)).collect();
        assert_eq!(
            kinds,
            [(Kind::Index, Some(&b"{\"x\":1}"[..])), (Kind::Delete, None), (Kind::Create, Some(&b"{}"[..]))]
        );
        for (bad, line) in
            [("{\"index\":{}}", 2), ("x", 1), ("{\"delete\":{}}\n{\"nope\":{}}", 2), ("{}\n{}", 1)]
        {
            assert_eq!(decode(bad.as_bytes()).unwrap_err().line, line, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(items in prop::collection::vec((any::<Option<String>>(), 0..3_u8, any::<i32>()), 0..5)) {
            let sources: Vec<String> = items.iter().map(|(_, _, n)| format!("{{\"n\":{n}}}")).collect();
            let actions: Vec<Action> = items.iter().zip(&sources).map(|((id, kind, _), source)| Action {
                kind: [Kind::Index, Kind::Create, Kind::Delete][*kind as usize],
                target: Target { index: Some("a".into()), id: id.clone() },
                source: (*kind != 2).then_some(source.as_bytes()),
            }).collect();
            let mut body = Vec::new();
            actions.iter().for_each(|action| encode(action, &mut body));
            prop_assert_eq!(decode(&body).unwrap(), actions);
        }

        #[test]
        fn any_bytes(body: Vec<u8>) {
            let _ = decode(&body);
        }
    }
}
