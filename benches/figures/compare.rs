//! Other programs on the same machine. Rows are committed while each of them is attached, and arrive one POST each.
//! benches/compare/install has to be run first, and COMPARE names the folder that it installed into.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::DEADLINE;

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    process,
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
};

/// The result of one run.
struct Run {
    /// Events a second, from the first arrival to the last.
    rate: f64,
    /// Processor time for each event, in microseconds. For a program that reads a slot, its start is left out.
    cpu: f64,
    /// Peak memory, in MiB.
    memory: f64,
}

/// A program: its name, the rows that it gets, and how to run it.
type Contestant = (
    &'static str,
    u64,
    fn(&mut Source, &mut Receivers, u64, &Path) -> Result<Run>,
);

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let home = env::var_os("COMPARE")
        .context("COMPARE does not say where benches/compare/install has put them")?;
    let home = PathBuf::from(home);
    let mut source = Source::new("compare", BOOK, EVENTS)?;
    let mut receivers = Receivers::open(1)?;
    // Enough rows for a just-in-time compiler to warm up. What is slow gets fewer.
    let rows = scale.events / 2;
    let contestants: [Contestant; 4] = [
        ("rowhook", rows, rowhook),
        ("Debezium's engine, a POST each", rows, debezium),
        ("pg-logical-replication for Node, a POST each", rows, node),
        ("django-rest-hooks", rows / 50, django),
    ];
    let mut figures = Vec::new();
    for (name, rows, run) in contestants {
        let [mut rate, mut cpu, mut memory] = [(); 3].map(|()| Samples::default());
        for _ in 0..scale.rounds {
            receivers.reset()?;
            let run = run(&mut source, &mut receivers, rows, &home).context(name)?;
            rate.push(run.rate);
            cpu.push(run.cpu);
            memory.push(run.memory);
        }
        figures.push(
            Figure::new(name, "events/s", rate)
                .with("processor time of an event", "µs", cpu)
                .with("most memory", "MiB", memory),
        );
    }
    source.finish()?;
    Ok(figures)
}

fn rowhook(source: &mut Source, receivers: &mut Receivers, rows: u64, _: &Path) -> Result<Run> {
    let slot = source.new_slot()?;
    let hooks = drain::hooks_by_owner(receivers, 1, "");
    let (sidecar, _) = Sidecar::attach(&source.config(&slot, &hooks))?;
    let before = sidecar.cpu()?;
    source.write(rows, 1, 1)?;
    let rate = arrivals(receivers, rows)?;
    let run = Run {
        rate,
        cpu: per_event(sidecar.cpu()? - before, rows),
        memory: sidecar.peak()?,
    };
    sidecar.stop()?;
    source.drop_slot(&slot)?;
    Ok(run)
}

fn debezium(source: &mut Source, receivers: &mut Receivers, rows: u64, home: &Path) -> Result<Run> {
    let classpath = fs::read_to_string(home.join("classpath")).context("it is not installed")?;
    let mut command = Command::new("java");
    command.args(["-cp", classpath.trim(), "Debezium"]);
    measure_reader(command, source, receivers, rows, home)
}

fn node(source: &mut Source, receivers: &mut Receivers, rows: u64, home: &Path) -> Result<Run> {
    let mut command = Command::new("node");
    command.arg("node.mjs");
    fs::write(
        home.join("node/node.mjs"),
        include_str!("../compare/node.mjs"),
    )?;
    measure_reader(command, source, receivers, rows, &home.join("node"))
}

/// Measures a program that reads a slot, run in `folder`.
fn measure_reader(
    mut command: Command,
    source: &mut Source,
    receivers: &mut Receivers,
    rows: u64,
    folder: &Path,
) -> Result<Run> {
    let slot = source.new_slot()?;
    command.envs(source.variables()?).envs([
        ("SLOT", &*slot),
        ("PUBLICATION", "rowhook"),
        ("TARGET", &receivers.url(0)),
    ]);
    let mut child = start(command, folder)?;
    source.until_read(&slot)?;
    let before = process::cpu(child.id())?;
    source.write(rows, 1, 1)?;
    let rate = arrivals(receivers, rows)?;
    let run = Run {
        rate,
        cpu: per_event(process::cpu(child.id())? - before, rows),
        memory: process::peak(child.id())?,
    };
    child.kill()?;
    child.wait()?;
    source.drop_slot(&slot)?;
    Ok(run)
}

/// Measures django-rest-hooks. It writes the rows itself, because it works inside the application.
fn django(source: &mut Source, receivers: &mut Receivers, rows: u64, home: &Path) -> Result<Run> {
    let mut command = Command::new(home.join("django/bin/python"));
    source.sql("drop schema if exists django cascade; create schema django; alter role postgres set search_path = django, public")?;
    command
        .args(["-c", include_str!("../compare/django_hooks.py")])
        .envs(source.variables()?)
        .envs([("ROWS", &*rows.to_string()), ("TARGET", &receivers.url(0))]);
    let mut child = start(command, home)?;
    let rate = arrivals(receivers, rows)?;
    let run = Run {
        rate,
        cpu: per_event(process::cpu(child.id())?, rows),
        memory: process::peak(child.id())?,
    };
    child.wait()?;
    source.sql("alter role postgres reset search_path; drop schema django cascade")?;
    Ok(run)
}

fn start(mut command: Command, folder: &Path) -> Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    let started = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    started.with_context(|| format!("start {command:?}"))
}

/// Waits until all rows have arrived. Returns how many arrived in a second.
fn arrivals(receivers: &mut Receivers, rows: u64) -> Result<f64> {
    let started = Instant::now();
    let last = receivers.until(rows)?;
    ensure!(started.elapsed() < DEADLINE, "not all came in time");
    let span: Duration = last.duration_since(receivers.first()?)?;
    Ok((rows - 1) as f64 / span.as_secs_f64())
}

/// Processor time for each event, in microseconds.
fn per_event(cpu: Duration, rows: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / rows as f64
}
