//! Filter `useragent`: browser, system and device out of the text of a `User-Agent`.
//!
//! It knows what uap-core 0.18.0 knows (`useragent/regexes.yaml`, <https://github.com/ua-parser/uap-core>,
//! under the Apache License 2.0), read at the first event and then shared by all such filters.

use crate::values::first_text;
use crate::{BuildError, Names, Outcome, Provider, path, yaml};
use event::{Event, New, Path, Value};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use ua_parser::{Extractor, Regexes};

/// Options of the filter `useragent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text; of an array the first item is.
    pub source: String,
    /// The field below which the fields go; none: `user_agent`, or the event with the legacy names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Which names the fields have: `os.name` or `os_name` ….
    pub names: Names,
    /// What stands before each name; only with the legacy names.
    pub prefix: String,
    /// Another file in the form of uap-core's `regexes.yaml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regexes: Option<String>,
    /// How many texts are remembered with what they mean, for each worker.
    pub lru_cache_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: String::new(),
            target: None,
            names: Names::Ecs,
            prefix: String::new(),
            regexes: None,
            lru_cache_size: 10_000,
        }
    }
}

/// The filter.
pub struct Useragent {
    source: Path,
    /// The source is the target too, and makes room for it.
    is_in_place: bool,
    fields: [Option<Path>; Part::COUNT],
    engine: Engine,
    seen: LruCache<Box<[u8]>, Arc<Found>>,
}

/// What a text tells.
type Found = Vec<(Part, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Device,
    Major,
    Minor,
    Patch,
    Version,
    OsMajor,
    OsMinor,
    OsPatch,
    OsVersion,
    OsName,
    Os,
    OsFull,
}

impl Part {
    const COUNT: usize = 13;

    const ALL: [Part; Part::COUNT] = [
        Part::Name,
        Part::Device,
        Part::Major,
        Part::Minor,
        Part::Patch,
        Part::Version,
        Part::OsMajor,
        Part::OsMinor,
        Part::OsPatch,
        Part::OsVersion,
        Part::OsName,
        Part::Os,
        Part::OsFull,
    ];

    fn legacy(self) -> &'static str {
        match self {
            Part::Name => "name",
            Part::Device => "device",
            Part::Major => "major",
            Part::Minor => "minor",
            Part::Patch => "patch",
            Part::Version => "version",
            Part::OsMajor => "os_major",
            Part::OsMinor => "os_minor",
            Part::OsPatch => "os_patch",
            Part::OsVersion => "os_version",
            Part::OsName => "os_name",
            Part::Os => "os",
            Part::OsFull => "os_full",
        }
    }

    /// Below the target, or, with a slash in front, below `@metadata.filter.user_agent`: the schema
    /// has no place for it.
    fn ecs(self) -> Option<&'static str> {
        Some(match self {
            Part::Name => "name",
            Part::Device => "device.name",
            Part::Major => "/version.major",
            Part::Minor => "/version.minor",
            Part::Patch => "/version.patch",
            Part::Version => "version",
            Part::OsMajor => "/os.version.major",
            Part::OsMinor => "/os.version.minor",
            Part::OsPatch => "/os.version.patch",
            Part::OsVersion => "os.version",
            Part::OsName => "os.name",
            Part::Os => return None,
            Part::OsFull => "os.full",
        })
    }
}

