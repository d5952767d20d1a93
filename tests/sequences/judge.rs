//! Compares what was delivered with what the oracle has noted.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt,
};

use harness::{Call, Database};
use rowhook::postgres::Lsn;
use serde_json::{Map, Value};

use crate::{OWNERS, is_full, world::Sequence};

/// How many faults of a kind are printed.
const PRINTED: usize = 4;

type Object = Map<String, Value>;

/// A row to whom it is told: the path of the hook, the table, and the number of the row.
type Row = [String; 3];

/// What came of it.
#[derive(Default)]
pub struct Verdict {
    pub faults: usize,
    events: usize,
    deliveries: usize,
    repeated: usize,
    /// Values that were said to be unknown, by what explains that.
    unknown: BTreeMap<&'static str, usize>,
    kinds: BTreeMap<String, usize>,
}

/// What the oracle has noted of one change.
#[derive(Debug, Clone)]
struct Entry {
    number: i64,
    world: usize,
    role: String,
    op: String,
    old: Option<Object>,
    new: Option<Object>,
    owner: Option<i32>,
    published: String,
    identity: char,
    has_key: bool,
    generated: Vec<String>,
    in_savepoint: bool,
    xid: String,
    altered: Vec<String>,
    lsn: Lsn,
}

/// The bodies that one hook got of one event.
struct Told {
    at: (Lsn, u64),
    bodies: Vec<Value>,
}

pub async fn judge(database: &Database, sequences: &[Sequence], calls: &[Call]) -> Verdict {
    let mut verdict = Verdict {
        deliveries: calls.len(),
        ..Verdict::default()
    };
    let entries = read(database).await;
    let mut told = by_hook_and_table(calls, &mut verdict);
    let mut ordered: Vec<&Sequence> = sequences.iter().collect();
    ordered.sort_by_key(|sequence| (sequence.world, sequence.after));
    for (at, sequence) in ordered.iter().enumerate() {
        let next = ordered.get(at + 1);
        let next = next.filter(|next| next.world == sequence.world);
        let last = next.map_or(i64::MAX, |next| next.after);
        let end: Option<Lsn> = next.map(|next| next.begin.parse().unwrap());
        let own = entries.range(sequence.after + 1..=last);
        let own: Vec<Entry> = own
            .map(|(_, entry)| entry)
            .filter(|entry| entry.world == sequence.world)
            .cloned()
            .collect();
        for role in ["shelf", "book", "part"] {
            for hook in hooks() {
                let key = (hook.clone(), format!("w{}.{role}", sequence.world));
                let all = told.get_mut(&key).map(std::mem::take).unwrap_or_default();
                let (these, rest): (Vec<Told>, Vec<Told>) = all
                    .into_iter()
                    .partition(|told| end.is_none_or(|end| told.at.0 < end));
                told.insert(key, rest);
                let of_role: Vec<&Entry> = own.iter().filter(|entry| entry.role == role).collect();
                let of_shelf: Vec<&Entry> =
                    own.iter().filter(|entry| entry.role == "shelf").collect();
                let case = Case {
                    all: &own,
                    sequence,
                    hook: &hook,
                    role,
                    entries: &of_role,
                    shelves: &of_shelf,
                };
                case.judge(&these, &mut verdict);
            }
        }
    }
    for ((hook, table), rest) in told {
        if !rest.is_empty() {
            verdict.fault("made up", format!("{hook} got {} of {table}", rest.len()));
        }
    }
    let mut keys: HashMap<String, Vec<(Lsn, bool)>> = HashMap::new();
    for entry in entries.values().filter(|entry| entry.op != "ddl") {
        let table = format!("w{}.{}", entry.world, entry.role);
        let of_table = keys.entry(table).or_default();
        of_table.push((entry.lsn, entry.has_key));
    }
    // Without a key a row is told from others by all of its columns, so each other column is another identity.
    let changes_identity = |entry: &&Entry| {
        let is_ddl = entry.op == "ddl";
        let table = format!("w{}.{}", entry.world, entry.role);
        let has_said_so = entry.altered.iter().any(|what| what == "identity");
        has_said_so || (is_ddl && !has_key(&keys, &table, entry.lsn))
    };
    let identities = entries.values().filter(changes_identity);
    let identities: Vec<(String, Lsn)> = identities
        .map(|entry| (format!("w{}.{}", entry.world, entry.role), entry.lsn))
        .collect();
    verdict.order(calls, &identities, &keys, sequences);
    verdict
}

