//! What each property means here.

use super::access::{self, Access};
use super::value::{at_least, boolean, integer, list, milliseconds, word};
use crate::inputs::kafka::{self as input, Assignment, GroupProtocol, Isolation, OffsetReset};
use crate::outputs::kafka::{self as output, Acks, Compression, Partitioner};
use crate::units::{Bytes, Time};

/// A line of the table: it changes `T`.
pub(super) struct Property<T> {
    /// What librdkafka and Java call it; the first is the usual one.
    pub(super) names: &'static [&'static str],
    /// The option here, or why there is none.
    pub(super) here: &'static str,
    pub(super) means: Means<T>,
}

pub(super) enum Means<T> {
    /// Reads a value into options, or says what would be right.
    Set(fn(&mut T, &str) -> Result<(), String>),
    /// It is not needed.
    Nothing,
    /// It cannot be had.
    Refused,
}
use Means::{Nothing, Refused, Set};

impl<T> Property<T> {
    /// Applies a value; returns why it has no effect, if it has none.
    pub(super) fn apply(&self, config: &mut T, value: &str) -> Result<Option<String>, String> {
        match self.means {
            Set(set) => set(config, value).map(|()| None),
            Nothing => Ok(Some(format!("it has no effect: {}", self.here))),
            // What is switched off is not missed.
            Refused if ["", "none", "false"].contains(&value) => Ok(None),
            Refused => Err(self.here.to_owned()),
        }
    }
}

macro_rules! table {
    ($($names:tt => $here:literal: $means:expr,)*) => {
        &[$(Property { names: &$names, here: $here, means: $means },)*]
    };
}

