//! Seeded chaos: worker processes that are killed, servers that go away and links that fail, while requests of all
//! kinds come in and the help desk goes on working. At the end a ledger, counted by the test alone.
//!
//! A seed decides the order and the kinds of load and faults. When exactly a fault meets a merge is not decided by
//! it: real processes share real processors.

mod audit;
mod drain;
mod faults;
mod fleet;
mod heard;
mod helpdesk;
mod ledger;
mod load;
mod mistakes;
mod plan;
mod size;
mod stage;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::harness::{Dice, command, output};

use drain::Operator;
use faults::Tally;
use fleet::Fleet;
use heard::Heard;
use helpdesk::{Deeds, HelpDesk};
use ledger::Ledger;
use load::Sent;
use plan::Plan;
use size::Size;
use stage::{SETTLED, Stage};
use wire::Wire;

/// R4, R5, D1, D2: whatever is killed and however often, nothing is lost, nothing is done twice, nothing stays
/// half done. `tests/prove chaos` runs the whole of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_r5_d1_d2_nothing_is_lost_and_nothing_done_twice_in_chaos() {
    let size = Size::of_environment();
    let replay = format!("USER_MERGE_CHAOS_SEED={}", size.seed);
    println!("to repeat this schedule: {replay}");
    let mut ledger = Ledger::default();
    run(size, &mut ledger).await;
    println!("{}", ledger.table());
    ledger.save();
    let wrong = ledger.wrong.join("\n");
    assert!(wrong.is_empty(), "{replay}\n{wrong}");
}

async fn run(size: Size, ledger: &mut Ledger) {
    let mut dice = Dice::seeded(size.seed);
    let plan = Plan::new(dice.split(), size);
    let schedule = faults::schedule(&mut dice, size);

    let stage = Stage::set(size).await;
    let mut wire = Wire::new(&stage.broker);
    wire.listen().await;
    tokio::time::sleep(SETTLED).await;
    let fleet = Arc::new(Fleet::start(&stage));
    let desk = HelpDesk::new(&stage.pool);
    let (no_load, no_deeds) = (CancellationToken::new(), CancellationToken::new());
    let working: Vec<_> = (0..2)
        .map(|_| tokio::spawn(desk.clone().work(dice.split(), no_deeds.clone())))
        .collect();

    let mut heard = Heard::default();
    let sending = load::send(&stage, size, plan, &desk, &no_load);
    let inflicting = async {
        let done = faults::inflict(schedule, &stage, &fleet).await;
        no_load.cancel();
        done
    };
    let listening = async {
        while !no_load.is_cancelled() {
            heard.listen(&stage, &mut wire).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let (sent, (tally, wrong), ()) = tokio::join!(sending, inflicting, listening);
    ledger.wrong.extend(wrong);

    fleet.calm();
    fleet::all_at_work(&fleet).await;
    no_deeds.cancel();
    for task in working {
        task.await.unwrap();
    }
    let drained = drain::drain(&stage, &fleet, &sent, &mut wire, &mut heard);
    let (operator, wrong) = drained.await;
    ledger.wrong.extend(wrong);
    settle(&stage, ledger, &sent, &heard, &operator).await;
    ledger.wrong.append(&mut heard.wrong);
    count_deeds(ledger, &desk.deeds);
    count_faults(ledger, &tally);
}

async fn settle(
    stage: &Stage,
    ledger: &mut Ledger,
    sent: &Sent,
    heard: &Heard,
    operator: &Operator,
) {
    let asks = sent.groups.iter().map(|group| group.asks.len());
    ledger.line("messages published and confirmed", sent.messages);
    ledger.line("publishes without a confirm, repeated", sent.unconfirmed);
    ledger.line("different requests", asks.sum::<usize>());
    let recorded = ledger::recorded(stage).await;
    let fate = ledger.requests(sent, &recorded, heard);

    let junk: BTreeSet<&[u8]> = sent
        .groups
        .iter()
        .flat_map(|group| group.junk.iter().map(Vec::as_slice))
        .collect();
    let dead = operator.unreadable.iter();
    let found: BTreeSet<&[u8]> = dead.map(|letter| letter.body.as_slice()).collect();
    ledger.line("unreadable messages", junk.len());
    ledger.line("of them in the dead-letter queue", found.len());
    if junk != found {
        let wrong = "the dead-letter queue holds other messages than the unreadable ones";
        ledger.wrong.push(wrong.to_owned());
    }
    ledger.line("merges announced as given up", heard.failures);
    for (reason, times) in &operator.replayed {
        ledger.line(&format!("dead letters sent again: {reason}"), *times);
    }

    let mut connection = stage.pool.acquire().await.unwrap();
    audit::record_fate(&mut connection, &fate).await;
    let wrong = audit::audit(&mut connection).await;
    for (name, sql) in [
        ("tickets", "SELECT count(*) FROM chaos.all_tickets"),
        (
            "tickets moved by merges",
            "SELECT count(*) FROM helpdesk.ticket_events WHERE field = 'requester_id'",
        ),
        (
            "CCs moved or dropped",
            "SELECT count(*) FROM helpdesk.ticket_events WHERE field = 'cc'",
        ),
        (
            "of them late, by the sweep",
            "SELECT coalesce(sum(late), 0)::bigint FROM user_merge.merges",
        ),
        (
            "requests that shared a transaction with others",
            "SELECT coalesce(sum(n), 0)::bigint FROM (
                 SELECT count(*) AS n FROM user_merge.merges WHERE completed_at IS NOT NULL
                 GROUP BY account_id, completed_at) t WHERE n > 1",
        ),
        (
            "large merges taken up more than once",
            "SELECT count(*) FROM user_merge.merges WHERE fence > 1",
        ),
    ] {
        ledger.line(name, stage.number(sql).await);
    }
    ledger.line("users merged", fate.len());
    ledger.line("deletion keys", heard.deletions.len());
    ledger.line(
        "deletion messages, repeats included",
        heard.deletion_messages,
    );
    ledger.deletions(heard, &fate);
    ledger.line("outcome events, repeats included", heard.events);
    ledger.line(
        "looks at the database that found something wrong",
        wrong.len(),
    );
    ledger.wrong.extend(wrong);
    verify(stage, ledger).await;
}

/// What the program itself finds wrong, after the test's own looks.
async fn verify(stage: &Stage, ledger: &mut Ledger) {
    let arguments = ["--json", "verify", "--stale", "1s", "--patience", "1s"];
    let verified = output(command(&stage.settings, &arguments)).await;
    let verdict = i64::from(verified.status != 0);
    ledger.line("user-merge verify found something", verdict);
    if verdict != 0 {
        ledger
            .wrong
            .push(format!("user-merge verify: {verified:?}"));
    }
}

fn count_deeds(ledger: &mut Ledger, deeds: &Deeds) {
    let count = |deed: &AtomicU64| deed.load(Ordering::Relaxed);
    ledger.line("meanwhile: tickets opened", count(&deeds.opened));
    ledger.line("meanwhile: CCs added", count(&deeds.copied));
    ledger.line("meanwhile: tickets archived", count(&deeds.archived));
    ledger.line("meanwhile: tickets given away", count(&deeds.given_away));
}

fn count_faults(ledger: &mut Ledger, tally: &Tally) {
    for (fault, times) in tally {
        ledger.line(fault, *times);
    }
}
