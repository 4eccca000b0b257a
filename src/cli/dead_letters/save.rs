//! What is thrown away is written down first.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::Utc;
use serde_json::{Value, json};

/// A file of JSON lines, one a letter. It may hold personal data: only its owner reads it.
pub(super) struct Saved {
    file: File,
    path: PathBuf,
}

impl Saved {
    /// Opens or creates it; what is in it stays.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let opened = options.append(true).create(true).mode(0o600).open(path);
        let file = opened.with_context(|| format!("can't write to {}", path.display()))?;
        let saved = Self {
            file,
            path: path.to_owned(),
        };
        // The name must survive too.
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.with_context(|| format!("can't write to {}", directory.display()))?;
        Ok(saved)
    }

    /// Writes these letters, and returns once the disk has them.
    pub(super) fn write(&mut self, letters: impl Iterator<Item = Value>) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for mut letter in letters {
            letter["saved_at"] = json!(Utc::now());
            serde_json::to_writer(&mut lines, &letter)?;
            lines.push(b'\n');
        }
        let written = self
            .file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data());
        written.with_context(|| format!("can't write to {}", self.path.display()))
    }
}
