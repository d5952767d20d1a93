//! Checks what a promoted standby will have of the slot, and when Postgres would give the slot up.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, Topic};
use crate::{
    config::Config,
    setup::catalog::{Facts, Server},
};

/// What decides about it.
#[derive(Debug, Clone, Default)]
struct Failover {
    /// `sync_replication_slots`
    sync_slots: Option<String>,
    /// `hot_standby_feedback`
    feedback: Option<String>,
    /// `primary_slot_name`
    primary_slot: Option<String>,
    /// `primary_conninfo`; `None`: the role may not see it.
    conninfo: Option<String>,
    /// `idle_replication_slot_timeout` in seconds.
    idle_timeout: Option<i32>,
    /// The standbys that are connected, by their application names.
    standbys: Vec<String>,
    /// Those that read without a slot of their own.
    without_slot: Vec<String>,
    /// Those that do not tell which rows they need.
    without_feedback: Vec<String>,
    /// The slots of standbys that the stream does not wait for.
    not_awaited: Vec<String>,
    /// The slots in `synchronized_standby_slots` that nobody reads.
    missing: Vec<String>,
    /// Whether `synchronized_standby_slots` has any.
    awaits: bool,
    /// Whether the role sees what sessions there are.
    sees_sessions: bool,
    /// Whether some standby copies slots.
    copied: bool,
    /// Whether the slot is a copy of one of the primary's.
    is_copy: bool,
}

/// Findings on failover. Where it cannot be read, there are none: that the catalog cannot be read is found elsewhere.
pub(super) async fn failover(client: &Client, config: &Config, facts: &Facts) -> Vec<Finding> {
    let sql = include_str!("../../../sql/catalog/failover.sql");
    let row = client.query_one(sql, &[&config.database.slot]).await;
    match row.and_then(|row| read(&row)) {
        Ok(failover) => findings(config, facts, &failover),
        Err(error) => {
            let what = format!(
                "cannot look at the standbys: {}",
                crate::postgres::error_message(&error)
            );
            vec![Finding::warn(Topic::Server, what)]
        }
    }
}

fn read(row: &Row) -> Result<Failover, tokio_postgres::Error> {
    Ok(Failover {
        sync_slots: row.try_get("sync_slots")?,
        feedback: row.try_get("feedback")?,
        primary_slot: row.try_get("primary_slot")?,
        conninfo: row.try_get("conninfo")?,
        idle_timeout: row.try_get("idle_timeout")?,
        standbys: row.try_get("standbys")?,
        without_slot: row.try_get("without_slot")?,
        without_feedback: row.try_get("without_feedback")?,
        not_awaited: row.try_get("not_awaited")?,
        missing: row.try_get("missing")?,
        awaits: row.try_get("awaits")?,
        sees_sessions: row.try_get("sees_sessions")?,
        copied: row.try_get("copied")?,
        is_copy: row.try_get("is_copy")?,
    })
}

fn findings(config: &Config, facts: &Facts, failover: &Failover) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(seconds) = failover.idle_timeout.filter(|seconds| *seconds > 0) {
        let what = format!(
            "idle_replication_slot_timeout is {seconds} s: when rowhook has not run for so long, its slot and its events are lost"
        );
        findings.push(Finding::warn(Topic::Server, what).remedy(
            "run: alter system set idle_replication_slot_timeout = 0; select pg_reload_conf(); or see that rowhook is never away for so long",
        ));
    }
    if let Some(standby) = facts.standby.as_ref().filter(|standby| standby.in_recovery) {
        findings.extend(of_source(config, facts, standby, failover));
    } else if facts.server.in_recovery {
        findings.extend(of_standby(config, facts, failover));
    } else {
        findings.extend(of_primary(config, facts, failover));
    }
    findings
}

