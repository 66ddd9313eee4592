//! docs/logstash.md is printed from the tables; `UPDATE_GOLDEN=1` rewrites it.

use super::known::{Kept, Known, PluginTable};
use super::tree::SectionKind;
use super::{plugins, settings};
use std::fmt::Write;

const HEAD: &str = "# Logstash's configs

logpond runs the configs of Logstash as they are: `logpond run -f PATH`, `-e CONFIG` or
`--path.settings FOLDER` (with logstash.yml and pipelines.yml), or any of these files with `-c`;
the values of the Helm chart (`logstashConfig`, `logstashPipeline`), too. `-t`, `-w`, `-b`, `-r`, `-n`,
`--path.data` and `--api.*` mean what they mean there. The API that Logstash is watched by is there as well,
on port 9600 ([operate.md](operate.md#the-monitoring-api)). `logpond check` explains what a config does, and
`logpond translate` prints it in [our own format](config.md).

The language is whole: sections, plugins, `if` with every operator, codecs, `config.support_escapes`,
`${VAR}` and `${VAR:default}` in values and conditions, `%{field}`, `%{+yyyy.MM.dd}`, `%{{yyyy.MM.dd}}`,
`[@metadata]`. Each file is read by itself, in the order of the names.

`${VAR}` is looked up in Logstash's keystore, then in the environment, in the files of pipelines,
logstash.yml and pipelines.yml: [logstash-keystore.md](logstash-keystore.md).

Conditions have Logstash's rules, also where they surprise, and `check` says so there: `[a] in [\"b\"]`
looks into a field, not an array; `a and b and c or d` is `a and ((b and c) or d)`; text is never
equal to a number. Where the order of two values cannot be said (a field is missing, text against
a number), neither branch is taken, and the event goes on behind the `if`, counted as a failure;
Logstash drops it.

What is kept better than there: an input's positions move when events are delivered or on disk,
with or without a queue; what an output refuses is kept with the reason; with `queue.type: persisted`
every event is on the disk before it counts. The queue stands behind the filters, not before them.

The columns say what becomes of an option: **same** as there; **better**: more is promised;
**nearly**: whoever sets it is told the difference; **no effect**: it is taken, and changes nothing;
**refused**: anything but the default is an error with file and line.
";

fn printed() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("\n## Settings\n\nOf a pipeline, in logstash.yml or pipelines.yml:\n\n");
    table(&mut out, "setting", settings::PIPELINE.iter());
    out.push_str("\nOf the whole, in logstash.yml:\n\n");
    table(&mut out, "setting", settings::NODE.iter());
    let kinds =
        [("Inputs", SectionKind::Input), ("Filters", SectionKind::Filter), ("Outputs", SectionKind::Output)];
    for (title, kind) in kinds {
        let _ = writeln!(out, "\n## {title}\n\nEvery {} has:\n", kind.word());
        table(&mut out, "option", plugins::common(kind));
        for PluginTable { name, note, .. } in plugins::tables(kind) {
            let _ = writeln!(out, "\n### {} {name}\n", kind.word());
            if !note.is_empty() {
                let _ = writeln!(out, "{note}\n");
            }
            if let Some(plugin) = plugins::find(kind, name) {
                table(&mut out, "option", plugin.all());
            }
        }
        let _ = writeln!(out, "\n### Not translated yet\n\n| {} | what to do |\n| --- | --- |", kind.word());
        for (name, way) in plugins::others(kind) {
            let _ = writeln!(out, "| `{name}` | {} |", cell(way));
        }
    }
    out.push_str("\n## Codecs\n\nOf inputs:\n");
    for PluginTable { name, note, options } in plugins::codecs::TABLES {
        let _ = writeln!(out, "\n### codec {name}\n");
        if !note.is_empty() {
            let _ = writeln!(out, "{note}\n");
        }
        table(&mut out, "option", options.iter().copied().flatten());
    }
    out.push_str(
        "\nOf outputs, `plain`, `line`, `json`, `json_lines`, `rubydebug`, `dots`, `csv` and `msgpack`:\n\n",
    );
    table(&mut out, "option", plugins::outputs::CODEC.iter());
    out
}

fn table(out: &mut String, what: &str, known: impl Iterator<Item = &'static Known>) {
    let _ = writeln!(out, "| {what} | default there | kept | |\n| --- | --- | --- | --- |");
    for Known { name, default, kept } in known {
        let (word, note) = match kept {
            Kept::Honoured => ("same", ""),
            Kept::Stronger(how) => ("better", *how),
            Kept::Near(how) => ("nearly", *how),
            Kept::NoEffect(why) => ("no effect", *why),
            Kept::Refused(way) => ("refused", *way),
        };
        let default = if default.is_empty() { String::new() } else { format!("`{}`", cell(default)) };
        let _ = writeln!(out, "| `{name}` | {default} | {word} | {} |", cell(note));
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/logstash.md");
    let printed = printed();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &printed).expect("docs/logstash.md");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == printed,
        "docs/logstash.md is stale; UPDATE_GOLDEN=1 cargo test -p dialects rewrites it"
    );
}

#[test]
fn names_stand_once() {
    for kind in [SectionKind::Input, SectionKind::Filter, SectionKind::Output] {
        let mut names = plugins::names(kind);
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for table in plugins::tables(kind) {
            let mut options: Vec<&str> =
                table.all().chain(plugins::common(kind)).map(|known| known.name).collect();
            options.sort_unstable();
            let count = options.len();
            options.dedup();
            assert_eq!(options.len(), count, "{} of {}", kind.word(), table.name);
        }
    }
}
