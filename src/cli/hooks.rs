//! `rowhook hooks`: lists, adds and changes hooks.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    output,
    table::{self, Cell, Table, Tone},
};
use crate::{
    act::{Kind, Who},
    config::{Config, Setting},
    manage::{
        Actor, Admin, PageRequest,
        hook_input::{EventList, HookChange, HookWithSecret, NewHook},
        hooks::{Hook, HookCondition, HookQuery},
        ping::TestResult,
        ping::check_target,
    },
    send::Sender,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List hooks, including those of hooks.toml.
    #[command(after_help = "Example: rowhook hooks list --owner 42")]
    List {
        /// Only those of this owner.
        #[arg(long)]
        owner: Option<String>,
        /// Only those on exactly this event or pattern.
        #[arg(long)]
        event: Option<String>,
        /// Only those in this state.
        #[arg(long, value_parser = ["active", "failing", "disabled", "invalid"])]
        state: Option<String>,
    },
    /// Add a hook. Its secret is shown this once.
    #[command(
        after_help = "Examples:\n  rowhook hooks add book.added https://example.com/hook --owner 42\n  rowhook hooks add 'book.*' https://example.com/hook --filter 'new.price > 100'"
    )]
    Add(Box<AddArgs>),
    /// Change how a hook is sent. What is not given stays as it is.
    #[command(
        after_help = "Examples:\n  rowhook hooks set 7 --timeout 5s --concurrency 4\n  rowhook hooks set 7 --clear timeout"
    )]
    Set(Box<SetArgs>),
    /// Show a hook with its settings and its state.
    #[command(after_help = "Example: rowhook hooks show 7")]
    Show {
        /// The hook's id.
        id: String,
    },
    /// Switch a hook on. What was parked while it was off is sent.
    #[command(after_help = "Example: rowhook hooks enable 7")]
    Enable {
        /// The hook's id.
        id: String,
    },
    /// Switch a hook off. What is parked is kept for the retention, and its owner's hooks on hook.disabled are
    /// notified.
    #[command(after_help = "Example: rowhook hooks disable 7 --reason 'asked for by mail'")]
    Disable {
        /// The hook's id.
        id: String,
        /// The reason to record.
        #[arg(long, default_value = "disabled by hand")]
        reason: String,
    },
    /// Remove a hook. It receives nothing any more, and what is parked is deleted after the retention.
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
    /// Send a test event to a hook now, and show the answer; fails if it is not accepted.
    #[command(after_help = "Example: rowhook hooks test 7")]
    Test {
        /// The hook's id.
        id: String,
    },
}

/// What a new hook is made of.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// An event of hooks.toml, or a pattern: 'book.*' or '*'.
    event: String,
    /// The URL that events are POSTed to.
    target: String,
    /// One more event or pattern; can be given several times.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// The owner whose events it receives; without it, everyone's.
    #[arg(long)]
    owner: Option<String>,
    /// The key of its signatures; without it, one is generated.
    #[arg(long, env = "ROWHOOK_HOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// A CEL expression; only events for which it is true are sent.
    #[arg(long)]
    filter: Option<String>,
    /// The payload format, if it is another than that of hooks.toml.
    #[arg(long)]
    payload: Option<String>,
    /// How bodies are encoded: json or form.
    #[arg(long)]
    content: Option<String>,
    /// The content type of its requests.
    #[arg(long)]
    content_type: Option<String>,
    /// The most requests in a time: 100/s or 20/m.
    #[arg(long)]
    rate: Option<String>,
    /// The user agent of its requests.
    #[arg(long)]
    user_agent: Option<String>,
    /// The name of a client certificate, one of those that hooks.toml names.
    #[arg(long)]
    certificate: Option<String>,
    /// Whether bodies are compressed: gzip or none.
    #[arg(long)]
    compress: Option<String>,
    /// A template that makes what is sent in place of the row.
    #[arg(long)]
    template: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
    /// A header to add to each request, as name=value; can be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// A note for people.
    #[arg(long)]
    description: Option<String>,
}

/// What of a hook is changed.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The hook's id.
    id: String,
    /// An event or pattern, in place of all that it has; can be given several times.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// The URL that events are sent to.
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    settings: SettingArgs,
    /// A setting that is to be that of hooks.toml again, such as timeout; can be given several times.
    #[arg(long, value_name = "SETTING")]
    clear: Vec<String>,
}

