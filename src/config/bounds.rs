//! What one hook may have at most, wherever it stands: in hooks.toml, in rowhook's table, in a table of the
//! application, or in a request to the API.
//!
//! Each is far beyond what receivers take. Without them, one hook could take memory from all others, have a request
//! that no endpoint accepts, or more than a request can hold.

use thiserror::Error;

/// How many bytes something of a hook may have.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    subject: &'static str,
    most: usize,
}

/// The URL, as it is written and as it is sent. Servers take no more in the first line of a request.
pub const TARGET: Bound = Bound::new("the target has", 8 << 10);
/// The name of an event, or a pattern.
pub const EVENT: Bound = Bound::new("the event has", 1 << 10);
/// The owner.
pub const OWNER: Bound = Bound::new("the owner has", 1 << 10);
/// The note of whoever made the hook.
pub const DESCRIPTION: Bound = Bound::new("the description has", 16 << 10);
/// The expression.
pub const FILTER: Bound = Bound::new("the filter has", 16 << 10);
/// A secret, the previous one too.
pub const SECRET: Bound = Bound::new("the secret has", 4 << 10);
/// How requests are signed.
pub const SIGNATURE: Bound = Bound::new("the signature has", 1 << 10);
/// The template.
pub const TEMPLATE: Bound = Bound::new("the template has", 16 << 10);
/// The encoding of bodies, or their content type.
pub const CONTENT: Bound = Bound::new("the content type has", 1 << 10);
/// The header `user-agent`.
pub const USER_AGENT: Bound = Bound::new("the user_agent has", 1 << 10);
/// The name of a client certificate, or how bodies are compressed.
pub const NAME: Bound = Bound::new("the name has", 1 << 10);
/// How many requests it gets in a time.
pub const RATE: Bound = Bound::new("the rate has", 1 << 10);
/// The name of the shape of bodies.
pub const PAYLOAD: Bound = Bound::new("the payload has", 1 << 10);
/// A list of events.
pub const EVENTS: Bound = Bound::new("the events have", 64 << 10);
/// How many events and patterns a row names.
const EVENT_NAMES: usize = 1000;
/// All names and values of headers together.
const HEADER_BYTES: Bound = Bound::new("the headers have", 32 << 10);
/// The headers in JSON, before they are read.
pub const HEADER_JSON: Bound = Bound::new("the headers have", 1 << 20);
/// How many headers a hook adds.
const HEADERS: usize = 100;

/// Something of a hook is larger than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{subject} {found} {unit}, and may have {most} at most")]
pub struct Exceeded {
    subject: &'static str,
    unit: &'static str,
    found: usize,
    most: usize,
}

impl Exceeded {
    /// Whether it is about what this bounds.
    pub fn is_of(self, bound: Bound) -> bool {
        self.subject == bound.subject
    }
}

impl Bound {
    pub(super) const fn new(subject: &'static str, most: usize) -> Self {
        Self { subject, most }
    }

    /// Checks a text.
    ///
    /// # Errors
    /// When it has more bytes than it may.
    pub fn check(self, text: &str) -> Result<(), Exceeded> {
        self.check_bytes(text.len())
    }

    fn check_bytes(self, found: usize) -> Result<(), Exceeded> {
        let Self { subject, most } = self;
        if found <= most {
            return Ok(());
        }
        Err(Exceeded {
            subject,
            unit: "bytes",
            found,
            most,
        })
    }
}

/// Checks how many headers there are, and how large they are together. Each is a name and a value.
///
/// # Errors
/// When they are more, or larger, than they may be.
pub fn check_headers<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), Exceeded> {
    let (mut found, mut bytes) = (0, 0);
    for (name, value) in headers {
        found += 1;
        bytes += name.len() + value.len();
    }
    if found > HEADERS {
        return Err(Exceeded {
            subject: "the headers have",
            unit: "fields",
            found,
            most: HEADERS,
        });
    }
    HEADER_BYTES.check_bytes(bytes)
}

/// Checks how many events and patterns a row names.
///
/// # Errors
/// When they are more than they may be.
pub fn check_event_names(found: usize) -> Result<(), Exceeded> {
    if found <= EVENT_NAMES {
        return Ok(());
    }
    Err(Exceeded {
        subject: "the events have",
        unit: "names",
        found,
        most: EVENT_NAMES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_told_with_what_it_may_have() {
        let refused = TARGET.check(&"a".repeat(66_000)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the target has 66000 bytes, and may have 8192 at most"
        );
        assert_eq!(TARGET.check(&"a".repeat(8192)), Ok(()));
    }

    #[test]
    fn headers_are_bounded_by_their_number_and_by_their_bytes() {
        let many = |number, value: &'static [u8]| {
            check_headers(std::iter::repeat_n(("x-key", value), number))
        };
        assert_eq!(many(100, b"v"), Ok(()));
        assert_eq!(
            many(101, b"v").unwrap_err().to_string(),
            "the headers have 101 fields, and may have 100 at most"
        );
        let large: &[u8] = &[b'v'; 1024];
        assert_eq!(many(31, large), Ok(()));
        assert_eq!(
            many(32, large).unwrap_err().to_string(),
            "the headers have 32928 bytes, and may have 32768 at most"
        );
    }
}
