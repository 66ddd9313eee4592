//! Copies of events, and their places behind the events that they were made of.
//!
//! A copy is put at the end of the batch, so that no other event moves while filters work, and a
//! list says behind which event it belongs. Putting it there at once would move the events behind
//! it for each copy; a batch in which every event is split would take the square of its events.
//! While there are no copies, the list is empty and costs nothing.

use crate::batch::Batch;
use crate::value::{Field, Kind, Span};

/// What is known of copies until the batch is in order.
#[derive(Default)]
pub(crate) struct Family {
    /// By the number of an event: the one that belongs behind it, or [`NOBODY`].
    pub(crate) next: Vec<u32>,
    /// The last ordinal that was given to a copy of the event under way.
    pub(crate) ordinal: u16,
}

const NOBODY: u32 = u32::MAX;

impl Family {
    /// The event that belongs behind another.
    pub(crate) fn behind(&self, index: usize) -> Option<usize> {
        self.next.get(index).filter(|next| **next != NOBODY).map(|next| *next as usize)
    }
}

impl Batch {
    /// Copies an event to the end; it belongs behind `elder`. See [`Event::copy_behind`](crate::Event::copy_behind).
    pub(crate) fn copy(&mut self, index: usize, elder: usize) -> Option<usize> {
        let ordinal = self.family.ordinal.checked_add(1)?;
        self.family.ordinal = ordinal;
        let mut slot = self.slots[index];
        slot.ordinal = ordinal;
        if slot.flags & crate::batch::LINE == 0 {
            let copied = self.copied(Span { from: slot.from, to: slot.to });
            (slot.from, slot.to) = (copied.from, copied.to);
        }
        let copy = self.slots.len();
        self.slots.push(slot);
        self.family.next.resize(copy + 1, NOBODY);
        self.family.next[copy] = self.family.next[elder];
        self.family.next[elder] = copy as u32;
        Some(copy)
    }

    /// A copy of fields with all that lies in them: fields are changed where they stand, and two
    /// events must not share them. Text does not change, so it is shared.
    fn copied(&mut self, fields: Span) -> Span {
        let from = self.fields.len();
        self.fields.extend_from_within(fields.from as usize..fields.to as usize);
        let to = self.fields.len();
        for at in from..to {
            let field = self.fields[at];
            if matches!(field.kind, Kind::Object | Kind::Array) {
                let range = field.range();
                let inner = self.copied(Span::new(range.start, range.end));
                self.fields[at] = Field::spanning(field.name, field.kind, inner);
            }
        }
        Span::new(from, to)
    }

    /// Puts every copy behind the event of which it was made. Whoever lets filters make copies
    /// calls it when they are done; numbers of events are others then.
    pub fn arrange(&mut self) {
        if self.family.next.is_empty() {
            return;
        }
        let mut is_copy = vec![false; self.slots.len()];
        for next in &self.family.next {
            if let Some(copy) = is_copy.get_mut(*next as usize) {
                *copy = true;
            }
        }
        let mut slots = Vec::with_capacity(self.slots.len());
        for (index, slot) in self.slots.iter().enumerate().filter(|(index, _)| !is_copy[*index]) {
            slots.push(*slot);
            let mut at = index;
            while let Some(next) = self.family.behind(at) {
                slots.push(self.slots[next]);
                at = next;
            }
        }
        self.slots = slots;
        self.family.next.clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::{Batch, COPIES_MAX, Common, CommonValue, Origin, Path};
    use proptest::prelude::*;

    fn batch_of(events: &[&str]) -> Batch {
        let mut batch = Batch::new();
        batch.begin_run(Common::new(Origin::default(), [("host", CommonValue::Str("h".into()))]), 0);
        for (n, event) in events.iter().enumerate() {
            batch.push_json(event.as_bytes(), n as u64).unwrap();
        }
        batch
    }

    fn texts(batch: &Batch, field: &str) -> Vec<String> {
        let path = Path::parse(field).unwrap();
        let text = |event: crate::View<'_>| {
            let mut out = Vec::new();
            event.get(&path).inspect(|value| value.write_text(&mut out));
            String::from_utf8(out).unwrap()
        };
        batch.events().map(text).collect()
    }

