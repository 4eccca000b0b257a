//! The command line, as `benches/run` hands it on.

use std::path::PathBuf;

/// Measures user-merge beside its yardsticks. To be started by `benches/run`, which has the servers.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// What to measure; everything if nothing is named
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Name>,
    /// Small sizes, to try the bench itself
    #[arg(long)]
    pub quick: bool,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = ".local/bench.json")]
    pub json: PathBuf,
    /// Print the figures of such a file as a Markdown table, and measure nothing
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Said by Cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// A measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    Large,
    Interactive,
    Bulk,
    Latency,
    Scale,
    Million,
    Memory,
    Start,
}

impl Options {
    pub fn wants(&self, name: Name) -> bool {
        self.names.is_empty() || self.names.contains(&name)
    }
}
