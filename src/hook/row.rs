//! A row of the hook table, and what makes it a hook.
//!
//! The same row is read in two ways: all of them from the table at start, and each one from the stream when it changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use futures_util::{TryStreamExt, pin_mut};
use tokio::sync::mpsc;
use tokio_postgres::{Client, types::Type};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{Hook, HookId, Origin};
use crate::{
    config::{self, Delivery, HookTable, Pattern, PayloadFormat},
    event::{EventMap, TableEvents},
    expression::{filter::Filter, typing::Columns},
    postgres::{
        TableName, quote,
        relation::Relation,
        tuple::{Tuple, Value},
    },
    secret::Secret,
    send::{guard::Guard, target::Target},
    signature::{SignatureScheme, Signer},
};

/// So many rows are read together, and so many times that beside those that are taken.
const PARCEL: usize = 512;
const PARCELS: usize = 2;

/// Which table holds the hooks, and which of its columns holds what.
#[derive(Debug, Clone)]
pub struct HookColumns {
    /// The table.
    pub table: TableName,
    id: String,
    owner: String,
    event: String,
    target: String,
    active: Option<String>,
    secret: Option<String>,
    previous_secret: Option<String>,
    previous_ends: Option<String>,
    signature: Option<String>,
    filter: Option<String>,
    headers: Option<String>,
    payload: Option<String>,
    created_at: Option<String>,
    invalid: Option<String>,
}

impl HookColumns {
    /// rowhook's own table in `schema`.
    pub fn own(schema: &str) -> Self {
        let name = |name: &str| name.to_owned();
        Self {
            table: TableName {
                schema: name(schema),
                name: name("hook"),
            },
            id: name("id"),
            owner: name("owner"),
            event: name("event"),
            target: name("target"),
            active: Some(name("active")),
            secret: Some(name("secret")),
            previous_secret: Some(name("previous_secret")),
            previous_ends: Some(name("previous_secret_expires_at")),
            signature: Some(name("signature")),
            filter: Some(name("filter")),
            headers: Some(name("headers")),
            payload: Some(name("payload")),
            created_at: Some(name("created_at")),
            invalid: Some(name("invalid")),
        }
    }

    /// The application's table of `[hook_table]`.
    pub fn of(table: &HookTable) -> Self {
        Self {
            table: table.table.clone(),
            id: table.id.clone(),
            owner: table.owner.clone(),
            event: table.event.clone(),
            target: table.target.clone(),
            active: table.active.clone(),
            secret: table.secret.clone(),
            previous_secret: table.previous_secret.clone(),
            previous_ends: None,
            signature: table.signature.clone(),
            filter: table.filter.clone(),
            headers: table.headers.clone(),
            payload: table.payload.clone(),
            created_at: table.created.clone(),
            invalid: None,
        }
    }

    /// The one that `config` asks for.
    pub fn from_config(config: &config::Config) -> Self {
        match &config.hook_table {
            Some(table) => Self::of(table),
            None => Self::own(&config.database.schema),
        }
    }

    /// The column of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The column of the owner.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The SQL of a row's columns, in the order in which [`HookRow::from_sql`] reads them.
    fn select(&self) -> String {
        let text = |column: &str| format!("{}::text", quote::name(column));
        let optional =
            |column: &Option<String>| column.as_deref().map_or("null::text".to_owned(), text);
        let created_at = match &self.created_at {
            // Neither of the two infinities is a number.
            Some(column) => format!(
                "(extract(epoch from nullif(nullif({column}, 'infinity'), '-infinity')) * 1000000)::int8",
                column = quote::name(column)
            ),
            None => "null::int8".to_owned(),
        };
        // As the stream writes it, whatever the session's settings are.
        let previous_ends = match &self.previous_ends {
            Some(column) => format!(
                "case when isfinite({column}) then to_char({column} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') else {column}::text end",
                column = quote::name(column)
            ),
            None => "null::text".to_owned(),
        };
        format!(
            "select {}, pg_typeof({}) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype), {}, {}, {}, {}, {}, {}, {}, {}, {created_at}, {}, {}, {previous_ends}, {} from {}",
            text(&self.id),
            quote::name(&self.id),
            text(&self.owner),
            text(&self.event),
            text(&self.target),
            optional(&self.active),
            optional(&self.secret),
            optional(&self.filter),
            optional(&self.headers),
            optional(&self.payload),
            optional(&self.invalid),
            optional(&self.previous_secret),
            optional(&self.signature),
            quote::table(&self.table),
        )
    }
}

