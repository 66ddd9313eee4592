//! Aggregations: read from Elasticsearch's JSON, handed to the store in the form that it
//! knows, and its results given the shape that Elasticsearch gives them.
//!
//! What the store has no aggregation for is made of what it has: `filters`, `missing` and
//! `percentile_ranks` of its `filter`. The events of `top_hits` are searched for bucket by bucket
//! when its results are there.

mod composite;
mod finish;
mod pipeline;

pub(crate) use finish::{Ask, Finish};

use super::EsError;
use super::context::Context;
use super::dates::{Format, Zone};
use super::dsl::{self, plain};
use super::search::Wanted;
use composite::Composite;
use pipeline::Pipeline;
use serde_json::{Map, Value as Json, json};
use std::ops::Bound;
use store::{Query, Value};

const DEPTH_MAX: usize = 8;
const COUNT_MAX: usize = 100;

/// What an aggregation can hold and where it can stand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    /// Others stand in it.
    Bucket,
    /// Nothing stands in it.
    Metric,
    /// Stands in a histogram, and is counted from its buckets.
    Parent,
    /// Stands beside one with buckets, and is counted from them.
    Sibling,
}

const KINDS: [(&str, Family); 29] = [
    ("terms", Family::Bucket),
    ("date_histogram", Family::Bucket),
    ("histogram", Family::Bucket),
    ("range", Family::Bucket),
    ("date_range", Family::Bucket),
    ("filter", Family::Bucket),
    ("filters", Family::Bucket),
    ("missing", Family::Bucket),
    ("global", Family::Bucket),
    ("composite", Family::Bucket),
    ("avg", Family::Metric),
    ("min", Family::Metric),
    ("max", Family::Metric),
    ("sum", Family::Metric),
    ("stats", Family::Metric),
    ("extended_stats", Family::Metric),
    ("percentiles", Family::Metric),
    ("percentile_ranks", Family::Metric),
    ("cardinality", Family::Metric),
    ("value_count", Family::Metric),
    ("top_hits", Family::Metric),
    ("derivative", Family::Parent),
    ("cumulative_sum", Family::Parent),
    ("serial_diff", Family::Parent),
    ("avg_bucket", Family::Sibling),
    ("min_bucket", Family::Sibling),
    ("max_bucket", Family::Sibling),
    ("sum_bucket", Family::Sibling),
    ("stats_bucket", Family::Sibling),
];

/// The aggregations of a search, or of a bucket.
#[derive(Debug, Clone, Default)]
pub struct Aggs(Vec<Node>);

#[derive(Debug, Clone)]
struct Node {
    name: String,
    kind: &'static str,
    family: Family,
    meta: Option<Json>,
    subs: Aggs,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// What the store answers, and what is needed to shape its answer.
    Store { request: Json, shape: Shape },
    /// Buckets of what matches a question, by name or number; with `filter` and `missing` there is one.
    Filters(Vec<(Option<String>, Query)>),
    /// All events of the indices, whatever the search looks for.
    Global,
    /// How many percent of the values are not above some.
    Ranks(Ranks),
    /// Buckets of the values of several fields together.
    Composite(Composite),
    /// The first events of the bucket around it.
    Hits(Box<Wanted>),
    /// What is counted from the buckets around it, or from those of another one beside it.
    Pipeline(Pipeline),
}

#[derive(Debug, Clone)]
struct Ranks {
    field: String,
    values: Vec<f64>,
    keyed: bool,
}

/// What the answer of the store lacks.
#[derive(Debug, Clone, Default)]
struct Shape {
    field: String,
    format: Option<Format>,
    zone: Option<Zone>,
    keyed: bool,
    /// The length of a histogram's buckets, in milliseconds for times.
    interval: f64,
    /// What events without the field are counted as, in a bucket of `terms`.
    missing: Option<Json>,
    /// The buckets of a range by the keys they have in the store.
    ranges: Vec<RangeBucket>,
    /// Set where the ranges are units of a calendar.
    calendar: Option<Calendar>,
    /// The order of a histogram's buckets.
    order: Order,
}

/// Which units of a calendar are shown though they are empty.
#[derive(Debug, Clone, Default)]
struct Calendar {
    min_doc_count: u64,
    /// Also beyond the first and the last that hold something, in milliseconds.
    extended: Option<(f64, f64)>,
}

