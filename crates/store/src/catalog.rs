//! What is said of indices beside their documents: aliases, templates and data streams.
//!
//! All of it is one small file, `catalog.json`, replaced as a whole at each change. A data stream
//! is one index of its name: what is old goes by the rule of retention, so nothing rolls over.

use crate::mapping::Mapping;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Aliases, templates and data streams, by their names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// The indices of each alias.
    pub aliases: BTreeMap<String, BTreeMap<String, Alias>>,
    /// Templates of the old kind: all that match an index count, in their order.
    pub legacy: BTreeMap<String, IndexTemplate>,
    /// Composable templates: the one with the highest priority counts.
    pub templates: BTreeMap<String, IndexTemplate>,
    /// What composable templates are made of.
    pub components: BTreeMap<String, IndexTemplate>,
    /// Data streams, and the template that each is of.
    pub streams: BTreeMap<String, String>,
}

/// What an alias says of one of its indices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Whether what is written to the alias goes to this index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_write_index: Option<bool>,
}

/// A template of indices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexTemplate {
    /// As it was given.
    pub body: Json,
    /// Which indices it is for: names with `*`.
    pub patterns: Vec<String>,
    /// Its priority, or its order where it is of the old kind.
    pub priority: i64,
    /// The templates that it is made of, in their order.
    pub composed_of: Vec<String>,
    /// The types of fields.
    pub mapping: Mapping,
    /// Aliases that indices get.
    pub aliases: Vec<String>,
    /// Whether what it makes are data streams.
    pub is_stream: bool,
}

impl Catalog {
    /// The composable template of an index, with its name.
    pub fn template_of(&self, index: &str) -> Option<(&str, &IndexTemplate)> {
        let own = self.templates.iter().filter(|(_, template)| template.is_for(index));
        own.max_by_key(|(_, template)| template.priority).map(|(name, template)| (name.as_str(), template))
    }

    /// The templates that make a new index, what counts more behind what counts less.
    fn layers(&self, index: &str) -> Vec<&IndexTemplate> {
        if let Some((_, template)) = self.template_of(index) {
            let parts = template.composed_of.iter().filter_map(|name| self.components.get(name));
            return parts.chain([template]).collect();
        }
        let mut layers: Vec<_> = self.legacy.values().filter(|template| template.is_for(index)).collect();
        layers.sort_by_key(|template| template.priority);
        layers
    }

    /// The types of fields that a new index gets.
    pub fn mapping_of(&self, index: &str) -> Mapping {
        let mut mapping = Mapping::default();
        for template in self.layers(index) {
            mapping.0.extend(template.mapping.0.iter().map(|(name, kind)| (name.clone(), *kind)));
        }
        mapping
    }

    /// The aliases that a new index gets.
    pub fn aliases_of(&self, index: &str) -> Vec<String> {
        self.layers(index).into_iter().flat_map(|template| template.aliases.iter().cloned()).collect()
    }

    /// The index that takes what is written to an alias; `None`: the alias has several indices,
    /// and none of them is the one to write to.
    pub fn write_index(&self, alias: &str) -> Option<&str> {
        let indices = self.aliases.get(alias)?;
        let chosen = indices.iter().find(|(_, rule)| rule.is_write_index == Some(true));
        let only =
            || indices.iter().next().filter(|(_, rule)| indices.len() == 1 && rule.is_write_index.is_none());
        chosen.or_else(only).map(|(name, _)| name.as_str())
    }

    /// Forgets an index; says whether anything was known of it.
    pub fn forget(&mut self, index: &str) -> bool {
        let mut found = self.streams.remove(index).is_some();
        for indices in self.aliases.values_mut() {
            found |= indices.remove(index).is_some();
        }
        self.aliases.retain(|_, indices| !indices.is_empty());
        found
    }
}

impl IndexTemplate {
    fn is_for(&self, index: &str) -> bool {
        self.patterns.iter().any(|pattern| crate::store::glob(pattern, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldType;

    fn template(pattern: &str, priority: i64, field: &str, kind: FieldType) -> IndexTemplate {
        IndexTemplate {
            patterns: vec![pattern.to_owned()],
            priority,
            mapping: Mapping([(field.to_owned(), kind)].into()),
            ..IndexTemplate::default()
        }
    }

    #[test]
    fn the_templates_that_count() {
        let mut catalog = Catalog::default();
        catalog.legacy.insert("a".into(), template("logs-*", 5, "n", FieldType::Long));
        catalog.legacy.insert("b".into(), template("logs-x*", 1, "n", FieldType::Date));
        let kind = |catalog: &Catalog, index: &str| catalog.mapping_of(index).0.get("n").copied();
        assert_eq!(kind(&catalog, "logs-x1"), Some(FieldType::Long)); // the higher order wins
        assert_eq!(kind(&catalog, "other"), None);
        catalog.components.insert("c".into(), template("", 0, "n", FieldType::Boolean));
        let mut low = template("logs-*", 1, "m", FieldType::Text);
        low.composed_of = vec!["c".into()];
        catalog.templates.insert("low".into(), low);
        assert_eq!(kind(&catalog, "logs-x1"), Some(FieldType::Boolean)); // none of the old kind counts
        catalog.templates.insert("high".into(), template("logs-x*", 2, "n", FieldType::Double));
        assert_eq!(kind(&catalog, "logs-x1"), Some(FieldType::Double));
        assert_eq!(catalog.template_of("logs-x1").map(|(name, _)| name), Some("high"));
    }

    #[test]
    fn where_writes_go() {
        #[track_caller]
        fn check(rules: &[(&str, Option<bool>)], expected: Option<&str>) {
            let indices = rules
                .iter()
                .map(|(name, flag)| ((*name).to_owned(), Alias { is_write_index: *flag }))
                .collect();
            let catalog = Catalog { aliases: [("a".to_owned(), indices)].into(), ..Catalog::default() };
            assert_eq!(catalog.write_index("a"), expected);
        }
        check(&[("x", None)], Some("x"));
        check(&[("x", None), ("y", None)], None);
        check(&[("x", None), ("y", Some(true))], Some("y"));
        check(&[("x", Some(false))], None);
    }
}
