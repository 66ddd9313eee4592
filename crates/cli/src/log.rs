//! The program's own log: where it goes, and how much it says, which can be changed while it runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload::{Handle, Layer};
use tracing_subscriber::{Registry, fmt};

/// The parts of the program, by the crates that say something.
const PARTS: [&str; 7] = ["cli", "dialects", "disk", "pipeline", "queue", "store", "web"];
/// All of them together.
const ALL: [&str; 3] = ["", "logpond", "logstash"];

static LEVELS: OnceLock<Levels> = OnceLock::new();

/// How much each part says.
pub(crate) struct Levels {
    begin: LevelFilter,
    now: Mutex<BTreeMap<&'static str, LevelFilter>>,
    handle: Handle<Targets, Registry>,
}

/// Begins to log to standard error.
pub(crate) fn start(level: tracing::Level, as_json: bool) {
    let begin = LevelFilter::from_level(level);
    let now = PARTS.map(|part| (part, begin)).into();
    let (filter, handle) = Layer::new(targets(begin, &now));
    let layer = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    if as_json {
        registry.with(layer.json().with_filter(filter)).init();
    } else {
        registry.with(layer.with_target(false).with_filter(filter)).init();
    }
    let _ = LEVELS.set(Levels { begin, now: Mutex::new(now), handle });
}

/// The levels, once the log was started.
pub(crate) fn levels() -> Option<&'static Levels> {
    LEVELS.get()
}

fn targets(begin: LevelFilter, now: &BTreeMap<&'static str, LevelFilter>) -> Targets {
    // Libraries below ours say only what is wrong, unless everything was asked for.
    let others = if begin >= LevelFilter::DEBUG { begin } else { LevelFilter::WARN.min(begin) };
    Targets::new().with_default(others).with_targets(now.iter().map(|(name, level)| (*name, *level)))
}

impl Levels {
    /// The parts and their levels, in the words of Logstash.
    pub(crate) fn shown(&self) -> Vec<(&'static str, String)> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.iter().map(|(name, level)| (*name, level.to_string().to_uppercase())).collect()
    }

    /// Changes all these levels, or, when something is wrong, none.
    pub(crate) fn set(&self, levels: &[(String, String)]) -> Result<(), String> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let new = changed(&now, levels)?;
        self.handle.reload(targets(self.begin, &new)).map_err(|error| error.to_string())?;
        *now = new;
        Ok(())
    }

    /// Sets all back to what they were at the start.
    pub(crate) fn reset(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = PARTS.map(|part| (part, self.begin)).into();
        if let Err(error) = self.handle.reload(targets(self.begin, &now)) {
            tracing::error!(%error, "the levels of the log stay as they are");
        }
    }
}

fn changed(
    now: &BTreeMap<&'static str, LevelFilter>,
    levels: &[(String, String)],
) -> Result<BTreeMap<&'static str, LevelFilter>, String> {
    let mut new = now.clone();
    for (name, level) in levels {
        let level = match level.to_ascii_uppercase().as_str() {
            "TRACE" | "ALL" => LevelFilter::TRACE,
            "DEBUG" => LevelFilter::DEBUG,
            "INFO" => LevelFilter::INFO,
            "WARN" => LevelFilter::WARN,
            "ERROR" | "FATAL" => LevelFilter::ERROR,
            "OFF" => LevelFilter::OFF,
            _ => return Err(format!("invalid level[{level}] for logger[{name}]")),
        };
        let is_meant = |part: &&str| name == part || ALL.contains(&name.as_str());
        let parts: Vec<&str> = PARTS.into_iter().filter(is_meant).collect();
        if parts.is_empty() {
            return Err(format!(
                "there is no logger[{name}]; there are {}, and logpond for all of them",
                PARTS.join(", ")
            ));
        }
        new.extend(parts.into_iter().map(|part| (part, level)));
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_names() {
        let now: BTreeMap<_, _> = PARTS.map(|part| (part, LevelFilter::INFO)).into();
        let set = |levels: &[(&str, &str)]| {
            let levels: Vec<_> = levels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            changed(&now, &levels).map(|new| {
                let differs = new.into_iter().filter(|(_, level)| *level != LevelFilter::INFO);
                differs.map(|(name, level)| format!("{name}={level}")).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(set(&[("web", "debug"), ("queue", "OFF")]), Ok("queue=off web=debug".to_owned()));
        assert_eq!(set(&[("logstash", "WARN"), ("web", "INFO")]).map(|text| text.split(' ').count()), Ok(6));
        assert!(set(&[("web", "loud")]).is_err_and(|error| error == "invalid level[loud] for logger[web]"));
        assert!(set(&[("web", "DEBUG"), ("logstash.agent", "DEBUG")]).is_err());
    }
}
