//! `rowhook hooks`: looks at hooks, makes and changes them.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use super::{
    table as show,
    table::{Cell, Table, Tone},
};
use crate::{
    config::Config,
    manage::{
        Actor, Admin, PageRequest,
        hook_input::{HookWithSecret, NewHook},
        hooks::{Hook, HookQuery},
        ping::TestResult,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List hooks, those of hooks.toml too.
    #[command(after_help = "Example: rowhook hooks list --owner 42")]
    List {
        /// Those of this owner.
        #[arg(long)]
        owner: Option<String>,
        /// Those on exactly this event or pattern.
        #[arg(long)]
        event: Option<String>,
    },
    /// Make a hook. Its secret is shown this once.
    #[command(
        after_help = "Examples:\n  rowhook hooks add book.added https://example.com/hook --owner 42\n  rowhook hooks add 'book.*' https://example.com/hook --filter 'new.price > 100'"
    )]
    Add {
        /// An event of hooks.toml, or a pattern: 'book.*' or '*'.
        event: String,
        /// The URL that events are POSTed to.
        target: String,
        /// Whose events it hears; without it, everyone's.
        #[arg(long)]
        owner: Option<String>,
        /// The key of its signatures; without it one is made.
        #[arg(long, env = "ROWHOOK_HOOK_SECRET", hide_env_values = true)]
        secret: Option<String>,
        /// A CEL expression; only events for which it is true are sent.
        #[arg(long)]
        filter: Option<String>,
        /// The shape of the body, where it differs from hooks.toml.
        #[arg(long)]
        payload: Option<String>,
        /// A header to add to each request, as name=value; may be given several times.
        #[arg(long = "header", value_name = "NAME=VALUE")]
        headers: Vec<String>,
        /// A note.
        #[arg(long)]
        description: Option<String>,
    },
    /// Show all that is known of a hook.
    #[command(after_help = "Example: rowhook hooks show 7")]
    Show {
        /// The hook's id.
        id: String,
    },
    /// Switch a hook on. What waited while it was off is sent.
    #[command(after_help = "Example: rowhook hooks enable 7")]
    Enable {
        /// The hook's id.
        id: String,
    },
    /// Switch a hook off. What waits is kept for the retention, and hooks on hook.disabled of its owner are told.
    #[command(after_help = "Example: rowhook hooks disable 7 --reason 'asked for by mail'")]
    Disable {
        /// The hook's id.
        id: String,
        /// Why.
        #[arg(long, default_value = "disabled by hand")]
        reason: String,
    },
    /// Remove a hook. It hears nothing any more; what waits is deleted after the retention.
    #[command(after_help = "Example: rowhook hooks remove 7")]
    Remove {
        /// The hook's id.
        id: String,
    },
    /// Give a hook a new secret, which is shown this once.
    #[command(after_help = "Example: rowhook hooks rotate 7")]
    Rotate {
        /// The hook's id.
        id: String,
    },
    /// Send a test to a hook now, and show what comes of it; fails if it is not accepted.
    #[command(after_help = "Example: rowhook hooks test 7")]
    Test {
        /// The hook's id.
        id: String,
    },
}

pub(super) async fn run(config: Config, command: Command, json: bool) -> Result<()> {
    let mut admin = Admin::open(Arc::new(config), "rowhook hooks").await?;
    let actor = Actor::Operator;
    match command {
        Command::List { owner, event } => {
            let hooks = all(&admin, &HookQuery { event, owner }).await?;
            if json {
                return show::json(&hooks);
            }
            list(&hooks)
        }
        Command::Add {
            event,
            target,
            owner,
            secret,
            filter,
            payload,
            headers,
            description,
        } => {
            let pairs = headers.iter().map(|header| {
                let pair = header.split_once('=');
                let (name, value) =
                    pair.with_context(|| format!("--header {header:?} is not name=value"))?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            });
            let headers: std::collections::BTreeMap<String, String> =
                pairs.collect::<Result<_>>()?;
            let new = NewHook {
                event,
                target,
                owner,
                secret,
                filter,
                payload,
                headers: Some(headers).filter(|headers| !headers.is_empty()),
                description,
            };
            keyed(&admin.add_hook(&actor, new).await?, json, "made")
        }
        Command::Show { id } => one(&admin.hook(&actor, &id).await?, json),
        Command::Enable { id } => one(&admin.enable_hook(&actor, &id).await?, json),
        Command::Disable { id, reason } => {
            one(&admin.disable_hook(&actor, &id, &reason).await?, json)
        }
        Command::Remove { id } => {
            admin.remove_hook(&actor, &id).await?;
            match json {
                true => show::json(&serde_json::json!({"removed": id})),
                false => show::line(&format!("removed hook {id}")),
            }
        }
        Command::Rotate { id } => keyed(&admin.rotate_secret(&actor, &id).await?, json, "rotated"),
        Command::Test { id } => tested(&admin.test_hook(&actor, &id).await?, json),
    }
}

