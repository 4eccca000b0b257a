//! Servers that a test may stop, block and kill without disturbing the others: a pair of its own, made by the
//! script that makes those of `tests/run`.

use std::path::PathBuf;
use std::process::{Command, Output};

/// A private pair of servers, stopped and removed with the value.
pub struct OwnServers {
    script: PathBuf,
    directory: tempfile::TempDir,
}

impl OwnServers {
    /// Starts them; takes some seconds.
    pub fn start() -> Self {
        Self::start_with("deploy/local/servers", &["--fast"])
    }

    pub(super) fn start_with(script: &str, arguments: &[&str]) -> Self {
        let servers = Self {
            script: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(script),
            directory: tempfile::tempdir().unwrap(),
        };
        servers.run("start", arguments);
        servers
    }

    /// `deploy/local/servers COMMAND DIR ARGUMENTS`, such as `restart`, `kill` or `up` with `rabbitmq`.
    pub fn run(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.output(command, arguments);
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The value of a variable that the script's `env` exports.
    pub fn address(&self, variable: &str) -> String {
        let environment = self.run("env", &[]);
        let prefix = format!("export {variable}=");
        let line = environment
            .lines()
            .find_map(|line| line.strip_prefix(&prefix));
        // Written for a shell, which would take the backslash away.
        line.unwrap_or_else(|| panic!("{variable} is not exported"))
            .replace('\\', "")
    }

    fn output(&self, command: &str, arguments: &[&str]) -> Output {
        Command::new(&self.script)
            .arg(command)
            .arg(self.directory.path())
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        drop(self.output("stop", &["--remove"]));
    }
}