/// How a hook is sent, where that differs from hooks.toml.
#[derive(Debug, Args)]
struct SettingArgs {
    /// The method of its requests: POST, PUT or PATCH.
    #[arg(long)]
    method: Option<String>,
    /// Credentials: '{"bearer": "…"}', '{"user": "…", "password": "…"}' or '{"oauth2": {…}}'.
    #[arg(
        long,
        env = "ROWHOOK_HOOK_AUTH",
        hide_env_values = true,
        value_name = "JSON"
    )]
    auth: Option<String>,
    /// The time-out of a request, such as 15s.
    #[arg(long)]
    timeout: Option<String>,
    /// The pauses between attempts: '["5s", "5m"]', '{"max_tries": 10}', or false for a single attempt.
    #[arg(long, value_name = "JSON")]
    retries: Option<String>,
    /// What arrives in commit order: row, hook or none.
    #[arg(long)]
    order: Option<String>,
    /// The most requests in flight.
    #[arg(long)]
    concurrency: Option<String>,
    /// How deliveries are gathered: '{"max": 100, "wait": "1s"}', or false to send each alone.
    #[arg(long, value_name = "JSON")]
    batch: Option<String>,
    /// The largest body, such as 20MiB.
    #[arg(long)]
    max_body: Option<String>,
    /// When it is disabled for failing: a time such as 5d, or a number of failures.
    #[arg(long)]
    disable_after: Option<String>,
    /// How bodies are signed: standard, or '{"header": "…", "algorithm": "…", "encoding": "…", "prefix": "…"}'.
    #[arg(long, value_name = "JSON")]
    signature: Option<String>,
}

pub(super) async fn run(config: Config, command: Command, json: bool) -> Result<()> {
    let sender = Sender::new(&config.delivery)?;
    let mut admin = Admin::open(
        Arc::new(config),
        "rowhook hooks",
        Who::only(Kind::CommandLine),
    )
    .await?;
    let operator = Actor::Operator;
    match command {
        Command::List {
            owner,
            event,
            state,
        } => {
            let query = HookQuery {
                event,
                owner,
                state: state.as_deref().and_then(HookCondition::parse),
                id: None,
            };
            let hooks = all(&admin, &query).await?;
            match json {
                true => output::json(&hooks),
                false => print_list(&hooks),
            }
        }
        Command::Add(add) => {
            let AddArgs {
                event,
                target,
                events,
                owner,
                secret,
                filter,
                payload,
                content,
                content_type,
                rate,
                user_agent,
                certificate,
                compress,
                template,
                settings,
                headers,
                description,
            } = *add;
            let headers = parse_headers(&headers)?;
            check_target(&sender, &target).await?;
            let new = NewHook {
                event: Some(event),
                events: Some(EventList(events)).filter(|list| !list.0.is_empty()),
                target,
                owner,
                secret,
                filter,
                payload,
                content,
                content_type,
                rate,
                user_agent,
                certificate,
                compress,
                template,
                method: settings.method,
                auth: settings.auth.map(Value::String),
                timeout: settings.timeout,
                retries: settings.retries.map(Value::String),
                order: settings.order,
                concurrency: settings.concurrency.map(Value::String),
                batch: settings.batch.map(Value::String),
                max_body: settings.max_body,
                disable_after: settings.disable_after.map(Value::String),
                signature: settings.signature.map(Value::String),
                headers: Some(headers).filter(|headers| !headers.is_empty()),
                description,
            };
            print_keyed(&admin.add_hook(&operator, new).await?, json, "made")
        }
        Command::Set(set) => {
            if let Some(target) = &set.target {
                check_target(&sender, target).await?;
            }
            let id = set.id.clone();
            let change = change_of(*set)?;
            print_hook(&admin.change_hook(&operator, &id, change).await?, json)
        }
        Command::Show { id } => print_hook(&admin.hook(&operator, &id).await?, json),
        Command::Enable { id } => print_hook(&admin.enable_hook(&operator, &id).await?, json),
        Command::Disable { id, reason } => {
            print_hook(&admin.disable_hook(&operator, &id, &reason).await?, json)
        }
        Command::Remove { id } => {
            admin.remove_hook(&operator, &id).await?;
            match json {
                true => output::json(&serde_json::json!({"removed": id})),
                false => output::line(&format!("removed hook {id}")),
            }
        }
        Command::Rotate { id } => {
            print_keyed(&admin.rotate_secret(&operator, &id).await?, json, "rotated")
        }
        Command::Test { id } => {
            let prepared = admin.prepare_test(&operator, &id).await?;
            print_test(&prepared.send(&sender).await, json)
        }
    }
}

