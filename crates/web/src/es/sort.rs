//! The order of what is found, and where a page goes on.

use super::EsError;
use super::context::Context;
use serde_json::{Value as Json, json};
use store::{FieldType, SortKey, SortValue};

const OPTIONS: [&str; 6] = ["order", "missing", "unmapped_type", "mode", "format", "numeric_type"];

/// Reads the value of `"sort"`.
pub fn read(json: &Json) -> Result<Vec<SortKey>, EsError> {
    let list = match json {
        Json::Null => return Ok(Vec::new()),
        Json::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mut keys = Vec::new();
    for json in &list {
        match json {
            Json::String(text) => keys.push(key(text, None)?),
            Json::Object(object) => {
                for (field, options) in object {
                    keys.push(read_options(field, options)?);
                }
            }
            _ => return Err(EsError::parsing("[sort] takes fields, such as {\"@timestamp\": \"desc\"}")),
        }
    }
    Ok(keys)
}

fn read_options(field: &str, options: &Json) -> Result<SortKey, EsError> {
    let Json::Object(object) = options else {
        return key(field, options.as_str());
    };
    if let Some(name) = object.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
        return Err(EsError::unknown("the option of [sort]", name, &OPTIONS));
    }
    let mut found = key(field, options["order"].as_str())?;
    found.missing_first = match options["missing"].as_str() {
        Some("_first") => true,
        Some("_last") | None => false,
        Some(other) => {
            return Err(EsError::argument(format!(
                "[missing] of [sort] must be _first or _last, not [{other}]"
            )));
        }
    };
    Ok(found)
}

/// `sort=@timestamp:desc,level`.
pub fn read_words(text: &str) -> Result<Vec<SortKey>, EsError> {
    let one = |word: &str| match word.rsplit_once(':') {
        Some((field, order)) => key(field, Some(order)),
        None => key(word, None),
    };
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(one).collect()
}

fn key(field: &str, order: Option<&str>) -> Result<SortKey, EsError> {
    if let "_script" | "_geo_distance" = field {
        return Err(EsError::argument(format!(
            "sorting by [{field}] is not supported; there are fields, _score and _doc"
        )));
    }
    let descending = match order {
        None => field == "_score",
        Some(order) if order.eq_ignore_ascii_case("desc") => true,
        Some(order) if order.eq_ignore_ascii_case("asc") => false,
        Some(order) => {
            return Err(
                EsError::argument(format!("the order [{order}] must be [asc] or [desc]")).about(order)
            );
        }
    };
    // Points in time name the order of their documents so.
    let field = if field == "_shard_doc" { "_doc" } else { field };
    Ok(SortKey { field: field.to_owned(), descending, missing_first: false })
}

/// Reads the value of `"search_after"`: one value for each key.
pub fn read_after(
    json: &Json,
    keys: &[SortKey],
    context: &Context,
) -> Result<Option<Vec<SortValue>>, EsError> {
    if json.is_null() {
        return Ok(None);
    }
    let values = json
        .as_array()
        .ok_or_else(|| EsError::parsing("[search_after] takes a list of values").about("search_after"))?;
    if keys.is_empty() {
        return Err(EsError::argument("Sort must contain at least one field for [search_after]"));
    }
    if values.len() != keys.len() {
        return Err(EsError::argument(format!(
            "search_after has {} value(s) but sort has {}.",
            values.len(),
            keys.len()
        )));
    }
    let one = |(value, key): (&Json, &SortKey)| -> Result<SortValue, EsError> {
        let is_time = context.kind(&key.field) == Some(FieldType::Date);
        Ok(match value {
            Json::Null => SortValue::Missing,
            Json::Bool(value) => SortValue::Int(i64::from(*value)),
            Json::Number(number) => match number.as_i64() {
                Some(ms) if is_time => SortValue::Int(ms.saturating_mul(1_000_000)),
                Some(value) => SortValue::Int(value),
                None => SortValue::Float(number.as_f64().unwrap_or(0.0)),
            },
            Json::String(text) if is_time => {
                let time = context
                    .times()
                    .read(text, false)
                    .or_else(|| text.parse::<i64>().ok()?.checked_mul(1_000_000));
                SortValue::Int(time.ok_or_else(|| {
                    EsError::parsing(format!("failed to parse date field [{text}] in search_after"))
                        .about(text)
                })?)
            }
            Json::String(text) => SortValue::Str(text.clone()),
            other => return Err(EsError::parsing(format!("[search_after] takes plain values, not {other}"))),
        })
    };
    values.iter().zip(keys).map(one).collect::<Result<_, _>>().map(Some)
}

