//! Events into a real Redis and out of it.

use crate::http_output::{deliver, run, to};
use crate::pond::{PATIENCE, Pond};
use crate::proxy::{Mode, Proxy};
use crate::services::{Server, redis, unique};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};
use wire::redis::{Value, resp};

/// A connection of the test's own.
struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("Redis");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { stream, inbox: Vec::new() }
    }

    fn send(&mut self, words: &[&str]) {
        let mut bytes = Vec::new();
        resp::command(words, &mut bytes);
        self.stream.write_all(&bytes).expect("a socket");
    }

    /// The next answer, as texts: of a list those of its elements, however deep.
    fn answer(&mut self) -> Vec<String> {
        loop {
            if let Some((value, count)) = resp::decode(&self.inbox).expect("RESP") {
                let mut texts = Vec::new();
                flatten(&value, &mut texts);
                self.inbox.drain(..count);
                return texts;
            }
            let mut buffer = vec![0; 1 << 16];
            let count = self.stream.read(&mut buffer).expect("an answer");
            assert!(count > 0, "Redis closed the connection");
            self.inbox.extend_from_slice(&buffer[..count]);
        }
    }

    fn ask(&mut self, words: &[&str]) -> Vec<String> {
        self.send(words);
        self.answer()
    }

    fn number(&mut self, words: &[&str]) -> u64 {
        let answer = self.ask(words);
        answer[0].parse().unwrap_or_else(|_| panic!("{words:?}: {answer:?}"))
    }

    #[track_caller]
    fn wait_number(&mut self, words: &[&str], wanted: u64) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.number(words);
            if found == wanted {
                return;
            }
            assert!(Instant::now() < until, "{words:?}: {found}, and not {wanted} in time");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn flatten(value: &Value<'_>, texts: &mut Vec<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| flatten(element, texts)),
        Value::Int(number) => texts.push(number.to_string()),
        Value::Error(text) => texts.push(String::from_utf8_lossy(text).into_owned()),
        other => texts.extend(other.bytes().map(|text| String::from_utf8_lossy(text).into_owned())),
    }
}

fn lines(numbers: Range<usize>) -> String {
    numbers.map(|n| format!("{{\"n\":{n},\"message\":\"line {n:07} of a log\"}}\n")).collect()
}

fn to_redis(address: &str, options: &str) -> Pond {
    to("redis", &format!("hosts: ['{address}'], {options}"))
}

fn messages(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("line {n:07} of a log")).collect()
}

/// A pond that reads from Redis into the file `out.log`, one message in each line.
fn from_redis(address: &str, options: &str) -> Pond {
    let pond = Pond::new();
    let config = format!(
        "inputs: {{r: {{redis: {{hosts: ['{address}'], {options}}}}}}}\noutputs: {{o: {{file: {{path: '{}', codec: {{text: '%{{message}}'}}}}}}}}\n",
        pond.path("out.log").display(),
    );
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    pond
}

/// How often each line is in `out.log`.
fn written(pond: &Pond) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in std::fs::read_to_string(pond.path("out.log")).unwrap_or_default().lines() {
        *found.entry(line.to_owned()).or_default() += 1;
    }
    found
}

fn wait_written(pond: &mut Pond, wanted: usize) {
    pond.wait_for(&format!("{wanted} lines"), |pond| (written(pond).len() >= wanted).then_some(()));
}

/// Each message is there once, and nothing else.
#[track_caller]
fn assert_each_once(pond: &Pond, wanted: Range<usize>) {
    let found = written(pond);
    let again = found.values().filter(|count| **count > 1).count();
    assert_eq!(again, 0, "lines that came twice");
    assert!(found.into_keys().eq(messages(wanted)));
}

fn push(client: &mut Client, key: &str, texts: &[String]) {
    let words: Vec<&str> = ["RPUSH", key].into_iter().chain(texts.iter().map(String::as_str)).collect();
    client.ask(&words);
}

fn add(client: &mut Client, key: &str, texts: &[String]) {
    for text in texts {
        client.send(&["XADD", key, "*", "event", text]);
    }
    for _ in texts {
        client.answer();
    }
}

