//! What an error of a broker means for the batch that it answers.

use kafka_protocol::error::ResponseError;

/// What to do with the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in the log already.
    Delivered,
    /// Send it again.
    Again {
        /// After asking who leads the partition.
        refresh: bool,
    },
    /// Its sequence number is not the one that the broker expects.
    Sequence,
    /// The broker does not accept the producer's id any more.
    Identity,
    /// It is too large as a whole.
    TooLarge,
    /// There is a record in it that the broker does not take.
    BadRecord,
    /// Nothing helps before somebody changes rights or settings.
    Denied,
}

pub(super) fn verdict(error: ResponseError) -> Verdict {
    use ResponseError as E;
    match error {
        E::DuplicateSequenceNumber => Verdict::Delivered,
        E::OutOfOrderSequenceNumber | E::UnknownProducerId | E::InvalidProducerEpoch => Verdict::Sequence,
        E::InvalidProducerIdMapping | E::ProducerFenced => Verdict::Identity,
        E::MessageTooLarge | E::RecordListTooLarge => Verdict::TooLarge,
        E::InvalidRecord | E::InvalidTimestamp => Verdict::BadRecord,
        E::NotLeaderOrFollower
        | E::UnknownTopicOrPartition
        | E::UnknownTopicId
        | E::LeaderNotAvailable
        | E::ReplicaNotAvailable
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
        | E::KafkaStorageError
        | E::NetworkException => Verdict::Again { refresh: true },
        // The broker itself does not know; the next may.
        E::UnknownServerError | E::BrokerNotAvailable => Verdict::Again { refresh: true },
        error if error.is_retriable() => Verdict::Again { refresh: false },
        _ => Verdict::Denied,
    }
}
