//! Where the broker is: one URL, or several, each with one host or several. Errors never repeat a URL: it holds
//! the password.

use lapin::uri::AMQPUri;

use crate::config::urls;

const FORM: &str = "must be amqp://user:password@host:port/vhost, or with several hosts \
                    amqp://user:password@host:port,host:port/vhost";

/// A URI for each host, in the order of the list.
pub(super) fn places(list: &str) -> Result<Vec<AMQPUri>, &'static str> {
    let mut places = Vec::new();
    for url in urls(list) {
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            return Err("must start with amqp:// or amqps://");
        }
        let (before, hosts, after) = divide(url).ok_or(FORM)?;
        for host in hosts.split(',') {
            places.push(place(before, host.trim(), after)?);
        }
    }
    agree(&places)?;
    Ok(places)
}

/// `host:port`, as errors name it.
pub(super) fn name(place: &AMQPUri) -> String {
    format!("{}:{}", place.authority.host, place.authority.port)
}

/// What stands before the hosts, the hosts, and what stands after them.
fn divide(url: &str) -> Option<(&str, &str, &str)> {
    let authority = url.find("://")? + 3;
    let end = url[authority..]
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| authority + at);
    let hosts = url[authority..end]
        .rfind('@')
        .map_or(authority, |at| authority + at + 1);
    Some((&url[..hosts], &url[hosts..end], &url[end..]))
}

fn place(before: &str, host: &str, after: &str) -> Result<AMQPUri, &'static str> {
    // The library reads an IPv6 literal, and a missing host, as `localhost`, and would connect to another broker.
    if host.starts_with('[') {
        return Err("an IPv6 address can't be used; give a host name");
    }
    if host.is_empty() || host.starts_with(':') {
        return Err(FORM);
    }
    let place: AMQPUri = format!("{before}{host}{after}").parse().map_err(|_| FORM)?;
    if place.vhost.contains(',') && !after.to_ascii_lowercase().contains("%2c") {
        return Err(
            "several hosts stand before the vhost: amqp://user:password@host:port,host:port/vhost",
        );
    }
    Ok(place)
}

/// What is published by one connection is consumed by another: they must meet. And who encrypts one wants all
/// encrypted.
fn agree(places: &[AMQPUri]) -> Result<(), &'static str> {
    let same = |part: fn(&AMQPUri, &AMQPUri) -> bool| {
        places.windows(2).all(|pair| part(&pair[0], &pair[1]))
    };
    if !same(|one, other| one.vhost == other.vhost) {
        return Err("all URLs must name the same vhost");
    }
    if !same(|one, other| one.scheme == other.scheme) {
        return Err("all URLs must be amqps, or all amqp");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        places(list).unwrap().iter().map(name).collect()
    }

    #[test]
    fn one_host_several_hosts_and_several_urls() {
        assert_eq!(names("amqp://h"), ["h:5672"]);
        assert_eq!(names("amqps://u:p@a,b:1, c/v"), ["a:5671", "b:1", "c:5671"]);
        assert_eq!(
            names("amqp://u:p@a:1/v,amqp://x:y@b:2,c/v?heartbeat=3"),
            ["a:1", "b:2", "c:5672"]
        );
    }

    #[test]
    fn each_host_has_the_user_password_and_vhost_of_its_url() {
        let places = places("amqp://u:p,%40@x:w@a,b/%2Fv%2cw,amqp://o:q@c/%2Fv%2cw").unwrap();
        let logins: Vec<_> = places
            .iter()
            .map(|place| {
                let user = &place.authority.userinfo;
                format!("{}:{}", user.username, user.password)
            })
            .collect();
        assert_eq!(logins, ["u:p,@@x:w", "u:p,@@x:w", "o:q"]);
        assert!(places.iter().all(|place| place.vhost == "/v,w"));
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused_without_the_password() {
        for (list, part) in [
            ("http://u:s3cret@h", "must start with"),
            ("amqp://u:s3cret@a,http://b", "must start with"),
            ("amqp://u:s3cret@a,[::1]/", "IPv6"),
            ("amqp://u:s3cret@a,/", FORM),
            ("amqp://u:s3cret@,a/", FORM),
            ("amqp://u:s3cret@a,:1/", FORM),
            ("amqp://u:s3cret@", FORM),
            ("amqp://u:s3cret@a:port,b/", FORM),
            ("amqp://u:s3cret@a/v,b/v", "before the vhost"),
            ("amqp://u:s3cret@a/v,b", "before the vhost"),
            ("amqp://u:s3cret@a/v,amqp://u:s3cret@b/w", "the same vhost"),
            ("amqps://u:s3cret@a/v,amqp://u:s3cret@b/v", "all URLs must"),
        ] {
            let why = places(list).unwrap_err();
            assert!(
                why.contains(part) && !why.contains("s3cret"),
                "{list}: {why}"
            );
        }
    }
}
