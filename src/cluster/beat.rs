//! What is said to everyone: a reader shows that it is there and how far each link is, and a sender asks for a link.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::cipher::OpenCipher;

/// The reader is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// A number that no other start of a reader has had.
    pub(super) session: u64,
    /// How it is with each partition.
    pub(super) lines: Vec<LineBeat>,
}

/// How it is with a partition, as the reader knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineBeat {
    /// The number of the partition.
    pub(super) partition: u32,
    /// The newest epoch. In an older one, nobody has it.
    pub(super) epoch: i64,
    /// The link; `None`: there is none.
    pub(super) link: Option<u64>,
    /// The number of the next packet to the sender.
    pub(super) next: u64,
    /// The number of the next packet that is expected from the sender.
    pub(super) heard: u64,
}

/// A sender has a partition, and asks for a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The number of the partition.
    pub(super) partition: u32,
    /// The epoch in which it has it.
    pub(super) epoch: i64,
    /// Who it is.
    pub(super) sender: String,
    /// The number that the link is to have.
    pub(super) link: u64,
    /// The newest version that it understands.
    pub(super) speaks: u8,
    /// The reader with which it had a link before; 0: none.
    pub(super) session: u64,
    /// What was settled since then and may not have been heard, as pairs of the first and the last number.
    pub(super) settled: Vec<(u64, u64)>,
}

/// Numbers in order as pairs of the first and the last of those that follow each other.
pub(super) fn ranges(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Seals something that is said to everyone.
pub(super) fn seal(cipher: &OpenCipher, said: &impl Serialize) -> Vec<u8> {
    cipher.seal(serde_json::to_vec(said).expect("numbers and texts are JSON"))
}

/// Opens something that was said to everyone; `None`: no rowhook of this cluster has said it.
pub(super) fn open<T: DeserializeOwned>(cipher: &OpenCipher, sealed: &[u8]) -> Option<T> {
    let text = cipher.open(sealed).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_pair() {
        assert_eq!(ranges([]), []);
        assert_eq!(ranges([1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
        assert_eq!(ranges([u64::MAX]), [(u64::MAX, u64::MAX)]);
    }
}
