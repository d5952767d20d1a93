//! Changing hooks by hand, in forms that show what is set and nothing that is secret.

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::{Value, json};

use crate::{
    api::{ADMIN, Api, server},
    browser::{Browser, ENTER},
    portal::{self, Visit},
};

/// What may be shown nowhere.
const MARKER: &str = "marker-of-a-secret";

async fn bookstore(more: &str) -> (Database, Api) {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}\n{more}", server("")));
    (database, Api::start(&config).await)
}

/// Opens the form of a hook, as the operator.
async fn open(api: &Api, path: &str) -> Browser {
    let browser = Browser::start().await;
    browser.look("light", 1280, 900).await;
    browser.open(&format!("{}/login", api.base)).await;
    browser.fill("//input[@name='token']", ADMIN).await;
    browser.click("//button[.='Log in']").await;
    browser.see("//h1[.='Overview']").await;
    browser.open(&format!("{}{path}", api.base)).await;
    browser
}

/// Writes something in place of what is in a field.
async fn write(browser: &Browser, id: &str, text: &str) {
    browser.see(&format!("//*[@id='{id}']/..")).await;
    let clear = format!("document.getElementById('{id}').value = ''");
    browser.script(&clear).await;
    if !text.is_empty() {
        browser.fill(&format!("//*[@id='{id}']"), text).await;
    }
}

async fn value(browser: &Browser, id: &str) -> Value {
    let value = format!("return document.getElementById('{id}').value");
    browser.script(&value).await
}

/// What is on record of changes, newest first, as before and after.
async fn changes(api: &Api) -> Vec<Value> {
    let acts = api.get("/api/audit?what=hook.changed", ADMIN).await.json();
    let acts = acts["data"].as_array().unwrap().iter();
    acts.map(|act| json!([act["before"], act["after"]]))
        .collect()
}

#[tokio::test]
async fn a_hook_is_edited_on_the_page_and_a_secret_that_is_left_empty_stays() {
    let (database, api) = bookstore("").await;
    let receiver = Receiver::start().await;
    let target = receiver.url();
    let target = target.replace("http://", &format!("http://user:{MARKER}@"));
    let new = json!({
        "event": "book.added",
        "target": format!("{target}/old"),
        "headers": {"x-key": MARKER, "x-other": MARKER},
        "timeout": "5s",
        "description": "first\nsecond",
    });
    let made = api.post("/api/hooks", ADMIN, new).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let browser = open(&api, "/hooks/1").await;
    browser.click("//a[.='Edit']").await;
    browser.see("//h1[.='Edit hook 1']").await;
    let shown = [
        ("events", "book.added".to_owned()),
        ("target", format!("{}/old", receiver.url())),
        ("timeout", "5s".to_owned()),
        ("description", "first\nsecond".to_owned()),
        ("filter", String::new()),
        ("order", String::new()),
    ];
    for (id, expected) in shown {
        assert_eq!(value(&browser, id).await, json!(expected), "{id}");
    }
    let html = browser
        .script("return document.documentElement.outerHTML")
        .await;
    assert!(!html.as_str().unwrap().contains(MARKER), "{html}");

    browser.picture("edit-light").await;

    // Nothing is written where nothing was changed.
    browser.click("//button[.='Save']").await;
    browser.see("//h1[starts-with(., 'Hook 1')]").await;
    assert!(changes(&api).await.is_empty());

    browser.click("//a[.='Edit']").await;
    write(&browser, "events", "book.changed, book.added").await;
    write(&browser, "target", &format!("{}/new", receiver.url())).await;
    write(&browser, "timeout", "7s").await;
    write(&browser, "filter", "new.price < 100").await;
    write(&browser, "concurrency", "3").await;
    write(&browser, "retries", r#"["1s", "2s"]"#).await;
    write(&browser, "new-name-1", "X-New").await;
    write(&browser, "new-value-1", "added").await;
    browser
        .click("//label[contains(., 'Remove x-other')]/input")
        .await;
    browser
        .click("//select[@id='order']/option[.='none']")
        .await;
    browser.click("//button[.='Save']").await;
    browser.see("//h1[starts-with(., 'Hook 1')]").await;
    for (name, expected) in [
        ("Event", "book.added, book.changed"),
        ("Time-out", "7s"),
        ("Filter", "new.price < 100"),
        ("Retries", r#"["1s", "2s"]"#),
        ("Headers", "X-New, x-key"),
    ] {
        let fact = format!("//dt[.='{name}']/following-sibling::dd[1]");
        assert_eq!(browser.see(&fact).await, expected, "{name}");
    }
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9); update book set price = 8; update book set price = 800")
        .await;
    database.until_all_is_confirmed().await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call.path, "/hook/new");
        assert_eq!(call.header("x-key"), MARKER);
        assert_eq!(call.header("x-new"), "added");
        assert_eq!(call.header("x-other"), "");
        assert!(call.header("authorization").starts_with("Basic "));
    }
    let changes = changes(&api).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    let (before, after) = (&changes[0][0], &changes[0][1]);
    assert_eq!(
        (&before["timeout"], &after["timeout"]),
        (&json!("5s"), &json!("7s"))
    );
    assert_eq!(after["header X-New"], json!("set"));
    assert!(!changes[0].to_string().contains(MARKER), "{changes:?}");

    // Another server gets no credentials that were meant for this one.
    browser.click("//a[.='Edit']").await;
    let other = Receiver::start().await;
    write(&browser, "target", &other.url()).await;
    browser.click("//button[.='Save']").await;
    browser.see("//h1[starts-with(., 'Hook 1')]").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    let calls = other.expect(1).await;
    assert_eq!(calls[0].header("authorization"), "");
}

