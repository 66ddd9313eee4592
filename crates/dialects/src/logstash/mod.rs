//! Logstash: its language, its settings, and what they mean.
//!
//! `parse.rs` reads the language into `tree.rs`, what it says; `translate.rs` makes a pipeline of
//! it by the tables in `plugins`; `settings.rs` reads logstash.yml and pipelines.yml. Which file
//! is what is told by its content. docs/logstash.md lists every option and what becomes of it.
//!
//! Each file of a pipeline is read by itself, in the order of their names, as Logstash does.

mod known;
mod monitoring;
mod options;
mod parse;
mod plugins;
mod settings;
mod translate;
mod tree;
mod variables;
mod vault;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod mmdb;
#[cfg(test)]
mod print;
#[cfg(test)]
mod tests;

use crate::expand::{Machine, World};
use crate::problem::Files;
use crate::tree::{Expand, Kind, Node, Place};
use crate::{Problem, Source, Translated};
use pipeline::plan::Plan;
use settings::Settings;
pub(crate) use translate::literal;
use translate::{Translator, quoting};
use vault::Vault;

/// What the command line says, with the letters that Logstash uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `-f`, `--path.config`: a file, a folder or a pattern.
    pub path_config: Option<String>,
    /// `-e`, `--config.string`: the config itself.
    pub config_string: Option<String>,
    /// `--path.settings`: the folder of logstash.yml and pipelines.yml.
    pub path_settings: Option<String>,
    /// Other settings by their names, such as `pipeline.workers`.
    pub settings: Vec<(String, String)>,
}

/// What a source is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Inputs, filters and outputs.
    Pipeline,
    /// logstash.yml.
    Settings,
    /// pipelines.yml.
    Pipelines,
    /// The values of the Helm chart.
    Values,
}

/// Whether a text is of Logstash, and what of it.
pub(crate) fn role(text: &str) -> Option<Role> {
    for line in text.lines() {
        let starts = |word: &str| line.trim_start().strip_prefix(word).map(str::trim_start);
        if ["input", "filter", "output"]
            .iter()
            .any(|word| starts(word).is_some_and(|rest| rest.starts_with('{')))
        {
            return Some(Role::Pipeline);
        }
        if ["logstashPipeline:", "logstashConfig:"].iter().any(|key| line.starts_with(key)) {
            return Some(Role::Values);
        }
        if line.starts_with("- pipeline.id:")
            || line.starts_with("- path.config:")
            || line.starts_with("- config.string:")
        {
            return Some(Role::Pipelines);
        }
        const SETTINGS: [&str; 11] = [
            "pipeline.",
            "queue.",
            "dead_letter_queue.",
            "dead_letter_queue:",
            "xpack.",
            "path.config",
            "path.queue",
            "config.",
            "api.",
            "node.name",
            "http.host",
        ];
        if SETTINGS.iter().any(|prefix| line.starts_with(prefix)) && line.contains(':') {
            return Some(Role::Settings);
        }
        // The first line that says something decides, when it opens a section over two lines.
        let trimmed = line.trim();
        if ["input", "filter", "output"].contains(&trimmed) {
            return Some(Role::Pipeline);
        }
    }
    None
}

/// Reads sources that are all of Logstash; together they are one plan.
pub(crate) fn read(sources: &[Source]) -> Result<Translated, Vec<Problem>> {
    let mut loader = Loader { sources: sources.to_vec(), ..Loader::new(&Machine) };
    for file in 0..sources.len() {
        loader.source(file);
    }
    loader.finish()
}

/// The plugins that are translated, by the names of their gems: `logstash-filter-grok`.
pub fn plugin_names() -> Vec<String> {
    use tree::SectionKind;
    let kinds = [SectionKind::Filter, SectionKind::Input, SectionKind::Output];
    let name = |kind: SectionKind, own: &str| format!("logstash-{}-{own}", kind.word());
    let mut names: Vec<String> = kinds
        .into_iter()
        .flat_map(|kind| plugins::tables(kind).iter().map(move |table| name(kind, table.name)))
        .collect();
    names.sort_unstable();
    names
}

/// Reads what a command line of Logstash names.
pub fn read_arguments(arguments: &Arguments) -> Result<Translated, Vec<Problem>> {
    read_arguments_in(arguments, &Machine)
}

