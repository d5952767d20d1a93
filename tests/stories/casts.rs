//! Types with a cast to json: bodies have what `to_jsonb` says.

use harness::{Call, Database, Receiver, Rowhook, rowhook};
use serde_json::{Value, json};

/// A type of the database's own, an enum, a domain, a composite, and hstore; with casts to json that `to_jsonb` follows
/// or, for the composite, does not.
const TYPES: &str = r#"create type cents;
    create function cents_in(cstring) returns cents language internal immutable strict as 'int4in';
    create function cents_out(cents) returns cstring language internal immutable strict as 'int4out';
    create type cents (input = cents_in, output = cents_out, like = int4);
    create cast (cents as int4) without function as implicit;
    create function cents_json(cents) returns json language plpgsql immutable strict as $$
        begin
            if $1::text = '13' then
                raise exception 'no thirteen';
            end if;
            return json_build_object('cents', $1::text::int, 'of', '{"a"}');
        end $$;
    create cast (cents as json) with function cents_json(cents);
    create type mood as enum ('sad', 'so glad');
    create function mood_json(mood) returns json language sql immutable strict
        as $$ select json_build_array($1::text, null) $$;
    create cast (mood as json) with function mood_json(mood);
    create domain small as cents check (value < '1000'::cents);
    create type price as (amount cents, moods mood[], note text);
    create function price_json(price) returns json language sql immutable strict as $$ select '1'::json $$;
    create cast (price as json) with function price_json(price);
    create extension hstore;
    create table item (
        id cents primary key, amount cents, list cents[], mood mood, limited small, cost price, costs price[],
        pairs hstore, n int
    )"#;

const EVENTS: &str = "[events]\n\"item.made\" = \"item.created+\"\n\"item.changed\" = \"item.updated+\"\n\
                      \"item.gone\" = \"item.deleted+\"\n";

async fn listening(database: &Database, receiver: &Receiver, config: &str) -> Rowhook {
    let hook = format!(
        "[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    );
    database.rowhook(&format!("{config}{hook}")).await
}

async fn to_jsonb(database: &Database, table: &str) -> Value {
    let row = database
        .ask(&format!("select to_jsonb(one) from {table} as one"))
        .await;
    serde_json::from_str(&row).unwrap()
}

fn part(calls: &[Call], at: usize, what: &str) -> Value {
    calls[at].json()[what].clone()
}

#[tokio::test]
async fn a_value_with_a_cast_to_json_is_what_to_jsonb_says() {
    let database = Database::new().await;
    database.sql(TYPES).await;
    let receiver = Receiver::start().await;
    let config = format!("{EVENTS}[tables.item]\nidentity = \"full\"\n");
    let _rowhook = listening(&database, &receiver, &config).await;
    database
        .sql(
            r#"insert into item values (
                '1', '250', '{1,NULL,3}', 'so glad', '7', row('5', '{sad,"so glad"}', 'a "b"'),
                array[row('6', null, null)::price, row('8', '{}', 'x')::price], 'a=>1, b=>NULL', 1
            )"#,
        )
        .await;
    receiver.expect(1).await;
    let first = to_jsonb(&database, "item").await;
    assert_eq!(first["amount"], json!({"cents": 250, "of": "{\"a\"}"}));
    database
        .sql("update item set n = 2, amount = null, list = '{{1,2},{3,4}}'")
        .await;
    receiver.expect(2).await;
    let second = to_jsonb(&database, "item").await;
    database.sql("delete from item").await;
    let calls = receiver.expect(3).await;
    assert_eq!(part(&calls, 0, "data"), first);
    assert_eq!(part(&calls, 1, "data"), second);
    assert_eq!(part(&calls, 1, "old"), first);
    assert_eq!(part(&calls, 1, "changed"), json!(["amount", "list", "n"]));
    assert_eq!(part(&calls, 2, "data"), second);
    for call in &calls {
        assert_eq!(call.json()["unchanged"], json!([]));
    }
}

#[tokio::test]
async fn a_cast_that_fails_makes_its_own_value_unknown_and_no_other() {
    let database = Database::new().await;
    database.sql(TYPES).await;
    let receiver = Receiver::start().await;
    let config = format!(
        "{EVENTS}\"item.dear\" = {{ on = \"item.created+\", when = \"new.amount.cents > 11\" }}\n"
    );
    let mut rowhook = listening(&database, &receiver, &config).await;
    database
        .sql(
            "insert into item (id, amount, list)
             select n::text::cents, n::text::cents, array[n, 1]::text[]::cents[] from generate_series(10, 15) as n",
        )
        .await;
    // The condition fails for the row whose amount is unknown, which is on record.
    let calls = receiver.expect(9).await;
    let cents = |n: i64| json!({"cents": n, "of": "{\"a\"}"});
    for call in &calls {
        let body = call.json();
        match body["data"]["id"]["cents"].as_i64() {
            None => assert_eq!(body["unchanged"], json!(["id", "amount", "list"])),
            Some(n) => {
                assert_eq!(body["data"]["amount"], cents(n));
                assert_eq!(body["data"]["list"], json!([cents(n), cents(1)]));
            }
        }
    }
    rowhook.until_log("no thirteen").await;
    let dead =
        "select count(*) = 1 from rowhook.delivery where state = 'dead' and event = 'item.dear'";
    database.until("the condition is on record", dead).await;
    database.sql("delete from item where id = 13").await;
    let calls = receiver.expect(10).await;
    assert_eq!(part(&calls, 9, "type"), "item.gone");
    assert_eq!(part(&calls, 9, "unchanged"), json!(["id"]));
}

#[tokio::test]
async fn a_cast_of_another_role_never_runs_with_our_rights() {
    let database = Database::new().await;
    let role = format!("{}_owner", database.name);
    database
        .sql(&format!(
            "create role {role};
             grant create, usage on schema public to {role};
             set role {role};
             create type open as enum ('a');
             create type closed as enum ('a');
             create function who(open) returns json language sql security definer
                as $$ select to_json(current_user::text) $$;
             create function who(closed) returns json language sql as $$ select to_json(current_user::text) $$;
             create cast (open as json) with function who(open);
             create cast (closed as json) with function who(closed);
             create table item (id int primary key, open open, closed closed[]);
             reset role"
        ))
        .await;
    let receiver = Receiver::start().await;
    let running = listening(&database, &receiver, EVENTS).await;
    database
        .sql("insert into item values (1, 'a', '{a}')")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(part(&calls, 0, "data"), json!({"id": 1, "open": role}));
    assert_eq!(part(&calls, 0, "unchanged"), json!(["closed"]));
    let checked = rowhook(&database.config(EVENTS), &["check"]);
    let told = format!(
        "closed of item is unknown in bodies: the cast of public.closed to json runs code of {role}"
    );
    assert!(checked.out.contains(&told), "{checked:?}");
    drop(running);
    database
        .sql(&format!(
            "drop table item; drop owned by {role} cascade; drop role {role}"
        ))
        .await;
}
