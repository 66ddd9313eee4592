//! Time zones: from a local time to the instant.

use chrono::{DateTime, MappedLocalTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// A zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Seconds east of UTC.
    Fixed(i64),
    Named(Tz),
}

/// The abbreviations of RFC 822; all others mean different zones in different countries.
const ABBREVIATIONS: [(&[u8], i64); 11] = [
    (b"UTC", 0),
    (b"GMT", 0),
    (b"UT", 0),
    (b"EST", -5),
    (b"EDT", -4),
    (b"CST", -6),
    (b"CDT", -5),
    (b"MST", -7),
    (b"MDT", -6),
    (b"PST", -8),
    (b"PDT", -7),
];

impl Zone {
    /// The zone of a name or an offset.
    pub(crate) fn named(text: &[u8]) -> Option<Self> {
        match Self::leading(text)? {
            (zone, length) if length == text.len() => Some(zone),
            _ => None,
        }
    }

    /// The zone that a text begins with, and the length of its name.
    pub(crate) fn leading(text: &[u8]) -> Option<(Self, usize)> {
        if let Some((seconds, length)) = offset(text)
            && !text.get(length).is_some_and(u8::is_ascii_alphanumeric)
        {
            return Some((Zone::Fixed(seconds), length));
        }
        let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte);
        let length = text.iter().take_while(in_name).count();
        let name = &text[..length];
        if let Some((_, hours)) = ABBREVIATIONS.iter().find(|(own, _)| *own == name) {
            return Some((Zone::Fixed(hours * 3600), length));
        }
        let zone = std::str::from_utf8(name).ok()?.parse().ok()?;
        Some((Zone::Named(zone), length))
    }

    /// The seconds since 1970 UTC of a local time in seconds.
    pub(crate) fn instant(&self, local: i64) -> Option<i64> {
        let zone = match self {
            Zone::Fixed(offset) => return local.checked_sub(*offset),
            Zone::Named(zone) => zone,
        };
        let time = DateTime::from_timestamp(local, 0)?.naive_utc();
        let offset = match zone.offset_from_local_datetime(&time) {
            MappedLocalTime::Single(offset) => offset.fix(),
            // The greater offset is that of the earlier instant.
            MappedLocalTime::Ambiguous(one, other) => {
                let (one, other) = (one.fix(), other.fix());
                if one.local_minus_utc() > other.local_minus_utc() { one } else { other }
            }
            // With the offset from before the gap the time comes out behind it. A gap has at most
            // a day and offsets at most fourteen hours, so this instant is before it.
            MappedLocalTime::None => {
                zone.offset_from_utc_datetime(&time.checked_sub_signed(TimeDelta::hours(40))?).fix()
            }
        };
        Some(local - i64::from(offset.local_minus_utc()))
    }

    /// The local time, in seconds, of an instant.
    pub(crate) fn local(&self, instant: i64) -> Option<i64> {
        let offset = match self {
            Zone::Fixed(offset) => *offset,
            Zone::Named(zone) => {
                let time = DateTime::from_timestamp(instant, 0)?.naive_utc();
                i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc())
            }
        };
        instant.checked_add(offset)
    }
}

/// `Z`, `+01`, `+0100`, `+01:00`: the seconds, and the length of the text.
pub(crate) fn offset(text: &[u8]) -> Option<(i64, usize)> {
    let two = |at: usize| match text.get(at..at + 2) {
        Some(&[tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    };
    let sign = match text.first()? {
        b'Z' | b'z' => return Some((0, 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = two(1)?;
    let (minutes, length) = match (text.get(3), two(3), two(4)) {
        (Some(b':'), _, Some(minutes)) => (minutes, 6),
        (_, Some(minutes), _) => (minutes, 5),
        _ => (0, 3),
    };
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3600 + minutes * 60), length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::time::parse_rfc3339;

    #[test]
    fn gaps_and_folds() {
        #[track_caller]
        fn check(zone: &str, local: &str, utc: &str) {
            let seconds = |text: &str| parse_rfc3339(text.as_bytes()).unwrap() / 1_000_000_000;
            let zone = Zone::named(zone.as_bytes()).unwrap();
            assert_eq!(zone.instant(seconds(local)), Some(seconds(utc)), "{local}");
        }
        check("Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01T10:00:00");
        check("Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T00:59:59");
        check("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00"); // is 03:30 there
        check("Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00");
        check("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00"); // the first of two
        check("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00");
        check("America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00");
        check("America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00");
        check("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00"); // a day that was not
        check("+05:30", "2026-01-01T00:00:00", "2025-12-31T18:30:00");
        check("EST", "2026-01-01T00:00:00", "2026-01-01T05:00:00");
    }

    #[test]
    fn names() {
        assert_eq!(Zone::named(b"UTC"), Some(Zone::Fixed(0)));
        assert_eq!(Zone::named(b"-0130"), Some(Zone::Fixed(-5400)));
        assert_eq!(Zone::named(b"Etc/GMT+5").unwrap().instant(0), Some(5 * 3600));
        for text in ["", "Europe/Berlim", "+1", "+25:00", "UTC ", "Zulu1"] {
            assert_eq!(Zone::named(text.as_bytes()), None, "{text}");
        }
    }
}
