//! A streaming standby of a test's own server, on a port of its own.

use std::process::{Command, Output};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// With the functions of the script that makes the servers: they know where the programs are, who may run them, and
/// which ports are free.
const SCRIPT: &str = r#"
    set -euo pipefail
    cd "$1" && dir=$2 primary=$3
    . deploy/local/lib/common.sh
    . deploy/local/lib/postgres.sh
    . deploy/local/lib/postgres-start.sh
    start() {
        pg_place
        free_ports 1 >"$dir/postgres.port"
        pg pg_basebackup --pgdata="$(pg_base)/data" --write-recovery-conf --checkpoint=fast --no-sync \
            --dbname="host=127.0.0.1 port=$primary user=postgres application_name=replica"
        pg_write_config 1
        pg_up
        pg_port
    }
    stop() { pg_stop; pg_bring_back; }
    "$4"
"#;

/// Stopped with the value.
pub struct Standby {
    directory: tempfile::TempDir,
    primary: PgConnectOptions,
    port: u16,
}

impl Standby {
    /// The name by which the primary knows it.
    pub const NAME: &str = "replica";

    /// Copies the server at this URL and follows it from then on.
    pub fn of(primary: &str) -> Self {
        let mut standby = Self {
            directory: tempfile::tempdir().unwrap(),
            primary: primary.parse().unwrap(),
            port: 0,
        };
        let output = standby.run("start");
        assert!(output.status.success(), "{output:?}");
        let port = String::from_utf8(output.stdout).unwrap();
        standby.port = port.lines().last().unwrap().parse().unwrap();
        standby
    }

    /// It takes in what is new, and makes none of it visible.
    pub async fn pause(&self) {
        self.execute("SELECT pg_wal_replay_pause()").await;
    }

    /// It catches up.
    pub async fn resume(&self) {
        self.execute("SELECT pg_wal_replay_resume()").await;
    }

    async fn execute(&self, sql: &str) {
        let options = self.primary.clone().port(self.port).username("postgres");
        let mut connection = options.database("postgres").connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    fn run(&self, what: &str) -> Output {
        Command::new("bash")
            .args(["-c", SCRIPT, "standby", env!("CARGO_MANIFEST_DIR")])
            .arg(self.directory.path())
            .args([&self.primary.get_port().to_string(), what])
            .output()
            .unwrap()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        drop(self.run("stop"));
    }
}
