//! Row security that applies to rowhook's own role: what it keeps from being read is unknown, and said to be.

use harness::{Database, Receiver, rowhook};
use serde_json::json;

#[tokio::test]
async fn what_row_security_keeps_from_being_read_is_unknown_and_the_rest_goes_on() {
    let database = Database::new().await;
    let (name, role) = (&database.name, format!("{}_reader", database.name));
    database
        .sql(&format!(
            "create role {role} login replication;
             grant create on database {name} to {role};
             grant create on schema public to {role};
             set role {role};
             create table shelf (id int primary key, user_id int);
             create table book (id int primary key, shelf_id int, title text, notes text);
             alter table book alter column notes set storage external;
             reset role;
             insert into shelf values (1, 7);
             insert into book values (1, null, 'Dune', repeat('n', 3000))"
        ))
        .await;
    let (all, anna) = (Receiver::start().await, Receiver::start().await);
    let rest = format!(
        "[events]\n\"book.added\" = \"book.created\"\n\"book.changed\" = \"book.updated\"\n\
         [tables.book]\nowner = \"shelf_id -> shelf.user_id\"\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\norder = \"hook\"\n\
         [[hooks]]\nname = \"anna\"\nevents = [\"*\"]\nowner = \"7\"\ntarget = \"{}\"\n",
        all.url(),
        anna.url()
    );
    let config = database
        .config(&rest)
        .replace("postgres@", &format!("{role}@"));
    let mut running = harness::Rowhook::start(&config);
    running.until_log("attached slot=").await;
    for table in ["book", "shelf"] {
        database
            .sql(&format!(
                "alter table {table} enable row level security; alter table {table} force row level security"
            ))
            .await;
    }
    database
        .sql("update book set title = 'Emma'; insert into book values (2, 1, 'Ada', 'short')")
        .await;
    let calls = all.expect(2).await;
    let bodies: Vec<_> = calls.iter().map(harness::Call::json).collect();
    assert_eq!(bodies[0]["data"]["title"], "Emma");
    assert_eq!(bodies[0]["unchanged"], json!(["notes"]));
    assert_eq!(bodies[1]["data"]["title"], "Ada");
    assert_eq!(bodies[1]["owner"], json!(null));
    running
        .until_log("whose row it is cannot be found out, so only hooks of everyone hear of it")
        .await;
    running
        .until_log("row-level security policy for table \"shelf\"")
        .await;
    let checked = rowhook(&config, &["check"]);
    for table in ["book", "shelf"] {
        let told = format!("row security hides rows of {table} from {role}");
        assert!(checked.out.contains(&told), "{checked:?}");
    }
    database.sql(&format!("alter role {role} bypassrls")).await;
    // A setting of a role holds for all of its sessions at once.
    database
        .sql("update book set title = 'Dune' where id = 1; insert into book values (3, 1, 'Eva', 'short')")
        .await;
    let calls = all.expect(4).await;
    assert_eq!(calls[2].json()["unchanged"], json!([]));
    assert_eq!(calls[3].json()["owner"], "7");
    anna.expect(1).await;
    assert!(running.stop().success());
    database
        .sql(&format!(
            "drop schema rowhook cascade; drop owned by {role} cascade; drop role {role}"
        ))
        .await;
}
