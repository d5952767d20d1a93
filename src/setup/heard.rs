//! Whether the tables of `[events]` are heard: what became of a table that was replaced, renamed, or lost its replica
//! identity after setup. `check`, `status`, the log and the metrics tell the same of it.

use serde::Serialize;

use super::{
    catalog::{self, Facts, Kind, Table},
    plan::{full_asked, identified},
};
use crate::{
    config::{Action, Config, EventSource},
    postgres::TableName,
};

/// Why the changes of a table are not heard as hooks.toml asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableProblem {
    /// The table, as hooks.toml names it.
    pub table: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// The problems of all tables of `[events]`; none before setup.
pub fn problems(config: &Config, facts: &Facts) -> Vec<TableProblem> {
    let whole = facts.publication(&config.database.publication);
    let inserts = facts.publication(&config.database.inserts_publication());
    let (Some(whole), Some(inserts)) = (whole, inserts) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for name in catalog::published_tables(config) {
        let problem = match facts.table(&name) {
            None => Some(missing(config, &name, &[&whole.tables, &inserts.tables])),
            // Setup refuses it, and says more.
            Some(Table {
                kind: Kind::Unpublishable(_),
                ..
            }) => None,
            Some(table) => {
                let fit = identified(config, table);
                let publication = if fit { whole } else { inserts };
                if !publication.tables.contains(&name) {
                    Some((
                        format!(
                            "changes of {name} are not heard: it is not in the publication {}",
                            publication.name
                        ),
                        "run: rowhook setup".to_owned(),
                    ))
                } else if !fit && wants_more_than_inserts(config, &name) {
                    Some((
                        format!(
                            "{name} {}: only its inserts are heard, since publishing its updates would make them fail",
                            table.why_inserts_only()
                        ),
                        table.how_to_identify(),
                    ))
                } else if full_asked(config, &name)
                    && !table.is_full()
                    && let Some(cause) = table.no_full()
                {
                    Some((
                        format!(
                            "{name} {cause}: it does not get identity = \"full\", which would make its updates fail"
                        ),
                        table.how_to_do_without_full(),
                    ))
                } else {
                    None
                }
            }
        };
        problems.extend(problem.map(|(what, remedy)| TableProblem {
            table: name.to_string(),
            what,
            remedy,
        }));
    }
    problems
}

/// What is wrong where there is no table of this name, and what to do about it.
fn missing(config: &Config, name: &TableName, published: &[&[TableName]]) -> (String, String) {
    let mut known = catalog::published_tables(config);
    known.push(catalog::hook_table(config));
    known.extend(
        config
            .owner_exists
            .iter()
            .map(|exists| exists.table.clone()),
    );
    let others = published.iter().flat_map(|tables| tables.iter());
    let others: Vec<String> = others
        .filter(|other| !known.contains(other))
        .map(ToString::to_string)
        .collect();
    if others.is_empty() {
        return (
            format!("there is no table {name} any more, so its events do not happen"),
            "create it again, or take its events out of hooks.toml".to_owned(),
        );
    }
    let others = others.join(" or ");
    (
        format!(
            "there is no table {name} any more, but its publication has {others}: a table that was renamed is heard as {name} until rowhook is started again"
        ),
        format!("rename it back, or write {others} in hooks.toml"),
    )
}

fn wants_more_than_inserts(config: &Config, name: &TableName) -> bool {
    config.events.iter().any(|rule| {
        matches!(
            &rule.source,
            EventSource::Row { table, action: Action::Updated | Action::Deleted, .. } if table == name
        )
    })
}
