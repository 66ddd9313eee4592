//! One event, open for changes.

use crate::batch::{Batch, DROPPED, LINE, MESSAGE, OWN_COMMON, Slot, raw_field};
use crate::common::CommonValue;
use crate::json::{self, JsonError};
use crate::names::NameId;
use crate::path::{Part, Path, TIMESTAMP};
use crate::scan::{self, Members, Shape};
use crate::time;
use crate::value::{Field, Kind, New, Span, Value};
use crate::{DEPTH_MAX, FIELDS_MAX};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// How many fields of the event before may be missing in a row until its others are no guess of
/// what comes next.
const GUESSES_SKIPPED: usize = 8;

/// Why a value was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetError {
    /// The path leads through a value that is neither an object nor an array.
    NotAnObject,
    /// The event has [`FIELDS_MAX`] fields.
    TooManyFields,
    /// The path is deeper than [`DEPTH_MAX`].
    TooDeep,
    /// `@timestamp` takes a time or text in RFC 3339.
    NotATime,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetError::NotAnObject => "the path leads through a value that is not an object",
            SetError::TooManyFields => "the event has too many fields",
            SetError::TooDeep => "the path is too deep",
            SetError::NotATime => "@timestamp takes a time",
        })
    }
}
impl std::error::Error for SetError {}

/// One event, open for changes. They are written together when it is dropped.
pub struct Event<'b> {
    batch: &'b mut Batch,
    index: usize,
    top: Vec<Field>,
    dirty: bool,
}

impl<'b> Event<'b> {
    pub(crate) fn open(batch: &'b mut Batch, index: usize) -> Self {
        let top = std::mem::take(&mut batch.overlay);
        batch.family.ordinal = batch.slots[index].ordinal;
        let mut event = Self { batch, index, top, dirty: false };
        event.load();
        event
    }

    fn load(&mut self) {
        self.top.clear();
        self.dirty = false;
        let slot = self.batch.slots[self.index];
        if slot.flags & LINE != 0 {
            let line = Span { from: slot.from, to: slot.to };
            self.top.push(Field::spanning(MESSAGE, Kind::Str, line));
        } else {
            self.top.extend_from_slice(&self.batch.fields[slot.from as usize..slot.to as usize]);
        }
    }

    /// Its number in the batch.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many events the batch has, copies included.
    pub fn batch_len(&self) -> usize {
        self.batch.slots.len()
    }

    /// Writes the changes, and goes on with another event of the batch.
    pub fn turn_to(&mut self, index: usize) {
        if index != self.index {
            self.save();
            self.index = index;
            self.load();
        }
    }

    /// Makes a copy of the event as it stands now and returns its number. Once the batch is
    /// [put in order](Batch::arrange) it stands directly behind `elder`: this event, or the copy of it
    /// that was made before. `None` where one event became [`COPIES_MAX`](crate::COPIES_MAX) others.
    pub fn copy_behind(&mut self, elder: usize) -> Option<usize> {
        self.save();
        self.batch.copy(self.index, elder)
    }

    /// The event that will stand behind this one because it is a copy of it, or of one before it.
    pub fn next_copy(&self) -> Option<usize> {
        self.batch.family.behind(self.index)
    }

