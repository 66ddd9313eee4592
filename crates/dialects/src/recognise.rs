//! Whose config a file is.

use crate::{Source, logstash};
use std::fmt;

/// A product's config format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Our own.
    Native,
    /// Elastic's Filebeat.
    Filebeat,
    /// Fluent Bit, in either of its syntaxes.
    FluentBit,
    /// Logstash.
    Logstash,
    /// Vector.
    Vector,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Native => "logpond",
            Dialect::Filebeat => "Filebeat",
            Dialect::FluentBit => "Fluent Bit",
            Dialect::Logstash => "Logstash",
            Dialect::Vector => "Vector",
        })
    }
}

/// Whose config it is, by the words at the beginning of its lines. What nobody else would
/// write is ours, so that complaints are about our own format.
pub fn recognise(source: &Source) -> Dialect {
    let (mut has_sources, mut has_sinks) = (false, false);
    for line in source.text.lines() {
        let starts = |word: &str| line.strip_prefix(word).map(str::trim_start);
        let is_key = |word: &str| starts(word).is_some_and(|rest| rest.starts_with(':'));
        if line.starts_with("filebeat.") || is_key("filebeat") || line.starts_with("output.elasticsearch") {
            return Dialect::Filebeat;
        }
        let lower = line.trim_end().to_ascii_lowercase();
        if ["[input]", "[service]", "[output]", "[filter]"].contains(&lower.as_str()) || is_key("pipeline") {
            return Dialect::FluentBit;
        }
        has_sources |= is_key("sources") || line.starts_with("[sources.");
        has_sinks |= is_key("sinks") || line.starts_with("[sinks.");
    }
    if has_sources || has_sinks {
        Dialect::Vector
    } else if logstash::role(&source.text).is_some() || source.name.ends_with(".conf") {
        Dialect::Logstash
    } else {
        Dialect::Native
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects() {
        #[track_caller]
        fn check(text: &str, dialect: Dialect) {
            assert_eq!(recognise(&Source { name: "c".into(), text: text.into() }), dialect);
        }
        check("inputs: {a: {stdin: {}}}\n", Dialect::Native);
        check("", Dialect::Native);
        check("inputs:\n  pipeline:\n    stdin: {}\n", Dialect::Native);
        check("filebeat.inputs:\n- type: filestream\n", Dialect::Filebeat);
        check("# mine\n[SERVICE]\n    Flush 1\n", Dialect::FluentBit);
        check("pipeline:\n  inputs:\n  - name: tail\n", Dialect::FluentBit);
        check("input {\n  file { path => \"/x\" }\n}\n", Dialect::Logstash);
        check("# only\n# comments\ninput\n{\n", Dialect::Logstash);
        check("pipeline.workers: 2\nqueue.type: persisted\n", Dialect::Logstash);
        check("- pipeline.id: a\n  path.config: /x\n", Dialect::Logstash);
        check("replicas: 3\nlogstashPipeline:\n  a.conf: |\n", Dialect::Logstash);
        check("pipelines: {a: {inputs: {}}}\n", Dialect::Native);
        check("sources:\n  a: {type: file}\nsinks: {}\n", Dialect::Vector);
        check("[sources.a]\ntype = \"file\"\n", Dialect::Vector);
    }
}
