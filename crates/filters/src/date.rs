//! Filter `date`: reads a time out of text.
//!
//! A format is written as for `strptime` (`%d/%b/%Y:%H:%M:%S %z`), in the letters of Joda
//! (`dd/MMM/yyyy:HH:mm:ss Z`), or is one of the words `ISO8601`, `UNIX`, `UNIX_MS` and `TAI64N`.
//! Each one becomes a program of steps over bytes; a general parser would allocate for each event.
//!
//! What a text does not say is filled in. Without a zone it is in `timezone`; where clocks are
//! put back the first of two times is meant, and a time that they skip is later by what they
//! skip. Without a year, it is the latest year that puts the time not more than a day ahead of
//! now, unless `missing_year` says otherwise. A time without a date is of today. Weekdays are read
//! and not compared with the date.

mod format;
mod names;
pub(crate) mod zone;

use crate::place::{rendered, template};
use crate::{BuildError, Outcome, Provider, one_or_many, path};
use event::{Event, New, Path};
use expr::Template;
use format::Format;
use names::Language;
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
    /// The zone of texts that name none: a name such as `Europe/Berlin`, an offset, `local` for that
    /// of the machine, or a template.
    pub timezone: String,
    /// The language of the names of months and days.
    pub locale: String,
    /// The year of texts that name none.
    #[serde(skip_serializing_if = "MissingYear::is_latest")]
    pub missing_year: MissingYear,
}

/// The year of a text that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingYear {
    /// The latest that puts the time not more than a day ahead of now.
    #[default]
    Latest,
    /// This one; but a December is of the last year in January, and a January of the next in December.
    Current,
}

impl MissingYear {
    fn is_latest(&self) -> bool {
        *self == Self::Latest
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: String::new(),
            formats: Vec::new(),
            target: "@timestamp".into(),
            timezone: "UTC".into(),
            locale: "en".into(),
            missing_year: MissingYear::Latest,
        }
    }
}

/// The filter.
pub struct Date {
    source: Path,
    formats: Vec<Format>,
    target: Path,
    zone: ZoneOf,
    missing_year: MissingYear,
}

/// The zone of texts that name none.
enum ZoneOf {
    All(Zone),
    /// What the event says.
    Event(Template),
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Date, BuildError> {
        let wrong = |option, message: String| Err(BuildError { option, message });
        if self.source.is_empty() {
            return wrong("source", "needs the field that holds the time".to_owned());
        }
        if self.formats.is_empty() {
            return wrong("formats", "needs at least one format".to_owned());
        }
        let language = Language::of(&self.locale);
        let code = self.locale.split(['-', '_']).next().unwrap_or_default();
        if language.is_none() && !code.eq_ignore_ascii_case("en") {
            let codes: Vec<&str> = Language::codes().collect();
            let message = format!("names can be read in en, {}, not in {:?}", codes.join(", "), self.locale);
            return wrong("locale", message);
        }
        let local;
        let name = match self.timezone.as_str() {
            "local" => {
                local = provider.time_zone();
                &local
            }
            name => name,
        };
        let zone = match (name.contains("%{"), Zone::named(name.as_bytes())) {
            (true, _) => ZoneOf::Event(template("timezone", name)?),
            (false, Some(zone)) => ZoneOf::All(zone),
            (false, None) => {
                let message = format!("no time zone {name:?}; Europe/Berlin, +01:00 and UTC would be some");
                return wrong("timezone", message);
            }
        };
        let format = |text: &String| {
            Format::new(text, language).map_err(|reason| BuildError {
                option: "formats",
                message: format!("{reason} (in the format {text:?})"),
            })
        };
        Ok(Date {
            source: path("source", &self.source)?,
            formats: self.formats.iter().map(format).collect::<Result<_, _>>()?,
            target: path("target", &self.target)?,
            zone,
            missing_year: self.missing_year,
        })
    }
}

const NO_ZONE: &str = "the event says no time zone";

impl Date {
    /// Applies it. It fails, and changes nothing, where no format fits the text, or where the event
    /// says no zone.
    pub fn apply(&self, event: &mut Event<'_>, now: i64) -> Outcome {
        let Some(source) = event.text(&self.source) else { return Outcome::FAILED };
        let zone = match &self.zone {
            ZoneOf::All(zone) => Some(*zone),
            ZoneOf::Event(template) => Zone::named(&rendered(template, event, now)),
        };
        let Some(zone) = zone else { return Outcome::failed(NO_ZONE) };
        let text = event.bytes(source);
        let time = |format: &Format| format.read(text, &zone, self.missing_year, now);
        let Some(ns) = self.formats.iter().find_map(time) else { return Outcome::FAILED };
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
        let zone = r#"{"date":{"source":"t","formats":"ISO8601","timezone":"%{z}"}}"#;
        time(zone, r#"{"t":"2026-07-01T12:00","z":"Europe/Berlin"}"#, "2026-07-01T10:00:00.000Z");
        check(zone, r#"{"t":"2026-07-01T12:00","z":"?"}"#, r#"{"t":"2026-07-01T12:00","z":"?"}"#, false);
        check(zone, r#"{"t":"2026-07-01T12:00"}"#, r#"{"t":"2026-07-01T12:00"}"#, false);
        // Nobody says where the machine is.
        time(
            r#"{"date":{"source":"t","formats":"ISO8601","timezone":"local"}}"#,
            r#"{"t":"2026-07-01T12:00"}"#,
            "2026-07-01T12:00:00.000Z",
        );
        time(
            r#"{"date":{"source":"t","formats":"TAI64N"}}"#,
            r#"{"t":"@4000000050d506482dbdf024"}"#,
            "2012-12-22T01:00:46.767422500Z",
        );
        time(
            r#"{"date":{"source":"t","formats":"EEE dd. MMMM yyyy","locale":"de-DE"}}"#,
            r#"{"t":"Sa. 21. März 2026"}"#,
            "2026-03-21T00:00:00.000Z",
        );
        // The clock of these tests says 2026-11-18.
        let current = r#"{"date":{"source":"t","formats":"MMM dd","missing_year":"current"}}"#;
        time(current, r#"{"t":"Dec 24"}"#, "2026-12-24T00:00:00.000Z");
        time(current, r#"{"t":"Jan 02"}"#, "2026-01-02T00:00:00.000Z");
        time(&current.replace("current", "latest"), r#"{"t":"Dec 24"}"#, "2025-12-24T00:00:00.000Z");
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
            let found = config.build(&crate::Nothing).err().unwrap().to_string();
            assert!(found.contains(error), "{found}");
        }
        check(r#"{"formats":"UNIX"}"#, "option \"source\": needs");
        check(r#"{"source":"t"}"#, "option \"formats\": needs at least one");
        check(
            r#"{"source":"t","formats":"yyyy Q"}"#,
            "letter Q; put text between ' (in the format \"yyyy Q\")",
        );
        check(
            r#"{"source":"t","formats":"UNIX","locale":"ja"}"#,
            "option \"locale\": names can be read in en, da, de",
        );
        check(
            r#"{"source":"t","formats":"UNIX","timezone":"Europe/Berlim"}"#,
            "option \"timezone\": no time zone",
        );
        assert!(serde_json::from_str::<Config>(r#"{"format":"UNIX"}"#).is_err());
    }
}
