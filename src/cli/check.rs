//! `rowhook check`: examines the configuration and the database, and prints the findings.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::{Result, anyhow};
use indexmap::IndexSet;
use serde_json::json;

use super::databases::Said;
use crate::{
    cluster::nats,
    config::Config,
    send::guard::Guard,
    setup::check::{Finding, Level, Topic, check as examine},
    terminal::plain,
};

/// Up to so many findings of one kind are told one by one.
const FEW: usize = 3;
/// So many things are named where there are more.
const NAMED: usize = 5;
/// So many findings of one level about one topic are told, whatever they say.
const MOST: usize = 8;
/// So many characters of a finding are told.
const LONGEST: usize = 500;

/// All findings; a failure if one of them is fatal. Unless `verbose`, they fit on a screen, however many there are.
pub(super) async fn check(config: &Config, verbose: bool) -> Result<Said> {
    let guard = Guard::new(config.delivery.allow_http, &config.delivery.allow_networks);
    let refuses = |url: &url::Url| {
        guard
            .check_url(url)
            .err()
            .map(|refusal| refusal.to_string())
    };
    let mut findings = examine(config, &refuses).await;
    findings.extend(nats(config).await);
    let fatal = findings
        .iter()
        .filter(|finding| finding.level == Level::Fatal);
    let failed = match fatal.count() {
        0 => None,
        1 => Some(anyhow!("one finding is fatal")),
        fatal => Some(anyhow!("{fatal} findings are fatal")),
    };
    Ok(Said {
        text: render(&config.path, &findings, verbose),
        json: findings
            .iter()
            .map(|finding| as_json(config, finding))
            .collect(),
        failed,
    })
}

/// Whether the NATS of a cluster can be used; `None`: there is no cluster.
async fn nats(config: &Config) -> Option<Finding> {
    let cluster = config.cluster.as_ref()?;
    let (level, what) = match nats::examine(cluster).await {
        Ok(()) => (
            Level::Ok,
            format!("NATS at {} can be used", cluster.places()),
        ),
        Err(error) => (Level::Fatal, error.to_string()),
    };
    Some(Finding {
        level,
        topic: Topic::Connection,
        what,
        remedy: None,
        place: None,
        kind: None,
    })
}

/// The findings as text: the worst first, and their sum last.
fn render(file: &Path, findings: &[Finding], verbose: bool) -> String {
    let mut text = String::new();
    let mut is_whole = true;
    for level in [Level::Fatal, Level::Warn, Level::Note, Level::Ok] {
        let of_level: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.level == level)
            .collect();
        if verbose {
            of_level
                .iter()
                .for_each(|finding| single(&mut text, file, finding, None));
            continue;
        }
        let mut told: HashMap<&str, usize> = HashMap::new();
        for group in grouped(&of_level) {
            let topic = topic(group[0].topic);
            let about = names(&group);
            if about.len() > FEW {
                many(&mut text, &group, &about);
                is_whole = false;
                continue;
            }
            for finding in group {
                let told = told.entry(topic).or_default();
                *told += 1;
                if *told <= MOST {
                    single(&mut text, file, finding, Some(LONGEST));
                }
            }
        }
        for (topic, told) in told.into_iter().collect::<BTreeMap<_, _>>() {
            if let Some(more) = told.checked_sub(MOST).filter(|more| *more > 0) {
                line(&mut text, level, topic, &format!("and {more} more"));
                is_whole = false;
            }
        }
    }
    text.push_str(&sum(findings));
    if !is_whole {
        text.push_str("; each by itself: rowhook check --verbose");
    }
    text.push('\n');
    text
}

/// Findings of the same kind together, at the place of the first.
fn grouped<'a>(findings: &[&'a Finding]) -> Vec<Vec<&'a Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for finding in findings {
        let Some(kind) = &finding.kind else {
            groups.push(vec![finding]);
            continue;
        };
        let key = (topic(finding.topic), kind.what);
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

/// What the findings of a group are about, each once, in their order.
fn names<'a>(group: &[&'a Finding]) -> IndexSet<&'a str> {
    let kinds = group.iter().filter_map(|finding| finding.kind.as_ref());
    kinds.map(|kind| kind.about.as_str()).collect()
}

fn single(text: &mut String, file: &Path, finding: &Finding, longest: Option<usize>) {
    let place = finding
        .place
        .map(|place| format!(" ({}:{place})", file.display()));
    let what = shortened(&finding.what, longest);
    let what = format!("{what}{}", place.unwrap_or_default());
    line(text, finding.level, topic(finding.topic), &what);
    if let Some(remedy) = &finding.remedy {
        remedied(text, &shortened(remedy, longest));
    }
}

/// Tells all findings of a group at once.
fn many(text: &mut String, group: &[&Finding], about: &IndexSet<&str>) {
    let Some((first, kind)) = group
        .first()
        .and_then(|first| Some((first, first.kind.as_ref()?)))
    else {
        return;
    };
    let shown: Vec<&str> = about.iter().copied().take(NAMED).collect();
    let more = match about.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!("{} {}: {}{more}", about.len(), kind.what, shown.join(", "));
    line(
        text,
        first.level,
        topic(first.topic),
        &shortened(&what, Some(LONGEST)),
    );
    if let Some(remedy) = kind.remedy.or(first.remedy.as_deref()) {
        remedied(text, &shortened(remedy, Some(LONGEST)));
    }
}

