//! Assignors: which member of a group reads which partition. The group's leader decides this
//! for all members, so it must speak to members of other clients as Java's client does.

mod protocol;
mod range;
mod roundrobin;
mod sticky;

pub use protocol::{
    Assignment, ProtocolError, Subscription, decode_assignment, decode_subscription, encode_assignment,
    encode_subscription,
};

use super::TopicPartition;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// The number of partitions of each topic that exists.
pub type Topics = BTreeMap<TopicName, i32>;

/// A way to share partitions, by the name that all members must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// `range`: neighbouring partitions of each topic; the same numbers of different topics
    /// come to the same member.
    Range,
    /// `roundrobin`: all partitions of all topics dealt out one after the other.
    RoundRobin,
    /// `sticky`: balanced, and with as few moves as possible (KIP-54).
    Sticky,
    /// `cooperative-sticky`: the same, where a partition that moves is first given back and
    /// only then given on, while the others are read without a pause (KIP-429).
    CooperativeSticky,
}

/// How a rebalance goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rebalance {
    /// Everything is given back before joining.
    Eager,
    /// Only what moves is given back.
    Cooperative,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// The id the coordinator gave it.
    pub id: StrBytes,
    /// Its own name, for a static member (KIP-345).
    pub instance_id: Option<StrBytes>,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
    /// What it says it holds.
    pub owned: BTreeSet<TopicPartition>,
    /// Since which generation it holds that; -1 is unknown.
    pub generation: i32,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Assignor; 4] =
        [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

    /// The name in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The best way of rebalancing that the assignor allows.
    pub fn rebalance(self) -> Rebalance {
        match self {
            Assignor::CooperativeSticky => Rebalance::Cooperative,
            _ => Rebalance::Eager,
        }
    }

    /// Shares the partitions of `topics` among the members that want them; one set for each
    /// member, in the order of `members`. Topics that do not exist are left out.
    pub fn assign(self, members: &[Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
        match self {
            Assignor::Range => range::assign(members, topics),
            Assignor::RoundRobin => roundrobin::assign(members, topics),
            Assignor::Sticky => sticky::assign(members, topics),
            Assignor::CooperativeSticky => sticky::assign_cooperatively(members, topics),
        }
    }

    /// What a member says about itself under this assignor (the metadata in JoinGroup).
    pub fn subscription(self, member: &Member, rack: Option<StrBytes>) -> Subscription {
        let user_data = match self {
            Assignor::Range | Assignor::RoundRobin => None,
            Assignor::Sticky => {
                (member.generation >= 0).then(|| protocol::encode_sticky(&member.owned, member.generation))
            }
            Assignor::CooperativeSticky => Some(protocol::encode_generation(member.generation)),
        };
        Subscription {
            topics: member.topics.iter().cloned().collect(),
            user_data,
            // An eager member has given everything back by now; `sticky` remembers in its user data.
            owned: match self.rebalance() {
                Rebalance::Eager => Vec::new(),
                Rebalance::Cooperative => member.owned.iter().cloned().collect(),
            },
            generation: member.generation,
            rack,
        }
    }

    /// The member behind a subscription under this assignor.
    pub fn member(self, id: StrBytes, instance_id: Option<StrBytes>, subscription: Subscription) -> Member {
        let user_data = subscription.user_data.as_deref().unwrap_or_default();
        let (owned, generation) = match self {
            Assignor::Range | Assignor::RoundRobin => (Vec::new(), -1),
            Assignor::Sticky => protocol::decode_sticky(user_data).unwrap_or((Vec::new(), -1)),
            // Subscriptions before version 2 have the generation in the user data only.
            Assignor::CooperativeSticky if subscription.generation < 0 => {
                (subscription.owned, protocol::decode_generation(user_data).unwrap_or(-1))
            }
            Assignor::CooperativeSticky => (subscription.owned, subscription.generation),
        };
        Member {
            id,
            instance_id,
            topics: subscription.topics.into_iter().collect(),
            owned: owned.into_iter().collect(),
            generation,
        }
    }
}

/// Indices of the members in the order of Java's `MemberInfo`: static members first, by their
/// own names, then the others by the ids from the coordinator. So static members get the same
/// partitions after a restart.
fn in_order(members: &[Member]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&index| {
        let member = &members[index];
        (member.instance_id.is_none(), member.instance_id.clone(), member.id.clone())
    });
    order
}

