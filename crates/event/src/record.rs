//! The batch as a record of the queue: written, versioned and little-endian.
//!
//! Writing and reading move bytes and parse nothing; each span is checked once on reading,
//! so that a record from anywhere gives an error and never a panic.
//!
//! ```text
//! u16 version = 1    u16 0              i64 now
//! u32 bytes          u32 names' text    u32 names    u32 fields    u32 events    u32 runs
//! bytes …            text …             u32 end …    field 16 …    slot 40 …     run …
//! run: 16 id  u32 generation  u64 from  u64 to  u32 fields, then per field: u32 length, path, u8 kind, value
//! ```

use crate::batch::{Batch, DROPPED, LINE, Slot};
use crate::common::{Common, CommonValue, Origin};
use crate::value::{Field, Kind};
use crate::{DEPTH_MAX, FIELDS_MAX};
use std::fmt;
use std::sync::Arc;

const VERSION: u16 = 1;

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError(pub &'static str);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a batch: {}", self.0)
    }
}
impl std::error::Error for RecordError {}

impl Batch {
    /// Writes the batch, without the events that were dropped by a rule. Acknowledgments stay.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kept = self.slots.iter().filter(|slot| slot.flags & DROPPED == 0).count();
        out.reserve(self.size() + 1024);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.now.to_le_bytes());
        let counts = [
            self.bytes.len(),
            self.names.text().len(),
            self.names.len(),
            self.fields.len(),
            kept,
            self.runs.len(),
        ];
        for count in counts {
            put_u32(out, count as u32);
        }
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(self.names.text().as_bytes());
        for end in self.names.ends() {
            put_u32(out, *end);
        }
        for field in &self.fields {
            let mut raw = [0; 16];
            raw[0..4].copy_from_slice(&field.name.to_le_bytes());
            raw[4] = field.kind as u8;
            raw[8..16].copy_from_slice(&field.data.to_le_bytes());
            out.extend_from_slice(&raw);
        }
        for slot in self.slots.iter().filter(|slot| slot.flags & DROPPED == 0) {
            let mut raw = [0; 40];
            raw[0..8].copy_from_slice(&slot.time.to_le_bytes());
            raw[8..16].copy_from_slice(&slot.position.to_le_bytes());
            raw[16..24].copy_from_slice(&slot.outputs.to_le_bytes());
            raw[24..28].copy_from_slice(&slot.from.to_le_bytes());
            raw[28..32].copy_from_slice(&slot.to.to_le_bytes());
            raw[32..36].copy_from_slice(&slot.run.to_le_bytes());
            raw[36..38].copy_from_slice(&slot.ordinal.to_le_bytes());
            raw[38..40].copy_from_slice(&slot.flags.to_le_bytes());
            out.extend_from_slice(&raw);
        }
        for run in &self.runs {
            let origin = run.common.origin();
            out.extend_from_slice(&origin.id);
            put_u32(out, origin.generation);
            out.extend_from_slice(&run.from.to_le_bytes());
            out.extend_from_slice(&run.to.to_le_bytes());
            encode_common(&run.common, out);
        }
    }

    /// Reads a record into this batch, in place of what it held.
    pub fn decode(&mut self, record: &[u8]) -> Result<(), RecordError> {
        self.reset(0);
        let result = self.decode_inner(record);
        if result.is_err() {
            self.reset(0);
        }
        result
    }

    fn decode_inner(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let mut from = Reader(record);
        if from.u16()? != VERSION {
            return Err(RecordError("a version that this program does not know"));
        }
        from.u16()?;
        self.now = from.i64()?;
        let [bytes, text, names, fields, events, runs] = from.counts()?;
        self.bytes.extend_from_slice(from.take(bytes)?);
        let text =
            std::str::from_utf8(from.take(text)?).map_err(|_| RecordError("names that are not UTF-8"))?;
        let ends = from.take(product(names, 4)?)?;
        self.names.fill(text, ends.chunks_exact(4).map(le_u32)).ok_or(RecordError("names out of order"))?;
        if names == 0 || self.names.get(0) != "message" {
            return Err(RecordError("names without message"));
        }
        for raw in from.take(product(fields, 16)?)?.chunks_exact(16) {
            let kind = Kind::of(raw[4]).ok_or(RecordError("an unknown kind of value"))?;
            self.fields.push(Field::new(le_u32(&raw[0..4]), kind, le_u64(&raw[8..16])));
        }
        for raw in from.take(product(events, 40)?)?.chunks_exact(40) {
            self.slots.push(Slot {
                time: le_u64(&raw[0..8]) as i64,
                position: le_u64(&raw[8..16]),
                outputs: le_u64(&raw[16..24]),
                from: le_u32(&raw[24..28]),
                to: le_u32(&raw[28..32]),
                run: le_u32(&raw[32..36]),
                ordinal: u16::from_le_bytes([raw[36], raw[37]]),
                flags: u16::from_le_bytes([raw[38], raw[39]]),
            });
        }
        for _ in 0..runs {
            let origin = Origin { id: from.array()?, generation: from.u32()? };
            let (start, end) = (from.i64()? as u64, from.i64()? as u64);
            let common = decode_common(origin, &mut from)?;
            self.runs.push(crate::batch::Run { common, from: start, to: end, mark: 0 });
        }
        if !from.0.is_empty() {
            return Err(RecordError("something behind the batch"));
        }
        self.check()
    }

    /// Every span and number must lie within what it points to. Objects must not hold
    /// themselves, not lie deeper than is ever written, and not share what they hold: then
    /// writing the events takes no more than the fields that there are.
    fn check(&self) -> Result<(), RecordError> {
        let bytes = self.bytes.len() as u32;
        let fields = self.fields.len() as u32;
        let mut is_flat = true;
        for field in &self.fields {
            let span = field.span();
            let fits = match field.kind {
                Kind::Str | Kind::Plain | Kind::Raw => span.from <= span.to && span.to <= bytes,
                Kind::Object | Kind::Array => span.from <= span.to && span.to <= fields,
                _ => true,
            };
            if !fits || field.name as usize >= self.names.len() {
                return Err(RecordError("a field outside of the batch"));
            }
            is_flat &= !matches!(field.kind, Kind::Object | Kind::Array);
        }
        let mut tree =
            Tree { batch: self, seen: vec![Seen::default(); if is_flat { 0 } else { self.fields.len() }] };
        let mut reached: u64 = 0;
        for slot in &self.slots {
            let limit = if slot.flags & LINE != 0 { bytes } else { fields };
            if slot.from > slot.to || slot.to > limit || slot.run as usize >= self.runs.len() {
                return Err(RecordError("an event outside of the batch"));
            }
            if slot.flags & LINE == 0 {
                let (from, to) = (slot.from as usize, slot.to as usize);
                let own =
                    if is_flat { u64::from(slot.to - slot.from) } else { tree.range(from..to, 0)?.fields };
                reached = reached.saturating_add(own);
            }
        }
        if reached > u64::from(fields) {
            return Err(RecordError("fields that are in several places"));
        }
        Ok(())
    }
}

