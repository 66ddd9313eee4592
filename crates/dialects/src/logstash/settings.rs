//! Settings: logstash.yml, pipelines.yml and the command line.
//!
//! The list and the defaults are those of `logstash-core/lib/logstash/environment.rb` of
//! Logstash 9, with the names that older versions had.

use super::known::{Kept, Known, honoured, near, no_effect, refused, stronger};
use super::parse::unknown;
use super::translate::{Ecs, Translator};
use crate::tree::{Kind, Node, Place};
use pipeline::plan::{DeadLetterOptions, QueueOptions, QueuePart, Reload, WhenFull};
use pipeline::units::{Bytes, Time};
use std::collections::BTreeMap;
use std::time::Duration;

const ENVIRONMENT: &str = "it says how Logstash's web framework shows its own faults";
const PEM: &str = "give certificate and key as PEM: api.ssl.certificate and api.ssl.key (openssl pkcs12 reads them out of a keystore)";
const LOG: &str = "logpond's log goes to standard error (--log-level, --log-json)";
const MONITORING: &str = "the API counts the events of every part";
const BATCH: &str = "batches are as large as what was read together";
const OTEL: &str = "the API counts the events of every part";
const CENTRAL: &str = "give the pipelines as files";
const JAVA: &str = "there is no Java here";

/// Settings that a pipeline may have in pipelines.yml as well.
pub(crate) const PIPELINE: &[Known] = &[
    honoured("pipeline.id", "main"),
    honoured("path.config", ""),
    honoured("config.string", ""),
    honoured("config.support_escapes", "false"),
    honoured("pipeline.workers", "the number of cores"),
    honoured("pipeline.ecs_compatibility", "v8"),
    no_effect("pipeline.batch.size", "125", BATCH),
    no_effect("pipeline.batch.delay", "50", BATCH),
    no_effect("pipeline.batch.output_chunking.growth_threshold_factor", "1000", BATCH),
    no_effect("pipeline.batch.metrics.sampling_mode", "minimal", BATCH),
    stronger("pipeline.ordered", "auto", "events of one origin always stay in order"),
    stronger(
        "pipeline.unsafe_shutdown",
        "false",
        "a second signal ends the program at once, and nothing is lost",
    ),
    no_effect("pipeline.plugin_classloaders", "false", JAVA),
    no_effect("pipeline.separate_logs", "false", LOG),
    no_effect("pipeline.reloadable", "true", "every pipeline can be changed while it runs"),
    stronger("pipeline.recoverable", "false", "every part is tried again by itself"),
    no_effect("pipeline.system", "false", "there are no pipelines of its own"),
    no_effect("pipeline.buffer.type", "heap", JAVA),
    honoured("queue.type", "memory"),
    honoured("queue.max_bytes", "1024mb"),
    honoured("queue.max_events", "0"),
    honoured("queue.page_capacity", "64mb"),
    near("path.queue", "path.data/queue", "the queue stands below path.data, by the pipeline's name"),
    stronger("queue.checkpoint.writes", "1024", "an event counts as kept when the disk has it, always"),
    stronger("queue.checkpoint.acks", "1024", "what was delivered is saved every 200 ms, and as segments go"),
    stronger("queue.checkpoint.interval", "1000", "an event counts as kept when the disk has it, always"),
    no_effect("queue.checkpoint.retry", "true", "a write that fails begins a new segment"),
    honoured("queue.drain", "false"),
    near("queue.compression", "none", "the queue is not compressed"),
    stronger("dead_letter_queue.enable", "false", "what an output refuses is always kept, with the reason"),
    honoured("dead_letter_queue.max_bytes", "1024mb"),
    no_effect(
        "dead_letter_queue.flush_interval",
        "5000",
        "dead letters are on the disk before the event counts",
    ),
    no_effect(
        "dead_letter_queue.flush_check_interval",
        "1000",
        "dead letters are on the disk before the event counts",
    ),
    honoured("dead_letter_queue.storage_policy", "drop_newer"),
    honoured("dead_letter_queue.retain.age", ""),
    near("path.dead_letter_queue", "path.data/dead_letter_queue", "the dead letters stand below path.data"),
    honoured("config.reload.automatic", "false"),
    honoured("config.reload.interval", "3s"),
    no_effect("config.debug", "false", "logpond check prints what a config means"),
    refused("config.field_reference.escape_style", "none", "names of fields are written as they are"),
    no_effect("event_api.tags.illegal", "rename", "tags that are no array become one"),
    no_effect("metric.collect", "true", "logpond always counts"),
];

