//! Sealing the secrets of all hooks while rowhook runs: how long it takes, and how long events wait for it.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use harness::SECRET;

use super::{
    Scale,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::{self, Sidecar},
    source::{BOOK, EVENTS, Source},
    writer,
};

/// Commits in a second meanwhile.
const COMMITS: f64 = 100.0;
/// The base64 of 32 bytes, each.
const KEYS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
];

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new(
        "sealing",
        BOOK,
        &format!("{EVENTS}\"quiet\" = \"custom\"\n"),
    )?;
    let mut receivers = Receivers::open(1)?;
    let [
        mut sealing,
        mut rotating,
        mut latest,
        mut rotated_latest,
        mut usual,
        mut sealed_start,
        mut usual_start,
    ] = [(); 7].map(|()| Samples::default());
    let target = receivers.url(0);
    // Each round fills the table anew, which takes longer than what is measured.
    for _ in 0..scale.rounds.min(3) {
        source.sql(&format!(
            "truncate rowhook.hook;
             insert into rowhook.hook (owner, event, target, secret)
             select number, 'quiet', '{target}' || number,
                 'whsec_' || encode(sha256(number::text::bytea), 'base64')
             from generate_series(1, {}) as number",
            scale.hooks
        ))?;
        source.sql("vacuum (analyze) rowhook.hook")?;
        let slot = source.new_slot()?;
        let config = |key: &str, previous: &str| {
            let rest = format!(
                "{EVENTS}\"quiet\" = \"custom\"
[secrets]
key = \"{key}\"
{previous}
[[hooks]]
name = \"timed\"
events = [\"book.added\"]
target = \"{target}timed\"
secret = \"{SECRET}\"
payload = \"standard\"
"
            );
            source.config(&slot, &rest)
        };
        let previous = format!("previous = [\"{}\"]", KEYS[0]);
        let (first, second) = (config(KEYS[0], ""), config(KEYS[1], &previous));
        let (running, took) = attach(&second)?;
        usual_start.push(took);
        // Opens the connections and warms the caches, which is not to be measured.
        writer::write(&source, COMMITS, 1, Duration::from_secs(1))?;
        receivers.reset()?;
        let commits = writer::write(&source, COMMITS, 1, scale.watch)?;
        receivers.until(commits.0.len() as u64)?;
        usual.push(receivers.latencies()?.max());
        let (took, latency) = meanwhile(&source, &mut receivers, &first, "seal")?;
        sealing.push(took.as_secs_f64());
        latest.push(latency);
        let (took, latency) = meanwhile(&source, &mut receivers, &second, "rotate")?;
        rotating.push(took.as_secs_f64());
        rotated_latest.push(latency);
        let left = "select count(*) from rowhook.hook where secret not like 'rowhook-sealed.%'";
        let left = source.ask(left)?;
        ensure!(left == "0", "{left} hooks are not sealed");
        running.stop()?;
        let (running, took) = attach(&second)?;
        sealed_start.push(took);
        running.stop()?;
        source.drop_slot(&slot)?;
    }
    source.finish()?;
    let hooks = scale.hooks;
    Ok(vec![
        Figure::new(
            format!("sealing the secrets of {hooks} hooks"),
            "s",
            sealing,
        )
        .at_most(60.0),
        Figure::new("latency meanwhile, max", "ms", latest)
            .at_most(100.0)
            .with("without sealing, max", "ms", usual),
        Figure::new(format!("changing the key of {hooks} hooks"), "s", rotating).at_most(60.0),
        Figure::new("latency meanwhile, max", "ms", rotated_latest).at_most(100.0),
        Figure::ratio(
            format!("start with {hooks} sealed hooks, until it is attached"),
            "s",
            ("sealed", &sealed_start),
            ("not sealed yet", &usual_start),
        ),
    ])
}

/// Starts rowhook. Returns how many seconds it took until it was attached.
fn attach(config: &str) -> Result<(Sidecar, f64)> {
    let began = SystemTime::now();
    let (sidecar, attached) = Sidecar::attach(config)?;
    Ok((sidecar, attached.duration_since(began)?.as_secs_f64()))
}

/// Runs `rowhook secrets` with this word, and commits rows until it has ended. Returns how long it took, and the longest
/// latency of an event in milliseconds.
fn meanwhile(
    source: &Source,
    receivers: &mut Receivers,
    config: &str,
    word: &str,
) -> Result<(Duration, f64)> {
    receivers.reset()?;
    let (took, rows) = thread::scope(|scope| {
        let sealing = scope.spawn(|| {
            let began = Instant::now();
            let ended = sidecar::rowhook(config, &["secrets", word])?;
            ended.map_err(|error| anyhow!("rowhook secrets {word}: {error}"))?;
            Ok::<_, anyhow::Error>(began.elapsed())
        });
        let mut rows = 0;
        while !sealing.is_finished() {
            rows += writer::write(source, COMMITS, 1, Duration::from_secs(1))?
                .0
                .len();
        }
        let took = sealing.join().map_err(|_| anyhow!("the thread panicked"))?;
        Ok::<_, anyhow::Error>((took.context("seal")?, rows))
    })?;
    receivers.until(rows as u64)?;
    Ok((took, receivers.latencies()?.max()))
}
