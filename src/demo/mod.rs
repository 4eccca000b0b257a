//! The demo: makes a help desk with duplicate users, merges them over the broker, shows what became of it, and
//! checks it. Each run makes accounts of its own and leaves earlier ones alone.

mod cast;
mod check;
mod fill;
mod ground;
mod oracle;
mod oracle_profile;
mod outcomes;
mod plan;
mod progress;
mod screen;
mod script;
mod show;
mod stage;
mod summary;
mod tally;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use plan::Scale;

use crate::broker::{Connection, peek};
use crate::config::Settings;
use crate::store::{self, Pool, demo};
use oracle::{Bends, World};
use plan::Plan;
use screen::{Screen, thousands};
use show::Picture;
use stage::{Played, Stage};
use summary::Summary;

/// The standard limit of rule A8, whatever is set: the demo makes a user right at it and one above.
const TICKET_LIMIT: u32 = 10_000;

/// What a run came to.
pub struct Report {
    /// Whether every check holds.
    pub passed: bool,
    /// The summary for `--json`.
    pub summary: Value,
}

/// Runs the demo. `quiet`: the story isn't printed, the summary is all there is.
///
/// # Errors
/// Where the database or the queues are not the demo's, can't be reached, or the merges come to no end.
pub async fn run(
    mut settings: Settings,
    scale: Scale,
    quiet: bool,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    let screen = Screen::new(quiet);
    settings.merge.ticket_limit = TICKET_LIMIT;
    // What waits for another merge (rule A10) comes back as soon as it can.
    settings.retry.conflict_delay = settings.retry.delays[0];
    let pool = own_pool(&settings).await?;
    let ground = ground::database(&pool).await?;
    let broker = crate::app::broker(&settings)?;
    let (connection, earlier) = ground::queues(&broker).await?;
    let plan = Plan::new((ground.highest / 10).max(earlier) + 1, scale);

    screen.heading(&format!("A help desk (demo {})", plan.run));
    let filled = fill::fill(&pool, &plan, TICKET_LIMIT.into()).await?;
    let before = snapshot(&pool, &plan).await?;
    screen.text(&format!(
        "{} users, {} tickets and {} CCs in {:.1} s. Among them {} pairs of duplicates, and a pair for each rule.",
        thousands(before.users.len()),
        thousands(before.tickets.len()),
        thousands(before.ccs.len()),
        filled.as_secs_f64(),
        thousands(plan.accounts[..4].iter().map(|account| account.pairs).sum::<i64>())
    ));
    show::help_desk(&screen, &plan, &before);
    let picture_before = picture(&pool, &plan).await?;

    screen.heading("Merging");
    screen.text(&format!(
        "{} requests go to {} and {}, confirmed by the broker; a worker in this process takes them.",
        thousands(plan.requests.len() + plan.unreadable.len()),
        broker.names.requests,
        broker.names.bulk
    ));
    let stage = Stage {
        settings: &settings,
        broker: &broker,
        pool: &pool,
        connection: &connection,
        plan: &plan,
        screen: &screen,
    };
    let played = stage.play(&stop).await?;
    screen.text(&format!(
        "Every request has its outcome after {:.1} s, and the worker is stopped.",
        played.took.as_secs_f64()
    ));

    let summary = look(&stage, &before, filled, &picture_before, &played).await?;
    summary.print_next_steps(&screen);
    connection.close().await;
    Ok(Report {
        passed: summary.passed(),
        summary: serde_json::to_value(&summary).context("the summary can't be written")?,
    })
}

