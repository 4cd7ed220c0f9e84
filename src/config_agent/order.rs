// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The order in which files are written: a file that others name is written before them, so that, for example, a key
//! exists when a configuration names it.

/// The index of a file among those to be written.
type Index = usize;

/// The order of the files, and the circles in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// All files. Each comes after those that it names; otherwise the order is unchanged.
    pub files: Vec<Index>,
    /// Circles of files: each file names the next one, and the last names the first. The first of them is written
    /// before the file it names.
    pub circles: Vec<Vec<Index>>,
}

/// Sorts files. `names` lists for each file which others it names.
pub(super) fn order(names: &[Vec<Index>]) -> Order {
    let mut order = Order { files: Vec::with_capacity(names.len()), circles: Vec::new() };
    let mut is_written = vec![false; names.len()];
    while order.files.len() < names.len() {
        let missing = |file: Index| names[file].iter().find(|named| !is_written[**named] && **named != file);
        let left: Vec<Index> = (0..names.len()).filter(|file| !is_written[*file]).collect();
        let next = left.iter().copied().find(|file| missing(*file).is_none());
        let next = next.unwrap_or_else(|| {
            let circle = circle(left[0], |file| missing(file).copied().unwrap_or(file));
            order.circles.push(circle.clone());
            circle[0]
        });
        is_written[next] = true;
        order.files.push(next);
    }
    order
}

/// Follows `next` from `start` until a circle closes, and returns the circle, beginning with its smallest index.
fn circle(start: Index, next: impl Fn(Index) -> Index) -> Vec<Index> {
    let mut way = vec![start];
    loop {
        let file = next(way[way.len() - 1]);
        if let Some(begin) = way.iter().position(|before| *before == file) {
            let mut circle = way.split_off(begin);
            let first = (0..circle.len()).min_by_key(|at| circle[*at]).unwrap_or_default();
            circle.rotate_left(first);
            return circle;
        }
        way.push(file);
    }
}

/// Returns whether a text names exactly this path, and not only a longer path that begins with it.
pub(super) fn is_named(path: &str, text: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let mut rest = text[at + path.len()..].chars();
        match rest.next() {
            // A dot at the end of a sentence ends the path. A dot before an extension does not.
            Some('.') => !rest.next().is_some_and(char::is_alphanumeric),
            Some(c) => !(c.is_alphanumeric() || matches!(c, '_' | '-')),
            None => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_comes_first() {
        let in_order = |names: &[&[Index]]| {
            let names: Vec<_> = names.iter().map(|names| names.to_vec()).collect();
            let Order { files, circles } = order(&names);
            assert!(circles.is_empty());
            files
        };
        assert!(in_order(&[]).is_empty());
        assert_eq!(in_order(&[&[], &[], &[]]), [0, 1, 2], "as they were");
        assert_eq!(in_order(&[&[1, 2], &[], &[1]]), [1, 2, 0]);
        // The file that names two others is named by one that names only it.
        assert_eq!(in_order(&[&[2, 3], &[0], &[], &[]]), [2, 3, 0, 1]);
        assert_eq!(in_order(&[&[1], &[2], &[3], &[]]), [3, 2, 1, 0]);
        assert_eq!(in_order(&[&[0], &[0]]), [0, 1], "a file may name itself");
    }

    #[test]
    fn files_that_name_each_other_are_reported_and_written() {
        assert_eq!(order(&[vec![1], vec![0]]), Order { files: vec![0, 1], circles: vec![vec![0, 1]] });
        // The first file leads to the circle, but is not part of it.
        let names = [vec![2], vec![], vec![3], vec![4], vec![2], vec![1]];
        let Order { files, circles } = order(&names);
        assert_eq!((files, circles), (vec![1, 5, 2, 0, 4, 3], vec![vec![2, 3, 4]]));
        let two = order(&[vec![1], vec![0], vec![3], vec![2]]);
        assert_eq!((two.files.len(), two.circles.len()), (4, 2));
    }

    #[test]
    fn a_path_is_named_as_a_whole() {
        for text in
            ["/etc/key", "x=/etc/key\n", "see /etc/key.", "\"/etc/key\"", "file:///etc/key,", "/etc/key/x"]
        {
            assert!(is_named("/etc/key", text), "{text:?}");
        }
        for text in ["", "/etc/ke", "/etc/key.pub", "/etc/keys", "/etc/key-2", "/etc/key_old"] {
            assert!(!is_named("/etc/key", text), "{text:?}");
        }
        assert!(is_named("/etc/key", "/etc/key.pub /etc/key"));
    }
}
