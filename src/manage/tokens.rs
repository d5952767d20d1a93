//! Tokens that give owners access to the API and the page. A token is shown once; only its hash is stored.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::{Admin, Error, Result, audit::record, begin, scope::Scopes};
use crate::{
    act::{Act, what},
    postgres::time::timestamp,
};

/// The prefix of every token, so that scanners for leaked secrets recognize one.
const PREFIX: &str = "rowhook_";

/// A token, without the token itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// A note by whoever issued it.
    pub name: String,
    /// The owner whose hooks it gives access to.
    pub owner: String,
    /// What it may be used for: `read`, `write`, or some of `test`, `deliveries` and `hooks` with spaces between them.
    #[schema(value_type = String, example = "test deliveries")]
    pub scope: Scopes,
    /// When it was issued.
    pub created_at: String,
    /// When it expires; null if it does not.
    pub expires_at: Option<String>,
    /// When it was revoked; null if it was not.
    pub revoked_at: Option<String>,
    /// When it was last used, to the hour; null if it never was.
    pub used_at: Option<String>,
}

/// A token that is to be issued.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The owner whose hooks it gives access to.
    pub owner: String,
    /// A note.
    #[serde(default)]
    pub name: String,
    /// What it may be used for: `read`, `write`, or some of `test`, `deliveries` and `hooks` with spaces between them;
    /// each includes to read. Default: `write`.
    #[serde(default = "Scopes::all")]
    #[schema(value_type = Option<String>, example = "test deliveries",
        pattern = "^(read|test|deliveries|hooks|write)( (read|test|deliveries|hooks|write))*$")]
    pub scope: Scopes,
    /// How long it is valid, in seconds; without this, until it is revoked.
    pub expires_in: Option<u64>,
}

/// A token that was just issued. It is shown this once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct IssuedToken {
    /// What is stored of it.
    #[serde(flatten)]
    pub details: Token,
    /// The token itself.
    pub token: String,
}

/// Whose a good token is.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The token's number.
    pub id: i64,
    /// The note of whoever issued it.
    pub name: String,
    /// The owner whose hooks it gives access to.
    pub owner: String,
    /// What it may be used for.
    pub scope: Scopes,
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
            scope: Scopes::parse(&scope).context("read a token")?,
            created_at: timestamp(row.try_get("created_at")?),
            expires_at: time("expires_at")?,
            revoked_at: time("revoked_at")?,
            used_at: time("used_at")?,
        })
    }
}

impl Admin {
    /// Issues a token for an owner. Callers let only the operator do this.
    ///
    /// # Errors
    /// When the owner is empty, or the tables cannot be written to.
    pub async fn issue_token(&mut self, new: NewToken) -> Result<IssuedToken> {
        if new.owner.is_empty() {
            return Err(Error::Invalid(
                "owner is empty; say whose token it is".into(),
            ));
        }
        let token = random_token();
        let expires_at = match new.expires_in {
            None => None,
            Some(seconds) => {
                // At most a hundred years: the calendar of Postgres ends.
                let far = Duration::from_secs(seconds.min(100 * 365 * 24 * 3600));
                Some(self.database_now().await? + far)
            }
        };
        let sql = "insert into token (name, owner, hash, scope, expires_at) values ($1, $2, $3, $4, $5) returning *";
        let act = self.act(what::TOKEN_CREATED);
        let transaction = begin(&mut self.client).await?;
        let row = transaction
            .query_one(
                sql,
                &[
                    &new.name,
                    &new.owner,
                    &hash(&token),
                    &new.scope.to_string(),
                    &expires_at,
                ],
            )
            .await
            .map_err(|error| Error::from_postgres("make the token", error))?;
        let details = Token::read(&row)?;
        record(&transaction, self.charset, of_token(act, &details)).await?;
        transaction.commit().await.context("make the token")?;
        Ok(IssuedToken { details, token })
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

    /// Revokes a token, from now on.
    ///
    /// # Errors
    /// When there is no such token.
    pub async fn revoke_token(&mut self, id: i64) -> Result<Token> {
        let sql = "update token set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1 returning *";
        let act = self.act(what::TOKEN_REVOKED);
        let transaction = begin(&mut self.client).await?;
        let row = transaction.query_opt(sql, &[&id]).await;
        let row = row.context("revoke the token")?;
        let row = row.ok_or_else(|| Error::not_found("token", &id.to_string()))?;
        let revoked = Token::read(&row)?;
        record(&transaction, self.charset, of_token(act, &revoked)).await?;
        transaction.commit().await.context("revoke the token")?;
        Ok(revoked)
    }

    /// Whose a token is; `None` if it is unknown, expired or revoked, or of a scope that this version does not know.
    ///
    /// It is looked up by its hash, so the time that this takes reveals nothing about tokens that exist.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Bearer>> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let row = self
            .client
            .query_opt(
                include_str!("../../sql/manage/authenticate.sql"),
                &[&hash(token)],
            )
            .await
            .context("look a token up")?;
        let Some(row) = row else { return Ok(None) };
        let read = || -> std::result::Result<_, tokio_postgres::Error> {
            let scope: String = row.try_get("scope")?;
            let owner = (
                row.try_get("id")?,
                row.try_get("name")?,
                row.try_get("owner")?,
            );
            Ok((scope, owner))
        };
        let (scope, (id, name, owner)) = read().context("read a token")?;
        let scope = Scopes::parse(&scope).ok();
        Ok(scope.map(|scope| Bearer {
            id,
            name,
            owner,
            scope,
        }))
    }
}

/// A token that nobody has.
pub fn random_token() -> String {
    let random: [u8; 32] = rand::random();
    format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// What is on record of a token: its number, its name and what it may be used for.
fn of_token(act: Act, token: &Token) -> Act {
    let mut act = act
        .with("token", token.id)
        .with("name", token.name.as_str())
        .with("scope", token.scope.to_string())
        .with("expires_at", token.expires_at.clone());
    act.owner = Some(token.owner.clone());
    act
}

/// What is stored of a token.
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// Whether it has the form of a token that rowhook issues. If not, it need not be looked up.
pub fn looks_like_token(token: &str) -> bool {
    token.starts_with(PREFIX)
}
