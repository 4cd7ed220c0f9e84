// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use bytes::Bytes;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

async fn complete(store: &Store, text: &'static str) -> (Entry, Complete) {
    let content = store.new_content().await.unwrap();
    content.write(Bytes::from_static(text.as_bytes())).await.unwrap();
    let complete = content.complete().await.unwrap();
    let object = Object { etag: complete.etag.clone(), md5: complete.md5.clone(), ..Object::default() };
    (Entry::object(object, Vec::new()), complete)
}

async fn put(store: &Store, key: &str, text: &'static str, expected: Expected) -> Change {
    let (entry, content) = complete(store, text).await;
    store.put(key.to_owned(), entry, Some(content), expected).await.unwrap()
}

async fn make_directory(store: &Store, key: &str) -> Change {
    store.put(key.to_owned(), Entry::directory(Vec::new()), None, Expected::Anything).await.unwrap()
}

async fn read(store: &Store, key: &str) -> Option<String> {
    let (_, file) = store.open_entry(key.to_owned()).await.unwrap()?;
    Some(std::io::read_to_string(file?).unwrap())
}

fn files(store: &Store) -> usize {
    std::fs::read_dir(&store.objects).unwrap().count()
}

#[tokio::test]
async fn content_lives_as_long_as_its_name() {
    let (_directory, store) = store();
    put(&store, "/u/stor/a", "one", Expected::Anything).await.unwrap();
    put(&store, "/u/stor/a", "two", Expected::Anything).await.unwrap();
    assert_eq!(read(&store, "/u/stor/a").await.as_deref(), Some("two"));
    assert_eq!(files(&store), 1);
    drop(store.new_content().await.unwrap());
    let conflict = put(&store, "/u/stor/a", "three", Expected::Revision(None)).await;
    assert!(matches!(conflict, Err(Conflict::Changed)));
    assert_eq!(files(&store), 1);
    store.delete("/u/stor/a".to_owned(), Expected::Anything).await.unwrap().unwrap();
    assert_eq!((read(&store, "/u/stor/a").await, files(&store)), (None, 0));
}

#[tokio::test]
async fn the_tree_stays_a_tree() {
    let (_directory, store) = store();
    let lost = put(&store, "/u/stor/a/b", "x", Expected::Anything).await;
    assert!(matches!(lost, Err(Conflict::NoParent)));
    make_directory(&store, "/u/stor/a").await.unwrap();
    put(&store, "/u/stor/a/b", "x", Expected::Anything).await.unwrap();
    let onto = put(&store, "/u/stor/a", "x", Expected::Anything).await;
    assert!(matches!(onto, Err(Conflict::Directory)));
    let below_object = make_directory(&store, "/u/stor/a/b/c").await;
    assert!(matches!(below_object, Err(Conflict::NoParent)));
    let full = store.delete("/u/stor/a".to_owned(), Expected::Anything).await.unwrap();
    assert!(matches!(full, Err(Conflict::NotEmpty)));
    assert_eq!(store.count("/u/stor/a".to_owned()).await.unwrap(), 1);
}

#[tokio::test]
async fn pages_begin_with_their_marker() {
    let (_directory, store) = store();
    for name in ["c", "a", "b", "d"] {
        make_directory(&store, &format!("/u/stor/{name}")).await.unwrap();
    }
    let names = async |page: Page| {
        let (entries, count) = store.list("/u/stor".to_owned(), page).await.unwrap();
        assert_eq!(count, 4);
        entries.into_iter().map(|(name, _)| name).collect::<String>()
    };
    let page = Page { limit: 2, marker: Some("b".to_owned()), ..Page::default() };
    assert_eq!(names(page.clone()).await, "bc");
    assert_eq!(names(Page { reverse: true, ..page.clone() }).await, "ba");
    assert_eq!(names(Page { marker: None, limit: 10, ..page.clone() }).await, "abcd");
    assert_eq!(names(Page { directories: Some(false), ..page }).await, "");
}

#[tokio::test]
async fn a_new_start_finds_what_is_named_and_removes_the_rest() {
    let (directory, store) = store();
    put(&store, "/u/stor/a", "kept", Expected::Anything).await.unwrap();
    std::fs::write(store.objects.join("leftover"), "half").unwrap();
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(read(&store, "/u/stor/a").await.as_deref(), Some("kept"));
    assert_eq!(files(&store), 1);
}
