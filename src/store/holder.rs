//! Who may write: the rowhook that holds a slot, or in a cluster the sender that has a partition.

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// Finds whether a name ($2) is that of the holder of a slot ($1).
pub(super) const HOLDS: &str = "select from holder where slot = $1 and name = $2";

/// Finds whether a partition ($3) of a slot ($1) is still in an epoch ($2).
pub(super) const HAS: &str =
    "select from partition where slot = $1 and epoch::text = $2 and number = $3";

/// The partition of a hook, of so many. As the function of SQL has it.
pub fn partition_of(hook: &str, partitions: u32) -> u32 {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(hook));
    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

/// Who we are to other rowhooks on the same slot.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The name of the slot.
    pub slot: String,
    /// A name that no other process has. Of a sender, the epoch in which it has the partition.
    pub name: String,
    /// The number of the partition that a sender has; `None`: the holder of the slot.
    pub partition: Option<i32>,
}

/// Who writes, and what is cancelled when somebody else is found to be in their place.
#[derive(Debug, Clone)]
pub(super) struct Claimant {
    pub(super) holder: Holder,
    pub(super) overtaken: CancellationToken,
}

impl Claimant {
    pub(super) fn new(holder: Holder) -> Self {
        Self {
            holder,
            overtaken: CancellationToken::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_spread_over_all_partitions() {
        let mut of = [0; 64];
        for hook in 0..6400 {
            of[partition_of(&hook.to_string(), 64) as usize] += 1;
        }
        assert!(of.iter().all(|hooks| (60..150).contains(hooks)), "{of:?}");
        // printf 1 | sha256sum
        assert_eq!(partition_of("1", u32::MAX), 0x6b86_b273);
    }
}