    /// The value at a path; `@timestamp` is the event's time.
    pub fn get(&self, path: &Path) -> Option<Value<'_>> {
        let slot = &self.batch.slots[self.index];
        if path.is_timestamp() {
            return Some(Value::Time(slot.time));
        }
        if let Some(value) = self.batch.lookup(&self.top, path) {
            return Some(value);
        }
        if slot.flags & OWN_COMMON != 0 {
            return None;
        }
        self.batch.run_of(slot)?.common.get(path, slot.position)
    }

    /// Whether there is a value, null included.
    pub fn exists(&self, path: &Path) -> bool {
        self.get(path).is_some()
    }

    /// The text at a path as a place in the batch, so that parts of it can be set without
    /// copying. Numbers and booleans give their text; objects, arrays and null nothing.
    pub fn text(&mut self, path: &Path) -> Option<Span> {
        if let [part] = path.parts()
            && let Some(field) = self.batch.find(&self.top, part)
            && matches!(field.kind, Kind::Str | Kind::Plain)
        {
            return Some(field.span());
        }
        let was_text = matches!(self.get(path)?, Value::Str(_));
        let copied = match self.get(path)? {
            Value::Null | Value::Json(_) => return None,
            Value::Str(text) => text.into_owned(),
            other => {
                let mut text = Vec::new();
                other.write_text(&mut text);
                text
            }
        };
        let span = self.write(&copied);
        // Text that was read out of JSON stays so, and is found as it is the next time.
        if was_text
            && let [part] = path.parts()
            && let Some(id) = part.find(&self.batch.names)
            && let Some(field) = self.top.iter_mut().find(|field| field.name == id)
        {
            *field = Field::spanning(id, Kind::Str, span);
            self.dirty = true;
        }
        Some(span)
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> &[u8] {
        self.batch.span_bytes(span)
    }

    /// Appends bytes to the batch, for spans to be set.
    pub fn write(&mut self, text: &[u8]) -> Span {
        let from = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(text);
        Span::new(from, self.batch.bytes.len())
    }

    /// The time of the event, in nanoseconds UTC.
    pub fn time(&self) -> i64 {
        self.batch.slots[self.index].time
    }

    /// Sets the time of the event, in nanoseconds UTC.
    pub fn set_time(&mut self, ns: i64) {
        self.batch.slots[self.index].time = ns;
    }

    /// Where the event stood in its origin.
    pub fn position(&self) -> u64 {
        self.batch.slots[self.index].position
    }

    /// Says which of the events it is that were made of one, where it comes back from somewhere.
    pub fn set_copy(&mut self, copy: u16) {
        self.batch.slots[self.index].ordinal = copy;
    }

    /// The event as it stands now, changes included, for reading.
    pub fn common_text(&self, dotted: &str) -> Option<&str> {
        self.batch.run_of(&self.batch.slots[self.index])?.common.text(dotted)
    }

    /// The outputs that it is for, as bits.
    pub fn outputs(&self) -> u64 {
        self.batch.slots[self.index].outputs
    }

    /// Says which outputs it is for, as bits.
    pub fn set_outputs(&mut self, outputs: u64) {
        self.batch.slots[self.index].outputs = outputs;
    }

    /// Ends the event by rule: nobody sees it any more, and its position counts as done.
    pub fn drop_event(&mut self) {
        self.batch.slots[self.index].flags |= DROPPED;
    }

    /// Whether it was dropped by a rule.
    pub fn is_dropped(&self) -> bool {
        self.batch.slots[self.index].flags & DROPPED != 0
    }

    /// Sets a value; objects on the way are made. `@timestamp` sets the event's time.
    pub fn set<'v>(&mut self, path: &Path, value: impl Into<New<'v>>) -> Result<(), SetError> {
        let value = value.into();
        if path.is_timestamp() {
            return self.set_timestamp(value);
        }
        let field = self.field(value);
        self.put(path, field)
    }

    fn set_timestamp(&mut self, value: New<'_>) -> Result<(), SetError> {
        let ns = match value {
            New::Time(ns) => Some(ns),
            New::Str(text) => time::parse_rfc3339(text),
            New::Span(span) => time::parse_rfc3339(self.bytes(span)),
            _ => None,
        };
        self.set_time(ns.ok_or(SetError::NotATime)?);
        Ok(())
    }

    fn field(&mut self, value: New<'_>) -> Field {
        match value {
            New::Null => Field::new(0, Kind::Null, 0),
            New::Bool(value) => Field::new(0, Kind::Bool, u64::from(value)),
            New::Int(value) => Field::new(0, Kind::Int, value as u64),
            New::Float(value) => Field::new(0, Kind::Float, value.to_bits()),
            New::Time(value) => Field::new(0, Kind::Time, value as u64),
            New::Span(span) => Field::spanning(0, Kind::Str, span),
            New::Str(text) => Field::spanning(0, Kind::Str, self.write(text)),
            New::Json(text) => Field::spanning(0, Kind::Raw, self.write(text.as_bytes())),
        }
    }

    /// Puts a field where the path says.
    fn put(&mut self, path: &Path, mut field: Field) -> Result<(), SetError> {
        let parts = path.parts();
        if parts.len() + self.height(field) > DEPTH_MAX {
            return Err(SetError::TooDeep);
        }
        // The time is no field: one of its name would stand beside it in JSON.
        if path.begins_with_timestamp() {
            return Err(if parts.len() == 1 { SetError::NotATime } else { SetError::NotAnObject });
        }
        let first = parts[0].intern(&mut self.batch.names);
        self.own_common_for(first);
        self.dirty = true;
        field.name = first;
        let at = self.top.iter().position(|own| own.name == first);
        if parts.len() > 1 {
            let parent = at.map_or(Field::new(first, Kind::Null, 0), |at| self.top[at]);
            field = self.put_within(parent, &parts[1..], field)?;
        }
        match at {
            Some(at) => self.top[at] = field,
            None if self.top.len() >= FIELDS_MAX => return Err(SetError::TooManyFields),
            None => self.top.push(field),
        }
        Ok(())
    }

    /// How many levels of fields lie in a field. Raw text counts as one value.
    fn height(&self, field: Field) -> usize {
        match field.kind {
            Kind::Object | Kind::Array => {
                let inner = self.batch.fields[field.range()].iter();
                1 + inner.map(|field| self.height(*field)).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Puts a field below `parent`, which comes back changed.
    fn put_within(&mut self, parent: Field, parts: &[Part], value: Field) -> Result<Field, SetError> {
        let Some((part, rest)) = parts.split_first() else {
            return Ok(Field { name: parent.name, ..value });
        };
        let mut parent = self.opened(parent)?;
        let range = parent.range();
        let is_array = parent.kind == Kind::Array;
        let name = if is_array { 0 } else { part.intern(&mut self.batch.names) };
        let at = if is_array {
            let index =
                part.index.and_then(|index| usize::try_from(index).ok()).ok_or(SetError::NotAnObject)?;
            (index < range.len()).then_some(range.start + index)
        } else {
            self.batch.fields[range.clone()].iter().position(|own| own.name == name).map(|n| range.start + n)
        };
        let child = at.map_or(Field::new(name, Kind::Null, 0), |at| self.batch.fields[at]);
        let child = self.put_within(Field { name, ..child }, rest, value)?;
        if let Some(at) = at {
            self.batch.fields[at] = child;
            return Ok(parent);
        }
        if range.len() >= FIELDS_MAX {
            return Err(SetError::TooManyFields);
        }
        let fields = &mut self.batch.fields;
        let mut from = range.start;
        if range.end != fields.len() {
            from = fields.len();
            fields.extend_from_within(range);
        }
        fields.push(child);
        let moved = Span::new(from, fields.len());
        parent = Field::spanning(parent.name, parent.kind, moved);
        Ok(parent)
    }

    /// The field as an object or array whose fields can be changed; null becomes an object.
    fn opened(&mut self, field: Field) -> Result<Field, SetError> {
        match field.kind {
            Kind::Object | Kind::Array => Ok(field),
            Kind::Null => {
                let end = self.batch.fields.len();
                Ok(Field::spanning(field.name, Kind::Object, Span::new(end, end)))
            }
            Kind::Raw if matches!(self.bytes(field.span()).first(), Some(b'{' | b'[')) => {
                let opened = self.batch.expand(field.span()).ok_or(SetError::NotAnObject)?;
                Ok(Field { name: field.name, ..opened })
            }
            _ => Err(SetError::NotAnObject),
        }
    }

    /// Removes a value; says whether there was one.
    pub fn remove(&mut self, path: &Path) -> bool {
        self.take(path).is_some()
    }

    /// Moves a value to another path, as it is; says whether there was one. Where it does not
    /// fit, it stays.
    pub fn rename(&mut self, old: &Path, new: &Path) -> Result<bool, SetError> {
        if new.is_timestamp() {
            let Some(value) = self.get(old) else { return Ok(false) };
            let ns = match value {
                Value::Time(ns) => Some(ns),
                Value::Str(text) => time::parse_rfc3339(&text),
                _ => None,
            };
            self.set_time(ns.ok_or(SetError::NotATime)?);
            self.remove(old);
            return Ok(true);
        }
        if old.is_timestamp() {
            self.set(new, New::Time(self.time()))?;
            return Ok(true);
        }
        let Some(field) = self.take(old) else { return Ok(false) };
        let put = self.put(new, field);
        if put.is_err() {
            // It stood there before, so it fits.
            let _ = self.put(old, field);
        }
        put.map(|()| true)
    }

    fn take(&mut self, path: &Path) -> Option<Field> {
        let parts = path.parts();
        if let Some(first) = parts[0].find(&self.batch.names) {
            self.own_common_for(first);
        } else if self.is_common(parts) {
            let first = parts[0].intern(&mut self.batch.names);
            self.own_common_for(first);
        }
        let taken = self.take_parts(parts).or_else(|| {
            let id = path.whole()?.find(&self.batch.names)?;
            let at = self.top.iter().position(|own| own.name == id)?;
            Some(self.top.remove(at))
        });
        self.dirty |= taken.is_some();
        taken
    }

    fn take_parts(&mut self, parts: &[Part]) -> Option<Field> {
        let (first, rest) = parts.split_first()?;
        let id = first.find(&self.batch.names)?;
        let at = self.top.iter().position(|own| own.name == id)?;
        if rest.is_empty() {
            return Some(self.top.remove(at));
        }
        let (parent, taken) = self.take_within(self.top[at], rest)?;
        self.top[at] = parent;
        Some(taken)
    }

    fn take_within(&mut self, parent: Field, parts: &[Part]) -> Option<(Field, Field)> {
        let (part, rest) = parts.split_first()?;
        if parent.kind == Kind::Raw {
            json::dig(self.batch.raw(parent.span()), parts)?;
        }
        let parent = self.opened(parent).ok()?;
        let range = parent.range();
        let at = if parent.kind == Kind::Array {
            let index = usize::try_from(part.index?).ok()?;
            (index < range.len()).then_some(range.start + index)?
        } else {
            let id = part.find(&self.batch.names)?;
            range.start + self.batch.fields[range.clone()].iter().position(|own| own.name == id)?
        };
        if rest.is_empty() {
            let taken = self.batch.fields[at];
            self.batch.fields.copy_within(at + 1..range.end, at);
            let left = Span::new(range.start, range.end - 1);
            return Some((Field::spanning(parent.name, parent.kind, left), taken));
        }
        let (child, taken) = self.take_within(self.batch.fields[at], rest)?;
        self.batch.fields[at] = child;
        Some((parent, taken))
    }

    /// Takes the members of the JSON object at `span` as outermost fields; a field of the same
    /// name is replaced, `@timestamp` sets the time where it is one (else it is kept as
    /// `_@timestamp`). Values stay raw text. Nothing changes when the text is not an object. Says
    /// whether a time there was, was one.
    pub fn merge_json(&mut self, span: Span) -> Result<bool, JsonError> {
        let before = self.top.len();
        let old_time = self.time();
        self.batch.stamp += 1;
        let stamp = self.batch.stamp;
        for (at, field) in self.top.iter().enumerate() {
            note(&mut self.batch.stamps, field.name, stamp, at);
        }
        let saved: Vec<Field> = if before > 1 { self.top.clone() } else { Vec::new() };
        let only = self.top.first().copied();
        match self.read_members(span, stamp) {
            Ok(has_no_time) => {
                self.dirty = true;
                let Slot { flags, run, .. } = self.batch.slots[self.index];
                if flags & OWN_COMMON == 0 {
                    let common = self.batch.common_names(run);
                    if self.top[before..].iter().any(|field| common.contains(&field.name)) {
                        self.own_common();
                    }
                }
                Ok(!has_no_time)
            }
            Err(error) => {
                self.top.truncate(before);
                if before > 1 {
                    self.top.copy_from_slice(&saved);
                } else if let (Some(slot), Some(field)) = (self.top.first_mut(), only) {
                    *slot = field;
                }
                self.set_time(old_time);
                Err(error)
            }
        }
    }

    /// Reads an object's members over the fields, of which those of this stamp are noted; says
    /// whether a time was none. After an error some of them are there.
    fn read_members(&mut self, span: Span, stamp: u32) -> Result<bool, JsonError> {
        let mut guess = self.guess();
        let Batch { bytes, names, stamps, slots, fields, .. } = &mut *self.batch;
        let base = span.from as usize;
        let text = &bytes[base..span.to as usize];
        let checked =
            std::str::from_utf8(text).map_err(|error| scan::error(error.valid_up_to(), "not UTF-8"))?;
        let mut has_no_time = false;
        let mut members = Members::open(text, 0, 0)?;
        loop {
            let (name, item) = match guess.name(fields) {
                Some(name) if members.pass(names.member(name)) => {
                    guess.was_right();
                    (name, members.value()?)
                }
                _ => {
                    let Some(key) = members.key()? else { break };
                    let mut key = json::key_of(checked, &key);
                    let item = members.value()?;
                    if key == TIMESTAMP {
                        if item.shape == Shape::Plain
                            && let Some(ns) = time::parse_rfc3339(&text[item.range()])
                        {
                            slots[self.index].time = ns;
                            continue;
                        }
                        has_no_time = true;
                        key = Cow::Borrowed("_@timestamp");
                    }
                    let name = names.intern(&key);
                    guess.was_wrong(name, fields);
                    (name, item)
                }
            };
            let field = raw_field(name, base, &item);
            match seen(stamps, name, stamp) {
                Some(at) => self.top[at] = field,
                None if self.top.len() >= FIELDS_MAX => {
                    return Err(scan::error(members.end(), "too many fields"));
                }
                None => {
                    note(stamps, name, stamp, self.top.len());
                    self.top.push(field);
                }
            }
        }
        let end = scan::blank(text, members.end());
        if end == text.len() { Ok(has_no_time) } else { Err(scan::error(end, "something behind the object")) }
    }

    /// Which members come, by the event before. What that had before it was read it mostly had as
    /// this one has it.
    fn guess(&self) -> Guess {
        let elder = self.index.checked_sub(1).map(|index| self.batch.slots[index]);
        let Some(elder) = elder.filter(|slot| slot.flags & LINE == 0) else { return Guess::default() };
        let fields = elder.from as usize..elder.to as usize;
        Guess { next: fields.len().min(self.top.len()), fields }
    }

    /// Sets the JSON value at `span`, checked and as raw text, at a path.
    pub fn set_json(&mut self, path: &Path, span: Span) -> Result<Result<(), SetError>, JsonError> {
        let text = std::str::from_utf8(self.bytes(span))
            .map_err(|error| scan::error(error.valid_up_to(), "not UTF-8"))?;
        let bytes = text.as_bytes();
        let item = scan::value(bytes, scan::blank(bytes, 0), 0)?;
        let end = item.end();
        let end = scan::blank(bytes, end);
        if end != bytes.len() {
            return Err(scan::error(end, "something behind the value"));
        }
        let field = raw_field(0, span.from as usize, &item);
        Ok(self.put(path, field))
    }

    /// Writes the event as it stands now, changes included, as
    /// [`View::write_json`](crate::View::write_json) does.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.batch.write_event(&self.batch.slots[self.index], &self.top, out);
    }

    /// The outermost names, in order, what the origin has in common excepted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.top.iter().map(|field| self.batch.names.get(field.name))
    }

    /// All outermost names: what the origin has in common and then the event's own. Among them is
    /// `@metadata`, where it is there, and never the time.
    pub fn all_names(&self) -> impl Iterator<Item = &str> {
        let slot = &self.batch.slots[self.index];
        let run = self.batch.run_of(slot).filter(|_| slot.flags & OWN_COMMON == 0);
        run.into_iter().flat_map(|run| run.common.tops().names()).chain(self.names())
    }

    fn is_common(&self, parts: &[Part]) -> bool {
        let slot = &self.batch.slots[self.index];
        slot.flags & OWN_COMMON == 0
            && self
                .batch
                .run_of(slot)
                .is_some_and(|run| run.common.tops().names().any(|own| *own == *parts[0].name))
    }

    /// A change below a name that the origin has in common: the event gets its own copy first.
    fn own_common_for(&mut self, name: u32) {
        let Slot { flags, run, .. } = self.batch.slots[self.index];
        if flags & OWN_COMMON == 0 && self.batch.common_names(run).contains(&name) {
            self.own_common();
        }
    }

    /// Copies what the origin has in common into the event; what the event has already wins.
    fn own_common(&mut self) {
        let slot = &mut self.batch.slots[self.index];
        slot.flags |= OWN_COMMON;
        let position = slot.position;
        let Some(run) = self.batch.runs.get(slot.run as usize) else { return };
        let common = run.common.clone();
        let taken: Vec<bool> =
            common.tops().parts().iter().map(|part| self.batch.find(&self.top, part).is_some()).collect();
        for (path, value) in common.fields() {
            let top = path.names().next();
            let own = common.tops().names().position(|name| Some(name) == top);
            if own.is_some_and(|own| taken[own]) {
                continue;
            }
            let new = match value {
                CommonValue::Str(text) => New::Str(text.as_bytes()),
                CommonValue::Int(value) => New::Int(*value),
                CommonValue::Json(text) => New::Json(text),
                CommonValue::Position => New::Int(position as i64),
            };
            // It fits: an origin has a handful of fields, and an event at the limit keeps its own.
            let _ = self.set(path, new);
        }
    }
}

