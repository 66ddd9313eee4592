//! The PROXY protocol: the line or header in which a proxy says for whom it connects.
//!
//! Versions 1 (a line of text) and 2 (binary), as in the specification of HAProxy,
//! `doc/proxy-protocol.txt`. What stands in version 2 behind the addresses (TLVs) is passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// No header that is taken is longer. Of version 1 it is 107 bytes; version 2 may announce up to 64
/// KiB of TLVs, which nobody sends.
pub const BYTES_MAX: usize = 4096;

const LINE_BYTES_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a proxy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// From where and to where the connection is; none when it is the proxy's own, or of a kind
    /// that has no such addresses.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// Why these bytes begin with no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// They do not begin as one does.
    #[error("the connection does not begin with a PROXY header")]
    Other,
    /// They do, and then go on as none does.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
}

/// The header at the beginning of `bytes` and its length; `None` asks for more bytes.
pub fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        return line(bytes);
    }
    if begins(SIGNATURE) { binary(bytes) } else { Err(ProxyError::Other) }
}

/// `PROXY TCP4 192.0.2.1 198.51.100.2 51234 5044\r\n`.
fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let seen = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(ProxyError::Malformed("no end of line within 107 bytes")),
        };
    };
    let text = std::str::from_utf8(&seen[..end]).map_err(|_| ProxyError::Malformed("it is not text"))?;
    let mut words = text.split(' ').skip(1);
    let mut word = || words.next().unwrap_or_default();
    let family = word();
    if family == "UNKNOWN" {
        return Ok(Some((Header::default(), end + 2)));
    }
    let (source, destination, from, to) = (word(), word(), word(), word());
    let is_right = |ip: &IpAddr| match family {
        "TCP4" => ip.is_ipv4(),
        "TCP6" => ip.is_ipv6(),
        _ => false,
    };
    let address = |ip: &str, port: &str| {
        let ip = ip.parse().ok().filter(is_right)?;
        Some(SocketAddr::new(ip, port.parse().ok()?))
    };
    let addresses = address(source, from).zip(address(destination, to));
    match addresses {
        Some(_) if words.next().is_none() => Ok(Some((Header { addresses }, end + 2))),
        _ => Err(ProxyError::Malformed("expected TCP4 or TCP6, two addresses and two ports")),
    }
}

/// Signature, version and command, family, length, addresses.
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let Some(head) = bytes.get(..16) else { return Ok(None) };
    let length = 16 + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > BYTES_MAX {
        return Err(ProxyError::Malformed("it is longer than 4096 bytes"));
    }
    let is_local = match head[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed("neither version 2 nor its commands")),
    };
    let Some(body) = bytes.get(16..length) else { return Ok(None) };
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let ip4 = |at: usize| IpAddr::V4(Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]));
    let ip6 = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&body[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    // The low half is the transport: a stream, or datagrams.
    let addresses = match (head[13] >> 4, body.len()) {
        _ if is_local => None,
        (1, 12..) => Some((SocketAddr::new(ip4(0), port(8)), SocketAddr::new(ip4(4), port(10)))),
        (2, 36..) => Some((SocketAddr::new(ip6(0), port(32)), SocketAddr::new(ip6(16), port(34)))),
        (1 | 2, _) => return Err(ProxyError::Malformed("it is shorter than its addresses")),
        _ => None,
    };
    Ok(Some((Header { addresses }, length)))
}

