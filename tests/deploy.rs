//! The files under deploy/ name only metrics, paths and settings that exist.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::BTreeSet;

const METRICS: &str = include_str!("../src/server/metrics.rs");
const ALERTS: &str = include_str!("../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../deploy/grafana/rowhook.json");
const KUBERNETES: &str = include_str!("../deploy/kubernetes/rowhook.yaml");
const CHART: &str = include_str!("../deploy/helm/Chart.yaml");
const VALUES: &str = include_str!("../deploy/helm/values.yaml");
const UNIT: &str = include_str!("../deploy/systemd/rowhook.service");

/// Every metric that a text names, without the suffixes of histograms.
fn metrics(text: &str) -> BTreeSet<&str> {
    let name = |c: char| c.is_ascii_lowercase() || c == '_';
    text.match_indices("rowhook_")
        .map(|(at, _)| {
            let rest = &text[at..];
            let end = rest.find(|c| !name(c)).unwrap_or(rest.len());
            let found = &rest[..end];
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| found.strip_suffix(suffix))
                .unwrap_or(found)
        })
        .collect()
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_that_exist() {
    let known = metrics(METRICS);
    for (file, text) in [("alerts.yml", ALERTS), ("rowhook.json", DASHBOARD)] {
        let asked = metrics(text);
        assert!(asked.len() >= 6, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json_with_panels_that_do_not_lie_on_each_other() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}

#[test]
fn the_configuration_for_kubernetes_is_one() {
    let block = KUBERNETES.split("hooks.toml: |\n").nth(1).unwrap();
    let block = block.split("\n---").next().unwrap();
    let text: String = block
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let environment = |name: &str| {
        let line = KUBERNETES
            .lines()
            .find(|line| line.trim().starts_with(&format!("{name}:")))?;
        Some(line.split_once(": ")?.1.to_owned())
    };
    let config = rowhook::config::Config::parse("hooks.toml".as_ref(), &text, &environment);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(config.server.unwrap().admin_token.is_some());
    for path in ["/health/live", "/health/ready"] {
        assert!(KUBERNETES.contains(&format!("path: {path}\n")));
    }
    // Both give rowhook more time to stop than it takes.
    let grace = config.delivery.grace.as_secs();
    for (text, key) in [
        (KUBERNETES, "terminationGracePeriodSeconds: "),
        (UNIT, "TimeoutStopSec="),
    ] {
        let seconds = text.split(key).nth(1).unwrap().lines().next().unwrap();
        assert!(seconds.parse::<u64>().unwrap() > grace);
    }
}

#[test]
fn the_chart_is_of_this_version_and_its_hooks_toml_is_one() {
    let (chart, values) = (CHART, VALUES);
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nappVersion: {version}\n")));
    let block = values.split("config: |\n").nth(1).unwrap();
    let lines = block
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("  "));
    let text: String = lines
        .map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let environment = |name: &str| match name {
        "DATABASE_URL" => Some("postgresql://rowhook@postgres/app".to_owned()),
        name if name.starts_with("PG") => None,
        _ => Some("0123456789abcdef".to_owned()),
    };
    let config = rowhook::config::Config::parse("hooks.toml".as_ref(), &text, &environment);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let number = |key: &str| -> u64 {
        let value = values.split(key).nth(1).unwrap().lines().next().unwrap();
        value.trim().parse().unwrap()
    };
    assert!(number("terminationGracePeriodSeconds:") > config.delivery.grace.as_secs());
    let port = u64::from(config.server.unwrap().listen.port());
    assert_eq!(
        (
            number("containerPort:"),
            number("service:\n  type: ClusterIP\n  port:")
        ),
        (port, port)
    );
}
