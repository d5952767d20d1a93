//! Whose the rows of a table are, as far as foreign keys to the table of users tell.
//!
//! A wrong owner would be sent what is none of theirs, so nothing is guessed where there is more than one way to read
//! the foreign keys.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};

use super::{
    found::{Found, Reference},
    toml,
};
use crate::{nearest::nearest, postgres::TableName};

/// The names that tables of users often have, the likeliest first.
const USERS: [&str; 21] = [
    "users",
    "user",
    "auth_user",
    "auth_users",
    "accounts_user",
    "users_user",
    "core_user",
    "app_user",
    "app_users",
    "accounts",
    "account",
    "members",
    "member",
    "customers",
    "customer",
    "profiles",
    "profile",
    "people",
    "persons",
    "person",
    "clients",
];

/// What a column that leads to the owner is called, without `_id`, where more than one leads to the table of users.
const OWNING: [&str; 6] = ["user", "owner", "account", "member", "customer", "profile"];

/// The most tables on the way to an owner.
const FARTHEST: usize = 4;

/// How the owner of a table's rows is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// By the column `user_id`, without a rule.
    ByDefault,
    /// By a rule, which is written so: `shelf_id -> shelf.user_id`.
    By(String),
    /// There are several ways, which are written so.
    Ambiguous(Vec<String>),
    /// No foreign keys lead to the users.
    Unknown,
}

/// The owners of the rows of all tables.
pub(super) struct Owners<'a> {
    /// The table of the users; `None`: none is known.
    pub(super) users: Option<&'a TableName>,
    owners: BTreeMap<&'a TableName, Owner>,
}

impl<'a> Owners<'a> {
    /// Finds the owners. `named` is the table of the users; if it is not given, one of the usual names is.
    ///
    /// # Errors
    /// If the named table is not there, or its rows are not known by one column.
    pub(super) fn find(found: &'a [Found], named: Option<&str>) -> Result<Self> {
        let users = match named {
            Some(name) => Some(named_users(found, name)?),
            None => usual_users(found),
        };
        let mut paths = Paths::new(found);
        if let Some(users) = users {
            paths.end_at(users);
            (2..=FARTHEST).for_each(|steps| paths.lengthen(steps));
        }
        let owner = |table: &'a Found| (&table.table, paths.owner(table));
        Ok(Self {
            users: users.map(|users| &users.table),
            owners: found.iter().map(owner).collect(),
        })
    }

    pub(super) fn of(&self, table: &TableName) -> &Owner {
        self.owners.get(table).unwrap_or(&Owner::Unknown)
    }
}

/// The table that was named with `--owner-table`.
fn named_users<'a>(found: &'a [Found], name: &str) -> Result<&'a Found> {
    let table = TableName::parse(name)
        .with_context(|| format!("{name:?} is no table; write --owner-table [schema.]table"))?;
    let users = found.iter().find(|found| found.table == table);
    let Some(users) = users else {
        let names: Vec<String> = found.iter().map(|found| found.table.to_string()).collect();
        match nearest(&table.to_string(), names.iter().map(String::as_str)) {
            Some(near) => {
                bail!("there is no table {table} for --owner-table; did you mean {near}?")
            }
            None => bail!("there is no table {table} for --owner-table"),
        }
    };
    if users.primary_key.len() != 1 {
        bail!(
            "the primary key of {table} is not one column, so no foreign key names its rows by one"
        );
    }
    Ok(users)
}

/// The table of a usual name that most foreign keys refer to.
fn usual_users(found: &[Found]) -> Option<&Found> {
    let mut referring: HashMap<&TableName, usize> = HashMap::new();
    for reference in found.iter().flat_map(|found| &found.references) {
        *referring.entry(&reference.to).or_default() += 1;
    }
    let candidates = found.iter().filter_map(|found| {
        let name = found.table.name.to_lowercase();
        let rank = USERS.iter().position(|usual| *usual == name);
        let rank = rank.or_else(|| name.ends_with("_user").then_some(USERS.len()))?;
        let referring = *referring.get(&found.table)?;
        Some((std::cmp::Reverse(referring), rank, &found.table, found))
    });
    let best = candidates.min_by_key(|(referring, rank, table, _)| (*referring, *rank, *table));
    best.map(|(.., found)| found)
}

