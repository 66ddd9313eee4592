//! Elasticsearch's query language, as JSON.

pub(crate) mod write;

use super::context::Context;
use super::dates::{Format, Reader, Zone};
use super::{EsError, query_string, simple_query};
use crate::kql;
use serde_json::{Map, Value as Json};
use std::ops::Bound;
use store::{FieldType, Query, Template, Value};

/// No question is nested deeper.
pub const DEPTH_MAX: usize = 32;
/// No question has more parts in one list, as Elasticsearch's `indices.query.bool.max_clause_count`.
const PARTS_MAX: usize = 1024;
/// No `terms` has more values.
const TERMS_MAX: usize = 65_536;
const KINDS: [&str; 24] = [
    "bool",
    "term",
    "terms",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "match_all",
    "match_none",
    "multi_match",
    "range",
    "exists",
    "prefix",
    "wildcard",
    "regexp",
    "fuzzy",
    "ids",
    "query_string",
    "simple_query_string",
    "kql",
    "constant_score",
    "dis_max",
    "boosting",
    "match_bool_prefix",
    "template",
];

/// Reads the value of `"query"`.
pub fn query(json: &Json, context: &Context) -> Result<Query, EsError> {
    read(json, context, 0)
}

fn read(json: &Json, context: &Context, depth: usize) -> Result<Query, EsError> {
    if depth > DEPTH_MAX {
        return Err(EsError::parsing(format!("the query is nested deeper than {DEPTH_MAX} levels")));
    }
    let object = json.as_object().ok_or_else(|| {
        EsError::parsing(format!("[query] must be an object with one of {}", KINDS.join(", ")))
    })?;
    let mut members = object.iter();
    let (kind, body) = match (members.next(), members.next()) {
        (Some(member), None) => member,
        (None, _) => {
            return Err(EsError::argument("query malformed, empty clause found"));
        }
        (Some((first, _)), Some((second, _))) => {
            return Err(EsError::parsing(format!(
                "[{first}] malformed query, expected [END_OBJECT] but found [FIELD_NAME] [{second}]; put several queries into a bool"
            ))
            .about(second));
        }
    };
    match kind.as_str() {
        "match_all" => options(kind, body, &[]).map(|_| Query::All),
        "match_none" => options(kind, body, &[]).map(|_| Query::None),
        "bool" => read_bool(body, context, depth),
        "constant_score" => {
            let body = options(kind, body, &["filter"])?;
            let filter = body
                .get("filter")
                .ok_or_else(|| EsError::parsing("[constant_score] requires a 'filter' element"))?;
            let filter = vec![read(filter, context, depth + 1)?];
            Ok(Query::Bool {
                must: vec![],
                filter,
                should: vec![],
                must_not: vec![],
                minimum_should_match: None,
            })
        }
        "dis_max" => {
            let body = options(kind, body, &["queries", "tie_breaker"])?;
            Ok(Query::or(list(body.get("queries"), context, depth)?))
        }
        // What is less wanted stays wanted: only its score would be lower.
        "boosting" => {
            let body = options(kind, body, &["positive", "negative", "negative_boost"])?;
            let positive = body.get("positive");
            let positive = positive
                .ok_or_else(|| EsError::parsing("[boosting] query requires 'positive' query to be set'"))?;
            read(positive, context, depth + 1)
        }
        "exists" => {
            let body = options(kind, body, &["field"])?;
            Ok(Query::Exists { field: text(body.get("field"), "exists.field")? })
        }
        "ids" => {
            let body = options(kind, body, &["values", "type"])?;
            let values = body.get("values").and_then(Json::as_array).cloned().unwrap_or_default();
            limit(values.len(), TERMS_MAX, "values in ids")?;
            Ok(Query::Ids(values.iter().map(plain).collect()))
        }
        "query_string" => read_query_string(body, context),
        "simple_query_string" => read_simple(body, context),
        // As Elasticsearch has it since 8.17, so that the page's searches are plain ones.
        "kql" => {
            let body = options(kind, body, &["query"])?;
            kql::parse(&text(body.get("query"), "kql.query")?, context)
        }
        // Our own: the messages of a pattern, as `/_logpond/patterns` writes it.
        "template" => {
            let body = options(kind, body, &["message"])?;
            Ok(Query::Template(Template::parse(&text(body.get("message"), "template.message")?)))
        }
        "multi_match" => read_multi_match(body, context),
        "term"
        | "match"
        | "match_phrase"
        | "match_phrase_prefix"
        | "match_bool_prefix"
        | "prefix"
        | "wildcard"
        | "regexp"
        | "fuzzy"
        | "range"
        | "terms" => {
            let body = body.as_object().ok_or_else(|| {
                EsError::parsing(format!("[{kind}] query malformed, no start_object after query name"))
                    .about(kind)
            })?;
            let mut fields = body.iter().filter(|(name, _)| *name != "boost" && *name != "_name");
            let (Some((field, body)), None) = (fields.next(), fields.next()) else {
                return Err(EsError::parsing(format!("[{kind}] query takes exactly one field")).about(kind));
            };
            read_field(kind, field, body, context)
        }
        other => Err(EsError::unknown("the query", other, &KINDS)),
    }
}

