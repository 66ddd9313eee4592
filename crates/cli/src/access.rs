//! The pond behind an address: who asks it, and by which certificates it is known.

use crate::tls::Tls;
use crate::{Failure, http};
use hyper::Method;
use hyper::body::Bytes;
use pipeline::outputs::elasticsearch::{Asker, Auth};
use serde_json::Value;

/// How a person gets at a pond that does not answer everybody.
#[derive(clap::Args)]
pub(crate) struct Access {
    /// The name to log in with.
    #[arg(long)]
    user: Option<String>,
    /// The password; better given in the environment, where others do not see it.
    #[arg(long, env = "LOGPOND_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    #[command(flatten)]
    trust: Tls,
}

impl Access {
    /// Asks the pond at `address`, which is `HOST:PORT` or a URL, and returns its answer.
    pub(crate) fn ask(
        &self,
        address: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let url = self.url(address);
        let auth = self.user.clone().map(|user| Auth::basic(user, self.password.clone()));
        let asker = Asker::new(&[url], auth, &self.trust.config()).map_err(|why| format!("--at: {why}"))?;
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let (status, answer) = http::runtime()?.block_on(asker.send(method, path, body)).map_err(|why| {
            format!(
                "no pond answers at {why}; start one with \"logpond up FILE\", or name its address with --at"
            )
        })?;
        let answer = http::whole(status, &answer);
        match status {
            401 => Err("the pond asks who you are: give --user, and the password in LOGPOND_PASSWORD".into()),
            _ => answer,
        }
    }

    /// Where options of TLS are given, an address without a scheme is one of TLS.
    fn url(&self, address: &str) -> String {
        match address.contains("://") {
            true => address.to_owned(),
            false if self.trust.is_given() => format!("https://{address}"),
            false => format!("http://{address}"),
        }
    }
}