/// Whether a table had a primary key when it was changed last before this. `keys` says that of each change of a table.
fn has_key(keys: &HashMap<String, Vec<(Lsn, bool)>>, table: &str, at: Lsn) -> bool {
    let changes = keys.get(table).map_or(&[][..], Vec::as_slice);
    let before = changes.partition_point(|(lsn, _)| *lsn < at);
    let last = changes.get(..before).and_then(<[_]>::last);
    last.is_none_or(|(_, has_key)| *has_key)
}

fn hooks() -> Vec<String> {
    let owners = (1..=OWNERS).map(|owner| owner.to_string());
    ["all".to_owned()].into_iter().chain(owners).collect()
}

async fn read(database: &Database) -> BTreeMap<i64, Entry> {
    let sql = "select entry, world, role, op, old::text, new::text, owner, orphaned, published, identity::text, generated, in_savepoint, xid, altered, lsn::text, has_key from oracle.log order by entry";
    let object = |text: Option<&str>| text.map(|text| serde_json::from_str(text).unwrap());
    let rows = database.client.query(sql, &[]).await.unwrap();
    let entries = rows.iter().map(|row| {
        let entry = Entry {
            number: row.get(0),
            world: row.get::<_, i32>(1).try_into().unwrap(),
            role: row.get(2),
            op: row.get(3),
            old: object(row.get(4)),
            new: object(row.get(5)),
            owner: row.get(6),
            published: row.get(8),
            identity: row.get::<_, &str>(9).chars().next().unwrap(),
            generated: row.get(10),
            in_savepoint: row.get(11),
            xid: row.get(12),
            altered: row.get(13),
            lsn: row.get::<_, &str>(14).parse().unwrap(),
            has_key: row.get(15),
        };
        (row.get(0), entry)
    });
    entries.collect()
}

/// The events that each hook got of each table, in the order of the stream.
fn by_hook_and_table(
    calls: &[Call],
    verdict: &mut Verdict,
) -> HashMap<(String, String), Vec<Told>> {
    let mut told: BTreeMap<(String, String, Lsn, u64), Vec<Value>> = BTreeMap::new();
    let mut ids: HashSet<(&str, &str)> = HashSet::new();
    for call in calls {
        let body = call.json();
        let hook = call.path.rsplit('/').next().unwrap();
        verdict.repeated += usize::from(!ids.insert((hook, call.id())));
        let (lsn, index) = position(&body);
        let table = body["table"].as_str().unwrap_or_default().to_owned();
        let key = (hook.to_owned(), table, lsn, index);
        told.entry(key).or_default().push(body);
    }
    let mut all: HashMap<(String, String), Vec<Told>> = HashMap::new();
    for ((hook, table, lsn, index), bodies) in told {
        let at = (lsn, index);
        all.entry((hook, table))
            .or_default()
            .push(Told { at, bodies });
    }
    all
}

fn position(body: &Value) -> (Lsn, u64) {
    let position = &body["position"];
    let lsn = position["lsn"].as_str().unwrap().parse().unwrap();
    (lsn, position["index"].as_u64().unwrap())
}

/// What one hook heard of one table in one sequence.
struct Case<'a> {
    /// What happened to all tables.
    all: &'a [Entry],
    sequence: &'a Sequence,
    hook: &'a str,
    role: &'a str,
    entries: &'a [&'a Entry],
    shelves: &'a [&'a Entry],
}

