//! The answer to a bulk request as a shipper needs it: nothing of it is looked at while
//! `errors` is false, and else only the status and the error of each item.
//!
//! [`decode_response`](super::decode_response) keeps whole items; an answer to a large request
//! can have megabytes of them, so this one borrows from the text and keeps none.

use super::Kind;
use event::Value;
use event::json;
use std::borrow::Cow;
use std::fmt;

/// An answer whose items were not looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<'a> {
    /// Whether any item failed.
    pub has_errors: bool,
    items: Cow<'a, str>,
}

/// What became of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// As of HTTP.
    pub status: u16,
    /// Such as `mapper_parsing_exception`; empty where nothing failed.
    pub kind: Cow<'a, str>,
    /// What is wrong, with the deepest cause behind it; empty where nothing failed.
    pub reason: Cow<'a, str>,
}

/// Why a text is not an answer to a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerError(String);

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for AnswerError {}

fn wrong(reason: impl Into<String>) -> AnswerError {
    AnswerError(reason.into())
}

impl<'a> Answer<'a> {
    /// Reads an answer; where `errors` is missing, the items are to be asked.
    pub fn read(body: &'a [u8]) -> Result<Self, AnswerError> {
        let text = std::str::from_utf8(body).map_err(|_| wrong("not UTF-8"))?;
        let (mut errors, mut items) = (None, None);
        json::members(text.trim(), |name, value| match (name, value) {
            ("errors", Value::Bool(value)) => errors = Some(value),
            ("items", Value::Json(list)) if list.starts_with('[') => items = Some(list),
            _ => {}
        })
        .map_err(|error| wrong(error.to_string()))?;
        match (errors, items) {
            (None, None) => Err(wrong("it has neither [errors] nor [items]")),
            (errors, items) => {
                Ok(Self { has_errors: errors.unwrap_or(true), items: items.unwrap_or(Cow::Borrowed("[]")) })
            }
        }
    }

    /// Calls `each` with what became of every action, in the order of the request.
    pub fn items(&self, mut each: impl FnMut(Outcome<'_>)) -> Result<(), AnswerError> {
        let mut bad = None;
        json::elements(&self.items, |item| match read_item(&item) {
            Some(outcome) => each(outcome),
            None => bad = bad.take().or_else(|| Some(wrong(format!("an item is {item:?}")))),
        })
        .map_err(|error| wrong(error.to_string()))?;
        bad.map_or(Ok(()), Err)
    }
}

/// `{"index":{"status":400,"error":{"type":…,"reason":…,"caused_by":{…}}}}`
fn read_item<'a>(item: &'a Value<'a>) -> Option<Outcome<'a>> {
    let Value::Json(item) = item else { return None };
    let mut inner = None;
    json::members(item, |_, value| inner = Some(value)).ok()?;
    let Some(Value::Json(Cow::Borrowed(inner))) = inner else { return None };
    let (mut status, mut error) = (None, Value::Null);
    json::members(inner, |name, value| match name {
        "status" => status = Some(value),
        "error" => error = value,
        _ => {}
    })
    .ok()?;
    let Some(Value::Int(status)) = status else { return None };
    let status = u16::try_from(status).ok()?;
    let (kind, reason) = match error {
        // Before version 2 the error was a text, and some proxies still answer so.
        Value::Str(text) => (Cow::Borrowed(""), text_of(text)),
        Value::Json(Cow::Borrowed(error)) => read_error(error)?,
        _ => (Cow::Borrowed(""), Cow::Borrowed("")),
    };
    Some(Outcome { status, kind, reason })
}

/// The type and the reason of an error as Elasticsearch writes it; `None` when it is no object.
pub fn read_error(error: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    let (mut kind, mut reason, mut cause) = (Cow::Borrowed(""), Cow::Borrowed(""), None);
    json::members(error, |name, value| match (name, value) {
        ("type", Value::Str(text)) => kind = text_of(text),
        ("reason", Value::Str(text)) => reason = text_of(text),
        ("caused_by", Value::Json(Cow::Borrowed(text))) => cause = Some(text),
        _ => {}
    })
    .ok()?;
    if let Some((_, cause)) = cause.and_then(read_error)
        && !cause.is_empty()
    {
        reason = if reason.is_empty() { cause } else { format!("{reason}: {cause}").into() };
    }
    Some((kind, reason))
}

fn text_of(text: Cow<'_, [u8]>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => String::from_utf8_lossy(text),
        Cow::Owned(text) => String::from_utf8_lossy(&text).into_owned().into(),
    }
}

/// What follows from the status of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Delivered,
    /// There is a document of this id already, so `create` did nothing.
    Exists,
    /// It may be taken later.
    Retry,
    /// It will never be taken as it is.
    Refused,
}

