//! Watches the tables of `[events]` while rowhook is attached, because the stream does not say when one is replaced.
//!
//! A table that is renamed or moved stays in its publication, and its changes come under the new name; they are heard
//! under the old one. A table that is created anew under a known name is not in any publication, and is added. One that
//! has lost its replica identity is published for inserts only from then on, or the application's own UPDATE would
//! fail. What is learned of them is noted for the next process, because a table may be renamed, and dropped or
//! replaced, while none runs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tokio_postgres::{Client, Error};

use super::context::SessionContext;
use crate::{
    config::Config,
    lookup::owner::wholly_published,
    postgres::{
        TableName,
        followed::{Followed, Former, Note},
        stream,
        time::timestamp,
    },
    setup::{
        LockPolicy,
        catalog::{Facts, followed_tables, hook_table, path_tables, published_tables},
        heard::{TableProblem, problems},
        publish,
    },
};

/// The interval between looks at the catalog.
const INTERVAL: Duration = Duration::from_millis(500);
/// After how long something that could not be mended is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of the tables, from one session to the next.
#[derive(Debug, Default)]
pub(super) struct TableWatch {
    tables: Vec<Seen>,
    /// When each table was last seen to be heard.
    last_heard: HashMap<TableName, SystemTime>,
    problems: BTreeSet<TableProblem>,
    /// When to look closely, whether something changed or not.
    due: Option<Instant>,
    /// What the next process will know of the tables.
    noted: BTreeMap<u32, Note>,
    /// When to try again to note it.
    note_again: Option<Instant>,
    /// It was said that it cannot be noted.
    unnoted: bool,
}

/// A table as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    oid: u32,
    name: TableName,
    in_whole: bool,
    in_inserts: bool,
    /// The replica identity, in words of no meaning but that equal ones are the same.
    identity: String,
    /// The columns of its primary key.
    key: Vec<String>,
    /// The transaction that gave it its name.
    named_by: Option<u32>,
    /// Its partitions, where Postgres does not tell the stream when they change.
    untold_parts: Option<String>,
}