/// The paths to the users that are known so far.
struct Paths<'a> {
    found: HashMap<&'a TableName, &'a Found>,
    /// How the owner of a table's rows is found; several, if that is not clear.
    paths: BTreeMap<&'a TableName, Vec<Path<'a>>>,
}

/// The way from a row to its owner: a column of the row, and then the tables that are looked up.
#[derive(Debug, Clone)]
struct Path<'a> {
    column: &'a str,
    /// Nothing speaks against it.
    sure: bool,
    steps: Vec<(&'a TableName, &'a str)>,
}

impl<'a> Paths<'a> {
    fn new(found: &'a [Found]) -> Self {
        Self {
            found: found.iter().map(|found| (&found.table, found)).collect(),
            paths: BTreeMap::new(),
        }
    }

    /// Takes the columns that refer to the users themselves.
    fn end_at(&mut self, users: &'a Found) {
        for (table, found) in &self.found {
            let to_users = found.references.iter();
            let to_users = to_users.filter(|reference| reference.to == users.table);
            let to_users: Vec<Path<'_>> = to_users.filter_map(|it| Path::of(it, &[])).collect();
            if to_users.is_empty() || *table == &users.table {
                continue;
            }
            let paths = clearest(to_users, &users.table.name);
            self.paths.insert(table, paths);
        }
        if let [key] = &users.primary_key[..] {
            let own = Path {
                column: key,
                sure: true,
                steps: Vec::new(),
            };
            self.paths.insert(&users.table, vec![own]);
        }
    }

    /// Finds the paths over one table more, of tables that have none yet.
    fn lengthen(&mut self, steps: usize) {
        let mut longer: BTreeMap<&TableName, Vec<Path<'_>>> = BTreeMap::new();
        for (table, found) in &self.found {
            if self.paths.contains_key(table) {
                continue;
            }
            let ways = found.references.iter();
            let ways = ways.filter_map(|reference| self.over(reference, steps));
            let mut ways: Vec<Path<'_>> = ways.collect();
            if ways.iter().filter(|way| way.sure).count() == 1 {
                ways.retain(|way| way.sure);
            }
            if !ways.is_empty() {
                longer.insert(table, ways);
            }
        }
        self.paths.extend(longer);
    }

    /// The path over the table that is referred to, if that has one of so many steps less one, and may be read.
    fn over(&self, reference: &'a Reference, steps: usize) -> Option<Path<'a>> {
        let next = self.found.get(&reference.to)?;
        let [path] = &self.paths.get(&reference.to)?[..] else {
            return None;
        };
        if !next.readable || !path.sure || path.steps.len() + 2 != steps {
            return None;
        }
        let mut path_steps = vec![(&next.table, path.column)];
        path_steps.extend(&path.steps);
        Path::of(reference, &path_steps)
    }

    fn owner(&self, found: &Found) -> Owner {
        let paths = self.paths.get(&found.table).map_or(&[][..], Vec::as_slice);
        match paths {
            [path] if path.is_default() => Owner::ByDefault,
            [path] if path.sure => Owner::By(path.to_string()),
            _ if found.has("user_id") => Owner::ByDefault,
            [] => Owner::Unknown,
            several => Owner::Ambiguous(several.iter().map(ToString::to_string).collect()),
        }
    }
}

/// Which of several columns that refer to the users names the owner: the one that is called so, or else all.
fn clearest<'a>(paths: Vec<Path<'a>>, users: &str) -> Vec<Path<'a>> {
    if let Some(by_default) = paths.iter().find(|path| path.is_default()) {
        return vec![by_default.clone()];
    }
    let owning: Vec<&Path<'_>> = paths
        .iter()
        .filter(|path| path.is_called_owner(users))
        .collect();
    match &owning[..] {
        [owning] => vec![(*owning).clone()],
        _ => paths,
    }
}

impl<'a> Path<'a> {
    /// The path that begins with a foreign key; `None`: hooks.toml could not be read with it.
    fn of(reference: &'a Reference, steps: &[(&'a TableName, &'a str)]) -> Option<Self> {
        let odd = |name: &str| {
            name.contains("->") || name.contains("${") || name.contains(char::is_control)
        };
        let mut names = steps
            .iter()
            .flat_map(|(table, column)| [&table.schema, &table.name, *column]);
        let is_odd = odd(&reference.column) || names.any(odd);
        // Who did something to a row is not whose it is: approved_by, updated_by_id.
        let is_actor = reference.column.trim_end_matches("_id").ends_with("_by");
        // A row can refer to nobody, and belong to somebody all the same.
        let is_loose = !steps.is_empty() && !reference.required;
        (!is_odd).then(|| Self {
            column: &reference.column,
            sure: !is_actor && !is_loose,
            steps: steps.to_vec(),
        })
    }

