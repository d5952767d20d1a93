//! The reference: pg_recvlogical, a client that reads the same WAL and does nothing with it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::source::Source;

/// Reads the slot up to `end`, and returns how long that took.
pub fn read(source: &Source, slot: &str, end: &str) -> Result<Duration> {
    let mut reading = follow(source, slot, &["--endpos", end, "--verbose"])?;
    let stderr = reading.stderr.take().context("no stderr")?;
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let began = lines.any(|line| line.contains("streaming initiated"));
    let started = Instant::now();
    let rest: Vec<String> = lines.collect();
    let status = reading.wait()?;
    ensure!(
        began && status.success(),
        "pg_recvlogical failed: {}",
        rest.join("\n")
    );
    Ok(started.elapsed())
}

/// Starts reading the slot. It goes on until the process is ended.
pub fn follow(source: &Source, slot: &str, more: &[&str]) -> Result<Child> {
    Command::new(source.bin().join("pg_recvlogical"))
        .args([
            "--dbname",
            &source.url,
            "--slot",
            slot,
            "--start",
            "--no-loop",
        ])
        .args([
            "--option=proto_version=1",
            "--option=publication_names=rowhook,rowhook_inserts",
        ])
        .args(["--file", "/dev/null"])
        .args(more)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start pg_recvlogical")
}
