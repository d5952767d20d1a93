//! Several databases in one process: each is followed by itself, and what goes wrong with one does not touch the others.

use harness::{
    BOOKSTORE, Cluster, DEADLINE, Database, Ended, Receiver, Rowhook, Stop, connect, ids, rowhook,
    until_within,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A hooks.toml with these databases, each under this name, and `rest`. Each has an event `NAME.added` of its books, and
/// a slot with the name of its database.
fn config(databases: &[(&str, &Database)], rest: &str) -> String {
    let databases = databases.iter().map(|(name, database)| {
        format!(
            "[[databases]]\nname = \"{name}\"\nurl = \"{}\"\nslot = \"{}\"\n[databases.events]\n\"{name}.added\" = \"book.created\"\n\n",
            database.url, database.name
        )
    });
    let databases: String = databases.collect();
    format!(
        "{databases}[delivery]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nretries = [\"50ms\", \"100ms\", \"200ms\"]\n\n{rest}"
    )
}

fn hook_of_file(events: &str, receiver: &Receiver, more: &str) -> String {
    format!(
        "[[hooks]]\nname = \"warehouse\"\nevents = [{events}]\ntarget = \"{}\"\n{more}\n",
        receiver.url()
    )
}

/// Starts rowhook, and waits until both databases are attached.
async fn both_attached(config: &str) -> Rowhook {
    let mut rowhook = Rowhook::start(config);
    for name in ["shop", "stock"] {
        rowhook
            .until_log(&format!("run{{database={name}}}: attached slot="))
            .await;
    }
    rowhook
}

async fn add(database: &Database, id: u32) {
    let sql = format!("insert into book values ({id}, 7, 1, 'Dune', 9)");
    database.sql(&sql).await;
}

/// A free address on this host.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn get(address: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn heard(receiver: &Receiver) -> Vec<Value> {
    ids(&receiver.calls())
}

#[tokio::test]
async fn two_databases_of_one_cluster_are_heard_side_by_side() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let all = Receiver::start().await;
    let hooks = hook_of_file("\"*\"", &all, "");
    let rowhook = both_attached(&config(&[("shop", &shop), ("stock", &stock)], &hooks)).await;
    shop.hook(None, "*", &ours.url()).await;
    stock.hook(None, "stock.*", &theirs.url()).await;
    add(&shop, 1).await;
    add(&stock, 2).await;
    ours.expect(1).await;
    theirs.expect(1).await;
    let calls = all.expect(2).await;
    shop.until_all_has_arrived().await;
    stock.until_all_has_arrived().await;
    assert_eq!(
        (heard(&ours), heard(&theirs)),
        (vec![json!(1)], vec![json!(2)])
    );
    let mut events: Vec<Value> = calls.iter().map(|call| json!(call.event())).collect();
    events.sort_by_key(Value::to_string);
    assert_eq!(events, ["shop.added", "stock.added"]);
    assert_ne!(calls[0].id(), calls[1].id());
    assert!(rowhook.stop().success());
}

#[tokio::test]
async fn a_hook_of_the_file_hears_the_databases_that_it_names() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let receiver = Receiver::start().await;
    let hooks = hook_of_file("\"*\"", &receiver, "databases = [\"stock\"]");
    let _rowhook = both_attached(&config(&[("shop", &shop), ("stock", &stock)], &hooks)).await;
    add(&shop, 1).await;
    shop.until_all_has_arrived().await;
    add(&stock, 2).await;
    receiver.expect(1).await;
    assert_eq!(heard(&receiver), [json!(2)]);
}

