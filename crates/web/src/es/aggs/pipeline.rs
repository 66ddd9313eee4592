//! Aggregations that are counted from the buckets of others.

use super::{EsError, Family, Form, Node, known};
use serde_json::{Map, Value as Json, json};

/// Where the numbers of the buckets are.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    /// The value of a bucket that it is about: `_count`, `name` or `name.part`; for one that stands
    /// beside others with the name of that one and `>` before it.
    path: String,
    /// For `serial_diff`: with which bucket before each is compared.
    lag: usize,
}

impl Pipeline {
    pub(super) fn read(kind: &str, options: &Json) -> Result<Self, EsError> {
        let options = known(kind, options, &["buckets_path", "format", "gap_policy", "lag"])?;
        if options.get("gap_policy").is_some_and(|policy| policy != "skip") {
            return Err(EsError::argument(format!("[gap_policy] of [{kind}] must be [skip]")));
        }
        let path = options.get("buckets_path").and_then(Json::as_str);
        let path =
            path.ok_or_else(|| EsError::parsing(format!("[{kind}] needs a [buckets_path]")).about(kind))?;
        if kind.ends_with("_bucket") && !path.contains('>') {
            return Err(EsError::argument(format!(
                "[buckets_path] of [{kind}] must name an aggregation and a value of its buckets, such as [per_day>_count]"
            )));
        }
        let lag = options.get("lag").map_or(Some(1), Json::as_u64).and_then(|lag| usize::try_from(lag).ok());
        let lag =
            lag.filter(|lag| *lag > 0).ok_or_else(|| EsError::argument("[lag] must be a positive number"))?;
        Ok(Self { path: path.to_owned(), lag })
    }
}

impl Node {
    /// What is counted from bucket to bucket.
    pub(super) fn add_parents(&self, buckets: &mut [(String, Json)], typed: bool) {
        for sub in &self.subs.0 {
            let (Form::Pipeline(pipeline), Family::Parent) = (&sub.form, sub.family) else { continue };
            let name = sub.shown_name(&Json::Null, typed);
            let values: Vec<Option<f64>> =
                buckets.iter().map(|(_, bucket)| value_at(bucket, &pipeline.path)).collect();
            let mut sum = 0.0;
            for (n, (_, bucket)) in buckets.iter_mut().enumerate() {
                let before = n.checked_sub(pipeline.lag).and_then(|before| values[before]);
                let value = match sub.kind {
                    "cumulative_sum" => {
                        sum += values[n].unwrap_or(0.0);
                        Some(sum)
                    }
                    _ => values[n].zip(before).map(|(own, before)| own - before),
                };
                if let Some(value) = value {
                    bucket[&name] = json!({ "value": value });
                }
            }
        }
    }

    /// What is counted from all buckets of another one beside it. Empty buckets have no value, but a count.
    pub(super) fn over(&self, pipeline: &Pipeline, others: &Map<String, Json>) -> Result<Json, EsError> {
        let (other, path) = pipeline.path.split_once('>').unwrap_or((&pipeline.path, "_count"));
        let found = named(others, other).ok_or_else(|| {
            let reason = format!("No aggregation found for path [{}] of [{}]", pipeline.path, self.name);
            EsError::new(400, "action_request_validation_exception", reason)
        })?;
        let buckets: Vec<(String, &Json)> = match &found["buckets"] {
            Json::Array(list) => list.iter().map(|bucket| (key_of(bucket), bucket)).collect(),
            Json::Object(keyed) => keyed.iter().map(|(key, bucket)| (key.clone(), bucket)).collect(),
            _ => Vec::new(),
        };
        let values: Vec<(String, f64)> = buckets
            .into_iter()
            .filter(|(_, bucket)| path == "_count" || bucket["doc_count"] != 0)
            .filter_map(|(key, bucket)| Some((key, value_at(bucket, path)?)))
            .collect();
        let sum: f64 = values.iter().map(|(_, value)| value).sum();
        let least = values.iter().map(|(_, value)| *value).reduce(f64::min);
        let most = values.iter().map(|(_, value)| *value).reduce(f64::max);
        let average = (!values.is_empty()).then(|| sum / values.len() as f64);
        let at = |value: Option<f64>| {
            let keys = values.iter().filter(|(_, own)| Some(*own) == value).map(|(key, _)| key.as_str());
            json!({ "value": value, "keys": keys.collect::<Vec<_>>() })
        };
        Ok(match self.kind {
            "min_bucket" => at(least),
            "max_bucket" => at(most),
            "sum_bucket" => json!({ "value": sum }),
            "avg_bucket" => json!({ "value": average }),
            _ => json!({ "count": values.len(), "min": least, "max": most, "avg": average, "sum": sum }),
        })
    }
}

/// The key of a bucket as text.
fn key_of(bucket: &Json) -> String {
    let text = bucket["key_as_string"].as_str().or_else(|| bucket["key"].as_str());
    text.map_or_else(|| bucket["key"].to_string(), str::to_owned)
}

/// The result of that name, also where its kind stands before it.
fn named<'j>(results: &'j Map<String, Json>, name: &str) -> Option<&'j Json> {
    let typed = |key: &str| key.split_once('#').is_some_and(|(_, own)| own == name);
    results.iter().find(|(key, _)| *key == name || typed(key)).map(|(_, found)| found)
}

/// The number at a path of a bucket: `_count`, `name`, `name.part`.
fn value_at(bucket: &Json, path: &str) -> Option<f64> {
    if path == "_count" {
        return bucket["doc_count"].as_f64();
    }
    let (name, part) = path.split_once(['.', '>']).unwrap_or((path, "value"));
    let own = named(bucket.as_object()?, name)?;
    let part = part.strip_suffix(".value").unwrap_or(part);
    own[part]
        .as_f64()
        .or_else(|| own["values"][part].as_f64())
        .or_else(|| own["doc_count"].as_f64().filter(|_| part == "_count"))
}
