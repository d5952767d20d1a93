//! The session that answers questions: it reads them in a stream of its own, which has no backlog, and answers with
//! advisory locks. When it ends, its locks are gone, and whoever waits knows that nobody answers any more.
//!
//! The stream has a slot that is dropped with the session. It is a copy of the slot of the changes where that is on the
//! same server, since a new one would wait for every transaction that runs there.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_postgres::{Client, Statement, types::ToSql};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    asker::Asker,
    keys,
    outcome::outcome,
    question::{About, ChangedRow, ChangedTable, Gathered, Op, Question, Waiting},
    verdict::Verdict,
};
use crate::{
    backoff::{Backoff, spread},
    change::{Change, RowChange, Transaction},
    config::Database,
    event::Event,
    message::{BEFORE, Envelope, MessageKey},
    panics::caught,
    postgres::{
        Lsn, TableName, error_message, json,
        pgoutput::Message,
        quote,
        relation::Relation,
        standby::counts,
        stream::{Received, Stream, Subscription},
        tuple::Old,
    },
};

/// The name of the sessions in pg_stat_activity and pg_stat_replication.
const NAME: &str = "rowhook before";
/// How long to wait before the next session.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// By which share of it such a pause is spread to either side.
const SPREAD: f64 = 0.2;
/// How long an answer stays to be seen. Whoever waits for it is woken at once.
const SEEN: Duration = Duration::from_secs(1);
/// Nobody waits for the answer to a question that is older than this.
const OLD: Duration = Duration::from_secs(11);
/// The interval at which answers that were seen are taken back.
const TIDY: Duration = Duration::from_millis(100);
/// The interval at which the lock of whoever answers is tried for, while another rowhook has it.
const TURN: Duration = Duration::from_millis(200);
/// The interval at which it is looked whether a question waits for the WAL to be flushed.
const BELL: Duration = Duration::from_millis(10);
/// The first version of Postgres that flushes the WAL with a message.
const FLUSHES: i32 = 170_000;

/// Answers questions, in one session after the other. It never returns.
pub async fn keep_answering(database: Database, asker: Arc<Asker>) -> Infallible {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let ended = caught(answer(&database, &asker)).await;
        let error = match ended {
            Ok(Ok(never)) => match never {},
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic.as_reason(),
        };
        failures = match begun.elapsed() > Duration::from_secs(60) {
            true => 1,
            false => failures + 1,
        };
        tracing::warn!(
            error,
            "nobody answers questions before commits; trying again"
        );
        let pause = spread(PAUSES.pause(failures), SPREAD, rand::random());
        tokio::time::sleep(pause).await;
    }
}

/// Answers questions until the session ends.
///
/// # Errors
/// Why it has ended.
async fn answer(database: &Database, asker: &Arc<Asker>) -> Result<Infallible> {
    let client = database.address.connect(NAME).await?;
    // Nothing that one question has to be looked up for may keep the others waiting.
    let limits = "set lock_timeout = '250ms'; set statement_timeout = '5s'";
    let limited = client.batch_execute(limits).await;
    limited.context("limit the waits of the session")?;
    refuse_to_be_waited_for(&client).await?;
    let mut stream = open_stream(database).await?;
    let schema = quote::name(&database.schema);
    let mut answering = Answering::new(client, &schema, Arc::clone(asker)).await?;
    let bell = match answering.version >= FLUSHES {
        true => None,
        false => {
            let client = database.address.connect(NAME).await?;
            let ringing = watch_bell(client, schema).in_current_span();
            Some(AbortOnDropHandle::new(tokio::spawn(ringing)))
        }
    };
    answering.catch_up(&mut stream).await?;
    answering.take_turn().await?;
    tracing::info!("questions before commits are answered");
    let ended = answering.follow(&mut stream);
    match bell {
        None => ended.await,
        Some(bell) => tokio::select! {
            ended = ended => ended,
            rung = bell => rung.context("watch the bell")?,
        },
    }
}

