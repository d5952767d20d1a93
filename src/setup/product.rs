//! Managed services, each with what it shows of itself and what it calls the things that rowhook needs.
//!
//! They are recognized by roles, settings, functions and schemas that nobody else has. Where a service does not let
//! somebody do what Postgres' own words say, the remedy is in the words of that service. docs/book/managed.md has the
//! same for people.

use crate::postgres::quote;

/// A service that runs Postgres for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Amazon Aurora PostgreSQL.
    Aurora,
    /// Amazon RDS for PostgreSQL.
    Rds,
    /// Google AlloyDB for PostgreSQL.
    AlloyDb,
    /// Google Cloud SQL for PostgreSQL.
    CloudSql,
    /// Azure Database for PostgreSQL.
    Azure,
    /// Neon.
    Neon,
    /// Supabase.
    Supabase,
    /// Crunchy Bridge.
    CrunchyBridge,
    /// Tiger Cloud, formerly Timescale Cloud.
    Timescale,
    /// Heroku Postgres.
    Heroku,
}

/// The marks of each service. Aurora has those of RDS too, and comes first.
const MARKS: &[(&str, Product)] = &[
    ("function aurora_version", Product::Aurora),
    ("role rds_superuser", Product::Rds),
    ("setting rds.extensions", Product::Rds),
    ("role alloydbsuperuser", Product::AlloyDb),
    ("role cloudsqlsuperuser", Product::CloudSql),
    ("setting cloudsql.logical_decoding", Product::CloudSql),
    ("role azure_pg_admin", Product::Azure),
    ("setting azure.extensions", Product::Azure),
    ("role neon_superuser", Product::Neon),
    ("setting neon.tenant_id", Product::Neon),
    ("role supabase_admin", Product::Supabase),
    ("extension crunchy_pooler", Product::CrunchyBridge),
    ("role crunchy_superuser", Product::CrunchyBridge),
    ("role tsdbadmin", Product::Timescale),
    ("schema heroku_ext", Product::Heroku),
];

/// Every mark, as sql/catalog/managed.sql is asked for it.
pub(super) fn marks() -> Vec<&'static str> {
    MARKS.iter().map(|(mark, _)| *mark).collect()
}

impl Product {
    /// The service that shows these marks; `None` if none does.
    pub(super) fn of(marks: &[String]) -> Option<Self> {
        let mut known = MARKS.iter();
        known
            .find(|(mark, _)| marks.iter().any(|shown| shown == mark))
            .map(|(_, product)| *product)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aurora => "Amazon Aurora",
            Self::Rds => "Amazon RDS",
            Self::AlloyDb => "Google AlloyDB",
            Self::CloudSql => "Google Cloud SQL",
            Self::Azure => "Azure Database for PostgreSQL",
            Self::Neon => "Neon",
            Self::Supabase => "Supabase",
            Self::CrunchyBridge => "Crunchy Bridge",
            Self::Timescale => "Tiger Cloud",
            Self::Heroku => "Heroku Postgres",
        }
    }

    /// How wal_level becomes logical there.
    pub fn logical(self) -> &'static str {
        match self {
            Self::Aurora => {
                "set rds.logical_replication = 1 in the DB cluster parameter group, and reboot the writer instance"
            }
            Self::Rds => {
                "set rds.logical_replication = 1 in the DB parameter group, and reboot the instance"
            }
            Self::AlloyDb => {
                "set the flag alloydb.logical_decoding = on, which restarts the instance"
            }
            Self::CloudSql => {
                "set the flag cloudsql.logical_decoding = on, which restarts the instance"
            }
            Self::Azure => "set the server parameter wal_level to LOGICAL, and restart the server",
            Self::Neon => {
                "enable logical replication in the Neon console (Settings, Logical Replication), which restarts the computes"
            }
            Self::Supabase => {
                "Supabase has wal_level = logical; ask its support why this project has not"
            }
            Self::CrunchyBridge => {
                "Crunchy Bridge has wal_level = logical; set it back in the cluster's configuration parameters, and restart"
            }
            Self::Timescale => {
                "set wal_level to logical under Operations, Database parameters, and restart the service"
            }
            Self::Heroku => NOT_ON_HEROKU,
        }
    }

    /// How a role gets to read slots there.
    pub fn replication(self, role: &str) -> String {
        let role = quote::name(role);
        let altered = |by: &str| format!("run as {by}: alter role {role} replication");
        match self {
            Self::Aurora | Self::Rds => format!("run: grant rds_replication to {role}"),
            Self::AlloyDb => altered("a member of alloydbsuperuser"),
            Self::CloudSql => altered("a member of cloudsqlsuperuser"),
            Self::Azure => altered("the server's administrator, a member of azure_pg_admin"),
            Self::Neon => {
                "make the role in the Neon console, or with its CLI or API: such roles are members of neon_superuser and may replicate".into()
            }
            Self::Supabase => altered("postgres"),
            Self::CrunchyBridge => altered("postgres, the superuser"),
            Self::Timescale => altered("tsdbadmin"),
            Self::Heroku => NOT_ON_HEROKU.into(),
        }
    }

    /// What is to be known of it beside that.
    pub fn caution(self) -> &'static str {
        match self {
            Self::Aurora | Self::Rds => {
                "RDS Proxy carries no replication session; a major upgrade and a blue/green switch drop the slot"
            }
            Self::AlloyDb | Self::CloudSql => {
                "a major upgrade needs the slot to be dropped before it"
            }
            Self::Azure => {
                "its PgBouncer on port 6432 carries no replication session; give port 5432"
            }
            Self::Neon => {
                "a slot that nobody reads is dropped after about 40 hours while others are read, and restoring a branch drops all; a host with -pooler carries no replication session"
            }
            Self::Supabase => {
                "only the direct connection (db.<project>.supabase.co, port 5432) carries a replication session; it is reached over IPv6, or with the IPv4 add-on"
            }
            Self::CrunchyBridge => {
                "its PgBouncer on port 5431 carries no replication session; give port 5432"
            }
            Self::Timescale => {
                "its connection pooler carries no replication session; give the service's own port"
            }
            Self::Heroku => NOT_ON_HEROKU,
        }
    }
}

const NOT_ON_HEROKU: &str = "Heroku Postgres lets nobody read its WAL; ask Heroku whether your plan has logical replication, or move the database";

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written down of each service's catalog, as far as its documentation or its users show it.
    const RECORDED: &str = include_str!("../../tests/setup/managed.txt");

    #[test]
    fn each_service_is_known_by_what_it_shows() {
        let mut seen = 0;
        for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
            let (name, marks) = line.split_once(": ").unwrap();
            let marks: Vec<String> = marks.split(", ").map(str::to_owned).collect();
            let product = Product::of(&marks).map_or("none", Product::name);
            assert_eq!(product, name, "{line}");
            seen += 1;
        }
        assert!(seen > 10, "{seen}");
    }
}
