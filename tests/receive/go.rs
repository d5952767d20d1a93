//! Programs in Go, built with the Go of `make generators`, which fetches nothing.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Builds a program from the texts of its files in this folder, and returns its path.
pub fn built(folder: &Path, files: &[&str]) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(
        here.join("target/generators/go/built").exists(),
        "Go is not installed; run: make generators"
    );
    std::fs::write(folder.join("go.mod"), "module example\ngo 1.21\n").unwrap();
    for (number, text) in files.iter().enumerate() {
        std::fs::write(folder.join(format!("file{number}.go")), text).unwrap();
    }
    let built = Command::new(here.join("scripts/go"))
        .current_dir(folder)
        .args(["build", "-o", "program", "."])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    folder.join("program")
}
