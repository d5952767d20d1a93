//! The tables that events are on: their columns, what tells their rows apart, and whose rows they are.

use super::{Finding, Topic};
use crate::{
    config::{Action, Columns, Config, EventRule, EventSource, Location, OwnerRule, TableRules},
    nearest::nearest,
    postgres::quote,
    setup::{
        catalog::{Facts, Identity, Kind, Table, published},
        plan::{full_wanted, identified},
    },
};

/// Tables that do not exist are not among the findings: setup refuses them, and says so.
pub(super) fn tables(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in published(config) {
        if let Some(table) = facts.table(&name) {
            findings.push(identity(config, table));
            findings.extend(computed(table));
            findings.extend(partitions(config, table));
            findings.extend(reading(table, facts, &place(config, table)));
        }
    }
    for rules in &config.tables {
        if let Some(table) = facts.table(&rules.table) {
            findings.extend(shown(rules, table));
            findings.extend(owner(rules, table, facts));
        }
    }
    for rule in &config.events {
        findings.extend(event(config, facts, rule));
    }
    findings.extend(owners(config, facts));
    findings
}

/// The table that hooks' owners are looked for in.
fn owners(config: &Config, facts: &Facts) -> Option<Finding> {
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
            .mend("name the primary key in owner_exists, or set REPLICA IDENTITY FULL")
            .at(exists.place)
        })
    })
}

/// Where a table's rules begin, or else the first event on it.
fn place(config: &Config, table: &Table) -> Option<Location> {
    let rules = config.tables.iter().find(|rules| rules.table == table.name);
    let event = config.events.iter().find(
        |rule| matches!(&rule.source, EventSource::Row { table: on, .. } if *on == table.name),
    );
    rules
        .map(|rules| rules.place)
        .or(event.map(|rule| rule.place))
}

/// How the stream tells the rows apart.
fn identity(config: &Config, table: &Table) -> Finding {
    let name = &table.name;
    let finding = if !identified(config, table) {
        Finding::note(
            Topic::Tables,
            format!("{name} has no replica identity: only its inserts are heard"),
        )
        .mend(identify(table))
    } else if table.is_full() {
        Finding::ok(
            Topic::Tables,
            format!("{name}: updates and deletes carry the whole old row"),
        )
    } else if full_wanted(config, name) {
        Finding::ok(
            Topic::Tables,
            format!("{name} gets replica identity full from rowhook setup"),
        )
    } else {
        let columns = match &table.identity {
            Identity::Key { columns, .. } => columns,
            _ => &table.primary_key,
        };
        Finding::ok(
            Topic::Tables,
            format!("rows of {name} are known by {}", columns.join(", ")),
        )
    };
    match place(config, table) {
        Some(place) => finding.at(place),
        None => finding,
    }
}

/// What gives a table an identity.
fn identify(table: &Table) -> String {
    let name = &table.name;
    match table.kind {
        Kind::Partitioned => format!(
            "give {name} a primary key; identity = \"full\" does not do, as a partition that is added later would not have it"
        ),
        _ => format!("give {name} a primary key, or identity = \"full\" under [tables.{name}]"),
    }
}

fn computed(table: &Table) -> Option<Finding> {
    (!table.generated.is_empty()).then(|| {
        Finding::note(
            Topic::Tables,
            format!(
                "{} of {} is computed, and not in the stream: it is read from the table when an event needs it",
                table.generated.join(", "),
                table.name
            ),
        )
    })
}

fn partitions(config: &Config, table: &Table) -> Option<Finding> {
    (table.kind == Kind::Partitioned).then(|| {
        let finding = Finding::note(
            Topic::Tables,
            format!(
                "{} has {} partitions, whose changes come as its own",
                table.name,
                table.leaves.len()
            ),
        );
        if full_wanted(config, &table.name) {
            finding.mend("run rowhook setup after adding a partition: it does not inherit identity = \"full\"")
        } else {
            finding
        }
    })
}

