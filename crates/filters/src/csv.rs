//! Filter `csv`: reads a line of comma-separated values (RFC 4180) into fields.
//!
//! The names of the columns are given, and what is beyond them is called `column4`, `column5` …,
//! as Logstash's filter of this name does. A value that is empty and has no quotes is null. A
//! line that breaks the rules of quotes changes nothing.

use crate::on_success::set_json;
use crate::{BuildError, Outcome, path};
use event::{Event, Path};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Options of the filter `csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the line.
    pub source: String,
    /// The character between values.
    pub separator: char,
    /// The character around values that hold separators; within it stands twice.
    pub quote: char,
    /// The names of the columns, as paths.
    pub columns: Vec<String>,
    /// Whether columns without a name are kept.
    pub autogenerate_column_names: bool,
    /// Whether empty values are left out.
    pub skip_empty_columns: bool,
    /// Whether a line that holds the names of the columns ends.
    pub skip_header: bool,
    /// Columns that are not text: `integer`, `float` or `boolean`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub convert: Map<String, Json>,
    /// The field below which the columns go; none: they become fields of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: "message".into(),
            separator: ',',
            quote: '"',
            columns: Vec::new(),
            autogenerate_column_names: true,
            skip_empty_columns: false,
            skip_header: false,
            convert: Map::new(),
            target: None,
        }
    }
}

/// The filter.
pub struct Csv {
    source: Path,
    columns: Vec<(Path, Option<Type>)>,
    names: Vec<String>,
    target: Vec<String>,
    options: Config,
}

#[derive(Clone, Copy)]
enum Type {
    Integer,
    Float,
    Boolean,
}

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Csv, BuildError> {
        if self.separator == self.quote {
            let message = "is the quote as well".to_owned();
            return Err(BuildError { option: "separator", message });
        }
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        let target: Vec<String> = target.iter().flat_map(Path::names).map(str::to_owned).collect();
        let mut types = Vec::new();
        for (column, word) in &self.convert {
            let to = match word.as_str() {
                Some("integer") => Type::Integer,
                Some("float") => Type::Float,
                Some("boolean") => Type::Boolean,
                _ => {
                    let message = format!("{word} is none of integer, float and boolean");
                    return Err(BuildError { option: "convert", message });
                }
            };
            types.push((path("convert", column)?, to));
        }
        let column = |name: &String| {
            let path = path("columns", name)?;
            let to = types.iter().find(|(own, _)| *own == path).map(|(_, to)| *to);
            Ok((Path::of(target.iter().map(String::as_str).chain(path.names())), to))
        };
        Ok(Csv {
            source: path("source", &self.source)?,
            columns: self.columns.iter().map(column).collect::<Result<_, _>>()?,
            names: self.columns.clone(),
            target,
            options: self.clone(),
        })
    }
}

impl Csv {
    /// Applies it. It fails, and changes nothing, where the text is no line of values.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let Some(span) = event.text(&self.source) else { return Outcome::FAILED };
        let text = String::from_utf8_lossy(event.bytes(span)).into_owned();
        let Some(values) = values(&text, self.options.separator, self.options.quote) else {
            return Outcome::FAILED;
        };
        if self.options.skip_header
            && !self.names.is_empty()
            && values.iter().map(Option::as_deref).eq(self.names.iter().map(|name| Some(name.as_str())))
        {
            return Outcome { drop: true, ..Outcome::OK };
        }
        let mut ok = true;
        for (n, value) in values.into_iter().enumerate() {
            if self.options.skip_empty_columns && value.as_ref().is_none_or(String::is_empty) {
                continue;
            }
            match self.columns.get(n) {
                Some((path, to)) => ok &= set_json(event, path, &converted(value, *to)),
                None if self.options.autogenerate_column_names => {
                    let name = format!("column{}", n + 1);
                    let path = Path::of(self.target.iter().map(String::as_str).chain([name.as_str()]));
                    ok &= set_json(event, &path, &converted(value, None));
                }
                None => {}
            }
        }
        Outcome::of(ok)
    }
}

fn converted(value: Option<String>, to: Option<Type>) -> Json {
    let Some(text) = value else { return Json::Null };
    match to {
        None => text.into(),
        Some(Type::Integer) => crate::mutate::integer(&text),
        Some(Type::Float) => crate::mutate::float(&text).into(),
        Some(Type::Boolean) => text.trim().eq_ignore_ascii_case("true").into(),
    }
}

/// The values of the first line of a text; `None` where quotes do not stand as they should.
fn values(text: &str, separator: char, quote: char) -> Option<Vec<Option<String>>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    if text.trim_end_matches(['\r', '\n']).is_empty() {
        return Some(out);
    }
    loop {
        let mut value = String::new();
        let is_quoted = chars.next_if_eq(&quote).is_some();
        if is_quoted {
            loop {
                match chars.next()? {
                    c if c != quote => value.push(c),
                    _ if chars.next_if_eq(&quote).is_some() => value.push(quote),
                    _ => break,
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != separator && !"\r\n".contains(*c)) {
                if c == quote {
                    return None;
                }
                value.push(c);
            }
        }
        out.push((is_quoted || !value.is_empty()).then_some(value));
        match chars.next() {
            Some(c) if c == separator => {}
            Some('\n') | None => return Some(out),
            Some('\r') if matches!(chars.peek(), None | Some('\n')) => return Some(out),
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::values;
    use crate::testing::{apply, check};
    use proptest::prelude::*;

    #[test]
    fn csv() {
        let config = r#"{"csv":{"columns":["a","b.c"]}}"#;
        check(
            config,
            r#"{"message":"1,\"x,\"\"y\"\"\",z"}"#,
            r#"{"message":"1,\"x,\"\"y\"\"\",z","a":"1","b":{"c":"x,\"y\""},"column3":"z"}"#,
            true,
        );
        check(config, r#"{"message":",\"\""}"#, r#"{"message":",\"\"","a":null,"b":{"c":""}}"#, true);
        check(config, r#"{"message":"1,\"x"}"#, r#"{"message":"1,\"x"}"#, false);
        check(config, r#"{"message":"1,x\"y\""}"#, r#"{"message":"1,x\"y\""}"#, false);
        check(config, r#"{"message":"a,\"b\"c"}"#, r#"{"message":"a,\"b\"c"}"#, false);
        check(config, "{}", "{}", false);
        check(
            r#"{"csv":{"source":"l","separator":";","quote":"'","columns":["n","f","t"],"convert":{"n":"integer","f":"float","t":"boolean"},"target":"x","autogenerate_column_names":false}}"#,
            r#"{"l":"1;'2.5';TRUE;more\r\n"}"#,
            r#"{"l":"1;'2.5';TRUE;more\r\n","x":{"n":1,"f":2.5,"t":true}}"#,
            true,
        );
        check(
            r#"{"csv":{"columns":["a","b"],"skip_empty_columns":true}}"#,
            r#"{"message":",2"}"#,
            r#"{"message":",2","b":"2"}"#,
            true,
        );
        let header = r#"{"csv":{"columns":["a","b"],"skip_header":true}}"#;
        assert!(apply(header, r#"{"message":"a,b"}"#).1.drop);
        assert!(!apply(header, r#"{"message":"a,c"}"#).1.drop);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("[a-z,\"é \n]{0,6}", 1..5)) {
            let line: Vec<String> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
            let read = values(&line.join(","), ',', '"').unwrap();
            prop_assert_eq!(read, texts.into_iter().map(Some).collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a,\"\r\n]{0,12}") {
            values(&text, ',', '"');
        }
    }
}
