//! `roundrobin`: all partitions in the order of topics and numbers, each to the next member
//! that wants its topic (Java's `RoundRobinAssignor`).

use super::{Member, TopicPartition, Topics, in_order};
use std::collections::BTreeSet;

pub(super) fn assign(members: &[Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
    let mut assigned = vec![BTreeSet::new(); members.len()];
    let order = in_order(members);
    let mut next = 0;
    for (topic, &count) in topics {
        for number in 0..count {
            let turns = (next..next + order.len()).map(|turn| turn % order.len());
            let Some(turn) = turns.into_iter().find(|&turn| members[order[turn]].topics.contains(topic))
            else {
                break;
            };
            assigned[order[turn]].insert(TopicPartition::new(topic.clone(), number));
            next = turn + 1;
        }
    }
    assigned
}
