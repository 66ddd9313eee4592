//! Formats of times: their two notations, and reading by them.

use super::MissingYear;
use super::names::{self, Language};
use super::zone::{self, Zone};
use event::time::{civil_from_days, days_from_civil, days_in_month};

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;
/// The years that nanoseconds can hold lie within these.
const YEARS: std::ops::Range<i64> = 1600..2300;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A compiled format.
#[derive(Debug)]
pub(super) struct Format(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Text(Box<[u8]>),
    /// Any number of blanks, also none.
    Blanks,
    /// One digit or more.
    Number {
        part: Part,
        digits_max: usize,
    },
    /// Digits of a second's fraction.
    Fraction {
        digits_max: usize,
    },
    /// A point and the digits of a fraction, or nothing.
    PointFraction,
    Month,
    Weekday,
    /// The name of a month in another language, and whether a point may stand behind it.
    MonthIn(&'static Language, bool),
    /// The same for days.
    WeekdayIn(&'static Language, bool),
    /// AM or PM.
    Half,
    Offset,
    Zone,
    Iso8601,
    /// A label of TAI64N.
    Tai64n,
    /// A number since 1970, with or without a fraction, of which so many are a second.
    Epoch {
        per_second: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    /// Two digits for 1969 to 2068.
    YearOfCentury,
    /// Two digits for the years from eighty before to nineteen after this one; more are the year.
    YearNear,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// Up to 24, which is midnight.
    HourToMidnight,
    HourOfHalf,
    Minute,
    Second,
    Ignored,
}

/// What a text said.
#[derive(Debug, Default)]
struct Parts {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    ns: i64,
    zone: Option<Zone>,
    epoch_ns: Option<i64>,
}

impl Format {
    /// Compiles a format in either notation; names are in this language, or in English.
    pub(super) fn new(text: &str, language: Option<&'static Language>) -> Result<Self, String> {
        let mut steps = match text {
            "ISO8601" => vec![Step::Iso8601],
            "UNIX" => vec![Step::Epoch { per_second: 1 }],
            "UNIX_MS" => vec![Step::Epoch { per_second: 1000 }],
            "TAI64N" => vec![Step::Tai64n],
            _ if text.contains('%') => strptime(text)?,
            _ => joda(text)?,
        };
        if steps.iter().all(|step| matches!(step, Step::Text(_) | Step::Blanks)) {
            return Err("the format reads nothing".to_owned());
        }
        for n in 0..steps.len() {
            let Some(language) = language else { break };
            // A point that the format has is not the name's.
            let point = !matches!(steps.get(n + 1), Some(Step::Text(text)) if text.starts_with(b"."));
            match steps[n] {
                Step::Month => steps[n] = Step::MonthIn(language, point),
                Step::Weekday => steps[n] = Step::WeekdayIn(language, point),
                _ => {}
            }
        }
        Ok(Self(steps))
    }

    /// The time in nanoseconds; `None` where the text does not fit.
    pub(super) fn read(&self, text: &[u8], zone: &Zone, year: MissingYear, now: i64) -> Option<i64> {
        let mut parts = Parts::default();
        let mut rest = text;
        for step in &self.0 {
            rest = step.read(rest, &mut parts, now)?;
        }
        if rest.is_empty() { parts.time(zone, year, now) } else { None }
    }
}

/// The letters of Joda: `dd/MMM/yyyy:HH:mm:ss Z`, text between `'` as it is.
fn joda(format: &str) -> Result<Vec<Step>, String> {
    let mut tokens: Vec<(char, usize)> = Vec::new();
    let mut steps = Vec::new();
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            let (inner, behind) = quoted(&rest[1..]).ok_or("a ' is not closed")?;
            text(&mut steps, &inner);
            tokens.resize(steps.len(), ('\'', 0));
            rest = behind;
            continue;
        }
        let count = rest.chars().take_while(|other| *other == letter).count();
        rest = &rest[count * letter.len_utf8()..];
        if !letter.is_ascii_alphabetic() {
            text(&mut steps, &letter.to_string().repeat(count));
            tokens.resize(steps.len(), ('\'', 0));
            continue;
        }
        let number = |part, digits_max| Step::Number { part, digits_max };
        steps.push(match (letter, count) {
            ('y' | 'Y' | 'u', 2) => number(Part::YearNear, 9),
            ('y' | 'Y' | 'u', _) => number(Part::Year, 9),
            ('M' | 'L', 3..) => Step::Month,
            ('M' | 'L', _) => number(Part::Month, 2),
            ('d', _) => number(Part::Day, 2),
            ('D', _) => number(Part::DayOfYear, 3),
            ('E', _) => Step::Weekday,
            ('e', _) => number(Part::Ignored, 1),
            ('H', _) => number(Part::Hour, 2),
            ('k', _) => number(Part::HourToMidnight, 2),
            ('K' | 'h', _) => number(Part::HourOfHalf, 2),
            ('a', _) => Step::Half,
            ('m', _) => number(Part::Minute, 2),
            ('s', _) => number(Part::Second, 2),
            ('S', _) => Step::Fraction { digits_max: usize::MAX },
            ('Z', 1 | 2) | ('X' | 'x', _) => Step::Offset,
            ('Z' | 'z' | 'V', _) => Step::Zone,
            _ => return Err(format!("no meaning is known of the letter {letter}; put text between '")),
        });
        tokens.push((letter, count));
    }
    // Numbers without anything between them have as many digits as letters.
    for n in 1..steps.len() {
        let digits_follow = matches!(steps[n], Step::Number { .. } | Step::Fraction { .. });
        if let (Step::Number { digits_max, .. } | Step::Fraction { digits_max }, true) =
            (&mut steps[n - 1], digits_follow)
        {
            *digits_max = tokens[n - 1].1;
        }
    }
    Ok(steps)
}

/// Text up to the closing quote, in which `''` is a quote; an empty one is a quote too.
fn quoted(rest: &str) -> Option<(String, &str)> {
    if let Some(behind) = rest.strip_prefix('\'') {
        return Some(("'".to_owned(), behind));
    }
    let mut inner = String::new();
    let mut rest = rest;
    loop {
        let (text, behind) = rest.split_once('\'')?;
        inner.push_str(text);
        let Some(more) = behind.strip_prefix('\'') else { return Some((inner, behind)) };
        inner.push('\'');
        rest = more;
    }
}

fn text(steps: &mut Vec<Step>, more: &str) {
    match steps.last_mut() {
        Some(Step::Text(before)) => *before = [&before[..], more.as_bytes()].concat().into(),
        _ => steps.push(Step::Text(more.as_bytes().into())),
    }
}

/// The notation of `strptime`, with what chrono, Ruby and Fluent Bit have added.
fn strptime(format: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first.is_ascii_whitespace() {
            steps.push(Step::Blanks);
            continue;
        }
        if first != '%' {
            text(&mut steps, first.encode_utf8(&mut [0; 4]));
            continue;
        }
        // How a number is padded matters to writing only.
        let item = rest.trim_start_matches(['-', '_', '0', '^', '#']);
        let code_length = match item.as_bytes() {
            [b'.', b'3' | b'6' | b'9', b'f', ..] => 3,
            [b'.' | b'3' | b'6' | b'9', b'f' | b'N', ..] | [b':', b'z', ..] => 2,
            [] => return Err("nothing behind the last %".to_owned()),
            _ => item.chars().next().map_or(1, char::len_utf8),
        };
        let (code, behind) = item.split_at(code_length);
        rest = behind;
        let number = |part, digits_max| vec![Step::Blanks, Step::Number { part, digits_max }];
        let more = match code {
            "Y" => number(Part::Year, 4),
            "y" => number(Part::YearOfCentury, 2),
            "m" => number(Part::Month, 2),
            "d" | "e" => number(Part::Day, 2),
            "j" => number(Part::DayOfYear, 3),
            "H" | "k" => number(Part::Hour, 2),
            "I" | "l" => number(Part::HourOfHalf, 2),
            "M" => number(Part::Minute, 2),
            "S" => number(Part::Second, 2),
            "u" | "w" => number(Part::Ignored, 1),
            "f" | "N" | "L" => vec![Step::Fraction { digits_max: usize::MAX }],
            "3f" | "3N" => vec![Step::Fraction { digits_max: 3 }],
            "6f" | "6N" => vec![Step::Fraction { digits_max: 6 }],
            "9f" | "9N" => vec![Step::Fraction { digits_max: 9 }],
            ".f" | ".3f" | ".6f" | ".9f" => vec![Step::PointFraction],
            "b" | "B" | "h" => vec![Step::Month],
            "a" | "A" => vec![Step::Weekday],
            "p" | "P" => vec![Step::Half],
            "z" | ":z" => vec![Step::Blanks, Step::Offset],
            "Z" => vec![Step::Zone],
            "s" => vec![Step::Blanks, Step::Epoch { per_second: 1 }],
            "Q" => vec![Step::Blanks, Step::Epoch { per_second: 1000 }],
            "n" | "t" => vec![Step::Blanks],
            "+" => vec![Step::Iso8601],
            "T" => strptime("%H:%M:%S")?,
            "R" => strptime("%H:%M")?,
            "r" => strptime("%I:%M:%S %p")?,
            "D" => strptime("%m/%d/%y")?,
            "F" => strptime("%Y-%m-%d")?,
            "c" => strptime("%a %b %e %H:%M:%S %Y")?,
            "%" => {
                text(&mut steps, "%");
                continue;
            }
            other => return Err(format!("no meaning is known of %{other}")),
        };
        steps.extend(more);
    }
    Ok(steps)
}

