//! What filters may take of everyone's time, and numbers in filters and templates.

use harness::{BOOK_EVENTS, Call, Database, Receiver};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::api::{Api, server};

/// Macros within each other over lists of ones: days of work in less than 2 kB.
fn endless(macro_name: &str, levels: usize, items: usize, innermost: &str) -> String {
    let list = format!("[{}]", vec!["1"; items].join(","));
    let open: String = (0..levels)
        .map(|level| format!("{list}.{macro_name}(v{level}, "))
        .collect();
    format!("{open}{innermost}{}", ")".repeat(levels))
}

fn hostile() -> Vec<String> {
    vec![
        endless("all", 8, 100, "true"),
        endless("all", 5, 50, "true"),
        endless("all", 10, 190, "true"),
        format!("{} == []", endless("map", 5, 100, "[1, 2, 3]")),
        endless("all", 4, 100, "!new.title.matches('(?:[ab]*a){9}[ab]{9}c')"),
    ]
}

#[tokio::test]
async fn hostile_filters_hold_up_nobody_and_the_events_that_they_fail_on_are_dead() {
    let database = Database::bookstore().await;
    let (hostile_receiver, own, other) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let api = Api::start(&database.config(&format!("{BOOK_EVENTS}\n{}", server("")))).await;
    let anna = api.token("7", "write").await;
    for filter in hostile() {
        let hook =
            json!({"event": "book.added", "target": hostile_receiver.url(), "filter": filter});
        let made = api.post("/api/hooks", &anna, hook).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    for filter in hostile() {
        let sql = "insert into rowhook.hook (owner, event, target, filter) values ('7', 'book.*', $1, $2)";
        let parameters = (hostile_receiver.url(), filter.replace('\'', "\""));
        let made = database
            .client
            .execute(sql, &[&parameters.0, &parameters.1])
            .await;
        made.unwrap();
    }
    database.hook(Some("7"), "book.added", &own.url()).await;
    database.hook(Some("8"), "book.added", &other.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab', 9), (2, 8, 2, 'Emma', 9)")
        .await;
    let calls = other.expect(1).await;
    assert_eq!(calls[0].data()["id"], json!(2));
    own.expect(1).await;
    let health = api.ask(Method::GET, "/health/ready", "", None).await;
    assert_eq!(health.status, 200, "{}", health.text);
    let dead = "select count(*) = 10 from rowhook.delivery
        where state = 'dead' and attempts = 0 and reason ~ 'it took more than 1000000 steps|it made more than 16 MiB of values|the filters and templates of its owner took more time'";
    database.until("ten are dead", dead).await;
    database.until_all_is_confirmed().await;
    assert!(hostile_receiver.calls().is_empty());
    api.rowhook.signal(Signal::SIGTERM);
    assert!(api.rowhook.wait().0.success());
}

#[tokio::test]
async fn many_costly_filters_of_one_owner_take_no_more_than_one_owner_may() {
    let database = Database::bookstore().await;
    let (costly, other) = (Receiver::start().await, Receiver::start().await);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let sql = "insert into rowhook.hook (owner, event, target, filter)
        select '7', 'book.added', $1, $2 from generate_series(1, 100)";
    let filter = endless("all", 5, 50, "true");
    let made = database
        .client
        .execute(sql, &[&costly.url(), &filter])
        .await;
    made.unwrap();
    database.hook(Some("8"), "book.added", &other.url()).await;
    database
        .sql("insert into book select id, 7, 1, 'Dune', 9 from generate_series(1, 5) as id; insert into book values (6, 8, 2, 'Emma', 9)")
        .await;
    other.expect(1).await;
    let dead = "select count(*) = 500 from rowhook.delivery where state = 'dead'";
    database.until("all are dead", dead).await;
    let spent = "select count(*) >= 490 from rowhook.delivery
        where reason ~ 'the filters and templates of its owner took more time on this event than they may'";
    assert_eq!(database.ask(spent).await, "t");
    assert!(costly.calls().is_empty());
}

/// A table of numbers, whose owner is always 7.
const ITEM: &str = "create table item (id int primary key, user_id int default 7, n numeric, f float8, j json, b jsonb)";

#[tokio::test]
async fn numbers_of_a_template_are_those_of_the_row() {
    let database = Database::bookstore().await;
    database.sql(ITEM).await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"item.added\" = \"item.created\"\n\
         [tables.item]\npayload = '''{{\"all\": {{{{ data }}}}, \"n\": {{{{ new.n }}}}, \"f\": {{{{ new.f }}}}, \"j\": {{{{ new.j }}}}, \"b\": {{{{ new.b }}}}}}'''\n\
         [tables.item.enrich]\nmore = \"select $n::numeric * 1.000 as n\"\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\npayload = \"row\"\norder = \"hook\"\ntarget = \"{}\"\n",
        receiver.url()
    );
    let _rowhook = database.rowhook(&config).await;
    let numbers = [
        ("50000000000000000001", "1e20"),
        ("19.9000", "0.1"),
        ("0.12345678901234567890123", "5e-324"),
        ("-0.000", "1.7976931348623157e308"),
        (
            "123456789012345678901234567890123456789012345678901234567890.5",
            "123456789.123456789",
        ),
        ("1e400", "-1e-7"),
    ];
    let mut expected = Vec::new();
    for (id, (n, f)) in numbers.iter().enumerate() {
        database
            .sql(&format!("insert into item (id, n, f, j, b) values ({id}, {n}, {f}, '[1.50, 1e400]', '[19.900, {n}]')"))
            .await;
        let parts =
            "to_jsonb(n)::text || '|' || to_jsonb(f)::text || '|' || replace(b::text, ' ', '')
            || '|' || to_jsonb(n * 1.000)::text";
        expected.push(
            database
                .ask(&format!("select {parts} from item where id = {id}"))
                .await,
        );
    }
    let calls = receiver.expect(numbers.len()).await;
    for (id, (call, expected)) in calls.iter().zip(expected).enumerate() {
        let parts: Vec<&str> = expected.split('|').collect();
        let [n, f, b, more] = parts[..] else {
            panic!("{expected}");
        };
        // float8 as Postgres prints it: to_jsonb writes the same number without an exponent.
        let f_text = database
            .ask(&format!("select f from item where id = {id}"))
            .await;
        let f = if call.body.windows(f.len()).any(|part| part == f.as_bytes()) {
            f
        } else {
            &f_text
        };
        let all = format!(
            r#"{{"id":{id},"user_id":7,"n":{n},"f":{f},"j":[1.50,1e400],"b":{b},"more":{{"n":{more}}}}}"#
        );
        let body = format!(r#"{{"all": {all}, "n": {n}, "f": {f}, "j": [1.50,1e400], "b": {b}}}"#);
        assert_eq!(String::from_utf8_lossy(&call.body), body);
    }
}

#[tokio::test]
async fn a_row_that_most_parsers_refuse_is_sent_and_filtered_and_never_null() {
    let database = Database::bookstore().await;
    database.sql(ITEM).await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"item.added\" = {{ on = \"item.created\", when = \"new.id > 0\" }}\n\
         [tables.item]\npayload = '''{{\"all\": {{{{ data }}}}, \"id\": {{{{ new.id }}}}}}'''\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\npayload = \"row\"\ntarget = \"{}\"\n",
        receiver.url()
    );
    let _rowhook = database.rowhook(&config).await;
    let deep = format!("{}1.50{}", "[".repeat(200), "]".repeat(200));
    let deeper = format!("{}1.50{}", "[".repeat(2000), "]".repeat(2000));
    database
        .sql(&format!(
            "insert into item (id, b) values (1, '{deep}');
             insert into item (id, j) values (2, '\"\\ud83d\"');
             insert into item (id, b) values (3, '{deeper}');
             insert into item (id, n) values (4, 'NaN')"
        ))
        .await;
    let calls = receiver.expect(3).await;
    let body = |id: i64| {
        let end = format!("\"id\": {id}}}");
        let bodies = calls.iter().map(|call| String::from_utf8_lossy(&call.body));
        bodies
            .into_iter()
            .find(|body| body.ends_with(&end))
            .unwrap()
    };
    assert!(body(1).contains(&deep));
    assert!(body(2).contains(r#""j":"\ud83d""#));
    assert!(body(4).contains(r#""n":"NaN""#));
    let dead = "select reason like '%the row has 2001 levels; a template takes 512%' from rowhook.delivery where state = 'dead'";
    let one = "select count(*) = 1 from rowhook.delivery where state = 'dead'";
    database.until("one is dead", one).await;
    assert_eq!(database.ask(dead).await, "t");
}

/// The id of the row in a body that has numbers which most parsers refuse.
fn id(call: &Call) -> u64 {
    let body = String::from_utf8_lossy(&call.body);
    let after = body.split(r#""data":{"id":"#).nth(1).unwrap();
    let digits = after.split(',').next().unwrap();
    digits.parse().unwrap()
}

#[tokio::test]
async fn filters_compare_numbers_as_postgres_does() {
    let database = Database::bookstore().await;
    database.sql(ITEM).await;
    let filters = [
        ("n > 50000000000000000000", "new.n > 50000000000000000000.0"),
        ("n = 19.9", "new.n == 19.9"),
        ("n * 2 = 39.8", "new.n * 2 == 39.8"),
        ("n + 0.2 = 0.3", "new.n + 0.2 == 0.3"),
        (
            "n < 0.12345678901234567891",
            "new.n < 0.12345678901234567891",
        ),
        ("n in (0.1, 1e400)", "new.n in [0.1, new.b]"),
    ];
    let mut receivers = Vec::new();
    let mut config = "[events]\n\"item.added\" = \"item.created\"\n".to_owned();
    for (number, (_, filter)) in filters.iter().enumerate() {
        let receiver = Receiver::start().await;
        config += &format!(
            "[[hooks]]\nname = \"h{number}\"\nevents = [\"*\"]\nfilter = \"{filter}\"\ntarget = \"{}\"\n",
            receiver.url()
        );
        receivers.push(receiver);
    }
    let _rowhook = database.rowhook(&config).await;
    database
        .sql(
            "insert into item (id, n, b) select row_number() over (), n, '1e400' from unnest(array[50000000000000000000,
                50000000000000000001, 19.9, 19.9000, 19.90001, 0.1, 0.12345678901234567890, 0.12345678901234567892, 1e400,
                1e401, -5]) as n",
        )
        .await;
    for ((sql, filter), receiver) in filters.iter().zip(&receivers) {
        let ids = format!("select string_agg(id::text, ',' order by id) from item where {sql}");
        let expected = database.ask(&ids).await;
        let calls = receiver.expect(expected.split(',').count()).await;
        let mut ids: Vec<u64> = calls.iter().map(id).collect();
        ids.sort_unstable();
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        assert_eq!(ids.join(","), expected, "{filter}");
    }
}
