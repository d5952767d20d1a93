//! Attempts as spans of OpenTelemetry: gathered here, and sent to a collector once a second.
//!
//! No delivery ever waits for that. What is gathered is bounded; what goes beyond, and what the collector does not
//! take, is dropped and counted.

mod otlp;
mod span;

use std::{
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use reqwest::{Client, header::CONTENT_TYPE, redirect};
use tokio::sync::Notify;

pub use self::span::Ended;
use self::span::{Of, Span};
use crate::{
    config,
    delivery::{Delivery, load::Load},
    lock::lock,
    meters::Meters,
    send::traceparent,
};

/// The longest time between two requests to the collector.
const PAUSE: Duration = Duration::from_secs(1);
/// The most spans that wait to be sent.
const SPANS: usize = 8192;
/// The most spans of one request. With that many, it is made at once.
const TOGETHER: usize = 2048;
/// How long the collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gathers spans until they are sent.
#[derive(Debug)]
pub struct Traces {
    rules: config::Tracing,
    client: Client,
    meters: Arc<Meters>,
    pending: Mutex<Vec<Span>>,
    /// Notified when there are enough spans for a request.
    enough: Notify,
    /// Whether the last request to the collector failed. Locked while spans are sent, so that the last request waits
    /// for the one before it.
    failing: tokio::sync::Mutex<bool>,
}

impl Traces {
    /// Prepares to send spans as `rules` say.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(rules: &config::Tracing, meters: Arc<Meters>) -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT);
        Ok(Self {
            rules: rules.clone(),
            client: client.build().context("make the HTTP client for spans")?,
            meters,
            pending: Mutex::default(),
            enough: Notify::new(),
            failing: tokio::sync::Mutex::default(),
        })
    }

    /// Begins a span in the trace of this `webhook-id`.
    pub fn begin(&self, id: &str) -> traceparent::Context {
        traceparent::Context::new(id, rand::random(), self.rules.sample)
    }

    /// Gathers the span of a request that has ended. Where the request carried an array, each of its deliveries has a
    /// span in a trace of its own as well, with a link to the span of the request.
    pub fn record(
        &self,
        context: traceparent::Context,
        load: &Load,
        deliveries: &[Delivery],
        ended: &Ended<'_>,
    ) {
        let of = |delivery: &Delivery| Of::Delivery {
            event: Arc::clone(&delivery.event),
            number: delivery.attempts,
        };
        match (&load.members, deliveries) {
            (None, [delivery]) => self.add(ended.span(context, None, &load.id, of(delivery))),
            (_, deliveries) => {
                let array = Of::Array(deliveries.len());
                self.add(ended.span(context, None, &load.id, array));
                for delivery in deliveries {
                    let own = self.begin(&delivery.id);
                    self.add(ended.span(own, Some(context), &delivery.id, of(delivery)));
                }
            }
        }
    }

    /// Takes a span, if its trace is sampled and there is room.
    fn add(&self, span: Span) {
        if !span.context.sampled {
            return;
        }
        let mut pending = self.pending();
        if pending.len() >= SPANS {
            self.meters.spans_dropped.fetch_add(1, Relaxed);
            return;
        }
        pending.push(span);
        if pending.len() >= TOGETHER {
            self.enough.notify_one();
        }
    }

    /// Sends what is gathered, again and again. It never returns.
    pub async fn keep_sending(&self) {
        loop {
            let _ = tokio::time::timeout(PAUSE, self.enough.notified()).await;
            self.send().await;
        }
    }

    /// Sends what is gathered. What cannot be sent is lost, because no delivery may wait for a span.
    pub async fn send(&self) {
        let mut failing = self.failing.lock().await;
        let spans = std::mem::take(&mut *self.pending());
        for spans in spans.chunks(TOGETHER) {
            let sent = self.post(spans).await;
            match &sent {
                Ok(()) if *failing => tracing::info!("the collector takes spans again"),
                Ok(()) => {}
                Err(error) => {
                    let dropped = spans.len();
                    self.meters.spans_dropped.fetch_add(dropped as u64, Relaxed);
                    // Once, and not every second that the collector is gone. The meter counts them all.
                    if !*failing {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "spans were not sent; deliveries are not concerned"
                        );
                    }
                }
            }
            *failing = sent.is_err();
        }
    }

    async fn post(&self, spans: &[Span]) -> anyhow::Result<()> {
        let body = otlp::request(&self.rules.service, spans);
        let request = self.client.post(self.rules.endpoint.clone());
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer = request.send().await.context("ask the collector")?;
        let status = answer.status();
        ensure!(status.is_success(), "the collector answered {status}");
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Span>> {
        lock(&self.pending)
    }
}
