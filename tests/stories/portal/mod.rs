//! The portal: what an application gives to its users.

mod accessible;
mod embedding;
mod links;
mod owner;
mod site;
mod visit;

pub use self::visit::Visit;

use harness::{BOOK_EVENTS, Database};
use serde_json::json;

use crate::api::{ADMIN, Api, server};

/// A bookstore with a portal that pages of these origins may embed.
async fn bookstore(frame: &[&str], more: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&config(frame, more));
    (database, Api::start(&config).await)
}

/// The sections after `[database]` and `[delivery]`.
pub fn config(frame: &[&str], more: &str) -> String {
    format!(
        "{BOOK_EVENTS}\n{}\n[portal]\nname = \"Bookstore\"\nframe = {frame:?}\n{more}",
        server("")
    )
}

/// A link to the portal of an owner.
pub async fn link(api: &Api, owner: &str) -> String {
    let made = api
        .post("/api/portal", ADMIN, json!({ "owner": owner }))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["url"].as_str().unwrap().to_owned()
}
