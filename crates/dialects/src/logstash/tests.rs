use super::*;
use pipeline::outputs::OutputConfig;
use pipeline::outputs::elasticsearch::Auth;
use pipeline::plan::{DeadLetterOptions, WhenFull};
use pipeline::units::{Bytes, Time};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// A machine with a few variables and files.
#[derive(Default)]
pub(super) struct Toy {
    pub(super) variables: BTreeMap<&'static str, String>,
    files: BTreeMap<String, String>,
    binaries: BTreeMap<String, Vec<u8>>,
}

impl World for Toy {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("cannot read {path}: it is not there"))
    }
    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        match self.binaries.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.file(path).map(String::into_bytes),
        }
    }
    fn files(&self, pattern: &str) -> Vec<String> {
        let pattern = pattern.trim_end_matches('/');
        let glob =
            globset::GlobBuilder::new(pattern).literal_separator(true).build().unwrap().compile_matcher();
        let is_in = |path: &&String| {
            glob.is_match(path) || path.rsplit_once('/').is_some_and(|(folder, _)| folder == pattern)
        };
        self.files.keys().chain(self.binaries.keys()).filter(is_in).cloned().collect()
    }
}

pub(super) fn toy() -> Toy {
    let variables = [
        ("KAFKA", "kafka-1:9092,kafka-2:9092"),
        ("ES", "es-1:9200"),
        ("ES_URL", "https://es.example.com"),
        ("ES_PASSWORD", "s3cret-word"),
        ("DATA_DIR", "/var/lib/pond"),
        ("CONF_DIR", "/etc/pond"),
    ];
    let variables = variables.map(|(name, value)| (name, value.to_owned())).into();
    Toy { variables, ..Toy::default() }
}

pub(super) fn read_all(world: &Toy, sources: &[(&str, &str)]) -> Result<Translated, Vec<Problem>> {
    let sources: Vec<Source> =
        sources.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect();
    let mut loader = Loader { sources: sources.clone(), ..Loader::new(world) };
    (0..sources.len()).for_each(|file| loader.source(file));
    loader.finish()
}

fn told(result: &Result<Translated, Vec<Problem>>) -> String {
    let mut out = String::new();
    match result {
        Ok(Translated { plan, warnings, .. }) => {
            out.push_str(&crate::print(plan));
            for warning in warnings {
                let _ = writeln!(out, "# warning: {}", warning.to_string().replace('\n', "\n#   "));
            }
        }
        Err(problems) => {
            for problem in problems {
                let _ = writeln!(out, "# error: {}", problem.to_string().replace('\n', "\n#   "));
            }
        }
    }
    out
}

/// The plan printed in our own format is the same plan.
#[track_caller]
pub(super) fn same_when_printed(plan: &Plan) {
    let text = crate::print(plan);
    if text.contains("***") {
        return;
    }
    let again = crate::native::read(&[Source { name: "plan.yaml".into(), text: text.clone() }]);
    match again {
        Ok(again) => assert_eq!(again.plan, *plan, "{text}"),
        Err(problems) => panic!("{}\n{text}", problems[0]),
    }
}

/// Every file in `golden/logstash` has a twin `.plan.yaml`: its plan, warnings and problems.
/// `UPDATE_GOLDEN=1` rewrites the twins; the difference is then reviewed.
#[test]
fn golden() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/logstash");
    let mut world = toy();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".plan.yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            world.files.insert(format!("/etc/pond/{name}"), text);
            names.push(name);
        }
    }
    names.sort();
    assert!(names.len() >= 12);
    for name in names {
        let text = world.files[&format!("/etc/pond/{name}")].clone();
        let result = read_all(&world, &[(&name, &text)]);
        let found = told(&result);
        assert!(!found.contains("s3cret"), "{found}");
        if let Ok(translated) = &result {
            same_when_printed(&translated.plan);
        }
        let twin = folder.join(format!("{name}.plan.yaml"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&twin, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(&twin).unwrap_or_default(), "{name}");
    }
}

