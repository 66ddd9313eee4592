use super::*;
use event::Batch;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};

fn config(options: &str) -> Config {
    serde_json::from_str(options).unwrap()
}

fn batch(messages: &[&str]) -> Batch {
    crate::outputs::testing::batch(messages.iter().map(|message| format!("{{\"message\":\"{message}\"}}")))
}

fn give(output: &mut Tcp, sequence: u64, messages: &[&str]) {
    let batch = batch(messages);
    output.write(&Delivery { batch: &batch, bit: 1, sequence }, &mut Vec::new()).unwrap();
}

/// Waits until all is settled; gives back what was the trouble.
#[track_caller]
fn drain(output: &mut Tcp) -> Vec<String> {
    let mut troubles = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < until, "it takes too long: {troubles:?}");
        // It never waits, so that no trouble is over before it is told.
        match output.settled(false, &mut Vec::new()) {
            Ok(u64::MAX) => return troubles,
            Ok(_) => {}
            Err(error) => troubles.push(error.to_string()),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn address(output: &Tcp) -> SocketAddr {
    match &output.way {
        Way::In(peers) => peers.addresses()[0],
        Way::Out(_) => panic!("it does not listen"),
    }
}

/// Lines, of which each is waited for.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn take(&mut self, count: usize) -> Vec<String> {
        let next = |_| {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        (0..count).map(next).collect()
    }
}

#[test]
fn framings() {
    #[track_caller]
    fn check(options: &str, expected: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = config(options);
        config.hosts = vec![listener.local_addr().unwrap().to_string()];
        config.codec = Codec::Raw;
        let mut output = config.build().unwrap();
        give(&mut output, 0, &["a", "bcd"]);
        assert!(drain(&mut output).is_empty());
        drop(output);
        let mut found = String::new();
        listener.accept().unwrap().0.read_to_string(&mut found).unwrap();
        assert_eq!(found, expected);
    }
    check("{}", "a\nbcd\n");
    check(r#"{"delimiter":"\r\n"}"#, "a\r\nbcd\r\n");
    check(r#"{"delimiter":""}"#, "abcd");
    check(r#"{"framing":"octet_counting"}"#, "1 a3 bcd");
}

#[test]
fn it_connects_again_when_the_peer_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(r#"{"codec":"raw","retry_pause":"50ms"}"#);
    config.hosts = vec![listener.local_addr().unwrap().to_string()];
    let mut output = config.build().unwrap();
    give(&mut output, 0, &["a"]);
    drain(&mut output);
    let mut lines = Lines::new(listener.accept().unwrap().0);
    assert_eq!(lines.take(1), ["a"]);
    drop(lines);
    // It knows before the next event that nobody is there.
    while output.standing.trouble.is_none() {
        output.drive(Instant::now() + Duration::from_millis(20), |_| false);
    }
    give(&mut output, 1, &["b", "c"]);
    drain(&mut output);
    let mut lines = Lines::new(listener.accept().unwrap().0);
    assert_eq!(lines.take(2), ["b", "c"]);
}

#[test]
fn what_was_not_taken_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(r#"{"codec":"raw","memory_bytes_max":"64MiB","retry_pause":"10ms"}"#);
    config.hosts = vec![listener.local_addr().unwrap().to_string()];
    let mut output = config.build().unwrap();
    // More than the sockets of both sides take.
    let long = "x".repeat(60_000);
    let count = 400;
    for n in 0..count {
        give(&mut output, n, &[&format!("{n} {long}")]);
    }
    let (first, _) = listener.accept().unwrap();
    output.drive(Instant::now() + Duration::from_millis(300), |_| false);
    let before = output.oldest().unwrap();
    assert!(before < count, "not all of it fits into sockets");
    drop(first);
    let second =
        std::thread::spawn(move || Lines::new(listener.accept().unwrap().0).take((count - before) as usize));
    assert!(!drain(&mut output).is_empty());
    let lines = second.join().unwrap();
    let numbers = lines.iter().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
    assert!(numbers.eq(before..count), "all that was not settled, from its beginning");
}

#[test]
fn all_who_are_connected_get_events() {
    let mut output = config(r#"{"listen":["127.0.0.1:0"],"codec":"raw"}"#).build().unwrap();
    give(&mut output, 0, &["a"]);
    let waits = output.settled(true, &mut Vec::new()).unwrap_err();
    assert!(waits.to_string().contains("nobody is connected"), "{waits}");
    let mut first = Lines::new(TcpStream::connect(address(&output)).unwrap());
    drain(&mut output);
    assert_eq!(first.take(1), ["a"]);
    let mut second = Lines::new(TcpStream::connect(address(&output)).unwrap());
    give(&mut output, 1, &["b"]);
    drain(&mut output);
    assert_eq!([first.take(1), second.take(1)], [["b"], ["b"]]);
    drop(first);
    give(&mut output, 2, &["c", "d"]);
    drain(&mut output);
    assert_eq!(second.take(2), ["c", "d"]);
}

#[test]
fn nobody_gets_what_is_forgotten() {
    let options = r#"{"listen":["127.0.0.1:0"],"codec":"raw","nobody":"forget"}"#;
    let mut output = config(options).build().unwrap();
    give(&mut output, 0, &["a"]);
    assert!(drain(&mut output).is_empty());
    let mut lines = Lines::new(TcpStream::connect(address(&output)).unwrap());
    output.drive(Instant::now() + Duration::from_millis(50), |_| false);
    give(&mut output, 1, &["b"]);
    drain(&mut output);
    assert_eq!(lines.take(1), ["b"]);
}

#[test]
fn who_takes_nothing_is_closed() {
    let options =
        r#"{"listen":["127.0.0.1:0"],"codec":"raw","stall_timeout":"200ms","memory_bytes_max":"64MiB"}"#;
    let mut output = config(options).build().unwrap();
    let _silent = TcpStream::connect(address(&output)).unwrap();
    let reader = TcpStream::connect(address(&output)).unwrap();
    output.drive(Instant::now() + Duration::from_millis(50), |_| false);
    let reader = std::thread::spawn(move || Lines::new(reader).take(400).len());
    let long = "x".repeat(60_000);
    for n in 0..400 {
        give(&mut output, n, &[&long]);
    }
    drain(&mut output);
    assert_eq!(reader.join().unwrap(), 400);
}

#[test]
fn options_that_cannot_be() {
    #[track_caller]
    fn check(options: &str, expected: &str) {
        let error = config(options).check().unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    check("{}", "\"hosts\" is missing");
    check(r#"{"hosts":["a"]}"#, "\"hosts\"");
    check(r#"{"hosts":["a:1"],"listen":["b:1"]}"#, "either");
    check(r#"{"hosts":["a:1"],"listen_tls":{}}"#, "\"listen_tls\"");
    check(r#"{"listen":["a:1"],"tls":{}}"#, "\"tls\"");
    check(r#"{"listen":["a:1"],"listen_tls":{}}"#, "\"cert\" and \"key\"");
    check(r#"{"listen":["a:1"],"stall_timeout":"0s"}"#, "\"stall_timeout\"");
    check(r#"{"listen":["a:1"],"connections_max":0}"#, "\"connections_max\"");
}
