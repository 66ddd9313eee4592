//! Filter `xml`: reads XML, as a tree or by XPath expressions.
//!
//! The tree has the shape that Ruby's XmlSimple gives it, since that is what Logstash stores:
//! attributes and elements are members of an object, elements of one name an array, and text beside
//! attributes is `content`. Nothing is fetched: DTDs are passed over, and entities that they would
//! declare are unknown.

mod tree;
mod xpath;

use crate::values::{depth_of, set_tree, tree_of};
use crate::{BuildError, Outcome, path, ruby};
use event::{DEPTH_MAX, Event, Path, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use tree::{Kind, Tree};
use xpath::XPath;

/// Options of the filter `xml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The field that holds the text, or an array with it alone.
    pub source: String,
    /// The field that takes the tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// XPath expressions, and the field that takes what each one finds.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub xpath: Map<String, Json>,
    /// Whether the tree is stored.
    pub store_xml: bool,
    /// Whether elements and what expressions find are arrays where there is one only.
    pub force_array: bool,
    /// Whether text is the member `content` of an object where it could stand alone.
    pub force_content: bool,
    /// Whether elements without anything in them are left out of the tree.
    pub suppress_empty: bool,
    /// The prefixes that the expressions use, and their namespaces; none: those of the root.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<String, String>,
    /// Whether names lose their prefixes before the expressions see them.
    pub remove_namespaces: bool,
    /// Whether text that is not well-formed is refused where no tree is stored; else expressions
    /// find what stands before the mistake.
    pub strict: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: String::new(),
            target: None,
            xpath: Map::new(),
            store_xml: true,
            force_array: true,
            force_content: false,
            suppress_empty: true,
            namespaces: BTreeMap::new(),
            remove_namespaces: false,
            strict: false,
        }
    }
}

/// The filter.
pub struct Xml {
    source: Path,
    target: Option<Path>,
    xpath: Vec<(XPath, Path)>,
    namespaces: BTreeMap<String, String>,
    remove_namespaces: bool,
    strict: bool,
    shape: Shape,
}

/// What the tree looks like.
struct Shape {
    force_array: bool,
    force_content: bool,
    suppress_empty: bool,
}

const BYTES_MAX: usize = 4 << 20;
const CONTENT: &str = "content";

impl Config {
    /// The filter that these options describe.
    pub fn build(&self) -> Result<Xml, BuildError> {
        let wrong = |option, message: &str| Err(BuildError { option, message: message.to_owned() });
        if self.source.is_empty() {
            return wrong("source", "needs the field that holds the text");
        }
        if self.store_xml && self.target.is_none() {
            return wrong("target", "needs the field that takes the tree, or store_xml is false");
        }
        let mut xpath = Vec::new();
        for (expression, field) in &self.xpath {
            let Some(field) = field.as_str() else {
                return wrong("xpath", "is a map of expressions and fields");
            };
            let message = |message| BuildError { option: "xpath", message };
            xpath.push((XPath::parse(expression).map_err(message)?, path("xpath", field)?));
        }
        let target = self.target.as_ref().filter(|_| self.store_xml);
        Ok(Xml {
            source: path("source", &self.source)?,
            target: target.map(|target| path("target", target)).transpose()?,
            xpath,
            namespaces: self.namespaces.clone(),
            remove_namespaces: self.remove_namespaces,
            strict: self.strict,
            shape: Shape {
                force_array: self.force_array,
                force_content: self.force_content,
                suppress_empty: self.suppress_empty,
            },
        })
    }
}

impl Xml {
    /// Applies it. It has nothing to do where there is no text, and fails, changing nothing, where
    /// the text is not XML or an expression cannot be run.
    pub fn apply(&self, event: &mut Event<'_>) -> Outcome {
        let text = match event.get(&self.source) {
            None | Some(Value::Null) => return Outcome::IDLE,
            Some(Value::Str(text)) => String::from_utf8_lossy(&text).into_owned(),
            Some(other) => match tree_of(&other) {
                Json::Array(items) => match items.as_slice() {
                    [Json::String(text)] => text.clone(),
                    _ => return Outcome::FAILED,
                },
                _ => return Outcome::FAILED,
            },
        };
        if text.trim().is_empty() {
            return Outcome::IDLE;
        }
        let changes = match self.read(event, &text) {
            Ok(changes) if changes.is_empty() => return Outcome::IDLE,
            Ok(changes) => changes,
            Err(reason) => return Outcome::failed(reason),
        };
        let mut ok = true;
        for (path, value) in changes {
            ok &= set_tree(event, path, &value).is_ok();
        }
        Outcome::of(ok)
    }

