//! Asks the database for the JSON of values whose type has a cast to json, as `to_jsonb` shows them.
//!
//! A cast may be code that a user wrote. It runs in the session for such code, where it may: see sql/catalog/types.sql.
//! A value that it fails for is unknown, and no other.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_postgres::Error;

use super::{
    computing::{Computing, Session, portions},
    halves::{Halves, Refusal},
};
use crate::{
    change::Change,
    postgres::{
        cast::Cast,
        json::{self, Element},
        relation::Relation,
        tuple::{Image, Value},
        types::Type,
    },
};

/// The casts that values have been asked about for.
#[derive(Debug, Default)]
pub struct Casts {
    asked: Vec<Arc<Cast>>,
    /// The oids of the types of which was logged that values are unknown.
    told: HashSet<u32>,
}

/// The texts of values that are wanted, by the address of their type's cast.
type Wanted = HashMap<usize, (Arc<Cast>, HashSet<Bytes>)>;

impl Casts {
    /// Asks for what the JSON of these changes needs.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn fill<'a>(
        &mut self,
        computing: &mut Computing,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<()> {
        let mut wanted = Wanted::new();
        for change in changes {
            if has_casts(&change.relation) {
                gather_of(change, &mut wanted);
            }
        }
        for (cast, texts) in wanted.into_values() {
            if !cast.usable {
                if self.told.insert(cast.oid) {
                    tracing::warn!(
                        r#type = cast.sql_type,
                        "the cast of this type to json runs code of {}, which must not run with the rights of rowhook's role; values are unknown (said once)",
                        cast.owner
                    );
                }
                continue;
            }
            let texts: Vec<Bytes> = texts.into_iter().collect();
            let session = computing.session().await?;
            let refusal = ask(session, &cast, &texts).await;
            let refusal = refusal.context("ask for the JSON of values")?;
            if let Some(refusal) = refusal
                && self.told.insert(cast.oid)
            {
                tracing::warn!(
                    r#type = cast.sql_type,
                    error = refusal.reason,
                    "the cast of a value to json fails; such values are unknown (said once)"
                );
            }
            self.asked.push(cast);
        }
        Ok(())
    }

    /// Forgets all values. Call it when the changes have been rendered.
    pub fn forget(&mut self) {
        for cast in self.asked.drain(..) {
            cast.forget();
        }
    }
}

/// Has a column a type with a cast, or one that is made of such types?
fn has_casts(relation: &Relation) -> bool {
    relation.columns.iter().any(|column| column.ty.has_casts())
}

/// Gathers the values of all images of a change.
fn gather_of(change: &Change, wanted: &mut Wanted) {
    let images = [change.after(), change.before().map(Image::tuple)];
    for image in images.into_iter().flatten() {
        for (column, value) in change.relation.columns.iter().zip(image) {
            if let Value::Text(text) = value
                && column.ty.has_casts()
            {
                gather(&column.ty, text, wanted);
            }
        }
    }
}

/// Gathers the values in the text of a value. A malformed one has none: it is shown as text.
fn gather(ty: &Type, text: &[u8], wanted: &mut Wanted) {
    match ty {
        Type::Cast(cast) if cast.json(text).is_none() => {
            let (_, texts) = wanted
                .entry(Arc::as_ptr(cast).addr())
                .or_insert_with(|| (Arc::clone(cast), HashSet::new()));
            texts.insert(Bytes::copy_from_slice(text));
        }
        Type::Array { element, delimiter } => {
            for item in json::elements(text, *delimiter).unwrap_or_default() {
                match item {
                    Element::Null => {}
                    Element::Value(item) => gather(element, &item, wanted),
                    Element::Array(inner) => gather(ty, inner, wanted),
                }
            }
        }
        Type::Composite(fields) => {
            let values = json::fields(text).unwrap_or_default();
            for ((_, ty), value) in fields.iter().zip(values) {
                if let Some(value) = value {
                    gather(ty, &value, wanted);
                }
            }
        }
        _ => {}
    }
}

/// Asks for the JSON of these values. Returns why one of them has none.
async fn ask(
    session: &mut Session,
    cast: &Cast,
    texts: &[Bytes],
) -> Result<Option<Refusal>, Error> {
    // The input function of the type reads the text. A cast from text would run code of a user where there is one.
    let sql = format!(
        "select raw.n, pg_catalog.to_jsonb(raw.value)::pg_catalog.text
        from pg_catalog.json_to_recordset($1::pg_catalog.text::pg_catalog.json)
            as raw (n pg_catalog.int4, value {})",
        cast.sql_type
    );
    let sizes: Vec<usize> = texts.iter().map(Bytes::len).collect();
    let mut halves = Halves::of_portions(portions(&sizes));
    while let Some(part) = halves.next_part() {
        let some = texts.get(part.clone()).unwrap_or_default();
        if let Err(error) = ask_some(session, cast, &sql, some).await {
            halves.refuse(part, Refusal::of_code(error)?);
        }
    }
    Ok(halves.first_refusal())
}

async fn ask_some(
    session: &mut Session,
    cast: &Cast,
    sql: &str,
    texts: &[Bytes],
) -> Result<(), Error> {
    let statement = session.statement(sql).await?;
    let rows: Vec<_> = (0_i32..)
        .zip(texts)
        .map(|(n, text)| serde_json::json!({"n": n, "value": String::from_utf8_lossy(text)}))
        .collect();
    let rows = serde_json::Value::from(rows).to_string();
    for row in session.client.query(&statement, &[&rows]).await? {
        let number: i32 = row.try_get(0)?;
        let text = usize::try_from(number).ok().and_then(|at| texts.get(at));
        if let (Some(text), Some(json)) = (text, row.try_get::<_, Option<String>>(1)?) {
            cast.learn(text.clone(), Bytes::from(json));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_arrays_and_rows() {
        let cast = Arc::new(Cast::new(1, "point".into(), true, "app".into()));
        let one = Arc::new(Type::Cast(Arc::clone(&cast)));
        let list = Arc::new(Type::Array {
            element: Arc::clone(&one),
            delimiter: b',',
        });
        let row = Arc::new(Type::Composite(vec![
            ("n".into(), Arc::new(Type::Integer)),
            ("all".into(), Arc::clone(&list)),
        ]));
        for (ty, text, expected) in [
            (&one, "a", vec!["a"]),
            (&list, "{a,NULL,\"b c\",a}", vec!["a", "b c"]),
            (&list, "{{a},{b}}", vec!["a", "b"]),
            (&row, "(1,\"{a,b}\")", vec!["a", "b"]),
            (&row, "(1,)", vec![]),
            (&list, "{a", vec![]),
        ] {
            let mut wanted = Wanted::new();
            gather(ty, text.as_bytes(), &mut wanted);
            let texts = wanted.into_values().flat_map(|(_, texts)| texts);
            let mut texts: Vec<Bytes> = texts.collect();
            texts.sort();
            assert_eq!(texts, expected, "{text}");
            assert!(ty.has_casts());
        }
        cast.learn(Bytes::from("a"), Bytes::from("{}"));
        let mut wanted = Wanted::new();
        gather(&one, b"a", &mut wanted);
        assert!(wanted.is_empty());
    }
}
