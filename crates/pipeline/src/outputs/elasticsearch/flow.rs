//! What is on its way: bodies of actions, in order where order matters.
//!
//! Events without an id of their choice may arrive in any order. Two actions on the same id
//! may not: while one of them is in a body that is not answered, a later one waits *behind* this
//! body, and goes with it when it is tried again. A body and what waits behind it are a chain.
//!
//! ```text
//! building ──seal──▶ chain { current, behind } ──answer──▶ done
//!                          ▲        │ failed items, then what waits behind
//!                          └────────┘
//! ```
//! Nothing here sends, waits or reads a clock.

use std::collections::HashMap;
use std::collections::HashSet;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use wire::bulk::Kind;

/// So many bodies are kept to be filled again.
const SPARE_MAX: usize = 16;

/// Actions one behind the other, as they are sent.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Action lines and documents.
    pub(super) text: Vec<u8>,
    /// The events of actions that are sent without a document.
    pub(super) aside: Vec<u8>,
    pub(super) actions: Vec<Action>,
}

/// One action of a body.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) sequence: u64,
    pub(super) kind: Kind,
    /// Stands for index and id when the id was chosen: such actions keep their order.
    pub(super) key: Option<u128>,
    /// Its line and its document in the text.
    pub(super) whole: Range<usize>,
    /// The event as JSON: in the text, or aside for a `delete`.
    pub(super) event: Range<usize>,
    /// How many fields were renamed because they did not fit.
    pub(super) renames: u8,
}

impl Body {
    /// The event of an action, as JSON.
    pub(super) fn event(&self, action: &Action) -> &[u8] {
        match action.kind {
            Kind::Delete => &self.aside[action.event.clone()],
            _ => &self.text[action.event.clone()],
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.aside.clear();
        self.actions.clear();
    }

    /// Appends an action of another body, with another event if there is one.
    fn take(&mut self, other: &Body, action: &Action, event: Option<&[u8]>) {
        let from = self.text.len();
        let old = other.event(action);
        let new = event.unwrap_or(old);
        let event = if action.kind == Kind::Delete {
            self.text.extend_from_slice(&other.text[action.whole.clone()]);
            self.aside.extend_from_slice(new);
            self.aside.len() - new.len()..self.aside.len()
        } else {
            self.text.extend_from_slice(&other.text[action.whole.start..action.event.start]);
            let at = self.text.len();
            self.text.extend_from_slice(new);
            self.text.extend_from_slice(&other.text[action.event.end..action.whole.end]);
            at..at + new.len()
        };
        self.actions.push(Action { whole: from..self.text.len(), event, ..action.clone() });
    }

    fn first(&self) -> Option<u64> {
        self.actions.first().map(|action| action.sequence)
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// It is sent again as it is.
    Retry,
    /// It is sent again with this event.
    Changed(Vec<u8>),
    /// It is over, and was told to whoever keeps such events.
    Refused,
}

/// A body and what waits behind it.
struct Chain {
    number: u64,
    current: Arc<Body>,
    behind: Body,
    /// When it may be sent; none: it is under way.
    ready: Option<Instant>,
    /// How often it was tried in vain.
    attempts: u32,
    /// Whether the server may have done it already without our knowing.
    is_uncertain: bool,
}

/// In which chain the unanswered actions on an id are, and how many.
struct Owned {
    chain: u64,
    count: u32,
}

/// All that is on its way.
pub(super) struct Flow {
    building: Body,
    /// The chain that `building` becomes.
    number: u64,
    begun: Option<Instant>,
    /// The oldest first.
    chains: Vec<Chain>,
    owned: HashMap<u128, Owned>,
    spare: Vec<Body>,
}

/// A body to be sent.
pub(super) struct Outgoing {
    pub(super) number: u64,
    pub(super) body: Arc<Body>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            building: Body::default(),
            number: 0,
            begun: None,
            chains: Vec::new(),
            owned: HashMap::new(),
            spare: Vec::new(),
        }
    }

