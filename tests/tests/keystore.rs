//! The keystore of Logstash between the program and Java: either reads what the other wrote.

use crate::pond::binary;
use crate::terminal::Terminal;
use rustix::termios::LocalModes;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program that does with `java.security.KeyStore` what Logstash does.
fn java(words: &[&str]) -> Output {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/keystore/testdata/MakeKeystores.java");
    // A source is compiled and run at once (JEP 330).
    Command::new("java").arg("-XX:TieredStopAtLevel=1").arg(source).args(words).output().expect("java")
}

fn logpond(words: &[&str], password: &str, typed: &str) -> Output {
    let mut command = Command::new(binary());
    command.arg("keystore").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("LOGSTASH_KEYSTORE_PASS");
    if !password.is_empty() {
        command.env("LOGSTASH_KEYSTORE_PASS", password);
    }
    let mut child = command.spawn().expect("the program");
    child.stdin.take().expect("its input").write_all(typed.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn good(output: Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8(output.stdout).expect("text")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
    fn file(&self) -> PathBuf {
        self.0.path().join("logstash.keystore")
    }
    fn path(&self) -> String {
        self.0.path().display().to_string()
    }
}

#[test]
fn keystore_goes_to_java_and_back() {
    for password in ["", "change me", "pässwörd€"] {
        let folder = Folder::new();
        let (file, settings) = (folder.file().display().to_string(), folder.path());
        let at = ["--path.settings", settings.as_str()];
        good(logpond(&["create", at[0], at[1]], password, "y\n"));
        good(logpond(
            &["add", "ES_PWD", "a.b", "--stdin", at[0], at[1]],
            password,
            "s3cret \"word\"\nüber\n",
        ));
        assert_eq!(
            good(java(&["read", &file, password])),
            "urn:logstash:secret:v1:a.b=über\nurn:logstash:secret:v1:es_pwd=s3cret \"word\"\nurn:logstash:secret:v1:keystore.seed=keystore.seed\n"
        );
        good(java(&["add", &file, password, "from.java", "more"]));
        good(java(&["remove", &file, password, "a.b"]));
        assert_eq!(good(logpond(&["list", at[0], at[1]], password, "")), "es_pwd\nfrom.java\n");
        good(logpond(&["remove", "es_pwd", "--file", &file], password, ""));
        assert_eq!(
            good(java(&["read", &file, password])),
            "urn:logstash:secret:v1:from.java=more\nurn:logstash:secret:v1:keystore.seed=keystore.seed\n"
        );
    }
}

#[test]
fn keystore_list_of_the_jdk_takes_what_we_wrote() {
    let folder = Folder::new();
    let file = folder.file().display().to_string();
    good(logpond(&["create", "--file", &file], "changeme", ""));
    good(logpond(&["add", "one", "--file", &file], "changeme", "value\n"));
    let listed = Command::new("keytool")
        .args(["-list", "-keystore", &file, "-storetype", "pkcs12", "-storepass", "changeme"])
        .output()
        .expect("keytool");
    let told = good(listed);
    assert!(told.contains("urn:logstash:secret:v1:one") && told.contains("SecretKeyEntry"), "{told}");
}

#[test]
fn keystore_commands_ask_and_say() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let settings = folder.path();
    let at = ["--path.settings", settings.as_str()];
    #[track_caller]
    fn refused(output: Output, expected: &str) {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && err.contains(expected), "{err}");
    }
    refused(logpond(&["list"], "", ""), "--path.settings");
    refused(logpond(&["list", at[0], at[1]], "", ""), "there is no");
    refused(logpond(&["create", at[0], at[1]], "", "n\n"), "Go on without a password?");
    assert!(!folder.file().exists());
    good(logpond(&["create", at[0], at[1]], "", "yes\n"));
    let mode = || folder.file().metadata().expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    refused(logpond(&["create", at[0], at[1]], "", "\n"), "Overwrite it?");
    refused(logpond(&["add", "a", "b c", at[0], at[1]], "", "1\n2\n"), "\"b c\" is no name");
    refused(logpond(&["add", "a", at[0], at[1]], "", "\n"), "there is no value for a");
    std::fs::set_permissions(folder.file(), std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let told = good(logpond(&["add", "a", "my-own", at[0], at[1]], "", "first\nother\n"));
    assert_eq!((told.as_str(), mode()), ("added a\nadded my-own\n", 0o640));
    refused(logpond(&["add", "A", at[0], at[1]], "", "n\n"), "A is there already. Change it?");
    refused(logpond(&["add", "A", "--stdin", at[0], at[1]], "", "x\n"), "--force");
    good(logpond(&["add", "A", at[0], at[1]], "", "y\nsecond-value\n"));
    let json: serde_json::Value =
        serde_json::from_str(&good(logpond(&["list", "--json", at[0], at[1]], "", ""))).expect("JSON");
    assert_eq!(json["names"], serde_json::json!(["a", "my-own"]));
    refused(logpond(&["remove", "nothing", at[0], at[1]], "", ""), "has no nothing");
    refused(logpond(&["list", at[0], at[1]], "wrong", ""), "unset LOGSTASH_KEYSTORE_PASS");

    // What a config takes from it is named and not shown.
    std::fs::write(folder.0.path().join("logstash.yml"), "pipeline.workers: 1\n").expect("settings");
    let run = |command: &[&str]| {
        let conf = "output { file { path => \"/x/${A}/y\" } }";
        let mut program = Command::new(binary());
        let output =
            program.env_remove("LOGSTASH_KEYSTORE_PASS").args(command).args(at).args(["-e", conf]).output();
        let output = output.expect("the program");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("second-value"));
        let told = good(output);
        assert!(!told.contains("second-value"), "{told}");
        told
    };
    assert!(run(&["check"]).contains("logstash.keystore gives a\n"));
    assert!(run(&["check", "--json"]).contains("\"path\": \"/x/***/y\""));
    assert!(run(&["translate"]).contains("/x/***/y"));
    assert!(run(&["plan"]).contains("/x/***/y"));
}