/// Of both sides.
pub(super) const COMMON: &[Property<Access>] = table![
    ["bootstrap.servers", "metadata.broker.list"] => "brokers": Set(access::brokers),
    ["client.id"] => "client_id": Set(access::client_id),
    ["security.protocol"] => "tls, sasl": Set(access::protocol),
    ["sasl.mechanism", "sasl.mechanisms"] => "sasl.mechanism": Set(access::mechanism),
    ["sasl.username"] => "sasl.user": Set(access::user),
    ["sasl.password"] => "sasl.password": Set(access::password),
    ["sasl.jaas.config"] => "sasl.user, sasl.password": Set(access::jaas),
    ["ssl.ca.location"] => "tls.ca": Set(access::ca),
    ["ssl.certificate.location"] => "tls.cert": Set(access::certificate),
    ["ssl.key.location"] => "tls.key": Set(access::key),
    ["ssl.truststore.location"] => "tls.ca": Set(access::trust_store),
    ["ssl.truststore.type"] => "tls.ca": Set(access::trust_store_type),
    ["ssl.keystore.location"] => "tls.cert, tls.key": Set(access::key_store),
    ["ssl.keystore.type"] => "tls.cert, tls.key": Set(access::key_store_type),
    ["ssl.endpoint.identification.algorithm"] => "tls.verification": Set(access::identification),
    ["enable.ssl.certificate.verification"] => "tls.verification": Set(access::verification),
    ["ssl.key.password"] => "tls.key_passphrase": Set(access::key_passphrase),
    ["ssl.keystore.password"] => "a keystore of PEM has none; ssl.key.password is that of the key in it": Refused,
    ["ssl.truststore.password"] => "a file of PEM has none": Nothing,
    ["ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem", "ssl.truststore.certificates", "ssl.keystore.certificate.chain", "ssl.keystore.key"] => "put it into a file, and name that": Refused,
    ["ssl.crl.location"] => "lists of revoked certificates are not read": Refused,
    ["ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list"] => "TLS 1.2 and 1.3 with the ciphers that are safe today": Nothing,
    ["ssl.protocol", "ssl.enabled.protocols"] => "TLS 1.2 and 1.3, whichever the broker has": Nothing,
    ["ssl.provider", "ssl.providers", "ssl.engine.location", "ssl.secure.random.implementation"] => "there is one implementation of TLS": Nothing,
    ["sasl.kerberos.service.name", "sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.kinit.cmd", "sasl.kerberos.min.time.before.relogin"] => "Kerberos cannot be used; there are PLAIN, SCRAM and OAUTHBEARER": Nothing,
    ["sasl.oauthbearer.config", "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope", "sasl.login.callback.handler.class"] => "a token is read from the file `sasl.token_file`, anew for each session": Refused,
    ["enable.sasl.oauthbearer.unsecure.jwt"] => "a token is read from the file `sasl.token_file`": Refused,
    ["socket.keepalive.enable", "socket.nagle.disable", "socket.blocking.max.ms", "socket.max.fails"] => "connections are kept alive and send at once": Nothing,
    ["socket.send.buffer.bytes", "send.buffer.bytes", "socket.receive.buffer.bytes", "receive.buffer.bytes"] => "the system chooses": Nothing,
    ["socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms", "socket.timeout.ms"] => "brokers that do not answer are asked again, with growing pauses": Nothing,
    ["reconnect.backoff.ms", "reconnect.backoff.jitter.ms", "reconnect.backoff.max.ms", "retry.backoff.ms", "retry.backoff.max.ms"] => "pauses grow, with jitter, and nothing is given up": Nothing,
    ["connections.max.idle.ms"] => "connections that are needed are opened again": Nothing,
    ["broker.address.ttl", "broker.address.family", "client.dns.lookup"] => "names are looked up for each connection, all addresses are tried": Nothing,
    ["api.version.request", "api.version.request.timeout.ms", "api.version.fallback.ms", "broker.version.fallback"] => "versions are agreed on with each broker": Nothing,
    ["metadata.request.timeout.ms", "topic.metadata.refresh.fast.interval.ms", "topic.metadata.refresh.sparse", "topic.metadata.propagation.max.ms", "metadata.recovery.strategy", "metadata.recovery.rebootstrap.trigger.ms"] => "metadata is asked for when it is needed": Nothing,
    ["message.copy.max.bytes", "receive.message.max.bytes", "max.in.flight.topic"] => "memory is bounded by other options": Nothing,
    ["log.connection.close", "log.queue", "log.thread.name", "log_level", "debug"] => "the log has one level for all, `--log`": Nothing,
    ["statistics.interval.ms", "enable.metrics.push", "metric.reporters", "metrics.num.samples", "metrics.recording.level", "metrics.sample.window.ms", "auto.include.jmx.reporter"] => "`/metrics` and the ledger tell": Nothing,
    ["interceptor.classes", "plugin.library.paths"] => "code of others does not run here": Refused,
    ["allow.auto.create.topics"] => "the output has `create_topics`; an input makes none": Nothing,
];