    fn is_default(&self) -> bool {
        self.column == "user_id" && self.steps.is_empty()
    }

    fn is_called_owner(&self, users: &str) -> bool {
        let stem = self.column.trim_end_matches("_id");
        let singular = users.rsplit('_').next().unwrap_or(users);
        OWNING.contains(&stem) || stem == singular.trim_end_matches('s')
    }
}

/// As hooks.toml has it: `shelf_id -> shelf.user_id`.
impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&toml::part(self.column))?;
        for (table, column) in &self.steps {
            write!(f, " -> {}.{}", toml::source(table), toml::part(column))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table: its name, and its foreign keys as `column table`, with a `?` where it may be null.
    fn table(name: &str, references: &[&str]) -> Found {
        let reference = |text: &&str| {
            let (column, to) = text.split_once(' ').unwrap();
            Reference {
                column: column.into(),
                required: !to.ends_with('?'),
                to: TableName::public(to.trim_end_matches('?')),
            }
        };
        let references: Vec<Reference> = references.iter().map(reference).collect();
        let columns = references.iter().map(|reference| reference.column.clone());
        Found {
            table: TableName::public(name),
            of_framework: false,
            identified: true,
            readable: true,
            columns: ["id".to_owned()].into_iter().chain(columns).collect(),
            primary_key: vec!["id".into()],
            references,
        }
    }

    fn owner(found: &[Found], name: &str) -> Owner {
        let owners = Owners::find(found, None).unwrap();
        owners.of(&TableName::public(name)).clone()
    }

    #[test]
    fn an_owner_is_found_over_foreign_keys_where_they_can_be_read_in_one_way() {
        let by = |path: &str| Owner::By(path.into());
        let ambiguous =
            |ways: &[&str]| Owner::Ambiguous(ways.iter().map(ToString::to_string).collect());
        let found = [
            table("auth_user", &[]),
            table("project", &["owner_id auth_user"]),
            table("check", &["project_id project"]),
            table("ping", &["check_id check"]),
            table(
                "order",
                &["user_id auth_user?", "approved_by_id auth_user?"],
            ),
            table("note", &["writer_id auth_user", "reader_id auth_user"]),
            table("review", &["approved_by_id auth_user"]),
            table("line", &["order_id order", "project_id project"]),
            table("loan", &["order_id order?"]),
            table("entry", &["order_id order", "project_id project?"]),
            table("country", &[]),
            table("author", &["person_id auth_user?"]),
        ];
        for (name, expected) in [
            ("auth_user", by("id")),
            ("project", by("owner_id")),
            ("check", by("project_id -> project.owner_id")),
            (
                "ping",
                by("check_id -> check.project_id -> project.owner_id"),
            ),
            ("order", Owner::ByDefault),
            ("note", ambiguous(&["writer_id", "reader_id"])),
            ("review", ambiguous(&["approved_by_id"])),
            (
                "line",
                ambiguous(&[
                    "order_id -> order.user_id",
                    "project_id -> project.owner_id",
                ]),
            ),
            ("loan", ambiguous(&["order_id -> order.user_id"])),
            ("entry", by("order_id -> order.user_id")),
            ("country", Owner::Unknown),
            ("author", by("person_id")),
        ] {
            assert_eq!(owner(&found, name), expected, "{name}");
        }
    }

    #[test]
    fn the_users_are_in_the_table_of_a_usual_name_that_most_refer_to() {
        let found = [
            table("users", &[]),
            table("accounts_user", &[]),
            table("profile", &["user_id accounts_user"]),
            table("pet", &["profile_id profile"]),
            table("book", &["owner_id accounts_user"]),
        ];
        let users = |named| Owners::find(&found, named).map(|owners| owners.users.cloned());
        assert_eq!(
            users(None).unwrap(),
            Some(TableName::public("accounts_user"))
        );
        assert_eq!(
            users(Some("profile")).unwrap(),
            Some(TableName::public("profile"))
        );
        let error = users(Some("profil")).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no table profil for --owner-table; did you mean profile?"
        );
        let none = [table("book", &[]), table("users", &[])];
        assert_eq!(Owners::find(&none, None).unwrap().users, None);
    }
}