    /// Adds the action that `write` appends to the text of a body (and to `actions`); nothing
    /// is left of it when it fails.
    pub(super) fn add<E>(
        &mut self,
        key: Option<u128>,
        now: Instant,
        write: impl FnOnce(&mut Body) -> Result<(), E>,
    ) -> Result<(), E> {
        let owner = key.and_then(|key| self.owned.get(&key)).map(|owned| owned.chain);
        let chain = owner.and_then(|owner| self.chains.iter_mut().find(|chain| chain.number == owner));
        let (body, owner) = match chain {
            Some(chain) => (&mut chain.behind, chain.number),
            None => (&mut self.building, self.number),
        };
        let before = (body.text.len(), body.aside.len(), body.actions.len());
        if let Err(error) = write(body) {
            body.text.truncate(before.0);
            body.aside.truncate(before.1);
            body.actions.truncate(before.2);
            return Err(error);
        }
        if let Some(key) = key {
            self.owned.entry(key).or_insert(Owned { chain: owner, count: 0 }).count += 1;
        }
        if owner == self.number {
            self.begun.get_or_insert(now);
        }
        Ok(())
    }

    /// The bytes of the body that is being built.
    pub(super) fn building_bytes(&self) -> usize {
        self.building.text.len()
    }

    /// When the first action came into the body that is being built.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Ends the body that is being built: from now on it is ready to be sent.
    pub(super) fn seal(&mut self, now: Instant) {
        if self.building.actions.is_empty() {
            return;
        }
        let next = self.spare.pop().unwrap_or_default();
        let body = mem::replace(&mut self.building, next);
        let behind = self.spare.pop().unwrap_or_default();
        self.chains.push(Chain {
            number: self.number,
            current: Arc::new(body),
            behind,
            ready: Some(now),
            attempts: 0,
            is_uncertain: false,
        });
        self.number += 1;
        self.begun = None;
    }

    /// The oldest body that may be sent now; from here on it is under way.
    pub(super) fn send(&mut self, now: Instant) -> Option<Outgoing> {
        let chain = self.chains.iter_mut().find(|chain| chain.ready.is_some_and(|ready| ready <= now))?;
        chain.ready = None;
        Some(Outgoing { number: chain.number, body: chain.current.clone() })
    }

    /// Takes back what [`send`](Self::send) gave: there was nobody to send it to.
    pub(super) fn unsend(&mut self, number: u64, not_before: Instant) {
        if let Some(chain) = self.chain(number) {
            chain.ready = Some(not_before);
        }
    }

    /// When the next body may be sent that is neither under way nor being built.
    pub(super) fn next_ready(&self) -> Option<Instant> {
        self.chains.iter().filter_map(|chain| chain.ready).min()
    }

    pub(super) fn under_way(&self) -> usize {
        self.chains.iter().filter(|chain| chain.ready.is_none()).count()
    }