/// What is known of the fields that were looked at.
struct Tree<'b> {
    batch: &'b Batch,
    seen: Vec<Seen>,
}

/// What a field holds, itself included; nothing: it was not looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    fields: u64,
    height: usize,
    is_open: bool,
}

impl Tree<'_> {
    fn range(&mut self, range: std::ops::Range<usize>, depth: usize) -> Result<Seen, RecordError> {
        let mut all = Seen::default();
        for at in range {
            let own = self.field(at, depth)?;
            all.fields = all.fields.saturating_add(own.fields);
            all.height = all.height.max(own.height);
        }
        Ok(all)
    }

    fn field(&mut self, at: usize, depth: usize) -> Result<Seen, RecordError> {
        let seen = self.seen[at];
        // A field seen before may now lie deeper than it did.
        if seen.is_open || depth + seen.height > DEPTH_MAX + 1 {
            return Err(RecordError("fields nested in a circle or too deep"));
        }
        if seen.fields > 0 {
            return Ok(seen);
        }
        let field = self.batch.fields[at];
        let mut own = Seen { fields: 1, height: 1, is_open: false };
        if matches!(field.kind, Kind::Object | Kind::Array) {
            self.seen[at].is_open = true;
            let inner = self.range(field.range(), depth + 1)?;
            own.fields = own.fields.saturating_add(inner.fields);
            own.height += inner.height;
        }
        self.seen[at] = own;
        Ok(own)
    }
}

fn encode_common(common: &Common, out: &mut Vec<u8>) {
    put_u32(out, common.fields().len() as u32);
    for (path, value) in common.fields() {
        put_text(out, path.dotted());
        match value {
            CommonValue::Str(text) => {
                out.push(0);
                put_text(out, text);
            }
            CommonValue::Int(value) => {
                out.push(1);
                out.extend_from_slice(&value.to_le_bytes());
            }
            CommonValue::Json(text) => {
                out.push(2);
                put_text(out, text);
            }
            CommonValue::Position => out.push(3),
        }
    }
}

