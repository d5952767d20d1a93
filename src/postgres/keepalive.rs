//! When a TCP connection counts as dead. Ordinary and replication connections use the same values.

use std::time::Duration;

/// Time without traffic until the first keepalive probe (`TCP_KEEPIDLE`).
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// Time between two keepalive probes (`TCP_KEEPINTVL`).
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered keepalive probes that end the connection (`TCP_KEEPCNT`).
pub(super) const RETRIES: u32 = 3;
/// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`).
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
