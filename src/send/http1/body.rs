//! The bodies of HTTP/1 answers, as they come off a connection.

use bytes::{Buf, BytesMut};

/// How many bytes a line of a chunked body may have, and how many there may be behind its last chunk.
const MOST_OF_LINE: usize = 4096;
const MOST_OF_TRAILERS: usize = 64 << 10;

/// How a body ends, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked(Chunk),
    /// With the connection.
    UntilClosed,
}

/// What comes next of a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line with the size of a chunk.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line break behind a chunk.
    End,
    /// The lines behind the last chunk, of which so many bytes have come.
    Trailers(usize),
}

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More has to come.
    Unfinished,
    /// This was all.
    Finished,
    /// It is not as it has to be, and nothing more can be read.
    Broken,
}

impl Framing {
    /// A chunked body.
    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    /// Takes what has come of the body off `input`, and adds it to `body`.
    pub(super) fn take(&mut self, input: &mut BytesMut, body: &mut Vec<u8>) -> Progress {
        match self {
            Self::UntilClosed => {
                body.extend_from_slice(input);
                input.clear();
                Progress::Unfinished
            }
            Self::Length(left) => {
                *left -= take_data(*left, input, body);
                match left {
                    0 => Progress::Finished,
                    _ => Progress::Unfinished,
                }
            }
            Self::Chunked(next) => take_chunks(next, input, body),
        }
    }
}

/// Takes at most so many bytes, and returns how many there were.
fn take_data(most: u64, input: &mut BytesMut, body: &mut Vec<u8>) -> u64 {
    let there = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    body.extend_from_slice(input.get(..there).unwrap_or_default());
    input.advance(there);
    there as u64
}

fn take_chunks(next: &mut Chunk, input: &mut BytesMut, body: &mut Vec<u8>) -> Progress {
    loop {
        if let Chunk::Data(left) = next {
            *left -= take_data(*left, input, body);
            if *left > 0 {
                return Progress::Unfinished;
            }
            *next = Chunk::End;
        }
        let Some(at) = input.iter().position(|byte| *byte == b'\n') else {
            return match input.len() > MOST_OF_LINE {
                true => Progress::Broken,
                false => Progress::Unfinished,
            };
        };
        let line = input.split_to(at + 1);
        let line = line.trim_ascii_end();
        *next = match next {
            Chunk::Size => match size(line) {
                Some(0) => Chunk::Trailers(0),
                Some(size) => Chunk::Data(size),
                None => return Progress::Broken,
            },
            Chunk::Data(_) | Chunk::End if line.is_empty() => Chunk::Size,
            Chunk::Data(_) | Chunk::End => return Progress::Broken,
            Chunk::Trailers(_) if line.is_empty() => return Progress::Finished,
            Chunk::Trailers(bytes) if *bytes > MOST_OF_TRAILERS => return Progress::Broken,
            Chunk::Trailers(bytes) => Chunk::Trailers(*bytes + at),
        };
    }
}

/// The size of a chunk, whose line may say more behind a semicolon.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a body that comes in pieces of this size.
    fn read(mut framing: Framing, text: &str, size: usize) -> (String, Progress, String) {
        let (mut input, mut body) = (BytesMut::new(), Vec::new());
        let mut progress = Progress::Unfinished;
        for piece in text.as_bytes().chunks(size) {
            input.extend_from_slice(piece);
            if progress == Progress::Unfinished {
                progress = framing.take(&mut input, &mut body);
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&body), progress, text(&input))
    }

    #[test]
    fn bodies_end_where_they_have_to_in_pieces_of_any_size() {
        use Progress::{Broken, Finished, Unfinished};
        for (framing, text, body, progress, rest) in [
            (Framing::Length(3), "abcd", "abc", Finished, "d"),
            (Framing::Length(3), "ab", "ab", Unfinished, ""),
            (Framing::UntilClosed, "abc", "abc", Unfinished, ""),
            (Framing::chunked(), "0\r\n\r\nx", "", Finished, "x"),
            (
                Framing::chunked(),
                "2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                "ab0123456789",
                Finished,
                "",
            ),
            (Framing::chunked(), "2\nab\n0\nx: 1\n\n", "ab", Finished, ""),
            (Framing::chunked(), "2\r\nabc\r\n", "ab", Broken, ""),
            (Framing::chunked(), "-2\r\n", "", Broken, ""),
            (Framing::chunked(), "\r\n", "", Broken, ""),
            (Framing::chunked(), "10000000000000000\r\n", "", Broken, ""),
            (Framing::chunked(), "2\r\nab", "ab", Unfinished, ""),
        ] {
            for size in 1..=text.len() {
                let (got, ended, left) = read(framing, text, size);
                assert_eq!((&*got, ended), (body, progress), "{text:?} by {size}");
                if ended == Finished {
                    assert_eq!(left, rest, "{text:?} by {size}");
                }
            }
        }
    }

    #[test]
    fn lines_without_end_are_bounded() {
        let endless = "1".repeat(2 * MOST_OF_LINE);
        assert_eq!(read(Framing::chunked(), &endless, 1024).1, Progress::Broken);
        let trailers = format!("0\r\n{}", "x: 1\r\n".repeat(MOST_OF_TRAILERS));
        assert_eq!(
            read(Framing::chunked(), &trailers, 1024).1,
            Progress::Broken
        );
    }
}