/// The keystore of a folder of settings: what its logstash.yml names, or `logstash.keystore` in it.
/// Variables in logstash.yml are left as they are, since they may be about to be added.
pub fn keystore_file(folder: &str) -> Result<String, Vec<Problem>> {
    let folder = folder.trim_end_matches('/');
    let path = format!("{folder}/logstash.yml");
    if !Machine.bytes(&path).is_ok_and(|bytes| !bytes.is_empty()) {
        return Ok(default_keystore(folder));
    }
    let whole =
        |message| vec![Problem::of_file(&Source { name: path.clone(), text: String::new() }, message)];
    let sources = [Source { name: path.clone(), text: Machine.file(&path).map_err(whole)? }];
    let mut files = Files { sources: &sources, secrets: Vec::new() };
    let root = crate::tree::read(&mut files, 0, &|_| Ok(None)).map_err(|problem| vec![problem])?;
    let mut settings = Settings::default();
    settings.take(&root, "");
    Ok(settings.get("keystore.file").map_or_else(|| default_keystore(folder), |made| made.value.clone()))
}

/// Where Logstash keeps it unless `keystore.file` says otherwise (`environment.rb`).
fn default_keystore(folder: &str) -> String {
    format!("{folder}/logstash.keystore")
}

fn read_arguments_in(arguments: &Arguments, world: &dyn World) -> Result<Translated, Vec<Problem>> {
    let mut loader = Loader::new(world);
    if let Some(folder) = &arguments.path_settings {
        loader.folder(folder.trim_end_matches('/'), arguments);
    }
    let line =
        arguments.settings.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    let place = loader.add("command line", line);
    for (n, (name, value)) in arguments.settings.iter().enumerate() {
        loader.node.set(name, value, Place { file: place.file, line: n as u32 + 1, column: 1 });
        if let Some(old) = monitoring::old_name(name) {
            loader.node.0.remove(old);
        }
    }
    if let Some(path) = &arguments.path_config {
        loader.node.set("path.config", path, place);
        loader.node.0.remove("config.string");
    }
    if let Some(text) = &arguments.config_string {
        loader.node.set("config.string", text, place);
        if arguments.path_config.is_none() {
            loader.node.0.remove("path.config");
        }
    }
    loader.finish()
}

/// A pipeline before it is translated.
struct Setup {
    settings: Settings,
    /// The numbers of its files.
    files: Vec<usize>,
    place: Place,
}

/// Brings the files together.
struct Loader<'w> {
    world: &'w dyn World,
    sources: Vec<Source>,
    node: Settings,
    setups: Vec<Setup>,
    /// Files of a pipeline that no list names.
    loose: Vec<usize>,
    problems: Vec<Problem>,
    secrets: Vec<crate::problem::SecretSpan>,
    vault: Vault<'w>,
}

impl<'w> Loader<'w> {
    fn new(world: &'w dyn World) -> Self {
        Self {
            world,
            sources: Vec::new(),
            node: Settings::default(),
            setups: Vec::new(),
            loose: Vec::new(),
            problems: Vec::new(),
            secrets: Vec::new(),
            vault: Vault::new(world),
        }
    }

    fn add(&mut self, name: &str, text: String) -> Place {
        self.sources.push(Source { name: name.to_owned(), text });
        Place { file: self.sources.len() as u32 - 1, line: 1, column: 1 }
    }

    fn wrong(&mut self, place: Place, message: String) {
        let files = Files { sources: &self.sources, secrets: self.secrets.clone() };
        let problem = files.problem(place, "", message);
        self.problems.push(problem);
    }

    /// logstash.yml and pipelines.yml of a folder. The command line comes before pipelines.yml.
    fn folder(&mut self, folder: &str, arguments: &Arguments) {
        self.vault.set_file(default_keystore(folder));
        let has_own = arguments.path_config.is_some() || arguments.config_string.is_some();
        for name in ["logstash.yml", "pipelines.yml"] {
            if has_own && name == "pipelines.yml" {
                continue;
            }
            let path = format!("{folder}/{name}");
            match self.world.file(&path) {
                Ok(text) => {
                    let place = self.add(&path, text);
                    let role = if name == "logstash.yml" { Role::Settings } else { Role::Pipelines };
                    self.yaml(place.file as usize, role);
                }
                Err(message) if name == "logstash.yml" => {
                    let place = self.add(&path, String::new());
                    self.wrong(place, message);
                }
                Err(_) => {}
            }
        }
    }

    fn source(&mut self, file: usize) {
        match role(&self.sources[file].text) {
            None | Some(Role::Pipeline) => self.loose.push(file),
            Some(role) => self.yaml(file, role),
        }
    }

