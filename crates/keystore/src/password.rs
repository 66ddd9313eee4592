//! The password of a keystore: given, or kept in the file itself.

use crate::{KeystoreError, Random};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters from space to `~`: others the JDK does not take as a password (`PBEKey.java`).
#[derive(Clone)]
pub(crate) struct Password {
    text: String,
    is_kept: bool,
}

impl Password {
    /// A password that somebody gave. One with characters outside of ASCII is the Base64 of the
    /// lower halves of its UTF-16, as Logstash has it.
    pub(crate) fn own(text: &str) -> Result<Self, KeystoreError> {
        let text = if text.is_ascii() {
            text.to_owned()
        } else {
            STANDARD.encode(text.encode_utf16().map(|unit| unit as u8).collect::<Vec<u8>>())
        };
        if text.is_empty() {
            return Err(KeystoreError::EmptyPassword);
        }
        if !is_password(text.as_bytes()) {
            return Err(KeystoreError::BadPassword);
        }
        Ok(Self { text, is_kept: false })
    }

    /// A random one, as long as Logstash makes them.
    pub(crate) fn made(random: Random<'_>) -> Self {
        let mut bytes = [0; 32];
        random(&mut bytes);
        Self { text: STANDARD.encode(bytes), is_kept: true }
    }

    /// Reads what stands behind the PKCS#12 part of a file.
    pub(crate) fn kept_in(behind: &[u8]) -> Result<Self, KeystoreError> {
        let damaged = KeystoreError::Damaged("the password behind its end");
        let Some((&len, before)) = behind.split_last() else { return Err(damaged) };
        let Some(start) = before.len().checked_sub(usize::from(len)) else { return Err(damaged) };
        // Where the halves are not of one length, the second is the longer one.
        let (mixed, random) = before[start..].split_at(usize::from(len) / 2);
        let text: Vec<u8> = mixed.iter().zip(random).map(|(a, b)| a ^ b).collect();
        match String::from_utf8(text) {
            Ok(text) if !text.is_empty() && is_password(text.as_bytes()) => Ok(Self { text, is_kept: true }),
            _ => Err(damaged),
        }
    }

    /// Writes a password that is to be kept in the file behind its end.
    pub(crate) fn keep_in(&self, file: &mut Vec<u8>, random: Random<'_>) {
        if !self.is_kept {
            return;
        }
        let mut key = vec![0; self.text.len()];
        random(&mut key);
        file.extend(self.text.bytes().zip(&key).map(|(a, b)| a ^ b));
        file.extend_from_slice(&key);
        // What is kept was made of 32 bytes or read from as many as a byte counts.
        file.push((key.len() * 2) as u8);
    }

    /// Whether it stands in the file.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// As PBKDF2 takes it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// As PKCS#12's own derivation takes it: UTF-16 with two zeros behind (RFC 7292, B.1).
    pub(crate) fn wide(&self) -> Vec<u8> {
        self.text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect()
    }
}

fn is_password(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn passwords() {
        #[track_caller]
        fn check(text: &str, expected: Result<&str, KeystoreError>) {
            assert_eq!(Password::own(text).map(|made| made.text), expected.map(str::to_owned));
        }
        check("changeme", Ok("changeme"));
        check("", Err(KeystoreError::EmptyPassword));
        check("a\tb", Err(KeystoreError::BadPassword));
        check("ä€", Ok("5Kw=")); // E4 and the lower half of 20AC
        assert_eq!(Password::own("a~").unwrap().wide(), [0, b'a', 0, b'~', 0, 0]);
    }

    #[test]
    fn a_password_behind_the_end_is_damaged_or_one() {
        #[track_caller]
        fn check(behind: &[u8], expected: Option<&str>) {
            assert_eq!(Password::kept_in(behind).ok().map(|kept| kept.text).as_deref(), expected);
        }
        check(&[b'a' ^ 7, b'b' ^ 9, 7, 9, 4], Some("ab"));
        check(&[1, 1, 1, b'a' ^ 7, b'b' ^ 9, 7, 9, 4], Some("ab")); // leftovers before it
        check(&[], None);
        check(&[0], None);
        check(&[1, 2], None);
        check(&[1, 2, 3, 4, 5], None);
        check(&[7, 7, 2], None); // it would be a zero
    }

    proptest! {
        #[test]
        fn what_is_kept_is_found(seed: [u8; 32], before: Vec<u8>, key: u8) {
            let made = Password::made(&mut |bytes| bytes.copy_from_slice(&seed));
            let mut file = before;
            made.keep_in(&mut file, &mut |bytes| bytes.fill(key));
            prop_assert_eq!(Password::kept_in(&file).unwrap().text, made.text);
        }

        #[test]
        fn any_end_is_read(behind: Vec<u8>) {
            let _ = Password::kept_in(&behind);
        }
    }
}
