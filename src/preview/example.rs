//! An event that did not happen, to show what its bodies look like. It is rendered as any other is.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::value::RawValue;
use url::Url;

use super::{rehearsal, sample};
use crate::{
    change::{Change, Transaction},
    config::{Action, Config, Delivery, EventRule, EventSource, PayloadFormat},
    event::{Event, EventMap, Position, Subject},
    hook::{Hook, HookId, Origin},
    lookup::enrich::EnrichedField,
    message::{DELIVERED, Delivered, Disabled, GAP, HOOK_DISABLED, Message},
    payload::Renderer,
    postgres::{Lsn, equality::Equality, relation::Relation},
    send::target::Target,
};

/// Whose the examples are.
const OWNER: &str = "42";
/// Where they are sent.
const TARGET: &str = "https://example.com/hook";
/// When they happened, in seconds since 1970: on 2026-01-02, at 09:30.
const AT: u64 = 1_767_346_200;
/// Their place in the WAL.
const LSN: Lsn = Lsn(0x0163_00C8);

/// An example of the event that `rule` describes. `relation` is the table of its rows.
///
/// # Errors
/// When its table is not among those of `events`, or not there.
pub fn of_rule(
    config: &Config,
    events: &EventMap,
    rule: &EventRule,
    relation: Option<&Arc<Relation>>,
) -> Result<Event> {
    let EventSource::Row {
        table,
        action,
        changed,
        ..
    } = &rule.source
    else {
        let payload = match &rule.example {
            Some(payload) => payload.clone(),
            None => RawValue::from_string("{}".to_owned()).context("write an empty payload")?,
        };
        let message = Message {
            owner: Some(OWNER.to_owned()),
            payload,
            ..Message::own(&rule.name, serde_json::Value::Null)
        };
        return Ok(of_message(message));
    };
    let relation = relation.with_context(|| format!("there is no table {table}"))?;
    let of_table = events
        .of_table(table)
        .context("no event is of this table")?;
    let before = matches!(action, Action::Updated).then(|| sample::earlier_row(relation, changed));
    let row = sample::row(relation);
    let change = rehearsal::change(Arc::clone(relation), action, row, before);
    let change = Arc::new(Change {
        transaction: Arc::new(Transaction {
            commit_lsn: LSN,
            commit_time: at(),
            xid: 731,
        }),
        ..change
    });
    let rules = of_table.rules(&change.row).iter();
    let mut rules = rules.filter(|of_table| *of_table.name == *rule.name);
    let matching = rules.next().context("the event has another name by now")?;
    let enriched = config.tables.iter().filter(|rules| rules.table == *table);
    let added = enriched.flat_map(|rules| &rules.enrich);
    let added = added.map(|enrich| EnrichedField {
        key: enrich.key.as_str().into(),
        json: Some("{}".to_owned()),
    });
    let event = of_table.event(matching, &change, added.collect(), None, 0);
    Ok(Event {
        owner: Some(OWNER.into()),
        ..event
    })
}

/// An example of one of rowhook's own events; `None` if there is none of this name.
pub fn of_own(name: &str) -> Option<Event> {
    let message = match name {
        HOOK_DISABLED => Disabled {
            owner: Some(OWNER),
            id: "7",
            hook: 7.into(),
            target: TARGET,
            reason: "the target answered 410",
            since: "2026-01-02T09:30:00Z",
            last_answer: Some("410"),
            kept: false,
        }
        .to_json(),
        DELIVERED => Delivered {
            owner: Some(OWNER),
            id: "7",
            hook: 7.into(),
            target: TARGET,
            delivery: "msg_example",
            event: "book.added",
            attempt: 1,
            status: Some(200),
        }
        .to_json(),
        GAP => {
            let payload = serde_json::json!({
                "slot": "rowhook",
                "cause": "slot_invalidated",
                "from_lsn": "0/16300C8",
                "to_lsn": "0/1634F00",
                "description": "the slot was invalidated",
            });
            return Some(of_message(Message::own(GAP, payload)));
        }
        _ => return None,
    };
    serde_json::from_str(&message).ok().map(of_message)
}

fn of_message(message: Message) -> Event {
    Event {
        name: message.event.as_str().into(),
        owner: message.owner.as_deref().map(Arc::from),
        subject: Subject::Message(Arc::new(message)),
        position: Position {
            commit_lsn: LSN,
            index: 0,
        },
        commit_time: at(),
        owner_equality: Equality::default(),
    }
}

/// The body of an event in this payload format, as a hook without settings of its own is sent it.
///
/// # Errors
/// When the target of the examples cannot be used.
pub fn body(event: &Event, payload: PayloadFormat, delivery: &Delivery) -> Result<Bytes> {
    let url = Url::parse(TARGET).context("read the target of examples")?;
    let hook = Hook {
        id: HookId::new("7", true),
        owner: Some(OWNER.into()),
        events: Arc::default(),
        filter: None,
        target: Target::new(&url, None, &[])?,
        delivery: Arc::new(Delivery {
            payload,
            ..delivery.clone()
        }),
        since: None,
        active: true,
        origin: Origin::Table,
    };
    Ok(Renderer::new(event).render(&hook))
}

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(AT)
}
