//! Filter `fingerprint`: a hash of fields, the same for the same values.
//!
//! What is hashed is the text that Ruby makes of a value (`ruby.rs`), so that ids of documents that
//! Logstash made are found again.

mod murmur3;

use crate::random::Random;
use crate::values::{all_fields, tree_of};
use crate::{BuildError, Outcome, Provider, Secret, cidr, path, ruby};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use event::{Event, New, Path, Value};
use expr::onigmo::Regex;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use md5::Md5;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt::Write;
use std::sync::LazyLock;

/// Options of the filter `fingerprint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The fields; several give one hash together, or the last one's alone without
    /// `concatenate_sources`.
    #[serde(deserialize_with = "crate::one_or_many")]
    pub source: Vec<String>,
    /// The field that takes the hash.
    pub target: String,
    /// How it is made.
    pub method: Method,
    /// What makes the hash an HMAC (RFC 2104).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// The length of the prefix, for `IPV4_NETWORK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_prefix: Option<u8>,
    /// Whether the hash is in base64 and not in hexadecimal digits.
    pub base64encode: bool,
    /// Whether the text `|name|value|name|value|` of the fields, sorted by name, is hashed.
    pub concatenate_sources: bool,
    /// Whether this is done with all fields of the event, its time included.
    pub concatenate_all_fields: bool,
}

/// How a fingerprint is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// SHA-1 (FIPS 180-4).
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// MD5 (RFC 1321).
    Md5,
    /// MurmurHash3, 32 bits, as a number.
    Murmur3,
    /// MurmurHash3, 128 bits.
    #[serde(rename = "MURMUR3_128")]
    Murmur3Of128,
    /// The network of an IPv4 address.
    #[serde(rename = "IPV4_NETWORK")]
    Ipv4Network,
    /// A random UUID.
    Uuid,
    /// What is left of a text without letters, digits and blanks.
    Punctuation,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: vec!["message".into()],
            target: "fingerprint".into(),
            method: Method::Sha1,
            key: None,
            network_prefix: None,
            base64encode: false,
            concatenate_sources: false,
            concatenate_all_fields: false,
        }
    }
}

/// The filter.
pub struct Fingerprint {
    /// The fields and their names as they were written.
    sources: Vec<(Path, String)>,
    target: Path,
    maker: Maker,
    concatenate: Concatenate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Concatenate {
    Nothing,
    Sources,
    All,
}

enum Maker {
    Digest { method: Method, key: Option<Vec<u8>>, base64: bool },
    Network(u8),
    Uuid(Random),
    Punctuation,
}

/// A fingerprint that was made.
enum Made {
    Text(String),
    Number(u32),
    /// An array of them, as JSON.
    Array(String),
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Fingerprint, BuildError> {
        let wrong = |option, message: &str| Err(BuildError { option, message: message.to_owned() });
        let key = self.key.as_ref().map(|key| key.expose().as_bytes().to_vec());
        if key.is_some()
            && !matches!(
                self.method,
                Method::Sha1 | Method::Sha256 | Method::Sha384 | Method::Sha512 | Method::Md5
            )
        {
            return wrong("key", "is for MD5 and the methods of SHA");
        }
        let maker = match self.method {
            Method::Uuid => {
                let seed = provider.random().map_err(|message| BuildError { option: "method", message })?;
                Maker::Uuid(Random::new(seed))
            }
            Method::Punctuation => Maker::Punctuation,
            Method::Ipv4Network => match self.network_prefix {
                Some(length @ 0..=32) => Maker::Network(length),
                _ => return wrong("network_prefix", "needs the length of the network's prefix, 0 to 32"),
            },
            method => Maker::Digest { method, key, base64: self.base64encode },
        };
        let hashes = matches!(maker, Maker::Digest { .. });
        let concatenate = match (self.concatenate_all_fields, self.concatenate_sources) {
            (true, _) if hashes => Concatenate::All,
            (_, true) if hashes => Concatenate::Sources,
            _ => Concatenate::Nothing,
        };
        if self.source.is_empty() && concatenate != Concatenate::All && !matches!(maker, Maker::Uuid(_)) {
            return wrong("source", "needs at least one field");
        }
        let mut sources = Vec::new();
        for text in &self.source {
            sources.push((path("source", text)?, text.clone()));
        }
        if concatenate == Concatenate::Sources || self.method == Method::Punctuation {
            sources.sort_by(|(_, a), (_, b)| a.cmp(b));
        }
        Ok(Fingerprint { sources, target: path("target", &self.target)?, maker, concatenate })
    }
}

impl Fingerprint {
    /// Applies it. It fails, and changes nothing, where a field is of no use to the method.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let made = match (&mut self.maker, self.concatenate) {
            (Maker::Uuid(random), _) => Some(Made::Text(random.uuid())),
            (maker, Concatenate::All) => maker.of_text(all_text(event).as_bytes()),
            (maker, Concatenate::Sources) => maker.of_text(sources_text(&self.sources, event).as_bytes()),
            (maker, Concatenate::Nothing) => {
                // There is one target: of several fields, the last one that is there gives the hash.
                let Some(value) = self.sources.iter().rev().find_map(|(path, _)| event.get(path)) else {
                    return Outcome::OK;
                };
                maker.of_value(&value)
            }
        };
        Outcome::of(made.is_some_and(|made| {
            match &made {
                Made::Text(text) => event.set(&self.target, New::Str(text.as_bytes())),
                Made::Number(number) => event.set(&self.target, New::Int(i64::from(*number))),
                Made::Array(json) => event.set(&self.target, New::Json(json)),
            }
            .is_ok()
        }))
    }
}

