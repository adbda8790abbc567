//! The documents for maintainers name files and functions that exist, and their lists are complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    imports::is_for_tests,
    modules::Crate,
    source::{self, Kind, ROOT, files, read},
};

const DOCUMENTS: [&str; 6] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "STORAGE.md",
    "docs/capacity.md",
    "docs/deployment.md",
];

/// The text between single backquotes, for each paragraph, list item, and table row of a document.
fn blocks(document: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<String> = vec![String::new()];
    let mut is_code = false;
    for line in document.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let begins = |mark: &str| line.trim_start().starts_with(mark);
        let is_numbered = line
            .trim_start()
            .split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if line.trim().is_empty() || begins("- ") || begins("|") || begins("#") || is_numbered {
            blocks.push(String::new());
        }
        if !is_code {
            let block = blocks.last_mut().unwrap();
            block.push_str(line);
            block.push('\n');
        }
    }
    let spans = |block: &String| -> Vec<String> {
        block.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    blocks.iter().map(spans).collect()
}

/// The part of a document under a heading of the second level.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let mut sections = document.split("\n## ").filter(|section| section.starts_with(heading));
    sections.next().unwrap_or_else(|| panic!("the document has no section {heading}"))
}

/// Whether the text is the path of a file or folder of the repository.
fn is_path(text: &str) -> bool {
    // Made by a build or a run, and not in the repository.
    let is_made = [
        "build",
        "target",
        ".wrangler",
        ".local",
        ".tools",
        "screenshots",
        ".dev.vars",
        "node_modules",
    ]
    .into_iter()
    .any(|made| text == made || text.starts_with(&format!("{made}/")));
    let is_media_type = ["application/", "text/"].iter().any(|start| text.starts_with(start));
    let endings = [".rs", ".mjs", ".js", ".json", ".md", ".toml", ".css", ".yml", ".lock"];
    let has_ending = endings.iter().any(|ending| text.ends_with(ending));
    let characters =
        |character: char| character.is_ascii_alphanumeric() || "._/-".contains(character);
    !is_made
        && !is_media_type
        && !text.starts_with('/')
        // Methods of MCP.
        && !text.starts_with("tools/")
        && !text.ends_with("/v1")
        && text != "tests.rs"
        && text != "authkit-edge/application/"
        && text.chars().all(characters)
        && (text.contains('/') || has_ending)
}

#[test]
fn documents_name_files_that_exist() {
    let mut absent = Vec::new();
    for document in DOCUMENTS {
        let named = blocks(&read(document)).concat();
        let paths = named.into_iter().filter(|text| is_path(text));
        let paths = paths.filter(|path| !Path::new(ROOT).join(path).exists());
        absent.extend(paths.map(|path| format!("{document} names {path}, which does not exist")));
    }
    assert!(absent.is_empty(), "{}", absent.join("\n"));
}

/// A name in backquotes that follows a file in the same block is in that file: `name()` as a function, and
/// `NAME` as a constant.
#[test]
fn documents_name_functions_that_their_files_have() {
    let mut absent = Vec::new();
    // SECURITY.md names tests: see below.
    for document in DOCUMENTS.into_iter().filter(|document| *document != "SECURITY.md") {
        for block in blocks(&read(document)) {
            let mut file: Option<&str> = None;
            for text in &block {
                if is_path(text) {
                    file = Some(text.as_str()).filter(|path| path.ends_with(".rs"));
                    continue;
                }
                let Some(file) = file else { continue };
                let tokens = source::tokens_of(file);
                let defines = |keyword: &str, name: &str| {
                    tokens.windows(2).any(|pair| pair[0].is(keyword) && pair[1].is(name))
                };
                let is_there = match text.strip_suffix("()") {
                    Some(function) => defines("fn", function.rsplit("::").next().unwrap()),
                    None if is_constant(text) && !is_variable(text) => defines("const", text),
                    None => true,
                };
                if !is_there {
                    absent.push(format!(
                        "{document} names {text} in {file}, which does not define it"
                    ));
                }
            }
        }
    }
    assert!(absent.is_empty(), "{}", absent.join("\n"));
}

