//! Filter `cidr`: whether an address is in one of several networks.
//!
//! It does nothing by itself: it succeeds where an address is in a network, has nothing to do
//! where none is, and what is done on success is the configuration's business.

use crate::place::template;
use crate::{BuildError, Outcome, Provider};
use event::Event;
use expr::Template;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// Options of the filter `cidr`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses, as templates.
    pub address: Vec<String>,
    /// The networks, such as `10.0.0.0/8`, as templates; one text may hold several with commas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<String>,
    /// A file of networks, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_path: Option<String>,
    /// What stands between the networks of the file.
    pub separator: String,
    /// The field that is set to `true` or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Vec::new(),
            network: Vec::new(),
            network_path: None,
            separator: "\n".into(),
            target: None,
        }
    }
}

/// The filter.
pub struct Cidr {
    addresses: Vec<Template>,
    networks: Networks,
    /// Networks that the event says.
    templates: Vec<Template>,
    target: Option<event::Path>,
    text: Vec<u8>,
}

/// Networks by the length of their prefix: looking one up takes as many steps as there are lengths,
/// however many networks there are.
#[derive(Debug, Default)]
struct Networks(BTreeMap<(bool, u8), HashSet<u128>>);

impl Config {
    /// The filter that these options describe.
    pub fn build(&self, provider: &dyn Provider) -> Result<Cidr, BuildError> {
        let wrong = |option, message: String| Err(BuildError { option, message });
        if self.address.is_empty() {
            return wrong("address", "needs at least one address".to_owned());
        }
        match (&self.network_path, self.network.is_empty()) {
            (Some(_), false) => return wrong("network_path", "network has networks already".to_owned()),
            (None, true) => return wrong("network", "needs at least one network".to_owned()),
            _ => {}
        }
        let mut networks = Networks::default();
        let mut templates = Vec::new();
        for text in &self.network {
            let template = template("network", text)?;
            if !template.is_constant() {
                templates.push(template);
                continue;
            }
            for text in text.split(',').map(str::trim) {
                if !networks.add(text) {
                    return wrong("network", format!("{text:?} is no network; 10.0.0.0/8 would be one"));
                }
            }
        }
        if let Some(file) = &self.network_path
            && let Err(message) = provider.read(file).and_then(|bytes| networks.read(&bytes, &self.separator))
        {
            return wrong("network_path", message);
        }
        Ok(Cidr {
            addresses: self.address.iter().map(|text| template("address", text)).collect::<Result<_, _>>()?,
            networks,
            templates,
            target: self.target.as_ref().map(|target| crate::path("target", target)).transpose()?,
            text: Vec::new(),
        })
    }
}

impl Cidr {
    /// Applies it; `now` is the clock reading of the batch. An address that is none is passed over.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        let mut own = Networks::default();
        for template in &self.templates {
            self.text.clear();
            let _ = template.render(event, now, &mut self.text);
            for text in self.text.split(|byte| *byte == b',') {
                own.add(std::str::from_utf8(text).unwrap_or_default().trim());
            }
        }
        let is_in = self.addresses.iter().any(|template| {
            self.text.clear();
            let _ = template.render(event, now, &mut self.text);
            let address = std::str::from_utf8(&self.text).ok().and_then(|text| text.trim().parse().ok());
            address.is_some_and(|address| self.networks.have(address) || own.have(address))
        });
        if let Some(target) = &self.target
            && event.set(target, is_in).is_err()
        {
            return Outcome::FAILED;
        }
        if is_in { Outcome::OK } else { Outcome::IDLE }
    }
}

impl Networks {
    fn add(&mut self, text: &str) -> bool {
        let Some((address, length)) = network(text) else { return false };
        let (bits, is_v6) = bits_of(address);
        self.0.entry((is_v6, length)).or_default().insert(bits & mask(is_v6, length));
        true
    }

    /// Takes the networks of a file. Blank ones are passed over, as are comments behind `#`.
    fn read(&mut self, bytes: &[u8], separator: &str) -> Result<(), String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
        let parts: Vec<&str> =
            if separator.is_empty() { vec![text] } else { text.split(separator).collect() };
        for part in parts {
            let part = part.split('#').next().unwrap_or_default().trim();
            if !part.is_empty() && !self.add(part) {
                return Err(format!("the file holds {part:?}, which is no network"));
            }
        }
        if self.0.is_empty() { Err("the file holds no network".to_owned()) } else { Ok(()) }
    }

    fn have(&self, address: IpAddr) -> bool {
        let (bits, is_v6) = bits_of(address);
        let of_kind = self.0.range((is_v6, 0)..=(is_v6, 128));
        of_kind.into_iter().any(|((_, length), networks)| networks.contains(&(bits & mask(is_v6, *length))))
    }
}

/// `address`, `address/length` or `address/mask`.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv6() { 128 } else { 32 };
    let Some(length) = length else { return Some((address, bits)) };
    if let Ok(length) = length.parse() {
        return (length <= bits).then_some((address, length));
    }
    let (mask, is_v6) = bits_of(length.parse().ok()?);
    let mask = if is_v6 { mask } else { mask << 96 };
    let length = mask.leading_ones() as u8;
    (is_v6 == address.is_ipv6() && mask.count_ones() == u32::from(length)).then_some((address, length))
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), false),
        IpAddr::V6(address) => (address.to_bits(), true),
    }
}