#[test]
fn lists_streams_and_channels_are_written() {
    let address = redis().address();
    let mut client = Client::connect(address);
    for protocol in ["resp2", "resp3"] {
        let list = unique("list");
        let options = format!("key: '{list}-%{{app}}', codec: raw, protocol: {protocol}, db: 2");
        let mut pond = to_redis(address, &options);
        let line =
            |n: usize| format!("{{\"app\":\"a{}\",\"message\":\"line {n:07} of a log\"}}\n", n / 1_500);
        pond.append("in.log", &(0..3_000).map(line).collect::<String>());
        deliver(&mut pond);
        client.ask(&["SELECT", "2"]);
        assert_eq!(client.ask(&["LRANGE", &format!("{list}-a0"), "0", "-1"]), messages(0..1_500));
        assert_eq!(client.ask(&["LRANGE", &format!("{list}-a1"), "0", "-1"]), messages(1_500..3_000));
        client.ask(&["SELECT", "0"]);
    }

    let stream = unique("stream");
    let mut pond = to_redis(
        address,
        &format!("type: stream, key: {stream}, fields: top_level, max_len: 500, max_len_exact: true"),
    );
    pond.append("in.log", &lines(0..2_000));
    deliver(&mut pond);
    assert_eq!(client.number(&["XLEN", &stream]), 500);
    let last = client.ask(&["XREVRANGE", &stream, "+", "-", "COUNT", "1"]);
    let field = |name: &str| last.iter().position(|word| word == name).map(|at| last[at + 1].clone());
    assert_eq!(
        (field("n").as_deref(), field("message").as_deref()),
        (Some("1999"), Some("line 0001999 of a log"))
    );

    let channel = unique("channel");
    let mut listener = Client::connect(address);
    listener.ask(&["SUBSCRIBE", &channel]);
    let mut pond = to_redis(address, &format!("type: channel, key: {channel}, codec: raw"));
    pond.append("in.log", &lines(0..500));
    deliver(&mut pond);
    for message in messages(0..500) {
        assert_eq!(listener.answer(), ["message", &channel, &message]);
    }
    drop(listener);
    pond.append("in.log", &lines(500..600));
    deliver(&mut pond);
    assert!(pond.said().contains("nobody listens") && pond.said().contains("events=100"), "{}", pond.said());
}

#[test]
fn a_key_of_another_type_sends_its_events_to_the_dead_letters_alone() {
    let address = redis().address();
    let mut client = Client::connect(address);
    let list = unique("typed");
    client.ask(&["SET", &format!("{list}-1"), "text"]);
    let mut pond = to_redis(address, &format!("key: '{list}-%{{k}}', codec: raw"));
    let line = |n: usize| format!("{{\"k\":{},\"message\":\"line {n:07} of a log\"}}\n", n % 3);
    pond.append("in.log", &((0..300).map(line).collect::<String>() + "{\"message\":\"no key\"}\n"));
    deliver(&mut pond);
    for k in [0, 2] {
        let wanted: Vec<String> = messages(0..300).into_iter().skip(k).step_by(3).collect();
        assert_eq!(client.ask(&["LRANGE", &format!("{list}-{k}"), "0", "-1"]), wanted);
    }
    let dead = pond.dead_letters();
    assert_eq!(dead.len(), 101);
    assert_eq!(dead.iter().filter(|letter| letter.contains("WRONGTYPE")).count(), 100);
    assert!(dead.iter().any(|letter| letter.contains("no field") && letter.contains("no key")));
}

