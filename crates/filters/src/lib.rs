//! Filters: pure functions over one event. No clock, socket, file or thread: time comes in.

pub mod auto;
pub mod bytes;
pub mod charset;
pub mod cidr;
pub mod clone;
pub mod convert;
mod copies;
pub mod csv;
pub mod date;
pub mod de_dot;
pub mod dissect;
pub mod drop;
pub mod fingerprint;
pub mod geoip;
pub mod grok;
pub mod json;
pub mod kv;
pub mod mutate;
mod names;
pub mod on_success;
mod place;
mod provider;
pub mod prune;
mod random;
pub mod remove;
pub mod rename;
mod rows;
mod ruby;
mod secret;
pub mod set;
pub mod sleep;
pub mod split;
pub mod syslog;
pub mod syslog_pri;
pub mod throttle;
pub mod translate;
pub mod truncate;
pub mod urldecode;
pub mod useragent;
pub mod uuid;
mod values;
pub mod xml;
mod yaml;

pub use names::Names;
pub use provider::{Nothing, Provider};
pub use secret::Secret;

use event::Event;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What became of an event in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The event ends here, by rule.
    pub drop: bool,
    /// Whether the filter did what it is for; a bad event goes on, marked.
    pub ok: bool,
    /// Whether nothing follows: there was nothing to do, or the filter marked the event itself as one
    /// on which it failed.
    pub idle: bool,
    /// Why it did not, where that is more than the text being another one.
    pub reason: Option<&'static str>,
    /// How many events were made of it; they are the last of the batch, and belong behind it. What
    /// follows on success follows on these.
    pub made: usize,
    /// How long to wait before what comes of the batch goes on.
    pub pause: Duration,
}

impl Outcome {
    /// It went as it should.
    pub const OK: Self =
        Self { drop: false, ok: true, idle: false, reason: None, made: 0, pause: Duration::ZERO };
    /// There was nothing to do for it.
    pub const IDLE: Self = Self { idle: true, ..Self::OK };
    /// It did not, and the event goes on.
    pub const FAILED: Self = Self { ok: false, ..Self::OK };