/// Judges an item.
///
/// 429 and 5xx pass. So do 401 and 403 (a password that was changed, an index that is read-only
/// because a disk was full), and a cluster that has as many shards as it may: each of these ends
/// when somebody mends it, and until then the events are safe where they wait. 409 on anything
/// but `create` is another writer who was faster. A document that is to be deleted and is not
/// there is done.
pub fn judge(kind: Kind, outcome: &Outcome<'_>) -> Verdict {
    match outcome.status {
        200..=299 => Verdict::Delivered,
        404 if kind == Kind::Delete && outcome.kind.is_empty() => Verdict::Delivered,
        409 if kind == Kind::Create => Verdict::Exists,
        401 | 403 | 408 | 409 | 429 | 500..=599 => Verdict::Retry,
        // "this action would add [2] total shards, but this cluster currently has [1000]/[1000]
        // maximum shards open"; later versions name the kind of shards in between.
        400 if outcome.kind == "validation_exception" && outcome.reason.contains("shards open") => {
            Verdict::Retry
        }
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::{Done, Item, Refusal, Response, encode_response};
    use proptest::prelude::*;

    /// The status, the type and the reason of an item.
    type Read = (u16, String, String);

    fn read(body: &str) -> Result<(bool, Vec<Read>), AnswerError> {
        let answer = Answer::read(body.as_bytes())?;
        let mut items = Vec::new();
        answer.items(|item| items.push((item.status, item.kind.into_owned(), item.reason.into_owned())))?;
        Ok((answer.has_errors, items))
    }

    #[test]
    fn answers() {
        assert_eq!(read(r#"{"took":1,"errors":false,"items":[]}"#), Ok((false, vec![])));
        assert_eq!(read(r#" {"errors":false} "#), Ok((false, vec![])));
        let body = r#"{"took":3,"errors":true,"items":[
            {"index":{"_index":"a","_id":"1","result":"created","status":201}},
            {"create":{"_id":"2","status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse \"x\"","caused_by":{"type":"x","reason":"bad","caused_by":{"type":"y","reason":"number"}}}}},
            {"index":{"error":"old","status":503}}]}"#;
        let expected = vec![
            (201, String::new(), String::new()),
            (400, "mapper_parsing_exception".into(), "failed to parse \"x\": bad: number".into()),
            (503, String::new(), "old".into()),
        ];
        assert_eq!(read(body), Ok((true, expected)));
        // By `filter_path`, without `errors`.
        assert_eq!(read(r#"{"items":[{"index":{"status":429}}]}"#).unwrap().1[0].0, 429);
        for bad in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"errors":true,"items":[{}]}"#,
            r#"{"errors":true,"items":[1]}"#,
            r#"{"errors":true,"items":[{"index":{}}]}"#,
            r#"{"errors":true,"items":[{"index":{"status":99999999}}]}"#,
            r#"{"errors":true,"items":[{"index":{"status":200}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn verdicts() {
        #[track_caller]
        fn check(kind: Kind, status: u16, error: (&str, &str), expected: Verdict) {
            let outcome = Outcome { status, kind: error.0.into(), reason: error.1.into() };
            assert_eq!(judge(kind, &outcome), expected, "{kind:?} {status} {error:?}");
        }
        let none = ("", "");
        check(Kind::Index, 201, none, Verdict::Delivered);
        check(Kind::Delete, 404, none, Verdict::Delivered);
        check(Kind::Delete, 404, ("index_not_found_exception", "no such index"), Verdict::Refused);
        check(Kind::Update, 404, ("document_missing_exception", "[1]: document missing"), Verdict::Refused);
        check(Kind::Create, 409, ("version_conflict_engine_exception", "exists"), Verdict::Exists);
        check(Kind::Update, 409, ("version_conflict_engine_exception", "changed"), Verdict::Retry);
        check(Kind::Index, 429, ("es_rejected_execution_exception", "queue"), Verdict::Retry);
        check(Kind::Index, 503, ("unavailable_shards_exception", "primary"), Verdict::Retry);
        check(Kind::Index, 403, ("cluster_block_exception", "read-only"), Verdict::Retry);
        check(Kind::Index, 400, ("mapper_parsing_exception", "failed to parse"), Verdict::Refused);
        let full = "this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum shards open;";
        check(Kind::Index, 400, ("validation_exception", full), Verdict::Retry);
        check(Kind::Index, 413, none, Verdict::Refused);
    }

    proptest! {
        #[test]
        fn what_a_server_writes_is_read(items in prop::collection::vec((any::<u16>(), ".{0,20}", ".{1,20}", any::<bool>()), 0..6)) {
            let list = items.iter().map(|(status, kind, reason, good)| Item {
                kind: Kind::Index,
                index: reason.clone(),
                id: Some(kind.clone()),
                status: *status,
                outcome: if *good {
                    Ok(Done { result: reason.clone(), sequence: 1 })
                } else {
                    Err(Refusal { kind: kind.clone(), reason: reason.clone() })
                },
            });
            let response = Response { took_ms: 1, items: list.collect() };
            let mut body = Vec::new();
            encode_response(&response, &mut body);
            let (has_errors, found) = read(std::str::from_utf8(&body).unwrap()).unwrap();
            let expected: Vec<_> = items.into_iter().map(|(status, kind, reason, good)| {
                if good { (status, String::new(), String::new()) } else { (status, kind, reason) }
            }).collect();
            prop_assert_eq!(has_errors, response.has_errors());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes(body: Vec<u8>) {
            if let Ok(answer) = Answer::read(&body) {
                let _ = answer.items(|_| {});
            }
        }

        #[test]
        fn cut_anywhere(cut in 0..120_usize) {
            let body = r#"{"took":1,"errors":true,"items":[{"index":{"status":400,"error":{"type":"a","reason":"b"}}}]}"#;
            if cut < body.len() {
                prop_assert!(read(&body[..cut]).is_err());
            }
        }
    }
}