/// Settings of the whole program.
pub(crate) const NODE: &[Known] = &[
    honoured("path.data", "the data directory of logpond"),
    no_effect("path.logs", "", LOG),
    no_effect("path.plugins", "", "there are no plugins to load"),
    no_effect("path.settings", "", "it is an option of the command line"),
    honoured("node.name", "the host's name"),
    no_effect("allow_superuser", "false", "the system decides"),
    no_effect("config.test_and_exit", "false", "logpond check does it, as does logpond run -t"),
    refused("modules", "", "modules went with Logstash 8"),
    refused("cloud.id", "", "write the address into the output's hosts"),
    refused("cloud.auth", "", "write the user into the output"),
    honoured("api.enabled", "true"),
    honoured("api.http.host", "127.0.0.1"),
    honoured("api.http.port", "9600-9700"),
    no_effect("api.environment", "production", ENVIRONMENT),
    honoured("api.auth.type", "none"),
    honoured("api.auth.basic.username", ""),
    honoured("api.auth.basic.password", ""),
    honoured("api.auth.basic.password_policy.mode", "WARN"),
    honoured("api.auth.basic.password_policy.length.minimum", "8"),
    honoured("api.auth.basic.password_policy.include.upper", "REQUIRED"),
    honoured("api.auth.basic.password_policy.include.lower", "REQUIRED"),
    honoured("api.auth.basic.password_policy.include.digit", "REQUIRED"),
    honoured("api.auth.basic.password_policy.include.symbol", "OPTIONAL"),
    honoured("api.ssl.enabled", "false"),
    refused("api.ssl.keystore.path", "", PEM),
    refused("api.ssl.keystore.password", "", PEM),
    near("api.ssl.supported_protocols", "", "TLS 1.2 and 1.3 are taken"),
    stronger("api.ssl.certificate", "", "only here, in place of a keystore: the certificates as PEM"),
    stronger("api.ssl.key", "", "only here, in place of a keystore: the private key as PEM"),
    honoured("http.enabled", "true"),
    honoured("http.host", "127.0.0.1"),
    honoured("http.port", "9600-9700"),
    no_effect("http.environment", "production", ENVIRONMENT),
    no_effect("log.level", "info", LOG),
    no_effect("log.format", "plain", LOG),
    no_effect("log.format.json.fix_duplicate_message_fields", "true", LOG),
    no_effect("slowlog.threshold.warn", "-1", "logpond ledger says what is slow"),
    no_effect("slowlog.threshold.info", "-1", "logpond ledger says what is slow"),
    no_effect("slowlog.threshold.debug", "-1", "logpond ledger says what is slow"),
    no_effect("slowlog.threshold.trace", "-1", "logpond ledger says what is slow"),
    no_effect("ssl.reload.automatic", "false", "certificates are read when their plugin starts"),
    honoured("keystore.file", "path.settings/logstash.keystore"),
    refused(
        "keystore.classname",
        "org.logstash.secret.store.backend.JavaKeyStore",
        "only the keystore that comes with Logstash is read",
    ),
    no_effect("monitoring.cluster_uuid", "", MONITORING),
    no_effect("otel.metrics.enabled", "false", OTEL),
    no_effect("otel.metrics.endpoint", "http://localhost:4317", OTEL),
    no_effect("otel.metrics.interval", "10s", OTEL),
    no_effect("otel.metrics.protocol", "grpc", OTEL),
    no_effect("otel.metrics.authorization_header", "", OTEL),
    no_effect("otel.service.name", "logstash", OTEL),
    no_effect("otel.resource.attributes", "", OTEL),
    no_effect("xpack.monitoring.enabled", "false", MONITORING),
    refused("xpack.management.enabled", "false", CENTRAL),
    no_effect("xpack.geoip.downloader.enabled", "true", "there is no geoip here"),
];

