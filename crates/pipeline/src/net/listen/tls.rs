//! TLS towards those who connect: our certificate, and whom to let in.

use super::{HANDSHAKE, handshake_default};
use crate::net::tls::{TlsVersion, certificates, private_key, wrong};
use crate::plan::Secret;
use crate::units::Time;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Options of TLS towards those who connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTls {
    /// Our certificate (PEM), and behind it those between it and one that others trust.
    pub cert: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// What the key is encrypted with, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_passphrase: Option<Secret>,
    /// Files of certificates (PEM): who has one that these made is let in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ca: Vec<PathBuf>,
    /// Whether those who connect are asked for a certificate.
    pub client_auth: ClientAuth,
    /// The least version.
    pub min_version: TlsVersion,
    /// The greatest version.
    pub max_version: TlsVersion,
    /// How long a handshake may take.
    pub handshake_timeout: Time,
}

impl Default for ServerTls {
    fn default() -> Self {
        Self {
            cert: PathBuf::new(),
            key: PathBuf::new(),
            key_passphrase: None,
            ca: Vec::new(),
            client_auth: ClientAuth::None,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            handshake_timeout: handshake_default(),
        }
    }
}

/// Whether those who connect are asked for a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// No.
    #[default]
    None,
    /// Yes; who has none is let in, who has a wrong one is not.
    Optional,
    /// Yes; who has none is not let in.
    Required,
}

impl ServerTls {
    /// Checks the options without looking at files.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.cert.as_os_str().is_empty() || self.key.as_os_str().is_empty() {
            return Err("\"cert\" and \"key\" are needed, both".to_owned());
        }
        if self.client_auth != ClientAuth::None && self.ca.is_empty() {
            return Err("\"client_auth\" needs \"ca\": the certificates of whom to let in".to_owned());
        }
        if self.client_auth == ClientAuth::None && !self.ca.is_empty() {
            return Err(
                "with \"ca\", set \"client_auth\" to required or optional: as it is, nobody is asked"
                    .to_owned(),
            );
        }
        if self.min_version > self.max_version {
            return Err("\"min_version\" is greater than \"max_version\"".to_owned());
        }
        if self.handshake_timeout.0.is_zero() || self.handshake_timeout.0 > Duration::from_secs(3600) {
            return Err(format!("\"handshake_timeout\" is a duration such as {HANDSHAKE:?}"));
        }
        Ok(())
    }

    /// Reads the files. The error names the file and what is wrong with it.
    pub(crate) fn build(&self) -> Result<Arc<ServerConfig>, String> {
        self.check()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = TlsVersion::between(self.min_version, self.max_version);
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?;
        let builder = match self.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            asked => {
                let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider);
                let verifier = match asked {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
            }
        };
        let key = private_key(&self.key, self.key_passphrase.as_ref())?;
        let config = builder.with_single_cert(certificates(&self.cert)?, key);
        config.map(Arc::new).map_err(|error| wrong(&self.cert, &error))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        let mut roots = RootCertStore::empty();
        for path in &self.ca {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, &error))?;
            }
        }
        Ok(Arc::new(roots))
    }
}
