//! Deliveries as people see them: those that are parked or dead and, as far as history goes back, those that were
//! delivered.

use std::{collections::BTreeSet, time::SystemTime};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::{Row, types::ToSql};
use utoipa::ToSchema;

pub use super::state::State;
use super::{
    Actor, Admin, Error, Page, PageRequest, Result, forget::RowKey, outlook::WaitsFor, page::Found,
    waiting::Waiting,
};
use crate::{
    config::{Config, EventSource},
    delivery::whose::Whose,
    postgres::{TableName, time::timestamp},
};

/// The most bytes of a body that are shown.
const SHOWN: usize = 256 << 10;
/// The most attempts of a delivery that are shown: the last ones.
const ATTEMPTS: i64 = 50;
/// How many deliveries of each kind a page looks at, where only some of them are wanted.
const LOOKED_AT: i64 = 100_000;

/// One event on its way to one hook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Delivery {
    /// The `webhook-id`.
    pub id: String,
    /// The hook's id.
    pub hook: String,
    /// The event's name.
    pub event: String,
    /// Whose it is: the owner that the hook had then. Null for a hook that heard the events of everyone.
    pub owner: Option<String>,
    /// What has become of it.
    pub state: State,
    /// How the last attempt failed, or why the delivery was given up.
    pub reason: Option<String>,
    /// How many requests have been made for it.
    pub attempts: i32,
    /// When the next request is due; null if it waits behind another delivery of its lane, or no request will be made.
    pub next_attempt: Option<String>,
    /// Whether a request is being made.
    pub in_flight: bool,
    /// When the event was committed, if that is known.
    pub commit_time: Option<String>,
    /// The position of the event in the stream, if that is known: commit LSN and index in the transaction.
    pub position: Option<String>,
    /// When it was parked or delivered.
    pub at: String,
    /// What it waits for; null where it waits for nothing.
    pub waits_for: Option<WaitsFor>,
    /// Why it waits and when it goes, or what became of it, in one sentence for people.
    pub why: String,
    /// Whose it is, as far as that was noted.
    #[serde(skip)]
    pub(super) whose: Whose,
    /// What the list is sorted by, for the cursor.
    #[serde(skip)]
    sort: Option<SystemTime>,
    /// When the next request is due.
    #[serde(skip)]
    due: Option<SystemTime>,
}

/// A delivery with its body and its attempts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The body; null if it is not kept.
    pub body: Option<Content>,
    /// Its attempts, as far as history goes back, oldest first.
    pub attempt_list: Vec<Attempt>,
}

/// One request, and how it was answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Attempt {
    /// The number of the attempt in its delivery, from 1.
    pub number: i32,
    /// When it began.
    pub started_at: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Whether it was accepted.
    pub delivered: bool,
    /// The HTTP status; null if there was no response.
    pub status: Option<i32>,
    /// Why there was no response.
    pub error: Option<String>,
    /// The method of the request, if that is known.
    pub method: Option<String>,
    /// The URL, without credentials.
    pub url: String,
    /// The headers of the request, without the signature and without values that may be secret.
    #[schema(value_type = Object)]
    pub request_headers: Map<String, Value>,
    /// The body of the request; null if it is not kept.
    pub request_body: Option<Content>,
    /// The headers of the response.
    #[schema(value_type = Option<Object>)]
    pub response_headers: Option<Map<String, Value>>,
    /// The beginning of the response's body; null if it is not kept.
    pub response_body: Option<Content>,
}

/// A body, as text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Content {
    /// The text. Bytes that are not UTF-8 are shown as replacement characters.
    pub text: String,
    /// Whether the body is longer than what is shown.
    pub cut: bool,
}

/// Which deliveries to list. Fields that are `None` do not limit the list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// Those of this hook.
    pub hook: Option<String>,
    /// Those in this state.
    pub state: Option<State>,
    /// Those of this event.
    pub event: Option<String>,
    /// That with this id.
    pub id: Option<String>,
    /// Those parked or delivered at this time or later.
    pub since: Option<SystemTime>,
    /// Those parked or delivered before this time.
    pub until: Option<SystemTime>,
    /// Those of this row, as far as that was noted.
    pub row: Option<RowKey>,
}

/// A position in the list of deliveries: a time, as seconds and nanoseconds since 1970, and an id.
type Position = (u64, u32, String);

impl DeliveryQuery {
    /// Whether the indexes do not find what it wants, but only where that may be.
    fn is_searched(&self, actor: &Actor) -> bool {
        self.id.is_none() && (self.event.is_some() || self.row.is_some() || actor.owner().is_some())
    }
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            text: String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned(),
            cut: bytes.len() > SHOWN,
        }
    }
}

