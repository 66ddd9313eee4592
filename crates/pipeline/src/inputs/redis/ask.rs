//! Commands to Redis and their answers, one round at a time.

use crate::inputs::redis::{BLOCK, BLOCK_SHORT};
use crate::net::redis::Client;
use crate::stop::Stop;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use wire::redis::connection::Incoming;
use wire::redis::{Value, resp};

/// How long a wait for a connection goes on before it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Sends commands and waits for what is answered.
pub(super) struct Asker {
    client: Client,
    timeout: Duration,
}

/// Commands that go together.
#[derive(Default)]
pub(super) struct Round {
    bytes: Vec<u8>,
    count: usize,
}

impl Round {
    /// Adds a command.
    pub(super) fn add<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        resp::command(arguments, &mut self.bytes);
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Asker {
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// Waits until there is a connection; false when it is to stop before.
    pub(super) fn connect(&mut self, stop: &Stop) -> Result<bool, String> {
        loop {
            let now = Instant::now();
            self.client.turn(now)?;
            if self.client.connection().is_some() {
                return Ok(true);
            }
            if stop.is_set() {
                return Ok(false);
            }
            self.client.wait(now + LOOK, &[]);
        }
    }

    /// Sends commands that are answered by what comes later, or not at all.
    pub(super) fn send(&mut self, round: &Round) -> Result<(), String> {
        let connection = self.client.connection().ok_or("there is no connection")?;
        connection.commands().extend_from_slice(&round.bytes);
        self.client.turn(Instant::now())
    }

    /// Sends commands and gives each answer to `each`, in their order. An error says that the
    /// connection is of no use any more, and that some were perhaps done and some not.
    pub(super) fn ask(
        &mut self,
        round: &Round,
        mut each: impl FnMut(usize, &Value<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.send(round)?;
        let until = Instant::now() + self.timeout + BLOCK;
        let mut answered = 0;
        while answered < round.count {
            let result = match self.client.incoming() {
                Ok(Some(Incoming::Answer(value))) => {
                    answered += 1;
                    each(answered - 1, &value)
                }
                // Nothing that comes unasked is of use here.
                Ok(Some(Incoming::Push(_))) => continue,
                Ok(None) => {
                    let now = Instant::now();
                    if now >= until {
                        return Err(self.client.lose(now, "no answer in time"));
                    }
                    self.client.wait(until, &[]);
                    self.client.turn(Instant::now())?;
                    continue;
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return Err(self.client.lose(Instant::now(), &error));
            }
        }
        Ok(())
    }

    /// Gives whatever came to `each`; waits a little when there is nothing.
    pub(super) fn listen(
        &mut self,
        until: Instant,
        mut each: impl FnMut(&Value<'_>) -> Result<bool, String>,
    ) -> Result<(), String> {
        let mut has_any = false;
        loop {
            match self.client.incoming() {
                Ok(Some(Incoming::Answer(value) | Incoming::Push(value))) => {
                    has_any = true;
                    match each(&value) {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(error) => return Err(self.client.lose(Instant::now(), &error)),
                    }
                }
                Ok(None) if has_any || Instant::now() >= until => return Ok(()),
                Ok(None) => {
                    self.client.wait(until, &[]);
                    self.client.turn(Instant::now())?;
                }
                Err(error) => return Err(self.client.lose(Instant::now(), &error)),
            }
        }
    }

    /// Gives the connection up; returns why, with the name of the server.
    pub(super) fn lose(&mut self, why: &str) -> String {
        self.client.lose(Instant::now(), why)
    }

    /// Waits until one of these is readable, at most until then.
    pub(super) fn wait(&self, until: Instant, also: &[BorrowedFd<'_>]) {
        self.client.wait(until, also);
    }
}

/// How long a read may block.
pub(super) fn block(in_flight: usize) -> Duration {
    if in_flight > 0 { BLOCK_SHORT } else { BLOCK }
}

/// An error as an error.
pub(super) fn refused(value: &Value<'_>) -> Result<(), String> {
    match value {
        Value::Error(error) => {
            let words = String::from_utf8_lossy(error);
            Err(format!("it answers {words:?}; {}", wire::redis::Fault::of(error).advice()))
        }
        _ => Ok(()),
    }
}
