use proptest::prelude::*;

use super::*;
use crate::kafka::compression::{Compression, Compressor};

type Row = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn rows(set: &[u8]) -> Result<Vec<Row>, Damage> {
    let mut set = RecordSet::new(set, Limits::default());
    let mut scratch = Vec::new();
    let mut rows = Vec::new();
    while let Some(batch) = set.next(&mut scratch) {
        for record in batch?.records() {
            let record = record?;
            let headers =
                record.headers().map(|(name, value)| (name.to_owned(), value.map(Vec::from))).collect();
            let (key, value) = (record.key.map(Vec::from), record.value.map(Vec::from));
            rows.push((record.offset, record.timestamp, key, value, headers));
        }
    }
    Ok(rows)
}

fn finish(writer: BatchWriter, stamp: Stamp, compression: Compression) -> Vec<u8> {
    let mut compressor = Compressor::new(compression, None).unwrap();
    writer.finish(stamp, &mut compressor, &mut Vec::new()).0
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// A batch as kafka-console-producer of Kafka 3.9 sent it, taken from the segment's file.
#[test]
fn a_batch_of_the_java_client_is_written_alike() {
    let captured = hex(include_str!("captured.hex"));
    let read = rows(&captured).unwrap();
    let mut set = RecordSet::new(&captured, Limits::default());
    let mut scratch = Vec::new();
    let batch = set.next(&mut scratch).unwrap().unwrap();
    assert_eq!((batch.base_offset, batch.last_offset, batch.format), (0, 2, 2));
    let stamp = Stamp { producer: batch.producer, ..Stamp::default() };
    assert!(stamp.producer.is_some());
    let mut writer = BatchWriter::default();
    for record in batch.records() {
        writer.append_record(&record.unwrap());
    }
    let mut written = finish(writer, stamp, Compression::None);
    // The broker writes the leader's epoch in, which the checksum does not cover.
    written[at::LEADER_EPOCH..at::MAGIC].copy_from_slice(&0i32.to_be_bytes());
    assert_eq!(written, captured);
    assert_eq!(read[0].3.as_deref(), Some(&b"first"[..]));
    assert_eq!(read[2].2.as_deref(), Some(&b"k3"[..]));
}

#[test]
fn sizes_are_known_while_it_grows() {
    let mut writer = BatchWriter::reusing(vec![1, 2, 3]);
    assert_eq!((writer.size(), writer.is_empty()), (HEADER_BYTES, true));
    // length, attributes, two deltas, key length, key, value length, value, headers
    writer.append(7, Some(b"ab"), Some(&[b"cde", b"f"]), &[]);
    assert_eq!(writer.size(), HEADER_BYTES + 1 + 1 + 1 + 1 + 1 + 2 + 1 + 4 + 1);
    let size = writer.size();
    writer.append_with(8, None, &[], |_| Err("no")).unwrap_err();
    assert_eq!((writer.size(), writer.records()), (size, 1));
    assert_eq!(finish(writer, Stamp::default(), Compression::None).len(), size);
}

#[test]
fn the_last_record_moves_on() {
    let mut writer = BatchWriter::default();
    writer.append(100, None, Some(&[b"stays"]), &[]);
    writer.append(900, Some(b"key"), Some(&[b"goes"]), &[("h", None), ("i", Some(b"v"))]);
    let mut other = BatchWriter::default();
    writer.move_last(&mut other);
    let first = finish(writer, Stamp::default(), Compression::None);
    let second = finish(other, Stamp::default(), Compression::None);
    assert_eq!(rows(&first).unwrap(), [(0, 100, None, Some(b"stays".to_vec()), vec![])]);
    assert_eq!(first[at::MAX_TIMESTAMP..at::PRODUCER_ID], 100i64.to_be_bytes());
    let headers = vec![("h".to_owned(), None), ("i".to_owned(), Some(b"v".to_vec()))];
    assert_eq!(rows(&second).unwrap(), [(0, 900, Some(b"key".to_vec()), Some(b"goes".to_vec()), headers)]);
}

#[test]
fn a_batch_tells_what_it_is() {
    let mut writer = BatchWriter::default();
    writer.append(5, None, Some(&[b"x"]), &[]);
    writer.append(3, None, None, &[]);
    let producer = Producer { id: 9000, epoch: 7, base_sequence: 41 };
    let stamp = Stamp { producer: Some(producer), transactional: true, control: true };
    let mut bytes = finish(writer, stamp, Compression::Lz4);
    bytes[..8].copy_from_slice(&1000i64.to_be_bytes());
    let (mut scratch, mut set) = (Vec::new(), RecordSet::new(&bytes, Limits::default()));
    let batch = set.next(&mut scratch).unwrap().unwrap();
    assert!(batch.transactional && batch.control);
    assert_eq!(batch.producer, Some(producer));
    assert_eq!((batch.base_offset, batch.last_offset, batch.max_timestamp), (1000, 1001, 5));
    assert_eq!((batch.compression, batch.leader_epoch), (Compression::Lz4, -1));
    let offsets: Vec<i64> = batch.records().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [1000, 1001]);
}

