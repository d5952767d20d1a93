//! Compares what two senders send: bodies are paired byte for byte, then by what they are about, within a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// How many findings are told one by one. All are counted.
const TOLD: usize = 100;
/// How many requests of a sender wait for their like. With more, the oldest are judged before their time.
const WAITING: usize = 100_000;
/// The longest value that a finding shows, in characters.
const SHOWN: usize = 80;

/// Who has made a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The application.
    Theirs,
    /// rowhook.
    Ours,
}

/// A request of one of them.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) at: Instant,
    /// The whole URL, where it is known.
    pub(super) target: Option<String>,
    pub(super) body: Bytes,
}

/// What a body is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    hook: String,
    event: String,
    row: String,
}

/// The result, so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) compared: u64,
    pub(super) equal: u64,
    pub(super) different: u64,
    /// The application sent it, and rowhook would not.
    pub(super) missing: u64,
    /// rowhook would send it, and the application did not.
    pub(super) extra: u64,
    /// What the application sent before the comparison began.
    pub(super) before: u64,
    /// The first of what is not equal.
    pub(super) findings: Vec<Finding>,
}

/// Something that is not equal.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    pub(super) hook: String,
    pub(super) event: String,
    pub(super) row: String,
    pub(super) what: String,
}

/// The comparison.
#[derive(Debug)]
pub(super) struct Comparison {
    window: Duration,
    /// When rowhook began to hear.
    begun: Option<Instant>,
    theirs: Waiting,
    ours: Waiting,
    report: Report,
}

/// The requests of one sender that have not met their like yet, in the order of arrival.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    all: BTreeMap<u64, Heard>,
    // Many can be alike, such as those of an event without a row, so each is found and forgotten without a look at all.
    by_body: HashMap<Bytes, BTreeSet<u64>>,
    by_subject: HashMap<Subject, BTreeSet<u64>>,
}

impl Comparison {
    /// Requests that have waited for their like for as long as `window` are judged without it.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            begun: None,
            theirs: Waiting::default(),
            ours: Waiting::default(),
            report: Report::default(),
        }
    }

    /// From now on rowhook hears what the application does.
    pub(super) fn begin(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }

    /// Does a request still wait for its like?
    pub(super) fn is_waiting(&self) -> bool {
        !self.theirs.all.is_empty() || !self.ours.all.is_empty()
    }

    /// Takes a request.
    pub(super) fn hear(&mut self, sender: Sender, heard: Heard) {
        let other = match sender {
            Sender::Theirs => &mut self.ours,
            Sender::Ours => &mut self.theirs,
        };
        if other.take_equal(&heard) {
            self.report.equal += 1;
            self.report.compared += 1;
            return;
        }
        let own = match sender {
            Sender::Theirs => &mut self.theirs,
            Sender::Ours => &mut self.ours,
        };
        own.add(heard);
        while self.theirs.all.len() > WAITING || self.ours.all.len() > WAITING {
            self.judge_oldest();
        }
    }

    /// Judges what has waited for too long.
    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some((_, heard)) = self.oldest()
            && now.saturating_duration_since(heard.at) >= self.window
        {
            self.judge_oldest();
        }
    }

    /// Judges all that waits.
    pub(super) fn finish(&mut self) {
        while self.is_waiting() {
            self.judge_oldest();
        }
    }

    /// The request that has waited for longest.
    fn oldest(&self) -> Option<(Sender, &Heard)> {
        let theirs = self.theirs.all.values().next();
        let ours = self.ours.all.values().next();
        match (theirs, ours) {
            (Some(theirs), Some(ours)) if ours.at < theirs.at => Some((Sender::Ours, ours)),
            (Some(theirs), _) => Some((Sender::Theirs, theirs)),
            (None, ours) => ours.map(|ours| (Sender::Ours, ours)),
        }
    }

    fn judge_oldest(&mut self) {
        let Some((sender, _)) = self.oldest() else {
            return;
        };
        let (own, other) = match sender {
            Sender::Theirs => (&mut self.theirs, &mut self.ours),
            Sender::Ours => (&mut self.ours, &mut self.theirs),
        };
        let Some(heard) = own.take_oldest() else {
            return;
        };
        let subject = subject(&heard.body);
        let like = subject.as_ref().and_then(|about| other.take_about(about));
        let is_before = self.begun.is_none_or(|begun| heard.at < begun);
        let report = &mut self.report;
        let (kind, what) = match (sender, like) {
            (Sender::Theirs, None) if is_before => {
                report.before += 1;
                return;
            }
            (Sender::Theirs, None) => {
                report.missing += 1;
                let what = "the application sent it and rowhook would not; was its transaction rolled back?";
                ("missing", what.to_owned())
            }
            (Sender::Ours, None) => {
                report.extra += 1;
                let what = "rowhook would send it and the application did not";
                ("extra", what.to_owned())
            }
            (Sender::Theirs, Some(ours)) => {
                report.different += 1;
                ("different", difference(&heard, &ours))
            }
            (Sender::Ours, Some(theirs)) => {
                report.different += 1;
                ("different", difference(&theirs, &heard))
            }
        };
        report.compared += 1;
        if report.findings.len() < TOLD {
            let about = subject.unwrap_or_else(|| Subject {
                hook: String::new(),
                event: String::new(),
                row: short(&String::from_utf8_lossy(&heard.body)),
            });
            report.findings.push(Finding {
                kind,
                hook: about.hook,
                event: about.event,
                row: about.row,
                what,
            });
        }
    }
}

