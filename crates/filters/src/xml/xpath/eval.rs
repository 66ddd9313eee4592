//! Runs an expression over a document.

use super::super::tree::{DOCUMENT, Kind, Name, Tree};
use super::{Axis, Expr, Function, Operator, Origin, Step, Test, XPath};
use std::cell::Cell;
use std::cmp::Ordering;

/// How many nodes may be looked at; that takes some milliseconds.
const VISITS_MAX: u32 = 1_000_000;

/// A node, or an attribute of it: zero is the node itself. They are in the order of the document.
pub(in crate::xml) type Place = (usize, usize);

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::xml) enum Value {
    /// In the order of the document, each once.
    Nodes(Vec<Place>),
    Text(String),
    Number(f64),
    Bool(bool),
}

/// The prefixes that an expression may use, and their namespaces.
pub(in crate::xml) type Namespaces<'n> = &'n dyn Fn(&str) -> Option<String>;

type Eval<T> = Result<T, &'static str>;

impl XPath {
    /// Runs the expression over a document.
    pub(in crate::xml) fn eval(&self, tree: &Tree, namespaces: Namespaces<'_>) -> Eval<Value> {
        let run = Run { tree, namespaces, visits: Cell::new(0) };
        run.eval(&self.0, Here { place: (DOCUMENT, 0), position: 1, size: 1 })
    }
}

struct Run<'r> {
    tree: &'r Tree,
    namespaces: Namespaces<'r>,
    visits: Cell<u32>,
}

/// A node, and which one of how many it is.
#[derive(Clone, Copy)]
struct Here {
    place: Place,
    position: usize,
    size: usize,
}

const NO_NODES: &str = "the XPath takes something for nodes that is none";

