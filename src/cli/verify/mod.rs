//! `user-merge verify`

mod progress;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;
use serde_json::{Value, json};

use super::{Context, output};
use crate::app;
use crate::config::Settings;
use crate::domain::AccountId;
use crate::verify::{self, Check, Plan, Report};
use progress::Shown;

/// A day: messages may be kept for longer only since the setting was changed, and what was pruned doesn't come back.
const MOST_KEPT: Duration = Duration::from_hours(24);

/// Check every invariant over the whole database, without writing
///
/// Reads merges, outbox and ticket event log a batch at a time, each from a snapshot of its own; workers may be at
/// work meanwhile. Needs no broker, and a role that may only read (deploy/postgres).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge verify
  user-merge verify --account 42
  user-merge --json verify --batch 1000 --stale 6h
  user-merge verify --skip log_missing        where the help desk prunes its log, or deletes tickets

The README has a table of the codes: what each means, and what to do.
Exit status: 0 everything holds, 1 something does not or could not be checked, 2 wrong usage.")]
pub(super) struct Args {
    /// Only this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Rows that one statement looks at
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    batch: i64,
    /// Leave a check out; may be given several times
    #[arg(long, value_name = "CODE")]
    skip: Vec<Check>,
    /// An unfinished merge that stands still, or a message that is not published, for longer than this counts
    /// [default: twice the longest pause that the settings give a merge]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    stale: Option<Duration>,
    /// The sweep has this long to move on what came late before that counts
    /// [default: twice sweep.interval, 1m to 10m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    patience: Option<Duration>,
}

impl Args {
    fn plan(&self, settings: &Settings) -> Plan {
        let (retry, sweep) = (&settings.retry, &settings.sweep);
        let longest = retry.delays.iter().copied().max().unwrap_or_default();
        let pause = longest
            .max(retry.conflict_patience)
            .max(settings.merge.slice)
            .max(sweep.stranded_after);
        let (least, most) = (Duration::from_mins(1), Duration::from_mins(10));
        Plan {
            account: self.account,
            batch: self.batch,
            skipped: self.skip.clone(),
            stale: self.stale.unwrap_or(pause * 2),
            patience: self
                .patience
                .unwrap_or((sweep.interval * 2).clamp(least, most)),
            window: sweep.window,
            kept: settings.relay.keep_published.min(MOST_KEPT),
            archived_ccs: settings.merge.move_archived_ccs,
        }
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let plan = args.plan(&context.settings);
    let pool = app::connected_pool(&context.settings).await?;
    let mut shown = Shown::new();
    let verified = verify::run(&pool, &plan, |progress| shown.show(progress)).await;
    shown.finish();
    let report = verified.map_err(app::explain)?;
    pool.close().await;
    output::print(context.json, &as_json(&report)?, || text::text(&report))?;
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn as_json(report: &Report) -> anyhow::Result<Value> {
    let mut value = json!({ "holds": report.holds(), "violations": report.violations() });
    if let (Value::Object(all), Value::Object(rest)) = (&mut value, serde_json::to_value(report)?) {
        all.extend(rest);
    }
    Ok(value)
}
