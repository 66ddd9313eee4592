//! The batch: flat memory, and events that are spans in it.
//!
//! Rejected: a tree of maps per event, as the peers have it. Nearly all of their CPU goes
//! into one small allocation per field. The price here is that a batch only grows until it
//! is emptied: what a filter replaced stays as dead bytes until then.

use crate::ack::Acks;
use crate::common::Common;
use crate::event::Event;
use crate::family::Family;
use crate::json::{self, JsonError};
use crate::names::{NameId, Names};
use crate::path::{Part, Path};
use crate::scan;
use crate::time;
use crate::value::{Field, Kind, Span, Value};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// About how many events an input puts into a batch.
pub const EVENTS_MAX: usize = 1_000;

/// The number of the name `message`, which every batch knows first.
pub(crate) const MESSAGE: u32 = 0;

/// The event is a line that was not looked at: `from..to` is a span of the bytes.
pub(crate) const LINE: u16 = 1;
/// Dropped by a rule: nobody sees it any more, but its position counts.
pub(crate) const DROPPED: u16 = 2;
/// The fields of the origin were copied into the event, which may have changed them.
pub(crate) const OWN_COMMON: u16 = 4;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) time: i64,
    pub(crate) position: u64,
    pub(crate) outputs: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) run: u32,
    pub(crate) ordinal: u16,
    pub(crate) flags: u16,
}

/// The events of one origin within a batch, in order.
#[derive(Debug, Clone)]
pub struct Run {
    /// What they have in common.
    pub common: Arc<Common>,
    /// The position of the first.
    pub from: u64,
    /// Where reading goes on behind the last.
    pub to: u64,
    /// A hash of what stands before `to`, by which the origin is known again; 0: none.
    pub mark: u64,
}

/// Events that move together and are acknowledged together.
///
/// An input fills an empty batch: it reads into [`bytes_mut`](Batch::bytes_mut), begins a
/// run per origin, pushes its lines and adds the acknowledgment. A batch that is dropped
/// while it holds an acknowledgment lets it go undone.
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) names: Names,
    pub(crate) fields: Vec<Field>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) runs: Vec<Run>,
    /// The acknowledgment.
    pub acks: Acks,
    pub(crate) now: i64,
    /// The overlay of the open event, kept for its capacity.
    pub(crate) overlay: Vec<Field>,
    /// By name: the event (+ 1) that has it, while JSON is read into one.
    pub(crate) stamps: Vec<(u32, u32)>,
    pub(crate) stamp: u32,
    shared: Shared,
    /// What copies of events need to stand in order; empty while there are none.
    pub(crate) family: Family,
}

/// The outermost names that the events of a run have in common, by their numbers: those that the
/// batch knew when it had so many names.
#[derive(Default)]
struct Shared {
    serial: u64,
    known: usize,
    run: u32,
    ids: Vec<NameId>,
}

