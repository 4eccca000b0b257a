//! Several URLs in one setting: the nodes of a cluster.

/// The URLs of a list with commas between them. A comma divides only where another URL follows: it may stand in a
/// password too, and between the hosts of one URL.
#[must_use]
pub fn urls(list: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    let mut start = 0;
    for (at, comma) in list.match_indices(',') {
        let next = at + comma.len();
        if begins_url(&list[next..]) {
            urls.push(list[start..at].trim());
            start = next;
        }
    }
    urls.push(list[start..].trim());
    urls
}

fn begins_url(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.split_once("://")
        .is_some_and(|(scheme, _)| is_scheme(scheme.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_divides_only_before_another_url() {
        for (list, expected) in [
            ("amqp://h", vec!["amqp://h"]),
            ("amqp://u:p,w@h/v", vec!["amqp://u:p,w@h/v"]),
            ("amqp://u:pw@a,b:1,c/v", vec!["amqp://u:pw@a,b:1,c/v"]),
            (
                "amqps://u:p,w@a/v, amqps://b",
                vec!["amqps://u:p,w@a/v", "amqps://b"],
            ),
            ("amqp://a,http://b", vec!["amqp://a", "http://b"]),
            ("amqp://a,", vec!["amqp://a,"]),
        ] {
            assert_eq!(urls(list), expected);
        }
    }
}
