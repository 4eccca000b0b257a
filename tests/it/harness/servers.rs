//! Servers that a test may stop, block and kill without disturbing the others: a pair of its own, made by the
//! script that makes those of `tests/run`.

use std::path::PathBuf;
use std::process::{Command, Output};

use tokio::io::AsyncWriteExt as _;

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

    /// The same, of servers that may be too busy with themselves to answer.
    pub fn ask(&self, command: &str, arguments: &[&str]) -> Option<String> {
        let output = self.output(command, arguments);
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(answer)
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

/// A broker that hangs up before it is asked, as one that is just dying does, is not ready; the script that asks
/// lives on.
#[test]
fn a_server_that_hangs_up_does_not_end_the_script_that_waits_for_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(listener).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            // Its end, and then a reset: whoever writes now gets SIGPIPE.
            client.shutdown().await.unwrap();
            client.set_zero_linger().unwrap();
        }
    });
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("rabbitmq")).unwrap();
    let ports = format!("amqp={port}\nmanagement={port}\n");
    std::fs::write(directory.path().join("rabbitmq/ports"), ports).unwrap();
    let script = "set -e; . deploy/local/lib/common.sh; . deploy/local/lib/rabbitmq.sh; dir=$1
        for i in {1..20}; do if rmq_answers; then exit 1; fi; done; say alive";
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(directory.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "alive\n",
        "{output:?}"
    );
}
