//! Notes which tables the names of hooks.toml stand for, so that the next process knows it too.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tokio_postgres::error::SqlState;

use super::Store;
use crate::postgres::{
    TableName,
    followed::{Former, Note},
};

impl Store {
    /// Reads what was noted; nothing of another cluster, nor where rowhook's tables are still to be made.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn followed(&self) -> Result<BTreeMap<u32, Note>> {
        let sql = "select oid, schema, name, keys::text, division::text, is_former, later_schema, later_name, taken_by \
                   from followed where slot = $1 and relation = 'followed'::regclass";
        let client = self.session(&self.client).await?;
        let rows = match client.query(sql, &[&self.holder().slot]).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Vec::new(),
            rows => rows.context("read which tables were followed")?,
        };
        let notes = rows.iter().map(|row| {
            let keys: String = row.try_get("keys")?;
            let division: Option<String> = row.try_get("division")?;
            let later: Option<String> = row.try_get("later_schema")?;
            let later = later.zip(row.try_get("later_name")?);
            let taken_by: Option<i64> = row.try_get("taken_by")?;
            let former = Former {
                later: later.map(|(schema, name)| TableName { schema, name }),
                taken_by: taken_by.and_then(|xid| xid.try_into().ok()),
            };
            let note = Note {
                name: TableName {
                    schema: row.try_get("schema")?,
                    name: row.try_get("name")?,
                },
                keys: serde_json::from_str(&keys).context("read the keys of a table")?,
                division: division
                    .map(|division| serde_json::from_str(&division))
                    .transpose()
                    .context("read how a table is divided")?,
                former: row.try_get::<_, bool>("is_former")?.then_some(former),
            };
            Ok((row.try_get("oid")?, note))
        });
        notes.collect()
    }

    /// Notes all of these tables, and forgets all others. Returns those of which the stream has nothing more to tell,
    /// which are not noted any more.
    ///
    /// # Errors
    /// When the table cannot be written to.
    pub async fn note_followed(&self, notes: &BTreeMap<u32, Note>) -> Result<Vec<u32>> {
        let former = |note: &Note| note.former.clone();
        let later = |note: &Note| former(note).and_then(|former| former.later);
        let oids: Vec<u32> = notes.keys().copied().collect();
        let texts = |of: &dyn Fn(&Note) -> Option<String>| notes.values().map(of).collect();
        let schemas: Vec<Option<String>> = texts(&|note| Some(note.name.schema.clone()));
        let names: Vec<Option<String>> = texts(&|note| Some(note.name.name.clone()));
        let keys: Vec<Option<String>> = texts(&|note| serde_json::to_string(&note.keys).ok());
        let are_former: Vec<bool> = notes.values().map(|note| note.former.is_some()).collect();
        let later_schemas: Vec<Option<String>> = texts(&|note| Some(later(note)?.schema));
        let later_names: Vec<Option<String>> = texts(&|note| Some(later(note)?.name));
        let taken_by = notes.values().map(|note| former(note)?.taken_by);
        let divisions: Vec<Option<String>> =
            texts(&|note| serde_json::to_string(note.division.as_ref()?).ok());
        let taken_by: Vec<Option<i64>> = taken_by.map(|xid| xid.map(i64::from)).collect();
        let sql = include_str!("../../sql/store/note_followed.sql");
        let client = self.session(&self.client).await?;
        let rows = client
            .query(
                sql,
                &[
                    &self.holder().slot,
                    &oids,
                    &schemas,
                    &names,
                    &keys,
                    &are_former,
                    &later_schemas,
                    &later_names,
                    &taken_by,
                    &divisions,
                ],
            )
            .await;
        let rows = rows.context("note which tables are followed")?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
