//! Options from the tree through serde, so that each complaint knows its place.
//!
//! serde stops at the first complaint. To tell all of them, reading is tried again without
//! the member that the complaint was about, until nothing is left to complain of.

use crate::problem::nearest;
use crate::tree::{Entry, Kind, Node, Place};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use std::collections::HashSet;
use std::fmt;

/// A complaint about options.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) place: Option<Place>,
    /// The key of the innermost member that it is about.
    entry: Option<Place>,
    /// The way to the option, innermost first.
    path: Vec<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    UnknownOption {
        name: String,
        known: &'static [&'static str],
    },
    UnknownValue {
        name: String,
        known: &'static [&'static str],
    },
    Missing(&'static str),
    Wrong(String),
    /// It follows from a complaint that was made already.
    Told,
}

impl Error {
    fn new(what: What) -> Self {
        Self { place: None, entry: None, path: Vec::new(), what }
    }

    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn inside(mut self, entry: &Entry) -> Self {
        self.entry.get_or_insert(entry.place);
        self.path.push(entry.name.clone());
        self
    }

    /// The way to the option.
    pub(crate) fn path(&self) -> String {
        let mut names: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        match &self.what {
            What::UnknownOption { name, .. } => names.push(name),
            What::Missing(name) => names.push(name),
            _ => {}
        }
        names.join(".")
    }

    /// What is wrong; `owner` is whose options they are, such as `input "file"`.
    pub(crate) fn message(&self, owner: &str) -> String {
        let option = match (self.path(), owner.is_empty()) {
            (path, true) => format!("{path:?}"),
            (path, false) if path.is_empty() => owner.to_owned(),
            (path, false) => format!("option {path:?} of {owner}"),
        };
        match &self.what {
            What::UnknownOption { name, known } => {
                let outer: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
                let of = match (outer.join("."), owner.is_empty()) {
                    (outer, _) if outer.is_empty() => owner.to_owned(),
                    (outer, true) => format!("{outer:?}"),
                    (outer, false) => format!("{outer:?} in {owner}"),
                };
                unknown("option", name, &format!(" of {of}"), known)
            }
            What::UnknownValue { name, known } => {
                format!("{option}: {}", unknown("value", name, "", known))
            }
            What::Missing(_) => format!("{option} is missing"),
            What::Wrong(message) => format!("{option}: {message}"),
            What::Told => String::new(),
        }
    }
}

/// `unknown option "x" of y; did you mean "z"? (there are …)`.
pub(crate) fn unknown(what: &str, name: &str, of: &str, known: &[&str]) -> String {
    let hint = nearest(name, known).map_or_else(String::new, |own| format!("; did you mean {own:?}?"));
    let list = match known {
        [] => "there are none".to_owned(),
        [one] => format!("there is only {one}"),
        _ => format!("there are {}", known.join(", ")),
    };
    format!("unknown {what} {name:?}{of}{hint} ({list})")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(""))
    }
}
impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Wrong(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let hint = match (expected.as_str(), &found) {
            ("a string", Unexpected::Signed(_) | Unexpected::Unsigned(_)) => "; put it in quotes",
            ("a string", Unexpected::Bool(_) | Unexpected::Float(_)) => "; put it in quotes",
            ("a sequence", Unexpected::Str(_)) => "; write it as [..]",
            _ => "",
        };
        Self::new(What::Wrong(format!(
            "expected {}, found {}{hint}",
            plain_words(&expected),
            found_words(&found)
        )))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        Self::new(What::Wrong(format!("expected {}, found {}", plain_words(&expected), found_words(&found))))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownValue { name: name.to_owned(), known })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownOption { name: name.to_owned(), known })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(What::Missing(name))
    }
}

/// What serde calls a type, in the words of a config.
fn plain_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "path string" => "text",
        "a character" => "one character",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a map" => "names and values",
        other if other.starts_with("struct ") => "options",
        other => other,
    }
}

fn found_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "names and values".to_owned(),
        other => other.to_string(),
    }
}

/// More complaints about one component help nobody.
const COMPLAINTS_MAX: usize = 50;

/// Reads a value, or tells everything that is wrong with it.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<Error>> {
    collect(|skip| T::deserialize(Reader { node, skip }))
}

/// Reads a value of the enum `T` of components: which one, and its options.
pub(crate) fn read_component<T: DeserializeOwned>(kind: &str, options: &Node) -> Result<T, Vec<Error>> {
    collect(|skip| T::deserialize(Component { kind, options: Reader { node: options, skip } }))
}

fn collect<T>(attempt: impl Fn(&HashSet<Place>) -> Result<T, Error>) -> Result<T, Vec<Error>> {
    let mut skip = HashSet::new();
    let mut errors = Vec::new();
    loop {
        let error = match attempt(&skip) {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        let entry = error.entry;
        if !matches!(error.what, What::Told) {
            errors.push(error);
        }
        match entry {
            Some(entry) if errors.len() < COMPLAINTS_MAX && skip.insert(entry) => {}
            _ => return Err(errors),
        }
    }
}

/// The names of an enum's variants, every component there is; or of a struct's members, every
/// option of one.
pub(crate) fn names_of<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Names) {
        Err(Found(names)) => names,
        Ok(_) => &[],
    }
}

