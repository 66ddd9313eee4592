//! Patterns of times in a template: the letters of Joda (`%{+yyyy.MM.dd}`) and of java.time
//! (`%{{yyyy-MM-dd}}`), compiled to steps that write numbers and names. The zone is UTC, the
//! language English, as with Logstash in its usual set-up.
//!
//! Letters: <https://www.joda.org/joda-time/key_format.html> and the documentation of
//! `java.time.format.DateTimeFormatter`.

/// A step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimePart {
    /// What stands there as it is, such as the zone.
    Text(String),
    /// A number with at least so many digits.
    Number(Number, usize),
    /// The last two digits of a number.
    LastTwo(Number),
    /// The name of the month: in full, or three letters.
    Month { full: bool },
    /// The name of the day of the week.
    Weekday { full: bool },
    /// AM or PM.
    HalfDay,
    /// So many digits of the second's fraction, cut.
    Fraction(usize),
}

/// A number of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Century,
    Year,
    /// The year to which the week of ISO 8601 belongs.
    WeekYear,
    Week,
    Quarter,
    Month,
    DayOfYear,
    Day,
    /// Monday is 1.
    DayOfWeek,
    /// 0 to 23, 1 to 24, 0 to 11 and 1 to 12.
    Hour,
    HourFromOne,
    HalfHour,
    HalfHourFromOne,
    Minute,
    Second,
    MilliOfDay,
    Nano,
    /// Seconds since 1970.
    Epoch,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// More letters of one kind mean nothing.
const WIDTH_MAX: usize = 20;

/// Compiles a pattern of Joda; `%s` is Logstash's own addition and stands alone.
pub(super) fn joda(pattern: &str) -> Result<Vec<TimePart>, String> {
    if pattern == "%s" {
        return Ok(vec![TimePart::Number(Number::Epoch, 1)]);
    }
    compile(pattern, |letter, count| {
        Some(match letter {
            'G' => text("AD"),
            'C' => TimePart::Number(Number::Century, count),
            'Y' | 'y' => year(Number::Year, count),
            'x' => year(Number::WeekYear, count),
            'w' => TimePart::Number(Number::Week, count),
            'e' => TimePart::Number(Number::DayOfWeek, count),
            'E' => TimePart::Weekday { full: count >= 4 },
            'D' => TimePart::Number(Number::DayOfYear, count),
            'M' if count <= 2 => TimePart::Number(Number::Month, count),
            'M' => TimePart::Month { full: count >= 4 },
            'd' => TimePart::Number(Number::Day, count),
            'S' => TimePart::Fraction(count),
            'z' if count >= 4 => text("Coordinated Universal Time"),
            'z' => text("UTC"),
            'Z' => text(["+0000", "+00:00", "UTC"][count.min(3) - 1]),
            other => return clock(other, count),
        })
    })
}

/// Compiles a pattern of java.time.
pub(super) fn java_time(pattern: &str) -> Result<Vec<TimePart>, String> {
    if let Some(sign) = pattern.chars().find(|c| "{}#[]".contains(*c)) {
        return Err(format!("{sign:?} in a pattern of a time is not supported"));
    }
    compile(pattern, |letter, count| {
        Some(match letter {
            'G' => text("AD"),
            'u' | 'y' => year(Number::Year, count),
            'Y' => year(Number::WeekYear, count),
            'w' => TimePart::Number(Number::Week, count),
            'Q' | 'q' if count <= 2 => TimePart::Number(Number::Quarter, count),
            'E' => TimePart::Weekday { full: count == 4 },
            'D' => TimePart::Number(Number::DayOfYear, count),
            'M' | 'L' if count <= 2 => TimePart::Number(Number::Month, count),
            'M' | 'L' => TimePart::Month { full: count == 4 },
            'd' => TimePart::Number(Number::Day, count),
            'S' => TimePart::Fraction(count),
            'A' => TimePart::Number(Number::MilliOfDay, count),
            'n' => TimePart::Number(Number::Nano, count),
            'X' | 'V' => text("Z"),
            'x' => text(["+00", "+0000", "+00:00", "+0000", "+00:00"][count.min(5) - 1]),
            'Z' => text(["+0000", "+0000", "+0000", "GMT", "Z"][count.min(5) - 1]),
            'z' => text("Z"),
            'O' => text("GMT"),
            other => return clock(other, count),
        })
    })
}

/// The letters that both have.
fn clock(letter: char, count: usize) -> Option<TimePart> {
    let number = match letter {
        'a' => return Some(TimePart::HalfDay),
        'K' => Number::HalfHour,
        'h' => Number::HalfHourFromOne,
        'H' => Number::Hour,
        'k' => Number::HourFromOne,
        'm' => Number::Minute,
        's' => Number::Second,
        _ => return None,
    };
    Some(TimePart::Number(number, count))
}

