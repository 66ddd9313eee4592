//! Filter `syslog`: takes messages of syslog apart, RFC 5424 and the many forms of RFC 3164.
//!
//! A message that has a priority is one, whatever stands behind it; without a priority there must be a
//! time and a host. From any other the filter keeps its hands off, and failed.

mod message;

use crate::date::zone::Zone;
use crate::syslog_pri::{FACILITIES, SEVERITIES};
use crate::{BuildError, Outcome, path};
use event::{Event, New, Path};
use message::Message;
use serde::{Deserialize, Serialize};

/// Options of the filter `syslog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the message.
    pub source: String,
    /// The zone of times that name none: a name such as `Europe/Berlin`, or an offset.
    pub timezone: String,
    /// Whether the names of facility and severity are set beside their numbers.
    pub use_labels: bool,
    /// The names of the facilities, from 0.
    pub facility_labels: Vec<String>,
    /// The names of the severities, from 0.
    pub severity_labels: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "message".to_owned(),
            timezone: "UTC".to_owned(),
            use_labels: true,
            facility_labels: FACILITIES.map(str::to_owned).to_vec(),
            severity_labels: SEVERITIES.map(str::to_owned).to_vec(),
        }
    }
}

/// The filter.
pub struct Syslog {
    source: Path,
    zone: Zone,
    labels: Option<[Vec<String>; 2]>,
    paths: Paths,
}

struct Paths {
    message: Path,
    priority: Path,
    codes: [Path; 2],
    names: [Path; 2],
    version: Path,
    hostname: Path,
    program: Path,
    pid: Path,
    process: Path,
    message_id: Path,
    data: Path,
    sequence: Path,
    code: Path,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Syslog, BuildError> {
        let zone = Zone::named(self.timezone.as_bytes()).ok_or_else(|| BuildError {
            option: "timezone",
            message: format!("{:?} is no time zone, such as UTC, Europe/Berlin or +01:00", self.timezone),
        })?;
        let of = |dotted: &str| Path::of(dotted.split('.'));
        let labels = [self.facility_labels.clone(), self.severity_labels.clone()];
        Ok(Syslog {
            source: path("source", &self.source)?,
            zone,
            labels: self.use_labels.then_some(labels),
            paths: Paths {
                message: of("message"),
                priority: of("log.syslog.priority"),
                codes: ["log.syslog.facility.code", "log.syslog.severity.code"].map(of),
                names: ["log.syslog.facility.name", "log.syslog.severity.name"].map(of),
                version: of("log.syslog.version"),
                hostname: of("host.hostname"),
                program: of("process.name"),
                pid: of("process.pid"),
                process: of("log.syslog.procid"),
                message_id: of("log.syslog.msgid"),
                data: of("log.syslog.structured_data"),
                sequence: of("event.sequence"),
                code: of("event.code"),
            },
        })
    }
}

