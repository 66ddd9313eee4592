//! Secrets that stand in files of their own, as orchestrators mount them.
//!
//! They are read when they are used and not when the config is: a password that was changed, or
//! corrected, is taken up without a restart.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A secret is small; a path to something endless must not fill the memory.
const BYTES_MAX: u64 = 1 << 20;

/// The text of the file without the line ends behind it. An error names the file and not what is
/// in it.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("the secret {} cannot be read: {why}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| wrong(&error))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong(&"it is larger than 1 MiB"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| wrong(&"it is not UTF-8 text"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_without_their_line_ends() {
        #[track_caller]
        fn check(content: &[u8], expected: Result<&str, &str>) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), content).unwrap();
            match (read(file.path()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.ends_with(expected), "{found}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
        check(b"pass word ", Ok("pass word "));
        check(b"\npass\nword\r\n\n", Ok("\npass\nword"));
        check(b"", Ok(""));
        check(b"\xff", Err("it is not UTF-8 text"));
        check(&[b'x'; BYTES_MAX as usize + 1], Err("it is larger than 1 MiB"));
        let error = read(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.starts_with("the secret /nowhere/at/all cannot be read: "), "{error}");
    }
}
