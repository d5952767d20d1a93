//! Operators who log in through a provider of OpenID Connect, which is another site.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use harness::{BOOK_EVENTS, Database};
use serde_json::{Value, json};

use super::visit::Visit;
use crate::{
    api::{ADMIN, Api, server},
    browser::Browser,
};

/// A provider that runs. It is killed when this is dropped.
struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    issuer: String,
}

impl Provider {
    fn start(settings: &Value) -> Self {
        let folder = Path::new("target/peers/oidc").canonicalize();
        let folder = folder.expect("the provider is not here; run scripts/install-peers");
        let mut child = Command::new("node")
            .arg("tests/stories/doors/provider.mjs")
            .arg(folder)
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start node; scripts/install-peers installs it");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut provider = Self {
            child,
            input,
            output,
            issuer: String::new(),
        };
        provider.issuer = provider.line();
        provider
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Gives it new keys; it forgets those before.
    fn replace_keys(&mut self) {
        writeln!(self.input).unwrap();
        assert_eq!(self.line(), "new keys");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `[server.oidc]` for a provider.
fn oidc(issuer: &str, more: &str) -> String {
    format!(
        "[server.oidc]\nissuer = \"{issuer}\"\nclient_id = \"rowhook\"\nclient_secret = \"a secret: with + and %\"\nscopes = [\"openid\", \"profile\", \"teams\"]\nroles = {{ \"platform\" = \"all\", \"on-call\" = \"support\" }}\n{more}"
    )
}

async fn page(issuer: &str, more: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n{}",
        server(""),
        oidc(issuer, more)
    ));
    let api = Api::start(&config).await;
    (database, api)
}

/// Goes from the login page to the provider.
async fn go_to_provider(browser: &Browser, api: &Api) {
    browser.open(&format!("{}/", api.base)).await;
    browser.see("//h1[.='Log in']").await;
    browser.click("//a[.='Log in through localhost']").await;
}

/// Tells the provider who it is, and agrees to all that it asks.
async fn log_in(browser: &Browser, name: &str) {
    browser.fill("//input[@name='login']", name).await;
    browser.fill("//input[@name='password']", "any").await;
    browser.click("//button[@type='submit']").await;
    browser.click("//button[.='Continue']").await;
}

#[tokio::test]
async fn an_operator_comes_from_the_provider_with_the_role_of_their_group() {
    let groups = json!({"olga": ["staff", "on-call"], "ned": ["staff"]});
    let mut provider = Provider::start(&json!({ "groups": groups }));
    let (database, api) = page(&provider.issuer, "").await;
    let hook = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let browser = Browser::start().await;
    go_to_provider(&browser, &api).await;
    log_in(&browser, "olga").await;
    browser.see("//h1[.='Overview']").await;
    let who = browser.see("//form[@class='who']/span").await;
    assert_eq!(who, "olga support");
    browser.open(&format!("{}/hooks/{hook}", api.base)).await;
    browser.see("//button[.='Send a test']").await;
    let buttons = browser
        .script("return [...document.querySelectorAll('.buttons button')].map(b => b.textContent)")
        .await;
    assert_eq!(buttons, json!(["Send a test", "Replay the last day"]));

    // The provider knows the browser by now. What it signs with new keys is believed at once.
    browser.click("//button[.='Log out']").await;
    browser.see("//h1[.='Log in']").await;
    provider.replace_keys();
    go_to_provider(&browser, &api).await;
    browser.click("//button[.='Continue']").await;
    browser.see("//h1[.='Overview']").await;

    browser.forget_cookies().await;
    go_to_provider(&browser, &api).await;
    log_in(&browser, "ned").await;
    let told = browser.see("//*[@role='alert']").await;
    let expected = "localhost knows you as ned, but you have no role here: the claim groups names no group that has \
                    one. Whoever runs rowhook gives roles under [server.oidc].";
    assert_eq!(told, expected);
    browser.open(&format!("{}/", api.base)).await;
    browser.see("//h1[.='Log in']").await;

    browser.forget_cookies().await;
    go_to_provider(&browser, &api).await;
    browser.click("//a[contains(., 'Cancel')]").await;
    let told = browser.see("//*[@role='alert']").await;
    assert_eq!(told, "localhost has let nobody in: access_denied.");
    let complaints = browser.complaints().await;
    let scripts = |entry: &&Value| entry["source"] != json!("network");
    assert_eq!(complaints.iter().find(scripts), None);
}

