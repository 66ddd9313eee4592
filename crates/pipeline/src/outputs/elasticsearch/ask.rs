//! Questions to Elasticsearch or OpenSearch, beside what is written to them.

use super::Auth;
use super::client::{authorization, request_to};
use crate::net::endpoint::Endpoint;
use crate::net::http::{Host, HttpError};
use crate::net::tls::TlsConfig;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The hosts of a cluster, of which one is asked at a time.
pub struct Asker {
    hosts: Vec<Host>,
    auth: Option<Auth>,
    /// The one that answered last.
    current: AtomicUsize,
}

impl Asker {
    /// Hosts by their URLs; a user in a URL counts where `auth` is none. The error says which option
    /// is wrong, and never repeats a secret.
    pub fn new(urls: &[String], auth: Option<Auth>, tls: &TlsConfig) -> Result<Self, String> {
        let endpoints = urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<Vec<_>, _>>()?;
        let has_tls = endpoints.iter().any(|endpoint| endpoint.tls);
        let config = has_tls.then(|| tls.build()).transpose()?;
        let host = |endpoint| Host::new(endpoint, config.as_ref(), CONNECT_TIMEOUT, REQUEST_TIMEOUT);
        let hosts = endpoints.into_iter().map(host).collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            return Err("there is no host".to_owned());
        }
        Ok(Self { hosts, auth, current: AtomicUsize::new(0) })
    }

    /// Sends a request with its body, JSON or nothing, and returns the status and the body of the
    /// answer. What did not reach a host is sent to the next one; nothing is sent twice.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<(u16, Bytes), String> {
        let first = self.current.load(Relaxed);
        let mut reasons = Vec::new();
        for n in 0..self.hosts.len() {
            let place = (first + n) % self.hosts.len();
            let host = &self.hosts[place];
            let authorization = authorization(self.auth.as_ref(), &host.endpoint)?;
            let request = request_to(&host.endpoint, method.clone(), path, body.clone(), authorization);
            let mut request = request.map_err(|error| error.to_string())?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            match host.send(request).await {
                Ok(answer) => {
                    self.current.store(place, Relaxed);
                    return Ok((answer.status, answer.body));
                }
                Err(HttpError::Lost(reason)) => return Err(format!("{}: {reason}", host.endpoint)),
                Err(HttpError::Unreachable(reason)) => reasons.push(format!("{}: {reason}", host.endpoint)),
            }
        }
        Err(reasons.join("; "))
    }
}