/// The order of a histogram's buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Order {
    #[default]
    Rising,
    Falling,
    FewFirst,
    ManyFirst,
}

#[derive(Debug, Clone)]
struct RangeBucket {
    key: String,
    from: Option<f64>,
    to: Option<f64>,
}

/// Reads the value of `"aggs"`.
pub fn read(json: &Json, context: &Context) -> Result<Aggs, EsError> {
    let mut count = 0;
    read_level(json, context, 0, &mut count)
}

fn read_level(json: &Json, context: &Context, depth: usize, count: &mut usize) -> Result<Aggs, EsError> {
    if depth > DEPTH_MAX {
        return Err(EsError::argument(format!("aggregations are nested deeper than {DEPTH_MAX} levels")));
    }
    let object =
        json.as_object().ok_or_else(|| EsError::parsing("[aggs] must be an object").about("aggs"))?;
    let mut nodes = Vec::new();
    for (name, body) in object {
        *count += 1;
        if *count > COUNT_MAX {
            return Err(EsError::argument(format!("more than {COUNT_MAX} aggregations in one search")));
        }
        nodes.push(read_node(name, body, context, depth, count)?);
    }
    Ok(Aggs(nodes))
}

fn read_node(
    name: &str,
    body: &Json,
    context: &Context,
    depth: usize,
    count: &mut usize,
) -> Result<Node, EsError> {
    if name.contains(['[', ']', '>']) {
        return Err(EsError::argument(format!(
            "Invalid aggregation name [{name}]. Aggregation names can contain any character except '[', ']', and '>'"
        )));
    }
    let body = body
        .as_object()
        .ok_or_else(|| EsError::parsing(format!("the aggregation [{name}] must be an object")).about(name))?;
    let kinds = || KINDS.map(|(kind, _)| kind);
    let (mut kind, mut subs, mut meta) = (None, Aggs::default(), None);
    for (key, value) in body {
        match key.as_str() {
            "aggs" | "aggregations" => subs = read_level(value, context, depth + 1, count)?,
            "meta" => meta = Some(value.clone()),
            other => {
                let known = KINDS.into_iter().find(|(kind, _)| *kind == other);
                let known = known.ok_or_else(|| EsError::unknown("the aggregation", other, &kinds()))?;
                if kind.replace((known, value)).is_some() {
                    return Err(EsError::parsing(format!(
                        "Found two aggregation type definitions in [{name}]"
                    ))
                    .about(other));
                }
            }
        }
    }
    let Some(((kind, family), options)) = kind else {
        return Err(EsError::parsing(format!(
            "Missing definition for aggregation [{name}]; there are {}",
            kinds().join(", ")
        ))
        .about(name));
    };
    if family != Family::Bucket && !subs.0.is_empty() {
        return Err(EsError::new(
            400,
            "aggregation_initialization_exception",
            format!("Aggregator [{name}] of type [{kind}] cannot accept sub-aggregations"),
        ));
    }
    if depth > 0 && (kind == "global" || kind == "composite") {
        return Err(EsError::argument(format!(
            "[{kind}] aggregation cannot be used with a parent; [{name}]"
        )));
    }
    let form = match kind {
        "filter" | "filters" | "missing" => read_filters(kind, options, context)?,
        "global" => known(kind, options, &[]).map(|_| Form::Global)?,
        "percentile_ranks" => read_ranks(options)?,
        "composite" => Form::Composite(Composite::read(options, context)?),
        "top_hits" => Form::Hits(Box::new(Wanted::of_hits(name, options, context)?)),
        _ if matches!(family, Family::Parent | Family::Sibling) => {
            Form::Pipeline(Pipeline::read(kind, options)?)
        }
        _ => read_store(kind, options, context)?,
    };
    let has_parents = subs.0.iter().any(|sub| sub.family == Family::Parent);
    if (family == Family::Parent && depth == 0) || (has_parents && !kind.ends_with("histogram")) {
        let reason = format!(
            "[{name}]: derivative, cumulative_sum and serial_diff must have a histogram or date_histogram as parent"
        );
        return Err(EsError::new(400, "action_request_validation_exception", reason));
    }
    Ok(Node { name: name.to_owned(), kind, family, meta, subs, form })
}

