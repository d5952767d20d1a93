//! Real applications, with all their tables on: a shop (django-oscar), a site (Wagtail) and a help desk
//! (django-helpdesk). Each does a day's work by its own loaders and commands. What arrives is compared with what triggers
//! saw: how many changes, in which order for each row, and every value.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use harness::{Call, Database, Receiver, Rowhook, rowhook, rowhook_in};
use serde_json::Value;
use tempfile::TempDir;

/// The triggers' log. Every second table shows whole old rows, as some do.
const WATCH: &str = "
    create schema watch;
    create table watch.log (n bigserial primary key, source text, op text, old jsonb, new jsonb);
    create function watch.note() returns trigger language plpgsql as $$ begin
        insert into watch.log (source, op, old, new)
        values (tg_table_name, tg_op, case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end);
        return null;
    end $$;
    do $$ declare source record; begin
        for source in select oid::regclass as name, row_number() over (order by relname) as place from pg_class
            where relkind = 'r' and relnamespace = 'public'::regnamespace
        loop
            execute format('create trigger watched after insert or update or delete on %s for each row execute function watch.note()', source.name);
            if source.place % 2 = 0 then
                execute format('alter table %s replica identity full', source.name);
            end if;
        end loop;
    end $$";

/// The virtual environment with the applications. It is made once.
fn environment() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/apps");
        let status = Command::new(root.join("scripts/install-apps"))
            .arg(&folder)
            .status()
            .unwrap();
        assert!(status.success(), "the applications could not be installed");
        folder
    });
    made.clone()
}

/// Has an application make its tables (`migrate`), or do its day's work (`load`).
async fn run(application: &str, step: &str, database: &Database, media: &TempDir) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(environment().join("bin/python"));
    command
        .args(["manage.py", application, step])
        .current_dir(root.join("tests/applications"))
        .env("DATABASE_URL", &database.url)
        .env("MEDIA_ROOT", media.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{application} {step}: {said}");
}

/// The hooks.toml that init writes for all tables, as it is but for the database and the slot of this test.
fn init(database: &Database) -> String {
    let folder = TempDir::new().unwrap();
    let mut args = vec!["init", &*database.url];
    // Django's own too, which init leaves out unless they are named.
    for pattern in ["*", "django_*", "auth_permission"] {
        args.extend(["--tables", pattern]);
    }
    let ended = rowhook_in(&folder, &args);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let text = std::fs::read_to_string(folder.path().join("hooks.toml")).unwrap();
    text.replace("${DATABASE_URL}", &database.url).replace(
        "[database]",
        &format!("[database]\nslot = \"{}\"", database.name),
    )
}

/// What happened to a row.
#[derive(Debug, PartialEq)]
struct Happened {
    op: String,
    old: Option<Value>,
    new: Option<Value>,
    /// The columns that an update is said to have left as they were, without their values.
    unchanged: Vec<String>,
}

/// What happened, for each table and row in its order.
type Days = BTreeMap<(String, String), Vec<Happened>>;

