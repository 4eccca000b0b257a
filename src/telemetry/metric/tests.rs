use super::*;

#[test]
fn names_are_unique_and_follow_the_conventions() {
    for (at, metric) in ALL.iter().enumerate() {
        let name = metric.name;
        assert!(name.starts_with("user_merge_"), "{name}");
        assert!(
            ALL[at + 1..].iter().all(|other| other.name != name),
            "{name} is there twice"
        );
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        assert_eq!(
            metric.buckets.is_empty(),
            metric.kind != Kind::Histogram,
            "{name}"
        );
        assert!(metric.buckets.is_sorted(), "{name}");
        assert!(metric.help.ends_with('.'), "{name}");
        assert_eq!(
            name.trim_end_matches("_total").ends_with("_seconds"),
            metric.unit == "seconds",
            "{name}"
        );
    }
}

fn record_everything() {
    requests("interactive", "completed");
    rejections("same_user");
    merge_seconds("bulk", Duration::from_millis(7));
    tickets_moved("live", 12);
    ccs("deduplicated", 3);
    chunk_seconds(Duration::from_millis(60));
    chunk_rows(500);
    retries("deadlock");
    put_off("conflicting_merge");
    dead_letters("unreadable");
    outbox_published("deletion");
    outbox_pending(4);
    outbox_oldest_seconds(Duration::from_millis(1500));
    late_tickets(2);
    stranded(1);
    keeper(true);
    broker_failures("consuming", "closed");
    stale_acks();
    drop(in_flight("bulk"));
    consuming("interactive", true);
    breaker_open("interactive", true);
    breaker_openings("bulk", "disk_full", 1);
    slowed("lock_waits", true);
    bulk_hands(4);
    paused_seconds("bulk", 2);
    fenced();
    build_info("0.0.0", true);
}

#[test]
fn each_is_recorded_under_its_name_with_its_labels_and_its_help() {
    let recorder = recorder().unwrap();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe_all();
        record_everything();
    });
    let text = handle.render();
    for metric in ALL {
        let Metric { name, help, .. } = metric;
        assert!(
            text.contains(&format!("# TYPE {name} {}", metric.kind.label())),
            "{text}"
        );
        assert!(
            text.contains(&format!("# HELP {name} {help}")),
            "{name} in {text}"
        );
        for label in metric.labels {
            let sample =
                |line: &str| line.starts_with(name) && line.contains(&format!("{label}=\""));
            assert!(text.lines().any(sample), "{name} has no {label} in {text}");
        }
    }
    assert!(
        text.contains("user_merge_tickets_moved_total{store=\"live\"} 12"),
        "{text}"
    );
    assert!(
        text.contains("user_merge_merge_seconds_bucket{lane=\"bulk\",le=\"0.01\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("user_merge_chunk_seconds_bucket{le=\"0.075\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("user_merge_outbox_oldest_seconds 1.5"),
        "{text}"
    );
}

#[test]
fn what_is_held_counts_until_it_is_dropped() {
    let recorder = recorder().unwrap();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let first = in_flight("bulk");
        let second = in_flight("bulk");
        drop(first);
        assert!(
            handle
                .render()
                .contains("user_merge_in_flight{lane=\"bulk\"} 1")
        );
        drop(second);
        assert!(
            handle
                .render()
                .contains("user_merge_in_flight{lane=\"bulk\"} 0")
        );
    });
}

#[test]
fn installed_twice_it_is_the_same() {
    let first = install().unwrap();
    let second = install().unwrap();
    metrics::counter!("test_installed_twice").increment(1);
    assert!(first.render().contains("test_installed_twice"));
    assert!(second.render().contains("user_merge_build_info{version="));
}
