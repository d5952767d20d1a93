//! Links: who makes them, for whom, and what they open.

use harness::{BOOK_EVENTS, Database, Rowhook, rowhook};
use serde_json::{Value, json};

use super::{bookstore, config, link, visit::Visit};
use crate::api::{ADMIN, Api, server};

#[tokio::test]
async fn a_link_lets_one_browser_in_to_its_owner_and_to_nobody_else() {
    let (database, api) = bookstore(&[], "").await;
    let hers = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let theirs = database
        .hook(Some("8"), "book.added", "http://127.0.0.1:1/")
        .await;
    let link = link(&api, "7").await;
    // Whoever only looks, as scanners of links do, does not use it up.
    assert_eq!(Visit::head(&link).await, 204);
    let visit = Visit::by(&link).await;
    assert!(
        visit.set_cookie.starts_with("__Host-rowhook_portal=")
            && visit
                .set_cookie
                .contains("; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Max-Age="),
        "{}",
        visit.set_cookie
    );
    let hooks = visit.text("/portal/hooks").await;
    assert!(hooks.contains(&format!("/hooks/{hers}\"")) && hooks.contains("Bookstore"));
    assert!(!hooks.contains(&format!("/hooks/{theirs}\"")) && !hooks.contains("name=\"owner\""));
    for (path, status) in [
        (format!("/portal/hooks/{hers}"), 200),
        (format!("/portal/hooks/{theirs}"), 404),
        (format!("/portal/deliveries?hook={theirs}"), 200),
        ("/portal/events".to_owned(), 200),
        ("/portal/tokens".to_owned(), 404),
        ("/portal/audit".to_owned(), 404),
        ("/portal/backfills".to_owned(), 404),
        ("/portal/forget".to_owned(), 404),
        // The session opens the portal, and not the page.
        ("/hooks".to_owned(), 303),
    ] {
        assert_eq!(visit.status(&path).await, status, "{path}");
    }
    for (hook, action, status) in [
        (&theirs, "disable", 404),
        (&theirs, "remove", 404),
        (&theirs, "test", 404),
        (&theirs, "rotate", 404),
        (&hers, "disable", 303),
    ] {
        let path = format!("/portal/hooks/{hook}/{action}");
        assert_eq!(visit.press(&path, "").await, status, "{path}");
    }
    // Her session, given out as one of the page, opens nothing there.
    let as_page = visit
        .cookie
        .replace("__Host-rowhook_portal", "rowhook_session");
    assert_eq!(visit.with_cookie(&as_page).status("/hooks").await, 303);

    let again = Visit::refused(&link).await;
    assert!(again.contains("This link was used already, or is older than ten minutes."));
    let kept = "select count(*) filter (where used_at is not null) || ' of ' || count(*) from rowhook.portal_link";
    assert_eq!(database.ask(kept).await, "1 of 1");
}

#[tokio::test]
async fn a_link_ends_after_ten_minutes_and_a_session_when_its_row_is_gone_or_its_owner_forgotten() {
    let (database, api) = bookstore(&[], "").await;
    let old = link(&api, "7").await;
    let minutes = "select round(extract(epoch from ends_at - made_at)) from rowhook.portal_link";
    assert_eq!(database.ask(minutes).await, "600");
    database
        .sql("update rowhook.portal_link set ends_at = clock_timestamp()")
        .await;
    Visit::refused(&old).await;
    let (first, second) = (
        Visit::by(&link(&api, "7").await).await,
        Visit::by(&link(&api, "7").await).await,
    );
    let left = "select count(*) from rowhook.portal_link";
    assert_eq!(database.ask(left).await, "2", "what is over is deleted");
    assert_eq!(first.status("/portal/session").await, 204);
    database
        .sql("delete from rowhook.portal_link where id = (select min(id) from rowhook.portal_link)")
        .await;
    assert_eq!(first.status("/portal/session").await, 401);
    assert_eq!(first.status("/portal/hooks").await, 401);
    assert_eq!(second.status("/portal/hooks").await, 200);
    let unused = link(&api, "7").await;
    let forgotten = api.post("/api/forget", ADMIN, json!({"owner": "7"})).await;
    assert_eq!(forgotten.json()["tokens"], json!(2));
    assert_eq!(second.status("/portal/hooks").await, 401);
    Visit::refused(&unused).await;
}

