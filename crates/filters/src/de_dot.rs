//! Filter `de_dot`: gives fields other names where a name holds dots.

use crate::values::{Fields, Outermost, set_tree, tree_of};
use crate::{BuildError, Outcome, path};
use event::{DEPTH_MAX, Event, Path, SetError, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Options of the filter `de_dot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The fields whose names are looked at; none: every outermost field. A dot within `[ ]` or
    /// quotes is part of a name, and `a.b` means the one name of these three characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What stands for a dot.
    pub separator: String,
    /// Whether each dot makes a level of objects instead.
    pub nested: bool,
    /// Whether the names within the fields are looked at too.
    pub recursive: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { fields: Vec::new(), separator: "_".into(), nested: false, recursive: false }
    }
}

/// The filter.
pub struct DeDot {
    fields: Fields,
    renaming: Renaming,
}

/// What becomes of names.
struct Renaming {
    /// What stands for a dot; none: it makes a level of objects.
    separator: Option<String>,
    recursive: bool,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<DeDot, BuildError> {
        if self.separator.contains('.') && !self.nested {
            let message = "must hold no dot".to_owned();
            return Err(BuildError { option: "separator", message });
        }
        let field = |text: &String| {
            let path = path("fields", text)?;
            let is_dotted = path.names().any(|name| name.contains('.'));
            let is_bare = !is_dotted && !text.contains('[') && text.contains('.');
            Ok(if is_bare { Path::of([path.dotted()]) } else { path })
        };
        let fields: Vec<Path> = self.fields.iter().map(field).collect::<Result<_, BuildError>>()?;
        Ok(DeDot {
            fields: if fields.is_empty() { Fields::All(Outermost::default()) } else { Fields::These(fields) },
            renaming: Renaming {
                separator: (!self.nested).then(|| self.separator.clone()),
                recursive: self.recursive,
            },
        })
    }
}

impl DeDot {
    /// Applies it. A field that does not fit where it should go stays, and the filter failed.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let renaming = &self.renaming;
        Outcome::of(self.fields.each(event, |event, field| renaming.field(event, field).is_ok()))
    }
}

impl Renaming {
    fn field(&self, event: &mut Event<'_>, old: &Path) -> Result<(), SetError> {
        let mut place = None;
        if old.names().any(|name| name.contains('.')) {
            let new = Path::of(old.names().flat_map(|name| self.names_of(name, 0)));
            if !event.rename(old, &new)? {
                return Ok(());
            }
            // What is left of the way to it goes too, as far as it is empty.
            let names: Vec<&str> = old.names().collect();
            for end in (1..names.len()).rev() {
                let way = Path::of(&names[..end]);
                let is_empty = matches!(event.get(&way), Some(Value::Json(json)) if json == "{}");
                if !is_empty || !names[..end].iter().any(|name| name.contains('.')) {
                    break;
                }
                event.remove(&way);
            }
            place = Some(new);
        }
        let place = place.as_ref().unwrap_or(old);
        if !self.recursive {
            return Ok(());
        }
        match event.get(place) {
            Some(value @ Value::Json(_)) => match tree_of(&value) {
                Json::Object(members) if has_dots(&members) => {
                    set_tree(event, place, &Json::Object(self.members(members, 1)))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What a name at this depth becomes. It stays where the levels would be too many or without names.
    fn names_of(&self, name: &str, depth: usize) -> Vec<String> {
        match &self.separator {
            Some(separator) => vec![name.replace('.', separator)],
            None if name.split('.').any(str::is_empty) => vec![name.to_owned()],
            None if depth + name.split('.').count() >= DEPTH_MAX => vec![name.to_owned()],
            None => name.split('.').map(str::to_owned).collect(),
        }
    }

    /// The members of an object, which lies at this depth, under their new names; what lies within too.
    fn members(&self, members: Map<String, Json>, depth: usize) -> Map<String, Json> {
        let mut renamed = Map::new();
        for (name, value) in members {
            let value = match value {
                Json::Object(inner) => Json::Object(self.members(inner, depth + 1)),
                other => other,
            };
            if let Err(value) = insert(&mut renamed, &self.names_of(&name, depth), value) {
                renamed.insert(name, value);
            }
        }
        renamed
    }
}

fn has_dots(members: &Map<String, Json>) -> bool {
    members.iter().any(|(name, value)| name.contains('.') || value.as_object().is_some_and(has_dots))
}

/// Puts a value where the names say; gives it back where something else stands in the way.
fn insert(members: &mut Map<String, Json>, names: &[String], value: Json) -> Result<(), Json> {
    let [name, rest @ ..] = names else { return Err(value) };
    if rest.is_empty() {
        match (members.get_mut(name), value) {
            // Two ways to one object: what is in both is there.
            (Some(Json::Object(there)), Json::Object(more)) => there.extend(more),
            (_, value) => {
                members.insert(name.clone(), value);
            }
        }
        return Ok(());
    }
    match members.entry(name.clone()).or_insert_with(|| Json::Object(Map::new())) {
        Json::Object(inner) => insert(inner, rest, value),
        _ => Err(value),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, check, mistake};
    use proptest::prelude::*;

    #[test]
    fn outermost_names() {
        let config = r#"{"de_dot":{}}"#;
        check(config, r#"{"foo.bar":"pass"}"#, r#"{"foo_bar":"pass"}"#, true);
        check(
            config,
            r#"{"acme.roller.skates":"c","nodot":"n"}"#,
            r#"{"nodot":"n","acme_roller_skates":"c"}"#,
            true,
        );
        check(
            config,
            r#"{"acme_roller.skates":{"x.y":1},"no_dot":1}"#,
            r#"{"no_dot":1,"acme_roller_skates":{"x.y":1}}"#,
            true,
        );
        check(r#"{"de_dot":{"separator":"___"}}"#, r#"{"foo.bar":1}"#, r#"{"foo___bar":1}"#, true);
        let nested = r#"{"de_dot":{"nested":true}}"#;
        check(
            nested,
            r#"{"acme.roller.skates":"c","nodot":1}"#,
            r#"{"nodot":1,"acme":{"roller":{"skates":"c"}}}"#,
            true,
        );
        check(nested, r#"{"a.b":1,"a":{"c":2}}"#, r#"{"a":{"c":2,"b":1}}"#, true);
        check(nested, r#"{"a..b":1,".":2}"#, r#"{"a..b":1,".":2}"#, true);
        // Nothing is lost where there is no room.
        check(nested, r#"{"a.b":1,"a":"text"}"#, r#"{"a":"text","a.b":1}"#, false);
        mistake(r#"{"de_dot":{"separator":"."}}"#, "option \"separator\": must hold no dot");
    }

    #[test]
    fn fields_by_name() {
        let config = r#"{"de_dot":{"fields":["[acme][roller.skates]"]}}"#;
        check(
            config,
            r#"{"acme":{"roller.skates":"c"},"foo.bar":"n"}"#,
            r#"{"acme":{"roller_skates":"c"},"foo.bar":"n"}"#,
            true,
        );
        let config =
            r#"{"de_dot":{"nested":true,"fields":["[acme][roller.skates]","foo.bar","[a.b][c.d][e.f]"]}}"#;
        check(
            config,
            r#"{"acme":{"roller.skates":"c"},"foo.bar":"n","a.b":{"c.d":{"e.f":"finally"}}}"#,
            r#"{"acme":{"roller":{"skates":"c"}},"foo":{"bar":"n"},"a":{"b":{"c":{"d":{"e":{"f":"finally"}}}}}}"#,
            true,
        );
        // Fields that are missing make none, and what is beside a field stays.
        check(
            config,
            r#"{"a.b":{"c.d":{"e.f":1,"g":2}}}"#,
            r#"{"a.b":{"c.d":{"g":2}},"a":{"b":{"c":{"d":{"e":{"f":1}}}}}}"#,
            true,
        );
        // `foo.bar` is one name.
        check(config, r#"{"foo":{"bar":1}}"#, r#"{"foo":{"bar":1}}"#, true);
    }

    #[test]
    fn within_fields() {
        let config = r#"{"de_dot":{"recursive":true}}"#;
        check(
            config,
            r#"{"acme":{"roller.skates":"c","nodot":"n"}}"#,
            r#"{"acme":{"roller_skates":"c","nodot":"n"}}"#,
            true,
        );
        let config = r#"{"de_dot":{"recursive":true,"nested":true}}"#;
        check(
            config,
            r#"{"acme":{"super.duper":{"roller.skates":"c","nodot":"n"}}}"#,
            r#"{"acme":{"super":{"duper":{"roller":{"skates":"c"},"nodot":"n"}}}}"#,
            true,
        );
        check(
            config,
            r#"{"o":{"a":{"c":1},"a.b":2,"x":1,"x.y":3}}"#,
            r#"{"o":{"a":{"c":1,"b":2},"x":1,"x.y":3}}"#,
            true,
        );
        let config = r#"{"de_dot":{"recursive":true,"nested":true,"fields":["acme"]}}"#;
        check(
            config,
            r#"{"acme":{"a.b":"c"},"foo.bar":"n"}"#,
            r#"{"acme":{"a":{"b":"c"}},"foo.bar":"n"}"#,
            true,
        );
    }

    proptest! {
        #[test]
        fn no_value_is_lost(names in prop::collection::btree_set("[ab]{1,2}(\\.[ab]{1,2}){0,2}", 1..6), nested: bool) {
            let before: serde_json::Map<String, serde_json::Value> =
                names.iter().enumerate().map(|(n, name)| (name.clone(), n.into())).collect();
            let config = serde_json::json!({"de_dot": {"nested": nested}}).to_string();
            let (after, outcome) = apply(&config, &serde_json::Value::from(before).to_string());
            let text = after.to_string();
            let mut found: Vec<usize> =
                text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
            found.sort_unstable();
            let clashes = !nested && names.iter().map(|name| name.replace('.', "_")).collect::<std::collections::BTreeSet<_>>().len() < names.len();
            prop_assert!(clashes || found == (0..names.len()).collect::<Vec<_>>(), "{text} {outcome:?}");
        }
    }
}
