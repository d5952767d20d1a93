//! The raw client: what reqwest posts when it has nothing else to do. A process of its own, as rowhook is.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use reqwest::{Client, Url};
use rowhook::{
    config::Secret,
    signature::{SigningKey, seconds},
};

use super::{process, receiver::Receivers, source::SECRET};

/// A body of rowhook's size.
const BODY: usize = 500;

/// What the raw client did.
pub struct Posted {
    /// Requests in a second.
    pub rate: f64,
    /// Microseconds of processors for each request.
    pub cpu: f64,
}

/// Has the raw client post `requests` to each of the receivers in turn, so many at a time.
pub fn measure(receivers: &Receivers, requests: u64, at_once: usize) -> Result<Posted> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["post", &requests.to_string(), &at_once.to_string()]);
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

/// The process: posts `args[0]` signed bodies, `args[1]` at a time, to the URLs that follow.
pub fn post(args: &[String]) -> Result<()> {
    let [requests, at_once, urls @ ..] = args else {
        bail!("post needs a number of requests, how many at a time, and URLs");
    };
    let (requests, at_once): (u64, usize) = (requests.parse()?, at_once.parse()?);
    let urls = urls
        .iter()
        .map(|url| url.parse())
        .collect::<Result<Vec<Url>, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let seconds = runtime.block_on(post_all(requests, at_once, urls))?;
    println!(
        "{} {}",
        seconds.as_secs_f64(),
        process::cpu(std::process::id())?.as_secs_f64()
    );
    Ok(())
}

async fn post_all(requests: u64, at_once: usize, urls: Vec<Url>) -> Result<Duration> {
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let key = SigningKey::parse(&Secret::new(SECRET))?;
    let (left, urls) = (Arc::new(AtomicU64::new(requests)), Arc::new(urls));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..at_once {
        let (client, key) = (client.clone(), key.clone());
        let (left, urls) = (Arc::clone(&left), Arc::clone(&urls));
        tasks.push(tokio::spawn(async move {
            let body = Bytes::from(vec![b'x'; BODY]);
            let mut turn = task;
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
            {
                turn += 1;
                let (id, at) = (format!("msg_{turn:032x}"), seconds(SystemTime::now()));
                let answer = client
                    .post(urls[turn % urls.len()].clone())
                    .header("content-type", "application/json")
                    .header("webhook-id", &id)
                    .header("webhook-timestamp", at)
                    .header("webhook-signature", key.sign(&id, at, &body))
                    .body(body.clone())
                    .send()
                    .await?
                    .error_for_status()?;
                answer.bytes().await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(started.elapsed())
}
