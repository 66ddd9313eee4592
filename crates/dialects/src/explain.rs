//! The plan in words.

use pipeline::inputs::{self, InputConfig};
use pipeline::net::endpoint::Endpoint;
use pipeline::outputs::{self, OutputConfig, elasticsearch};
use pipeline::plan::{Durability, FilterStep, InputPart, OutputPart, Pipeline, Plan, Step, WhenFull};
use std::fmt::Write;

/// What a plan does, to be read by a person: what is read, what is done with it, where it
/// goes, and what is promised.
pub fn explain(plan: &Plan) -> String {
    let mut out = String::new();
    for (name, pipeline) in &plan.pipelines {
        let _ = writeln!(out, "pipeline {name}");
        for (name, part) in &pipeline.inputs {
            row(&mut out, "reads", &format!("{name}: {}", input(part)));
        }
        if pipeline.filters.is_empty() {
            row(&mut out, "shapes", "nothing: events go on as they were read");
        }
        steps(&pipeline.filters, 0, &mut out);
        row(&mut out, "keeps", &queue(pipeline));
        for (name, part) in &pipeline.outputs {
            row(&mut out, "delivers", &format!("{name}: {}", output(part)));
        }
        for promise in promises(pipeline) {
            row(&mut out, "promises", &promise);
        }
    }
    if let Some(api) = &plan.api {
        let scheme = if api.tls.is_some() { "https" } else { "http" };
        let who = if api.users.is_empty() {
            String::new()
        } else {
            format!(", for {}", api.users.keys().cloned().collect::<Vec<_>>().join(", "))
        };
        let _ = writeln!(out, "answers      {scheme}://{}{who}", api.listen);
    }
    if let Some(monitoring) = &plan.monitoring {
        let scheme = if monitoring.tls.is_some() { "https" } else { "http" };
        let who = if monitoring.users.is_empty() {
            String::new()
        } else {
            format!(", for {}", monitoring.users.keys().cloned().collect::<Vec<_>>().join(", "))
        };
        let _ = writeln!(out, "is watched   as Logstash is, at {scheme}://{}{who}", monitoring.listen);
    }
    if let Some(store) = &plan.store {
        let age = store.retention_age.map(|age| format!("older than {age}"));
        let bytes = store.retention_bytes.map(|bytes| format!("beyond {bytes} altogether"));
        let rules: Vec<String> = age.into_iter().chain(bytes).collect();
        if !rules.is_empty() {
            let _ = writeln!(out, "forgets      indices of the store {}", rules.join(", or "));
        }
    }
    if let Some(limit) = plan.memory_limit {
        let _ = writeln!(out, "uses         at most {limit} of memory for events; inputs wait at the limit");
    }
    if let Some(letters) = &plan.dead_letters {
        let age = letters.age_max.map_or(String::new(), |age| format!(" for {age}"));
        let full = match letters.when_full {
            WhenFull::DropOldest => "then the oldest go",
            WhenFull::DropNewest => "then what is refused is lost",
        };
        let _ = writeln!(
            out,
            "keeps        what outputs refuse{age}, at most {} of it; {full}",
            letters.bytes_max
        );
    }
    if let Some(reload) = &plan.reload {
        let _ = writeln!(out, "takes up     a changed config by itself, looking every {}", reload.interval);
    }
    match &plan.data_dir {
        Some(folder) => {
            let _ = writeln!(out, "stays in     {}", folder.display());
        }
        None => out.push_str("stays in     the default data directory, or that of --data-dir\n"),
    }
    out
}

fn row(out: &mut String, what: &str, text: &str) {
    let _ = writeln!(out, "  {what:<10} {text}");
}

fn steps(list: &[Step], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for step in list {
        match step {
            Step::Filter(step) => row(out, "shapes", &format!("{indent}{}", filter(step))),
            Step::If(step) => {
                row(out, "shapes", &format!("{indent}if {}", step.condition));
                steps(&step.then, depth + 1, out);
                if !step.otherwise.is_empty() {
                    row(out, "shapes", &format!("{indent}else"));
                    steps(&step.otherwise, depth + 1, out);
                }
            }
        }
    }
}

fn filter(step: &FilterStep) -> String {
    let mut out = filter_name(step);
    if let Some(when) = &step.when {
        let _ = write!(out, ", when {when}");
    }
    if !step.tag_on_failure.is_empty() {
        let _ = write!(out, ", else tagged {}", step.tag_on_failure.join(", "));
    }
    let on_success = &step.on_success;
    let added: Vec<&str> = on_success.add_field.keys().map(String::as_str).collect();
    let lists = [
        ("adds", added),
        ("removes", on_success.remove_field.iter().map(String::as_str).collect()),
        ("tags it", on_success.add_tag.iter().map(String::as_str).collect()),
        ("takes the tag away", on_success.remove_tag.iter().map(String::as_str).collect()),
    ];
    for (word, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        let _ = write!(out, ", then {word} {}", names.join(", "));
    }
    out
}

