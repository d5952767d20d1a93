//! `/metrics`, in the text format of Prometheus, version 0.0.4.
//!
//! The text is written here because `prometheus-client` writes OpenMetrics. Its HELP and TYPE lines name a counter
//! without the `_total`, which leaves the counter untyped in this format, and its histograms have `le="1.0"` where
//! scrapers of rowhook know `le="1"`.

use std::{
    fmt::{self, Display},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{extract::State, http::header, response::IntoResponse};
use futures_util::future::join_all;
use indexmap::{IndexMap, map::Entry};
use tokio::time::{Instant, timeout};

use super::{generation::Handles, state::AppState};
use crate::{
    manage::status::Status,
    meters::{Histogram, Meters},
    run::health::{Health, Link, Now},
};

/// `GET /metrics`: what this process counts and, where the database can be reached, what its tables hold.
pub(super) async fn metrics(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    let generation = state.current();
    let Handles { meters, health, .. } = &generation.handles;
    let mut metrics = process_metrics(meters, health);
    metrics.extend(of_tables(&state, Instant::now()).await);
    as_text(&metrics)
}

/// For how long one of several databases is asked what its tables hold. Less than a scraper waits, so that one which
/// does not answer does not take the metrics of the others along.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /metrics` where there are several databases: the same of each, with its name as the label `database`.
pub(super) async fn of_all(databases: &[Arc<AppState>]) -> impl IntoResponse + use<> {
    let now = Instant::now();
    let asked = databases.iter().map(|state| async move {
        let told = timeout(PATIENCE, of_tables(state, now)).await;
        told.unwrap_or_default()
    });
    let tables = join_all(asked).await;
    let each = databases.iter().zip(tables).map(|(state, tables)| {
        let generation = state.current();
        let Handles { meters, health, .. } = &generation.handles;
        let mut metrics = process_metrics(meters, health);
        metrics.extend(tables);
        (state.name(), metrics)
    });
    as_text(&together(each))
}

/// The metrics of all databases, each with all of its samples.
fn together(each: impl IntoIterator<Item = (String, Vec<Metric>)>) -> Vec<Metric> {
    let mut together: IndexMap<&'static str, Metric> = IndexMap::new();
    for (database, metrics) in each {
        for mut metric in metrics {
            for sample in &mut metric.samples {
                sample.labels.insert(0, ("database", database.clone()));
            }
            match together.entry(metric.name) {
                Entry::Vacant(entry) => _ = entry.insert(metric),
                Entry::Occupied(entry) => entry.into_mut().samples.append(&mut metric.samples),
            }
        }
    }
    together.into_values().collect()
}

fn as_text(metrics: &[Metric]) -> impl IntoResponse + use<> {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], render(metrics))
}

/// What the tables hold, as they were at this moment or later; nothing where the database cannot be asked. All who ask
/// at the same time get one answer, so that they never take more than one session.
async fn of_tables(state: &AppState, asked: Instant) -> Vec<Metric> {
    let mut last = state.table_status.lock().await;
    match &*last {
        Some((begun, _)) if *begun >= asked => {}
        _ => {
            let begun = Instant::now();
            let status = match state.current().admin("metrics").await {
                Ok(admin) => admin.status().await.ok(),
                Err(_) => None,
            };
            *last = Some((begun, status));
        }
    }
    let status = last.as_ref().and_then(|(_, status)| status.as_ref());
    status.map(table_metrics).unwrap_or_default()
}

fn process_metrics(meters: &Meters, health: &Health) -> Vec<Metric> {
    let mut metrics = stream_metrics(&health.now(Instant::now()));
    metrics.extend(delivery_metrics(meters));
    metrics
}

