//! Tokens with which owners come to the API and the page. A token is shown once; only its hash is kept.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::{Error, Office, Result};
use crate::postgres::time::timestamp;

/// What every token begins with, so that one that leaks is recognized.
const PREFIX: &str = "rowhook_";

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Looking.
    Read,
    /// Making and changing too.
    Write,
}

impl Scope {
    /// As it stands in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// Reads a scope's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write]
            .into_iter()
            .find(|scope| scope.as_str() == name)
    }
}

/// A token, as far as it is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// A note of whoever made it.
    pub name: String,
    /// Whose hooks it opens.
    pub owner: String,
    /// What it may be used for.
    pub scope: Scope,
    /// When it was made.
    pub created_at: String,
    /// From when on it opens nothing; null: it does not expire.
    pub expires_at: Option<String>,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<String>,
    /// When it was last used, to the hour.
    pub used_at: Option<String>,
}

/// A token that is to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose hooks it opens.
    pub owner: String,
    /// A note.
    #[serde(default)]
    pub name: String,
    /// What it may be used for; default: `write`.
    #[serde(default = "write")]
    pub scope: Scope,
    /// For how long it is good, in seconds; without it, until it is revoked.
    pub expires_in: Option<u64>,
}

/// A token that was just made, and is shown this once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MadeToken {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub known: Token,
    /// The token itself.
    pub token: String,
}

fn write() -> Scope {
    Scope::Write
}

impl Token {
    fn read(row: &Row) -> anyhow::Result<Self> {
        let time = |name| -> anyhow::Result<Option<String>> {
            let time: Option<SystemTime> = row.try_get(name)?;
            Ok(time.map(timestamp))
        };
        let scope: String = row.try_get("scope")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            scope: Scope::parse(&scope)
                .with_context(|| format!("a token has the scope {scope:?}"))?,
            created_at: timestamp(row.try_get("created_at")?),
            expires_at: time("expires_at")?,
            revoked_at: time("revoked_at")?,
            used_at: time("used_at")?,
        })
    }
}

impl Office {
    /// Makes a token. The operator alone may.
    ///
    /// # Errors
    /// When the tables cannot be written to, or the token would never expire in a time that can be told.
    pub async fn make_token(&self, new: NewToken) -> Result<MadeToken> {
        if new.owner.is_empty() {
            return Err(Error::Invalid(
                "owner is empty; say whose token it is".into(),
            ));
        }
        let random: [u8; 32] = rand::random();
        let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
        let expires_at = match new.expires_in {
            None => None,
            Some(seconds) => {
                // Postgres' calendar ends.
                let far = Duration::from_secs(seconds.min(100 * 365 * 24 * 3600));
                Some(self.now().await? + far)
            }
        };
        let sql = "insert into token (name, owner, hash, scope, expires_at) values ($1, $2, $3, $4, $5) returning *";
        let row = self
            .client
            .query_one(
                sql,
                &[
                    &new.name,
                    &new.owner,
                    &hash(&token),
                    &new.scope.as_str(),
                    &expires_at,
                ],
            )
            .await
            .map_err(|error| Error::of_postgres("make the token", error))?;
        Ok(MadeToken {
            known: Token::read(&row)?,
            token,
        })
    }

    /// All tokens, the newest first.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        let rows = self
            .client
            .query("select * from token order by id desc", &[])
            .await;
        let rows = rows.context("read the tokens")?;
        let tokens: anyhow::Result<_> = rows.iter().map(Token::read).collect();
        Ok(tokens?)
    }

    /// Revokes a token. It opens nothing from now on.
    ///
    /// # Errors
    /// When there is no such token.
    pub async fn revoke_token(&self, id: i64) -> Result<Token> {
        let sql = "update token set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1 returning *";
        let row = self.client.query_opt(sql, &[&id]).await;
        let row = row.context("revoke the token")?;
        let row = row.ok_or_else(|| Error::not_found("token", &id.to_string()))?;
        Ok(Token::read(&row)?)
    }

    /// What a token opens: whose hooks, and for what. `None`: nothing, or nothing any more.
    ///
    /// It is looked up by its hash, so how long that takes tells nothing about tokens that exist.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn admit(&self, token: &str) -> Result<Option<(String, Scope)>> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let row = self
            .client
            .query_opt(include_str!("../../sql/manage/admit.sql"), &[&hash(token)])
            .await
            .context("look a token up")?;
        let Some(row) = row else { return Ok(None) };
        let scope: String = row.try_get("scope").context("read a token")?;
        let owner = row.try_get("owner").context("read a token")?;
        Ok(Scope::parse(&scope).map(|scope| (owner, scope)))
    }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// Could it be one of ours? If not, nobody need be asked.
pub fn looks_like_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}
