//! Checks the tables that events are on: their columns, their replica identity, and the owners of their rows.

use super::finding::{Finding, Topic};
use crate::{
    config::{Action, Columns, Config, EventRule, EventSource, Location, OwnerStep, TableRules},
    nearest::nearest,
    postgres::quote,
    setup::{
        asked::Asked,
        catalog::{Facts, Kind, RowIdentity, Table},
        heard::{INSERTS_ONLY, problems},
        plan::is_followed,
    },
};

/// Checks all tables that exist. For those that do not, setup is refused, which is a finding of its own.
pub(super) fn tables(config: &Config, facts: &Facts) -> Vec<Finding> {
    let asked = Asked::new(config);
    let mut findings = Vec::new();
    for name in asked.published() {
        if let Some(table) = facts.table(name) {
            findings.push(identity(&asked, table));
            findings.extend(generated_columns(table));
            findings.extend(partitions(&asked, table));
            findings.extend(read_access(table, facts, asked.place(name)));
        }
    }
    for rules in &config.tables {
        if let Some(table) = facts.table(&rules.table) {
            findings.extend(listed_columns(rules, table));
            findings.extend(owner_path(&asked, rules, table, facts));
        }
    }
    for rule in &config.events {
        findings.extend(event(&asked, facts, rule));
    }
    findings.extend(owner_table(config, facts));
    findings
}

/// What became of tables since they were set up.
pub(super) fn heard(config: &Config, facts: &Facts) -> Vec<Finding> {
    let problems = problems(config, facts).into_iter();
    problems
        .map(|problem| {
            Finding::warn(Topic::Tables, problem.what)
                .remedy(problem.remedy)
                .kind(problem.kind, problem.table)
        })
        .collect()
}

/// Checks the table of `owner_exists`.
fn owner_table(config: &Config, facts: &Facts) -> Option<Finding> {
    let exists = config.owner_exists.as_ref()?;
    let table = facts.table(&exists.table)?;
    let missing = no_column(Topic::Owners, table, &exists.column, exists.place);
    missing.or_else(|| {
        (!table.is_in_identity(&exists.column)).then(|| {
            Finding::note(
                Topic::Owners,
                format!(
                    "which owner is deleted from {} the stream does not tell: hooks of owners that are gone are looked for once a minute",
                    table.name
                ),
            )
            .remedy("name the primary key in owner_exists, or set REPLICA IDENTITY FULL")
            .at(exists.place)
        })
    })
}

/// Reports the replica identity of a table.
fn identity(asked: &Asked<'_>, table: &Table) -> Finding {
    let name = &table.name;
    let finding = if !asked.identified(table) {
        let finding = Finding::note(
            Topic::Tables,
            format!(
                "{name} {}: only its inserts are heard",
                table.why_inserts_only()
            ),
        )
        .remedy(table.how_to_identify());
        if table.kind == Kind::Table && table.no_full().is_none() {
            finding
                .kind(
                    "tables have no replica identity: only their inserts are heard",
                    name,
                )
                .remedy_of_all("give them primary keys, or identity = \"full\" under [tables.NAME]")
        } else {
            finding
                .kind(INSERTS_ONLY, name)
                .remedy_of_all("give them primary keys; rowhook check --verbose says more of each")
        }
    } else if table.is_full() {
        Finding::ok(
            Topic::Tables,
            format!("{name}: updates and deletes carry the whole old row"),
        )
        .kind(
            "tables have updates and deletes that carry the whole old row",
            name,
        )
    } else if asked.wants_full(table) {
        Finding::ok(
            Topic::Tables,
            format!("{name} gets replica identity full from rowhook setup"),
        )
        .kind("tables get replica identity full from rowhook setup", name)
    } else {
        let columns = match &table.identity {
            RowIdentity::Key { columns, .. } => columns,
            _ => &table.primary_key,
        };
        Finding::ok(
            Topic::Tables,
            format!("rows of {name} are known by {}", columns.join(", ")),
        )
        .kind("tables have rows that are known by a key", name)
    };
    match asked.place(name) {
        Some(place) => finding.at(place),
        None => finding,
    }
}

fn generated_columns(table: &Table) -> Option<Finding> {
    (!table.left_out.is_empty()).then(|| {
        Finding::note(
            Topic::Tables,
            format!(
                "{} of {} is computed, and not in the stream: it is computed again when an event needs it",
                table.left_out.join(", "),
                table.name
            ),
        )
        .kind(
            "tables have columns that are computed, and computed again when an event needs them",
            &table.name,
        )
    })
}

