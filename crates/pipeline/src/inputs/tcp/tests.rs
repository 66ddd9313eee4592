use super::*;
use std::io::Write;
use std::net::{Shutdown, TcpStream};

fn input(options: &str) -> TcpInput {
    let mut config: Config = serde_json::from_str(options).unwrap();
    config.listen = vec!["127.0.0.1:0".to_owned()];
    let context = InputContext { batch_bytes: 1 << 18, ..InputContext::of_test() };
    config.build(context).unwrap()
}

/// As many events as are asked for, as JSON without the time.
fn events(input: &mut TcpInput, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let mut batch = Batch::new();
        assert_eq!(input.next(&mut batch, &Stop::new()).unwrap(), Next::Filled);
        for event in batch.events() {
            let mut out = Vec::new();
            event.write_json(&mut out);
            let text = String::from_utf8(out).unwrap();
            let source = text.find(",\"source\":").unwrap();
            found.push(text[source + 1..].to_owned());
        }
    }
    found
}

#[test]
fn messages_become_events() {
    #[track_caller]
    fn check(options: &str, sent: &[u8], expected: &[&str]) {
        let mut input = input(options);
        let mut stream = TcpStream::connect(input.addresses()[0]).unwrap();
        let port = stream.local_addr().unwrap().port();
        stream.write_all(sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let found = events(&mut input, expected.len());
        let common = format!(r#""source":{{"ip":"127.0.0.1","port":{port}}},"#);
        let found: Vec<&str> = found.iter().map(|text| text.strip_prefix(&common).unwrap()).collect();
        assert_eq!(found, expected);
    }
    check("{}", b"a\r\nb", &[r#""message":"a"}"#, r#""message":"b"}"#]);
    check(r#"{"delimiter":"\u0000"}"#, b"a\nb\0", &[r#""message":"a\nb"}"#]);
    check(
        r#"{"line_bytes_max":4}"#,
        b"12345678\nab\n",
        &[r#""message":"1234","log":{"flags":["truncated"]}}"#, r#""message":"ab"}"#],
    );
    check(r#"{"framing":"octet_counting"}"#, b"3 a\nb", &[r#""message":"a\nb"}"#]);
    check(r#"{"framing":"auto"}"#, b"4 <1>a<2>b\n", &[r#""message":"<1>a"}"#, r#""message":"<2>b"}"#]);
    check(
        r#"{"codec":"json"}"#,
        b"{\"a\":1}\n{\"message\":\"m\"}\nno\n[1]\n",
        &[
            r#""a":1}"#,
            r#""message":"m"}"#,
            r#""message":"no","tags":["_jsonparsefailure"]}"#,
            r#""message":"[1]","tags":["_jsonparsefailure"]}"#,
        ],
    );
    let long = "x".repeat(200 << 10);
    check("{}", format!("{long}\n").as_bytes(), &[&format!(r#""message":"{long}"}}"#)]);
}

#[test]
fn many_lines_of_many_connections_keep_their_order() {
    const LINES: usize = 5_000;
    let mut input = input(r#"{"intake_bytes":"64KiB"}"#);
    let address = input.addresses()[0];
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let lines: String = (0..LINES).map(|n| format!("{sender} {n}\n")).collect();
                for piece in lines.as_bytes().chunks(777) {
                    stream.write_all(piece).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; 4];
    for event in events(&mut input, 4 * LINES) {
        let line = event.split("\"message\":\"").nth(1).unwrap().trim_end_matches("\"}");
        let (sender, n) = line.split_once(' ').unwrap();
        let next = &mut next[sender.parse::<usize>().unwrap()];
        assert_eq!(n.parse::<usize>().unwrap(), *next);
        *next += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(next, [LINES; 4]);
}

#[test]
fn a_stream_that_is_not_counted_is_closed_and_what_came_before_is_kept() {
    let mut input = input(r#"{"framing":"octet_counting"}"#);
    let mut stream = TcpStream::connect(input.addresses()[0]).unwrap();
    stream.write_all(b"1 ano count\n").unwrap();
    assert!(events(&mut input, 1)[0].ends_with(r#""message":"a"}"#));
    assert_eq!(std::io::Read::read(&mut stream, &mut [0]).unwrap_or(0), 0);
    input.listening.complaints().wait_for("a connection was closed");
}

#[test]
fn options_are_checked() {
    let wrong = |options: &str| {
        let config: Config = serde_json::from_str(options).unwrap();
        config.check().unwrap_err().option
    };
    assert_eq!(wrong("{}"), "listen");
    let with = |options: &str| wrong(&format!(r#"{{"listen":["127.0.0.1:0"],{options}}}"#));
    assert_eq!(with(r#""delimiter":"""#), "delimiter");
    assert_eq!(with(r#""line_bytes_max":0"#), "line_bytes_max");
    assert_eq!(with(r#""idle_timeout":0"#), "idle_timeout");
}

#[test]
fn it_connects_to_servers_again_and_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config: Config =
        serde_json::from_str(&format!(r#"{{"hosts":["{address}"],"reconnect_pause":"10ms"}}"#)).unwrap();
    let context = InputContext { batch_bytes: 1 << 18, ..InputContext::of_test() };
    let mut input = config.build(context).unwrap();
    let server = std::thread::spawn(move || {
        for text in ["a\nb", "c\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    let source = format!(r#""source":{{"ip":"127.0.0.1","port":{}}},"#, address.port());
    let expected = ["a", "b", "c"].map(|text| format!(r#"{source}"message":"{text}"}}"#));
    assert_eq!(events(&mut input, 3), expected);
    server.join().unwrap();
    // When it is to end, it does not go on connecting.
    let stop = Stop::new();
    stop.set();
    assert_eq!(input.next(&mut Batch::new(), &stop).unwrap(), Next::Stopped);
}

#[test]
fn either_listens_or_connects() {
    #[track_caller]
    fn check(options: &str, option: &str) {
        let config: Config = serde_json::from_str(options).unwrap();
        assert_eq!(config.check().unwrap_err().option, option);
    }
    check("{}", "listen");
    check(r#"{"hosts":["a:1"],"listen":["b:1"]}"#, "hosts");
    check(r#"{"hosts":["a"]}"#, "hosts");
    check(r#"{"hosts":["a:1"],"tls":{}}"#, "tls");
    check(r#"{"listen":["a:1"],"hosts_tls":{}}"#, "hosts_tls");
    check(r#"{"hosts":["a:1"],"proxy_protocol":true}"#, "proxy_protocol");
    check(r#"{"hosts":["a:1"],"reconnect_pause":"0s"}"#, "reconnect_pause");
}
