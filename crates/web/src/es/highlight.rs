//! `highlight`: the words of the question in the text that was found.

use super::EsError;
use super::context::glob;
use serde_json::{Map, Value as Json, json};
use std::ops::Range;
use store::Query;

const OPTIONS: [&str; 16] = [
    "fields",
    "pre_tags",
    "post_tags",
    "fragment_size",
    "number_of_fragments",
    "require_field_match",
    "encoder",
    "type",
    "order",
    "boundary_scanner",
    "boundary_chars",
    "boundary_max_scan",
    "max_analyzed_offset",
    "no_match_size",
    "tags_schema",
    "highlight_query",
];

/// How found words are shown.
#[derive(Debug, Clone)]
pub(crate) struct Highlight {
    /// Patterns of fields.
    fields: Vec<String>,
    before: String,
    after: String,
    /// About how long a piece of text is, in characters; none: the whole text.
    fragment: Option<usize>,
    fragments_max: usize,
    own_field_only: bool,
    is_html: bool,
    marks: Vec<(String, Mark)>,
}

/// What of a text is marked.
#[derive(Debug, Clone, PartialEq)]
enum Mark {
    /// A word.
    Word(String),
    /// Words, or a whole value, of a pattern with `*` and `?`.
    Pattern(String),
    /// A whole value.
    Value(String),
}

