//! The compressions of record batches: the whole record section is one compressed stream.
//!
//! | code | name   | stream                                                                   |
//! | ---- | ------ | ------------------------------------------------------------------------ |
//! | 1    | gzip   | gzip members one after another (RFC 1952)                                |
//! | 2    | snappy | written in the framing of snappy-java ("xerial") as the Java client does; |
//! |      |        | read in this framing and bare, as librdkafka writes it                    |
//! | 3    | lz4    | LZ4 frame, independent blocks of 64 KiB, no content checksum             |
//! | 4    | zstd   | Zstandard frames (RFC 8878), from Kafka 2.1 (KIP-110)                    |
//!
//! All of it is Rust but zstd, which is the C library: it builds with the compiler that linking
//! needs anyway. In Rust, `ruzstd` 0.9 has the fastest level only and decodes at a quarter of the
//! speed; `structured-zstd` 0.2 comes near (150 to 360 MB/s where C has 230 to 420, at levels 1
//! and 3 with the same sizes), but takes three minutes of CPU to build where C takes half a
//! minute, and is young and full of `unsafe` where what others send is read. To be looked at again.

use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Deflate with a gzip header; smallest of the old ones, slowest.
    Gzip,
    /// Fast, with little effect.
    Snappy,
    /// The fastest here.
    Lz4,
    /// The smallest; needs brokers from 2.1.
    Zstd,
}

impl Compression {
    /// Every compression, in the order of the codes.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The low three bits of a batch's attributes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The compression with this code; none: a code that Kafka does not know.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The name in configs, as Kafka's `compression.type` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

/// Why a compressed section cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// It would grow beyond what the reader allows.
    #[error("compressed with {}, it grows beyond {limit} bytes", .compression.name())]
    TooLarge {
        /// The compression.
        compression: Compression,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It is not what this compression writes.
    #[error("not readable as {}: {reason}", .compression.name())]
    Damaged {
        /// The compression.
        compression: Compression,
        /// What the decoder says.
        reason: String,
    },
}

/// Compresses record sections, one after another, and keeps its memory in between.
pub struct Compressor {
    compression: Compression,
    level: i32,
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    /// `level` counts for gzip (0 to 9, usually 6) and zstd (1 to 22, usually 3) and is brought
    /// into this range.
    pub fn new(compression: Compression, level: Option<i32>) -> io::Result<Self> {
        let level = match compression {
            Compression::Gzip => level.unwrap_or(6).clamp(0, 9),
            Compression::Zstd => level.unwrap_or(3).clamp(1, 22),
            _ => 0,
        };
        let zstd = match compression {
            Compression::Zstd => Some(zstd::bulk::Compressor::new(level)?),
            _ => None,
        };
        Ok(Self { compression, level, snappy: snap::raw::Encoder::new(), zstd })
    }

