//! The API does what its OpenAPI document says, for all requests that Schemathesis makes up.

use harness::{BOOK_EVENTS, Database, Receiver};
use std::{path::Path, process::Command};

use crate::api::{Api, server};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_meets_a_server_error_or_an_answer_that_the_document_does_not_know() {
    let tool = Path::new("target/schemathesis/bin/st").canonicalize();
    let tool = tool.expect("Schemathesis is not here; run scripts/install-schemathesis");
    // Schemathesis keeps its findings in its working directory.
    let folder = tempfile::tempdir().unwrap();
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n[portal]",
        server("requests_per_minute = 1000000")
    ));
    let api = Api::start(&config).await;
    database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    let base = api.base.clone();
    let ended = tokio::task::spawn_blocking(move || {
        Command::new(tool)
            .current_dir(folder.path())
            .args(["run", &format!("{base}/api/openapi.json"), "--url", &base])
            .args(["--header", "Authorization: Bearer admin-admin-admin-admin"])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,ignored_auth"])
            .args(["--phases", "examples,coverage,fuzzing"])
            .args(["--max-examples", "25", "--seed", "1", "--workers", "2", "--no-color"])
            // These would call the targets of hooks, and end sessions all the time.
            .args(["--exclude-path", "/api/hooks/{id}/test", "--exclude-path", "/api/reload"])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    // Without this line, it might have found nothing to test.
    assert!(told.contains("✅ Fuzzing"), "{told}");
}