#[test]
fn what_passes_is_waited_for() {
    let server = Server::start("redis", &[]).expect("Redis");
    let mut client = Client::connect(server.address());
    let folder = tempfile::tempdir().expect("a directory");
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong\n").expect("a file");
    client.ask(&["CONFIG", "SET", "requirepass", "right"]);
    let options = format!(
        "key: l, codec: raw, password_file: '{}', congestion_threshold: 300, congestion_interval: 50ms",
        password.display()
    );
    let mut pond = to_redis(server.address(), &options);
    pond.append("in.log", &lines(0..100));
    run(&mut pond, &[]);
    pond.wait_for("word of the password", |pond| pond.said().contains("WRONGPASS").then_some(()));
    std::fs::write(&password, "right\n").expect("a file");
    client.wait_number(&["LLEN", "l"], 100);

    let used = client.ask(&["INFO", "memory"]).concat();
    assert!(used.contains("used_memory:"));
    client.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    pond.append("in.log", &lines(100..200));
    pond.wait_for("word of the memory", |pond| pond.said().contains("OOM").then_some(()));
    client.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    client.wait_number(&["LLEN", "l"], 200);

    pond.append("in.log", &lines(200..300));
    client.wait_number(&["LLEN", "l"], 300);
    pond.append("in.log", &lines(300..400));
    pond.wait_for("word of the list", |pond| pond.said().contains("holds 300").then_some(()));
    assert_eq!(client.ask(&["LPOP", "l", "250"]), messages(0..250));
    client.wait_number(&["LLEN", "l"], 150);
    assert_eq!(client.ask(&["LRANGE", "l", "0", "-1"]), messages(250..400));
    assert!(pond.stop().success());
    assert!(pond.dead_letters().is_empty());
}

#[test]
fn a_replica_is_left_for_its_master_and_a_dead_server_for_a_live_one() {
    let (replica, master) = (Server::start("redis", &[]).expect("Redis"), redis());
    let (host, port) = master.address().split_once(':').expect("a port");
    Client::connect(replica.address()).ask(&["REPLICAOF", host, port]);
    let list = unique("master");
    let hosts = format!("127.0.0.1:9', '{}', '{}", replica.address(), master.address());
    let mut pond = to_redis(&hosts, &format!("key: {list}, codec: raw"));
    pond.append("in.log", &lines(0..1_000));
    deliver(&mut pond);
    assert_eq!(Client::connect(master.address()).ask(&["LRANGE", &list, "0", "-1"]), messages(0..1_000));
    // READONLY, or LOADING while it was copied: it was asked, and left.
    let errors = Client::connect(replica.address()).ask(&["INFO", "errorstats"]).concat();
    assert!(errors.contains("errorstat_"), "{errors}");
}

#[test]
fn connections_are_cut_and_ponds_killed_and_no_line_is_missing() {
    let server = redis();
    let proxy = Proxy::start(server.address());
    let mut client = Client::connect(server.address());
    let list = unique("harmed");
    let mut pond = to_redis(proxy.address(), &format!("key: {list}, codec: raw, batch_events: 20"));
    let mut from = 0;
    for mode in [Mode::Cut, Mode::LoseAnswers, Mode::Delay(Duration::from_millis(3))] {
        run(&mut pond, &[]);
        proxy.set(mode.clone());
        pond.append("in.log", &lines(from..from + 1_000));
        pond.wait_for(&format!("harm by {mode:?}"), |_| (proxy.done() > 2).then_some(()));
        proxy.set(Mode::Pass);
        pond.append("in.log", &lines(from + 1_000..from + 2_000));
        pond.kill();
        from += 2_000;
    }
    deliver(&mut pond);
    let mut found = client.ask(&["LRANGE", &list, "0", "-1"]);
    found.sort();
    found.dedup();
    assert!(found == messages(0..from), "{} of {from} lines", found.len());
}

#[test]
fn lists_are_read_and_emptied() {
    let address = redis().address();
    let mut client = Client::connect(address);
    for options in ["reliable: true", "reliable: false", "reliable: true, protocol: resp3, pop: right"] {
        let (one, two) = (unique("read"), unique("read"));
        push(&mut client, &one, &messages(0..1_000));
        push(&mut client, &two, &messages(1_000..1_500));
        let mut pond = from_redis(
            address,
            &format!("keys: ['{one}', '{two}'], codec: raw, instance: me, count: 100, {options}"),
        );
        run(&mut pond, &[]);
        wait_written(&mut pond, 1_500);
        push(&mut client, &two, &messages(1_500..1_600));
        wait_written(&mut pond, 1_600);
        // What is safe is removed while it runs.
        client.wait_number(&["LLEN", &format!("{one}.me")], 0);
        client.wait_number(&["LLEN", &format!("{two}.me")], 0);
        assert!(pond.stop().success());
        assert_each_once(&pond, 0..1_600);
        assert_eq!((client.number(&["LLEN", &one]), client.number(&["LLEN", &two])), (0, 0));
    }
}

