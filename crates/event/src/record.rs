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

    /// Every span and number must lie within what it points to, and ranges of fields must
    /// lead to earlier fields only or to themselves never, so that walking them ends.
    fn check(&self) -> Result<(), RecordError> {
        let bytes = self.bytes.len() as u32;
        let fields = self.fields.len() as u32;
        let mut levels = vec![0_u8; 0];
        for (at, field) in self.fields.iter().enumerate() {
            let span = field.span();
            let fits = match field.kind {
                Kind::Str | Kind::Plain | Kind::Raw => span.from <= span.to && span.to <= bytes,
                Kind::Object | Kind::Array => span.from <= span.to && span.to <= fields,
                _ => true,
            };
            if !fits || field.name as usize >= self.names.len() {
                return Err(RecordError("a field outside of the batch"));
            }
            if matches!(field.kind, Kind::Object | Kind::Array) && levels.is_empty() {
                levels.push(at as u8);
            }
        }
        for slot in &self.slots {
            let limit = if slot.flags & LINE != 0 { bytes } else { fields };
            if slot.from > slot.to || slot.to > limit || slot.run as usize >= self.runs.len() {
                return Err(RecordError("an event outside of the batch"));
            }
        }
        if !levels.is_empty() {
            self.check_depth()?;
        }
        Ok(())
    }

    /// Objects must not hold themselves, and not lie deeper than is ever written.
    fn check_depth(&self) -> Result<(), RecordError> {
        // 0: not visited, 1: on the way, otherwise: height + 1.
        let mut height = vec![0_u8; self.fields.len()];
        for at in 0..self.fields.len() {
            self.height(at, &mut height, 0)?;
        }
        Ok(())
    }

    fn height(&self, at: usize, heights: &mut [u8], depth: usize) -> Result<u8, RecordError> {
        if depth > crate::DEPTH_MAX + 1 || heights[at] == 1 {
            return Err(RecordError("fields nested in a circle or too deep"));
        }
        if heights[at] > 1 {
            return Ok(heights[at]);
        }
        let field = self.fields[at];
        let mut height = 2;
        if matches!(field.kind, Kind::Object | Kind::Array) {
            heights[at] = 1;
            for child in field.range() {
                height = height.max(self.height(child, heights, depth + 1)?.saturating_add(1));
            }
        }
        heights[at] = height;
        Ok(height)
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
    let mut fields = Vec::new();
    for _ in 0..count {
        let path = from.text()?.to_owned();
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
