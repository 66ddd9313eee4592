//! Requests that machines hand out as one of many kinds.

use kafka_protocol::messages::{ApiKey, RequestKind};
use std::time::Instant;
use wire::kafka::connection::{Connection, ConnectionError, RequestId};

/// Sends a request of a consumer, in the version for which its fields were chosen or, where the
/// broker is older, in the newest that it has.
pub(crate) fn send_kind(
    link: &mut Connection,
    request: &RequestKind,
    version: i16,
    deadline: Instant,
) -> Result<RequestId, ConnectionError> {
    macro_rules! send {
        ($($kind:ident)*) => {
            match request {
                $(RequestKind::$kind(request) => link.send_by(request, version, deadline),)*
                // A broken promise of ours: the machines send no other.
                _ => Err(ConnectionError::NotReady {
                    broker: "the broker".to_owned(),
                    api: ApiKey::ApiVersions,
                }),
            }
        };
    }
    send!(
        ConsumerGroupDescribe ConsumerGroupHeartbeat DescribeGroups Fetch FindCoordinator Heartbeat
        JoinGroup LeaveGroup ListGroups ListOffsets Metadata OffsetCommit OffsetFetch SyncGroup
    )
}
