//! Rules D: the hand-over to deletion.

mod chains;
mod ending;
mod gone;
mod late;
mod message;
