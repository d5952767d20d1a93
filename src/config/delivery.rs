//! `[delivery]`: its defaults, and the keys of it that a hook may set for itself.

use super::batch::Batch;
use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    batch,
    compression::{self, Compression},
    content,
    content::Content,
    proxy,
    proxy::Proxy,
    rate::{self, Rate},
    reader::{Keys, Table, Value},
    retries, signature,
};
use crate::{expression::template::Template, signature::SignatureScheme};

/// `[delivery]`, with what a hook sets for itself in place of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The time-out of a request, from the start of connecting to the last byte of the answer. Default 15 s.
    pub timeout: Duration,
    /// The pauses between attempts; empty: there is only one attempt. Default: the schedule of Standard Webhooks.
    pub retries: Vec<Duration>,
    /// Which events must arrive in commit order. Default `row`.
    pub order: Order,
    /// The most requests in flight of one hook. Default 16.
    pub concurrency: NonZeroUsize,
    /// The most bytes of a body. A larger one is replaced by a thin one, which holds only the key. Default 20 MiB.
    pub max_body: usize,
    /// The time for which dead deliveries and those of disabled hooks are kept. Default 30 days.
    pub retention: Duration,
    /// When a failing hook is disabled. Default: after 5 days.
    pub disable_after: DisableAfter,
    /// The format of bodies. Default `rest-hooks`.
    pub payload: PayloadFormat,
    /// How bodies are encoded, and the content type that says so.
    pub content: Content,
    /// What makes the data in place of the plain row, unless the table has a template of its own. Default: the row.
    pub template: Option<Arc<Template>>,
    /// Is that the hook's own template, which counts before that of the table?
    pub template_is_own: bool,
    /// How bodies are signed. Default `standard`.
    pub signature: SignatureScheme,
    /// The most requests of one hook in a time; `None`: as many as its endpoint takes, which is the default.
    pub rate: Option<Rate>,
    /// Whether bodies are compressed. Default: they are not.
    pub compress: Compression,
    /// How deliveries are gathered into one request; `None`: each is sent alone, which is the default.
    pub batch: Option<Batch>,
    /// Are targets without TLS allowed? Default false.
    pub allow_http: bool,
    /// Networks that targets may be in although they are not public. Default none.
    pub allow_networks: Vec<IpNet>,
    /// The name servers that are asked for the hosts of targets. Default: those of the system.
    pub resolver: Vec<SocketAddr>,
    /// The proxy through which requests leave. Default none.
    pub proxy: Option<Proxy>,
    /// The most bytes of deliveries, and of large rows that are being read, that are in memory at once. Default 64 MiB.
    pub memory: usize,
    /// The time for which a shutdown waits for requests in flight. Default 20 s.
    pub grace: Duration,
}

/// Which events of a hook must arrive in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Events of the same row arrive in commit order.
    #[default]
    Row,
    /// All events of the hook arrive in commit order.
    Hook,
    /// Events may arrive in any order.
    None,
}

/// When a failing hook is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableAfter {
    /// After this time without a success.
    Time(Duration),
    /// After this many failures in a row.
    Failures(u32),
}

const ORDERS: [(&str, Order); 3] = [
    ("row", Order::Row),
    ("hook", Order::Hook),
    ("none", Order::None),
];

impl Order {
    /// The word for it in hooks.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Hook => "hook",
            Self::None => "none",
        }
    }
}

/// The format of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PayloadFormat {
    /// `{"hook": {"id", "event", "target"}, "data": ROW}`
    #[default]
    RestHooks,
    /// `{"type", "timestamp", "data", …}`
    Standard,
    /// What django-rest-hooks sends for a model without `serialize_hook`.
    Django,
    /// CloudEvents 1.0, in structured JSON.
    Cloudevents,
    /// What a version of NetBox sends as its webhooks.
    Netbox(NetboxVersion),
    /// The row alone.
    Row,
}

/// From which version of NetBox on webhooks look so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum NetboxVersion {
    /// 2.11 to 4.3: with `model`.
    V4_3,
    /// With `object_type` and `model`.
    V4_4,
    /// With `object_type` alone.
    V4_5,
    /// With `request` too.
    #[default]
    V4_6,
    /// Without `username` and `request_id`, which are in `request`.
    V4_7,
}

