//! Filters: an event stays an event, and two engines for one pattern agree.

use crate::chunk;
use crate::event::{empty, written};
use event::{Batch, Span};
use filters::charset::Charset;
use filters::{Filter, FilterConfig, Outcome};
use serde_json::{Map, Value as Json, json};

/// The clock that comes in: 2026-11-18 11:06:40.
const NOW: i64 = 1_795_000_000_000_000_000;

fn config(config: Json) -> Option<Filter> {
    let config: FilterConfig = serde_json::from_value(config).expect("options of a filter");
    config.build().ok()
}

/// A batch of one event, a line of these bytes.
fn line(text: &[u8]) -> Batch {
    let mut batch = empty();
    batch.bytes_mut().extend_from_slice(text);
    batch.push_line(Span::new(0, text.len()), 0);
    batch
}

/// What a filter makes of a line: the event, as far as serde_json reads it, its time and what the
/// filter says.
fn applied(filter: &mut Filter, text: &[u8]) -> (Option<Map<String, Json>>, i64, Outcome) {
    let mut batch = line(text);
    let outcome = filter.apply(&mut batch.event_mut(0), NOW);
    (written(&batch, 0), batch.view(0).time(), outcome)
}

/// Whatever the line, nothing fails, the event is JSON and has a message.
pub fn auto(data: &[u8]) {
    let mut filter = config(json!({"auto": {}})).expect("a filter without options");
    let (event, _, outcome) = applied(&mut filter, data);
    assert_eq!(outcome, Outcome::OK);
    assert!(event.as_ref().is_none_or(|event| event.contains_key("message")), "{event:?}");
    // What is recognised is recognised the same by a filter that has seen other lines.
    assert_eq!(applied(&mut filter, data).0, event);
    // A line that the store reads back as JSON can be recognised as it was.
    let mut batch = line(data);
    filter.apply(&mut batch.event_mut(0), NOW);
    let mut record = Vec::new();
    batch.encode(&mut record);
    let mut again = Batch::new();
    again.decode(&record).expect("what was encoded is decoded");
    assert_eq!(written(&again, 0), event);
}

/// The fields are those that serde_json finds in the text, beside the text or in its place.
pub fn json(data: &[u8]) {
    let mut data = data;
    let how = chunk::byte(&mut data);
    let target = how & 1 != 0;
    let mut options = Map::new();
    if target {
        options.insert("target".to_owned(), "x.y".into());
    }
    options.insert("remove_source".to_owned(), (how & 2 != 0).into());
    let mut filter = config(json!({ "json": options })).expect("a filter");
    let (event, _, outcome) = applied(&mut filter, data);
    let Some(event) = event else { return };
    let text = String::from_utf8_lossy(data).into_owned();
    let mut expected = Map::from_iter([("message".to_owned(), Json::from(text))]);
    if !outcome.ok {
        assert_eq!(event, expected, "what failed changed nothing");
    }
    let Ok(value) = serde_json::from_slice::<Json>(data) else { return };
    let own_names =
        |object: &Map<String, Json>| object.keys().any(|name| name.starts_with('@') || name == "_@timestamp");
    if !outcome.ok {
        let shallow = data.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() < 60;
        let takes = target || value.is_object();
        assert!(!takes || !shallow || data.len() > 4_000, "{value} was refused");
        return;
    }
    if how & 2 != 0 {
        expected.shift_remove("message");
    }
    if target {
        expected.insert("x".to_owned(), json!({ "y": value }));
    } else if let Json::Object(object) = value {
        if own_names(&object) {
            return;
        }
        expected.extend(object);
    }
    assert_eq!(event, expected);
}

