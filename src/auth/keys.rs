use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http_signature::PublicKey;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::key_files::KeyFiles;
use crate::telemetry::err;

/// Where key files are, below the local base directory.
const DIRECTORY: &str = "etc/authkeys/local";
/// How often key files are read again by themselves.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The keys of each user.
type UserKeys = HashMap<String, Arc<Vec<PublicKey>>>;

/// The keys of all users: those of the configuration, and those of the files in `etc/authkeys/local`, which are read
/// again every hour and on demand.
#[derive(Debug)]
pub(super) struct KeyStore {
    current: Arc<ArcSwap<UserKeys>>,
    wake: Arc<Notify>,
    _reading: AbortOnDropHandle<()>,
}

impl KeyStore {
    /// Reads all keys, then goes on in the background.
    pub(super) async fn start(configured: &BTreeMap<String, Vec<String>>, local_base_dir: &Path) -> KeyStore {
        let configured = configured_keys(configured);
        let files = read(KeyFiles::new(local_base_dir.join(DIRECTORY))).await;
        let current = Arc::new(ArcSwap::from_pointee(merge(&configured, &files)));
        let wake = Arc::new(Notify::new());
        let reading = keep_reading(configured, files, Arc::clone(&current), Arc::clone(&wake));
        KeyStore { current, wake, _reading: AbortOnDropHandle::new(tokio::spawn(reading)) }
    }

    /// The keys of a user; `None` if there is no such user. Any text may be asked for.
    pub(super) fn of(&self, user: &str) -> Option<Arc<Vec<PublicKey>>> {
        self.current.load().get(user).cloned()
    }

    /// Has the files read again, soon.
    pub(super) fn reload(&self) {
        self.wake.notify_one();
    }
}

async fn keep_reading(
    configured: Vec<(String, PublicKey)>,
    mut files: KeyFiles,
    current: Arc<ArcSwap<UserKeys>>,
    wake: Arc<Notify>,
) {
    loop {
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
        files = read(files).await;
        current.store(Arc::new(merge(&configured, &files)));
    }
}

/// Reads the files off the runtime's threads.
async fn read(files: KeyFiles) -> KeyFiles {
    let former = files.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut files = files;
        files.read();
        files
    });
    read.await.unwrap_or(former)
}

fn merge(configured: &[(String, PublicKey)], files: &KeyFiles) -> UserKeys {
    let mut lists: HashMap<&str, Vec<PublicKey>> = HashMap::new();
    for (user, key) in configured {
        lists.entry(user).or_default().push(key.clone());
    }
    for (user, keys) in files.users() {
        lists.entry(user).or_default().extend_from_slice(keys);
    }
    let keys: usize = lists.values().map(Vec::len).sum();
    tracing::info!(users = lists.len(), keys, "loaded authentication keys");
    lists.into_iter().map(|(user, keys)| (user.to_owned(), Arc::new(keys))).collect()
}

fn configured_keys(configured: &BTreeMap<String, Vec<String>>) -> Vec<(String, PublicKey)> {
    let lines = configured.iter().flat_map(|(user, lines)| lines.iter().map(move |line| (user, line)));
    let parse = |(user, line): (&String, &String)| match PublicKey::from_openssh(line) {
        Ok(key) => Some((user.clone(), key)),
        Err(error) => {
            tracing::warn!(user, err.json = %err(&error), "a key of the configuration is left out");
            None
        }
    };
    lines.filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RSA: &str = include_str!("../../crates/http-signature/tests/data/keys/rsa.pub");
    const ED25519: &str = include_str!("../../crates/http-signature/tests/data/keys/ed25519.pub");

    async fn store(configured: &[(&str, &[&str])], base: &Path) -> KeyStore {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let configured = configured.iter().map(|(user, keys)| ((*user).to_owned(), lines(keys))).collect();
        KeyStore::start(&configured, base).await
    }

    fn count(store: &KeyStore, user: &str) -> Option<usize> {
        store.of(user).map(|keys| keys.len())
    }

    #[tokio::test]
    async fn keys_of_configuration_and_files_are_put_together() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join(DIRECTORY);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("luke.keys"), ED25519).unwrap();
        let store = store(&[("luke", &[RSA, "ssh-rsa AAAA"]), ("__proto__", &[RSA])], base.path()).await;
        assert_eq!(count(&store, "luke"), Some(2));
        assert_eq!(count(&store, "__proto__"), Some(1));
        for stranger in ["constructor", "", "../luke", "luke.keys", "LUKE"] {
            assert_eq!(count(&store, stranger), None, "{stranger}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_again_every_hour_and_on_demand() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join(DIRECTORY);
        let store = store(&[], base.path()).await;
        assert_eq!(count(&store, "luke"), None);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("luke.keys"), RSA).unwrap();
        store.reload();
        while count(&store, "luke").is_none() {
            tokio::task::yield_now().await;
        }
        fs::remove_file(directory.join("luke.keys")).unwrap();
        let started = tokio::time::Instant::now();
        while count(&store, "luke").is_some() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(started.elapsed() >= INTERVAL - Duration::from_secs(1));
    }
}
