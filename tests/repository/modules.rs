//! The modules of a crate, and which module imports which. A module is a file; an inline module belongs to the
//! file that contains it. A path that leads through `pub use` leads to the module that defines the item, so
//! that a module that only gathers others is no stop on the way. The module with the `pub use` imports that
//! module too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{self, Kind, Token};

/// One import, or one path in the code.
#[derive(Debug, Clone)]
pub struct Import {
    /// The file that is imported; `None` for another crate's item.
    pub file: Option<String>,
    /// The path, from the crate's root where it is this crate's.
    pub path: Vec<String>,
    pub line: usize,
}

#[derive(Debug)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// What `pub use` brings into the module: each name with its path.
    reexports: BTreeMap<String, Vec<String>>,
    /// Every path in the module's code, made absolute, with its line.
    paths: Vec<(Vec<String>, usize)>,
}

/// The modules of one crate, by their paths: the root's is empty.
pub struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

impl Crate {
    /// Reads the crate whose root is `lib.rs` in `folder`.
    pub fn read(folder: &str) -> Self {
        let mut modules = BTreeMap::new();
        let mut queue = VecDeque::from([(Vec::new(), format!("{folder}/lib.rs"))]);
        while let Some((path, file)) = queue.pop_front() {
            let module = Module::read(&path, file);
            for child in &module.children {
                let child_path: Vec<String> = path.iter().chain([child]).cloned().collect();
                let stem = format!("{folder}/{}", child_path.join("/"));
                let candidates = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
                let exists = |file: &String| std::path::Path::new(source::ROOT).join(file).exists();
                let file = candidates.into_iter().find(exists);
                queue.push_back((child_path, file.unwrap_or_else(|| panic!("{stem}: no file"))));
            }
            modules.insert(path, module);
        }
        Self { modules }
    }

    /// The files of the modules, without those that only tests compile.
    pub fn files(&self) -> BTreeSet<&str> {
        self.modules.values().map(|module| module.file.as_str()).collect()
    }

    /// The imports of each file, in the order of the lines.
    pub fn imports(&self) -> BTreeMap<&str, Vec<Import>> {
        let imports_of = |module: &Module| {
            let imports = module.paths.iter().map(|(path, line)| {
                let (file, path) = self.resolve(path, 0);
                Import { file, path, line: *line }
            });
            imports.collect()
        };
        self.modules.values().map(|module| (module.file.as_str(), imports_of(module))).collect()
    }

    /// The file that defines the item at `path`, and the item's path there.
    fn resolve(&self, path: &[String], depth: usize) -> (Option<String>, Vec<String>) {
        assert!(depth < 20, "a circle of `pub use`: {path:?}");
        let Some((first, rest)) = path.split_first() else { return (None, Vec::new()) };
        if first != "crate" {
            return (None, path.to_vec());
        }
        let length =
            (0..=rest.len()).rev().find(|length| self.modules.contains_key(&rest[..*length]));
        let (module_path, item) = rest.split_at(length.unwrap_or_default());
        let module = &self.modules[module_path];
        match item.split_first() {
            Some((name, after)) if module.reexports.contains_key(name) => {
                let target: Vec<String> =
                    module.reexports[name].iter().chain(after).cloned().collect();
                self.resolve(&target, depth + 1)
            }
            _ => (Some(module.file.clone()), path.to_vec()),
        }
    }

    /// One shortest circle of imports for each file that has one, in words.
    pub fn cycles(&self) -> Vec<String> {
        let imports = self.imports();
        let mut seen = BTreeSet::new();
        let mut cycles = Vec::new();
        for start in imports.keys() {
            let Some(cycle) = shortest_cycle(&imports, start) else { continue };
            let files: BTreeSet<&str> = cycle.iter().map(|(file, _)| *file).collect();
            if seen.insert(files) {
                cycles.push(in_words(&cycle));
            }
        }
        cycles
    }
}

impl Module {
    fn read(path: &[String], file: String) -> Self {
        let tokens = source::tokens_of(&file);
        let mut module =
            Self { file, children: BTreeSet::new(), reexports: BTreeMap::new(), paths: Vec::new() };
        module.children = children(&tokens);
        // The inline modules around the current token, each with the number of brackets before its own.
        let mut inline: Vec<(String, usize)> = Vec::new();
        let mut depth = 0;
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            if token.is("mod") && tokens.get(at + 2).is_some_and(|token| token.is("{")) {
                inline.push((tokens[at + 1].text.clone(), depth));
            }
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth -= 1;
                inline.pop_if(|(_, outside)| *outside == depth);
            }
            let base = path.iter().chain(inline.iter().map(|(name, _)| name)).cloned().collect();
            let scope = Scope { base, own_length: path.len(), children: &module.children };
            if token.is("use") {
                let mut found = Vec::new();
                at = read_tree(&tokens, at + 1, &mut Vec::new(), &mut found);
                let is_public = is_public_use(&tokens[..], token, &inline);
                for (segments, alias, line) in found {
                    let absolute = scope.absolute(&segments);
                    if is_public {
                        module.reexports.insert(alias, absolute.clone());
                    }
                    module.paths.push((absolute, line));
                }
                continue;
            }
            if let Some((segments, line, next)) = path_at(&tokens, at) {
                if scope.is_of_this_crate(&segments) {
                    module.paths.push((scope.absolute(&segments), line));
                }
                at = next;
                continue;
            }
            at += 1;
        }
        module
    }
}

