//! Strangers, proxies, and callers who ask for too much: what they do keeps nobody else out.

use std::time::Duration;

use harness::{BOOK_EVENTS, Database, connect};
use reqwest::{Client, Method, redirect};
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};

use super::client::{ADMIN, Api, server};

const FROM: &str = "x-forwarded-for";

async fn bookstore(more: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let more = format!("trusted_proxies = \"127.0.0.1/32\"\n{more}");
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server(&more)));
    (database, Api::start(&config).await)
}

/// A browser behind the proxy, which follows no redirect and keeps no cookie.
struct Browser<'a> {
    client: Client,
    base: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Browser<'a> {
    fn of(api: &'a Api, headers: &[(&'a str, &'a str)]) -> Self {
        let client = Client::builder().no_proxy();
        let client = client.redirect(redirect::Policy::none());
        Self {
            client: client.build().unwrap(),
            base: &api.base,
            headers: headers.to_vec(),
        }
    }

    async fn ask(&self, method: Method, path: &str, cookie: &str, form: &str) -> reqwest::Response {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let mut request = request.header("cookie", cookie).body(form.to_owned());
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let kind = "application/x-www-form-urlencoded";
        request.header("content-type", kind).send().await.unwrap()
    }

    /// The cookie of a response, as it is sent back.
    fn cookie(response: &reqwest::Response) -> String {
        let set = response.headers()["set-cookie"].to_str().unwrap();
        set.split(';').next().unwrap().to_owned()
    }

    async fn log_in(&self, token: &str) -> reqwest::Response {
        let cookie = Self::cookie(&self.ask(Method::GET, "/login", "", "").await);
        let (_, word) = cookie.split_once('=').unwrap();
        let form = format!("token={token}&csrf={word}");
        self.ask(Method::POST, "/login", &cookie, &form).await
    }
}

#[tokio::test]
async fn the_guesses_of_one_visitor_keep_nobody_else_out() {
    let (_database, api) = bookstore("requests_per_minute = 6").await;
    let anna = api.token("7", "write").await;
    let ask = async |token: &str, from: &str| {
        let headers = [(FROM, from)];
        let path = "/api/events";
        api.ask_with(Method::GET, path, token, None, &headers)
            .await
            .status
    };
    let (guesser, other) = ("198.51.100.1", "198.51.100.2");
    assert_eq!(ask(&anna, guesser).await, 200);
    for n in 0..6 {
        assert_eq!(ask(&format!("rowhook_{n}"), guesser).await, 401);
    }
    assert_eq!(ask("rowhook_more", guesser).await, 429);
    // The word of the visitor in front of the proxy's does not count.
    assert_eq!(
        ask("rowhook_more", &format!("203.0.113.9, {guesser}")).await,
        429
    );
    assert_eq!(ask("rowhook_more", other).await, 401);
    assert_eq!(
        ask(&anna, guesser).await,
        200,
        "her token is known to be good"
    );
    assert_eq!(ask(ADMIN, guesser).await, 200);

    let browser = Browser::of(&api, &[(FROM, guesser)]);
    assert_eq!(browser.log_in("rowhook_guess").await.status(), 429);
    assert_eq!(
        browser.log_in(ADMIN).await.status(),
        303,
        "the operator comes in"
    );
}

#[tokio::test]
async fn a_page_is_limited_like_the_api() {
    let (_database, api) = bookstore("requests_per_minute = 5").await;
    let browser = Browser::of(&api, &[]);
    let cookie = Browser::cookie(&browser.log_in(ADMIN).await);
    for _ in 0..5 {
        let page = browser.ask(Method::GET, "/hooks", &cookie, "").await;
        assert_eq!(page.status(), 200);
    }
    let page = browser.ask(Method::GET, "/hooks", &cookie, "").await;
    assert_eq!(page.status(), 429);
}