impl Step {
    /// Reads the step's part off the front of a text.
    fn read<'t>(&self, text: &'t [u8], parts: &mut Parts, now: i64) -> Option<&'t [u8]> {
        match self {
            Step::Text(own) => text.strip_prefix(&own[..]),
            Step::Blanks => Some(text.trim_ascii_start()),
            Step::Number { part, digits_max } => {
                let (value, length) = number(text, *digits_max)?;
                parts.set(*part, value, length, now)?;
                Some(&text[length..])
            }
            Step::Fraction { digits_max } => fraction(text, *digits_max, parts),
            Step::PointFraction => match text {
                [b'.' | b',', digits @ ..] => fraction(digits, usize::MAX, parts),
                _ => Some(text),
            },
            Step::Month => {
                let (month, rest) = name(text, &MONTHS)?;
                parts.month = Some(month as u32 + 1);
                Some(rest)
            }
            Step::Weekday => Some(name(text, &WEEKDAYS)?.1),
            Step::MonthIn(language, point) => {
                let (month, rest) = names::read(text, &language.months, *point)?;
                parts.month = Some(month as u32 + 1);
                Some(rest)
            }
            Step::WeekdayIn(language, point) => Some(names::read(text, &language.weekdays, *point)?.1),
            Step::Half => {
                parts.afternoon = Some(match text.first()?.to_ascii_lowercase() {
                    b'a' => false,
                    b'p' => true,
                    _ => return None,
                });
                text.get(1)?.eq_ignore_ascii_case(&b'm').then(|| &text[2..])
            }
            Step::Offset => {
                let (seconds, length) = zone::offset(text)?;
                parts.zone = Some(Zone::Fixed(seconds));
                Some(&text[length..])
            }
            Step::Zone => {
                let (zone, length) = Zone::leading(text)?;
                parts.zone = Some(zone);
                Some(&text[length..])
            }
            Step::Iso8601 => iso8601(text, parts),
            Step::Tai64n => tai64n(text, parts),
            Step::Epoch { per_second } => epoch(text, *per_second, parts),
        }
    }
}