/// The change that these arguments ask for.
fn change_of(set: SetArgs) -> Result<HookChange> {
    let SetArgs {
        events,
        target,
        settings,
        clear,
        ..
    } = set;
    let word = |value: Option<String>| value.map(Some);
    let value = |value: Option<String>| value.map(|text| Some(Value::String(text)));
    let mut change = HookChange {
        target,
        method: word(settings.method),
        auth: value(settings.auth),
        timeout: word(settings.timeout),
        retries: value(settings.retries),
        order: word(settings.order),
        concurrency: value(settings.concurrency),
        batch: value(settings.batch),
        max_body: word(settings.max_body),
        disable_after: value(settings.disable_after),
        signature: value(settings.signature),
        ..HookChange::default()
    };
    if !events.is_empty() {
        change.name_events(events);
    }
    for name in clear {
        let setting = Setting::ALL.into_iter().find(|one| one.name() == name);
        let setting = setting.with_context(|| {
            let names = Setting::ALL.map(Setting::name).join(", ");
            format!("--clear {name:?} is no setting; write one of {names}")
        })?;
        change.clear(setting);
    }
    Ok(change)
}

/// Parses headers that are given as `name=value`.
fn parse_headers(headers: &[String]) -> Result<BTreeMap<String, String>> {
    let pairs = headers.iter().map(|header| {
        let pair = header.split_once('=');
        let (name, value) =
            pair.with_context(|| format!("--header {header:?} is not name=value"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

/// All hooks that match, read page by page.
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

fn print_list(hooks: &[Hook]) -> Result<()> {
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

fn print_hook(hook: &Hook, json: bool) -> Result<()> {
    if json {
        return output::json(hook);
    }
    let text = |text: &Option<String>| Cell::optional(text.as_deref());
    let value = |value: &Option<Value>| {
        let text = value.as_ref().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        Cell::optional(text.as_deref())
    };
    let kept_in = match hook.origin == "file" {
        true => "hooks.toml",
        false => "the hook table",
    };
    let last = hook.last.as_ref().map(|last| {
        let tone = Tone::of_delivery(last.delivered);
        Cell::toned(format!("{} at {}", last.answer, last.at), tone)
    });
    table::print_facts(&[
        ("id", hook.id.as_str().into()),
        ("kept in", kept_in.into()),
        ("owner", hook.owner.as_deref().unwrap_or("everyone").into()),
        ("event", hook.event.as_str().into()),
        ("target", hook.target.as_str().into()),
        ("state", Cell::state(hook.state)),
        ("why", hook.why.as_str().into()),
        ("signed", if hook.signed { "yes" } else { "no" }.into()),
        ("filter", text(&hook.filter)),
        ("payload", text(&hook.payload)),
        ("content", text(&hook.content)),
        ("content type", text(&hook.content_type)),
        ("rate", text(&hook.rate)),
        ("user agent", text(&hook.user_agent)),
        ("certificate", text(&hook.certificate)),
        ("compress", text(&hook.compress)),
        ("template", text(&hook.template)),
        ("method", text(&hook.method)),
        ("auth", Cell::optional(hook.auth)),
        ("timeout", text(&hook.timeout)),
        ("retries", value(&hook.retries)),
        ("order", text(&hook.order)),
        ("concurrency", value(&hook.concurrency)),
        ("batch", value(&hook.batch)),
        ("max body", text(&hook.max_body)),
        ("disable after", value(&hook.disable_after)),
        ("signature", value(&hook.signature)),
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

/// Prints a hook that has a new secret.
fn print_keyed(keyed: &HookWithSecret, json: bool, done: &str) -> Result<()> {
    if json {
        return output::json(keyed);
    }
    output::line(&format!("{done} hook {}", keyed.hook.id))?;
    match &keyed.secret {
        Some(secret) => output::line(&format!("secret, shown this once: {secret}")),
        None => {
            output::line("its requests are not signed: the hook table has no column for a secret")
        }
    }
}

/// Prints the outcome of a test delivery, and fails if it was not accepted.
fn print_test(tested: &TestResult, json: bool) -> Result<()> {
    if json {
        output::json(tested)?;
    } else {
        let tone = Tone::of_delivery(tested.delivered);
        let answered = tested.response_body.as_ref();
        table::print_facts(&[
            ("answer", Cell::toned(tested.answer.as_str(), tone)),
            ("took", format!("{:.1} ms", tested.took_ms).into()),
            ("webhook-id", tested.id.as_str().into()),
            ("sent", tested.request_body.text.as_str().into()),
            (
                "answered",
                Cell::optional(answered.map(|body| body.text.as_str())),
            ),
        ])?;
    }
    if !tested.delivered {
        bail!("the test was not accepted");
    }
    Ok(())
}
