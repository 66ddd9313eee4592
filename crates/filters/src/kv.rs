//! Filter `kv`: reads `key=value` text.
//!
//! With its defaults that is logfmt: of a key that comes twice the last value stays, and `\"` within
//! quotes is a quote. With `syntax: logstash` it finds pairs in any text, as Logstash's filter of
//! this name does (`logstash-filter-kv` 4.7; see `scan.rs`), and all other options are for that.

mod scan;

use crate::values::{set_tree, tree_of};
use crate::{BuildError, Outcome, one_or_many, path};
use event::{Event, New, Path, Span, Value};
use expr::logstash;
use scan::Scan;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Options of the filter `kv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text; with `syntax: logstash` also an array of texts.
    pub source: String,
    /// The field below which the pairs go; none: they become fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How pairs are written.
    #[serde(skip_serializing_if = "is_default")]
    pub syntax: Syntax,
    /// The characters between pairs; for Logstash's syntax as in a class of a regex.
    pub field_split: String,
    /// The character between key and value; for Logstash's syntax a class, too.
    pub value_split: String,
    /// What stands before each key in its new name; for Logstash's syntax a template.
    pub prefix: String,
    /// A regular expression for what stands between pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_split_pattern: Option<String>,
    /// A regular expression for what stands between key and value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_split_pattern: Option<String>,
    /// The keys that are set, as templates; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub include_keys: Vec<String>,
    /// The keys that are not set, as templates.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub exclude_keys: Vec<String>,
    /// Values of keys that are not in the text.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub default_keys: Map<String, Json>,
    /// Whether a key has a value as often as it comes.
    #[serde(skip_serializing_if = "is_true")]
    pub allow_duplicate_values: bool,
    /// Whether keys without a value are set.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_empty_values: bool,
    /// Whether `( )`, `[ ]` and `< >` are quotes.
    #[serde(skip_serializing_if = "is_true")]
    pub include_brackets: bool,
    /// Whether pairs are looked for within values.
    #[serde(skip_serializing_if = "is_default")]
    pub recursive: bool,
    /// The characters that go at both ends of keys, as in a class of a regex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trim_key: Option<String>,
    /// The same for values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trim_value: Option<String>,
    /// The characters that go everywhere in keys, as in a class of a regex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_char_key: Option<String>,
    /// The same for values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_char_value: Option<String>,
    /// What becomes of the letters of keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform_key: Option<Case>,
    /// What becomes of the letters of values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform_value: Option<Case>,
    /// Whether blanks may stand around the sign between key and value.
    #[serde(skip_serializing_if = "is_default")]
    pub whitespace: Whitespace,
}

/// How pairs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Syntax {
    /// `level=info msg="all is well"`.
    #[default]
    Logfmt,
    /// What Logstash takes for pairs.
    Logstash,
}

/// What becomes of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// All are small.
    Lowercase,
    /// All are large.
    Uppercase,
    /// The first is large, the others are small.
    Capitalize,
}

/// Where blanks may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whitespace {
    /// Around the sign between key and value as well.
    #[default]
    Lenient,
    /// Not there.
    Strict,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "message".into(),
            target: None,
            syntax: Syntax::Logfmt,
            field_split: " ".into(),
            value_split: "=".into(),
            prefix: String::new(),
            field_split_pattern: None,
            value_split_pattern: None,
            include_keys: Vec::new(),
            exclude_keys: Vec::new(),
            default_keys: Map::new(),
            allow_duplicate_values: true,
            allow_empty_values: false,
            include_brackets: true,
            recursive: false,
            trim_key: None,
            trim_value: None,
            remove_char_key: None,
            remove_char_value: None,
            transform_key: None,
            transform_value: None,
            whitespace: Whitespace::Lenient,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_true(value: &bool) -> bool {
    *value
}

/// The filter.
pub struct Kv {
    source: Path,
    target: Option<Path>,
    reader: Reader,
}

enum Reader {
    Logfmt(Logfmt),
    Logstash(Box<Scan>),
}

struct Logfmt {
    field_split: Vec<u8>,
    value_split: u8,
    prefix: String,
    pairs: Vec<(Span, Span, bool)>,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Kv, BuildError> {
        let reader = match self.syntax {
            Syntax::Logfmt => Reader::Logfmt(self.logfmt()?),
            Syntax::Logstash => Reader::Logstash(Box::new(Scan::new(self)?)),
        };
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        Ok(Kv { source: path("source", &self.source)?, target, reader })
    }

    fn logfmt(&self) -> Result<Logfmt, BuildError> {
        let wrong = |option, message: &str| BuildError { option, message: message.to_owned() };
        let own = Self {
            source: self.source.clone(),
            target: self.target.clone(),
            field_split: self.field_split.clone(),
            value_split: self.value_split.clone(),
            prefix: self.prefix.clone(),
            ..Self::default()
        };
        if *self != own {
            return Err(wrong("syntax", "must be logstash for the options that are only for it"));
        }
        let ascii = |option, text: &str| {
            let fits = text.is_ascii() && !text.is_empty();
            fits.then(|| text.as_bytes().to_vec()).ok_or_else(|| wrong(option, "takes ASCII characters"))
        };
        let value_split = ascii("value_split", &self.value_split)?;
        let [value_split] = value_split[..] else { return Err(wrong("value_split", "takes one character")) };
        Ok(Logfmt {
            field_split: ascii("field_split", &self.field_split)?,
            value_split,
            prefix: self.prefix.clone(),
            pairs: Vec::new(),
        })
    }
}

impl Kv {
    /// Applies it; `now` is the clock reading of the batch. Logfmt fails where there is no pair; with
    /// Logstash's syntax there is nothing to do then.
    pub fn apply(&mut self, event: &mut Event<'_>, now: i64) -> Outcome {
        match &mut self.reader {
            Reader::Logfmt(logfmt) => logfmt.apply(event, &self.source, self.target.as_ref()),
            Reader::Logstash(scan) => {
                let found = scan.read(&texts(event.get(&self.source)), &scan.wanted(event, now));
                if found.is_empty() {
                    return Outcome::IDLE;
                }
                match &self.target {
                    Some(target) => Outcome::of(set_tree(event, target, &Json::Object(found)).is_ok()),
                    None => Outcome::of(found.iter().fold(true, |ok, (key, value)| {
                        let path = logstash::field_path(key);
                        ok & path.is_some_and(|path| set_tree(event, &path, value).is_ok())
                    })),
                }
            }
        }
    }
}

/// A text, or the texts of an array.
fn texts(value: Option<Value<'_>>) -> Vec<String> {
    match value.as_ref().map(tree_of) {
        Some(Json::String(text)) => vec![text],
        Some(Json::Array(items)) => {
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

impl Logfmt {
    fn apply(&mut self, event: &mut Event<'_>, source: &Path, target: Option<&Path>) -> Outcome {
        let Some(source) = event.text(source) else { return Outcome::FAILED };
        self.pairs.clear();
        pairs(event.bytes(source), &self.field_split, self.value_split, &mut self.pairs);
        let mut ok = !self.pairs.is_empty();
        for (key, value, escaped) in &self.pairs {
            let name = format!(
                "{}{}",
                self.prefix,
                String::from_utf8_lossy(event.bytes(source.within(key.from as usize, key.to as usize)))
            );
            let names = target.into_iter().flat_map(Path::names).chain([name.as_str()]);
            let path = Path::of(names);
            let value = source.within(value.from as usize, value.to as usize);
            ok &= set_value(event, &path, value, *escaped);
        }
        Outcome::of(ok)
    }
}

/// Sets a value that may hold `\"`.
pub(crate) fn set_value(event: &mut Event<'_>, path: &Path, value: Span, escaped: bool) -> bool {
    if !escaped {
        return event.set(path, New::Span(value)).is_ok();
    }
    let mut text = Vec::with_capacity(value.len());
    let mut bytes = event.bytes(value).iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => text.extend(bytes.next().map(|next| match next {
                b'n' => b'\n',
                b't' => b'\t',
                other => *other,
            })),
            other => text.push(*other),
        }
    }
    event.set(path, New::Str(&text)).is_ok()
}