const NETBOX_VERSIONS: [(&str, NetboxVersion); 5] = [
    ("4.3", NetboxVersion::V4_3),
    ("4.4", NetboxVersion::V4_4),
    ("4.5", NetboxVersion::V4_5),
    ("4.6", NetboxVersion::V4_6),
    ("4.7", NetboxVersion::V4_7),
];

const DNS_PORT: u16 = 53;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MEBIBYTE: usize = 1 << 20;

pub(super) const KEYS: Keys = Keys {
    known: &[
        "timeout",
        "retries",
        "order",
        "concurrency",
        "rate",
        "max_body",
        "retention",
        "disable_after",
        "payload",
        "version",
        "content",
        "content_type",
        "template",
        "signature",
        "batch",
        "compress",
        "allow_http",
        "allow_networks",
        "resolver",
        "proxy",
        "memory",
        "grace",
    ],
    later: &[],
};

/// The defaults of `[delivery]`.
impl Delivery {
    /// These settings where so many databases share the memory. Each has a part of its own, so that one whose
    /// deliveries cannot be parked does not keep the others waiting.
    pub(super) fn shared_by(mut self, databases: usize) -> Self {
        self.memory = (self.memory / databases.max(1)).max(MEBIBYTE);
        self
    }
}

impl Default for Delivery {
    fn default() -> Self {
        let schedule = [
            5,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
            14 * HOUR,
            20 * HOUR,
            24 * HOUR,
        ];
        Self {
            timeout: Duration::from_secs(15),
            retries: schedule.map(Duration::from_secs).to_vec(),
            order: Order::Row,
            concurrency: NonZeroUsize::MIN.saturating_add(15),
            max_body: 20 * MEBIBYTE,
            retention: Duration::from_secs(30 * DAY),
            disable_after: DisableAfter::Time(Duration::from_secs(5 * DAY)),
            payload: PayloadFormat::RestHooks,
            content: Content::default(),
            template: None,
            template_is_own: false,
            signature: SignatureScheme::Standard,
            rate: None,
            compress: Compression::None,
            batch: None,
            allow_http: false,
            allow_networks: Vec::new(),
            resolver: Vec::new(),
            proxy: None,
            memory: 64 * MEBIBYTE,
            grace: Duration::from_secs(20),
        }
    }
}

/// `[delivery]` over its defaults.
pub(super) fn read(table: &Table<'_>) -> Delivery {
    let mut delivery = overlay(table, &Delivery::default());
    if let Some(value) = table.find("retention") {
        set(&mut delivery.retention, value.positive_duration());
    }
    if let Some(value) = table.find("allow_http") {
        set(&mut delivery.allow_http, value.flag());
    }
    if let Some(value) = table.find("allow_networks") {
        set(&mut delivery.allow_networks, networks(value));
    }
    if let Some(value) = table.find("resolver") {
        set(&mut delivery.resolver, name_servers(value));
    }
    if let Some(value) = table.find("proxy") {
        delivery.proxy = proxy::read(value);
    }
    if let Some(value) = table.find("memory") {
        set(&mut delivery.memory, value.size(MEBIBYTE, "1MiB"));
    }
    if let Some(value) = table.find("grace") {
        set(&mut delivery.grace, value.duration());
    }
    delivery
}

/// `base` with the keys that `table` sets, of those that `[delivery]` and a hook share.
pub(super) fn overlay(table: &Table<'_>, base: &Delivery) -> Delivery {
    let mut delivery = base.clone();
    if let Some(value) = table.find("timeout") {
        set(&mut delivery.timeout, value.positive_duration());
    }
    if let Some(value) = table.find("retries") {
        set(&mut delivery.retries, retries::read(value));
    }
    if let Some(value) = table.find("order") {
        set(&mut delivery.order, value.choice(&ORDERS));
    }
    if let Some(value) = table.find("concurrency") {
        let count = value.count().and_then(|count| usize::try_from(count).ok());
        set(&mut delivery.concurrency, count.and_then(NonZeroUsize::new));
    }
    if let Some(value) = table.find("rate") {
        set(&mut delivery.rate, rate::read(value));
    }
    if let Some(value) = table.find("max_body") {
        set(&mut delivery.max_body, value.size(1, "1B"));
    }
    if let Some(value) = table.find("payload") {
        set(&mut delivery.payload, payload(value));
    }
    if let Some(value) = table.find("version") {
        let of_version = version(value, delivery.payload);
        set(&mut delivery.payload, of_version);
    }
    content::overlay(table, &mut delivery.content);
    if let Some(value) = table.find("template") {
        delivery.template = content::template(value).map(Arc::new);
    }
    if let Some(value) = table.find("signature") {
        set(&mut delivery.signature, signature::read(value));
    }
    if let Some(value) = table.find("batch") {
        set(&mut delivery.batch, batch::read(value));
    }
    if let Some(value) = table.find("compress") {
        set(&mut delivery.compress, compression::read(value));
    }
    if let Some(value) = table.find("disable_after") {
        set(&mut delivery.disable_after, disable_after(value));
    }
    delivery
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

pub(super) fn networks(value: &Value<'_>) -> Option<Vec<IpNet>> {
    let network = |value: &Value<'_>| {
        let text = value.string()?;
        let network = text.parse::<IpNet>().ok();
        if network.is_none() {
            value.wrong(format!(
                "{} is no network; write an address and a prefix, such as \"127.0.0.0/8\"",
                value.quote(&text)
            ));
        }
        network.map(|network| network.trunc())
    };
    value.list_of("a list such as [\"127.0.0.0/8\"]", network)
}

