// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The key pairs with which accounts sign their requests to Manta.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use http_signature::PrivateKey;
use tempfile::NamedTempFile;

use crate::ufds::{Directory, LiveDirectory};

/// Returns the path of the account's private key.
pub(super) fn file(directory: &Path, login: &str) -> PathBuf {
    directory.join(format!("{login}.id_ecdsa"))
}

/// A key pair of an account.
#[derive(Debug)]
pub(super) struct AccountKey {
    /// Login of the account.
    pub(super) login: String,
    /// The file of the private key.
    pub(super) file: PathBuf,
    /// The fingerprint that `ssh-keygen -l` prints. Manta uses the MD5 fingerprint instead.
    pub(super) sha256: String,
    /// The public key, as in `authorized_keys`.
    pub(super) public: String,
}

/// Creates a key pair for every account: the private key in a file, the public key in the account directory. Existing keys are
/// reused; a public key that was deleted from the directory is not added again. Blocks.
pub(super) fn give(directory: &Path, accounts: &LiveDirectory) -> io::Result<Vec<AccountKey>> {
    std::fs::create_dir_all(directory)?;
    let mut keys = Vec::new();
    let is_restored = accounts.is_restored();
    accounts.change(|accounts| {
        keys = give_all(directory, accounts, is_restored)?;
        Ok::<_, io::Error>(())
    })?;
    Ok(keys)
}

fn give_all(directory: &Path, accounts: &mut Directory, is_restored: bool) -> io::Result<Vec<AccountKey>> {
    let mut keys = Vec::new();
    for account in accounts.accounts() {
        let login = account.login;
        // Triton does not allow a login that leads to another directory.
        if login.contains('/') {
            continue;
        }
        let file = file(directory, &login);
        let is_new = !file.exists();
        let key = load_or_create(&file)?;
        let openssh = key.public_openssh("");
        if is_new || !is_restored {
            accounts.add_key(&login, &key.md5_fingerprint(), &openssh);
        }
        let sha256 = format!("SHA256:{}", key.sha256_fingerprint());
        keys.push(AccountKey { login, file, sha256, public: openssh });
    }
    Ok(keys)
}

fn load_or_create(path: &Path) -> io::Result<PrivateKey> {
    if path.exists() {
        return PrivateKey::from_pem(&std::fs::read_to_string(path)?).map_err(io::Error::other);
    }
    let key = PrivateKey::generate().map_err(io::Error::other)?;
    let text = key.to_pem().map_err(io::Error::other)?;
    // The temporary file has the mode 0600.
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let text = || {
            give(directory.path(), &Directory::built_in().unwrap().into()).unwrap();
            std::fs::read_to_string(file(directory.path(), "admin")).unwrap()
        };
        let first = text();
        assert!(first.starts_with("-----BEGIN EC PRIVATE KEY-----"));
        assert_eq!(first, text());
        let mode = std::fs::metadata(file(directory.path(), "admin")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
