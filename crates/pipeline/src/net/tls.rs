//! TLS towards servers: whom to trust, and who we are.

use crate::plan::Secret;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
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
    /// What the key is encrypted with, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_passphrase: Option<Secret>,
    /// What is checked of the server's certificate.
    pub verification: Verification,
    /// The least version; none: 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// The greatest version; none: 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
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

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

impl TlsVersion {
    /// The versions from one to the other, as rustls knows them.
    pub(crate) fn between(min: Self, max: Self) -> Vec<&'static SupportedProtocolVersion> {
        [(Self::Tls12, &rustls::version::TLS12), (Self::Tls13, &rustls::version::TLS13)]
            .into_iter()
            .filter(|(version, _)| (min..=max).contains(version))
            .map(|(_, version)| version)
            .collect()
    }
}

impl TlsConfig {
    /// Reads the files. The error names the file and what is wrong with it.
    pub fn build(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusted = self.ca.as_ref().map_or(Ok(Vec::new()), |path| certificates(path))?;
        let roots = Arc::new(self.roots(&trusted)?);
        let versions = TlsVersion::between(
            self.min_version.unwrap_or(TlsVersion::Tls12),
            self.max_version.unwrap_or(TlsVersion::Tls13),
        );
        if versions.is_empty() {
            return Err("\"min_version\" is greater than \"max_version\"".to_owned());
        }
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
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
                let key = private_key(key, self.key_passphrase.as_ref())?;
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

/// The first key in a file (PEM), which may be encrypted (PKCS #8, RFC 5958 section 3).
pub(super) fn private_key(
    path: &Path,
    passphrase: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, String> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, &error))?;
    let encrypted = text
        .split_once(BEGIN)
        .and_then(|(_, behind)| behind.split_once(END))
        .map(|(inner, _)| [BEGIN, inner, END].concat());
    let Some(encrypted) = encrypted else {
        if text.contains("Proc-Type: 4,ENCRYPTED") {
            let advice = "the way its key is encrypted is given up: openssl pkcs8 -topk8 -in KEY -out NEW";
            return Err(wrong(path, &advice));
        }
        return PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| wrong(path, &format!("it holds no key in PEM form ({error})")));
    };
    let Some(passphrase) = passphrase else {
        return Err(wrong(path, &"its key is encrypted: set \"key_passphrase\""));
    };
    let (_, sealed) = SecretDocument::from_pem(&encrypted).map_err(|error| wrong(path, &error))?;
    let opened = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes())
        .map_err(|error| wrong(path, &error))?
        .decrypt(passphrase.expose())
        .map_err(|error| {
            wrong(path, &format!("its key is not encrypted with \"key_passphrase\" ({error})"))
        })?;
    Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-data").join(name)
    }

    #[test]
    fn keys_may_be_encrypted() {
        let plain = private_key(&data("client.key"), None).unwrap();
        let passphrase = |text: &str| Secret::new(text.to_owned());
        for name in ["client-aes.key", "client-3des.key", "client-scrypt.key", "client.key"] {
            let key = private_key(&data(name), Some(&passphrase("open-sesame")));
            assert_eq!(key.as_ref(), Ok(&plain), "{name}");
        }
        #[track_caller]
        fn check(name: &str, passphrase: Option<Secret>, expected: &str) {
            let error = private_key(&data(name), passphrase.as_ref()).unwrap_err();
            assert!(error.contains(name) && error.contains(expected), "{error}");
        }
        check("client-aes.key", None, "its key is encrypted: set \"key_passphrase\"");
        check(
            "client-aes.key",
            Some(passphrase("sesame")),
            "its key is not encrypted with \"key_passphrase\"",
        );
        check("client-old.key", Some(passphrase("open-sesame")), "openssl pkcs8 -topk8");
        check("client.pem", None, "it holds no key in PEM form");
        check("nowhere.key", None, "No such file");
        let config = TlsConfig {
            ca: Some(data("ca.pem")),
            cert: Some(data("client.pem")),
            key: Some(data("client-aes.key")),
            key_passphrase: Some(passphrase("open-sesame")),
            ..TlsConfig::default()
        };
        assert!(config.build().is_ok());
    }
}
