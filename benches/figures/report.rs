//! The report: a table for people, JSON for programs, and charts.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    chart::{self, Bar},
    figure::{Figure, Target, Verdict},
    machine::Machine,
};

/// The report as Markdown.
pub fn table(machine: &Machine, figures: &[Figure], quick: bool) -> String {
    let Machine {
        processor,
        cores,
        memory_gib,
        kernel,
        commit,
        rowhook,
        rustc,
        postgres,
        postgres_settings,
        taken_at,
        load,
    } = machine;
    let mut text = format!(
        "{processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}; rowhook {rowhook} at commit {commit}, {rustc}; {postgres}\n({}). \
         {taken_at}, load {load}.{}\n\nThe median of the rounds, with the least and the most of them.\n\n\
         | figure | measured | target | |\n|---|---|---|---|\n",
        postgres_settings.join(", "),
        if quick {
            " A quick run: smaller, and less sure."
        } else {
            ""
        },
    );
    for figure in figures {
        let measured = match &figure.missing {
            Some(why) => why.clone(),
            None => format!("{} {}", figure.samples, figure.unit),
        };
        let target = figure
            .target
            .map_or(String::new(), |target| target.to_string());
        line(
            &mut text,
            &[
                &figure.name,
                &measured,
                &target,
                &figure.verdict().to_string(),
            ],
        );
        for detail in &figure.details {
            let (what, measured) = (
                format!("– {}", detail.what),
                format!("{} {}", detail.samples, detail.unit),
            );
            line(&mut text, &[&what, &measured, "", ""]);
        }
    }
    text
}

fn line(text: &mut String, cells: &[&str]) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Writes results.md, results.json and the charts into `folder`.
pub fn write(folder: &Path, machine: &Machine, figures: &[Figure], quick: bool) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let summaries: Vec<_> = figures
        .iter()
        .map(|figure| {
            json!({
                "figure": figure,
                "median": figure.samples.median(),
                "min": figure.samples.min(),
                "max": figure.samples.max(),
                "verdict": figure.verdict(),
            })
        })
        .collect();
    let json = json!({ "machine": machine, "quick": quick, "figures": summaries });
    let files = [
        (
            "results.md",
            format!("# The last run\n\n{}", table(machine, figures, quick)),
        ),
        ("results.json", serde_json::to_string_pretty(&json)? + "\n"),
        ("targets.svg", targets(figures)),
        (
            "rates.svg",
            details(
                figures,
                "events/s",
                "Drained: rowhook and raw reqwest, events/s",
            ),
        ),
        (
            "reading.svg",
            details(
                figures,
                "rows/s",
                "Read: rowhook and pg_recvlogical, rows/s",
            ),
        ),
        ("latency.svg", latencies(figures)),
    ];
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// A chart of each figure in relation to its target. Figures that meet it reach beyond the line.
fn targets(figures: &[Figure]) -> String {
    let bars = figures
        .iter()
        .filter(|figure| figure.missing.is_none())
        .filter_map(|figure| {
            let part = |sample: f64| match figure.target {
                Some(Target::AtLeast(least)) => sample / least,
                Some(Target::AtMost(most)) => most / sample.max(f64::MIN_POSITIVE),
                None => 0.0,
            };
            let target = figure.target?;
            let (one, other) = (part(figure.samples.min()), part(figure.samples.max()));
            Some(Bar {
                name: figure.name.clone(),
                value: part(figure.samples.median()),
                least: one.min(other),
                most: one.max(other),
                label: format!("{} {} ({target})", figure.samples, figure.unit),
                good: figure.verdict() == Verdict::Met,
            })
        });
    let title = "Times better than the target (1 is the target; cut off at 3)";
    chart::bars(title, &bars.collect::<Vec<_>>(), Some(1.0), Some(3.0))
}

/// A chart of all details in this unit, grouped by figure.
fn details(figures: &[Figure], unit: &str, title: &str) -> String {
    let details = figures.iter().flat_map(|figure| {
        let with_unit = figure.details.iter().filter(|detail| detail.unit == unit);
        with_unit.map(move |detail| (figure, detail))
    });
    let bars = details.map(|(figure, detail)| Bar {
        name: format!("{}: {}", figure.name, detail.what),
        value: detail.samples.median(),
        least: detail.samples.min(),
        most: detail.samples.max(),
        label: detail.samples.to_string(),
        good: detail.what.starts_with("rowhook"),
    });
    chart::bars(title, &bars.collect::<Vec<_>>(), None, None)
}

fn latencies(figures: &[Figure]) -> String {
    let latencies = figures
        .iter()
        .filter(|figure| figure.name.starts_with("latency"));
    let bars = latencies.map(|figure| Bar {
        name: figure.name.clone(),
        value: figure.samples.median(),
        least: figure.samples.min(),
        most: figure.samples.max(),
        label: figure.samples.to_string(),
        good: figure.verdict() != Verdict::Missed,
    });
    chart::bars(
        "From commit to receiver, ms",
        &bars.collect::<Vec<_>>(),
        None,
        None,
    )
}
