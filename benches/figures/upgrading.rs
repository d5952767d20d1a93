//! Upgrading rowhook's tables while the application writes to its hooks: how long it takes, and how long the application
//! waits for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use rowhook::setup::migration::MIGRATIONS;

use super::{
    Scale,
    figure::{Figure, Samples},
    sidecar,
    source::{self, BOOK, EVENTS, Source},
};

/// The last migration before hooks had settings of their own.
const BEFORE: i32 = 43;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let source = Source::new("upgrading", BOOK, EVENTS)?;
    let config = source.config("upgrading", EVENTS);
    let [mut took, mut waited, mut usual] = [(); 3].map(|()| Samples::default());
    // Each round fills the table anew, which takes longer than what is measured.
    for _ in 0..scale.rounds.min(3) {
        earlier_tables(&source, scale.hooks)?;
        let writes = |done: &AtomicBool| write_until(&source, scale.hooks, done);
        usual.push(beside(&writes, || {
            thread::sleep(scale.watch);
            Ok(())
        })?);
        let began = Instant::now();
        waited.push(beside(&writes, || {
            let ended = sidecar::rowhook(&config, &["setup"])?;
            ended.map_err(|error| anyhow!("rowhook setup: {error}"))
        })?);
        took.push(began.elapsed().as_secs_f64());
        let newest = source.ask("select max(version) from rowhook.migration")?;
        ensure!(newest != BEFORE.to_string(), "nothing was upgraded");
    }
    source.finish()?;
    let hooks = scale.hooks;
    Ok(vec![
        Figure::new(
            format!("upgrading the tables with {hooks} hooks"),
            "s",
            took,
        )
        .at_most(60.0),
        Figure::new("the longest write to a hook meanwhile", "ms", waited)
            .at_most(100.0)
            .with("without upgrading, max", "ms", usual),
    ])
}

/// Makes rowhook's tables as they were, with so many hooks.
fn earlier_tables(source: &Source, hooks: u64) -> Result<()> {
    let mut sql = "drop schema rowhook cascade; create schema rowhook;
        comment on schema rowhook is 'rowhook''s own tables; made by rowhook setup';
        set search_path to rowhook, pg_temp;"
        .to_owned();
    for migration in MIGRATIONS.iter().filter(|one| one.version <= BEFORE) {
        sql.push_str(&migration.sql.replace("{schema}", "rowhook"));
        sql.push_str(&format!(
            "\ninsert into migration (version, name) values ({}, '{}');\n",
            migration.version, migration.name
        ));
    }
    sql.push_str(&format!(
        "insert into event (name, source, all_owners) values ('book.added', 'book.created', false);
         insert into hook (owner, event, target)
         select number, 'book.added', 'https://example.com/' || number from generate_series(1, {hooks}) as number;
         reset search_path;"
    ));
    source.sql(&sql)?;
    source.sql("vacuum (analyze) rowhook.hook")
}

/// Does something while hooks are written to. Returns the longest write, in milliseconds.
fn beside(
    writes: &(impl Fn(&AtomicBool) -> Result<Samples> + Sync),
    act: impl FnOnce() -> Result<()>,
) -> Result<f64> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| writes(&done));
        let acted = act();
        done.store(true, Ordering::Relaxed);
        let took = writing.join().map_err(|_| anyhow!("the thread panicked"))?;
        acted?;
        Ok(took.context("write to the hooks")?.max())
    })
}

/// Changes one hook after the other. Returns how long each took, in milliseconds.
fn write_until(source: &Source, hooks: u64, done: &AtomicBool) -> Result<Samples> {
    source.block_on(async {
        let client = source::open(&source.url).await?;
        let sql = "update rowhook.hook set description = now()::text where id = $1";
        let update = client.prepare(sql).await?;
        let mut took = Samples::default();
        for number in 0.. {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let id = i64::try_from(number * 7919 % hooks)? + 1;
            let began = Instant::now();
            client.execute(&update, &[&id]).await?;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(took)
    })
}
