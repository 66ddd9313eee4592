//! Filter `urldecode`: `%41` becomes `A`. A plus stays a plus, and what is not `%` and two
//! hexadecimal digits stays too (RFC 3986, section 2.1).

use crate::charset::Charset;
use crate::values::{Fields, each_text, set_tree, tree_of};
use crate::{BuildError, Outcome};
use event::{Event, New, Path, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Options of the filter `urldecode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that is decoded, with every text within it.
    pub field: String,
    /// Whether all fields are decoded instead.
    pub all_fields: bool,
    /// What the bytes mean that `%` stands for.
    pub charset: Charset,
}

impl Default for Config {
    fn default() -> Self {
        Self { field: "message".into(), all_fields: false, charset: Charset::Utf8 }
    }
}

/// The filter.
pub struct Urldecode {
    fields: Fields,
    charset: Charset,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Urldecode, BuildError> {
        let these = if self.all_fields { &[][..] } else { std::slice::from_ref(&self.field) };
        Ok(Urldecode { fields: Fields::new("field", these)?, charset: self.charset })
    }
}

impl Urldecode {
    /// Applies it. It fails where a field cannot be written.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let charset = self.charset;
        Outcome::of(self.fields.each(event, |event, field| decode(event, field, charset)))
    }
}

fn decode(event: &mut Event<'_>, field: &Path, charset: Charset) -> bool {
    match event.get(field) {
        Some(Value::Str(text)) => match decoded(&text, charset) {
            Cow::Borrowed(_) => true,
            Cow::Owned(new) => event.set(field, New::Str(&new)).is_ok(),
        },
        Some(value @ Value::Json(_)) => {
            let mut tree = tree_of(&value);
            let changed = each_text(&mut tree, &mut |text| match decoded(text.as_bytes(), charset) {
                Cow::Borrowed(_) => false,
                Cow::Owned(new) => {
                    *text = String::from_utf8_lossy(&new).into_owned();
                    true
                }
            });
            !changed || set_tree(event, field, &tree).is_ok()
        }
        _ => true,
    }
}

/// A text without its `%`; borrowed where it has none.
fn decoded(text: &[u8], charset: Charset) -> Cow<'_, [u8]> {
    let Some(first) = (0..text.len()).find(|at| escape(text, *at).is_some()) else {
        return Cow::Borrowed(text);
    };
    let mut bytes = text[..first].to_vec();
    let mut at = first;
    while let Some(byte) = text.get(at) {
        match escape(text, at) {
            Some(byte) => {
                bytes.push(byte);
                at += 3;
            }
            None => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    match charset.decode(&bytes) {
        Cow::Borrowed(_) => Cow::Owned(bytes),
        Cow::Owned(new) => Cow::Owned(new),
    }
}

/// The byte that `%` and two hexadecimal digits at a place stand for.
fn escape(text: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low, ..] = text.get(at..)? else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::{Charset, decoded};
    use crate::testing::{check, mistake};
    use proptest::prelude::*;
    use std::borrow::Cow;

    #[test]
    fn urldecode() {
        let config = r#"{"urldecode":{}}"#;
        check(
            config,
            r#"{"message":"http%3A%2F%2Flogstash.net%2Fdocs%2F1.3.2%2Ffilters%2Furldecode","a":"%41"}"#,
            r#"{"message":"http://logstash.net/docs/1.3.2/filters/urldecode","a":"%41"}"#,
            true,
        );
        check(config, r#"{"message":"a+b%20c"}"#, r#"{"message":"a+b c"}"#, true);
        check(config, r#"{"message":"100%, %zz%4"}"#, r#"{"message":"100%, %zz%4"}"#, true);
        // A percent sign that was made is no escape of its own.
        check(config, r#"{"message":"%2541"}"#, r#"{"message":"%41"}"#, true);
        check(
            config,
            r#"{"message":"europ%C3%A9enneeuropéenne"}"#,
            r#"{"message":"européenneeuropéenne"}"#,
            true,
        );
        check(config, r#"{"message":"f%F6 \"x\""}"#, r#"{"message":"f\\xF6 \\\"x\\\""}"#, true);
        check(config, r#"{"message":["%41",{"b":"%42"},3]}"#, r#"{"message":["A",{"b":"B"},3]}"#, true);
        check(config, r#"{"message":5}"#, r#"{"message":5}"#, true);
        check(config, "{}", "{}", true);
        check(
            r#"{"urldecode":{"all_fields":true}}"#,
            r#"{"message":"%41","n":{"m":"%42"},"i":1}"#,
            r#"{"message":"A","n":{"m":"B"},"i":1}"#,
            true,
        );
        let latin = r#"{"urldecode":{"field":"a.b","charset":"ISO-8859-1"}}"#;
        check(latin, r#"{"a":{"b":"f%F6%80"}}"#, r#"{"a":{"b":"fö\u0080"}}"#, true);
        let windows = r#"{"urldecode":{"field":"a","charset":"windows-1252"}}"#;
        check(windows, r#"{"a":"f%F6%80%9f"}"#, r#"{"a":"fö€Ÿ"}"#, true);
        mistake(r#"{"urldecode":{"field":""}}"#, "option \"field\"");
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text: String) {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(&*decoded(escaped.as_bytes(), Charset::Utf8), text.as_bytes());
        }

        #[test]
        fn any_bytes(text: Vec<u8>) {
            for charset in [Charset::Utf8, Charset::Latin1, Charset::Other(encoding_rs::WINDOWS_1252)] {
                match decoded(&text, charset) {
                    Cow::Borrowed(same) => prop_assert_eq!(same, &text[..]),
                    Cow::Owned(new) => prop_assert!(std::str::from_utf8(&new).is_ok()),
                }
            }
        }
    }
}
