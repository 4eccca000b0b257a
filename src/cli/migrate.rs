//! `user-merge migrate`

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::{Context, output};
use crate::app;
use crate::store::migrate;

/// Make or update the worker's tables (schema `user_merge`)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge migrate                    for a help desk whose relations are there already
  user-merge migrate --with-helpdesk    for a new installation: the reference help desk too

Runs once, whoever else runs it at the same time; what is applied already is left alone.")]
pub(super) struct Args {
    /// Make the reference help desk (schema helpdesk) first
    #[arg(long)]
    with_helpdesk: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let mut settings = context.settings.clone();
    // An index on a large table takes its time.
    settings.database.statement_timeout = Duration::from_hours(24);
    settings.database.lock_timeout = Duration::from_mins(1);
    let pool = app::connected_pool(&settings).await?;
    let mut schemas = Vec::new();
    if args.with_helpdesk {
        migrate::helpdesk(&pool).await?;
        schemas.push("helpdesk");
    }
    migrate::user_merge(&pool).await?;
    schemas.push("user_merge");
    pool.close().await;
    output::print(context.json, &json!({ "up_to_date": schemas }), || {
        format!("up to date: {}", schemas.join(", "))
    })?;
    Ok(ExitCode::SUCCESS)
}
