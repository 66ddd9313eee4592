//! All that a search finds, as a file to keep: NDJSON, CSV or text, sent while it is read.

use super::api::{Answer, Api, Arguments, Body, SEARCH_TIME_MAX, resolve};
use super::context::Context;
use super::dates::Format;
use super::search::context_of;
use super::source::{self, Rule};
use super::{EsError, dsl};
use axum::body::{Body as Answered, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde_json::Value;
use std::io;
use store::{Query, Search, SortKey, SortValue};

/// Events that are read at once; as many are in memory.
pub(super) const PAGE: usize = 500;
/// Of short events more are read at once, about so many bytes and so many events: to find a page, all that
/// match are looked at, so the time for a file grows with its pages.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_MAX: usize = 10_000;
/// Pages that may wait for the client.
pub(super) const AHEAD: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ndjson,
    /// RFC 4180.
    Csv,
    /// The fields of an event on a line, with spaces between them.
    Text,
}

/// The form of the file.
#[derive(Clone)]
pub(super) struct Shape {
    kind: Kind,
    fields: Vec<String>,
    wanted: Vec<(String, Option<Format>)>,
    rule: Rule,
}

/// What goes into the file, sorted by time.
pub(super) struct Wanted {
    pub(super) index: String,
    pub(super) descending: bool,
    pub(super) limit: usize,
    pub(super) shape: Shape,
    media: &'static str,
    ending: &'static str,
}

impl Wanted {
    /// Reads the arguments; the body holds a `query` alone.
    pub(super) fn read(arguments: &Arguments, json: &Value) -> Result<Self, EsError> {
        arguments.only(&["index", "as", "fields", "order", "limit"])?;
        if let Some(name) = json.as_object().and_then(|body| body.keys().find(|name| *name != "query")) {
            return Err(EsError::unknown("the part of an export", name, &["query"]));
        }
        let fields = arguments.get("fields").unwrap_or_default().split(',');
        let fields: Vec<String> = fields.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let (kind, media, ending) = match arguments.get("as").unwrap_or("ndjson") {
            "ndjson" => (Kind::Ndjson, "application/x-ndjson", "ndjson"),
            "csv" => (Kind::Csv, "text/csv; charset=utf-8", "csv"),
            "text" => (Kind::Text, "text/plain; charset=utf-8", "txt"),
            other => return Err(EsError::unknown("the form", other, &["ndjson", "csv", "text"])),
        };
        if fields.is_empty() && kind != Kind::Ndjson {
            return Err(EsError::argument(
                "[fields] must name the columns, such as @timestamp,level,message",
            ));
        }
        let descending = match arguments.get("order").unwrap_or("desc") {
            "desc" => true,
            "asc" => false,
            other => return Err(EsError::unknown("the order", other, &["asc", "desc"])),
        };
        let limit = arguments.number("limit")?.unwrap_or(usize::MAX);
        let rule = if fields.is_empty() { Rule::Whole } else { Rule::of(fields.clone(), Vec::new()) };
        let wanted = fields.iter().map(|name| (name.clone(), None)).collect();
        let shape = Shape { kind, fields, wanted, rule };
        let index = arguments.get("index").unwrap_or("logs-*").to_owned();
        Ok(Self { index, descending, limit, shape, media, ending })
    }

    /// The answer, whose text is sent into the channel.
    pub(super) fn answer(&self, channel: Channel<Bytes, io::Error>) -> Response {
        let name = format!("attachment; filename=\"logs.{}\"", self.ending);
        let headers = [(header::CONTENT_TYPE, self.media.to_owned()), (header::CONTENT_DISPOSITION, name)];
        (headers, Answered::new(channel)).into_response()
    }
}

/// Sends everything that the `query` of the body finds, sorted by time (`order`), without a
/// limit unless `limit` gives one. `fields` are the columns; NDJSON has whole events without.
pub(crate) async fn export(State(api): State<Api>, arguments: Arguments, body: Body) -> Answer {
    let json = body.json()?;
    let wanted = Wanted::read(&arguments, &json)?;
    let index = wanted.index.clone();
    // What is asked is read once, before the answer begins: after that, nothing can be refused.
    let (indices, query) = api
        .with_store(move |store| {
            let indices = resolve(store, &index, &Arguments::default())?;
            let context: Context = context_of(store, &indices);
            let query = json.get("query").map_or(Ok(Query::All), |query| dsl::query(query, &context))?;
            Ok((indices, query))
        })
        .await?;
    let descending = wanted.descending;
    let keys = vec![SortKey { field: "@timestamp".to_owned(), descending, missing_first: false }];
    let search = Search { indices, query, sort: keys, ..Search::default() };
    let (sender, channel) = Channel::<Bytes, io::Error>::new(AHEAD);
    tokio::spawn(send(api, search, wanted.shape.clone(), wanted.limit, sender));
    Ok(wanted.answer(channel))
}