/// A row of the hook table as it stands there, unchecked.
#[derive(Debug, Clone)]
pub struct HookRow {
    /// The row's key.
    pub id: HookId,
    /// Is it switched on?
    pub active: bool,
    /// Why it could not be used when it was last looked at.
    pub invalid: Option<String>,
    owner: Option<String>,
    event: Option<String>,
    target: Option<String>,
    secret: Option<Secret>,
    previous_secret: Option<Secret>,
    previous_ends: Option<String>,
    signature: Option<String>,
    filter: Option<String>,
    headers: Option<String>,
    payload: Option<String>,
    created_at: Option<SystemTime>,
}

/// What the stream says of a row of the hook table.
#[derive(Debug)]
pub enum Streamed {
    /// The whole row.
    Row(Box<HookRow>),
    /// A column that we need was not sent; the row has to be read again.
    Partial(HookId),
}

impl HookRow {
    /// Reads a row from the stream.
    ///
    /// # Errors
    /// When the column of the id is not in the table, or the id is null.
    pub fn from_stream(
        columns: &HookColumns,
        relation: &Relation,
        tuple: &Tuple,
    ) -> Result<Streamed> {
        let id = id_from_stream(columns, relation, tuple)?;
        let mut partial = false;
        let mut text = |column: &str| -> Result<Option<String>> {
            // The table had no such column yet when this was written. Whether it has it now is seen when it is read again.
            let value = relation.column(column).and_then(|at| tuple.get(at));
            Ok(match value {
                Some(Value::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
                Some(Value::Unchanged) | None => {
                    partial = true;
                    None
                }
                Some(Value::Null) => None,
            })
        };
        let mut optional = |column: &Option<String>| column.as_deref().map_or(Ok(None), &mut text);
        let active = optional(&columns.active)?;
        let secret = optional(&columns.secret)?;
        let previous_secret = optional(&columns.previous_secret)?;
        let previous_ends = optional(&columns.previous_ends)?;
        let signature = optional(&columns.signature)?;
        let filter = optional(&columns.filter)?;
        let headers = optional(&columns.headers)?;
        let payload = optional(&columns.payload)?;
        let invalid = optional(&columns.invalid)?;
        let row = Self {
            active: columns.active.is_none() || active.as_deref().is_some_and(is_true),
            owner: text(&columns.owner)?,
            event: text(&columns.event)?,
            target: text(&columns.target)?,
            secret: secret.map(Secret::new),
            previous_secret: previous_secret.map(Secret::new),
            previous_ends,
            signature,
            filter,
            headers,
            payload,
            created_at: None,
            invalid,
            id,
        };
        Ok(if partial {
            Streamed::Partial(row.id)
        } else {
            Streamed::Row(Box::new(row))
        })
    }

    fn from_sql(columns: &HookColumns, row: &tokio_postgres::Row) -> Result<Self> {
        let text = |at: usize| row.try_get::<_, Option<String>>(at);
        let active = text(5)?;
        let created_at = row
            .try_get::<_, Option<i64>>(10)?
            .map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs()));
        Ok(Self {
            id: HookId::new(text(0)?.context("a hook's id is null")?, row.try_get(1)?),
            owner: text(2)?,
            event: text(3)?,
            target: text(4)?,
            active: columns.active.is_none() || active.as_deref().is_some_and(is_true),
            secret: text(6)?.map(Secret::new),
            filter: text(7)?,
            headers: text(8)?,
            payload: text(9)?,
            created_at,
            invalid: text(11)?,
            previous_secret: text(12)?.map(Secret::new),
            previous_ends: text(13)?,
            signature: text(14)?,
        })
    }

    /// Whose rows it hears; `None`: everyone's.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The event or pattern that it names.
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// Checks the row and makes it a hook.
    ///
    /// # Errors
    /// The reason why it cannot be one, for its owner to read.
    pub fn into_hook(self, known: &Known) -> Result<Hook, String> {
        if known
            .file_hooks
            .iter()
            .any(|name| *name == self.id.as_str())
        {
            return Err(format!(
                "its id {:?} is the name of a hook in hooks.toml",
                self.id.as_str()
            ));
        }
        let event = self.event.ok_or("its event is null")?;
        let pattern = Pattern::parse(&event)
            .ok_or_else(|| format!("{event:?} is neither an event nor a pattern"))?;
        if !known.events.iter().any(|name| pattern.matches(name)) {
            return Err(format!(
                "no event is called {event:?}; there are {}",
                known.events.join(", ")
            ));
        }
        let target = self.target.ok_or("its target is null")?;
        let url =
            Url::parse(&target).map_err(|error| format!("its target is not a URL: {error}"))?;
        known
            .guard
            .check_url(&url)
            .map_err(|refusal| refusal.to_string())?;
        let headers = match self.headers.as_deref() {
            Some(json) => parse_headers(json)?,
            None => BTreeMap::new(),
        };
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let signature = self.signature.as_deref();
        let signature = signature.map(SignatureScheme::parse).transpose()?;
        let signature = signature.unwrap_or_else(|| known.delivery.signature.clone());
        let signer = signer(
            &signature,
            self.secret.as_ref(),
            self.previous_secret.as_ref(),
            self.previous_ends.as_deref(),
        )?;
        let target = Target::new(&url, None, &headers)
            .and_then(|target| target.signed_by(signer))
            .map_err(|error| error.to_string())?;
        let filter = self.filter.as_deref().map(Filter::compile).transpose();
        let filter = filter.map_err(|error| format!("its filter: {error}"))?;
        if let Some(filter) = &filter {
            known.fits(filter, &pattern)?;
        }
        let payload = match self.payload.as_deref() {
            None => known.delivery.payload,
            Some(name) => PayloadFormat::parse(name)
                .ok_or_else(|| format!("no payload is called {name:?}"))?,
        };
        let usual = &known.delivery;
        let delivery = if (payload, &signature) == (usual.payload, &usual.signature) {
            Arc::clone(usual)
        } else {
            Arc::new(Delivery {
                payload,
                signature,
                ..(**usual).clone()
            })
        };
        Ok(Hook {
            id: self.id,
            owner: self.owner.map(Arc::from),
            events: [pattern].into(),
            filter: filter.map(Box::new),
            target,
            delivery,
            since: self.created_at,
            active: self.active,
            origin: Origin::Table,
        })
    }
}

