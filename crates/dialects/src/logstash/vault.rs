//! Where the variables of Logstash come from: its keystore, then the environment.
//!
//! The keystore is opened when the first variable is asked for. Logstash opens it whenever it
//! starts; a keystore that cannot be read stops it even if nothing refers to it.

use crate::UsedKeystore;
use crate::expand::World;
use keystore::Keystore;
use std::cell::{OnceCell, RefCell};

/// The keystore that there may be, and the world around it.
pub(crate) struct Vault<'w> {
    world: &'w dyn World,
    file: Option<String>,
    opened: OnceCell<Result<Option<Keystore>, String>>,
    used: RefCell<UsedKeystore>,
}

impl<'w> Vault<'w> {
    /// One without a keystore.
    pub(crate) fn new(world: &'w dyn World) -> Self {
        Self { world, file: None, opened: OnceCell::new(), used: RefCell::default() }
    }

    /// Names the keystore; there need not be one.
    pub(crate) fn set_file(&mut self, file: String) {
        if self.file.as_ref() != Some(&file) {
            self.file = Some(file);
            self.opened = OnceCell::new();
        }
    }

    /// The world without the keystore.
    pub(crate) fn world(&self) -> &'w dyn World {
        self.world
    }

    /// The value of a variable. An error says why the keystore cannot be asked.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<String>, String> {
        let keystore = self.opened.get_or_init(|| self.open()).as_ref().map_err(Clone::clone)?;
        let Some(keystore) = keystore else { return Ok(self.world.variable(name)) };
        // The keystore's names are in small letters; the environment's are as they are.
        let own = name.to_ascii_lowercase();
        let known = self.used.borrow().value(&own);
        let found = match known {
            Some(known) => Some(known),
            None => keystore.get(&own).map_err(|error| self.complaint(&error.to_string()))?,
        };
        let Some(value) = found else { return Ok(self.world.variable(name)) };
        self.used.borrow_mut().add(self.keystore().unwrap_or_default(), &own, &value);
        Ok(Some(value))
    }

    /// The keystore that was opened.
    pub(crate) fn keystore(&self) -> Option<&str> {
        let opened = self.opened.get()?.as_ref().ok()?;
        opened.as_ref().and(self.file.as_deref())
    }

    /// What was taken from keystores; none when nothing was.
    pub(crate) fn used(self) -> Option<UsedKeystore> {
        Some(self.used.into_inner()).filter(|used| !used.names.is_empty())
    }

    fn open(&self) -> Result<Option<Keystore>, String> {
        let Some(file) = self.file.as_deref().filter(|file| !self.world.files(file).is_empty()) else {
            return Ok(None);
        };
        let bytes = self.world.bytes(file).map_err(|message| {
            format!(
                "{message}; variables are looked up in this keystore first: make it readable, or remove it"
            )
        })?;
        let password = self.world.variable("LOGSTASH_KEYSTORE_PASS");
        Keystore::open(&bytes, password.as_deref())
            .map(Some)
            .map_err(|error| self.complaint(&format!("{error}; variables are looked up in it first")))
    }

    fn complaint(&self, what: &str) -> String {
        format!("the keystore {}: {what}", self.file.as_deref().unwrap_or_default())
    }
}
