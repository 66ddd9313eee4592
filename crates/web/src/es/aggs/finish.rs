//! From the store's results to the shape that Elasticsearch gives them.

use super::{Aggs, Calendar, Family, Form, Node, Order, Ranks, Shape};
use crate::es::EsError;
use crate::es::context::Context;
use crate::es::dates::{Format, Zone};
use crate::es::search::Wanted;
use serde_json::{Map, Value as Json, json};
use std::ops::Bound;
use store::{FieldType, Query, Value};

/// Searches that the results of others want.
pub(crate) trait Ask {
    /// The first events that match, as the `hits` of a search.
    fn hits(&mut self, query: Query, wanted: &Wanted) -> Result<Json, EsError>;

    /// The aggregations of all events: how many there are, and the store's results.
    fn all(&mut self, request: Option<Json>, filters: Vec<Query>) -> Result<(u64, Json), EsError>;
}

/// What results are given their shape with.
pub(crate) struct Finish<'a> {
    /// Whether the kind stands before each name.
    pub typed: bool,
    /// The fields.
    pub context: &'a Context,
    /// Whoever answers further searches.
    pub ask: &'a mut dyn Ask,
}

impl Aggs {
    /// The results as Elasticsearch gives them, for the events that match `within`.
    pub(crate) fn finish(
        &self,
        mut results: Json,
        within: &Query,
        by: &mut Finish<'_>,
    ) -> Result<Json, EsError> {
        let mut all = Map::new();
        for node in &self.0 {
            let result = results.get_mut(&node.name).map(Json::take).unwrap_or(Json::Null);
            let mut finished = match &node.form {
                // Counted once the others are there; from inside, by the aggregation around it.
                Form::Pipeline(_) => continue,
                Form::Store { shape, .. } => node.finish_store(result, shape, within, by)?,
                Form::Composite(composite) => composite.finish(node, result, within, by)?,
                Form::Hits(wanted) => json!({ "hits": by.ask.hits(within.clone(), wanted)? }),
                Form::Global => {
                    let mut filters = Vec::new();
                    let request = node.subs.request(&mut filters);
                    let (count, results) = by.ask.all(request, filters)?;
                    let mut bucket = Map::from_iter([("doc_count".to_owned(), count.into())]);
                    node.add_subs(&mut bucket, results, &Query::All, by)?;
                    Json::Object(bucket)
                }
                Form::Ranks(ranks) => node.finish_ranks(ranks, &result, &results),
                Form::Filters(filters) => {
                    let mut buckets = Vec::new();
                    for (n, (name, query)) in filters.iter().enumerate() {
                        let own = results.get_mut(node.part(n)).map(Json::take);
                        let mut own = match own {
                            Some(Json::Object(own)) => own,
                            _ => Map::new(),
                        };
                        let count = own.shift_remove("doc_count").unwrap_or(json!(0));
                        let mut bucket = Map::from_iter([("doc_count".to_owned(), count)]);
                        let inner = node.inner(within, || query.clone());
                        node.add_subs(&mut bucket, Json::Object(own), &inner, by)?;
                        buckets.push((name.clone(), Json::Object(bucket)));
                    }
                    finish_filters(node, buckets)
                }
            };
            node.add_meta(&mut finished);
            all.insert(node.shown_name(&finished, by.typed), finished);
        }
        for node in self.0.iter().filter(|node| node.family == Family::Sibling) {
            let Form::Pipeline(pipeline) = &node.form else { continue };
            let mut finished = node.over(pipeline, &all)?;
            node.add_meta(&mut finished);
            all.insert(node.shown_name(&finished, by.typed), finished);
        }
        Ok(Json::Object(all))
    }
}

