//! From text to what it says.
//!
//! The grammar is that of `logstash-core/lib/logstash/config/grammar.treetop`. It allows more
//! than its examples show: names in quotes, numbers as keys, a plugin as any value.

use super::tree::{Arm, Attribute, Branch, Config, Item, Plugin, Section, SectionKind, Value, ValueKind};
use crate::Problem;
use crate::de;
use crate::problem::{Files, SecretSpan, is_secret, nearest};
use crate::tree::Place;
use expr::logstash::{self, Quoting};

/// How deep plugins, hashes, arrays and conditions may lie within each other.
const DEPTH_MAX: usize = 64;
const BYTES_MAX: usize = 16 << 20;
const SECTIONS: [&str; 3] = ["input", "filter", "output"];

/// Reads a file of `files`. What is right, but may not be what was meant, becomes a warning.
pub(crate) fn parse(
    files: &mut Files<'_>,
    file: u32,
    quoting: Quoting,
    warnings: &mut Vec<Problem>,
) -> Result<Config, Problem> {
    let sources = files.sources;
    let text = sources[file as usize].text.as_str();
    if text.len() > BYTES_MAX {
        let start = Place { file, line: 1, column: 1 };
        return Err(files.problem(start, "", format!("the file is larger than {} MiB", BYTES_MAX >> 20)));
    }
    let mut parser = Parser {
        text,
        at: text.strip_prefix('\u{feff}').map_or(0, |_| 3),
        lines: Lines::new(text, file),
        quoting,
        depth: 0,
        notes: Vec::new(),
        secrets: Vec::new(),
    };
    let result = parser.config();
    files.secrets.append(&mut parser.secrets);
    warnings.extend(parser.notes.into_iter().map(|(place, message)| files.problem(place, "", message)));
    result.map_err(|complaint| {
        let mut problem = files.problem(complaint.place, "", complaint.message);
        // What stands behind the mistake was not read, so nobody knows what of it is a secret.
        let line = files.line(complaint.place);
        if line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_secret_name) {
            problem.text.clear();
        }
        problem
    })
}

/// Whether the value of an option must not be shown.
pub(crate) fn is_secret_name(name: &str) -> bool {
    is_secret(name) || matches!(name, "cloud_auth" | "sasl_jaas_config")
}

struct Complaint {
    place: Place,
    message: String,
}

