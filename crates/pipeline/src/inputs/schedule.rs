//! When something is due, as cron has it: `MINUTE HOUR DAY MONTH WEEKDAY`, with seconds in front of them
//! when there are six, and a time zone behind them.
//!
//! Each is `*`, a number, `from-to`, any of these with `/step`, or several with commas; months and
//! weekdays may be names, 7 is Sunday as well, and `L` is the last day of the month. When both days are
//! restricted, either is enough, as in Vixie's cron.

use chrono::{
    DateTime, Datelike, Local, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// One bit each.
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    /// `L`.
    last_day: bool,
    months: u64,
    weekdays: u64,
    /// Whether one of the two kinds of days is enough.
    either_day: bool,
    zone: Zone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// That of this machine.
    Local,
    Named(Tz),
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// What is not due in so many years never is: 29 February comes every eight at most.
const YEARS_MAX: i32 = 9;

impl Schedule {
    /// Reads it. Without a zone it is this machine's.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let wrong = || {
            format!("{text:?} is no schedule, such as \"*/5 * * * *\" (minute, hour, day, month, weekday)")
        };
        let zone = match fields.last().and_then(|last| last.parse::<Tz>().ok()) {
            // "1" is no zone, and neither are names of months.
            Some(zone) if fields.len() > 5 => {
                fields.pop();
                Zone::Named(zone)
            }
            _ => Zone::Local,
        };
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let [second, minute, hour, day, month, weekday] = fields.as_slice() else { return Err(wrong()) };
        let mut last_day = false;
        let days: Vec<&str> = day
            .split(',')
            .filter(|part| {
                let is_last = part.eq_ignore_ascii_case("l");
                last_day |= is_last;
                !is_last
            })
            .collect();
        let days = if days.is_empty() { 0 } else { bits(&days.join(","), 1, 31, &[])? };
        let mut weekdays = bits(weekday, 0, 7, &WEEKDAYS)?;
        weekdays |= weekdays >> 7;
        let schedule = Self {
            seconds: bits(second, 0, 59, &[])?,
            minutes: bits(minute, 0, 59, &[])?,
            hours: bits(hour, 0, 23, &[])?,
            days,
            last_day,
            months: bits(month, 1, 12, &MONTHS)?,
            weekdays,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
            zone,
        };
        match schedule.after(0) {
            Some(_) => Ok(schedule),
            None => Err(format!("{text:?} is never due")),
        }
    }

    /// The first time after this one at which it is due; both in nanoseconds since 1970, UTC.
    pub(crate) fn after(&self, now: i64) -> Option<i64> {
        let now = DateTime::from_timestamp(now.div_euclid(1_000_000_000), 0)?;
        let local = match self.zone {
            Zone::Local => now.with_timezone(&Local).naive_local(),
            Zone::Named(zone) => now.with_timezone(&zone).naive_local(),
        };
        let mut from = local + TimeDelta::seconds(1);
        let last = local.year() + YEARS_MAX;
        loop {
            let due = self.local_from(from, last)?;
            if let Some(instant) = self.instant(due, now) {
                return Some(instant.timestamp().saturating_mul(1_000_000_000));
            }
            // The clock jumps over this time, or shows it for the second time.
            from = due + TimeDelta::seconds(1);
        }
    }

    /// The first local time from this one on at which it is due.
    fn local_from(&self, from: NaiveDateTime, last_year: i32) -> Option<NaiveDateTime> {
        let has = |bits: u64, number: u32| bits >> number & 1 == 1;
        let mut at = from;
        while at.year() <= last_year {
            let date = at.date();
            at = if !has(self.months, date.month()) {
                let first = date.with_day(1)?.checked_add_months(chrono::Months::new(1))?;
                first.and_hms_opt(0, 0, 0)?
            } else if !self.has_day(date) {
                date.succ_opt()?.and_hms_opt(0, 0, 0)?
            } else if !has(self.hours, at.hour()) {
                date.and_hms_opt(at.hour(), 0, 0)? + TimeDelta::hours(1)
            } else if !has(self.minutes, at.minute()) {
                date.and_hms_opt(at.hour(), at.minute(), 0)? + TimeDelta::minutes(1)
            } else if !has(self.seconds, at.second()) {
                at + TimeDelta::seconds(1)
            } else {
                return Some(at);
            };
        }
        None
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        let is_last = || date.succ_opt().is_none_or(|next| next.month() != date.month());
        let by_day = self.days >> date.day() & 1 == 1 || (self.last_day && is_last());
        let by_weekday = self.weekdays >> date.weekday().num_days_from_sunday() & 1 == 1;
        if self.either_day { by_day || by_weekday } else { by_day && by_weekday }
    }

    /// The instant of a local time, if there is one after `now`.
    fn instant(&self, local: NaiveDateTime, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        fn of<Z: TimeZone>(found: MappedLocalTime<DateTime<Z>>) -> [Option<DateTime<Utc>>; 2] {
            [found.clone().earliest(), found.latest()].map(|time| time.map(|time| time.to_utc()))
        }
        let found = match self.zone {
            Zone::Local => of(Local.from_local_datetime(&local)),
            Zone::Named(zone) => of(zone.from_local_datetime(&local)),
        };
        found.into_iter().flatten().find(|time| *time > now)
    }
}

