//! `logpond ui`: the page over a cluster of Elasticsearch or OpenSearch.

use crate::signals::Signals;
use crate::tls::Tls;
use crate::{Failure, http};
use hyper::Method;
use hyper::body::Bytes;
use pipeline::outputs::elasticsearch::{Asker, Auth};
use pipeline::plan::Secret;
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;
use web::{Boxed, Cluster, Server, ServerOptions};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The cluster: http://HOST:9200 or https://HOST:9200; of several hosts, those that do not answer are passed over.
    #[arg(long, required = true, value_delimiter = ',', value_name = "URL")]
    elasticsearch: Vec<String>,
    /// Where the page is.
    #[arg(long, default_value = "127.0.0.1:5601")]
    listen: String,
    /// The name to log in with.
    #[arg(long, conflicts_with = "api_key")]
    user: Option<String>,
    /// The password; better given in the environment, where others do not see it.
    #[arg(long, env = "LOGPOND_ELASTICSEARCH_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// A key of the API, as ID:KEY or in base64; better given in the environment.
    #[arg(long, env = "LOGPOND_ELASTICSEARCH_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    #[command(flatten)]
    trust: Tls,
}

impl Arguments {
    fn asker(&self) -> Result<Asker, Failure> {
        let auth = match (&self.user, &self.api_key) {
            (Some(user), _) => Some(Auth::basic(user.clone(), self.password.clone())),
            (None, Some(key)) => Some(Auth::ApiKey(Secret::new(key.clone()))),
            (None, None) => None,
        };
        Asker::new(&self.elasticsearch, auth, &self.trust.config())
            .map_err(|why| format!("--elasticsearch: {why}").into())
    }
}

/// A cluster that was asked who it is.
struct Known {
    asker: Arc<Asker>,
    name: String,
}

impl Cluster for Known {
    fn send(&self, method: Method, path: String, body: Bytes) -> Boxed<Result<(u16, Bytes), String>> {
        let asker = self.asker.clone();
        Box::pin(async move { asker.send(method, &path, body).await })
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let asker = Arc::new(arguments.asker()?);
    http::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let name = who(&asker).await?;
        let options = ServerOptions { listen: arguments.listen.clone(), ..ServerOptions::default() };
        let server = Server::start_over(&options, Arc::new(Known { asker, name: name.clone() })).await?;
        eprintln!("the page over {name}: http://{}  (Ctrl+C ends it)", server.address);
        signals.next().await;
        server.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The name and the version of the cluster.
async fn who(asker: &Asker) -> Result<String, Failure> {
    let (status, body) = asker
        .send(Method::GET, "/", Bytes::new())
        .await
        .map_err(|why| format!("the cluster does not answer: {why}"))?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match status {
        200 => {}
        401 | 403 => {
            return Err(format!("the cluster answers {status}: give --user with LOGPOND_ELASTICSEARCH_PASSWORD, or LOGPOND_ELASTICSEARCH_API_KEY").into());
        }
        _ => return Err(format!("the cluster answers {status} when it is asked who it is").into()),
    }
    let version = &answer["version"];
    let Some(number) = version["number"].as_str() else {
        return Err("what answers there is neither Elasticsearch nor OpenSearch".into());
    };
    let product = if version["distribution"] == "opensearch" { "OpenSearch" } else { "Elasticsearch" };
    Ok(format!("{} ({product} {number})", answer["cluster_name"].as_str().unwrap_or("a cluster")))
}