/// The pairs of plain `key=value` words are fields; whatever the text, every field comes of it.
pub fn kv(data: &[u8]) {
    let mut data = data;
    let options = [
        json!({}),
        json!({"target": "t"}),
        json!({"field_split": "&?", "prefix": "p_"}),
        json!({"value_split": ":", "field_split": ",; "}),
    ];
    let which = usize::from(chunk::byte(&mut data)) % options.len();
    let mut filter = config(json!({ "kv": options[which] })).expect("a filter");
    let (event, _, outcome) = applied(&mut filter, data);
    let Some(event) = event else { return };
    let text = String::from_utf8_lossy(data);
    if which == 0 && !text.contains(['"', '\u{FFFD}']) {
        let pairs =
            text.split(' ').filter_map(|word| word.split_once('=')).filter(|(key, _)| !key.is_empty());
        let mut expected = Map::from_iter([("message".to_owned(), Json::from(&*text))]);
        let (mut any, mut takes) = (false, true);
        for (key, value) in pairs {
            any = true;
            if key == "@timestamp" {
                takes &= event::time::parse_rfc3339(value.as_bytes()).is_some();
            } else if expected.contains_key(key) || expected.len() < event::FIELDS_MAX {
                expected.insert(key.to_owned(), value.into());
            } else {
                takes = false;
            }
        }
        expected.shift_remove("@metadata");
        let mut event = event.clone();
        event.shift_remove("@metadata");
        assert_eq!(event, expected);
        assert_eq!(outcome.ok, any && takes);
    }
    if !outcome.ok && !data.contains(if which == 3 { &b':' } else { &b'=' }) {
        assert_eq!(event.len(), 1, "no pair, no field");
    }
}

/// The scanner and the regex find the same: the first line is a pattern, the others are texts.
pub fn grok(data: &[u8]) {
    let mut data = data;
    let Ok(pattern) = std::str::from_utf8(chunk::line(&mut data)) else { return };
    let Some(mut own) = config(json!({"grok": {"patterns": [pattern], "target": "t"}})) else { return };
    // What looks ahead is left to the regex, and this looks at nothing.
    let Some(mut regex) = config(json!({"grok": {"patterns": [format!("(?=){pattern}")], "target": "t"}}))
    else {
        return;
    };
    for text in data.split(|byte| *byte == b'\n').take(8) {
        agree(&mut own, &mut regex, text, pattern);
    }
}

#[track_caller]
fn agree(own: &mut Filter, regex: &mut Filter, text: &[u8], pattern: &str) {
    let (found, _, outcome) = applied(own, text);
    let (expected, _, by_regex) = applied(regex, text);
    // One of them may have given up.
    if outcome.reason.is_none() && by_regex.reason.is_none() {
        assert_eq!(outcome, by_regex, "{pattern}");
        assert_eq!(found, expected, "{pattern}");
    }
}

/// What is no escape stays; an escape is its byte. The first byte chooses between a text and texts
/// within other values.
pub fn urldecode(data: &[u8]) {
    let mut data = data;
    let within = chunk::byte(&mut data) & 1 != 0;
    let mut filter = config(json!({"urldecode": {"all_fields": within}})).expect("a filter");
    let text = String::from_utf8_lossy(data).into_owned();
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits =
            behind.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    let value = if within { json!({"a": [text, 1], "b": null}) } else { json!(text) };
    let mut batch = empty();
    if batch.push_json(json!({ "message": value }).to_string().as_bytes(), 0).is_err() {
        return;
    }
    assert_eq!(filter.apply(&mut batch.event_mut(0), NOW), Outcome::OK);
    let event = written(&batch, 0).expect("an event");
    // What is not UTF-8 is shown, and how is a matter of taste.
    if let Ok(decoded) = String::from_utf8(decoded) {
        let expected = if within { json!({"a": [decoded, 1], "b": null}) } else { json!(decoded) };
        assert_eq!(event["message"], expected);
    }
}

