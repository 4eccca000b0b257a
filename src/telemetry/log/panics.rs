//! A panic is a log line like any other.

use std::panic::PanicHookInfo;

use tracing::error;

/// Replaces the standard hook, which prints whatever the panic says: that may quote a value.
pub(super) fn log() {
    std::panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map(|at| format!("{}:{}", at.file(), at.line()));
        error!("panicked at {}: {}", place.unwrap_or_default(), said(info));
    }));
}

/// What is written in the program is shown; what was put together while it ran is not.
fn said<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let fixed = info.payload().downcast_ref::<&'static str>();
    fixed
        .copied()
        .unwrap_or("(not shown, it may quote a value)")
}
