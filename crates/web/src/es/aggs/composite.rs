//! `composite`: buckets of the values of several fields together, page by page.

use super::finish::ns;
use super::{EsError, Node, finish, interval_ms, known, plain, unit_ms};
use crate::es::aggs::Finish;
use crate::es::context::Context;
use crate::es::dates::{Format, Zone};
use serde_json::{Map, Value as Json, json};
use store::{FieldType, Query, Value};

/// As Elasticsearch's `search.max_buckets`.
const SIZE_MAX: u64 = 10_000;
const SOURCES_MAX: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Composite {
    sources: Vec<Source>,
    size: u64,
    /// The key of the last page's last bucket, in the store's form.
    after: Option<Map<String, Json>>,
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    field: String,
    /// The type of the field, if any index has it.
    field_type: Option<FieldType>,
    cut: Cut,
    /// The source as the store takes it.
    request: Json,
    format: Option<Format>,
}

/// What of a value is the key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    Whole,
    /// The beginning of its piece; the length of one, in milliseconds for times.
    Pieces(f64),
    /// The beginning of its unit of the calendar: `w`, `M`, `y`.
    Units(&'static str),
}

impl Composite {
    pub(super) fn read(options: &Json, context: &Context) -> Result<Self, EsError> {
        let options = known("composite", options, &["sources", "size", "after"])?;
        let list = options.get("sources").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        if list.is_empty() || list.len() > SOURCES_MAX {
            return Err(EsError::argument(format!(
                "Composite [sources] cannot be null or empty, or have more than {SOURCES_MAX} parts"
            )));
        }
        let sources =
            list.iter().map(|source| Source::read(source, context)).collect::<Result<Vec<_>, _>>()?;
        for (n, source) in sources.iter().enumerate() {
            if sources[..n].iter().any(|other| other.name == source.name) {
                return Err(EsError::argument(format!(
                    "Composite source names must be unique, found duplicates: [{}]",
                    source.name
                )));
            }
        }
        let size = match options.get("size") {
            None => 10,
            Some(size) => size.as_u64().or_else(|| size.as_str()?.parse().ok()).unwrap_or(0),
        };
        if !(1..=SIZE_MAX).contains(&size) {
            return Err(EsError::argument(format!("[size] of [composite] must be from 1 to {SIZE_MAX}")));
        }
        let after = match options.get("after") {
            None | Some(Json::Null) => None,
            Some(after) => Some(read_after(after, &sources, context)?),
        };
        Ok(Self { sources, size, after })
    }

    pub(super) fn request(&self) -> Json {
        let sources: Vec<Json> =
            self.sources.iter().map(|source| json!({ source.name.as_str(): source.request })).collect();
        let mut request = json!({ "sources": sources, "size": self.size });
        if let Some(after) = &self.after {
            request["after"] = Json::Object(after.clone());
        }
        json!({ "composite": request })
    }

    pub(super) fn finish(
        &self,
        node: &Node,
        mut result: Json,
        within: &Query,
        by: &mut Finish<'_>,
    ) -> Result<Json, EsError> {
        let Json::Array(buckets) = result["buckets"].take() else { return Ok(json!({ "buckets": [] })) };
        let mut finished = Vec::new();
        for bucket in buckets {
            let Json::Object(mut bucket) = bucket else { continue };
            let mut keys = bucket.shift_remove("key").unwrap_or(Json::Null);
            let keys: Vec<Json> =
                self.sources.iter().map(|source| keys[source.name.as_str()].take()).collect();
            let own = || {
                Query::and(self.sources.iter().zip(&keys).map(|(s, key)| s.query(key, by.context)).collect())
            };
            let inner = node.inner(within, own);
            let shown =
                self.sources.iter().zip(&keys).map(|(source, key)| (source.name.clone(), source.show(key)));
            let mut out = Map::new();
            out.insert("key".to_owned(), Json::Object(shown.collect()));
            out.insert("doc_count".to_owned(), bucket.shift_remove("doc_count").unwrap_or(json!(0)));
            node.add_subs(&mut out, Json::Object(bucket), &inner, by)?;
            finished.push(Json::Object(out));
        }
        let mut out = Map::new();
        if let Some(last) = finished.last() {
            out.insert("after_key".to_owned(), last["key"].clone());
        }
        out.insert("buckets".to_owned(), finished.into());
        Ok(Json::Object(out))
    }
}

