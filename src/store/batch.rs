//! Writes to the tables, gathered: many at once cost one transaction.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;
use tokio_postgres::{Client, Error, Statement, Transaction};

use super::{HOLDS, Holder};
use crate::{
    courier::Courier,
    delivery::{Delivery, lane::Place},
    hook::HookId,
};

/// A body of more bytes than this is written in pieces, but in no more than eight: the driver has two copies of what it sends, and
/// Postgres writes anew what a piece is added to.
const PIECE: usize = 4 << 20;

/// Something to be written.
pub enum Write {
    /// A delivery of the stream is to be kept.
    Keep {
        /// Its hook.
        hook: HookId,
        /// What is kept. Its ticket is settled when it is durable.
        delivery: Box<Delivery>,
        /// What is to become of it.
        fate: Fate,
        /// How the last attempt ended; of a dead one, why it was given up.
        reason: Option<String>,
        /// Told when it is durable.
        courier: Arc<Courier>,
    },
    /// Parked deliveries have been tried again.
    Tried {
        /// Their hook.
        hook: HookId,
        /// The ids of those that are not needed any more, and where they stood.
        gone: Vec<(Arc<str>, Place)>,
        /// Those that have failed, in order.
        failed: Vec<Failed>,
        /// Told when it is durable.
        done: oneshot::Sender<()>,
    },
    /// What was claimed has not been tried, and is due again.
    LetGo {
        /// Their ids.
        ids: Vec<Arc<str>>,
        /// Told when it is durable.
        courier: Arc<Courier>,
    },
    /// A hook has begun to fail, or has had a success again.
    Failing {
        /// The hook.
        hook: HookId,
        /// Since when it fails; `None`: not any more.
        since: Option<SystemTime>,
    },
}

impl Write {
    /// About how many bytes it takes to write.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Keep { delivery, .. } => delivery.body.len(),
            Self::Tried { .. } | Self::LetGo { .. } | Self::Failing { .. } => 0,
        }
    }
}

/// A parked delivery whose attempt has failed.
pub struct Failed {
    /// Its id.
    pub id: Arc<str>,
    /// Where it stands.
    pub place: Place,
    /// How many attempts there have been.
    pub attempts: u32,
    /// What is to become of it.
    pub fate: Fate,
    /// How the attempt ended.
    pub reason: String,
}

/// What is to become of a delivery that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is tried after this time.
    Tried(Duration),
    /// It waits behind another of its lane; if there is none in the table, it is due at once.
    Behind,
    /// It is given up.
    Dead,
}

impl Fate {
    fn state(self) -> &'static str {
        match self {
            Self::Tried(_) | Self::Behind => "parked",
            Self::Dead => "dead",
        }
    }

    fn wait(self) -> Option<f64> {
        match self {
            Self::Tried(wait) => Some(wait.as_secs_f64()),
            Self::Behind | Self::Dead => None,
        }
    }
}

/// A session, and the statements that it is for.
pub(super) struct Session {
    client: Client,
    holds: Statement,
    park: Statement,
    append: Statement,
    strike_off: Statement,
    postpone: Statement,
    let_go: Statement,
    advance: Statement,
    note_failing: Statement,
}

