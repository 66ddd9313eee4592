//! `${NAME}` and `${NAME:default}` in a config of Logstash.
//!
//! Source: `ConfigVariableExpander.java`, `substitution_variables.rb`. A name has letters, digits,
//! `_` and `.`; what does not look like a variable stays as it is, and nothing is filled in twice.
//! The keystore is asked first, then the environment; what is in neither and has no default is an
//! error.

use super::vault::Vault;
use crate::expand::Expanded as InYaml;

/// What came of a text.
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// What came from outside, to be kept out of messages.
    pub(crate) foreign: Vec<String>,
}

/// Fills in the variables; `None` where there are none.
pub(crate) fn expand(text: &str, vault: &Vault<'_>) -> Result<Option<Expanded>, String> {
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
        match (vault.variable(name)?, default) {
            (Some(value), _) => {
                out.text.push_str(&value);
                if !value.is_empty() {
                    out.foreign.push(value);
                }
            }
            (None, Some(default)) => out.text.push_str(default),
            (None, None) => return Err(missing(name, vault.keystore())),
        }
        rest = &inner[end + 1..];
    }
    out.text.push_str(rest);
    Ok(found.then_some(out))
}

/// The same for a value of YAML.
pub(crate) fn in_yaml(text: &str, vault: &Vault<'_>) -> Result<Option<InYaml>, String> {
    let expanded = expand(text, vault)?;
    Ok(expanded.map(|made| InYaml { is_foreign: !made.foreign.is_empty(), text: made.text }))
}

fn missing(name: &str, keystore: Option<&str>) -> String {
    match keystore {
        Some(path) => format!(
            "neither the keystore {path} nor the environment has {name}; add it with \"logpond keystore add\", set it, or give a default: ${{{name}:default}}"
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

    use crate::expand::World;

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
            let expanded = expand(text, &Vault::new(&Toy)).unwrap();
            assert_eq!(expanded.map_or_else(|| text.to_owned(), |expanded| expanded.text), expected);
        }
        check("http://${B:localhost:9200}/${A}", "http://localhost:9200/${A}");
        check("${B:}", "");
        check("${1}", "${1}"); // no name of a variable
        check("$$ ${ ${a b} {A}", "$$ ${ ${a b} {A}");
        check("%{[a]}", "%{[a]}");
        let vault = Vault::new(&Toy);
        assert!(expand("${NO}", &vault).is_err_and(|message| message.contains("${NO:default}")));
        assert_eq!(expand("a${A}", &vault).unwrap().unwrap().foreign, ["${A}"]);
    }
}