#[cfg(test)]
mod tests {
    use super::super::topic;
    use super::*;
    use proptest::prelude::*;

    /// `a: t0 t1; b: t1` as members; `a=t0-0,t1-2` after a bar is what each holds.
    fn members(text: &str) -> Vec<Member> {
        text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(member).collect()
    }

    fn member(text: &str) -> Member {
        let (id, rest) = text.split_once(':').expect("an id");
        let (topics, owned) = rest.split_once('|').unwrap_or((rest, ""));
        let (id, instance_id) = match id.split_once('/') {
            Some((id, instance)) => (id, Some(StrBytes::from_string(instance.to_owned()))),
            None => (id, None),
        };
        Member {
            id: StrBytes::from_string(id.to_owned()),
            instance_id,
            topics: topics.split_whitespace().map(topic).collect(),
            owned: owned.split_whitespace().map(partition).collect(),
            generation: 1,
        }
    }

    fn partition(text: &str) -> TopicPartition {
        let (name, number) = text.rsplit_once('-').expect("a number");
        TopicPartition::new(topic(name), number.parse().expect("a number"))
    }

    fn topics(text: &str) -> Topics {
        text.split_whitespace()
            .map(|entry| entry.split_once('=').expect("a count"))
            .map(|(name, count)| (topic(name), count.parse().expect("a count")))
            .collect()
    }

