//! Steps at the beginning of a chain that are about nothing but what all events of an origin have
//! in common: `host.name` that gets another name, `log` that goes, a constant beside them. They are
//! taken once for the origin, in place of once for each of its events.
//!
//! Rejected: a place of its own for these in the config of each input. Every dialect would have to
//! know what can stand there.

use crate::plan::FilterStep;
use event::{Common, CommonValue, Path};
use filters::FilterConfig;
use serde_json::Value as Json;
use std::sync::Arc;

/// A step that is the same for all events of an origin as long as nobody looked into them.
pub(super) enum Early {
    Rename(Vec<(Names, Names)>),
    Remove(Vec<Names>),
    /// Not where there is such a field already.
    Set(Option<Names>, Vec<(Names, CommonValue)>),
}

/// The names of a path, from the outermost.
type Names = Vec<String>;

impl Early {
    /// The step, if it is one of these.
    pub(super) fn of(step: &FilterStep) -> Option<Self> {
        if !step.on_success.is_empty() {
            return None;
        }
        match (&step.filter, step.when.as_deref()) {
            (FilterConfig::Rename(config), None) => {
                let pair = |(old, new): (&String, &Json)| Some((names(old)?, names(new.as_str()?)?));
                config.fields.iter().map(pair).collect::<Option<_>>().map(Early::Rename)
            }
            (FilterConfig::Remove(config), None) => {
                config.fields.iter().map(|field| names(field)).collect::<Option<_>>().map(Early::Remove)
            }
            (FilterConfig::Set(config), when) => {
                let unless = match when {
                    None => None,
                    Some(when) => Some(names(when.strip_prefix("!exists(.")?.strip_suffix(')')?)?),
                };
                let pair = |(field, value): (&String, &Json)| Some((names(field)?, constant(value)?));
                let fields = config.fields.iter().map(pair).collect::<Option<_>>()?;
                Some(Early::Set(unless, fields))
            }
            _ => None,
        }
    }
}

/// The path, if it is about neither the message nor the time and no name in it has a dot, which
/// what is in common cannot have.
fn names(path: &str) -> Option<Names> {
    let path = Path::parse(path).ok()?;
    let names: Names = path.names().map(str::to_owned).collect();
    let is_fit = !["message", "@timestamp"].contains(&names.first()?.as_str());
    (is_fit && names.iter().all(|name| !name.is_empty() && !name.contains('.'))).then_some(names)
}

/// A value that is no template.
fn constant(value: &Json) -> Option<CommonValue> {
    match value {
        Json::String(text) if !text.contains(['%', '{', '\\']) => Some(CommonValue::Str(text.clone())),
        Json::Number(number) => number.as_i64().map(CommonValue::Int),
        Json::Bool(value) => Some(CommonValue::Json(value.to_string())),
        _ => None,
    }
}

/// What the events of an origin have in common behind the steps; none where that cannot be said for
/// all of them at once.
pub(super) fn behind(common: &Common, steps: &[Early]) -> Option<Arc<Common>> {
    let mut state = State::default();
    for (path, value) in common.fields() {
        state.fields.push((path.names().map(str::to_owned).collect(), value.clone()));
    }
    for step in steps {
        match step {
            Early::Rename(pairs) => pairs.iter().try_for_each(|(old, new)| state.rename(old, new))?,
            Early::Remove(paths) => paths.iter().try_for_each(|path| state.take(path).map(drop))?,
            Early::Set(unless, fields) => {
                // Its counters would differ from event to event.
                if unless.as_ref().is_some_and(|path| state.touches(path)) {
                    return None;
                }
                for (path, value) in fields {
                    state.put(path, value.clone())?;
                }
            }
        }
    }
    // An event would keep the empty object.
    if !state.hollow.is_empty() {
        return None;
    }
    Some(Common::new(
        common.origin(),
        state.fields.into_iter().map(|(names, value)| (names.join("."), value)),
    ))
}

/// Fields as the steps leave them.
#[derive(Default)]
struct State {
    fields: Vec<(Names, CommonValue)>,
    /// Objects of which nothing is left.
    hollow: Vec<Names>,
}

