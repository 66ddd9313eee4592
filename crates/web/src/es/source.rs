//! Which part of a document is given back: `_source`, `fields`, and `filter_path` for whole
//! answers.

use super::EsError;
use super::context::{Context, glob};
use super::dates::{Format, Reader, Zone};
use super::dsl::plain;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use store::FieldType;

/// Which members of the source are given back.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// As it is.
    Whole,
    /// Nothing of it.
    Hidden,
    /// Some members; no includes are all.
    Some {
        /// Patterns of paths.
        includes: Vec<String>,
        /// Patterns of paths that are left out.
        excludes: Vec<String>,
    },
}

impl Rule {
    /// Reads the value of `"_source"`.
    pub fn read(json: &Json) -> Result<Self, EsError> {
        let list = |json: &Json| -> Vec<String> {
            match json {
                Json::Array(list) => list.iter().map(plain).collect(),
                Json::Null => Vec::new(),
                one => vec![plain(one)],
            }
        };
        Ok(match json {
            Json::Null | Json::Bool(true) => Rule::Whole,
            Json::Bool(false) => Rule::Hidden,
            Json::String(_) | Json::Array(_) => Rule::of(list(json), Vec::new()),
            Json::Object(rule) => {
                let known = ["includes", "excludes", "include", "exclude"];
                if let Some(name) = rule.keys().find(|name| !known.contains(&name.as_str())) {
                    return Err(EsError::unknown("the option of [_source]", name, &known[..2]));
                }
                let get =
                    |a: &str, b: &str| rule.get(a).or_else(|| rule.get(b)).map(list).unwrap_or_default();
                Rule::of(get("includes", "include"), get("excludes", "exclude"))
            }
            Json::Number(_) => {
                return Err(EsError::parsing("[_source] takes true, false, a pattern or a list of patterns")
                    .about("_source"));
            }
        })
    }

    /// These patterns.
    pub fn of(includes: Vec<String>, excludes: Vec<String>) -> Self {
        if includes.is_empty() && excludes.is_empty() {
            return Rule::Whole;
        }
        Rule::Some { includes, excludes }
    }

    /// The part of a source, if any. A whole source is passed on byte by byte.
    pub fn apply(&self, source: Vec<u8>) -> Option<Box<RawValue>> {
        let text = match self {
            Rule::Hidden => return None,
            Rule::Whole => String::from_utf8(source).unwrap_or_default(),
            Rule::Some { includes, excludes } => match serde_json::from_slice(&source) {
                Ok(Json::Object(object)) => Json::Object(pick(object, "", includes, excludes)).to_string(),
                _ => return None,
            },
        };
        RawValue::from_string(text).ok()
    }
}

fn pick(
    object: Map<String, Json>,
    prefix: &str,
    includes: &[String],
    excludes: &[String],
) -> Map<String, Json> {
    let mut kept = Map::new();
    for (name, value) in object {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if excludes.iter().any(|pattern| covers(pattern, &path)) {
            continue;
        }
        let included = includes.is_empty() || includes.iter().any(|pattern| covers(pattern, &path));
        let below: &[String] = if included { &[] } else { includes };
        if let Some(value) = pick_value(value, &path, included, below, excludes) {
            kept.insert(name, value);
        }
    }
    kept
}

fn pick_value(
    value: Json,
    path: &str,
    included: bool,
    below: &[String],
    excludes: &[String],
) -> Option<Json> {
    match value {
        Json::Object(inner) => {
            let was_empty = inner.is_empty();
            let inner = pick(inner, path, below, excludes);
            (!inner.is_empty() || (was_empty && included)).then_some(Json::Object(inner))
        }
        Json::Array(list) => {
            let was_empty = list.is_empty();
            let list: Vec<Json> = list
                .into_iter()
                .filter_map(|value| pick_value(value, path, included, below, excludes))
                .collect();
            (!list.is_empty() || (was_empty && included)).then_some(Json::Array(list))
        }
        value => included.then_some(value),
    }
}

/// Whether a pattern means the path or something above it.
fn covers(pattern: &str, path: &str) -> bool {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.into_iter().any(|end| glob(pattern, &path[..end]))
}

