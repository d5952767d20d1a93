//! Reads rows of the hook table, and makes hooks of them.
//!
//! A row is read in two ways: from the table at the start, and from the stream when it changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use futures_util::{TryStreamExt, pin_mut};
use tokio::sync::mpsc;
use tokio_postgres::{Client, types::Type};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    Hook, HookId, Origin, events,
    sealed::SecretParts,
    shared::{Says, SharedDeliveries},
};
use crate::{
    config::{
        self, Auth, Certificate, Compression, Delivery, HookColumns, Limits, Pattern,
        PayloadFormat, Rate, Sealed, Secrets, Setting, SettingTexts, Tls, bounds,
        content::parse_user_agent,
        settings::{self, Settings},
        unfit::{Blame, Unfit},
    },
    event::{EventMap, TableEvents},
    expression::{filter::Filter, template::Template, typing::Columns},
    lookup::halves::Refusal,
    nearest::listed,
    postgres::{
        quote,
        relation::Relation,
        tuple::{Tuple, Value},
    },
    seal::MARK,
    secret::Secret,
    send::{
        guard::Guard,
        target::{BadTarget, Target},
    },
    signature::{SignatureScheme, Signer},
};

/// The number of rows that are read together.
const CHUNK: usize = 512;
/// The number of chunks that wait to be taken, beside the one that is being read.
const CHUNKS: usize = 2;
/// The number of columns that are read as text.
const TEXTS: usize = 21 + settings::TEXTS;

/// The columns that are read as text, in the order of [`HookRow::from_texts`]; `None`: the table has none of that kind.
fn texts(columns: &HookColumns) -> [Option<&str>; TEXTS] {
    let own = [
        Some(&columns.owner),
        columns.event.as_ref(),
        Some(&columns.target),
        columns.active.as_ref(),
        columns.secret.as_ref(),
        columns.previous_secret.as_ref(),
        columns.previous_secret_expires_at.as_ref(),
        columns.signature.as_ref(),
        columns.filter.as_ref(),
        columns.headers.as_ref(),
        columns.payload.as_ref(),
        columns.description.as_ref(),
        columns.invalid.as_ref(),
        columns.content.as_ref(),
        columns.content_type.as_ref(),
        columns.user_agent.as_ref(),
        columns.template.as_ref(),
        columns.rate.as_ref(),
        columns.certificate.as_ref(),
        columns.compress.as_ref(),
        columns.events.as_ref(),
    ];
    let settings = columns.settings.iter().map(Option::as_ref);
    let mut texts = [None; TEXTS];
    for (text, column) in texts.iter_mut().zip(own.into_iter().chain(settings)) {
        *text = column.map(String::as_str);
    }
    texts
}

/// The SQL that reads rows for [`HookRow::from_sql`].
fn select(columns: &HookColumns) -> String {
    let id = quote::name(&columns.id);
    let created = match &columns.created {
        // Neither of the two infinities is a number. A time without a time zone was taken from a clock in the zone of
        // the database, which is what this session had before its settings were pinned.
        Some(column) => format!(
            "(extract(epoch from case \
                when not isfinite({column}) then null \
                when pg_typeof({column}) = 'timestamptz'::regtype then {column}::timestamptz \
                else {column}::timestamp at time zone \
                    (select reset_val from pg_catalog.pg_settings where name = 'TimeZone') \
            end) * 1000000)::int8",
            column = quote::name(column)
        ),
        None => "null::int8".to_owned(),
    };
    let texts = texts(columns).map(|column| match column {
        // As the stream has it, whatever the session's settings are.
        Some(column) if Some(column) == columns.previous_secret_expires_at.as_deref() => format!(
            "case when isfinite({column}) then to_char({column} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') else {column}::text end",
            column = quote::name(column)
        ),
        Some(column) => format!("{}::text", quote::name(column)),
        None => "null::text".to_owned(),
    });
    format!(
        "select {id}::text, pg_typeof({id}) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype), {created}, {} from {}",
        texts.join(", "),
        quote::table(&columns.table),
    )
}

/// A row of the hook table, not checked yet.
#[derive(Debug, Clone)]
pub struct HookRow {
    /// The key of the row.
    pub id: HookId,
    /// Is it enabled?
    pub active: bool,
    /// Why it was invalid when it was last checked.
    pub invalid: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) event: Option<String>,
    pub(super) target: Option<String>,
    pub(super) secret: Option<Secret>,
    pub(super) previous_secret: Option<Secret>,
    previous_secret_expires_at: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) headers: Option<String>,
    pub(super) payload: Option<String>,
    pub(super) description: Option<String>,
    pub(super) content: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) template: Option<String>,
    pub(super) rate: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) compress: Option<String>,
    /// What only few rows have.
    pub(super) more: Option<Box<More>>,
    created_at: Option<SystemTime>,
}

/// What a row of the hook table says beyond what most of them do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct More {
    /// A list of events and patterns.
    pub(super) events: Option<String>,
    /// How it is sent.
    pub(super) settings: SettingTexts,
}

impl More {
    fn text(&self, setting: Setting) -> Option<&str> {
        self.settings.get(setting.place()?)?.as_deref()
    }

    /// Its credentials, and all else. Sealing writes their object anew.
    fn parts(&self) -> impl PartialEq + use<> {
        let mut rest = self.clone();
        let place = Setting::Auth.place();
        let auth = place.and_then(|place| rest.settings.get_mut(place)?.take());
        let auth =
            auth.map(|auth| serde_json::from_str::<serde_json::Value>(&auth).map_err(|_| auth));
        (auth, rest)
    }

