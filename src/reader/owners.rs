//! Whose the rows of a batch are, as of their changes.
//!
//! The database is asked for what it holds now. Where that may be later than a change, the change waits until the
//! stream has come to where the database was asked: then it is known whether anything happened in between. The stream
//! is usually there within milliseconds. A stream that is far behind does not come there with what fits into memory;
//! then the owner is unknown.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::time::Instant;
use tokio_postgres::Client;

use super::{
    Reader,
    step::{ChangeDraft, Step},
};
use crate::{
    change::{Change, RowChange, Transaction},
    lookup::owner::{Owners, Ownership},
    postgres::{TableName, pgoutput::Message, relation::Relation, snapshot::Snapshot},
};

/// How long changes wait at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of rows that wait.
const MOST_HELD: usize = 8 << 20;
/// What a step takes at least.
const STEP_BYTES: usize = 256;

/// What the stream told of the tables on owner paths when it was read in advance, from the position of the slot on.
#[derive(Default)]
pub(super) struct PastOwners {
    tables: HashMap<u32, Arc<Relation>>,
    transaction: Option<Arc<Transaction>>,
    /// There was more than is kept.
    is_in_part: bool,
}

impl Reader {
    /// Notes what a message that was read in advance tells of rows before it.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn foresee_past(
        &mut self,
        past: &mut PastOwners,
        message: &Message,
        client: &Client,
    ) -> Result<()> {
        let (oid, row) = match message {
            Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => {
                past.transaction = Some(Arc::new(Transaction {
                    commit_lsn: *commit_lsn,
                    commit_time: *commit_time,
                    xid: *xid,
                }));
                return Ok(());
            }
            Message::Relation(message) => {
                past.tables.remove(&message.oid);
                let mut table = TableName {
                    schema: message.schema.clone(),
                    name: message.name.clone(),
                };
                if !self.is_configured(&table) {
                    let xid = past.transaction.as_ref();
                    let xid = xid.map(|transaction| transaction.xid);
                    let meant = self.followed.name(message.oid, &table, xid);
                    table = meant.unwrap_or(table);
                }
                if self.owners.is_on_path(&table) {
                    let relation = Relation::describe(client, message.clone()).await;
                    let mut relation = relation.context("read what a table looks like")?;
                    (relation.schema, relation.name) = (table.schema, table.name);
                    past.tables.insert(message.oid, Arc::new(relation));
                }
                return Ok(());
            }
            Message::Truncate { relations, .. } => {
                for relation in relations.iter().filter_map(|oid| past.tables.get(oid)) {
                    if let Some(transaction) = &past.transaction {
                        let table = relation.table();
                        self.owners.foresee_emptied(&table, transaction.commit_lsn);
                    }
                }
                return Ok(());
            }
            Message::Insert { relation, new } => (relation, RowChange::Insert { new: new.clone() }),
            Message::Update { relation, old, new } => {
                let (old, new) = (old.clone(), new.clone());
                (relation, RowChange::Update { old, new })
            }
            Message::Delete { relation, old } => (relation, RowChange::Delete { old: old.clone() }),
            _ => return Ok(()),
        };
        let (Some(relation), Some(transaction)) = (past.tables.get(oid), &past.transaction) else {
            return Ok(());
        };
        past.is_in_part |= !self.owners.has_room();
        if past.is_in_part {
            return Ok(());
        }
        let mut change = Change {
            relation: Arc::clone(relation),
            row,
            transaction: Arc::clone(transaction),
        };
        change.pad();
        let noted = self.owners.foresee(client, &change).await;
        noted.context("note whose rows were")
    }

    /// All was read in advance that this snapshot saw.
    pub(super) fn end_foreseeing(&mut self, past: &PastOwners, snapshot: &Snapshot) {
        if let Some(last) = past.transaction.as_ref().filter(|_| !past.is_in_part) {
            self.owners.has_seen(snapshot, last.commit_lsn);
            self.owners.has_foreseen(last.commit_lsn);
        }
    }

    /// Notes what the steps that are still to be applied tell of rows before them.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn foresee(&mut self, steps: &[Step], client: &Client) -> Result<()> {
        for step in steps {
            match step {
                Step::Row(draft) => {
                    let noted = self.owners.foresee(client, &draft.change).await;
                    noted.context("note whose rows were")?;
                }
                Step::Truncate(truncation) => {
                    for (table, _) in &truncation.tables {
                        let commit_lsn = truncation.transaction.commit_lsn;
                        let table = table.relation.table();
                        self.owners.foresee_emptied(&table, commit_lsn);
                    }
                }
                Step::Begin(_) | Step::Message(_) | Step::Commit(_) | Step::Idle(_) => {}
            }
        }
        self.owners.has_foreseen(self.session.reached);
        Ok(())
    }

    /// Finds the owners of rows. Returns how many of the steps, from the first on, need not wait for the stream to go
    /// on.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn find_owners(
        &mut self,
        steps: &mut [Step],
        client: &Client,
    ) -> Result<usize> {
        // What comes after another table has taken the place of one on a path has owners there.
        let replaced = steps.iter().position(|step| match step {
            Step::Row(draft) => self.owners.is_replaced_by(&draft.change),
            _ => false,
        });
        let all = replaced.map_or(steps.len(), |at| at + 1);
        let steps = steps.get(..all).unwrap_or_default();
        let rows = || {
            let rows = steps.iter().enumerate();
            rows.filter_map(|(at, step)| match step {
                Step::Row(draft) => Some((at, &**draft)),
                _ => None,
            })
        };
        let has_hooks = rows().any(|(_, draft)| draft.table.holds_hooks);
        let wanted: Vec<(usize, &ChangeDraft)> = rows()
            .filter(|(_, draft)| draft.owned().is_some() && self.is_wanted(draft, has_hooks))
            .filter(|(_, draft)| !self.waiting.has(&draft.change.relation))
            .collect();
        let owned = wanted.iter().filter_map(|(_, draft)| draft.owned());
        let found = self.owners.look_up(client, owned).await;
        found.context("look up owners")?;
        let is_untold = |draft: &ChangeDraft| {
            draft.owned().is_some_and(|(rule, change)| {
                self.owners.owner(Some(rule), change) == Ownership::Untold
            })
        };
        let untold = wanted.iter().find(|(_, draft)| is_untold(draft));
        let Some((first, draft)) = untold else {
            self.asking = None;
            return Ok(all);
        };
        let position = draft.position();
        let asking = self.asking.filter(|(first, _)| *first == position);
        let (_, since) = *self
            .asking
            .insert(asking.unwrap_or_else(|| (position, Instant::now())));
        let held = rows().skip_while(|(at, _)| at < first);
        let held: usize = held
            .map(|(_, draft)| STEP_BYTES + draft.change.bytes())
            .sum();
        if held > MOST_HELD || since.elapsed() >= PATIENCE {
            self.asking = None;
            return Ok(all);
        }
        Ok(*first)
    }

    /// Until when changes wait for the stream to go on; `None`: none does.
    pub(super) fn until_told(&self) -> Option<Instant> {
        self.asking.map(|(_, since)| since + PATIENCE)
    }

    /// Updates what is known of owners with a change. What waits has the owners that it had before.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn follow_owners(&mut self, change: &Change, client: &Client) -> Result<()> {
        if !self.waiting.is_empty() && self.owners.is_on_path(&change.relation.table()) {
            let noted = self.owners.foresee(client, change).await;
            noted.context("note whose rows were")?;
            self.keep_owners();
        }
        self.owners.follow(change);
        Ok(())
    }

    /// Notes with the changes that wait whose they are, as far as that is known. It is about to be another's.
    pub(super) fn keep_owners(&mut self) {
        let Self {
            waiting, owners, ..
        } = self;
        for draft in waiting.ownerless() {
            draft.whose = found_owner(owners, draft);
        }
    }

    /// Whose a change is; `None` where that has not been found out.
    pub(super) fn found_owner(&self, draft: &ChangeDraft) -> Option<Ownership> {
        found_owner(&self.owners, draft)
    }

    /// Whose a change is, as far as that is known.
    pub(super) fn ownership(&self, draft: &ChangeDraft) -> Ownership {
        if let Some(whose) = &draft.whose {
            return whose.clone();
        }
        match &draft.table.events {
            Some(events) => self.owners.owner(events.owner.as_ref(), &draft.change),
            None => Ownership::Nobody,
        }
    }
}

/// Whose a change is; `None` where that has not been found out.
fn found_owner(owners: &Owners, draft: &ChangeDraft) -> Option<Ownership> {
    let events = draft.table.events.as_ref()?;
    let owner = owners.known_owner(events.owner.as_ref(), &draft.change);
    owner.filter(|owner| matches!(owner, Ownership::Owner(_) | Ownership::Nobody))
}
