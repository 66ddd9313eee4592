//! How outputs write an event.

mod rows;
mod rubydebug;

use event::View;
use expr::Template;
pub use rows::Csv;
use rows::Rows;
use serde::{Deserialize, Serialize};

/// How an event becomes a line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// A JSON object.
    #[default]
    Json,
    /// A JSON object over several lines.
    Pretty,
    /// As Logstash prints events for people.
    Rubydebug,
    /// The field `message`, byte for byte.
    Raw,
    /// A template such as `%{@timestamp} %{level} %{message}`.
    Text(String),
    /// A row of comma-separated values (RFC 4180).
    Csv(Csv),
    /// An object of MessagePack, with no end of its own.
    Msgpack,
    /// A dot for each event, to see how fast they come.
    Dots,
}

/// A codec ready to be used.
pub(super) enum Encoder {
    Json,
    Pretty,
    Rubydebug,
    Raw,
    Text(Template),
    Csv(Rows),
    Msgpack,
    Dots,
}

impl Codec {
    pub(super) fn build(&self) -> Result<Encoder, String> {
        Ok(match self {
            Codec::Json => Encoder::Json,
            Codec::Pretty => Encoder::Pretty,
            Codec::Rubydebug => Encoder::Rubydebug,
            Codec::Raw => Encoder::Raw,
            Codec::Csv(csv) => Encoder::Csv(csv.build()?),
            Codec::Msgpack => Encoder::Msgpack,
            Codec::Dots => Encoder::Dots,
            Codec::Text(template) => {
                Encoder::Text(Template::parse(template).map_err(|error| error.to_string())?)
            }
        })
    }
}

impl Encoder {
    /// Writes the event and the end of the line, if it is one.
    pub(super) fn write(&self, event: &View<'_>, now: i64, out: &mut Vec<u8>) {
        self.write_value(event, now, out);
        if !matches!(self, Encoder::Msgpack | Encoder::Dots) {
            out.push(b'\n');
        }
    }

    /// Writes the event.
    pub(super) fn write_value(&self, event: &View<'_>, now: i64, out: &mut Vec<u8>) {
        match self {
            Encoder::Json => event.write_json(out),
            Encoder::Csv(rows) => rows.write(event, out),
            Encoder::Dots => out.push(b'.'),
            Encoder::Msgpack => {
                let mut json = Vec::new();
                event.write_json(&mut json);
                match serde_json::from_slice::<serde_json::Value>(&json) {
                    Ok(value) => wire::msgpack::from_json(&value, out),
                    Err(_) => out.extend_from_slice(&json),
                }
            }
            Encoder::Raw => out.extend_from_slice(&event.message()),
            Encoder::Pretty => {
                let mut json = Vec::new();
                event.write_json(&mut json);
                match serde_json::from_slice::<serde_json::Value>(&json) {
                    Ok(value) => serde_json::to_writer_pretty(&mut *out, &value).expect("writing to memory"),
                    Err(_) => out.extend_from_slice(&json),
                }
            }
            Encoder::Rubydebug => {
                let mut json = Vec::new();
                event.write_json(&mut json);
                match serde_json::from_slice::<serde_json::Value>(&json) {
                    Ok(value) => rubydebug::write(&value, out),
                    Err(_) => out.extend_from_slice(&json),
                }
            }
            Encoder::Text(template) => {
                // A missing field leaves its reference standing, as the peers do.
                let _ = template.render(event, now, out);
            }
        }
    }
}