impl Default for Batch {
    fn default() -> Self {
        let mut names = Names::default();
        names.intern("message");
        Self {
            bytes: Vec::new(),
            names,
            fields: Vec::new(),
            slots: Vec::new(),
            runs: Vec::new(),
            acks: Acks::default(),
            now: 0,
            overlay: Vec::new(),
            stamps: Vec::new(),
            stamp: 0,
            shared: Shared::default(),
            family: Family::default(),
        }
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties it and keeps its memory. `now` is the one clock reading of the next filling,
    /// in nanoseconds UTC: the time of its events until something sets another.
    pub fn reset(&mut self, now: i64) {
        self.bytes.clear();
        self.names.clear();
        self.names.intern("message");
        self.fields.clear();
        self.slots.clear();
        self.runs.clear();
        self.acks.clear_undone();
        self.stamps.clear();
        self.stamp = 0;
        self.family.next.clear();
        self.now = now;
    }

    /// The clock reading of this batch, in nanoseconds UTC.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The bytes that were read, and behind them what filters wrote.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where an input puts what it reads. Only append: events are spans in it.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Begins the events of an origin at this position. The run before ends.
    pub fn begin_run(&mut self, common: Arc<Common>, from: u64) {
        self.runs.push(Run { common, from, to: from, mark: 0 });
    }

    /// Says where reading goes on behind the events of the last run, and what stands there.
    pub fn end_run(&mut self, to: u64, mark: u64) {
        if let Some(run) = self.runs.last_mut() {
            (run.to, run.mark) = (to, mark);
        }
    }

    /// Adds an event to the last run: a line that nobody looked at. Its time is the batch's.
    pub fn push_line(&mut self, line: Span, position: u64) {
        debug_assert!(!self.runs.is_empty(), "an event belongs to a run");
        self.slots.push(Slot {
            time: self.now,
            position,
            outputs: !0,
            from: line.from,
            to: line.to,
            run: (self.runs.len() as u32).wrapping_sub(1),
            ordinal: 0,
            flags: LINE,
        });
    }

    /// As [`push_line`](Self::push_line), with a time of its own, in nanoseconds UTC.
    pub fn push_line_at(&mut self, line: Span, position: u64, time: i64) {
        self.push_line(line, position);
        if let Some(slot) = self.slots.last_mut() {
            slot.time = time;
        }
    }

    /// Adds an event without fields to the last run.
    pub fn push_empty(&mut self, position: u64) -> Event<'_> {
        self.push_line(Span::default(), position);
        let index = self.slots.len() - 1;
        self.slots[index].flags = 0;
        self.event_mut(index)
    }