/// Finds the pairs of a text: key, value without its quotes, and whether it holds escapes.
pub(crate) fn pairs(text: &[u8], field_split: &[u8], value_split: u8, found: &mut Vec<(Span, Span, bool)>) {
    let mut at = 0;
    while at < text.len() {
        if field_split.contains(&text[at]) {
            at += 1;
            continue;
        }
        let key_from = at;
        while at < text.len() && text[at] != value_split && !field_split.contains(&text[at]) {
            at += 1;
        }
        let key = Span::new(key_from, at);
        if at >= text.len() || text[at] != value_split {
            continue;
        }
        at += 1;
        let mut escaped = false;
        let value = if text.get(at) == Some(&b'"') {
            let from = at + 1;
            at = from;
            while at < text.len() && text[at] != b'"' {
                escaped |= text[at] == b'\\';
                at += if text[at] == b'\\' { 2 } else { 1 };
            }
            let end = at.min(text.len());
            at = end + 1;
            Span::new(from, end)
        } else {
            let from = at;
            while at < text.len() && !field_split.contains(&text[at]) {
                at += 1;
            }
            Span::new(from, at)
        };
        if !key.is_empty() {
            found.push((key, value, escaped));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, check, mistake};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn kv() {
        check(
            r#"{"kv":{}}"#,
            r#"{"message":"a=1 b=\"x y\" c= d"}"#,
            r#"{"message":"a=1 b=\"x y\" c= d","a":"1","b":"x y","c":""}"#,
            true,
        );
        check(
            r#"{"kv":{}}"#,
            r#"{"message":"a=\"x \\\"y\\\"\""}"#,
            r#"{"message":"a=\"x \\\"y\\\"\"","a":"x \"y\""}"#,
            true,
        );
        check(
            r#"{"kv":{"source":"q","target":"p","field_split":"&","prefix":"_"}}"#,
            r#"{"q":"a=1&b=2"}"#,
            r#"{"q":"a=1&b=2","p":{"_a":"1","_b":"2"}}"#,
            true,
        );
        check(r#"{"kv":{}}"#, r#"{"message":"none"}"#, r#"{"message":"none"}"#, false);
        mistake(r#"{"kv":{"recursive":true}}"#, "option \"syntax\": must be logstash");
        mistake(r#"{"kv":{"value_split":":="}}"#, "option \"value_split\": takes one");
    }

    /// Checks the pairs that Logstash would find.
    #[track_caller]
    fn logstash(options: Json, text: &str, pairs: Json) {
        let mut options = options;
        options["syntax"] = "logstash".into();
        let config = json!({"kv": options}).to_string();
        let (mut found, outcome) = apply(&config, &json!({"message": text}).to_string());
        found.as_object_mut().unwrap().shift_remove("message");
        assert_eq!(found, pairs);
        assert_eq!((outcome.ok, outcome.idle), (true, pairs == json!({})));
    }

    #[test]
    fn pairs_as_logstash_finds_them() {
        let none = || json!({});
        logstash(none(), "ip=1.2.3.4 error=REFUSED", json!({"ip": "1.2.3.4", "error": "REFUSED"}));
        logstash(
            none(),
            r#"hello=world foo="bar baz" q='a "b"' x=(y z) s=[1 2] t=<u v> e="""#,
            json!({"hello": "world", "foo": "bar baz", "q": "a \"b\"", "x": "y z", "s": "1 2", "t": "u v"}),
        );
        logstash(none(), r#"a=b\ c d="e\"f""#, json!({"a": "b\\ c", "d": "e\\\"f"}));
        logstash(none(), "k = v w= x y =z", json!({"k": "v", "w": "x", "y": "z"}));
        logstash(json!({"whitespace": "strict"}), "a= b=c d", json!({"b": "c"}));
        logstash(none(), "Hey, from=<abc>, to=def foo", json!({"from": "<abc>,", "to": "def"}));
        logstash(none(), "none at all", json!({}));
        logstash(none(), "a= b=", json!({"a": "b="}));
        logstash(json!({"include_brackets": false}), "a=(hello world)", json!({"a": "(hello"}));
        logstash(none(), "[x][y]=1 é=ü", json!({"x": {"y": "1"}, "é": "ü"}));
    }

    #[test]
    fn repeated_and_empty() {
        logstash(json!({}), "a=1 a=2 a=2", json!({"a": ["1", "2", "2"]}));
        logstash(json!({"allow_duplicate_values": false}), "a=1 a=2 a=2 a=1", json!({"a": ["1", "2"]}));
        logstash(json!({"field_split": "&"}), "a=&b=1", json!({"b": "1"}));
        logstash(json!({"field_split": "&", "allow_empty_values": true}), "a=&b=", json!({"a": "", "b": ""}));
        logstash(json!({"default_keys": {"from": "x", "to": "y"}}), "to=z", json!({"from": "x", "to": "z"}));
        logstash(json!({"default_keys": {"from": "x"}}), "nothing", json!({"from": "x"}));
    }

    #[test]
    fn signs_between() {
        logstash(
            json!({"field_split": "&?"}),
            "?pin=12345~0&d=123&e=foo@bar.com&oq=bobo&ss=12345",
            json!({"pin": "12345~0", "d": "123", "e": "foo@bar.com", "oq": "bobo", "ss": "12345"}),
        );
        logstash(
            json!({"field_split_pattern": ":+"}),
            "k1=v1:k2=v2::k3=v3:::k4=v4",
            json!({"k1": "v1", "k2": "v2", "k3": "v3", "k4": "v4"}),
        );
        logstash(json!({"field_split_pattern": "\\+\\+"}), "a=1++b=2+3", json!({"a": "1", "b": "2+3"}));
        logstash(json!({"value_split": ":"}), "a:1 b:2", json!({"a": "1", "b": "2"}));
        logstash(json!({"value_split_pattern": "=>|:="}), "a=>1 b:=2", json!({"a": "1", "b": "2"}));
        logstash(json!({"field_split": "\t"}), "a=1 2\tb=3", json!({"a": "1 2", "b": "3"}));
    }

    #[test]
    fn keys_and_values() {
        let text = "Hey, from=<abc>, to=def foo=bar";
        logstash(json!({"include_keys": ["from", "to"]}), text, json!({"from": "<abc>,", "to": "def"}));
        logstash(
            json!({"exclude_keys": "from", "prefix": "arg_"}),
            text,
            json!({"arg_to": "def", "arg_foo": "bar"}),
        );
        logstash(json!({"trim_value": "<>,", "include_keys": ["from"]}), text, json!({"from": "abc"}));
        logstash(
            json!({"remove_char_value": "<>\\[\\],", "remove_char_key": "x", "include_brackets": false}),
            "axb=[1,2]",
            json!({"ab": "12"}),
        );
        logstash(json!({"trim_key": "_"}), "__a_b_=1", json!({"a_b": "1"}));
        logstash(
            json!({"transform_key": "uppercase", "transform_value": "capitalize"}),
            "key=vAL",
            json!({"KEY": "Val"}),
        );
        logstash(
            json!({"recursive": true}),
            "a=(b=1 c=[d=2]) e=f",
            json!({"a": {"b": "1", "c": {"d": "2"}}, "e": "f"}),
        );
    }

    #[test]
    fn where_texts_are_and_pairs_go() {
        let config = r#"{"kv":{"syntax":"logstash","source":"l","target":"o"}}"#;
        check(
            config,
            r#"{"l":["a=1",2,"a=2 b=3"],"o":{"x":1}}"#,
            r#"{"l":["a=1",2,"a=2 b=3"],"o":{"a":["1","2"],"b":"3"}}"#,
            true,
        );
        check(config, r#"{"l":5}"#, r#"{"l":5}"#, true);
        check(config, "{}", "{}", true);
        check(
            r#"{"kv":{"syntax":"logstash"}}"#,
            r#"{"message":"@timestamp=x"}"#,
            r#"{"message":"@timestamp=x"}"#,
            false,
        );
        let template = r#"{"kv":{"syntax":"logstash","prefix":"%{p}.","include_keys":["%{k}"]}}"#;
        check(
            template,
            r#"{"message":"a=1 b=2","p":"x","k":"b"}"#,
            r#"{"message":"a=1 b=2","p":"x","k":"b","x.b":"2"}"#,
            true,
        );
        mistake(
            r#"{"kv":{"syntax":"logstash","field_split_pattern":"("}}"#,
            "option \"field_split_pattern\"",
        );
        mistake(r#"{"kv":{"syntax":"logstash","value_split":""}}"#, "needs at least one");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in proptest::collection::vec(("[a-z]{1,4}", "[a-z,:é]{1,5}"), 1..6)) {
            let text: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let config = r#"{"kv":{"syntax":"logstash","target":"t"}}"#;
            let (found, _) = apply(config, &json!({"message": text.join(" ")}).to_string());
            let mut expected = serde_json::Map::new();
            for (key, value) in pairs {
                match expected.get_mut(&key) {
                    None => {
                        expected.insert(key, value.into());
                    }
                    Some(Json::Array(items)) => items.push(value.into()),
                    Some(one) => *one = json!([one.take(), value]),
                }
            }
            prop_assert_eq!(&found["t"], &Json::Object(expected));
        }

        #[test]
        fn any_text(text: String) {
            apply(r#"{"kv":{"syntax":"logstash","recursive":true}}"#, &json!({"message": text}).to_string());
        }

        #[test]
        fn any_bytes(text: Vec<u8>) {
            let mut found = Vec::new();
            super::pairs(&text, b" ", b'=', &mut found);
            for (key, value, _) in found {
                prop_assert!(key.to <= value.from && value.to as usize <= text.len());
            }
        }
    }
}