#[test]
fn what_was_taken_from_a_list_survives_kills_and_cut_connections() {
    let server = redis();
    let proxy = Proxy::start(server.address());
    let mut client = Client::connect(server.address());
    let list = unique("killed");
    let mut pond =
        from_redis(proxy.address(), &format!("keys: ['{list}'], codec: raw, instance: me, count: 50"));
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..6 {
        push(&mut client, &list, &messages(round * 500..(round + 1) * 500));
        let mode = [Mode::Delay(Duration::from_millis(2)), Mode::LoseAnswers, Mode::Pass][round % 3].clone();
        proxy.set(mode.clone());
        run(&mut pond, &[]);
        match mode {
            Mode::LoseAnswers => {
                pond.wait_for("harm", |_| (proxy.done() > 1).then_some(()));
                proxy.set(Mode::Pass);
            }
            _ => {
                let before = written(&pond).len();
                let wanted = before + random.usize(1..300);
                wait_written(&mut pond, wanted);
            }
        }
        pond.kill();
    }
    proxy.set(Mode::Pass);
    run(&mut pond, &[]);
    wait_written(&mut pond, 3_000);
    client.wait_number(&["LLEN", &format!("{list}.me")], 0);
    assert!(pond.stop().success());
    assert!(written(&pond).into_keys().eq(messages(0..3_000)));
}

#[test]
fn entries_of_a_stream_keep_their_ids_whoever_is_killed() {
    let server = redis();
    let mut client = Client::connect(server.address());
    let stream = unique("entries");
    let mut pond = Pond::new();
    let config = format!(
        "inputs: {{r: {{redis: {{hosts: ['{}'], type: stream, keys: ['{stream}'], codec: raw, count: 50}}}}}}\noutputs: {{store: {{store: {{}}}}}}\napi: {{listen: '127.0.0.1:0'}}\n",
        server.address()
    );
    std::fs::write(pond.path("logpond.yaml"), config).expect("a file");
    for round in 0..4 {
        add(&mut client, &stream, &messages(round * 500..(round + 1) * 500));
        run(&mut pond, &[]);
        pond.wait_address();
        let wanted = round as u64 * 500 + fastrand::u64(1..400);
        pond.wait_for("more entries", |pond| (pond.count()? >= wanted).then_some(()));
        pond.kill();
    }
    run(&mut pond, &[]);
    pond.wait_address();
    // One that was in the queue and not yet acknowledged comes again, and is known by its id.
    let ids = pond.wait_for("all entries", |pond| {
        let found = pond.get("/_search?size=10000")?;
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for hit in found["hits"]["hits"].as_array()? {
            let message = hit["_source"]["message"].as_str()?.to_owned();
            ids.entry(message).or_default().insert(hit["_id"].as_str()?.to_owned());
        }
        (ids.len() == 2_000).then_some(ids)
    });
    assert!(ids.values().all(|ids| ids.len() == 1), "an entry has two ids");
    let pending = |client: &mut Client| client.ask(&["XPENDING", &stream, "logpond"])[0].clone();
    pond.wait_for("acknowledgments", |_| (pending(&mut client_of(server)) == "0").then_some(()));
    let found = pond.get("/_search?size=1&q=message:0001999").expect("an answer");
    assert_eq!(found["hits"]["hits"][0]["_source"]["redis"]["key"], stream, "{found:#}");
    assert!(pond.stop().success());
    assert_eq!(pending(&mut client), "0");
}

