//! Hooks from a hooks.toml.

use std::path::Path;

use rowhook::{config::Config, hook, hook::Hook};

/// The hooks of a hooks.toml in `folder`, one for each of `keys`. Or its mistakes.
pub fn hooks_with(folder: &Path, url: &str, keys: &[&str]) -> Result<Vec<Hook>, String> {
    let mut text = "[database]\nurl = \"host=localhost\"\n[events]\na = \"b.created\"\n[delivery]\nallow_http = true\n"
        .to_owned();
    for (number, keys) in keys.iter().enumerate() {
        text += &format!(
            "[[hooks]]\nname = \"h{number}\"\nevents = [\"*\"]\ntarget = \"{url}\"\n{keys}\n"
        );
    }
    let path = folder.join("hooks.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path, &|_| None).map_err(|mistakes| {
        let folder = format!("{}/", folder.display());
        mistakes.to_string().replace(&folder, "")
    })?;
    config.hooks.iter().map(hook::from_file).collect()
}
