//! Names of secrets, and the aliases that they have in the file.

use crate::KeystoreError;

const PREFIX: &str = "urn:logstash:secret:v1:";

/// What Logstash does not allow in a name (`KeyValidator.java`).
const FORBIDDEN: [&str; 12] = ["?", "..", "/", "\\", "'", "\"", "$", "*", "|", "<", ">", " "];

/// The name under which a secret is kept: the same in small letters, if it is a name.
pub fn name_of(name: &str) -> Result<String, KeystoreError> {
    let wrong = |why| Err(KeystoreError::Name { name: name.to_owned(), why });
    if name.is_empty() {
        return wrong("it is empty");
    }
    if !name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control()) {
        return wrong("it has other characters than those of ASCII");
    }
    if FORBIDDEN.iter().any(|part| name.contains(part)) {
        return wrong("a name has no space, no \"..\", and none of ? / \\ ' \" $ * | < >");
    }
    Ok(name.to_ascii_lowercase())
}

/// Whether `${NAME}` can stand in a config: letters, digits, `_` and `.`, no digit first.
pub fn is_referable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

/// The alias of a name in the file.
pub(crate) fn alias_of(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_lowercase())
}

/// The name of an alias; none when it is not one of Logstash.
pub(crate) fn of_alias(alias: &str) -> Option<&str> {
    alias.strip_prefix(PREFIX).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_logstash() {
        for (name, expected) in
            [("ES_PWD", Some("es_pwd")), ("my-secret", Some("my-secret")), ("a:b", Some("a:b"))]
        {
            assert_eq!(name_of(name).ok().as_deref(), expected);
        }
        for name in ["", "a b", "a..b", "$a", "a/b", "ä", "a\n", "\"a\""] {
            assert!(name_of(name).is_err(), "{name}");
        }
        for (name, expected) in
            [("ES_PWD", true), (".a", true), ("my-secret", false), ("1a", false), ("", false)]
        {
            assert_eq!(is_referable(name), expected, "{name}");
        }
    }
}
