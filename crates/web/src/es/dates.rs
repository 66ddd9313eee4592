//! Times in questions and answers: date math, time zones and formats.

use super::EsError;
use chrono::{
    DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike, Utc,
};
use std::fmt::Write;

const SECOND: i64 = 1_000_000_000;

/// A time zone of a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zone {
    /// An offset that never changes, in seconds east of Greenwich.
    Fixed(i32),
    /// A place.
    Named(chrono_tz::Tz),
}

impl Zone {
    /// No offset.
    pub const UTC: Zone = Zone::Fixed(0);

    /// `Z`, `+09:00`, `Europe/Berlin`.
    pub fn parse(text: &str) -> Result<Self, EsError> {
        if let "Z" | "z" | "UTC" | "GMT" = text {
            return Ok(Zone::UTC);
        }
        if let Some(seconds) = offset(text) {
            return Ok(Zone::Fixed(seconds));
        }
        text.parse().map(Zone::Named).map_err(|_| {
            EsError::argument(format!("the time zone [{text}] is not known; such as +09:00 or Europe/Berlin"))
        })
    }

    /// Seconds east of Greenwich at this moment.
    pub fn offset_at(&self, ns: i64) -> i32 {
        match self {
            Zone::Fixed(seconds) => *seconds,
            Zone::Named(zone) => zone
                .offset_from_utc_datetime(&DateTime::from_timestamp_nanos(ns).naive_utc())
                .fix()
                .local_minus_utc(),
        }
    }

    fn local(&self, ns: i64) -> NaiveDateTime {
        DateTime::from_timestamp_nanos(ns).naive_utc() + chrono::TimeDelta::seconds(self.offset_at(ns).into())
    }

    /// A local time that there is not, or twice, is taken as the first moment from it on.
    fn to_utc(self, local: NaiveDateTime) -> Option<i64> {
        let utc = match self {
            Zone::Fixed(seconds) => local.checked_sub_signed(chrono::TimeDelta::seconds(seconds.into()))?,
            Zone::Named(zone) => match zone.from_local_datetime(&local).earliest() {
                Some(time) => time.naive_utc(),
                None => {
                    let later = local.checked_add_signed(chrono::TimeDelta::hours(1))?;
                    zone.from_local_datetime(&later).earliest()?.naive_utc()
                }
            },
        };
        utc.and_utc().timestamp_nanos_opt()
    }
}

/// `+09:00`, `-0530`, `+01`.
fn offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = if digits.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// How times are read in a question.
#[derive(Debug, Clone)]
pub struct Reader {
    /// What `now` is, in nanoseconds UTC.
    pub now: i64,
    /// Where times without an offset are.
    pub zone: Zone,
    /// How they are written.
    pub formats: Vec<Format>,
}

impl Reader {
    /// Reads as Elasticsearch does by default: ISO 8601 of any length.
    pub fn new(now: i64) -> Self {
        Self { now, zone: Zone::UTC, formats: vec![Format::Iso] }
    }

    /// A moment: `now-15m`, `2026-11-21||+1d/d`, or a time as the formats say. What is not
    /// said is the first moment of it, or the last when rounding up.
    pub fn read(&self, text: &str, round_up: bool) -> Option<i64> {
        if let Some(rest) = text.strip_prefix("now") {
            return self.math(self.now, rest, round_up);
        }
        match text.split_once("||") {
            Some((anchor, "")) => self.anchor(anchor, round_up),
            Some((anchor, rest)) => self.math(self.anchor(anchor, false)?, rest, round_up),
            None => self.anchor(text, round_up),
        }
    }

    fn anchor(&self, text: &str, round_up: bool) -> Option<i64> {
        self.formats.iter().find_map(|format| format.read(text, self.zone, round_up))
    }

