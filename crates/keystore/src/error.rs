//! What can be wrong with a keystore.

use der::asn1::ObjectIdentifier;

/// Why a keystore was not opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// The file is empty.
    #[error("it is empty; make a new one with \"logpond keystore create\"")]
    Empty,
    /// It has more than [`FILE_BYTES_MAX`](crate::FILE_BYTES_MAX) bytes.
    #[error("it is larger than {} MiB, which no keystore is", crate::FILE_BYTES_MAX >> 20)]
    TooLarge,
    /// A keystore of Java, but of another type.
    #[error("it is a keystore of Java of the type {0}; Logstash's are of the type PKCS12")]
    OtherType(&'static str),
    /// It does not begin as PKCS#12 does.
    #[error("it is no keystore")]
    NotAKeystore,
    /// It begins as a keystore and is none.
    #[error("it is a damaged keystore: {0} cannot be read")]
    Damaged(&'static str),
    /// There is a keystore, but `keystore.seed` is not in it.
    #[error("it is a keystore, but not one of Logstash, which have the entry keystore.seed")]
    NotOfLogstash,
    /// It holds no password, and none was given.
    #[error("it is under a password: put it into LOGSTASH_KEYSTORE_PASS")]
    NoPassword,
    /// The password is empty.
    #[error("LOGSTASH_KEYSTORE_PASS is empty; a keystore made without a password needs it unset")]
    EmptyPassword,
    /// Java takes only characters from space to `~`.
    #[error("LOGSTASH_KEYSTORE_PASS has a control character, which Java does not take")]
    BadPassword,
    /// The checksum is another one with this password.
    #[error("{}", wrong_password(*.is_own, *.holds_password))]
    WrongPassword {
        /// It was given, not found in the file.
        is_own: bool,
        /// The file seems to hold its password.
        holds_password: bool,
    },
    /// Something that the JDK would have to be set up for.
    #[error("{what} is made in a way that is not known here ({algorithm})")]
    Algorithm {
        /// Of which part.
        what: &'static str,
        /// The object identifier.
        algorithm: String,
    },
    /// Deriving the key would take too long.
    #[error("its keys are derived {iterations} times, more than {most}")]
    Iterations {
        /// How often.
        iterations: u32,
        /// What would be done.
        most: u32,
    },
    /// The keystore opens, this entry does not.
    #[error("the entry {name:?} cannot be read: {why}")]
    Sealed {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Such a name cannot be added.
    #[error("{name:?} is no name for a secret: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was to be written has no form in the file.
    #[error("it cannot be written: {0}")]
    Unwritable(String),
}

impl KeystoreError {
    pub(crate) fn unknown(what: &'static str, algorithm: ObjectIdentifier) -> Self {
        Self::Algorithm { what, algorithm: algorithm.to_string() }
    }
}

/// Only what is encoded comes this way; what is decoded says what it was.
impl From<der::Error> for KeystoreError {
    fn from(error: der::Error) -> Self {
        Self::Unwritable(error.to_string())
    }
}

fn wrong_password(is_own: bool, holds_password: bool) -> &'static str {
    match (is_own, holds_password) {
        (true, false) => "LOGSTASH_KEYSTORE_PASS is not its password, or it is damaged",
        (true, true) => {
            "LOGSTASH_KEYSTORE_PASS is not its password, or it is damaged; if it was made without a password, unset LOGSTASH_KEYSTORE_PASS"
        }
        (false, _) => "it is under a password, which LOGSTASH_KEYSTORE_PASS must hold, or it is damaged",
    }
}
