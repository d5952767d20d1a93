//! One transaction for many writes, because its commit is what costs most.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio_postgres::{Client, Error, Statement, types::ToSql};

use super::{
    holder::{Claimant, HAS, HOLDS, Holder},
    rows::{self, DISOWNED_AT_ONCE, Disowned, place},
    text::Charset,
    write::{Fate, Signed, Write},
};
use crate::{delivery::lane::Place, hook::HookId};

/// A session, and the statements that it has prepared.
pub(super) struct Session {
    client: Client,
    holds: Statement,
    has: Statement,
    park: Statement,
    append: Statement,
    delete: Statement,
    postpone: Statement,
    release: Statement,
    advance: Statement,
    record_failing: Statement,
    disown: Statement,
    charset: Charset,
}

impl Session {
    /// Prepares the statements.
    pub(super) async fn prepare(client: Client) -> Result<Self, Error> {
        // Whoever takes the slot over waits until we are done.
        let holds = format!("{HOLDS} for share");
        let has = format!("{HAS} for share");
        let (holds, has, park, append, delete, postpone, release, advance, record_failing, disown) =
            tokio::try_join!(
                client.prepare(&holds),
                client.prepare(&has),
                client.prepare(include_str!("../../sql/store/park.sql")),
                client.prepare("update delivery set body = body || $2 where id = $1"),
                client.prepare("delete from delivery where id = any($1)"),
                client.prepare(include_str!("../../sql/store/postpone.sql")),
                client.prepare(include_str!("../../sql/store/release.sql")),
                client.prepare(include_str!("../../sql/store/advance.sql")),
                client.prepare(include_str!("../../sql/store/record_failing.sql")),
                client.prepare(include_str!("../../sql/store/disown.sql")),
            )?;
        Ok(Self {
            charset: Charset::of(&client).await?,
            client,
            holds,
            has,
            park,
            append,
            delete,
            postpone,
            release,
            advance,
            record_failing,
            disown,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// What came of a transaction.
pub(super) enum Written {
    /// Everything is written, and will not be lost.
    Durable,
    /// Nothing is written, because others are in the place of these now.
    Overtaken(Vec<Arc<Claimant>>),
}

/// What a transaction has found out while it wrote.
#[derive(Default)]
pub(super) struct Changes {
    /// The ids of parked deliveries that the table did not have before.
    new: HashSet<String>,
    /// The ids of deliveries that waited behind others, and are first in their lanes now.
    due: HashSet<String>,
    /// What was given up because its hook has another owner, by id.
    disowned: HashMap<String, Disowned>,
}

impl Changes {
    /// Where those of a hook stood that were given up, and whether more may be left.
    fn disowned_of(&self, hook: &HookId) -> (Vec<Place>, bool) {
        let of_hook = self.disowned.values();
        let of_hook = of_hook.filter(|left| left.hook == hook.as_str());
        let places: Vec<Place> = of_hook.map(|left| left.place).collect();
        let more = places.len() as i64 >= DISOWNED_AT_ONCE;
        (places, more)
    }
}

/// Writes that go together into one transaction.
#[derive(Default)]
pub(super) struct Batch {
    writes: Vec<Write>,
    /// In whose name each of them is made.
    by: Vec<Arc<Claimant>>,
}

impl Batch {
    pub(super) fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Adds a write. Returns about how many bytes it takes to write.
    pub(super) fn add(&mut self, Signed { by, write }: Signed) -> usize {
        let bytes = write.size();
        self.writes.push(write);
        self.by.push(by);
        bytes
    }

    /// Drops what is in the name of these, who are to know. Returns who they are to others.
    pub(super) fn leave_out(&mut self, lost: &[Arc<Claimant>]) -> Vec<Holder> {
        let is_lost = |by: &Arc<Claimant>| lost.iter().any(|lost| Arc::ptr_eq(lost, by));
        let writes = std::mem::take(&mut self.writes).into_iter();
        let by = std::mem::take(&mut self.by);
        for (write, by) in writes.zip(by).filter(|(_, by)| !is_lost(by)) {
            self.writes.push(write);
            self.by.push(by);
        }
        // Each is told once, however much of theirs is still to come.
        let new = lost.iter().filter(|lost| !lost.overtaken.is_cancelled());
        let new: Vec<Holder> = new.map(|lost| lost.holder.clone()).collect();
        lost.iter().for_each(|lost| lost.overtaken.cancel());
        new
    }

    /// Those in whose name something is written, each once.
    fn claimants(&self) -> Vec<&Arc<Claimant>> {
        let mut all: Vec<&Arc<Claimant>> = Vec::new();
        for by in &self.by {
            // Writes of one come in runs, and there are few.
            if !all.iter().rev().any(|known| Arc::ptr_eq(known, by)) {
                all.push(by);
            }
        }
        all
    }

    /// Writes everything, or nothing where it fails or somebody is in the place of one who writes.
    ///
    /// `changes` is added to even where it fails: the transaction may have been committed although nobody was left to
    /// say so.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        changes: &mut Changes,
    ) -> Result<Written, Error> {
        let transaction = session.client.transaction().await?;
        let mut lost = Vec::new();
        for claimant in self.claimants() {
            let Holder {
                slot,
                name,
                partition,
            } = &claimant.holder;
            let held = match partition {
                None => transaction.query_opt(&session.holds, &[slot, name]).await?,
                Some(number) => {
                    let values: [&(dyn ToSql + Sync); 3] = [slot, name, number];
                    transaction.query_opt(&session.has, &values).await?
                }
            };
            if held.is_none() {
                lost.push(Arc::clone(claimant));
            }
        }
        if !lost.is_empty() {
            return Ok(Written::Overtaken(lost));
        }
        let writes = &self.writes;
        let kept = rows::park(&transaction, &session.park, writes, session.charset).await?;
        rows::append(&transaction, &session.append, writes, &kept).await?;
        rows::leave_out_rows(&transaction, writes, &kept.forgotten, session.charset).await?;
        changes.new.extend(kept.new);
        rows::delete(&transaction, &session.delete, writes).await?;
        rows::postpone(&transaction, &session.postpone, writes, session.charset).await?;
        rows::release(&transaction, &session.release, writes).await?;
        let disowned = rows::disown(&transaction, &session.disown, writes).await?;
        let due = rows::advance(&transaction, &session.advance, writes, &disowned).await?;
        changes.disowned.extend(disowned);
        changes.due.extend(due);
        rows::record_failing(&transaction, &session.record_failing, writes).await?;
        transaction.commit().await?;
        Ok(Written::Durable)
    }

    /// Lets everyone know that what they handed over is durable.
    pub(super) fn acknowledge(self, changes: &Changes) {
        let mut told: HashSet<HookId> = HashSet::new();
        for write in self.writes {
            match write {
                Write::Park {
                    delivery,
                    fate,
                    parker,
                    ..
                } => {
                    let place = delivery.place;
                    let is_new = changes.new.contains(&*delivery.id);
                    let due_in = match fate {
                        Fate::Retry(wait) if is_new => Some(wait),
                        // The table had it before, with a time of its own.
                        Fate::Retry(_) | Fate::Behind if !is_new => Some(Duration::ZERO),
                        Fate::Behind if changes.due.contains(&*delivery.id) => Some(Duration::ZERO),
                        Fate::Retry(_) | Fate::Behind | Fate::Dead => None,
                    };
                    delivery.settle();
                    if fate != Fate::Dead {
                        parker.parked(place, is_new, due_in);
                    }
                }
                // Whoever waits for the answer may have ended since.
                Write::Attempted { done, .. } => {
                    let _ = done.send(());
                }
                Write::Release { parker, .. } => parker.poll_table(),
                Write::FailingSince { .. } => {}
                Write::Disown { hook, parker, .. } => {
                    let (places, more) = changes.disowned_of(&hook);
                    // Of several about one hook, one was carried out.
                    if told.insert(hook) {
                        parker.disowned(places, more);
                    }
                }
            }
        }
    }
}

/// What has been deleted because of its age.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// How many deliveries.
    pub deliveries: usize,
    /// The hooks and places of the parked ones among them.
    pub parked: Vec<(String, Place)>,
}

/// Deletes some of the dead deliveries, and of the parked ones of the hooks in `orphaned`, that are older than
/// `retention`.
pub(super) async fn forget(
    client: &mut Client,
    orphaned: &[&str],
    retention: Duration,
) -> Result<Forgotten, Error> {
    let transaction = client.transaction().await?;
    let sql = include_str!("../../sql/store/forget.sql");
    let rows = transaction
        .query(sql, &[&retention.as_secs_f64(), &orphaned])
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
    let left: BTreeSet<(&str, i64)> = left.collect();
    let advance = include_str!("../../sql/store/advance.sql");
    let advance = transaction.prepare(advance).await?;
    rows::advance_lanes(&transaction, &advance, left).await?;
    transaction.commit().await?;
    Ok(forgotten)
}
