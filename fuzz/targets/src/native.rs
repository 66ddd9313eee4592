//! Our own config format.

use dialects::{Problem, Source};

/// Any text is a plan, which printed is read as itself, or problems with places in the text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // What stands outside of the text is not to be read here.
    if text.contains("${") {
        return;
    }
    let sources = [Source { name: "c.yaml".to_owned(), text: text.to_owned() }];
    match dialects::read(&sources) {
        Ok(translated) => {
            translated.warnings.iter().for_each(|warning| check(warning, text));
            dialects::draw(&translated.plan);
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
            problems.iter().for_each(|problem| check(problem, text));
        }
    }
}

/// The place lies in the text, or where more of it was expected.
#[track_caller]
fn check(problem: &Problem, text: &str) {
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    assert!((1..=lines.len() + 1).contains(&problem.line), "{problem}");
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!((1..=longest + 1).contains(&problem.column), "{problem}");
    assert!(!problem.message.is_empty());
}