    /// The fields that are to be set.
    fn read(&self, event: &Event<'_>, text: &str) -> Result<Vec<(&Path, Json)>, &'static str> {
        if text.len() > BYTES_MAX {
            return Err("the XML is larger than 4 MiB");
        }
        let mut document = tree::read(text);
        if let Some(wrong) = document.wrong.filter(|_| self.strict || self.target.is_some()) {
            return Err(wrong);
        }
        let mut changes: Vec<(&Path, Json)> = Vec::new();
        if let (Some(target), Some(root)) = (&self.target, document.tree.root()) {
            let value = self.shape.collapse(&document.tree, root);
            if depth_of(&value) + target.names().count() > DEPTH_MAX {
                return Err("the XML is too deep");
            }
            changes.push((target, value));
        }
        if self.remove_namespaces {
            document.tree.remove_namespaces();
        }
        let declared = declared(&document.tree);
        let namespaces = |prefix: &str| {
            let own = if self.namespaces.is_empty() { &declared } else { &self.namespaces };
            own.get(prefix).cloned()
        };
        for (xpath, field) in &self.xpath {
            let found = texts(&document.tree, xpath.eval(&document.tree, &namespaces)?);
            if found.is_empty() {
                continue;
            }
            let own = changes.iter().position(|(path, _)| *path == field);
            let before = match own {
                Some(at) => Some(changes.remove(at).1),
                None => match event.get(field).map(|value| (value == Value::Null, tree_of(&value))) {
                    Some((false, Json::Null)) => return Err("what the field holds cannot be read"),
                    before => before.map(|(_, tree)| tree),
                },
            };
            changes.push((field, self.added(before, found)));
        }
        Ok(changes)
    }

    /// What was found, behind what was there before.
    fn added(&self, before: Option<Json>, mut found: Vec<Json>) -> Json {
        let mut all = match before {
            Some(Json::Array(items)) => items,
            None | Some(Json::Null) if found.len() == 1 && !self.shape.force_array => return found.remove(0),
            None | Some(Json::Null) => Vec::new(),
            Some(one) => vec![one],
        };
        all.append(&mut found);
        Json::Array(all)
    }
}

/// The prefixes that the root declares; `xmlns` stands for the default namespace, which has none.
fn declared(tree: &Tree) -> BTreeMap<String, String> {
    let attributes = tree.root().map_or(&[][..], |root| tree.attributes(root));
    let declared = attributes.iter().filter_map(|attribute| Some((attribute.declares()?, &attribute.value)));
    declared
        .map(|(prefix, uri)| (if prefix.is_empty() { "xmlns" } else { prefix }.to_owned(), uri.clone()))
        .collect()
}

/// What an expression gives, as Ruby prints it: elements as XML, numbers with a point.
fn texts(tree: &Tree, value: xpath::Value) -> Vec<Json> {
    match value {
        xpath::Value::Text(text) => vec![text.into()],
        xpath::Value::Bool(value) => vec![value.to_string().into()],
        xpath::Value::Number(number) => {
            let mut text = String::new();
            match serde_json::Number::from_f64(number) {
                Some(number) => ruby::write_text(&Json::Number(number), &mut text),
                None if number.is_nan() => text.push_str("NaN"),
                None => text.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" }),
            }
            vec![text.into()]
        }
        xpath::Value::Nodes(places) => {
            let text = |(node, attribute): (usize, usize)| {
                let mut text = String::new();
                match attribute.checked_sub(1) {
                    Some(n) => text.push_str(&tree.attributes(node)[n].value),
                    None => tree.write(node, &mut text),
                }
                text.into()
            };
            places.into_iter().map(text).collect()
        }
    }
}

impl Shape {
    /// What XmlSimple makes of an element.
    fn collapse(&self, tree: &Tree, element: usize) -> Json {
        let attributes = tree.attributes(element);
        let mut members = Map::new();
        for attribute in attributes {
            members.insert(attribute.name.written(), attribute.value.clone().into());
        }
        let children = tree.children(element);
        let texts: Vec<(&str, Option<&str>)> = children
            .iter()
            .filter_map(|child| match &tree.nodes[*child].kind {
                Kind::Text { text, raw } => Some((text.as_str(), raw.as_deref())),
                _ => None,
            })
            .collect();
        if children.iter().any(|child| tree.is_element(*child)) {
            for child in children {
                let Some(name) = tree.name(*child) else { continue };
                let value = self.collapse(tree, *child);
                // As it happens, what is empty stays where the element around it has attributes.
                if self.suppress_empty && attributes.is_empty() && is_empty(&value) {
                    continue;
                }
                self.merge(&mut members, &name.local, value);
            }
            // Text between elements counts where no line of it is blank, and as it is written.
            let written: Vec<&str> = texts.iter().map(|(text, raw)| raw.unwrap_or(text)).collect();
            let all = written.concat();
            if !written.is_empty() && !all.is_empty() && all.lines().all(|line| !line.trim().is_empty()) {
                let content = match written.as_slice() {
                    [one] => (*one).into(),
                    several => several.iter().copied().collect(),
                };
                members.insert(CONTENT.to_owned(), content);
            }
        } else if !texts.is_empty() {
            let text: String = texts.iter().map(|(text, _)| *text).collect();
            if text.trim().is_empty() && attributes.is_empty() {
                return Json::Object(Map::new());
            }
            if attributes.is_empty() && !self.force_content {
                return text.into();
            }
            self.merge(&mut members, CONTENT, text.into());
            return Json::Object(members);
        }
        // An element whose only array is of elements `anon` is this array.
        if members.values().filter(|value| value.is_array()).count() == 1
            && members.get("anon").is_some_and(Json::is_array)
        {
            return members.shift_remove("anon").unwrap_or_default();
        }
        if members.is_empty() && self.suppress_empty {
            return Json::Null;
        }
        Json::Object(members)
    }

