//! Acts on record, in the table `audit`.
//!
//! What is done by rowhook's own statements is recorded in the same transaction; `recording` has those of the stream.

use std::{
    mem::take,
    net::IpAddr,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tokio_postgres::{Error, GenericClient};

use super::{
    columns::{Columns, row},
    session::Session,
    text::Charset,
};
use crate::{
    act::{Act, Kind, Via, Who, what},
    delivery::ledger::Ticket,
    message::AUDITED,
};

/// How many acts from the stream wait to be written. Beyond that they are only counted, so that memory has a bound.
const PENDING: usize = 20_000;
/// How many bytes these take at most, but for the last.
const PENDING_BYTES: usize = 16 << 20;
/// How many acts are deleted at a time.
const PART: i64 = 5000;

row! {
    /// An act, as `record_acts.sql` takes it.
    struct Recorded<'a> {
        at: Option<SystemTime>,
        actor: &'a str,
        actor_owner: Option<&'a str>,
        token: Option<&'a str>,
        address: Option<String>,
        via: Option<&'a str>,
        what: &'a str,
        hook: Option<&'a str>,
        delivery: Option<&'a str>,
        event: Option<&'a str>,
        owner: Option<&'a str>,
        before: Option<String>,
        after: Option<String>,
        commit_lsn: Option<String>,
        place: Option<i32>,
    }
}

impl<'a> Recorded<'a> {
    fn new(act: &'a Act, charset: Charset) -> Self {
        let json = |facts: &Map<String, Value>| {
            let json = (!facts.is_empty()).then(|| Value::Object(facts.clone()).to_string());
            json.map(|json| charset.hold(&json).into_owned())
        };
        let Who {
            kind,
            owner,
            token,
            address,
            via,
        } = &act.who;
        Self {
            at: act.place.map(|place| place.at),
            actor: kind.name(),
            actor_owner: owner.as_deref(),
            token: token.as_deref(),
            address: address.as_ref().map(IpAddr::to_string),
            via: via.map(Via::name),
            what: act.what,
            hook: act.hook.as_deref(),
            delivery: act.delivery.as_deref(),
            event: act.event.as_deref(),
            owner: act.owner.as_deref(),
            before: json(&act.before),
            after: json(&act.after),
            commit_lsn: act.place.map(|place| place.commit_lsn.to_string()),
            place: act.place.map(|place| place.number),
        }
    }
}

/// Puts acts on record, in the transaction of `client` if it is one.
///
/// # Errors
/// When the table cannot be written to.
pub async fn record(
    client: &impl GenericClient,
    charset: Charset,
    acts: &[Act],
) -> Result<(), Error> {
    let rows = acts.iter().map(|act| Recorded::new(act, charset));
    let Some(columns) = Columns::of(rows) else {
        return Ok(());
    };
    let sql = include_str!("../../sql/store/record_acts.sql");
    client.execute(sql, &columns.parameters()).await?;
    Ok(())
}

/// Says in the stream that what this transaction does to hooks is on record. Without that, it is taken for a change in
/// SQL, and is on record a second time.
///
/// # Errors
/// When the connection is lost.
pub async fn mark(client: &impl GenericClient) -> Result<(), Error> {
    let sql = "select send_message($1::text, ''::bytea)";
    client.execute(sql, &[&AUDITED]).await?;
    Ok(())
}

/// The acts from the stream that wait to be written.
pub(super) struct Acts {
    pub(super) pending: Mutex<Pending>,
    /// Apart, so that nothing waits for it.
    pub(super) session: Session,
}

/// What waits, and whether somebody writes it.
#[derive(Default)]
pub(super) struct Pending {
    acts: Vec<Act>,
    bytes: usize,
    /// What may be confirmed when all of these are written.
    tickets: Vec<Ticket>,
    /// The last of the acts for which there was no room, and how many those were.
    left_out: Option<(Act, u64)>,
    pub(super) is_writing: bool,
}

impl Acts {
    pub(super) fn new() -> Self {
        Self {
            pending: Mutex::default(),
            session: Session::named("rowhook audit"),
        }
    }
}

impl Pending {
    pub(super) fn add(&mut self, acts: Vec<Act>, ticket: Ticket) {
        self.tickets.push(ticket);
        for act in acts {
            if self.acts.len() < PENDING && self.bytes < PENDING_BYTES {
                self.bytes += act.size();
                self.acts.push(act);
            } else {
                let so_far = self.left_out.take().map_or(0, |(_, count)| count);
                self.left_out = Some((act, so_far + 1));
            }
        }
    }

    /// Takes all that waits; `None`: nothing does, and whoever writes is to end.
    pub(super) fn take(&mut self) -> Option<(Vec<Act>, Vec<Ticket>)> {
        let mut acts = take(&mut self.acts);
        self.bytes = 0;
        if let Some((last, count)) = self.left_out.take() {
            let mut act = Act::of(&Who::only(Kind::Sql), what::HOOKS_CHANGED).with("hooks", count);
            act.place = last.place;
            acts.push(act);
        }
        let tickets = take(&mut self.tickets);
        self.is_writing = !tickets.is_empty();
        self.is_writing.then_some((acts, tickets))
    }
}

/// Notes how long acts are kept, and deletes those that are older.
pub(super) async fn forget(client: &impl GenericClient, retention: Duration) -> Result<()> {
    let note = "insert into audit (actor, what, after) \
                select 'rowhook', $1::text, jsonb_build_object('seconds', $2::bigint) \
                where (select (after ->> 'seconds')::bigint from audit where what = $1 order by id desc limit 1) \
                    is distinct from $2";
    let seconds = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
    let noted = client
        .execute(note, &[&what::AUDIT_RETENTION, &seconds])
        .await;
    noted.context("note how long acts are kept")?;
    let sql = include_str!("../../sql/store/forget_acts.sql");
    let seconds = retention.as_secs_f64();
    loop {
        let deleted = client.execute(sql, &[&seconds, &PART]).await;
        if deleted.context("delete old acts")? < PART.unsigned_abs() {
            return Ok(());
        }
    }
}
