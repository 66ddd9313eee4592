//! The languages of questions, asked of a small store.

use crate::chunk;
use crate::store::fields;
use disk::SimDisk;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use store::{Doc, Options, Query, Search, Store};
use web::es::context::{Context, glob};
use web::es::dates::{Format, Reader, Zone};
use web::es::{EsError, aggs, dsl, query_string, simple_query, sort, source};
use web::kql;

/// 2026-11-21 13:45:30.5.
const NOW: i64 = 1_795_268_730_500_000_000;

const DOCS: [&str; 6] = [
    r#"{"@timestamp":"2026-11-21T13:45:00Z","message":"the quick brown fox","level":"error","status":500,"ok":true}"#,
    r#"{"@timestamp":"2026-11-21T13:00:00Z","message":"Fox jumps","level":"info","status":200,"took":1.5}"#,
    r#"{"@timestamp":"2026-11-20T00:00:00Z","message":"","level":["warn","x y"],"born":"2020-01-01T00:00:00Z"}"#,
    r#"{"@timestamp":"1970-01-01T00:00:00Z","host":{"name":"web-1"},"status":-1,"ok":false}"#,
    r#"{"@timestamp":"2026-11-21T13:45:30.5Z","message":"é ünï \\ * ? code","status":0}"#,
    r#"{"@timestamp":"2027-01-01T00:00:00Z","a.b":1,"took":0,"message":["one","two"]}"#,
];

/// A store that holds the documents, made once.
static STORE: LazyLock<Arc<Store>> = LazyLock::new(|| {
    let options = Options { writer_bytes: 16 << 20, ..Options::default() };
    let store = Store::open(Arc::new(SimDisk::new()), options).expect("a new store");
    for (n, source) in DOCS.iter().enumerate() {
        let doc = Doc {
            index: "logs",
            id: Cow::Owned(n.to_string()),
            sequence: n as u64,
            time: NOW,
            source: source.as_bytes(),
            replaces: false,
        };
        store.append(&doc).expect("a document that fits");
    }
    store.refresh().expect("memory to write to");
    store
});

fn context() -> Context {
    let mut context = Context::at(NOW);
    context.fields = fields();
    context
}

/// Answers an error with a status of its own, and not that of a broken server.
#[track_caller]
fn refused(error: &EsError) {
    assert!((400..500).contains(&error.status), "{}", error.reason);
    assert!(!error.reason.is_empty());
}

/// Asks the store: what matches and what does not are together all there is.
#[track_caller]
fn ask(query: &Query) {
    let count = |query: &Query| STORE.count("*", query);
    let Ok(found) = count(query) else { return };
    let all = DOCS.len() as u64;
    assert!(found <= all);
    assert_eq!(
        count(&query.clone().negate()).expect("the opposite can be asked too"),
        all - found,
        "{query:?}"
    );
    let both = Query::and(vec![query.clone(), Query::All]);
    assert_eq!(count(&both).expect("it could be asked before"), found, "{query:?}");
    let either = Query::or(vec![query.clone(), Query::None]);
    assert_eq!(count(&either).expect("it could be asked before"), found, "{query:?}");
}

/// Lucene's query strings, and the language without errors.
pub fn query_string(data: &[u8]) {
    let mut data = data;
    let how = chunk::byte(&mut data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let context = context();
    let fields =
        if how & 1 == 0 { vec!["*".to_owned()] } else { vec!["level".to_owned(), "message".to_owned()] };
    ask(&simple_query::parse(text, &fields, how & 2 != 0, &context));
    let mut rules = query_string::Rules::new(&context);
    (rules.fields, rules.and) = (fields, how & 2 != 0);
    match query_string::parse(text, &rules) {
        Ok(query) => {
            ask(&query);
            if text.ends_with('\\') {
                return;
            }
            // Brackets around the whole change nothing, where they are not one level too many.
            match query_string::parse(&format!("({text})"), &rules) {
                Ok(bracketed) => assert_eq!(STORE.count("*", &bracketed).ok(), STORE.count("*", &query).ok()),
                Err(error) => {
                    let is_empty = text.trim().is_empty();
                    assert!(is_empty || error.reason.contains("too deep"), "{}", error.reason);
                }
            }
        }
        Err(error) => refused(&error),
    }
}

/// KQL: brackets around the whole change nothing.
pub fn kql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let context = context();
    // A backslash at the end would take the bracket behind it.
    if text.ends_with('\\') {
        return;
    }
    let query = match kql::parse(text, &context) {
        Ok(query) => query,
        Err(error) => return refused(&error),
    };
    ask(&query);
    match kql::parse(&format!("({text})"), &context) {
        Ok(bracketed) => assert_eq!(bracketed, query),
        Err(error) => {
            assert!(text.trim().is_empty() || error.reason.contains("too deep"), "{}", error.reason);
        }
    }
    match kql::parse(&format!("not ({text})"), &context) {
        Ok(not) => assert_eq!(not, query.negate()),
        Err(error) => {
            assert!(text.trim().is_empty() || error.reason.contains("too deep"), "{}", error.reason);
        }
    }
}

