//! The page for somebody who sees it for the first time, and for somebody who has no mouse.

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::json;

use crate::{
    api::{ADMIN, Api, server},
    browser::Browser,
};

/// Keys, as WebDriver names them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

async fn bookstore(retries: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let (before, rest) = config.split_once("retries = ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let api = Api::start(&format!("{before}retries = {retries}\n{after}")).await;
    (database, api)
}

/// A browser that the operator is logged in with.
async fn logged_in(api: &Api) -> Browser {
    let browser = Browser::start().await;
    browser.look("light", 1280, 900).await;
    browser.open(&format!("{}/login", api.base)).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//h1[.='Overview']").await;
    browser
}

#[tokio::test]
async fn a_newcomer_finds_in_three_steps_why_an_endpoint_fails() {
    let (database, api) = bookstore("[\"1h\"]").await;
    let (good, bad) = (
        Receiver::start().await,
        Receiver::answering(|_, _| 404).await,
    );
    database.hook(None, "book.added", &good.url()).await;
    let failing = database.hook(None, "book.added", &bad.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let is_failing = "select count(*) = 1 from rowhook.failing";
    database.until("one hook fails", is_failing).await;
    let is_parked = "select count(*) = 1 from rowhook.delivery";
    database.until("what it refused is kept", is_parked).await;
    let browser = logged_in(&api).await;
    browser.open(&format!("{}/", api.base)).await;

    // The first step: the figure that is not as it should be.
    browser
        .click("//div[@class='figure'][dt='Failing']/dd/a[.='1']")
        .await;
    // The sentence is there already, beside the hook and its target, and the good hook is not.
    let fares = browser.see("//td[@class='why']").await;
    assert!(fares.starts_with("It has failed since "), "{fares}");
    assert!(
        fares.contains("the endpoint answered 404 (Not Found)"),
        "{fares}"
    );
    browser
        .see(&format!("//tbody[count(tr) = 1]/tr/td[.='{}']", bad.url()))
        .await;
    // The second: the hook, with what it did of late.
    browser
        .click(&format!("//tbody/tr/td/a[.='{failing}']"))
        .await;
    browser
        .see("//p[contains(@class, 'note')][contains(., '404 (Not Found)')]")
        .await;
    browser
        .see("//*[name()='path'][@class='bar bad'][string-length(@d) > 0]")
        .await;
    // The third: the request, its answer, and when it is made again.
    browser
        .click("//tr[td[@class='parked']]/td/a[@class='id']")
        .await;
    let why = browser
        .see("//p[contains(@class, 'note')][contains(., 'it is tried again at')]")
        .await;
    assert!(why.contains("404 (Not Found)"), "{why}");
    browser.see("//h3[.='Response']").await;
    assert!(browser.complaints().await.is_empty());
}

#[tokio::test]
async fn charts_show_what_happened_in_the_first_minute_and_say_it_as_a_table() {
    let (database, api) = bookstore("false").await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let hook = database.hook(None, "book.added", &receiver.url()).await;
    let browser = logged_in(&api).await;
    browser.see("//*[@id='glance']//figure").await;
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 12) n")
        .await;
    receiver.expect(12).await;
    // The overview takes it up by itself.
    for class in ["bar good", "bar bad", "line plain", "line dashed"] {
        browser
            .see(&format!(
                "//*[@id='glance']//*[name()='path'][@class='{class}'][string-length(@d) > 0]"
            ))
            .await;
    }
    browser
        .see("//*[@id='glance']//table[sum(tbody/tr/td[1]) = 11][sum(tbody/tr/td[2]) = 1]")
        .await;
    browser.open(&format!("{}/hooks/{hook}", api.base)).await;
    browser
        .see("//section[@data-from]//table[sum(tbody/tr/td[1]) = 11]")
        .await;
    // So does the page of a hook.
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(13, 20) n")
        .await;
    browser
        .see("//section[@data-from]//table[sum(tbody/tr/td[1]) = 19]")
        .await;
    assert!(browser.complaints().await.is_empty());
}

#[tokio::test]
async fn many_are_sent_again_when_somebody_has_seen_how_many_and_has_confirmed_it() {
    let (database, api) = bookstore("false").await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let hook = database.hook(None, "book.added", &receiver.url()).await;
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 3) n")
        .await;
    let dead = "select count(*) = 3 from rowhook.delivery where state = 'dead'";
    database.until("three are dead", dead).await;
    receiver.answer(|_, _| 200);
    let browser = logged_in(&api).await;
    browser
        .click("//div[@class='figure'][dt='Dead']/dd/a")
        .await;
    browser.fill("//input[@name='hook']", &hook).await;
    browser.click("//button[.='Show']").await;
    browser.see("//tbody[count(tr) = 3]").await;
    browser.click("//a[.='Send these again …']").await;
    let counted = browser.see("//p[@role='status']").await;
    assert!(
        counted.starts_with("3 deliveries are sent again now: 3 that are dead"),
        "{counted}"
    );
    assert_eq!(receiver.calls().len(), 3, "nothing was sent yet");
    browser.click("//button[.='Send 3 again']").await;
    browser
        .see("//p[@role='status'][contains(., '3 dead and 0 parked deliveries are sent again')]")
        .await;
    receiver.expect(6).await;
    database.until_all_has_arrived().await;
    let record = "select concat_ws(' ', actor, via, hook, after ->> 'deliveries') from rowhook.audit \
                  where what = 'delivery.retried'";
    let expected = format!("operator page {hook} 3");
    assert_eq!(database.ask(record).await, expected);
}

