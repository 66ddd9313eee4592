//! From text to an [`Expression`].
//!
//! Source: `logstash-core/lib/logstash/compiler/lscl/lscl_grammar.treetop` and `lscl.rb` of
//! Logstash 8 and 9. Where the grammar and its compiler do what nobody expects, so does this,
//! and a [`Note`] says it.

use super::{Comparison, Expression, Operand};
use std::fmt;

/// What a backslash in quotes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quoting {
    /// Nothing, but that a quote behind it does not end the text; both stay in the text. This
    /// is how Logstash reads unless it is told otherwise.
    #[default]
    Plain,
    /// As with Logstash's `config.support_escapes`: `\n`, `\r`, `\t`, `\"`, `\'` and `\\`. Here,
    /// too, a quote behind a backslash never ends the text.
    Escapes,
    /// As [`Escapes`](Self::Escapes), but `\\"` is a backslash and the end, and `["a"]` is an
    /// array: everything can be written.
    Own,
}

/// A condition that was read.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub expression: Expression,
    /// The byte behind its end.
    pub end: usize,
    /// What should be known of it.
    pub notes: Vec<Note>,
}

/// Something about a place of a condition that is right, but may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The byte.
    pub at: usize,
    /// What is to be known.
    pub message: String,
}

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The byte at which reading failed.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}
impl std::error::Error for ReadError {}

/// How deep parentheses and arrays may go.
const DEPTH_MAX: usize = 64;

/// Reads the condition that begins at a byte of a text, which is a character's first; what
/// stands behind its end is not looked at.
pub fn read(text: &str, at: usize, quoting: Quoting) -> Result<Read, ReadError> {
    let mut reader = Reader { text, at, depth: 0, quoting, notes: Vec::new() };
    let expression = reader.condition()?;
    Ok(Read { expression, end: reader.at, notes: reader.notes })
}

/// The byte behind white space and comments.
pub fn blank(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if !text[at..].starts_with('#') {
            return at;
        }
        at = text[at..].find('\n').map_or(text.len(), |end| at + end);
    }
}

/// Reads the text in quotes that begins at a byte: what it says, and the byte behind it.
pub fn quoted(text: &str, at: usize, quoting: Quoting) -> Result<(String, usize), ReadError> {
    let quote = text[at..].chars().next().unwrap_or('"');
    let inner = &text[at + 1..];
    let mut chars = inner.char_indices().peekable();
    while let Some((n, c)) = chars.next() {
        if c == quote {
            return Ok((unescaped(&inner[..n], quoting), at + n + 2));
        }
        if c == '\\' && (quoting == Quoting::Own || chars.peek().is_some_and(|(_, next)| *next == quote)) {
            chars.next();
        }
    }
    let hint = if inner.contains(&format!("\\{quote}")) {
        format!("; \\{quote} does not end a text, write the last backslash otherwise or use the other quotes")
    } else {
        String::new()
    };
    Err(ReadError { at, reason: format!("a text without its closing {quote}{hint}") })
}

fn unescaped(text: &str, quoting: Quoting) -> String {
    if quoting == Quoting::Plain || !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('"' | '\'' | '\\' | 'n' | 'r' | 't'))) => {
                chars.next();
                out.push(match next {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                });
            }
            _ => out.push(c),
        }
    }
    out
}