fn partitions(asked: &Asked<'_>, table: &Table) -> Option<Finding> {
    (table.kind == Kind::Partitioned).then(|| {
        let finding = Finding::note(
            Topic::Tables,
            format!(
                "{} has {} partitions, whose changes come as its own",
                table.name,
                table.leaves.len()
            ),
        )
        .kind("tables have partitions, whose changes come as their own", &table.name);
        if asked.wants_full(table) {
            finding.remedy("a partition that is added later does not inherit identity = \"full\": it gets it from rowhook run within a second, or from rowhook setup")
        } else {
            finding
        }
    })
}

/// Checks that the role can read the table. Values that are not in the stream are read from there; if that is
/// impossible, payloads lack them and name them in `unchanged`.
fn read_access(table: &Table, facts: &Facts, place: Option<Location>) -> Option<Finding> {
    let role = &facts.role.name;
    let finding = if !table.may_select {
        Finding::warn(
            Topic::Privileges,
            format!(
                "{role} may not read {}: large values that an update left alone will be missing",
                table.name
            ),
        )
        .remedy(format!(
            "run: grant select on {} to {}",
            quote::table(&table.name),
            quote::name(role)
        ))
        .kind(
            "tables may not be read: large values that an update left alone will be missing",
            &table.name,
        )
    } else if table.row_security {
        Finding::warn(
            Topic::Privileges,
            format!("row security hides rows of {} from {role}: large values that an update left alone can be missing", table.name),
        )
        .remedy(format!("run: alter role {} bypassrls", quote::name(role)))
        .kind(
            "tables have rows that row security hides: large values that an update left alone can be missing",
            &table.name,
        )
    } else {
        return None;
    };
    Some(match place {
        Some(place) => finding.at(place),
        None => finding,
    })
}

/// Checks that the columns of `columns` and `exclude` exist.
fn listed_columns(rules: &TableRules, table: &Table) -> Vec<Finding> {
    let columns = match &rules.columns {
        Columns::All => &[][..],
        Columns::Only(columns) | Columns::Except(columns) => columns,
    };
    columns
        .iter()
        .filter_map(|column| no_column(Topic::Tables, table, column, rules.place))
        .collect()
}

fn no_column(topic: Topic, table: &Table, column: &str, place: Location) -> Option<Finding> {
    if table.has(column) {
        return None;
    }
    let finding = Finding::fatal(topic, format!("{} has no column {column}", table.name))
        .at(place)
        .kind(
            "columns that hooks.toml names do not exist",
            format!("{}.{column}", table.name),
        );
    Some(
        match nearest(column, table.columns.iter().map(String::as_str)) {
            Some(near) => finding.remedy(format!("did you mean {near}?")),
            None => finding,
        },
    )
}

/// Checks that every step of the path to the owner can be looked up.
fn owner_path(asked: &Asked<'_>, rules: &TableRules, table: &Table, facts: &Facts) -> Vec<Finding> {
    let Some(owner) = &rules.owner else {
        return Vec::new();
    };
    let mut findings: Vec<_> = no_column(Topic::Owners, table, &owner.column, rules.place)
        .into_iter()
        .collect();
    for step in &owner.steps {
        let Some(table) = facts.table(&step.table) else {
            continue;
        };
        let (name, role) = (&table.name, &facts.role.name);
        findings.extend(no_column(Topic::Owners, table, &step.column, rules.place));
        let finding = if table.primary_key.len() != 1 {
            Finding::fatal(
                Topic::Owners,
                format!("the owner of {} is looked up in {name} by its primary key, which must be one column", rules.table),
            )
            .remedy(match table.primary_key.len() {
                0 => format!("give {name} a primary key, or another owner to [tables.{}]", rules.table),
                _ => format!("give another owner to [tables.{}]", rules.table),
            })
        } else if !table.may_select {
            Finding::fatal(
                Topic::Owners,
                format!(
                    "{role} may not read {name}, where the owner of {} is looked up",
                    rules.table
                ),
            )
            .remedy(format!(
                "run: grant select on {} to {}",
                quote::table(name),
                quote::name(role)
            ))
        } else if table.row_security {
            Finding::warn(
                Topic::Owners,
                format!("row security hides rows of {name} from {role}, so that owners of {} can be missed", rules.table),
            )
            .remedy(format!("run: alter role {} bypassrls", quote::name(role)))
        } else {
            findings.extend(followed(asked, rules, step, table, facts));
            continue;
        };
        findings.push(finding.at(rules.place));
    }
    findings
}

