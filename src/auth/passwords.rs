// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::password_hash::{self, PasswordHasher};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use sha2::Sha256;

use super::AuthError;
use super::credentials::Credentials;
use super::crypto_limit::CryptoLimit;
use crate::config::Secret;

/// How long a right or wrong password is remembered, and how many are remembered.
const RIGHT_FOR: Duration = Duration::from_secs(600);
const WRONG_FOR: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: u64 = 1000;

/// The users of Basic authentication. Hashing a password takes tens of milliseconds and megabytes on purpose, so the
/// result is remembered for a while, under a digest with a key that only this process has.
#[derive(Debug)]
pub(super) struct Passwords {
    hashes: HashMap<String, Secret>,
    right: Cache<[u8; 32], ()>,
    wrong: Cache<[u8; 32], ()>,
    digest_key: [u8; 64],
    memory: Arc<HashMemory>,
}

impl Passwords {
    pub(super) fn new(users: &BTreeMap<String, Secret>) -> Passwords {
        let remember = |time| Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(time).build();
        Passwords {
            hashes: users.clone().into_iter().collect(),
            right: remember(RIGHT_FOR),
            wrong: remember(WRONG_FOR),
            digest_key: rand::random(),
            memory: Arc::default(),
        }
    }

    /// Checks that these credentials, sent from this address, are a user's name and password; `Wrong` if not.
    pub(super) async fn check(
        &self,
        credentials: &Credentials,
        address: Option<IpAddr>,
        crypto_limit: &CryptoLimit,
    ) -> Result<(), AuthError> {
        let digest = self.digest(credentials);
        if self.right.contains_key(&digest) {
            return Ok(());
        }
        if self.wrong.contains_key(&digest) {
            return Err(AuthError::Wrong);
        }
        let own = self.hashes.get(&credentials.user);
        // An unknown user takes as long as a known one; otherwise the time would reveal which names exist.
        let hash = own.or_else(|| self.hashes.values().next()).cloned().ok_or(AuthError::Wrong)?;
        let (password, memory) = (credentials.password.clone(), Arc::clone(&self.memory));
        let right = crypto_limit.run(address, move || memory.is_hash_of(&hash, &password)).await?;
        if !right || own.is_none() {
            self.wrong.insert(digest, ());
            return Err(AuthError::Wrong);
        }
        self.right.insert(digest, ());
        Ok(())
    }

