//! Bodies as they were before they were packed.

use super::serve::{Packed, Verdict};
use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// Unpacks a body; refuses one that is broken, or that is larger than it may be.
pub(super) fn unpacked(packed: Packed, body: Bytes, bytes_max: usize) -> Result<Bytes, Verdict> {
    let mut out = Vec::new();
    let most = bytes_max as u64 + 1;
    let read = match packed {
        Packed::No => return Ok(body),
        Packed::Gzip => MultiGzDecoder::new(&*body).take(most).read_to_end(&mut out),
        Packed::Deflate => ZlibDecoder::new(&*body).take(most).read_to_end(&mut out),
        Packed::Zstd => zstd::stream::read::Decoder::new(&*body)
            .and_then(|decoder| decoder.take(most).read_to_end(&mut out)),
    };
    match read {
        Ok(_) if out.len() > bytes_max => Err(Verdict::TooLarge),
        Ok(_) => Ok(out.into()),
        Err(error) => Err(Verdict::Bad(format!("the body cannot be unpacked: {error}"))),
    }
}

/// ISO 8859-1 as UTF-8: each byte is the number of its character.
pub(super) fn from_latin(body: &[u8]) -> Vec<u8> {
    body.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    #[test]
    fn bodies() {
        let text = "0123456789".repeat(100);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(text.as_bytes()).unwrap();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for (packed, body) in [
            (Packed::No, text.clone().into_bytes()),
            (Packed::Gzip, gzip.finish().unwrap()),
            (Packed::Deflate, deflate.finish().unwrap()),
            (Packed::Zstd, zstd),
        ] {
            let body = Bytes::from(body);
            assert_eq!(unpacked(packed, body.clone(), 1_000).unwrap(), text.as_bytes());
            if packed != Packed::No {
                assert_eq!(unpacked(packed, body.clone(), 999), Err(Verdict::TooLarge));
                let short = body.slice(..body.len() / 2);
                assert!(matches!(unpacked(packed, short, 1_000), Err(Verdict::Bad(_))), "{packed:?}");
            }
        }
        assert_eq!(from_latin(b"a\xe4"), "aä".as_bytes());
    }
}