/// Shows and checks what the tables and the queues hold now.
async fn look(
    stage: &Stage<'_>,
    before: &demo::Rows,
    filled: Duration,
    picture_before: &Picture,
    played: &Played,
) -> anyhow::Result<Summary> {
    let Stage {
        pool, plan, screen, ..
    } = stage;
    let accounts = plan.account_ids();
    let after = snapshot(pool, plan).await?;
    let expected = expect(before.clone(), plan, stage.settings);
    let mut sql = pool.acquire().await?;
    let findings = demo::findings(&mut sql, &accounts).await?;
    let recorded = demo::recorded(&mut sql, &accounts).await?;
    let main = plan.main_account();
    let (large, next) = (plan.key(main, "large"), plan.key(main, "large-next"));
    let others = recorded.iter().map(|merge| merge.key.clone());
    let others: Vec<String> = others.filter(|key| *key != large && *key != next).collect();
    let others = demo::span(&mut sql, &accounts, &others).await?;
    let large = demo::span(&mut sql, &accounts, &[large]).await?;
    drop(sql);
    let names = &stage.broker.names;
    let deletions = deletions(stage.connection, &names.deletion, &accounts).await?;
    let dead = stage.dead_letters().await?;

    screen.heading(&format!(
        "One user, before and after (account {})",
        plan.main_account()
    ));
    show::before_and_after(screen, picture_before, &picture(pool, plan).await?);
    screen.heading("Outcomes");
    let outcomes = outcomes::table(plan, &played.tally, &dead, played.put_off);
    show::outcomes(screen, &outcomes);
    screen.heading("For the deletion pipeline");
    let example = format!("user-deletion:{}:{}", plan.main_account(), cast::SHOWN);
    let body = deletions
        .iter()
        .find(|(id, _)| *id == example)
        .map(|(_, body)| body.as_slice());
    show::deletions(screen, &names.deletion, deletions.len(), body);
    screen.heading("Dead letters");
    show::dead_letters(screen, &names.dead, &dead);
    screen.heading("Speed");
    show::speed(screen, others.as_ref(), large.as_ref());

    let ids: Vec<String> = deletions.into_iter().map(|(id, _)| id).collect();
    let checks = check::all(&check::Evidence {
        plan,
        tally: &played.tally,
        before,
        after: &after,
        expected: &expected,
        findings: &findings,
        recorded: &recorded,
        deletions: &ids,
        dead: &dead,
    });
    screen.heading("Checks, against the tables and queues, without the merge's own code");
    show::checks(screen, &checks);
    Ok(Summary::new(
        plan,
        before,
        filled,
        played,
        outcomes,
        others,
        large,
        checks,
        ids.len(),
        dead.len(),
    ))
}

/// For the demo's own statements, which are few and long.
async fn own_pool(settings: &Settings) -> anyhow::Result<Pool> {
    let mut settings = settings.clone();
    settings.database.max_connections = 2;
    settings.database.statement_timeout = Duration::from_mins(10);
    crate::app::connected_pool(&settings).await
}

async fn snapshot(pool: &Pool, plan: &Plan) -> store::Result<demo::Rows> {
    let mut connection = pool.acquire().await?;
    demo::rows(&mut connection, &plan.account_ids()).await
}

async fn picture(pool: &Pool, plan: &Plan) -> store::Result<Picture> {
    let mut connection = pool.acquire().await?;
    let account = plan.main_account();
    let ids: Vec<i64> = cast::SHOWN_TICKETS.iter().map(|ticket| ticket.id).collect();
    Ok(Picture {
        source: demo::portrait(&mut connection, account, cast::SHOWN).await?,
        target: demo::portrait(&mut connection, account, cast::SHOWN_TARGET).await?,
        tickets: demo::shown_tickets(&mut connection, account, &ids).await?,
    })
}

fn expect(before: demo::Rows, plan: &Plan, settings: &Settings) -> World {
    let bends = Bends {
        move_archived_ccs: settings.merge.move_archived_ccs,
        carry_social_identities: settings.merge.carry_social_identities,
    };
    let several = plan
        .accounts
        .iter()
        .filter(|account| account.multiple_organizations);
    let several: BTreeSet<i64> = several.map(|account| account.id).collect();
    let mut world = World::new(before, bends, several);
    for (account, source, target) in plan.merged() {
        world.merge(account, source, target);
    }
    world
}

/// This run's messages in the deletion queue: ids and bodies. They stay there.
async fn deletions(
    connection: &Connection,
    queue: &str,
    accounts: &[i64],
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let seen = peek(connection, queue).await?;
    let ours = seen.into_iter().filter_map(|message| {
        let id = message.properties.message_id?;
        let account: i64 = id.split(':').nth(1)?.parse().ok()?;
        accounts.contains(&account).then_some((id, message.body))
    });
    Ok(ours.collect())
}
