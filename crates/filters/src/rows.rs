//! Rows of comma-separated values (RFC 4180), for the filter `csv` and for dictionaries.

/// Values of a row; one that is empty and has no quotes is `None`.
pub(crate) type Row = Vec<Option<String>>;

/// Why a text is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowError {
    /// A quote has no end.
    Open,
    /// Something stands behind a quote, or before one.
    Stray,
}

/// The first row of a text, and what is behind its line end. An empty line is a row of nothing.
pub(crate) fn row<'t>(text: &'t str, separator: &str, quote: char) -> Result<(Row, &'t str), RowError> {
    let mut row = Vec::new();
    let mut rest = text;
    if let Some(behind) = line_end(rest) {
        return Ok((row, behind));
    }
    loop {
        let (value, behind) = value(rest, separator, quote)?;
        row.push(value);
        if let Some(next) = behind.strip_prefix(separator) {
            rest = next;
            continue;
        }
        return line_end(behind).map(|behind| (row, behind)).ok_or(RowError::Stray);
    }
}

/// What is behind the line end that a text begins with; nothing ends a line, too.
fn line_end(text: &str) -> Option<&str> {
    let bare = text.strip_prefix('\r').unwrap_or(text);
    bare.strip_prefix('\n').or(bare.is_empty().then_some(bare))
}

/// A value at the beginning of a text, and what is behind it.
fn value<'t>(text: &'t str, separator: &str, quote: char) -> Result<(Option<String>, &'t str), RowError> {
    let Some(mut rest) = text.strip_prefix(quote) else {
        let line = text.find('\n').map_or(text.len(), |at| at - usize::from(text[..at].ends_with('\r')));
        let line = if line == text.len() && text.ends_with('\r') { line - 1 } else { line };
        let end = text[..line].find(separator).unwrap_or(line);
        let plain = &text[..end];
        if plain.contains([quote, '\r']) {
            return Err(RowError::Stray);
        }
        return Ok(((!plain.is_empty()).then(|| plain.to_owned()), &text[end..]));
    };
    let mut value = String::new();
    loop {
        let end = rest.find(quote).ok_or(RowError::Open)?;
        value.push_str(&rest[..end]);
        rest = &rest[end + quote.len_utf8()..];
        match rest.strip_prefix(quote) {
            Some(more) => {
                value.push(quote);
                rest = more;
            }
            None => return Ok((Some(value), rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows() {
        #[track_caller]
        fn check(text: &str, expected: Result<(&[Option<&str>], &str), RowError>) {
            let found = row(text, ",", '"');
            let expected = expected
                .map(|(row, rest)| (row.iter().map(|value| value.map(str::to_owned)).collect(), rest));
            assert_eq!(found, expected, "{text:?}");
        }
        check("a,\"x,\"\"y\"\"\",", Ok((&[Some("a"), Some("x,\"y\""), None], "")));
        check("a\r\nb", Ok((&[Some("a")], "b")));
        check("\"a\nb\",c\nd", Ok((&[Some("a\nb"), Some("c")], "d")));
        check("a\r", Ok((&[Some("a")], "")));
        check("\"\",", Ok((&[Some(""), None], "")));
        check("", Ok((&[], "")));
        check("\r\nx", Ok((&[], "x")));
        check("a,\"b", Err(RowError::Open));
        check("a,\"b\"c", Err(RowError::Stray));
        check("a,b\"c\"", Err(RowError::Stray));
        check("a\rb", Err(RowError::Stray));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("[a-z,\"é \n\r|]{0,6}", 1..5), long: bool) {
            let separator = if long { "||" } else { "," };
            let line: Vec<String> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
            let line = line.join(separator);
            let (read, rest) = row(&line, separator, '"').unwrap();
            prop_assert_eq!(read, texts.into_iter().map(Some).collect::<Vec<_>>());
            prop_assert_eq!(rest, "");
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a,\"\r\né]{0,12}") {
            if let Ok((_, rest)) = row(&text, ",", '"') {
                prop_assert!(text.ends_with(rest));
            }
        }
    }
}
