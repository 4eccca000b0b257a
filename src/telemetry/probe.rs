//! A question to something outside, such as the database, asked at most once a second.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long an answer counts: a readiness check must not become load.
const FRESH: Duration = Duration::from_secs(1);
/// Patience for an answer; shorter than the usual patience of who asks for the readiness.
const PATIENCE: Duration = Duration::from_millis(800);

type Ask = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

pub(super) struct Probe {
    pub name: &'static str,
    ask: Ask,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Probe {
    pub fn new(name: &'static str, ask: Ask) -> Self {
        Self {
            name,
            ask,
            last: Mutex::new(None),
        }
    }

    /// Whether it answered well. Who asks meanwhile waits for the same answer.
    pub async fn answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((when, answer)) = *last
            && when.elapsed() < FRESH
        {
            return answer;
        }
        let answer = timeout(PATIENCE, (self.ask)()).await.unwrap_or(false);
        *last = Some((Instant::now(), answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_kept_for_a_while() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let ask: Ask = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { true })
        });
        let probe = Probe::new("database", ask);
        assert!(probe.answers().await);
        assert!(probe.answers().await);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn no_answer_in_time_is_a_bad_one() {
        let probe = Probe::new("database", Box::new(|| Box::pin(std::future::pending())));
        assert!(!probe.answers().await);
    }
}
