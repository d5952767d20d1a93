//! The migrations of rowhook's own tables: the numbered files in sql/. There are none that go back.

use crate::postgres::quote;

/// One numbered file of sql/.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number, which is higher than that of the migration before.
    pub version: i32,
    /// The file's name without its number.
    pub name: &'static str,
    /// The text of the file, in ASCII, which every encoding of a database has. Names in it have no schema but in the
    /// bodies of functions, where `{schema}` stands for it, `{bell}` and `{key}` for texts that name a sequence and a
    /// table in it.
    pub sql: &'static str,
}

/// All migrations, in order. A released file is never edited; a change comes in a new one.
pub const MIGRATIONS: [Migration; 46] = [
    Migration {
        version: 1,
        name: "migration",
        sql: include_str!("../../sql/0001_migration.sql"),
    },
    Migration {
        version: 2,
        name: "event",
        sql: include_str!("../../sql/0002_event.sql"),
    },
    Migration {
        version: 3,
        name: "hook",
        sql: include_str!("../../sql/0003_hook.sql"),
    },
    Migration {
        version: 4,
        name: "identity",
        sql: include_str!("../../sql/0004_identity.sql"),
    },
    Migration {
        version: 5,
        name: "delivery",
        sql: include_str!("../../sql/0005_delivery.sql"),
    },
    Migration {
        version: 6,
        name: "progress",
        sql: include_str!("../../sql/0006_progress.sql"),
    },
    Migration {
        version: 7,
        name: "emit",
        sql: include_str!("../../sql/0007_emit.sql"),
    },
    Migration {
        version: 8,
        name: "failing",
        sql: include_str!("../../sql/0008_failing.sql"),
    },
    Migration {
        version: 9,
        name: "attempt",
        sql: include_str!("../../sql/0009_attempt.sql"),
    },
    Migration {
        version: 10,
        name: "due",
        sql: include_str!("../../sql/0010_due.sql"),
    },
    Migration {
        version: 11,
        name: "off_hook",
        sql: include_str!("../../sql/0011_off_hook.sql"),
    },
    Migration {
        version: 12,
        name: "signature",
        sql: include_str!("../../sql/0012_signature.sql"),
    },
    Migration {
        version: 13,
        name: "emit_row",
        sql: include_str!("../../sql/0013_emit_row.sql"),
    },
    Migration {
        version: 14,
        name: "batch",
        sql: include_str!("../../sql/0014_batch.sql"),
    },
    Migration {
        version: 15,
        name: "question",
        sql: include_str!("../../sql/0015_question.sql"),
    },
    Migration {
        version: 16,
        name: "replay",
        sql: include_str!("../../sql/0016_replay.sql"),
    },
    Migration {
        version: 17,
        name: "token",
        sql: include_str!("../../sql/0017_token.sql"),
    },
    Migration {
        version: 18,
        name: "idempotency",
        sql: include_str!("../../sql/0018_idempotency.sql"),
    },
    Migration {
        version: 19,
        name: "backfill",
        sql: include_str!("../../sql/0019_backfill.sql"),
    },
    Migration {
        version: 20,
        name: "fewer_indexes",
        sql: include_str!("../../sql/0020_fewer_indexes.sql"),
    },
    Migration {
        version: 21,
        name: "holder",
        sql: include_str!("../../sql/0021_holder.sql"),
    },
    Migration {
        version: 22,
        name: "invalid_hook",
        sql: include_str!("../../sql/0022_invalid_hook.sql"),
    },
    Migration {
        version: 23,
        name: "own_names",
        sql: include_str!("../../sql/0023_own_names.sql"),
    },
    Migration {
        version: 24,
        name: "whose",
        sql: include_str!("../../sql/0024_whose.sql"),
    },
    Migration {
        version: 25,
        name: "hook_past",
        sql: include_str!("../../sql/0025_hook_past.sql"),
    },
    Migration {
        version: 26,
        name: "gap",
        sql: include_str!("../../sql/0026_gap.sql"),
    },
    Migration {
        version: 28,
        name: "content",
        sql: include_str!("../../sql/0028_content.sql"),
    },
    Migration {
        version: 31,
        name: "message_key",
        sql: include_str!("../../sql/0031_message_key.sql"),
    },
    Migration {
        version: 33,
        name: "by_hand",
        sql: include_str!("../../sql/0033_by_hand.sql"),
    },
    Migration {
        version: 34,
        name: "shown_once",
        sql: include_str!("../../sql/0034_shown_once.sql"),
    },
    Migration {
        version: 35,
        name: "rate",
        sql: include_str!("../../sql/0035_rate.sql"),
    },
    Migration {
        version: 36,
        name: "followed",
        sql: include_str!("../../sql/0036_followed.sql"),
    },
    Migration {
        version: 37,
        name: "sealing",
        sql: include_str!("../../sql/0037_sealing.sql"),
    },
    Migration {
        version: 38,
        name: "forgotten",
        sql: include_str!("../../sql/0038_forgotten.sql"),
    },
    Migration {
        version: 39,
        name: "audit",
        sql: include_str!("../../sql/0039_audit.sql"),
    },
    Migration {
        version: 40,
        name: "token_scopes",
        sql: include_str!("../../sql/0040_token_scopes.sql"),
    },
    Migration {
        version: 42,
        name: "forgotten_row",
        sql: include_str!("../../sql/0042_forgotten_row.sql"),
    },
    Migration {
        version: 43,
        name: "ways_out",
        sql: include_str!("../../sql/0043_ways_out.sql"),
    },
    Migration {
        version: 44,
        name: "settings",
        sql: include_str!("../../sql/0044_settings.sql"),
    },
    Migration {
        version: 46,
        name: "portal",
        sql: include_str!("../../sql/0046_portal.sql"),
    },
    Migration {
        version: 47,
        name: "arrived",
        sql: include_str!("../../sql/0047_arrived.sql"),
    },
    Migration {
        version: 48,
        name: "before",
        sql: include_str!("../../sql/0048_before.sql"),
    },
    Migration {
        version: 50,
        name: "hook_of_owner",
        sql: include_str!("../../sql/0050_hook_of_owner.sql"),
    },
    Migration {
        version: 51,
        name: "division",
        sql: include_str!("../../sql/0051_division.sql"),
    },
    Migration {
        version: 52,
        name: "cluster",
        sql: include_str!("../../sql/0052_cluster.sql"),
    },
    Migration {
        version: 53,
        name: "forgotten_seen",
        sql: include_str!("../../sql/0053_forgotten_seen.sql"),
    },
];