/// The JSON of a search: query, aggregations, order, fields.
pub fn dsl(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Json>(data) else { return };
    let context = context();
    let asked = if json.get("query").is_some() { &json["query"] } else { &json };
    let query = match dsl::query(asked, &context) {
        Ok(query) => {
            ask(&query);
            query
        }
        Err(error) => {
            refused(&error);
            Query::All
        }
    };
    if let Some(wanted) = json.get("aggs")
        && let Err(error) = aggs::read(wanted, &context)
    {
        refused(&error);
    }
    let keys = match sort::read(&json["sort"]) {
        Ok(keys) => keys,
        Err(error) => return refused(&error),
    };
    let after = match sort::read_after(&json["search_after"], &keys, &context) {
        Ok(after) => after,
        Err(error) => return refused(&error),
    };
    let paged = after.is_some();
    let search = Search { query: query.clone(), sort: keys.clone(), after, ..Search::default() };
    if let Ok(hits) = STORE.search(&search) {
        assert!(hits.hits.len() as u64 <= hits.total.max(hits.hits.len() as u64));
        assert!(paged || hits.hits.len() as u64 == hits.total, "all fit on a page");
        if let Some(last) = hits.hits.last() {
            // Behind the last one there is nothing.
            let values: Vec<Json> =
                last.sort.iter().zip(&keys).map(|(value, key)| sort::write(value, key, &context)).collect();
            if !keys.is_empty() && keys.len() == values.len() {
                assert!(
                    sort::read_after(&Json::Array(values), &keys, &context).is_ok(),
                    "a place is read again"
                );
            }
        }
    }
    match source::Rule::read(&json["_source"]) {
        Ok(rule) => DOCS.iter().for_each(|doc| {
            let Some(part) = rule.apply(doc.as_bytes().to_vec()) else { return };
            assert!(serde_json::from_str::<Json>(part.get()).expect("JSON out is JSON").is_object());
        }),
        Err(error) => refused(&error),
    }
    if let Ok(fields) = source::read_fields(&json["fields"]) {
        DOCS.iter().for_each(|doc| drop(source::fields(doc.as_bytes(), &fields, None)));
    }
}

/// Date math, and formats: what a format writes of a time it reads as that time, as far as it says it.
pub fn dates(data: &[u8]) {
    let mut data = data;
    let Ok(format) = std::str::from_utf8(chunk::line(&mut data)) else { return };
    let Ok(zone) = std::str::from_utf8(chunk::line(&mut data)) else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    let zone = match Zone::parse(zone) {
        Ok(zone) => zone,
        Err(error) => {
            refused(&error);
            Zone::UTC
        }
    };
    let plain = Reader { zone, ..Reader::new(NOW) };
    if let (Some(low), Some(high)) = (plain.read(text, false), plain.read(text, true)) {
        assert!(low <= high, "{text}: {low} to {high}");
        let written = Format::Iso.write(low, zone);
        let again = plain.read(&written, false).expect("what is written is read");
        assert_eq!(again, low.div_euclid(1_000_000) * 1_000_000, "{written}");
    }
    let formats = match Format::parse_list(format) {
        Ok(formats) => formats,
        Err(error) => return refused(&error),
    };
    let reader = Reader { zone, formats: formats.clone(), now: NOW };
    let Some(time) = reader.read(text, false) else { return };
    if !is_fixed(format) {
        return;
    }
    for format in &formats {
        let written = format.write(time, zone);
        let own = Reader { zone, formats: vec![format.clone()], now: NOW };
        // A format that leaves out a part says less than the time.
        if let Some(again) = own.read(&written, false) {
            assert_eq!(format.write(again, zone), written);
        }
    }
}

/// Whether each letter stands as often as it is written in digits, and once, so that numbers
/// beside each other are read as they were written.
fn is_fixed(format: &str) -> bool {
    let letters: Vec<char> = format.chars().collect();
    let runs: Vec<_> = letters.chunk_by(|a, b| a == b).filter(|run| "yuMdHmsSXZx".contains(run[0])).collect();
    let fits = |run: &&[char]| match run[0] {
        'y' | 'u' => run.len() == 4,
        'S' => run.len() <= 9,
        'X' | 'Z' | 'x' => true,
        _ => run.len() == 2,
    };
    runs.iter().all(fits)
        && runs.iter().enumerate().all(|(n, run)| runs[..n].iter().all(|own| own[0] != run[0]))
}

/// Patterns of names against regular expressions, and `filter_path` in a moment, whatever it is.
pub fn patterns(data: &[u8]) {
    let mut data = data;
    let Ok(pattern) = std::str::from_utf8(chunk::line(&mut data)) else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert_eq!(glob(pattern, text), plainly(pattern.as_bytes(), text.as_bytes()), "{pattern:?} {text:?}");
    // The store has one index, so a list of patterns means it or nothing.
    let listed = STORE.list(pattern);
    let mut means = pattern.is_empty();
    for one in pattern.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        match one.strip_prefix('-') {
            Some(one) => means &= !plainly(one.as_bytes(), b"logs"),
            None => means |= one == "_all" || plainly(one.as_bytes(), b"logs"),
        }
    }
    assert_eq!(!listed.is_empty(), means, "{pattern:?}");
    // A deep answer: paths have to find their way without trying all ways.
    let mut answer = Json::from(1);
    for name in ["a", "b", "c", "hits"].iter().cycle().take(40) {
        answer = Json::from_iter([(*name, answer), ("x", Json::Null)]);
    }
    let kept = source::filter_path(answer.clone(), pattern);
    assert!(kept.is_object());
    assert_eq!(source::filter_path(answer.clone(), ""), answer);
    if !pattern.contains('-') {
        assert_eq!(source::filter_path(kept.clone(), pattern), kept, "what was kept is kept again");
    }
}

/// A pattern with stars by a table of all beginnings: slow, and plain.
fn plainly(pattern: &[u8], text: &[u8]) -> bool {
    let mut fits: Vec<bool> = std::iter::once(true).chain(text.iter().map(|_| false)).collect();
    for sign in pattern {
        let before = fits.clone();
        let mut any = false;
        for at in 0..=text.len() {
            any |= before[at];
            fits[at] = if *sign == b'*' { any } else { at > 0 && before[at - 1] && text[at - 1] == *sign };
        }
    }
    fits[text.len()]
}
