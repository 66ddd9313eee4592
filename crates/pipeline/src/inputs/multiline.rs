//! Lines that belong together, as one event: the rule, and lines that come one by one.

use super::ConfigError;
use crate::units::{Bytes, Time};
use filters::grok::{Definitions, Matcher};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How lines are joined to one event, with the names that users of Filebeat know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultilineConfig {
    /// A regular expression; `%{NAME}` in it stands for a pattern of grok.
    pub pattern: String,
    /// Own patterns by their names.
    #[serde(default, skip_serializing_if = "Definitions::is_empty")]
    pub definitions: Definitions,
    /// Take the lines that do not match.
    #[serde(default)]
    pub negate: bool,
    /// Whether such a line goes `after` the one before it or `before` the one behind it.
    #[serde(rename = "match")]
    pub match_: Match,
    /// Lines of an event at most.
    #[serde(default = "lines_max")]
    pub max_lines: usize,
    /// Bytes of an event at most.
    #[serde(default = "bytes_max")]
    pub max_bytes: Bytes,
    /// How long an event waits for another line.
    #[serde(default = "timeout")]
    pub timeout: Time,
}

/// Which line a matching line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// The one before it.
    After,
    /// The one behind it.
    Before,
}

fn lines_max() -> usize {
    500
}
fn bytes_max() -> Bytes {
    Bytes(10 << 20)
}
fn timeout() -> Time {
    Time(Duration::from_secs(5))
}

/// Lines that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Multiline {
    pub(crate) pattern: Pattern,
    pub(crate) negate: bool,
    /// A matching line belongs to the one before it, or else to the one behind it.
    pub(crate) after: bool,
    pub(crate) lines_max: usize,
    pub(crate) bytes_max: usize,
}

/// What a line is matched with.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// In time that grows with the line only.
    Regex(regex::bytes::Regex),
    /// What that cannot do: names of patterns, looking around.
    Grok(Box<Matcher>),
}

impl MultilineConfig {
    /// Checks the options; an error names the one that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.build().map(|_| ())
    }

    pub(crate) fn build(&self) -> Result<Multiline, ConfigError> {
        let pattern =
            self.pattern().map_err(|message| ConfigError { option: "multiline.pattern", message })?;
        Ok(Multiline {
            pattern,
            negate: self.negate,
            after: self.match_ == Match::After,
            lines_max: self.max_lines.max(1),
            bytes_max: (self.max_bytes.0 as usize).max(1),
        })
    }

    fn pattern(&self) -> Result<Pattern, String> {
        if !self.pattern.contains("%{")
            && let Ok(regex) = regex::bytes::Regex::new(&self.pattern)
        {
            return Ok(Pattern::Regex(regex));
        }
        Ok(Pattern::Grok(Box::new(Matcher::new(&self.pattern, &self.definitions)?)))
    }
}

impl Multiline {
    /// Whether the rule is about this line.
    pub(crate) fn takes(&self, line: &[u8]) -> bool {
        let matches = match &self.pattern {
            Pattern::Regex(regex) => regex.is_match(line),
            Pattern::Grok(matcher) => matcher.is_match(line),
        };
        matches != self.negate
    }
}

/// Joins lines that come one by one.
pub(crate) struct Joiner {
    rule: Arc<Multiline>,
    /// The lines of the event that may go on, and how many these are.
    held: Vec<u8>,
    lines: usize,
    is_cut: bool,
}

/// Events of joined lines.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// Their bytes.
    pub(crate) bytes: Vec<u8>,
    /// Where each is, and whether something of it is missing.
    pub(crate) events: Vec<(Range<usize>, bool)>,
}

impl Joiner {
    pub(crate) fn new(rule: Arc<Multiline>) -> Self {
        Self { rule, held: Vec::new(), lines: 0, is_cut: false }
    }