/// The first line is an XPath expression, the others are XML. The XML that the root is written as is
/// read again as the same; what fails changes nothing.
pub fn xml(data: &[u8]) {
    let mut data = data;
    let Ok(xpath) = std::str::from_utf8(chunk::line(&mut data)) else { return };
    let options =
        |xpath: &str| json!({"source": "message", "target": "t", "strict": true, "xpath": {xpath: "x"}});
    if let Some(mut filter) = config(json!({ "xml": options(xpath) })) {
        let (event, _, outcome) = applied(&mut filter, data);
        if let Some(event) = event.filter(|_| !outcome.ok || outcome.idle) {
            assert_eq!(event.len(), 1, "what failed changed nothing");
        }
    }
    let mut root = config(json!({ "xml": options("/*") })).expect("a filter");
    let root_of = |event: Option<Map<String, Json>>| Some(event?.get("x")?.get(0)?.as_str()?.to_owned());
    let Some(first) = root_of(applied(&mut root, data).0) else { return };
    let second = root_of(applied(&mut root, first.as_bytes()).0);
    assert_eq!(second.as_ref(), Some(&first));
}

/// Whatever the text, there is a name, and a filter that remembers it says the same.
pub fn useragent(data: &[u8]) {
    use std::cell::RefCell;
    thread_local! {
        static BUILT: RefCell<Filter> = RefCell::new(
            config(json!({"useragent": {"source": "message", "lru_cache_size": 8}})).expect("a filter"),
        );
    }
    BUILT.with_borrow_mut(|filter| {
        let (event, _, outcome) = applied(filter, data);
        assert_eq!(outcome, if data.is_empty() { Outcome::IDLE } else { Outcome::OK });
        if let Some(event) = event.as_ref().filter(|_| !data.is_empty()) {
            assert!(event["user_agent"]["name"].is_string() && event["user_agent"]["os"]["name"].is_string());
        }
        assert_eq!(applied(filter, data).0, event);
    });
}

const PATTERNS: [&str; 14] = [
    "%{COMBINEDAPACHELOG}",
    "^%{COMMONAPACHELOG}",
    "%{NGINXACCESS}$",
    "%{SYSLOGLINE}",
    "%{SYSLOGBASE} %{GREEDYDATA:m}",
    "%{TIMESTAMP_ISO8601:t} %{LOGLEVEL:l} %{GREEDYDATA:m}",
    "\\[%{HTTPDATE:d}\\] %{QS:q} %{GREEDYDATA:r}",
    "%{NOTSPACE:a} %{DATA:b} \\[%{DATA:c}\\] \"%{DATA:d}\" %{NUMBER:e} %{NOTSPACE:f}%{DATA:g}$",
    "%{IP:a}:%{POSINT:b} %{HOSTNAME:c} %{UUID:d}",
    "^%{INT:a} %{DATA:b}$",
    "%{NUMBER:a:int} %{NUMBER:b:float}(?: %{WORD:c})?",
    "(?:%{IPORHOST:a}|%{QUOTEDSTRING:b}) *%{URIPATHPARAM:c}",
    "%{MONTH:a} %{MONTHDAY:b} %{TIME:c} %{USER:d}@%{HOSTPORT:e}",
    "%{DATA:a}=%{DATA:b}=x",
];

/// The same for patterns that people use: the first byte chooses one.
pub fn grok_text(data: &[u8]) {
    use std::cell::RefCell;
    thread_local! {
        /// Building takes much longer than matching.
        static BUILT: RefCell<Vec<(Filter, Filter)>> = RefCell::new(
            PATTERNS.iter().map(|pattern| {
                let build = |pattern: String| config(json!({"grok": {"patterns": [pattern]}})).expect("a known pattern");
                (build((*pattern).to_owned()), build(format!("(?=){pattern}")))
            }).collect(),
        );
    }
    let mut data = data;
    let which = usize::from(chunk::byte(&mut data)) % PATTERNS.len();
    BUILT.with_borrow_mut(|built| {
        let (own, regex) = &mut built[which];
        agree(own, regex, data, PATTERNS[which]);
    });
}

