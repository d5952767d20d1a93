//! Which row is to be forgotten: by a table and a key, as the stream and lanes know it.

use anyhow::Context;
use serde_json::{Map, Value};

use super::RowKey;
use crate::{
    delivery::about,
    manage::{Admin, Error, Result},
    postgres::{self, TableName, quote, relation::lane, tuple::Value as Column},
};

/// A row that is to be forgotten.
pub(super) struct Row {
    /// What deliveries are about that hold it; see [`about`]. Several, where several keys may identify it.
    pub(super) marks: Vec<i64>,
    /// Its key as a JSON object; `null` where the columns are not known.
    pub(super) key: String,
}

impl Admin {
    /// Finds what a row is known by.
    ///
    /// # Errors
    /// When the key is none of the table's, or a value of it is none of its column.
    pub(super) async fn row(&self, named: &RowKey) -> Result<Row> {
        let RowKey { table: text, key } = named;
        let table = TableName::parse(text).ok_or_else(|| {
            Error::Invalid(format!(
                "{text:?} is no table; write its name, with its schema if that is not public"
            ))
        })?;
        let sql = include_str!("../../../sql/manage/key_sets.sql");
        let sets = self.client.query(sql, &[&quote::table(&table)]).await;
        let sets = sets.context("look at the key of the table")?;
        let sets = sets.iter().map(|row| row.try_get(0));
        let sets: std::result::Result<Vec<Vec<String>>, _> = sets.collect();
        let sets = sets.context("look at the key of the table")?;
        if sets.is_empty() {
            return of_no_table(&table, key);
        }
        let mut row = Row {
            marks: Vec::new(),
            key: String::new(),
        };
        for columns in &sets {
            let Some(values) = values_of(columns, key) else {
                continue;
            };
            let values = self.values(&table, columns, &values).await?;
            if row.marks.is_empty() {
                row.key = values.json;
            }
            let lane = lane(&table.schema, &table.name, values.texts.iter());
            row.marks.push(about::of_row(lane));
        }
        if row.marks.is_empty() {
            let sets: Vec<String> = sets.iter().map(|columns| columns.join(", ")).collect();
            return Err(Error::Invalid(format!(
                "{key} is no key of {table}, which is {}; write one value as it is, and several as a JSON object of \
                 them",
                sets.join(", or ")
            )));
        }
        Ok(row)
    }

    /// The values of a key, as the stream and as JSON have them.
    async fn values(
        &self,
        table: &TableName,
        columns: &[String],
        values: &Map<String, Value>,
    ) -> Result<Values> {
        // As the type prints it, which is not always what a cast to text gives.
        let texts = columns.iter().map(|column| {
            let column = quote::name(column);
            format!("case when one.{column} is not null then format('%s', one.{column}) end")
        });
        let pairs = columns.iter().map(|column| {
            let name = quote::name(column);
            format!("{}::text, one.{name}", quote::text(column))
        });
        let (texts, pairs): (Vec<_>, Vec<_>) = (texts.collect(), pairs.collect());
        let sql = format!(
            "select array[{}]::text[], json_build_object({})::text \
             from jsonb_populate_record(null::{}, $1::text::jsonb) as one",
            texts.join(", "),
            pairs.join(", "),
            quote::table(table)
        );
        let values = Value::Object(values.clone()).to_string();
        let row = self.client.query_one(&sql, &[&values]).await;
        let row = row.map_err(|error| {
            Error::Invalid(format!(
                "the key cannot be read as one of {table}: {}",
                postgres::error_message(&error)
            ))
        })?;
        let read = || -> std::result::Result<_, tokio_postgres::Error> {
            Ok((row.try_get::<_, Vec<Option<String>>>(0)?, row.try_get(1)?))
        };
        let (texts, json) = read().context("read the key")?;
        Ok(Values {
            texts: texts.into_iter().map(column).collect(),
            json,
        })
    }
}

struct Values {
    texts: Vec<Column>,
    json: String,
}

fn column(text: Option<String>) -> Column {
    text.map_or(Column::Null, |text| Column::Text(text.into()))
}

/// The values of these columns, if the key has them and no other.
fn values_of(columns: &[String], key: &Value) -> Option<Map<String, Value>> {
    match (columns, key) {
        (_, Value::Object(values)) => {
            let has = columns.iter().all(|column| values.contains_key(column));
            (has && values.len() == columns.len()).then(|| values.clone())
        }
        ([column], value) => Some(Map::from_iter([(column.clone(), value.clone())])),
        _ => None,
    }
}

/// A row of a table that is not there any more. The texts of its key are taken as they are, in their order.
fn of_no_table(table: &TableName, key: &Value) -> Result<Row> {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let (texts, json) = match key {
        Value::Object(values) => (values.values().map(text).collect(), key.to_string()),
        Value::Array(_) | Value::Null => {
            return Err(Error::Invalid(format!(
                "there is no table {table}, and {key} is no key; write one value, or a JSON object of several"
            )));
        }
        value => (vec![text(value)], "null".to_owned()),
    };
    let texts: Vec<Column> = texts.into_iter().map(column).collect();
    let lane = lane(&table.schema, &table.name, texts.iter());
    Ok(Row {
        marks: vec![about::of_row(lane)],
        key: json,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_names_all_columns_and_no_other() {
        let columns = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let one = columns(&["id"]);
        assert_eq!(values_of(&one, &json!("7")).unwrap()["id"], "7");
        assert_eq!(values_of(&one, &json!({"id": 7})).unwrap()["id"], 7);
        assert!(values_of(&one, &json!({"ID": 7})).is_none());
        let two = columns(&["a", "b"]);
        assert!(values_of(&two, &json!({"a": 1, "b": 2})).is_some());
        assert!(values_of(&two, &json!({"a": 1})).is_none());
        assert!(values_of(&two, &json!({"a": 1, "b": 2, "c": 3})).is_none());
        assert!(values_of(&two, &json!("7")).is_none());
    }

    #[test]
    fn a_row_of_a_table_that_is_gone_is_known_by_its_texts() {
        let table = TableName::public("book");
        let mark = |key| of_no_table(&table, &key).map(|row| row.marks).unwrap();
        assert_eq!(mark(json!("7")), mark(json!(7)));
        assert_eq!(
            mark(json!({"a": 1, "b": "x"})),
            mark(json!({"a": "1", "c": "x"}))
        );
        assert_ne!(mark(json!("7")), mark(json!("8")));
        assert!(of_no_table(&table, &json!([7])).is_err());
    }
}
