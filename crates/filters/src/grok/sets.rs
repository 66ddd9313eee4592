//! The built-in patterns of products: firewalls, proxies, databases …, with the names and the fields
//! that users know from `logstash-patterns-core` 4.3 (Apache-2.0). The regexes are written anew, one
//! line for both modes where they are the same but for the fields.
//!
//! ```text
//! NAME regex              in both modes
//! NAME@legacy regex       with the fields from before the Elastic Common Schema
//! NAME@ecs regex          with those of the schema
//! %{IP:src_ip|source.ip}  the field before the schema, and the one of the schema; either may be empty
//! ```

use std::collections::BTreeMap;
use std::sync::LazyLock;

const TEXT: &str = include_str!("sets.txt");

/// The regexes by the names of the patterns, of each mode.
pub(super) struct Sets {
    pub(super) legacy: BTreeMap<&'static str, String>,
    pub(super) ecs: BTreeMap<&'static str, String>,
}

/// All of them.
pub(super) fn sets() -> &'static Sets {
    static SETS: LazyLock<Sets> = LazyLock::new(|| {
        let mut sets = Sets { legacy: BTreeMap::new(), ecs: BTreeMap::new() };
        let lines = TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for (name, regex) in lines.filter_map(|line| line.split_once(' ')) {
            let (name, mode) = name.split_once('@').unwrap_or((name, ""));
            if mode != "ecs" {
                sets.legacy.insert(name, with_fields(regex, 0));
            }
            if mode != "legacy" {
                sets.ecs.insert(name, with_fields(regex, 1));
            }
        }
        sets
    });
    &SETS
}

/// The regex with the fields of one mode: 0 before the schema, 1 of the schema.
fn with_fields(regex: &str, mode: usize) -> String {
    let mut out = String::new();
    let mut rest = regex;
    while let Some((before, behind)) = rest.split_once("%{") {
        let Some((reference, behind)) = behind.split_once('}') else { break };
        out.push_str(before);
        out.push_str("%{");
        match reference.split_once(':') {
            Some((name, fields)) if fields.contains('|') => {
                out.push_str(name);
                let field = fields.split('|').nth(mode).unwrap_or_default();
                if !field.is_empty() {
                    out.push(':');
                    out.push_str(field);
                }
            }
            _ => out.push_str(reference),
        }
        out.push('}');
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_both_modes() {
        #[track_caller]
        fn check(regex: &str, legacy: &str, ecs: &str) {
            assert_eq!([with_fields(regex, 0), with_fields(regex, 1)], [legacy, ecs]);
        }
        check("a|%{IP}", "a|%{IP}", "a|%{IP}");
        check("%{IP:a.b:int}%", "%{IP:a.b:int}%", "%{IP:a.b:int}%");
        check("<%{IP:a|b.c:int}>%{IP:|x}", "<%{IP:a}>%{IP}", "<%{IP:b.c:int}>%{IP:x}");
        check("%{A:x:float|} %{B}", "%{A:x:float} %{B}", "%{A} %{B}");
    }

    #[test]
    fn names_are_words_and_stand_once_in_a_mode() {
        let mut seen = std::collections::BTreeSet::new();
        for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, regex) = line.split_once(' ').expect(line);
            let (name, mode) = name.split_once('@').unwrap_or((name, ""));
            assert!(["", "legacy", "ecs"].contains(&mode), "{line}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            assert!(!regex.is_empty() && !regex.starts_with(' '), "{line}");
            let modes = if mode.is_empty() { vec!["legacy", "ecs"] } else { vec![mode] };
            assert!(modes.into_iter().all(|mode| seen.insert((name, mode))), "{name} stands twice");
        }
    }
}