#[test]
fn all_goes_through_tls() {
    let server = redis();
    let (plain, tls) = (server.address(), server.told("tls"));
    let list = unique("tls");
    let ca = server.file("ca.crt").display().to_string();
    let mut pond =
        to_redis(&format!("rediss://{tls}"), &format!("key: {list}, codec: raw, tls: {{ca: '{ca}'}}"));
    pond.append("in.log", &lines(0..5_000));
    deliver(&mut pond);
    assert_eq!(Client::connect(plain).ask(&["LRANGE", &list, "0", "-1"]), messages(0..5_000));
    let mut pond = from_redis(tls, &format!("keys: ['{list}'], codec: raw, tls: {{ca: '{ca}'}}"));
    run(&mut pond, &[]);
    wait_written(&mut pond, 5_000);
    assert!(pond.stop().success());
    assert_each_once(&pond, 0..5_000);

    for (address, tls, expected) in [
        (tls, "tls: {verification: none, ca: '/nowhere'}", "/nowhere"),
        (tls, "tls: {}", "tls.ca"),
        (tls, "db: 0", "does it want TLS?"),
        (plain, "connect_timeout: 1s, tls: {verification: none}", "does it speak TLS on this port?"),
    ] {
        let mut pond = to_redis(address, &format!("key: {list}, {tls}"));
        pond.append("in.log", &lines(0..1));
        if expected == "/nowhere" {
            let mut command = pond.command(&["run", "-c"]);
            let output = command.arg(pond.path("logpond.yaml")).arg("--data-dir").arg(pond.data()).output();
            let said = String::from_utf8_lossy(&output.expect("the binary starts").stderr).into_owned();
            assert!(said.contains(expected), "{said}");
            continue;
        }
        run(&mut pond, &[]);
        pond.wait_for(expected, |pond| pond.said().contains(expected).then_some(()));
        pond.stop();
    }
}

fn client_of(server: &Server) -> Client {
    Client::connect(server.address())
}

#[test]
fn what_a_dead_member_left_is_taken_over() {
    let address = redis().address();
    let mut client = Client::connect(address);
    let (one, two) = (unique("left"), unique("left"));
    for key in [&one, &two] {
        client.ask(&["XGROUP", "CREATE", key, "logpond", "0", "MKSTREAM"]);
    }
    add(&mut client, &one, &messages(0..300));
    // It reads, and is never heard of again.
    client.ask(&["XREADGROUP", "GROUP", "logpond", "dead", "COUNT", "200", "STREAMS", &one, ">"]);
    let options = format!(
        "type: stream, keys: ['{one}', '{two}'], codec: raw, claim_idle: 200ms, claim_interval: 100ms, count: 30"
    );
    let mut pond = from_redis(address, &options);
    run(&mut pond, &[]);
    wait_written(&mut pond, 300);
    add(&mut client, &two, &messages(300..400));
    wait_written(&mut pond, 400);
    pond.wait_for("acknowledgments", |_| {
        (Client::connect(address).ask(&["XPENDING", &one, "logpond"])[0] == "0").then_some(())
    });
    assert!(pond.stop().success());
    assert_each_once(&pond, 0..400);
}

#[test]
fn channels_and_patterns_are_heard() {
    let address = redis().address();
    let mut client = Client::connect(address);
    for (kind, protocol) in [("channel", "resp2"), ("pattern", "resp3")] {
        let channel = unique("heard");
        let key =
            if kind == "pattern" { format!("{}*", &channel[..channel.len() - 1]) } else { channel.clone() };
        let mut pond =
            from_redis(address, &format!("type: {kind}, keys: ['{key}'], codec: raw, protocol: {protocol}"));
        run(&mut pond, &[]);
        // The first that somebody hears proves that they are listening.
        let until = Instant::now() + PATIENCE;
        while client.number(&["PUBLISH", &channel, "line 0000000 of a log"]) == 0 {
            assert!(Instant::now() < until, "nobody listens");
            std::thread::sleep(Duration::from_millis(10));
        }
        for message in messages(1..1_000) {
            client.send(&["PUBLISH", &channel, &message]);
        }
        for _ in 1..1_000 {
            assert_eq!(client.answer(), ["1"]);
        }
        wait_written(&mut pond, 1_000);
        assert!(pond.stop().success());
        assert_each_once(&pond, 0..1_000);
    }
}