/// Any format is a format or an error, and any text a time or none; what chrono writes by a
/// format that says all of a time is read as this time again.
pub fn date(data: &[u8]) {
    let mut data = data;
    let Ok(format) = std::str::from_utf8(chunk::line(&mut data)) else { return };
    let zone = ["UTC", "Europe/Berlin", "-14:00"][usize::from(chunk::byte(&mut data)) % 3];
    let options = json!({"source": "message", "formats": [format], "timezone": zone});
    let Some(mut filter) = config(json!({ "date": options })) else { return };
    let mut read = |text: &[u8]| {
        let (_, time, outcome) = applied(&mut filter, text);
        outcome.ok.then_some(time)
    };
    let Some(time) = read(data) else { return };
    if !says_all(format) || zone != "UTC" {
        return;
    }
    let printed = chrono::DateTime::from_timestamp_nanos(time).format(format).to_string();
    // Digits beside digits may be read otherwise, and then do not fit.
    if let Some(again) = read(printed.as_bytes()) {
        assert_eq!(again, time, "{format}: {printed}");
    }
}

/// Whether a format of `strptime` has all parts of a time, and only such as mean the same to
/// chrono's writing.
fn says_all(format: &str) -> bool {
    let mut letters = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            continue;
        }
        match chars.next() {
            Some('.') if chars.next() == Some('f') => letters.push('f'),
            Some('%') => {}
            Some(letter) if "YmdejHMSbBaATFRfz".contains(letter) => letters.push(letter),
            _ => return false,
        }
    }
    let has = |any: &str| letters.contains(|c| any.contains(c));
    let date = has("F") || has("Y") && (has("j") || has("mbB") && has("de"));
    date && (has("T") && has("f") || has("H") && has("M") && has("S") && has("f"))
}

/// Options of filters in any combination, as a config gives them, over a line: what cannot be
/// built says so, and what can leaves an event.
pub fn any(data: &[u8]) {
    let mut data = data;
    let Ok(config) = serde_json::from_slice::<FilterConfig>(chunk::line(&mut data)) else { return };
    let Ok(mut filter) = config.build() else { return };
    let mut batch = line(data);
    // Filters behind others see objects; a text that is none is one event only.
    let _ = batch.push_json(data, 1);
    for index in 0..batch.len() {
        filter.apply(&mut batch.event_mut(index), NOW);
        written(&batch, index);
    }
}

/// Text of any character set becomes UTF-8: for those that are easily read, what a plain reading gives;
/// of what should be UTF-8 and is not every byte comes back. The filter does the same.
pub fn charset(data: &[u8]) {
    const NAMES: [&str; 10] = [
        "UTF-8",
        "ISO-8859-1",
        "UTF-16LE",
        "UTF-16BE",
        "windows-1252",
        "KOI8-R",
        "Shift_JIS",
        "EUC-KR",
        "GB18030",
        "ISO-2022-JP",
    ];
    let mut data = data;
    let name = NAMES[usize::from(chunk::byte(&mut data)) % NAMES.len()];
    let charset = Charset::parse(name).expect("a character set");
    let decoded = charset.decode(data).into_owned();
    let text = std::str::from_utf8(&decoded).expect("UTF-8");
    let units = |of: fn([u8; 2]) -> u16| {
        let units = data.as_chunks().0.iter().map(|pair| of(*pair));
        let text: String =
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)
    };
    match name {
        "UTF-8" if std::str::from_utf8(data).is_ok() => assert_eq!(decoded, data),
        "UTF-8" => assert_eq!(unescaped(text), data),
        "ISO-8859-1" => assert_eq!(text, data.iter().map(|byte| char::from(*byte)).collect::<String>()),
        "UTF-16LE" if data.len().is_multiple_of(2) => assert_eq!(text, units(u16::from_le_bytes)),
        "UTF-16BE" if data.len().is_multiple_of(2) => assert_eq!(text, units(u16::from_be_bytes)),
        "windows-1252" | "KOI8-R" => assert_eq!(text.chars().count(), data.len()),
        "Shift_JIS" | "EUC-KR" | "GB18030" if data.is_ascii() => assert_eq!(decoded, data),
        _ => {}
    }
    let mut filter = config(json!({"charset": {"from": name}})).expect("a filter");
    let mut batch = line(data);
    assert!(filter.apply(&mut batch.event_mut(0), NOW).ok);
    assert_eq!(&*batch.view(0).message(), decoded);
}