fn finish_filters(node: &Node, buckets: Vec<(Option<String>, Json)>) -> Json {
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

/// What matches one question, as well as another one that does not count in the score.
pub(super) fn and(query: &Query, other: Query) -> Query {
    Query::Bool {
        must: vec![query.clone()],
        filter: vec![other],
        should: vec![],
        must_not: vec![],
        minimum_should_match: None,
    }
}

/// Milliseconds as nanoseconds.
pub(super) fn ns(ms: f64) -> i64 {
    (ms as i64).saturating_mul(1_000_000)
}

/// The events from one value on and below another; for times in milliseconds.
pub(super) fn range(field: &str, is_time: bool, from: Option<f64>, to: Option<f64>) -> Query {
    let value = |number: f64| if is_time { Value::Time(ns(number)) } else { Value::Float(number) };
    Query::Range {
        field: field.to_owned(),
        lower: from.map_or(Bound::Unbounded, |from| Bound::Included(value(from))),
        upper: to.map_or(Bound::Unbounded, |to| Bound::Excluded(value(to))),
    }
}

impl Node {
    /// The name in the answer, with the kind before it where that is wanted.
    pub(super) fn shown_name(&self, finished: &Json, typed: bool) -> String {
        if typed { format!("{}#{}", self.typed_kind(finished), self.name) } else { self.name.clone() }
    }

    fn typed_kind(&self, finished: &Json) -> &'static str {
        match self.kind {
            "terms" => match finished["buckets"][0].get("key") {
                Some(Json::Number(number)) if number.is_f64() => "dterms",
                Some(Json::Number(_)) => "lterms",
                _ => "sterms",
            },
            "percentiles" => "tdigest_percentiles",
            "percentile_ranks" => "tdigest_percentile_ranks",
            "cumulative_sum" | "serial_diff" | "avg_bucket" | "sum_bucket" => "simple_value",
            "min_bucket" | "max_bucket" => "bucket_metric_value",
            kind => kind,
        }
    }

    fn add_meta(&self, finished: &mut Json) {
        if let (Some(meta), Json::Object(object)) = (&self.meta, finished) {
            object.shift_insert(0, "meta".to_owned(), meta.clone());
        }
    }

    /// What the events of a bucket match; made only where they are searched for.
    pub(super) fn inner(&self, within: &Query, own: impl FnOnce() -> Query) -> Query {
        if self.subs.wants_hits() { and(within, own()) } else { Query::None }
    }

    pub(super) fn add_subs(
        &self,
        bucket: &mut Map<String, Json>,
        results: Json,
        within: &Query,
        by: &mut Finish<'_>,
    ) -> Result<(), EsError> {
        if !self.subs.0.is_empty()
            && let Json::Object(subs) = self.subs.finish(results, within, by)?
        {
            bucket.extend(subs);
        }
        Ok(())
    }

    fn finish_store(
        &self,
        result: Json,
        shape: &Shape,
        within: &Query,
        by: &mut Finish<'_>,
    ) -> Result<Json, EsError> {
        Ok(match self.kind {
            "terms" | "histogram" | "date_histogram" | "range" | "date_range" => {
                return self.finish_buckets(result, shape, within, by);
            }
            "cardinality" | "value_count" => {
                json!({ "value": result["value"].as_f64().map_or(0, |value| value.round() as u64) })
            }
            "percentiles" => result,
            _ if by.context.kind(&shape.field) == Some(FieldType::Date) => times(result, shape),
            _ => result,
        })
    }

    fn finish_ranks(&self, ranks: &Ranks, total: &Json, results: &Json) -> Json {
        let total = total["value"].as_f64().unwrap_or(0.0);
        let percent = |n: usize| {
            let count = results[self.part(n)]["doc_count"].as_f64().unwrap_or(0.0);
            (total > 0.0).then(|| 100.0 * count / total)
        };
        let ranked = ranks.values.iter().enumerate().map(|(n, value)| (*value, percent(n)));
        if ranks.keyed {
            let keyed: Map<String, Json> =
                ranked.map(|(value, percent)| (format!("{value:?}"), json!(percent))).collect();
            return json!({ "values": keyed });
        }
        let list: Vec<Json> =
            ranked.map(|(value, percent)| json!({ "key": value, "value": percent })).collect();
        json!({ "values": list })
    }

    /// What the events of a bucket have, from its key and its other members in the store.
    fn bucket_query(
        &self,
        key: &Json,
        bucket: &Map<String, Json>,
        shape: &Shape,
        context: &Context,
    ) -> Query {
        let field = shape.field.clone();
        let is_time = context.kind(&field) == Some(FieldType::Date);
        if self.kind != "terms" {
            let from = key.as_f64().unwrap_or(0.0);
            return range(&field, is_time, Some(from), Some(from + shape.interval));
        }
        let value = match (key, context.kind(&field)) {
            (key, Some(FieldType::Boolean)) => Value::Bool(is_true(key)),
            (_, Some(FieldType::Date)) => {
                let text = bucket.get("key_as_string").and_then(Json::as_str).or(key.as_str());
                Value::Str(text.unwrap_or_default().to_owned())
            }
            (Json::Number(number), _) => Value::Float(number.as_f64().unwrap_or(0.0)),
            (Json::String(text), _) => Value::Str(text.clone()),
            (other, _) => Value::Str(other.to_string()),
        };
        let is_missing = shape.missing.as_ref().is_some_and(|missing| {
            missing == key || missing.as_f64().is_some_and(|missing| key.as_f64() == Some(missing))
        });
        let own = Query::Terms { field: field.clone(), values: vec![value] };
        if is_missing { Query::or(vec![own, Query::Exists { field }.negate()]) } else { own }
    }

    fn finish_buckets(
        &self,
        mut result: Json,
        shape: &Shape,
        within: &Query,
        by: &mut Finish<'_>,
    ) -> Result<Json, EsError> {
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
            let inner;
            let name = if is_range {
                // The store fills the gaps between the ranges; nobody asked for those.
                let Some(own) = key.as_str().and_then(|n| shape.ranges.get(n.parse::<usize>().ok()?)) else {
                    continue;
                };
                let is_time = shape.calendar.is_some() || self.kind == "date_range";
                inner = self.inner(within, || range(&shape.field, is_time, own.from, own.to));
                if shape.calendar.is_some() {
                    let ms = own.from.unwrap_or(0.0);
                    out.insert("key_as_string".to_owned(), shape.time(ms).into());
                    out.insert("key".to_owned(), json!(ms as i64));
                } else {
                    out.insert("key".to_owned(), own.key.as_str().into());
                    for (side, value) in [("from", own.from), ("to", own.to)] {
                        let Some(value) = value else { continue };
                        out.insert(side.to_owned(), json!(value));
                        if self.kind == "date_range" {
                            out.insert(format!("{side}_as_string"), shape.time(value).into());
                        }
                    }
                }
                own.key.clone()
            } else {
                inner = self.inner(within, || self.bucket_query(&key, &bucket, shape, by.context));
                self.insert_key(&mut out, key, &bucket, shape, by.context)
            };
            out.insert("doc_count".to_owned(), count);
            if let Some(error) = bucket.shift_remove("doc_count_error_upper_bound") {
                out.insert("doc_count_error_upper_bound".to_owned(), error);
            }
            self.add_subs(&mut out, Json::Object(bucket), &inner, by)?;
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
        self.add_parents(&mut finished, by.typed);
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
        Ok(Json::Object(out))
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
                let text = shape.time(ms);
                out.insert("key_as_string".to_owned(), text.as_str().into());
                out.insert("key".to_owned(), json!(ms as i64));
                text
            }
            ("terms", Some(FieldType::Date)) => {
                let text = bucket.get("key_as_string").and_then(Json::as_str).or(key.as_str());
                let ns = text.and_then(|text| store::Value::Str(text.to_owned()).time());
                let ms = ns.map_or_else(|| key.as_f64().unwrap_or(0.0), |ns| (ns / 1_000_000) as f64);
                out.insert("key".to_owned(), json!(ms as i64));
                out.insert("key_as_string".to_owned(), shape.time(ms).into());
                shape.time(ms)
            }
            ("terms", Some(FieldType::Boolean)) => {
                let truth = is_true(&key);
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

/// Milliseconds as a format says.
pub(super) fn time(format: Option<&Format>, zone: Option<Zone>, ms: f64) -> String {
    format.unwrap_or(&Format::Iso).write(ns(ms), zone.unwrap_or(Zone::UTC))
}

impl Shape {
    /// Milliseconds as the format of the aggregation says.
    pub(super) fn time(&self, ms: f64) -> String {
        time(self.format.as_ref(), self.zone, ms)
    }
}

fn is_true(key: &Json) -> bool {
    key.as_f64() == Some(1.0) || *key == json!("true") || *key == json!(true)
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
                    out.insert(format!("{name}_as_string"), shape.time(ms).into());
                }
            }
            None => {
                out.insert(name, value);
            }
        }
    }
    Json::Object(out)
}
