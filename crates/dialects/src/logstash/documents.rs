//! What comes out of a config of filters: every file in `golden/filters` holds cases, which
//! `golden/filters/README.md` explains. The config is translated, printed and read again, and its
//! chain runs over the events. Databases of addresses are made for it.

use super::tests::{read_all, same_when_printed, toy};
use event::{Batch, Common, Origin, View};
use filters::Provider;
use pipeline::plan::Step;
use pipeline::run::Provide;
use pipeline::run::chain::{Chain, Unwatched};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// The clock of the events: 2026-11-21T12:00:00Z.
const NOW: i64 = 1_795_262_400_000_000_000;

/// A machine in UTC, whose chance is the same each time.
struct Steady(Provide);

impl Provider for Steady {
    fn read(&self, file: &str) -> Result<Arc<[u8]>, String> {
        self.0.read(file)
    }

    fn random(&self) -> Result<[u8; 32], String> {
        Ok([0; 32])
    }
}

/// The steps that a config of filters is, in which `${GEO}` is a folder of databases.
#[track_caller]
fn steps(config: &str, mode: &str, databases: &Path) -> Vec<Step> {
    let text = format!("input {{ stdin {{ }} }}\nfilter {{\n{config}\n}}\noutput {{ null {{ }} }}");
    let settings = format!("pipeline.ecs_compatibility: {mode}\n");
    let mut world = toy();
    world.variables.insert("GEO", databases.to_str().unwrap().to_owned());
    match read_all(&world, &[("logstash.yml", &settings), ("a.conf", &text)]) {
        Ok(translated) => {
            same_when_printed(&translated.plan);
            translated.plan.pipelines["main"].filters.clone()
        }
        Err(problems) => panic!("{}\n{config}", problems[0]),
    }
}

/// The documents that each event becomes.
fn documents(steps: &[Step], events: &[&str]) -> Vec<Vec<String>> {
    let mut chain = Chain::build(steps, "filters", &Steady(Provide::default())).unwrap();
    let mut batch = Batch::new();
    batch.reset(NOW);
    batch.begin_run(Common::none(Origin::default()), 0);
    for (n, event) in events.iter().enumerate() {
        batch.push_json(event.as_bytes(), n as u64).expect(event);
    }
    batch.each(|event| {
        chain.run(event, NOW, &mut Unwatched);
    });
    batch.arrange();
    let mut found = vec![Vec::new(); events.len()];
    for event in batch.events() {
        found[event.position() as usize].push(document(&event));
    }
    found
}

fn document(event: &View<'_>) -> String {
    let mut out = Vec::new();
    event.write_json(&mut out);
    let mut document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    if event.time() == NOW {
        document.as_object_mut().unwrap().shift_remove("@timestamp");
    }
    document.to_string()
}

/// A file with its lines `>` as they are found.
fn found(text: &str, databases: &Path) -> String {
    let mut out = String::new();
    for case in text.split_inclusive('\n').collect::<Vec<_>>().split(|line| line.starts_with("##")).skip(1) {
        let lines: Vec<&str> = case.iter().map(|line| line.trim_end_matches('\n')).collect();
        let events: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("< ")).collect();
        let is_config = |line: &&&str| !line.starts_with(['<', '>']) && !line.starts_with("ecs: ");
        let config: Vec<&str> = lines.iter().filter(is_config).copied().collect();
        let mode = lines.iter().find_map(|line| line.strip_prefix("ecs: ")).unwrap_or("disabled");
        let made = documents(&steps(&config.join("\n"), mode, databases), &events);
        let mut made = made.into_iter();
        out.push_str("##\n");
        for line in lines.iter().filter(|line| !line.starts_with("> ")) {
            let _ = writeln!(out, "{line}");
            if line.starts_with("< ") {
                for document in made.next().unwrap_or_default() {
                    let _ = writeln!(out, "> {document}");
                }
            }
        }
    }
    // The headings, which parted the cases.
    let mut headings = text.lines().filter(|line| line.starts_with("##"));
    out.lines().fold(String::new(), |mut all, line| {
        let line = if line == "##" { headings.next().unwrap_or(line) } else { line };
        let _ = writeln!(all, "{line}");
        all
    })
}

#[test]
fn documents_of_every_filter() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/filters");
    let databases = tempfile::tempdir().unwrap();
    for (name, bytes) in super::mmdb::databases() {
        std::fs::write(databases.path().join(name), bytes).unwrap();
    }
    let mut seen = Vec::new();
    let mut wrong = String::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let mut text = std::fs::read_to_string(&path).unwrap();
        let found = found(&text, databases.path());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &found).unwrap();
            text.clone_from(&found);
        }
        for (line, expected) in found.lines().zip(text.lines()).filter(|(line, expected)| line != expected) {
            let _ = writeln!(wrong, "{}\n  expected {expected}\n  found    {line}", path.display());
        }
        assert!(found == text || !wrong.is_empty(), "{}", path.display());
        seen.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    assert!(wrong.is_empty(), "{wrong}");
    for table in super::plugins::filters::TABLES {
        assert!(seen.iter().any(|name| name == table.name), "no documents of {}", table.name);
    }
}
