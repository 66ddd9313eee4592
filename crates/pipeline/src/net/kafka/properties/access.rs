//! How one gets into a cluster, put together from properties that say a part of it each.

use super::super::{ClusterConfig, SaslConfig, SaslMechanism};
use super::value::{list, path, word};
use crate::net::tls::{TlsConfig, Verification};
use crate::plan::Secret;
use std::path::PathBuf;

/// A cluster's options while they are put together.
pub(super) struct Access {
    cluster: ClusterConfig,
    tls: TlsConfig,
    sasl: SaslConfig,
    /// Whether anything was said of it.
    has_tls: bool,
    has_sasl: bool,
    /// What `security.protocol` says, which decides.
    protocol: Option<(bool, bool)>,
    trust_store: Store,
    key_store: Store,
}

/// A store of certificates or keys, of which only a file of PEM can be read.
#[derive(Default)]
struct Store {
    location: Option<PathBuf>,
    is_pem: bool,
}

type Said = Result<(), String>;

impl Access {
    pub(super) fn new(cluster: ClusterConfig) -> Self {
        let sasl = cluster.sasl.clone().unwrap_or(SaslConfig {
            mechanism: SaslMechanism::Plain,
            user: String::new(),
            password: None,
            password_file: None,
            token_file: None,
        });
        Self {
            tls: cluster.tls.clone().unwrap_or_default(),
            has_tls: cluster.tls.is_some(),
            has_sasl: cluster.sasl.is_some(),
            sasl,
            cluster,
            protocol: None,
            trust_store: Store::default(),
            key_store: Store::default(),
        }
    }

    /// The options; the error names the property.
    pub(super) fn finish(mut self) -> Result<ClusterConfig, (&'static str, String)> {
        let pem_only = "only a file of PEM can be read: set its type to PEM, or convert it with `keytool -exportcert -rfc` or `openssl pkcs12 -nodes`";
        for (property, store) in
            [("ssl.truststore.location", &self.trust_store), ("ssl.keystore.location", &self.key_store)]
        {
            if store.location.is_some() && !store.is_pem {
                return Err((property, pem_only.to_owned()));
            }
        }
        if let Some(file) = self.trust_store.location.take() {
            self.tls.ca = Some(file);
        }
        if let Some(file) = self.key_store.location.take() {
            self.tls.cert = Some(file.clone());
            self.tls.key = Some(file);
        }
        // Without a word about the protocol librdkafka and Java do neither TLS nor SASL, whatever
        // else was said. The options of the plan decide then.
        let (tls, sasl) = self.protocol.unwrap_or((self.cluster.tls.is_some(), self.cluster.sasl.is_some()));
        if self.protocol.is_none() && ((self.has_tls && !tls) || (self.has_sasl && !sasl)) {
            let message = "it is missing, so that neither TLS nor a password would be used: SSL, SASL_PLAINTEXT or SASL_SSL";
            return Err(("security.protocol", message.to_owned()));
        }
        self.cluster.tls = tls.then_some(self.tls);
        self.cluster.sasl = sasl.then_some(self.sasl);
        Ok(self.cluster)
    }

    fn tls(&mut self) -> &mut TlsConfig {
        self.has_tls = true;
        &mut self.tls
    }

    fn sasl(&mut self) -> &mut SaslConfig {
        self.has_sasl = true;
        &mut self.sasl
    }
}

pub(super) fn brokers(access: &mut Access, value: &str) -> Said {
    access.cluster.brokers = list(value);
    Ok(())
}

pub(super) fn client_id(access: &mut Access, value: &str) -> Said {
    access.cluster.client_id = Some(value.to_owned());
    Ok(())
}

pub(super) fn protocol(access: &mut Access, value: &str) -> Said {
    let words = [
        ("PLAINTEXT", (false, false)),
        ("SSL", (true, false)),
        ("SASL_PLAINTEXT", (false, true)),
        ("SASL_SSL", (true, true)),
    ];
    access.protocol = Some(word(value, &words)?);
    Ok(())
}

