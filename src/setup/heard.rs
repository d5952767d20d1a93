//! Whether the tables of `[events]` are heard: what became of a table that was replaced, renamed, or lost its replica
//! identity after setup. `check`, `status`, the log and the metrics tell the same of it.

use serde::Serialize;

use super::{
    asked::Asked,
    catalog::{self, Facts, Kind, Publication, Table},
};
use crate::{
    config::{Action, Config, EventSource},
    postgres::TableName,
};

/// What is true of tables whose updates would fail if they were published.
pub(super) const INSERTS_ONLY: &str =
    "tables cannot have their updates published: only their inserts are heard";

/// Why the changes of a table are not heard as hooks.toml asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableProblem {
    /// The table, as hooks.toml names it.
    pub table: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// What is wrong with it and with others of its kind, after their number.
    #[serde(skip)]
    pub kind: &'static str,
}

/// The problems of all tables of `[events]`; none before setup.
pub fn problems(config: &Config, facts: &Facts) -> Vec<TableProblem> {
    let whole = facts.publication(&config.database.publication);
    let inserts = facts.publication(&config.database.inserts_publication());
    let (Some(whole), Some(inserts)) = (whole, inserts) else {
        return Vec::new();
    };
    let asked = Asked::new(config);
    let renamed = unknown(&asked, [whole, inserts]);
    let mut problems = Vec::new();
    for name in asked.published() {
        let problem = match facts.table(name) {
            None => {
                let (what, remedy) = missing(name, &renamed);
                Some(("tables are not there any more", what, remedy))
            }
            // Setup refuses it, and says more.
            Some(Table {
                kind: Kind::Unpublishable(_),
                ..
            }) => None,
            Some(table) => {
                let fit = asked.identified(table);
                let publication = if fit { whole } else { inserts };
                if !publication.tables.contains(name) {
                    Some((
                        "tables are not in their publications: their changes are not heard",
                        format!(
                            "changes of {name} are not heard: it is not in the publication {}",
                            publication.name
                        ),
                        "run: rowhook setup".to_owned(),
                    ))
                } else if !fit && wants_more_than_inserts(&asked, name) {
                    Some((
                        INSERTS_ONLY,
                        format!(
                            "{name} {}: only its inserts are heard, since publishing its updates would make them fail",
                            table.why_inserts_only()
                        ),
                        table.how_to_identify(),
                    ))
                } else if asked.asks_full(name)
                    && !table.is_full()
                    && let Some(cause) = table.no_full()
                {
                    Some((
                        "tables do not get identity = \"full\", which would make their updates fail",
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
        problems.extend(problem.map(|(kind, what, remedy)| TableProblem {
            table: name.to_string(),
            what,
            remedy,
            kind,
        }));
    }
    problems
}

/// The tables of the publications that hooks.toml does not name: one that was renamed may be among them.
fn unknown(asked: &Asked<'_>, publications: [&Publication; 2]) -> Vec<String> {
    let config = asked.config;
    let hooks = catalog::hook_table(config);
    let owners = config.owner_exists.as_ref().map(|exists| &exists.table);
    let is_known =
        |table: &TableName| asked.is_published(table) || *table == hooks || Some(table) == owners;
    let published = publications.into_iter().flat_map(|found| &found.tables);
    let others = published.filter(|table| !is_known(table));
    others.map(ToString::to_string).collect()
}

/// What is wrong where there is no table of this name, and what to do about it. `others` are tables that it may be
/// called now.
fn missing(name: &TableName, others: &[String]) -> (String, String) {
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

fn wants_more_than_inserts(asked: &Asked<'_>, name: &TableName) -> bool {
    asked
        .event(name, |rule| {
            matches!(
                &rule.source,
                EventSource::Row {
                    action: Action::Updated | Action::Deleted,
                    ..
                }
            )
        })
        .is_some()
}
