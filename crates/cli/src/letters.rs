//! What is asked of dead letters, whether a pond runs or not.

use pipeline::run::dead_letters::{DeadLetters, Kept, Select};
use pipeline::run::replay::{ReplayError, ReplayOrder, Replayer};
use queue::QueueError;
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

/// `letters`, oldest first, and `next`: from where the next ones are, or null.
pub(crate) fn page(letters: &DeadLetters, ask: &LettersAsk) -> Result<Value, EsError> {
    let limit = ask.limit.unwrap_or(u64::MAX);
    let (mut found, mut bytes, mut next) = (Vec::new(), 0, None);
    let each = |kept: Kept| {
        if found.len() as u64 >= limit || bytes >= PAGE_BYTES {
            next = Some(kept.number);
            return ControlFlow::Break(());
        }
        bytes += kept.letter.event.get().len();
        found.push(kept);
        ControlFlow::Continue(())
    };
    letters.each(numbers(letters, ask), &select(ask)?, each).map_err(unreadable)?;
    Ok(json!({ "letters": found, "next": next, "end": letters.end() }))
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