impl TableWatch {
    /// Watches for as long as it is polled, or until the stream has to be opened anew.
    pub(super) async fn keep_watching(
        &mut self,
        client: &Client,
        context: &SessionContext<'_>,
        followed: &Followed,
    ) -> stream::Error {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // If this fails for the sake of the connection, the session is lost, which is found elsewhere.
            match self.look(client, context, followed).await {
                Ok(None) => {}
                Ok(Some(table)) => {
                    return stream::Error::Lost(format!(
                        "the partitions of {table} have changed, which Postgres 14 tells only a new session"
                    ));
                }
                Err(error) => tracing::warn!(
                    error = crate::postgres::error_message(&error),
                    "the tables of events were not looked at"
                ),
            }
        }
    }

    /// Goes on with what the last process knew of the tables. Where it cannot be read, that is said, and a table that
    /// was renamed meanwhile is not heard under its other names.
    pub(super) async fn resume(&mut self, context: &SessionContext<'_>, followed: &Followed) {
        match context.store.followed().await {
            Ok(noted) => {
                let names = names(context.config);
                followed.resume(noted.clone(), &names);
                // Perhaps the stream has passed what these stood for.
                let has_former = noted.values().any(|note| note.former.is_some());
                self.note_again = has_former.then(Instant::now);
                self.noted = noted;
            }
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "what was noted of the tables of events cannot be read: of one that was renamed while rowhook was \
                 stopped, what was told under another name may not be heard"
            ),
        }
    }

    /// Learns which table each name stands for. Done before tables are published and the stream is read, because they
    /// may be renamed at once.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn learn(
        &mut self,
        client: &Client,
        context: &SessionContext<'_>,
        followed: &Followed,
    ) -> Result<(), Error> {
        let config = context.config;
        let names = names(config);
        let tables = read(client, context, &names, &followed.oids()).await?;
        self.follow(context, &names, &tables, followed);
        follow_renamed(config, &published_tables(config), &tables, followed);
        Ok(())
    }

    /// Looks at the tables. Returns one of which the stream does not know the partitions any more, if there is one.
    async fn look(
        &mut self,
        client: &Client,
        context: &SessionContext<'_>,
        followed: &Followed,
    ) -> Result<Option<TableName>, Error> {
        let config = context.config;
        let all_names = names(config);
        let names = published_tables(config);
        let now = SystemTime::now();
        let tables = read(client, context, &all_names, &followed.oids()).await?;
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= Instant::now());
        let is_news = self.note_again.is_none() && !followed.are(&self.noted);
        if is_news || is_due(self.note_again) {
            self.note(context, followed).await;
        }
        if tables == self.tables && !is_due(self.due) {
            self.heard(&names, &tables, now);
            return Ok(None);
        }
        self.follow(context, &all_names, &tables, followed);
        follow_renamed(config, &names, &tables, followed);
        self.note(context, followed).await;
        let mut facts = Facts::read(client, None, config).await?;
        if context.setup {
            let all = followed_tables(config, &facts);
            let configured: HashSet<&TableName> = names.iter().collect();
            let unfit = |name: &&TableName| {
                let table = facts.table(name);
                !configured.contains(name) && table.is_some_and(|table| !table.is_identified())
            };
            for name in all.iter().filter(unfit) {
                followed.leave(name.clone());
            }
            // A table that was created since the first look is known before its changes come, under whatever name.
            let newest = read(client, context, &all_names, &followed.oids()).await?;
            self.follow(context, &all_names, &newest, followed);
            self.note(context, followed).await;
            // Of the newest too: what was heard under a name may have been another table a moment ago.
            let heard = newest
                .iter()
                .filter(|table| table.in_whole || table.in_inserts);
            let heard: HashSet<&TableName> = heard.map(|table| &table.name).collect();
            let policy = LockPolicy::default();
            let mended = publish(config, policy, &all, &facts, &|name| followed.oid(name)).await;
            let is_changed = mended.iter().any(|(_, result)| result.is_ok());
            if is_changed {
                self.join(client, context, followed).await;
            }
            for (name, result) in mended {
                match result {
                    Ok(reason) => {
                        let since = self.last_heard.get(&name).copied().map(timestamp);
                        if heard.contains(&name) || !configured.contains(&name) {
                            tracing::warn!(table = %name, "{reason}");
                        } else {
                            tracing::warn!(
                                table = %name,
                                not_heard_since = since,
                                "{reason}; what was changed before is not told: send it with rowhook backfill"
                            );
                        }
                    }
                    Err(error) => tracing::warn!(
                        table = %name,
                        error = %error,
                        "the table could not be published as it must be; tried again later"
                    ),
                }
            }
            if is_changed {
                facts = Facts::read(client, None, config).await?;
            }
        }
        self.tell(context, problems(config, &facts).into_iter().collect());
        self.due = (!self.problems.is_empty()).then(|| Instant::now() + AGAIN);
        // What was read first, and not what it is by now: a change since then is seen by the next look.
        self.heard(&names, &tables, now);
        let before = std::mem::replace(&mut self.tables, tables);
        let before: HashMap<u32, &Seen> = before.iter().map(|table| (table.oid, table)).collect();
        let outdated = self.tables.iter().find(|table| {
            let before = before.get(&table.oid);
            before.is_some_and(|before| before.untold_parts != table.untold_parts)
        });
        Ok(outdated.map(|table| table.name.clone()))
    }

    /// Tells of the tables on paths to owners that are published by now. Until then these had to be asked whose a row
    /// is, and could only say what they hold at present.
    async fn join(&self, client: &Client, context: &SessionContext<'_>, followed: &Followed) {
        let config = context.config;
        let paths = path_tables(config);
        if paths.is_empty() {
            return;
        }
        match wholly_published(client, &config.database.publication).await {
            Ok(published) => paths
                .into_iter()
                .filter(|name| published.contains(name))
                .for_each(|name| followed.join(name)),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "which tables on paths to owners are published is not known; they are asked for each row"
            ),
        }
    }

    /// Each name stands for the table that has it.
    fn follow(
        &self,
        context: &SessionContext<'_>,
        names: &[TableName],
        tables: &[Seen],
        followed: &Followed,
    ) {
        let by_name: HashMap<&TableName, &Seen> =
            tables.iter().map(|table| (&table.name, table)).collect();
        // All that another table has taken the place of, before any is put in a place: names may be exchanged.
        let before = followed.standing(names);
        let mut replaced = Vec::new();
        for (name, previous) in &before {
            let Some(table) = by_name.get(name).filter(|table| table.oid != *previous) else {
                continue;
            };
            let later = tables.iter().find(|table| table.oid == *previous);
            let former = Former {
                later: later.map(|table| table.name.clone()),
                taken_by: table.named_by,
            };
            followed.replaced(*previous, former);
            replaced.push(*name);
        }
        for name in names {
            if let Some(table) = by_name.get(name) {
                followed.put(name.clone(), table.oid);
            }
        }
        for table in tables {
            followed.learn_key(table.oid, &table.key);
        }
        for name in replaced {
            self.tell_replaced(context, name);
        }
    }

    /// Has the next process know what is known of the tables. Only who holds the slot may do so. Where that cannot be
    /// written down, it is said once.
    pub(super) async fn note(&mut self, context: &SessionContext<'_>, followed: &Followed) {
        if followed.are(&self.noted) && self.note_again.is_none() {
            return;
        }
        let notes = followed.notes();
        match context.store.note_followed(&notes).await {
            Ok(past) => {
                followed.forget(&past);
                self.noted = notes;
                self.noted.retain(|oid, _| !past.contains(oid));
                (self.note_again, self.unnoted) = (None, false);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unnoted, true) {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "which tables hooks.toml means is not noted, and tried again later: if rowhook is stopped and \
                         a table renamed and replaced or dropped, what was told under another name may not be heard"
                    );
                }
                self.note_again = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Remembers which tables were heard at this moment.
    fn heard(&mut self, names: &[TableName], tables: &[Seen], now: SystemTime) {
        let names: HashSet<&TableName> = names.iter().collect();
        for table in tables.iter().filter(|table| names.contains(&table.name)) {
            if table.in_whole || table.in_inserts {
                self.last_heard.insert(table.name.clone(), now);
            }
        }
    }

    fn tell_replaced(&self, context: &SessionContext<'_>, name: &TableName) {
        context.meters.tables_replaced.fetch_add(1, Relaxed);
        tracing::warn!(
            table = %name,
            last_seen = self.last_heard.get(name).copied().map(timestamp),
            "another table has this name now; changes of it are not told before it is published"
        );
    }

    /// Logs what has become wrong and what has become right.
    fn tell(&mut self, context: &SessionContext<'_>, problems: BTreeSet<TableProblem>) {
        for TableProblem {
            table,
            what,
            remedy,
            ..
        } in problems.difference(&self.problems)
        {
            tracing::warn!(table, remedy, "{what}");
        }
        for problem in self.problems.difference(&problems) {
            tracing::info!(table = problem.table, "no longer true: {}", problem.what);
        }
        let count = i64::try_from(problems.len()).unwrap_or(i64::MAX);
        context.meters.table_problems.store(count, Relaxed);
        self.problems = problems;
    }
}