fn read_filters(kind: &str, options: &Json, context: &Context) -> Result<Form, EsError> {
    if kind == "filter" {
        return Ok(Form::Filters(vec![(None, dsl::query(options, context)?)]));
    }
    if kind == "missing" {
        let field = plain(known(kind, options, &["field"])?.get("field").unwrap_or(&Json::Null));
        return Ok(Form::Filters(vec![(None, Query::Exists { field }.negate())]));
    }
    let options = known(kind, options, &["filters", "other_bucket", "other_bucket_key"])?;
    let mut filters = Vec::new();
    match options.get("filters") {
        Some(Json::Object(named)) => {
            for (name, filter) in named {
                filters.push((Some(name.clone()), dsl::query(filter, context)?));
            }
        }
        Some(Json::Array(list)) => {
            for filter in list {
                filters.push((None, dsl::query(filter, context)?));
            }
        }
        _ => {
            return Err(EsError::parsing("[filters] needs an object or a list of filters").about("filters"));
        }
    }
    let other_key = options.get("other_bucket_key").map(plain);
    if other_key.is_some() || options.get("other_bucket") == Some(&Json::Bool(true)) {
        let other = Query::Bool {
            must: vec![],
            filter: vec![],
            should: vec![],
            must_not: filters.iter().map(|(_, query)| query.clone()).collect(),
            minimum_should_match: None,
        };
        let named = filters.first().is_none_or(|(name, _)| name.is_some());
        filters.push((named.then(|| other_key.unwrap_or_else(|| "_other_".to_owned())), other));
    }
    if filters.len() > 50 {
        return Err(EsError::argument("[filters] has more than 50 filters"));
    }
    Ok(Form::Filters(filters))
}

fn read_ranks(options: &Json) -> Result<Form, EsError> {
    let options = known("percentile_ranks", options, &["field", "values", "keyed", "tdigest", "hdr"])?;
    let field = options.get("field").and_then(Json::as_str);
    let field = field.ok_or_else(|| {
        EsError::argument("Required one of fields [field], but none were specified in [percentile_ranks]")
    })?;
    let values = options.get("values").and_then(Json::as_array).map(|list| {
        list.iter().map(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok())).collect()
    });
    let Some(Some(mut values)) =
        values.filter(|list: &Option<Vec<f64>>| list.as_ref().is_none_or(|list| !list.is_empty()))
    else {
        return Err(EsError::argument("[values] of [percentile_ranks] must be a list of numbers"));
    };
    values.sort_by(f64::total_cmp);
    let keyed = options.get("keyed") != Some(&Json::Bool(false));
    Ok(Form::Ranks(Ranks { field: field.to_owned(), values, keyed }))
}

fn known<'j>(kind: &str, options: &'j Json, names: &[&str]) -> Result<&'j Map<String, Json>, EsError> {
    let options = options
        .as_object()
        .ok_or_else(|| EsError::parsing(format!("[{kind}] must be an object")).about(kind))?;
    match options.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(EsError::unknown(&format!("the option of the aggregation [{kind}]"), name, names)),
        None => Ok(options),
    }
}