/// The numbers that a field stands for, one bit each.
fn bits(field: &str, least: u32, greatest: u32, names: &[&str]) -> Result<u64, String> {
    let wrong = || format!("{field:?} is not made of numbers between {least} and {greatest}");
    let number = |text: &str| -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        let named = names.iter().position(|name| *name == lower).map(|at| at as u32 + least.min(1));
        let number = named.or_else(|| text.parse().ok()).ok_or_else(wrong)?;
        if (least..=greatest).contains(&number) { Ok(number) } else { Err(wrong()) }
    };
    let mut found = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<usize>().ok().filter(|step| *step > 0).ok_or_else(wrong)?)
            }
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, greatest),
            Some((from, to)) => (number(from)?, number(to)?),
            // "5/15" goes on to the end, as fugit has it.
            None if part.contains('/') => (number(range)?, greatest),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(wrong());
        }
        found |= (from..=to).step_by(step).fold(0, |bits, number| bits | 1_u64 << number);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::time::{parse_rfc3339, write_rfc3339};
    use proptest::prelude::*;

    #[track_caller]
    fn check(schedule: &str, after: &str, expected: &[&str]) {
        let schedule = Schedule::parse(schedule).unwrap();
        let mut now = parse_rfc3339(after.as_bytes()).unwrap();
        let found = expected.iter().map(|_| {
            now = schedule.after(now).unwrap();
            let mut out = Vec::new();
            write_rfc3339(now, &mut out);
            String::from_utf8(out).unwrap().replace(".000Z", "Z")
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn due_times() {
        let start = "2026-11-21T02:45:04Z"; // a Saturday
        check("* * * * * UTC", start, &["2026-11-21T02:46:00Z", "2026-11-21T02:47:00Z"]);
        check("*/20 5 * 1-3 * UTC", start, &["2027-01-01T05:00:00Z", "2027-01-01T05:20:00Z"]);
        check("0 6 * * * America/Chicago", start, &["2026-11-21T12:00:00Z"]);
        check("5/15 * * * * * UTC", start, &["2026-11-21T02:45:05Z", "2026-11-21T02:45:20Z"]);
        check("0 0 * * sun,Wed UTC", start, &["2026-11-22T00:00:00Z", "2026-11-25T00:00:00Z"]);
        check("0 0 * * 7 UTC", start, &["2026-11-22T00:00:00Z"]);
        check("0 0 L feb * UTC", start, &["2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"]);
        check("0 0 29 2 * UTC", start, &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
        // Either day is enough when both are restricted.
        check(
            "0 0 1 * mon UTC",
            start,
            &["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"],
        );
    }

    #[test]
    fn clocks_that_jump() {
        // 02:30 is not there on 29 March, and there twice on 25 October.
        check(
            "30 2 * * * Europe/Berlin",
            "2026-03-28T00:00:00Z",
            &["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "30 2 * * * Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
    }

    #[test]
    fn mistakes() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * * * * * *",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "0 0 30 2 *",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// What is due is after now, and nothing between is due.
        #[test]
        fn nothing_is_passed_over(minute in 0..60_u32, hour in 0..24_u32, now in 0..4_000_000_000_i64) {
            let schedule = Schedule::parse(&format!("{minute} {hour} * * * Europe/Berlin")).unwrap();
            let now = now * 1_000_000_000;
            let due = schedule.after(now).unwrap();
            prop_assert!(due > now);
            prop_assert!(due - now <= 49 * 3_600_000_000_000, "once a day, or the day after a jump");
            prop_assert_eq!(schedule.after(due - 1_000_000_000).unwrap(), due);
        }
    }
}