impl Session {
    /// Makes a session ready.
    pub(super) async fn prepare(client: Client) -> Result<Self, Error> {
        // Whoever takes the slot over waits until we are done.
        let holds = format!("{HOLDS} for share");
        let (holds, park, append, strike_off, postpone, let_go, advance, note_failing) = tokio::try_join!(
            client.prepare(&holds),
            client.prepare(include_str!("../../sql/store/park.sql")),
            client.prepare("update delivery set body = body || $2 where id = $1"),
            client.prepare("delete from delivery where id = any($1)"),
            client.prepare(include_str!("../../sql/store/postpone.sql")),
            client.prepare(include_str!("../../sql/store/let_go.sql")),
            client.prepare(include_str!("../../sql/store/advance.sql")),
            client.prepare(include_str!("../../sql/store/note_failing.sql")),
        )?;
        Ok(Self {
            client,
            holds,
            park,
            append,
            strike_off,
            postpone,
            let_go,
            advance,
            note_failing,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// What has come of a transaction.
pub(super) enum Written {
    /// It will not be lost.
    Durable,
    /// Nothing: another rowhook holds the slot.
    Overtaken,
}

/// What a transaction has changed, beside what it was told.
#[derive(Default)]
pub(super) struct Changes {
    /// The ids that are kept now and were not before.
    kept: HashSet<String>,
    /// The ids of those that waited behind others and have become the first.
    due: HashSet<String>,
}

/// Writes that belong into one transaction.
pub(super) struct Batch(pub(super) Vec<Write>);

impl Batch {
    /// Writes everything, or nothing: also when somebody else holds the slot. What changes by that joins `changes`, also when it fails: of a commit nobody may have
    /// been left to tell us.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        holder: &Holder,
        changes: &mut Changes,
    ) -> Result<Written, Error> {
        let transaction = session.client.transaction().await?;
        let Holder { slot, name } = holder;
        let held = transaction.query_opt(&session.holds, &[slot, name]).await?;
        if held.is_none() {
            return Ok(Written::Overtaken);
        }
        let kept = keep(&transaction, &session.park, &self.0).await?;
        append(&transaction, &session.append, &self.0, &kept).await?;
        changes.kept.extend(kept);
        execute_on(&transaction, &session.strike_off, self.gone()).await?;
        postpone(&transaction, &session.postpone, &self.0).await?;
        execute_on(&transaction, &session.let_go, self.let_go()).await?;
        let due = advance(&transaction, &session.advance, &self.0).await?;
        changes.due.extend(due);
        note_failing(&transaction, &session.note_failing, &self.0).await?;
        transaction.commit().await?;
        Ok(Written::Durable)
    }

    /// The ids of those that are not needed any more.
    fn gone(&self) -> impl Iterator<Item = &str> {
        let gone = self.0.iter().flat_map(|write| match write {
            Write::Tried { gone, .. } => &gone[..],
            Write::Keep { .. } | Write::LetGo { .. } | Write::Failing { .. } => &[],
        });
        gone.map(|(id, _)| &**id)
    }

    /// The ids of those that were claimed and not tried.
    fn let_go(&self) -> impl Iterator<Item = &str> {
        let ids = self.0.iter().flat_map(|write| match write {
            Write::LetGo { ids, .. } => &ids[..],
            Write::Keep { .. } | Write::Tried { .. } | Write::Failing { .. } => &[],
        });
        ids.map(|id| &**id)
    }

    /// Tells everyone that what they have written is durable.
    pub(super) fn tell(self, changes: &Changes) {
        for write in self.0 {
            match write {
                Write::Keep {
                    delivery,
                    fate,
                    courier,
                    ..
                } => {
                    let place = delivery.place;
                    let is_new = changes.kept.contains(&*delivery.id);
                    let due_in = match fate {
                        Fate::Tried(wait) if is_new => Some(wait),
                        // It is here already, and has a time of its own.
                        Fate::Tried(_) | Fate::Behind if !is_new => Some(Duration::ZERO),
                        Fate::Behind if changes.due.contains(&*delivery.id) => Some(Duration::ZERO),
                        Fate::Tried(_) | Fate::Behind | Fate::Dead => None,
                    };
                    delivery.settle();
                    if fate != Fate::Dead {
                        courier.kept(place, is_new, due_in);
                    }
                }
                // Whoever asked may have ended since.
                Write::Tried { done, .. } => {
                    let _ = done.send(());
                }
                Write::LetGo { courier, .. } => courier.look(),
                Write::Failing { .. } => {}
            }
        }
    }
}

/// What has been deleted for its age.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// How many deliveries.
    pub deliveries: usize,
    /// The parked ones among them, by hook.
    pub parked: Vec<(String, Place)>,
}

pub(super) async fn forget(
    client: &mut Client,
    idle: &[&str],
    retention: Duration,
) -> Result<Forgotten, Error> {
    let transaction = client.transaction().await?;
    let sql = include_str!("../../sql/store/forget.sql");
    let rows = transaction
        .query(sql, &[&retention.as_secs_f64(), &idle])
        .await?;
    let mut forgotten = Forgotten {
        deliveries: rows.len(),
        ..Forgotten::default()
    };
    for row in &rows {
        if row.try_get::<_, &str>("state")? == "parked" {
            let place = place(row.try_get("lane")?, row.try_get("other_lane")?);
            forgotten.parked.push((row.try_get("hook")?, place));
        }
    }
    let left = forgotten
        .parked
        .iter()
        .flat_map(|(hook, place)| place.lanes().map(|lane| (&**hook, lane.cast_signed())));
    let advance = include_str!("../../sql/store/advance.sql");
    let advance = transaction.prepare(advance).await?;
    advance_lanes(&transaction, &advance, left.collect()).await?;
    transaction.commit().await?;
    Ok(forgotten)
}

async fn keep(
    client: &Transaction<'_>,
    park: &Statement,
    writes: &[Write],
) -> Result<HashSet<String>, Error> {
    let kept: Vec<(&HookId, &Delivery, Fate, Option<&str>)> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Keep {
                hook,
                delivery,
                fate,
                reason,
                ..
            } => Some((hook, &**delivery, *fate, reason.as_deref())),
            Write::Tried { .. } | Write::LetGo { .. } | Write::Failing { .. } => None,
        })
        .collect();
    if kept.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<&str> = kept.iter().map(|(_, delivery, ..)| &*delivery.id).collect();
    let hooks: Vec<&str> = kept.iter().map(|(hook, ..)| hook.as_str()).collect();
    let events: Vec<&str> = kept
        .iter()
        .map(|(_, delivery, ..)| &*delivery.event)
        .collect();
    let states: Vec<&str> = kept.iter().map(|(_, _, fate, _)| fate.state()).collect();
    let reasons: Vec<Option<&str>> = kept.iter().map(|(.., reason)| *reason).collect();
    let attempts: Vec<i32> = kept
        .iter()
        .map(|(_, delivery, ..)| count(delivery.attempts))
        .collect();
    let waits: Vec<Option<f64>> = kept.iter().map(|(_, _, fate, _)| fate.wait()).collect();
    let lanes: Vec<i64> = kept
        .iter()
        .map(|(_, delivery, ..)| columns(delivery.place).0)
        .collect();
    let others: Vec<Option<i64>> = kept
        .iter()
        .map(|(_, delivery, ..)| columns(delivery.place).1)
        .collect();
    let lsns: Vec<String> = kept
        .iter()
        .map(|(_, delivery, ..)| delivery.position.commit_lsn.to_string())
        .collect();
    let indexes: Vec<i64> = kept
        .iter()
        .map(|(_, delivery, ..)| i64::try_from(delivery.position.index).unwrap_or(i64::MAX))
        .collect();
    let times: Vec<SystemTime> = kept
        .iter()
        .map(|(_, delivery, ..)| delivery.commit_time)
        .collect();
    let bodies: Vec<&[u8]> = kept
        .iter()
        .map(|(_, delivery, ..)| pieces(&delivery.body).next().unwrap_or_default())
        .collect();
    let types: Vec<&str> = kept
        .iter()
        .map(|(_, delivery, ..)| &*delivery.content_type)
        .collect();
    let questions: Vec<Option<String>> = kept
        .iter()
        .map(|(_, delivery, ..)| delivery.asked.as_ref().map(|asked| asked.to_json()))
        .collect();
    let rows = client
        .query(
            park,
            &[
                &ids, &hooks, &events, &states, &reasons, &attempts, &waits, &lanes, &others,
                &lsns, &indexes, &times, &bodies, &types, &questions,
            ],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Writes what was not written yet of the bodies of deliveries that are kept now.
async fn append(
    client: &Transaction<'_>,
    append: &Statement,
    writes: &[Write],
    kept: &HashSet<String>,
) -> Result<(), Error> {
    for write in writes {
        let Write::Keep { delivery, .. } = write else {
            continue;
        };
        if delivery.body.len() > PIECE && kept.contains(&*delivery.id) {
            for piece in pieces(&delivery.body).skip(1) {
                client.execute(append, &[&&*delivery.id, &piece]).await?;
            }
        }
    }
    Ok(())
}

fn pieces(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.chunks(PIECE.max(body.len().div_ceil(8)))
}

/// Executes a statement about deliveries, if there are any.
async fn execute_on(
    client: &Transaction<'_>,
    statement: &Statement,
    ids: impl Iterator<Item = &str>,
) -> Result<(), Error> {
    let ids: Vec<&str> = ids.collect();
    if !ids.is_empty() {
        client.execute(statement, &[&ids]).await?;
    }
    Ok(())
}

async fn postpone(
    client: &Transaction<'_>,
    postpone: &Statement,
    writes: &[Write],
) -> Result<(), Error> {
    let failed: Vec<&Failed> = writes
        .iter()
        .flat_map(|write| match write {
            Write::Tried { failed, .. } => &failed[..],
            Write::Keep { .. } | Write::LetGo { .. } | Write::Failing { .. } => &[],
        })
        .collect();
    let ids: Vec<&str> = failed.iter().map(|failed| &*failed.id).collect();
    let counts: Vec<i32> = failed.iter().map(|failed| count(failed.attempts)).collect();
    let reasons: Vec<&str> = failed.iter().map(|failed| &*failed.reason).collect();
    let waits: Vec<Option<f64>> = failed.iter().map(|failed| failed.fate.wait()).collect();
    let states: Vec<&str> = failed.iter().map(|failed| failed.fate.state()).collect();
    if !ids.is_empty() {
        client
            .execute(postpone, &[&ids, &counts, &reasons, &waits, &states])
            .await?;
    }
    Ok(())
}

/// The last word on each hook counts.
async fn note_failing(
    client: &Transaction<'_>,
    note_failing: &Statement,
    writes: &[Write],
) -> Result<(), Error> {
    let words = writes.iter().filter_map(|write| match write {
        Write::Failing { hook, since } => Some((hook.as_str(), *since)),
        Write::Keep { .. } | Write::Tried { .. } | Write::LetGo { .. } => None,
    });
    let last: BTreeMap<&str, Option<SystemTime>> = words.collect();
    if !last.is_empty() {
        let (hooks, since): (Vec<&str>, Vec<Option<SystemTime>>) = last.into_iter().unzip();
        client.execute(note_failing, &[&hooks, &since]).await?;
    }
    Ok(())
}

/// In each lane that somebody has left, or entered behind another who may have left since or be of a lane in the same bucket,
/// the first has its turn. Returns who has it now and did not before.
async fn advance(
    client: &Transaction<'_>,
    advance: &Statement,
    writes: &[Write],
) -> Result<Vec<String>, Error> {
    let mut touched: BTreeSet<(&str, i64)> = BTreeSet::new();
    for write in writes {
        let (hook, places): (_, Vec<Place>) = match write {
            Write::Tried {
                hook, gone, failed, ..
            } => {
                let untimed = failed
                    .iter()
                    .filter(|failed| !matches!(failed.fate, Fate::Tried(_)));
                let left = gone.iter().map(|(_, place)| *place);
                (
                    hook,
                    left.chain(untimed.map(|failed| failed.place)).collect(),
                )
            }
            Write::Keep {
                hook,
                delivery,
                fate: Fate::Behind,
                ..
            } => (hook, vec![delivery.place]),
            Write::Keep { .. } | Write::LetGo { .. } | Write::Failing { .. } => continue,
        };
        let lanes = places.into_iter().flat_map(Place::lanes);
        touched.extend(lanes.map(|lane| (hook.as_str(), lane.cast_signed())));
    }
    advance_lanes(client, advance, touched).await
}

async fn advance_lanes(
    client: &Transaction<'_>,
    advance: &Statement,
    touched: BTreeSet<(&str, i64)>,
) -> Result<Vec<String>, Error> {
    if touched.is_empty() {
        return Ok(Vec::new());
    }
    let (hooks, lanes): (Vec<&str>, Vec<i64>) = touched.into_iter().unzip();
    let rows = client.query(advance, &[&hooks, &lanes]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The place that the columns `lane` and `other_lane` say.
pub(super) fn place(lane: i64, other: Option<i64>) -> Place {
    match other {
        Some(other) => Place::both(other.cast_unsigned(), lane.cast_unsigned()),
        None => Place::One(lane.cast_unsigned()),
    }
}

/// The columns `lane` and `other_lane` of a place.
pub(super) fn columns(place: Place) -> (i64, Option<i64>) {
    match place {
        Place::One(lane) => (lane.cast_signed(), None),
        Place::Two(old, new) => (new.cast_signed(), Some(old.cast_signed())),
    }
}

fn count(attempts: u32) -> i32 {
    i32::try_from(attempts).unwrap_or(i32::MAX)
}
