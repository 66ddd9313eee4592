//! What inotify tells of folders. It only says where to look: all works without, but later.

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Listens to folders.
pub(super) struct Notify {
    /// None when there are no more instances of it to be had.
    inotify: Option<OwnedFd>,
    /// The folders that it tells of, by all their paths.
    folders: HashMap<i32, Vec<PathBuf>>,
}

/// What happened since it was asked last.
#[derive(Default)]
pub(super) struct Told {
    /// Files that were written to, or came, or went.
    pub(super) paths: Vec<PathBuf>,
    /// Names came or went.
    pub(super) has_names: bool,
    /// There was more than could be told.
    pub(super) is_incomplete: bool,
}

impl Notify {
    /// `is_on`: whether to listen at all.
    pub(super) fn new(is_on: bool) -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = is_on.then(|| inotify::init(flags).ok()).flatten();
        Self { inotify, folders: HashMap::new() }
    }

    /// Becomes readable when there is something to tell.
    pub(super) fn descriptor(&self) -> Option<&OwnedFd> {
        self.inotify.as_ref()
    }

    /// Listens to these folders and to no others: whether it tells of all that happens in
    /// them, and whether one of them is new.
    pub(super) fn listen(&mut self, folders: &[PathBuf]) -> (bool, bool) {
        let Some(inotify) = &self.inotify else { return (false, false) };
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MOVE_SELF;
        let (mut tells_all, mut is_new) = (true, false);
        let before = std::mem::take(&mut self.folders);
        for folder in folders {
            tells_all &= !is_remote(folder);
            // Asked for again it is the same watch, unless the path leads to another folder.
            match inotify::add_watch(inotify, folder, flags) {
                Ok(watch) => {
                    is_new |= !before.contains_key(&watch);
                    self.folders.entry(watch).or_default().push(folder.clone());
                }
                // It is not there, or there are no watches left.
                Err(_) => tells_all = false,
            }
        }
        for watch in before.into_keys().filter(|watch| !self.folders.contains_key(watch)) {
            // It may be gone already.
            let _ = inotify::remove_watch(inotify, watch);
        }
        (tells_all, is_new)
    }

    /// Takes what there is to tell, without waiting.
    pub(super) fn take(&mut self) -> Told {
        let mut told = Told::default();
        let Some(inotify) = &self.inotify else { return told };
        let names = ReadFlags::CREATE
            | ReadFlags::MOVED_FROM
            | ReadFlags::MOVED_TO
            | ReadFlags::MOVE_SELF
            | ReadFlags::DELETE
            | ReadFlags::IGNORED;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let said = event.events();
            told.is_incomplete |= said.intersects(ReadFlags::QUEUE_OVERFLOW);
            // Of a folder that we let go nothing is said but that.
            told.has_names |= said.intersects(names) && self.folders.contains_key(&event.wd());
            if let (Some(folders), Some(name)) = (self.folders.get(&event.wd()), event.file_name()) {
                let name = OsStr::from_bytes(name.to_bytes());
                told.paths.extend(folders.iter().map(|folder| folder.join(name)));
            }
        }
        told
    }
}

/// Whether others may write there, of whom inotify does not hear.
fn is_remote(folder: &Path) -> bool {
    // NFS, SMB (three), FUSE, 9P, Ceph, AFS, Lustre, GPFS: see statfs(2).
    #[rustfmt::skip]
    const KINDS: [u32; 10] = [
        0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x6573_5546, 0x0102_1997, 0x00C3_6400,
        0x5346_414F, 0x0BD0_0BD0, 0x4750_4653,
    ];
    rustix::fs::statfs(folder).map_or(true, |stat| KINDS.contains(&(stat.f_type as u32)))
}
