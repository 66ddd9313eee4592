//! JSON in and out against serde_json, on generated and hostile text.

use event::{Batch, Common, CommonValue, New, Origin, Path, Value};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

fn empty() -> Batch {
    let mut batch = Batch::new();
    batch.reset(0);
    batch.begin_run(Common::none(Origin::default()), 0);
    batch
}

fn written(batch: &Batch, index: usize) -> Json {
    let mut out = Vec::new();
    batch.view(index).write_json(&mut out);
    let mut value: Json =
        serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out)));
    value.as_object_mut().unwrap().shift_remove("@timestamp");
    value
}

#[track_caller]
fn check_same(text: &[u8]) {
    let mut batch = empty();
    let ours = batch.push_json(text, 0);
    let theirs: Result<Map<String, Json>, _> = serde_json::from_slice(text);
    match (&ours, theirs) {
        (Ok(()), Ok(object)) if !object.contains_key("@timestamp") && !object.contains_key("@metadata") => {
            assert_eq!(written(&batch, 0), Json::Object(object));
            let mut record = Vec::new();
            batch.encode(&mut record);
            let mut again = Batch::new();
            again.decode(&record).unwrap();
            assert_eq!(written(&again, 0), written(&batch, 0));
        }
        (Ok(()), Ok(_)) => {}
        (Err(_), Err(_)) => assert_eq!(batch.len(), 0),
        // serde_json refuses numbers that do not fit a double, and allows deeper nesting.
        (Ok(()), Err(error)) => assert!(error.to_string().contains("out of range"), "{error}"),
        (Err(error), Ok(_)) => {
            assert!(error.reason.contains("deep") || error.reason.contains("too many"), "{error}")
        }
    }
}

#[test]
fn hostile_json() {
    let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    for text in [
        "{}",
        "{\"a\":1}",
        " { \"a\" : [ 1 , 2 ] , \"b\" : { } } ",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":1e999}",
        "{\"a\":-0}",
        "{\"a\":123456789012345678901234567890}",
        "{\"a\":1.5e-7}",
        "{\"a\":01}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\ud83d\\ude00\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"\\u0061\":1,\"a\":2}",
        "{\"a\":\"\u{0}\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1,}",
        "{,}",
        "[1]",
        "1",
        "",
        "{",
        "{\"a\":\"x",
        "{\"a\":\"\\x\"}",
        "{} x",
        "{\"a\":[1,]}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":NaN}",
        "{\"a\":\"\t\"}",
        "{\"\":1}",
        "{\"message\":\"m\"}",
    ] {
        check_same(text.as_bytes());
    }
    check_same(b"{\"a\":\"\xff\"}");
    check_same(b"{\"a\":\"\xed\xa0\x80\"}");
    for depth in [1, 60, 62, 63, 64, 65, 200, 100_000] {
        check_same(deep(depth).as_bytes());
    }
    let wide = |n: usize| {
        let members: Vec<String> = (0..n).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    };
    check_same(wide(999).as_bytes());
    check_same(wide(1_001).as_bytes());
}