/// Writes a header: as version 1 when `line`, else as version 2.
pub fn encode(header: &Header, line: bool, out: &mut Vec<u8>) {
    match (line, header.addresses) {
        (true, Some((source, destination))) if source.is_ipv4() == destination.is_ipv4() => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let ips = (source.ip(), destination.ip());
            let ports = (source.port(), destination.port());
            out.extend_from_slice(
                format!("PROXY {family} {} {} {} {}\r\n", ips.0, ips.1, ports.0, ports.1).as_bytes(),
            );
        }
        (true, _) => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        (false, addresses) => {
            out.extend_from_slice(SIGNATURE);
            let mut body = Vec::new();
            let family = match addresses {
                Some((SocketAddr::V4(source), SocketAddr::V4(destination))) => {
                    body.extend_from_slice(&source.ip().octets());
                    body.extend_from_slice(&destination.ip().octets());
                    0x11
                }
                Some((SocketAddr::V6(source), SocketAddr::V6(destination))) => {
                    body.extend_from_slice(&source.ip().octets());
                    body.extend_from_slice(&destination.ip().octets());
                    0x21
                }
                _ => 0,
            };
            if let Some((source, destination)) = addresses.filter(|_| family != 0) {
                body.extend_from_slice(&source.port().to_be_bytes());
                body.extend_from_slice(&destination.port().to_be_bytes());
            }
            out.extend_from_slice(&[0x21, family]);
            out.extend_from_slice(&(body.len() as u16).to_be_bytes());
            out.extend_from_slice(&body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The addresses of a header and its length, none while it is not whole, or what is wrong.
    type Expected<'t> = Result<Option<(Option<(&'t str, &'t str)>, usize)>, &'t str>;

    #[test]
    fn lines() {
        #[track_caller]
        fn check(text: &str, expected: Expected<'_>) {
            let decoded = decode(text.as_bytes());
            let expected = match expected {
                Ok(header) => Ok(header.map(|(addresses, length)| {
                    let addresses = addresses.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
                    (Header { addresses }, length)
                })),
                Err(why) => Err(why.to_owned()),
            };
            assert_eq!(decoded.map_err(|error| error.to_string()), expected, "{text:?}");
        }
        let four = Some(("192.0.2.1:51234", "198.51.100.2:5044"));
        check("PROXY TCP4 192.0.2.1 198.51.100.2 51234 5044\r\nrest", Ok(Some((four, 46))));
        check("PROXY TCP6 ::1 ::2 1 2\r\n", Ok(Some((Some(("[::1]:1", "[::2]:2")), 24))));
        check("PROXY UNKNOWN\r\n", Ok(Some((None, 15))));
        check("PROXY UNKNOWN ff:: :: 1 2\r\n", Ok(Some((None, 27))));
        for partial in ["", "P", "PROXY ", "PROXY TCP4 192.0.2.1 198.51.100.2 51234 5044\r", "\r\n\r\n\0"] {
            check(partial, Ok(None));
        }
        let malformed =
            Err("the PROXY header is malformed: expected TCP4 or TCP6, two addresses and two ports");
        for bad in [
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
            "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "PROXY \r\n",
        ] {
            check(bad, malformed);
        }
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        check(&endless, Err("the PROXY header is malformed: no end of line within 107 bytes"));
        check("GET / HTTP/1.1\r\n", Err("the connection does not begin with a PROXY header"));
    }

    fn address() -> impl Strategy<Value = (bool, u128, u128, u16, u16)> {
        any::<(bool, u128, u128, u16, u16)>()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read((four, a, b, from, to) in address(), line: bool, cut: usize, has: bool) {
            let ip = |bits: u128| match four {
                true => IpAddr::V4(Ipv4Addr::from(bits as u32)),
                false => IpAddr::V6(Ipv6Addr::from(bits)),
            };
            let both = (SocketAddr::new(ip(a), from), SocketAddr::new(ip(b), to));
            let header = Header { addresses: has.then_some(both) };
            let mut bytes = Vec::new();
            encode(&header, line, &mut bytes);
            let length = bytes.len();
            prop_assert_eq!(decode(&bytes[..cut % length]), Ok(None));
            bytes.extend_from_slice(b"rest");
            prop_assert_eq!(decode(&bytes), Ok(Some((header, length))));
        }

        #[test]
        fn any_bytes(mut bytes: Vec<u8>, signed: bool) {
            if signed {
                bytes.splice(..0, SIGNATURE.iter().copied());
            }
            if let Ok(Some((_, length))) = decode(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
