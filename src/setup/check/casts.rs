//! Checks whether values whose type has a cast to json can be told.

use super::finding::{Finding, Topic};
use crate::postgres::{cast::Cast, relation::Relation};

/// A finding for each column of a type whose cast must not run with the rights of rowhook's role.
pub(super) fn untrusted(relation: &Relation) -> Vec<Finding> {
    let columns = relation.columns.iter();
    let unusable = columns.filter_map(|column| {
        let cast = column.ty.casts().into_iter().find(|cast| !cast.usable)?;
        Some(not_told(relation, &column.name, cast))
    });
    unusable.collect()
}

fn not_told(relation: &Relation, column: &str, cast: &Cast) -> Finding {
    let Cast {
        sql_type, owner, ..
    } = cast;
    Finding::warn(
        Topic::Tables,
        format!(
            "{column} of {} is unknown in bodies: the cast of {sql_type} to json runs code of {owner}, which must not run with the rights of rowhook's role",
            relation.table()
        ),
    )
    .remedy(format!(
        "connect as {owner}, or make the function of the cast security definer"
    ))
}
