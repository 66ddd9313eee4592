//! An XML document as a tree. DTDs are passed over: no entity is declared, none is fetched.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::rc::Rc;

/// What is read at most; both also bound the stack and the time that a document takes.
const DEPTH_MAX: usize = 60;
const NODES_MAX: usize = 100_000;

/// The number of the document itself, whose one element is the root.
pub(super) const DOCUMENT: usize = 0;

/// A document. A node's number is its place in the order of the document.
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

pub(super) struct Node {
    pub(super) parent: usize,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Document {
        children: Vec<usize>,
    },
    Element {
        name: Name,
        attributes: Vec<Attribute>,
        children: Vec<usize>,
    },
    /// Text as it means, and as it is written; the latter is none for CDATA.
    Text {
        text: String,
        raw: Option<String>,
    },
}

/// A name, and the namespace that its prefix means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) prefix: Option<String>,
    pub(super) local: String,
    pub(super) namespace: Option<Rc<str>>,
}

pub(super) struct Attribute {
    pub(super) name: Name,
    pub(super) value: String,
}

impl Name {
    /// The name as it is written.
    pub(super) fn written(&self) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}:{}", self.local),
            None => self.local.clone(),
        }
    }
}

impl Attribute {
    /// The prefix that it declares; empty for the default namespace.
    pub(super) fn declares(&self) -> Option<&str> {
        match (self.name.prefix.as_deref(), self.name.local.as_str()) {
            (Some("xmlns"), prefix) => Some(prefix),
            (None, "xmlns") => Some(""),
            _ => None,
        }
    }
}

/// A document that was read, up to what is wrong with it.
pub(super) struct Document {
    pub(super) tree: Tree,
    pub(super) wrong: Option<&'static str>,
}

/// Reads a document. Where something is wrong, it ends there and what is open is closed.
pub(super) fn read(text: &str) -> Document {
    let mut builder = Builder {
        tree: Tree { nodes: vec![Node { parent: DOCUMENT, kind: Kind::Document { children: Vec::new() } }] },
        open: DOCUMENT,
        depth: 0,
        scope: Vec::new(),
        in_text: false,
    };
    let wrong = builder.document(text).err();
    Document { tree: builder.tree, wrong }
}

struct Builder {
    tree: Tree,
    /// The innermost element that is open.
    open: usize,
    depth: usize,
    /// Prefixes, their namespaces, and the depth of the elements that declare them.
    scope: Vec<(String, Rc<str>, usize)>,
    /// Whether text would belong to the text node before.
    in_text: bool,
}

type Read<T> = Result<T, &'static str>;

const NOT_XML: &str = "the text is not well-formed XML";
const NO_ENTITY: &str = "the XML names an entity that is not one of the five predefined ones";