    /// Adds an event whose fields are the members of a JSON object.
    pub fn push_json(&mut self, object: &[u8], position: u64) -> Result<(), JsonError> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(object);
        let span = Span::new(from, self.bytes.len());
        let result = self.push_empty(position).merge_json(span).map(drop);
        if result.is_err() {
            self.slots.pop();
            self.bytes.truncate(from);
        }
        result
    }

    /// How many events there are, those dropped by a rule included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds no events.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many events go on, and how many were dropped by a rule.
    pub fn kept_and_dropped(&self) -> (usize, usize) {
        let dropped = self.slots.iter().filter(|slot| slot.flags & DROPPED != 0).count();
        (self.slots.len() - dropped, dropped)
    }

    /// The runs, in the order of their events.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether all of its events are lines into which nobody looked.
    pub fn is_untouched(&self) -> bool {
        self.slots.iter().all(|slot| slot.flags == LINE)
    }

    /// Gives the runs other fields in common, in their order; for events that are
    /// [untouched](Self::is_untouched).
    pub fn replace_commons(&mut self, commons: impl IntoIterator<Item = Arc<Common>>) {
        debug_assert!(self.is_untouched(), "an event may hold fields of its origin");
        self.shared = Shared::default();
        for (run, common) in self.runs.iter_mut().zip(commons) {
            run.common = common;
        }
    }

    /// About how much memory the batch takes, without counting.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.fields.len() * size_of::<Field>() + self.slots.len() * size_of::<Slot>()
    }

    /// How much memory the batch holds on to, used or not.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
            + self.fields.capacity() * size_of::<Field>()
            + self.slots.capacity() * size_of::<Slot>()
    }

    /// The least and the greatest time of its events; the clock reading when there is none.
    pub fn time_range(&self) -> (i64, i64) {
        let times = self.slots.iter().map(|slot| slot.time);
        let (min, max) = times.fold((i64::MAX, i64::MIN), |(min, max), time| (min.min(time), max.max(time)));
        if min > max { (self.now, self.now) } else { (min, max) }
    }

    /// The outputs that any of the events that go on is for, as bits.
    pub fn outputs(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.flags & DROPPED == 0).fold(0, |all, slot| all | slot.outputs)
    }

    /// The event of that number, for reading.
    pub fn view(&self, index: usize) -> View<'_> {
        View { batch: self, slot: &self.slots[index] }
    }

    /// The events that go on, for reading.
    pub fn events(&self) -> impl Iterator<Item = View<'_>> {
        self.slots.iter().filter(|slot| slot.flags & DROPPED == 0).map(|slot| View { batch: self, slot })
    }

    /// The event of that number, for changing. Its changes are written when it is dropped.
    pub fn event_mut(&mut self, index: usize) -> Event<'_> {
        Event::open(self, index)
    }

    /// Takes every event that goes on through `work`.
    pub fn each(&mut self, mut work: impl FnMut(&mut Event<'_>)) {
        for index in 0..self.slots.len() {
            if self.slots[index].flags & DROPPED == 0 {
                work(&mut self.event_mut(index));
            }
        }
    }

    pub(crate) fn run_of(&self, slot: &Slot) -> Option<&Run> {
        self.runs.get(slot.run as usize)
    }

    /// The outermost names that the events of a run have in common, as far as the batch has them.
    pub(crate) fn common_names(&mut self, run: u32) -> &[NameId] {
        let Self { names, runs, shared, .. } = self;
        let of = (names.serial(), names.len(), run);
        if (shared.serial, shared.known, shared.run) != of {
            (shared.serial, shared.known, shared.run) = of;
            shared.ids.clear();
            let tops = runs.get(run as usize).into_iter().flat_map(|run| run.common.tops().parts());
            shared.ids.extend(tops.filter_map(|part| part.find(names)));
        }
        &shared.ids
    }

    pub(crate) fn span_bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.from as usize..span.to as usize]
    }

    /// Text that is known to be UTF-8 because it was checked when it became JSON.
    pub(crate) fn raw(&self, span: Span) -> &str {
        std::str::from_utf8(self.span_bytes(span)).unwrap_or("null")
    }

    pub(crate) fn value(&self, field: Field) -> Value<'_> {
        match field.kind {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(field.data != 0),
            Kind::Int => Value::Int(field.data as i64),
            Kind::Float => Value::Float(f64::from_bits(field.data)),
            Kind::Time => Value::Time(field.data as i64),
            Kind::Str | Kind::Plain => Value::Str(Cow::Borrowed(self.span_bytes(field.span()))),
            Kind::Raw => json::checked(self.raw(field.span())),
            Kind::Object | Kind::Array => {
                let mut out = Vec::new();
                self.write_value(field, &mut out);
                Value::Json(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
            }
        }
    }

    pub(crate) fn write_value(&self, field: Field, out: &mut Vec<u8>) {
        match field.kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Bool => out.extend_from_slice(if field.data != 0 { b"true" } else { b"false" }),
            Kind::Int => json::write_int(field.data as i64, out),
            Kind::Float => json::write_float(f64::from_bits(field.data), out),
            Kind::Time => {
                out.push(b'"');
                time::write_rfc3339(field.data as i64, out);
                out.push(b'"');
            }
            Kind::Str => json::write_str(self.span_bytes(field.span()), out),
            Kind::Plain => self.write_plain(field.range(), out),
            Kind::Raw => out.extend_from_slice(self.span_bytes(field.span())),
            Kind::Object => {
                out.push(b'{');
                for (n, field) in self.fields[field.range()].iter().enumerate() {
                    out.extend_from_slice(&self.names.member(field.name)[usize::from(n == 0)..]);
                    self.write_value(*field, out);
                }
                out.push(b'}');
            }
            Kind::Array => {
                out.push(b'[');
                for (n, field) in self.fields[field.range()].iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    self.write_value(*field, out);
                }
                out.push(b']');
            }
        }
    }

    /// Writes text that needs no escapes.
    fn write_plain(&self, text: Range<usize>, out: &mut Vec<u8>) {
        match self.quoted(text.clone()) {
            Some(quoted) => out.extend_from_slice(&self.bytes[quoted]),
            None => {
                out.push(b'"');
                out.extend_from_slice(&self.bytes[text]);
                out.push(b'"');
            }
        }
    }

    /// Writes an event with these outermost fields, see [`View::write_json`].
    pub(crate) fn write_event(&self, slot: &Slot, top: &[Field], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"@timestamp\":\"");
        time::write_rfc3339(slot.time, out);
        out.push(b'"');
        let common = self.run_of(slot).filter(|_| slot.flags & OWN_COMMON == 0).map(|run| &run.common);
        if let Some(common) = common.filter(|common| !common.is_empty()) {
            out.push(b',');
            common.write_members(slot.position, out);
        }
        let hidden = self.names.hidden();
        // Members that stand behind each other in the text they came in are written in one piece.
        let mut piece = 0..0;
        for field in top {
            if Some(field.name) == hidden {
                continue;
            }
            let member = self.names.member(field.name);
            let written = self.written(*field);
            if written.start == piece.end + member.len() && self.bytes[piece.end..written.start] == *member {
                piece.end = written.end;
                continue;
            }
            out.extend_from_slice(&self.bytes[piece]);
            out.extend_from_slice(member);
            if written.is_empty() {
                self.write_value(*field, out);
            }
            piece = written;
        }
        out.extend_from_slice(&self.bytes[piece]);
        out.push(b'}');
    }

    /// Where the value stands in the bytes as JSON writes it; an empty range when it does not.
    #[inline]
    fn written(&self, field: Field) -> Range<usize> {
        let span = field.range();
        match field.kind {
            Kind::Raw => span,
            Kind::Plain => self.quoted(span).unwrap_or_default(),
            _ => 0..0,
        }
    }

    /// Text that needs no escapes with the quotes around it: mostly it came out of JSON, and they
    /// are there.
    #[inline]
    fn quoted(&self, text: Range<usize>) -> Option<Range<usize>> {
        let quoted = text.start.checked_sub(1)?..text.end + 1;
        matches!(self.bytes.get(quoted.clone())?, [b'"', .., b'"']).then_some(quoted)
    }

    pub(crate) fn find(&self, fields: &[Field], part: &Part) -> Option<Field> {
        let id = part.find(&self.names)?;
        fields.iter().find(|field| field.name == id).copied()
    }

    /// The value at a path among the outermost fields of an event.
    pub(crate) fn lookup(&self, top: &[Field], path: &Path) -> Option<Value<'_>> {
        let parts = path.parts();
        self.lookup_parts(top, parts).or_else(|| {
            let whole = path.whole()?;
            self.find(top, whole).map(|field| self.value(field))
        })
    }

    fn lookup_parts(&self, top: &[Field], parts: &[Part]) -> Option<Value<'_>> {
        let mut field = self.find(top, parts.first()?)?;
        for (depth, part) in parts.iter().enumerate().skip(1) {
            field = match field.kind {
                Kind::Object => self.find(&self.fields[field.range()], part)?,
                Kind::Array => *self.fields[field.range()].get(usize::try_from(part.index?).ok()?)?,
                Kind::Raw => return json::dig(self.raw(field.span()), &parts[depth..]),
                _ => return None,
            };
        }
        Some(self.value(field))
    }
}