#[derive(Clone, Copy)]
struct Reader<'n> {
    node: &'n Node,
    skip: &'n HashSet<Place>,
}

impl<'n> Reader<'n> {
    fn member(self, node: &'n Node) -> Self {
        Self { node, ..self }
    }

    /// Gives a complaint its place, and takes what must not be shown out of it.
    fn placed<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|mut error| {
            if error.place.is_none()
                && let Some(hidden) = self.node.hidden.as_ref()
            {
                match &mut error.what {
                    What::Wrong(message) => *message = masked(message, hidden),
                    What::UnknownValue { name, .. } => *name = "***".to_owned(),
                    _ => {}
                }
            }
            error.at(self.node.place)
        })
    }
}

/// A message without a text that must not be shown.
pub(crate) fn masked(message: &str, hidden: &str) -> String {
    let quoted = format!("{hidden:?}");
    if hidden.is_empty() || !(message.contains(hidden) || message.contains(&quoted)) {
        return message.to_owned();
    }
    // A short text may be part of words by chance; then the words go as well.
    if hidden.len() < 4 {
        return "not a value that fits here".to_owned();
    }
    message.replace(&quoted, "***").replace(hidden, "***")
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (_, Ok(value)) => visitor.visit_u64(value),
                (Ok(value), _) => visitor.visit_i64(value),
                _ => visitor.visit_f64(*value as f64),
            },
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Str(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Items { items: items.iter(), reader: self }),
            Kind::Map(members) => return self.map(members, visitor),
        };
        self.placed(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (&self.node.hidden, &self.node.kind) {
            // What came from outside is text where text is wanted, whatever it looks like.
            (Some(text), _) => self.placed(visitor.visit_borrowed_str(text)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Null => self.map(&[], visitor),
            // serde would take a list for a struct, by the order of its members.
            Kind::List(_) => self.placed(Err(de::Error::invalid_type(Unexpected::Seq, &"names and values"))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.kind {
            Kind::Null => visitor.visit_seq(Items { items: [].iter(), reader: self }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.node.kind {
            Kind::Str(name) => visitor.visit_enum(Choice { name, value: None, place: self.node.place }),
            Kind::Map(members) => match members.as_slice() {
                [entry] => visitor
                    .visit_enum(Choice {
                        name: &entry.name,
                        value: Some(self.member(&entry.value)),
                        place: entry.place,
                    })
                    .map_err(|mut error| {
                        if !matches!(error.what, What::UnknownValue { .. }) {
                            error.path.push(entry.name.clone());
                        }
                        error
                    }),
                _ => Err(de::Error::custom(format!("expected one of {}", names.join(", ")))),
            },
            _ => Err(de::Error::custom(format!("expected one of {}", names.join(", ")))),
        };
        self.placed(result)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

impl<'de> Reader<'de> {
    fn map<V: Visitor<'de>>(self, members: &'de [Entry], visitor: V) -> Result<V::Value, Error> {
        let result = visitor.visit_map(Members { members: members.iter(), value: None, reader: self });
        let is_told = members.iter().any(|entry| self.skip.contains(&entry.place));
        self.placed(result).map_err(|mut error| {
            // What is missing may be what was left out for another complaint.
            if is_told && error.path.is_empty() && matches!(error.what, What::Missing(_)) {
                error.what = What::Told;
            }
            error
        })
    }
}

struct Items<'n> {
    items: std::slice::Iter<'n, Node>,
    reader: Reader<'n>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.items.next() {
            Some(item) => seed.deserialize(self.reader.member(item)).map(Some),
            None => Ok(None),
        }
    }
}

struct Members<'n> {
    members: std::slice::Iter<'n, Entry>,
    value: Option<&'n Entry>,
    reader: Reader<'n>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.members.find(|entry| !self.reader.skip.contains(&entry.place)) else {
            return Ok(None);
        };
        self.value = Some(entry);
        let key = BorrowedStrDeserializer::new(&entry.name);
        seed.deserialize(key).map(Some).map_err(|error: Error| {
            let mut error = error.at(entry.place);
            error.entry.get_or_insert(entry.place);
            error
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.value.take().ok_or_else(|| Error::new(What::Told))?;
        seed.deserialize(self.reader.member(&entry.value)).map_err(|error| error.inside(entry))
    }
}

struct Choice<'n> {
    name: &'n str,
    value: Option<Reader<'n>>,
    place: Place,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let value = seed.deserialize(BorrowedStrDeserializer::<Error>::new(self.name))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.value.map(|value| &value.node.kind) {
            None | Some(Kind::Null) => Ok(()),
            Some(_) => Err(Error::new(What::Wrong("takes no value".to_owned())).at(self.place)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        match self.value {
            Some(value) => seed.deserialize(value),
            None => {
                let message = format!("{:?} needs a value: {{{}: ...}}", self.name, self.name);
                Err(Error::new(What::Wrong(message)))
            }
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Some(value) => value.deserialize_seq(visitor),
            None => Err(Error::new(What::Wrong("needs a list".to_owned()))),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Some(value) => value.deserialize_map(visitor),
            None => Err(Error::new(What::Wrong("needs options".to_owned()))),
        }
    }
}

/// A component: the variant of its enum, and its options.
struct Component<'n> {
    kind: &'n str,
    options: Reader<'n>,
}

