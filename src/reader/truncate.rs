//! TRUNCATE: the rows of whole tables are gone at once, and the stream says so without naming one of them.
//!
//! Events ask for it with the action `truncated`. What the tables are to us is emptied with them: hooks stop exactly
//! here, owners that must exist do so no longer, and nothing that was known of a table on an owner path holds.

use std::sync::Arc;

use anyhow::Result;

use super::{
    Reader,
    deliver::Recipients,
    session::Table,
    step::{Permissions, Step, Truncation},
};
use crate::{
    change::{Change, RowChange, Transaction},
    hook::Origin,
};

impl Reader {
    /// The step of a TRUNCATE. It takes an event number for each rule of these tables that asks for it.
    pub(super) fn interpret_truncate(&mut self, oids: &[u32]) -> Option<Step> {
        let tables: Vec<Arc<Table>> = oids
            .iter()
            .filter_map(|oid| self.session.tables.get(oid).map(Arc::clone))
            .collect();
        let open = self.session.transaction.as_mut()?;
        let rules = |table: &Arc<Table>| {
            let events = table.events.as_ref();
            events.map_or(0, |events| events.rules(&RowChange::Truncate).len() as u64)
        };
        let numbered = tables.into_iter().map(|table| {
            let first_event = open.take_numbers(rules(&table)).index;
            (table, first_event)
        });
        Some(Step::Truncate(Box::new(Truncation {
            tables: numbered.collect(),
            transaction: Arc::clone(&open.transaction),
        })))
    }

    /// Delivers the events of a TRUNCATE, except those with numbers below `skip`, and then empties what its tables are
    /// to us.
    ///
    /// # Errors
    /// When something cannot be looked up.
    pub(super) async fn apply_truncate(&mut self, truncation: Truncation, skip: u64) -> Result<()> {
        let Truncation {
            tables,
            transaction,
        } = truncation;
        for (table, first_event) in &tables {
            self.deliver_truncate(table, *first_event, &transaction, skip)
                .await?;
        }
        self.keep_owners();
        for (table, _) in &tables {
            self.owners.empty(&table.relation.table());
            if table.holds_hooks {
                self.note_truncation(&transaction);
                self.drop_all_hooks();
                self.hooks.off.turn_all_on(transaction.commit_lsn);
            }
            if table.holds_owners {
                self.disable_all_owned();
            }
        }
        Ok(())
    }

    async fn deliver_truncate(
        &mut self,
        table: &Arc<Table>,
        first_event: u64,
        transaction: &Arc<Transaction>,
        skip: u64,
    ) -> Result<()> {
        let Some(events) = &table.events else {
            return Ok(());
        };
        let change = Arc::new(Change {
            relation: Arc::clone(&table.relation),
            row: RowChange::Truncate,
            transaction: Arc::clone(transaction),
        });
        let rules = events.rules(&change.row);
        if rules.is_empty() {
            self.warn_truncated(table);
            return Ok(());
        }
        for (number, rule) in (first_event..).zip(rules) {
            if number < skip || !self.hooks.index.has_hooks_for(&rule.name) {
                continue;
            }
            let event = events.event(rule, &change, Vec::new(), None, number);
            let recipients = Recipients {
                all_owners: rule.all_owners,
                when: None,
                permissions: &Permissions::new(),
                only: None,
                waited: None,
            };
            self.deliver_event(&Arc::new(event), recipients).await?;
        }
        self.ledger.handed_on(first_event + rules.len() as u64);
        Ok(())
    }

    /// Drops all hooks of the hook table. Those of hooks.toml stay.
    pub(super) fn drop_all_hooks(&mut self) {
        let of_table = self.hooks.index.all();
        for hook in of_table.filter(|hook| hook.origin == Origin::Table) {
            self.drop_hook(&hook.id);
        }
    }

    fn warn_truncated(&mut self, table: &Table) {
        let name = table.relation.table();
        let what = format!(
            "truncated, and no event asks for that; name one: \"…\" = \"{name}.truncated\""
        );
        self.tell_once(&name, "truncated", &what);
    }
}
