//! Sealing what is secret in hooks: when one is made or changed, and of all hooks at once.

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::{MissedTickBehavior, interval};

use super::{Admin, Error, Result};
use crate::{
    act,
    config::{HookColumns, Secrets, Setting},
    hook::sealed::{SecretParts, What},
    seal::{KeyId, MARK, is_sealed, sealed_with},
    store::sealing::{BATCH, SealedTable},
};

/// The interval between two batches. The stream carries what is sealed to whoever reads it, and events stand behind it:
/// some 20,000 hooks a second leave time for them.
const PACE: Duration = Duration::from_millis(25);

/// How often is looked again for rows that somebody was changing, and the pause before.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// What came of sealing all hooks.
#[derive(Debug, Default, Serialize)]
pub struct Sealed {
    /// The key that they are sealed with now.
    pub key: String,
    /// How many hooks were sealed.
    pub sealed: usize,
    /// How many are left as they are, because somebody is changing their rows.
    pub busy: usize,
    /// The hooks that cannot be sealed, each with the reason.
    pub refused: Vec<Refused>,
}

/// A hook that cannot be sealed.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The hook.
    pub hook: String,
    /// Why not.
    pub reason: String,
}

/// How the secrets of hooks are stored.
#[derive(Debug, Default, Serialize)]
pub struct SealedCounts {
    /// The key that is sealed with; null where `[secrets]` has none.
    pub key: Option<String>,
    /// How many hooks have something secret that is stored as it is.
    pub plain: usize,
    /// How many hooks have something that is sealed, by the id of the key.
    pub sealed: HashMap<String, usize>,
}

/// Seals the values that are written to rows of the hook table.
pub(super) struct Sealer<'a> {
    pub(super) columns: &'a HookColumns,
    pub(super) secrets: &'a Secrets,
}

impl Sealer<'_> {
    /// Seals what is secret in the values of columns, which are to be written to the row with this id.
    ///
    /// # Errors
    /// When there is no key to seal with, and when a value looks as if it were sealed.
    pub(super) fn seal_values(&self, id: &str, values: &mut Map<String, Value>) -> Result<()> {
        self.refuse_sealed(values)?;
        let Self { columns, secrets } = *self;
        let Some(keyring) = secrets.keyring().filter(|_| columns.sealed.any()) else {
            return Ok(());
        };
        let keyring = keyring.map_err(|reason| {
            Error::Conflict(format!(
                "secrets cannot be sealed now, so nothing is stored: {reason}"
            ))
        })?;
        let mut parts = self.secret_parts(values);
        let sealed = parts.seal(id, columns.sealed, What::Plain, (secrets, &keyring));
        sealed.map_err(|reason| Error::Conflict(format!("hook {id} is not stored: {reason}")))?;
        self.put_secret_parts(values, parts);
        Ok(())
    }

    /// Splits the values of a new row of rowhook's own table in two: those that may be stored as they are, and those
    /// that have to be sealed once it has an id. The latter are empty where nothing is sealed.
    pub(super) fn split_secrets(&self, values: &mut Map<String, Value>) -> Map<String, Value> {
        let Self { columns, secrets } = *self;
        if !secrets.is_set() || !columns.sealed.any() {
            return Map::new();
        }
        let parts = self.secret_parts(values);
        if !parts.has_plain(columns.sealed) {
            return Map::new();
        }
        let mut secret = Map::new();
        self.put_secret_parts(&mut secret, parts.clone());
        // A table of the application may not take a row without them.
        if columns.is_own {
            let mut open = parts;
            open.clear();
            for column in secret.keys() {
                values.remove(column);
            }
            self.put_secret_parts(values, open);
        }
        secret
    }

    /// Refuses values that look as if they were sealed, which could not be told from those.
    pub(super) fn refuse_sealed(&self, values: &Map<String, Value>) -> Result<()> {
        let parts = self.secret_parts(values);
        match parts.has_sealed() {
            true => Err(Error::Invalid(format!(
                "a value holds {MARK:?}, as what rowhook has sealed does; give the plain one"
            ))),
            false => Ok(()),
        }
    }

    /// The secret of a hook as it is stored, opened. `None`: it cannot be.
    pub(super) fn open_secret(&self, id: &str, secret: String) -> Option<String> {
        if !is_sealed(&secret) {
            return Some(secret);
        }
        let mut parts = SecretParts {
            secret: Some(secret),
            ..SecretParts::default()
        };
        parts.open(id, self.secrets).ok()?;
        parts.secret
    }

    fn secret_parts(&self, values: &Map<String, Value>) -> SecretParts {
        let columns = self.columns;
        let of = |column: Option<&String>| match values.get(column?)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        SecretParts {
            secret: of(columns.secret.as_ref()),
            previous_secret: of(columns.previous_secret.as_ref()),
            target: of(Some(&columns.target)),
            headers: of(columns.headers.as_ref()),
            auth: of(columns.setting(Setting::Auth)),
        }
    }

    fn put_secret_parts(&self, values: &mut Map<String, Value>, parts: SecretParts) {
        let columns = self.columns;
        // They were objects before.
        let object = |json: String| serde_json::from_str(&json).unwrap_or(Value::Null);
        let (headers, auth) = (parts.headers.map(object), parts.auth.map(object));
        let text = |text: Option<String>| text.map(Value::String);
        for (column, value) in [
            (columns.secret.as_ref(), text(parts.secret)),
            (
                columns.previous_secret.as_ref(),
                text(parts.previous_secret),
            ),
            (Some(&columns.target), text(parts.target)),
            (columns.headers.as_ref(), headers),
            (columns.setting(Setting::Auth), auth),
        ] {
            if let (Some(column), Some(value)) = (column, value) {
                values.insert(column.clone(), value);
            }
        }
    }
}