/// The findings that the stream does not tell enough of a table on an owner path.
fn followed(
    asked: &Asked<'_>,
    rules: &TableRules,
    step: &OwnerStep,
    table: &Table,
    facts: &Facts,
) -> Vec<Finding> {
    let (of, name, column) = (&rules.table, &table.name, &step.column);
    if !is_followed(asked, facts, table) {
        let finding = Finding::note(
            Topic::Owners,
            format!(
                "changes of {name} are not in the stream, so the owner of {of} is the one that {name} holds when it is asked"
            ),
        );
        let remedy = if table.owned {
            table.how_to_identify()
        } else {
            format!(
                "run: grant {} to {}, and then rowhook setup",
                quote::name(&table.owner),
                quote::name(&facts.role.name)
            )
        };
        let finding = finding.remedy(remedy).at(rules.place);
        return vec![finding.kind(
            "tables have owners in tables whose changes are not in the stream: they are those of when they are asked",
            of,
        )];
    }
    let is_whole = table.is_full() || asked.wants_full(table) || table.is_in_identity(column);
    let asks_deleted = |rule: &EventRule| {
        !rule.all_owners
            && matches!(
                &rule.source,
                EventSource::Row {
                    action: Action::Deleted,
                    ..
                }
            )
    };
    if is_whole || asked.event(of, asks_deleted).is_none() {
        return Vec::new();
    }
    let finding = Finding::note(
        Topic::Owners,
        format!(
            "the owner of a deleted row of {of} can be unknown where its row of {name} is deleted in the same transaction: \
             the stream does not carry {column} of a deleted {name}"
        ),
    );
    let finding = finding.remedy(make_full(table)).at(rules.place);
    vec![
        finding
            .kind(
                "tables have deleted rows whose owner can be unknown, where the row that leads to it is deleted with them",
                of,
            )
            .remedy_of_all("set identity = \"full\" under [tables.NAME] of the tables on the paths to their owners"),
    ]
}

/// Checks that an event can happen, and that it reaches the hooks that it should.
fn event(asked: &Asked<'_>, facts: &Facts, rule: &EventRule) -> Vec<Finding> {
    let EventSource::Row {
        table,
        action,
        changed,
        when,
    } = &rule.source
    else {
        return Vec::new();
    };
    let Some(table) = facts.table(table) else {
        return Vec::new();
    };
    let mut findings: Vec<_> = changed
        .iter()
        .filter_map(|column| no_column(Topic::Events, table, column, rule.place))
        .collect();
    if !matches!(action, Action::Named(_))
        && let Some(finding) = heard_as_its_root(asked, rule, table)
    {
        findings.push(finding);
        return findings;
    }
    let needs_identity = matches!(action, Action::Updated | Action::Deleted);
    if needs_identity && !asked.identified(table) {
        findings.push(impossible(rule, table));
        return findings;
    }
    let is_full = table.is_full() || asked.wants_full(table);
    if !is_full {
        findings.extend(unknown_change(rule, table, changed));
        let asks_old = when.as_ref().is_some_and(|when| mentions_old(when.text()));
        findings.extend((asks_old && needs_identity).then(|| partial_old_row(rule, table)));
    }
    // TRUNCATE is nobody's: it happens to no row.
    if !rule.all_owners && *action != Action::Truncated {
        let by_identity = *action == Action::Deleted && !is_full;
        findings.extend(unknown_owner(asked, rule, table, by_identity));
    }
    findings
}

/// The finding that an event on a partition never happens, because an event is on the partitioned table too: then the
/// changes of all partitions come as those of that table.
fn heard_as_its_root(asked: &Asked<'_>, rule: &EventRule, table: &Table) -> Option<Finding> {
    let mut ancestors = table.ancestors.iter();
    let root = ancestors.find(|ancestor| asked.is_published(ancestor))?;
    let (event, name) = (&rule.name, &table.name);
    let finding = Finding::warn(
        Topic::Events,
        format!(
            "{event} never happens: an event is on {root}, and changes of its partition {name} come as those of {root}"
        ),
    );
    Some(
        finding
            .remedy(format!(
                "put {event} on {root}, with a when that tells its rows from others"
            ))
            .at(rule.place)
            .kind(
                "events never happen, because changes of their partitions come as those of the partitioned table",
                event,
            ),
    )
}

