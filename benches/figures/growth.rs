//! How the cost grows when there are four times the rows, hooks, columns, bytes in a row or endpoints, one at a time.

use anyhow::Result;
use harness::SECRET;

use super::{
    Scale,
    drain::{self, drain_in},
    figure::{Figure, Samples},
    receiver::Receivers,
    source::{BOOK, EVENTS, Source},
};

/// By how much each case is larger than the base.
const FACTOR: u64 = 4;
/// The allowance for inaccurate measurements.
const TOLERANCE: f64 = 1.1;

/// The sizes of a measurement.
struct Case {
    name: &'static str,
    rows: u64,
    /// Each of them receives all rows.
    hooks: u64,
    columns: u64,
    /// Bytes of the note in each row.
    text: u64,
    /// Each of them receives its share of the rows.
    endpoints: u64,
}

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let base = Case {
        name: "base",
        rows: scale.events / 10,
        hooks: 1,
        columns: 8,
        text: 270,
        endpoints: 1,
    };
    let cases = [
        Case {
            name: "rows",
            rows: base.rows * FACTOR,
            ..base
        },
        Case {
            name: "hooks on each row",
            hooks: FACTOR,
            ..base
        },
        Case {
            name: "columns",
            columns: base.columns * FACTOR,
            ..base
        },
        Case {
            name: "size of the text",
            text: base.text * FACTOR,
            ..base
        },
        Case {
            name: "endpoints",
            endpoints: FACTOR,
            ..base
        },
    ];
    let mut prepared = Vec::new();
    for (number, case) in [base].into_iter().chain(cases).enumerate() {
        prepared.push((prepare(number, &case)?, case, Samples::default()));
    }
    for _ in 0..scale.rounds {
        for ((source, backlog, receivers), case, samples) in &mut prepared {
            let config = config(case, receivers);
            let drained = drain_in(source, backlog, receivers, &config, case.rows * case.hooks)?;
            // In all, rather than for each event.
            samples.push(drained.cpu * case.rows as f64 / 1000.0);
        }
    }
    let mut figures = Vec::new();
    let mut cost_of_base = Samples::default();
    for ((source, ..), case, samples) in prepared {
        source.finish()?;
        if case.name == "base" {
            cost_of_base = samples;
            continue;
        }
        let name = format!("processor time with {FACTOR} times the {}", case.name);
        let (grown, base) = (("grown", &samples), ("base", &cost_of_base));
        let figure = Figure::ratio(name, "ms", grown, base);
        figures.push(figure.at_most(FACTOR as f64 * TOLERANCE));
    }
    Ok(figures)
}

type Prepared = (Source, super::source::Backlog, Receivers);

fn prepare(number: usize, case: &Case) -> Result<Prepared> {
    let mut table = BOOK.replace("270", &case.text.to_string());
    // The table itself has seven.
    for column in 7..case.columns {
        table.push_str(&format!(
            "alter table book add extra_{column} integer not null default {column};"
        ));
    }
    let source = Source::new(&format!("growth_{number}"), &table, EVENTS)?;
    let backlog = source.write(case.rows, 1, case.endpoints)?;
    Ok((source, backlog, Receivers::open(case.endpoints as usize)?))
}

fn config(case: &Case, receivers: &Receivers) -> String {
    if case.hooks == 1 {
        return drain::hooks_by_owner(receivers, case.endpoints as usize, "");
    }
    let target = receivers.url(0);
    let hook = |number| {
        format!(
            "\n[[hooks]]\nname = \"h{number}\"\nevents = [\"book.added\"]\ntarget = \"{target}\"\nsecret = \"{SECRET}\"\n"
        )
    };
    (0..case.hooks)
        .map(hook)
        .fold(EVENTS.to_owned(), |all, hook| all + &hook)
}
