//! How far groups are behind: the requests that tell it, as data, and a [`Survey`] that joins
//! the answers into a row for each partition.
//!
//! ```text
//! every broker        ListGroups                             its groups
//! each coordinator    DescribeGroups, ConsumerGroupDescribe   who holds what
//! each coordinator    OffsetFetch without topics              what is committed
//! each leader         ListOffsets earliest and latest         from where to where the log goes
//! each leader         Fetch of one record (`samples`)         when the next record was written
//! ```

use super::assign::decode_assignment;
use super::{TopicPartition, by_topic, error};
use crate::kafka::consumer::batches;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, FetchRequest, GroupId, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest,
    ListOffsetsResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// Which records count: all, or those whose transaction has not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All records as they are written.
    #[default]
    ReadUncommitted,
    /// Only up to the first open transaction, without what was aborted.
    ReadCommitted,
}

impl Isolation {
    /// The number in requests.
    pub fn level(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}

/// The place in a log whose offset is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The first offset that is still there.
    Earliest,
    /// The one after the last.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970.
    Time(i64),
}

impl At {
    /// The number in ListOffsets.
    pub fn timestamp(self) -> i64 {
        match self {
            At::Earliest => -2,
            At::Latest => -1,
            At::Time(millis) => millis,
        }
    }
}

/// The committed offset to read next, leader epoch (-1: unknown) and text.
pub type CommittedOffset = (i64, i32, StrBytes);

/// Asks a broker for the groups that it coordinates.
pub fn list_groups() -> ListGroupsRequest {
    ListGroupsRequest::default()
}

/// Asks a coordinator who is in these classic groups.
pub fn describe_groups(groups: impl IntoIterator<Item = StrBytes>) -> DescribeGroupsRequest {
    DescribeGroupsRequest::default().with_groups(groups.into_iter().map(GroupId).collect())
}

/// Asks a coordinator who is in these groups of KIP-848.
pub fn describe_consumer_groups(groups: impl IntoIterator<Item = StrBytes>) -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest::default().with_group_ids(groups.into_iter().map(GroupId).collect())
}

/// Asks a coordinator what a group has committed for these partitions, or for all that it ever
/// committed (from version 2). A `member` of KIP-848 says who and at which epoch it is (from
/// version 9). Offsets of open transactions are waited for (from version 7).
pub fn offset_fetch(
    group: &StrBytes,
    member: Option<(StrBytes, i32)>,
    partitions: Option<&BTreeSet<TopicPartition>>,
    version: i16,
) -> OffsetFetchRequest {
    let topics = partitions.map(|partitions| by_topic(partitions.iter().map(|at| (at, ()))));
    let numbers = |partitions: Vec<(i32, ())>| partitions.into_iter().map(|(number, ())| number).collect();
    let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
    if version < 8 {
        let one = |(name, partitions)| {
            OffsetFetchRequestTopic::default().with_name(name).with_partition_indexes(numbers(partitions))
        };
        let topics = topics.map(|topics| topics.into_iter().map(one).collect());
        return request.with_group_id(GroupId(group.clone())).with_topics(topics);
    }
    let one = |(name, partitions)| {
        OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(numbers(partitions))
    };
    let topics = topics.map(|topics| topics.into_iter().map(one).collect());
    let mut asked =
        OffsetFetchRequestGroup::default().with_group_id(GroupId(group.clone())).with_topics(topics);
    if let Some((id, epoch)) = member
        && version >= 9
    {
        asked = asked.with_member_id(Some(id)).with_member_epoch(epoch);
    }
    request.with_groups(vec![asked])
}

