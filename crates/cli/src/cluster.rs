//! How a person names a Kafka cluster on the command line.

use crate::tls::Tls;
use pipeline::net::kafka::{ClusterConfig, SaslConfig, SaslMechanism};
use pipeline::plan::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// Where a cluster is, and how one gets in.
#[derive(clap::Args)]
pub(crate) struct Cluster {
    /// Some of the brokers, as HOST:PORT.
    #[arg(long, required = true, value_delimiter = ',')]
    brokers: Vec<String>,
    /// TLS, with those whom the system trusts.
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    trust: Tls,
    /// How to log in.
    #[arg(long, value_enum)]
    sasl: Option<Mechanism>,
    /// The name to log in with.
    #[arg(long, requires = "sasl")]
    user: Option<String>,
    /// The password; better given in the environment, where others do not see it.
    #[arg(long, env = "LOGPOND_KAFKA_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// A file with the token, for oauthbearer.
    #[arg(long, requires = "sasl")]
    token_file: Option<PathBuf>,
    /// Seconds that a round of questions may take.
    #[arg(long, default_value_t = 15)]
    timeout: u64,
}

/// Ways to log in.
#[derive(clap::ValueEnum, Clone, Copy)]
enum Mechanism {
    Plain,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-512")]
    ScramSha512,
    #[value(name = "oauthbearer")]
    OauthBearer,
}

impl Cluster {
    /// How long a round of questions may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.max(1))
    }

    /// The same as a config has it.
    pub(crate) fn config(&self) -> ClusterConfig {
        let tls = (self.tls || self.trust.is_given()).then(|| self.trust.config());
        let sasl = self.sasl.map(|mechanism| SaslConfig {
            mechanism: match mechanism {
                Mechanism::Plain => SaslMechanism::Plain,
                Mechanism::ScramSha256 => SaslMechanism::ScramSha256,
                Mechanism::ScramSha512 => SaslMechanism::ScramSha512,
                Mechanism::OauthBearer => SaslMechanism::OauthBearer,
            },
            user: self.user.clone().unwrap_or_default(),
            password: self.password.clone().map(Secret::new),
            password_file: None,
            token_file: self.token_file.clone(),
        });
        ClusterConfig { brokers: self.brokers.clone(), client_id: None, tls, sasl }
    }
}
