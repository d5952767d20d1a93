//! Three tables of their own, on which sequences of changes run one after the other.

use std::{sync::Arc, time::Duration};

use harness::connect;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{OwnedRwLockReadGuard, RwLock},
    time::Instant,
};
use tokio_postgres::{Client, error::SqlState};

use crate::WAIT;

/// A name of the configuration that is not that of its table while this is held. rowhook must not be started meanwhile:
/// it asks for every table of the configuration then.
type Renamed = OwnedRwLockReadGuard<()>;

/// A schema with a shelf, the books on it, and a partitioned table; and a session that changes them.
pub struct World {
    number: usize,
    url: String,
    client: Client,
    starts: Arc<RwLock<()>>,
    renamed: Option<Renamed>,
    tables: Tables,
    random: StdRng,
}

/// How often a transaction is tried that a deadlock ends.
const TRIES: u32 = 5;

/// So many sequences are run on the same tables, and judged together.
pub const ON_SAME_TABLES: u64 = 4;

/// Sequences that have run on the same tables.
pub struct Sequence {
    pub world: usize,
    pub number: u64,
    /// Where its WAL begins.
    pub begin: String,
    /// The entries of the oracle after this one are its own.
    pub after: i64,
    pub script: Vec<String>,
    /// All of it was confirmed before its tables were dropped.
    pub is_read: bool,
}

/// What the tables and their columns are called now.
#[derive(Clone)]
struct Tables {
    shelf: String,
    book: String,
    key: &'static str,
    n: &'static str,
    notes: &'static str,
    has_extra: bool,
    total: Total,
    leaves: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Total {
    Generated,
    Plain,
    Missing,
}

impl World {
    pub async fn new(number: usize, url: &str, starts: &Arc<RwLock<()>>) -> Self {
        let client = connect(url).await;
        let world = Self {
            number,
            url: url.to_owned(),
            client,
            starts: Arc::clone(starts),
            renamed: None,
            tables: Tables::new(number),
            random: StdRng::seed_from_u64(0),
        };
        let setup = format!(
            "create schema w{number}; create schema v{number}; {}",
            world.create()
        );
        world.client.batch_execute(&setup).await.unwrap();
        world
    }

    /// Runs sequences one after the other on new tables: `number` is that of the first of [`ON_SAME_TABLES`].
    pub async fn run(&mut self, number: u64, seed: u64) -> Sequence {
        // A session keeps the plans of triggers of tables that are gone, and looks through all of them at each change.
        self.client = connect(&self.url).await;
        self.random = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let row = self
            .client
            .query_one(
                "select pg_current_wal_insert_lsn()::text, (select coalesce(max(entry), 0) from oracle.log)",
                &[],
            )
            .await
            .unwrap();
        let mut sequence = Sequence {
            world: self.number,
            number,
            begin: row.get(0),
            after: row.get(1),
            script: Vec::new(),
            is_read: false,
        };
        self.tables = Tables::new(self.number);
        let script = &mut sequence.script;
        self.execute(&format!("begin; {}; commit", self.recreate()), script)
            .await;
        self.settle(script).await;
        self.execute(&self.rows(), script).await;
        for number in number..number + ON_SAME_TABLES {
            script.push(format!("-- sequence {number}"));
            for _ in 0..self.random.random_range(3..8) {
                self.step(script).await;
            }
        }
        self.rename_back(script).await;
        if self.random.random_ratio(3, 4) {
            self.be_read().await;
            sequence.is_read = true;
        }
        sequence
    }

    /// Waits until all that was written so far is confirmed.
    async fn be_read(&mut self) {
        // A few bytes alone are not confirmed.
        let now = "select pg_logical_emit_message(true, 'filler', repeat('-', 20000))::text";
        let now: String = self.client.query_one(now, &[]).await.unwrap().get(0);
        let sql =
            format!("select bool_and(confirmed_flush_lsn >= '{now}') from pg_replication_slots");
        let fact = format!("{now} is confirmed");
        self.until(&sql, || fact.clone()).await;
    }

    async fn until(&self, sql: &str, fact: impl Fn() -> String) {
        let end = Instant::now() + WAIT;
        // Seldom enough to leave rowhook some of a busy processor.
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while !self
            .client
            .query_one(sql, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            assert!(Instant::now() < end, "never came true: {}", fact());
            ticks.tick().await;
        }
    }

    async fn step(&mut self, script: &mut Vec<String>) {
        match self.random.random_range(0..10) {
            0 => self.change_identity(script).await,
            1 if self.renamed.is_none() => {
                self.renamed = Some(Arc::clone(&self.starts).read_owned().await);
                let statement = self.rename();
                self.execute(&statement, script).await;
            }
            1 => self.rename_back(script).await,
            2 if self.renamed.is_none() => {
                let statement = self.replace();
                self.execute(&statement, script).await;
                self.settle(script).await;
            }
            _ => self.transaction(script).await,
        }
    }

