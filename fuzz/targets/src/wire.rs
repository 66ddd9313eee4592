//! Bulk bodies and their answers.

use serde_json::{Map, Value as Json};
use wire::bulk::{self, Action, Kind};

/// A body has the actions that a plain reading of its lines has, and comes back from its encoding.
pub fn bulk(data: &[u8]) {
    let ours = bulk::decode(data);
    match (&ours, plainly(data)) {
        (Ok(actions), Some(expected)) => {
            let found: Vec<_> = actions
                .iter()
                .map(|action| {
                    (action.kind.name(), action.target.index.clone(), action.target.id.clone(), action.source)
                })
                .collect();
            assert_eq!(found, expected);
        }
        (Ok(_), None) => panic!("a body was taken that a plain reading refuses"),
        (Err(error), Some(_)) => panic!("{error}"),
        (Err(error), None) => {
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!((1..=lines + 1).contains(&error.line), "{error}");
        }
    }
    let Ok(actions) = ours else { return };
    // What cannot be written is no part of it: that the version matters.
    let actions: Vec<Action<'_>> = actions
        .into_iter()
        .map(|mut action| {
            action.target.versioned = false;
            action
        })
        .collect();
    let mut body = Vec::new();
    actions.iter().for_each(|action| bulk::encode(action, &mut body));
    assert_eq!(bulk::decode(&body).expect("what was encoded is decoded"), actions);
}

type Plain<'d> = (&'static str, Option<String>, Option<String>, Option<&'d [u8]>);

const OPTIONS: [&str; 14] = [
    "_index",
    "_id",
    "routing",
    "_routing",
    "pipeline",
    "require_alias",
    "version",
    "_version",
    "if_seq_no",
    "if_primary_term",
    "_type",
    "version_type",
    "_version_type",
    "retry_on_conflict",
];

/// The body read line by line; none where it is not one.
fn plainly(data: &[u8]) -> Option<Vec<Plain<'_>>> {
    let mut found = Vec::new();
    let mut lines = data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let action: Map<String, Json> = serde_json::from_slice(line).ok()?;
        let (name, options) = action.iter().next().filter(|_| action.len() == 1)?;
        let kind = [Kind::Index, Kind::Create, Kind::Update, Kind::Delete].map(Kind::name);
        let kind = kind.into_iter().find(|kind| kind == name)?;
        let options = options.as_object()?;
        let is_known = |name: &String| OPTIONS.contains(&name.as_str()) || name == "_source";
        if !options.keys().all(is_known) {
            return None;
        }
        let text = |name: &str| match options.get(name) {
            None | Some(Json::Null) => Some(None),
            Some(Json::String(text)) => Some(Some(text.clone())),
            Some(Json::Array(_) | Json::Object(_)) => None,
            Some(other) => Some(Some(other.to_string())),
        };
        for name in ["routing", "_routing", "pipeline"] {
            text(name)?;
        }
        let source = match kind {
            "delete" => None,
            _ => Some(lines.next().filter(|line| !line.is_empty())?),
        };
        found.push((kind, text("_index")?, text("_id")?, source));
    }
    Some(found)
}

/// An answer that is read is written so that reading it gives the same.
pub fn bulk_response(data: &[u8]) {
    if let Ok(answer) = bulk::Answer::read(data) {
        let _ = answer.items(|item| {
            let _ = bulk::judge(Kind::Index, &item);
        });
    }
    let Ok(response) = bulk::decode_response(data) else { return };
    let mut body = Vec::new();
    bulk::encode_response(&response, &mut body);
    assert_eq!(bulk::decode_response(&body).as_ref(), Ok(&response));
    let json: Json = serde_json::from_slice(&body).expect("an answer is JSON");
    assert_eq!(json["errors"], response.has_errors());
}