impl Waiting {
    fn add(&mut self, heard: Heard) {
        let number = self.next;
        self.next += 1;
        let same = self.by_body.entry(heard.body.clone()).or_default();
        same.insert(number);
        if let Some(about) = subject(&heard.body) {
            self.by_subject.entry(about).or_default().insert(number);
        }
        self.all.insert(number, heard);
    }

    /// Takes the request that is equal to another one, if there is one.
    fn take_equal(&mut self, other: &Heard) -> bool {
        let fits = |number: &u64| {
            let target = self.all.get(number).and_then(|heard| heard.target.as_ref());
            target.is_none() || other.target.is_none() || target == other.target.as_ref()
        };
        let equal = self.by_body.get(&other.body);
        let number = equal.and_then(|numbers| numbers.iter().copied().find(fits));
        number.and_then(|number| self.take(number)).is_some()
    }

    /// Takes the oldest request about this.
    fn take_about(&mut self, about: &Subject) -> Option<Heard> {
        let number = *self.by_subject.get(about)?.first()?;
        self.take(number)
    }

    fn take_oldest(&mut self) -> Option<Heard> {
        let number = *self.all.keys().next()?;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Heard> {
        let heard = self.all.remove(&number)?;
        forget(&mut self.by_body, &heard.body, number);
        if let Some(about) = subject(&heard.body) {
            forget(&mut self.by_subject, &about, number);
        }
        Some(heard)
    }
}

fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<u64>>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}

/// What a body is about: the hook and the event that it names, and the key of its row.
fn subject(body: &[u8]) -> Option<Subject> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let event = [&body["hook"]["event"], &body["type"], &body["event"]];
    let row = [&body["data"]["pk"], &body["data"]["id"], &body["id"]];
    Some(Subject {
        hook: text(&body["hook"]["id"]).unwrap_or_default(),
        event: event.into_iter().find_map(text)?,
        row: row.into_iter().find_map(text).unwrap_or_default(),
    })
}

/// In which place two requests differ first.
fn difference(theirs: &Heard, ours: &Heard) -> String {
    if theirs.body == ours.body {
        let shown = |heard: &Heard| heard.target.clone().unwrap_or_default();
        return format!(
            "the target: the application's {}, rowhook's {}",
            short(&shown(theirs)),
            short(&shown(ours))
        );
    }
    let parse = |heard: &Heard| serde_json::from_slice::<Value>(&heard.body);
    let (Ok(left), Ok(right)) = (parse(theirs), parse(ours)) else {
        return "one of the two is not JSON".to_owned();
    };
    if let Some((place, left, right)) = first_difference(&left, &right, "") {
        let shown = |value: Option<&Value>| match value {
            Some(value) => short(&value.to_string()),
            None => "nothing".to_owned(),
        };
        return format!(
            "{place}: the application's {}, rowhook's {}",
            shown(left),
            shown(right)
        );
    }
    let pairs = theirs.body.iter().zip(&ours.body);
    let at = pairs.take_while(|(left, right)| left == right).count();
    let part = |body: &Bytes| {
        let rest = body.get(at.saturating_sub(10)..).unwrap_or_default();
        short(&String::from_utf8_lossy(rest))
    };
    format!(
        "the same values, written otherwise from byte {at} on: the application's {}, rowhook's {}",
        part(&theirs.body),
        part(&ours.body)
    )
}

