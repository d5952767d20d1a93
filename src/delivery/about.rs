//! What a delivery is about, as numbers by which it is found when that is forgotten: the row, and the owner of the row.
//!
//! They say nothing of the row itself, and are the same in every process and version.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    event::Event,
    postgres::tuple::{Image, Tuple},
};

/// The numbers of what an event is about: its row, by both keys if the key has changed, and the owner of the row. They
/// are none for a message that is nobody's.
pub fn of_event(event: &Event) -> Arc<[i64]> {
    let change = event.change();
    let lane = |tuple: &Tuple| change?.relation.lane(tuple).map(of_row);
    let old = change.and_then(|change| change.before());
    let old = old.map(Image::tuple).and_then(lane);
    let new = change.and_then(|change| change.after()).and_then(lane);
    let owner = event.owner.as_deref().map(of_owner);
    let old = old.filter(|old| Some(*old) != new);
    [new, old, owner].into_iter().flatten().collect()
}

/// The number of a row, from the lane that it has.
pub fn of_row(lane: u64) -> i64 {
    lane.cast_signed()
}

/// The number of an owner. All texts of one UUID have the same.
pub fn of_owner(owner: &str) -> i64 {
    let bare: String = owner.chars().filter(|c| !"{}-".contains(*c)).collect();
    let is_uuid = bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = Sha256::new();
    hash.update(b"owner ");
    match is_uuid {
        true => hash.update(bare.to_ascii_lowercase()),
        false => hash.update(owner),
    }
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Numbers as Postgres reads an array of them.
pub fn to_array(about: &[i64]) -> String {
    let numbers: Vec<String> = about.iter().map(i64::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_one_number_however_the_uuid_is_written() {
        let uuid = "8D7A9C5E-0F6B-4B61-9F3E-2C1D5A4B3C2D";
        assert_eq!(of_owner(uuid), of_owner(&uuid.to_lowercase()));
        assert_eq!(of_owner(uuid), of_owner(&format!("{{{uuid}}}")));
        assert_ne!(of_owner("anna"), of_owner("Anna"));
        assert_ne!(of_owner("7"), of_owner("8"));
    }

    #[test]
    fn postgres_reads_them_as_an_array() {
        assert_eq!(to_array(&[]), "{}");
        assert_eq!(to_array(&[1, -2]), "{1,-2}");
    }
}
