//! What has become of a delivery, in a word.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What has become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeliveryState)]
pub enum State {
    /// It waits for its next attempt.
    Parked,
    /// It was given up.
    Dead,
    /// It was delivered.
    Delivered,
}

impl State {
    /// The state's name in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Parked, Self::Dead, Self::Delivered];
        all.into_iter().find(|state| state.as_str() == name)
    }
}
