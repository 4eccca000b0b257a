//! `user-merge status`

use std::process::ExitCode;

use serde_json::json;

use super::{Context, output};
use crate::app;
use crate::domain::AccountId;
use crate::store::merges::{Status, status};

/// Show where a merge stands, by its idempotency key or its id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge status crm-2026-11-22-000123
  user-merge status --account 42 crm-2026-11-22-000123    quicker where there are millions
  user-merge --json status 0193b5a2-7c1e-7d53-a9a6-3f0e5c1b2d4f

A request that is still in a queue, or was put off before its first try, is not known yet.
Exit status: 0 found, 1 not found.")]
pub(super) struct Args {
    /// The request's key, or the merge's id
    key_or_id: String,
    /// Only in this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let pool = app::connected_pool(&context.settings).await?;
    let found = status(&pool, &args.key_or_id, args.account)
        .await
        .map_err(app::explain)?;
    pool.close().await;
    if found.is_empty() {
        output::print(context.json, &json!({ "merges": [] }), || {
            "no merge is recorded under this key or id: it may still be in a queue".to_owned()
        })?;
        return Ok(ExitCode::from(1));
    }
    output::print(context.json, &json!({ "merges": found }), || {
        found.iter().map(text).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
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