/// Families of which every member is treated alike.
const FAMILIES: [(&str, Kept); 3] = [
    ("xpack.monitoring.", Kept::NoEffect(MONITORING)),
    ("xpack.management.", Kept::NoEffect(CENTRAL)),
    ("xpack.geoip.", Kept::NoEffect("there is no geoip here")),
];

/// A setting that was made, and where.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) value: String,
    pub(crate) place: Place,
}

/// Settings by their dotted names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings(pub(crate) BTreeMap<String, Made>);

impl Settings {
    /// Takes the settings of a YAML map, flat or nested.
    pub(crate) fn take(&mut self, node: &Node, prefix: &str) {
        for entry in node.members() {
            let name =
                if prefix.is_empty() { entry.name.clone() } else { format!("{prefix}.{}", entry.name) };
            match &entry.value.kind {
                Kind::Map(_) => self.take(&entry.value, &name),
                kind => {
                    if let Some(value) = shown(kind, entry.value.hidden.as_deref()) {
                        self.0.insert(name, Made { value, place: entry.value.place });
                    }
                }
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Made> {
        self.0.get(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str, place: Place) {
        self.0.insert(name.to_owned(), Made { value: value.to_owned(), place });
    }

    /// These, and what they do not say from others.
    pub(crate) fn over(&self, others: &Settings) -> Settings {
        let mut all = others.0.clone();
        all.extend(self.0.iter().map(|(name, made)| (name.clone(), made.clone())));
        Settings(all)
    }

    /// Says what is to be said of each: unknown, refused, or not quite the same.
    pub(crate) fn judge(&self, t: &mut Translator<'_>, is_pipeline: bool) {
        let known: Vec<&Known> =
            if is_pipeline { PIPELINE.iter().collect() } else { PIPELINE.iter().chain(NODE).collect() };
        for (name, made) in &self.0 {
            let kept = known.iter().find(|known| known.name == name).map(|known| (known.kept, known.default));
            let family =
                || FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kept)| (*kept, ""));
            let Some((kept, default)) = kept.or_else(family) else {
                let names: Vec<&str> = known.iter().map(|known| known.name).collect();
                t.wrong(made.place, unknown("setting", name, "", &names));
                continue;
            };
            match kept {
                Kept::Refused(way) if made.value != default && !made.value.is_empty() => {
                    t.wrong(made.place, format!("the setting {name:?} cannot be kept: {way}"));
                }
                Kept::Near(how) if made.value != default && !made.value.is_empty() => {
                    t.warn(made.place, format!("the setting {name:?}: {how}"));
                }
                _ => {}
            }
        }
    }

    /// Whether, and how often, it is looked for changes.
    pub(crate) fn reload(&self, t: &mut Translator<'_>) -> Option<Reload> {
        let is_automatic = self.bool(t, "config.reload.automatic") == Some(true);
        let mut reload = Reload::default();
        if let Some(made) = self.get("config.reload.interval") {
            match Time::parse(&made.value) {
                Ok(interval) if !interval.0.is_zero() => reload.interval = interval,
                _ => t.wrong(
                    made.place,
                    "the setting \"config.reload.interval\" takes a duration such as 3s".to_owned(),
                ),
            }
        }
        is_automatic.then_some(reload)
    }

    pub(crate) fn bool(&self, t: &mut Translator<'_>, name: &str) -> Option<bool> {
        let made = self.get(name)?;
        match made.value.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                t.wrong(made.place, format!("the setting {name:?} takes true or false"));
                None
            }
        }
    }

    pub(crate) fn number(&self, t: &mut Translator<'_>, name: &str) -> Option<u64> {
        let made = self.get(name)?;
        let number = made.value.parse().ok();
        if number.is_none() {
            t.wrong(made.place, format!("the setting {name:?} takes a whole number"));
        }
        number
    }

    /// Sizes count by 1,024, whatever the letters: `64mb` is 64 MiB.
    fn bytes(&self, t: &mut Translator<'_>, name: &str) -> Option<Bytes> {
        let made = self.get(name)?;
        let text = made.value.trim().to_ascii_lowercase();
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let scale = match text[at..].trim() {
            "" | "b" => Some(0),
            "k" | "kb" => Some(10),
            "m" | "mb" => Some(20),
            "g" | "gb" => Some(30),
            "t" | "tb" => Some(40),
            _ => None,
        };
        let number = text[..at].parse::<u64>().ok();
        let bytes = number.zip(scale).and_then(|(number, scale): (u64, u32)| number.checked_mul(1 << scale));
        if bytes.is_none() {
            t.wrong(made.place, format!("the setting {name:?} takes a size such as 64mb"));
        }
        bytes.map(Bytes)
    }

