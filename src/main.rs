//! The binary: everything is in the library.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Stack of each thread, in bytes. The AMQP client reads and drops nested headers by recursion, so that a hostile
/// message of one frame (128 KiB, some 26,000 levels) would overflow a usual stack and end the process, again at
/// each redelivery (rule R6). Address space only: what isn't used costs nothing.
const MIN_STACK: &str = "536870912";

/// What the process starts over with. For glibc's allocator besides: one heap, since each thread's own keeps what it
/// once needed, and large buffers, those of a connection, go back to the system when it ends.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("RUST_MIN_STACK", MIN_STACK),
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
];

fn main() -> ExitCode {
    // The standard library reads the variable when it starts its first thread, and setting one's own environment
    // isn't safe code: so the process starts over with it, under the same id.
    if std::env::var_os("RUST_MIN_STACK").is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let mut arguments = std::env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        // Returns only if it failed; then the usual stack has to do.
        drop(again.args(arguments).envs(ENVIRONMENT).exec());
    }
    user_merge::cli::main()
}
