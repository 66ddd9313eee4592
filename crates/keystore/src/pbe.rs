//! Encryption under a password: PBES2 (RFC 8018, 6.2), which the JDK uses since Java 17 and the
//! late updates of 8 and 11, and the older ones of PKCS#12 (RFC 7292, appendix C).

use crate::digest::{Digest, Purpose};
use crate::password::Password;
use crate::pfx::Algorithm;
use crate::{KeystoreError, Random, within};
use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit, KeyIvInit};
use der::Sequence;
use der::asn1::{ObjectIdentifier, OctetString};
use des::{TdesEde2, TdesEde3};
use rc2::Rc2;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");
const AES_128: ObjectIdentifier = oid("2.16.840.1.101.3.4.1.2");
const AES_192: ObjectIdentifier = oid("2.16.840.1.101.3.4.1.22");
const AES_256: ObjectIdentifier = oid("2.16.840.1.101.3.4.1.42");
const SHA_3DES_3: ObjectIdentifier = oid("1.2.840.113549.1.12.1.3");
const SHA_3DES_2: ObjectIdentifier = oid("1.2.840.113549.1.12.1.4");
const SHA_RC2_128: ObjectIdentifier = oid("1.2.840.113549.1.12.1.5");
const SHA_RC2_40: ObjectIdentifier = oid("1.2.840.113549.1.12.1.6");

const WHAT: &str = "its encryption";

#[derive(Sequence)]
struct Pbes2 {
    derivation: Algorithm,
    cipher: Algorithm,
}

#[derive(Sequence)]
struct Pbkdf2 {
    salt: OctetString,
    iterations: u32,
    #[asn1(optional = "true")]
    key_bytes: Option<u16>,
    #[asn1(optional = "true")]
    hmac: Option<Algorithm>,
}

/// The parameters of those of PKCS#12.
#[derive(Sequence)]
struct Older {
    salt: OctetString,
    iterations: u32,
}

/// The parameters say nothing that makes sense.
const UNREADABLE: KeystoreError = KeystoreError::Damaged("how it is encrypted");

/// Decrypts. A password that does not fit is mostly seen by the padding, and is then
/// [`KeystoreError::WrongPassword`].
pub(crate) fn decrypt(
    algorithm: &Algorithm,
    password: &Password,
    data: &[u8],
    iterations_max: u32,
) -> Result<Vec<u8>, KeystoreError> {
    let parameters = algorithm.parameters.as_ref().ok_or(UNREADABLE)?;
    if algorithm.oid == PBES2 {
        let pbes2: Pbes2 = parameters.decode_as().map_err(|_| UNREADABLE)?;
        return decrypt_pbes2(&pbes2, password, data, iterations_max);
    }
    let key_bytes = match algorithm.oid {
        SHA_3DES_3 => 24,
        SHA_3DES_2 | SHA_RC2_128 => 16,
        SHA_RC2_40 => 5,
        other => return Err(KeystoreError::unknown(WHAT, other)),
    };
    let Older { salt, iterations } = parameters.decode_as().map_err(|_| UNREADABLE)?;
    within(iterations, iterations_max)?;
    let of = |purpose, bytes| Digest::Sha1.derive(purpose, password, salt.as_bytes(), iterations, bytes);
    let (key, iv) = (of(Purpose::Key, key_bytes), of(Purpose::Iv, 8));
    let plain = match algorithm.oid {
        SHA_3DES_3 => unsealed::<TdesEde3>(&key, &iv, data),
        SHA_3DES_2 => unsealed::<TdesEde2>(&key, &iv, data),
        // The effective length of its key is that of the key (RFC 2268).
        _ => cbc::Decryptor::<Rc2>::inner_iv_slice_init(Rc2::new_with_eff_key_len(&key, key_bytes * 8), &iv)
            .ok()
            .and_then(|cipher| cipher.decrypt_padded_vec::<Pkcs7>(data).ok()),
    };
    plain.ok_or(KeystoreError::WrongPassword { is_own: true, holds_password: false })
}

fn decrypt_pbes2(
    pbes2: &Pbes2,
    password: &Password,
    data: &[u8],
    iterations_max: u32,
) -> Result<Vec<u8>, KeystoreError> {
    if pbes2.derivation.oid != PBKDF2 {
        return Err(KeystoreError::unknown("its key", pbes2.derivation.oid));
    }
    let (Some(derivation), Some(iv)) = (&pbes2.derivation.parameters, &pbes2.cipher.parameters) else {
        return Err(UNREADABLE);
    };
    let derivation: Pbkdf2 = derivation.decode_as().map_err(|_| UNREADABLE)?;
    let iv: OctetString = iv.decode_as().map_err(|_| UNREADABLE)?;
    let digest = match &derivation.hmac {
        None => Digest::Sha1,
        Some(hmac) => Digest::of_hmac(hmac.oid).ok_or_else(|| KeystoreError::unknown("its key", hmac.oid))?,
    };
    let key_bytes = match pbes2.cipher.oid {
        AES_128 => 16,
        AES_192 => 24,
        AES_256 => 32,
        other => return Err(KeystoreError::unknown(WHAT, other)),
    };
    if derivation.key_bytes.is_some_and(|bytes| usize::from(bytes) != key_bytes) {
        return Err(UNREADABLE);
    }
    let iterations = within(derivation.iterations, iterations_max)?;
    let key = digest.pbkdf2(password, derivation.salt.as_bytes(), iterations, key_bytes);
    let plain = match pbes2.cipher.oid {
        AES_128 => unsealed::<Aes128>(&key, iv.as_bytes(), data),
        AES_192 => unsealed::<Aes192>(&key, iv.as_bytes(), data),
        _ => unsealed::<Aes256>(&key, iv.as_bytes(), data),
    };
    plain.ok_or(KeystoreError::WrongPassword { is_own: true, holds_password: false })
}

fn unsealed<C: BlockCipherDecrypt + KeyInit>(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(data).ok()
}

/// Encrypts as Java 17 and newer do: PBES2 with HMAC-SHA-256 and AES-256.
pub(crate) fn encrypt(
    password: &Password,
    plain: &[u8],
    iterations: u32,
    random: Random<'_>,
) -> Result<(Algorithm, Vec<u8>), KeystoreError> {
    let (mut salt, mut iv) = ([0; 20], [0; 16]);
    random(&mut salt);
    random(&mut iv);
    let key = Digest::Sha256.pbkdf2(password, &salt, iterations, 32);
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&key, &iv)
        .map_err(|error| KeystoreError::Unwritable(error.to_string()))?;
    let derivation = Pbkdf2 {
        salt: OctetString::new(salt)?,
        iterations,
        key_bytes: Some(32),
        hmac: Some(Algorithm::without(Digest::Sha256.hmac_oid())),
    };
    let pbes2 = Pbes2 {
        derivation: Algorithm::new(PBKDF2, &derivation)?,
        cipher: Algorithm::new(AES_256, &OctetString::new(iv)?)?,
    };
    Ok((Algorithm::new(PBES2, &pbes2)?, cipher.encrypt_padded_vec::<Pkcs7>(plain)))
}
