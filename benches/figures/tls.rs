//! The latency from a commit to endpoints that speak TLS, each on a host of its own, beside the same in the clear.

use std::time::Duration;

use anyhow::Result;

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
    writer,
};

/// The endpoints, each with a hook of its own. A port stands for a host: no two share a connection.
const HOSTS: usize = 100;
const COMMITS: f64 = 500.0;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("tls", BOOK, EVENTS)?;
    let mut sealed = Receivers::over_tls(HOSTS)?;
    let mut open = Receivers::open(HOSTS)?;
    let [mut median, mut late, mut median_open, mut late_open] =
        [(); 4].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        let latencies = latencies(&mut source, &mut sealed, scale.watch)?;
        median.push(latencies.median());
        late.push(latencies.part(0.99));
        let latencies = self::latencies(&mut source, &mut open, scale.watch)?;
        median_open.push(latencies.median());
        late_open.push(latencies.part(0.99));
    }
    source.finish()?;
    let name = |what| format!("latency at 500 commits/s to {HOSTS} hosts over TLS 1.3, {what}");
    Ok(vec![
        Figure::new(name("p50"), "ms", median).with("in the clear", "ms", median_open),
        Figure::new(name("p99"), "ms", late)
            .at_most(5.0)
            .with("in the clear", "ms", late_open),
    ])
}

fn latencies(source: &mut Source, receivers: &mut Receivers, watch: Duration) -> Result<Samples> {
    let slot = source.new_slot()?;
    let more = format!("payload = \"standard\"\n{}", receivers.trusted());
    let mut hooks = drain::hooks_by_owner(receivers, HOSTS, &more);
    for number in 0..HOSTS {
        let url = receivers.url(number);
        hooks = hooks.replace(&format!("\"{url}\""), &format!("\"{url}timed\""));
    }
    let (sidecar, _) = Sidecar::attach(&source.config(&slot, &hooks))?;
    // Opens the connections, which is not to be measured.
    receivers.reset()?;
    let warm = writer::write(source, COMMITS, 1, Duration::from_secs(2))?;
    receivers.until(warm.0.len() as u64)?;
    receivers.reset()?;
    let commits = writer::write(source, COMMITS, 1, watch)?;
    receivers.until(commits.0.len() as u64)?;
    let latencies = receivers.latencies()?;
    sidecar.stop()?;
    source.drop_slot(&slot)?;
    Ok(latencies)
}