enum Engine {
    Own(Arc<Extractor<'static>>),
    BuiltIn,
}

/// About a second of work and some memory, which only those have who use it.
static BUILT_IN: LazyLock<Option<Extractor<'static>>> =
    LazyLock::new(|| extractor(include_str!("useragent/regexes.yaml")).ok());

/// What nobody knows is this.
const OTHER: &str = "Other";
/// A text that is longer is not remembered.
const SEEN_BYTES_MAX: usize = 1_024;

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Useragent, BuildError> {
        let wrong = |option, message: &str| Err(BuildError { option, message: message.to_owned() });
        if self.source.is_empty() {
            return wrong("source", "needs the field that holds the text");
        }
        let is_ecs = self.names == Names::Ecs;
        if is_ecs && !self.prefix.is_empty() {
            return wrong("prefix", "only goes with names: legacy");
        }
        let Some(cache) = NonZeroUsize::new(self.lru_cache_size) else {
            return wrong("lru_cache_size", "is at least 1");
        };
        let engine = match &self.regexes {
            None => Engine::BuiltIn,
            Some(file) => {
                let message = |message| BuildError { option: "regexes", message };
                let bytes = provider.read(file).map_err(message)?;
                let text =
                    std::str::from_utf8(&bytes).map_err(|_| message(format!("{file} is not UTF-8")))?;
                let extractor = extractor(text).map_err(|error| message(format!("{file}: {error}")))?;
                Engine::Own(Arc::new(extractor))
            }
        };
        let source = path("source", &self.source)?;
        let target = match &self.target {
            Some(target) => Some(path("target", target)?),
            None => is_ecs.then(|| Path::of(["user_agent"])),
        };
        let below = |names: Vec<String>| {
            let above = target.iter().flat_map(Path::names).map(str::to_owned);
            Path::of(above.chain(names))
        };
        let place = |part: Part| {
            if !is_ecs {
                return Some(below(vec![format!("{}{}", self.prefix, part.legacy())]));
            }
            let dotted = part.ecs()?;
            Some(match dotted.strip_prefix('/') {
                Some(dotted) => {
                    Path::of(["@metadata", "filter", "user_agent"].into_iter().chain(dotted.split('.')))
                }
                None => below(dotted.split('.').map(str::to_owned).collect()),
            })
        };
        Ok(Useragent {
            is_in_place: target.as_ref() == Some(&source),
            source,
            fields: Part::ALL.map(place),
            engine,
            seen: LruCache::sparse(cache),
        })
    }
}

impl Useragent {
    /// Applies it. It has nothing to do where there is no text, and fails where a field does not
    /// fit into the event.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let found = match event.get(&self.source) {
            None => return Outcome::IDLE,
            Some(Value::Str(text)) => self.found(&text),
            Some(other) => first_text(&other).and_then(|text| self.found(&text)),
        };
        let Some(found) = found else { return Outcome::IDLE };
        if self.is_in_place {
            event.remove(&self.source);
        }
        let mut ok = true;
        for (part, text) in &*found {
            if let Some(field) = &self.fields[*part as usize] {
                ok &= event.set(field, New::Str(text.as_bytes())).is_ok();
            }
        }
        Outcome::of(ok)
    }

    fn found(&mut self, text: &[u8]) -> Option<Arc<Found>> {
        if text.is_empty() {
            return None;
        }
        if let Some(found) = self.seen.get(text) {
            return Some(found.clone());
        }
        let extractor = match &self.engine {
            Engine::Own(extractor) => &**extractor,
            Engine::BuiltIn => BUILT_IN.as_ref()?,
        };
        let found = Arc::new(parts(extractor, &String::from_utf8_lossy(text)));
        if text.len() <= SEEN_BYTES_MAX {
            self.seen.put(text.into(), found.clone());
        }
        Some(found)
    }
}

fn extractor(text: &str) -> Result<Extractor<'static>, String> {
    let mut tree = yaml::read(text)?;
    texts(&mut tree);
    let regexes: Regexes<'static> = serde_json::from_value(tree).map_err(|error| error.to_string())?;
    regexes.try_into().map_err(|error: ua_parser::Error| error.to_string())
}

/// Makes texts of numbers: a version that somebody wrote without quotes is one.
fn texts(tree: &mut Json) {
    match tree {
        Json::Number(_) | Json::Bool(_) => *tree = tree.to_string().into(),
        Json::Array(items) => items.iter_mut().for_each(texts),
        Json::Object(members) => members.values_mut().for_each(texts),
        _ => {}
    }
}

