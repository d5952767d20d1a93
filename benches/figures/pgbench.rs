//! The cost to the source: the rate of pgbench while rowhook sends each of its transactions, beside its rate while
//! pg_recvlogical reads the same publication.

use std::{
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use harness::SECRET;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::time::SystemTime;

use super::{
    Scale,
    figure::{Figure, Samples},
    receiver::Receivers,
    reference,
    sidecar::Sidecar,
    source::Source,
};

/// pgbench inserts a row into its history for each transaction. The table has no key, but inserts need none.
const EVENTS: &str = "\n[events]\n\"transaction.made\" = \"pgbench_history.created+\"\n";
/// The history table as `pgbench --initialize` creates it.
const HISTORY: &str = "create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))";
const BRANCHES: &str = "10";
const CLIENTS: &str = "4";

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("pgbench", HISTORY, EVENTS)?;
    fill_beside_history(&source)?;
    let mut receivers = Receivers::open(1)?;
    let target = receivers.url(0);
    let hooks = format!(
        "{EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"transaction.made\"]\ntarget = \"{target}\"\nsecret = \"{SECRET}\"\n"
    );
    let [mut ours, mut theirs, mut alone, mut behind] = [(); 4].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        alone.push(run(&source, scale.watch)?.0);
        let slot = source.new_slot()?;
        let mut reading = reference::follow(&source, &slot, &[])?;
        theirs.push(run(&source, scale.watch)?.0);
        end(&mut reading)?;
        source.drop_slot(&slot)?;

        let slot = source.new_slot()?;
        receivers.reset()?;
        let (sidecar, _) = Sidecar::attach(&source.config(&slot, &hooks))?;
        let (rate, transactions) = run(&source, scale.watch)?;
        let ended = SystemTime::now();
        let done = receivers.until(transactions)?;
        ours.push(rate);
        behind.push(done.duration_since(ended).unwrap_or_default().as_secs_f64() * 1000.0);
        sidecar.stop()?;
        source.drop_slot(&slot)?;
    }
    source.finish()?;
    let (ours, theirs) = (
        ("rowhook, sending each", &ours),
        ("pg_recvlogical", &theirs),
    );
    Ok(vec![
        Figure::ratio(
            "commits/s of pgbench while attached",
            "commits/s",
            ours,
            theirs,
        )
        .at_least(0.9)
        .with("nobody attached", "commits/s", alone)
        .with("last arrival after pgbench's end", "ms", behind),
    ])
}

/// Makes and fills all tables of pgbench.
pub fn fill(source: &Source) -> Result<()> {
    source.sql(HISTORY)?;
    fill_beside_history(source)
}

fn fill_beside_history(source: &Source) -> Result<()> {
    // pgbench only fills the tables; it must not create them anew, because one of them is published already.
    source.sql(
        "create table pgbench_branches (bid int not null primary key, bbalance int, filler char(88));
         create table pgbench_tellers (tid int not null primary key, bid int, tbalance int, filler char(84));
         create table pgbench_accounts (aid int not null primary key, bid int, abalance int, filler char(84));",
    )?;
    let args = [
        "--initialize",
        "--init-steps=g",
        "--scale",
        BRANCHES,
        "--quiet",
    ];
    pgbench(source, &args).map(drop)
}

/// Runs pgbench. Returns the commits a second, and the number of commits.
pub fn run(source: &Source, long: Duration) -> Result<(f64, u64)> {
    let output = transactions(source, long, &[])?;
    let rate = number(&output, "tps = ")?;
    let transactions = number(&output, "number of transactions actually processed: ")?;
    Ok((rate, transactions as u64))
}

/// Runs pgbench at this many transactions a second. Returns how long one takes on average from when it is due, in ms.
pub fn run_at(source: &Source, rate: u32, long: Duration) -> Result<f64> {
    let rate = rate.to_string();
    let output = transactions(source, long, &["--rate", &rate])?;
    number(&output, "latency average = ")
}

fn transactions(source: &Source, long: Duration, more: &[&str]) -> Result<String> {
    let seconds = long.as_secs().to_string();
    let mut args = vec![
        "--no-vacuum",
        "--client",
        CLIENTS,
        "--time",
        &seconds,
        "--protocol=prepared",
    ];
    args.extend(more);
    pgbench(source, &args)
}

/// The number that follows this at the beginning of a line.
fn number(output: &str, key: &str) -> Result<f64> {
    let line = output.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split([' ', '/']).find(|word| !word.is_empty()));
    let word = word.with_context(|| format!("pgbench did not tell {key:?}: {output}"))?;
    Ok(word.parse()?)
}

fn pgbench(source: &Source, args: &[&str]) -> Result<String> {
    let output = Command::new(source.bin().join("pgbench"))
        .args(args)
        .arg(&source.url)
        .output()
        .context("run pgbench")?;
    ensure!(
        output.status.success(),
        "pgbench failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Interrupts a process and waits for its end.
fn end(child: &mut Child) -> Result<()> {
    kill(Pid::from_raw(child.id().try_into()?), Signal::SIGINT)?;
    child.wait()?;
    Ok(())
}
