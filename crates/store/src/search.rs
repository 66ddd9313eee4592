//! From questions to answers: queries as tantivy runs them, and a collector that sorts.

use crate::checked::TemplateQuery;
use crate::columns::{ColumnQuery, Test};
use crate::index::{COLUMNS, Fields, ID, SEQUENCE, TIME};
use crate::mapping::FieldType;
use crate::query::{Query, SortKey, Value};
use crate::view::Seen;
use crate::{StoreError, id_hash};
use levenshtein_automata::{Distance, LevenshteinAutomatonBuilder};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, DynamicColumn, StrColumn};
use tantivy::query::{
    AllQuery, BooleanQuery, ConstScoreQuery, EmptyQuery, FuzzyTermQuery, Occur, PhrasePrefixQuery,
    PhraseQuery, Query as TantivyQuery, RegexQuery, TermQuery,
};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader, Term};

type Boxed = Box<dyn TantivyQuery>;

/// The name of a field's column; a keyword beside text is the same column.
pub(crate) fn column_name(field: &str) -> String {
    let field = field.strip_suffix(".keyword").unwrap_or(field);
    match field {
        TIME => TIME.to_owned(),
        "_seq_no" | "_doc" => SEQUENCE.to_owned(),
        other => format!("{COLUMNS}.{other}"),
    }
}

/// The words of a text, as the text index has them.
pub(crate) fn words(index: &Seen, text: &str) -> Vec<String> {
    let Some(mut analyzer) = index.tokenizers.get("default") else { return Vec::new() };
    let mut stream = analyzer.token_stream(text);
    let mut words = Vec::new();
    while stream.advance() {
        words.push(stream.token().text.clone());
    }
    words
}

/// Finds events by id: by the hash of it, which has a column.
pub(crate) fn id_query(ids: &[String]) -> Boxed {
    let hashes = ids.iter().map(|id| id_hash(id.as_bytes())).collect();
    Box::new(HashQuery { column: ID.to_owned(), hashes })
}

#[derive(Debug, Clone)]
struct HashQuery {
    column: String,
    hashes: Vec<u64>,
}