    fn has_settings(&self) -> bool {
        self.settings.iter().any(Option::is_some)
    }
}

/// A row of the hook table, as the stream carries it.
#[derive(Debug)]
pub enum Streamed {
    /// The whole row.
    Row(Box<HookRow>),
    /// The stream left out a column, so the row has to be read from the table.
    Partial(HookId),
}

/// Where a row of the stream has what a column is named for.
enum Place {
    /// In this column.
    At(usize),
    /// Nowhere: the table did not have that column yet.
    NotYet,
    /// It is not known where.
    Unknown,
}

impl Place {
    /// The place of the column `name`, which may have had another name when the row was written.
    fn of(relation: &Relation, name: &str) -> Self {
        if let Some(at) = relation.column(name) {
            return Self::At(at);
        }
        let now = &relation.numbers;
        let Some(at) = now.iter().position(|(other, _)| other == name) else {
            return Self::Unknown;
        };
        let then = &relation.columns;
        let is_there = |name: &str| now.iter().any(|(other, _)| other == name);
        if then.iter().all(|column| is_there(&column.name)) {
            return Self::NotYet;
        }
        // Where no column has come or gone since, each is where it was, and this one had a name that is used no more.
        let is_same_shape = now.len() == then.len() && then.iter().all(|column| !column.generated);
        match then.get(at) {
            Some(column) if is_same_shape && !is_there(&column.name) => Self::At(at),
            _ => Self::Unknown,
        }
    }
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
        let mut texts_of_row = [const { None }; TEXTS];
        for (text, column) in texts_of_row.iter_mut().zip(texts(columns)) {
            let Some(column) = column else { continue };
            let at = match Place::of(relation, column) {
                Place::At(at) => at,
                // All hooks were active as long as there was no column for that.
                Place::NotYet if Some(column) == columns.active.as_deref() => {
                    *text = Some("true".to_owned());
                    continue;
                }
                Place::NotYet => continue,
                Place::Unknown => return Ok(Streamed::Partial(id)),
            };
            *text = match tuple.get(at) {
                Some(Value::Text(bytes)) => Some(cast_to_text(relation, at, bytes)),
                Some(Value::Null) => None,
                Some(Value::Unchanged) | None => return Ok(Streamed::Partial(id)),
            };
        }
        let row = Self::from_texts(columns, id, texts_of_row, None);
        Ok(Streamed::Row(Box::new(row)))
    }

    /// The row without the time when it was made: it is known where in the stream that was.
    #[must_use]
    pub fn undated(mut self) -> Self {
        self.created_at = None;
        self
    }

    /// Reads a row that [`select`] gave.
    fn from_sql(columns: &HookColumns, row: &tokio_postgres::Row) -> Result<Self> {
        let id: Option<String> = row.try_get(0)?;
        let id = HookId::new(id.context("a hook's id is null")?, row.try_get(1)?);
        let created: Option<i64> = row.try_get(2)?;
        let created = created
            .map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs()));
        let mut texts = [const { None }; TEXTS];
        for (at, text) in texts.iter_mut().enumerate() {
            *text = row.try_get(at + 3)?;
        }
        Ok(Self::from_texts(columns, id, texts, created))
    }

    /// A row with these values of the columns of [`texts`].
    fn from_texts(
        columns: &HookColumns,
        id: HookId,
        texts: [Option<String>; TEXTS],
        created_at: Option<SystemTime>,
    ) -> Self {
        let [
            owner,
            event,
            target,
            active,
            secret,
            previous_secret,
            previous_secret_expires_at,
            signature,
            filter,
            headers,
            payload,
            description,
            invalid,
            content,
            content_type,
            user_agent,
            template,
            rate,
            certificate,
            compress,
            events,
            settings @ ..,
        ] = texts;
        let more = More { events, settings };
        let says_more = more.events.is_some() || more.has_settings();
        let is_true = |text: &str| matches!(text, "t" | "true");
        Self {
            id,
            active: columns.active.is_none() || active.as_deref().is_some_and(is_true),
            invalid,
            owner,
            event,
            target,
            secret: secret.map(Secret::new),
            previous_secret: previous_secret.map(Secret::new),
            previous_secret_expires_at,
            signature,
            filter,
            headers,
            payload,
            description,
            content,
            content_type,
            user_agent,
            template,
            rate,
            certificate,
            compress,
            more: says_more.then(|| Box::new(more)),
            created_at,
        }
    }

    /// Whose rows the hook is sent; `None`: everyone's.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The bytes of its filter.
    pub fn filter_bytes(&self) -> usize {
        self.filter.as_deref().map_or(0, str::len)
    }

    /// The events and patterns that the row names, as they are written.
    ///
    /// # Errors
    /// When its list of events is none.
    pub fn event_names(&self) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = self.event.iter().cloned().collect();
        if let Some(text) = self.more.as_ref().and_then(|more| more.events.as_deref()) {
            names.extend(events::names(text)?);
        }
        Ok(names)
    }

    fn setting(&self, setting: Setting) -> Option<&str> {
        self.more.as_ref()?.text(setting)
    }

    /// Checks the row and makes it a hook.
    ///
    /// # Errors
    /// Why it cannot be a hook, in words for its owner.
    pub fn into_hook(self, constraints: &Constraints) -> Result<Hook, String> {
        self.fit(constraints).map_err(|unfit| unfit.reason)
    }

    /// As [`Self::into_hook`], and says which part of the row is to blame.
    ///
    /// # Errors
    /// Why it cannot be a hook.
    pub fn fit(mut self, constraints: &Constraints) -> Result<Hook, Unfit> {
        self.open(&constraints.secrets)?;
        let hook = self.into_hook_as_it_is(constraints)?;
        constraints.read_filter(&hook).blame("filter")?;
        Ok(hook)
    }

    /// As [`Self::into_hook`], but where something that is sealed cannot be opened, the hook hears what it would hear
    /// with it. It is not active, so that this is kept for it. Returns why it cannot be opened, too. Its filter, which
    /// takes its time, is not compiled: [`read_filter`](Constraints::read_filter) is still to be called.
    ///
    /// # Errors
    /// Why it cannot be a hook, whatever is sealed in it.
    pub fn into_hook_or_locked(
        mut self,
        constraints: &Constraints,
    ) -> Result<(Hook, Option<String>), String> {
        let locked = self.open(&constraints.secrets).err();
        if locked.is_some() {
            self.active = false;
            let mut parts = self.take_secret_parts();
            parts.clear();
            self.put_secret_parts(parts);
        }
        let hook = self.into_hook_as_it_is(constraints);
        Ok((hook.map_err(|unfit| unfit.reason)?, locked))
    }

    /// Whether this and another row are the same hook, but for how it is sealed. Only what both can be opened as
    /// counts.
    pub fn is_sealed_as(&self, other: &Self, keys: &Secrets) -> bool {
        match (self.opened(keys), other.opened(keys)) {
            (Some(one), Some(other)) => one.texts() == other.texts(),
            _ => false,
        }
    }

    /// Whether something is stored as it is that these columns are to hold sealed.
    pub fn has_plain(&self, which: Sealed) -> bool {
        which.any() && self.clone().take_secret_parts().has_plain(which)
    }

    /// All that decides what the hook is.
    fn texts(&self) -> impl PartialEq {
        let secret =
            |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        (
            (self.id.clone(), self.active, self.invalid.clone()),
            (self.owner.clone(), self.event.clone(), self.target.clone()),
            (secret(&self.secret), secret(&self.previous_secret)),
            (
                self.previous_secret_expires_at.clone(),
                self.signature.clone(),
                self.filter.clone(),
                // Sealing writes the object anew.
                self.headers.as_deref().map(|headers| {
                    serde_json::from_str::<serde_json::Value>(headers)
                        .map_err(|_| headers.to_owned())
                }),
            ),
            (
                self.payload.clone(),
                self.description.clone(),
                self.content.clone(),
            ),
            (
                self.content_type.clone(),
                self.user_agent.clone(),
                self.template.clone(),
                self.rate.clone(),
            ),
            (
                self.certificate.clone(),
                self.compress.clone(),
                self.more.as_ref().map(|more| more.parts()),
            ),
        )
    }

    /// All of the row that people change by hand: what the hook is, but for the secrets that it signs with, and for
    /// whether it is on. What is JSON is written in one way.
    pub fn edited(&self) -> Vec<Option<String>> {
        let anew = |json: &Option<String>| {
            let value = json
                .as_deref()
                .map(serde_json::from_str::<serde_json::Value>);
            match value {
                Some(Ok(value)) => Some(value.to_string()),
                _ => json.clone(),
            }
        };
        let own = [
            &self.owner,
            &self.event,
            &self.target,
            &self.filter,
            &self.payload,
            &self.content,
            &self.content_type,
            &self.rate,
            &self.user_agent,
            &self.certificate,
            &self.compress,
            &self.template,
            &self.signature,
            &self.description,
        ];
        let mut texts: Vec<Option<String>> = own.into_iter().cloned().collect();
        texts.push(anew(&self.headers));
        if let Some(more) = &self.more {
            texts.push(more.events.clone());
            texts.extend(more.settings.iter().map(anew));
        }
        texts
    }

    /// Where it is sent, with the credentials in that.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The headers that it adds.
    ///
    /// # Errors
    /// When they are not as they have to be.
    pub fn headers(&self) -> Result<BTreeMap<String, Secret>, String> {
        parse_headers(self.headers.as_deref())
    }

    /// The row with what is sealed in it opened; `None`: it cannot be.
    pub fn opened(&self, keys: &Secrets) -> Option<Self> {
        let mut row = self.clone();
        row.open(keys).ok().map(|()| row)
    }

    /// Opens what is sealed.
    fn open(&mut self, keys: &Secrets) -> Result<(), String> {
        let has_sealed = |text: Option<&str>| text.is_some_and(|text| text.contains(MARK));
        let texts = [
            self.secret.as_ref().map(Secret::expose),
            self.previous_secret.as_ref().map(Secret::expose),
            self.target.as_deref(),
            self.headers.as_deref(),
            self.setting(Setting::Auth),
        ];
        if !texts.into_iter().any(has_sealed) {
            return Ok(());
        }
        let mut parts = self.take_secret_parts();
        let opened = parts.open(self.id.as_str(), keys);
        self.put_secret_parts(parts);
        opened
    }

    fn take_secret_parts(&mut self) -> SecretParts {
        let text = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        SecretParts {
            secret: text(self.secret.take()),
            previous_secret: text(self.previous_secret.take()),
            target: self.target.take(),
            headers: self.headers.take(),
            auth: self.auth_mut().and_then(Option::take),
        }
    }

    /// Where its credentials stand, if it has a place for them.
    fn auth_mut(&mut self) -> Option<&mut Option<String>> {
        let settings = &mut self.more.as_mut()?.settings;
        settings.get_mut(Setting::Auth.place()?)
    }

    fn put_secret_parts(&mut self, parts: SecretParts) {
        self.secret = parts.secret.map(Secret::new);
        self.previous_secret = parts.previous_secret.map(Secret::new);
        (self.target, self.headers) = (parts.target, parts.headers);
        if let Some(auth) = self.auth_mut() {
            *auth = parts.auth;
        }
    }

    fn into_hook_as_it_is(self, constraints: &Constraints) -> Result<Hook, Unfit> {
        self.check_bounds()?;
        constraints.refuse_name_of_file(&self.id)?;
        let patterns = constraints.patterns(&self).blame("events")?;
        let target = self.target.as_deref().ok_or("its target is null");
        let url = Url::parse(target.blame("target")?);
        let url = url.map_err(|error| format!("its target is not a URL: {error}"));
        let url = url.blame("target")?;
        constraints.guard.check_url(&url).blame("target")?;
        let headers = parse_headers(self.headers.as_deref()).blame("headers")?;
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let signature = self.signature.as_deref().map(SignatureScheme::parse);
        let signature = signature.transpose().blame("signature")?;
        let signature = signature.unwrap_or_else(|| constraints.delivery.signature.clone());
        let signer = self.signer(&signature)?;
        let blamed = |bad: BadTarget| Unfit {
            part: bad.part(),
            reason: bad.to_string(),
        };
        let target = Target::new(&url, None, &headers)
            .and_then(|target| target.signed_by(signer))
            .map_err(blamed)?;
        let user_agent = self.user_agent.as_deref().map(parse_user_agent);
        let target = match user_agent.transpose().blame("user_agent")? {
            Some(user_agent) => target.with_user_agent(user_agent),
            None => target,
        };
        let settings = constraints.settings(&self)?;
        let (target, delivery) = match settings {
            Some(Settings {
                method,
                auth,
                delivery,
            }) => (
                target.with_method(method).with_auth(auth).map_err(blamed)?,
                Some(delivery),
            ),
            None => (target, None),
        };
        let certificate = constraints.certificate(&self, &url);
        let target = match certificate.blame("certificate")? {
            Some(tls) => target.with_tls(tls),
            None => target,
        };
        let filter = self.filter.as_deref().map(Filter::uncompiled).transpose();
        let filter = filter.map_err(|error| format!("its filter: {error}"));
        let filter = filter.blame("filter")?;
        constraints.allow(&self)?;
        let make = || constraints.delivery(&self, signature, delivery);
        let delivery = match self.says() {
            Some(says) => constraints.shared.of(says, make)?,
            None => make()?,
        };
        Ok(Hook {
            id: self.id,
            owner: self.owner.map(Arc::from),
            events: patterns,
            filter: filter.map(Arc::new),
            target,
            delivery,
            since: self.created_at,
            active: self.active,
            origin: Origin::Table,
        })
    }

    /// All that decides what [`Constraints::delivery`] makes of it; `None`: it says nothing of that.
    fn says(&self) -> Option<Says> {
        let own = [
            &self.payload,
            &self.content,
            &self.content_type,
            &self.rate,
            &self.compress,
            &self.template,
            &self.signature,
        ];
        if self.more.is_none() && own.iter().all(|text| text.is_none()) {
            return None;
        }
        let settings = self.more.iter().flat_map(|more| {
            let settings = Setting::ALL.into_iter().zip(&more.settings);
            // Neither is part of it, and credentials are kept nowhere else.
            let part = settings.filter(|(one, _)| !matches!(one, Setting::Method | Setting::Auth));
            part.map(|(_, text)| text)
        });
        let texts = own.into_iter().chain(settings).cloned();
        Some((self.owner.is_some(), texts.collect()))
    }

    /// Checks how large its texts are, before anything is made of them. [`Target::new`] checks the URL and the headers
    /// as they are sent.
    fn check_bounds(&self) -> Result<(), Unfit> {
        let secrets = [&self.secret, &self.previous_secret];
        let [secret, previous] = secrets.map(|secret| secret.as_ref().map(Secret::expose));
        for (part, bound, text) in [
            ("owner", bounds::OWNER, self.owner.as_deref()),
            ("events", bounds::EVENT, self.event.as_deref()),
            ("target", bounds::TARGET, self.target.as_deref()),
            ("secret", bounds::SECRET, secret),
            ("secret", bounds::SECRET, previous),
            ("signature", bounds::SIGNATURE, self.signature.as_deref()),
            ("payload", bounds::PAYLOAD, self.payload.as_deref()),
            ("content", bounds::CONTENT, self.content.as_deref()),
            (
                "content_type",
                bounds::CONTENT,
                self.content_type.as_deref(),
            ),
            ("rate", bounds::RATE, self.rate.as_deref()),
            ("certificate", bounds::NAME, self.certificate.as_deref()),
            ("compress", bounds::NAME, self.compress.as_deref()),
            ("user_agent", bounds::USER_AGENT, self.user_agent.as_deref()),
            ("template", bounds::TEMPLATE, self.template.as_deref()),
            ("filter", bounds::FILTER, self.filter.as_deref()),
            ("headers", bounds::HEADER_JSON, self.headers.as_deref()),
            (
                "description",
                bounds::DESCRIPTION,
                self.description.as_deref(),
            ),
        ] {
            text.map_or(Ok(()), |text| bound.check(text)).blame(part)?;
        }
        let Some(more) = &self.more else {
            return Ok(());
        };
        let settings = Setting::ALL.into_iter().zip(&more.settings);
        let settings = settings.map(|(setting, text)| (setting.name(), setting.bound(), text));
        for (part, bound, text) in settings.chain([("events", bounds::EVENTS, &more.events)]) {
            let text = text.as_deref();
            text.map_or(Ok(()), |text| bound.check(text)).blame(part)?;
        }
        Ok(())
    }

    /// The bytes of all names and values of its headers.
    fn header_bytes(&self) -> usize {
        let headers = parse_headers(self.headers.as_deref()).unwrap_or_default();
        let sizes = headers.iter();
        sizes
            .map(|(name, value)| name.len() + value.expose().len())
            .sum()
    }

    /// What the row's secrets sign with; `None` where it has none.
    fn signer(&self, scheme: &SignatureScheme) -> Result<Option<Signer>, String> {
        let previous = self.previous_secret.as_ref();
        let Some(secret) = &self.secret else {
            return match previous {
                Some(_) => Err("its previous secret stands without a secret".into()),
                None => Ok(None),
            };
        };
        let expires_at = self.previous_secret_expires_at.as_deref().map(parse_time);
        let expires_at = expires_at.transpose()?.flatten();
        let signer = Signer::new(
            scheme,
            secret,
            previous.map(|previous| (previous, expires_at)),
        );
        signer.map(Some).map_err(|error| error.to_string())
    }
}