/// The tables of hooks.toml that are known by their oids: those of events, and those that owners are found in.
fn names(config: &Config) -> Vec<TableName> {
    let mut names = published_tables(config);
    let paths = path_tables(config);
    names.extend(
        paths
            .into_iter()
            .filter(|name| !names.contains(name))
            .collect::<Vec<_>>(),
    );
    names
}

/// Follows a table that was renamed before it was first seen: the only one of the publications whose name is unknown.
fn follow_renamed(config: &Config, names: &[TableName], tables: &[Seen], followed: &Followed) {
    let owners = config.owner_exists.as_ref().map(|exists| &exists.table);
    let hooks = hook_table(config);
    let configured: HashSet<&TableName> = names.iter().collect();
    let there: HashSet<&TableName> = tables.iter().map(|table| &table.name).collect();
    let is_unknown = |table: &&Seen| {
        (table.in_whole || table.in_inserts)
            && !configured.contains(&table.name)
            && table.name != hooks
            && Some(&table.name) != owners
            && followed.name(table.oid, &table.name, None).is_none()
    };
    let gone = names
        .iter()
        .filter(|name| !there.contains(name) && !followed.has(name));
    let (gone, unknown): (Vec<_>, Vec<_>) =
        (gone.collect(), tables.iter().filter(is_unknown).collect());
    if let ([name], [table]) = (&gone[..], &unknown[..]) {
        followed.put((*name).clone(), table.oid);
    }
}

/// Reads the tables of these names, those with these oids, and those of the publications.
async fn read(
    client: &Client,
    context: &SessionContext<'_>,
    names: &[TableName],
    oids: &[u32],
) -> Result<Vec<Seen>, Error> {
    let schemas: Vec<&str> = names.iter().map(|name| name.schema.as_str()).collect();
    let tables: Vec<&str> = names.iter().map(|name| name.name.as_str()).collect();
    let database = &context.config.database;
    let sql = include_str!("../../sql/catalog/watched_tables.sql");
    let inserts = database.inserts_publication();
    let rows = client
        .query(
            sql,
            &[&schemas, &tables, &oids, &database.publication, &inserts],
        )
        .await?;
    let seen = rows.iter().map(|row| {
        Ok(Seen {
            oid: row.try_get("oid")?,
            name: TableName {
                schema: row.try_get("schema")?,
                name: row.try_get("name")?,
            },
            in_whole: row.try_get("in_whole")?,
            in_inserts: row.try_get("in_inserts")?,
            identity: row.try_get("identity")?,
            key: row.try_get("key")?,
            named_by: row
                .try_get::<_, Option<i64>>("named_by")?
                .and_then(|xid| xid.try_into().ok()),
            untold_parts: row.try_get("untold_parts")?,
        })
    });
    seen.collect()
}
