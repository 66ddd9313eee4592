//! `${NAME}` and `${NAME:default}` in a config of Logstash.
//!
//! Source: `ConfigVariableExpander.java`. A name has letters, digits, `_` and `.`; what does not
//! look like a variable stays as it is. The keystore, which Logstash asks first, is a Java
//! keystore under a password and is not read: what is in no other place is an error.

use crate::expand::World;

/// What came of a text.
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// What came from outside, to be kept out of messages.
    pub(crate) foreign: Vec<String>,
}

/// Fills in the variables; `None` where there are none.
pub(crate) fn expand(
    text: &str,
    world: &dyn World,
    keystore: Option<&str>,
) -> Result<Option<Expanded>, String> {
    let mut out = Expanded { text: String::new(), foreign: Vec::new() };
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("${") {
        let inner = &rest[at + 2..];
        let reference = inner.find('}').map(|end| (&inner[..end], end));
        let Some((reference, end)) = reference.filter(|(reference, _)| is_reference(reference)) else {
            out.text.push_str(&rest[..at + 2]);
            rest = inner;
            continue;
        };
        found = true;
        out.text.push_str(&rest[..at]);
        let (name, default) = match reference.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        match (world.variable(name), default) {
            (Some(value), _) => {
                out.text.push_str(&value);
                if !value.is_empty() {
                    out.foreign.push(value);
                }
            }
            (None, Some(default)) => out.text.push_str(default),
            (None, None) => return Err(missing(name, keystore)),
        }
        rest = &inner[end + 1..];
    }
    out.text.push_str(rest);
    Ok(found.then_some(out))
}

fn missing(name: &str, keystore: Option<&str>) -> String {
    match keystore {
        Some(path) => format!(
            "the environment has no {name}; the keystore {path} may have it, but logpond cannot read it: set {name} in the environment, or give a default: ${{{name}:default}}"
        ),
        None => format!("the environment has no {name}; set it, or give a default: ${{{name}:default}}"),
    }
}

fn is_reference(reference: &str) -> bool {
    let name = reference.split(':').next().unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Toy;

    impl World for Toy {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "A").then(|| "${A}".to_owned())
        }
        fn file(&self, _: &str) -> Result<String, String> {
            Err("no".to_owned())
        }
        fn files(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn variables() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let expanded = expand(text, &Toy, None).unwrap();
            assert_eq!(expanded.map_or_else(|| text.to_owned(), |expanded| expanded.text), expected);
        }
        check("http://${B:localhost:9200}/${A}", "http://localhost:9200/${A}");
        check("${B:}", "");
        check("${1}", "${1}"); // no name of a variable
        check("$$ ${ ${a b} {A}", "$$ ${ ${a b} {A}");
        check("%{[a]}", "%{[a]}");
        assert!(expand("${NO}", &Toy, None).is_err_and(|message| message.contains("${NO:default}")));
        assert!(expand("${NO}", &Toy, Some("/x")).is_err_and(|message| message.contains("keystore /x")));
        assert_eq!(expand("a${A}", &Toy, None).unwrap().unwrap().foreign, ["${A}"]);
    }
}