/// What rows of the hook table are checked against.
#[derive(Debug, Clone)]
pub struct Constraints {
    /// The settings of hooks that say nothing else.
    pub delivery: Arc<Delivery>,
    /// The same for those of users, within their limits.
    of_users: Arc<Delivery>,
    /// Refuses targets that may not be called.
    pub guard: Guard,
    /// What hooks say alike of how they are sent.
    shared: SharedDeliveries,
    /// Opens what is sealed.
    pub secrets: Secrets,
    /// The columns whose values are to be sealed; none where there is no key for it.
    pub sealed: Sealed,
    /// What the hooks of users may have.
    limits: Limits,
    /// The client certificates that hooks may name.
    certificates: Vec<Certificate>,
    /// All events that can happen, in the order of the file.
    events: Vec<Arc<str>>,
    /// The same, sorted.
    sorted: BTreeSet<Arc<str>>,
    /// The names of the hooks in hooks.toml.
    file_hooks: HashSet<String>,
    /// The columns that filters may use, by event, as far as the tables are known. Events of messages are not in it.
    rows: HashMap<Arc<str>, Arc<Columns>>,
}

impl Constraints {
    /// The constraints of `config`. The tables of its events are not known yet.
    pub fn new(config: &config::Config, events: &EventMap) -> Self {
        let delivery = &config.delivery;
        let shared = Arc::new(delivery.clone());
        let of_users = match (delivery.rate, config.limits.rate) {
            (usual, Some(most)) if usual.is_none_or(|usual| usual.exceeds(most)) => {
                Arc::new(Delivery {
                    rate: Some(most),
                    ..delivery.clone()
                })
            }
            _ => Arc::clone(&shared),
        };
        Self {
            delivery: shared,
            of_users,
            shared: SharedDeliveries::default(),
            secrets: config.secrets.clone(),
            sealed: match config.secrets.is_set() {
                true => config.hook_columns().sealed,
                false => Sealed::default(),
            },
            limits: config.limits,
            certificates: config.certificates.clone(),
            guard: Guard::new(delivery.allow_http, &delivery.allow_networks),
            events: events.names().to_vec(),
            sorted: events.names().iter().cloned().collect(),
            file_hooks: config.hooks.iter().map(|hook| hook.name.clone()).collect(),
            rows: HashMap::new(),
        }
    }