/// What a group has committed in each partition that was asked for, out of either form of the
/// answer; none where it has committed nothing.
#[expect(clippy::type_complexity, reason = "a row of the answer; a name would only hide it")]
pub fn read_offset_fetch(
    answer: &OffsetFetchResponse,
    group: &StrBytes,
) -> Result<Vec<(TopicPartition, Result<Option<CommittedOffset>, ResponseError>)>, ResponseError> {
    let row = |topic: &_, number, code, offset: i64, epoch, text: &Option<StrBytes>| {
        let committed = (offset >= 0).then(|| (offset, epoch, text.clone().unwrap_or_default()));
        (TopicPartition::new(Clone::clone(topic), number), error(code).map_or(Ok(committed), Err))
    };
    if let Some(found) = answer.groups.iter().find(|found| found.group_id.0 == *group) {
        if let Some(error) = error(found.error_code) {
            return Err(error);
        }
        let rows =
            found.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |at| (&topic.name, at)));
        let rows = rows.map(|(topic, at)| {
            let (offset, epoch) = (at.committed_offset, at.committed_leader_epoch);
            row(topic, at.partition_index, at.error_code, offset, epoch, &at.metadata)
        });
        return Ok(rows.collect());
    }
    if let Some(error) = error(answer.error_code) {
        return Err(error);
    }
    let rows =
        answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |at| (&topic.name, at)));
    let rows = rows.map(|(topic, at)| {
        let (offset, epoch) = (at.committed_offset, at.committed_leader_epoch);
        row(topic, at.partition_index, at.error_code, offset, epoch, &at.metadata)
    });
    Ok(rows.collect())
}

/// Asks the leader of these partitions for the offset at a place. With each goes the leader
/// epoch that is known (-1: none), so that a broker that leads no more says so (version 4).
pub fn list_offsets<'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, i32)>,
    at: At,
    isolation: Isolation,
    version: i16,
) -> ListOffsetsRequest {
    let one = |(number, epoch)| {
        let partition =
            ListOffsetsPartition::default().with_partition_index(number).with_timestamp(at.timestamp());
        if version >= 4 { partition.with_current_leader_epoch(epoch) } else { partition }
    };
    let topics = by_topic(partitions).into_iter().map(|(name, partitions)| {
        ListOffsetsTopic::default().with_name(name).with_partitions(partitions.into_iter().map(one).collect())
    });
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
    if version >= 2 { request.with_isolation_level(isolation.level()) } else { request }
}

/// Asks the leader of a partition for the batch that holds one offset, and no more. The
/// answer's records go to [`timestamp_of`].
pub fn fetch_one(sample: &Sample, topic_id: Uuid, version: i16) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(sample.partition.partition)
        .with_fetch_offset(sample.offset)
        .with_partition_max_bytes(1);
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let topic = if version >= 13 {
        topic.with_topic_id(topic_id)
    } else {
        topic.with_topic(sample.partition.topic.clone())
    };
    FetchRequest::default().with_max_wait_ms(0).with_min_bytes(1).with_max_bytes(1).with_topics(vec![topic])
}

/// When the batch with this offset was begun, in milliseconds since 1970: the record at the
/// offset is as old or younger by the span of its batch, so what is derived from it is never
/// too small. None when the records hold no such batch.
pub fn timestamp_of(records: &[u8], offset: i64) -> Option<i64> {
    batches::heads(records).find(|head| head.next_offset() > offset).map(|head| head.base_timestamp)
}

/// A record whose timestamp is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// Where it is.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
}

/// The member that reads a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its id in the group.
    pub member_id: StrBytes,
    /// What it calls itself.
    pub client_id: StrBytes,
    /// From where it comes.
    pub host: StrBytes,
}

/// How far a group is behind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The group.
    pub group: StrBytes,
    /// The partition.
    pub partition: TopicPartition,
    /// The offset to read next; none when nothing was committed.
    pub committed: Option<i64>,
    /// The first offset that is still there.
    pub log_start: Option<i64>,
    /// The one after the last.
    pub log_end: Option<i64>,
    /// Offsets between committed and end; 0 when the commit is beyond the end.
    pub lag: Option<i64>,
    /// The age of the record to be read next; zero when there is none, none when not known.
    pub behind: Option<Duration>,
    /// Who reads it.
    pub owner: Option<Owner>,
}

