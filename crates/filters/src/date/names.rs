//! Names of months and days in several languages, whole and short. Case does not matter, and a
//! short name may have a point behind it.
//!
//! The names are those of the Unicode CLDR (<https://cldr.unicode.org>), beside other short forms
//! that are common in logs.

/// The names of a language; of each the whole one and the short ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Language {
    code: &'static str,
    pub(super) months: [&'static [&'static str]; 12],
    /// From Monday on.
    pub(super) weekdays: [&'static [&'static str]; 7],
}

impl Language {
    /// The language of a locale such as `de-DE`; English is read by other code.
    pub(super) fn of(locale: &str) -> Option<&'static Self> {
        let code = locale.split(['-', '_']).next().unwrap_or_default();
        LANGUAGES.iter().find(|language| language.code.eq_ignore_ascii_case(code))
    }

    /// The codes of all.
    pub(super) fn codes() -> impl Iterator<Item = &'static str> {
        LANGUAGES.iter().map(|language| language.code)
    }
}

/// The number of the longest name that a text begins with, and what is behind it.
pub(super) fn read<'t>(text: &'t [u8], names: &[&[&str]], point: bool) -> Option<(usize, &'t [u8])> {
    let valid = text.utf8_chunks().next()?.valid();
    let candidates = names.iter().enumerate().flat_map(|(n, all)| all.iter().map(move |name| (n, *name)));
    let found = candidates.filter_map(|(n, name)| Some((begins(valid, name)?, n)));
    let (length, n) = found.max_by_key(|(length, _)| *length)?;
    let rest = &text[length..];
    Some((n, if point { rest.strip_prefix(b".").unwrap_or(rest) } else { rest }))
}

/// How many bytes of a text are this name, which is in small letters.
fn begins(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars();
    let mut next = wanted.next();
    for (at, c) in text.char_indices() {
        for small in c.to_lowercase() {
            match next {
                None => return Some(at),
                Some(own) if own == small => next = wanted.next(),
                Some(_) => return None,
            }
        }
    }
    next.is_none().then_some(text.len())
}