/// Where each line begins.
struct Lines {
    file: u32,
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str, file: u32) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, starts }
    }

    fn place(&self, text: &str, at: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts[line - 1];
        let column = text.get(start..at).map_or(1, |before| before.chars().count() + 1);
        Place { file: self.file, line: line as u32, column: column as u32 }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    lines: Lines,
    quoting: Quoting,
    depth: usize,
    notes: Vec<(Place, String)>,
    secrets: Vec<SecretSpan>,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn place(&self, at: usize) -> Place {
        self.lines.place(self.text, at)
    }

    fn wrong<T>(&self, at: usize, message: impl Into<String>) -> Result<T, Complaint> {
        Err(Complaint { place: self.place(at), message: message.into() })
    }

    /// A complaint about what stands here in place of what was expected.
    fn expected<T>(&self, what: &str) -> Result<T, Complaint> {
        let found = match self.rest().chars().next() {
            None => "the end of the file".to_owned(),
            Some(_) => {
                let word: String = self.rest().chars().take_while(|c| is_word_char(*c)).take(40).collect();
                let first: String = self.rest().chars().take(1).collect();
                format!("{:?}", if word.is_empty() { first } else { word })
            }
        };
        self.wrong(self.at, format!("expected {what}, found {found}"))
    }

    fn blank(&mut self) {
        self.at = logstash::blank(self.text, self.at);
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Complaint>) -> Result<T, Complaint> {
        if self.depth >= DEPTH_MAX {
            return self.wrong(self.at, format!("nested deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn config(&mut self) -> Result<Config, Complaint> {
        let mut config = Config::default();
        loop {
            self.blank();
            if self.rest().is_empty() {
                return Ok(config);
            }
            config.sections.push(self.section()?);
        }
    }

    fn section(&mut self) -> Result<Section, Complaint> {
        let begin = self.at;
        let word = self.word();
        let kind = match word {
            "input" => SectionKind::Input,
            "filter" => SectionKind::Filter,
            "output" => SectionKind::Output,
            "" if self.rest().starts_with('}') => {
                return self.wrong(begin, "a } without its {; a section was closed before");
            }
            "" => return self.expected("input, filter or output, each with { and }"),
            other => {
                let hint = nearest(other, &SECTIONS)
                    .map_or_else(String::new, |own| format!("; did you mean {own:?}?"));
                return self.wrong(
                    begin,
                    format!("{other:?} is no section{hint} (there are input, filter and output)"),
                );
            }
        };
        self.blank();
        if !self.eat("{") {
            return self.expected(&format!("{{ behind {word:?}"));
        }
        let items = self.items(begin, word)?;
        Ok(Section { kind, place: self.place(begin), items })
    }

    /// What stands between a `{` that was read and its `}`.
    fn items(&mut self, begin: usize, what: &str) -> Result<Vec<Item>, Complaint> {
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.eat("}") {
                return Ok(items);
            }
            if self.rest().is_empty() {
                let line = self.place(begin).line;
                return self
                    .wrong(self.at, format!("the file ends, but {what:?} of line {line} has no }} yet"));
            }
            items.push(self.deeper(Self::item)?);
        }
    }

    fn item(&mut self) -> Result<Item, Complaint> {
        let behind_word = self.rest().strip_prefix("if").and_then(|rest| rest.chars().next());
        if behind_word.is_some_and(|c| !is_word_char(c) && c != '{') {
            let after = logstash::blank(self.text, self.at + 2);
            if !self.text[after..].starts_with('{') {
                return self.branch().map(Item::Branch);
            }
        }
        let begin = self.at;
        if self.word() == "else" {
            return self.wrong(begin, "an \"else\" without its \"if\"");
        }
        self.at = begin;
        let name = self.name("a plugin such as grok { … }, if, or }")?;
        self.blank();
        if !self.rest().starts_with('{') {
            if self.rest().starts_with("=>") {
                return self.wrong(begin, format!("option {name:?} stands outside of a plugin"));
            }
            return self.expected(&format!("{{ behind {name:?}"));
        }
        self.plugin(name, begin).map(Item::Plugin)
    }

    fn branch(&mut self) -> Result<Branch, Complaint> {
        let mut branch = Branch { arms: Vec::new(), otherwise: None };
        loop {
            let begin = self.at;
            self.at += 2;
            self.blank();
            let place = self.place(self.at);
            let read = logstash::read(self.text, self.at, self.quoting)
                .map_err(|error| Complaint { place: self.place(error.at), message: error.reason })?;
            for note in read.notes {
                self.notes.push((self.place(note.at), note.message));
            }
            self.at = read.end;
            self.blank();
            if !self.eat("{") {
                return self.expected("{, or \"and\" or \"or\" and a further condition");
            }
            let items = self.items(begin, "if")?;
            branch.arms.push(Arm { place, condition: read.expression, items });
            let end = self.at;
            self.blank();
            let begin = self.at;
            if self.word() != "else" {
                self.at = end;
                return Ok(branch);
            }
            self.blank();
            if self.eat("{") {
                branch.otherwise = Some(self.items(begin, "else")?);
                return Ok(branch);
            }
            if !self.rest().starts_with("if") {
                return self.expected("{ or \"if\" behind \"else\"");
            }
        }
    }

    /// The plugin of a name that was read; a `{` stands here.
    fn plugin(&mut self, name: String, begin: usize) -> Result<Plugin, Complaint> {
        self.at += 1;
        let place = self.place(begin);
        let mut attributes = Vec::new();
        loop {
            self.blank();
            if self.eat("}") {
                return Ok(Plugin { name, place, attributes });
            }
            if self.rest().starts_with(',') {
                return self.wrong(self.at, "no comma stands between the options of a plugin");
            }
            if self.rest().is_empty() {
                let line = place.line;
                return self
                    .wrong(self.at, format!("the file ends, but {name:?} of line {line} has no }} yet"));
            }
            attributes.push(self.attribute(&name)?);
        }
    }

    fn attribute(&mut self, plugin: &str) -> Result<Attribute, Complaint> {
        let place = self.place(self.at);
        let name = self.name(&format!("an option of {plugin:?}, or }}"))?;
        self.arrow(&name)?;
        let begin = self.at;
        let value = self.deeper(Self::value)?;
        if is_secret_name(&name) {
            self.hide(begin, self.at);
        }
        Ok(Attribute { name, place, value })
    }

    fn arrow(&mut self, name: &str) -> Result<(), Complaint> {
        self.blank();
        if self.eat("=>") {
            self.blank();
            return Ok(());
        }
        if self.rest().starts_with('{') {
            return self
                .wrong(self.at, format!("expected => behind {name:?}; plugins do not stand within plugins"));
        }
        if self.rest().starts_with(['=', ':']) {
            return self.wrong(self.at, format!("expected => behind {name:?}"));
        }
        self.expected(&format!("=> behind {name:?}"))
    }

    /// A name of letters, digits, `_` and `-`, or in quotes.
    fn name(&mut self, what: &str) -> Result<String, Complaint> {
        if self.rest().starts_with(['"', '\'']) {
            return self.quoted(Quoting::Plain);
        }
        match self.word() {
            "" => self.expected(what),
            word => Ok(word.to_owned()),
        }
    }

    /// Letters, digits, `_` and `-`; there may be none.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let len = rest.find(|c: char| !is_word_char(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn quoted(&mut self, quoting: Quoting) -> Result<String, Complaint> {
        let begin = self.at;
        let (text, end) = logstash::quoted(self.text, self.at, quoting)
            .map_err(|error| Complaint { place: self.place(error.at), message: error.reason })?;
        self.at = end;
        if let Some((_, behind)) = text.split_once("://")
            && behind.split('/').next().is_some_and(|host| host.contains('@'))
        {
            self.hide(begin, end);
        }
        Ok(text)
    }

    fn value(&mut self) -> Result<Value, Complaint> {
        let begin = self.at;
        let place = self.place(begin);
        let kind = match self.rest().chars().next() {
            Some('[') => ValueKind::List(self.list()?),
            Some('{') => ValueKind::Hash(self.hash()?),
            Some('"' | '\'') => {
                let raw = self.at;
                let text = self.quoted(self.quoting)?;
                if self.is_plugin_next() {
                    self.at = raw;
                    let name = self.quoted(Quoting::Plain)?;
                    self.blank();
                    ValueKind::Plugin(self.plugin(name, begin)?)
                } else {
                    ValueKind::Text(text)
                }
            }
            Some(c) if is_word_char(c) => self.word_value(begin)?,
            _ => return self.expected("a value: a text in quotes, a number, a word, [ … ] or { … }"),
        };
        Ok(Value::new(kind, place))
    }

    fn is_plugin_next(&self) -> bool {
        self.text[logstash::blank(self.text, self.at)..].starts_with('{')
    }

    fn word_value(&mut self, begin: usize) -> Result<ValueKind, Complaint> {
        let word = self.word();
        if self.is_plugin_next() {
            self.blank();
            return Ok(ValueKind::Plugin(self.plugin(word.to_owned(), begin)?));
        }
        self.at = begin;
        if let Some((value, end)) = logstash::number(self.text, begin) {
            self.at = end;
            if self.rest().starts_with(|c: char| is_word_char(c) || c == '.') {
                return self.wrong(begin, "a text that begins with a digit must stand in quotes");
            }
            return Ok(value.map_or_else(ValueKind::Float, ValueKind::Int));
        }
        let len = word.find('-').unwrap_or(word.len());
        let bare = &word[..len];
        if !bare.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || len < word.len() {
            return self.wrong(begin, format!("{word:?} must stand in quotes"));
        }
        if bare.len() < 2 {
            return self.wrong(begin, format!("a word of one letter must stand in quotes: \"{bare}\""));
        }
        self.at = begin + len;
        if self.rest().starts_with(['.', '/', ':']) {
            return self
                .wrong(begin, "a text with other signs than letters, digits and _ must stand in quotes");
        }
        Ok(ValueKind::Word(bare.to_owned()))
    }

    fn list(&mut self) -> Result<Vec<Value>, Complaint> {
        let begin = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.eat("]") {
            return Ok(items);
        }
        loop {
            self.blank();
            if self.rest().starts_with(']') {
                return self.wrong(self.at, "no comma stands behind the last item of an array");
            }
            items.push(self.deeper(Self::value)?);
            self.blank();
            if self.eat("]") {
                return Ok(items);
            }
            if !self.eat(",") {
                let line = self.place(begin).line;
                return self.expected(&format!(", or ] in the array of line {line}"));
            }
        }
    }

    fn hash(&mut self) -> Result<Vec<(Value, Value)>, Complaint> {
        let begin = self.at;
        self.at += 1;
        let mut entries: Vec<(Value, Value)> = Vec::new();
        loop {
            self.blank();
            if self.eat("}") {
                return Ok(entries);
            }
            if self.rest().starts_with(',') {
                return self.wrong(self.at, "no comma stands between the entries of a hash");
            }
            if self.rest().is_empty() {
                let line = self.place(begin).line;
                return self
                    .wrong(self.at, format!("the file ends, but the hash of line {line} has no }} yet"));
            }
            let at = self.at;
            let name = self.deeper(Self::value)?;
            let Some(shown) = name.text() else {
                return self.wrong(at, "a key of a hash is a text, a word or a number");
            };
            if entries.iter().any(|(own, _)| own.text().as_ref() == Some(&shown)) {
                return self.wrong(at, format!("the key {shown:?} stands twice in a hash"));
            }
            self.arrow(&shown)?;
            let begin = self.at;
            let value = self.deeper(Self::value)?;
            if is_secret_name(&shown) {
                self.hide(begin, self.at);
            }
            entries.push((name, value));
        }
    }

    /// Keeps a part of the text out of what is shown.
    fn hide(&mut self, from: usize, to: usize) {
        let (first, last) = (self.place(from), self.place(to));
        for line in first.line..=last.line {
            let from = if line == first.line { first.column } else { 1 };
            let to = if line == last.line { last.column } else { u32::MAX };
            self.secrets.push(SecretSpan { file: self.lines.file, line, from, to });
        }
    }
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// `unknown … "x"; did you mean "y"?`, with the names only where they are few.
pub(crate) fn unknown(what: &str, name: &str, of: &str, known: &[&str]) -> String {
    const SHOWN_MAX: usize = 20;
    if known.len() <= SHOWN_MAX {
        return de::unknown(what, name, of, known);
    }
    let hint = nearest(name, known).map_or_else(String::new, |own| format!("; did you mean {own:?}?"));
    format!("unknown {what} {name:?}{of}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;
    use proptest::prelude::*;

    fn read(text: &str, quoting: Quoting) -> Result<Config, Problem> {
        let sources = [Source { name: "a.conf".into(), text: text.into() }];
        parse(&mut Files { sources: &sources, secrets: Vec::new() }, 0, quoting, &mut Vec::new())
    }

    fn forget_items(items: &mut [Item]) {
        for item in items {
            match item {
                Item::Plugin(plugin) => forget_plugin(plugin),
                Item::Branch(branch) => {
                    for arm in &mut branch.arms {
                        arm.place = START;
                        forget_items(&mut arm.items);
                    }
                    forget_items(branch.otherwise.as_deref_mut().unwrap_or_default());
                }
            }
        }
    }

    fn forget_plugin(plugin: &mut Plugin) {
        plugin.place = START;
        for attribute in &mut plugin.attributes {
            attribute.place = START;
            forget_value(&mut attribute.value);
        }
    }

    fn forget_value(value: &mut Value) {
        value.place = START;
        match &mut value.kind {
            ValueKind::List(items) => items.iter_mut().for_each(forget_value),
            ValueKind::Hash(entries) => entries.iter_mut().for_each(|(name, value)| {
                forget_value(name);
                forget_value(value);
            }),
            ValueKind::Plugin(plugin) => forget_plugin(plugin),
            _ => {}
        }
    }

    const START: Place = Place { file: 0, line: 1, column: 1 };

    fn forget(mut config: Config) -> Config {
        for section in &mut config.sections {
            section.place = START;
            forget_items(&mut section.items);
        }
        config
    }

    #[track_caller]
    fn check(text: &str, printed: &str) {
        let config = read(text, Quoting::Plain).unwrap_or_else(|problem| panic!("{problem}"));
        let found = config.print(Quoting::Plain);
        assert_eq!(found, printed);
        let again = read(&found, Quoting::Plain).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(forget(again), forget(config));
    }

    #[test]
    fn everything_that_can_be_written() {
        check("", "");
        check("# nothing\n", "");
        check("input{stdin{}}", "input {\n  stdin { }\n}\n");
        check(
            "input { } # a\noutput { null {} }\ninput { stdin { } }",
            "input {\n}\noutput {\n  null { }\n}\ninput {\n  stdin { }\n}\n",
        );
        check(
            "filter { x { a => word b => \"t\" c => 'u' d => -5 e => 1.50 f => [ 1, 'b' , [] ] g => { } } }",
            "filter {\n  x { a => word b => \"t\" c => \"u\" d => -5 e => 1.5 f => [1, \"b\", []] g => { } }\n}\n",
        );
        check(
            "filter { x { \"a b\" => { 5 => b1 'c' => \"d\"\n e1 => [{}] } codec => json { charset => \"UTF-8\" } } }",
            "filter {\n  x { \"a b\" => { 5 => b1 \"c\" => \"d\" e1 => [{ }] } codec => json { charset => \"UTF-8\" } }\n}\n",
        );
        check(
            "filter { x { a => 'say \"hi\"' b => \"it's\" } }",
            "filter {\n  x { a => 'say \"hi\"' b => \"it's\" }\n}\n",
        );
        // Without escapes a backslash is a backslash, also before a quote.
        check("filter { x { a => \"a\\\"b\\n\" } }", "filter {\n  x { a => \"a\\\"b\\n\" }\n}\n");
        check(
            "filter { if [a] { x {} } else if [b] == 'c' { if ! [d] { y { } } } else { } }",
            "filter {\n  if [a] {\n    x { }\n  }\n  else if [b] == \"c\" {\n    if ![d] {\n      y { }\n    }\n  }\n  else {\n  }\n}\n",
        );
        check(
            "filter { if\n# c\n[a] # d\n and [b]{x{}} }",
            "filter {\n  if [a] and [b] {\n    x { }\n  }\n}\n",
        );
        check("filter { iffy { } if { } }", "filter {\n  iffy { }\n  if { }\n}\n");
        check(
            "filter { x { a => 'two\nlines # no comment' } }",
            "filter {\n  x { a => \"two\nlines # no comment\" }\n}\n",
        );
    }

    #[test]
    fn escapes_are_read_when_asked_for() {
        let config = read("filter { x { a => \"b\\n\\\"\\\\\\q\" } }", Quoting::Escapes).unwrap();
        let Item::Plugin(plugin) = &config.sections[0].items[0] else { panic!("a plugin") };
        assert_eq!(plugin.attributes[0].value.text().unwrap(), "b\n\"\\\\q");
    }

    #[test]
    fn mistakes_have_a_place() {
        #[track_caller]
        fn check(text: &str, line: usize, column: usize, expected: &str) {
            let problem = read(text, Quoting::Plain).unwrap_err();
            assert_eq!((problem.line, problem.column), (line, column), "{problem}");
            assert!(problem.message.contains(expected), "{problem}");
        }
        check("inputs { }", 1, 1, "did you mean \"input\"?");
        check("input", 1, 6, "expected { behind \"input\", found the end of the file");
        check("input {", 1, 8, "\"input\" of line 1 has no }");
        check("filter {\n  grok {\n    match => 5\n", 4, 1, "\"grok\" of line 2 has no }");
        check("filter { } }", 1, 12, "a } without its {");
        check("filter { grok }", 1, 15, "expected { behind \"grok\", found \"}\"");
        check("filter { x { a = 5 } }", 1, 16, "expected => behind \"a\"");
        check("filter { x { a: 5 } }", 1, 15, "expected => behind \"a\"");
        check("filter { x { a => 5, b => 6 } }", 1, 20, "no comma stands between the options");
        check("filter { x { a => [1, 2,] } }", 1, 25, "no comma stands behind the last item");
        check("filter { x { a => [1 2] } }", 1, 22, "expected , or ] in the array of line 1, found \"2\"");
        check("filter { x { a => { bb => 1, cc => 2 } } }", 1, 28, "no comma stands between the entries");
        check("filter { x { a => { bb => 1 \"bb\" => 2 } } }", 1, 29, "stands twice");
        check("filter { x { a => { [1] => 2 } } }", 1, 21, "a key of a hash");
        check("filter { x { a => 10.0.0.1 } }", 1, 19, "must stand in quotes");
        check("filter { x { a => 5s } }", 1, 19, "must stand in quotes");
        check("filter { x { a => b } }", 1, 19, "one letter must stand in quotes: \"b\"");
        check("filter { x { a => us-east } }", 1, 19, "\"us-east\" must stand in quotes");
        check("filter { x { a => /var/log } }", 1, 19, "expected a value");
        check("filter { x { a => foo/bar } }", 1, 19, "must stand in quotes");
        check("filter { x { a => \"b } }", 1, 19, "a text without its closing \"");
        check("filter { x { path => \"C:\\logs\\\" } }", 1, 22, "does not end a text");
        check("filter { match => 5 }", 1, 10, "option \"match\" stands outside of a plugin");
        check("filter { x { y { } } }", 1, 16, "plugins do not stand within plugins");
        check("filter { else { } }", 1, 10, "an \"else\" without its \"if\"");
        check("filter { if [a] { } else x { } }", 1, 26, "expected { or \"if\" behind \"else\"");
        check("filter {\n  if [a] = 5 { } }", 2, 10, "one = alone compares nothing");
        check("filter { if [a] == 5 } }", 1, 22, "expected {, or \"and\"");
        check("filter { x { é => 5 } }", 1, 14, "expected an option of \"x\"");
        check(&format!("filter {{ x {{ a => {} }} }}", "[".repeat(100)), 1, 82, "nested deeper than 64");
    }

    #[test]
    fn secrets_are_not_shown() {
        #[track_caller]
        fn check(text: &str, shown: &str) {
            let sources = [Source { name: "a.conf".into(), text: text.into() }];
            let mut files = Files { sources: &sources, secrets: Vec::new() };
            parse(&mut files, 0, Quoting::Plain, &mut Vec::new()).unwrap();
            assert_eq!(files.problem(START, "", "").text, shown);
        }
        check("output { x { password => \"pw\" b => 1 } }", "output { x { password => **** b => 1 } }");
        check(
            "output { x { hosts => [\"http://u:p@h:9200\"] } }",
            "output { x { hosts => [*******************] } }",
        );
        let problem = read("output { x { password => \"pw\", } }", Quoting::Plain).unwrap_err();
        assert_eq!(problem.text, "");
    }

    fn sources() -> impl Strategy<Value = String> {
        let word = "[a-z_][a-z0-9_]{1,6}";
        let scalar = prop_oneof![
            word.prop_map(String::from),
            "\"[a-z '\\[\\]{}#=>,%$/é\n]{0,8}\"".prop_map(String::from),
            "'[a-z \"\\[\\]{}#=>,%$/é\n]{0,8}'".prop_map(String::from),
            "\"(\\\\\"|[a-z]|\\\\n){0,4}\"".prop_map(String::from),
            any::<i32>().prop_map(|value| value.to_string()),
            "-?[0-9]{1,5}\\.[0-9]{0,3}".prop_map(String::from),
        ];
        let value = scalar.prop_recursive(3, 12, 3, move |inner| {
            let pairs = proptest::collection::vec(inner.clone(), 0..3);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                pairs.clone().prop_map(|values| {
                    let entries: Vec<String> =
                        values.iter().enumerate().map(|(n, value)| format!("\"k{n}\" => {value}")).collect();
                    format!("{{ {} }}", entries.join("\n"))
                }),
                pairs.prop_map(|values| {
                    let entries: Vec<String> = values.iter().map(|value| format!("opt=>{value}")).collect();
                    format!("codec {{ {} }}", entries.join(" "))
                }),
            ]
        });
        let plugin = (word, proptest::collection::vec((word, value), 0..3)).prop_map(|(name, options)| {
            let options: Vec<String> =
                options.iter().map(|(name, value)| format!("{name} => {value}")).collect();
            format!("{name} {{ {} }}", options.join("\n"))
        });
        let item = plugin.prop_recursive(2, 8, 2, |inner| {
            (inner.clone(), inner)
                .prop_map(|(one, two)| format!("if [a][b] == 'c' or !([d]) {{ {one} }} else {{ {two} }}"))
        });
        let section = ("(input|filter|output)", proptest::collection::vec(item, 0..3))
            .prop_map(|(kind, items)| format!("{kind} {{ # comment\n{} }}", items.join("\n")));
        proptest::collection::vec(section, 0..3).prop_map(|sections| sections.join("\n"))
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(text in sources()) {
            let config = read(&text, Quoting::Plain);
            prop_assert!(config.is_ok(), "{}", config.unwrap_err());
            let config = config.unwrap();
            for quoting in [Quoting::Plain, Quoting::Own] {
                let printed = config.print(quoting);
                let again = read(&printed, quoting);
                prop_assert!(again.is_ok(), "{}\n{}", again.unwrap_err(), printed);
                prop_assert_eq!(forget(again.unwrap()), forget(config.clone()), "{}", printed);
            }
        }

        #[test]
        fn any_text_is_read_or_has_a_place(text in "[a-z{}\\[\\]()=>\"'#, .0-9\n-]{0,40}") {
            if let Err(problem) = read(&text, Quoting::Plain) {
                prop_assert!(problem.line <= text.lines().count() + 1 && problem.column >= 1);
            }
        }
    }
}
