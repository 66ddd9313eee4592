//! A connection to Redis without its socket: bytes out, bytes in, values.
//!
//! Commands wait until the server has let us in, so that none runs as the wrong user or in the
//! wrong database. Answers come in the order of the commands; which is whose is known to whoever
//! sent them.

use super::resp::{self, RespError, Value};

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Every version of Redis speaks it.
    #[default]
    Resp2,
    /// Redis 6 and later.
    Resp3,
}

/// Who we are, and what we want.
#[derive(Clone, Default)]
pub struct Login {
    /// The user; none: the one whom a password alone stands for.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database.
    pub db: u32,
    /// The version of the protocol.
    pub protocol: Protocol,
}

/// Why a connection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The server speaks something else.
    #[error("{0}")]
    Resp(#[from] RespError),
    /// The server does not let us in.
    #[error("the server answers {0:?} to {1}")]
    Refused(String, &'static str),
}

/// What came.
#[derive(Debug, PartialEq)]
pub enum Incoming<'a> {
    /// The answer to the oldest command that was not answered yet.
    Answer(Value<'a>),
    /// What was not asked for (RESP3).
    Push(Value<'a>),
}

/// A connection.
pub struct Connection {
    /// The commands that let us in and are not answered yet, the first last.
    entering: Vec<&'static str>,
    out: Vec<u8>,
    held: Vec<u8>,
    inbox: Vec<u8>,
    /// So much of the inbox was read.
    read: usize,
}

/// Memory that is kept for what comes.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Connection {
    /// A connection that was just made.
    pub fn new(login: &Login) -> Self {
        let (mut out, mut entering) = (Vec::new(), Vec::new());
        let user = login.user.as_deref();
        match login.protocol {
            Protocol::Resp3 => {
                let mut hello = vec!["HELLO", "3"];
                if let Some(password) = &login.password {
                    hello.extend(["AUTH", user.unwrap_or("default"), password]);
                }
                resp::command(hello, &mut out);
                entering.push("HELLO");
            }
            Protocol::Resp2 => {
                if let Some(password) = &login.password {
                    let auth: Vec<&str> =
                        ["AUTH"].into_iter().chain(user).chain([password.as_str()]).collect();
                    resp::command(auth, &mut out);
                    entering.push("AUTH");
                }
                // Who is not let in without a password is to be told at once, not by a command.
                resp::command(["PING"], &mut out);
                entering.push("PING");
            }
        }
        if login.db > 0 {
            resp::command(["SELECT", &login.db.to_string()], &mut out);
            entering.push("SELECT");
        }
        entering.reverse();
        Self { entering, out, held: Vec::new(), inbox: Vec::new(), read: 0 }
    }

    /// Whether the server has let us in.
    pub fn is_ready(&self) -> bool {
        self.entering.is_empty()
    }

    /// Where commands are put, by [`resp::command`]; they go when the server has let us in.
    pub fn commands(&mut self) -> &mut Vec<u8> {
        if self.entering.is_empty() { &mut self.out } else { &mut self.held }
    }

    /// What is to be written.
    pub fn outgoing(&self) -> &[u8] {
        &self.out
    }

    /// So much of it was written.
    pub fn written(&mut self, count: usize) {
        self.out.drain(..count);
    }

    /// Where what comes is put: behind what is there.
    pub fn inbox(&mut self) -> &mut Vec<u8> {
        if self.read > 0 {
            self.inbox.drain(..self.read);
            self.read = 0;
            if self.inbox.is_empty() {
                self.inbox.shrink_to(KEPT_BYTES_MAX);
            }
        }
        &mut self.inbox
    }

    /// Lets the server's answers to who we are pass. To be called before
    /// [`incoming`](Self::incoming) as long as we are not let in.
    pub fn enter(&mut self) -> Result<(), ConnectionError> {
        while let Some(command) = self.entering.last() {
            let Some((value, count)) = resp::decode(&self.inbox[self.read..])? else { return Ok(()) };
            if let Value::Error(reason) = value {
                return Err(ConnectionError::Refused(String::from_utf8_lossy(reason).into_owned(), command));
            }
            self.read += count;
            self.entering.pop();
            if self.entering.is_empty() {
                self.out.append(&mut self.held);
            }
        }
        Ok(())
    }

    /// The next value that came whole.
    pub fn incoming(&mut self) -> Result<Option<Incoming<'_>>, ConnectionError> {
        if !self.is_ready() {
            return Ok(None);
        }
        let Some((value, count)) = resp::decode(&self.inbox[self.read..])? else { return Ok(None) };
        self.read += count;
        Ok(Some(match value {
            Value::Push(_) => Incoming::Push(value),
            value => Incoming::Answer(value),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: Option<&str>, password: Option<&str>, db: u32, protocol: Protocol) -> Login {
        Login { user: user.map(str::to_owned), password: password.map(str::to_owned), db, protocol }
    }

    /// The commands that are to be written, as words.
    fn said(connection: &mut Connection) -> Vec<String> {
        let (mut all, mut rest) = (Vec::new(), connection.outgoing());
        while let Ok(Some((value, count))) = resp::decode(rest) {
            let words = value.elements().unwrap_or_default().iter().filter_map(Value::bytes);
            all.push(
                words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" "),
            );
            rest = &rest[count..];
        }
        let count = connection.outgoing().len();
        connection.written(count);
        all
    }

    #[test]
    fn we_say_who_we_are() {
        #[track_caller]
        fn check(login: Login, expected: &[&str]) {
            assert_eq!(said(&mut Connection::new(&login)), expected);
        }
        check(login(None, None, 0, Protocol::Resp2), &["PING"]);
        check(login(None, Some("p"), 3, Protocol::Resp2), &["AUTH p", "PING", "SELECT 3"]);
        check(login(Some("u"), Some("p"), 0, Protocol::Resp2), &["AUTH u p", "PING"]);
        check(login(None, None, 0, Protocol::Resp3), &["HELLO 3"]);
        check(login(None, Some("p"), 1, Protocol::Resp3), &["HELLO 3 AUTH default p", "SELECT 1"]);
    }

    #[test]
    fn commands_wait_until_we_are_let_in() {
        let mut connection = Connection::new(&login(None, Some("p"), 0, Protocol::Resp2));
        resp::command(["LLEN", "k"], connection.commands());
        assert_eq!(said(&mut connection), ["AUTH p", "PING"]);
        connection.inbox().extend_from_slice(b"+OK\r\n+PO");
        connection.enter().unwrap();
        assert!(!connection.is_ready() && connection.incoming().unwrap().is_none());
        connection.inbox().extend_from_slice(b"NG\r\n:5\r\n>1\r\n+x\r\n:");
        connection.enter().unwrap();
        assert_eq!(said(&mut connection), ["LLEN k"]);
        assert_eq!(connection.incoming().unwrap(), Some(Incoming::Answer(Value::Int(5))));
        assert_eq!(
            connection.incoming().unwrap(),
            Some(Incoming::Push(Value::Push(vec![Value::Simple(b"x")])))
        );
        assert_eq!(connection.incoming().unwrap(), None);
        connection.inbox().extend_from_slice(b"6\r\n");
        assert_eq!(connection.incoming().unwrap(), Some(Incoming::Answer(Value::Int(6))));
    }

    #[test]
    fn who_is_not_let_in_is_told() {
        let mut connection = Connection::new(&login(None, Some("p"), 0, Protocol::Resp2));
        connection.inbox().extend_from_slice(b"-WRONGPASS invalid\r\n");
        let error = connection.enter().unwrap_err();
        assert_eq!(error, ConnectionError::Refused("WRONGPASS invalid".to_owned(), "AUTH"));
        let mut connection = Connection::new(&Login::default());
        connection.inbox().extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n");
        assert!(matches!(connection.enter(), Err(ConnectionError::Resp(_))));
    }
}