#[tokio::test]
async fn all_is_done_by_keyboard_alone() {
    let (database, api) = bookstore("false").await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let hook = database.hook(None, "book.added", &receiver.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead'";
    database.until("it is dead", dead).await;
    let delivery = database.ask("select id from rowhook.delivery").await;
    receiver.answer(|_, _| 200);
    let browser = Browser::start().await;
    browser.look("light", 1280, 900).await;

    // The field for the token has the focus.
    browser.open(&format!("{}/login", api.base)).await;
    browser.see("//input[@name='token']").await;
    browser.press(ADMIN).await;
    browser.press(ENTER).await;
    browser.see("//h1[.='Overview']").await;

    // The first key leads past the menu.
    browser.press(TAB).await;
    let focus = "return document.activeElement.className || document.activeElement.id || document.activeElement.tagName";
    assert_eq!(browser.script(focus).await, json!("skip"));
    browser.press(ENTER).await;
    assert_eq!(browser.script(focus).await, json!("main"));
    browser.press(TAB).await;
    let is_inside = "return document.getElementById('main').contains(document.activeElement)";
    assert_eq!(browser.script(is_inside).await, json!(true));

    // The search is one key away, and left with another.
    browser.press("/").await;
    assert_eq!(browser.script(focus).await, json!("search"));
    browser.press("a/b").await;
    let text = "return document.getElementById('search').value";
    assert_eq!(browser.script(text).await, json!("a/b"));
    browser.press(ESCAPE).await;
    assert_eq!(browser.script(focus).await, json!("BODY"));
    for (word, title) in [
        ("nothing", "Search"),
        ("book.added", "Deliveries"),
        (delivery.as_str(), "book.added"),
        (hook.as_str(), "Hook"),
    ] {
        browser.press("/").await;
        browser.press(word).await;
        browser.press(ENTER).await;
        browser
            .see(&format!("//h1[starts-with(normalize-space(.), '{title}')]"))
            .await;
    }

    // What is to be pressed on each page has its turn, from top to bottom.
    for path in [
        "/",
        "/hooks",
        "/deliveries",
        "/audit",
        "/tokens",
        "/backfills",
    ] {
        browser.open(&format!("{}{path}", api.base)).await;
        every_control_has_its_turn(&browser, path).await;
    }
    browser.open(&format!("{}/hooks/{hook}", api.base)).await;
    every_control_has_its_turn(&browser, "the hook").await;

    // From the hook, what is dead is sent again.
    browser.open(&format!("{}/hooks/{hook}", api.base)).await;
    tab_to(&browser, "Send again what waits or is dead …").await;
    browser.press(ENTER).await;
    browser.see("//h1[.='Send again']").await;
    tab_to(&browser, "Send 1 again").await;
    browser.press(ENTER).await;
    browser
        .see("//p[@role='status'][contains(., '1 dead')]")
        .await;
    receiver.expect(2).await;
    tab_to(&browser, "Log out").await;
    browser.press(ENTER).await;
    browser.see("//h1[.='Log in']").await;
}

/// Presses the key until what has this text has the focus.
async fn tab_to(browser: &Browser, text: &str) {
    for _ in 0..200 {
        let focus = "return document.activeElement.textContent.trim()";
        if browser.script(focus).await == json!(text) {
            return;
        }
        browser.press(TAB).await;
    }
    panic!("no key leads to {text:?}");
}

/// Everything on the screen that can be pressed or filled has the focus once, in the order in which it stands on the page.
async fn every_control_has_its_turn(browser: &Browser, page: &str) {
    browser.see("//h1").await;
    let controls = browser
        .script(
            "window.controls = [...document.querySelectorAll(
                 'a[href], button, input:not([type=hidden]), select, summary, [tabindex=\"0\"]'
             )].filter((control) => control.checkVisibility());
             return window.controls.length",
        )
        .await;
    let controls = controls.as_u64().unwrap();
    assert!(controls > 5, "{page}");
    for expected in 0..controls {
        browser.press(TAB).await;
        let at = browser
            .script("return window.controls.indexOf(document.activeElement)")
            .await;
        let focus = browser
            .script("return document.activeElement.outerHTML.slice(0, 200)")
            .await;
        assert_eq!(at, json!(expected), "{page}: {focus}");
    }
}