#[track_caller]
fn good(text: &str) -> Translated {
    match read_all(&toy(), &[("a.conf", text)]) {
        Ok(translated) => {
            same_when_printed(&translated.plan);
            translated
        }
        Err(problems) => {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// The steps of filters, as JSON.
#[track_caller]
fn filters(filters: &str, expected: serde_json::Value) {
    let text = format!("input {{ stdin {{ }} }} filter {{ {filters} }} output {{ null {{ }} }}");
    let plan = good(&text).plan;
    assert_eq!(serde_json::to_value(&plan.pipelines["main"].filters).unwrap(), expected);
}

#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    let problems = read_all(&toy(), &[("a.conf", text)]).unwrap_err();
    let told: Vec<String> = problems
        .iter()
        .map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
    }
}

#[test]
fn filters_become_steps() {
    use serde_json::json;
    filters(
        r#"if [a] == "b" { drop { } } else if "x" in [tags] { mutate { add_tag => "y" } } else { mutate { remove_field => ["[a][b]", "c.d"] } }"#,
        json!([{"if": "logstash([a] == \"b\")", "then": [{"drop": {}}], "else": [
            {"if": "logstash(\"x\" in [tags])", "then": [
                {"mutate": {}, "tag_on_failure": ["_mutate_error"], "on_success": {"add_tag": ["y"]}}
            ], "else": [
                {"mutate": {}, "tag_on_failure": ["_mutate_error"], "on_success": {"remove_field": ["a.b", "\"c.d\""]}}
            ]}
        ]}]),
    );
    filters(
        r#"date { match => ["[t][at]", "ISO8601", "dd/MMM/yyyy"] target => "[x]" timezone => "Europe/Berlin" add_field => { "at" => "%{+yyyy}" } }"#,
        json!([{"date": {"source": "t.at", "formats": ["ISO8601", "dd/MMM/yyyy"], "target": "x", "timezone": "Europe/Berlin", "locale": "en", "missing_year": "current"},
            "when": "exists(.\"t\".\"at\")", "tag_on_failure": ["_dateparsefailure"], "on_success": {"add_field": {"at": "%{+yyyy}"}}}]),
    );
    filters(
        r#"json { source => "message" skip_on_invalid_json => true } json { source => "message" tag_on_failure => ["a", "b"] }"#,
        json!([
            {"json": {"source": "message", "remove_source": false}, "when": "exists(.\"message\")", "tag_on_failure": ["_jsonparsefailure"]},
            {"json": {"source": "message", "remove_source": false}, "when": "exists(.\"message\")", "tag_on_failure": ["a", "b"]}
        ]),
    );
    filters(
        r#"mutate { rename => { "a" => "[b][c]" } convert => { "n" => "integer" } gsub => ["m", "/", "_", "m", "x(.)", "%{a}\1"] split => { "s" => "," } merge => { "l" => ["x", "y"] } }"#,
        json!([{"mutate": {
            "rename": {"a": "b.c"}, "convert": [{"field": "n", "to": "integer"}],
            "gsub": [{"field": "m", "regex": "/", "with": "_"}, {"field": "m", "regex": "x(.)", "with": "%{a}\\1"}],
            "split": {"s": ","}, "merge": {"l": ["x", "y"]}
        }, "tag_on_failure": ["_mutate_error"]}]),
    );
    // An option that stands twice is one; an array of pairs is a hash; a scalar is a list.
    filters(
        r#"mutate { add_tag => "a" add_tag => ["b"] replace => { "x" => "1" "y" => "2" } replace => { "z" => 3 } }"#,
        json!([{"mutate": {"replace": {"x": "1", "y": "2", "z": "3"}}, "tag_on_failure": ["_mutate_error"], "on_success": {"add_tag": ["a", "b"]}}]),
    );
    filters(
        r#"kv { source => "q" field_split => "&\?" value_split => "=" prefix => "p_" }"#,
        json!([{"kv": {"source": "q", "syntax": "logstash", "field_split": "&\\?", "value_split": "=", "prefix": "p_"},
            "tag_on_failure": ["_kv_filter_error"]}]),
    );
    filters(
        r#"grok { match => ["message", "%{WORD:a}"] overwrite => "a" tag_on_failure => [] }"#,
        json!([{"grok": {"source": "message", "patterns": ["%{WORD:a}"], "append": true, "overwrite": ["a"], "tag_on_timeout": "_groktimeout"}}]),
    );
}

#[test]
fn what_cannot_be_kept_is_told_with_its_place() {
    bad(
        "input { stdin { } } filter { grko { } } output { null { } }",
        &["a.conf:1:30: unknown filter \"grko\"; did you mean \"grok\"?"],
    );
    bad(
        "input { gelf { port => 5044 } }\nfilter { ruby { code => 'x' } zzz { } }\noutput { null { } }",
        &[
            "a.conf:1:9: the input \"gelf\" is not supported yet: bring the events",
            "a.conf:2:10: the filter \"ruby\" is not supported yet: if, mutate",
            "a.conf:2:31: unknown filter \"zzz\"",
        ],
    );
    bad(
        "input { stdin { codec => cef } file { } }\noutput { elasticsearch { host => 'a' sniffing => true proxy => 'p' } }\noutput { elasticsearch { action => 'x' } }",
        &[
            "a.conf:1:26: the codec \"cef\" is not supported for input \"stdin\"",
            "a.conf:1:32: input \"file\" needs the option \"path\"",
            "a.conf:2:26: unknown option \"host\" of output \"elasticsearch\"; did you mean \"hosts\"?",
            "a.conf:2:38: option \"sniffing\" of output \"elasticsearch\" cannot be kept",
            "a.conf:2:55: option \"proxy\" of output \"elasticsearch\" cannot be kept",
            "a.conf:3:10: output \"elasticsearch\": option \"action\"",
        ],
    );
    bad(
        "input { stdin { } }\nfilter {\n  mutate { convert => { 'a' => 'int' } gsub => ['a', 'b'] }\n  if [a] =~ /(/ { drop { } }\n  grok { match => { 'message' => '%{WROD:a}' } }\n}\noutput { null { } }",
        &[
            "a.conf:3:32: unknown type \"int\" of \"convert\"",
            "a.conf:3:48: \"gsub\" takes three texts",
            "a.conf:4:6: not a regular expression",
            "a.conf:5:3: filter \"grok\": no pattern \"WROD\"; the nearest one is \"WORD\"",
        ],
    );
    bad("input { stdin { } }\nfilter { }", &["a.conf:1:1: the pipeline \"main\" has no outputs"]);
    bad("input { if [a] { stdin { } } }\noutput { null { } }", &["a.conf:1:12: an \"if\" around inputs"]);
    bad(
        "input { kafka { topics => '${NO_TOPIC}' } } output { null { } }",
        &["a.conf:1:27: the environment has no NO_TOPIC"],
    );
    bad(
        "input { stdin { } } filter { if [a] == '${NO}' { drop { } } } output { null { } }",
        &["a.conf:1:33: the environment has no NO"],
    );
    bad(
        "input { kafka { security_protocol => SSL ssl_truststore_location => '/x.jks' } } output { null { } }",
        &[
            "a.conf:1:69: option \"ssl_truststore_location\" of input \"kafka\": only a file of PEM can be read",
        ],
    );
    bad(
        "input { stdin { } } output { elasticsearch { index => '%{+QQ}' } }",
        &["a.conf:1:55: no meaning is known of the letter 'Q'"],
    );
}

#[test]
fn secrets_of_the_environment_are_not_told() {
    let text = "input { stdin { } }\noutput { elasticsearch { user => 'u' password => '${ES_PASSWORD}' data_stream => '${ES_PASSWORD}' } }";
    let problems = read_all(&toy(), &[("a.conf", text)]).unwrap_err();
    let told = problems.iter().map(ToString::to_string).collect::<String>();
    assert!(told.contains("data_stream") && !told.contains("s3cret"), "{told}");
}

#[test]
fn outputs_have_the_conditions_around_them() {
    let plan = good(
        "input { stdin { } } output { if [a] { stdout { } if [b] == 1 { null { } } } else if [c] { null { id => 'n' } } else { null { } } }",
    )
    .plan;
    let when = |name: &str| plan.pipelines["main"].outputs[name].when.clone().unwrap();
    assert_eq!(when("stdout"), "logstash([a])");
    assert_eq!(when("null"), "logstash([a] and [b] == 1)");
    assert_eq!(when("n"), "logstash(![a] and [c])");
    assert_eq!(when("null-2"), "logstash(![a] and ![c])");
}

#[test]
fn surprises_are_told() {
    let warnings = good(
        "input { stdin { } }\nfilter { if [a] and [b] and [c] or [d] { drop { } }\n if [x] in ['y'] { drop { } } }\noutput { null { } }",
    )
    .warnings;
    let told: Vec<(usize, usize)> = warnings.iter().map(|warning| (warning.line, warning.column)).collect();
    assert_eq!(told, [(1, 9), (2, 13), (3, 12)]);
    assert!(warnings[0].message.contains("ecs_compatibility"));
    assert!(warnings[1].message.contains("[a] and (([b] and [c]) or [d])"), "{}", warnings[1]);
}

#[test]
fn settings_of_a_folder() {
    let mut world = toy();
    let files = [
        (
            "/s/logstash.yml",
            "path.data: /d\npipeline:\n  workers: 3\n  ecs_compatibility: disabled\nqueue.type: persisted\nqueue.max_bytes: 2gb\nqueue.max_events: 9\nqueue.page_capacity: 1mb\nqueue.drain: true\nhttp.host: 0.0.0.0\nxpack.monitoring.elasticsearch.hosts: [a]\n",
        ),
        (
            "/s/pipelines.yml",
            "- pipeline.id: one\n  path.config: \"/s/one/*.conf\"\n  pipeline.workers: 1\n- pipeline.id: two\n  config.string: \"input { stdin { } }\"\n  queue.type: memory\n",
        ),
        ("/s/one/b.conf", "output { null { } }"),
        ("/s/one/a.conf", "input { generator { count => 5 } }"),
        ("/s/one/c.conf~", "nonsense"),
    ];
    world.files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let arguments = Arguments { path_settings: Some("/s".into()), ..Arguments::default() };
    let Translated { plan, warnings, .. } = read_arguments_in(&arguments, &world).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(plan.data_dir.as_deref(), Some(Path::new("/d")));
    let one = &plan.pipelines["one"];
    assert_eq!((one.workers, one.inputs.len(), one.outputs.len()), (Some(1), 1, 1));
    let queue = one.queue_options().unwrap();
    assert_eq!((queue.bytes_max.0, queue.segment_bytes.0), (2 << 30, 1 << 20));
    assert_eq!((queue.events_max, queue.drain), (9, true));
    let two = &plan.pipelines["two"];
    assert_eq!((two.workers, two.queue.clone()), (Some(3), None));
    assert!(two.outputs.contains_key("stdout"));
    same_when_printed(&plan);

    // The command line comes first.
    let arguments = Arguments {
        path_settings: Some("/s".into()),
        path_config: Some("/s/one".into()),
        settings: vec![("pipeline.workers".into(), "7".into())],
        ..Arguments::default()
    };
    let plan = read_arguments_in(&arguments, &world).unwrap().plan;
    assert_eq!((plan.pipelines.len(), plan.pipelines["main"].workers), (1, Some(7)));
    let arguments = Arguments { config_string: Some("filter { mutate { } }".into()), ..Arguments::default() };
    let plan = read_arguments_in(&arguments, &world).unwrap().plan;
    assert!(plan.pipelines["main"].inputs.contains_key("stdin"));
}

#[test]
fn settings_of_the_dead_letters() {
    #[track_caller]
    fn check(settings: &str, expected: Option<DeadLetterOptions>) {
        let config = "input { stdin { } } output { null { } }";
        let found = read_all(&toy(), &[("logstash.yml", settings), ("a.conf", config)]).unwrap();
        assert_eq!(found.plan.dead_letters, expected);
        same_when_printed(&found.plan);
    }
    let day = Time(Duration::from_secs(86_400));
    check("", None);
    check(
        "dead_letter_queue.max_bytes: 2gb\n",
        Some(DeadLetterOptions { bytes_max: Bytes(2 << 30), age_max: None, when_full: WhenFull::DropNewest }),
    );
    check(
        "dead_letter_queue:\n  storage_policy: drop_older\n  retain.age: 1d\n",
        Some(DeadLetterOptions {
            bytes_max: Bytes(1 << 30),
            age_max: Some(day),
            when_full: WhenFull::DropOldest,
        }),
    );
}

#[test]
fn mistakes_in_settings() {
    #[track_caller]
    fn check(settings: &str, expected: &[&str]) {
        let config = "input { stdin { } } output { null { } }";
        let found = read_all(&toy(), &[("logstash.yml", settings), ("a.conf", config)]);
        let told: Vec<String> = match found {
            Ok(translated) => translated.warnings.iter().map(ToString::to_string).collect(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }
    let ecs = "pipeline.ecs_compatibility: disabled\n";
    check(
        &format!("{ecs}pipeline.wrkers: 2\n"),
        &["logstash.yml:2:18: unknown setting \"pipeline.wrkers\"; did you mean \"pipeline.workers\"?"],
    );
    check(
        &format!("{ecs}queue.type: disk\n"),
        &["logstash.yml:2:13: unknown value \"disk\" of \"queue.type\""],
    );
    check(
        &format!("{ecs}queue.type: persisted\nqueue.max_bytes: much\n"),
        &["logstash.yml:3:18: the setting \"queue.max_bytes\" takes a size"],
    );
    check(
        &format!("{ecs}pipeline.workers: many\n"),
        &["logstash.yml:2:19: the setting \"pipeline.workers\" takes a whole"],
    );
    check(
        &format!("{ecs}xpack.management.enabled: true\n"),
        &["logstash.yml:2:27: the setting \"xpack.management.enabled\" cannot be kept"],
    );
    check(
        &format!("{ecs}dead_letter_queue.max_bytes: lots\ndead_letter_queue.retain.age: old\n"),
        &[
            "logstash.yml:2:30: the setting \"dead_letter_queue.max_bytes\" takes a size",
            "logstash.yml:3:31: the setting \"dead_letter_queue.retain.age\" takes a time",
        ],
    );
    check(
        &format!("{ecs}dead_letter_queue.storage_policy: drop_odd\n"),
        &["logstash.yml:2:35: unknown value \"drop_odd\" of \"dead_letter_queue.storage_policy\""],
    );
    check(
        &format!("{ecs}config.reload.automatic: true\nconfig.reload.interval: often\n"),
        &["logstash.yml:3:25: the setting \"config.reload.interval\" takes a duration"],
    );
    check("pipeline.ecs_compatibility: v9\n", &["logstash.yml:1:29: unknown value \"v9\""]);
}

#[test]
fn files_of_a_folder_are_one_pipeline() {
    let mut world = toy();
    for name in ["app", "event", "gw"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/logstash/{name}-logs.conf"));
        world.files.insert(format!("/c/{name}.conf"), std::fs::read_to_string(path).unwrap());
    }
    let arguments = Arguments { path_config: Some("/c".into()), ..Arguments::default() };
    let plan = read_arguments_in(&arguments, &world).unwrap().plan;
    let main = &plan.pipelines["main"];
    // All filters are for all events: each chain of four stands three times.
    assert_eq!((main.inputs.len(), main.filters.len(), main.outputs.len()), (3, 12, 3));
    assert_eq!(
        main.outputs["elasticsearch-2"].when.as_deref(),
        Some("logstash([kafka_topic] == \"event-logs\")")
    );
}

#[test]
fn escapes_are_a_setting() {
    let config = r#"input { generator { message => "a\tb" count => 1 } } output { null { } }"#;
    let line = |settings: &str| {
        let plan = read_all(&toy(), &[("logstash.yml", settings), ("a.conf", config)]).unwrap().plan;
        serde_json::to_value(&plan.pipelines["main"].inputs["generator"]).unwrap()["generate"]["lines"][0]
            .clone()
    };
    assert_eq!(line("config.support_escapes: true\n"), "a\tb");
    assert_eq!(line("config.support_escapes: false\n"), "a\\tb");
}

#[test]
fn the_values_of_the_chart() {
    let values = "replicas: 3\nlogstashConfig:\n  logstash.yml: |\n    http.host: 0.0.0.0\n    pipeline.workers: 2\n  log4j2.properties: |\n    x = y\nlogstashPipeline:\n  b.conf: |\n    output { null { } }\n  a.conf: |\n    input { stdin { codec => json } }\n";
    let plan = read_all(&toy(), &[("values.yaml", values)]).unwrap().plan;
    let main = &plan.pipelines["main"];
    assert_eq!((main.workers, main.inputs.len(), main.outputs.len()), (Some(2), 1, 1));
    let problems = read_all(&toy(), &[("values.yaml", &values.replace("null", "nul"))]).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .starts_with("values.yaml#b.conf:1:10: unknown output \"nul\"; did you mean \"null\"?")
    );
}

#[test]
fn what_filters_cannot_keep() {
    #[track_caller]
    fn filter(config: &str, expected: &[&str]) {
        let text = format!("input {{ stdin {{ }} }}\nfilter {{ {config} }}\noutput {{ null {{ }} }}");
        bad(&text, expected);
    }
    filter(
        "geoip { source => 'ip' }",
        &["a.conf:2:10: filter \"geoip\" needs the option \"database\": the file of a"],
    );
    filter("clone { }", &["a.conf:2:10: filter \"clone\" needs the option \"clones\""]);
    filter("throttle { after_count => 1 }", &["a.conf:2:10: filter \"throttle\" needs the option \"key\""]);
    filter(
        "throttle { key => 'a' after_count => 1 max_counters => -1 }",
        &["a.conf:2:65: \"max_counters\" needs a bound"],
    );
    filter(
        "fingerprint { method => 'IPV4_NETWORK' key => 'x' }",
        &["a.conf:2:56: IPV4_NETWORK needs the length"],
    );
    filter("fingerprint { method => 'SHA' }", &["a.conf:2:34: unknown value \"SHA\" of \"method\""]);
    filter(
        "translate { field => 'a' source => 'b' dictionary => { 'x' => 'y' } }",
        &["a.conf:2:31: \"field\" is the old name of \"source\""],
    );
    filter(
        "dissect { mapping => { 'm' => '%{+&a}' } }",
        &["a.conf:2:31: filter \"dissect\": %{+&a} has both"],
    );
    filter(
        "dissect { convert_datatype => { 'm' => 'integer' } }",
        &["a.conf:2:49: unknown type \"integer\""],
    );
    filter(
        "date { match => ['t', 'UNIX'] locale => 'ja' }",
        &["a.conf:2:50: filter \"date\": names can be read in en"],
    );
    filter("kv { field_split_pattern => '(' }", &["a.conf:2:38: filter \"kv\": not a regular expression"]);
    filter("drop { percentage => 200 }", &["a.conf:2:31: filter \"drop\": 200 is not between"]);
    filter(
        "xml { source => 'm' target => 't' parse_options => 'loose' }",
        &["a.conf:2:61: unknown value \"loose\""],
    );
    filter("sleep { }", &["a.conf:2:10: filter \"sleep\": needs a number of seconds"]);
    filter("truncate { }", &["a.conf:2:10: filter \"truncate\": needs the number of bytes"]);
}

const SMALL: &str = "input { stdin { } } output { null { } }";

#[test]
fn settings_of_the_api() {
    #[track_caller]
    fn check(settings: &str, expected: Option<(&str, Option<&str>)>) {
        let settings = format!("pipeline.workers: 1\n{settings}");
        let found = read_all(&toy(), &[("logstash.yml", &settings), ("a.conf", SMALL)]).unwrap();
        let own = found.plan.monitoring.as_ref().map(|own| (own.listen.to_string(), own.name.clone()));
        let expected = expected.map(|(listen, name)| (listen.to_owned(), name.map(str::to_owned)));
        assert_eq!(own, expected);
        same_when_printed(&found.plan);
    }
    check("", Some(("127.0.0.1:9600-9700", None)));
    check("api.enabled: false", None);
    check("http.enabled: false", None);
    check("api.http.host: 0.0.0.0\nnode.name: n", Some(("0.0.0.0:9600-9700", Some("n"))));
    check("api.http.host: '::1'\napi.http.port: 9601", Some(("[::1]:9601", None)));
    check("http.host: 10.0.0.1\nhttp.port: 9700-9710", Some(("10.0.0.1:9700-9710", None)));

    let arguments = Arguments {
        config_string: Some(SMALL.into()),
        path_settings: Some("/s".into()),
        settings: vec![("api.http.port".into(), "1-2".into())],
        ..Arguments::default()
    };
    let mut world = toy();
    world.files = [("/s/logstash.yml".to_owned(), "http.port: 3\nhttp.host: h\n".to_owned())].into();
    let plan = read_arguments_in(&arguments, &world).unwrap().plan;
    assert_eq!(plan.monitoring.unwrap().listen.to_string(), "h:1-2", "the command line comes first");
}

#[test]
fn who_may_use_the_api() {
    const AUTH: &str = "api.auth.type: basic\napi.auth.basic.username: ann\napi.auth.basic.password: ";
    #[track_caller]
    fn check(settings: &str, expected: Result<(&str, &str), &str>) {
        let found = read_all(&toy(), &[("logstash.yml", settings), ("a.conf", SMALL)]);
        let told =
            |problems: &[Problem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match (found, expected) {
            (Ok(found), Ok((host, warning))) => {
                let own = found.plan.monitoring.unwrap();
                assert_eq!((own.listen.host.as_str(), own.users.len()), (host, 1));
                assert_eq!(told(&found.warnings).contains("lacks"), !warning.is_empty());
                assert!(told(&found.warnings).contains(warning), "{}", told(&found.warnings));
                let is_told = ["words-words", "Pa55"].iter().any(|word| told(&found.warnings).contains(word));
                assert!(!is_told, "the password is told: {}", told(&found.warnings));
            }
            (Err(problems), Err(reason)) => {
                assert!(told(&problems).contains(reason), "{}", told(&problems));
                assert!(!told(&problems).contains("Pa55"), "the password is told");
            }
            (found, _) => panic!("{settings}: {found:?}"),
        }
    }
    let with = |password: &str, more: &str| format!("{AUTH}{password}\n{more}");
    let policy = "api.auth.basic.password_policy";
    check(&with("Pa55-words", ""), Ok(("127.0.0.1", "")));
    check(&with("words-words", ""), Ok(("127.0.0.1", "lacks an upper case letter, a digit")));
    check(&with("Pa55", ""), Ok(("127.0.0.1", "lacks a length of 8")));
    let strict = format!("{policy}.mode: ERROR\n{policy}.include.symbol: REQUIRED");
    check(&with("Pa55-words", &strict), Ok(("127.0.0.1", "")));
    check(&with("Pa55words", &strict), Err("lacks a symbol"));
    check(
        &with("Pa55words", &format!("{policy}.length.minimum: 12\n{policy}.mode: error")),
        Err("lacks a length of 12"),
    );
    check(&with("Pa55words", &format!("{policy}.length.minimum: 4")), Err("is between 8 and 1024"));
    check(&with("Pa55words", &format!("{policy}.mode: LOUD")), Err("unknown value \"LOUD\""));
    check(&with("Pa55words", "api.ssl.enabled: true"), Err("needs certificate and key as PEM files"));
    check(
        &with("Pa55words", "api.ssl.keystore.path: /k.jks"),
        Err("\"api.ssl.keystore.path\" cannot be kept"),
    );
    let pem = "api.ssl.enabled: true\napi.ssl.certificate: /c\napi.ssl.key: /k";
    check(&with("Pa55words", pem), Ok(("0.0.0.0", "")));
    check(&with("Pa55words", &format!("{pem}\napi.http.host: localhost")), Ok(("localhost", "")));
    check("api.auth.type: basic", Err("needs \"api.auth.basic.username\""));
    check("api.auth.type: digest", Err("unknown value \"digest\""));
    check("api.http.port: 9700-9600", Err("takes a port or a range of ports"));
    check("api.http.host: a\nhttp.host: b", Err("give one of them"));
}

#[test]
fn filters_keep_their_ids() {
    let plan = good(
        "input { stdin { } } filter { mutate { id => 'first' rename => { 'a' => 'b' } add_tag => 'x' } drop { } }\noutput { null { } }",
    )
    .plan;
    let ids = plan.pipelines["main"].filters.iter().filter_map(|step| match step {
        pipeline::plan::Step::Filter(step) => Some(step.id.as_deref()),
        pipeline::plan::Step::If(_) => None,
    });
    let ids: Vec<_> = ids.collect();
    assert!(ids.contains(&Some("first")) && ids.contains(&None), "{ids:?}");
    same_when_printed(&plan);
}

/// A folder of settings with a keystore that Java made, of the names `es_pwd` and `kafka.user`.
fn with_keystore(name: &str, password: Option<&'static str>, conf: &str) -> Toy {
    let mut world = toy();
    world.variables.insert("es_pwd", "from-the-environment".to_owned());
    world.variables.extend(password.map(|password| ("LOGSTASH_KEYSTORE_PASS", password.to_owned())));
    let path = format!("{}/../keystore/testdata/{name}.keystore", env!("CARGO_MANIFEST_DIR"));
    world.binaries.insert("/s/logstash.keystore".to_owned(), std::fs::read(path).unwrap());
    let files = [
        ("/s/logstash.yml", "path.data: /data/${kafka.user}\n"),
        ("/s/pipelines.yml", "- pipeline.id: a${KAFKA.USER}\n  path.config: /s/main.conf\n"),
        ("/s/main.conf", conf),
    ];
    world.files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    world
}

fn settings() -> Arguments {
    Arguments { path_settings: Some("/s".into()), ..Arguments::default() }
}

const WITH_SECRETS: &str = r#"input { stdin { } } output { elasticsearch { hosts => ["http://${KAFKA.USER}:9200"] user => "a${NONE:b}" password => "${ES_PWD}" } }"#;

#[test]
fn the_keystore_comes_before_the_environment() {
    #[track_caller]
    fn check(name: &str, password: Option<&'static str>) {
        let read = read_arguments_in(&settings(), &with_keystore(name, password, WITH_SECRETS)).unwrap();
        assert_eq!(read.plan.data_dir.as_deref(), Some(Path::new("/data/pond")));
        let OutputConfig::Elasticsearch(output) =
            &read.plan.pipelines["apond"].outputs["elasticsearch"].output
        else {
            panic!("another output");
        };
        assert_eq!(output.endpoints, ["http://pond:9200"]);
        let Some(Auth::Basic(basic)) = &output.auth else { panic!("another way to sign in") };
        let password = basic.password.as_ref().map(|password| password.expose());
        assert_eq!((basic.user.as_str(), password), ("ab", Some("s3cret & \"word\"")));
        let keystore = read.keystore.unwrap();
        assert_eq!(keystore.file, "/s/logstash.keystore");
        assert_eq!(keystore.names.keys().collect::<Vec<_>>(), ["es_pwd", "kafka.user"]);
    }
    check("default", None);
    check("password", Some("changeme"));
    check("legacy", Some("changeme"));
}

#[test]
fn what_is_in_no_keystore_is_in_the_environment() {
    let world =
        with_keystore("default", None, "input { stdin { } } output { file { path => \"${DATA_DIR}/x\" } }");
    assert!(told(&read_arguments_in(&settings(), &world)).contains("/var/lib/pond/x"));
    let world = with_keystore("default", None, "output { file { path => \"${NOWHERE}\" } }");
    let told = told(&read_arguments_in(&settings(), &world));
    assert!(
        told.contains("neither the keystore /s/logstash.keystore nor the environment has NOWHERE"),
        "{told}"
    );
}

#[test]
fn another_keystore_can_be_named() {
    let mut world = with_keystore("default", None, WITH_SECRETS);
    let bytes = world.binaries.remove("/s/logstash.keystore").unwrap();
    world.binaries.insert("/k/own".to_owned(), bytes);
    world.files.insert("/s/logstash.yml".to_owned(), "keystore.file: /k/own\n".to_owned());
    let read = read_arguments_in(&settings(), &world).unwrap();
    assert_eq!(read.keystore.unwrap().file, "/k/own");
    assert!(!read.warnings.iter().any(|warning| warning.message.contains("keystore")), "{:?}", read.warnings);
    let other = "keystore.file: /k/own\nkeystore.classname: com.example.Own\n";
    world.files.insert("/s/logstash.yml".to_owned(), other.to_owned());
    assert!(told(&read_arguments_in(&settings(), &world)).contains("keystore.classname"));
}

#[test]
fn a_keystore_that_cannot_be_read_stops_what_refers_to_it() {
    #[track_caller]
    fn check(name: &str, password: Option<&'static str>, expected: &str) {
        let told = told(&read_arguments_in(&settings(), &with_keystore(name, password, WITH_SECRETS)));
        assert!(told.contains("the keystore /s/logstash.keystore: ") && told.contains(expected), "{told}");
    }
    check("password", None, "put it into LOGSTASH_KEYSTORE_PASS");
    check("password", Some("wrong"), "LOGSTASH_KEYSTORE_PASS is not its password");
    check("jks", Some("changeme"), "type JKS");
    check("keytool", Some("changeme"), "not one of Logstash");
    // Where nothing refers to it, it is not opened.
    let mut world = with_keystore("jks", None, "input { stdin { } } output { null { } }");
    world.files.insert("/s/logstash.yml".to_owned(), "pipeline.workers: 1\n".to_owned());
    world.files.insert("/s/pipelines.yml".to_owned(), "- path.config: /s/main.conf\n".to_owned());
    assert_eq!(read_arguments_in(&settings(), &world).unwrap().keystore, None);
}

#[test]
fn what_came_from_a_keystore_is_never_told() {
    let confs = [
        WITH_SECRETS.to_owned(),
        // Options that are no secrets, conditions, and what is wrong.
        "input { stdin { type => \"${ES_PWD}\" } } filter { if [a] == \"${ES_PWD}\" { mutate { add_field => { \"b\" => \"x${ES_PWD}%{c}\" } } } } output { file { path => \"/x/${ES_PWD}.log\" } }".to_owned(),
        "input { kafka { bootstrap_servers => \"h:1\" topics => [\"${ES_PWD}\"] decorate_events => \"${ES_PWD}\" } }".to_owned(),
        "filter { grok { match => { \"a\" => \"%{${ES_PWD}}\" } } date { match => [\"t\", \"${ES_PWD}\"] } }".to_owned(),
    ];
    for conf in confs {
        let mut world = with_keystore("default", None, &conf);
        world.files.insert("/s/logstash.yml".to_owned(), "queue.type: ${ES_PWD:x}${none:}\n".to_owned());
        for yaml in [
            "queue.type: ${ES_PWD}\n",
            "queue.max_bytes: ${es_pwd}\nqueue.type: persisted\n",
            "pipeline.workers: 1\n",
        ] {
            world.files.insert("/s/logstash.yml".to_owned(), yaml.to_owned());
            let told = match read_arguments_in(&settings(), &world) {
                Ok(read) => {
                    let keystore = read.keystore.as_ref().unwrap();
                    let mut json = serde_json::to_value(&read.plan).unwrap();
                    keystore.hide_in_json(&mut json);
                    let (print, explain, draw) = (read.print(), read.explain(), read.draw());
                    format!("{print} {explain} {draw} {json} {:?} {keystore:?}", read.warnings)
                }
                Err(problems) => format!("{problems:?}"),
            };
            assert!(!told.contains("s3cr") && !told.contains("apond"), "{told}");
        }
    }
}
