//! The integration tests: one binary, one harness, real servers. `tests/run` starts them.

#![allow(
    clippy::float_cmp,
    clippy::default_trait_access,
    clippy::format_push_string,
    reason = "counters are whole numbers; a test reads better without ceremony"
)]

mod harness;

mod broker;
mod chaos;
mod cluster;
mod commands;
mod crashes;
mod dead_letters;
mod demo;
mod deploy;
mod end_to_end;
mod keeper;
mod lanes;
mod model;
mod pace;
mod panics;
mod permissions;
mod readme;
mod roles;
mod rules_a;
mod rules_d;
mod rules_p;
mod rules_r;
mod rules_t;
mod stopping;
mod structure;
mod supervision;
mod telemetry;
mod together;
mod verify;
