//! What a config of Logstash says, before anything is made of it.

use crate::tree::Place;
use expr::logstash::{Expression, Quoting, write_float, write_quoted};

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

impl Config {
    /// Prints it in Logstash's notation, without the comments. Read with the same quoting, it
    /// is the same again.
    #[cfg(test)]
    pub(crate) fn print(&self, quoting: Quoting) -> String {
        let mut printer = Printer { quoting, out: String::new(), depth: 0 };
        for section in &self.sections {
            printer.open(section.kind.word());
            printer.items(&section.items);
            printer.close();
        }
        printer.out
    }
}

impl Plugin {
    /// As a value is written, on one line.
    pub(crate) fn show(&self, quoting: Quoting) -> String {
        let mut printer = Printer { quoting, out: String::new(), depth: 0 };
        printer.plugin_inline(self);
        printer.out
    }
}

struct Printer {
    quoting: Quoting,
    out: String,
    depth: usize,
}

impl Printer {
    fn indent(&mut self) {
        (0..self.depth).for_each(|_| self.out.push_str("  "));
    }

    fn name(&mut self, name: &str) {
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if is_plain {
            self.out.push_str(name);
        } else {
            // A name in quotes knows no escapes.
            write_quoted(name, Quoting::Plain, &mut self.out);
        }
    }

    fn plugin_inline(&mut self, plugin: &Plugin) {
        self.name(&plugin.name);
        self.out.push_str(" {");
        for attribute in &plugin.attributes {
            self.out.push(' ');
            self.name(&attribute.name);
            self.out.push_str(" => ");
            self.value(&attribute.value);
        }
        self.out.push_str(" }");
    }

    fn value(&mut self, value: &Value) {
        match &value.kind {
            ValueKind::Word(word) => self.out.push_str(word),
            ValueKind::Text(text) => write_quoted(text, self.quoting, &mut self.out),
            ValueKind::Int(value) => self.out.push_str(&value.to_string()),
            ValueKind::Float(value) => write_float(*value, &mut self.out),
            ValueKind::List(items) => {
                self.out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        self.out.push_str(", ");
                    }
                    self.value(item);
                }
                self.out.push(']');
            }
            ValueKind::Hash(entries) => {
                self.out.push('{');
                for (name, value) in entries {
                    self.out.push(' ');
                    self.value(name);
                    self.out.push_str(" => ");
                    self.value(value);
                }
                self.out.push_str(" }");
            }
            ValueKind::Plugin(plugin) => self.plugin_inline(plugin),
        }
    }
}

#[cfg(test)]
impl Printer {
    fn open(&mut self, what: &str) {
        self.indent();
        self.out.push_str(what);
        self.out.push_str(" {\n");
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.indent();
        self.out.push_str("}\n");
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Plugin(plugin) => {
                    self.indent();
                    self.plugin_inline(plugin);
                    self.out.push('\n');
                }
                Item::Branch(branch) => {
                    for (n, arm) in branch.arms.iter().enumerate() {
                        let mut condition = String::new();
                        arm.condition.write(self.quoting, &mut condition);
                        self.open(&format!("{}if {condition}", if n > 0 { "else " } else { "" }));
                        self.items(&arm.items);
                        self.close();
                    }
                    if let Some(items) = &branch.otherwise {
                        self.open("else");
                        self.items(items);
                        self.close();
                    }
                }
            }
        }
    }
}