impl Syslog {
    /// Applies it. `now` is the clock reading of the batch, in nanoseconds UTC.
    pub fn apply(&self, event: &mut Event<'_>, now: i64) -> Outcome {
        let Some(line) = event.text(&self.source) else { return Outcome::FAILED };
        let text = event.bytes(line);
        let message = Message::parse(text, &self.zone, now);
        if !message.is_syslog() {
            return Outcome::FAILED;
        }
        let place = |part: &[u8]| {
            let from = part.as_ptr() as usize - text.as_ptr() as usize;
            line.within(from, from + part.len())
        };
        let Message { priority, version, time, sequence, .. } = message;
        let texts = [
            (&self.paths.hostname, message.hostname.map(place)),
            (&self.paths.program, message.program.map(place)),
            (&self.paths.message_id, message.message_id.map(place)),
            (&self.paths.code, message.code.map(place)),
        ];
        let process = message.process.map(|process| (number(process), place(process)));
        let data = message.data.is_some().then(|| data_json(&message));
        let content = place(message.content);
        if let Some(time) = time {
            event.set_time(time);
        }
        let mut ok = true;
        let mut set = |path: &Path, value: New<'_>| ok &= event.set(path, value).is_ok();
        if let Some(priority) = priority {
            set(&self.paths.priority, New::Int(i64::from(priority)));
            let numbers = [priority >> 3, priority & 7];
            for n in 0..2 {
                set(&self.paths.codes[n], New::Int(i64::from(numbers[n])));
                let label = self.labels.as_ref().and_then(|labels| labels[n].get(usize::from(numbers[n])));
                if let Some(label) = label {
                    set(&self.paths.names[n], New::from(label.as_str()));
                }
            }
        }
        if let Some(version) = version {
            set(&self.paths.version, New::Int(i64::from(version)));
        }
        for (path, part) in texts {
            if let Some(part) = part {
                set(path, New::Span(part));
            }
        }
        match process {
            Some((Some(pid), _)) => set(&self.paths.pid, New::Int(pid)),
            Some((None, text)) => set(&self.paths.process, New::Span(text)),
            None => {}
        }
        if let Some(data) = data {
            set(&self.paths.data, New::Json(&data));
        }
        if let Some(sequence) = sequence {
            set(&self.paths.sequence, New::Int(sequence));
        }
        set(&self.paths.message, New::Span(content));
        Outcome::of(ok)
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// `{"id": {"name": "value"}}`; of a name that stands twice in an element the last one counts, and an
/// element that stands twice is one.
fn data_json(message: &Message<'_>) -> String {
    let mut elements = serde_json::Map::new();
    message.parameters(|id, name, value| {
        let element = elements.entry(id).or_insert_with(|| serde_json::json!({}));
        if let Some(members) = element.as_object_mut() {
            members.insert(name.to_owned(), value.into());
        }
    });
    serde_json::Value::Object(elements).to_string()
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply_timed, check, mistake};

    #[test]
    fn messages() {
        check(
            r#"{"syslog":{}}"#,
            r#"{"message":"<34>Oct 11 22:14:15 mymachine su[5]: failed"}"#,
            r#"{"message":"failed","log":{"syslog":{"priority":34,"facility":{"code":4,"name":"security/authorization"},"severity":{"code":2,"name":"critical"}}},"host":{"hostname":"mymachine"},"process":{"name":"su","pid":5}}"#,
            true,
        );
        check(
            r#"{"syslog":{"use_labels":false,"source":"raw"}}"#,
            r#"{"raw":"<34>1 - - app worker-1 ID47 [a@1 b=\"c\"] said"}"#,
            r#"{"raw":"<34>1 - - app worker-1 ID47 [a@1 b=\"c\"] said","log":{"syslog":{"priority":34,"facility":{"code":4},"severity":{"code":2},"version":1,"msgid":"ID47","procid":"worker-1","structured_data":{"a@1":{"b":"c"}}}},"process":{"name":"app"},"message":"said"}"#,
            true,
        );
        check(
            r#"{"syslog":{"use_labels":false}}"#,
            r#"{"message":"<189>123: Nov 21 02:45:04 UTC: %SYS-5-CONFIG_I: x"}"#,
            r#"{"message":"%SYS-5-CONFIG_I: x","log":{"syslog":{"priority":189,"facility":{"code":23},"severity":{"code":5}}},"event":{"code":"SYS-5-CONFIG_I","sequence":123}}"#,
            true,
        );
        check(r#"{"syslog":{}}"#, r#"{"message":"hello"}"#, r#"{"message":"hello"}"#, false);
        check(r#"{"syslog":{}}"#, "{}", "{}", false);
    }

    #[test]
    fn times_and_mistakes() {
        let (_, _, time) = apply_timed(
            r#"{"syslog":{"timezone":"Europe/Berlin"}}"#,
            r#"{"message":"<34>Oct 11 22:14:15 h su: x"}"#,
        );
        assert_eq!(time, "2026-10-11T20:14:15.000Z");
        mistake(r#"{"syslog":{"timezone":"Mars"}}"#, "option \"timezone\"");
        mistake(r#"{"syslog":{"source":"["}}"#, "option \"source\"");
    }
}
