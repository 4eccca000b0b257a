//! A help desk, queues and a ledger for one case: how it begins and goes on, and when it is over.

use lapin::BasicProperties;

use super::ledger::Ledger;
use super::scenario::Scenario;
use super::setting::{configure, fill, prepare};
use crate::harness::{Desk, Process, Queues, Writer, eventually, key, request};

pub const LANE: &str = "user-merge.requests";
pub const DEAD: &str = "user-merge.dead";
pub const RETRIES: [&str; 2] = ["user-merge.retry.1s", "user-merge.retry.2s"];

pub struct Stage {
    pub desk: Desk,
    pub queues: Queues,
    pub scenario: Scenario,
    pub ledger: Ledger,
}

impl Stage {
    /// Everything as the worker is to find it.
    pub async fn open(scenario: Scenario) -> Self {
        let mut desk = Desk::open().await;
        let queues = Queues::open(&mut desk).await;
        configure(&mut desk, scenario);
        fill(&desk, scenario).await;
        prepare(&mut desk, scenario).await;
        let mut ledger = Ledger::read(&desk).await;
        for &(source, target) in scenario.merges() {
            ledger.merge(source, target);
        }
        Self {
            desk,
            queues,
            scenario,
            ledger,
        }
    }

    /// The message that leads to the failpoint, if it takes one. Whoever sends it twice asks for nothing more.
    pub async fn send(&self) {
        let request = match self.scenario {
            Scenario::LeftBehind | Scenario::Stranded | Scenario::Late => return,
            Scenario::Unreadable => {
                let properties = BasicProperties::default().with_message_id("unreadable".into());
                self.queues.publish(LANE, b"no request", properties).await;
                return;
            }
            Scenario::Together => {
                for &(source, target) in self.scenario.merges() {
                    self.queues.send(&request(source, target)).await;
                }
                return;
            }
            Scenario::Several => {
                for (source, target) in [(5, 6), (999, 4), (1, 2), (7, 8)] {
                    self.queues.send(&request(source, target)).await;
                }
                return;
            }
            Scenario::AlreadyMerged => key("again", 1, 2),
            Scenario::KeyReused => key("merge-1-2", 3, 4),
            _ => request(1, 2),
        };
        self.queues.send(&request).await;
    }

    /// The first merge of several, which finds its source locked.
    pub async fn hold_up(&self) -> Option<Writer> {
        if self.scenario != Scenario::Several {
            return None;
        }
        let lock = "SELECT FROM helpdesk.users WHERE account_id = 1 AND id = 1 FOR UPDATE";
        let writer = self.desk.begin_with(lock).await;
        self.queues.send(&request(1, 2)).await;
        Some(writer)
    }

    /// Lets it go once all others are in the worker's hand.
    pub async fn let_go(&self, writer: Writer) {
        self.desk.merge_waits_for(&writer).await;
        self.send().await;
        eventually("all messages in hand", || async {
            (self.queues.count(LANE).await == 0).then_some(())
        })
        .await;
        writer.rollback().await;
    }

    /// What it takes to come to an end, once the failpoint was reached.
    pub async fn go_on(&self) {
        match self.scenario {
            Scenario::PutOff => self.queues.send(&request(5, 1)).await,
            Scenario::GivenUp => {
                let given_up = self.queues.next(DEAD).await;
                assert_eq!(given_up.header("x-reason").as_deref(), Some("other"));
                self.desk
                    .execute("DROP TRIGGER fault ON helpdesk.users")
                    .await;
                self.queues
                    .publish(LANE, &given_up.body, given_up.properties)
                    .await;
            }
            _ => {}
        }
    }

    /// Waits until all is done, then stops the worker, and starts another one as long as messages come back.
    pub async fn finish(&self, mut worker: Process) {
        for _ in 0..5 {
            eventually(&format!("the end of {:?}", self.scenario), || async {
                self.is_quiet(&worker).await.then_some(())
            })
            .await;
            worker.signal("TERM");
            assert_eq!(worker.exit().await, 0);
            // Nobody consumes any more: what was under way is settled or came back.
            if self.queues.count(LANE).await == 0 && self.put_off().await == 0 {
                return;
            }
            worker = Process::worker(&self.desk);
        }
        panic!("messages keep coming back");
    }

    async fn is_quiet(&self, worker: &Process) -> bool {
        let records = self.records().await == self.scenario.records();
        let pending = "SELECT count(*) FROM user_merge.outbox WHERE published_at IS NULL";
        if !records || self.desk.number(pending).await > 0 || !self.is_heard().await {
            return false;
        }
        if self.queues.count(LANE).await + self.put_off().await > 0 {
            return false;
        }
        let (_, metrics) = worker.get("/metrics").await;
        let in_flight = "user_merge_in_flight{lane=\"interactive\"} ";
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(in_flight));
        line.is_none_or(|count| count == "0")
    }

    /// What follows from a message without changing any record.
    async fn is_heard(&self) -> bool {
        let sql = match self.scenario {
            Scenario::Repeated => {
                "SELECT count(*) - 1 FROM user_merge.outbox WHERE destination = 'event'"
            }
            Scenario::KeyReused => {
                "SELECT count(*) FROM user_merge.outbox WHERE routing_key = 'merge.rejected'"
            }
            Scenario::Late => {
                "SELECT (NOT EXISTS (SELECT FROM helpdesk.tickets WHERE account_id = 1 AND requester_id = 1)
                         AND NOT EXISTS (SELECT FROM helpdesk.ticket_ccs WHERE account_id = 1 AND user_id = 1)
                        )::int::bigint"
            }
            Scenario::Unreadable => return self.queues.count(DEAD).await > 0,
            _ => return true,
        };
        self.desk.number(sql).await > 0
    }

    async fn put_off(&self) -> u32 {
        let mut count = 0;
        for queue in RETRIES {
            count += self.queues.count(queue).await;
        }
        count
    }

    pub async fn records(&self) -> Vec<String> {
        self.desk
            .list(
                "SELECT concat_ws(' ', idempotency_key, state) FROM user_merge.merges
                 ORDER BY idempotency_key",
            )
            .await
    }
}
