//! The keystore of Logstash, `logstash.keystore`: read and written.
//!
//! It is a keystore of Java of the type PKCS#12 (RFC 7292) under a password, as the JDK's
//! `PKCS12KeyStore` writes it, and behind it, when it was made without a password, that password:
//!
//! ```text
//! PFX                 version 3
//!   authSafe          data: SEQUENCE OF ContentInfo
//!     data            SEQUENCE OF SafeBag, the secrets
//!       SafeBag       secretBag: an EncryptedPrivateKeyInfo, its attributes friendlyName (the alias)
//!                     and localKeyID ("Time " and the milliseconds of its making)
//!     encryptedData   certificates; Logstash has none
//!   macData           HMAC over authSafe, its key of the password (RFC 7292, appendix B)
//! leftovers           Logstash writes over the file and never cuts it
//! password            n/2 bytes, each xor the byte n/2 behind it, and these n/2 random bytes
//! n                   one byte; 0 < n
//! ```
//!
//! An alias is `urn:logstash:secret:v1:` and the name in small letters; the key that is encrypted is
//! the Base64 of the value. The name `keystore.seed` says that the keystore is one of Logstash.
//! Sources: `JavaKeyStore.java`, `SecretStoreUtil.java`, `SecretIdentifier.java` of Logstash;
//! `PKCS12KeyStore.java` of OpenJDK.
//!
//! What is read is kept as it was, whatever it is, and written again: an entry is decrypted only
//! when its value is asked for. Nothing here does I/O or knows the time: randomness and the hour
//! come from the caller. The values are not wiped from memory.

mod digest;
mod error;
mod name;
mod password;
mod pbe;
mod pfx;

pub use error::KeystoreError;
pub use name::{is_referable, name_of};

use der::asn1::OctetString;
use der::{Decode, Encode};
use digest::Digest;
use password::Password;
use pfx::{Algorithm, Bag, ContentInfo, KeyInfo, MacData, Pfx, Sealed};

/// More bytes than a keystore has: one with a thousand secrets has a third of it.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// How often a key may be derived anew, for each of the file's keys; the JDK has the same limit
/// (`MAX_ITERATION_COUNT`), and works seconds on it.
pub const ITERATIONS_MAX: u32 = 5_000_000;
/// The JDK's own count, of which it is 10000 since Java 17.
const ITERATIONS: u32 = 10_000;
/// The name that says that a keystore is one of Logstash, and its value.
const MARKER: &str = "keystore.seed";

/// Where random bytes come from; it fills all of the slice.
pub type Random<'r> = &'r mut dyn FnMut(&mut [u8]);

/// A keystore in memory. It opened with its password, so values can be read from it and put into it.
#[derive(Clone)]
pub struct Keystore {
    password: Password,
    bags: Vec<Bag>,
    /// What is no secret, as it was found.
    others: Vec<ContentInfo>,
    mac: (Digest, u32),
    iterations_max: u32,
}