    fn text(assigned: &[BTreeSet<TopicPartition>]) -> String {
        let one = |set: &BTreeSet<TopicPartition>| {
            set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assigned.iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn results_are_those_of_java() {
        #[track_caller]
        fn check(assignor: &str, counts: &str, subscribed: &str, expected: &str) {
            let assignor = Assignor::of(assignor).expect("an assignor");
            assert_eq!(text(&assignor.assign(&members(subscribed), &topics(counts))), expected);
        }
        // The examples in the documentation of RangeAssignor.
        check("range", "t0=3 t1=3", "c0: t0 t1; c1: t0 t1", "t0-0 t0-1 t1-0 t1-1 | t0-2 t1-2");
        check("range", "t=5", "c0: t; c1: t; c2: t", "t-0 t-1 | t-2 t-3 | t-4");
        check("range", "t0=2 t1=2", "c0: t0; c1: t0 t1; c2: t1", "t0-0 | t0-1 t1-0 | t1-1");
        check("range", "t=1", "c0: t; c1: t", "t-0 | ");
        check("range", "t=2", "c0: t gone", "t-0 t-1");
        // Static members by their own names, before the others.
        check("range", "t=3", "c0: t; c1/z: t; c2/y: t", "t-2 | t-1 | t-0");
        // The examples in the documentation of RoundRobinAssignor.
        check("roundrobin", "t0=3 t1=3", "c0: t0 t1; c1: t0 t1", "t0-0 t0-2 t1-1 | t0-1 t1-0 t1-2");
        check(
            "roundrobin",
            "t0=1 t1=2 t2=3",
            "c0: t0; c1: t0 t1; c2: t0 t1 t2",
            "t0-0 | t1-0 | t1-1 t2-0 t2-1 t2-2",
        );
        check("roundrobin", "t=2", "c1: other; c0: t", " | t-0 t-1");
        // The examples in the documentation of StickyAssignor: at first, and after one left.
        check(
            "sticky",
            "t0=2 t1=2 t2=2 t3=2",
            "c0: t0 t1 t2 t3; c1: t0 t1 t2 t3; c2: t0 t1 t2 t3",
            "t0-0 t1-1 t3-0 | t0-1 t2-0 t3-1 | t1-0 t2-1",
        );
        check(
            "sticky",
            "t0=2 t1=2 t2=2 t3=2",
            "c0: t0 t1 t2 t3 | t0-0 t1-1 t3-0; c2: t0 t1 t2 t3 | t1-0 t2-1",
            "t0-0 t1-1 t2-0 t3-0 | t0-1 t1-0 t2-1 t3-1",
        );
        check(
            "sticky",
            "t0=1 t1=2 t2=3",
            "c0: t0; c1: t0 t1; c2: t0 t1 t2",
            "t0-0 | t1-0 t1-1 | t2-0 t2-1 t2-2",
        );
        check(
            "sticky",
            "t0=1 t1=2 t2=3",
            "c1: t0 t1 | t1-0 t1-1; c2: t0 t1 t2 | t2-0 t2-1 t2-2",
            "t0-0 t1-0 t1-1 | t2-0 t2-1 t2-2",
        );
        // A newcomer gets nothing in the first round of a cooperative rebalance: what moves
        // has to be given back first. The second round gives it.
        check("cooperative-sticky", "t=4", "a: t | t-0 t-1 t-2 t-3; b: t", "t-0 t-1 | ");
        check("cooperative-sticky", "t=4", "a: t | t-0 t-1; b: t", "t-0 t-1 | t-2 t-3");
        // Two members that claim the same at the same generation both lose it, as in Java.
        check("cooperative-sticky", "t=2", "a: t | t-0 t-1; b: t | t-1", "t-0 | ");
    }

    #[test]
    fn the_newer_claim_holds() {
        let mut claims = members("a: t | t-0; b: t | t-0");
        claims[1].generation = 5;
        assert_eq!(text(&Assignor::Sticky.assign(&claims, &topics("t=2"))), "t-1 | t-0");
    }

    #[test]
    fn members_survive_their_metadata() {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            let before = member("a/x: t u | t-0 u-3");
            let sent = encode_subscription(&assignor.subscription(&before, None), 3);
            let seen = decode_subscription(&sent).expect("a subscription");
            assert_eq!(assignor.member(before.id.clone(), before.instance_id.clone(), seen), before);
        }
    }

    type Case = (Vec<Member>, Topics);

    /// Some members, each with topics (all the same when `equal`) and claims that may be stale,
    /// doubled or about topics that are gone.
    fn cases(equal: bool) -> impl Strategy<Value = Case> {
        let names = || prop::sample::select(vec!["t0", "t1", "t2", "t3"]);
        let owned = prop::collection::btree_set((names(), 0..6i32), 0..8);
        let wanted = prop::collection::btree_set(names(), 1..4);
        let one = (wanted, owned, -1..3i32);
        let counts = prop::collection::btree_map(names(), 1..6i32, 1..4);
        (prop::collection::vec(one, 1..7), counts).prop_map(move |(raw, counts)| {
            let first = raw[0].0.clone();
            let mut members = Vec::new();
            for (index, (wanted, owned, generation)) in raw.into_iter().enumerate() {
                let wanted = if equal { &first } else { &wanted };
                members.push(Member {
                    id: StrBytes::from_string(format!("m{index}")),
                    instance_id: None,
                    topics: wanted.iter().map(|name| topic(name)).collect(),
                    owned: owned
                        .iter()
                        .map(|(name, number)| TopicPartition::new(topic(name), *number))
                        .collect(),
                    generation,
                });
            }
            (members, counts.into_iter().map(|(name, count)| (topic(name), count)).collect())
        })
    }

    /// What somebody wants and what exists.
    fn wanted(members: &[Member], topics: &Topics) -> BTreeSet<TopicPartition> {
        let exist =
            topics.iter().flat_map(|(name, count)| (0..*count).map(|n| TopicPartition::new(name.clone(), n)));
        exist.filter(|at| members.iter().any(|member| member.topics.contains(&at.topic))).collect()
    }

    fn settle(assignor: Assignor, members: &mut [Member], topics: &Topics) -> Vec<BTreeSet<TopicPartition>> {
        let generation = members.iter().map(|member| member.generation).max().unwrap_or(0).max(0);
        for round in 1..=3 {
            let assigned = assignor.assign(members, topics);
            for (member, set) in members.iter_mut().zip(&assigned) {
                member.owned = set.clone();
                member.generation = generation + round;
            }
        }
        members.iter().map(|member| member.owned.clone()).collect()
    }

    proptest! {
        #[test]
        fn every_partition_once_and_only_to_who_wants_it((mut members, topics) in cases(false)) {
            for assignor in Assignor::ALL {
                let assigned = settle(assignor, &mut members, &topics);
                let total: usize = assigned.iter().map(BTreeSet::len).sum();
                let all: BTreeSet<_> = assigned.iter().flatten().cloned().collect();
                prop_assert_eq!(&all, &wanted(&members, &topics));
                prop_assert_eq!(total, all.len(), "a partition came twice");
                for (member, set) in members.iter().zip(&assigned) {
                    prop_assert!(set.iter().all(|at| member.topics.contains(&at.topic)));
                }
            }
        }

        #[test]
        fn equal_members_differ_by_one_at_most((mut members, topics) in cases(true)) {
            for assignor in [Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
                let sizes: Vec<usize> = settle(assignor, &mut members, &topics).iter().map(BTreeSet::len).collect();
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{:?}", sizes);
            }
            // Range balances each topic for itself.
            let assigned = Assignor::Range.assign(&members, &topics);
            for name in topics.keys() {
                let of = |set: &BTreeSet<TopicPartition>| set.iter().filter(|at| at.topic == *name).count();
                let sizes: Vec<usize> = assigned.iter().map(of).collect();
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
            }
        }

        #[test]
        fn no_single_move_makes_sticky_fairer((members, topics) in cases(false)) {
            let assigned = Assignor::Sticky.assign(&members, &topics);
            for (from, set) in assigned.iter().enumerate() {
                for at in set {
                    for (to, member) in members.iter().enumerate() {
                        let fairer = member.topics.contains(&at.topic) && assigned[to].len() + 1 < assigned[from].len();
                        prop_assert!(!fairer, "{} should go from {} to {}", at, from, to);
                    }
                }
            }
        }

        #[test]
        fn nothing_moves_when_nothing_changes((mut members, topics) in cases(false)) {
            for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
                let before = settle(assignor, &mut members, &topics);
                prop_assert_eq!(assignor.assign(&members, &topics), before);
            }
        }

        #[test]
        fn a_leaving_member_moves_only_its_own((mut members, topics) in cases(true), which in any::<prop::sample::Index>()) {
            let before = settle(Assignor::Sticky, &mut members, &topics);
            let gone = which.index(members.len());
            prop_assume!(members.len() > 1);
            members.remove(gone);
            let after = Assignor::Sticky.assign(&members, &topics);
            let kept = before.iter().enumerate().filter(|(index, _)| *index != gone).map(|(_, set)| set);
            for (had, has) in kept.zip(&after) {
                prop_assert!(had.is_subset(has), "had {:?}, has {:?}", had, has);
            }
        }

        #[test]
        fn a_newcomer_takes_only_its_share((mut members, topics) in cases(true)) {
            let before = settle(Assignor::Sticky, &mut members, &topics);
            let mut newcomer = members[0].clone();
            newcomer.id = StrBytes::from_static_str("new");
            newcomer.owned.clear();
            members.push(newcomer);
            let after = Assignor::Sticky.assign(&members, &topics);
            let moved = after.last().unwrap().len();
            let kept: usize = before.iter().zip(&after).map(|(had, has)| had.intersection(has).count()).sum();
            prop_assert_eq!(kept + moved, after.iter().map(BTreeSet::len).sum::<usize>());
            for (had, has) in before.iter().zip(&after) {
                prop_assert!(has.is_subset(had), "an old member was given something that another had");
            }
        }

        #[test]
        fn nothing_is_given_on_before_it_was_given_back((members, topics) in cases(false)) {
            let next = Assignor::CooperativeSticky.assign(&members, &topics);
            for (to, set) in next.iter().enumerate() {
                for at in set {
                    let newest = members.iter().filter(|m| m.owned.contains(at) && m.topics.contains(&at.topic)).map(|m| m.generation).max();
                    let other = members.iter().enumerate().any(|(from, m)| from != to && m.owned.contains(at) && Some(m.generation) == newest);
                    prop_assert!(!other, "{} is still held by another", at);
                }
            }
        }
    }
}
