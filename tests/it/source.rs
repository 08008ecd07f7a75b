//! Reading this project's own Rust sources as tokens, for the tests that hold them to a rule.
//! Comments and doc comments are not part of it: they may name anything.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a line of a source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A path in this crate from its root, as `["platform", "store", "Tx"]`.
    Path(Vec<String>),
    Ident(String),
    /// A string literal as it is written.
    Text(String),
}

/// One source file and all that it names, with the lines.
pub struct Source {
    /// From the package's root, as `src/platform/store/tx.rs`.
    pub path: String,
    pub names: Vec<(usize, Name)>,
}

impl Source {
    pub fn read(path: &str, text: &str) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
        let mut reader = Reader { names: Vec::new() };
        reader.walk(tokens, &module_of(path));
        Self { path: path.to_owned(), names: reader.names }
    }
}

/// The Rust files under these folders of the package with their texts, in order.
pub fn rust_files(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut found);
    }
    found.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), found));
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let is_root = |part: &&str| ["mod", "lib", "main"].contains(part);
    path.split('/').filter(|part| !is_root(part)).map(str::to_owned).collect()
}

struct Reader {
    names: Vec<(usize, Name)>,
}

impl Reader {
    fn walk(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(_) if is_path(&tokens, at) => {
                    at = self.path(&tokens, at, None, module);
                    continue;
                }
                TokenTree::Ident(ident) => {
                    self.add(token, Name::Ident(ident.to_string()));
                    if let Some((name, body)) = inline_module(&tokens, at) {
                        let inner: Vec<String> = module.iter().cloned().chain([name]).collect();
                        self.walk(body.stream(), &inner);
                        at += 2;
                    }
                }
                TokenTree::Literal(literal) if literal.to_string().ends_with(['"', '#']) => {
                    self.add(token, Name::Text(literal.to_string()));
                }
                TokenTree::Group(group) if !is_documentation(group) => self.walk(group.stream(), module),
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads the path (or the tree of a `use`) that begins at `at`, and says where it ends.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        before: Option<&[String]>,
        module: &[String],
    ) -> usize {
        let mut path = before.map(<[String]>::to_vec);
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    self.add(token, Name::Ident(name.clone()));
                    path = Some(step(path, &name, module));
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in
                        inner.split(|token| is_punct(Some(token), ',')).filter(|branch| !branch.is_empty())
                    {
                        self.path(branch, 0, path.as_deref(), module);
                    }
                    return at + 1;
                }
                TokenTree::Punct(star) if star.as_char() == '*' => {}
                _ => break,
            }
            at += 1;
            if !is_separator(tokens, at) {
                break;
            }
            at += 2;
        }
        if let (Some(path), Some(token)) = (path, tokens.get(at.saturating_sub(1))) {
            self.add(token, Name::Path(path));
        }
        at
    }

    fn add(&mut self, token: &TokenTree, name: Name) {
        self.names.push((token.span().start().line, name));
    }
}

/// The path after one more segment of it.
fn step(path: Option<Vec<String>>, name: &str, module: &[String]) -> Vec<String> {
    let parent = |mut path: Vec<String>| {
        path.pop();
        path
    };
    match (path, name) {
        (None, "self") => module.to_vec(),
        (None, "super") => parent(module.to_vec()),
        (None, _) => Vec::new(),
        (Some(path), "self") => path,
        (Some(path), "super") => parent(path),
        (Some(path), name) => path.into_iter().chain([name.to_owned()]).collect(),
    }
}

/// Whether a path into this crate begins here.
fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    let this_crate = env!("CARGO_PKG_NAME").replace('-', "_");
    let begins = matches!(tokens.get(at), Some(TokenTree::Ident(ident))
        if ["crate", "self", "super", &this_crate].contains(&ident.to_string().as_str()));
    begins && is_separator(tokens, at + 1)
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// The name and body of `mod name { … }`.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<(String, &Group)> {
    match tokens.get(at..at + 3)? {
        [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Group(body)]
            if keyword == "mod" && body.delimiter() == Delimiter::Brace =>
        {
            Some((name.to_string(), body))
        }
        _ => None,
    }
}

/// Whether this is the bracket of `#[doc = "…"]`, which is what a doc comment is read as.
fn is_documentation(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket
        && matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(ident)) if ident == "doc")
}