/// One event, for reading.
#[derive(Clone, Copy)]
pub struct View<'a> {
    batch: &'a Batch,
    slot: &'a Slot,
}

impl<'a> View<'a> {
    /// The value at a path; `@timestamp` is the event's time.
    pub fn get(&self, path: &Path) -> Option<Value<'a>> {
        if path.is_timestamp() {
            return Some(Value::Time(self.slot.time));
        }
        let line = [self.line_field()];
        let top = if self.slot.flags & LINE != 0 { &line } else { self.top() };
        self.batch.lookup(top, path).or_else(|| self.live_common()?.get(path, self.slot.position))
    }

    /// The line or the field `message`, as bytes; empty when there is none that is text.
    pub fn message(&self) -> Cow<'a, [u8]> {
        if self.slot.flags & LINE != 0 {
            return Cow::Borrowed(self.batch.span_bytes(Span { from: self.slot.from, to: self.slot.to }));
        }
        match self.top().iter().find(|field| field.name == MESSAGE).map(|field| self.batch.value(*field)) {
            Some(Value::Str(text)) => text,
            _ => Cow::Borrowed(b""),
        }
    }

    /// The time of the event, in nanoseconds UTC.
    pub fn time(&self) -> i64 {
        self.slot.time
    }

    /// Where the event stood in its origin.
    pub fn position(&self) -> u64 {
        self.slot.position
    }

    /// Which of the events it is that were made of one; 0: that one itself.
    pub fn copy(&self) -> u16 {
        self.slot.ordinal
    }

    /// The outputs that it is for, as bits.
    pub fn outputs(&self) -> u64 {
        self.slot.outputs
    }

    /// The run that it belongs to.
    pub fn run(&self) -> Option<&'a Run> {
        self.batch.run_of(self.slot)
    }

    /// The id that is the same whenever this event is read again: of the origin's own id, its
    /// generation, the position, and the ordinal among the children of one event.
    pub fn id(&self) -> u128 {
        let origin = self.run().map(|run| run.common.origin()).unwrap_or_default();
        let mut key = [0; 30];
        key[..16].copy_from_slice(&origin.id);
        key[16..20].copy_from_slice(&origin.generation.to_le_bytes());
        key[20..28].copy_from_slice(&self.slot.position.to_le_bytes());
        key[28..].copy_from_slice(&self.slot.ordinal.to_le_bytes());
        xxh3_128(&key)
    }

    /// Writes the event as a JSON object: the time, what its origin has in common, its fields.
    /// `@metadata` is left out.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let line = [self.line_field()];
        let top = if self.slot.flags & LINE != 0 { &line } else { self.top() };
        self.batch.write_event(self.slot, top, out);
    }

    /// Calls `each` with the name and the value of every outermost field, the time and what
    /// the origin has in common excepted.
    pub fn fields(&self, mut each: impl FnMut(&'a str, Value<'a>)) {
        if self.slot.flags & LINE != 0 {
            each("message", self.batch.value(self.line_field()));
            return;
        }
        for field in self.top() {
            each(self.batch.names.get(field.name), self.batch.value(*field));
        }
    }

    fn line_field(&self) -> Field {
        Field::spanning(MESSAGE, Kind::Str, Span { from: self.slot.from, to: self.slot.to })
    }

    fn top(&self) -> &'a [Field] {
        &self.batch.fields[self.slot.from as usize..self.slot.to as usize]
    }

    /// What the origin has in common, unless the event has its own copy.
    pub fn live_common(&self) -> Option<&'a Common> {
        if self.slot.flags & OWN_COMMON != 0 {
            return None;
        }
        Some(&self.run()?.common)
    }
}

