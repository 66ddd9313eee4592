//! The times that log lines begin with.

use event::time::{civil_from_days, days_from_civil, days_in_month, parse_iso_prefix};

const SECOND: i64 = 1_000_000_000;
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

pub(super) fn month(text: &[u8]) -> Option<u32> {
    MONTHS.chunks(3).position(|name| name.eq_ignore_ascii_case(text)).map(|n| n as u32 + 1)
}

fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

fn of_day(text: &[u8]) -> Option<i64> {
    if text.len() != 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&text[..2])?, number(&text[3..5])?, number(&text[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// `21/Nov/2026:02:45:04 +0100`, as access logs have it.
pub(super) fn clf(text: &[u8]) -> Option<i64> {
    if text.len() != 26 || text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[20] != b' ' {
        return None;
    }
    let (day, year) = (number(&text[..2])? as u32, number(&text[7..11])?);
    let month = month(&text[3..6])?;
    if day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let (hours, minutes) = (number(&text[22..24])?, number(&text[24..26])?);
    let offset = (hours * 60 + minutes) * 60;
    let offset = if text[21] == b'-' { -offset } else { offset };
    let seconds = days_from_civil(year, month, day) * 86_400 + of_day(&text[12..20])? - offset;
    seconds.checked_mul(SECOND)
}

/// `Nov 21 02:45:04`: the year is the one that puts it nearest to now.
pub(super) fn bsd(text: &[u8], now: i64) -> Option<(i64, &[u8])> {
    if text.len() < 15 || text[3] != b' ' || text[6] != b' ' {
        return None;
    }
    let month = month(&text[..3])?;
    let day = number(if text[4] == b' ' { &text[5..6] } else { &text[4..6] })? as u32;
    let second = of_day(&text[7..15])?;
    let (year, ..) = civil_from_days(now.div_euclid(SECOND).div_euclid(86_400));
    let candidates =
        [year - 1, year, year + 1].into_iter().filter(|year| day >= 1 && day <= days_in_month(*year, month));
    let times = candidates
        .filter_map(|year| (days_from_civil(year, month, day) * 86_400 + second).checked_mul(SECOND));
    let ns = times.min_by_key(|ns| (ns - now).abs())?;
    Some((ns, &text[15..]))
}

/// A time at the beginning of a line, and what stands behind it.
pub(super) fn leading(text: &[u8], now: i64) -> Option<(i64, &[u8])> {
    if !text.first()?.is_ascii_digit() {
        return bsd(text, now);
    }
    if text.len() >= 10 && text[4] == b'/' && text[7] == b'/' {
        let mut iso = [0; 32];
        let len = text.len().min(iso.len());
        iso[..len].copy_from_slice(&text[..len]);
        (iso[4], iso[7]) = (b'-', b'-');
        let (ns, rest) = parse_iso_prefix(&iso[..len])?;
        return Some((ns, &text[len - rest.len()..]));
    }
    parse_iso_prefix(text)
}