fn first_difference<'a>(
    left: &'a Value,
    right: &'a Value,
    place: &str,
) -> Option<(String, Option<&'a Value>, Option<&'a Value>)> {
    let (Value::Object(one), Value::Object(other)) = (left, right) else {
        return (left != right).then(|| (place.to_owned(), Some(left), Some(right)));
    };
    let inner = |key: &str| match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    for (key, left) in one {
        match other.get(key) {
            None => return Some((inner(key), Some(left), None)),
            Some(right) => {
                let found = first_difference(left, right, &inner(key));
                if found.is_some() {
                    return found;
                }
            }
        }
    }
    let more = other.iter().find(|(key, _)| !one.contains_key(*key));
    more.map(|(key, right)| (inner(key), None, Some(right)))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn heard(at: Instant, body: &str) -> Heard {
        Heard {
            at,
            target: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn body(row: u32, title: &str) -> String {
        format!(
            r#"{{"hook": {{"id": 3, "event": "book.added"}}, "data": {{"pk": {row}, "fields": {{"title": "{title}"}}}}}}"#
        )
    }

    #[test]
    fn equal_bodies_meet_in_any_order_each_once() {
        let now = Instant::now();
        let mut comparison = Comparison::new(WINDOW);
        comparison.begin(now);
        let (one, two) = (body(1, "Dune"), body(2, "Emma"));
        for (sender, body) in [
            (Sender::Theirs, &one),
            (Sender::Ours, &two),
            (Sender::Ours, &one),
            (Sender::Theirs, &two),
            (Sender::Theirs, &one),
        ] {
            comparison.hear(sender, heard(now, body));
        }
        assert_eq!(comparison.report().equal, 2);
        assert!(comparison.is_waiting());
        comparison.sweep(now + WINDOW);
        let report = comparison.report();
        assert_eq!((report.compared, report.missing), (3, 1));
        assert_eq!(report.findings[0].row, "1");
        assert!(!comparison.is_waiting());
        assert!(comparison.theirs.by_body.is_empty() && comparison.theirs.by_subject.is_empty());
    }

    #[test]
    fn what_differs_is_told_by_its_place_and_what_is_alone_by_who_sent_it() {
        let now = Instant::now();
        for (theirs, ours, kind, what) in [
            (
                Some(body(1, "Dune")),
                Some(body(1, "Emma")),
                "different",
                r#"data.fields.title: the application's "Dune", rowhook's "Emma""#,
            ),
            (
                Some(body(1, "Dune")),
                Some(body(1, "Dune").replace(": ", ":")),
                "different",
                "the same values, written otherwise from byte 8 on",
            ),
            (Some(body(1, "Dune")), None, "missing", "rolled back"),
            (
                None,
                Some(body(1, "Dune")),
                "extra",
                "rowhook would send it",
            ),
            (Some("x".to_owned()), None, "missing", "rolled back"),
        ] {
            let mut comparison = Comparison::new(WINDOW);
            comparison.begin(now);
            for (sender, body) in [(Sender::Theirs, theirs), (Sender::Ours, ours)] {
                if let Some(body) = body {
                    comparison.hear(sender, heard(now, &body));
                }
            }
            comparison.finish();
            let finding = &comparison.report().findings[0];
            assert_eq!((finding.kind, comparison.report().compared), (kind, 1));
            assert!(finding.what.contains(what), "{}", finding.what);
        }
    }

    #[test]
    fn what_came_before_the_beginning_is_not_missing() {
        let now = Instant::now();
        let mut comparison = Comparison::new(WINDOW);
        comparison.hear(Sender::Theirs, heard(now, &body(1, "Dune")));
        comparison.begin(now + Duration::from_millis(1));
        comparison.finish();
        let report = comparison.report();
        assert_eq!((report.compared, report.before), (0, 1));
    }

    #[test]
    fn requests_to_known_targets_meet_those_to_the_same() {
        let now = Instant::now();
        let mut comparison = Comparison::new(WINDOW);
        comparison.begin(now);
        for (sender, target) in [
            (Sender::Theirs, "http://a/"),
            (Sender::Ours, "http://b/"),
            (Sender::Ours, "http://a/"),
        ] {
            let target = Some(target.to_owned());
            comparison.hear(
                sender,
                Heard {
                    target,
                    ..heard(now, &body(1, "Dune"))
                },
            );
        }
        assert_eq!(comparison.report().equal, 1);
        assert_eq!(comparison.ours.all.len(), 1);
    }
}
