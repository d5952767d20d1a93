//! Everybody can use the portal and the page: by keyboard alone, on a narrow screen, and by the rules of WCAG 2.2 AA.

use harness::{Database, Receiver};
use serde_json::json;

use super::{bookstore, link};
use crate::{
    api::{ADMIN, Api},
    browser::{Browser, ENTER},
};

/// An endpoint of owner 7 that refuses, with a delivery of every state; returns the delivery that is dead.
async fn with_deliveries(database: &Database, receiver: &Receiver) -> String {
    database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database
        .until(
            "one is in history",
            "select count(*) = 1 from rowhook.attempt where delivered",
        )
        .await;
    receiver.answer(|_, _| 500);
    database
        .sql("insert into book values (2, 7, 1, 'Hyperion', 9)")
        .await;
    let dead = "select id from rowhook.delivery where state = 'dead'";
    database
        .until(
            "one is dead",
            &format!("select count(*) = 1 from ({dead}) as dead"),
        )
        .await;
    database.ask(dead).await
}

/// Looks at pages in both themes, and as narrow as a telephone or a page that is enlarged fourfold.
async fn look(browser: &Browser, api: &Api, paths: &[String]) {
    let mut found = Vec::new();
    for (scheme, width) in [
        ("light", 1280),
        ("dark", 1280),
        ("light", 320),
        ("dark", 320),
    ] {
        browser.look(scheme, width, 900).await;
        for path in paths {
            browser.open(&format!("{}{path}", api.base)).await;
            browser.see("//h1").await;
            let wider = "return document.documentElement.scrollWidth > window.innerWidth";
            if browser.script(wider).await == json!(true) {
                found.push(format!("{path} at {width}: has to be scrolled sideways"));
            }
            let barriers = browser.barriers().await;
            let barriers = barriers.into_iter();
            found.extend(
                barriers.map(|barrier| format!("{path} in {scheme} at {width}: {barrier}")),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn the_portal_has_no_barriers_that_axe_finds() {
    let folder = tempfile::tempdir().unwrap();
    let logo = folder.path().join("logo.svg");
    let picture = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"32\" height=\"32\">
        <circle style=\"fill: teal\" cx=\"16\" cy=\"16\" r=\"16\"/></svg>";
    std::fs::write(&logo, picture).unwrap();
    let dress = format!("colours = {{ light = \"#7a1fa2\", dark = \"#e0b0f0\" }}\nlogo = {logo:?}");
    let (database, api) = bookstore(&[], &dress).await;
    let receiver = Receiver::start().await;
    let dead = with_deliveries(&database, &receiver).await;
    let browser = Browser::start().await;
    browser.open(&link(&api, "7").await).await;
    browser.see("//h1[.='Overview']").await;
    let shown = "return document.querySelector('img.logo').naturalWidth === 32";
    browser.until(shown, "the logo is shown").await;
    browser.look("light", 1280, 900).await;
    let colour =
        "return getComputedStyle(document.querySelector('nav a:not([aria-current])')).color";
    assert_eq!(browser.script(colour).await, json!("rgb(122, 31, 162)"));
    let paths = [
        "/portal".to_owned(),
        "/portal/hooks".to_owned(),
        "/portal/hooks/1".to_owned(),
        "/portal/hooks/1/edit".to_owned(),
        "/portal/hooks/none".to_owned(),
        "/portal/deliveries".to_owned(),
        format!("/portal/deliveries/{dead}"),
        "/portal/events".to_owned(),
        "/portal/enter/used".to_owned(),
    ];
    look(&browser, &api, &paths).await;
    browser.look("dark", 1280, 900).await;
    browser.open(&format!("{}/portal/hooks", api.base)).await;
    browser.see("//h1[.='Endpoints']").await;
    browser.picture("portal-dark").await;
    // What is shown only once, and what was refused.
    let none: [String; 0] = [];
    browser
        .fill("//input[@name='target']", "http://10.0.0.1/")
        .await;
    browser.click("//button[.='Add the endpoint']").await;
    browser.see("//p[@role='alert']").await;
    assert_eq!(browser.barriers().await, none);
    browser
        .open(&format!("{}/portal/hooks/1/edit", api.base))
        .await;
    browser.fill("//input[@name='timeout']", "soon").await;
    browser.click("//button[.='Save']").await;
    browser.see("//p[@id='timeout-mistake']").await;
    assert_eq!(browser.barriers().await, none);
    for (button, shown) in [
        ("Send a test", "//h1[starts-with(., 'Test of endpoint')]"),
        ("New secret", "//p[@class='secret']"),
    ] {
        browser.open(&format!("{}/portal/hooks/1", api.base)).await;
        browser.click(&format!("//button[.='{button}']")).await;
        browser.see(shown).await;
        assert_eq!(browser.barriers().await, none, "{button}");
    }
    browser.open(&format!("{}/portal/hooks/1", api.base)).await;
    browser.click("//summary[.='Delete']").await;
    browser.see("//button[.='Delete the endpoint']").await;
    assert_eq!(browser.barriers().await, none);
}

#[tokio::test]
async fn the_page_of_operators_has_no_barriers_that_axe_finds() {
    let (database, api) = bookstore(&[], "").await;
    let receiver = Receiver::start().await;
    let dead = with_deliveries(&database, &receiver).await;
    api.token("7", "write").await;
    let browser = Browser::start().await;
    look(&browser, &api, &["/login".to_owned()]).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//h1[.='Overview']").await;
    let paths = [
        "/".to_owned(),
        "/hooks".to_owned(),
        "/hooks/1".to_owned(),
        "/hooks/1/edit".to_owned(),
        "/hooks/none".to_owned(),
        "/deliveries".to_owned(),
        format!("/deliveries/{dead}"),
        "/backfills".to_owned(),
        "/tokens".to_owned(),
        "/audit".to_owned(),
        "/forget".to_owned(),
    ];
    look(&browser, &api, &paths).await;
}

#[tokio::test]
async fn an_owner_does_everything_by_keyboard() {
    let (database, api) = bookstore(&[], "").await;
    let receiver = Receiver::start().await;
    let browser = Browser::start().await;
    browser.look("light", 320, 900).await;
    browser.open(&link(&api, "7").await).await;
    browser.tab_to("a.skip", "Skip to the content").await;
    browser.tab_to("nav a", "Endpoints").await;
    browser.press(ENTER).await;
    browser.see("//h1[.='Endpoints']").await;
    browser
        .tab_to("input[name=event][value='book.added']", "")
        .await;
    browser.press(" ").await;
    browser.tab_to("input[name=target]", "").await;
    browser.press(&receiver.url()).await;
    browser.tab_to("button", "Add the endpoint").await;
    browser.press(ENTER).await;
    browser.see("//p[@class='secret']/code").await;
    assert_eq!(
        database.ask("select event from rowhook.hook").await,
        "book.added"
    );
    browser.tab_to("main a", "To the endpoint").await;
    browser.press(ENTER).await;
    browser.see("//button[.='Send a test']").await;
    browser.tab_to("button", "Send a test").await;
    browser.press(ENTER).await;
    receiver.expect(1).await;
    browser.see("//h1/span[.='200']").await;
    browser.tab_to("main a", "To the endpoint").await;
    browser.press(ENTER).await;
    browser.see("//button[.='Pause']").await;
    browser.tab_to("button", "Pause").await;
    browser.press(ENTER).await;
    browser.see("//button[.='Resume']").await;
    browser.tab_to("summary", "Delete").await;
    browser.press(ENTER).await;
    browser.tab_to("button", "Delete the endpoint").await;
    browser.press(ENTER).await;
    browser.see("//h1[.='Endpoints']").await;
    assert_eq!(database.ask("select count(*) from rowhook.hook").await, "0");
}