/// The tables that the migrations create.
pub const TABLES: [&str; 24] = [
    "migration",
    "event",
    "hook",
    "identity",
    "delivery",
    "progress",
    "failing",
    "attempt",
    "off_hook",
    "token",
    "idempotency",
    "backfill",
    "holder",
    "invalid_hook",
    "message_key",
    "forgotten",
    "audit",
    "forgotten_mark",
    "followed",
    "portal_link",
    "before_event",
    "asking",
    "partition",
    "sender",
];

/// The functions that the migrations create.
pub const FUNCTIONS: [&str; 30] = [
    "refuse_unknown_event()",
    "touch_hook()",
    "delete_hooks_first()",
    "touch_hook_content()",
    "emit(text,jsonb,text)",
    "is_row_event(text)",
    "emit_row(regclass,text,text)",
    "emit_row(regclass,text,anyelement)",
    "call_courier()",
    "emit(text,jsonb,text,boolean)",
    "send_message(text,bytea)",
    "send_action(regclass,text,text,text,text)",
    "key_condition(regclass,text)",
    "name_of(regclass)",
    "session_role()",
    "require_action(regclass,text,name)",
    "emit_row(regclass,text,text,text)",
    "emit_row(regclass,text,anyelement,text)",
    "forgotten_name(text)",
    "keep_audit()",
    "question_lock(text)",
    "write_question(text,boolean)",
    "rung()",
    "is_heard()",
    "await_answer(text,timestamptz,timestamptz,timestamptz)",
    "put_question(json,integer)",
    "ask_row()",
    "ask_transaction()",
    "ask(text,jsonb)",
    "partition_of(text,integer)",
];

