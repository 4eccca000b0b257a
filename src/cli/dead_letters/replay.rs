//! `user-merge dead-letters replay`

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::ask::{Consent, confirmed};
use super::pace::{Pace, Rate};
use super::progress::Progress;
use super::select::Selection;
use super::tally::Tally;
use super::view::View;
use super::walk::Walk;
use crate::app;
use crate::broker::{Lane, Replay, Settled};
use crate::cli::{Context, output, stop};

const WORD: &str = "replayed";

/// Send dead letters to the lanes that they came by, with all tries before them again
///
/// The same bytes under the same ids, without the headers of the failure. Each is taken out of the dead-letter queue
/// once the broker has confirmed that the lane has it: whatever happens, a message is in one of the two, or, after a
/// crash, in both, which does no harm, because a key never merges twice.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge dead-letters replay --reason lock_timeout --dry-run
  user-merge dead-letters replay --reason lock_timeout --rate 20/s
  user-merge dead-letters replay --key crm-2026-11-22-000123 --yes
  user-merge dead-letters replay --all --yes --rate 200/s

Exit status: 0 done, 1 stopped before the end, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    consent: Consent,
    /// How many in a second (N/s) or in a minute (N/m)
    #[arg(long, default_value = "50/s", value_name = "RATE")]
    rate: Rate,
    /// The lane for those that don't say which one they came by
    #[arg(long, value_name = "LANE")]
    fallback_lane: Option<Lane>,
    /// Also those that no worker can read: they come back, unless the worker is a newer one
    #[arg(long)]
    include_unreadable: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Args {
    /// Where a letter goes, or why it stays.
    fn lane_of(&self, view: &View) -> Result<Lane, &'static str> {
        if view.unreadable.is_some() && !self.include_unreadable {
            return Err("unreadable");
        }
        view.lane.or(self.fallback_lane).ok_or("no_lane")
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    args.consent.require(&args.selection);
    let stop = stop::on_signal()?;
    if args.consent.counts_first() {
        // With nothing held while somebody thinks about it.
        let mut walk = Walk::open(context, &args.selection, &stop).await?;
        let counted = count(args, &mut walk).await;
        let reach = walk.reach();
        walk.close().await;
        let tally = counted?;
        if args.consent.dry_run || tally.done == 0 || reach.interrupted {
            return tally.print(context.json, WORD, args.consent.dry_run, reach);
        }
        let question = format!("Replay {} dead letters?", tally.done);
        if !confirmed(&question, &stop).await? {
            output::print(false, &serde_json::Value::Null, || {
                "nothing was replayed".to_owned()
            })?;
            return Ok(ExitCode::from(1));
        }
    }
    replay(args, context, &stop).await
}

async fn count(args: &Args, walk: &mut Walk<'_>) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while tally.done < args.consent.limit
        && let Some((_, view)) = walk.next().await?
    {
        match args.lane_of(&view) {
            Ok(_) => tally.done += 1,
            Err(why) => tally.keep(why),
        }
    }
    Ok(tally)
}

async fn replay(
    args: &Args,
    context: &Context,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let broker = app::broker(&context.settings)?;
    let mut walk = Walk::open(context, &args.selection, stop).await?;
    let replay = match Replay::open(&broker).await {
        Ok(replay) => replay,
        Err(error) => {
            walk.close().await;
            return Err(error).context("can't publish to the lanes");
        }
    };
    let mut tally = Tally::default();
    let sent = send(args, &mut walk, &replay, stop, &mut tally).await;
    let reach = walk.reach();
    replay.close().await;
    walk.close().await;
    let code = tally.print(context.json, WORD, false, reach)?;
    sent.map(|()| code)
}

/// One after the other; the first that fails is the last, since those after it would fail likewise.
async fn send(
    args: &Args,
    walk: &mut Walk<'_>,
    replay: &Replay,
    stop: &CancellationToken,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let (mut pace, mut progress) = (Pace::new(args.rate), Progress::new(WORD, walk.reach()));
    while tally.done < args.consent.limit
        && let Some((letter, view)) = walk.next().await?
    {
        let lane = match args.lane_of(&view) {
            Ok(lane) => lane,
            Err(why) => {
                tally.keep(why);
                continue;
            }
        };
        tokio::select! {
            () = pace.turn() => {}
            () = stop.cancelled() => break,
        }
        let published = replay.publish(&letter, lane).await;
        published
            .with_context(|| format!("the dead letter at position {} stays dead", view.position))?;
        // Not before the confirm: a message must never be in neither queue.
        match walk.take(&letter).await {
            Ok(Settled::Done) => tally.done += 1,
            Ok(Settled::Stale) => bail!("{}", twice(&view)),
            Err(error) => return Err(error).context(twice(&view)),
        }
        progress.show(walk.reach(), tally.done);
        if walk.is_round_over() {
            walk.begin_again().await?;
            tally.begin_again();
        }
    }
    progress.finish();
    Ok(())
}

fn twice(view: &View) -> String {
    let position = view.position;
    format!(
        "the letter at position {position} was replayed and is still dead: replayed again, it does no harm"
    )
}