/// The value of a sort key in an answer. Times are milliseconds where nothing is lost, as
/// with Elasticsearch, else text with nanoseconds; both can be given to `search_after`.
pub fn write(value: &SortValue, key: &SortKey, context: &Context) -> Json {
    match value {
        SortValue::Missing => Json::Null,
        SortValue::Int(ns) if context.kind(&key.field) == Some(FieldType::Date) => match ns % 1_000_000 {
            0 => json!(ns / 1_000_000),
            _ => store::Value::Time(*ns).text().into(),
        },
        SortValue::Int(value) => match context.kind(&key.field) {
            Some(FieldType::Boolean) => json!(*value != 0),
            _ => json!(value),
        },
        SortValue::Float(value) => json!(value),
        SortValue::Str(text) => json!(text),
    }
}

/// Refuses to sort by a field that no index has.
pub fn check(keys: &[SortKey], json: &Json, context: &Context) -> Result<(), EsError> {
    let forgiven = json.to_string().contains("unmapped_type");
    let missing =
        keys.iter().find(|key| !key.field.starts_with(['_', '@']) && context.kind(&key.field).is_none());
    match missing {
        Some(key) if !forgiven && !context.fields.0.is_empty() => Err(EsError::new(
            400,
            "query_shard_exception",
            format!("No mapping found for [{}] in order to sort on", key.field),
        )
        .about(&key.field)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let check = |json: Json, expected: &str| {
            let keys = read(&json).map(|keys| {
                let words = keys.iter().map(|key| {
                    format!(
                        "{}{}{}",
                        if key.descending { "-" } else { "+" },
                        key.field,
                        if key.missing_first { "^" } else { "" }
                    )
                });
                words.collect::<Vec<_>>().join(" ")
            });
            assert_eq!(keys.unwrap_or_else(|error| format!("error {}", error.status)), expected, "{json}");
        };
        check(json!(null), "");
        check(json!("a"), "+a");
        check(json!(["a", "_score", {"b": "desc"}]), "+a -_score -b");
        check(json!({"@timestamp": {"order": "desc", "unmapped_type": "date"}}), "-@timestamp");
        check(json!([{"a": {"missing": "_first"}}]), "+a^");
        check(json!([{"a": {"ordr": "x"}}]), "error 400");
        check(json!([{"a": "up"}]), "error 400");
        check(json!([1]), "error 400");
        check(json!([{"_script": {}}]), "error 400");
        assert!(read_words("@timestamp:desc,b").unwrap()[0].descending);
        assert!(read_words("a:sideways").is_err());
    }

    #[test]
    fn places_there_and_back() {
        let keys = read(&json!(["@timestamp", "a"])).unwrap();
        let context = Context::at(0);
        for values in [json!([1_000, "x"]), json!(["2026-11-21T10:00:00.000000001Z", 5]), json!([null, 1.5])]
        {
            let after = read_after(&values, &keys, &context).unwrap().unwrap();
            let back: Vec<Json> =
                after.iter().zip(&keys).map(|(value, key)| write(value, key, &context)).collect();
            assert_eq!(Json::from(back), values);
        }
        assert!(read_after(&json!([1]), &keys, &context).is_err());
        assert!(read_after(&json!([1]), &[], &context).is_err());
        assert!(read_after(&json!([{}, 1]), &keys, &context).is_err());
    }
}