    #[test]
    fn copies_stand_behind_what_they_were_made_of() {
        let mut batch = batch_of(&[r#"{"n":"a"}"#, r#"{"n":"b"}"#, r#"{"n":"c"}"#]);
        let n = Path::parse("n").unwrap();
        for index in 0..2 {
            let mut event = batch.event_mut(index);
            let first = event.copy_behind(index).unwrap();
            let second = event.copy_behind(first).unwrap();
            // What is copied later stands before what was copied first.
            let later = event.copy_behind(index).unwrap();
            for (copy, mark) in [(first, "1"), (second, "2"), (later, "0")] {
                event.turn_to(copy);
                let text =
                    format!("{}{mark}", String::from_utf8_lossy(event.get(&n).unwrap().as_bytes().unwrap()));
                event.set(&n, text.as_str()).unwrap();
            }
            event.turn_to(index);
            assert_eq!(event.next_copy(), Some(later));
        }
        batch.arrange();
        assert_eq!(texts(&batch, "n"), ["a", "a0", "a1", "a2", "b", "b0", "b1", "b2", "c"]);
        assert_eq!(texts(&batch, "host"), ["h"; 9]);
        let ids: std::collections::HashSet<u128> = batch.events().map(|event| event.id()).collect();
        assert_eq!(ids.len(), 9);
        // Again, nothing moves.
        batch.arrange();
        assert_eq!(texts(&batch, "n")[1], "a0");
    }

    #[test]
    fn copies_share_nothing_that_changes() {
        let mut batch = batch_of(&[r#"{"o":{"x":{"y":"1"}},"l":["1"]}"#]);
        let (deep, item) = (Path::parse("o.x.y").unwrap(), Path::parse("l[0]").unwrap());
        let mut event = batch.event_mut(0);
        // Objects are opened by the first change.
        event.set(&deep, "2").unwrap();
        event.set(&item, "2").unwrap();
        let copy = event.copy_behind(0).unwrap();
        event.set(&deep, "3").unwrap();
        event.turn_to(copy);
        event.set(&item, "4").unwrap();
        event.turn_to(0);
        event.set(&item, "5").unwrap();
        drop(event);
        batch.arrange();
        assert_eq!(texts(&batch, "o"), [r#"{"x":{"y":"3"}}"#, r#"{"x":{"y":"2"}}"#]);
        assert_eq!(texts(&batch, "l"), [r#"["5"]"#, r#"["4"]"#]);
    }

    #[test]
    fn a_line_that_nobody_looked_at_is_copied() {
        let mut batch = Batch::new();
        batch.begin_run(Common::none(Origin::default()), 0);
        batch.bytes_mut().extend_from_slice(b"line");
        batch.push_line(crate::Span::new(0, 4), 0);
        let mut event = batch.event_mut(0);
        let copy = event.copy_behind(0).unwrap();
        event.turn_to(copy);
        event.set(&Path::parse("type").unwrap(), "x").unwrap();
        drop(event);
        batch.arrange();
        assert_eq!(texts(&batch, "message"), ["line", "line"]);
        assert_eq!(texts(&batch, "type"), ["", "x"]);
    }

    #[test]
    fn one_event_becomes_so_many_and_no_more() {
        let mut batch = batch_of(&["{}", "{}"]);
        let mut event = batch.event_mut(0);
        let made = std::iter::from_fn(|| event.copy_behind(0)).count();
        assert_eq!(made, COPIES_MAX);
        drop(event);
        assert!(batch.event_mut(1).copy_behind(1).is_some());
    }

    proptest! {
        #[test]
        fn order_holds_for_any_tree(parents in proptest::collection::vec(0usize..6, 0..40)) {
            let mut batch = batch_of(&["{}", "{}", "{}"]);
            // The same by moving everything.
            let mut expected = vec![0, 1, 2];
            for parent in parents {
                let parent = parent.min(batch.len() - 1);
                let copy = batch.event_mut(parent).copy_behind(parent).unwrap();
                let at = expected.iter().position(|index| *index == parent).unwrap();
                expected.insert(at + 1, copy);
            }
            for index in 0..batch.len() {
                batch.event_mut(index).set(&Path::parse("n").unwrap(), index as i64).unwrap();
            }
            batch.arrange();
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            prop_assert_eq!(texts(&batch, "n"), expected);
        }
    }
}
