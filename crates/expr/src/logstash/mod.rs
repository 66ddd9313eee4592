//! Conditions and field references as Logstash writes them, with its rules of comparison.
//!
//! A condition is read by [`read`], printed by `Display`, and run as a part of
//! [`Condition`](crate::Condition), where it is written `logstash(…)`.

mod eval;
mod read;

pub use read::{Note, Quoting, Read, ReadError, blank, number, quoted, read};

pub(crate) use eval::Compiled;

use event::Path;
use std::fmt;

/// What a condition says.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// All of two or more.
    And(Vec<Expression>),
    /// Any of two or more.
    Or(Vec<Expression>),
    /// Not both.
    Nand(Box<Expression>, Box<Expression>),
    /// One of both.
    Xor(Box<Expression>, Box<Expression>),
    /// The opposite.
    Not(Box<Expression>),
    /// A comparison by order or equality.
    Compare(Comparison, Operand, Operand),
    /// `=~`, or `!~` when it is negated.
    Match {
        /// Whether the text must not match.
        negated: bool,
        /// What is looked at.
        left: Operand,
        /// The regular expression.
        regex: String,
    },
    /// `in`, or `not in` when it is negated.
    In {
        /// Whether it must not be found.
        negated: bool,
        /// What is looked for.
        item: Operand,
        /// Where it is looked for.
        list: Operand,
    },
    /// A value alone: it is there, not null, not false and not empty.
    Truth(Operand),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a point.
    Float(f64),
    /// A field: the names from the outside to the inside.
    Field(Vec<String>),
    /// An array.
    List(Vec<Operand>),
}

impl Comparison {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl Expression {
    /// Changes every text in it, regular expressions included; the first error ends it.
    pub fn map_texts<E>(&mut self, change: &mut impl FnMut(&mut String) -> Result<(), E>) -> Result<(), E> {
        match self {
            Expression::And(all) | Expression::Or(all) => {
                all.iter_mut().try_for_each(|one| one.map_texts(change))
            }
            Expression::Nand(left, right) | Expression::Xor(left, right) => {
                left.map_texts(change)?;
                right.map_texts(change)
            }
            Expression::Not(inner) => inner.map_texts(change),
            Expression::Compare(_, left, right) => {
                left.map_texts(change)?;
                right.map_texts(change)
            }
            Expression::Match { left, regex, .. } => {
                left.map_texts(change)?;
                change(regex)
            }
            Expression::In { item, list, .. } => {
                item.map_texts(change)?;
                list.map_texts(change)
            }
            Expression::Truth(operand) => operand.map_texts(change),
        }
    }

    /// The opposite.
    pub fn negated(self) -> Self {
        match self {
            Expression::Not(inner) => *inner,
            Expression::In { negated, item, list } => Expression::In { negated: !negated, item, list },
            Expression::Match { negated, left, regex } => {
                Expression::Match { negated: !negated, left, regex }
            }
            other => Expression::Not(Box::new(other)),
        }
    }

    /// Both this and the other.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Expression::And(mut all), Expression::And(more)) => {
                all.extend(more);
                Expression::And(all)
            }
            (Expression::And(mut all), other) => {
                all.push(other);
                Expression::And(all)
            }
            (one, Expression::And(mut all)) => {
                all.insert(0, one);
                Expression::And(all)
            }
            (one, other) => Expression::And(vec![one, other]),
        }
    }
}

impl Operand {
    fn map_texts<E>(&mut self, change: &mut impl FnMut(&mut String) -> Result<(), E>) -> Result<(), E> {
        match self {
            Operand::Text(text) => change(text),
            Operand::List(items) => items.iter_mut().try_for_each(|item| item.map_texts(change)),
            Operand::Int(_) | Operand::Float(_) | Operand::Field(_) => Ok(()),
        }
    }
}

/// Logstash's own notation, with parentheses wherever there could be a doubt, and texts as
/// [`Quoting::Own`] reads them.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(Quoting::Own, &mut out);
        f.write_str(&out)
    }
}

