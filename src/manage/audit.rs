//! Acts on record: every operation here that changes something writes its own in the same transaction, and people read
//! them.

use std::{fmt, time::SystemTime};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::{GenericClient, Row, types::ToSql};
use utoipa::ToSchema;

use super::{Actor, Admin, Error, Page, PageRequest, Result, page::Found};
use crate::{
    act::{Act, Who},
    hook::{difference::Difference, row::HookRow},
    postgres::time::timestamp,
    store::{acts, text::Charset},
};

/// Something that was done, as it is on record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its number. Those of later acts are higher.
    pub id: i64,
    /// When it was done.
    pub at: String,
    /// Who has done it.
    pub by: AuditActor,
    /// What was done, such as `hook.changed`.
    pub what: String,
    /// The hook that it was done to.
    pub hook: Option<String>,
    /// The delivery that it was done to.
    pub delivery: Option<String>,
    /// The event that it is about.
    pub event: Option<String>,
    /// The owner whose hook, delivery or token it was done to.
    pub owner: Option<String>,
    /// What was different before, without secrets.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Map<String, Value>>,
    /// What it became, without secrets.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Map<String, Value>>,
}

/// Who has done something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditActor {
    /// `operator`, `owner`, `application` (a JWT of the application), `console`, `command line`, `signal`, `sql`
    /// (whoever wrote to the hook table), `rowhook` (by its own decision) or `stranger`.
    pub kind: String,
    /// The owner who has done it, or whose token has.
    pub owner: Option<String>,
    /// The number of the token that was used, and its name. Owners see it of their own acts.
    pub token: Option<String>,
    /// Where the request came from. Owners see it of their own acts.
    pub address: Option<String>,
    /// How the request came: `api` or `page`.
    pub via: Option<String>,
}

/// Which acts to list. Fields that are `None` do not limit the list.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Those on this hook.
    pub hook: Option<String>,
    /// Those that concern this owner, or that they have done.
    pub owner: Option<String>,
    /// Those with this name, or with `hook.*` those whose names begin with `hook.`.
    pub what: Option<String>,
    /// Those of this time or later.
    pub since: Option<SystemTime>,
    /// Those before this time.
    pub until: Option<SystemTime>,
}

impl fmt::Display for AuditActor {
    /// In one line: what they are, which one, with which token, and from where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(owner) = &self.owner {
            write!(f, " {owner}")?;
        }
        if let Some(token) = &self.token {
            write!(f, ", token {token}")?;
        }
        if let Some(via) = &self.via {
            write!(f, ", {via}")?;
        }
        match &self.address {
            Some(address) => write!(f, ", {address}"),
            None => Ok(()),
        }
    }
}

impl AuditEntry {
    fn read(row: &Row) -> anyhow::Result<Self> {
        let text = |name| row.try_get::<_, Option<String>>(name);
        let object = |name| -> anyhow::Result<Option<Map<String, Value>>> {
            let json: Option<String> = row.try_get(name)?;
            Ok(json.map(|json| serde_json::from_str(&json)).transpose()?)
        };
        Ok(Self {
            id: row.try_get("id")?,
            at: timestamp(row.try_get("at")?),
            by: AuditActor {
                kind: row.try_get("actor")?,
                owner: text("actor_owner")?,
                token: text("token")?,
                address: text("address")?,
                via: text("via")?,
            },
            what: row.try_get("what")?,
            hook: text("hook")?,
            delivery: text("delivery")?,
            event: text("event")?,
            owner: text("owner")?,
            before: object("before")?,
            after: object("after")?,
        })
    }
}

impl Admin {
    /// What is done from now on is done by `who`, and goes on record so.
    pub fn act_for(&mut self, who: Who) {
        self.who = who;
    }

    /// An act of whoever uses this.
    pub(super) fn act(&self, what: &'static str) -> Act {
        Act::of(&self.who, what)
    }

    /// Puts an act on record that writes nothing else to the tables.
    ///
    /// # Errors
    /// When the table cannot be written to.
    pub async fn record(&self, act: Act) -> Result<()> {
        record(&self.client, self.charset, act).await
    }

    /// Puts on record that something was done that is no operation here, such as a login.
    ///
    /// # Errors
    /// When the table cannot be written to.
    pub async fn record_alone(&self, what: &'static str, after: Map<String, Value>) -> Result<()> {
        let mut act = self.act(what);
        act.after = after;
        act.owner = self.who.owner.clone();
        self.record(act).await
    }

    /// Puts acts on record, all of them or none.
    ///
    /// # Errors
    /// When the table cannot be written to.
    pub async fn record_all(&self, all: &[Act]) -> Result<()> {
        let recorded = acts::record(&self.client, self.charset, all).await;
        recorded.map_err(|error| Error::from_postgres("put it on record", error))
    }

    /// A page of the acts that `actor` may see, newest first. An owner sees what concerns them and what they have done,
    /// without the addresses and the tokens of others.
    ///
    /// # Errors
    /// When the cursor is invalid, or the table cannot be read.
    pub async fn audit(
        &self,
        actor: &Actor,
        query: &AuditQuery,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>> {
        let before: Option<i64> = page.position()?;
        let found = self
            .find_acts(actor, query, before, None, page.limit())
            .await?;
        Ok(Page::of(found, |entry| entry.id))
    }

    /// The acts after the one of this number, oldest first, and at most 200.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn acts_after(&self, query: &AuditQuery, after: i64) -> Result<Vec<AuditEntry>> {
        let most = PageRequest::largest().limit();
        let found = self
            .find_acts(&Actor::Operator, query, None, Some(after), most)
            .await?;
        Ok(found.entries)
    }

    async fn find_acts(
        &self,
        actor: &Actor,
        query: &AuditQuery,
        before: Option<i64>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Found<AuditEntry>> {
        let and_one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let own = actor.owner();
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &own,
            &query.owner,
            &query.hook,
            &query.what,
            &query.since,
            &query.until,
            &before,
            &after,
            &and_one_more,
        ];
        let order = if after.is_none() { "id desc" } else { "id" };
        let sql = include_str!("../../sql/manage/audit.sql").replace("{order}", order);
        let action = "read what is on record";
        Found::read(
            &self.client,
            action,
            &sql,
            &parameters,
            limit,
            AuditEntry::read,
        )
        .await
    }
}

/// Puts an act on record, in the transaction of `client` if it is one.
pub(super) async fn record(client: &impl GenericClient, charset: Charset, act: Act) -> Result<()> {
    let recorded = acts::record(client, charset, &[act]).await;
    recorded.map_err(|error| Error::from_postgres("put it on record", error))
}

/// Puts a change of a hook on record in its transaction, and says there that it is, so that the stream does not bring
/// it again. A hook that has not changed is not on record.
pub(super) async fn record_hook(
    client: &impl GenericClient,
    charset: Charset,
    mut act: Act,
    rows: (Option<&HookRow>, Option<&HookRow>),
    difference: Difference,
) -> Result<()> {
    if difference.is_none() {
        return Ok(());
    }
    let (before, after) = rows;
    let owner = after.or(before).and_then(HookRow::owner);
    act.owner = owner.map(str::to_owned);
    let more = std::mem::take(&mut act.after);
    (act.before, act.after) = (difference.before, difference.after);
    act.after.extend(more);
    record(client, charset, act).await?;
    let marked = acts::mark(client).await;
    marked.map_err(|error| Error::from_postgres("put it on record", error))
}
