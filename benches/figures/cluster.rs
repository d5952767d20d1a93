//! A cluster beside a single process: what an event costs in the reader, the senders and NATS, and how the rate grows
//! with the number of senders.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use harness::Nats;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    Scale,
    drain::{drain, hooks_by_owner},
    figure::{Figure, Samples},
    process,
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, Backlog, EVENTS, Source},
    writer,
};

/// Hooks with an owner each: several for each partition, so that shares are even.
const HOOKS: usize = 256;
/// Where control groups are.
const CONTROL: &str = "/sys/fs/cgroup";
/// How long endpoints take to answer where the rate is measured.
const ANSWER: Duration = Duration::from_millis(20);
/// What a sender has of a processor where the rate is measured: this much of each period. That stands for a machine of
/// its own, which makes senders comparable on any machine. It is so little that everything else has enough.
const QUOTA: Duration = Duration::from_millis(1);
const PERIOD: Duration = Duration::from_millis(20);
/// How often is looked whether something has come about.
const GLANCE: Duration = Duration::from_millis(10);

/// Commits a second while somebody is killed, and how long they are made.
const COMMITS: f64 = 50.0;
const WATCH: Duration = Duration::from_secs(12);

/// What a drain through a cluster took.
struct Drained {
    rate: f64,
    reader: f64,
    senders: f64,
    nats: f64,
}

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("cluster", BOOK, EVENTS)?;
    let backlog = source.write(scale.events, 1, HOOKS as u64)?;
    let nats = source.block_on(Nats::start());
    let mut figures = costs(scale, &mut source, &backlog, &nats)?;
    figures.push(growth(scale, &mut source, &backlog, &nats)?);
    for (who, killed) in [("reader", 0), ("sender", 2)] {
        let took = takeovers(scale, &mut source, &nats, killed)?;
        let name = format!("longest wait of an event when the {who} of a cluster is killed");
        figures.push(Figure::new(name, "s", took).at_most(5.0));
    }
    source.finish()?;
    Ok(figures)
}

/// What an event costs, beside the single process.
fn costs(
    scale: &Scale,
    source: &mut Source,
    backlog: &Backlog,
    nats: &Nats,
) -> Result<Vec<Figure>> {
    let mut receivers = Receivers::open(HOOKS)?;
    let [
        mut alone,
        mut together,
        mut reader,
        mut senders,
        mut servers,
        mut handed,
    ] = [(); 6].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        let hooks = hooks_by_owner(&receivers, HOOKS, "");
        alone.push(drain(source, backlog, &mut receivers, &hooks)?.cpu);
        let drained = through(source, backlog, &mut receivers, nats, 1, false)?;
        together.push(drained.reader + drained.senders + drained.nats);
        reader.push(drained.reader);
        senders.push(drained.senders);
        servers.push(drained.nats);
        handed.push(1e6 / drained.reader);
    }
    let ratio = Figure::ratio(
        "processor time of an event in a cluster, beside a single process",
        "µs",
        ("reader, sender and NATS", &together),
        ("single process", &alone),
    );
    Ok(vec![
        ratio
            .with("reader", "µs", reader)
            .with("sender", "µs", senders)
            .with("NATS", "µs", servers),
        Figure::new(
            "events that one processor of the reader can hand out",
            "events/s",
            handed,
        ),
    ])
}

/// How the rate grows with the number of senders, each of which has the same share of the processors.
fn growth(scale: &Scale, source: &mut Source, backlog: &Backlog, nats: &Nats) -> Result<Figure> {
    let mut receivers = Receivers::slow(HOOKS, ANSWER)?;
    let [mut one, mut two, mut four] = [(); 3].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        for (senders, samples) in [(1, &mut one), (2, &mut two), (4, &mut four)] {
            let drained = through(source, backlog, &mut receivers, nats, senders, true)?;
            samples.push(drained.rate);
        }
    }
    let figure = Figure::ratio(
        "rate with 4 senders beside 1, endpoints that answer after 20 ms",
        "events/s",
        ("4 senders", &four),
        ("1 sender", &one),
    );
    Ok(figure.at_least(3.6).with("2 senders", "events/s", two))
}

/// The longest time from a commit to its arrival while one of two that read and send, and of two that only send, is
/// killed, with the usual lease.
fn takeovers(scale: &Scale, source: &mut Source, nats: &Nats, killed: usize) -> Result<Samples> {
    let mut receivers = Receivers::open(HOOKS)?;
    let hooks = hooks_by_owner(&receivers, HOOKS, "payload = \"standard\"");
    let hooks = receivers.addresses.iter().fold(hooks, |hooks, address| {
        hooks.replace(&format!("{address}/"), &format!("{address}/timed"))
    });
    let mut longest = Samples::default();
    for _ in 0..scale.rounds {
        let slot = source.new_slot()?;
        receivers.reset()?;
        let cluster = nats.section(&format!("name = \"{slot}\""));
        let config = source.config(&slot, &format!("{hooks}{cluster}"));
        let mut all = vec![Sidecar::attach(&config)?.0];
        for args in [
            &["run"][..],
            &["run", "--only", "send"],
            &["run", "--only", "send"],
        ] {
            let mut sidecar = Sidecar::start_with(&config, args)?;
            sidecar.until("sends for the cluster")?;
            all.push(sidecar);
        }
        until_spread(source, &slot, all.len())?;
        let pid = Pid::from_raw(all[killed].pid().try_into()?);
        let killing = thread::spawn(move || {
            thread::sleep(WATCH / 4);
            kill(pid, Signal::SIGKILL)
        });
        let commits = writer::write(source, COMMITS, 1, WATCH)?;
        let ended = killing.join();
        ended.map_err(|_| anyhow!("nobody was killed"))??;
        receivers.until(commits.0.len() as u64)?;
        longest.push(receivers.latencies()?.max() / 1000.0);
        all.remove(killed).kill()?;
        for sidecar in all {
            sidecar.stop_despite_warnings()?;
        }
        source.drop_slot(&slot)?;
    }
    Ok(longest)
}

