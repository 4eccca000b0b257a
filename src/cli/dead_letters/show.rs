//! `user-merge dead-letters show`

use std::process::ExitCode;

use clap::error::ErrorKind;
use serde_json::{Map, Value, json};

use super::list::rough;
use super::select::Selection;
use super::text::{safe, safe_json};
use super::view::View;
use super::walk::Walk;
use super::{bytes, wrong_usage};
use crate::broker::{Lane, Letter};
use crate::cli::{Context, output, stop};

/// Show everything of some dead letters: headers and body
///
/// The body may hold names, addresses and other personal data: this is the one command that prints it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge dead-letters show 1
  user-merge dead-letters show crm-2026-11-22-000123 --full
  user-merge --json dead-letters show --reason not_json --limit 3

Nothing of a message acts on a terminal: what isn't plain text is escaped, and what is no text is dumped.
Exit status: 0 shown, 1 nothing found.")]
pub(super) struct Args {
    /// Idempotency keys, message ids, or positions in the queue
    #[arg(value_name = "KEY|POSITION")]
    which: Vec<String>,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
    /// The whole body, not only the first 4 KiB
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    fn names(&self, view: &View) -> bool {
        let is = |name: &String, value: Option<&String>| Some(name) == value;
        self.which.is_empty()
            || self.which.iter().any(|name| {
                is(name, view.key.as_ref())
                    || is(name, view.message_id.as_ref())
                    || *name == view.position.to_string()
            })
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    if args.which.is_empty() && args.selection.is_everything() {
        wrong_usage(
            ErrorKind::MissingRequiredArgument,
            "say which dead letters: keys, positions as `list` has them, or a filter",
        );
    }
    let stop = stop::on_signal()?;
    let mut walk = Walk::open(context, &args.selection, &stop).await?;
    let mut found = Vec::new();
    let walked = find(args, &mut walk, context.json, &mut found).await;
    let reach = walk.reach();
    walk.close().await;
    if context.json {
        let all = json!({ "dead_letters": found });
        output::print(false, &Value::Null, || safe_json(&all.to_string()))?;
    } else {
        let parts = found.iter().filter_map(Value::as_str);
        let mut text = parts.collect::<Vec<_>>().join("\n\n");
        if found.is_empty() {
            let notes = std::iter::once("no such dead letter".to_owned()).chain(reach.notes());
            text = notes.collect::<Vec<_>>().join("\n");
        }
        output::print(false, &Value::Null, || text)?;
    }
    walked?;
    Ok(if found.is_empty() || reach.interrupted {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// Texts, or objects. Kept until the walk is over, so that a slow reader doesn't hold the queue.
async fn find(
    args: &Args,
    walk: &mut Walk<'_>,
    as_json: bool,
    found: &mut Vec<Value>,
) -> anyhow::Result<()> {
    while (found.len() as u64) < args.limit
        && let Some((letter, view)) = walk.next().await?
    {
        if !args.names(&view) {
            continue;
        }
        found.push(if as_json {
            json(&letter, &view)
        } else {
            let most = if args.full { usize::MAX } else { bytes::SHOWN };
            Value::String(text(&letter, &view, most, walk))
        });
    }
    Ok(())
}

/// A dead letter whole, for machines and for the file that `discard` writes.
pub(super) fn json(letter: &Letter, view: &View) -> Value {
    let mut value = view.json();
    let ids = letter.ids().into_iter();
    let ids = ids.filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
    let (body_field, body) = bytes::json(&letter.body);
    if let Value::Object(fields) = &mut value {
        let died_in = letter.death.as_ref().map(|death| &death.queue);
        fields.insert("died_in".to_owned(), json!(died_in));
        fields.insert("deliveries".to_owned(), json!(letter.delivery_count));
        fields.insert("altered".to_owned(), json!(letter.is_mended()));
        fields.insert("properties".to_owned(), ids.collect::<Map<_, _>>().into());
        fields.insert("headers".to_owned(), letter.headers());
        fields.insert(body_field.to_owned(), body);
    }
    value
}

fn text(letter: &Letter, view: &View, most: usize, walk: &Walk<'_>) -> String {
    let unknown = || "unknown".to_owned();
    let or_unknown = |text: Option<&String>| text.map_or_else(unknown, |text| safe(text));
    let since = |since| format!("{} ago, {since}", rough(since, walk.now()));
    let mut lines = vec![
        format!("position       {}", view.position),
        format!("reason         {}", or_unknown(view.reason.as_ref())),
        format!("detail         {}", or_unknown(view.detail.as_ref())),
        format!(
            "lane           {}",
            view.lane.map_or("unknown", Lane::label)
        ),
        format!(
            "died           {}",
            view.dead_since.map_or_else(unknown, since)
        ),
        format!(
            "account        {}",
            view.account.map_or_else(unknown, |id| id.to_string())
        ),
        format!("key            {}", or_unknown(view.key.as_ref())),
        format!("readable       {}", view.unreadable.unwrap_or("yes")),
        format!(
            "tries          {}",
            view.attempts.map_or_else(unknown, |n| n.to_string())
        ),
        format!("deliveries     {}", letter.delivery_count),
    ];
    if letter.is_mended() {
        let note = "bytes that are no UTF-8 in ids and names of headers are shown as \\u{1a}";
        lines.push(format!("altered        {note}"));
    }
    for (name, value) in letter.ids() {
        if let Some(value) = value {
            lines.push(format!("{name:<14} {}", safe(&value)));
        }
    }
    if let Value::Object(headers) = letter.headers() {
        for (name, value) in headers {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("header         {}: {}", safe(&name), safe(&value)));
        }
    }
    lines.push(format!(
        "body           {}",
        bytes::shown(&letter.body, most)
    ));
    lines.join("\n")
}
