//! Conditions, in the words of VRL.
//!
//! `.status >= 500 && exists(.user) || starts_with(.path, "/api")`. Where VRL would ask for an
//! error to be handled (a comparison of text with a number), a condition is false.
//!
//! `logstash(…)` is a condition of Logstash within, which keeps the rules that it has there.

use crate::Look;
use crate::logstash::{self, Compiled, Quoting};
use event::{Path, Value};
use regex::bytes::Regex;
use std::borrow::Cow;
use std::fmt;

/// A condition, compiled.
#[derive(Debug, Clone)]
pub struct Condition(Node);

#[derive(Debug, Clone)]
enum Node {
    Path(Path),
    Literal(Literal),
    Not(Box<Node>),
    /// Two or more. A list, since a long chain as a tree would be as deep as it is long.
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    /// With Logstash's rules; `None` where Logstash fails.
    Logstash(Compiled),
}

#[derive(Debug, Clone)]
enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Regex(Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Exists,
    Contains,
    StartsWith,
    EndsWith,
    Match,
    Downcase,
    Upcase,
    Length,
    IsNull,
    IsString,
    IsInteger,
    IsFloat,
    IsBoolean,
}

const FUNCTIONS: &[(&str, Function, usize)] = &[
    ("exists", Function::Exists, 1),
    ("contains", Function::Contains, 2),
    ("starts_with", Function::StartsWith, 2),
    ("ends_with", Function::EndsWith, 2),
    ("match", Function::Match, 2),
    ("downcase", Function::Downcase, 1),
    ("upcase", Function::Upcase, 1),
    ("length", Function::Length, 1),
    ("is_null", Function::IsNull, 1),
    ("is_string", Function::IsString, 1),
    ("is_integer", Function::IsInteger, 1),
    ("is_float", Function::IsFloat, 1),
    ("is_boolean", Function::IsBoolean, 1),
];

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// The byte at which reading failed.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a condition: {} at byte {}", self.reason, self.at)
    }
}
impl std::error::Error for ConditionError {}

impl Condition {
    /// Compiles a condition.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let node = parser.or()?;
        parser.blank();
        if parser.at < text.len() {
            return Err(parser.wrong("expected && or ||"));
        }
        Ok(Self(node))
    }

    /// Whether it is true for an event.
    pub fn matches(&self, event: &impl Look, now: i64) -> bool {
        self.test(event, now) == Some(true)
    }

    /// Whether it is true or false for an event. `None`: it is Logstash's, and cannot be said;
    /// Logstash takes the event out of the way then, past both branches of an `if`.
    pub fn test(&self, event: &impl Look, _now: i64) -> Option<bool> {
        match &self.0 {
            Node::Logstash(condition) => condition.test(event),
            node => Some(matches!(eval(node, event), Some(Value::Bool(true)))),
        }
    }
}

fn eval<'a>(node: &'a Node, event: &'a impl Look) -> Option<Value<'a>> {
    let truth = |node: &'a Node| match eval(node, event) {
        Some(Value::Bool(value)) => Some(value),
        _ => None,
    };
    Some(match node {
        Node::Path(path) => event.look(path)?,
        Node::Literal(literal) => match literal {
            Literal::Null => Value::Null,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Int(value) => Value::Int(*value),
            Literal::Float(value) => Value::Float(*value),
            Literal::Str(text) => Value::str(text),
            Literal::Regex(_) => return None,
        },
        Node::Not(inner) => Value::Bool(!truth(inner)?),
        Node::And(all) => {
            for node in all {
                if !truth(node)? {
                    return Some(Value::Bool(false));
                }
            }
            Value::Bool(true)
        }
        Node::Or(any) => Value::Bool(any.iter().any(|node| truth(node) == Some(true))),
        Node::Compare(comparison, left, right) => {
            let left = eval(left, event).unwrap_or(Value::Null);
            let right = eval(right, event).unwrap_or(Value::Null);
            Value::Bool(compare(*comparison, &left, &right)?)
        }
        Node::Call(function, arguments) => call(*function, arguments, event)?,
        Node::Logstash(condition) => Value::Bool(condition.test(event)?),
    })
}

fn compare(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (Value::Float(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Str(b)) => Some(a.cmp(&event::time::parse_rfc3339(b)?)),
        _ => None,
    };
    Some(match comparison {
        Comparison::Equal => order.map_or(left == right, |order| order == Ordering::Equal),
        Comparison::NotEqual => order.map_or(left != right, |order| order != Ordering::Equal),
        Comparison::Less => order? == Ordering::Less,
        Comparison::LessOrEqual => order? != Ordering::Greater,
        Comparison::Greater => order? == Ordering::Greater,
        Comparison::GreaterOrEqual => order? != Ordering::Less,
    })
}

