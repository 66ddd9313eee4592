//! A terminal that nobody looks at but the test.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, tcgetattr};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The side of somebody who sits before the terminal.
pub(crate) struct Terminal {
    /// What is written here was typed; what is read here is shown.
    pub(crate) master: OwnedFd,
    name: CString,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a pseudo terminal");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("ours");
        let name = ptsname(&master, Vec::new()).expect("a name");
        Self { master, name }
    }

    /// The side of a program.
    pub(crate) fn open(&self) -> File {
        let path = Path::new(OsStr::from_bytes(self.name.to_bytes()));
        File::options().read(true).write(true).open(path).expect("the terminal")
    }

    pub(crate) fn modes(&self) -> Termios {
        tcgetattr(&self.master).expect("modes")
    }
}
