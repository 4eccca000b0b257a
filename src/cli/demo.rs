//! `user-merge demo`

use std::process::ExitCode;

use clap::error::ErrorKind;

use super::{Context, output, stop};
use crate::demo::{self, Scale};

/// Fill an empty database with a help desk, merge its duplicate users, and check the result
///
/// Refuses a database with accounts that are not its own, and queues that others use. Each run makes new
/// accounts and leaves what earlier runs made alone. The deletion messages and dead letters of its users stay in
/// their queues.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deploy/local/demo                       private servers, a build, and this
  user-merge migrate --with-helpdesk && user-merge demo
  user-merge demo --users 50000 --merges 5000
  user-merge --json demo --users 500 --merges 50

The worker's log is quiet; RUST_LOG=info shows it.
Exit status: 0 every check holds, 1 one does not, or it could not be run, 2 wrong usage.")]
pub(super) struct Args {
    /// Ordinary users, in all accounts together
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(i64).range(60..=200_000))]
    users: i64,
    /// Pairs of duplicates among them that are merged; at most a third of the users [default: 400, or a third]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(10..=40_000))]
    merges: Option<i64>,
}

pub(super) async fn run(args: &Args, context: Context) -> anyhow::Result<ExitCode> {
    let most = args.users / 3;
    let merges = args.merges.unwrap_or(400.min(most));
    if merges > most {
        let needs = format!("--merges {merges} needs --users {} or more\n", merges * 3);
        clap::Error::raw(ErrorKind::ValueValidation, needs).exit();
    }
    let scale = Scale {
        users: args.users,
        merges,
    };
    let report = demo::run(context.settings, scale, context.json, stop::on_signal()?).await?;
    if context.json {
        output::print(true, &report.summary, String::new)?;
    }
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
