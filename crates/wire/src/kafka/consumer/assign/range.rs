//! `range`: each topic's partitions in one piece per member; the first members have one more
//! when it does not come out even (Java's `RangeAssignor`).
//!
//! Racks are not looked at (KIP-881): without `client.rack` on all members Java does the same.

use super::{Member, TopicPartition, Topics, in_order};
use std::collections::BTreeSet;

pub(super) fn assign(members: &[Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
    let mut assigned = vec![BTreeSet::new(); members.len()];
    let order = in_order(members);
    for (topic, &count) in topics {
        let readers: Vec<usize> =
            order.iter().copied().filter(|&index| members[index].topics.contains(topic)).collect();
        let count = usize::try_from(count).unwrap_or(0);
        let (Some(each), Some(more)) = (count.checked_div(readers.len()), count.checked_rem(readers.len()))
        else {
            continue;
        };
        let mut numbers = 0..;
        for (place, reader) in readers.into_iter().enumerate() {
            let piece = numbers.by_ref().take(each + usize::from(place < more));
            assigned[reader].extend(piece.map(|number| TopicPartition::new(topic.clone(), number)));
        }
    }
    assigned
}
