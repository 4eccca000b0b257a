//! `user-merge enqueue`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use humantime_serde::re::humantime::{format_duration, parse_duration};
use serde_json::{Value, json};

use super::{Context, output};
use crate::app;
use crate::broker::{
    self, Connection, Destination, Lane, Outgoing, Properties, Publisher, Subscriber, declare,
};
use crate::domain::{AccountId, IdempotencyKey, MergeRequest, UserId};
use crate::message::{self, EventType, OutcomeEvent};

/// Ask for a merge, and wait until the broker has stored the request
///
/// The merge of two users can't be undone. The same key never merges twice, however often it is sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge enqueue --account 42 --source 1001 --target 1002 --wait
  user-merge enqueue --account 42 --source 1001 --target 1002 --key crm-000123 --bulk

Exit status: 0 stored (with --wait: merged), 1 not stored, refused or failed, 2 wrong usage.")]
pub(super) struct Args {
    /// The help-desk tenant
    #[arg(long, value_name = "ID")]
    account: AccountId,
    /// The duplicate user that is merged away
    #[arg(long, value_name = "ID")]
    source: UserId,
    /// The user that remains
    #[arg(long, value_name = "ID")]
    target: UserId,
    /// Idempotency key, unique in the account [default: a new one, which is printed]
    #[arg(long)]
    key: Option<IdempotencyKey>,
    /// Who asks, for the record, such as agent:77
    #[arg(long, value_name = "WHO")]
    requested_by: Option<String>,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// Use the bulk lane
    #[arg(long)]
    bulk: bool,
    /// Wait for the outcome
    #[arg(long)]
    wait: bool,
    /// How long to wait for the outcome
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration, requires = "wait")]
    timeout: Duration,
}

pub(super) async fn run(args: Args, context: Context) -> anyhow::Result<ExitCode> {
    let broker = app::broker(&context.settings)?;
    let (wait, timeout) = (args.wait, args.timeout);
    let lane = if args.bulk {
        Lane::Bulk
    } else {
        Lane::Interactive
    };
    let request = request(args);
    // What the worker would refuse isn't sent.
    let body = message::request::encode(&request);
    message::request::decode(&body, Some(request.idempotency_key.as_str()))?;

    let listening = if wait {
        // Before the request is sent, or its outcome could be missed.
        Some(Listening::start(&broker).await.context("not stored")?)
    } else {
        None
    };
    let publisher = Publisher::new(broker, "requests");
    let stored = match publisher.connect().await {
        Ok(()) => store(&publisher, lane, &request, body).await,
        Err(error) => Err(anyhow!(error).context("not stored")),
    };
    publisher.close().await;
    let key = &request.idempotency_key;
    let told = stored.and_then(|()| {
        if wait && context.json {
            return Ok(()); // one command, one JSON object: the outcome
        }
        let stored = json!({ "stored": true, "idempotency_key": key, "lane": lane.label() });
        output::print(context.json, &stored, || format!("stored: {key}"))
    });
    let Some(mut listening) = listening else {
        return told.map(|()| ExitCode::SUCCESS);
    };
    let outcome = match told {
        Ok(()) => listening.outcome(&request, timeout).await,
        Err(error) => Err(error),
    };
    listening.end().await;
    let event = outcome?;
    output::print(context.json, &serde_json::to_value(&event)?, || {
        text(&event)
    })?;
    Ok(if event.event_type == EventType::Completed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

async fn store(
    publisher: &Publisher,
    lane: Lane,
    request: &MergeRequest,
    body: Vec<u8>,
) -> anyhow::Result<()> {
    let key = &request.idempotency_key;
    let properties = Properties {
        message_id: Some(key.to_string()),
        ..Properties::default()
    };
    let outgoing = Outgoing {
        destination: Destination::Lane(lane),
        body,
        properties,
    };
    let publishing = publisher.publish(outgoing).await;
    publishing.with_context(|| {
        format!("not known to be stored; it is safe to send it again with --key {key}")
    })
}

/// Hears every outcome from its start on.
struct Listening {
    events: Subscriber,
    connection: Connection,
}

impl Listening {
    async fn start(broker: &broker::Settings) -> Result<Self, broker::Error> {
        let connection = Connection::open(broker, "waiting for an outcome").await?;
        let declared = declare(&connection, broker).await;
        let opened = match declared {
            Ok(()) => Subscriber::open(&connection, &broker.names).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(events) => Ok(Self { events, connection }),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    async fn outcome(
        &mut self,
        request: &MergeRequest,
        patience: Duration,
    ) -> anyhow::Result<OutcomeEvent> {
        let key = &request.idempotency_key;
        let account = request.account_id;
        let later = format!("ask later with `user-merge status --account {account} {key}`");
        match tokio::time::timeout(patience, self.next_of(request)).await {
            Ok(outcome) => {
                outcome.with_context(|| format!("stored, but the outcome can't be heard; {later}"))
            }
            Err(_) => bail!(
                "stored, but no outcome within {}: is a worker running? {later}",
                format_duration(patience)
            ),
        }
    }

    async fn next_of(&mut self, request: &MergeRequest) -> anyhow::Result<OutcomeEvent> {
        while let Some(body) = self.events.next().await {
            let Ok(event) = serde_json::from_slice::<OutcomeEvent>(&body?) else {
                continue; // another version's event: not ours to judge
            };
            if event.account_id == request.account_id
                && event.idempotency_key == request.idempotency_key
            {
                return Ok(event);
            }
        }
        bail!("the broker closed the queue of events")
    }

    async fn end(self) {
        let Self { events, connection } = self;
        // In this order: as in [`broker::Session::close`].
        connection.close().await;
        drop(events);
    }
}

fn request(args: Args) -> MergeRequest {
    let new_key = || {
        IdempotencyKey::new(format!("cli-{}", uuid::Uuid::now_v7())).expect("letters and digits")
    };
    MergeRequest {
        idempotency_key: args.key.unwrap_or_else(new_key),
        account_id: args.account,
        source_user_id: args.source,
        target_user_id: args.target,
        requested_by: args.requested_by,
        reason: args.reason,
    }
}

fn text(event: &OutcomeEvent) -> String {
    let value = serde_json::to_value(event).unwrap_or(Value::Null);
    let mut lines = vec![format!("{}: merge {}", event.event_type, event.merge_id)];
    if event.already_merged {
        lines.push("the two were merged before; nothing was done".to_owned());
    }
    for part in ["tickets", "ccs", "profile", "rejection", "failure"] {
        if let Some(part_value) = value.get(part) {
            lines.push(format!("{part}: {}", plain(part_value)));
        }
    }
    lines.join("\n")
}

/// A part of an event for people: `live 3, closed 1`. What is empty is left out.
fn plain(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| match value {
                Value::Object(inner) if inner.is_empty() => None,
                Value::Object(_) => Some(format!("{name} ({})", plain(value))),
                _ => Some(format!("{name} {}", plain(value))),
            });
            fields.collect::<Vec<_>>().join(", ")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