impl Run<'_> {
    fn visit(&self, count: usize) -> Eval<()> {
        self.visits.set(self.visits.get().saturating_add(count as u32));
        if self.visits.get() > VISITS_MAX { Err("the XPath takes too long on this text") } else { Ok(()) }
    }

    fn eval(&self, expr: &Expr, here: Here) -> Eval<Value> {
        self.visit(1)?;
        Ok(match expr {
            Expr::Number(number) => Value::Number(*number),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Negate(inner) => Value::Number(-self.number(&self.eval(inner, here)?)?),
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right, here)?,
            Expr::Call(function, arguments) => self.call(*function, arguments, here)?,
            Expr::Path { from, steps } => {
                let mut places = match from {
                    Origin::Document => vec![(DOCUMENT, 0)],
                    Origin::Here => vec![here.place],
                    Origin::Nodes(expr, predicates) => {
                        let places = self.nodes(expr, here)?;
                        self.filtered(places, predicates)?
                    }
                };
                for step in steps {
                    places = self.step(&places, step)?;
                }
                Value::Nodes(places)
            }
        })
    }

    fn nodes(&self, expr: &Expr, here: Here) -> Eval<Vec<Place>> {
        match self.eval(expr, here)? {
            Value::Nodes(places) => Ok(places),
            _ => Err(NO_NODES),
        }
    }

    fn step(&self, from: &[Place], step: &Step) -> Eval<Vec<Place>> {
        let namespace = match &step.test {
            Test::Name { prefix: Some(prefix), .. } => {
                let found =
                    (self.namespaces)(prefix).ok_or("the XPath has a prefix that means no namespace")?;
                Some(found)
            }
            _ => None,
        };
        let mut all = Vec::new();
        for place in from {
            let mut found = self.along(step.axis, *place);
            self.visit(found.len() + 1)?;
            found.retain(|place| self.passes(*place, &step.test, step.axis, namespace.as_deref()));
            all.extend(self.filtered(found, &step.predicates)?);
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Those for which all predicates are true, or that have the number that one says.
    fn filtered(&self, mut places: Vec<Place>, predicates: &[Expr]) -> Eval<Vec<Place>> {
        for predicate in predicates {
            let size = places.len();
            let mut left = Vec::new();
            for (n, place) in places.into_iter().enumerate() {
                let is_in = match self.eval(predicate, Here { place, position: n + 1, size })? {
                    Value::Number(number) => number == (n + 1) as f64,
                    other => is_true(&other),
                };
                if is_in {
                    left.push(place);
                }
            }
            places = left;
        }
        Ok(places)
    }

    /// The nodes along an axis, the nearest first.
    fn along(&self, axis: Axis, (node, attribute): Place) -> Vec<Place> {
        let tree = self.tree;
        let places = |nodes: std::ops::Range<usize>| nodes.map(|node| (node, 0)).collect::<Vec<_>>();
        let parent =
            if attribute > 0 { Some(node) } else { (node != DOCUMENT).then(|| tree.nodes[node].parent) };
        let ancestors =
            || std::iter::successors(parent, |node| (*node != DOCUMENT).then(|| tree.nodes[*node].parent));
        let siblings = || parent.filter(|_| attribute == 0).map_or(&[][..], |parent| tree.children(parent));
        let beside = |is_behind: bool| {
            siblings().iter().copied().filter(move |own| (*own > node) == is_behind && *own != node)
        };
        match axis {
            Axis::Itself => vec![(node, attribute)],
            Axis::Parent => parent.into_iter().map(|node| (node, 0)).collect(),
            Axis::Ancestor => ancestors().map(|node| (node, 0)).collect(),
            Axis::AncestorOrSelf => {
                std::iter::once((node, attribute)).chain(ancestors().map(|node| (node, 0))).collect()
            }
            Axis::FollowingSibling => beside(true).map(|node| (node, 0)).collect(),
            Axis::PrecedingSibling => {
                let mut before: Vec<Place> = beside(false).map(|node| (node, 0)).collect();
                before.reverse();
                before
            }
            Axis::Following => {
                let from = if attribute > 0 { node + 1 } else { end_of(tree, node) };
                places(from..tree.nodes.len())
            }
            Axis::Preceding => {
                let above: Vec<usize> = ancestors().collect();
                let mut before = places(0..node);
                before.retain(|(node, _)| !above.contains(node));
                before.reverse();
                before
            }
            _ if attribute > 0 && axis != Axis::DescendantOrSelf => Vec::new(),
            Axis::Child => tree.children(node).iter().map(|node| (*node, 0)).collect(),
            Axis::Descendant => places(node + 1..end_of(tree, node)),
            Axis::DescendantOrSelf if attribute > 0 => vec![(node, attribute)],
            Axis::DescendantOrSelf => places(node..end_of(tree, node)),
            // Declarations of namespaces are no attributes.
            Axis::Attribute => {
                let attributes = tree.attributes(node).iter().enumerate();
                let own = attributes.filter(|(_, attribute)| attribute.declares().is_none());
                own.map(|(n, _)| (node, n + 1)).collect()
            }
        }
    }

    fn passes(&self, place: Place, test: &Test, axis: Axis, namespace: Option<&str>) -> bool {
        let is_text = place.1 == 0 && matches!(self.tree.nodes[place.0].kind, Kind::Text { .. });
        match test {
            Test::Node => true,
            Test::Text => is_text,
            Test::Name { prefix, local } => {
                // A name along another axis is of an element.
                if (axis == Axis::Attribute) != (place.1 > 0) {
                    return false;
                }
                let Some(name) = self.name(place) else { return false };
                let is_named = local.as_ref().is_none_or(|local| *local == name.local);
                let is_in = match prefix {
                    Some(_) => name.namespace.as_deref() == namespace,
                    None => local.is_none() || name.namespace.is_none(),
                };
                is_named && is_in
            }
        }
    }

    fn name(&self, (node, attribute): Place) -> Option<&Name> {
        match attribute.checked_sub(1) {
            Some(n) => self.tree.attributes(node).get(n).map(|attribute| &attribute.name),
            None => self.tree.name(node),
        }
    }

    fn text_of(&self, (node, attribute): Place) -> Eval<String> {
        if let Some(n) = attribute.checked_sub(1) {
            return Ok(self.tree.attributes(node).get(n).map_or_else(String::new, |own| own.value.clone()));
        }
        self.visit(end_of(self.tree, node) - node)?;
        let mut text = String::new();
        self.tree.text(node, &mut text);
        Ok(text)
    }

    fn binary(&self, operator: Operator, left: &Expr, right: &Expr, here: Here) -> Eval<Value> {
        match operator {
            Operator::Or | Operator::And => {
                let left = is_true(&self.eval(left, here)?);
                if left == (operator == Operator::Or) {
                    return Ok(Value::Bool(left));
                }
                return Ok(Value::Bool(is_true(&self.eval(right, here)?)));
            }
            Operator::Union => {
                let mut all = self.nodes(left, here)?;
                all.extend(self.nodes(right, here)?);
                all.sort_unstable();
                all.dedup();
                return Ok(Value::Nodes(all));
            }
            _ => {}
        }
        let (left, right) = (self.eval(left, here)?, self.eval(right, here)?);
        let number =
            |of: fn(f64, f64) -> f64| Ok(Value::Number(of(self.number(&left)?, self.number(&right)?)));
        match operator {
            Operator::Add => number(|a, b| a + b),
            Operator::Subtract => number(|a, b| a - b),
            Operator::Multiply => number(|a, b| a * b),
            Operator::Divide => number(|a, b| a / b),
            Operator::Modulo => number(|a, b| a % b),
            _ => self.compare(operator, &left, &right).map(Value::Bool),
        }
    }

    /// Nodes are compared by their texts, and one that fits is enough.
    fn compare(&self, operator: Operator, left: &Value, right: &Value) -> Eval<bool> {
        if let (Value::Nodes(places), other) = (left, right)
            && !matches!(other, Value::Bool(_))
        {
            for place in places {
                if self.compare(operator, &Value::Text(self.text_of(*place)?), other)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        if matches!(right, Value::Nodes(_)) && !matches!(left, Value::Bool(_)) {
            return self.compare(turned(operator), right, left);
        }
        let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        let order = match (left, right) {
            (Value::Bool(_), _) | (_, Value::Bool(_)) if is_equality => {
                is_true(left).partial_cmp(&is_true(right))
            }
            (Value::Text(left), Value::Text(right)) if is_equality => left.partial_cmp(right),
            _ => self.number(left)?.partial_cmp(&self.number(right)?),
        };
        Ok(match operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => order.is_some_and(Ordering::is_le),
            Operator::Greater => order == Some(Ordering::Greater),
            _ => order.is_some_and(Ordering::is_ge),
        })
    }

    fn number(&self, value: &Value) -> Eval<f64> {
        Ok(match value {
            Value::Number(number) => *number,
            Value::Bool(value) => f64::from(u8::from(*value)),
            other => number_of(&self.string(other)?),
        })
    }

    fn string(&self, value: &Value) -> Eval<String> {
        Ok(match value {
            Value::Text(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) if number.is_infinite() => {
                if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
            }
            // Minus zero is zero.
            Value::Number(number) => format!("{}", number + 0.0),
            Value::Nodes(places) => match places.first() {
                Some(place) => self.text_of(*place)?,
                None => String::new(),
            },
        })
    }

    fn call(&self, function: Function, arguments: &[Expr], here: Here) -> Eval<Value> {
        let itself = || Ok(Value::Nodes(vec![here.place]));
        let value = |n: usize| arguments.get(n).map_or_else(itself, |argument| self.eval(argument, here));
        let string = |n: usize| self.string(&value(n)?);
        let number = |n: usize| self.number(&value(n)?);
        let nodes = |n: usize| match value(n)? {
            Value::Nodes(places) => Ok(places),
            _ => Err(NO_NODES),
        };
        let first_name =
            || -> Eval<Option<&Name>> { Ok(nodes(0)?.first().and_then(|place| self.name(*place))) };
        let text = |text: &str| Value::Text(text.to_owned());
        Ok(match function {
            Function::Last => Value::Number(here.size as f64),
            Function::Position => Value::Number(here.position as f64),
            Function::Count => Value::Number(nodes(0)?.len() as f64),
            Function::LocalName => text(first_name()?.map_or("", |name| &name.local)),
            Function::NamespaceUri => {
                text(first_name()?.and_then(|name| name.namespace.as_deref()).unwrap_or(""))
            }
            Function::Name => Value::Text(first_name()?.map_or_else(String::new, |name| name.written())),
            Function::String => Value::Text(string(0)?),
            Function::Concat => {
                let mut all = String::new();
                for n in 0..arguments.len() {
                    all.push_str(&string(n)?);
                }
                self.visit(all.len() / 64)?;
                Value::Text(all)
            }
            Function::StartsWith => Value::Bool(string(0)?.starts_with(&string(1)?)),
            Function::Contains => Value::Bool(string(0)?.contains(&string(1)?)),
            Function::SubstringBefore => {
                text(string(0)?.split_once(&string(1)?).map_or("", |(before, _)| before))
            }
            Function::SubstringAfter => {
                text(string(0)?.split_once(&string(1)?).map_or("", |(_, behind)| behind))
            }
            Function::Substring => {
                let from = round(number(1)?);
                let to = if arguments.len() > 2 { from + round(number(2)?) } else { f64::INFINITY };
                let is_in = |n: usize| (n + 1) as f64 >= from && ((n + 1) as f64) < to;
                Value::Text(
                    string(0)?.chars().enumerate().filter(|(n, _)| is_in(*n)).map(|(_, c)| c).collect(),
                )
            }
            Function::StringLength => Value::Number(string(0)?.chars().count() as f64),
            Function::NormalizeSpace => {
                Value::Text(string(0)?.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            Function::Translate => {
                let (old, new) = (string(1)?, string(2)?);
                self.visit(old.len())?;
                let change = |c| match old.chars().position(|own| own == c) {
                    Some(n) => new.chars().nth(n),
                    None => Some(c),
                };
                Value::Text(string(0)?.chars().filter_map(change).collect())
            }
            Function::Boolean => Value::Bool(is_true(&value(0)?)),
            Function::Not => Value::Bool(!is_true(&value(0)?)),
            Function::True => Value::Bool(true),
            Function::False => Value::Bool(false),
            Function::Number => Value::Number(number(0)?),
            Function::Sum => {
                let mut sum = 0.0;
                for place in nodes(0)? {
                    sum += number_of(&self.text_of(place)?);
                }
                Value::Number(sum)
            }
            Function::Floor => Value::Number(number(0)?.floor()),
            Function::Ceiling => Value::Number(number(0)?.ceil()),
            Function::Round => Value::Number(round(number(0)?)),
        })
    }
}

/// The number behind the last node within a node.
fn end_of(tree: &Tree, mut node: usize) -> usize {
    while let Some(last) = tree.children(node).last() {
        node = *last;
    }
    node + 1
}

fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        other => other,
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Nodes(places) => !places.is_empty(),
        Value::Text(text) => !text.is_empty(),
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Bool(value) => *value,
    }
}

fn number_of(text: &str) -> f64 {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_number).unwrap_or(f64::NAN)
}

/// To the nearest whole number, of two the greater one.
fn round(number: f64) -> f64 {
    (number + 0.5).floor()
}

#[cfg(test)]
mod tests {
    use super::super::super::tree;
    use super::*;
    use proptest::prelude::*;

    const BOOKS: &str = r#"<shop xmlns:x="urn:x"><book id="1" lang="en"><title>A &amp; B</title><price>10</price></book><book id="2"><title>C</title><price>25.5</price></book><x:note>hi</x:note><empty/></shop>"#;

    fn eval(xpath: &str, xml: &str) -> Result<Value, String> {
        let document = tree::read(xml);
        let namespaces = |prefix: &str| (prefix == "p").then(|| "urn:x".to_owned());
        let value = XPath::parse(xpath)?.eval(&document.tree, &namespaces)?;
        Ok(value)
    }

    /// The value as text; nodes as their names or texts.
    #[track_caller]
    fn check(xpath: &str, expected: &str) {
        let document = tree::read(BOOKS);
        let shown = match eval(xpath, BOOKS) {
            Ok(Value::Nodes(places)) => {
                let namespaces = |_: &str| None;
                let run = Run { tree: &document.tree, namespaces: &namespaces, visits: Cell::new(0) };
                let one = |place: &Place| match run.name(*place) {
                    Some(name) => name.written(),
                    None => run.text_of(*place).unwrap(),
                };
                places.iter().map(one).collect::<Vec<_>>().join(",")
            }
            Ok(Value::Text(text)) => text,
            Ok(Value::Number(number)) => number.to_string(),
            Ok(Value::Bool(value)) => value.to_string(),
            Err(error) => format!("! {error}"),
        };
        assert_eq!(shown, expected, "{xpath}");
    }

    #[test]
    fn paths() {
        check("/shop", "shop");
        check("/", "A & B10C25.5hi");
        check("/shop/book/title/text()", "A & B,C");
        check("//title/text()", "A & B,C");
        check("shop//price", "price,price");
        check("/shop/*", "book,book,x:note,empty");
        check("//book/@id", "id,id");
        check("//@*", "id,lang,id");
        check("/shop/p:note", "x:note");
        check("/shop/p:*", "x:note");
        check("/shop/note", "");
        check("//*[local-name()='note']/text()", "hi");
        check("//title/..", "book,book");
        check("//title/ancestor::*", "shop,book,book");
        check("/shop/book[1]/following-sibling::*", "book,x:note,empty");
        check("/shop/empty/preceding-sibling::*[1]", "x:note");
        check("/shop/book[2]/preceding::text()", "A & B,10");
        check("/shop/book[1]/title/following::title/text()", "C");
        check("//book[1]/descendant-or-self::node()", "book,title,A & B,price,10");
        check("/shop/child::book/attribute::lang", "lang");
        check("//title | //empty | //title", "title,title,empty");
        check("(//title)[2]/text()", "C");
        check("//book/self::book[@lang]/title/text()", "A & B");
    }

    #[test]
    fn predicates() {
        check("//book[@id='2']/title/text()", "C");
        check("//book[2]/title/text()", "C");
        check("//book[last()]/@id", "id");
        check("//book[position() < 2]/title/text()", "A & B");
        check("//book[price > 20]/title/text()", "C");
        check("//book[price>5 and price<20]/title/text()", "A & B");
        check("//book[not(@lang)]/title/text()", "C");
        check("//book[contains(title, '&')]/title/text()", "A & B");
        check("//title[text()='C']/text()", "C");
        check("//title[.='C']/text()", "C");
        check("//book[title='C' or @lang='en']/@id", "id,id");
        check("//book[@id != 1]/title/text()", "C");
        check("//*[starts-with(name(), 'ti')][2]", "");
        check("//book[20 < price]/title/text()", "C");
    }

    #[test]
    fn functions() {
        check("count(//book)", "2");
        check("name(/*)", "shop");
        check("name(/shop/p:note)", "x:note");
        check("namespace-uri(/shop/p:note)", "urn:x");
        check("string(//price)", "10");
        check("sum(//price)", "35.5");
        check("concat(//title, '-', 1 + 1.0)", "A & B-2");
        check("substring-before('a=b=c', '=')", "a");
        check("substring-after('a=b=c', '=')", "b=c");
        check("substring('12345', 2, 3)", "234");
        check("substring('12345', 1.5, 2.6)", "234");
        check("substring('12345', 2)", "2345");
        check("string-length('äb')", "2");
        check("normalize-space('  a   b ')", "a b");
        check("translate('bar', 'abc', 'AB')", "BAr");
        check("boolean(//none)", "false");
        check("not(//none) and true()", "true");
        check("number('x')", "NaN");
        check("1 div 0", "inf");
        check("7 mod 3 - -2 * 3", "7");
        check("floor(1.5) + ceiling(1.5) + round(2.5)", "6");
        check("string(1 div 0)", "Infinity");
        check("//price = 25.5", "true");
        check("//price = //title", "false");
        check("//none = false()", "true");
        check("'a' = \"a\"", "true");
        check("-count(//book)", "-2");
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn wrong(xpath: &str, message: &str) {
            let found = eval(xpath, BOOKS).unwrap_err();
            assert!(found.contains(message), "{found}");
        }
        wrong("", "expected a name at byte 0");
        wrong("/a/", "expected a name");
        wrong("//", "expected a name");
        wrong("a[", "expected a name");
        wrong("a[1", "expected ]");
        wrong("nothing(1)", "no such function");
        wrong("count()", "too few or too many arguments");
        wrong("count(1)", "takes something for nodes");
        wrong("nowhere::a", "no such axis");
        wrong("a b", "expected the end");
        wrong("'a", "a text without its end");
        wrong("q:a", "a prefix that means no namespace");
        wrong(&"(".repeat(100), "too deep");
        wrong(&vec!["1"; 100].join("+"), "too many operators");
        let wide = format!("<a>{}</a>", "<b/>".repeat(3_000));
        assert_eq!(eval("//b[count(//b) > 1]", &wide).unwrap_err(), "the XPath takes too long on this text");
    }

    proptest! {
        #[test]
        fn any_text(xpath: String) {
            let _ = eval(&xpath, BOOKS);
        }

        #[test]
        fn much_that_looks_like_a_path(xpath in "(/|//|book|title|@id|\\*|\\[|\\]|1|'x'|=|text\\(\\)|count\\(|\\)|\\||\\.\\.|and ){0,10}") {
            let _ = eval(&xpath, BOOKS);
        }
    }
}
