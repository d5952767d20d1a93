//! What should have arrived, by Postgres itself: a second slot with another plugin returns in commit order which rows
//! changed and since when there was each hook.

use harness::Database;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::{HOOKS, endpoints::Heard};

/// One committed change of a row: its id, and the number of the change of that row.
pub type Change = (i64, i64);

/// An event that a hook should get: a row, the number of its change, and the name of the event.
type Told = (i64, i64, &'static str);

/// The events that each hook should have got, and all that were committed.
pub struct Truth {
    owed: Vec<HashSet<Told>>,
    pub committed: HashSet<Told>,
}

#[derive(Default)]
pub struct Figures {
    pub deliveries: usize,
    pub lost: usize,
    pub out_of_order: usize,
    pub made_up: usize,
    pub two_bodies: usize,
    pub repeated: usize,
    /// For each delivery that is out of order: the number of the hook, and the id of the delivery that came too late.
    pub overtaken: Vec<(usize, String)>,
}

/// Creates the slot of the oracle, which keeps what is committed from here on.
pub async fn begin(database: &Database) {
    database
        .sql("select pg_create_logical_replication_slot('oracle', 'test_decoding')")
        .await;
}

impl Truth {
    /// Reads all changes since [`begin`]. `hooks` are the ids of the hooks, by number.
    pub async fn read(database: &Database, hooks: &[String]) -> Self {
        let sql = "select data from pg_logical_slot_get_changes('oracle', null, null, 'include-xids', '0')";
        let rows = database.client.query(sql, &[]).await.unwrap();
        // A hook of hooks.toml is active all the time.
        let mut on: [bool; HOOKS] = std::array::from_fn(crate::is_batched);
        let mut truth = Self {
            owed: vec![HashSet::new(); HOOKS],
            committed: HashSet::new(),
        };
        for row in rows {
            let line: &str = row.get(0);
            if let Some(change) = line.strip_prefix("table rowhook.hook: ") {
                let id = column(change, "id[bigint]");
                // From its insert on: nobody switches it off but rowhook, which keeps what it misses.
                if let Some(number) = hooks.iter().position(|hook| hook == id) {
                    on[number] = true;
                }
            } else if let Some(change) = line.strip_prefix("table public.item: ") {
                let event = match change.split(':').next() {
                    Some("INSERT") => "item.added",
                    Some("UPDATE") => "item.changed",
                    _ => "item.removed",
                };
                let number = |name| column(change, name).parse().unwrap();
                let told = (number("id[bigint]"), number("number[bigint]"), event);
                truth.committed.insert(told);
                for (owed, on) in truth.owed.iter_mut().zip(on) {
                    if on {
                        owed.insert(told);
                    }
                }
            }
        }
        truth
    }

    /// Compares what should have arrived with what the endpoints got.
    pub fn judge(&self, heard: &[Heard]) -> Figures {
        let mut figures = Figures {
            deliveries: heard.len(),
            ..Figures::default()
        };
        let mut bodies: HashMap<&str, &[u8]> = HashMap::new();
        for Heard { id, body, .. } in heard {
            if *bodies.entry(id).or_insert(body) != *body {
                figures.two_bodies += 1;
            }
        }
        for (hook, owed) in self.owed.iter().enumerate() {
            let mut seen: HashSet<Told> = HashSet::new();
            let mut newest: HashMap<i64, (i64, bool)> = HashMap::new();
            for Heard {
                id: delivery, body, ..
            } in heard.iter().filter(|heard| heard.hook == hook)
            {
                let told = told(body);
                if !owed.contains(&told) {
                    figures.made_up += 1;
                }
                let (id, number, event) = told;
                let at = (number, event == "item.removed");
                if !seen.insert(told) {
                    figures.repeated += 1;
                } else if newest.insert(id, at).is_some_and(|before| before > at) {
                    figures.out_of_order += 1;
                    figures.overtaken.push((hook, delivery.clone()));
                }
            }
            figures.lost += owed.difference(&seen).count();
        }
        figures
    }
}

/// The events of the changes of a writer. Every seventh change of a row is an update and a deletion in one.
pub fn events(changes: &[Change]) -> HashSet<Told> {
    let events = |&(id, number): &Change| {
        let removed = (number % 7 == 0).then_some((id, number, "item.removed"));
        let name = if number % 7 == 1 {
            "item.added"
        } else {
            "item.changed"
        };
        [Some((id, number, name)), removed].into_iter().flatten()
    };
    changes.iter().flat_map(events).collect()
}

fn told(body: &[u8]) -> Told {
    let body: Value = serde_json::from_slice(body).unwrap();
    let event = match body["hook"]["event"].as_str() {
        Some("item.added") => "item.added",
        Some("item.changed") => "item.changed",
        Some("item.removed") => "item.removed",
        other => panic!("an event that nobody asked for: {other:?}"),
    };
    let number = |name: &str| body["data"][name].as_i64().unwrap();
    (number("id"), number("number"), event)
}

/// The value of a column in a line of test_decoding. For an update it is the new value, which comes last.
fn column<'a>(change: &'a str, name: &str) -> &'a str {
    let (_, value) = change
        .rsplit_once(&format!(" {name}:"))
        .unwrap_or_else(|| panic!("no {name} in {change}"));
    value.split(' ').next().unwrap()
}
