//! `/metrics`, in the text format of Prometheus.

use std::{
    fmt::{Display, Write as _},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{extract::State, http::header, response::IntoResponse};
use tokio::time::Instant;

use super::generation::Home;
use crate::{
    meters::Meters,
    run::health::{Health, Link},
};

/// What is counted here, and what the tables say, where they can be asked.
pub(super) async fn metrics(State(home): State<Arc<Home>>) -> impl IntoResponse {
    let house = home.now();
    let mut text = render(&house.handles.meters, &house.handles.health);
    if let Ok(office) = house.office().await
        && let Ok(status) = office.status().await
    {
        let mut page = Page(&mut text);
        let (kept, hooks) = (&status.deliveries, &status.hooks);
        page.gauges(
            "rowhook_deliveries",
            "Deliveries in the table, by what has become of them.",
            "state",
            &[("parked", kept.parked), ("dead", kept.dead)],
        );
        page.gauges(
            "rowhook_hooks",
            "Hooks, by how they are. Those that fail are active too.",
            "state",
            &[
                ("active", hooks.active),
                ("failing", hooks.failing),
                ("disabled", hooks.inactive),
                ("invalid", hooks.invalid),
            ],
        );
        page.gauge(
            "rowhook_oldest_parked_seconds",
            "For how long the oldest parked delivery has been committed.",
            kept.oldest_parked_seconds.unwrap_or(0.0),
        );
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text)
}

fn render(meters: &Meters, health: &Health) -> String {
    let mut text = String::new();
    let mut page = Page(&mut text);
    let now = health.now(Instant::now());
    page.head("rowhook_info", "Which rowhook this is.", "gauge");
    page.line(
        "rowhook_info",
        &format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")),
        1,
    );
    page.gauge(
        "rowhook_attached",
        "1 while changes are read.",
        i64::from(now.link == Link::Attached),
    );
    page.gauge(
        "rowhook_standby",
        "1 while another rowhook holds the slot.",
        i64::from(now.link == Link::Standby),
    );
    page.gauge(
        "rowhook_lag_bytes",
        "Bytes of WAL that are not confirmed.",
        now.lag_bytes.unwrap_or(0),
    );
    page.gauge(
        "rowhook_lag_seconds",
        "For how long the oldest WAL that is not confirmed has been there.",
        now.lag.as_secs_f64(),
    );
    if let Some(safe) = now.safe_wal_bytes {
        page.gauge(
            "rowhook_safe_wal_bytes",
            "Bytes of WAL that may be written before Postgres gives the slot up.",
            safe,
        );
    }
    if let Some(confirmed) = now.confirmed {
        page.gauge(
            "rowhook_confirmed_lsn",
            "The confirmed LSN, as a number.",
            confirmed.0,
        );
    }
    page.gauge(
        "rowhook_unsettled_deliveries",
        "Deliveries of the stream that are neither delivered nor on record.",
        now.unsettled,
    );
    page.gauge(
        "rowhook_memory_bytes",
        "Memory that deliveries hold, and large rows that are being read.",
        now.memory.0,
    );
    page.gauge(
        "rowhook_memory_limit_bytes",
        "Memory that they may hold.",
        now.memory.1,
    );
    page.gauge(
        "rowhook_requests_in_flight",
        "Requests that are being made.",
        meters.in_flight.load(Relaxed),
    );
    page.gauge(
        "rowhook_breakers_open",
        "Endpoints that only fail and are left alone for a while.",
        meters.breakers_open.load(Relaxed),
    );
    page.counter(
        "rowhook_events_total",
        "Events that some hook heard.",
        &meters.events.load(Relaxed),
    );
    page.head(
        "rowhook_attempts_total",
        "Requests, by how they ended.",
        "counter",
    );
    for (outcome, counter) in [("delivered", &meters.delivered), ("failed", &meters.failed)] {
        page.line(
            "rowhook_attempts_total",
            &format!("{{outcome=\"{outcome}\"}}"),
            counter.load(Relaxed),
        );
    }
    page.head(
        "rowhook_permission_answers_total",
        "Whether owners might see rows, when they were asked about.",
        "counter",
    );
    let asked = &meters.permission;
    for (answer, counter) in [
        ("yes", &asked.yes),
        ("no", &asked.no),
        ("unknown", &asked.unknown),
    ] {
        page.line(
            "rowhook_permission_answers_total",
            &format!("{{answer=\"{answer}\"}}"),
            counter.load(Relaxed),
        );
    }
    page.counter(
        "rowhook_messages_refused_total",
        "Messages of SQL that were no events.",
        &meters.misunderstood.load(Relaxed),
    );
    page.counter(
        "rowhook_parked_total",
        "Deliveries that were parked.",
        &meters.parked.load(Relaxed),
    );
    page.counter(
        "rowhook_dead_total",
        "Deliveries that were given up.",
        &meters.dead.load(Relaxed),
    );
    page.counter(
        "rowhook_hooks_disabled_total",
        "Hooks that were disabled because their endpoint is gone or only fails.",
        &meters.disabled.load(Relaxed),
    );
    page.counter(
        "rowhook_spans_dropped_total",
        "Spans that no collector took, or that there was no room for.",
        &meters.spans_dropped.load(Relaxed),
    );
    let name = "rowhook_attempt_duration_seconds";
    let (bounds, count, seconds) = meters.took().cumulated();
    page.head(name, "How long requests took.", "histogram");
    for (bound, below) in bounds {
        page.line(
            "rowhook_attempt_duration_seconds_bucket",
            &format!("{{le=\"{bound}\"}}"),
            below,
        );
    }
    page.line(
        "rowhook_attempt_duration_seconds_bucket",
        "{le=\"+Inf\"}",
        count,
    );
    page.line("rowhook_attempt_duration_seconds_sum", "", seconds);
    page.line("rowhook_attempt_duration_seconds_count", "", count);
    text
}

/// Lines of the text format. Writing to a String cannot fail.
struct Page<'a>(&'a mut String);

impl Page<'_> {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: &dyn Display) {
        self.head(name, help, "counter");
        self.line(name, "", value);
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, i64)]) {
        self.head(name, help, "gauge");
        for (of, value) in values {
            self.line(name, &format!("{{{label}=\"{of}\"}}"), value);
        }
    }
}
