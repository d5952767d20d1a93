//! Deliveries as people see them: those that are parked or dead and, as far as history goes back, those that were
//! delivered.

use std::time::SystemTime;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::{Row, types::ToSql};
use utoipa::ToSchema;

use super::{Actor, Admin, Error, Page, PageRequest, Result, page::Found};
use crate::{delivery::whose::Whose, postgres::time::timestamp};

/// The most bytes of a body that are shown.
const SHOWN: usize = 256 << 10;
/// The most attempts of a delivery that are shown: the last ones.
const ATTEMPTS: i64 = 50;

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
    /// Whose it is, as far as that was noted.
    #[serde(skip)]
    pub(super) whose: Whose,
    /// What the list is sorted by, for the cursor.
    #[serde(skip)]
    sort: Option<SystemTime>,
}

/// What has become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeliveryState)]
pub enum State {
    /// It waits for its next attempt.
    Parked,
    /// It was given up.
    Dead,
    /// It was delivered.
    Delivered,
}

impl State {
    /// The state's name in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Parked, Self::Dead, Self::Delivered];
        all.into_iter().find(|state| state.as_str() == name)
    }
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
            sort: Some(at),
        })
    }
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
    /// # Errors
    /// When the cursor is invalid, or the tables cannot be read.
    pub async fn deliveries(
        &self,
        actor: &Actor,
        query: &DeliveryQuery,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let after: Option<(u64, u32, String)> = page.position()?;
        let found = self
            .find_deliveries(actor, query, None, after, page.limit())
            .await?;
        Ok(Page::of(found, |last| {
            let since = last
                .sort
                .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
                .unwrap_or_default();
            (since.as_secs(), since.subsec_nanos(), last.id.clone())
        }))
    }

    /// One delivery, with its body and its attempts.
    ///
    /// # Errors
    /// When there is no delivery of this id that `actor` may see, or the tables cannot be read.
    pub async fn delivery(&self, actor: &Actor, id: &str) -> Result<DeliveryDetail> {
        let all = DeliveryQuery::default();
        let found = self.find_deliveries(actor, &all, Some(id), None, 1).await?;
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

    /// Finds up to `limit` deliveries.
    async fn find_deliveries(
        &self,
        actor: &Actor,
        query: &DeliveryQuery,
        id: Option<&str>,
        after: Option<(u64, u32, String)>,
        limit: usize,
    ) -> Result<Found<Delivery>> {
        let sql = self.with_all_hooks(include_str!("../../sql/manage/deliveries.sql"));
        let (before, before_id) = match after {
            Some((seconds, nanos, id)) => (
                SystemTime::UNIX_EPOCH
                    .checked_add(std::time::Duration::new(seconds, nanos.min(999_999_999))),
                Some(id),
            ),
            None => (None, None),
        };
        let and_one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let state = query.state.map(State::as_str);
        let (action, file_hooks, owner) = ("read the deliveries", self.file_hooks(), actor.owner());
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &file_hooks,
            &owner,
            &query.hook,
            &id,
            &state,
            &query.event,
            &before,
            &before_id,
            &and_one_more,
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