/// What a row is checked against.
#[derive(Debug, Clone)]
pub struct Known {
    /// What applies where a row says nothing.
    pub delivery: Arc<Delivery>,
    /// Which targets are allowed.
    pub guard: Guard,
    /// All events that can happen.
    events: Vec<Arc<str>>,
    /// The names of the hooks in hooks.toml.
    file_hooks: Vec<String>,
    /// What expressions may look at, by event, as far as the events' tables are known. Those of messages are not in it.
    rows: HashMap<Arc<str>, Columns>,
}

impl Known {
    /// What `config` says. The tables of its events are not known yet.
    pub fn new(config: &config::Config, events: &EventMap) -> Self {
        let delivery = &config.delivery;
        Self {
            delivery: Arc::new(delivery.clone()),
            guard: Guard::new(delivery.allow_http, &delivery.allow_networks),
            events: events.names().to_vec(),
            file_hooks: config.hooks.iter().map(|hook| hook.name.clone()).collect(),
            rows: HashMap::new(),
        }
    }

    /// The table of these events looks like this, from now on.
    pub fn learn(&mut self, events: &TableEvents, relation: &Relation) {
        let columns = Columns::of(relation, |column| events.shape.name(column).is_some());
        for event in events.names() {
            self.rows.insert(Arc::clone(event), columns.clone());
        }
    }

    /// The tables of all events look as they do now.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn learn_all(&mut self, client: &Client, events: &EventMap) -> Result<()> {
        for table in events.tables() {
            let relation = Relation::find(client, table).await;
            let relation = relation.with_context(|| format!("read what {table} looks like"))?;
            if let (Some(events), Some(relation)) = (events.of_table(table), relation) {
                self.learn(events, &relation);
            }
        }
        Ok(())
    }

    /// Can the filter be asked of some event that the pattern matches? One that fits only some may be meant so.
    fn fits(&self, filter: &Filter, pattern: &Pattern) -> Result<(), String> {
        let mut misfit = None;
        for event in self.events.iter().filter(|event| pattern.matches(event)) {
            match filter.check(self.rows.get(event)) {
                Ok(()) => return Ok(()),
                Err(error) => misfit = misfit.or(Some(format!("its filter, on {event}: {error}"))),
            }
        }
        misfit.map_or(Ok(()), Err)
    }
}

