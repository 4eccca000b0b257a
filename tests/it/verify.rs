//! `user-merge verify`: nothing to say of a desk at work, and the code and the ids of whatever is broken.

mod broken;
mod clean;
mod lived_in;