/// Checks that no commit would wait for the stream as for a standby.
///
/// # Errors
/// When one would.
async fn refuse_to_be_waited_for(client: &Client) -> Result<()> {
    let sql = "select current_setting('synchronous_standby_names')";
    let row = client.query_one(sql, &[]).await;
    let setting: String = row
        .context("look which standbys commits wait for")?
        .try_get(0)?;
    match counts(&setting, NAME) {
        Some(counted) => Err(counted.into()),
        None => Ok(()),
    }
}

/// Opens the stream of messages.
async fn open_stream(database: &Database) -> Result<Stream> {
    let whole = |end: &usize| database.slot.is_char_boundary(*end);
    let end = (0..=40.min(database.slot.len())).rev().find(whole);
    let stem = database.slot.get(..end.unwrap_or_default());
    let subscription = Subscription {
        slot: format!(
            "{}_before_{:08x}",
            stem.unwrap_or_default(),
            rand::random::<u32>()
        ),
        // Nearly always it has no table, and so nothing but messages comes.
        publications: vec![database.inserts_publication()],
    };
    let copied = database.standby.is_none().then_some(&*database.slot);
    let opened = Stream::open_temporary(&database.address, &subscription, copied, NAME).await;
    opened.context("read questions")
}

/// Has the WAL flushed whenever a question waits for that. Postgres before 17 sends a message only with the next commit
/// that is flushed, so here is one.
async fn watch_bell(client: Client, schema: String) -> Result<Infallible> {
    let rung = format!("select {schema}.rung()");
    let rung = client.prepare(&rung).await.context("look at the bell")?;
    let flush = "select pg_logical_emit_message(true, 'rowhook.flush', '')";
    let flush = client.prepare(flush).await.context("flush the WAL")?;
    let mut looks = tokio::time::interval(BELL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<i64> = None;
    loop {
        looks.tick().await;
        let row = client.query_one(&rung, &[]).await;
        let row = row.context("look at the bell")?;
        let now = Some(row.try_get(0)?);
        if now != known {
            client.query(&flush, &[]).await.context("flush the WAL")?;
            known = now;
        }
    }
}

/// What a session knows.
struct Answering {
    client: Client,
    version: i32,
    key: MessageKey,
    asker: Arc<Asker>,
    waiting: Waiting,
    relations: HashMap<TableName, Arc<Relation>>,
    /// The questions that were read, so that none is asked again whose message somebody has copied.
    known: HashMap<String, Instant>,
    verdicts: (
        mpsc::UnboundedSender<Answered>,
        mpsc::UnboundedReceiver<Answered>,
    ),
    /// The locks that say answers, and since when.
    said: VecDeque<(Instant, Locks)>,
    /// How many locks are held.
    held: usize,
    /// How many may be: the server has room for so many in all, and everybody needs some.
    most: usize,
    /// The clock of the server, in seconds since 1970, and when it was read.
    clock: (f64, Instant),
    statements: Statements,
    tidied: Instant,
}

/// An answer that is to be given.
struct Answered {
    id: String,
    verdict: Verdict,
}

/// Advisory locks: those of one key, and those of two.
#[derive(Default)]
struct Locks {
    whole: Vec<i64>,
    pairs: Vec<(i32, i32)>,
}

struct Statements {
    lock: Statement,
    unlock: Statement,
    lock_pairs: Statement,
    unlock_pairs: Statement,
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let whole = |function: &str| {
            format!("select {function}(its.key) from unnest($1::bigint[]) as its (key)")
        };
        let pairs = |function: &str| {
            format!(
                "select {function}(its.one, its.two) from unnest($1::integer[], $2::integer[]) as its (one, two)"
            )
        };
        Ok(Self {
            lock: client.prepare(&whole("pg_try_advisory_lock")).await?,
            unlock: client.prepare(&whole("pg_advisory_unlock")).await?,
            lock_pairs: client.prepare(&pairs("pg_try_advisory_lock")).await?,
            unlock_pairs: client.prepare(&pairs("pg_advisory_unlock")).await?,
        })
    }
}

