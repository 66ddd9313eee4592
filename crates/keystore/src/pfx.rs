//! The structures of a keystore in DER (RFC 7292, 4 and RFC 5958).

use crate::{FILE_BYTES_MAX, KeystoreError, name};
use der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence, Tag, Tagged};

pub(crate) const VERSION: u8 = 3;
pub(crate) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// What the JDK writes as the algorithm of a key of the kind "PBE".
pub(crate) const PBE_MD5_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3");
const SHROUDED_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
const SECRET_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.5");
const FRIENDLY_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");

/// The whole.
#[derive(Sequence)]
pub(crate) struct Pfx {
    pub(crate) version: u8,
    pub(crate) auth_safe: ContentInfo,
    #[asn1(optional = "true")]
    pub(crate) mac: Option<MacData>,
}

/// A part of the content, by its type.
#[derive(Clone, Sequence)]
pub(crate) struct ContentInfo {
    pub(crate) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) content: Any,
}

/// The checksum.
#[derive(Sequence)]
pub(crate) struct MacData {
    pub(crate) digest: Sealed,
    pub(crate) salt: OctetString,
    #[asn1(default = "once")]
    pub(crate) iterations: u32,
}

fn once() -> u32 {
    1
}

/// An algorithm with what it needs.
#[derive(Clone, Sequence)]
pub(crate) struct Algorithm {
    pub(crate) oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(crate) parameters: Option<Any>,
}

/// What an algorithm made: `EncryptedPrivateKeyInfo`, and `DigestInfo`, which looks the same.
#[derive(Clone, Sequence)]
pub(crate) struct Sealed {
    pub(crate) algorithm: Algorithm,
    pub(crate) data: OctetString,
}

/// An entry.
#[derive(Clone, Sequence)]
pub(crate) struct SafeBag {
    bag_id: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: Any,
    /// Java does not sort them, as DER would have it, so they are read one by one.
    #[asn1(optional = "true")]
    attributes: Option<Any>,
}

#[derive(Sequence)]
struct SecretBag {
    type_id: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    value: OctetString,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Sequence, der::ValueOrd)]
struct Attribute {
    oid: ObjectIdentifier,
    values: SetOfVec<Any>,
}

/// A key before it is encrypted.
#[derive(Sequence)]
pub(crate) struct KeyInfo {
    pub(crate) version: u8,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: OctetString,
}

impl ContentInfo {
    pub(crate) fn of_data(bytes: Vec<u8>) -> Result<Self, KeystoreError> {
        Ok(Self { content_type: DATA, content: Any::encode_from(&OctetString::new(bytes)?)? })
    }

    /// What it holds, when it is plain data.
    pub(crate) fn data(&self) -> Result<OctetString, KeystoreError> {
        if self.content_type != DATA {
            return Err(KeystoreError::unknown("its content", self.content_type));
        }
        self.content.decode_as().map_err(|_| KeystoreError::Damaged("its content"))
    }
}

impl Algorithm {
    pub(crate) fn new(
        oid: ObjectIdentifier,
        parameters: &(impl Tagged + Encode + der::EncodeValue),
    ) -> Result<Self, KeystoreError> {
        Ok(Self { oid, parameters: Some(Any::encode_from(parameters)?) })
    }

    /// One whose parameters are NULL.
    pub(crate) fn without(oid: ObjectIdentifier) -> Self {
        Self { oid, parameters: Some(Any::null()) }
    }
}

/// An entry and its alias, which is in small letters.
#[derive(Clone)]
pub(crate) struct Bag {
    pub(crate) alias: Option<String>,
    pub(crate) inner: SafeBag,
}

impl Bag {
    /// A secret that was encrypted.
    pub(crate) fn new(alias: String, sealed: &Sealed, millis: u64) -> Result<Self, KeystoreError> {
        let wide: Vec<u8> = alias.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let id = OctetString::new(format!("Time {millis}").into_bytes())?;
        let attributes = SetOfVec::from_iter([
            Attribute::new(FRIENDLY_NAME, Any::new(Tag::BmpString, wide)?)?,
            Attribute::new(LOCAL_KEY_ID, Any::encode_from(&id)?)?,
        ])?;
        let secret = SecretBag { type_id: SHROUDED_BAG, value: OctetString::new(sealed.to_der()?)? };
        let inner = SafeBag {
            bag_id: SECRET_BAG,
            value: Any::encode_from(&secret)?,
            attributes: Some(Any::encode_from(&attributes)?),
        };
        Ok(Self { alias: Some(alias), inner })
    }

    /// The name of the secret that it is.
    pub(crate) fn name(&self) -> Option<&str> {
        name::of_alias(self.alias.as_deref()?).filter(|_| self.inner.bag_id == SECRET_BAG)
    }

    /// What is encrypted in it; none when it is no secret key.
    pub(crate) fn sealed(&self) -> Option<Sealed> {
        let secret = self.inner.value.decode_as::<SecretBag>().ok()?;
        if self.inner.bag_id != SECRET_BAG || secret.type_id != SHROUDED_BAG {
            return None;
        }
        Sealed::from_der(secret.value.as_bytes()).ok()
    }
}

impl Attribute {
    fn new(oid: ObjectIdentifier, value: Any) -> Result<Self, KeystoreError> {
        Ok(Self { oid, values: SetOfVec::from_iter([value])? })
    }
}

/// Takes the structure off the front of a file; what stands behind it comes back too.
pub(crate) fn read(file: &[u8]) -> Result<(Pfx, &[u8]), KeystoreError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(KeystoreError::TooLarge);
    }
    match file {
        [] => return Err(KeystoreError::Empty),
        [0xFE, 0xED, 0xFE, 0xED, ..] => return Err(KeystoreError::OtherType("JKS")),
        [0xCE, 0xCE, 0xCE, 0xCE, ..] => return Err(KeystoreError::OtherType("JCEKS")),
        [0x30, ..] => {}
        _ => return Err(KeystoreError::NotAKeystore),
    }
    match Pfx::from_der_partial(file) {
        Ok((pfx, behind)) if pfx.version == VERSION => Ok((pfx, behind)),
        Ok(_) => Err(KeystoreError::Damaged("its version")),
        Err(_) => Err(KeystoreError::Damaged("its structure")),
    }
}

/// The entries of a list.
pub(crate) fn bags(der: &[u8]) -> Result<Vec<Bag>, KeystoreError> {
    let damaged = |_| KeystoreError::Damaged("its list of entries");
    let bags = Vec::<SafeBag>::from_der(der).map_err(damaged)?;
    bags.into_iter()
        .map(|inner| Ok(Bag { alias: alias(&inner)?.map(|alias| alias.to_lowercase()), inner }))
        .collect()
}

fn alias(bag: &SafeBag) -> Result<Option<String>, KeystoreError> {
    let damaged = KeystoreError::Damaged("the name of an entry");
    let Some(attributes) = &bag.attributes else { return Ok(None) };
    let mut rest = attributes.value();
    while !rest.is_empty() {
        let Ok((attribute, behind)) = Attribute::from_der_partial(rest) else { return Err(damaged) };
        rest = behind;
        if attribute.oid != FRIENDLY_NAME {
            continue;
        }
        let Some(value) = attribute.values.iter().next().filter(|value| value.tag() == Tag::BmpString) else {
            return Err(damaged);
        };
        let units = value.value().chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        return Ok(Some(char::decode_utf16(units).map(|c| c.unwrap_or('\u{FFFD}')).collect()));
    }
    Ok(None)
}