/// Every row that names an attack, and no row with a name of no test. A Rust test is a function, and a test of Node has a
/// title in quotes.
#[test]
fn security_names_tests_that_exist() {
    let document = read("SECURITY.md");
    let section = section(&document, "What attackers have");
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let (heads, rows): (Vec<&str>, Vec<&str>) = rows.partition(|row| row.ends_with("| shown by |"));
    assert!(heads.len() > 5 && rows.len() > 20, "SECURITY.md has lost its tables");
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit_once("| ").unwrap().1;
        let mut file: Option<&str> = None;
        let mut tests = 0;
        for text in cell.split('`').skip(1).step_by(2) {
            if is_path(text) {
                file = Some(text);
                continue;
            }
            let path = file.unwrap_or_else(|| panic!("SECURITY.md names no file before {text}"));
            let source = read(path);
            let is_there = match text.strip_suffix("()") {
                Some(name) => source.contains(&format!("fn {name}(")) && source.contains("test]"),
                None => [format!("'{text}'"), format!("`{text}`")]
                    .iter()
                    .any(|title| source.contains(title)),
            };
            assert!(is_there, "SECURITY.md names {text} in {path}, which has no such test");
            tests += 1;
        }
        assert!(tests > 0, "SECURITY.md shows no test in: {row}");
    }
}

