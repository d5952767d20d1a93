//! Checks the server, the connection to it, the privileges of the role, and the slot.

use super::finding::{Finding, Topic};
use crate::{
    config::Config,
    postgres::address::{Address, Host},
    setup::{Blocker, catalog::Facts, lag::human_size, plan, waiting::waits},
};

/// The newest version of Postgres that rowhook is tested with. Sessions with one that is too old are not opened.
const NEWEST: i32 = 18;

/// How many bytes of WAL a slot may be behind without a warning.
const MUCH_LAG: i64 = 1 << 30;

/// Reports how the session is encrypted and verified.
pub(super) fn connection(address: &Address, facts: &Facts) -> Vec<Finding> {
    let server = &facts.server;
    let local = address.hosts.iter().all(is_local);
    let verified = address.tls.verifies();
    let how = match &server.tls {
        Some(version) if verified => format!("with {version}, verified"),
        Some(version) => format!("with {version}"),
        None => "without TLS".into(),
    };
    let what = format!(
        "connected to {} as {}, {how}",
        server.database, facts.role.name
    );
    let connected = match &server.tls {
        _ if local => Finding::ok(Topic::Connection, what),
        Some(_) if verified => Finding::ok(Topic::Connection, what),
        Some(_) => Finding::note(Topic::Connection, what)
            .remedy("the server's certificate is not looked at; sslmode=verify-full in [database] url does"),
        None => Finding::warn(Topic::Connection, what)
            .remedy("rows and the password's proof can be read on the way; set sslmode=verify-full in [database] url"),
    };
    vec![connected]
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix { .. } => true,
        Host::Tcp { name, .. } | Host::At { address: name, .. } => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

/// Checks the server and its settings.
pub(super) fn server(config: &Config, facts: &Facts) -> Vec<Finding> {
    let server = &facts.server;
    let problem = |problem| Finding::problem(Topic::Server, problem);
    let mut findings = Vec::new();
    let major = server.version / 10_000;
    let what = format!("Postgres {}", server.version_name);
    findings.push(if major <= NEWEST {
        Finding::ok(Topic::Server, what)
    } else {
        Finding::note(
            Topic::Server,
            format!("{what} is newer than what this rowhook was tested with"),
        )
    });
    findings.extend(server.product.map(|product| {
        Finding::note(Topic::Server, format!("this is {}", product.name()))
            .remedy(product.caution())
    }));
    findings.push(match plan::wrong_wal_level(server) {
        Some(wrong) => problem(wrong),
        None => Finding::ok(Topic::Server, format!("wal_level is {}", server.wal_level)),
    });
    findings.extend(
        facts
            .standby
            .as_ref()
            .and_then(plan::wrong_wal_level_at_standby)
            .map(problem),
    );
    findings.extend(plan::at_standby(facts).map(problem));
    findings.extend(
        plan::counted_as_standby(config, facts)
            .map(|counted| Finding::fatal(Topic::Server, counted.to_string())),
    );
    // The slot and whoever reads it are there.
    let server = facts.source();
    if facts.slot.is_none() && server.used_slots >= server.max_slots {
        findings.push(
            Finding::fatal(
                Topic::Server,
                format!("all {} replication slots are in use", server.max_slots),
            )
            .remedy("raise max_replication_slots and restart Postgres, or drop a slot that nobody reads"),
        );
    }
    let reading = facts
        .slot
        .as_ref()
        .is_some_and(|slot| slot.active_pid.is_some());
    if !reading && server.used_senders >= server.max_senders {
        findings.push(
            Finding::fatal(
                Topic::Server,
                format!("all {} WAL senders are in use", server.max_senders),
            )
            .remedy("raise max_wal_senders and restart Postgres"),
        );
    }
    findings.push(match server.wal_keep.as_str() {
        "-1" => Finding::note(
            Topic::Server,
            "max_slot_wal_keep_size has no limit: while rowhook does not run, WAL piles up until the disk is full",
        )
        .remedy("watch the slot's lag, or set a limit, and lose the slot's events when it is passed"),
        limit => Finding::note(
            Topic::Server,
            format!("max_slot_wal_keep_size is {limit}: when the slot is further behind, its events are lost"),
        ),
    });
    findings
}

/// Checks what the role may do on the server and in the database.
pub(super) fn privileges(facts: &Facts) -> Vec<Finding> {
    let (role, server) = (&facts.role, &facts.server);
    let problem = |problem| Finding::problem(Topic::Privileges, problem);
    let mut findings = Vec::new();
    findings.push(match plan::may_not_replicate(role, server) {
        Some(missing) => problem(missing),
        None => Finding::ok(Topic::Privileges, format!("{} may replicate", role.name)),
    });
    // Once the schema and the publications exist, the privilege is no longer needed.
    if facts.schema.is_none() || facts.publications.len() < 2 {
        findings.extend(plan::may_not_create(role, server).map(problem));
    }
    findings
}

/// Reports who reads the slot and how far it is behind. A slot that does not exist or is lost is a matter of the plan.
///
/// `blockers` are the transactions that a slot waits for which is being made.
pub(super) fn slot(config: &Config, facts: &Facts, blockers: &[Blocker]) -> Option<Finding> {
    let name = &config.database.slot;
    let slot = facts.own_slot()?;
    if slot.is_being_made() {
        let what = format!(
            "the slot {name} is still being made, and changes are not heard before it is done: {}",
            waits(blockers)
        );
        let finding = Finding::warn(Topic::Slot, what);
        return Some(finding.remedy("end these transactions, or wait until they end"));
    }
    let lag = slot.lag.unwrap_or_default();
    let reader = match slot.active_pid {
        Some(pid) => {
            let reader = slot.application_name.as_deref().unwrap_or("somebody");
            format!("read by pid {pid} ({reader})")
        }
        None => "read by nobody now".into(),
    };
    let what = format!("the slot {name} is {reader}, {} behind", human_size(lag));
    Some(match slot.wal_status.as_deref() {
        // The plan refuses a lost slot, and names the remedy.
        Some("lost") => return None,
        Some("unreserved") => Finding::warn(
            Topic::Slot,
            format!("{what}, and about to lose WAL that it needs"),
        )
        .remedy("start rowhook run now, or raise max_slot_wal_keep_size"),
        _ if lag > MUCH_LAG => Finding::warn(Topic::Slot, what)
            .remedy("start rowhook run, or find out what it waits for"),
        _ => Finding::ok(Topic::Slot, what),
    })
}
