//! Runs an [`Expression`] over an event, by the rules of Logstash's `EventCondition.java`.
//!
//! What Logstash cannot evaluate (text ordered against a number, the order of a field that is
//! missing) is neither true nor false: `None`, through every `!`, `and` and `or` that needs it.

use super::{Comparison, Expression, Operand, Quoting};
use crate::Look;
use crate::onigmo::{Regex, RegexError};
use event::{Path, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A condition of Logstash, compiled.
#[derive(Debug, Clone)]
pub(crate) enum Compiled {
    And(Vec<Compiled>),
    Or(Vec<Compiled>),
    Xor(Box<Compiled>, Box<Compiled>),
    Not(Box<Compiled>),
    Equal(Side, Side),
    Order(Comparison, Side, Side),
    Match(Side, Regex),
    In(Side, List),
    Truth(Side),
}

/// A value of a comparison.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    Field(Path),
    Text(String),
    Int(i64),
    Float(f64),
}

/// Where something is looked for.
#[derive(Debug, Clone)]
pub(crate) enum List {
    Of(Side),
    /// The items, as text.
    Constant(Vec<String>),
}

impl Compiled {
    pub(crate) fn new(expression: &Expression) -> Result<Self, RegexError> {
        let all = |list: &[Expression]| list.iter().map(Compiled::new).collect::<Result<Vec<_>, _>>();
        let boxed = |one: &Expression| Compiled::new(one).map(Box::new);
        Ok(match expression {
            Expression::And(list) => Compiled::And(all(list)?),
            Expression::Or(list) => Compiled::Or(all(list)?),
            Expression::Nand(left, right) => {
                let both = vec![Compiled::new(left)?, Compiled::new(right)?];
                Compiled::Not(Box::new(Compiled::And(both)))
            }
            Expression::Xor(left, right) => Compiled::Xor(boxed(left)?, boxed(right)?),
            Expression::Not(inner) => Compiled::Not(boxed(inner)?),
            Expression::Compare(Comparison::Equal, left, right) => Compiled::Equal(side(left), side(right)),
            Expression::Compare(Comparison::NotEqual, left, right) => {
                Compiled::Not(Box::new(Compiled::Equal(side(left), side(right))))
            }
            Expression::Compare(comparison, left, right) => {
                Compiled::Order(*comparison, side(left), side(right))
            }
            Expression::Match { negated, left, regex } => {
                Compiled::Match(side(left), Regex::new(regex)?).negated(*negated)
            }
            // Looked for in a text, an array is found when it has that text as an item.
            Expression::In { negated, item: Operand::List(items), list } => {
                Compiled::In(side(list), List::Constant(items.iter().map(text_of).collect()))
                    .negated(*negated)
            }
            Expression::In { negated, item, list } => {
                let list = match list {
                    Operand::List(items) => List::Constant(items.iter().map(text_of).collect()),
                    other => List::Of(side(other)),
                };
                Compiled::In(side(item), list).negated(*negated)
            }
            Expression::Truth(operand) => Compiled::Truth(side(operand)),
        })
    }

    fn negated(self, negated: bool) -> Self {
        if negated { Compiled::Not(Box::new(self)) } else { self }
    }

    pub(crate) fn test(&self, event: &impl Look) -> Option<bool> {
        Some(match self {
            Compiled::And(all) => {
                for one in all {
                    if !one.test(event)? {
                        return Some(false);
                    }
                }
                true
            }
            Compiled::Or(any) => {
                for one in any {
                    if one.test(event)? {
                        return Some(true);
                    }
                }
                false
            }
            Compiled::Xor(left, right) => left.test(event)? != right.test(event)?,
            Compiled::Not(inner) => !inner.test(event)?,
            Compiled::Equal(left, right) => match (left.value(event), right.value(event)) {
                (Some(left), Some(right)) => equal(&left, &right),
                (None, None) => true,
                _ => false,
            },
            Compiled::Order(comparison, left, right) => {
                let order = order(&left.value(event)?, &right.value(event)?)?;
                match comparison {
                    Comparison::Less => order == Ordering::Less,
                    Comparison::LessOrEqual => order != Ordering::Greater,
                    Comparison::Greater => order == Ordering::Greater,
                    Comparison::GreaterOrEqual => order != Ordering::Less,
                    Comparison::Equal | Comparison::NotEqual => return None,
                }
            }
            Compiled::Match(side, regex) => match side.value(event) {
                Some(Value::Str(text)) => regex.is_match(&text),
                _ => false,
            },
            Compiled::In(item, list) => return is_in(item, list, event),
            Compiled::Truth(side) => side.value(event).is_some_and(|value| is_true(&value)),
        })
    }
}

