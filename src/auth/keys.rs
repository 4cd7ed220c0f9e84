// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http_signature::PublicKey;

use super::key_files::KeyFiles;
use super::manta_keys::MantaKeys;
use crate::storage::MantaConnection;
use crate::telemetry::err;
use crate::workers::{Failure, Next, Poke, Prepared, Progress, Worker};

/// The name of the worker that reads the keys again.
pub const KEY_WORKER: &str = "auth-keys";
/// The directory of key files, below the local base directory.
const LOCAL_DIRECTORY: &str = "etc/authkeys/local";
/// The directory of the copies of the key files in Manta.
const MANTA_DIRECTORY: &str = "etc/authkeys/manta";
/// How often key files are read again without a request to do so.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The keys of each user.
type UserKeys = HashMap<String, Arc<Vec<PublicKey>>>;

/// The keys of all users: from the configuration, from local files, and from files in Manta. Files are read again every
/// hour and on demand.
#[derive(Debug)]
pub(super) struct KeyStore {
    current: Arc<ArcSwap<UserKeys>>,
    poke: Poke,
}

impl KeyStore {
    /// Reads all local keys. The returned worker reads them again, and also those in Manta, which does not have to answer yet.
    pub(super) async fn read(
        configured: &BTreeMap<String, Vec<String>>,
        local_base_dir: &Path,
        manta: Option<MantaConnection>,
    ) -> (KeyStore, Prepared) {
        let in_manta = local_base_dir.join(MANTA_DIRECTORY);
        let directories =
            [Some(local_base_dir.join(LOCAL_DIRECTORY)), manta.is_some().then(|| in_manta.clone())];
        let current = Arc::new(ArcSwap::default());
        let mut reader = KeyReader {
            configured: configured_keys(configured),
            manta: manta.map(|manta| MantaKeys::new(manta, local_base_dir.to_owned(), in_manta)),
            files: directories.into_iter().flatten().map(KeyFiles::new).collect(),
            current: Arc::clone(&current),
        };
        reader.read().await;
        let poke = Poke::default();
        let first = if reader.manta.is_some() { Next::Now } else { Next::After(INTERVAL) };
        let worker = Prepared::new(reader, first, poke.clone());
        (KeyStore { current, poke }, worker)
    }

    /// Returns the keys of a user; `None` if there is no such user. `user` may be any string.
    pub(super) fn of(&self, user: &str) -> Option<Arc<Vec<PublicKey>>> {
        self.current.load().get(user).cloned()
    }

    /// Wakes the worker to read the files again.
    pub(super) fn reload(&self) {
        self.poke.poke();
    }
}

/// The worker that keeps the keys in files current.
struct KeyReader {
    configured: Vec<(String, PublicKey)>,
    manta: Option<MantaKeys>,
    files: Vec<KeyFiles>,
    current: Arc<ArcSwap<UserKeys>>,
}

impl KeyReader {
    /// Reads the files on a blocking thread.
    async fn read(&mut self) {
        let mut files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || {
            files.iter_mut().for_each(KeyFiles::read);
            files
        });
        if let Ok(files) = read.await {
            self.files = files;
        }
        self.current.store(Arc::new(merge(&self.configured, &self.files)));
    }
}

impl Worker for KeyReader {
    fn name(&self) -> &'static str {
        KEY_WORKER
    }

    async fn work(&mut self, progress: &Progress) -> Result<Next, Failure> {
        let copied = match &self.manta {
            Some(manta) => manta.copy().await,
            None => Ok(()),
        };
        self.read().await;
        copied?;
        progress.done(1);
        Ok(Next::After(INTERVAL))
    }
}

fn merge(configured: &[(String, PublicKey)], files: &[KeyFiles]) -> UserKeys {
    let mut lists: HashMap<&str, Vec<PublicKey>> = HashMap::new();
    for (user, key) in configured {
        lists.entry(user).or_default().push(key.clone());
    }
    for (user, keys) in files.iter().flat_map(KeyFiles::users) {
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
    use crate::telemetry::{Metrics, StaticLabels};
    use crate::workers::Workers;

    const RSA: &str = include_str!("../../crates/http-signature/tests/data/keys/rsa.pub");
    const ED25519: &str = include_str!("../../crates/http-signature/tests/data/keys/ed25519.pub");

    async fn store(configured: &[(&str, &[&str])], base: &Path) -> (KeyStore, Workers) {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let configured = configured.iter().map(|(user, keys)| ((*user).to_owned(), lines(keys))).collect();
        let workers = Workers::new(Arc::new(Metrics::new(&StaticLabels::default()).unwrap()));
        let (store, worker) = KeyStore::read(&configured, base, None).await;
        workers.start(worker);
        (store, workers)
    }

    fn count(store: &KeyStore, user: &str) -> Option<usize> {
        store.of(user).map(|keys| keys.len())
    }

    #[tokio::test]
    async fn keys_of_configuration_and_files_are_put_together() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join(LOCAL_DIRECTORY);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("luke.keys"), ED25519).unwrap();
        let (store, _workers) =
            store(&[("luke", &[RSA, "ssh-rsa AAAA"]), ("__proto__", &[RSA])], base.path()).await;
        assert_eq!(count(&store, "luke"), Some(2));
        assert_eq!(count(&store, "__proto__"), Some(1));
        for stranger in ["constructor", "", "../luke", "luke.keys", "LUKE"] {
            assert_eq!(count(&store, stranger), None, "{stranger}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_again_every_hour_and_on_demand() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join(LOCAL_DIRECTORY);
        let (store, _workers) = store(&[], base.path()).await;
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