    fn of(ok: bool) -> Self {
        Self { ok, ..Self::OK }
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
    /// Reads sizes such as `5 MB`.
    Bytes(bytes::Config),
    /// Makes UTF-8 of text.
    Charset(charset::Config),
    /// Looks up networks of addresses.
    Cidr(cidr::Config),
    /// Makes copies of events.
    Clone(clone::Config),
    /// Changes the type of values.
    Convert(convert::Config),
    /// Reads comma-separated values.
    Csv(csv::Config),
    /// Reads times.
    Date(date::Config),
    /// Takes dots out of names.
    DeDot(de_dot::Config),
    /// Takes text apart at the texts between its parts.
    Dissect(dissect::Config),
    /// Ends events.
    Drop(drop::Config),
    /// Hashes fields.
    Fingerprint(fingerprint::Config),
    /// Finds where addresses are.
    Geoip(geoip::Config),
    /// Reads text by patterns.
    Grok(grok::Config),
    /// Reads JSON text.
    Json(json::Config),
    /// Reads `key=value` text.
    Kv(kv::Config),
    /// Changes fields in a fixed order.
    Mutate(Box<mutate::Config>),
    /// Removes fields by names and values.
    Prune(prune::Config),
    /// Removes fields.
    Remove(remove::Config),
    /// Moves fields.
    Rename(rename::Config),
    /// Sets fields.
    Set(set::Config),
    /// Slows events down.
    Sleep(sleep::Config),
    /// Makes events of the parts of one.
    Split(split::Config),
    /// Takes messages of syslog apart.
    Syslog(syslog::Config),
    /// Reads priorities of syslog.
    SyslogPri(syslog_pri::Config),
    /// Counts events by a key.
    Throttle(throttle::Config),
    /// Looks values up in a dictionary.
    Translate(translate::Config),
    /// Cuts long text.
    Truncate(truncate::Config),
    /// Decodes `%41`.
    Urldecode(urldecode::Config),
    /// Reads `User-Agent`.
    Useragent(useragent::Config),
    /// Gives random ids.
    Uuid(uuid::Config),
    /// Reads XML.
    Xml(Box<xml::Config>),
}

/// A filter, ready to be used.
pub enum Filter {
    /// See [`auto`].
    Auto(Box<auto::Auto>),
    /// See [`bytes`].
    Bytes(bytes::Bytes),
    /// See [`charset`].
    Charset(charset::Convert),
    /// See [`cidr`].
    Cidr(cidr::Cidr),
    /// See [`clone`](mod@clone).
    Clone(clone::Cloner),
    /// See [`convert`].
    Convert(convert::Convert),
    /// See [`csv`].
    Csv(csv::Csv),
    /// See [`date`].
    Date(date::Date),
    /// See [`de_dot`].
    DeDot(de_dot::DeDot),
    /// See [`dissect`].
    Dissect(dissect::Dissect),
    /// See [`drop`](mod@drop).
    Drop(drop::Drop),
    /// See [`fingerprint`].
    Fingerprint(fingerprint::Fingerprint),
    /// See [`geoip`].
    Geoip(geoip::Geoip),
    /// See [`grok`].
    Grok(grok::Grok),
    /// See [`json`].
    Json(json::Json),
    /// See [`kv`].
    Kv(kv::Kv),
    /// See [`mutate`].
    Mutate(mutate::Mutate),
    /// See [`prune`].
    Prune(prune::Prune),
    /// See [`remove`].
    Remove(remove::Remove),
    /// See [`rename`].
    Rename(rename::Rename),
    /// See [`set`].
    Set(set::Set),
    /// See [`sleep`].
    Sleep(sleep::Sleep),
    /// See [`split`].
    Split(split::Split),
    /// See [`syslog`].
    Syslog(Box<syslog::Syslog>),
    /// See [`syslog_pri`].
    SyslogPri(syslog_pri::SyslogPri),
    /// See [`throttle`].
    Throttle(throttle::Throttle),
    /// See [`translate`].
    Translate(translate::Translate),
    /// See [`truncate`].
    Truncate(truncate::Truncate),
    /// See [`urldecode`].
    Urldecode(urldecode::Urldecode),
    /// See [`useragent`].
    Useragent(Box<useragent::Useragent>),
    /// See [`uuid`].
    Uuid(uuid::Uuid),
    /// See [`xml`].
    Xml(xml::Xml),
}

impl FilterConfig {
    /// The filter that these options describe, where it needs nothing of the world.
    pub fn build(&self) -> Result<Filter, BuildError> {
        self.build_with(&Nothing)
    }