    fn math(&self, mut time: i64, mut rest: &str, round_up: bool) -> Option<i64> {
        while let Some(sign) = rest.chars().next() {
            rest = rest.get(1..)?;
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let count: i64 = if digits == 0 { 1 } else { rest[..digits].parse().ok()? };
            let unit = rest.get(digits..digits + 1)?;
            rest = &rest[digits + 1..];
            time = match sign {
                '+' => self.add(time, count, unit)?,
                '-' => self.add(time, -count, unit)?,
                '/' if digits == 0 => self.round(time, unit, round_up)?,
                _ => return None,
            };
        }
        Some(time)
    }

    fn add(&self, time: i64, count: i64, unit: &str) -> Option<i64> {
        let clock = match unit {
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" | "H" => 3_600 * SECOND,
            _ => {
                let local = self.zone.local(time);
                let months = |factor: i64| {
                    let count = count.checked_mul(factor)?;
                    let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
                    if count < 0 {
                        local.checked_sub_months(months)
                    } else {
                        local.checked_add_months(months)
                    }
                };
                let days = |factor: i64| {
                    let count = count.checked_mul(factor)?;
                    let days = Days::new(count.unsigned_abs());
                    if count < 0 { local.checked_sub_days(days) } else { local.checked_add_days(days) }
                };
                let moved = match unit {
                    "d" => days(1)?,
                    "w" => days(7)?,
                    "M" => months(1)?,
                    "y" => months(12)?,
                    _ => return None,
                };
                return self.zone.to_utc(moved);
            }
        };
        time.checked_add(count.checked_mul(clock)?)
    }

    fn round(&self, time: i64, unit: &str, up: bool) -> Option<i64> {
        let local = self.zone.local(time);
        let date = local.date();
        let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0);
        let start = match unit {
            "s" => local.with_nanosecond(0)?,
            "m" => local.with_nanosecond(0)?.with_second(0)?,
            "h" | "H" => local.with_nanosecond(0)?.with_second(0)?.with_minute(0)?,
            "d" => midnight(date)?,
            "w" => midnight(date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into()))?)?,
            "M" => midnight(date.with_day(1)?)?,
            "y" => midnight(date.with_day(1)?.with_month(1)?)?,
            _ => return None,
        };
        let start = self.zone.to_utc(start)?;
        if !up {
            return Some(start);
        }
        // Elasticsearch's last moment of a unit is its last millisecond; ours have nanoseconds.
        self.add(start, 1, unit)?.checked_sub(1)
    }
}

impl Reader {
    /// Where the units of the calendar begin, in the zone: from the one that `from` is in to the
    /// one behind `to`. `q` is a quarter. `None` where there are more than `most`.
    pub fn beginnings(&self, from: i64, to: i64, unit: &str, most: usize) -> Option<Vec<i64>> {
        let (unit, step) = if unit == "q" { ("M", 3) } else { (unit, 1) };
        let mut at = self.round(from, unit, false)?;
        if step == 3 {
            at = self.add(at, -i64::from(self.zone.local(at).month0() % 3), "M")?;
        }
        let mut all = vec![at];
        while at <= to {
            let next = self.round(self.add(at, step, unit)?, unit, false)?;
            if next <= at || all.len() >= most {
                return None;
            }
            at = next;
            all.push(at);
        }
        Some(all)
    }
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// ISO 8601: a date, and as much of a time as is known.
    Iso,
    /// Milliseconds since 1970.
    EpochMillis,
    /// Seconds since 1970.
    EpochSeconds,
    /// A pattern such as `yyyy-MM-dd HH:mm`.
    Pattern(Vec<Piece>),
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text that stands as it is.
    Text(String),
    /// A letter, so many times.
    Letter(char, usize),
}

