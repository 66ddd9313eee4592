//! What readers and those who write do to each other, and what is left of both.

use super::*;
use disk::SimDisk;
use std::borrow::Cow;
use std::sync::mpsc::channel;

fn open(disk: &SimDisk) -> Arc<Store> {
    let options = Options {
        writer_bytes: 15 << 20,
        hard_after: Duration::ZERO,
        close_after: Duration::from_secs(3_600),
        ..Options::default()
    };
    Store::open(Arc::new(disk.clone()) as Arc<dyn Disk>, options).unwrap()
}

fn append(store: &Store, sequence: u64) {
    let doc = Doc {
        index: "logs",
        id: Cow::Owned(format!("{:032x}", sequence + 1)),
        sequence,
        time: sequence as i64,
        source: b"{\"message\":\"hello\",\"n\":1}",
        replaces: false,
    };
    store.append(&doc).unwrap();
}

#[test]
fn nobody_who_reads_waits_for_a_writer() {
    let store = open(&SimDisk::new());
    (0..3).for_each(|sequence| append(&store, sequence));
    store.refresh().unwrap();
    let writer = store.state();
    let (sender, receiver) = channel();
    let reader = store.clone();
    std::thread::spawn(move || {
        let all = Search { indices: "logs".to_owned(), ..Search::default() };
        let snapshot = Arc::new(reader.snapshot(""));
        let by_snapshot = Search { snapshot: Some(snapshot), ..all.clone() };
        let found = (
            reader.search(&all).unwrap().total,
            reader.search(&by_snapshot).unwrap().total,
            reader.count("logs", &Query::All).unwrap(),
            reader.get("logs", &format!("{:032x}", 2)).unwrap().map(|(sequence, _)| sequence),
            reader.list("").into_iter().map(|info| (info.docs, info.mapping.0.len())).collect::<Vec<_>>(),
            reader.catalog().aliases.len(),
        );
        sender.send(found).unwrap();
    });
    let found = receiver.recv_timeout(Duration::from_secs(60)).expect("an answer");
    drop(writer);
    assert_eq!(found, (3, 3, 3, Some(1), vec![(3, 2)], 0));
}

#[test]
fn readers_see_what_a_writer_did() {
    let store = open(&SimDisk::new());
    let names = || store.list("").into_iter().map(|info| info.name).collect::<Vec<_>>();
    let all = Search { indices: "logs".to_owned(), ..Search::default() };
    assert!(matches!(store.search(&all), Err(StoreError::NoIndex(_))));
    append(&store, 0);
    // It is there, and has nothing that can be found yet.
    assert_eq!((names(), store.search(&all).unwrap().total), (vec!["logs".to_owned()], 0));
    store.flush().unwrap();
    assert_eq!(store.search(&all).unwrap().total, 1);
    let mapping = Mapping([("later".to_owned(), FieldType::Long)].into());
    store.declare("logs", mapping).unwrap();
    assert_eq!(store.list("")[0].mapping.0.get("later"), Some(&FieldType::Long));
    store.create_index("other", Mapping::default()).unwrap();
    assert_eq!(names(), ["logs", "other"]);
    store
        .change_catalog(|catalog| -> Result<(), StoreError> {
            catalog.aliases.entry("both".to_owned()).or_default();
            Ok(())
        })
        .unwrap();
    assert!(store.catalog().aliases.contains_key("both"));
    store.delete_index("logs").unwrap();
    assert_eq!(names(), ["other"]);
}

#[test]
fn nothing_is_left_of_what_was_merged() {
    let disk = SimDisk::new();
    let store = open(&disk);
    for sequence in 0..5 {
        append(&store, sequence);
        store.refresh().unwrap();
    }
    store.flush().unwrap();
    let segments = || {
        let entries = disk.list(Path::new("store/logs")).unwrap().into_iter();
        entries.filter(|entry| entry.name.ends_with(".store")).count()
    };
    assert_eq!(segments(), 5);
    store.state().indices.get_mut("logs").unwrap().merge_all();
    // Readers have the old ones, and so has a crash.
    assert_eq!(segments(), 6);
    assert_eq!(open(&disk.crash(1)).count("logs", &Query::All).unwrap(), 5);
    store.housekeeping();
    assert_eq!((segments(), store.count("logs", &Query::All).unwrap()), (1, 5));
    assert_eq!(open(&disk.crash(2)).count("logs", &Query::All).unwrap(), 5);
    // The same where the writer is closed.
    append(&store, 5);
    store.flush().unwrap();
    store.state().indices.get_mut("logs").unwrap().merge_all();
    assert_eq!(segments(), 3);
    store.close();
    assert_eq!((segments(), open(&disk.crash(3)).count("logs", &Query::All).unwrap()), (1, 6));
}
