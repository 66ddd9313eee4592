//! From the store's results to the shape that Elasticsearch gives them.

use super::{Aggs, Calendar, Form, Node, Order, Shape};
use crate::es::context::Context;
use crate::es::dates::{Format, Zone};
use serde_json::{Map, Value as Json, json};
use store::FieldType;

/// What a search beside the search itself found: how many events, and its aggregations.
pub struct Side {
    /// How many events match.
    pub count: u64,
    /// The store's results.
    pub results: Option<Json>,
}

impl Aggs {
    /// The results as Elasticsearch gives them. `sides` are those of the searches beside, in
    /// their order; `typed` puts the kind before each name.
    pub fn finish(&self, results: Json, sides: Vec<Side>, typed: bool, context: &Context) -> Json {
        let mut sides = sides.into_iter();
        let mut results = results;
        let mut all = Map::new();
        for node in &self.0 {
            let result = results.get_mut(&node.name).map(Json::take).unwrap_or(Json::Null);
            let mut finished = match &node.form {
                // The parent counts it, once all of its buckets are there.
                Form::Pipeline(_) => continue,
                Form::Store { shape, .. } => node.finish_store(result, shape, typed, context),
                Form::Searches(searches, _) => {
                    let buckets = searches.iter().map(|(name, _)| {
                        let side = sides.next().unwrap_or(Side { count: 0, results: None });
                        let mut bucket = Map::new();
                        bucket.insert("doc_count".to_owned(), side.count.into());
                        node.add_subs(&mut bucket, side.results.unwrap_or(Json::Null), typed, context);
                        (name.clone(), Json::Object(bucket))
                    });
                    let buckets: Vec<_> = buckets.collect();
                    finish_searches(node, buckets)
                }
            };
            if let (Some(meta), Json::Object(object)) = (&node.meta, &mut finished) {
                object.shift_insert(0, "meta".to_owned(), meta.clone());
            }
            let name = if typed {
                format!("{}#{}", node.typed_kind(&finished), node.name)
            } else {
                node.name.clone()
            };
            all.insert(name, finished);
        }
        Json::Object(all)
    }
}

fn finish_searches(node: &Node, buckets: Vec<(Option<String>, Json)>) -> Json {
    if node.kind != "filters" {
        return buckets.into_iter().next().map_or(Json::Null, |(_, bucket)| bucket);
    }
    if buckets.iter().all(|(name, _)| name.is_some()) {
        let named: Map<String, Json> =
            buckets.into_iter().filter_map(|(name, bucket)| Some((name?, bucket))).collect();
        return json!({ "buckets": named });
    }
    json!({ "buckets": buckets.into_iter().map(|(_, bucket)| bucket).collect::<Vec<_>>() })
}