    /// A transaction of a few statements, with savepoints. It may be rolled back as a whole.
    async fn transaction(&mut self, script: &mut Vec<String>) {
        let before = self.tables.clone();
        let mut sql = "begin".to_owned();
        for _ in 0..self.random.random_range(1..6) {
            let kept = self.tables.clone();
            let savepoint = self.random.random_ratio(1, 3);
            if savepoint {
                sql += ";\n  savepoint s; set local oracle.in_savepoint = 'yes'";
            }
            for _ in 0..self.random.random_range(1..3) {
                let statement = match self.random.random_ratio(1, 6) {
                    true => self.alter(),
                    false => self.write(),
                };
                sql += &format!(";\n  {statement}");
            }
            if savepoint && self.random.random_ratio(1, 3) {
                sql += ";\n  rollback to s; release s";
                self.tables = kept;
            } else if savepoint {
                sql += ";\n  release s; set local oracle.in_savepoint = ''";
            }
        }
        if self.random.random_ratio(1, 8) {
            sql += ";\nrollback";
            self.tables = before;
        } else {
            sql += ";\ncommit";
        }
        self.execute(&sql, script).await;
    }

    /// A change of rows.
    fn write(&mut self) -> String {
        let random = &mut self.random;
        let Tables {
            shelf,
            book,
            key,
            n,
            notes,
            leaves,
            ..
        } = &self.tables;
        let any: u32 = random.random_range(0..50);
        let owner = random.random_range(1..=crate::OWNERS);
        let large = format!("repeat('{}', {})", random.random_range(0..10), 2500 + any);
        let part = format!("w{}.part", self.number);
        let leaf = leaves[any as usize % leaves.len()];
        let one = |table: &str, key: &str| {
            format!(
                "(select {key} from {table} order by {key} offset {any} % greatest((select count(*) from {table}), 1) limit 1)"
            )
        };
        let (a_shelf, a_book, a_part) = (one(shelf, "id"), one(book, key), one(&part, "id"));
        match random.random_range(0..20) {
            0 => format!(
                "insert into {shelf} (id, user_id, label) select coalesce(max(id), 0) + 1, {owner}, '{any}' from {shelf}"
            ),
            1 => format!("update {shelf} set user_id = {owner} where id = {a_shelf}"),
            2 => format!("update {shelf} set label = '{any}' where id = {a_shelf}"),
            3 => format!("delete from {shelf} where id = {a_shelf}"),
            4..=6 => format!(
                "insert into {book} ({key}, shelf_id, {n}, {notes}) select (select coalesce(max({key}), 0) + 1 from {book}), s.id, {any}, {large} from {shelf} as s where s.id = {a_shelf}"
            ),
            7 | 8 => format!("update {book} set {n} = {n} + {any} where {key} = {a_book}"),
            9 => format!("update {book} set {notes} = {large}, {n} = {any} where {key} = {a_book}"),
            10 => format!("update {book} set m = '{any}' where {key} = {a_book}"),
            11 => format!("update {book} set shelf_id = {a_shelf} where {key} = {a_book}"),
            12 => format!(
                "update {book} set {key} = (select max({key}) + 1 from {book}) where {key} = {a_book}"
            ),
            13 => format!("delete from {book} where {key} = {a_book}"),
            14 => format!("update {book} set {n} = {n} + 1"),
            15 | 16 => format!(
                "insert into {part} (id, region, user_id, n, notes) select coalesce(max(id), 0) + 1, {leaf}, {owner}, {any}, {large} from {part}"
            ),
            17 => format!("update {part} set n = n + 1, user_id = {owner} where id = {a_part}"),
            18 => format!("update {part} set region = {leaf} where id = {a_part}"),
            _ => format!("delete from {part} where id = {a_part}"),
        }
    }

