//! Types of columns. A value that is none of its type stays text, as with Ruby's converters
//! (`CSV::Converters`), after which Logstash's filter converts.

use event::time::parse_rfc3339;
use serde_json::Value as Json;

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Integer,
    Float,
    Boolean,
    /// A day.
    Date,
    /// A day and a time of it.
    DateTime,
}

/// A value of a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Typed {
    Json(Json),
    /// Nanoseconds since 1970, UTC.
    Time(i64),
}

impl Type {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "integer" => Type::Integer,
            "float" => Type::Float,
            "boolean" => Type::Boolean,
            "date" => Type::Date,
            "date_time" => Type::DateTime,
            _ => return None,
        })
    }

    /// The value that a text is.
    pub(super) fn read(self, text: &str) -> Option<Typed> {
        let json = |value: Json| Some(Typed::Json(value));
        match self {
            Type::Integer => json(integer(text.trim())?.into()),
            Type::Float => json(float(text.trim())?.into()),
            Type::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" => json(true.into()),
                "false" => json(false.into()),
                _ => None,
            },
            Type::Date if text.len() == 10 => {
                parse_rfc3339(format!("{text}T00:00:00Z").as_bytes()).map(Typed::Time)
            }
            Type::DateTime if text.len() > 10 => {
                let zoned = parse_rfc3339(text.as_bytes());
                zoned.or_else(|| parse_rfc3339(format!("{text}Z").as_bytes())).map(Typed::Time)
            }
            Type::Date | Type::DateTime => None,
        }
    }
}

/// A whole number as Ruby writes one: `0x1f`, `0b1`, `017` (octal) and `1_000` are some.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match (lower.get(..2), lower.as_bytes()) {
        (Some("0x"), _) => (16, &lower[2..]),
        (Some("0b"), _) => (2, &lower[2..]),
        (Some("0o"), _) => (8, &lower[2..]),
        (_, [b'0', _, ..]) => (8, lower[1..].strip_prefix('_').unwrap_or(&lower[1..])),
        _ => (10, lower.as_str()),
    };
    let digits = grouped(digits)?;
    digits.bytes().next().filter(u8::is_ascii_alphanumeric)?;
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

fn float(text: &str) -> Option<f64> {
    let text = grouped(text)?;
    // Digits stand on both sides of a point, and no words are numbers.
    let plain = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let is_number = plain.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let has_digits = !plain.split(['e', 'E']).next()?.split('.').any(str::is_empty);
    (is_number && has_digits).then(|| text.parse().ok())?.filter(|number: &f64| number.is_finite())
}

/// A number without the `_` between its digits; `None` where one stands elsewhere.
fn grouped(text: &str) -> Option<String> {
    let between = |at: usize| {
        let byte = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at));
        [byte(at.checked_sub(1)), byte(Some(at + 1))]
            .iter()
            .all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric))
    };
    text.match_indices('_').all(|(at, _)| between(at)).then(|| text.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(to: &str, text: &str, value: Option<Json>) {
        assert_eq!(Type::of(to).unwrap().read(text), value.map(Typed::Json), "{text}");
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            ("12", Some(12)),
            (" -7 ", Some(-7)),
            ("+1_000", Some(1000)),
            ("0x1F", Some(31)),
            ("0b11", Some(3)),
            ("017", Some(15)),
            ("0", Some(0)),
            ("08", None),
            ("1.5", None),
            ("12x", None),
            ("_1", None),
            ("1__0", None),
            ("", None),
            ("-", None),
            ("0x-1", None),
            ("99999999999999999999", None),
        ] {
            check("integer", text, value.map(Json::from));
        }
        for (text, value) in [
            ("1.5", Some(1.5)),
            ("2", Some(2.0)),
            ("-1e3", Some(-1000.0)),
            ("1_0.5", Some(10.5)),
            (".5", None),
            ("1.", None),
            ("inf", None),
            ("NaN", None),
            ("x", None),
            ("", None),
        ] {
            check("float", text, value.map(Json::from));
        }
    }

    #[test]
    fn words_and_times() {
        check("boolean", " TRUE ", Some(true.into()));
        check("boolean", "false", Some(false.into()));
        check("boolean", "yes", None);
        let time = |to: &str, text: &str| Type::of(to).unwrap().read(text);
        let noon = parse_rfc3339(b"2026-11-21T12:00:00Z").map(Typed::Time);
        assert_eq!(time("date_time", "2026-11-21 12:00:00"), noon);
        assert_eq!(time("date_time", "2026-11-21T13:00:00+01:00"), noon);
        assert_eq!(time("date", "2026-11-21"), parse_rfc3339(b"2026-11-21T00:00:00Z").map(Typed::Time));
        for (to, text) in
            [("date", "21.11.2026"), ("date", "2026-13-01"), ("date_time", "2026-11-21"), ("date", "")]
        {
            assert_eq!(time(to, text), None, "{text}");
        }
        assert_eq!(Type::of("int"), None);
    }

    proptest! {
        #[test]
        fn whole_numbers(value: i64) {
            prop_assert_eq!(integer(&value.to_string()), Some(value));
        }

        #[test]
        fn any_text(text in "[-+_.0-9a-fxeE é]{0,12}") {
            for word in ["integer", "float", "boolean", "date", "date_time"] {
                let _ = Type::of(word).and_then(|to| to.read(&text));
            }
        }
    }
}