/// The primary keys: the columns of each table.
async fn keys(database: &Database) -> HashMap<String, Vec<String>> {
    let sql = "select c.relname, array_agg(a.attname::text order by a.attnum)
        from pg_index i join pg_class c on c.oid = i.indrelid
        join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
        where i.indisprimary and c.relnamespace = 'public'::regnamespace group by 1";
    let rows = database.client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn key(keys: &HashMap<String, Vec<String>>, source: &str, row: &Value) -> String {
    let columns = keys[source].iter();
    let values: Vec<String> = columns.map(|column| row[column].to_string()).collect();
    values.join(" ")
}

/// What the triggers saw.
async fn seen(database: &Database, keys: &HashMap<String, Vec<String>>) -> Days {
    let sql = "select source, op, old::text, new::text from watch.log order by n";
    let mut days = Days::new();
    for row in database.client.query(sql, &[]).await.unwrap() {
        let (source, op): (String, String) = (row.get(0), row.get(1));
        let [old, new] = [2, 3].map(|column| {
            let text: Option<String> = row.get(column);
            text.map(|text| serde_json::from_str::<Value>(&text).unwrap())
        });
        let row = key(keys, &source, new.as_ref().or(old.as_ref()).unwrap());
        let happened = Happened {
            op: op.to_lowercase(),
            old,
            new,
            unchanged: Vec::new(),
        };
        days.entry((source, row)).or_default().push(happened);
    }
    days
}

/// What rowhook told of it.
fn told(calls: &[Call], keys: &HashMap<String, Vec<String>>) -> Days {
    let mut days = Days::new();
    for call in calls {
        let body = call.json();
        let source = body["table"].as_str().unwrap().to_owned();
        let source = source.trim_start_matches("public.").to_owned();
        let op = body["op"].as_str().unwrap().to_owned();
        let data = body["data"].clone();
        let (old, new) = match &*op {
            "delete" => (Some(data), None),
            "insert" => (None, Some(data)),
            _ => (
                body.get("old").filter(|old| !old.is_null()).cloned(),
                Some(data),
            ),
        };
        let unchanged = serde_json::from_value(body["unchanged"].clone()).unwrap();
        let row = key(keys, &source, new.as_ref().or(old.as_ref()).unwrap());
        let happened = Happened {
            op,
            old,
            new,
            unchanged,
        };
        days.entry((source, row)).or_default().push(happened);
    }
    days
}

/// Compares a change, of a table whose old rows are known in whole or not.
fn compare(place: &(String, String), happened: &Happened, heard: &Happened, is_full: bool) {
    assert_eq!(happened.op, heard.op, "{place:?}");
    let (old, mut new) = (happened.old.as_ref(), happened.new.clone());
    // A large value that a later version has replaced by the time it is asked for is unknown.
    for column in &heard.unchanged {
        assert!(!is_full, "{place:?}: {column} stands in the old row");
        let value = new
            .as_mut()
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(column);
        assert_eq!(
            value.as_ref(),
            Some(&old.unwrap()[column]),
            "{place:?}: {column}"
        );
    }
    assert_eq!(new, heard.new, "{place:?}");
    if is_full {
        assert_eq!(old, heard.old.as_ref(), "{place:?}");
    } else if let Some(heard) = &heard.old {
        // Only the key is known, and whatever is said is true.
        for (column, value) in heard.as_object().unwrap() {
            assert_eq!(&old.unwrap()[column], value, "{place:?}: {column}");
        }
    }
}

async fn every_change_of(application: &str, least: usize) {
    let (database, media) = (Database::new().await, TempDir::new().unwrap());
    run(application, "migrate", &database, &media).await;
    let config = init(&database);
    let check = rowhook(&config, &["check"]);
    assert_eq!(check.code, 0, "{}{}\n{config}", check.out, check.err);

    database.sql(WATCH).await;
    let receiver = Receiver::start().await;
    let hook = format!(
        "\n[delivery]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\npayload = \"standard\"\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    // A guess of secrets is for people to look at. Here every column is compared.
    let whole: Vec<&str> = config
        .lines()
        .filter(|line| !line.starts_with("exclude = "))
        .collect();
    let mut running = Rowhook::start(&(whole.join("\n") + &hook));
    running.until_log("attached slot=").await;
    run(application, "load", &database, &media).await;

    let keys = keys(&database).await;
    let seen = seen(&database, &keys).await;
    let changes: usize = seen.values().map(Vec::len).sum();
    assert!(
        changes >= least,
        "{application} has done nearly nothing: {changes}"
    );
    database.until_all_has_arrived().await;
    // All are there; each is checked against its schema, too.
    let calls = receiver.expect(0).await;
    let told = told(&calls, &keys);
    let sql = "select relname, relreplident = 'f' from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
    let full = database.client.query(sql, &[]).await.unwrap();
    let is_full: HashMap<String, bool> = full.iter().map(|row| (row.get(0), row.get(1))).collect();
    let (mut unknown, mut heard_of) = (0, 0);
    for (place, happened) in &seen {
        let heard = told.get(place).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(
            happened.len(),
            heard.len(),
            "{place:?}: {happened:#?}\n{heard:#?}"
        );
        for (happened, heard) in happened.iter().zip(heard) {
            compare(place, happened, heard, is_full[&place.0]);
            unknown += heard.unchanged.len();
            heard_of += 1;
        }
    }
    assert_eq!(
        calls.len(),
        heard_of,
        "nobody saw the others, or they came twice"
    );
    println!(
        "{application}: {changes} deliveries of {} tables are equal, {unknown} values of them unknown",
        is_full.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_shop_arrives_as_its_triggers_saw_it() {
    every_change_of("shop", 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_site_arrives_as_its_triggers_saw_it() {
    every_change_of("cms", 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_help_desk_arrives_as_its_triggers_saw_it() {
    every_change_of("desk", 300).await;
}