impl Format {
    /// `yyyy-MM-dd||epoch_millis`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, EsError> {
        text.split("||").map(Self::parse).collect()
    }

    fn parse(name: &str) -> Result<Self, EsError> {
        let pattern = match name {
            "strict_date_optional_time"
            | "date_optional_time"
            | "strict_date_optional_time_nanos"
            | "iso8601" => {
                return Ok(Format::Iso);
            }
            "epoch_millis" => return Ok(Format::EpochMillis),
            "epoch_second" => return Ok(Format::EpochSeconds),
            "date_time" | "strict_date_time" => "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "date_time_no_millis" | "strict_date_time_no_millis" => "yyyy-MM-dd'T'HH:mm:ssXXX",
            "date" | "strict_date" | "year_month_day" | "strict_year_month_day" => "yyyy-MM-dd",
            "year_month" | "strict_year_month" => "yyyy-MM",
            "year" | "strict_year" => "yyyy",
            "hour_minute" | "strict_hour_minute" => "HH:mm",
            "hour_minute_second" | "strict_hour_minute_second" => "HH:mm:ss",
            "date_hour_minute_second" | "strict_date_hour_minute_second" => "yyyy-MM-dd'T'HH:mm:ss",
            "basic_date" => "yyyyMMdd",
            pattern => pattern,
        };
        Self::pattern(pattern)
    }

    fn pattern(text: &str) -> Result<Self, EsError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => {
                    let inner: String = chars.by_ref().take_while(|c| *c != '\'').collect();
                    pieces.push(Piece::Text(if inner.is_empty() { "'".to_owned() } else { inner }));
                }
                c if "yuMdHmsSXZx".contains(c) => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    pieces.push(Piece::Letter(if c == 'u' { 'y' } else { c }, count));
                }
                c if c.is_ascii_alphabetic() => {
                    return Err(EsError::argument(format!(
                        "Invalid format: [{text}]: the letter [{c}] is not supported; there are y M d H m s S X Z, and names such as strict_date_optional_time, epoch_millis, epoch_second"
                    )));
                }
                c => pieces.push(Piece::Text(c.to_string())),
            }
        }
        if pieces.is_empty() {
            return Err(EsError::argument("Invalid format: []: it is empty"));
        }
        Ok(Format::Pattern(pieces))
    }

    fn read(&self, text: &str, zone: Zone, round_up: bool) -> Option<i64> {
        match self {
            Format::Iso => read_iso(text, zone, round_up),
            Format::EpochMillis => text.parse::<i64>().ok()?.checked_mul(1_000_000),
            Format::EpochSeconds => text.parse::<i64>().ok()?.checked_mul(SECOND),
            Format::Pattern(pieces) => read_pattern(pieces, text, zone, round_up),
        }
    }

    /// Writes a time.
    pub fn write(&self, ns: i64, zone: Zone) -> String {
        let mut out = String::new();
        match self {
            Format::EpochMillis => out = ns.div_euclid(1_000_000).to_string(),
            Format::EpochSeconds => out = ns.div_euclid(SECOND).to_string(),
            Format::Iso => {
                if let Ok(format) = Self::pattern("yyyy-MM-dd'T'HH:mm:ss.SSSXXX") {
                    return format.write(ns, zone);
                }
            }
            Format::Pattern(pieces) => pieces.iter().for_each(|piece| write_piece(piece, ns, zone, &mut out)),
        }
        out
    }
}

fn write_piece(piece: &Piece, ns: i64, zone: Zone, out: &mut String) {
    let local = zone.local(ns);
    // Writing to a text cannot fail.
    let _ = match piece {
        Piece::Text(text) => out.write_str(text),
        Piece::Letter('y', 2) => write!(out, "{:02}", local.year().rem_euclid(100)),
        Piece::Letter('y', width) => write!(out, "{:0width$}", local.year()),
        Piece::Letter('M', width) => write!(out, "{:0width$}", local.month()),
        Piece::Letter('d', width) => write!(out, "{:0width$}", local.day()),
        Piece::Letter('H', width) => write!(out, "{:0width$}", local.hour()),
        Piece::Letter('m', width) => write!(out, "{:0width$}", local.minute()),
        Piece::Letter('s', width) => write!(out, "{:0width$}", local.second()),
        Piece::Letter('S', width) => {
            let nanos = format!("{:09}", local.nanosecond());
            out.write_str(&nanos[..(*width).min(9)])
        }
        Piece::Letter(letter, count) => {
            let offset = zone.offset_at(ns);
            if offset == 0 && *letter == 'X' {
                out.write_str("Z")
            } else {
                let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
                let colon = if *count >= 3 { ":" } else { "" };
                write!(out, "{sign}{:02}{colon}{:02}", offset / 3600, offset / 60 % 60)
            }
        }
    };
}

