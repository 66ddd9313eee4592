//! Prints what a config says, to prove that reading loses nothing.

use super::tree::{Config, Item, Plugin, Value, ValueKind};
use expr::logstash::{Quoting, write_float, write_quoted};

impl Config {
    /// Prints it in Logstash's notation, without the comments. Read with the same quoting, it
    /// is the same again.
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
        let is_plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
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
