//! `rowhook status`: the state of the slot, the hooks and the deliveries, at a glance.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;

use super::{
    databases::Said,
    quantity,
    table::{self, Cell, Tone},
};
use crate::{
    act::{Kind, Who},
    config::Config,
    manage::{
        Admin,
        cluster::{PartitionStatus, SenderStatus},
        status::{SlotStatus, Status},
    },
    setup::heard::TableProblem,
};

pub(super) async fn status(config: &Arc<Config>) -> Result<Said> {
    let admin = Admin::open(
        Arc::clone(config),
        "rowhook status",
        Who::only(Kind::CommandLine),
    )
    .await?;
    let report = Report {
        status: admin.status().await?,
        table_problems: admin.table_problems().await?,
        cluster: match &config.cluster {
            Some(cluster) => Some(ClusterReport {
                senders: admin.senders().await?,
                partitions: admin.partitions().await?,
                all: cluster.partitions,
            }),
            None => None,
        },
    };
    Ok(Said {
        text: text(&report),
        json: serde_json::to_value(&report)?,
        failed: None,
    })
}

/// The status, and what only the catalog tells.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    status: Status,
    /// Tables of `[events]` that are not heard as hooks.toml asks for.
    table_problems: Vec<TableProblem>,
    /// Who sends in the cluster, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterReport>,
}

/// Who sends in a cluster.
#[derive(Serialize)]
struct ClusterReport {
    senders: Vec<SenderStatus>,
    partitions: Vec<PartitionStatus>,
    /// How many partitions there are to be.
    #[serde(skip)]
    all: u32,
}

fn text(report: &Report) -> String {
    let Report {
        status,
        table_problems,
        cluster,
    } = report;
    let Status {
        slot,
        deliveries,
        held,
        hooks,
        ..
    } = status;
    let attached = match slot {
        None => Cell::toned("there is no slot; run: rowhook setup", Tone::Bad),
        Some(slot) if slot.attached => Cell::toned("attached", Tone::Good),
        Some(slot) if slot.being_made => Cell::toned(being_made(slot), Tone::Warn),
        Some(_) => Cell::toned("no rowhook is attached", Tone::Bad),
    };
    let slot = slot.as_ref();
    let lag = slot.and_then(|slot| slot.lag_bytes).map(quantity::size);
    let wal = slot.and_then(|slot| slot.wal_status.clone());
    let wal = wal.map_or_else(
        || "".into(),
        |status| match status.as_str() {
            "reserved" => Cell::toned(status, Tone::Good),
            "lost" => Cell::toned(status, Tone::Bad),
            _ => Cell::toned(status, Tone::Warn),
        },
    );
    let left = slot
        .and_then(|slot| slot.safe_wal_bytes)
        .map(quantity::size);
    let oldest = deliveries.oldest_parked_seconds.map(quantity::seconds);
    let held = held.as_ref().map(|held| {
        let text = format!("{} by hook {}", quantity::seconds(held.seconds), held.hook);
        Cell::toned(text, Tone::Bad)
    });
    let count = |count: i64, tone: Tone| {
        let tone = if count > 0 { tone } else { Tone::Plain };
        Cell::toned(count.to_string(), tone)
    };
    let mut facts = vec![
        ("slot", slot.map_or("", |slot| &slot.name).into()),
        ("state", attached),
        ("lag", lag.unwrap_or_default().into()),
        ("wal", wal),
        ("wal left", left.unwrap_or_default().into()),
        (
            "confirmed",
            Cell::optional(slot.and_then(|slot| slot.confirmed.as_deref())),
        ),
        ("noted at", Cell::optional(status.noted_at.as_deref())),
        ("hooks active", hooks.active.to_string().into()),
        ("hooks failing", count(hooks.failing, Tone::Warn)),
        ("hooks disabled", count(hooks.inactive, Tone::Warn)),
        ("hooks invalid", count(hooks.invalid, Tone::Bad)),
        ("parked", count(deliveries.parked, Tone::Warn)),
        ("oldest parked", oldest.unwrap_or_default().into()),
        ("held", held.unwrap_or_else(|| "".into())),
        ("dead", count(deliveries.dead, Tone::Bad)),
    ];
    if let Some(cluster) = cluster {
        let had = cluster.partitions.iter();
        let had = had.filter(|partition| partition.sender.is_some()).count();
        let tone = match had == cluster.all as usize {
            true => Tone::Good,
            false => Tone::Bad,
        };
        let shares = cluster.senders.iter();
        let shares = shares.map(|one| format!("{} with {}", one.sender, one.partitions));
        facts.push(("senders", shares.collect::<Vec<_>>().join(", ").into()));
        let text = format!("{had} of {} with a sender", cluster.all);
        facts.push(("partitions", Cell::toned(text, tone)));
    }
    for TableProblem { what, remedy, .. } in table_problems {
        facts.push(("table", Cell::toned(format!("{what}; {remedy}"), Tone::Bad)));
    }
    table::facts(&facts)
}

fn being_made(slot: &SlotStatus) -> String {
    let waits = match &slot.waits_for[..] {
        [] => "nobody now".to_owned(),
        some => format!("{} to commit or roll back", some.join(" and ")),
    };
    format!("the slot is being made, and nothing is heard before it is done; it waits for {waits}")
}