impl Answering {
    async fn new(client: Client, schema: &str, asker: Arc<Asker>) -> Result<Self> {
        let sql = format!(
            "select its.key,
                current_setting('server_version_num')::integer,
                extract(epoch from clock_timestamp())::double precision,
                current_setting('max_locks_per_transaction')::bigint
                    * (current_setting('max_connections')::bigint
                        + current_setting('max_prepared_transactions')::bigint)
             from {schema}.message_key as its"
        );
        let row = client.query_one(&sql, &[]).await;
        let row = row.context("read what questions are signed with")?;
        let key: Vec<u8> = row.try_get(0)?;
        let room: i64 = row.try_get(3)?;
        let statements = Statements::prepare(&client).await;
        Ok(Self {
            version: row.try_get(1)?,
            key: MessageKey::new(&key, Lsn::ZERO),
            asker,
            waiting: Waiting::default(),
            relations: HashMap::new(),
            known: HashMap::new(),
            verdicts: mpsc::unbounded_channel(),
            said: VecDeque::new(),
            held: 0,
            most: usize::try_from(room / 8).unwrap_or_default(),
            clock: (row.try_get(2)?, Instant::now()),
            statements: statements.context("prepare the answers")?,
            tidied: Instant::now(),
            client,
        })
    }

    /// Reads what was written before this session, which nobody waits for.
    async fn catch_up(&mut self, stream: &mut Stream) -> Result<()> {
        // A message of our own, since an idle server has nothing to send.
        let sql = "select pg_logical_emit_message(true, 'rowhook.flush', '')::text";
        let row = self.client.query_one(sql, &[]).await;
        let end: String = row.context("look how far the WAL goes")?.try_get(0)?;
        let end: Lsn = end.parse()?;
        let reached = stream.reached();
        while *reached.borrow() < end {
            drop(stream.next_batch().await?);
            stream.confirm(*reached.borrow());
        }
        Ok(())
    }

    /// Takes the lock that says that questions are answered.
    async fn take_turn(&mut self) -> Result<()> {
        let ready = self.key.lock(keys::READY);
        let mut looks = tokio::time::interval(TURN);
        loop {
            looks.tick().await;
            if self.lock(&[ready]).await? == 1 {
                return Ok(());
            }
        }
    }

