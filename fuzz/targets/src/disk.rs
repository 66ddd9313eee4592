//! What a start finds on the disk: it always opens, and nothing comes of damage but damage.

use crate::chunk;
use crc32c::{crc32c, crc32c_append};
use disk::journal::Journal;
use disk::{Disk, SimDisk};
use event::Origin;
use pipeline::registry::Registry;
use queue::{Header, Options, Positions, Queue, QueueError, Start};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A disk with these files.
fn disk_of<'f>(files: impl IntoIterator<Item = (PathBuf, &'f [u8])>) -> SimDisk {
    let disk = SimDisk::new();
    for (path, bytes) in files {
        let folder = path.parent().unwrap_or(Path::new(""));
        disk.create_dir_all(folder).expect("a folder");
        disk.write_atomic(&path, bytes).expect("a file");
    }
    disk
}

/// Puts the length and the checksum of a journal's record before it.
fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u32).to_le_bytes();
    let sum = crc32c_append(crc32c(&length), record).to_le_bytes();
    [&length[..], &sum, record].concat()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// A journal of any snapshot and any log opens with nothing that does not stand in them with its
/// checksum, goes on, and has all of it the next time.
pub fn journal(data: &[u8]) {
    let mut data = data;
    let how = chunk::byte(&mut data);
    let cut = usize::from(chunk::byte(&mut data)).min(data.len());
    let (first, rest) = data.split_at(cut);
    let mut snapshot = first.to_vec();
    if how & 1 != 0 {
        let epoch = u64::from(how >> 6).to_le_bytes();
        let sum = crc32c_append(crc32c(&epoch), first).to_le_bytes();
        snapshot = [&b"LPJ1"[..], &sum, &epoch, first].concat();
    }
    let log: Vec<u8> = if how & 2 != 0 {
        // Records with checksums, between them bytes that are none.
        let parts = rest.split(|byte| *byte == b'\n');
        parts
            .enumerate()
            .flat_map(|(n, part)| if n % 3 == 2 { part.to_vec() } else { framed(part) })
            .collect()
    } else {
        rest.to_vec()
    };
    let log_name = format!("j/name.{:020}.log", how >> 6);
    let mut files = vec![(PathBuf::from(log_name), &log[..])];
    if how & 4 != 0 {
        files.push((PathBuf::from("j/name.snapshot"), &snapshot));
    }
    let disk = disk_of(files);
    let open = || Journal::open(Arc::new(disk.clone()), "j/name");
    let (mut journal, opened) = match open() {
        Ok(found) => found,
        Err(error) => {
            assert!(error.to_string().contains("a newer logpond wrote it"), "{error}");
            assert_eq!(disk.read(Path::new("j/name.snapshot")).expect("it is left as it is"), snapshot);
            return;
        }
    };
    if let Some(own) = &opened.snapshot {
        assert!(snapshot.ends_with(own));
    }
    for record in &opened.records {
        assert!(contains(&log, &framed(record)), "a record that does not stand in the log");
    }
    assert!(opened.report.bytes_cut + opened.report.bytes_damaged <= log.len() as u64);
    journal.append(b"more").expect("there is room");
    journal.sync().expect("the disk is sound");
    let (mut journal, again) = open().expect("what was opened opens again");
    assert!(again.report.is_clean() && again.report.bytes_cut == 0, "{:?}", again.report);
    assert_eq!(again.snapshot, opened.snapshot);
    let mut expected = opened.records.clone();
    expected.push(b"more".to_vec());
    assert_eq!(again.records, expected);
    journal.compact(b"all").expect("there is room");
    let (_, last) = open().expect("what was opened opens again");
    assert_eq!((last.snapshot.as_deref(), last.records.len()), (Some(&b"all"[..]), 0));
}

const FOLDER: &str = "queue/main";
const MAGIC: &[u8] = b"LPR1";