    /// A change of a table that does not matter to how it is published.
    fn alter(&mut self) -> String {
        let random = &mut self.random;
        let tables = &mut self.tables;
        let world = self.number;
        let book = tables.book.clone();
        let mut altered = "";
        let (role, sql) = match random.random_range(0..11) {
            0 => {
                tables.has_extra = !tables.has_extra;
                let sql = match tables.has_extra {
                    true => format!("alter table {book} add column extra text default 'new'"),
                    false => format!("alter table {book} drop column extra"),
                };
                ("book", sql)
            }
            1 => {
                let from = tables.notes;
                tables.notes = if from == "notes" { "remarks" } else { "notes" };
                let to = tables.notes;
                altered = "notes";
                ("book", format!("alter table {book} rename {from} to {to}"))
            }
            2 => {
                let from = tables.n;
                tables.n = if from == "n" { "amount" } else { "n" };
                let to = tables.n;
                altered = "n";
                ("book", format!("alter table {book} rename {from} to {to}"))
            }
            3 => {
                let from = tables.key;
                tables.key = if from == "id" { "ident" } else { "id" };
                let to = tables.key;
                ("book", format!("alter table {book} rename {from} to {to}"))
            }
            4 => {
                let ty = ["int", "bigint", "text"][random.random_range(0..3)];
                let sql = format!("alter table {book} alter column m type {ty} using m::{ty}");
                ("book", sql)
            }
            5 | 6 => {
                let (n, factor) = (tables.n, random.random_range(2..9));
                let (total, sql) = match tables.total {
                    Total::Generated if factor < 4 => (
                        Total::Plain,
                        format!("alter table {book} alter column total drop expression"),
                    ),
                    Total::Missing => (
                        Total::Generated,
                        format!(
                            "alter table {book} add column total int generated always as ({n} * {factor}) stored"
                        ),
                    ),
                    Total::Generated | Total::Plain => (
                        Total::Missing,
                        format!("alter table {book} drop column total"),
                    ),
                };
                tables.total = total;
                altered = "total";
                ("book", sql)
            }
            7 => ("book", format!("truncate {book}")),
            8 => ("shelf", format!("truncate {} cascade", tables.shelf)),
            9 => ("part", format!("truncate w{world}.part")),
            _ if tables.leaves.contains(&3) => {
                tables.leaves.retain(|leaf| *leaf != 3);
                let sql = format!(
                    "alter table w{world}.part detach partition w{world}.part_3; drop table w{world}.part_3"
                );
                ("part", sql)
            }
            _ => {
                tables.leaves.push(3);
                let sql = format!(
                    "create table w{world}.part_3 (like w{world}.part including all); \
                     alter table w{world}.part attach partition w{world}.part_3 for values in (3)"
                );
                ("part", sql)
            }
        };
        format!(
            "{sql}; insert into oracle.log (world, role, op, altered) values ({world}, '{role}', 'ddl', '{{{altered}}}')"
        )
    }

    /// A change of what identifies the rows of the books.
    async fn change_identity(&mut self, script: &mut Vec<String>) {
        if self.renamed.is_some() {
            return;
        }
        let (book, world) = (self.tables.book.clone(), self.number);
        let key = self.tables.key;
        let sql = match self.random.random_range(0..6) {
            0 | 1 => format!("alter table {book} replica identity full"),
            2 => format!("alter table {book} replica identity default"),
            3 => format!("alter table {book} replica identity nothing"),
            4 => format!(
                "create unique index place_{number} on {book} ({key}, shelf_id); alter table {book} replica identity using index place_{number}",
                number = script.len(),
            ),
            _ => {
                let name = format!(
                    "select conname::text from pg_constraint where conrelid = '{book}'::regclass and contype = 'p'"
                );
                match self.client.query_opt(&name, &[]).await.unwrap() {
                    Some(row) => format!(
                        "alter table {book} drop constraint {}",
                        row.get::<_, String>(0)
                    ),
                    None => format!("alter table {book} add primary key ({key})"),
                }
            }
        };
        let sql = format!(
            "begin; {sql}; insert into oracle.log (world, role, op, altered) values ({world}, 'book', 'ddl', '{{identity}}'); commit"
        );
        self.execute(&sql, script).await;
        self.settle(script).await;
    }

    /// Renames the books' table, or moves it to another schema.
    fn rename(&mut self) -> String {
        let world = self.number;
        let (table, sql) = match self.random.random_range(0..2) {
            0 => (
                format!("w{world}.tome"),
                format!("alter table w{world}.book rename to tome"),
            ),
            _ => (
                format!("v{world}.book"),
                format!("alter table w{world}.book set schema v{world}"),
            ),
        };
        self.tables.book = table;
        format!(
            "begin; {sql}; insert into oracle.log (world, role, op) values ({world}, 'book', 'ddl'); commit"
        )
    }

    /// Gives the books' table its configured name.
    async fn rename_back(&mut self, script: &mut Vec<String>) {
        if self.renamed.is_none() {
            return;
        }
        let world = self.number;
        let sql = match self.tables.book.starts_with('v') {
            true => format!("alter table v{world}.book set schema w{world}"),
            false => format!("alter table w{world}.tome rename to book"),
        };
        self.tables.book = format!("w{world}.book");
        self.execute(
            &format!("begin; {sql}; insert into oracle.log (world, role, op) values ({world}, 'book', 'ddl'); commit"),
            script,
        )
        .await;
        self.renamed = None;
    }