    async fn follow(mut self, stream: &mut Stream) -> Result<Infallible> {
        let reached = stream.reached();
        let mut tidy = tokio::time::interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = stream.next_batch() => {
                    let mut questions = Vec::new();
                    for received in batch?.received {
                        if let Received::Message(Message::Message {
                            transactional: false,
                            lsn,
                            prefix,
                            content,
                        }) = received
                            && &*prefix == BEFORE
                        {
                            let question = self.hear(lsn, &content);
                            questions.extend(question.map(|question| (question, lsn)));
                        }
                    }
                    self.put(questions).await?;
                    stream.confirm(*reached.borrow());
                }
                Some(answered) = self.verdicts.1.recv() => {
                    let mut all = vec![answered];
                    while let Ok(more) = self.verdicts.1.try_recv() {
                        all.push(more);
                    }
                    self.say(all).await?;
                }
                _ = tidy.tick() => self.tidy().await?,
            }
            ensure!(
                !self.client.is_closed(),
                "the server has closed the session"
            );
        }
    }

    /// Hears a part of a question. Returns the question that is whole with it. Whatever is wrong with it concerns that
    /// question alone.
    fn hear(&mut self, lsn: Lsn, content: &Bytes) -> Option<Question> {
        let envelope = Envelope {
            prefix: BEFORE,
            xid: 0,
            lsn,
        };
        let (content, doubt) = self.key.open(envelope, content);
        if let Some(doubt) = doubt {
            self.asker.count_doubtful(doubt);
            return None;
        }
        let question = match self.waiting.take(&content, Instant::now()) {
            Ok(question) => question?,
            Err(reason) => {
                tracing::warn!(reason, "a question cannot be read, and meets silence");
                return None;
            }
        };
        let id = question.id.clone();
        let is_known = self.known.insert(id, Instant::now()).is_some();
        let is_old = self.age(question.asked) > OLD.as_secs_f64();
        (!is_known && !is_old).then_some(question)
    }

    /// How old something is that has this time by the clock of the server, in seconds.
    fn age(&self, at: f64) -> f64 {
        let (then, since) = self.clock;
        then + since.elapsed().as_secs_f64() - at
    }

    /// Says that these questions are read, and asks them. All that have come together are said in one statement: a
    /// server that is busy with those who wait takes its time for each.
    async fn put(&mut self, mut questions: Vec<(Question, Lsn)>) -> Result<()> {
        let room = self.most.saturating_sub(self.held);
        if questions.len() > room {
            tracing::warn!("too many questions at once; some meet silence");
            questions.truncate(room);
        }
        if questions.is_empty() {
            return Ok(());
        }
        let ids = questions.iter().map(|(question, _)| &question.id);
        let waits: Vec<i64> = ids.map(|id| keys::wait(&self.key, id)).collect();
        self.lock(&waits).await?;
        for (question, lsn) in questions {
            self.ask(question, lsn).await?;
        }
        Ok(())
    }

    /// Has a question asked.
    async fn ask(&mut self, question: Question, lsn: Lsn) -> Result<()> {
        let Question { id, about, .. } = question;
        let known = match about {
            About::Event { event, payload } => Known::Event { event, payload },
            About::Rows(gathered) => match self.relations(&gathered).await? {
                Ok(relations) => Known::Rows {
                    gathered,
                    relations,
                    lsn,
                },
                Err(reason) => Known::Nothing(gathered.names(), reason),
            },
            About::Unknown(tables) => Known::Nothing(
                tables,
                "not all of its rows are known, because they are too many or came too early".into(),
            ),
        };
        let (asker, answer) = (Arc::clone(&self.asker), self.verdicts.0.clone());
        let asking = async move {
            let asked = caught(async {
                match known.events(&asker) {
                    Ok(events) if events.is_empty() => Verdict::Allowed { silent: false },
                    Ok(events) => asker.ask(events).await,
                    Err(verdict) => verdict,
                }
            });
            let verdict = asked.await.unwrap_or_else(|panic| {
                asker.silence_of(&[], &format!("rowhook has a bug: {}", panic.as_reason()))
            });
            // The session may have ended meanwhile.
            let _ = answer.send(Answered { id, verdict });
        };
        // A question with many rows must not keep others waiting.
        tokio::spawn(asking.in_current_span());
        Ok(())
    }

    /// What the tables look like whose rows were changed. The inner error says why that is not known.
    async fn relations(
        &mut self,
        gathered: &Gathered,
    ) -> Result<Result<HashMap<u32, Arc<Relation>>, String>> {
        let mut relations = HashMap::new();
        for (oid, table) in &gathered.tables {
            match self.relation(table).await? {
                Ok(relation) => relations.insert(*oid, relation),
                Err(reason) => return Ok(Err(reason)),
            };
        }
        Ok(Ok(relations))
    }

    /// What a table looks like. It is read anew when it has other columns. The inner error says why that is not known.
    async fn relation(&mut self, table: &ChangedTable) -> Result<Result<Arc<Relation>, String>> {
        let ChangedTable { name, columns } = table;
        let fits = |relation: &Relation| {
            let known = |column: &String| relation.column(column).is_some();
            relation.columns.len() == columns.len() && columns.iter().all(known)
        };
        let known = self.relations.get(name);
        if let Some(relation) = known.filter(|relation| fits(relation)) {
            return Ok(Ok(Arc::clone(relation)));
        }
        let found = match Relation::find(&self.client, name).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Err(format!("there is no table {name} any more"))),
            Err(error) if self.client.is_closed() => {
                return Err(error).context("read what a table looks like");
            }
            Err(error) => return Ok(Err(error_message(&error))),
        };
        let mut found = match fits(&found) {
            true => found,
            false => found.with_columns(columns),
        };
        let excluded = self.asker.of_table(name);
        let excluded = excluded.map(|events| events.shape.excluded());
        let gone = |column: &String| found.column(column).is_none();
        if excluded.unwrap_or_default().iter().any(gone) {
            // It may have another name by now, which is none that was there before.
            for column in &mut found.columns {
                let is_new = known.is_none_or(|known| known.column(&column.name).is_none());
                column.hidden |= is_new;
            }
        }
        let found = Arc::new(found);
        self.relations.insert(name.clone(), Arc::clone(&found));
        Ok(Ok(found))
    }

    /// Says what the answers are, and wakes whoever waits for them.
    async fn say(&mut self, answers: Vec<Answered>) -> Result<()> {
        let mut locks = Locks::default();
        let mut waits = Vec::with_capacity(answers.len());
        for Answered { id, verdict } in answers {
            waits.push(keys::wait(&self.key, &id));
            locks.whole.push(keys::answer(&self.key, &id, &verdict));
            let (Verdict::Refused(why) | Verdict::Silent(why)) = &verdict else {
                continue;
            };
            let text = keys::text(&self.key, &id, &why.text());
            if self.held + locks.whole.len() + locks.pairs.len() + text.len() <= self.most {
                locks.pairs.extend(text);
            }
        }
        if !locks.pairs.is_empty() {
            let (one, two) = unzipped(&locks.pairs);
            let taken = count(&self.client, &self.statements.lock_pairs, &[&one, &two]).await;
            self.held += taken.context("say why something is refused")?;
        }
        self.lock(&locks.whole).await?;
        self.said.push_back((Instant::now(), locks));
        self.unlock(&waits).await
    }

    /// Takes back what has been seen, and forgets what nobody asks about.
    async fn tidy(&mut self) -> Result<()> {
        let now = Instant::now();
        let mut old = Locks::default();
        while let Some((since, _)) = self.said.front()
            && now.duration_since(*since) > SEEN
            && let Some((_, locks)) = self.said.pop_front()
        {
            old.whole.extend(locks.whole);
            old.pairs.extend(locks.pairs);
        }
        if !old.whole.is_empty() {
            self.unlock(&old.whole).await?;
        }
        if !old.pairs.is_empty() {
            let (one, two) = unzipped(&old.pairs);
            let given = count(&self.client, &self.statements.unlock_pairs, &[&one, &two]).await;
            self.held = self
                .held
                .saturating_sub(given.context("take back what was said")?);
        }
        if now.duration_since(self.tidied) > Duration::from_secs(1) {
            self.tidied = now;
            refuse_to_be_waited_for(&self.client).await?;
            self.waiting.sweep(now);
            self.known
                .retain(|_, since| now.duration_since(*since) < 2 * OLD);
        }
        Ok(())
    }

    /// Takes those of these locks that nobody holds. Returns how many these are.
    async fn lock(&mut self, keys: &[i64]) -> Result<usize> {
        let taken = count(&self.client, &self.statements.lock, &[&keys]).await;
        let taken = taken.context("take a lock to answer with")?;
        self.held += taken;
        Ok(taken)
    }

    /// Gives back those of these locks that it holds.
    async fn unlock(&mut self, keys: &[i64]) -> Result<()> {
        let given = count(&self.client, &self.statements.unlock, &[&keys]).await;
        self.held = self.held.saturating_sub(given.context("give a lock back")?);
        Ok(())
    }
}