/// How rowhook is attached to the stream, how far it lags, and what it holds in memory.
fn stream_metrics(now: &Now) -> Vec<Metric> {
    vec![
        gauge(
            "rowhook_info",
            "Which rowhook this is.",
            labels("version", [(env!("CARGO_PKG_VERSION"), 1)]),
        ),
        gauge(
            "rowhook_attached",
            "1 while changes are read.",
            value(i64::from(now.link == Link::Attached)),
        ),
        gauge(
            "rowhook_standby",
            "1 while another rowhook holds the slot.",
            value(i64::from(now.link == Link::Standby)),
        ),
        gauge(
            "rowhook_lag_bytes",
            "Bytes of WAL that are not confirmed.",
            value(now.lag_bytes.unwrap_or(0)),
        ),
        gauge(
            "rowhook_lag_seconds",
            "For how long the oldest WAL that is not confirmed has been there.",
            value(now.lag.as_secs_f64()),
        ),
        gauge(
            "rowhook_safe_wal_bytes",
            "Bytes of WAL that may be written before Postgres gives the slot up.",
            now.safe_wal_bytes.map(value).unwrap_or_default(),
        ),
        gauge(
            "rowhook_confirmed_lsn",
            "The confirmed LSN, as a number.",
            now.confirmed.map(|lsn| value(lsn.0)).unwrap_or_default(),
        ),
        gauge(
            "rowhook_unsettled_deliveries",
            "Deliveries of the stream that are neither delivered nor on record.",
            value(now.unsettled),
        ),
        gauge(
            "rowhook_oldest_unsettled_seconds",
            "For how long the oldest of them has been so, and the hook that it is for.",
            match &now.oldest {
                None => value(0),
                Some((hook, lasted)) => labels("hook", [(hook.as_str(), lasted.as_secs_f64())]),
            },
        ),
        gauge(
            "rowhook_memory_bytes",
            "Memory that deliveries hold, and large rows that are being read.",
            value(now.memory.0),
        ),
        gauge(
            "rowhook_memory_limit_bytes",
            "Memory that they may hold.",
            value(now.memory.1),
        ),
    ]
}

/// What is being delivered, and what came of it since the process started.
fn delivery_metrics(meters: &Meters) -> Vec<Metric> {
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    let permission = &meters.permission;
    vec![
        gauge(
            "rowhook_requests_in_flight",
            "Requests that are being made.",
            value(meters.in_flight.load(Relaxed)),
        ),
        gauge(
            "rowhook_partitions",
            "Partitions of a cluster that this process sends for.",
            value(meters.partitions.load(Relaxed)),
        ),
        gauge(
            "rowhook_breakers_open",
            "Endpoints that only fail and are left alone for a while.",
            value(meters.breakers_open.load(Relaxed)),
        ),
        gauge(
            "rowhook_changes_waiting",
            "Changes that wait for an answer of the database about their table.",
            value(meters.changes_waiting.load(Relaxed)),
        ),
        gauge(
            "rowhook_table_problems",
            "Tables of events that are not heard as hooks.toml asks for.",
            value(meters.table_problems.load(Relaxed)),
        ),
        counter(
            "rowhook_tables_replaced_total",
            "Times that another table was found under the name of a table of events.",
            value(count(&meters.tables_replaced)),
        ),
        counter(
            "rowhook_events_total",
            "Events that some hook heard.",
            value(count(&meters.events)),
        ),
        counter(
            "rowhook_attempts_total",
            "Requests, by how they ended.",
            labels(
                "outcome",
                [
                    ("delivered", count(&meters.delivered)),
                    ("failed", count(&meters.failed)),
                ],
            ),
        ),
        counter(
            "rowhook_permission_answers_total",
            "Whether owners might see rows, when they were asked about.",
            labels(
                "answer",
                [
                    ("yes", count(&permission.yes)),
                    ("no", count(&permission.no)),
                    ("unknown", count(&permission.unknown)),
                ],
            ),
        ),
        counter(
            "rowhook_owner_unknown_total",
            "Events whose owner could not be found out, so that only hooks of everyone heard them.",
            value(count(&meters.owner_unknown)),
        ),
        counter(
            "rowhook_messages_refused_total",
            "Messages of SQL that were no events.",
            value(count(&meters.misunderstood)),
        ),
        counter(
            "rowhook_messages_doubtful_total",
            "Messages of SQL that none of rowhook's functions has written.",
            value(count(&meters.doubtful)),
        ),
        counter(
            "rowhook_questions_total",
            "Questions before a commit, by what came of them.",
            labels(
                "outcome",
                [
                    ("allowed", count(&meters.questions.allowed)),
                    ("refused", count(&meters.questions.refused)),
                    ("silent", count(&meters.questions.silent)),
                ],
            ),
        ),
        counter(
            "rowhook_parked_total",
            "Deliveries that were parked.",
            value(count(&meters.parked)),
        ),
        counter(
            "rowhook_dead_total",
            "Deliveries that were given up.",
            value(count(&meters.dead)),
        ),
        counter(
            "rowhook_hooks_disabled_total",
            "Hooks that were disabled because their endpoint is gone or only fails.",
            value(count(&meters.disabled)),
        ),
        counter(
            "rowhook_panics_total",
            "Panics that were caught, by what has panicked. Each is a bug.",
            labels(
                "task",
                [
                    ("courier", count(&meters.panics.courier)),
                    ("event", count(&meters.panics.event)),
                    ("hook", count(&meters.panics.hook)),
                    ("request", count(&meters.panics.request)),
                    ("session", count(&meters.panics.session)),
                ],
            ),
        ),
        counter(
            "rowhook_spans_dropped_total",
            "Spans that no collector took, or that there was no room for.",
            value(count(&meters.spans_dropped)),
        ),
        Metric {
            name: "rowhook_attempt_duration_seconds",
            help: "How long requests took.",
            kind: "histogram",
            samples: buckets(meters.took()),
        },
        Metric {
            name: "rowhook_question_duration_seconds",
            help: "How long questions before a commit were open, while their transactions waited.",
            kind: "histogram",
            samples: buckets(&meters.held),
        },
    ]
}

