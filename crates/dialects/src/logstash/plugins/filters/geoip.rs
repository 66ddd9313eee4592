//! Filter `geoip`: defaults of `logstash-filter-geoip` 7.3.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "geoip",
    note: "There is no database within logpond; the file of one must be named, and is read when the program starts.",
    options: &[&[
        honoured("source", ""),
        honoured("target", "geoip; with ECS what is around the source"),
        honoured("database", "one within the plugin"),
        no_effect("default_database_type", "City", "the database says what it is"),
        honoured("fields", "[]"),
        no_effect("cache_size", "1000", "a look-up is quick without"),
        honoured("tag_on_failure", "[\"_geoip_lookup_failure\"]"),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    let source = options.needed(t, "source");
    if !options.has("database") {
        let message = format!(
            "{} needs the option \"database\": the file of a MaxMind database such as GeoLite2-City.mmdb, from maxmind.com",
            options.what
        );
        t.wrong(options.place, message);
    }
    if source.is_none() || !options.has("database") {
        return Vec::new();
    }
    let mut native = Native::new(options);
    native.field(t, "source");
    native.field(t, "target");
    native.text(t, "database");
    native.texts(t, "fields");
    native.names(t);
    let step = t.step(native.named("geoip"), options);
    finished(t, options, step, None, "_geoip_lookup_failure").into_iter().collect()
}
