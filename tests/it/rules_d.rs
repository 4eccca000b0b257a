//! Rules D: the hand-over to deletion.

mod chains;
mod ending;
mod late;
mod message;
