//! The plugins that Logstash brings along: those that are translated, and for all others the way
//! around.

pub(crate) mod codecs;
pub(crate) mod filters;
pub(crate) mod inputs;
mod kafka;
mod listen;
pub(crate) mod outputs;
mod post;
mod push;
mod stream;

use super::known::{Known, PluginTable, honoured, no_effect};
use super::tree::SectionKind;

/// What every plugin has.
const EVERY: &[Known] =
    &[honoured("id", ""), no_effect("enable_metric", "true", "logpond counts every part")];

/// What every input has beside its own.
const EVERY_INPUT: &[Known] = &[honoured("add_field", "{}"), honoured("tags", "[]"), honoured("type", "")];

/// What every filter has beside its own; done when the filter succeeded.
const EVERY_FILTER: &[Known] = &[
    honoured("add_field", "{}"),
    honoured("remove_field", "[]"),
    honoured("add_tag", "[]"),
    honoured("remove_tag", "[]"),
    no_effect("periodic_flush", "false", "filters that hold events flush by themselves"),
];

/// The options that all plugins of a kind have.
pub(crate) fn common(kind: SectionKind) -> impl Iterator<Item = &'static Known> {
    let own: &[Known] = match kind {
        SectionKind::Input => EVERY_INPUT,
        SectionKind::Filter => EVERY_FILTER,
        SectionKind::Output => &[],
    };
    EVERY.iter().chain(own)
}

pub(crate) fn tables(kind: SectionKind) -> &'static [PluginTable] {
    match kind {
        SectionKind::Input => inputs::TABLES,
        SectionKind::Filter => filters::TABLES,
        SectionKind::Output => outputs::TABLES,
    }
}

pub(crate) fn find(kind: SectionKind, name: &str) -> Option<&'static PluginTable> {
    tables(kind).iter().find(|table| table.name == name)
}

/// The way around a plugin that Logstash brings along and logpond does not translate yet.
pub(crate) fn elsewhere(kind: SectionKind, name: &str) -> Option<&'static str> {
    others(kind).iter().find(|(own, _)| *own == name).map(|(_, way)| *way)
}

pub(crate) fn others(kind: SectionKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        SectionKind::Input => INPUTS,
        SectionKind::Filter => FILTERS,
        SectionKind::Output => OUTPUTS,
    }
}

/// Every plugin of a kind.
pub(crate) fn names(kind: SectionKind) -> Vec<&'static str> {
    let own = tables(kind).iter().map(|table| table.name);
    own.chain(others(kind).iter().map(|(name, _)| *name)).collect()
}

const KEEP: &str = "keep Logstash for this part and let it write to Kafka or a file, which logpond reads";
const FILE: &str = "let its sender write a file, and read that with the input file";
const KAFKA_IN: &str = "bring the events to Kafka, and read them with the input kafka";
const KAFKA_OUT: &str = "write to Kafka or a file, and let another program bring it there";

const INPUTS: &[(&str, &str)] = &[
    ("azure_event_hubs", "read the hub by its Kafka endpoint with the input kafka"),
    ("cloudwatch", KEEP),
    ("couchdb_changes", KEEP),
    ("dead_letter_queue", "logpond dead-letters ls and show look into the dead letters"),
    ("elastic_serverless_forwarder", KEEP),
    ("elasticsearch", KEEP),
    ("ganglia", KEEP),
    ("gelf", KAFKA_IN),
    ("graphite", KEEP),
    ("http_poller", "let cron and curl write to a file, and read that with the input file"),
    ("imap", KEEP),
    ("irc", KEEP),
    ("jdbc", KEEP),
    ("jms", KAFKA_IN),
    ("jmx", "the input kafka_lag tells how far groups of Kafka are behind"),
    ("logstash", KAFKA_IN),
    ("pipe", "let the command write to a file, or to logpond's standard input, and use the input stdin"),
    ("rabbitmq", KAFKA_IN),
    ("relp", FILE),
    ("s3", "copy the objects to a folder, and read that with the input file"),
    ("snmp", KEEP),
    ("snmptrap", FILE),
    ("sqs", KAFKA_IN),
    ("twitter", KEEP),
    ("unix", FILE),
    ("varnishlog", "let varnishlog -w write a file, and read that with the input file"),
    ("websocket", KEEP),
    ("wmi", KEEP),
    ("xmpp", KEEP),
];