    /// Takes over the columns of the table of these events.
    pub fn learn(&mut self, events: &TableEvents, relation: &Relation) {
        let columns = Columns::of(relation, |column| events.shape.name(column).is_some());
        let columns = Arc::new(columns);
        for event in events.names() {
            self.rows.insert(Arc::clone(event), Arc::clone(&columns));
        }
    }

    /// Reads the columns of the tables of all events as they are now.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn learn_all(&mut self, client: &Client, events: &EventMap) -> Result<()> {
        let relations = Relation::find_all(client, events.tables()).await;
        for (table, relation) in relations.context("read what the tables look like")? {
            if let Some(events) = events.of_table(&table) {
                self.learn(events, &relation);
            }
        }
        Ok(())
    }

    /// Refuses the name of a hook in hooks.toml, because the id would stand for two hooks.
    fn refuse_name_of_file(&self, id: &HookId) -> Result<(), String> {
        let id = id.as_str();
        if self.file_hooks.contains(id) {
            return Err(format!("its id {id:?} is the name of a hook in hooks.toml"));
        }
        Ok(())
    }

    /// The patterns that a row names, each of which must match an event.
    fn patterns(&self, row: &HookRow) -> Result<Arc<[Pattern]>, String> {
        let has_list = row.more.as_ref().is_some_and(|more| more.events.is_some());
        if !has_list {
            let event = row.event.as_deref().ok_or("its event is null")?;
            return Ok([self.pattern(event)?].into());
        }
        let names = row.event_names()?;
        bounds::check_event_names(names.len()).map_err(|error| error.to_string())?;
        let most = self.limits.events;
        if row.owner.is_some() && names.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(format!(
                "it names {} events, and may name {most} here; make another hook, or raise events in [limits]",
                names.len()
            ));
        }
        let mut patterns: Vec<Pattern> = Vec::with_capacity(names.len());
        let mut seen = HashSet::with_capacity(names.len());
        for name in &names {
            bounds::EVENT
                .check(name)
                .map_err(|error| error.to_string())?;
            if seen.insert(name) {
                patterns.push(self.pattern(name)?);
            }
        }
        match patterns.is_empty() {
            false => Ok(patterns.into()),
            true => Err("it names no event: its events are empty".into()),
        }
    }

    /// The pattern with this name, which must match an event.
    fn pattern(&self, event: &str) -> Result<Pattern, String> {
        let pattern = Pattern::parse(event)
            .ok_or_else(|| format!("{event:?} is neither an event nor a pattern"))?;
        if !pattern.matches_any(&self.sorted) {
            return Err(format!(
                "no event is called {event:?}; there are {}",
                listed(&self.events)
            ));
        }
        Ok(pattern)
    }

    /// Refuses what `[limits]` does not allow to users. Rows without an owner are the operator's.
    fn allow(&self, row: &HookRow) -> Result<(), Unfit> {
        if row.owner.is_none() {
            return Ok(());
        }
        for (found, most, name) in [
            (
                row.target.as_deref().map_or(0, str::len),
                self.limits.target,
                "target",
            ),
            (row.header_bytes(), self.limits.headers, "headers"),
            (
                row.description.as_deref().map_or(0, str::len),
                self.limits.description,
                "description",
            ),
        ] {
            if found > most {
                return Err(format!(
                    "its {name} has {found} bytes, and may have {most} here; shorten it, or raise {name} in [limits]"
                ))
                .blame(name);
            }
        }
        for (given, allowed, name) in [
            (&row.template, self.limits.template, "template"),
            (&row.user_agent, self.limits.user_agent, "user_agent"),
        ] {
            if given.is_some() && !allowed {
                return Err(format!(
                    "its {name} is not allowed here; remove it, or set {name} = true in [limits]"
                ))
                .blame(name);
            }
        }
        Ok(())
    }

    /// The settings of a hook of this owner that says nothing else.
    fn usual(&self, row: &HookRow) -> &Arc<Delivery> {
        match row.owner {
            None => &self.delivery,
            Some(_) => &self.of_users,
        }
    }

    /// What a row says of how it is sent, within the limits; `None`: nothing.
    fn settings(&self, row: &HookRow) -> Result<Option<Settings>, Unfit> {
        let Some(more) = row.more.as_ref().filter(|more| more.has_settings()) else {
            return Ok(None);
        };
        let settings = settings::read(&more.settings, self.usual(row))?;
        if let Some(Auth::Token(credentials)) = &settings.auth {
            let allowed = self.guard.check_url(&credentials.token_url);
            let allowed =
                allowed.map_err(|refusal| format!("its auth.oauth2.token_url: {refusal}"));
            allowed.blame("auth")?;
        }
        if row.owner.is_some() {
            self.bound_settings(more, &settings.delivery)?;
        }
        Ok(Some(settings))
    }

    /// Refuses settings beyond what `[limits]` allows to users. What comes from `[delivery]` is the operator's choice.
    fn bound_settings(&self, more: &More, delivery: &Delivery) -> Result<(), Unfit> {
        let limits = &self.limits;
        let count = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        let batch = delivery.batch;
        let gathers = batch.map_or(0, |batch| batch.max.get());
        let waits = batch.map_or(Duration::ZERO, |batch| batch.wait);
        for (setting, is_within, found, most, limit) in [
            (
                Setting::Timeout,
                delivery.timeout <= limits.timeout,
                format!("timeout is {:?}", delivery.timeout),
                format!("{:?}", limits.timeout),
                "timeout",
            ),
            (
                Setting::Concurrency,
                delivery.concurrency.get() <= count(limits.concurrency),
                format!("concurrency is {}", delivery.concurrency),
                limits.concurrency.to_string(),
                "concurrency",
            ),
            (
                Setting::MaxBody,
                delivery.max_body <= limits.max_body,
                format!("max_body is {} bytes", delivery.max_body),
                limits.max_body.to_string(),
                "max_body",
            ),
            (
                Setting::Batch,
                gathers <= count(limits.batch),
                format!("batch.max is {gathers}"),
                limits.batch.to_string(),
                "batch",
            ),
            (
                Setting::Batch,
                waits <= limits.batch_wait,
                format!("batch.wait is {waits:?}"),
                format!("{:?}", limits.batch_wait),
                "batch_wait",
            ),
        ] {
            if !is_within && more.text(setting).is_some() {
                return Err(format!(
                    "its {found}, and may be {most} here; lower it, or raise {limit} in [limits]"
                ))
                .blame(setting.name());
            }
        }
        Ok(())
    }

    /// `[delivery]`, or what a row says in place of that, with what the row says of its bodies, and this signature;
    /// shared where all of it is usual.
    fn delivery(
        &self,
        row: &HookRow,
        signature: SignatureScheme,
        own: Option<Delivery>,
    ) -> Result<Arc<Delivery>, Unfit> {
        let usual = self.usual(row);
        let content = usual
            .content
            .with(row.content.as_deref(), row.content_type.as_deref())
            .blame(match row.content_type {
                Some(_) => "content_type",
                None => "content",
            })?;
        let template = row.template.as_deref().map(Template::compile);
        let template = template.transpose();
        let template = template.map_err(|error| format!("its template: {error}"));
        let template = template.blame("template")?;
        let payload = match row.payload.as_deref() {
            None => usual.payload,
            Some(name) => PayloadFormat::parse(name)
                .ok_or_else(|| format!("no payload is called {name:?}"))
                .blame("payload")?,
        };
        let rate = match row.rate.as_deref() {
            None => usual.rate,
            Some(text) => Some(self.rate(row, text).blame("rate")?),
        };
        let compress = match row.compress.as_deref() {
            None => usual.compress,
            Some(text) => Compression::parse(text).blame("compress")?,
        };
        let is_usual = (payload, rate, compress, &signature, &content)
            == (
                usual.payload,
                usual.rate,
                usual.compress,
                &usual.signature,
                &usual.content,
            );
        if is_usual && template.is_none() && own.is_none() {
            return Ok(Arc::clone(usual));
        }
        Ok(Arc::new(Delivery {
            payload,
            signature,
            content,
            rate,
            compress,
            template_is_own: template.is_some(),
            template: template.map(Arc::new).or_else(|| usual.template.clone()),
            ..own.unwrap_or_else(|| Delivery::clone(usual))
        }))
    }

    /// The client certificate that a row names, if it may have that.
    fn certificate(&self, row: &HookRow, target: &Url) -> Result<Option<Tls>, String> {
        let Some(name) = row.certificate.as_deref() else {
            return Ok(None);
        };
        if target.scheme() != "https" {
            return Err(format!(
                "its certificate {name:?} is for a target with https; give it one, or remove the certificate"
            ));
        }
        let named = self.certificates.iter().find(|one| one.name == name);
        // To others, it does not say which there are.
        let named = named.filter(|one| one.is_for(row.owner.as_deref()));
        named.map(|one| Some(one.tls.clone())).ok_or_else(|| {
            format!(
                "its certificate {name:?} is none that it may use; have it added to [[certificates]] in hooks.toml, \
                 with its owner among owners"
            )
        })
    }

    /// The rate that a row names, if it may have that.
    fn rate(&self, row: &HookRow, text: &str) -> Result<Rate, String> {
        let rate = Rate::parse(text)
            .ok_or_else(|| format!("its rate is {text:?}; write {}", Rate::REMEDY))?;
        let most = self.limits.rate.filter(|_| row.owner.is_some());
        match most.filter(|most| rate.exceeds(*most)) {
            None => Ok(rate),
            Some(most) => Err(format!(
                "its rate is {rate}, and may be {most} here; lower it, or raise rate in [limits]"
            )),
        }
    }

    /// Compiles the filter of a hook, if it has one, and checks that it can be evaluated on events of the hook.
    ///
    /// # Errors
    /// Why it cannot be, in words for the owner of the hook.
    pub fn read_filter(&self, hook: &Hook) -> Result<(), String> {
        let Some(filter) = &hook.filter else {
            return Ok(());
        };
        filter
            .compiled()
            .map_err(|error| format!("its filter: {error}"))?;
        let mut patterns = hook.events.iter();
        patterns.try_for_each(|pattern| self.fits(filter, pattern))
    }

    /// Checks that the filter can be evaluated on at least one event that the pattern matches. One that fits only some
    /// of them may be intended.
    fn fits(&self, filter: &Filter, pattern: &Pattern) -> Result<(), String> {
        let mut misfit = None;
        for event in self.events.iter().filter(|event| pattern.matches(event)) {
            match filter.check(self.rows.get(event).map(|columns| &**columns)) {
                Ok(()) => return Ok(()),
                Err(error) => misfit = misfit.or(Some(format!("its filter, on {event}: {error}"))),
            }
        }
        misfit.map_or(Ok(()), Err)
    }
}