fn line(text: &mut String, of: Level, topic: &str, what: &str) {
    text.push_str(&format!("{:<5} {topic}: {}\n", level(of), plain(what)));
}

fn remedied(text: &mut String, remedy: &str) {
    text.push_str(&format!("      → {}\n", plain(remedy)));
}

/// The beginning of a text that is too long.
fn shortened(text: &str, longest: Option<usize>) -> Cow<'_, str> {
    let end = longest.and_then(|longest| text.char_indices().nth(longest));
    match end {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// How many findings there are of each level.
fn sum(findings: &[Finding]) -> String {
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let named = |count, one, many| format!("{count} {}", if count == 1 { one } else { many });
    [
        format!("{} fatal", count(Level::Fatal)),
        named(count(Level::Warn), "warning", "warnings"),
        named(count(Level::Note), "note", "notes"),
        format!("{} ok", count(Level::Ok)),
    ]
    .join(", ")
}

/// A finding for programs. Its keys are an interface, so they stay as they are.
fn as_json(config: &Config, finding: &Finding) -> serde_json::Value {
    json!({
        "level": level(finding.level),
        "topic": topic(finding.topic),
        "what": finding.what,
        "mend": finding.remedy,
        "place": finding.place.map(|place| format!("{}:{place}", config.path.display())),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Note => "note",
        Level::Warn => "warn",
        Level::Fatal => "fatal",
    }
}

fn topic(topic: Topic) -> &'static str {
    match topic {
        Topic::Connection => "connection",
        Topic::Server => "server",
        Topic::Privileges => "privileges",
        Topic::Slot => "slot",
        Topic::Setup => "setup",
        Topic::Tables => "tables",
        Topic::Events => "events",
        Topic::Owners => "owners",
        Topic::Hooks => "hooks",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Location, setup::check::Kind};

    fn finding(level: Level, what: impl Into<String>) -> Finding {
        Finding {
            level,
            topic: Topic::Tables,
            what: what.into(),
            remedy: Some("mend it".into()),
            place: Some(Location { line: 3, column: 1 }),
            kind: None,
        }
    }

    fn of_kind(level: Level, about: &str) -> Finding {
        Finding {
            kind: Some(Kind {
                what: "tables are odd",
                remedy: Some("mend them"),
                about: about.into(),
            }),
            ..finding(level, format!("{about} is odd"))
        }
    }

    #[test]
    fn the_worst_comes_first_and_the_sum_last() {
        let findings = [
            finding(Level::Ok, "all is well"),
            of_kind(Level::Warn, "book"),
            finding(Level::Fatal, "there is no table"),
            of_kind(Level::Warn, "shelf"),
        ];
        insta::assert_snapshot!(render(Path::new("h.toml"), &findings, false), @r"
        fatal tables: there is no table (h.toml:3:1)
              → mend it
        warn  tables: book is odd (h.toml:3:1)
              → mend it
        warn  tables: shelf is odd (h.toml:3:1)
              → mend it
        ok    tables: all is well (h.toml:3:1)
              → mend it
        1 fatal, 2 warnings, 0 notes, 1 ok
        ");
    }

    #[test]
    fn what_is_said_of_many_is_said_once_and_verbose_says_each() {
        let mut findings: Vec<Finding> = (1..=1000)
            // Twice about each, as where two events of a table have the same fault.
            .map(|at| of_kind(Level::Warn, &format!("t{}", at / 2)))
            .collect();
        findings.push(of_kind(Level::Note, "other"));
        insta::assert_snapshot!(render(Path::new("h.toml"), &findings, false), @r"
        warn  tables: 501 tables are odd: t0, t1, t2, t3, t4 and 496 more
              → mend them
        note  tables: other is odd (h.toml:3:1)
              → mend it
        0 fatal, 1000 warnings, 1 note, 0 ok; each by itself: rowhook check --verbose
        ");
        let all = render(Path::new("h.toml"), &findings, true);
        assert_eq!(all.lines().count(), 2 * 1001 + 1);
    }

    #[test]
    fn a_screen_is_enough_whatever_is_found() {
        let long = "x".repeat(100_000);
        let levels = [Level::Fatal, Level::Warn, Level::Note, Level::Ok];
        let findings: Vec<Finding> = (0..4000)
            .map(|at| finding(levels[at % 4], format!("{at} {long}")))
            .collect();
        let text = render(Path::new("h.toml"), &findings, false);
        assert!(text.contains("fatal tables: and 992 more\n"), "{text}");
        assert!(text.lines().count() <= 4 * (2 * MOST + 1) + 1, "{text}");
        assert!(text.lines().all(|line| line.chars().count() < LONGEST + 50));
    }
}
