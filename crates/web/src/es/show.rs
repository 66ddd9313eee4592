//! Questions as short text, for tests.

use std::ops::Bound;
use store::{Query, Value};

/// The question as one line.
pub(crate) fn show(query: &Query) -> String {
    let all = |list: &[Query], sign: &str| {
        list.iter().map(|query| format!("{sign}{}", show(query))).collect::<Vec<_>>()
    };
    match query {
        Query::All => "all".into(),
        Query::None => "none".into(),
        Query::Match { field, text, all } => format!("{field}={text}{}", if *all { "&" } else { "" }),
        Query::Phrase { field, text, slop } => format!("{field}={text:?}~{slop}"),
        Query::PhrasePrefix { field, text } => format!("{field}={text:?}*"),
        Query::Fuzzy { field, text, distance, transpositions } => {
            format!("{field}={text}~{distance}{}", if *transpositions { "" } else { "!" })
        }
        Query::Wildcard { field, pattern } => format!("{field}~{pattern}"),
        Query::Regexp { field, pattern } => format!("{field}:/{pattern}/"),
        Query::Exists { field } => format!("{field}?"),
        Query::Template(template) => format!("template {template}"),
        Query::Ids(ids) => format!("ids{ids:?}"),
        Query::Terms { field, values } => {
            let values: Vec<String> = values.iter().map(show_value).collect();
            format!("{field}=={}", values.join(","))
        }
        Query::Range { field, lower, upper } => {
            let side = |bound: &Bound<Value>, open: [&str; 2]| match bound {
                Bound::Unbounded => (open[0].to_owned(), "*".to_owned()),
                Bound::Included(value) => (open[0].to_owned(), show_value(value)),
                Bound::Excluded(value) => (open[1].to_owned(), show_value(value)),
            };
            let ((open, from), (close, to)) = (side(lower, ["[", "{"]), side(upper, ["]", "}"]));
            format!("{field}{open}{from},{to}{close}")
        }
        Query::Bool { must, filter, should, must_not, minimum_should_match } => {
            let parts = [all(must, "+"), all(filter, "#"), all(should, ""), all(must_not, "-")].concat();
            let minimum = minimum_should_match.map_or_else(String::new, |count| format!("/{count}"));
            format!("({}){minimum}", parts.join(" "))
        }
    }
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("{text:?}"),
        Value::Time(ns) => format!("t{ns}"),
        other => other.text(),
    }
}