/// The id of a row in the stream, which is all that a deletion may carry.
///
/// # Errors
/// When the table has no such column, or the row has no id.
pub fn id_from_stream(columns: &HookColumns, relation: &Relation, tuple: &Tuple) -> Result<HookId> {
    let Place::At(at) = Place::of(relation, &columns.id) else {
        anyhow::bail!(
            "the hook table {} has no column {:?}",
            columns.table,
            columns.id
        );
    };
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
    Ok(HookId::new(cast_to_text(relation, at, id), numeric))
}

/// A value of the stream as `::text` writes it, so that a row is the same from the stream and from the table.
fn cast_to_text(relation: &Relation, at: usize, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match relation.columns.get(at) {
        Some(column) => column.cast_to_text(&text).to_owned(),
        None => text.into_owned(),
    }
}

/// Reads all rows of the hook table, and passes what `make` makes of each to `take`. The rows are never all in memory,
/// because there may be a million.
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
    let rows = client.query_raw(&select(columns), none).await;
    let rows = rows.with_context(what)?;
    // Making them is as much work as taking them, so a task of its own does it meanwhile.
    let (chunks, mut chunk) = mpsc::channel(CHUNKS);
    let columns = columns.clone();
    let reading = AbortOnDropHandle::new(tokio::spawn(async move {
        let rows = rows.try_chunks(CHUNK);
        pin_mut!(rows);
        while let Some(rows) = rows.try_next().await.map_err(|error| error.1)? {
            let rows = rows.iter().map(|row| HookRow::from_sql(&columns, row));
            let rows = rows.map(|row| row.map(&make));
            // This fails only if the receiver was dropped, and then nobody needs the rows.
            let _ = chunks.send(rows.collect::<Result<Vec<_>>>()?).await;
        }
        anyhow::Ok(())
    }));
    while let Some(rows) = chunk.recv().await {
        for row in rows {
            take(row);
        }
    }
    reading.await.context("read hooks")?.with_context(what)
}