impl Highlight {
    /// Reads the value of `"highlight"`; the words come from the question.
    pub(crate) fn read(json: &Json, query: &Query) -> Result<Option<Self>, EsError> {
        if json.is_null() {
            return Ok(None);
        }
        let object = json.as_object().ok_or_else(|| EsError::parsing("[highlight] must be an object"))?;
        if let Some(name) = object.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
            return Err(EsError::unknown("the option of [highlight]", name, &OPTIONS));
        }
        if object.contains_key("highlight_query") {
            return Err(EsError::argument(
                "[highlight_query] is not supported; the words of the query are shown",
            ));
        }
        let fields: Vec<(&String, &Json)> = match &json["fields"] {
            Json::Object(fields) => fields.iter().collect(),
            Json::Array(list) => list.iter().filter_map(Json::as_object).flatten().collect(),
            _ => return Err(EsError::parsing("[highlight] needs [fields], an object").about("highlight")),
        };
        // What one field says holds for all: there is hardly ever more than one.
        let of = |name: &str| fields.iter().find_map(|(_, own)| own.get(name)).or_else(|| object.get(name));
        let tag = |name: &str, default: &str| match of(name) {
            Some(Json::Array(tags)) => tags.first().and_then(Json::as_str).unwrap_or(default).to_owned(),
            Some(Json::String(tag)) => tag.clone(),
            _ => default.to_owned(),
        };
        let size = of("fragment_size").and_then(Json::as_u64).unwrap_or(100);
        let count = of("number_of_fragments").and_then(Json::as_u64).unwrap_or(5);
        let mut marks = Vec::new();
        collect(query, &mut marks);
        Ok(Some(Self {
            fields: fields.iter().map(|(name, _)| (*name).clone()).collect(),
            before: tag("pre_tags", "<em>"),
            after: tag("post_tags", "</em>"),
            fragment: usize::try_from(size).ok().filter(|size| count > 0 && (1..1 << 20).contains(size)),
            fragments_max: usize::try_from(count.max(1)).unwrap_or(usize::MAX),
            own_field_only: of("require_field_match") != Some(&Json::Bool(false)),
            is_html: of("encoder").and_then(Json::as_str) == Some("html"),
            marks,
        }))
    }

    /// The pieces of a document's text with what was found in them, by fields.
    pub(crate) fn show(&self, source: &[u8]) -> Option<Json> {
        let mut found = Map::new();
        if let Ok(Json::Object(object)) = serde_json::from_slice(source) {
            for (name, value) in &object {
                self.walk(name, value, &mut found);
            }
        }
        (!found.is_empty()).then_some(Json::Object(found))
    }

    fn walk(&self, path: &str, value: &Json, found: &mut Map<String, Json>) {
        match value {
            Json::Object(inner) => {
                inner.iter().for_each(|(name, value)| self.walk(&format!("{path}.{name}"), value, found));
            }
            Json::Array(list) => list.iter().for_each(|value| self.walk(path, value, found)),
            Json::String(text) => {
                for pattern in &self.fields {
                    let bare = pattern.strip_suffix(".keyword").unwrap_or(pattern);
                    if !glob(bare, path) {
                        continue;
                    }
                    let pieces = self.pieces(path, text);
                    let name = if bare.contains('*') { path } else { pattern };
                    if !pieces.is_empty()
                        && let Json::Array(list) = found.entry(name).or_insert_with(|| json!([]))
                    {
                        list.extend(pieces.into_iter().map(Json::from));
                    }
                    break;
                }
            }
            _ => {}
        }
    }

    fn pieces(&self, path: &str, text: &str) -> Vec<String> {
        let marks = self.marks.iter().filter(|(field, _)| {
            let bare = field.strip_suffix(".keyword").unwrap_or(field);
            !self.own_field_only || bare == path
        });
        let marks: Vec<&Mark> = marks.map(|(_, mark)| mark).collect();
        let is_whole = marks.iter().any(|mark| match mark {
            Mark::Value(value) => value == text,
            Mark::Pattern(pattern) => is_like(pattern, text),
            Mark::Word(_) => false,
        });
        let places: Vec<Range<usize>> = if is_whole {
            std::iter::once(0..text.len()).collect()
        } else {
            let words = words(text).filter(|place| {
                let word = text[place.clone()].to_lowercase();
                marks.iter().any(|mark| match mark {
                    Mark::Word(own) => *own == word,
                    Mark::Pattern(pattern) => is_like(&pattern.to_lowercase(), &word),
                    Mark::Value(_) => false,
                })
            });
            words.collect()
        };
        if places.is_empty() {
            return Vec::new();
        }
        let Some(size) = self.fragment.filter(|size| text.chars().count() > *size) else {
            return vec![self.marked(text, 0..text.len(), &places)];
        };
        let mut pieces = Vec::new();
        let mut behind = 0;
        for place in &places {
            if place.start < behind {
                continue;
            }
            if pieces.len() == self.fragments_max {
                break;
            }
            let piece = around(text, behind, place, size);
            behind = piece.end;
            pieces.push(self.marked(text, piece, &places));
        }
        pieces
    }

    fn marked(&self, text: &str, piece: Range<usize>, places: &[Range<usize>]) -> String {
        let mut out = String::new();
        let mut at = piece.start;
        for place in places.iter().filter(|place| place.start >= piece.start && place.end <= piece.end) {
            self.add(&mut out, &text[at..place.start]);
            out.push_str(&self.before);
            self.add(&mut out, &text[place.clone()]);
            out.push_str(&self.after);
            at = place.end;
        }
        self.add(&mut out, &text[at..piece.end]);
        out
    }

    fn add(&self, out: &mut String, text: &str) {
        if !self.is_html {
            return out.push_str(text);
        }
        for c in text.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                other => out.push(other),
            }
        }
    }
}

/// The words of a text, as the index has them: runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let from = rest + text[rest..].find(char::is_alphanumeric)?;
        let to = text[from..].find(|c: char| !c.is_alphanumeric()).map_or(text.len(), |len| from + len);
        rest = to;
        Some(from..to)
    })
}

/// A piece of about so many characters that begins with the place, or a little before, and ends
/// at a blank where there is one.
fn around(text: &str, behind: usize, place: &Range<usize>, size: usize) -> Range<usize> {
    let lead = text[behind..place.start].char_indices().rev().take(size / 4).last().map_or(0, |(at, _)| at);
    let from = if place.start - behind <= size / 4 { behind } else { behind + lead };
    let from =
        text[from..place.start].find(char::is_whitespace).filter(|_| from > behind).map_or(from, |at| {
            let blank = text[from + at..].chars().next().map_or(1, char::len_utf8);
            from + at + blank
        });
    let end = text[from..].char_indices().nth(size).map_or(text.len(), |(at, _)| from + at);
    let end = end.max(place.end);
    let to = text[end..].find(char::is_whitespace).map_or(text.len(), |at| end + at);
    from..to
}