/// Of the output.
pub(super) const OUTPUT: &[Property<output::Config>] = table![
    ["acks", "request.required.acks"] => "acks": Set(|config, value| {
        let words = [("all", Acks::All), ("-1", Acks::All), ("1", Acks::Leader), ("0", Acks::None)];
        config.acks = word(value, &words)?;
        // Recognising what is sent again needs the answers of all.
        config.idempotent &= config.acks == Acks::All;
        Ok(())
    }),
    ["enable.idempotence"] => "idempotent": Set(|config, value| {
        config.idempotent = boolean(value)?;
        Ok(())
    }),
    ["compression.type", "compression.codec"] => "compression": Set(|config, value| {
        let words = [
            ("none", Compression::None),
            ("gzip", Compression::Gzip),
            ("snappy", Compression::Snappy),
            ("lz4", Compression::Lz4),
            ("zstd", Compression::Zstd),
        ];
        config.compression = word(value, &words)?;
        Ok(())
    }),
    ["compression.level", "compression.gzip.level", "compression.lz4.level", "compression.zstd.level"] => "compression_level": Set(|config, value| {
        let level = i32::try_from(integer(value)?).map_err(|_| format!("{value} is no level"))?;
        config.compression_level = (level != -1).then_some(level);
        Ok(())
    }),
    ["batch.size"] => "batch_bytes": Set(|config, value| {
        // Java's 0 is a batch for each record; a batch here holds one at least.
        config.batch_bytes = Bytes(at_least(0, value)?.max(1));
        Ok(())
    }),
    ["linger.ms", "queue.buffering.max.ms"] => "linger": Set(|config, value| {
        config.linger = Time(milliseconds(value)?);
        Ok(())
    }),
    ["message.max.bytes", "max.request.size"] => "request_bytes_max": Set(|config, value| {
        config.request_bytes_max = Bytes(at_least(1_000, value)?);
        Ok(())
    }),
    ["max.in.flight.requests.per.connection", "max.in.flight"] => "in_flight_max": Set(|config, value| {
        config.in_flight_max = at_least(1, value)? as usize;
        Ok(())
    }),
    ["request.timeout.ms"] => "request_timeout": Set(|config, value| {
        config.request_timeout = Time(milliseconds(value)?);
        Ok(())
    }),
    ["buffer.memory"] => "memory_bytes_max": Set(|config, value| {
        config.memory_bytes_max = Bytes(at_least(1, value)?);
        Ok(())
    }),
    ["queue.buffering.max.kbytes"] => "memory_bytes_max": Set(|config, value| {
        config.memory_bytes_max = Bytes(at_least(1, value)?.saturating_mul(1024));
        Ok(())
    }),
    ["partitioner", "partitioner.class"] => "partitioner": Set(|config, value| {
        let words = [
            ("consistent_random", Partitioner::ConsistentRandom),
            ("consistent", Partitioner::Consistent),
            ("murmur2_random", Partitioner::Murmur2Random),
            ("murmur2", Partitioner::Murmur2),
            ("random", Partitioner::Random),
            ("DefaultPartitioner", Partitioner::Murmur2),
            ("RoundRobinPartitioner", Partitioner::RoundRobin),
            ("UniformStickyPartitioner", Partitioner::Sticky),
        ];
        config.partitioner = word(value.rsplit('.').next().unwrap_or(value), &words)?;
        Ok(())
    }),
    ["message.timeout.ms", "delivery.timeout.ms", "max.block.ms"] => "no time drops an event": Nothing,
    ["message.send.max.retries", "retries"] => "what fails is tried again until it succeeds or is refused for good": Nothing,
    ["queue.buffering.max.messages", "batch.num.messages", "queue.buffering.backpressure.threshold", "queuing.strategy", "produce.offset.report", "enable.gapless.guarantee"] => "bytes are the bound, and order is kept": Nothing,
    ["sticky.partitioning.linger.ms", "partitioner.ignore.keys", "partitioner.adaptive.partitioning.enable", "partitioner.availability.timeout.ms"] => "`partitioner` decides": Nothing,
    ["delivery.report.only.error", "dr_cb", "dr_msg_cb"] => "the ledger counts what becomes of each event": Nothing,
    ["key.serializer", "value.serializer"] => "`codec` and `key` say what is written": Nothing,
    ["transactional.id", "transaction.timeout.ms"] => "there are no transactions here; what is sent again is recognised, which is what they would be used for": Refused,
];

