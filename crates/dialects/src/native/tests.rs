use super::*;
use proptest::prelude::*;

fn text(text: &str) -> Result<Translated, Vec<Problem>> {
    read(&[Source { name: "c.yaml".into(), text: text.into() }])
}

#[track_caller]
fn bad(files: &[&str], expected: &[&str]) {
    let sources: Vec<Source> = files
        .iter()
        .zip('a'..)
        .map(|(text, name)| Source { name: format!("{name}.yaml"), text: (*text).to_owned() })
        .collect();
    let problems = read(&sources).unwrap_err();
    let told: Vec<String> = problems
        .iter()
        .map(|problem| problem.to_string().lines().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\nis not\n{expected}");
    }
}

const END: &str = "outputs: {b: {blackhole: {}}}";

#[test]
fn all_problems_of_all_files_are_told() {
    bad(
        &[
            "inputs:\n  a: {fil: {}}\n  b: {stdin: , filters: [jsn, {drop: {x: 1}, when: '.a ='}]}\nqueue: never\n",
            "outputs: {c: {file: {path: /x, codec: raws, fsink: 1}}}\ncolor: red\n",
        ],
        &[
            "a.yaml:2:7: unknown option \"fil\" of input \"a\"; did you mean \"file\"?",
            "a.yaml:3:26: unknown word \"jsn\" for a filter; did you mean \"json\"?",
            "a.yaml:3:39: unknown option \"x\" of filter \"drop\" (there is only percentage)",
            "a.yaml:3:56: not a condition: ",
            "a.yaml:4:8: \"queue\" takes options",
            "b.yaml:1:39: option \"codec\" of output \"file\": unknown value \"raws\"; did you mean \"raw\"?",
            "b.yaml:1:45: unknown option \"fsink\" of output \"file\"; did you mean \"fsync\"?",
            "b.yaml:2:1: unknown option \"color\" at the top",
        ],
    );
}

#[test]
fn properties_of_other_kafka_clients() {
    let head = "inputs: {a: stdin}\noutputs:\n  k:\n    kafka:\n      brokers: [a:1]\n      topic: t\n      properties:\n";
    bad(
        &[&format!(
            "{head}        linger.ms: soon\n        compresion.type: lz4\n        sasl.jaas.config: 'x geheim'\n        ssl.ca.location: /ca.pem\n"
        )],
        &[
            "a.yaml:8:9: property \"security.protocol\": it is missing",
            "a.yaml:8:20: property \"linger.ms\": \"soon\" is no number of milliseconds",
            "a.yaml:9:26: property \"compresion.type\": neither librdkafka nor Java's client has it, or not as far as is known here; did you mean \"compression.type\"?",
            "a.yaml:10:27: property \"sasl.jaas.config\": only PlainLoginModule and ScramLoginModule are understood",
        ],
    );
    let good = format!(
        "{head}        retries: 3\n        message.max.bytes: 2.097152e+06\n        enable.idempotence: true\n"
    );
    let config = text(&good).unwrap();
    let warned: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].starts_with("c.yaml:8:18: property \"retries\": it has no effect: what fails"),
        "{warned:?}"
    );
    let secret = format!(
        "{head}        sasl.jaas.config: 'a.PlainLoginModule required username=\"u\" password=\"geheim\";'\n        security.protocol: SASL_PLAINTEXT\n"
    );
    assert!(!crate::print(&text(&secret).unwrap().plan).contains("geheim"));
}

#[test]
fn patterns_and_formats_of_times() {
    let filters =
        "filters:\n  - grok: {patterns: '%{WORD:a}'}\n  - date: {source: a, formats: [ISO8601, 'dd/MMM']}\n";
    assert!(text(&format!("inputs: {{a: stdin}}\n{END}\n{filters}")).is_ok());
    bad(
        &[&format!(
            "inputs: {{a: stdin}}\nfilters:\n  - grok: {{patterns: ['%{{WROD}}']}}\n  - date: {{source: a, formats: G}}\n{END}"
        )],
        &[
            "a.yaml:3:23: option \"patterns\" of filter \"grok\": no pattern \"WROD\"; the nearest one is \"WORD\"",
            "a.yaml:4:32: option \"formats\" of filter \"date\": no meaning is known of the letter G",
        ],
    );
}