/// The options of a query, of which none may be unknown.
fn options<'j>(kind: &str, body: &'j Json, known: &[&str]) -> Result<&'j Map<String, Json>, EsError> {
    let body = body
        .as_object()
        .ok_or_else(|| EsError::parsing(format!("[{kind}] must be an object")).about(kind))?;
    if let Some(name) =
        body.keys().find(|name| !known.contains(&name.as_str()) && *name != "boost" && *name != "_name")
    {
        return Err(EsError::unknown(&format!("the option of [{kind}]"), name, known));
    }
    Ok(body)
}

fn limit(count: usize, most: usize, what: &str) -> Result<(), EsError> {
    if count > most {
        return Err(EsError::argument(format!("too many {what}: {count}, at most {most}")));
    }
    Ok(())
}

fn list(json: Option<&Json>, context: &Context, depth: usize) -> Result<Vec<Query>, EsError> {
    match json {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(list)) => {
            limit(list.len(), PARTS_MAX, "queries in one list")?;
            list.iter().map(|json| read(json, context, depth + 1)).collect()
        }
        Some(json) => Ok(vec![read(json, context, depth + 1)?]),
    }
}

fn read_bool(body: &Json, context: &Context, depth: usize) -> Result<Query, EsError> {
    let known = ["must", "filter", "should", "must_not", "minimum_should_match", "adjust_pure_negative"];
    let body = options("bool", body, &known)?;
    let part = |name: &str| list(body.get(name), context, depth);
    let should = part("should")?;
    let minimum = match body.get("minimum_should_match") {
        None | Some(Json::Null) => None,
        Some(rule) => Some(minimum_should_match(rule, should.len())?),
    };
    let (must, filter, must_not) = (part("must")?, part("filter")?, part("must_not")?);
    if must.is_empty() && filter.is_empty() && should.is_empty() && must_not.is_empty() {
        return Ok(Query::All);
    }
    Ok(Query::Bool { must, filter, should, must_not, minimum_should_match: minimum })
}

/// `2`, `-1`, `75%`, `-25%`, `2<75% 9<-3`.
pub(crate) fn minimum_should_match(rule: &Json, count: usize) -> Result<usize, EsError> {
    let text = plain(rule);
    let wrong =
        || EsError::argument(format!("[minimum_should_match] takes a number or a percentage, not [{text}]"));
    let simple = |text: &str| -> Option<i64> {
        let count = i64::try_from(count).ok()?;
        let found = match text.strip_suffix('%') {
            Some(percent) => {
                let percent: i64 = percent.trim().parse().ok()?;
                let part = count.checked_mul(percent.abs())? / 100;
                if percent < 0 { count - part } else { part }
            }
            None => {
                let number: i64 = text.trim().parse().ok()?;
                if number < 0 { count.checked_add(number)? } else { number }
            }
        };
        Some(found.max(0))
    };
    let mut chosen = None;
    if text.contains('<') {
        chosen = i64::try_from(count).ok();
        for rule in text.split_whitespace() {
            let (above, rule) = rule.split_once('<').ok_or_else(wrong)?;
            if count > above.parse::<usize>().map_err(|_| wrong())? {
                chosen = Some(simple(rule).ok_or_else(wrong)?);
            }
        }
    }
    let found = match chosen {
        Some(found) => found,
        None => simple(text.trim()).ok_or_else(wrong)?,
    };
    usize::try_from(found).map_err(|_| wrong())
}

