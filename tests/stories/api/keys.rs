//! The public keys that receivers verify with.

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::json;

use super::client::{Api, server};

/// The seed and the public key of RFC 8037, and another seed.
const SECRET: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const OTHER: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";

#[tokio::test]
async fn the_public_keys_of_the_operators_hooks_are_there_for_everyone() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let hook = |name: &str, secrets: &str| {
        let url = receiver.url();
        format!("[[hooks]]\nname = \"{name}\"\nevents = \"*\"\ntarget = \"{url}\"\n{secrets}\n")
    };
    let hooks = [
        hook(
            "one",
            &format!("secret = \"{SECRET}\"\nprevious_secret = \"{OTHER}\""),
        ),
        hook("same", &format!("secret = \"{SECRET}\"")),
        hook("shared", &format!("secret = \"{}\"", harness::SECRET)),
    ];
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n{}",
        server(""),
        hooks.concat()
    ));
    let api = Api::start(&config).await;
    // Its owner knows the private key of a row.
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target, secret) values ('7', 'book.added', '{}', 'whsk_{}')",
            receiver.url(),
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        ))
        .await;
    let answer = api.get("/.well-known/webhook-keys", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    let mut keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2, "{keys:?}");
    keys.retain(|key| key["x"] == PUBLIC);
    let expected = json!({
        "kty": "OKP", "crv": "Ed25519", "x": PUBLIC, "use": "sig", "alg": "EdDSA",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    });
    assert_eq!(keys, [expected]);
}
