//! `user-merge schema`

use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value};

use super::output;
use crate::message::{SCHEMA_NAMES, schema};

/// Print the JSON Schema of a message, or of all of them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  user-merge schema                     all, as one object by name
  user-merge schema merge-request       what upstream sends
  user-merge schema deletion-request    what the deletion pipeline gets
  user-merge schema outcome-event       what is announced")]
pub(super) struct Args {
    /// The message
    #[arg(value_parser = PossibleValuesParser::new(SCHEMA_NAMES))]
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let value = if let Some(name) = &args.name {
        schema(name).context("no such message")?
    } else {
        let all = SCHEMA_NAMES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), schema(name)?)));
        Value::Object(all.collect::<Map<_, _>>())
    };
    // Always JSON, for people and for machines alike.
    let text = serde_json::to_string_pretty(&value)?;
    output::print(false, &value, || text)?;
    Ok(ExitCode::SUCCESS)
}
