//! Real servers for the tests, each started at most once per run, when the first test asks for it.
//!
//! Tests share them, so they take topics and indices of their own (`unique`), and break only a
//! server that they started themselves. The scripts that fetch and serve are in `tests/services/`;
//! a server goes when this process ends, however it ends.

mod kafka;
mod server;
mod smoke;

pub(crate) use kafka::{Kafka, Options, kcat};
pub(crate) use server::Server;

use server::script;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Declares the function that hands out a server of this run.
macro_rules! shared {
    ($(#[$doc:meta])* $name:ident: $type:ty = $start:expr) => {
        $(#[$doc])*
        pub(crate) fn $name() -> &'static $type {
            static SERVER: OnceLock<Result<$type, String>> = OnceLock::new();
            SERVER.get_or_init(|| $start).as_ref().unwrap_or_else(|why| panic!("{why}"))
        }
    };
}

shared! {
    /// One broker of Kafka 3.9.
    kafka: Kafka = Kafka::start(Options::default())
}
shared! {
    /// Three brokers of Kafka 3.9; the TLS listeners want a client certificate.
    kafka_tls_three: Kafka = Kafka::start(Options { brokers: 3, client_auth: true, ..Options::default() })
}
shared! {
    /// One broker of Kafka 4.
    kafka_4: Kafka = Kafka::start(Options { name: "kafka-4", ..Options::default() })
}
shared! {
    /// One node of Elasticsearch 7.10.2.
    elasticsearch: Server = Server::start("elasticsearch", &[])
}
shared! {
    /// One node of OpenSearch 2.19.
    opensearch: Server = Server::start("opensearch", &[])
}
shared! {
    /// VictoriaLogs.
    victorialogs: Server = Server::start("victorialogs", &[])
}
shared! {
    /// Redis, which keeps nothing on disk.
    redis: Server = Server::start("redis", &[])
}

/// A program that the scripts fetch, if it is not there.
fn program(name: &str) -> PathBuf {
    let output = script().args(["program", name]).output().expect("the script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("UTF-8").trim())
}

/// A Go that is new enough for what the tests build.
pub(crate) fn go() -> PathBuf {
    program("go")
}

/// The real Filebeat, in a folder of its own for what it keeps; its own log goes to `filebeat.log`
/// there.
pub(crate) fn filebeat(folder: &Path, config: &Path) -> Command {
    let log = File::create(folder.join("filebeat.log")).expect("room");
    let mut command = Command::new(program("filebeat"));
    command.args(["-e", "--strict.perms=false", "-c"]).arg(config);
    command.arg("--path.home").arg(folder).arg("--path.data").arg(folder.join("data"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

/// A name that no other test uses in this run.
pub(crate) fn unique(name: &str) -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", TAKEN.fetch_add(1, Ordering::Relaxed))
}