impl Case<'_> {
    fn judge(&self, told: &[Told], verdict: &mut Verdict) {
        let entries = self.entries.iter().enumerate();
        let mut expected: Vec<(usize, Entry)> = entries
            .filter(|(_, entry)| entry.op != "ddl" && entry.is_published())
            .map(|(at, entry)| (at, (*entry).clone()))
            .collect();
        let mut halves = HashMap::new();
        if self.role == "part" {
            halves = self.join_moves(&mut expected);
        }
        if self.hook == "all" {
            verdict.events += expected.len();
        }
        let mut told = told.iter().peekable();
        let expected = expected.into_iter();
        let mut expected: VecDeque<(usize, Entry, bool)> =
            expected.map(|(at, entry)| (at, entry, true)).collect();
        while let Some((at, entry, must)) = expected.pop_front() {
            if let Some((deleted, inserted)) = halves.remove(&entry.number)
                && told
                    .peek()
                    .is_some_and(|told| self.is_half(told, &inserted))
            {
                // A process that was killed may have told the whole before.
                expected.push_front((at, entry, false));
                expected.push_front((at, inserted, true));
                expected.push_front((at, deleted, true));
                continue;
            }
            let (at, entry) = (&at, &entry);
            let owner = self.owner(entry);
            let is_this = |owner: &i32| self.hook == owner.to_string();
            let hears = match &owner {
                _ if self.hook == "all" => Hears::Must,
                Owner::Known(Some(owner)) if is_this(owner) => Hears::Must,
                Owner::Perhaps(owners) if owners.iter().any(is_this) => Hears::May,
                Owner::Known(_) | Owner::Perhaps(_) => continue,
            };
            let wrong = match told.peek() {
                None => Some("nothing more was delivered".to_owned()),
                Some(next) if !must && !next.bodies.iter().all(is_move) => {
                    Some("not told as a whole".to_owned())
                }
                Some(next) => next
                    .bodies
                    .iter()
                    .find_map(|body| self.compare(*at, entry, &owner, body, verdict).err()),
            };
            match (wrong, hears) {
                (None, _) => _ = told.next(),
                (Some(_), _) if !must => {}
                (Some(_), Hears::May) => {}
                (Some(wrong), Hears::Must) => {
                    let next = told.peek().map(|told| short(&told.bodies));
                    let what = format!(
                        "{wrong}\n  expected {}\n  got {}",
                        entry.short(),
                        next.unwrap_or_default()
                    );
                    return self.fault(verdict, &wrong, what);
                }
            }
        }
        if let Some(next) = told.next() {
            let what = format!("more was delivered: {}", short(&next.bodies));
            self.fault(verdict, "more was delivered", what);
        }
    }

    fn fault(&self, verdict: &mut Verdict, kind: &str, what: String) {
        let Sequence {
            world,
            number,
            script,
            begin,
            ..
        } = self.sequence;
        let (hook, role) = (self.hook, self.role);
        let script = script.join(";\n");
        let log: Vec<String> = self.entries.iter().map(|entry| entry.short()).collect();
        verdict.fault(
            kind,
            format!(
                "sequence {number} in w{world} from {begin}, {role} to {hook}: {what}\n  the oracle has:\n    {}\n{script}",
                log.join("\n    ")
            ),
        );
    }

    /// Whose the row was, as far as it can be told.
    fn owner(&self, entry: &Entry) -> Owner {
        let is_of_key_only = entry.op == "delete" && entry.identity != 'f';
        let has_place = self.role == "book" && entry.identity == 'i';
        let Some(owner) = entry.owner.filter(|_| !is_of_key_only || has_place) else {
            return Owner::Known(None);
        };
        if self.role != "book" {
            return Owner::Known(Some(owner));
        }
        // A table that is gone cannot be asked, and another one has its name.
        if !self.sequence.is_read {
            return Owner::Perhaps((1..=OWNERS.cast_signed()).collect());
        }
        // Without the whole old row, the stream does not tell whose a shelf was before it was given to another, or
        // deleted. Who has it by then may take the place of its owner.
        let shelf = entry.shown().get("shelf_id");
        let of_shelf = |row: &Option<Object>| {
            let row = row.as_ref().filter(|row| row.get("id") == shelf)?;
            row.get("user_id")?.as_i64()?.try_into().ok()
        };
        let changes = self.shelves.iter().filter(|other| other.old.is_some());
        let later: Vec<i32> = changes
            .flat_map(|other| [of_shelf(&other.old), of_shelf(&other.new)])
            .flatten()
            .collect();
        // TRUNCATE does not say whose the shelves were.
        let is_emptied = self.shelves.iter().any(|other| other.op == "truncate");
        match is_full(self.sequence.world) {
            true if is_emptied => Owner::Perhaps(vec![owner]),
            true => Owner::Known(Some(owner)),
            false if later.is_empty() && !is_emptied => Owner::Known(Some(owner)),
            false => Owner::Perhaps([later, vec![owner]].concat()),
        }
    }

    fn compare(
        &self,
        at: usize,
        entry: &Entry,
        owner: &Owner,
        body: &Value,
        verdict: &mut Verdict,
    ) -> Result<(), String> {
        let event = match &*entry.op {
            "insert" => "created",
            "update" => "updated",
            "delete" => "deleted",
            _ => "truncated",
        };
        let event = format!("w{}.{}.{event}", self.sequence.world, self.role);
        if body["type"] != *event {
            return Err("another event".into());
        }
        let told = body["owner"].as_str().map(|owner| owner.parse().unwrap());
        let is_right = match owner {
            Owner::Known(owner) => told == *owner,
            Owner::Perhaps(owners) => told.is_none_or(|told| owners.contains(&told)),
        };
        if !is_right {
            return Err("another owner".into());
        }
        if entry.op == "truncate" {
            return Ok(());
        }
        let empty = Object::new();
        let data = body["data"].as_object().unwrap_or(&empty);
        let unchanged: Vec<&str> = body["unchanged"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let row = entry.shown();
        for (name, value) in row {
            match data.get(name) {
                Some(told) if told == value => {}
                Some(_) => return Err(format!("another value of {}", column(name))),
                None => {
                    let named = unchanged.contains(&name.as_str());
                    let Some(reason) = self.excuse(at, entry, name, named) else {
                        return Err(match named {
                            true => format!("{} is said to be unknown", column(name)),
                            false => format!("{} is missing", column(name)),
                        });
                    };
                    *verdict.unknown.entry(reason).or_default() += 1;
                }
            }
        }
        if let Some(other) = data.keys().find(|name| !row.contains_key(*name)) {
            return Err(format!("{other} is not of the row"));
        }
        let strange = unchanged.iter().find(|name| !row.contains_key(**name));
        if let Some(other) = strange
            && !self.is_altered_later(at)
        {
            return Err(format!("{other} is not of the row, and named as unknown"));
        }
        let old = entry.old.as_ref().unwrap_or(&empty);
        for (name, value) in body["old"].as_object().unwrap_or(&empty) {
            if old.get(name) != Some(value) {
                return Err(format!("another old value of {}", column(name)));
            }
        }
        Ok(())
    }

    /// A row that moves to another partition is one update. The stream has a deletion and an insertion, which may as
    /// well be two statements about one key: these are joined too, as the documentation says.
    /// Returns both halves, by the number of the second.
    fn join_moves(&self, entries: &mut Vec<(usize, Entry)>) -> HashMap<i64, (Entry, Entry)> {
        let mut halves = HashMap::new();
        let mut joined: Vec<(usize, Entry)> = Vec::new();
        for (at, entry) in entries.drain(..) {
            let value =
                |row: &Option<Object>, name| row.as_ref().and_then(|row| row.get(name)).cloned();
            if let Some((_, before)) = joined.last_mut()
                && (&*before.op, &*entry.op) == ("delete", "insert")
                && before.xid == entry.xid
                && value(&before.old, "id") == value(&entry.new, "id")
                && value(&before.old, "region") != value(&entry.new, "region")
                && !self.is_interrupted(before, &entry)
            {
                halves.insert(entry.number, (before.clone(), entry.clone()));
                *before = Entry {
                    op: "update".to_owned(),
                    old: before.old.take(),
                    ..entry
                };
            } else {
                joined.push((at, entry));
            }
        }
        *entries = joined;
        halves
    }

    /// Is this a half of a move, as a deletion or an insertion? That a table was partitioned cannot be known any more
    /// when it is dropped before its changes are read.
    fn is_half(&self, told: &Told, inserted: &Entry) -> bool {
        let is_half = |body: &Value| {
            body["op"] != "update" && Some(&body["data"]["id"]) == inserted.shown().get("id")
        };
        !self.sequence.is_read && told.bodies.first().is_some_and(is_half)
    }

    /// Does the stream have something between these two? No move is interrupted.
    fn is_interrupted(&self, one: &Entry, other: &Entry) -> bool {
        let (first, last) = (one.number, other.number);
        let mut between = self.all.iter();
        between.any(|entry| {
            first < entry.number && entry.number < last && entry.op != "ddl" && entry.is_published()
        })
    }

    /// Was what a generated column is computed from changed since, or by the same transaction?
    fn is_computed_otherwise(&self, at: usize, entry: &Entry, name: &str) -> bool {
        let uses: &[&str] = match name {
            "total" => &["n", "total"],
            _ => &["notes"],
        };
        let is_of = |other: &Entry| other.altered.iter().any(|column| uses.contains(&&**column));
        let own = self.entries.iter().filter(|other| other.xid == entry.xid);
        let later = || self.entries.iter().skip(at + 1);
        // The table that was replaced first is dropped when the next one is.
        let replaced = later().filter(|other| other.altered.iter().any(|what| what == "table"));
        own.chain(later()).any(|other| is_of(other)) || replaced.count() > 1
    }

    /// Why a value of the row need not be told. `named` says that it is said to be unknown.
    fn excuse(&self, at: usize, entry: &Entry, name: &str, named: bool) -> Option<&'static str> {
        let is_generated = entry.generated.iter().any(|column| column == name);
        if entry.op == "delete" && entry.identity != 'f' {
            let is_key = matches!(name, "id" | "ident")
                || entry.identity == 'i' && name == "shelf_id"
                || self.role == "part" && name == "region";
            return (!is_key).then_some("a deleted row of which the stream has the key");
        }
        if is_generated && self.is_computed_otherwise(at, entry, name) {
            return Some("a generated column that is computed in another way since");
        }
        if is_generated && !self.sequence.is_read {
            return Some("a generated column of a table that was dropped since");
        }
        if !named {
            return None;
        }
        let is_large = |name: &str| {
            let (old, new) = (entry.old.as_ref(), entry.new.as_ref());
            let value = |row: Option<&Object>| row.and_then(|row| row.get(name)).cloned();
            let new = value(new);
            let is_long = new
                .as_ref()
                .and_then(Value::as_str)
                .is_some_and(|text| text.len() > 1500);
            entry.op == "update" && is_long && new == value(old)
        };
        let left_out = entry.identity != 'f'
            && (is_large(name) || name == "size" && (is_large("notes") || is_large("remarks")));
        if !left_out {
            return None;
        }
        if !entry.has_key {
            Some("a large value of a row without a primary key")
        } else if entry.in_savepoint {
            Some("a large value of a row that was written in a savepoint")
        } else if self.is_altered_by(entry) {
            // The catalog does not tell whether that was before the row.
            Some("a large value of a table that the same transaction altered")
        } else if self.is_altered_later(at) {
            Some("a large value of a table that was altered since")
        } else if self.is_touched_later(at, entry) {
            Some("a large value of a row that was changed since")
        } else {
            (!self.sequence.is_read).then_some("a large value of a table that was dropped since")
        }
    }

    fn is_altered_by(&self, entry: &Entry) -> bool {
        let mut own = self.entries.iter().filter(|other| other.xid == entry.xid);
        own.any(|other| other.op == "ddl")
    }

    fn is_altered_later(&self, at: usize) -> bool {
        self.entries
            .iter()
            .skip(at + 1)
            .any(|later| later.op == "ddl")
    }

    fn is_touched_later(&self, at: usize, entry: &Entry) -> bool {
        let key = |row: &Object| row.get("id").or_else(|| row.get("ident")).cloned();
        let own = key(entry.shown());
        self.entries.iter().skip(at + 1).any(|later| {
            later.op == "truncate" || later.old.as_ref().is_some_and(|old| key(old) == own)
        })
    }
}

