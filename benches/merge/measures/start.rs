//! From nothing to consuming, and the size of the program.

use std::time::Instant;

use anyhow::Result;

use crate::desk::Desk;
use crate::process::PROGRAM;
use crate::report::{Goal, Report};
use crate::servers::Servers;
use crate::sizes::Sizes;
use crate::stats::Spread;
use crate::worker::{Queues, Worker};

pub async fn run(servers: &Servers, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let desk = Desk::empty(servers, "start").await?;
    let queues = Queues::new("start");
    let mut took = Vec::new();
    // The first start, which also declares the queues, doesn't count.
    for start in 0..=sizes.starts {
        let began = Instant::now();
        let worker = Worker::start(servers, &desk, &queues, &[]).await?;
        let milliseconds = (worker.consuming[1] - began).as_secs_f64() * 1e3;
        if start > 0 {
            took.push(milliseconds);
        }
        worker.stop().await?;
    }
    queues.delete(servers).await?;
    desk.close(servers).await?;

    let mut section = report.of("start");
    let what = "from the start of the process to consuming both lanes";
    section.goal(what, "ms", Spread::of(&took), Goal::AtMost(150.0));
    let size = u32::try_from(std::fs::metadata(PROGRAM)?.len())?;
    let megabytes = Spread::once(f64::from(size) / 1e6);
    section.goal("size of the program", "MB", megabytes, Goal::AtMost(15.0));
    Ok(())
}
