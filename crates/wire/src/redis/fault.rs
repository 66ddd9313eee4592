//! What an error of Redis asks of who gets it.
//!
//! An error begins with a word (`ERR`, `LOADING`, `MOVED` …) that clients may rely on; the reason
//! behind it is for people. Where the word alone does not tell, the beginnings of reasons are
//! known that no retry cures. Everything else is taken as passing: a value that waits can still be
//! delivered, one that was thrown away cannot.

/// What an error asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// To ask another server: this one is a replica, is loading, or lost its master.
    Elsewhere,
    /// To ask the server at this address, `HOST:PORT`: it has the key (a cluster).
    Moved(String),
    /// To log in otherwise, or with more rights.
    Denied,
    /// To try again later.
    Later,
    /// Not to try again: this value or this key will never do.
    Never,
}

/// Reasons after `ERR` that no retry cures.
const NEVER: [&str; 4] = [
    "string exceeds maximum allowed size",
    "The ID specified in XADD",
    "The stream has exhausted",
    "value is not an integer",
];

impl Fault {
    /// What an error asks for.
    pub fn of(error: &[u8]) -> Self {
        let text = String::from_utf8_lossy(error);
        let (word, reason) = text.split_once(' ').unwrap_or((&text, ""));
        match word {
            "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOMASTERLINK" => Fault::Elsewhere,
            "ERR" if reason.starts_with("max number of clients") => Fault::Elsewhere,
            "MOVED" | "ASK" => match reason.split(' ').nth(1) {
                Some(address) if address.contains(':') => Fault::Moved(address.to_owned()),
                _ => Fault::Later,
            },
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Fault::Denied,
            "ERR" if reason.contains("AUTH") || reason.contains("invalid password") => Fault::Denied,
            "WRONGTYPE" => Fault::Never,
            "ERR" if NEVER.iter().any(|known| reason.starts_with(known)) => Fault::Never,
            _ => Fault::Later,
        }
    }

    /// What to tell people to do, behind the error itself.
    pub fn advice(&self) -> &'static str {
        match self {
            Fault::Elsewhere => "another server is asked, or this one again",
            Fault::Moved(_) => "the server that has the key is asked",
            Fault::Denied => "see \"user\", \"password\" and the rights of the user; it is tried again",
            Fault::Later => "it is tried again",
            Fault::Never => "it is not tried again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_ask_for_something() {
        #[track_caller]
        fn check(error: &str, expected: Fault) {
            assert_eq!(Fault::of(error.as_bytes()), expected);
        }
        check("READONLY You can't write against a read only replica.", Fault::Elsewhere);
        check("LOADING Redis is loading the dataset in memory", Fault::Elsewhere);
        check("ERR max number of clients reached", Fault::Elsewhere);
        check("MOVED 3999 127.0.0.1:6381", Fault::Moved("127.0.0.1:6381".to_owned()));
        check("MOVED 3999", Fault::Later);
        check("NOAUTH Authentication required.", Fault::Denied);
        check("WRONGPASS invalid username-password pair or user is disabled.", Fault::Denied);
        check("ERR invalid password", Fault::Denied);
        check("OOM command not allowed when used memory > 'maxmemory'.", Fault::Later);
        check("MISCONF Redis is configured to save RDB snapshots", Fault::Later);
        check("BUSY Redis is busy running a script.", Fault::Later);
        check("ERR unknown command 'XADD'", Fault::Later);
        check("WRONGTYPE Operation against a key holding the wrong kind of value", Fault::Never);
        check("ERR string exceeds maximum allowed size (proto-max-bulk-len)", Fault::Never);
        check("", Fault::Later);
    }
}