impl Source {
    fn read(json: &Json, context: &Context) -> Result<Self, EsError> {
        let wrong = || {
            EsError::parsing("a source of [composite] is {\"name\": {\"terms\": {\"field\": \"a field\"}}}; there are terms, histogram and date_histogram")
                .about("sources")
        };
        let one = |json: &Json| -> Option<(String, Json)> {
            let object = json.as_object().filter(|object| object.len() == 1)?;
            object.iter().next().map(|(name, value)| (name.clone(), value.clone()))
        };
        let (name, source) = one(json).ok_or_else(wrong)?;
        let (kind, options) = one(&source).ok_or_else(wrong)?;
        let common = ["field", "order", "missing_bucket"];
        let own: &[&str] = match kind.as_str() {
            "terms" => &[],
            "histogram" => &["interval"],
            "date_histogram" => &["fixed_interval", "calendar_interval", "interval", "format", "time_zone"],
            _ => {
                return Err(EsError::unknown("the source", &kind, &["terms", "histogram", "date_histogram"]));
            }
        };
        let options = known(&kind, &options, &[&common[..], own].concat())?;
        let field = options.get("field").and_then(Json::as_str);
        let field = field
            .ok_or_else(|| {
                EsError::argument(format!(
                    "Required [field] of the source [{name}]; scripts are not supported"
                ))
            })?
            .to_owned();
        let mut request = Map::new();
        request.insert("field".to_owned(), field.as_str().into());
        match options.get("order").map(plain).as_deref() {
            None => {}
            Some(order @ ("asc" | "desc")) => {
                request.insert("order".to_owned(), order.into());
            }
            Some(order) => {
                return Err(EsError::argument(format!("the order [{order}] must be [asc] or [desc]")));
            }
        }
        if options.get("missing_bucket") == Some(&Json::Bool(true)) {
            request.insert("missing_bucket".to_owned(), true.into());
        }
        let cut = match kind.as_str() {
            "terms" => Cut::Whole,
            "histogram" => {
                let interval = options.get("interval").map(plain).and_then(|text| text.parse::<f64>().ok());
                let interval = interval.filter(|interval| *interval > 0.0).ok_or_else(|| {
                    EsError::argument(format!("[interval] of the source [{name}] must be greater than 0"))
                })?;
                request.insert("interval".to_owned(), interval.into());
                Cut::Pieces(interval)
            }
            _ => read_times(options, &mut request)?,
        };
        if let Some(zone) = options.get("time_zone").and_then(Json::as_str)
            && Zone::parse(zone)?.offset_at(context.now) != 0
        {
            return Err(EsError::argument(format!(
                "[time_zone] of the source [{name}] must be [UTC]; others are supported by the aggregation [date_histogram]"
            )));
        }
        let format = match options.get("format").and_then(Json::as_str) {
            None => None,
            Some(format) => Some(Format::parse_list(format)?.remove(0)),
        };
        let field_type = context.kind(&field);
        Ok(Self { name, field, field_type, cut, request: json!({ kind: request }), format })
    }

    fn is_time(&self) -> bool {
        self.field_type == Some(FieldType::Date)
    }

    /// A value of a key as Elasticsearch writes it.
    fn show(&self, key: &Json) -> Json {
        match (key.as_f64(), &self.format) {
            (Some(ms), Some(format)) if self.is_time() => finish::time(Some(format), None, ms).into(),
            (Some(ms), None) if self.is_time() => json!(ms as i64),
            _ => key.clone(),
        }
    }