/// Of the input.
pub(super) const INPUT: &[Property<input::Config>] = table![
    ["group.id"] => "group": Set(|config, value| {
        config.group = value.to_owned();
        Ok(())
    }),
    ["group.instance.id"] => "group_instance_id": Set(|config, value| {
        config.group_instance_id = (!value.is_empty()).then(|| value.to_owned());
        Ok(())
    }),
    ["group.protocol"] => "group_protocol": Set(|config, value| {
        let words = [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
        config.group_protocol = word(value, &words)?;
        Ok(())
    }),
    ["partition.assignment.strategy"] => "assignment": Set(|config, value| {
        let words = [
            ("range", Assignment::Range),
            ("roundrobin", Assignment::RoundRobin),
            ("sticky", Assignment::Sticky),
            ("cooperative-sticky", Assignment::CooperativeSticky),
            ("RangeAssignor", Assignment::Range),
            ("RoundRobinAssignor", Assignment::RoundRobin),
            ("StickyAssignor", Assignment::Sticky),
            ("CooperativeStickyAssignor", Assignment::CooperativeSticky),
        ];
        let bare = |name: &String| word(name.rsplit('.').next().unwrap_or(name), &words);
        config.assignment = list(value).iter().map(bare).collect::<Result<_, _>>()?;
        Ok(())
    }),
    ["auto.offset.reset"] => "auto_offset_reset": Set(|config, value| {
        let words = [
            ("smallest", OffsetReset::Earliest),
            ("earliest", OffsetReset::Earliest),
            ("beginning", OffsetReset::Earliest),
            ("largest", OffsetReset::Latest),
            ("latest", OffsetReset::Latest),
            ("end", OffsetReset::Latest),
            ("error", OffsetReset::None),
            ("none", OffsetReset::None),
        ];
        config.auto_offset_reset = word(value, &words)?;
        Ok(())
    }),
    ["isolation.level"] => "isolation": Set(|config, value| {
        let words =
            [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)];
        config.isolation = word(value, &words)?;
        Ok(())
    }),
    ["client.rack"] => "rack": Set(|config, value| {
        config.rack = (!value.is_empty()).then(|| value.to_owned());
        Ok(())
    }),
    ["fetch.min.bytes"] => "fetch_min_bytes": Set(|config, value| {
        config.fetch_min_bytes = Bytes(at_least(0, value)?.max(1));
        Ok(())
    }),
    ["fetch.wait.max.ms", "fetch.max.wait.ms"] => "fetch_wait_max": Set(|config, value| {
        config.fetch_wait_max = Time(milliseconds(value)?);
        Ok(())
    }),
    ["fetch.max.bytes"] => "fetch_bytes_max": Set(|config, value| {
        config.fetch_bytes_max = Bytes(at_least(1, value)?);
        Ok(())
    }),
    ["max.partition.fetch.bytes", "fetch.message.max.bytes"] => "partition_bytes_max": Set(|config, value| {
        config.partition_bytes_max = Bytes(at_least(1, value)?);
        Ok(())
    }),
    ["queued.max.messages.kbytes"] => "buffer_bytes_max": Set(|config, value| {
        config.buffer_bytes_max = Bytes(at_least(1, value)?.saturating_mul(1024));
        Ok(())
    }),
    ["session.timeout.ms"] => "session_timeout": Set(|config, value| {
        config.session_timeout = Time(milliseconds(value)?);
        Ok(())
    }),
    ["heartbeat.interval.ms"] => "heartbeat_interval": Set(|config, value| {
        config.heartbeat_interval = Time(milliseconds(value)?);
        Ok(())
    }),
    ["max.poll.interval.ms"] => "rebalance_timeout": Set(|config, value| {
        config.rebalance_timeout = Time(milliseconds(value)?);
        Ok(())
    }),
    ["auto.commit.interval.ms"] => "commit_interval": Set(|config, value| {
        config.commit_interval = Time(milliseconds(value)?);
        Ok(())
    }),
    ["topic.metadata.refresh.interval.ms", "metadata.max.age.ms"] => "refresh_interval": Set(|config, value| {
        config.refresh_interval = Time(milliseconds(value)?);
        Ok(())
    }),
    ["enable.auto.commit", "enable.auto.offset.store", "offset.store.method"] => "an offset is committed when everything before it is safe": Nothing,
    ["max.poll.records", "queued.min.messages", "fetch.queue.backoff.ms", "fetch.error.backoff.ms", "consume.callback.max.messages", "request.timeout.ms", "default.api.timeout.ms"] => "it is fetched as far as there is room": Nothing,
    ["check.crcs"] => "checksums are always compared": Nothing,
    ["enable.partition.eof", "exclude.internal.topics"] => "it changes nothing for events": Nothing,
    ["group.remote.assignor", "group.protocol.type", "coordinator.query.interval.ms"] => "the coordinator decides": Nothing,
    ["topic.blacklist"] => "leave the topics out with `topics_pattern`": Refused,
    ["key.deserializer", "value.deserializer"] => "`codec` says what a value is": Nothing,
];
