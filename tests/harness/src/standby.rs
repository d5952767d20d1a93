//! Standbys of clusters, and pg_upgrade.

use std::{fs::OpenOptions, io::Write, process::Command};

use crate::{Cluster, bin_of};

/// A standby of `primary` that runs, and has the physical slot `slot` there.
pub fn standby_of(primary: &Cluster, slot: &str, settings: &[&str]) -> Cluster {
    let mut standby = Cluster::empty(primary.bin(), settings).unwrap();
    follow(&mut standby, primary, slot);
    standby
}

/// Makes a cluster that does not run a standby of `primary`, which has no slot `slot` yet, and starts it.
pub fn follow(standby: &mut Cluster, primary: &Cluster, slot: &str) {
    if standby.data().exists() {
        std::fs::remove_dir_all(standby.data()).unwrap();
    }
    let mut copy = standby.program("pg_basebackup").unwrap();
    copy.args(["--checkpoint=fast", "--no-sync", "--create-slot"])
        .arg(format!("--slot={slot}"))
        .arg(format!("--dbname={}", primary.url("postgres")))
        .arg("--pgdata")
        .arg(standby.data());
    run(copy).unwrap();
    // Not written by pg_basebackup, which names options that an older libpq of the system does not know.
    let settings = format!(
        "primary_conninfo = 'host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable'\nprimary_slot_name = '{slot}'\n",
        primary.port()
    );
    let mut file = OpenOptions::new()
        .append(true)
        .open(standby.data().join("postgresql.auto.conf"))
        .unwrap();
    file.write_all(settings.as_bytes()).unwrap();
    std::fs::write(standby.data().join("standby.signal"), "").unwrap();
    standby.start_again().unwrap();
}

/// What pg_upgrade makes of a cluster that is stopped. It runs.
///
/// # Errors
/// What pg_upgrade says when it refuses.
pub fn upgraded(old: &Cluster, version: u32, settings: &[&str]) -> Result<Cluster, String> {
    let mut new = Cluster::empty(&bin_of(version), settings).unwrap();
    // From 18 on, that is the default, and both must have the same.
    let checksums: &[&str] = match version {
        18.. => &["--no-data-checksums"],
        _ => &[],
    };
    new.make(checksums).unwrap();
    let mut upgrade = new.program("pg_upgrade").unwrap();
    upgrade
        .args(["--username=postgres", "--no-sync"])
        .args([
            "--old-options=-c wal_level=logical",
            "--new-options=-c wal_level=logical",
        ])
        .arg("--old-bindir")
        .arg(old.bin())
        .arg("--new-bindir")
        .arg(new.bin())
        .arg("--old-datadir")
        .arg(old.data())
        .arg("--new-datadir")
        .arg(new.data())
        .arg("--socketdir")
        .arg(new.socket_folder());
    run(upgrade)?;
    new.start_again().unwrap();
    Ok(new)
}

/// Runs a program to its end.
fn run(mut program: Command) -> Result<(), String> {
    let ended = program.output().unwrap();
    if ended.status.success() {
        return Ok(());
    }
    let texts = [ended.stdout, ended.stderr];
    Err(texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat())
}
