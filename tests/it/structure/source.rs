//! The files of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::lexer::{Token, lex, without_tests};

/// One file of Rust.
#[derive(Clone)]
pub struct File {
    /// From the repository's root, with slashes.
    pub path: String,
    /// All of it.
    pub tokens: Vec<Token>,
    /// Without what is compiled for tests only.
    pub code: Vec<Token>,
    /// The modules that are declared for tests only.
    test_modules: Vec<String>,
}

impl File {
    fn read(path: &Path) -> Self {
        let tokens = lex(&fs::read_to_string(path).unwrap());
        let (code, test_modules) = without_tests(&tokens);
        Self {
            path: name(path),
            tokens,
            code,
            test_modules,
        }
    }

    /// The directory or file under `src/` that it belongs to.
    pub fn room(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap();
        path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Where the files of its modules are.
    pub fn children(&self) -> String {
        let path = self.path.strip_suffix(".rs").unwrap();
        let is_root = ["mod", "main", "lib"].contains(&path.rsplit('/').next().unwrap());
        match path.rsplit_once('/') {
            Some((directory, _)) if is_root => directory.to_owned(),
            _ => path.to_owned(),
        }
    }

    /// How many modules deep it is: 0 for the crate's root, 1 for a room.
    pub fn depth(&self) -> usize {
        self.children().split('/').count() - 1
    }

    /// Whether these tokens are somewhere in the code.
    pub fn has(&self, tokens: &[&str]) -> bool {
        let found = |window: &[Token]| window.iter().zip(tokens).all(|(own, word)| own.is(word));
        self.code.windows(tokens.len()).any(found)
    }
}

/// Where the repository is.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn name(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    path.to_str().unwrap().replace('\\', "/")
}

/// Every file under a directory of the repository, by path.
pub fn paths(directory: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.insert(name(&path));
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {directory}");
    found.into_iter().collect()
}

/// A file's text.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every Rust file under a directory, tests included.
pub fn all(directory: &str) -> Vec<File> {
    let paths = paths(directory);
    let rust = paths
        .iter()
        .filter(|path| Path::new(path).extension().is_some_and(|e| e == "rs"));
    rust.map(|path| File::read(&root().join(path))).collect()
}

/// What the program is made of: `src/` without the files that are compiled for tests only.
pub fn program() -> Vec<File> {
    let mut files = all("src");
    let mut tests = Vec::new();
    for file in &files {
        for module in &file.test_modules {
            tests.push(format!("{}/{module}.rs", file.children()));
            tests.push(format!("{}/{module}/", file.children()));
        }
    }
    files.retain(|file| !tests.iter().any(|test| file.path.starts_with(test)));
    files
}
