//! Writes one line per event, with the fields of the spans around it.

use std::io::Write as _;

use chrono::{SecondsFormat, Utc};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::Format;
use super::render::{json, text};
use super::seen::Seen;

/// The layer that writes.
pub(super) struct Lines<W> {
    format: Format,
    writer: W,
}

impl<W> Lines<W> {
    pub fn new(format: Format, writer: W) -> Self {
        Self { format, writer }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut seen = Seen::of(attributes.metadata().target());
            attributes.record(&mut seen);
            span.extensions_mut().insert(seen);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(seen) = span.extensions_mut().get_mut::<Seen>()
        {
            record.record(seen);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut seen = Seen::of(metadata.target());
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(of_span) = span.extensions().get::<Seen>() {
                of_span
                    .values
                    .iter()
                    .for_each(|(name, value)| seen.put(name, value.clone()));
            }
        }
        event.record(&mut seen);
        let message = seen.take_message();
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let line = match self.format {
            Format::Json => json(&time, *metadata.level(), metadata.target(), &message, &seen),
            format => text(
                format,
                &time,
                *metadata.level(),
                metadata.target(),
                &message,
                &seen,
            ),
        };
        // One write, so that lines of several threads don't mix. Nowhere is left to report a failure to.
        let _ = self
            .writer
            .make_writer_for(metadata)
            .write_all(line.as_bytes());
    }
}
