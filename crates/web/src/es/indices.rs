//! Indices: made, described, removed; their fields.

use super::api::{Answer, Api, Arguments, Body, answer, resolve};
use super::context::glob;
use super::write::all_shards;
use super::{EsError, IndexPath, part};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::{FieldType, IndexInfo, Mapping};

pub(super) const ARGUMENTS: [&str; 11] = [
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
    "local",
    "include_type_name",
    "include_defaults",
    "flat_settings",
    "timeout",
    "master_timeout",
    "wait_for_active_shards",
    "preserve_existing",
];

/// `/_serch` is not an index but a route that there is not.
fn index_name(path: &IndexPath) -> Result<String, EsError> {
    let name = part(path, "index");
    if name.starts_with('_') && name != "_all" {
        return Err(EsError::unknown("the route", &name, &super::ROUTES));
    }
    Ok(name)
}

async fn list(api: &Api, index: String, arguments: &Arguments) -> Result<Vec<IndexInfo>, EsError> {
    let arguments = arguments.clone();
    api.with_store(move |store| Ok(store.list(&resolve(store, &index, &arguments)?))).await
}

pub(crate) async fn exists(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let found = list(&api, index_name(&path)?, &arguments).await;
    let status = match found {
        Ok(list) if !list.is_empty() => StatusCode::OK,
        Ok(_) => StatusCode::NOT_FOUND,
        Err(error) if error.status == 404 => StatusCode::NOT_FOUND,
        Err(error) => return Err(error),
    };
    Ok(status.into_response())
}

pub(crate) async fn describe(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let infos = list(&api, index_name(&path)?, &arguments).await?;
    let catalog = api.with_store(|store| Ok(store.catalog())).await?;
    let described = infos.iter().map(|info| {
        let aliases = super::catalog::aliases_of(&catalog, &info.name, "");
        let settings = json!({ "index": settings_of(&info.name) });
        let mappings = properties(&all_fields(info));
        (info.name.clone(), json!({ "aliases": aliases, "mappings": mappings, "settings": settings }))
    });
    Ok(answer(Value::Object(described.collect()), &arguments))
}

fn settings_of(name: &str) -> Value {
    json!({
        "number_of_shards": "1", "number_of_replicas": "0", "provided_name": name, "uuid": name,
        "version": { "created": "7100299" },
    })
}

/// The types of all fields, those included that were declared and not seen.
fn all_fields(info: &IndexInfo) -> Mapping {
    let mut all = (*info.declared).clone();
    all.0.extend(info.mapping.0.iter().map(|(name, kind)| (name.clone(), *kind)));
    all
}

pub(crate) async fn settings(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let patterns = part(&path, "name");
    let infos = list(&api, part(&path, "index"), &arguments).await?;
    let is_flat = arguments.flag("flat_settings");
    let shown = infos.into_iter().map(|info| {
        let all = settings_of(&info.name);
        let own = all.as_object().into_iter().flatten().filter(|(name, _)| {
            let name = format!("index.{name}");
            patterns.is_empty()
                || patterns.split(',').any(|pattern| pattern == "_all" || glob(pattern, &name))
        });
        let settings: Value = if is_flat {
            own.filter(|(_, value)| value.is_string())
                .map(|(name, value)| (format!("index.{name}"), value.clone()))
                .collect::<Map<_, _>>()
                .into()
        } else {
            json!({ "index": own.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>() })
        };
        (info.name, json!({ "settings": settings }))
    });
    Ok(answer(Value::Object(shown.collect()), &arguments))
}

/// Settings that clients change and that mean nothing here; others are refused.
const SETTINGS: [&str; 12] = [
    "number_of_replicas",
    "number_of_shards",
    "refresh_interval",
    "auto_expand_replicas",
    "max_result_window",
    "codec",
    "query",
    "mapping",
    "translog",
    "lifecycle",
    "priority",
    "routing",
];

pub(crate) async fn put_settings(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let json = super::catalog::as_settings(&body.json()?);
    for name in json["index"].as_object().into_iter().flat_map(Map::keys) {
        if !SETTINGS.contains(&name.as_str()) {
            return Err(EsError::argument(format!("unknown setting [index.{name}]")).locate(&body.0));
        }
    }
    list(&api, part(&path, "index"), &arguments).await?;
    Ok(answer(json!({ "acknowledged": true }), &arguments))
}

pub(crate) async fn put_mapping(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let mapping = read_mapping(&body.json()?).map_err(|error| error.locate(&body.0))?;
    let infos = list(&api, part(&path, "index"), &arguments).await?;
    api.with_store(move |store| {
        Ok(infos.iter().try_for_each(|info| store.declare(&info.name, mapping.clone()))?)
    })
    .await?;
    Ok(answer(json!({ "acknowledged": true }), &arguments))
}