/// Takes locks or gives them back. Returns for how many of them that was possible.
async fn count(
    client: &Client,
    statement: &Statement,
    keys: &[&(dyn ToSql + Sync)],
) -> Result<usize, tokio_postgres::Error> {
    let rows = client.query(statement, keys).await?;
    let done: Vec<bool> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    Ok(done.into_iter().filter(|done| *done).count())
}

fn unzipped(pairs: &[(i32, i32)]) -> (Vec<i32>, Vec<i32>) {
    pairs.iter().copied().unzip()
}

/// What is known of what a question is about.
enum Known {
    Event {
        event: String,
        payload: Box<RawValue>,
    },
    Rows {
        gathered: Gathered,
        relations: HashMap<u32, Arc<Relation>>,
        lsn: Lsn,
    },
    /// Nothing but the tables, and why.
    Nothing(Vec<TableName>, String),
}

impl Known {
    /// The events that it is about.
    ///
    /// # Errors
    /// What follows where they are not known.
    fn events(self, asker: &Asker) -> Result<Vec<Event>, Verdict> {
        match self {
            Self::Event { event, payload } => {
                let found = asker.event(&event, payload);
                let found = found.map(|event| vec![event]);
                found.ok_or_else(|| {
                    asker.silence_of(
                        &[],
                        &format!("this rowhook knows no event {event} to ask about"),
                    )
                })
            }
            Self::Rows {
                gathered,
                relations,
                lsn,
            } => events(asker, gathered, &relations, lsn),
            Self::Nothing(tables, reason) => Err(asker.silence_of(&tables, &reason)),
        }
    }
}