impl Delivery {
    fn read(row: &Row) -> anyhow::Result<Self> {
        let time =
            |name| -> anyhow::Result<Option<SystemTime>> { Ok(row.try_get::<_, Option<_>>(name)?) };
        let state: String = row.try_get("state")?;
        let lsn: Option<String> = row.try_get("commit_lsn")?;
        let index: Option<i64> = row.try_get("event_index")?;
        let at = time("at")?.context("a delivery without its time")?;
        let claimed: bool = row.try_get("claimed")?;
        let owner: Option<String> = row.try_get("owner")?;
        Ok(Self {
            id: row.try_get("id")?,
            hook: row.try_get("hook")?,
            event: row.try_get("event")?,
            whose: Whose::from_columns(owner.as_deref(), row.try_get("everyones")?),
            owner,
            state: State::parse(&state)
                .with_context(|| format!("a delivery is in the state {state:?}"))?,
            reason: row.try_get("reason")?,
            attempts: row.try_get("attempts")?,
            // While a request is being made, the column holds the time from which another process may make it.
            next_attempt: time("next_attempt")?.filter(|_| !claimed).map(timestamp),
            in_flight: claimed,
            commit_time: time("commit_time")?.map(timestamp),
            position: lsn.zip(index).map(|(lsn, index)| format!("{lsn}/{index}")),
            at: timestamp(at),
            waits_for: None,
            why: String::new(),
            sort: Some(at),
            due: time("next_attempt")?.filter(|_| !claimed),
        })
    }

    /// As far as its outlook depends on it.
    fn waiting(&self) -> Waiting<'_> {
        Waiting {
            id: &self.id,
            hook: &self.hook,
            state: self.state,
            attempts: self.attempts,
            reason: self.reason.as_deref(),
            next_attempt: self.due,
            in_flight: self.in_flight,
        }
    }
}

fn position(at: SystemTime, id: String) -> Position {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    (since.as_secs(), since.subsec_nanos(), id)
}

fn time_of((seconds, nanos, _): &Position) -> Option<SystemTime> {
    let since = std::time::Duration::new(*seconds, (*nanos).min(999_999_999));
    SystemTime::UNIX_EPOCH.checked_add(since)
}

impl Attempt {
    fn read(row: &Row) -> anyhow::Result<Self> {
        let object = |name| -> anyhow::Result<Option<Map<String, Value>>> {
            let text: Option<String> = row.try_get(name)?;
            Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
        };
        let content = |name| -> anyhow::Result<Option<Content>> {
            let bytes: Option<&[u8]> = row.try_get(name)?;
            Ok(bytes.map(Content::of))
        };
        Ok(Self {
            number: row.try_get("number")?,
            started_at: timestamp(row.try_get("started_at")?),
            took_ms: row.try_get("took_ms")?,
            delivered: row.try_get("delivered")?,
            status: row.try_get("status")?,
            error: row.try_get("error")?,
            method: row.try_get("method")?,
            url: row.try_get("url")?,
            request_headers: object("request_headers")?.unwrap_or_default(),
            request_body: content("request_body")?,
            response_headers: object("response_headers")?,
            response_body: content("response_body")?,
        })
    }
}

impl Admin {
    /// A page of the deliveries that `actor` may see, newest first.
    ///
    /// Where only those of an event, a row or an owner are wanted, a page looks at a bounded number of deliveries. It
    /// may then have fewer entries than there are, or none, and still have a next one.
    ///
    /// # Errors
    /// When the cursor is invalid, the row is none of a table with events, or the tables cannot be read.
    pub async fn deliveries(
        &self,
        actor: &Actor,
        query: &DeliveryQuery,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let from: Option<Position> = page.position()?;
        let about = self.marks_of(query.row.as_ref()).await?;
        let (from, about) = (from.as_ref(), about.as_deref());
        let horizon = match query.is_searched(actor) {
            true => self.horizon(query, from).await?,
            false => None,
        };
        let wanted = Wanted {
            query,
            about,
            from,
            horizon: horizon.as_ref(),
        };
        let found = self.find_deliveries(actor, &wanted, page.limit()).await?;
        let mut page = Page::of(found, |last| {
            let at = last.sort.unwrap_or(SystemTime::UNIX_EPOCH);
            position(at, last.id.clone())
        });
        page.goes_on_at(horizon.as_ref());
        self.explain(&mut page.data).await?;
        Ok(page)
    }

    /// What deliveries are about that hold this row, for [`Self::find_deliveries`].
    pub(super) async fn marks_of(&self, row: Option<&RowKey>) -> Result<Option<Vec<i64>>> {
        let Some(row) = row else { return Ok(None) };
        let tables = tables_of_events(&self.config);
        if TableName::parse(&row.table).is_none_or(|table| !tables.contains(&table)) {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            return Err(Error::Invalid(format!(
                "no event is of the table {:?}; those with events are {}",
                row.table,
                tables.join(", ")
            )));
        }
        Ok(Some(self.marks_of_row(row).await?))
    }

    /// Says of each why it waits and when it goes.
    async fn explain(&self, deliveries: &mut [Delivery]) -> Result<()> {
        let waiting: Vec<Waiting<'_>> = deliveries.iter().map(Delivery::waiting).collect();
        let outlooks = self.outlooks(&waiting).await?;
        for (delivery, outlook) in deliveries.iter_mut().zip(outlooks) {
            delivery.waits_for = outlook.waits_for;
            delivery.why = outlook.why;
        }
        Ok(())
    }

