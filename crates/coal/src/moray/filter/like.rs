// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! PostgreSQL's `LIKE` and `ILIKE` as SQL functions.
//!
//! SQLite's own `LIKE` ignores case for ASCII letters only, so it can replace neither of them.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

/// Registers `pg_like(text, pattern)` and `pg_ilike(text, pattern)`. They return NULL if an argument is NULL.
pub(crate) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, fold) in [("pg_like", false), ("pg_ilike", true)] {
        connection.create_scalar_function(name, 2, flags, move |context| {
            let (text, pattern) = match (context.get_raw(0), context.get_raw(1)) {
                (ValueRef::Null, _) | (_, ValueRef::Null) => return Ok(None),
                (text, pattern) => (text.as_str()?, pattern.as_str()?),
            };
            Ok(Some(if fold {
                like(&text.to_lowercase(), &pattern.to_lowercase())
            } else {
                like(text, pattern)
            }))
        })?;
    }
    Ok(())
}

/// One step of a pattern.
#[derive(PartialEq)]
enum Step {
    Exactly(char),
    AnyOne,
    AnyMany,
}

/// Returns whether the whole of `text` matches: `%` is any run of characters, `_` is any character, `\` escapes the next one.
fn like(text: &str, pattern: &str) -> bool {
    let steps = steps(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut step) = (0, 0);
    // Position to continue from after the latest `%`, with one more character inside it. This needs no recursion, so it cannot
    // blow up.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match steps.get(step) {
            Some(Step::AnyMany) => {
                step += 1;
                retry = Some((at, step));
                continue;
            }
            Some(Step::AnyOne) if at < text.len() => {
                at += 1;
                step += 1;
                continue;
            }
            Some(Step::Exactly(c)) if text.get(at) == Some(c) => {
                at += 1;
                step += 1;
                continue;
            }
            None if at == text.len() => return true,
            _ => {}
        }
        match retry {
            Some((from, after)) if from < text.len() => {
                at = from + 1;
                step = after;
                retry = Some((at, after));
            }
            _ => return false,
        }
    }
}

fn steps(pattern: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        steps.push(match c {
            '%' if steps.last() == Some(&Step::AnyMany) => continue,
            '%' => Step::AnyMany,
            '_' => Step::AnyOne,
            '\\' => Step::Exactly(chars.next().unwrap_or('\\')),
            c => Step::Exactly(c),
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_postgresqls() {
        assert!(like("abc", "abc"));
        assert!(!like("abc", "ABC"));
        assert!(like("abc", "a%"));
        assert!(like("abc", "%c"));
        assert!(like("abcabd", "%ab_"));
        assert!(like("aXbXc", "a%b%c"));
        assert!(!like("aXbX", "a%b%c"));
        assert!(like("", "%"));
        assert!(!like("", "_"));
        assert!(like("a%c", "a\\%c"));
        assert!(!like("abc", "a\\%c"));
        assert!(like("é€😀", "_€_"));
    }

    #[test]
    fn many_wildcards_end_in_time() {
        assert!(!like(&"a".repeat(5_000), &format!("{}b", "%a".repeat(200))));
    }

    #[test]
    fn functions_respect_null_and_case() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<bool>>(0)).unwrap();
        assert_eq!(one("SELECT pg_like('Abc', 'a%')"), Some(false));
        assert_eq!(one("SELECT pg_ilike('ÉBC', 'é%')"), Some(true));
        assert_eq!(one("SELECT pg_ilike(NULL, 'é%')"), None);
    }
}
