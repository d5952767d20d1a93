//! The ids of deliveries and of batches: the `webhook-id` of a request.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::event::Position;

/// Returns the `webhook-id` of a delivery: the same after every restart, retry and replay, and a different one for
/// every other delivery.
///
/// The commit time is part of it because LSNs begin anew with a new cluster, and the system identifier because two
/// clusters may have the same LSNs. By chance, one pair in 2^64 deliveries has the same id.
pub fn message_id(
    system_identifier: &str,
    position: Position,
    commit_time: SystemTime,
    hook: &str,
) -> String {
    let commit_time = match commit_time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_micros()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
    };
    id_of(&[
        system_identifier.as_bytes(),
        &position.commit_lsn.0.to_be_bytes(),
        &commit_time.to_be_bytes(),
        &position.index.to_be_bytes(),
        hook.as_bytes(),
    ])
}

/// Returns the `webhook-id` of a request that carries several deliveries: the same for the same deliveries in the same
/// order.
pub fn batch_id(members: &[&str]) -> String {
    let members: Vec<&[u8]> = members.iter().map(|member| member.as_bytes()).collect();
    id_of(&members)
}

/// Hashes the parts. Each goes in with its length, so that no two lists of parts read the same.
fn id_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut id = String::with_capacity(36);
    id.push_str("msg_");
    for byte in &hash[..16] {
        for digit in [byte >> 4, byte & 15] {
            id.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;
    use crate::postgres::Lsn;

    #[test]
    fn an_id_is_a_function_of_each_of_its_parts() {
        let position = |lsn, index| Position {
            commit_lsn: Lsn(lsn),
            index,
        };
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        let ids = [
            message_id("1", position(1, 1), at(1), "1"),
            message_id("2", position(1, 1), at(1), "1"),
            message_id("1", position(2, 1), at(1), "1"),
            message_id("1", position(1, 2), at(1), "1"),
            message_id("1", position(1, 1), at(2), "1"),
            message_id("1", position(1, 1), at(1), "2"),
            message_id("1", position(1, 1), at(1), "11"),
            message_id("11", position(1, 1), at(1), ""),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        let batches = [
            batch_id(&["1", "2"]),
            batch_id(&["12"]),
            batch_id(&["2", "1"]),
        ];
        assert_eq!(batches.iter().collect::<HashSet<_>>().len(), batches.len());
        // Written down, because receivers keep ids for longer than a version of ours lasts.
        assert_eq!(ids[0], "msg_57d71c7ec22173418dbd4a1ee2a38cf8");
    }
}
