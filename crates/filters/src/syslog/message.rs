//! A message of syslog, taken apart: RFC 5424, and the many forms of what RFC 3164 describes.
//!
//! RFC 3164 tells what was seen on the wire, and more was seen since: times with years, fractions and
//! zones, or in ISO 8601; no host, or no time at all; sequence numbers, colons and stars where Cisco's
//! devices put them. So nothing here is refused: what is not recognised is part of the content.
//!
//! ```text
//! <PRI>1 TIME HOST APP PROCID MSGID [id a="b"]… CONTENT        RFC 5424
//! <PRI>[SEQ: ][HOST: ][*]Mmm dd [yyyy ]hh:mm:ss[.fff][ ZONE][:] HOST TAG[PID]: CONTENT
//! ```

use crate::date::zone::Zone;
use event::time::{civil_from_days, days_from_civil, days_in_month, parse_iso_prefix};

/// The parts of a message; what it does not say is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message<'t> {
    /// Eight times the facility, and the severity.
    pub(super) priority: Option<u8>,
    /// The version of RFC 5424, which is 1.
    pub(super) version: Option<u8>,
    /// Nanoseconds since 1970, UTC.
    pub(super) time: Option<i64>,
    /// The time as it stands there.
    pub(super) time_text: Option<&'t [u8]>,
    pub(super) hostname: Option<&'t [u8]>,
    /// The program: the tag, or APP-NAME.
    pub(super) program: Option<&'t [u8]>,
    /// The process: the text in brackets behind the tag, or PROCID.
    pub(super) process: Option<&'t [u8]>,
    pub(super) message_id: Option<&'t [u8]>,
    /// The structured data, as it stands there.
    pub(super) data: Option<&'t [u8]>,
    /// Cisco's number of the message.
    pub(super) sequence: Option<i64>,
    /// Cisco's name of what happened: `SYS-5-CONFIG_I`.
    pub(super) code: Option<&'t [u8]>,
    /// What is said.
    pub(super) content: &'t [u8],
}

const SECOND: i64 = 1_000_000_000;
/// The greatest priority: facility 23, severity 7.
const PRIORITY_MAX: u8 = 191;
/// A tag is longer in no program that is known; RFC 3164 has 32.
const TAG_MAX: usize = 64;
/// A name of a host has no more bytes (RFC 5424, section 6).
const HOSTNAME_MAX: usize = 255;
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

impl<'t> Message<'t> {
    /// Takes a message apart. `now` (nanoseconds since 1970, UTC) tells the year where there is none,
    /// and `zone` is that of times without one.
    pub(super) fn parse(text: &'t [u8], zone: &Zone, now: i64) -> Self {
        // Many send the end of the line, or the zero behind a text in C, along with it.
        let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |at| at + 1);
        let text = &text[..end];
        let (priority, rest) = match priority(text) {
            Some((priority, rest)) => (Some(priority), rest),
            None => (None, text),
        };
        let read = rest.strip_prefix(b"1 ").filter(|_| priority.is_some()).and_then(rfc5424);
        let mut message = read.unwrap_or_else(|| rfc3164(rest, zone, now));
        message.priority = priority;
        message
    }

    /// Whether anything was recognised.
    pub(super) fn is_syslog(&self) -> bool {
        self.priority.is_some() || (self.time.is_some() && self.hostname.is_some())
    }

    /// Calls `each` with the id of an element of the structured data, a name in it, and its value.
    pub(super) fn parameters(&self, mut each: impl FnMut(&str, &str, &str)) {
        let Some(mut rest) = self.data else { return };
        while let Some((element, behind)) = element(rest) {
            rest = behind;
            let inner = &element[1..element.len() - 1];
            let (id, mut pairs) = split_at_blank(inner);
            let id = String::from_utf8_lossy(id);
            while let Some((name, value, behind)) = parameter(pairs) {
                each(&id, &String::from_utf8_lossy(name), &value);
                pairs = behind;
            }
        }
    }
}

