//! The field that an option names: always the same one, or made of the event.

use crate::{BuildError, path};
use event::{Event, Path};
use expr::{Template, logstash};
use std::borrow::Cow;

/// Where a value is read or set.
pub(crate) enum Place {
    Fixed(Path),
    /// With fields of the event in its name. What comes out is read as Logstash does:
    /// `[a][b]`, or one name.
    Made(Template),
}

impl Place {
    pub(crate) fn new(option: &'static str, text: &str) -> Result<Self, BuildError> {
        if !text.contains("%{") {
            return path(option, text).map(Place::Fixed);
        }
        template(option, text).map(Place::Made)
    }

    pub(crate) fn path(&self, event: &Event<'_>, now: i64) -> Option<Cow<'_, Path>> {
        match self {
            Place::Fixed(path) => Some(Cow::Borrowed(path)),
            Place::Made(template) => {
                let name = rendered(template, event, now);
                logstash::field_path(&String::from_utf8_lossy(&name)).map(Cow::Owned)
            }
        }
    }
}

pub(crate) fn template(option: &'static str, text: &str) -> Result<Template, BuildError> {
    Template::parse(text).map_err(|error| BuildError { option, message: error.to_string() })
}

/// The text for an event; a missing field leaves its reference standing.
pub(crate) fn rendered(template: &Template, event: &Event<'_>, now: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = template.render(event, now, &mut out);
    out
}
