//! Writes databases of addresses as MaxMind does, because nobody may copy theirs.
//!
//! <https://maxmind.github.io/MaxMind-DB/>: a binary tree of the bits of addresses (records of 28 bits,
//! addresses of IPv4 below `::/96`), the data, in which a text that stands twice is a pointer the
//! second time, and the description of both.

use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::net::IpAddr;

/// What a record of a node leads to.
#[derive(Clone, Copy)]
enum To {
    Nothing,
    Node(u32),
    Data(u32),
}

#[derive(Default)]
struct Data {
    bytes: Vec<u8>,
    /// Where each text begins.
    texts: HashMap<String, u32>,
}

/// A database of this type that knows these networks, such as `81.2.69.0/24`.
pub(super) fn database(kind: &str, networks: &[(&str, Json)]) -> Vec<u8> {
    let mut nodes = vec![[To::Nothing; 2]];
    let mut data = Data::default();
    for (network, record) in networks {
        let at = u32::try_from(data.bytes.len()).unwrap();
        data.value("", record);
        let (address, length) = network.split_once('/').unwrap();
        let (bits, length) = match (address.parse().unwrap(), length.parse::<usize>().unwrap()) {
            (IpAddr::V4(address), length) => (u128::from(u32::from(address)), length + 96),
            (IpAddr::V6(address), length) => (u128::from(address), length),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = To::Data(at);
            } else if let To::Node(next) = nodes[node][side] {
                node = next as usize;
            } else {
                nodes.push([To::Nothing; 2]);
                nodes[node][side] = To::Node(u32::try_from(nodes.len() - 1).unwrap());
                node = nodes.len() - 1;
            }
        }
    }
    let count = u32::try_from(nodes.len()).unwrap();
    let mut out = Vec::new();
    for [left, right] in nodes.into_iter().map(|node| {
        node.map(|to| match to {
            To::Nothing => count,
            To::Node(node) => node,
            To::Data(at) => count + 16 + at,
        })
    }) {
        out.extend(&left.to_be_bytes()[1..]);
        out.push((left >> 24 << 4) as u8 | (right >> 24) as u8);
        out.extend(&right.to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data.bytes);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let mut description = Data::default();
    description.value(
        "",
        &json!({
            "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_795_262_400_u64,
            "database_type": kind, "description": {"en": "made up"}, "ip_version": 6, "languages": ["en"],
            "node_count": count, "record_size": 28
        }),
    );
    out.extend(description.bytes);
    out
}

impl Data {
    /// Numbers have kinds of 16, 32 and 64 bits, which their names tell.
    fn value(&mut self, name: &str, value: &Json) {
        match value {
            Json::String(text) => self.text(text),
            Json::Object(members) => {
                self.control(7, members.len());
                for (name, value) in members {
                    self.text(name);
                    self.value(name, value);
                }
            }
            Json::Array(items) => {
                self.control(11, items.len());
                items.iter().for_each(|item| self.value(name, item));
            }
            Json::Bool(is_so) => self.control(14, usize::from(*is_so)),
            Json::Number(number) if number.is_u64() => {
                let number = number.as_u64().unwrap().to_be_bytes();
                // Zeros in front are left out.
                let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
                let kind = match name {
                    "build_epoch" => 9,
                    "geoname_id" | "node_count" | "autonomous_system_number" => 6,
                    _ => 5,
                };
                self.control(kind, number.len());
                self.bytes.extend(number);
            }
            number => {
                self.control(3, 8);
                self.bytes.extend(number.as_f64().unwrap().to_be_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        match self.texts.get(text).copied() {
            None => {}
            Some(near) if near < 1 << 11 => {
                self.bytes.extend([0x20 | (near >> 8) as u8, near as u8]);
                return;
            }
            Some(far) => {
                let far = far - (1 << 11);
                self.bytes.extend([0x28 | (far >> 16) as u8, (far >> 8) as u8, far as u8]);
                return;
            }
        }
        self.texts.insert(text.to_owned(), u32::try_from(self.bytes.len()).unwrap());
        self.control(2, text.len());
        self.bytes.extend(text.as_bytes());
    }

    fn control(&mut self, kind: u8, size: usize) {
        assert!(size < 285, "no longer one is needed");
        let (kind, extended) = if kind > 7 { (0, Some(kind - 7)) } else { (kind, None) };
        let (low, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
        self.bytes.push(kind << 5 | low);
        self.bytes.extend(extended);
        self.bytes.extend(more);
    }
}

/// A city as GeoLite2-City has it, one of which little is known, a network of IPv6; and autonomous
/// systems.
pub(super) fn databases() -> [(&'static str, Vec<u8>); 2] {
    let names = |text: &str| json!({"de": text, "en": text});
    let continent = json!({"code": "EU", "geoname_id": 6_255_148, "names": {"en": "Europe", "fr": "Europe"}});
    let london = json!({
        "city": {"geoname_id": 2_643_743, "names": {"de": "London", "en": "London", "fr": "Londres"}},
        "continent": continent,
        "country": {"geoname_id": 2_635_167, "iso_code": "GB", "names": names("United Kingdom")},
        "location": {"accuracy_radius": 100, "latitude": 51.5142, "longitude": -0.0931, "time_zone": "Europe/London"},
        "postal": {"code": "EC1A"},
        "registered_country": {"geoname_id": 6_252_001, "iso_code": "US", "names": names("United States")},
        "subdivisions": [{"geoname_id": 6_269_131, "iso_code": "ENG", "names": names("England")}],
        "traits": {"is_anycast": true}
    });
    let somewhere = json!({
        "continent": continent,
        "country": {"geoname_id": 2_661_886, "iso_code": "SE", "is_in_european_union": true, "names": names("Sweden")},
    });
    let system = |number: u32, name: &str| json!({"autonomous_system_number": number, "autonomous_system_organization": name});
    [
        (
            "City.mmdb",
            database(
                "GeoLite2-City",
                &[
                    ("81.2.69.0/24", london.clone()),
                    ("89.160.20.112/28", somewhere),
                    ("2001:db8::/32", london),
                    ("10.0.0.0/8", json!({"traits": {"is_anycast": false}})),
                ],
            ),
        ),
        (
            "ASN.mmdb",
            database(
                "GeoLite2-ASN",
                &[
                    ("1.128.0.0/11", system(1221, "Telstra Pty Ltd")),
                    ("2600:6000::/20", system(237, "An organization whose name is longer than 29 bytes")),
                ],
            ),
        ),
    ]
}