/// Where a path stands.
struct Scope<'a> {
    /// The path of the innermost module.
    base: Vec<String>,
    /// How many segments of `base` are the file's own.
    own_length: usize,
    children: &'a BTreeSet<String>,
}

impl Scope<'_> {
    fn is_of_this_crate(&self, segments: &[String]) -> bool {
        let first = segments[0].as_str();
        ["crate", "self", "super"].contains(&first)
            || (self.base.len() == self.own_length && self.children.contains(first))
    }

    fn absolute(&self, segments: &[String]) -> Vec<String> {
        if !self.is_of_this_crate(segments) || segments[0] == "crate" {
            return segments.to_vec();
        }
        let mut absolute = self.base.clone();
        let mut rest = segments;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" => drop(absolute.pop()),
                _ => break,
            }
            rest = after;
        }
        std::iter::once("crate".to_owned()).chain(absolute).chain(rest.iter().cloned()).collect()
    }
}

/// The names in `mod name;`.
fn children(tokens: &[Token]) -> BTreeSet<String> {
    let declarations = tokens.windows(3).filter(|window| window[0].is("mod") && window[2].is(";"));
    declarations.map(|window| window[1].text.clone()).collect()
}

/// Whether `pub` or `pub(…)` stands before this `use`, at the level of the file.
fn is_public_use(tokens: &[Token], used: &Token, inline: &[(String, usize)]) -> bool {
    let at = tokens.iter().position(|token| std::ptr::eq(token, used)).unwrap();
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let is_restricted = || {
        let open = tokens[..at].iter().rposition(|token| token.is("("));
        open.is_some_and(|open| open > 0 && tokens[open - 1].is("pub"))
    };
    inline.is_empty()
        && before.is_some_and(|token| token.is("pub") || (token.is(")") && is_restricted()))
}

/// The leaves of a use tree: path, name in this module, line. Returns the index after the tree.
fn read_tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, String, usize)>,
) -> usize {
    let begin = prefix.len();
    loop {
        let token = &tokens[at];
        match token.text.as_str() {
            "{" => {
                at += 1;
                while !tokens[at].is("}") {
                    at = read_tree(tokens, at, prefix, found);
                    if tokens[at].is(",") {
                        at += 1;
                    }
                }
                at += 1;
                break;
            }
            "::" => at += 1,
            "*" => {
                found.push((prefix.clone(), "*".to_owned(), token.line));
                at += 1;
                break;
            }
            name => {
                if name != "self" || prefix.is_empty() {
                    prefix.push(name.to_owned());
                }
                at += 1;
                if tokens[at].is("::") {
                    continue;
                }
                let mut alias = prefix.last().cloned().unwrap_or_default();
                if tokens[at].is("as") {
                    alias.clone_from(&tokens[at + 1].text);
                    at += 2;
                }
                found.push((prefix.clone(), alias, token.line));
                break;
            }
        }
    }
    prefix.truncate(begin);
    at
}

/// The path `a::b…` that begins at `at`, its line, and the index after it. A path after `$` is a macro's.
fn path_at(tokens: &[Token], at: usize) -> Option<(Vec<String>, usize, usize)> {
    let first = &tokens[at];
    let is_inside = at > 0 && ["::", ".", "$"].iter().any(|text| tokens[at - 1].is(text));
    if first.kind != Kind::Identifier || is_inside || !tokens.get(at + 1)?.is("::") {
        return None;
    }
    let mut segments = vec![first.text.clone()];
    let mut next = at + 1;
    while tokens.get(next).is_some_and(|token| token.is("::"))
        && let Some(token) = tokens.get(next + 1).filter(|token| token.kind == Kind::Identifier)
    {
        segments.push(token.text.clone());
        next += 2;
    }
    (segments.len() > 1).then_some((segments, first.line, next))
}

type Edge<'a> = (&'a str, &'a Import);

fn shortest_cycle<'a>(
    imports: &'a BTreeMap<&'a str, Vec<Import>>,
    start: &'a str,
) -> Option<Vec<Edge<'a>>> {
    let mut reached_by: BTreeMap<&str, Edge<'a>> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for import in imports.get(file).into_iter().flatten() {
            let Some(imported) = import.file.as_deref().filter(|imported| *imported != file) else {
                continue;
            };
            if reached_by.contains_key(imported) {
                continue;
            }
            reached_by.insert(imported, (file, import));
            if imported == start {
                let mut cycle = Vec::new();
                let mut end = start;
                loop {
                    let (from, import) = reached_by[end];
                    cycle.insert(0, (from, import));
                    if from == start {
                        return Some(cycle);
                    }
                    end = from;
                }
            }
            queue.push_back(imported);
        }
    }
    None
}

fn in_words(cycle: &[Edge<'_>]) -> String {
    let steps: Vec<String> = cycle
        .iter()
        .map(|(file, import)| {
            let imported = import.file.as_deref().unwrap_or_default();
            format!("{file}:{} imports {} from {imported}", import.line, import.path.join("::"))
        })
        .collect();
    steps.join(",\n  and ")
}