/// Values of a document by patterns of field names, as `fields` and `docvalue_fields` want
/// them: lists, by dotted names. With a context, times have Elasticsearch's form where no other is
/// wanted.
pub fn fields(
    source: &[u8],
    wanted: &[(String, Option<Format>)],
    context: Option<&Context>,
) -> Map<String, Json> {
    let mut found = Map::new();
    if let Ok(Json::Object(object)) = serde_json::from_slice(source) {
        for (name, value) in &object {
            collect(name, value, wanted, context, &mut found);
        }
    }
    found
}

fn collect(
    path: &str,
    value: &Json,
    wanted: &[(String, Option<Format>)],
    context: Option<&Context>,
    found: &mut Map<String, Json>,
) {
    match value {
        Json::Object(inner) => {
            inner
                .iter()
                .for_each(|(name, value)| collect(&format!("{path}.{name}"), value, wanted, context, found));
        }
        Json::Array(list) => list.iter().for_each(|value| collect(path, value, wanted, context, found)),
        Json::Null => {}
        leaf => {
            for (pattern, format) in wanted {
                let bare = pattern.strip_suffix(".keyword").unwrap_or(pattern);
                if !glob(bare, path) {
                    continue;
                }
                let name = if bare.contains('*') { path } else { pattern };
                // Times have one form, however the source writes them.
                let own = context
                    .filter(|context| context.kind(path) == Some(FieldType::Date))
                    .map(|_| &Format::Iso);
                let value = match (format.as_ref().or(own), leaf) {
                    (Some(format), Json::String(text)) => Reader::new(0)
                        .read(text, false)
                        .map_or_else(|| leaf.clone(), |ns| format.write(ns, Zone::UTC).into()),
                    _ => leaf.clone(),
                };
                let list = found.entry(name).or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(list) = list {
                    list.push(value);
                }
                break;
            }
        }
    }
}

/// Reads `fields` and `docvalue_fields`.
pub fn read_fields(json: &Json) -> Result<Vec<(String, Option<Format>)>, EsError> {
    let list = match json {
        Json::Null => return Ok(Vec::new()),
        Json::Array(list) => list,
        _ => return Err(EsError::parsing("[fields] takes a list of names")),
    };
    list.iter()
        .map(|entry| match entry {
            Json::String(name) => Ok((name.clone(), None)),
            Json::Object(entry) => {
                let name = entry.get("field").and_then(Json::as_str);
                let name = name.ok_or_else(|| EsError::parsing("an entry of [fields] needs a [field]"))?;
                let format = entry
                    .get("format")
                    .and_then(Json::as_str)
                    .filter(|format| *format != "use_field_mapping");
                let format =
                    format.map(|text| Format::parse_list(text).map(|mut list| list.remove(0))).transpose()?;
                Ok((name.to_owned(), format))
            }
            _ => Err(EsError::parsing("[fields] takes names, or objects with [field] and [format]")),
        })
        .collect()
}

/// Applies `filter_path`: `hits.hits._id,took`, `**._source`, `-_shards`.
pub fn filter_path(answer: Json, paths: &str) -> Json {
    let (mut includes, mut excludes): (Vec<Vec<&str>>, Vec<Vec<&str>>) = (Vec::new(), Vec::new());
    for path in paths.split(',').map(str::trim).filter(|path| !path.is_empty()).take(64) {
        match path.strip_prefix('-') {
            Some(path) => excludes.push(path.split('.').collect()),
            None => includes.push(path.split('.').collect()),
        }
    }
    let answer = if includes.is_empty() { Some(answer) } else { keep(answer, &slices(&includes)) };
    let answer =
        answer.map(|answer| if excludes.is_empty() { answer } else { cut(answer, &slices(&excludes)) });
    answer.unwrap_or_else(|| Json::Object(Map::new()))
}

fn slices<'p>(paths: &'p [Vec<&'p str>]) -> Vec<&'p [&'p str]> {
    paths.iter().map(Vec::as_slice).collect()
}

/// What is left of the paths below a member; an empty one means the member itself. Each stands
/// there once: `**.**.**` leads everywhere in more ways than can be tried.
fn step<'p>(paths: &[&'p [&'p str]], name: &str) -> Vec<&'p [&'p str]> {
    let mut below: Vec<&'p [&'p str]> = Vec::new();
    let mut add = |path: &'p [&'p str]| {
        if !below.contains(&path) {
            below.push(path);
        }
    };
    for path in paths {
        let Some((first, rest)) = path.split_first() else { continue };
        if *first == "**" {
            add(path);
            if let Some((next, behind)) = rest.split_first()
                && glob(next, name)
            {
                add(behind);
            }
            if rest.is_empty() {
                add(rest);
            }
        } else if glob(first, name) {
            add(rest);
        }
    }
    below
}