impl TantivyQuery for HashQuery {
    fn weight(
        &self,
        _: tantivy::query::EnableScoring<'_>,
    ) -> tantivy::Result<Box<dyn tantivy::query::Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl tantivy::query::Weight for HashQuery {
    fn scorer(
        &self,
        reader: &SegmentReader,
        boost: Score,
    ) -> tantivy::Result<Box<dyn tantivy::query::Scorer>> {
        let mut found = tantivy::BitSet::with_max_value(reader.max_doc());
        if let Some(column) = reader.fast_fields().column_opt::<u64>(&self.column)? {
            crate::columns::scan(&column, reader.max_doc(), &mut found, |hash| self.hashes.contains(&hash));
        }
        Ok(Box::new(tantivy::query::ConstScorer::new(tantivy::query::BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<tantivy::query::Explanation> {
        Ok(tantivy::query::Explanation::new("the id is one that was asked for", 1.0))
    }
}

/// The question as tantivy runs it on this index.
pub(crate) fn compile(query: &Query, index: &Seen) -> Result<Boxed, StoreError> {
    Ok(match query {
        Query::All => Box::new(AllQuery),
        Query::None => Box::new(EmptyQuery),
        Query::Terms { field, values } if field == "_id" => {
            id_query(&values.iter().map(Value::text).collect::<Vec<_>>())
        }
        Query::Terms { field, values } if field == "_index" => {
            let is_own = values.iter().any(|value| value.text() == index.name);
            if is_own { Box::new(AllQuery) } else { Box::new(EmptyQuery) }
        }
        Query::Terms { field, values } if field == "message" => {
            any(values.iter().map(|value| term(&index.fields, &value.text())).collect())
        }
        Query::Terms { field, values } => column(field, Test::Values(values.clone())),
        Query::Match { field, text, all } => compile_match(field, text, *all, index),
        Query::Phrase { field, text, slop } => compile_phrase(field, text, *slop, index),
        Query::PhrasePrefix { field, text } => compile_phrase_prefix(field, text, index),
        Query::Fuzzy { field, text, distance, transpositions } => {
            compile_fuzzy(field, text, (*distance).min(2), *transpositions, index)
        }
        Query::Range { field, lower, upper } => column(field, Test::Range(lower.clone(), upper.clone())),
        Query::Exists { field } if field == "message" => {
            Box::new(RegexQuery::from_pattern(".*", index.fields.message)?)
        }
        Query::Exists { field } => compile_exists(field, index),
        Query::Wildcard { field, pattern } => compile_regex(field, &wildcard(pattern), index)?,
        Query::Regexp { field, pattern } => compile_regex(field, pattern, index)?,
        Query::Template(template) => Box::new(TemplateQuery::new(template, index)),
        Query::Ids(ids) => id_query(ids),
        Query::Bool { must, filter, should, must_not, minimum_should_match } => {
            let mut parts: Vec<(Occur, Boxed)> = Vec::new();
            for query in must {
                parts.push((Occur::Must, compile(query, index)?));
            }
            for query in filter {
                parts.push((Occur::Must, Box::new(ConstScoreQuery::new(compile(query, index)?, 0.0))));
            }
            for query in must_not {
                parts.push((Occur::MustNot, compile(query, index)?));
            }
            let alone = must.is_empty() && filter.is_empty();
            let needed = minimum_should_match.unwrap_or(usize::from(alone && !should.is_empty()));
            if needed > should.len() {
                return Ok(Box::new(EmptyQuery));
            }
            if !should.is_empty() {
                let some = should
                    .iter()
                    .map(|query| Ok((Occur::Should, compile(query, index)?)))
                    .collect::<Result<Vec<_>, StoreError>>()?;
                let occur = if needed > 0 { Occur::Must } else { Occur::Should };
                parts.push((
                    occur,
                    Box::new(BooleanQuery::with_minimum_required_clauses(some, needed.max(1))),
                ));
            }
            if parts.iter().all(|(occur, _)| *occur == Occur::MustNot) || parts.is_empty() {
                parts.push((Occur::Must, Box::new(AllQuery)));
            }
            Box::new(BooleanQuery::new(parts))
        }
    })
}

fn column(field: &str, test: Test) -> Boxed {
    Box::new(ColumnQuery { column: column_name(field), test })
}

fn any(queries: Vec<Boxed>) -> Boxed {
    Box::new(BooleanQuery::union(queries))
}

pub(crate) fn term(fields: &Fields, word: &str) -> Boxed {
    Box::new(TermQuery::new(Term::from_field_text(fields.message, word), IndexRecordOption::WithFreqs))
}

/// A word of a long text, which has an index in place of a column.
fn long_term(fields: &Fields, field: &str, word: &str) -> Term {
    let mut term = Term::from_field_json_path(fields.texts, field, true);
    term.append_type_and_str(word);
    term
}

fn compile_match(field: &str, text: &str, all: bool, index: &Seen) -> Boxed {
    let words = words(index, text);
    let kind = index.kind(field.strip_suffix(".keyword").unwrap_or(field));
    if field != "message"
        && (kind.is_some_and(|kind| kind != FieldType::Text) || field.ends_with(".keyword") || field == "_id")
    {
        let value = Value::Str(text.to_owned());
        return if field == "_id" {
            id_query(&[text.to_owned()])
        } else {
            column(field, Test::Values(vec![value]))
        };
    }
    if words.is_empty() {
        return Box::new(EmptyQuery);
    }
    let occur = if all { Occur::Must } else { Occur::Should };
    if field == "message" {
        let parts = words.iter().map(|word| (occur, term(&index.fields, word)));
        return Box::new(BooleanQuery::new(parts.collect()));
    }
    let long = words.iter().map(|word| -> (Occur, Boxed) {
        (occur, Box::new(TermQuery::new(long_term(&index.fields, field, word), IndexRecordOption::WithFreqs)))
    });
    let long: Boxed = Box::new(BooleanQuery::new(long.collect()));
    let passes = move |value: &str| {
        let own = words_of(value);
        let mut wanted = words.iter();
        if all { wanted.all(|word| own.contains(word)) } else { wanted.any(|word| own.contains(word)) }
    };
    any(vec![column(field, Test::Text(Arc::new(passes))), long])
}

fn compile_phrase(field: &str, text: &str, slop: u32, index: &Seen) -> Boxed {
    let words = words(index, text);
    if words.len() < 2 {
        return compile_match(field, text, true, index);
    }
    let phrase = |terms: Vec<Term>| {
        let terms = terms.into_iter().enumerate().collect();
        let phrase: Boxed = Box::new(PhraseQuery::new_with_offset_and_slop(terms, slop));
        phrase
    };
    if field == "message" {
        return phrase(words.iter().map(|word| Term::from_field_text(index.fields.message, word)).collect());
    }
    let long = phrase(words.iter().map(|word| long_term(&index.fields, field, word)).collect());
    let passes = move |value: &str| words_of(value).windows(words.len()).any(|window| window == words);
    any(vec![column(field, Test::Text(Arc::new(passes))), long])
}

/// The words of a value that has no index of words.
fn words_of(value: &str) -> Vec<String> {
    value
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn compile_phrase_prefix(field: &str, text: &str, index: &Seen) -> Boxed {
    let words = words(index, text);
    let Some((last, before)) = words.split_last() else { return Box::new(EmptyQuery) };
    let phrase = |term: &dyn Fn(&str) -> Term| -> Boxed {
        // The phrase needs a word before; as Elasticsearch, it tries so many that begin as the last one.
        if before.is_empty() {
            return Box::new(FuzzyTermQuery::new_prefix(term(last), 0, false));
        }
        let mut query = PhrasePrefixQuery::new(words.iter().map(|word| term(word)).collect());
        query.set_max_expansions(EXPANSIONS_MAX);
        Box::new(query)
    };
    if field == "message" {
        return phrase(&|word| Term::from_field_text(index.fields.message, word));
    }
    let long = phrase(&|word| long_term(&index.fields, field, word));
    let (last, before) = (last.clone(), before.to_vec());
    let passes = move |value: &str| {
        words_of(value).windows(before.len() + 1).any(|window| {
            window[..before.len()] == before[..] && window[before.len()].starts_with(last.as_str())
        })
    };
    any(vec![column(field, Test::Text(Arc::new(passes))), long])
}

/// As Elasticsearch's `max_expansions`.
const EXPANSIONS_MAX: u32 = 50;

fn compile_fuzzy(field: &str, text: &str, distance: u8, transpositions: bool, index: &Seen) -> Boxed {
    let fuzzy = |term: Term| -> Boxed { Box::new(FuzzyTermQuery::new(term, distance, transpositions)) };
    if field == "message" {
        return fuzzy(Term::from_field_text(index.fields.message, text));
    }
    let dfa = LevenshteinAutomatonBuilder::new(distance, transpositions).build_dfa(text);
    let is_near = move |word: &str| matches!(dfa.eval(word), Distance::Exact(_));
    let bare = field.strip_suffix(".keyword");
    if bare.is_none() && index.kind(field) == Some(FieldType::Text) {
        let long = fuzzy(long_term(&index.fields, field, text));
        let passes = move |value: &str| words_of(value).iter().any(|word| is_near(word));
        return any(vec![column(field, Test::Text(Arc::new(passes))), long]);
    }
    column(field, Test::Text(Arc::new(is_near)))
}

/// A field exists where it has a column or a long text, and so does an object of such fields.
fn compile_exists(field: &str, index: &Seen) -> Boxed {
    let prefix = format!("{field}.");
    let inner = index.mapping.0.keys().filter(|name| name.starts_with(&prefix) || *name == field);
    let mut names: Vec<&str> = inner.map(String::as_str).collect();
    names.push(field);
    let mut parts: Vec<Boxed> = Vec::new();
    for name in names {
        parts.push(column(name, Test::Any));
    }
    any(parts)
}

fn compile_regex(field: &str, pattern: &str, index: &Seen) -> Result<Boxed, StoreError> {
    if field == "message" {
        return Ok(Box::new(RegexQuery::from_pattern(&pattern.to_lowercase(), index.fields.message)?));
    }
    let expression = regex::Regex::new(&format!("^(?s:{pattern})$"))
        .map_err(|error| StoreError::Query(error.to_string()))?;
    Ok(column(field, Test::Text(Arc::new(move |value| expression.is_match(value)))))
}

/// The regular expression of a pattern with `*` and `?`.
fn wildcard(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => out.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out
}

/// A value that events are sorted by. The order is that of ascending values.
#[derive(Debug, Clone, PartialEq)]
pub enum SortValue {
    /// The event does not have the field.
    Missing,
    /// A number; a time in nanoseconds; a boolean as 0 or 1.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Str(String),
}

fn compare(a: &SortValue, b: &SortValue, key: &SortKey) -> Ordering {
    use SortValue::*;
    let order = match (a, b) {
        (Missing, Missing) => return Ordering::Equal,
        (Missing, _) => return if key.missing_first { Ordering::Less } else { Ordering::Greater },
        (_, Missing) => return if key.missing_first { Ordering::Greater } else { Ordering::Less },
        (Int(a), Int(b)) => a.cmp(b),
        (Str(a), Str(b)) => a.cmp(b),
        (Str(_), _) => Ordering::Greater,
        (_, Str(_)) => Ordering::Less,
        (a, b) => number(a).total_cmp(&number(b)),
    };
    if key.descending { order.reverse() } else { order }
}

fn number(value: &SortValue) -> f64 {
    match value {
        SortValue::Int(value) => *value as f64,
        SortValue::Float(value) => *value,
        _ => 0.0,
    }
}

/// An event found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) keys: Vec<SortValue>,
    pub(crate) sequence: u64,
    pub(crate) score: Score,
    pub(crate) address: DocAddress,
    /// The value of which it is the first, where only such are found.
    pub(crate) group: Option<SortValue>,
}

/// The order of events found: by the keys, then as they came, newest first where times fall.
pub(crate) fn order(a: &Found, b: &Found, keys: &[SortKey]) -> Ordering {
    for (n, key) in keys.iter().enumerate() {
        let order = compare(&a.keys[n], &b.keys[n], key);
        if order != Ordering::Equal {
            return order;
        }
    }
    let falling = keys.first().is_some_and(|key| key.descending && key.field == TIME);
    if falling { b.sequence.cmp(&a.sequence) } else { a.sequence.cmp(&b.sequence) }
}

/// Values of which the first events are looked for at once; more would take the memory of others.
const GROUPS_MAX: usize = 100_000;

/// A value as something that can be looked up.
#[derive(PartialEq, Eq, Hash)]
enum Group {
    Missing,
    Int(i64),
    Float(u64),
    Str(String),
}

impl Group {
    fn of(value: &SortValue) -> Self {
        match value {
            SortValue::Missing => Group::Missing,
            SortValue::Int(value) => Group::Int(*value),
            SortValue::Float(value) => Group::Float(value.to_bits()),
            SortValue::Str(text) => Group::Str(text.clone()),
        }
    }
}

/// Leaves the first of each group, in order. What is in none stays.
pub(crate) fn first_of_groups<T>(all: &mut Vec<T>, found: impl Fn(&T) -> &Found) {
    let mut seen = HashSet::new();
    all.retain(|one| found(one).group.as_ref().is_none_or(|group| seen.insert(Group::of(group))));
}

/// Finds the first events by any keys, and counts all.
pub(crate) struct Sorted {
    pub(crate) keys: Arc<Vec<SortKey>>,
    pub(crate) limit: usize,
    pub(crate) after: Option<Arc<Vec<SortValue>>>,
    /// The field of which only the first event of each value is found.
    pub(crate) collapse: Option<String>,
}

impl Sorted {
    fn scores(&self) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|key| key.field == "_score")
    }
}

impl Collector for Sorted {
    type Fruit = (u64, Vec<Found>);
    type Child = SortedSegment;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SortedSegment> {
        let readers = self
            .keys
            .iter()
            .map(|key| KeyReader::open(&key.field, segment))
            .collect::<tantivy::Result<_>>()?;
        let collapse = self.collapse.as_deref().map(|field| KeyReader::open(field, segment)).transpose()?;
        Ok(SortedSegment {
            collapse,
            groups: HashMap::new(),
            ordinal,
            readers,
            keys: self.keys.clone(),
            after: self.after.clone(),
            sequence: segment.fast_fields().u64(SEQUENCE)?,
            limit: self.limit,
            count: 0,
            heap: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.scores()
    }

    fn merge_fruits(&self, fruits: Vec<(u64, Vec<Found>)>) -> tantivy::Result<(u64, Vec<Found>)> {
        let count = fruits.iter().map(|(count, _)| count).sum();
        let mut all: Vec<Found> = fruits.into_iter().flat_map(|(_, found)| found).collect();
        all.sort_by(|a, b| order(a, b, &self.keys));
        first_of_groups(&mut all, |found| found);
        if self.collapse.is_some() && all.len() > GROUPS_MAX {
            let reason = format!("there are more than {GROUPS_MAX} values to collapse");
            return Err(tantivy::TantivyError::InvalidArgument(reason));
        }
        all.truncate(self.limit);
        Ok((count, all))
    }
}

enum KeyReader {
    Score,
    Missing,
    Times(Column<tantivy::DateTime>),
    Ints(Column<i64>),
    Unsigned(Column<u64>),
    Floats(Column<f64>),
    Bools(Column<bool>),
    Texts(StrColumn),
}

impl KeyReader {
    fn open(field: &str, segment: &SegmentReader) -> tantivy::Result<Self> {
        if field == "_score" {
            return Ok(KeyReader::Score);
        }
        let handles = segment.fast_fields().dynamic_column_handles(&column_name(field))?;
        let Some(handle) = handles.first() else { return Ok(KeyReader::Missing) };
        Ok(match handle.open()? {
            DynamicColumn::DateTime(column) => KeyReader::Times(column),
            DynamicColumn::I64(column) => KeyReader::Ints(column),
            DynamicColumn::U64(column) => KeyReader::Unsigned(column),
            DynamicColumn::F64(column) => KeyReader::Floats(column),
            DynamicColumn::Bool(column) => KeyReader::Bools(column),
            DynamicColumn::Str(column) => KeyReader::Texts(column),
            DynamicColumn::Bytes(_) | DynamicColumn::IpAddr(_) => KeyReader::Missing,
        })
    }

    fn get(&self, doc: DocId, score: Score) -> SortValue {
        let value = match self {
            KeyReader::Score => Some(SortValue::Float(f64::from(score))),
            KeyReader::Missing => None,
            KeyReader::Times(column) => {
                column.first(doc).map(|time| SortValue::Int(time.into_timestamp_nanos()))
            }
            KeyReader::Ints(column) => column.first(doc).map(SortValue::Int),
            KeyReader::Unsigned(column) => column.first(doc).map(|value| SortValue::Int(value as i64)),
            KeyReader::Floats(column) => column.first(doc).map(SortValue::Float),
            KeyReader::Bools(column) => column.first(doc).map(|value| SortValue::Int(i64::from(value))),
            KeyReader::Texts(column) => column.term_ords(doc).next().map(|ord| {
                let mut text = String::new();
                // A term that cannot be read sorts as an empty one.
                let _ = column.ord_to_str(ord, &mut text);
                SortValue::Str(text)
            }),
        };
        value.unwrap_or(SortValue::Missing)
    }
}

pub(crate) struct SortedSegment {
    ordinal: SegmentOrdinal,
    readers: Vec<KeyReader>,
    keys: Arc<Vec<SortKey>>,
    after: Option<Arc<Vec<SortValue>>>,
    sequence: Column<u64>,
    limit: usize,
    count: u64,
    heap: BinaryHeap<Ranked>,
    /// The field whose values are groups, and the first event of each so far.
    collapse: Option<KeyReader>,
    groups: HashMap<Group, Found>,
}

struct Ranked(Found, Arc<Vec<SortKey>>);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.0, &other.0, &self.1)
    }
}

impl SortedSegment {
    /// Whether the event comes behind the place where the page before ended. The place may
    /// name fewer values than there are keys, or one more: the sequence.
    fn is_after(&self, found: &Found) -> bool {
        let Some(after) = &self.after else { return true };
        for (n, key) in self.keys.iter().enumerate() {
            let Some(value) = after.get(n) else { return false };
            match compare(&found.keys[n], value, key) {
                Ordering::Less => return false,
                Ordering::Greater => return true,
                Ordering::Equal => {}
            }
        }
        match after.get(self.keys.len()) {
            Some(SortValue::Int(sequence)) => {
                let falling = self.keys.first().is_some_and(|key| key.descending && key.field == TIME);
                if falling { (found.sequence as i64) < *sequence } else { found.sequence as i64 > *sequence }
            }
            _ => false,
        }
    }
}

impl SortedSegment {
    /// Whether the first key alone says that there are enough better ones.
    fn is_worse(&self, doc: DocId, score: Score) -> bool {
        let (Some(reader), Some(key)) = (self.readers.first(), self.keys.first()) else { return false };
        let Some(worst) = self.heap.peek().filter(|_| self.heap.len() >= self.limit) else { return false };
        compare(&reader.get(doc, score), &worst.0.keys[0], key) == Ordering::Greater
    }
}

impl SegmentCollector for SortedSegment {
    type Fruit = (u64, Vec<Found>);

    fn collect(&mut self, doc: DocId, score: Score) {
        self.count += 1;
        if self.limit == 0 || self.is_worse(doc, score) {
            return;
        }
        let group = self.collapse.as_ref().map(|reader| reader.get(doc, score));
        let found = Found {
            keys: self.readers.iter().map(|reader| reader.get(doc, score)).collect(),
            sequence: self.sequence.first(doc).unwrap_or(0),
            score,
            address: DocAddress::new(self.ordinal, doc),
            group,
        };
        if !self.is_after(&found) {
            return;
        }
        if let Some(group) = &found.group {
            let group = Group::of(group);
            let is_first = match self.groups.get(&group) {
                Some(first) => order(&found, first, &self.keys) == Ordering::Less,
                // One more than there may be is enough to see that there are too many.
                None => self.groups.len() <= GROUPS_MAX,
            };
            if is_first {
                self.groups.insert(group, found);
            }
            return;
        }
        if self.heap.len() >= self.limit {
            match self.heap.peek() {
                Some(worst) if order(&found, &worst.0, &self.keys) == Ordering::Less => {
                    self.heap.pop();
                }
                _ => return,
            }
        }
        self.heap.push(Ranked(found, self.keys.clone()));
    }

    fn harvest(self) -> (u64, Vec<Found>) {
        let ranked = self.heap.into_iter().map(|ranked| ranked.0);
        (self.count, ranked.chain(self.groups.into_values()).collect())
    }
}
