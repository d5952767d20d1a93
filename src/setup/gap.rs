//! Gaps: changes that were committed but will never be read, because the slot does not continue where rowhook was.
//!
//! A position is recorded in the table `progress` before it is confirmed to the slot. So a slot that is ahead of the
//! recorded position was advanced or created by somebody else, and a slot that does not exist was lost, whatever the
//! cause.

use std::fmt;

use super::{
    catalog::{Facts, Progress, Server, Slot},
    plan::{
        problem::Problem,
        step::{Runs, Step},
    },
};
use crate::{
    config::Config,
    postgres::{Lsn, quote},
};

/// A range of the WAL whose changes will never be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The name of the slot.
    pub slot: String,
    /// How the changes were lost.
    pub cause: Cause,
    /// Where the range begins: some or all of what was committed after this is lost.
    pub from: Lsn,
    /// Where the range ends: what is committed from here on can be read.
    pub to: Lsn,
}

/// How changes were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// rowhook's tables were moved to another cluster, by a dump or otherwise.
    OtherCluster,
    /// The slot does not exist.
    Dropped,
    /// The slot does not exist, and the timeline has changed: a standby was promoted, or a backup restored.
    NewTimeline {
        /// The recorded timeline.
        was: u32,
        /// The timeline of the server.
        is: u32,
    },
    /// Postgres invalidated the slot.
    Invalidated {
        /// The reason that Postgres gives.
        reason: String,
    },
    /// The slot was advanced, or dropped and created again.
    Advanced,
}

impl Facts {
    /// The gap between the recorded progress and the slot, if there is one. Without recorded progress none can be
    /// found.
    pub fn gap(&self, config: &Config) -> Option<Gap> {
        let slot = &config.database.slot;
        // A slot of another database says nothing about ours. That it has our name is another problem.
        if self.slot.is_some() && self.own_slot().is_none() {
            return None;
        }
        find(
            slot,
            self.progress.as_ref()?,
            &self.server,
            self.slot.as_ref(),
        )
    }
}

fn find(name: &str, progress: &Progress, server: &Server, slot: Option<&Slot>) -> Option<Gap> {
    let other_timeline = server.timeline.filter(|is| *is != progress.timeline);
    let standing = slot.and_then(|slot| slot.confirmed);
    let cause = if progress.system_identifier != server.system_identifier {
        Cause::OtherCluster
    } else if let Some(slot) = slot {
        if slot.is_lost() {
            let reason = slot.invalidation_reason.clone();
            Cause::Invalidated {
                reason: reason.unwrap_or_else(|| "wal_removed".into()),
            }
        } else if other_timeline.is_none() && standing > Some(progress.confirmed) {
            Cause::Advanced
        } else {
            // On a new timeline, a slot that was synchronized to the standby may be a little ahead of the recorded
            // position, which is replicated separately.
            return None;
        }
    } else if let Some(is) = other_timeline {
        Cause::NewTimeline {
            was: progress.timeline,
            is,
        }
    } else {
        Cause::Dropped
    };
    let readable = standing.filter(|_| cause == Cause::Advanced);
    Some(Gap {
        slot: name.to_owned(),
        cause,
        from: progress.confirmed,
        to: readable.or(server.flushed).unwrap_or(progress.confirmed),
    })
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            slot,
            cause,
            from,
            to,
        } = self;
        match cause {
            Cause::OtherCluster => write!(
                f,
                "these tables come from another cluster; what was committed there after {from} cannot be read here"
            )?,
            Cause::Dropped => write!(
                f,
                "the slot {slot} is gone; what was committed from {from} to {to} cannot be read any more"
            )?,
            Cause::NewTimeline { was, is } => write!(
                f,
                "a standby was promoted or a backup restored (timeline {was} is now {is}), and the slot {slot} did not come along; what was committed from {from} to {to} cannot be read any more"
            )?,
            Cause::Invalidated { reason } => write!(
                f,
                "Postgres has invalidated the slot {slot} ({reason}); what was committed from {from} to {to} cannot be read any more"
            )?,
            Cause::Advanced => write!(
                f,
                "the slot {slot} was advanced, or dropped and made again, behind our back; what was committed from {from} to {to} was not read"
            )?,
        }
        Ok(())
    }
}

