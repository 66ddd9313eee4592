//! Against keystores that Java made (`testdata`, whose README says how), and against ourselves.

use super::*;
use proptest::prelude::*;

macro_rules! keystores {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../testdata/", $name, ".keystore")) as &[u8])),*]
    };
}

fn golden(name: &str) -> Vec<u8> {
    let all = keystores!(
        "default" "password" "wide-password" "legacy" "legacy-default" "rc2-40" "rc2-128" "rc4"
        "sha1-aes128" "sha224-aes256" "sha384-aes256" "sha512-aes256" "removed" "mixed" "keytool"
        "jks" "jceks"
    );
    let found = all.iter().find(|(own, _)| *own == name);
    found.map(|(_, bytes)| bytes.to_vec()).expect("a keystore of testdata")
}

/// Bytes that differ, which is all that a test needs of randomness.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u8;
    move |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(5).wrapping_add(17);
            *byte = next;
        }
    }
}

#[test]
fn keystores_of_java_are_read_and_written() {
    #[track_caller]
    fn check(name: &str, password: Option<&str>) {
        let mut store = Keystore::open(&golden(name), password).unwrap();
        assert_eq!(store.names(), ["es_pwd", "kafka.user"]);
        assert_eq!(store.get("ES_PWD").unwrap().as_deref(), Some("s3cret & \"word\""));
        assert_eq!(store.get("kafka.user").unwrap().as_deref(), Some("pond"));
        assert_eq!(store.get("other").unwrap(), None);
        store.insert("New", "ü", 7, &mut counting()).unwrap();
        assert!(store.remove("Es_pwd") && !store.remove("es_pwd"));
        let file = store.to_bytes(&mut counting()).unwrap();
        let again = Keystore::open(&file, password).unwrap();
        assert_eq!(again.names(), ["kafka.user", "new"]);
        assert_eq!(again.get("new").unwrap().as_deref(), Some("ü"));
        assert_eq!(again.get("kafka.user").unwrap().as_deref(), Some("pond"));
        assert_eq!((again.mac, again.others.len()), (store.mac, store.others.len()));
    }
    check("default", None);
    check("password", Some("changeme"));
    check("wide-password", Some("pässwörd€"));
    check("legacy", Some("changeme"));
    check("legacy-default", None);
    for name in
        ["rc2-40", "rc2-128", "sha1-aes128", "sha224-aes256", "sha384-aes256", "sha512-aes256", "mixed"]
    {
        check(name, Some("changeme"));
    }
}

#[test]
fn what_a_shorter_file_left_behind_is_passed_over() {
    let store = Keystore::open(&golden("removed"), None).unwrap();
    assert_eq!(store.names(), ["es_pwd"]);
    assert_eq!(store.get("es_pwd").unwrap().as_deref(), Some("s3cret & \"word\""));
}

#[test]
fn errors_say_what_is_wrong() {
    #[track_caller]
    fn check(file: &[u8], password: Option<&str>, expected: &str) {
        let error = Keystore::open(file, password).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    check(b"", None, "it is empty");
    check(b"hello", None, "no keystore");
    check(&vec![0x30; FILE_BYTES_MAX + 1], None, "larger than 1 MiB");
    check(&golden("jks"), Some("changeme"), "type JKS");
    check(&golden("jceks"), Some("changeme"), "type JCEKS");
    check(&golden("password"), None, "it is under a password: put it into LOGSTASH_KEYSTORE_PASS");
    check(&golden("password"), Some("other"), "LOGSTASH_KEYSTORE_PASS is not its password");
    check(&golden("password"), Some(""), "LOGSTASH_KEYSTORE_PASS is empty");
    check(&golden("password"), Some("\n"), "control character");
    check(&golden("default"), Some("other"), "unset LOGSTASH_KEYSTORE_PASS");
    check(&golden("sha384-aes256"), Some("other"), "LOGSTASH_KEYSTORE_PASS is not its password");
    check(&golden("keytool"), Some("changeme"), "not one of Logstash");
    check(&golden("rc4"), Some("changeme"), "1.2.840.113549.1.12.1.1");
    let mut damaged = golden("password");
    check(&damaged[..500], Some("changeme"), "damaged keystore: its structure");
    damaged[300] ^= 1;
    check(&damaged, Some("changeme"), "or it is damaged");
    damaged[6] = 4;
    check(&damaged, Some("changeme"), "its version");
    let mut cut = golden("default");
    cut.push(0);
    check(&cut, None, "the password behind its end");
    let error = Keystore::open_within(&golden("password"), Some("changeme"), 9_999).unwrap_err();
    assert_eq!(error, KeystoreError::Iterations { iterations: 10_000, most: 9_999 });
}

#[test]
fn a_new_keystore_holds_its_password_unless_it_was_given_one() {
    for password in [None, Some("a b")] {
        let made = Keystore::create(password, 1, &mut counting()).unwrap();
        let file = made.to_bytes(&mut counting()).unwrap();
        assert!(Keystore::open(&file, password).unwrap().names().is_empty());
        assert!(Keystore::open(&file, Some("a")).is_err());
        assert_eq!(Keystore::open(&file, None).is_ok(), password.is_none());
    }
    assert!(Keystore::create(Some(""), 1, &mut counting()).is_err());
}

#[test]
fn the_marker_stays() {
    let mut made = Keystore::create(None, 1, &mut counting()).unwrap();
    assert!(made.insert("keystore.Seed", "x", 1, &mut counting()).is_err());
    assert!(!made.remove("keystore.seed"));
    assert!(made.insert("a b", "x", 1, &mut counting()).is_err());
}

#[test]
fn values_are_not_in_what_is_printed() {
    let store = Keystore::open(&golden("default"), None).unwrap();
    assert_eq!(format!("{store:?}"), "Keystore { names: [\"es_pwd\", \"kafka.user\"], .. }");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        password in proptest::option::of("[ -~]{1,20}|\\PC{1,5}"),
        entries in proptest::collection::btree_map("[a-z_.-]{1,12}", "\\PC{0,30}", 0..4),
    ) {
        let names: Vec<&String> = entries.keys().filter(|name| !name.contains("..")).collect();
        let mut random = counting();
        let mut store = Keystore::create(password.as_deref(), 1, &mut random).unwrap();
        for name in &names {
            store.insert(name, "before", 2, &mut random).unwrap();
            store.insert(name, &entries[*name], 2, &mut random).unwrap();
        }
        let read = Keystore::open(&store.to_bytes(&mut random).unwrap(), password.as_deref()).unwrap();
        prop_assert_eq!(read.names(), names.iter().map(|name| name.as_str()).collect::<Vec<_>>());
        for name in names {
            prop_assert_eq!(read.get(name).unwrap(), Some(entries[name].clone()));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        let _ = Keystore::open_within(&bytes, None, 10);
        let mut der = vec![0x30];
        der.extend(bytes);
        let _ = Keystore::open_within(&der, Some("a"), 10);
    }

    /// A file without a checksum, so that what is damaged is looked into.
    #[test]
    fn damage_is_an_error_or_nothing(at in 0_usize..1000, with: u8, cut in 0_usize..1000) {
        let mut file = golden("sha384-aes256");
        file[at] = with;
        file.truncate(1000 - cut / 20);
        if let Ok(store) = Keystore::open_within(&file, Some("changeme"), 20_000) {
            for name in store.names() {
                let _ = store.get(name);
            }
            let _ = store.to_bytes(&mut counting());
        }
    }
}
