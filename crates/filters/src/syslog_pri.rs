//! Filter `syslog_pri`: facility and severity out of the priority of a syslog message
//! (RFC 3164, section 4.1.1).

use crate::values::first_text;
use crate::{BuildError, Names, Outcome, path};
use event::{Event, New, Path, Value};
use serde::{Deserialize, Serialize};

/// Options of the filter `syslog_pri`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the priority; none: `log.syslog.priority`, or `syslog_pri` with the
    /// other names. An event without it has the priority 13, user-level and notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which names the fields have that are set: `log.syslog.facility.code` or `syslog_facility_code` ….
    pub names: Names,
    /// Whether the names of facility and severity are set beside their numbers.
    pub use_labels: bool,
    /// The names of the facilities, from 0.
    pub facility_labels: Vec<String>,
    /// The names of the severities, from 0.
    pub severity_labels: Vec<String>,
}

/// What a message without a priority has (RFC 3164, section 4.3.3).
const DEFAULT_PRIORITY: i64 = 13;

pub(crate) const FACILITIES: [&str; 24] = [
    "kernel",
    "user-level",
    "mail",
    "daemon",
    "security/authorization",
    "syslogd",
    "line printer",
    "network news",
    "uucp",
    "clock",
    "security/authorization",
    "ftp",
    "ntp",
    "log audit",
    "log alert",
    "clock",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];
pub(crate) const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

impl Default for Config {
    fn default() -> Self {
        Self {
            source: None,
            names: Names::Ecs,
            use_labels: true,
            facility_labels: FACILITIES.map(str::to_owned).to_vec(),
            severity_labels: SEVERITIES.map(str::to_owned).to_vec(),
        }
    }
}

/// The filter.
pub struct SyslogPri {
    source: Path,
    codes: [Path; 2],
    labels: Option<([Path; 2], [Vec<String>; 2])>,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<SyslogPri, BuildError> {
        let (source, codes, labels) = match self.names {
            Names::Ecs => (
                "log.syslog.priority",
                ["log.syslog.facility.code", "log.syslog.severity.code"],
                ["log.syslog.facility.name", "log.syslog.severity.name"],
            ),
            Names::Legacy => (
                "syslog_pri",
                ["syslog_facility_code", "syslog_severity_code"],
                ["syslog_facility", "syslog_severity"],
            ),
        };
        let both = |dotted: [&str; 2]| dotted.map(|dotted| Path::of(dotted.split('.')));
        let texts = [self.facility_labels.clone(), self.severity_labels.clone()];
        Ok(SyslogPri {
            source: path("source", self.source.as_deref().unwrap_or(source))?,
            codes: both(codes),
            labels: self.use_labels.then(|| (both(labels), texts)),
        })
    }
}

impl SyslogPri {
    /// Applies it. Where a number has no name, the numbers are set alone and the filter failed.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let priority = match event.get(&self.source) {
            None | Some(Value::Null) => DEFAULT_PRIORITY,
            Some(value) => first_text(&value).map_or(0, |text| leading_int(&text)),
        };
        let numbers = [priority >> 3, priority & 7];
        let mut ok = true;
        for (path, number) in self.codes.iter().zip(numbers) {
            ok &= event.set(path, New::Int(number)).is_ok();
        }
        let Some((paths, texts)) = &self.labels else { return Outcome::of(ok) };
        let label = |n: usize| texts[n].get(usize::try_from(numbers[n]).ok()?);
        let (Some(facility), Some(severity)) = (label(0), label(1)) else { return Outcome::FAILED };
        for (path, label) in paths.iter().zip([facility, severity]) {
            ok &= event.set(path, New::Str(label.as_bytes())).is_ok();
        }
        Outcome::of(ok)
    }
}

/// As much of a whole number as there is at the beginning of a text, else zero.
fn leading_int(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit()).take(18);
    sign * digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, mistake};

    #[test]
    fn legacy_names() {
        let config = r#"{"syslog_pri":{"names":"legacy"}}"#;
        #[track_caller]
        fn pri(config: &str, pri: &str, facility: (i64, &str), severity: (i64, &str)) {
            let before = format!(r#"{{"syslog_pri":{pri}}}"#);
            let after = format!(
                r#"{{"syslog_pri":{pri},"syslog_facility_code":{},"syslog_severity_code":{},"syslog_facility":"{}","syslog_severity":"{}"}}"#,
                facility.0, severity.0, facility.1, severity.1
            );
            check(config, &before, &after, true);
        }
        pri(config, "191", (23, "local7"), (7, "debug"));
        pri(config, "\"137\"", (17, "local1"), (1, "alert"));
        pri(config, "0", (0, "kernel"), (0, "emergency"));
        pri(config, "[\"13\",\"99\"]", (1, "user-level"), (5, "notice"));
        pri(config, "\"13abc\"", (1, "user-level"), (5, "notice"));
        pri(config, "\"abc\"", (0, "kernel"), (0, "emergency"));
        check(
            config,
            "{}",
            r#"{"syslog_facility_code":1,"syslog_severity_code":5,"syslog_facility":"user-level","syslog_severity":"notice"}"#,
            true,
        );
        let too_high = r#"{"syslog_pri":193,"syslog_facility_code":24,"syslog_severity_code":1}"#;
        check(config, r#"{"syslog_pri":193}"#, too_high, false);
        check(
            r#"{"syslog_pri":{"names":"legacy","use_labels":false}}"#,
            r#"{"syslog_pri":193}"#,
            too_high,
            true,
        );
        check(
            config,
            r#"{"syslog_pri":-1}"#,
            r#"{"syslog_pri":-1,"syslog_facility_code":-1,"syslog_severity_code":7}"#,
            false,
        );
    }

    #[test]
    fn names_of_ecs() {
        check(
            r#"{"syslog_pri":{}}"#,
            r#"{"log":{"syslog":{"priority":34}}}"#,
            r#"{"log":{"syslog":{"priority":34,"facility":{"code":4,"name":"security/authorization"},"severity":{"code":2,"name":"critical"}}}}"#,
            true,
        );
        check(
            r#"{"syslog_pri":{"source":"p","facility_labels":["k"],"severity_labels":["a","b"]}}"#,
            r#"{"p":1}"#,
            r#"{"p":1,"log":{"syslog":{"facility":{"code":0,"name":"k"},"severity":{"code":1,"name":"b"}}}}"#,
            true,
        );
        check(r#"{"syslog_pri":{}}"#, r#"{"log":"text"}"#, r#"{"log":"text"}"#, false);
        mistake(r#"{"syslog_pri":{"source":"["}}"#, "option \"source\"");
    }
}