/// The id of a streamed row, which is all that a deletion may carry.
///
/// # Errors
/// When the table has no such column, or the row has no id.
pub fn id_from_stream(columns: &HookColumns, relation: &Relation, tuple: &Tuple) -> Result<HookId> {
    let at = relation.column(&columns.id).with_context(|| {
        format!(
            "the hook table {} has no column {:?}",
            columns.table, columns.id
        )
    })?;
    let Some(Value::Text(id)) = tuple.get(at) else {
        anyhow::bail!(
            "a row of the hook table {} came without its {:?}",
            columns.table,
            columns.id
        );
    };
    let oid = relation.columns.get(at).map(|column| column.type_oid);
    let numeric = [Type::INT2, Type::INT4, Type::INT8]
        .iter()
        .any(|ty| Some(ty.oid()) == oid);
    Ok(HookId::new(
        String::from_utf8_lossy(id).into_owned(),
        numeric,
    ))
}

/// Reads all rows of the hook table, makes something of each, and hands it to `take`: there may be a million.
///
/// # Errors
/// When the table cannot be read.
pub async fn load_all<T: Send + 'static>(
    client: &Client,
    columns: &HookColumns,
    make: impl Fn(HookRow) -> T + Send + 'static,
    mut take: impl FnMut(T),
) -> Result<()> {
    let what = || format!("read the hook table {}", columns.table);
    let none: [&str; 0] = [];
    let rows = client.query_raw(&columns.select(), none).await;
    let rows = rows.with_context(what)?;
    // It is as much work as taking them, and goes on beside it.
    let (parcels, mut parcel) = mpsc::channel(PARCELS);
    let columns = columns.clone();
    let reading = AbortOnDropHandle::new(tokio::spawn(async move {
        let rows = rows.try_chunks(PARCEL);
        pin_mut!(rows);
        while let Some(rows) = rows.try_next().await.map_err(|error| error.1)? {
            let rows = rows.iter().map(|row| HookRow::from_sql(&columns, row));
            let rows = rows.map(|row| row.map(&make));
            // Nobody takes them any more where the other side has been dropped.
            let _ = parcels.send(rows.collect::<Result<Vec<_>>>()?).await;
        }
        anyhow::Ok(())
    }));
    while let Some(rows) = parcel.recv().await {
        for row in rows {
            take(row);
        }
    }
    reading.await.context("read hooks")?.with_context(what)
}

/// Reads one row of the hook table as it is now.
///
/// # Errors
/// When the table cannot be read. A row that is gone is `None`.
pub async fn load_one(
    client: &Client,
    columns: &HookColumns,
    id: &HookId,
) -> Result<Option<HookRow>> {
    let sql = format!(
        "{} where {}::text = $1",
        columns.select(),
        quote::name(&columns.id)
    );
    let row = client.query_opt(&sql, &[&id.as_str()]).await;
    let row = row.with_context(|| format!("read hook {id} of {}", columns.table))?;
    row.map(|row| HookRow::from_sql(columns, &row)).transpose()
}

fn is_true(text: &str) -> bool {
    matches!(text, "t" | "true")
}

/// What the row's secrets sign with; `None` where there is none.
fn signer(
    scheme: &SignatureScheme,
    secret: Option<&Secret>,
    previous: Option<&Secret>,
    previous_ends: Option<&str>,
) -> Result<Option<Signer>, String> {
    let Some(secret) = secret else {
        return match previous {
            Some(_) => Err("its previous secret stands without a secret".into()),
            None => Ok(None),
        };
    };
    let ends = previous_ends.map(parse_time).transpose()?.flatten();
    let signer = Signer::new(scheme, secret, previous.map(|previous| (previous, ends)));
    signer.map(Some).map_err(|error| error.to_string())
}

/// A time as Postgres writes it in our sessions, in UTC; `None`: infinity.
fn parse_time(text: &str) -> Result<Option<SystemTime>, String> {
    if text == "infinity" {
        return Ok(None);
    }
    let utc = text.strip_suffix("+00").unwrap_or(text);
    humantime::parse_rfc3339_weak(utc)
        .map(Some)
        .map_err(|_| format!("its previous secret expires at {text:?}, which is no time of ours"))
}

fn parse_headers(json: &str) -> Result<BTreeMap<String, Secret>, String> {
    let headers: BTreeMap<String, String> = serde_json::from_str(json)
        .map_err(|_| "its headers are not a JSON object of texts".to_owned())?;
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_postgres_writes_it() {
        let at = |micros| Some(SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        for (text, expected) in [
            ("1970-01-01 00:00:01+00", at(1_000_000)),
            ("2023-11-14 22:13:20.000001+00", at(1_700_000_000_000_001)),
            ("2023-11-14 22:13:20.5+00", at(1_700_000_000_500_000)),
            ("infinity", None),
        ] {
            assert_eq!(parse_time(text), Ok(expected), "{text}");
        }
        for text in ["", "-infinity", "0044-03-15 00:00:00+00 BC", "soon"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