/// The digits that a text begins with, as a number, and how many they are.
fn number(text: &[u8], digits_max: usize) -> Option<(i64, usize)> {
    let length = text.iter().take(digits_max.min(18)).take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..length].iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    (length > 0).then_some((value, length))
}

/// Exactly so many digits.
fn fixed(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (value, length) = number(text, digits)?;
    (length == digits).then(|| (value, &text[length..]))
}

fn fraction<'t>(text: &'t [u8], digits_max: usize, parts: &mut Parts) -> Option<&'t [u8]> {
    let length = text.iter().take(digits_max).take_while(|byte| byte.is_ascii_digit()).count();
    let mut scale = SECOND;
    parts.ns = 0;
    for digit in text[..length].iter().take(9) {
        scale /= 10;
        parts.ns += i64::from(digit - b'0') * scale;
    }
    (length > 0).then(|| &text[length..])
}

/// The number of a name, whole or its first three letters.
fn name<'t>(text: &'t [u8], names: &[&str]) -> Option<(usize, &'t [u8])> {
    let begins =
        |name: &str| text.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name.as_bytes()));
    let at = names.iter().position(|name| begins(&name[..3]))?;
    let length = if begins(names[at]) { names[at].len() } else { 3 };
    Some((at, &text[length..]))
}

