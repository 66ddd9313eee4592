//! How a person says on the command line whom to trust by TLS, and who they are.

use pipeline::net::tls::{TlsConfig, Verification};
use std::path::PathBuf;

/// Options of TLS towards a server.
#[derive(clap::Args)]
pub(crate) struct Tls {
    /// TLS, and a file of certificates (PEM) of whom to trust.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// TLS, and our own certificate (PEM).
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The key of our certificate (PEM).
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// TLS, whoever it is that answers.
    #[arg(long)]
    insecure: bool,
}

impl Tls {
    /// Whether any of them was given.
    pub(crate) fn is_given(&self) -> bool {
        self.insecure || self.ca.is_some() || self.cert.is_some()
    }

    /// The same as a config has it.
    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            verification: if self.insecure { Verification::None } else { Verification::Full },
            ..TlsConfig::default()
        }
    }
}