/// Joins the answers of brokers about groups and logs.
#[derive(Debug, Default)]
pub struct Survey {
    groups: BTreeMap<StrBytes, Group>,
    logs: BTreeMap<TopicPartition, (Option<i64>, Option<i64>)>,
    times: BTreeMap<Sample, i64>,
}

#[derive(Debug, Default)]
struct Group {
    is_consumer: bool,
    state: StrBytes,
    committed: BTreeMap<TopicPartition, i64>,
    owners: BTreeMap<TopicPartition, Owner>,
}

impl Survey {
    /// Takes what a broker coordinates. Groups that are not consumers' (Connect's workers, share
    /// groups) are left out.
    pub fn listed(&mut self, answer: &ListGroupsResponse) -> Result<(), ResponseError> {
        if let Some(error) = error(answer.error_code) {
            return Err(error);
        }
        for listed in &answer.groups {
            // An empty type is that of groups which only commit.
            if listed.protocol_type.is_empty() || listed.protocol_type.as_str() == "consumer" {
                let group = self.groups.entry(listed.group_id.0.clone()).or_default();
                group.is_consumer = listed.group_type.eq_ignore_ascii_case("consumer");
                group.state = listed.group_state.clone();
            }
        }
        Ok(())
    }

    /// Watches a group without having listed it.
    pub fn watch(&mut self, group: StrBytes) {
        self.groups.entry(group).or_default();
    }

    /// The groups to describe with [`describe_groups`], and those with [`describe_consumer_groups`].
    pub fn groups(&self) -> (Vec<StrBytes>, Vec<StrBytes>) {
        let (consumer, classic): (Vec<_>, Vec<_>) =
            self.groups.iter().partition(|(_, group)| group.is_consumer);
        let names =
            |groups: Vec<(&StrBytes, &Group)>| groups.into_iter().map(|(name, _)| name.clone()).collect();
        (names(classic), names(consumer))
    }

    /// The state of a group in the coordinator's words (`Stable`, `Empty` …).
    pub fn state(&self, group: &StrBytes) -> Option<&str> {
        self.groups.get(group).map(|group| group.state.as_str())
    }

    /// Takes who is in classic groups. Groups with an error are left as they are.
    pub fn described(&mut self, answer: &DescribeGroupsResponse) {
        for described in answer.groups.iter().filter(|described| described.error_code == 0) {
            let Some(group) = self.groups.get_mut(&described.group_id.0) else { continue };
            group.state = described.group_state.clone();
            group.owners.clear();
            for member in &described.members {
                // While the group rebalances, assignments are empty.
                let Ok(assignment) = decode_assignment(&member.member_assignment) else { continue };
                let owner = Owner {
                    member_id: member.member_id.clone(),
                    client_id: member.client_id.clone(),
                    host: member.client_host.clone(),
                };
                group.owners.extend(assignment.partitions.into_iter().map(|at| (at, owner.clone())));
            }
        }
    }

    /// Takes who is in groups of KIP-848.
    pub fn described_consumers(&mut self, answer: &ConsumerGroupDescribeResponse) {
        for described in answer.groups.iter().filter(|described| described.error_code == 0) {
            let Some(group) = self.groups.get_mut(&described.group_id.0) else { continue };
            group.state = described.group_state.clone();
            group.owners.clear();
            for member in &described.members {
                let owner = Owner {
                    member_id: member.member_id.clone(),
                    client_id: member.client_id.clone(),
                    host: member.client_host.clone(),
                };
                for topic in &member.assignment.topic_partitions {
                    let name = &topic.topic_name;
                    let held =
                        topic.partitions.iter().map(|number| TopicPartition::new(name.clone(), *number));
                    group.owners.extend(held.map(|at| (at, owner.clone())));
                }
            }
        }
    }

    /// Takes what a group has committed. Partitions with an error are left as they are.
    pub fn committed(&mut self, group: &StrBytes, answer: &OffsetFetchResponse) -> Result<(), ResponseError> {
        let rows = read_offset_fetch(answer, group)?;
        let group = self.groups.entry(group.clone()).or_default();
        for (at, committed) in rows {
            if let Ok(Some((offset, ..))) = committed {
                group.committed.insert(at, offset);
            }
        }
        Ok(())
    }

