//! `user-merge dead-letters discard`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;
use tokio_util::sync::CancellationToken;

use super::ask::{Consent, confirmed};
use super::progress::Progress;
use super::save::Saved;
use super::select::Selection;
use super::tally::Tally;
use super::view::View;
use super::walk::Walk;
use super::{show, wrong_usage};
use crate::app;
use crate::broker::{Letter, Settled};
use crate::cli::{Context, output, stop};
use crate::store;
use crate::store::merges::is_reserved;

const WORD: &str = "discarded";
/// Letters that are written to the file at once.
const BATCH: usize = 100;

/// Throw dead letters away, once they are written to a file
///
/// A merge that stopped halfway has its users reserved until the same request is sent again. Its dead letter is that
/// request, so it is kept: the database is asked about each. With --unfinished it isn't asked, and the users stay
/// reserved: then send the line from the file again, or another request with its key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge dead-letters discard --reason not_json --older-than 7d --save discarded.jsonl
  user-merge dead-letters discard --key crm-2026-11-22-000123 --save discarded.jsonl --yes

Exit status: 0 done, 1 stopped before the end, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    consent: Consent,
    /// Append what is discarded to this file, as JSON lines
    #[arg(long, value_name = "FILE", conflicts_with = "no_save")]
    save: Option<PathBuf>,
    /// Lose it for good
    #[arg(long)]
    no_save: bool,
    /// Also what unfinished merges need to go on; the database isn't asked
    #[arg(long)]
    unfinished: bool,
    #[command(flatten)]
    selection: Selection,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    args.consent.require(&args.selection);
    if args.save.is_none() && !args.no_save && !args.consent.dry_run {
        wrong_usage(
            ErrorKind::MissingRequiredArgument,
            "say where what is discarded is kept: --save FILE, or --no-save",
        );
    }
    let pool = if args.unfinished {
        None
    } else {
        let connecting = app::connected_pool(&context.settings).await;
        Some(connecting.context("can't tell which merges are unfinished")?)
    };
    let stop = stop::on_signal()?;
    if args.consent.counts_first() {
        let mut walk = Walk::open(context, &args.selection, &stop).await?;
        let counted = count(args, &mut walk, pool.as_ref()).await;
        let reach = walk.reach();
        walk.close().await;
        let tally = counted?;
        if args.consent.dry_run || tally.done == 0 || reach.interrupted {
            return tally.print(context.json, WORD, args.consent.dry_run, reach);
        }
        let question = format!("Discard {} dead letters?", tally.done);
        if !confirmed(&question, &stop).await? {
            output::print(false, &serde_json::Value::Null, || {
                "nothing was discarded".to_owned()
            })?;
            return Ok(ExitCode::from(1));
        }
    }
    discard(args, context, pool.as_ref(), &stop).await
}

async fn count(
    args: &Args,
    walk: &mut Walk<'_>,
    pool: Option<&store::Pool>,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while tally.done < args.consent.limit
        && let Some((_, view)) = walk.next().await?
    {
        if is_needed(pool, &view).await? {
            tally.keep("unfinished");
        } else {
            tally.done += 1;
        }
    }
    Ok(tally)
}

/// Whether an unfinished merge has users reserved that only this request frees.
async fn is_needed(pool: Option<&store::Pool>, view: &View) -> anyhow::Result<bool> {
    match (pool, view.account, &view.key) {
        (Some(pool), Some(account), Some(key)) => {
            is_reserved(pool, account, key).await.map_err(app::explain)
        }
        _ => Ok(false),
    }
}

async fn discard(
    args: &Args,
    context: &Context,
    pool: Option<&store::Pool>,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let saved = args.save.as_deref().map(Saved::open).transpose()?;
    let walk = Walk::open(context, &args.selection, stop).await?;
    let mut bin = Bin {
        walk,
        saved,
        pending: Vec::new(),
        tally: Tally::default(),
    };
    let discarded = bin.fill(args, pool).await;
    let reach = bin.walk.reach();
    bin.walk.close().await;
    let code = bin.tally.print(context.json, WORD, false, reach)?;
    discarded.map(|()| code)
}

/// What takes the letters.
struct Bin<'a> {
    walk: Walk<'a>,
    saved: Option<Saved>,
    /// Not written and not taken yet.
    pending: Vec<(Letter, View)>,
    tally: Tally,
}

impl Bin<'_> {
    async fn fill(&mut self, args: &Args, pool: Option<&store::Pool>) -> anyhow::Result<()> {
        let mut progress = Progress::new(WORD, self.walk.reach());
        while self.tally.done + (self.pending.len() as u64) < args.consent.limit
            && let Some((letter, view)) = self.walk.next().await?
        {
            if is_needed(pool, &view).await? {
                self.tally.keep("unfinished");
            } else {
                self.pending.push((letter, view));
            }
            let is_round_over = self.walk.is_round_over();
            if self.pending.len() >= BATCH || is_round_over {
                self.empty().await?;
                progress.show(self.walk.reach(), self.tally.done);
            }
            if is_round_over {
                self.walk.begin_again().await?;
                self.tally.begin_again();
            }
        }
        self.empty().await?;
        progress.finish();
        Ok(())
    }

    /// Writes first, takes then.
    async fn empty(&mut self) -> anyhow::Result<()> {
        if let Some(saved) = &mut self.saved {
            let letters = self.pending.iter();
            saved.write(letters.map(|(letter, view)| show::json(letter, view)))?;
        }
        for (letter, view) in std::mem::take(&mut self.pending) {
            match self.walk.take(&letter).await {
                Ok(Settled::Done) => self.tally.done += 1,
                Ok(Settled::Stale) => bail!("{}", still_there(&view)),
                Err(error) => return Err(error).context(still_there(&view)),
            }
        }
        Ok(())
    }
}

fn still_there(view: &View) -> String {
    let position = view.position;
    format!(
        "the letters from position {position} on are still dead, though they may be in the file"
    )
}
