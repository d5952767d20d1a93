//! Notifications about deliveries that somebody has made due by hand, and about what is forgotten.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::rows::place;
use crate::{delivery::lane::Place, hook::HookId};

/// The payload of the notification that something was forgotten.
pub const FORGOTTEN: &str = r#"{"forgotten": true}"#;

/// What a notification tells.
#[derive(Debug)]
pub enum Notice {
    /// A parked delivery is due now.
    Due(Due),
    /// A row or an owner was forgotten; see [`Store::load_forgotten`](super::Store::load_forgotten).
    Forgotten,
}

impl Notice {
    /// Reads a notification.
    ///
    /// # Errors
    /// When the payload is none of ours.
    pub fn parse(payload: &str) -> Result<Self> {
        match payload {
            FORGOTTEN => Ok(Self::Forgotten),
            other => Due::parse(other).map(Self::Due),
        }
    }
}

/// A parked delivery that is due now.
#[derive(Debug)]
pub struct Due {
    /// The hook of the delivery.
    pub hook: HookId,
    /// The lanes that it stands in.
    pub place: Place,
    /// Whether it was dead before, so that no courier has counted it yet.
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
    /// Reads a notification of `call_courier`.
    ///
    /// # Errors
    /// When the payload is none of `call_courier`.
    fn parse(payload: &str) -> Result<Self> {
        let payload: Payload =
            serde_json::from_str(payload).context("read a notification on rowhook's channel")?;
        Ok(Self {
            hook: HookId::new(payload.hook, false),
            place: place(payload.lane, payload.other_lane),
            revived: payload.revived,
        })
    }
}
