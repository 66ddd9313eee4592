//! Filter `geoip`: where an address is, from a MaxMind database that the user has.
//!
//! Databases are files in MaxMind's format (<https://maxmind.github.io/MaxMind-DB/>), such as
//! GeoLite2 City or ASN. One is read when the filter is built, and stays in memory.

use crate::values::first_text;
use crate::{BuildError, Names, Outcome, Provider, path};
use event::{Event, Path};
use maxminddb::Reader;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Options of the filter `geoip`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the address; of an array the first item is.
    pub source: String,
    /// The field below which the fields go; none: where the source is, if that is `….ip`, or
    /// `geoip` with the legacy names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Which names the fields have: `geo.city_name` or `city_name` ….
    pub names: Names,
    /// The file of the database.
    pub database: String,
    /// The fields that are set, by their legacy names; none: all that the database has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// The filter.
pub struct Geoip {
    source: Path,
    target: Path,
    names: Names,
    fields: Vec<String>,
    database: Reader<Arc<[u8]>>,
}

/// The legacy names of the fields, and their places in the Elastic Common Schema, as Logstash
/// chose them; none: it has no place for one.
const FIELDS: [(&str, Option<&str>); 19] = [
    ("ip", Some("ip")),
    ("city_name", Some("geo.city_name")),
    ("continent_code", Some("geo.continent_code")),
    ("continent_name", Some("geo.continent_name")),
    ("country_name", Some("geo.country_name")),
    ("country_code2", Some("geo.country_iso_code")),
    ("country_code3", None),
    ("region_name", Some("geo.region_name")),
    ("region_code", Some("geo.region_code")),
    ("region_iso_code", Some("geo.region_iso_code")),
    ("postal_code", Some("geo.postal_code")),
    ("dma_code", Some("mmdb.dma_code")),
    ("timezone", Some("geo.timezone")),
    ("location", Some("geo.location")),
    ("latitude", None),
    ("longitude", None),
    ("asn", Some("as.number")),
    ("as_org", Some("as.organization.name")),
    ("isp", Some("mmdb.isp")),
];

/// What the databases know of a network, as far as there are fields for it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record<'d> {
    #[serde(borrow)]
    city: Place<'d>,
    continent: Place<'d>,
    country: Place<'d>,
    subdivisions: Vec<Place<'d>>,
    location: Location<'d>,
    postal: Postal<'d>,
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'d str>,
    isp: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place<'d> {
    code: Option<&'d str>,
    iso_code: Option<&'d str>,
    #[serde(borrow)]
    names: Languages<'d>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Languages<'d> {
    en: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location<'d> {
    latitude: Option<f64>,
    longitude: Option<f64>,
    metro_code: Option<u16>,
    time_zone: Option<&'d str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postal<'d> {
    code: Option<&'d str>,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Geoip, BuildError> {
        let wrong = |option, message: String| Err(BuildError { option, message });
        if self.source.is_empty() {
            return wrong("source", "needs the field that holds the address".to_owned());
        }
        if self.database.is_empty() {
            return wrong("database", "needs the file of a MaxMind database".to_owned());
        }
        if let Some(field) = self.fields.iter().find(|field| FIELDS.iter().all(|(name, _)| name != field)) {
            let names = FIELDS.map(|(name, _)| name).join(", ");
            return wrong("fields", format!("there is no field {field:?}, but {names}"));
        }
        let source = path("source", &self.source)?;
        let names: Vec<&str> = source.names().collect();
        let target = match (&self.target, self.names, names.as_slice()) {
            (Some(target), ..) => path("target", target)?,
            (None, Names::Legacy, _) => Path::of(["geoip"]),
            (None, Names::Ecs, [above @ .., "ip"]) if !above.is_empty() => Path::of(above),
            (None, Names::Ecs, _) => {
                let message = "needs the field below which the fields go, as the source does not end in .ip";
                return wrong("target", message.to_owned());
            }
        };
        let bytes = provider.read(&self.database);
        let database = bytes.and_then(|bytes| {
            Reader::from_source(bytes)
                .map_err(|error| format!("{} is no MaxMind database: {error}", self.database))
        });
        let database = database.map_err(|message| BuildError { option: "database", message })?;
        Ok(Geoip { source, target, names: self.names, fields: self.fields.clone(), database })
    }
}

