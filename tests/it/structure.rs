//! The invariants of the house, looked for in the source itself.

mod failpoints;
mod files;
pub mod lexer;
mod rooms;
pub mod source;
mod statements;
