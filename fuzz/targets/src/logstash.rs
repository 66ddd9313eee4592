//! Configs of Logstash.

use dialects::{LogstashArguments, Source};

/// Any text is a plan, which printed in our own format is read as itself, or problems with
/// places in the text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // What stands outside of the text is not to be read here.
    if ["${", "patterns_dir", "ssl_", "cacert"].iter().any(|word| text.contains(word)) {
        return;
    }
    let arguments =
        LogstashArguments { config_string: Some(text.to_owned()), ..LogstashArguments::default() };
    let lines = text.lines().count() + 4;
    match dialects::read_logstash(&arguments) {
        Ok(translated) => {
            for warning in &translated.warnings {
                assert!((1..=lines).contains(&warning.line), "{warning}");
            }
            dialects::explain(&translated.plan);
            let printed = dialects::print(&translated.plan);
            // Secrets are not printed.
            if printed.contains("***") {
                return;
            }
            let again = dialects::read(&[Source { name: "p.yaml".to_owned(), text: printed.clone() }]);
            let again = again.unwrap_or_else(|problems| panic!("{}\n{printed}", problems[0]));
            assert_eq!(again.plan, translated.plan, "{printed}");
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem}");
                assert!(!problem.message.is_empty());
            }
        }
    }
}