/// Reads page after page; ends when the client is gone. An error breaks the answer off, so
/// that nobody takes a part for the whole.
async fn send(
    api: Api,
    mut search: Search,
    shape: Shape,
    limit: usize,
    mut sender: Sender<Bytes, io::Error>,
) {
    let (mut left, mut most) = (limit, PAGE);
    let head = Bytes::from(shape.head());
    if !head.is_empty() && sender.send_data(head).await.is_err() {
        return;
    }
    while left > 0 {
        search.size = left.min(most);
        let (asked, shape) = (search.clone(), shape.clone());
        let page = api.search(SEARCH_TIME_MAX, move |store| {
            let hits = store.search(&asked)?.hits;
            let place = hits.last().map(|hit| {
                let sequence = SortValue::Int(i64::try_from(hit.sequence).unwrap_or(i64::MAX));
                hit.sort.iter().cloned().chain([sequence]).collect::<Vec<_>>()
            });
            let mut text = Vec::new();
            let count = hits.len();
            let bytes: usize = hits.iter().map(|hit| hit.source.len()).sum();
            hits.into_iter().for_each(|hit| shape.write(hit.source, &mut text));
            Ok((text, count, bytes, place))
        });
        match page.await {
            Ok((text, count, bytes, place)) => {
                if count == 0 || sender.send_data(Bytes::from(text)).await.is_err() {
                    return;
                }
                left -= count;
                most = (PAGE_BYTES / (bytes / count).max(1)).clamp(PAGE, PAGE_MAX);
                search.after = place;
            }
            Err(error) => {
                tracing::warn!(error = error.reason, "an export broke off");
                sender.abort(io::Error::other(error.reason));
                return;
            }
        }
    }
}

impl Shape {
    /// What stands before the first event.
    pub(super) fn head(&self) -> String {
        match self.kind {
            Kind::Csv => {
                // The name that every event has is no formula, and its readers look for it.
                let name = |name: &String| if name == "@timestamp" { name.clone() } else { cell(name) };
                let cells: Vec<String> = self.fields.iter().map(name).collect();
                format!("{}\r\n", cells.join(","))
            }
            _ => String::new(),
        }
    }

    /// Adds an event, from its source.
    pub(super) fn write(&self, source: Vec<u8>, out: &mut Vec<u8>) {
        if self.kind == Kind::Ndjson {
            if let Some(object) = self.rule.apply(source) {
                out.extend_from_slice(object.get().as_bytes());
                out.push(b'\n');
            }
            return;
        }
        let mut found = source::fields(&source, &self.wanted, None);
        let texts = self.fields.iter().map(|name| match found.remove(name) {
            Some(Value::Array(values)) => values.iter().map(dsl::plain).collect::<Vec<_>>().join(" "),
            Some(value) => dsl::plain(&value),
            None => String::new(),
        });
        let (cells, gap, end): (Vec<String>, &str, &[u8]) = match self.kind {
            Kind::Csv => (texts.map(|text| cell(&text)).collect(), ",", b"\r\n"),
            _ => (texts.filter(|text| !text.is_empty()).collect(), " ", b"\n"),
        };
        out.extend_from_slice(cells.join(gap).as_bytes());
        out.extend_from_slice(end);
    }
}

/// A cell of CSV. What a spreadsheet would take for a formula gets a `'` in front, as
/// OWASP's page on CSV injection advises; numbers stay numbers.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r', '\'']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row of CSV, read back.
    fn read(row: &str) -> Vec<String> {
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = row.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        cells.push(cell);
        cells
    }

    #[test]
    fn cells() {
        for (text, expected) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("-5", "-5"),
            ("-5.5e3", "-5.5e3"),
            ("=1+1", "\"'=1+1\""),
            ("@timestamp", "\"'@timestamp\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    proptest! {
        #[test]
        fn rows_there_and_back(texts in prop::collection::vec("[a-z\"',\n\r=+@ -]{0,8}", 1..5)) {
            let row: Vec<String> = texts.iter().map(|text| cell(text)).collect();
            let expected: Vec<String> = texts
                .iter()
                .map(|text| {
                    let formula = text.starts_with(['=', '+', '-', '@', '\r']) && text.parse::<f64>().is_err();
                    if formula { format!("'{text}") } else { text.clone() }
                })
                .collect();
            prop_assert_eq!(read(&row.join(",")), expected);
        }
    }
}
