//! Members of a group led by hand: each answer of the coordinator is written down, and what
//! the member does about it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError as E;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment as Target, TopicPartitions};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::kafka::consumer::assign::{
    Assignment, Assignor, Member, Topics, decode_assignment, encode_assignment, encode_subscription,
};
use wire::kafka::consumer::membership::{
    Commit, GroupConfig, GroupEvent, GroupProtocol, Interest, KnownTopics, Membership,
};
use wire::kafka::consumer::{Lease, Outgoing, TopicPartition, Unanswered, Versions, topic};

const ID: Uuid = Uuid::from_u128(7);

/// A member and what it was seen to do.
struct Bench {
    member: Membership,
    now: Instant,
    open: Vec<Outgoing>,
    leases: BTreeMap<TopicPartition, Lease>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn at(number: i32) -> TopicPartition {
    TopicPartition::new(topic("t"), number)
}

fn numbers<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    partitions.into_iter().map(|at| at.partition.to_string()).collect::<Vec<_>>().join(",")
}

fn config(protocol: GroupProtocol, assignor: Assignor) -> GroupConfig {
    GroupConfig { protocol, assignors: vec![assignor], ..GroupConfig::new("g") }
}

impl Bench {
    fn with(config: GroupConfig, versions: Versions) -> Self {
        let random = fastrand::Rng::with_seed(1);
        let member = Membership::new(config, Interest::topics(["t"]), versions, random);
        Self { member, now: Instant::now(), open: Vec::new(), leases: BTreeMap::new() }
    }

    fn classic(assignor: Assignor) -> Self {
        Self::with(config(GroupProtocol::Classic, assignor), Versions::all())
    }

    fn consumer() -> Self {
        Self::with(config(GroupProtocol::Consumer, Assignor::Range), Versions::all())
    }

