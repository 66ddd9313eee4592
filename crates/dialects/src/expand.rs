//! `${VAR}`, `${VAR:default}` and `${file:/path}` in values; `$${` is a plain `${`.
//!
//! It happens to a value once, after YAML was read: what a variable holds can neither become
//! YAML nor be expanded again. Keys and comments are left alone.

/// Where variables and files come from; tests have their own.
pub(crate) trait World {
    fn variable(&self, name: &str) -> Option<String>;
    fn file(&self, path: &str) -> Result<String, String>;
    /// A file that is no text.
    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        self.file(path).map(String::into_bytes)
    }
    /// The files that a pattern matches, sorted; a folder stands for all in it.
    fn files(&self, pattern: &str) -> Vec<String>;
}

/// The environment and the disk.
pub(crate) struct Machine;

/// A secret is small; a path to something endless must not fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl World for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        String::from_utf8(self.bytes(path)?).map_err(|_| format!("{path} is not UTF-8 text"))
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| format!("cannot read {path}: {error}"))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("{path} is larger than {} MiB", FILE_BYTES_MAX >> 20));
        }
        Ok(bytes)
    }

    fn files(&self, pattern: &str) -> Vec<String> {
        let mut found = Vec::new();
        let path = std::path::Path::new(pattern);
        if path.is_file() {
            found.push(pattern.to_owned());
        } else if path.is_dir() {
            list(path, &mut |name| found.push(name));
        } else if let Ok(glob) = globset::GlobBuilder::new(pattern).literal_separator(true).build() {
            // Only the last part may hold signs of a pattern, or the folders before it are walked.
            let matcher = glob.compile_matcher();
            let signs = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
            let root = &pattern[..pattern[..signs].rfind('/').map_or(0, |at| at + 1)];
            let root = std::path::Path::new(if root.is_empty() { "." } else { root });
            walk(root, pattern[signs..].matches('/').count(), &mut |name| {
                if matcher.is_match(name.strip_prefix("./").unwrap_or(&name)) {
                    found.push(name);
                }
            });
        }
        found.sort();
        found
    }
}

/// The files of a folder, not those below it.
fn list(folder: &std::path::Path, each: &mut dyn FnMut(String)) {
    walk(folder, 0, each);
}

fn walk(folder: &std::path::Path, depth: usize, each: &mut dyn FnMut(String)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_file() {
            each(path.display().to_string());
        } else if depth > 0 && path.is_dir() {
            walk(&path, depth - 1, each);
        }
    }
}

/// A text with its variables filled in; `None` when there was nothing to do.
pub(crate) fn expand(text: &str, world: &dyn World) -> Result<Option<Expanded>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = Expanded { text: String::new(), is_foreign: false };
    let mut rest = text;
    while let Some(found) = rest.find("${") {
        if rest[..found].ends_with('$') {
            out.text.push_str(&rest[..found]);
            out.text.push('{');
            rest = &rest[found + 2..];
            continue;
        }
        out.text.push_str(&rest[..found]);
        let inner = &rest[found + 2..];
        let end = inner.find('}').ok_or("a ${ without its }; write $${ for a plain ${")?;
        out.text.push_str(&value(&inner[..end], world)?);
        out.is_foreign = true;
        rest = &inner[end + 1..];
    }
    out.text.push_str(rest);
    Ok(Some(out))
}

/// What came of a text.
#[derive(Debug)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// Something in it stands not in the config, and is not to be shown.
    pub(crate) is_foreign: bool,
}

fn value(reference: &str, world: &dyn World) -> Result<String, String> {
    let (name, default) = match reference.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if let ("file", Some(path)) = (name, default) {
        let mut text = world.file(path)?;
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        return Ok(text);
    }
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("{name:?} is no name of a variable; write $${{ for a plain ${{"));
    }
    match (world.variable(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment has no {name}; set it, or give a default: ${{{name}:default}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Toy;

    impl World for Toy {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "A").then(|| "${A}x".to_owned())
        }
        fn file(&self, path: &str) -> Result<String, String> {
            if path == "/s" { Ok("pass word \n".to_owned()) } else { Err("no".to_owned()) }
        }
        fn files(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn values_are_filled_in_once() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let expanded = expand(text, &Toy).unwrap();
            assert_eq!(expanded.map_or_else(|| text.to_owned(), |expanded| expanded.text), expected);
        }
        check("plain $ {x}", "plain $ {x}");
        check("<${A}>", "<${A}x>");
        check("${B:two:three}", "two:three");
        check("${B:}", "");
        check("${file:/s}", "pass word ");
        check("$${A} $$${A} ${A}", "${A} $${A} ${A}x");
        for bad in ["${A", "${B}", "${file:/no}", "${1,3}", "${}"] {
            assert!(expand(bad, &Toy).is_err(), "{bad}");
        }
        assert!(!expand("$${A}", &Toy).unwrap().unwrap().is_foreign);
    }
}
