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
    let mut listening = listen().start("i", &Sockets::default(), Arc::new(Echo)).unwrap();
    let address = listening.addresses()[0];
    let taken = listen_at(address).start("j", &Sockets::default(), Arc::new(Echo)).map(drop).unwrap_err();
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
    let mut listening = listen().start("i", &Sockets::default(), Arc::new(Echo)).unwrap();
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
    let mut listening = proxied.start("i", &Sockets::default(), Arc::new(Echo)).unwrap();
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

/// A path of the certificates for tests.
fn data(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-data").join(name)
}

fn server_tls(client_auth: ClientAuth) -> ServerTls {
    let ca = if client_auth == ClientAuth::None { Vec::new() } else { vec![data("ca.pem")] };
    ServerTls { cert: data("server.pem"), key: data("server.key"), ca, client_auth, ..ServerTls::default() }
}

#[test]
fn tls_lets_in_whom_it_is_told_to() {
    use crate::net::tls::TlsConfig;
    use std::io::{Read, Write};

    /// Whether somebody with such a certificate is let in.
    #[track_caller]
    fn check(client_auth: ClientAuth, own: Option<&str>, expected: bool) {
        let listen = Listen { tls: Some(server_tls(client_auth)), ..listen() };
        let mut listening = listen.start("i", &Sockets::default(), Arc::new(Echo)).unwrap();
        let client = TlsConfig {
            ca: Some(data("ca.pem")),
            cert: own.map(|own| data(&format!("{own}.pem"))),
            key: own.map(|own| data(&format!("{own}.key"))),
            ..TlsConfig::default()
        };
        let name = "localhost".try_into().unwrap();
        let mut session = rustls::ClientConnection::new(client.build().unwrap(), name).unwrap();
        let mut socket = std::net::TcpStream::connect(listening.addresses()[0]).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        // With TLS 1.3 a client learns only behind its own handshake that it is not let in.
        let is_sent = stream.write_all(b"hello").is_ok();
        if expected {
            assert!(is_sent);
            let stop = Stop::new();
            let Taken::Load((bytes, _)) = listening.next(&stop, soon()) else { panic!("nothing came") };
            assert_eq!(bytes, b"hello");
        } else {
            assert!(stream.read(&mut [0]).is_err());
            listening.complaints().wait_for("no TLS handshake");
        }
    }
    check(ClientAuth::None, None, true);
    check(ClientAuth::Optional, None, true);
    check(ClientAuth::Optional, Some("client"), true);
    check(ClientAuth::Required, Some("client"), true);
    check(ClientAuth::Required, None, false);
    // It is for servers.
    check(ClientAuth::Required, Some("elsewhere"), false);
    check(ClientAuth::Optional, Some("elsewhere"), false);
}

#[test]
fn both_sides_must_speak_a_version() {
    use crate::net::tls::TlsConfig;
    use TlsVersion::{Tls12, Tls13};
    /// The version that is spoken between a client of these versions and a server of one.
    fn spoken(client: [Option<TlsVersion>; 2], server: TlsVersion) -> Option<rustls::ProtocolVersion> {
        let server = ServerTls { min_version: server, max_version: server, ..server_tls(ClientAuth::None) };
        let [min_version, max_version] = client;
        let client = TlsConfig { ca: Some(data("ca.pem")), min_version, max_version, ..TlsConfig::default() };
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(client.build().unwrap(), name).unwrap();
        let mut server = rustls::ServerConnection::new(server.build().unwrap()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets().ok()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets().ok()?;
        }
        client.protocol_version()
    }
    let [one_two, one_three] = [rustls::ProtocolVersion::TLSv1_2, rustls::ProtocolVersion::TLSv1_3];
    assert_eq!(spoken([None, None], Tls12), Some(one_two));
    assert_eq!(spoken([None, None], Tls13), Some(one_three));
    assert_eq!(spoken([Some(Tls13), None], Tls12), None);
    assert_eq!(spoken([Some(Tls13), Some(Tls13)], Tls13), Some(one_three));
    assert_eq!(spoken([None, Some(Tls12)], Tls13), None);
    let wrong = TlsConfig { min_version: Some(Tls13), max_version: Some(Tls12), ..TlsConfig::default() };
    assert!(wrong.build().unwrap_err().contains("greater than"));
}

#[test]
fn who_speaks_no_tls_is_counted() {
    use std::io::{Read, Write};
    let listen = Listen { tls: Some(server_tls(ClientAuth::None)), ..listen() };
    let listening = listen.start("i", &Sockets::default(), Arc::new(Echo)).unwrap();
    let mut client = std::net::TcpStream::connect(listening.addresses()[0]).unwrap();
    client.write_all(b"hello, in clear\n").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap_or_default();
    listening.complaints().wait_for("no TLS handshake");
}

#[test]
fn options_of_tls_are_checked() {
    #[track_caller]
    fn check(change: impl Fn(&mut ServerTls), expected: &str) {
        let mut tls = server_tls(ClientAuth::Required);
        change(&mut tls);
        let error = tls.build().unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    check(|tls| tls.cert = "".into(), "\"cert\" and \"key\" are needed");
    check(|tls| tls.ca.clear(), "\"client_auth\" needs \"ca\"");
    check(|tls| tls.client_auth = ClientAuth::None, "set \"client_auth\" to");
    check(
        |tls| (tls.min_version, tls.max_version) = (TlsVersion::Tls13, TlsVersion::Tls12),
        "greater than \"max_version\"",
    );
    check(|tls| tls.cert = "/nowhere.pem".into(), "/nowhere.pem: ");
    check(|tls| tls.key = data("server.pem"), "server.pem: it holds no key in PEM form");
    check(|tls| tls.key = data("client.key"), "server.pem: ");
}
