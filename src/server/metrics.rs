//! `/metrics`, in the text format of Prometheus.

use std::{
    fmt::{Display, Write as _},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{extract::State, http::header, response::IntoResponse};
use tokio::time::Instant;

use super::generation::Home;
use crate::meters::{Link, Meters};

/// What is counted here, and what the tables say, where they can be asked.
pub(super) async fn metrics(State(home): State<Arc<Home>>) -> impl IntoResponse {
    let house = home.now();
    let mut text = render(&house.handles.meters);
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

fn render(meters: &Meters) -> String {
    let mut text = String::new();
    let mut page = Page(&mut text);
    let now = meters.now(Instant::now());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{postgres::Lsn, setup::catalog::Slot};

    #[test]
    fn scrapers_see_the_same_names_types_labels_and_values_as_ever() {
        let meters = Meters::default();
        meters.link(Link::Attached);
        let slot = Slot {
            kind: "logical".into(),
            plugin: None,
            database: None,
            temporary: false,
            active_pid: None,
            application_name: None,
            wal_status: None,
            invalidation_reason: None,
            confirmed: Some(Lsn(0x16B_3748)),
            safe_wal_size: Some(1 << 30),
            lag: Some(4096),
        };
        meters.looked(slot, false, Instant::now());
        meters.events.store(7, Relaxed);
        meters.dead.store(1, Relaxed);
        meters.parked.store(2, Relaxed);
        meters.disabled.store(3, Relaxed);
        meters.misunderstood.store(4, Relaxed);
        meters.spans_dropped.store(5, Relaxed);
        meters.breakers_open.store(6, Relaxed);
        meters.in_flight.store(8, Relaxed);
        meters.permission.yes.store(9, Relaxed);
        meters.permission.no.store(10, Relaxed);
        meters.permission.unknown.store(11, Relaxed);
        meters.attempted(true, Duration::from_micros(2500));
        meters.attempted(false, Duration::from_millis(750));
        meters.attempted(false, Duration::from_secs(20));
        let text = render(&meters).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(text, @r#"
        # HELP rowhook_info Which rowhook this is.
        # TYPE rowhook_info gauge
        rowhook_info{version="VERSION"} 1
        # HELP rowhook_attached 1 while changes are read.
        # TYPE rowhook_attached gauge
        rowhook_attached 1
        # HELP rowhook_standby 1 while another rowhook holds the slot.
        # TYPE rowhook_standby gauge
        rowhook_standby 0
        # HELP rowhook_lag_bytes Bytes of WAL that are not confirmed.
        # TYPE rowhook_lag_bytes gauge
        rowhook_lag_bytes 4096
        # HELP rowhook_lag_seconds For how long the oldest WAL that is not confirmed has been there.
        # TYPE rowhook_lag_seconds gauge
        rowhook_lag_seconds 0
        # HELP rowhook_safe_wal_bytes Bytes of WAL that may be written before Postgres gives the slot up.
        # TYPE rowhook_safe_wal_bytes gauge
        rowhook_safe_wal_bytes 1073741824
        # HELP rowhook_confirmed_lsn The confirmed LSN, as a number.
        # TYPE rowhook_confirmed_lsn gauge
        rowhook_confirmed_lsn 23803720
        # HELP rowhook_unsettled_deliveries Deliveries of the stream that are neither delivered nor on record.
        # TYPE rowhook_unsettled_deliveries gauge
        rowhook_unsettled_deliveries 0
        # HELP rowhook_memory_bytes Memory that deliveries hold, and large rows that are being read.
        # TYPE rowhook_memory_bytes gauge
        rowhook_memory_bytes 0
        # HELP rowhook_memory_limit_bytes Memory that they may hold.
        # TYPE rowhook_memory_limit_bytes gauge
        rowhook_memory_limit_bytes 0
        # HELP rowhook_requests_in_flight Requests that are being made.
        # TYPE rowhook_requests_in_flight gauge
        rowhook_requests_in_flight 8
        # HELP rowhook_breakers_open Endpoints that only fail and are left alone for a while.
        # TYPE rowhook_breakers_open gauge
        rowhook_breakers_open 6
        # HELP rowhook_events_total Events that some hook heard.
        # TYPE rowhook_events_total counter
        rowhook_events_total 7
        # HELP rowhook_attempts_total Requests, by how they ended.
        # TYPE rowhook_attempts_total counter
        rowhook_attempts_total{outcome="delivered"} 1
        rowhook_attempts_total{outcome="failed"} 2
        # HELP rowhook_permission_answers_total Whether owners might see rows, when they were asked about.
        # TYPE rowhook_permission_answers_total counter
        rowhook_permission_answers_total{answer="yes"} 9
        rowhook_permission_answers_total{answer="no"} 10
        rowhook_permission_answers_total{answer="unknown"} 11
        # HELP rowhook_messages_refused_total Messages of SQL that were no events.
        # TYPE rowhook_messages_refused_total counter
        rowhook_messages_refused_total 4
        # HELP rowhook_parked_total Deliveries that were parked.
        # TYPE rowhook_parked_total counter
        rowhook_parked_total 2
        # HELP rowhook_dead_total Deliveries that were given up.
        # TYPE rowhook_dead_total counter
        rowhook_dead_total 1
        # HELP rowhook_hooks_disabled_total Hooks that were disabled because their endpoint is gone or only fails.
        # TYPE rowhook_hooks_disabled_total counter
        rowhook_hooks_disabled_total 3
        # HELP rowhook_spans_dropped_total Spans that no collector took, or that there was no room for.
        # TYPE rowhook_spans_dropped_total counter
        rowhook_spans_dropped_total 5
        # HELP rowhook_attempt_duration_seconds How long requests took.
        # TYPE rowhook_attempt_duration_seconds histogram
        rowhook_attempt_duration_seconds_bucket{le="0.001"} 0
        rowhook_attempt_duration_seconds_bucket{le="0.0025"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.005"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.01"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.025"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.05"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.1"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.25"} 1
        rowhook_attempt_duration_seconds_bucket{le="0.5"} 1
        rowhook_attempt_duration_seconds_bucket{le="1"} 2
        rowhook_attempt_duration_seconds_bucket{le="5"} 2
        rowhook_attempt_duration_seconds_bucket{le="15"} 2
        rowhook_attempt_duration_seconds_bucket{le="+Inf"} 3
        rowhook_attempt_duration_seconds_sum 20.7525
        rowhook_attempt_duration_seconds_count 3
        "#);
    }
}
