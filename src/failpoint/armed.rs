//! What a failpoint does where it is armed: in debug builds only.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;

use super::Point;

const VARIABLE: &str = "USER_MERGE_FAILPOINTS";
const MARKS: &str = "USER_MERGE_FAILPOINT_MARKS";

/// Set once, by [`arm`].
static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

/// An error that a failpoint made up.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the failpoint {}", .0.name())]
pub struct Fault(pub Point);

/// A variable that says nothing that can be done.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// There is no such point.
    #[error("{VARIABLE}: there is no failpoint `{0}`; there are: {names}", names = names())]
    Point(String),
    /// There is no such action.
    #[error(
        "{VARIABLE}: `{0}` is no NAME=ACTION[@N] with an action of kill, error, delay(TIME) or hold"
    )]
    Action(String),
    /// Nobody could let go.
    #[error("{VARIABLE}: `hold` needs {MARKS}")]
    Hold,
    /// The marks can't be left there.
    #[error("{MARKS}: `{0}` is no directory")]
    Marks(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
    Delay(Duration),
    Hold,
}

#[derive(Debug)]
struct Armed {
    point: Point,
    action: Action,
    /// Only at this passing, counted from 1.
    only: Option<u32>,
    passed: AtomicU32,
    /// As it was written.
    text: String,
    /// The file that says that it has acted.
    mark: Option<PathBuf>,
}

/// Reads the variables. To be called once, when the program starts; where it isn't, no failpoint does anything.
pub fn arm() -> Result<(), ArmError> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let marks = std::env::var_os(MARKS).map(PathBuf::from);
    if let Some(path) = marks.as_deref().filter(|path| !path.is_dir()) {
        return Err(ArmError::Marks(path.display().to_string()));
    }
    // Who comes second finds the same variables armed already.
    drop(ARMED.set(parse(&text, marks.as_deref())?));
    Ok(())
}

fn parse(text: &str, marks: Option<&Path>) -> Result<Vec<Armed>, ArmError> {
    let parts = text.split(';').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let wrong = || ArmError::Action(part.to_owned());
            let (name, rest) = part.split_once('=').ok_or_else(wrong)?;
            let point = Point::ALL.iter().find(|point| point.name() == name);
            let point = *point.ok_or_else(|| ArmError::Point(name.to_owned()))?;
            let (action, only) = match rest.split_once('@') {
                Some((action, number)) => (action, Some(number)),
                None => (rest, None),
            };
            let only = only.map(str::parse).transpose().map_err(|_| wrong())?;
            let action = Action::parse(action).filter(|_| only != Some(0));
            let action = action.ok_or_else(wrong)?;
            if action == Action::Hold && marks.is_none() {
                return Err(ArmError::Hold);
            }
            Ok(Armed {
                point,
                action,
                only,
                passed: AtomicU32::new(0),
                text: part.to_owned(),
                mark: marks.map(|directory| directory.join(part)),
            })
        })
        .collect()
}

fn names() -> String {
    let names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
    names.join(", ")
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "kill" => Some(Self::Kill),
            "error" => Some(Self::Error),
            "hold" => Some(Self::Hold),
            _ => {
                let time = text.strip_prefix("delay(")?.strip_suffix(')')?;
                parse_duration(time).ok().map(Self::Delay)
            }
        }
    }
}

impl Armed {
    /// Whether it is its turn to act now.
    fn is_due(&self) -> bool {
        let passing = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        self.only.is_none_or(|only| only == passing) && self.leaves_mark()
    }

    /// Until somebody writes into the mark.
    async fn held(&self) {
        let is_empty = |mark: &PathBuf| mark.metadata().is_ok_and(|mark| mark.len() == 0);
        while self.mark.as_ref().is_some_and(is_empty) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One process alone can make the file.
    fn leaves_mark(&self) -> bool {
        let Some(mark) = &self.mark else {
            return true;
        };
        match File::create_new(mark) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            // Acting all the same could go on for ever.
            Err(error) => panic!("{}: {error}", mark.display()),
        }
    }
}

impl Point {
    /// Does what the point is armed for. Called by `failpoint!`.
    pub async fn reach(self) -> Result<(), Fault> {
        let armed = ARMED.get().into_iter().flatten();
        for armed in armed.filter(|armed| armed.point == self) {
            if !armed.is_due() {
                continue;
            }
            tracing::warn!("the failpoint {}", armed.text);
            match armed.action {
                // The way to end at once that needs neither unsafe code nor another process.
                Action::Kill => std::process::abort(),
                Action::Error => return Err(Fault(self)),
                Action::Delay(time) => tokio::time::sleep(time).await,
                Action::Hold => armed.held().await,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_points_and_what_they_do() {
        let armed = parse(
            "chunk.committed=kill; ack.due=delay(1s 500ms)@2;ack.due=error;",
            None,
        )
        .unwrap();
        let armed: Vec<_> = armed.iter().map(|a| (a.point, a.action, a.only)).collect();
        let expected = [
            (Point::ChunkCommitted, Action::Kill, None),
            (
                Point::AckDue,
                Action::Delay(Duration::from_millis(1_500)),
                Some(2),
            ),
            (Point::AckDue, Action::Error, None),
        ];
        assert_eq!(armed, expected);
        assert!(parse("", None).unwrap().is_empty());
    }

    #[test]
    fn what_says_nothing_is_an_error() {
        let said = |text| parse(text, None).unwrap_err().to_string();
        let unknown = said("chunk.comitted=kill");
        assert!(
            unknown.contains("no failpoint `chunk.comitted`") && unknown.contains("chunk.moved"),
            "{unknown}"
        );
        assert_eq!(said("ack.due=hold"), ArmError::Hold.to_string());
        for wrong in [
            "ack.due",
            "ack.due=",
            "ack.due=stop",
            "ack.due=delay",
            "ack.due=delay(soon)",
            "ack.due=kill@",
            "ack.due=kill@0",
            "ack.due=kill@-1",
        ] {
            assert!(said(wrong).contains(&format!("`{wrong}`")), "{wrong}");
        }
    }

    #[test]
    fn a_point_acts_at_its_passing_and_once_where_it_leaves_a_mark() {
        let acts = |armed: &Armed| (0..4).map(|_| armed.is_due()).collect::<Vec<_>>();
        let every = parse("ack.due=error", None).unwrap();
        assert_eq!(acts(&every[0]), [true; 4]);
        let third = parse("ack.due=error@3", None).unwrap();
        assert_eq!(acts(&third[0]), [false, false, true, false]);

        let marks = tempfile::tempdir().unwrap();
        let once = || parse("ack.due=error", Some(marks.path())).unwrap();
        assert_eq!(acts(&once()[0]), [true, false, false, false]);
        assert!(marks.path().join("ack.due=error").exists());
        assert_eq!(acts(&once()[0]), [false; 4], "in another process");
        let other = parse("ack.due=kill", Some(marks.path())).unwrap();
        assert!(other[0].is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_on_when_somebody_writes_into_the_mark() {
        let marks = tempfile::tempdir().unwrap();
        let armed = parse("ack.due=hold", Some(marks.path())).unwrap();
        assert!(armed[0].is_due());
        let held = armed[0].held();
        tokio::pin!(held);
        let waiting = tokio::time::timeout(Duration::from_mins(1), &mut held);
        assert!(waiting.await.is_err());
        std::fs::write(marks.path().join("ack.due=hold"), "go on").unwrap();
        held.await;
    }

    #[test]
    fn no_two_points_have_one_name() {
        let names: std::collections::BTreeSet<_> =
            Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