fn priority(text: &[u8]) -> Option<(u8, &[u8])> {
    let rest = text.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    if end == 0 || !rest[..end].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    (number <= PRIORITY_MAX).then_some((number, &rest[end + 1..]))
}

/// The first word, and what stands behind the blank.
fn split_at_blank(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[text.len()..]),
    }
}

/// Behind the version: `TIME HOST APP PROCID MSGID DATA [CONTENT]`, where `-` stands for nothing.
fn rfc5424(text: &[u8]) -> Option<Message<'_>> {
    let mut rest = text;
    let mut word = || {
        let at = memchr::memchr(b' ', rest)?;
        let word = &rest[..at];
        rest = &rest[at + 1..];
        (!word.is_empty()).then_some(word)
    };
    let [time, hostname, program, process, message_id] = [word()?, word()?, word()?, word()?, word()?];
    let time_ns = match time {
        b"-" => None,
        time => Some(event::time::parse_rfc3339(time)?),
    };
    let (data, content) = match rest.strip_prefix(b"-") {
        Some(content) => (None, content),
        None => {
            let mut content = rest;
            while let Some((_, behind)) = element(content) {
                content = behind;
            }
            let data = &rest[..rest.len() - content.len()];
            (Some(data).filter(|data| !data.is_empty()), content)
        }
    };
    if data.is_none() && !rest.starts_with(b"-") {
        return None;
    }
    let content = match content.strip_prefix(b" ") {
        Some(content) => content,
        None if content.is_empty() => content,
        None => return None,
    };
    let given = |word: &'_ [u8]| word != b"-";
    Some(Message {
        version: Some(1),
        time: time_ns,
        time_text: Some(time).filter(|word| given(word)),
        hostname: Some(hostname).filter(|word| given(word)),
        program: Some(program).filter(|word| given(word)),
        process: Some(process).filter(|word| given(word)),
        message_id: Some(message_id).filter(|word| given(word)),
        data,
        content: content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content),
        ..Message::default()
    })
}

/// `[id name="value" …]` at the beginning, with its brackets, and what stands behind it.
fn element(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.first() != Some(&b'[')
        || !text.get(1).is_some_and(|byte| byte.is_ascii_graphic() && !b"=]\"".contains(byte))
    {
        return None;
    }
    let mut is_quoted = false;
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'\\' if is_quoted => at += 1,
            b'"' => is_quoted = !is_quoted,
            b']' if !is_quoted => return Some(text.split_at(at + 1)),
            _ => {}
        }
        at += 1;
    }
}

/// `name="value"` at the beginning: the name, the value without escapes, and what stands behind it.
fn parameter(text: &[u8]) -> Option<(&[u8], String, &[u8])> {
    let text = text.trim_ascii_start();
    let equals = memchr::memchr(b'=', text).filter(|at| *at > 0)?;
    let quoted = text[equals + 1..].strip_prefix(b"\"")?;
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => break,
            // Before anything else a backslash is itself (RFC 5424, section 6.3.3).
            b'\\' if quoted.get(at + 1).is_some_and(|next| b"\"\\]".contains(next)) => {
                at += 1;
                value.push(quoted[at]);
            }
            byte => value.push(*byte),
        }
        at += 1;
    }
    Some((&text[..equals], String::from_utf8_lossy(&value).into_owned(), &quoted[at + 1..]))
}

