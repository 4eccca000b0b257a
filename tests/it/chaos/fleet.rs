//! Three worker processes, each with a proxy on either of its links.

use std::io::Write as _;
use std::sync::Mutex;

use secrecy::ExposeSecret as _;
use user_merge::config::Settings;

use crate::harness::proxy::{Mode, Proxy};
use crate::harness::{Process, command, eventually};

use super::stage::Stage;

/// How many workers there are.
pub const WORKERS: usize = 3;
/// What a worker logs once it consumes a lane.
const CONSUMING: [&str; 2] = [
    r#""message":"consuming","lane":"interactive""#,
    r#""message":"consuming","lane":"bulk""#,
];

/// And once it has done with a message.
const SETTLING: &str = r#""target":"user_merge::worker::settle""#;

/// A worker's place: when its process ends, another one takes it.
pub struct Post {
    settings: Settings,
    pub database: Proxy,
    pub broker: Proxy,
    process: Mutex<Option<Process>>,
}

/// All of them.
pub struct Fleet {
    pub posts: Vec<Post>,
}

impl Fleet {
    pub fn start(stage: &Stage) -> Self {
        let posts = (0..WORKERS).map(|_| Post::new(&stage.settings));
        let fleet = Self {
            posts: posts.collect(),
        };
        fleet.posts.iter().for_each(Post::start);
        fleet
    }

    /// No faults on any link.
    pub fn calm(&self) {
        for post in &self.posts {
            post.database.set(Mode::Pass);
            post.broker.set(Mode::Pass);
        }
    }
}

impl Post {
    fn new(settings: &Settings) -> Self {
        let mut settings = settings.clone();
        let through = |url: &mut Option<secrecy::SecretString>| {
            let direct = url.as_ref().unwrap().expose_secret().to_owned();
            let proxy = Proxy::of_url(&direct);
            *url = Some(proxy.url(&direct).into());
            proxy
        };
        Self {
            database: through(&mut settings.database.url),
            broker: through(&mut settings.broker.url),
            settings,
            process: Mutex::new(None),
        }
    }

    /// Starts a process where there is none.
    pub fn start(&self) {
        let mut process = self.process.lock().unwrap();
        if process.is_none() {
            *process = Some(Process::start(command(&self.settings, &["worker"])));
        }
    }

    /// Starts another one where it has ended by itself: for one, because the database was away when it started.
    /// Says whether that was so.
    pub fn revive(&self) -> bool {
        let mut process = self.process.lock().unwrap();
        let has_ended = process.as_mut().is_none_or(|process| !process.runs());
        if has_ended {
            process.take().iter().for_each(keep);
            *process = Some(Process::start(command(&self.settings, &["worker"])));
        }
        has_ended
    }

    /// Whether the process has begun to consume both lanes.
    pub fn has_consumed(&self) -> bool {
        self.has_said(&CONSUMING)
    }

    /// Whether it has settled a message besides: then it has others in hand, as long as there are any.
    pub fn is_at_work(&self) -> bool {
        self.has_said(&[CONSUMING[0], CONSUMING[1], SETTLING])
    }

    fn has_said(&self, lines: &[&str]) -> bool {
        let process = self.process.lock().unwrap();
        let process = process.as_ref();
        process.is_some_and(|process| lines.iter().all(|line| process.said(line)))
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap().take();
        if let Some(mut process) = process
            && process.runs()
        {
            process.signal("KILL");
            keep(&process);
        }
    }

    /// SIGTERM, and its exit status.
    pub async fn term(&self) -> Option<i32> {
        let mut process = self.process.lock().unwrap().take()?;
        if process.runs() {
            process.signal("TERM");
        }
        let status = process.exit().await;
        keep(&process);
        Some(status)
    }
}

/// The log, where somebody asked for it: `USER_MERGE_CHAOS_LOGS` names a directory.
fn keep(process: &Process) {
    let Ok(directory) = std::env::var("USER_MERGE_CHAOS_LOGS") else {
        return;
    };
    std::fs::create_dir_all(&directory).unwrap();
    let path = format!("{directory}/{}.log", process.id());
    let mut file = std::fs::File::create(path).unwrap();
    for line in process.lines() {
        writeln!(file, "{line}").unwrap();
    }
}

/// Waits until this worker is at work, but not for long where another one is: says which. None where all are
/// held up.
pub async fn at_work(fleet: &Fleet, wanted: usize) -> Option<usize> {
    for look in 0..400 {
        let from = if look < 20 {
            wanted..=wanted
        } else {
            0..=WORKERS - 1
        };
        let is_at_work = |worker: &usize| fleet.posts[*worker].is_at_work();
        if let Some(worker) = from.clone().find(is_at_work) {
            return Some(worker);
        }
        fleet.posts.iter().filter(|post| post.revive()).count();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    None
}

/// Waits until all are.
pub async fn all_at_work(fleet: &Fleet) {
    eventually("workers that consume", || async {
        let ready = fleet.posts.iter().all(Post::has_consumed);
        fleet.posts.iter().filter(|post| post.revive()).count();
        ready.then_some(())
    })
    .await;
}
