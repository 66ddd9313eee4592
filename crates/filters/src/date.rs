//! Filter `date`: reads a time out of text.
//!
//! A format is written as for `strptime` (`%d/%b/%Y:%H:%M:%S %z`), in the letters of Joda
//! (`dd/MMM/yyyy:HH:mm:ss Z`), or is one of the words `ISO8601`, `UNIX` and `UNIX_MS`. Each one
//! becomes a program of steps over bytes; a general parser would allocate for each event.
//!
//! What a text does not say is filled in. Without a zone it is in `timezone`; where clocks are
//! put back the first of two times is meant, and a time that they skip is later by what they
//! skip. Without a year, it is the latest year that puts the time not more than a day ahead of
//! now. A time without a date is of today. Weekdays are read and not compared with the date.

mod format;
pub(crate) mod zone;

use crate::{BuildError, Outcome, one_or_many, path};
use event::{Event, New, Path};
use format::Format;
use serde::{Deserialize, Serialize};
use zone::Zone;

/// Options of the filter `date`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text.
    pub source: String,
    /// The formats; the first one that fits gives the time.
    #[serde(deserialize_with = "one_or_many")]
    pub formats: Vec<String>,
    /// The field that takes the time; `@timestamp` is the time of the event.
    pub target: String,
    /// The zone of texts that name none: a name such as `Europe/Berlin`, or an offset.
    pub timezone: String,
    /// The language of the names of months and days.
    pub locale: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: String::new(),
            formats: Vec::new(),
            target: "@timestamp".into(),
            timezone: "UTC".into(),
            locale: "en".into(),
        }
    }
}

/// The filter.
pub struct Date {
    source: Path,
    formats: Vec<Format>,
    target: Path,
    zone: Zone,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Date, BuildError> {
        let wrong = |option, message: String| Err(BuildError { option, message });
        if self.source.is_empty() {
            return wrong("source", "needs the field that holds the time".to_owned());
        }
        if self.formats.is_empty() {
            return wrong("formats", "needs at least one format".to_owned());
        }
        let language = self.locale.split(['-', '_']).next().unwrap_or_default();
        if !language.eq_ignore_ascii_case("en") {
            return wrong("locale", format!("names can be read in en only, not in {:?}", self.locale));
        }
        let Some(zone) = Zone::named(self.timezone.as_bytes()) else {
            let message =
                format!("no time zone {:?}; Europe/Berlin, +01:00 and UTC would be some", self.timezone);
            return wrong("timezone", message);
        };
        let format = |text: &String| {
            Format::new(text).map_err(|reason| BuildError {
                option: "formats",
                message: format!("{reason} (in the format {text:?})"),
            })
        };
        Ok(Date {
            source: path("source", &self.source)?,
            formats: self.formats.iter().map(format).collect::<Result<_, _>>()?,
            target: path("target", &self.target)?,
            zone,
        })
    }
}

impl Date {
    /// Applies it. It fails, and changes nothing, where no format fits the text.
    pub fn apply(&self, event: &mut Event<'_>, now: i64) -> Outcome {
        let Some(source) = event.text(&self.source) else { return Outcome::FAILED };
        let text = event.bytes(source);
        let Some(ns) = self.formats.iter().find_map(|format| format.read(text, &self.zone, now)) else {
            return Outcome::FAILED;
        };
        Outcome::of(event.set(&self.target, New::Time(ns)).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::testing::{apply_timed, check};

    #[test]
    fn date() {
        #[track_caller]
        fn time(config: &str, before: &str, time: &str) {
            let (after, outcome, found) = apply_timed(config, before);
            assert_eq!((found.as_str(), outcome.ok), (time, true));
            assert_eq!(after, serde_json::from_str::<serde_json::Value>(before).unwrap());
        }
        time(
            r#"{"date":{"source":"t","formats":["UNIX","dd/MMM/yyyy:HH:mm:ss Z"]}}"#,
            r#"{"t":"21/Nov/2026:02:45:04 +0100"}"#,
            "2026-11-21T01:45:04.000Z",
        );
        time(
            r#"{"date":{"source":"a.t","formats":"%F %T","timezone":"Europe/Berlin","locale":"en_GB"}}"#,
            r#"{"a":{"t":"2026-07-01 12:00:00"}}"#,
            "2026-07-01T10:00:00.000Z",
        );
        time(
            r#"{"date":{"source":"t","formats":"UNIX"}}"#,
            r#"{"t":1700000000}"#,
            "2023-11-14T22:13:20.000Z",
        );
        time(
            r#"{"date":{"source":"t","formats":"UNIX"}}"#,
            r#"{"t":1700000000.5}"#,
            "2023-11-14T22:13:20.500Z",
        );
        check(
            r#"{"date":{"source":"t","formats":"ISO8601","target":"b.c"}}"#,
            r#"{"t":"2026-11-21T02:45:04+01:00"}"#,
            r#"{"t":"2026-11-21T02:45:04+01:00","b":{"c":"2026-11-21T01:45:04.000Z"}}"#,
            true,
        );
        check(r#"{"date":{"source":"t","formats":"ISO8601"}}"#, r#"{"t":"x"}"#, r#"{"t":"x"}"#, false);
        check(r#"{"date":{"source":"t","formats":"ISO8601"}}"#, "{}", "{}", false);
        check(r#"{"date":{"source":"t","formats":"ISO8601"}}"#, r#"{"t":[1]}"#, r#"{"t":[1]}"#, false);
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(config: &str, error: &str) {
            let config: Config = serde_json::from_str(config).unwrap();
            let found = config.build().err().unwrap().to_string();
            assert!(found.contains(error), "{found}");
        }
        check(r#"{"formats":"UNIX"}"#, "option \"source\": needs");
        check(r#"{"source":"t"}"#, "option \"formats\": needs at least one");
        check(
            r#"{"source":"t","formats":"yyyy Q"}"#,
            "letter Q; put text between ' (in the format \"yyyy Q\")",
        );
        check(
            r#"{"source":"t","formats":"UNIX","locale":"de"}"#,
            "option \"locale\": names can be read in en only",
        );
        check(
            r#"{"source":"t","formats":"UNIX","timezone":"Europe/Berlim"}"#,
            "option \"timezone\": no time zone",
        );
        assert!(serde_json::from_str::<Config>(r#"{"format":"UNIX"}"#).is_err());
    }
}
