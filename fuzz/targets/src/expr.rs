//! Conditions and templates.

use crate::event::empty;
use event::{Batch, Span};
use expr::{Condition, Template};

/// Events that differ in what a condition can ask.
fn events() -> Batch {
    let mut batch = empty();
    batch.bytes_mut().extend_from_slice(b"a line \xff\xc3\xa9");
    batch.push_line(Span::new(0, 10), 0);
    for object in [
        r#"{"a":1,"b":{"c":[1,{"d":"x"}]},"message":"hello"}"#,
        r#"{"a":-1.5,"b":null,"c":true,"d":"\u00e9","e":[],"f":{}}"#,
        r#"{"a":"1","b":"2026-11-21T02:45:04Z","c":false,"@timestamp":"2026-11-21T02:45:04Z"}"#,
        r#"{"a":1e400,"b":123456789012345678901234567890,"status":503,"level":"error"}"#,
    ] {
        batch.push_json(object.as_bytes(), 1).expect("an object");
    }
    batch
}

/// What follows from a condition by logic alone holds, for any event.
pub fn condition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => {
            assert!(error.at <= text.len(), "{error}");
            return;
        }
    };
    // One level more may be one too many.
    let within = |text: String| match Condition::parse(&text) {
        Ok(condition) => Some(condition),
        Err(error) if error.reason.contains("too deep") => None,
        Err(error) => panic!("{text}: {error}"),
    };
    let not = within(format!("!({text})"));
    let same =
        [format!("({text}) && true"), format!("false || ({text})"), format!("\t({text} )")].map(within);
    for view in events().events() {
        let holds = condition.matches(&view, 0);
        assert!(!holds || not.as_ref().is_none_or(|not| !not.matches(&view, 0)), "{text} and its opposite");
        for same in same.iter().flatten() {
            assert_eq!(same.matches(&view, 0), holds, "{text}");
        }
    }
}

/// A template gives its plain text as it is, and a constant one the same text for every event.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.at <= text.len(), "{error}");
            return;
        }
    };
    let mut first = None;
    for view in events().events() {
        let mut out = Vec::new();
        let result = template.render(&view, 0, &mut out);
        if !text.contains('%') && !text.contains("{{") {
            assert_eq!(out, data);
        }
        if template.is_constant() {
            assert_eq!(result, Ok(()));
            assert_eq!(*first.get_or_insert_with(|| out.clone()), out);
        }
    }
}