/// `2026-11-21T02:45:04.123+01:00`; all behind the date may be missing, and so may `-` and `:`
/// when they all are.
fn iso8601<'t>(text: &'t [u8], parts: &mut Parts) -> Option<&'t [u8]> {
    let (year, rest) = fixed(text, 4)?;
    let (date, rest) = match rest.strip_prefix(b"-") {
        Some(rest) => ("-", rest),
        None => ("", rest),
    };
    let (month, rest) = fixed(rest, 2)?;
    let (day, mut rest) = fixed(rest.strip_prefix(date.as_bytes())?, 2)?;
    (parts.year, parts.month, parts.day) = (Some(year), Some(month as u32), Some(day as u32));
    if !matches!(rest, [b'T' | b't' | b' ', b'0'..=b'9', ..]) {
        return Some(rest);
    }
    let colon = if date.is_empty() { &b""[..] } else { b":" };
    let hour;
    (hour, rest) = fixed(&rest[1..], 2)?;
    parts.hour = Some(hour);
    (parts.minute, rest) = fixed(rest.strip_prefix(colon)?, 2)?;
    if let Some(seconds) =
        rest.strip_prefix(colon).filter(|rest| rest.first().is_some_and(u8::is_ascii_digit))
    {
        (parts.second, rest) = fixed(seconds, 2)?;
        if let [b'.' | b',', b'0'..=b'9', ..] = rest {
            rest = fraction(&rest[1..], usize::MAX, parts)?;
        }
    }
    match zone::offset(rest) {
        Some((seconds, length)) => {
            parts.zone = Some(Zone::Fixed(seconds));
            Some(&rest[length..])
        }
        None => Some(rest),
    }
}

/// A label of TAI64N (<https://cr.yp.to/libtai/tai64.html>), with or without `@`: 16 hexadecimal
/// digits of seconds from 2^62 on, 8 of nanoseconds. As in Logstash, TAI counts as ten seconds ahead
/// of UTC, which is how daemontools write it.
fn tai64n<'t>(text: &'t [u8], parts: &mut Parts) -> Option<&'t [u8]> {
    let label = text.strip_prefix(b"@").unwrap_or(text);
    let digits = std::str::from_utf8(label.get(..24)?).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let seconds = i64::from_str_radix(&digits[..16], 16).ok()?.checked_sub((1 << 62) + 10)?;
    let ns = i64::from_str_radix(&digits[16..], 16).ok().filter(|ns| *ns < SECOND)?;
    parts.epoch_ns = Some(seconds.checked_mul(SECOND)?.checked_add(ns)?);
    Some(&label[24..])
}

