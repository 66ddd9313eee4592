//! `logpond keystore`: the keystore of Logstash, as `logstash-keystore` makes and changes it.
//!
//! What is asked is asked on standard error and read from standard input, a line each, so that a
//! script can answer. Values are typed without echo. A file is replaced as a whole; it keeps its
//! owner and its mode where there was one, and a new one has the mode 0600.

use crate::signals::Signals;
use crate::{Failure, http};
use disk::{Disk, RealDisk};
use keystore::{Keystore, is_referable, name_of};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const PASSWORD: &str = "LOGSTASH_KEYSTORE_PASS";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
struct Place {
    /// The folder of logstash.yml; the keystore is logstash.keystore in it, or what it names
    #[arg(long = "path.settings", value_name = "FOLDER", global = true)]
    path_settings: Option<String>,
    /// The keystore itself
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make an empty keystore, under the password in LOGSTASH_KEYSTORE_PASS
    Create {
        /// Do not ask: overwrite, and go on without a password
        #[arg(long)]
        force: bool,
    },
    /// Add values, or change them
    Add {
        /// The names, as in ${NAME}; capital and small letters are the same
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Read the values from standard input, a line each, without asking for them
        #[arg(long)]
        stdin: bool,
        /// Do not ask before a value is changed
        #[arg(long)]
        force: bool,
    },
    /// The names, not the values
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove values
    Remove {
        /// The names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let file = match (arguments.place.file, arguments.place.path_settings) {
        (Some(_), Some(_)) => return Err("give --path.settings or --file, not both".into()),
        (Some(file), None) => file,
        (None, Some(folder)) => match dialects::logstash_keystore(&folder) {
            Ok(file) => PathBuf::from(file),
            Err(problems) => {
                problems.iter().for_each(|problem| eprintln!("error: {problem}"));
                return Ok(ExitCode::FAILURE);
            }
        },
        (None, None) => return Err("say which keystore: --path.settings FOLDER or --file FILE".into()),
    };
    let password = match std::env::var(PASSWORD) {
        Ok(password) => Some(password),
        Err(std::env::VarError::NotPresent) => None,
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{PASSWORD} is not UTF-8").into()),
    };
    let vault = Vault { file, password };
    match arguments.action {
        Action::Create { force } => vault.create(force),
        Action::Add { names, stdin, force } => vault.add(&names, stdin, force),
        Action::List { json } => vault.list(json),
        Action::Remove { names } => vault.remove(&names),
    }
}

/// A keystore on the disk.
struct Vault {
    file: PathBuf,
    password: Option<String>,
}

impl Vault {
    fn create(&self, force: bool) -> Result<ExitCode, Failure> {
        let file = self.file.display();
        if !force {
            if self.file.exists() && !agreed(&format!("{file} is there already. Overwrite it?"))? {
                return Ok(ExitCode::FAILURE);
            }
            let alone = format!(
                "{PASSWORD} is not set: whoever can read the file can read the values. Go on without a password?"
            );
            if self.password.is_none() && !agreed(&alone)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        let made = Keystore::create(self.password.as_deref(), millis(), &mut random)?;
        let _lock = self.lock()?;
        self.write(&made)?;
        println!("created {file}");
        Ok(ExitCode::SUCCESS)
    }

    fn add(&self, names: &[String], from_stdin: bool, force: bool) -> Result<ExitCode, Failure> {
        // No value is asked for before it is sure that all names can be added.
        names.iter().try_for_each(|name| name_of(name).map(drop))?;
        let keystore = self.open()?;
        let mut code = ExitCode::SUCCESS;
        for name in names {
            let was_there = keystore.has(name);
            if was_there && !force {
                if from_stdin {
                    return Err(format!("{name} is there already; --force changes it").into());
                }
                if !agreed(&format!("{name} is there already. Change it?"))? {
                    code = ExitCode::FAILURE;
                    continue;
                }
            }
            let value = if from_stdin { line()?.unwrap_or_default() } else { asked(name)? };
            if value.is_empty() {
                return Err(format!("there is no value for {name}").into());
            }
            self.change(|keystore| {
                if keystore.has(name) && !was_there && !force {
                    return Err(
                        format!("{name} was added by somebody else just now; --force changes it").into()
                    );
                }
                keystore.insert(name, &value, millis(), &mut random)?;
                Ok(true)
            })?;
            println!("added {}", name_of(name)?);
            if !is_referable(name) {
                eprintln!(
                    "warning: ${{{name}}} is no variable to Logstash, whose names have letters, digits, _ and . only"
                );
            }
        }
        Ok(code)
    }

    fn list(&self, as_json: bool) -> Result<ExitCode, Failure> {
        let keystore = self.open()?;
        let names = keystore.names();
        if as_json {
            println!("{:#}", json!({"file": self.file, "names": names}));
        } else {
            names.iter().for_each(|name| println!("{name}"));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn remove(&self, names: &[String]) -> Result<ExitCode, Failure> {
        let mut code = ExitCode::SUCCESS;
        let mut removed = Vec::new();
        self.change(|keystore| {
            for name in names {
                if keystore.remove(name) {
                    removed.push(name);
                } else {
                    eprintln!("logpond: {} has no {name}", self.file.display());
                    code = ExitCode::FAILURE;
                }
            }
            Ok(!removed.is_empty())
        })?;
        removed.iter().for_each(|name| println!("removed {name}"));
        Ok(code)
    }

    /// Reads it, changes it and writes it, while nobody else does; `change` says whether there is
    /// anything to write.
    fn change(&self, change: impl FnOnce(&mut Keystore) -> Result<bool, Failure>) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let mut keystore = self.open()?;
        if change(&mut keystore)? { self.write(&keystore) } else { Ok(()) }
    }

    /// Waits until nobody else changes a keystore of this folder. It ends with what is returned.
    fn lock(&self) -> Result<Option<File>, Failure> {
        let (_, folder) = self.located()?;
        let file =
            File::open(&folder).map_err(|error| format!("cannot open {}: {error}", folder.display()))?;
        match file.lock() {
            Ok(()) => Ok(Some(file)),
            Err(error) => {
                // Some file systems of other machines have no locks for folders.
                eprintln!(
                    "warning: {} cannot be locked: {error}; make no other change at the same time",
                    folder.display()
                );
                Ok(None)
            }
        }
    }

    /// The file, and its folder. What a link leads to is changed, not the link.
    fn located(&self) -> Result<(PathBuf, PathBuf), Failure> {
        let full = self.file.canonicalize().unwrap_or_else(|_| self.file.clone());
        let folder = full.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!("there is no folder {}", folder.display()).into());
        }
        let folder = folder.to_owned();
        Ok((full, folder))
    }