/// The bytes that were escaped as Ruby does it.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    let number = |digits: &str| u32::from_str_radix(digits, 16).expect("digits");
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next().expect("something behind a backslash") {
            'x' => out.push(number(&chars.by_ref().take(2).collect::<String>()) as u8),
            'u' => {
                let code = number(&chars.by_ref().take(4).collect::<String>());
                let c = char::from_u32(code).expect("a character");
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            c => {
                let controls =
                    [('n', 10), ('r', 13), ('t', 9), ('f', 12), ('v', 11), ('b', 8), ('a', 7), ('e', 27)];
                let control = controls.iter().find(|(name, _)| *name == c);
                out.push(control.map_or(c as u8, |(_, byte)| *byte));
            }
        }
    }
    out
}

/// Whatever the line: what begins with a priority is a message, whose numbers are those of the
/// priority and whose parts stand in the line. And what is put together as RFC 5424 has it, from the
/// same bytes, comes apart again.
pub fn syslog(data: &[u8]) {
    let mut filter = config(json!({"syslog": {}})).expect("a filter without options");
    let (event, _, outcome) = applied(&mut filter, data);
    let text = String::from_utf8_lossy(data);
    let priority = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(number, _)| number);
    let is_number = |number: &&str| number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    let priority = priority.filter(is_number).and_then(|number| number.parse::<u64>().ok());
    let priority = priority.filter(|number| *number <= 191);
    assert!(outcome.ok || priority.is_none(), "{event:?}");
    if let Some(event) = &event {
        let syslog = &event.get("log").unwrap_or(&Json::Null)["syslog"];
        assert_eq!(syslog["priority"].as_u64(), priority);
        if let Some(priority) = priority {
            let numbers = (&syslog["facility"]["code"], &syslog["severity"]["code"]);
            assert_eq!(numbers, (&json!(priority >> 3), &json!(priority & 7)));
        }
        if outcome.ok {
            for path in
                ["/message", "/host/hostname", "/process/name", "/log/syslog/msgid", "/log/syslog/procid"]
            {
                let found = Json::Object(event.clone()).pointer(path).cloned().unwrap_or_default();
                let part = found.as_str().unwrap_or_default();
                assert!(part.contains('\u{fffd}') || text.contains(part), "{path}: {part:?}");
            }
        } else {
            assert_eq!(event.len(), 1, "it keeps its hands off");
        }
    }

    let mut data = data;
    let priority = chunk::byte(&mut data) % 192;
    let mut word = || {
        let line = chunk::line(&mut data).iter().filter(|byte| byte.is_ascii_graphic());
        let word: String = line.map(|byte| char::from(*byte)).collect();
        if word.is_empty() { "-".to_owned() } else { word }
    };
    let [host, program, process, id, value, content] = std::array::from_fn(|_| word());
    let escaped: String =
        value.chars().flat_map(|c| "\"\\]".contains(c).then_some('\\').into_iter().chain([c])).collect();
    let message = format!(
        "<{priority}>1 2026-11-18T11:06:40Z {host} {program} {process} {id} [a@1 b=\"{escaped}\"] {content}"
    );
    let (event, time, outcome) = applied(&mut filter, message.as_bytes());
    let event = Json::Object(event.expect("there are no numbers but small ones"));
    assert!(outcome.ok && time == NOW, "{message}");
    let given = |text: &str| if text == "-" { Json::Null } else { text.into() };
    let at = |path: &str| event.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/host/hostname"), given(&host));
    assert_eq!(at("/process/name"), given(&program));
    assert_eq!(at("/log/syslog/msgid"), given(&id));
    assert_eq!(at("/log/syslog/structured_data/a@1/b"), json!(value));
    assert_eq!(at("/message"), json!(content));
    match process.parse::<i64>().ok().filter(|_| process.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(number) => assert_eq!(at("/process/pid"), json!(number)),
        None => assert_eq!(at("/log/syslog/procid"), given(&process)),
    }
}
