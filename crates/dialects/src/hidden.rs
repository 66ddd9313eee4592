//! What came from a keystore is not to be shown, wherever in the plan it stands.

use crate::Problem;
use filters::Secret;
use pipeline::plan::Plan;
use serde_json::Value;
use std::collections::BTreeMap;

/// A keystore from which values came into the plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsedKeystore {
    /// Its file.
    pub file: String,
    /// The names that were looked up in it, and their values.
    pub names: BTreeMap<String, Secret>,
}

const MASK: &str = "***";
/// A text that is shorter is masked only where it is a word of its own.
const PART_CHARS_MIN: usize = 4;

impl UsedKeystore {
    pub(crate) fn add(&mut self, file: &str, name: &str, value: &str) {
        file.clone_into(&mut self.file);
        self.names.insert(name.to_owned(), Secret::new(value.to_owned()));
    }

    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.names.get(name).map(|value| value.expose().to_owned())
    }

    /// A text with `***` in place of the values.
    pub fn hide_in_text(&self, text: &str) -> String {
        self.forms().iter().fold(text.to_owned(), |text, form| masked(&text, form))
    }

    /// Puts `***` in place of the values in every text, and of numbers that are one.
    pub fn hide_in_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hide_in_text(text),
            Value::Number(number) => {
                let text = number.to_string();
                if self.names.values().any(|value| value.expose() == text) {
                    *value = Value::from(MASK);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in_json(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.hide_in_json(member));
                // Of the names only those of pipelines can come from a keystore.
                if let Some(Value::Object(pipelines)) = members.get_mut("pipelines") {
                    let named = std::mem::take(pipelines).into_iter();
                    *pipelines = named.map(|(name, value)| (self.hide_in_text(&name), value)).collect();
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// A plan to be shown. Where a value stands for something else than text it is still in it.
    pub(crate) fn hide_in_plan(&self, plan: &Plan) -> Plan {
        let mut value = serde_json::to_value(plan).unwrap_or_default();
        self.hide_in_json(&mut value);
        serde_json::from_value(value).unwrap_or_else(|_| plan.clone())
    }

    pub(crate) fn hide_in(&self, problem: &mut Problem) {
        problem.message = self.hide_in_text(&problem.message);
        problem.text = self.hide_in_text(&problem.text);
    }

    /// The values in all the ways that they may be written, the longest first.
    fn forms(&self) -> Vec<String> {
        let mut forms = Vec::new();
        for value in self.names.values().map(Secret::expose).filter(|value| !value.is_empty()) {
            // As text between quotes, in a template, and as YAML of our own.
            let in_template = crate::logstash::literal(value);
            let plain = [value.to_owned(), in_template.replace("${", "$${"), in_template];
            for form in plain {
                forms.push(form.escape_debug().to_string());
                forms.push(serde_json::to_string(&form).unwrap_or_default().trim_matches('"').to_owned());
                forms.push(form);
            }
        }
        forms.sort_by_key(|form| (std::cmp::Reverse(form.len()), form.clone()));
        forms.dedup();
        forms
    }
}

fn masked(text: &str, hidden: &str) -> String {
    if hidden.chars().count() >= PART_CHARS_MIN {
        return without_cut(&text.replace(hidden, MASK), hidden);
    }
    let mut out = String::new();
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(hidden) {
        let (start, end) = (&rest[..at], &rest[at + hidden.len()..]);
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_part = is_word(start.chars().next_back().or(before)) || is_word(end.chars().next());
        out.push_str(start);
        out.push_str(if is_part { hidden } else { MASK });
        before = hidden.chars().next_back();
        rest = end;
    }
    out.push_str(rest);
    out
}

/// A text in which the value may be cut short, as drawings do.
fn without_cut(text: &str, hidden: &str) -> String {
    let starts = hidden.char_indices().map(|(at, _)| &hidden[..at]).skip(PART_CHARS_MIN);
    starts.fold(text.to_owned(), |text, start| text.replace(&format!("{start}…"), &format!("{MASK}…")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keystore(values: &[&str]) -> UsedKeystore {
        let mut used = UsedKeystore::default();
        values.iter().enumerate().for_each(|(n, value)| used.add("/k", &n.to_string(), value));
        used
    }

    #[test]
    fn values_are_hidden_in_every_form() {
        #[track_caller]
        fn check(values: &[&str], text: &str, expected: &str) {
            assert_eq!(keystore(values).hide_in_text(text), expected);
        }
        check(&["word"], "a sword: \"word\"", "a s***: \"***\"");
        check(&["pass", "password"], "password", "***");
        check(&["5"], "5 of 15, 5.5 and a5", "*** of 15, ***.*** and a5");
        check(&["a\"b%c"], r#""a\"b%c" a"b%%c a\"b%%c"#, r#""***" *** ***"#);
        check(&["${X}y"], "$${X}y ${X}y", "*** ***");
        check(&[""], "all", "all");
        check(&["s3cret-word"], "│ a s3cret-w… │ s3cre…", "│ a ***… │ ***…");
    }

    #[test]
    fn names_of_pipelines_are_hidden() {
        let mut told = json!({"pipelines": {"a-one": {"file": "one"}}});
        keystore(&["one", "file"]).hide_in_json(&mut told);
        assert_eq!(told, json!({"pipelines": {"a-***": {"file": "***"}}}));
    }

    #[test]
    fn json_stays_json() {
        let mut told = json!({"port": 9200, "n": 92001, "hosts": ["http://es-1:9200"], "on": true});
        keystore(&["9200", "es-1"]).hide_in_json(&mut told);
        assert_eq!(told, json!({"port": "***", "n": 92001, "hosts": ["http://***:***"], "on": true}));
    }
}