#[tokio::test]
async fn credentials_are_given_and_taken_and_never_shown() {
    let (database, api) = bookstore("").await;
    let receiver = Receiver::start().await;
    database.hook(None, "book.added", &receiver.url()).await;
    let browser = open(&api, "/hooks/1/edit").await;
    write(&browser, "auth", MARKER).await;
    browser.click("//button[.='Save']").await;
    let fact = "//dt[.='Credentials']/following-sibling::dd[1]";
    assert_eq!(browser.see(fact).await, "bearer");
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].header("authorization"), format!("Bearer {MARKER}"));
    browser.click("//a[.='Edit']").await;
    browser
        .see("//label[@for='auth'][contains(., 'it has some (bearer)')]")
        .await;
    browser
        .click("//label[contains(., 'Remove its credentials')]/input")
        .await;
    browser.click("//button[.='Save']").await;
    browser.see("//h1[starts-with(., 'Hook 1')]").await;
    let auth = "select auth is null from rowhook.hook";
    assert_eq!(database.ask(auth).await, "t");
    let changes = changes(&api).await;
    assert_eq!(changes[1][1]["auth"], json!("set"));
    assert_eq!(changes[0][0]["auth"], json!("set"));
    assert!(!format!("{changes:?}").contains(MARKER), "{changes:?}");
}

