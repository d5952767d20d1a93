//! Signatures: secrets and headers of hooks in the table.

use harness::{BOOK_EVENTS, Database, Receiver, SECRET, rowhook};

const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[tokio::test]
async fn a_secret_is_replaced_in_the_table_and_both_sign_until_the_older_one_expires() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let mut book = 0;
    for (rotation, kinds) in [
        ("secret = secret".to_owned(), 1),
        (
            format!(
                "previous_secret = secret, secret = '{NEW}', previous_secret_expires_at = now() + interval '1 day'"
            ),
            2,
        ),
        ("previous_secret_expires_at = 'infinity'".into(), 2),
        (
            "previous_secret_expires_at = now() - interval '1 second'".into(),
            1,
        ),
        (
            "previous_secret = null, previous_secret_expires_at = null".into(),
            1,
        ),
    ] {
        book += 1;
        database
            .sql(&format!(
                "update rowhook.hook set {rotation} where id = {hook};
                 insert into book values ({book}, 7, 1, 'book', 1)"
            ))
            .await;
        let calls = receiver.expect(book).await;
        let call = calls.last().unwrap();
        let signatures = call.header("webhook-signature").split(' ').count();
        assert_eq!(signatures, kinds, "{rotation}");
        let (newest, verify_old) = if book == 1 {
            (SECRET, true)
        } else {
            (NEW, kinds == 2)
        };
        let verify = |secret: &str| {
            let webhook = standardwebhooks::Webhook::new(secret).unwrap();
            webhook.verify(&call.body, &call.headers).is_ok()
        };
        assert_eq!((verify(newest), verify(SECRET)), (true, verify_old));
    }
}

#[tokio::test]
async fn the_overlap_of_two_secrets_outlives_a_restart() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let running = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let config = database.config(BOOK_EVENTS);
    let rotated = rowhook(&config, &["hooks", "rotate", &hook]);
    assert_eq!(rotated.code, 0, "{}", rotated.err);
    running.kill();
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(1).await;
    let signatures = calls[0].header("webhook-signature");
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
    // The library accepts any signature that fits.
    calls[0].verify();
}

#[tokio::test]
async fn a_hook_names_the_header_of_its_signature_and_a_text_is_no_standard_secret() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .ask(&format!(
            "insert into rowhook.hook (owner, event, target, secret) values ('7', 'book.added', '{}', 'It''s a secret') returning id",
            receiver.url()
        ))
        .await;
    let invalid = |reason: &str| {
        format!("select invalid like '%{reason}%' from rowhook.hook where id = {hook}")
    };
    let reason = "the secret is not whsec_";
    database.until(reason, &invalid(reason)).await;
    for (signature, reason) in [
        (r#"{"algorithm": "sha1"}"#, "its signature is neither"),
        (r#"{"header": "Webhook-Id"}"#, "choose another name"),
    ] {
        database
            .sql(&format!(
                "update rowhook.hook set signature = '{signature}' where id = {hook}"
            ))
            .await;
        database.until(reason, &invalid(reason)).await;
    }
    database
        .sql(&format!(
            r#"update rowhook.hook set signature = '{{"header": "X-Servo-Signature", "algorithm": "sha1"}}' where id = {hook};
               insert into book values (1, 7, 1, 'Dune', 9)"#
        ))
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].header("x-servo-signature").len(), 40);
    assert_eq!(calls[0].header("webhook-signature"), "");
    database
        .until(
            "the hook is good",
            &format!("select invalid is null from rowhook.hook where id = {hook}"),
        )
        .await;
}

#[tokio::test]
async fn the_table_refuses_what_looks_like_a_secret_and_is_none() {
    let database = Database::bookstore().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    for (columns, values, told) in [
        ("secret", "'whsec_c2hvcnQ='", "secret_is_well_formed"),
        ("secret", "'whsk_c2hvcnQ='", "secret_is_well_formed"),
        ("secret", "''", "secret_is_well_formed"),
        (
            "secret, previous_secret",
            "'a', 'whsk_'",
            "previous_secret_is_well_formed",
        ),
        (
            "previous_secret",
            "'a'",
            "a_previous_secret_has_a_newer_one",
        ),
        (
            "secret, previous_secret_expires_at",
            "'a', now()",
            "only_a_previous_secret_expires",
        ),
        (
            "signature",
            "'\"md5\"'",
            "signature_is_standard_or_an_object",
        ),
    ] {
        let insert = format!(
            "insert into rowhook.hook (event, target, {columns}) values ('book.added', 'https://example.com/', {values})"
        );
        let refused = database.client.batch_execute(&insert).await.unwrap_err();
        let refused = refused.as_db_error().unwrap().message().to_owned();
        assert!(refused.contains(told), "{insert}: {refused}");
    }
}
