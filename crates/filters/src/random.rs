//! Random numbers out of a seed that comes in: SHA-256 of the seed and a counter.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A stream of numbers that nobody can foresee who does not know the seed.
pub(crate) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    fn draw(&mut self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.drawn.to_le_bytes());
        self.drawn += 1;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        bytes
    }

    /// A number from 0 up to 1, which is left out.
    pub(crate) fn fraction(&mut self) -> f64 {
        let bytes = self.draw();
        let whole = bytes[..8].iter().fold(0_u64, |whole, byte| whole << 8 | u64::from(*byte));
        // A float holds 53 bits.
        (whole >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A UUID of version 4 (RFC 9562, section 5.4), as text.
    pub(crate) fn uuid(&mut self) -> String {
        let mut bytes = self.draw();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (n, byte) in bytes.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn uuids_have_their_form_and_differ() {
        let mut random = Random::new([7; 32]);
        let all: std::collections::BTreeSet<String> = (0..1000).map(|_| random.uuid()).collect();
        assert_eq!(all.len(), 1000);
        for uuid in &all {
            assert_eq!(uuid.len(), 36);
            assert_eq!(&uuid[14..15], "4");
            assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"));
            assert!(uuid.bytes().enumerate().all(|(n, byte)| match n {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            }));
        }
        // Another seed gives others.
        assert!(!all.contains(&Random::new([8; 32]).uuid()));
    }
}
