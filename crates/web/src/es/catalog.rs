//! Aliases, templates of indices, and data streams.

use super::api::{Answer, Api, Arguments, Body, answer, resolve};
use super::context::glob;
use super::indices::{ARGUMENTS, properties, read_mapping};
use super::{EsError, IndexPath, part};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::{Alias, Catalog, IndexTemplate, Store};

/// What names and patterns, comma-separated, mean; nothing means all.
fn chosen<'c, T>(patterns: &str, all: &'c BTreeMap<String, T>) -> Vec<(&'c String, &'c T)> {
    let means = |name: &str| {
        let mut patterns = patterns.split(',').filter(|pattern| !pattern.is_empty());
        patterns.any(|pattern| pattern == "_all" || glob(pattern, name))
    };
    all.iter().filter(|(name, _)| patterns.is_empty() || means(name)).collect()
}

fn acknowledged(arguments: &Arguments) -> Answer {
    Ok(answer(json!({ "acknowledged": true }), arguments))
}

/// A list that holds nothing though a name was asked for is not found.
fn found(is_empty: bool, patterns: &str) -> StatusCode {
    let has_name = !patterns.is_empty() && !patterns.contains('*');
    if is_empty && has_name { StatusCode::NOT_FOUND } else { StatusCode::OK }
}

// Aliases.

/// The aliases of an index, as they are shown.
pub(crate) fn aliases_of(catalog: &Catalog, index: &str, patterns: &str) -> Map<String, Value> {
    let own = chosen(patterns, &catalog.aliases);
    let own = own.into_iter().filter_map(|(alias, indices)| Some((alias.clone(), show(indices.get(index)?))));
    own.collect()
}

fn show(rule: &Alias) -> Value {
    rule.is_write_index.map_or_else(|| json!({}), |flag| json!({ "is_write_index": flag }))
}

pub(crate) async fn aliases(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let (index, wanted) = (part(&path, "index"), part(&path, "name"));
    let (asked, patterns) = (arguments.clone(), wanted.clone());
    let shown = api.with_store(move |store| {
        let catalog = store.catalog();
        let infos = store.list(&resolve(store, &index, &asked)?);
        let own = infos.into_iter().map(|info| (aliases_of(&catalog, &info.name, &patterns), info.name));
        let own = own.filter(|(aliases, _)| !aliases.is_empty() || patterns.is_empty());
        Ok(own.map(|(aliases, name)| (name, json!({ "aliases": aliases }))).collect::<Map<_, _>>())
    });
    let mut shown = shown.await?;
    let status = found(shown.is_empty(), &wanted);
    if status == StatusCode::NOT_FOUND {
        shown.insert("error".to_owned(), format!("alias [{wanted}] missing").into());
        shown.insert("status".to_owned(), 404.into());
    }
    Ok((status, answer(Value::Object(shown), &arguments)).into_response())
}

/// The options of an alias; those that choose documents are refused.
fn read_alias(json: &Value) -> Result<Alias, EsError> {
    for name in ["filter", "routing", "index_routing", "search_routing"] {
        if json.get(name).is_some_and(|value| !value.is_null()) {
            return Err(EsError::argument(format!("[{name}] of an alias is not supported")).about(name));
        }
    }
    Ok(Alias { is_write_index: json["is_write_index"].as_bool() })
}

fn check_alias(store: &Store, alias: &str) -> Result<(), EsError> {
    if alias.is_empty()
        || alias.starts_with(['_', '-', '+'])
        || alias.contains([' ', ',', '*', '/', '"', '#'])
    {
        let reason = format!("Invalid alias name [{alias}]");
        return Err(EsError::new(400, "invalid_alias_name_exception", reason));
    }
    if !store.list(alias).is_empty() {
        let reason = format!("Invalid alias name [{alias}], an index exists with the same name as the alias");
        return Err(EsError::new(400, "invalid_alias_name_exception", reason));
    }
    Ok(())
}

/// One or several of a word that Elasticsearch takes in both forms.
fn words(action: &Value, one: &str, several: &str) -> Vec<String> {
    let list = match (&action[one], &action[several]) {
        (Value::Null, Value::Array(list)) => list.clone(),
        (Value::Null, one) | (one, _) => vec![one.clone()],
    };
    list.iter().filter(|value| !value.is_null()).map(super::dsl::plain).collect()
}

