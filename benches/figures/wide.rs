//! A database with many tables and a file with many events: how long it takes to read the file, to check it, to attach
//! for the first time, and to answer `events` and `status`. Beside each stands what the server itself takes for the same
//! catalog queries or the same setup.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use rowhook::config::Config;

use super::{
    Scale,
    figure::{Figure, Samples},
    sidecar::{self, Sidecar},
    source::Source,
};

/// As many tables as a large ERP has.
const TABLES: usize = 1135;
const EVENTS: usize = 8000;
/// So many tables join a publication in a transaction.
const TOGETHER: usize = 100;

/// What most tables have.
const COLUMNS: &str = "id bigint primary key, user_id bigint, name text, price numeric(8, 2), note text, added timestamptz, \
    tags text[], extra jsonb";

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let source = Source::new(
        "wide",
        "create table first (id bigint primary key, user_id bigint)",
        FIRST,
    )?;
    for table in 0..TABLES {
        source.sql(&format!("create table t{table} ({COLUMNS})"))?;
    }
    source.sql("analyze")?;
    let events = events(EVENTS);
    let mut figures = reading(scale, &source)?;
    figures.extend(attaching(
        scale,
        &source,
        &source.config("wide_first", &events),
    )?);
    let config = source.config("wide", &events);
    sidecar::rowhook(&config, &["setup"])?.map_err(anyhow::Error::msg)?;
    let [mut check, mut list, mut status, mut server] = [(); 4].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        check.push(seconds(|| command(&config, "check"))?);
        list.push(seconds(|| command(&config, "events"))?);
        status.push(seconds(|| command(&config, "status"))?);
        server.push(seconds(|| catalog(&source))?);
    }
    let beside = |name: &str, ours: Samples, most: f64| {
        let name = format!("{name} at {TABLES} tables and {EVENTS} events");
        let figure = Figure::new(name, "s", ours).at_most(most);
        figure.with(
            "the server's time for the catalog of these tables",
            "s",
            server.clone(),
        )
    };
    figures.push(beside("check", check, 1.0));
    figures.push(beside("events", list, 1.0));
    figures.push(beside("status", status, 1.0));
    source.finish()?;
    Ok(figures)
}

const FIRST: &str = "\n[events]\n\"first.added\" = \"first.created\"\n";

/// The first so many events, of all kinds on each table, so that an eighth of them has an eighth of the conditions.
fn events(count: usize) -> String {
    let mut text = String::from("\n[events]\n");
    let kinds_of = |table| EVENTS / TABLES + usize::from(table < EVENTS % TABLES);
    let all = (0..TABLES).flat_map(|table| (0..kinds_of(table)).map(move |kind| (kind, table)));
    for (kind, table) in all.take(count) {
        let on = |action: &str| format!("\"t{table}.{action}\"");
        let source = match kind {
            0 => on("created"),
            1 => on("updated"),
            2 => on("deleted"),
            3 => on("truncated"),
            4 => format!("{{ on = {}, changed = [\"user_id\"] }}", on("updated")),
            5 => conditional(table, kind),
            _ => on(&format!("action_{kind}")),
        };
        text.push_str(&format!("\"t{table}.event_{kind}\" = {source}\n"));
    }
    text
}

/// An event with a condition that no other event has.
fn conditional(table: usize, kind: usize) -> String {
    let condition = format!("new.price > {table}.0 && old.price <= {kind}.5");
    format!("{{ on = \"t{table}.updated\", when = \"{condition}\" }}")
}

/// As many events, each of them with a condition.
fn conditional_events() -> String {
    let kinds = EVENTS.div_ceil(TABLES);
    let all = (0..EVENTS).map(|event| {
        let (table, kind) = (event / kinds, event % kinds);
        let source = conditional(table, kind);
        format!("\"t{table}.event_{kind}\" = {source}\n")
    });
    std::iter::once("\n[events]\n".to_owned())
        .chain(all)
        .collect()
}

/// Reading the file, beside parsing it as TOML, which is the least that there is to do; and how it grows.
fn reading(scale: &Scale, source: &Source) -> Result<Vec<Figure>> {
    let [mut ours, mut toml, mut small, mut conditional] = [(); 4].map(|()| Samples::default());
    let (large, eighth) = (events(EVENTS), events(EVENTS / 8));
    let conditions = source.config("wide", &conditional_events());
    let (large, eighth) = (
        source.config("wide", &large),
        source.config("wide", &eighth),
    );
    let read = |text: &str| -> Result<()> {
        let config = Config::parse(Path::new("hooks.toml"), text, &|_| None)?;
        ensure!(!config.events.is_empty(), "no events");
        Ok(())
    };
    for _ in 0..scale.rounds {
        ours.push(1000.0 * seconds(|| read(&large))?);
        small.push(1000.0 * seconds(|| read(&eighth))?);
        conditional.push(1000.0 * seconds(|| read(&conditions))?);
        let parse = || -> Result<()> {
            toml::de::DeTable::parse(&large)?;
            Ok(())
        };
        toml.push(1000.0 * seconds(parse)?);
    }
    let name = format!("reading a file of {EVENTS} events");
    let growth = format!("reading {EVENTS} events beside {}", EVENTS / 8);
    let absolute = Figure::new(&name, "ms", ours.clone()).at_most(100.0);
    let name = format!("{name}, each with a condition of its own");
    Ok(vec![
        absolute.with("parsing it as TOML", "ms", toml),
        Figure::new(name, "ms", conditional).at_most(100.0),
        // Eight times as much, and what measuring is off by.
        Figure::ratio(growth, "ms", ("all", &ours), ("an eighth", &small)).at_most(8.0 * 1.3),
    ])
}

