//! Filter `useragent`: defaults of `logstash-filter-useragent` 3.3.

use super::{Native, finished};
use crate::logstash::known::{PluginTable, honoured, no_effect};
use crate::logstash::options::Options;
use crate::logstash::translate::Translator;
use pipeline::plan::Step;

pub(super) const TABLE: PluginTable = PluginTable {
    name: "useragent",
    note: "",
    options: &[&[
        honoured("source", ""),
        honoured("target", "the event; user_agent with ECS"),
        honoured("prefix", ""),
        honoured("regexes", "those of uap-core"),
        no_effect("lru_cache_size", "100000", "each worker remembers 10,000 texts"),
        honoured("ecs_compatibility", "disabled"),
    ]],
};

pub(super) fn translate(t: &mut Translator<'_>, options: &Options) -> Vec<Step> {
    if options.needed(t, "source").is_none() {
        return Vec::new();
    }
    let mut native = Native::new(options);
    native.field(t, "source");
    native.field(t, "target");
    native.names(t);
    native.text(t, "prefix");
    native.text(t, "regexes");
    let step = t.step(native.named("useragent"), options);
    finished(t, options, step, None, "").into_iter().collect()
}
