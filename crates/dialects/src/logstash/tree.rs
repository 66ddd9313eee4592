//! What a config of Logstash says, before anything is made of it.

use crate::tree::Place;
use expr::logstash::{Expression, write_float};

/// A file: sections, in any order and number.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Config {
    pub(crate) sections: Vec<Section>,
}

/// `input {…}`, `filter {…}` or `output {…}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    pub(crate) kind: SectionKind,
    pub(crate) place: Place,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Input,
    Filter,
    Output,
}

impl SectionKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            SectionKind::Input => "input",
            SectionKind::Filter => "filter",
            SectionKind::Output => "output",
        }
    }
}

/// A plugin, or an `if` around some.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Plugin(Plugin),
    Branch(Branch),
}

/// `if … {…} else if … {…} else {…}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Branch {
    pub(crate) arms: Vec<Arm>,
    pub(crate) otherwise: Option<Vec<Item>>,
}

/// `if` or `else if`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arm {
    /// Where the condition begins.
    pub(crate) place: Place,
    pub(crate) condition: Expression,
    pub(crate) items: Vec<Item>,
}

/// `name { option => value … }`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    pub(crate) kind: ValueKind,
    pub(crate) place: Place,
    /// The text, where something in it comes from the environment: it is never shown.
    pub(crate) hidden: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueKind {
    /// Without quotes.
    Word(String),
    Text(String),
    Int(i64),
    Float(f64),
    List(Vec<Value>),
    Hash(Vec<(Value, Value)>),
    Plugin(Plugin),
}

impl Value {
    pub(crate) fn new(kind: ValueKind, place: Place) -> Self {
        Self { kind, place, hidden: None }
    }

    /// Words, texts and numbers as text.
    pub(crate) fn text(&self) -> Option<String> {
        Some(match &self.kind {
            ValueKind::Word(text) | ValueKind::Text(text) => text.clone(),
            ValueKind::Int(value) => value.to_string(),
            ValueKind::Float(value) => {
                let mut out = String::new();
                write_float(*value, &mut out);
                out
            }
            ValueKind::List(_) | ValueKind::Hash(_) | ValueKind::Plugin(_) => return None,
        })
    }

    /// What it is, in words.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            ValueKind::Word(_) => "a word",
            ValueKind::Text(_) => "a text",
            ValueKind::Int(_) | ValueKind::Float(_) => "a number",
            ValueKind::List(_) => "an array",
            ValueKind::Hash(_) => "a hash",
            ValueKind::Plugin(_) => "a plugin",
        }
    }
}
