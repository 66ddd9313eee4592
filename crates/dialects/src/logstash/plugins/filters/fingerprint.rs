//! Filter `fingerprint`: defaults of `logstash-filter-fingerprint` 3.4.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured};
use crate::logstash::options::Options;
use crate::logstash::translate::{Ecs, Translator};
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "fingerprint",
    note: "",
    options: &[&[
        honoured("source", "message"),
        honoured("target", "fingerprint; [event][hash] with ECS"),
        honoured("method", "SHA1"),
        honoured("key", ""),
        honoured("base64encode", "false"),
        honoured("concatenate_sources", "false"),
        honoured("concatenate_all_fields", "false"),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    const METHODS: [&str; 9] =
        ["SHA1", "SHA256", "SHA384", "SHA512", "MD5", "MURMUR3", "MURMUR3_128", "UUID", "PUNCTUATION"];
    let mut native = Native::new(options);
    // The names are hashed, too, as they are written.
    native.texts(t, "source");
    let mode = t.ecs_of(options);
    native.field(t, "target");
    if mode == Ecs::Schema && !options.has("target") {
        native.set("target", "event.hash");
    }
    if options.text(t, "method").as_deref() == Some("IPV4_NETWORK") {
        native.set("method", "IPV4_NETWORK");
        // What is the key elsewhere is the length of the prefix here.
        let Some(prefix) = options.text(t, "key").and_then(|text| text.parse::<u8>().ok()) else {
            t.wrong(options.place("key"), "IPV4_NETWORK needs the length of the prefix as \"key\"");
            return Vec::new();
        };
        native.set("network_prefix", prefix);
    } else {
        native.word(t, "method", &METHODS);
        native.text(t, "key");
    }
    for name in ["base64encode", "concatenate_sources", "concatenate_all_fields"] {
        native.flag(t, name);
    }
    let step = t.step(native.named("fingerprint"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
