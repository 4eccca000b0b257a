//! `user-merge verify`: nothing to say of a desk at work, and the code and the ids of whatever is broken.

mod at_work;
mod broken;
mod clean;
mod command;
mod lived_in;
mod random;
