//! A coordinator as KIP-848 describes it: it shares the partitions itself, and gives one to a
//! member only when no other has it or still gives it back.

use super::{PARTITIONS, SESSION, Sender, World, code};
use kafka_protocol::error::ResponseError as E;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ResponseKind};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use uuid::Uuid;

pub(super) const TOPIC_ID: Uuid = Uuid::from_u128(99);

/// The group. All of it is stored with each change, so a move to another broker loses nothing.
#[derive(Debug, Default)]
pub(super) struct Group {
    epoch: i32,
    members: BTreeMap<StrBytes, Member>,
}

#[derive(Debug, Default)]
struct Member {
    epoch: i32,
    /// What it is to hold in the end.
    target: BTreeSet<i32>,
    /// What it may hold now.
    assigned: BTreeSet<i32>,
    /// What it was told to give back and has not yet.
    revoking: BTreeSet<i32>,
    session_until: Option<Instant>,
}

impl Group {
    /// Shares anew: everybody keeps what it has up to its share.
    fn share(&mut self) {
        self.epoch += 1;
        let mut free: BTreeSet<i32> = (0..PARTITIONS).collect();
        let count = self.members.len().max(1);
        let (share, more) = (PARTITIONS as usize / count, PARTITIONS as usize % count);
        for (place, member) in self.members.values_mut().enumerate() {
            let size = share + usize::from(place < more);
            let kept: BTreeSet<i32> =
                member.target.iter().copied().filter(|at| free.contains(at)).take(size).collect();
            free.retain(|at| !kept.contains(at));
            member.target = kept;
        }
        for (place, member) in self.members.values_mut().enumerate() {
            while member.target.len() < share + usize::from(place < more) {
                member.target.extend(free.pop_first());
            }
        }
    }

    fn remove(&mut self, id: &StrBytes) {
        if self.members.remove(id).is_some() {
            self.share();
        }
    }

    fn reconcile(&mut self, id: &StrBytes, owned: Option<BTreeSet<i32>>) {
        let others = self.members.iter().filter(|(other, _)| *other != id).map(|(_, member)| member);
        let taken: BTreeSet<i32> =
            others.flat_map(|other| other.assigned.union(&other.revoking)).copied().collect();
        let epoch = self.epoch;
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(owned) = &owned {
            member.revoking.retain(|at| owned.contains(at));
        }
        if !member.revoking.is_empty() {
            return;
        }
        member.revoking = member.assigned.difference(&member.target).copied().collect();
        if let Some(owned) = &owned {
            // What never reached the member need not come back.
            member.revoking.retain(|at| owned.contains(at));
        }
        member.assigned.retain(|at| member.target.contains(at));
        if member.revoking.is_empty() {
            member.assigned.extend(member.target.iter().filter(|at| !taken.contains(at)));
            member.epoch = epoch;
        }
    }
}

impl World {
    pub(super) fn expire_consumers(&mut self) {
        let now = self.now;
        let expired = |member: &Member| member.session_until.is_some_and(|until| now >= until);
        let members = self.group.members.iter().filter(|(_, member)| expired(member));
        for id in members.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.group.remove(&id);
        }
    }

    pub(super) fn beat(&mut self, from: Sender, beat: ConsumerGroupHeartbeatRequest, refused: Option<E>) {
        let id = beat.member_id;
        let error = refused.or_else(|| match beat.member_epoch {
            0 => {
                self.group.members.insert(id.clone(), Member::default());
                self.group.share();
                None
            }
            -1 => {
                self.group.remove(&id);
                None
            }
            epoch => match self.group.members.get(&id) {
                None => Some(E::UnknownMemberId),
                // One epoch behind is a member whose answer was lost.
                Some(member) => (epoch > member.epoch).then_some(E::FencedMemberEpoch),
            },
        });
        let mut answer = ConsumerGroupHeartbeatResponse::default().with_error_code(code(error));
        if error.is_none() {
            let assigned = |group: &Group| group.members.get(&id).map(|member| member.assigned.clone());
            let before = assigned(&self.group);
            // A request that says everything is answered with everything.
            let full = beat.rebalance_timeout_ms != -1;
            let owned = beat
                .topic_partitions
                .map(|topics| topics.into_iter().flat_map(|topic| topic.partitions).collect());
            self.group.reconcile(&id, owned);
            let changed = full || assigned(&self.group) != before;
            answer = answer.with_member_epoch(beat.member_epoch.min(0)).with_heartbeat_interval_ms(3000);
            if let Some(member) = self.group.members.get_mut(&id) {
                member.session_until = Some(self.now + SESSION);
                let numbers = member.assigned.iter().copied().collect();
                let topic = TopicPartitions::default().with_topic_id(TOPIC_ID).with_partitions(numbers);
                let assignment = Assignment::default().with_topic_partitions(vec![topic]);
                answer = answer
                    .with_member_epoch(member.epoch)
                    .with_assignment(Some(assignment).filter(|_| changed));
            }
        }
        self.reply(from, ResponseKind::ConsumerGroupHeartbeat(answer));
    }

    /// Why a commit is not taken.
    pub(super) fn consumer_standing(&self, id: &StrBytes, epoch: i32) -> Option<E> {
        match self.group.members.get(id) {
            None => Some(E::UnknownMemberId),
            Some(member) => (epoch != member.epoch).then_some(E::StaleMemberEpoch),
        }
    }

    /// Whether another member than this one has the partition.
    pub(super) fn consumer_has(&self, not: &StrBytes, number: i32) -> bool {
        let others = self.group.members.iter().filter(|(id, _)| *id != not);
        others
            .map(|(_, member)| member)
            .any(|member| member.assigned.contains(&number) || member.revoking.contains(&number))
    }
}