#[test]
fn failed_json_changes_nothing() {
    let mut batch = empty();
    batch.push_json(br#"{"message":"{\"a\":1,\"message\":2,","x":5}"#, 0).unwrap();
    let before = written(&batch, 0);
    batch.each(|event| {
        let span = event.text(&Path::parse("message").unwrap()).unwrap();
        assert!(event.merge_json(span).is_err());
    });
    assert_eq!(written(&batch, 0), before);
}

#[test]
fn bytes_that_are_not_utf8_become_marks_in_json_and_stay_bytes_in_the_batch() {
    let mut batch = empty();
    batch.bytes_mut().extend_from_slice(b"a\xffb");
    batch.push_line(event::Span::new(0, 3), 0);
    assert_eq!(written(&batch, 0), json!({"message": "a\u{FFFD}b"}));
    assert_eq!(&*batch.view(0).message(), b"a\xffb");
}

#[test]
fn set_remove_rename() {
    #[track_caller]
    fn check(before: &str, work: impl Fn(&mut event::Event<'_>), after: &str) {
        let mut batch = empty();
        batch.push_json(before.as_bytes(), 0).unwrap();
        batch.push_json(b"{\"other\":true}", 1).unwrap();
        work(&mut batch.event_mut(0));
        assert_eq!(written(&batch, 0), serde_json::from_str::<Json>(after).unwrap());
        assert_eq!(written(&batch, 1), json!({"other": true}));
    }
    let path = |text: &str| Path::parse(text).unwrap();
    check("{}", |e| e.set(&path("a"), 1).unwrap(), r#"{"a":1}"#);
    check("{}", |e| e.set(&path("a.b.c"), "x").unwrap(), r#"{"a":{"b":{"c":"x"}}}"#);
    check(
        r#"{"a":{"b":1,"c":[1,{"d":2}]}}"#,
        |e| e.set(&path("a.c[1].d"), 3).unwrap(),
        r#"{"a":{"b":1,"c":[1,{"d":3}]}}"#,
    );
    check(r#"{"a":{"b":1}}"#, |e| e.set(&path("a.c"), New::Null).unwrap(), r#"{"a":{"b":1,"c":null}}"#);
    check(r#"{"a":1}"#, |e| assert!(e.set(&path("a.c"), 1).is_err()), r#"{"a":1}"#);
    check(r#"{"a":1,"b":2}"#, |e| assert!(e.remove(&path("a"))), r#"{"b":2}"#);
    check(r#"{"a":{"b":{"c":1,"d":2}}}"#, |e| assert!(e.remove(&path("a.b.c"))), r#"{"a":{"b":{"d":2}}}"#);
    check(r#"{"a":{"b":1}}"#, |e| assert!(!e.remove(&path("a.x"))), r#"{"a":{"b":1}}"#);
    check(r#"{"a":[1,2,3]}"#, |e| assert!(e.remove(&path("a[1]"))), r#"{"a":[1,3]}"#);
    check(
        r#"{"a":{"b":1}}"#,
        |e| assert!(e.rename(&path("a.b"), &path("c.d")).unwrap()),
        r#"{"a":{},"c":{"d":1}}"#,
    );
    check(r#"{"a.b":1}"#, |e| assert_eq!(e.get(&path("a.b")), Some(Value::Int(1))), r#"{"a.b":1}"#);
    check(
        r#"{"a":"x\ny"}"#,
        |e| {
            let span = e.text(&path("a")).unwrap();
            assert_eq!(e.bytes(span), b"x\ny");
        },
        r#"{"a":"x\ny"}"#,
    );
    check(
        r#"{"a":1}"#,
        |e| {
            for n in 0..20 {
                e.set(&path(&format!("o.k{n}")), n).unwrap();
                e.set(&path(&format!("p.k{n}")), n).unwrap();
            }
            for n in 1..20 {
                assert!(e.remove(&path(&format!("o.k{n}"))));
            }
            assert!(e.remove(&path("p")));
        },
        r#"{"a":1,"o":{"k0":0}}"#,
    );
}

#[test]
fn the_time_is_no_field() {
    let mut batch = empty();
    batch.push_json(br#"{"message":"[1]","o":{"x":1},"t":"2026-11-21T00:00:00Z"}"#, 0).unwrap();
    let path = |text: &str| Path::parse(text).unwrap();
    let before = written(&batch, 0);
    let mut event = batch.event_mut(0);
    assert_eq!(event.set(&path("@timestamp.x"), 1), Err(event::SetError::NotAnObject));
    assert_eq!(event.rename(&path("o"), &path("@timestamp.o")), Err(event::SetError::NotAnObject));
    assert_eq!(event.rename(&path("o"), &path("@timestamp")), Err(event::SetError::NotATime));
    let span = event.text(&path("message")).unwrap();
    assert_eq!(event.set_json(&path("@timestamp"), span), Ok(Err(event::SetError::NotATime)));
    drop(event);
    assert_eq!(written(&batch, 0), before);
    assert!(batch.event_mut(0).rename(&path("t"), &path("@timestamp")).unwrap());
    assert_eq!(batch.view(0).time(), 1_795_219_200_000_000_000);
}

#[test]
fn what_cannot_be_moved_stays() {
    let mut batch = empty();
    batch.push_json(br#"{"a":{"b":1},"n":5}"#, 0).unwrap();
    let path = |text: &str| Path::parse(text).unwrap();
    assert!(batch.event_mut(0).rename(&path("a.b"), &path("n.b")).is_err());
    assert_eq!(written(&batch, 0), json!({"a": {"b": 1}, "n": 5}));
    // Moved into itself again and again it would lie too deep to be written.
    let deep = vec!["d"; 40].join(".");
    assert!(batch.event_mut(0).rename(&path("a"), &path(&format!("x.{deep}"))).unwrap());
    let moved = batch.event_mut(0).rename(&path("x"), &path(&format!("y.{deep}")));
    assert_eq!(moved, Err(event::SetError::TooDeep));
    assert!(batch.view(0).get(&path(&format!("x.{deep}.b"))).is_some());
    let mut record = Vec::new();
    batch.encode(&mut record);
    Batch::new().decode(&record).unwrap();
}

#[test]
fn what_an_origin_has_in_common() {
    let common = || {
        let fields = [
            ("host.name", CommonValue::Str("h".into())),
            ("log.file.path", CommonValue::Str("/x".into())),
            ("log.offset", CommonValue::Position),
        ];
        Common::new(Origin { id: [7; 16], generation: 3 }, fields)
    };
    let mut batch = Batch::new();
    batch.begin_run(common(), 0);
    for (n, text) in ["a", "b", "c", "d"].iter().enumerate() {
        batch.bytes_mut().extend_from_slice(text.as_bytes());
        batch.push_line(event::Span::new(n, n + 1), 10 * n as u64);
    }
    let path = |text: &str| Path::parse(text).unwrap();
    assert_eq!(batch.view(1).get(&path("log.offset")), Some(Value::Int(10)));
    assert_eq!(
        batch.view(1).get(&path("log.file")).map(|v| format!("{v:?}")),
        Some(r#"Json("{\"path\":\"/x\"}")"#.to_owned())
    );
    batch.event_mut(2).set(&path("log.level"), "info").unwrap();
    assert!(batch.event_mut(3).remove(&path("host.name")));
    let full = |offset: u64, message: &str| json!({"host": {"name": "h"}, "log": {"file": {"path": "/x"}, "offset": offset}, "message": message});
    assert_eq!(written(&batch, 0), full(0, "a"));
    assert_eq!(written(&batch, 1), full(10, "b"));
    let mut third = full(20, "c");
    third["log"]["level"] = json!("info");
    assert_eq!(written(&batch, 2), third);
    let mut fourth = full(30, "d");
    fourth["host"] = json!({});
    assert_eq!(written(&batch, 3), fourth);
    let ids: std::collections::HashSet<u128> = (0..4).map(|n| batch.view(n).id()).collect();
    assert_eq!(ids.len(), 4);
    let mut record = Vec::new();
    batch.event_mut(1).drop_event();
    batch.encode(&mut record);
    let mut again = Batch::new();
    again.decode(&record).unwrap();
    assert_eq!(again.len(), 3);
    assert_eq!(written(&again, 1), third);
    assert_eq!(again.view(2).id(), batch.view(3).id());
}

#[test]
fn the_body_may_have_the_names_of_the_origin() {
    let mut batch = Batch::new();
    batch.begin_run(
        Common::new(
            Origin::default(),
            [("host.name", CommonValue::Str("h".into())), ("x", CommonValue::Int(1))],
        ),
        0,
    );
    batch.push_json(br#"{"host":"web1","a":1}"#, 0).unwrap();
    assert_eq!(written(&batch, 0), json!({"host": "web1", "a": 1, "x": 1}));
}

fn arbitrary_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn objects_come_out_as_they_went_in(members in prop::collection::vec(("[a-d@.]{0,3}", arbitrary_json()), 0..8), pretty: bool) {
        let object = Json::Object(members.into_iter().collect());
        let text = if pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) }.unwrap();
        check_same(&text);
    }

    #[test]
    fn an_event_is_read_and_written_whatever_stood_before_it(
        objects in prop::collection::vec(prop::collection::vec(("[a-d]|e\"", arbitrary_json()), 0..8), 1..5),
        blanks: bool,
        removed in "[a-d]",
        renamed in "[a-d]",
    ) {
        let message = Path::of(["message"]);
        let mut batch = empty();
        let mut models = Vec::new();
        for (n, members) in objects.into_iter().enumerate() {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}:{value}", Json::from(key.as_str())))
                .collect();
            let text = format!("{{{}}}", members.join(if blanks { " , " } else { "," }));
            let from = batch.bytes().len();
            batch.bytes_mut().extend_from_slice(text.as_bytes());
            batch.push_line(event::Span::new(from, from + text.len()), 0);
            let mut event = batch.event_mut(n);
            let line = event.text(&message).unwrap();
            event.merge_json(line).unwrap();
            event.remove(&message);
            event.remove(&Path::of([&removed]));
            event.rename(&Path::of([&renamed]), &Path::of(["z"])).unwrap();
            let mut model: Map<String, Json> = serde_json::from_str(&text).unwrap();
            model.shift_remove(&removed);
            if let Some(value) = model.shift_remove(&renamed) {
                model.insert("z".to_owned(), value);
            }
            models.push(Json::Object(model));
        }
        for (n, model) in models.iter().enumerate() {
            prop_assert_eq!(&written(&batch, n), model);
        }
    }

    #[test]
    fn damaged_text_is_refused_as_serde_json_does(object in arbitrary_json(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut text = serde_json::to_vec(&json!({"a": object})).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        check_same(&text);
    }

    #[test]
    fn any_bytes(text: Vec<u8>) {
        check_same(&text);
    }

    #[test]
    fn damaged_records_are_errors(object in arbitrary_json(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut: bool) {
        let mut batch = empty();
        batch.push_json(&serde_json::to_vec(&json!({"a": object, "b": "x"})).unwrap(), 0).unwrap();
        batch.event_mut(0).set(&Path::parse("c.d").unwrap(), 1).unwrap();
        let mut record = Vec::new();
        batch.encode(&mut record);
        let at = at.index(record.len());
        if cut { record.truncate(at) } else { record[at] ^= 1_u8 << bit }
        let mut again = Batch::new();
        if again.decode(&record).is_ok() {
            let mut out = Vec::new();
            for event in again.events() {
                event.write_json(&mut out);
            }
            again.each(|event| { let _ = event.set(&Path::parse("c.e").unwrap(), 2); });
        }
    }

    #[test]
    fn sets_and_removes_are_those_of_a_tree(steps in prop::collection::vec(("[a-c](\\.[a-c]){0,2}", any::<Option<i64>>()), 1..20)) {
        let mut batch = empty();
        batch.push_json(br#"{"a":{"b":{"c":1}},"b":[]}"#, 0).unwrap();
        let mut model = json!({"a": {"b": {"c": 1}}, "b": []});
        for (text, value) in steps {
            let path = Path::parse(&text).unwrap();
            let mut event = batch.event_mut(0);
            match value {
                Some(value) => {
                    let ours = event.set(&path, value).is_ok();
                    prop_assert_eq!(ours, model_set(&mut model, &text, value));
                }
                None => {
                    let ours = event.remove(&path);
                    prop_assert_eq!(ours, model_remove(&mut model, &text));
                }
            }
            drop(event);
            prop_assert_eq!(written(&batch, 0), model.clone());
        }
    }
}

fn model_set(model: &mut Json, path: &str, value: i64) -> bool {
    let copy = model.clone();
    let mut at = &mut *model;
    for name in path.split('.') {
        if at.is_null() {
            *at = json!({});
        }
        match at {
            Json::Object(object) => at = object.entry(name).or_insert(Json::Null),
            _ => {
                *model = copy;
                return false;
            }
        }
    }
    *at = json!(value);
    true
}

fn model_remove(model: &mut Json, path: &str) -> bool {
    let (parents, last) = path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
    let mut at = model;
    for name in parents.into_iter().flat_map(|p| p.split('.')) {
        match at.get_mut(name) {
            Some(next) => at = next,
            None => return false,
        }
    }
    at.as_object_mut().is_some_and(|object| object.shift_remove(last).is_some())
}
