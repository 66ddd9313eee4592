//! Questions to Elasticsearch or OpenSearch, beside what is written to them.

use super::Auth;
use super::client::authorization;
use crate::net::endpoint::Endpoint;
use crate::net::http::{Host, HttpError};
use crate::net::tls::TlsConfig;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
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
        let mut hosts = Vec::new();
        for url in urls {
            let endpoint = Endpoint::parse(url)?;
            let config = if endpoint.tls { Some(tls.build()?) } else { None };
            hosts.push(Host::new(endpoint, config.as_ref(), CONNECT_TIMEOUT, REQUEST_TIMEOUT)?);
        }
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
            match host.send(self.request(host, &method, path, body.clone())?).await {
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

    fn request(
        &self,
        host: &Host,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let endpoint = &host.endpoint;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", endpoint.path))
            .header(HOST, endpoint.authority())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization(self.auth.as_ref(), endpoint)? {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Full::new(body)).map_err(|error| error.to_string())
    }
}
