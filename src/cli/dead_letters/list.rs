//! `user-merge dead-letters list`

use std::collections::BTreeMap;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use comfy_table::{LineStyle, Table, TableStyle};
use humantime_serde::re::humantime::format_duration;
use serde_json::{Value, json};

use super::select::{Selection, age};
use super::text::{safe, safe_json, short};
use super::view::View;
use super::walk::{Reach, Walk};
use crate::broker::Lane;
use crate::cli::{Context, output, stop};

/// A line under the header is enough.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
const DETAIL_WIDTH: usize = 60;

/// List dead letters, and how many there are of each reason
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge dead-letters list
  user-merge dead-letters list --reason lock_timeout --reason deadlock --younger-than 1h
  user-merge --json dead-letters list --account 42

Age: since the worker gave the message up, or the broker moved it. Key: from the body, where it can be read.")]
pub(super) struct Args {
    /// How many to list; all that match are counted
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=10_000))]
    limit: u64,
    #[command(flatten)]
    selection: Selection,
}

/// What is listed.
#[derive(Default)]
struct Listing {
    views: Vec<View>,
    matched: u64,
    reasons: BTreeMap<String, u64>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let stop = stop::on_signal()?;
    let mut walk = Walk::open(context, &args.selection, &stop).await?;
    let mut listing = Listing::default();
    let walked = listing.fill(&mut walk, args.limit).await;
    let (reach, now) = (walk.reach(), walk.now());
    walk.close().await;
    // What was found before an error is shown all the same.
    let text = if context.json {
        safe_json(&listing.json(reach).to_string())
    } else {
        listing.text(reach, now)
    };
    output::print(false, &Value::Null, || text)?;
    walked?;
    Ok(if reach.interrupted {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

impl Listing {
    async fn fill(&mut self, walk: &mut Walk<'_>, limit: u64) -> anyhow::Result<()> {
        while let Some((_, view)) = walk.next().await? {
            self.matched += 1;
            let reason = view.reason.as_deref().unwrap_or("none").to_owned();
            *self.reasons.entry(reason).or_default() += 1;
            if (self.views.len() as u64) < limit {
                self.views.push(view);
            }
        }
        Ok(())
    }

    fn json(&self, reach: Reach) -> Value {
        json!({
            "dead_letters": self.views.iter().map(View::json).collect::<Vec<_>>(),
            "matched": self.matched,
            "reasons": self.reasons,
            "looked_at": reach.looked_at,
            "there": reach.there,
            "others_read": reach.others_read,
            "interrupted": reach.interrupted,
        })
    }

    fn text(&self, reach: Reach, now: DateTime<Utc>) -> String {
        let mut lines = Vec::new();
        if !self.views.is_empty() {
            lines.push(table(&self.views, now));
        }
        let (there, matched, listed) = (reach.there, self.matched, self.views.len());
        lines.push(format!(
            "{there} dead letters, {matched} match, {listed} listed"
        ));
        for (reason, count) in &self.reasons {
            lines.push(format!("{count} {}", safe(reason)));
        }
        lines.extend(reach.notes());
        lines.join("\n")
    }
}

fn table(views: &[View], now: DateTime<Utc>) -> String {
    let mut table = Table::new();
    table.load_style(RULED).set_header([
        "#", "age", "reason", "lane", "account", "key", "tries", "bytes", "detail",
    ]);
    table.add_rows(views.iter().map(|view| row(view, now)));
    table.trim_fmt()
}

fn row(view: &View, now: DateTime<Utc>) -> Vec<String> {
    let unknown = || "-".to_owned();
    let key = view.key.as_deref().map(safe);
    vec![
        view.position.to_string(),
        view.dead_since
            .map_or_else(unknown, |since| rough(since, now)),
        view.reason.as_deref().map_or_else(unknown, safe),
        view.lane
            .map_or_else(unknown, |lane: Lane| lane.to_string()),
        view.account.map_or_else(unknown, |id| id.to_string()),
        match (view.unreadable, key) {
            (None, key) => key.unwrap_or_default(),
            (Some(_), Some(key)) => format!("{key} (unreadable)"),
            (Some(_), None) => "unreadable".to_owned(),
        },
        view.attempts
            .map_or_else(unknown, |tries| tries.to_string()),
        view.bytes.to_string(),
        short(view.detail.as_deref().unwrap_or_default(), DETAIL_WIDTH),
    ]
}

/// An age in its two largest units, such as `2days 3h`.
pub(super) fn rough(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = std::time::Duration::from_secs(age(since, now).as_secs());
    let text = format_duration(seconds).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_two_units() {
        let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let told = |since: &str| rough(since.parse().unwrap(), now);
        assert_eq!(told("2026-11-20T08:59:58.9Z"), "2days 3h");
        assert_eq!(told("2026-11-22T11:59:59.5Z"), "0s");
        assert_eq!(told("2026-11-22T12:00:07Z"), "0s", "a clock that is ahead");
    }

    #[test]
    fn a_row_shows_what_is_known() {
        let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let nothing = View {
            position: 1,
            unreadable: Some("not_json"),
            ..View::default()
        };
        let expected = ["1", "-", "-", "-", "-", "unreadable", "-", "0", ""];
        assert_eq!(row(&nothing, now), expected);
        let glimpsed = View {
            key: Some("k\x1b[2J".into()),
            detail: Some("x".repeat(100)),
            ..nothing
        };
        let row = row(&glimpsed, now);
        assert_eq!(row[5], r"k\u{1b}[2J (unreadable)");
        assert_eq!(row[8].chars().count(), DETAIL_WIDTH);
    }
}