enum Owner {
    Known(Option<i32>),
    /// One of these, or unknown.
    Perhaps(Vec<i32>),
}

enum Hears {
    Must,
    May,
}

impl Entry {
    fn is_published(&self) -> bool {
        match &*self.published {
            "whole" => true,
            "inserts" => matches!(&*self.op, "insert" | "truncate"),
            _ => false,
        }
    }

    fn shown(&self) -> &Object {
        static EMPTY: std::sync::OnceLock<Object> = std::sync::OnceLock::new();
        let row = self.new.as_ref().or(self.old.as_ref());
        row.unwrap_or_else(|| EMPTY.get_or_init(Object::new))
    }

    /// It in one line, without large values.
    fn short(&self) -> String {
        let row = |row: &Option<Object>| {
            let each = row
                .iter()
                .flatten()
                .map(|(name, value)| match value.as_str() {
                    Some(text) if text.len() > 20 => {
                        format!("{name}={}*{}", text.chars().next().unwrap(), text.len())
                    }
                    _ => format!("{name}={value}"),
                });
            each.collect::<Vec<_>>().join(" ")
        };
        format!(
            "{} {}{} [{}] -> [{}] owner {:?}",
            self.published,
            self.op,
            if self.in_savepoint {
                " in a savepoint"
            } else {
                ""
            },
            row(&self.old),
            row(&self.new),
            self.owner
        )
    }
}