fn year(number: Number, count: usize) -> TimePart {
    if count == 2 { TimePart::LastTwo(number) } else { TimePart::Number(number, count) }
}

fn text(text: &str) -> TimePart {
    TimePart::Text(text.to_owned())
}

/// Takes a pattern apart: runs of one letter, text between `'`, and everything else as it is.
fn compile(
    pattern: &str,
    meaning: impl Fn(char, usize) -> Option<TimePart>,
) -> Result<Vec<TimePart>, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            if chars.next_if_eq(&'\'').is_some() {
                plain.push('\'');
                continue;
            }
            loop {
                match chars.next() {
                    None => return Err("a ' without the other one in a time".to_owned()),
                    Some('\'') if chars.next_if_eq(&'\'').is_none() => break,
                    Some(other) => plain.push(other),
                }
            }
            continue;
        }
        if !c.is_ascii_alphabetic() {
            plain.push(c);
            continue;
        }
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        let part = meaning(c, count).filter(|_| count <= WIDTH_MAX);
        let part = part.ok_or_else(|| format!("no meaning is known of the letter {c:?} in a time"))?;
        if !plain.is_empty() {
            parts.push(TimePart::Text(std::mem::take(&mut plain)));
        }
        parts.push(part);
    }
    if !plain.is_empty() {
        parts.push(TimePart::Text(plain));
    }
    Ok(parts)
}

/// For how long a pattern stays the same text: that many nanoseconds from each multiple of them.
/// The longest is a day.
pub(super) fn period(parts: &[TimePart]) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let one = |part: &TimePart| match part {
        TimePart::Text(_) | TimePart::LastTwo(_) | TimePart::Month { .. } | TimePart::Weekday { .. } => {
            86_400 * SECOND
        }
        TimePart::HalfDay => 3_600 * SECOND,
        TimePart::Fraction(_) => 1,
        TimePart::Number(number, _) => match number {
            Number::Century
            | Number::Year
            | Number::WeekYear
            | Number::Week
            | Number::Quarter
            | Number::Month
            | Number::DayOfYear
            | Number::Day
            | Number::DayOfWeek => 86_400 * SECOND,
            Number::Hour | Number::HourFromOne | Number::HalfHour | Number::HalfHourFromOne => 3_600 * SECOND,
            Number::Minute => 60 * SECOND,
            Number::Second | Number::Epoch => SECOND,
            Number::MilliOfDay => SECOND / 1_000,
            Number::Nano => 1,
        },
    };
    parts.iter().map(one).min().unwrap_or(86_400 * SECOND)
}

/// Writes a time, in nanoseconds UTC, as a pattern says.
pub(super) fn write(parts: &[TimePart], ns: i64, out: &mut Vec<u8>) {
    let moment = Moment::of(ns);
    for part in parts {
        match part {
            TimePart::Text(text) => out.extend_from_slice(text.as_bytes()),
            TimePart::Number(number, width) => digits(moment.number(*number), *width, out),
            TimePart::LastTwo(number) => digits(moment.number(*number).rem_euclid(100), 2, out),
            TimePart::Month { full } => name(MONTHS[moment.month as usize - 1], *full, out),
            TimePart::Weekday { full } => name(WEEKDAYS[moment.weekday()], *full, out),
            TimePart::HalfDay => {
                out.extend_from_slice(if moment.of_day < 43_200 { b"AM" } else { b"PM" });
            }
            TimePart::Fraction(count) => {
                for place in 0..*count as u32 {
                    let digit =
                        10_i64.checked_pow(place + 1).and_then(|by| 1_000_000_000_i64.checked_div(by));
                    let digit = digit.filter(|by| *by > 0).map_or(0, |by| moment.nano / by % 10);
                    out.push(b'0' + digit as u8);
                }
            }
        }
    }
}

fn name(name: &str, full: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if full { name.as_bytes() } else { &name.as_bytes()[..3] });
}

fn digits(value: i64, width: usize, out: &mut Vec<u8>) {
    let from = out.len();
    event::json::write_int(value, out);
    let missing = width.saturating_sub(out.len() - from);
    out.splice(from..from, std::iter::repeat_n(b'0', missing));
}

struct Moment {
    seconds: i64,
    nano: i64,
    days: i64,
    of_day: i64,
    year: i64,
    month: u32,
    day: u32,
}

