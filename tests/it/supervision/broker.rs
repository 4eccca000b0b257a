//! What a broker does to its clients, one thing after the other, on a broker that is the test's to command.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use super::{lines, missing};
use crate::harness::{Desk, OwnServers, Process, Queues, eventually, request};
use crate::telemetry::{metric, until_merges, until_metric};

const LANE: &str = "user-merge.requests";
const DELETIONS: &str = "user-deletion.requests";
const FAILURES: &str = "user_merge_broker_failures_total";

struct Scene {
    servers: OwnServers,
    desk: Desk,
    queues: Queues,
    worker: Process,
}

#[tokio::test]
async fn whatever_the_broker_does_is_answered_counted_and_told_once() {
    let servers = OwnServers::start();
    let mut desk = Desk::open().await;
    let queues = Queues::open_at(&mut desk, servers.address("USER_MERGE__BROKER__URL")).await;
    desk.settings.broker.publish_timeout = Duration::from_millis(1900);
    desk.settings.relay.lease = Duration::from_secs(2);
    desk.settings.relay.interval = Duration::from_millis(100);
    desk.users(1..=99).await;
    let worker = Process::worker(&desk).ready().await;
    let scene = Scene {
        servers,
        desk,
        queues,
        worker,
    };
    scene.a_queue_forgets_its_consumer().await;
    scene.a_publish_is_returned().await;
    scene.publishes_are_refused().await;
    scene.the_disk_is_full().await;
    assert_eq!(lines(&scene.worker, "consuming was interrupted"), 1);
}

impl Scene {
    async fn failures(&self, connection: &str, cause: &str) -> u64 {
        let labels = format!("connection=\"{connection}\",cause=\"{cause}\"");
        metric(&self.worker, FAILURES, &labels).await
    }

    async fn done(&self, merges: i64) {
        until_merges(&self.desk, "completed", merges).await;
    }

    /// So many deletion messages have come by now, of as many users.
    async fn deletions(&self, seen: &mut BTreeSet<i64>, count: usize) {
        let users = eventually("the deletion messages", || async {
            let mut users = Vec::new();
            while let Some(message) = self.queues.peek(DELETIONS).await {
                users.push(message.json()["user_id"].as_i64().unwrap());
            }
            (!users.is_empty()).then_some(users)
        })
        .await;
        seen.extend(users);
        if seen.len() < count {
            Box::pin(self.deletions(seen, count)).await;
        }
    }

    /// Connection and channel stand, and nothing tells the consumer that it is none any more.
    async fn a_queue_forgets_its_consumer(&self) {
        let queue = self.queues.name(LANE);
        let forget = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)),
             [ra:process_command(amqqueue:get_pid(Q),
                  rabbit_fifo:make_checkout({{element(2, C), element(1, C)}}, cancel, #{{}}))
              || C <- rabbit_amqqueue:consumers(Q)]."
        );
        self.servers.run("rabbitmqctl", &["eval", &forget]);
        self.queues.send(&request(1, 2)).await;
        self.done(1).await;
        assert_eq!(self.failures("consuming", "silent").await, 1);
        let line = self.worker.line("has forgotten this consumer").await;
        assert!(line.contains("consuming was interrupted"), "{line}");
        self.deletions(&mut BTreeSet::new(), 1).await;
    }

    /// Nobody has the queue that a message is for: declared anew, and the message sent again.
    async fn a_publish_is_returned(&self) {
        let name = self.queues.name(DELETIONS);
        let delete = self
            .queues
            .channel
            .queue_delete(name.as_str().into(), QueueDeleteOptions::default());
        delete.await.unwrap();
        self.queues.send(&request(3, 4)).await;
        until_metric(&self.worker, FAILURES, "cause=\"unroutable\"", 1).await;
        // Asked for before it is there again, the queue would take the test's channel with it.
        until_metric(
            &self.worker,
            "user_merge_outbox_published_total",
            "deletion",
            2,
        )
        .await;
        self.deletions(&mut BTreeSet::new(), 1).await;
        assert_eq!(lines(&self.worker, "the broker has no queue"), 1);
        missing(&self.worker, &[]).await;
    }

    /// The deletion queue is full: what is refused waits in the outbox, and one line says so.
    async fn publishes_are_refused(&self) {
        let name = self.queues.name(DELETIONS);
        let policy = [
            "set_policy",
            "full",
            &name,
            r#"{"max-length": 1, "overflow": "reject-publish"}"#,
        ];
        self.servers.run("rabbitmqctl", &policy);
        for source in 11..=30 {
            self.queues.send(&request(source, source + 40)).await;
        }
        self.done(22).await;
        until_metric(&self.worker, FAILURES, "cause=\"nacked\"", 3).await;
        self.servers.run("rabbitmqctl", &["clear_policy", "full"]);
        let mut seen = BTreeSet::new();
        self.deletions(&mut seen, 20).await;
        assert_eq!(seen, (11..=30).collect());
        // One for all that waited, and one for those that were tried again.
        let told = lines(&self.worker, "the broker refused to store");
        assert!(told <= 2, "{told} lines");
        assert_eq!(self.failures("publishing", "invalid").await, 0);
    }

    /// A disk alarm: nothing is published, merges go on, and readiness says what is missing.
    async fn the_disk_is_full(&self) {
        self.servers
            .run("rabbitmqctl", &["set_disk_free_limit", "1000000GB"]);
        self.desk.execute("INSERT INTO user_merge.outbox (account_id, merge_id, destination, routing_key, message_id, body, claimed_until)
             VALUES (1, gen_random_uuid(), 'event', 'merge.completed', 'x', '{}', now())").await;
        until_metric(&self.worker, FAILURES, "cause=\"blocked\"", 1).await;
        missing(&self.worker, &["publishing"]).await;
        self.servers
            .run("rabbitmqctl", &["set_disk_free_limit", "100MB"]);
        eventually("a ready worker", || async {
            self.worker.is_ready().await.then_some(())
        })
        .await;
        self.queues.send(&request(5, 6)).await;
        self.done(23).await;
        self.deletions(&mut BTreeSet::new(), 1).await;
    }
}
