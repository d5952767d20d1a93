//! The body of a row: columns, names, queries, templates, and expressions that do not fit the table.

use harness::{BOOK_EVENTS, Database, Receiver, rowhook};
use serde_json::json;

/// A hook of the operator on all events, with this payload.
fn audit(receiver: &Receiver, payload: &str) -> String {
    format!(
        "\n[[hooks]]\nname = \"audit\"\nevents = [\"*\"]\npayload = \"{payload}\"\ntarget = \"{}\"\n",
        receiver.url()
    )
}

#[tokio::test]
async fn columns_are_hidden_and_renamed_for_receivers_and_keep_their_names_for_expressions() {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"book.changed\" = {{ on = \"book.updated\", changed = [\"price\"], when = \"new.price > old.price\" }}\n\
         [tables.book]\nexclude = [\"shelf_id\"]\nrename = {{ price = \"amount\", user_id = \"seller\" }}\n{}",
        audit(&receiver, "standard")
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9);
             update book set price = 8;
             update book set price = 10, shelf_id = 2",
        )
        .await;
    let calls = receiver.expect(1).await;
    let body = calls[0].json();
    assert_eq!(
        body["data"],
        json!({"id": 1, "seller": 7, "title": "Dune", "amount": 10.0})
    );
    assert_eq!(body["old"]["amount"], 8.0);
    assert_eq!(body["changed"], json!(["amount"]));
}

#[tokio::test]
async fn what_a_query_finds_is_shown_beside_the_row() {
    let database = Database::bookstore().await;
    database
        .sql("create table seller (id bigint primary key, name text, town text); insert into seller values (7, 'Anna', 'Ulm')")
        .await;
    let receiver = Receiver::start().await;
    let config = format!(
        "{BOOK_EVENTS}[tables.book]\nowner = \"user_id\"\nexclude = [\"price\"]\n[tables.book.enrich]\n\
         seller = \"select name, town from seller where id = $user_id\"\n\
         share = \"select 100 / ($price - 1) as percent\"\n{}",
        audit(&receiver, "standard")
    );
    let mut rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 5), (2, 8, 1, 'Emma', 1), (3, null, 1, 'Solaris', null)")
        .await;
    let calls = receiver.expect(3).await;
    let body = |id: i64| {
        let call = calls.iter().find(|call| call.data()["id"] == id);
        call.unwrap().json()
    };
    assert_eq!(
        body(1)["data"]["seller"],
        json!({"name": "Anna", "town": "Ulm"})
    );
    assert_eq!(body(1)["data"]["share"]["percent"], 25.0);
    assert_eq!(body(2)["data"]["seller"], json!(null));
    assert_eq!(body(2)["data"]["share"], json!(null));
    assert!(
        body(2)["data"].get("share").is_none(),
        "dividing by zero has no answer"
    );
    assert_eq!(body(2)["unchanged"], json!(["share"]));
    assert_eq!(body(3)["data"]["share"], json!({"percent": null}));
    rowhook.until_log("division by zero").await;
}

#[tokio::test]
async fn a_query_that_writes_or_lingers_finds_nothing_and_stops_nobody() {
    let database = Database::bookstore().await;
    database
        .sql(
            "create table spy (id bigint);
             create function spy(bigint) returns bigint language sql as 'insert into spy values ($1) returning id'",
        )
        .await;
    let receiver = Receiver::start().await;
    let config = format!(
        "{BOOK_EVENTS}[tables.book.enrich]\nspied = \"select spy($id)\"\nslow = \"select pg_sleep(60)\"\n{}",
        audit(&receiver, "row")
    );
    let mut rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 5)")
        .await;
    let calls = receiver.expect(1).await;
    let body = calls[0].json();
    assert!(body.get("spied").is_none() && body.get("slow").is_none());
    rowhook.until_log("read-only transaction").await;
    rowhook.until_log("statement timeout").await;
    assert_eq!(database.ask("select count(*) from spy").await, "0");
}

#[tokio::test]
async fn a_template_says_what_is_sent_in_any_dialect() {
    let database = Database::bookstore().await;
    let (bare, wrapped) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "{BOOK_EVENTS}[tables.book]\npayload = '''{{\"name\": {{{{ (new or old).title }}}}, \"cheap\": {{{{ new and new.price < 10 }}}}, \"op\": {{{{ op }}}}}}'''\n\
         identity = \"full\"\n{}\n[[hooks]]\nname = \"wrapped\"\nevents = [\"book.added\"]\ntarget = \"{}\"\n",
        audit(&bare, "row"),
        wrapped.url()
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'A \"B\"', 5); delete from book")
        .await;
    let calls = bare.expect(2).await;
    assert_eq!(
        calls[0].body,
        r#"{"name": "A \"B\"", "cheap": true, "op": "insert"}"#
    );
    assert_eq!(calls[1].json()["op"], "delete");
    let calls = wrapped.expect(1).await;
    assert_eq!(calls[0].data()["name"], "A \"B\"");
}