fn rfc3164<'t>(text: &'t [u8], zone: &Zone, now: i64) -> Message<'t> {
    let mut message = Message::default();
    let mut rest = text;
    if let Some((sequence, behind)) = sequence(rest) {
        message.sequence = sequence;
        rest = behind;
    }
    if let Some(found) = time(rest, zone, now) {
        rest = message.with_time(found);
    } else if let Some((name, behind)) = origin(rest)
        && let Some(found) = time(behind, zone, now)
    {
        // `host: *Mar  1 00:00:00: %SYS-5-CONFIG_I: …`, with `logging origin-id`.
        message.hostname = Some(name);
        rest = message.with_time(found);
    }
    if let Some(code) = mnemonic(rest) {
        message.code = Some(code);
        message.content = rest;
        return message;
    }
    if message.time.is_some() && message.hostname.is_none() {
        let (word, behind) = split_at_blank(rest);
        // A word that ends like a tag is one: who sends it left the host out.
        if is_hostname(word) && word.len() < rest.len() {
            message.hostname = Some(word);
            rest = behind;
        }
    }
    // `host : %ASA-6-302013: …`.
    let behind = rest.strip_prefix(b": ").unwrap_or(rest);
    if let Some(code) = mnemonic(behind) {
        message.code = Some(code);
        message.content = behind;
        return message;
    }
    if let Some((program, process, content)) = tag(rest) {
        message.program = Some(program);
        message.process = process;
        rest = content;
    }
    message.content = rest;
    message
}

struct Time<'t> {
    ns: i64,
    text: &'t [u8],
    behind: &'t [u8],
}

impl<'t> Message<'t> {
    fn with_time(&mut self, found: Time<'t>) -> &'t [u8] {
        (self.time, self.time_text) = (Some(found.ns), Some(found.text));
        let behind = found.behind.strip_prefix(b":").unwrap_or(found.behind);
        behind.strip_prefix(b" ").unwrap_or(behind)
    }
}

/// `123: ` or `: ` before anything else, as Cisco's devices number what they send.
fn sequence(text: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = text[digits..].strip_prefix(b":")?;
    let number = match digits {
        0 => None,
        1..=18 => Some(std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?),
        _ => return None,
    };
    // "12:30:00 …" is a time.
    if behind.first().is_some_and(u8::is_ascii_digit) && digits > 0 {
        return None;
    }
    Some((number, behind.trim_ascii_start()))
}

/// `name: ` at the beginning.
fn origin(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, behind) = split_at_blank(text);
    let name = word.strip_suffix(b":")?;
    is_hostname(name).then_some((name, behind))
}

fn is_hostname(word: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:%".contains(byte) || *byte >= 0x80;
    let is_tag = word.ends_with(b":") && !word.ends_with(b"::");
    (1..=HOSTNAME_MAX).contains(&word.len()) && !is_tag && word.iter().all(plain) && !word.starts_with(b"%")
}

/// `%FACILITY-SEVERITY-MNEMONIC: ` at the beginning, without its signs.
fn mnemonic(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"%")?;
    let end = memchr::memchr(b':', rest).filter(|end| *end <= TAG_MAX)?;
    let code = &rest[..end];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let has_severity = code.windows(3).any(|three| matches!(three, [b'-', b'0'..=b'7', b'-']));
    (has_severity && code.iter().all(plain)).then_some(code)
}

/// A program, its process, and what stands behind both.
type Tag<'t> = (&'t [u8], Option<&'t [u8]>, &'t [u8]);

/// `program[process]: ` or `program: ` at the beginning.
fn tag(text: &[u8]) -> Option<Tag<'_>> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"[]:=\"{<".contains(byte);
    let length = text.iter().take(TAG_MAX + 1).take_while(|byte| plain(byte)).count();
    if !(1..=TAG_MAX).contains(&length) {
        return None;
    }
    let (program, rest) = text.split_at(length);
    let (process, rest) = match rest.strip_prefix(b"[") {
        Some(inner) => {
            let end = memchr::memchr(b']', inner).filter(|end| *end <= TAG_MAX)?;
            (Some(&inner[..end]).filter(|process| !process.is_empty()), &inner[end + 1..])
        }
        None => (None, rest),
    };
    let content = rest.strip_prefix(b":")?;
    match content.first() {
        None => Some((program, process, content)),
        Some(b' ' | b'\t') => Some((program, process, &content[1..])),
        // "http://…" is no tag; "su[5]:text" is one.
        Some(_) if process.is_some() => Some((program, process, content)),
        Some(_) => None,
    }
}