/// What a primary shows of its standbys.
fn of_primary(config: &Config, facts: &Facts, failover: &Failover) -> Vec<Finding> {
    let slot = &config.database.slot;
    let warn = |what: String, remedy: String| Finding::warn(Topic::Server, what).remedy(remedy);
    let mut findings = Vec::new();
    if !failover.missing.is_empty() {
        findings.push(warn(
            format!(
                "synchronized_standby_slots names {}, which no standby reads: until one does, rowhook gets no changes",
                failover.missing.join(", ")
            ),
            "start that standby, or take it out: alter system set synchronized_standby_slots = '…'; select pg_reload_conf()".into(),
        ));
    }
    if failover.standbys.is_empty() {
        return findings;
    }
    let all = failover.standbys.join(", ");
    if !facts.server.copies_slots() {
        findings.push(Finding::note(
            Topic::Server,
            format!(
                "{all}: Postgres {} does not copy the slot {slot} to a standby; when one is promoted, the changes since then are a gap, unless a tool keeps a copy of the slot there",
                facts.server.version / 10_000
            ),
        ));
        return findings;
    }
    if !config.database.failover {
        findings.push(Finding::note(
            Topic::Server,
            format!("{all}: no copy of the slot {slot} is kept there; when one is promoted, the changes since then are a gap"),
        ).remedy("take failover = false out of [database]"));
        return findings;
    }
    if !failover.without_slot.is_empty() {
        findings.push(warn(
            format!(
                "{} reads the WAL without a slot, and copies no slots",
                failover.without_slot.join(", ")
            ),
            "on the primary: select pg_create_physical_replication_slot('standby_1'); on the standby: primary_slot_name = 'standby_1'".into(),
        ));
    }
    if !failover.without_feedback.is_empty() {
        findings.push(warn(
            format!(
                "{} does not tell which rows its slots need, and copies no slots",
                failover.without_feedback.join(", ")
            ),
            "on the standby: hot_standby_feedback = on".into(),
        ));
    }
    if failover.sees_sessions && !failover.copied {
        findings.push(warn(
            format!("no standby copies the slot {slot} now; when one is promoted, the changes since then are a gap"),
            "on the standby: sync_replication_slots = on, and dbname=… in primary_conninfo".into(),
        ));
    }
    if !failover.not_awaited.is_empty() {
        findings.push(warn(
            format!(
                "rowhook does not wait for {}: when that standby is promoted, it may lack what was parked last, and events may have been sent of what never happened there",
                failover.not_awaited.join(", ")
            ),
            format!(
                "run: alter system set synchronized_standby_slots = '{}'; select pg_reload_conf(); changes are then sent when these standbys have them",
                failover.not_awaited.join(", ")
            ),
        ));
    }
    if findings.is_empty() && failover.awaits {
        findings.push(Finding::ok(
            Topic::Server,
            format!("{all}: the slot {slot} is copied, and a promoted standby goes on with it"),
        ));
    }
    findings
}

/// What the slot needs of the standby that it is on.
fn of_source(
    config: &Config,
    facts: &Facts,
    standby: &Server,
    failover: &Failover,
) -> Vec<Finding> {
    let slot = &config.database.slot;
    let warn = |what: String, remedy: &str| Finding::warn(Topic::Server, what).remedy(remedy);
    let mut findings = vec![Finding::ok(
        Topic::Server,
        format!(
            "changes are read from a standby, Postgres {}",
            standby.version_name
        ),
    )];
    if failover.feedback.as_deref() == Some("off") {
        findings.push(warn(
            format!("hot_standby_feedback is off on the standby: the primary removes old rows of its catalog that the slot {slot} needs, and Postgres then invalidates the slot"),
            "run on the standby: alter system set hot_standby_feedback = on; select pg_reload_conf()",
        ));
    }
    if failover.primary_slot.as_deref() == Some("") {
        findings.push(warn(
            format!("the standby has no slot of its own on the primary: while it is not connected, the primary removes what the slot {slot} needs"),
            "run on the primary: select pg_create_physical_replication_slot('standby_1'); and on the standby: alter system set primary_slot_name = 'standby_1'; select pg_reload_conf()",
        ));
    }
    if config.database.failover && facts.server.copies_slots() {
        findings.push(Finding::note(
            Topic::Server,
            format!("the slot {slot} is on this standby alone, and goes on where it is promoted; other standbys do not copy it"),
        ));
    }
    findings
}

/// What a standby shows of itself.
fn of_standby(config: &Config, facts: &Facts, failover: &Failover) -> Vec<Finding> {
    if facts.server.version < 170_000 || !config.database.failover {
        return Vec::new();
    }
    let slot = &config.database.slot;
    let is_off = |setting: &Option<String>| setting.as_deref() == Some("off");
    let mut missing = Vec::new();
    if is_off(&failover.sync_slots) {
        missing.push("sync_replication_slots = on");
    }
    if is_off(&failover.feedback) {
        missing.push("hot_standby_feedback = on");
    }
    if failover.primary_slot.as_deref() == Some("") {
        missing.push("primary_slot_name = 'standby_1'");
    }
    let has_dbname = |conninfo: &str| conninfo.contains("dbname");
    if failover
        .conninfo
        .as_deref()
        .is_some_and(|text| !has_dbname(text))
    {
        missing.push("dbname=… in primary_conninfo");
    }
    if !missing.is_empty() {
        let what = "this standby copies no slots, and has none to go on with when it is promoted";
        return vec![
            Finding::warn(Topic::Server, what).remedy(format!("set {}", missing.join(", "))),
        ];
    }
    let finding = if failover.is_copy {
        Finding::ok(
            Topic::Server,
            format!("this standby has a copy of the slot {slot}"),
        )
    } else {
        Finding::warn(Topic::Server, format!("this standby has no copy of the slot {slot} yet"))
            .remedy("does the slot have failover = true on the primary? rowhook run sets it; and is it read there?")
    };
    vec![finding]
}
