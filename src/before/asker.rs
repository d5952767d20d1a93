//! Asks the hooks of the operator about an event: one request to each hook, all at the same time, and none again.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::verdict::{Reply, Verdict, Why};
use crate::{
    change::Change,
    config::{BeforeRule, Config, EventSource, Pattern, Silence},
    delivery::{
        about,
        attempt::Attempt,
        lane::Place,
        load::{array, is_json},
        whose::Whose,
    },
    event::{Event, EventMap, Position, Subject, TableEvents},
    history::History,
    hook::{self, Hook},
    journal::{Entry, Journal},
    message::{Doubt, Message},
    meters::{Going, Meters},
    payload::{Renderer, content_type, facts::facts},
    postgres::{Lsn, TableName, equality::Equality},
    send::{Request, Sender, answer::Answer},
};

/// How many questions are open at once. More than these meet silence, so that they do not wait for each other.
const OPEN: i64 = 512;

/// Asks, for one database.
#[derive(Debug)]
pub struct Asker {
    rules: HashMap<Arc<str>, Rule>,
    events: EventMap,
    sender: Sender,
    history: Option<Arc<History>>,
    journal: Journal,
    meters: Arc<Meters>,
    open: AtomicI64,
}

/// An event, and who is asked about it.
#[derive(Debug)]
struct Rule {
    before: BeforeRule,
    hooks: Vec<Arc<Hook>>,
}

/// What is asked of one hook.
struct Load {
    hook: Arc<Hook>,
    event: Event,
    about: Arc<[i64]>,
    silence: Silence,
    timeout: std::time::Duration,
    body: Result<(Bytes, String), String>,
}

impl Asker {
    /// An asker of what `config` has of it. Its attempts are on record in `history`, if there is one.
    pub fn new(
        config: &Config,
        sender: Sender,
        history: Option<Arc<History>>,
        journal: Journal,
        meters: Arc<Meters>,
    ) -> Self {
        let hooks: Vec<Arc<Hook>> = config
            .hooks
            .iter()
            .filter(|hook| hook.owner.is_none())
            .map(|hook| Arc::new(hook::from_file(hook)))
            .collect();
        let rules = config.before.iter().map(|before| {
            let name: Arc<str> = before.rule.name.as_str().into();
            // A pattern is not enough: whoever wants to hear everything does not want everything to wait for them.
            let named = Pattern::Exact(before.rule.name.clone());
            let hears = |hook: &&Arc<Hook>| hook.events.contains(&named);
            let hooks = hooks.iter().filter(hears).map(Arc::clone).collect();
            let before = before.clone();
            (name, Rule { before, hooks })
        });
        Self {
            rules: rules.collect(),
            events: EventMap::new(&config.of_before()),
            sender,
            history,
            journal,
            meters,
            open: AtomicI64::new(0),
        }
    }

    /// The events of the rows of this table.
    pub(super) fn of_table(&self, table: &TableName) -> Option<&Arc<TableEvents>> {
        self.events.of_table(table)
    }

