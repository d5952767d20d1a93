//! `rowhook status`: how rowhook is, at a glance.

use std::sync::Arc;

use anyhow::Result;

use super::{
    table as show,
    table::{Cell, Tone},
};
use crate::{
    config::Config,
    manage::{Admin, status::Status},
};

pub(super) async fn run(config: Config, json: bool) -> Result<()> {
    let admin = Admin::open(Arc::new(config), "rowhook status").await?;
    let status = admin.status().await?;
    match json {
        true => show::json(&status),
        false => print(&status),
    }
}

fn print(status: &Status) -> Result<()> {
    let Status {
        slot,
        deliveries,
        hooks,
        ..
    } = status;
    let attached = match slot {
        None => Cell::toned("there is no slot; run: rowhook setup", Tone::Bad),
        Some(slot) if slot.attached => Cell::toned("attached", Tone::Good),
        Some(_) => Cell::toned("no rowhook is attached", Tone::Bad),
    };
    let slot = slot.as_ref();
    let lag = slot.and_then(|slot| slot.lag_bytes).map(show::size);
    let wal = slot.and_then(|slot| slot.wal_status.clone());
    let wal = wal.map_or_else(
        || "".into(),
        |status| match status.as_str() {
            "reserved" => Cell::toned(status, Tone::Good),
            "lost" => Cell::toned(status, Tone::Bad),
            _ => Cell::toned(status, Tone::Warn),
        },
    );
    let left = slot.and_then(|slot| slot.safe_wal_bytes).map(show::size);
    let count = |count: i64, bad: Tone| {
        Cell::toned(count.to_string(), if count > 0 { bad } else { Tone::Plain })
    };
    show::facts(&[
        ("slot", slot.map_or("", |slot| &slot.name).into()),
        ("state", attached),
        ("lag", lag.unwrap_or_default().into()),
        ("wal", wal),
        ("wal left", left.unwrap_or_default().into()),
        (
            "confirmed",
            slot.and_then(|slot| slot.confirmed.as_deref())
                .unwrap_or_default()
                .into(),
        ),
        (
            "noted at",
            status.noted_at.as_deref().unwrap_or_default().into(),
        ),
        ("hooks active", hooks.active.to_string().into()),
        ("hooks failing", count(hooks.failing, Tone::Warn)),
        ("hooks disabled", count(hooks.inactive, Tone::Warn)),
        ("hooks invalid", count(hooks.invalid, Tone::Bad)),
        ("parked", count(deliveries.parked, Tone::Warn)),
        (
            "oldest parked",
            deliveries
                .oldest_parked_seconds
                .map(show::seconds)
                .unwrap_or_default()
                .into(),
        ),
        ("dead", count(deliveries.dead, Tone::Bad)),
    ])
}
