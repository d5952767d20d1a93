//! hooks.toml and receive.toml. A mistake is named with its place, which lies within the file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rowhook::{
    config::{Config, Mistakes},
    receive,
};

fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())
}

fn check(text: &str, mistakes: &Mistakes) {
    assert!(
        mistakes.iter().next().is_some(),
        "a file is not refused for nothing"
    );
    let lines = text.split('\n').count();
    for mistake in mistakes.iter() {
        assert!(mistake.place.is_none_or(|place| place.line <= lines));
    }
}

fuzz_target!(|text: &str| {
    let path = Path::new("hooks.toml");
    if let Err(mistakes) = Config::parse(path, text, &env) {
        check(text, &mistakes);
    }
    if let Err(mistakes) = receive::config::Config::parse(path, text, &env) {
        check(text, &mistakes);
    }
});
