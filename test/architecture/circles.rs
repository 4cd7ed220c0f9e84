// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Circular imports between files. There must be none, because neither file of a circle can be understood alone.
//!
//! An import is followed through re-exports to the file that defines the item. A module and its submodules may import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{code, sources};

/// The path of a module from the crate's root. It also identifies the file with the module's code.
type Module = Vec<String>;

/// The names in a file.
struct File {
    /// The paths that its code names.
    paths: Vec<Vec<String>>,
    /// Imported names, each with the path that it stands for.
    imports: BTreeMap<String, Vec<String>>,
}

fn module_of(path: &Path) -> Module {
    let path = path.strip_prefix("src").unwrap().with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        module.pop();
    }
    module
}

/// Adds the paths of an import: one for each name in its braces.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let parts = |text: &str| -> Vec<String> {
        let text = text.split(" as ").next().unwrap();
        text.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let Some((head, list)) = tree.split_once('{') else {
        let path: Vec<_> = prefix.iter().cloned().chain(parts(tree)).collect();
        paths.extend((!path.is_empty()).then_some(path));
        return;
    };
    let prefix: Vec<_> = prefix.iter().cloned().chain(parts(head)).collect();
    let list = list.trim_end().strip_suffix('}').unwrap();
    let (mut depth, mut start) = (0, 0);
    for (at, char) in list.char_indices().chain([(list.len(), ',')]) {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &list[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn read(text: &str) -> File {
    // Unit tests may use the modules above their file.
    let text = code(text);
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let compact = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut paths, mut imports) = (Vec::new(), BTreeMap::new());
    for statement in compact.split(['}', ';']).flat_map(|part| part.rsplit_once("use ").map(|(_, it)| it)) {
        // A list in braces was cut off at its end, so it is read from the whole text.
        let start = statement.as_ptr() as usize - compact.as_ptr() as usize;
        let Some(tree) = compact[start..].split(';').next() else { continue };
        let before = &compact[..start - "use ".len()];
        let is_import = before.is_empty() || before.ends_with([' ', ')', '}', ';', ']']);
        if is_import && !tree.contains(['(', '=']) {
            let mut found = Vec::new();
            expand(&[], tree, &mut found);
            imports.extend(found.iter().map(|path| (path.last().unwrap().clone(), path.clone())));
            paths.append(&mut found);
        }
    }
    for root in ["crate::", "super::", "self::"] {
        for (start, _) in compact.match_indices(root) {
            let rest = &compact[start..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            paths.push(rest[..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
        }
    }
    File { paths, imports }
}

/// Returns a path from the crate's root; `None` if it leads to another crate.
fn absolute(files: &BTreeMap<Module, File>, within: &Module, path: &[String]) -> Option<Vec<String>> {
    let mut base = within.clone();
    let mut path = path.iter().peekable();
    match path.peek()?.as_str() {
        "crate" => {
            base.clear();
            path.next();
        }
        "self" => drop(path.next()),
        "super" => {
            while path.next_if(|part| *part == "super").is_some() {
                base.pop()?;
            }
        }
        _ => {
            base.push((*path.peek()?).clone());
            let is_child = files.contains_key(&base);
            base.pop();
            if !is_child {
                return None;
            }
        }
    }
    base.extend(path.cloned());
    Some(base)
}

/// Returns the module whose file defines the item that a path names.
fn definer(files: &BTreeMap<Module, File>, path: &[String], steps: usize) -> Module {
    let known = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length])).unwrap();
    let (module, rest) = (path[..known].to_vec(), &path[known..]);
    let imported = rest.first().and_then(|name| files[&module].imports.get(name));
    match imported.and_then(|import| absolute(files, &module, import)) {
        Some(mut elsewhere) if steps > 0 => {
            elsewhere.extend_from_slice(&rest[1..]);
            definer(files, &elsewhere, steps - 1)
        }
        _ => module,
    }
}

fn is_related(one: &Module, other: &Module) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Returns the modules that each module needs.
fn needs(files: &BTreeMap<Module, File>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let of = |module: &Module, file: &File| {
        let paths = file.paths.iter().filter_map(|path| absolute(files, module, path));
        paths.map(|path| definer(files, &path, 8)).filter(|needed| !is_related(needed, module)).collect()
    };
    files.iter().map(|(module, file)| (module, of(module, file))).collect()
}

/// Returns the modules that need themselves through other modules.
fn in_circles(needs: &BTreeMap<&Module, BTreeSet<Module>>) -> Vec<String> {
    let needs_itself = |module: &Module| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Module> = needs[module].iter().collect();
        while let Some(next) = open.pop() {
            if next == module {
                return true;
            }
            if seen.insert(next) {
                open.extend(&needs[next]);
            }
        }
        false
    };
    needs.keys().filter(|module| needs_itself(module)).map(|module| module.join("::")).collect()
}

fn files_of<'a>(texts: impl IntoIterator<Item = (&'a Path, &'a str)>) -> BTreeMap<Module, File> {
    texts.into_iter().map(|(path, text)| (module_of(path), read(text))).collect()
}

#[test]
fn no_two_files_need_each_other() {
    let sources = sources(&["src"]);
    let sources = sources.iter().filter(|(path, _)| !path.ends_with("main.rs"));
    let files = files_of(sources.map(|(path, text)| (path.as_path(), text.as_str())));
    let needs = needs(&files);
    assert!(needs.values().map(BTreeSet::len).sum::<usize>() > files.len(), "hardly anything is seen");
    assert_eq!(in_circles(&needs), Vec::<String>::new());
}

#[test]
fn circles_are_found_through_lists_and_re_exports() {
    let text = |path: &'static str, text: &'static str| (Path::new(path), text);
    let mut all = vec![
        text("src/lib.rs", "mod a;\nmod b;"),
        text("src/a/mod.rs", "mod one;\nmod two;\npub use two::Two;"),
        text("src/a/one.rs", "use std::fmt;\nuse crate::{b, a::{Two, x}};\nfn f() {}"),
        text("src/a/two.rs", "struct Two;\nfn g() { let use_of = 1; }"),
        text("src/b.rs", "// use crate::a::one;\nfn h() {}"),
    ];
    assert!(in_circles(&needs(&files_of(all.clone()))).is_empty());
    all[3] = text("src/a/two.rs", "struct Two;\nfn g() { super::one::f() }");
    assert_eq!(in_circles(&needs(&files_of(all.clone()))), ["a::one", "a::two"]);
    all[3] = text("src/a/two.rs", "struct Two;");
    all[4] = text("src/b.rs", "use crate::a::one::{self, f as other};\nfn h() {}");
    assert_eq!(in_circles(&needs(&files_of(all))), ["a::one", "b"]);
}