/// Reads the rows of the hook table one after the other, which takes longer than [`load_all`], but a row that cannot be
/// read spoils no other, and not the transaction that this must be done in. `take` receives each row, or the reason why
/// it cannot be read with its id, where that can.
///
/// # Errors
/// When the connection is lost, or the table as a whole cannot be read.
pub async fn load_each(
    client: &Client,
    columns: &HookColumns,
    mut take: impl FnMut(Result<HookRow, (Option<HookId>, Refusal)>),
) -> Result<()> {
    let what = || format!("read the hook table {}", columns.table);
    let table = quote::table(&columns.table);
    let places = format!("select tableoid, ctid::text from {table}");
    let places = client.query(&places, &[]).await.with_context(what)?;
    let at = "where tableoid = $1 and ctid = $2::text::tid";
    let whole = format!("{} {at}", select(columns));
    let id = format!(
        "select {}::text from {table} {at}",
        quote::name(&columns.id)
    );
    for place in places {
        let (oid, place): (u32, &str) = (place.try_get(0)?, place.try_get(1)?);
        let read = async {
            client.batch_execute("savepoint hook_row").await?;
            let row = client.query_opt(&whole, &[&oid, &place]).await?;
            row.map(|row| HookRow::from_sql(columns, &row)).transpose()
        };
        let refusal = match read.await {
            Ok(Some(row)) => {
                take(Ok(row));
                continue;
            }
            // It is gone since, or has another place, which the stream tells.
            Ok(None) => continue,
            Err(error) => Refusal::of_any(error).with_context(what)?,
        };
        const BACK: &str = "rollback to savepoint hook_row";
        client.batch_execute(BACK).await.with_context(what)?;
        let id = match client.query_opt(&id, &[&oid, &place]).await {
            Ok(row) => row.and_then(|row| row.try_get::<_, String>(0).ok()),
            Err(error) => Refusal::of(error).map(|_| None).with_context(what)?,
        };
        client.batch_execute(BACK).await.with_context(what)?;
        take(Err((id.map(|id| HookId::new(id, false)), refusal)));
    }
    Ok(())
}