    /// Without a word about them, dead letters have our own limits.
    fn apply_dead_letters(&self, t: &mut Translator<'_>) {
        let bytes_max = self.bytes(t, "dead_letter_queue.max_bytes");
        let age_max =
            self.get("dead_letter_queue.retain.age").filter(|made| !made.value.is_empty()).map(|made| {
                Time::parse(&made.value).unwrap_or_else(|_| {
                    t.wrong(
                        made.place,
                        "the setting \"dead_letter_queue.retain.age\" takes a time such as 5d or 12h",
                    );
                    Time(Duration::MAX)
                })
            });
        let when_full = self.get("dead_letter_queue.storage_policy").map(|made| match made.value.as_str() {
            "drop_older" => WhenFull::DropOldest,
            "drop_newer" => WhenFull::DropNewest,
            other => {
                let known = ["drop_newer", "drop_older"];
                t.wrong(
                    made.place,
                    unknown("value", other, " of \"dead_letter_queue.storage_policy\"", &known),
                );
                WhenFull::DropNewest
            }
        });
        if bytes_max.is_none() && age_max.is_none() && when_full.is_none() {
            return;
        }
        t.dead_letters = Some(DeadLetterOptions {
            bytes_max: bytes_max.unwrap_or(DeadLetterOptions::default().bytes_max),
            age_max,
            // The default there.
            when_full: when_full.unwrap_or(WhenFull::DropNewest),
        });
    }

    /// Puts what the settings say of a pipeline into it.
    pub(crate) fn apply(&self, t: &mut Translator<'_>) {
        if let Some(workers) = self.number(t, "pipeline.workers") {
            t.pipeline.workers = Some((workers as usize).max(1));
        }
        if let Some(made) = self.get("pipeline.ecs_compatibility") {
            match made.value.as_str() {
                "disabled" => t.ecs = Some(Ecs::Disabled),
                "v1" | "v8" => t.ecs = Some(Ecs::Schema),
                other => {
                    let message = unknown(
                        "value",
                        other,
                        " of \"pipeline.ecs_compatibility\"",
                        &["disabled", "v1", "v8"],
                    );
                    t.wrong(made.place, message);
                }
            }
        }
        self.apply_dead_letters(t);
        let Some(made) = self.get("queue.type") else { return };
        match made.value.as_str() {
            "memory" => {}
            "persisted" => {
                let limit = self.bytes(t, "queue.max_bytes").unwrap_or(Bytes(1 << 30));
                let page = self.bytes(t, "queue.page_capacity").unwrap_or(Bytes(64 << 20));
                if page > limit {
                    t.wrong(
                        made.place,
                        "\"queue.page_capacity\" must not be larger than \"queue.max_bytes\"",
                    );
                }
                t.pipeline.queue = Some(QueuePart::With(QueueOptions {
                    bytes_max: limit,
                    events_max: self.number(t, "queue.max_events").unwrap_or(0),
                    segment_bytes: page,
                    drain: self.bool(t, "queue.drain").unwrap_or(false),
                    ..QueueOptions::default()
                }));
            }
            other => {
                t.wrong(made.place, unknown("value", other, " of \"queue.type\"", &["memory", "persisted"]))
            }
        }
    }
}

fn shown(kind: &Kind, hidden: Option<&str>) -> Option<String> {
    if let Some(hidden) = hidden {
        return Some(hidden.to_owned());
    }
    Some(match kind {
        Kind::Null => return None,
        Kind::Bool(value) => value.to_string(),
        Kind::Int(value) => value.to_string(),
        Kind::Float(value) => value.to_string(),
        Kind::Str(text) => text.clone(),
        Kind::List(items) => items
            .iter()
            .filter_map(|item| shown(&item.kind, item.hidden.as_deref()))
            .collect::<Vec<_>>()
            .join(","),
        Kind::Map(_) => return None,
    })
}
