//! The rows of the table `delivery` that a transaction writes, gathered from all of its writes.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{Duration, SystemTime},
};

use tokio_postgres::{Error, Statement, Transaction, types::ToSql};

use super::{
    columns::{Columns, row},
    text::Charset,
    write::{DISOWNED, Failed, Fate, Write},
};
use crate::{
    delivery::{Delivery, about, lane::Place, whose::Whose},
    hook::HookId,
};

/// A body of more bytes than this is written in pieces, but in no more than eight: the driver has two copies of what it
/// sends, and Postgres writes the whole body anew for each piece that is added.
const PIECE: usize = 4 << 20;

/// How many deliveries of a hook that has another owner are given up in one transaction.
pub(super) const DISOWNED_AT_ONCE: i64 = 1000;

row! {
    /// A delivery to be kept, as `park.sql` takes it.
    struct Parked<'a> {
        id: &'a str,
        hook: &'a str,
        event: &'a str,
        state: &'static str,
        reason: Option<Cow<'a, str>>,
        attempts: i32,
        wait: Option<f64>,
        lane: i64,
        other_lane: Option<i64>,
        commit_lsn: String,
        event_index: i64,
        commit_time: SystemTime,
        body: &'a [u8],
        content_type: &'a str,
        question: Option<String>,
        owner: Option<&'a str>,
        everyones: bool,
        waited_ms: Option<i64>,
        about: String,
        outline: Option<String>,
    }
}

impl<'a> Parked<'a> {
    fn new(
        hook: &'a HookId,
        delivery: &'a Delivery,
        fate: Fate,
        reason: Option<&'a str>,
        charset: Charset,
    ) -> Self {
        let (lane, other_lane) = lanes_of(delivery.place);
        let outline = delivery.outline.as_ref().map(|outline| outline.to_json());
        Self {
            id: &delivery.id,
            hook: hook.as_str(),
            event: &delivery.event,
            state: fate.state(),
            reason: reason.map(|reason| charset.hold(reason)),
            attempts: count(delivery.attempts),
            wait: fate.wait(),
            lane,
            other_lane,
            commit_lsn: delivery.position.commit_lsn.to_string(),
            event_index: i64::try_from(delivery.position.index).unwrap_or(i64::MAX),
            commit_time: delivery.commit_time,
            body: pieces(&delivery.body).next().unwrap_or_default(),
            content_type: &delivery.content_type,
            question: delivery.asked.as_ref().map(|asked| asked.to_json()),
            owner: delivery.whose.owner(),
            everyones: delivery.whose == Whose::Everyone,
            waited_ms: millis(delivery.waited),
            about: about::to_array(&delivery.about),
            outline: outline.map(|outline| charset.hold(&outline).into_owned()),
        }
    }
}

row! {
    /// A parked delivery whose attempt has failed, as `postpone.sql` takes it.
    struct Postponed<'a> {
        id: &'a str,
        attempts: i32,
        reason: Cow<'a, str>,
        wait: Option<f64>,
        state: &'static str,
        waited_ms: Option<i64>,
    }
}

impl<'a> Postponed<'a> {
    fn new(failed: &'a Failed, charset: Charset) -> Self {
        Self {
            id: &failed.id,
            attempts: count(failed.attempts),
            reason: charset.hold(&failed.reason),
            wait: failed.fate.wait(),
            state: failed.fate.state(),
            waited_ms: millis(failed.waited),
        }
    }
}

/// What was kept.
pub(super) struct Kept {
    /// The ids of the deliveries that the table did not have before.
    pub(super) new: HashSet<String>,
    /// The ids of those among them whose row was forgotten. They have no body yet.
    pub(super) forgotten: HashSet<String>,
}

/// Keeps deliveries, with the first piece of their bodies.
pub(super) async fn park(
    client: &Transaction<'_>,
    park: &Statement,
    writes: &[Write],
    charset: Charset,
) -> Result<Kept, Error> {
    let mut kept = Kept {
        new: HashSet::new(),
        forgotten: HashSet::new(),
    };
    let parked = Columns::of(writes.iter().filter_map(|write| match write {
        Write::Park {
            hook,
            delivery,
            fate,
            reason,
            ..
        } => Some(Parked::new(
            hook,
            delivery,
            *fate,
            reason.as_deref(),
            charset,
        )),
        Write::Attempted { .. }
        | Write::Release { .. }
        | Write::FailingSince { .. }
        | Write::Disown { .. } => None,
    }));
    let Some(columns) = parked else {
        return Ok(kept);
    };
    for row in client.query(park, &columns.parameters()).await? {
        let id: String = row.try_get("id")?;
        if row.try_get("is_forgotten")? {
            kept.forgotten.insert(id.clone());
        }
        kept.new.insert(id);
    }
    Ok(kept)
}