#[test]
fn the_end_that_was_cut_off_is_no_error() {
    let mut writer = BatchWriter::default();
    writer.append(1, None, Some(&[b"whole"]), &[]);
    let whole = finish(writer, Stamp::default(), Compression::None);
    for cut in 0..whole.len() {
        let set = [&whole[..], &whole[..cut]].concat();
        assert_eq!(rows(&set).unwrap().len(), 1);
        let mut set = RecordSet::new(&whole[..cut], Limits::default());
        assert!(set.next(&mut Vec::new()).is_none());
        assert_eq!(set.partial_bytes(), cut);
    }
}

#[test]
fn damage_names_its_offsets_and_stays_within_its_batch() {
    let mut writer = BatchWriter::default();
    writer.append(1, None, Some(&[b"one"]), &[]);
    writer.append(1, None, Some(&[b"two"]), &[]);
    let good = finish(writer, Stamp::default(), Compression::None);

    #[track_caller]
    fn check(good: &[u8], change: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut bad = good.to_vec();
        bad[..8].copy_from_slice(&50i64.to_be_bytes());
        change(&mut bad);
        let set = [&bad[..], good].concat();
        let mut set = RecordSet::new(&set, Limits { batch_bytes_max: 1000, check_crc: true });
        let mut scratch = Vec::new();
        let damage = match set.next(&mut scratch).unwrap() {
            Err(damage) => damage,
            Ok(batch) => batch.records().find_map(Result::err).expect("damage"),
        };
        assert_eq!(damage.to_string(), expected);
        assert_eq!(set.next(&mut scratch).unwrap().unwrap().records().count(), 2);
    }
    check(
        &good,
        |bad| {
            bad[at::CRC..at::CRC + 4].copy_from_slice(&[1, 2, 3, 4]);
        },
        &format!(
            "offsets 50 to 51: the checksum is {:08x}, not 01020304",
            crc32c::crc32c(&good[at::ATTRIBUTES..])
        ),
    );
    check(&good, |bad| bad[at::MAGIC] = 9, "offsets 50 to 50: unknown format 9");
    let change = |at: usize, to: u8| {
        move |bad: &mut Vec<u8>| {
            bad[at] = to;
            restamp(bad, None);
        }
    };
    check(&good, change(at::ATTRIBUTES + 1, 7), "offsets 50 to 51: unknown compression 7");
    check(&good, change(HEADER_BYTES, 0x7e), "offsets 50 to 51: a record does not fit into its batch");
    check(&good, change(at::COUNT + 3, 1), "offsets 50 to 51: a record does not fit into its batch");
    check(&good, change(at::COUNT + 3, 3), "offsets 50 to 51: a record does not fit into its batch");

    let mut writer = BatchWriter::default();
    writer.append(1, None, Some(&[&[0; 2000]]), &[]);
    let bomb = finish(writer, Stamp::default(), Compression::Zstd);
    let mut set = RecordSet::new(&bomb, Limits { batch_bytes_max: 1000, check_crc: true });
    let damage = set.next(&mut Vec::new()).unwrap().unwrap_err();
    assert_eq!(damage.to_string(), "offsets 0 to 0: compressed with zstd, it grows beyond 1000 bytes");

    let mut set = RecordSet::new(&[0; 30], Limits::default());
    assert_eq!(set.next(&mut Vec::new()).unwrap().unwrap_err().reason, Reason::Length(0));
    assert!(set.next(&mut Vec::new()).is_none());
}