#[test]
fn files_are_one_plan_and_a_name_stands_once() {
    let sources = |texts: [&str; 2]| texts.map(|text| Source { name: "x".into(), text: text.into() });
    let plan = read(&sources(["inputs: {a: {stdin: {}}}", END])).unwrap().plan;
    assert_eq!((plan.pipelines["main"].inputs.len(), plan.pipelines["main"].outputs.len()), (1, 1));
    let named = "pipelines: {main: {inputs: {a: stdin}}}";
    assert_eq!(read(&sources([named, END])).unwrap().plan, plan);
    bad(
        &["inputs: {a: stdin}\ndata_dir: /a", "inputs: {a: journal}\ndata_dir: /b\noutputs: {b: blackhole}"],
        &[
            "b.yaml:1:10: \"a\" is there already, at a.yaml:1:10",
            "b.yaml:2:1: \"data_dir\" is there already, at a.yaml:2:1",
        ],
    );
}

#[test]
fn plans_that_cannot_work() {
    bad(&["inputs: {a: stdin}"], &["a.yaml:1:1: the pipeline \"main\" has no outputs"]);
    bad(&["inputs: {a: stdin}\noutputs: {}"], &["a.yaml:2:1: the pipeline \"main\" has no outputs"]);
    bad(&[""], &["a.yaml:1:1: there is nothing to run"]);
    bad(&["inputs: ["], &["a.yaml:"]);
    bad(&["- a"], &["a.yaml:1:1: expected \"inputs\""]);
    bad(&[&format!("inputs: {{../a: stdin}}\n{END}")], &["a.yaml:1:10: \"../a\" cannot name an input"]);
    bad(
        &[&format!("inputs: {{a: stdin, b: stdin}}\n{END}")],
        &["a.yaml:1:20: standard input can be read by one"],
    );
    bad(
        &[&format!("inputs: {{a: {{file: {{}}}}}}\n{END}")],
        &["a.yaml:1:20: input \"file\" needs at least one path"],
    );
    bad(
        &[&format!("inputs: {{a: {{file: {{paths: ['/x/[a']}}}}}}\n{END}")],
        &["a.yaml:1:29: option \"paths\" of input \"file\": not a pattern of files"],
    );
    bad(
        &[&format!(
            "inputs: {{a: {{file: {{paths: [/x], multiline: {{pattern: '(', match: after}}}}}}}}\n{END}"
        )],
        &[
            "a.yaml:1:55: option \"multiline.pattern\" of input \"file\": not a regular expression: unclosed group",
        ],
    );
    bad(
        &["queue: none\ninputs: {a: stdin}\noutputs: {b: store}"],
        &["a.yaml:1:1: the store is always behind a queue"],
    );
    bad(&[&format!("workers: 0\ninputs: {{a: stdin}}\n{END}")], &["a.yaml:1:10: \"workers\" is at least 1"]);
    let many: String = (0..64).map(|n| format!("  o{n}: blackhole\n")).collect();
    bad(
        &[&format!("inputs: {{a: stdin}}\noutputs:\n{many}")],
        &["a.yaml:2:1: a pipeline has at most 63 outputs"],
    );
    bad(
        &[&format!("inputs: {{a: stdin}}\nfilters: [{{set: {{fields: {{'a..b': 1}}}}}}]\n{END}")],
        &["a.yaml:2:"],
    );
}

#[test]
fn the_api_is_closed_to_other_machines() {
    let api = |options: &str| format!("api: {options}\ninputs: {{a: stdin}}\n{END}");
    bad(
        &[&api("{listen: '0.0.0.0:9200'}")],
        &[
            "a.yaml:1:15: \"0.0.0.0:9200\" can be reached from other machines, but \"tls\" and \"users\" are missing",
        ],
    );
    bad(
        &[&api("{listen: 'logs:9200', users: {ann: hunter2}}")],
        &["a.yaml:1:15: \"logs:9200\" can be reached from other machines, but \"tls\" is missing"],
    );
    bad(
        &[&api("{listen: ':9200', tls: {cert: /c, key: /k}}")],
        &["a.yaml:1:15: \":9200\" can be reached from other machines, but \"users\" is missing"],
    );
    assert!(text(&api("{listen: '0.0.0.0:9200', users: {ann: hunter2}, tls: {cert: /c, key: /k}}")).is_ok());
    for listen in ["127.0.0.1:1", "[::1]:1", "localhost:1"] {
        assert!(text(&api(&format!("{{listen: '{listen}'}}"))).is_ok(), "{listen}");
    }
}

