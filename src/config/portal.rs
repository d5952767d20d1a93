//! `[portal]`: the page that the application gives to its owners, and how it is dressed.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use url::Url;

use super::{
    colour::Colour,
    oidc,
    reader::{Keys, Table, Value},
    server,
};

/// `[portal]`: the page for owners, which the application opens for them and may embed.
#[derive(Debug, Clone)]
pub struct Portal {
    /// The origins whose pages may embed it. Default none: it has a window of its own.
    pub frame: Vec<String>,
    /// How browsers reach the server; `None`: as requests say.
    pub url: Option<Url>,
    /// What it is called. Default `Webhooks`.
    pub name: String,
    /// The picture beside the name.
    pub logo: Option<Logo>,
    /// The colour of links and buttons on light ground; `None`: that of the page.
    pub light: Option<Colour>,
    /// The colour of links and buttons on dark ground; `None`: that of the page.
    pub dark: Option<Colour>,
    /// What it has. Default: everything.
    pub show: Vec<PortalPart>,
}

/// A picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    /// What kind of picture it is.
    pub content_type: &'static str,
    /// The file.
    pub bytes: Arc<[u8]>,
}

/// A part of the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortalPart {
    /// To make, pause and delete hooks, and to give them new secrets.
    Hooks,
    /// To send tests.
    Test,
    /// To see deliveries, with requests and answers.
    Deliveries,
    /// To send deliveries again.
    Retry,
    /// The catalogue of events.
    Events,
    /// What was done to hooks, and by whom.
    Acts,
}

impl PortalPart {
    /// All of them, with their names.
    pub const NAMED: [(&'static str, Self); 6] = [
        ("hooks", Self::Hooks),
        ("test", Self::Test),
        ("deliveries", Self::Deliveries),
        ("retry", Self::Retry),
        ("events", Self::Events),
        ("acts", Self::Acts),
    ];
}

impl Portal {
    /// Whether it has this part.
    pub fn shows(&self, part: PortalPart) -> bool {
        self.show.contains(&part)
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.content_type, self.bytes.len())
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &["frame", "url", "name", "logo", "colours", "show"],
    later: &[],
};

const COLOURS: Keys = Keys {
    known: &["light", "dark"],
    later: &[],
};

const NAME: &str = "Webhooks";
/// The most characters of a name, which is beside the picture on a telephone, too.
const LONGEST_NAME: usize = 40;
/// The largest picture, in bytes. It is in memory, and loaded with each window.
const LARGEST_LOGO: u64 = 256 << 10;
const PICTURES: [(&str, &str); 5] = [
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
];
/// What links and buttons stand on, in style.css, and the least contrast with it, as WCAG 2.2 AA asks of text.
const LIGHT_GROUNDS: [&str; 2] = ["#fbfaf7", "#ffffff"];
const DARK_GROUNDS: [&str; 2] = ["#16181b", "#1f2226"];
const LEAST_CONTRAST: f64 = 4.5;

/// Reads `[portal]`. A relative name of a picture starts at `folder`.
pub(super) fn read(section: &Table<'_>, has_server: bool, folder: &Path) -> Option<Portal> {
    if !has_server {
        section.reader.wrong(
            section.place,
            "portal needs [server], which serves it; add that, with listen = \"127.0.0.1:8640\"",
        );
    }
    let frame = section.find("frame").map(frame);
    let url = section.find("url").map(url);
    let name = section.find("name").map(|value| value.name(LONGEST_NAME));
    let logo = section.find("logo").map(|value| logo(value, folder));
    let colours = section
        .find("colours")
        .and_then(|value| value.table(&COLOURS));
    let colour = |key: &str, grounds| {
        let value = colours.as_ref()?.find(key)?;
        colour(value, grounds)
    };
    let (light, dark) = (colour("light", LIGHT_GROUNDS), colour("dark", DARK_GROUNDS));
    let show = section.find("show").map(show);
    // Everything has been read by now, so that all mistakes are reported.
    Some(Portal {
        frame: frame.unwrap_or_else(|| Some(Vec::new()))?,
        url: url.map_or(Some(None), |url| url.map(Some))?,
        name: name.unwrap_or_else(|| Some(NAME.to_owned()))?,
        logo: logo.map_or(Some(None), |logo| logo.map(Some))?,
        light,
        dark,
        show: show.unwrap_or_else(|| Some(PortalPart::NAMED.map(|(_, part)| part).to_vec()))?,
    })
}

/// Origins of pages that nobody on the way can have changed.
fn frame(value: &Value<'_>) -> Option<Vec<String>> {
    value.list_of("a list such as [\"https://app.example\"]", |value| {
        let origin = server::origin(value)?;
        let is_safe = Url::parse(&origin).is_ok_and(|url| oidc::is_safe(&url));
        if !is_safe {
            value.wrong(format!(
                "{} is not encrypted, so anybody on the way could embed the portal; write https",
                value.quote(&origin)
            ));
        }
        is_safe.then_some(origin)
    })
}

fn url(value: &Value<'_>) -> Option<Url> {
    let url = oidc::origin(value)?;
    if !oidc::is_safe(&url) {
        value.wrong(format!(
            "{} is not encrypted, and browsers keep the session of the portal only with https; write https",
            value.key
        ));
        return None;
    }
    Some(url)
}

fn logo(value: &Value<'_>, folder: &Path) -> Option<Logo> {
    let name = value.string()?;
    let ending = Path::new(&name)
        .extension()
        .and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase);
    let kind = PICTURES
        .iter()
        .find(|(known, _)| ending.as_deref() == Some(*known));
    let Some((_, content_type)) = kind else {
        let known = PICTURES.map(|(ending, _)| ending).join(", ");
        value.wrong(format!(
            "{} is no picture that rowhook knows; name a file that ends with one of {known}",
            value.quote(&name)
        ));
        return None;
    };
    match read_picture(&folder.join(&name)) {
        Ok(bytes) if bytes.len() as u64 <= LARGEST_LOGO => Some(Logo {
            content_type,
            bytes: bytes.into(),
        }),
        Ok(_) => {
            value.wrong(format!(
                "{} is larger than {} KiB; name a smaller picture",
                value.quote(&name),
                LARGEST_LOGO >> 10
            ));
            None
        }
        Err(error) => {
            value.wrong(format!(
                "{} cannot be read from {}: {error}; name a file from the folder of this one",
                value.key,
                value.quote(&name)
            ));
            None
        }
    }
}

