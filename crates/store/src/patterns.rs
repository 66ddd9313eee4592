//! Kinds of messages: templates that are found, not given.
//!
//! Words with digits are values from the start, as in Drain (He et al., "Drain: An Online Log
//! Parsing Approach with Fixed Depth Tree", ICWS 2017); messages with the same signs and the
//! same other words are one kind. In the end a word is a value, too, where kinds that differ in
//! this place alone have many; few (`opened`, `closed`) tell kinds apart, where a measure of
//! likeness would make them one. Kinds that could take the same message are made one as well:
//! so every message is of one kind at most, and a search by its template finds as many
//! messages as were counted for it.

use crate::template::{Shape, Template};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// With so many words in a place, they are values.
const VALUES_MIN: usize = 6;
/// Templates of the same signs; then every message joins the one that is most like it.
const SAME_SIGNS_MAX: usize = 128;
/// Templates; messages that would need more are in none.
const TEMPLATES_MAX: usize = 5_000;
/// Longer words are values.
const WORD_BYTES_MAX: usize = 64;

/// A kind of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What they have in common.
    pub template: Template,
    /// How many there are.
    pub count: u64,
    /// The time of the first, in nanoseconds UTC.
    pub first: i64,
    /// The time of the last.
    pub last: i64,
    /// How many there are in each part of the time.
    pub bars: Vec<u64>,
}

/// Finds the kinds of messages that it is given.
#[derive(Debug)]
pub struct Patterns {
    from: i64,
    to: i64,
    bars: usize,
    by_signs: HashMap<String, Vec<Pattern>>,
    found: usize,
    unclustered: u64,
}

impl Patterns {
    /// Counts in so many parts of a time, which begins and ends in nanoseconds UTC.
    pub fn new(from: i64, to: i64, bars: usize) -> Self {
        Self {
            from,
            to: to.max(from.saturating_add(1)),
            bars: bars.max(1),
            by_signs: HashMap::new(),
            found: 0,
            unclustered: 0,
        }
    }

    /// Takes a message of that time; none is an event without a message.
    pub fn add(&mut self, message: Option<&str>, time: i64) {
        let Some(message) = message else {
            self.unclustered += 1;
            return;
        };
        let Shape { signs, words } = Shape::of(message);
        let full = self.found >= TEMPLATES_MAX;
        let Some(same) = self.by_signs.get_mut(&signs) else {
            if full {
                self.unclustered += 1;
                return;
            }
            let mut pattern = begin(signs.clone(), &words, self.bars);
            pattern.count(time, self.from, self.to);
            self.by_signs.insert(signs, vec![pattern]);
            self.found += 1;
            return;
        };
        let known = same.iter().position(|pattern| pattern.template.takes_words(&words));
        let at = match known {
            Some(at) => at,
            None if full || same.len() >= SAME_SIGNS_MAX => {
                let like = |at: &usize| likeness(same[*at].template.places(), &words);
                (0..same.len()).max_by_key(like).unwrap_or(0)
            }
            None => {
                same.push(begin(signs, &words, self.bars));
                self.found += 1;
                same.len() - 1
            }
        };
        for (own, word) in same[at].template.places_mut().iter_mut().zip(&words) {
            if own.as_deref().is_some_and(|own| own != *word) {
                *own = None;
            }
        }
        same[at].count(time, self.from, self.to);
    }

    /// The kinds, the most frequent first, and how many events are of none.
    pub fn finish(self) -> (Vec<Pattern>, u64) {
        let mut all: Vec<Pattern> = self.by_signs.into_values().map(gather).flat_map(apart).collect();
        all.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| a.template.to_string().cmp(&b.template.to_string()))
        });
        (all, self.unclustered)
    }
}

/// Whether a word is taken for a value from the start.
fn is_value(word: &str) -> bool {
    word.len() > WORD_BYTES_MAX || word.bytes().any(|byte| byte.is_ascii_digit())
}

fn begin(signs: String, words: &[&str], bars: usize) -> Pattern {
    let words = words.iter().map(|word| (!is_value(word)).then(|| (*word).to_owned())).collect();
    let template = Template::new(signs, words);
    Pattern { template, count: 0, first: i64::MAX, last: i64::MIN, bars: vec![0; bars] }
}

/// In how many places a message has the word of the template.
fn likeness(places: &[Option<String>], words: &[&str]) -> usize {
    places.iter().zip(words).filter(|(own, word)| own.as_deref() == Some(**word)).count()
}

/// Makes those one that differ in one place alone, where they have many words there.
fn gather(mut patterns: Vec<Pattern>) -> Vec<Pattern> {
    let places = patterns.first().map_or(0, |pattern| pattern.template.places().len());
    let mut place = 0;
    let mut quiet = 0;
    // Each that are made one may make others alike, so the places are gone through until a
    // whole round did nothing.
    while quiet < places && patterns.len() >= VALUES_MIN {
        let mut alike: HashMap<u64, Vec<Pattern>> = HashMap::new();
        let before = patterns.len();
        for pattern in patterns.drain(..) {
            let mut hash = DefaultHasher::new();
            let others = pattern.template.places().iter().enumerate().filter(|(at, _)| *at != place);
            others.for_each(|(_, word)| word.hash(&mut hash));
            alike.entry(hash.finish()).or_default().push(pattern);
        }
        for group in alike.into_values() {
            if group.len() < VALUES_MIN {
                patterns.extend(group);
            } else {
                patterns.extend(group.into_iter().reduce(|mut one, other| {
                    one.join(other);
                    one
                }));
            }
        }
        quiet = if patterns.len() < before { 0 } else { quiet + 1 };
        place = (place + 1) % places;
    }
    patterns
}