    /// What the events of such a key have.
    fn query(&self, key: &Json, context: &Context) -> Query {
        let field = self.field.clone();
        let Some(number) = key.as_f64() else {
            return match key {
                Json::Null => Query::Exists { field }.negate(),
                Json::Bool(value) => Query::Terms { field, values: vec![Value::Bool(*value)] },
                other => Query::Terms { field, values: vec![Value::Str(plain(other))] },
            };
        };
        let length = match self.cut {
            Cut::Whole if self.is_time() => 1.0,
            Cut::Whole => return Query::Terms { field, values: vec![Value::Float(number)] },
            Cut::Pieces(length) => length,
            Cut::Units(unit) => {
                let begins = context.times().beginnings(ns(number), ns(number), unit, 3);
                let end = begins.and_then(|begins| begins.get(1).copied()).unwrap_or(ns(number));
                (end / 1_000_000) as f64 - number
            }
        };
        finish::range(&self.field, self.is_time(), Some(number), Some(number + length))
    }

    /// The store's form of a value that the next page begins behind.
    fn after(&self, value: &Json, context: &Context) -> Result<String, EsError> {
        let wrong = || {
            let reason = format!("Invalid value for [after.{}]: {value}", self.name);
            EsError::argument(reason)
        };
        let number = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
        Ok(match (value, self.field_type, self.cut) {
            (Json::Null, _, _) => "null:".to_owned(),
            (_, Some(FieldType::Date), _) => {
                let mut reader = context.times();
                reader.formats.extend(self.format.clone());
                let text = value.as_str().and_then(|text| reader.read(text, false));
                let time = text.or_else(|| number().map(ns)).ok_or_else(wrong)?;
                format!("dt:{time}")
            }
            (_, _, Cut::Pieces(_)) | (_, Some(FieldType::Double), _) => {
                format!("f64:{}", number().ok_or_else(wrong)?)
            }
            (_, Some(FieldType::Long), _) => {
                format!("i64:{}", value.as_i64().or_else(|| value.as_str()?.parse().ok()).ok_or_else(wrong)?)
            }
            (_, Some(FieldType::Boolean), _) => {
                let truth = plain(value).parse::<bool>().map_err(|_| wrong())?;
                format!("bool:{truth}")
            }
            (Json::Array(_) | Json::Object(_), _, _) => return Err(wrong()),
            (other, _, _) => format!("str:{}", plain(other)),
        })
    }
}

/// The interval of a source of times; units of the calendar that have one length become fixed ones.
fn read_times(options: &Map<String, Json>, request: &mut Map<String, Json>) -> Result<Cut, EsError> {
    let get = |name: &str| options.get(name).map(plain);
    let (interval, is_fixed) = match (get("fixed_interval"), get("calendar_interval").or(get("interval"))) {
        (Some(fixed), None) => (fixed, true),
        (None, Some(unit)) => (unit, false),
        _ => {
            return Err(EsError::argument(
                "Required one of fields [fixed_interval, calendar_interval], but none were specified or both",
            ));
        }
    };
    let (unit, name) = match interval.as_str() {
        "week" | "1w" if !is_fixed => ("w", "week"),
        "month" | "1M" if !is_fixed => ("M", "month"),
        "year" | "1y" if !is_fixed => ("y", "year"),
        other => {
            let unit = if is_fixed { None } else { unit_ms(other) };
            let length = unit.or_else(|| interval_ms(other)).ok_or_else(|| {
                EsError::argument(format!(
                    "the interval [{other}] of a source is not supported; there are second, minute, hour, day, week, month, year, and fixed ones such as 30s, 5m, 1h, 1d"
                ))
            })?;
            request.insert("fixed_interval".to_owned(), format!("{length}ms").into());
            return Ok(Cut::Pieces(length as f64));
        }
    };
    request.insert("calendar_interval".to_owned(), name.into());
    Ok(Cut::Units(unit))
}

fn read_after(after: &Json, sources: &[Source], context: &Context) -> Result<Map<String, Json>, EsError> {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let after = known("after", after, &names)?;
    let mut read = Map::new();
    for source in sources {
        let value = after
            .get(&source.name)
            .ok_or_else(|| EsError::argument(format!("Missing value for [after.{}]", source.name)))?;
        read.insert(source.name.clone(), source.after(value, context)?.into());
    }
    Ok(read)
}
