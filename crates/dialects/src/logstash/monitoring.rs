//! Logstash's own API: the settings `api.*`, and what they were called before, as the monitoring API
//! of the plan.
//!
//! The rules are those of `logstash-core/lib/logstash/webserver.rb` and `settings.rb` of Logstash 9.

use super::parse::unknown;
use super::settings::Settings;
use super::translate::Translator;
use crate::tree::Place;
use pipeline::plan::{ListenRange, Monitoring, Secret, Tls};
use std::collections::BTreeMap;

/// Settings and their names before Logstash 8.
const OLD_NAMES: [(&str, &str); 3] =
    [("api.enabled", "http.enabled"), ("api.http.host", "http.host"), ("api.http.port", "http.port")];
/// Whether a character is of a kind.
type IsOf = fn(&char) -> bool;

/// What a password may be made of by the policy, and what is missing when it is not.
const PARTS: [(&str, &str, IsOf); 4] = [
    ("upper", "an upper case letter", char::is_ascii_uppercase),
    ("lower", "a lower case letter", char::is_ascii_lowercase),
    ("digit", "a digit", char::is_ascii_digit),
    ("symbol", "a symbol", |c| !c.is_ascii_alphanumeric()),
];
/// How long the shortest password may be, by the policy.
const MINIMUM: std::ops::RangeInclusive<u64> = 8..=1024;

/// What a setting was called before.
pub(super) fn old_name(name: &str) -> Option<&'static str> {
    OLD_NAMES.iter().find(|(own, _)| *own == name).map(|(_, old)| *old)
}

/// What the settings say of the API; none: there is to be none.
pub(super) fn of(settings: &Settings, t: &mut Translator<'_>) -> Option<Monitoring> {
    let mut settings = settings.clone();
    for (name, old) in OLD_NAMES {
        match (settings.get(name).is_some(), settings.get(old).cloned()) {
            (true, Some(made)) => {
                t.wrong(made.place, format!("{old:?} is {name:?} of before: give one of them"))
            }
            (false, Some(made)) => settings.set(name, &made.value, made.place),
            _ => {}
        }
    }
    if settings.bool(t, "api.enabled") == Some(false) {
        return None;
    }
    let tls = tls(&settings, t);
    let users = users(&settings, t);
    // As there: what is secured both ways may be reached from everywhere.
    let host = if tls.is_some() && !users.is_empty() { "0.0.0.0" } else { "127.0.0.1" };
    let host = settings.get("api.http.host").map_or(host, |made| made.value.as_str());
    let mut monitoring = Monitoring { tls, users, ..Monitoring::default() };
    monitoring.listen.host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if let Some(made) = settings.get("api.http.port") {
        match ListenRange::try_from(format!("x:{}", made.value)) {
            Ok(range) => (monitoring.listen.first, monitoring.listen.last) = (range.first, range.last),
            Err(_) => t.wrong(
                made.place,
                "the setting \"api.http.port\" takes a port or a range of ports such as 9600-9700",
            ),
        }
    }
    monitoring.name = settings.get("node.name").map(|made| made.value.clone());
    Some(monitoring)
}

fn tls(settings: &Settings, t: &mut Translator<'_>) -> Option<Tls> {
    if settings.bool(t, "api.ssl.enabled") != Some(true) {
        return None;
    }
    let path = |name: &str| settings.get(name).map(|made| made.value.clone().into());
    if let (Some(cert), Some(key)) = (path("api.ssl.certificate"), path("api.ssl.key")) {
        return Some(Tls { cert, key });
    }
    if let Some(made) = settings.get("api.ssl.enabled") {
        t.wrong(
            made.place,
            "\"api.ssl.enabled\" needs certificate and key as PEM files: \"api.ssl.certificate\" and \"api.ssl.key\"",
        );
    }
    None
}

fn users(settings: &Settings, t: &mut Translator<'_>) -> BTreeMap<String, Secret> {
    let mut users = BTreeMap::new();
    let Some(kind) = settings.get("api.auth.type") else { return users };
    match kind.value.as_str() {
        "none" => return users,
        "basic" => {}
        other => {
            t.wrong(kind.place, unknown("value", other, " of \"api.auth.type\"", &["none", "basic"]));
            return users;
        }
    }
    let name = settings.get("api.auth.basic.username").filter(|made| !made.value.is_empty());
    let password = settings.get("api.auth.basic.password").filter(|made| !made.value.is_empty());
    let (Some(name), Some(password)) = (name, password) else {
        t.wrong(
            kind.place,
            "\"api.auth.type: basic\" needs \"api.auth.basic.username\" and \"api.auth.basic.password\"",
        );
        return users;
    };
    check_password(settings, &password.value, kind.place, t);
    users.insert(name.value.clone(), Secret::new(password.value.clone()));
    users
}

/// Says what the policy misses in the password: a warning, or an error if it wants one. It is told at
/// another place than the password's, whose line is nobody's business.
fn check_password(settings: &Settings, password: &str, place: Place, t: &mut Translator<'_>) {
    const POLICY: &str = "api.auth.basic.password_policy";
    let mut word = |name: &str, known: [&str; 2], default: &str| {
        let name = format!("{POLICY}.{name}");
        let Some(made) = settings.get(&name) else { return default.to_owned() };
        let value = made.value.to_ascii_uppercase();
        if !known.contains(&value.as_str()) {
            t.wrong(made.place, unknown("value", &made.value, &format!(" of {name:?}"), &known));
        }
        value
    };
    let is_error = word("mode", ["WARN", "ERROR"], "WARN") == "ERROR";
    let mut missing = Vec::new();
    for (part, text, is_part) in PARTS {
        let default = if part == "symbol" { "OPTIONAL" } else { "REQUIRED" };
        let wanted = word(&format!("include.{part}"), ["REQUIRED", "OPTIONAL"], default);
        if wanted == "REQUIRED" && !password.chars().any(|c| is_part(&c)) {
            missing.push(text.to_owned());
        }
    }
    let name = format!("{POLICY}.length.minimum");
    let minimum = settings.number(t, &name).unwrap_or(*MINIMUM.start());
    if let Some(made) = settings.get(&name).filter(|_| !MINIMUM.contains(&minimum)) {
        t.wrong(made.place, format!("{name:?} is between {} and {}", MINIMUM.start(), MINIMUM.end()));
    }
    if (password.chars().count() as u64) < minimum {
        missing.push(format!("a length of {minimum}"));
    }
    if missing.is_empty() {
        return;
    }
    let message = format!("the password of \"api.auth.basic.password\" lacks {}", missing.join(", "));
    match is_error {
        true => t.wrong(place, message),
        false => t.warn(place, message),
    }
}