/// Adds the aliases that stand in the request that makes an index.
pub(crate) fn add_aliases(store: &Store, index: &str, aliases: &Value) -> Result<(), EsError> {
    for (alias, rule) in aliases.as_object().into_iter().flatten() {
        let mut action = rule.clone();
        action["index"] = index.into();
        action["alias"] = alias.as_str().into();
        change_aliases(store, &json!([{ "add": action }]))?;
    }
    Ok(())
}

/// What is to be done to aliases, read before anything is changed.
enum Change {
    Add { alias: String, index: String, rule: Alias },
    Remove { alias: String, index: String },
    RemoveIndex(String),
}

fn read_changes(store: &Store, actions: &Value) -> Result<Vec<Change>, EsError> {
    let actions = actions.as_array().filter(|actions| !actions.is_empty()).ok_or_else(|| {
        EsError::new(
            400,
            "action_request_validation_exception",
            "Validation Failed: 1: Must specify at least one alias action;",
        )
    })?;
    let mut changes = Vec::new();
    for action in actions {
        let entry = action.as_object().and_then(|action| action.iter().next());
        let Some((verb, action)) = entry else {
            return Err(EsError::parsing("an action on aliases must be an object"));
        };
        let expression = words(action, "index", "indices").join(",");
        let indices = store.list(&resolve(store, &expression, &Arguments::default())?);
        let aliases = words(action, "alias", "aliases");
        for info in indices {
            let index = info.name;
            match verb.as_str() {
                "add" => {
                    let rule = read_alias(action)?;
                    for alias in &aliases {
                        check_alias(store, alias)?;
                        changes.push(Change::Add { alias: alias.clone(), index: index.clone(), rule });
                    }
                }
                "remove" => {
                    for (alias, _) in chosen(&aliases.join(","), &store.catalog().aliases) {
                        changes.push(Change::Remove { alias: alias.clone(), index: index.clone() });
                    }
                }
                "remove_index" => changes.push(Change::RemoveIndex(index)),
                other => {
                    return Err(EsError::unknown("the action", other, &["add", "remove", "remove_index"]));
                }
            }
        }
    }
    Ok(changes)
}

fn change_aliases(store: &Store, actions: &Value) -> Result<(), EsError> {
    let changes = read_changes(store, actions)?;
    let mut gone = Vec::new();
    store.change_catalog(|catalog| {
        for change in changes {
            match change {
                Change::Add { alias, index, rule } => {
                    let indices = catalog.aliases.entry(alias.clone()).or_default();
                    indices.insert(index, rule);
                    if indices.values().filter(|rule| rule.is_write_index == Some(true)).count() > 1 {
                        let names: Vec<&str> = indices.keys().map(String::as_str).collect();
                        let names = names.join(",");
                        return Err(EsError::new(
                            500,
                            "illegal_state_exception",
                            format!("alias [{alias}] has more than one write index [{names}]"),
                        ));
                    }
                }
                Change::Remove { alias, index } => {
                    if let Some(indices) = catalog.aliases.get_mut(&alias) {
                        indices.remove(&index);
                    }
                    catalog.aliases.retain(|_, indices| !indices.is_empty());
                }
                Change::RemoveIndex(index) => gone.push(index),
            }
        }
        Ok(())
    })?;
    for index in gone {
        store.delete_index(&index)?;
    }
    Ok(())
}

pub(crate) async fn update_aliases(State(api): State<Api>, arguments: Arguments, body: Body) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let json = body.json()?;
    api.with_store(move |store| change_aliases(store, &json["actions"])).await?;
    acknowledged(&arguments)
}

pub(crate) async fn put_alias(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let mut action = body.json()?;
    action["index"] = part(&path, "index").into();
    action["alias"] = part(&path, "name").into();
    api.with_store(move |store| change_aliases(store, &json!([{ "add": action }]))).await?;
    acknowledged(&arguments)
}

pub(crate) async fn delete_alias(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let (index, alias) = (part(&path, "index"), part(&path, "name"));
    api.with_store(move |store| {
        let infos = store.list(&resolve(store, &index, &Arguments::default())?);
        let catalog = store.catalog();
        let own = |name: &str| !aliases_of(&catalog, name, &alias).is_empty();
        if !infos.iter().any(|info| own(&info.name)) {
            let reason = format!("aliases [{alias}] missing");
            return Err(EsError::new(404, "aliases_not_found_exception", reason));
        }
        change_aliases(store, &json!([{ "remove": { "index": index, "alias": alias } }]))
    })
    .await?;
    acknowledged(&arguments)
}