impl Moment {
    fn of(ns: i64) -> Self {
        let seconds = ns.div_euclid(1_000_000_000);
        let days = seconds.div_euclid(86_400);
        let (year, month, day) = event::time::civil_from_days(days);
        Self {
            seconds,
            nano: ns.rem_euclid(1_000_000_000),
            days,
            of_day: seconds.rem_euclid(86_400),
            year,
            month,
            day,
        }
    }

    /// Monday is 0. The first of January 1970 was a Thursday.
    fn weekday(&self) -> usize {
        (self.days + 3).rem_euclid(7) as usize
    }

    /// The year and number of the week: that of its Thursday decides.
    fn week(&self) -> (i64, i64) {
        let thursday = self.days - self.weekday() as i64 + 3;
        let (year, ..) = event::time::civil_from_days(thursday);
        (year, (thursday - event::time::days_from_civil(year, 1, 1)) / 7 + 1)
    }

    fn number(&self, number: Number) -> i64 {
        let hour = self.of_day / 3600;
        match number {
            Number::Century => self.year / 100,
            Number::Year => self.year,
            Number::WeekYear => self.week().0,
            Number::Week => self.week().1,
            Number::Quarter => i64::from(self.month - 1) / 3 + 1,
            Number::Month => i64::from(self.month),
            Number::DayOfYear => self.days - event::time::days_from_civil(self.year, 1, 1) + 1,
            Number::Day => i64::from(self.day),
            Number::DayOfWeek => self.weekday() as i64 + 1,
            Number::Hour => hour,
            Number::HourFromOne => (hour + 23) % 24 + 1,
            Number::HalfHour => hour % 12,
            Number::HalfHourFromOne => (hour + 11) % 12 + 1,
            Number::Minute => self.of_day / 60 % 60,
            Number::Second => self.of_day % 60,
            Number::MilliOfDay => self.of_day * 1000 + self.nano / 1_000_000,
            Number::Nano => self.nano,
            Number::Epoch => self.seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Saturday, the 21st of November 2026, 02:45:04.123456789.
    const NS: i64 = 1_795_229_104_123_456_789;

    #[track_caller]
    fn check(parts: Result<Vec<TimePart>, String>, ns: i64, expected: &str) {
        let mut out = Vec::new();
        write(&parts.unwrap(), ns, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_letters_of_joda() {
        check(joda("YYYY.MM.dd"), NS, "2026.11.21");
        check(joda("yyyy-MM-dd'T'HH:mm:ss.SSSZ"), NS, "2026-11-21T02:45:04.123+0000");
        check(joda("xxxx-'W'ww-e"), NS, "2026-W47-6");
        check(joda("yy M d H m s"), NS, "26 11 21 2 45 4");
        check(joda("EEE EEEE MMM MMMM D a h K k"), NS, "Sat Saturday Nov November 325 AM 2 2 2");
        check(joda("''yyyy''"), NS, "'2026'");
        check(joda("z ZZ ZZZ C G"), NS, "UTC +00:00 UTC 20 AD");
        check(joda("%s"), NS, "1795229104");
        // 2021-01-03 is a Sunday of the last week of 2020.
        check(joda("xxxx ww YYYY"), 1_609_675_200_000_000_000, "2020 53 2021");
        check(joda("h k a"), 0, "12 24 AM");
    }

    #[test]
    fn the_letters_of_java_time() {
        check(java_time("yyyy.MM.dd"), NS, "2026.11.21");
        check(java_time("uuuu-MM-dd'T'HH:mm:ss.SSSSSSSSSX"), NS, "2026-11-21T02:45:04.123456789Z");
        check(java_time("YYYY-'W'ww Q A n xxx"), NS, "2026-W47 4 9904123 123456789 +00:00");
        check(java_time("EEE, d MMM yyyy"), NS, "Sat, 21 Nov 2026");
    }

    #[test]
    fn what_means_nothing() {
        for pattern in ["Q", "yyyy 'x", "W", "J"] {
            assert!(joda(pattern).is_err(), "{pattern}");
        }
        for pattern in ["yyyy[MM]", "e", "{", "p"] {
            assert!(java_time(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_time_can_be_written(ns: i64, pattern in "[GCYyxwEDMdSzZaKhHkms:'-]{0,10}") {
            if let Ok(parts) = joda(&pattern) {
                write(&parts, ns, &mut Vec::new());
            }
        }

        #[test]
        fn days_are_those_of_chrono(ns: i64) {
            let mut out = Vec::new();
            write(&joda("xxxx ww e DDD yyyy-MM-dd HH:mm:ss").unwrap(), ns, &mut out);
            let time = chrono::DateTime::from_timestamp_nanos(ns);
            prop_assert_eq!(String::from_utf8(out).unwrap(), time.format("%G %V %u %j %Y-%m-%d %H:%M:%S").to_string());
        }
    }
}