    /// The partitions whose logs are to be measured: all that a group reads or has read.
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        let groups = self.groups.values();
        groups.flat_map(|group| group.committed.keys().chain(group.owners.keys())).cloned().collect()
    }

    /// Takes from where or to where logs go; `at` is what was asked.
    pub fn measured(&mut self, at: At, answer: &ListOffsetsResponse) {
        for topic in &answer.topics {
            for row in topic.partitions.iter().filter(|row| row.error_code == 0) {
                let partition = TopicPartition::new(topic.name.clone(), row.partition_index);
                let log = self.logs.entry(partition).or_default();
                match at {
                    At::Earliest => log.0 = Some(row.offset),
                    At::Latest => log.1 = Some(row.offset),
                    At::Time(_) => {}
                }
            }
        }
    }

    /// The records whose time tells how old what is to be read next is.
    pub fn samples(&self) -> BTreeSet<Sample> {
        let rows = self.groups.values().flat_map(|group| &group.committed);
        rows.filter_map(|(partition, committed)| self.next_record(partition, *committed)).collect()
    }

    /// Takes when a record was written, in milliseconds since 1970.
    pub fn sampled(&mut self, sample: Sample, timestamp: i64) {
        self.times.insert(sample, timestamp);
    }

    /// The record that is read next; none when there is none or the log is not measured.
    fn next_record(&self, partition: &TopicPartition, committed: i64) -> Option<Sample> {
        let (Some(start), Some(end)) = *self.logs.get(partition)? else { return None };
        (committed < end && start < end)
            .then(|| Sample { partition: partition.clone(), offset: committed.max(start) })
    }

    /// A row for each partition of each group; `now` is in milliseconds since 1970.
    pub fn rows(&self, now: i64) -> Vec<Row> {
        let mut rows = Vec::new();
        for (name, group) in &self.groups {
            let partitions: BTreeSet<&TopicPartition> =
                group.committed.keys().chain(group.owners.keys()).collect();
            for partition in partitions {
                let committed = group.committed.get(partition).copied();
                let (log_start, log_end) = self.logs.get(partition).copied().unwrap_or_default();
                let lag = committed.zip(log_end).map(|(committed, end)| (end - committed).max(0));
                let behind = match committed.and_then(|committed| self.next_record(partition, committed)) {
                    Some(sample) => self.times.get(&sample).map(|written| millis_between(*written, now)),
                    None => lag.filter(|lag| *lag == 0).map(|_| Duration::ZERO),
                };
                rows.push(Row {
                    group: name.clone(),
                    partition: partition.clone(),
                    committed,
                    log_start,
                    log_end,
                    lag,
                    behind,
                    owner: group.owners.get(partition).cloned(),
                });
            }
        }
        rows
    }
}

