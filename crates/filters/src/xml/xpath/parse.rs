//! Reads an expression.

use super::{AXES, Axis, Expr, FUNCTIONS, Operator, Origin, Step, Test, XPath};

/// How deep expressions may lie within each other.
const DEPTH_MAX: usize = 32;

impl XPath {
    /// Compiles an expression; the error says what is wrong, and at which byte.
    pub(in crate::xml) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let expr = parser.expr().and_then(|expr| {
            parser.blank();
            if parser.at == text.len() { Ok(expr) } else { Err("expected the end") }
        });
        expr.map(XPath).map_err(|reason| format!("{reason} at byte {} of the XPath {text:?}", parser.at))
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

type Read<T> = Result<T, &'static str>;

const LEVELS: [&[(&str, Operator)]; 6] = [
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[("=", Operator::Equal), ("!=", Operator::NotEqual)],
    &[
        ("<=", Operator::LessOrEqual),
        ("<", Operator::Less),
        (">=", Operator::GreaterOrEqual),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("div", Operator::Divide), ("mod", Operator::Modulo)],
];

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes a sign or a word that stands next.
    fn eat(&mut self, token: &str) -> bool {
        self.blank();
        let Some(behind) = self.rest().strip_prefix(token) else { return false };
        let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_word && behind.starts_with(is_name_char) {
            return false;
        }
        self.at += token.len();
        true
    }

