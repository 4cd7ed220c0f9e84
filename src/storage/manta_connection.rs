// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http_signature::PrivateKey;
use manta::Client;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::config;
use crate::files;

/// Why Manta cannot be used.
type Unusable = Box<dyn std::error::Error + Send + Sync>;

/// Largest size of a key file in bytes.
const LARGEST_KEY: u64 = 1 << 20;

/// The connection to the configured Manta: a client that is made when its key can be read, and made again when the key changes.
#[derive(Debug, Clone)]
pub struct MantaConnection(Arc<MantaConnectionInner>);

#[derive(Debug)]
struct MantaConnectionInner {
    config: config::Manta,
    /// The fingerprint that the key must have, if one is configured.
    key_id: ArcSwapOption<String>,
    current: ArcSwapOption<Keyed>,
    /// Locked while a client is made.
    making: Mutex<()>,
}

/// A client, with the digest of its key file.
#[derive(Debug)]
struct Keyed {
    client: Client,
    file: [u8; 32],
}

impl MantaConnection {
    /// Nothing is read yet.
    pub fn new(config: config::Manta) -> MantaConnection {
        MantaConnection(Arc::new(MantaConnectionInner {
            key_id: ArcSwapOption::new(config.key_id.clone().map(Arc::new)),
            config,
            current: ArcSwapOption::empty(),
            making: Mutex::default(),
        }))
    }

    /// Sets the fingerprint that the next key must have.
    pub fn expect_key(&self, key_id: Option<String>) {
        self.0.key_id.store(key_id.map(Arc::new));
    }

    /// The configuration, except for the fingerprint of the key, which may have changed.
    pub fn config(&self) -> &config::Manta {
        &self.0.config
    }

    /// Returns whether both are the same connection.
    pub fn ptr_eq(&self, other: &MantaConnection) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether a usable key has been read.
    pub fn has_key(&self) -> bool {
        self.0.current.load().is_some()
    }

    /// The client. Sends no request to Manta.
    ///
    /// # Errors
    /// If no usable key has been read yet.
    pub async fn client(&self) -> Result<Client, Unusable> {
        if let Some(keyed) = &*self.0.current.load() {
            return Ok(keyed.client.clone());
        }
        self.renew().await?;
        let keyed = self.0.current.load();
        keyed.as_ref().map(|keyed| keyed.client.clone()).ok_or_else(|| "there is no client".into())
    }

    /// Reads the key again. New requests use it; running requests go on with the former one. Returns whether the key has
    /// changed.
    ///
    /// # Errors
    /// If the key cannot be used. The former key stays in use.
    pub async fn renew(&self) -> Result<bool, Unusable> {
        let _making = self.0.making.lock().await;
        let shared = Arc::clone(&self.0);
        // The key and the system's certificates are read from files.
        tokio::task::spawn_blocking(move || {
            let text = String::from_utf8(files::read_linked(&shared.config.key, LARGEST_KEY)?)?;
            let file = Sha256::digest(&text).into();
            let former = shared.current.load_full();
            if former.as_ref().is_some_and(|keyed| keyed.file == file) {
                return Ok(false);
            }
            let client = connect(&shared, &text)?;
            shared.current.store(Some(Arc::new(Keyed { client, file })));
            Ok(former.is_some())
        })
        .await?
    }
}

fn connect(shared: &MantaConnectionInner, pem: &str) -> Result<Client, Unusable> {
    let config = &shared.config;
    let key = PrivateKey::from_pem(pem)?;
    if let Some(expected) = shared.key_id.load_full().filter(|id| !is_fingerprint_of(id, &key)) {
        let file = config.key.display();
        tracing::warn!("manta.keyId is {expected}, but {file} has another key, which is used");
    }
    let mut settings = manta::Config::new(config.url.clone(), config.user.clone(), key);
    settings.insecure = config.insecure;
    settings.idle_timeout = settings.idle_timeout.min(config.idle);
    Ok(Client::new(settings)?)
}

/// Returns whether the text is the MD5 or SHA-256 fingerprint of a key, as `ssh-keygen` prints them.
fn is_fingerprint_of(text: &str, key: &PrivateKey) -> bool {
    match text.strip_prefix("SHA256:") {
        Some(sha256) => key.sha256_fingerprint() == sha256,
        None => {
            let md5 = text.strip_prefix("MD5:").unwrap_or(text);
            key.md5_fingerprint() == md5
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_that_cannot_be_used_leaves_the_former_one_in_use() {
        const ED25519: &str = include_str!("../../crates/http-signature/tests/data/keys/ed25519");
        const RSA: &str = include_str!("../../crates/http-signature/tests/data/keys/rsa");
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        let manta = MantaConnection::new(config::Manta {
            url: "http://127.0.0.1:1".into(),
            user: "admin".into(),
            key: key.clone(),
            key_id: None,
            insecure: false,
            idle: std::time::Duration::from_secs(60),
            remote: false,
            root_dir: "/admin/stor/imgapi".into(),
            stores_files: true,
        });
        manta.client().await.unwrap_err();
        assert!(!manta.has_key());
        for (text, is_another) in
            [(ED25519, Some(false)), (ED25519, Some(false)), ("no key", None), (RSA, Some(true))]
        {
            std::fs::write(&key, text).unwrap();
            assert_eq!(manta.renew().await.ok(), is_another, "{text}");
            assert!(manta.has_key());
            manta.client().await.unwrap();
        }
        std::fs::remove_file(&key).unwrap();
        manta.renew().await.unwrap_err();
        manta.client().await.unwrap();
    }

    #[test]
    fn a_key_has_two_fingerprints() {
        let pem = include_str!("../../crates/http-signature/tests/data/keys/ed25519");
        let key = http_signature::PrivateKey::from_pem(pem).unwrap();
        let md5 = "6a:ca:aa:d1:df:27:d3:5c:a5:5f:19:78:1a:c8:2b:59";
        let sha256 = "SHA256:jiuAXmluc2Az54yyQkweEoRGvBG4QvBjQLJVIoLZVME";
        for right in [md5, &format!("MD5:{md5}"), sha256] {
            assert!(is_fingerprint_of(right, &key), "{right}");
        }
        for wrong in ["", "SHA256:", &md5[1..], &sha256[7..], "SHA256:x"] {
            assert!(!is_fingerprint_of(wrong, &key), "{wrong}");
        }
    }
}