impl Side {
    fn value<'a>(&'a self, event: &'a impl Look) -> Option<Value<'a>> {
        match self {
            Side::Field(path) => event.look(path).filter(|value| *value != Value::Null),
            Side::Text(text) => Some(Value::str(text)),
            Side::Int(value) => Some(Value::Int(*value)),
            Side::Float(value) => Some(Value::Float(*value)),
        }
    }

    fn is_field(&self) -> bool {
        matches!(self, Side::Field(_))
    }
}

fn side(operand: &Operand) -> Side {
    match operand {
        Operand::Field(names) => Side::Field(Path::of(names)),
        Operand::Text(text) => Side::Text(text.clone()),
        Operand::Int(value) => Side::Int(*value),
        Operand::Float(value) => Side::Float(*value),
        // An array alone is true, as any text that is neither empty nor `false`.
        Operand::List(_) => Side::Text("[]".to_owned()),
    }
}

fn text_of(operand: &Operand) -> String {
    match operand {
        Operand::Text(text) => text.clone(),
        other => {
            let mut out = String::new();
            other.write(Quoting::Own, &mut out);
            out
        }
    }
}

/// Values of two kinds are never equal, also 200 and 200.0.
fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    left == right
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (Value::Float(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn is_true(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Str(text) => !text.is_empty() && **text != *b"false",
        _ => true,
    }
}

fn is_in(item: &Side, list: &List, event: &impl Look) -> Option<bool> {
    let found = item.value(event);
    let list_side = match list {
        List::Constant(texts) => {
            let Some(found) = found else { return Some(false) };
            let text = as_text(&found);
            return Some(texts.iter().any(|own| own.as_bytes() == &*text));
        }
        List::Of(side) => side,
    };
    let within = list_side.value(event);
    Some(match (&found, &within) {
        (Some(Value::Json(_)), _) if item.is_field() => false,
        // A field that is missing is not looked for in an array: Logstash fails.
        (None, Some(Value::Json(text))) if text.starts_with('[') && list_side.is_field() => return None,
        (Some(Value::Str(part)), Some(Value::Str(whole))) => memchr::memmem::find(whole, part).is_some(),
        (Some(Value::Str(part)), Some(Value::Int(_) | Value::Float(_))) if !list_side.is_field() => {
            let whole = within.as_ref().map(as_text).unwrap_or_default();
            memchr::memmem::find(&whole, part).is_some()
        }
        (Some(found), Some(Value::Json(text))) if text.starts_with('[') => {
            let mut is_there = false;
            let whole = event::json::elements(text, |element| is_there |= equal(&element, found));
            debug_assert!(whole.is_ok(), "a value is checked JSON");
            is_there
        }
        // A number that stands in the condition is looked for in arrays only.
        (Some(found), Some(within)) if item.is_field() == list_side.is_field() => equal(found, within),
        _ => false,
    })
}

/// A value as Ruby would print it.
fn as_text<'v>(value: &'v Value<'_>) -> Cow<'v, [u8]> {
    match value {
        Value::Str(text) => Cow::Borrowed(text),
        other => {
            let mut out = Vec::new();
            other.write_text(&mut out);
            Cow::Owned(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Condition, logstash};
    use event::{Batch, Common, Origin};
    use proptest::prelude::*;

    const EVENT: &str = r#"{"status":503,"score":20.0,"text":"10","name":"web-1","empty":"","no":false,"yes":true,
        "word":"false","null":null,"tags":["shop","_jsonparsefailure"],"one":"shop","numbers":[1,2.5,"3"],
        "a":{"b":"x","c":{"d":5}},"@metadata":{"kafka":{"topic":"shop"}},"map":{"k":1},"path":"/var/log/a.log"}"#;

    fn test(condition: &str) -> Option<bool> {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_json(EVENT.as_bytes(), 0).unwrap();
        let condition = Condition::parse(&format!("logstash({condition})")).unwrap();
        condition.test(&batch.view(0), 0)
    }

    #[track_caller]
    fn check(condition: &str, expected: Option<bool>) {
        let read = logstash::read(condition, 0, logstash::Quoting::Plain).unwrap();
        assert_eq!(read.end, condition.len());
        let printed = read.expression.to_string();
        assert_eq!(test(&printed), expected, "{condition} as {printed}");
        let negated = read.expression.negated().to_string();
        assert_eq!(test(&negated), expected.map(|value| !value), "{negated}");
    }

    #[track_caller]
    fn yes(condition: &str) {
        check(condition, Some(true));
    }

    #[track_caller]
    fn no(condition: &str) {
        check(condition, Some(false));
    }

    #[test]
    fn a_field_alone_is_true_when_it_says_something() {
        for condition in
            ["[status]", "[a][b]", "[tags]", "[map]", "[yes]", "[@metadata][kafka][topic]", "[@timestamp]"]
        {
            yes(condition);
        }
        for condition in ["[missing]", "[a][z]", "[null]", "[no]", "[empty]", "[word]"] {
            no(condition);
        }
        yes("![missing]");
        yes("!([no] or [null])");
        yes("\"a text\"");
        no("\"false\"");
    }

    #[test]
    fn equality_has_no_conversion() {
        yes("[status] == 503");
        no("[status] == \"503\"");
        yes("[text] == \"10\"");
        no("[text] == 10");
        yes("[score] == 20.0");
        no("[score] == 20"); // a whole number is not equal to one with a point
        no("[yes] == \"true\"");
        yes("503 == [status]");
        yes("[missing] != \"x\""); // a field that is missing differs from everything
        no("[missing] == \"\"");
        yes("[missing] == [null]");
        yes("[one] == [@metadata][kafka][topic]");
        yes("\"a\" == \"a\"");
        no("\"a\" == 'b'");
    }

    #[test]
    fn order_is_within_a_kind() {
        yes("[status] >= 500");
        no("[status] < 500");
        yes("[status] > 502.5");
        yes("500 < [status]");
        yes("[score] <= 20");
        yes("[name] > \"web-0\"");
        yes("[text] < \"9\""); // as text
        for condition in [
            "[text] > 5",
            "[status] > \"500\"",
            "[missing] > 1",
            "[null] < 1",
            "[yes] > 0",
            "[tags] > 1",
            "[a] < [b]",
        ] {
            check(condition, None);
        }
    }

    #[test]
    fn what_cannot_be_compared_is_neither_true_nor_false() {
        check("!([missing] > 1)", None);
        check("[missing] > 1 or [status]", None);
        yes("[status] or [missing] > 1"); // it does not come to that
        no("[missing] and [missing] > 1");
        check("[status] and [missing] > 1", None);
    }

    #[test]
    fn what_is_in() {
        yes("\"shop\" in [tags]");
        no("\"sho\" in [tags]");
        yes("\"_jsonparsefailure\" in [tags]");
        yes("\"other\" not in [tags]");
        yes("\"shop\" not in [missing]");
        yes("\"web\" in [name]"); // a part of a text
        yes("[one] in \"a shop b\"");
        yes("[one] in [tags]");
        yes("[one] in [\"bar\", \"shop\"]");
        no("[name] in [\"bar\", \"shop\"]");
        yes("[status] in [\"503\", 5]"); // items of an array in the condition are compared as text
        yes("[status] in [503, 504]");
        yes("1 in [numbers]");
        no("3 in [numbers]");
        yes("2.5 in [numbers]");
        no("[tags] in [tags]"); // an array is in nothing
        no("\"k\" in [map]"); // nor is anything in an object
        no("[missing] in [\"a\", \"b\"]");
        yes("[missing] not in [\"a\", \"b\"]");
        check("[missing] in [tags]", None);
        yes("\"b\" in \"abc\"");
        yes("\"b\" in [\"a\", \"b\"]");
        no("5 in [status]");
        // An array of one text is the field `"shop"` in Logstash's grammar.
        no("[one] in [\"shop\"]");
        yes("[one] in [\"shop\", \"shop\"]");
    }

    #[test]
    fn regexes() {
        yes("[path] =~ /^\\/var\\/log\\//");
        yes("[path] =~ \"\\.log$\"");
        no("[path] =~ /tmp/");
        yes("[path] !~ /tmp/");
        no("[missing] =~ /a/");
        yes("[missing] !~ /a/");
        no("[status] =~ /5/"); // only text matches
        yes("[name] =~ /(?i)WEB-\\h/");
        yes("\"abc\" =~ /b/");
        no("[tags] =~ /shop/");
    }

    #[test]
    fn words_between_conditions() {
        yes("[status] and [name] and [tags]");
        yes("[missing] or [name]");
        yes("[missing] nand [name]");
        yes("[missing] xor [name]");
        no("[name] xor [tags]");
        yes("[missing] and [missing] or [name]");
        yes("[name] or [missing] and [missing]");
        // Logstash's own order: [missing] and (([name] and [name]) or [name])
        no("[missing] and [name] and [name] or [name]");
        yes("([missing] and [name] and [name]) or [name]");
        yes("[status] == 503 # why\n and\t[name]");
    }

    #[test]
    fn notes() {
        #[track_caller]
        fn notes(condition: &str, expected: &[usize]) {
            let read = logstash::read(condition, 0, logstash::Quoting::Plain).unwrap();
            assert_eq!(read.notes.iter().map(|note| note.at).collect::<Vec<_>>(), expected);
        }
        notes("[a] and [b] or [c]", &[]);
        notes("[a] and [b] and [c] or [d]", &[0]);
        notes("[z] and ([a] and [b] and [c] or [d])", &[9]);
        notes("[a] in [\"b\"]", &[7]);
        notes("[a] in [5]", &[7]);
        notes("[a] in [b]", &[]);
    }

    #[test]
    fn mistakes_say_where() {
        #[track_caller]
        fn check(condition: &str, at: usize, expected: &str) {
            let error = logstash::read(condition, 0, logstash::Quoting::Plain).unwrap_err();
            assert_eq!(error.at, at, "{error}");
            assert!(error.reason.contains(expected), "{error}");
        }
        check("", 0, "ends too early");
        check("status == 5", 0, "such as [status]");
        check("[a] = 5", 4, "one = alone");
        check("[a] == true", 7, "true is no value");
        check("[a] ==", 6, "ends too early");
        check("([a]", 4, "expected \")\"");
        check("!\"x\" in [tags]", 1, "expected ( or a field");
        check("![a] == 5", 5, "for the field alone");
        check("[a] =~ b", 7, "regular expression such as");
        check("[a] =~ /b", 7, "without its closing /");
        check("[a] == \"C:\\\"", 7, "does not end a text");
        check("[a] == [\"x\", \"y\"]", 7, "use \"in\"");
        check("[a] nand [b] and [c]", 13, "two conditions only");
        check("[a] and [b] xor [c]", 12, "two conditions only");
        check("[a] not [b]", 8, "\"in\" behind \"not\"");
        check("defined([a])", 0, "no functions");
        check("[a] in [\"b\", \"c\" 5]", 17, "expected , or ]");
        check(&"(".repeat(100), 64, "too deep");
    }

    fn texts() -> impl Strategy<Value = String> {
        "[a-z \"'\\\\\n/é#\\]]{0,6}"
    }

    fn operands() -> impl Strategy<Value = logstash::Operand> {
        use logstash::Operand;
        let name = "[a-z@_. 0-9-]{1,4}";
        let one = prop_oneof![
            texts().prop_map(Operand::Text),
            any::<i64>().prop_map(Operand::Int),
            (-1e9..1e9).prop_map(Operand::Float),
        ];
        prop_oneof![
            one.clone(),
            proptest::collection::vec(name, 1..3).prop_map(Operand::Field),
            proptest::collection::vec(one, 2..4).prop_map(Operand::List),
        ]
    }

    fn expressions() -> impl Strategy<Value = logstash::Expression> {
        use logstash::{Comparison, Expression, Operand};
        let is_list = |operand: &Operand| matches!(operand, Operand::List(_));
        let scalar = operands().prop_filter("an array", move |operand| !is_list(operand)).boxed();
        let comparison = prop_oneof![
            Just(Comparison::Equal),
            Just(Comparison::NotEqual),
            Just(Comparison::Less),
            Just(Comparison::GreaterOrEqual)
        ];
        let field = proptest::collection::vec("[a-z]{1,3}", 1..3).prop_map(Operand::Field);
        let leaf =
            prop_oneof![
                operands().prop_map(Expression::Truth),
                (comparison, scalar.clone(), scalar.clone())
                    .prop_map(|(sign, left, right)| Expression::Compare(sign, left, right)),
                (any::<bool>(), field, "[a-z/.+]{1,5}")
                    .prop_map(|(negated, left, regex)| Expression::Match { negated, left, regex }),
                (any::<bool>(), scalar, operands()).prop_map(|(negated, item, list)| Expression::In {
                    negated,
                    item,
                    list
                }),
            ];
        leaf.prop_recursive(3, 20, 3, |inner| {
            let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| super::super::read::flat(a, b, true)),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| super::super::read::flat(a, b, false)),
                two.clone().prop_map(|(a, b)| Expression::Nand(a, b)),
                two.prop_map(|(a, b)| Expression::Xor(a, b)),
                inner.prop_map(|inner| Expression::Not(Box::new(inner))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(expression in expressions()) {
            let printed = expression.to_string();
            let read = logstash::read(&printed, 0, logstash::Quoting::Own);
            prop_assert!(read.is_ok(), "{}: {:?}", printed, read);
            let read = read.unwrap();
            prop_assert_eq!(read.end, printed.len());
            prop_assert_eq!(read.expression, expression, "{}", printed);
        }

        #[test]
        fn any_text_is_read_or_has_a_place(text in "[a-z\\[\\]()!=~<>\"'/\\\\ #,.0-9\n]{0,24}") {
            match logstash::read(&text, 0, logstash::Quoting::Plain) {
                Ok(read) => prop_assert!(text.is_char_boundary(read.end)),
                Err(error) => prop_assert!(error.at <= text.len()),
            }
        }
    }
}