    /// All that happens now, in words.
    fn happens(&mut self) -> String {
        let mut seen = Vec::new();
        while let Some(event) = self.member.poll(self.now) {
            seen.push(self.words(event));
        }
        let deadline = self.member.deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "it does not run in circles");
        seen.retain(|words| !words.is_empty());
        seen.join("; ")
    }

    fn words(&mut self, event: GroupEvent) -> String {
        match event {
            GroupEvent::Send(request) => {
                let mut bytes = BytesMut::new();
                let written = request.request.encode(&mut bytes, request.version);
                assert!(written.is_ok(), "version {}: {written:?} of {:?}", request.version, request.request);
                let words = request_words(&request.request);
                self.open.push(*request);
                words
            }
            GroupEvent::Coordinator { .. } => String::new(),
            GroupEvent::NeedMetadata { .. } => "metadata".to_owned(),
            GroupEvent::Assigned { partitions, lease, .. } => {
                self.leases.extend(partitions.iter().map(|at| (at.clone(), lease)));
                format!("assigned {}", numbers(&partitions))
            }
            GroupEvent::Starts(starts) => {
                let one = |at: &wire::kafka::consumer::membership::Start| match &at.committed {
                    Some((offset, ..)) => format!("{}@{offset}", at.partition.partition),
                    None => format!("{}@?", at.partition.partition),
                };
                format!("start {}", starts.iter().map(one).collect::<Vec<_>>().join(","))
            }
            GroupEvent::StartRefused { partition, error } => format!("no start {partition} {error:?}"),
            GroupEvent::Revoke { partitions, .. } => format!("revoke {}", numbers(&partitions)),
            GroupEvent::Lost { partitions } => format!("lost {}", numbers(&partitions)),
            GroupEvent::Committed(commit) => {
                format!("committed {}@{}", commit.partition.partition, commit.offset)
            }
            GroupEvent::NotCommitted(commit, error) => {
                format!("not committed {}@{}: {error:?}", commit.partition.partition, commit.offset)
            }
            GroupEvent::Left => "left".to_owned(),
            GroupEvent::Failed(error) => format!("failed {:?}", error.error),
        }
    }

    fn later(&mut self, pause: Duration) -> String {
        self.now += pause;
        self.happens()
    }

    /// Answers the oldest open request of the kind that makes an answer of this kind.
    fn answer(&mut self, answer: impl Into<ResponseKind>) -> String {
        let answer = answer.into();
        let fits =
            |request: &Outgoing| kind(&format!("{:?}", request.request)) == kind(&format!("{answer:?}"));
        let index = self.open.iter().position(fits).expect("a request that this answers");
        let request = self.open.remove(index);
        self.member.answer(request.id, Ok(answer), self.now);
        self.happens()
    }

    /// There is no answer to the newest request.
    fn lose(&mut self) -> String {
        let request = self.open.pop().expect("a request");
        self.member.answer(request.id, Err(Unanswered), self.now);
        self.happens()
    }

    fn found(&mut self) -> String {
        let place = Coordinator::default().with_node_id(1.into()).with_host(text("h")).with_port(9092);
        self.answer(FindCoordinatorResponse::default().with_coordinators(vec![place]))
    }

    fn joined(&mut self, generation: i32, leader: &str) -> String {
        self.answer(join_answer(generation, leader, "range"))
    }

    fn synced(&mut self, held: &[i32]) -> String {
        let partitions = held.iter().map(|number| at(*number)).collect();
        let assignment = encode_assignment(&Assignment { partitions, user_data: None }, 3);
        self.answer(SyncGroupResponse::default().with_assignment(assignment))
    }

    fn starts(&mut self, held: &[i32]) -> String {
        let row = |number: &i32| {
            OffsetFetchResponsePartitions::default().with_partition_index(*number).with_committed_offset(100)
        };
        let topic = OffsetFetchResponseTopics::default().with_name(topic("t"));
        let topic = topic.with_partitions(held.iter().map(row).collect());
        let group =
            OffsetFetchResponseGroup::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
        self.answer(OffsetFetchResponse::default().with_groups(vec![group]))
    }

    /// A classic member that holds these partitions in generation 5.
    fn holding(mut self, held: &[i32], assignor: &str) -> Self {
        self.happens();
        self.found();
        self.answer(join_answer(5, "other", assignor));
        self.synced(held);
        if !held.is_empty() {
            self.starts(held);
        }
        self
    }

    fn commit(&mut self, number: i32, offset: i64) -> String {
        let lease = self.leases[&at(number)];
        let metadata = StrBytes::default();
        self.member.commit(vec![Commit { partition: at(number), lease, offset, leader_epoch: 3, metadata }]);
        self.happens()
    }

    fn committed(&mut self, rows: &[(i32, i16)]) -> String {
        let row = |(number, code): &(i32, i16)| {
            OffsetCommitResponsePartition::default().with_partition_index(*number).with_error_code(*code)
        };
        let topic = OffsetCommitResponseTopic::default().with_name(topic("t"));
        let topic = topic.with_partitions(rows.iter().map(row).collect());
        self.answer(OffsetCommitResponse::default().with_topics(vec![topic]))
    }

    fn confirm(&mut self) -> String {
        self.member.revoked();
        self.happens()
    }

    fn told(&mut self, epoch: i32, held: Option<&[i32]>) -> String {
        let target = held.map(|held| {
            let topic = TopicPartitions::default().with_topic_id(ID).with_partitions(held.to_vec());
            Target::default().with_topic_partitions(if held.is_empty() { vec![] } else { vec![topic] })
        });
        let answer =
            ConsumerGroupHeartbeatResponse::default().with_member_epoch(epoch).with_assignment(target);
        self.answer(answer.with_member_id(Some(text("m"))).with_heartbeat_interval_ms(5000))
    }

    fn knows_topics(&mut self) -> String {
        let known =
            KnownTopics { counts: Topics::from([(topic("t"), 4)]), ids: BTreeMap::from([(ID, topic("t"))]) };
        self.member.metadata(&known, self.now);
        self.happens()
    }

    /// A member of KIP-848 that holds these partitions at epoch 5.
    fn reconciled(mut self, held: &[i32]) -> Self {
        self.happens();
        self.found();
        self.told(5, Some(held));
        self.knows_topics();
        self.told(5, None);
        self.starts(held);
        self
    }
}

/// `JoinGroup` of `JoinGroup(JoinGroupRequest { … })`.
fn kind(debug: &str) -> &str {
    debug.split('(').next().unwrap_or_default()
}

fn join_answer(generation: i32, leader: &str, assignor: &str) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_generation_id(generation)
        .with_leader(text(leader))
        .with_member_id(text("m"))
        .with_protocol_name(Some(text(assignor)))
}