/// A record of the queue as its format is documented, made without its code.
fn queued(header: &Header, sequence: u64, durable: u64, body: &[u8]) -> Vec<u8> {
    let mut content = vec![1, header.codec, 0, 0];
    content.extend_from_slice(&header.events.to_le_bytes());
    content.extend_from_slice(&sequence.to_le_bytes());
    content.extend_from_slice(&header.time_min.to_le_bytes());
    content.extend_from_slice(&header.time_max.to_le_bytes());
    content.extend_from_slice(&header.outputs.to_le_bytes());
    content.extend_from_slice(&durable.to_le_bytes());
    content.extend_from_slice(&(header.positions.len() as u32).to_le_bytes());
    content.extend_from_slice(&(body.len() as u32).to_le_bytes());
    for position in &header.positions {
        content.extend_from_slice(&position.origin);
        content.extend_from_slice(&position.generation.to_le_bytes());
        content.extend_from_slice(&position.from.to_le_bytes());
        content.extend_from_slice(&position.to.to_le_bytes());
        content.extend_from_slice(&position.mark.to_le_bytes());
    }
    content.extend_from_slice(body);
    let length = (content.len() as u32).to_le_bytes();
    [MAGIC, &length, &crc32c(&content).to_le_bytes(), &content].concat()
}

/// Makes a segment's bytes by the data: sound records, records of any header with a checksum that
/// fits, damaged ones, and bytes that are none. `sequence` is moved behind its last event, and
/// `is_forged` tells of sequences that no writer leaves.
fn segment(data: &mut &[u8], sequence: &mut u64, is_forged: &mut bool) -> Vec<u8> {
    let mut bytes = b"LPQ1\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    while !data.is_empty() {
        let how = chunk::byte(data);
        let body = &data[..usize::from(how >> 2).min(data.len())];
        *data = &data[body.len()..];
        let events = u32::from(how >> 4);
        let positions =
            Positions { origin: [how; 16], generation: 0, from: *sequence, to: *sequence + 1, mark: 0 };
        let mut header =
            Header { events, time_min: 0, time_max: 9, outputs: 1, codec: 0, positions: vec![positions] };
        let durable = bytes.len() as u64;
        match how & 3 {
            0 => bytes.extend_from_slice(body),
            1 => {
                *is_forged = true;
                let number = u64::from(chunk::number(data));
                header.events = chunk::number(data);
                header.positions.clear();
                // The highest sequences are near the end of what there can be.
                let any = if number & 1 == 0 { number >> 8 } else { u64::MAX - (number >> 8) };
                bytes.extend_from_slice(&queued(&header, any, number >> 16, body));
            }
            2 => {
                let mut record = queued(&header, *sequence, durable, body);
                let at = chunk::number(data) as usize % record.len();
                record[at] ^= how | 1;
                bytes.extend_from_slice(&record);
                *sequence += u64::from(events);
            }
            _ => {
                bytes.extend_from_slice(&queued(&header, *sequence, durable, body));
                *sequence += u64::from(events);
            }
        }
        if how == 0xFF {
            break;
        }
    }
    bytes
}

