//! Several events out of one.

use crate::Outcome;
use event::{COPIES_MAX, Event};

const TOO_MANY: &str = "one event would become more than 65,535";
const NO_PLACE: &str = "the value does not fit where it should go";

/// Makes a copy of the event for each item, in order, and lets `change` make of it what it is to
/// be. All or none: where a copy cannot be, there is none, and the filter failed.
pub(crate) fn copies<T>(
    event: &mut Event<'_>,
    items: impl ExactSizeIterator<Item = T>,
    mut change: impl FnMut(&mut Event<'_>, T) -> bool,
) -> Outcome {
    if items.len() > COPIES_MAX {
        return Outcome::failed(TOO_MANY);
    }
    let original = event.index();
    let mut made: Vec<usize> = Vec::with_capacity(items.len());
    let mut wrong = None;
    for item in items {
        let Some(copy) = event.copy_behind(made.last().copied().unwrap_or(original)) else {
            wrong = Some(TOO_MANY);
            break;
        };
        made.push(copy);
        event.turn_to(copy);
        let fits = change(event, item);
        event.turn_to(original);
        if !fits {
            wrong = Some(NO_PLACE);
            break;
        }
    }
    match wrong {
        None => Outcome { made: made.len(), idle: made.is_empty(), ..Outcome::OK },
        Some(reason) => {
            for copy in made {
                event.turn_to(copy);
                event.drop_event();
            }
            event.turn_to(original);
            Outcome::failed(reason)
        }
    }
}
