//! Sizes and durations as people write them in a config.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;

/// A number of bytes: `1048576`, `"64MiB"`, `"1 GB"`. Units with an `i` count by 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

/// A duration: `"10s"`, `"500ms"`, `"1h30m"`, `"7d"`; a bare number counts seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Duration);

impl Bytes {
    /// Reads a size.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let wrong = || format!("{text:?} is no size, such as 64MiB");
        let number: f64 = text[..at].parse().map_err(|_| wrong())?;
        let scale: u64 = match text[at..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "kib" => 1 << 10,
            "m" | "mb" => 1_000_000,
            "mib" => 1 << 20,
            "g" | "gb" => 1_000_000_000,
            "gib" => 1 << 30,
            "t" | "tb" => 1_000_000_000_000,
            "tib" => 1 << 40,
            unit => {
                return Err(format!(
                    "{unit:?} is no unit of bytes; there are B, KiB, MiB, GiB, TiB, KB, MB, GB, TB"
                ));
            }
        };
        // A whole number stays exact.
        match text[..at].parse::<u64>() {
            Ok(whole) => whole.checked_mul(scale).map(Self).ok_or_else(wrong),
            Err(_) => Ok(Self((number * scale as f64) as u64)),
        }
    }
}

impl Time {
    /// Reads a duration.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration, such as 10s, 500ms or 1h30m");
        let mut rest = text.trim();
        let mut total = 0.0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..at].parse().map_err(|_| wrong())?;
            rest = rest[at..].trim_start();
            let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            total += number
                * match &rest[..unit] {
                    "ns" => 1e-9,
                    "us" => 1e-6,
                    "ms" => 1e-3,
                    "s" | "" => 1.0,
                    "m" | "min" => 60.0,
                    "h" => 3_600.0,
                    "d" => 86_400.0,
                    "w" => 604_800.0,
                    _ => return Err(wrong()),
                };
            rest = rest[unit..].trim_start();
        }
        Duration::try_from_secs_f64(total).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, scale) in [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= scale && self.0.is_multiple_of(scale) {
                return write!(f, "{}{unit}", self.0 / scale);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        for (unit, scale) in [
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
        ] {
            if ns >= scale && ns.is_multiple_of(scale) {
                return write!(f, "{}{unit}", ns / scale);
            }
        }
        write!(f, "{ns}ns")
    }
}

macro_rules! as_text {
    ($type:ty, $number:expr, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<$type, E> {
                        Ok($number(value))
                    }
                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$type, E> {
                        u64::try_from(value).map($number).map_err(|_| E::custom(concat!("expected ", $what)))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        <$type>::parse(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}
as_text!(Bytes, Bytes, "a size such as 64MiB");
as_text!(Time, |seconds| Time(Duration::from_secs(seconds)), "a duration such as 10s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(Bytes::parse("64MiB").unwrap().0, 64 << 20);
        assert_eq!(Bytes::parse("1.5 kb").unwrap().0, 1_500);
        assert_eq!(Bytes(1 << 30).to_string(), "1GiB");
        assert_eq!(Bytes::parse(&u64::MAX.to_string()).unwrap().0, u64::MAX);
        assert!(Bytes::parse("99999999TiB").is_err());
        assert!(Bytes::parse("x").is_err() && Bytes::parse("1 parsec").is_err());
        assert_eq!(Time::parse("1h30m").unwrap().0, Duration::from_secs(5_400));
        assert_eq!(Time::parse("500ms").unwrap().to_string(), "500ms");
        assert_eq!(Time::parse("10").unwrap().to_string(), "10s");
        assert!(Time::parse("").is_err() && Time::parse("5 apples").is_err());
    }
}
