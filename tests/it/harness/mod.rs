//! What every test stands on: a help desk in a database of its own, and queues under names of its own.

mod cluster;
mod desk;
mod dice;
mod environment;
mod process;
pub mod proxy;
mod queues;
pub mod raw;
mod seed;
mod servers;
mod shape;
mod standby;
mod tables;
mod verified;
mod worker;
mod writer;

pub use cluster::{Cluster, members};
pub use desk::{Desk, envelope};
pub use dice::Dice;
pub use process::{Output, Process, command, output};
pub use queues::{Message, Queues};
pub use seed::{NewUser, in_account, key, request};
pub use servers::OwnServers;
pub use shape::Shape;
pub use standby::Standby;
pub use verified::found;
pub use worker::Running;
pub use writer::Writer;

/// Polls until the question has an answer. Bounded, so that a test that never gets it fails and says so.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    for _ in 0..1_200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

/// The broker's address, for a connection of the test's own.
pub fn broker_url() -> String {
    address("USER_MERGE__BROKER__URL")
}

/// A server's address, as `tests/run` gives it.
fn address(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests with tests/run"))
}
