//! Tells the binary what it was built from, for `rowhook --version`.
//!
//! The commit is what the variable ROWHOOK_COMMIT says, or what `git archive` has written into src/commit.txt, or, in a
//! release build, what the repository says. A debug build names none: it would be compiled again after each commit.

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/commit.txt");
    println!("cargo:rerun-if-env-changed=ROWHOOK_COMMIT");
    let target = env::var("TARGET").unwrap_or_default();
    let from = match commit() {
        Some(commit) => format!("commit {commit}"),
        None if env::var("PROFILE").is_ok_and(|profile| profile == "debug") => {
            "debug build".to_owned()
        }
        None => "unknown commit".to_owned(),
    };
    // Cargo hands it to tests as well, whose programs must not find a variable of ours in it.
    println!("cargo:rustc-env=BUILT_FROM={from}, {target}");
}

fn commit() -> Option<String> {
    let given = env::var("ROWHOOK_COMMIT").ok();
    // The commit, and when it was made.
    let archived = fs::read_to_string("src/commit.txt").ok();
    let archived = archived.and_then(|text| text.split_whitespace().next().map(str::to_owned));
    let told = [given, archived].into_iter().flatten();
    let mut told = told.map(|text| text.trim().to_owned());
    if let Some(commit) = told.find(|text| is_commit(text)) {
        return Some(short(&commit));
    }
    if env::var("PROFILE").ok()? != "release" {
        return None;
    }
    // Sources that were unpacked into somebody else's repository are not of its commit.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(here).ok()? {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"])
        .filter(|text| is_commit(text))
        .map(|commit| short(&commit))
}

fn is_commit(text: &str) -> bool {
    text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}

fn git(arguments: &[&str]) -> Option<String> {
    let said = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    said.status.success().then(|| text.trim().to_owned())
}
