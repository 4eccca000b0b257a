//! The faults, in an order that the seed decides.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::Dice;
use crate::harness::proxy::{Mode, Proxy, Way};

use super::fleet::{Fleet, WORKERS, at_work};
use super::size::Size;
use super::stage::Stage;

/// One of the two links of a worker.
#[derive(Debug, Clone, Copy)]
pub enum Link {
    Database,
    Broker,
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// SIGKILL of a worker that is at work, after so long.
    Kill(usize, Duration),
    /// SIGTERM of one.
    Term(usize),
    /// A mode of a link, for so long.
    Link(usize, Link, Mode, Duration),
    /// `restart` or `kill` of a server, which is brought up again.
    Server(&'static str, &'static str),
}

/// All faults of a run, in order, each with the pause before it.
pub fn schedule(dice: &mut Dice, size: Size) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let worker = |dice: &mut Dice| usize::try_from(dice.below(WORKERS as u64)).unwrap();
    for _ in 0..size.kills {
        let after = Duration::from_millis(dice.below(150));
        faults.push(Fault::Kill(worker(dice), after));
        if dice.percent(35) {
            let link = dice.pick(&[Link::Database, Link::Broker]);
            let lasts = Duration::from_millis(100 + dice.below(1_500));
            faults.push(Fault::Link(worker(dice), link, mode(dice), lasts));
        }
    }
    for _ in 0..size.terms {
        faults.push(Fault::Term(worker(dice)));
    }
    for (server, times) in [("rabbitmq", size.broker), ("postgres", size.database)] {
        for _ in 0..times {
            faults.extend(["restart", "kill"].map(|what| Fault::Server(what, server)));
        }
    }
    dice.shuffle(&mut faults);
    let pause = |dice: &mut Dice| Duration::from_millis(dice.below(120));
    faults
        .into_iter()
        .map(|fault| (pause(dice), fault))
        .collect()
}

fn mode(dice: &mut Dice) -> Mode {
    match dice.below(9) {
        0 => Mode::Delay(Duration::from_millis(5 + dice.below(100))),
        1 => Mode::Throttle(usize::try_from(500 + dice.below(20_000)).unwrap()),
        2 => Mode::Slice(usize::try_from(1 + dice.below(60)).unwrap()),
        3 => Mode::Stall,
        4 => Mode::BlackHole,
        5 => Mode::Reset,
        6 => Mode::HalfClose(Way::ToServer),
        7 => Mode::HalfClose(Way::ToClient),
        _ => Mode::Refuse,
    }
}

/// What was done, by kind.
pub type Tally = BTreeMap<String, u64>;

/// Carries out the schedule. Wrong exit statuses come back as text.
pub async fn inflict(
    schedule: Vec<(Duration, Fault)>,
    stage: &Stage,
    fleet: &Arc<Fleet>,
) -> (Tally, Vec<String>) {
    let (mut tally, mut wrong) = (Tally::new(), Vec::new());
    let total = schedule.len();
    for (n, (pause, fault)) in schedule.into_iter().enumerate() {
        tokio::time::sleep(pause).await;
        note(&format!("{n} {fault:?}"));
        let done = match fault {
            Fault::Kill(worker, after) => {
                let at_work = at_work(fleet, worker).await;
                tokio::time::sleep(after).await;
                let post = &fleet.posts[at_work.unwrap_or(worker)];
                post.kill();
                post.start();
                let how = if at_work.is_some() {
                    "at work"
                } else {
                    "starting"
                };
                format!("worker: SIGKILL, {how}")
            }
            Fault::Term(worker) => {
                let post = &fleet.posts[at_work(fleet, worker).await.unwrap_or(worker)];
                // With faults on its links it may need all of its grace, and says so; without it must be done.
                post.database.set(Mode::Pass);
                post.broker.set(Mode::Pass);
                let status = post.term().await;
                post.start();
                if status != Some(0) {
                    wrong.push(format!("fault {n}: SIGTERM ended with {status:?}"));
                }
                "worker: SIGTERM".to_owned()
            }
            Fault::Link(worker, link, mode, lasts) => {
                let fleet = fleet.clone();
                proxy(&fleet, worker, link).set(mode);
                tokio::spawn(async move {
                    tokio::time::sleep(lasts).await;
                    proxy(&fleet, worker, link).set(Mode::Pass);
                });
                let name = format!("{mode:?}").to_lowercase();
                let name = name.split('(').next().unwrap().to_owned();
                format!("link to {link:?}: {name}").to_lowercase()
            }
            Fault::Server(what, server) => {
                let servers = stage.servers.clone();
                let hit = move || {
                    servers.run(what, &[server]);
                    if what == "kill" {
                        servers.run("up", &[server]);
                    }
                };
                tokio::task::spawn_blocking(hit).await.unwrap();
                format!("{server}: {what}")
            }
        };
        *tally.entry(done).or_default() += 1;
        if n % 100 == 99 {
            println!("  {} of {total} faults", n + 1);
        }
    }
    (tally, wrong)
}

/// Beside the workers' logs, where somebody asked for them.
fn note(text: &str) {
    let Ok(directory) = std::env::var("USER_MERGE_CHAOS_LOGS") else {
        return;
    };
    std::fs::create_dir_all(&directory).unwrap();
    let mut options = std::fs::File::options();
    let file = options.create(true).append(true);
    let mut file = file.open(format!("{directory}/faults")).unwrap();
    writeln!(file, "{} {text}", chrono::Utc::now().to_rfc3339()).unwrap();
}

fn proxy(fleet: &Fleet, worker: usize, link: Link) -> &Proxy {
    let post = &fleet.posts[worker];
    match link {
        Link::Database => &post.database,
        Link::Broker => &post.broker,
    }
}
