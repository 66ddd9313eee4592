//! Who may use the API: users, where there are some; else whoever is on this machine, and
//! no page of another site through the browser of somebody who is.

use crate::es::EsError;
use crate::server::User;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};

pub(crate) struct Guard {
    users: Vec<User>,
    tls: bool,
    /// Whether, without users, it may be asked for by any name.
    any_name: bool,
}

impl Guard {
    pub(crate) fn new(users: Vec<User>, tls: bool) -> Self {
        Self { users, tls, any_name: false }
    }

    /// The guard of what everybody may know who reaches the address.
    pub(crate) fn of_public(users: Vec<User>, tls: bool) -> Self {
        Self { users, tls, any_name: true }
    }

    pub(crate) fn admits(&self, headers: &HeaderMap) -> Result<(), EsError> {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        let denied = |reason: String| EsError::new(403, "security_exception", reason);
        // A form or a script of another site could write here: browsers name where it is from.
        if let Some(origin) = text(header::ORIGIN) {
            let scheme = if self.tls { "https://" } else { "http://" };
            if origin.strip_prefix(scheme) != Some(host) {
                return Err(denied(format!("requests of pages of another site ({origin}) are not answered")));
            }
        }
        if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
            && headers.get("sec-fetch-mode").is_none_or(|mode| mode != "navigate")
        {
            return Err(denied("requests of pages of another site are not answered".to_owned()));
        }
        if self.users.is_empty() {
            // A name that leads here for an attacker's page (DNS rebinding) is not our own.
            if !self.any_name && !is_own_name(host) {
                return Err(denied(format!(
                    "the name [{host}] is not this machine's own; ask for 127.0.0.1 or localhost"
                )));
            }
            return Ok(());
        }
        let given = text(header::AUTHORIZATION).and_then(basic);
        let (name, password) = given.ok_or_else(|| {
            EsError::new(
                401,
                "security_exception",
                "missing authentication credentials for REST request; send a name and a password (Basic)",
            )
        })?;
        // Every user is compared in full, so that the time says nothing.
        let found = self.users.iter().fold(Choice::from(0), |found, user| {
            found | (user.name.as_bytes().ct_eq(&name) & user.password.as_bytes().ct_eq(&password))
        });
        if bool::from(found) {
            return Ok(());
        }
        Err(EsError::new(
            401,
            "security_exception",
            "unable to authenticate: no such user with this password",
        ))
    }
}

/// The name and the password of `Basic …`.
fn basic(header: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(rest.trim()).ok()?;
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    Some((bytes[..colon].to_vec(), bytes[colon + 1..].to_vec()))
}

fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What clients of Elasticsearch 8 ask for, and want to be told that they got.
const COMPATIBLE: &str = "application/vnd.elasticsearch+json";

pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let asked =
        accept.and_then(|accept| accept.split(',').map(str::trim).find(|kind| kind.starts_with(COMPATIBLE)));
    let asked = asked.and_then(|kind| HeaderValue::from_str(kind).ok());
    let mut response = match guard.admits(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let status = error.status;
            let mut response = error.into_response();
            if status == 401 {
                let challenge = HeaderValue::from_static("Basic realm=\"logpond\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    let headers = response.headers_mut();
    let is_json = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/json");
    if let Some(asked) = asked.filter(|_| headers.get(header::CONTENT_TYPE).is_some_and(is_json)) {
        headers.insert(header::CONTENT_TYPE, asked);
    }
    headers.insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names() {
        for (host, expected) in [
            ("127.0.0.1:9200", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:9200", true),
            ("127.0.0.2", true),
            ("evil.example:9200", false),
            ("localhost.evil.example", false),
            ("10.0.0.1:9200", false),
            ("", false),
        ] {
            assert_eq!(is_own_name(host), expected, "{host}");
        }
    }

    #[test]
    fn other_sites_and_strangers() {
        let check = |users: &[User], headers: &[(&'static str, &str)]| {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            Guard::new(users.to_vec(), false).admits(&map).map_err(|error| error.status)
        };
        let own = ("host", "127.0.0.1:9200");
        assert_eq!(check(&[], &[own]), Ok(()));
        assert_eq!(check(&[], &[own, ("origin", "http://127.0.0.1:9200")]), Ok(()));
        assert_eq!(check(&[], &[own, ("origin", "http://evil.example")]), Err(403));
        assert_eq!(check(&[], &[own, ("origin", "null")]), Err(403));
        assert_eq!(
            check(&[], &[own, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
            Err(403)
        );
        assert_eq!(check(&[], &[("host", "evil.example")]), Err(403));
        let any = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("logs.example"))]);
        assert!(Guard::of_public(Vec::new(), false).admits(&any).is_ok());
        let users = [User { name: "ann".into(), password: "p:w".into() }];
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let far = ("host", "pond.example");
        assert_eq!(check(&users, &[far]), Err(401));
        assert_eq!(check(&users, &[far, ("authorization", &basic("ann:p:w"))]), Ok(()));
        assert_eq!(check(&users, &[far, ("authorization", &basic("ann:p"))]), Err(401));
        assert_eq!(check(&users, &[far, ("authorization", &basic("bob:p:w"))]), Err(401));
        assert_eq!(check(&users, &[far, ("authorization", "Basic ???")]), Err(401));
    }
}