    /// One delivery, with its body and its attempts.
    ///
    /// # Errors
    /// When there is no delivery of this id that `actor` may see, or the tables cannot be read.
    pub async fn delivery(&self, actor: &Actor, id: &str) -> Result<DeliveryDetail> {
        let query = DeliveryQuery {
            id: Some(id.to_owned()),
            ..DeliveryQuery::default()
        };
        let wanted = Wanted::of(&query);
        let mut found = self.find_deliveries(actor, &wanted, 1).await?;
        self.explain(&mut found.entries).await?;
        let mut delivery = found.entries.into_iter().next();
        let rows = self
            .client
            .query(
                include_str!("../../sql/manage/delivery_attempts.sql"),
                &[&id, &(SHOWN as i32 + 1), &ATTEMPTS],
            )
            .await
            .map_err(|error| Error::from_postgres("read the attempts", error))?;
        let attempts: anyhow::Result<Vec<Attempt>> = rows.iter().map(Attempt::read).collect();
        let attempts = attempts?;
        let delivery = delivery
            .take()
            .ok_or_else(|| Error::not_found("delivery", id))?;
        let kept = self
            .client
            .query_opt(
                "select substring(body for $2) from delivery where id = $1",
                &[&id, &(SHOWN as i32 + 1)],
            )
            .await
            .map_err(|error| Error::from_postgres("read the body", error))?;
        let kept: Option<Vec<u8>> = kept
            .map(|row| row.try_get(0))
            .transpose()
            .context("read the body")?;
        let body = match kept {
            Some(bytes) => Some(Content::of(&bytes)),
            None => attempts
                .last()
                .and_then(|attempt| attempt.request_body.clone()),
        };
        Ok(DeliveryDetail {
            delivery,
            body,
            attempt_list: attempts,
        })
    }

    /// How far a page looks back that begins at a position; `None`: to the end.
    async fn horizon(
        &self,
        query: &DeliveryQuery,
        from: Option<&Position>,
    ) -> Result<Option<Position>> {
        let (before, before_id) = (from.and_then(time_of), from.map(|(.., id)| id));
        let state = query.state.map(State::as_str);
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &query.hook,
            &state,
            &before,
            &before_id,
            &query.since,
            &query.until,
            &LOOKED_AT,
        ];
        let sql = include_str!("../../sql/manage/deliveries_horizon.sql");
        let row = self.client.query_opt(sql, &parameters).await;
        let row = row.map_err(|error| Error::from_postgres("look how many there are", error))?;
        let read = |row: &Row| -> std::result::Result<_, tokio_postgres::Error> {
            Ok(position(row.try_get("at")?, row.try_get("id")?))
        };
        let found = row.as_ref().map(read).transpose();
        Ok(found.context("look how many there are")?)
    }

    /// Finds up to `limit` deliveries.
    async fn find_deliveries(
        &self,
        actor: &Actor,
        wanted: &Wanted<'_>,
        limit: usize,
    ) -> Result<Found<Delivery>> {
        let sql = self.with_all_hooks(include_str!("../../sql/manage/deliveries.sql"));
        let Wanted {
            query,
            about,
            from,
            horizon,
        } = wanted;
        let (before, before_id) = (from.and_then(time_of), from.map(|(.., id)| id));
        let (last, last_id) = (horizon.and_then(time_of), horizon.map(|(.., id)| id));
        let and_one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let state = query.state.map(State::as_str);
        let (action, file_hooks, owner) = ("read the deliveries", self.file_hooks(), actor.owner());
        let parameters: [&(dyn ToSql + Sync); 14] = [
            &file_hooks,
            &owner,
            &query.hook,
            &query.id,
            &state,
            &query.event,
            &before,
            &before_id,
            &and_one_more,
            &query.since,
            &query.until,
            about,
            &last,
            &last_id,
        ];
        Found::read(
            &self.client,
            action,
            &sql,
            &parameters,
            limit,
            Delivery::read,
        )
        .await
    }
}

/// The tables that events are of.
pub fn tables_of_events(config: &Config) -> BTreeSet<TableName> {
    let sources = config.events.iter().filter_map(|rule| match &rule.source {
        EventSource::Row { table, .. } => Some(table.clone()),
        EventSource::Custom => None,
    });
    sources.collect()
}

/// Which deliveries are to be found, from one position in the list to another.
struct Wanted<'a> {
    query: &'a DeliveryQuery,
    /// What they are about, one of these.
    about: Option<&'a [i64]>,
    /// They come after this one.
    from: Option<&'a Position>,
    /// None comes after this one.
    horizon: Option<&'a Position>,
}

impl<'a> Wanted<'a> {
    /// All of these.
    fn of(query: &'a DeliveryQuery) -> Self {
        Self {
            query,
            about: None,
            from: None,
            horizon: None,
        }
    }
}
