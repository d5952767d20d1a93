//! Beside a real Django application with django-rest-hooks 1.5: both send, to the same endpoint, for the same saves.

use harness::{Call, Database, Receiver, rowhook};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

/// The running application. It answers each line on its standard input with one line.
struct Application {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Application {
    /// Starts the application on a database, in which it creates its tables.
    async fn start(database: &Database, env: &[(&str, &str)]) -> Self {
        database.sql("create extension hstore").await;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(environment().join("bin/python"))
            .arg("app.py")
            .current_dir(root.join("tests/django"))
            .env("DATABASE_URL", &database.url)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut application = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        assert_eq!(application.hear(), "ready");
        application
    }

    /// Runs these lines of Python in the application, and returns the value of the last one.
    fn run(&mut self, python: &str) -> String {
        writeln!(self.input, "{}", json!(python)).unwrap();
        self.input.flush().unwrap();
        let answer = self.hear();
        assert!(
            !answer.starts_with("failed: "),
            "{python}\n{}",
            answer.replace("\\n", "\n")
        );
        answer
    }

    fn hear(&mut self) -> String {
        // The application may wait for an endpoint of this process, which has to answer meanwhile.
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The virtual environment. It is made once.
fn environment() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/django");
        let status = Command::new(root.join("scripts/install-django"))
            .arg(&folder)
            .status()
            .unwrap();
        assert!(status.success(), "Django could not be installed");
        folder
    });
    made.clone()
}

/// What `rowhook init --from-django` writes for the application, and what it says.
fn asked(env: &[(&str, &str)]) -> (String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("hooks.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_rowhook"))
        .args(["init", "--from-django"])
        .arg(root.join("tests/django"))
        .arg("--python")
        .arg(environment().join("bin/python"))
        .arg("--config")
        .arg(&written)
        .env("DATABASE_URL", "postgresql://localhost:1/shop")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    (std::fs::read_to_string(written).unwrap(), said)
}

/// The file that init has written, from its section `[delivery]` on, with `hooks` at its end.
fn config(hooks: &str, env: &[(&str, &str)]) -> String {
    let (text, _) = asked(env);
    let (_, rules) = text.split_once("[delivery]\n").unwrap();
    format!("{rules}\n{hooks}\n")
}

/// The calls of one of the two senders.
fn of(calls: &[Call], sender: &str) -> Vec<Call> {
    let sent_by = |call: &&Call| call.header("user-agent").starts_with(sender);
    calls.iter().filter(sent_by).cloned().collect()
}

/// The bodies by event and row, in the order of arrival. There is no order between rows.
fn bodies(calls: &[Call]) -> BTreeMap<String, Vec<String>> {
    let mut bodies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in calls {
        let json = call.json();
        let row = format!("{} {}", json["hook"]["event"], json["data"]["pk"]);
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        bodies.entry(row).or_default().push(body);
    }
    bodies
}

async fn both(receiver: &Receiver, so_many: usize) -> (Vec<Call>, Vec<Call>) {
    let calls = receiver
        .until(&format!("{so_many} calls of each"), |calls| {
            of(calls, "rowhook").len() >= so_many && of(calls, "python").len() >= so_many
        })
        .await;
    let (django, rowhook) = (of(&calls, "python"), of(&calls, "rowhook"));
    assert_eq!((django.len(), rowhook.len()), (so_many, so_many));
    (django, rowhook)
}