    /// The bytes of the lines that wait for others, each with its end; 0 when none does.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.len() + self.lines
    }

    /// Takes the next line, which has no end of its own; `is_cut` says that something of it is
    /// missing.
    pub(crate) fn push(&mut self, line: &[u8], is_cut: bool, out: &mut Joined) {
        let takes = self.rule.takes(line);
        if self.rule.after && !takes {
            self.end(out);
        }
        if self.lines > 0 {
            self.held.push(b'\n');
        }
        self.held.extend_from_slice(line);
        self.lines += 1;
        self.is_cut |= is_cut;
        let is_full = self.lines >= self.rule.lines_max || self.held.len() >= self.rule.bytes_max;
        if is_full || !self.rule.after && !takes {
            self.is_cut |= is_full;
            self.end(out);
        }
    }

    /// No other line comes for now: what is held is an event.
    pub(crate) fn end(&mut self, out: &mut Joined) {
        if self.lines == 0 {
            return;
        }
        let from = out.bytes.len();
        let kept = self.held.len().min(self.rule.bytes_max);
        out.bytes.extend_from_slice(&self.held[..kept]);
        out.events.push((from..out.bytes.len(), self.is_cut || kept < self.held.len()));
        self.held.clear();
        (self.lines, self.is_cut) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joiner(options: &str) -> Joiner {
        let config: MultilineConfig = serde_json::from_str(options).unwrap();
        Joiner::new(Arc::new(config.build().unwrap()))
    }

    #[test]
    fn lines_are_joined() {
        #[track_caller]
        fn check(options: &str, lines: &[&str], expected: &[(&str, bool)]) {
            let mut joiner = joiner(options);
            let mut joined = Joined::default();
            for line in lines {
                joiner.push(line.as_bytes(), false, &mut joined);
            }
            joiner.end(&mut joined);
            assert_eq!(joiner.held_bytes(), 0);
            let text = |range: &Range<usize>| std::str::from_utf8(&joined.bytes[range.clone()]).unwrap();
            let found: Vec<_> = joined.events.iter().map(|(range, cut)| (text(range), *cut)).collect();
            assert_eq!(found, expected);
        }
        let stack = r#"{"pattern":"^\\s","match":"after"}"#;
        check(stack, &["a", " b", " c", "d"], &[("a\n b\n c", false), ("d", false)]);
        check(stack, &[" b", "c"], &[(" b", false), ("c", false)]);
        check(stack, &["a", "", "b"], &[("a", false), ("", false), ("b", false)]);
        let continued = r#"{"pattern":"\\\\$","match":"before"}"#;
        check(continued, &["a\\", "b", "c\\"], &[("a\\\nb", false), ("c\\", false)]);
        let dates = r#"{"pattern":"^%{TIMESTAMP_ISO8601} ","negate":true,"match":"after"}"#;
        let lines = ["2026-11-21 12:00:00,1 a", "b", "2026-11-21 12:00:01,1 c"];
        check(dates, &lines, &[("2026-11-21 12:00:00,1 a\nb", false), ("2026-11-21 12:00:01,1 c", false)]);
        let own =
            r#"{"pattern":"^%{START}","definitions":{"START":"[A-Z]{3}"},"negate":true,"match":"after"}"#;
        check(own, &["ABC", "b", "DEF"], &[("ABC\nb", false), ("DEF", false)]);
        let around = r#"{"pattern":"^(?!\\[)","match":"after"}"#;
        check(around, &["[a", "b", "[c"], &[("[a\nb", false), ("[c", false)]);
        let few = r#"{"pattern":"^ ","match":"after","max_lines":2}"#;
        check(few, &["a", " b", " c"], &[("a\n b", true), (" c", false)]);
        let short = r#"{"pattern":"^ ","match":"after","max_bytes":3}"#;
        check(short, &["a", " b", " c"], &[("a\n ", true), (" c", false)]);
    }

    #[test]
    fn patterns_that_cannot_be() {
        for pattern in ["(", "%{NOSUCH}"] {
            let options = serde_json::json!({"pattern": pattern, "match": "after"}).to_string();
            let config: MultilineConfig = serde_json::from_str(&options).unwrap();
            assert_eq!(config.build().unwrap_err().option, "multiline.pattern");
        }
    }
}