fn mask(is_v6: bool, length: u8) -> u128 {
    let bits: u32 = if is_v6 { 128 } else { 32 };
    let ones = u128::MAX.checked_shl(bits - u32::from(length)).unwrap_or(0);
    if is_v6 { ones } else { ones & u128::from(u32::MAX) }
}

/// The first address of the network of this length around an IPv4 address.
pub(crate) fn ipv4_network(text: &str, length: u8) -> Option<String> {
    let address: std::net::Ipv4Addr = text.trim().parse().ok()?;
    Some(std::net::Ipv4Addr::from_bits(address.to_bits() & mask(false, length) as u32).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{apply_with, mistake};
    use proptest::prelude::*;

    #[track_caller]
    fn is_in(options: &str, event: &str) -> bool {
        let files =
            [("nets", "# ours\n192.0.2.0/24\r\n\nfe80::/64\n"), ("bad", "x"), ("bars", "10.0.0.0/8|::1")];
        let config = format!(r#"{{"cidr":{{"address":["%{{src}}","%{{dst}}"],"target":"in",{options}}}}}"#);
        let (after, outcome) = apply_with(&config, event, &files);
        assert!(outcome.ok);
        assert_eq!(after["in"].as_bool(), Some(!outcome.idle));
        !outcome.idle
    }

    #[test]
    fn cidr() {
        let net = r#""network":["192.0.2.0/24","10.0.0.0/255.0.0.0, fe80::/64","203.0.113.7"]"#;
        assert!(is_in(net, r#"{"src":"192.0.2.77"}"#));
        assert!(is_in(net, r#"{"dst":"10.255.0.1"}"#));
        assert!(is_in(net, r#"{"src":"198.51.100.1","dst":"fe80::1"}"#));
        assert!(is_in(net, r#"{"src":"203.0.113.7"}"#));
        assert!(!is_in(net, r#"{"src":"203.0.113.8"}"#));
        assert!(!is_in(net, r#"{"src":"192.0.3.1"}"#));
        assert!(!is_in(net, r#"{"src":"fe80:0:0:1::1"}"#));
        // What is no address is passed over, and an IPv4 address is in no network of IPv6.
        assert!(!is_in(net, r#"{"src":"localhost"}"#));
        assert!(!is_in(net, "{}"));
        assert!(!is_in(r#""network":["::/0"]"#, r#"{"src":"10.0.0.1"}"#));
        assert!(is_in(r#""network":["0.0.0.0/0"]"#, r#"{"src":"10.0.0.1"}"#));
    }

    #[test]
    fn networks_of_events_and_files() {
        let own = r#""network":["%{net}"]"#;
        assert!(is_in(own, r#"{"src":"10.1.2.3","net":"192.0.2.0/24, 10.1.0.0/16"}"#));
        assert!(!is_in(own, r#"{"src":"10.1.2.3","net":"nothing"}"#));
        assert!(!is_in(own, r#"{"src":"10.1.2.3"}"#));
        assert!(is_in(r#""network_path":"nets""#, r#"{"src":"192.0.2.1"}"#));
        assert!(!is_in(r#""network_path":"nets""#, r#"{"src":"10.0.2.1"}"#));
        assert!(is_in(r#""network_path":"bars","separator":"|""#, r#"{"src":"::1"}"#));
    }

    #[test]
    fn mistakes() {
        mistake(r#"{"cidr":{"network":["::/0"]}}"#, "option \"address\": needs");
        mistake(r#"{"cidr":{"address":["%{a}"]}}"#, "option \"network\": needs");
        mistake(
            r#"{"cidr":{"address":["%{a}"],"network":["10.0.0.0/33"]}}"#,
            "\"10.0.0.0/33\" is no network",
        );
        mistake(r#"{"cidr":{"address":["%{a}"],"network":["10.0.0.0/255.0.255.0"]}}"#, "is no network");
        mistake(
            r#"{"cidr":{"address":["%{a}"],"network":["::1"],"network_path":"x"}}"#,
            "option \"network_path\"",
        );
        mistake(r#"{"cidr":{"address":["%{a}"],"network_path":"x"}}"#, "no files can be read");
    }

    proptest! {
        #[test]
        fn a_network_has_its_addresses(bits: u32, host: u32, length in 0u8..=32) {
            let mut networks = Networks::default();
            let text = format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits));
            prop_assert!(networks.add(&text));
            let mask = mask(false, length) as u32;
            let within = std::net::Ipv4Addr::from_bits(bits & mask | host & !mask);
            prop_assert!(networks.have(within.into()));
            let without = std::net::Ipv4Addr::from_bits(host);
            prop_assert_eq!(networks.have(without.into()), host & mask == bits & mask);
        }

        #[test]
        fn any_text(text: String) {
            if let Some((address, length)) = network(&text) {
                let bits = if address.is_ipv6() { 128 } else { 32 };
                prop_assert!(length <= bits);
            }
        }
    }
}
