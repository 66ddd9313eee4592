//! Whether all is well, in the form of Logstash's health report.
//!
//! The probes and their limits are those of `logstash-core/src/main/java/org/logstash/health/` of
//! Logstash 9; that of the outputs is our own: there the threads that filter stand still when an output
//! does, here the queue fills.

use pipeline::run::stats::{OutputState, PipelineStats};
use serde_json::{Map, Value, json};

/// How well something is; later is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Green,
    Yellow,
    Red,
}

impl Status {
    /// As it is called there.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    fn adjective(self) -> &'static str {
        match self {
            Self::Green => "healthy",
            Self::Yellow => "concerning",
            Self::Red => "unhealthy",
        }
    }
}

/// How all pipelines are.
pub(super) struct Report {
    pub(super) status: Status,
    symptom: String,
    pipelines: Value,
}

impl Report {
    /// `status`, `symptom` and `indicators`.
    pub(super) fn shown(&self) -> Value {
        json!({
            "status": self.status.word(),
            "symptom": symptom(&[("pipelines".to_owned(), self.status)]),
            "indicators": {
                "pipelines": {
                    "status": self.status.word(), "symptom": self.symptom, "indicators": self.pipelines,
                },
            },
        })
    }
}

/// What a probe found.
struct Finding {
    status: Status,
    /// Of the diagnosis, behind `…:diagnosis:`.
    id: String,
    cause: String,
    action: String,
    /// What it means: the id, the severity and the words.
    impact: (&'static str, u64, &'static str),
}

const HELP: &str = "docs/operate.md#the-monitoring-api";

/// Pipelines, each with how much of the time its filters worked.
pub(super) fn report<'p>(pipelines: impl Iterator<Item = (&'p PipelineStats, Value)>) -> Report {
    let mut shown = Map::new();
    let mut statuses = Vec::new();
    for (own, utilization) in pipelines {
        let state = if own.inputs.iter().any(|input| input.reading) { "RUNNING" } else { "FINISHED" };
        let waiting =
            own.outputs.iter().filter(|output| output.state == OutputState::Waiting).map(|output| {
                (output.name.as_str(), output.trouble.as_ref().map_or("", |said| said.text.as_str()))
            });
        let mut findings = Vec::new();
        findings.extend(finished(state));
        findings.extend(worked(&utilization));
        findings.extend(waiting.map(|(name, reason)| waits(name, reason)));
        let status = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Green);
        shown.insert(own.name.clone(), pipeline(status, &findings, state, utilization));
        statuses.push((own.name.clone(), status));
    }
    let status = statuses.iter().map(|(_, status)| *status).max().unwrap_or(Status::Green);
    Report { status, symptom: symptom(&statuses), pipelines: Value::Object(shown) }
}

fn pipeline(status: Status, findings: &[Finding], state: &str, utilization: Value) -> Value {
    let mut details = Map::new();
    details.insert("status".to_owned(), json!({"state": state}));
    let mut windows = match utilization {
        Value::Object(windows) => windows,
        _ => Map::new(),
    };
    windows.retain(|name, _| ["last_1_minute", "last_5_minutes"].contains(&name.as_str()));
    if !windows.is_empty() {
        details.insert("flow".to_owned(), json!({"worker_utilization": windows}));
    }
    let mut shown = Map::new();
    shown.insert("status".to_owned(), status.word().into());
    let symptom = match findings.len() {
        0 => "The pipeline is healthy.".to_owned(),
        1 => format!(
            "The pipeline is {}; 1 area is impacted and 1 diagnosis is available.",
            status.adjective()
        ),
        count => format!(
            "The pipeline is {}; 1 area is impacted and {count} diagnoses are available.",
            status.adjective()
        ),
    };
    shown.insert("symptom".to_owned(), symptom.into());
    if !findings.is_empty() {
        let diagnoses = findings
            .iter()
            .map(|own| json!({"id": own.id, "cause": own.cause, "action": own.action, "help_url": HELP}));
        shown.insert("diagnosis".to_owned(), diagnoses.collect());
        let impacts = findings.iter().map(|own| {
            let (id, severity, description) = own.impact;
            json!({
                "id": id, "severity": severity, "description": description,
                "impact_areas": ["pipeline_execution"],
            })
        });
        shown.insert("impacts".to_owned(), impacts.collect());
    }
    shown.insert("details".to_owned(), Value::Object(details));
    Value::Object(shown)
}

fn finished(state: &str) -> Option<Finding> {
    (state == "FINISHED").then(|| Finding {
        status: Status::Yellow,
        id: "logstash:health:pipeline:status:diagnosis:finished".to_owned(),
        cause: "the inputs of the pipeline have ended, and nothing more comes".to_owned(),
        action: "if it is to go on, give it inputs that follow or listen".to_owned(),
        impact: (
            "logstash:health:pipeline:status:impact:not_processing",
            10,
            "the pipeline has finished running",
        ),
    })
}