fn read_field(kind: &str, field: &str, body: &Json, context: &Context) -> Result<Query, EsError> {
    let known: &[&str] = match kind {
        "term" => &["value", "case_insensitive"],
        "match" => &[
            "query",
            "operator",
            "minimum_should_match",
            "lenient",
            "zero_terms_query",
            "auto_generate_synonyms_phrase_query",
            "max_expansions",
            "prefix_length",
            "fuzziness",
            "fuzzy_transpositions",
            "fuzzy_rewrite",
        ],
        "match_phrase_prefix" => &["query", "max_expansions", "slop", "zero_terms_query"],
        "fuzzy" => &["value", "fuzziness", "max_expansions", "prefix_length", "transpositions", "rewrite"],
        "match_phrase" => &["query", "slop", "zero_terms_query"],
        "match_bool_prefix" => &["query", "operator"],
        "prefix" | "regexp" => &["value", "case_insensitive", "rewrite", "flags", "max_determinized_states"],
        "wildcard" => &["value", "wildcard", "case_insensitive", "rewrite"],
        _ => &[],
    };
    let owner = field.to_owned();
    if kind == "terms" {
        let values = body.as_array().ok_or_else(|| {
            EsError::parsing(
                "[terms] query requires a list of values; the lookup in another index is not supported",
            )
            .about(field)
        })?;
        limit(values.len(), TERMS_MAX, "values in terms")?;
        return Ok(Query::Terms {
            field: owner,
            values: values.iter().map(value).collect::<Result<_, _>>()?,
        });
    }
    if kind == "range" {
        return read_range(owner, body, context);
    }
    let body = match body {
        Json::Object(_) => options(kind, body, known)?.clone(),
        short => Map::from_iter([(
            if kind.starts_with("match") { "query" } else { "value" }.to_owned(),
            short.clone(),
        )]),
    };
    let own = |name: &str| body.get(name).filter(|json| !json.is_null());
    let given = own("value").or_else(|| own("query")).or_else(|| own("wildcard"));
    let given = given.ok_or_else(|| {
        EsError::argument(format!("value cannot be null in [{kind}] of [{field}]")).about(field)
    })?;
    let any_case = own("case_insensitive").is_some_and(|flag| *flag == Json::Bool(true));
    let pattern =
        |pattern: String| Query::Regexp { field: owner.clone(), pattern: format!("(?i:{pattern})") };
    Ok(match kind {
        "term" if any_case => pattern(escape_regex(&plain(given))),
        "term" => Query::Terms { field: owner, values: vec![value(given)?] },
        "match" => {
            let all = is_and(own("operator"))?;
            if let Some(fuzziness) = own("fuzziness") {
                if own("minimum_should_match").is_some() {
                    return Err(EsError::argument("[fuzziness] goes without [minimum_should_match]"));
                }
                let transpositions = own("fuzzy_transpositions") != Some(&Json::Bool(false));
                let text = plain(value_only(given, kind)?);
                let parts = text
                    .split(|c: char| !c.is_alphanumeric())
                    .filter(|word| !word.is_empty())
                    .map(|word| fuzzy(&owner, word.to_lowercase(), Some(fuzziness), transpositions))
                    .collect::<Result<Vec<_>, _>>()?;
                no_prefix(&owner, own("prefix_length"))?;
                limit(parts.len(), PARTS_MAX, "words")?;
                return Ok(if all { Query::and(parts) } else { Query::or(parts) });
            }
            words(owner, &plain(value_only(given, kind)?), all, own("minimum_should_match"))?
        }
        "match_bool_prefix" => {
            let text = plain(value_only(given, kind)?);
            let mut words: Vec<&str> =
                text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
            let last = words.pop().unwrap_or_default().to_lowercase();
            let mut parts: Vec<Query> = Vec::new();
            for word in words {
                parts.push(Query::Match { field: owner.clone(), text: word.to_owned(), all: true });
            }
            parts.push(Query::Wildcard { field: owner, pattern: format!("{last}*") });
            if is_and(own("operator"))? { Query::and(parts) } else { Query::or(parts) }
        }
        "match_phrase" => {
            let slop = own("slop").and_then(Json::as_u64).unwrap_or(0).min(10_000) as u32;
            Query::Phrase { field: owner, text: plain(value_only(given, kind)?), slop }
        }
        "match_phrase_prefix" => {
            if own("slop").and_then(Json::as_u64).unwrap_or(0) > 0 {
                return Err(EsError::argument("[slop] is not supported by [match_phrase_prefix]"));
            }
            Query::PhrasePrefix { field: owner, text: plain(value_only(given, kind)?) }
        }
        "fuzzy" => {
            no_prefix(&owner, own("prefix_length"))?;
            fuzzy(&owner, plain(given), own("fuzziness"), own("transpositions") != Some(&Json::Bool(false)))?
        }
        "prefix" if any_case => pattern(format!("{}.*", escape_regex(&plain(given)))),
        "prefix" => Query::Wildcard { field: owner, pattern: format!("{}*", escaped(&plain(given))) },
        "wildcard" if any_case => pattern(wildcard_regex(&plain(given))),
        "wildcard" => Query::Wildcard { field: owner, pattern: plain(given) },
        _ if any_case => pattern(plain(given)),
        _ => Query::Regexp { field: owner, pattern: plain(given) },
    })
}