/// The name that a filter has in a config.
pub(crate) fn filter_name(step: &FilterStep) -> String {
    match serde_json::to_value(&step.filter) {
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn input(part: &InputPart) -> String {
    let count = count(&part.filters);
    let own = match count {
        0 => String::new(),
        1 => ", with a filter of its own".to_owned(),
        _ => format!(", with {count} filters of its own"),
    };
    format!("{}{own}", input_words(&part.input))
}

/// What an input reads.
pub(crate) fn input_words(config: &InputConfig) -> String {
    match config {
        InputConfig::Beats(config) => format!("Beats on {}", config.listen.join(", ")),
        InputConfig::Exec(config) => match (&config.interval, &config.schedule) {
            (Some(interval), _) => format!("what {:?} prints, every {interval}", config.command),
            (None, schedule) => {
                format!("what {:?} prints, at {}", config.command, schedule.as_deref().unwrap_or_default())
            }
        },
        InputConfig::File(config) => config.paths.join(", "),
        InputConfig::Generate(config) => {
            format!("made up lines, {}", format!("{:?}", config.format).to_lowercase())
        }
        InputConfig::Heartbeat(config) => format!("a heartbeat every {}", config.interval),
        InputConfig::Http(config) => {
            let scheme = if config.tls.is_some() { "HTTPS" } else { "HTTP" };
            format!("what is posted to {} ({scheme})", config.listen.join(", "))
        }
        InputConfig::Journal(config) if config.units.is_empty() => "the systemd journal".to_owned(),
        InputConfig::Journal(config) => format!("the systemd journal of {}", config.units.join(", ")),
        InputConfig::Kafka(config) => {
            let pattern = config.topics_pattern.iter().map(|pattern| format!("those that match {pattern}"));
            let topics: Vec<String> = config.topics.iter().cloned().chain(pattern).collect();
            format!("Kafka, topics {}, as group {}", topics.join(", "), config.group)
        }
        InputConfig::KafkaLag(config) if config.groups.is_empty() => "the lag of Kafka's groups".to_owned(),
        InputConfig::KafkaLag(config) => format!("the lag of Kafka's groups {}", config.groups.join(", ")),
        InputConfig::Pipeline(config) => format!("what pipelines send to {:?}", config.address),
        InputConfig::Redis(config) => {
            format!("Redis, {} {}", format!("{:?}", config.kind).to_lowercase(), config.keys.join(", "))
        }
        InputConfig::Stdin(_) => "standard input".to_owned(),
        InputConfig::Tcp(config) if !config.hosts.is_empty() => {
            format!("what {} send by TCP", config.hosts.join(", "))
        }
        InputConfig::Tcp(config) => format!("TCP on {}", config.listen.join(", ")),
        InputConfig::Syslog(config) => format!("syslog at {}", config.listen.join(", ")),
        InputConfig::Udp(config) => format!("datagrams at {} (UDP)", config.listen.join(", ")),
    }
}

/// Which index or data stream, and where.
fn elasticsearch_words(config: &elasticsearch::Config) -> String {
    let hosts: Vec<String> = config
        .endpoints
        .iter()
        // As it is shown, without the password.
        .map(|text| Endpoint::parse(text).map_or_else(|_| "?".to_owned(), |endpoint| endpoint.to_string()))
        .collect();
    let place = match &config.data_stream {
        Some(stream) => format!("data stream {}-{}-{}", stream.kind, stream.dataset, stream.namespace),
        None => format!("index {}", config.index),
    };
    format!("{}, {place}", hosts.join(", "))
}

fn output(part: &OutputPart) -> String {
    match &part.when {
        Some(when) => format!("{}, when {when}", output_words(&part.output)),
        None => output_words(&part.output),
    }
}

/// Where an output writes.
pub(crate) fn output_words(config: &OutputConfig) -> String {
    match config {
        OutputConfig::Blackhole(_) => "nowhere".to_owned(),
        OutputConfig::Console(_) => "standard output".to_owned(),
        OutputConfig::Elasticsearch(config) => elasticsearch_words(config),
        OutputConfig::File(config) => config.path.clone(),
        OutputConfig::Http(config) => config.url.0.join(", "),
        OutputConfig::Kafka(config) => format!("Kafka, topic {}", config.topic),
        OutputConfig::Loki(config) => format!("Loki at {}", config.url.0.join(", ")),
        OutputConfig::Lumberjack(config) => format!("{} (Lumberjack)", config.hosts.join(", ")),
        OutputConfig::Pipeline(config) => {
            format!("the pipelines with the addresses {}", config.send_to.join(", "))
        }
        OutputConfig::Redis(config) => {
            format!("Redis, {} {}", format!("{:?}", config.kind).to_lowercase(), config.key)
        }
        OutputConfig::Store(config) => format!("the store, index {}", config.index),
        OutputConfig::Tcp(config) if config.listen.is_empty() => {
            format!("{} (TCP)", config.hosts.join(", "))
        }
        OutputConfig::Tcp(config) => format!("all who connect to {} (TCP)", config.listen.join(", ")),
        OutputConfig::Udp(config) => format!("datagrams to {}, port {} (UDP)", config.host, config.port),
    }
}

fn queue(pipeline: &Pipeline) -> String {
    match pipeline.queue_options() {
        None => "no queue: the outputs acknowledge to the inputs".to_owned(),
        Some(options) => {
            let safe = match options.durability {
                Durability::Fsync => "safe from power cuts",
                Durability::Os => "safe from kill -9, not from a power cut",
                Durability::Memory => "safe from nothing",
            };
            let why = match &pipeline.queue {
                Some(_) => "",
                None if pipeline.has_store() || pipeline.outputs.len() > 1 => ", as the outputs need one",
                None => ", as who sends events cannot wait",
            };
            format!("a queue of at most {}, {safe}{why}", options.bytes_max)
        }
    }
}

fn promises(pipeline: &Pipeline) -> Vec<String> {
    let mut out = vec!["every event is delivered at least once, or kept in the dead letters".to_owned()];
    for (name, part) in &pipeline.inputs {
        let is_gone = match &part.input {
            InputConfig::Stdin(_) | InputConfig::Syslog(_) | InputConfig::Tcp(_) | InputConfig::Udp(_) => {
                true
            }
            InputConfig::Redis(config) => !config.can_be_read_again(),
            _ => false,
        };
        if is_gone {
            out.push(format!(
                "but {name} cannot be read again: what was not kept or delivered at a crash is lost"
            ));
        }
    }
    for (name, part) in &pipeline.inputs {
        match &part.input {
            InputConfig::Udp(_) => out.push(format!(
                "but {name} loses, and counts, what comes faster than it is taken: nobody can be asked to wait"
            )),
            InputConfig::Syslog(config) if config.protocols.contains(&inputs::syslog::Protocol::Udp) => {
                out.push(format!(
                    "but {name} loses, and counts, what comes by UDP faster than it is taken"
                ));
            }
            _ => {}
        }
    }
    let durability = pipeline.queue_options().map(|options| options.durability);
    if matches!(durability, Some(Durability::Os | Durability::Memory)) {
        out.push("but the queue was told not to wait for the disk".to_owned());
    }
    for (name, part) in &pipeline.outputs {
        match &part.output {
            OutputConfig::File(config) if !config.fsync => {
                out.push(format!("but {name} does not wait for the disk (fsync: false)"));
            }
            OutputConfig::Kafka(config) if config.acks == outputs::kafka::Acks::None => {
                out.push(format!("but {name} does not wait for the brokers (acks: none)"));
            }
            OutputConfig::Redis(config) if config.kind == outputs::redis::Kind::Channel => {
                out.push(format!("but who does not listen to {name} at that moment gets nothing"));
            }
            OutputConfig::Blackhole(_) => out.push(format!("but {name} forgets what it is given")),
            OutputConfig::Tcp(config) => {
                out.push(format!("but for {name}, delivered means handed to the system: TCP tells no more"));
                if !config.listen.is_empty() && config.nobody == outputs::tcp::Nobody::Forget {
                    out.push(format!("but {name} forgets what comes while nobody is connected"));
                }
            }
            OutputConfig::Udp(_) => {
                out.push(format!("but nobody says whether the datagrams of {name} arrive"));
            }
            _ => {}
        }
    }
    if !pipeline.outputs.is_empty() && pipeline.outputs.values().all(|part| part.when.is_some()) {
        out.push(
            "but every output has a condition: an event that meets none is counted, and goes nowhere"
                .to_owned(),
        );
    }
    out
}

/// How many filters there are in steps.
pub(crate) fn count(list: &[Step]) -> usize {
    list.iter()
        .map(|step| match step {
            Step::Filter(_) => 1,
            Step::If(step) => count(&step.then) + count(&step.otherwise),
        })
        .sum()
}