impl State {
    /// Whether the path is a field, is above one or below one.
    fn touches(&self, path: &Names) -> bool {
        let mut all = self.fields.iter().map(|(own, _)| own).chain(&self.hollow);
        all.any(|own| own.starts_with(path) || path.starts_with(own))
    }

    /// Takes what is at a path away: the names below it, and the values.
    fn take(&mut self, path: &Names) -> Option<Vec<(Names, CommonValue)>> {
        // Within a value nobody knows what there is.
        if self.fields.iter().any(|(own, _)| own.len() < path.len() && path.starts_with(own)) {
            return None;
        }
        self.hollow.retain(|own| !own.starts_with(path));
        let (taken, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.fields).into_iter().partition(|(own, _)| own.starts_with(path));
        self.fields = kept;
        if !taken.is_empty() {
            for depth in 1..path.len() {
                let above = path[..depth].to_vec();
                if !self.fields.iter().any(|(own, _)| own.starts_with(&above)) {
                    self.hollow.push(above);
                }
            }
        }
        Some(taken.into_iter().map(|(own, value)| (own[path.len()..].to_vec(), value)).collect())
    }

    fn rename(&mut self, old: &Names, new: &Names) -> Option<()> {
        // What becomes of an empty object, an event knows best.
        if self.hollow.iter().any(|own| own.starts_with(old)) {
            return None;
        }
        let taken = self.take(old)?;
        // What stands there is replaced as a whole, or is in the way.
        if self.fields.iter().any(|(own, _)| own.starts_with(new) || new.starts_with(own)) {
            return None;
        }
        taken.into_iter().try_for_each(|(below, value)| self.put(&[new.as_slice(), &below].concat(), value))
    }