impl Builder {
    fn document(&mut self, text: &str) -> Read<()> {
        let mut reader = Reader::from_str(text);
        loop {
            let was_text = std::mem::take(&mut self.in_text);
            match reader.read_event().map_err(|_| NOT_XML)? {
                Event::Start(tag) => self.element(&tag, true)?,
                Event::Empty(tag) => self.element(&tag, false)?,
                Event::End(_) => self.close(),
                Event::Text(text) => {
                    self.in_text = was_text;
                    let text = text.xml10_content();
                    self.text(&text, Some(&text))?;
                }
                Event::CData(text) => self.text(&text.xml10_content(), None)?,
                Event::GeneralRef(name) => {
                    self.in_text = was_text;
                    let c = character(&name).ok_or(NO_ENTITY)?;
                    let raw = format!("&{};", name.into_inner());
                    self.text(c.encode_utf8(&mut [0; 4]), Some(&raw))?;
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
                Event::Eof => break,
            }
        }
        if self.open != DOCUMENT || self.tree.root().is_none() {
            return Err(NOT_XML);
        }
        Ok(())
    }

    fn element(&mut self, tag: &BytesStart<'_>, stays_open: bool) -> Read<()> {
        if self.open == DOCUMENT && self.tree.root().is_some() {
            return Err(NOT_XML);
        }
        if self.depth >= DEPTH_MAX {
            return Err("the XML is too deep");
        }
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| NOT_XML)?;
            let value =
                attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|_| NO_ENTITY)?;
            let name = split(attribute.key.into_inner())?;
            attributes.push(Attribute { name, value: value.into_owned() });
        }
        if self.tree.nodes.len() + attributes.len() > NODES_MAX {
            return Err("the XML has too many nodes");
        }
        self.depth += 1;
        for attribute in &attributes {
            if let Some(prefix) = attribute.declares() {
                self.scope.push((prefix.to_owned(), attribute.value.as_str().into(), self.depth));
            }
        }
        let mut name = split(tag.name().into_inner())?;
        name.namespace = self.namespace(name.prefix.as_deref().unwrap_or_default());
        for attribute in &mut attributes {
            // An attribute without a prefix is in no namespace.
            if let Some(prefix) = &attribute.name.prefix {
                attribute.name.namespace = self.namespace(prefix);
            }
        }
        let number = self.add(Kind::Element { name, attributes, children: Vec::new() });
        self.open = number;
        if !stays_open {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        self.open = self.tree.nodes[self.open].parent;
        self.scope.retain(|(.., depth)| *depth < self.depth);
        self.depth = self.depth.saturating_sub(1);
    }

    fn text(&mut self, more: &str, more_raw: Option<&str>) -> Read<()> {
        if self.open == DOCUMENT {
            return if more.trim().is_empty() && more_raw.is_some() { Ok(()) } else { Err(NOT_XML) };
        }
        if self.in_text
            && let Some(Node { kind: Kind::Text { text, raw: Some(raw) }, .. }) = self.tree.nodes.last_mut()
        {
            text.push_str(more);
            raw.push_str(more_raw.unwrap_or_default());
            return Ok(());
        }
        if self.tree.nodes.len() >= NODES_MAX {
            return Err("the XML has too many nodes");
        }
        self.add(Kind::Text { text: more.to_owned(), raw: more_raw.map(str::to_owned) });
        self.in_text = more_raw.is_some();
        Ok(())
    }

    fn add(&mut self, kind: Kind) -> usize {
        let number = self.tree.nodes.len();
        self.tree.nodes.push(Node { parent: self.open, kind });
        if let Kind::Document { children } | Kind::Element { children, .. } =
            &mut self.tree.nodes[self.open].kind
        {
            children.push(number);
        }
        number
    }

    fn namespace(&self, prefix: &str) -> Option<Rc<str>> {
        if prefix == "xml" {
            return Some("http://www.w3.org/XML/1998/namespace".into());
        }
        let found = self.scope.iter().rev().find(|(own, ..)| own == prefix).map(|(_, uri, _)| uri.clone());
        found.filter(|uri| !uri.is_empty())
    }
}