fn read_store(kind: &str, options: &Json, context: &Context) -> Result<Form, EsError> {
    let names: &[&str] = match kind {
        "terms" => &[
            "field",
            "size",
            "shard_size",
            "show_term_doc_count_error",
            "min_doc_count",
            "shard_min_doc_count",
            "order",
            "missing",
            "include",
            "exclude",
            "execution_hint",
            "collect_mode",
            "value_type",
        ],
        "date_histogram" => &[
            "field",
            "fixed_interval",
            "calendar_interval",
            "interval",
            "format",
            "time_zone",
            "offset",
            "min_doc_count",
            "extended_bounds",
            "hard_bounds",
            "order",
            "keyed",
        ],
        "histogram" => &[
            "field",
            "interval",
            "offset",
            "min_doc_count",
            "extended_bounds",
            "hard_bounds",
            "order",
            "keyed",
        ],
        "range" => &["field", "ranges", "keyed"],
        "date_range" => &["field", "ranges", "keyed", "format", "time_zone"],
        "extended_stats" => &["field", "missing", "format", "sigma"],
        "percentiles" => &["field", "percents", "keyed", "missing", "tdigest", "format"],
        "cardinality" => &["field", "missing", "precision_threshold"],
        _ => &["field", "missing", "format"],
    };
    let options = known(kind, options, names)?;
    let field = options.get("field").and_then(Json::as_str);
    let field = field.ok_or_else(|| {
        EsError::argument(format!(
            "Required one of fields [field], but none were specified in [{kind}]; scripts are not supported"
        ))
    })?;
    let mut request = options.clone();
    let mut shape = Shape { field: field.to_owned(), ..Shape::default() };
    for name in [
        "shard_min_doc_count",
        "execution_hint",
        "collect_mode",
        "value_type",
        "tdigest",
        "precision_threshold",
        "format",
        "time_zone",
    ] {
        request.remove(name);
    }
    // Grafana writes numbers as text.
    for name in ["size", "shard_size", "min_doc_count", "sigma", "percents"] {
        if let Some(value) = request.get_mut(name) {
            as_numbers(value);
        }
    }
    if let Some(interval) = request.get_mut("interval").filter(|_| kind == "histogram") {
        as_numbers(interval);
    }
    if let Some(format) = options.get("format").and_then(Json::as_str) {
        // Patterns of numbers are not followed.
        shape.format = Format::parse_list(format).ok().map(|mut list| list.remove(0));
    }
    if let Some(zone) = options.get("time_zone").and_then(Json::as_str) {
        shape.zone = Some(Zone::parse(zone)?);
    }
    shape.keyed = options.get("keyed") == Some(&Json::Bool(true));
    if kind != "percentiles" {
        request.remove("keyed");
    }
    match kind {
        "terms" => {
            shape.missing = request.get("missing").cloned();
            read_order(&mut request)?;
        }
        "date_histogram" | "histogram" => {
            shape.order = read_histogram_order(kind, request.remove("order"))?;
            if kind == "histogram" {
                shape.interval = request.get("interval").and_then(Json::as_f64).unwrap_or(0.0);
            } else if !read_calendar(&mut request, &mut shape, context)? {
                shape.interval = read_intervals(&mut request, &shape, context)? as f64;
            }
            if request.get("min_doc_count").and_then(Json::as_u64).unwrap_or(0) > 0 {
                request.remove("extended_bounds");
            }
        }
        "range" | "date_range" => read_ranges(kind, &mut request, &mut shape, context)?,
        _ => {}
    }
    let name = if kind == "date_range" || shape.calendar.is_some() { "range" } else { kind };
    Ok(Form::Store { request: json!({ name: request }), shape })
}

/// Text that is a number becomes one, also in a list.
fn as_numbers(value: &mut Json) {
    match value {
        Json::String(text) => {
            let whole = text.parse::<i64>().ok().map(Json::from);
            if let Some(number) = whole.or_else(|| text.parse::<f64>().ok().map(Json::from)) {
                *value = number;
            }
        }
        Json::Array(list) => list.iter_mut().for_each(as_numbers),
        _ => {}
    }
}

/// One order only; Elasticsearch's second one is for equal values, where the key decides.
fn read_order(request: &mut Map<String, Json>) -> Result<(), EsError> {
    if request.get("size").and_then(Json::as_u64) == Some(0) {
        return Err(EsError::argument("[size] must be greater than 0. Found [0] in [terms]"));
    }
    let Some(order) = request.remove("order") else { return Ok(()) };
    let first = match order {
        Json::Array(list) => list.into_iter().next().unwrap_or(json!({})),
        one => one,
    };
    let Json::Object(first) = first else {
        return Err(EsError::parsing("[order] must be an object").about("order"));
    };
    let renamed = first.into_iter().map(|(by, order)| {
        let by = if by == "_term" || by == "_time" {
            "_key".to_owned()
        } else {
            by.trim_end_matches(".value").to_owned()
        };
        (by, order)
    });
    let order: Map<String, Json> = renamed.collect();
    if !order.is_empty() {
        request.insert("order".to_owned(), Json::Object(order));
    }
    Ok(())
}

