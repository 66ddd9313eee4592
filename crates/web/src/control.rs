//! The control socket: a Unix socket in the data directory, by which the commands of the same
//! user find a running pond. It speaks plain HTTP; who may open it may use it.

use crate::pond;
use crate::server::Status;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixSocket;
use tokio::sync::watch;

/// The socket's name in the data directory.
pub const SOCKET: &str = "control.sock";
/// Connections that wait to be taken.
const BACKLOG: u32 = 64;
/// A socket's address has room for so many bytes, the zero at its end included (unix(7)).
const PATH_MAX: usize = 108;

/// The control socket of a pond that runs.
pub struct Control {
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// The path by which a socket in a folder is reached, however long the folder's own is. The
/// descriptor must live until it was used.
pub fn socket_path(data_dir: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    let path = data_dir.join(SOCKET);
    if path.as_os_str().len() < PATH_MAX {
        return Ok((path, None));
    }
    let folder =
        rustix::fs::open(data_dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((path, Some(folder)))
}

impl Control {
    /// Listens in a data directory until [`stop`](Self::stop). Only who holds the directory's
    /// lock may call it: a socket that is there already was left by a process that was killed.
    pub fn start(data_dir: &Path, status: Arc<dyn Status>) -> io::Result<Self> {
        let (path, _folder) = socket_path(data_dir)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixSocket::new_stream()?;
        // The mode that the name gets when it is bound: there is no moment in which others may.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        socket.bind(&path)?;
        let listener = socket.listen(BACKLOG)?;
        let (stop, mut stopped) = watch::channel(false);
        let stopping = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let router = pond::alone(status);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopping).await {
                tracing::error!(%error, "the control socket ended");
            }
        });
        Ok(Self { path: data_dir.join(SOCKET), stop, task })
    }

    /// Takes no more requests, waits two seconds at most for those that run, and ends.
    pub async fn stop(mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = self.stop.send(true);
        if tokio::time::timeout(Duration::from_secs(2), &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
