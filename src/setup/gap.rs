//! Gaps: changes that were committed but will never be read, because the slot does not continue where rowhook was.
//!
//! A position is recorded in the table `progress` before it is confirmed to the slot. So a slot that is ahead of the
//! recorded position was advanced or created by somebody else, and a slot that does not exist was lost, whatever the
//! cause. There is one exception: WAL without events is confirmed without a record, at the end of a run and where a
//! standby has a newer copy of the slot than of the record. Then the position of the slot shows our hand
//! ([`Lsn::is_in_our_hand`]), as that of a slot which somebody else has made or moved does not.

use std::fmt;

use tokio_postgres::Client;

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

/// The first version of Postgres whose pg_upgrade brings slots along.
const UPGRADES_SLOTS: i32 = 17;

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
    /// Whether there is a slot, from which everything after the range can be read.
    pub readable: bool,
}

/// How changes were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// rowhook's tables were moved to another cluster, by a dump or otherwise.
    OtherCluster,
    /// pg_upgrade has made the cluster, and the slot did not come along.
    Upgraded {
        /// The major version of Postgres before.
        was: i32,
    },
    /// The slot does not exist.
    Dropped,
    /// The slot does not exist or is another one, and the timeline has changed: a standby was promoted, or a backup
    /// restored.
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
        // A slot of another database says nothing about ours. That it has our name is another problem.
        if self.slot.is_some() && self.own_slot().is_none() {
            return None;
        }
        find(
            config,
            self.progress.as_ref()?,
            &self.server,
            self.slot.as_ref(),
        )
    }
}

/// Looks for a gap as [`Facts::gap`] does, and reads no more than that needs.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn look(
    client: &Client,
    standby: Option<&Client>,
    config: &Config,
) -> Result<Option<Gap>, tokio_postgres::Error> {
    let (server, slot, progress) = Facts::read_position(client, standby, config).await?;
    let another = slot
        .as_ref()
        .is_some_and(|slot| slot.is_of_another(&server.database));
    Ok(progress
        .filter(|_| !another)
        .and_then(|progress| find(config, &progress, &server, slot.as_ref())))
}

fn find(config: &Config, progress: &Progress, server: &Server, slot: Option<&Slot>) -> Option<Gap> {
    let readable = slot.filter(|slot| !slot.is_lost());
    let standing = readable.and_then(|slot| slot.confirmed);
    let cause = if progress.system_identifier != server.system_identifier {
        if readable.is_some_and(|slot| came_along(config, progress, server, slot)) {
            return None;
        }
        match upgraded_from(progress, server) {
            Some(was) => Cause::Upgraded { was },
            None => Cause::OtherCluster,
        }
    } else if let Some(lost) = slot.filter(|slot| slot.is_lost()) {
        let reason = lost.invalidation_reason.clone();
        Cause::Invalidated {
            reason: reason.unwrap_or_else(|| "wal_removed".into()),
        }
    } else if standing.is_some_and(|at| at <= progress.confirmed || at.is_in_our_hand()) {
        return None;
    } else if let Some(is) = server.timeline.filter(|is| *is != progress.timeline) {
        Cause::NewTimeline {
            was: progress.timeline,
            is,
        }
    } else if standing.is_some() {
        Cause::Advanced
    } else {
        Cause::Dropped
    };
    Some(Gap {
        slot: config.database.slot.clone(),
        cause,
        from: progress.confirmed,
        to: standing.or(server.flushed).unwrap_or(progress.confirmed),
        readable: standing.is_some(),
    })
}

/// The major version that the cluster had before pg_upgrade; `None` if it was not made by that. It keeps the oids of
/// tables, which a dump does not.
fn upgraded_from(progress: &Progress, server: &Server) -> Option<i32> {
    let was = progress.version? / 10_000;
    (progress.same_table && was < server.version / 10_000).then_some(was)
}