pub(super) fn mechanism(access: &mut Access, value: &str) -> Said {
    let words = [
        ("PLAIN", SaslMechanism::Plain),
        ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
        ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
        ("OAUTHBEARER", SaslMechanism::OauthBearer),
    ];
    access.sasl().mechanism = word(value, &words)?;
    Ok(())
}

pub(super) fn user(access: &mut Access, value: &str) -> Said {
    access.sasl().user = value.to_owned();
    Ok(())
}

pub(super) fn password(access: &mut Access, value: &str) -> Said {
    access.sasl().password = Some(Secret::new(value.to_owned()));
    Ok(())
}

/// A login module of Java, with `username="…" password="…";` behind it (KIP-85); a value that is one
/// word needs no quotes.
pub(super) fn jaas(access: &mut Access, value: &str) -> Said {
    let module = value.split_whitespace().next().unwrap_or_default();
    if !["PlainLoginModule", "ScramLoginModule"].iter().any(|known| module.ends_with(known)) {
        return Err("only PlainLoginModule and ScramLoginModule are understood".to_owned());
    }
    let named = |name: &str| {
        let mut rest = value.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
        let Some(quote) = rest.chars().next().filter(|c| ['"', '\''].contains(c)) else {
            let end = rest.find([' ', ';']).unwrap_or(rest.len());
            return (end > 0).then(|| rest[..end].to_owned());
        };
        rest = &rest[1..];
        let mut text = String::new();
        let mut chars = rest.chars();
        loop {
            match chars.next()? {
                '\\' => text.push(chars.next()?),
                end if end == quote => return Some(text),
                other => text.push(other),
            }
        }
    };
    let lacks = |name| format!("{name}=\"…\" is missing");
    let (user, password) = (
        named("username").ok_or_else(|| lacks("username"))?,
        named("password").ok_or_else(|| lacks("password"))?,
    );
    access.sasl().user = user;
    access.sasl().password = Some(Secret::new(password));
    Ok(())
}

pub(super) fn ca(access: &mut Access, value: &str) -> Said {
    // librdkafka's word for looking where systems keep theirs.
    access.tls().ca = if value == "probe" { None } else { path(value) };
    Ok(())
}

pub(super) fn certificate(access: &mut Access, value: &str) -> Said {
    access.tls().cert = path(value);
    Ok(())
}

pub(super) fn key(access: &mut Access, value: &str) -> Said {
    access.tls().key = path(value);
    Ok(())
}

pub(super) fn key_passphrase(access: &mut Access, value: &str) -> Said {
    access.tls().key_passphrase = Some(Secret::new(value.to_owned()));
    Ok(())
}

pub(super) fn trust_store(access: &mut Access, value: &str) -> Said {
    access.has_tls = true;
    access.trust_store.location = path(value);
    Ok(())
}

pub(super) fn trust_store_type(access: &mut Access, value: &str) -> Said {
    access.trust_store.is_pem = value.eq_ignore_ascii_case("PEM");
    Ok(())
}

pub(super) fn key_store(access: &mut Access, value: &str) -> Said {
    access.has_tls = true;
    access.key_store.location = path(value);
    Ok(())
}

pub(super) fn key_store_type(access: &mut Access, value: &str) -> Said {
    access.key_store.is_pem = value.eq_ignore_ascii_case("PEM");
    Ok(())
}

/// Whether the host's name must be that of the certificate: `https`, or nothing.
pub(super) fn identification(access: &mut Access, value: &str) -> Said {
    let full = match value.trim() {
        "" | "none" => false,
        other => word(other, &[("https", true)])?,
    };
    if access.tls.verification != Verification::None {
        access.tls.verification = if full { Verification::Full } else { Verification::Certificate };
    }
    Ok(())
}

pub(super) fn verification(access: &mut Access, value: &str) -> Said {
    if !super::value::boolean(value)? {
        access.tls.verification = Verification::None;
    }
    Ok(())
}
