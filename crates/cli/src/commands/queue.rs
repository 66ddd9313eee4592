//! `logpond queue`: looks into the durable queue of a pond that is not running.

use crate::{Failure, default_data_dir};
use disk::{Disk, RealDisk};
use pipeline::run::queue_folder;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Where the pond is kept.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// The pipeline.
    #[arg(long, global = true, default_value = "main")]
    pipeline: String,
}

#[derive(clap::Subcommand, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The segments and the cursors
    Ls,
    /// Whether anything is damaged
    Check,
    /// Sets aside what is damaged and keeps the rest
    Repair,
    /// The events, as JSON, one a line
    Dump,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let data_dir = arguments.data_dir.unwrap_or_else(default_data_dir);
    let folder = queue_folder(&arguments.pipeline);
    if !data_dir.join(&folder).is_dir() {
        return Err(format!(
            "there is no queue in {}; name the pond's folder with --data-dir",
            data_dir.join(folder).display()
        )
        .into());
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&data_dir)?);
    let _lock = disk.lock("lock")?;
    match arguments.action {
        Action::Ls => {
            let found = queue::inspect(disk, &folder)?;
            println!(
                "{:>12} {:>9} {:>12} {:>12} {:>9}  segment",
                "bytes", "records", "first", "next", "damaged"
            );
            for segment in &found.segments {
                let (first, next) = segment.sequences.unwrap_or_default();
                println!(
                    "{:>12} {:>9} {:>12} {:>12} {:>9}  {}",
                    segment.bytes, segment.records, first, next, segment.damaged, segment.file
                );
            }
            for (reader, cursor) in &found.cursors {
                println!("reader {reader}: everything before {cursor} is acknowledged");
            }
        }
        Action::Check => {
            let found = queue::inspect(disk, &folder)?;
            for segment in found.segments.iter().filter(|segment| segment.damaged > 0) {
                println!(
                    "{}: {} bytes are damaged, {} records are whole",
                    segment.file, segment.damaged, segment.records
                );
            }
            if found.cursors_damaged {
                println!("the cursors are damaged: readers will begin at the oldest event");
            }
            if !found.is_clean() {
                println!("repair it with: logpond queue repair --data-dir {}", data_dir.display());
                return Ok(ExitCode::FAILURE);
            }
            println!("nothing is damaged");
        }
        Action::Repair => {
            let recovery = queue::repair(disk, &folder)?;
            for (file, bytes) in &recovery.set_aside {
                println!(
                    "{file}: {bytes} damaged bytes were set aside in {}",
                    data_dir.join(&folder).join("damaged").display()
                );
            }
            for (from, to) in &recovery.missing {
                println!("the events {from} to {to} are missing");
            }
            println!("{} events are whole", recovery.events);
        }
        Action::Dump => {
            let mut batch = event::Batch::new();
            let mut out = Vec::new();
            queue::dump(&*disk, &folder, |record| {
                out.clear();
                if record.header.codec == 0 && batch.decode(record.body).is_ok() {
                    for event in batch.events() {
                        event.write_json(&mut out);
                        out.push(b'\n');
                    }
                } else {
                    for doc in pipeline::outputs::store::docs::Reader::new(record.body) {
                        out.extend_from_slice(doc.source.unwrap_or(b"{}"));
                        out.push(b'\n');
                    }
                }
                print!("{}", String::from_utf8_lossy(&out));
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
