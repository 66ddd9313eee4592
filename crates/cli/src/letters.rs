//! What is asked of dead letters, whether a pond runs or not.

use pipeline::run::dead_letters::{DeadLetters, Kept, Select};
use pipeline::run::replay::{ReplayError, ReplayOrder, Replayer};
use queue::QueueError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::ops::{ControlFlow, Range};
use web::es::EsError;
use web::{LettersAsk, Told};

/// An answer is closed when its letters take so much.
const PAGE_BYTES: usize = 4 << 20;

/// Which letters are meant.
pub(crate) fn select(ask: &LettersAsk) -> Result<Select, EsError> {
    Select::parse(ask.output.as_deref(), ask.condition.as_deref())
        .map_err(|error| EsError::parsing(format!("[where]: {error}; such as .event.status >= 500")))
}

fn numbers(letters: &DeadLetters, ask: &LettersAsk) -> Range<u64> {
    ask.from..ask.to.unwrap_or(u64::MAX).min(letters.end())
}

fn unreadable(error: QueueError) -> EsError {
    EsError::new(500, "internal_error", format!("the dead letters cannot be read: {error}"))
}

/// Some letters, oldest first. Their events stay the text that they are: not every number of a
/// log is one that a parser gives back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    /// The letters, each with its number.
    pub(crate) letters: Vec<Box<RawValue>>,
    /// From where the next ones are, if there are more.
    pub(crate) next: Option<u64>,
    /// The number before which all letters stood when this was asked.
    pub(crate) end: u64,
}

pub(crate) fn page(letters: &DeadLetters, ask: &LettersAsk) -> Result<Page, EsError> {
    let limit = ask.limit.unwrap_or(u64::MAX);
    let (mut found, mut bytes, mut next) = (Vec::new(), 0, None);
    let each = |kept: Kept| {
        if found.len() as u64 >= limit || bytes >= PAGE_BYTES {
            next = Some(kept.number);
            return ControlFlow::Break(());
        }
        if let Ok(letter) = serde_json::value::to_raw_value(&kept) {
            bytes += letter.get().len();
            found.push(letter);
        }
        ControlFlow::Continue(())
    };
    letters.each(numbers(letters, ask), &select(ask)?, each).map_err(unreadable)?;
    Ok(Page { letters: found, next, end: letters.end() })
}

/// `counts` by output and reason, and `end`: the number before which all these stand.
pub(crate) fn counts(letters: &DeadLetters, ask: &LettersAsk) -> Result<Value, EsError> {
    let numbers = numbers(letters, ask);
    let end = numbers.end;
    let counts = letters.counts(numbers, &select(ask)?).map_err(unreadable)?;
    Ok(json!({ "counts": counts, "end": end, "summary": letters.summary() }))
}

/// Removes letters; `dropped` says how many.
pub(crate) fn drop_some(letters: &DeadLetters, ask: &LettersAsk, told: Told<'_>) -> Result<Value, EsError> {
    let limit = ask.limit.unwrap_or(u64::MAX);
    let told = |dropped| told(json!({ "dropped": dropped }));
    let dropped = letters
        .drop_letters(numbers(letters, ask), &select(ask)?, limit, told)
        .ok_or_else(|| EsError::new(409, "conflict", ReplayError::Busy.to_string()))?
        .map_err(|error| EsError::new(500, "internal_error", format!("they cannot be removed: {error}")))?;
    Ok(json!({ "dropped": dropped }))
}

/// Sends letters to their outputs again.
pub(crate) fn replay(replayer: &Replayer, order: &ReplayOrder, told: Told<'_>) -> Result<Value, EsError> {
    let mut tell = |progress: &_| told(json!(progress));
    let done = replayer.run(order, &mut tell).map_err(|error| match error {
        ReplayError::Busy => EsError::new(409, "conflict", error.to_string()),
        ReplayError::Letters(error) => unreadable(error),
    })?;
    Ok(json!(done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::plan::DeadLetterOptions;
    use pipeline::run::dead_letters::Letter;
    use std::sync::Arc;

    #[test]
    fn pages_hold_what_was_refused_as_it_was() {
        let letters =
            DeadLetters::open(Arc::new(disk::SimDisk::new()), &DeadLetterOptions::default()).unwrap();
        let odd = r#"{"n":1e999,"m":123456789012345678901234567890}"#;
        let events = [odd, "{}", r#"{"n":1}"#];
        letters.put(&events.map(|event| Letter::new("main", "es", "odd", 0, event)), 0).unwrap();
        // They are safe now, and seen a moment later.
        while letters.end() < 3 {
            std::thread::yield_now();
        }
        let first = page(&letters, &LettersAsk { limit: Some(2), ..LettersAsk::default() }).unwrap();
        assert_eq!((first.letters.len(), first.next, first.end), (2, Some(2), 3));
        assert!(first.letters[0].get().ends_with(&format!("\"event\":{odd}}}")), "{:?}", first.letters[0]);
        let ask =
            LettersAsk { from: 2, condition: Some(".event.n == 1".to_owned()), ..LettersAsk::default() };
        let rest = page(&letters, &ask).unwrap();
        assert_eq!((rest.letters.len(), rest.next), (1, None));
        let wrong = LettersAsk { condition: Some("n =".to_owned()), ..LettersAsk::default() };
        assert_eq!(page(&letters, &wrong).unwrap_err().status, 400);
        letters.stop();
    }
}