    fn put(&mut self, path: &Names, value: CommonValue) -> Option<()> {
        self.hollow.retain(|own| !own.starts_with(path) && !path.starts_with(own));
        if let Some((_, own)) = self.fields.iter_mut().find(|(own, _)| own == path) {
            *own = value;
            return Some(());
        }
        if self.fields.iter().any(|(own, _)| own.starts_with(path) || path.starts_with(own)) {
            return None;
        }
        self.fields.push((path.clone(), value));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::Step;
    use crate::run::chain::{Chain, Unwatched, Watch};
    use event::{Batch, Common, CommonValue, Event, Origin};
    use serde_json::Value;

    /// Looks, so that every event goes through every step; and counts.
    #[derive(Default)]
    struct Looking {
        looks: bool,
        before: Vec<usize>,
        after: Vec<usize>,
    }

    impl Watch for Looking {
        fn looks(&self) -> bool {
            self.looks
        }
        fn before(&mut self, filter: usize, _: &Event<'_>) {
            self.before.push(filter);
        }
        fn after(&mut self, filter: usize, _: &Event<'_>) {
            self.after.push(filter);
        }
    }

    fn batch() -> Batch {
        let text = |text: &str| CommonValue::Str(text.to_owned());
        let of_file = [
            ("host.name", text("h")),
            ("log.file.path", text("/p")),
            ("log.offset", CommonValue::Position),
            ("agent", CommonValue::Json("{\"v\":1}".to_owned())),
        ];
        let mut batch = Batch::new();
        batch.bytes_mut().extend_from_slice(b"one two three");
        batch.begin_run(Common::new(Origin::default(), of_file), 0);
        for (from, to) in [(0, 3), (4, 7)] {
            batch.push_line(event::Span::new(from, to), from as u64);
        }
        batch.begin_run(
            Common::new(Origin { generation: 1, ..Origin::default() }, [("host.name", text("g"))]),
            8,
        );
        batch.push_line(event::Span::new(8, 13), 8);
        batch
    }

    fn run(chain: &mut Chain, looks: bool) -> (Vec<Value>, Looking, u64) {
        let (mut batch, mut watch) = (batch(), Looking { looks, ..Looking::default() });
        let mut failed = 0;
        chain.begin(&mut batch, true, &watch);
        batch.each(|event| failed += chain.run(event, 0, &mut watch));
        let documents = batch.events().map(|event| {
            let mut out = Vec::new();
            event.write_json(&mut out);
            serde_json::from_slice(&out).unwrap()
        });
        (documents.collect(), watch, failed)
    }

    /// The same documents and the same counts, whether the steps are taken once or for each event.
    #[track_caller]
    fn check(steps: &str, is_early: bool) {
        let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
        let mut chain = Chain::build(&steps, "filters", &filters::Nothing).unwrap();
        let one_by_one = run(&mut chain, true);
        let at_once = run(&mut chain, false);
        assert_eq!(at_once.0, one_by_one.0);
        assert_eq!(at_once.1.before, one_by_one.1.before);
        assert_eq!(at_once.1.after, one_by_one.1.after);
        assert_eq!(at_once.2, one_by_one.2);
        let mut batch = batch();
        let before = batch.runs()[0].common.clone();
        chain.begin(&mut batch, true, &Unwatched);
        assert_eq!(!std::sync::Arc::ptr_eq(&before, &batch.runs()[0].common), is_early);
    }

    #[test]
    fn steps_taken_once_do_what_they_do_for_each_event() {
        const RENAME: &str = r#"{"rename":{"fields":{"host.name":"host","log.file.path":"path"}}}"#;
        const REMOVE: &str = r#"{"remove":{"fields":["log"]}}"#;
        const VERSION: &str = r#"{"set":{"fields":{"@version":"1"}},"when":"!exists(.@version)"}"#;
        const LATER: &str = r#"{"set":{"fields":{"text":"%{message} of %{host}"}}}"#;
        for (steps, is_early) in [
            // As Logstash's input file has them.
            (format!("[{RENAME},{REMOVE},{VERSION},{LATER}]"), true),
            (format!("[{LATER},{RENAME},{REMOVE}]"), false),
            (r#"[{"remove":{"fields":["log.offset"]}}]"#.to_owned(), true),
            (
                r#"[{"rename":{"fields":{"log.offset":"sequence"}}},{"remove":{"fields":["log"]}}]"#
                    .to_owned(),
                true,
            ),
            (r#"[{"rename":{"fields":{"log":"file"}}}]"#.to_owned(), true),
            (r#"[{"rename":{"fields":{"log.file.path":"log.path"}}}]"#.to_owned(), false),
            (
                r#"[{"rename":{"fields":{"nothing":"a.b"}}},{"set":{"fields":{"n":5,"ok":true,"a.b":"x"}}}]"#
                    .to_owned(),
                true,
            ),
            (r#"[{"set":{"fields":{"host.name":"other","log.file.path":7}}}]"#.to_owned(), true),
            // An object would be left empty.
            (r#"[{"remove":{"fields":["host.name"]}}]"#.to_owned(), false),
            (format!("[{RENAME}]"), false),
            // What is there already, or in the way.
            (r#"[{"set":{"fields":{"a":1}},"when":"!exists(.host)"}]"#.to_owned(), false),
            (r#"[{"set":{"fields":{"host":1}}}]"#.to_owned(), false),
            (r#"[{"set":{"fields":{"host.name.x":1}}}]"#.to_owned(), false),
            (r#"[{"rename":{"fields":{"host":"log"}}}]"#.to_owned(), false),
            // Within a value.
            (r#"[{"remove":{"fields":["agent.v"]}}]"#.to_owned(), false),
            (r#"[{"rename":{"fields":{"agent.v":"v"}}}]"#.to_owned(), false),
            // What is not the same for all events, and values that are no such.
            (r#"[{"rename":{"fields":{"message":"text"}}}]"#.to_owned(), false),
            (r#"[{"remove":{"fields":["@timestamp"]}}]"#.to_owned(), false),
            (r#"[{"set":{"fields":{"a":"%{message}"}}}]"#.to_owned(), false),
            (r#"[{"set":{"fields":{"a":[1]}}}]"#.to_owned(), false),
            (r#"[{"set":{"fields":{"a":1}},"when":".message == \"one\""}]"#.to_owned(), false),
            (r#"[{"set":{"fields":{"a":1}},"on_success":{"add_tag":["t"]}}]"#.to_owned(), false),
        ] {
            check(&steps, is_early);
        }
    }
}