// Templates.

/// The three kinds of templates, which differ in where their parts stand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Legacy,
    Composable,
    Component,
}

impl Kind {
    fn of(self, catalog: &Catalog) -> &BTreeMap<String, IndexTemplate> {
        match self {
            Kind::Legacy => &catalog.legacy,
            Kind::Composable => &catalog.templates,
            Kind::Component => &catalog.components,
        }
    }

    fn of_mut(self, catalog: &mut Catalog) -> &mut BTreeMap<String, IndexTemplate> {
        match self {
            Kind::Legacy => &mut catalog.legacy,
            Kind::Composable => &mut catalog.templates,
            Kind::Component => &mut catalog.components,
        }
    }

    fn parts(self) -> &'static [&'static str] {
        match self {
            Kind::Legacy => {
                &["index_patterns", "template", "order", "version", "settings", "mappings", "aliases"]
            }
            Kind::Composable => &[
                "index_patterns",
                "template",
                "priority",
                "version",
                "composed_of",
                "data_stream",
                "_meta",
                "allow_auto_create",
                "ignore_missing_component_templates",
            ],
            Kind::Component => &["template", "version", "_meta", "allow_auto_create"],
        }
    }

    /// What a missing one is called.
    fn missing(self, name: &str) -> EsError {
        let (what, kind) = match self {
            Kind::Legacy => ("index_template", "index_template_missing_exception"),
            Kind::Composable => ("index template matching", "resource_not_found_exception"),
            Kind::Component => ("component template matching", "resource_not_found_exception"),
        };
        EsError::new(404, kind, format!("{what} [{name}] missing"))
    }
}

fn read_template(kind: Kind, body: Value) -> Result<IndexTemplate, EsError> {
    let object = body.as_object().ok_or_else(|| EsError::parsing("a template must be an object"))?;
    if let Some(name) = object.keys().find(|name| !kind.parts().contains(&name.as_str())) {
        return Err(EsError::unknown("the part of a template", name, kind.parts()));
    }
    let list = |json: &Value| -> Vec<String> {
        match json {
            Value::Array(list) => list.iter().map(super::dsl::plain).collect(),
            Value::Null => Vec::new(),
            one => vec![super::dsl::plain(one)],
        }
    };
    let patterns = match (kind, &body["index_patterns"]) {
        (Kind::Component, _) => Vec::new(),
        // As it was called before Elasticsearch 6.
        (Kind::Legacy, Value::Null) => list(&body["template"]),
        (_, patterns) => list(patterns),
    };
    if kind != Kind::Component && patterns.is_empty() {
        let reason = "Validation Failed: 1: index patterns are missing;";
        return Err(EsError::new(400, "action_request_validation_exception", reason));
    }
    let content = if kind == Kind::Legacy { &body } else { &body["template"] };
    if kind == Kind::Component && !content.is_object() {
        return Err(EsError::parsing("Required one of fields [template], but none were specified."));
    }
    let mut aliases = Vec::new();
    for (alias, rule) in content["aliases"].as_object().into_iter().flatten() {
        read_alias(rule)?;
        aliases.push(alias.clone());
    }
    Ok(IndexTemplate {
        patterns,
        priority: body["order"].as_i64().or(body["priority"].as_i64()).unwrap_or(0),
        composed_of: list(&body["composed_of"]),
        mapping: read_mapping(&content["mappings"])?,
        aliases,
        is_stream: body.get("data_stream").is_some_and(Value::is_object),
        body,
    })
}

async fn put(kind: Kind, api: Api, path: IndexPath, arguments: Arguments, body: Body) -> Answer {
    let mut known = ARGUMENTS.to_vec();
    known.extend(["create", "order", "cause"]);
    arguments.only(&known)?;
    let name = part(&path, "name");
    let template = read_template(kind, body.json()?).map_err(|error| error.locate(&body.0))?;
    let is_new_only = arguments.flag("create");
    api.with_store(move |store| {
        store.change_catalog(|catalog| {
            let missing = template.composed_of.iter().find(|part| !catalog.components.contains_key(*part));
            if let Some(missing) = missing {
                return Err(EsError::new(
                    400,
                    "invalid_index_template_exception",
                    format!("index_template [{name}] invalid, cause [index template [{name}] specifies component templates [{missing}] that do not exist]"),
                ));
            }
            if is_new_only && kind.of(catalog).contains_key(&name) {
                return Err(EsError::argument(format!("template [{name}] already exists")));
            }
            kind.of_mut(catalog).insert(name, template);
            Ok(())
        })
    })
    .await?;
    acknowledged(&arguments)
}