/// The types of some fields, each by its whole name.
pub(crate) async fn field_mapping(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let wanted = part(&path, "fields");
    let infos = list(&api, part(&path, "index"), &arguments).await?;
    let shown = infos.into_iter().map(|info| {
        let all = all_fields(&info);
        let own = all.0.iter().filter(|(name, _)| wanted.split(',').any(|pattern| glob(pattern, name)));
        let own = own.map(|(name, kind)| {
            let last = name.rsplit('.').next().unwrap_or(name);
            (name.clone(), json!({ "full_name": name, "mapping": { last: { "type": kind.name() } } }))
        });
        (info.name, json!({ "mappings": own.collect::<Map<_, _>>() }))
    });
    Ok(answer(Value::Object(shown.collect()), &arguments))
}

pub(crate) async fn create(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let index = index_name(&path)?;
    let json = body.json()?;
    let known = ["mappings", "settings", "aliases"];
    if let Some(name) =
        json.as_object().and_then(|object| object.keys().find(|name| !known.contains(&name.as_str())))
    {
        return Err(EsError::unknown("the part of an index", name, &known).locate(&body.0));
    }
    let mapping = read_mapping(&json["mappings"]).map_err(|error| error.locate(&body.0))?;
    let name = index.clone();
    let made = api.with_store(move |store| {
        if store.catalog().aliases.contains_key(&name) {
            let reason = format!("Invalid index name [{name}], already exists as alias");
            return Err(EsError::new(400, "invalid_index_name_exception", reason));
        }
        let made = store.create_index(&name, mapping)?;
        if made {
            super::catalog::add_aliases(store, &name, &json["aliases"])?;
        }
        Ok(made)
    });
    let made = made.await?;
    if !made {
        let error =
            EsError::new(400, "resource_already_exists_exception", format!("index [{index}] already exists"));
        return Err(EsError { index: Some(index), ..error });
    }
    Ok(answer(json!({ "acknowledged": true, "shards_acknowledged": true, "index": index }), &arguments))
}

pub(crate) async fn delete(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let index = index_name(&path)?;
    let asked = arguments.clone();
    api.with_store(move |store| {
        let catalog = store.catalog();
        for name in index.split(',') {
            let what = if catalog.aliases.contains_key(name) {
                "an alias"
            } else if catalog.streams.contains_key(name) {
                "a data stream"
            } else {
                continue;
            };
            return Err(EsError::argument(format!(
                "The provided expression [{name}] matches {what}, specify the corresponding concrete indices instead."
            )));
        }
        let names = store.list(&resolve(store, &index, &asked)?);
        for info in names {
            store.delete_index(&info.name)?;
        }
        Ok(())
    })
    .await?;
    Ok(answer(json!({ "acknowledged": true }), &arguments))
}

/// The types of `properties`, as far as the store has them.
pub(super) fn read_mapping(mappings: &Value) -> Result<Mapping, EsError> {
    let known = [
        "properties",
        "dynamic",
        "_source",
        "_meta",
        "date_detection",
        "numeric_detection",
        "dynamic_templates",
        "_doc",
    ];
    if let Some(name) =
        mappings.as_object().and_then(|object| object.keys().find(|name| !known.contains(&name.as_str())))
    {
        return Err(EsError::unknown("the part of a mapping", name, &known));
    }
    let typed = mappings.get("_doc").unwrap_or(mappings);
    let mut mapping = Mapping::default();
    read_properties(&typed["properties"], "", &mut mapping, 0)?;
    Ok(mapping)
}

/// What a type of Elasticsearch's is to a search; none where that depends on the values.
pub(super) fn kind_of(name: &str) -> Option<FieldType> {
    Some(match name {
        "text" | "match_only_text" | "search_as_you_type" => FieldType::Text,
        "keyword" | "wildcard" | "constant_keyword" | "ip" | "version" => FieldType::Keyword,
        "long" | "integer" | "short" | "byte" | "unsigned_long" => FieldType::Long,
        "double" | "float" | "half_float" | "scaled_float" => FieldType::Double,
        "boolean" => FieldType::Boolean,
        "date" | "date_nanos" => FieldType::Date,
        _ => return None,
    })
}

