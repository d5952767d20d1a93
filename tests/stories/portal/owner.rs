//! The whole path of an owner through the portal, in a real browser.

use harness::Receiver;

use super::{bookstore, link};
use crate::browser::Browser;

#[tokio::test]
async fn an_owner_adds_an_endpoint_learns_why_it_fails_and_has_it_served_again() {
    let (database, api) = bookstore(&[], "").await;
    let receiver = Receiver::start().await;
    let browser = Browser::start().await;
    browser.look("light", 1280, 900).await;
    browser.open(&link(&api, "7").await).await;
    browser.see("//p[@class='name'][.='Bookstore']").await;

    // From the catalogue to an endpoint for an event in it.
    browser.click("//nav/a[.='Events']").await;
    browser.see("//pre[contains(., 'title')]").await;
    browser
        .click("//a[.='Send book.added to an endpoint']")
        .await;
    let chosen = "return [...document.querySelectorAll('input[name=event]:checked')].map((box) => box.value).join()";
    assert_eq!(browser.script(chosen).await, "book.added");
    browser
        .click("//input[@name='event'][@value='book.removed']")
        .await;
    // What is wrong is said where it is asked, in their words, and what was written stays.
    browser
        .fill("//input[@name='target']", "http://10.0.0.1/hook")
        .await;
    browser
        .fill("//input[@name='description']", "warehouse <new>")
        .await;
    browser.click("//button[.='Add the endpoint']").await;
    let refused = browser.see("//p[@role='alert']").await;
    assert!(refused.starts_with("It was not added. "), "{refused}");
    assert!(
        !refused.contains("delivery.") && !refused.contains("hooks.toml"),
        "{refused}"
    );
    let kept = "return document.getElementById('description').value";
    assert_eq!(browser.script(kept).await, "warehouse <new>");
    assert_eq!(browser.script(chosen).await, "book.added,book.removed");
    browser
        .script("document.getElementById('target').value = ''")
        .await;
    browser
        .fill("//input[@name='target']", &receiver.url())
        .await;
    browser.click("//button[.='Add the endpoint']").await;
    let secret = browser.see("//p[@class='secret']/code").await;
    assert!(secret.starts_with("whsec_"), "{secret}");
    let events = "select concat_ws(' ', event, array_to_string(events, ' ')) from rowhook.hook";
    assert_eq!(database.ask(events).await, "book.added book.removed");
    browser.click("//a[.='To the endpoint']").await;
    browser
        .see("//p[contains(., 'Nothing has been sent to it yet')]")
        .await;
    let note = browser.see("//dt[.='Note']/following-sibling::dd[1]").await;
    assert_eq!(note, "warehouse <new>", "shown as it was written");

    browser.click("//button[.='Send a test']").await;
    browser
        .see("//h1/span[contains(@class, 'good')][.='200']")
        .await;

    // It fails: why, and what happens next.
    receiver.answer(|_, _| 503);
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 8, 1, 'of another', 9)")
        .await;
    database
        .until(
            "it was given up",
            "select count(*) = 1 from rowhook.delivery where state = 'dead'",
        )
        .await;
    browser.click("//nav/a[.='Endpoints']").await;
    browser.click("//tbody/tr/td/a").await;
    browser
        .see("//p[contains(@class, 'note')][contains(., '503 (Service Unavailable)')]")
        .await;
    browser.picture("portal-light").await;
    browser
        .click("//tr[td[@class='dead']]/td/a[@class='id']")
        .await;
    browser
        .see("//p[contains(., 'It was given up, because the last of 10 attempts failed: 503')]")
        .await;
    browser
        .see("//h3[.='Request']/..//pre[contains(., 'Dune')]")
        .await;
    browser.see("//h3[.='Response']/../p[.='503']").await;
    receiver.answer(|_, _| 200);
    browser.click("//button[.='Retry now']").await;
    database
        .until(
            "it has arrived",
            "select count(*) = 1 from rowhook.attempt where delivered",
        )
        .await;

    // Sent again, a new secret, paused, resumed, deleted.
    browser.click("//nav/a[.='Endpoints']").await;
    browser.click("//tbody/tr/td/a").await;
    browser
        .see("//p[contains(., 'Its endpoint takes what it is sent')]")
        .await;
    let before = receiver.calls().len();
    browser.click("//button[.='Send the last day again']").await;
    receiver.expect(before + 1).await;
    browser.click("//button[.='New secret']").await;
    let rotated = browser.see("//p[@class='secret']/code").await;
    assert_ne!(rotated, secret);
    browser.click("//a[.='To the endpoint']").await;
    browser.click("//button[.='Pause']").await;
    browser
        .see("//p[contains(., 'It has been disabled since')]")
        .await;
    browser.click("//button[.='Resume']").await;
    browser.see("//button[.='Pause']").await;
    browser.click("//summary[.='Delete']").await;
    browser.click("//button[.='Delete the endpoint']").await;
    browser.see("//p[.='There are no endpoints yet.']").await;
    assert_eq!(database.ask("select count(*) from rowhook.hook").await, "0");
    let page = browser.see("//body").await;
    assert!(
        !page.contains("of another") && !page.contains("rowhook"),
        "{page}"
    );
}