/// `1700000000`, `-1.5`, `1.7e9`.
fn epoch<'t>(text: &'t [u8], per_second: i64, parts: &mut Parts) -> Option<&'t [u8]> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, length) = number(digits, 18)?;
    let mut rest = &digits[length..];
    let unit = SECOND / per_second;
    let mut ns = i128::from(whole) * i128::from(unit);
    if let [b'.', b'0'..=b'9', ..] = rest {
        rest = fraction(&rest[1..], usize::MAX, parts)?;
        ns += i128::from(parts.ns / per_second);
        parts.ns = 0;
    }
    if let [b'e' | b'E', ..] = rest {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
        let number: f64 = std::str::from_utf8(&text[..length]).ok()?.parse().ok()?;
        let ns = number * unit as f64;
        parts.epoch_ns = Some((ns.abs() < i64::MAX as f64).then_some(ns as i64)?);
        return Some(&text[length..]);
    }
    parts.epoch_ns = Some(i64::try_from(if negative { -ns } else { ns }).ok()?);
    Some(rest)
}

impl Parts {
    /// Keeps a number; `None` where it cannot be one of its kind.
    fn set(&mut self, part: Part, value: i64, digits: usize, now: i64) -> Option<()> {
        match part {
            Part::YearOfCentury => self.year = Some(value + if value < 69 { 2000 } else { 1900 }),
            Part::YearNear if digits == 2 => {
                let first = civil_from_days(now.div_euclid(SECOND * DAY)).0 - 80;
                self.year = Some(first + (value - first).rem_euclid(100));
            }
            Part::Year | Part::YearNear => self.year = Some(value),
            Part::Month => self.month = Some(value as u32),
            Part::Day => self.day = Some(value as u32),
            Part::DayOfYear => self.day_of_year = Some(value),
            Part::Hour => self.hour = Some(value),
            Part::HourToMidnight if value == 0 => return None,
            Part::HourToMidnight => self.hour = Some(if value == 24 { 0 } else { value }),
            Part::HourOfHalf if value > 12 => return None,
            Part::HourOfHalf => self.hour_of_half = Some(value % 12),
            Part::Minute => self.minute = value,
            Part::Second => self.second = value,
            Part::Ignored => {}
        }
        Some(())
    }

    fn time(&self, zone: &Zone, year: MissingYear, now: i64) -> Option<i64> {
        if let Some(ns) = self.epoch_ns {
            return Some(ns);
        }
        let zone = self.zone.as_ref().unwrap_or(zone);
        let of_half = self.hour_of_half.map(|hour| hour + if self.afternoon == Some(true) { 12 } else { 0 });
        let hour = self.hour.or(of_half).unwrap_or(0);
        // A leap second is the first of the next minute, as in all logs.
        if hour > 23 || self.minute > 59 || self.second > 60 {
            return None;
        }
        let second = hour * 3600 + self.minute * 60 + self.second;
        let at = |days: i64| {
            let seconds = zone.instant(days * DAY + second)?;
            seconds.checked_mul(SECOND)?.checked_add(self.ns)
        };
        if let Some(year) = self.year {
            return at(self.days(year)?);
        }
        let today = zone.local(now.div_euclid(SECOND))?.div_euclid(DAY);
        if self.month.is_none() && self.day.is_none() && self.day_of_year.is_none() {
            return at(today);
        }
        let (this_year, this_month, _) = civil_from_days(today);
        if year == MissingYear::Current {
            let year = match (this_month, self.month) {
                (1, Some(12)) => this_year - 1,
                (12, Some(1)) => this_year + 1,
                _ => this_year,
            };
            return at(self.days(year)?);
        }
        // There are up to eight years between two 29ths of February.
        let years = (this_year - 8..=this_year + 1).rev();
        let days = years.filter_map(|year| self.days(year)).filter(|days| *days <= today + 2);
        days.filter_map(at).find(|ns| *ns <= now.saturating_add(DAY * SECOND))
    }

