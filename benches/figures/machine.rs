//! The machine and the versions that the figures were taken with.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use serde::Serialize;

use super::source::{self, SETTINGS};

/// Everything that the figures depend on.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub commit: String,
    pub rowhook: String,
    pub rustc: String,
    pub postgres: String,
    pub postgres_settings: Vec<String>,
    pub taken_at: String,
    /// /proc/loadavg at the end of the run. It includes the run itself.
    pub load: String,
}

impl Machine {
    pub fn here() -> Result<Self> {
        let cpu = read("/proc/cpuinfo")?;
        let memory = read("/proc/meminfo")?;
        let field = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kibibytes = field(&memory, "MemTotal").unwrap_or_default();
        let kibibytes: u64 = kibibytes
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or_default();
        Ok(Self {
            processor: field(&cpu, "model name").unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (kibibytes + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            commit: run(
                "git",
                &[
                    "describe",
                    "--always",
                    "--dirty",
                    "--abbrev=10",
                    "--exclude=*",
                ],
            )?,
            rowhook: env!("CARGO_PKG_VERSION").to_owned(),
            rustc: run("rustc", &["--version"])?,
            postgres: source::version()?,
            postgres_settings: SETTINGS.map(str::to_owned).to_vec(),
            taken_at: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
            load: read("/proc/loadavg")?.trim().to_owned(),
        })
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {path}"))
}

fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
