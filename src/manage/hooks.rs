//! Hooks, as people look at them.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio_postgres::Row;
use url::Url;
use utoipa::ToSchema;

use super::{Error, Office, Page, PageRequest, Result, Who};
use crate::postgres::time::timestamp;

/// A hook, with what is to be said of it. Its secret is never shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Hook {
    /// The key of its row, or its name in hooks.toml.
    pub id: String,
    /// `table`: a row of the hook table; `file`: written in hooks.toml, and changed only there.
    pub origin: String,
    /// Whose events it hears; null: everyone's.
    pub owner: Option<String>,
    /// An event or a pattern; several, with commas between them, for hooks of the file.
    pub event: String,
    /// Where it is POSTed to, without credentials.
    pub target: String,
    /// Is it switched on?
    pub active: bool,
    /// How it is, in a word: `active`, `failing`, `disabled` or `invalid`.
    pub state: &'static str,
    /// Are its requests signed?
    pub signed: bool,
    /// A CEL expression; only events for which it is true are sent.
    pub filter: Option<String>,
    /// The shape of the body, where it differs from hooks.toml.
    pub payload: Option<String>,
    /// Names of the headers that it adds; the values may be secret.
    pub headers: Vec<String>,
    /// A note of whoever made it.
    pub description: Option<String>,
    /// Why it cannot be used.
    pub invalid: Option<String>,
    /// When it was disabled.
    pub disabled_at: Option<String>,
    /// Why it was disabled.
    pub disabled_reason: Option<String>,
    /// When it was made, where that is known.
    pub created_at: Option<String>,
    /// When it was changed last, where that is known.
    pub updated_at: Option<String>,
    /// Since when there has been no success; null: the last attempt was one.
    pub failing_since: Option<String>,
    /// Deliveries that wait for another attempt.
    pub parked: i64,
    /// Deliveries that were given up.
    pub dead: i64,
    /// The last request that history remembers.
    pub last: Option<LastAnswer>,
}

/// What came of a hook's last request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LastAnswer {
    /// When it was made.
    pub at: String,
    /// Was it accepted?
    pub delivered: bool,
    /// The status, or why there was none.
    pub answer: String,
}

/// Which hooks are wanted.
#[derive(Debug, Clone, Default)]
pub struct HookQuery {
    /// Those on exactly this event or pattern.
    pub event: Option<String>,
    /// Those of this owner.
    pub owner: Option<String>,
}

impl Hook {
    fn judge(&self) -> &'static str {
        match self {
            Self {
                invalid: Some(_), ..
            } => "invalid",
            Self { active: false, .. } => "disabled",
            Self {
                failing_since: Some(_),
                ..
            } => "failing",
            _ => "active",
        }
    }

    fn read(row: &Row) -> anyhow::Result<Self> {
        let time = |name| -> anyhow::Result<Option<String>> {
            let time: Option<std::time::SystemTime> = row.try_get(name)?;
            Ok(time.map(timestamp))
        };
        let headers: Option<serde_json::Value> = row
            .try_get::<_, Option<String>>("headers")?
            .and_then(|text| serde_json::from_str(&text).ok());
        let headers: BTreeMap<String, serde_json::Value> = headers
            .and_then(|headers| serde_json::from_value(headers).ok())
            .unwrap_or_default();
        let last = time("last_at")?.map(|at| -> anyhow::Result<_> {
            Ok(LastAnswer {
                at,
                delivered: row.try_get("last_delivered")?,
                answer: row.try_get("last_answer")?,
            })
        });
        let text = |name| row.try_get::<_, Option<String>>(name);
        let mut hook = Self {
            state: "",
            id: row.try_get("id")?,
            origin: row.try_get("origin")?,
            owner: text("owner")?,
            event: text("event")?.unwrap_or_default(),
            target: shown(text("target")?.as_deref().unwrap_or_default()),
            active: row.try_get("active")?,
            signed: row.try_get("signed")?,
            filter: text("filter")?,
            payload: text("payload")?,
            headers: headers.into_keys().collect(),
            description: text("description")?,
            invalid: text("invalid")?,
            disabled_at: time("disabled_at")?,
            disabled_reason: text("disabled_reason")?,
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
            failing_since: time("failing_since")?,
            parked: row.try_get("parked")?,
            dead: row.try_get("dead")?,
            last: last.transpose()?,
        };
        hook.state = hook.judge();
        Ok(hook)
    }
}

/// A target without its credentials. What is no URL is shown as it is: nothing is ever sent there.
fn shown(target: &str) -> String {
    let Ok(mut url) = Url::parse(target) else {
        return target.to_owned();
    };
    // Neither can fail for a URL that had credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

impl Office {
    /// The hooks that `who` may see, in the order of their ids.
    ///
    /// # Errors
    /// When the cursor is none of ours, or the tables cannot be read.
    pub async fn hooks(
        &self,
        who: &Who,
        query: &HookQuery,
        page: &PageRequest,
    ) -> Result<Page<Hook>> {
        let after: Option<String> = page.position()?;
        let owner = match (who.owner(), query.owner.as_deref()) {
            (Some(own), Some(asked)) if own != asked => {
                return Ok(Page::of(Vec::new(), 1, |hook: &Hook| hook.id.clone()));
            }
            (own, asked) => own.or(asked),
        };
        let found = self
            .find_hooks(
                owner,
                None,
                query.event.as_deref(),
                after.as_deref(),
                page.limit(),
            )
            .await?;
        Ok(Page::of(found, page.limit(), |hook| hook.id.clone()))
    }

    /// One hook.
    ///
    /// # Errors
    /// When there is none of this id that `who` may see, or the tables cannot be read.
    pub async fn hook(&self, who: &Who, id: &str) -> Result<Hook> {
        let found = self
            .find_hooks(who.owner(), Some(id), None, None, 1)
            .await?;
        let hook = found.into_iter().next();
        hook.ok_or_else(|| Error::not_found("hook", id))
    }

    /// One more than `limit`, where there are so many.
    async fn find_hooks(
        &self,
        owner: Option<&str>,
        id: Option<&str>,
        event: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Hook>> {
        let sql = self.known(include_str!("../../sql/manage/hooks.sql"));
        let limit = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let rows = self
            .client
            .query(
                &sql,
                &[&self.hooks_of_file(), &owner, &id, &event, &after, &limit],
            )
            .await
            .map_err(|error| Error::of_postgres("read the hooks", error))?;
        let hooks: anyhow::Result<_> = rows.iter().map(Hook::read).collect();
        Ok(hooks?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_without_credentials() {
        for (target, expected) in [
            ("https://user:secret@example.com/x", "https://example.com/x"),
            ("https://example.com/x?y=1", "https://example.com/x?y=1"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(shown(target), expected);
        }
    }
}
