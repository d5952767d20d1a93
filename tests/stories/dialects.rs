//! Bodies in the dialects that receivers speak.

use cloudevents::{AttributesReader, Data, Event};
use harness::{Database, Receiver};
use serde_json::json;

/// A hook of the operator on all events, with this payload and these additional keys.
fn hook(receiver: &Receiver, payload: &str, more: &str) -> String {
    format!(
        "[[hooks]]\nname = \"{payload}\"\nevents = [\"*\"]\npayload = \"{payload}\"\ntarget = \"{}\"\n{more}\n",
        receiver.url()
    )
}

const EVENTS: &str = "[events]\n\"book.added\" = \"book.created\"\n\"book.changed\" = \"book.updated\"\n\"book.removed\" = \"book.deleted\"\n\"shop.closed\" = \"custom\"\n\
    [tables.book]\nidentity = \"full\"\n";

#[tokio::test]
async fn cloudevents_are_read_by_the_cloudevents_sdk() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&format!(
            "{EVENTS}{}",
            hook(&receiver, "cloudevents", "order = \"hook\"")
        ))
        .await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9), (2, null, 1, 'Emma', 4);
             delete from book where id = 1;
             select rowhook.emit('shop.closed', '{\"until\": \"Monday\"}')",
        )
        .await;
    let calls = receiver.expect(4).await;
    let events: Vec<Event> = calls
        .iter()
        .map(|call| serde_json::from_slice(&call.body).unwrap())
        .collect();
    for (call, event) in calls.iter().zip(&events) {
        assert_eq!(call.header("content-type"), "application/cloudevents+json");
        assert_eq!(event.datacontenttype(), Some("application/json"));
        assert!(event.time().is_some());
    }
    let [added, other, removed, closed] = &events[..] else {
        panic!("four events");
    };
    assert_eq!(added.source().to_string(), "/rowhook/public.book");
    assert_eq!((added.ty(), added.subject()), ("book.added", Some("1")));
    assert_eq!(added.extension("owner").unwrap().to_string(), "7");
    assert_eq!(added.extension("op").unwrap().to_string(), "insert");
    let Some(Data::Json(data)) = added.data() else {
        panic!("{added:?}");
    };
    assert_eq!(data["title"], "Dune");
    assert!(other.extension("owner").is_none());
    assert_eq!(removed.ty(), "book.removed");
    assert_eq!((closed.ty(), closed.subject()), ("shop.closed", None));
    let ids: std::collections::HashSet<&str> = events.iter().map(AttributesReader::id).collect();
    assert_eq!(ids.len(), 4);
}

/// What a receiver written for NetBox does: verifies X-Hook-Signature over the raw body, and looks at event, model,
/// data and snapshots.
#[tokio::test]
async fn a_receiver_written_for_netbox_accepts_what_it_gets() {
    let database = Database::new().await;
    database
        .sql("create table dcim_site (id bigint primary key, name text, status text); alter table dcim_site replica identity full")
        .await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"site.created\" = \"dcim_site.created\"\n\"site.updated\" = \"dcim_site.updated\"\n\"site.deleted\" = \"dcim_site.deleted\"\n{}",
        hook(
            &receiver,
            "netbox",
            "secret = \"0123456789abcdef\"\nsignature = { header = \"X-Hook-Signature\", algorithm = \"sha512\", encoding = \"hex\" }"
        )
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql(
            "begin; insert into dcim_site values (1, 'Ulm', 'planned'); update dcim_site set status = 'active'; commit;
             delete from dcim_site",
        )
        .await;
    let calls = receiver.expect(3).await;
    for call in &calls {
        let expected = hmac_sha512(b"0123456789abcdef", &call.body);
        assert_eq!(call.header("x-hook-signature"), expected);
        let body = call.json();
        assert_eq!(body["object_type"], "dcim.site");
        assert!(body["timestamp"].as_str().unwrap().ends_with("+00:00"));
        assert_eq!(body["request_id"].as_str().unwrap().len(), 36);
    }
    let bodies: Vec<_> = calls.iter().map(|call| call.json()).collect();
    let (planned, active) = (
        json!({"id": 1, "name": "Ulm", "status": "planned"}),
        json!({"id": 1, "name": "Ulm", "status": "active"}),
    );
    for (body, event, before, after) in [
        (&bodies[0], "created", &json!(null), &planned),
        (&bodies[1], "updated", &planned, &active),
        (&bodies[2], "deleted", &active, &json!(null)),
    ] {
        assert_eq!(body["event"], event);
        assert_eq!(
            body["snapshots"],
            json!({"prechange": before, "postchange": after})
        );
    }
    assert_eq!(bodies[2]["data"], active);
    assert_eq!(
        bodies[0]["request_id"], bodies[1]["request_id"],
        "one transaction"
    );
    assert_ne!(bodies[1]["request_id"], bodies[2]["request_id"]);
}

fn hmac_sha512(key: &[u8], body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut hmac = Hmac::<sha2::Sha512>::new_from_slice(key).unwrap();
    hmac.update(body);
    let bytes = hmac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_body_that_is_too_large_is_thin_in_every_dialect() {
    let database = Database::bookstore().await;
    let dialects = ["rest-hooks", "standard", "cloudevents", "netbox", "row"];
    let mut config = EVENTS.to_owned();
    let mut receivers = Vec::new();
    for dialect in dialects {
        let receiver = Receiver::start().await;
        config += &hook(&receiver, dialect, "max_body = \"600B\"");
        receivers.push(receiver);
    }
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, repeat('x', 1000), 9)")
        .await;
    for (dialect, receiver) in dialects.iter().zip(&receivers) {
        let calls = receiver.expect(1).await;
        let body = calls[0].json();
        let data = if *dialect == "row" {
            &body
        } else {
            &body["data"]
        };
        assert_eq!(data["id"], 1, "{dialect}");
        assert!(data.get("title").is_none(), "{dialect}");
        let left_out = match *dialect {
            "cloudevents" => body["leftout"].clone(),
            _ => json!(
                body["left_out"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|name| name.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        };
        assert_eq!(left_out, "user_id,shelf_id,title,price", "{dialect}");
    }
}
