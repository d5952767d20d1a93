//! The processor time and the memory of a process, from /proc.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// User and system time of a process, without its children.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name in brackets can contain spaces and brackets itself.
    let (_, after) = stat.rsplit_once(')').context("a stat without a name")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
    // The unit here is always a hundredth of a second, whatever the tick of the kernel.
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

/// Resident memory now, in MiB.
pub fn resident(pid: u32) -> Result<f64> {
    status(pid, "VmRSS:")
}

/// Peak resident memory, in MiB.
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
