//! What a sender answers over a link: which deliveries are settled, and which hooks it wants to know.

/// Something that a sender says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// These deliveries are settled: they have arrived, or are parked or dead.
    Settled(Vec<u64>),
    /// It has deliveries of these hooks in the table, and wants to know what they are now.
    Want(Vec<String>),
    /// It gives the partition back when all of this has been heard.
    Bye,
    /// It is there.
    Here,
}

/// What is no word of a sender that we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no word of a sender")]
pub(super) struct Garbled;

impl Word {
    /// Writes it.
    pub(super) fn write(&self) -> Vec<u8> {
        match self {
            Self::Settled(numbers) => {
                let mut text = vec![1];
                text.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
                text
            }
            Self::Want(hooks) => {
                let mut text = vec![2];
                text.extend(serde_json::to_vec(hooks).expect("texts are JSON"));
                text
            }
            Self::Bye => vec![3],
            Self::Here => vec![4],
        }
    }

    /// Reads one.
    pub(super) fn read(text: &[u8]) -> Result<Self, Garbled> {
        let (kind, text) = text.split_first().ok_or(Garbled)?;
        Ok(match kind {
            1 => {
                let (numbers, rest) = text.as_chunks();
                if !rest.is_empty() {
                    return Err(Garbled);
                }
                let numbers = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes));
                Self::Settled(numbers.collect())
            }
            2 => Self::Want(serde_json::from_slice(text).map_err(|_| Garbled)?),
            3 => Self::Bye,
            4 => Self::Here,
            _ => return Err(Garbled),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written() {
        for word in [
            Word::Settled(vec![0, 1, u64::MAX]),
            Word::Settled(Vec::new()),
            Word::Want(vec!["1".into(), "wärehouse".into()]),
            Word::Bye,
            Word::Here,
        ] {
            assert_eq!(Word::read(&word.write()), Ok(word));
        }
        for garbled in [&b""[..], b"\x01123", b"\x02[", b"\xff"] {
            assert_eq!(Word::read(garbled), Err(Garbled));
        }
    }
}
