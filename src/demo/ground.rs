//! Whether there is room for a demo: it never writes into somebody's help desk, and never takes somebody's
//! messages.

use anyhow::{Context as _, bail, ensure};

use crate::broker::{self, Connection, Lane, Names};
use crate::store::Pool;
use crate::store::demo::{Ownership, ownership};

/// Begins the message id of whatever a demo sends.
const MARK: &str = "demo-";
/// No demo runs that often; a higher number is another account's.
const MAX_RUN: i64 = 1_000_000_000;

/// The number of this run, if the database is the demo's.
pub(super) async fn database(pool: &Pool) -> anyhow::Result<Ownership> {
    let mut connection = pool
        .acquire()
        .await
        .map_err(crate::store::Error::from)
        .context("can't use the database")?;
    let found = match ownership(&mut connection).await {
        Err(error) if matches!(error.label().as_ref(), "42P01" | "3F000") => {
            bail!("the database has no help desk: run `user-merge migrate --with-helpdesk` first")
        }
        other => other.context("can't use the database")?,
    };
    ensure!(
        found.others == 0,
        "this database holds a help desk: {} of its accounts are not the demo's. The demo never touches a \
         real help desk; give it a database of its own, or run deploy/local/demo, which makes one",
        found.others
    );
    Ok(found)
}

/// Nobody else may be at the queues: the demo's worker would take their requests, their worker the demo's
/// requests, and a deletion pipeline would be told to delete users. Tells the highest run that has left a message
/// too: the database may be newer than the queues, and no run may have another's accounts.
pub(super) async fn queues(settings: &broker::Settings) -> anyhow::Result<(Connection, i64)> {
    let connection = Connection::open(settings, "demo").await?;
    broker::declare(&connection, settings).await?;
    let names = &settings.names;
    let lanes = Lane::ALL.map(|lane| names.lane(lane).to_owned());
    for queue in lanes.iter().chain([&names.deletion]) {
        let consumers = broker::queue_state(&connection, queue).await?.consumers;
        ensure!(
            consumers == 0,
            "the queue {queue} has {consumers} consumer(s): the demo needs queues to itself. Stop them, or \
             give the demo other queues (settings broker.names) or a broker of its own (deploy/local/demo)"
        );
    }
    let retries = settings.delays.iter().map(|&delay| names.retry(delay));
    let mut highest = 0;
    for queue in lanes.iter().cloned().chain(retries) {
        // What an interrupted demo has left is its own, and this one's worker takes it.
        let runs = runs(&connection, &queue).await?;
        let foreign = runs.iter().filter(|run| run.is_none()).count();
        ensure!(
            foreign == 0,
            "the queue {queue} holds {foreign} message(s) that are not the demo's: its worker would take them. \
             Give the demo other queues (settings broker.names) or a broker of its own (deploy/local/demo)"
        );
        highest = highest.max(runs.into_iter().flatten().max().unwrap_or(0));
    }
    for queue in [&names.dead, &names.deletion] {
        let runs = runs(&connection, queue).await?;
        highest = highest.max(runs.into_iter().flatten().max().unwrap_or(0));
    }
    Ok((connection, highest))
}

/// Of each message in a queue, the run that it's from; `None` where it's from none.
async fn runs(connection: &Connection, queue: &str) -> Result<Vec<Option<i64>>, broker::Error> {
    let seen = broker::peek(connection, queue).await?;
    let run = |message: broker::Seen| run(message.properties.message_id.as_deref()?);
    Ok(seen.into_iter().map(run).collect())
}

/// The run that a message id belongs to: `demo-7-71-shown`, or `user-deletion:71:127`.
fn run(message_id: &str) -> Option<i64> {
    let run: i64 = if let Some(rest) = message_id.strip_prefix(MARK) {
        rest.split('-').next()?.parse().ok()?
    } else {
        let account = message_id
            .strip_prefix("user-deletion:")?
            .split(':')
            .next()?;
        account.parse::<i64>().ok()? / 10
    };
    (1..MAX_RUN).contains(&run).then_some(run)
}

/// The queue in which conflicting requests wait (rule A10).
pub(super) fn waiting(names: &Names, settings: &crate::config::Settings) -> String {
    names.retry(settings.retry.conflict_delay)
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn a_message_id_tells_its_run() {
        assert_eq!(run("demo-7-71-shown"), Some(7));
        assert_eq!(run("demo-12-half"), Some(12));
        assert_eq!(run("user-deletion:71:127"), Some(7));
        for other in [
            "crm-7",
            "demo-",
            "demo-x-1",
            "user-deletion:9:1",
            "user-deletion:9223372036854775807:1",
        ] {
            assert_eq!(run(other), None, "{other}");
        }
    }
}
