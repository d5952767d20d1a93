//! Links that open the portal, each for one owner and once. A link is shown once; only the hash of its key is stored.
//!
//! They are in the database, so a link that one process has made opens the portal of another one: after a restart, or
//! on a standby that was promoted and has the row. What it opens is a session of that process, which ends with it.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{Admin, Error, Result, audit::record, begin};
use crate::{
    act::{Act, Kind, Who, what},
    config::bounds,
    postgres::time::timestamp,
};

/// How long a link can be used.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The length of a key. One of another length is not looked up.
const KEY_LENGTH: usize = 43;

/// A link that is to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPortalLink {
    /// The owner whose portal it opens.
    pub owner: String,
}

/// A link that was just made. It is shown this once.
#[derive(Debug, Clone)]
pub struct MadeLink {
    /// Its path at the server.
    pub path: String,
    /// Until when it can be used.
    pub expires_at: String,
}

/// Somebody whom a link has let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The number of the link.
    pub link: i64,
    /// Whose hooks it opens.
    pub owner: String,
}

impl Admin {
    /// Makes a link that opens the portal for an owner, once and within ten minutes. Callers let only operators do
    /// this.
    ///
    /// # Errors
    /// When there is no portal, the owner is empty or too long, or the tables cannot be written to.
    pub async fn make_portal_link(&mut self, owner: &str) -> Result<MadeLink> {
        if self.config.portal.is_none() {
            return Err(Error::Conflict(format!(
                "{} has no [portal]; add that section, and have the file read again",
                self.config.path.display()
            )));
        }
        if owner.is_empty() {
            return Err(Error::Invalid(
                "owner is empty; say whose portal it opens".into(),
            ));
        }
        let bounded = bounds::OWNER.check(owner);
        bounded.map_err(|exceeded| Error::Invalid(exceeded.to_string()))?;
        let key = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let act = self.act(what::PORTAL_LINKED);
        let transaction = begin(&mut self.client).await?;
        let row = transaction
            .query_one(
                include_str!("../../sql/manage/make_portal_link.sql"),
                &[&owner, &hash(&key), &LIFETIME.as_secs_f64()],
            )
            .await
            .map_err(|error| Error::from_postgres("make the link", error))?;
        let read = || -> std::result::Result<(i64, SystemTime), tokio_postgres::Error> {
            Ok((row.try_get("id")?, row.try_get("ends_at")?))
        };
        let (id, ends_at) = read().context("read the new link")?;
        let expires_at = timestamp(ends_at);
        let mut act = act.with("link", id).with("expires_at", expires_at.as_str());
        act.owner = Some(owner.to_owned());
        record(&transaction, self.charset, act).await?;
        transaction.commit().await.context("make the link")?;
        Ok(MadeLink {
            path: format!("{}/portal/enter/{key}", self.config.root()),
            expires_at,
        })
    }

    /// Uses a link up, and says whom it lets in for up to `life`; `None` if it was used, is too old, or never was. That
    /// they came is on record before they are in, with what is known of `visitor`.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn use_portal_link(
        &mut self,
        key: &str,
        life: Duration,
        visitor: Who,
    ) -> Result<Option<Guest>> {
        if key.len() != KEY_LENGTH {
            return Ok(None);
        }
        let transaction = begin(&mut self.client).await?;
        let row = transaction
            .query_opt(
                include_str!("../../sql/manage/use_portal_link.sql"),
                &[&hash(key), &life.as_secs_f64()],
            )
            .await
            .context("look the link up")?;
        let Some(row) = row else { return Ok(None) };
        let read = || -> std::result::Result<Guest, tokio_postgres::Error> {
            Ok(Guest {
                link: row.try_get("id")?,
                owner: row.try_get("owner")?,
            })
        };
        let guest = read().context("read the link")?;
        let who = Who {
            kind: Kind::Owner,
            owner: Some(guest.owner.clone()),
            token: Some(token_name(guest.link)),
            ..visitor
        };
        let mut act = Act::of(&who, what::LOGIN);
        act.owner = Some(guest.owner.clone());
        record(&transaction, self.charset, act).await?;
        transaction.commit().await.context("use the link up")?;
        Ok(Some(guest))
    }

    /// Whether the session that a link has opened is still good for this guest.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn is_portal_open(&self, guest: &Guest) -> Result<bool> {
        let sql = "select from portal_link \
                   where id = $1 and owner = $2 and used_at is not null and ends_at > clock_timestamp()";
        let row = self
            .client
            .query_opt(sql, &[&guest.link, &guest.owner])
            .await;
        Ok(row.context("look a session of the portal up")?.is_some())
    }

    /// Ends the session that a link has opened, wherever it is open.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn end_portal(&self, link: i64) -> Result<()> {
        let sql = "delete from portal_link where id = $1";
        let deleted = self.client.execute(sql, &[&link]).await;
        deleted.context("end a session of the portal")?;
        Ok(())
    }
}

/// What is on record of a link, in place of a token.
pub(super) fn token_name(link: i64) -> String {
    format!("portal {link}")
}

/// What is stored of a key.
fn hash(key: &str) -> Vec<u8> {
    Sha256::digest(key).to_vec()
}
