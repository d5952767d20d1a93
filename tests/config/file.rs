//! The files that these tests read, and the environment.

use std::path::Path;

use rowhook::config::{Config, Mistakes};

pub const MANUAL: &str = include_str!("../../hooks.toml");

pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

pub fn environment(name: &str) -> Option<String> {
    match name {
        "DATABASE_URL" => Some("postgresql://app:hunter2@localhost/app".into()),
        "WAREHOUSE_SECRET" => Some(SECRET.into()),
        "WAREHOUSE_OLD_SECRET" => Some(SECRET.replace("MDE", "MTE")),
        "WAREHOUSE_TOKEN" => Some("hunter2".into()),
        "PASSWORD" => Some("hunter2".into()),
        "ROWHOOK_CONSOLE_PASSWORD" => Some("hunter2, and 8 more".into()),
        "ROWHOOK_KEY" => Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()),
        "JWT_SECRET" => Some("0123456789abcdef0123456789abcdef".into()),
        "ONE_BYTE" => Some("1B".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

pub fn parse(text: &str) -> Result<Config, Mistakes> {
    Config::parse(Path::new("hooks.toml"), text, &environment)
}

/// The mistakes of a file that begins with what is required, in lines 1 to 4; `more` begins in line 5.
pub fn mistakes(more: &str) -> String {
    let text = format!(
        "[database]\nurl = \"${{DATABASE_URL}}\"\n[events]\n\"book.added\" = \"book.created\"\n{more}"
    );
    parse(&text).map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
}