fn title(call: &Call) -> Value {
    call.json()["data"]["fields"]["title"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_django_is_byte_for_byte_what_django_rest_hooks_sends() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let mut app = Application::start(&database, &[]).await;
    let _rowhook = database.rowhook(&config("", &[])).await;
    app.run(&format!(
        "anna, ben = (User.objects.create(username=name) for name in ('anna', 'ben'))\n\
         for event in ['thing.added', 'thing.changed', 'thing.removed', 'book.added', 'book.removed', 'ticket.added', 'user.logged_in', 'everything.added', 'everything.changed', 'everything.removed', 'novel.added', 'novel.changed']:\n    \
             Hook.objects.create(user=anna, event=event, target='{}')\n",
        receiver.url()
    ));
    // First only defaults and NULLs, then the extremes of every type.
    app.run("Thing.objects.create(user=anna)");
    app.run(
        r#"
utc = dt.timezone.utc
full = Thing.objects.create(
    user=anna, yes=True, maybe=False, small=-32768, number=2147483647, big=-9223372036854775808,
    price=Decimal('9.50'), tiny=Decimal('0.0000001000'), ratio=1e16,
    title='Dune "é" \\ \u20ac \U0001f600', text='two\nlines\t\x01\x7f/', slug='dune', link='https://example.com/?a=1&b=2',
    mail='a@example.com', file='covers/dune.png',
    day=dt.date(2024, 2, 29), moment=dt.datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=utc), clock=dt.time(23, 59, 59, 999999),
    span=dt.timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5),
    token=uuid.UUID('6f1c0f0e-7c43-4a3b-8f5b-0a3f5e1d2c4b'), address='2001:db8::1', blob=b'\x00\xff\x10',
    extra={'a': 1.5, 'b': [1, None, True, 'é'], 'c': {'d': 12345678901234567890, 'ee': 1e-7}},
    numbers=[1, None, -3], words=['plain', 'with "quotes"', 'com,ma', 'é', '', 'NULL', 'back\\slash'], grid=[[1, 2], [3, 4]],
    prices=[Decimal('1.50'), Decimal('0.00')], flags=[True, False], ratios=[0.1, 1e300, 3.0],
    days=[dt.date(1999, 12, 31)], moments=[dt.datetime(2024, 5, 1, 12, tzinfo=utc), dt.datetime(2024, 5, 1, 12, 0, 0, 5, tzinfo=utc)],
    clocks=[dt.time(1, 2, 3), dt.time(1, 2, 3, 4)], spans=[dt.timedelta(0), dt.timedelta(days=-1, seconds=5)],
    tokens=[uuid.UUID(int=7)], pairs={'a': 'b', 'c': None, 'é': '"'}, legacy_id=7)
"#,
    );
    // Now with values that Django has read from the database, changed again and again.
    for change in [
        "thing.ratio, thing.span = 0.1, dt.timedelta(days=-1, hours=22)",
        "thing.ratio, thing.span, thing.tiny = 1e15, dt.timedelta(0), Decimal('0.0000000000')",
        "thing.ratio, thing.tiny, thing.price = -1.5e-05, Decimal('-0.0000012300'), Decimal('-100.00')",
        "thing.ratio, thing.extra = 123456789.123456789, [1, 2]",
        "thing.ratio, thing.extra = None, 'text'",
        "thing.moment = dt.datetime(2024, 7, 1, 0, 0, 0, 1000, tzinfo=utc)",
        "thing.moment, thing.clock = dt.datetime(1969, 1, 1, tzinfo=utc), dt.time(0, 0)",
        "thing.words, thing.numbers, thing.blob, thing.pairs = [], [], b'', {}",
        "thing.title = ''",
    ] {
        app.run("thing = Thing.objects.get(pk=full.pk)");
        app.run(&format!("{change}\nthing.save()"));
    }
    app.run("Thing.objects.get(pk=full.pk).delete()");
    app.run("follower = Ticket.objects.create(code=uuid.UUID(int=1), user=anna, ofthing=Thing.objects.first())");
    app.run("Ticket.objects.create(code=uuid.UUID(int=2), user=anna, follows=follower)");
    app.run("Everything.objects.create(user=anna)");
    app.run(
        r#"
every = Everything.objects.create(
    user=anna, loose=Author.objects.create(name='x'), ticket=follower, grade=Everything.Grade.BAD, short=7, long=2**62,
    other=-1, picture='a.png', path='/srv/a', host='10.1.2.3', words=['é', {'a': None}],
    ints=NumericRange(1, 10), longs=NumericRange(None, 5, '()'), prices=NumericRange(Decimal('1.50'), Decimal('2.00'), '(]'),
    days=DateRange(dt.date(2024, 1, 1), dt.date(2024, 2, 1)),
    times=DateTimeTZRange(dt.datetime(2024, 5, 1, 12, tzinfo=utc), dt.datetime(2024, 5, 1, 12, 0, 0, 5, tzinfo=utc), '[]'),
    ranges=[1, 2], nested=[{'a': 1}, [1, 'é']], maps=[{'a': None, 'b': 'x'}], ratio=0.25,
    precise=Decimal('1' + '0' * 39))
"#,
    );
    for change in [
        "every.ints = NumericRange(empty=True)",
        "every.times = DateTimeTZRange(None, None, '()')",
        "every.ratio = 1e22",
        "every.other, every.host, every.loose = None, '2001:db8::1', None",
    ] {
        app.run("every = Everything.objects.get(pk=every.pk)");
        app.run(&format!("{change}\nevery.save()"));
    }
    app.run("Everything.objects.get(pk=every.pk).delete()");
    app.run("first = Novel.objects.create(user=anna, name='Dune', year=1965, pages=412)");
    app.run("Novel.objects.create(user=anna, name='Messiah', sequel_to=first)");
    app.run("first.pages = 500\nfirst.save()");
    app.run("raw_hook_event.send(sender=None, event_name='user.logged_in', payload={'n': [1, 2.5], 'from': 'é'}, user=anna)");
    database
        .sql(r#"select rowhook.emit('user.logged_in', '{"from": "é", "n": [1, 2.50]}', (select id::text from auth_user where username = 'anna'))"#)
        .await;

    let (django, rowhook) = both(&receiver, 2 + 9 + 1 + 2 + 1 + 2 + 4 + 1 + 3).await;
    let (django, rowhook) = (bodies(&django), bodies(&rowhook));
    for (row, expected) in &django {
        assert_eq!(rowhook.get(row), Some(expected), "{row}");
    }
    assert_eq!(django.len(), rowhook.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_row_cannot_know_is_all_that_differs() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let mut app = Application::start(&database, &[]).await;
    let _rowhook = database.rowhook(&config("", &[])).await;
    app.run(&format!(
        "anna, ben = (User.objects.create(username=name) for name in ('anna', 'ben'))\n\
         for event in ['thing.added', 'book.added', 'book.removed']:\n    \
             Hook.objects.create(user=anna, event=event, target='{}')\n",
        receiver.url()
    ));
    app.run("author = Author.objects.create(name='Herbert')");
    // An event with a + reaches anna, whoever owns the row.
    app.run("book = Book.objects.create(user=ben, author=author, written_by=author)");
    app.run("Book.objects.create(user=ben, first=book)");
    // The keys of a many-to-many field are rows of another table, and are looked up: now there are none yet.
    both(&receiver, 2).await;
    app.run("book.tags.add(Tag.objects.create(name='sand'))");
    app.run("Book.objects.get(pk=book.pk).delete()");
    // At the moment of a save, the application may hold something else than what the row gets.
    app.run("Thing.objects.create(user=anna, extra={'long': 1, 'b': 2}, moment=dt.datetime(2024, 5, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))))");
    let (django, rowhook) = both(&receiver, 4).await;
    let (django, rowhook) = (bodies(&django), bodies(&rowhook));
    for (row, sent) in &django {
        let told = rowhook.get(row);
        let told = &told.unwrap_or_else(|| panic!("{row} is not among {rowhook:#?}"))[0];
        if row.contains("book") {
            assert_eq!(told, &sent[0], "{row}");
            assert!(told.contains(r#""tags": []"#), "{told}");
        } else {
            let mut expected: Value = serde_json::from_str(&sent[0]).unwrap();
            let fields = expected["data"]["fields"].as_object_mut().unwrap();
            let told: Value = serde_json::from_str(told).unwrap();
            assert_eq!(fields["moment"], "2024-05-01T14:00:00+02:00");
            fields["moment"] = json!("2024-05-01T12:00:00Z");
            assert_eq!(told, expected);
            assert_ne!(told.to_string(), expected.to_string(), "jsonb orders keys");
        }
    }
}

#[test]
fn init_writes_what_the_models_say_and_notes_what_a_row_does_not() {
    let (text, said) = asked(&[]);
    for line in [
        "\"everything.removed\" = \"shop.Everything.deleted\"",
        "[tables.admission]\nmodel = \"shop.Ticket\"\n",
        "fields = [\"user\", \"ofthing\", \"follows\"]",
        "owner = \"work_ptr_id -> shop_work.user_id\"\nfields = [\"sequel_to\", \"pages\"]",
        "rename = { writer = \"written_by\" }",
        "rename = { \"Its Other-Name\" = \"other\" }",
        "tags = \"select coalesce(json_agg(tag_id), '[]') from shop_book_tags where book_id = $id\"",
        "[hook_table]\ntable = \"rest_hooks_hook\"\ncreated = \"created\"\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(
        said.contains("note: a save through ShortTicket is told as one of shop.Ticket"),
        "{said}"
    );
    let (text, _) = asked(&[("HOOK_CUSTOM_MODEL", "yes")]);
    let hooks = "[hook_table]\ntable = \"shop_customhook\"\nactive = \"is_active\"\ncreated = \"created\"\n";
    assert!(text.contains(hooks), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_the_running_application_apply_from_their_commit() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let mut app = Application::start(&database, &[]).await;
    let hooks = "[[hooks]]\nname = \"all\"\nevents = [\"thing.added\"]\norder = \"hook\"";
    let all = Receiver::start().await;
    let rules = format!("{}target = \"{}\"\n", config(hooks, &[]), all.url());
    let _rowhook = database.rowhook(&rules).await;
    app.run("anna = User.objects.create(username='anna')");
    let url = receiver.url();
    for step in [
        "with transaction.atomic():\n    Thing.objects.create(user=anna, title='before')\n    hook = Hook.objects.create(user=anna, event='thing.added', target='URL')\n    Thing.objects.create(user=anna, title='after')\n",
        "with transaction.atomic():\n    hook.event = 'thing.removed'\n    hook.save()\n    Thing.objects.create(user=anna, title='while it hears something else')\n",
        "with transaction.atomic():\n    hook.event = 'thing.added'\n    hook.save()\n    Thing.objects.create(user=anna, title='again')\n",
        "with transaction.atomic():\n    Thing.objects.create(user=anna, title='last')\n    hook.delete()\n    Thing.objects.create(user=anna, title='gone')\n",
        "try:\n    with transaction.atomic():\n        Hook.objects.create(user=anna, event='thing.added', target='URL')\n        1 / 0\nexcept ZeroDivisionError:\n    pass\nThing.objects.create(user=anna, title='never was')\n",
    ] {
        app.run(&step.replace("URL", &url));
    }
    all.expect(7).await;
    database.until_all_has_arrived().await;
    let mut titles: Vec<Value> = of(&receiver.calls(), "rowhook").iter().map(title).collect();
    titles.sort_by_key(Value::to_string);
    assert_eq!(titles, ["after", "again", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_a_custom_model_are_switched_off_and_on_and_disabled_when_gone() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let mut app = Application::start(&database, &[("HOOK_CUSTOM_MODEL", "yes")]).await;
    let rules = config("", &[("HOOK_CUSTOM_MODEL", "yes")]);
    let _rowhook = database.rowhook(&rules).await;
    app.run("anna = User.objects.create(username='anna')");
    app.run(&format!(
        "hook = CustomHook.objects.create(user=anna, event='thing.added', target='{}')",
        receiver.url()
    ));
    let add = |app: &mut Application, title: &str| {
        app.run(&format!("Thing.objects.create(user=anna, title='{title}')"));
    };
    add(&mut app, "on");
    both(&receiver, 1).await;
    app.run("hook.is_active = False\nhook.save()");
    add(&mut app, "off");
    app.run("hook.is_active = True\nhook.save()");
    add(&mut app, "on again");
    let (django, rowhook) = both(&receiver, 2).await;
    assert_eq!(bodies(&django), bodies(&rowhook));
    assert_eq!(title(&rowhook[1]), "on again");
    receiver.answer(
        |call, _| match call.header("user-agent").starts_with("rowhook") {
            true => 410,
            false => 200,
        },
    );
    add(&mut app, "told to go");
    let switched_off = "select not is_active from shop_customhook";
    database
        .until("the hook is switched off in its table", switched_off)
        .await;
    assert_eq!(
        app.run("CustomHook.objects.get().is_active == False"),
        "true"
    );
}

/// A running `rowhook shadow`.
struct Shadow {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Shadow {
    /// Waits until it listens.
    fn start(config: &str, count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hooks.toml"), config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rowhook"))
            .args(["shadow", "--listen", "127.0.0.1:0", "--json", "--count"])
            .arg(count.to_string())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = tokio::task::block_in_place(|| {
            loop {
                let line = lines.next().unwrap_or_else(|| panic!("{said}")).unwrap();
                if let Some(address) = line.strip_prefix("listening on ") {
                    return address.to_owned();
                }
                said = said + &line + "\n";
            }
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url: format!("http://{address}/"),
            _folder: folder,
        }
    }

    /// Waits for its end, and returns its exit code and its report.
    fn end(mut self) -> (i32, Value) {
        tokio::task::block_in_place(|| {
            let mut report = String::new();
            let mut output = self.child.stdout.take().unwrap();
            output.read_to_string(&mut report).unwrap();
            let code = self.child.wait().unwrap().code().unwrap();
            (code, serde_json::from_str(&report).unwrap())
        })
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_finds_no_difference_in_many_saves_and_each_that_is_planted() {
    let saves: usize = std::env::var("SHADOW_SAVES").map_or(300, |saves| saves.parse().unwrap());
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let mut app = Application::start(&database, &[("HOOK_DELIVERER", "yes")]).await;
    app.run(&format!(
        "anna = User.objects.create(username='anna')\n\
         for event in ['thing.added', 'thing.changed', 'thing.removed']:\n    \
             Hook.objects.create(user=anna, event=event, target='{}')\n",
        receiver.url()
    ));
    let config = database.config(&config("", &[]));
    let shadow = Shadow::start(&config, saves * 3);
    app.run(&format!("os.environ['SHADOW'] = '{}'", shadow.url));
    app.run(&format!(
        r#"
for n in range({saves}):
    thing = Thing.objects.create(user=anna, number=n, title='n° %d' % n, ratio=n / 7, words=['a', str(n)], price=Decimal('%d.50' % n))
    thing = Thing.objects.get(pk=thing.pk)
    thing.span = dt.timedelta(seconds=n, microseconds=n)
    thing.save()
    Thing.objects.get(pk=thing.pk).delete()
"#
    ));
    let (code, report) = shadow.end();
    assert_eq!((code, &report["findings"]), (0, &json!([])));
    assert_eq!(report["equal"], saves * 3);

    let shadow = Shadow::start(&config, 4);
    app.run(&format!("os.environ['SHADOW'] = '{}'", shadow.url));
    app.run("Thing.objects.create(user=anna, title='the same')");
    app.run("Thing.objects.create(user=anna, moment=dt.datetime(2024, 5, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))))");
    app.run("Thing.objects.bulk_create([Thing(user=anna, title='without a signal')])");
    app.run("try:\n    with transaction.atomic():\n        Thing.objects.create(user=anna, title='rolled back')\n        1 / 0\nexcept ZeroDivisionError:\n    pass");
    let (code, report) = shadow.end();
    assert_eq!(code, 1);
    let numbers = ["equal", "different", "missing", "extra"].map(|key| report[key].as_u64());
    assert_eq!(numbers, [Some(1); 4], "{report}");
    let mut whats: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["what"].as_str().unwrap())
        .collect();
    whats.sort_unstable();
    assert_eq!(
        whats[0],
        "data.fields.moment: the application's \"2024-05-01T14:00:00+02:00\", rowhook's \"2024-05-01T12:00:00Z\""
    );
    // It has sent nothing, and nothing of it is left.
    assert_eq!(receiver.calls().len(), 0);
    let left =
        "select (select count(*) from pg_replication_slots where database = current_database())
                + (select count(*) from pg_publication)
                + (select count(*) from pg_namespace where nspname like 'rowhook%')";
    assert_eq!(database.ask(left).await, "0");
}

#[tokio::test]
async fn a_field_that_the_table_does_not_have_is_told_before_anything_is_sent() {
    let database = Database::bookstore().await;
    let rules = "[events]\n\"book.added\" = \"book.created\"\n[tables.book]\nrename = { price = \"cost\" }\nenrich = { tags = \"select 1\" }\n";
    for (fields, expected) in [
        (
            "\"user\", \"title\", \"cost\", \"tags\", \"shelf_id\"",
            None,
        ),
        (
            "\"title\", \"titel\"",
            Some("fields names titel, but book has no such column"),
        ),
    ] {
        let config = database.config(&format!("{rules}fields = [{fields}]\n"));
        let said = rowhook(&config, &["check"]);
        let said = said.out + &said.err;
        match expected {
            Some(expected) => assert!(said.contains(expected), "{said}"),
            None => assert!(!said.contains("fields"), "{said}"),
        }
    }
}