/// The deliveries and hooks that the tables hold.
fn table_metrics(status: &Status) -> Vec<Metric> {
    let (deliveries, hooks) = (&status.deliveries, &status.hooks);
    vec![
        gauge(
            "rowhook_deliveries",
            "Deliveries in the table, by what has become of them.",
            labels(
                "state",
                [("parked", deliveries.parked), ("dead", deliveries.dead)],
            ),
        ),
        gauge(
            "rowhook_hooks",
            "Hooks, by how they are. Those that fail are active too.",
            labels(
                "state",
                [
                    ("active", hooks.active),
                    ("failing", hooks.failing),
                    ("disabled", hooks.inactive),
                    ("invalid", hooks.invalid),
                ],
            ),
        ),
        gauge(
            "rowhook_oldest_parked_seconds",
            "For how long the oldest parked delivery has been committed.",
            value(deliveries.oldest_parked_seconds.unwrap_or(0.0)),
        ),
    ]
}

/// A metric with its samples. One that has none is left out of the text.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: Vec<Sample>,
}

/// One line below a metric's HELP and TYPE.
struct Sample {
    /// What a histogram adds to the metric's name; empty for other types.
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    value: String,
}

fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Metric {
    let kind = "gauge";
    Metric {
        name,
        help,
        kind,
        samples,
    }
}

fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Metric {
    let kind = "counter";
    Metric {
        name,
        help,
        kind,
        samples,
    }
}

/// A single sample without a label.
fn value(value: impl Display) -> Vec<Sample> {
    vec![Sample {
        suffix: "",
        labels: Vec::new(),
        value: value.to_string(),
    }]
}

/// A sample for each value of a label.
fn labels<const N: usize>(label: &'static str, samples: [(&str, impl Display); N]) -> Vec<Sample> {
    let samples = samples.into_iter().map(|(of, value)| Sample {
        suffix: "",
        labels: vec![(label, of.to_owned())],
        value: value.to_string(),
    });
    samples.collect()
}

/// The samples of a histogram: its cumulative buckets, then the sum and the count.
fn buckets(histogram: &Histogram) -> Vec<Sample> {
    let (bounds, count, seconds) = histogram.cumulated();
    let bounds = bounds
        .into_iter()
        .map(|(bound, below)| (bound.to_string(), below));
    let bounds = bounds.chain([("+Inf".to_owned(), count)]);
    let mut samples: Vec<Sample> = bounds
        .map(|(bound, below)| Sample {
            suffix: "_bucket",
            labels: vec![("le", bound)],
            value: below.to_string(),
        })
        .collect();
    for (suffix, value) in [("_sum", seconds.to_string()), ("_count", count.to_string())] {
        samples.push(Sample {
            suffix,
            labels: Vec::new(),
            value,
        });
    }
    samples
}

/// The value of a label. The id of a hook may hold anything.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn render(metrics: &[Metric]) -> String {
    metrics.iter().map(ToString::to_string).collect()
}

