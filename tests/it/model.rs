//! All rules at once against a model of them that is as plain as can be: random help desks, and random requests,
//! redeliveries, crashes, failures and acts of others on them. After each step every row is as the model has it.

mod admission;
mod chance;
mod failures;
mod help_desk;
pub mod lines;
mod moves;
mod play;
mod profile;
mod requests;
mod run;
mod stage;
mod story;
mod together;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::harness::{Desk, Dice};
use play::Play;
use story::Story;

/// As many stories as fit into the suite's time, or as many as make a proof.
fn cases() -> u32 {
    if is_whole() { 2_000 } else { 60 }
}

fn is_whole() -> bool {
    std::env::var("USER_MERGE_PROOF").is_ok_and(|proof| proof == "whole")
}

/// What is handed from story to story.
#[derive(Default)]
struct Stage {
    /// None after a failure: the next story gets a new one.
    desk: Option<Desk>,
    played: u32,
    has_failed: bool,
    tally: BTreeMap<String, u32>,
}

async fn play(story: &Story, stage: &RefCell<Stage>) -> Result<(), String> {
    let desk = stage.borrow_mut().desk.take();
    let desk = match desk {
        Some(desk) => desk,
        None => Desk::open().await,
    };
    let mut play = Play::begin(desk, story).await;
    let played = play_all(&mut play, story).await;
    let mut stage = stage.borrow_mut();
    stage.played += 1;
    if played.is_err() && !stage.has_failed {
        stage.has_failed = true;
        println!("story {} fails; a shorter one is looked for", stage.played);
    }
    for (what, count) in play.tally {
        *stage.tally.entry(what).or_default() += count;
    }
    stage.desk = played.is_ok().then_some(play.desk);
    played
}

async fn play_all(play: &mut Play, story: &Story) -> Result<(), String> {
    for (n, step) in story.steps.iter().enumerate() {
        let done = play.step(n, *step).await;
        done.map_err(|why| format!("at step {n}, {step:?}:\n{why}"))?;
    }
    play.end()
        .await
        .map_err(|why| format!("after everything was delivered once more:\n{why}"))
}

/// R1 to R5, R7, A1 to A10, T1 to T9, P1 to P16 and D1 to D4 in whatever order things happen.
#[test]
fn r1_r2_r3_r4_r5_r7_any_story_ends_as_the_model_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut dice = Dice::new();
    let seed: Vec<u8> = (0..32)
        .map(|_| u8::try_from(dice.below(256)).unwrap())
        .collect();
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let stage = RefCell::new(Stage::default());
    let told = runner.run(&chance::story(), |story| {
        let played = runtime.block_on(play(&story, &stage));
        played.map_err(TestCaseError::fail)
    });
    if let Err(error) = told {
        panic!("{error}");
    }
    let tally = stage.into_inner().tally;
    println!("{} stories: {tally:#?}", cases());
    let often = [
        "completed",
        "repeated",
        "slice_over",
        "completed in a batch",
    ];
    let now_and_then = [
        "already_merged",
        "already_merged in a batch",
        "batch that crashed",
        "fenced beside another",
        "given up",
        "late",
        "put_off",
        "put_off in a batch",
        "rejected in a batch",
        "repeated in a batch",
    ];
    // Chance may leave something out of the few stories of the bounded run.
    let rest = if is_whole() { &now_and_then[..] } else { &[] };
    for what in often.iter().chain(rest) {
        assert!(
            tally.contains_key(*what),
            "nothing was ever {what}: {tally:?}"
        );
    }
}