const LANGUAGES: [Language; 10] = [
    Language {
        code: "da",
        months: [
            &["januar", "jan"],
            &["februar", "feb"],
            &["marts", "mar"],
            &["april", "apr"],
            &["maj"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["august", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["december", "dec"],
        ],
        weekdays: [
            &["mandag", "man"],
            &["tirsdag", "tirs", "tir"],
            &["onsdag", "ons"],
            &["torsdag", "tors", "tor"],
            &["fredag", "fre"],
            &["lørdag", "lør"],
            &["søndag", "søn"],
        ],
    },
    Language {
        code: "de",
        months: [
            &["januar", "jan", "jänner", "jän"],
            &["februar", "feb", "feber"],
            &["märz", "mär", "mrz"],
            &["april", "apr"],
            &["mai"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["august", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["dezember", "dez"],
        ],
        weekdays: [
            &["montag", "mo", "mon"],
            &["dienstag", "di", "die"],
            &["mittwoch", "mi", "mit"],
            &["donnerstag", "do", "don"],
            &["freitag", "fr", "fre"],
            &["samstag", "sa", "sam", "sonnabend"],
            &["sonntag", "so", "son"],
        ],
    },
    Language {
        code: "es",
        months: [
            &["enero", "ene"],
            &["febrero", "feb"],
            &["marzo", "mar"],
            &["abril", "abr"],
            &["mayo", "may"],
            &["junio", "jun"],
            &["julio", "jul"],
            &["agosto", "ago"],
            &["septiembre", "sept", "sep", "setiembre", "set"],
            &["octubre", "oct"],
            &["noviembre", "nov"],
            &["diciembre", "dic"],
        ],
        weekdays: [
            &["lunes", "lun"],
            &["martes", "mar"],
            &["miércoles", "mié", "mie"],
            &["jueves", "jue"],
            &["viernes", "vie"],
            &["sábado", "sáb", "sab"],
            &["domingo", "dom"],
        ],
    },
    Language {
        code: "fr",
        months: [
            &["janvier", "janv", "jan"],
            &["février", "févr", "fév", "fevrier", "fev"],
            &["mars", "mar"],
            &["avril", "avr"],
            &["mai"],
            &["juin"],
            &["juillet", "juil"],
            &["août", "aout", "aoû"],
            &["septembre", "sept", "sep"],
            &["octobre", "oct"],
            &["novembre", "nov"],
            &["décembre", "déc", "decembre", "dec"],
        ],
        weekdays: [
            &["lundi", "lun"],
            &["mardi", "mar"],
            &["mercredi", "mer"],
            &["jeudi", "jeu"],
            &["vendredi", "ven"],
            &["samedi", "sam"],
            &["dimanche", "dim"],
        ],
    },
    Language {
        code: "it",
        months: [
            &["gennaio", "gen"],
            &["febbraio", "feb"],
            &["marzo", "mar"],
            &["aprile", "apr"],
            &["maggio", "mag"],
            &["giugno", "giu"],
            &["luglio", "lug"],
            &["agosto", "ago"],
            &["settembre", "set"],
            &["ottobre", "ott"],
            &["novembre", "nov"],
            &["dicembre", "dic"],
        ],
        weekdays: [
            &["lunedì", "lunedi", "lun"],
            &["martedì", "martedi", "mar"],
            &["mercoledì", "mercoledi", "mer"],
            &["giovedì", "giovedi", "gio"],
            &["venerdì", "venerdi", "ven"],
            &["sabato", "sab"],
            &["domenica", "dom"],
        ],
    },
    Language {
        code: "nb",
        months: [
            &["januar", "jan"],
            &["februar", "feb"],
            &["mars", "mar"],
            &["april", "apr"],
            &["mai"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["august", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["desember", "des"],
        ],
        weekdays: [
            &["mandag", "man"],
            &["tirsdag", "tir"],
            &["onsdag", "ons"],
            &["torsdag", "tor"],
            &["fredag", "fre"],
            &["lørdag", "lør"],
            &["søndag", "søn"],
        ],
    },
    Language {
        code: "nl",
        months: [
            &["januari", "jan"],
            &["februari", "feb"],
            &["maart", "mrt"],
            &["april", "apr"],
            &["mei"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["augustus", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["december", "dec"],
        ],
        weekdays: [
            &["maandag", "ma"],
            &["dinsdag", "di"],
            &["woensdag", "wo"],
            &["donderdag", "do"],
            &["vrijdag", "vr"],
            &["zaterdag", "za"],
            &["zondag", "zo"],
        ],
    },
    Language {
        code: "pl",
        months: [
            &["stycznia", "styczeń", "sty"],
            &["lutego", "luty", "lut"],
            &["marca", "marzec", "mar"],
            &["kwietnia", "kwiecień", "kwi"],
            &["maja", "maj"],
            &["czerwca", "czerwiec", "cze"],
            &["lipca", "lipiec", "lip"],
            &["sierpnia", "sierpień", "sie"],
            &["września", "wrzesień", "wrz"],
            &["października", "październik", "paź"],
            &["listopada", "listopad", "lis"],
            &["grudnia", "grudzień", "gru"],
        ],
        weekdays: [
            &["poniedziałek", "pon"],
            &["wtorek", "wt"],
            &["środa", "śr"],
            &["czwartek", "czw"],
            &["piątek", "pt"],
            &["sobota", "sob"],
            &["niedziela", "niedz", "nie"],
        ],
    },
    Language {
        code: "pt",
        months: [
            &["janeiro", "jan"],
            &["fevereiro", "fev"],
            &["março", "mar"],
            &["abril", "abr"],
            &["maio", "mai"],
            &["junho", "jun"],
            &["julho", "jul"],
            &["agosto", "ago"],
            &["setembro", "set"],
            &["outubro", "out"],
            &["novembro", "nov"],
            &["dezembro", "dez"],
        ],
        weekdays: [
            &["segunda-feira", "segunda", "seg"],
            &["terça-feira", "terça", "ter"],
            &["quarta-feira", "quarta", "qua"],
            &["quinta-feira", "quinta", "qui"],
            &["sexta-feira", "sexta", "sex"],
            &["sábado", "sáb"],
            &["domingo", "dom"],
        ],
    },
    Language {
        code: "sv",
        months: [
            &["januari", "jan"],
            &["februari", "feb"],
            &["mars", "mar"],
            &["april", "apr"],
            &["maj"],
            &["juni", "jun"],
            &["juli", "jul"],
            &["augusti", "aug"],
            &["september", "sep", "sept"],
            &["oktober", "okt"],
            &["november", "nov"],
            &["december", "dec"],
        ],
        weekdays: [
            &["måndag", "mån"],
            &["tisdag", "tis"],
            &["onsdag", "ons"],
            &["torsdag", "tors", "tor"],
            &["fredag", "fre"],
            &["lördag", "lör"],
            &["söndag", "sön"],
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_small_and_mean_one_thing() {
        for language in &LANGUAGES {
            for names in [&language.months[..], &language.weekdays[..]] {
                let mut seen = std::collections::HashSet::new();
                for name in names.iter().flat_map(|all| all.iter()) {
                    assert_eq!(name.to_lowercase(), **name);
                    assert!(seen.insert(name), "{}: {name}", language.code);
                }
            }
        }
    }

    #[test]
    fn the_longest_name_is_meant() {
        let german = Language::of("de_AT").unwrap();
        assert_eq!(read("März 21".as_bytes(), &german.months, true), Some((2, &b" 21"[..])));
        assert_eq!(read(b"Dez. 24", &german.months, true), Some((11, &b" 24"[..])));
        assert_eq!(read(b"Dez.24", &german.months, false), Some((11, &b".24"[..])));
        assert_eq!(read("MÄR".as_bytes(), &german.months, true), Some((2, &b""[..])));
        assert_eq!(read(b"March", &german.months, true), None);
        assert_eq!(read(b"\xff", &german.months, true), None);
        assert_eq!(Language::of("en-US"), None);
    }

    proptest! {
        #[test]
        fn any_bytes(text: Vec<u8>) {
            for language in &LANGUAGES {
                let _ = read(&text, &language.months, true);
            }
        }
    }
}