fn read_properties(
    properties: &Value,
    prefix: &str,
    mapping: &mut Mapping,
    depth: usize,
) -> Result<(), EsError> {
    let wrong = |reason: String| EsError::new(400, "mapper_parsing_exception", reason);
    for (name, rule) in properties.as_object().into_iter().flatten() {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if rule.get("properties").is_some() {
            if depth > 20 {
                return Err(wrong("Limit of mapping depth [20] has been exceeded".to_owned()));
            }
            read_properties(&rule["properties"], &path, mapping, depth + 1)?;
            continue;
        }
        let named = rule["type"].as_str().unwrap_or("object");
        let kind = match named {
            _ if let Some(kind) = kind_of(named) => kind,
            // What has no type here gets the one of its first value.
            "object"
            | "flattened"
            | "nested"
            | "alias"
            | "geo_point"
            | "geo_shape"
            | "binary"
            | "histogram"
            | "dense_vector"
            | "point"
            | "shape"
            | "aggregate_metric_double" => continue,
            other => {
                return Err(wrong(format!(
                    "No handler for type [{other}] declared on field [{name}]; there are text, keyword, ip, long, double, boolean, date, object"
                ))
                .about(other));
            }
        };
        mapping.0.insert(path, kind);
    }
    Ok(())
}

/// A mapping as Elasticsearch shows it.
pub(super) fn properties(mapping: &Mapping) -> Value {
    let mut root = json!({});
    for (name, kind) in &mapping.0 {
        let mut at = &mut root;
        for part in name.split('.') {
            at = &mut at["properties"][part];
        }
        at["type"] = kind.name().into();
        if *kind == FieldType::Text && name != "message" {
            at["fields"] = json!({ "keyword": { "type": "keyword", "ignore_above": 256 } });
        }
    }
    root
}

pub(crate) async fn mapping(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let infos = list(&api, part(&path, "index"), &arguments).await?;
    let body = infos.into_iter().map(|info| {
        let mappings = properties(&all_fields(&info));
        (info.name, json!({ "mappings": mappings }))
    });
    Ok(answer(Value::Object(body.collect()), &arguments))
}

pub(crate) async fn field_caps(
    State(api): State<Api>,
    path: IndexPath,
    arguments: Arguments,
    body: Body,
) -> Answer {
    let mut known = ARGUMENTS.to_vec();
    known.extend(["fields", "include_unmapped"]);
    arguments.only(&known)?;
    let json = body.json()?;
    let wanted: Vec<String> = match (arguments.get("fields"), &json["fields"]) {
        (Some(text), _) => text.split(',').map(str::to_owned).collect(),
        (None, Value::String(text)) => vec![text.clone()],
        (None, Value::Array(list)) => list.iter().map(super::dsl::plain).collect(),
        _ => return Err(EsError::argument("specified fields can't be null or empty")),
    };
    let infos = list(&api, part(&path, "index"), &arguments).await?;
    let mut fields: BTreeMap<String, BTreeMap<&'static str, Vec<String>>> = BTreeMap::new();
    for info in &infos {
        let mut add = |name: &str, kind: &'static str| {
            if wanted.iter().any(|pattern| glob(pattern, name)) {
                fields.entry(name.to_owned()).or_default().entry(kind).or_default().push(info.name.clone());
            }
        };
        for name in ["_id", "_index", "_source"] {
            add(name, name);
        }
        for (name, kind) in &info.mapping.0 {
            add(name, kind.name());
            if *kind == FieldType::Text && name != "message" {
                add(&format!("{name}.keyword"), "keyword");
            }
        }
    }
    let shown = fields.into_iter().map(|(name, kinds)| {
        let several = kinds.len() > 1;
        let kinds = kinds.into_iter().map(|(kind, indices)| {
            let mut caps = Map::new();
            caps.insert("type".to_owned(), kind.into());
            caps.insert("searchable".to_owned(), (kind != "_source").into());
            caps.insert("aggregatable".to_owned(), (!matches!(kind, "text" | "_source")).into());
            if several {
                caps.insert("indices".to_owned(), json!(indices));
            }
            (kind.to_owned(), Value::Object(caps))
        });
        (name, Value::Object(kinds.collect()))
    });
    let shown: Map<String, Value> = shown.collect();
    let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    Ok(answer(json!({ "indices": names, "fields": shown }), &arguments))
}

pub(crate) async fn refresh(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    // What was just written may be what makes the index.
    if let Some(ingest) = &api.ingest {
        ingest.settle().await;
    }
    let count = list(&api, part(&path, "index"), &arguments).await?.len();
    api.with_store(|store| Ok(store.refresh()?)).await?;
    Ok(answer(all_shards(count), &arguments))
}

pub(crate) async fn flush(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    // What was just written may be what makes the index.
    if let Some(ingest) = &api.ingest {
        ingest.settle().await;
    }
    let count = list(&api, part(&path, "index"), &arguments).await?.len();
    api.with_store(|store| Ok(store.flush()?)).await?;
    Ok(answer(all_shards(count), &arguments))
}