/// What is known of a time: year, month, day, hour, minute, second, and nanoseconds. Less
/// than all of it stands for a span.
#[derive(Default)]
struct Known {
    parts: [Option<u32>; 6],
    nanos: Option<(u32, u32)>,
    offset: Option<i32>,
}

impl Known {
    fn moment(&self, zone: Zone, round_up: bool) -> Option<i64> {
        let zone = self.offset.map_or(zone, Zone::Fixed);
        let last = self.parts.iter().rposition(Option::is_some)?;
        let part = |n: usize| self.parts[n].unwrap_or(u32::from(n == 1 || n == 2));
        let year = i32::try_from(self.parts[0].unwrap_or(1970)).ok()?;
        let (nanos, digits) = self.nanos.unwrap_or((0, 0));
        let local = NaiveDate::from_ymd_opt(year, part(1), part(2))?.and_hms_nano_opt(
            part(3),
            part(4),
            part(5),
            nanos,
        )?;
        let start = zone.to_utc(local)?;
        if !round_up {
            return Some(start);
        }
        if self.nanos.is_some() {
            // Up to milliseconds the last nanosecond of what is written is meant.
            let span = 10_i64.pow(9 - digits.min(9));
            return start.checked_add(span - 1);
        }
        let reader = Reader { now: 0, zone, formats: Vec::new() };
        reader.add(start, 1, ["y", "M", "d", "h", "m", "s"][last])?.checked_sub(1)
    }
}

fn read_iso(text: &str, zone: Zone, round_up: bool) -> Option<i64> {
    let (date, time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], text.get(at + 1..)?),
        None => (text, ""),
    };
    let mut known = Known::default();
    for (n, part) in date.split('-').enumerate() {
        let width = if n == 0 { 4 } else { 2 };
        *known.parts.get_mut(n).filter(|_| n < 3)? = Some(number(part, width)?);
    }
    let (clock, zone_text) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (&time[..at], &time[at..]),
        None => (time, ""),
    };
    known.offset = match zone_text {
        "" => None,
        "Z" | "z" => Some(0),
        text => Some(offset(text)?),
    };
    if !clock.is_empty() {
        let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(a, b)| (a, Some(b)));
        for (n, part) in clock.split(':').enumerate() {
            *known.parts.get_mut(3 + n)? = Some(number(part, 2)?);
        }
        if let Some(digits) = fraction {
            known.nanos = Some(read_fraction(digits)?);
        }
    }
    known.moment(zone, round_up)
}