#[test]
fn keystore_adds_that_come_at_the_same_time_are_all_kept() {
    let folder = Folder::new();
    let settings = folder.path();
    let at = ["--path.settings", settings.as_str()];
    good(logpond(&["create", at[0], at[1]], "", "y\n"));
    let names: Vec<String> = (0..12).map(|number| format!("name{number:02}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || good(logpond(&["add", name, "--stdin", at[0], at[1]], "", "value\n")));
        }
    });
    let listed = good(logpond(&["list", at[0], at[1]], "", ""));
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    let left = std::fs::read_dir(folder.0.path()).expect("the folder").count();
    assert_eq!(left, 1, "nothing lies beside it");
}

#[test]
fn keystore_gives_the_echo_back_to_whoever_interrupts_it() {
    let folder = Folder::new();
    let file = folder.file();
    good(logpond(&["create", "--file", &file.display().to_string()], "changeme", ""));
    let before = std::fs::read(&file).expect("the file");
    let terminal = Terminal::new();
    let is_shown = || terminal.modes().local_modes.contains(LocalModes::ECHO);
    assert!(is_shown());
    let mut command = Command::new(binary());
    command.args(["keystore", "add", "one", "--file"]).arg(&file).env("LOGSTASH_KEYSTORE_PASS", "changeme");
    let mut child = command.stdin(terminal.open()).stderr(Stdio::piped()).spawn().expect("the program");
    let mut asked = [0; b"value of one: ".len()];
    child.stderr.as_mut().expect("a pipe").read_exact(&mut asked).expect("it asks");
    assert_eq!(&asked, b"value of one: ");
    assert!(!is_shown());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("nothing was changed"), "{err}");
    assert!(is_shown());
    assert_eq!(std::fs::read(&file).expect("the file"), before);
}
