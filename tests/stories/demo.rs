//! `rowhook demo`, as a newcomer sees it: in the terminal and on its page.

use std::sync::Arc;

use harness::{Rowhook, rowhook};
use nix::sys::signal::Signal;

use crate::browser::Browser;

#[tokio::test]
async fn the_demo_ends_by_itself_with_everything_delivered_and_verified() {
    let ended = rowhook("", &["demo", "--seconds", "3"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    for part in [
        "the first webhook, ",
        "signature verified",
        "all answered and with verified signatures",
    ] {
        assert!(ended.out.contains(part), "{}", ended.out);
    }
}

#[tokio::test]
async fn the_page_of_the_demo_opens_by_a_link_that_works_once_and_has_something_of_everything() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut demo = Rowhook::start_in(&folder, &["demo"]);
    let out = demo
        .until_out("the link is printed", |out| {
            out.contains("/login/link/") && out.contains("the first webhook")
        })
        .await;
    let link = out
        .lines()
        .map(str::trim)
        .find(|line| line.contains("/login/link/"))
        .unwrap();
    let (address, _) = link.split_once("/login/link/").unwrap();

    let browser = Browser::start().await;
    browser.open(link).await;
    browser.see("//h1[.='Overview']").await;
    browser.see("//span[@id='live'][.='live']").await;
    // One endpoint fails, and gets what it has missed when it is back.
    browser
        .see("//td[@class='bad'][starts-with(., '503')]")
        .await;
    browser
        .see("//td[@class='good'][contains(., 'attempt')]")
        .await;
    browser.see("//td[.='sale.announced']").await;
    browser.open(&format!("{address}/hooks/bargains")).await;
    browser.see("//dt[.='Filter']").await;
    browser.open(&format!("{address}/hooks")).await;
    browser
        .see("//tr[td[@class='disabled'] and td[.='410 Gone' or .='410']]")
        .await;

    browser.click("//a[.='warehouse']").await;
    browser.click("//a[.='Send existing rows']").await;
    let hook = browser
        .script("return document.getElementById('hook').value")
        .await;
    assert_eq!(hook, "warehouse");
    browser.click("//button[.='Send the rows']").await;
    // The page follows it without being loaded again.
    browser.see("//td[@class='done']").await;
    let sent = browser.see("//tr[td[@class='done']]/td[6]").await;
    assert!(!sent.starts_with("0 "), "{sent}");

    let other = Browser::start().await;
    other.open(link).await;
    other
        .see("//*[@role='alert'][contains(., 'used already')]")
        .await;
    other.see("//h1[.='Log in']").await;

    demo.signal(Signal::SIGINT);
    let (status, log) = demo.wait();
    assert!(status.success(), "{log}");
}
