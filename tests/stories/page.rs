//! The page, in a browser and as raw HTML.

use harness::{BOOK_EVENTS, Database, Receiver};
use reqwest::{Client, redirect};
use serde_json::json;

use crate::{
    api::{Api, server},
    browser::Browser,
};

const ADMIN: &str = "admin-admin-admin-admin";

async fn bookstore(retries: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server(""))).replace(
        "retries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]",
        retries,
    );
    let api = Api::start(&config).await;
    (database, api)
}

#[tokio::test]
async fn a_hook_is_made_a_delivery_seen_live_and_a_dead_one_retried_in_the_browser() {
    let (database, api) = bookstore("retries = false").await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let browser = Browser::start().await;
    browser.look("light", 1280, 900).await;
    browser.open(&format!("{}/hooks", api.base)).await;
    browser.see("//h1[.='Log in']").await;
    browser.fill("//input[@name='token']", "wrong").await;
    browser.click("//button[.='Log in']").await;
    browser
        .see("//*[@role='alert'][contains(., 'opens nothing')]")
        .await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//h1[.='Overview']").await;
    browser.see("//dd[.='attached']").await;

    browser.click("//nav/a[.='Hooks']").await;
    browser.fill("//input[@name='event']", "book.added").await;
    browser
        .fill("//input[@name='target']", &receiver.url())
        .await;
    browser
        .fill("//input[@name='description']", "<script>alert(1)</script>")
        .await;
    browser.click("//button[.='Make the hook']").await;
    let secret = browser.see("//p[@class='secret']/code").await;
    assert!(secret.starts_with("whsec_"), "{secret}");

    // The open page shows a new attempt at once.
    browser.click("//nav/a[.='Overview']").await;
    browser.see("//span[@id='live'][.='live']").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    browser
        .see("//tbody[@id='attempts']/tr[@class='new']/td[@class='bad'][.='500']")
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book ' || n, n from generate_series(2, 12) n")
        .await;
    browser.see("//tbody[@id='attempts'][count(tr) = 12]").await;
    browser
        .see("//div[@class='figure'][dt='Dead']/dd[.='1']")
        .await;
    // So do the plots, a few seconds later.
    browser
        .see("//*[@id='glance']//*[name()='path'][@class='bar good'][string-length(@d) > 0]")
        .await;
    browser.picture("overview-light").await;

    browser.click("//nav/a[.='Hooks']").await;
    browser.click("//tbody/tr/td/a[.='1']").await;
    let note = browser.see("//dt[.='Note']/following-sibling::dd[1]").await;
    assert_eq!(note, "<script>alert(1)</script>", "shown, and not run");
    browser.picture("hook-light").await;
    browser
        .click("//tr[td[@class='dead']]/td/a[@class='id']")
        .await;
    browser.see("//h3[.='Request']").await;
    browser.see("//h3[.='Response']").await;
    browser.see("//pre[contains(., 'Dune')]").await;
    browser.picture("delivery-light").await;
    browser.click("//button[.='Retry now']").await;
    receiver.expect(13).await;
    let again = "select count(*) = 1 from rowhook.attempt a where delivered and exists
        (select from rowhook.attempt b where b.delivery = a.delivery and not b.delivered)";
    database.until("it has arrived", again).await;
    browser
        .open(&format!("{}/deliveries?state=delivered", api.base))
        .await;
    browser.see("//tbody[count(tr) = 12]").await;
    browser.open(&format!("{}/hooks/1", api.base)).await;
    browser.click("//button[.='Send a test']").await;
    browser
        .see("//h1/span[contains(@class, 'good')][.='200']")
        .await;

    for (scheme, width, height, suffix) in
        [("dark", 1280, 900, "dark"), ("light", 390, 844, "phone")]
    {
        browser.look(scheme, width, height).await;
        for (path, name) in [("/", "overview"), ("/hooks", "hooks"), ("/hooks/1", "hook")] {
            browser.open(&format!("{}{path}", api.base)).await;
            browser.see("//h1").await;
            browser.picture(&format!("{name}-{suffix}")).await;
            let wider = browser
                .script("return document.documentElement.scrollWidth > window.innerWidth")
                .await;
            assert_eq!(
                wider,
                json!(false),
                "{path} has to be scrolled sideways at {width}"
            );
        }
    }
    browser.look("dark", 1280, 900).await;
    let back = browser
        .script("return getComputedStyle(document.body).backgroundColor")
        .await;
    assert_eq!(back, json!("rgb(22, 24, 27)"));
    // The only complaint is about the refused token, whose answer was a 401.
    let complaints = browser.complaints().await;
    let complaints: Vec<_> = complaints
        .iter()
        .filter(|entry| {
            !entry["message"]
                .as_str()
                .unwrap_or_default()
                .contains("401")
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test]
async fn a_page_shows_owners_their_own_and_takes_no_form_but_its_own() {
    let (database, api) = bookstore("retries = false").await;
    let (token, reader) = (api.token("7", "write").await, api.token("7", "read").await);
    let hers = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let theirs = database
        .hook(Some("8"), "book.added", "http://127.0.0.1:1/")
        .await;
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let form = "application/x-www-form-urlencoded";
    let enter = |token: String| {
        let (client, base) = (&client, &api.base);
        async move {
            let page = client.get(format!("{base}/login")).send().await.unwrap();
            let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
            let cookie = cookie.split(';').next().unwrap().to_owned();
            let csrf = cookie.split('=').nth(1).unwrap();
            let entered = client
                .post(format!("{base}/login"))
                .header("content-type", form)
                .header("cookie", &cookie)
                .body(format!("token={token}&csrf={csrf}"))
                .send()
                .await
                .unwrap();
            assert_eq!(entered.status().as_u16(), 303);
            let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
            assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
            assert!(!cookie.contains(&token));
            cookie.split(';').next().unwrap().to_owned()
        }
    };
    let get = |path: String, cookie: String| {
        let (client, base) = (&client, &api.base);
        async move {
            let got = client
                .get(format!("{base}{path}"))
                .header("cookie", cookie)
                .send()
                .await
                .unwrap();
            (
                got.status().as_u16(),
                got.headers().clone(),
                got.text().await.unwrap(),
            )
        }
    };
    let post = |path: String, cookie: String, body: String| {
        let (client, base) = (&client, &api.base);
        async move {
            let sent = client
                .post(format!("{base}{path}"))
                .header("cookie", cookie)
                .header("content-type", form)
                .body(body)
                .send()
                .await
                .unwrap();
            sent.status().as_u16()
        }
    };
    let cookie = enter(token.clone()).await;
    let (status, headers, hooks) = get("/hooks".into(), cookie.clone()).await;
    assert_eq!(status, 200);
    assert!(
        hooks.contains(&format!("/hooks/{hers}\""))
            && !hooks.contains(&format!("/hooks/{theirs}\""))
    );
    assert!(!hooks.contains("name=\"owner\""));
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(!hooks.contains(" style=") && !hooks.contains("<script>"));
    assert_eq!(get(format!("/hooks/{theirs}"), cookie.clone()).await.0, 404);
    let csrf = hooks
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let disable = format!("/hooks/{hers}/disable");
    for (body, status) in [
        ("csrf=guess".to_owned(), 403),
        (String::new(), 422),
        (format!("csrf={csrf}"), 303),
    ] {
        assert_eq!(
            post(disable.clone(), cookie.clone(), body.clone()).await,
            status,
            "{body}"
        );
    }
    assert_eq!(
        post(
            format!("/hooks/{theirs}/disable"),
            cookie.clone(),
            format!("csrf={csrf}")
        )
        .await,
        404
    );
    let looking = enter(reader).await;
    let (_, _, page) = get(format!("/hooks/{hers}"), looking.clone()).await;
    assert!(
        !page.contains("/enable\""),
        "who may only look has no buttons"
    );
    let csrf = page
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(
        post(
            format!("/hooks/{hers}/enable"),
            looking,
            format!("csrf={csrf}")
        )
        .await,
        403
    );
    // Revoking a token ends its sessions, and there is no access without one.
    database
        .sql("update rowhook.token set revoked_at = now()")
        .await;
    assert_eq!(get("/hooks".into(), cookie).await.0, 303);
    for path in ["/", "/hooks", "/deliveries", "/glance", "/live", "/hooks/1"] {
        assert_eq!(get(path.into(), String::new()).await.0, 303, "{path}");
    }
}

#[tokio::test]
async fn the_operator_forgets_a_row_and_an_owner_in_the_browser_and_nobody_else_does() {
    let (database, api) = bookstore("retries = [\"1h\"]").await;
    let receiver = Receiver::answering(|_, _| 500).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let parked = "select count(*) = 1 from rowhook.delivery";
    database.until("what is refused is kept", parked).await;
    let browser = Browser::start().await;
    browser.look("light", 1280, 900).await;
    browser.open(&format!("{}/login", api.base)).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.click("//nav/a[.='Forget']").await;

    browser.fill("//input[@name='table']", "book").await;
    browser.fill("//input[@name='key']", "1").await;
    browser.click("//button[.='Forget the row']").await;
    browser
        .see("//h2[.='The row 1 of book is forgotten']")
        .await;
    browser
        .see("//li[.='1 deliveries of which the key of the row is left']")
        .await;
    let left = "select convert_from(body, 'UTF8') like '%\"data\":{\"id\":1},\"left_out\":%' from rowhook.delivery";
    assert_eq!(database.ask(left).await, "t");

    browser.fill("//input[@name='table']", "nothing").await;
    browser.fill("//input[@name='key']", "[1]").await;
    browser.click("//button[.='Forget the row']").await;
    browser
        .see("//h2[.='The row [1] of nothing is forgotten']")
        .await;
    browser.fill("//input[@name='owner']", "7").await;
    browser.click("//button[.='Forget the owner']").await;
    browser.see("//h2[.='The owner 7 is forgotten']").await;
    browser.see("//li[.='1 hooks deleted']").await;

    let token = api.token("8", "write").await;
    browser.click("//button[.='Log out']").await;
    browser.fill("//input[@name='token']", &token).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//nav/a[.='Hooks']").await;
    browser.open(&format!("{}/forget", api.base)).await;
    browser
        .see("//*[contains(., 'only the operator may do this')]")
        .await;
}

#[tokio::test]
async fn how_a_hook_is_sent_is_chosen_under_advanced_as_far_as_it_is_theirs_to_choose() {
    let (database, api) = bookstore("retries = false").await;
    let receiver = Receiver::start().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/hooks", api.base)).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//h1[.='Overview']").await;
    browser.click("//nav/a[.='Hooks']").await;
    browser.fill("//input[@name='event']", "book.added").await;
    browser
        .fill("//input[@name='target']", &receiver.url())
        .await;
    browser.click("//summary[.='Advanced']").await;
    for (name, value) in [
        ("events", "book.changed, book.removed"),
        ("auth", r#"{"bearer": "t0ken"}"#),
        ("timeout", "5s"),
        ("retries", r#"["1s", "2s"]"#),
        ("disable_after", "50"),
    ] {
        browser
            .fill(&format!("//details//input[@name='{name}']"), value)
            .await;
    }
    browser.click("//button[.='Make the hook']").await;
    browser.see("//p[@class='secret']/code").await;
    browser.click("//nav/a[.='Hooks']").await;
    browser.click("//tbody/tr/td/a[.='1']").await;
    for (name, value) in [
        ("Event", "book.added, book.changed, book.removed"),
        ("Credentials", "bearer"),
        ("Time-out", "5s"),
        ("Retries", r#"["1s", "2s"]"#),
        ("Disabled after", "50"),
    ] {
        let fact = format!("//dt[.='{name}']/following-sibling::dd[1]");
        assert_eq!(browser.see(&fact).await, value, "{name}");
    }
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9); update book set price = 1")
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[1].header("authorization"), "Bearer t0ken");
    // Owners are shown what they may choose.
    let anna = api.token("7", "write").await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/hooks", api.base)).await;
    browser.fill("//input[@name='token']", &anna).await;
    browser.click("//button[.='Log in']").await;
    browser.click("//nav/a[.='Hooks']").await;
    browser.click("//summary[.='Advanced']").await;
    browser
        .see("//details[.//input[@name='timeout']][not(.//input[@name='retries'])]/summary")
        .await;
}