#[tokio::test]
async fn what_a_template_or_a_filter_fails_on_goes_on_record_as_dead_and_can_be_sent_later() {
    let database = Database::bookstore().await;
    let (templated, filtered) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "[events]\n\"book.added\" = \"book.created\"\n\"shelf.added\" = \"shelf.created\"\n\
         [tables.book]\npayload = '''{{\"share\": {{{{ 100 // (new.price|int - 1) }}}}}}'''\n\
         [[hooks]]\nname = \"templated\"\nevents = [\"book.*\"]\ntarget = \"{}\"\n\
         [[hooks]]\nname = \"filtered\"\nevents = [\"*\"]\nfilter = \"new.title != 'x'\"\ntarget = \"{}\"\n",
        templated.url(),
        filtered.url()
    );
    database
        .sql("insert into book values (100, 7, 1, 'A', 3)")
        .await;
    let mut rowhook = database.rowhook(&config).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'B', 1);
             insert into shelf values (9, 7);
             insert into book values (2, 7, 1, 'C', 5);",
        )
        .await;
    let calls = templated.expect(1).await;
    assert_eq!(calls[0].data(), json!({"share": 25}));
    filtered.expect(1).await;
    let dead = "select count(*) = 3 from rowhook.delivery where state = 'dead' and attempts = 0";
    database.until("three are dead", dead).await;
    let reasons = database
        .ask("select string_agg(hook || ' ' || event || ': ' || reason, E'\\n' order by hook, event) from rowhook.delivery")
        .await;
    assert!(
        reasons.contains("filtered book.added: the template failed: "),
        "{reasons}"
    );
    assert!(
        reasons.contains("filtered shelf.added: \"new.title != 'x'\" failed: "),
        "{reasons}"
    );
    assert!(reasons.contains("templated book.added: the template failed: "));
    rowhook.until_log("a delivery is dead").await;
    // The template hides what the plain row would show, also in a delivery that was parked.
    database
        .sql("update rowhook.delivery set state = 'parked' where hook = 'templated'")
        .await;
    let calls = templated.expect(2).await;
    assert_eq!(calls[1].data(), json!({"id": 1}));
    assert!(
        calls[1].json()["left_out"]
            .as_array()
            .unwrap()
            .contains(&json!("title"))
    );
}

#[tokio::test]
async fn expressions_templates_and_queries_that_do_not_fit_are_told_with_their_place_before_anything_is_sent()
 {
    let database = Database::bookstore().await;
    let config = database.config(
        "[events]\n\
         \"book.added\" = { on = \"book.created\", when = \"new.titel == 'x'\" }\n\
         \"book.sold\" = { on = \"book.updated\", when = \"new.price > 'x'\" }\n\
         [tables.book]\n\
         rename = { prize = \"amount\", title = \"id\" }\n\
         payload = '''{\"a\": {{ new.title|upper ~ new.nothing }}}'''\n\
         [tables.book.enrich]\n\
         seller = \"select name from sellers where id = $user_id\"\n\
         shelf = \"select 1 where $shelf_idd = 1\"\n\
         title = \"select 1\"\n\
         [[hooks]]\nname = \"a\"\nevents = [\"book.*\"]\ntarget = \"http://127.0.0.1/\"\nfilter = \"old.id + 1\"\n",
    );
    let ended = rowhook(&config, &["run"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    for expected in [
        "hooks.toml:11:1: book.added: \"new.titel == 'x'\" does not fit: book has no column titel to look at; did you mean title?",
        "hooks.toml:12:1: book.sold: \"new.price > 'x'\" does not fit: a number is neither more nor less than a text",
        "rename names prize, but book has no such column; did you mean price?",
        "title of book cannot be shown as id, which is another of its columns",
        "what is added to book cannot be called title, which is one of its columns",
        "hooks.toml:17:10: enrich.seller of book cannot be asked: ",
        "hooks.toml:18:9: enrich.shelf names shelf_idd, but book has no such column; did you mean shelf_id?",
        "hooks.toml:20:1: the filter of the hook a, on book.added: \"old.id + 1\" does not fit: it says a number, which is neither true nor false",
    ] {
        assert!(
            ended.err.contains(expected),
            "{expected}\nin\n{}",
            ended.err
        );
    }
    let checked = rowhook(&config, &["check"]);
    assert_eq!(checked.code, 1);
    for expected in [
        "did you mean title?",
        "the payload of book, for book.added with a row of the table: undefined value: new.nothing",
    ] {
        assert!(checked.out.contains(expected), "{}", checked.out);
    }
}

#[tokio::test]
async fn a_template_that_fails_concerns_its_own_table_alone() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&format!(
            "[events]\n\"book.added\" = \"book.created+\"\n\"shelf.added\" = \"shelf.created+\"\n\
             [tables.book]\npayload = '''{{\"a\": {{{{ data.owner.name }}}}}}'''\n\
             [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9); insert into shelf (id, user_id) values (90, 7)")
        .await;
    receiver.expect(1).await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead' and event = 'book.added' \
                and reason like 'the template failed: %'";
    database.until("the book is dead on record", dead).await;
}

#[tokio::test]
async fn a_filter_of_a_users_hook_that_does_not_fit_is_told_to_its_owner() {
    let database = Database::bookstore().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .sql("insert into rowhook.hook (owner, event, target, filter) values ('7', 'book.added', 'http://127.0.0.1:1/', 'new.price == \"x\"')")
        .await;
    database
        .until(
            "the hook is marked",
            "select invalid like 'its filter, on book.added: % a number is never equal to a text' from rowhook.hook",
        )
        .await;
}