/// The first attach, with setup, beside psql that runs the script of the same setup.
fn attaching(scale: &Scale, source: &Source, config: &str) -> Result<Vec<Figure>> {
    let [mut attach, mut psql, mut own] = [(); 3].map(|()| Samples::default());
    // The slot of the source reads nothing here, and its publications are those of this configuration too.
    source.drop_slot("wide")?;
    let clear = || sidecar::rowhook(config, &["teardown", "--yes"])?.map_err(anyhow::Error::msg);
    for _ in 0..scale.rounds {
        clear()?;
        let script = together(&sidecar::output(config, &["setup", "--print"])?);
        psql.push(seconds(|| run_script(source, &script))?);
        clear()?;
        let began = Instant::now();
        let (sidecar, _) = Sidecar::attach(config)?;
        attach.push(began.elapsed().as_secs_f64());
        sidecar.stop()?;
        let [ours, theirs] =
            [&attach, &psql].map(|samples| samples.0.last().copied().unwrap_or(f64::NAN));
        own.push(ours - theirs);
    }
    clear()?;
    let name =
        format!("first attach at {TABLES} tables and {EVENTS} events, beyond the setup by psql");
    let figure = Figure::new(name, "s", own).at_most(2.0);
    Ok(vec![
        figure.with("first attach with setup", "s", attach).with(
            "the same setup by psql",
            "s",
            psql,
        ),
    ])
}

/// The script with the tables that join a publication in few transactions, as rowhook has them join.
fn together(script: &str) -> String {
    let mut text = String::new();
    let mut joining = 0;
    for part in script.split_inclusive("commit;\n") {
        let is_joining = part.contains("alter publication") && part.contains("add table");
        joining = if is_joining { joining + 1 } else { 0 };
        if joining < 2 || joining % TOGETHER == 1 {
            text.push_str(part);
            continue;
        }
        let statement = part.lines().filter(|line| line.starts_with("alter"));
        text.truncate(text.len() - "commit;\n".len());
        text.extend(statement.map(|line| format!("{line}\n")));
        text.push_str("commit;\n");
    }
    text
}

fn run_script(source: &Source, script: &str) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("setup.sql");
    fs::write(&file, script).context("write the script")?;
    let psql = Command::new(source.bin().join("psql"))
        .args(["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "--file"])
        .arg(&file)
        .arg(&source.url)
        .stdout(Stdio::null())
        .status();
    ensure!(psql.context("run psql")?.success(), "psql failed");
    Ok(())
}

fn command(config: &str, command: &str) -> Result<()> {
    sidecar::rowhook(config, &[command])?.map_err(anyhow::Error::msg)
}

/// The questions that rowhook asks of the catalog, over all tables.
fn catalog(source: &Source) -> Result<()> {
    source.block_on(async {
        let client = &source.client;
        // As in a session of rowhook, which would wait for the compiler longer than for the answers.
        client.batch_execute("set jit = off").await?;
        let names = client
            .query(include_str!("../../sql/catalog/names.sql"), &[])
            .await?;
        let oids: Vec<u32> = names
            .iter()
            .map(|row| row.try_get("oid"))
            .collect::<Result<_, _>>()?;
        let text = |column: &str| {
            let texts = names.iter().map(|row| row.try_get::<_, String>(column));
            texts.collect::<Result<Vec<String>, _>>()
        };
        let (schemas, tables) = (text("schema")?, text("name")?);
        let sql = include_str!("../../sql/catalog/tables.sql");
        let ours = ["rowhook", "rowhook_inserts"];
        client.query(sql, &[&oids, &&ours[..]]).await?;
        let sql = include_str!("../../sql/catalog/stream_relation.sql");
        client.query(sql, &[&schemas, &tables]).await?;
        client
            .query(include_str!("../../sql/catalog/relation.sql"), &[&oids])
            .await?;
        Ok(())
    })
}

fn seconds(measured: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    measured()?;
    Ok(began.elapsed().as_secs_f64())
}