/// The file, or a byte more of it than it may have.
fn read_picture(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(LARGEST_LOGO + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn colour(value: &Value<'_>, grounds: [&str; 2]) -> Option<Colour> {
    let text = value.string()?;
    let Some(colour) = Colour::parse(&text) else {
        value.wrong(format!(
            "{} is no colour; write it as in \"#1d5a8f\"",
            value.quote(&text)
        ));
        return None;
    };
    let contrasts = grounds.into_iter().filter_map(Colour::parse);
    let least = contrasts
        .map(|ground| ground.contrast(colour))
        .fold(f64::INFINITY, f64::min);
    if least < LEAST_CONTRAST {
        // Cut off and not rounded, so that it never reads as enough.
        let least = (least * 10.0).floor() / 10.0;
        let remedy = match value.name {
            "dark" => "a lighter one",
            _ => "a darker one",
        };
        value.wrong(format!(
            "{} has a contrast of {least:.1} with what it stands on, and text needs {LEAST_CONTRAST}; write {remedy}",
            value.quote(&text)
        ));
        return None;
    }
    Some(colour)
}

fn show(value: &Value<'_>) -> Option<Vec<PortalPart>> {
    let names = PortalPart::NAMED.map(|(name, _)| name).join(", ");
    let remedy = format!("a list of some of {names}");
    value.list_of(&remedy, |value| value.choice(&PortalPart::NAMED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grounds_are_those_of_the_style() {
        let style = include_str!("../server/page/style.css");
        let (light, dark) = style
            .split_once("@media (prefers-color-scheme: dark)")
            .unwrap();
        for (style, [back, card]) in [(light, LIGHT_GROUNDS), (dark, DARK_GROUNDS)] {
            assert!(style.contains(&format!("--back: {back}; --card: {card};")));
            // Where a field begins has to be seen, with a contrast of 3.
            let (_, edge) = style.split_once("--edge: ").unwrap();
            let edge = Colour::parse(&edge[..7]).unwrap();
            for ground in [back, card] {
                let contrast = edge.contrast(Colour::parse(ground).unwrap());
                assert!(contrast >= 3.0, "{edge} on {ground}: {contrast}");
            }
        }
    }
}