/// A guess what the next member of an object is called: events that follow each other mostly have the
/// same fields in the same order.
#[derive(Default)]
struct Guess {
    /// The fields of the event before.
    fields: Range<usize>,
    /// Which of them it is.
    next: usize,
}

impl Guess {
    #[inline]
    fn name(&self, fields: &[Field]) -> Option<NameId> {
        fields[self.fields.clone()].get(self.next).map(|field| field.name)
    }

    #[inline]
    fn was_right(&mut self) {
        self.next += 1;
    }

    /// It was this one: fields that are missing this time are passed over.
    fn was_wrong(&mut self, name: NameId, fields: &[Field]) {
        let fields = &fields[self.fields.clone()];
        let mut near = (self.next..fields.len()).chain(0..self.next).take(GUESSES_SKIPPED);
        if let Some(at) = near.find(|at| fields[*at].name == name) {
            self.next = at + 1;
        }
    }
}

fn note(stamps: &mut Vec<(u32, u32)>, name: u32, stamp: u32, at: usize) {
    let name = name as usize;
    if name >= stamps.len() {
        stamps.resize(name + 1, (0, 0));
    }
    stamps[name] = (stamp, at as u32);
}

fn seen(stamps: &[(u32, u32)], name: u32, stamp: u32) -> Option<usize> {
    stamps.get(name as usize).filter(|entry| entry.0 == stamp).map(|entry| entry.1 as usize)
}

impl Event<'_> {
    /// Writes the changes to the batch.
    fn save(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let slot = &mut self.batch.slots[self.index];
        let room = (slot.to - slot.from) as usize;
        if slot.flags & LINE == 0 && self.top.len() <= room {
            let from = slot.from as usize;
            self.batch.fields[from..from + self.top.len()].copy_from_slice(&self.top);
            slot.to = slot.from + self.top.len() as u32;
        } else {
            slot.flags &= !LINE;
            slot.from = self.batch.fields.len() as u32;
            self.batch.fields.extend_from_slice(&self.top);
            slot.to = self.batch.fields.len() as u32;
        }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        self.save();
        let mut top = std::mem::take(&mut self.top);
        top.clear();
        self.batch.overlay = top;
    }
}
