//! Others who do the same as our rows, on the same lines, beside us in the same run: whoever of
//! them is installed.

use crate::measure::{self, cpu_of};
use crate::rows::{Place, count_lines};
use crate::service::new_name;
use crate::sink::Sink;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many lines each of them gets; they are slower than we are.
pub(crate) const LINES: u64 = 500_000;
/// Who is not ready by then is measured by what arrived.
const PATIENCE: Duration = Duration::from_secs(240);

/// From where to where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    FileToFile,
    FileToKafka,
    FileToBulk,
    KafkaToBulk,
    /// A real one: it is the limit, so what counts is events/s.
    FileToElasticsearch,
}

impl Way {
    fn corpus(self) -> &'static str {
        match self {
            Way::FileToFile | Way::FileToBulk | Way::FileToElasticsearch => "plain",
            Way::FileToKafka => "access",
            Way::KafkaToBulk => "message",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::FileToFile => "file → file",
            Way::FileToKafka => "file → Kafka",
            Way::FileToBulk => "file → bulk",
            Way::KafkaToBulk => "Kafka → JSON → bulk",
            Way::FileToElasticsearch => "file → Elasticsearch",
        }
    }
}

struct Peer {
    name: &'static str,
    program: &'static str,
    /// What its config is called; it decides about the format.
    file: &'static str,
    /// Behind which the arguments name the config and its folder, as `CONFIG` and `WORK`.
    arguments: &'static [&'static str],
    ways: &'static [Config],
}

struct Config {
    way: Way,
    /// A file without which it cannot be done, in one of these places.
    needs: &'static [&'static str],
    text: &'static str,
}

const fn config(way: Way, text: &'static str) -> Config {
    Config { way, needs: &[], text }
}

/// The module of rsyslog for Elasticsearch, where distributions put it.
const OMELASTICSEARCH: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/rsyslog/omelasticsearch.so", "/usr/lib64/rsyslog/omelasticsearch.so"];
const RSYSLOG_BULK: &str = r#"global(workDirectory="WORK")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="doc" type="list" option.jsonf="on") {
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}
ruleset(name="r") { action(type="omelasticsearch" server="SINKHOST" serverport="SINKPORT" template="doc" searchIndex="INDEX" searchType="" bulkmode="on" queue.type="linkedlist" queue.dequeuebatchsize="2000") }
input(type="imfile" file="IN" tag="b" ruleset="r")
"#;
const FILEBEAT_BULK: &str = "filebeat.inputs: [{type: log, paths: ['IN']}]
output.elasticsearch: {hosts: ['http://SINKHOST:SINKPORT'], index: INDEX, compression_level: 0}
setup.template.enabled: false
setup.ilm.enabled: false
logging.level: error
";
const FLUENT_BIT_BULK: &str = "[INPUT]
    name tail
    path IN
    read_from_head on
[OUTPUT]
    name es
    match *
    host SINKHOST
    port SINKPORT
    index INDEX
    suppress_type_name on
";
const VECTOR_BULK: &str = "data_dir: WORK
sources: {i: {type: file, include: ['IN'], read_from: beginning}}
sinks: {o: {type: elasticsearch, inputs: [i], endpoints: ['http://SINKHOST:SINKPORT'], api_version: v7, compression: none, bulk: {index: INDEX}}}
";