    fn open(&self) -> Result<Keystore, Failure> {
        use std::io::Read;
        let file = self.file.display();
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&self.file)
            .and_then(|file| file.take(keystore::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("there is no {file}; \"logpond keystore create\" makes one").into());
            }
            Err(error) => return Err(format!("cannot read {file}: {error}").into()),
        }
        Keystore::open(&bytes, self.password.as_deref()).map_err(|error| format!("{file}: {error}").into())
    }

    /// Puts the file in place as a whole. Logstash may run as somebody else than whoever changes
    /// its keystore, so it stays with whom it belonged to.
    fn write(&self, keystore: &Keystore) -> Result<(), Failure> {
        let bytes = keystore.to_bytes(&mut random)?;
        let (full, folder) = self.located()?;
        let before = std::fs::metadata(&full).ok();
        let name = full.file_name().ok_or_else(|| format!("{} is no file", full.display()))?;
        RealDisk::open(&folder)?.write_atomic(Path::new(name), &bytes)?;
        if let Some(before) = before {
            let now = std::fs::metadata(&full)?;
            if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
                std::os::unix::fs::chown(&full, Some(before.uid()), Some(before.gid())).map_err(|error| {
                    format!("{} is written, but cannot be given back to its owner: {error}", full.display())
                })?;
            }
            std::fs::set_permissions(&full, std::fs::Permissions::from_mode(before.mode() & 0o777))?;
        }
        Ok(())
    }
}

fn millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Fills bytes from the system, without which nothing can be kept secret.
fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random bytes");
}

/// A line of standard input without its end; none behind the last.
fn line() -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = io::stdin().lock().read_line(&mut text)?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok((read > 0).then_some(text))
}

fn agreed(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    Ok(line()?.is_some_and(|answer| ["y", "yes"].contains(&answer.to_lowercase().as_str())))
}

/// Asks for a value; what is typed is not shown.
fn asked(name: &str) -> io::Result<String> {
    let ask = || {
        eprint!("value of {name}: ");
        io::stderr().flush()
    };
    if !io::stdin().is_terminal() {
        ask()?;
        return Ok(line()?.unwrap_or_default());
    }
    let runtime = http::runtime()?;
    let typed = runtime.block_on(async {
        // Before the echo goes: whoever ends the program is to have it back.
        let mut signals = Signals::new()?;
        let _hidden = Hidden::new()?;
        // Whoever answers at once is not shown either.
        ask()?;
        tokio::select! {
            asked = signals.next() => Err(io::Error::other(format!("{asked}; nothing was changed"))),
            typed = tokio::task::spawn_blocking(line) => typed?,
        }
    });
    // The thread that still reads, if there is one, ends with the program.
    runtime.shutdown_background();
    eprintln!();
    Ok(typed?.unwrap_or_default())
}

/// While it lives, the terminal does not show what is typed.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