/// A word that may differ: by so much as is said, else by none, one or two characters as it is long.
fn fuzzy(
    field: &str,
    text: String,
    fuzziness: Option<&Json>,
    transpositions: bool,
) -> Result<Query, EsError> {
    let rule = fuzziness.map_or_else(|| "AUTO".to_owned(), plain);
    let wrong =
        || EsError::argument(format!("[fuzziness] must be 0, 1, 2, AUTO or AUTO:short,long, not [{rule}]"));
    let distance = match rule.to_ascii_uppercase().strip_prefix("AUTO") {
        Some(limits) => {
            let limits = if limits.is_empty() { ":3,6" } else { limits };
            let sides = limits.strip_prefix(':').and_then(|limits| limits.split_once(','));
            let (short, long) = sides.ok_or_else(wrong)?;
            let side = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
            let length = text.chars().count();
            u8::from(length >= side(short)?) + u8::from(length >= side(long)?)
        }
        None => match rule.parse::<f64>() {
            // As Elasticsearch, which takes more for two.
            Ok(number) if number >= 0.0 => number.min(2.0) as u8,
            _ => return Err(wrong()),
        },
    };
    Ok(Query::Fuzzy { field: field.to_owned(), text, distance, transpositions })
}

fn no_prefix(field: &str, length: Option<&Json>) -> Result<(), EsError> {
    if length.is_some_and(|length| plain(length) != "0") {
        return Err(EsError::argument(format!(
            "[prefix_length] is not supported; a [prefix] on [{field}] beside it says the same"
        )));
    }
    Ok(())
}

fn value_only<'j>(json: &'j Json, kind: &str) -> Result<&'j Json, EsError> {
    if json.is_array() || json.is_object() {
        return Err(
            EsError::parsing(format!("[{kind}] unknown token [START_ARRAY] after [query]")).about(kind)
        );
    }
    Ok(json)
}

/// Words of a text; where only some of them are needed, each is a question of its own.
pub(crate) fn words(field: String, text: &str, all: bool, minimum: Option<&Json>) -> Result<Query, EsError> {
    let Some(rule) = minimum.filter(|_| !all) else {
        return Ok(Query::Match { field, text: text.to_owned(), all });
    };
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let needed = minimum_should_match(rule, words.len())?;
    if words.len() < 2 || needed <= 1 {
        return Ok(Query::Match { field, text: text.to_owned(), all });
    }
    limit(words.len(), PARTS_MAX, "words")?;
    let one = |word: &&str| Query::Match { field: field.clone(), text: (*word).to_owned(), all: true };
    Ok(Query::Bool {
        must: vec![],
        filter: vec![],
        should: words.iter().map(one).collect(),
        must_not: vec![],
        minimum_should_match: Some(needed),
    })
}

fn is_and(operator: Option<&Json>) -> Result<bool, EsError> {
    match operator.map(plain) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("and") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("or") => Ok(false),
        Some(text) => Err(EsError::argument(format!("the operator [{text}] must be [and] or [or]"))),
    }
}

