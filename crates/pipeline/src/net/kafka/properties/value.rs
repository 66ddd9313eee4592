//! Values of properties, as their clients read them and as generators write them.

use std::path::PathBuf;
use std::time::Duration;

/// An integer. Helm and other generators turn large ones into `2.097152e+06`, which librdkafka
/// reads as 2.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Ok(number as i64),
        _ => Err(format!("{text:?} is no integer")),
    }
}

pub(super) fn at_least(least: i64, text: &str) -> Result<u64, String> {
    match integer(text)? {
        number if number >= least => Ok(number.unsigned_abs()),
        number => Err(format!("{number} is less than {least}")),
    }
}

/// Milliseconds, parts of them too.
pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no number of milliseconds");
    let number: f64 = text.trim().parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number / 1_000.0).map_err(|_| wrong())
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "on" => Ok(true),
        "false" | "f" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A list with commas.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// One of some words, in upper or lower case.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("unknown value {text:?} (there are {})", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_generators_write_them() {
        for (text, expected) in [
            ("65536", Some(65_536)),
            (" 65536 ", Some(65_536)),
            ("2.097152e+06", Some(2_097_152)),
            ("1e3", Some(1_000)),
            ("1000.0", Some(1_000)),
            ("-1", Some(-1)),
            ("1.5", None),
            ("1e300", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("64k", None),
        ] {
            assert_eq!(integer(text).ok(), expected, "{text:?}");
        }
        for (text, expected) in [
            ("5", Some(5_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            ("-1", None),
            ("5s", None),
            ("1e30", None),
        ] {
            assert_eq!(milliseconds(text).ok(), expected.map(Duration::from_micros), "{text:?}");
        }
    }

    #[test]
    fn words_are_named() {
        assert_eq!(word("ALL", &[("all", 1), ("none", 2)]), Ok(1));
        let error = word("some", &[("all", 1), ("none", 2)]).unwrap_err();
        assert_eq!(error, "unknown value \"some\" (there are all, none)");
        assert_eq!((boolean("True"), boolean("0")), (Ok(true), Ok(false)));
        assert!(boolean("2").is_err());
    }
}