#[tokio::test]
async fn an_owner_whose_requests_take_long_keeps_no_other_waiting() {
    let (database, api) = bookstore("").await;
    let (anna, berta) = (api.token("7", "write").await, api.token("8", "write").await);
    let mut holder = connect(&database.url).await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table rowhook.idempotency")
        .await
        .unwrap();
    let mut asking = JoinSet::new();
    for n in 0..20 {
        let request = Client::builder().no_proxy().build().unwrap();
        let request = request.post(format!("{}/api/retry-dead", api.base));
        let request = request.header("authorization", format!("Bearer {anna}"));
        let request = request.header("idempotency-key", n.to_string());
        asking.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let waiting = "select count(*) = 2 from pg_stat_activity where wait_event_type = 'Lock'
        and application_name = 'rowhook server'";
    database.until("she has her share", waiting).await;
    let answered = timeout(harness::DEADLINE, api.get("/api/hooks", &berta)).await;
    assert_eq!(answered.unwrap().status, 200);
    assert_eq!(api.get("/api/tokens", ADMIN).await.status, 200);
    // They are given up in time, though the lock is held for ever.
    while let Some(status) = asking.join_next().await {
        assert_eq!(status.unwrap(), 503);
    }
    drop(lock);
}

#[tokio::test]
async fn a_live_page_ends_with_its_token() {
    let (_database, api) = bookstore("").await;
    let made = api
        .post("/api/tokens", ADMIN, json!({"owner": "7"}))
        .await
        .json();
    let browser = Browser::of(&api, &[]);
    let cookie = Browser::cookie(&browser.log_in(made["token"].as_str().unwrap()).await);
    let live = browser.ask(Method::GET, "/live", &cookie, "").await;
    assert_eq!(live.status(), 200);
    let path = format!("/api/tokens/{}", made["id"]);
    assert_eq!(
        api.ask(Method::DELETE, &path, ADMIN, None).await.status,
        204
    );
    timeout(Duration::from_secs(20), live.text())
        .await
        .unwrap()
        .unwrap();

    let other = api.token("7", "read").await;
    let cookie = Browser::cookie(&browser.log_in(&other).await);
    let live = browser.ask(Method::GET, "/live", &cookie, "").await;
    let page = browser
        .ask(Method::GET, "/hooks", &cookie, "")
        .await
        .text()
        .await
        .unwrap();
    let word = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
    let form = format!("csrf={}", word.split('"').next().unwrap());
    assert_eq!(
        browser
            .ask(Method::POST, "/logout", &cookie, &form)
            .await
            .status(),
        303
    );
    timeout(Duration::from_secs(20), live.text())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn over_tls_browsers_keep_cookies_to_this_host_and_stay_with_tls() {
    let (_database, api) = bookstore("").await;
    let browser = Browser::of(
        &api,
        &[("x-forwarded-proto", "https"), (FROM, "198.51.100.1")],
    );
    let entered = browser.log_in(ADMIN).await;
    let set = entered.headers()["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-rowhook_session="), "{set}");
    assert!(set.contains("Secure"), "{set}");
    assert_eq!(
        entered.headers()["strict-transport-security"],
        "max-age=31536000"
    );
    let cookie = Browser::cookie(&entered);
    assert_eq!(
        browser
            .ask(Method::GET, "/hooks", &cookie, "")
            .await
            .status(),
        200
    );
    let without = cookie.replace("__Host-", "");
    assert_eq!(
        browser
            .ask(Method::GET, "/hooks", &without, "")
            .await
            .status(),
        303
    );

    let plain = Browser::of(&api, &[]);
    let page = plain.ask(Method::GET, "/login", "", "").await;
    assert!(!page.headers().contains_key("strict-transport-security"));
    // A form of another site has no word of this browser's.
    let form = format!("token={ADMIN}");
    assert_eq!(
        plain.ask(Method::POST, "/login", "", &form).await.status(),
        403
    );
    let word = Browser::cookie(&page);
    let (_, word) = word.split_once('=').unwrap();
    let form = format!("token={ADMIN}&csrf={word}");
    assert_eq!(
        plain.ask(Method::POST, "/login", "", &form).await.status(),
        403
    );
}
