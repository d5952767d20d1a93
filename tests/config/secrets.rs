//! Secrets and values from the environment are never shown.

use crate::file::{MANUAL, SECRET, mistakes, parse};

#[test]
fn what_the_environment_put_in_is_shown_as_it_is_written() {
    let found = mistakes(
        r#"a = "${PASSWORD}"
b = "${PASSWORD}.b.${PASSWORD}"
c = { on = "book.updated", when = "${PASSWORD}" }
d = { on = "book.updated", when = "'${PASSWORD}' &&" }
[tables.book]
owner = "${PASSWORD}.${PASSWORD}"
exclude = ["${PASSWORD}", "${PASSWORD}"]
[hook_table]
table = "a ${PASSWORD}"
[delivery]
timeout = "${PASSWORD}"
max_body = "${PASSWORD}"
memory = "${ONE_BYTE}"
payload = "${PASSWORD}"
allow_networks = ["${PASSWORD}"]
[server]
listen = "${PASSWORD}"
[[hooks]]
name = "${PASSWORD}!"
events = ["${PASSWORD}", "${PASSWORD}!"]
target = "${PASSWORD}"
secret = "${PASSWORD}"
"#,
    );
    assert_eq!(found.lines().count(), 17, "{found}");
    assert!(!found.contains("hunter2"), "{found}");
    assert!(found.starts_with(
        r#"hooks.toml:5:5: "${PASSWORD}" names no action; write "table.created", "table.updated" or "table.deleted""#
    ));
    assert!(found.contains(
        r#"hooks.toml:18:11: delivery.payload cannot be "${PASSWORD}"; write "rest-hooks", "standard", "django", "cloudevents", "netbox" or "row""#
    ));
}

#[test]
fn no_secret_is_shown() {
    let config = parse(&format!(
        "{}\n[[hooks]]\nname = \"b\"\nevents = [\"*\"]\ntarget = \"https://a.b\"\nheaders.x = \"hunter2\"\n[[hooks]]\nname = \"c\"\nevents = [\"*\"]\ntarget = \"https://app:hunter2@a.b/hunter2\"",
        MANUAL.replace(
            "# admin_token = \"${ROWHOOK_ADMIN_TOKEN}\"",
            "admin_token = \"hunter2, and 8 more\""
        )
    ));
    let shown = format!("{:?}", config.unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains(&SECRET[6..]));
    let wrong = mistakes(
        r#"[server]
listen = "127.0.0.1:1"
admin_token = ["hunter2"]
[[hooks]]
name = "a"
events = ["*"]
target = "hunter2"
secret = "whsec_hunter2"
headers = { x = ["hunter2"], y = "${hunter2", z = "hunter2\u0000" }
"#,
    );
    assert_eq!(wrong.lines().count(), 6, "{wrong}");
    assert!(!wrong.contains("hunter2"), "{wrong}");
}