/// Whether pg_upgrade has brought the slot along. It does so only where all that the slot needed was read, and it keeps
/// whether standbys copy it, which a slot that was made by hand afterwards lacks.
fn came_along(config: &Config, progress: &Progress, server: &Server, slot: &Slot) -> bool {
    upgraded_from(progress, server).is_some_and(|was| was >= UPGRADES_SLOTS)
        && (slot.failover || !config.database.failover)
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            slot,
            cause,
            from,
            to,
            readable,
        } = self;
        match cause {
            Cause::OtherCluster => write!(
                f,
                "these tables come from another cluster; what was committed there after {from}, and here before {to}, cannot be read here"
            ),
            Cause::Upgraded { was } => write!(
                f,
                "pg_upgrade has made this cluster from one of Postgres {was}, and has not brought the slot {slot} along; what was committed there after {from}, and here before {to}, cannot be read"
            ),
            Cause::Dropped => write!(
                f,
                "the slot {slot} is gone; what was committed from {from} to {to} cannot be read any more"
            ),
            Cause::NewTimeline { was, is } if *readable => write!(
                f,
                "a standby was promoted or a backup restored (timeline {was} is now {is}), and the slot {slot} was made there anew or moved; what was committed from {from} to {to} was not read"
            ),
            Cause::NewTimeline { was, is } => write!(
                f,
                "a standby was promoted or a backup restored (timeline {was} is now {is}), and the slot {slot} did not come along; what was committed from {from} to {to} cannot be read any more"
            ),
            Cause::Invalidated { reason } => write!(
                f,
                "Postgres has invalidated the slot {slot} ({reason}); what was committed from {from} to {to} cannot be read any more"
            ),
            Cause::Advanced => write!(
                f,
                "the slot {slot} was advanced, or dropped and made again, behind our back; what was committed from {from} to {to} was not read"
            ),
        }
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
            Cause::Upgraded { .. } => "upgraded",
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
    if !gap.readable {
        steps.push(Step {
            reason: format!("remove what is left of the slot {}", gap.slot),
            sql: format!(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = {slot} and database = current_database() and not active;\n"
            ),
            runs: Runs::AtSource,
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
            confirmed: lsn(104),
            version: Some(150_000),
            same_table: true,
        }
    }

    fn config() -> Config {
        let file = "[database]\nurl = \"postgres://u@h/d\"\n[events]\na = \"t.created\"\n";
        Config::parse("hooks.toml".as_ref(), file, &|_| None).unwrap()
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
            started: String::new(),
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
            ..Slot::default()
        }
    }

    #[test]
    fn each_way_to_lose_changes_is_told_from_the_others_and_from_going_on() {
        let found = |server: Server, slot: Option<Slot>| {
            find(&config(), &progress(), &server, slot.as_ref())
                .map(|gap| (gap.kind(), gap.from.0, gap.to.0))
        };
        for (server, slot, expected) in [
            (server("7", 1), Some(slot(104, "reserved")), None),
            // A crash of the server can move the slot back. Changes then come again, and none are lost.
            (server("7", 1), Some(slot(64, "reserved")), None),
            // What had no events was confirmed without a note.
            (server("7", 1), Some(slot(127, "reserved")), None),
            (
                server("7", 1),
                Some(slot(112, "reserved")),
                Some(("slot_advanced", 104, 112)),
            ),
            (
                server("7", 1),
                Some(slot(64, "lost")),
                Some(("slot_invalidated", 104, 900)),
            ),
            (server("7", 1), None, Some(("slot_dropped", 104, 900))),
            (server("7", 2), None, Some(("new_timeline", 104, 900))),
            // The copy of the slot is newer than the copy of the note.
            (server("7", 2), Some(slot(111, "reserved")), None),
            (server("7", 2), Some(slot(63, "reserved")), None),
            // A slot of the same name was made on the promoted standby.
            (
                server("7", 2),
                Some(slot(112, "reserved")),
                Some(("new_timeline", 104, 112)),
            ),
            (
                server("7", 2),
                Some(slot(63, "lost")),
                Some(("slot_invalidated", 104, 900)),
            ),
            (server("8", 1), None, Some(("other_cluster", 104, 900))),
            (
                server("8", 1),
                Some(slot(63, "reserved")),
                Some(("other_cluster", 104, 63)),
            ),
        ] {
            assert_eq!(
                found(server.clone(), slot.clone()),
                expected,
                "{server:?} {slot:?}"
            );
        }
    }

    #[test]
    fn only_a_slot_that_pg_upgrade_can_have_brought_along_is_read_on() {
        let copied = Slot {
            failover: true,
            ..slot(304, "reserved")
        };
        let by_hand = slot(304, "reserved");
        for (was, same_table, slot, expected) in [
            (Some(170_011), true, Some(&copied), None),
            (Some(170_011), true, Some(&by_hand), Some("upgraded")),
            (Some(170_011), true, None, Some("upgraded")),
            (Some(160_015), true, Some(&copied), Some("upgraded")),
            (Some(170_011), false, Some(&copied), Some("other_cluster")),
            (Some(180_000), true, Some(&copied), Some("other_cluster")),
            (None, false, Some(&copied), Some("other_cluster")),
        ] {
            let progress = Progress {
                version: was,
                same_table,
                ..progress()
            };
            let server = Server {
                version: 180_006,
                ..server("8", 1)
            };
            let found = find(&config(), &progress, &server, slot);
            let kind = found.as_ref().map(Gap::kind);
            assert_eq!(kind, expected, "{was:?} {same_table} {slot:?}");
        }
    }
}
