//! TLS towards servers: whom to trust, and who we are.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of TLS towards a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// A file of certificates (PEM) of whom to trust, instead of those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate (PEM), for servers that ask for one.
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// What is checked of the server's certificate.
    pub verification: Verification,
}

/// What is checked of a server's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// That somebody whom we trust made it, for this host.
    #[default]
    Full,
    /// That somebody whom we trust made it, for whatever host.
    Certificate,
    /// Nothing: anybody may be between us and the server.
    None,
}

impl TlsConfig {
    /// Reads the files. The error names the file and what is wrong with it.
    pub fn build(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusted = self.ca.as_ref().map_or(Ok(Vec::new()), |path| certificates(path))?;
        let roots = Arc::new(self.roots(&trusted)?);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if self.verification == Verification::Full {
            builder.with_root_certificates(roots)
        } else {
            let chain = match self.verification {
                Verification::Certificate => {
                    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
                    Some(verifier.build().map_err(|error| error.to_string())?)
                }
                _ => None,
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyHost {
                chain,
                trusted,
                provider,
            }))
        };
        let config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let certs = certificates(cert)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
                builder.with_client_auth_cert(certs, key).map_err(|error| wrong(cert, &error))?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err("\"cert\" and \"key\" belong together: one of them is missing".to_owned()),
        };
        Ok(Arc::new(config))
    }

    fn roots(&self, trusted: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for certificate in trusted {
                roots.add(certificate.clone()).map_err(|error| wrong(path, &error))?;
            }
        } else if self.verification != Verification::None {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("the system trusts nobody: name a file of certificates with \"ca\"".to_owned());
            }
        }
        Ok(roots)
    }
}

/// What went wrong with TLS, and what to do about it.
pub(crate) fn explain(error: &Error) -> String {
    use rustls::AlertDescription as Alert;
    let advice = match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::ApplicationVerificationFailure,
        ) => "; set tls.ca to the certificate of who made the server's",
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "; use a name that its certificate has, or set tls.verification to certificate",
        Error::AlertReceived(
            Alert::CertificateUnknown
            | Alert::BadCertificate
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::CertificateExpired
            | Alert::HandshakeFailure,
        ) => "; the server does not take our certificate: see tls.cert and tls.key",
        Error::InvalidMessage(_) => "; the server does not seem to speak TLS on this port",
        _ => "",
    };
    format!("TLS: {error}{advice}")
}

pub(super) fn wrong(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, &error))?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(path, &error))?;
    if certificates.is_empty() {
        return Err(wrong(path, &"it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

/// Checks the chain, if that, and not the host's name.
#[derive(Debug)]
struct AnyHost {
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates of servers themselves may be among these; a chain cannot begin with one.
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        if self.trusted.iter().any(|trusted| trusted == certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