fn read_histogram_order(kind: &str, order: Option<Json>) -> Result<Order, EsError> {
    let order = match order {
        None => return Ok(Order::Rising),
        Some(Json::Array(list)) => list.into_iter().next().unwrap_or_default(),
        Some(one) => one,
    };
    let first = order.as_object().and_then(|order| order.iter().next());
    let (by, way) = first.map_or(("", ""), |(by, way)| (by.as_str(), way.as_str().unwrap_or_default()));
    Ok(match (by, way) {
        ("_key" | "_time", "asc") => Order::Rising,
        ("_key" | "_time", "desc") => Order::Falling,
        ("_count", "asc") => Order::FewFirst,
        ("_count", "desc") => Order::ManyFirst,
        _ => {
            return Err(EsError::argument(format!(
                "the order of [{kind}] must be by [_key] or [_count], [asc] or [desc]"
            )));
        }
    })
}

/// As Elasticsearch's `search.max_buckets`, for units of a calendar, whose ranges are made here.
const CALENDAR_MAX: usize = 10_000;

/// Units of a calendar that differ in length become ranges: months, quarters and years, and days
/// and weeks in a zone whose clocks change. Says whether it was that. The ranges are between the
/// times of what can be found, so it works for `@timestamp` alone.
fn read_calendar(
    request: &mut Map<String, Json>,
    shape: &mut Shape,
    context: &Context,
) -> Result<bool, EsError> {
    let interval = request.get("calendar_interval").or_else(|| request.get("interval")).map(plain);
    let zone = shape.zone.unwrap_or(Zone::UTC);
    let (from, to) = context.bounds.unwrap_or((0, 0));
    let changes =
        zone.offset_at(from) != zone.offset_at(to) || zone.offset_at(to) != zone.offset_at(context.now);
    let unit = match interval.as_deref() {
        Some("month" | "1M") => "M",
        Some("quarter" | "1q") => "q",
        Some("year" | "1y") => "y",
        Some("day" | "1d") if changes => "d",
        Some("week" | "1w") if changes => "w",
        _ => return Ok(false),
    };
    if request.contains_key("offset")
        || request.contains_key("hard_bounds")
        || request.contains_key("fixed_interval")
    {
        return Err(EsError::argument(
            "[offset] and [hard_bounds] are not supported with units of a calendar",
        ));
    }
    if shape.field != "@timestamp" {
        return Err(EsError::argument(format!(
            "the interval [{unit}] of [date_histogram] is supported for [@timestamp] alone, not for [{}]; there are fixed ones such as 1h, 1d",
            shape.field
        )));
    }
    let mut reader = context.times();
    reader.zone = zone;
    reader.formats.push(Format::EpochMillis);
    let mut extended = None;
    if let Some(bounds) = request.remove("extended_bounds") {
        let side = |name: &str| {
            let text = plain(&bounds[name]);
            let ns = reader.read(&text, false);
            ns.ok_or_else(|| {
                EsError::parsing(format!("failed to parse [{text}] in [extended_bounds]")).about(&text)
            })
        };
        extended = Some((side("min")?, side("max")?));
    }
    let (from, to) = match (context.bounds, extended) {
        (None, None) => (0, 0),
        (Some((from, to)), Some((least, most))) => (from.min(least), to.max(most)),
        (own, other) => own.or(other).unwrap_or_default(),
    };
    let begins = reader.beginnings(from, to.max(from), unit, CALENDAR_MAX).ok_or_else(|| {
        EsError::new(
            400,
            "too_many_buckets_exception",
            format!("Trying to create too many buckets. Must be less than or equal to: [{CALENDAR_MAX}]"),
        )
    })?;
    let mut ranges = Vec::new();
    for (n, sides) in begins.windows(2).enumerate() {
        ranges.push(json!({ "key": n.to_string(), "from": sides[0] as f64, "to": sides[1] as f64 }));
        let ms = |ns: i64| Some((ns / 1_000_000) as f64);
        shape.ranges.push(RangeBucket { key: n.to_string(), from: ms(sides[0]), to: ms(sides[1]) });
    }
    let min_doc_count = request.get("min_doc_count").and_then(Json::as_u64).unwrap_or(0);
    let ms = |ns: i64| (ns / 1_000_000) as f64;
    let extended = extended.filter(|_| min_doc_count == 0).map(|(least, most)| (ms(least), ms(most)));
    shape.calendar = Some(Calendar { min_doc_count, extended });
    *request = Map::from_iter([
        ("field".to_owned(), shape.field.as_str().into()),
        ("ranges".to_owned(), ranges.into()),
    ]);
    Ok(true)
}

