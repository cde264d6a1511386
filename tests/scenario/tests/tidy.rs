//! Goal: the tree keeps to its own style: every file says what it owns, stays readable in one
//! sitting, leaves nothing for later, and gives a reason for each dependency.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, without exception so far.
const LINES_MAX: usize = 450;

/// Files and folders that the top level may hold.
const TOP_LEVEL: [&str; 18] = [
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "aldis-data",
    "clippy.toml",
    "conf",
    "protocol",
    "rustfmt.toml",
    "sql",
    "src",
    "target",
    "tests",
    "tools",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// Files of the tree with this ending, as (path from the root, text).
fn files(ending: &str) -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    for top in ["protocol", "src", "tools", "tests"] {
        collect(&root.join(top), ending, &mut found);
    }
    let name =
        |path: &Path| path.strip_prefix(&root).expect("below the root").display().to_string();
    found
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).expect("a readable file")))
        .collect()
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let is_built = path.file_name().is_some_and(|name| name == "target");
        if path.is_dir() && !is_built {
            collect(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

#[test]
fn every_file_says_on_its_first_line_what_it_owns() {
    let silent: Vec<_> = files("rs")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn files_stay_readable_in_one_sitting() {
    let long: Vec<_> = files("rs")
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, count)| *count > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn nothing_is_left_for_later_and_no_queue_is_unbounded() {
    // In two parts, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
        concat!("channel::unb", "ounded"),
        concat!("mpsc::chan", "nel("),
    ];
    let mut found = Vec::new();
    for (name, text) in files("rs") {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_dependency_has_a_reason() {
    let mut silent = Vec::new();
    let mut manifests = files("toml");
    let path = root().join("Cargo.toml");
    manifests.push(("Cargo.toml".into(), fs::read_to_string(path).expect("the workspace")));
    for (name, text) in manifests.iter().filter(|(name, _)| name.ends_with("Cargo.toml")) {
        let (mut is_dependency, mut has_reason) = (false, false);
        for line in text.lines() {
            if line.starts_with('[') {
                is_dependency = line.contains("dependencies]");
            }
            let is_entry = line.starts_with(|c: char| c.is_ascii_alphabetic());
            let is_own = line.starts_with("aldis-");
            if is_dependency && is_entry && !is_own && !has_reason {
                silent.push(format!("{name}: {line}"));
            }
            // A reason may cover the lines that follow it directly.
            has_reason = line.starts_with('#') || (has_reason && is_entry);
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn the_top_level_holds_what_the_layout_names() {
    let strangers: Vec<_> = fs::read_dir(root())
        .expect("the workspace")
        .map(|entry| entry.expect("the workspace").file_name().to_string_lossy().into_owned())
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}