/// The SQL condition that a row has the id that a parameter holds as a text. Where the column holds numbers, their
/// index finds it among millions; what is none of them is found nowhere.
pub fn id_is(column: &str, is_number: bool, parameter: &str) -> String {
    let column = quote::name(column);
    match is_number {
        true => format!("{column} = {}", number_in(parameter)),
        false => format!("{column}::text = {parameter}"),
    }
}

/// The SQL for the number in a text, as Postgres writes numbers; null where it is none.
pub fn number_in(text: &str) -> String {
    format!(
        "case when {text}::text ~ '^(0|-?[1-9][0-9]{{0,18}})$' then case when {text}::text::numeric \
         between -9223372036854775808 and 9223372036854775807 then {text}::text::bigint end end"
    )
}

/// Reads one row of the hook table as it is now; `None`: there is none with this id.
///
/// # Errors
/// When the table cannot be read.
pub async fn load_one(
    client: &Client,
    columns: &HookColumns,
    id: &HookId,
) -> Result<Option<HookRow>> {
    let is_number = columns.is_own || id.is_number();
    let sql = format!(
        "{} where {}",
        select(columns),
        id_is(&columns.id, is_number, "$1")
    );
    let row = client.query_opt(&sql, &[&id.as_str()]).await;
    let row = row.with_context(|| format!("read hook {id} of {}", columns.table))?;
    row.map(|row| HookRow::from_sql(columns, &row)).transpose()
}