    /// The days since 1970 of the date in a year.
    fn days(&self, year: i64) -> Option<i64> {
        if !YEARS.contains(&year) {
            return None;
        }
        if let (Some(day), None) = (self.day_of_year, self.month) {
            let first = days_from_civil(year, 1, 1);
            let length = days_from_civil(year + 1, 1, 1) - first;
            return (1..=length).contains(&day).then_some(first + day - 1);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let is_date = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
        is_date.then(|| days_from_civil(year, month, day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone};
    use event::time::parse_rfc3339;
    use proptest::prelude::*;
    use proptest::sample::select;

    const NOW: i64 = 1_795_000_000_000_000_000; // 2026-11-18T11:06:40Z

    fn read(format: &str, text: &str) -> Option<i64> {
        Format::new(format, None).unwrap().read(text.as_bytes(), &Zone::Fixed(0), MissingYear::Latest, NOW)
    }

    #[track_caller]
    fn check(format: &str, text: &str, time: &str) {
        assert_eq!(read(format, text), Some(parse_rfc3339(time.as_bytes()).unwrap()), "{format}: {text}");
    }

    #[test]
    fn letters_of_joda() {
        check("dd/MMM/yyyy:HH:mm:ss Z", "21/Nov/2026:02:45:04 +0100", "2026-11-21T01:45:04Z");
        check("yyyy-MM-dd HH:mm:ss,SSS", "2026-11-21 02:45:04,123", "2026-11-21T02:45:04.123Z");
        check(
            "yyyy-MM-dd'T'HH:mm:ss.SSSZZ",
            "2026-11-21T02:45:04.123456-01:30",
            "2026-11-21T04:15:04.123456Z",
        );
        check("EEE MMM dd HH:mm:ss yyyy", "Sat Nov 21 02:45:04 2026", "2026-11-21T02:45:04Z");
        check("EEEE, d. MMMM yyyy", "saturday, 3. october 2026", "2026-10-03T00:00:00Z");
        check("yyyyMMddHHmmssSSS", "20261121024504007", "2026-11-21T02:45:04.007Z");
        check("yyMMdd", "261121", "2026-11-21T00:00:00Z");
        check("dd.MM.yy", "21.11.45", "2045-11-21T00:00:00Z");
        check("dd.MM.yy", "21.11.46", "1946-11-21T00:00:00Z");
        check("M/d/yyyy h:mm:ss a", "1/2/2026 12:03:04 AM", "2026-01-02T00:03:04Z");
        check("M/d/yyyy h:mm:ss a", "1/2/2026 1:03:04 pm", "2026-01-02T13:03:04Z");
        check("yyyy-DDD kk", "2026-325 24", "2026-11-21T00:00:00Z");
        check("yyyy 'o''clock' HH ''", "2026 o'clock 03 '", "2026-01-01T03:00:00Z");
        check("yyyy-MM-dd HH:mm ZZZ", "2026-07-01 12:00 Europe/Berlin", "2026-07-01T10:00:00Z");
        check("yyyy-MM-dd HH:mm:ss z", "2026-11-21 02:45:04 PST", "2026-11-21T10:45:04Z");
        check("yyyy-MM-dd HH:mm:ss", "2026-12-31 23:59:60", "2027-01-01T00:00:00Z");
    }

    #[test]
    fn strptime() {
        check("%d/%b/%Y:%H:%M:%S %z", "21/Nov/2026:02:45:04 +0100", "2026-11-21T01:45:04Z");
        check("%Y-%m-%dT%H:%M:%S.%LZ", "2026-11-21T02:45:04.123Z", "2026-11-21T02:45:04.123Z");
        check("%Y-%m-%d %H:%M:%S%.f", "2026-11-21 02:45:04", "2026-11-21T02:45:04Z");
        check("%Y-%m-%d %H:%M:%S%.f", "2026-11-21 02:45:04.5", "2026-11-21T02:45:04.5Z");
        check("%a %b %e %T %Y", "Tue Nov  3 02:45:04 2026", "2026-11-03T02:45:04Z");
        check("%c", "Tue Nov  3 02:45:04 2026", "2026-11-03T02:45:04Z");
        check("%Y%m%d%H%M%S%3f", "20261121024504007", "2026-11-21T02:45:04.007Z");
        check("%D %r", "11/21/26 02:45:04 PM", "2026-11-21T14:45:04Z");
        check("%y", "69", "1969-01-01T00:00:00Z");
        check("%F %R %Z", "2026-11-21 02:45 UTC", "2026-11-21T02:45:00Z");
        check("%s", "1700000000.25", "2023-11-14T22:13:20.25Z");
        check("[%Y-%j]%%", "[2024-366]%", "2024-12-31T00:00:00Z");
        check("%-d.%-m.%Y", "1.2.2026", "2026-02-01T00:00:00Z");
        check("%+", "2026-11-21T02:45:04+01:00", "2026-11-21T01:45:04Z");
    }

    #[test]
    fn words() {
        check("ISO8601", "2026-11-21T02:45:04.123Z", "2026-11-21T02:45:04.123Z");
        check("ISO8601", "2026-11-21 02:45:04,123+0100", "2026-11-21T01:45:04.123Z");
        check("ISO8601", "20261121T024504Z", "2026-11-21T02:45:04Z");
        check("ISO8601", "2026-11-21T02:45", "2026-11-21T02:45:00Z");
        check("ISO8601", "2026-11-21", "2026-11-21T00:00:00Z");
        check("UNIX", "0", "1970-01-01T00:00:00Z");
        check("UNIX", "-1.5", "1969-12-31T23:59:58.5Z");
        check("UNIX", "1.7e9", "2023-11-14T22:13:20Z");
        check("UNIX_MS", "1700000000123", "2023-11-14T22:13:20.123Z");
        check("UNIX_MS", "1700000000123.5", "2023-11-14T22:13:20.123500Z");
    }

    #[test]
    fn what_is_missing_is_near_now() {
        check("MMM dd HH:mm:ss", "Nov 18 12:00:00", "2026-11-18T12:00:00Z");
        check("MMM dd HH:mm:ss", "Nov 19 11:00:00", "2026-11-19T11:00:00Z"); // less than a day ahead
        check("MMM dd HH:mm:ss", "Nov 20 12:00:00", "2025-11-20T12:00:00Z");
        check("MMM dd HH:mm:ss", "Feb 29 12:00:00", "2024-02-29T12:00:00Z");
        check("HH:mm", "23:15", "2026-11-18T23:15:00Z");
        let new_year = parse_rfc3339(b"2026-12-31T23:30:00Z");
        let format = Format::new("MMM d HH:mm", None).unwrap();
        let read = format.read(b"Jan 1 00:10", &Zone::Fixed(0), MissingYear::Latest, new_year.unwrap());
        assert_eq!(read, parse_rfc3339(b"2027-01-01T00:10:00Z"));
    }

    #[test]
    fn what_does_not_fit() {
        for (format, text) in [
            ("yyyy-MM-dd", "2026-11-21 "),
            ("yyyy-MM-dd", "2026-02-29"),
            ("yyyy-MM-dd", "2026-13-01"),
            ("yyyy-MM-dd", "9999-01-01"),
            ("HH:mm", "24:00"),
            ("h a", "13 AM"),
            ("h a", "1 XM"),
            ("MMM d", "Foo 1"),
            ("MMM dd", "Nov  1"),
            ("Z", "+1"),
            ("ISO8601", "2026-11-21T02"),
            ("ISO8601", "2026-11-21T02:45:0"),
            ("UNIX", "x"),
            ("UNIX", "99999999999999"),
            ("UNIX", "1e99"),
            ("%Y", ""),
            ("%Y-%j", "2026-366"),
        ] {
            assert_eq!(read(format, text), None, "{format}: {text}");
        }
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(format: &str, error: &str) {
            assert_eq!(Format::new(format, None).unwrap_err(), error);
        }
        check("yyyy-MM-dd G", "no meaning is known of the letter G; put text between '");
        check("yyyy 'x", "a ' is not closed");
        check("%Y %J", "no meaning is known of %J");
        check("%Y %", "nothing behind the last %");
        check("--", "the format reads nothing");
        check("", "the format reads nothing");
    }

    /// Formats in both notations, and what they leave out of a time: the unit that is the least.
    const FORMATS: [(&str, &str, i64); 9] = [
        ("%d/%b/%Y:%H:%M:%S %z", "dd/MMM/yyyy:HH:mm:ss Z", SECOND),
        ("%Y-%m-%dT%H:%M:%S.%9f%:z", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSZZ", 1),
        ("%A, %e %B %Y %I:%M:%S.%3f %p %z", "EEEE, dd MMMM yyyy hh:mm:ss.SSS a Z", 1_000_000),
        ("%Y%m%d%H%M%S%6f%z", "yyyyMMddHHmmssSSSSSSZ", 1_000),
        ("%Y %j %H:%M %:z", "yyyy D HH:mm Z", 60 * SECOND),
        ("%Y-%m-%d %H:%M:%S%.6f%z", "yyyy-MM-dd HH:mm:ss.SSSZ", 1_000),
        ("%a %b %d %T %z %Y", "EEE MMM dd HH:mm:ss Z yyyy", SECOND),
        ("%+", "ISO8601", 1),
        ("%s", "UNIX", SECOND),
    ];

    const ZONES: [&str; 5] =
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"];

    proptest! {
        #[test]
        fn chrono_writes_and_we_read(
            ns in -8_000_000_000_000_000_000..8_000_000_000_000_000_000_i64,
            minutes in -14 * 60..14 * 60_i32,
            (strptime, joda, unit) in select(&FORMATS[..]),
        ) {
            let zone = FixedOffset::east_opt(minutes * 60).unwrap();
            let text = zone.timestamp_nanos(ns).format(strptime).to_string();
            let expected = Some(ns.div_euclid(unit) * unit);
            prop_assert_eq!(read(strptime, &text), expected, "{}", text);
            // In Joda's letters a blank is one blank.
            if !text.contains("  ") {
                prop_assert_eq!(read(joda, &text), expected, "{}", text);
            }
        }

        #[test]
        fn zones_are_those_of_chrono(
            seconds in 0..4_000_000_000_i64,
            name in select(&ZONES[..]),
        ) {
            let zone: chrono_tz::Tz = name.parse().unwrap();
            let utc = DateTime::from_timestamp(seconds, 0).unwrap();
            let local: NaiveDateTime = utc.with_timezone(&zone).naive_local();
            let earliest = zone.from_local_datetime(&local).earliest().unwrap().timestamp();
            let read = Format::new("%F %T", None).unwrap().read(
                local.format("%F %T").to_string().as_bytes(),
                &Zone::named(name.as_bytes()).unwrap(),
                MissingYear::Latest,
                NOW,
            );
            prop_assert_eq!(read, Some(earliest * SECOND));
        }

        #[test]
        fn any_text_and_any_format(
            format in ".{0,24}",
            text: Vec<u8>,
            near in "[0-9TZ:,. +/a-zA-Z-]{0,30}",
            now: i64,
        ) {
            let zones = ["UTC", "Europe/Berlin", "-14:00"].map(|name| Zone::named(name.as_bytes()).unwrap());
            let own = Format::new(&format, None);
            let known = FORMATS.iter().flat_map(|(one, other, _)| [one, other]);
            let more = ["MMM d HH:mm", "yy DDD", "%r", "UNIX_MS", "ZZZ", "%c"];
            let all = known.chain(&more).map(|format| Format::new(format, None).unwrap()).chain(own);
            for format in all {
                for zone in &zones {
                    format.read(&text, zone, MissingYear::Current, now);
                    format.read(near.as_bytes(), zone, MissingYear::Latest, now);
                }
            }
        }

        #[test]
        fn mutated_times(
            ns: i64,
            at: prop::sample::Index,
            byte: u8,
            (strptime, joda, _) in select(&FORMATS[..]),
        ) {
            let mut text = DateTime::from_timestamp_nanos(ns).format(strptime).to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            for format in [strptime, joda] {
                Format::new(format, None).unwrap().read(&text, &Zone::Named(chrono_tz::Europe::Berlin), MissingYear::Latest, ns);
            }
        }
    }
}