/// The finding that an event never happens, because updates and deletes of its table are not published.
fn impossible(rule: &EventRule, table: &Table) -> Finding {
    let (event, name) = (&rule.name, &table.name);
    Finding::warn(
        Topic::Events,
        format!(
            "{event} never happens: {name} {}, so its updates and deletes are not heard",
            table.why_inserts_only()
        ),
    )
    .remedy(table.how_to_identify())
    .at(rule.place)
    .kind(
        "events never happen: their tables have no replica identity",
        event,
    )
    .remedy_of_all("give the tables primary keys, or identity = \"full\" under [tables.NAME]")
}

/// The finding that the stream lacks the old value of a column, so whether it changed is unknown.
fn unknown_change(rule: &EventRule, table: &Table, changed: &[String]) -> Option<Finding> {
    let (event, name) = (&rule.name, &table.name);
    let column = changed
        .iter()
        .find(|column| !table.is_in_identity(column))?;
    let finding = Finding::warn(
        Topic::Events,
        format!(
            "{event} asks whether {column} changed, but the stream does not carry the old {column} of {name}"
        ),
    );
    let finding = finding.remedy(make_full(table)).at(rule.place);
    Some(
        finding
            .kind(
                "events ask whether a column changed whose old value the stream does not carry",
                event,
            )
            .remedy_of_all(MAKE_ALL_FULL),
    )
}

/// The finding that a condition uses the old row, of which the stream carries only the key.
fn partial_old_row(rule: &EventRule, table: &Table) -> Finding {
    let (event, name) = (&rule.name, &table.name);
    Finding::warn(
        Topic::Events,
        format!("{event} looks at the old row, of which the stream carries only the key of {name}"),
    )
    .remedy(make_full(table))
    .at(rule.place)
    .kind(
        "events look at the old row, of which the stream carries only the key",
        event,
    )
    .remedy_of_all(MAKE_ALL_FULL)
}

/// The finding that rows have no owner, or that the owner of a deleted row is unknown. `by_identity` says that the
/// stream carries only the replica identity of the row.
fn unknown_owner(
    asked: &Asked<'_>,
    rule: &EventRule,
    table: &Table,
    by_identity: bool,
) -> Option<Finding> {
    let (event, name) = (&rule.name, &table.name);
    let finding = match asked.owner_column(table) {
        None => Finding::warn(
            Topic::Owners,
            format!("rows of {name} have no owner, so {event} reaches only hooks without an owner"),
        )
        .remedy(format!("set owner under [tables.{name}], or write the event with a + for hooks of all owners"))
        .kind(
            "tables have rows without an owner, so their events reach only hooks without an owner",
            name,
        )
        .remedy_of_all("set owner under [tables.NAME], or write the events with a + for hooks of all owners"),
        Some(column) if by_identity && !table.is_in_identity(column) => Finding::warn(
            Topic::Owners,
            format!("the owner is unknown when {event} happens: of a deleted row of {name}, the stream does not carry {column}"),
        )
        .remedy(make_full(table))
        .kind("tables have deleted rows whose owner is unknown, because the stream does not carry it", name)
        .remedy_of_all(MAKE_ALL_FULL),
        Some(_) => return None,
    };
    Some(finding.at(rule.place))
}

/// How to make the stream carry whole old rows of all tables that need it.
const MAKE_ALL_FULL: &str = "set identity = \"full\" under [tables.NAME]";

/// How to make the stream carry whole old rows.
fn make_full(table: &Table) -> String {
    let name = &table.name;
    match table.no_full() {
        None => format!("set identity = \"full\" under [tables.{name}]"),
        Some(cause) => format!(
            "ask for less: identity = \"full\" would make updates fail, because {name} {cause}"
        ),
    }
}

/// Whether a CEL expression uses `old`. A text constant with that word counts too, which costs one needless warning.
fn mentions_old(expression: &str) -> bool {
    expression
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == "old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_is_a_word_of_its_own() {
        assert!(mentions_old("new.price < old.price"));
        assert!(mentions_old("has(old.title)"));
        assert!(!mentions_old("new.sold > new.old_price"));
    }
}