fn read_range(field: String, body: &Json, context: &Context) -> Result<Query, EsError> {
    let known = [
        "gt",
        "gte",
        "lt",
        "lte",
        "from",
        "to",
        "include_lower",
        "include_upper",
        "format",
        "time_zone",
        "relation",
    ];
    let body = options("range", body, &known)?;
    let mut reader = context.times();
    let (format, zone) =
        (body.get("format").and_then(Json::as_str), body.get("time_zone").and_then(Json::as_str));
    if let Some(format) = format {
        reader.formats = Format::parse_list(format)?;
    }
    if let Some(zone) = zone {
        reader.zone = Zone::parse(zone)?;
    }
    let is_time = context.kind(&field) == Some(store::FieldType::Date) || format.is_some() || zone.is_some();
    let side = |inclusive: &str,
                exclusive: &str,
                old: &str,
                include: &str,
                lower: bool|
     -> Result<Bound<Value>, EsError> {
        let get = |name: &str| body.get(name).filter(|json| !json.is_null());
        let (json, included) = match (get(inclusive), get(exclusive), get(old)) {
            (Some(json), _, _) => (json, true),
            (_, Some(json), _) => (json, false),
            (_, _, Some(json)) => (json, body.get(include) != Some(&Json::Bool(false))),
            _ => return Ok(Bound::Unbounded),
        };
        // Below an included moment nothing of it is cut off, above an excluded one nothing stays.
        let found = moment(json, &reader, lower != included, is_time)?;
        Ok(if included { Bound::Included(found) } else { Bound::Excluded(found) })
    };
    let lower = side("gte", "gt", "from", "include_lower", true)?;
    let upper = side("lte", "lt", "to", "include_upper", false)?;
    let is_number = matches!(context.kind(&field), Some(FieldType::Long | FieldType::Double));
    for bound in [&lower, &upper] {
        if let (true, Bound::Included(value) | Bound::Excluded(value)) = (is_number, bound)
            && value.number().is_none()
        {
            let reason = format!("For input string: \"{}\" of the number [{field}]", value.text());
            return Err(EsError::new(400, "number_format_exception", reason).about(&value.text()));
        }
    }
    Ok(Query::Range { field, lower, upper })
}

/// A value of a range: what is meant as a time becomes one, everything else stays.
pub(crate) fn moment(json: &Json, reader: &Reader, round_up: bool, is_time: bool) -> Result<Value, EsError> {
    let wrong = |text: &str| {
        EsError::parsing(format!("failed to parse date field [{text}]; such as now-15m, now/d, 2026-11-21||+1d/d, 2026-11-21T10:00:00Z or milliseconds"))
            .about(text)
    };
    match json {
        Json::String(text) => {
            let is_math = is_date_math(text);
            let looks_like_time = text.len() >= 7 && text.as_bytes()[4] == b'-';
            let is_number = text.len() > 4 && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_time || is_math || looks_like_time {
                match reader.read(text, round_up) {
                    Some(ns) => return Ok(Value::Time(ns)),
                    None if is_time && is_number && reader.formats == [Format::Iso] => {}
                    None if is_time || is_math => return Err(wrong(text)),
                    None => {}
                }
            }
            Ok(Value::Str(text.clone()))
        }
        Json::Number(number) if is_time && reader.formats != [Format::Iso] => {
            let text = number.to_string();
            reader.read(&text, round_up).map(Value::Time).ok_or_else(|| wrong(&text))
        }
        other => value(other),
    }
}

fn is_date_math(text: &str) -> bool {
    let behind_now =
        text.strip_prefix("now").map(|rest| rest.is_empty() || rest.starts_with(['+', '-', '/']));
    behind_now == Some(true) || text.contains("||")
}

