//! What the machine says of itself.

use std::path::Path;

/// This machine's name.
pub(crate) fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Whether there is a systemd journal that can be followed.
pub(crate) fn has_journal() -> bool {
    let kept = ["/var/log/journal", "/run/log/journal"];
    let exists =
        kept.iter().any(|folder| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
    exists && in_path("journalctl")
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}