impl Gap {
    /// The gap as a problem that a person must settle.
    pub fn problem(&self) -> Problem {
        Problem::new(
            self.to_string(),
            "nothing is delivered until that is settled: send what is missing in another way, then run rowhook setup --accept-gap to go on from now",
        )
    }

    /// A name for its cause, for programs.
    pub fn kind(&self) -> &'static str {
        match self.cause {
            Cause::OtherCluster => "other_cluster",
            Cause::Dropped => "slot_dropped",
            Cause::NewTimeline { .. } => "new_timeline",
            Cause::Invalidated { .. } => "slot_invalidated",
            Cause::Advanced => "slot_advanced",
        }
    }
}

/// The steps that accept a gap: drop the slot, unless it can be read, and forget the recorded progress. They may be
/// stopped at any point and run again.
pub(super) fn acceptance_steps(config: &Config, gap: &Gap) -> Vec<Step> {
    let slot = quote::text(&config.database.slot);
    let mut steps = Vec::new();
    if gap.cause != Cause::Advanced {
        steps.push(Step {
            reason: format!("remove what is left of the slot {}", gap.slot),
            sql: format!(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = {slot} and database = current_database() and not active;\n"
            ),
            runs: Runs::Alone,
            alters: None,
        });
    }
    steps.push(Step {
        reason: format!("accepted: {gap}"),
        sql: format!(
            "delete from {schema}.progress where slot = {slot};\ndelete from {schema}.off_hook where slot = {slot};\n",
            schema = quote::name(&config.database.schema)
        ),
        runs: Runs::InTransaction,
        alters: None,
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(value: u64) -> Lsn {
        Lsn(value)
    }

    fn progress() -> Progress {
        Progress {
            system_identifier: "7".into(),
            timeline: 1,
            confirmed: lsn(100),
        }
    }

    fn server(system_identifier: &str, timeline: u32) -> Server {
        Server {
            product: None,
            system_identifier: system_identifier.into(),
            timeline: Some(timeline),
            flushed: Some(lsn(900)),
            version: 150_000,
            version_name: "15".into(),
            wal_level: "logical".into(),
            in_recovery: false,
            max_slots: 10,
            used_slots: 1,
            max_senders: 10,
            used_senders: 0,
            wal_keep: "-1".into(),
            synchronous_standby_names: String::new(),
            tls: None,
            database: "app".into(),
        }
    }

    fn slot(confirmed: u64, wal_status: &str) -> Slot {
        Slot {
            kind: "logical".into(),
            plugin: Some("pgoutput".into()),
            database: Some("app".into()),
            temporary: false,
            two_phase: false,
            active_pid: None,
            application_name: None,
            wal_status: Some(wal_status.into()),
            invalidation_reason: None,
            confirmed: Some(lsn(confirmed)),
            safe_wal_size: None,
            lag: None,
        }
    }

    #[test]
    fn each_way_to_lose_changes_is_told_from_the_others_and_from_going_on() {
        let found = |server: Server, slot: Option<Slot>| {
            find("rowhook", &progress(), &server, slot.as_ref())
                .map(|gap| (gap.kind(), gap.from.0, gap.to.0))
        };
        for (server, slot, expected) in [
            (server("7", 1), Some(slot(100, "reserved")), None),
            // A crash of the server can move the slot back. Changes then come again, and none are lost.
            (server("7", 1), Some(slot(60, "reserved")), None),
            (
                server("7", 1),
                Some(slot(101, "reserved")),
                Some(("slot_advanced", 100, 101)),
            ),
            (
                server("7", 1),
                Some(slot(60, "lost")),
                Some(("slot_invalidated", 100, 900)),
            ),
            (server("7", 1), None, Some(("slot_dropped", 100, 900))),
            (server("7", 2), None, Some(("new_timeline", 100, 900))),
            (server("7", 2), Some(slot(101, "reserved")), None),
            (server("8", 1), None, Some(("other_cluster", 100, 900))),
            (
                server("8", 1),
                Some(slot(60, "reserved")),
                Some(("other_cluster", 100, 900)),
            ),
        ] {
            assert_eq!(
                found(server.clone(), slot.clone()),
                expected,
                "{server:?} {slot:?}"
            );
        }
    }
}
