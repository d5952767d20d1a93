//! Rows that a backfill has written into the stream, each for one hook. They become deliveries like changes do, in
//! stream order.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;
use bytes::Bytes;
use tokio_postgres::Client;

use super::{
    Reader,
    messages::{count_doubtful, tuple, unsealed},
    step::Step,
};
use crate::{
    change::RowChange,
    event::TableEvents,
    message::{Action, BackfillRow, Doubt, Envelope},
    postgres::{TableName, tuple::Old},
};

impl Reader {
    /// Interprets a row of a backfill as the change that its event would come from. A row that cannot be used is logged
    /// and left out; it takes no event number.
    ///
    /// # Errors
    /// When the table cannot be looked up.
    pub(super) async fn interpret_backfill(
        &mut self,
        envelope: Option<Envelope<'_>>,
        content: &Bytes,
        client: &Client,
    ) -> Result<Option<Step>> {
        let Some(envelope) = envelope else {
            // Ours stand in a transaction.
            count_doubtful(&self.context.meters, Doubt::Unsigned);
            return Ok(None);
        };
        let (content, doubt) = unsealed(self.message_key.as_ref(), envelope, content);
        if let Some(doubt) = doubt {
            count_doubtful(&self.context.meters, doubt);
            return Ok(None);
        }
        let step = match serde_json::from_slice::<BackfillRow>(&content) {
            Ok(row) => self.draft_backfill(row, client).await?,
            Err(error) => Err(error.to_string()),
        };
        Ok(match step {
            Ok(step) => Some(step),
            Err(reason) => {
                let before = self.context.meters.misunderstood.fetch_add(1, Relaxed);
                let so_far = before + 1;
                tracing::warn!(reason, so_far, "a row of a backfill is left out");
                None
            }
        })
    }

    /// The row as a step, or the reason why it is left out.
    async fn draft_backfill(
        &mut self,
        refill: BackfillRow,
        client: &Client,
    ) -> Result<Result<Step, String>> {
        let BackfillRow {
            schema,
            table,
            event,
            hook,
            columns,
            row,
        } = refill;
        let name = TableName {
            schema: schema.clone(),
            name: table.clone(),
        };
        let known = match self.catalog_table(&name, &columns, client).await? {
            Ok(known) => known,
            Err(reason) => return Ok(Err(reason)),
        };
        let action = Action {
            schema,
            table,
            action: String::new(),
            columns,
            row,
            owner: None,
        };
        let new = match tuple(&action, &known.relation) {
            Ok(new) => new,
            Err(reason) => return Ok(Err(reason)),
        };
        let found = known
            .events
            .as_ref()
            .and_then(|events| rule(events, &event));
        let Some((kind, number)) = found else {
            return Ok(Err(format!("[events] has no event {event:?} of {name}")));
        };
        let row = match kind {
            Kind::Created => RowChange::Insert { new },
            Kind::Updated => RowChange::Update {
                old: Old::SameKey,
                new,
            },
        };
        let mut draft = self.draft_of(known, row)?;
        draft.rules = vec![number];
        draft.only = Some(hook.into());
        Ok(Ok(Step::Row(Box::new(draft))))
    }
}

/// The kinds of change that a backfill can stand for.
enum Kind {
    Created,
    Updated,
}

/// The kind of change that an event comes from, and the number of its rule among the rules for that kind.
fn rule(events: &TableEvents, event: &str) -> Option<(Kind, usize)> {
    let at = |rules: &[crate::event::Rule]| rules.iter().position(|rule| &*rule.name == event);
    let created = at(events.created()).map(|at| (Kind::Created, at));
    created.or_else(|| at(events.updated()).map(|at| (Kind::Updated, at)))
}