impl Maker {
    fn of_value(&self, value: &Value<'_>) -> Option<Made> {
        if let Value::Str(text) = value {
            return self.of_text(text);
        }
        match as_ruby(value) {
            Json::Array(items) if !matches!(self, Maker::Punctuation) => {
                let of_item = |item: &Json| {
                    Some(match self.of_tree(item)? {
                        Made::Text(text) => Json::String(text),
                        Made::Number(number) => number.into(),
                        Made::Array(_) => return None,
                    })
                };
                let all = items.iter().map(of_item).collect::<Option<Vec<_>>>()?;
                Some(Made::Array(Json::Array(all).to_string()))
            }
            one => self.of_tree(&one),
        }
    }

    fn of_tree(&self, value: &Json) -> Option<Made> {
        match (self, value.as_i64()) {
            (
                Maker::Digest { method: method @ (Method::Murmur3 | Method::Murmur3Of128), base64, .. },
                Some(number),
            ) => {
                // Whole numbers are hashed as numbers: of four bytes where they fit, for 128 bits.
                let long = number.to_le_bytes();
                let short = i32::try_from(number).ok().filter(|_| *method == Method::Murmur3Of128);
                match short {
                    Some(short) => digest(*method, None, *base64, &short.to_le_bytes()),
                    None => digest(*method, None, *base64, &long),
                }
            }
            (Maker::Punctuation | Maker::Network(_), _) => self.of_text(value.as_str()?.as_bytes()),
            _ => {
                let mut text = String::new();
                ruby::write_text(value, &mut text);
                self.of_text(text.as_bytes())
            }
        }
    }

    fn of_text(&self, text: &[u8]) -> Option<Made> {
        match self {
            Maker::Digest { method, key, base64 } => digest(*method, key.as_deref(), *base64, text),
            Maker::Network(length) => {
                cidr::ipv4_network(std::str::from_utf8(text).ok()?, *length).map(Made::Text)
            }
            Maker::Punctuation => {
                let text = std::str::from_utf8(text).ok()?;
                Some(Made::Text(text.chars().filter(|c| is_punctuation(*c)).collect()))
            }
            Maker::Uuid(_) => None,
        }
    }
}

fn digest(method: Method, key: Option<&[u8]>, base64: bool, text: &[u8]) -> Option<Made> {
    let bytes = match method {
        Method::Sha1 => hashed::<Sha1, Hmac<Sha1>>(key, text)?,
        Method::Sha256 => hashed::<Sha256, Hmac<Sha256>>(key, text)?,
        Method::Sha384 => hashed::<Sha384, Hmac<Sha384>>(key, text)?,
        Method::Sha512 => hashed::<Sha512, Hmac<Sha512>>(key, text)?,
        Method::Md5 => hashed::<Md5, Hmac<Md5>>(key, text)?,
        Method::Murmur3 => return Some(Made::Number(murmur3::hash32(text, 0))),
        Method::Murmur3Of128 => {
            murmur3::hash128(text, MURMUR3_128_SEED).iter().flat_map(|half| half.to_le_bytes()).collect()
        }
        Method::Ipv4Network | Method::Uuid | Method::Punctuation => return None,
    };
    if base64 {
        return Some(Made::Text(STANDARD.encode(bytes)));
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Some(Made::Text(text))
}

/// The seed that Logstash takes.
const MURMUR3_128_SEED: u32 = 2;

fn hashed<D: Digest, M: Mac + KeyInit>(key: Option<&[u8]>, text: &[u8]) -> Option<Vec<u8>> {
    match key {
        // Keys of every length are taken.
        Some(key) => {
            M::new_from_slice(key).ok().map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        }
        None => Some(D::digest(text).to_vec()),
    }
}

/// Unicode's categories P and S: what is neither letter, mark, digit, blank nor control.
fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    PUNCTUATION.is_match(c.encode_utf8(&mut [0; 4]).as_bytes())
}

static PUNCTUATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[\\p{P}\\p{S}]").expect("a regular expression of our own"));

