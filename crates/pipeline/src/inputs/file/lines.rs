//! From bytes to events: lines, lines joined to one event, and lines that are too long.

use crate::inputs::multiline::Multiline;
use event::{Batch, New, Path, Span};

/// How lines are told apart and joined.
pub(in crate::inputs) struct Splitter {
    pub(in crate::inputs) line_bytes_max: usize,
    pub(in crate::inputs) multiline: Option<Multiline>,
}

/// What became of a stretch of bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::inputs) struct Split {
    /// Bytes that became events, or were passed over: reading goes on behind them.
    pub(in crate::inputs) used: usize,
    /// The last line was too long: what follows up to its end is passed over.
    pub(in crate::inputs) skipping: bool,
}

/// How a stretch of bytes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inputs) enum End {
    /// More may come at any moment: the last line and the last group are held.
    Open,
    /// Nothing came for a while: whole lines go, half a line is held.
    Quiet,
    /// Nothing will ever come: everything goes.
    Final,
}

impl Splitter {
    /// Pushes the events of the bytes `from..to` of the batch, of which the first stands at
    /// `position` of its origin.
    pub(in crate::inputs) fn split(
        &self,
        batch: &mut Batch,
        from: usize,
        to: usize,
        position: u64,
        end: End,
    ) -> Split {
        match &self.multiline {
            None => self.split_lines(batch, from, to, position, end),
            Some(multiline) => self.split_groups(multiline, batch, from, to, position, end),
        }
    }

    fn split_lines(&self, batch: &mut Batch, from: usize, to: usize, position: u64, end: End) -> Split {
        let mut whole = memchr::memrchr(b'\n', &batch.bytes()[from..to]).map_or(from, |at| from + at + 1);
        if end == End::Final {
            whole = to;
        }
        let before = batch.len();
        push_lines(batch, from, whole, position);
        if to - from > self.line_bytes_max {
            self.cut_long(batch, before);
        }
        if to - whole > self.line_bytes_max {
            let line = Span::new(whole, whole + self.line_bytes_max);
            batch.push_line(line, position + (whole - from) as u64);
            mark_truncated(batch);
            return Split { used: to - from, skipping: true };
        }
        Split { used: whole - from, skipping: false }
    }

    /// Cuts whole lines that are longer than allowed.
    fn cut_long(&self, batch: &mut Batch, first: usize) {
        let path = Path::of(["message"]);
        for index in first..batch.len() {
            if batch.view(index).message().len() > self.line_bytes_max {
                let mut event = batch.event_mut(index);
                let Some(line) = event.text(&path) else { continue };
                // Both fit: the event has one field.
                let _ = event.set(&path, New::Span(line.within(0, self.line_bytes_max)));
                let _ = event.set(&Path::of(["log", "flags"]), New::Json("[\"truncated\"]"));
            }
        }
    }

    fn split_groups(
        &self,
        rule: &Multiline,
        batch: &mut Batch,
        from: usize,
        to: usize,
        position: u64,
        end: End,
    ) -> Split {
        let mut groups: Vec<(Span, bool)> = Vec::new();
        let mut begin = from;
        let mut group_end = from;
        let mut lines = 0;
        let mut at = from;
        let mut open = false;
        while at < to {
            let newline = memchr::memchr(b'\n', &batch.bytes()[at..to]).map(|n| at + n);
            let line_end = match newline {
                Some(newline) => newline,
                None if end == End::Final || to - begin > rule.bytes_max => to,
                None => break,
            };
            let next = (line_end + 1).min(to);
            let matches = rule.takes(&batch.bytes()[at..line_end]);
            let joins_before = rule.after && matches;
            if lines > 0 && rule.after && !joins_before {
                groups.push((Span::new(begin, group_end), false));
                (begin, lines) = (at, 0);
            }
            group_end = line_end;
            lines += 1;
            open = true;
            let full = lines >= rule.lines_max || group_end - begin >= rule.bytes_max;
            if full || (!rule.after && !matches) {
                groups.push((Span::new(begin, group_end), full));
                (begin, lines, open) = (next, 0, false);
            }
            at = next;
        }
        if open && end != End::Open {
            groups.push((Span::new(begin, group_end), false));
            begin = at;
        }
        let used = if open { begin } else { begin.max(if lines == 0 { begin } else { at }) };
        for (group, full) in groups {
            let group = without_return(batch.bytes(), group);
            let at = position + (group.from as usize - from) as u64;
            let cut = group.len() > rule.bytes_max;
            let kept = if cut { group.within(0, rule.bytes_max) } else { group };
            batch.push_line(kept, at);
            if cut || full {
                mark_truncated(batch);
            }
        }
        Split { used: used - from, skipping: false }
    }
}