/// Values that are not in the stream are read from the table. Without that they are left out and named in `unchanged`.
fn reading(table: &Table, facts: &Facts, place: &Option<Location>) -> Option<Finding> {
    let role = &facts.role.name;
    let finding = if !table.may_select {
        Finding::warn(
            Topic::Privileges,
            format!(
                "{role} may not read {}: large values that an update left alone will be missing",
                table.name
            ),
        )
        .mend(format!(
            "run: grant select on {} to {}",
            quote::table(&table.name),
            quote::name(role)
        ))
    } else if table.row_security {
        Finding::warn(
            Topic::Privileges,
            format!("row security hides rows of {} from {role}: large values that an update left alone can be missing", table.name),
        )
        .mend(format!("run: alter role {} bypassrls", quote::name(role)))
    } else {
        return None;
    };
    Some(match place {
        Some(place) => finding.at(*place),
        None => finding,
    })
}

/// Are the columns of `columns` and `exclude` there?
fn shown(rules: &TableRules, table: &Table) -> Vec<Finding> {
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
    let finding = Finding::fatal(topic, format!("{} has no column {column}", table.name)).at(place);
    Some(
        match nearest(column, table.columns.iter().map(String::as_str)) {
            Some(near) => finding.mend(format!("did you mean {near}?")),
            None => finding,
        },
    )
}

/// Can the path to the owner be walked?
fn owner(rules: &TableRules, table: &Table, facts: &Facts) -> Vec<Finding> {
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
            .mend(match table.primary_key.len() {
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
            .mend(format!(
                "run: grant select on {} to {}",
                quote::table(name),
                quote::name(role)
            ))
        } else if table.row_security {
            Finding::warn(
                Topic::Owners,
                format!("row security hides rows of {name} from {role}, so that owners of {} can be missed", rules.table),
            )
            .mend(format!("run: alter role {} bypassrls", quote::name(role)))
        } else {
            continue;
        };
        findings.push(finding.at(rules.place));
    }
    findings
}

/// Can the event happen, and does it reach whom it should?
fn event(config: &Config, facts: &Facts, rule: &EventRule) -> Vec<Finding> {
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
    let (event, name) = (&rule.name, &table.name);
    let heard_whole = matches!(action, Action::Updated | Action::Deleted);
    let full = table.is_full() || full_wanted(config, name);
    let say_full = format!("set identity = \"full\" under [tables.{name}]");
    if heard_whole && !identified(config, table) {
        findings.push(
            Finding::warn(
                Topic::Events,
                format!("{event} never happens: {name} has no replica identity, so its updates and deletes are not heard"),
            )
            .mend(identify(table))
            .at(rule.place),
        );
        return findings;
    }
    let unknown = changed.iter().find(|column| !table.is_in_identity(column));
    if let (false, Some(column)) = (full, unknown) {
        findings.push(
            Finding::warn(
                Topic::Events,
                format!("{event} asks whether {column} changed, but the stream does not carry the old {column} of {name}"),
            )
            .mend(&say_full)
            .at(rule.place),
        );
    }
    let asks_old = when.as_ref().is_some_and(|when| mentions_old(when.text()));
    if asks_old && !full && heard_whole {
        findings.push(
            Finding::warn(
                Topic::Events,
                format!("{event} looks at the old row, of which the stream carries only the key of {name}"),
            )
            .mend(&say_full)
            .at(rule.place),
        );
    }
    if rule.all_owners {
        return findings;
    }
    match owner_column(config, table) {
        None => findings.push(
            Finding::warn(
                Topic::Owners,
                format!("rows of {name} have no owner, so {event} reaches only hooks without an owner"),
            )
            .mend(format!("set owner under [tables.{name}], or write the event with a + for hooks of all owners"))
            .at(rule.place),
        ),
        Some(column)
            if *action == Action::Deleted && !full && !table.is_in_identity(&column) =>
        {
            findings.push(
                Finding::warn(
                    Topic::Owners,
                    format!("the owner is unknown when {event} happens: of a deleted row of {name}, the stream does not carry {column}"),
                )
                .mend(say_full)
                .at(rule.place),
            );
        }
        Some(_) => {}
    }
    findings
}

/// The row's own column that leads to the owner.
fn owner_column(config: &Config, table: &Table) -> Option<String> {
    let rules = config.tables.iter().find(|rules| rules.table == table.name);
    match rules.and_then(|rules| rules.owner.as_ref()) {
        Some(OwnerRule { column, .. }) => Some(column.clone()),
        None => table.has("user_id").then(|| "user_id".into()),
    }
}

/// Does a CEL expression use `old`? A text constant with that word is taken for it too; that costs one warning too many.
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
