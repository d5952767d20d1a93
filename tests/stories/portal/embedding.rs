//! The portal in a page of another site, in a real browser.

use serde_json::{Value, json};

use super::{bookstore, link, site::Site, visit::Visit};
use crate::{api::Api, browser::Browser};

/// The frame that the element makes.
const FRAME: &str =
    "return document.querySelector('rowhook-portal').shadowRoot.querySelector('iframe')";

#[tokio::test]
async fn a_page_of_another_site_embeds_the_portal_and_learns_when_its_session_ends() {
    let site = Site::start().await;
    let (database, api) = bookstore(&["https://other.example", &site.origin], "").await;
    database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let first = link(&api, "7").await;
    site.embed(&api.base, &first);
    let browser = Browser::start().await;
    browser.open(&site.origin).await;
    browser.see("//title[contains(., ' opened')]/..").await;
    let height = "return document.querySelector('rowhook-portal').getBoundingClientRect().height";
    let before = browser.script(height).await.as_f64().unwrap();
    assert!(before > 120.0, "{before}");
    browser.enter(FRAME).await;
    browser.see("//h1[.='Overview']").await;
    browser.see("//span[@id='live'][.='live']").await;
    // The cookie comes along in this frame although it is of another site.
    browser.click("//nav/a[.='Endpoints']").await;
    browser.see("//h1[.='Endpoints']").await;
    browser.see("//td[.='book.added']").await;
    let wants = "return Math.ceil(document.body.getBoundingClientRect().height)";
    let wants = browser.script(wants).await;
    let fits =
        "return Math.ceil(document.body.getBoundingClientRect().height) <= window.innerHeight";
    browser
        .until(fits, "the frame is as high as what it shows")
        .await;
    browser.leave().await;
    assert_eq!(browser.script(height).await, wants);

    // The same link, in the same page: it opens nothing a second time, and the page around learns that too.
    browser.open(&site.origin).await;
    browser.see("//title[contains(., ' ended')]/..").await;
    browser.enter(FRAME).await;
    browser.see("//p[contains(., 'used already')]").await;
    browser.leave().await;

    // Logging out tells the page around.
    site.embed(&api.base, &link(&api, "7").await);
    browser.open(&site.origin).await;
    browser.see("//title[contains(., ' opened')]/..").await;
    browser.enter(FRAME).await;
    browser.click("//button[.='Log out']").await;
    browser.leave().await;
    browser
        .see("//title[contains(., ' opened ended')]/..")
        .await;
    // So does a session that ends by itself, while the overview is open.
    site.embed(&api.base, &link(&api, "7").await);
    browser.open(&site.origin).await;
    browser.see("//title[contains(., ' opened')]/..").await;
    browser.enter(FRAME).await;
    browser.see("//span[@id='live'][.='live']").await;
    browser.leave().await;
    database.sql("delete from rowhook.portal_link").await;
    browser
        .see("//title[contains(., ' opened ended')]/..")
        .await;
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_named_embeds_nothing_and_is_told_nothing() {
    let (own, foreign) = (Site::start().await, Site::start().await);
    let (_database, api) = bookstore(&[&own.origin], "").await;
    let browser = Browser::start().await;
    foreign.embed(&api.base, &link(&api, "7").await);
    browser.open(&foreign.origin).await;
    let refused = async || {
        let complaints = browser.complaints().await;
        complaints.iter().any(|one| {
            let message = one["message"].as_str().unwrap_or_default();
            message.contains("frame-ancestors") && message.contains(&own.origin)
        })
    };
    harness::until_within(harness::DEADLINE, "the browser refuses the frame", refused).await;
    assert_eq!(
        browser.script("return document.title").await,
        json!("The application")
    );

    // Nor does it hear anything from a portal in a window that it has opened.
    let link = link(&api, "7").await;
    foreign.show(&format!(
        "<main><h1>Not yours</h1><button onclick=\"opened = window.open('{link}')\">Open</button></main>
        <script>
        window.onmessage = () => document.title = 'told';
        setInterval(() => window.opened && opened.postMessage({{ type: 'rowhook:hello' }}, '{}'), 50);
        </script>",
        api.base
    ));
    browser.open(&foreign.origin).await;
    browser.click("//button").await;
    browser.in_new_window().await;
    browser.see("//h1[.='Overview']").await;
    browser.see("//span[@id='live'][.='live']").await;
    browser.in_first_window().await;
    assert_ne!(browser.script("return document.title").await, json!("told"));
}

#[tokio::test]
async fn a_form_of_another_origin_is_refused_although_it_has_the_word() {
    let (database, api) = bookstore(&["https://app.example"], "").await;
    let hook = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let visit = Visit::by(&link(&api, "7").await).await;
    let (path, body) = (
        format!("/portal/hooks/{hook}/disable"),
        format!("csrf={}", visit.word().await),
    );
    for (header, value, status) in [
        ("origin", "https://app.example", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", &*api.base, 303),
        ("sec-fetch-site", "same-origin", 303),
    ] {
        let sent = visit.post(&path, body.clone(), &[(header, value)]).await;
        assert_eq!(sent.status().as_u16(), status, "{header}: {value}");
    }
    let without_word = visit.post(&path, "csrf=guess".into(), &[]).await;
    assert_eq!(without_word.status().as_u16(), 403);
}

#[tokio::test]
async fn headers_say_who_may_embed_the_portal_and_that_nobody_embeds_the_page() {
    let (_database, api) =
        bookstore(&["https://app.example", "https://www.app.example:8443"], "").await;
    let policy = async |api: &Api, path: &str| {
        let answer = api.get(path, "").await;
        let policy = answer.header("content-security-policy").to_owned();
        let (_, ancestors) = policy.split_once("frame-ancestors ").unwrap();
        (
            ancestors.to_owned(),
            answer.header("x-frame-options").to_owned(),
        )
    };
    let named = "https://app.example https://www.app.example:8443".to_owned();
    for path in ["/portal", "/portal/hooks", "/portal/enter/x"] {
        assert_eq!(
            policy(&api, path).await,
            (named.clone(), String::new()),
            "{path}"
        );
    }
    let nobody = ("'none'".to_owned(), "DENY".to_owned());
    for path in ["/", "/hooks", "/login", "/portal.js"] {
        assert_eq!(policy(&api, path).await, nobody, "{path}");
    }
    let (_database, api) = bookstore(&[], "").await;
    assert_eq!(policy(&api, "/portal").await, nobody);
}

#[tokio::test]
async fn the_element_is_small_and_takes_no_address_that_is_a_script() {
    let site = Site::start().await;
    let (_database, api) = bookstore(&[&site.origin], "").await;
    let script = api.get("/portal.js", "").await;
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert!(script.text.len() < 15_000);
    site.embed(&api.base, "javascript:document.title='run'");
    let browser = Browser::start().await;
    browser.open(&site.origin).await;
    let made = browser
        .script("return !!document.querySelector('rowhook-portal').shadowRoot")
        .await;
    assert_eq!(made, Value::Bool(false));
    assert_eq!(
        browser.script("return document.title").await,
        json!("The application")
    );
}