#[tokio::test]
async fn a_session_ends_with_its_id_token_where_that_is_asked_for() {
    let groups = json!({"olga": ["platform"]});
    // Its ID token lasts for some seconds, and has the groups in it.
    let provider = Provider::start(&json!({"groups": groups, "inIdToken": true, "life": 5}));
    let (_database, api) = page(&provider.issuer, "end_with_token = true").await;
    let browser = Browser::start().await;
    go_to_provider(&browser, &api).await;
    log_in(&browser, "olga").await;
    browser.see("//h1[.='Overview']").await;
    let who = browser.see("//form[@class='who']/span").await;
    assert_eq!(who, "olga");
    browser.see("//h1[.='Log in']").await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_told_and_tokens_open_the_page() {
    let provider = Provider::start(&json!({"groups": {}}));
    let issuer = provider.issuer.clone();
    drop(provider);
    let (_database, api) = page(&issuer, "").await;
    let stranger = Visit::stranger(&api.base);
    let answer = stranger.get("/login/provider").await;
    assert_eq!(answer.status().as_u16(), 503);
    let told = answer.text().await.unwrap();
    assert!(told.contains("localhost cannot be asked: "), "{told}");
    assert!(told.contains("or log in with a token."), "{told}");
    let visit = Visit::with(&api.base, ADMIN).await;
    assert_eq!(visit.status("/hooks").await, 200);
}

#[tokio::test]
async fn each_of_several_databases_is_come_back_to_from_the_provider() {
    let provider = Provider::start(&json!({"groups": {}}));
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let databases = [("shop", &shop), ("stock", &stock)].map(|(name, database)| {
        format!(
            "[[databases]]\nname = \"{name}\"\nurl = \"{}\"\nslot = \"{}\"\n[databases.events]\n\"{name}.added\" = \"book.created\"\n",
            database.url, database.name
        )
    });
    let config = format!(
        "{}{}\n{}",
        databases.concat(),
        server(""),
        oidc(&provider.issuer, "")
    );
    let api = Api::start(&config).await;
    let stranger = Visit::stranger(&api.base);
    for name in ["shop", "stock"] {
        let begun = stranger
            .get(&format!("/databases/{name}/login/provider"))
            .await;
        let there = begun.headers()["location"].to_str().unwrap();
        let there = reqwest::Url::parse(there).unwrap();
        let mut pairs = there.query_pairs();
        let back = pairs.find(|(key, _)| key == "redirect_uri").unwrap().1;
        assert_eq!(
            back,
            format!("{}/databases/{name}/login/callback", api.base)
        );
    }
}

#[tokio::test]
async fn nobody_ends_a_login_that_another_browser_began() {
    let provider = Provider::start(&json!({"groups": {}}));
    let (_database, api) = page(&provider.issuer, "public_url = \"https://hooks.example\"").await;
    let stranger = Visit::stranger(&api.base);
    let begun = stranger.get("/login/provider").await;
    assert_eq!(begun.status().as_u16(), 303);
    let there = begun.headers()["location"].to_str().unwrap();
    let there = reqwest::Url::parse(there).unwrap();
    let asked = |name: &str| {
        let mut pairs = there.query_pairs();
        pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    assert_eq!(
        asked("redirect_uri"),
        "https://hooks.example/login/callback"
    );
    assert_eq!(asked("code_challenge_method"), "S256");
    for query in [
        format!("code=a&state={}", asked("state")),
        "code=a&state=".to_owned(),
        "code=a".to_owned(),
        "error=access_denied".to_owned(),
        String::new(),
    ] {
        let answer = stranger.get(&format!("/login/callback?{query}")).await;
        assert_eq!(answer.status().as_u16(), 403, "{query}");
        let told = answer.text().await.unwrap();
        assert!(told.contains("was begun in another window"), "{told}");
    }
}