#[test]
fn secrets_are_never_told() {
    struct Toy;
    impl World for Toy {
        fn files(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
        fn variable(&self, _: &str) -> Option<String> {
            Some("hunter2".to_owned())
        }
        fn file(&self, _: &str) -> Result<String, String> {
            Ok("hunter2\n".to_owned())
        }
    }
    for yaml in [
        "api: {listn: x, users: {a: hunter2}}",
        "api: {users: {a: 'hunter2', b: [hunter2]}}",
        "api: {users: hunter2}",
        "api:\n  users:\n    a: |\n      hunter2\n    b: {",
        "api:\n  users:\n    a: \"hunter2",
        "api: {users: {a: *hunter}} # hunter2",
        "workers: ${X}",
        "queue: {durability: ${X}}",
        "queue: {bytes_max: '${X}'}",
        "queue: ${X}",
        "api: {listen: '${X}'}",
        "inputs: {a: '${X}'}",
        "inputs: ${file:/x}",
        "filters: [{drop: {}, when: '${X} ='}]",
        "filters: [{set: {fields: {a: '%{${X}'}}}]",
        "outputs: {a: {file: {path: '/%{${X}'}}}",
        "inputs: {a: {file: {paths: ['[${X}'], multiline: {pattern: '(${X}', match: after}}}}",
    ] {
        let sources = [Source { name: "c.yaml".into(), text: yaml.into() }];
        let problems = read_in(&sources, &Toy).unwrap_err();
        let told = format!("{problems:?} {}", serde_json::to_string(&problems).unwrap());
        assert!(!told.contains("hunter2"), "{yaml}\n{told}");
    }
    let yaml = format!("api: {{users: {{a: '${{X}}'}}}}\ninputs: {{a: stdin}}\n{END}");
    let plan = read_in(&[Source { name: "c".into(), text: yaml }], &Toy).unwrap().plan;
    assert_eq!(plan.api.as_ref().unwrap().users["a"].expose(), "hunter2");
    let told = format!("{plan:?} {} {} {}", crate::print(&plan), crate::draw(&plan), crate::explain(&plan));
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn conditions_have_their_column() {
    let filter = |when: &str| format!("inputs: {{a: stdin}}\n{END}\nfilters:\n  - drop:\n    when: {when}\n");
    bad(&[&filter(".a == 1 &&& .b")], &["a.yaml:5:21: not a condition"]);
    bad(&[&filter("'.a == 1 &&& .b'")], &["a.yaml:5:22: not a condition"]);
    bad(&[&filter("|\n      .a == 1\n      &&& .b\n")], &["a.yaml:7:9: not a condition"]);
    bad(&[&filter("\"\\x2ea == 1 &&& .b\"")], &["a.yaml:5:11: not a condition"]);
    bad(&[&filter("[.a]")], &["a.yaml:5:11: a condition is text"]);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        text in prop_oneof![
            any::<String>(),
            "[-a-f:{}\\[\\],&*!|>'\"%#$ \n\t0-9.]{0,200}",
            "(inputs|outputs|filters|queue|api|users|a|file|stdin|json|when|if|then|<<|: |\n  |\n    |- |\\{|\\}|\\[|\\]|,|\\*a|&a |\\$\\{|'|1|~){0,60}",
        ]
    ) {
        let source = Source { name: "c".into(), text };
        crate::recognise(&source);
        if let Err(problems) = read(&[source]) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.line > 0 && problem.column > 0 && !problem.message.is_empty());
                let _ = problem.to_string();
            }
        }
    }

    #[test]
    fn a_plan_printed_is_the_same_plan(
        texts in proptest::collection::vec(prop_oneof![any::<String>(), "[ -~\n]{0,12}", "\\$?\\$\\{A\\}?"], 6),
        number in any::<u64>(),
        (count, flag, float) in (any::<i64>(), any::<bool>(), -1e9..1e9f64),
    ) {
        let json = serde_json::json!({
            "data_dir": texts[0], "memory_limit": number, "reload": {"interval": "7s"},
            "pipelines": {"main": {
                "inputs": {
                    "a": {"generate": {"seed": number, "rate": count.unsigned_abs()}},
                    "b": {"journal": {"units": [texts[1], texts[2]], "directory": texts[3]}},
                },
                "filters": [
                    {"set": {"fields": {"x": texts[4], "y": [texts[1], {"k": texts[2]}, count, flag, null], "z": float}}},
                    {"kv": {"prefix": texts[5]}, "tag_on_failure": [texts[0], texts[1]]},
                    {"if": "exists(.a)", "then": [{"drop": {}}], "else": [{"auto": {}}]},
                ],
                "outputs": {"c": {"blackhole": {}}},
            }},
        });
        let plan: Plan = serde_json::from_value(json).unwrap();
        let printed = crate::print(&plan);
        match text(&printed) {
            Ok(again) => prop_assert_eq!(&again.plan, &plan, "{}", printed),
            // A template that is none is refused on reading, as it should be.
            Err(problems) => prop_assert!(
                problems.iter().all(|problem| problem.path.contains("set.fields")), "{}\n{:?}", printed, problems
            ),
        }
        crate::draw(&plan);
        crate::explain(&plan);
    }
}
