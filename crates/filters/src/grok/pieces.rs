//! Well-known patterns that the scanner reads by code of their own.
//!
//! Each one follows the regex of the same name in `patterns.rs`.

use super::scan::is_word;
use std::net::Ipv6Addr;

/// A pattern with code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Word,
    Number,
    PosInt,
    NonNegInt,
    Quoted,
    Ipv4,
    Ip,
    Host,
    IpOrHost,
    HttpdUser,
    HttpDate,
    Iso8601,
    SyslogTime,
    LogLevel,
    Uuid,
}

/// Where a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There only: no other end can lead to a match.
    Only(usize),
    /// There first; the regex may find others.
    First(usize),
    /// Nowhere: it is not here.
    None,
    /// The regex must tell.
    Unsure,
}

impl Piece {
    /// The piece that a built-in pattern is read by.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "WORD" => Self::Word,
            "NUMBER" | "BASE10NUM" => Self::Number,
            "POSINT" => Self::PosInt,
            "NONNEGINT" => Self::NonNegInt,
            "QUOTEDSTRING" | "QS" => Self::Quoted,
            "IPV4" => Self::Ipv4,
            "IP" => Self::Ip,
            "HOSTNAME" | "HOST" => Self::Host,
            "IPORHOST" | "SYSLOGHOST" => Self::IpOrHost,
            "HTTPDUSER" => Self::HttpdUser,
            "HTTPDATE" => Self::HttpDate,
            "TIMESTAMP_ISO8601" => Self::Iso8601,
            "SYSLOGTIMESTAMP" => Self::SyslogTime,
            "LOGLEVEL" => Self::LogLevel,
            "UUID" => Self::Uuid,
            _ => return None,
        })
    }

    /// Where it ends when it begins at `at`; `then` is the byte that must follow.
    pub(super) fn end(self, text: &[u8], at: usize, then: Option<u8>) -> End {
        let Some(first) = text.get(at) else { return End::None };
        let inside_word = at > 0 && is_word(text[at - 1]);
        match self {
            Piece::Word if inside_word || !is_word(*first) => End::None,
            Piece::Word => End::Only(while_in(text, at, is_word)),
            Piece::Number => number(text, at),
            Piece::PosInt if *first == b'0' => End::None,
            Piece::PosInt | Piece::NonNegInt => {
                let end = digits(text, at);
                let ends = end > at && !inside_word && !text.get(end).is_some_and(|byte| is_word(*byte));
                if ends { End::Only(end) } else { End::None }
            }
            Piece::Quoted => quoted(text, at),
            Piece::Ipv4 => ipv4(text, at),
            Piece::Ip => match ipv6(text, at, then) {
                End::None => ipv4(text, at),
                end => end,
            },
            Piece::Host => host(text, at, then),
            Piece::IpOrHost => match ipv6(text, at, then) {
                End::None => match ipv4(text, at) {
                    End::Only(end) => before_blank(text, end, then),
                    _ => host(text, at, then),
                },
                end => end,
            },
            Piece::HttpdUser => httpd_user(text, at, then),
            Piece::HttpDate if !first.is_ascii_digit() => End::None,
            Piece::HttpDate => strict(text, http_date(text, at), then),
            Piece::Iso8601 if !first.is_ascii_digit() => End::None,
            Piece::Iso8601 => strict(text, iso8601(text, at), then),
            Piece::SyslogTime if inside_word || !first.is_ascii_alphabetic() => End::None,
            Piece::SyslogTime => strict(text, syslog_time(text, at), then),
            Piece::LogLevel if !first.is_ascii_alphabetic() => End::None,
            Piece::LogLevel => {
                let end = while_in(text, at, |byte| byte.is_ascii_alphabetic());
                if LEVELS.contains(&&text[at..end]) { before_blank(text, end, then) } else { End::Unsure }
            }
            Piece::Uuid => uuid(text, at),
        }
    }
}

