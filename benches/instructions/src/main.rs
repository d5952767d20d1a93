//! Counts the instructions that the pure path of an event takes, by callgrind: decoding the row, finding its hooks,
//! rendering the body, and making the headers with the id and the signature.
//!
//! Unlike a time, the count is nearly the same on each run and each machine, so a check can hold it. It is compared with
//! that of figures.toml and may be a twentieth more. `--bless` writes the file anew.

mod fixture;

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::HeaderMap;
use rowhook::{
    delivery::id::message_id,
    event::Event,
    hook::{
        Hook,
        index::{Audience, Index},
    },
    payload::{Renderer, content_type},
    postgres::{
        equality::Equality,
        pgoutput::{self, Message},
        relation::Relation,
        tuple::Tuple,
    },
    send::Request,
};

use self::fixture::{EVENT, hook};

/// The instructions of each part, by its name.
type Counts = BTreeMap<String, u64>;

/// A part is run so many times, and then twice as many times: what is counted beyond the first is no start-up.
const TURNS: u64 = 2000;
/// How many percent more than figures.toml a part may take.
const TOLERANCE: u64 = 5;
/// The hooks among which those of an event are found. Each owner has ten.
const HOOKS: usize = 10_000;

/// A part of the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Decode,
    Match,
    Render,
    Sign,
    /// All of it.
    Event,
}

const PARTS: [(&str, Part); 5] = [
    ("decode", Part::Decode),
    ("match", Part::Match),
    ("render", Part::Render),
    ("sign", Part::Sign),
    ("event", Part::Event),
];

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => check(&count()?),
        ["--bless"] => {
            fs::write(figures(), listed(&count()?))?;
            Ok(ExitCode::SUCCESS)
        }
        ["run", part, turns] => {
            let part = PARTS.iter().find(|(name, _)| *name == part);
            let (_, part) = part.context("there is no such part")?;
            run(*part, turns.parse()?);
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("there is no argument but --bless"),
    }
}

/// The file of the counts that parts are held to.
fn figures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("figures.toml")
}

/// Counts as the file has them.
fn listed(counts: &Counts) -> String {
    let head =
        "# Instructions for each event, by callgrind. Made by `make instructions BLESS=1`.\n";
    counts.iter().fold(head.to_owned(), |text, (part, count)| {
        format!("{text}{part} = {count}\n")
    })
}

/// Compares counts with the file. Fails where a part takes more than it may.
fn check(counts: &Counts) -> Result<ExitCode> {
    let held: Counts = toml::from_str(&fs::read_to_string(figures())?)?;
    let mut ended = ExitCode::SUCCESS;
    for (part, count) in counts {
        let known = held
            .get(part)
            .with_context(|| format!("figures.toml has no {part}"))?;
        println!("{part:8}{count:>8} instructions, {known} in figures.toml");
        if count * 100 > known * (100 + TOLERANCE) {
            eprintln!(
                "{part} takes more than {TOLERANCE} % more instructions than before. Find out why; if it has to be, \
                 make instructions BLESS=1"
            );
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
}

/// The instructions of each part, for one event.
fn count() -> Result<Counts> {
    PARTS
        .iter()
        .map(|(name, _)| {
            let beyond = instructions(name, 2 * TURNS)? - instructions(name, TURNS)?;
            Ok(((*name).to_owned(), beyond / TURNS))
        })
        .collect()
}

/// The instructions of a process that runs a part so many times.
fn instructions(part: &str, turns: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(env::current_exe()?);
    let run = valgrind.args(["run", part, &turns.to_string()]).output();
    let run = run.context("start valgrind; scripts/apt-install valgrind installs it")?;
    let said = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "valgrind failed: {said}");
    let collected = said
        .split_once("Collected : ")
        .context("valgrind counted nothing")?;
    let count = collected.1.split_whitespace().next().unwrap_or_default();
    count
        .parse()
        .with_context(|| format!("valgrind counted {count:?}"))
}

/// Runs a part so many times.
fn run(part: Part, turns: u64) {
    let sample = Sample::new();
    let event = sample.event(fixture::tuple());
    let body = sample.render(&event);
    for _ in 0..turns {
        match part {
            Part::Decode => drop(black_box(sample.decode())),
            Part::Match => drop(black_box(sample.find(&event))),
            Part::Render => drop(black_box(sample.render(&event))),
            Part::Sign => drop(black_box(sample.sign(&event, &body))),
            Part::Event => {
                let Some(new) = sample.decode() else { continue };
                let event = sample.event(new);
                let found = sample.find(&event);
                let body = sample.render(&event);
                black_box((found, sample.sign(&event, &body)));
            }
        }
    }
}

/// A message, and what its event meets.
struct Sample {
    message: Bytes,
    relation: Arc<Relation>,
    index: Index,
    hook: Hook,
}

impl Sample {
    fn new() -> Self {
        let mut index = Index::new([EVENT.into()]);
        for number in 0..HOOKS {
            let owner = (number / 10).to_string();
            index.put(Arc::new(hook(&number.to_string(), Some(&owner))));
        }
        Self {
            message: fixture::insert(),
            relation: Arc::new(fixture::book()),
            index,
            hook: hook("1", Some("42")),
        }
    }

    fn decode(&self) -> Option<Tuple> {
        match pgoutput::decode(black_box(self.message.clone())) {
            Ok(Message::Insert { new, .. }) => Some(new),
            _ => None,
        }
    }

    fn event(&self, new: Tuple) -> Event {
        fixture::event(fixture::change(&self.relation, new))
    }

    /// How many hooks hear it.
    fn find(&self, event: &Event) -> usize {
        let audience = Audience::Owner(event.owner.as_deref(), Equality::Integer);
        let found = self
            .index
            .matches(&event.name, audience, SystemTime::UNIX_EPOCH);
        found.count()
    }

    fn render(&self, event: &Event) -> Bytes {
        Renderer::new(event).render(&self.hook)
    }

    fn sign(&self, event: &Event, body: &Bytes) -> HeaderMap {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let id = message_id(
            "7000000000000000000",
            event.position,
            event.commit_time,
            "1",
        );
        let request = Request {
            target: &self.hook.target,
            id: &id,
            batch: None,
            body: body.clone(),
            content_type: content_type(&self.hook.delivery),
            compress: self.hook.delivery.compress,
            at,
            timeout: self.hook.delivery.timeout,
            span: None,
        };
        request.headers()
    }
}
