//! `user-merge status`

mod pace;

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Context, output};
use crate::app;
use crate::domain::AccountId;
use crate::store::merges::{Status, status};
use crate::store::pace::{Shown, workers};

/// Show where a merge stands, by its idempotency key or its id; without either, at what pace the workers work
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge status                                       the workers, and what slows them down
  user-merge status crm-2026-11-22-000123
  user-merge status --account 42 crm-2026-11-22-000123    quicker where there are millions
  user-merge --json status 0193b5a2-7c1e-7d53-a9a6-3f0e5c1b2d4f

A request that is still in a queue, or was put off before its first try, is not known yet.
Exit status: 0 found, 1 not found, or no worker at work.")]
pub(super) struct Args {
    /// The request's key, or the merge's id
    key_or_id: Option<String>,
    /// Only in this account
    #[arg(long, value_name = "ID", requires = "key_or_id")]
    account: Option<AccountId>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let pool = app::connected_pool(&context.settings).await?;
    let workers = workers(&pool).await;
    let Some(key_or_id) = &args.key_or_id else {
        pool.close().await;
        return of_workers(&workers.map_err(app::explain)?, context);
    };
    // Where a merge stands is worth saying without the pace, as before its table is there.
    let workers = workers.unwrap_or_default();
    let found = status(&pool, key_or_id, args.account)
        .await
        .map_err(app::explain)?;
    pool.close().await;
    if found.is_empty() {
        output::print(context.json, &json!({ "merges": [] }), || {
            "no merge is recorded under this key or id: it may still be in a queue".to_owned()
        })?;
        return Ok(ExitCode::from(1));
    }
    let merges = found.iter().map(|status| value(status, &workers));
    let merges = merges.collect::<Result<Vec<_>, _>>()?;
    output::print(context.json, &json!({ "merges": merges }), || {
        let texts = found.iter().map(|status| text(status, &workers));
        texts.collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn of_workers(workers: &[Shown], context: &Context) -> anyhow::Result<ExitCode> {
    output::print(context.json, &json!({ "workers": workers }), || {
        if workers.is_empty() {
            "no worker is at work on this database, or none that says so: start one with `user-merge worker`"
                .to_owned()
        } else {
            pace::text(workers)
        }
    })?;
    Ok(ExitCode::from(u8::from(workers.is_empty())))
}

/// What slows a merge down that isn't done yet.
fn slowed_by<'a>(status: &Status, workers: &'a [Shown]) -> Option<&'a Shown> {
    pace::slowest(workers).filter(|_| status.state == "running")
}

fn value(status: &Status, workers: &[Shown]) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(status)?;
    value["slowed_down"] = json!(slowed_by(status, workers).map(pace::value));
    Ok(value)
}

fn text(status: &Status, workers: &[Shown]) -> String {
    let mut lines = vec![
        format!("merge          {}", status.merge_id),
        format!("state          {}", status.state),
        format!("account        {}", status.account_id),
        format!(
            "users          {} into {}",
            status.source_user_id, status.target_user_id
        ),
        format!("lane           {}", status.lane),
        format!(
            "moved          {} tickets, {} CCs",
            status.tickets_moved, status.ccs_changed
        ),
        format!("failed tries   {}", status.attempts),
        format!("accepted       {}", status.accepted_at.to_rfc3339()),
    ];
    if let Some(completed_at) = status.completed_at {
        lines.push(format!("ended          {}", completed_at.to_rfc3339()));
    }
    if let Some(cause) = slowed_by(status, workers).and_then(pace::cause) {
        lines.push(format!("slowed down    {cause}"));
    }
    if let Some(error) = &status.last_error {
        lines.push(format!("last error     {error}"));
    }
    if let Some(at) = status.enqueued_again_at {
        lines.push(format!(
            "enqueued again {} times, last {}: it stood still",
            status.enqueued_again,
            at.to_rfc3339()
        ));
    }
    if status.late > 0 {
        lines.push(format!(
            "came late      {} tickets, CCs and addresses",
            status.late
        ));
    }
    if status.messages_pending > 0 {
        lines.push(format!(
            "unpublished    {} messages",
            status.messages_pending
        ));
    }
    if let Some(rejection) = status
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.get("rejection"))
    {
        let reason = rejection["reason"].as_str().unwrap_or_default();
        lines.push(format!("rejected       {reason}"));
        if let Some(canonical) = rejection["canonical_user_id"].as_i64() {
            lines.push(format!("is today       user {canonical}"));
        }
    }
    lines.join("\n")
}