    /// The bytes of all that is on its way, and of the most that waits behind one body.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let behind = |chain: &Chain| chain.behind.text.len();
        let all: usize = self.chains.iter().map(|chain| chain.current.text.len() + behind(chain)).sum();
        (all + self.building.text.len(), self.chains.iter().map(behind).max().unwrap_or(0))
    }

    /// The sequence of the oldest event whose fate is open.
    pub(super) fn oldest(&self) -> Option<u64> {
        let of_chains = self.chains.iter().flat_map(|chain| [chain.current.first(), chain.behind.first()]);
        of_chains.chain([self.building.first()]).flatten().min()
    }

    /// The body of a chain.
    pub(super) fn body(&self, number: u64) -> Option<Arc<Body>> {
        Some(self.chains.iter().find(|chain| chain.number == number)?.current.clone())
    }

    /// How often the body was tried in vain.
    pub(super) fn attempts(&self, number: u64) -> u32 {
        self.chains.iter().find(|chain| chain.number == number).map_or(0, |chain| chain.attempts)
    }

    /// Whether the server may have done it already without our knowing.
    pub(super) fn is_uncertain(&self, number: u64) -> bool {
        self.chains.iter().any(|chain| chain.number == number && chain.is_uncertain)
    }

    /// Every action of the body was delivered.
    pub(super) fn delivered(&mut self, number: u64, now: Instant) {
        let Some(chain) = self.chains.iter_mut().find(|chain| chain.number == number) else { return };
        let next = self.spare.pop().unwrap_or_default();
        let behind = mem::replace(&mut chain.behind, next);
        let done = mem::replace(&mut chain.current, Arc::new(behind));
        (chain.ready, chain.attempts, chain.is_uncertain) = (Some(now), 0, false);
        for key in done.actions.iter().filter_map(|action| action.key) {
            self.release(key);
        }
        self.recycle(done);
        self.remove_if_empty(number);
    }

    /// Each action of the body has its fate. What failed goes again, with what waits behind it,
    /// not before `retry_at`; what was changed goes at once.
    pub(super) fn answered(&mut self, number: u64, fates: &[Fate], now: Instant, retry_at: Instant) {
        let Some(body) = self.body(number) else { return };
        // An index or delete that came later in the same body and was done has made up for an
        // earlier one that was not.
        let mut made_up = HashSet::new();
        let mut open = Vec::new();
        for (n, action) in body.actions.iter().enumerate().rev() {
            let replaces = matches!(action.kind, Kind::Index | Kind::Delete);
            match fates.get(n) {
                Some(Fate::Delivered) if replaces => made_up.extend(action.key),
                Some(Fate::Retry | Fate::Changed(_)) | None
                    if !(replaces && action.key.is_some_and(|key| made_up.contains(&key))) =>
                {
                    open.push(n);
                    continue;
                }
                _ => {}
            }
            if let Some(key) = action.key {
                self.release(key);
            }
        }
        let mut next = self.spare.pop().unwrap_or_default();
        let mut ready = now;
        for n in open.iter().rev().copied() {
            let action = &body.actions[n];
            match fates.get(n) {
                Some(Fate::Changed(event)) => {
                    let changed = Action { renames: action.renames.saturating_add(1), ..action.clone() };
                    next.take(&body, &changed, Some(event));
                }
                _ => {
                    next.take(&body, action, None);
                    ready = retry_at;
                }
            }
        }
        let Some(chain) = self.chain(number) else { return };
        for action in &chain.behind.actions {
            next.take(&chain.behind, action, None);
        }
        chain.behind.clear();
        chain.attempts = if ready == now { 0 } else { chain.attempts + 1 };
        chain.ready = Some(ready);
        let done = mem::replace(&mut chain.current, Arc::new(next));
        drop(body);
        self.recycle(done);
        self.remove_if_empty(number);
    }

    /// The whole body is sent again, not before then.
    pub(super) fn again(&mut self, number: u64, not_before: Instant, may_be_done: bool) {
        if let Some(chain) = self.chain(number) {
            chain.ready = Some(not_before);
            chain.attempts += 1;
            chain.is_uncertain |= may_be_done;
        }
    }

    /// The body is too large for the server: its second half waits behind the first. It must
    /// have more than one action.
    pub(super) fn split(&mut self, number: u64, now: Instant) {
        let Some(body) = self.body(number) else { return };
        let middle = body.actions.len() / 2;
        let mut halves = [&body.actions[..middle], &body.actions[middle..]].map(|actions| {
            let mut half = Body::default();
            actions.iter().for_each(|action| half.take(&body, action, None));
            half
        });
        let Some(chain) = self.chain(number) else { return };
        for action in &chain.behind.actions {
            halves[1].take(&chain.behind, action, None);
        }
        let [first, second] = halves;
        (chain.current, chain.behind, chain.ready) = (Arc::new(first), second, Some(now));
    }

    fn chain(&mut self, number: u64) -> Option<&mut Chain> {
        self.chains.iter_mut().find(|chain| chain.number == number)
    }

    fn release(&mut self, key: u128) {
        if let Some(owned) = self.owned.get_mut(&key) {
            owned.count -= 1;
            if owned.count == 0 {
                self.owned.remove(&key);
            }
        }
    }

    fn remove_if_empty(&mut self, number: u64) {
        let is_empty = |chain: &Chain| chain.number == number && chain.current.actions.is_empty();
        if let Some(at) = self.chains.iter().position(is_empty) {
            let chain = self.chains.remove(at);
            self.recycle(chain.current);
            self.keep(chain.behind);
        }
    }

    /// Keeps the memory of a body, unless the request that carried it still holds it.
    fn recycle(&mut self, body: Arc<Body>) {
        if let Ok(body) = Arc::try_unwrap(body) {
            self.keep(body);
        }
    }

    fn keep(&mut self, mut body: Body) {
        if self.spare.len() < SPARE_MAX {
            body.clear();
            self.spare.push(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn put(flow: &mut Flow, sequence: u64, key: Option<u128>, now: Instant) {
        let kind = if sequence.is_multiple_of(5) { Kind::Delete } else { Kind::Index };
        flow.add(key, now, |body| {
            let from = body.text.len();
            let line = format!("{{\"{}\":{{}}}}\n", kind.name());
            body.text.extend_from_slice(line.as_bytes());
            let event = sequence.to_string().into_bytes();
            let at = if kind == Kind::Delete {
                body.aside.extend_from_slice(&event);
                body.aside.len() - event.len()
            } else {
                body.text.extend_from_slice(&event);
                body.text.push(b'\n');
                body.text.len() - 1 - event.len()
            };
            let event = at..at + event.len();
            let whole = from..body.text.len();
            body.actions.push(Action { sequence, kind, key, whole, event, renames: 0 });
            Ok::<(), ()>(())
        })
        .unwrap();
    }

    fn sequences(body: &Body) -> Vec<u64> {
        for action in &body.actions {
            assert_eq!(body.event(action), action.sequence.to_string().as_bytes());
        }
        body.actions.iter().map(|action| action.sequence).collect()
    }

    #[test]
    fn later_actions_on_an_id_wait_behind_the_first() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut flow = Flow::new();
        put(&mut flow, 1, Some(7), now);
        put(&mut flow, 2, None, now);
        flow.seal(now);
        let first = flow.send(now).unwrap();
        put(&mut flow, 3, Some(7), now);
        put(&mut flow, 4, Some(8), now);
        flow.seal(now);
        let second = flow.send(now).unwrap();
        assert_eq!((sequences(&first.body), sequences(&second.body)), (vec![1, 2], vec![4]));
        assert!(flow.send(now).is_none());
        flow.delivered(second.number, now);
        assert_eq!(flow.oldest(), Some(1));
        drop(first.body);
        flow.answered(first.number, &[Fate::Retry, Fate::Delivered], now, later);
        put(&mut flow, 6, Some(7), now);
        assert!(flow.send(now).is_none());
        let again = flow.send(later).unwrap();
        assert_eq!(sequences(&again.body), [1, 3]);
        assert_eq!(flow.attempts(again.number), 1);
        drop(again.body);
        flow.delivered(again.number, later);
        let last = flow.send(later).unwrap();
        assert_eq!(sequences(&last.body), [6]);
        flow.delivered(last.number, later);
        assert_eq!((flow.oldest(), flow.bytes(), flow.owned.len()), (None, (0, 0), 0));
    }

    #[test]
    fn an_earlier_action_that_failed_does_not_undo_a_later_one() {
        let now = Instant::now();
        let mut flow = Flow::new();
        put(&mut flow, 1, Some(7), now);
        put(&mut flow, 2, Some(7), now);
        flow.seal(now);
        let sent = flow.send(now).unwrap();
        flow.answered(sent.number, &[Fate::Retry, Fate::Delivered], now, now);
        assert_eq!((flow.oldest(), flow.owned.len()), (None, 0));
    }

    #[test]
    fn bodies_are_split_and_events_changed() {
        let now = Instant::now();
        let mut flow = Flow::new();
        (1..=4).for_each(|n| put(&mut flow, n, None, now));
        flow.seal(now);
        let sent = flow.send(now).unwrap();
        flow.split(sent.number, now);
        let half = flow.send(now).unwrap();
        assert_eq!(sequences(&half.body), [1, 2]);
        flow.answered(half.number, &[Fate::Changed(b"{}".to_vec()), Fate::Refused], now, now);
        let rest = flow.send(now).unwrap();
        assert_eq!(rest.body.text, b"{\"index\":{}}\n{}\n{\"index\":{}}\n3\n{\"index\":{}}\n4\n");
        assert_eq!(rest.body.actions[0].renames, 1);
        assert_eq!(flow.oldest(), Some(1));
    }

    proptest! {
        /// Whatever the answers are, every action is delivered, none twice in doubt-free runs, and
        /// those on one id in their order.
        #[test]
        fn nothing_is_lost_and_ids_keep_their_order(
            steps in prop::collection::vec((0..6_u8, any::<u8>()), 1..200),
        ) {
            let mut now = Instant::now();
            let mut flow = Flow::new();
            let mut sent: Vec<Outgoing> = Vec::new();
            let mut sequence = 0;
            let mut last: BTreeMap<u128, u64> = BTreeMap::new();
            let mut done = vec![];
            let mut step = |flow: &mut Flow, sent: &mut Vec<Outgoing>, what: u8, seed: u8| {
                match what {
                    0 | 1 => {
                        let key = (!seed.is_multiple_of(3)).then_some(u128::from(seed % 4));
                        put(flow, sequence, key, now);
                        sequence += 1;
                    }
                    2 => flow.seal(now),
                    3 => sent.extend(flow.send(now)),
                    4 if !sent.is_empty() => {
                        let out = sent.remove(usize::from(seed) % sent.len());
                        if out.body.actions.len() > 1 && seed.is_multiple_of(7) {
                            flow.split(out.number, now);
                            return;
                        }
                        // A server fails or does all actions on an id in one body alike.
                        let fate = |action: &Action| match (action.key.unwrap_or(u128::from(seed)) + u128::from(seed)) % 3 {
                            0 => Fate::Retry,
                            _ => Fate::Delivered,
                        };
                        let fates: Vec<Fate> = out.body.actions.iter().map(fate).collect();
                        for (action, fate) in out.body.actions.iter().zip(&fates) {
                            if *fate == Fate::Delivered {
                                done.push(action.sequence);
                                if let Some(key) = action.key {
                                    let before = last.insert(key, action.sequence);
                                    assert!(before.is_none_or(|before| before < action.sequence));
                                }
                            }
                        }
                        flow.answered(out.number, &fates, now, now);
                    }
                    5 if !sent.is_empty() => flow.again(sent.remove(0).number, now, false),
                    _ => {}
                }
                now += Duration::from_millis(1);
            };
            for (what, seed) in steps {
                step(&mut flow, &mut sent, what, seed);
            }
            for seed in 0..=255 {
                for what in [2, 3, 4, 3, 4] {
                    step(&mut flow, &mut sent, what, seed);
                }
            }
            prop_assert_eq!(flow.oldest(), None);
            prop_assert!(flow.owned.is_empty() && flow.chains.is_empty());
            done.sort_unstable();
            prop_assert_eq!(done, (0..sequence).collect::<Vec<_>>());
        }
    }
}