fn parts(extractor: &Extractor<'_>, text: &str) -> Found {
    let (browser, system, device) = extractor.extract(text);
    let mut found = Vec::new();
    let mut add = |part, text: Option<&str>| {
        if let Some(text) = text {
            found.push((part, text.to_owned()));
        }
    };
    add(Part::Name, Some(browser.as_ref().map_or(OTHER, |browser| &browser.family)));
    add(Part::Device, Some(device.as_ref().map_or(OTHER, |device| &device.device)));
    if let Some(browser) = &browser {
        let numbers = [browser.major, browser.minor, browser.patch, browser.patch_minor];
        add(Part::Major, browser.major);
        add(Part::Minor, browser.minor);
        add(Part::Patch, browser.patch);
        add(Part::Version, version(text, numbers).as_deref());
    }
    let name = system.as_ref().map_or(OTHER, |system| &system.os);
    add(Part::OsName, Some(name));
    add(Part::Os, Some(name));
    let mut full = name.to_owned();
    if let Some(system) = &system {
        add(Part::OsMajor, system.major.as_deref());
        add(Part::OsMinor, system.minor.as_deref());
        add(Part::OsPatch, system.patch.as_deref());
        let numbers = [&system.major, &system.minor, &system.patch, &system.patch_minor];
        if let Some(version) = os_version(numbers.map(|number| number.as_deref())) {
            full.extend([" ", &version]);
            add(Part::OsVersion, Some(&version));
        }
    }
    add(Part::OsFull, Some(&full));
    found
}

/// The numbers up to the first that is missing, with a fourth one out of the text where only the
/// expression leaves it out.
fn version(text: &str, numbers: [Option<&str>; 4]) -> Option<String> {
    let known: Vec<&str> = numbers.into_iter().map_while(|number| number).collect();
    let mut version = known.join(".");
    if known.len() == 3
        && let Some(at) = text.find(&version)
        && let Some((number, _)) =
            text[at + version.len()..].strip_prefix('.').and_then(|rest| rest.split_once(' '))
        && is_number(number)
    {
        version.extend([".", number]);
    }
    (!known.is_empty()).then_some(version)
}

/// Names such as `Vista` stand before a number with a blank.
fn os_version(numbers: [Option<&str>; 4]) -> Option<String> {
    let [major, rest @ ..] = numbers;
    let mut version = major?.to_owned();
    let mut separator = if is_number(&version) { "." } else { " " };
    for number in rest.into_iter().map_while(|number| number) {
        version.extend([separator, number]);
        separator = ".";
    }
    Some(version)
}

