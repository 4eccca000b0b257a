//! Processor time by who took it: what a rate is made of, and what would be left of it if a part cost nothing.

use anyhow::{Context as _, Result};

use crate::process::Process;
use crate::servers::variable;

/// Seconds of processor time of everything that takes part in a merge.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub database: f64,
    pub broker: f64,
    pub worker: f64,
}

impl Taken {
    pub fn by_now(worker: &Process) -> Result<Self> {
        let postmaster = variable("USER_MERGE_LOCAL__PG_PID")?;
        let broker = variable("USER_MERGE_LOCAL__RABBITMQ_PID")?;
        let mut database = times(&postmaster)?.with_ended_children();
        for process in std::fs::read_dir("/proc")? {
            let process = process?.file_name().to_string_lossy().into_owned();
            // One that has just ended is its parent's by now.
            let Some(times) = times(&process).ok() else {
                continue;
            };
            if times.parent == postmaster {
                database += times.own();
            }
        }
        Ok(Self {
            database,
            broker: times(&broker)?.own(),
            worker: times(&worker.child.id().to_string())?.own(),
        })
    }

    /// Microseconds for each of so many merges, since then.
    pub fn each(self, before: Self, merges: f64) -> Self {
        let each = |now: f64, before: f64| (now - before) * 1e6 / merges;
        Self {
            database: each(self.database, before.database),
            broker: each(self.broker, before.broker),
            worker: each(self.worker, before.worker),
        }
    }
}

/// What the kernel says of one process.
struct Times {
    parent: String,
    /// In user and in kernel mode, and the same of children that have ended, in hundredths of a second.
    hundredths: [f64; 4],
}

impl Times {
    fn own(&self) -> f64 {
        (self.hundredths[0] + self.hundredths[1]) / 100.0
    }

    fn with_ended_children(&self) -> f64 {
        self.hundredths.iter().sum::<f64>() / 100.0
    }
}

fn times(process: &str) -> Result<Times> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold anything.
    let (_, stat) = stat.rsplit_once(") ").context("a process without a name")?;
    let fields: Vec<&str> = stat.split(' ').collect();
    let mut hundredths = [0.0; 4];
    for (time, field) in hundredths
        .iter_mut()
        .zip(fields.get(11..15).unwrap_or_default())
    {
        *time = field.parse()?;
    }
    Ok(Times {
        parent: fields
            .get(1)
            .context("a process without a parent")?
            .to_string(),
        hundredths,
    })
}