    fn expr(&mut self) -> Read<Expr> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("too deep");
        }
        let expr = self.level(0);
        self.depth -= 1;
        expr
    }

    /// Operators of one level and what binds more tightly.
    fn level(&mut self, level: usize) -> Read<Expr> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        let mut count = 0;
        while let Some((_, operator)) = operators.iter().find(|(token, _)| self.eat(token)) {
            // Each one lies within the next.
            count += 1;
            if count > DEPTH_MAX {
                return Err("too many operators");
            }
            left = Expr::Binary(*operator, Box::new(left), Box::new(self.level(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Read<Expr> {
        let mut is_negative = false;
        while self.eat("-") {
            is_negative = !is_negative;
        }
        let mut expr = self.path()?;
        let mut count = 0;
        while self.eat("|") {
            count += 1;
            if count > DEPTH_MAX {
                return Err("too many operators");
            }
            expr = Expr::Binary(Operator::Union, Box::new(expr), Box::new(self.path()?));
        }
        Ok(if is_negative { Expr::Negate(Box::new(expr)) } else { expr })
    }

    fn path(&mut self) -> Read<Expr> {
        self.blank();
        if let Some(primary) = self.primary()? {
            let predicates = self.predicates()?;
            let mut steps = Vec::new();
            if self.rest_begins("/") {
                self.slashes(&mut steps);
                self.steps(&mut steps)?;
            } else if predicates.is_empty() {
                return Ok(primary);
            }
            return Ok(Expr::Path { from: Origin::Nodes(Box::new(primary), predicates), steps });
        }
        let mut steps = Vec::new();
        let from = if self.rest_begins("/") { Origin::Document } else { Origin::Here };
        if from == Origin::Document {
            self.slashes(&mut steps);
            self.blank();
            let next = self.rest().chars().next();
            let is_step = next.is_some_and(|c| is_name_start(c) || matches!(c, '*' | '@' | '.'));
            if steps.is_empty() && !is_step {
                return Ok(Expr::Path { from, steps });
            }
        }
        self.steps(&mut steps)?;
        Ok(Expr::Path { from, steps })
    }

    fn rest_begins(&mut self, with: &str) -> bool {
        self.blank();
        self.rest().starts_with(with)
    }

    /// `/` or `//`, which means all within.
    fn slashes(&mut self, steps: &mut Vec<Step>) {
        if self.eat("//") {
            steps.push(Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() });
        } else {
            self.eat("/");
        }
    }

    fn steps(&mut self, steps: &mut Vec<Step>) -> Read<()> {
        loop {
            let step = self.step()?;
            steps.push(step);
            if !self.rest_begins("/") {
                return Ok(());
            }
            self.slashes(steps);
        }
    }

    fn step(&mut self) -> Read<Step> {
        let shortcut = if self.eat("..") {
            Some(Axis::Parent)
        } else if self.eat(".") {
            Some(Axis::Itself)
        } else {
            None
        };
        if let Some(axis) = shortcut {
            return Ok(Step { axis, test: Test::Node, predicates: Vec::new() });
        }
        let axis = if self.eat("@") { Axis::Attribute } else { self.axis()? };
        let test = self.test()?;
        Ok(Step { axis, test, predicates: self.predicates()? })
    }

    fn axis(&mut self) -> Read<Axis> {
        self.blank();
        let word = self.word_ahead();
        if !self.rest()[word.len()..].trim_start().starts_with("::") {
            return Ok(Axis::Child);
        }
        let Some((_, axis)) = AXES.iter().find(|(name, _)| *name == word) else { return Err("no such axis") };
        self.at += word.len();
        self.eat("::");
        Ok(*axis)
    }

    fn test(&mut self) -> Read<Test> {
        if self.eat("*") {
            return Ok(Test::Name { prefix: None, local: None });
        }
        self.blank();
        let word = self.word_ahead();
        if word.is_empty() {
            return Err("expected a name");
        }
        self.at += word.len();
        if self.rest_begins("(") {
            let test = match word {
                "node" => Test::Node,
                "text" => Test::Text,
                _ => return Err("expected node() or text()"),
            };
            self.eat("(");
            return if self.eat(")") { Ok(test) } else { Err("expected )") };
        }
        if !self.rest().starts_with(':') || self.rest().starts_with("::") {
            return Ok(Test::Name { prefix: None, local: Some(word.to_owned()) });
        }
        self.at += 1;
        let prefix = Some(word.to_owned());
        if self.rest().starts_with('*') {
            self.at += 1;
            return Ok(Test::Name { prefix, local: None });
        }
        let local = self.word_ahead();
        self.at += local.len();
        if local.is_empty() {
            Err("expected a name")
        } else {
            Ok(Test::Name { prefix, local: Some(local.to_owned()) })
        }
    }

    fn predicates(&mut self) -> Read<Vec<Expr>> {
        let mut predicates = Vec::new();
        while self.eat("[") {
            predicates.push(self.expr()?);
            if !self.eat("]") {
                return Err("expected ]");
            }
        }
        Ok(predicates)
    }

    /// What is no path: something in brackets, a text, a number, a function.
    fn primary(&mut self) -> Read<Option<Expr>> {
        if self.eat("(") {
            let expr = self.expr()?;
            return if self.eat(")") { Ok(Some(expr)) } else { Err("expected )") };
        }
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let Some(end) = rest[1..].find(quote) else { return Err("a text without its end") };
            self.at += end + 2;
            return Ok(Some(Expr::Text(rest[1..end + 1].to_owned())));
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if rest[..digits].contains(|c: char| c.is_ascii_digit()) {
            let number = rest[..digits].parse().map_err(|_| "not a number")?;
            self.at += digits;
            return Ok(Some(Expr::Number(number)));
        }
        let word = self.word_ahead();
        let is_call =
            rest[word.len()..].trim_start().starts_with('(') && !matches!(word, "" | "node" | "text");
        if !is_call {
            return Ok(None);
        }
        let Some((_, function, count)) = FUNCTIONS.iter().find(|(name, ..)| *name == word) else {
            return Err("no such function");
        };
        self.at += word.len();
        self.eat("(");
        let mut arguments = Vec::new();
        while !self.eat(")") {
            if !arguments.is_empty() && !self.eat(",") {
                return Err("expected , or )");
            }
            arguments.push(self.expr()?);
        }
        if !count.contains(&arguments.len()) {
            return Err("too few or too many arguments");
        }
        Ok(Some(Expr::Call(*function, arguments)))
    }

    fn word_ahead(&self) -> &'t str {
        let rest = self.rest();
        if !rest.starts_with(is_name_start) {
            return "";
        }
        &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())]
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