/// The events of a transaction.
///
/// # Errors
/// What follows where a row cannot be told.
fn events(
    asker: &Asker,
    gathered: Gathered,
    relations: &HashMap<u32, Arc<Relation>>,
    lsn: Lsn,
) -> Result<Vec<Event>, Verdict> {
    let Gathered {
        xid, tables, rows, ..
    } = gathered;
    let transaction = Arc::new(Transaction {
        commit_lsn: lsn,
        commit_time: SystemTime::now(),
        xid,
    });
    let key = |oid, text: &str| key(relations.get(&oid)?, &tables.get(&oid)?.columns, text);
    let mut events = Vec::new();
    for row in outcome(rows, key) {
        let known = relations.get(&row.relation).zip(tables.get(&row.relation));
        let Some((relation, table)) = known else {
            continue;
        };
        let change = change(row, relation, table, &transaction);
        let change = change
            .map_err(|reason| asker.silence_of(std::slice::from_ref(&table.name), &reason))?;
        events.extend(asker.events_of(&Arc::new(change))?);
    }
    for (event, index) in events.iter_mut().zip(0..) {
        event.position.index = index;
    }
    Ok(events)
}

/// What identifies a row: the values of its primary key. `None`: it has none, or cannot be read.
fn key(relation: &Relation, columns: &[String], text: &str) -> Option<Vec<u8>> {
    if relation.primary_key.is_empty() {
        return None;
    }
    let fields = json::fields(text.as_bytes()).ok()?;
    let mut key = Vec::new();
    for at in &relation.primary_key {
        let name = &relation.columns.get(*at)?.name;
        let place = columns.iter().position(|column| column == name)?;
        let value = fields.get(place)?.as_deref()?;
        key.extend(value.len().to_be_bytes());
        key.extend(value);
    }
    Some(key)
}

/// The change of a row as the stream would have it.
///
/// # Errors
/// Why the row does not fit the table.
fn change(
    row: ChangedRow,
    relation: &Arc<Relation>,
    table: &ChangedTable,
    transaction: &Arc<Transaction>,
) -> Result<Change, String> {
    let tuple = |text: Option<String>| {
        let text = text.ok_or_else(|| format!("a row of {} is missing", table.name))?;
        relation.tuple(&table.columns, &text)
    };
    Ok(Change {
        relation: Arc::clone(relation),
        row: match row.op {
            Op::Insert => RowChange::Insert {
                new: tuple(row.new)?,
            },
            Op::Update => RowChange::Update {
                old: Old::Full(tuple(row.old)?),
                new: tuple(row.new)?,
            },
            Op::Delete => RowChange::Delete {
                old: Old::Full(tuple(row.old)?),
            },
        },
        transaction: Arc::clone(transaction),
    })
}