impl Node {
    fn typed_kind(&self, finished: &Json) -> &'static str {
        match self.kind {
            "terms" => match finished["buckets"][0].get("key") {
                Some(Json::Number(number)) if number.is_f64() => "dterms",
                Some(Json::Number(_)) => "lterms",
                _ => "sterms",
            },
            "percentiles" => "tdigest_percentiles",
            "cumulative_sum" | "serial_diff" => "simple_value",
            kind => kind,
        }
    }

    fn add_subs(&self, bucket: &mut Map<String, Json>, results: Json, typed: bool, context: &Context) {
        if self.subs.0.is_empty() {
            return;
        }
        if let Json::Object(subs) = self.subs.finish(results, Vec::new(), typed, context) {
            bucket.extend(subs);
        }
    }

    fn finish_store(&self, result: Json, shape: &Shape, typed: bool, context: &Context) -> Json {
        match self.kind {
            "terms" | "histogram" | "date_histogram" | "range" | "date_range" => {
                self.finish_buckets(result, shape, typed, context)
            }
            "cardinality" | "value_count" => {
                json!({ "value": result["value"].as_f64().map_or(0, |value| value.round() as u64) })
            }
            "percentiles" => result,
            _ if context.kind(&shape.field) == Some(FieldType::Date) => times(result, shape),
            _ => result,
        }
    }

    fn finish_buckets(&self, mut result: Json, shape: &Shape, typed: bool, context: &Context) -> Json {
        let buckets = match result["buckets"].take() {
            Json::Array(list) => list,
            _ => Vec::new(),
        };
        let is_range = !shape.ranges.is_empty();
        let mut finished: Vec<(String, Json)> = Vec::new();
        for bucket in buckets {
            let Json::Object(mut bucket) = bucket else { continue };
            let key = bucket.shift_remove("key").unwrap_or(Json::Null);
            let count = bucket.shift_remove("doc_count").unwrap_or(json!(0));
            let mut out = Map::new();
            let name = if is_range {
                // The store fills the gaps between the ranges; nobody asked for those.
                let Some(range) = key.as_str().and_then(|n| shape.ranges.get(n.parse::<usize>().ok()?))
                else {
                    continue;
                };
                if shape.calendar.is_some() {
                    let ms = range.from.unwrap_or(0.0);
                    out.insert("key_as_string".to_owned(), time(shape, ms).into());
                    out.insert("key".to_owned(), json!(ms as i64));
                } else {
                    out.insert("key".to_owned(), range.key.as_str().into());
                    for (side, value) in [("from", range.from), ("to", range.to)] {
                        let Some(value) = value else { continue };
                        out.insert(side.to_owned(), json!(value));
                        if self.kind == "date_range" {
                            out.insert(format!("{side}_as_string"), time(shape, value).into());
                        }
                    }
                }
                range.key.clone()
            } else {
                self.insert_key(&mut out, key, &bucket, shape, context)
            };
            out.insert("doc_count".to_owned(), count);
            if let Some(error) = bucket.shift_remove("doc_count_error_upper_bound") {
                out.insert("doc_count_error_upper_bound".to_owned(), error);
            }
            self.add_subs(&mut out, Json::Object(bucket), typed, context);
            finished.push((name, Json::Object(out)));
        }
        if is_range {
            // In the order of their sides, as Elasticsearch has them.
            let place = |name: &str| shape.ranges.iter().position(|range| range.key == name);
            let from = |n: Option<usize>| n.and_then(|n| shape.ranges[n].from).unwrap_or(f64::NEG_INFINITY);
            finished.sort_by(|(a, _), (b, _)| from(place(a)).total_cmp(&from(place(b))));
        }
        if let Some(calendar) = &shape.calendar {
            finished = shown_units(finished, calendar);
        }
        self.add_pipelines(&mut finished, typed);
        let count = |bucket: &Json| bucket["doc_count"].as_u64();
        match shape.order {
            Order::Rising => {}
            Order::Falling => finished.reverse(),
            Order::FewFirst => finished.sort_by_key(|(_, bucket)| count(bucket)),
            Order::ManyFirst => finished.sort_by_key(|(_, bucket)| std::cmp::Reverse(count(bucket))),
        }
        let mut out = Map::new();
        if self.kind == "terms" {
            out.insert(
                "doc_count_error_upper_bound".to_owned(),
                result
                    .get("doc_count_error_upper_bound")
                    .cloned()
                    .filter(|value| !value.is_null())
                    .unwrap_or(json!(0)),
            );
            out.insert(
                "sum_other_doc_count".to_owned(),
                result.get("sum_other_doc_count").cloned().unwrap_or(json!(0)),
            );
        }
        let buckets: Json = if shape.keyed {
            let bare = finished.into_iter().map(|(name, mut bucket)| {
                if shape.calendar.is_some() {
                    return (bucket["key_as_string"].as_str().unwrap_or(&name).to_owned(), bucket);
                }
                if let (true, Json::Object(bucket)) = (is_range, &mut bucket) {
                    bucket.shift_remove("key");
                }
                (name, bucket)
            });
            Json::Object(bare.collect())
        } else {
            finished.into_iter().map(|(_, bucket)| bucket).collect()
        };
        out.insert("buckets".to_owned(), buckets);
        Json::Object(out)
    }

    /// What is counted from bucket to bucket.
    fn add_pipelines(&self, buckets: &mut [(String, Json)], typed: bool) {
        for sub in &self.subs.0 {
            let Form::Pipeline(pipeline) = &sub.form else { continue };
            let name = if typed {
                format!("{}#{}", sub.typed_kind(&Json::Null), sub.name)
            } else {
                sub.name.clone()
            };
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

    /// Writes the key of a bucket, and returns it as text.
    fn insert_key(
        &self,
        out: &mut Map<String, Json>,
        key: Json,
        bucket: &Map<String, Json>,
        shape: &Shape,
        context: &Context,
    ) -> String {
        let kind = context.kind(&shape.field);
        match (self.kind, kind) {
            ("date_histogram", _) => {
                let ms = key.as_f64().unwrap_or(0.0);
                let text = time(shape, ms);
                out.insert("key_as_string".to_owned(), text.as_str().into());
                out.insert("key".to_owned(), json!(ms as i64));
                text
            }
            ("terms", Some(FieldType::Date)) => {
                let text = bucket.get("key_as_string").and_then(Json::as_str).or(key.as_str());
                let ns = text.and_then(|text| store::Value::Str(text.to_owned()).time());
                let ms = ns.map_or_else(|| key.as_f64().unwrap_or(0.0), |ns| (ns / 1_000_000) as f64);
                out.insert("key".to_owned(), json!(ms as i64));
                out.insert("key_as_string".to_owned(), time(shape, ms).into());
                time(shape, ms)
            }
            ("terms", Some(FieldType::Boolean)) => {
                let truth = key == json!(1)
                    || key.as_f64() == Some(1.0)
                    || key == json!("true")
                    || key == json!(true);
                out.insert("key".to_owned(), json!(i32::from(truth)));
                out.insert("key_as_string".to_owned(), truth.to_string().into());
                truth.to_string()
            }
            ("terms", Some(FieldType::Long)) => {
                let key = key
                    .as_f64()
                    .filter(|key| key.fract() == 0.0 && key.abs() < 9e15)
                    .map_or(key, |key| json!(key as i64));
                out.insert("key".to_owned(), key.clone());
                key.to_string()
            }
            _ => {
                let text = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                out.insert("key".to_owned(), key);
                text
            }
        }
    }
}

/// The units of a calendar that are shown: none with too few events, and no empty ones at the ends.
fn shown_units(mut buckets: Vec<(String, Json)>, calendar: &Calendar) -> Vec<(String, Json)> {
    let count = |bucket: &Json| bucket["doc_count"].as_u64().unwrap_or(0);
    if calendar.min_doc_count > 0 {
        buckets.retain(|(_, bucket)| count(bucket) >= calendar.min_doc_count);
        return buckets;
    }
    let starts: Vec<f64> = buckets.iter().map(|(_, bucket)| bucket["key"].as_f64().unwrap_or(0.0)).collect();
    let is_meant = |n: usize| {
        let next = starts.get(n + 1).copied().unwrap_or(f64::INFINITY);
        calendar.extended.is_some_and(|(from, to)| starts[n] <= to && from < next)
    };
    let keeps = |n: usize| count(&buckets[n].1) > 0 || is_meant(n);
    let Some(first) = (0..buckets.len()).find(|n| keeps(*n)) else { return Vec::new() };
    let last = (first..buckets.len()).rfind(|n| keeps(*n)).unwrap_or(first);
    buckets.truncate(last + 1);
    buckets.drain(..first);
    buckets
}

/// The number at a path of a bucket: `_count`, `name`, `name.part`.
fn value_at(bucket: &Json, path: &str) -> Option<f64> {
    if path == "_count" {
        return bucket["doc_count"].as_f64();
    }
    let (name, part) = path.split_once(['.', '>']).unwrap_or((path, "value"));
    let typed = |key: &str| key.split_once('#').is_some_and(|(_, own)| own == name);
    let (_, own) = bucket.as_object()?.iter().find(|(key, _)| *key == name || typed(key))?;
    let part = part.strip_suffix(".value").unwrap_or(part);
    own[part]
        .as_f64()
        .or_else(|| own["values"][part].as_f64())
        .or_else(|| own["doc_count"].as_f64().filter(|_| part == "_count"))
}

/// Milliseconds as the format of the aggregation says.
pub(super) fn time(shape: &Shape, ms: f64) -> String {
    let ns = (ms as i64).saturating_mul(1_000_000);
    shape.format.as_ref().unwrap_or(&Format::Iso).write(ns, shape.zone.unwrap_or(Zone::UTC))
}

/// Numbers about times: milliseconds, and as text beside.
fn times(result: Json, shape: &Shape) -> Json {
    let Json::Object(result) = result else { return result };
    let mut out = Map::new();
    for (name, value) in result {
        let is_time = ["value", "min", "max", "avg", "sum"].contains(&name.as_str());
        match value.as_f64().filter(|_| is_time) {
            // The store counts times in nanoseconds.
            Some(ns) => {
                let ms = (ns / 1e6).trunc();
                out.insert(name.clone(), json!(ms));
                if name != "sum" {
                    out.insert(format!("{name}_as_string"), time(shape, ms).into());
                }
            }
            None => {
                out.insert(name, value);
            }
        }
    }
    Json::Object(out)
}