async fn delete(kind: Kind, api: Api, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let pattern = part(&path, "name");
    api.with_store(move |store| {
        store.change_catalog(|catalog| {
            let names: Vec<String> =
                chosen(&pattern, kind.of(catalog)).into_iter().map(|(name, _)| name.clone()).collect();
            if names.is_empty() && pattern != "*" {
                return Err(kind.missing(&pattern));
            }
            for name in names {
                let user = catalog.templates.iter().find(|(_, template)| template.composed_of.contains(&name));
                if let (Kind::Component, Some((user, _))) = (kind, user) {
                    return Err(EsError::argument(format!(
                        "component templates [{name}] cannot be removed as they are still in use by index templates [{user}]"
                    )));
                }
                if kind == Kind::Composable && catalog.streams.values().any(|template| *template == name) {
                    return Err(EsError::argument(format!(
                        "unable to remove composable templates [{name}] as they are in use by a data streams"
                    )));
                }
                kind.of_mut(catalog).remove(&name);
            }
            Ok(())
        })
    })
    .await?;
    acknowledged(&arguments)
}

async fn get(kind: Kind, api: Api, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let pattern = part(&path, "name");
    let asked = pattern.clone();
    let own = api.with_store(move |store| {
        let catalog = store.catalog();
        let own = chosen(&asked, kind.of(&catalog)).into_iter();
        Ok(own.map(|(name, template)| (name.clone(), template.body.clone())).collect::<Vec<_>>())
    });
    let own = own.await?;
    let status = found(own.is_empty(), &pattern);
    let body = match kind {
        _ if status == StatusCode::NOT_FOUND && kind != Kind::Legacy => return Err(kind.missing(&pattern)),
        Kind::Legacy => {
            own.into_iter().map(|(name, body)| (name, legacy(body))).collect::<Map<_, _>>().into()
        }
        _ => {
            let (list, one) = match kind {
                Kind::Component => ("component_templates", "component_template"),
                _ => ("index_templates", "index_template"),
            };
            let own = own.into_iter().map(|(name, mut body)| {
                let settings = &mut body["template"]["settings"];
                if settings.is_object() {
                    *settings = as_settings(settings);
                } else if let Some(template) = body["template"].as_object_mut() {
                    template.shift_remove("settings");
                }
                if body["template"].is_null()
                    && let Some(body) = body.as_object_mut()
                {
                    body.shift_remove("template");
                }
                json!({ "name": name, one: body })
            });
            json!({ list: own.collect::<Vec<_>>() })
        }
    };
    Ok((status, answer(body, &arguments)).into_response())
}

fn legacy(body: Value) -> Value {
    let part = |name: &str, default: Value| body.get(name).cloned().unwrap_or(default);
    let mappings = part("mappings", json!({}));
    let mut shown = json!({
        "order": part("order", json!(0)),
        "index_patterns": part("index_patterns", part("template", json!([]))),
        "settings": as_settings(&part("settings", json!({}))),
        "mappings": mappings.get("_doc").cloned().unwrap_or(mappings),
        "aliases": part("aliases", json!({})),
    });
    if let Some(version) = body.get("version") {
        shown["version"] = version.clone();
    }
    shown
}

/// Settings as they are shown: below `index`, as text.
pub(crate) fn as_settings(settings: &Value) -> Value {
    fn texts(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), texts(value))).collect()
            }
            Value::Array(list) => list.iter().map(texts).collect(),
            Value::Null => Value::Null,
            leaf => super::dsl::plain(leaf).into(),
        }
    }
    let mut shown = json!({});
    for (name, value) in settings.as_object().into_iter().flatten() {
        let path = name.strip_prefix("index.").unwrap_or(name);
        if name == "index" {
            for (name, value) in value.as_object().into_iter().flatten() {
                shown["index"][name] = texts(value);
            }
            continue;
        }
        let mut at = &mut shown["index"];
        for step in path.split('.') {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[step];
        }
        *at = texts(value);
    }
    shown
}