fn call<'a>(function: Function, arguments: &'a [Node], event: &'a impl Look) -> Option<Value<'a>> {
    let first = eval(&arguments[0], event);
    let text = |value: Option<Value<'a>>| match value {
        Some(Value::Str(text)) => Some(text),
        _ => None,
    };
    let other = |n: usize| text(eval(&arguments[n], event));
    Some(Value::Bool(match function {
        Function::Exists => first.is_some(),
        Function::IsNull => first.is_none_or(|value| value == Value::Null),
        Function::IsString => matches!(first, Some(Value::Str(_))),
        Function::IsInteger => matches!(first, Some(Value::Int(_))),
        Function::IsFloat => matches!(first, Some(Value::Float(_))),
        Function::IsBoolean => matches!(first, Some(Value::Bool(_))),
        Function::StartsWith => text(first)?.starts_with(&other(1)?),
        Function::EndsWith => text(first)?.ends_with(&other(1)?),
        Function::Contains => memchr::memmem::find(&text(first)?, &other(1)?).is_some(),
        Function::Match => match &arguments[1] {
            Node::Literal(Literal::Regex(regex)) => regex.is_match(&text(first)?),
            _ => return None,
        },
        Function::Downcase => {
            return Some(Value::Str(Cow::Owned(lossy(&text(first)?).to_lowercase().into_bytes())));
        }
        Function::Upcase => {
            return Some(Value::Str(Cow::Owned(lossy(&text(first)?).to_uppercase().into_bytes())));
        }
        Function::Length => return Some(Value::Int(text(first)?.len() as i64)),
    }))
}

