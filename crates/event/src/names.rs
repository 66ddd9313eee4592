//! The field names of a batch, each once.
//!
//! Names are small numbers, good within their batch. There is no process-wide table that
//! input could fill; the table goes where the batch goes and is emptied with it.

use crate::json;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// The number of a field name within its batch.
pub type NameId = u32;

static SERIALS: AtomicU64 = AtomicU64::new(1);

#[derive(Clone)]
pub(crate) struct Names {
    text: String,
    ends: Vec<u32>,
    /// Open addressing; an entry is the id + 1, 0 is empty.
    table: Vec<u32>,
    serial: u64,
    /// The names as they stand in an object behind another member, `,"name":`, one behind the
    /// other, and where each ends.
    members: Vec<u8>,
    member_ends: Vec<u32>,
    /// The number of `@metadata`, which is not written.
    hidden: Option<NameId>,
}

const HIDDEN: &str = "@metadata";

impl Default for Names {
    fn default() -> Self {
        Self {
            text: String::new(),
            ends: Vec::new(),
            table: vec![0; 128],
            serial: next_serial(),
            members: Vec::new(),
            member_ends: Vec::new(),
            hidden: None,
        }
    }
}

fn next_serial() -> u64 {
    SERIALS.fetch_add(1, Ordering::Relaxed)
}

impl Names {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.table.fill(0);
        self.serial = next_serial();
        self.members.clear();
        self.member_ends.clear();
        self.hidden = None;
    }

    /// The number of `@metadata`, if the batch has it.
    pub(crate) fn hidden(&self) -> Option<NameId> {
        self.hidden
    }

    /// The name as JSON writes it behind another member: `,"name":`.
    pub(crate) fn member(&self, id: NameId) -> &[u8] {
        let id = id as usize;
        let from = if id == 0 { 0 } else { self.member_ends[id - 1] as usize };
        &self.members[from..self.member_ends[id] as usize]
    }

    /// Differs for every filling of every table, so that a path can remember its number.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, id: NameId) -> &str {
        let id = id as usize;
        let from = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        &self.text[from..self.ends[id] as usize]
    }

    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        let mask = self.table.len() - 1;
        let mut at = xxh3_64(name.as_bytes()) as usize & mask;
        while self.table[at] != 0 {
            let id = self.table[at] - 1;
            if self.get(id) == name {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
        None
    }

    pub(crate) fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.find(name) {
            return id;
        }
        if (self.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let id = self.len() as NameId;
        self.text.push_str(name);
        self.ends.push(self.text.len() as u32);
        self.add_member(id);
        self.enter(id);
        id
    }

    fn add_member(&mut self, id: NameId) {
        let mut members = std::mem::take(&mut self.members);
        if self.get(id) == HIDDEN {
            self.hidden = Some(id);
        }
        members.push(b',');
        json::write_str(self.get(id).as_bytes(), &mut members);
        members.push(b':');
        self.member_ends.push(members.len() as u32);
        self.members = members;
    }

    fn grow(&mut self) {
        let size = self.table.len() * 2;
        self.table.clear();
        self.table.resize(size, 0);
        for id in 0..self.len() as NameId {
            self.enter(id);
        }
    }

    fn enter(&mut self, id: NameId) {
        let mask = self.table.len() - 1;
        let mut at = xxh3_64(self.get(id).as_bytes()) as usize & mask;
        while self.table[at] != 0 {
            at = (at + 1) & mask;
        }
        self.table[at] = id + 1;
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Fills an empty table from its parts; `None` when they do not fit together.
    pub(crate) fn fill(&mut self, text: &str, ends: impl Iterator<Item = u32>) -> Option<()> {
        self.clear();
        self.text.push_str(text);
        let mut before = 0;
        for end in ends {
            if end < before || !text.is_char_boundary(end as usize) {
                return None;
            }
            self.ends.push(end);
            before = end;
        }
        while self.len() * 2 > self.table.len() {
            let size = self.table.len() * 2;
            self.table.resize(size, 0);
        }
        for id in 0..self.len() as NameId {
            self.enter(id);
            self.add_member(id);
        }
        (before as usize == text.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers_while_the_table_grows() {
        let mut names = Names::default();
        let ids: Vec<_> = (0..1000).map(|n| names.intern(&format!("name{n}"))).collect();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(names.get(*id), format!("name{n}"));
            assert_eq!(names.find(&format!("name{n}")), Some(*id));
            assert_eq!(names.member(*id), format!(",\"name{n}\":").as_bytes());
        }
        assert_eq!(names.find("other"), None);
        names.clear();
        assert_eq!(names.find("name1"), None);
    }
}