/// Reads the number that begins at a byte, if there is one: whole or with a point, and the byte
/// behind it.
pub fn number(text: &str, at: usize) -> Option<(Result<i64, f64>, usize)> {
    let rest = &text[at..];
    let digits = rest.strip_prefix('-').unwrap_or(rest);
    let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
    if whole == 0 {
        return None;
    }
    let sign = rest.len() - digits.len();
    let behind = &digits[whole..];
    let mut len = sign + whole;
    if let Some(fraction) = behind.strip_prefix('.') {
        len += 1 + fraction.bytes().take_while(u8::is_ascii_digit).count();
    }
    let number = &rest[..len];
    let value = match number.parse::<i64>() {
        Ok(value) => Ok(value),
        Err(_) => Err(number.parse().unwrap_or(f64::MAX)),
    };
    Some((value, at + len))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    quoting: Quoting,
    notes: Vec<Note>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Boolean {
    And,
    Or,
    Nand,
    Xor,
}

const BOOLEANS: [(&str, Boolean); 4] =
    [("and", Boolean::And), ("or", Boolean::Or), ("nand", Boolean::Nand), ("xor", Boolean::Xor)];

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn wrong<T>(&self, reason: impl Into<String>) -> Result<T, ReadError> {
        Err(ReadError { at: self.at, reason: reason.into() })
    }

    fn blank(&mut self) {
        self.at = blank(self.text, self.at);
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ReadError>) -> Result<T, ReadError> {
        if self.depth >= DEPTH_MAX {
            return self.wrong("nested too deep");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn condition(&mut self) -> Result<Expression, ReadError> {
        self.blank();
        let begin = self.at;
        let mut parts = vec![self.expression()?];
        let mut words = Vec::new();
        loop {
            let end = self.at;
            self.blank();
            let Some((word, boolean)) = BOOLEANS.into_iter().find(|(word, _)| self.eat(word)) else {
                self.at = end;
                break;
            };
            if !words.is_empty() && (matches!(boolean, Boolean::Nand | Boolean::Xor) || is_alone(&words)) {
                self.at -= word.len();
                return self
                    .wrong("\"nand\" and \"xor\" join two conditions only; put parentheses around them");
            }
            words.push(boolean);
            self.blank();
            parts.push(self.expression()?);
        }
        Ok(self.joined(parts, &words, begin))
    }

    /// Joins conditions as Logstash does. Its algorithm takes one waiting `and` out at an `or`
    /// where it should take all, so `a and b and c or d` is `a and ((b and c) or d)`.
    fn joined(&mut self, parts: Vec<Expression>, words: &[Boolean], begin: usize) -> Expression {
        let mut parts = parts.into_iter();
        let mut out: Vec<Expression> = parts.next().into_iter().collect();
        let mut waiting: Vec<Boolean> = Vec::new();
        for word in words {
            if waiting.last() == Some(&Boolean::And) && *word == Boolean::Or {
                waiting.pop();
                join(&mut out, Boolean::And);
            }
            waiting.push(*word);
            out.extend(parts.next());
        }
        let is_odd = waiting.windows(2).any(|two| two == [Boolean::And, Boolean::Or]);
        while let Some(word) = waiting.pop() {
            join(&mut out, word);
        }
        let expression = out.pop().unwrap_or(Expression::And(Vec::new()));
        if is_odd {
            let message = format!(
                "Logstash reads this as {expression}, and so does logpond; parentheses would say what is meant"
            );
            self.notes.push(Note { at: begin, message });
        }
        expression
    }

    fn expression(&mut self) -> Result<Expression, ReadError> {
        self.deeper(|reader| {
            if reader.eat("(") {
                return reader.behind_parenthesis();
            }
            if reader.eat("!") {
                reader.blank();
                if reader.eat("(") {
                    return Ok(Expression::Not(Box::new(reader.behind_parenthesis()?)));
                }
                return match reader.selector() {
                    Some(field) => {
                        reader.no_operator_behind_not()?;
                        Ok(Expression::Not(Box::new(Expression::Truth(field))))
                    }
                    None => reader.wrong("expected ( or a field such as [status] behind !"),
                };
            }
            reader.comparison()
        })
    }

    fn behind_parenthesis(&mut self) -> Result<Expression, ReadError> {
        let inner = self.condition()?;
        self.blank();
        if !self.eat(")") {
            return self.wrong("expected \")\", or \"and\" or \"or\" and a further condition");
        }
        Ok(inner)
    }

    /// `!` belongs to the field alone, and a comparison of its result is none.
    fn no_operator_behind_not(&mut self) -> Result<(), ReadError> {
        let end = self.at;
        self.blank();
        let signs = ["==", "!=", "<", ">", "=~", "!~", "in ", "in[", "in\"", "not in"];
        if signs.iter().any(|sign| self.rest().starts_with(sign)) {
            return self.wrong("! is for the field alone; write !(…) around the comparison");
        }
        self.at = end;
        Ok(())
    }

    fn comparison(&mut self) -> Result<Expression, ReadError> {
        let left_at = self.at;
        let left = self.operand()?;
        let end = self.at;
        self.blank();
        for (sign, negated) in [("=~", false), ("!~", true)] {
            if self.eat(sign) {
                if !matches!(left, Operand::Field(_) | Operand::Text(_)) {
                    self.at = left_at;
                    return self.wrong("only a field or a text can be matched");
                }
                self.blank();
                let regex = self.regex()?;
                return Ok(Expression::Match { negated, left, regex });
            }
        }
        let comparisons = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::LessOrEqual,
            Comparison::GreaterOrEqual,
            Comparison::Less,
            Comparison::Greater,
        ];
        for comparison in comparisons {
            if self.eat(comparison.sign()) {
                self.blank();
                let right_at = self.at;
                let right = self.operand()?;
                for (operand, at) in [(&left, left_at), (&right, right_at)] {
                    if matches!(operand, Operand::List(_)) {
                        self.at = at;
                        return self.wrong(format!(
                            "an array cannot stand beside {}; use \"in\"",
                            comparison.sign()
                        ));
                    }
                }
                return Ok(Expression::Compare(comparison, left, right));
            }
        }
        if self.rest().starts_with('=') {
            return self.wrong("expected \"==\" or \"=~\"; one = alone compares nothing");
        }
        let negated = if self.eat("in") {
            false
        } else if self.rest().starts_with("not ") {
            self.at += 4;
            self.blank();
            if !self.eat("in") {
                return self.wrong("expected \"in\" behind \"not\"");
            }
            true
        } else {
            self.at = end;
            return Ok(Expression::Truth(left));
        };
        self.blank();
        let list_at = self.at;
        let list = self.operand()?;
        self.note_single_item(&list, list_at);
        if matches!(left, Operand::List(_)) && !matches!(list, Operand::Text(_) | Operand::List(_)) {
            self.at = left_at;
            return self.wrong("an array cannot be looked for");
        }
        Ok(Expression::In { negated, item: left, list })
    }

    /// `["a"]` is the field with the name `"a"`, quotes included: in Logstash's grammar a field
    /// comes before an array.
    fn note_single_item(&mut self, list: &Operand, at: usize) {
        if let Operand::Field(names) = list
            && let [name] = names.as_slice()
            && (name.starts_with(['"', '\'']) || name.parse::<f64>().is_ok())
        {
            let message = format!(
                "Logstash takes [{name}] for a field of that name, not for an array of one item, and so does logpond; compare with == {name}"
            );
            self.notes.push(Note { at, message });
        }
    }

    fn operand(&mut self) -> Result<Operand, ReadError> {
        let rest = self.rest();
        if rest.starts_with(['"', '\'']) {
            let (text, end) = quoted(self.text, self.at, self.quoting)?;
            self.at = end;
            return Ok(Operand::Text(text));
        }
        if let Some((value, end)) = number(self.text, self.at) {
            self.at = end;
            return Ok(value.map_or_else(Operand::Float, Operand::Int));
        }
        if let Some(field) = self.selector() {
            return Ok(field);
        }
        if rest.starts_with('[') {
            return self.deeper(Self::array);
        }
        match rest.chars().next() {
            None => self.wrong("the condition ends too early"),
            Some('/') => self.wrong("a regular expression stands behind =~ or !~ only"),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if matches!(word.as_str(), "true" | "false") {
                    return self.wrong(format!(
                        "{word} is no value in a condition; write the field alone, or compare with \"{word}\""
                    ));
                }
                if rest[word.len()..].trim_start().starts_with('(') {
                    return self.wrong(format!("{word}(…): Logstash has no functions in conditions"));
                }
                self.wrong(format!("expected a field such as [{word}], a text in quotes, a number or an array; {word} alone is none"))
            }
            Some(c) => self.wrong(format!(
                "expected a field such as [status], a text in quotes, a number or an array, found {c:?}"
            )),
        }
    }

    /// `[a][b]`, where nothing else may stand between the brackets than one name each.
    fn selector(&mut self) -> Option<Operand> {
        let mut names = Vec::new();
        let mut rest = self.rest();
        while let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = inner.find(['[', ']', ',']) else { break };
            if end == 0 || !inner[end..].starts_with(']') {
                break;
            }
            let mut name = &inner[..end];
            if self.quoting == Quoting::Own {
                // Here a quote begins a text, and a name that begins with one has a backslash.
                if name.starts_with(['"', '\'']) {
                    break;
                }
                name = name.strip_prefix('\\').unwrap_or(name);
            }
            names.push(name.to_owned());
            rest = &inner[end + 1..];
        }
        if names.is_empty() {
            return None;
        }
        self.at = self.text.len() - rest.len();
        Some(Operand::Field(names))
    }

    fn array(&mut self) -> Result<Operand, ReadError> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.eat("]") {
            return Ok(Operand::List(items));
        }
        loop {
            self.blank();
            let word =
                self.rest().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let is_word = self.rest().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if is_word && word > 1 {
                items.push(Operand::Text(self.rest()[..word].to_owned()));
                self.at += word;
            } else {
                let at = self.at;
                let item = self.operand()?;
                if matches!(item, Operand::Field(_) | Operand::List(_)) {
                    self.at = at;
                    return self.wrong("an array in a condition holds texts and numbers");
                }
                items.push(item);
            }
            self.blank();
            if self.eat("]") {
                return Ok(Operand::List(items));
            }
            if !self.eat(",") {
                return self.wrong("expected , or ] in an array");
            }
        }
    }

    fn regex(&mut self) -> Result<String, ReadError> {
        if self.rest().starts_with(['"', '\'']) {
            let (text, end) = quoted(self.text, self.at, self.quoting)?;
            self.at = end;
            return Ok(text);
        }
        let Some(inner) = self.rest().strip_prefix('/') else {
            return self.wrong("expected a regular expression such as /^a/");
        };
        let mut end = 0;
        loop {
            match inner[end..].chars().next() {
                None => return self.wrong("a regular expression without its closing /"),
                Some('/') => break,
                Some('\\') if inner[end..].starts_with("\\/") => end += 2,
                Some(c) => end += c.len_utf8(),
            }
        }
        self.at += end + 2;
        Ok(inner[..end].replace("\\/", "/"))
    }
}

fn is_alone(words: &[Boolean]) -> bool {
    words.iter().any(|word| matches!(word, Boolean::Nand | Boolean::Xor))
}

/// Makes one of the last two. Chains of one word are flat, which changes nothing of what they mean.
fn join(out: &mut Vec<Expression>, word: Boolean) {
    let (Some(right), Some(left)) = (out.pop(), out.pop()) else { return };
    out.push(match word {
        Boolean::And => flat(left, right, true),
        Boolean::Or => flat(left, right, false),
        Boolean::Nand => Expression::Nand(Box::new(left), Box::new(right)),
        Boolean::Xor => Expression::Xor(Box::new(left), Box::new(right)),
    });
}

pub(super) fn flat(left: Expression, right: Expression, is_and: bool) -> Expression {
    let mut all = Vec::new();
    for side in [left, right] {
        match side {
            Expression::And(more) if is_and => all.extend(more),
            Expression::Or(more) if !is_and => all.extend(more),
            other => all.push(other),
        }
    }
    if is_and { Expression::And(all) } else { Expression::Or(all) }
}
