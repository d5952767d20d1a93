//! What the table says of deliveries that somebody has made due by hand.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::batch;
use crate::{delivery::lane::Place, hook::HookId};

/// A parked delivery that is due now.
#[derive(Debug)]
pub struct Due {
    /// Its hook.
    pub hook: HookId,
    /// Where it stands.
    pub place: Place,
    /// It was dead before, and so nobody counts on it.
    pub revived: bool,
}

#[derive(Deserialize)]
struct Payload {
    hook: String,
    lane: i64,
    other_lane: Option<i64>,
    revived: bool,
}

impl Due {
    /// What a notification of `call_courier` says.
    ///
    /// # Errors
    /// When it comes from somebody else.
    pub fn parse(payload: &str) -> Result<Self> {
        let payload: Payload =
            serde_json::from_str(payload).context("read a notification on rowhook's channel")?;
        Ok(Self {
            hook: HookId::new(payload.hook, false),
            place: batch::place(payload.lane, payload.other_lane),
            revived: payload.revived,
        })
    }
}