#[tokio::test]
async fn what_is_wrong_stands_at_its_field_and_what_was_written_stays() {
    let (database, api) = bookstore("").await;
    let receiver = Receiver::start().await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let browser = open(&api, "/hooks/1/edit").await;
    write(&browser, "description", "kept <b>").await;
    for (id, text, why) in [
        ("timeout", "soon", "its timeout: \"soon\" is not a duration"),
        ("timeout", "10m", "its timeout is 600s, and may be 60s here"),
        ("events", "book.aded", "there is no event book.aded"),
        ("events", "", "it names no event"),
        (
            "target",
            "http://10.0.0.1/",
            "the target's address 10.0.0.1 is not public",
        ),
        ("target", "", "the target is not a URL"),
        ("filter", "new.prize > 1", "its filter, on book.added"),
        ("concurrency", "many", "its concurrency is a string"),
        ("rate", "fast", "rate"),
        ("signature", "{}", "its signature is neither standard"),
        ("auth", "{\"key\": 1}", "its auth has no key"),
    ] {
        let before = value(&browser, id).await;
        write(&browser, id, text).await;
        browser.click("//button[.='Save']").await;
        let quote = if why.contains('\'') { '"' } else { '\'' };
        browser
            .see(&format!(
                "//p[@id='{id}-mistake'][contains(., {quote}{why}{quote})]"
            ))
            .await;
        let field =
            format!("//*[@id='{id}'][@aria-invalid='true'][@aria-describedby='{id}-mistake']");
        browser.see(&format!("{field}/..")).await;
        browser
            .see(&format!("//p[@role='alert']/a[@href='#{id}']"))
            .await;
        if id != "auth" {
            assert_eq!(value(&browser, id).await, json!(text), "{id}");
        }
        assert_eq!(value(&browser, "description").await, json!("kept <b>"));
        write(&browser, id, before.as_str().unwrap()).await;
    }
    write(&browser, "new-name-1", "Content-Length").await;
    write(&browser, "new-value-1", MARKER).await;
    browser.click("//button[.='Save']").await;
    let told = browser.see("//p[@id='headers-mistake']").await;
    assert!(
        told.contains("the header content-length is set by rowhook"),
        "{told}"
    );
    assert_eq!(value(&browser, "new-name-1").await, json!("Content-Length"));
    assert_eq!(value(&browser, "new-value-1").await, json!(""));
    browser
        .see("//p[contains(., 'write them once more')]")
        .await;
    write(&browser, "new-name-1", "").await;
    browser.click("//button[.='Save']").await;
    let note = "//dt[.='Note']/following-sibling::dd[1]";
    assert_eq!(browser.see(note).await, "kept <b>");
    assert_eq!(changes(&api).await.len(), 1);
}

