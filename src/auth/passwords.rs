use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use hmac::{Hmac, KeyInit, Mac};
use moka::sync::Cache;
use sha2::Sha256;

use super::AuthError;
use super::credentials::Credentials;
use super::turns::Turns;
use crate::config::Secret;

/// How long a right password is known to be right without being hashed again, and how many are.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
const MOST_REMEMBERED: u64 = 1000;

/// The users of Basic authentication. Hashing a password takes tens of milliseconds on purpose; so right ones are
/// remembered for a while, as a digest under a key that this process alone has.
#[derive(Debug)]
pub(super) struct Passwords {
    hashes: HashMap<String, Secret>,
    right: Cache<[u8; 32], ()>,
    digest_key: [u8; 64],
}

impl Passwords {
    pub(super) fn new(users: &BTreeMap<String, Secret>) -> Passwords {
        Passwords {
            hashes: users.clone().into_iter().collect(),
            right: Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(REMEMBERED_FOR).build(),
            digest_key: rand::random(),
        }
    }

    /// Whether these are a user's name and password; `Wrong` if not.
    pub(super) async fn check(&self, credentials: &Credentials, turns: &Turns) -> Result<(), AuthError> {
        let digest = self.digest(credentials);
        if self.right.contains_key(&digest) {
            return Ok(());
        }
        let own = self.hashes.get(&credentials.user);
        // Strangers wait as long as users do: otherwise time would tell who is one.
        let hash = own.or_else(|| self.hashes.values().next()).cloned().ok_or(AuthError::Wrong)?;
        let password = credentials.password.clone();
        let right = turns.run(move || is_hash_of(&hash, &password)).await?;
        if !right || own.is_none() {
            return Err(AuthError::Wrong);
        }
        self.right.insert(digest, ());
        Ok(())
    }

    fn digest(&self, credentials: &Credentials) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.digest_key.into());
        // A name has no colon.
        mac.update(credentials.user.as_bytes());
        mac.update(b":");
        mac.update(credentials.password.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

fn is_hash_of(hash: &Secret, password: &Secret) -> bool {
    let hash = PasswordHash::new(hash.expose());
    hash.is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
}

/// The hash of a password for `userdb`: Argon2id, in PHC form.
///
/// # Errors
/// When the system has no random numbers.
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
        let (passwords, turns) = (passwords(), Turns::default());
        for _ in 0..2 {
            passwords.check(&credentials("luke", "a:b"), &turns).await.unwrap();
            passwords.check(&credentials("constructor", ""), &turns).await.unwrap();
            for (user, password) in [("luke", ""), ("luke", "a:b "), ("constructor", "a:b"), ("toString", "")]
            {
                let outcome = passwords.check(&credentials(user, password), &turns).await;
                assert!(matches!(outcome, Err(AuthError::Wrong)), "{user} {password}: {outcome:?}");
            }
        }
    }

    #[tokio::test]
    async fn only_right_passwords_are_remembered_and_not_as_they_are() {
        let (passwords, turns) = (passwords(), Turns::default());
        passwords.check(&credentials("luke", "a:b"), &turns).await.unwrap();
        passwords.check(&credentials("luke", "b"), &turns).await.unwrap_err();
        passwords.check(&credentials("vader", "a:b"), &turns).await.unwrap_err();
        passwords.right.run_pending_tasks();
        assert_eq!(passwords.right.entry_count(), 1);
        assert_ne!(passwords.digest(&credentials("luke", "x")), passwords.digest(&credentials("luk", "ex")));
        let other = Passwords::new(&BTreeMap::new());
        assert_ne!(passwords.digest(&credentials("luke", "x")), other.digest(&credentials("luke", "x")));
    }

    #[tokio::test]
    async fn without_users_everybody_is_wrong() {
        let nobody = Passwords::new(&BTreeMap::new());
        let outcome = nobody.check(&credentials("luke", "a:b"), &Turns::default()).await;
        assert!(matches!(outcome, Err(AuthError::Wrong)));
    }

    #[test]
    fn a_hash_has_its_own_salt() {
        let (one, two) = (hash_password("x").unwrap(), hash_password("x").unwrap());
        assert!(one.starts_with("$argon2id$"), "{one}");
        assert_ne!(one, two);
    }
}