impl Batch {
    /// Writes the fields of one object, one level deep, at the end of the fields.
    pub(crate) fn expand(&mut self, text: Span) -> Option<Field> {
        let mut children = Vec::new();
        let source = self.raw(text).to_owned();
        let base = text.from as usize;
        if source.starts_with('{') {
            let names = &mut self.names;
            scan::members(source.as_bytes(), 0, 0, &mut |key, item| {
                let name = names.intern(&json::key_of(&source, &key));
                let field = raw_field(name, base, &item);
                match children.iter_mut().find(|child: &&mut Field| child.name == name) {
                    Some(child) => *child = field,
                    None => children.push(field),
                }
                Ok(())
            })
            .ok()?;
        } else {
            scan::elements(source.as_bytes(), 0, 0, &mut |item| {
                children.push(raw_field(0, base, &item));
                Ok(())
            })
            .ok()?;
        }
        let kind = if source.starts_with('{') { Kind::Object } else { Kind::Array };
        let from = self.fields.len();
        self.fields.extend_from_slice(&children);
        Some(Field::spanning(0, kind, Span::new(from, self.fields.len())))
    }
}

/// The field of a scanned value whose text begins at `base` of the bytes.
pub(crate) fn raw_field(name: u32, base: usize, item: &scan::Item) -> Field {
    let span = Span::new(base + item.range().start, base + item.range().end);
    match item.shape {
        scan::Shape::Null => Field::new(name, Kind::Null, 0),
        scan::Shape::True => Field::new(name, Kind::Bool, 1),
        scan::Shape::False => Field::new(name, Kind::Bool, 0),
        scan::Shape::Plain => Field::spanning(name, Kind::Plain, span),
        _ => Field::spanning(name, Kind::Raw, span),
    }
}
