//! How fast it is, measured beside yardsticks on servers of its own: `benches/run --help`. Only ratios mean something
//! elsewhere, because machines differ and are noisy: whatever is compared runs in turn, in one run.

mod broker;
mod celery;
mod desk;
mod machine;
mod measures;
mod options;
mod procedure;
mod process;
mod processor;
mod report;
mod servers;
mod sizes;
mod stats;
mod worker;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use options::Options;
use report::Report;
use servers::Servers;

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --benches` and the like only want to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    // Whatever was started ends with the future that holds it.
    let done = tokio::select! {
        done = run(&options) => done,
        interrupted = interrupted() => interrupted,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    if let Some(file) = &options.markdown {
        print!("{}", Report::read(file)?.markdown());
        return Ok(());
    }
    let servers = Servers::open().await?;
    let mut report = Report::new(options.quick, machine::facts(&servers).await?);
    measures::run(&servers, options, &mut report).await?;
    report.finish();
    report.write(&options.json)?;
    print!("{}", report.text());
    Ok(())
}

async fn interrupted() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        _ = hung_up.recv() => {}
    }
    bail!("interrupted: nothing was written")
}
