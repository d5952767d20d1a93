//! `make bench`: the figures of docs/book/benchmarks, each beside a reference that is taken in the same run.
//!
//! Everything that is measured is a process of its own: Postgres, the rowhook binary, pg_recvlogical, the receivers and
//! the raw client. The latter two are this program, with another first argument.

#![allow(
    unreachable_pub,
    reason = "it is a program, and nobody reaches into it"
)]

mod backlog;
mod before;
mod chart;
mod cluster;
mod compare;
mod drain;
mod fanout;
mod figure;
mod growth;
mod hostile;
mod large;
mod latency;
mod machine;
mod matching;
mod pgbench;
mod process;
mod raw;
mod read;
mod receiver;
mod reference;
mod report;
mod sealing;
mod sidecar;
mod source;
mod start;
mod strangers;
mod tls;
mod upgrading;
mod wide;
mod writer;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use self::figure::Figure;

/// The size of a run.
pub struct Scale {
    /// Repetitions of each measurement. The report has their median.
    pub rounds: usize,
    /// Rows of a backlog.
    pub events: u64,
    /// Rows of the one large transaction.
    pub large: u64,
    /// Hooks to find matches among.
    pub hooks: u64,
    /// How long each measurement of a steady load takes.
    pub watch: Duration,
}

const FULL: Scale = Scale {
    rounds: 5,
    events: 200_000,
    large: 1_000_000,
    hooks: 1_000_000,
    watch: Duration::from_secs(10),
};

const QUICK: Scale = Scale {
    rounds: 5,
    events: 20_000,
    large: 100_000,
    hooks: 100_000,
    watch: Duration::from_secs(3),
};

/// A group of figures, and the name by which it is chosen.
type Chapter = (&'static str, fn(&Scale) -> Result<Vec<Figure>>);

const CHAPTERS: [Chapter; 18] = [
    ("read", read::measure),
    ("drain", drain::measure),
    ("latency", latency::measure),
    ("tls", tls::measure),
    ("matching", matching::measure),
    ("fanout", fanout::measure),
    ("start", start::measure),
    ("backlog", backlog::measure),
    ("strangers", strangers::measure),
    ("hostile", hostile::measure),
    ("large", large::measure),
    ("pgbench", pgbench::measure),
    ("growth", growth::measure),
    ("wide", wide::measure),
    ("sealing", sealing::measure),
    ("upgrading", upgrading::measure),
    ("before", before::measure),
    ("cluster", cluster::measure),
];

const COMPARE: Chapter = ("compare", compare::measure);

fn main() -> Result<()> {
    // Cargo passes --bench.
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args.first().map(String::as_str) {
        Some("receive") => return receiver::serve(&args[1..]),
        Some("post") => return raw::post(&args[1..]),
        _ => {}
    }
    let mut scale = &FULL;
    let mut only = Vec::new();
    let mut folder = None;
    let mut words = args.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => scale = &QUICK,
            "--into" => {
                folder = Some(PathBuf::from(
                    words.next().context("--into needs a folder")?,
                ))
            }
            chapter
                if CHAPTERS
                    .iter()
                    .chain([&COMPARE])
                    .any(|(name, _)| *name == chapter) =>
            {
                only.push(word)
            }
            other => {
                let names = CHAPTERS.map(|(name, _)| name).join(", ");
                bail!("{other:?} is neither --quick, --into FOLDER nor one of {names}");
            }
        }
    }
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    // The comparison runs only when it is chosen, because its programs have to be installed first.
    let chapters = CHAPTERS
        .into_iter()
        .chain(only.contains(&COMPARE.0.to_owned()).then_some(COMPARE));
    for (name, measure) in chapters {
        if !only.is_empty() && !only.iter().any(|chosen| chosen == name) {
            continue;
        }
        eprintln!("measuring: {name}");
        let began = Instant::now();
        // A chapter that fails must not stop the others.
        match measure(scale) {
            Ok(measured) => figures.extend(measured),
            Err(error) => {
                figures.push(Figure::missing(name, format!("{error:#}")));
                failed.push(name);
            }
        }
        eprintln!("measured: {name}, in {:.0?}", began.elapsed());
    }
    let machine = machine::Machine::here()?;
    let quick = scale.events < FULL.events;
    println!("{}", report::table(&machine, &figures, quick));
    if let Some(folder) = folder {
        report::write(&folder, &machine, &figures, quick)?;
        println!("Written to {}.", folder.display());
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}
