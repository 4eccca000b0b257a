//! `user-merge dead-letters`: the dead-letter queue for whoever is on call.

mod ask;
mod bytes;
mod discard;
mod list;
mod pace;
mod progress;
mod replay;
mod save;
mod select;
mod show;
mod tally;
mod text;
mod view;
mod walk;

use std::process::ExitCode;

use clap::error::ErrorKind;

use super::Context;

/// Look at dead letters, send them to their lanes again, or throw them away
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge dead-letters list
  user-merge dead-letters show 1
  user-merge dead-letters replay --reason lock_timeout --dry-run

Looking takes nothing away. What a command doesn't take goes back to its place when the command ends,
however it ends; meanwhile nobody else gets it. Workers may go on: what dies anew comes after what
was there.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Replay(replay::Args),
    Discard(discard::Args),
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list::run(&args, context).await,
        Command::Show(args) => show::run(&args, context).await,
        Command::Replay(args) => replay::run(&args, context).await,
        Command::Discard(args) => discard::run(&args, context).await,
    }
}

/// Ends the process as clap does, with exit status 2.
fn wrong_usage(kind: ErrorKind, what: &str) -> ! {
    clap::Error::raw(kind, format!("{what}\n")).exit()
}
