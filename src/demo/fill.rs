//! Fills a help desk: everything or nothing, in one transaction.

use std::time::{Duration, Instant};

use super::cast;
use super::plan::Plan;
use crate::store::{self, Pool, demo};

pub(super) async fn fill(pool: &Pool, plan: &Plan, ticket_limit: i64) -> store::Result<Duration> {
    let began = Instant::now();
    let ids = plan.account_ids();
    let main = plan.main_account();
    let mut tx = pool.begin().await?;
    demo::make_accounts(&mut tx, plan.run, &plan.accounts, cast::ORGANIZATIONS).await?;
    demo::add_actors(&mut tx, &ids, cast::ACTORS).await?;
    demo::add_actors(&mut tx, &[plan.bystander()], &[cast::OUTSIDER]).await?;
    demo::add_people(
        &mut tx,
        &plan.accounts,
        cast::PEOPLE,
        cast::FIRST_NAMES,
        cast::LAST_NAMES,
    )
    .await?;
    demo::add_identities(&mut tx, &plan.accounts, cast::PEOPLE).await?;
    demo::add_tickets(&mut tx, &ids, cast::SUBJECTS, cast::WITHOUT_TICKETS).await?;
    demo::add_many_tickets(&mut tx, main, cast::LARGE, ticket_limit).await?;
    demo::add_many_tickets(&mut tx, main, cast::TOO_LARGE, ticket_limit + 1).await?;
    demo::add_ccs(&mut tx, &plan.accounts, cast::PEOPLE).await?;
    // After the others: nobody else is copied on these.
    demo::add_known_tickets(&mut tx, main, cast::SHOWN_TICKETS).await?;
    demo::add_contributions(&mut tx, &ids, cast::PEOPLE).await?;
    tx.commit().await?;
    Ok(began.elapsed())
}
