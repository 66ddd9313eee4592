//! Properties as librdkafka and Java's client have them, for those who bring theirs along.
//!
//! A property is understood, or it is said why it has no effect here, or it is wrong; nothing is
//! passed over in silence. `docs/kafka-properties.md` is this table.
//!
//! Sources: librdkafka's CONFIGURATION.md; Kafka's documentation of producer and consumer configs.

mod access;
mod table;
mod value;

use super::ClusterConfig;
use crate::inputs::kafka as input;
use crate::outputs::kafka as output;
use access::Access;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use table::{COMMON, INPUT, Means, OUTPUT, Property};

/// Properties by name. Each is text, however it was written; those that hold a secret are never
/// shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// What is to be said of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name as it was written.
    pub property: String,
    /// Whether nothing can run before it is changed.
    pub is_wrong: bool,
    /// What is wrong with it, or why it has no effect.
    pub message: String,
}

impl Properties {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the properties over the options of an output.
    pub(crate) fn over_output(&self, config: &output::Config) -> (output::Config, Vec<Finding>) {
        let mut config = config.clone();
        let access = Access::new(config.cluster());
        let (ClusterConfig { brokers, client_id, tls, sasl }, findings) =
            self.over(OUTPUT, INPUT, "input", &mut config, access);
        (output::Config { brokers, client_id, tls, sasl, properties: Self::default(), ..config }, findings)
    }

    /// Puts the properties over the options of an input.
    pub(crate) fn over_input(&self, config: &input::Config) -> (input::Config, Vec<Finding>) {
        let mut config = config.clone();
        let access = Access::new(config.cluster());
        let (ClusterConfig { brokers, client_id, tls, sasl }, findings) =
            self.over(INPUT, OUTPUT, "output", &mut config, access);
        (input::Config { brokers, client_id, tls, sasl, properties: Self::default(), ..config }, findings)
    }

    /// The options of a cluster that they say; those of an input or an output alone are unknown here.
    pub fn cluster(&self) -> (ClusterConfig, Vec<Finding>) {
        self.over::<(), ()>(&[], &[], "", &mut (), Access::new(ClusterConfig::default()))
    }

    fn over<T, O>(
        &self,
        own: &[Property<T>],
        others: &[Property<O>],
        other_side: &str,
        config: &mut T,
        mut access: Access,
    ) -> (ClusterConfig, Vec<Finding>) {
        let mut findings = Vec::new();
        for (name, value) in &self.0 {
            let mut say = |is_wrong, message| {
                findings.push(Finding { property: name.clone(), is_wrong, message });
            };
            let found = match (find(own, name), find(COMMON, name)) {
                (Some(row), _) => row.apply(config, value),
                (None, Some(row)) => row.apply(&mut access, value),
                (None, None) if find(others, name).is_some() => {
                    say(false, format!("it is for an {other_side} and has no effect here"));
                    continue;
                }
                (None, None) => {
                    say(
                        true,
                        "neither librdkafka nor Java's client has it, or not as far as is known here"
                            .to_owned(),
                    );
                    continue;
                }
            };
            match found {
                Ok(None) => {}
                Ok(Some(why)) => say(false, why),
                Err(why) => say(true, why),
            }
        }
        match access.finish() {
            Ok(cluster) => (cluster, findings),
            Err((property, message)) => {
                findings.push(Finding { property: property.to_owned(), is_wrong: true, message });
                (ClusterConfig::default(), findings)
            }
        }
    }
}

/// The first of the findings with which nothing can run.
pub(crate) fn wrong(findings: &[Finding]) -> Option<String> {
    let finding = findings.iter().find(|finding| finding.is_wrong)?;
    Some(format!("option \"properties\": {:?}: {}", finding.property, finding.message))
}

/// The names of all properties that are known.
pub fn names() -> Vec<&'static str> {
    let common = COMMON.iter().flat_map(|row| row.names);
    let sides = OUTPUT.iter().flat_map(|row| row.names).chain(INPUT.iter().flat_map(|row| row.names));
    common.chain(sides).copied().collect()
}

/// The table as a page of the documentation.
pub fn page() -> String {
    let mut out = String::from(
        "# Properties of other Kafka clients\n\n\
         The option `properties` of the input and the output `kafka` takes the names and values that librdkafka\n\
         and Java's client have, and puts them over the other options. Numbers may be written as people and\n\
         generators write them (`65536`, `\"65536\"`, `6.5536e+04`). Unknown names are errors; `logpond check`\n\
         says of the others why they have no effect here.\n",
    );
    fn part<T>(out: &mut String, title: &str, rows: &[Property<T>]) {
        out.push_str(&format!("\n## {title}\n\n| property | here |\n| --- | --- |\n"));
        for row in rows {
            let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
            let here = match row.means {
                Means::Set(_) => format!("`{}`", row.here.replace(", ", "`, `")),
                Means::Nothing => format!("no effect: {}", row.here),
                Means::Refused => format!("refused: {}", row.here),
            };
            out.push_str(&format!("| {} | {here} |\n", names.join(", ")));
        }
    }
    part(&mut out, "Input and output", COMMON);
    part(&mut out, "Output", OUTPUT);
    part(&mut out, "Input", INPUT);
    out
}

fn find<'t, T>(rows: &'t [Property<T>], name: &str) -> Option<&'t Property<T>> {
    rows.iter().find(|row| row.names.contains(&name))
}

/// Whether the value of a property is never shown.
fn is_secret(name: &str) -> bool {
    ["password", "jaas", "secret", ".pem", "key.string"].iter().any(|word| name.contains(word))
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Properties {
    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value.as_str() }))
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Text>::deserialize(deserializer)?;
        Ok(Self(map.into_iter().map(|(name, Text(value))| (name, value)).collect()))
    }
}

impl FromIterator<(String, String)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// A scalar of any kind, as text.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true or false")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Text, E> {
                Ok(Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests;