/// The comment on a schema that setup created. Teardown drops a schema only if it has this comment.
pub const SCHEMA_COMMENT: &str = "rowhook's own tables; made by rowhook setup";

/// SQL that applies the missing migrations to `schema` and grants `role` the use of its tables. It must be run in one
/// transaction. Returns `None` if no migration is missing.
pub fn missing(schema: &str, exists: bool, applied: &[i32], role: &str) -> Option<String> {
    let missing: Vec<_> = MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let quoted = quote::name(schema);
    let mut sql = String::new();
    if !exists {
        sql.push_str(&format!(
            "create schema {quoted};\ncomment on schema {quoted} is {};\n",
            quote::text(SCHEMA_COMMENT)
        ));
    }
    // pg_temp is searched first unless it is named. Named last, a temporary table cannot stand in for one that a
    // function uses.
    sql.push_str(&format!("set local search_path to {quoted}, pg_temp;\n"));
    let text_of = |name: &str| quote::text(&format!("{quoted}.{name}"));
    let (bell, key) = (text_of("question_bell"), text_of("message_key"));
    let values = [("schema", &*quoted), ("bell", &*bell), ("key", &*key)];
    for migration in missing {
        sql.push_str(&format!(
            "\n{}\ninsert into migration (version, name)\nvalues ({}, {});\n",
            quote::fill(migration.sql.trim_end(), &values),
            migration.version,
            quote::text(migration.name)
        ));
    }
    sql.push_str("\nset local search_path to pg_catalog, pg_temp;\n");
    // The role that runs this owns everything. If a DBA runs the printed script, that is another role than rowhook's.
    sql.push_str(&grants(schema, role));
    sql.push('\n');
    Some(sql)
}

/// The version of the last migration.
pub fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |last| last.version)
}

/// Whether the migration of this name is among the applied versions.
pub fn is_applied(name: &str, applied: &[i32]) -> bool {
    MIGRATIONS
        .iter()
        .any(|migration| migration.name == name && applied.contains(&migration.version))
}

/// SQL that grants `role` the use of the tables and functions in `schema`.
pub fn grants(schema: &str, role: &str) -> String {
    let (schema, role) = (quote::name(schema), quote::name(role));
    format!(
        "grant usage on schema {schema} to {role}; grant select, insert, update, delete on all tables in schema {schema} to {role}; grant execute on all functions in schema {schema} to {role};"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_go_up() {
        assert!(MIGRATIONS.is_sorted_by(|one, next| one.version < next.version));
    }

    #[test]
    fn every_table_that_is_created_is_known() {
        let created = MIGRATIONS.iter().flat_map(|migration| {
            let lines = migration.sql.lines();
            lines.filter_map(|line| line.strip_prefix("create table ")?.strip_suffix(" ("))
        });
        let mut created: Vec<&str> = created.collect();
        let mut known = TABLES.to_vec();
        created.sort_unstable();
        known.sort_unstable();
        assert_eq!(created, known);
    }

    #[test]
    fn a_database_of_any_encoding_takes_them() {
        for migration in &MIGRATIONS {
            let strange = migration.sql.chars().find(|c| !c.is_ascii());
            assert_eq!(strange, None, "{}", migration.name);
        }
    }

    #[test]
    fn only_what_is_missing_is_applied() {
        let all = MIGRATIONS.map(|migration| migration.version);
        assert!(missing("rowhook", true, &all, "me").is_none());
        let sql = missing("rowhook", true, &[1, 2, 3], "me").unwrap();
        assert!(sql.contains("create table identity") && !sql.contains("create table hook"));
        assert!(!sql.contains("create schema"));
    }
}