fn lossy(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

const DEPTH_MAX: usize = 64;

impl<'t> Parser<'t> {
    fn wrong(&self, reason: impl Into<String>) -> ConditionError {
        ConditionError { at: self.at, reason: reason.into() }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, word: &str) -> bool {
        self.blank();
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn or(&mut self) -> Result<Node, ConditionError> {
        let first = self.and()?;
        let mut any = vec![first];
        while self.eat("||") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Node::Or(any) })
    }

    fn and(&mut self) -> Result<Node, ConditionError> {
        let first = self.comparison()?;
        let mut all = vec![first];
        while self.eat("&&") {
            all.push(self.comparison()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::And(all) })
    }

    fn comparison(&mut self) -> Result<Node, ConditionError> {
        let left = self.operand()?;
        let words = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (word, comparison) in words {
            if self.eat(word) {
                return Ok(Node::Compare(comparison, Box::new(left), Box::new(self.operand()?)));
            }
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node, ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nested too deep"));
        }
        self.blank();
        let node = match self.rest().chars().next() {
            Some('!') => {
                self.at += 1;
                Node::Not(Box::new(self.operand()?))
            }
            Some('(') => {
                self.at += 1;
                let inner = self.or()?;
                if !self.eat(")") {
                    return Err(self.wrong("expected )"));
                }
                inner
            }
            Some('.') => self.path()?,
            Some('"') => Node::Literal(Literal::Str(self.string()?)),
            Some('-' | '0'..='9') => self.number()?,
            Some(c) if c.is_ascii_alphabetic() => self.word()?,
            Some(_) => return Err(self.wrong("expected a path such as .status, a value or a function")),
            None => return Err(self.wrong("the condition ends too early")),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn path(&mut self) -> Result<Node, ConditionError> {
        let from = self.at;
        self.at += 1;
        let mut quoted = false;
        let end = self.rest().find(|c: char| {
            quoted ^= c == '"';
            !(quoted || c.is_alphanumeric() || "_@.\"[]".contains(c))
        });
        if quoted {
            return Err(self.wrong("a name without its closing \""));
        }
        let text = &self.rest()[..end.unwrap_or(self.rest().len())];
        let path = Path::parse(text)
            .map_err(|error| ConditionError { at: from + 1 + error.at, reason: error.reason.to_owned() })?;
        self.at += text.len();
        Ok(Node::Path(path))
    }

    fn string(&mut self) -> Result<String, ConditionError> {
        let begin = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, other)) => out.push(other),
                    None => break,
                },
                other => out.push(other),
            }
        }
        self.at = begin;
        Err(self.wrong("a text without its closing \""))
    }

    /// `'…'` behind a letter: nothing in it is special but `\'`.
    fn raw(&mut self) -> Result<String, ConditionError> {
        let inner = &self.rest()[1..];
        let mut end = None;
        let mut escaped = false;
        for (at, c) in inner.char_indices() {
            if c == '\'' && !escaped {
                end = Some(at);
                break;
            }
            escaped = c == '\\' && !escaped;
        }
        let end = end.ok_or_else(|| self.wrong("a text without its closing '"))?;
        self.at += end + 2;
        Ok(inner[..end].replace("\\'", "'"))
    }

    fn number(&mut self) -> Result<Node, ConditionError> {
        let end = self
            .rest()
            .find(|c: char| !(c.is_ascii_digit() || ".-+eE_".contains(c)))
            .unwrap_or(self.rest().len());
        let text = self.rest()[..end].replace('_', "");
        let literal = match (text.parse(), text.parse()) {
            (Ok(value), _) => Literal::Int(value),
            (_, Ok(value)) => Literal::Float(value),
            _ => return Err(self.wrong(format!("{text:?} is no number"))),
        };
        self.at += end;
        Ok(Node::Literal(literal))
    }

    fn word(&mut self) -> Result<Node, ConditionError> {
        let begin = self.at;
        let end =
            self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest().len());
        let word = &self.rest()[..end];
        self.at += end;
        if self.rest().starts_with('\'') {
            let text = self.raw()?;
            return match word {
                "s" => Ok(Node::Literal(Literal::Str(text))),
                "r" => match Regex::new(&text) {
                    Ok(regex) => Ok(Node::Literal(Literal::Regex(regex))),
                    Err(error) => Err(ConditionError { at: begin, reason: error.to_string() }),
                },
                _ => Err(ConditionError {
                    at: begin,
                    reason: format!("expected s'…' or r'…', not {word}'…'"),
                }),
            };
        }
        match word {
            "true" | "false" => return Ok(Node::Literal(Literal::Bool(word == "true"))),
            "null" => return Ok(Node::Literal(Literal::Null)),
            _ => {}
        }
        if word == "logstash" && self.eat("(") {
            return self.logstash();
        }
        let Some((name, function, count)) = FUNCTIONS.iter().find(|(name, ..)| *name == word) else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            let reason = format!(
                "{word:?} is no function; there are {} (a field is written .{word})",
                known.join(", ")
            );
            return Err(ConditionError { at: begin, reason });
        };
        if !self.eat("(") {
            return Err(self.wrong(format!("expected ( behind {name}")));
        }
        let mut arguments = vec![self.or()?];
        while self.eat(",") {
            arguments.push(self.or()?);
        }
        if !self.eat(")") {
            return Err(self.wrong("expected , or )"));
        }
        if arguments.len() != *count {
            return Err(ConditionError { at: begin, reason: format!("{name} takes {count} arguments") });
        }
        Ok(Node::Call(*function, arguments))
    }

    /// What stands behind `logstash(`.
    fn logstash(&mut self) -> Result<Node, ConditionError> {
        let begin = self.at;
        let wrong = |at, reason| ConditionError { at, reason };
        let read =
            logstash::read(self.text, begin, Quoting::Own).map_err(|error| wrong(error.at, error.reason))?;
        let compiled = Compiled::new(&read.expression).map_err(|error| wrong(begin, error.to_string()))?;
        self.at = logstash::blank(self.text, read.end);
        if !self.eat(")") {
            return Err(self.wrong("expected \")\", or \"and\" or \"or\" and a further condition"));
        }
        Ok(Node::Logstash(compiled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Batch, Common, Origin};

    #[track_caller]
    fn check(condition: &str, expected: bool) {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch
            .push_json(br#"{"status":503,"took":1.5,"a":{"b":"Hello"},"ok":true,"none":null,"x-y":1}"#, 0)
            .unwrap();
        assert_eq!(Condition::parse(condition).unwrap().matches(&batch.view(0), 0), expected, "{condition}");
    }

    #[test]
    fn conditions() {
        check(".status >= 500", true);
        check(".status < 500.5", false);
        check(".status == 503 && .took > 1", true);
        check(".a.b == \"Hello\"", true);
        check(".a.b >= 5", false);
        check("!(.a.b == \"x\") || false", true);
        check("exists(.a.b) && !exists(.a.c)", true);
        check("contains(.a.b, \"ell\")", true);
        check("starts_with(downcase(.a.b), \"he\")", true);
        check("match(.a.b, r'^H.*o$')", true);
        check(".ok", true);
        check(".missing == null && is_null(.none)", true);
        check(".\"x-y\" == 1", true);
        check("length(.a.b) == 5", true);
        check(".missing > 1 || .ok", true);
        check("logstash([status] == 503 and [a][b] =~ /^H/) && .ok", true);
        check("!logstash([status] == 503)", false);
        check("logstash([missing] > 1)", false);
        check("logstash([a][b] in [\"x)\", \"Hello\"] # (\n)", true);
        check(".ok && .a && .ok", false);
        check("false && .a || .ok && true", true);
        check(&vec!["!(.ok)"; 100_000].join("||"), false);
        check(&vec![".ok"; 100_000].join(" && "), true);
    }

    #[test]
    fn bad_conditions_say_where() {
        #[track_caller]
        fn check(condition: &str, at: usize) {
            assert_eq!(Condition::parse(condition).unwrap_err().at, at, "{condition}");
        }
        check("", 0);
        check(".a ==", 5);
        check(".a = 1", 3);
        check("status > 1", 0);
        check("(.a", 3);
        check("\"abc", 0);
        check(".\"a", 1);
        check("(.a\" == 1) || .b", 2);
        check("match(.a, r'(')", 10);
        check("exists(.a, .b)", 0);
        check("logstash([a] = 1)", 13);
        check(".x && logstash([a]", 18);
        check("logstash([a] =~ /(/)", 9);
        check(&"(".repeat(1000), 64);
    }
}
