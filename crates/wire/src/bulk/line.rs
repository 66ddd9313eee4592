//! The action line of a bulk body, written straight into the body.
//!
//! [`encode`](super::encode) builds a JSON tree for each action; a shipper writes millions of
//! lines that differ in a few bytes, so this one only joins pieces and takes no memory.

use super::Kind;
use event::json::write_str;

/// What an action line says. Texts may hold any bytes; what is not UTF-8 becomes U+FFFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What is to be done.
    pub kind: Kind,
    /// The index, alias or data stream.
    pub index: &'a [u8],
    /// The id; none: the server makes one.
    pub id: Option<&'a [u8]>,
    /// What decides about the shard.
    pub routing: Option<&'a [u8]>,
    /// The ingest pipeline that the document goes through.
    pub pipeline: Option<&'a [u8]>,
    /// How often the server repeats an update by itself when others change the document.
    pub retry_on_conflict: u32,
}

impl Line<'_> {
    /// Appends the line and its end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.kind {
            Kind::Index => b"{\"index\":{\"_index\":",
            Kind::Create => b"{\"create\":{\"_index\":",
            Kind::Update => b"{\"update\":{\"_index\":",
            Kind::Delete => b"{\"delete\":{\"_index\":",
        });
        write_str(self.index, out);
        let texts: [(&[u8], _); 3] =
            [(b",\"_id\":", self.id), (b",\"routing\":", self.routing), (b",\"pipeline\":", self.pipeline)];
        for (name, text) in texts {
            if let Some(text) = text {
                out.extend_from_slice(name);
                write_str(text, out);
            }
        }
        if self.retry_on_conflict > 0 {
            out.extend_from_slice(b",\"retry_on_conflict\":");
            event::json::write_int(self.retry_on_conflict.into(), out);
        }
        out.extend_from_slice(b"}}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::{Target, decode};
    use proptest::prelude::*;

    #[test]
    fn lines() {
        #[track_caller]
        fn check(line: Line<'_>, expected: &str) {
            let mut out = Vec::new();
            line.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
        }
        let plain = Line {
            kind: Kind::Index,
            index: b"logs",
            id: None,
            routing: None,
            pipeline: None,
            retry_on_conflict: 0,
        };
        check(plain, r#"{"index":{"_index":"logs"}}"#);
        check(
            Line { kind: Kind::Create, id: Some(b"a\"b"), ..plain },
            r#"{"create":{"_index":"logs","_id":"a\"b"}}"#,
        );
        check(
            Line { kind: Kind::Update, id: Some(b"1"), retry_on_conflict: 3, ..plain },
            r#"{"update":{"_index":"logs","_id":"1","retry_on_conflict":3}}"#,
        );
        check(
            Line { kind: Kind::Delete, routing: Some(b"r"), pipeline: Some(b"p"), ..plain },
            r#"{"delete":{"_index":"logs","routing":"r","pipeline":"p"}}"#,
        );
    }

    proptest! {
        #[test]
        fn the_other_side_reads_them(
            kind in prop::sample::select(vec![Kind::Index, Kind::Create, Kind::Update, Kind::Delete]),
            index: String, id: Option<String>, routing: Option<String>, pipeline in "[a-z]{1,3}", retries in 0..9_u32,
        ) {
            let mut body = Vec::new();
            Line {
                kind,
                index: index.as_bytes(),
                id: id.as_deref().map(str::as_bytes),
                routing: routing.as_deref().map(str::as_bytes),
                pipeline: Some(pipeline.as_bytes()),
                retry_on_conflict: retries,
            }
            .write(&mut body);
            if kind != Kind::Delete {
                body.extend_from_slice(b"{}\n");
            }
            let actions = decode(&body).unwrap();
            let target = Target { index: Some(index), id, routing, pipeline: Some(pipeline), ..Target::default() };
            prop_assert_eq!(actions.len(), 1);
            prop_assert_eq!(actions[0].kind, kind);
            prop_assert_eq!(&actions[0].target, &target);
        }
    }
}
