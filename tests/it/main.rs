//! The integration tests: one binary, one harness, real servers. `tests/run` starts them.

mod harness;

mod broker;
mod commands;
mod end_to_end;
mod lanes;
mod rules_a;
mod rules_p;
mod permissions;
mod roles;
mod rules_r;
mod stopping;
mod telemetry;
mod rules_t;
