use super::*;
use tokio::io::AsyncReadExt;

/// Hands on what it reads, as it comes, and says goodbye.
struct Echo;

impl Serve for Echo {
    type Load = (Vec<u8>, SocketAddr);

    async fn serve(
        self: Arc<Self>,
        mut connection: Connection,
        intake: Intake<Self::Load>,
    ) -> Result<(), String> {
        loop {
            let mut bytes = vec![0; 1024];
            let read = tokio::select! {
                read = connection.stream.read(&mut bytes) => read.map_err(|error| error.to_string())?,
                () = connection.closing.wait() => 0,
            };
            if read == 0 {
                return Ok(());
            }
            if bytes[0] == b'!' {
                return Err("a bad word".to_owned());
            }
            bytes.truncate(read);
            intake.bring((bytes, connection.peer), read).await;
        }
    }
}

fn listen() -> Listen {
    Listen {
        listen: vec!["127.0.0.1:0".to_owned()],
        tls: None,
        proxy_protocol: false,
        connections_max: 2,
        intake_bytes: 1 << 20,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn addresses_of_listeners() {
    assert_eq!(host_and_port("[::1]:0"), Ok(("::1", 0)));
    assert_eq!(host_and_port("logs.example.org:5044"), Ok(("logs.example.org", 5044)));
    for bad in ["", "5044", ":5044", "a:x", "a:70000", "::1:5044", "[::1]", "[x]:1", "http://a:1", "a b:1"] {
        assert!(host_and_port(bad).is_err(), "{bad}");
    }
    let wrong = |change: fn(&mut Listen)| {
        let mut listen = listen();
        change(&mut listen);
        listen.check().unwrap_err().0
    };
    assert_eq!(wrong(|listen| listen.listen.clear()), "listen");
    assert_eq!(wrong(|listen| listen.connections_max = 0), "connections_max");
    assert_eq!(wrong(|listen| listen.intake_bytes = 0), "intake_bytes");
    assert_eq!(wrong(|listen| listen.tls = Some(ServerTls::default())), "tls");
}

#[test]
fn what_is_sent_comes_and_the_end_is_orderly() {
    use std::io::Write;
    let mut listening = listen().start("i", Arc::new(Echo)).unwrap();
    let address = listening.addresses()[0];
    let taken = listen_at(address).start("j", Arc::new(Echo)).map(drop).unwrap_err();
    assert!(taken.1.contains("another program, or another input, listens there"), "{}", taken.1);

    let stop = Stop::new();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.write_all(b"hello").unwrap();
    let load = (b"hello".to_vec(), client.local_addr().unwrap());
    assert_eq!(listening.next(&stop, soon()), Taken::Load(load));
    assert_eq!(listening.next(&stop, Instant::now()), Taken::Nothing);
    stop.set();
    assert_eq!(listening.next(&stop, soon()), Taken::Over);
    assert!(std::net::TcpStream::connect(address).is_err());
}

fn listen_at(address: SocketAddr) -> Listen {
    Listen { listen: vec![address.to_string()], ..listen() }
}

#[test]
fn too_many_connections_and_bad_ones_are_counted() {
    use std::io::{Read, Write};
    let mut listening = listen().start("i", Arc::new(Echo)).unwrap();
    let address = listening.addresses()[0];
    let stop = Stop::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        assert!(matches!(listening.next(&stop, soon()), Taken::Load(_)));
        clients.push(client);
    }
    // The third is closed at once, whether it is told so by an end or by a reset.
    let mut third = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(third.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(listening.complaints().of("too many connections"), 1);
    clients[0].write_all(b"!").unwrap();
    assert_eq!(clients[0].read(&mut [0]).unwrap_or(0), 0);
    listening.complaints().wait_for("a connection was closed");
}

#[test]
fn a_proxy_says_for_whom_it_connects() {
    use std::io::Write;
    let proxied = Listen { proxy_protocol: true, ..listen() };
    let mut listening = proxied.start("i", Arc::new(Echo)).unwrap();
    let stop = Stop::new();
    let mut client = std::net::TcpStream::connect(listening.addresses()[0]).unwrap();
    client.write_all(b"PROXY TCP4 192.0.2.1 ").unwrap();
    std::thread::sleep(Duration::from_millis(30));
    client.write_all(b"198.51.100.2 51234 5044\r\nhello").unwrap();
    let load = (b"hello".to_vec(), "192.0.2.1:51234".parse().unwrap());
    assert_eq!(listening.next(&stop, soon()), Taken::Load(load));
    let mut other = std::net::TcpStream::connect(listening.addresses()[0]).unwrap();
    other.write_all(b"hello").unwrap();
    assert_eq!(std::io::Read::read(&mut other, &mut [0]).unwrap_or(0), 0);
    assert_eq!(listening.complaints().of("no PROXY header"), 1);
}