fn read_query_string(body: &Json, context: &Context) -> Result<Query, EsError> {
    let known = [
        "query",
        "default_field",
        "fields",
        "default_operator",
        "lenient",
        "analyze_wildcard",
        "allow_leading_wildcard",
        "time_zone",
        "tie_breaker",
        "type",
        "auto_generate_synonyms_phrase_query",
        "escape",
        "max_determinized_states",
        "enable_position_increments",
        "phrase_slop",
        "rewrite",
        "fuzzy_prefix_length",
        "fuzzy_max_expansions",
        "fuzzy_transpositions",
    ];
    let body = options("query_string", body, &known)?;
    let mut rules = query_string::Rules::new(context);
    rules.and = is_and(body.get("default_operator"))?;
    if let Some(zone) = body.get("time_zone").and_then(Json::as_str) {
        rules.zone = Zone::parse(zone)?;
    }
    if let Some(field) = body.get("default_field").and_then(Json::as_str) {
        rules.fields = vec![field.to_owned()];
    }
    if let Some(fields) = body.get("fields") {
        rules.fields = field_names(fields);
    }
    query_string::parse(&text(body.get("query"), "query_string.query")?, &rules)
}

fn read_simple(body: &Json, context: &Context) -> Result<Query, EsError> {
    let known = [
        "query",
        "fields",
        "default_operator",
        "flags",
        "lenient",
        "analyze_wildcard",
        "minimum_should_match",
        "auto_generate_synonyms_phrase_query",
        "fuzzy_prefix_length",
        "fuzzy_max_expansions",
        "fuzzy_transpositions",
    ];
    let body = options("simple_query_string", body, &known)?;
    let fields = body.get("fields").map_or_else(|| vec!["*".to_owned()], field_names);
    let all = is_and(body.get("default_operator"))?;
    Ok(simple_query::parse(&text(body.get("query"), "simple_query_string.query")?, &fields, all, context))
}

fn read_multi_match(body: &Json, context: &Context) -> Result<Query, EsError> {
    let known = [
        "query",
        "fields",
        "type",
        "operator",
        "minimum_should_match",
        "slop",
        "lenient",
        "tie_breaker",
        "zero_terms_query",
        "auto_generate_synonyms_phrase_query",
    ];
    let body = options("multi_match", body, &known)?;
    let given =
        body.get("query").ok_or_else(|| EsError::parsing("No text specified for multi_match query"))?;
    let text = plain(value_only(given, "multi_match")?);
    let fields = body.get("fields").map_or_else(|| vec!["*".to_owned()], field_names);
    let all = is_and(body.get("operator"))?;
    let slop = body.get("slop").and_then(Json::as_u64).unwrap_or(0).min(10_000) as u32;
    let phrase = match body.get("type").map(plain).as_deref() {
        None | Some("best_fields" | "most_fields") => false,
        Some("phrase") => true,
        Some(other) => {
            return Err(EsError::unknown(
                "the type of [multi_match]",
                other,
                &["best_fields", "most_fields", "phrase"],
            ));
        }
    };
    let minimum = body.get("minimum_should_match");
    if let Some(rule) = minimum {
        minimum_should_match(rule, 1)?;
    }
    Ok(context.any(&fields, &text, |field| {
        if phrase {
            return Query::Phrase { field, text: text.clone(), slop };
        }
        words(field, &text, all, minimum).unwrap_or(Query::None)
    }))
}

/// Names of fields, without their boosts.
fn field_names(json: &Json) -> Vec<String> {
    let names: Vec<String> = match json {
        Json::Array(list) => list.iter().map(plain).collect(),
        one => vec![plain(one)],
    };
    names.into_iter().map(|name| name.split('^').next().unwrap_or_default().to_owned()).collect()
}

pub(crate) fn value(json: &Json) -> Result<Value, EsError> {
    Ok(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(0.0)), Value::Int)
        }
        Json::String(text) => Value::Str(text.clone()),
        other => {
            return Err(EsError::parsing(format!("expected a text, a number or a boolean, not {other}")));
        }
    })
}

fn text(json: Option<&Json>, what: &str) -> Result<String, EsError> {
    let text = json.and_then(Json::as_str).map(str::to_owned);
    text.ok_or_else(|| EsError::parsing(format!("[{what}] takes a text")))
}

pub(crate) fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// The text as a pattern that means only itself.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?")
}

fn escape_regex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn wildcard_regex(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => out.push_str(&escape_regex(&chars.next().unwrap_or('\\').to_string())),
            c => out.push_str(&escape_regex(&c.to_string())),
        }
    }
    out
}

#[cfg(test)]
mod tests;
