//! What the queue costs: appending, confirming, reading and acknowledging batches of 256 KiB
//! with 1,300 events of 200 bytes, and of 6 KiB with 30, in CPU time of the whole process.

use disk::{Disk, RealDisk};
use queue::{Header, Options, Positions, Queue, Start};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Its name, how many records, how many events in each.
const CASES: [(&str, u64, u32); 2] = [("large", 4_000, 1_300), ("small", 100_000, 30)];
const EVENT_BYTES: usize = 200;

fn main() {
    for (name, records, events) in CASES {
        let temporary = tempfile::tempdir_in(".").expect("a folder");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(temporary.path()).expect("a disk"));
        let options = Options { bytes_max: 512 << 20, ..Options::default() };
        let (queue, _) = Queue::open(disk, Path::new("queue"), options).expect("a queue");
        let (begun, cpu) = (Instant::now(), cpu_time());
        std::thread::scope(|scope| {
            let mut reader = queue.reader("out", Start::SavedOrBegin);
            scope.spawn(|| append_all(&queue, records, events));
            let acker = reader.acker();
            let mut read = 0;
            while read < records {
                let Some(record) = reader.next(Duration::from_secs(10)) else { continue };
                std::hint::black_box(&record.body);
                acker.ack(record.sequence, record.header.events);
                queue.registry_synced(record.end());
                read += 1;
            }
        });
        queue.stop();
        let all = records as f64 * f64::from(events);
        println!(
            "{name}: {:.3} µs CPU per event, {:.0} MB/s",
            (cpu_time() - cpu) / all * 1e6,
            all * EVENT_BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64()
        );
    }
}

fn append_all(queue: &Queue, records: u64, events: u32) {
    let body: Vec<u8> = (0..events as usize * EVENT_BYTES).map(|n| (n % 251) as u8).collect();
    for n in 0..records {
        let positions = vec![Positions { origin: [1; 16], generation: 0, from: n, to: n + 1, mark: n }];
        let header = Header { events, time_min: 0, time_max: 0, outputs: 1, codec: 0, positions };
        queue.append(&header, &body, Box::new(|result| result.expect("a sync"))).expect("room");
    }
}

/// Seconds of CPU of all threads, the system's part included.
fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |n: usize| fields[n].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}