/// Bodies in one line each, without large values.
fn short(bodies: &[Value]) -> String {
    let mut text = String::new();
    for body in bodies {
        let mut body = body.clone();
        for image in ["data", "old"] {
            for (_, value) in body[image].as_object_mut().into_iter().flatten() {
                if let Some(long) = value.as_str().filter(|text| text.len() > 20) {
                    *value = format!("{}*{}", long.chars().next().unwrap(), long.len()).into();
                }
            }
        }
        text += &format!("{body}\n      ");
    }
    text
}

/// One of the columns, under the name that the table was created with.
fn column(name: &str) -> &str {
    match name {
        "remarks" => "notes",
        "amount" => "n",
        "ident" => "id",
        name => name,
    }
}

impl Verdict {
    fn fault(&mut self, kind: &str, what: String) {
        self.faults += 1;
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        if self.kinds[kind] <= PRINTED {
            println!("--- {what}\n");
        }
    }

    /// The events of each row must have arrived in the order of the stream. What identifies a row may change: with
    /// another identity it is another row. `keys` says of each change of a table whether that had a primary key.
    fn order(
        &mut self,
        calls: &[Call],
        identities: &[(String, Lsn)],
        keys: &HashMap<String, Vec<(Lsn, bool)>>,
        sequences: &[Sequence],
    ) {
        // Where rows begin that no key tells from others of the same number.
        let mut begun: HashMap<Row, Vec<(Lsn, u64)>> = HashMap::new();
        for call in calls {
            let body = call.json();
            let (table, at) = (body["table"].as_str().unwrap_or_default(), position(&body));
            if body["op"] == "insert"
                && let Some(key) = row_of(call, &body)
                && !has_key(keys, table, at.0)
            {
                begun.entry(key).or_default().push(at);
            }
        }
        let moves = Moves::of(calls);
        let mut moved: HashSet<(Row, (Lsn, u64))> = HashSet::new();
        // By path, table and row.
        let mut newest: HashMap<Row, ((Lsn, u64), bool)> = HashMap::new();
        let mut seen: HashSet<(&str, &str)> = HashSet::new();
        for call in calls {
            if !seen.insert((&call.path, call.id())) {
                continue;
            }
            let body = call.json();
            let Some(key) = row_of(call, &body) else {
                continue;
            };
            let table = body["table"].as_str().unwrap_or_default().to_owned();
            // Whose a book was may be told in another way after a restart, where the old rows of shelves are not whole.
            let mut worlds = 1..=crate::WORLDS;
            let is_unsure = |world| !is_full(world) && table == format!("w{world}.book");
            if !call.path.ends_with("/all") && worlds.any(is_unsure) {
                continue;
            }
            let at = position(&body);
            if let Some(whole) = moves.whole(&key, &body)
                && !moved.insert(whole)
            {
                continue;
            }
            let is_insertion = body["op"] == "insert";
            let begun = begun.get(&key);
            let Some((before, was_insertion)) = newest.insert(key, (at, is_insertion)) else {
                continue;
            };
            let mut changes = identities.iter();
            let is_another =
                changes.any(|(of, lsn)| *of == table && at.0 < *lsn && *lsn < before.0);
            // Without a key a row is told from others by all of its columns, or by those of its replica identity. One
            // that is inserted is then another than one that had the same number before it.
            let is_another = is_another
                || begun
                    .is_some_and(|begun| begun.iter().any(|begun| at < *begun && *begun <= before));
            // Two insertions are of two rows, of which nothing but inserts is heard.
            if before > at && !is_another && !(is_insertion && was_insertion) {
                let what = format!(
                    "{} after {} {}: {}\n{}",
                    call.path,
                    before.0,
                    before.1,
                    short(&[body]),
                    script_at(sequences, &table, at.0)
                );
                self.fault("out of order", what);
            }
        }
    }
}