/// A queue of any segments and any cursors opens, gives records that stand in the segments with
/// their checksums, and what it found damaged once it does not find again.
pub fn queue(data: &[u8]) {
    let mut data = data;
    let how = chunk::byte(&mut data);
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    if how & 1 != 0 {
        let cursor = u64::from(chunk::byte(&mut data));
        let cursor = if how & 2 != 0 { u64::MAX - cursor } else { cursor };
        let mut change = 3_u16.to_le_bytes().to_vec();
        change.extend_from_slice(b"out");
        change.extend_from_slice(&cursor.to_le_bytes());
        if how & 4 != 0 {
            let len = usize::from(chunk::byte(&mut data)).min(data.len());
            change.extend_from_slice(&data[..len]);
            data = &data[len..];
        }
        files.push((format!("{FOLDER}/cursors.{:020}.log", 0).into(), framed(&change)));
    }
    let mut number = u64::from(how >> 3) * u64::from(how >> 6);
    let mut is_forged = false;
    while !data.is_empty() && files.len() < 5 {
        let path = format!("{FOLDER}/{number:020}.queue").into();
        let bytes = if how & 4 != 0 && files.is_empty() {
            std::mem::take(&mut data).to_vec()
        } else {
            segment(&mut data, &mut number, &mut is_forged)
        };
        files.push((path, bytes));
        // Each file has a name of its own, and some sequences may be missing between them.
        number += 1 + u64::from(chunk::byte(&mut data));
    }
    let disk = disk_of(files.iter().map(|(path, bytes)| (path.clone(), &bytes[..])));
    // It is looked at before anything is changed, which finds no less than the opening keeps.
    let looked = queue::inspect(Arc::new(disk.clone()), Path::new(FOLDER));
    let options = Options { segment_bytes_max: 500, group_time: Duration::ZERO, ..Options::default() };
    let open = || Queue::open(Arc::new(disk.clone()), Path::new(FOLDER), options.clone());
    let (opened, recovery) = match open() {
        Ok(found) => found,
        Err(QueueError::Newer { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let looked = looked.expect("what opens can be looked at");
    assert!(looked.segments.iter().map(|segment| segment.records).sum::<u64>() >= recovery.records);
    let all = |queue: &Arc<Queue>| {
        let mut reader = queue.reader("out", Start::SavedOrBegin);
        let records = std::iter::from_fn(|| reader.next(Duration::ZERO));
        records.map(|record| (record.sequence, record.header, record.body)).collect::<Vec<_>>()
    };
    let first = all(&opened);
    let mut end = 0;
    for (sequence, header, body) in &first {
        // Where records of one sequence differ, which no writer leaves, both may be given.
        assert!(sequence + u64::from(header.events) > end, "records come in order");
        end = sequence + u64::from(header.events);
        assert!(
            files.iter().any(|(_, bytes)| stands(bytes, *sequence, header, body)),
            "a record that does not stand in the files"
        );
    }
    let appended = append(&opened, b"more");
    opened.stop();
    let (again, recovery) = open().expect("what was opened opens again");
    assert!(recovery.set_aside.is_empty() && !recovery.cursors_damaged, "{recovery:?}");
    let mut second = all(&again);
    // Where sequences contradict each other, it depends on what is believed.
    if !is_forged {
        if let Some(sequence) = appended {
            let last = second.pop().expect("what was appended is there");
            assert_eq!((last.0, &last.2[..]), (sequence, &b"more"[..]));
            assert!(sequence >= end, "a sequence is given twice");
        }
        assert_eq!(second, first, "what one life gave is not hidden from the next");
    }
    again.stop();
}

/// Whether such a record stands in the bytes, with a checksum that fits, wherever.
fn stands(bytes: &[u8], sequence: u64, header: &Header, body: &[u8]) -> bool {
    let own = queued(header, sequence, 0, body);
    bytes.windows(own.len()).any(|window| {
        // How much was durable is not given to a reader.
        let durable =
            window.get(12 + 40..12 + 48).and_then(|raw| raw.try_into().ok()).map(u64::from_le_bytes);
        window.starts_with(MAGIC)
            && durable.is_some_and(|durable| queued(header, sequence, durable, body) == window)
    })
}

/// Appends a record; none when there is no sequence left to give.
fn append(queue: &Queue, body: &[u8]) -> Option<u64> {
    let header = Header { events: 1, time_min: 0, time_max: 0, outputs: 1, codec: 0, positions: Vec::new() };
    let (tell, heard) = std::sync::mpsc::channel();
    let confirm = Box::new(move |result| drop(tell.send(result)));
    let sequence = queue.append(&header, body, confirm).ok()?;
    queue.flush();
    heard.recv().expect("every append is confirmed").expect("the disk is sound");
    Some(sequence)
}

/// A registry of any changes opens, takes positions, and holds the same after the next opening.
pub fn registry(data: &[u8]) {
    let log: Vec<u8> = data.split(|byte| *byte == b'\n').flat_map(framed).collect();
    let disk = disk_of([(format!("registry.{:020}.log", 0).into(), &log[..])]);
    let open = || Registry::open(Arc::new(disk.clone())).expect("it always opens");
    let inputs = ["", "a", "in"];
    let known = |registry: &Registry| {
        let mut all: Vec<_> = inputs.iter().flat_map(|input| registry.known(input)).collect();
        all.sort_by_key(|known| known.origin);
        all
    };
    let (registry, report) = open();
    assert!(report.is_clean());
    let found = known(&registry);
    let fresh = registry.create("in", "meta".to_owned(), 7);
    for one in &found {
        let Origin { id, generation } = one.origin;
        let to = one.watermark.saturating_add(5);
        let position = Positions { origin: id, generation, from: one.watermark, to, mark: 3 };
        registry.restore([position]);
        assert_eq!(registry.watermark(one.origin), to);
    }
    registry.flush().expect("the disk is sound");
    let before = known(&registry);
    assert_eq!(before.len(), found.len() + 1);
    let (again, _) = open();
    assert_eq!(known(&again), before);
    assert_eq!(again.watermark(fresh), 7);
}