impl<'de> Deserializer<'de> for Component<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(Choice {
            name: self.kind,
            value: Some(self.options),
            place: self.options.node.place,
        })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads nothing: it wants to know which names an enum asks for.
struct Names;

#[derive(Debug)]
struct Found(&'static [&'static str]);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names")
    }
}
impl std::error::Error for Found {}
impl de::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Names {
    type Error = Found;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(&[]))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Found> {
        Err(Found(names))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Found> {
        Err(Found(names))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;
    use crate::expand::{Machine, expand};
    use crate::problem::Files;
    use crate::tree;
    use pipeline::plan::Secret;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        text: String,
        number: Option<u64>,
        list: Vec<String>,
        inner: Option<Inner>,
        choice: Choices,
        users: BTreeMap<String, Secret>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        must: bool,
        #[serde(default)]
        may: f64,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choices {
        #[default]
        Json,
        Text(String),
    }

    fn options(text: &str) -> Result<Options, Vec<Error>> {
        let sources = [Source { name: "c".into(), text: text.into() }];
        let node = tree::read(&mut Files { sources: &sources, secrets: Vec::new() }, 0, &|text| {
            expand(text, &Machine)
        })
        .unwrap();
        read(&node)
    }

    #[test]
    fn options_are_read() {
        let read = options("{text: a, number: 5, list: [x], inner: {must: true, may: 1}, choice: {text: y}}");
        assert_eq!(
            read.unwrap(),
            Options {
                text: "a".into(),
                number: Some(5),
                list: vec!["x".into()],
                inner: Some(Inner { must: true, may: 1.0 }),
                choice: Choices::Text("y".into()),
                users: BTreeMap::new(),
            }
        );
        assert_eq!(options("{list: , inner: null, choice: json}").unwrap(), Options::default());
        assert_eq!(options("users: {a: 123}").unwrap().users["a"].expose(), "123");
        assert_eq!(options("text: ${NO_SUCH_THING:123}").unwrap().text, "123");
        assert_eq!(options("number: ${NO_SUCH_THING:123}").unwrap().number, Some(123));
    }

    #[test]
    fn all_complaints_have_their_place() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            let told: Vec<String> = options(text)
                .unwrap_err()
                .iter()
                .map(|error| {
                    let place = error.place.unwrap();
                    format!("{}:{} {}: {}", place.line, place.column, error.path(), error.message("x"))
                })
                .collect();
            assert_eq!(told, expected);
        }
        check(
            "text: 5\nlits: []\nnumber: -1\ninner: {most: true}",
            &[
                "1:7 text: option \"text\" of x: expected text, found the number 5; put it in quotes",
                "2:1 lits: unknown option \"lits\" of x; did you mean \"list\"? (there are text, number, list, inner, choice, users)",
                "3:9 number: option \"number\" of x: expected a whole number that is not negative, found the number -1",
                "4:9 inner.most: unknown option \"most\" of \"inner\" in x; did you mean \"must\"? (there are must, may)",
            ],
        );
        check("inner: {}", &["1:8 inner.must: option \"inner.must\" of x is missing"]);
        check(
            "inner: {must: yes}",
            &["1:15 inner.must: option \"inner.must\" of x: expected true or false, found the text \"yes\""],
        );
        check(
            "choice: jsn",
            &[
                "1:9 choice: option \"choice\" of x: unknown value \"jsn\"; did you mean \"json\"? (there are json, text)",
            ],
        );
        check("choice: text", &["1:9 choice: option \"choice\" of x: \"text\" needs a value: {text: ...}"]);
        check("choice: {json: 1}", &["1:10 choice.json: option \"choice.json\" of x: takes no value"]);
        check(
            "list: a",
            &["1:7 list: option \"list\" of x: expected a list, found the text \"a\"; write it as [..]"],
        );
        check("[]", &["1:1 : x: expected names and values, found a list"]);
        check(
            "number: ${NO_SUCH_THING:hunter2}",
            &[
                "1:9 number: option \"number\" of x: expected a whole number that is not negative, found the text ***",
            ],
        );
        check(
            "users: hunter2",
            &["1:8 users: option \"users\" of x: expected names and values, found the text ***"],
        );
    }

    #[test]
    fn names_of_components() {
        assert_eq!(names_of::<Choices>(), ["json", "text"]);
        assert!(names_of::<pipeline::inputs::InputConfig>().contains(&"file"));
    }
}
