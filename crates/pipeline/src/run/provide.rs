//! What filters get from the world while they are built: files and randomness.

use filters::Provider;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Reads files, each once for as long as this lives, so that workers share their memory.
#[derive(Default)]
pub struct Provide {
    read: RefCell<BTreeMap<String, Arc<[u8]>>>,
}

impl Provider for Provide {
    fn read(&self, file: &str) -> Result<Arc<[u8]>, String> {
        if let Some(bytes) = self.read.borrow().get(file) {
            return Ok(bytes.clone());
        }
        let cannot = |error: &dyn std::fmt::Display| format!("cannot read {file}: {error}");
        // A pipe would block for ever.
        if !fs::metadata(file).map_err(|error| cannot(&error))?.is_file() {
            return Err(cannot(&"it is no file"));
        }
        let bytes: Arc<[u8]> = fs::read(file).map_err(|error| cannot(&error))?.into();
        self.read.borrow_mut().insert(file.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn random(&self) -> Result<[u8; 32], String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| format!("the system gives no random numbers: {error}"))?;
        Ok(bytes)
    }

    fn time_zone(&self) -> String {
        let variable = std::env::var("TZ").ok();
        let link = fs::read_link("/etc/localtime").ok();
        zone_of(variable.as_deref(), link.as_deref().and_then(Path::to_str))
            .map(str::to_owned)
            .or_else(|| Some(fs::read_to_string("/etc/timezone").ok()?.trim().to_owned()))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "UTC".to_owned())
    }
}

/// The name of a zone out of the variable `TZ`, or else of what `/etc/localtime` points to
/// (tzset(3), localtime(5)).
fn zone_of<'t>(variable: Option<&'t str>, link: Option<&'t str>) -> Option<&'t str> {
    let in_database = |path: &'t str| path.split_once("/zoneinfo/").map(|(_, name)| name);
    match variable.map(|variable| variable.strip_prefix(':').unwrap_or(variable)) {
        Some("") => Some("UTC"),
        Some(name) if name.starts_with('/') => in_database(name),
        Some(name) => Some(name),
        None => in_database(link?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::run::chain::Chain;

    #[test]
    fn files_and_randomness() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "one").unwrap();
        let file = file.to_str().unwrap();
        let provide = Provide::default();
        let first = provide.read(file).unwrap();
        assert_eq!(&*first, b"one");
        assert!(Arc::ptr_eq(&first, &provide.read(file).unwrap()));
        let folder = folder.path().to_str().unwrap();
        assert_eq!(provide.read(folder).unwrap_err(), format!("cannot read {folder}: it is no file"));
        assert!(provide.read("/no/such/file").unwrap_err().starts_with("cannot read /no/such/file: "));
        assert_ne!(provide.random().unwrap(), provide.random().unwrap());
    }

    #[test]
    fn zones() {
        let berlin = Some("../usr/share/zoneinfo/Europe/Berlin");
        for (variable, link, name) in [
            (None, berlin, Some("Europe/Berlin")),
            (Some("America/New_York"), berlin, Some("America/New_York")),
            (Some(":America/New_York"), None, Some("America/New_York")),
            (Some("/usr/share/zoneinfo/Asia/Tokyo"), None, Some("Asia/Tokyo")),
            (Some(""), berlin, Some("UTC")),
            (None, Some("/etc/elsewhere"), None),
            (None, None, None),
        ] {
            assert_eq!(zone_of(variable, link), name, "{variable:?} {link:?}");
        }
        assert!(!Provide::default().time_zone().is_empty());
    }

    #[test]
    fn what_chains_are_built_of() {
        #[track_caller]
        fn build(steps: &str) -> Result<Chain, String> {
            let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
            Chain::build(&steps, "filters", &Provide::default()).map_err(|error| error.to_string())
        }
        let throttle = r#"{"throttle":{"key":"%{a}","after_count":1}}"#;
        assert!(build(&format!(r#"[{{"if":".a","then":[{throttle}]}}]"#)).unwrap().remembers());
        assert!(!build(r#"[{"uuid":{"target":"a"}}]"#).unwrap().remembers());
        let missing =
            build(r#"[{"translate":{"source":"a","dictionary_path":"/no/such.yml"}}]"#).err().unwrap();
        assert!(
            missing.contains("filters[0]: option \"dictionary_path\": cannot read /no/such.yml"),
            "{missing}"
        );
    }
}
