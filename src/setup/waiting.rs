//! Whom a slot waits for that is being made. Until it is done nothing is kept for it, though it has a name already.

use tokio_postgres::{Client, Error};

use super::{catalog::Slot, session::Blocker};

/// The transactions that must end before the slot is done; none where it is done, or waits for nobody now.
///
/// # Errors
/// If the query fails.
pub async fn waited_for(client: &Client, slot: Option<&Slot>) -> Result<Vec<Blocker>, Error> {
    let Some(slot) = slot.filter(|slot| slot.is_being_made()) else {
        return Ok(Vec::new());
    };
    let maker = slot.active_pid.unwrap_or_default();
    let sql = include_str!("../../sql/catalog/writers.sql");
    let rows = client.query(sql, &[&maker]).await?;
    Ok(rows.iter().map(Blocker::of_row).collect())
}

/// What is to be said of a slot that is being made: whom it waits for.
pub fn waits(blockers: &[Blocker]) -> String {
    match blockers {
        [] => "it waits for nobody now".to_owned(),
        some => {
            let some: Vec<String> = some.iter().map(ToString::to_string).collect();
            format!("it waits for {} to commit or roll back", some.join(" and "))
        }
    }
}
