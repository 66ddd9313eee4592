//! The hash functions of a keystore, and what is made with them: the MAC, and keys of a password.

use crate::password::Password;
use der::asn1::ObjectIdentifier;
use hmac::{KeyInit, Mac, SimpleHmac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// A hash function that the JDK may have been told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// What a key of [`Digest::derive`] is for (RFC 7292, B.3).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// Each with its identifier, and that of HMAC with it (RFC 8018, B.1.2).
const KNOWN: [(Digest, ObjectIdentifier, ObjectIdentifier); 5] = [
    (Digest::Sha1, oid("1.3.14.3.2.26"), oid("1.2.840.113549.2.7")),
    (Digest::Sha224, oid("2.16.840.1.101.3.4.2.4"), oid("1.2.840.113549.2.8")),
    (Digest::Sha256, oid("2.16.840.1.101.3.4.2.1"), oid("1.2.840.113549.2.9")),
    (Digest::Sha384, oid("2.16.840.1.101.3.4.2.2"), oid("1.2.840.113549.2.10")),
    (Digest::Sha512, oid("2.16.840.1.101.3.4.2.3"), oid("1.2.840.113549.2.11")),
];

/// Calls a function for the type of a hash function.
macro_rules! with {
    ($digest:expr, $function:ident($($argument:expr),*)) => {
        match $digest {
            Digest::Sha1 => $function::<Sha1>($($argument),*),
            Digest::Sha224 => $function::<Sha224>($($argument),*),
            Digest::Sha256 => $function::<Sha256>($($argument),*),
            Digest::Sha384 => $function::<Sha384>($($argument),*),
            Digest::Sha512 => $function::<Sha512>($($argument),*),
        }
    };
}

/// What all of them are.
trait Hash: sha2::Digest + hmac::digest::block_api::BlockSizeUser + Clone + Sync {}
impl<T: sha2::Digest + hmac::digest::block_api::BlockSizeUser + Clone + Sync> Hash for T {}

impl Digest {
    pub(crate) fn of(oid: ObjectIdentifier) -> Option<Self> {
        KNOWN.iter().find(|(_, own, _)| *own == oid).map(|(digest, ..)| *digest)
    }

    pub(crate) fn of_hmac(oid: ObjectIdentifier) -> Option<Self> {
        KNOWN.iter().find(|(.., own)| *own == oid).map(|(digest, ..)| *digest)
    }

    pub(crate) fn oid(self) -> ObjectIdentifier {
        self.known().1
    }

    pub(crate) fn hmac_oid(self) -> ObjectIdentifier {
        self.known().2
    }

    fn known(self) -> (Digest, ObjectIdentifier, ObjectIdentifier) {
        KNOWN[self as usize]
    }

    fn bytes(self) -> usize {
        with!(self, output_bytes())
    }

    /// The MAC over the content of a keystore (RFC 7292, appendix B.4).
    pub(crate) fn mac(self, password: &Password, salt: &[u8], iterations: u32, content: &[u8]) -> Vec<u8> {
        let key = self.derive(Purpose::Mac, password, salt, iterations, self.bytes());
        with!(self, hmac(&key, content))
    }

    /// Bytes of a password, by PKCS#12's own derivation (RFC 7292, appendix B.2).
    pub(crate) fn derive(
        self,
        purpose: Purpose,
        password: &Password,
        salt: &[u8],
        iterations: u32,
        bytes: usize,
    ) -> Vec<u8> {
        with!(self, derive(purpose as u8, &password.wide(), salt, iterations, bytes))
    }

    /// Bytes of a password, by PBKDF2 (RFC 8018, 5.2).
    pub(crate) fn pbkdf2(self, password: &Password, salt: &[u8], iterations: u32, bytes: usize) -> Vec<u8> {
        with!(self, pbkdf2(password.bytes(), salt, iterations, bytes))
    }
}

fn output_bytes<D: Hash>() -> usize {
    <D as sha2::Digest>::output_size()
}

fn hmac<D: Hash>(key: &[u8], content: &[u8]) -> Vec<u8> {
    // A key of any length is taken, so there is always one.
    let Ok(mac) = SimpleHmac::<D>::new_from_slice(key) else { return Vec::new() };
    mac.chain_update(content).finalize().into_bytes().to_vec()
}

fn pbkdf2<D: Hash>(password: &[u8], salt: &[u8], iterations: u32, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    // It fails for keys that the function takes none of; here it takes all.
    let _ = pbkdf2::pbkdf2::<SimpleHmac<D>>(password, salt, iterations, &mut out);
    out
}

fn derive<D: Hash>(purpose: u8, password: &[u8], salt: &[u8], iterations: u32, bytes: usize) -> Vec<u8> {
    let block = D::block_size();
    let filled = |part: &[u8]| -> Vec<u8> {
        part.iter().copied().cycle().take(part.len().div_ceil(block) * block).collect()
    };
    let mut input = filled(salt);
    input.extend(filled(password));
    let mut out = Vec::with_capacity(bytes);
    loop {
        let mut hash = D::new().chain_update(vec![purpose; block]).chain_update(&input).finalize();
        for _ in 1..iterations {
            hash = D::digest(&hash);
        }
        let wanted = (bytes - out.len()).min(hash.len());
        out.extend_from_slice(&hash[..wanted]);
        if out.len() == bytes {
            return out;
        }
        let addend: Vec<u8> = hash.iter().copied().cycle().take(block).collect();
        input.chunks_exact_mut(block).for_each(|chunk| add_and_one(chunk, &addend));
    }
}

/// Adds `addend + 1` to a number of as many bytes, the first being the highest.
fn add_and_one(number: &mut [u8], addend: &[u8]) {
    let mut carry = 1;
    for (byte, add) in number.iter_mut().zip(addend).rev() {
        let sum = u16::from(*byte) + u16::from(*add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_type() {
        for (digest, own, hmac) in KNOWN {
            assert_eq!((digest.oid(), digest.hmac_oid()), (own, hmac));
            assert_eq!((Digest::of(own), Digest::of_hmac(hmac)), (Some(digest), Some(digest)));
        }
        assert_eq!(Digest::of(oid("1.2.3")), None);
    }

    #[test]
    fn numbers_are_added() {
        #[track_caller]
        fn check(mut number: Vec<u8>, addend: &[u8], expected: &[u8]) {
            add_and_one(&mut number, addend);
            assert_eq!(number, expected);
        }
        check(vec![0, 0], &[0, 0], &[0, 1]);
        check(vec![0, 255], &[0, 1], &[1, 1]);
        check(vec![255, 255], &[255, 255], &[255, 255]); // what is carried beyond is lost
    }
}
