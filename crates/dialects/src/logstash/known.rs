//! What is known of an option or a setting: its name, its default, and what becomes of it here.
//!
//! docs/logstash.md is printed from these tables.

/// A plugin that can be translated.
pub(crate) struct PluginTable {
    pub(crate) name: &'static str,
    /// What is to be said of it as a whole.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test prints docs/logstash.md from it"))]
    pub(crate) note: &'static str,
    /// Options, in several lists because plugins share some.
    pub(crate) options: &'static [&'static [Known]],
}

/// An option or a setting.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// As one would write it; empty where there is none.
    pub(crate) default: &'static str,
    pub(crate) kept: Kept,
}

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It means what it means there.
    Honoured,
    /// More is promised than there.
    Stronger(&'static str),
    /// Nearly so; whoever sets it to something else than the default is told.
    Near(&'static str),
    /// It is taken, and changes nothing.
    NoEffect(&'static str),
    /// Anything but the default is an error.
    Refused(&'static str),
}

pub(crate) const fn honoured(name: &'static str, default: &'static str) -> Known {
    Known { name, default, kept: Kept::Honoured }
}

pub(crate) const fn stronger(name: &'static str, default: &'static str, how: &'static str) -> Known {
    Known { name, default, kept: Kept::Stronger(how) }
}

pub(crate) const fn near(name: &'static str, default: &'static str, how: &'static str) -> Known {
    Known { name, default, kept: Kept::Near(how) }
}

pub(crate) const fn no_effect(name: &'static str, default: &'static str, why: &'static str) -> Known {
    Known { name, default, kept: Kept::NoEffect(why) }
}

pub(crate) const fn refused(name: &'static str, default: &'static str, way_around: &'static str) -> Known {
    Known { name, default, kept: Kept::Refused(way_around) }
}

impl PluginTable {
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Known> {
        self.options.iter().flat_map(|list| list.iter())
    }
}