/// They read from the beginning, are asked to have everything acknowledged, and compress nothing.
const PEERS: [Peer; 6] = [
    // For what is counted by the server, so that all is counted in one way.
    Peer {
        name: "logpond",
        program: "logpond",
        file: "logpond.yaml",
        arguments: &["--log-level", "error", "run", "-c", "CONFIG", "--data-dir", "WORK/data"],
        ways: &[config(
            Way::FileToElasticsearch,
            "inputs: {i: {file: {paths: ['IN']}}}
queue: none
outputs: {o: {elasticsearch: {endpoints: ['http://SINKHOST:SINKPORT'], index: INDEX}}}
",
        )],
    },
    Peer {
        name: "kcat",
        program: "kcat",
        file: "none",
        arguments: &[
            "-b", "BROKER", "-P", "-t", "TOPIC", "-X", "acks=all", "-X", "linger.ms=5", "-l", "IN",
        ],
        ways: &[config(Way::FileToKafka, "")],
    },
    Peer {
        name: "rsyslog",
        program: "rsyslogd",
        file: "rsyslog.conf",
        arguments: &["-n", "-f", "CONFIG", "-i", "WORK/pid"],
        ways: &[
            config(
                Way::FileToFile,
                r#"global(workDirectory="WORK")
module(load="imfile" mode="inotify")
template(name="raw" type="string" string="%msg%\n")
ruleset(name="r") { action(type="omfile" file="OUT" template="raw" ioBufferSize="64k") }
input(type="imfile" file="IN" tag="b" ruleset="r")
"#,
            ),
            Config {
                way: Way::FileToKafka,
                needs: &["/usr/lib/x86_64-linux-gnu/rsyslog/omkafka.so", "/usr/lib64/rsyslog/omkafka.so"],
                text: r#"global(workDirectory="WORK")
module(load="imfile" mode="inotify")
module(load="omkafka")
template(name="value" type="string" string="%msg%")
ruleset(name="r") { action(type="omkafka" broker=["BROKER"] topic="TOPIC" template="value" confParam=["acks=all", "linger.ms=5"]) }
input(type="imfile" file="IN" tag="b" ruleset="r")
"#,
            },
            Config { way: Way::FileToBulk, needs: &OMELASTICSEARCH, text: RSYSLOG_BULK },
            Config { way: Way::FileToElasticsearch, needs: &OMELASTICSEARCH, text: RSYSLOG_BULK },
        ],
    },
    Peer {
        name: "Filebeat",
        program: "filebeat",
        file: "filebeat.yml",
        arguments: &["-c", "CONFIG", "--path.home", "WORK", "--path.data", "WORK/data", "--strict.perms=false"],
        ways: &[
            config(
                Way::FileToKafka,
                "filebeat.inputs: [{type: log, paths: ['IN']}]
output.kafka: {hosts: ['BROKER'], topic: TOPIC, required_acks: -1, compression: none}
logging.level: error
",
            ),
            config(Way::FileToBulk, FILEBEAT_BULK),
            config(Way::FileToElasticsearch, FILEBEAT_BULK),
            config(
                Way::KafkaToBulk,
                "filebeat.inputs: [{type: kafka, hosts: ['BROKER'], topics: [LOADED], group_id: TOPIC}]
processors: [{decode_json_fields: {fields: [message], target: ''}}]
output.elasticsearch: {hosts: ['http://SINKHOST:SINKPORT'], index: INDEX, compression_level: 0}
setup.template.enabled: false
setup.ilm.enabled: false
logging.level: error
",
            ),
        ],
    },
    Peer {
        name: "Fluent Bit",
        program: "fluent-bit",
        file: "fluent-bit.conf",
        arguments: &["-q", "-c", "CONFIG"],
        ways: &[
            config(
                Way::FileToKafka,
                "[INPUT]
    name tail
    path IN
    read_from_head on
[OUTPUT]
    name kafka
    match *
    brokers BROKER
    topics TOPIC
    rdkafka.request.required.acks -1
",
            ),
            config(Way::FileToBulk, FLUENT_BIT_BULK),
            config(Way::FileToElasticsearch, FLUENT_BIT_BULK),
            config(
                Way::KafkaToBulk,
                "[INPUT]
    name kafka
    brokers BROKER
    topics LOADED
    group_id TOPIC
    format json
    rdkafka.auto.offset.reset earliest
[OUTPUT]
    name es
    match *
    host SINKHOST
    port SINKPORT
    index INDEX
    suppress_type_name on
",
            ),
        ],
    },
    Peer {
        name: "Vector",
        program: "vector",
        file: "vector.yaml",
        arguments: &["-q", "-c", "CONFIG"],
        ways: &[
            config(
                Way::FileToKafka,
                "data_dir: WORK
sources: {i: {type: file, include: ['IN'], read_from: beginning}}
sinks: {o: {type: kafka, inputs: [i], bootstrap_servers: 'BROKER', topic: TOPIC, encoding: {codec: json}, librdkafka_options: {acks: all}}}
",
            ),
            config(Way::FileToBulk, VECTOR_BULK),
            config(Way::FileToElasticsearch, VECTOR_BULK),
            config(
                Way::KafkaToBulk,
                "data_dir: WORK
sources: {i: {type: kafka, bootstrap_servers: 'BROKER', topics: [LOADED], group_id: TOPIC, auto_offset_reset: earliest}}
transforms: {t: {type: remap, inputs: [i], source: '. = merge(., object!(parse_json!(.message)))'}}
sinks: {o: {type: elasticsearch, inputs: [t], endpoints: ['http://SINKHOST:SINKPORT'], api_version: v7, compression: none, bulk: {index: INDEX}}}
",
            ),
        ],
    },
];

fn rows() -> impl Iterator<Item = (&'static Peer, &'static Config, String)> {
    PEERS.iter().flat_map(|peer| {
        peer.ways.iter().map(move |config| (peer, config, format!("{}: {}", peer.name, config.way.name())))
    })
}

/// Whether any of the wanted rows reads such lines.
pub(crate) fn wants(corpus: &str, wanted: &impl Fn(&str) -> bool) -> bool {
    rows().any(|(peer, config, name)| {
        config.way.corpus() == corpus && wanted(&name) && installed(peer, config).is_ok()
    })
}

/// Prints the rows of all who are here, and who is missing.
pub(crate) fn measure(place: &Place<'_>, base: f64, wanted: &impl Fn(&str) -> bool) -> io::Result<()> {
    for (peer, config, name) in rows().filter(|(.., name)| wanted(name)) {
        match installed(peer, config) {
            Err(missing) => println!("{name:<26} ({missing} is not installed)"),
            // One who cannot be measured does not hide the others.
            Ok(program) => {
                if let Err(error) = row(peer, config, &name, &program, place, base) {
                    println!("{name:<26} ({error})");
                }
            }
        }
    }
    Ok(())
}

