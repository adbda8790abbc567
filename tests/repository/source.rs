//! Reads Rust source as far as the checks need it: tokens with their lines, without comments and without code
//! that only tests compile.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The repository's top folder.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Identifier,
    /// A string literal; the token's text is its content, escapes included.
    Text,
    /// `::`, or one other character.
    Punctuation,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// The text of a file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file under `folder` whose name ends in `ending`, as sorted paths from the repository's top folder.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The tokens of a file of the repository. Tests share them.
pub fn tokens_of(path: &str) -> Arc<[Token]> {
    static READ: Mutex<BTreeMap<String, Arc<[Token]>>> = Mutex::new(BTreeMap::new());
    if let Some(tokens) = READ.lock().unwrap().get(path) {
        return Arc::clone(tokens);
    }
    let tokens: Arc<[Token]> = tokens(&read(path)).into();
    READ.lock().unwrap().insert(path.to_owned(), Arc::clone(&tokens));
    tokens
}

/// The tokens of a text, without items under `#[cfg(test)]`.
fn tokens(text: &str) -> Vec<Token> {
    without_tests(tokenize(text))
}

fn tokenize(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    while let Some(&character) = characters.get(at) {
        let rest = &characters[at..];
        let begins_with = |start: &str| start.chars().eq(rest.iter().copied().take(start.len()));
        let length = if begins_with("//") {
            rest.iter().take_while(|character| **character != '\n').count()
        } else if begins_with("/*") {
            block_comment_length(rest)
        } else if let Some((length, content)) = string_literal(rest) {
            tokens.push(Token { kind: Kind::Text, text: content, line });
            length
        } else if let Some(length) = character_literal_length(rest) {
            length
        } else if is_word(character) {
            let word: String = rest.iter().take_while(|character| is_word(**character)).collect();
            let length = word.chars().count();
            tokens.push(Token { kind: Kind::Identifier, text: word, line });
            length
        } else if character.is_whitespace() {
            1
        } else {
            let text = if begins_with("::") { "::".to_owned() } else { character.to_string() };
            let length = text.len();
            tokens.push(Token { kind: Kind::Punctuation, text, line });
            length
        };
        line += rest[..length].iter().filter(|character| **character == '\n').count();
        at += length;
    }
    tokens
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length and the content of the string literal at the beginning: `"…"`, `b"…"`, `r#"…"#`.
fn string_literal(rest: &[char]) -> Option<(usize, String)> {
    let prefix = rest.iter().take_while(|character| matches!(character, 'b' | 'r' | 'c')).count();
    let is_raw = rest[..prefix].contains(&'r');
    let hashes = rest[prefix..].iter().take_while(|character| **character == '#').count();
    if prefix > 2 || (hashes > 0 && !is_raw) || rest.get(prefix + hashes) != Some(&'"') {
        return None;
    }
    let begin = prefix + hashes + 1;
    let mut at = begin;
    loop {
        match rest.get(at)? {
            '\\' if !is_raw => at += 2,
            '"' if rest[at + 1..].iter().take_while(|character| **character == '#').count()
                >= hashes =>
            {
                return Some((at + 1 + hashes, rest[begin..at].iter().collect()));
            }
            _ => at += 1,
        }
    }
}

/// The length of the character literal at the beginning. `None` for a lifetime, whose quote is skipped alone.
fn character_literal_length(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', ..] => Some(rest.iter().skip(3).position(|character| *character == '\'')? + 4),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_cfg_test(&tokens[at..]) {
            at = end_of_item(&tokens, at);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn is_cfg_test(tokens: &[Token]) -> bool {
    let start = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens.len() > start.len() && tokens.iter().zip(start).all(|(token, text)| token.is(text))
}

/// The index after the item at `at`: after its `;`, or after the bracket that closes its body.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            _ if token.kind != Kind::Punctuation => {}
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && token.is("}") {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[test]
fn tokens_leave_comments_tests_and_lifetimes_out() {
    let text = r##"
        // use crate::a;
        /* use /* crate::b */ ; */
        fn name<'a>(text: &'a str) -> char { let _ = ("x // y", r#"z" w"#); '\'' }
        #[cfg(test)]
        mod tests { use crate::c; }
        #[cfg(test)]
        use crate::d;
        use crate::e;
    "##;
    let tokens = tokens(text);
    let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    assert!(words.ends_with(&["use", "crate", "::", "e", ";"]), "{words:?}");
    assert!(words.contains(&"x // y") && words.contains(&"z\" w"), "{words:?}");
    assert!(!words.iter().any(|word| ["b", "c", "d"].contains(word)), "{words:?}");
    assert_eq!(tokens.last().unwrap().line, 9);
}
