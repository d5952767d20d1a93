//! Plugins are found by their names, run to describe themselves, and run for events.

use std::{fs, process::Command};

use crate::receiving::{Place, SIGNED, book, post};

/// Writes a shell script into the folder `plugins`. Another process writes it: a file cannot be run while this process,
/// or a child that inherited the descriptor, has it open for writing.
fn plugin(place: &Place, name: &str, script: &str) {
    let folder = place.path("plugins");
    fs::create_dir_all(&folder).unwrap();
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0"; chmod 755 "$0""#;
    let status = Command::new("sh")
        .args(["-c", write])
        .arg(folder.join(name))
        .arg(script)
        .status();
    assert!(status.unwrap().success());
}

const NETBOX: &str = r#"{"event": "created", "timestamp": "2024-05-01T12:00:00.000000+00:00", "model": "tenant", "username": "jo", "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "data": {"id": 3, "url": "/api/tenancy/tenants/3/", "name": "Größe"}, "snapshots": {"prechange": null, "postchange": {"name": "Größe"}}}"#;

#[tokio::test]
async fn a_request_of_netbox_signed_with_hmac_sha512_runs_a_plugin() {
    let config = "secrets = [\"the key\"]\nsignature = { header = \"X-Hook-Signature\", algorithm = \"sha512\" }\nsame_body = \"repeated\"\nplugins = [\"plugins\"]\n";
    let place = Place::with(config).await;
    plugin(
        &place,
        "rowhook-plugin-tenants",
        r#"case $1 in
            describe) echo '{"models": ["tenant"], "events": ["created", "updated"]}' ;;
            run) cat >got; echo "$ROWHOOK_SHAPE $ROWHOOK_MODEL $ROWHOOK_EVENT" >>ran ;;
        esac"#,
    );
    let mut receiver = place.receive().await;
    receiver
        .until_log("task=\"plugin-tenants\" models=\"tenant\" events=\"created updated\"")
        .await;
    // As NetBox makes it, with hmac.new(secret, body, "sha512").hexdigest(); here by openssl, which shares no code with
    // us.
    place.write("body", NETBOX);
    let digest = Command::new("openssl")
        .args(["dgst", "-sha512", "-hmac", "the key", "-r"])
        .arg(place.path("body"))
        .output()
        .unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    let digest = digest.split(' ').next().unwrap();
    let headers = |signature: &str| {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-hook-signature", signature.parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        headers
    };
    assert_eq!(post(&place.url(), headers(digest), NETBOX).await.0, 202);
    place
        .until_ran("the plugin has run", |ran| ran == ["netbox tenant created"])
        .await;
    assert_eq!(fs::read_to_string(place.path("got")).unwrap(), NETBOX);
    // NetBox sends no id, so the same body counts as the same event where that is asked for.
    assert_eq!(post(&place.url(), headers(digest), NETBOX).await.0, 200);
    let other = NETBOX.replace("created", "deleted");
    assert_eq!(post(&place.url(), headers(digest), other).await.0, 401);
    assert_eq!(
        post(&place.url(), headers(&digest[1..]), NETBOX).await.0,
        401
    );
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn a_broken_plugin_is_reported_and_the_others_run() {
    let place = Place::with(&format!("{SIGNED}plugins = [\"plugins\", \"nowhere\"]\n")).await;
    plugin(&place, "rowhook-plugin-broken", "echo no >&2; exit 7");
    plugin(&place, "rowhook-plugin-hello", "echo hello");
    let well = r#"case $1 in
        describe) echo '{"models": ["*"], "events": ["*"]}' ;;
        run) echo "$ROWHOOK_TASK" >>ran ;;
    esac"#;
    plugin(&place, "rowhook-plugin-well", well);
    let receiver = place.receive().await;
    let log = receiver.log();
    for (name, reason) in [
        ("rowhook-plugin-broken", "describe failed: exit status: 7"),
        (
            "rowhook-plugin-hello",
            "what describe prints is no description",
        ),
        ("nowhere", "the folder cannot be read"),
    ] {
        let is_reported = |line: &str| {
            line.contains(name) && line.contains(reason) && line.contains("a plugin is left out")
        };
        assert!(log.lines().any(is_reported), "{log}");
    }
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    place
        .until_ran("the one that is well", |ran| ran == ["plugin-well"])
        .await;
    assert!(receiver.stop().success());
}