/// The character that a reference means.
fn character(name: &BytesRef<'_>) -> Option<char> {
    if name.is_char_ref() {
        return name.resolve_char_ref().ok().flatten();
    }
    Some(match &*name.xml10_content() {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

/// A name, as Namespaces in XML 1.0 has it: a local part, and maybe a prefix.
fn split(name: &str) -> Read<Name> {
    let (prefix, local) = name.split_once(':').map_or((None, name), |(prefix, local)| (Some(prefix), local));
    if !is_name(local) || !prefix.is_none_or(is_name) {
        return Err(NOT_XML);
    }
    Ok(Name { prefix: prefix.map(str::to_owned), local: local.to_owned(), namespace: None })
}

fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
    let is_later = |c: char| is_first(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    text.starts_with(is_first) && text.chars().all(is_later)
}

impl Tree {
    pub(super) fn root(&self) -> Option<usize> {
        self.children(DOCUMENT).iter().copied().find(|child| self.is_element(*child))
    }

    pub(super) fn children(&self, node: usize) -> &[usize] {
        match &self.nodes[node].kind {
            Kind::Document { children } | Kind::Element { children, .. } => children,
            Kind::Text { .. } => &[],
        }
    }

    pub(super) fn attributes(&self, node: usize) -> &[Attribute] {
        match &self.nodes[node].kind {
            Kind::Element { attributes, .. } => attributes,
            _ => &[],
        }
    }

    pub(super) fn name(&self, node: usize) -> Option<&Name> {
        match &self.nodes[node].kind {
            Kind::Element { name, .. } => Some(name),
            _ => None,
        }
    }

    pub(super) fn is_element(&self, node: usize) -> bool {
        self.name(node).is_some()
    }

    /// All text within a node.
    pub(super) fn text(&self, node: usize, out: &mut String) {
        if let Kind::Text { text, .. } = &self.nodes[node].kind {
            out.push_str(text);
        }
        for child in self.children(node) {
            self.text(*child, out);
        }
    }

    /// Takes namespaces and prefixes out of all names, and their declarations.
    pub(super) fn remove_namespaces(&mut self) {
        for node in &mut self.nodes {
            if let Kind::Element { name, attributes, .. } = &mut node.kind {
                attributes.retain(|attribute| attribute.declares().is_none());
                for name in attributes.iter_mut().map(|attribute| &mut attribute.name).chain([name]) {
                    (name.prefix, name.namespace) = (None, None);
                }
            }
        }
    }

    /// Writes a node as XML.
    pub(super) fn write(&self, node: usize, out: &mut String) {
        match &self.nodes[node].kind {
            Kind::Document { children } => children.iter().for_each(|child| self.write(*child, out)),
            Kind::Text { text, raw: Some(_) } => escape(text, false, out),
            Kind::Text { text, raw: None } => out.extend(["<![CDATA[", text, "]]>"]),
            Kind::Element { name, attributes, children } => {
                let name = name.written();
                out.extend(["<", &name]);
                for attribute in attributes {
                    out.extend([" ", &attribute.name.written(), "=\""]);
                    escape(&attribute.value, true, out);
                    out.push('"');
                }
                if children.is_empty() {
                    out.push_str("/>");
                    return;
                }
                out.push('>');
                children.iter().for_each(|child| self.write(*child, out));
                out.extend(["</", &name, ">"]);
            }
        }
    }
}

fn escape(text: &str, is_value: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' if is_value => out.push_str("&quot;"),
            '\n' if is_value => out.push_str("&#10;"),
            '\t' if is_value => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DOCUMENT, read};
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, written: &str, is_right: bool) {
        let document = read(text);
        let mut out = String::new();
        document.tree.write(DOCUMENT, &mut out);
        assert_eq!(out, written);
        assert_eq!(document.wrong.is_none(), is_right, "{:?}", document.wrong);
    }

    #[test]
    fn documents() {
        check("<a/>", "<a/>", true);
        check(
            "<?xml version=\"1.0\"?>\n<!DOCTYPE a>\n<a x='1'><!-- c --><b>t</b> &amp;&#65;</a>\n",
            "<a x=\"1\"><b>t</b> &amp;A</a>",
            true,
        );
        check("<a x='\"&lt;'><![CDATA[<&]]></a>", "<a x=\"&quot;&lt;\"><![CDATA[<&]]></a>", true);
        check("<h:a xmlns:h='u'><h:b/></h:a>", "<h:a xmlns:h=\"u\"><h:b/></h:a>", true);
        // What is wrong ends the document, and what was read stays.
        check("<a><b>x</b><c>y</a>", "<a><b>x</b><c>y</c></a>", false);
        check("<a><b>x<b></a>", "<a><b>x<b/></b></a>", false);
        check("<foo /", "", false);
        check("", "", false);
        check("text", "", false);
        check("<a/><b/>", "<a/>", false);
        check("<a x=1/>", "", false);
        check("<a>1<\n/></a>", "<a>1</a>", false);
        check("<a 1='x'/>", "", false);
        check("<a:b:c/>", "", false);
        check("<a>&nbsp;</a>", "<a/>", false);
        check("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>", "<a/>", false);
    }

    #[test]
    fn limits() {
        assert_eq!(read(&"<a>".repeat(1_000)).wrong, Some("the XML is too deep"));
        assert_eq!(
            read(&format!("<a>{}</a>", "<b/>".repeat(100_001))).wrong,
            Some("the XML has too many nodes")
        );
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            read(&text);
        }

        /// Whatever is read of a text that looks like XML can be written and read again.
        #[test]
        fn what_is_written_is_read(text in "(</?[ab]( x=['\"][&<>'\"y]{0,2})?/?>|&amp;|&#65;|[xy<& ]|<!\\[CDATA\\[|\\]\\]>){0,12}") {
            let document = read(&format!("<r>{text}"));
            let mut out = String::new();
            document.tree.write(DOCUMENT, &mut out);
            if !out.is_empty() {
                let again = read(&out);
                prop_assert_eq!(again.wrong, None, "{}", out);
                let mut twice = String::new();
                again.tree.write(DOCUMENT, &mut twice);
                prop_assert_eq!(out, twice);
            }
        }
    }
}