#[tokio::test]
async fn a_delivery_has_the_id_that_it_has_with_one_database() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let receiver = Receiver::start().await;
    let hooks = hook_of_file("\"shop.added\"", &receiver, "");
    let events = "[events]\n\"shop.added\" = \"book.created\"\n";
    let alone = shop.config(&format!("{events}{hooks}"));
    {
        let mut rowhook = Rowhook::start(&alone);
        rowhook.until_log("attached slot=").await;
        receiver.answer(|_, _| 500);
        add(&shop, 1).await;
        receiver.expect(1).await;
        shop.until("it is parked", "select count(*) = 1 from rowhook.delivery")
            .await;
        rowhook.kill();
    }
    receiver.answer(|_, _| 200);
    let _rowhook = both_attached(&config(&[("shop", &shop), ("stock", &stock)], &hooks)).await;
    shop.until_all_has_arrived().await;
    let calls = receiver.calls();
    let first = calls[0].id();
    assert!(
        calls.len() > 1 && calls.iter().all(|call| call.id() == first),
        "{calls:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_stopped_and_comes_back_does_not_touch_the_other() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let shop = Database::on(&cluster).await;
    shop.sql(BOOKSTORE).await;
    let stock = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let address = free_address();
    let rest = format!(
        "{}[server]\nlisten = \"{address}\"\n",
        hook_of_file("\"*\"", &receiver, "")
    );
    let config = config(&[("shop", &shop), ("stock", &stock)], &rest);
    let mut rowhook = both_attached(&config).await;
    add(&shop, 1).await;
    add(&stock, 2).await;
    receiver.expect(2).await;
    cluster.stop(Stop::Immediate).unwrap();
    rowhook
        .until_log("run{database=shop}: not attached; trying again")
        .await;
    add(&stock, 3).await;
    receiver.expect(3).await;
    stock.until_all_has_arrived().await;

    let (status, health) = get(&format!("{address}/health/ready")).await;
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(status, 200, "{health}");
    assert_eq!(health["databases"]["shop"]["ready"], json!(false));
    assert_eq!(health["databases"]["stock"]["ready"], json!(true));
    assert_eq!(
        get(&format!("{address}/databases/shop/health/ready"))
            .await
            .0,
        503
    );
    assert_eq!(
        get(&format!("{address}/databases/stock/health/ready"))
            .await
            .0,
        200
    );
    let (_, metrics) = get(&format!("{address}/metrics")).await;
    for line in [
        "rowhook_attached{database=\"shop\"} 0\nrowhook_attached{database=\"stock\"} 1\n",
        "rowhook_attempts_total{database=\"stock\",outcome=\"delivered\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!(metrics.matches("# TYPE rowhook_attached ").count(), 1);

    cluster.start_again().unwrap();
    let again = connect(&shop.url).await;
    until_within(DEADLINE, "the shop is attached again", async || {
        get(&format!("{address}/databases/shop/health/ready"))
            .await
            .0
            == 200
    })
    .await;
    again
        .batch_execute("insert into book values (4, 7, 1, 'Emma', 9)")
        .await
        .unwrap();
    receiver.expect(4).await;
    assert_eq!(heard(&receiver), [1, 2, 3, 4].map(|id| json!(id)));
    assert!(rowhook.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_needs_a_person_is_set_aside_until_that_is_done() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let receiver = Receiver::start().await;
    let hooks = hook_of_file("\"shop.*\", \"stock.*\"", &receiver, "");
    let config = config(&[("shop", &shop), ("stock", &stock)], &hooks);
    assert!(both_attached(&config).await.stop().success());
    let free = format!(
        "select not active from pg_replication_slots where slot_name = '{}'",
        shop.name
    );
    shop.until("the slot is free", &free).await;
    shop.sql(&format!("select pg_drop_replication_slot('{}')", shop.name))
        .await;
    add(&shop, 1).await;

    let mut rowhook = Rowhook::start(&config);
    rowhook
        .until_log("run{database=stock}: attached slot=")
        .await;
    rowhook
        .until_log("run{database=shop}: set aside until this is mended")
        .await;
    assert!(rowhook.log().contains("--accept-gap"), "{}", rowhook.log());
    add(&stock, 2).await;
    receiver.expect(1).await;
    assert_eq!(heard(&receiver), [json!(2)]);

    let accepted = harness::rowhook(&config, &["setup", "--accept-gap", "--database", "shop"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    rowhook
        .until_log("run{database=shop}: attached slot=")
        .await;
    add(&shop, 3).await;
    receiver.expect(2).await;
    assert!(rowhook.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_the_start_stays_with_its_database_and_ends_the_process_only_when_all_have_one()
{
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let receiver = Receiver::start().await;
    let hooks = hook_of_file("\"*\"", &receiver, "");
    stock.sql("drop table book").await;
    let config = config(&[("shop", &shop), ("stock", &stock)], &hooks);
    let mut rowhook = Rowhook::start(&config);
    rowhook
        .until_log("run{database=shop}: attached slot=")
        .await;
    rowhook
        .until_log("run{database=stock}: set aside until this is mended")
        .await;
    add(&shop, 1).await;
    receiver.expect(1).await;
    stock
        .sql("create table book (id bigint primary key, user_id bigint, shelf_id bigint, title text, price numeric)")
        .await;
    rowhook
        .until_log("run{database=stock}: attached slot=")
        .await;
    add(&stock, 2).await;
    receiver.expect(2).await;
    assert!(rowhook.stop().success());

    let gone = config
        .replace(&shop.name, "nowhere_1")
        .replace(&stock.name, "nowhere_2");
    let (status, log) = Rowhook::start(&gone).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    for name in ["database shop: ", "database stock: "] {
        assert!(log.contains(name), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_and_removes_databases_and_none_waits_for_another() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    // It takes a call and never answers.
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quick = Receiver::start().await;
    let only = config(&[("shop", &shop)], "");
    let mut rowhook = Rowhook::start(&only);
    rowhook
        .until_log("run{database=shop}: attached slot=")
        .await;
    let target = format!("http://{}/", slow.local_addr().unwrap());
    shop.hook(None, "*", &target).await;
    add(&shop, 1).await;
    let _waiting = slow.accept().await.unwrap();

    rowhook.write_config(&config(&[("shop", &shop), ("stock", &stock)], ""));
    rowhook.signal(Signal::SIGHUP);
    rowhook
        .until_log("run{database=stock}: attached slot=")
        .await;
    stock.hook(None, "*", &quick.url()).await;
    add(&stock, 2).await;
    quick.expect(1).await;
    assert!(
        !rowhook.log().contains("run{database=shop}: reloaded"),
        "the shop still waits for its endpoint: {}",
        rowhook.log()
    );
    assert_eq!(heard(&quick), [json!(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_each_its_grace_and_confirms_what_is_settled() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    // It takes a call and never answers.
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quick = Receiver::start().await;
    let config = config(&[("shop", &shop), ("stock", &stock)], "")
        .replace("[delivery]", "[delivery]\ngrace = \"500ms\"");
    let rowhook = both_attached(&config).await;
    let target = format!("http://{}/", slow.local_addr().unwrap());
    shop.hook(None, "*", &target).await;
    stock.hook(None, "*", &quick.url()).await;
    add(&shop, 1).await;
    let _waiting = slow.accept().await.unwrap();
    add(&stock, 2).await;
    quick.expect(1).await;
    rowhook.signal(Signal::SIGTERM);
    let (status, log) = rowhook.wait();
    assert!(status.success(), "{log}");
    let unsettled = |name: &str| {
        let said = format!("run{{database={name}}}: stopped confirmed=");
        let line = log.lines().find(|line| line.contains(&said)).unwrap();
        line.split("unsettled=").nth(1).unwrap().to_owned()
    };
    assert_eq!((&*unsettled("shop"), &*unsettled("stock")), ("1", "0"));
}

#[tokio::test]
async fn the_page_the_api_and_the_console_of_each_are_found_by_its_name() {
    const ADMIN: &str = "admin-admin-admin-admin";
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let (at, console) = (free_address(), free_address());
    let rest = format!(
        "[server]\nlisten = \"{at}\"\nadmin_token = \"{ADMIN}\"\n[console]\nlisten = \"{console}\"\npassword = \"correct horse\"\n"
    );
    let _rowhook = both_attached(&config(&[("shop", &shop), ("stock", &stock)], &rest)).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let made = client
        .post(format!("http://{at}/databases/shop/api/hooks"))
        .bearer_auth(ADMIN)
        .header("content-type", "application/json")
        .body(json!({"event": "shop.added", "target": "http://127.0.0.1:9/"}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let location = made.headers()["location"].to_str().unwrap().to_owned();
    assert!(
        location.starts_with("/databases/shop/api/hooks/"),
        "{location}"
    );
    let hooks = async |name: &str| {
        let url = format!("http://{at}/databases/{name}/api/hooks");
        let answer = client.get(url).bearer_auth(ADMIN).send().await.unwrap();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        body["data"].as_array().unwrap().len()
    };
    assert_eq!((hooks("shop").await, hooks("stock").await), (1, 0));
    let (status, told) = get(&format!("{at}/api/hooks")).await;
    assert_eq!(status, 404);
    assert!(told.contains("/databases/shop, /databases/stock"), "{told}");
    assert_eq!(get(&format!("{at}/databases/shed/api/hooks")).await.0, 404);

    let (_, all) = get(&format!("{at}/")).await;
    let all = all.replace("&#x2f;", "/");
    for name in ["shop", "stock"] {
        assert!(
            all.contains(&format!("<a href=\"/databases/{name}/\">{name}</a>")),
            "{all}"
        );
    }
    let home = client
        .get(format!("http://{at}/databases/shop"))
        .send()
        .await
        .unwrap();
    assert_eq!(home.headers()["location"], "/databases/shop/login");
    let (_, login) = get(&format!("{at}/databases/shop/login")).await;
    let login = login.replace("&#x2f;", "/");
    assert!(
        login.contains("action=\"/databases/shop/login\""),
        "{login}"
    );
    assert_eq!(get(&format!("{at}/style.css")).await.0, 200);

    let (_, port) = console.split_once(':').unwrap();
    let show = async |database: &str, what: &str| {
        let url = format!("postgresql://anyone:correct%20horse@127.0.0.1:{port}/{database}");
        connect(&url).await.simple_query(what).await
    };
    assert_eq!(
        show("shop", "SHOW HOOKS").await.unwrap().len(),
        3,
        "a row beside its head and its end"
    );
    assert_eq!(show("stock", "SHOW HOOKS").await.unwrap().len(), 2);
    assert!(show("rowhook", "SHOW VERSION").await.is_ok());
    let unclear = show("rowhook", "SHOW HOOKS").await.unwrap_err();
    let unclear = unclear.as_db_error().unwrap().message().to_owned();
    assert!(
        unclear.contains("psql … shop, or psql … stock"),
        "{unclear}"
    );
}

fn ran(ended: &Ended) -> &str {
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    &ended.out
}

#[tokio::test]
async fn commands_are_about_all_databases_or_the_one_that_is_named() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let config = config(&[("shop", &shop), ("stock", &stock)], "");
    let there = "select count(*)::text from pg_namespace where nspname = 'rowhook'";

    ran(&rowhook(&config, &["setup", "--database", "shop"]));
    assert_eq!(
        (&*shop.ask(there).await, &*stock.ask(there).await),
        ("1", "0")
    );
    let done = rowhook(&config, &["setup"]);
    let done = ran(&done);
    assert!(
        done.contains("-- shop\nnothing to do\n-- stock\n"),
        "{done}"
    );
    assert_eq!(&*stock.ask(there).await, "1");
    let status = rowhook(&config, &["status", "--json"]);
    let status: Value = serde_json::from_str(ran(&status)).unwrap();
    assert_eq!(status["shop"]["slot"]["name"], json!(shop.name));
    assert_eq!(status["stock"]["slot"]["name"], json!(stock.name));
    let status = rowhook(&config, &["status", "--json", "--database", "stock"]);
    let status: Value = serde_json::from_str(ran(&status)).unwrap();
    assert_eq!(status["slot"]["name"], json!(stock.name));

    let unclear = rowhook(&config, &["hooks", "list"]);
    assert_eq!(unclear.code, 64);
    assert_eq!(
        unclear.err,
        "rowhook: hooks.toml: has several databases, and this is about one; write --database shop or --database stock\n"
    );
    ran(&rowhook(&config, &["hooks", "list", "--database", "shop"]));
    let unknown = rowhook(&config, &["check", "--database", "shed"]);
    assert_eq!(unknown.code, 64);
    assert!(
        unknown.err.contains("no database \"shed\""),
        "{}",
        unknown.err
    );

    stock.sql("drop table book").await;
    let check = rowhook(&config, &["check"]);
    assert_eq!(check.code, 1);
    assert!(
        check.out.contains("-- shop\n") && check.out.contains("-- stock\n"),
        "{}",
        check.out
    );
    assert!(
        check.err.contains("stock: ") && !check.err.contains("shop: "),
        "{}",
        check.err
    );

    ran(&rowhook(
        &config,
        &["teardown", "--yes", "--database", "stock"],
    ));
    assert_eq!(
        (&*shop.ask(there).await, &*stock.ask(there).await),
        ("1", "0")
    );
    ran(&rowhook(&config, &["teardown", "--yes"]));
    assert_eq!(&*shop.ask(there).await, "0");
}