/// Has the row moved to another partition, and is told of as one update?
fn is_move(body: &Value) -> bool {
    let (from, to) = (&body["old"]["region"], &body["data"]["region"]);
    body["op"] == "update" && !from.is_null() && from != to
}

/// The rows that moved to another partition, as far as that was told as one update. A process that finds the table gone
/// tells a deletion and an insertion, also where one before it has told the update: that is a repetition of it.
struct Moves(HashMap<(Row, (Lsn, u64)), Row>);

impl Moves {
    fn of(calls: &[Call]) -> Self {
        let mut moves = HashMap::new();
        for call in calls {
            let body = call.json();
            if !is_move(&body) {
                continue;
            }
            let Some(key) = row_of(call, &body) else {
                continue;
            };
            let (lsn, index) = position(&body);
            // An update has the number behind that of the insertion, which is behind that of the deletion.
            let mut former = body.clone();
            former["data"]["region"] = body["old"]["region"].clone();
            let halves = [(row_of(call, &former), 2), (Some(key.clone()), 1)];
            for (half, before) in halves {
                if let (Some(half), Some(index)) = (half, index.checked_sub(before)) {
                    moves.insert((half, (lsn, index)), key.clone());
                }
            }
            moves.insert((key.clone(), (lsn, index)), key);
        }
        Self(moves)
    }