    /// Adds a member; a second one of the name makes an array.
    fn merge(&self, members: &mut Map<String, Json>, name: &str, value: Json) {
        match members.get_mut(name) {
            Some(Json::Array(items)) => items.push(value),
            Some(one) => *one = Json::Array(vec![one.take(), value]),
            None => {
                let is_array = value.is_array() || self.force_array && name != CONTENT;
                members.insert(name.to_owned(), if is_array { Json::Array(vec![value]) } else { value });
            }
        }
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.trim().is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{apply, check, mistake};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    /// Checks what options make of a text in the field `raw`.
    #[track_caller]
    fn xml(options: Json, text: &str, added: Json) {
        let mut config = json!({"source": "raw"});
        config.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let (mut after, outcome) =
            apply(&json!({ "xml": config }).to_string(), &json!({ "raw": text }).to_string());
        assert!(outcome.ok, "{:?}", outcome.reason);
        after.as_object_mut().unwrap().shift_remove("raw");
        assert_eq!(after, added);
        assert_eq!(outcome.idle, added == json!({}));
    }

    #[test]
    fn trees() {
        #[track_caller]
        fn tree(text: &str, expected: Json) {
            xml(json!({"target": "d"}), text, json!({ "d": expected }));
        }
        tree("<foo key='value'/>", json!({"key": "value"}));
        tree("<foo><key>value1</key><key>value2</key></foo>", json!({"key": ["value1", "value2"]}));
        tree("<foo><key1><key2>value</key2></key1></foo>", json!({"key1": [{"key2": ["value"]}]}));
        tree(
            "<opt><x>text1</x><y a=\"2\">text2</y></opt>",
            json!({"x": ["text1"], "y": [{"a": "2", "content": "text2"}]}),
        );
        tree("<a><![CDATA[<b>]]> &amp; &#99;</a>", json!("<b> & c"));
        // Names lose their prefixes in the tree; attributes keep them.
        tree("<n:a xmlns:n='u' n:x='1'><n:b>t</n:b></n:a>", json!({"xmlns:n": "u", "n:x": "1", "b": ["t"]}));
        // What is empty is left out, unless the element around it has attributes.
        tree("<foo><key>value1</key><key></key><e/></foo>", json!({"key": ["value1"]}));
        tree("<foo x='1'><key></key><e/></foo>", json!({"x": "1", "key": [null], "e": [null]}));
        tree("<foo/>", json!(null));
        tree("<foo> </foo>", json!({}));
        // An element of an attribute's name joins it.
        tree("<foo k='1'><k>2</k></foo>", json!({"k": ["1", "2"]}));
        // Text between elements.
        tree("<p>one <b>two</b> three &lt;</p>", json!({"b": ["two"], "content": ["one ", " three &lt;"]}));
        tree("<p><b>two</b>three</p>", json!({"b": ["two"], "content": "three"}));
        tree("<p>\n  <b>two</b>\n</p>", json!({"b": ["two"]}));
        tree("<p>one\n<b>two</b>\n</p>", json!({"b": ["two"]}));
        tree("<l><anon>1</anon><anon>2</anon></l>", json!(["1", "2"]));
    }

    #[test]
    fn shapes() {
        xml(
            json!({"target": "d", "force_array": false}),
            "<foo><bar>Content</bar></foo>",
            json!({"d": {"bar": "Content"}}),
        );
        xml(
            json!({"target": "d", "force_array": false}),
            "<opt><x>text1</x><y a=\"2\">text2</y></opt>",
            json!({"d": {"x": "text1", "y": {"a": "2", "content": "text2"}}}),
        );
        xml(
            json!({"target": "d", "force_array": false, "force_content": true}),
            "<opt><x>text1</x><y a=\"2\">text2</y></opt>",
            json!({"d": {"x": {"content": "text1"}, "y": {"a": "2", "content": "text2"}}}),
        );
        xml(
            json!({"target": "d", "suppress_empty": false}),
            "<foo><key>value1</key><key></key></foo>",
            json!({"d": {"key": ["value1", {}]}}),
        );
        xml(json!({"target": "d", "suppress_empty": false}), "<foo/>", json!({"d": {}}));
    }

    #[test]
    fn xpath() {
        let only = |xpath: Json| json!({"store_xml": false, "xpath": xpath});
        let key = || json!({"/foo/key/text()": "x.f"});
        xml(only(key()), "<foo><key>value</key></foo>", json!({"x": {"f": ["value"]}}));
        xml(
            only(key()),
            "<foo><key>value1</key><key>value2</key></foo>",
            json!({"x": {"f": ["value1", "value2"]}}),
        );
        xml(only(key()), "<foo><key>Français</key></foo>", json!({"x": {"f": ["Français"]}}));
        xml(only(key()), "<foo/>", json!({}));
        xml(json!({"store_xml": false}), "<foo/>", json!({}));
        xml(
            json!({"target": "d", "xpath": key()}),
            "<foo><key>v</key></foo>",
            json!({"d": {"key": ["v"]}, "x": {"f": ["v"]}}),
        );
        // Several expressions for one field.
        xml(
            only(json!({"//a/text()": "f", "//b/@c": "f"})),
            "<r><a>1</a><b c='2'/></r>",
            json!({"f": ["1", "2"]}),
        );
        xml(
            only(json!({"name(/*)": "name", "count(//a)": "count", "//a='1'": "is", "/r": "whole"})),
            "<r><a>1</a><b/></r>",
            json!({"name": ["r"], "count": ["1.0"], "is": ["true"], "whole": ["<r><a>1</a><b/></r>"]}),
        );
        let mut one = only(json!({"/element/field1/text()": "field1"}));
        one["force_array"] = false.into();
        // What stands before a mistake is found.
        xml(
            one.clone(),
            "<element><field1>bbb</field1><field2>789</field2><field3>e3f<field3></element>",
            json!({"field1": "bbb"}),
        );
        one["strict"] = true.into();
        let config = json!({"xml": one}).to_string().replace("\"xml\":{", "\"xml\":{\"source\":\"raw\",");
        check(&config, r#"{"raw":"<a>"}"#, r#"{"raw":"<a>"}"#, false);
        // A field that is there takes what is found too.
        let (after, _) = apply(
            r#"{"xml":{"source":"raw","store_xml":false,"xpath":{"//a/text()":"f"}}}"#,
            r#"{"raw":"<a>1</a>","f":"0"}"#,
        );
        assert_eq!(after["f"], json!(["0", "1"]));
    }

    #[test]
    fn namespaces() {
        let div = || json!({"store_xml": false, "xpath": {"/foo/h:div": "f"}});
        let root = "<foo xmlns:h=\"http://www.w3.org/TR/html4/\"><h:div>Content</h:div></foo>";
        xml(div(), root, json!({"f": ["<h:div>Content</h:div>"]}));
        let mut own = div();
        own["namespaces"] = json!({"h": "http://www.w3.org/TR/html4/"});
        xml(own.clone(), root, json!({"f": ["<h:div>Content</h:div>"]}));
        xml(
            own,
            "<foo><x:div xmlns:x=\"http://www.w3.org/TR/html4/\">Content</x:div></foo>",
            json!({"f": ["<x:div xmlns:x=\"http://www.w3.org/TR/html4/\">Content</x:div>"]}),
        );
        xml(
            json!({"store_xml": false, "remove_namespaces": true, "xpath": {"/foo/div": "f"}}),
            root,
            json!({"f": ["<div>Content</div>"]}),
        );
        xml(
            json!({"store_xml": false, "xpath": {"//xmlns:b/text()": "f", "//b": "g"}}),
            "<a xmlns='u'><b>t</b></a>",
            json!({"f": ["t"]}),
        );
        let config = r#"{"xml":{"source":"raw","store_xml":false,"xpath":{"//no:b":"f"}}}"#;
        check(config, r#"{"raw":"<a/>"}"#, r#"{"raw":"<a/>"}"#, false);
    }

    #[test]
    fn sources() {
        let config = r#"{"xml":{"source":"raw","target":"d"}}"#;
        check(
            config,
            r#"{"raw":["<foo bar=\"baz\"/>"]}"#,
            r#"{"raw":["<foo bar=\"baz\"/>"],"d":{"bar":"baz"}}"#,
            true,
        );
        for event in ["{}", r#"{"raw":""}"#, r#"{"raw":" \n"}"#, r#"{"raw":null}"#] {
            check(config, event, event, true);
        }
        let deep = json!({"raw": format!("{}x{}", "<a>".repeat(40), "</a>".repeat(40))}).to_string();
        for event in [
            r#"{"raw":["<a/>","b"]}"#,
            r#"{"raw":[]}"#,
            r#"{"raw":{"foo":"bar"}}"#,
            r#"{"raw":[{"foo":"bar"}]}"#,
            r#"{"raw":5}"#,
            r#"{"raw":"<foo /"}"#,
            r#"{"raw":"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>"}"#,
            &deep,
        ] {
            check(config, event, event, false);
        }
        mistake(r#"{"xml":{"target":"d"}}"#, "option \"source\": needs");
        mistake(r#"{"xml":{"source":"a"}}"#, "option \"target\": needs");
        mistake(
            r#"{"xml":{"source":"a","store_xml":false,"xpath":{"a[":"b"}}}"#,
            "option \"xpath\": expected a name",
        );
        mistake(r#"{"xml":{"source":"a","store_xml":false,"xpath":{"a":1}}}"#, "option \"xpath\": is a map");
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let (after, _) = apply(
                r#"{"xml":{"source":"raw","target":"d","xpath":{"//@*":"x"}}}"#,
                &json!({ "raw": text }).to_string(),
            );
            prop_assert_eq!(&after["raw"], &text);
        }
    }
}