fn number(text: &str, width: usize) -> Option<u32> {
    (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Digits behind the point as nanoseconds, and how many there were.
fn read_fraction(text: &str) -> Option<(u32, u32)> {
    let digits = u32::try_from(text.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    Some((number(text, text.len())? * 10_u32.pow(9 - digits), digits))
}

fn read_pattern(pieces: &[Piece], text: &str, zone: Zone, round_up: bool) -> Option<i64> {
    let mut known = Known::default();
    let mut rest = text;
    for (n, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            Piece::Letter('X' | 'Z' | 'x', _) => {
                if let Some(behind) = rest.strip_prefix('Z') {
                    (known.offset, rest) = (Some(0), behind);
                } else {
                    let end = rest.char_indices().find(|(at, c)| *at > 0 && !c.is_ascii_digit() && *c != ':');
                    let end = end.map_or(rest.len(), |(at, _)| at);
                    known.offset = Some(offset(&rest[..end])?);
                    rest = &rest[end..];
                }
            }
            Piece::Letter(letter, width) => {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                // Numbers that touch have their written widths.
                let touches = matches!(pieces.get(n + 1), Some(Piece::Letter(..)));
                let take = if touches || *letter == 'S' { digits.min(*width) } else { digits };
                let value = &rest[..take];
                rest = &rest[take..];
                if *letter == 'S' {
                    known.nanos = Some(read_fraction(value)?);
                    continue;
                }
                let mut number: u32 = value.parse().ok()?;
                if *letter == 'y' && *width == 2 {
                    number += 2000;
                }
                known.parts["yMdHms".find(*letter)?] = Some(number);
            }
        }
    }
    if rest.is_empty() { known.moment(zone, round_up) } else { None }
}

/// A time as answers show it: ISO 8601 in UTC, with milliseconds.
pub fn iso(ns: i64) -> String {
    Format::Iso.write(ns, Zone::UTC)
}

/// The fixed offset of a zone for intervals, at a moment.
pub fn fixed(zone: Zone, now: i64) -> Option<FixedOffset> {
    FixedOffset::east_opt(zone.offset_at(now))
}

/// Now, in nanoseconds UTC.
pub fn now() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(ns: i64) -> String {
        Format::pattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSXXX").unwrap().write(ns, Zone::UTC)
    }

    #[test]
    fn date_math() {
        // A Saturday.
        let now = Reader::new(0).read("2026-11-21T13:45:30.5Z", false).unwrap();
        let check = |text: &str, up: bool, expected: &str| {
            let found = Reader::new(now).read(text, up).map(full);
            let expected = expected.trim_end_matches('Z');
            let shown = found.map(|text| {
                text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
            });
            assert_eq!(
                shown.as_deref().unwrap_or("none"),
                expected.trim_end_matches('0').trim_end_matches('.'),
                "{text} {up}"
            );
        };
        check("now", false, "2026-11-21T13:45:30.5");
        check("now-15m", false, "2026-11-21T13:30:30.5");
        check("now+1h", false, "2026-11-21T14:45:30.5");
        check("now-1M", false, "2026-10-21T13:45:30.5");
        check("now-1y", false, "2025-11-21T13:45:30.5");
        check("now/d", false, "2026-11-21T00:00:00.");
        check("now/d", true, "2026-11-21T23:59:59.999999999");
        check("now/w", false, "2026-11-16T00:00:00.");
        check("now/w", true, "2026-11-22T23:59:59.999999999");
        check("now/M", false, "2026-11-01T00:00:00.");
        check("now/M", true, "2026-11-30T23:59:59.999999999");
        check("now/y", false, "2026-01-01T00:00:00.");
        check("now-1d/d", false, "2026-11-20T00:00:00.");
        check("now/h", false, "2026-11-21T13:00:00.");
        check("2026-11-21||+1d/d", false, "2026-11-22T00:00:00.");
        check("2026-01-31||+1M", false, "2026-02-28T00:00:00.");
        check("2026-11-21", false, "2026-11-21T00:00:00.");
        check("2026-11-21", true, "2026-11-21T23:59:59.999999999");
        check("2026-11", true, "2026-11-30T23:59:59.999999999");
        check("2026", false, "2026-01-01T00:00:00.");
        check("2026-11-21T10", true, "2026-11-21T10:59:59.999999999");
        check("2026-11-21T10:05:01.123Z", true, "2026-11-21T10:05:01.123999999");
        check("2026-11-21T10:05:01+09:00", false, "2026-11-21T01:05:01.");
        check("now-", false, "none");
        check("now-1x", false, "none");
        check("now/2d", false, "none");
        check("nowhere", false, "none");
        check("2026-13-01", false, "none");
        check("2026-1-1", false, "none");
        check("now-999999999999999999y", false, "none");
    }

    #[test]
    fn where_units_begin() {
        #[track_caller]
        fn check(zone: &str, from: &str, to: &str, unit: &str, expected: &str) {
            let mut reader = Reader::new(0);
            let (from, to) = (reader.read(from, false).unwrap(), reader.read(to, false).unwrap());
            reader.zone = Zone::parse(zone).unwrap();
            let found = reader.beginnings(from, to, unit, 20).unwrap();
            let found: Vec<String> = found.iter().map(|ns| iso(*ns)[..13].to_owned()).collect();
            assert_eq!(found.join(" "), expected);
        }
        check("UTC", "2026-01-15", "2026-02-02", "M", "2026-01-01T00 2026-02-01T00 2026-03-01T00");
        check("UTC", "2026-05-15", "2026-05-15", "q", "2026-04-01T00 2026-07-01T00");
        check("UTC", "2025-12-31", "2026-01-01", "y", "2025-01-01T00 2026-01-01T00 2027-01-01T00");
        // Days of 23 and of 25 hours.
        check(
            "Europe/Helsinki",
            "2026-03-28",
            "2026-03-29",
            "d",
            "2026-03-27T22 2026-03-28T22 2026-03-29T21",
        );
        check(
            "Europe/Helsinki",
            "2026-10-24",
            "2026-10-25",
            "d",
            "2026-10-23T21 2026-10-24T21 2026-10-25T22",
        );
        let reader = Reader::new(0);
        assert!(reader.beginnings(0, i64::MAX / 2, "d", 100).is_none());
    }

    #[test]
    fn zones_and_formats() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let reader = Reader { zone: berlin, ..Reader::new(0) };
        assert_eq!(iso(reader.read("2026-07-01", false).unwrap()), "2026-06-30T22:00:00.000Z");
        assert_eq!(iso(reader.read("2026-03-29T00:30||+1d", false).unwrap()), "2026-03-29T22:30:00.000Z");
        assert_eq!(Zone::parse("+09:00").unwrap(), Zone::Fixed(9 * 3600));
        assert!(Zone::parse("Mars/Olympus").is_err());
        let formats = Format::parse_list("dd/MM/yyyy HH:mm||epoch_millis").unwrap();
        let reader = Reader { formats, ..Reader::new(0) };
        assert_eq!(iso(reader.read("21/11/2026 05:06", false).unwrap()), "2026-11-21T05:06:00.000Z");
        assert_eq!(iso(reader.read("1000", false).unwrap()), "1970-01-01T00:00:01.000Z");
        let compact = Reader { formats: Format::parse_list("yyyyMMddHHmmss").unwrap(), ..Reader::new(0) };
        assert_eq!(iso(compact.read("20261121050607", false).unwrap()), "2026-11-21T05:06:07.000Z");
        assert!(Format::parse_list("QQQ").is_err());
        let seoul = Format::pattern("yyyy-MM-dd HH:mm XXX").unwrap().write(0, Zone::Fixed(9 * 3600));
        assert_eq!(seoul, "1970-01-01 09:00 +09:00");
    }

    proptest! {
        #[test]
        fn any_text(text: String, up: bool, format: String) {
            let _ = Reader::new(0).read(&text, up);
            if let Ok(formats) = Format::parse_list(&format) {
                let _ = Reader { formats, ..Reader::new(0) }.read(&text, up);
            }
        }

        #[test]
        fn nearly_times(text in "(now|[0-9]{4}-[0-9]{2}-[0-9]{2})?(\\|\\|)?([-+/][0-9]{0,20}[smhdwMyx]){0,4}", up: bool, now: i64) {
            let _ = Reader { zone: Zone::Named(chrono_tz::America::New_York), ..Reader::new(now) }.read(&text, up);
        }
    }
}