fn request_words(request: &RequestKind) -> String {
    match request {
        RequestKind::FindCoordinator(_) => "find".to_owned(),
        RequestKind::JoinGroup(join) => format!("join {:?}", join.member_id.as_str()),
        RequestKind::SyncGroup(sync) => {
            let one = |given: &sync_group_request::SyncGroupRequestAssignment| {
                let partitions = decode_assignment(&given.assignment).expect("an assignment").partitions;
                format!(" {}:{}", given.member_id.as_str(), numbers(&partitions))
            };
            format!("sync {}{}", sync.generation_id, sync.assignments.iter().map(one).collect::<String>())
        }
        RequestKind::Heartbeat(beat) => format!("beat {}", beat.generation_id),
        RequestKind::LeaveGroup(_) => "leave".to_owned(),
        RequestKind::OffsetFetch(_) => "ask starts".to_owned(),
        RequestKind::OffsetCommit(commit) => format!("commit in {}", commit.generation_id_or_member_epoch),
        RequestKind::ConsumerGroupHeartbeat(beat) => {
            let mut words = format!("beat {}", beat.member_epoch);
            if let Some(names) = &beat.subscribed_topic_names {
                words += &format!(" wants {}", names.len());
            }
            if let Some(pattern) = &beat.subscribed_topic_regex {
                words += &format!(" wants {:?}", pattern.as_str());
            }
            if let Some(held) = &beat.topic_partitions {
                let held = held.iter().flat_map(|topic| &topic.partitions).map(ToString::to_string);
                words += &format!(" holds [{}]", held.collect::<Vec<_>>().join(","));
            }
            words
        }
        other => panic!("not a request of a member: {other:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_follower_joins() {
    let mut bench = Bench::classic(Assignor::Range);
    assert_eq!(bench.happens(), "find");
    assert_eq!(bench.found(), r#"join """#);
    let required =
        JoinGroupResponse::default().with_error_code(E::MemberIdRequired.code()).with_member_id(text("m"));
    assert_eq!(bench.answer(required), r#"join "m""#);
    assert_eq!(bench.joined(5, "other"), "sync 5");
    assert_eq!(bench.synced(&[0, 2]), "assigned 0,2; ask starts");
    assert_eq!(bench.starts(&[0, 2]), "start 0@100,2@100");
    assert_eq!(bench.later(SECOND), "");
    assert_eq!(bench.later(2 * SECOND), "beat 5");
    assert_eq!(bench.answer(HeartbeatResponse::default()), "");
    assert_eq!(bench.later(3 * SECOND), "beat 5");
}

#[test]
fn a_leader_shares() {
    let mut bench = Bench::classic(Assignor::Range);
    bench.happens();
    bench.found();
    let member = |id: &str, names: &[&str]| {
        let topics = names.iter().map(|name| topic(name)).collect();
        let subscription =
            Assignor::Range.subscription(&Member { topics, generation: -1, ..Member::default() }, None);
        let metadata = encode_subscription(&subscription, 1);
        JoinGroupResponseMember::default().with_member_id(text(id)).with_metadata(metadata)
    };
    let unreadable =
        JoinGroupResponseMember::default().with_member_id(text("x")).with_metadata(Bytes::from_static(b"?"));
    let members = vec![member("m", &["t"]), member("n", &["t"]), unreadable];
    assert_eq!(bench.answer(join_answer(1, "m", "range").with_members(members)), "metadata");
    // Waiting for it may take longer than a session.
    assert_eq!(bench.later(3 * SECOND), "beat 1");
    assert_eq!(bench.knows_topics(), "sync 1 m:0,1 n:2,3");
    assert_eq!(bench.synced(&[0, 1]), "assigned 0,1; ask starts");
    // The topic grew.
    let known = KnownTopics { counts: Topics::from([(topic("t"), 5)]), ids: BTreeMap::new() };
    bench.member.metadata(&known, bench.now);
    assert_eq!(bench.happens(), "revoke 0,1");
}

#[test]
fn a_leader_that_is_to_skip_gives_nothing() {
    let mut bench = Bench::classic(Assignor::Range);
    bench.happens();
    bench.found();
    assert_eq!(bench.answer(join_answer(4, "m", "range").with_skip_assignment(true)), "sync 4");
}

#[test]
fn errors_while_joining() {
    #[track_caller]
    fn check(error: E, at_once: &str, after_a_pause: &str) {
        let mut bench = Bench::classic(Assignor::Range);
        bench.happens();
        bench.found();
        assert_eq!(bench.answer(JoinGroupResponse::default().with_error_code(error.code())), at_once, "join");
        assert_eq!(bench.later(2 * SECOND), after_a_pause, "join, later");

        let mut bench = Bench::classic(Assignor::Range);
        bench.happens();
        bench.found();
        bench.joined(5, "other");
        assert_eq!(bench.answer(SyncGroupResponse::default().with_error_code(error.code())), at_once, "sync");
        let after_a_pause = match error {
            E::UnknownMemberId => after_a_pause.to_owned(),
            _ => after_a_pause.replace(r#""""#, r#""m""#),
        };
        assert_eq!(bench.later(2 * SECOND), after_a_pause, "sync, later");
    }
    check(E::CoordinatorLoadInProgress, "", r#"join """#);
    check(E::NotCoordinator, "", "find");
    check(E::CoordinatorNotAvailable, "", "find");
    check(E::RebalanceInProgress, "", r#"join """#);
    check(E::UnknownMemberId, "", r#"join """#);
    check(E::IllegalGeneration, "", r#"join """#);
    check(E::FencedInstanceId, "failed FencedInstanceId", "");
    check(E::InconsistentGroupProtocol, "failed InconsistentGroupProtocol", "");
    check(E::GroupAuthorizationFailed, "failed GroupAuthorizationFailed", "");
    check(E::GroupMaxSizeReached, "failed GroupMaxSizeReached", "");
    check(E::InvalidSessionTimeout, "failed InvalidSessionTimeout", "");
}

#[test]
fn a_coordinator_that_must_not_be_looked_for() {
    let refused = |error: E| {
        let place = Coordinator::default().with_error_code(error.code());
        FindCoordinatorResponse::default().with_coordinators(vec![place])
    };
    let mut bench = Bench::classic(Assignor::Range).holding(&[0], "range");
    bench.later(3 * SECOND);
    bench.lose();
    assert_eq!(bench.later(SECOND), "find");
    assert_eq!(bench.answer(refused(E::CoordinatorNotAvailable)), "");
    assert_eq!(bench.later(SECOND), "find");
    assert_eq!(bench.answer(refused(E::GroupAuthorizationFailed)), "lost 0; failed GroupAuthorizationFailed");
}

#[test]
fn errors_of_heartbeats() {
    #[track_caller]
    fn check(error: E, at_once: &str, after_a_pause: &str) {
        let mut bench = Bench::classic(Assignor::CooperativeSticky).holding(&[0, 1], "cooperative-sticky");
        assert_eq!(bench.later(3 * SECOND), "beat 5");
        assert_eq!(bench.answer(HeartbeatResponse::default().with_error_code(error.code())), at_once);
        assert_eq!(bench.later(2 * SECOND), after_a_pause);
    }
    check(E::RebalanceInProgress, r#"join "m""#, "");
    check(E::IllegalGeneration, "lost 0,1", r#"join "m""#);
    check(E::UnknownMemberId, "lost 0,1", r#"join """#);
    check(E::FencedInstanceId, "lost 0,1; failed FencedInstanceId", "");
    check(E::GroupAuthorizationFailed, "lost 0,1; failed GroupAuthorizationFailed", "");
    check(E::CoordinatorLoadInProgress, "", "");
    check(E::NotCoordinator, "", "find");
}

#[test]
fn errors_of_commits() {
    #[track_caller]
    fn check(error: E, at_once: &str, after_a_pause: &str) {
        let mut bench = Bench::classic(Assignor::CooperativeSticky).holding(&[0, 1], "cooperative-sticky");
        assert_eq!(bench.commit(0, 120), "commit in 5");
        assert_eq!(bench.committed(&[(0, error.code())]), at_once);
        assert_eq!(bench.later(2 * SECOND), after_a_pause);
    }
    // The commit is kept for the generation to come …
    check(E::RebalanceInProgress, r#"join "m""#, "");
    // … unless the partition is lost.
    check(E::IllegalGeneration, "not committed 0@120: Fenced; lost 0,1", r#"join "m""#);
    check(E::UnknownMemberId, "not committed 0@120: Fenced; lost 0,1", r#"join """#);
    check(E::FencedInstanceId, "not committed 0@120: Fenced; lost 0,1; failed FencedInstanceId", "");
    check(E::CoordinatorLoadInProgress, "", "commit in 5");
    check(E::NotCoordinator, "", "find");
    check(E::TopicAuthorizationFailed, "not committed 0@120: Refused(TopicAuthorizationFailed)", "");
    check(E::OffsetMetadataTooLarge, "not committed 0@120: Refused(OffsetMetadataTooLarge)", "");
}

#[test]
fn nothing_follows_the_end() {
    for mut bench in [Bench::classic(Assignor::Range), Bench::consumer()] {
        assert_eq!(bench.happens(), "find");
        bench.member.leave(bench.now);
        assert_eq!(bench.happens(), "left");
        assert_eq!(bench.found(), "");
    }
}

#[test]
fn a_commit_waits_for_the_new_generation() {
    let mut bench = Bench::classic(Assignor::CooperativeSticky).holding(&[0, 1], "cooperative-sticky");
    bench.later(3 * SECOND);
    let rebalance = HeartbeatResponse::default().with_error_code(E::RebalanceInProgress.code());
    assert_eq!(bench.answer(rebalance), r#"join "m""#);
    assert_eq!(bench.commit(0, 120), "");
    assert_eq!(bench.answer(join_answer(6, "other", "cooperative-sticky")), "sync 6");
    assert_eq!(bench.synced(&[0, 1]), "commit in 6");
    // A newer one comes while the first is under way, and one is lost.
    assert_eq!(bench.commit(0, 130), "");
    assert_eq!(bench.lose(), "");
    bench.later(2 * SECOND);
    assert_eq!(bench.found(), "commit in 6");
    assert_eq!(bench.committed(&[(0, 0)]), "committed 0@130");
}

#[test]
fn an_eager_rebalance_gives_all_back_first() {
    let mut bench = Bench::classic(Assignor::Range).holding(&[0, 1], "range");
    bench.later(3 * SECOND);
    let rebalance = HeartbeatResponse::default().with_error_code(E::RebalanceInProgress.code());
    assert_eq!(bench.answer(rebalance.clone()), "revoke 0,1");
    // Heartbeats go on, and another word about the rebalance changes nothing.
    assert_eq!(bench.later(3 * SECOND), "beat 5");
    assert_eq!(bench.answer(rebalance), "");
    assert_eq!(bench.commit(1, 140), "commit in 5");
    assert_eq!(bench.confirm(), "", "the commit is awaited");
    assert_eq!(bench.committed(&[(1, 0)]), r#"committed 1@140; join "m""#);
    assert_eq!(bench.commit(1, 150), "not committed 1@150: Fenced");
    let stale = bench.leases[&at(1)];
    bench.joined(6, "other");
    assert_eq!(bench.synced(&[1]), "assigned 1; ask starts");
    assert_ne!(bench.leases[&at(1)], stale);
    // What was read in the earlier stay cannot be committed in the new one.
    let commit = Commit { partition: at(1), lease: stale, offset: 150, leader_epoch: 3, metadata: text("") };
    bench.member.commit(vec![commit]);
    assert_eq!(bench.happens(), "not committed 1@150: Fenced");
}

#[test]
fn a_cooperative_rebalance_gives_back_what_moves() {
    let mut bench = Bench::classic(Assignor::CooperativeSticky).holding(&[0, 1], "cooperative-sticky");
    bench.later(3 * SECOND);
    bench.answer(HeartbeatResponse::default().with_error_code(E::RebalanceInProgress.code()));
    bench.answer(join_answer(6, "other", "cooperative-sticky"));
    assert_eq!(bench.synced(&[1, 2]), "assigned 2; revoke 0; ask starts");
    assert_eq!(bench.starts(&[2]), "start 2@100");
    assert_eq!(bench.confirm(), r#"join "m""#);
    let RequestKind::JoinGroup(join) = &bench.open[bench.open.len() - 1].request else { panic!("a join") };
    let sent =
        wire::kafka::consumer::assign::decode_subscription(&join.protocols[0].metadata).expect("readable");
    assert_eq!((numbers(&sent.owned), sent.generation), ("1,2".to_owned(), 6));
    bench.answer(join_answer(7, "other", "cooperative-sticky"));
    assert_eq!(bench.synced(&[1, 2]), "");
}

#[test]
fn who_does_not_finish_in_time_loses() {
    let mut bench = Bench::classic(Assignor::Range).holding(&[0, 1], "range");
    bench.later(3 * SECOND);
    bench.answer(HeartbeatResponse::default().with_error_code(E::RebalanceInProgress.code()));
    assert!(bench.member.deadline() <= Some(bench.now + 300 * SECOND));
    let mut seen = String::new();
    for _ in 0..100 {
        seen = bench.later(3 * SECOND);
        if seen.starts_with("beat") {
            bench.answer(HeartbeatResponse::default());
        }
    }
    assert_eq!(seen, r#"lost 0,1; join "m""#);
}

#[test]
fn leaving() {
    let leave = |config: GroupConfig| {
        let mut bench = Bench::with(config, Versions::all()).holding(&[0], "range");
        bench.member.leave(bench.now + 5 * SECOND);
        assert_eq!(bench.happens(), "revoke 0");
        bench
    };
    let dynamic = config(GroupProtocol::Classic, Assignor::Range);
    let mut bench = leave(dynamic.clone());
    assert_eq!(bench.confirm(), "leave");
    assert_eq!(bench.answer(LeaveGroupResponse::default()), "left");
    assert_eq!((bench.later(100 * SECOND), bench.member.deadline()), (String::new(), None));
    // In its own time.
    assert_eq!(leave(dynamic.clone()).later(5 * SECOND), "lost 0; leave");
    // A static member keeps its place.
    let mut bench = leave(GroupConfig { instance_id: Some(text("me")), ..dynamic.clone() });
    assert_eq!(bench.confirm(), "left");
    // One that never found anybody.
    let mut bench = Bench::with(dynamic, Versions::all());
    bench.happens();
    bench.member.leave(bench.now + 5 * SECOND);
    assert_eq!(bench.happens(), "left");
}

#[test]
fn a_new_interest_is_told() {
    let mut bench = Bench::classic(Assignor::CooperativeSticky).holding(&[0], "cooperative-sticky");
    bench.member.subscribe(Interest::topics(["t", "u"]));
    assert_eq!(bench.happens(), r#"join "m""#);
    let mut bench = Bench::classic(Assignor::CooperativeSticky).holding(&[0], "cooperative-sticky");
    bench.member.subscribe(Interest::topics(["u"]));
    assert_eq!(bench.happens(), "revoke 0");
    assert_eq!(bench.confirm(), r#"join "m""#);
}

#[test]
fn a_silent_coordinator_is_looked_for_and_nothing_is_given_up() {
    let mut bench = Bench::classic(Assignor::Range).holding(&[0], "range");
    assert_eq!(bench.later(3 * SECOND), "beat 5");
    assert_eq!(bench.lose(), "");
    assert_eq!(bench.later(SECOND), "find");
    assert_eq!(bench.lose(), "");
    assert_eq!(bench.later(SECOND), "find");
    assert_eq!(bench.found(), "");
    assert_eq!(bench.member.standing(), (Some(5), BTreeSet::from([at(0)])));
    assert_eq!(bench.later(2 * SECOND), "beat 5");
    // No answer and no error: the session's end makes it look.
    assert_eq!(bench.later(45 * SECOND), "");
    assert_eq!(bench.later(SECOND), "find");
}

#[test]
fn requests_can_be_written_for_every_broker() {
    for newest in 0..=9 {
        let mut versions = Versions::all();
        for api in [
            ApiKey::FindCoordinator,
            ApiKey::JoinGroup,
            ApiKey::SyncGroup,
            ApiKey::Heartbeat,
            ApiKey::LeaveGroup,
            ApiKey::OffsetFetch,
            ApiKey::OffsetCommit,
        ] {
            let oldest = if api == ApiKey::OffsetCommit { 2 } else { i16::from(api == ApiKey::OffsetFetch) };
            versions = versions.at_most(api, newest.max(oldest));
        }
        let mut config = config(GroupProtocol::Classic, Assignor::Sticky);
        config.rack = Some(text("r"));
        config.instance_id = Some(text("i")).filter(|_| newest % 2 == 0);
        let mut bench = Bench::with(config, versions);
        bench.happens();
        if newest < 4 {
            let place = FindCoordinatorResponse::default().with_node_id(1.into()).with_host(text("h"));
            bench.answer(place);
        } else {
            bench.found();
        }
        bench.answer(join_answer(1, "other", "sticky"));
        assert_eq!(bench.synced(&[0]), "assigned 0; ask starts");
        assert_eq!(bench.commit(0, 5), "commit in 1");
        assert_eq!(bench.later(3 * SECOND), "beat 1");
        bench.member.leave(bench.now);
        bench.happens();
    }
}

// KIP-848

#[test]
fn a_consumer_joins_and_reconciles() {
    let mut bench = Bench::consumer();
    assert_eq!(bench.happens(), "find");
    assert_eq!(bench.found(), "beat 0 wants 1 holds []");
    assert_eq!(bench.told(1, Some(&[])), "");
    assert_eq!(bench.later(5 * SECOND), "beat 1");
    assert_eq!(bench.told(2, Some(&[0, 1])), "metadata");
    assert_eq!(bench.knows_topics(), "assigned 0,1; beat 2 holds [0,1]; ask starts");
    assert_eq!(bench.starts(&[0, 1]), "start 0@100,1@100");
    assert_eq!(bench.told(2, None), "");
    assert_eq!(bench.later(5 * SECOND), "beat 2");
    // Another came: one is given back, the commit first, then it is reported.
    assert_eq!(bench.told(2, Some(&[1])), "revoke 0");
    assert_eq!(bench.later(5 * SECOND), "beat 2");
    assert_eq!(bench.told(2, None), "");
    assert_eq!(bench.commit(0, 120), "commit in 2");
    assert_eq!(bench.confirm(), "");
    assert_eq!(bench.committed(&[(0, 0)]), "committed 0@120; beat 2 holds [1]");
    assert_eq!(bench.told(3, None), "");
    assert_eq!(bench.commit(0, 121), "not committed 0@121: Fenced");
    assert_eq!(bench.commit(1, 121), "commit in 3");
}

#[test]
fn what_came_and_went_unseen_is_reported() {
    let mut bench = Bench::consumer();
    bench.happens();
    bench.found();
    assert_eq!(bench.told(1, Some(&[])), "");
    assert_eq!(bench.later(5 * SECOND), "beat 1");
    assert_eq!(bench.told(2, Some(&[0])), "metadata");
    // Taken back before its topic was known: the coordinator waits to hear that it is not held.
    assert_eq!(bench.later(5 * SECOND), "beat 2");
    assert_eq!(bench.told(2, Some(&[])), "beat 2 holds []");
    assert_eq!(bench.told(3, None), "");
    assert_eq!(bench.later(5 * SECOND), "beat 3");
}

#[test]
fn nothing_is_taken_while_a_report_does_not_name_it() {
    let mut bench = Bench::consumer();
    bench.happens();
    bench.found();
    assert_eq!(bench.told(1, Some(&[0])), "metadata");
    bench.later(5 * SECOND);
    let loading =
        ConsumerGroupHeartbeatResponse::default().with_error_code(E::CoordinatorLoadInProgress.code());
    assert_eq!(bench.answer(loading), "");
    assert_eq!(bench.later(2 * SECOND), "beat 1 wants 1 holds []");
    // By this report the coordinator may give the partition to another.
    assert_eq!(bench.knows_topics(), "");
    assert_eq!(bench.told(2, Some(&[])), "beat 2 holds []");
    // And here it does not.
    assert_eq!(bench.told(3, Some(&[0])), "assigned 0; beat 3 holds [0]; ask starts");
}

#[test]
fn errors_of_a_consumer() {
    #[track_caller]
    fn check(error: E, at_once: &str, after_a_pause: &str) {
        let mut bench = Bench::consumer().reconciled(&[0, 1]);
        assert_eq!(bench.later(5 * SECOND), "beat 5");
        assert_eq!(
            bench.answer(ConsumerGroupHeartbeatResponse::default().with_error_code(error.code())),
            at_once
        );
        assert_eq!(bench.later(2 * SECOND), after_a_pause);
    }
    let joins = "beat 0 wants 1 holds []";
    check(E::FencedMemberEpoch, "lost 0,1", joins);
    check(E::UnknownMemberId, "lost 0,1", joins);
    check(E::CoordinatorLoadInProgress, "", "beat 5 wants 1 holds [0,1]");
    check(E::NotCoordinator, "", "find");
    check(E::UnreleasedInstanceId, "lost 0,1; failed UnreleasedInstanceId", "");
    check(E::UnsupportedAssignor, "lost 0,1; failed UnsupportedAssignor", "");
    check(E::GroupMaxSizeReached, "lost 0,1; failed GroupMaxSizeReached", "");
    check(E::GroupAuthorizationFailed, "lost 0,1; failed GroupAuthorizationFailed", "");

    let mut bench = Bench::consumer().reconciled(&[0]);
    assert_eq!(bench.commit(0, 120), "commit in 5");
    assert_eq!(bench.committed(&[(0, E::StaleMemberEpoch.code())]), "beat 5");
    assert_eq!(bench.told(6, None), "");
    assert_eq!(bench.later(2 * SECOND), "commit in 6");
    assert_eq!(bench.committed(&[(0, E::FencedMemberEpoch.code())]), "not committed 0@120: Fenced; lost 0");
}

#[test]
fn after_a_lost_heartbeat_everything_is_said_again() {
    let mut bench = Bench::consumer().reconciled(&[0, 1]);
    assert_eq!(bench.later(5 * SECOND), "beat 5");
    assert_eq!(bench.lose(), "");
    assert_eq!(bench.later(SECOND), "find");
    assert_eq!(bench.found(), "beat 5 wants 1 holds [0,1]");
}

#[test]
fn a_consumer_leaves() {
    let mut bench = Bench::consumer().reconciled(&[0]);
    bench.member.leave(bench.now + 5 * SECOND);
    assert_eq!(bench.happens(), "revoke 0");
    assert_eq!(bench.confirm(), "beat -1");
    assert_eq!(bench.told(-1, None), "left");
    let named =
        GroupConfig { instance_id: Some(text("me")), ..config(GroupProtocol::Consumer, Assignor::Range) };
    let mut bench = Bench::with(named, Versions::all()).reconciled(&[0]);
    bench.member.leave(bench.now + 5 * SECOND);
    bench.happens();
    assert_eq!(bench.confirm(), "beat -2");
}

#[test]
fn patterns_go_to_brokers_that_take_them() {
    let interest = || Interest { pattern: Some(text("t.*")), ..Interest::topics(["t", "t1"]) };
    let joins = |versions: Versions| {
        let random = fastrand::Rng::with_seed(1);
        let member =
            Membership::new(config(GroupProtocol::Auto, Assignor::Range), interest(), versions, random);
        let mut bench = Bench { member, now: Instant::now(), open: Vec::new(), leases: BTreeMap::new() };
        bench.happens();
        let words = bench.found();
        (bench, words)
    };
    let (mut bench, words) = joins(Versions::all());
    assert_eq!(words, r#"beat 0 wants "t.*" holds []"#);
    bench.told(1, None);
    bench.member.subscribe(Interest::topics(["t"]));
    assert_eq!(bench.happens(), r#"beat 1 wants 1 wants """#);
    let (_, words) = joins(Versions::all().at_most(ApiKey::ConsumerGroupHeartbeat, 0));
    assert_eq!(words, "beat 0 wants 2 holds []");
}

#[test]
fn auto_takes_what_there_is() {
    #[track_caller]
    fn check(versions: Versions, error: Option<E>, expected: &str) {
        let mut bench = Bench::with(config(GroupProtocol::Auto, Assignor::Range), versions);
        bench.happens();
        let mut seen = bench.found();
        if let Some(error) = error {
            seen = bench.answer(ConsumerGroupHeartbeatResponse::default().with_error_code(error.code()));
        }
        assert_eq!(seen, expected);
    }
    check(Versions::all(), None, "beat 0 wants 1 holds []");
    check(Versions::all().without(ApiKey::ConsumerGroupHeartbeat), None, r#"join """#);
    check(Versions::all(), Some(E::UnsupportedVersion), "find");
    check(Versions::all(), Some(E::GroupIdNotFound), "find");
    check(Versions::all(), Some(E::GroupAuthorizationFailed), "failed GroupAuthorizationFailed");
    let mut bench = Bench::with(config(GroupProtocol::Consumer, Assignor::Range), Versions::all());
    bench.happens();
    bench.found();
    let refused = ConsumerGroupHeartbeatResponse::default().with_error_code(E::UnsupportedVersion.code());
    assert_eq!(bench.answer(refused), "failed UnsupportedVersion", "asked for by name");
}
