//! An address of a server that speaks HTTP: `https://user:password@host:9200/path`.

use std::fmt;

/// The port of Elasticsearch, for an address that is no whole URL.
const PORT: u16 = 9200;

/// Where to send requests. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before every path: empty, or with `/` in front and none at the end.
    pub path: String,
    /// The user and the password that stood in the URL.
    pub user: Option<(String, String)>,
}

impl Endpoint {
    /// Reads an address. With a scheme, the port is 80 or 443 unless it is given, as in any URL;
    /// a bare `host` or `host:port` is plain HTTP at port 9200. Slashes that are doubled or at the
    /// end of the path are left out.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The text may hold a password, so it is not repeated.
        let (tls, has_scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, true, rest),
            Some(("https", rest)) => (true, true, rest),
            Some(_) => return Err("an endpoint begins with http:// or https://".to_owned()),
            None => (false, false, text),
        };
        if rest.contains(['?', '#']) {
            return Err("an endpoint has no parameters; put them into \"query\"".to_owned());
        }
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("an endpoint has no blanks".to_owned());
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((percent_decoded(name)?, percent_decoded(password)?)), authority)
            }
            None => (None, authority),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) =
                    rest.split_once(']').ok_or("an address in [ ] lacks its end".to_owned())?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, Some("")),
            },
        };
        let port = match port {
            Some("") if !has_scheme => PORT,
            Some("") => [80, 443][usize::from(tls)],
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(format!("{port:?} is no port")),
            },
            None => return Err("an address in [ ] is followed by its port only".to_owned()),
        };
        if host.is_empty() {
            return Err("an endpoint needs a host: http://HOST:9200".to_owned());
        }
        let mut clean = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            clean.push('/');
            clean.push_str(part);
        }
        Ok(Self { tls, host: host.to_owned(), port, path: clean, user })
    }

    /// `host:port`, as the header `host` wants it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.ok_or("in the user of an endpoint a % is written %25".to_owned())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "the user of an endpoint is not UTF-8".to_owned())
}

/// As [`percent_encode`], for text that need not be UTF-8, and for commas as well.
pub(crate) fn percent_encode_bytes(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Appends text as a part of a URL: what RFC 3986 reserves is written as `%xx`, commas excepted.
pub(crate) fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints() {
        #[track_caller]
        fn check(text: &str, expected: &str, user: Option<(&str, &str)>) {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.to_string(), expected);
            assert_eq!(endpoint.user, user.map(|(name, password)| (name.to_owned(), password.to_owned())));
        }
        check("es", "http://es:9200", None);
        check("es:9201", "http://es:9201", None);
        check("http://es", "http://es:80", None);
        check("https://es/", "https://es:443", None);
        check("http://v:9428/insert//elasticsearch/", "http://v:9428/insert/elasticsearch", None);
        check("https://u:p%40%3a@[::1]:9200/x", "https://[::1]:9200/x", Some(("u", "p@:")));
        check("http://u@es", "http://es:80", Some(("u", "")));
        for bad in [
            "",
            "ftp://es",
            "http://",
            "http://es?x=1",
            "es:0",
            "es:x",
            "http://[::1",
            "http://[::1]x",
            "http://a%:b@es",
            "a b",
        ] {
            let error = Endpoint::parse(bad).unwrap_err();
            assert!(!error.is_empty(), "{bad}");
        }
        assert!(!Endpoint::parse("ftp://u:hunter2@es").unwrap_err().contains("hunter2"));
        assert!(!format!("{:?}", Endpoint::parse("http://u:hunter2@es").unwrap()).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text: String) {
            let mut encoded = String::new();
            percent_encode(&text, &mut encoded);
            prop_assert!(encoded.is_ascii() && !encoded.contains(['&', '=', '?', '/', ' ']));
            prop_assert_eq!(percent_decoded(&encoded).unwrap(), text);
        }

        #[test]
        fn any_text(text: String) {
            let _ = Endpoint::parse(&text);
        }
    }
}