/// Makes those one that could take the same message, until there are none.
fn apart(patterns: Vec<Pattern>) -> Vec<Pattern> {
    let mut done: Vec<Pattern> = Vec::new();
    for mut pattern in patterns {
        while let Some(at) = done.iter().position(|other| other.template.overlaps(&pattern.template)) {
            pattern.join(done.swap_remove(at));
        }
        done.push(pattern);
    }
    done
}

impl Pattern {
    fn count(&mut self, time: i64, from: i64, to: i64) {
        self.count += 1;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        let part = i128::from(time.clamp(from, to - 1)) - i128::from(from);
        let bar = part * self.bars.len() as i128 / (i128::from(to) - i128::from(from));
        if let Some(bar) = usize::try_from(bar).ok().and_then(|bar| self.bars.get_mut(bar)) {
            *bar += 1;
        }
    }

    fn join(&mut self, other: Pattern) {
        for (own, other) in self.template.places_mut().iter_mut().zip(other.template.places()) {
            if own != other {
                *own = None;
            }
        }
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.bars.iter_mut().zip(other.bars).for_each(|(own, other)| *own += other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(messages: &[&str]) -> Vec<(String, u64)> {
        let mut patterns = Patterns::new(0, 100, 4);
        messages.iter().for_each(|message| patterns.add(Some(message), 0));
        let (found, none) = patterns.finish();
        assert_eq!(none, 0);
        found.into_iter().map(|pattern| (pattern.template.to_string(), pattern.count)).collect()
    }

    #[test]
    fn messages_that_are_alike_are_one() {
        #[track_caller]
        fn check(messages: &[&str], expected: &[(&str, u64)]) {
            let expected: Vec<_> =
                expected.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect();
            assert_eq!(find(messages), expected);
        }
        check(&["took 3 ms", "took 17 ms"], &[("took * ms", 2)]);
        let logins = ["ann", "bob", "dan", "eve", "jim", "pat"].map(|user| format!("user={user} logged in"));
        let mut logins: Vec<&str> = logins.iter().map(String::as_str).collect();
        check(&logins[..2], &[("user=ann logged in", 1), ("user=bob logged in", 1)]);
        logins.push("user=eve logged out");
        check(&logins, &[("user=* logged in", 6), ("user=eve logged out", 1)]);
        check(&["opened a", "opened a", "closed b"], &[("opened a", 2), ("closed b", 1)]);
        // Many in two places, each seen with each.
        let words = ["a", "b", "c", "d", "e", "f"];
        let pairs: Vec<String> = (0..36).map(|n| format!("{} {}", words[n / 6], words[n % 6])).collect();
        check(&pairs.iter().map(String::as_str).collect::<Vec<_>>(), &[("* *", 36)]);
        // A word where others have a value is one.
        check(&["port 8080", "port http"], &[("port *", 2)]);
        check(&["failed\nat a", "failed\nat b", "failed"], &[("failed\n", 2), ("failed", 1)]);
        check(&["", " "], &[("", 2)]);
    }

    #[test]
    fn times_and_events_without_a_message() {
        let mut patterns = Patterns::new(1_000, 2_000, 4);
        for time in [1_000, 1_999, 1_500, 1_501, 5, 9_000] {
            patterns.add(Some("x"), time);
        }
        patterns.add(None, 1_500);
        let (found, none) = patterns.finish();
        assert_eq!((found[0].count, found[0].first, found[0].last, none), (6, 5, 9_000, 1));
        assert_eq!(found[0].bars, [2, 0, 2, 2]);
    }

    #[test]
    fn there_are_limits() {
        let mut patterns = Patterns::new(0, 1, 1);
        let word = |mut n: usize| {
            let mut word = String::new();
            for _ in 0..4 {
                word.push(char::from(b'a' + (n % 26) as u8));
                n /= 26;
            }
            word
        };
        (0..2_000).for_each(|n| patterns.add(Some(&word(n)), 0));
        (0..TEMPLATES_MAX)
            .for_each(|n| patterns.add(Some(&"=".repeat(n % 127).replace('=', "=;")[..n % 127]), 0));
        let (found, none) = patterns.finish();
        assert!(found.len() <= TEMPLATES_MAX);
        assert_eq!(
            found.iter().map(|pattern| pattern.count).sum::<u64>() + none,
            2_000 + TEMPLATES_MAX as u64
        );
    }

    proptest! {
        #[test]
        fn each_message_is_of_the_one_pattern_that_counted_it(
            messages in prop::collection::vec("([abc1*]{1,2}[ =]){0,5}(x\n)?", 1..80),
        ) {
            let mut patterns = Patterns::new(0, 1, 1);
            messages.iter().for_each(|message| patterns.add(Some(message), 0));
            let (found, none) = patterns.finish();
            prop_assert_eq!(none, 0);
            for pattern in &found {
                let taken = messages.iter().filter(|message| pattern.template.takes(message)).count();
                prop_assert_eq!(taken as u64, pattern.count, "{}", pattern.template);
            }
            prop_assert_eq!(found.iter().map(|pattern| pattern.count).sum::<u64>(), messages.len() as u64);
        }
    }
}