#[test]
fn append_time_is_the_time_of_all() {
    let mut writer = BatchWriter::default();
    writer.append(5, None, Some(&[b"x"]), &[]);
    writer.append(6, None, Some(&[b"y"]), &[]);
    let mut bytes = finish(writer, Stamp::default(), Compression::None);
    bytes[at::ATTRIBUTES + 1] |= bits::LOG_APPEND_TIME as u8;
    bytes[at::MAX_TIMESTAMP..at::PRODUCER_ID].copy_from_slice(&777i64.to_be_bytes());
    restamp(&mut bytes, None);
    let times: Vec<i64> = rows(&bytes).unwrap().iter().map(|row| row.1).collect();
    assert_eq!(times, [777, 777]);
}

/// A message of format 0 or 1, as `legacy` draws it.
fn message(
    format: i8,
    offset: i64,
    attributes: u8,
    timestamp: i64,
    key: Option<&[u8]>,
    value: &[u8],
) -> Vec<u8> {
    let mut body = vec![format as u8, attributes];
    if format == 1 {
        body.extend(timestamp.to_be_bytes());
    }
    match key {
        Some(key) => {
            body.extend((key.len() as i32).to_be_bytes());
            body.extend(key);
        }
        None => body.extend((-1i32).to_be_bytes()),
    }
    body.extend((value.len() as i32).to_be_bytes());
    body.extend(value);
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let mut message = offset.to_be_bytes().to_vec();
    message.extend((body.len() as i32 + 4).to_be_bytes());
    message.extend(crc.sum().to_be_bytes());
    message.extend(body);
    message
}

#[test]
fn old_messages_are_read() {
    let set = [message(0, 7, 0, -1, None, b"zero"), message(1, 8, 0, 123, Some(b"k"), b"one")].concat();
    let none = Vec::new;
    assert_eq!(
        rows(&set).unwrap(),
        [
            (7, -1, None, Some(b"zero".to_vec()), none()),
            (8, 123, Some(b"k".to_vec()), Some(b"one".to_vec()), none())
        ]
    );
    let mut bad = set.clone();
    bad[28] ^= 1;
    assert!(matches!(rows(&bad).unwrap_err().reason, Reason::Checksum { .. }));
}

#[test]
fn old_compressed_messages_are_read() {
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
        for format in [0, 1] {
            // Format 1 counts from 0, and not without holes after compaction.
            let inner = [(0, 20), (1, 21), (3, 23)];
            let inner: Vec<u8> = inner
                .iter()
                .flat_map(|(relative, absolute)| {
                    let offset = if format == 0 { *absolute } else { *relative };
                    message(format, offset, 0, 5 + offset, None, b"inner")
                })
                .collect();
            let mut packed = Vec::new();
            Compressor::new(compression, None).unwrap().compress(&inner, &mut packed).unwrap();
            if compression == Compression::Lz4 && format == 0 {
                let wrong = (xxhash_rust::xxh32::xxh32(&packed[..6], 0) >> 8) as u8;
                packed[6] = wrong;
            }
            let outer = message(format, 23, compression.code(), 999, None, &packed);
            let read = rows(&outer).unwrap();
            assert_eq!(
                read.iter().map(|row| row.0).collect::<Vec<_>>(),
                [20, 21, 23],
                "{compression:?} {format}"
            );
            let times: Vec<i64> = read.iter().map(|row| row.1).collect();
            assert_eq!(times, if format == 0 { [-1; 3] } else { [5, 6, 8] });

            if format == 1 {
                let append_time = compression.code() | bits::LOG_APPEND_TIME as u8;
                let read = rows(&message(1, 23, append_time, 999, None, &packed)).unwrap();
                assert!(read.iter().all(|row| row.1 == 999));
            }
        }
    }
}