const LEVELS: [&[u8]; 20] = [
    b"INFO", b"info", b"Info", b"WARN", b"warn", b"Warn", b"WARNING", b"warning", b"Warning", b"ERROR",
    b"error", b"Error", b"DEBUG", b"debug", b"Debug", b"TRACE", b"trace", b"FATAL", b"fatal", b"notice",
];

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn while_in(text: &[u8], at: usize, holds: impl Fn(u8) -> bool) -> usize {
    at + text[at..].iter().position(|byte| !holds(*byte)).unwrap_or(text.len() - at)
}

fn digits(text: &[u8], at: usize) -> usize {
    while_in(text, at, |byte| byte.is_ascii_digit())
}

/// The end of a piece without blanks: when a blank must follow and does, no other will do.
fn before_blank(text: &[u8], end: usize, then: Option<u8>) -> End {
    if then == Some(b' ') && text.get(end) == Some(&b' ') { End::Only(end) } else { End::First(end) }
}

/// The end of a time in its usual form; other forms are for the regex. Ends before this one are
/// followed by more of the time, so they do not matter when something else must follow.
fn strict(text: &[u8], end: Option<usize>, then: Option<u8>) -> End {
    let Some(end) = end else { return End::Unsure };
    let other = then.is_some_and(|then| !then.is_ascii_digit() && !b":.,Z+-".contains(&then));
    if other && text.get(end) == then.as_ref() { End::Only(end) } else { End::First(end) }
}

fn number(text: &[u8], at: usize) -> End {
    if at > 0 && (text[at - 1].is_ascii_digit() || b".+-".contains(&text[at - 1])) {
        return End::None;
    }
    let from = at + usize::from(matches!(text[at], b'+' | b'-'));
    let whole = digits(text, from);
    let point = text.get(whole) == Some(&b'.');
    let fraction = if point { digits(text, whole + 1) } else { whole };
    match (whole > from, point && fraction > whole + 1) {
        (_, true) => End::Only(fraction),
        (true, false) => End::Only(whole),
        (false, false) => End::None,
    }
}

fn quoted(text: &[u8], at: usize) -> End {
    let quote = text[at];
    if !matches!(quote, b'"' | b'\'' | b'`') || at > 0 && text[at - 1] == b'\\' {
        return End::None;
    }
    let mut end = at + 1;
    loop {
        let Some(n) = text.get(end..).and_then(|rest| memchr::memchr2(quote, b'\\', rest)) else {
            return End::None;
        };
        end += n;
        if text[end] == quote {
            return End::Only(end + 1);
        }
        // Whatever stands behind it, the end of a line as well.
        if end + 1 == text.len() {
            return End::None;
        }
        end += 2;
    }
}

fn ipv4(text: &[u8], at: usize) -> End {
    if at > 0 && text[at - 1].is_ascii_digit() {
        return End::None;
    }
    let mut from = at;
    for part in 0..4 {
        let end = digits(text, from);
        let fits = match &text[from..end] {
            [_] | [_, _] | [b'0' | b'1', _, _] | [b'2', b'0'..=b'4', _] => true,
            [b'2', b'5', last] => *last <= b'5',
            _ => false,
        };
        if !fits || part < 3 && text.get(end) != Some(&b'.') {
            return End::None;
        }
        from = end + 1;
    }
    End::Only(from - 1)
}