    /// What it writes.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Appends `plain`, compressed, to `out`.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self.compression {
            Compression::None => out.extend_from_slice(plain),
            Compression::Gzip => {
                let level = flate2::Compression::new(self.level.unsigned_abs());
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(plain)?;
                encoder.finish()?;
            }
            Compression::Snappy => self.compress_snappy(plain, out)?,
            Compression::Lz4 => {
                let frame =
                    FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
                let mut encoder = FrameEncoder::with_frame_info(frame, out);
                encoder.write_all(plain)?;
                encoder.finish()?;
            }
            Compression::Zstd => {
                let Some(encoder) = &mut self.zstd else { return Ok(()) };
                let start = out.len();
                out.resize(start + zstd::zstd_safe::compress_bound(plain.len()), 0);
                let written = encoder.compress_to_buffer(plain, &mut out[start..])?;
                out.truncate(start + written);
            }
        }
        Ok(())
    }

    fn compress_snappy(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(&XERIAL_HEADER);
        for chunk in plain.chunks(XERIAL_CHUNK_BYTES) {
            let start = out.len();
            out.resize(start + 4 + snap::raw::max_compress_len(chunk.len()), 0);
            let written = self.snappy.compress(chunk, &mut out[start + 4..])?;
            // A chunk is 32 KiB, so that this is far from any limit.
            out[start..start + 4].copy_from_slice(&(written as u32).to_be_bytes());
            out.truncate(start + 4 + written);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor")
            .field("compression", &self.compression)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Magic, version 1, least compatible version 1: `SnappyCodec` of snappy-java.
const XERIAL_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_CHUNK_BYTES: usize = 32 * 1024;

/// Appends `packed`, decompressed, to `out`. Nothing that `packed` says about its size is
/// believed: at most `limit` bytes are appended.
pub fn decompress(
    compression: Compression,
    packed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    match compression {
        Compression::None if packed.len() > limit => Err(CompressionError::TooLarge { compression, limit }),
        Compression::None => {
            out.extend_from_slice(packed);
            Ok(())
        }
        Compression::Gzip => read_limited(compression, MultiGzDecoder::new(packed), limit, out),
        Compression::Snappy => decompress_snappy(packed, limit, out),
        Compression::Lz4 => read_limited(compression, FrameDecoder::new(packed), limit, out),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(packed);
            read_limited(compression, decoder.map_err(|error| damaged(compression, error))?, limit, out)
        }
    }
}

fn read_limited(
    compression: Compression,
    decoder: impl Read,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let read = decoder
        .take((limit as u64).saturating_add(1))
        .read_to_end(out)
        .map_err(|error| damaged(compression, error))?;
    if read > limit { Err(CompressionError::TooLarge { compression, limit }) } else { Ok(()) }
}

fn decompress_snappy(packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let compression = Compression::Snappy;
    let end = out.len().saturating_add(limit);
    let mut decoder = snap::raw::Decoder::new();
    let mut block = |block: &[u8], out: &mut Vec<u8>| {
        let bytes = snap::raw::decompress_len(block).map_err(|error| damaged(compression, error))?;
        let start = out.len();
        if bytes > end - start {
            return Err(CompressionError::TooLarge { compression, limit });
        }
        out.resize(start + bytes, 0);
        decoder.decompress(block, &mut out[start..]).map_err(|error| damaged(compression, error))?;
        Ok(())
    };
    if !packed.starts_with(&XERIAL_HEADER[..8]) {
        return block(packed, out);
    }
    let cut = || damaged(compression, "a chunk is cut off");
    let mut rest = packed.get(XERIAL_HEADER.len()..).ok_or_else(cut)?;
    while let Some((bytes, after)) = rest.split_first_chunk::<4>() {
        let (chunk, after) = after.split_at_checked(u32::from_be_bytes(*bytes) as usize).ok_or_else(cut)?;
        block(chunk, out)?;
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(cut()) }
}

fn damaged(compression: Compression, reason: impl ToString) -> CompressionError {
    CompressionError::Damaged { compression, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(compression: Compression, level: Option<i32>, plain: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        Compressor::new(compression, level).unwrap().compress(plain, &mut out).unwrap();
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }

    fn plain(compression: Compression, packed: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
        let mut out = Vec::new();
        decompress(compression, packed, limit, &mut out).map(|()| out)
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let zeros = vec![0; 3_000_000];
        for compression in Compression::ALL {
            let packed = packed(compression, None, &zeros);
            assert_eq!(plain(compression, &packed, zeros.len()).unwrap(), zeros);
            let error = plain(compression, &packed, zeros.len() - 1).unwrap_err();
            assert_eq!(error, CompressionError::TooLarge { compression, limit: zeros.len() - 1 });
        }
        // A bare snappy block that claims 4 GiB.
        let error = plain(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 1000).unwrap_err();
        assert_eq!(error, CompressionError::TooLarge { compression: Compression::Snappy, limit: 1000 });
    }

    #[test]
    fn snappy_is_read_framed_and_bare() {
        let text = b"one line and one line and one line".repeat(4000);
        let bare = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(plain(Compression::Snappy, &bare, text.len()).unwrap(), text);
        let framed = packed(Compression::Snappy, None, &text);
        assert_eq!(framed[..16], XERIAL_HEADER);
        assert_eq!(plain(Compression::Snappy, &framed, text.len()).unwrap(), text);
        for cut in [9, 15, 18, 30, framed.len() - 1] {
            assert!(plain(Compression::Snappy, &framed[..cut], text.len()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn levels_out_of_range_are_brought_into_it() {
        let text = b"a line of a log, ".repeat(100);
        for (compression, level) in [
            (Compression::Gzip, -3),
            (Compression::Gzip, 99),
            (Compression::Zstd, 0),
            (Compression::Zstd, 40),
        ] {
            let packed = packed(compression, Some(level), &text);
            assert_eq!(plain(compression, &packed, text.len()).unwrap(), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_packed_can_be_unpacked(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), 0..2000usize), 0..6)
        ) {
            let bytes: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            for compression in Compression::ALL {
                let packed = packed(compression, None, &bytes);
                prop_assert_eq!(plain(compression, &packed, bytes.len()).unwrap(), bytes.as_slice());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..5usize) {
            let _ = plain(Compression::ALL[at], &bytes, 100_000);
            // With the right beginning the decoders go further.
            let mut some = packed(Compression::ALL[at], None, &bytes);
            let middle = some.len() / 2;
            if let Some(byte) = some.get_mut(middle) {
                *byte ^= 0x55;
            }
            let _ = plain(Compression::ALL[at], &some, 100_000);
        }
    }
}
