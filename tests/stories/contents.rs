//! How requests look beside the format of their bodies: encodings, content types, user agents, templates, and the
//! shapes of each NetBox.

use harness::{Call, Database, Receiver};
use serde_json::{Value, json};

const EVENTS: &str = "[events]\n\"book.added\" = \"book.created\"\n";
const SIGNED: &str = "secret = \"a key\"\nsignature = { header = \"X-Sig\", algorithm = \"sha256\", encoding = \"hex\" }\n";

fn hook(receiver: &Receiver, name: &str, more: &str) -> String {
    let url = format!("{}/{name}", receiver.url().trim_end_matches('/'));
    format!("[[hooks]]\nname = \"{name}\"\nevents = [\"*\"]\ntarget = \"{url}\"\n{more}\n")
}

fn to<'a>(calls: &'a [Call], name: &str) -> &'a Call {
    let path = format!("/{name}");
    let call = calls.iter().find(|call| call.path.ends_with(&path));
    call.unwrap_or_else(|| panic!("nothing came to {name}"))
}

fn fields(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn signature(body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut hmac = Hmac::<sha2::Sha256>::new_from_slice(b"a key").unwrap();
    hmac.update(body);
    let bytes = hmac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_hook_of_the_file_has_a_form_a_content_type_and_a_user_agent() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let form = hook(
        &receiver,
        "form",
        &format!("payload = \"row\"\ncontent = \"form\"\nuser_agent = \"books/1.0\"\n{SIGNED}"),
    );
    let hooks = hook(
        &receiver,
        "hooks",
        "content = \"form\"\ncontent_type = \"application/x-www-form-urlencoded; charset=utf-8\"",
    );
    let own = hook(
        &receiver,
        "own",
        "content_type = \"application/vnd.books+json\"",
    );
    let usual = hook(&receiver, "usual", "");
    let config = format!("{EVENTS}{form}{hooks}{own}{usual}");
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune & \u{e9}', 19.90)")
        .await;
    let calls = receiver.expect(4).await;
    let form = to(&calls, "form");
    assert_eq!(
        form.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(form.header("user-agent"), "books/1.0");
    assert_eq!(form.header("x-sig"), signature(&form.body));
    let row = fields(&form.body);
    assert!(
        row.contains(&("title".to_owned(), "Dune & \u{e9}".to_owned())),
        "{row:?}"
    );
    assert!(row.contains(&("id".to_owned(), "1".to_owned())), "{row:?}");
    let hooks = to(&calls, "hooks");
    assert_eq!(
        hooks.header("content-type"),
        "application/x-www-form-urlencoded; charset=utf-8"
    );
    let [(hook, event), (data, row)] = &fields(&hooks.body)[..] else {
        panic!("two fields");
    };
    assert_eq!((&**hook, &**data), ("hook", "data"));
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["event"], "book.added");
    let row: Value = serde_json::from_str(row).unwrap();
    assert_eq!(row["title"], "Dune & \u{e9}");
    assert_eq!(
        to(&calls, "own").header("content-type"),
        "application/vnd.books+json"
    );
    let usual = to(&calls, "usual");
    assert_eq!(usual.header("content-type"), "application/json");
    assert!(usual.header("user-agent").starts_with("rowhook/"));
    assert_eq!(usual.data(), to(&calls, "own").data());
}

#[tokio::test]
async fn a_row_has_what_limits_allow_and_is_invalid_with_anything_else() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&format!("{EVENTS}[limits]\ntemplate = true\n"))
        .await;
    let url = receiver.url();
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target, content, user_agent, template) values
                (null, 'book.added', '{url}', 'form', 'operator/1', null),
                ('7', 'book.added', '{url}', null, 'anna/1', null),
                ('7', 'book.added', '{url}', null, null, '{{\"t\": {{{{ new.title }}}}}}')"
        ))
        .await;
    // rowhook reads the rows as they come, before the book.
    database
        .until(
            "the user agent of an owner is refused",
            "select invalid like '%user_agent is not allowed%' from rowhook.hook where id = 2",
        )
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(2).await;
    let form = calls
        .iter()
        .find(|call| call.header("user-agent") == "operator/1")
        .unwrap();
    assert_eq!(
        form.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    let other = calls
        .iter()
        .find(|call| call.header("user-agent") != "operator/1")
        .unwrap();
    assert_eq!(other.json()["data"], json!({"t": "Dune"}));
    database
        .sql("update rowhook.hook set user_agent = null where id = 2")
        .await;
    database
        .until(
            "it is valid again",
            "select invalid is null from rowhook.hook where id = 2",
        )
        .await;
}