macro_rules! of_kind {
    ($kind:expr, $put:ident, $get:ident, $delete:ident) => {
        pub(crate) async fn $put(
            State(api): State<Api>,
            path: IndexPath,
            arguments: Arguments,
            body: Body,
        ) -> Answer {
            put($kind, api, path, arguments, body).await
        }

        pub(crate) async fn $get(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
            get($kind, api, path, arguments).await
        }

        pub(crate) async fn $delete(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
            delete($kind, api, path, arguments).await
        }
    };
}

of_kind!(Kind::Legacy, put_legacy, get_legacy, delete_legacy);
of_kind!(Kind::Composable, put_template, get_template, delete_template);
of_kind!(Kind::Component, put_component, get_component, delete_component);

/// What the templates would make of an index.
pub(crate) async fn simulate(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let name = part(&path, "name");
    let mapping = api.with_store(move |store| Ok(store.catalog().mapping_of(&name))).await?;
    let template = json!({ "settings": {}, "mappings": properties(&mapping), "aliases": {} });
    Ok(answer(json!({ "template": template, "overlapping": [] }), &arguments))
}

// Data streams.

pub(crate) async fn put_stream(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let name = part(&path, "name");
    api.with_store(move |store| {
        let catalog = store.catalog();
        let template = catalog.template_of(&name).filter(|(_, template)| template.is_stream);
        let Some((template, _)) = template else {
            return Err(EsError::argument(format!(
                "no matching index template found for data stream [{name}]"
            )));
        };
        if !store.create_index(&name, store::Mapping::default())? {
            let reason = format!("data_stream [{name}] already exists");
            return Err(EsError::new(400, "resource_already_exists_exception", reason));
        }
        store.change_catalog(|catalog| {
            catalog.streams.insert(name.clone(), template.to_owned());
            Ok(())
        })
    })
    .await?;
    acknowledged(&arguments)
}

pub(crate) async fn get_stream(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let pattern = part(&path, "name");
    let catalog = api.with_store(|store| Ok(store.catalog())).await?;
    let own = chosen(&pattern, &catalog.streams);
    if found(own.is_empty(), &pattern) == StatusCode::NOT_FOUND {
        return Err(EsError::no_index(&pattern));
    }
    let own = own.into_iter().map(|(name, template)| {
        json!({
            "name": name, "timestamp_field": { "name": "@timestamp" },
            "indices": [{ "index_name": name, "index_uuid": name }], "generation": 1, "status": "GREEN",
            "template": template,
        })
    });
    Ok(answer(json!({ "data_streams": own.collect::<Vec<_>>() }), &arguments))
}

pub(crate) async fn delete_stream(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let pattern = part(&path, "name");
    api.with_store(move |store| {
        let catalog = store.catalog();
        let own = chosen(&pattern, &catalog.streams);
        if found(own.is_empty(), &pattern) == StatusCode::NOT_FOUND {
            return Err(EsError::no_index(&pattern));
        }
        for (name, _) in own {
            if !store.delete_index(name)? {
                store.change_catalog(|catalog| {
                    catalog.forget(name);
                    Ok::<_, EsError>(())
                })?;
            }
        }
        Ok(())
    })
    .await?;
    acknowledged(&arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_text_below_index() {
        let check = |given: Value, expected: Value| assert_eq!(as_settings(&given), expected);
        check(json!({}), json!({}));
        check(json!({"number_of_shards": 1}), json!({"index": {"number_of_shards": "1"}}));
        check(
            json!({"index.a.b": true, "index": {"c": [1]}}),
            json!({"index": {"a": {"b": "true"}, "c": ["1"]}}),
        );
    }

    #[test]
    fn templates_that_are_refused() {
        for (kind, body) in [
            (Kind::Composable, json!({})),
            (Kind::Composable, json!({"index_patterns": ["a"], "order": 1})),
            (Kind::Component, json!({})),
            (Kind::Legacy, json!({"index_patterns": ["a"], "aliases": {"b": {"filter": {"term": {}}}}})),
            (Kind::Legacy, json!([])),
        ] {
            assert!(read_template(kind, body.clone()).is_err(), "{kind:?} {body}");
        }
        let read =
            read_template(Kind::Composable, json!({"index_patterns": "a-*", "data_stream": {}})).unwrap();
        assert_eq!((read.patterns, read.is_stream), (vec!["a-*".to_owned()], true));
    }
}
