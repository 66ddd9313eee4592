//! Produce requests whose record sets go to the socket from where they were written.
//!
//! The crate's encoder copies each record set into the request. Here a request becomes a list
//! of pieces, the record sets among them as they are.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ProduceRequest, RequestHeader};
use kafka_protocol::protocol::Encodable;

/// A record set of fewer bytes is copied: a piece of its own costs more.
const COPIED_BYTES_MAX: usize = 1024;

/// The pieces of the frame of a request, in the versions 3 to 12. Those from 9 on are flexible.
pub(super) fn frame(
    header: &RequestHeader,
    request: &ProduceRequest,
    version: i16,
) -> Result<Vec<Bytes>, FrameError> {
    if !(3..=12).contains(&version) {
        return Err(FrameError::Version);
    }
    let fail = |error: &dyn ToString| FrameError::Other(error.to_string());
    let header_version = ApiKey::Produce.request_header_version(version);
    let length = header.compute_size(header_version).map_err(|error| fail(&error))?
        + request.compute_size(version).map_err(|error| fail(&error))?;
    let mut out = Pieces { flexible: version >= 9, open: BytesMut::with_capacity(512), done: Vec::new() };
    out.open.put_i32(i32::try_from(length).map_err(|_| FrameError::TooLarge(length))?);
    header.encode(&mut out.open, header_version).map_err(|error| fail(&error))?;
    out.string(request.transactional_id.as_ref().map(|id| id.as_str()));
    out.open.put_i16(request.acks);
    out.open.put_i32(request.timeout_ms);
    out.count(request.topic_data.len());
    for topic in &request.topic_data {
        out.string(Some(topic.name.as_str()));
        out.count(topic.partition_data.len());
        for partition in &topic.partition_data {
            out.open.put_i32(partition.index);
            out.records(partition.records.as_ref());
            out.no_tags();
        }
        out.no_tags();
    }
    out.no_tags();
    let mut pieces = out.done;
    pieces.push(out.open.freeze());
    Ok(pieces)
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("only the versions 3 to 12 are written")]
    Version,
    #[error("a request of {0} bytes cannot be")]
    TooLarge(usize),
    #[error("{0}")]
    Other(String),
}

struct Pieces {
    flexible: bool,
    open: BytesMut,
    done: Vec<Bytes>,
}

impl Pieces {
    /// The number of an array's elements. The bytes of strings and records count in the same way.
    fn count(&mut self, count: usize) {
        if self.flexible { self.varint(count + 1) } else { self.open.put_u32(count as u32) }
    }

    fn string(&mut self, text: Option<&str>) {
        match (text, self.flexible) {
            (Some(text), true) => self.varint(text.len() + 1),
            (Some(text), false) => self.open.put_i16(text.len() as i16),
            (None, true) => self.varint(0),
            (None, false) => self.open.put_i16(-1),
        }
        self.open.put_slice(text.unwrap_or_default().as_bytes());
    }

    fn records(&mut self, records: Option<&Bytes>) {
        let Some(records) = records else {
            return if self.flexible { self.varint(0) } else { self.open.put_i32(-1) };
        };
        self.count(records.len());
        if records.len() <= COPIED_BYTES_MAX {
            return self.open.put_slice(records);
        }
        self.done.push(self.open.split().freeze());
        self.done.push(records.clone());
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.open.put_u8(0);
        }
    }

    fn varint(&mut self, value: usize) {
        let mut rest = value;
        while rest >= 0x80 {
            self.open.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.open.put_u8(rest as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_pieces_are_what_the_crate_writes(
            topics in prop::collection::vec(
                ("[a-z]{1,200}", prop::collection::vec((any::<i32>(), prop::option::of(0..3000usize)), 0..4)), 0..3),
            acks in -1..2i16, version in 3..=12i16,
        ) {
            let partition = |(index, bytes): &(i32, Option<usize>)| {
                let records = bytes.map(|bytes| Bytes::from(vec![*index as u8; bytes]));
                PartitionProduceData::default().with_index(*index).with_records(records)
            };
            let topic = |(name, partitions): &(String, Vec<_>)| {
                let name = kafka_protocol::protocol::StrBytes::from_string(name.clone()).into();
                let partitions = partitions.iter().map(partition).collect();
                TopicProduceData::default().with_name(name).with_partition_data(partitions)
            };
            let request = ProduceRequest::default()
                .with_acks(acks)
                .with_timeout_ms(1500)
                .with_topic_data(topics.iter().map(topic).collect());
            let header = RequestHeader::default()
                .with_request_api_version(version)
                .with_correlation_id(77)
                .with_client_id(Some("me".into()));
            let pieces = frame(&header, &request, version).unwrap();
            let written = pieces.concat();

            let mut expected = BytesMut::new();
            header.encode(&mut expected, ApiKey::Produce.request_header_version(version)).unwrap();
            request.encode(&mut expected, version).unwrap();
            prop_assert_eq!(&written[..4], (expected.len() as u32).to_be_bytes());
            prop_assert_eq!(&written[4..], &expected[..]);
            // Large record sets are pieces of their own, not copies.
            for partition in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
                let Some(records) = partition.records.as_ref().filter(|records| records.len() > COPIED_BYTES_MAX) else {
                    continue;
                };
                prop_assert!(pieces.iter().any(|piece| piece.as_ptr() == records.as_ptr()));
            }
        }
    }

    #[test]
    fn versions_with_topic_ids_are_refused() {
        assert!(frame(&RequestHeader::default(), &ProduceRequest::default(), 13).is_err());
    }
}