    fn digest(&self, credentials: &Credentials) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.digest_key.into());
        // A name contains no colon.
        mac.update(credentials.user.as_bytes());
        mac.update(b":");
        mac.update(credentials.password.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// The memory for hashing. It is kept for reuse: there is one buffer for each permit, and the allocator gets
/// no fragments.
#[derive(Debug, Default)]
struct HashMemory(Mutex<Vec<Vec<Block>>>);

impl HashMemory {
    fn is_hash_of(&self, hash: &Secret, password: &Secret) -> bool {
        let Ok(hash) = PasswordHash::new(hash.expose()) else { return false };
        let computed = self.hash(&hash, password.expose().as_bytes());
        // This comparison takes constant time.
        computed.is_some() && computed == hash.hash
    }

    /// Hashes a password with the algorithm, the costs and the salt of another hash.
    fn hash(&self, like: &PasswordHash, password: &[u8]) -> Option<Output> {
        let algorithm = Algorithm::new(like.algorithm.as_str()).ok()?;
        let version = like.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(like).ok()?;
        let (salt, length) = (like.salt.as_ref()?, like.hash?.len());
        let mut blocks = self.blocks().pop().unwrap_or_default();
        let count = params.block_count();
        blocks.resize(count.max(blocks.len()), Block::default());
        let hasher = Argon2::new(algorithm, version, params);
        let mut output = [0; Output::MAX_LENGTH];
        let (output, memory) = (&mut output[..length], &mut blocks[..count]);
        let hashed = hasher.hash_password_into_with_memory(password, salt, output, memory);
        self.blocks().push(blocks);
        hashed.ok().and_then(|()| Output::new(output).ok())
    }

    fn blocks(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes a password for `userdb`: Argon2id, in PHC form.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn hash_password(password: &str) -> Result<String, password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: Secret::new(password.into()) }
    }

    fn passwords() -> Passwords {
        let hash = |password| Secret::new(hash_password(password).unwrap());
        Passwords::new(&BTreeMap::from([("luke".into(), hash("a:b")), ("constructor".into(), hash(""))]))
    }

    #[tokio::test]
    async fn a_user_has_one_password() {
        let (passwords, crypto_limit) = (passwords(), CryptoLimit::default());
        for _ in 0..2 {
            passwords.check(&credentials("luke", "a:b"), None, &crypto_limit).await.unwrap();
            passwords.check(&credentials("constructor", ""), None, &crypto_limit).await.unwrap();
            for (user, password) in [("luke", ""), ("luke", "a:b "), ("constructor", "a:b"), ("toString", "")]
            {
                let outcome = passwords.check(&credentials(user, password), None, &crypto_limit).await;
                assert!(matches!(outcome, Err(AuthError::Wrong)), "{user} {password}: {outcome:?}");
            }
        }
    }

    #[tokio::test]
    async fn only_right_passwords_are_remembered_and_not_as_they_are() {
        let (passwords, crypto_limit) = (passwords(), CryptoLimit::default());
        passwords.check(&credentials("luke", "a:b"), None, &crypto_limit).await.unwrap();
        passwords.check(&credentials("luke", "b"), None, &crypto_limit).await.unwrap_err();
        passwords.check(&credentials("vader", "a:b"), None, &crypto_limit).await.unwrap_err();
        passwords.right.run_pending_tasks();
        assert_eq!(passwords.right.entry_count(), 1);
        assert_ne!(passwords.digest(&credentials("luke", "x")), passwords.digest(&credentials("luk", "ex")));
        let other = Passwords::new(&BTreeMap::new());
        assert_ne!(passwords.digest(&credentials("luke", "x")), other.digest(&credentials("luke", "x")));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hundred_wrong_passwords_take_the_memory_of_a_few() {
        let (passwords, crypto_limit) = (passwords(), CryptoLimit::default());
        let credentials: Vec<_> = (0..100).map(|number| credentials("luke", &number.to_string())).collect();
        let checks = credentials.iter().map(|credentials| passwords.check(credentials, None, &crypto_limit));
        let outcomes = futures_util::future::join_all(checks).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(AuthError::Wrong | AuthError::Busy))));
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(AuthError::Wrong))));
        let blocks: Vec<_> = passwords.memory.blocks().iter().map(Vec::len).collect();
        let processors = crate::platform::processors();
        assert!(blocks.len() <= processors && blocks.iter().all(|blocks| *blocks == 19_456), "{blocks:?}");
    }

    #[tokio::test]
    async fn a_wrong_password_is_hashed_once() {
        let (passwords, crypto_limit) = (passwords(), CryptoLimit::default());
        for _ in 0..2 {
            passwords.check(&credentials("luke", "b"), None, &crypto_limit).await.unwrap_err();
            // Another hash would leave a buffer again.
            *passwords.memory.0.lock().unwrap() = Vec::new();
        }
        assert!(passwords.memory.blocks().is_empty());
        passwords.check(&credentials("luke", "a:b"), None, &crypto_limit).await.unwrap();
    }

    #[test]
    fn hashes_of_all_kinds_are_computed_as_the_library_does() {
        use argon2::password_hash::PasswordVerifier;
        let memory = HashMemory::default();
        for (algorithm, version) in [("argon2id", 19), ("argon2i", 19), ("argon2d", 16)] {
            for costs in ["m=64,t=2,p=2", "m=8,t=1,p=1"] {
                let hash = format!(
                    "${algorithm}$v={version}${costs}$c2FsdHNhbHQ$0cD2gWAXGVqHEKgGmnpJSlqqmMBWHbwXuUiFTlZ0cPk"
                );
                let mut hash = PasswordHash::new(&hash).unwrap();
                hash.hash = memory.hash(&hash, b"x");
                assert!(Argon2::default().verify_password(b"x", &hash).is_ok(), "{hash}");
                let hash = Secret::new(hash.to_string());
                assert!(memory.is_hash_of(&hash, &Secret::new("x".into())));
                assert!(!memory.is_hash_of(&hash, &Secret::new("y".into())));
            }
        }
        assert!(!memory.is_hash_of(&Secret::new("x".into()), &Secret::new("x".into())));
    }

    #[tokio::test]
    async fn without_users_everybody_is_wrong() {
        let nobody = Passwords::new(&BTreeMap::new());
        let outcome = nobody.check(&credentials("luke", "a:b"), None, &CryptoLimit::default()).await;
        assert!(matches!(outcome, Err(AuthError::Wrong)));
    }

    #[test]
    fn a_hash_has_its_own_salt() {
        let (one, two) = (hash_password("x").unwrap(), hash_password("x").unwrap());
        assert!(one.starts_with("$argon2id$"), "{one}");
        assert_ne!(one, two);
    }
}
