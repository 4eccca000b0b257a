use super::*;

const SECRET: &str = "hunter2";

#[test]
fn what_is_not_set_is_an_error_only_for_who_needs_it() {
    let settings = load("", &[]).unwrap();
    let text = settings.database.require_url().unwrap_err().to_string();
    assert!(
        text.contains("database.url (environment variable USER_MERGE__DATABASE__URL): is not set"),
        "{text}"
    );
    assert!(
        text.contains("postgres://user:password@host/database"),
        "{text}"
    );
    let text = settings.broker.require_url().unwrap_err().to_string();
    assert!(
        text.contains("broker.url (environment variable USER_MERGE__BROKER__URL): is not set"),
        "{text}"
    );
}

#[test]
fn a_url_is_kept_without_the_line_feed_of_a_mounted_file() {
    use secrecy::ExposeSecret;
    let env = [
        (
            "USER_MERGE__DATABASE__URL",
            "postgresql://worker:hunter2@db/help\n",
        ),
        ("USER_MERGE__BROKER__URL", "amqps://worker:hunter2@mq/%2f"),
    ];
    let settings = load("", &env).unwrap();
    let url = settings.database.require_url().unwrap();
    assert_eq!(url.expose_secret(), "postgresql://worker:hunter2@db/help");
    assert!(settings.broker.require_url().is_ok());
    assert!(!format!("{settings:?}").contains(SECRET));
}

#[test]
fn no_error_shows_a_secret() {
    let files = [
        // Wrong scheme, wrong type, wrong place, wrong name.
        "[database]\nurl = \"mysql://root:hunter2@db\"",
        "[broker]\nurl = [\"amqp://root:hunter2@mq\"]",
        "[broker]\nurl = \"amqp://root:hunter2@a,b/v,http://root:hunter2@c/v\"",
        "[broker]\nca_file = \"/ca.pem\"\nurl = \"amqp://root:hunter2@mq\"",
        "[broker.names]\ndead = \"\"\n[telemetry]\nlisten = \"amqp://root:hunter2@mq\"",
        "[broker]\nuri = \"amqp://root:hunter2@mq\"",
        "[broker.url]\npassword = \"hunter2\"",
        // Not TOML.
        "[broker]\nurl = \"amqp://root:hunter2@mq",
        "[broker]\nurl = amqp://root:hunter2@mq",
        "[broker]\nurl = hunter2",
        "[broker]\nurl = \"a\" hunter2",
        "[broker]\nurl = \"a\\hunter2\"",
        "[broker]\nurl = \"a\"\nurl = \"hunter2\"",
        "[broker]\nurl = \"\"\"amqp://\nhunter2",
        "[broker\nurl = \"hunter2\"",
        "broker = { url = \"hunter2\"",
        "amqp://root:hunter2@mq",
    ];
    for file in files {
        let error = load(file, &[]).unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(SECRET), "{text}");
        }
    }
    let env = [
        ("USER_MERGE__BROKER__URL", SECRET),
        ("USER_MERGE__DATABASE__PASSWORD", SECRET),
    ];
    let text = error("", &env);
    assert!(
        !text.contains(SECRET) && text.contains("2 wrong settings"),
        "{text}"
    );
}

#[test]
fn a_syntax_error_still_says_where_and_what() {
    let text = error("[relay]\nbatch = = 3", &[]);
    assert!(
        text.starts_with("the settings file is not valid TOML: "),
        "{text}"
    );
    assert!(text.contains("line 2"), "{text}");
}