#[tokio::test]
async fn a_link_is_good_after_a_restart_and_a_session_ends_with_it() {
    let (database, api) = bookstore(&[], "").await;
    let visit = Visit::by(&link(&api, "7").await).await;
    let unused = link(&api, "7").await;
    let unused = unused.strip_prefix(&api.base).unwrap();
    assert!(api.rowhook.stop().success());
    let api = Api::start(&database.config(&config(&[], ""))).await;
    assert_eq!(visit.at(&api.base).status("/portal/hooks").await, 401);
    let visit = Visit::by(&format!("{}{unused}", api.base)).await;
    assert_eq!(visit.status("/portal/hooks").await, 200);
}

#[tokio::test]
async fn operators_with_the_role_make_links_and_owners_do_not() {
    let database = Database::bookstore().await;
    let admins = "[[server.admins]]\nname = \"app\"\nrole = \"hooks\"\ntoken = \"the-token-of-the-app\"\n\
                  [[server.admins]]\nname = \"desk\"\nrole = \"support\"\ntoken = \"the-token-of-the-desk\"\n";
    let api = Api::start(&database.config(&config(&[], &format!("\n{admins}")))).await;
    let owner = api.token("7", "write").await;
    for (token, status) in [
        ("the-token-of-the-app", 201),
        ("the-token-of-the-desk", 403),
        (&*owner, 403),
        ("", 401),
    ] {
        let asked = api.post("/api/portal", token, json!({"owner": "7"})).await;
        assert_eq!(asked.status, status, "{token}: {}", asked.text);
    }
    for (body, status) in [
        (json!({"owner": ""}), 422),
        (json!({"owner": "a".repeat(2000)}), 422),
        (json!({}), 400),
        (json!({"owner": "7", "scope": "write"}), 400),
    ] {
        let asked = api.post("/api/portal", ADMIN, body.clone()).await;
        assert_eq!(asked.status, status, "{body}: {}", asked.text);
    }
    // Each request has a link of its own, which is kept nowhere.
    let keyed = async || {
        let new = json!({"owner": "7"});
        let key = [("idempotency-key", "the same")];
        let method = reqwest::Method::POST;
        let made = api
            .ask_with(method, "/api/portal", ADMIN, Some(&new), &key)
            .await;
        made.json()["url"].as_str().unwrap().to_owned()
    };
    assert_ne!(keyed().await, keyed().await);
    let made = link(&api, "7").await;
    let key = made.rsplit('/').next().unwrap();
    let dump = "select coalesce(string_agg(l::text, ' '), '') || (select coalesce(string_agg(a::text, ' '), '') \
                from rowhook.audit as a) || (select coalesce(string_agg(i::text, ' '), '') from rowhook.idempotency as i) \
                from rowhook.portal_link as l";
    assert!(!database.ask(dump).await.contains(key));
}

#[tokio::test]
async fn who_makes_a_link_and_who_uses_it_is_on_record() {
    let (database, api) = bookstore(&[], "").await;
    let visit = Visit::by(&link(&api, "7").await).await;
    let hook = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    assert_eq!(
        visit
            .press(&format!("/portal/hooks/{hook}/disable"), "")
            .await,
        303
    );
    assert_eq!(visit.press("/portal/logout", "").await, 200);
    assert_eq!(visit.status("/portal/hooks").await, 401);
    let acts = "select coalesce(jsonb_agg(jsonb_build_array(what, actor, actor_owner, token, via, owner, after -> 'link') order by id), '[]')
                from rowhook.audit where what in ('portal.linked', 'login', 'hook.disabled', 'logout')";
    let acts: Value = serde_json::from_str(&database.ask(acts).await).unwrap();
    assert_eq!(
        acts,
        json!([
            ["portal.linked", "operator", null, null, "api", "7", 1],
            ["login", "owner", "7", "portal 1", "page", "7", null],
            ["hook.disabled", "owner", "7", "portal 1", "page", "7", null],
            ["logout", "owner", "7", "portal 1", "page", "7", null],
        ])
    );
}

