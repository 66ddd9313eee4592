//! Options of a cluster, the same for inputs and outputs.

use crate::net::secret_file;
use crate::net::tls::TlsConfig;
use crate::plan::Secret;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use wire::kafka::metadata::Address;
use wire::kafka::sasl::{Credentials, ScramHash};

/// Where a listener of Kafka is when no port is named.
const PORT: u16 = 9092;

/// Options of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Some of the brokers, as `host:port`, also several with commas between them: they tell of
    /// the others.
    pub brokers: Vec<String>,
    /// What the brokers' logs and quotas call us.
    pub client_id: Option<String>,
    /// TLS, when it is there.
    pub tls: Option<TlsConfig>,
    /// How we log in, when it is there.
    pub sasl: Option<SaslConfig>,
}

/// How we log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaslConfig {
    /// The way.
    pub mechanism: SaslMechanism,
    /// The name.
    #[serde(default)]
    pub user: String,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password; it is read for each session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// For OAUTHBEARER: a file that holds the token; it is read for each session.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Ways to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Name and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof that the password is known (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token (KIP-255).
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

/// A cluster's options, checked, with their files read.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Address>,
    pub(crate) client_id: String,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) sasl: Option<SaslConfig>,
}

impl ClusterConfig {
    pub(crate) fn build(&self) -> Result<Cluster, String> {
        if self.brokers.is_empty() {
            return Err("\"brokers\" is missing: at least one broker, as host:port".to_owned());
        }
        // A variable of the environment may hold them all.
        let brokers = self.brokers.iter().flat_map(|list| list.split(',')).map(str::trim);
        let servers = brokers.map(address).collect::<Result<_, _>>()?;
        if let Some(sasl) = &self.sasl {
            let lacks = match sasl.mechanism {
                SaslMechanism::OauthBearer => sasl.token_file.is_none().then_some("\"token_file\""),
                _ => sasl.user.is_empty().then_some("\"user\""),
            };
            if let Some(lacks) = lacks {
                return Err(format!("\"sasl\": {lacks} is missing"));
            }
            if sasl.password.is_some() && sasl.password_file.is_some() {
                return Err("\"sasl\": \"password\" or \"password_file\", not both".to_owned());
            }
        }
        let tls = self.tls.as_ref().map(TlsConfig::build).transpose();
        Ok(Cluster {
            servers,
            client_id: self.client_id.clone().unwrap_or_else(|| "logpond".to_owned()),
            tls: tls.map_err(|why| format!("\"tls\": {why}"))?,
            sasl: self.sasl.clone(),
        })
    }
}

impl SaslConfig {
    /// What to prove our identity with, new for each session.
    pub(crate) fn credentials(&self) -> Result<Credentials, String> {
        let user = self.user.clone();
        let password = match &self.password_file {
            Some(path) => secret_file::read(path)?,
            None => self.password.as_ref().map_or("", Secret::expose).to_owned(),
        };
        let hash = match self.mechanism {
            SaslMechanism::Plain => return Ok(Credentials::Plain { user, password }),
            SaslMechanism::OauthBearer => {
                let path = self.token_file.clone().unwrap_or_default();
                let token = secret_file::read(&path)?;
                return Ok(Credentials::OauthBearer {
                    token: token.trim().to_owned(),
                    extensions: Vec::new(),
                });
            }
            SaslMechanism::ScramSha256 => ScramHash::Sha256,
            SaslMechanism::ScramSha512 => ScramHash::Sha512,
        };
        let mut random = [0; 24];
        getrandom::fill(&mut random)
            .map_err(|error| format!("the system gives no random numbers: {error}"))?;
        let nonce = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Credentials::Scram { hash, user, password, nonce })
    }
}

/// `host`, `host:port`, `[::1]:port`, with a scheme such as `kafka://` or `SSL://` left out.
fn address(text: &str) -> Result<Address, String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let wrong = || format!("\"brokers\": {text:?} is no host:port");
    let (host, port) = match bare.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| wrong())?)
        }
        _ => (bare, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(Address { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_brokers() {
        for (text, expected) in [
            ("kafka-1:9093", Some(("kafka-1", 9093))),
            ("kafka-1", Some(("kafka-1", 9092))),
            ("SSL://kafka-1:9093", Some(("kafka-1", 9093))),
            ("[::1]:9093", Some(("::1", 9093))),
            ("::1", Some(("::1", 9092))),
            ("10.0.0.1:1", Some(("10.0.0.1", 1))),
            ("", None),
            (":9092", None),
            ("kafka:port", None),
            ("kafka:70000", None),
            ("two words:9092", None),
        ] {
            let found = address(text).ok().map(|address| (address.host, address.port));
            assert_eq!(found, expected.map(|(host, port): (&str, u16)| (host.to_owned(), port)), "{text:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let sasl = |sasl| ClusterConfig {
            brokers: vec!["a:1".into()],
            sasl: Some(sasl),
            ..ClusterConfig::default()
        };
        let nobody = |mechanism| SaslConfig {
            mechanism,
            user: String::new(),
            password: None,
            password_file: None,
            token_file: None,
        };
        let with = |mechanism| sasl(nobody(mechanism));
        let two_passwords = SaslConfig {
            user: "u".to_owned(),
            password: Some(Secret::new("p".to_owned())),
            password_file: Some("/p".into()),
            ..nobody(SaslMechanism::Plain)
        };
        for (config, expected) in [
            (ClusterConfig::default(), "\"brokers\" is missing"),
            (with(SaslMechanism::Plain), "\"user\" is missing"),
            (with(SaslMechanism::OauthBearer), "\"token_file\" is missing"),
            (sasl(two_passwords), "not both"),
        ] {
            let error = config.build().err().unwrap_or_default();
            assert!(error.contains(expected), "{error}");
        }
    }
}