/// Intervals of the calendar that always have the same length become fixed ones, and time
/// zones become offsets: that of now, where they change. Returns the length in milliseconds.
fn read_intervals(request: &mut Map<String, Json>, shape: &Shape, context: &Context) -> Result<i64, EsError> {
    let calendar = request.remove("calendar_interval").map(|interval| plain(&interval));
    let legacy = request.remove("interval").map(|interval| plain(&interval));
    let fixed = request.remove("fixed_interval").map(|interval| plain(&interval));
    let mut shift = 0_i64;
    let interval = match (fixed, calendar.or(legacy)) {
        (Some(fixed), None) => fixed,
        (None, Some(name)) => match name.as_str() {
            name if let Some(length) = unit_ms(name) => format!("{length}ms"),
            "week" | "1w" => {
                // Weeks begin on a Monday, 1970 began on a Thursday.
                shift = 4 * DAY_MS;
                "7d".to_owned()
            }
            other if interval_ms(other).is_some() => other.to_owned(),
            other => {
                return Err(EsError::argument(format!(
                    "the interval [{other}] of [date_histogram] is not supported; there are second, minute, hour, day, week, and fixed ones such as 30s, 5m, 1h, 1d"
                )));
            }
        },
        (Some(_), Some(_)) => {
            return Err(EsError::argument(
                "Cannot use [fixed_interval] with [calendar_interval] or [interval]",
            ));
        }
        (None, None) => {
            return Err(EsError::argument(
                "Required one of fields [fixed_interval, calendar_interval], but none were specified",
            ));
        }
    };
    let length = interval_ms(&interval).ok_or_else(|| {
        EsError::argument(format!("failed to parse setting [date_histogram.fixedInterval] with value [{interval}]; such as 30s, 5m, 1h, 1d"))
    })?;
    if let Some(offset) = request.remove("offset") {
        let text = plain(&offset);
        let (sign, text) =
            text.strip_prefix('-').map_or((1, text.trim_start_matches('+')), |text| (-1, text));
        shift += sign
            * interval_ms(text)
                .ok_or_else(|| EsError::argument(format!("failed to parse [offset] [{text}]")))?;
    }
    if let Some(zone) = shape.zone {
        shift -= i64::from(zone.offset_at(context.now)) * 1_000;
    }
    request.insert("fixed_interval".to_owned(), format!("{length}ms").into());
    let shift = shift.rem_euclid(length);
    if shift != 0 {
        request.insert("offset".to_owned(), format!("{shift}ms").into());
    }
    for bounds in ["extended_bounds", "hard_bounds"] {
        let Some(Json::Object(sides)) = request.get_mut(bounds) else { continue };
        for side in sides.values_mut() {
            if let Json::String(text) = side {
                let mut reader = context.times();
                reader.zone = shape.zone.unwrap_or(Zone::UTC);
                reader.formats.push(Format::EpochMillis);
                let ns = reader.read(text, false).ok_or_else(|| {
                    EsError::parsing(format!("failed to parse [{text}] in [{bounds}]")).about(text)
                })?;
                *side = json!(ns / 1_000_000);
            }
        }
    }
    Ok(length)
}

const DAY_MS: i64 = 86_400_000;

/// The units of the calendar that always have the same length, weeks excepted, by their names.
fn unit_ms(name: &str) -> Option<i64> {
    Some(match name {
        "second" => 1_000,
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => DAY_MS,
        _ => return None,
    })
}

/// `30s`, `1.5h` is refused.
fn interval_ms(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: i64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return None,
    };
    count.checked_mul(unit).filter(|length| *length > 0)
}