/// Waits until all partitions are with so many senders.
fn until_spread(source: &Source, slot: &str, senders: usize) -> Result<()> {
    let spread = format!(
        "select count(*) = 64 and count(distinct sender) = {senders} from rowhook.partition \
         where slot = '{slot}' and sender is not null"
    );
    while source.ask(&spread)? != "t" {
        thread::sleep(GLANCE);
    }
    Ok(())
}

/// Drains the backlog through a reader and so many senders.
fn through(
    source: &mut Source,
    backlog: &Backlog,
    receivers: &mut Receivers,
    nats: &Nats,
    senders: usize,
    has_quota: bool,
) -> Result<Drained> {
    let slot = source.copy_slot()?;
    receivers.reset()?;
    // Enough requests at once that endpoints are not what limits the rate.
    let hooks = hooks_by_owner(receivers, HOOKS, "");
    let hooks = hooks.replace("concurrency = 1\n", "concurrency = 16\n");
    let cluster = nats.section(&format!("name = \"{slot}\"\nlease = \"10s\""));
    let config = source.config(&slot, &format!("{hooks}{cluster}"));
    let mut all = Vec::new();
    for _ in 0..senders {
        let mut sender = Sidecar::start_with(&config, &["run", "--only", "send"])?;
        sender.until("sends for the cluster")?;
        all.push(sender);
    }
    until_spread(source, &slot, senders)?;
    let mut reader = Sidecar::start_with(&config, &["run", "--only", "read"])?;
    let attached = reader.until("attached slot=")?;
    let limited = if has_quota { &all[..] } else { &[] };
    let quotas = limited.iter().map(|sender| Quota::of(sender.pid()));
    let quotas = quotas.collect::<Result<Vec<Quota>>>()?;
    let cpu =
        |sidecars: &[Sidecar]| -> Result<Duration> { sidecars.iter().map(Sidecar::cpu).sum() };
    let (reader_before, senders_before) = (reader.cpu()?, cpu(&all)?);
    let nats_before = process::cpu(nats.pid(0))?;
    let done = receivers.until(backlog.rows)?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / backlog.rows as f64;
    let drained = Drained {
        rate: backlog.rows as f64 / done.duration_since(attached)?.as_secs_f64(),
        reader: each(reader.cpu()? - reader_before),
        senders: each(cpu(&all)? - senders_before),
        nats: each(process::cpu(nats.pid(0))? - nats_before),
    };
    drop(quotas);
    reader.stop_despite_warnings()?;
    for sender in all {
        sender.stop_despite_warnings()?;
    }
    let came = receivers.count()?;
    ensure!(came >= backlog.rows, "{came} requests came");
    source.drop_slot(&slot)?;
    Ok(drained)
}

/// A control group that gives a process a part of a processor, until this is dropped. Making one takes root.
struct Quota(PathBuf);

impl Quota {
    fn of(pid: u32) -> Result<Self> {
        let (quota, period) = (QUOTA.as_micros(), PERIOD.as_micros());
        let (first, second) = (Path::new(CONTROL), Path::new(CONTROL).join("cpu"));
        let is_first = second.is_dir();
        let folder = if is_first { &*second } else { first };
        let group = Self(folder.join(format!("rowhook-bench-{pid}")));
        let made = || -> io::Result<()> {
            fs::create_dir(&group.0)?;
            if is_first {
                fs::write(group.0.join("cpu.cfs_period_us"), period.to_string())?;
                fs::write(group.0.join("cpu.cfs_quota_us"), quota.to_string())?;
            } else {
                fs::write(group.0.join("cpu.max"), format!("{quota} {period}"))?;
            }
            fs::write(group.0.join("cgroup.procs"), pid.to_string())
        };
        made()
            .with_context(|| format!("give {pid} a part of a processor in {folder:?}, as root"))?;
        Ok(group)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // What runs in it goes back to where it was. Nothing else uses the group, so one that stays harms nobody.
        if let Ok(pids) = fs::read_to_string(self.0.join("cgroup.procs")) {
            for pid in pids.lines() {
                let _ = self
                    .0
                    .parent()
                    .map(|above| fs::write(above.join("cgroup.procs"), pid));
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}
