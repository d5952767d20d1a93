//! Before the commit: how much longer a deletion takes while an endpoint is asked that answers at once, and what a
//! rowhook that asks costs transactions which have nothing to be asked about.

use std::time::Instant;

use anyhow::Result;
use harness::SECRET;

use super::{
    Scale,
    figure::{Figure, Samples},
    pgbench,
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
};

/// Transactions a second of pgbench where it does not take all processors.
const RATE: u32 = 500;
/// Deletions of each round.
const DELETIONS: usize = 200;
/// The first version of Postgres that flushes the WAL with a message.
const FLUSHES: u32 = 170_000;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("before", BOOK, EVENTS)?;
    pgbench::fill(&source)?;
    let mut receivers = Receivers::open(1)?;
    let target = receivers.url(0);
    let asking = format!(
        "{EVENTS}[events.\"book.removing\"]\nbefore = \"book.deleted\"\nsilence = \"refuse\"\n
[[hooks]]\nname = \"asked\"\nevents = [\"book.removing\"]\ntarget = \"{target}\"\nsecret = \"{SECRET}\"\n"
    );
    let [mut added, mut asked, mut unasked, mut beside, mut without] =
        [(); 5].map(|()| Samples::default());
    let [mut took_beside, mut took_without] = [(); 2].map(|()| Samples::default());
    for round in 0..scale.rounds {
        let (mut held, mut usual) = (0.0, 0.0);
        // They take turns at being the first, because the tables of pgbench grow with each of its runs.
        let asks_first = round % 2 == 1;
        for asks in [asks_first, !asks_first] {
            let slot = source.new_slot()?;
            receivers.reset()?;
            let config = if asks { &*asking } else { EVENTS };
            let (mut sidecar, _) = Sidecar::attach(&source.config(&slot, config))?;
            if asks {
                sidecar.until("questions before commits are answered")?;
                // Opens the connections, which is not to be measured.
                deletions(&source)?;
            }
            let took = deletions(&source)?;
            let took_each = pgbench::run_at(&source, RATE, scale.watch)?;
            let rate = pgbench::run(&source, scale.watch)?.0;
            if asks {
                held = took;
                took_beside.push(took_each);
                beside.push(rate);
            } else {
                usual = took;
                took_without.push(took_each);
                without.push(rate);
            }
            sidecar.stop()?;
            source.drop_slot(&slot)?;
        }
        added.push(held - usual);
        asked.push(held);
        unasked.push(usual);
    }
    let version: u32 = source.ask("show server_version_num")?.parse()?;
    source.finish()?;
    let most = match version >= FLUSHES {
        true => 10.0,
        false => 40.0,
    };
    Ok(vec![
        Figure::new("asking before a commit, added time, p50", "ms", added)
            .at_most(most)
            .with("a deletion that is asked about, p50", "ms", asked)
            .with("a deletion that is not, p50", "ms", unasked),
        Figure::ratio(
            format!("a transaction of pgbench on tables without such an event, {RATE}/s, average"),
            "ms",
            ("beside one with it", &took_beside),
            ("without any", &took_without),
        )
        .at_most(1.05),
        Figure::ratio(
            "commits/s of pgbench on tables without such an event, all processors busy",
            "commits/s",
            ("beside one with it", &beside),
            ("without any", &without),
        )
        .at_least(0.95),
    ])
}

/// Deletes rows one by one, and returns the median of how long it took, in milliseconds.
fn deletions(source: &Source) -> Result<f64> {
    source.sql(&format!(
        "insert into book (user_id) select n from generate_series(1, {DELETIONS}) as n"
    ))?;
    let mut took = Samples::default();
    for _ in 0..DELETIONS {
        let begun = Instant::now();
        source.sql("delete from book where id = (select min(id) from book)")?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took.median())
}