/// Makes the bodies of the deliveries whose row was forgotten.
pub(super) async fn leave_out_rows(
    client: &Transaction<'_>,
    writes: &[Write],
    forgotten: &HashSet<String>,
    charset: Charset,
) -> Result<(), Error> {
    for write in writes {
        let Write::Park { delivery, .. } = write else {
            continue;
        };
        let Some(outline) = &delivery.outline else {
            continue;
        };
        if forgotten.contains(&*delivery.id) {
            let body = outline.body(&delivery.body);
            let asked = delivery.asked.as_ref();
            let asked = asked.map(|asked| asked.of_key(outline.key_columns()).to_json());
            let asked = asked.map(|asked| charset.hold(&asked).into_owned());
            let sql = "update delivery set body = $2, question = $3::text::jsonb where id = $1";
            let values: [&(dyn ToSql + Sync); 3] = [&&*delivery.id, &&body[..], &asked];
            client.execute(sql, &values).await?;
        }
    }
    Ok(())
}

/// Appends the further pieces of the bodies of deliveries that are new in the table.
pub(super) async fn append(
    client: &Transaction<'_>,
    append: &Statement,
    writes: &[Write],
    kept: &Kept,
) -> Result<(), Error> {
    for write in writes {
        let Write::Park { delivery, .. } = write else {
            continue;
        };
        let is_whole = kept.new.contains(&*delivery.id) && !kept.forgotten.contains(&*delivery.id);
        if delivery.body.len() > PIECE && is_whole {
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

/// Deletes the deliveries that are not needed any more.
pub(super) async fn delete(
    client: &Transaction<'_>,
    delete: &Statement,
    writes: &[Write],
) -> Result<(), Error> {
    let gone = writes.iter().flat_map(|write| match write {
        Write::Attempted { gone, .. } => &gone[..],
        Write::Park { .. }
        | Write::Release { .. }
        | Write::FailingSince { .. }
        | Write::Disown { .. } => &[],
    });
    let ids: Vec<&str> = gone.map(|(id, _)| &**id).collect();
    execute_on(client, delete, &ids).await
}

/// Makes due again the deliveries that were claimed and not attempted.
pub(super) async fn release(
    client: &Transaction<'_>,
    release: &Statement,
    writes: &[Write],
) -> Result<(), Error> {
    let released = writes.iter().flat_map(|write| match write {
        Write::Release { ids, .. } => &ids[..],
        Write::Park { .. }
        | Write::Attempted { .. }
        | Write::FailingSince { .. }
        | Write::Disown { .. } => &[],
    });
    let ids: Vec<&str> = released.map(|id| &**id).collect();
    execute_on(client, release, &ids).await
}

/// Executes a statement about deliveries, if there are any.
async fn execute_on(
    client: &Transaction<'_>,
    statement: &Statement,
    ids: &[&str],
) -> Result<(), Error> {
    if !ids.is_empty() {
        client.execute(statement, &[&ids]).await?;
    }
    Ok(())
}

/// Gives the deliveries that have failed their next time.
pub(super) async fn postpone(
    client: &Transaction<'_>,
    postpone: &Statement,
    writes: &[Write],
    charset: Charset,
) -> Result<(), Error> {
    let failed = writes.iter().flat_map(|write| match write {
        Write::Attempted { failed, .. } => &failed[..],
        Write::Park { .. }
        | Write::Release { .. }
        | Write::FailingSince { .. }
        | Write::Disown { .. } => &[],
    });
    if let Some(columns) = Columns::of(failed.map(|failed| Postponed::new(failed, charset))) {
        client.execute(postpone, &columns.parameters()).await?;
    }
    Ok(())
}

/// A delivery that was given up because its hook has another owner.
pub(super) struct Disowned {
    pub(super) hook: String,
    pub(super) place: Place,
}

/// Gives up what waits for hooks that have other owners now, some of it at a time. Of several writes about a hook, the
/// last one counts. Returns what was given up by its id.
pub(super) async fn disown(
    client: &Transaction<'_>,
    disown: &Statement,
    writes: &[Write],
) -> Result<HashMap<String, Disowned>, Error> {
    let all = writes.iter().filter_map(|write| match write {
        Write::Disown { hook, owner, .. } => Some((hook.as_str(), owner.as_deref())),
        Write::Park { .. }
        | Write::Attempted { .. }
        | Write::Release { .. }
        | Write::FailingSince { .. } => None,
    });
    let last: BTreeMap<&str, Option<&str>> = all.collect();
    if last.is_empty() {
        return Ok(HashMap::new());
    }
    let (hooks, owners): (Vec<&str>, Vec<Option<&str>>) = last.into_iter().unzip();
    let parameters: [&(dyn ToSql + Sync); 4] = [&hooks, &owners, &DISOWNED_AT_ONCE, &DISOWNED];
    let rows = client.query(disown, &parameters).await?;
    let disowned = rows.iter().map(|row| {
        let left = Disowned {
            hook: row.try_get("hook")?,
            place: place(row.try_get("lane")?, row.try_get("other_lane")?),
        };
        Ok((row.try_get("id")?, left))
    });
    disowned.collect()
}

/// Records since when hooks fail. Of several writes about a hook, the last one counts.
pub(super) async fn record_failing(
    client: &Transaction<'_>,
    record_failing: &Statement,
    writes: &[Write],
) -> Result<(), Error> {
    let all = writes.iter().filter_map(|write| match write {
        Write::FailingSince { hook, since } => Some((hook.as_str(), *since)),
        Write::Park { .. }
        | Write::Attempted { .. }
        | Write::Release { .. }
        | Write::Disown { .. } => None,
    });
    let last: BTreeMap<&str, Option<SystemTime>> = all.collect();
    if !last.is_empty() {
        let (hooks, since): (Vec<&str>, Vec<Option<SystemTime>>) = last.into_iter().unzip();
        client.execute(record_failing, &[&hooks, &since]).await?;
    }
    Ok(())
}

/// Makes the first delivery due in each lane that another has left, or entered without a time of its own. One that
/// entered may be the first itself: the one before it may have left since, or be of another lane in the same bucket.
/// Returns the ids of those that have become due.
pub(super) async fn advance(
    client: &Transaction<'_>,
    advance: &Statement,
    writes: &[Write],
    disowned: &HashMap<String, Disowned>,
) -> Result<Vec<String>, Error> {
    let left = disowned.values().flat_map(|left| {
        let lanes = left.place.lanes();
        lanes.map(|lane| (&*left.hook, lane.cast_signed()))
    });
    let mut touched: BTreeSet<(&str, i64)> = left.collect();
    for write in writes {
        let (hook, places): (_, Vec<Place>) = match write {
            Write::Attempted {
                hook, gone, failed, ..
            } => {
                let untimed = failed
                    .iter()
                    .filter(|failed| !matches!(failed.fate, Fate::Retry(_)));
                let left = gone.iter().map(|(_, place)| *place);
                (
                    hook,
                    left.chain(untimed.map(|failed| failed.place)).collect(),
                )
            }
            Write::Park {
                hook,
                delivery,
                fate: Fate::Behind,
                ..
            } => (hook, vec![delivery.place]),
            Write::Park { .. }
            | Write::Release { .. }
            | Write::FailingSince { .. }
            | Write::Disown { .. } => continue,
        };
        let lanes = places.into_iter().flat_map(Place::lanes);
        touched.extend(lanes.map(|lane| (hook.as_str(), lane.cast_signed())));
    }
    advance_lanes(client, advance, touched).await
}

/// Makes the first delivery due in each of these lanes of hooks, and returns the ids of those that were not before.
pub(super) async fn advance_lanes(
    client: &Transaction<'_>,
    advance: &Statement,
    lanes: BTreeSet<(&str, i64)>,
) -> Result<Vec<String>, Error> {
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    let (hooks, lanes): (Vec<&str>, Vec<i64>) = lanes.into_iter().unzip();
    let rows = client.query(advance, &[&hooks, &lanes]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The place that the columns `lane` and `other_lane` describe.
pub(super) fn place(lane: i64, other_lane: Option<i64>) -> Place {
    match other_lane {
        Some(other) => Place::both(other.cast_unsigned(), lane.cast_unsigned()),
        None => Place::One(lane.cast_unsigned()),
    }
}

/// The columns `lane` and `other_lane` of a place.
pub(super) fn lanes_of(place: Place) -> (i64, Option<i64>) {
    match place {
        Place::One(lane) => (lane.cast_signed(), None),
        Place::Two(old, new) => (new.cast_signed(), Some(old.cast_signed())),
    }
}

fn millis(waited: Option<Duration>) -> Option<i64> {
    waited.map(|waited| i64::try_from(waited.as_millis()).unwrap_or(i64::MAX))
}

fn count(attempts: u32) -> i32 {
    i32::try_from(attempts).unwrap_or(i32::MAX)
}
