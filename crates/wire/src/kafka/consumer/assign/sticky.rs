//! `sticky` and `cooperative-sticky` (KIP-54, KIP-429).
//!
//! Each member first keeps what it holds and still wants, up to its share when all want the
//! same. What is then free goes to the member that has least, partitions with the fewest
//! takers first. Members with different subscriptions are evened out at the end by single
//! moves, the measure that KIP-54 gives for "as balanced as possible". Java's sequence of
//! moves in that last case is not copied: the leader's result holds whatever it is.

use super::{Member, TopicPartition, Topics};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn assign(members: &[Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
    let mut assigned = claims(members, topics);
    let equal = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    let free = |assigned: &[BTreeSet<TopicPartition>]| {
        let taken: BTreeSet<&TopicPartition> = assigned.iter().flatten().collect();
        let mut free: Vec<_> = partitions(members, topics).filter(|at| !taken.contains(at)).collect();
        free.sort_by_cached_key(|at| {
            members.iter().filter(|member| member.topics.contains(&at.topic)).count()
        });
        free
    };
    if equal {
        keep_shares(&mut assigned, partitions(members, topics).count());
    }
    for at in free(&assigned) {
        let takers = (0..members.len()).filter(|&index| members[index].topics.contains(&at.topic));
        if let Some(least) = takers.min_by_key(|&index| (assigned[index].len(), &members[index].id)) {
            assigned[least].insert(at);
        }
    }
    if !equal {
        even_out(members, &mut assigned);
    }
    assigned
}

/// As [`assign`], without what another member still holds: its holder gives that back when it
/// sees this result and joins again, and the next round gives it on.
pub(super) fn assign_cooperatively(members: &[Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
    let mut assigned = assign(members, topics);
    let holders = holders(members);
    for (index, set) in assigned.iter_mut().enumerate() {
        set.retain(|at| match holders.get(at) {
            None => true,
            // Members that contradict each other both have to give back.
            Some(holder) => holder.members.iter().all(|&member| member == index),
        });
    }
    assigned
}

/// Who says to hold a partition, at the newest generation in which anybody does.
struct Holder {
    generation: i32,
    members: Vec<usize>,
}

fn holders(members: &[Member]) -> BTreeMap<&TopicPartition, Holder> {
    let mut holders: BTreeMap<&TopicPartition, Holder> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for at in &member.owned {
            let holder =
                holders.entry(at).or_insert(Holder { generation: member.generation, members: Vec::new() });
            if member.generation > holder.generation {
                *holder = Holder { generation: member.generation, members: Vec::new() };
            }
            if member.generation == holder.generation {
                holder.members.push(index);
            }
        }
    }
    holders
}

/// What each member may keep: what exists, what it wants, and what no other claims as well.
fn claims(members: &[Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
    let mut kept = vec![BTreeSet::new(); members.len()];
    for (at, holder) in holders(members) {
        let exists = topics.get(&at.topic).is_some_and(|&count| (0..count).contains(&at.partition));
        if let [only] = holder.members[..]
            && exists
            && members[only].topics.contains(&at.topic)
        {
            kept[only].insert(at.clone());
        }
    }
    kept
}

/// Cuts what members hold down to equal shares; as many as needed may have one more.
fn keep_shares(assigned: &mut [BTreeSet<TopicPartition>], total: usize) {
    let share = total / assigned.len().max(1);
    let mut more = total % assigned.len().max(1);
    for set in assigned {
        let extra = usize::from(more > 0 && set.len() > share);
        more -= extra;
        while set.len() > share + extra {
            set.pop_last();
        }
    }
}

/// Moves single partitions from who has more to who has at least two less, until none can.
/// Each move lowers the sum of the squares of the sizes, so this ends.
fn even_out(members: &[Member], assigned: &mut [BTreeSet<TopicPartition>]) {
    while let Some((from, to, at)) = fairer_move(members, assigned) {
        assigned[from].remove(&at);
        assigned[to].insert(at);
    }
}

fn fairer_move(
    members: &[Member],
    assigned: &[BTreeSet<TopicPartition>],
) -> Option<(usize, usize, TopicPartition)> {
    let mut by_size: Vec<usize> = (0..members.len()).collect();
    by_size.sort_by_key(|&index| (assigned[index].len(), &members[index].id));
    for &to in &by_size {
        let mut fuller: Vec<usize> =
            (0..members.len()).filter(|&from| assigned[from].len() > assigned[to].len() + 1).collect();
        fuller.sort_by_key(|&from| Reverse(assigned[from].len()));
        for from in fuller {
            // What the taker held before comes home rather than something new.
            let movable = assigned[from].iter().filter(|at| members[to].topics.contains(&at.topic));
            let best = movable
                .min_by_key(|at| (!members[to].owned.contains(*at), members[from].owned.contains(*at)));
            if let Some(at) = best {
                return Some((from, to, at.clone()));
            }
        }
    }
    None
}

/// All partitions that somebody wants, in order.
fn partitions<'a>(members: &'a [Member], topics: &'a Topics) -> impl Iterator<Item = TopicPartition> + 'a {
    let wanted =
        topics.iter().filter(|(topic, _)| members.iter().any(|member| member.topics.contains(*topic)));
    wanted.flat_map(|(topic, &count)| (0..count).map(|number| TopicPartition::new(topic.clone(), number)))
}