impl Admin {
    /// Seals the values that are written to rows of the hook table.
    pub(super) fn sealer(&self) -> Sealer<'_> {
        Sealer {
            columns: &self.table.columns,
            secrets: &self.config.secrets,
        }
    }

    /// Seals what is secret in all hooks of the hook table, in batches, while rowhook runs and hooks change.
    ///
    /// # Errors
    /// When there is no key, the table has nothing to seal, or the database fails. What is sealed by then stays sealed.
    pub async fn seal_hooks(&self, what: What) -> Result<Sealed> {
        let secrets = &self.config.secrets;
        let keyring = secrets.keyring().ok_or_else(|| {
            Error::Conflict("hooks.toml has no [secrets]; give a key there".to_owned())
        })?;
        let keyring = keyring.map_err(Error::Conflict)?;
        let table = self.sealed_table().await?;
        let act = self.act(match what {
            What::Plain => act::what::SECRETS_SEALED,
            What::Outdated => act::what::SECRETS_ROTATED,
        });
        // Before the first of many transactions, so that none of them is without it.
        self.record(act.with("key", keyring.newest().to_string()))
            .await?;
        let mut ids = table
            .candidates(&self.client, what, keyring.newest())
            .await?;
        let mut done = Sealed {
            key: keyring.newest().to_string(),
            ..Sealed::default()
        };
        for look in 1..=LOOKS {
            let mut later = Vec::new();
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for batch in ids.chunks(BATCH) {
                pace.tick().await;
                let outcome = table
                    .seal(&self.client, batch, what, (secrets, &keyring))
                    .await?;
                done.sealed += outcome.sealed;
                later.extend(outcome.later);
                let refused = outcome.refused.into_iter();
                done.refused
                    .extend(refused.map(|(hook, reason)| Refused { hook, reason }));
            }
            if later.is_empty() || look == LOOKS {
                // Of what is left, only rows that are still there are busy.
                let left = table
                    .candidates(&self.client, what, keyring.newest())
                    .await?;
                done.busy = later.iter().filter(|id| left.contains(id)).count();
                break;
            }
            ids = later;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(done)
    }

    /// Counts how the secrets of hooks are stored.
    ///
    /// # Errors
    /// When the table has nothing to seal, or cannot be read.
    pub async fn sealed_counts(&self) -> Result<SealedCounts> {
        let secrets = &self.config.secrets;
        let key = secrets.keyring().and_then(std::result::Result::ok);
        let table = self.sealed_table().await?;
        let mut counts = SealedCounts {
            key: key.map(|keyring| keyring.newest().to_string()),
            ..SealedCounts::default()
        };
        let which = self.table.columns.sealed;
        table
            .each(&self.client, |parts| {
                counts.plain += usize::from(parts.has_plain(which));
                let mut keys: Vec<KeyId> = Vec::new();
                for text in parts.texts() {
                    if let Some(key) = sealed_with(&text).filter(|key| !keys.contains(key)) {
                        keys.push(key);
                        *counts.sealed.entry(key.to_string()).or_default() += 1;
                    }
                }
            })
            .await?;
        Ok(counts)
    }

    async fn sealed_table(&self) -> Result<SealedTable> {
        let columns = &self.table.columns;
        let table = SealedTable::read(&self.client, columns).await;
        let table = table.context("look at the hook table")?;
        table.ok_or_else(|| {
            Error::Conflict(format!(
                "{} has no column to seal; name them in [hook_table] sealed, such as [\"secret\"]",
                columns.table
            ))
        })
    }
}