/// Reads a time as Postgres writes it in rowhook's sessions, in UTC. `None`: infinity.
fn parse_time(text: &str) -> Result<Option<SystemTime>, String> {
    if text == "infinity" {
        return Ok(None);
    }
    let utc = text.strip_suffix("+00").unwrap_or(text);
    humantime::parse_rfc3339_weak(utc)
        .map(Some)
        .map_err(|_| format!("its previous secret expires at {text:?}, which is no time of ours"))
}

fn parse_headers(json: Option<&str>) -> Result<BTreeMap<String, Secret>, String> {
    let Some(json) = json else {
        return Ok(BTreeMap::new());
    };
    let headers: BTreeMap<String, String> = serde_json::from_str(json)
        .map_err(|_| "its headers are not a JSON object of texts".to_owned())?;
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A row of rowhook's own table, with a time-out.
    fn row(id: &str, timeout: Option<&str>) -> HookRow {
        let columns = HookColumns::own("rowhook");
        let mut values = [const { None }; TEXTS];
        for (value, name) in values.iter_mut().zip(texts(&columns)) {
            *value = match name {
                Some("owner") => Some("7"),
                Some("event") => Some("a"),
                Some("target") => Some("https://example.com/hook"),
                Some("active") => Some("t"),
                Some("timeout") => timeout,
                _ => None,
            }
            .map(str::to_owned);
        }
        HookRow::from_texts(&columns, HookId::new(id, true), values, None)
    }

    #[test]
    fn what_many_rows_say_is_in_memory_once_and_what_they_do_not_say_is_not() {
        let text = "database.url = \"host=h\"\nevents.a = \"b.created\"";
        let config = config::Config::parse(Path::new("hooks.toml"), text, &|_| None);
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let constraints = Constraints::new(&config, &EventMap::new(&config));
        let hook = |id, timeout| row(id, timeout).into_hook(&constraints).unwrap();
        assert!(row("1", None).more.is_none());
        let plain = hook("1", None);
        assert!(Arc::ptr_eq(&plain.delivery, &constraints.delivery));
        let [one, other] = ["2", "3"].map(|id| hook(id, Some("5s")));
        assert_eq!(one.delivery.timeout, Duration::from_secs(5));
        assert!(Arc::ptr_eq(&one.delivery, &other.delivery));
        let reason = row("4", Some("2m")).into_hook(&constraints).unwrap_err();
        assert!(reason.starts_with("its timeout is 120s, and may be 60s here"));
        // There may be a million.
        assert!(size_of::<Hook>() <= 208, "{}", size_of::<Hook>());
    }

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
