//! `_update`: a part of a document is laid over what is there.

use super::EsError;
use super::api::read_json;
use serde_json::{Map, Value};

const PARTS: [&str; 6] = ["doc", "doc_as_upsert", "upsert", "detect_noop", "_source", "scripted_upsert"];

/// What is to become of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    doc: Option<Map<String, Value>>,
    upsert: Option<Map<String, Value>>,
    detects_noop: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Changed {
    /// It was not there: this is new.
    Created(Vec<u8>),
    /// It is this now.
    Updated(Vec<u8>),
    /// It was so already.
    Same,
}

impl Change {
    /// Reads the body of the request. Scripts are refused.
    pub(crate) fn read(body: &[u8]) -> Result<Self, EsError> {
        let json = read_json(body)?;
        let json =
            json.as_object().ok_or_else(|| EsError::parsing("the body of an update must be an object"))?;
        if json.contains_key("script") {
            return Err(EsError::argument("[script] is not supported; there are [doc] and [upsert]"));
        }
        if let Some(name) = json.keys().find(|name| !PARTS.contains(&name.as_str())) {
            return Err(EsError::unknown("the part of an update", name, &PARTS[..4]));
        }
        let object = |name: &str| match json.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object.clone())),
            Some(_) => Err(EsError::parsing(format!("[{name}] of an update must be an object")).about(name)),
        };
        let (doc, upsert) = (object("doc")?, object("upsert")?);
        if doc.is_none() {
            return Err(EsError::new(
                400,
                "action_request_validation_exception",
                "Validation Failed: 1: script or doc is missing;",
            ));
        }
        let is_own_upsert = json.get("doc_as_upsert") == Some(&Value::Bool(true));
        let upsert = if is_own_upsert { doc.clone() } else { upsert };
        Ok(Self { doc, upsert, detects_noop: json.get("detect_noop") != Some(&Value::Bool(false)) })
    }

    /// Makes the new document of the old one; `None` where there is none and none is made.
    pub(crate) fn apply(&self, old: Option<&[u8]>) -> Option<Changed> {
        let bytes = |object: Map<String, Value>| Value::Object(object).to_string().into_bytes();
        let Some(old) = old else {
            return self.upsert.clone().map(|new| Changed::Created(bytes(new)));
        };
        let mut object: Map<String, Value> = serde_json::from_slice(old).unwrap_or_default();
        let changed = self.doc.as_ref().is_some_and(|doc| lay_over(&mut object, doc));
        Some(if changed || !self.detects_noop { Changed::Updated(bytes(object)) } else { Changed::Same })
    }
}

/// Objects are merged, everything else is replaced; says whether anything changed.
fn lay_over(object: &mut Map<String, Value>, doc: &Map<String, Value>) -> bool {
    let mut changed = false;
    for (name, new) in doc {
        match (object.get_mut(name), new) {
            (Some(Value::Object(old)), Value::Object(new)) => changed |= lay_over(old, new),
            (Some(old), new) if old == new => {}
            _ => {
                object.insert(name.clone(), new.clone());
                changed = true;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes() {
        #[track_caller]
        fn check(body: &str, old: Option<&str>, expected: Option<Changed>) {
            let change = Change::read(body.as_bytes()).unwrap();
            assert_eq!(change.apply(old.map(str::as_bytes)), expected);
        }
        let updated = |text: &str| Some(Changed::Updated(text.as_bytes().to_vec()));
        let created = |text: &str| Some(Changed::Created(text.as_bytes().to_vec()));
        check(r#"{"doc":{"b":2}}"#, Some(r#"{"a":1}"#), updated(r#"{"a":1,"b":2}"#));
        check(
            r#"{"doc":{"o":{"y":[1]}}}"#,
            Some(r#"{"o":{"x":1,"y":2}}"#),
            updated(r#"{"o":{"x":1,"y":[1]}}"#),
        );
        check(r#"{"doc":{"o":1}}"#, Some(r#"{"o":{"x":1}}"#), updated(r#"{"o":1}"#));
        check(r#"{"doc":{"a":1}}"#, Some(r#"{"a":1}"#), Some(Changed::Same));
        check(r#"{"doc":{"a":1},"detect_noop":false}"#, Some(r#"{"a":1}"#), updated(r#"{"a":1}"#));
        check(r#"{"doc":{"a":1}}"#, None, None);
        check(r#"{"doc":{"a":1},"doc_as_upsert":true}"#, None, created(r#"{"a":1}"#));
        check(r#"{"doc":{"a":1},"upsert":{"b":1}}"#, None, created(r#"{"b":1}"#));
        for (body, status) in [("{}", 400), (r#"{"script":"x"}"#, 400), (r#"{"doc":1}"#, 400), ("[]", 400)] {
            assert_eq!(Change::read(body.as_bytes()).unwrap_err().status, status, "{body}");
        }
    }

    proptest! {
        /// Laying the same part over a document twice changes nothing the second time.
        #[test]
        fn the_second_time_is_the_same(
            old in prop::collection::btree_map("[abc]", 0..3_u8, 0..4),
            new in prop::collection::btree_map("[abc]", prop::collection::btree_map("[xy]", 0..2_u8, 0..3), 0..4),
        ) {
            let body = serde_json::json!({ "doc": new }).to_string();
            let change = Change::read(body.as_bytes()).unwrap();
            let old = serde_json::json!(old).to_string().into_bytes();
            let once = match change.apply(Some(&old)) {
                Some(Changed::Updated(bytes)) => bytes,
                other => {
                    prop_assert_eq!(other, Some(Changed::Same));
                    old
                }
            };
            prop_assert_eq!(change.apply(Some(&once)), Some(Changed::Same));
        }
    }
}