#[tokio::test]
async fn whoever_edits_a_hook_is_told_what_others_have_changed_meanwhile() {
    let (database, api) = bookstore("").await;
    let receiver = Receiver::start().await;
    database.hook(None, "book.added", &receiver.url()).await;
    let browser = open(&api, "/hooks/1/edit").await;
    write(&browser, "filter", "new.price < 100").await;
    write(&browser, "timeout", "7s").await;
    database
        .sql("update rowhook.hook set timeout = '5s', description = 'theirs'")
        .await;
    browser.click("//button[.='Save']").await;
    let told = browser.see("//div[@id='changed']").await;
    for part in [
        "nothing is saved yet",
        "Note: it was empty, and is theirs now.",
        "Time-out: it was empty, and is 5s now. Saving makes it 7s.",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let row = "select concat_ws(' ', timeout, filter, description) from rowhook.hook";
    assert_eq!(database.ask(row).await, "5s theirs");
    assert_eq!(value(&browser, "description").await, json!("theirs"));
    // What is secret is told too, and not shown.
    database
        .sql(&format!(
            "update rowhook.hook set auth = '{{\"bearer\": \"{MARKER}\"}}'"
        ))
        .await;
    browser.click("//button[.='Save']").await;
    browser
        .see("//div[@id='changed'][contains(., 'Credentials: it was empty, and is bearer now')]")
        .await;
    database
        .sql(&format!(
            "update rowhook.hook set auth = '{{\"bearer\": \"{MARKER}2\"}}'"
        ))
        .await;
    browser.click("//button[.='Save']").await;
    browser
        .see("//div[@id='changed'][contains(., 'Something that is not shown')]")
        .await;
    browser.click("//button[.='Save']").await;
    browser.see("//h1[starts-with(., 'Hook 1')]").await;
    assert_eq!(database.ask(row).await, "7s new.price < 100 theirs");
    // One that is gone, and one of hooks.toml, cannot be edited.
    browser.click("//a[.='Edit']").await;
    browser.see("//button[.='Save']").await;
    database.sql("delete from rowhook.hook").await;
    browser.click("//button[.='Save']").await;
    browser.see("//p[contains(., 'there is no hook')]").await;
}

#[tokio::test]
async fn an_owner_edits_an_endpoint_as_far_as_it_is_theirs() {
    let database = Database::bookstore().await;
    let config = database.config(&portal::config(
        &[],
        "[limits]\nowner_settings = [\"timeout\"]\n",
    ));
    let api = Api::start(&config).await;
    let receiver = Receiver::start().await;
    for owner in ["7", "8"] {
        database
            .hook(Some(owner), "book.added", &receiver.url())
            .await;
    }
    let browser = Browser::start().await;
    browser.look("light", 320, 900).await;
    browser.open(&portal::link(&api, "7").await).await;
    browser.see("//h1[.='Overview']").await;
    // By keyboard alone.
    browser.open(&format!("{}/portal/hooks/1", api.base)).await;
    browser.tab_to("main a.button", "Edit").await;
    browser.press(ENTER).await;
    browser.see("//h1[.='Edit endpoint 1']").await;
    browser
        .tab_to("input[name=events][value='book.removed']", "")
        .await;
    browser.press(" ").await;
    browser.tab_to("#description", "").await;
    browser.press("warehouse").await;
    browser.tab_to("#timeout", "").await;
    browser.press("9s").await;
    for id in ["order", "retries", "auth", "template", "user_agent"] {
        let is_there = format!("return document.getElementById('{id}') === null");
        assert_eq!(browser.script(&is_there).await, json!(true), "{id}");
    }
    browser.tab_to("button", "Save").await;
    browser.press(ENTER).await;
    browser.see("//h1[starts-with(., 'Endpoint 1')]").await;
    let row = "select concat_ws(' ', event, array_to_string(events, ' '), timeout, description)
        from rowhook.hook where id = 1";
    let expected = "book.added book.removed 9s warehouse";
    assert_eq!(database.ask(row).await, expected);

    // In their words, and without what only operators can do.
    browser
        .open(&format!("{}/portal/hooks/1/edit", api.base))
        .await;
    write(&browser, "target", "http://10.0.0.1/").await;
    browser.click("//button[.='Save']").await;
    let told = browser.see("//p[@id='target-mistake']").await;
    assert!(
        told.starts_with("The target's address 10.0.0.1 is not public")
            && !told.contains("delivery."),
        "{told}"
    );

    let visit = Visit::by(&portal::link(&api, "7").await).await;
    assert_eq!(visit.status("/portal/hooks/1/edit").await, 200);
    assert_eq!(visit.status("/portal/hooks/2/edit").await, 404);
    let page = visit.text("/portal/hooks/1/edit").await;
    let hidden = |name: &str| {
        let field = page
            .split(&format!("name=\"{name}\" value=\""))
            .nth(1)
            .unwrap();
        let text = field.split('"').next().unwrap();
        text.replace("&quot;", "\"")
            .replace("&#x2f;", "/")
            .replace("&#x2F;", "/")
    };
    let (seen, was) = (hidden("seen"), hidden("was"));
    let form = |name: &str, value: &str| {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("seen", &seen)
            .append_pair("was", &was)
            .append_pair("events", "book.added")
            .append_pair("events", "book.removed")
            .append_pair(name, value)
            .finish()
    };
    // A form cannot say what it does not show, and not be sent for another's.
    let sent = visit
        .press(
            "/portal/hooks/1/edit",
            &format!("&{}", form("order", "hook")),
        )
        .await;
    assert_eq!(sent, 303);
    assert_eq!(
        database
            .ask("select \"order\" is null from rowhook.hook where id = 1")
            .await,
        "t"
    );
    let sent = visit
        .press(
            "/portal/hooks/2/edit",
            &format!("&{}", form("description", "mine")),
        )
        .await;
    assert_eq!(sent, 404);
    let other = "select description is null from rowhook.hook where id = 2";
    assert_eq!(database.ask(other).await, "t");
}
