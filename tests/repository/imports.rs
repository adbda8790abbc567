//! The layers: which folder may name what. `ARCHITECTURE.md` has these rules in words.

use std::collections::BTreeMap;

use super::{
    modules::{Crate, Import},
    source::{self, Kind, Token, files},
};

/// The folders whose modules must be free of import circles.
const WITHOUT_CYCLES: [&str; 3] = ["src", "crates/edge/src", "crates/authkit/src"];

/// Every source file of the libraries and the application.
fn sources() -> Vec<String> {
    ["src", "crates/edge/src", "crates/authkit/src", "crates/worker/src"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect()
}

/// Fails with the lines of `sources` where `is_forbidden` finds something in the file's tokens.
fn forbid(
    sources: impl IntoIterator<Item = String>,
    is_forbidden: impl Fn(&[Token], usize) -> bool,
    advice: &str,
) {
    let mut violations = Vec::new();
    for file in sources {
        let tokens = source::tokens_of(&file);
        for at in (0..tokens.len()).filter(|at| is_forbidden(&tokens, *at)) {
            violations.push(format!("{file}:{}: {}", tokens[at].line, tokens[at].text));
        }
    }
    assert!(violations.is_empty(), "{advice}:\n{}", violations.join("\n"));
}

/// Whether the token at `at` begins a path of the crate `name`.
fn names_crate(tokens: &[Token], at: usize, name: &str) -> bool {
    let follows = |text| at > 0 && tokens[at - 1].is(text);
    let is_path = tokens.get(at + 1).is_some_and(|next| next.is("::"));
    tokens[at].is(name) && !follows("::") && (is_path || follows("use"))
}

#[test]
fn only_the_workers_host_names_worker() {
    let outside =
        sources().into_iter().filter(|file| !file.starts_with("crates/edge/src/workers/"));
    forbid(
        outside,
        |tokens, at| names_crate(tokens, at, "worker"),
        "Only crates/edge/src/workers may name the crate `worker`: add what is needed to a trait of edge-host",
    );
}

#[test]
fn only_extractors_and_mcp_name_a_users_expenses() {
    let callers = ["src/access.rs", "src/mcp/tools.rs"];
    let others = sources().into_iter().filter(|file| {
        file.starts_with("src/")
            && !file.starts_with("src/expenses/")
            && !callers.contains(&&**file)
    });
    forbid(
        others,
        |tokens, at| tokens[at].is("of_user") && tokens[at + 1].is("("),
        "Take `UserExpenses` or `Visitor` in the handler: they are a verified caller's",
    );
}

#[test]
fn domain_names_no_http() {
    let names_other_than_seal = |tokens: &[Token], at: usize| {
        names_crate(tokens, at, "axum_authkit") && !tokens[at + 2].is("seal")
    };
    forbid(
        files("src/expenses", ".rs"),
        |tokens, at| {
            names_crate(tokens, at, "axum")
                || names_crate(tokens, at, "http")
                || names_other_than_seal(tokens, at)
                || tokens[at].is("AppError")
        },
        "src/expenses knows no HTTP, and of axum-authkit the seals alone: return an error type, and make the \
         response in api, web or mcp",
    );
}

#[test]
fn only_the_app_names_its_state() {
    forbid(
        sources().into_iter().filter(|file| file != "src/app.rs"),
        |tokens, at| tokens[at].is("AppState"),
        "Only src/app.rs may name AppState: take `State<T>` of the part that the handler needs",
    );
}

#[test]
fn only_fastapi_names_pydantic_kinds() {
    let is_kind = |text: &str| {
        text.contains('_') && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
    };
    let tokens = source::tokens_of("src/fastapi/problem.rs");
    let begin = tokens.windows(2).position(|window| window[0].is("fn") && window[1].is("kind"));
    let begin = begin.expect("src/fastapi/problem.rs has `fn kind`, which names every kind");
    let end = begin + tokens[begin..].iter().skip(1).position(|token| token.is("fn")).unwrap();
    let kinds: Vec<&str> = tokens[begin..end]
        .iter()
        .filter(|token| token.kind == Kind::Text && is_kind(&token.text))
        .map(|token| token.text.as_str())
        .collect();
    assert!(kinds.len() > 15, "{kinds:?}");
    forbid(
        sources().into_iter().filter(|file| !file.starts_with("src/fastapi/")),
        |tokens, at| tokens[at].kind == Kind::Text && kinds.contains(&tokens[at].text.as_str()),
        "Only src/fastapi may name a kind of Pydantic's errors: match on `fastapi::Fault`",
    );
}

/// Fails where a file whose path begins with `importer` imports a file for which `is_forbidden` holds.
fn forbid_imports(importer: &str, is_forbidden: impl Fn(&str) -> bool, advice: &str) {
    let app = Crate::read("src");
    let imports: BTreeMap<&str, Vec<Import>> = app.imports();
    let mut violations = Vec::new();
    for (file, imports) in imports.iter().filter(|(file, _)| file.starts_with(importer)) {
        for import in imports {
            if import.file.as_deref().is_some_and(&is_forbidden) {
                violations.push(format!("{file}:{}: {}", import.line, import.path.join("::")));
            }
        }
    }
    assert!(violations.is_empty(), "{advice}:\n{}", violations.join("\n"));
}

#[test]
fn interfaces_do_not_import_each_other() {
    let interfaces = ["src/api/", "src/web/", "src/mcp/"];
    for interface in interfaces {
        forbid_imports(
            interface,
            |file| {
                !file.starts_with(interface)
                    && interfaces.iter().any(|other| file.starts_with(other))
            },
            "api, web and mcp do not know each other: move what they share to a module beside them",
        );
    }
}

#[test]
fn domain_imports_only_itself() {
    forbid_imports(
        "src/expenses/",
        |file| !file.starts_with("src/expenses/"),
        "src/expenses imports no other module of the application",
    );
}

#[test]
fn libraries_do_not_name_the_application() {
    let libraries = ["crates/edge/src", "crates/authkit/src"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"));
    forbid(
        libraries,
        |tokens, at| names_crate(tokens, at, "authkit_edge"),
        "Libraries know nothing of the application",
    );
    forbid(
        files("crates/edge/src", ".rs"),
        |tokens, at| names_crate(tokens, at, "axum_authkit"),
        "edge-host knows nothing of AuthKit",
    );
}

#[test]
fn modules_import_in_no_circle() {
    for folder in WITHOUT_CYCLES {
        let cycles = Crate::read(folder).cycles();
        assert!(
            cycles.is_empty(),
            "Modules of {folder} import each other in a circle. Move what both need to a module below them:\n\
             {}",
            cycles.join("\n")
        );
    }
}

#[test]
fn every_source_file_is_read_as_a_module() {
    for folder in ["src", "crates/edge/src", "crates/authkit/src"] {
        let app = Crate::read(folder);
        let modules = app.files();
        let unread: Vec<String> = files(folder, ".rs")
            .into_iter()
            .filter(|file| !modules.contains(file.as_str()) && !is_for_tests(file))
            .collect();
        assert!(unread.is_empty(), "no module of {folder} is in these files: {unread:?}");
    }
}

/// Whether only tests compile the file.
pub fn is_for_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("/fixtures.rs")
}
