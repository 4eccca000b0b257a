//! The command line: parse, call, exit status. One file a subcommand.

mod dead_letters;
mod demo;
mod enqueue;
mod migrate;
mod output;
mod schema;
mod status;
mod stop;
mod verify;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::broker;
use crate::config::{ConfigError, LogFormat, Settings};
use crate::message::DecodeError;
use crate::telemetry::log::{self, Format, LogError};

/// Merges two help-desk users into one: safely, and only once.
#[derive(Debug, Parser)]
#[command(
    name = "user-merge",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "\
Settings: built-in defaults, then --config FILE, then the environment, such as
  USER_MERGE__DATABASE__URL=postgres://user:password@host/database
  USER_MERGE__BROKER__URL=amqps://user:password@host/vhost

Exit status: 0 done, 1 failed, 2 wrong usage or settings.")]
struct Cli {
    /// Settings file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Worker(worker::Args),
    Enqueue(enqueue::Args),
    Status(status::Args),
    DeadLetters(dead_letters::Args),
    Migrate(migrate::Args),
    Schema(schema::Args),
    Verify(verify::Args),
    Demo(demo::Args),
}

/// What a subcommand is given.
struct Context {
    settings: Settings,
    json: bool,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::load(cli.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return output::failed(&error.into(), cli.json),
    };
    let format = match settings.telemetry.log_format {
        LogFormat::Auto => Format::for_stderr(),
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    // The demo tells its story itself; RUST_LOG goes over this too.
    let filter = match cli.command {
        Command::Demo(_) => "error,lapin=off",
        _ => &settings.telemetry.log_filter,
    };
    if let Err(error) = log::init(format, filter) {
        return output::failed(&error.into(), cli.json);
    }
    #[cfg(debug_assertions)]
    if let Err(error) = crate::failpoint::arm() {
        return output::failed(&error.into(), cli.json);
    }
    let context = Context {
        settings,
        json: cli.json,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&error.into(), cli.json),
    };
    let result = runtime.block_on(run(cli.command, context));
    // A task that outlived its grace period must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => output::failed(&error, cli.json),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // No stack size: `main` has asked for one that holds the deepest headers, which are dropped on these threads.
    // Four threads at most: the work is the database's, and each costs memory.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(4))
        .enable_all()
        .build()
}

async fn run(command: Command, context: Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Worker(args) => worker::run(&args, context).await,
        Command::Enqueue(args) => enqueue::run(args, context).await,
        Command::Status(args) => status::run(&args, &context).await,
        Command::DeadLetters(args) => dead_letters::run(args, &context).await,
        Command::Migrate(args) => migrate::run(&args, &context).await,
        Command::Schema(args) => schema::run(&args),
        Command::Verify(args) => verify::run(&args, &context).await,
        Command::Demo(args) => demo::run(&args, context).await,
    }
}

/// Wrong settings are wrong usage, wherever they are found out; so is a request that no worker would read.
fn status_of(error: &anyhow::Error) -> u8 {
    let is_setting = error.downcast_ref::<ConfigError>().is_some()
        || matches!(error.downcast_ref(), Some(LogError::Filter { .. }))
        || matches!(error.downcast_ref(), Some(broker::Error::Settings(_)))
        || error.downcast_ref::<DecodeError>().is_some();
    #[cfg(debug_assertions)]
    let is_setting = is_setting || error.is::<crate::failpoint::ArmError>();
    if is_setting { 2 } else { 1 }
}