    /// The filter that these options describe.
    pub fn build_with(&self, provider: &dyn Provider) -> Result<Filter, BuildError> {
        Ok(match self {
            FilterConfig::Auto(config) => Filter::Auto(Box::new(config.build())),
            FilterConfig::Bytes(config) => Filter::Bytes(config.build()?),
            FilterConfig::Charset(config) => Filter::Charset(config.build()?),
            FilterConfig::Cidr(config) => Filter::Cidr(config.build(provider)?),
            FilterConfig::Clone(config) => Filter::Clone(config.build()?),
            FilterConfig::Convert(config) => Filter::Convert(config.build()?),
            FilterConfig::Csv(config) => Filter::Csv(config.build()?),
            FilterConfig::Date(config) => Filter::Date(config.build(provider)?),
            FilterConfig::DeDot(config) => Filter::DeDot(config.build()?),
            FilterConfig::Dissect(config) => Filter::Dissect(config.build()?),
            FilterConfig::Drop(config) => Filter::Drop(config.build(provider)?),
            FilterConfig::Fingerprint(config) => Filter::Fingerprint(config.build(provider)?),
            FilterConfig::Geoip(config) => Filter::Geoip(config.build(provider)?),
            FilterConfig::Grok(config) => Filter::Grok(config.build()?),
            FilterConfig::Json(config) => Filter::Json(config.build()?),
            FilterConfig::Kv(config) => Filter::Kv(config.build()?),
            FilterConfig::Mutate(config) => Filter::Mutate(config.build()?),
            FilterConfig::Prune(config) => Filter::Prune(config.build()?),
            FilterConfig::Remove(config) => Filter::Remove(config.build()?),
            FilterConfig::Rename(config) => Filter::Rename(config.build()?),
            FilterConfig::Set(config) => Filter::Set(config.build()?),
            FilterConfig::Sleep(config) => Filter::Sleep(config.build()?),
            FilterConfig::Split(config) => Filter::Split(config.build()?),
            FilterConfig::Syslog(config) => Filter::Syslog(Box::new(config.build()?)),
            FilterConfig::SyslogPri(config) => Filter::SyslogPri(config.build()?),
            FilterConfig::Throttle(config) => Filter::Throttle(config.build()?),
            FilterConfig::Translate(config) => Filter::Translate(config.build(provider)?),
            FilterConfig::Truncate(config) => Filter::Truncate(config.build()?),
            FilterConfig::Urldecode(config) => Filter::Urldecode(config.build()?),
            FilterConfig::Useragent(config) => Filter::Useragent(Box::new(config.build(provider)?)),
            FilterConfig::Uuid(config) => Filter::Uuid(config.build(provider)?),
            FilterConfig::Xml(config) => Filter::Xml(config.build()?),
        })
    }
}

impl Filter {
    /// Whether it remembers events, so that all must come by the same filter.
    pub fn remembers(&self) -> bool {
        match self {
            Filter::Throttle(_) => true,
            Filter::Csv(filter) => filter.remembers(),
            Filter::Sleep(filter) => filter.remembers(),
            _ => false,
        }
    }

    /// Applies the filter; `now` is the clock reading of the batch, in nanoseconds UTC.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        match self {
            Filter::Auto(filter) => filter.apply(event, now),
            Filter::Bytes(filter) => filter.apply(event),
            Filter::Charset(filter) => filter.apply(event),
            Filter::Cidr(filter) => filter.apply(event, now),
            Filter::Clone(filter) => filter.apply(event),
            Filter::Convert(filter) => filter.apply(event),
            Filter::Csv(filter) => filter.apply(event),
            Filter::Date(filter) => filter.apply(event, now),
            Filter::DeDot(filter) => filter.apply(event),
            Filter::Dissect(filter) => filter.apply(event),
            Filter::Drop(filter) => filter.apply(),
            Filter::Fingerprint(filter) => filter.apply(event),
            Filter::Geoip(filter) => filter.apply(event),
            Filter::Grok(filter) => filter.apply(event),
            Filter::Json(filter) => filter.apply(event, now),
            Filter::Kv(filter) => filter.apply(event, now),
            Filter::Mutate(filter) => filter.apply(event, now),
            Filter::Prune(filter) => filter.apply(event, now),
            Filter::Remove(filter) => filter.apply(event),
            Filter::Rename(filter) => filter.apply(event),
            Filter::Set(filter) => filter.apply(event, now),
            Filter::Sleep(filter) => filter.apply(event, now),
            Filter::Split(filter) => filter.apply(event),
            Filter::Syslog(filter) => filter.apply(event, now),
            Filter::SyslogPri(filter) => filter.apply(event),
            Filter::Throttle(filter) => filter.apply(event, now),
            Filter::Translate(filter) => filter.apply(event, now),
            Filter::Truncate(filter) => filter.apply(event),
            Filter::Urldecode(filter) => filter.apply(event),
            Filter::Useragent(filter) => filter.apply(event),
            Filter::Uuid(filter) => filter.apply(event),
            Filter::Xml(filter) => filter.apply(event),
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

fn regex(option: &'static str, text: &str) -> Result<expr::onigmo::Regex, BuildError> {
    expr::onigmo::Regex::new(text)
        .map_err(|error| BuildError { option, message: format!("{error} (in {text:?})") })
}

fn path(option: &'static str, text: &str) -> Result<event::Path, BuildError> {
    event::Path::parse(text).map_err(|error| BuildError { option, message: error.to_string() })
}

#[cfg(test)]
mod testing {
    use super::{Filter, FilterConfig, Nothing, Outcome, Provider};
    use event::{Batch, Common, Origin};
    use serde_json::Value;
    use std::sync::Arc;

