//! A field that does not fit the mapping is stored under another name, as text.

use serde_json::{Map, Value};

/// The field that an error of Elasticsearch or OpenSearch is about, as a dotted path.
///
/// ```text
/// failed to parse field [a.b] of type [long] in document with id '1'
/// object mapping for [a] tried to parse field [a] as object, but found a concrete value
/// mapper [a.b] cannot be changed from type [long] to [text]
/// Could not dynamically add mapping for field [a.b]. Existing mapping for [a] must be of type object but found [long]
/// ```
pub(super) fn field(reason: &str) -> Option<&str> {
    const BEFORE: [&str; 5] = [
        "Existing mapping for [",
        "failed to parse field [",
        "object mapping for [",
        "object mapping [",
        "mapper [",
    ];
    let rest = BEFORE.iter().find_map(|before| Some(reason.split_once(before)?.1))?;
    let (name, _) = rest.split_once(']')?;
    (!name.is_empty()).then_some(name)
}

/// The document with the field under its name and `suffix`, as text; `None` when it has no
/// such field, or has one of the new name already.
pub(super) fn renamed(document: &[u8], field: &str, suffix: &str) -> Option<Vec<u8>> {
    let mut document: Map<String, Value> = serde_json::from_slice(document).ok()?;
    rename(&mut document, field, suffix)?;
    serde_json::to_vec(&document).ok()
}

fn rename(object: &mut Map<String, Value>, path: &str, suffix: &str) -> Option<()> {
    // A name may hold dots itself, so the longest is tried first.
    let ends = path.match_indices('.').map(|(at, _)| at).rev();
    for end in std::iter::once(path.len()).chain(ends) {
        let (name, rest) = path.split_at(end);
        let Some(value) = object.get_mut(name) else { continue };
        if let (Value::Object(inner), Some(rest)) = (&mut *value, rest.strip_prefix('.')) {
            return rename(inner, rest, suffix);
        }
        let new = format!("{name}{suffix}");
        if object.contains_key(&new) {
            return None;
        }
        let text = match object.shift_remove(name)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        object.insert(new, Value::String(text));
        return Some(());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_errors() {
        for (reason, expected) in [
            (
                "failed to parse field [a.b] of type [long] in document with id '1'. Preview of field's value: 'x': For input string: \"x\"",
                Some("a.b"),
            ),
            ("[1:12] failed to parse field [status] of type [long] in document with id 'x'", Some("status")),
            (
                "object mapping for [a] tried to parse field [a] as object, but found a concrete value",
                Some("a"),
            ),
            (
                "object mapping for [a] tried to parse field [null] as object, but found a concrete value",
                Some("a"),
            ),
            ("mapper [a.b] cannot be changed from type [long] to [text]", Some("a.b")),
            (
                "Could not dynamically add mapping for field [a.b]. Existing mapping for [a] must be of type object but found [long].",
                Some("a"),
            ),
            ("Limit of total fields [1000] has been exceeded", None),
            ("failed to parse field []", None),
            ("failed to parse field [a", None),
        ] {
            assert_eq!(field(reason), expected, "{reason}");
        }
    }

    #[test]
    fn fields_are_renamed() {
        #[track_caller]
        fn check(document: &str, field: &str, expected: Option<&str>) {
            let found = renamed(document.as_bytes(), field, "_text");
            assert_eq!(found.map(|found| String::from_utf8(found).unwrap()).as_deref(), expected);
        }
        check(r#"{"a":"x","b":1}"#, "a", Some(r#"{"b":1,"a_text":"x"}"#));
        check(r#"{"a":{"b":{"c":1}}}"#, "a.b", Some(r#"{"a":{"b_text":"{\"c\":1}"}}"#));
        check(r#"{"a.b":5}"#, "a.b", Some(r#"{"a.b_text":"5"}"#));
        check(r#"{"a":[{"b":5}]}"#, "a.b", Some(r#"{"a_text":"[{\"b\":5}]"}"#));
        check(r#"{"a":1}"#, "b", None);
        check(r#"{"a":1,"a_text":2}"#, "a", None);
        check("[]", "a", None);
    }

    proptest! {
        #[test]
        fn any_document(document in ".{0,40}", name in "[a-c.]{0,5}") {
            let _ = renamed(document.as_bytes(), &name, "_x");
            let _ = field(&document);
        }
    }
}
