#![doc = include_str!("../README.md")]

pub mod app;
pub mod broker;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod failpoint;
pub mod merge;
pub mod message;
pub mod retry;
pub mod store;
pub mod telemetry;
pub mod verify;
pub mod worker;
