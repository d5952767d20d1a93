//! Checks whether hooks name events that exist, and targets that may be called.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Client;
use url::Url;

use super::finding::{Finding, Topic};
use crate::{
    config::{Config, HookTable, Pattern},
    hook::events::names,
    message::OWN_EVENTS,
    nearest::nearest,
    postgres::quote,
    setup::{
        asked::Asked,
        catalog::{Facts, Table, hook_table},
        migration,
        plan::hidden_hooks,
    },
};

/// The most hooks that are read from the table.
const READ_AT_MOST: i64 = 100_000;
/// The most hooks that one finding names.
const NAMED_AT_MOST: usize = 5;

/// Returns why a target must not be called, or `None` if it may be.
type Refuses<'a> = &'a (dyn Fn(&Url) -> Option<String> + Sync);

/// Checks the hooks of hooks.toml.
pub(super) fn in_file(config: &Config, refuses: Refuses<'_>) -> Vec<Finding> {
    let known = Known::new(config);
    let mut findings = Vec::new();
    for hook in &config.hooks {
        let name = &hook.name;
        for pattern in hook.events.iter().filter(|pattern| !known.has(pattern)) {
            findings.push(
                known
                    .unknown(&pattern.to_string(), &format!("the hook {name}"))
                    .at(hook.place),
            );
        }
        if let Some(why) = refuses(&hook.target) {
            findings.push(
                Finding::warn(Topic::Hooks, format!("the hook {name} has a target that is not called: {why}"))
                    .remedy("correct its target, or allow it with allow_http or allow_networks under [delivery]")
                    .at(hook.place)
                    .kind("hooks have targets that are not called", name),
            );
        }
    }
    findings
}

/// The names of all events, sorted, so that those with a prefix stand together.
struct Known<'a>(BTreeSet<&'a str>);

impl<'a> Known<'a> {
    fn new(config: &'a Config) -> Self {
        let names = config.events.iter().map(|rule| rule.name.as_str());
        Self(names.chain(OWN_EVENTS).collect())
    }

    fn has(&self, pattern: &Pattern) -> bool {
        pattern.matches_any(&self.0)
    }

    fn unknown(&self, event: &str, who: &str) -> Finding {
        let what = format!("{who} waits for {event}, which never happens");
        let finding = Finding::warn(Topic::Hooks, what)
            .kind("events never happen that hooks wait for", event)
            .remedy_of_all("add them to [events], or correct the hooks");
        match nearest(event, self.0.iter().copied()) {
            Some(near) => finding.remedy(format!("did you mean {near}?")),
            None => finding.remedy("add it to [events], or correct the hook"),
        }
    }
}

/// Checks the hooks of the hook table. A table that does not exist yet has none.
pub(super) async fn in_table(
    client: &Client,
    config: &Config,
    facts: &Facts,
    refuses: Refuses<'_>,
) -> Vec<Finding> {
    let Some(table) = facts.table(&hook_table(config)) else {
        return Vec::new();
    };
    let mut findings = config
        .hook_table
        .as_ref()
        .map_or_else(Vec::new, |hooks| columns(hooks, table));
    if !findings.is_empty() {
        return findings;
    }
    if !table.may_select {
        let role = &facts.role.name;
        findings.push(
            Finding::fatal(
                Topic::Hooks,
                format!("{role} may not read the hooks in {}", table.name),
            )
            .remedy(format!(
                "run: grant select on {} to {}",
                quote::table(&table.name),
                quote::name(role)
            )),
        );
        return findings;
    }
    if let Some(problem) = hidden_hooks(config, facts) {
        findings.push(Finding::problem(Topic::Hooks, problem));
        return findings;
    }
    findings.extend(
        config
            .hook_table
            .as_ref()
            .and_then(|hooks| past(config, hooks, table)),
    );
    let read = async {
        let mut hooks = read(client, config, table).await?;
        let noted = noted_invalid(client, config, facts).await?;
        for hook in &mut hooks {
            let noted = noted.get(&hook.id).cloned();
            hook.invalid = hook.invalid.take().or(noted);
        }
        Ok(hooks)
    };
    match read.await {
        Ok(hooks) => findings.extend(summarize(config, &hooks, refuses)),
        Err(error) => findings.push(Finding::fatal(
            Topic::Hooks,
            format!(
                "cannot read the hooks in {}: {}",
                table.name,
                crate::postgres::error_message(&error)
            ),
        )),
    }
    findings
}

/// Checks that the table of `[hook_table]` has the named columns, and that the stream carries the id of a deleted hook.
fn columns(hooks: &HookTable, table: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, column) in hooks
        .columns
        .iter()
        .filter(|(_, column)| !table.has(column))
    {
        let finding = Finding::fatal(
            Topic::Hooks,
            format!(
                "the hook table {} has no column {column}, which hook_table.{key} names",
                table.name
            ),
        )
        .at(hooks.place);
        findings.push(
            match nearest(column, table.columns.iter().map(String::as_str)) {
                Some(near) => finding.remedy(format!("did you mean {near}?")),
                None => finding,
            },
        );
    }
    let id = &hooks.columns.id;
    if table.has(id) && table.is_identified() && !table.is_in_identity(id) {
        findings.push(
            Finding::fatal(
                Topic::Hooks,
                format!(
                    "which hook is deleted from {} is not known: the stream does not carry its {}",
                    table.name, id
                ),
            )
            .remedy(format!(
                "set id to the primary key, or identity = \"full\" under [tables.{}]",
                table.name
            ))
            .at(hooks.place),
        );
    }
    findings
}