/// Whether a pattern with `*` and `?` means the text. Takes time of pattern × text at most.
fn is_like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut back {
                Some((star, from)) => {
                    *from += 1;
                    (p, t) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn collect(query: &Query, marks: &mut Vec<(String, Mark)>) {
    match query {
        Query::Match { field, text, .. }
        | Query::Phrase { field, text, .. }
        | Query::PhrasePrefix { field, text } => {
            let own = words(text).map(|place| (field.clone(), Mark::Word(text[place].to_lowercase())));
            marks.extend(own);
            marks.push((field.clone(), Mark::Value(text.clone())));
        }
        Query::Terms { field, values } => marks.extend(values.iter().map(|value| {
            let text = value.text();
            (field.clone(), if field == "message" { Mark::Word(text) } else { Mark::Value(text) })
        })),
        Query::Wildcard { field, pattern } if pattern != "*" => {
            marks.push((field.clone(), Mark::Pattern(pattern.replace('\\', ""))));
        }
        Query::Bool { must, filter, should, .. } => {
            must.iter().chain(filter).chain(should).for_each(|query| collect(query, marks));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(options: Json, query: Query, source: Json) -> Json {
        let highlight = Highlight::read(&options, &query).unwrap().unwrap();
        highlight.show(source.to_string().as_bytes()).unwrap_or(Json::Null)
    }

    fn word(field: &str, text: &str) -> Query {
        Query::Match { field: field.to_owned(), text: text.to_owned(), all: false }
    }

    #[test]
    fn marks() {
        let all = json!({"fields": {"*": {}}});
        let source = json!({"message": "A fox, a <b>", "o": {"k": "fox"}});
        let check = |options: Json, query: Query, expected: Json| {
            assert_eq!(shown(options, query, source.clone()), expected);
        };
        check(all.clone(), word("message", "FOX b"), json!({"message": ["A <em>fox</em>, a <<em>b</em>>"]}));
        check(all.clone(), word("nowhere", "fox"), Json::Null);
        let any =
            json!({"fields": {"*": {"require_field_match": false}}, "pre_tags": ["["], "post_tags": ["]"]});
        check(any, word("nowhere", "fox"), json!({"message": ["A [fox], a <b>"], "o.k": ["[fox]"]}));
        let html = json!({"fields": {"message": {}}, "encoder": "html"});
        check(html, word("message", "a"), json!({"message": ["<em>A</em> fox, <em>a</em> &lt;b&gt;"]}));
        let like = Query::Wildcard { field: "o.k".into(), pattern: "f?x".into() };
        check(all.clone(), like.clone(), json!({"o.k": ["<em>fox</em>"]}));
        check(all, like.negate(), Json::Null);
        assert!(Highlight::read(&json!({"feilds": {}}), &Query::All).is_err());
        assert!(Highlight::read(&json!({}), &Query::All).is_err());
    }

    #[test]
    fn long_texts_are_cut() {
        let text = format!("{}needle {}needle end", "hay ".repeat(100), "straw ".repeat(100));
        let found = shown(json!({"fields": {"m": {}}}), word("m", "needle"), json!({"m": text}));
        let pieces = found["m"].as_array().unwrap();
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.as_str().unwrap().matches("<em>needle</em>").count() == 1));
        assert!(pieces.iter().all(|piece| piece.as_str().unwrap().len() < 140), "{pieces:?}");
    }

    proptest! {
        /// Without its marks, a text that is shown as a whole is the text.
        #[test]
        fn nothing_is_lost(text in "[aé ,]{0,40}", size in 1_u64..20) {
            let whole = json!({"fields": {"m": {"number_of_fragments": 0}}, "pre_tags": [""], "post_tags": [""]});
            let found = shown(whole, word("m", "a é"), json!({"m": text}));
            prop_assert!(found.is_null() || found["m"][0] == text.as_str());
            let cut = json!({"fields": {"m": {"fragment_size": size}}, "pre_tags": [""], "post_tags": [""]});
            let found = shown(cut, word("m", "a é"), json!({"m": text}));
            for piece in found["m"].as_array().into_iter().flatten() {
                prop_assert!(text.contains(piece.as_str().unwrap()));
            }
        }
    }
}
