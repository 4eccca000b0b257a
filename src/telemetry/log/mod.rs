//! Log lines: text on a terminal, JSON elsewhere, to standard error; the fields of the spans around an
//! event stand on its line, so that `merge.id` is on every line of a merge.
//!
//! Log an error as `error = &error as &dyn Error` or with `%`, never with `?`: the
//! database puts values of rows into the details that only `Debug` shows.

mod fields;
mod filter;
mod line;
mod panics;
mod render;
mod seen;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

pub use fields::FIELDS;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For people at a terminal with colours.
    Colour,
    /// For machines: one flat object a line.
    Json,
}

impl Format {
    /// What suits standard error as it is: text on a terminal, JSON elsewhere.
    #[must_use]
    pub fn for_stderr() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match (std::io::stderr().is_terminal(), plain) {
            (true, false) => Self::Colour,
            (true, true) => Self::Text,
            (false, _) => Self::Json,
        }
    }
}

/// Logging that can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a filter.
    #[error("{origin} = {filter:?} is not a log filter such as \"info,user_merge::merge=debug\"")]
    Filter {
        /// The setting or variable.
        origin: &'static str,
        /// Its value.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process logs already.
    #[error("logging is set up already")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets logging up for the whole process, panics included. The variable `RUST_LOG` goes over the filter.
///
/// Records of the `log` crate are not taken in: they would pass the caps on libraries' own lines.
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let variable = std::env::var("RUST_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let (origin, filter) = match &variable {
        Some(variable) => ("RUST_LOG", variable.as_str()),
        None => ("telemetry.log_filter", filter),
    };
    let wanted = filter::Wanted::parse(filter).map_err(|source| LogError::Filter {
        origin,
        filter: filter.to_owned(),
        source,
    })?;
    let lines = line::Lines::new(format, std::io::stderr);
    tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(wanted).with(lines),
    )?;
    panics::log();
    Ok(())
}

/// The same lines to another place: for tests.
pub fn subscriber<W>(
    format: Format,
    filter: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = filter::Wanted::parse(filter).map_err(|source| LogError::Filter {
        origin: "telemetry.log_filter",
        filter: filter.to_owned(),
        source,
    })?;
    Ok(tracing_subscriber::registry()
        .with(wanted)
        .with(line::Lines::new(format, writer)))
}

#[cfg(test)]
mod tests;
