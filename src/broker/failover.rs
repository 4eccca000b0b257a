//! Which node of a cluster takes us: each host in turn, each address of a host in turn. In another order every
//! time, so that connections spread, and come back to a node that was away.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use lapin::ConnectionProperties;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use tokio::time::{Instant, timeout};

use super::tcp::{self, Reads, Socket};
use super::{Error, Settings, places};

/// The largest frame, in bytes, where usual messages are read: room for four times the headers that tracing and
/// dead-lettering add. The client library fills buffers of 64 frames with zeros for each connection, at the 128 KiB that
/// the broker offers 8 MiB, and makes none smaller than for frames of 8 KiB.
const USUAL_FRAME: u32 = 8 * 1024;

/// What was tried, and why it failed.
type Failed = Vec<(String, Error)>;

/// Connects to one of the hosts, within [`Settings::connect_timeout`] in all. A host that refuses the login is no
/// reason not to ask the others: it may have lost its users. But where none takes us, the refusal is what is told.
pub(super) async fn connect(
    settings: &Settings,
    options: &ConnectionProperties,
    tls: &OwnedTLSConfig,
    reads: Reads,
) -> Result<(lapin::Connection, Socket), Error> {
    let mut hosts = settings.places()?;
    if reads == Reads::Usual {
        for host in &mut hosts {
            host.query.frame_max.get_or_insert(USUAL_FRAME);
        }
    }
    shuffle(&mut hosts, places::name);
    let deadline = Instant::now() + settings.connect_timeout;
    let mut failed = Failed::new();
    for (tried, host) in hosts.iter().enumerate() {
        let until = Instant::now() + share(deadline, hosts.len() - tried);
        let addresses = match resolve(host, until).await {
            Ok(addresses) => addresses,
            Err(error) => {
                failed.push((places::name(host), error));
                continue;
            }
        };
        let connected = any(host, addresses, until, (options, tls, reads), &mut failed).await;
        if let Some(connected) = connected {
            if !failed.is_empty() {
                let error = list(&failed);
                tracing::warn!(%error, "connected to another node of the broker");
            }
            return Ok(connected);
        }
    }
    let list = list(&failed);
    if failed.iter().any(|(_, error)| error.is_lasting()) {
        Err(Error::Refused(list))
    } else {
        Err(Error::Unreachable(list))
    }
}

/// At one of a host's addresses.
async fn any(
    host: &AMQPUri,
    mut addresses: Vec<SocketAddr>,
    until: Instant,
    (options, tls, reads): (&ConnectionProperties, &OwnedTLSConfig, Reads),
    failed: &mut Failed,
) -> Option<(lapin::Connection, Socket)> {
    shuffle(&mut addresses, SocketAddr::to_string);
    for (tried, address) in addresses.iter().enumerate() {
        let limit = share(until, addresses.len() - tried);
        match tcp::open(host, *address, options.clone(), tls.clone(), limit, reads).await {
            Ok(connected) => return Some(connected),
            Err(error) => failed.push((at(host, *address, addresses.len()), error)),
        }
    }
    None
}

/// A host that is silent must not use up the time of those after it; what a quick refusal leaves is theirs.
fn share(deadline: Instant, left: usize) -> Duration {
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    let share = deadline.saturating_duration_since(Instant::now()) / left;
    Duration::from_millis(u64::try_from(share.as_millis()).unwrap_or(u64::MAX))
}

fn shuffle<T>(items: &mut [T], name: impl Fn(&T) -> String) {
    let random = RandomState::new();
    items.sort_by_cached_key(|item| random.hash_one(name(item)));
}

async fn resolve(host: &AMQPUri, until: Instant) -> Result<Vec<SocketAddr>, Error> {
    let asked = (host.authority.host.as_str(), host.authority.port);
    let after = until.saturating_duration_since(Instant::now());
    let lost = |reason: String| Error::Lost {
        doing: "connecting",
        reason,
    };
    match timeout(after, tokio::net::lookup_host(asked)).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() {
                return Err(lost("the name has no address".to_owned()));
            }
            Ok(addresses)
        }
        Ok(Err(error)) => Err(lost(error.to_string())),
        Err(_) => Err(lost("its name is not resolved in time".to_owned())),
    }
}

/// `host:port`, and which address where there are several.
fn at(host: &AMQPUri, address: SocketAddr, addresses: usize) -> String {
    let name = places::name(host);
    if addresses > 1 {
        format!("{name} ({})", address.ip())
    } else {
        name
    }
}

/// Each place with its reason; places with the same one together.
fn list(failed: &[(String, Error)]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (at, error) in failed {
        let reason = match error {
            Error::Refused(reason) | Error::Lost { reason, .. } => reason.clone(),
            Error::TimedOut { after, .. } => {
                format!("no answer within {}", format_duration(*after))
            }
            error => error.to_string(),
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, places)) => places.push(at),
            None => reasons.push((reason, vec![at])),
        }
    }
    let tries: Vec<String> = reasons
        .iter()
        .map(|(reason, places)| format!("{}: {reason}", places.join(", ")))
        .collect();
    tries.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody listens at any of them.
    #[tokio::test]
    async fn each_address_of_a_name_is_tried_and_told() {
        let host = &places::places("amqp://u:s3cret@broker:1/").unwrap()[0];
        let addresses: Vec<SocketAddr> = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"]
            .map(|address| address.parse().unwrap())
            .to_vec();
        let until = Instant::now() + Duration::from_secs(10);
        let (options, tls) = (ConnectionProperties::default(), OwnedTLSConfig::default());
        let mut failed = Failed::new();
        let connected = any(
            host,
            addresses,
            until,
            (&options, &tls, Reads::Usual),
            &mut failed,
        )
        .await;
        assert!(connected.is_none());
        let text = list(&failed);
        for n in 1..=3 {
            assert!(text.contains(&format!("broker:1 (127.0.0.{n})")), "{text}");
        }
        assert!(
            text.ends_with(": Connection refused (os error 111)"),
            "{text}"
        );
    }

    #[test]
    fn a_silent_host_leaves_the_others_their_share() {
        let soon = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(share(soon(9), 3) <= Duration::from_secs(3));
        assert!(share(soon(9), 1) > Duration::from_secs(8));
        assert_eq!(share(Instant::now(), 2), Duration::ZERO);
    }
}