/// The text of the fields: `|name|value|name|value|`.
fn sources_text(sources: &[(Path, String)], event: &Event<'_>) -> String {
    let mut text = String::new();
    for (path, name) in sources {
        let value = event.get(path).map_or(Json::Null, |value| as_ruby(&value));
        add(&mut text, name, &value);
    }
    text.push('|');
    text
}

/// The same of all fields, the time included.
fn all_text(event: &Event<'_>) -> String {
    let mut names: Vec<&str> = all_fields(event).chain(["@timestamp"]).collect();
    names.sort_unstable();
    let mut text = String::new();
    for name in names {
        let value = event.get(&Path::of([name])).map_or(Json::Null, |value| as_ruby(&value));
        add(&mut text, name, &value);
    }
    text.push('|');
    text
}

fn add(text: &mut String, name: &str, value: &Json) {
    text.extend(["|", name, "|"]);
    ruby::write_text(value, text);
}

/// A value as a tree in which times have the text that Logstash gives them: a fraction of three,
/// six or nine digits, or none.
fn as_ruby(value: &Value<'_>) -> Json {
    let Value::Time(ns) = value else { return tree_of(value) };
    let time = chrono::DateTime::from_timestamp_nanos(*ns);
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into()
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, check, mistake};
    use serde_json::{Value, json};

    /// The fingerprint that an event gets.
    #[track_caller]
    fn print(options: &str, event: Value) -> Value {
        let config = format!(r#"{{"fingerprint":{{{options}}}}}"#);
        let (mut after, outcome) = apply(&config, &event.to_string());
        assert!(outcome.ok);
        after["fingerprint"].take()
    }

    /// The values of the tests of Logstash's filter.
    #[test]
    fn methods() {
        #[track_caller]
        fn of_address(options: &str, expected: impl Into<Value>) {
            let found =
                print(&format!(r#""source":"clientip",{options}"#), json!({"clientip": "123.123.123.123"}));
            assert_eq!(found, expected.into());
        }
        let key = r#""key":"longencryptionkey""#;
        of_address(r#""method":"IPV4_NETWORK","network_prefix":24"#, "123.123.123.0");
        of_address(r#""method":"MURMUR3""#, 4_013_733_395_u32);
        of_address(r#""method":"MURMUR3_128""#, "41cbc4056eed401d091dfbeabf7ea9e0");
        of_address(r#""method":"MURMUR3_128","base64encode":true"#, "QcvEBW7tQB0JHfvqv36p4A==");
        of_address(r#""method":"SHA1""#, "3a5076c520b4b463f43806896ea0b3978d09dcae");
        of_address(r#""base64encode":true"#, "OlB2xSC0tGP0OAaJbqCzl40J3K4=");
        of_address(&format!(r#""method":"SHA1",{key}"#), "fdc60acc4773dc5ac569ffb78fcb93c9630797f4");
        of_address(&format!(r#""method":"SHA1",{key},"base64encode":true"#), "/cYKzEdz3FrFaf+3j8uTyWMHl/Q=");
        of_address(
            r#""method":"SHA256""#,
            "4dabcab210766e35f03e77120e6986d6e6d4752b2a9ff22980b9253d026080d8",
        );
        of_address(
            &format!(r#""method":"SHA256",{key}"#),
            "345bec3eff242d53b568916c2610b3e393d885d6b96d643f38494fd74bf4a9ca",
        );
        of_address(
            r#""method":"SHA384""#,
            "fd605b0a3af3e04ce0d7a0b0d9c48d67a12dab811f60072e6eae84e35d567793ffb68a1807536f11c90874065c2a4392",
        );
        of_address(
            &format!(r#""method":"SHA384",{key},"base64encode":true"#),
            "ItTA6MT7zcSIfSA4/KdlDw4uDiRX/0HAbrKpgN3tZ0lWHIFP4YKv+T4lONGFk5R6",
        );
        of_address(
            r#""method":"SHA512""#,
            "5468e2dc64ea92b617782aae884b35af60041ac9e168a283615b6a462c54c13d42fa9542cce9b7d76a8124ac6616818905e3e5dd35d6e519f77c3b517558639a",
        );
        of_address(
            &format!(r#""method":"SHA512",{key},"base64encode":true"#),
            "EcGbMmk2wI1sUKPIR9iD5aE2Lmpk3VUgGiXywawbZz99i/FbjxEqSXgnbVcydeOxQWbhckb2cMKlOUAcW/2s6A==",
        );
        of_address(r#""method":"MD5""#, "ccdd8d3d940a01b2fb3258c059924c0d");
        of_address(&format!(r#""method":"MD5",{key}"#), "9336c879e305c9604a3843fc3e75948f");
    }

    #[test]
    fn values() {
        let number = json!({"message": 123});
        assert_eq!(print(r#""method":"MURMUR3""#, number.clone()), 823_512_154);
        assert_eq!(print(r#""method":"MURMUR3_128""#, number), "286816c693ac410ed63e1430dcd6f6fe");
        assert_eq!(
            print("", json!({"message": ["123.123.123.123", "223.223.223.223"]})),
            json!(["3a5076c520b4b463f43806896ea0b3978d09dcae", "47bbc4e06edebbace047fed35abeceec64968b81"])
        );
        // Objects have one hash, whatever the order of their members.
        assert_eq!(
            print("", json!({"message": {"a": 1, "b": {"c": 2, "d": 3}}})),
            print("", json!({"message": {"b": {"d": 3, "c": 2}, "a": 1}}))
        );
        let time = json!({"@timestamp": "1970-01-01T00:00:00Z"});
        let source = r#""source":"@timestamp""#;
        assert_eq!(
            print(&format!(r#"{source},"key":"0123""#), time.clone()),
            "437291481f9b52199fcc6e3c6ea31ef4ad1c8fe5"
        );
        assert_eq!(print(&format!(r#"{source},"method":"MURMUR3""#), time.clone()), 1_154_765_817);
        assert_eq!(
            print(&format!(r#"{source},"method":"MURMUR3_128""#), time),
            "a0287bec80fce9eb6a1457efae3a7aeb"
        );
    }

    #[test]
    fn several_fields() {
        let sources = r#""source":["field1","field2"]"#;
        let concatenated = format!(r#"{sources},"concatenate_sources":true"#);
        let event = json!({"field1": "test1", "field2": "test2"});
        assert_eq!(print(sources, event.clone()), "109f4b3c50d7b0df729d299bc6f8e9ef9066971f");
        assert_eq!(print(&concatenated, event.clone()), "e3b6b71eedc656f1d29408264e8a75535db985cb");
        // They are sorted by name.
        let other = r#""source":["field2","field1"],"concatenate_sources":true"#;
        assert_eq!(print(other, event), "e3b6b71eedc656f1d29408264e8a75535db985cb");
        let event = json!({"field1": [{"inner_key": "🂡"}, {"1": "2"}], "field2": "🂡"});
        assert_eq!(print(sources, event.clone()), "58fa9e0e60c9f0d24b51d84cddb26732a39eeb3d");
        assert_eq!(print(&concatenated, event), "d74f41841c7cdc793a97c218d2ff18064a5f1950");
        let event = json!({
            "@timestamp": "2017-07-26T14:44:27.064Z", "@version": "1", "clientip": "123.123.123.123",
            "message": "This is a test message", "log_level": "INFO", "offset": 123456789, "type": "test"
        });
        assert_eq!(
            print(r#""concatenate_all_fields":true"#, event),
            "cbf022518e97860403160ed8a41847c0db104e63"
        );
    }

    #[test]
    fn punctuation() {
        let text = "PHP Warning:  json_encode() [<a href='function.json-encode'>function.json-encode</a>]: Invalid UTF-8 sequence in argument in /var/www/htdocs/test.php on line 233";
        let method = r#""method":"PUNCTUATION""#;
        assert_eq!(print(method, json!({"message": text})), ":_()[<='.-'>.-</>]:-////.");
        assert_eq!(print(method, json!({"message": "a$+€é§„b“\u{301}"})), "$+€§„“");
        check(r#"{"fingerprint":{"method":"PUNCTUATION"}}"#, r#"{"message":5}"#, r#"{"message":5}"#, false);
    }

    #[test]
    fn what_is_missing_or_wrong() {
        check(r#"{"fingerprint":{}}"#, "{}", "{}", true);
        check(
            r#"{"fingerprint":{"target":"a.b"}}"#,
            r#"{"message":"","a":1}"#,
            r#"{"message":"","a":1}"#,
            false,
        );
        let network = r#"{"fingerprint":{"method":"IPV4_NETWORK","network_prefix":8}}"#;
        check(network, r#"{"message":"::1"}"#, r#"{"message":"::1"}"#, false);
        check(network, r#"{"message":["10.1.1.1","x"]}"#, r#"{"message":["10.1.1.1","x"]}"#, false);
        assert_eq!(print(r#""method":"UUID""#, json!({})).as_str().unwrap().len(), 36);
        mistake(r#"{"fingerprint":{"method":"IPV4_NETWORK"}}"#, "option \"network_prefix\": needs");
        mistake(r#"{"fingerprint":{"method":"IPV4_NETWORK","network_prefix":33}}"#, "0 to 32");
        mistake(r#"{"fingerprint":{"method":"MURMUR3","key":"x"}}"#, "option \"key\": is for MD5");
        mistake(r#"{"fingerprint":{"source":[]}}"#, "option \"source\": needs");
    }
}
