//! The integration tests: one binary, one harness, real servers. `tests/run` starts them.

mod harness;

mod broker;
mod commands;
mod deploy;
mod end_to_end;
mod lanes;
mod panics;
mod permissions;
mod roles;
mod rules_a;
mod readme;
mod rules_p;
mod rules_d;
mod rules_r;
mod rules_t;
mod stopping;
mod telemetry;
mod structure;
