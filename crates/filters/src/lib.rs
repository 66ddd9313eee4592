//! Filters: pure functions over one event. No clock, socket, file or thread: time comes in.

pub mod auto;
pub mod convert;
pub mod csv;
pub mod date;
pub mod drop;
pub mod grok;
pub mod json;
pub mod kv;
pub mod mutate;
pub mod on_success;
mod place;
pub mod remove;
pub mod rename;
pub mod set;

use event::Event;
use serde::{Deserialize, Serialize};

/// What became of an event in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The event ends here, by rule.
    pub drop: bool,
    /// Whether the filter did what it is for; a bad event goes on, marked.
    pub ok: bool,
    /// Why it did not, where that is more than the text being another one.
    pub reason: Option<&'static str>,
}

impl Outcome {
    /// It went as it should.
    pub const OK: Self = Self { drop: false, ok: true, reason: None };
    /// It did not, and the event goes on.
    pub const FAILED: Self = Self { drop: false, ok: false, reason: None };

    fn of(ok: bool) -> Self {
        Self { drop: false, ok, reason: None }
    }

    fn failed(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::FAILED }
    }
}

/// Why a filter cannot be built from its options.
#[derive(Debug, thiserror::Error)]
#[error("option {option:?}: {message}")]
pub struct BuildError {
    /// The option.
    pub option: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// Every filter there is, by the name that it has in a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterConfig {
    /// Recognises common formats by itself.
    Auto(auto::Config),
    /// Changes the type of values.
    Convert(convert::Config),
    /// Reads comma-separated values.
    Csv(csv::Config),
    /// Reads times.
    Date(date::Config),
    /// Ends events.
    Drop(drop::Config),
    /// Reads text by patterns.
    Grok(grok::Config),
    /// Reads JSON text.
    Json(json::Config),
    /// Reads `key=value` text.
    Kv(kv::Config),
    /// Changes fields in a fixed order.
    Mutate(Box<mutate::Config>),
    /// Removes fields.
    Remove(remove::Config),
    /// Moves fields.
    Rename(rename::Config),
    /// Sets fields.
    Set(set::Config),
}

/// A filter, ready to be used.
pub enum Filter {
    /// See [`auto`].
    Auto(Box<auto::Auto>),
    /// See [`convert`].
    Convert(convert::Convert),
    /// See [`csv`].
    Csv(csv::Csv),
    /// See [`date`].
    Date(date::Date),
    /// See [`drop`](mod@drop).
    Drop,
    /// See [`grok`].
    Grok(grok::Grok),
    /// See [`json`].
    Json(json::Json),
    /// See [`kv`].
    Kv(kv::Kv),
    /// See [`mutate`].
    Mutate(mutate::Mutate),
    /// See [`remove`].
    Remove(remove::Remove),
    /// See [`rename`].
    Rename(rename::Rename),
    /// See [`set`].
    Set(set::Set),
}

impl FilterConfig {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Filter, BuildError> {
        Ok(match self {
            FilterConfig::Auto(config) => Filter::Auto(Box::new(config.build())),
            FilterConfig::Convert(config) => Filter::Convert(config.build()?),
            FilterConfig::Csv(config) => Filter::Csv(config.build()?),
            FilterConfig::Date(config) => Filter::Date(config.build()?),
            FilterConfig::Drop(_) => Filter::Drop,
            FilterConfig::Grok(config) => Filter::Grok(config.build()?),
            FilterConfig::Json(config) => Filter::Json(config.build()?),
            FilterConfig::Kv(config) => Filter::Kv(config.build()?),
            FilterConfig::Mutate(config) => Filter::Mutate(config.build()?),
            FilterConfig::Remove(config) => Filter::Remove(config.build()?),
            FilterConfig::Rename(config) => Filter::Rename(config.build()?),
            FilterConfig::Set(config) => Filter::Set(config.build()?),
        })
    }
}

impl Filter {
    /// Applies the filter; `now` is the clock reading of the batch, in nanoseconds UTC.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        match self {
            Filter::Auto(filter) => filter.apply(event, now),
            Filter::Convert(filter) => filter.apply(event),
            Filter::Csv(filter) => filter.apply(event),
            Filter::Date(filter) => filter.apply(event, now),
            Filter::Drop => Outcome { drop: true, ..Outcome::OK },
            Filter::Grok(filter) => filter.apply(event),
            Filter::Json(filter) => filter.apply(event),
            Filter::Kv(filter) => filter.apply(event),
            Filter::Mutate(filter) => filter.apply(event, now),
            Filter::Remove(filter) => filter.apply(event),
            Filter::Rename(filter) => filter.apply(event),
            Filter::Set(filter) => filter.apply(event, now),
        }
    }
}

/// Reads a list; a single text is a list of one.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;
    impl<'de> serde::de::Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = list.next_element()? {
                all.push(text);
            }
            Ok(all)
        }
    }
    from.deserialize_any(OneOrMany)
}

fn path(option: &'static str, text: &str) -> Result<event::Path, BuildError> {
    event::Path::parse(text).map_err(|error| BuildError { option, message: error.to_string() })
}

#[cfg(test)]
mod testing {
    use super::{FilterConfig, Outcome};
    use event::{Batch, Common, CommonValue, Origin};
    use serde_json::Value;

    /// Applies a filter to an event and returns what became of it, without its time.
    pub(crate) fn apply(config: &str, before: &str) -> (Value, Outcome) {
        let (value, outcome, _) = apply_timed(config, before);
        (value, outcome)
    }

    pub(crate) fn apply_timed(config: &str, before: &str) -> (Value, Outcome, String) {
        let config: FilterConfig = serde_json::from_str(config).unwrap();
        let mut filter = config.build().unwrap();
        let mut batch = Batch::new();
        batch.begin_run(Common::new(Origin::default(), Vec::<(&str, CommonValue)>::new()), 0);
        batch.push_json(before.as_bytes(), 0).unwrap();
        let outcome = filter.apply(&mut batch.event_mut(0), 1_795_000_000_000_000_000);
        let mut out = Vec::new();
        batch.view(0).write_json(&mut out);
        let mut value: Value = serde_json::from_slice(&out).unwrap();
        let time = value.as_object_mut().unwrap().shift_remove("@timestamp").unwrap();
        (value, outcome, time.as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub(crate) fn check(config: &str, before: &str, after: &str, ok: bool) {
        let (value, outcome) = apply(config, before);
        assert_eq!(value, serde_json::from_str::<Value>(after).unwrap());
        assert_eq!(outcome.ok, ok);
    }
}