/// All pages of a list.
async fn all(admin: &Admin, query: &HookQuery) -> Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    let mut page = PageRequest::largest();
    loop {
        let found = admin.hooks(&Actor::Operator, query, &page).await?;
        hooks.extend(found.data);
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(hooks),
        }
    }
}

fn list(hooks: &[Hook]) -> Result<()> {
    let mut table = Table::new(&[
        "id",
        "owner",
        "event",
        "state",
        "parked",
        "dead",
        "last answer",
        "target",
    ]);
    for hook in hooks {
        let last = hook.last.as_ref();
        table.row([
            hook.id.as_str().into(),
            hook.owner.as_deref().unwrap_or("everyone").into(),
            hook.event.as_str().into(),
            Cell::state(hook.state),
            hook.parked.to_string().into(),
            hook.dead.to_string().into(),
            last.map_or("-", |last| &last.answer).into(),
            hook.target.as_str().into(),
        ]);
    }
    table.print("no hooks")
}

fn one(hook: &Hook, json: bool) -> Result<()> {
    if json {
        return show::json(hook);
    }
    let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or_default());
    let last = hook.last.as_ref().map(|last| {
        let tone = if last.delivered {
            Tone::Good
        } else {
            Tone::Bad
        };
        Cell::toned(format!("{} at {}", last.answer, last.at), tone)
    });
    show::facts(&[
        ("id", hook.id.as_str().into()),
        (
            "kept in",
            if hook.origin == "file" {
                "hooks.toml"
            } else {
                "the hook table"
            }
            .into(),
        ),
        ("owner", hook.owner.as_deref().unwrap_or("everyone").into()),
        ("event", hook.event.as_str().into()),
        ("target", hook.target.as_str().into()),
        ("state", Cell::state(hook.state)),
        ("signed", if hook.signed { "yes" } else { "no" }.into()),
        ("filter", text(&hook.filter)),
        ("payload", text(&hook.payload)),
        ("headers", hook.headers.join(", ").into()),
        ("description", text(&hook.description)),
        ("invalid", text(&hook.invalid)),
        ("disabled at", text(&hook.disabled_at)),
        ("disabled because", text(&hook.disabled_reason)),
        ("failing since", text(&hook.failing_since)),
        ("parked", hook.parked.to_string().into()),
        ("dead", hook.dead.to_string().into()),
        ("last answer", last.unwrap_or_else(|| "".into())),
        ("made at", text(&hook.created_at)),
        ("changed at", text(&hook.updated_at)),
    ])
}

fn keyed(keyed: &HookWithSecret, json: bool, done: &str) -> Result<()> {
    if json {
        return show::json(keyed);
    }
    show::line(&format!("{done} hook {}", keyed.hook.id))?;
    match &keyed.secret {
        Some(secret) => show::line(&format!("secret, shown this once: {secret}")),
        None => {
            show::line("its requests are not signed: the hook table has no column for a secret")
        }
    }
}

fn tested(tested: &TestResult, json: bool) -> Result<()> {
    if json {
        show::json(tested)?;
    } else {
        let tone = if tested.delivered {
            Tone::Good
        } else {
            Tone::Bad
        };
        let answered = tested.response_body.as_ref();
        show::facts(&[
            ("answer", Cell::toned(tested.answer.as_str(), tone)),
            ("took", format!("{:.1} ms", tested.took_ms).into()),
            ("webhook-id", tested.id.as_str().into()),
            ("sent", tested.request_body.text.as_str().into()),
            ("answered", answered.map_or("", |body| &body.text).into()),
        ])?;
    }
    if !tested.delivered {
        bail!("the test was not accepted");
    }
    Ok(())
}
