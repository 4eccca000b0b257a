//! What `deploy` says about the program, against the program.

use std::collections::BTreeSet;
use std::time::Duration;

use user_merge::config::Settings;
use user_merge::telemetry::metric::{ALL, Kind, Metric};

const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/dashboard.json");
const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const UNIT: &str = include_str!("../../deploy/systemd/user-merge.service");
const PRODUCTION: &str = include_str!("../../config/production.toml");
const CARGO: &str = include_str!("../../Cargo.toml");

/// Labels that Prometheus adds.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// The metric that a series belongs to: a histogram's buckets have names of their own.
fn metric(series: &str) -> Option<(&'static Metric, bool)> {
    let of = |metric: &&Metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| series.strip_suffix(end) == Some(metric.name)),
        Kind::Counter | Kind::Gauge => series == metric.name,
    };
    let found = ALL.iter().find(of)?;
    Some((found, series.ends_with("_bucket")))
}

/// The words of an expression that could be names.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// What stands between the brackets that open at the start of a text.
fn bracketed(text: &str, open: char, close: char) -> Option<&str> {
    let rest = text.trim_start().strip_prefix(open)?;
    Some(&rest[..rest.find(close).expect("a closing bracket")])
}

/// The labels in `{lane="bulk", instance=~"a"}`.
fn matched(selector: &str) -> impl Iterator<Item = &str> {
    selector
        .split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(label, _)| label.trim().trim_end_matches('!'))
}

/// Checks an expression: its metrics exist, and so do the labels that it selects and groups by. Returns the
/// metrics of ours.
fn check(expression: &str) -> Vec<&'static str> {
    let mut known: BTreeSet<&str> = SCRAPED.into();
    let mut ours = Vec::new();
    let foreign = expression.contains("rabbitmq_");
    for (at, word) in words(expression) {
        if !word.starts_with("user_merge_") {
            continue;
        }
        let (metric, buckets) =
            metric(word).unwrap_or_else(|| panic!("there is no {word}: {expression}"));
        let mut labels: BTreeSet<&str> = metric.labels.iter().copied().chain(SCRAPED).collect();
        labels.extend(buckets.then_some("le"));
        if let Some(selector) = bracketed(&expression[at + word.len()..], '{', '}') {
            for label in matched(selector) {
                assert!(labels.contains(label), "{word} has no {label}");
            }
        }
        known.extend(labels);
        ours.push(metric.name);
    }
    assert!(
        foreign || !ours.is_empty() || expression.contains("up{"),
        "of nothing of ours: {expression}"
    );
    for (at, _) in words(expression).filter(|(_, word)| *word == "by") {
        let grouped = bracketed(&expression[at + 2..], '(', ')').expect("what it groups by");
        for label in grouped.split(',').map(str::trim) {
            assert!(known.contains(label), "by {label}: {expression}");
        }
    }
    ours
}

/// The alerts, each as its lines.
fn alerts() -> Vec<(&'static str, &'static str)> {
    let alerts = ALERTS.split("      - alert: ").skip(1);
    alerts
        .map(|alert| alert.split_once('\n').unwrap())
        .collect()
}

/// The text of a key with everything up to the next one.
fn value<'a>(alert: &'a str, key: &str, next: &str) -> &'a str {
    let (_, value) = alert.split_once(key).unwrap_or_else(|| panic!("no {key}"));
    let (value, _) = value.split_once(next).unwrap_or((value, ""));
    value.trim().trim_start_matches(">-").trim()
}

#[test]
fn every_alert_is_about_metrics_and_labels_that_exist() {
    assert!(alerts().len() > 15);
    for (name, alert) in alerts() {
        let expression = value(alert, "expr:", "        for:");
        check(expression);
        // What a text quotes must be a label that is left in the result.
        let texts = value(alert, "annotations:", "\n  - name:");
        for (_, quoted) in texts
            .match_indices("$labels.")
            .map(|(at, _)| (at, &texts[at + 8..]))
        {
            let label = words(quoted).next().unwrap().1;
            let kept = words(expression).any(|(_, word)| word == label);
            assert!(kept, "{name} quotes {label}");
        }
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let severities = ["{severity: page}", "{severity: ticket}"];
    for (name, alert) in alerts() {
        assert!(
            severities.contains(&value(alert, "labels:", "\n")),
            "{name}"
        );
        assert!(!value(alert, "summary:", "\n").is_empty(), "{name}");
        let runbook = value(alert, "runbook:", "\n  - name:");
        assert!(runbook.matches(". ").count() + 1 >= 2, "{name}: {runbook}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            shown.extend(check(target["expr"].as_str().unwrap()));
        }
    }
    let all: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, all);
}

/// The time with which a file gives a process to end.
fn seconds(file: &str, key: &str) -> Vec<Duration> {
    file.lines()
        .filter_map(|line| line.trim().strip_prefix(key))
        .map(|value| Duration::from_secs(value.trim().trim_end_matches('s').parse().unwrap()))
        .collect()
}

#[test]
fn a_worker_has_the_time_that_it_takes_to_stop() {
    let grace = |file| {
        let settings = Settings::from_sources(file, std::iter::empty()).unwrap();
        settings.worker.grace
    };
    let grace = grace(None).max(grace(Some(PRODUCTION)));
    let given = [
        seconds(UNIT, "TimeoutStopSec="),
        seconds(COMPOSE, "stop_grace_period:"),
    ];
    assert_eq!(given.each_ref().map(Vec::len), [1, 3]);
    for time in given.into_iter().flatten() {
        assert!(time > grace, "{time:?} for a grace of {grace:?}");
    }
}

#[test]
fn the_image_is_built_with_the_rust_that_the_crate_asks_for() {
    let asked = CARGO
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"');
    let from = format!("FROM rust:{asked}-slim-bookworm AS build");
    assert!(DOCKERFILE.lines().any(|line| line == from), "{from}");
}
