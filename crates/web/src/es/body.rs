//! Bodies of requests: compressed or not, none too large, and together within a limit of memory.

use super::EsError;
use super::api::{SEARCH_TIME_MAX, read_json};
use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Query, Request};
use axum::http::{HeaderMap, header};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for all bodies that are being worked on, in KiB; others wait.
const BODIES_KIB: usize = 256 << 10;
/// A body whose length is not announced counts as so many KiB.
const BODY_KIB: u64 = 8 << 10;
/// What is unpacked before its memory is asked for, in KiB.
const STEP_KIB: u32 = 1 << 10;

/// Room for the bodies of all requests, in KiB.
#[derive(Debug, Clone)]
pub(super) struct BodyRoom(Arc<Semaphore>);

impl Default for BodyRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_KIB)))
    }
}

/// A body as it was before it was compressed, not too large, and its share of the memory for
/// bodies.
#[derive(Debug)]
pub(crate) struct Body(
    pub(crate) Bytes,
    #[expect(dead_code, reason = "held, not read: letting it go gives the memory back")]
    Option<OwnedSemaphorePermit>,
);

impl<S: Send + Sync> FromRequest<S> for Body
where
    BodyRoom: FromRef<S>,
{
    type Rejection = EsError;

    async fn from_request(request: Request, state: &S) -> Result<Self, EsError> {
        let coding = Coding::of(request.headers())?;
        let from_address = Query::<HashMap<String, String>>::try_from_uri(request.uri())
            .ok()
            .and_then(|Query(mut arguments)| arguments.remove("source"));
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let kib = announced.map_or(if chunked { BODY_KIB } else { 1 }, |bytes| bytes / 1024 + 1);
        let kib = u32::try_from(kib.min(super::BODY_MAX as u64 / 1024 + 1)).unwrap_or(u32::MAX);
        let BodyRoom(room) = BodyRoom::from_ref(state);
        let share = tokio::time::timeout(SEARCH_TIME_MAX, room.clone().acquire_many_owned(kib)).await;
        let share = share.ok().and_then(Result::ok).ok_or_else(no_room)?;
        let body =
            Bytes::from_request(request, state).await.map_err(|error| match error.status().as_u16() {
                413 => too_long(),
                status => EsError::new(status, "illegal_argument_exception", error.body_text()),
            })?;
        match coding {
            _ if body.is_empty() => Ok(Body(from_address.map_or(body, Bytes::from), Some(share))),
            Coding::Identity => Ok(Body(body, Some(share))),
            packed => {
                let unpacked = tokio::task::spawn_blocking(move || packed.unpack(&body, &room));
                unpacked.await.unwrap_or_else(|_| Err(EsError::argument("the body could not be unpacked")))
            }
        }
    }
}

impl Body {
    /// A body that was made here, and so needs no memory of others.
    pub(super) fn made(bytes: Bytes) -> Self {
        Self(bytes, None)
    }

    /// The body as JSON; nothing is an empty object.
    pub(crate) fn json(&self) -> Result<Value, EsError> {
        read_json(&self.0)
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    /// RFC 1952; several members are one body.
    Gzip,
    /// Zlib's format (RFC 1950), as HTTP means by this word (RFC 9110, section 8.4.1.2).
    Deflate,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, EsError> {
        let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        let coding = String::from_utf8_lossy(coding.as_bytes()).trim().to_ascii_lowercase();
        match coding.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => Err(EsError::new(
                415,
                "illegal_argument_exception",
                format!(
                    "a body with the encoding [{coding}] is not supported; send it by gzip, deflate or as it is"
                ),
            )),
        }
    }

    /// The body as it was, its memory taken step by step: what promises little may hold much.
    fn unpack(self, packed: &[u8], room: &Arc<Semaphore>) -> Result<Body, EsError> {
        let mut reader: Box<dyn Read + '_> = match self {
            Self::Identity => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Deflate => Box::new(ZlibDecoder::new(packed)),
        };
        let mut body = Vec::new();
        let mut share = take(room)?;
        loop {
            let step = u64::from(STEP_KIB) << 10;
            match reader.by_ref().take(step).read_to_end(&mut body) {
                Ok(_) if body.len() > super::BODY_MAX => return Err(too_long()),
                Ok(read) if (read as u64) < step => break,
                Ok(_) => share.merge(take(room)?),
                Err(error) => return Err(damaged(self, &error)),
            }
        }
        Ok(Body(body.into(), Some(share)))
    }
}

/// Memory for one step. Whoever unpacks has memory already and so must not wait for more.
fn take(room: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, EsError> {
    room.clone().try_acquire_many_owned(STEP_KIB).map_err(|_| no_room())
}

fn no_room() -> EsError {
    EsError::new(429, "es_rejected_execution_exception", "too many bytes are being worked on; try again")
}

fn too_long() -> EsError {
    let reason = format!("the body is longer than {} bytes", super::BODY_MAX);
    EsError::new(413, "content_too_long_exception", reason)
}

fn damaged(coding: Coding, error: &io::Error) -> EsError {
    EsError::argument(format!("the body is not what its encoding says ({coding:?}): {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(body).unwrap();
        packer.finish().unwrap()
    }

    fn unpack(coding: Coding, packed: &[u8]) -> Result<Vec<u8>, u16> {
        let room = BodyRoom::default().0;
        coding.unpack(packed, &room).map(|body| body.0.to_vec()).map_err(|error| error.status)
    }

    #[test]
    fn unpacks_what_it_can() {
        let long = b"a line of a log\n".repeat(300_000);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&long).unwrap();
        let whole = gzip(&long);
        type Case<'a> = (Coding, &'a [u8], Result<&'a [u8], u16>);
        let cases: [Case<'_>; 7] = [
            (Coding::Gzip, &whole, Ok(&long)),
            (Coding::Gzip, &[gzip(b"a"), gzip(b"b")].concat(), Ok(b"ab")),
            (Coding::Gzip, &gzip(b""), Ok(b"")),
            (Coding::Deflate, &zlib.finish().unwrap(), Ok(&long)),
            (Coding::Gzip, &whole[..whole.len() - 9], Err(400)),
            (Coding::Gzip, b"no gzip", Err(400)),
            (Coding::Gzip, &gzip(&vec![0; super::super::BODY_MAX + 1]), Err(413)),
        ];
        for (coding, packed, expected) in cases {
            assert_eq!(unpack(coding, packed).as_deref(), expected.as_deref(), "{coding:?} {}", packed.len());
        }
    }

    #[test]
    fn many_bombs_share_the_memory() {
        let room = BodyRoom::default().0;
        let bomb = gzip(&vec![0; 90 << 20]);
        let first = Coding::Gzip.unpack(&bomb, &room).unwrap();
        let second = Coding::Gzip.unpack(&bomb, &room).unwrap();
        assert_eq!(Coding::Gzip.unpack(&bomb, &room).unwrap_err().status, 429);
        drop((first, second));
        assert_eq!(room.available_permits(), BODIES_KIB);
    }

    #[test]
    fn names_what_it_cannot() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, value.parse().unwrap());
            Coding::of(&headers).map_err(|error| error.status)
        };
        assert_eq!(of("gzip"), Ok(Coding::Gzip));
        assert_eq!(of("GZIP"), Ok(Coding::Gzip));
        assert_eq!(of("identity"), Ok(Coding::Identity));
        assert_eq!(of("br"), Err(415));
        assert_eq!(of("gzip, gzip"), Err(415));
    }
}