    /// The events that a change of a row is, with what `changed` and `when` say.
    ///
    /// # Errors
    /// What silence means, and why, where a `when` cannot be evaluated.
    pub(super) fn events_of(&self, change: &Arc<Change>) -> Result<Vec<Event>, Verdict> {
        let table = change.relation.table();
        let Some(events) = self.events.of_table(&table) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let rules = events.rules(&change.row).iter();
        for rule in rules.filter(|rule| rule.touches(change)) {
            let event = events.event(rule, change, Vec::new(), None, 0);
            let told = rule.when.as_deref().map_or(Ok(true), |when| {
                let facts = facts(&event, std::iter::once(when))?;
                when.accepts(&facts).map_err(|error| error.to_string())
            });
            match told {
                Ok(true) => found.push(event),
                Ok(false) => {}
                Err(reason) => {
                    let reason = format!("when cannot be evaluated: {reason}");
                    if let refused @ Verdict::Silent(_) = self.silence(&rule.name, "", reason) {
                        return Err(refused);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The event that `rowhook.ask` names; `None`: there is no such event.
    pub fn event(&self, name: &str, payload: Box<RawValue>) -> Option<Event> {
        let (name, rule) = self.rules.get_key_value(name)?;
        if rule.before.rule.source != EventSource::Custom {
            return None;
        }
        Some(Event {
            name: Arc::clone(name),
            subject: Subject::Message(Arc::new(Message {
                event: name.to_string(),
                owner: None,
                payload,
                send_hook_meta: true,
                about: None,
            })),
            owner: None,
            position: Position {
                commit_lsn: Lsn::ZERO,
                index: 0,
            },
            commit_time: SystemTime::now(),
            owner_equality: Equality::Text,
        })
    }

    /// Counts a question that is not believed. Whoever can connect can write any number of them, so only the 1st, 2nd,
    /// 4th and so on are logged.
    pub(super) fn count_doubtful(&self, doubt: Doubt) {
        let so_far = self.meters.doubtful.fetch_add(1, Relaxed) + 1;
        if so_far.is_power_of_two() {
            tracing::warn!(
                reason = %doubt,
                so_far,
                "a question is left out, because no function of rowhook's has written it"
            );
        }
    }

    /// What it means that there is no answer about this event.
    pub(super) fn silence(&self, event: &Arc<str>, hook: &str, reason: String) -> Verdict {
        let rule = self.rules.get(event);
        let silence = rule.map(|rule| rule.before.silence).unwrap_or_default();
        silent(silence, event, hook, reason)
    }

    /// What it means that it is not known what is asked about, of the rows of these tables; none: of anything.
    pub(super) fn silence_of(&self, tables: &[TableName], reason: &str) -> Verdict {
        let concerns = |rule: &Rule| {
            let table = rule.before.rule.source.table();
            tables.is_empty() || table.is_some_and(|table| tables.contains(table))
        };
        let mut rules = self.rules.iter();
        let strict =
            rules.find(|(_, rule)| rule.before.silence == Silence::Refuse && concerns(rule));
        match strict {
            Some((event, _)) => silent(Silence::Refuse, event, "", reason.to_owned()),
            None => Verdict::Allowed { silent: true },
        }
    }

    /// Asks about these events at once, and waits for the answers. The first hook that refuses ends the waiting.
    pub async fn ask(&self, events: Vec<Event>) -> Verdict {
        let begun = Instant::now();
        let counts = &self.meters.questions;
        let verdict = match Open::take(&self.open) {
            Some(_open) => self.ask_all(events).await,
            None => match events.first() {
                Some(event) => {
                    let reason = format!("more than {OPEN} questions are open");
                    self.silence(&event.name, "", reason)
                }
                None => Verdict::Allowed { silent: false },
            },
        };
        match &verdict {
            Verdict::Allowed { silent: false } => &counts.allowed,
            Verdict::Refused(_) => &counts.refused,
            Verdict::Allowed { silent: true } | Verdict::Silent(_) => &counts.silent,
        }
        .fetch_add(1, Relaxed);
        self.meters.held.add(begun.elapsed());
        match &verdict {
            Verdict::Allowed { .. } => {}
            Verdict::Refused(why) => {
                tracing::info!(event = %why.event, hook = %why.hook, reason = why.reason, "refused before its commit");
            }
            Verdict::Silent(why) => {
                tracing::warn!(event = %why.event, hook = %why.hook, reason = why.reason, "refused before its commit, because of silence");
            }
        }
        verdict
    }

    async fn ask_all(&self, events: Vec<Event>) -> Verdict {
        let loads = match self.loads(events) {
            Ok(loads) => loads,
            Err(refused) => return refused,
        };
        let mut requests = JoinSet::new();
        let mut is_silent = false;
        for load in loads {
            let sender = self.sender.clone();
            let (history, journal) = (self.history.clone(), self.journal.clone());
            let going = self.meters.going_on(|meters| &meters.in_flight);
            requests.spawn(request(load, sender, history, journal, going));
        }
        while let Some(ended) = requests.join_next().await {
            // A panic is no answer, and what it was about is not known any more.
            let verdict = ended.unwrap_or_else(|error| {
                self.silence_of(&[], &format!("rowhook has a bug: {error}"))
            });
            match verdict {
                Verdict::Allowed { silent } => is_silent |= silent,
                refused => {
                    // The others are told all the same.
                    requests.detach_all();
                    return refused;
                }
            }
        }
        Verdict::Allowed { silent: is_silent }
    }

    /// What is asked of each hook.
    ///
    /// # Errors
    /// What silence means, and why, where a filter cannot be evaluated.
    fn loads(&self, events: Vec<Event>) -> Result<Vec<Load>, Verdict> {
        let mut heard: Vec<(Arc<Hook>, Vec<&Event>)> = Vec::new();
        for event in &events {
            let hooks = self.rules.get(&event.name).map(|rule| &rule.hooks);
            for hook in hooks.into_iter().flatten() {
                match self.passes(hook, event) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(refused) => return Err(refused),
                }
                match heard.iter_mut().find(|(known, _)| known.id == hook.id) {
                    Some((_, events)) => events.push(event),
                    None => heard.push((Arc::clone(hook), vec![event])),
                }
            }
        }
        let loads = heard.into_iter().filter_map(|(hook, events)| {
            let rules = events
                .iter()
                .filter_map(|event| self.rules.get(&event.name));
            let strict = |rule: &Rule| rule.before.silence == Silence::Refuse;
            let silence = match rules.clone().any(strict) {
                true => Silence::Refuse,
                false => Silence::Allow,
            };
            let timeout = rules.map(|rule| rule.before.timeout).min()?;
            let about = events
                .iter()
                .flat_map(|event| about::of_event(event).to_vec());
            let about: Vec<i64> = about.collect();
            Some(Load {
                about: about.into(),
                event: Event::clone(events.first()?),
                silence,
                timeout,
                body: body(&hook, &events),
                hook,
            })
        });
        Ok(loads.collect())
    }

    fn passes(&self, hook: &Arc<Hook>, event: &Event) -> Result<bool, Verdict> {
        let Some(filter) = hook.filter.as_deref() else {
            return Ok(true);
        };
        let facts = facts(event, std::iter::once(filter));
        let passes = facts.and_then(|facts| {
            let accepted = filter.accepts(&facts);
            accepted.map_err(|error| error.to_string())
        });
        match passes {
            Ok(passes) => Ok(passes),
            Err(reason) => {
                let reason = format!("its filter cannot be evaluated: {reason}");
                match self.silence(&event.name, hook.id.as_str(), reason) {
                    Verdict::Allowed { .. } => Ok(false),
                    refused => Err(refused),
                }
            }
        }
    }
}

/// The place of a question among those that are open.
struct Open<'a>(&'a AtomicI64);

impl<'a> Open<'a> {
    fn take(open: &'a AtomicI64) -> Option<Self> {
        let others = open.fetch_add(1, Relaxed);
        let taken = Self(open);
        (others < OPEN).then_some(taken)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What silence means.
fn silent(silence: Silence, event: &Arc<str>, hook: &str, reason: String) -> Verdict {
    match silence {
        Silence::Allow => Verdict::Allowed { silent: true },
        Silence::Refuse => Verdict::Silent(Why {
            event: Arc::clone(event),
            hook: hook.into(),
            reason,
        }),
    }
}

/// The body that these events have for a hook, and its content type: that of the one event, or an array of several.
///
/// # Errors
/// Why there is none.
fn body(hook: &Hook, events: &[&Event]) -> Result<(Bytes, String), String> {
    let content_type = content_type(&hook.delivery);
    if let [event] = events {
        let mut renderer = Renderer::new(event);
        if let Some(flaw) = renderer.flaw(hook) {
            return Err(flaw);
        }
        return Ok((renderer.render(hook), content_type.to_owned()));
    }
    if !is_json(content_type) {
        return Err(format!(
            "{} rows cannot be told in {content_type}; let the hook have content = \"json\"",
            events.len()
        ));
    }
    let most = hook.delivery.max_body;
    let mut bodies = Vec::with_capacity(events.len());
    for event in events {
        let mut renderer = Renderer::new(event);
        if let Some(flaw) = renderer.flaw(hook) {
            return Err(flaw);
        }
        bodies.push(renderer.render(hook));
    }
    let whole = array(content_type, &bodies);
    if whole.0.len() <= most {
        return Ok(whole);
    }
    let thin = events
        .iter()
        .map(|event| Renderer::new(event).render_thin(hook));
    let thin = array(content_type, &thin.collect::<Vec<_>>());
    match thin.0.len() <= most {
        true => Ok(thin),
        false => Err(format!(
            "the keys of {} rows are more than its max_body",
            events.len()
        )),
    }
}

/// Asks one hook.
async fn request(
    load: Load,
    sender: Sender,
    history: Option<Arc<History>>,
    journal: Journal,
    _going: Going,
) -> Verdict {
    let Load {
        hook,
        event,
        about,
        silence,
        timeout,
        body,
    } = load;
    let no_answer = |reason| silent(silence, &event.name, hook.id.as_str(), reason);
    let (body, content_type) = match body {
        Ok(body) => body,
        Err(reason) => return no_answer(reason),
    };
    let id: Arc<str> = format!("msg_ask_{:032x}", rand::random::<u128>()).into();
    let (begun, started_at) = (Instant::now(), SystemTime::now());
    let asking = Request {
        target: &hook.target,
        id: &id,
        batch: None,
        body: body.clone(),
        content_type: &content_type,
        compress: hook.delivery.compress,
        at: started_at,
        timeout,
        span: None,
    };
    let answer = sender.send(asking).await;
    let took = begun.elapsed();
    let reply = Reply::of(&answer);
    // It has taken the question, whatever it says.
    let delivered = !matches!(reply, Reply::Nothing(_));
    let shown = shown(&reply, &answer);
    journal.record(|| Entry::Attempted {
        id: Arc::clone(&id),
        event: Arc::clone(&event.name),
        hook: hook.id.clone(),
        target: hook.target.display().into(),
        answer: shown,
        delivered,
        took,
        commit_time: event.commit_time,
    });
    if let Some(history) = history {
        history.record(Attempt {
            hook: Arc::clone(&hook),
            delivery: id,
            batch: None,
            event: Arc::clone(&event.name),
            position: event.position,
            commit_time: event.commit_time,
            whose: Whose::Everyone,
            about,
            place: Place::One(0),
            content_type: content_type.into(),
            number: 1,
            started_at,
            took,
            delivered,
            body: Some(body),
            answer,
        });
    }
    match reply {
        Reply::Goes => Verdict::Allowed { silent: false },
        Reply::Refuses(reason) => Verdict::Refused(Why {
            event: Arc::clone(&event.name),
            hook: hook.id.as_str().into(),
            reason,
        }),
        Reply::Nothing(reason) => no_answer(reason),
    }
}

/// The answer as people are shown it.
fn shown(reply: &Reply, answer: &Answer) -> String {
    match reply {
        Reply::Goes => format!("{answer}, allowed"),
        Reply::Refuses(reason) if reason.is_empty() => format!("{answer}, refused"),
        Reply::Refuses(reason) => format!("{answer}, refused: {reason}"),
        Reply::Nothing(_) => format!("{answer}, no answer"),
    }
}
