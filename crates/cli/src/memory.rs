//! Gives memory back that the program itself does not need.

use rustix::mm::{Advice, madvise};
use std::fs;
use std::ops::Range;

/// From this size on a buffer has pages of its own, which the system gets back with it.
#[cfg(target_env = "gnu")]
const OWN_PAGES_FROM: libc::c_int = 128 << 10;

/// Gives large buffers back to the system as soon as they are let go. The allocator of glibc begins
/// so, but after each that was let go it keeps buffers of that size for itself (mallopt(3)): then
/// threads that hand batches on to each other hold the memory of many.
pub(crate) fn give_buffers_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "only the allocator itself can be asked")]
    // SAFETY: it is called before there is another thread, and the value is in the range allowed.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_FROM);
    }
}

/// Lets the pages of the program itself go, its code and its constants. These are two thirds of its
/// memory when it has just started: reading configs and building pipelines ran through them, and
/// most are never wanted again. Those that are come back from the system's cache, without reading.
pub(crate) fn let_program_go() {
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for pages in untouched(&maps, &program.to_string_lossy()) {
        #[expect(unsafe_code, reason = "there is no other call that lets pages go")]
        // SAFETY: the program stays mapped as long as it runs. These pages of it cannot be written,
        // and none of them ever was (a relocation would have made it anonymous), so what is read
        // there afterwards comes from the file and is the same.
        let done = unsafe { madvise(pages.start as *mut _, pages.len(), Advice::LinuxDontNeed) };
        if let Err(error) = done {
            tracing::debug!(%error, "pages of the start could not be let go");
        }
    }
}

/// How much of mapped files is in memory.
pub(crate) fn mapped_bytes() -> u64 {
    let pages = mapped_pages(&fs::read_to_string("/proc/self/statm").unwrap_or_default());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// The third number of `/proc/PID/statm` (proc_pid_statm(5)).
fn mapped_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// The addresses where this file is mapped for reading alone and no page differs from it, by the text
/// of `/proc/PID/smaps` (proc_pid_smaps(5)): `from-to r-xp offset device inode path`, and below that
/// `Anonymous:  0 kB`.
fn untouched(maps: &str, file: &str) -> Vec<Range<usize>> {
    let (mut ranges, mut mapping) = (Vec::new(), None);
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if let Some((from, to)) = first.split_once('-') {
            let is_constant = matches!(second, "r-xp" | "r--p");
            let of_file =
                !file.is_empty() && words.nth(2).is_some_and(|_| line.ends_with(&format!(" {file}")));
            let at = |text| usize::from_str_radix(text, 16).ok();
            mapping = at(from).zip(at(to)).filter(|_| is_constant && of_file);
        } else if (first, second) == ("Anonymous:", "0") {
            ranges.extend(mapping.take().map(|(from, to)| from..to));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_equals_its_file_is_let_go() {
        let cases = [
            ("r-xp 00884000 fe:00 536 /usr/bin/logpond", "Anonymous:             0 kB", true),
            ("r--p 00000000 fe:00 536 /usr/bin/logpond", "Anonymous:             0 kB", true),
            ("r--p 00000000 fe:00 536 /usr/bin/logpond", "Anonymous:             8 kB", false),
            ("rw-p 00000000 fe:00 536 /usr/bin/logpond", "Anonymous:             0 kB", false),
            ("rwxp 00000000 fe:00 536 /usr/bin/logpond", "Anonymous:             0 kB", false),
            ("r--s 00000000 fe:00 536 /usr/bin/logpond", "Anonymous:             0 kB", false),
            ("r--p 00000000 fe:00 77 /var/lib/segment", "Anonymous:             0 kB", false),
            ("r-xp 00000000 00:00 0 [vdso]", "Anonymous:             0 kB", false),
            ("r-xp 00884000 fe:00 536 /usr/bin/logpond", "AnonHugePages:         0 kB", false),
        ];
        for (mapping, anonymous, goes) in cases {
            let maps = format!("5617-5619 {mapping}\nRss:  8 kB\n{anonymous}\nVmFlags: rd ex mr\n");
            let once = untouched(&maps, "/usr/bin/logpond");
            assert_eq!(once.first(), goes.then_some(&(0x5617..0x5619)), "{maps}");
            let twice = untouched(&maps.repeat(2), "/usr/bin/logpond");
            assert_eq!(twice.len(), usize::from(goes) * 2, "{maps}");
        }
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        let before = mapped_bytes();
        let_program_go();
        assert!(mapped_bytes() < before);
        assert_eq!(mapped_pages("9 8 7 6\n"), Some(7));
        assert_eq!(mapped_pages("9 8"), None);
    }
}
