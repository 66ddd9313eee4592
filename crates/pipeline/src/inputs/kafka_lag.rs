//! Input `kafka_lag`: how far consumer groups of Kafka are behind, as events, again and again.
//!
//! A measurement cannot be made again: one that was not kept or delivered at a crash is gone.

use super::{ConfigError, Input, InputContext, InputError, Next};
use crate::net::kafka::survey::{LagRow, Surveyor};
use crate::net::kafka::{ClusterConfig, SaslConfig};
use crate::net::tls::TlsConfig;
use crate::stop::Stop;
use crate::units::Time;
use event::{Batch, Common, CommonValue, Origin};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Options of the input `kafka_lag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Some of the brokers, as `host:port`: they tell of the others.
    pub brokers: Vec<String>,
    /// Only these groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Between measurements.
    pub interval: Time,
    /// How long a round of questions may take.
    pub timeout: Time,
    /// What the brokers' logs and quotas call us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// TLS, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// How we log in, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            groups: Vec::new(),
            interval: Time(Duration::from_secs(30)),
            timeout: Time(Duration::from_secs(15)),
            client_id: None,
            tls: None,
            sasl: None,
        }
    }
}

/// The input.
pub struct KafkaLagInput {
    config: Config,
    context: InputContext,
    surveyor: Surveyor,
    common: Arc<Common>,
    origin: Origin,
    next: u64,
    due: Instant,
}

impl Config {
    /// The input that these options describe.
    pub fn build(&self, context: InputContext) -> Result<KafkaLagInput, ConfigError> {
        const META: &str = "kafka_lag";
        let surveyor = self.surveyor()?;
        let known = context.registry.known(&context.name).into_iter().find(|known| known.meta == META);
        let (origin, next) = match known {
            Some(known) => (known.origin, known.watermark),
            None => (context.registry.create(&context.name, META.to_owned(), 0), 0),
        };
        context
            .registry
            .flush()
            .map_err(|error| ConfigError { option: "kafka_lag", message: error.to_string() })?;
        let common = Common::new(origin, [("host.name", CommonValue::Str(context.host.clone()))]);
        Ok(KafkaLagInput {
            config: self.clone(),
            context,
            surveyor,
            common,
            origin,
            next,
            due: Instant::now(),
        })
    }

    /// What is wrong with the options, if anything.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.surveyor().map(drop)
    }

    fn surveyor(&self) -> Result<Surveyor, ConfigError> {
        if self.interval.0.is_zero() {
            let message = "it must be longer than nothing".to_owned();
            return Err(ConfigError { option: "interval", message });
        }
        let cluster = ClusterConfig {
            brokers: self.brokers.clone(),
            client_id: self.client_id.clone(),
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
        };
        Surveyor::new(&cluster, self.timeout.0)
            .map_err(|message| ConfigError { option: super::kafka::option_of(&message), message })
    }
}

impl Input for KafkaLagInput {
    fn next(&mut self, batch: &mut Batch, stop: &Stop) -> Result<Next, InputError> {
        loop {
            if stop.wait(self.due.saturating_duration_since(Instant::now())) {
                return Ok(Next::Stopped);
            }
            self.due = Instant::now() + self.config.interval.0;
            // What came back undone was then, and is not measured again.
            let _ = self.context.registry.rewound(self.origin);
            let measured = self.surveyor.lag(&self.config.groups, crate::run::now() / 1_000_000);
            let found = measured.map_err(InputError::Other)?;
            for missing in &found.missing {
                tracing::warn!(input = self.context.name, missing, "not all of the lag could be measured");
            }
            batch.reset(crate::run::now());
            if self.take(&found.rows, batch) {
                return Ok(Next::Filled);
            }
        }
    }
}

impl KafkaLagInput {
    fn take(&mut self, rows: &[LagRow], batch: &mut Batch) -> bool {
        let first = self.next;
        batch.begin_run(self.common.clone(), first);
        for row in rows {
            // It is JSON that was just written.
            if batch.push_json(event_of(row).as_bytes(), self.next).is_ok() {
                self.next += 1;
            }
        }
        batch.end_run(self.next, 0);
        if self.next == first {
            return false;
        }
        batch.acks.push(self.context.registry.begin(vec![super::range(self.origin, first, self.next)]));
        true
    }
}

/// A row as a JSON object.
pub fn json_of(row: &LagRow) -> serde_json::Value {
    let owner = row.owner.as_ref();
    json!({
        "group": row.group.as_str(),
        "topic": row.partition.topic.as_str(),
        "partition": row.partition.partition,
        "committed": row.committed,
        "log_start": row.log_start,
        "log_end": row.log_end,
        "lag": row.lag,
        "lag_seconds": row.behind.map(|behind| behind.as_secs_f64()),
        "member_id": owner.map(|owner| owner.member_id.as_str()),
        "client_id": owner.map(|owner| owner.client_id.as_str()),
        "host": owner.map(|owner| owner.host.as_str()),
    })
}

fn event_of(row: &LagRow) -> String {
    let (group, at) = (row.group.as_str(), &row.partition);
    let behind = row.lag.map_or("has committed nothing".to_owned(), |lag| format!("is {lag} records behind"));
    json!({ "message": format!("group {group} {behind} in {at}"), "kafka": json_of(row) }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::protocol::StrBytes;
    use wire::kafka::consumer::{TopicPartition, topic};

    #[test]
    fn a_row_becomes_an_event() {
        let text = StrBytes::from_static_str;
        let row = LagRow {
            group: text("g"),
            partition: TopicPartition::new(topic("t"), 2),
            committed: Some(5),
            log_start: Some(0),
            log_end: Some(9),
            lag: Some(4),
            behind: Some(Duration::from_millis(1_500)),
            owner: None,
        };
        let event = event_of(&row);
        assert!(event.contains("group g is 4 records behind in t-2"), "{event}");
        assert!(event.contains("\"lag\":4") && event.contains("\"lag_seconds\":1.5"), "{event}");
        assert!(event.contains("\"member_id\":null"), "{event}");
        let never = LagRow { committed: None, lag: None, behind: None, ..row };
        assert!(event_of(&never).contains("has committed nothing"));
    }
}