impl std::fmt::Debug for Keystore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keystore").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl Keystore {
    /// An empty one. Without a password a random one is made, which the file will hold: it keeps
    /// nobody out who can read the file.
    ///
    /// Fails for a password that is empty or that Java does not take.
    pub fn create(password: Option<&str>, millis: u64, random: Random<'_>) -> Result<Self, KeystoreError> {
        let password = match password {
            Some(password) => Password::own(password)?,
            None => Password::made(random),
        };
        let mut made = Self {
            password,
            bags: Vec::new(),
            others: Vec::new(),
            mac: (Digest::Sha256, ITERATIONS),
            iterations_max: ITERATIONS_MAX,
        };
        made.put(MARKER, MARKER, millis, random)?;
        Ok(made)
    }

    /// Opens the bytes of a file with `LOGSTASH_KEYSTORE_PASS`, or, where there is none, with the
    /// password that the file holds. It takes two derivations of a key, of some milliseconds each.
    pub fn open(file: &[u8], password: Option<&str>) -> Result<Self, KeystoreError> {
        Self::open_within(file, password, ITERATIONS_MAX)
    }

    /// The same, with another limit than [`ITERATIONS_MAX`].
    pub fn open_within(
        file: &[u8],
        password: Option<&str>,
        iterations_max: u32,
    ) -> Result<Self, KeystoreError> {
        let (pfx, behind) = pfx::read(file)?;
        let password = match password {
            Some(password) => Password::own(password)?,
            None if behind.is_empty() => return Err(KeystoreError::NoPassword),
            None => Password::kept_in(behind)?,
        };
        let content = pfx.auth_safe.data()?;
        let mut opened = Self {
            mac: (Digest::Sha256, ITERATIONS),
            bags: Vec::new(),
            others: Vec::new(),
            password,
            iterations_max,
        };
        if let Some(mac) = &pfx.mac {
            opened.mac = opened.verified(mac, content.as_bytes(), !behind.is_empty())?;
        }
        let parts = Vec::<ContentInfo>::from_der(content.as_bytes())
            .map_err(|_| KeystoreError::Damaged("its list of contents"))?;
        for part in parts {
            if part.content_type == pfx::DATA {
                opened.bags.extend(pfx::bags(part.data()?.as_bytes())?);
            } else {
                opened.others.push(part);
            }
        }
        match opened.get(MARKER) {
            Ok(Some(_)) => Ok(opened),
            Ok(None) => Err(KeystoreError::NotOfLogstash),
            // Where no MAC tells it, the first entry does.
            Err(KeystoreError::Sealed { .. }) if pfx.mac.is_none() => Err(opened.refused(!behind.is_empty())),
            Err(error) => Err(error),
        }
    }

    /// The names that can be asked for, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.bags.iter().filter_map(|bag| bag.name()).filter(|name| *name != MARKER).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether there is such a name; capital and small letters are the same.
    pub fn has(&self, name: &str) -> bool {
        self.bag(name).is_some()
    }

    /// The value of a name, which is decrypted now. Bytes that are no UTF-8 are replaced, as
    /// Logstash does.
    pub fn get(&self, name: &str) -> Result<Option<String>, KeystoreError> {
        let Some(bag) = self.bag(name) else { return Ok(None) };
        let sealed = |why| KeystoreError::Sealed { name: name.to_owned(), why };
        let info = bag.sealed().ok_or_else(|| sealed("it is no secret key"))?;
        let plain = pbe::decrypt(&info.algorithm, &self.password, info.data.as_bytes(), self.iterations_max);
        let plain = plain.map_err(|error| match error {
            KeystoreError::WrongPassword { .. } => sealed("it is damaged or under another password"),
            other => other,
        })?;
        let info = KeyInfo::from_der(&plain).map_err(|_| sealed("it is no secret key"))?;
        let value = base64_of(info.key.as_bytes()).ok_or_else(|| sealed("it is not Base64"))?;
        Ok(Some(String::from_utf8_lossy(&value).into_owned()))
    }

    /// Puts a value in place, also of one that is there; `millis` is the hour, since 1970.
    pub fn insert(
        &mut self,
        name: &str,
        value: &str,
        millis: u64,
        random: Random<'_>,
    ) -> Result<(), KeystoreError> {
        let name = name_of(name)?;
        if name == MARKER {
            return Err(KeystoreError::Name { name, why: "it marks the keystore as one of Logstash" });
        }
        self.put(&name, value, millis, random)
    }

    /// Takes a value out; false when there is none of the name.
    pub fn remove(&mut self, name: &str) -> bool {
        let alias = name::alias_of(name);
        let before = self.bags.len();
        if alias != name::alias_of(MARKER) {
            self.bags.retain(|bag| bag.alias.as_deref() != Some(&alias));
        }
        self.bags.len() < before
    }

    /// The bytes of the file.
    pub fn to_bytes(&self, random: Random<'_>) -> Result<Vec<u8>, KeystoreError> {
        let bags: Vec<_> = self.bags.iter().map(|bag| bag.inner.clone()).collect();
        let mut parts = vec![ContentInfo::of_data(bags.to_der()?)?];
        parts.extend(self.others.iter().cloned());
        let content = parts.to_der()?;
        let (digest, iterations) = self.mac;
        let mut salt = vec![0; 20];
        random(&mut salt);
        let sum = digest.mac(&self.password, &salt, iterations, &content);
        let pfx = Pfx {
            version: pfx::VERSION,
            auth_safe: ContentInfo::of_data(content)?,
            mac: Some(MacData {
                digest: Sealed { algorithm: Algorithm::without(digest.oid()), data: OctetString::new(sum)? },
                salt: OctetString::new(salt)?,
                iterations,
            }),
        };
        let mut file = pfx.to_der()?;
        self.password.keep_in(&mut file, random);
        if file.len() > FILE_BYTES_MAX {
            return Err(KeystoreError::TooLarge);
        }
        Ok(file)
    }

    fn bag(&self, name: &str) -> Option<&Bag> {
        let alias = name::alias_of(name);
        self.bags.iter().rfind(|bag| bag.alias.as_deref() == Some(&alias))
    }

    fn put(&mut self, name: &str, value: &str, millis: u64, random: Random<'_>) -> Result<(), KeystoreError> {
        use base64::Engine;
        let key = base64::engine::general_purpose::STANDARD.encode(value);
        let info = KeyInfo {
            version: 0,
            algorithm: Algorithm::without(pfx::PBE_MD5_DES),
            key: OctetString::new(key.into_bytes())?,
        };
        let (algorithm, data) = pbe::encrypt(&self.password, &info.to_der()?, ITERATIONS, random)?;
        let sealed = Sealed { algorithm, data: OctetString::new(data)? };
        let bag = Bag::new(name::alias_of(name), &sealed, millis)?;
        self.bags.retain(|other| other.alias != bag.alias);
        self.bags.push(bag);
        Ok(())
    }

    /// Checks the MAC and returns what it was made with.
    fn verified(
        &self,
        mac: &MacData,
        content: &[u8],
        holds_password: bool,
    ) -> Result<(Digest, u32), KeystoreError> {
        use subtle::ConstantTimeEq;
        let digest = Digest::of(mac.digest.algorithm.oid)
            .ok_or_else(|| KeystoreError::unknown("its checksum", mac.digest.algorithm.oid))?;
        within(mac.iterations, self.iterations_max)?;
        let sum = digest.mac(&self.password, mac.salt.as_bytes(), mac.iterations, content);
        if sum.ct_eq(mac.digest.data.as_bytes()).into() {
            Ok((digest, mac.iterations))
        } else {
            Err(self.refused(holds_password))
        }
    }

    /// Why the password does not fit, as far as it can be said.
    fn refused(&self, holds_password: bool) -> KeystoreError {
        KeystoreError::WrongPassword { is_own: !self.password.is_kept(), holds_password }
    }
}

/// Refuses a count of iterations that would take too long.
fn within(iterations: u32, most: u32) -> Result<u32, KeystoreError> {
    match iterations {
        0 => Err(KeystoreError::Damaged("how often a key is derived")),
        n if n > most => Err(KeystoreError::Iterations { iterations, most }),
        n => Ok(n),
    }
}

fn base64_of(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests;
