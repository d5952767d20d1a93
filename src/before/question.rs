//! Questions as the stream brings them: their rows one by one, and then what asks about them.
//!
//! A transaction that is rolled back leaves rows that nobody asks about. They are dropped after a while, and what waits
//! has bounds in bytes.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::postgres::TableName;

/// How long rows are kept that nobody asks about. The question comes as soon as the last of them is written.
const KEPT: Duration = Duration::from_secs(60);
/// The most bytes of rows that are kept, of all transactions.
const ROOM: usize = 64 << 20;

/// A message of `put_question`.
#[derive(Debug, Deserialize)]
struct Asks {
    ask: String,
    /// When it was asked, by the clock of the server, in seconds since 1970.
    asked: f64,
    question: What,
}

/// What it asks about: an event, or the rows of a transaction.
#[derive(Debug, Deserialize)]
struct What {
    event: Option<String>,
    payload: Option<Box<RawValue>>,
    xid: Option<String>,
}

/// A row that was changed, in Postgres' text format.
#[derive(Debug, Deserialize)]
struct RowPart {
    xid: String,
    relation: u32,
    schema: String,
    table: String,
    op: Op,
    /// The names of its columns, with the first row of a table.
    columns: Option<Vec<String>>,
    old: Option<String>,
    new: Option<String>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
}

/// A row that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangedRow {
    /// The oid of the table, or of its partition.
    pub(super) relation: u32,
    pub(super) op: Op,
    pub(super) old: Option<String>,
    pub(super) new: Option<String>,
}

/// A table of which rows were changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangedTable {
    /// As hooks.toml calls it.
    pub(super) name: TableName,
    /// The names of its columns, in the order of its rows.
    pub(super) columns: Vec<String>,
}

/// A question that is whole.
#[derive(Debug)]
pub(super) struct Question {
    /// Its id, by which it is answered.
    pub(super) id: String,
    /// When it was asked, by the clock of the server, in seconds since 1970.
    pub(super) asked: f64,
    pub(super) about: About,
}

/// What a question is about.
#[derive(Debug)]
pub(super) enum About {
    /// The rows of a transaction.
    Rows(Gathered),
    /// What `rowhook.ask` passes.
    Event {
        event: String,
        payload: Box<RawValue>,
    },
    /// Rows of these tables that are not all known, because they were too many, or came while nobody read. No tables:
    /// not even these are known.
    Unknown(Vec<TableName>),
}

/// The rows of a transaction, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The 32-bit id of the transaction.
    pub(super) xid: u32,
    pub(super) tables: HashMap<u32, ChangedTable>,
    pub(super) rows: Vec<ChangedRow>,
    bytes: usize,
    /// Some row is missing.
    broken: bool,
}

impl Gathered {
    /// The tables, as hooks.toml calls them.
    pub(super) fn names(&self) -> Vec<TableName> {
        let tables = self.tables.values();
        tables.map(|table| table.name.clone()).collect()
    }
}

/// The rows that wait for their question.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    transactions: HashMap<String, (Instant, Gathered)>,
    bytes: usize,
}

impl Waiting {
    /// Takes the content of a message. Returns the question that is whole with it, if one is.
    ///
    /// # Errors
    /// In words, when the content is no part of a question.
    pub(super) fn take(
        &mut self,
        content: &Bytes,
        now: Instant,
    ) -> Result<Option<Question>, String> {
        /// Only what asks has an id.
        #[derive(Deserialize)]
        struct Kind {
            ask: Option<IgnoredAny>,
        }
        let words = |error: serde_json::Error| error.to_string();
        let Kind { ask } = serde_json::from_slice(content).map_err(words)?;
        if ask.is_none() {
            self.add(serde_json::from_slice(content).map_err(words)?, now);
            return Ok(None);
        }
        let asks: Asks = serde_json::from_slice(content).map_err(words)?;
        let What {
            event,
            payload,
            xid,
        } = asks.question;
        let about = match (event, xid) {
            (Some(event), _) => About::Event {
                event,
                payload: payload.unwrap_or_else(|| RawValue::NULL.to_owned()),
            },
            (None, Some(xid)) => self.remove(&xid),
            (None, None) => return Err("it asks about nothing".into()),
        };
        Ok(Some(Question {
            id: asks.ask,
            asked: asks.asked,
            about,
        }))
    }

