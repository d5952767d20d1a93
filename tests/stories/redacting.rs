//! Columns that are delivered and kept out of history.

use harness::{BOOK_EVENTS, Call, Database, Receiver};

#[tokio::test]
async fn a_redacted_column_is_delivered_and_is_not_in_history() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|call: &Call, _| match &*call.path {
        "/hook/refusing" => 500,
        _ => 200,
    })
    .await;
    let url = receiver.url();
    let hook = |name: &str, more: &str| {
        format!(
            "[[hooks]]\nname = \"{name}\"\nevents = [\"book.*\"]\ntarget = \"{url}/{name}\"\nretries = false\n{more}\n"
        )
    };
    let rest = format!(
        "{BOOK_EVENTS}\n[tables.book]\nrename = {{ title = \"name\" }}\n[history]\nredact = [\"title\"]\n{}{}{}{}",
        hook("plain", ""),
        hook("refusing", "payload = \"standard\""),
        hook("form", "content = \"form\""),
        hook(
            "templated",
            "template = '''{\"called\": {{ new.title }}}'''"
        ),
    );
    let _rowhook = database.rowhook(&rest).await;
    database
        .sql("insert into book values (1, 7, 1, 'the-marker', 19)")
        .await;
    let calls = receiver.expect(4).await;
    for call in &calls {
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        assert!(body.contains("the-marker"), "{}: {body}", call.path);
    }
    database
        .until(
            "all are remembered",
            "select count(*) = 4 from rowhook.attempt",
        )
        .await;
    let marked = "select count(*) from rowhook.attempt as a where a::text like '%the-marker%' \
                  or position('the-marker'::bytea in coalesce(request_body, '')) > 0 \
                  or position('the-marker'::bytea in coalesce(response_body, '')) > 0";
    assert_eq!(database.ask(marked).await, "0");
    let kept = |hook: &str| {
        format!(
            "select coalesce(convert_from(request_body, 'UTF8'), 'none') from rowhook.attempt where hook = '{hook}'"
        )
    };
    let body = database.ask(&kept("plain")).await;
    assert!(
        body.contains("\"name\":\"redacted\"") && body.contains("19"),
        "{body}"
    );
    let body = database.ask(&kept("form")).await;
    assert!(body.contains("redacted") && body.contains("19"), "{body}");
    assert_eq!(database.ask(&kept("templated")).await, "none");
    // What failed for good is kept as it is to be sent.
    let dead = "select position('the-marker'::bytea in body) > 0 from rowhook.delivery where hook = 'refusing'";
    assert_eq!(database.ask(dead).await, "t");
}