/// By how much of the last minutes the filters' threads worked, in percent.
fn worked(utilization: &Value) -> Option<Finding> {
    const BLOCKED: f64 = 99.999;
    const NEARLY: f64 = 95.0;
    const RECOVERING: f64 = 80.0;
    let of = |window: &str| utilization.get(window).and_then(Value::as_f64);
    let (one, five) = (of("last_1_minute"), of("last_5_minutes"));
    let (status, id, how, severity) = match (one, five) {
        (_, Some(five)) if five > BLOCKED => (Status::Red, "5m-blocked", "all of five minutes", 1),
        (_, Some(five)) if five >= NEARLY => {
            (Status::Yellow, "5m-nearly-blocked", "nearly all of five minutes", 1)
        }
        (Some(one), _) if one > BLOCKED => (Status::Yellow, "1m-blocked", "all of a minute", 2),
        (Some(one), _) if one >= NEARLY => (Status::Yellow, "1m-nearly-blocked", "nearly all of a minute", 2),
        _ => return None,
    };
    let is_recovering = id == "5m-nearly-blocked" && one.is_some_and(|one| one <= RECOVERING);
    let recovering = if is_recovering { ", but less now" } else { "" };
    Some(Finding {
        status,
        id: format!("logstash:health:pipeline:flow:worker_utilization:diagnosis:{id}"),
        cause: format!("the threads that filter have worked for {how}{recovering}"),
        action: match is_recovering {
            true => "go on watching it".to_owned(),
            false => "see which filter takes the time (logpond top), or give it more workers".to_owned(),
        },
        impact: (
            "logstash:health:pipeline:flow:impact:blocked_processing",
            severity,
            "the pipeline takes no more than it does now",
        ),
    })
}

fn waits(output: &str, reason: &str) -> Finding {
    Finding {
        status: Status::Yellow,
        id: "logpond:health:pipeline:output:diagnosis:waiting".to_owned(),
        cause: format!("the output {output:?} cannot deliver, and tries again: {reason}"),
        action: "see to what it writes to; what waits is not lost".to_owned(),
        impact: ("logpond:health:pipeline:output:impact:not_delivering", 2, "events wait for an output"),
    }
}

/// How many of these are how, the worst first.
fn symptom(statuses: &[(String, Status)]) -> String {
    let of = |wanted: Status| {
        let names: Vec<&str> =
            statuses.iter().filter(|(_, status)| *status == wanted).map(|(name, _)| name.as_str()).collect();
        let verb = if names.len() == 1 { "indicator is" } else { "indicators are" };
        let text = || format!("{} {verb} {} (`{}`)", names.len(), wanted.adjective(), names.join("`, `"));
        (!names.is_empty()).then(text)
    };
    let parts: Vec<String> =
        [Status::Red, Status::Yellow, Status::Green].into_iter().filter_map(of).collect();
    match parts.as_slice() {
        [] => "no indicators".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_filters() {
        let check = |one: Option<f64>, five: Option<f64>| {
            let mut windows = Map::new();
            for (name, value) in [("last_1_minute", one), ("last_5_minutes", five)] {
                windows.extend(value.map(|value| (name.to_owned(), value.into())));
            }
            worked(&Value::Object(windows)).map(|own| {
                (
                    own.status,
                    own.id.rsplit(':').next().unwrap_or_default().to_owned(),
                    own.cause.contains("less now"),
                )
            })
        };
        let found = |status, id: &str, recovers| Some((status, id.to_owned(), recovers));
        assert_eq!(check(None, None), None);
        assert_eq!(check(Some(94.9), Some(94.9)), None);
        assert_eq!(check(Some(95.0), None), found(Status::Yellow, "1m-nearly-blocked", false));
        assert_eq!(check(Some(100.0), Some(10.0)), found(Status::Yellow, "1m-blocked", false));
        assert_eq!(check(Some(100.0), Some(95.0)), found(Status::Yellow, "5m-nearly-blocked", false));
        assert_eq!(check(Some(20.0), Some(95.0)), found(Status::Yellow, "5m-nearly-blocked", true));
        assert_eq!(check(Some(100.0), Some(100.0)), found(Status::Red, "5m-blocked", false));
    }

    #[test]
    fn symptoms() {
        let all = |list: &[(&str, Status)]| {
            symptom(&list.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect::<Vec<_>>())
        };
        assert_eq!(all(&[]), "no indicators");
        assert_eq!(all(&[("a", Status::Green)]), "1 indicator is healthy (`a`)");
        assert_eq!(
            all(&[("a", Status::Green), ("b", Status::Red), ("c", Status::Green), ("d", Status::Yellow)]),
            "1 indicator is unhealthy (`b`), 1 indicator is concerning (`d`) and 2 indicators are healthy (`a`, `c`)"
        );
    }
}
