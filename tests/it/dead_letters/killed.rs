//! `kill -9`, at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{BULK, DEAD, drain, given_up};
use crate::harness::{Dice, Process, Queues, command, eventually, key};

const LETTERS: u32 = 300;

/// Everything is in one of the two queues, and held by nobody.
async fn all_there(queues: &Queues) -> u32 {
    eventually("every letter in one of the queues", || async {
        let (dead, lane) = (queues.count(DEAD).await, queues.count(BULK).await);
        (dead + lane >= LETTERS).then_some(dead)
    })
    .await
}

/// It loses nothing, and comes to its end.
#[tokio::test]
async fn a_replay_that_is_killed_loses_nothing() {
    let (desk, queues) = super::desk().await;
    for n in 1..=LETTERS {
        let request = key(&format!("k-{n}"), n.into(), 9_999);
        given_up(
            &queues,
            &request,
            "deadlock",
            "bulk",
            "2026-11-22T09:00:00Z",
        )
        .await;
    }
    let mut dice = Dice::new();
    let (mut kills, mut midway) = (0, 0);
    let mut before = LETTERS;
    while before > 0 && kills < 60 {
        let line = "dead-letters replay --all --yes --rate 250/s";
        let arguments: Vec<&str> = line.split(' ').collect();
        let replayed = queues.count(BULK).await;
        let replay = Process::start(command(&desk.settings, &arguments));
        eventually("the first letter that goes back", || async {
            (queues.count(BULK).await > replayed).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(dice.below(80))).await;
        drop(replay); // SIGKILL
        kills += 1;
        let dead = all_there(&queues).await;
        midway += u32::from(dead > 0);
        before = dead;
    }
    assert!(
        midway > 3,
        "{midway} of {kills} kills were in the middle of it"
    );
    let left: BTreeSet<String> = drain(&queues, DEAD).await.into_iter().collect();
    let replayed: BTreeSet<String> = drain(&queues, BULK).await.into_iter().collect();
    let all: BTreeSet<String> = left.union(&replayed).cloned().collect();
    assert_eq!(all.len(), LETTERS as usize, "something is lost");
}

#[tokio::test]
async fn a_discard_that_is_killed_has_written_what_it_took() {
    let (desk, queues) = super::desk().await;
    for n in 1..=LETTERS {
        let request = key(&format!("k-{n}"), n.into(), 9_999);
        given_up(
            &queues,
            &request,
            "deadlock",
            "bulk",
            "2026-11-22T09:00:00Z",
        )
        .await;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("discarded.jsonl");
    let mut dice = Dice::new();
    for _ in 0..12 {
        let mut command = command(
            &desk.settings,
            &["dead-letters", "discard", "--all", "--yes", "--save"],
        );
        command.arg(&file);
        let discard = Process::start(command);
        tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        drop(discard); // SIGKILL
    }
    // What was held comes back; what was taken is gone for good.
    let mut left = BTreeSet::new();
    eventually("every letter in the queue or in the file", || async {
        let saved = std::fs::read_to_string(&file).unwrap_or_default();
        let saved = saved
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let saved: BTreeSet<String> = saved
            .map(|letter| letter["idempotency_key"].as_str().unwrap().to_owned())
            .collect();
        let dead = queues.count(DEAD).await as usize;
        (saved.len() + dead >= LETTERS as usize).then_some(())
    })
    .await;
    left.extend(drain(&queues, DEAD).await);
    let saved = std::fs::read_to_string(&file).unwrap_or_default();
    for line in saved.lines() {
        let letter: Result<serde_json::Value, _> = serde_json::from_str(line);
        left.extend(
            letter
                .ok()
                .and_then(|letter| Some(letter["message_id"].as_str()?.to_owned())),
        );
    }
    assert_eq!(left.len(), LETTERS as usize, "something is lost");
}
