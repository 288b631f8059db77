//! What is written is true as far as a test can tell: what a page names is there.
use crate::architecture::root;
use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// The pages of the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join("docs"), "md", &mut found);
    let at_root = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    found.extend(at_root.filter(|path| path.extension().is_some_and(|e| e == "md")));
    assert!(found.len() > 15);
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What stands between backticks on one line.
fn code_in(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(code: &str) -> bool {
    let plain = code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b));
    let file = [".md", ".rs", ".toml", ".lock", ".yaml"].iter().any(|end| code.ends_with(end));
    plain && !code.starts_with(['/', '.']) && (code.contains('/') || file || code == "Dockerfile")
}

fn is_test(code: &str) -> bool {
    code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && code.matches('_').count() > 2
}

fn is_there(path: &str) -> bool {
    root().join(path).exists()
}

#[test]
fn every_requirement_stands_in_the_page_once_and_what_it_names_is_there() {
    let list = read("docs/security/asvs-5.0.csv");
    let required: Vec<_> = list.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(required.len(), 159);
    let page = read("docs/security/asvs.md");
    let mut states = BTreeMap::<&str, usize>::new();
    let mut found = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, level, shown, asked, state, by] = cells[..] else { continue };
        if !id.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        assert!(list.lines().any(|line| line == format!("{id},{level},{shown}")), "{line}");
        assert!(["met", "in part", "open", "operator"].contains(&state), "{line}");
        assert!(!asked.is_empty() && by.len() > 7, "{line}");
        *states.entry(state).or_default() += 1;
        found.push(id);
    }
    let mut wanted = required.clone();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
    for (state, count) in states {
        assert!(page.contains(&format!("| {state} | {count} |")), "the table at the top: {state} {count}");
    }
}

#[test]
fn every_file_and_test_that_a_page_on_security_names_is_there() {
    let mut sources = Vec::new();
    for folder in ["app/src", "app/tests", "platform/src"] {
        files(&root().join(folder), "rs", &mut sources);
    }
    let sources: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let (mut named, mut missing) = (0, Vec::new());
    for page in ["docs/security/asvs.md", "docs/security/threat-model.md", "docs/security/policies.md"] {
        for code in code_in(&read(page)) {
            let there = match (is_test(code), is_path(code)) {
                (true, _) => sources.contains(&format!("fn {code}(")),
                (_, true) => is_there(code),
                _ => continue,
            };
            named += 1;
            if !there {
                missing.push(format!("{page}: {code}"));
            }
        }
    }
    assert!(missing.is_empty(), "neither a test nor a file:\n{}", missing.join("\n"));
    assert!(named > 200, "{named}");
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { page.clone() } else { plain(&page.parent().unwrap().join(file)) };
            let name = target.strip_prefix(root()).unwrap_or(&target).to_string_lossy().into_owned();
            assert!(is_there(&name), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() && target.exists() {
                let text = fs::read_to_string(&target).unwrap();
                let known =
                    text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
                assert!(known, "{}: {link}: there is no such heading", page.display());
            }
        }
    }
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
        plain
    })
}

/// A heading as links name it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
    kept.collect::<String>().replace(' ', "-")
}