/// Addresses of name servers, with or without a port.
fn name_servers(value: &Value<'_>) -> Option<Vec<SocketAddr>> {
    let server = |value: &Value<'_>| {
        let text = value.string()?;
        let alone = text.parse::<IpAddr>().ok();
        let server = alone.map(|address| SocketAddr::from((address, DNS_PORT)));
        let server = server.or_else(|| text.parse().ok());
        if server.is_none() {
            value.wrong(format!(
                "{} is no name server; write an IP address, with a port if it is not {DNS_PORT}",
                value.quote(&text)
            ));
        }
        server
    };
    value.list_of("a list such as [\"10.0.0.53\"]", server)
}

const PAYLOADS: [(&str, PayloadFormat); 6] = [
    ("rest-hooks", PayloadFormat::RestHooks),
    ("standard", PayloadFormat::Standard),
    ("django", PayloadFormat::Django),
    ("cloudevents", PayloadFormat::Cloudevents),
    ("netbox", PayloadFormat::Netbox(NetboxVersion::V4_6)),
    ("row", PayloadFormat::Row),
];

fn payload(value: &Value<'_>) -> Option<PayloadFormat> {
    value.choice(&PAYLOADS)
}

/// The version of NetBox whose webhooks are sent.
fn version(value: &Value<'_>, payload: PayloadFormat) -> Option<PayloadFormat> {
    let version = value.choice(&NETBOX_VERSIONS)?;
    if !matches!(payload, PayloadFormat::Netbox(_)) {
        value.wrong(format!(
            "{} is that of NetBox; write payload = \"netbox\" beside it, or leave it out",
            value.key
        ));
    }
    Some(PayloadFormat::Netbox(version))
}

impl PayloadFormat {
    /// Reads `rest-hooks`, `standard`, `django`, `cloudevents`, `netbox` or `row`; and `netbox-4.4` and so on, for the
    /// webhooks of that version.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(version) = text.strip_prefix("netbox-") {
            let named = NETBOX_VERSIONS.iter().find(|(name, _)| *name == version);
            return named.map(|(_, version)| Self::Netbox(*version));
        }
        let named = PAYLOADS.iter().find(|(name, _)| *name == text);
        named.map(|(_, format)| *format)
    }

    /// The name that [`Self::parse`] reads.
    pub fn name(self) -> String {
        let of_version = |(name, version): (&str, NetboxVersion)| {
            (self == Self::Netbox(version)).then(|| format!("netbox-{name}"))
        };
        let named = Self::all().find(|(_, format)| *format == self);
        let named = named.map(|(name, _)| name.to_owned());
        let named = named.or_else(|| NETBOX_VERSIONS.into_iter().find_map(of_version));
        named.unwrap_or_default()
    }

    /// All formats with their names.
    pub fn all() -> impl Iterator<Item = (&'static str, Self)> {
        PAYLOADS.into_iter()
    }
}

fn disable_after(value: &Value<'_>) -> Option<DisableAfter> {
    if value.is_integer() {
        value.count().map(DisableAfter::Failures)
    } else if value.is_string() {
        value.positive_duration().map(DisableAfter::Time)
    } else {
        value.mistyped("a duration such as \"5d\", or a number of failures");
        None
    }
}
