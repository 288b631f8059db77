//! The layer rules, checked on the text of the sources: imports go down only, SQL stands in `store.rs`, HTTP in `api.rs`.
use std::{
    fs,
    path::{Path, PathBuf},
};

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The sources of the product, by their path in the repository; files of tests are left out.
pub fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut files = Vec::new();
    rust_files(&root.join("platform/src"), &mut files);
    rust_files(&root.join("app/src"), &mut files);
    files.retain(|file| !file.ends_with("tests.rs"));
    let read = |file: PathBuf| {
        let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&file).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// Every line of code with its file and number; comments and tests are left out.
fn code() -> Vec<(String, usize, String)> {
    let mut lines = Vec::new();
    for (name, text) in sources() {
        let product = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        for (number, line) in product.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            lines.push((name.clone(), number + 1, line.to_owned()));
        }
    }
    assert!(lines.len() > 2000);
    lines
}

/// From the top down; a layer may use those after it. Layers in one row may use each other.
const LAYERS: &[&[&str]] = &[
    &["app", "cli", "docs", "scrape", "seed"],
    &["domains"],
    &["domain"],
    &["access", "http", "core", "config", "server"],
    &["infra"],
    &["data"],
    &["values"],
    &["error"],
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The modules of the platform that a line names: `crate::data::…`, and each within `use crate::{…}`.
fn named(line: &str) -> Vec<&str> {
    let word = |text: &'static str, line: &'_ str| {
        line.match_indices(text).map(|(i, _)| i + text.len()).collect::<Vec<_>>()
    };
    let mut modules = Vec::new();
    for at in word("crate::", line) {
        let rest = &line[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        modules.push(&rest[..end]);
    }
    modules
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    let mut within_use = false;
    for (file, number, line) in code() {
        let Some(inside) = file.strip_prefix("platform/src/") else {
            continue;
        };
        let own = inside.split(['/', '.']).next().unwrap();
        let Some(layer) = layer_of(own) else { continue };
        let mut modules = named(&line);
        // the lines of `use crate::{`
        if let Some(rest) = line.strip_prefix("use crate::{") {
            within_use = true;
            modules.extend(rest.split([',', '{', ':']).map(str::trim));
        } else if within_use && line.starts_with("    ") && !line.starts_with("     ") {
            modules.extend(line.trim().split([':', ',']).next());
        }
        if line.contains("};") || line.trim_end().ends_with(';') {
            within_use = false;
        }
        for module in modules {
            if layer_of(module).is_some_and(|used| used < layer) {
                wrong.push(format!("{file}:{number}: {own} may not use {module}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_domain_keeps_its_five_files_apart() {
    let mut wrong = Vec::new();
    for (file, number, line) in code() {
        let Some(inside) =
            file.strip_prefix("platform/src/domains/").or_else(|| file.strip_prefix("app/src/"))
        else {
            continue;
        };
        let Some((domain, part)) = inside.split_once('/') else {
            continue;
        };
        let part = part.split(['/', '.']).next().unwrap();
        let mut fail = |why: &str| wrong.push(format!("{file}:{number}: {why}"));
        if (line.contains("sql!(") || line.contains("SystemSql::new(")) && part != "store" {
            fail("SQL stands in store.rs");
        }
        if line.contains("axum::") && !["api", "mod"].contains(&part) {
            fail("HTTP stands in api.rs");
        }
        let below: &[&str] = match part {
            "store" => &["api::", "service::"],
            "model" => &["api::", "service::", "store::"],
            "service" => &["api::"],
            _ => &[],
        };
        if line.starts_with("use super::") && below.iter().any(|layer| line.contains(layer)) {
            fail("within a domain: api, then service, then store; all may use model");
        }
        let other =
            line.split("crate::domains::").nth(1).map(|rest| rest.split("::").next().unwrap().to_owned());
        if other.is_some_and(|other| other != domain)
            && !line.contains("::service")
            && !line.contains("::events")
        {
            fail("another domain is reached through its service or its events");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_platform_knows_no_domain_of_the_app() {
    let mut domains: Vec<_> =
        fs::read_dir(root().join("app/src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    domains.retain(|path| path.is_dir());
    assert!(!domains.is_empty());
    let mut wrong = Vec::new();
    for (file, number, line) in code().iter().filter(|(file, ..)| file.starts_with("platform/")) {
        for domain in &domains {
            let name = domain.file_name().unwrap().to_string_lossy();
            let forms = ["{}::", "mod {}", "FROM {}", "INTO {}", "UPDATE {}", "/{}"];
            if forms.iter().any(|form| line.contains(&form.replace("{}", &name))) {
                wrong.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_product_file_is_too_long_to_read() {
    let mut lengths = std::collections::BTreeMap::<String, usize>::new();
    for (file, number, _) in code() {
        lengths.insert(file, number);
    }
    lengths.retain(|_, length| *length > 450);
    assert!(lengths.is_empty(), "past about 400 lines a file becomes a folder: {lengths:?}");
}
