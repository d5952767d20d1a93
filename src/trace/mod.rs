//! What came of requests, as spans of OpenTelemetry: gathered here, and sent behind the deliveries to a collector.
//!
//! No delivery ever waits for it. What is gathered is bounded; what goes beyond, and what the collector does not take, is
//! dropped and counted.

mod otlp;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use reqwest::{Client, header::CONTENT_TYPE, redirect};
use tokio::sync::Notify;

use crate::{
    config,
    delivery::{Delivery, load::Load},
    hook::Hook,
    meters::Meters,
    send::{answer::Answer, traceparent},
};

/// How often spans are sent.
const PAUSE: Duration = Duration::from_secs(1);
/// So many spans wait at most.
const SPANS: usize = 8192;
/// So many go in one request, which does not wait for the pause.
const TOGETHER: usize = 2048;
/// So long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One attempt of a delivery, or of an array of them.
#[derive(Debug)]
struct Span {
    /// What it is called in the trace.
    context: traceparent::Context,
    /// The request that it went in, where that is an array's.
    request: Option<traceparent::Context>,
    /// The hook, as it was.
    hook: Arc<Hook>,
    /// The `webhook-id`.
    id: Arc<str>,
    /// What was sent.
    of: Of,
    /// When it was begun.
    started_at: SystemTime,
    /// From there to the end of the answer.
    took: Duration,
    /// The status, if there was an answer.
    status: Option<u16>,
    /// What kind of error it is; `None`: it is a success.
    error: Option<Arc<str>>,
}

/// What was sent.
#[derive(Debug)]
enum Of {
    /// A delivery.
    Delivery {
        /// The event's name.
        event: Arc<str>,
        /// Which attempt of the delivery, from 1.
        number: u32,
    },
    /// An array of so many.
    Array(usize),
}

/// A request that has ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The hook, as it was.
    pub hook: &'a Arc<Hook>,
    /// What came of it.
    pub answer: &'a Answer,
    /// Was it a success?
    pub delivered: bool,
    /// When it was begun.
    pub started_at: SystemTime,
    /// From there to the end of the answer.
    pub took: Duration,
}

impl Ended<'_> {
    fn span(
        &self,
        context: traceparent::Context,
        request: Option<traceparent::Context>,
        id: &Arc<str>,
        of: Of,
    ) -> Span {
        let (status, error) = match self.answer {
            Answer::Status { code, .. } => (Some(*code), code.to_string().into()),
            Answer::Failed(failure) => (None, failure.kind().into()),
        };
        Span {
            context,
            request,
            hook: Arc::clone(self.hook),
            id: Arc::clone(id),
            of,
            started_at: self.started_at,
            took: self.took,
            status,
            error: (!self.delivered).then_some(error),
        }
    }
}

/// Gathers spans until they are sent.
#[derive(Debug)]
pub struct Traces {
    rules: config::Tracing,
    client: Client,
    meters: Arc<Meters>,
    pending: Mutex<Vec<Span>>,
    /// There is enough for a request.
    enough: Notify,
    /// Has the collector taken nothing of late? Held while spans are sent, so that the last word waits for what is on its way.
    failing: tokio::sync::Mutex<bool>,
}

impl Traces {
    /// Nothing yet.
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

    /// Takes the span of a request that has ended. Where it was of an array, each of its deliveries has a span in a trace of
    /// its own too, with a link to that of the request.
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

    /// Takes a span, if its trace is among those that are kept and there is room.
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

    /// Sends what is gathered, again and again, for as long as it is polled.
    pub async fn keep_sending(&self) {
        loop {
            let _ = tokio::time::timeout(PAUSE, self.enough.notified()).await;
            self.send().await;
        }
    }

    /// Sends what is gathered. What cannot be sent is gone: a span is not worth a delivery.
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
                    // Once, and not every second that the collector is gone: the meter has the rest.
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
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