    /// The row and the position of the update that an event is, or is a half of.
    fn whole(&self, key: &Row, body: &Value) -> Option<(Row, (Lsn, u64))> {
        let (lsn, index) = position(body);
        let row = self.0.get(&(key.clone(), (lsn, index)))?;
        let after = match body["op"].as_str()? {
            "delete" => 2,
            "insert" => 1,
            _ => 0,
        };
        Some((row.clone(), (lsn, index + after)))
    }
}

/// The path, the table and the number of the row that a delivery is about.
fn row_of(call: &Call, body: &Value) -> Option<Row> {
    let data = &body["data"];
    let id = data.get("id").or_else(|| data.get("ident"))?;
    // A row of another partition is another row.
    let id = serde_json::json!([id, data.get("region")]);
    let table = body["table"].as_str().unwrap_or_default();
    Some([call.path.clone(), table.to_owned(), id.to_string()])
}

/// What was done to a table around a position.
fn script_at(sequences: &[Sequence], table: &str, at: Lsn) -> String {
    let of_world = sequences
        .iter()
        .filter(|sequence| table.starts_with(&format!("w{}.", sequence.world)));
    let until = of_world.filter(|sequence| sequence.begin.parse::<Lsn>().unwrap() < at);
    let last = until.max_by_key(|sequence| sequence.after);
    last.map_or_else(String::new, |sequence| sequence.script.join(";\n"))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} events, {} deliveries, {} repeated, {} faults",
            self.events, self.deliveries, self.repeated, self.faults
        )?;
        for (what, times) in &self.unknown {
            writeln!(f, "  not told: {what}: {times}")?;
        }
        for (what, times) in &self.kinds {
            writeln!(f, "  fault: {what}: {times}")?;
        }
        Ok(())
    }
}