#[tokio::test]
async fn the_command_prints_a_link_and_says_what_is_missing() {
    let (database, api) = bookstore(&[], "").await;
    let named = config(&[], &format!("url = \"{}\"", api.base));
    let printed = rowhook(&database.config(&named), &["portal", "7"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let visit = Visit::by(printed.out.trim()).await;
    assert_eq!(visit.status("/portal/hooks").await, 200);
    let printed = rowhook(&database.config(&named), &["portal", "7", "--json"]);
    let made: Value = serde_json::from_str(&printed.out).unwrap();
    assert!(
        made["expires_at"].as_str().unwrap().ends_with('Z'),
        "{made}"
    );
    let made = "select string_agg(actor || ' ' || owner, ', ') from rowhook.audit where what = 'portal.linked'";
    assert_eq!(database.ask(made).await, "command line 7, command line 7");

    let unknown = rowhook(&database.config(&config(&[], "")), &["portal", "7"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("set url under [portal]"),
        "{}",
        unknown.err
    );
    let without = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let refused = rowhook(&without, &["portal", "7"]);
    assert!(
        refused
            .err
            .contains("hooks.toml has no [portal]; add that section"),
        "{}",
        refused.err
    );
}

#[tokio::test]
async fn without_a_portal_there_is_none() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    for path in [
        "/portal",
        "/portal/hooks",
        "/portal/enter/x",
        "/portal/look.css",
        "/portal.js",
    ] {
        assert_eq!(api.get(path, "").await.status, 404, "{path}");
    }
    let asked = api.post("/api/portal", ADMIN, json!({"owner": "7"})).await;
    assert_eq!(asked.status, 409);
    let detail = asked.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("hooks.toml has no [portal]"), "{detail}");
}

#[tokio::test]
async fn a_part_that_is_not_shown_cannot_be_used_either() {
    let (database, api) = bookstore(&[], "show = [\"test\"]").await;
    let hook = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let visit = Visit::by(&link(&api, "7").await).await;
    let page = visit.text(&format!("/portal/hooks/{hook}")).await;
    assert!(page.contains("Send a test"));
    for hidden in [
        "/rotate\"",
        "/replay\"",
        "<h2>Deliveries",
        "<h2>Acts",
        "/portal/events",
    ] {
        assert!(!page.contains(hidden), "{hidden}");
    }
    for path in [
        "/portal/deliveries",
        "/portal/deliveries/msg_1",
        "/portal/events",
        "/portal/live",
    ] {
        assert_eq!(visit.status(path).await, 404, "{path}");
    }
    for (action, status) in [("test", 200), ("rotate", 403), ("replay", 403)] {
        let path = format!("/portal/hooks/{hook}/{action}");
        assert_eq!(visit.press(&path, "").await, status, "{action}");
    }
    let made = visit
        .press("/portal/hooks", "&event=*&target=http://127.0.0.1:1/")
        .await;
    assert_eq!(made, 403);
}

#[tokio::test]
async fn with_several_databases_a_session_is_of_the_one_that_its_link_was_made_for() {
    let (shop, stock) = (Database::bookstore().await, Database::bookstore().await);
    let databases = [("shop", &shop), ("stock", &stock)].map(|(name, database)| {
        format!(
            "[[databases]]\nname = \"{name}\"\nurl = \"{}\"\nslot = \"{}\"\n\
             [databases.events]\n\"{name}.added\" = \"book.created\"\n",
            database.url, database.name
        )
    });
    let config = format!("{}{}\n[portal]", databases.concat(), server(""));
    let mut rowhook = Rowhook::start(&config);
    for name in ["shop", "stock"] {
        let attached = format!("run{{database={name}}}: attached slot=");
        rowhook.until_log(&attached).await;
    }
    let api = Api::of(rowhook).await;
    let made = api
        .post("/databases/shop/api/portal", ADMIN, json!({"owner": "7"}))
        .await;
    let link = made.json()["url"].as_str().unwrap().to_owned();
    let of_shop = format!("{}/databases/shop", api.base);
    assert!(
        link.starts_with(&format!("{of_shop}/portal/enter/")),
        "{link}"
    );
    let elsewhere = link.replace("/databases/shop/", "/databases/stock/");
    Visit::refused(&elsewhere).await;
    let visit = Visit::by(&link).await;
    assert_eq!(visit.status("/portal/hooks").await, 200);
    let at_stock = visit.at(&format!("{}/databases/stock", api.base));
    assert_eq!(at_stock.status("/portal/hooks").await, 401);
    assert_eq!(
        visit.status("/portal/hooks").await,
        200,
        "it stays open here"
    );
    assert_eq!(api.get("/databases/shop/portal.js", "").await.status, 200);
}