impl Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            help,
            kind,
            samples,
        } = self;
        if samples.is_empty() {
            return Ok(());
        }
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for Sample {
            suffix,
            labels,
            value,
        } in samples
        {
            let labels = labels.iter();
            let labels = labels.map(|(label, of)| format!("{label}=\"{}\"", escaped(of)));
            let labels: Vec<String> = labels.collect();
            match &labels[..] {
                [] => writeln!(f, "{name}{suffix} {value}")?,
                labels => writeln!(f, "{name}{suffix}{{{}}} {value}", labels.join(","))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::{ledger::Ledger, memory_budget::MemoryBudget},
        hook::HookId,
        postgres::Lsn,
        setup::catalog::Slot,
    };

    #[test]
    fn the_oldest_delivery_is_shown_with_its_hook_whatever_that_is_called() {
        let (ledger, health) = (Ledger::new(Lsn(1)), Health::default());
        health.observe(&ledger, MemoryBudget::new(1 << 20));
        ledger.open(Lsn(2));
        let hook = HookId::new("a\"b\\c\nd", false);
        let _ticket = ledger.ticket(0, &hook);
        let now = health.now(Instant::now() + Duration::from_secs(90));
        let text = render(&stream_metrics(&now));
        let line = text
            .lines()
            .find(|line| line.starts_with("rowhook_oldest_unsettled_seconds"));
        assert!(
            line.unwrap()
                .starts_with(r#"rowhook_oldest_unsettled_seconds{hook="a\"b\\c\nd"} 9"#),
            "{text}"
        );
    }

    #[test]
    fn several_databases_share_the_lines_that_name_a_metric() {
        let of = |attached: i64, outcome: i64| {
            vec![
                gauge("a", "Attached.", value(attached)),
                counter("b", "Attempts.", labels("outcome", [("failed", outcome)])),
            ]
        };
        let both = [
            ("shop".to_owned(), of(1, 2)),
            ("stock".to_owned(), of(0, 3)),
        ];
        insta::assert_snapshot!(render(&together(both)), @r#"
        # HELP a Attached.
        # TYPE a gauge
        a{database="shop"} 1
        a{database="stock"} 0
        # HELP b Attempts.
        # TYPE b counter
        b{database="shop",outcome="failed"} 2
        b{database="stock",outcome="failed"} 3
        "#);
    }

    #[test]
    fn scrapers_see_the_same_names_types_labels_and_values_as_ever() {
        let (meters, health) = (Meters::default(), Health::default());
        health.set_link(Link::Attached);
        let slot = Slot {
            kind: "logical".into(),
            plugin: None,
            database: None,
            temporary: false,
            two_phase: false,
            active_pid: None,
            application_name: None,
            wal_status: None,
            invalidation_reason: None,
            confirmed: Some(Lsn(0x16B_3748)),
            safe_wal_size: Some(1 << 30),
            lag: Some(4096),
            ..Slot::default()
        };
        health.record_slot(slot, false, Instant::now());
        meters.events.store(7, Relaxed);
        meters.dead.store(1, Relaxed);
        meters.parked.store(2, Relaxed);
        meters.disabled.store(3, Relaxed);
        meters.misunderstood.store(4, Relaxed);
        meters.doubtful.store(5, Relaxed);
        meters.owner_unknown.store(12, Relaxed);
        meters.changes_waiting.store(13, Relaxed);
        meters.spans_dropped.store(5, Relaxed);
        meters.panics.courier.store(12, Relaxed);
        meters.breakers_open.store(6, Relaxed);
        meters.in_flight.store(8, Relaxed);
        meters.table_problems.store(14, Relaxed);
        meters.tables_replaced.store(15, Relaxed);
        meters.permission.yes.store(9, Relaxed);
        meters.permission.no.store(10, Relaxed);
        meters.permission.unknown.store(11, Relaxed);
        meters.questions.allowed.store(16, Relaxed);
        meters.questions.refused.store(17, Relaxed);
        meters.questions.silent.store(18, Relaxed);
        meters.held.add(Duration::from_millis(3));
        meters.attempted(true, Duration::from_micros(2500));
        meters.attempted(false, Duration::from_millis(750));
        meters.attempted(false, Duration::from_secs(20));
        let text = render(&process_metrics(&meters, &health))
            .replace(env!("CARGO_PKG_VERSION"), "VERSION");
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
        # HELP rowhook_oldest_unsettled_seconds For how long the oldest of them has been so, and the hook that it is for.
        # TYPE rowhook_oldest_unsettled_seconds gauge
        rowhook_oldest_unsettled_seconds 0
        # HELP rowhook_memory_bytes Memory that deliveries hold, and large rows that are being read.
        # TYPE rowhook_memory_bytes gauge
        rowhook_memory_bytes 0
        # HELP rowhook_memory_limit_bytes Memory that they may hold.
        # TYPE rowhook_memory_limit_bytes gauge
        rowhook_memory_limit_bytes 0
        # HELP rowhook_requests_in_flight Requests that are being made.
        # TYPE rowhook_requests_in_flight gauge
        rowhook_requests_in_flight 8
        # HELP rowhook_partitions Partitions of a cluster that this process sends for.
        # TYPE rowhook_partitions gauge
        rowhook_partitions 0
        # HELP rowhook_breakers_open Endpoints that only fail and are left alone for a while.
        # TYPE rowhook_breakers_open gauge
        rowhook_breakers_open 6
        # HELP rowhook_changes_waiting Changes that wait for an answer of the database about their table.
        # TYPE rowhook_changes_waiting gauge
        rowhook_changes_waiting 13
        # HELP rowhook_table_problems Tables of events that are not heard as hooks.toml asks for.
        # TYPE rowhook_table_problems gauge
        rowhook_table_problems 14
        # HELP rowhook_tables_replaced_total Times that another table was found under the name of a table of events.
        # TYPE rowhook_tables_replaced_total counter
        rowhook_tables_replaced_total 15
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
        # HELP rowhook_owner_unknown_total Events whose owner could not be found out, so that only hooks of everyone heard them.
        # TYPE rowhook_owner_unknown_total counter
        rowhook_owner_unknown_total 12
        # HELP rowhook_messages_refused_total Messages of SQL that were no events.
        # TYPE rowhook_messages_refused_total counter
        rowhook_messages_refused_total 4
        # HELP rowhook_messages_doubtful_total Messages of SQL that none of rowhook's functions has written.
        # TYPE rowhook_messages_doubtful_total counter
        rowhook_messages_doubtful_total 5
        # HELP rowhook_questions_total Questions before a commit, by what came of them.
        # TYPE rowhook_questions_total counter
        rowhook_questions_total{outcome="allowed"} 16
        rowhook_questions_total{outcome="refused"} 17
        rowhook_questions_total{outcome="silent"} 18
        # HELP rowhook_parked_total Deliveries that were parked.
        # TYPE rowhook_parked_total counter
        rowhook_parked_total 2
        # HELP rowhook_dead_total Deliveries that were given up.
        # TYPE rowhook_dead_total counter
        rowhook_dead_total 1
        # HELP rowhook_hooks_disabled_total Hooks that were disabled because their endpoint is gone or only fails.
        # TYPE rowhook_hooks_disabled_total counter
        rowhook_hooks_disabled_total 3
        # HELP rowhook_panics_total Panics that were caught, by what has panicked. Each is a bug.
        # TYPE rowhook_panics_total counter
        rowhook_panics_total{task="courier"} 12
        rowhook_panics_total{task="event"} 0
        rowhook_panics_total{task="hook"} 0
        rowhook_panics_total{task="request"} 0
        rowhook_panics_total{task="session"} 0
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
        # HELP rowhook_question_duration_seconds How long questions before a commit were open, while their transactions waited.
        # TYPE rowhook_question_duration_seconds histogram
        rowhook_question_duration_seconds_bucket{le="0.001"} 0
        rowhook_question_duration_seconds_bucket{le="0.0025"} 0
        rowhook_question_duration_seconds_bucket{le="0.005"} 1
        rowhook_question_duration_seconds_bucket{le="0.01"} 1
        rowhook_question_duration_seconds_bucket{le="0.025"} 1
        rowhook_question_duration_seconds_bucket{le="0.05"} 1
        rowhook_question_duration_seconds_bucket{le="0.1"} 1
        rowhook_question_duration_seconds_bucket{le="0.25"} 1
        rowhook_question_duration_seconds_bucket{le="0.5"} 1
        rowhook_question_duration_seconds_bucket{le="1"} 1
        rowhook_question_duration_seconds_bucket{le="5"} 1
        rowhook_question_duration_seconds_bucket{le="15"} 1
        rowhook_question_duration_seconds_bucket{le="+Inf"} 1
        rowhook_question_duration_seconds_sum 0.003
        rowhook_question_duration_seconds_count 1
        "#);
    }
}