const FILTERS: &[(&str, &str)] = &[
    ("age", KEEP),
    ("aggregate", KEEP),
    ("alter", "mutate's replace and coerce do the same"),
    ("anonymize", "mutate can remove the field"),
    ("dns", KEEP),
    (
        "elastic_integration",
        "let Elasticsearch's ingest pipeline do it: output elasticsearch, option pipeline",
    ),
    ("elasticsearch", KEEP),
    ("environment", "${NAME} in mutate's replace"),
    ("extractnumbers", "grok with %{NUMBER:name:float}"),
    ("http", KEEP),
    ("i18n", "mutate's gsub"),
    ("java_uuid", "the output elasticsearch gives every event an id of its own"),
    ("jdbc_static", KEEP),
    ("jdbc_streaming", KEEP),
    ("json_encode", "objects are written as JSON where text is expected: mutate's replace with %{field}"),
    ("memcached", KEEP),
    ("metricize", KEEP),
    ("metrics", "the API counts the events of every part"),
    ("range", "if with < and >"),
    ("ruby", "if, mutate and grok do most of what short scripts do"),
    ("threats_classifier", KEEP),
    ("tld", KEEP),
    ("wurfl_device_detection", KEEP),
];

const OUTPUTS: &[(&str, &str)] = &[
    ("boundary", KAFKA_OUT),
    ("circonus", KAFKA_OUT),
    ("cloudwatch", KAFKA_OUT),
    ("csv", "the output file with codec => csv { columns => [...] }"),
    ("datadog", KAFKA_OUT),
    ("datadog_metrics", KAFKA_OUT),
    ("dynatrace", KAFKA_OUT),
    ("elastic_app_search", KAFKA_OUT),
    ("elastic_workplace_search", KAFKA_OUT),
    ("email", "write to a file, and let cron mail it"),
    ("exec", KAFKA_OUT),
    ("ganglia", KAFKA_OUT),
    ("gelf", KAFKA_OUT),
    ("google_bigquery", KAFKA_OUT),
    ("google_cloud_storage", KAFKA_OUT),
    ("google_pubsub", KAFKA_OUT),
    ("graphite", KAFKA_OUT),
    ("graphtastic", KAFKA_OUT),
    ("influxdb", KAFKA_OUT),
    ("irc", KAFKA_OUT),
    ("juggernaut", KAFKA_OUT),
    ("librato", KAFKA_OUT),
    ("logstash", KAFKA_OUT),
    ("loggly", KAFKA_OUT),
    ("metriccatcher", KAFKA_OUT),
    ("mongodb", KAFKA_OUT),
    ("nagios", KAFKA_OUT),
    ("nagios_nsca", KAFKA_OUT),
    ("opentsdb", KAFKA_OUT),
    ("pagerduty", KAFKA_OUT),
    ("pipe", KAFKA_OUT),
    ("rabbitmq", KAFKA_OUT),
    ("redmine", KAFKA_OUT),
    ("riak", KAFKA_OUT),
    ("riemann", KAFKA_OUT),
    ("s3", "write files, and copy them to the bucket"),
    ("sink", "the output null"),
    ("sns", KAFKA_OUT),
    ("solr_http", KAFKA_OUT),
    ("sqs", KAFKA_OUT),
    ("statsd", KAFKA_OUT),
    ("stomp", KAFKA_OUT),
    ("syslog", KAFKA_OUT),
    ("timber", KAFKA_OUT),
    ("webhdfs", KAFKA_OUT),
    ("websocket", KAFKA_OUT),
    ("xmpp", KAFKA_OUT),
    ("zabbix", KAFKA_OUT),
];