/// Checks that the stream says how hooks were before they were changed.
fn past(config: &Config, hooks: &HookTable, table: &Table) -> Option<Finding> {
    let name = &table.name;
    let is_told = table.is_full() || Asked::new(config).wants_full(table);
    (!is_told).then(|| {
        Finding::note(
            Topic::Hooks,
            format!(
                "the stream does not carry the whole old row of a hook in {name}: what was committed while rowhook \
                 was not running meets hooks that were edited meanwhile as they became, and misses those that were \
                 removed"
            ),
        )
        .remedy(format!("set identity = \"full\" under [tables.{name}]"))
        .at(hooks.place)
    })
}

/// An active hook of the table.
struct Hook {
    id: String,
    events: Vec<String>,
    target: String,
    invalid: Option<String>,
}

async fn read(
    client: &Client,
    config: &Config,
    table: &Table,
) -> Result<Vec<Hook>, tokio_postgres::Error> {
    let columns = config.hook_columns();
    let [id, target] = [&columns.id, &columns.target].map(|c| quote::name(c));
    let or = |column: Option<String>, default: &str| {
        column.map_or_else(|| default.to_owned(), |column| quote::name(&column))
    };
    let (invalid, active) = (or(columns.invalid, "null"), or(columns.active, "true"));
    let (event, events) = (or(columns.event, "null"), or(columns.events, "null"));
    let sql = format!(
        "select {id}::text, {event}::text, {target}::text, {invalid}::text, {events}::text \
         from {} where {active} order by {id} limit {READ_AT_MOST}",
        quote::table(&table.name)
    );
    let rows = client.query(&sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let text = |at| {
                row.try_get::<_, Option<String>>(at)
                    .map(Option::unwrap_or_default)
            };
            let mut events: Vec<String> =
                row.try_get::<_, Option<String>>(1)?.into_iter().collect();
            let more: Option<String> = row.try_get(4)?;
            // A list that cannot be read makes the hook invalid, which is told.
            events.extend(
                more.and_then(|list| names(&list).ok())
                    .into_iter()
                    .flatten(),
            );
            Ok(Hook {
                id: text(0)?,
                events,
                target: text(2)?,
                invalid: row.try_get(3)?,
            })
        })
        .collect()
}

/// Why hooks cannot be used, as a running rowhook has noted beside their table.
async fn noted_invalid(
    client: &Client,
    config: &Config,
    facts: &Facts,
) -> Result<HashMap<String, String>, tokio_postgres::Error> {
    let schema = facts.schema.as_ref();
    if !schema.is_some_and(|schema| migration::is_applied("invalid_hook", &schema.migrations)) {
        return Ok(HashMap::new());
    }
    let schema = quote::name(&config.database.schema);
    let sql = format!("select hook, reason from {schema}.invalid_hook");
    let rows = client.query(&sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// One finding for each kind of mistake, however many hooks make it.
fn summarize(config: &Config, hooks: &[Hook], refuses: Refuses<'_>) -> Vec<Finding> {
    let known = Known::new(config);
    let mut without_event: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut uncallable: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut invalid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for hook in hooks {
        for event in hook
            .events
            .iter()
            .filter(|event| !known.has(&pattern(event)))
        {
            without_event.entry(event).or_default().push(&hook.id);
        }
        let why = match Url::parse(&hook.target) {
            Ok(target) => refuses(&target),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            uncallable.entry(why).or_default().push(&hook.id);
        }
        if let Some(why) = &hook.invalid {
            invalid.entry(why).or_default().push(&hook.id);
        }
    }
    let active = match hooks.len() {
        1 => "1 active hook".into(),
        all => format!("{all} active hooks"),
    };
    let mut findings = vec![Finding::ok(Topic::Hooks, format!("{active} in the table"))];
    findings.extend(
        without_event
            .iter()
            .map(|(event, ids)| known.unknown(event, &list_hooks(ids))),
    );
    findings.extend(uncallable.iter().map(|(why, ids)| {
        Finding::warn(
            Topic::Hooks,
            format!("the target of {} is not called: {why}", list_hooks(ids)),
        )
        .remedy("correct it, or allow it with allow_http or allow_networks under [delivery]")
    }));
    findings.extend(invalid.iter().map(|(why, ids)| {
        Finding::warn(
            Topic::Hooks,
            format!("{} cannot be used: {why}", list_hooks(ids)),
        )
        .remedy("correct it, and it is looked at again")
    }));
    findings
}

fn pattern(event: &str) -> Pattern {
    match event.strip_suffix('*') {
        Some("") => Pattern::Any,
        Some(prefix) => Pattern::Prefix(prefix.into()),
        None => Pattern::Exact(event.into()),
    }
}

/// Names hooks by their ids: `hook 3`, or `hooks 3, 4, 5, 6, 7 and 12 more`.
fn list_hooks(ids: &[&str]) -> String {
    let shown = ids[..ids.len().min(NAMED_AT_MOST)].join(", ");
    match ids.len() {
        1 => format!("hook {shown}"),
        ..=NAMED_AT_MOST => format!("hooks {shown}"),
        all => format!("hooks {shown} and {} more", all - NAMED_AT_MOST),
    }
}