impl Geoip {
    /// Applies it. It fails, and changes nothing, where there is no address or the database has
    /// nothing on it.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let address = event.get(&self.source).and_then(|value| first_text(&value));
        let address = address.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<IpAddr>().ok());
        let Some(address) = address else { return Outcome::FAILED };
        let Some(found) =
            self.database.lookup(address).ok().and_then(|found| found.decode::<Record<'_>>().ok()?)
        else {
            return Outcome::FAILED;
        };
        let values = values(address, &found);
        if values.iter().all(|(name, _)| *name == "ip") {
            return Outcome::FAILED;
        }
        let mut ok = true;
        for (name, value) in values {
            if !self.fields.is_empty() && !self.fields.iter().any(|own| own == name) {
                continue;
            }
            let place = match self.names {
                Names::Legacy => name,
                Names::Ecs => match FIELDS.iter().find(|(own, _)| *own == name).and_then(|(_, place)| *place)
                {
                    Some(place) => place,
                    None => continue,
                },
            };
            let path = Path::of(self.target.names().chain(place.split('.')));
            // The address stands there already where the target is around the source.
            if path != self.source {
                ok &= crate::values::set_tree(event, &path, &value).is_ok();
            }
        }
        Outcome::of(ok)
    }
}

/// The fields that a record has, by their legacy names.
fn values(address: IpAddr, record: &Record<'_>) -> Vec<(&'static str, Json)> {
    let mut values = vec![("ip", Json::from(address.to_string()))];
    let mut add = |name, value: Option<Json>| values.extend(value.map(|value| (name, value)));
    let text = |text: Option<&str>| text.map(Json::from);
    add("city_name", text(record.city.names.en));
    add("continent_code", text(record.continent.code));
    add("continent_name", text(record.continent.names.en));
    add("country_name", text(record.country.names.en));
    add("country_code2", text(record.country.iso_code));
    add("country_code3", text(record.country.iso_code));
    if let Some(region) = record.subdivisions.last() {
        add("region_name", text(region.names.en));
        add("region_code", text(region.iso_code));
        let both = record.country.iso_code.zip(region.iso_code);
        add("region_iso_code", both.map(|(country, region)| format!("{country}-{region}").into()));
    }
    add("postal_code", text(record.postal.code));
    add("dma_code", record.location.metro_code.map(Json::from));
    add("timezone", text(record.location.time_zone));
    let place = record.location.latitude.zip(record.location.longitude);
    add(
        "location",
        place.map(|(lat, lon)| {
            Json::Object(Map::from_iter([("lat".to_owned(), json!(lat)), ("lon".to_owned(), json!(lon))]))
        }),
    );
    add("latitude", place.map(|(lat, _)| lat.into()));
    add("longitude", place.map(|(_, lon)| lon.into()));
    add("asn", record.autonomous_system_number.map(Json::from));
    add("as_org", text(record.autonomous_system_organization));
    add("isp", text(record.isp));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{apply_built, build_with, mistake};
    use proptest::prelude::*;

    /// Writes a value as MaxMind's format has it, as far as these tests need it.
    fn write(value: &Json, out: &mut Vec<u8>) {
        let control = |kind: u8, size: usize, out: &mut Vec<u8>| {
            let (kind, extended) = if kind > 7 { (0, Some(kind - 7)) } else { (kind, None) };
            let (low, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
            out.push(kind << 5 | low);
            out.extend(extended);
            out.extend(more);
        };
        match value {
            Json::String(text) => {
                control(2, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Json::Object(members) => {
                control(7, members.len(), out);
                for (name, value) in members {
                    write(&name.clone().into(), out);
                    // Whole numbers have kinds of 16, 32 and 64 bits, which readers insist on.
                    let (kind, size) = match (name.as_str(), value.is_u64()) {
                        (_, false) => {
                            write(value, out);
                            continue;
                        }
                        ("build_epoch", _) => (9, 8),
                        ("node_count" | "autonomous_system_number", _) => (6, 4),
                        _ => (5, 2),
                    };
                    control(kind, size, out);
                    out.extend_from_slice(&value.as_u64().unwrap().to_be_bytes()[8 - size..]);
                }
            }
            Json::Array(items) => {
                control(11, items.len(), out);
                items.iter().for_each(|item| write(item, out));
            }
            number => {
                control(3, 8, out);
                out.extend(number.as_f64().unwrap().to_be_bytes());
            }
        }
    }

    /// A database in which all addresses of IPv4 that begin with the bit 1 have this record.
    fn database(record: &Json) -> Vec<u8> {
        // One node of two records of 24 bits: nothing, and the first byte of the data.
        let mut bytes = vec![0, 0, 1, 0, 0, 1 + 16];
        bytes.extend([0; 16]);
        write(record, &mut bytes);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let metadata = json!({
            "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1,
            "database_type": "Test", "description": {}, "ip_version": 4, "languages": [], "node_count": 1,
            "record_size": 24
        });
        write(&metadata, &mut bytes);
        bytes
    }

    fn city() -> Json {
        json!({
            "city": {"names": {"de": "Mailand", "en": "Milan"}},
            "continent": {"code": "EU", "names": {"en": "Europe"}},
            "country": {"iso_code": "IT", "names": {"en": "Italy"}, "geoname_id": 5},
            "subdivisions": [{"iso_code": "25", "names": {"en": "Lombardy"}}, {"iso_code": "MI", "names": {"en": "Milan"}}],
            "location": {"latitude": 45.4722, "longitude": 9.1922, "metro_code": 7, "time_zone": "Europe/Rome"},
            "postal": {"code": "20121"},
            "traits": {"other": ["x", 1.5]}
        })
    }

    #[track_caller]
    fn check(options: Json, record: &Json, before: Json, added: Option<Json>) {
        let mut config = json!({"source": "ip", "database": "db"});
        config.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let mut filter = build_with(&json!({ "geoip": config }).to_string(), &[("db", &database(record))]);
        let (after, outcome, _) = apply_built(&mut filter, &before.to_string());
        assert_eq!(outcome.ok, added.is_some());
        let mut expected = before;
        expected.as_object_mut().unwrap().extend(added.unwrap_or(json!({})).as_object().unwrap().clone());
        assert_eq!(after, expected);
    }

    #[test]
    fn both_kinds_of_names() {
        check(
            json!({"names": "legacy"}),
            &city(),
            json!({"ip": "151.38.39.114"}),
            Some(json!({"geoip": {
                "ip": "151.38.39.114", "city_name": "Milan", "continent_code": "EU", "continent_name": "Europe",
                "country_name": "Italy", "country_code2": "IT", "country_code3": "IT", "region_name": "Milan",
                "region_code": "MI", "region_iso_code": "IT-MI", "postal_code": "20121", "dma_code": 7,
                "timezone": "Europe/Rome", "location": {"lat": 45.4722, "lon": 9.1922},
                "latitude": 45.4722, "longitude": 9.1922
            }})),
        );
        check(
            json!({"source": "client.ip"}),
            &city(),
            json!({"client": {"ip": "151.38.39.114"}}),
            Some(json!({"client": {"ip": "151.38.39.114", "geo": {
                "city_name": "Milan", "continent_code": "EU", "continent_name": "Europe", "country_name": "Italy",
                "country_iso_code": "IT", "region_name": "Milan", "region_code": "MI", "region_iso_code": "IT-MI",
                "postal_code": "20121", "timezone": "Europe/Rome", "location": {"lat": 45.4722, "lon": 9.1922}
            }, "mmdb": {"dma_code": 7}}})),
        );
        let asn = json!({"autonomous_system_number": 1221, "autonomous_system_organization": "Telstra"});
        check(
            json!({"target": "server"}),
            &asn,
            json!({"ip": ["203.0.113.1", "x"]}),
            Some(
                json!({"server": {"ip": "203.0.113.1", "as": {"number": 1221, "organization": {"name": "Telstra"}}}}),
            ),
        );
        check(
            json!({"names": "legacy", "target": "a.b", "fields": ["city_name", "asn", "location"]}),
            &city(),
            json!({"ip": "151.38.39.114"}),
            Some(json!({"a": {"b": {"city_name": "Milan", "location": {"lat": 45.4722, "lon": 9.1922}}}})),
        );
    }

    #[test]
    fn what_is_not_found() {
        for event in [
            json!({"ip": "1.2.3.4"}),
            json!({"ip": "localhost"}),
            json!({"ip": "::1"}),
            json!({"ip": 5}),
            json!({}),
        ] {
            check(json!({"names": "legacy"}), &city(), event, None);
        }
        check(json!({"names": "legacy"}), &json!({"other": 1}), json!({"ip": "151.38.39.114"}), None);
    }

    #[test]
    fn mistakes() {
        mistake(r#"{"geoip":{"database":"x"}}"#, "option \"source\": needs");
        mistake(r#"{"geoip":{"source":"a"}}"#, "option \"database\": needs");
        mistake(r#"{"geoip":{"source":"a","database":"x"}}"#, "option \"target\": needs");
        mistake(r#"{"geoip":{"source":"a.ip","database":"x"}}"#, "option \"database\": no files");
        mistake(
            r#"{"geoip":{"source":"a.ip","database":"x","fields":["city"]}}"#,
            "there is no field \"city\"",
        );
    }

    proptest! {
        /// A file that is damaged is refused, or finds nothing, or something; it never fails otherwise.
        #[test]
        fn damaged_files(at in 0usize..400, byte: u8, cut in 0usize..500) {
            let mut bytes = database(&city());
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(cut.max(1));
            if let Ok(reader) = Reader::from_source(bytes) {
                let found = reader.lookup("151.38.39.114".parse().unwrap());
                let _ = found.and_then(|found| found.decode::<Record<'_>>());
            }
        }
    }
}