fn decode_common(origin: Origin, from: &mut Reader<'_>) -> Result<Arc<Common>, RecordError> {
    let count = from.u32()?;
    if count as usize > FIELDS_MAX {
        return Err(RecordError("an origin with too many fields"));
    }
    let mut fields = Vec::new();
    for _ in 0..count {
        let path = from.text()?.to_owned();
        if path.split('.').count() > DEPTH_MAX {
            return Err(RecordError("an origin's field that is too deep"));
        }
        let value = match from.array::<1>()?[0] {
            0 => CommonValue::Str(from.text()?.to_owned()),
            1 => CommonValue::Int(from.i64()?),
            2 => {
                let text = from.text()?;
                crate::json::parse(text).map_err(|_| RecordError("a common value that is not JSON"))?;
                CommonValue::Json(text.to_owned())
            }
            3 => CommonValue::Position,
            _ => return Err(RecordError("an unknown kind of common value")),
        };
        fields.push((path, value));
    }
    Ok(Common::new(origin, fields))
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u32(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}

fn le_u32(raw: &[u8]) -> u32 {
    u32::from_le_bytes(raw.try_into().expect("four bytes"))
}

fn le_u64(raw: &[u8]) -> u64 {
    u64::from_le_bytes(raw.try_into().expect("eight bytes"))
}

fn product(count: usize, size: usize) -> Result<usize, RecordError> {
    count.checked_mul(size).ok_or(RecordError("a count that is too large"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RecordError("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as asked for"))
    }
    fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    fn i64(&mut self) -> Result<i64, RecordError> {
        Ok(i64::from_le_bytes(self.array()?))
    }
    fn counts(&mut self) -> Result<[usize; 6], RecordError> {
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = self.u32()? as usize;
        }
        Ok(counts)
    }
    fn text(&mut self) -> Result<&'a str, RecordError> {
        let count = self.u32()? as usize;
        std::str::from_utf8(self.take(count)?).map_err(|_| RecordError("text that is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Span;

    /// A record of one event with these fields, of which the last `top` are outermost.
    fn record(fields: &[(Kind, Span)], top: usize) -> Vec<u8> {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.push_line(Span::default(), 0);
        batch.fields = fields.iter().map(|(kind, span)| Field::spanning(0, *kind, *span)).collect();
        batch.slots[0] =
            Slot { flags: 0, from: (fields.len() - top) as u32, to: fields.len() as u32, ..batch.slots[0] };
        let mut out = Vec::new();
        batch.encode(&mut out);
        out
    }

    #[track_caller]
    fn check(fields: &[(Kind, Span)], top: usize, expected: Result<(), &'static str>) {
        let result = Batch::new().decode(&record(fields, top));
        assert_eq!(result, expected.map_err(RecordError));
    }

    #[test]
    fn objects_are_trees() {
        let leaf = (Kind::Null, Span::default());
        let object = |from, to| (Kind::Object, Span { from, to });
        check(&[leaf, object(0, 1)], 1, Ok(()));
        check(&[leaf, object(0, 1), object(0, 1)], 1, Ok(()));
        check(&[leaf, object(0, 3)], 1, Err("a field outside of the batch"));
        check(&[object(0, 1)], 1, Err("fields nested in a circle or too deep"));
        check(&[object(1, 2), object(0, 1)], 1, Err("fields nested in a circle or too deep"));
        check(&[leaf, object(0, 1), object(0, 1)], 2, Err("fields that are in several places"));
        // Each object holds the one before it: known from below, they are too deep all the same.
        let chain = |depth: u32| -> Vec<_> {
            std::iter::once(leaf).chain((0..depth).map(|n| object(n, n + 1))).collect()
        };
        check(&chain(DEPTH_MAX as u32), 1, Ok(()));
        check(&chain(100), 1, Err("fields nested in a circle or too deep"));
        check(&chain(1_000_000), 1, Err("fields nested in a circle or too deep"));
        // Two objects that both hold the two before them would write 2^60 leaves.
        let doubled = (0..60).flat_map(|n| [object(2 * n, 2 * n + 2); 2]);
        let doubled: Vec<_> = [leaf, leaf].into_iter().chain(doubled).collect();
        check(&doubled, 2, Err("fields that are in several places"));
    }

    #[test]
    fn origins_have_few_fields_and_none_deep() {
        let decoded = |fields: Vec<(String, CommonValue)>| {
            let mut batch = Batch::new();
            batch.begin_run(Common::new(Origin::default(), fields), 0);
            let mut out = Vec::new();
            batch.encode(&mut out);
            Batch::new().decode(&out)
        };
        let fields = |count: usize| (0..count).map(|n| (format!("f{n}"), CommonValue::Int(1))).collect();
        let deep = |depth: usize| vec![(vec!["a"; depth].join("."), CommonValue::Int(1))];
        assert_eq!(decoded(fields(FIELDS_MAX)), Ok(()));
        assert_eq!(decoded(fields(FIELDS_MAX + 1)), Err(RecordError("an origin with too many fields")));
        assert_eq!(decoded(deep(DEPTH_MAX)), Ok(()));
        assert_eq!(decoded(deep(DEPTH_MAX + 1)), Err(RecordError("an origin's field that is too deep")));
    }
}