/// A time at the beginning, as RFC 3164, ISO 8601 or Cisco's devices have it.
fn time<'t>(text: &'t [u8], zone: &Zone, now: i64) -> Option<Time<'t>> {
    // A star or a dot says that the device's clock was not set, or not synchronized.
    let from = usize::from(matches!(text.first(), Some(b'*' | b'.')));
    let own = &text[from..];
    let iso = own.get(4) == Some(&b'-') && own.get(10).is_some_and(|byte| b"Tt ".contains(byte));
    if iso {
        let (utc, behind) = parse_iso_prefix(own)?;
        let read = &own[..own.len() - behind.len()];
        let names_zone = read.last().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'z'))
            || read.get(19..).is_some_and(|rest| rest.iter().any(|byte| b"+-".contains(byte)));
        let ns = if names_zone { utc } else { instant(utc, zone)? };
        return is_end(behind).then_some(Time { ns, text: read, behind });
    }
    let (mut at, mut year) = (own, None);
    // `2026 Nov 21 02:45:04`, as NX-OS has it.
    if let Some((number, behind)) = digits(at, 4, 4) {
        year = Some(number);
        at = behind.strip_prefix(b" ")?;
    }
    let month =
        MONTHS.chunks(3).position(|name| at.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(name)))?;
    at = at[3..].strip_prefix(b" ")?;
    at = at.strip_prefix(b" ").unwrap_or(at);
    let (day, behind) = digits(at, 1, 2)?;
    at = behind.strip_prefix(b",").unwrap_or(behind).strip_prefix(b" ")?;
    if year.is_none()
        && let Some((number, behind)) = digits(at, 4, 4)
    {
        year = Some(number);
        at = behind.strip_prefix(b" ")?;
    }
    let (second, fraction, behind) = of_day(at)?;
    at = behind;
    // `02:45:04 2026`.
    if year.is_none()
        && let Some((number, behind)) = at.strip_prefix(b" ").and_then(|rest| digits(rest, 4, 4))
        && is_end(behind)
    {
        year = Some(number);
        at = behind;
    }
    let named = at.strip_prefix(b" ").and_then(zone_of).or_else(|| zone_of(at));
    let zone = match named {
        Some((named, behind)) => {
            at = behind;
            named
        }
        None => *zone,
    };
    if !is_end(at) {
        return None;
    }
    let ns = nearest(year, month as u32 + 1, u32::try_from(day).ok()?, second, &zone, now)?;
    let text = &own[..own.len() - at.len()];
    Some(Time { ns: ns.checked_add(fraction)?, text, behind: at })
}

/// Whether a time may end here.
fn is_end(behind: &[u8]) -> bool {
    matches!(behind.first(), None | Some(b' ' | b':'))
}

/// A zone that is followed by a colon, as Cisco's devices have it, or an offset.
fn zone_of(text: &[u8]) -> Option<(Zone, &[u8])> {
    let (zone, length) = Zone::leading(text)?;
    let behind = &text[length..];
    let is_offset = matches!(text.first(), Some(b'+' | b'-' | b'Z'));
    let is_sure = behind.first() == Some(&b':') || (is_offset && is_end(behind));
    is_sure.then_some((zone, behind))
}

/// A number of so many digits at least, and at most.
fn digits(text: &[u8], least: usize, most: usize) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(least..=most).contains(&count) {
        return None;
    }
    let number = text[..count].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some((number, &text[count..]))
}

/// `02:45:04` or `02:45:04.123456`: seconds, nanoseconds, and what stands behind it.
fn of_day(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    let (hour, rest) = digits(text, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 2, 2)?;
    let (second, rest) = digits(rest.strip_prefix(b":")?, 2, 2)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second;
    match rest.strip_prefix(b".").and_then(|rest| digits(rest, 1, 9)) {
        Some((number, behind)) => {
            let count = rest.len() - 1 - behind.len();
            Some((seconds, number * 10_i64.pow(9 - count as u32), behind))
        }
        None => Some((seconds, 0, rest)),
    }
}

