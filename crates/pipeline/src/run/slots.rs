//! Which bit of a record's outputs is whose.
//!
//! What lies in a queue was routed by the config of its day. So an output keeps its bit by its name,
//! across reloads and restarts, whatever outputs come and go; a bit is not given to another output
//! as long as there are fresh ones. The names and their bits are in a journal beside the queue, as a
//! JSON object; where it is missing, the bits are given in the order of the names.

use disk::Disk;
use disk::journal::Journal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record has so many bits.
const SLOTS: u32 = 64;

/// The bits of a pipeline's outputs.
pub(super) struct Slots {
    journal: Option<Journal>,
    known: BTreeMap<String, u32>,
}

impl Slots {
    /// Those that are saved for a pipeline. A disk that refuses is told of, and does not keep it from
    /// running.
    pub(super) fn open(disk: Arc<dyn Disk>, pipeline: &str) -> Self {
        let name = format!("outputs/{pipeline}");
        let opened = Journal::open(disk, &name).map_err(|error| {
            tracing::warn!(pipeline, %error, "the numbers of the outputs could not be read");
        });
        let Ok((journal, opened)) = opened else { return Self { journal: None, known: BTreeMap::new() } };
        let saved = opened.snapshot.as_deref().unwrap_or(b"{}");
        Self { journal: Some(journal), known: serde_json::from_slice(saved).unwrap_or_default() }
    }

    /// The bits of these outputs, in their order; new ones are saved. `readers` are the names for
    /// which the queue still holds events.
    pub(super) fn of(&mut self, outputs: &[&String], readers: &[String]) -> Vec<u32> {
        let before = self.known.clone();
        for output in outputs {
            if !self.known.contains_key(*output) {
                let slot = self.fresh(outputs, readers);
                self.known.insert((*output).clone(), slot);
            }
        }
        if self.known != before
            && let Some(journal) = &mut self.journal
            && let Err(error) = journal.compact(&serde_json::to_vec(&self.known).unwrap_or_default())
        {
            tracing::warn!(%error, "the numbers of the outputs could not be saved");
        }
        outputs.iter().map(|output| self.known.get(*output).copied().unwrap_or(SLOTS - 1)).collect()
    }

    fn fresh(&mut self, outputs: &[&String], readers: &[String]) -> u32 {
        let next = self.known.values().max().map_or(0, |last| last + 1);
        if next < SLOTS {
            return next;
        }
        // Those go whose events nobody waits for; with at most 63 outputs, one is free if need be.
        let free =
            |known: &BTreeMap<String, u32>| (0..SLOTS).find(|slot| known.values().all(|own| own != slot));
        if free(&self.known).is_none() {
            self.known.retain(|name, _| outputs.contains(&name) || readers.contains(name));
        }
        if free(&self.known).is_none() {
            self.known.retain(|name, _| outputs.contains(&name));
        }
        free(&self.known).unwrap_or(SLOTS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::RealDisk;

    #[test]
    fn names_keep_their_bits() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).unwrap());
        let check = |outputs: &str, expected: &[u32]| {
            let names: Vec<String> = outputs.split(' ').map(str::to_owned).collect();
            let slots = Slots::open(disk.clone(), "p").of(&names.iter().collect::<Vec<_>>(), &[]);
            assert_eq!(slots, expected, "{outputs}");
        };
        check("a b c", &[0, 1, 2]);
        check("b c", &[1, 2]);
        check("aa b c d", &[3, 1, 2, 4]);
        check("a", &[0]);
        assert_eq!(Slots::open(disk.clone(), "q").of(&[&"b".to_owned()], &[]), [0], "another pipeline");
    }

    #[test]
    fn bits_are_given_again_when_all_were_given() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).unwrap());
        let mut slots = Slots::open(disk, "p");
        let names: Vec<String> = (0..200).map(|n| format!("o{n:03}")).collect();
        let waits = [names[5].clone()];
        for name in &names {
            let stays = names[7].clone();
            let given = slots.of(&[&stays, name], &waits);
            assert!(given.iter().all(|slot| *slot < SLOTS));
            assert!(given[0] != given[1] || *name == stays);
            assert!(*name == waits[0] || slots.known.get(&waits[0]).is_none_or(|own| *own != given[1]));
        }
        let many: Vec<&String> = names[100..163].iter().collect();
        let mut given = slots.of(&many, &names);
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 63, "each has its own");
    }
}