fn keep(value: Json, paths: &[&[&str]]) -> Option<Json> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value);
    }
    match value {
        Json::Object(object) => {
            let kept = object.into_iter().filter_map(|(name, value)| {
                let below = step(paths, &name);
                Some((name, keep(value, &below).filter(|_| !below.is_empty())?))
            });
            let kept: Map<String, Json> = kept.collect();
            (!kept.is_empty()).then_some(Json::Object(kept))
        }
        Json::Array(list) => {
            let kept: Vec<Json> = list.into_iter().filter_map(|value| keep(value, paths)).collect();
            (!kept.is_empty()).then_some(Json::Array(kept))
        }
        _ => None,
    }
}

fn cut(value: Json, paths: &[&[&str]]) -> Json {
    match value {
        Json::Object(object) => {
            let kept = object.into_iter().filter_map(|(name, value)| {
                let below = step(paths, &name);
                if below.iter().any(|path| path.is_empty()) { None } else { Some((name, cut(value, &below))) }
            });
            Json::Object(kept.collect())
        }
        Json::Array(list) => list.into_iter().map(|value| cut(value, paths)).collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sources() {
        let source = br#"{"a": 1,"b":{"c":2,"d":3},"log":{"x":4},"l":[{"c":1,"d":2},{"d":3}],"e":{}}"#;
        let check = |rule: Json, expected: &str| {
            let part = Rule::read(&rule).unwrap().apply(source.to_vec());
            assert_eq!(part.map_or_else(String::new, |part| part.get().to_owned()), expected, "{rule}");
        };
        check(json!(true), std::str::from_utf8(source).unwrap());
        check(json!(false), "");
        check(json!("a"), r#"{"a":1}"#);
        check(json!(["b.*", "nope"]), r#"{"b":{"c":2,"d":3}}"#);
        check(json!("b"), r#"{"b":{"c":2,"d":3}}"#);
        check(json!("*.c"), r#"{"b":{"c":2},"l":[{"c":1}]}"#);
        check(json!({"excludes": ["b.*", "l*"]}), r#"{"a":1,"e":{}}"#);
        check(json!({"includes": "b", "excludes": "*.d"}), r#"{"b":{"c":2}}"#);
        assert!(Rule::read(&json!({"inclodes": "b"})).is_err());
        assert!(Rule::read(&json!(5)).is_err());
        let found = fields(source, &[("b.*".into(), None), ("l.d.keyword".into(), None)], None);
        assert_eq!(Json::Object(found), json!({"b.c": [2], "b.d": [3], "l.d.keyword": [2, 3]}));
    }

    #[test]
    fn paths() {
        let answer = json!({"took": 1, "hits": {"total": {"value": 2}, "hits": [{"_id": "1", "_source": {"a": 1}}, {"_id": "2"}]}});
        let check =
            |paths: &str, expected: Json| assert_eq!(filter_path(answer.clone(), paths), expected, "{paths}");
        check("took", json!({"took": 1}));
        check("hits.hits._id", json!({"hits": {"hits": [{"_id": "1"}, {"_id": "2"}]}}));
        check("took,hits.total", json!({"took": 1, "hits": {"total": {"value": 2}}}));
        check("**.a", json!({"hits": {"hits": [{"_source": {"a": 1}}]}}));
        check("h*.*.value", json!({"hits": {"total": {"value": 2}}}));
        check("-hits", json!({"took": 1}));
        check("hits.hits,-**._source", json!({"hits": {"hits": [{"_id": "1"}, {"_id": "2"}]}}));
        check("none", json!({}));
    }

    #[test]
    fn paths_of_many_stars_end() {
        let mut answer = json!(1);
        for _ in 0..60 {
            answer = json!({ "a": answer });
        }
        let stars = "**.".repeat(40);
        assert_eq!(filter_path(answer.clone(), &format!("{stars}zz")), json!({}));
        assert_eq!(filter_path(answer.clone(), &format!("{stars}a")), answer);
        assert_eq!(filter_path(answer.clone(), &format!("-{stars}zz")), answer);
    }
}