/// Each range gets its number as a key, so that its bucket is found again.
fn read_ranges(
    kind: &str,
    request: &mut Map<String, Json>,
    shape: &mut Shape,
    context: &Context,
) -> Result<(), EsError> {
    let list = request.get("ranges").and_then(Json::as_array).cloned().unwrap_or_default();
    if list.is_empty() {
        return Err(EsError::argument(format!("No [ranges] specified for the [{kind}] aggregation")));
    }
    let mut reader = context.times();
    reader.zone = shape.zone.unwrap_or(Zone::UTC);
    if let Some(format) = &shape.format {
        reader.formats = vec![format.clone()];
    }
    let mut asked = Vec::new();
    for (n, range) in list.iter().enumerate() {
        let range = known("range", range, &["key", "from", "to"])?;
        let side = |name: &str| -> Result<Option<f64>, EsError> {
            match range.get(name) {
                None | Some(Json::Null) => Ok(None),
                Some(Json::Number(number)) => Ok(number.as_f64()),
                Some(Json::String(text)) if kind == "date_range" => {
                    let ns = reader.read(text, false);
                    let ns = ns.ok_or_else(|| {
                        EsError::parsing(format!("failed to parse date field [{text}]")).about(text)
                    })?;
                    Ok(Some((ns / 1_000_000) as f64))
                }
                Some(other) => Ok(Some(plain(other).parse().map_err(|_| {
                    EsError::parsing(format!("[{name}] of a range must be a number, not {other}"))
                })?)),
            }
        };
        let (from, to) = (side("from")?, side("to")?);
        let scale = if kind == "date_range" { 1e6 } else { 1.0 };
        let mut own = json!({ "key": n.to_string() });
        for (name, value) in [("from", from), ("to", to)] {
            if let Some(value) = value {
                own[name] = json!(value * scale);
            }
        }
        asked.push(own);
        let named = range.get("key").map(plain);
        let text = |value: Option<f64>| match value {
            None => "*".to_owned(),
            Some(value) if kind == "date_range" => shape.time(value),
            Some(value) => format!("{value:?}"),
        };
        let key = named.unwrap_or_else(|| format!("{}-{}", text(from), text(to)));
        shape.ranges.push(RangeBucket { key, from, to });
    }
    request.insert("ranges".to_owned(), asked.into());
    Ok(())
}

impl Aggs {
    /// What the store is asked for together with the search itself, if there is anything. What its
    /// `filter` aggregations look for is added to `filters`.
    pub fn request(&self, filters: &mut Vec<Query>) -> Option<Json> {
        let mut all = Map::new();
        for node in &self.0 {
            match &node.form {
                Form::Store { request, .. } => {
                    all.insert(node.name.clone(), node.with_subs(request.clone(), filters));
                }
                Form::Composite(composite) => {
                    all.insert(node.name.clone(), node.with_subs(composite.request(), filters));
                }
                Form::Filters(own) => {
                    for (n, (_, query)) in own.iter().enumerate() {
                        all.insert(node.part(n), node.with_subs(filter(query.clone(), filters), filters));
                    }
                }
                Form::Ranks(ranks) => {
                    all.insert(node.name.clone(), json!({ "value_count": { "field": ranks.field } }));
                    for (n, value) in ranks.values.iter().enumerate() {
                        let upper = Bound::Included(Value::Float(*value));
                        let up_to =
                            Query::Range { field: ranks.field.clone(), lower: Bound::Unbounded, upper };
                        all.insert(node.part(n), filter(up_to, filters));
                    }
                }
                Form::Global | Form::Hits(_) | Form::Pipeline(_) => {}
            }
        }
        (!all.is_empty()).then_some(Json::Object(all))
    }

    /// Whether events of buckets are searched for.
    fn wants_hits(&self) -> bool {
        self.0.iter().any(|node| matches!(node.form, Form::Hits(_)) || node.subs.wants_hits())
    }
}

/// The store's form of a filter, which names its question by the place in a list.
fn filter(query: Query, filters: &mut Vec<Query>) -> Json {
    filters.push(query);
    json!({ "filter": (filters.len() - 1).to_string() })
}

impl Node {
    fn with_subs(&self, mut request: Json, filters: &mut Vec<Query>) -> Json {
        if let Some(subs) = self.subs.request(filters) {
            request["aggs"] = subs;
        }
        request
    }

    /// The name in the store of one of several that this one is made of; nobody can have given it.
    fn part(&self, n: usize) -> String {
        format!("{}>{n}", self.name)
    }
}

#[cfg(test)]
mod tests;
