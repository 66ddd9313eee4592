//! Times: nanoseconds since 1970 in UTC, and RFC 3339 in and out.

use std::cell::Cell;

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

thread_local! {
    /// The last second that was written, and its text: most events are of the same second as the
    /// one before, and to write all of it anew costs several times more than to copy it.
    static LAST: Cell<(i64, [u8; 20])> = const { Cell::new((0, *b"1970-01-01T00:00:00.")) };
}

/// A time in nanoseconds since 1970 as RFC 3339 has it, in UTC.
pub fn rfc3339(ns: i64) -> String {
    let mut out = Vec::with_capacity(24);
    write_rfc3339(ns, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a time as RFC 3339 in UTC, with as many digits of the second's fraction (3, 6 or 9)
/// as it needs: `2026-11-21T02:45:04.123Z`.
pub fn write_rfc3339(ns: i64, out: &mut Vec<u8>) {
    let second = ns.div_euclid(SECOND);
    let fraction = ns.rem_euclid(SECOND) as u32;
    let (last, mut text) = LAST.get();
    if last != second {
        text = second_text(second);
        LAST.set((second, text));
    }
    out.extend_from_slice(&text);
    let mut text = *b"000000000Z";
    digits::<3, 10>(&mut text, 0, fraction / 1_000_000);
    let mut end = 3;
    if !fraction.is_multiple_of(1_000_000) {
        digits::<3, 10>(&mut text, 3, fraction / 1_000 % 1_000);
        digits::<3, 10>(&mut text, 6, fraction % 1_000);
        end = if fraction.is_multiple_of(1_000) { 6 } else { 9 };
    }
    text[end] = b'Z';
    out.extend_from_slice(&text[..=end]);
}

fn second_text(second: i64) -> [u8; 20] {
    let (year, month, day) = civil_from_days(second.div_euclid(DAY));
    let of_day = second.rem_euclid(DAY) as u32;
    let mut text = *b"0000-00-00T00:00:00.";
    digits::<4, 20>(&mut text, 0, year as u32);
    digits::<2, 20>(&mut text, 5, month);
    digits::<2, 20>(&mut text, 8, day);
    digits::<2, 20>(&mut text, 11, of_day / 3600);
    digits::<2, 20>(&mut text, 14, of_day / 60 % 60);
    digits::<2, 20>(&mut text, 17, of_day % 60);
    text
}

/// Writes the last `N` digits; `N` is known when compiling, so that nothing loops.
fn digits<const N: usize, const OF: usize>(text: &mut [u8; OF], at: usize, mut value: u32) {
    for n in (at..at + N).rev() {
        text[n] = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Reads RFC 3339 and the forms of ISO 8601 that logs use: a date, `T` or a blank, a time with
/// or without seconds and fraction (`.` or `,`), and `Z`, an offset or nothing (then UTC).
/// `None` when it is something else or lies outside 1678–2261.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (time, rest) = parse_iso_prefix(text)?;
    rest.is_empty().then_some(time)
}

/// Like [`parse_rfc3339`], and gives back what stands behind the time.
pub fn parse_iso_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    if text.len() < 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&text[0..4])?, number(&text[5..7])?, number(&text[8..10])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(i64::from(year), month) {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, day);
    let mut rest = &text[10..];
    if !matches!(rest, [b'T' | b't' | b' ', b'0'..=b'9', ..]) {
        return at(days * DAY, 0).map(|time| (time, rest));
    }
    if rest.len() < 6 || rest[3] != b':' {
        return None;
    }
    let (hour, minute) = (number(&rest[1..3])?, number(&rest[4..6])?);
    rest = &rest[6..];
    let mut second = 0;
    let mut fraction = 0;
    if let [b':', tens, ones, more @ ..] = rest {
        second = number(&[*tens, *ones])?;
        rest = more;
        if let [b'.' | b',', b'0'..=b'9', ..] = rest {
            let count = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let mut scale = 100_000_000;
            for byte in rest[1..=count].iter().take(9) {
                fraction += i64::from(byte - b'0') * scale;
                scale /= 10;
            }
            rest = &rest[count + 1..];
        }
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut seconds = days * DAY + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    match rest {
        [b'Z' | b'z', more @ ..] => rest = more,
        [sign @ (b'+' | b'-'), h1, h2, more @ ..] => {
            let hours = number(&[*h1, *h2])?;
            let (minutes, more) = match more {
                [b':', m1, m2, more @ ..] => (number(&[*m1, *m2])?, more),
                [m1 @ b'0'..=b'9', m2, more @ ..] => (number(&[*m1, *m2])?, more),
                more => (0, more),
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = i64::from(hours * 3600 + minutes * 60);
            seconds -= if *sign == b'+' { offset } else { -offset };
            rest = more;
        }
        _ => {}
    }
    at(seconds, fraction).map(|time| (time, rest))
}

fn at(seconds: i64, fraction: i64) -> Option<i64> {
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

fn number(text: &[u8]) -> Option<u32> {
    let mut value = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u32::from(byte - b'0');
    }
    Some(value)
}

/// The number of days of a month.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_there_and_back() {
        #[track_caller]
        fn check(text: &str, again: &str) {
            let mut out = Vec::new();
            write_rfc3339(parse_rfc3339(text.as_bytes()).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), again);
        }
        check("2026-11-21T02:45:04.123Z", "2026-11-21T02:45:04.123Z");
        check("2026-11-21T02:45:04.123456789+01:00", "2026-11-21T01:45:04.123456789Z");
        check("2026-11-21 02:45:04,5", "2026-11-21T02:45:04.500Z");
        check("2026-11-21", "2026-11-21T00:00:00.000Z");
        check("2024-02-29T23:59-0130", "2024-03-01T01:29:00.000Z");
        check("1969-12-31T23:59:59.000001Z", "1969-12-31T23:59:59.000001Z");
        check("1700-01-01T00:00:00Z", "1700-01-01T00:00:00.000Z");
        // Seconds that were written before.
        check("1970-01-01T00:00:00.1Z", "1970-01-01T00:00:00.100Z");
        check("1970-01-01T00:00:00.1234Z", "1970-01-01T00:00:00.123400Z");
        check("1969-12-31T23:59:59Z", "1969-12-31T23:59:59.000Z");
        check("1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z");
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-11-21T24:00:00Z",
            "2026-11-21T02:45:04.1x",
            "3000-01-01T00:00:00Z",
            "2026-11-21Tx",
            "2026-11-21T02",
            "2026-11-21T02:45:0",
        ] {
            assert_eq!(parse_rfc3339(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_centuries() {
        for days in -100_000..100_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!(day >= 1 && day <= days_in_month(year, month));
        }
    }
}
