//! pg_recvlogical: what a client reads from the same WAL when it does nothing with it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::source::Source;

/// How long it reads the slot up to `end`.
pub fn read(source: &Source, slot: &str, end: &str) -> Result<Duration> {
    let mut reading = follow(source, slot, &["--endpos", end, "--verbose"])?;
    let stderr = reading.stderr.take().context("no stderr")?;
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let began = lines.any(|line| line.contains("streaming initiated"));
    let started = Instant::now();
    let said: Vec<String> = lines.collect();
    let status = reading.wait()?;
    ensure!(
        began && status.success(),
        "pg_recvlogical failed: {}",
        said.join("\n")
    );
    Ok(started.elapsed())
}

/// Reads the slot until it is ended.
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
