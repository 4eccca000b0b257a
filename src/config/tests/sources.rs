use super::*;

const DEFAULT: &str = include_str!("../../../config/default.toml");
const PRODUCTION: &str = include_str!("../../../config/production.toml");

#[test]
fn the_built_in_settings_name_every_setting_with_a_comment() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.lanes.interactive.concurrency, 16);
    let lines: Vec<_> = DEFAULT.lines().collect();
    let (mut section, mut named) = (String::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            assert!(
                lines[at - 1].starts_with("# "),
                "{section}.{key} has no comment"
            );
            named.push(format!("{section}.{key}"));
        }
    }
    assert_eq!(named, Settings::keys());
}

#[test]
fn the_production_example_can_be_used() {
    load(PRODUCTION, &[]).unwrap();
}

#[test]
fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
    let file = "[relay]\nbatch = 7\n[lanes.bulk]\nprefetch = 9\n[merge]\nslice = \"2m\"";
    let env = [
        ("USER_MERGE__RELAY__BATCH", "8"),
        ("USER_MERGE__BROKER__NAMES__DEAD", "dead"),
        ("USER_MERGE__MERGE__MOVE_ARCHIVED_CCS", "true"),
        ("USER_MERGE__RETRY__DELAYS", "2s, 10s,1h"),
        ("USER_MERGE__SWEEP__STRANDED_AFTER", "2h"),
        ("USER_MERGE__TELEMETRY__LISTEN", ""),
        ("USER_MERGE__TELEMETRY__LOG_FORMAT", "json"),
        ("USER_MERGE_OTHER", "not ours"),
        ("PATH", "/bin"),
    ];
    let settings = load(file, &env).unwrap();
    assert_eq!(settings.relay.batch, 8);
    assert_eq!(settings.lanes.bulk.prefetch, 9);
    assert_eq!(
        settings.lanes.bulk.concurrency, 3,
        "beside it the default stays"
    );
    assert_eq!(settings.merge.slice.as_secs(), 120);
    assert_eq!(settings.broker.names.dead, "dead");
    assert!(settings.merge.move_archived_ccs);
    assert_eq!(
        settings
            .retry
            .delays
            .iter()
            .map(std::time::Duration::as_secs)
            .collect::<Vec<_>>(),
        [2, 10, 3600]
    );
    assert_eq!(settings.telemetry.listen, None);
    assert_eq!(settings.telemetry.log_format, LogFormat::Json);
}

#[test]
fn an_unknown_name_is_refused_with_the_one_that_may_be_meant() {
    let text = error("[brokers]\nurl = \"\"", &[]);
    assert!(
        text.contains("brokers.url (from the settings file): no such setting; is broker.url"),
        "{text}"
    );
    let text = error("[broker.url]\nhost = \"\"", &[]);
    assert!(
        text.contains("broker.url.host (from the settings file): no such setting"),
        "{text}"
    );
    let text = error("nonsense = 1", &[]);
    assert!(
        text.contains("config/default.toml lists them all"),
        "{text}"
    );
    let text = error("", &[("USER_MERGE__LANES__BULK__CONCURENCY", "5")]);
    assert!(
        text.contains("is USER_MERGE__LANES__BULK__CONCURRENCY meant?"),
        "{text}"
    );
    let text = error("", &[("USER_MERGE__relay__batch", "5")]);
    assert!(
        text.contains("is USER_MERGE__RELAY__BATCH meant?"),
        "{text}"
    );
}

#[test]
fn several_errors_are_told_at_once_each_with_value_and_origin() {
    let file = "[relay]\nbatch = 0\n[chunk]\nmin = \"few\"\n[x]\ny = 1";
    let text = error(file, &[("USER_MERGE__WORKER__GRACE", "soon")]);
    for line in [
        "4 wrong settings:",
        "x.y (from the settings file): no such setting",
        "relay.batch = 0 (from the settings file; environment variable USER_MERGE__RELAY__BATCH): \
         must be from 1 to 10000",
        "chunk.min = \"few\" (from the settings file; environment variable USER_MERGE__CHUNK__MIN): \
         must be a whole number up to",
        "worker.grace = \"soon\" (from environment variable USER_MERGE__WORKER__GRACE): \
         must be a duration such as \"750ms\"",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let error = Settings::load(Some(Path::new("/no/such/file.toml"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "can't read the settings file /no/such/file.toml"
    );
}

#[test]
fn a_retry_queue_is_named_after_its_delay() {
    let settings = load("", &[]).unwrap();
    let names: Vec<_> = settings
        .retry
        .delays
        .iter()
        .map(|d| settings.broker.names.retry(*d))
        .collect();
    let expected = ["1s", "10s", "1m", "10m"].map(|delay| format!("user-merge.retry.{delay}"));
    assert_eq!(names, expected);
    assert_eq!(
        settings
            .broker
            .names
            .retry(std::time::Duration::from_secs(90)),
        "user-merge.retry.1m30s"
    );
}
