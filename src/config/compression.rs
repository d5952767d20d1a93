//! `compress`: whether the bodies of a hook's requests are compressed.

use super::reader::Value;

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// They are sent as they are.
    #[default]
    None,
    /// With gzip, unless they are small or the endpoint has refused it.
    Gzip,
}

const NAMES: [(&str, Compression); 2] = [("none", Compression::None), ("gzip", Compression::Gzip)];

impl Compression {
    /// Reads `gzip` or `none`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(name, _)| *name == text);
        let named = named.map(|(_, compression)| *compression);
        named.ok_or_else(|| format!("its compress is {text:?}; write gzip or none"))
    }

    /// The name that [`Self::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

/// `"gzip"`, or false for none.
pub(super) fn read(value: &Value<'_>) -> Option<Compression> {
    if value.is_string() {
        return value.choice(&[("gzip", Compression::Gzip)]);
    }
    match value.flag()? {
        false => Some(Compression::None),
        true => {
            value.wrong(format!(
                "{} is true; write \"gzip\", or false for none",
                value.key
            ));
            None
        }
    }
}