fn millis_between(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::assign::{Assignment, encode_assignment};
    use super::super::topic;
    use super::*;
    use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
    use kafka_protocol::messages::list_groups_response::ListedGroup;
    use kafka_protocol::messages::list_offsets_response::{
        ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
    };
    use kafka_protocol::messages::offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };
    use kafka_protocol::messages::{RequestKind, TopicName};

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    fn at(number: i32) -> TopicPartition {
        TopicPartition::new(topic("t"), number)
    }

    fn offsets(rows: &[(i32, i64)]) -> ListOffsetsResponse {
        let row = |(number, offset): &(i32, i64)| {
            ListOffsetsPartitionResponse::default().with_partition_index(*number).with_offset(*offset)
        };
        let topic = ListOffsetsTopicResponse::default().with_name(topic("t"));
        ListOffsetsResponse::default()
            .with_topics(vec![topic.with_partitions(rows.iter().map(row).collect())])
    }

    fn committed(rows: &[(i32, i64)]) -> OffsetFetchResponse {
        let row = |(number, offset): &(i32, i64)| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(*number)
                .with_committed_offset(*offset)
        };
        let topic = OffsetFetchResponseTopics::default().with_name(topic("t"));
        let topic = topic.with_partitions(rows.iter().map(row).collect());
        let group =
            OffsetFetchResponseGroup::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
        OffsetFetchResponse::default().with_groups(vec![group])
    }

    #[test]
    fn answers_become_rows() {
        let mut survey = Survey::default();
        let listed = |name, kind| {
            ListedGroup::default().with_group_id(GroupId(text(name))).with_protocol_type(text(kind))
        };
        let groups = vec![listed("g", "consumer"), listed("workers", "connect")];
        survey.listed(&ListGroupsResponse::default().with_groups(groups)).expect("no error");
        assert_eq!(survey.groups(), (vec![text("g")], vec![]));

        let assignment = Assignment { partitions: vec![at(0), at(3)], user_data: None };
        let member = DescribedGroupMember::default()
            .with_member_id(text("m"))
            .with_client_host(text("/10.0.0.1"))
            .with_member_assignment(encode_assignment(&assignment, 3));
        let group =
            DescribedGroup::default().with_group_id(GroupId(text("g"))).with_group_state(text("Stable"));
        survey.described(
            &DescribeGroupsResponse::default().with_groups(vec![group.with_members(vec![member])]),
        );
        assert_eq!(survey.state(&text("g")), Some("Stable"));

        survey.committed(&text("g"), &committed(&[(0, 40), (1, 100), (2, 5), (4, -1)])).expect("no error");
        assert_eq!(survey.partitions(), [at(0), at(1), at(2), at(3)].into());
        survey.measured(At::Earliest, &offsets(&[(0, 10), (1, 0), (2, 20), (3, 0)]));
        survey.measured(At::Latest, &offsets(&[(0, 100), (1, 100), (2, 30), (3, 7)]));

        let sample = |number, offset| Sample { partition: at(number), offset };
        // What retention took away cannot be read: the sample is the oldest that is left.
        assert_eq!(survey.samples(), [sample(0, 40), sample(2, 20)].into());
        survey.sampled(sample(0, 40), 1_000);
        let rows: Vec<_> = survey
            .rows(61_000)
            .into_iter()
            .map(|row| {
                (
                    row.partition.partition,
                    row.committed,
                    row.log_end,
                    row.lag,
                    row.behind,
                    row.owner.is_some(),
                )
            })
            .collect();
        let expected = [
            (0, Some(40), Some(100), Some(60), Some(Duration::from_secs(60)), true),
            (1, Some(100), Some(100), Some(0), Some(Duration::ZERO), false),
            (2, Some(5), Some(30), Some(25), None, false),
            (3, None, Some(7), None, None, true),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn requests_can_be_written_in_every_version() {
        let wanted: BTreeSet<TopicPartition> = [at(0), at(1)].into();
        for version in 1..=9 {
            for partitions in [Some(&wanted), None] {
                if partitions.is_none() && version < 2 {
                    continue;
                }
                let request = offset_fetch(&text("g"), Some((text("m"), 3)), partitions, version);
                encodes(RequestKind::OffsetFetch(request), version);
            }
        }
        for version in 1..=8 {
            let request =
                list_offsets(wanted.iter().map(|at| (at, 4)), At::Latest, Isolation::ReadCommitted, version);
            encodes(RequestKind::ListOffsets(request), version);
        }
        for version in 4..=17 {
            let sample = Sample { partition: at(0), offset: 9 };
            encodes(RequestKind::Fetch(fetch_one(&sample, Uuid::from_u128(5), version)), version);
        }
    }

    fn encodes(request: RequestKind, version: i16) {
        let outcome = request.encode(&mut bytes::BytesMut::new(), version);
        assert!(outcome.is_ok(), "version {version}: {outcome:?} of {request:?}");
    }

    #[test]
    fn topic_names_sort_as_text() {
        let mut names: Vec<TopicName> = ["b", "a.x", "a"].map(topic).into();
        names.sort();
        assert_eq!(names, ["a", "a.x", "b"].map(topic));
    }
}
