//! Questions that columns answer: ranges, values, patterns and words of fields that have no
//! text index.

use crate::query::Value;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use tantivy::columnar::{Column, DynamicColumn, StrColumn};
use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{BitSet, DocId, Score, SegmentReader};

/// Whether a value of a column is one that is looked for.
#[derive(Clone)]
pub(crate) enum Test {
    Any,
    Values(Vec<Value>),
    Range(Bound<Value>, Bound<Value>),
    /// A test of text; columns of other types never pass.
    Text(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

/// Finds the events in which a column has such a value.
#[derive(Clone)]
pub(crate) struct ColumnQuery {
    pub(crate) column: String,
    pub(crate) test: Test,
}

impl fmt::Debug for ColumnQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}", self.column)
    }
}

impl Query for ColumnQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for ColumnQuery {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        for handle in reader.fast_fields().dynamic_column_handles(&self.column)? {
            self.collect(&handle.open()?, reader.max_doc(), &mut found)?;
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("a column has the value", 1.0))
    }
}

impl ColumnQuery {
    fn collect(&self, column: &DynamicColumn, docs: DocId, found: &mut BitSet) -> tantivy::Result<()> {
        match column {
            DynamicColumn::Bool(column) => {
                let passes = |value: bool| match &self.test {
                    Test::Any => true,
                    Test::Values(values) => values.iter().any(|own| own.boolean() == Some(value)),
                    _ => false,
                };
                scan(column, docs, found, passes);
            }
            DynamicColumn::I64(column) => self.numbers(column, docs, found, |value| value as f64),
            DynamicColumn::U64(column) => self.numbers(column, docs, found, |value| value as f64),
            DynamicColumn::F64(column) => self.numbers(column, docs, found, |value| value),
            DynamicColumn::DateTime(column) => self.times(column, docs, found),
            DynamicColumn::Str(column) => self.texts(column, docs, found)?,
            DynamicColumn::Bytes(_) | DynamicColumn::IpAddr(_) => {}
        }
        Ok(())
    }

    fn numbers<T: Copy + Default + PartialOrd + fmt::Debug + Send + Sync + 'static>(
        &self,
        column: &Column<T>,
        docs: DocId,
        found: &mut BitSet,
        number: impl Fn(T) -> f64,
    ) {
        match &self.test {
            Test::Any => scan(column, docs, found, |_| true),
            Test::Values(values) => {
                let wanted: Vec<f64> = values.iter().filter_map(Value::number).collect();
                scan(column, docs, found, |value| wanted.contains(&number(value)));
            }
            Test::Range(lower, upper) => {
                let (Some(lower), Some(upper)) = (bound(lower, Value::number), bound(upper, Value::number))
                else {
                    return;
                };
                scan(column, docs, found, |value| is_within(&number(value), &lower, &upper));
            }
            Test::Text(_) => {}
        }
    }

    fn times(&self, column: &Column<tantivy::DateTime>, docs: DocId, found: &mut BitSet) {
        let ns = |value: tantivy::DateTime| value.into_timestamp_nanos();
        match &self.test {
            Test::Any => scan(column, docs, found, |_| true),
            Test::Values(values) => {
                let wanted: Vec<i64> = values.iter().filter_map(Value::time).collect();
                scan(column, docs, found, |value| wanted.contains(&ns(value)));
            }
            Test::Range(lower, upper) => {
                let (Some(lower), Some(upper)) = (bound(lower, Value::time), bound(upper, Value::time))
                else {
                    return;
                };
                scan(column, docs, found, |value| is_within(&ns(value), &lower, &upper));
            }
            Test::Text(_) => {}
        }
    }

    /// Looks through the dictionary once, then for the numbers of the terms that pass.
    fn texts(&self, column: &StrColumn, docs: DocId, found: &mut BitSet) -> tantivy::Result<()> {
        let dictionary = column.dictionary();
        let mut passing = BitSet::with_max_value(dictionary.num_terms() as u32);
        match &self.test {
            Test::Any => {
                scan(column.ords(), docs, found, |_| true);
                return Ok(());
            }
            Test::Values(values) => {
                for value in values {
                    if let Some(ord) = dictionary.term_ord(value.text().as_bytes())? {
                        passing.insert(ord as u32);
                    }
                }
            }
            Test::Range(lower, upper) => {
                let text = |value: &Value| Some(value.text());
                let (Some(lower), Some(upper)) = (bound(lower, text), bound(upper, text)) else {
                    return Ok(());
                };
                each_term(column, |ord, term| {
                    if is_within(&term.to_owned(), &lower, &upper) {
                        passing.insert(ord);
                    }
                })?;
            }
            Test::Text(passes) => each_term(column, |ord, term| {
                if passes(term) {
                    passing.insert(ord);
                }
            })?,
        }
        if passing.len() > 0 {
            scan(column.ords(), docs, found, |ord| passing.contains(ord as u32));
        }
        Ok(())
    }
}

fn each_term(column: &StrColumn, mut each: impl FnMut(u32, &str)) -> tantivy::Result<()> {
    let mut terms = column.dictionary().stream()?;
    while terms.advance() {
        if let Ok(term) = std::str::from_utf8(terms.key()) {
            each(terms.term_ord() as u32, term);
        }
    }
    Ok(())
}

/// How many values are unpacked at once.
const BLOCK: usize = 512;

pub(crate) fn scan<T: Copy + Default + PartialOrd + fmt::Debug + Send + Sync + 'static>(
    column: &Column<T>,
    docs: DocId,
    found: &mut BitSet,
    passes: impl Fn(T) -> bool,
) {
    if column.get_cardinality().is_full() {
        // Every document has one value, in order: whole blocks are read.
        let mut block = [T::default(); BLOCK];
        for from in (0..docs).step_by(BLOCK) {
            let values = &mut block[..BLOCK.min((docs - from) as usize)];
            column.values.get_range(u64::from(from), values);
            for (doc, value) in (from..).zip(values.iter()) {
                if passes(*value) {
                    found.insert(doc);
                }
            }
        }
        return;
    }
    for doc in 0..docs {
        if column.values_for_doc(doc).any(&passes) {
            found.insert(doc);
        }
    }
}

/// The bound in the column's type; nothing where the value does not fit it.
fn bound<T>(bound: &Bound<Value>, convert: impl Fn(&Value) -> Option<T>) -> Option<Bound<T>> {
    Some(match bound {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(value) => Bound::Included(convert(value)?),
        Bound::Excluded(value) => Bound::Excluded(convert(value)?),
    })
}

fn is_within<T: PartialOrd>(value: &T, lower: &Bound<T>, upper: &Bound<T>) -> bool {
    let above = match lower {
        Bound::Unbounded => true,
        Bound::Included(bound) => {
            matches!(value.partial_cmp(bound), Some(Ordering::Greater | Ordering::Equal))
        }
        Bound::Excluded(bound) => value > bound,
    };
    above
        && match upper {
            Bound::Unbounded => true,
            Bound::Included(bound) => {
                matches!(value.partial_cmp(bound), Some(Ordering::Less | Ordering::Equal))
            }
            Bound::Excluded(bound) => value < bound,
        }
}