    fn yaml(&mut self, file: usize, role: Role) {
        let sources = std::mem::take(&mut self.sources);
        let mut files = Files { sources: &sources, secrets: std::mem::take(&mut self.secrets) };
        // What stands in the chart's values are whole files, which are filled in when they are read.
        let in_values = |_: &str| Ok(None);
        let in_settings = |text: &str| variables::in_yaml(text, &self.vault);
        let expand: Expand<'_> = if role == Role::Values { &in_values } else { &in_settings };
        let root = crate::tree::read(&mut files, file as u32, expand);
        self.secrets = files.secrets;
        self.sources = sources;
        let root = match root {
            Ok(root) => root,
            Err(problem) => return self.problems.push(problem),
        };
        match role {
            Role::Values => self.values(file, &root),
            Role::Pipelines => self.pipelines(&root),
            Role::Settings | Role::Pipeline => {
                self.node.take(&root, "");
                if let Some(made) = self.node.get("keystore.file") {
                    self.vault.set_file(made.value.clone());
                }
            }
        }
    }

    fn pipelines(&mut self, root: &Node) {
        let Kind::List(items) = &root.kind else {
            return self
                .wrong(root.place, "pipelines.yml is a list: each pipeline begins with \"- \"".to_owned());
        };
        for item in items {
            let mut settings = Settings::default();
            settings.take(item, "");
            self.setups.push(Setup { settings, files: Vec::new(), place: item.place });
        }
    }

    /// The chart's values hold whole files as texts.
    fn values(&mut self, file: usize, root: &Node) {
        let name = self.sources[file].name.clone();
        for key in ["logstashConfig", "logstashPipeline"] {
            let Some(node) = root.get(key) else { continue };
            for entry in node.members() {
                let Kind::Str(text) = &entry.value.kind else {
                    self.wrong(entry.value.place, format!("{} is not the text of a file", entry.name));
                    continue;
                };
                let text = entry.value.hidden.clone().unwrap_or_else(|| text.clone());
                let place = self.add(&format!("{name}#{}", entry.name), text);
                match (key, entry.name.as_str()) {
                    (_, "pipelines.yml") => self.yaml(place.file as usize, Role::Pipelines),
                    ("logstashConfig", "logstash.yml") => self.yaml(place.file as usize, Role::Settings),
                    // log4j2.properties and the like say nothing of events.
                    ("logstashConfig", _) => {}
                    _ => self.loose.push(place.file as usize),
                }
            }
        }
    }

    /// The files of a pipeline: `path.config`, or the text itself.
    fn load(&mut self, setup: &mut Setup) {
        if let Some(made) = setup.settings.get("config.string").cloned() {
            let text = with_defaults(&made.value);
            let place = self.add("config.string", text);
            setup.files.push(place.file as usize);
        }
        let Some(made) = setup.settings.get("path.config").cloned() else { return };
        let path = made.value.strip_prefix("file://").unwrap_or(&made.value);
        if path.starts_with("http://") || path.starts_with("https://") {
            return self.wrong(made.place, "a config over HTTP is not fetched; save it to a file".to_owned());
        }
        let mut names = self.world.files(path);
        names.retain(|name| !name.ends_with('~'));
        names.sort();
        if names.is_empty() {
            self.wrong(made.place, format!("no file matches {path:?}"));
        }
        for name in names {
            match self.world.file(&name) {
                Ok(text) => {
                    let place = self.add(&name, text);
                    setup.files.push(place.file as usize);
                }
                Err(message) => self.wrong(made.place, message),
            }
        }
    }

    fn finish(mut self) -> Result<Translated, Vec<Problem>> {
        let start = Place { file: 0, line: 1, column: 1 };
        if self.sources.is_empty() {
            self.add("command line", String::new());
        }
        let mut setups = std::mem::take(&mut self.setups);
        let names_own = self.node.get("path.config").is_some() || self.node.get("config.string").is_some();
        if !self.loose.is_empty() || (setups.is_empty() && names_own) {
            let place = self.loose.first().map_or(start, |file| Place { file: *file as u32, ..start });
            setups.push(Setup {
                settings: Settings::default(),
                files: std::mem::take(&mut self.loose),
                place,
            });
        }
        for setup in &mut setups {
            if setup.files.is_empty() {
                let own = setup.settings.clone();
                let merged = own.over(&self.node);
                setup.settings = Settings(
                    merged
                        .0
                        .into_iter()
                        .filter(|(name, _)| {
                            name == "path.config" || name == "config.string" || own.get(name).is_some()
                        })
                        .collect(),
                );
                self.load(setup);
            }
        }
        self.translate(&setups)
    }