fn record() -> impl Strategy<Value = Row> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    let headers = prop::collection::vec(("[a-z]{0,9}", bytes()), 0..3);
    (any::<i64>(), bytes(), bytes(), headers)
        .prop_map(|(time, key, value, headers)| (0, time >> 2, key, value, headers))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_come_back(
        mut records in prop::collection::vec(record(), 1..40), code in 0..5u8, in_place in any::<bool>()
    ) {
        let mut writer = BatchWriter::default();
        for (offset, (at, time, key, value, headers)) in records.iter_mut().enumerate() {
            *at = offset as i64;
            let headers: Vec<(&str, Option<&[u8]>)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            match (value, in_place) {
                (Some(value), true) => writer
                    .append_with(*time, key.as_deref(), &headers, |out| {
                        out.extend_from_slice(value);
                        Ok::<(), ()>(())
                    })
                    .unwrap(),
                (Some(value), false) => {
                    let (front, back) = value.split_at(value.len() / 2);
                    writer.append(*time, key.as_deref(), Some(&[front, back]), &headers);
                }
                (None, _) => writer.append(*time, key.as_deref(), None, &headers),
            }
        }
        let size = writer.size();
        let bytes = finish(writer, Stamp::default(), Compression::of(code).unwrap());
        prop_assert!(code != 0 || bytes.len() == size);
        prop_assert_eq!(rows(&bytes).unwrap(), records);
    }

    /// The library's own codec reads what ours writes.
    #[test]
    fn another_reader_agrees(records in prop::collection::vec(record(), 1..20)) {
        let mut writer = BatchWriter::default();
        for (_, time, key, value, headers) in &records {
            let headers: Vec<(&str, Option<&[u8]>)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let parts: Option<[&[u8]; 1]> = value.as_deref().map(|value| [value]);
            writer.append(*time, key.as_deref(), parts.as_ref().map(|parts| &parts[..]), &headers);
        }
        let mut bytes = bytes::Bytes::from(finish(writer, Stamp::default(), Compression::None));
        let read = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes).unwrap();
        prop_assert_eq!(read.records.len(), records.len());
        for (read, (_, time, key, value, headers)) in read.records.iter().zip(&records) {
            prop_assert_eq!(read.timestamp, *time);
            prop_assert_eq!(read.key.as_deref(), key.as_deref());
            prop_assert_eq!(read.value.as_deref(), value.as_deref());
            // It keeps headers in a map, so that the last of a name counts.
            for (name, _) in headers {
                let last = headers.iter().rev().find(|(other, _)| other == name).unwrap();
                let found = read.headers.iter().find(|(other, _)| other.as_str() == name).unwrap();
                prop_assert_eq!(found.1.as_deref(), last.1.as_deref());
            }
        }
    }

    #[test]
    fn any_change_is_noticed_or_harmless(
        records in prop::collection::vec(record(), 1..6), code in 0..5u8, at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let mut writer = BatchWriter::default();
        for (_, time, key, value, _) in &records {
            let parts: Option<[&[u8]; 1]> = value.as_deref().map(|value| [value]);
            writer.append(*time, key.as_deref(), parts.as_ref().map(|parts| &parts[..]), &[]);
        }
        let good = finish(writer, Stamp::default(), Compression::of(code).unwrap());
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] = to;
        // Offset, length and leader epoch stand outside of the checksum.
        if bad != good && at >= super::at::MAGIC {
            prop_assert!(rows(&bad).is_err());
        }
        // Without checksums nothing is certain, but nothing breaks.
        let mut set = RecordSet::new(&bad, Limits { batch_bytes_max: 1 << 20, check_crc: false });
        let mut scratch = Vec::new();
        while let Some(batch) = set.next(&mut scratch) {
            for record in batch.iter().flat_map(Batch::records).flatten() {
                let _ = record.headers().count();
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0..4u8) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.get_mut(at::MAGIC) {
            *byte = magic;
        }
        if bytes.len() > 12 {
            let length = (bytes.len() - 12) as u32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
        }
        let mut set = RecordSet::new(&bytes, Limits { batch_bytes_max: 1 << 20, check_crc: false });
        let mut scratch = Vec::new();
        while let Some(batch) = set.next(&mut scratch) {
            let _ = batch.map(|batch| batch.records().count());
        }
    }
}
