//! The bodies of the fuzz targets: a function of bytes for each parser and codec.
//!
//! Each one holds the code against an oracle (serde_json, the other engine, the way there and
//! back), or, where there is none, against what its documentation promises; it panics when they
//! differ. libFuzzer drives them (`./dev fuzz`), and so does the test of this crate, on the stable
//! toolchain and for a moment only, so that they cannot rot. The first bytes of an input may say
//! how the others are used.

mod chunk;
pub mod disk;
pub mod event;
pub mod expr;
pub mod filters;
pub mod kafka;
pub mod kafka_client;
pub mod keystore;
pub mod logstash;
pub mod native;
pub mod store;
pub mod web;
pub mod wire;

/// A target: its name, which its folder of seeds and its program bear too, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target there is.
pub const TARGETS: &[Target] = &[
    ("disk_journal", disk::journal),
    ("disk_queue", disk::queue),
    ("disk_registry", disk::registry),
    ("event_json", event::json),
    ("event_path", event::path),
    ("event_record", event::record),
    ("event_text", event::text),
    ("event_time", event::time),
    ("expr_condition", expr::condition),
    ("expr_template", expr::template),
    ("filters_any", filters::any),
    ("filters_auto", filters::auto),
    ("filters_charset", filters::charset),
    ("filters_date", filters::date),
    ("filters_grok", filters::grok),
    ("filters_grok_text", filters::grok_text),
    ("filters_json", filters::json),
    ("filters_kv", filters::kv),
    ("filters_syslog", filters::syslog),
    ("filters_urldecode", filters::urldecode),
    ("filters_useragent", filters::useragent),
    ("filters_xml", filters::xml),
    ("kafka_connection", kafka::connection),
    ("kafka_fetch", kafka_client::fetch),
    ("kafka_group", kafka_client::group),
    ("kafka_producer", kafka_client::producer),
    ("kafka_records", kafka::records),
    ("keystore", keystore::file),
    ("logstash", logstash::config),
    ("native", native::config),
    ("store_doc", store::doc),
    ("web_dates", web::dates),
    ("web_dsl", web::dsl),
    ("web_kql", web::kql),
    ("web_patterns", web::patterns),
    ("web_query_string", web::query_string),
    ("wire_bulk", wire::bulk),
    ("wire_bulk_response", wire::bulk_response),
    ("wire_loki", wire::loki),
    ("wire_lumberjack", wire::lumberjack),
    ("wire_msgpack", wire::msgpack),
    ("wire_proxy", wire::proxy),
    ("wire_resp", wire::resp),
];