/// Where the program is, or what is missing.
fn installed(peer: &Peer, config: &Config) -> Result<PathBuf, &'static str> {
    if let Some(first) = config.needs.first()
        && !config.needs.iter().any(|file| Path::new(file).exists())
    {
        return Err(first.rsplit('/').next().unwrap_or(first));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
    // System programs are not on the path of every user.
    let folders =
        own.into_iter().chain(std::env::split_paths(&path)).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(peer.program)).find(|program| program.exists()).ok_or(peer.program)
}

fn row(
    peer: &Peer,
    config: &Config,
    name: &str,
    program: &Path,
    place: &Place<'_>,
    base: f64,
) -> io::Result<()> {
    let work = tempfile::tempdir_in(place.folder)?;
    let lines = format!("{}-peers", config.way.corpus());
    let source = place.folder.join(&lines);
    let (file, out) = (work.path().join(peer.file), work.path().join("out"));
    // Of the topic or the index.
    let target = new_name();
    let sink = Sink::start()?;
    let address = match config.way {
        Way::FileToElasticsearch => place.search_server()?.address(),
        _ => sink.address().trim_start_matches("http://"),
    };
    let (host, port) = address.split_once(':').unwrap_or_default();
    let (mut broker, mut loaded) = (None, String::new());
    if matches!(config.way, Way::FileToKafka | Way::KafkaToBulk) {
        broker = Some(place.broker()?);
    }
    match config.way {
        Way::KafkaToBulk => loaded = place.loaded(&lines)?,
        Way::FileToKafka => place.broker()?.topic(&target)?,
        Way::FileToFile | Way::FileToBulk | Way::FileToElasticsearch => {}
    }
    let fill = |text: &str| {
        let pairs = [
            ("CONFIG", file.display().to_string()),
            ("WORK", work.path().display().to_string()),
            ("OUT", out.display().to_string()),
            ("BROKER", broker.map_or_else(String::new, |broker| broker.bootstrap().to_owned())),
            ("TOPIC", target.clone()),
            ("INDEX", target.clone()),
            ("LOADED", loaded.clone()),
            ("SINKHOST", host.to_owned()),
            ("SINKPORT", port.to_owned()),
            ("IN", source.display().to_string()),
        ];
        replace(text, &pairs)
    };
    fs::write(&file, fill(config.text))?;
    let begun = Instant::now();
    let child = Command::new(program)
        .args(peer.arguments.iter().map(|argument| fill(argument)))
        .current_dir(work.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = Running(child);
    let mut arrived = 0;
    let (mut cpu, mut rss) = (Duration::ZERO, 0);
    while arrived < LINES && begun.elapsed() < PATIENCE {
        // Questions to a server keep it from its work.
        std::thread::sleep(Duration::from_millis(match config.way {
            Way::FileToElasticsearch => 500,
            _ => 50,
        }));
        arrived = match config.way {
            Way::FileToFile => {
                if out.exists() {
                    count_lines(&out)?
                } else {
                    0
                }
            }
            Way::FileToKafka => place.broker()?.records(&target).unwrap_or(0),
            Way::FileToBulk | Way::KafkaToBulk => sink.events().unwrap_or(0),
            Way::FileToElasticsearch => place.search_server()?.taken(&target).unwrap_or(0),
        };
        // What it took so far; one that ends by itself has no figures any more.
        cpu = cpu.max(cpu_of(running.0.id()));
        rss = measure::peak_rss(Path::new(&format!("/proc/{}/status", running.0.id()))).unwrap_or(rss);
    }
    let wall = begun.elapsed().as_secs_f64();
    if let Some(status) = running.0.try_wait()?
        && !status.success()
    {
        return Err(io::Error::other(format!("it ended with {status}")));
    }
    if config.way == Way::FileToElasticsearch {
        arrived = place.search_server()?.documents(&target).unwrap_or(arrived);
    }
    if arrived == 0 {
        return Err(io::Error::other(format!("nothing arrived within {} s", PATIENCE.as_secs())));
    }
    let cpu = cpu.as_secs_f64() * 1e6 / arrived.max(1) as f64;
    println!(
        "{name:<26} {:>7} {cpu:>10.3} {:>8.1} {:>8} {:>12.0} {:>9.0} {:>9} {:>8}",
        "",
        if base > 0.0 { cpu / base } else { 0.0 },
        "",
        arrived as f64 / wall,
        rss as f64 / 1024.0,
        "",
        LINES as i64 - arrived as i64
    );
    Ok(())
}

/// Puts each value in the place of its word, where the word stands alone.
fn replace(text: &str, pairs: &[(&str, String)]) -> String {
    let is_word = |c: char| c.is_ascii_uppercase();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_word) {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|c| !is_word(c)).map_or(rest.len(), |end| at + end);
        let word = &rest[at..end];
        out.push_str(pairs.iter().find(|(name, _)| *name == word).map_or(word, |(_, value)| value));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
