//! Filter `charset`: makes UTF-8 of text in another character set.
//!
//! What a character set does not have becomes U+FFFD. Where a text that should be UTF-8 is not, its
//! bytes stand as `\xE9` in it, as with Logstash, so that nothing is lost.
//!
//! Source of the names and tables: the Encoding Standard, <https://encoding.spec.whatwg.org/>, but
//! for ISO-8859-1, which there is another name of windows-1252 and is itself here.

use crate::values::Fields;
use crate::{BuildError, Outcome, ruby};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use event::{Event, New, Path, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Options of the filter `charset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The field that is converted.
    #[serde(default = "message")]
    pub field: String,
    /// What it is in.
    pub from: Charset,
}

fn message() -> String {
    "message".to_owned()
}

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// Latin 1: a character for each byte.
    Latin1,
    /// Any other.
    Other(&'static Encoding),
}

/// Names that Ruby and Java have for what the standard calls otherwise.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("ascii-8bit", "utf-8"),
    ("binary", "utf-8"),
    ("cp65001", "utf-8"),
    ("cp874", "windows-874"),
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("eucjp", "euc-jp"),
    ("euckr", "euc-kr"),
    ("us-ascii", "utf-8"),
    ("ascii", "utf-8"),
];

impl Charset {
    /// The character set of a name, whatever its case; an error says which there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        if ["iso-8859-1", "iso8859-1", "latin1"].contains(&lower.as_str()) {
            return Ok(Self::Latin1);
        }
        let other = OTHER_NAMES.iter().find(|(own, _)| *own == lower).map(|(_, standard)| *standard);
        match Encoding::for_label_no_replacement(other.unwrap_or(&lower).as_bytes()) {
            Some(found) if found == UTF_8 => Ok(Self::Utf8),
            Some(found) => Ok(Self::Other(found)),
            None => Err(format!(
                "the character set {name:?} is not known; there are UTF-8, UTF-16LE, UTF-16BE, ISO-8859-1 to 16, windows-1250 to 1258, Shift_JIS, EUC-JP, ISO-2022-JP, GBK, GB18030, Big5, EUC-KR, KOI8-R, KOI8-U, IBM866 and macintosh"
            )),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => UTF_8.name(),
            Self::Latin1 => "ISO-8859-1",
            Self::Other(encoding) => encoding.name(),
        }
    }

    /// Whether a line feed is one byte in it and nothing else has this byte, so that lines can be
    /// told apart before they are converted.
    pub fn has_lines(self) -> bool {
        !matches!(self, Self::Other(encoding) if encoding == UTF_16LE || encoding == UTF_16BE)
    }

    /// A text in it as UTF-8; borrowed where that changes nothing.
    pub fn decode(self, text: &[u8]) -> Cow<'_, [u8]> {
        let decoded = match self {
            Self::Utf8 if std::str::from_utf8(text).is_ok() => return Cow::Borrowed(text),
            Self::Utf8 => {
                let mut shown = String::new();
                ruby::inspect_bytes(text, &mut shown);
                Cow::Owned(shown)
            }
            Self::Latin1 => encoding_rs::mem::decode_latin1(text),
            Self::Other(encoding) if self.has_lines() => encoding.decode_without_bom_handling(text).0,
            Self::Other(encoding) => encoding.decode_with_bom_removal(text).0,
        };
        match decoded {
            Cow::Borrowed(same) => Cow::Borrowed(same.as_bytes()),
            Cow::Owned(new) => Cow::Owned(new.into_bytes()),
        }
    }
}

impl TryFrom<String> for Charset {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name)
    }
}

impl From<Charset> for String {
    fn from(charset: Charset) -> Self {
        charset.name().to_owned()
    }
}

/// The filter.
pub struct Convert {
    fields: Fields,
    from: Charset,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Convert, BuildError> {
        Ok(Convert { fields: Fields::new("field", std::slice::from_ref(&self.field))?, from: self.from })
    }
}

impl Convert {
    /// Applies it. It fails where the field cannot be written.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let from = self.from;
        Outcome::of(self.fields.each(event, |event, field| convert(event, field, from)))
    }
}

fn convert(event: &mut Event<'_>, field: &Path, from: Charset) -> bool {
    let Some(Value::Str(text)) = event.get(field) else { return true };
    match from.decode(&text) {
        Cow::Borrowed(_) => true,
        Cow::Owned(new) => event.set(field, New::Str(&new)).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::mistake;
    use event::{Batch, Common, Origin, Span};
    use proptest::prelude::*;

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            let found = Charset::parse(name).unwrap();
            assert_eq!(found.name(), expected);
            assert_eq!(Charset::parse(found.name()), Ok(found));
        }
        check("UTF-8", "UTF-8");
        check("US-ASCII", "UTF-8");
        check("BINARY", "UTF-8");
        check("ISO-8859-1", "ISO-8859-1");
        check("ISO-8859-15", "ISO-8859-15");
        check("Windows-1252", "windows-1252");
        check("CP1251", "windows-1251");
        check("CP949", "EUC-KR");
        check("Windows-31J", "Shift_JIS");
        check("eucJP", "EUC-JP");
        check("UTF-16BE", "UTF-16BE");
        check("IBM866", "IBM866");
        for name in ["IBM437", "UTF-7", "", "replacement"] {
            assert!(Charset::parse(name).is_err_and(|error| error.contains("Shift_JIS")), "{name}");
        }
    }

    #[test]
    fn texts() {
        #[track_caller]
        fn check(name: &str, text: &[u8], expected: &str) {
            let found = Charset::parse(name).unwrap().decode(text).into_owned();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        }
        check("UTF-8", "größe 한".as_bytes(), "größe 한");
        check("UTF-8", b"gr\xf6\xdfe", "gr\\xF6\\xDFe");
        check("ISO-8859-1", b"gr\xf6\xdfe \x80", "größe \u{80}");
        check("windows-1252", b"5 \x80", "5 €");
        check("ISO-8859-15", b"5 \xa4", "5 €");
        check("Shift_JIS", b"\x83\x8d\x83O", "ログ");
        check("EUC-KR", b"\xb7\xce\xb1\xd7", "로그");
        check("GB18030", b"\xc8\xd5\xd6\xbe", "日志");
        check("UTF-16LE", b"\xff\xfel\0o\0g\0", "log");
        check("UTF-16BE", b"\0l\0o\0g", "log");
        check("GBK", b"\xff", "\u{fffd}");
        // A mark of UTF-8 at the beginning changes nothing.
        check("windows-1252", b"\xef\xbb\xbfa", "ï»¿a");
    }

    #[test]
    fn a_line_is_converted() {
        let config: crate::FilterConfig = serde_json::from_str(r#"{"charset":{"from":"Latin1"}}"#).unwrap();
        let mut filter = config.build().unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        let bytes = b"\xe9t\xe9";
        batch.bytes_mut().extend_from_slice(bytes);
        batch.push_line(Span::new(0, bytes.len()), 0);
        assert!(filter.apply(&mut batch.event_mut(0), 0).ok);
        assert_eq!(&*batch.view(0).message(), "été".as_bytes());
        mistake(r#"{"charset":{"from":"Latin1","field":""}}"#, "option \"field\"");
        assert!(serde_json::from_str::<crate::FilterConfig>(r#"{"charset":{"from":"x"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(text: Vec<u8>) {
            for name in ["UTF-8", "ISO-8859-1", "Shift_JIS", "UTF-16LE", "GB18030", "ISO-2022-JP"] {
                let charset = Charset::parse(name).unwrap();
                match charset.decode(&text) {
                    Cow::Borrowed(same) => prop_assert_eq!(same, &text[..]),
                    Cow::Owned(new) => prop_assert!(std::str::from_utf8(&new).is_ok()),
                }
            }
        }

        #[test]
        fn what_was_encoded_comes_back(text in "[ -~äöüÄÖÜßéè]*") {
            for name in ["windows-1252", "ISO-8859-15", "UTF-8"] {
                let charset = Charset::parse(name).unwrap();
                let encoded = match charset {
                    Charset::Other(encoding) => encoding.encode(&text).0.into_owned(),
                    _ => text.clone().into_bytes(),
                };
                prop_assert_eq!(&*charset.decode(&encoded), text.as_bytes());
            }
        }
    }
}