    /// Drops what has waited for too long.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.transactions
            .retain(|_, (since, _)| now.duration_since(*since) < KEPT);
        let kept = self.transactions.values();
        self.bytes = kept.map(|(_, gathered)| gathered.bytes).sum();
    }

    fn add(&mut self, part: RowPart, now: Instant) {
        let RowPart {
            xid,
            relation,
            schema,
            table: name,
            op,
            columns,
            old,
            new,
        } = part;
        let bytes = [&old, &new].into_iter().flatten().map(String::len);
        let bytes: usize = bytes.sum();
        let (_, gathered) = self.transactions.entry(xid).or_insert_with_key(|xid| {
            let whole: u64 = xid.parse().unwrap_or_default();
            let gathered = Gathered {
                xid: u32::try_from(whole & u64::from(u32::MAX)).unwrap_or_default(),
                ..Gathered::default()
            };
            (now, gathered)
        });
        if let Some(columns) = columns {
            let name = TableName { schema, name };
            let table = ChangedTable { name, columns };
            gathered.tables.insert(relation, table);
        }
        // Whoever has begun to read in the middle has not seen the first row of the table.
        gathered.broken |= !gathered.tables.contains_key(&relation);
        if gathered.broken {
            return;
        }
        gathered.bytes += bytes;
        self.bytes += bytes;
        gathered.rows.push(ChangedRow {
            relation,
            op,
            old,
            new,
        });
        while self.bytes > ROOM && self.drop_largest() {}
    }

    /// Gives up the rows of the transaction that has the most, so that it does not keep others from being asked about.
    fn drop_largest(&mut self) -> bool {
        let all = self.transactions.values_mut();
        let largest = all.max_by_key(|(_, gathered)| gathered.bytes);
        let Some((_, gathered)) = largest.filter(|(_, gathered)| gathered.bytes > 0) else {
            return false;
        };
        self.bytes -= std::mem::take(&mut gathered.bytes);
        gathered.rows = Vec::new();
        gathered.broken = true;
        true
    }

    /// The rows of a transaction. There are none where another question has been about all of them.
    fn remove(&mut self, xid: &str) -> About {
        let found = self.transactions.remove(xid);
        let gathered = found.map(|(_, gathered)| gathered).unwrap_or_default();
        self.bytes -= gathered.bytes;
        match gathered.broken {
            true => About::Unknown(gathered.names()),
            false => About::Rows(gathered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(waiting: &mut Waiting, content: &str) -> Option<Question> {
        let content = Bytes::copy_from_slice(content.as_bytes());
        waiting.take(&content, Instant::now()).unwrap()
    }

    const FIRST: &str = r#"{"xid": "4294967303", "relation": 5, "schema": "public", "table": "book", "op": "DELETE", "columns": ["id"], "old": "(1)", "new": null}"#;
    const SECOND: &str = r#"{"xid": "4294967303", "relation": 5, "schema": "public", "table": "book", "op": "INSERT", "columns": null, "old": null, "new": "(2)"}"#;
    const ASKS: &str = r#"{"ask": "a", "asked": 1.5, "question": {"xid": "4294967303"}}"#;

    #[test]
    fn a_question_is_about_the_rows_before_it() {
        let mut waiting = Waiting::default();
        assert!(take(&mut waiting, FIRST).is_none());
        assert!(take(&mut waiting, SECOND).is_none());
        let question = take(&mut waiting, ASKS).unwrap();
        let About::Rows(gathered) = question.about else {
            panic!("rows");
        };
        assert_eq!((gathered.xid, gathered.rows.len()), (7, 2));
        assert_eq!(gathered.tables[&5].name, TableName::public("book"));
        assert_eq!(waiting.bytes, 0);
        // The second question of the same transaction has nothing left to ask about.
        let About::Rows(gathered) = take(&mut waiting, ASKS).unwrap().about else {
            panic!("rows");
        };
        assert!(gathered.rows.is_empty());
    }

    #[test]
    fn what_was_not_read_from_its_first_row_on_is_unknown() {
        let mut waiting = Waiting::default();
        take(&mut waiting, SECOND);
        let question = take(&mut waiting, ASKS).unwrap();
        assert!(matches!(question.about, About::Unknown(_)));
    }

    #[test]
    fn a_transaction_with_too_many_rows_does_not_keep_others_from_being_asked_about() {
        let mut waiting = Waiting::default();
        take(&mut waiting, FIRST);
        let large = FIRST.replace("4294967303", "8");
        let large = large.replace("(1)", &format!("({})", "x".repeat(ROOM / 2)));
        take(&mut waiting, &large);
        take(&mut waiting, &large);
        let asked = |waiting: &mut Waiting, xid: &str| {
            take(waiting, &ASKS.replace("4294967303", xid))
                .unwrap()
                .about
        };
        assert!(matches!(asked(&mut waiting, "8"), About::Unknown(tables) if tables.len() == 1));
        let About::Rows(gathered) = asked(&mut waiting, "4294967303") else {
            panic!("rows");
        };
        assert_eq!((gathered.rows.len(), waiting.bytes), (1, 0));
    }

    #[test]
    fn rows_that_nobody_asks_about_are_dropped() {
        let mut waiting = Waiting::default();
        take(&mut waiting, FIRST);
        waiting.sweep(Instant::now());
        assert_eq!(waiting.bytes, 3);
        waiting.sweep(Instant::now() + KEPT);
        assert!(waiting.transactions.is_empty() && waiting.bytes == 0);
    }

    #[test]
    fn what_sql_asks_about_keeps_its_payload() {
        let asks = r#"{"ask": "b", "asked": 2, "question": {"event": "report.sending", "payload": {"n": 1.50}}}"#;
        let question = take(&mut Waiting::default(), asks).unwrap();
        let About::Event { event, payload } = question.about else {
            panic!("an event");
        };
        assert_eq!(
            (&*event, payload.get()),
            ("report.sending", r#"{"n": 1.50}"#)
        );
        assert_eq!((&*question.id, question.asked), ("b", 2.0));
    }

    #[test]
    fn what_is_no_question_says_so() {
        for content in ["", "{}", "[]", "\u{0}"] {
            let content = Bytes::copy_from_slice(content.as_bytes());
            assert!(Waiting::default().take(&content, Instant::now()).is_err());
        }
    }
}