/// Whether it is a whole number as it is printed.
fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{apply_built, apply_with, build_with, check, mistake};
    use proptest::prelude::*;
    use serde_json::json;

    const FIREFOX: &str =
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.11; rv:45.0) Gecko/20100101 Firefox/45.0";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_3) AppleWebKit/537.75.14 (KHTML, like Gecko) Version/7.0.3 Safari/7046A194A";
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.5414.120 Safari/537.36";

    /// What an event with this text has besides, and its fields for filters.
    #[track_caller]
    fn found(filter: &mut Filter, text: &str) -> Json {
        let (mut after, outcome, _) = apply_built(filter, &json!({ "message": text }).to_string());
        assert_eq!(outcome, Outcome::OK);
        assert_eq!(after.as_object_mut().unwrap().shift_remove("message"), Some(text.into()));
        after
    }

    use crate::Filter;

    #[test]
    fn both_kinds_of_names() {
        let ecs = &mut build_with(r#"{"useragent":{"source":"message"}}"#, &[]);
        assert_eq!(
            found(ecs, FIREFOX),
            json!({"user_agent": {
                "name": "Firefox", "device": {"name": "Mac"}, "version": "45.0",
                "os": {"name": "Mac OS X", "version": "10.11", "full": "Mac OS X 10.11"}
            }})
        );
        assert_eq!(found(ecs, SAFARI)["user_agent"]["version"], "7.0.3");
        // The fourth number is in the text alone, or in the expression.
        let chrome = found(ecs, CHROME);
        assert_eq!(chrome["user_agent"]["version"], "109.0.5414.120");
        assert_eq!(
            chrome["user_agent"]["os"],
            json!({"name": "Windows", "version": "10", "full": "Windows 10"})
        );
        assert_eq!(
            found(ecs, "nobody knows"),
            json!({"user_agent": {"name": "Other", "device": {"name": "Other"}, "os": {"name": "Other", "full": "Other"}}})
        );
        let legacy =
            &mut build_with(r#"{"useragent":{"source":"message","names":"legacy","prefix":"ua_"}}"#, &[]);
        assert_eq!(
            found(legacy, SAFARI),
            json!({
                "ua_name": "Safari", "ua_device": "Mac", "ua_major": "7", "ua_minor": "0", "ua_patch": "3",
                "ua_version": "7.0.3", "ua_os_name": "Mac OS X", "ua_os": "Mac OS X", "ua_os_major": "10",
                "ua_os_minor": "9", "ua_os_patch": "3", "ua_os_version": "10.9.3", "ua_os_full": "Mac OS X 10.9.3"
            })
        );
        let below =
            &mut build_with(r#"{"useragent":{"source":"message","names":"legacy","target":"[ua][x]"}}"#, &[]);
        assert_eq!(found(below, FIREFOX)["ua"]["x"]["os_full"], "Mac OS X 10.11");
    }

    #[test]
    fn sources() {
        let config = r#"{"useragent":{"source":"a"}}"#;
        for event in ["{}", r#"{"a":""}"#, r#"{"a":null}"#, r#"{"a":[]}"#] {
            check(config, event, event, true);
        }
        let own = [(
            "own.yaml",
            "user_agent_parsers:\n- regex: '(Own)/(\\d+)'\n  v2_replacement: 7\nos_parsers: []\ndevice_parsers: []\n",
        )];
        let config = r#"{"useragent":{"source":"a","target":"a","regexes":"own.yaml"}}"#;
        let (after, outcome) = apply_with(config, r#"{"a":["Own/12 x","Other/1"]}"#, &own);
        assert!(outcome.ok);
        assert_eq!(
            after,
            json!({"a": {"name": "Own", "version": "12.7", "device": {"name": "Other"}, "os": {"name": "Other", "full": "Other"}}})
        );
    }

    #[test]
    fn texts_are_remembered() {
        let mut filter = build_with(r#"{"useragent":{"source":"message","lru_cache_size":2}}"#, &[]);
        let first = found(&mut filter, FIREFOX);
        for text in [SAFARI, FIREFOX, CHROME, FIREFOX, SAFARI] {
            found(&mut filter, text);
        }
        assert_eq!(found(&mut filter, FIREFOX), first);
        found(&mut filter, &"x".repeat(2_000));
        let Filter::Useragent(filter) = filter else { unreachable!("it is one") };
        let seen: Vec<&[u8]> = filter.seen.iter().map(|(text, _)| &**text).collect();
        assert_eq!(seen, [FIREFOX.as_bytes(), SAFARI.as_bytes()]);
    }

    #[test]
    fn mistakes() {
        mistake(r#"{"useragent":{}}"#, "option \"source\": needs");
        mistake(r#"{"useragent":{"source":"a","prefix":"x"}}"#, "option \"prefix\": only goes with");
        mistake(r#"{"useragent":{"source":"a","lru_cache_size":0}}"#, "option \"lru_cache_size\"");
        mistake(r#"{"useragent":{"source":"a","regexes":"x"}}"#, "option \"regexes\": no files");
        assert!(extractor("user_agent_parsers: [{regex: '('}]\nos_parsers: []\ndevice_parsers: []").is_err());
        assert!(extractor("a: 1").err().unwrap().contains("user_agent_parsers"));
    }

    #[test]
    fn versions() {
        let all = |text: &'static str| {
            let mut numbers = text.split('|').map(Some).chain([None; 4]);
            std::array::from_fn(|_| numbers.next().flatten())
        };
        assert_eq!(os_version(all("Vista")), Some("Vista".to_owned()));
        assert_eq!(os_version(all("Server|2008|2")), Some("Server 2008.2".to_owned()));
        assert_eq!(os_version(all("10|14|1|2")), Some("10.14.1.2".to_owned()));
        assert_eq!(version("x 1.2.3.4 y", all("1|2|3")), Some("1.2.3.4".to_owned()));
        assert_eq!(version("x 1.2.3.4", all("1|2|3")), Some("1.2.3".to_owned()));
        assert_eq!(version("x 1.2.3.04 y", all("1|2|3")), Some("1.2.3".to_owned()));
        assert_eq!(version("x 1.2.5 y", all("1|2")), Some("1.2".to_owned()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_text(text: String) {
            let built_in = BUILT_IN.as_ref().unwrap();
            let found = parts(built_in, &text);
            prop_assert!(found.iter().any(|(part, _)| *part == Part::Name));
        }
    }
}
