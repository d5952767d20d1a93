//! Hooks of somebody who means harm to all others: one kind for each thing that a hook or its endpoint can do.

use std::time::Duration;

use axum::{Router, http::StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::interval,
};

use crate::Gate;

/// The endpoints of hostile hooks, and what each kind of hook is made of.
#[derive(Debug)]
#[must_use = "its endpoints go when it is dropped"]
pub struct Hostile {
    /// All kinds of hooks.
    pub kinds: Vec<Kind>,
    _gate: Gate,
    servers: Vec<JoinHandle<()>>,
}

/// What hooks are made of that do one kind of harm.
#[derive(Debug, Clone)]
pub struct Kind {
    /// What they do, in a few words.
    pub name: &'static str,
    event: &'static str,
    /// `{n}` in it stands for the number of the hook.
    target: String,
    filter: Option<String>,
    /// An expression of SQL.
    headers: Option<&'static str>,
    template: Option<&'static str>,
}

impl Hostile {
    /// Opens the endpoints.
    pub async fn open() -> Self {
        let mut servers = Vec::new();
        let mut open = async |endpoint: Endpoint| {
            let (url, server) = endpoint.open().await;
            servers.push(server);
            url
        };
        let fine = open(Endpoint::Answers(200)).await;
        let gate = Gate::closed().await;
        let mut kinds = Vec::new();
        for (name, target) in [
            ("never answers", gate.url()),
            ("does not speak", open(Endpoint::Says(b"", None)).await),
            ("body never ends", open(Endpoint::Says(HEAD, CRUMB)).await),
            (
                "head never ends",
                open(Endpoint::Says(HALF_A_HEAD, CRUMB)).await,
            ),
            (
                "speaks no HTTP",
                open(Endpoint::Says(b"\0\xff\r\n\r\n", None)).await,
            ),
            ("gone", open(Endpoint::Answers(410)).await),
            ("wants a pause", open(Endpoint::Answers(429)).await),
            ("fails", open(Endpoint::Answers(500)).await),
            ("refuses", "http://127.0.0.1:1/".into()),
            ("silent name server", "http://{n}.silent.test/".into()),
            ("inner network", "http://10.0.0.1/".into()),
            ("no target", "not a target".into()),
            (
                "long target",
                format!("http://127.0.0.1:1/{}", "x".repeat(66_000)),
            ),
        ] {
            kinds.push(Kind::named(name, &target));
        }
        for (name, filter) in filters() {
            let filter = Some(filter);
            kinds.push(Kind {
                filter,
                ..Kind::named(name, &fine)
            });
        }
        for (name, headers) in HEADERS {
            kinds.push(Kind {
                headers: Some(headers),
                ..Kind::named(name, &fine)
            });
        }
        for (name, template) in TEMPLATES {
            kinds.push(Kind {
                template: Some(template),
                ..Kind::named(name, &fine)
            });
        }
        Self {
            kinds,
            _gate: gate,
            servers,
        }
    }

    /// A hook that does no harm, at an endpoint of the same process.
    pub async fn harmless(&mut self) -> Kind {
        let (url, server) = Endpoint::Answers(200).open().await;
        self.servers.push(server);
        Kind::named("harmless", &url)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Kind {
    fn named(name: &'static str, target: &str) -> Self {
        Self {
            name,
            event: "*",
            target: target.to_owned(),
            filter: None,
            headers: None,
            template: None,
        }
    }

    /// The statement that makes the hook of this number, for this owner.
    pub fn insert(&self, number: usize, owner: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let or_null = |text: Option<&str>| text.map_or("null".to_owned(), quoted);
        format!(
            "insert into rowhook.hook (owner, event, target, filter, headers, template) \
             values ('{owner}', '{}', {}, {}, {}, {})",
            self.event,
            quoted(&self.target.replace("{n}", &number.to_string())),
            or_null(self.filter.as_deref()),
            self.headers.unwrap_or("null"),
            or_null(self.template),
        )
    }
}

/// What an endpoint does with whoever comes.
enum Endpoint {
    /// It answers each request with this status.
    Answers(u16),
    /// It says this once on each connection, and a byte more each time that this has passed.
    Says(&'static [u8], Option<Duration>),
}

const CRUMB: Option<Duration> = Some(Duration::from_millis(200));
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
const HALF_A_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nx-header: ";

impl Endpoint {
    async fn open(self) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = match self {
            Self::Answers(status) => {
                let status = StatusCode::from_u16(status).unwrap();
                let app = Router::new().fallback(move || async move { status });
                tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
            }
            Self::Says(what, crumb) => tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(speak(stream, what, crumb));
                }
            }),
        };
        (url, server)
    }
}

/// Says this, and a byte more each time that `crumb` has passed, until the other side hangs up.
async fn speak(mut stream: TcpStream, what: &'static [u8], crumb: Option<Duration>) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(what).await;
    if let Some(crumb) = crumb {
        let mut crumbs = interval(crumb);
        while stream.write_all(b"x").await.is_ok() {
            crumbs.tick().await;
        }
    }
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
}

/// Filters that take as much as they may, each with what it does.
fn filters() -> Vec<(&'static str, String)> {
    let matches = "!new.title.matches(\"(?:[ab]*a){9}[ab]{9}c\")";
    vec![
        ("loops in loops", nested("all", 8, 100, "true")),
        ("longer loops in loops", nested("all", 10, 190, "true")),
        (
            "lists of lists",
            format!("{} == []", nested("map", 5, 100, "[1, 2, 3]")),
        ),
        ("patterns in loops", nested("all", 4, 100, matches)),
        (
            "a costly pattern",
            "new.title.matches(\"(((a*)*b)*)*c\")".into(),
        ),
        ("no filter", "((((((((((".into()),
    ]
}

/// Macros within each other, over lists of ones.
fn nested(name: &str, levels: usize, items: usize, innermost: &str) -> String {
    let list = format!("[{}]", vec!["1"; items].join(","));
    let open: String = (0..levels)
        .map(|level| format!("{list}.{name}(v{level}, "))
        .collect();
    format!("{open}{innermost}{}", ")".repeat(levels))
}

const HEADERS: [(&str, &str); 2] = [
    (
        "headers by the thousand",
        "(select jsonb_object_agg('x-' || n, 'v') from generate_series(1, 24577) as n)",
    ),
    (
        "large headers",
        "(select jsonb_object_agg('x-' || n, repeat('v', 200)) from generate_series(1, 100) as n)",
    ),
];

const TEMPLATES: [(&str, &str); 4] = [
    (
        "a template of loops",
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
    ),
    (
        "a template that calls itself",
        "{% macro again() %}{{ again() }}{{ again() }}{% endmacro %}{{ again() }}",
    ),
    (
        "a template of what is not there",
        "{{ data.nothing.at.all }}",
    ),
    (
        "a template of a thousand rows",
        "[{% for a in range(999) %}{{ data }},{% endfor %}{{ data }}]",
    ),
];