#[tokio::test]
async fn a_template_of_a_hook_counts_before_that_of_the_table_and_that_before_the_one_for_all() {
    let database = Database::bookstore().await;
    database
        .sql("create table pet (id int primary key, name text, user_id int)")
        .await;
    let receiver = Receiver::start().await;
    let own = hook(
        &receiver,
        "own",
        "payload = \"row\"\ntemplate = '{\"own\": {{ new.id }}, \"was\": {{ data }}}'",
    );
    let usual = hook(&receiver, "usual", "payload = \"row\"");
    let config = format!(
        "template = '{{\"of\": {{{{ table }}}}}}'\n\
         [events]\n\"book.added\" = \"book.created\"\n\"pet.added\" = \"pet.created\"\n\
         [tables.book]\npayload = '{{\"title\": {{{{ new.title }}}}}}'\n{own}{usual}"
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9); insert into pet values (2, 'Rex', 7)")
        .await;
    let calls = receiver.expect(4).await;
    let bodies = |name: &str| -> Vec<Value> {
        let path = format!("/{name}");
        let calls = calls.iter().filter(|call| call.path.ends_with(&path));
        calls.map(Call::json).collect()
    };
    let usual = bodies("usual");
    assert!(usual.contains(&json!({"title": "Dune"})), "{usual:?}");
    assert!(usual.contains(&json!({"of": "public.pet"})), "{usual:?}");
    let own = bodies("own");
    assert!(
        own.iter()
            .any(|body| body["own"] == 1 && body["was"]["title"] == "Dune"),
        "{own:?}"
    );
    assert!(
        own.iter()
            .any(|body| body["own"] == 2 && body["was"]["name"] == "Rex"),
        "{own:?}"
    );
}

#[tokio::test]
async fn a_template_over_a_null_is_no_reason_not_to_start() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = format!(
        "{EVENTS}[tables.book]\nenrich = {{ owner = \"select 'anna' as username where $user_id = 7\" }}\n\
         payload = '{{\"by\": {{{{ data.owner.username }}}}}}'\n{}",
        hook(&receiver, "hook", "payload = \"row\"\nretries = false")
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 8, 1, 'Emma', 4)")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].json(), json!({"by": "anna"}));
    database
        .until(
            "the other is dead, with the variable named",
            "select count(*) = 1 from rowhook.delivery where state = 'dead'
                and reason like '%data.owner.username, because data.owner is null%'",
        )
        .await;
}

#[tokio::test]
async fn each_netbox_has_its_shape() {
    let database = Database::new().await;
    database
        .sql("create table tenancy_tenant (id bigint primary key, name text); create table sites (id bigint primary key)")
        .await;
    let receiver = Receiver::start().await;
    let versions = ["4.3", "4.4", "4.5", "4.6", "4.7"];
    let hooks = versions.map(|version| {
        let name = format!("v{version}");
        hook(
            &receiver,
            &name,
            &format!("payload = \"netbox\"\nversion = \"{version}\""),
        )
    });
    let newest = hook(&receiver, "newest", "payload = \"netbox\"");
    let config = format!(
        "[events]\n\"tenant.added\" = \"tenancy_tenant.created\"\n\"site.added\" = \"sites.created\"\n[tables.sites]\nmodel = \"dcim.Site\"\n{}{newest}",
        hooks.concat()
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into tenancy_tenant values (1, 'Ulm')")
        .await;
    let calls = receiver.expect(6).await;
    let keys = |name: &str| -> Vec<String> {
        let body = to(&calls, name).json();
        body.as_object().unwrap().keys().cloned().collect()
    };
    let before = ["event", "timestamp"];
    let user = ["username", "request_id"];
    fn expected<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
        parts.concat()
    }
    assert_eq!(
        keys("v4.3"),
        expected(&[&before, &["model"], &user, &["data", "snapshots"]])
    );
    assert_eq!(
        keys("v4.4"),
        expected(&[
            &before,
            &["object_type", "model"],
            &user,
            &["data", "snapshots"]
        ])
    );
    assert_eq!(
        keys("v4.5"),
        expected(&[&before, &["object_type"], &user, &["data", "snapshots"]])
    );
    assert_eq!(
        keys("v4.6"),
        expected(&[
            &before,
            &["object_type"],
            &user,
            &["data", "request", "snapshots"]
        ])
    );
    assert_eq!(
        keys("v4.7"),
        expected(&[&before, &["object_type"], &["data", "request", "snapshots"]])
    );
    assert_eq!(to(&calls, "newest").json(), to(&calls, "v4.6").json());
    assert_eq!(to(&calls, "v4.4").json()["model"], "tenant");
    assert_eq!(to(&calls, "v4.5").json()["object_type"], "tenancy.tenant");
    let body = to(&calls, "v4.6").json();
    assert_eq!(body["request"]["id"], body["request_id"]);
    database.sql("insert into sites values (1)").await;
    let calls = receiver.expect(12).await;
    for call in &calls[6..] {
        let body = call.json();
        let named = [&body["object_type"], &body["model"]];
        assert!(
            named.contains(&&json!("dcim.site")) || named.contains(&&json!("site")),
            "{body}"
        );
    }
}
