//! Which lines are written.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::Context;

/// The most that libraries may log, whatever the filter says; the first that fits counts. Beyond it
/// they print statements, values of rows and the bodies of messages.
const CAPS: &[(&str, LevelFilter)] = &[
    ("lapin::returned_messages", LevelFilter::OFF),
    ("lapin", LevelFilter::WARN),
    ("amq_protocol", LevelFilter::WARN),
    ("sqlx::postgres::notice", LevelFilter::OFF),
    ("sqlx", LevelFilter::WARN),
];

/// The filter from the settings, under the caps.
pub(super) struct Wanted(Targets);

impl Wanted {
    /// From text such as `info,user_merge::merge=debug`.
    pub fn parse(filter: &str) -> Result<Self, ParseError> {
        Targets::from_str(filter).map(Self)
    }
}

/// Whether it is this crate's own.
pub(super) fn ours(target: &str) -> bool {
    target.starts_with("user_merge")
}

fn capped(target: &str) -> LevelFilter {
    let cap = CAPS.iter().find(|(prefix, _)| target.starts_with(prefix));
    cap.map_or(LevelFilter::TRACE, |(_, level)| *level)
}

impl<S: Subscriber> Layer<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let (target, level) = (metadata.target(), metadata.level());
        // Even if only warnings are wanted: our spans carry `merge.id` to them.
        if metadata.is_span() && ours(target) && *level <= LevelFilter::INFO {
            return true;
        }
        *level <= capped(target) && self.0.would_enable(target, level)
    }
}
