//! Filter `csv`: reads a line of comma-separated values (RFC 4180) into fields.
//!
//! The names of the columns are given, and what is beyond them is called `column4`, `column5` …,
//! as Logstash's filter of this name does. A value that is empty and has no quotes is null. A
//! line that breaks the rules of quotes changes nothing. A value that is not of its column's type
//! stays text.

mod types;

use crate::on_success::add_tags;
use crate::rows;
use crate::values::set_tree;
use crate::{BuildError, Outcome, path};
use event::{Event, New, Path};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use types::{Type, Typed};

/// Options of the filter `csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the line.
    pub source: String,
    /// The text between values.
    pub separator: String,
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
    /// Whether the first line has the names of the columns, where none are given; it ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub autodetect_column_names: bool,
    /// Whether empty lines get the tag `_csvskippedemptyfield`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_empty_rows: bool,
    /// Columns that are not text: `integer`, `float`, `boolean`, `date` or `date_time`.
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
            separator: ",".into(),
            quote: '"',
            columns: Vec::new(),
            autogenerate_column_names: true,
            skip_empty_columns: false,
            skip_header: false,
            autodetect_column_names: false,
            skip_empty_rows: false,
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
    types: Vec<(Path, Type)>,
    options: Config,
}

const EMPTY: &str = "_csvskippedemptyfield";

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Csv, BuildError> {
        let wrong = |option, message: String| Err(BuildError { option, message });
        if self.separator.is_empty() {
            return wrong("separator", "is empty".to_owned());
        }
        if self.separator.contains(self.quote) {
            return wrong("separator", "holds the quote".to_owned());
        }
        let target = self.target.as_ref().map(|target| path("target", target)).transpose()?;
        let mut types = Vec::new();
        for (column, word) in &self.convert {
            let Some(to) = word.as_str().and_then(Type::of) else {
                let message = format!("{word} is none of integer, float, boolean, date and date_time");
                return wrong("convert", message);
            };
            types.push((path("convert", column)?, to));
        }
        let mut csv = Csv {
            source: path("source", &self.source)?,
            columns: Vec::new(),
            names: Vec::new(),
            target: target.iter().flat_map(Path::names).map(str::to_owned).collect(),
            types,
            options: self.clone(),
        };
        let columns = self.columns.iter().map(|name| path("columns", name)).collect::<Result<_, _>>()?;
        csv.name(self.columns.clone(), columns);
        Ok(csv)
    }
}

impl Csv {
    /// Whether it must see all events, because the first one has the names.
    pub fn remembers(&self) -> bool {
        self.options.autodetect_column_names && self.options.columns.is_empty()
    }

    fn name(&mut self, names: Vec<String>, columns: Vec<Path>) {
        let place = |column: Path| {
            let to = self.types.iter().find(|(own, _)| *own == column).map(|(_, to)| *to);
            (self.place(column.names()), to)
        };
        self.columns = columns.into_iter().map(place).collect();
        self.names = names;
    }

    fn place<'n>(&'n self, names: impl Iterator<Item = &'n str>) -> Path {
        Path::of(self.target.iter().map(String::as_str).chain(names))
    }

    /// Applies it. It fails, and changes nothing, where the text is no line of values.
    pub fn apply(&mut self, event: &mut Event<'_>) -> Outcome {
        let Some(span) = event.text(&self.source) else { return Outcome::FAILED };
        let text = String::from_utf8_lossy(event.bytes(span)).into_owned();
        let Ok((values, _)) = rows::row(&text, &self.options.separator, self.options.quote) else {
            return Outcome::FAILED;
        };
        if values.is_empty() {
            if self.options.skip_empty_rows {
                add_tags(event, &[EMPTY.to_owned()]);
                return Outcome::IDLE;
            }
            return Outcome::OK;
        }
        if self.remembers() && self.columns.is_empty() {
            let names: Vec<String> = values.into_iter().map(Option::unwrap_or_default).collect();
            let columns = names.iter().map(|name| Path::of([name])).collect();
            self.name(names, columns);
            return Outcome { drop: true, ..Outcome::OK };
        }
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
                Some((path, to)) => ok &= set(event, path, value, *to),
                None if self.options.autogenerate_column_names => {
                    let name = format!("column{}", n + 1);
                    let to = self.types.iter().find(|(own, _)| own.names().eq([name.as_str()]));
                    let path = self.place([name.as_str()].into_iter());
                    ok &= set(event, &path, value, to.map(|(_, to)| *to));
                }
                None => {}
            }
        }
        Outcome::of(ok)
    }
}

fn set(event: &mut Event<'_>, path: &Path, value: Option<String>, to: Option<Type>) -> bool {
    let Some(text) = value else { return event.set(path, New::Null).is_ok() };
    match to.and_then(|to| to.read(&text)) {
        Some(Typed::Json(value)) => set_tree(event, path, &value).is_ok(),
        Some(Typed::Time(ns)) => event.set(path, New::Time(ns)).is_ok(),
        None => event.set(path, New::Str(text.as_bytes())).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, apply_built, build_with, check, mistake};
    use serde_json::json;

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

    #[test]
    fn names_in_the_first_line() {
        let mut filter = build_with(r#"{"csv":{"autodetect_column_names":true}}"#, &[]);
        assert!(filter.remembers());
        assert!(apply_built(&mut filter, r#"{"message":"a,b.c"}"#).1.drop);
        let (found, outcome, _) = apply_built(&mut filter, r#"{"message":"1,2,3"}"#);
        assert_eq!(found, json!({"message": "1,2,3", "a": "1", "b.c": "2", "column3": "3"}));
        assert!(!outcome.drop);
        let given = build_with(r#"{"csv":{"autodetect_column_names":true,"columns":["a"]}}"#, &[]);
        assert!(!given.remembers());
    }

    #[test]
    fn empty_lines_and_long_separators() {
        check(r#"{"csv":{}}"#, r#"{"message":""}"#, r#"{"message":""}"#, true);
        let tagged = r#"{"message":"\n","tags":["_csvskippedemptyfield"]}"#;
        check(r#"{"csv":{"skip_empty_rows":true}}"#, r#"{"message":"\n"}"#, tagged, true);
        check(
            r#"{"csv":{"separator":"||","columns":["a","b"],"convert":{"column3":"integer"}}}"#,
            r#"{"message":"x|y||\"||\"||7"}"#,
            r#"{"message":"x|y||\"||\"||7","a":"x|y","b":"||","column3":7}"#,
            true,
        );
        mistake(r#"{"csv":{"separator":""}}"#, "option \"separator\": is empty");
        mistake(r#"{"csv":{"separator":"\"|"}}"#, "option \"separator\": holds the quote");
        mistake(r#"{"csv":{"convert":{"a":"int"}}}"#, "option \"convert\": \"int\" is none of");
    }
}
