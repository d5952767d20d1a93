//! Bodies with `content-encoding: gzip`, as they are sent and received.

use std::io::{self, Read, Write};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use thiserror::Error;

/// Why a body cannot be unpacked.
#[derive(Debug, Error)]
pub enum Error {
    /// It is not gzip, or breaks off.
    #[error("it is not gzip: {0}")]
    Damaged(#[source] io::Error),
    /// It would be too large.
    #[error("it has more than {0} bytes unpacked")]
    TooLarge(usize),
}

/// Packs a body; `None` where that does not make it smaller.
pub fn pack(body: &[u8]) -> Option<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    // A Vec takes all.
    packed.write_all(body).ok()?;
    let packed = packed.finish().ok()?;
    (packed.len() < body.len()).then_some(packed)
}

/// Unpacks a body, as long as it has no more than `most` bytes. No more than these are in memory.
///
/// # Errors
/// When it is not gzip, or is larger.
pub fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let one_more = u64::try_from(most).map_or(u64::MAX, |most| most.saturating_add(1));
    let mut reader = MultiGzDecoder::new(packed).take(one_more);
    reader.read_to_end(&mut body).map_err(Error::Damaged)?;
    match body.len() > most {
        true => Err(Error::TooLarge(most)),
        false => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_within_a_bound() {
        let body = vec![b'x'; 1 << 20];
        let packed = pack(&body).unwrap();
        assert!(packed.len() < 4096);
        assert_eq!(unpack(&packed, body.len()).unwrap(), body);
        assert!(matches!(
            unpack(&packed, body.len() - 1),
            Err(Error::TooLarge(_))
        ));
        let broken = &packed[..packed.len() / 2];
        assert!(matches!(unpack(broken, body.len()), Err(Error::Damaged(_))));
    }

    #[test]
    fn what_would_not_be_smaller_is_not_packed() {
        assert_eq!(pack(b"{}"), None);
        assert_eq!(pack(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let body = unpack(&bytes, 1 << 10);
            prop_assert!(body.is_err() || body.is_ok_and(|body| body.len() <= 1 << 10));
        }
    }
}