impl Expression {
    /// Prints it for a reader with this quoting.
    pub fn write(&self, quoting: Quoting, out: &mut String) {
        match self {
            Expression::And(all) => write_chain(all, " and ", quoting, out),
            Expression::Or(all) => write_chain(all, " or ", quoting, out),
            Expression::Nand(left, right) => write_pair(left, " nand ", right, quoting, out),
            Expression::Xor(left, right) => write_pair(left, " xor ", right, quoting, out),
            Expression::Not(inner) => {
                out.push('!');
                if let Expression::Truth(field @ Operand::Field(_)) = &**inner {
                    return field.write(quoting, out);
                }
                out.push('(');
                inner.write(quoting, out);
                out.push(')');
            }
            Expression::Compare(comparison, left, right) => {
                left.write(quoting, out);
                out.extend([" ", comparison.sign(), " "]);
                right.write(quoting, out);
            }
            Expression::Match { negated, left, regex } => {
                left.write(quoting, out);
                out.push_str(if *negated { " !~ /" } else { " =~ /" });
                out.push_str(&regex.replace('/', "\\/"));
                out.push('/');
            }
            Expression::In { negated, item, list } => {
                item.write(quoting, out);
                out.push_str(if *negated { " not in " } else { " in " });
                list.write(quoting, out);
            }
            Expression::Truth(operand) => operand.write(quoting, out),
        }
    }
}

fn write_chain(all: &[Expression], word: &str, quoting: Quoting, out: &mut String) {
    for (n, one) in all.iter().enumerate() {
        if n > 0 {
            out.push_str(word);
        }
        write_inner(one, quoting, out);
    }
}

fn write_pair(left: &Expression, word: &str, right: &Expression, quoting: Quoting, out: &mut String) {
    write_inner(left, quoting, out);
    out.push_str(word);
    write_inner(right, quoting, out);
}

/// A part of a longer condition.
fn write_inner(one: &Expression, quoting: Quoting, out: &mut String) {
    let is_long =
        matches!(one, Expression::And(_) | Expression::Or(_) | Expression::Nand(..) | Expression::Xor(..));
    if is_long {
        out.push('(');
    }
    one.write(quoting, out);
    if is_long {
        out.push(')');
    }
}

impl Operand {
    fn write(&self, quoting: Quoting, out: &mut String) {
        match self {
            Operand::Text(text) => write_quoted(text, quoting, out),
            Operand::Int(value) => out.push_str(&value.to_string()),
            Operand::Float(value) => write_float(*value, out),
            Operand::Field(names) => {
                for name in names {
                    let needs_mark = quoting == Quoting::Own && name.starts_with(['"', '\'', '\\']);
                    out.extend(["[", if needs_mark { "\\" } else { "" }, name, "]"]);
                }
            }
            Operand::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    item.write(quoting, out);
                }
                out.push(']');
            }
        }
    }
}

/// Prints a number so that it is read as one with a point.
pub fn write_float(value: f64, out: &mut String) {
    let text = format!("{value}");
    out.push_str(&text);
    if !text.contains('.') {
        out.push_str(".0");
    }
}

/// Prints a text in quotes. [`Quoting::Plain`] cannot write every text, only those that it reads.
pub fn write_quoted(text: &str, quoting: Quoting, out: &mut String) {
    if quoting == Quoting::Plain {
        let quote = if ends_at(text, '"') { '"' } else { '\'' };
        out.push(quote);
        out.push_str(text);
        out.push(quote);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a text between two of these quotes ends at the second.
fn ends_at(text: &str, quote: char) -> bool {
    let mut before = ' ';
    for c in text.chars() {
        if c == quote && before != '\\' {
            return false;
        }
        before = c;
    }
    before != '\\'
}

/// The path of a field reference, `[a][b]` or a name alone; `None` where there is no name at all.
///
/// As in Logstash's `FieldReference`: a text that is not made of brackets alone is one name,
/// whatever it looks like.
pub fn field_path(reference: &str) -> Option<Path> {
    field_names(reference).map(Path::of)
}

/// The names of a field reference, from the outside to the inside.
pub fn field_names(reference: &str) -> Option<Vec<String>> {
    if reference.is_empty() {
        return None;
    }
    let whole = || Some(vec![reference.to_owned()]);
    let mut names = Vec::new();
    let mut rest = reference;
    while !rest.is_empty() {
        let Some(inner) = rest.strip_prefix('[') else { return whole() };
        let Some((name, behind)) = inner.split_once(']') else { return whole() };
        if name.is_empty() || name.contains('[') {
            return whole();
        }
        names.push(name.to_owned());
        rest = behind;
    }
    Some(names)
}