/// Pushes every line of a stretch of bytes; its last line may lack its end.
pub(in crate::inputs) fn push_lines(batch: &mut Batch, from: usize, to: usize, position: u64) {
    let mut at = from;
    while at < to {
        let end = memchr::memchr(b'\n', &batch.bytes()[at..to]).map_or(to, |n| at + n);
        let line = without_return(batch.bytes(), Span::new(at, end));
        batch.push_line(line, position + (at - from) as u64);
        at = end + 1;
    }
}

/// The line without the `\r` that ends lines elsewhere.
fn without_return(bytes: &[u8], line: Span) -> Span {
    match bytes[line.from as usize..line.to as usize].last() {
        Some(b'\r') => line.within(0, line.len() - 1),
        _ => line,
    }
}

fn mark_truncated(batch: &mut Batch) {
    let last = batch.len() - 1;
    // It fits: the event has one field.
    let _ = batch.event_mut(last).set(&Path::of(["log", "flags"]), New::Json("[\"truncated\"]"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::multiline::Pattern;
    use event::{Common, Origin};
    use proptest::prelude::*;

    fn batch(text: &[u8]) -> Batch {
        let mut batch = Batch::new();
        batch.bytes_mut().extend_from_slice(text);
        batch.begin_run(Common::none(Origin::default()), 0);
        batch
    }

    fn events(batch: &Batch) -> Vec<String> {
        batch.events().map(|event| String::from_utf8_lossy(&event.message()).into_owned()).collect()
    }

    #[track_caller]
    fn check(splitter: &Splitter, text: &str, end: End, expected: &[&str], used: usize) {
        let mut batch = batch(text.as_bytes());
        let split = splitter.split(&mut batch, 0, text.len(), 0, end);
        assert_eq!(events(&batch), expected);
        assert_eq!(split.used, used);
    }

    #[test]
    fn lines() {
        let plain = Splitter { line_bytes_max: 5, multiline: None };
        check(&plain, "a\nb\r\n\nc", End::Open, &["a", "b", ""], 6);
        check(&plain, "a\nb", End::Quiet, &["a"], 2);
        check(&plain, "a\nb", End::Final, &["a", "b"], 3);
        check(&plain, "", End::Final, &[], 0);
        check(&plain, "1234567\nx\n", End::Open, &["12345", "x"], 10);
        check(&plain, "1234567", End::Open, &["12345"], 7);
    }

    fn joined(pattern: &str, negate: bool, after: bool) -> Splitter {
        let pattern = Pattern::Regex(regex::bytes::Regex::new(pattern).unwrap());
        let multiline = Multiline { pattern, negate, after, lines_max: 4, bytes_max: 100 };
        Splitter { line_bytes_max: 100, multiline: Some(multiline) }
    }

    #[test]
    fn groups() {
        let indented = joined("^ ", false, true);
        check(&indented, "a\n b\n c\nd\n", End::Open, &["a\n b\n c"], 8);
        check(&indented, "a\n b\n c\nd\n", End::Quiet, &["a\n b\n c", "d"], 10);
        check(&indented, "a\n b\n c", End::Quiet, &["a\n b"], 5);
        check(&indented, "a\n b\n c", End::Final, &["a\n b\n c"], 7);
        check(&indented, "a\n 1\n 2\n 3\n 4\nb\n", End::Quiet, &["a\n 1\n 2\n 3", " 4", "b"], 16);
        let starts = joined("^\\d", true, true);
        check(&starts, "1 a\nx\ny\n2 b\n", End::Open, &["1 a\nx\ny"], 8);
        let continued = joined("\\\\$", false, false);
        check(&continued, "a\\\nb\nc\\\n", End::Open, &["a\\\nb"], 5);
        check(&continued, "a\\\nb\nc\\\n", End::Quiet, &["a\\\nb", "c\\"], 8);
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_lines_are_the_same(text in "[ab\r\n]{0,60}", cuts in prop::collection::vec(0..60_usize, 0..5)) {
            let splitter = Splitter { line_bytes_max: 100, multiline: None };
            let text = text.into_bytes();
            let mut whole = batch(&text);
            splitter.split(&mut whole, 0, text.len(), 0, End::Final);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut found = Vec::new();
            let mut at = 0;
            for cut in &cuts {
                let mut part = batch(&text[at..*cut]);
                let end = if *cut == text.len() { End::Final } else { End::Open };
                let split = splitter.split(&mut part, 0, cut - at, at as u64, end);
                found.extend(part.events().map(|event| (event.position(), event.message().into_owned())));
                at += split.used;
            }
            let expected: Vec<_> = whole.events().map(|event| (event.position(), event.message().into_owned())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