/// The instant of a local time; without a year, it is the one that puts it nearest to now.
fn nearest(year: Option<i64>, month: u32, day: u32, second: i64, zone: &Zone, now: i64) -> Option<i64> {
    let (this, ..) = civil_from_days(now.div_euclid(SECOND).div_euclid(86_400));
    let years = match year {
        Some(year) => [year; 3],
        None => [this - 1, this, this + 1],
    };
    let of_year = |year: i64| {
        if day < 1 || day > days_in_month(year, month) {
            return None;
        }
        let local = days_from_civil(year, month, day) * 86_400 + second;
        zone.instant(local)?.checked_mul(SECOND)
    };
    years.into_iter().filter_map(of_year).min_by_key(|ns| ns.abs_diff(now))
}

/// The instant of a local time in nanoseconds.
fn instant(local: i64, zone: &Zone) -> Option<i64> {
    zone.instant(local.div_euclid(SECOND))?.checked_mul(SECOND)?.checked_add(local.rem_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::time::{parse_rfc3339, write_rfc3339};
    use proptest::prelude::*;

    fn now() -> i64 {
        parse_rfc3339(b"2026-11-21T02:45:04Z").unwrap()
    }

    /// The parts in one line: priority, time, host, program, process, content, and what is rare.
    fn parts(text: &[u8], zone: &str) -> String {
        let zone = Zone::named(zone.as_bytes()).unwrap();
        let message = Message::parse(text, &zone, now());
        let text = |part: Option<&[u8]>| {
            part.map_or("-".to_owned(), |part| String::from_utf8_lossy(part).into_owned())
        };
        let time = message.time.map_or("-".to_owned(), |ns| {
            let mut out = Vec::new();
            write_rfc3339(ns, &mut out);
            String::from_utf8(out).unwrap().replace(".000Z", "Z")
        });
        let priority = message.priority.map_or("-".to_owned(), |priority| priority.to_string());
        let mut out = format!(
            "{priority}|{time}|{}|{}|{}|{}",
            text(message.hostname),
            text(message.program),
            text(message.process),
            text(Some(message.content))
        );
        for (name, part) in [("id", message.message_id), ("code", message.code)] {
            if let Some(part) = part {
                out += &format!("|{name}={}", String::from_utf8_lossy(part));
            }
        }
        if let Some(sequence) = message.sequence {
            out += &format!("|seq={sequence}");
        }
        message.parameters(|id, name, value| out += &format!("|{id}.{name}={value}"));
        out
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parts(text.as_bytes(), "UTC"), expected);
    }

    #[test]
    fn rfc_3164() {
        check(
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            "34|2026-10-11T22:14:15Z|mymachine|su|-|'su root' failed for lonvick on /dev/pts/8",
        );
        check("<13>Nov  1 02:45:04 h cron[12]: (root) CMD\n", "13|2026-11-01T02:45:04Z|h|cron|12|(root) CMD");
        check("<0>Nov 21 2:45:04 10.0.0.1 kernel: oops", "0|2026-11-21T02:45:04Z|10.0.0.1|kernel|-|oops");
        check("<13>Nov 21 02:45:04 fe80::1 a: b", "13|2026-11-21T02:45:04Z|fe80::1|a|-|b");
        // Who sends it left the host out.
        check("<13>Nov 21 02:45:04 sshd[5]: hi", "13|2026-11-21T02:45:04Z|-|sshd|5|hi");
        check("<13>Nov 21 02:45:04 sshd: hi", "13|2026-11-21T02:45:04Z|-|sshd|-|hi");
        // Or the time, or both.
        check("<13>su[5]: hi", "13|-|-|su|5|hi");
        check("<13>just text", "13|-|-|-|-|just text");
        check("<13>see http://a/b: c", "13|-|-|-|-|see http://a/b: c");
        check("<13>", "13|-|-|-|-|");
        // No tag.
        check(
            "<13>Nov 21 02:45:04 h last message repeated 3 times",
            "13|2026-11-21T02:45:04Z|h|-|-|last message repeated 3 times",
        );
        check("<13>Nov 21 02:45:04 h -- MARK --", "13|2026-11-21T02:45:04Z|h|-|-|-- MARK --");
        check("<13>Nov 21 02:45:04 h", "13|2026-11-21T02:45:04Z|-|-|-|h");
        check("<13>Nov 21 02:45:04 h app[]: x", "13|2026-11-21T02:45:04Z|h|app|-|x");
        check("<13>Nov 21 02:45:04 h postfix/smtpd[7]: x", "13|2026-11-21T02:45:04Z|h|postfix/smtpd|7|x");
        check("<13>Nov 21 02:45:04 h {\"a\": 1}\0", "13|2026-11-21T02:45:04Z|h|-|-|{\"a\": 1}");
    }

    #[test]
    fn times_of_all_kinds() {
        // The nearest year.
        check("<1>Dec 31 23:59:59 h a: b", "1|2026-12-31T23:59:59Z|h|a|-|b");
        check("<1>Feb 29 00:00:00 h a: b", "1|-|-|-|-|Feb 29 00:00:00 h a: b");
        check("<1>Nov 21 2024 02:45:04 h a: b", "1|2024-11-21T02:45:04Z|h|a|-|b");
        check("<1>Nov 21 02:45:04 2024 h a: b", "1|2024-11-21T02:45:04Z|h|a|-|b");
        check("<1>2024 Nov 21 02:45:04 h a: b", "1|2024-11-21T02:45:04Z|h|a|-|b");
        check("<1>Nov 21 02:45:04.123 h a: b", "1|2026-11-21T02:45:04.123Z|h|a|-|b");
        check("<1>2026-11-21T02:45:04.123456+01:00 h a: b", "1|2026-11-21T01:45:04.123456Z|h|a|-|b");
        check("<1>2026-11-21 02:45:04 h a: b", "1|2026-11-21T02:45:04Z|h|a|-|b");
        let berlin = |text: &str| parts(text.as_bytes(), "Europe/Berlin");
        assert_eq!(berlin("<1>Jul  1 12:00:00 h a: b"), "1|2026-07-01T10:00:00Z|h|a|-|b");
        assert_eq!(berlin("<1>2026-07-01T12:00:00 h a: b"), "1|2026-07-01T10:00:00Z|h|a|-|b");
        assert_eq!(berlin("<1>2026-07-01T12:00:00Z h a: b"), "1|2026-07-01T12:00:00Z|h|a|-|b");
    }

    #[test]
    fn rfc_5424() {
        check(
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
            "34|2003-10-11T22:14:15.003Z|mymachine.example.com|su|-|'su root' failed|id=ID47",
        );
        check(
            r#"<165>1 2003-10-11T22:14:15.003Z h evntslog 5 ID47 [a@1 iut="3" e="A \"q\" \] \x"][b n="2"] An event"#,
            "165|2003-10-11T22:14:15.003Z|h|evntslog|5|An event|id=ID47|a@1.iut=3|a@1.e=A \"q\" ] \\x|b.n=2",
        );
        check("<1>1 - - - - - [a]", "1|-|-|-|-|");
        check("<1>1 - - - - - -", "1|-|-|-|-|");
        // What is not quite so is not lost.
        check("<1>1 - - - - - [a b=\"c", "1|-|-|-|-|1 - - - - - [a b=\"c");
        check("<1>1 nothing", "1|-|-|-|-|1 nothing");
    }

    #[test]
    fn cisco() {
        // The first of March is nearer in the next year.
        check(
            "<189>123: *Mar  1 00:00:00.003 UTC: %SYS-5-CONFIG_I: Configured from console",
            "189|2027-03-01T00:00:00.003Z|-|-|-|%SYS-5-CONFIG_I: Configured from console|code=SYS-5-CONFIG_I|seq=123",
        );
        check(
            "<189>45: r1: Nov 21 02:45:04.123 EST: %LINK-3-UPDOWN: Interface up",
            "189|2026-11-21T07:45:04.123Z|r1|-|-|%LINK-3-UPDOWN: Interface up|code=LINK-3-UPDOWN|seq=45",
        );
        check(
            "<189>: 2026 Nov 21 02:45:04 UTC: %ETHPORT-5-IF_UP: Interface Ethernet1/1 is up",
            "189|2026-11-21T02:45:04Z|-|-|-|%ETHPORT-5-IF_UP: Interface Ethernet1/1 is up|code=ETHPORT-5-IF_UP",
        );
        check(
            "<166>Nov 21 2026 02:45:04 fw1 : %ASA-6-302013: Built outbound",
            "166|2026-11-21T02:45:04Z|fw1|-|-|%ASA-6-302013: Built outbound|code=ASA-6-302013",
        );
        check("<166>%ASA-6-302013: Built", "166|-|-|-|-|%ASA-6-302013: Built|code=ASA-6-302013");
    }

    #[test]
    fn what_is_no_syslog() {
        for text in ["", "hello", "<999>a", "<>a", "<1234>a", "<1", "GET / HTTP/1.1"] {
            let message = Message::parse(text.as_bytes(), &Zone::Fixed(0), now());
            assert!(!message.is_syslog(), "{text}");
            assert_eq!(message.content, text.as_bytes());
        }
        assert!(Message::parse(b"Nov 21 02:45:04 h a: b", &Zone::Fixed(0), now()).is_syslog());
    }

    proptest! {
        /// Everything is read, and every part is a part of the text.
        #[test]
        fn anything(bytes in proptest::collection::vec(any::<u8>(), 0..80), head in 0..5_usize) {
            let heads: [&[u8]; 5] = [b"", b"<13>", b"<13>1 ", b"<13>Nov 21 02:45:04 ", b"<13>1 - - - - - [a "];
            let text = [heads[head], &bytes].concat();
            let message = Message::parse(&text, &Zone::Fixed(0), now());
            let range = text.as_ptr_range();
            let parts = [message.time_text, message.hostname, message.program, message.process, message.data];
            for part in parts.into_iter().flatten().chain([message.content]) {
                prop_assert!(range.start <= part.as_ptr() && part.as_ptr_range().end <= range.end);
            }
            message.parameters(|_, _, _| ());
        }

        /// What is written by the rules is read as it was meant.
        #[test]
        fn the_way_back(
            priority in 0..=PRIORITY_MAX,
            ms in 0..4_000_000_000_000_i64,
            host in "[a-z][a-z0-9.-]{0,20}",
            program in "[a-z][a-z0-9_-]{0,20}",
            process in 1..99_999_u32,
            value in "[a-z\"\\\\\\]]{0,10}",
            content in "[a-z][a-z ]{0,20}",
        ) {
            let ns = ms * 1_000_000;
            let mut time = Vec::new();
            write_rfc3339(ns, &mut time);
            let time = String::from_utf8(time).unwrap();
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
            let new = format!("<{priority}>1 {time} {host} {program} {process} - [x@1 v=\"{escaped}\"] {content}");
            let old = format!("<{priority}>{time} {host} {program}[{process}]: {content}");
            let process = process.to_string();
            for text in [&new, &old] {
                let message = Message::parse(text.as_bytes(), &Zone::Fixed(0), now());
                prop_assert_eq!(message.priority, Some(priority));
                prop_assert_eq!(message.time, Some(ns));
                prop_assert_eq!(message.hostname, Some(host.as_bytes()));
                prop_assert_eq!(message.program, Some(program.as_bytes()));
                prop_assert_eq!(message.process, Some(process.as_bytes()));
                prop_assert_eq!(message.content, content.as_bytes());
            }
            let mut found = None;
            Message::parse(new.as_bytes(), &Zone::Fixed(0), now()).parameters(|_, _, value| found = Some(value.to_owned()));
            prop_assert_eq!(found, Some(value));
        }
    }
}
