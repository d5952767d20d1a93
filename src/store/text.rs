//! Texts as the database can hold them.

use std::borrow::Cow;

use tokio_postgres::{Client, Error};

/// Replaces zero characters, which neither `text` nor `jsonb` can hold, by U+FFFD.
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Which characters the texts of a database can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// All of them.
    Unicode,
    /// Those of an encoding that we do not know. Only ASCII is sure to be in it.
    Other,
}

impl Charset {
    /// Reads that of the database of this session.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn of(client: &Client) -> Result<Self, Error> {
        let row = client
            .query_one("select current_setting('server_encoding')", &[])
            .await?;
        Ok(match row.try_get(0)? {
            // SQL_ASCII takes every byte as it is.
            "UTF8" | "SQL_ASCII" => Self::Unicode,
            _ => Self::Other,
        })
    }

    /// A text for people that comes from outside, as near as the database can hold it. Where not every character can be
    /// held, those beyond ASCII become question marks: no delivery may depend on the words of its endpoint.
    pub fn hold(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Unicode => without_nul(text),
            Self::Other => {
                let strange = |c: char| c == '\0' || !c.is_ascii();
                if text.contains(strange) {
                    Cow::Owned(text.replace(strange, "?"))
                } else {
                    Cow::Borrowed(text)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_held_is_replaced_and_nothing_else() {
        for (charset, text, held) in [
            (Charset::Unicode, "a\0b…", "a\u{fffd}b…"),
            (Charset::Unicode, "naïve", "naïve"),
            (Charset::Other, "a\0b…", "a?b?"),
            (Charset::Other, "plain", "plain"),
        ] {
            assert_eq!(charset.hold(text), held, "{charset:?}");
        }
        assert!(matches!(Charset::Unicode.hold("ab"), Cow::Borrowed("ab")));
        assert!(matches!(Charset::Other.hold("ab"), Cow::Borrowed("ab")));
    }
}
