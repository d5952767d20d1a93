//! The raw client: posts signed bodies and does nothing else. It is a process of its own, as rowhook is.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use harness::SECRET;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use reqwest::Url;
use rowhook::{
    secret::Secret,
    signature::{SigningKey, seconds},
};

use super::{process, receiver::Receivers};

/// The size of a body in bytes, about that of rowhook's.
const BODY: usize = 500;

/// The result of the raw client.
pub struct Posted {
    /// Requests a second.
    pub rate: f64,
    /// Processor time for each request, in microseconds.
    pub cpu: f64,
}

/// The HTTP client that posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// reqwest, on which rowhook is built.
    Reqwest,
    /// hyper-util, on which reqwest is built.
    HyperUtil,
}

impl With {
    fn word(self) -> &'static str {
        match self {
            Self::Reqwest => "reqwest",
            Self::HyperUtil => "hyper-util",
        }
    }
}

/// Runs the raw client: it posts `requests` requests to the receivers in turn, `at_once` at a time.
pub fn measure(receivers: &Receivers, requests: u64, at_once: usize, with: With) -> Result<Posted> {
    let mut command = Command::new(std::env::current_exe()?);
    let (requests_word, at_once) = (requests.to_string(), at_once.to_string());
    command.args(["post", with.word(), &requests_word, &at_once]);
    let urls = (0..receivers.addresses.len()).map(|number| receivers.url(number));
    let output = command
        .args(urls)
        .output()
        .context("start the raw client")?;
    ensure!(
        output.status.success(),
        "the raw client failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer = String::from_utf8(output.stdout)?;
    let (seconds, cpu) = answer.trim().split_once(' ').context("half an answer")?;
    let (seconds, cpu): (f64, f64) = (seconds.parse()?, cpu.parse()?);
    Ok(Posted {
        rate: requests as f64 / seconds,
        cpu: cpu * 1e6 / requests as f64,
    })
}

/// The process: posts `args[1]` signed bodies, `args[2]` at a time, with the client `args[0]`, to the URLs that follow.
pub fn post(args: &[String]) -> Result<()> {
    let [with, requests, at_once, urls @ ..] = args else {
        bail!("post needs a client, a number of requests, how many at a time, and URLs");
    };
    let (requests, at_once): (u64, usize) = (requests.parse()?, at_once.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let started = Instant::now();
    let load = Load::new(requests, urls)?;
    runtime.block_on(async {
        if with == With::HyperUtil.word() {
            let client = Client::builder(TokioExecutor::new()).build_http();
            load.post(at_once, client, through_hyper).await
        } else {
            let client = reqwest::Client::builder();
            let client = client.no_proxy().tcp_nodelay(true).build()?;
            load.post(at_once, client, through_reqwest).await
        }
    })?;
    println!(
        "{} {}",
        started.elapsed().as_secs_f64(),
        process::cpu(std::process::id())?.as_secs_f64()
    );
    Ok(())
}

/// The work that the tasks of the client share.
struct Load {
    left: AtomicU64,
    urls: Vec<Url>,
    uris: Vec<Uri>,
    key: SigningKey,
    body: Bytes,
}

/// What differs from one request to the next.
struct Post {
    id: String,
    at: u64,
    signature: String,
}

impl Load {
    fn new(requests: u64, urls: &[String]) -> Result<Arc<Self>> {
        let parsed = urls.iter().map(|url| url.parse());
        Ok(Arc::new(Self {
            left: AtomicU64::new(requests),
            urls: parsed.collect::<Result<_, _>>()?,
            uris: urls
                .iter()
                .map(|url| url.parse())
                .collect::<Result<_, _>>()?,
            key: SigningKey::parse(&Secret::new(SECRET))?,
            body: Bytes::from(vec![b'x'; BODY]),
        }))
    }

    /// Posts until no request is left, `at_once` at a time.
    async fn post<C, F>(
        self: Arc<Self>,
        at_once: usize,
        client: C,
        through: fn(Arc<Self>, C, usize, Post) -> F,
    ) -> Result<()>
    where
        C: Clone + Send + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut tasks = Vec::new();
        for task in 0..at_once {
            let (load, client) = (Arc::clone(&self), client.clone());
            tasks.push(tokio::spawn(async move {
                let mut turn = task;
                while load.take() {
                    turn += 1;
                    let (id, at) = (format!("msg_{turn:032x}"), seconds(SystemTime::now()));
                    let signature = load.key.sign(&id, at, &load.body);
                    let to = turn % load.urls.len();
                    let post = Post { id, at, signature };
                    through(Arc::clone(&load), client.clone(), to, post).await?;
                }
                anyhow::Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(())
    }

    /// Takes one request off those that are left; false if there is none.
    fn take(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }
}

async fn through_reqwest(
    load: Arc<Load>,
    client: reqwest::Client,
    to: usize,
    post: Post,
) -> Result<()> {
    let answer = client
        .post(load.urls[to].clone())
        .header("content-type", "application/json")
        .header("webhook-id", &post.id)
        .header("webhook-timestamp", post.at)
        .header("webhook-signature", post.signature)
        .body(load.body.clone())
        .send()
        .await?
        .error_for_status()?;
    answer.bytes().await?;
    Ok(())
}

async fn through_hyper(
    load: Arc<Load>,
    client: Client<HttpConnector, Full<Bytes>>,
    to: usize,
    post: Post,
) -> Result<()> {
    let request = Request::post(load.uris[to].clone())
        .header("content-type", "application/json")
        .header("webhook-id", &post.id)
        .header("webhook-timestamp", post.at)
        .header("webhook-signature", post.signature)
        .body(Full::new(load.body.clone()))?;
    let answer = client.request(request).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    answer.into_body().collect().await?;
    Ok(())
}
