//! How rowhooks log in to NATS, and what they have to be allowed there.

use std::{fs, path::Path};

use harness::{Database, Nats, Receiver, Rowhook, certify, rowhook};
use tempfile::TempDir;

use crate::World;

/// A key of a user of NATS, and what NATS knows it by. It was made for these tests.
const SEED: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
const USER: &str = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";

/// What docs/book/scaling.md says that rowhook's user needs.
const NEEDED: &str =
    r#""rowhook-cluster.>", "$KV.rowhook-cluster-rowhook.>", "$JS.API.>", "_INBOX.>""#;

/// A server that speaks TLS, and lets in nobody but that user, who may use these subjects.
async fn guarded(folder: &TempDir, subjects: &str) -> Nats {
    certify(folder.path(), "nats.pem", "nats.key");
    let file = |name: &str| path(folder, name);
    let config = format!(
        r#"tls {{ cert_file: "{}", key_file: "{}" }}
           authorization {{ users: [ {{ nkey: "{USER}", permissions: {{ publish: [{subjects}], subscribe: [{subjects}] }} }} ] }}"#,
        file("nats.pem"),
        file("nats.key"),
    );
    fs::write(file("nats.conf"), config).unwrap();
    Nats::start_with(1, &["--config", &file("nats.conf")]).await
}

fn path(folder: &TempDir, name: &str) -> String {
    let path: &Path = &folder.path().join(name);
    path.to_str().unwrap().to_owned()
}

/// `[cluster]` for it.
fn section(nats: &Nats, folder: &TempDir) -> String {
    let ca = path(folder, "nats.pem");
    let section = nats.section(&format!(
        "nkey = \"{SEED}\"\nca = \"{ca}\"\nlease = \"20s\""
    ));
    section.replace("nats://", "tls://")
}

#[tokio::test]
async fn over_tls_with_a_key_and_the_rights_that_are_documented_all_works() {
    let folder = TempDir::new().unwrap();
    let nats = guarded(&folder, NEEDED).await;
    let section = section(&nats, &folder);
    let world = World::of(nats, &section).await;
    let receiver = Receiver::start().await;
    let mut reader = world.only("read");
    reader.until_log("attached slot=").await;
    let _sender = world.only("send");
    world.until_all_is_with(1).await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    world.add(1, 100).await;
    receiver.expect(100).await;
    world.database.until_all_has_arrived().await;
    let checked = rowhook(&world.config, &["check", "--verbose"]).out;
    assert!(checked.contains("can be used"), "{checked}");
}

#[tokio::test]
async fn a_right_that_is_missing_and_a_server_that_is_not_trusted_are_told() {
    let folder = TempDir::new().unwrap();
    let nats = guarded(&folder, r#""rowhook-cluster.>", "_INBOX.>""#).await;
    let database = Database::bookstore().await;
    let events = "[events]\n\"book.added\" = \"book.created\"\n";
    let made = rowhook(&database.config(events), &["setup"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let section = section(&nats, &folder);
    let says = async |section: &str, text: &str| {
        let config = database.config(&format!("{events}{section}"));
        let mut rowhook = Rowhook::start_with_args(&config, &["run", "--only", "send"]);
        rowhook.until_log(text).await;
    };
    let missing = "let rowhook's user publish and subscribe to rowhook-cluster.>, $KV.rowhook-cluster-rowhook.>, $JS.API.>";
    says(&section, missing).await;
    let ca = format!("ca = \"{}\"\n", path(&folder, "nats.pem"));
    let strange = section.replace(&ca, "");
    says(&strange, "can be connected to").await;
}
