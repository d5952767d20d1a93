//! `[secrets]`: the key that the secrets of hooks are sealed with where they are stored.

use std::{
    fmt,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::OnceCell;

use super::reader::{Keys, Table, Value};
use crate::{
    backoff::Backoff,
    postgres::password_command::PasswordCommand,
    seal::{Bound, Keyring, Locked, sealed_with},
    secret::Secret,
};

pub(super) const KEYS: Keys = Keys {
    known: &["key", "key_command", "previous"],
    later: &[],
};

/// The pauses before the command is run again: longer ones while that brings nothing new.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));

/// `[secrets]`: the key that the secrets of hooks are sealed with where they are stored. Clones share what the command
/// has printed.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Option<Arc<Sealing>>);

struct Sealing {
    /// What prints the key; `None`: it stands in hooks.toml, and never changes.
    command: Option<PasswordCommand>,
    /// The keys before it, which open and do not seal.
    previous: Vec<Secret>,
    now: RwLock<Result<Arc<Keyring>, String>>,
    /// How often `now` has changed.
    changes: AtomicU64,
    /// The command was run for the first time.
    prepared: OnceCell<()>,
    /// A key was missing since `now` has changed.
    wanted: AtomicBool,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing")
            .field("command", &self.command)
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Sealing {
    fn now(&self) -> Result<Arc<Keyring>, String> {
        // Nothing panics while it is locked, so what is in it is whole.
        match self.now.read() {
            Ok(now) => now.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    fn set(&self, found: Result<Arc<Keyring>, String>) {
        match self.now.write() {
            Ok(mut now) => *now = found,
            Err(poisoned) => *poisoned.into_inner() = found,
        }
        self.wanted.store(false, Relaxed);
        self.changes.fetch_add(1, Relaxed);
    }

    /// Runs the command.
    async fn fetch(&self, command: &PasswordCommand) {
        let found = match command.run().await {
            // One line, with the keys before it behind it where there are any.
            Ok(line) => {
                let printed = line.expose().split([' ', '\t', ',']);
                let printed: Vec<Secret> = printed
                    .filter(|key| !key.is_empty())
                    .map(Secret::new)
                    .collect();
                Keyring::of(printed.iter().chain(&self.previous))
                    .map(Arc::new)
                    .map_err(|bad| format!("what secrets.key_command prints {bad}"))
            }
            Err(error) => Err(format!("secrets.key_command brought no key: {error}")),
        };
        match (&found, self.now()) {
            (Err(reason), Err(before)) if *reason == before => return,
            (Err(reason), Err(_)) => tracing::error!("hooks with sealed secrets wait: {reason}"),
            (Err(reason), Ok(_)) => {
                // What we have may still be right for most.
                tracing::error!("the key is not fetched again: {reason}");
                return;
            }
            (Ok(new), Ok(old)) if format!("{new:?}") == format!("{old:?}") => return,
            (Ok(new), _) => tracing::info!(key = %new.newest(), "secrets are sealed with this key"),
        }
        self.set(found);
    }
}

impl Secrets {
    /// Whether there is a section, so that secrets are sealed.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The keys. `None` where there is no section.
    ///
    /// # Errors
    /// Why there is no key, where a command prints it.
    pub fn keyring(&self) -> Option<Result<Arc<Keyring>, String>> {
        self.0.as_ref().map(|sealing| sealing.now())
    }

    /// Runs the command that prints the key, unless it has done so. If it fails, that is logged, and only what is
    /// sealed waits for it.
    pub async fn prepare(&self) {
        if let Some(sealing) = &self.0
            && let Some(command) = &sealing.command
        {
            // Others wait here until it has ended.
            sealing
                .prepared
                .get_or_init(|| sealing.fetch(command))
                .await;
        }
    }

    /// Runs the command again for as long as it fails, and while something is sealed with a key that it has not printed
    /// yet. Ends where there is no command.
    pub async fn keep_renewing(&self) {
        let Some(sealing) = &self.0 else { return };
        let Some(command) = &sealing.command else {
            return;
        };
        let mut in_vain = 0;
        loop {
            tokio::time::sleep(PAUSES.pause(in_vain)).await;
            let before = self.changes();
            if sealing.now().is_err() || sealing.wanted.load(Relaxed) {
                sealing.fetch(command).await;
                in_vain += 1;
            }
            if self.changes() != before {
                in_vain = 0;
            }
        }
    }

    /// How often the keys have changed.
    pub fn changes(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |sealing| sealing.changes.load(Relaxed))
    }

    /// Opens a sealed text.
    ///
    /// # Errors
    /// Why it cannot be opened, and what to do about it.
    pub fn open(&self, sealed: &str, bound: Bound<'_>) -> Result<String, String> {
        let Some(sealing) = &self.0 else {
            let key = sealed_with(sealed).map(|key| format!(" {key}"));
            return Err(format!(
                "is sealed with the key{}, and hooks.toml has none; give it in [secrets]",
                key.unwrap_or_default()
            ));
        };
        let keyring = sealing.now();
        let keyring = keyring.map_err(|reason| format!("is sealed, and {reason}"))?;
        keyring.open(sealed, bound).map_err(|locked| {
            if matches!(locked, Locked::UnknownKey(_)) {
                sealing.wanted.store(true, Relaxed);
            }
            locked.to_string()
        })
    }
}

/// Reads the section.
pub(super) fn read(section: &Table<'_>) -> Secrets {
    let key = section.find("key");
    let command = section.find("key_command");
    match (key, command) {
        (Some(_), Some(command)) => command.wrong(format!(
            "{} prints the key, and secrets.key is one already; remove one of them",
            command.key
        )),
        (None, None) => {
            section.need("key", "key = \"${ROWHOOK_KEY}\", the base64 of 32 bytes");
        }
        _ => {}
    }
    let previous = section.find("previous");
    let previous = previous.and_then(|value| value.list_of("a list of keys", key_of));
    let previous = previous.unwrap_or_default();
    let key = key.and_then(key_of);
    let now = match &key {
        Some(key) => Keyring::of(std::iter::once(key).chain(&previous))
            .map(Arc::new)
            .map_err(|bad| format!("secrets.key {bad}")),
        None => Err("secrets.key_command was not run yet".to_owned()),
    };
    Secrets(Some(Arc::new(Sealing {
        command: command.and_then(super::database::command),
        previous,
        now: RwLock::new(now),
        changes: AtomicU64::new(0),
        prepared: OnceCell::new(),
        wanted: AtomicBool::new(false),
    })))
}

fn key_of(value: &Value<'_>) -> Option<Secret> {
    let key = value.secret()?;
    match Keyring::of([&key]) {
        Ok(_) => Some(key),
        Err(bad) => {
            value.wrong(format!("{} {bad}", value.key));
            None
        }
    }
}