fn is_constant(text: &str) -> bool {
    text.contains('_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
}

fn is_variable(text: &str) -> bool {
    ["WORKOS_", "PUBLIC_", "CHROMIUM_", "CARGO_"].iter().any(|start| text.starts_with(start))
}

#[test]
fn architecture_names_every_module() {
    let document = read("ARCHITECTURE.md");
    let section = section(&document, "Modules");
    let named: BTreeSet<String> = blocks(section).concat().into_iter().collect();
    for folder in ["src", "crates/edge/src", "crates/authkit/src"] {
        let modules = Crate::read(folder);
        for file in modules.files().into_iter().filter(|file| !is_for_tests(file)) {
            assert!(
                named.contains(file),
                "ARCHITECTURE.md, Modules: add a line that says what {file} does"
            );
        }
    }
    for script in files("local", ".mjs") {
        let is_part = script["local/".len()..].contains('/') || script.ends_with(".test.mjs");
        assert!(
            is_part || named.contains(&script),
            "ARCHITECTURE.md, Modules: say what {script} does"
        );
    }
}

#[test]
fn architecture_names_every_folder() {
    let document = read("ARCHITECTURE.md");
    let named = blocks(section(&document, "Modules")).concat();
    for folder in ["local", "tests", "bench", "fuzz", "assets", "examples", "crates"] {
        let path = Path::new(ROOT).join(folder);
        if !path.exists() {
            continue;
        }
        let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let inner =
            folders.map(|entry| format!("{folder}/{}", entry.file_name().to_str().unwrap()));
        let ignored = ["target", "corpus", "results", "assets/docs"];
        let inner = inner.filter(|path| !ignored.iter().any(|name| path.ends_with(name)));
        for path in inner.chain([folder.to_owned()]) {
            let is_named = named.iter().any(|text| text.trim_end_matches('/') == path);
            let is_in_a_file = named.iter().any(|text| text.starts_with(&format!("{path}/")));
            assert!(is_named || is_in_a_file, "ARCHITECTURE.md, Modules: say what is in {path}");
        }
    }
}

/// `GET /path` for every route: the API's description has most of them.
fn routes() -> BTreeSet<String> {
    let document: serde_json::Value =
        serde_json::from_str(authkit_edge::openapi::DOCUMENT).unwrap();
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    // The others: constants of the modules that serve other specifications.
    for (method, file) in [
        ("POST", "src/mcp/routes.rs"),
        ("POST", "src/webhooks.rs"),
        ("GET", "crates/authkit/src/oauth_metadata.rs"),
    ] {
        let tokens = source::tokens_of(file);
        let paths = tokens.iter().filter(|token| {
            token.kind == Kind::Text
                && token.text.starts_with('/')
                && !token.text.contains(['{', ' '])
        });
        routes.extend(
            paths.filter(|path| path.text != "/").map(|path| format!("{method} {}", path.text)),
        );
    }
    routes
}

#[test]
fn architecture_lists_every_route() {
    let document = read("ARCHITECTURE.md");
    let section = section(&document, "Routes");
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let is_route =
        |text: &String| methods.iter().any(|method| text.starts_with(&format!("{method} /")));
    let listed: BTreeSet<String> = blocks(section).concat().into_iter().filter(is_route).collect();
    let routes = routes();
    let missing: Vec<&String> = routes.difference(&listed).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md, Routes: add {missing:?}");
    let unknown: Vec<&String> = listed.difference(&routes).collect();
    assert!(unknown.is_empty(), "ARCHITECTURE.md, Routes: remove {unknown:?}");
}

#[test]
fn readme_names_every_path_of_the_api() {
    let readme = read("README.md");
    for route in routes() {
        let (_, path) = route.split_once(' ').unwrap();
        let is_for_clients_of_oauth = path.starts_with("/.well-known/") || path.ends_with("mcp/");
        let name = format!("{path}`");
        let with_query = format!("{path}?");
        let is_named = readme.contains(&name) || readme.contains(&with_query);
        assert!(
            is_for_clients_of_oauth || is_named,
            "README.md: add {route} to the table of requests"
        );
    }
}

/// The variables that the configuration reads.
fn variables() -> BTreeSet<String> {
    let tokens = source::tokens_of("crates/authkit/src/config.rs");
    let reads = tokens.windows(3).filter(|window| {
        ["required", "optional"].iter().any(|method| window[0].is(method)) && window[1].is("(")
    });
    reads
        .filter(|window| window[2].kind == Kind::Text)
        .map(|window| window[2].text.clone())
        .collect()
}

#[test]
fn dev_vars_example_has_every_variable() {
    let example = read(".dev.vars.example");
    let assignments =
        example.lines().filter_map(|line| line.trim_start_matches("# ").split_once('='));
    let names: BTreeSet<String> =
        assignments.map(|(name, _)| name.to_owned()).filter(|name| is_constant(name)).collect();
    let mut variables = variables();
    assert!(variables.len() > 10, "{variables:?}");
    variables.insert(authkit_edge::request_log::VARIABLE.to_owned());
    assert_eq!(
        names, variables,
        ".dev.vars.example (left) and the variables that are read (right) differ"
    );
}

/// A README may leave variables to another document; a table that has one of them has all.
#[test]
fn tables_of_variables_are_complete() {
    for document in ["README.md", "crates/authkit/README.md"] {
        let text = read(document);
        let has_row = |variable: &String| text.contains(&format!("\n| `{variable}`"));
        let (listed, missing): (Vec<String>, Vec<String>) =
            variables().into_iter().partition(has_row);
        assert!(
            listed.is_empty() || missing.is_empty(),
            "{document}, table of variables: add {missing:?}"
        );
    }
}

#[test]
fn documents_name_no_unknown_variable() {
    let variables = variables();
    for document in DOCUMENTS.into_iter().chain(["README.md", "crates/authkit/README.md"]) {
        for text in blocks(&read(document)).concat() {
            let name = text.split('=').next().unwrap_or_default();
            if is_constant(name) && (name.starts_with("WORKOS_") || name.starts_with("PUBLIC_")) {
                assert!(variables.contains(name), "{document} names {name}, which nothing reads");
            }
        }
    }
}

#[test]
fn storage_lists_every_label_of_a_seal() {
    let document = read("STORAGE.md");
    let section = section(&document, "Seals");
    let is_label = |text: &String| {
        text.ends_with("/v1")
            || text.strip_prefix("authkit-edge/").is_some_and(|rest| !rest.is_empty())
    };
    let listed: BTreeSet<String> = blocks(section).concat().into_iter().filter(is_label).collect();
    let mut labels = BTreeMap::new();
    for file in ["src", "crates/authkit/src"].into_iter().flat_map(|folder| files(folder, ".rs")) {
        let tokens = source::tokens_of(&file);
        let texts = tokens.iter().filter(|token| token.kind == Kind::Text && !is_for_tests(&file));
        let found = texts.map(|token| token.text.clone()).filter(is_label);
        labels.extend(found.map(|label| (label, file.clone())));
    }
    for (label, file) in &labels {
        assert!(listed.contains(label), "STORAGE.md, Seals: add {label} of {file}");
    }
    for label in listed {
        assert!(labels.contains_key(&label), "STORAGE.md, Seals: nothing uses {label}");
    }
}