/// Addresses alone before a blank; whatever else could be one is for the regex.
fn ipv6(text: &[u8], at: usize, then: Option<u8>) -> End {
    let group = text[at..].iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if text.get(at + group) != Some(&b':') {
        return End::None;
    }
    let end = while_in(text, at, |byte| byte.is_ascii_hexdigit() || byte == b':');
    let address = std::str::from_utf8(&text[at..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
    match (address, before_blank(text, end, then)) {
        (Some(_), End::Only(end)) => End::Only(end),
        _ => End::Unsure,
    }
}

fn host(text: &[u8], at: usize, then: Option<u8>) -> End {
    let begins = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    if !begins(at) || at > 0 && is_word(text[at - 1]) {
        return End::None;
    }
    let label = |at: usize| {
        let more = text[at + 1..].iter().take(62);
        at + 1 + more.take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count()
    };
    let mut end = label(at);
    while text.get(end) == Some(&b'.') && begins(end + 1) {
        end = label(end + 1);
    }
    end += usize::from(text.get(end) == Some(&b'.'));
    before_blank(text, end, then)
}

/// Names of users; what could be an address of mail is for the regex.
fn httpd_user(text: &[u8], at: usize, then: Option<u8>) -> End {
    let end = while_in(text, at, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-.".contains(&byte);
    if text.get(while_in(text, end, local)) == Some(&b'@') {
        return End::Unsure;
    }
    if end > at { before_blank(text, end, then) } else { End::None }
}

/// Two digits of a number up to `most`.
fn two(text: &[u8], least: u8, most: u8) -> Option<()> {
    let &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = text else { return None };
    let value = (tens - b'0') * 10 + ones - b'0';
    (least <= value && value <= most).then_some(())
}

/// `02:45:04`.
fn time_of_day(text: &[u8]) -> Option<()> {
    two(text.get(..2)?, 0, 23)?;
    two(text.get(3..5)?, 0, 59)?;
    two(text.get(6..8)?, 0, 59)?;
    (text[2] == b':' && text[5] == b':').then_some(())
}

/// `21/Nov/2026:02:45:04 +0100`.
fn http_date(text: &[u8], at: usize) -> Option<usize> {
    let date = text.get(at..at + 26)?;
    two(&date[..2], 1, 31)?;
    MONTHS.contains(&&[date[3], date[4], date[5]]).then_some(())?;
    two(&date[7..9], 0, 99)?;
    two(&date[9..11], 0, 99)?;
    time_of_day(&date[12..20])?;
    let signs = date[2] == b'/' && date[6] == b'/' && date[11] == b':' && date[20] == b' ';
    let zone = matches!(date[21], b'+' | b'-') && digits(date, 22) == 26;
    let end = at + 26;
    (signs && zone && !text.get(end).is_some_and(u8::is_ascii_digit)).then_some(end)
}

/// The end behind a fraction of a second.
fn fraction(text: &[u8], at: usize) -> usize {
    let end = if matches!(text.get(at), Some(b':' | b'.' | b',')) { digits(text, at + 1) } else { at };
    if end > at + 1 { end } else { at }
}

/// `2026-11-21T02:45:04.123+01:00`, with or without fraction and zone.
fn iso8601(text: &[u8], at: usize) -> Option<usize> {
    let date = text.get(at..at + 19)?;
    two(&date[..2], 0, 99)?;
    two(&date[2..4], 0, 99)?;
    two(&date[5..7], 1, 12)?;
    two(&date[8..10], 1, 31)?;
    time_of_day(&date[11..])?;
    if date[4] != b'-' || date[7] != b'-' || !matches!(date[10], b'T' | b' ') {
        return None;
    }
    let end = fraction(text, at + 19);
    match text.get(end) {
        Some(b'Z') => Some(end + 1),
        Some(b'+' | b'-') => {
            two(text.get(end + 1..end + 3)?, 0, 23)?;
            let minute = end + 3 + usize::from(text.get(end + 3) == Some(&b':'));
            two(text.get(minute..minute + 2)?, 0, 59)?;
            Some(minute + 2)
        }
        Some(b'0'..=b'9') => None,
        _ => Some(end),
    }
}

/// `Nov 21 02:45:04`, `Nov  1 02:45:04.123`.
fn syslog_time(text: &[u8], at: usize) -> Option<usize> {
    let month = text.get(at..at + 3)?;
    MONTHS.contains(&&[month[0], month[1], month[2]]).then_some(())?;
    let day = while_in(text, at + 3, |byte| byte == b' ');
    let day_end = digits(text, day);
    match &text[day..day_end] {
        [b'1'..=b'9'] => {}
        two_digits => two(two_digits, 1, 31)?,
    }
    if day == at + 3 || text.get(day_end) != Some(&b' ') {
        return None;
    }
    time_of_day(text.get(day_end + 1..)?)?;
    let end = fraction(text, day_end + 9);
    (!text.get(end).is_some_and(u8::is_ascii_digit)).then_some(end)
}

fn uuid(text: &[u8], at: usize) -> End {
    let Some(id) = text.get(at..at + 36) else { return End::None };
    let fits = id.iter().enumerate().all(|(n, byte)| match n {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    if fits { End::Only(at + 36) } else { End::None }
}
