//! What the kernel knows of a process: its time on processors and its memory.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// User and system time of a process, its ended children left out.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name, in brackets, may have anything in it.
    let (_, after) = stat.rsplit_once(')').context("a stat without a name")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
    // Linux counts in hundredths of a second here, whatever the kernel's own clock.
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

/// What it has in memory now, in MiB.
pub fn resident(pid: u32) -> Result<f64> {
    status(pid, "VmRSS:")
}

/// The most that it has had, in MiB.
pub fn peak(pid: u32) -> Result<f64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, key: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let line = line.with_context(|| format!("{path} has no {key}"))?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024.0)
}