    fn translate(self, setups: &[Setup]) -> Result<Translated, Vec<Problem>> {
        let Self { sources, node, mut problems, mut secrets, vault, .. } = self;
        let mut plan = Plan::default();
        let mut warnings = Vec::new();
        if let Some(made) = node.get("path.data") {
            plan.data_dir = Some(made.value.clone().into());
        }
        // Settings of the whole are judged once, those of a pipeline each.
        let mut is_first = true;
        for setup in setups {
            let mut files = Files { sources: &sources, secrets };
            let settings = setup.settings.over(&node);
            let id = settings.get("pipeline.id").map_or("main", |made| made.value.as_str()).to_owned();
            let mut parsed = Vec::new();
            let escapes = settings.get("config.support_escapes").is_some_and(|made| made.value == "true");
            for file in &setup.files {
                match parse::parse(&mut files, *file as u32, quoting(escapes), &mut warnings) {
                    Ok(config) => parsed.push(config),
                    Err(problem) => problems.push(problem),
                }
            }
            let is_whole = parsed.len() == setup.files.len();
            let mut t = Translator::new(&files, &vault);
            if std::mem::take(&mut is_first) {
                node.judge(&mut t, false);
                plan.reload = node.reload(&mut t);
                plan.monitoring = monitoring::of(&node, &mut t);
            }
            setup.settings.judge(&mut t, true);
            settings.apply(&mut t);
            for config in &mut parsed {
                t.add(config);
            }
            if is_whole && t.problems.is_empty() {
                t.check_whole(setup.place, &id);
            }
            if plan.pipelines.contains_key(&id) {
                t.wrong(setup.place, format!("there are two pipelines with the id {id:?}"));
            }
            if let Some(asked) = t.dead_letters.take() {
                match &plan.dead_letters {
                    Some(first) if *first != asked => t.wrong(
                        setup.place,
                        "the dead letters of all pipelines lie together: give \"dead_letter_queue.*\" once, in logstash.yml",
                    ),
                    _ => plan.dead_letters = Some(asked),
                }
            }
            let Translator { problems: more, warnings: told, pipeline, .. } = t;
            problems.extend(more);
            warnings.extend(told);
            plan.pipelines.insert(id, pipeline);
            secrets = files.secrets;
        }
        if problems.is_empty()
            && let Err(misled) = pipeline::run::bus::order(&plan)
        {
            let of = |setup: &&Setup| {
                let own = setup.settings.get("pipeline.id").map_or("main", |made| made.value.as_str());
                own == misled.pipeline
            };
            let place =
                setups.iter().find(of).map_or(Place { file: 0, line: 1, column: 1 }, |setup| setup.place);
            let part = misled.part.map_or(String::new(), |(what, name)| format!(", {what}.{name}"));
            let message = format!("the pipeline {:?}{part}: {}", misled.pipeline, misled.message);
            let files = Files { sources: &sources, secrets: Vec::new() };
            problems.push(files.problem(place, "", message));
        }
        if setups.is_empty() && problems.is_empty() {
            let files = Files { sources: &sources, secrets: Vec::new() };
            let place = Place { file: 0, line: 1, column: 1 };
            let message =
                "there is no pipeline: name one with \"path.config\" or in pipelines.yml, or give its file";
            problems.push(files.problem(place, "", message));
        }
        let number = |problem: &Problem| sources.iter().position(|source| source.name == problem.file);
        problems.sort_by_key(|problem| (number(problem), problem.line, problem.column));
        problems.dedup();
        warnings.sort_by_key(|problem| (number(problem), problem.line, problem.column));
        warnings.dedup();
        let keystore = vault.used();
        if let Some(keystore) = &keystore {
            for problem in problems.iter_mut().chain(&mut warnings) {
                keystore.hide_in(problem);
            }
        }
        if problems.is_empty() { Ok(Translated { plan, warnings, keystore }) } else { Err(problems) }
    }
}

/// A config that is given as text needs no input and no output: Logstash reads standard input and
/// prints then.
fn with_defaults(text: &str) -> String {
    let has = |section: &str| {
        text.match_indices(section)
            .any(|(at, _)| text[at + section.len()..].trim_start_matches(' ').starts_with('{'))
    };
    let mut out = text.to_owned();
    if !has("input") {
        out.push_str("\ninput { stdin { } }");
    }
    if !has("output") {
        out.push_str("\noutput { stdout { codec => rubydebug } }");
    }
    out
}
