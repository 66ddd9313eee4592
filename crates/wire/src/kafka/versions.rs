//! Which version of each request a connection uses.

use std::collections::HashMap;

use bytes::Buf;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::VersionRange;

/// What a broker and this client both understand.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    theirs: HashMap<i16, VersionRange>,
}

/// The two have no version of a request in common.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{broker} and this program have no version of {api:?} in common: {}, here {ours}", describe(.theirs))]
pub struct NoCommonVersion {
    /// The request.
    pub api: ApiKey,
    /// The broker, as the connection calls it.
    pub broker: String,
    /// What this program speaks.
    pub ours: VersionRange,
    /// What the broker speaks; none: it does not know the request.
    pub theirs: Option<VersionRange>,
}

fn describe(range: &Option<VersionRange>) -> String {
    range.map_or("the broker does not know it".to_owned(), |range| format!("the broker has {range}"))
}

impl Versions {
    /// Reads a broker's answer, up to and with the list: its error code, and what it speaks.
    ///
    /// Not with the crate: that reserves memory for as many elements as an array claims to have,
    /// and this is the first that a peer says, who may be anybody.
    pub(super) fn read(mut bytes: &[u8], version: i16) -> Option<(i16, Self)> {
        let flexible = version >= 3;
        let error = bytes.try_get_i16().ok()?;
        let count = if flexible { varint(&mut bytes)?.checked_sub(1)? } else { bytes.try_get_u32().ok()? };
        let mut theirs = HashMap::new();
        for _ in 0..count {
            let api = bytes.try_get_i16().ok()?;
            let (min, max) = (bytes.try_get_i16().ok()?, bytes.try_get_i16().ok()?);
            theirs.insert(api, VersionRange { min, max });
            let tags = if flexible { varint(&mut bytes)? } else { 0 };
            for _ in 0..tags {
                varint(&mut bytes)?;
                let length = varint(&mut bytes)? as usize;
                bytes = bytes.get(length..)?;
            }
        }
        Some((error, Self { theirs }))
    }

    /// What the broker speaks.
    pub fn theirs(&self, api: ApiKey) -> Option<VersionRange> {
        self.theirs.get(&(api as i16)).copied()
    }

    /// The highest version that both know, and none above `max`.
    pub fn pick(&self, api: ApiKey, max: i16, broker: &str) -> Result<i16, NoCommonVersion> {
        let mut ours = api.valid_versions();
        ours.max = ours.max.min(max).min(limit(api));
        let theirs = self.theirs(api);
        let both = theirs.map(|theirs| ours.intersect(&theirs)).filter(|both| !both.is_empty());
        both.map(|both| both.max).ok_or_else(|| NoCommonVersion {
            api,
            broker: broker.to_owned(),
            ours,
            theirs,
        })
    }
}

/// The highest version that is used, where it is not the highest that the messages know.
fn limit(api: ApiKey) -> i16 {
    match api {
        // From 13 on topics have ids in place of names (KIP-516), which old brokers do not give.
        ApiKey::Produce => 12,
        _ => i16::MAX,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for at in 0..5 {
        let byte = bytes.try_get_u8().ok()?;
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::ApiVersionsResponse;
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::protocol::Encodable;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_broker_writes_is_read(
            ranges in prop::collection::hash_map(any::<i16>(), (0..9i16, 0..20i16), 0..80),
            error in any::<i16>(), version in 0..=3i16,
        ) {
            let api = |(key, (min, max)): (&i16, &(i16, i16))| {
                ApiVersion::default().with_api_key(*key).with_min_version(*min).with_max_version(*max)
            };
            let answer = ApiVersionsResponse::default()
                .with_error_code(error)
                .with_api_keys(ranges.iter().map(api).collect());
            let mut bytes = Vec::new();
            answer.encode(&mut bytes, version).unwrap();
            let (read_error, read) = Versions::read(&bytes, version).unwrap();
            prop_assert_eq!(read_error, error);
            prop_assert_eq!(read.theirs.len(), ranges.len());
            for (key, (min, max)) in ranges {
                prop_assert_eq!(read.theirs[&key], VersionRange { min, max });
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), version in 0..=3i16) {
            let _ = Versions::read(&bytes, version);
        }
    }
}