    /// Puts a copy in the place of the books' table.
    fn replace(&mut self) -> String {
        let world = self.number;
        let columns = self.tables.columns();
        format!(
            "begin;
             drop table if exists w{world}.book_old;
             create table w{world}.book_new (like w{world}.book including all);
             alter table w{world}.book_new add foreign key (shelf_id) references w{world}.shelf on delete cascade;
             insert into w{world}.book_new ({columns}) select {columns} from w{world}.book;
             alter table w{world}.book rename to book_old;
             alter table w{world}.book_new rename to book;
             drop trigger \"A_oracle\" on w{world}.book_old;
             drop trigger \"A_oracle_truncate\" on w{world}.book_old;
             call oracle.watch('w{world}.book', {world}, 'book');
             insert into oracle.log (world, role, op, altered) values ({world}, 'book', 'ddl', '{{table}}');
             commit"
        )
    }

    fn recreate(&self) -> String {
        let world = self.number;
        format!(
            "drop table if exists w{world}.book_old; drop table w{world}.book, w{world}.shelf, w{world}.part; \
             delete from oracle.shelf where world = {world}; {}",
            self.create()
        )
    }

    fn create(&self) -> String {
        let world = self.number;
        format!(
            "create table w{world}.shelf (id int primary key, user_id int not null, label text);
             create table w{world}.book (
                 id int not null,
                 shelf_id int not null references w{world}.shelf on delete cascade,
                 n int,
                 m int,
                 notes text,
                 extra text,
                 total int generated always as (n * 10) stored,
                 size int generated always as (length(notes)) stored,
                 primary key (id)
             );
             alter table w{world}.book alter column notes set storage external;
             create table w{world}.part (
                 id int,
                 region int,
                 user_id int,
                 n int,
                 notes text,
                 total int generated always as (n * 10) stored,
                 primary key (id, region)
             ) partition by list (region);
             alter table w{world}.part alter column notes set storage external;
             create table w{world}.part_1 partition of w{world}.part for values in (1);
             create table w{world}.part_2 partition of w{world}.part for values in (2);
             {full}
             call oracle.watch('w{world}.shelf', {world}, 'shelf');
             call oracle.watch('w{world}.book', {world}, 'book');
             call oracle.watch('w{world}.part', {world}, 'part');
             insert into oracle.log (world, role, op) values ({world}, 'book', 'ddl'), ({world}, 'part', 'ddl')",
            full = match crate::is_full(world) {
                true => format!("alter table w{world}.shelf replica identity full;"),
                false => String::new(),
            },
        )
    }

    /// The first rows of new tables.
    fn rows(&self) -> String {
        let world = self.number;
        format!(
            "insert into w{world}.shelf values (1, 1, 'a'), (2, 2, 'b');
             insert into w{world}.book (id, shelf_id, n, notes) values (1, 1, 1, repeat('a', 2600)), (2, 2, 2, repeat('b', 2600));
             insert into w{world}.part (id, region, user_id, n, notes) values (1, 1, 1, 1, repeat('a', 2600)), (2, 2, 2, 2, 'b')"
        )
    }

    /// Waits until all tables are published as they must be.
    async fn settle(&self, script: &mut Vec<String>) {
        let world = self.number;
        let sql = format!(
            "select bool_and(oracle.is_settled(t::regclass)) from unnest(array['w{world}.shelf', 'w{world}.book', 'w{world}.part']) as t"
        );
        let fact = || format!("w{world} is published:\n{}", script.join(";\n"));
        self.until(&sql, fact).await;
        script.push("-- published".to_owned());
    }

    async fn execute(&self, sql: &str, script: &mut Vec<String>) {
        script.push(sql.to_owned());
        for attempt in 1.. {
            let Err(error) = self.client.batch_execute(sql).await else {
                return;
            };
            // Of two that wait for each other, Postgres ends one. Applications try that again.
            let is_deadlock = error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED);
            if !is_deadlock || attempt == TRIES {
                panic!("{error:?}\n{}", script.join(";\n"));
            }
            self.client.batch_execute("rollback").await.unwrap();
        }
    }
}

impl Tables {
    fn new(world: usize) -> Self {
        Self {
            shelf: format!("w{world}.shelf"),
            book: format!("w{world}.book"),
            key: "id",
            n: "n",
            notes: "notes",
            has_extra: true,
            total: Total::Generated,
            leaves: vec![1, 2],
        }
    }

    /// The columns of the books that are not generated.
    fn columns(&self) -> String {
        let mut columns = vec![self.key, "shelf_id", self.n, "m", self.notes];
        if self.has_extra {
            columns.push("extra");
        }
        if self.total == Total::Plain {
            columns.push("total");
        }
        columns.join(", ")
    }
}