    /// Files by their names.
    struct Files<'f>(&'f [(&'f str, &'f [u8])]);

    impl Provider for Files<'_> {
        fn read(&self, file: &str) -> Result<Arc<[u8]>, String> {
            let found = self.0.iter().find(|(name, _)| *name == file);
            found.map(|(_, bytes)| (*bytes).into()).ok_or_else(|| format!("no file {file:?}"))
        }

        fn random(&self) -> Result<[u8; 32], String> {
            Nothing.random()
        }
    }

    /// A filter that may read these files.
    pub(crate) fn build_with(config: &str, files: &[(&str, &[u8])]) -> Filter {
        let config: FilterConfig = serde_json::from_str(config).unwrap();
        config.build_with(&Files(files)).unwrap()
    }

    /// Applies a filter to an event and returns what became of it, without its time.
    pub(crate) fn apply(config: &str, before: &str) -> (Value, Outcome) {
        let (value, outcome, _) = apply_timed(config, before);
        (value, outcome)
    }

    pub(crate) fn apply_timed(config: &str, before: &str) -> (Value, Outcome, String) {
        apply_built(&mut build_with(config, &[]), before)
    }

    /// As [`apply`], with files.
    pub(crate) fn apply_with(config: &str, before: &str, files: &[(&str, &str)]) -> (Value, Outcome) {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let (value, outcome, _) = apply_built(&mut build_with(config, &files), before);
        (value, outcome)
    }

    /// Applies a filter that may have seen other events.
    pub(crate) fn apply_built(filter: &mut Filter, before: &str) -> (Value, Outcome, String) {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(before.as_bytes(), 0).unwrap();
        let outcome = filter.apply(&mut batch.event_mut(0), 1_795_000_000_000_000_000);
        let mut out = Vec::new();
        batch.view(0).write_json(&mut out);
        let mut value: Value = serde_json::from_slice(&out).unwrap();
        let time = value.as_object_mut().unwrap().shift_remove("@timestamp").unwrap();
        (value, outcome, time.as_str().unwrap().to_owned())
    }

    /// Checks what becomes of one event, which may be several, or none.
    #[track_caller]
    pub(crate) fn family(config: &str, before: &str, after: &[&str], ok: bool) {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(before.as_bytes(), 0).unwrap();
        let mut event = batch.event_mut(0);
        let outcome = build_with(config, &[]).apply(&mut event, 0);
        if outcome.drop {
            event.drop_event();
        }
        core::mem::drop(event);
        batch.arrange();
        let without_time = |event: event::View<'_>| {
            let mut out = Vec::new();
            event.write_json(&mut out);
            let mut value: Value = serde_json::from_slice(&out).unwrap();
            value.as_object_mut().unwrap().shift_remove("@timestamp");
            value
        };
        let found: Vec<Value> = batch.events().map(without_time).collect();
        let expected: Vec<Value> = after.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        assert_eq!(found, expected);
        assert_eq!(outcome.ok, ok);
    }

    #[track_caller]
    pub(crate) fn check(config: &str, before: &str, after: &str, ok: bool) {
        let (value, outcome) = apply(config, before);
        assert_eq!(value, serde_json::from_str::<Value>(after).unwrap());
        assert_eq!(outcome.ok, ok);
    }

    /// Checks that options cannot be built, and what is said about it.
    #[track_caller]
    pub(crate) fn mistake(config: &str, message: &str) {
        let config: FilterConfig = serde_json::from_str(config).unwrap();
        let found = config.build().err().unwrap().to_string();
        assert!(found.contains(message), "{found}");
    }
}
