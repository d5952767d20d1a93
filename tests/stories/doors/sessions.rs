//! Sessions of the page end.

use harness::{BOOK_EVENTS, DEADLINE, Database, until_within};
use serde_json::Value;
use tokio::time::timeout;

use super::visit::Visit;
use crate::{
    api::{ADMIN, Api, server},
    browser::Browser,
};

async fn page(keys: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server(keys)));
    let api = Api::start(&config).await;
    (database, api)
}

#[tokio::test]
async fn a_session_ends_that_nobody_uses_although_its_page_is_open() {
    let (_database, api) = page("session_idle = \"1s\"").await;
    let visit = Visit::with(&api.base, ADMIN).await;
    let live = visit.get("/live").await;
    assert_eq!(live.status().as_u16(), 200);
    // What the script of an open page asks for, again and again.
    let ended = async || visit.status("/glance").await == 303;
    until_within(DEADLINE, "the session ends", ended).await;
    let told = timeout(DEADLINE, live.text()).await.unwrap().unwrap();
    assert!(told.ends_with("event: end\ndata: logged out\n\n"), "{told}");
}

#[tokio::test]
async fn a_session_ends_after_its_time_although_it_is_used() {
    let (_database, api) = page("session_max = \"2s\"").await;
    let visit = Visit::with(&api.base, ADMIN).await;
    assert_eq!(visit.status("/hooks").await, 200);
    let ended = async || visit.status("/hooks").await == 303;
    until_within(DEADLINE, "the session ends", ended).await;
}

#[tokio::test]
async fn logging_out_ends_every_window_and_each_shows_the_login_page() {
    let (_database, api) = page("").await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/", api.base)).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//span[@id='live'][.='live']").await;
    // As another window of the same browser does it.
    let out = "const csrf = document.querySelector('form.who input').value;
        fetch('/logout', { method: 'POST', body: new URLSearchParams({ csrf }) })";
    assert_eq!(
        browser.script(&format!("{out}; return null")).await,
        Value::Null
    );
    browser.see("//h1[.='Log in']").await;
}
